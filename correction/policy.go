package correction

import (
	"math"
	"slices"
	"time"
)

// Len is the number of corrections in the policy.
func (p *Policy) Len() int {
	if p.order != nil {
		return len(p.order)
	}
	return len(p.base.rules)
}

// Each calls fn for every rule, most severe first, then by id, until fn
// returns false. Rules that are not in force now are among them.
func (p *Policy) Each(fn func(*Rule) bool) {
	for i := range p.Len() {
		if !fn(p.at(p.place(i))) {
			return
		}
	}
}

// place is where a rank's rule stands: in base, or beyond its end in recent.
func (p *Policy) place(rank int) int {
	if p.order != nil {
		return int(p.order[rank])
	}
	return rank
}

func (p *Policy) at(place int) *Rule {
	if n := len(p.base.rules); place >= n {
		return &p.recent.rules[place-n]
	}
	return &p.base.rules[place]
}

// findChanges collects the instants at which a rule begins, ends, or stops
// sparing those who have time, and which rules wait.
func (p *Policy) findChanges() {
	p.collectChanges(p.base.rules)
	p.collectChanges(p.recent.rules)
	slices.Sort(p.changes)
	p.changes = slices.Compact(p.changes)
	slices.Sort(p.waiting)
}

// Waiting are the ids, in order, of the corrections that are not in force because
// a list that their scope names is missing. The caller may keep them.
func (p *Policy) Waiting() []string { return slices.Clone(p.waiting) }

func (p *Policy) collectChanges(rules []Rule) {
	for i := range rules {
		r := &rules[i]
		if r.act == actWaiting {
			p.waiting = append(p.waiting, r.Correction.ID)
			continue
		}
		if r.act == actNothing || r.start >= r.end {
			continue
		}
		if r.start != math.MinInt64 {
			p.changes = append(p.changes, r.start)
		}
		if r.end != math.MaxInt64 {
			p.changes = append(p.changes, r.end)
		}
		if r.act != actDrain && r.act != actAcknowledge {
			continue
		}
		if due := r.detail.due; due < r.end && due != math.MinInt64 && due != math.MaxInt64 {
			p.changes = append(p.changes, due)
		}
	}
}

// NextChange is the earliest instant after the given one at which a correction
// begins, expires, ends its drain, or is past its deadline, so that a verdict may change although the
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
