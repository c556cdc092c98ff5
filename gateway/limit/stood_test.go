package limit

import (
	"testing"
	"time"
)

// wake lets a gateway go on that was down while the machine it runs on stood
// still. Calls that waited come first, between all that it hears then.
func (w *world) wake(g *gw, unread []letter, each func()) {
	g.down = false
	each()
	w.send(g, g.f.Tick(w.now, true))
	each()
	for _, l := range unread {
		w.send(g, g.f.Take(l.w, w.now))
		each()
	}
}

// A gateway that stood still has not heard the others, who went on without it.
// What they said meanwhile lies before it when it wakes, and comes too late for
// calls that waited: they are not admitted for what was left before.
func TestFleetStandstillIsNoSilence(t *testing.T) {
	for _, n := range []int{2, 3} {
		for _, d := range []time.Duration{Pace, stood, 400 * time.Millisecond, time.Second, Silent + time.Second, 10 * time.Second, lost + Silent} {
			for _, window := range []time.Duration{0, time.Hour} {
				for seed := range uint64(8) {
					w := newWorld(t, n, seed)
					w.pass(2*time.Second+time.Duration(w.rng.Int64N(int64(time.Second))), nil)
					spec, k := Spec{100, window}, Key{"c-1", ""}
					admitted := 0
					ask := func(g *gw) {
						for range 5 {
							if _, _, ok := g.l.Take(k, spec, w.now, Ask{N: 1}); ok {
								admitted++
							}
						}
					}
					g := w.gws[0]
					g.down = true
					var unread []letter
					w.hold = func(l letter) { unread = append(unread, l) }
					w.pass(d, func() {
						for _, other := range w.gws[1:] {
							ask(other)
						}
					})
					w.hold = nil
					w.wake(g, unread, func() {
						for range 30 {
							ask(g)
						}
					})
					w.pass(5*time.Second, func() {
						for _, g := range w.gws {
							ask(g)
						}
					})
					if admitted > 100 {
						t.Errorf("%d gateways, one stood still for %v, window %v, seed %d: %d admitted, limit 100", n, d, window, seed, admitted)
					}
					if admitted < 100 {
						t.Errorf("%d gateways, one stood still for %v, window %v, seed %d: only %d admitted of 100", n, d, window, seed, admitted)
					}
				}
			}
		}
	}
}

// A gateway whose every step is slow still takes part, and no more than its part.
func TestFleetGoesOnWhereEveryStepIsSlow(t *testing.T) {
	const limit = 100
	w := newWorld(t, 2, 1)
	w.pass(2*time.Second, nil)
	spec, k := Spec{limit, time.Hour}, Key{"c-1", ""}
	slow, quick := w.gws[0], w.gws[1]
	admitted := map[*gw]int{}
	late := 0
	for i := range 30 {
		slow.down = true
		var unread []letter
		w.hold = func(l letter) { unread = append(unread, l) }
		w.pass(2*stood, func() {
			if _, _, ok := slow.l.Take(k, spec, w.now, Ask{N: 1}); ok {
				if admitted[slow]++; i > 2 {
					late++
				}
			}
		})
		w.hold = nil
		w.wake(slow, unread, func() {})
	}
	w.pass(5*time.Second, func() {
		if _, _, ok := quick.l.Take(k, spec, w.now, Ask{N: 1}); ok {
			admitted[quick]++
		}
	})
	if late == 0 || admitted[slow]+admitted[quick] != limit {
		t.Errorf("%d admitted where every step is slow, and %d by the other, of %d", admitted[slow], admitted[quick], limit)
	}
}

// What a gateway might still have taken when it stood still is not given after.
// What it had taken in that round, and not said, is the excess.
func TestFleetGivesUpWhatItHadNotTaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		closed bool
		d      time.Duration
		spec   Spec
		excess int64
	}{
		{"in an open round", false, time.Second, Spec{100, time.Hour}, 1},
		{"in a closed round", true, lost + Silent, Spec{100, 0}, 1}, // after which the others have forgotten what it said
	} {
		w := newWorld(t, 2, 1)
		w.pass(2*time.Second, nil)
		g, other := w.gws[0], w.gws[1]
		k := Key{"c-1", ""}
		var admitted int64
		ask := func(g *gw, n int64) {
			if grant, _, ok := g.l.Take(k, c.spec, w.now, Ask{N: n, AtMost: n > 1, Last: true}); ok {
				admitted += grant.n
			}
		}
		ask(g, 1)
		if c.closed {
			g.l.Take(k, c.spec, w.now, Ask{N: 60, AtMost: true}) // waits for more than its part
			for !g.f.closed || len(g.f.resting) == 0 {
				w.pass(time.Millisecond, nil)
			}
		}
		g.down = true
		var unread []letter
		w.hold = func(l letter) { unread = append(unread, l) }
		w.pass(c.d, func() { ask(other, 1) })
		w.hold = nil
		w.wake(g, unread, func() { ask(g, 60) })
		w.pass(5*time.Second, func() { ask(g, 60); ask(other, 1) })
		if admitted > c.spec.Limit+c.excess {
			t.Errorf("%s: %d admitted, of %d", c.name, admitted, c.spec.Limit)
		}
	}
}
