package propose

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"andon/correction"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var pools = map[string][]string{
	"models": {"large", "small"}, "versions": {"large-1", "small-1"}, "surfaces": {"api", "app"}, "orgs": {"acme", "globex"}, "users": {"u-1", "u-2", "u-3"},
	"keys": {"k-1", "k-2"}, "tiers": {"free", "paid"}, "ips": {"192.0.2.0/24", "2001:db8::/32", "198.51.100.7"}, "countries": {"DE", "FR"},
	"attributes": {"plan=free", "device=d-1"}, "tools": {"function", "shell", "web_search"}, "uses": {"legal/advice", "medical"}, "lists": {"banned"},
}

func anyScope(t *rapid.T) correction.Scope {
	var s correction.Scope
	pick := func(l *[]string, pool string) {
		if rapid.IntRange(0, 3).Draw(t, pool+"?") == 0 {
			*l = rapid.SliceOfNDistinct(rapid.SampledFrom(pools[pool]), 1, 2, rapid.ID[string]).Draw(t, pool)
		}
	}
	pick(&s.Models, "models")
	pick(&s.Versions, "versions")
	pick(&s.Surfaces, "surfaces")
	pick(&s.Orgs, "orgs")
	pick(&s.Users, "users")
	pick(&s.Keys, "keys")
	pick(&s.Tiers, "tiers")
	pick(&s.IPs, "ips")
	pick(&s.Countries, "countries")
	pick(&s.Attributes, "attributes")
	pick(&s.Tools, "tools")
	pick(&s.UseCases, "uses")
	pick(&s.Lists, "lists")
	if rapid.IntRange(0, 4).Draw(t, "when?") == 0 {
		s.When = rapid.SampledFrom([]string{"stream", `org == "acme"`, "output_tokens > 100"}).Draw(t, "when")
	}
	if rapid.Bool().Draw(t, "unknown?") {
		s.Unknown = rapid.SampledFrom([]string{"include", "exclude"}).Draw(t, "unknown")
	}
	return whole(s)
}

func anyCase(t *rapid.T) Case {
	c := Case{Threat: rapid.SampledFrom(Threats()).Draw(t, "threat").Name, Scope: anyScope(t)}
	maybe := func(what string) bool { return rapid.Bool().Draw(t, what) }
	if maybe("use case") {
		c.UseCase = "legal/advice"
	}
	if maybe("detector") {
		c.Detector = "abuse"
	}
	if maybe("patterns") {
		c.Patterns = []string{"forbidden phrase"}
	}
	if maybe("tools known") {
		c.Tools = []string{"shell", "lookup"}
	}
	if len(c.Scope.Models) > 0 && maybe("version") {
		c.Version = "earlier"
	}
	if maybe("trusted") {
		c.Trusted = []string{"acme"}
	}
	if maybe("linked") {
		c.Linked = []string{"org", "device"}
	}
	return c
}

// lists stands for the named list of the pools.
var lists = correction.Lists{"banned": banned{}}

type banned struct{}

func (banned) Dimension() string       { return "users" }
func (banned) Has(v string) bool       { return v == "u-2" }
func (banned) HasAddr(netip.Addr) bool { return false }

func policy(t *rapid.T, c correction.Correction) *correction.Policy {
	c.ID = "x"
	p, err := correction.CompileWith([]correction.Correction{c}, lists)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// touches says whether a verdict does anything to the request itself.
func touches(v *correction.Verdict) bool {
	return len(v.Refused)+len(v.Limits)+len(v.Clamps)+len(v.Strips)+len(v.Filters)+len(v.Pins)+len(v.Sessions) > 0
}

func TestEveryProposalCanBePostedAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCase(t)
		ladder, err := Ladder(c, noon)
		if err != nil {
			t.Fatal(err)
		}
		if len(ladder) < 3 {
			t.Fatalf("%d rungs", len(ladder))
		}
		if last := ladder[len(ladder)-1]; last.Correction.Kind != correction.Stop || last.Next != "" {
			t.Fatalf("the last rung is %q, then %q", last.Title, last.Next)
		}
		shutdown := false
		for i, p := range ladder {
			if p.Rank != i+1 || i > 0 && ladder[i-1].Next != p.Title || p.Title == "" || p.Why == "" || p.LeavesOpen == "" || p.Reversible == "" || p.Speed == "" {
				t.Fatalf("%+v", p)
			}
			if shutdown = shutdown || p.Toolkit == toolShutdown; shutdown && p.Toolkit != toolShutdown {
				t.Fatalf("%q stands behind a shutdown", p.Title)
			}
			text, err := json.Marshal(p.Correction)
			if err != nil {
				t.Fatal(err)
			}
			back, err := correction.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if err := back.Validate(noon); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			for j := range i {
				if same(&ladder[j].Correction, &p.Correction) {
					t.Fatalf("%q and %q are the same", ladder[j].Title, p.Title)
				}
			}
		}
	})
}

