package record

import (
	"cmp"
	"container/heap"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"andon/correction"
	"andon/gateway/limit"
	"andon/order"
)

// arrival is a request that has to pass the limit.
type arrival struct {
	at       int64
	bucket   uint64
	seg, row uint32
	refused  bool // by the limit, once it is replayed
}

var bucketSeed = maphash.MakeSeed()

// arrive notes a request, with the value that the limit counts by. Where that is
// unknown, requests share a bucket, as they do at the gateway.
func (w *worker) arrive(seg, i int, p *profile, x *row) {
	a := arrival{at: x.at, seg: uint32(seg), row: uint32(i)}
	name := ""
	switch w.p.c.Params.Per {
	case "user":
		a.bucket = x.first()
	case "ip":
		if x.flags&(flagIPv4|flagIPv6) != 0 {
			a.bucket = maphash.Bytes(bucketSeed, append(x.ip[:], x.flags&(flagIPv4|flagIPv6)))
		}
	case "org":
		name = p.req.Org
	case "key":
		name = p.req.Key
	case "model":
		name = p.req.Model
	}
	if name != "" {
		a.bucket = maphash.String(bucketSeed, name)
	}
	if x.usedIn > 0 || x.usedOut > 0 {
		w.measured++
	}
	w.arrivals = append(w.arrivals, a)
}

// replay sends the arrivals through a limiter of their own, in the order and at
// the times at which they came, and counts those that it refuses. Buckets know
// nothing of each other, so each worker takes some of them.
func (w *worker) replay(segments []segment, workers int) {
	all := w.arrivals
	parts := make([][]arrival, workers)
	for _, a := range all {
		i := a.bucket % uint64(workers)
		parts[i] = append(parts[i], a)
	}
	var wait sync.WaitGroup
	for _, part := range parts {
		wait.Go(func() { w.pass(segments, part) })
	}
	wait.Wait()
	for _, part := range parts {
		if w.p.c.Params.Metric == "requests" && w.p.c.Params.Per == "model" {
			w.findPeaks(segments, part)
		}
		for _, a := range part {
			s := &segments[a.seg]
			x := &s.rows[a.row]
			e := reached
			if a.refused {
				e = limited
			}
			w.count(e, w.byProfile[s.profiles[x.profile]], x)
		}
	}
	w.p.notes = append(w.p.notes, "the limit is replayed over recorded times by each gateway on its own, from an empty start")
	switch metric := w.p.c.Params.Metric; metric {
	case "input_tokens", "output_tokens", "total_tokens", "tool_calls":
		if n := int64(len(all)); n > w.measured {
			w.p.notes = append(w.p.notes, fmt.Sprintf("for %d of %d requests nobody counted what the answer used: the estimate that is reserved stands for it", n-w.measured, n))
		}
	}
	if w.p.c.Params.OnExceed == "queue" {
		w.p.notes = append(w.p.notes, "requests over the limit would wait for up to 30 s before they are refused")
	}
}

// findPeaks finds the most arrivals within one window, by model. They stand in the
// order in which pass left them: by bucket, then by time.
func (w *worker) findPeaks(segments []segment, part []arrival) {
	window, first, most := int64(w.p.c.Params.Window), 0, 0
	for i, a := range part {
		if i == 0 || a.bucket != part[i-1].bucket {
			first, most = i, 0
		}
		for part[first].at <= a.at-window {
			first++
		}
		most = max(most, i-first+1)
		if i+1 == len(part) || part[i+1].bucket != a.bucket {
			s := &segments[a.seg]
			w.peaks = append(w.peaks, order.Peak{Model: s.profiles[s.rows[a.row].profile].req.Model, Requests: int64(most)})
		}
	}
}

// pending is a grant that is settled later.
type pending struct {
	at    int64
	grant limit.Grant
	used  int64 // below 0: what was reserved
}

type settlements []pending

func (s settlements) Len() int           { return len(s) }
func (s settlements) Less(i, j int) bool { return s[i].at < s[j].at }
func (s settlements) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *settlements) Push(x any)        { *s = append(*s, x.(pending)) }
func (s *settlements) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

