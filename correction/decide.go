package correction

import (
	"math"
	"math/bits"
)

// Decide says what the policy makes of a request, at a time that lies within
// now, and writes it into v, which it resets first. v refers to the policy's
// rules, not to r. It allocates only to grow v's slices and to evaluate when
// expressions.
func (p *Policy) Decide(r *Request, now Span, v *Verdict) {
	v.reset()
	var s search
	s.policy, s.query, s.now, s.v = p, newQuery(r), now, v
	p.base.lookEverywhere(&s.query, now, v)
	if len(p.recent.rules) > 0 {
		p.recent.lookEverywhere(&s.query, now, v)
	}
	for left := p.base.ix.dims | p.recent.ix.dims; left != 0; left &= left - 1 {
		s.lookUp(dim(bits.TrailingZeros16(left)))
	}
	v.settle()
}

// lookEverywhere judges the rules that no text leads to: those that are looked at
// for every request, and those under prefixes that cover the address.
func (l *layer) lookEverywhere(q *query, now Span, v *Verdict) {
	for _, i := range l.ix.always {
		l.rules[i].judge(q, now, v)
	}
	t := l.ix.ip6
	if q.ip.Is4() {
		t = l.ix.ip4
	}
	if t == nil || !q.ip.IsValid() {
		return
	}
	for i := t.find(newIPKey(q.ip)); i >= 0; i = l.ix.nodes[i].up {
		l.judgeAll(l.ix.nodes[i].posting, q, now, v)
	}
}

// search is a decision under way.
type search struct {
	query
	policy *Policy
	now    Span
	v      *Verdict

	baseDone, recentDone seen // of the dimension that is looked up
}

// tables are those of one dimension in both layers.
type tables struct{ base, recent *textTable }

// lookUp judges the rules that stand under the request's values of a dimension.
func (s *search) lookUp(d dim) {
	in := tables{&s.policy.base.ix.texts[d], &s.policy.recent.ix.texts[d]}
	s.baseDone.n, s.recentDone.n = 0, 0
	if !d.multi() {
		s.lookUpText(in, s.one(d))
		return
	}
	for _, value := range s.several(d) {
		if d == dimNode {
			s.lookUpNodes(in, value)
		} else {
			s.lookUpText(in, value)
		}
	}
	if d == dimUser {
		for _, value := range s.r.Folded {
			s.lookUpText(in, value)
		}
	}
}

// lookUpText judges the rules that stand under one value.
func (s *search) lookUpText(in tables, value string) {
	if value == "" {
		return
	}
	h := hash(value)
	if in.base.may(h) {
		if place := in.base.find(h, value); place != 0 {
			if at := in.base.at(place); s.baseDone.add(at) {
				s.policy.base.judgeAll(at, &s.query, s.now, s.v)
			}
		}
	}
	if in.recent.may(h) {
		if place := in.recent.find(h, value); place != 0 {
			if at := in.recent.at(place); s.recentDone.add(at) {
				s.policy.recent.judgeAll(at, &s.query, s.now, s.v)
			}
		}
	}
}

// lookUpNodes looks up a use case and all above it. A caller writes it, so only
// as much of it is looked at as a node can have.
func (s *search) lookUpNodes(in tables, use string) {
	depth := 0
	for end := range min(len(use), MaxValueBytes+1) {
		if use[end] == '/' {
			s.lookUpText(in, use[:end])
			if depth++; depth == MaxUseCaseDepth {
				return
			}
		}
	}
	if len(use) <= MaxValueBytes {
		s.lookUpText(in, use)
	}
}

// seen remembers the first postings that a request's values led to. A request
// may say the same value a thousand times ("function", for each of its tools),
// and what stands under it is judged once.
type seen struct {
	n        int
	postings [16]posting
}

// add says whether a posting is new, as far as it remembers.
func (s *seen) add(l posting) bool {
	for _, have := range s.postings[:s.n] {
		if have == l {
			return false
		}
	}
	if s.n < len(s.postings) {
		s.postings[s.n] = l
		s.n++
	}
	return true
}

func (l *layer) judgeAll(at posting, q *query, now Span, v *Verdict) {
	if at&isList == 0 {
		l.rules[at].judge(q, now, v)
		return
	}
	for _, i := range l.ix.lists[at&^isList] {
		l.rules[i].judge(q, now, v)
	}
}

// judge applies one rule. What is cheap is asked first, and the expressions last.
func (r *Rule) judge(q *query, now Span, v *Verdict) {
	if now.Late < r.start || now.Early >= r.end {
		return
	}
	d := r.detail
	waits := false // until it is due
	switch r.act {
	case actRefuse:
	case actRefuseNew:
		if q.r.Continues || q.r.Live {
			return
		}
	case actFreeze:
		if q.r.Live || q.r.Features&FineTuneCreate == 0 {
			return
		}
	case actDrain:
		waits = q.r.Live && now.Late < d.due
	case actLimit:
		if q.r.Live {
			return
		}
	case actFilter:
		if !q.r.Generates && !(q.r.Brings && d.effect.filter.Direction != "output") {
			return
		}
	case actDisable:
		if !d.effect.mayDisable(q.r) {
			return
		}
	case actClamp:
		if !d.effect.clamps(q.r) {
			return
		}
	case actAcknowledge:
		if d.effect.hasAcknowledged(q.r) {
			return
		}
		waits = now.Late < d.due
	}
	if d != nil && !d.reaches(r.Correction, q) {
		return
	}
	switch {
	case r.act >= actDisable:
		r.apply(q.r, waits, v)
	case r.shadow:
		if !waits {
			v.Shadow = append(v.Shadow, r)
		}
	case !waits:
		v.Refused = append(v.Refused, r)
	case v.Drain == 0 || d.due < v.Drain:
		v.Drain = d.due
	}
}

// reaches says whether the request is in what the index has left open of the
// scope, and in the share, and not spared.
func (d *detail) reaches(c *Correction, q *query) bool {
	for i := range d.reach {
		if !d.reach[i].any(q) {
			return false
		}
	}
	if d.linked != nil && !d.linked.reaches(q) {
		return false
	}
	if d.share != math.MaxUint64 && !inShare(c.ID, d.share, q) {
		return false
	}
	if d.listed != nil && d.listed.holds(q) {
		return false
	}
	late := d.except != nil && d.except.when != nil
	if d.except != nil && !late && d.except.holds(q) {
		return false
	}
	if d.when != nil && !holds(d.when, q.r, true) {
		return false
	}
	return !late || !d.except.holds(q)
}
