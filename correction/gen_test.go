package correction

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// Values come from small pools, so that corrections and requests meet. Users
// and prefixes have more, so that lists grow past fewValues.
var pools = map[dim][]string{
	dimModel:     {"m1", "m2", "m3"},
	dimVersion:   {"1", "2", "x"},
	dimSurface:   {"s1", "s2"},
	dimOrg:       {"o1", "o2", "o3"},
	dimUser:      {"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12"},
	dimKey:       {"k1", "k2", "k3"},
	dimTier:      {"t1", "t2"},
	dimCountry:   {"DE", "de", "FR", "fR", "US"},
	dimAttribute: {"a=1", "a=2", "b=1"},
	dimTool:      {"f", "function", "search", "get"},
	dimUseCase:   {"x", "x/y", "x/y/z", "xy", "w"},
	dimIP: {
		"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "10.1.2.9/24", "0.0.0.0/0", "192.0.2.7", "::ffff:10.1.0.0/112",
		"::ffff:192.0.2.7", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1", "::/0",
	},
}

var poolAddrs = []string{"10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.0.2.7", "198.51.100.1", "::ffff:10.1.2.3", "2001:db8:1::1", "2001:db8:2::1", "2001:db9::1"}

var poolWhens = slices.Sorted(maps.Keys(whens))

func genValues(t *rapid.T, d dim) []string {
	most := 3
	if d == dimUser || d == dimIP {
		most = 11
	}
	return rapid.SliceOfN(rapid.SampledFrom(pools[d]), 1, most).Draw(t, "values")
}

// genScope draws a scope with a condition or more; must asks for a subject.
func genScope(t *rapid.T, label string, must, noSurface bool) Scope {
	var s Scope
	fields := map[dim]*[]string{
		dimModel: &s.Models, dimVersion: &s.Versions, dimSurface: &s.Surfaces, dimOrg: &s.Orgs, dimUser: &s.Users, dimKey: &s.Keys,
		dimTier: &s.Tiers, dimIP: &s.IPs, dimCountry: &s.Countries, dimAttribute: &s.Attributes, dimTool: &s.Tools, dimUseCase: &s.UseCases,
	}
	var all []dim
	for _, d := range dimensions {
		if !noSurface || d.dim != dimSurface {
			all = append(all, d.dim)
		}
	}
	for _, d := range rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, rapid.ID).Draw(t, label+" dims") {
		*fields[d] = genValues(t, d)
	}
	if must && !s.hasSubject() {
		s.Orgs = genValues(t, dimOrg)
	}
	if rapid.IntRange(0, 4).Draw(t, label+" with when") == 0 {
		s.When = rapid.SampledFrom(poolWhens).Draw(t, "when")
	}
	return s
}

func genTime(t *rapid.T, label string) time.Time {
	return at.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, label)) * time.Minute)
}

func genCorrection(t *rapid.T, id string) Correction {
	c := Correction{ID: id, Reason: "test"}
	noSurface, noExcept, must := false, false, false
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0, 1:
		c.Kind = Stop
		c.Params.Level = rapid.SampledFrom([]string{"L0", "L1", "L2", "L2", "L3", "L4"}).Draw(t, "level")
		noSurface = c.Params.Level == "L4"
		noExcept = noSurface
		if c.Params.Level == "L2" && rapid.Bool().Draw(t, "own drain") {
			c.Params.Drain = Duration(rapid.IntRange(1, 6).Draw(t, "drain")) * Duration(time.Minute)
		}
	case 2:
		c.Kind, c.Params.Mode = Access, "block"
	case 3:
		c.Kind, c.Params.Mode, must = Access, "allow_only", true
	case 4:
		c.Kind, c.Params.UseCase = Use, rapid.SampledFrom(pools[dimUseCase]).Draw(t, "node")
	case 5:
		c.Kind = Capability
		c.Params.Disable = rapid.SliceOfN(rapid.SampledFrom([]string{"tools", "streaming"}), 1, 2).Draw(t, "features")
	case 6:
		c.Kind = Capability
		c.Params.Clamp = map[string]float64{"output_tokens": float64(rapid.Int64Range(1, 300).Draw(t, "clamp"))}
	case 7:
		c.Kind, c.Params = Rate, Params{Metric: "requests", Limit: ptr(int64(1)), Window: Duration(time.Minute)}
	}
	c.Scope = genScope(t, "scope", must, noSurface)
	if !c.Scope.given() {
		c.Scope = Scope{All: true}
	}
	if !noExcept && rapid.IntRange(0, 2).Draw(t, "with except") == 0 {
		if s := genScope(t, "except", false, false); s.given() {
			c.Except = &s
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "is shadow") == 0 {
		c.Mode = Shadow
	}
	if rapid.IntRange(0, 3).Draw(t, "has share") == 0 {
		c.Share = rapid.SampledFrom([]float64{0.001, 0.3, 0.5, 0.9, 1}).Draw(t, "share")
	}
	if rapid.Bool().Draw(t, "was applied") {
		c.AppliedAt = genTime(t, "applied")
	}
	if rapid.IntRange(0, 3).Draw(t, "has start") == 0 {
		c.StartsAt = genTime(t, "starts")
	}
	if rapid.IntRange(0, 3).Draw(t, "has expiry") == 0 {
		c.ExpiresAt = genTime(t, "expires")
	}
	if rapid.IntRange(0, 3).Draw(t, "has fallback") == 0 {
		c.Fallback = rapid.SampledFrom([]string{"none", "f1", "f2"}).Draw(t, "fallback")
	}
	return c
}

func (s *Scope) given() bool { return s.check("scope", true) == nil }

func genCorrections(t *rapid.T, most int) []Correction {
	n := rapid.IntRange(0, most).Draw(t, "n")
	cs := make([]Correction, n)
	for i := range cs {
		cs[i] = genCorrection(t, fmt.Sprintf("c-%02d", i))
	}
	return rapid.Permutation(cs).Draw(t, "order")
}

func genRequest(t *rapid.T) Request {
	one := func(d dim) string { return rapid.SampledFrom(append([]string{""}, pools[d]...)).Draw(t, "value") }
	many := func(d dim) []string {
		return rapid.SliceOfN(rapid.SampledFrom(append([]string{""}, pools[d]...)), 0, 3).Draw(t, "values")
	}
	r := Request{
		Model: one(dimModel), Version: one(dimVersion), Surface: one(dimSurface), Org: one(dimOrg), Key: one(dimKey),
		Tier: one(dimTier), Country: one(dimCountry), Users: many(dimUser), Attributes: many(dimAttribute),
		UseCases: many(dimUseCase), Tools: many(dimTool),
		Features:     Features(rapid.IntRange(0, 3).Draw(t, "features")),
		OutputTokens: rapid.Int64Range(0, 400).Draw(t, "output tokens"),
		Continues:    rapid.Bool().Draw(t, "continues"),
		Live:         rapid.Bool().Draw(t, "live"),
	}
	if rapid.IntRange(0, 4).Draw(t, "has ip") > 0 {
		r.IP = netip.MustParseAddr(rapid.SampledFrom(poolAddrs).Draw(t, "ip")).Unmap()
	}
	return r
}

// genSpan is exact, or a clock in doubt by up to some minutes.
func genSpan(t *rapid.T) Span {
	s := At(at.Add(time.Duration(rapid.IntRange(-8, 12).Draw(t, "now")) * time.Minute / 2))
	if rapid.Bool().Draw(t, "in doubt") {
		s.Late += int64(rapid.IntRange(0, 6).Draw(t, "doubt")) * int64(time.Minute)
	}
	return s
}
