package gateway

import (
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
// that it forbids, and only those. It returns how many. When it returns, every
// one of them has been told; their last bytes are on the way.
func (g *Gateway) sweep(rl *ruling) int {
	if rl == nil {
		return 0
	}
	start := time.Now()
	now, mono := g.clock.span()
	stale := g.lease.over(mono)
	var ended atomic.Int64
	var next atomic.Int32
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(g.live.shards)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := sweeper{g: g, rl: rl, now: now, stale: stale}
			for i := int(next.Add(1)) - 1; i < len(g.live.shards); i = int(next.Add(1)) - 1 {
				g.live.each(i, s.look)
			}
			ended.Add(s.ended)
		}()
	}
	wg.Wait()
	g.metrics.sweep.Observe(time.Since(start).Seconds())
	n := int(ended.Load())
	if n > 0 {
		g.metrics.cuts.Add(float64(n))
		time.AfterFunc(patience, g.force)
	}
	return n
}

// force ends the cut calls whose goroutines are stuck.
func (g *Gateway) force() {
	now := time.Now()
	g.live.all(func(c *call) { c.force(now) })
}

type sweeper struct {
	g       *Gateway
	rl      *ruling
	now     correction.Span
	stale   bool
	ended   int64
	verdict correction.Verdict
	shared  map[*correction.Rule]*reason // of verdicts with one rule, which most are
}

func (s *sweeper) look(c *call) {
	why := s.forbids(c)
	if why != nil && c.end(cut, why) {
		s.ended++
	}
}

func (s *sweeper) forbids(c *call) *reason {
	if s.g.cfg.Identity.Mode == "keys" {
		if k := s.rl.keys[c.caller.hash]; k == nil || k.expired(s.now) {
			return &reason{ruling: s.rl, status: http.StatusUnauthorized, code: "invalid_api_key", detail: "the API key of this call was revoked, or has expired"}
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
