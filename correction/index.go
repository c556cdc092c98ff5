package correction

// index finds the rules that may reach a request. Each rule stands under all
// values of one of its dimensions, the most selective one, or in always.
type index struct {
	always   []uint32
	dims     uint16 // a bit for each dimension that has texts
	texts    [numDims]textTable
	nodes    []ipNode
	ip4, ip6 *prefixes // their nodes; nil if there are none
	lists    [][]uint32
}

// posting is the rules under one value: one rule, or with the high bit set the
// number of a list. A million values with a rule each so take no lists.
type posting uint32

const isList posting = 1 << 31

// ipNode is one listed prefix. One lookup finds the longest prefix that covers
// an address, and up lead to all the others, at most 128.
type ipNode struct {
	posting posting
	up      int32 // the next shorter listed prefix that covers this one; -1 if none
}

// add puts a rule under a posting. Rules come in ascending order.
func (ix *index) add(p posting, present bool, rule uint32) posting {
	switch {
	case !present:
		return posting(rule)
	case p&isList != 0:
		l := &ix.lists[p&^isList]
		if (*l)[len(*l)-1] != rule {
			*l = append(*l, rule)
		}
		return p
	case p == posting(rule):
		return p // the same value twice in one rule
	}
	ix.lists = append(ix.lists, []uint32{uint32(p), rule})
	return isList | posting(len(ix.lists)-1)
}

func (ix *index) addText(d dim, value string, rule uint32) error {
	t, h := &ix.texts[d], hash(value)
	if place := t.find(h, value); place != 0 {
		t.set(place, ix.add(t.at(place), true, rule))
		return nil
	}
	return t.put(h, value, posting(rule))
}

// put puts a rule under all its values of the dimension that it is found by, for
// which there is room. It appends its prefixes to ips, for link.
func (ix *index) put(r *Rule, rule uint32, ips []listed) ([]listed, error) {
	c := r.Correction
	switch {
	case r.act == actNothing || r.act == actWaiting:
	case r.settled == numDims:
		ix.always = append(ix.always, rule)
	case r.settled == dimNode:
		if err := ix.addText(dimNode, c.Params.UseCase, rule); err != nil {
			return nil, err
		}
	case r.settled == dimIP:
		for _, v := range c.Scope.IPs {
			p, err := parsePrefix(v)
			if err != nil {
				return nil, err
			}
			ips = append(ips, listed{p, newIPKey(p.Addr()), rule})
		}
	default:
		for _, v := range c.Scope.values(r.settled) {
			if err := ix.addText(r.settled, lookupForm(r.settled, v), rule); err != nil {
				return nil, err
			}
		}
	}
	if r.linkedBy() {
		for _, l := range c.Links {
			d, v := linkValue(l)
			if err := ix.addText(d, v, rule); err != nil {
				return nil, err
			}
		}
	}
	return ips, nil
}

// size is how many values stand in the index.
func (ix *index) size() int {
	n := len(ix.always) + len(ix.nodes)
	for d := range ix.texts {
		n += ix.texts[d].n
	}
	return n
}

// literal is one dimension by which a rule can be indexed, and its values there.
type literal struct {
	dim    dim
	values []string
}

// literals appends all by which a rule can be indexed, at most numDims.
func literals(c *Correction, to []literal) []literal {
	if c.Kind == Use && c.Params.Basis != inferred {
		to = append(to, literal{dimNode, []string{c.Params.UseCase}})
	}
	allowOnly, unknown := c.allowOnly(), c.Scope.Unknown == include
	for i, l := range c.Scope.lists() {
		if len(*l) == 0 || allowOnly && dimensions[i].subject || unknown && dimensions[i].unknown {
			continue // it reaches those who are not listed, or have no value to be found by
		}
		to = append(to, literal{dimensions[i].dim, c.Scope.values(dimensions[i].dim)})
	}
	return to
}

func (c *Correction) allowOnly() bool { return c.Kind == Access && c.Params.Mode == "allow_only" }
