package gateway

import (
	"bytes"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"andon/correction"
)

// patience is how long a cut call may take to end by itself before its
// connections are closed under it, at every gateway but those of tests.
const patience = 100 * time.Millisecond

// sweep looks at every running call under what is in force now, and ends those
// that it forbids, and only those. It returns how many.
//
// Every stream that stands at an event boundary gets its last event written
// from here, without waiting for its goroutine. The other calls are woken to
// tell their callers themselves. When sweep returns, every call has been told
// or is being told. The goroutines of the streams, which close the provider's
// sides, are woken after that: at once where the sweep was short, and where it
// was long after as long again, so that closing thousands of connections does
// not get in the way of those who wait to be told, here or on other gateways.
func (g *Gateway) sweep(rl *ruling) int {
	if rl == nil {
		return 0
	}
	start := time.Now()
	now, mono := g.clock.span()
	stale := g.lease.over(mono)
	workers := make([]sweeper, min(runtime.GOMAXPROCS(0), len(g.live.shards)))
	var next atomic.Int32
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			s := &workers[i]
			*s = sweeper{g: g, rl: rl, now: now, mono: mono, stale: stale, began: start, flight: make(flight, g.captures.places)}
			for i := int(next.Add(1)) - 1; i < len(g.live.shards); i = int(next.Add(1)) - 1 {
				g.live.each(i, s.look)
			}
		})
	}
	wg.Wait()
	n := 0
	var told []waker
	for i := range workers {
		s := &workers[i]
		wakeAll(s.waiting)
		told = append(told, s.told...)
		n += len(s.waiting) + len(s.told)
	}
	took := time.Since(start)
	g.metrics.sweep.Observe(took.Seconds())
	if n > 0 {
		g.metrics.cuts.Add(float64(n))
		time.AfterFunc(g.patience, g.force)
	}
	if took < time.Millisecond {
		wakeAll(told)
	} else if len(told) > 0 {
		time.AfterFunc(min(took, patience/2), func() { wakeAll(told) })
	}
	g.captures.swept(start, workers)
	return n
}

func wakeAll(calls []waker) {
	for _, w := range calls {
		w.wake()
	}
}

// force ends the cut calls whose goroutines are stuck.
func (g *Gateway) force() {
	now := time.Now()
	g.live.all(func(c *call) {
		if c.force(now) {
			g.metrics.forced.Add(1)
		}
	})
}

type sweeper struct {
	g         *Gateway
	rl        *ruling
	now       correction.Span
	mono      int64
	stale     bool
	told      []waker // streams whose end is written
	waiting   []waker // calls whose goroutines do it
	verdict   correction.Verdict
	shared    map[*correction.Rule]*reason // of verdicts with one rule, which most are
	farewells map[farewell][][]byte
	buf       []byte
	began     time.Time
	flight    flight // what it found, before it ended anything
}

func (s *sweeper) look(c *call) {
	s.flight.count(c, s.began)
	why := s.forbids(c)
	if why == nil {
		return
	}
	w, ok := c.mark(cut, why)
	if !ok {
		return
	}
	if c.out.TryLock() { // else an event is being written: its goroutine goes on with the end
		if c.sink != nil {
			c.told = c.sink.End(s.farewell(c, why)) // under TLS its goroutine has to do it
		}
		c.out.Unlock()
	}
	if c.told {
		s.told = append(s.told, w)
	} else {
		s.waiting = append(s.waiting, w)
	}
}

// farewell is what the last events of streams have in common.
type farewell struct {
	why   *reason
	api   string
	model *model
}

// someRequest stands for a request's id in a farewell that is kept.
const someRequest = "r-00000000-some-request"

// farewell renders the last event of a stream: once for all that end for the
// same reason in the same way, but for the request's id.
func (s *sweeper) farewell(c *call, why *reason) []byte {
	key := farewell{why, c.route.API, c.model}
	parts := s.farewells[key]
	if parts == nil {
		p := s.g.problem(c, why)
		p.RequestID = someRequest
		parts = bytes.Split(c.wire.AppendStreamEnd(nil, c.route, p), []byte(someRequest))
		if s.farewells == nil {
			s.farewells = map[farewell][][]byte{}
		}
		s.farewells[key] = parts
	}
	s.buf = s.buf[:0]
	for i, p := range parts {
		if i > 0 {
			s.buf = append(s.buf, c.id...)
		}
		s.buf = append(s.buf, p...)
	}
	return s.buf
}

var keyGone = reason{status: http.StatusUnauthorized, code: "invalid_api_key", detail: "the API key of this call was revoked, or has expired"}

func (s *sweeper) forbids(c *call) *reason {
	if !s.g.admits(s.rl, c.caller, s.now) {
		return &keyGone
	}
	if s.stale && c.model.OnStale != Hold {
		return staleReason(s.rl)
	}
	q := c.req
	q.Live = true
	s.rl.policy.Decide(&q, s.now, &s.verdict)
	switch len(s.verdict.Refused) {
	case 0:
		if len(c.others) > 0 {
			if refused := c.decideOthers(s.rl, s.now, true, nil); refused != nil {
				return &reason{ruling: s.rl, refused: refused}
			}
		}
		s.g.autonomy.bound(c, &s.verdict, s.rl, s.mono)
		if pins := s.verdict.Pins; len(pins) > 0 && c.model.Version != pins[0].Correction.Params.Pin {
			return &reason{ruling: s.rl, refused: []*correction.Rule{pins[0]}} // rolled back: another version serves now
		}
		return nil
	case 1:
		top := s.verdict.Refused[0]
		if s.shared == nil {
			s.shared = map[*correction.Rule]*reason{}
		}
		if s.shared[top] == nil {
			s.shared[top] = &reason{ruling: s.rl, refused: []*correction.Rule{top}}
		}
		return s.shared[top]
	}
	return &reason{ruling: s.rl, refused: append([]*correction.Rule(nil), s.verdict.Refused...)}
}