func anyRequest(t *rapid.T) correction.Request {
	one := func(pool string) string { return rapid.SampledFrom(append(pools[pool], "")).Draw(t, pool) }
	many := func(pool string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(pools[pool]), 0, 2, rapid.ID[string]).Draw(t, pool)
	}
	q := correction.Request{Model: rapid.SampledFrom(pools["models"]).Draw(t, "model"), Surface: one("surfaces"), Org: one("orgs"), Users: many("users"), Key: one("keys"), Tier: one("tiers"),
		Country: one("countries"), Attributes: many("attributes"), Tools: many("tools"), UseCases: many("uses"), Generates: true, Temperature: -1,
		OutputTokens: rapid.SampledFrom([]int64{0, 50, 5000}).Draw(t, "asked")}
	q.Version = q.Model + "-1"
	q.IP = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::7")}).Draw(t, "ip")
	q.Features = correction.Features(rapid.Uint64Range(0, 1<<25-1).Draw(t, "features"))
	if len(q.Tools) > 0 {
		q.Features |= correction.Tools
	}
	return q
}

// What is not marked wider does nothing to requests outside of the case's scope.
func TestNarrowProposalsStayInScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, q := anyCase(t), anyRequest(t)
		c.Linked = nil // a link reaches further by intent, once the control plane has found one
		ladder, err := Ladder(c, noon)
		if err != nil {
			t.Fatal(err)
		}
		var v correction.Verdict
		inScope := policy(t, correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Scope: c.Scope})
		if inScope.Decide(&q, correction.At(noon), &v); !v.Allowed() {
			return
		}
		for _, p := range ladder {
			if p.Wider {
				continue
			}
			if policy(t, p.Correction).Decide(&q, correction.At(noon), &v); touches(&v) {
				t.Fatalf("%q reaches beyond the scope: %+v", p.Title, p.Correction)
			}
		}
	})
}

// Every proposal does something to a request that is what the case describes.
func TestEveryProposalReachesTheCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCase(t)
		c.Scope.When, c.Scope.Lists = "", nil // which requests those mean is not told by the case
		c.Scope = whole(c.Scope)
		c.Scope.IPs = slices.DeleteFunc(c.Scope.IPs, func(ip string) bool { return strings.Contains(ip, "/") })
		if len(c.Scope.IPs) == 0 {
			c.Scope.IPs = nil
		}
		c.Scope = whole(c.Scope)
		c.Trusted = nil
		ladder, err := Ladder(c, noon)
		if err != nil {
			t.Fatal(err)
		}
		s := &c.Scope
		first := func(l []string, other string) string {
			if len(l) > 0 {
				return l[0]
			}
			return other
		}
		q := correction.Request{Model: first(s.Models, "large"), Version: first(s.Versions, "large-1"), Surface: first(s.Surfaces, "api"), Org: first(s.Orgs, "acme"), Users: s.Users,
			Key: first(s.Keys, "k-1"), Tier: first(s.Tiers, "free"), Country: first(s.Countries, "DE"), Attributes: s.Attributes, Tools: slices.Concat(s.Tools, c.Tools), UseCases: slices.Concat(s.UseCases, []string{"legal/advice"}),
			Features: 1<<25 - 1, Generates: true, Temperature: -1, IP: netip.MustParseAddr(first(s.IPs, "198.51.100.7"))}
		var v correction.Verdict
		for _, p := range ladder {
			if policy(t, p.Correction).Decide(&q, correction.At(noon), &v); !touches(&v) {
				t.Fatalf("%q does nothing to %+v: %+v", p.Title, q, p.Correction)
			}
		}
	})
}