// pass replays some buckets, one after the other.
func (w *worker) pass(segments []segment, part []arrival) {
	slices.SortFunc(part, func(a, b arrival) int { return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.at, b.at)) })
	params := &w.p.c.Params
	ones := params.Metric == "requests" || params.Metric == "concurrent" || strings.HasPrefix(params.Metric, "distinct_")
	limiter := limit.New()
	for from, to := 0, 0; from < len(part); from = to {
		for to = from + 1; to < len(part) && part[to].bucket == part[from].bucket; to++ {
		}
		if ones && int64(to-from) <= *params.Limit {
			continue // each asks for one, and there is one for each
		}
		w.bucket(segments, limiter, part[from:to])
	}
}

// bucket replays the arrivals at one bucket, in the order in which they came.
func (w *worker) bucket(segments []segment, limiter *limit.Limiter, arrivals []arrival) {
	params := &w.p.c.Params
	spec := limit.Spec{Limit: *params.Limit, Window: time.Duration(params.Window)}
	key := limit.Key{Rule: ruleID, Value: strconv.FormatUint(arrivals[0].bucket, 16)}
	base := arrivals[0].at - int64(time.Second)
	settled := params.Metric != "requests" && !strings.HasPrefix(params.Metric, "distinct_") // later, when it is known
	var later settlements
	for i := range arrivals {
		if i%yield == yield-1 {
			runtime.Gosched() // requests go first
		}
		a := &arrivals[i]
		now := a.at - base
		for len(later) > 0 && later[0].at <= now {
			s := heap.Pop(&later).(pending)
			switch {
			case params.Metric == "concurrent":
				s.grant.Free(s.at)
			case s.used < 0:
				s.grant.Keep(s.at)
			default:
				s.grant.Settle(s.at, s.used)
			}
		}
		s := &segments[a.seg]
		x := &s.rows[a.row]
		ask, used := asks(params.Metric, x, s.profiles[x.profile])
		g, _, ok := limiter.Take(key, spec, now, ask)
		if a.refused = !ok; ok && settled {
			heap.Push(&later, pending{at: now + int64(x.took)*int64(tick), grant: g, used: used})
		}
	}
}

// asks is what the gateway asks of the limit for a request, and what it settles
// for; -1 is what was reserved.
func asks(metric string, x *row, p *profile) (a limit.Ask, used int64) {
	in, out := int64(x.in), int64(x.asked)
	if out == 0 {
		out = UnboundedAsks
	}
	out *= max(int64(x.choices), 1)
	if !p.req.Generates {
		out = 0
	}
	usedIn, usedOut := int64(x.usedIn), int64(x.usedOut)
	if usedIn == 0 {
		usedIn = in
	}
	switch metric {
	case "input_tokens":
		return limit.Ask{N: in, AtMost: true}, usedIn
	case "output_tokens":
		a, used = limit.Ask{N: out, AtMost: true}, usedOut
	case "total_tokens":
		a, used = limit.Ask{N: in + out, AtMost: true}, usedIn+usedOut
	case "tool_calls":
		if a.AtMost, used = true, int64(x.calls); p.req.Features&correction.Tools != 0 {
			a.N = 1
		}
	case "distinct_users":
		return limit.Ask{N: 1, Each: true, Value: text(x.first())}, 0
	case "distinct_apps":
		return limit.Ask{N: 1, Each: true, Value: app(p)}, 0
	default:
		return limit.Ask{N: 1}, -1
	}
	if x.usedIn == 0 && x.usedOut == 0 {
		used = -1
	}
	return a, used
}

// app is the application that calls, as the gateway takes it.
func app(p *profile) string {
	for _, a := range p.req.Attributes {
		if strings.HasPrefix(a, "app=") {
			return a
		}
	}
	return "key:" + p.req.Key
}

// UnboundedAsks is how many output tokens are reserved for a call that names no
// bound.
const UnboundedAsks = 1024
