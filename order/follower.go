package order

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Step is what became of an offered order.
type Step int

// The steps.
const (
	Applied   Step = iota + 1 // the state is one revision further
	Duplicate                 // already there; nothing changed
	Gap                       // revisions are missing in between: resync; nothing changed
)

// String names the step.
func (s Step) String() string {
	return [...]string{"none", "applied", "duplicate", "gap"}[min(max(s, 0), 3)]
}

// tailLimit is how many orders lie beside a state before it is time to replace
// both by a newer state.
const tailLimit = 256

// Follower is what one gateway holds: the last good state, the signed orders
// since, and the emergency orders that control has not adopted yet. Offer and
// Resync change memory, Persist makes that durable; whoever acknowledges a
// revision calls Persist first.
//
// It is not safe for concurrent use, but for Trust. The State it hands out is never changed
// afterwards, so that may be shared.
type Follower struct {
	dir   string
	line  lineage
	trust atomic.Pointer[Trust] // as the chain has it now
	state *State
	by    PublicKey // by whose authority that is held

	unkeptLinks bool // the chain is not on disk as it is

	pending  [][]byte // signed orders applied in memory, not yet in the tail file
	resynced []byte   // signed state taken over in memory, not yet on disk
	tail     int      // orders in the tail file
	clean    bool     // the tail file ends where a new record may begin

	emergencies []Emergency
	raw         map[string][]byte // signed emergencies by id
	unkept      []string          // ids of emergencies that could not be written yet
	damage      error
	lost        bool
}

// State is the state held now. It is read-only; a later change makes a new one.
func (f *Follower) State() *State { return f.state }

// Damage says what was found broken on disk, and passed over, when the follower
// was opened; nil if nothing. What is held may then be older than what had been
// accepted: the owner should treat its lease as run out until a Resync.
func (f *Follower) Damage() error { return f.damage }

// Lost reports whether the damage may have taken an accepted correction with
// it: the tail or an emergency order was broken, or both copies of the state. An
// owner that cannot reach control should then serve nothing rather than guess.
func (f *Follower) Lost() bool { return f.lost }

// NeedsState reports whether so many orders lie beside the state on disk that
// the owner should resync, which replaces them all by one state.
func (f *Follower) NeedsState() bool { return f.tail+len(f.pending) > tailLimit }

// Offer takes in one signed order. The errors are [ErrSignature],
// [ErrMalformed], [ErrRollback] and, where a resync is needed, [ErrMismatch]. On
// error, and for every Step but Applied, nothing has changed.
func (f *Follower) Offer(signed []byte) (Step, error) {
	t := f.Trust()
	o, head, by, err := openOrder(signed, t.Control, t.early())
	if err != nil {
		return 0, err
	}
	switch {
	case o.Revision == f.state.Revision && head == f.state.Head:
		return Duplicate, nil
	case o.Revision > f.state.Revision+1:
		return Gap, nil
	}
	next := *f.state
	if err := next.Apply(&o, head); err != nil {
		return 0, err
	}
	f.state, f.by = &next, by
	f.pending = append(f.pending, slices.Clone(signed))
	f.dropAdopted()
	return Applied, nil
}

// Resync takes over a full signed state. An older revision, or this one with
// another head, is refused with [ErrRollback].
func (f *Follower) Resync(signed []byte) error {
	t := f.Trust()
	s, by, err := openState(signed, t.Control, t.early())
	if err != nil {
		return err
	}
	if s.Revision < f.state.Revision || s.Revision == f.state.Revision && s.Head != f.state.Head {
		return fmt.Errorf("resync from revision %d to %d: %w", f.state.Revision, s.Revision, ErrRollback)
	}
	f.state, f.by = &s, by
	f.resynced = slices.Clone(signed)
	f.pending = nil
	f.dropAdopted()
	return nil
}

// Emergencies are the emergency orders in force, by id: accepted, and not yet
// adopted by control. Read-only.
func (f *Follower) Emergencies() []Emergency { return f.emergencies }

// Signed returns the signed envelope of a held emergency order, to hand to
// control; nil if it is not held.
func (f *Follower) Signed(id string) []byte { return f.raw[id] }

// OfferEmergency takes in a signed emergency order at the time now, and keeps it
// on disk. The errors are [ErrSignature], [ErrMalformed], [ErrExpired] when its
// window is over, [ErrAdopted] when control has had it, [ErrForged] when its id
// is held with other contents; on these nothing has changed. [ErrDuplicate]
// comes with the order that is already held. [ErrNotKept] means that the order
// is in force, in memory, but could not be written: Persist tries again.
func (f *Follower) OfferEmergency(signed []byte, now time.Time) (Emergency, error) {
	e, err := OpenEmergency(signed, f.Trust())
	if err != nil {
		return Emergency{}, err
	}
	if _, ok := slices.BinarySearch(f.state.Adopted, e.ID); ok {
		return Emergency{}, fmt.Errorf("accept emergency %s: %w", e.ID, ErrAdopted)
	}
	at, held := slices.BinarySearchFunc(f.emergencies, e.ID, func(e Emergency, id string) int { return cmp.Compare(e.ID, id) })
	if held {
		old, _ := canonical(f.emergencies[at])
		if same, err := canonical(e); err != nil || string(old) != string(same) {
			return Emergency{}, fmt.Errorf("accept emergency %s: %w", e.ID, ErrForged)
		}
		return f.emergencies[at], fmt.Errorf("accept emergency %s: %w", e.ID, ErrDuplicate)
	}
	if now.After(e.NotAfter) {
		return Emergency{}, fmt.Errorf("accept emergency %s: %w since %s", e.ID, ErrExpired, e.NotAfter.Format(time.RFC3339))
	}
	// Into memory first: a full disk is no reason to ignore a stop.
	f.emergencies = slices.Insert(slices.Clone(f.emergencies), at, e)
	f.raw[e.ID] = slices.Clone(signed)
	if err := f.keepEmergency(e.ID); err != nil {
		f.unkept = append(f.unkept, e.ID)
		return e, fmt.Errorf("accept emergency %s: %w: %w", e.ID, ErrNotKept, err)
	}
	return e, nil
}

// dropAdopted lets go of emergencies that the state says are in the ledger:
// from here on their corrections are the state's own, or were lifted.
func (f *Follower) dropAdopted() {
	keep := f.emergencies[:0:0]
	for _, e := range f.emergencies {
		if _, adopted := slices.BinarySearch(f.state.Adopted, e.ID); !adopted {
			keep = append(keep, e)
		}
	}
	f.emergencies = keep // their files go with the next Persist, once the state is durable
}

// Persist makes durable whatever Offer and Resync have changed. It is the step
// before an acknowledgement. On error it may be called again; what was durable
// before still is.
func (f *Follower) Persist() error {
	// Before what their keys signed: without them that could not be read again.
	err := f.keepLinks()
	switch {
	case err != nil:
	case f.resynced != nil:
		err = f.writeState()
	case len(f.pending) > 0:
		err = f.appendTail()
	}
	if err != nil {
		return fmt.Errorf("persist revision %d: %w", f.state.Revision, err)
	}
	for len(f.unkept) > 0 {
		id := f.unkept[0]
		if _, adopted := slices.BinarySearch(f.state.Adopted, id); !adopted {
			if err := f.keepEmergency(id); err != nil {
				return fmt.Errorf("persist emergency %s: %w", id, err)
			}
		}
		f.unkept = f.unkept[1:]
	}
	return f.forgetAdopted()
}

// note adds to what Damage says.
func (f *Follower) note(format string, args ...any) {
	f.damage = errors.Join(f.damage, fmt.Errorf(format, args...))
}