func TestWhatIsKnownDecidesWhatIsProposed(t *testing.T) {
	titles := func(c Case) (list []string) {
		t.Helper()
		ladder, err := Ladder(c, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ladder {
			list = append(list, p.Title)
		}
		return list
	}
	all := correction.Scope{All: true}
	for _, tc := range []struct {
		c     Case
		first string
		also  []string
		never []string
	}{
		{Case{Threat: "account_misuse", Scope: correction.Scope{Users: []string{"u-1"}, Models: []string{"large"}}}, "Block them where it happens", []string{"Block them everywhere", "Stop the model"}, []string{"Block their keys", "Prohibit the use"}},
		{Case{Threat: "account_misuse", Scope: correction.Scope{Users: []string{"u-1"}, Keys: []string{"k-1"}}}, "Block them where it happens", []string{"Block their keys"}, []string{"Block them everywhere"}},
		{Case{Threat: "misuse_campaign", Scope: all, Patterns: []string{"x"}, Trusted: []string{"acme"}}, "Refuse the requests that show it", []string{"Allow only trusted orgs"}, []string{"Block them where it happens"}},
		{Case{Threat: "tool_misuse", Scope: correction.Scope{Tools: []string{"shell"}}}, "Take away the tools at stake", []string{"Take away all tools"}, nil},
		{Case{Threat: "data_exfiltration", Scope: all, Patterns: []string{"x"}}, "Black the data out of answers", []string{"Cut the answers that show it"}, nil},
		{Case{Threat: "data_exfiltration", Scope: all, Detector: "secrets"}, "Cut the answers that show it", nil, []string{"Black the data out of answers"}},
		{Case{Threat: "model_compromised", Scope: correction.Scope{Models: []string{"large"}}, Version: "earlier"}, "Go back to the version that is known to be good", []string{"Stop it on every surface"}, nil},
		{Case{Threat: "runaway_agent", Scope: correction.Scope{Keys: []string{"k-1"}}}, "Bound the session", []string{"Block them where it happens"}, []string{"Block their keys"}},
		{Case{Threat: "prohibited_use", Scope: all, UseCase: "legal/advice", Detector: "law"}, "Prohibit the use", []string{"Prohibit the use, recognised by the classifier"}, nil},
		{Case{Threat: "overload", Scope: correction.Scope{Orgs: []string{"acme"}}}, "Slow each caller down", []string{"Bound the whole load"}, nil},
		{Case{Threat: "weights_theft", Scope: correction.Scope{Models: []string{"large"}}}, "No more fine-tunes", nil, nil},
		{Case{Threat: "unknown", Scope: all}, "Take away what acts by itself", []string{"No new sessions", "Drain the model"}, []string{"Block them where it happens"}},
	} {
		got := titles(tc.c)
		if got[0] != tc.first {
			t.Errorf("%+v begins with %q, not %q", tc.c, got[0], tc.first)
		}
		for _, want := range tc.also {
			if !slices.Contains(got, want) {
				t.Errorf("%+v lacks %q: %q", tc.c, want, got)
			}
		}
		for _, never := range tc.never {
			if slices.Contains(got, never) {
				t.Errorf("%+v has %q", tc.c, never)
			}
		}
	}
}

func TestACaseIsChecked(t *testing.T) {
	all := correction.Scope{All: true}
	for want, c := range map[string]Case{
		"threat":         {Threat: "boredom", Scope: all},
		"scope":          {Threat: "unknown"},
		"scope.ips[0]":   {Threat: "unknown", Scope: correction.Scope{IPs: []string{"x"}}},
		"scope.when":     {Threat: "unknown", Scope: correction.Scope{When: "no such"}},
		"use_case":       {Threat: "unknown", Scope: all, UseCase: "/x"},
		"patterns[1]":    {Threat: "unknown", Scope: all, Patterns: []string{"a", ""}},
		"patterns":       {Threat: "unknown", Scope: all, Patterns: []string{}},
		"detector":       {Threat: "unknown", Scope: all, Detector: "patterns"},
		"tools[0]":       {Threat: "unknown", Scope: all, Tools: []string{""}},
		"tools":          {Threat: "unknown", Scope: all, Tools: make([]string, 101)},
		"version":        {Threat: "unknown", Scope: all, Version: "v"},
		"trusted[0]":     {Threat: "unknown", Scope: all, Trusted: []string{""}},
		"trusted":        {Threat: "unknown", Scope: all, Trusted: []string{}},
		"linked[0]":      {Threat: "unknown", Scope: all, Linked: []string{"a=b"}},
		"reason":         {Threat: "unknown", Scope: all, Reason: strings.Repeat("x", 5000)},
		"incident":       {Threat: "unknown", Scope: all, Incident: "\xff"},
		"scope.surfaces": {Threat: "unknown", Scope: correction.Scope{Surfaces: []string{}}},
	} {
		_, err := Ladder(c, noon)
		var f *correction.FieldError
		if !errors.As(err, &f) || f.Field != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	_, err := Ladder(Case{Threat: "boredom"}, noon)
	var f *correction.FieldError
	if !errors.As(err, &f) || len(f.Allowed) != len(Threats()) {
		t.Errorf("%v", err)
	}
}

func TestThreatsAreExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range Threats() {
		if seen[x.Name] || x.Title == "" || !strings.HasSuffix(x.Definition, ".") || x.Helps == "" || strings.Trim(x.Name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%+v", x)
		}
		seen[x.Name] = true
	}
	if fmt.Sprint(len(seen)) != "14" {
		t.Error(len(seen))
	}
}
