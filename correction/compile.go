package correction

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Policy is a compiled set of corrections. It is immutable, and safe for any
// number of concurrent callers. It keeps the corrections that it was compiled
// from, and what they point to, which nobody may change afterwards.
//
// Compile makes one of nothing, and Next one of another. The latter shares the
// base's index with the policy it was made from, and every rule's detail that
// is as it was; nobody writes to what is shared.
type Policy struct {
	base    layer
	recent  layer    // what has come since base was indexed
	order   []uint32 // places, most severe first, then by id; nil: as in base
	stale   int      // weight of what has gone from base since it was indexed
	changes []int64  // instants at which a verdict may change, ascending
	lists   Lists
	waiting []string // ids of rules that name a list which is missing
}

// layer is rules, and where to find the ones that may reach a request.
type layer struct {
	rules []Rule
	ix    index
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
func Compile(cs []Correction) (*Policy, error) { return CompileWith(cs, nil) }

// CompileWith is Compile with the named lists that scopes may refer to. A list of
// a dimension that does not exist makes it fail.
func CompileWith(cs []Correction, lists Lists) (*Policy, error) {
	all := make([]*Correction, len(cs))
	for i := range cs {
		all[i] = &cs[i]
	}
	return compileAll(all, lists)
}

func compileAll(cs []*Correction, lists Lists) (*Policy, error) {
	if len(cs) >= int(isList) {
		return nil, fmt.Errorf("compile corrections: %d are too many", len(cs))
	}
	for i := range cs {
		if err := cs[i].check(false); err != nil {
			return nil, fmt.Errorf("compile correction %s: %w", quote(cs[i].ID), err)
		}
	}
	sorted, err := arrange(cs)
	if err != nil {
		return nil, fmt.Errorf("compile corrections: %w", err)
	}
	p := &Policy{lists: maps.Clone(lists)}
	p.base.rules = make([]Rule, len(sorted))
	for i, c := range sorted {
		p.base.rules[i] = Rule{Correction: c, rank: uint32(i)}
	}
	if err := p.base.build(p.lists); err != nil {
		return nil, err
	}
	p.findChanges()
	return p, nil
}

// arrange brings corrections in order of severity and id, and fails if an id
// stands for more than one.
func arrange(cs []*Correction) ([]*Correction, error) {
	groups := make([]uint8, len(cs)) // severities
	var sizes [severities]int
	ascending := true
	for i := range cs {
		s := severity(cs[i])
		groups[i] = uint8(s)
		sizes[s]++
		if i > 0 && cs[i-1].ID >= cs[i].ID {
			ascending = false
		}
	}
	if !ascending {
		seen := make(map[string]struct{}, len(cs))
		for i := range cs {
			if _, ok := seen[cs[i].ID]; ok {
				return nil, fmt.Errorf("id %s stands for more than one", quote(cs[i].ID))
			}
			seen[cs[i].ID] = struct{}{}
		}
	}
	var next [severities]int // where each group's next one goes in sorted
	for s := 1; s < severities; s++ {
		next[s] = next[s-1] + sizes[s-1]
	}
	sorted := make([]*Correction, len(cs))
	for i, s := range groups {
		sorted[next[s]] = cs[i]
		next[s]++
	}
	if !ascending {
		for s, end := range next {
			slices.SortFunc(sorted[end-sizes[s]:end], func(a, b *Correction) int { return cmp.Compare(a.ID, b.ID) })
		}
	}
	return sorted, nil
}

// build chooses for each rule the dimension to find it by, compiles the rule,
// and indexes all. A rule that is compiled already stays so if the choice is
// the same.
func (l *layer) build(lists Lists) error {
	t, err := newTally(l.rules)
	if err != nil {
		return fmt.Errorf("compile corrections: %w", err)
	}
	var sizes, bytes [numDims]int
	var room [numDims]literal
	for i := range l.rules {
		r := &l.rules[i]
		ls := literals(r.Correction, room[:0])
		best := t.choose(ls)
		if best.dim < numDims {
			sizes[best.dim] += len(best.values)
			for _, v := range best.values {
				bytes[best.dim] += len(v)
			}
		}
		if len(r.Correction.Links) > 0 && best.dim.subject() {
			for _, link := range r.Correction.Links {
				d, v := linkValue(link)
				sizes[d]++
				bytes[d] += len(v)
			}
		}
		if r.compiled && r.settled == best.dim {
			continue
		}
		if err := r.compile(best.dim, ls, lists); err != nil {
			return fmt.Errorf("compile correction %s: %w", quote(r.Correction.ID), err)
		}
	}
	for d, n := range sizes {
		if n > 0 && dim(d) != dimIP {
			l.ix.texts[d] = newTextTable(n, bytes[d])
			l.ix.dims |= 1 << d
		}
	}
	ips := make([]listed, 0, sizes[dimIP])
	for i := range l.rules {
		if ips, err = l.ix.put(&l.rules[i], uint32(i), ips); err != nil {
			return fmt.Errorf("compile correction %s: %w", quote(l.rules[i].Correction.ID), err)
		}
	}
	l.ix.link(ips)
	return nil
}
