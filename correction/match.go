package correction

import (
	"net/netip"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/gaissmai/bart"
)

// query is a request in the form in which it is matched.
type query struct {
	r       *Request
	ip      netip.Addr // without zone, IPv4 where it is IPv4-mapped
	country string     // upper case; "" if it is not a code
}

func newQuery(r *Request) query {
	return query{r: r, ip: r.IP.Unmap().WithZone(""), country: country(r.Country)}
}

// one is the value of a single-valued text dimension.
func (q *query) one(d dim) string {
	switch d {
	case dimKey:
		return q.r.Key
	case dimOrg:
		return q.r.Org
	case dimTier:
		return q.r.Tier
	case dimCountry:
		return q.country
	case dimVersion:
		return q.r.Version
	case dimSurface:
		return q.r.Surface
	case dimModel:
		return q.r.Model
	}
	return ""
}

// several are the values of a multi-valued dimension.
func (q *query) several(d dim) []string {
	switch d {
	case dimUser:
		return q.r.Users
	case dimAttribute:
		return q.r.Attributes
	case dimTool:
		return q.r.Tools
	case dimUseCase, dimNode:
		return q.r.UseCases
	}
	return nil
}

// multi says whether a request may have several values of a dimension.
func (d dim) multi() bool {
	return 1<<d&(1<<dimUser|1<<dimAttribute|1<<dimTool|1<<dimUseCase|1<<dimNode) != 0
}

// fewValues is how many values are compared one by one; beyond, a map is faster.
const fewValues = 8

// cond is one dimension of a scope: a set of values. Most are few texts, and
// every rule has a cond or more, so what others need stands apart.
type cond struct {
	dim     dim
	unknown bool // a request of which the value is unknown is reached as well
	few     []string
	more    *values // nil: few has all
}

// values are those of a cond that are not few texts. One field is set, and
// names beside texts.
type values struct {
	texts map[string]struct{}
	names []string // attributes, with unknown: "name=" of each that is listed
	ips   []netip.Prefix
	trie  *bart.Lite
	named []namedList
}

func newCond(d dim, list []string, unknown bool) (cond, error) {
	c := cond{dim: d, unknown: unknown}
	switch {
	case d == dimIP:
		var err error
		c.more, err = newPrefixes(list)
		return c, err
	case d == dimCountry:
		upper := make([]string, len(list))
		for i, v := range list {
			upper[i] = country(v)
		}
		list = upper
	}
	byName := unknown && d == dimAttribute
	if len(list) <= fewValues && !byName {
		c.few = list
		return c, nil
	}
	c.more = &values{texts: make(map[string]struct{}, len(list))}
	for _, v := range list {
		c.more.texts[v] = struct{}{}
		if name := v[:strings.IndexByte(v, '=')+1]; byName && !slices.Contains(c.more.names, name) {
			c.more.names = append(c.more.names, name)
		}
	}
	return c, nil
}

func newPrefixes(list []string) (*values, error) {
	m := new(values)
	if len(list) > fewValues {
		m.trie = new(bart.Lite)
	}
	for _, v := range list {
		p, err := parsePrefix(v)
		if err != nil {
			return nil, err
		}
		if m.trie != nil {
			m.trie.Insert(p)
		} else {
			m.ips = append(m.ips, p)
		}
	}
	return m, nil
}

// has says whether a value is listed. An unknown value never is.
func (c *cond) has(v string) bool {
	if v == "" {
		return false
	}
	if c.more != nil {
		_, ok := c.more.texts[v]
		return ok
	}
	for _, w := range c.few {
		if v == w {
			return true
		}
	}
	return false
}

func (c *cond) hasAddr(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	if c.more.trie != nil {
		return c.more.trie.Contains(a)
	}
	for _, p := range c.more.ips {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// any says whether one value of the request is listed: how a scope reaches.
func (c *cond) any(q *query) bool {
	if c.unknown && c.missing(q) {
		return true
	}
	switch {
	case c.dim == dimList:
		for i := range c.more.named {
			if c.more.named[i].any(q) {
				return true
			}
		}
		return false
	case c.dim == dimIP:
		return c.hasAddr(q.ip)
	case c.dim == dimNode:
		for _, u := range q.r.UseCases {
			if covers(c.few[0], u) {
				return true
			}
		}
		return false
	case c.dim.multi():
		for _, v := range q.several(c.dim) {
			if c.has(v) {
				return true
			}
		}
		if c.dim == dimUser {
			for _, v := range q.r.Folded {
				if c.has(v) {
					return true
				}
			}
		}
		return false
	}
	return c.has(q.one(c.dim))
}

// all says whether the request has a value and all of them are listed: how an
// except spares and how allow_only allows.
func (c *cond) all(q *query) bool {
	if c.dim == dimList {
		for i := range c.more.named {
			if c.more.named[i].all(q) {
				return true
			}
		}
		return false
	}
	if !c.dim.multi() {
		return c.any(q)
	}
	values := q.several(c.dim)
	for _, v := range values {
		if !c.has(v) {
			return false
		}
	}
	return len(values) > 0
}

// missing says whether the request's value is unknown. One of several that is
// empty is enough: whoever adds another beside it stays unknown.
func (c *cond) missing(q *query) bool {
	switch c.dim {
	case dimList:
		for i := range c.more.named {
			if q.unknown(c.more.named[i].dim) {
				return true
			}
		}
		return false
	case dimAttribute:
		for _, name := range c.more.names {
			if !slices.ContainsFunc(q.r.Attributes, func(a string) bool { return len(a) > len(name) && strings.HasPrefix(a, name) }) {
				return true
			}
		}
		return false
	}
	return q.unknown(c.dim)
}

// unknown says whether the request has no value of a dimension, or an empty one.
func (q *query) unknown(d dim) bool {
	switch {
	case d == dimIP:
		return !q.ip.IsValid()
	case d.multi():
		values := q.several(d)
		return len(values) == 0 || slices.Contains(values, "")
	}
	return q.one(d) == ""
}

// covers says whether a use case is the node or below it.
func covers(node, use string) bool {
	return strings.HasPrefix(use, node) && (len(use) == len(node) || use[len(node)] == '/')
}

// spared is a compiled except, or the list of an allow_only.
type spared struct {
	conds []cond
	when  cel.Program
}

func (s *spared) holds(q *query) bool {
	for i := range s.conds {
		if !s.conds[i].all(q) {
			return false
		}
	}
	return s.when == nil || holds(s.when, q.r, false)
}

// newSpared compiles the dimensions of a scope that keep wants, and its lists.
func newSpared(s *Scope, keep func(*dimension) bool, lists Lists) (*spared, error) {
	out := new(spared)
	for i, l := range s.lists() {
		if len(*l) == 0 || !keep(&dimensions[i]) {
			continue
		}
		c, err := newCond(dimensions[i].dim, *l, false)
		if err != nil {
			return nil, err
		}
		out.conds = append(out.conds, c)
	}
	if len(s.Lists) > 0 {
		c, err := newListCond(s.Lists, lists, false)
		if err != nil {
			return nil, err
		}
		out.conds = append(out.conds, c)
	}
	return out, nil
}
