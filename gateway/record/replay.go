package record

import (
	"cmp"
	"container/heap"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"time"

	"andon/gateway/limit"
)

// arrival is a request that has to pass the limit.
type arrival struct {
	at       int64
	bucket   uint64
	seg, row uint32
}

var bucketSeed = maphash.MakeSeed()

// arrive notes a request, with the value that the limit counts by. Where that is
// unknown, requests share a bucket, as they do at the gateway.
func (w *worker) arrive(seg, i int, p *profile, x *row) {
	a := arrival{at: x.at, seg: uint32(seg), row: uint32(i)}
	name := ""
	switch w.p.c.Params.Per {
	case "user":
		a.bucket = x.users[0]
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
	slices.SortFunc(all, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	refusedAt := make([]bool, len(all))
	var wait sync.WaitGroup
	for i := range workers {
		wait.Go(func() { w.pass(segments, refusedAt, uint64(i), uint64(workers)) })
	}
	wait.Wait()
	for i, a := range all {
		s := &segments[a.seg]
		x := &s.rows[a.row]
		e := reached
		if refusedAt[i] {
			e = limited
		}
		w.count(e, w.byProfile[s.profiles[x.profile]], x)
	}
	w.p.notes = append(w.p.notes, "the limit is replayed over recorded times by each gateway on its own, from an empty start")
	switch metric := w.p.c.Params.Metric; metric {
	case "input_tokens", "output_tokens", "total_tokens":
		if n := int64(len(all)); n > w.measured {
			w.p.notes = append(w.p.notes, fmt.Sprintf("for %d of %d requests the provider's token count is not known: the estimate that is reserved stands for it", n-w.measured, n))
		}
	}
	if w.p.c.Params.OnExceed == "queue" {
		w.p.notes = append(w.p.notes, "requests over the limit would wait for up to 30 s before they are refused")
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

// pass replays the buckets of one worker.
func (w *worker) pass(segments []segment, refusedAt []bool, part, parts uint64) {
	params := &w.p.c.Params
	spec := limit.Spec{Limit: *params.Limit, Window: time.Duration(params.Window)}
	limiter := limit.New()
	keys := map[uint64]limit.Key{}
	var later settlements
	var base int64
	if len(w.arrivals) > 0 {
		base = w.arrivals[0].at - int64(time.Second)
	}
	counted := params.Metric == "requests"
	for i := range w.arrivals {
		a := &w.arrivals[i]
		if a.bucket%parts != part {
			continue
		}
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
		key, ok := keys[a.bucket]
		if !ok {
			key = limit.Key{Rule: ruleID, Value: strconv.FormatUint(a.bucket, 16)}
			keys[a.bucket] = key
		}
		s := &segments[a.seg]
		x := &s.rows[a.row]
		n, used := amounts(params.Metric, x, s.profiles[x.profile].req.Generates)
		g, _, ok := limiter.Reserve(key, spec, now, n, params.Metric != "requests" && params.Metric != "concurrent")
		if !ok {
			refusedAt[i] = true
			continue
		}
		if !counted {
			heap.Push(&later, pending{at: now + int64(x.took)*int64(tick), grant: g, used: used})
		}
	}
}

// amounts is what the gateway reserves for a request, and what it settles for; -1
// is what was reserved.
func amounts(metric string, x *row, generates bool) (n, used int64) {
	in, out := int64(x.in), int64(x.asked)
	if out == 0 {
		out = UnboundedAsks
	}
	out *= max(int64(x.choices), 1)
	if !generates {
		out = 0
	}
	measured := x.usedIn > 0 || x.usedOut > 0
	usedIn := int64(x.usedIn)
	if usedIn == 0 {
		usedIn = in
	}
	switch metric {
	case "input_tokens":
		return in, usedIn
	case "output_tokens":
		n, used = out, int64(x.usedOut)
	case "total_tokens":
		n, used = in+out, usedIn+int64(x.usedOut)
	case "tool_calls":
		return 1, int64(x.calls)
	default:
		return 1, -1
	}
	if !measured {
		used = -1
	}
	return n, used
}

// UnboundedAsks is how many output tokens are reserved for a call that names no
// bound.
const UnboundedAsks = 1024
