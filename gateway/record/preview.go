package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/correction"
	"andon/order"
)

// effect is what a correction does to one request.
type effect uint8

const (
	none effect = iota
	reached
	undecided
	changed
	limited // it has to pass the limit, or after the replay: did not
	refused
)

// Preview says what a correction would have done to what is recorded, and counts
// nothing of what runs. Its time lies within now.
func (r *Recorder) Preview(c correction.Correction, lists correction.Lists, now correction.Span) (*order.Preview, error) {
	out := &order.Preview{}
	if r == nil {
		out.Unknown = []string{"past traffic: this gateway keeps no record (gateway.record.requests is 0)"}
		return out, nil
	}
	p, err := r.plan(c, lists, now)
	if err != nil {
		return nil, err
	}
	out.Lost, out.Pseudonyms = r.lost.Load(), r.names.ID()
	segments := r.view()
	workers := make([]*worker, max(1, min(runtime.GOMAXPROCS(0), len(segments))))
	var next atomic.Int64
	var wait sync.WaitGroup
	for i := range workers {
		w := newWorker(p)
		workers[i] = w
		wait.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= len(segments) {
					return
				}
				w.segment(at, &segments[at])
			}
		})
	}
	wait.Wait()
	sum := workers[0]
	for _, w := range workers[1:] {
		sum.merge(w)
	}
	if p.c.Kind == correction.Rate {
		sum.replay(segments, len(workers))
	}
	sum.report(out)
	return out, nil
}

// tally is what became of the requests of one profile.
type tally struct{ total, touched int64 }

type worker struct {
	p       *plan
	verdict correction.Verdict
	req     correction.Request
	users   [4]string

	total, oldest, latest int64
	effects               [refused + 1]int64
	already               int64
	unknown               []int64
	byProfile             map[*profile]*tally
	distinct              order.Sketch // users
	arrivals              []arrival
	measured              int64 // of them: the provider said how many tokens
	peaks                 []order.Peak

	counts []tally  // of one segment's profiles
	cached []effect // likewise, plus 1; 0 is not asked yet
}

func newWorker(p *plan) *worker {
	return &worker{p: p, unknown: make([]int64, len(p.dims)), byProfile: map[*profile]*tally{}, oldest: math.MaxInt64, latest: math.MinInt64}
}

// yield is after how many rows a worker lets others run.
const yield = 1 << 11

// segment asks for every row of a segment.
func (w *worker) segment(at int, s *segment) {
	w.counts = resize(w.counts, len(s.profiles))
	w.cached = resize(w.cached, len(s.profiles))
	for i := range s.rows {
		if i%yield == yield-1 {
			runtime.Gosched() // requests go first
		}
		x := &s.rows[i]
		p := s.profiles[x.profile]
		w.total++
		w.oldest, w.latest = min(w.oldest, x.at), max(w.latest, x.at)
		w.counts[x.profile].total++
		for j, k := range w.p.dims {
			if k.missing(p, x) {
				w.unknown[j]++
			}
		}
		var e effect
		if w.p.byProfile {
			if w.cached[x.profile] == 0 {
				w.cached[x.profile] = w.judge(p, x) + 1
			}
			e = w.cached[x.profile] - 1
		} else {
			e = w.judge(p, x)
		}
		if e == reached && x.calls > 0 && len(w.p.c.Params.Disable) > 0 {
			e = undecided // the answer called tools, and nobody kept which
		}
		if e == limited {
			if x.outcome == Refused { // another correction refused it before it came to the limit
				e = reached
			} else {
				w.arrive(at, i, p, x)
				continue
			}
		}
		w.count(e, &w.counts[x.profile], x)
	}
	for i, n := range w.counts {
		t := w.byProfile[s.profiles[i]]
		if t == nil {
			t = &tally{}
			w.byProfile[s.profiles[i]] = t
		}
		t.total += n.total
		t.touched += n.touched
	}
}

