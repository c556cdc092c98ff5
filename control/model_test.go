package control

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// memory is a ledger in memory, so that the model can run thousands of steps. It
// fails when it is told to.
type memory struct {
	ledger.Log // what the model never asks for

	entries []ledger.Entry
	fail    error
}

func (m *memory) Append(_ context.Context, at uint64, es ...ledger.Entry) (uint64, error) {
	switch {
	case m.fail != nil:
		return 0, m.fail
	case at != uint64(len(m.entries)):
		return 0, ledger.ErrConflict
	}
	for _, e := range es {
		e.Seq = uint64(len(m.entries))
		canonical, err := e.Encode()
		if err != nil {
			return 0, err
		}
		if e, err = ledger.Decode(canonical); err != nil { // what comes back from a disk
			return 0, err
		}
		m.entries = append(m.entries, e)
	}
	return uint64(len(m.entries)), nil
}

func (m *memory) Size() uint64 { return uint64(len(m.entries)) }

func (m *memory) Read(_ context.Context, from, to uint64, fn func(ledger.Entry) error) error {
	for _, e := range m.entries[from:min(to, m.Size())] {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func (*memory) Checkpoint(context.Context) ([]byte, error)    { return nil, ledger.ErrNotFound }
func (*memory) Proof(context.Context, uint64) ([]byte, error) { return nil, ledger.ErrNotFound }
func (*memory) Tile(context.Context, string) ([]byte, error)  { return nil, ledger.ErrNotFound }
func (*memory) Close() error                                  { return nil }

// TestModel runs any sequence of commands, failures of the ledger, foreign
// writers, clock jumps and restarts, with a gateway that gets some orders and
// misses others. After every step: a command that succeeded stands, one that
// failed left no trace, what is in force is exactly what the plain model says,
// and a gateway that has caught up holds just that.
func TestModel(t *testing.T) {
	signer, err := order.GenerateSigner()
	must(t, err)
	dirs, run := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		log := &memory{}
		clk := &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
		start := func() *Control {
			c, err := New(Config{Log: log, Signer: signer, Now: clk.Now, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := start()
		op := &operator{id: "op-1", roles: authority.All}
		follower, err := order.OpenFollower(fmt.Sprint(dirs, "/", run), order.Trust{Control: []order.PublicKey{signer.Public()}})
		if err != nil {
			t.Fatal(err)
		}
		standing := map[string]time.Time{} // the model: id → expiry, zero for none
		revision := uint64(0)
		ctx := context.Background()

		deliver := func() { // the bus: the last order, sometimes
			if c.last != nil && rapid.Bool().Draw(t, "arrives") {
				if _, err := follower.Offer(c.last); err != nil {
					t.Fatal(err)
				}
			}
		}
		pick := func(t *rapid.T) string {
			ids := []string{"c-999"}
			for id := range standing {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			return rapid.SampledFrom(ids).Draw(t, "id")
		}
		inForce := func(id string) bool {
			x, ok := standing[id]
			return ok && (x.IsZero() || clk.Now().Before(x))
		}
		outcome := func(err error, want bool, what string) bool {
			if ok := err == nil; ok != (want && log.fail == nil) {
				t.Fatalf("%s: %v", what, err)
			}
			if err == nil {
				revision++
				deliver()
			}
			return err == nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				cor := correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{All: true}, Reason: "r"}
				if rapid.Bool().Draw(t, "expires") {
					cor.ExpiresAt = clk.Now().Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "in")) * time.Second)
				}
				late := !c.state.last.Before(cor.ExpiresAt) && !cor.ExpiresAt.IsZero() // the record is ahead of a clock that went back
				id, _, err := c.create(ctx, op, cor, created{})
				if outcome(err, !late, "create") {
					standing[id] = cor.ExpiresAt
				}
			},
			"lift": func(t *rapid.T) {
				id := pick(t)
				if outcome(c.lift(ctx, op, id, "r", false), inForce(id), "lift") {
					delete(standing, id)
				}
			},
			"extend": func(t *rapid.T) {
				id := pick(t)
				x := clk.Now().Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "to")) * time.Second)
				ok := inForce(id) && !standing[id].IsZero() && !x.Before(standing[id]) && x.After(c.state.last)
				if outcome(c.extend(ctx, op, id, extension{Reason: "r", ExpiresAt: x}), ok, "extend") {
					standing[id] = x
				}
			},
			"ratify": func(t *rapid.T) {
				id := pick(t)
				ok := inForce(id) && (standing[id].IsZero() || standing[id].After(c.state.last))
				outcome(c.ratify(ctx, op, id, ratification{Reason: "r", ReviewBy: clk.Now().Add(1000 * time.Hour)}), ok, "ratify")
			},
			"ledger fails or heals": func(t *rapid.T) {
				log.fail = rapid.SampledFrom([]error{nil, nil, ledger.ErrFull, errDisk}).Draw(t, "fault")
			},
			"somebody else writes": func(t *rapid.T) {
				log.entries = append(log.entries, ledger.Entry{Seq: log.Size(), At: clk.Now(), Type: typeRemoved, Actor: "x", Body: body(removedBody{Name: "nobody"})})
			},
			"time passes": func(t *rapid.T) {
				clk.advance(time.Duration(rapid.IntRange(1, 60).Draw(t, "s")) * time.Second)
			},
			"clerk": func(t *rapid.T) {
				before := c.state.revision
				c.tidy(ctx)
				for id, x := range standing {
					if r := c.state.corrections[id]; r != nil && r.gone == "expired" {
						if clk.Now().Before(x.Add(expiryMargin)) {
							t.Fatal("dropped before its time:", id)
						}
						delete(standing, id)
					}
				}
				revision += c.state.revision - before
				deliver()
			},
			"restart": func(*rapid.T) { c = start() },
			"resync": func(t *rapid.T) {
				signed, err := c.signedState()
				if err == nil {
					err = follower.Resync(signed)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if c.state.size < log.Size() {
					if err := c.catchUp(ctx); err != nil {
						t.Fatal(err)
					}
				}
				if c.state.revision != revision {
					t.Fatalf("revision %d, not %d", c.state.revision, revision)
				}
				full := c.state.full()
				var ids []string
				for _, x := range full.Corrections {
					ids = append(ids, x.ID)
					if want, ok := standing[x.ID]; !ok || !want.Equal(x.ExpiresAt) {
						t.Fatalf("%s: expiry %v, model %v (%v)", x.ID, x.ExpiresAt, want, ok)
					}
				}
				if len(ids) != len(standing) {
					t.Fatalf("in the order %v, in the model %v", ids, standing)
				}
				if follower.State().Revision == full.Revision {
					if diff := cmp.Diff(full, *follower.State(), cmpopts.EquateEmpty()); diff != "" {
						t.Fatal("the gateway holds something else:", diff)
					}
				} else if follower.State().Revision > full.Revision {
					t.Fatal("the gateway is ahead")
				}
			},
		})
	})
}
