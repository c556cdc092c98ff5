package correction

import (
	"math"
	"slices"
	"time"
)

// Len is the number of corrections in the policy.
func (p *Policy) Len() int { return len(p.rules) }

// Each calls fn for every rule, most severe first, then by id, until fn
// returns false. Rules that are not in force now are among them.
func (p *Policy) Each(fn func(*Rule) bool) {
	for i := range p.rules {
		if !fn(&p.rules[i]) {
			return
		}
	}
}

// findChanges collects the instants at which a rule begins, ends, or stops
// sparing live requests.
func (p *Policy) findChanges() {
	for i := range p.rules {
		r := &p.rules[i]
		if r.act == actNothing || r.start >= r.end {
			continue
		}
		at := []int64{r.start, r.end}
		if r.act == actDrain && r.detail.drained < r.end {
			at = append(at, r.detail.drained)
		}
		for _, t := range at {
			if t != math.MinInt64 && t != math.MaxInt64 {
				p.changes = append(p.changes, t)
			}
		}
	}
	slices.Sort(p.changes)
	p.changes = slices.Compact(p.changes)
}

// NextChange is the earliest instant after the given one at which a correction
// begins, expires, or ends its drain, so that a verdict may change although the
// policy does not. It is zero if there is none. Between two changes the
// verdict on a request stays what it is, for a clock that is not in doubt.
func (p *Policy) NextChange(after time.Time) time.Time {
	i, found := slices.BinarySearch(p.changes, nanos(after))
	if found {
		i++
	}
	if i == len(p.changes) {
		return time.Time{}
	}
	return time.Unix(0, p.changes[i]).UTC()
}
