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
// connections are closed under it.
const patience = 50 * time.Millisecond

// sweep looks at every running call under what is in force now, and ends those
// that it forbids, and only those. It returns how many.
//
// It goes over them twice. First every stream that stands at an event boundary
// gets its last event, written from here, without waiting for its goroutine;
// then the goroutines are woken, which close the provider's sides and tell
// those whom the sweep could not. When sweep returns, every call has been told
// or is being told.
func (g *Gateway) sweep(rl *ruling) int {
	if rl == nil {
		return 0
	}
	start := time.Now()
	now, mono := g.clock.span()
	stale := g.lease.over(mono)
	workers := make([]sweeper, min(runtime.GOMAXPROCS(0), len(g.live.shards)))
	var next atomic.Int32
	g.each(workers, func(s *sweeper) {
		*s = sweeper{g: g, rl: rl, now: now, stale: stale}
		for i := int(next.Add(1)) - 1; i < len(g.live.shards); i = int(next.Add(1)) - 1 {
			g.live.each(i, s.look)
		}
	})
	g.each(workers, func(s *sweeper) {
		for _, w := range s.ended {
			w.wake()
		}
	})
	n := 0
	for i := range workers {
		n += len(workers[i].ended)
	}
	g.metrics.sweep.Observe(time.Since(start).Seconds())
	if n > 0 {
		g.metrics.cuts.Add(float64(n))
		time.AfterFunc(patience, g.force)
	}
	return n
}

// each runs f for every worker at once, and waits for all.
func (g *Gateway) each(workers []sweeper, f func(*sweeper)) {
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { f(&workers[i]) })
	}
	wg.Wait()
}

// force ends the cut calls whose goroutines are stuck.
func (g *Gateway) force() {
	now := time.Now()
	g.live.all(func(c *call) { c.force(now) })
}

type sweeper struct {
	g         *Gateway
	rl        *ruling
	now       correction.Span
	stale     bool
	ended     []waker
	verdict   correction.Verdict
	shared    map[*correction.Rule]*reason // of verdicts with one rule, which most are
	farewells map[farewell][][]byte
	buf       []byte
}

func (s *sweeper) look(c *call) {
	why := s.forbids(c)
	if why == nil {
		return
	}
	w, ok := c.mark(cut, why)
	if !ok {
		return
	}
	s.ended = append(s.ended, w)
	if !c.out.TryLock() {
		return // an event is being written: the goroutine goes on with the end
	}
	if c.sink != nil {
		c.sink.End(s.farewell(c, why))
		c.told = true
	}
	c.out.Unlock()
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
	if s.g.cfg.Identity.Mode == "keys" {
		if k := s.rl.keys[c.caller.hash]; k == nil || k.expired(s.now) {
			return &keyGone
		}
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
			if refused := c.decideOthers(s.rl, s.now, true); refused != nil {
				return &reason{ruling: s.rl, refused: refused}
			}
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
