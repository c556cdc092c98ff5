package order

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"andon/correction"
)

func reopen(t testing.TB, dir string) *Follower {
	t.Helper()
	f, err := OpenFollower(dir, trust)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func offer(t testing.TB, f *Follower, signed []byte, want Step) {
	t.Helper()
	if got, err := f.Offer(signed); err != nil || got != want {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
}

func persist(t testing.TB, f *Follower) {
	t.Helper()
	if err := f.Persist(); err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, f *Follower, want State) {
	t.Helper()
	if diff := cmp.Diff(want, *f.State()); diff != "" {
		t.Fatal(diff)
	}
}

func TestFollowerFollows(t *testing.T) {
	dir := t.TempDir()
	c := chain{t: t}
	f := reopen(t, dir)
	same(t, f, State{})
	one := c.put("c-1")
	first := c.state
	two := c.next(Order{Put: []correction.Correction{stop("c-2")}, Drop: []string{"c-1"}, PutKeys: []Key{{ID: "k-1", Hash: "aa"}}})

	offer(t, f, two, Gap)
	same(t, f, State{})
	offer(t, f, one, Applied)
	held := f.State()
	offer(t, f, one, Duplicate)
	offer(t, f, two, Applied)
	same(t, f, c.state)
	if diff := cmp.Diff(first, *held); diff != "" {
		t.Fatal("a state handed out was changed:", diff)
	}
	// A replay of the older one, and another one of the same revision.
	if _, err := f.Offer(one); !errors.Is(err, ErrRollback) {
		t.Fatal(err)
	}
	other := chain{t: t}
	other.put("c-7")
	twin := other.put("c-8")
	if _, err := f.Offer(twin); !errors.Is(err, ErrRollback) {
		t.Fatal(err)
	}
	if _, err := f.Offer(other.put("c-9")); !errors.Is(err, ErrMismatch) {
		t.Fatal(err)
	}
	same(t, f, c.state)

	// What was not persisted is gone after a restart, what was is there.
	same(t, reopen(t, dir), State{})
	persist(t, f)
	same(t, reopen(t, dir), c.state)
}

func TestResync(t *testing.T) {
	dir := t.TempDir()
	c := chain{t: t}
	c.put("c-1")
	c.put("c-2")
	old := sign(t, c.state, control)
	f := reopen(t, dir)
	if err := f.Resync(old); err != nil {
		t.Fatal(err)
	}
	offer(t, f, c.put("c-3"), Applied)
	persist(t, f)
	if err := f.Resync(old); !errors.Is(err, ErrRollback) {
		t.Fatal(err)
	}
	other := chain{t: t}
	for range 3 {
		other.put("c-9")
	}
	if err := f.Resync(sign(t, other.state, control)); !errors.Is(err, ErrRollback) {
		t.Fatal("another history of the same length:", err)
	}
	if err := f.Resync(sign(t, c.state, emergency)); !errors.Is(err, ErrSignature) {
		t.Fatal(err)
	}
	if err := f.Resync(sign(t, c.state, control)); err != nil {
		t.Fatal(err)
	}
	offer(t, f, c.put("c-4"), Applied) // between Resync and Persist
	persist(t, f)
	g := reopen(t, dir)
	same(t, g, c.state)
	if g.Damage() != nil {
		t.Error(g.Damage())
	}
	offer(t, g, c.put("c-5"), Applied)
	persist(t, g)
	same(t, reopen(t, dir), c.state)
}

func TestNeedsState(t *testing.T) {
	dir := t.TempDir()
	c := chain{t: t}
	f := reopen(t, dir)
	for range tailLimit {
		offer(t, f, c.put("c-1"), Applied)
	}
	persist(t, f)
	if f.NeedsState() {
		t.Fatal("too early")
	}
	offer(t, f, c.put("c-1"), Applied)
	if !f.NeedsState() {
		t.Fatal("too late")
	}
	persist(t, f)
	if f = reopen(t, dir); !f.NeedsState() {
		t.Fatal("forgotten over a restart")
	}
	if err := f.Resync(sign(t, c.state, control)); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	if f.NeedsState() || reopen(t, dir).NeedsState() {
		t.Fatal("still, after a resync")
	}
	same(t, reopen(t, dir), c.state)
}

// TestTornTail cuts the tail after every byte, and flips a bit in every byte. A
// restart holds exactly the orders that are whole and before the damage, says
// so, and goes on from there.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	c := chain{t: t}
	f := reopen(t, dir)
	states, ends := []State{{}}, []int{0}
	for i := range 3 {
		offer(t, f, c.put(fmt.Sprint("c-", i)), Applied)
		persist(t, f)
		st, err := os.Stat(f.path(tailFile))
		if err != nil {
			t.Fatal(err)
		}
		states, ends = append(states, c.state), append(ends, int(st.Size()))
	}
	tail, err := os.ReadFile(f.path(tailFile))
	if err != nil {
		t.Fatal(err)
	}
	whole := func(n int) int { // records within the first n bytes
		i := 0
		for i+1 < len(ends) && ends[i+1] <= n {
			i++
		}
		return i
	}
	check := func(t *testing.T, data []byte, want int, damaged bool) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tailFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		f := reopen(t, dir)
		same(t, f, states[want])
		if (f.Damage() != nil) != damaged {
			t.Fatalf("damage %v, want %v", f.Damage(), damaged)
		}
		for _, signed := range c.sent[want:] { // the rest comes again
			offer(t, f, signed, Applied)
		}
		persist(t, f)
		f = reopen(t, dir)
		same(t, f, c.state)
		if f.Damage() != nil {
			t.Fatal("damaged still:", f.Damage())
		}
	}
	for n := 0; n <= len(tail); n++ {
		check(t, tail[:n], whole(n), n != ends[whole(n)])
	}
	for n := range tail {
		bad := bytes.Clone(tail)
		bad[n] ^= 0x40
		check(t, bad, whole(n), true)
	}
}

