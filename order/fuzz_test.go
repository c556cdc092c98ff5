package order

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"andon/correction"
)

// FuzzOpen feeds all openers. Nothing that is not one of the seeds' own signed
// contents may verify, and nothing may panic.
func FuzzOpen(f *testing.F) {
	c := chain{t: f}
	o := c.put("c-1")
	e, err := fixedEmergency()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{o, sign(f, c.state, control), sign(f, Lease{Gateway: "g", TTL: 1}, control), sign(f, e, emergency), []byte("{}"), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, head, err := OpenOrder(data, trust); err == nil && (head != c.state.Head || got.Revision != 1) {
			t.Fatalf("an order nobody signed: %+v", got)
		}
		if got, err := OpenState(data, trust); err == nil && !cmp.Equal(got, c.state) {
			t.Fatalf("a state nobody signed: %+v", got)
		}
		if got, err := OpenLease(data, trust); err == nil && got.Gateway != "g" {
			t.Fatalf("a lease nobody signed: %+v", got)
		}
		if got, err := OpenEmergency(data, trust); err == nil && got.ID != e.ID {
			t.Fatalf("an emergency nobody signed: %+v", got)
		}
	})
}

// FuzzSigned signs whatever it is given: a control plane gone wrong. A follower
// must not panic, and what it accepts must be well formed.
func FuzzSigned(f *testing.F) {
	c := chain{t: f}
	c.put("c-1")
	for _, m := range []any{&Order{Revision: 1, IssuedAt: t0}, &c.state} {
		payload, err := canonical(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		fo := &Follower{state: &State{}, raw: map[string][]byte{}}
		fo.trust.Store(&trust)
		fo.Offer(signRaw(TypeOrder, string(payload), control))
		fo.Resync(signRaw(TypeState, string(payload), control))
		if err := fo.State().Check(); err != nil {
			t.Fatal(err)
		}
		OpenEmergency(signRaw(TypeEmergency, string(payload), emergency), trust)
	})
}

// FuzzTail opens a folder with any tail and state.
func FuzzTail(f *testing.F) {
	c := chain{t: f}
	dir := f.TempDir()
	fo := reopen(f, dir)
	offer(f, fo, c.put("c-1"), Applied)
	persist(f, fo)
	tail, err := os.ReadFile(filepath.Join(dir, tailFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tail, sign(f, State{}, control))
	f.Add(tail[:9], []byte("x"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, []byte(nil))
	f.Fuzz(func(t *testing.T, tail, state []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, tailFile), tail, 0o600)
		os.WriteFile(filepath.Join(dir, stateFile), state, 0o600)
		got := reopen(t, dir).State()
		if !cmp.Equal(*got, State{}) && !cmp.Equal(*got, c.state) {
			t.Fatalf("a state nobody signed: %+v", got)
		}
	})
}

// fixedEmergency has the same id in every worker process of a fuzz run.
func fixedEmergency() (Emergency, error) {
	e := Emergency{ID: "e-00000000000000aa", IssuedAt: t0, NotAfter: t0.Add(MaxEmergencyWindow), By: "ops", Corrections: []correction.Correction{stop("e-00000000000000aa-1")}}
	return e, e.Validate()
}
