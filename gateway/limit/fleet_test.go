package limit

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A world is some gateways and a bus, in virtual time.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	now   int64
	gws   []*gw
	mail  mail
	seq   int
	loss  float64
	delay time.Duration
	cut   func(from, to int) bool
	hold  func(letter) // takes what comes for a gateway that is down
	words int
}

type gw struct {
	i      int
	l      *Limiter
	f      *Fleet
	down   bool
	inbox  []Word
	hungry bool
}

type letter struct {
	at  int64
	seq int
	to  *gw
	w   Word
}

type mail []letter

func (m mail) Len() int { return len(m) }
func (m mail) Less(i, j int) bool {
	return m[i].at < m[j].at || m[i].at == m[j].at && m[i].seq < m[j].seq
}
func (m mail) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *mail) Push(x any)   { *m = append(*m, x.(letter)) }
func (m *mail) Pop() any     { o := *m; x := o[len(o)-1]; *m = o[:len(o)-1]; return x }

func newWorld(t testing.TB, n int, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), delay: 2 * time.Millisecond, now: int64(time.Hour)}
	for i := range n {
		w.start(i)
	}
	return w
}

func (w *world) start(i int) *gw {
	g := &gw{i: i, l: New()}
	g.f = NewFleet(g.l, fmt.Sprintf("gw-%d", i), fmt.Sprint("boot-", w.now, i), w.now)
	if i < len(w.gws) {
		w.gws[i] = g
	} else {
		w.gws = append(w.gws, g)
	}
	w.send(g, []Word{g.f.Hello()})
	return g
}

// send delivers in the order in which each sender speaks, as the bus does.
func (w *world) send(from *gw, words []Word) {
	for _, word := range words {
		w.words++
		d := int64(w.rng.Int64N(int64(w.delay) + 1))
		for _, to := range w.gws {
			if to == from || w.rng.Float64() < w.loss || w.cut != nil && w.cut(from.i, to.i) {
				continue
			}
			at := w.now + d
			for _, l := range w.mail { // in order
				if l.to == to && l.w.Gateway == word.Gateway && l.at > at {
					at = l.at
				}
			}
			w.seq++
			heap.Push(&w.mail, letter{at, w.seq, to, word})
		}
	}
}

// pass lets time go by, a millisecond at a time.
func (w *world) pass(d time.Duration, each func()) {
	for end := w.now + int64(d); w.now < end; w.now += int64(time.Millisecond) {
		for len(w.mail) > 0 && w.mail[0].at <= w.now {
			l := heap.Pop(&w.mail).(letter)
			switch {
			case l.to != w.gws[l.to.i]:
			case !l.to.down:
				w.send(l.to, l.to.f.Take(l.w, w.now))
			case w.hold != nil:
				w.hold(l)
			}
		}
		for _, g := range w.gws {
			if g.down {
				continue
			}
			select {
			case <-g.l.hungry:
				g.hungry = true
			default:
			}
			if every := int64(Pace / time.Millisecond); w.now/int64(time.Millisecond)%10 == 0 && (g.hungry || g.f.Busy()) || w.now/int64(time.Millisecond)%every == int64(g.i) {
				w.send(g, g.f.Tick(w.now, g.hungry))
				g.hungry = false
			}
		}
		if each != nil {
			each()
		}
	}
}

// log is what was admitted when.
type log struct {
	hits []struct{ at, n int64 }
}

func (l *log) add(at, n int64) { l.hits = append(l.hits, struct{ at, n int64 }{at, n}) }

// most is the most that any interval of the window's length admitted.
func (l *log) most(window time.Duration) (most int64) {
	var sum int64
	from := 0
	for _, h := range l.hits {
		sum += h.n
		for ; h.at-l.hits[from].at >= int64(window); from++ {
			sum -= l.hits[from].n
		}
		most = max(most, sum)
	}
	return most
}

// While all hear each other, N gateways admit no more than the limit together,
// whatever the bursts and the delays; and what was left is used.
func TestFleetIsExactWhileAllAreHeard(t *testing.T) {
	for _, n := range []int{2, 3, 8} {
		worst, best := 0.0, 0.0
		for seed := range uint64(12) {
			w := newWorld(t, n, seed)
			w.delay = time.Duration(1+w.rng.Int64N(80)) * time.Millisecond
			w.pass(2*time.Second, nil)
			limit := 1 + w.rng.Int64N(200)
			spec := Spec{limit, time.Duration(1+w.rng.Int64N(4)) * time.Second}
			k := Key{"c-1", fmt.Sprint(seed)}
			var l log
			skew := w.rng.IntN(n) + 1
			w.pass(10*time.Second, func() {
				if w.now/int64(500*time.Millisecond)%2 == 0 { // bursts
					for range 20 {
						g := w.gws[w.rng.IntN(skew)]
						if _, _, ok := g.l.Take(k, spec, w.now, Ask{N: 1}); ok {
							l.add(w.now, 1)
						}
					}
				}
			})
			most := l.most(spec.Window)
			worst = max(worst, float64(most-limit)/float64(limit))
			best += float64(most) / float64(limit) / 12
			if most > limit {
				t.Errorf("%d gateways, seed %d: %d admitted in %v, limit %d", n, seed, most, spec.Window, limit)
			}
			if most < limit*8/10 {
				t.Errorf("%d gateways, seed %d, delay %v: only %d admitted of %d", n, seed, w.delay, most, limit)
			}
		}
		t.Logf("%d gateways: worst excess %.1f %%, mean use of the limit %.1f %%", n, 100*worst, 100*best)
	}
}