// TestValidRecordsThatDoNotFollow covers what a CRC cannot see.
func TestValidRecordsThatDoNotFollow(t *testing.T) {
	c := chain{t: t}
	for i := range 4 {
		c.put(fmt.Sprint("c-", i))
	}
	dir := t.TempDir()
	f := reopen(t, dir)
	f.pending = [][]byte{c.sent[0], c.sent[1], c.sent[3]}
	if err := f.appendTail(); err != nil {
		t.Fatal(err)
	}
	f = reopen(t, dir)
	if f.State().Revision != 2 || f.Damage() == nil {
		t.Fatal(f.State().Revision, f.Damage())
	}
}

func TestCorruptState(t *testing.T) {
	build := func(t *testing.T) (string, State) {
		dir := t.TempDir()
		c := chain{t: t}
		f := reopen(t, dir)
		offer(t, f, c.put("c-1"), Applied)
		persist(t, f)
		if err := f.Resync(sign(t, c.state, control)); err != nil {
			t.Fatal(err)
		}
		persist(t, f)
		offer(t, f, c.put("c-2"), Applied)
		persist(t, f)
		return dir, c.state
	}
	corrupt := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{stateFile, copyFile} {
		t.Run(name, func(t *testing.T) {
			dir, want := build(t)
			corrupt(t, filepath.Join(dir, name))
			f := reopen(t, dir)
			same(t, f, want)
			if f.Damage() == nil {
				t.Error("nothing was said")
			}
			if _, err := os.Stat(filepath.Join(dir, name+brokenSuffix)); err != nil {
				t.Error("the broken file is not kept:", err)
			}
			// It has mended itself: now the other may break.
			other := stateFile
			if name == stateFile {
				other = copyFile
			}
			if f = reopen(t, dir); f.Damage() != nil {
				t.Error(f.Damage())
			}
			corrupt(t, filepath.Join(dir, other))
			same(t, reopen(t, dir), want)
		})
		t.Run(name+" missing", func(t *testing.T) {
			dir, want := build(t)
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			same(t, reopen(t, dir), want)
		})
	}
	t.Run("between the two writes", func(t *testing.T) {
		dir, want := build(t)
		// A newer state has been written, its copy and the tail have not.
		c := chain{t: t, state: want}
		c.put("c-3")
		if err := replaceFile(filepath.Join(dir, stateFile), sign(t, c.state, control)); err != nil {
			t.Fatal(err)
		}
		f := reopen(t, dir)
		same(t, f, c.state)
		if f.Damage() != nil {
			t.Error(f.Damage())
		}
		// And had it been broken, the old pair leads to what was durable before.
		corrupt(t, filepath.Join(dir, stateFile))
		same(t, reopen(t, dir), want)
	})
	t.Run("both", func(t *testing.T) {
		dir, _ := build(t)
		corrupt(t, filepath.Join(dir, stateFile))
		corrupt(t, filepath.Join(dir, copyFile))
		if f := reopen(t, dir); f.Damage() == nil {
			t.Error("nothing was said")
		}
	})
}

func TestPersistFails(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("as root a folder cannot be made read-only; a folder in the file's place is used instead")
	}
	dir := t.TempDir()
	c := chain{t: t}
	f := reopen(t, dir)
	block := filepath.Join(dir, tailFile)
	if err := os.MkdirAll(filepath.Join(block, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	offer(t, f, c.put("c-1"), Applied)
	if err := f.Persist(); err == nil {
		t.Fatal("persisted into a folder")
	}
	same(t, f, c.state) // memory has it all the same
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	same(t, reopen(t, dir), c.state)
}