func resize[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// count counts what a request got.
func (w *worker) count(e effect, t *tally, x *row) {
	w.effects[e]++
	if e < changed {
		return
	}
	t.touched++
	if x.outcome == Refused || x.outcome == Limited || x.outcome == Cut {
		w.already++
	}
	for i := range x.written() {
		w.distinct.Add(x.user(i))
	}
}

// judge asks for the model that was called, for those that the body let the
// provider use, and for the one that answered instead: as the gateway does.
func (w *worker) judge(p *profile, x *row) effect {
	w.req = p.req
	q := &w.req
	x.fill(q, w.users[:])
	e := w.ask(q, p)
	for i := 0; i+1 < len(p.others) && e < refused; i += 2 {
		q.Model, q.Version = p.others[i], p.others[i+1]
		if w.ask(q, p) == refused {
			e = refused
		}
	}
	if x.flags&flagCut != 0 && w.p.cutUsers && e <= reached {
		return undecided
	}
	if p.served != "" && e < limited {
		q.Model, q.Version = p.served, p.servedVersion
		e = max(e, w.ask(q, p))
	}
	return e
}

func (w *worker) ask(q *correction.Request, p *profile) effect {
	blind := w.p.users && len(q.Users) > 0 || w.p.addr && q.IP.IsValid()
	if blind {
		if w.decide(w.p.possible, q) > reached {
			return undecided
		}
		return none
	}
	e := w.decide(w.p.full, q)
	if p.cut && w.p.names && e <= reached {
		return undecided
	}
	return e
}

// decide is the gateway's own decision, and what follows from it.
func (w *worker) decide(policy *correction.Policy, q *correction.Request) effect {
	v := &w.verdict
	policy.Decide(q, w.p.now, v)
	switch {
	case !v.Allowed():
		return refused
	case len(v.Limits) > 0:
		return limited
	case len(v.Strips) > 0, rewritten(v, q):
		return changed
	case len(v.Filters) > 0, len(v.Sessions) > 0:
		return undecided
	case len(v.Clamps)+len(v.Guards)+len(v.Pins)+len(v.Acknowledge) > 0:
		return reached
	}
	return none
}

// rewritten says whether clamps or pins make the provider get something else
// than was asked for.
func rewritten(v *correction.Verdict, q *correction.Request) bool {
	if n := v.OutputTokens; n > 0 && q.Generates && (q.OutputTokens == 0 || q.OutputTokens > n) {
		return true
	}
	if n := v.Choices; n > 0 && q.Choices > n {
		return true
	}
	if n := v.ReasoningTokens; n > 0 && q.Reasoning > n {
		return true
	}
	if t := v.Temperature; t >= 0 && len(v.Clamps) > 0 && (q.Temperature > t || q.Temperature < 0 && t < 1) {
		return true
	}
	for _, r := range v.Pins {
		if r.Correction.Params.Pin != q.Version {
			return true
		}
	}
	return false
}

func (w *worker) merge(o *worker) {
	w.total += o.total
	w.oldest, w.latest = min(w.oldest, o.oldest), max(w.latest, o.latest)
	w.already += o.already
	w.measured += o.measured
	for i, n := range o.effects {
		w.effects[i] += n
	}
	for i, n := range o.unknown {
		w.unknown[i] += n
	}
	for p, t := range o.byProfile {
		if have := w.byProfile[p]; have != nil {
			have.total += t.total
			have.touched += t.touched
		} else {
			w.byProfile[p] = t
		}
	}
	w.distinct.Merge(&o.distinct)
	w.arrivals = append(w.arrivals, o.arrivals...)
}

// report writes what was counted.
func (w *worker) report(out *order.Preview) {
	out.Recorded = w.total
	if w.total > 0 {
		out.Since, out.Until = time.Unix(0, w.oldest).UTC(), time.Unix(0, w.latest).UTC()
	}
	e := &w.effects
	out.Refused, out.Limited, out.Changed, out.Undecided = e[refused], e[limited], e[changed], e[undecided]
	out.Requests = out.Refused + out.Limited + out.Changed
	out.Reached = out.Requests + out.Undecided + e[reached]
	out.Already = w.already
	out.Users, out.Peaks = w.distinct, w.peaks
	models, orgs, keys := map[string]*order.Reach{}, map[string]*order.Reach{}, map[string]*order.Reach{}
	for p, t := range w.byProfile {
		reach(models, p.req.Model, t)
		reach(orgs, p.req.Org, t)
		k := reach(keys, p.req.Key, t)
		k.Org = smaller(k.Org, p.req.Org)
		for _, a := range p.req.Attributes {
			if v, ok := strings.CutPrefix(a, "criticality="); ok {
				k.Criticality = smaller(k.Criticality, v)
			}
		}
	}
	out.Models, out.ByOrg, out.ByKey = touched(models, nil), touched(orgs, &out.Orgs), touched(keys, &out.Keys)
	for i, k := range w.p.dims {
		out.Known = append(out.Known, order.Known{Dimension: k.String(), Unknown: w.unknown[i]})
	}
	slices.SortFunc(out.Known, func(a, b order.Known) int { return cmp.Compare(a.Dimension, b.Dimension) })
	out.Unknown, out.Notes = w.p.unknown, w.p.notes
	if n := out.Undecided; n > 0 && len(out.Unknown) == 0 {
		out.Unknown = append(out.Unknown, fmt.Sprintf("%s (%d requests): %s", whatFor(w.p), n, "the record holds no texts, no names of tools that were called and no sessions"))
	}
}

func whatFor(p *plan) string {
	switch {
	case p.c.Params.Filter != nil, p.c.Params.Basis == "inferred":
		return "what the filter would find"
	case p.c.Params.Clamp != nil:
		return "which sessions would go over the limit"
	case p.c.Params.Disable != nil:
		return "which answers called a disabled tool"
	}
	return "what depends on names that were too many to keep"
}

func reach(m map[string]*order.Reach, name string, t *tally) *order.Reach {
	r := m[name]
	if r == nil {
		r = &order.Reach{Name: name}
		m[name] = r
	}
	r.Requests += t.touched
	r.Of += t.total
	return r
}

// touched lists those whose traffic is touched, most first; those that say how
// critical they are before the others. Everybody named counts.
func touched(m map[string]*order.Reach, count *order.Sketch) (list []order.Reach) {
	for name, r := range m {
		if r.Requests == 0 {
			continue
		}
		list = append(list, *r)
		if count != nil && name != "" {
			count.Add(HashName(name))
		}
	}
	slices.SortFunc(list, func(a, b order.Reach) int {
		return cmp.Or(cmp.Compare(flag(a.Criticality == ""), flag(b.Criticality == "")), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), order.MaxReach)]
}

// smaller is the smaller of two texts, of which "" is none: where a key stands
// for several, every preview names the same.
func smaller(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// HashName is the hash by which orgs and ids of keys are counted in a sketch.
func HashName(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:])
}