// Words that are lost, and gateways that come and go, cost no more than is
// stated: what was left, once for each.
func TestFleetBoundUnderLossAndPartition(t *testing.T) {
	for _, n := range []int{3, 8} {
		for _, c := range []struct {
			name  string
			loss  float64
			bound float64 // times the limit
			do    func(w *world, step int)
		}{
			{"loss 2 %", 0.02, 1, func(*world, int) {}},
			{"loss 10 %", 0.1, 1, func(*world, int) {}},
			{"partition", 0, 1, func(w *world, step int) {
				if step == 3 {
					w.cut = func(from, to int) bool { return from%2 != to%2 }
				} else if step == 14 {
					w.cut = nil
				}
			}},
			{"crash", 0, 0.5, func(w *world, step int) {
				if step == 5 {
					w.gws[0].down = true
				} else if step == 12 {
					w.start(0)
				}
			}},
		} {
			var worst float64
			for seed := range uint64(10) {
				w := newWorld(t, n, seed)
				w.loss = c.loss
				w.delay = 20 * time.Millisecond
				w.pass(2*time.Second, nil)
				const limit = 100
				spec, k := Spec{limit, 5 * time.Second}, Key{"c-1", ""}
				var l log
				for step := range 20 {
					c.do(w, step)
					w.pass(time.Second, func() {
						for range 3 {
							if g := w.gws[w.rng.IntN(n)]; !g.down {
								if _, _, ok := g.l.Take(k, spec, w.now, Ask{N: 1}); ok {
									l.add(w.now, 1)
								}
							}
						}
					})
				}
				most := l.most(spec.Window)
				worst = max(worst, float64(most-limit)/limit)
				if float64(most-limit) > c.bound*limit {
					t.Errorf("%s, %d gateways, seed %d: %d admitted, limit %d", c.name, n, seed, most, limit)
				}
				if most < limit*8/10 {
					t.Errorf("%s, %d gateways, seed %d: only %d admitted of %d", c.name, n, seed, most, limit)
				}
			}
			t.Logf("%s, %d gateways: worst excess %.0f %% of the limit", c.name, n, 100*worst)
		}
	}
}

// Users that roam over all gateways are counted once; one more than the limit
// is refused everywhere, and those that are counted pass everywhere.
func TestFleetCountsDistinctValuesOnce(t *testing.T) {
	for seed := range uint64(10) {
		const n, limit = 3, 10
		w := newWorld(t, n, seed)
		w.pass(2*time.Second, nil)
		spec, k := Spec{limit, 5 * time.Second}, Key{"c-1", "acme"}
		ask := func(g *gw, u int) bool {
			_, _, ok := g.l.Take(k, spec, w.now, Ask{N: 1, Each: true, Value: fmt.Sprint("u", u)})
			return ok
		}
		admitted := map[int]bool{}
		w.pass(10*time.Second, func() {
			u := w.rng.IntN(30)
			if ask(w.gws[w.rng.IntN(n)], u) {
				admitted[u] = true
			}
		})
		if len(admitted) != limit {
			t.Errorf("seed %d: %d users admitted, want exactly %d", seed, len(admitted), limit)
		}
		for _, g := range w.gws {
			for u := range 30 {
				if ok := ask(g, u); ok != admitted[u] {
					t.Errorf("seed %d: user %d on gateway %d: %v, want %v", seed, u, g.i, ok, admitted[u])
				}
			}
		}
		w.pass(6*time.Second, nil) // nobody is seen for a window: others may come
		w.pass(3*time.Second, func() {
			ask(w.gws[w.rng.IntN(n)], 100+w.rng.IntN(limit))
		})
		for u := 100; u < 100+limit; u++ {
			if !ask(w.gws[0], u) {
				t.Errorf("seed %d: a window later user %d is refused", seed, u)
			}
		}
	}
}

// What a gateway has lost of its own counts, the others tell it.
func TestFleetGivesBackWhatAGatewayLost(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.pass(2*time.Second, nil)
	spec, k := Spec{50, time.Hour}, Key{"c-1", "u"}
	n := 0
	w.pass(3*time.Second, func() {
		if _, _, ok := w.gws[0].l.Take(k, spec, w.now, Ask{N: 1}); ok {
			n++
		}
	})
	if n != 50 {
		t.Fatalf("%d admitted, want 50", n)
	}
	for round := range 3 {
		w.gws[0].down = true
		w.pass(time.Duration(round)*2*time.Second, nil)
		w.start(0)
		w.pass(time.Second, nil)
		for i, g := range w.gws {
			if _, no, ok := g.l.Take(k, spec, w.now, Ask{N: 1}); ok || no.Share {
				t.Errorf("restart %d: gateway %d admits one more", round, i)
			}
		}
	}
}

