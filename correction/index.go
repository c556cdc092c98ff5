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

// put puts a rule under all values of one dimension.
func (ix *index) put(rule uint32, l literal) error {
	for _, v := range l.values {
		if l.dim != dimIP {
			ix.addText(l.dim, lookupForm(l.dim, v), rule)
			continue
		}
		p, err := parsePrefix(v)
		if err != nil {
			return err
		}
		ix.addPrefix(p, rule)
	}
	return nil
}

func (ix *index) addText(d dim, value string, rule uint32) {
	m := ix.texts[d]
	p, ok := m[value]
	m[value] = ix.add(p, ok, rule)
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

// literal is values by which a rule can be indexed: those of one dimension.
type literal struct {
	dim    dim
	values []string
}

// literals are those of all rules, gathered once: compiling looks at them
// several times.
type literals struct {
	all  []literal
	ends []int // of each rule's in all
}

func literalsOf(rules []Rule) *literals {
	ls := &literals{all: make([]literal, 0, len(rules)), ends: make([]int, len(rules))}
	for i := range rules {
		ls.all = appendLiterals(ls.all, rules[i].Correction)
		ls.ends[i] = len(ls.all)
	}
	return ls
}

func (ls *literals) len() int { return len(ls.ends) }

// of returns those of one rule.
func (ls *literals) of(rule int) []literal {
	from := 0
	if rule > 0 {
		from = ls.ends[rule-1]
	}
	return ls.all[from:ls.ends[rule]]
}

// appendLiterals appends what a rule can be indexed by, dimension by dimension.
func appendLiterals(ls []literal, c *Correction) []literal {
	if c.Kind == Use {
		ls = append(ls, literal{dimNode, []string{c.Params.UseCase}})
	}
	allowOnly := c.allowOnly()
	for i := range dimensions {
		d := &dimensions[i]
		if allowOnly && d.subject {
			continue // it reaches those who are not listed
		}
		if values := d.values(&c.Scope); len(values) > 0 {
			ls = append(ls, literal{d.dim, values})
		}
	}
	return ls
}

func (c *Correction) allowOnly() bool { return c.Kind == Access && c.Params.Mode == "allow_only" }
