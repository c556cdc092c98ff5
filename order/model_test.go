package order

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestModel feeds a follower any sequence of good, doubled, reordered, damaged,
// forged and foreign messages, with restarts anywhere. After each step it holds
// exactly one revision of control's history, never an older one than the last it
// accepted, and after a restart never an older one than the last it persisted.
// So it never has a correction fewer than its last good revision says.
func TestModel(t *testing.T) {
	dirs := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		dir := fmt.Sprint(dirs, "/", run)
		c := chain{t: fatal{TB: nil, t: t}}
		history := []State{{}}
		f := rapidOpen(t, dir)
		var accepted, durable uint64

		check := func() {
			s := f.State()
			if s.Revision < accepted {
				t.Fatalf("went back from revision %d to %d", accepted, s.Revision)
			}
			if diff := cmp.Diff(history[s.Revision], *s); diff != "" {
				t.Fatalf("revision %d is not what control says: %s", s.Revision, diff)
			}
			accepted = s.Revision
		}
		message := func(t *rapid.T) []byte {
			if len(c.sent) > 0 && rapid.Bool().Draw(t, "near") { // the next one, mostly
				at := min(max(0, int(accepted)+rapid.IntRange(-1, 1).Draw(t, "off")), len(c.sent)-1)
				return c.sent[at]
			}
			if len(c.sent) == 0 {
				return nil
			}
			return c.sent[rapid.IntRange(0, len(c.sent)-1).Draw(t, "any")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"issue": func(t *rapid.T) {
				o := Order{}
				for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 0, 3, rapid.ID[int]).Draw(t, "ids") {
					name := fmt.Sprint("c-", id)
					held := slices.Contains(ids(&c.state), name)
					if held && rapid.Bool().Draw(t, "drop") {
						o.Drop = append(o.Drop, name)
					} else {
						o.Put = append(o.Put, stop(name))
					}
				}
				switch n := len(c.state.Lists); {
				case rapid.Bool().Draw(t, "put a list"):
					o.PutLists = []ListRef{listed(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "list"), rapid.Byte().Draw(t, "digest")|1)}
				case n > 0 && rapid.Bool().Draw(t, "drop a list"):
					o.DropLists = []string{c.state.Lists[n-1].Name}
				}
				c.next(o)
				history = append(history, c.state)
			},
			"offer": func(t *rapid.T) { f.Offer(message(t)) },
			"offer damaged": func(t *rapid.T) {
				m := slices.Clone(message(t))
				if len(m) > 0 {
					m[rapid.IntRange(0, len(m)-1).Draw(t, "at")] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
				}
				f.Offer(m)
			},
			"offer cut short": func(t *rapid.T) {
				m := message(t)
				f.Offer(m[:rapid.IntRange(0, len(m)).Draw(t, "len")])
			},
			"offer forged": func(t *rapid.T) {
				o := Order{Revision: f.State().Revision + 1, Prev: f.State().Head, Drop: ids(f.State())}
				data, _ := Sign(o, rapid.SampledFrom([]Signer{stranger, emergency}).Draw(t, "by"))
				if step, err := f.Offer(data); err == nil {
					t.Fatal("a forged order was ", step)
				}
			},
			"resync": func(t *rapid.T) {
				data, _ := Sign(history[rapid.IntRange(0, len(history)-1).Draw(t, "rev")], control)
				if rapid.IntRange(0, 3).Draw(t, "damage") == 0 {
					data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= 4
				}
				f.Resync(data)
			},
			"persist": func(t *rapid.T) {
				if err := f.Persist(); err != nil {
					t.Fatal(err)
				}
				durable = accepted
			},
			"restart": func(t *rapid.T) {
				f = rapidOpen(t, dir)
				if f.Damage() != nil {
					t.Fatal(f.Damage())
				}
				accepted = durable
			},
			"": func(*rapid.T) { check() },
		})
	})
}

func rapidOpen(t *rapid.T, dir string) *Follower {
	f, err := OpenFollower(dir, trust)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fatal lets a chain, which wants a testing.TB, fail a rapid test.
type fatal struct {
	testing.TB
	t *rapid.T
}

func (f fatal) Helper()           {}
func (f fatal) Fatal(args ...any) { f.t.Fatal(args...) }
