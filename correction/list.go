package correction

import (
	"fmt"
	"net/netip"
	"slices"
)

// List is a named list, as a policy asks it: millions of values that stand
// outside the correction. It is immutable, and safe for concurrent use.
type List interface {
	Dimension() string          // users | orgs | keys | ips | attributes | tiers
	Has(value string) bool      // for every dimension but ips
	HasAddr(ip netip.Addr) bool // for ips
}

// Lists are the lists that a policy knows, by name. A correction that names one
// that is missing here is not in force: the list is still being loaded.
type Lists map[string]List

// Lost stands for a list that was held and cannot be read any more. A scope that
// names it reaches everybody, and an except or an allow_only that names it spares
// nobody: so what is lost loosens nothing.
var Lost List = lost{}

type lost struct{}

func (lost) Dimension() string       { return "" }
func (lost) Has(string) bool         { return true }
func (lost) HasAddr(netip.Addr) bool { return true }

// listDims are the dimensions that a list can be of.
var listDims = map[string]dim{"users": dimUser, "orgs": dimOrg, "keys": dimKey, "ips": dimIP, "attributes": dimAttribute, "tiers": dimTier}

// namedList is a list as a cond asks it.
type namedList struct {
	List
	dim  dim
	lost bool
}

// newListCond compiles the lists that a scope names. One that is missing is left
// out: it lists nobody.
func newListCond(names []string, lists Lists, unknown bool) (cond, error) {
	c := cond{dim: dimList, unknown: unknown, more: new(values)}
	for _, name := range names {
		l := lists[name]
		if l == nil {
			continue
		}
		n := namedList{List: l, dim: numDims, lost: l == Lost}
		if !n.lost {
			d, ok := listDims[l.Dimension()]
			if !ok {
				return c, fmt.Errorf("list %s is of dimension %s, which none can be of", quote(name), quote(l.Dimension()))
			}
			n.dim = d
		}
		c.more.named = append(c.more.named, n)
	}
	return c, nil
}

// missing says whether one of the names is of no list.
func (lists Lists) missing(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return lists[name] == nil })
}

// any says whether one value of the request is in the list.
func (l *namedList) any(q *query) bool {
	switch {
	case l.lost:
		return true
	case l.dim == dimIP:
		return q.ip.IsValid() && l.HasAddr(q.ip)
	case l.dim.multi():
		for _, v := range q.several(l.dim) {
			if v != "" && l.Has(v) {
				return true
			}
		}
		if l.dim == dimUser {
			for _, v := range q.r.Folded {
				if l.Has(v) {
					return true
				}
			}
		}
		return false
	}
	v := q.one(l.dim)
	return v != "" && l.Has(v)
}

// all says whether the request has a value and all of them are in the list.
func (l *namedList) all(q *query) bool {
	if l.lost {
		return false
	}
	if !l.dim.multi() {
		return l.any(q)
	}
	values := q.several(l.dim)
	for _, v := range values {
		if v == "" || !l.Has(v) {
			return false
		}
	}
	return len(values) > 0
}
