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

var poolFeatures = []string{"tools", "streaming", "web_search", "mcp", "image_input", "reasoning_effort"}

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
	if rapid.IntRange(0, 4).Draw(t, label+" with lists") == 0 {
		s.Lists = rapid.SliceOfNDistinct(rapid.SampledFrom(poolLists), 1, 2, rapid.ID).Draw(t, "lists")
	}
	if !must && label == "scope" && rapid.IntRange(0, 3).Draw(t, "with unknown") == 0 {
		s.Unknown = rapid.SampledFrom(unknowns).Draw(t, "unknown")
		if s.checkUnknown("scope") != nil {
			s.Unknown = ""
		}
	}
	if must && !s.hasSubject() {
		s.Orgs = genValues(t, dimOrg)
	}
	if rapid.IntRange(0, 4).Draw(t, label+" with when") == 0 {
		s.When = rapid.SampledFrom(poolWhens).Draw(t, "when")
	}
	return s
}

var poolLists = []string{"lu", "lo", "lk", "lt", "la", "li", "lx"}

// genLists are some of the named lists, of which some are lost and some missing.
func genLists(t *rapid.T) map[string]*testList {
	lists := map[string]*testList{}
	for name, d := range map[string]dim{"lu": dimUser, "lo": dimOrg, "lk": dimKey, "lt": dimTier, "la": dimAttribute, "li": dimIP, "lx": dimUser} {
		switch rapid.IntRange(0, 5).Draw(t, name) {
		case 0:
		case 1:
			lists[name] = &testList{lost: true}
		default:
			lists[name] = genList(t, d)
		}
	}
	return lists
}

func genList(t *rapid.T, d dim) *testList {
	l := &testList{values: genValues(t, d)}
	for name, of := range listDims {
		if of == d {
			l.dimension = name
		}
	}
	return l
}

// asLists are the lists as a policy gets them.
func asLists(lists map[string]*testList) Lists {
	out := Lists{}
	for name, l := range lists {
		if out[name] = l; l.lost {
			out[name] = Lost
		}
	}
	return out
}

func genTime(t *rapid.T, label string) time.Time {
	return at.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, label)) * time.Minute)
}

func genCorrection(t *rapid.T, id string) Correction {
	c := Correction{ID: id, Reason: "test"}
	noSurface, noExcept, must, links, pin := false, false, false, false, false
	switch rapid.IntRange(0, 13).Draw(t, "kind") {
	case 0, 1:
		c.Kind = Stop
		c.Params.Level = rapid.SampledFrom([]string{"L0", "L1", "L2", "L2", "L3", "L4"}).Draw(t, "level")
		noSurface = c.Params.Level == "L4"
		noExcept = noSurface
		if c.Params.Level == "L2" && rapid.Bool().Draw(t, "own drain") {
			c.Params.Drain = Duration(rapid.IntRange(1, 6).Draw(t, "drain")) * Duration(time.Minute)
		}
	case 2, 3:
		c.Kind, c.Params.Mode = Access, "block"
		links = rapid.Bool().Draw(t, "is linked")
	case 4:
		c.Kind, c.Params.Mode, must = Access, "allow_only", true
	case 5:
		c.Kind, c.Params.UseCase = Use, rapid.SampledFrom(pools[dimUseCase]).Draw(t, "node")
	case 6:
		c.Kind, c.Params = Use, Params{UseCase: "x", Action: "acknowledge", AcknowledgeBy: genTime(t, "deadline")}
		c.Acknowledged = rapid.SliceOfN(rapid.SampledFrom([]string{"o1", "o2", "key:k1", "key:k2", "k3"}), 0, 3).Draw(t, "acknowledged")
	case 7:
		c.Kind, c.Params = Use, Params{UseCase: "x/y", Basis: "inferred", Detector: "d"}
	case 8, 9:
		c.Kind = Capability
		c.Params.Disable = rapid.SliceOfN(rapid.SampledFrom(append([]string{"tool:f", "tool:function", "tool:get"}, poolFeatures...)), 1, 3).Draw(t, "features")
	case 10, 11:
		c.Kind = Capability
		c.Params.Clamp = map[string]float64{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(clampNames), 1, 3, rapid.ID).Draw(t, "clamps") {
			n := float64(rapid.IntRange(1, 300).Draw(t, "clamp"))
			switch name {
			case "temperature":
				n = rapid.SampledFrom([]float64{0, 0.5, 1, 2}).Draw(t, "temperature")
			case "choices", "messages":
				n = float64(rapid.IntRange(1, 4).Draw(t, "few"))
			case "reasoning_tokens":
				n = rapid.SampledFrom([]float64{0, 1, 50, 200}).Draw(t, "reasoning")
			}
			c.Params.Clamp[name] = n
		}
	case 12:
		c.Kind = Capability
		if rapid.Bool().Draw(t, "is pin") {
			c.Params.Pin, pin = rapid.SampledFrom(pools[dimVersion]).Draw(t, "pin"), true
		} else {
			c.Params.Filter = &Filter{Direction: "both", Detector: "patterns", Patterns: []string{"forbidden phrase"}, Action: "cut"}
		}
	case 13:
		c.Kind, c.Params = Rate, Params{Metric: "requests", Limit: ptr(int64(1)), Window: Duration(time.Minute)}
	}
	c.Scope = genScope(t, "scope", must, noSurface)
	if pin && c.Scope.Models == nil {
		c.Scope.Models = genValues(t, dimModel)
	}
	if links && c.Scope.linkable() {
		c.Params.Linked = []string{"org", "a"}
		c.Links = rapid.SliceOfN(rapid.SampledFrom([]string{"org=o1", "org=o2", "a=1", "b=1"}), 0, 3).Draw(t, "links")
	}
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
		OutputTokens: rapid.Int64Range(0, 400).Draw(t, "output tokens"),
		InputTokens:  rapid.Int64Range(0, 400).Draw(t, "input tokens"),
		Messages:     rapid.Int64Range(0, 6).Draw(t, "messages"),
		Choices:      rapid.Int64Range(0, 5).Draw(t, "choices"),
		Reasoning:    rapid.SampledFrom([]int64{0, 0, 1, 40, 300}).Draw(t, "reasoning"),
		Effort:       rapid.IntRange(0, 3).Draw(t, "effort") == 0,
		Temperature:  rapid.SampledFrom([]float64{-1, 0, 0.7, 1, 1.5}).Draw(t, "temperature"),
		Derivative:   rapid.SampledFrom([]string{"", "ft:m1:o1"}).Draw(t, "derivative"),
		Generates:    rapid.Bool().Draw(t, "generates"),
		Continues:    rapid.Bool().Draw(t, "continues"),
		Live:         rapid.Bool().Draw(t, "live"),
	}
	for _, name := range poolFeatures {
		switch rapid.IntRange(0, 3).Draw(t, name) {
		case 0:
			r.Features |= oracleBits[name]
		case 1:
			r.Features |= oracleBits[name]
			r.Optional |= oracleBits[name]
		}
	}
	for _, tool := range r.Tools {
		if rapid.Bool().Draw(t, "optional") {
			r.OptionalTools = append(r.OptionalTools, tool)
		}
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
