package correction

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"unsafe"
)

// leastStale is how much may have come and gone, in any policy, before it is
// indexed anew; see Policy.next.
const leastStale = 256

// gone stands in base for a rule that is no longer in the policy, and which its
// index still leads to. It is never in force.
var gone = Rule{start: math.MaxInt64, end: math.MinInt64, act: actNothing}

// Next makes the policy of cs, the same that Compile makes, but faster where
// cs is mostly what p was made of. p may be nil, and stays as it is.
//
// A correction counts as unchanged if it is the one that p has, or the same bit
// for bit: a copy, which shares what it points to. One that is equal only in what
// its pointers lead to is compiled as if it were new. Nobody may change what cs
// points to afterwards. What names a list that has come, gone or been replaced by
// another object is compiled anew, and nothing else is.
func (p *Policy) Next(cs []*Correction, lists Lists) (*Policy, error) {
	if p != nil {
		if next := p.next(cs, lists); next != nil {
			return next, nil
		}
	}
	return compileAll(cs, lists)
}

// next returns nil where everything has to be compiled: something is wrong with
// cs, which Compile will say, or so much has come and gone that an index of all
// is due. Until then what is new has an index of its own, which is small and
// made anew each time.
func (p *Policy) next(cs []*Correction, lists Lists) *Policy {
	sorted, err := arrange(cs)
	if err != nil {
		return nil
	}
	q := &Policy{
		base:   layer{rules: slices.Clone(p.base.rules), ix: p.base.ix},
		recent: layer{rules: make([]Rule, 0, len(p.recent.rules)+8)},
		order:  make([]uint32, 0, len(sorted)),
		stale:  p.stale,
		lists:  maps.Clone(lists),
	}
	changed := changedLists(p.lists, lists)
	most := max(leastStale, p.base.weight()/16)
	fresh, old, end := 0, 0, p.Len()
	for _, c := range sorted {
		kept := false
		for ; old < end && !kept; old++ {
			place := p.place(old)
			r := p.at(place)
			if kept = same(r.Correction, c) && (changed == nil || !namesAny(c, changed)); kept {
				fresh += q.keep(place, r, c)
			} else if before(c, r.Correction) {
				break
			} else {
				q.drop(place) // it has gone, or c is what has become of it
			}
		}
		if !kept {
			if c.check(false) != nil {
				return nil
			}
			q.addRecent(Rule{Correction: c})
			fresh += weight(c)
		}
		if q.stale+fresh > most {
			return nil
		}
	}
	for ; old < end; old++ {
		q.drop(p.place(old))
	}
	if q.stale+fresh > most || q.recent.build(q.lists) != nil {
		return nil
	}
	q.findChanges()
	return q
}

// keep takes over a rule that had its place in the policy before, under its new
// correction, which is the same: so the old slice of corrections can be freed. It
// returns what the rule weighs if it is to be indexed again.
func (q *Policy) keep(place int, old *Rule, c *Correction) int {
	if place >= len(q.base.rules) {
		r := *old
		r.Correction = c
		q.addRecent(r)
		return weight(c)
	}
	r := &q.base.rules[place]
	r.Correction, r.rank = c, uint32(len(q.order))
	q.order = append(q.order, uint32(place))
	return 0
}

// addRecent adds a rule of the next rank that stands in recent.
func (q *Policy) addRecent(r Rule) {
	r.rank = uint32(len(q.order))
	q.order = append(q.order, uint32(len(q.base.rules)+len(q.recent.rules)))
	q.recent.rules = append(q.recent.rules, r)
}

// drop leaves out the rule that had this place in the policy before. One of recent
// is left out by not keeping it.
func (q *Policy) drop(place int) {
	if place < len(q.base.rules) {
		q.stale += weight(q.base.rules[place].Correction)
		q.base.rules[place] = gone
	}
}

// before says whether a stands before b in a policy.
func before(a, b *Correction) bool {
	if s, t := severity(a), severity(b); s != t {
		return s < t
	}
	return a.ID < b.ID
}

// same says whether two corrections are one and the same, or one a copy of the
// other. What they point to is not looked at: nobody may change it. Values that
// are equal but not identical may well count as different.
func same(a, b *Correction) bool {
	type bits [unsafe.Sizeof(Correction{})]byte
	return a == b || *(*bits)(unsafe.Pointer(a)) == *(*bits)(unsafe.Pointer(b))
}

// changedLists are the names that stand for another list than before; nil if
// there are none.
func changedLists(before, after Lists) map[string]bool {
	var changed map[string]bool
	note := func(name string) {
		if changed == nil {
			changed = map[string]bool{}
		}
		changed[name] = true
	}
	for name, l := range after {
		if !sameList(before[name], l) {
			note(name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			note(name)
		}
	}
	return changed
}

// sameList says whether two lists are one object. Of a type that cannot be
// compared no two are.
func sameList(a, b List) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func namesAny(c *Correction, changed map[string]bool) bool {
	in := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return changed[n] })
	}
	return in(c.Scope.Lists) || c.Except != nil && in(c.Except.Lists)
}

// weight is about what it costs to index a correction: one, and its values.
func weight(c *Correction) int {
	n := 1 + len(c.Links)
	for _, l := range c.Scope.lists() {
		n += len(*l)
	}
	if c.Except != nil {
		for _, l := range c.Except.lists() {
			n += len(*l)
		}
	}
	return n
}

// weight is about what it costs to index the layer.
func (l *layer) weight() int { return len(l.rules) + l.ix.size() }