// Whatever stands on the bus, a gateway never admits more than its own limit,
// and does not break.
func FuzzFleetTake(f *testing.F) {
	f.Add(uint64(1), uint64(0), int64(5), int64(time.Second), uint8(1), "a", "")
	f.Add(uint64(1<<63), uint64(1), int64(-1), int64(-1), uint8(255), "me", "me")
	f.Fuzz(func(t *testing.T, round, prev uint64, n, window int64, flags uint8, name, to string) {
		l := New()
		now := int64(time.Hour)
		fl := NewFleet(l, "me", "b", now)
		k := Key{"c", "v"}
		admitted := 0
		for i := range 20 {
			now += int64(50 * time.Millisecond)
			w := Word{Gateway: name, Boot: fmt.Sprint(i % 3), To: to, Ask: flags&1 != 0, Round: round + uint64(i), Prev: prev, All: flags&2 != 0,
				Part: int(flags & 4), Parts: int(flags >> 4), Counts: []Count{{Hash: k.hash(), N: n, Window: time.Duration(window), Values: []uint64{round, prev}, Seen: flags&8 != 0}}}
			fl.Take(w, now)
			fl.Tick(now, true)
			for range 10 {
				if _, _, ok := l.Take(k, Spec{30, time.Hour}, now, Ask{N: 1}); ok {
					admitted++
				}
			}
		}
		if admitted > 30 {
			t.Fatalf("%d admitted, limit 30", admitted)
		}
	})
}

// A call that is larger than one gateway's part of a round gets what it asks
// for after a few, as long as that much is left; and a smaller one waits for none.
func TestFleetGathersForALargeCall(t *testing.T) {
	w := newWorld(t, 3, 1)
	w.pass(2*time.Second, nil)
	spec, k := Spec{10_000, time.Hour}, Key{"c-1", ""}
	for i, n := range []int64{100, 6000, 3000} {
		from, ok := w.now, false
		var g Grant
		w.pass(400*time.Millisecond, func() {
			if !ok {
				if g, _, ok = w.gws[i%3].l.Take(k, spec, w.now, Ask{N: n, AtMost: true}); ok {
					t.Logf("%d of what was left: after %v", n, time.Duration(w.now-from))
				}
			}
		})
		if !ok || g.n != n {
			t.Errorf("%d: %v, reserved %d", n, ok, g.n)
		}
	}
}

// Places are shared, too: never more are held together than there are, none is
// lost, and those of a gateway that is gone are free again in the end.
func TestFleetSharesPlaces(t *testing.T) {
	for seed := range uint64(10) {
		n := 2 + int(seed)%4
		w := newWorld(t, n, seed)
		w.pass(2*time.Second, nil)
		const limit = 7
		spec, k := Spec{limit, 0}, Key{"c-1", ""}
		type place struct {
			g  Grant
			of *gw
		}
		var held []place
		most := 0
		w.pass(10*time.Second, func() {
			if g := w.gws[w.rng.IntN(n)]; w.rng.IntN(3) > 0 {
				if grant, _, ok := g.l.Take(k, spec, w.now, Ask{N: 1}); ok {
					held = append(held, place{grant, g})
				}
			} else if len(held) > 0 && w.rng.IntN(4) == 0 {
				i := w.rng.IntN(len(held))
				held[i].g.Free(w.now)
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
			}
			most = max(most, len(held))
		})
		if most > limit || most < limit-1 {
			t.Errorf("seed %d, %d gateways: %d places held at most, of %d", seed, n, most, limit)
		}
		w.gws[0].down = true
		for _, p := range held {
			if p.of != w.gws[0] {
				p.g.Free(w.now)
			}
		}
		w.pass(lost+Silent, nil)
		got := 0
		w.pass(2*time.Second, func() {
			if _, _, ok := w.gws[1].l.Take(k, spec, w.now, Ask{N: 1}); ok {
				got++
			}
		})
		if got != limit {
			t.Errorf("seed %d: %d places a minute after a gateway was lost, want %d", seed, got, limit)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprint("others=", n), func(b *testing.B) {
			w := newWorld(b, n+1, 1)
			w.pass(2*time.Second, nil)
			l := w.gws[0].l
			if n == 0 {
				l = New()
			}
			spec, k := Spec{1 << 50, time.Minute}, Key{"c-1", "u"}
			now := w.now
			b.ReportAllocs()
			for b.Loop() {
				now++
				l.Take(k, spec, now, Ask{N: 1})
			}
		})
	}
}
