package gateway

import (
	"slices"
	"sync"
	"time"

	"andon/correction"
	"andon/order"
)

// flight counts calls by model, state and age. Its places are those of models,
// and 0 for routes that name none.
type flight [][flightStates][len(order.FlightAges) + 1]int32

// flightStates are the states of a call that is in the registry: running, cut, gone.
const flightStates = 3

var flightNames = [flightStates]string{running: "running", cut: "cut", gone: "gone"}

// count counts one call at a time.
func (f flight) count(c *call, now time.Time) {
	state := c.state.Load()
	if state < 0 || state >= flightStates || c.model == nil || c.model.place >= len(f) {
		return
	}
	f[c.model.place][state][flightAge(now.Sub(c.began))]++
}

func flightAge(d time.Duration) int {
	sec := int64(d / time.Second)
	for i, most := range order.FlightAges {
		if sec < most {
			return i
		}
	}
	return len(order.FlightAges)
}

func (f flight) add(o flight) {
	for i := range o {
		for s := range o[i] {
			for a, n := range o[i][s] {
				f[i][s][a] += n
			}
		}
	}
}

// flown is one line of a flight in which there is something.
type flown struct {
	place, state int
	ages         [len(order.FlightAges) + 1]int32
}

func (f flight) lines() (out []flown) {
	for i := range f {
		for s, ages := range f[i] {
			if ages != ([len(order.FlightAges) + 1]int32{}) {
				out = append(out, flown{i, s, ages})
			}
		}
	}
	return out
}

// inFlight names what was counted, for the models that are wanted. Routes that
// name no model reach any.
func (g *Gateway) inFlight(lines []flown, wanted func(string) bool) []order.InFlight {
	out := []order.InFlight{}
	for _, l := range lines {
		x := order.InFlight{State: flightNames[l.state]}
		if l.place > 0 {
			m := g.order[l.place-1]
			if x.Model = m.Name; !wanted(m.as) {
				continue
			}
		}
		for a, n := range l.ages {
			x.Ages[a] = int64(n)
		}
		out = append(out, x)
	}
	return out
}

// Changes of what is in force are held on to for so long, and so many of them:
// a command may bring hundreds.
const (
	keptCaptures = 256
	captureTime  = 10 * time.Minute
	keptRules    = 1 << 21 // corrections that they name one by one: 16 MiB
)

// capture is what stood immediately before a ruling was enforced. The ruling
// before never changes, and shares with the one after what is the same in both;
// the sweep, which meets every call anyway, counts them as it goes. So nothing
// that alters the system waits for its evidence.
type capture struct {
	at     time.Time // when the sweep began
	before *stood    // nil if there was none
	after  uint64    // revision
	extra  int       // emergency corrections in force then
	stale  bool
	flight []flown
}

// stood is a ruling as its evidence needs it: without keys, of which there may be
// a million, and without what holds named lists, of which a version that was
// replaced is to be gone.
type stood struct {
	ruling
	rules []*correction.Correction // in place of a policy that knows lists
}

// as is a ruling as it stands.
func (rl *ruling) as() *stood {
	if rl == nil {
		return nil
	}
	s := &stood{ruling: *rl}
	s.keys, s.listed = nil, nil
	return s
}

// past is as, for a ruling that is kept.
func (rl *ruling) past() *stood {
	s := rl.as()
	if s == nil || len(s.lists) == 0 {
		return s
	}
	s.rules = make([]*correction.Correction, 0, s.policy.Len())
	s.each(func(c *correction.Correction) bool { s.rules = append(s.rules, c); return true })
	s.policy, s.lists = nil, nil
	return s
}

// len is how many corrections it held.
func (s *stood) len() int {
	if s.policy != nil {
		return s.policy.Len()
	}
	return len(s.rules)
}

// each calls fn for each of them, the most severe first, until it says no.
func (s *stood) each(fn func(*correction.Correction) bool) {
	if s.policy != nil {
		s.policy.Each(func(r *correction.Rule) bool { return fn(r.Correction) })
		return
	}
	for _, c := range s.rules {
		if !fn(c) {
			return
		}
	}
}

// captures are the last few.
type captures struct {
	places int // of models, plus 1

	mu   sync.Mutex // never held by a request
	last capture    // the sweep that is being put together
	ring []capture  // the oldest first
}

// swept takes what the workers of a sweep have counted, once everybody is told.
func (cs *captures) swept(at time.Time, workers []sweeper) {
	f := make(flight, cs.places)
	for i := range workers {
		f.add(workers[i].flight)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.last = capture{at: at, flight: f.lines()}
	old := 0
	for old < len(cs.ring) && at.Sub(cs.ring[old].at) > captureTime {
		old++
	}
	cs.ring = slices.Delete(cs.ring, 0, old)
}

// keep holds on to what the last sweep found, and to the ruling before it.
func (cs *captures) keep(before, after *ruling, stale bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	x := cs.last
	x.before, x.after, x.extra, x.stale = before.past(), after.revision, after.extra, stale
	cs.ring = append(cs.ring, x)
	held, from := 0, len(cs.ring)
	for from > 0 && len(cs.ring)-from < keptCaptures && held <= keptRules {
		from--
		if b := cs.ring[from].before; b != nil {
			held += len(b.rules)
		}
	}
	cs.ring = slices.Delete(cs.ring, 0, from)
}

// of finds what stood before the first ruling here that holds a revision; ok is
// false if that is not known any more, or has not come yet.
func (cs *captures) of(revision uint64) (capture, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, x := range cs.ring {
		was := uint64(0)
		if x.before != nil {
			was = x.before.revision
		}
		if was < revision && x.after >= revision {
			return x, true
		}
	}
	return capture{}, false
}
