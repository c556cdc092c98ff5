package correction

import (
	"hash/fnv"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

// testList is a named list as a slice.
type testList struct {
	dimension string
	values    []string
	lost      bool
}

func (l *testList) Dimension() string { return l.dimension }
func (l *testList) Has(v string) bool { return slices.Contains(l.values, v) }
func (l *testList) HasAddr(a netip.Addr) bool {
	return slices.ContainsFunc(l.values, func(p string) bool { return oracleIP(p, a) })
}

// oracleLists: one of the named lists has to match.
func oracleLists(names []string, unknown string, r *Request, spare bool, lists map[string]*testList) bool {
	for _, name := range names {
		l := lists[name]
		switch {
		case l == nil:
			continue
		case l.lost:
			if !spare {
				return true
			}
			continue
		}
		s := map[string]Scope{
			"users": {Users: l.values}, "orgs": {Orgs: l.values}, "keys": {Keys: l.values}, "ips": {IPs: l.values}, "attributes": {Attributes: l.values}, "tiers": {Tiers: l.values},
		}[l.dimension]
		if oracleScope(&s, r, spare, nil) {
			return true
		}
		if unknown == "include" {
			values := map[string][]string{"users": r.Users, "attributes": r.Attributes, "orgs": {r.Org}, "keys": {r.Key}, "tiers": {r.Tier}, "ips": {""}}[l.dimension]
			if l.dimension == "ips" && r.IP.IsValid() {
				values[0] = r.IP.String()
			}
			if len(values) == 0 || slices.Contains(values, "") {
				return true
			}
		}
	}
	return false
}

// oracleScope: every dimension that is given has to match. spare asks that all
// values of the request are listed, and that the expression does not fail.
func oracleScope(s *Scope, r *Request, spare bool, lists map[string]*testList) bool {
	include := s.Unknown == "include"
	one := func(listed []string, v string) bool {
		return listed == nil || v == "" && include || v != "" && slices.Contains(listed, v)
	}
	many := func(listed, vs []string) bool {
		if listed == nil {
			return true
		}
		n := 0
		for _, v := range vs {
			if v != "" && slices.Contains(listed, v) {
				n++
			}
		}
		if spare {
			return len(vs) > 0 && n == len(vs)
		}
		return n > 0
	}
	named := func(listed, vs []string) bool { // as many, of values that may be unknown
		return many(listed, vs) || include && (len(vs) == 0 || slices.Contains(vs, ""))
	}
	attributes := func() bool {
		if many(s.Attributes, r.Attributes) {
			return true
		}
		for _, a := range s.Attributes {
			name, _, _ := strings.Cut(a, "=")
			if include && !slices.ContainsFunc(r.Attributes, func(has string) bool {
				n, v, _ := strings.Cut(has, "=")
				return n == name && v != ""
			}) {
				return true
			}
		}
		return false
	}
	var countries []string
	for _, c := range s.Countries {
		countries = append(countries, strings.ToUpper(c))
	}
	if s.When != "" {
		t := whens[s.When](r)
		if t == no || t == fails && spare {
			return false
		}
	}
	ip := s.IPs == nil || include && !r.IP.IsValid() || slices.ContainsFunc(s.IPs, func(p string) bool { return oracleIP(p, r.IP) })
	return (s.Models == nil || r.Model != "" && slices.Contains(s.Models, r.Model)) && many(s.Tools, r.Tools) &&
		one(s.Versions, r.Version) && one(s.Surfaces, r.Surface) &&
		one(s.Orgs, r.Org) && one(s.Keys, r.Key) && one(s.Tiers, r.Tier) && one(countries, strings.ToUpper(r.Country)) &&
		named(s.Users, r.Users) && named(s.UseCases, r.UseCases) && attributes() && ip &&
		(s.Lists == nil || oracleLists(s.Lists, s.Unknown, r, spare, lists))
}

// oracleIP compares bit by bit, as integers.
func oracleIP(listed string, a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	addr, bits, isPrefix := strings.Cut(listed, "/")
	la := netip.MustParseAddr(addr)
	n := la.BitLen()
	if isPrefix {
		n = 0
		for _, d := range bits {
			n = n*10 + int(d-'0')
		}
	}
	if la.Is4In6() {
		la, n = la.Unmap(), n-96
	}
	a = a.Unmap()
	if la.Is4() != a.Is4() {
		return false
	}
	shift := uint(la.BitLen() - n)
	num := func(a netip.Addr) *big.Int { return new(big.Int).Rsh(new(big.Int).SetBytes(a.AsSlice()), shift) }
	return num(la).Cmp(num(a)) == 0
}

func oracleShare(c *Correction, r *Request) bool {
	if c.Share == 0 {
		return true
	}
	subject := ""
	switch {
	case r.firstUser() != "":
		subject = "u" + r.firstUser()
	case r.Key != "":
		subject = "k" + r.Key
	case r.Org != "":
		subject = "o" + r.Org
	case r.IP.IsValid():
		subject = "i" + string(r.IP.Unmap().AsSlice())
	default:
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(c.ID + "\x00" + subject))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return float64(x>>11) < c.Share*math.Exp2(53)
}
