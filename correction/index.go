package correction

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// index finds the rules that may reach a request. Each rule stands under all
// values of one of its dimensions, the most selective one, or in always.
type index struct {
	always []uint32
	texts  [numDims]map[string]posting
	marks  [numDims]uint64 // of the values in texts: see may
	nodes  []ipNode
	trie   *bart.Table[uint32] // prefix to its node; nil if there are none
	lists  [][]uint32
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

func (ix *index) addText(d dim, value string, rule uint32) {
	m := ix.texts[d]
	p, ok := m[value]
	m[value] = ix.add(p, ok, rule)
	if ok {
		return
	}
	if ix.marks[d] |= mark(value); len(m) > fewMarks {
		ix.marks[d] = ^uint64(0)
	}
}

// may says whether a value may be in texts, for a fraction of what it costs to
// look it up. Of few values it knows most that are not, and of many none: so
// that what is recent costs a decision little.
func (ix *index) may(d dim, value string) bool {
	m := ix.marks[d]
	return m == ^uint64(0) || m&mark(value) != 0
}

// fewMarks is how many values leave enough of the 64 marks free.
const fewMarks = 32

// mark is one bit for a text, which is not empty, by its length and the bytes
// in which ids are most likely to differ.
func mark(s string) uint64 {
	n := len(s)
	h := uint32(s[n-1]) | uint32(s[n*3/4])<<8 | uint32(s[n/2])<<16 | uint32(n)<<24
	return 1 << (h * 0x9e3779b1 >> 26)
}

func (ix *index) addPrefix(p netip.Prefix, rule uint32) {
	if ix.trie == nil {
		ix.trie = new(bart.Table[uint32])
	}
	if n, ok := ix.trie.Get(p); ok {
		ix.nodes[n].posting = ix.add(ix.nodes[n].posting, true, rule)
		return
	}
	ix.trie.Insert(p, uint32(len(ix.nodes)))
	ix.nodes = append(ix.nodes, ipNode{posting: posting(rule), up: -1})
}

// link ties each prefix to the one around it, once all are in.
func (ix *index) link() {
	if ix.trie == nil {
		return
	}
	for p, n := range ix.trie.All() {
		if p.Bits() == 0 {
			continue
		}
		around := netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
		if up, ok := ix.trie.LookupPrefix(around); ok {
			ix.nodes[n].up = int32(up)
		}
	}
}

// put puts a rule under all its values of the dimension that it is found by.
func (ix *index) put(r *Rule, rule uint32) error {
	c := r.Correction
	switch {
	case r.act == actNothing || r.act == actWaiting:
	case r.settled == numDims:
		ix.always = append(ix.always, rule)
	case r.settled == dimNode:
		ix.addText(dimNode, c.Params.UseCase, rule)
	case r.settled == dimIP:
		for _, v := range c.Scope.IPs {
			p, err := parsePrefix(v)
			if err != nil {
				return err
			}
			ix.addPrefix(p, rule)
		}
	default:
		for _, v := range c.Scope.values(r.settled) {
			ix.addText(r.settled, lookupForm(r.settled, v), rule)
		}
	}
	if r.linkedBy() {
		for _, l := range c.Links {
			d, v := linkValue(l)
			ix.addText(d, v, rule)
		}
	}
	return nil
}

// size is how many values stand in the index.
func (ix *index) size() int {
	n := len(ix.always) + len(ix.nodes)
	for _, m := range ix.texts {
		n += len(m)
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
