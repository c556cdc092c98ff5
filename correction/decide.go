package correction

import (
	"math"
	"strings"
)

// Decide says what the policy makes of a request, at a time that lies within
// now, and writes it into v, which it resets first. v refers to the policy's
// rules, not to r. It allocates only to grow v's slices and to evaluate when
// expressions.
func (p *Policy) Decide(r *Request, now Span, v *Verdict) {
	v.reset()
	q := newQuery(r)
	p.base.decide(&q, now, v)
	if len(p.recent.rules) > 0 {
		p.recent.decide(&q, now, v)
	}
	v.settle()
}

// decide judges the rules of a layer that may reach the request.
func (l *layer) decide(q *query, now Span, v *Verdict) {
	for _, i := range l.ix.always {
		l.rules[i].judge(q, now, v)
	}
	for d := range l.ix.texts {
		if m := l.ix.texts[d]; m != nil {
			l.lookUp(m, dim(d), q, now, v)
		}
	}
	if l.ix.trie != nil && q.ip.IsValid() {
		if n, ok := l.ix.trie.Lookup(q.ip); ok {
			for i := int32(n); i >= 0; i = l.ix.nodes[i].up {
				l.judgeAll(l.ix.nodes[i].posting, q, now, v)
			}
		}
	}
}

// lookUp judges the rules that stand under the request's values of a dimension.
func (l *layer) lookUp(m map[string]posting, d dim, q *query, now Span, v *Verdict) {
	if !d.multi() {
		if value := q.one(d); value != "" && l.ix.may(d, value) {
			if at, ok := m[value]; ok {
				l.judgeAll(at, q, now, v)
			}
		}
		return
	}
	var done seen
	for _, value := range q.several(d) {
		if d == dimNode {
			l.lookUpNodes(m, value, &done, q, now, v)
		} else {
			l.lookUpOne(m, d, value, &done, q, now, v)
		}
	}
	if d == dimUser {
		for _, value := range q.r.Folded {
			l.lookUpOne(m, d, value, &done, q, now, v)
		}
	}
}

// lookUpOne looks up one of several values.
func (l *layer) lookUpOne(m map[string]posting, d dim, value string, done *seen, q *query, now Span, v *Verdict) {
	if value == "" || !l.ix.may(d, value) {
		return
	}
	if at, ok := m[value]; ok && done.add(at) {
		l.judgeAll(at, q, now, v)
	}
}

// lookUpNodes looks up a use case and all above it. A caller writes it, so only
// as much of it is looked at as a node can have.
func (l *layer) lookUpNodes(m map[string]posting, use string, done *seen, q *query, now Span, v *Verdict) {
	end := 0
	for range MaxUseCaseDepth {
		next := strings.IndexByte(use[end:], '/')
		if next < 0 {
			end = len(use)
		} else {
			end += next
		}
		if end > MaxValueBytes {
			return
		}
		if end > 0 && l.ix.may(dimNode, use[:end]) {
			if at, ok := m[use[:end]]; ok && done.add(at) {
				l.judgeAll(at, q, now, v)
			}
		}
		if end == len(use) {
			return
		}
		end++
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
