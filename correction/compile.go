package correction

import (
	"cmp"
	"fmt"
	"slices"
)

// Policy is a compiled set of corrections. It is immutable, and safe for any
// number of concurrent callers. It keeps the corrections that it was compiled
// from, which nobody may change afterwards.
type Policy struct {
	rules   []Rule // most severe first, then by id
	ix      index
	changes []int64 // instants at which a verdict may change, ascending
}

// severity orders refusals: stop by descending level, access, use, capability,
// rate.
func severity(c *Correction) int {
	switch c.Kind {
	case Stop:
		return 6 - c.Level()
	case Access:
		return 7
	case Use:
		return 8
	case Capability:
		return 9
	}
	return 10
}

const severities = 11

// Compile makes a policy. Ids have to differ; their order in cs does not
// matter. It checks what Validate checks about kind, parameters and scope, so
// that nothing in an order is silently not enforced, but knows no bound on the
// number of values, no reason and no current time. A stop at L5 or L6 is
// compiled like L4. One bad correction makes all of them fail: the caller keeps
// the policy it has.
func Compile(cs []Correction) (*Policy, error) {
	if len(cs) >= int(isList) {
		return nil, fmt.Errorf("compile corrections: %d are too many", len(cs))
	}
	p := &Policy{rules: make([]Rule, 0, len(cs))}
	if err := p.order(cs); err != nil {
		return nil, err
	}
	all := literalsOf(p.rules)
	t, err := newTally(all)
	if err != nil {
		return nil, fmt.Errorf("compile corrections: %w", err)
	}
	chosen := make([]int8, len(p.rules)) // which of its literals each rule is indexed under; -1: none
	var sizes [numDims]int
	for i := range p.rules {
		r := &p.rules[i]
		ls := all.of(i)
		settled := numDims
		if k := t.choose(ls); k < 0 {
			chosen[i] = -1
		} else {
			chosen[i], settled = int8(k), ls[k].dim
			sizes[settled] += len(ls[k].values)
		}
		if err := r.compile(settled, ls); err != nil {
			return nil, fmt.Errorf("compile correction %s: %w", quote(r.Correction.ID), err)
		}
	}
	for d, n := range sizes {
		if n > 0 && dim(d) != dimIP {
			p.ix.texts[d] = make(map[string]posting, n)
		}
	}
	for i := range p.rules {
		r := &p.rules[i]
		if r.act == actNothing {
			continue
		}
		if chosen[i] < 0 {
			p.ix.always = append(p.ix.always, uint32(i))
			continue
		}
		if err := p.ix.put(uint32(i), all.of(i)[chosen[i]]); err != nil {
			return nil, fmt.Errorf("compile correction %s: %w", quote(r.Correction.ID), err)
		}
	}
	p.ix.link()
	p.findChanges()
	return p, nil
}

// order checks the corrections and makes a rule of each, in order of severity
// and id.
func (p *Policy) order(cs []Correction) error {
	var groups [severities][]*Correction
	ascending := true
	for i := range cs {
		c := &cs[i]
		if err := c.check(false); err != nil {
			return fmt.Errorf("compile correction %s: %w", quote(c.ID), err)
		}
		if i > 0 && cs[i-1].ID >= c.ID {
			ascending = false
		}
		s := severity(c)
		groups[s] = append(groups[s], c)
	}
	if !ascending {
		seen := make(map[string]struct{}, len(cs))
		for i := range cs {
			if _, ok := seen[cs[i].ID]; ok {
				return fmt.Errorf("compile corrections: id %s stands for more than one", quote(cs[i].ID))
			}
			seen[cs[i].ID] = struct{}{}
		}
	}
	for _, g := range groups {
		slices.SortFunc(g, func(a, b *Correction) int { return cmp.Compare(a.ID, b.ID) })
		for _, c := range g {
			p.rules = append(p.rules, Rule{Correction: c, rank: uint32(len(p.rules))})
		}
	}
	return nil
}
