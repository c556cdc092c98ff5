package correction

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func disable(id string, s Scope, what ...string) Correction {
	return Correction{ID: id, Kind: Capability, Params: Params{Disable: what}, Scope: s}
}

func clampTo(id string, clamp map[string]float64) Correction {
	return Correction{ID: id, Kind: Capability, Params: Params{Clamp: clamp}, Scope: Scope{All: true}}
}

// What can be taken out of a request is taken out, and what cannot is refused.
func TestDisable(t *testing.T) {
	all := Scope{All: true}
	web := Request{Generates: true, Features: Tools | WebSearch | Streaming, Tools: []string{"web_search", "get", "function"}}
	optional := web
	optional.Optional, optional.OptionalTools = WebSearch, []string{"web_search", "get"}
	live := optional
	live.Live = true
	for _, tc := range []struct {
		name                    string
		c                       Correction
		r                       Request
		refused, strips, guards bool
		strip                   Features
	}{
		{"not used", disable("c", all, "mcp"), web, false, false, true, 0},
		{"not used, and no answer can use it", disable("c", all, "image_input"), web, false, false, false, 0},
		{"not used, and nothing is generated", disable("c", all, "mcp"), Request{}, false, false, false, 0},
		{"needed", disable("c", all, "web_search"), web, true, false, true, 0},
		{"optional", disable("c", all, "web_search"), optional, false, true, true, WebSearch},
		{"optional, but running", disable("c", all, "web_search"), live, true, false, true, 0},
		{"one optional and one not", disable("c", all, "web_search", "streaming"), optional, true, false, true, 0},
		{"tools as a whole", disable("c", all, "tools"), optional, true, false, true, 0},
		{"a tool by name, not offered", disable("c", all, "tool:shell"), web, false, false, true, 0},
		{"a tool by name, needed", disable("c", all, "tool:get"), web, true, false, true, 0},
		{"a tool by name, optional", disable("c", all, "tool:get"), optional, false, true, true, 0},
		{"a tool by name, running", disable("c", all, "tool:get"), live, true, false, true, 0},
		{"two tools, one needed", disable("c", all, "tool:get", "tool:function"), optional, true, false, true, 0},
		{"a type, needed", disable("c", all, "tool:function"), optional, true, false, true, 0},
		{"a tool and a feature, both optional", disable("c", all, "tool:get", "web_search"), optional, false, true, true, WebSearch},
		{"in scope by a tool", disable("c", Scope{Tools: []string{"get"}}, "web_search"), optional, false, true, true, WebSearch},
		{"not in scope by a tool", disable("c", Scope{Tools: []string{"shell"}}, "web_search"), optional, false, false, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := decide(compile(t, tc.c), &tc.r)
			if !v.Allowed() != tc.refused || (len(v.Strips) > 0) != tc.strips || (len(v.Guards) > 0) != tc.guards || v.Strip != tc.strip {
				t.Errorf("%+v", answerOf(v))
			}
			tc.c.Mode = Shadow
			v = decide(compile(t, tc.c), &tc.r)
			want := nothing
			if tc.refused || tc.strips {
				want.Shadow = []string{"c"}
			}
			if d := cmp.Diff(want, answerOf(v)); d != "" {
				t.Errorf("in shadow: %s", d)
			}
		})
	}
}

// More tools than are remembered, and one a thousand times.
func TestDisableManyTools(t *testing.T) {
	var r Request
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("tool:t%d", i))
		r.Tools = append(r.Tools, fmt.Sprintf("t%d", i), "t7")
	}
	for range 1000 {
		r.Tools = append(r.Tools, "t7")
	}
	r.OptionalTools = slices.Clone(r.Tools)
	p := compile(t, disable("c", Scope{All: true}, names...))
	if v := decide(p, &r); !v.Allowed() || len(v.Strips) != 1 {
		t.Errorf("all can be taken out: %+v", answerOf(v))
	}
	r.OptionalTools = slices.DeleteFunc(r.OptionalTools, func(s string) bool { return s == "t39" })
	if v := decide(p, &r); v.Allowed() {
		t.Errorf("one cannot be taken out: %+v", answerOf(v))
	}
}

func TestAccessors(t *testing.T) {
	cs := []Correction{
		disable("a", Scope{All: true}, "mcp", "tool:x", "tool:y"),
		{ID: "b", Kind: Capability, Params: Params{Filter: &Filter{Direction: "input", Detector: "d", Action: "hold"}}, Scope: Scope{All: true}},
		{ID: "c", Kind: Use, Params: Params{UseCase: "x", Basis: "inferred", Detector: "d", Threshold: 0.9}, Scope: Scope{All: true}},
		{ID: "d", Kind: Capability, Params: Params{Filter: &Filter{Direction: "both", Detector: "patterns", Patterns: []string{"p"}, Action: "redact"}}, Scope: Scope{All: true}},
		block("e", Scope{Users: []string{"u"}}),
	}
	p := compile(t, cs...)
	filters := map[string]*Filter{}
	p.Each(func(r *Rule) bool {
		filters[r.Correction.ID] = r.Filter()
		if r.Correction.ID == "a" {
			if r.DisabledFeatures() != MCP || !slices.Equal(r.DisabledTools(), []string{"x", "y"}) {
				t.Errorf("disabled are %v and %v", r.DisabledFeatures().Names(), r.DisabledTools())
			}
		} else if r.DisabledFeatures() != 0 || r.DisabledTools() != nil {
			t.Errorf("%s disables something", r.Correction.ID)
		}
		return true
	})
	want := map[string]*Filter{
		"a": nil, "e": nil,
		"b": {Direction: "input", Detector: "d", Threshold: 0.5, OnError: "block", Action: "hold"},
		"c": {Direction: "both", Detector: "d", Threshold: 0.9, OnError: "block", Action: "block"},
		"d": {Direction: "both", Detector: "patterns", Patterns: []string{"p"}, Action: "redact"},
	}
	if d := cmp.Diff(want, filters); d != "" {
		t.Error(d)
	}
	next, err := p.Next(append(pointers(cs), ptr(block("f", Scope{Users: []string{"w"}}))), nil)
	if err != nil {
		t.Fatal(err)
	}
	next.Each(func(r *Rule) bool {
		if f := filters[r.Correction.ID]; r.Filter() != f {
			t.Errorf("Next made another filter of %s", r.Correction.ID)
		}
		return true
	})
}

// An acknowledgement may be given until the deadline, and counts after it.
func TestAcknowledge(t *testing.T) {
	c := Correction{ID: "c", Kind: Use, Params: Params{UseCase: "legal", Action: "acknowledge", AcknowledgeBy: at.Add(time.Hour)}, Scope: Scope{All: true},
		Acknowledged: []string{"acme", "key:k7", "key:" /* an empty key is an unknown one */}}
	p := compile(t, c)
	before, after := At(at), At(at.Add(time.Hour))
	doubt := Span{Early: before.Early, Late: after.Late}
	use := []string{"legal/advice"}
	for _, tc := range []struct {
		name          string
		r             Request
		now           Span
		asks, refused bool
	}{
		{"before", Request{UseCases: use, Org: "globex"}, before, true, false},
		{"at the deadline", Request{UseCases: use, Org: "globex"}, after, false, true},
		{"perhaps after it", Request{UseCases: use, Org: "globex"}, doubt, false, true},
		{"running at the deadline", Request{UseCases: use, Org: "globex", Live: true}, after, false, true},
		{"by the org", Request{UseCases: use, Org: "acme", Key: "k1"}, after, false, false},
		{"by the key", Request{UseCases: use, Org: "globex", Key: "k7"}, after, false, false},
		{"before, by the key", Request{UseCases: use, Key: "k7"}, before, false, false},
		{"a key of an org's name", Request{UseCases: use, Key: "acme"}, after, false, true},
		{"nobody known", Request{UseCases: use}, after, false, true},
		{"another use", Request{UseCases: []string{"law"}}, after, false, false},
	} {
		var v Verdict
		if p.Decide(&tc.r, tc.now, &v); (len(v.Acknowledge) > 0) != tc.asks || !v.Allowed() != tc.refused {
			t.Errorf("%s: %+v", tc.name, answerOf(&v))
		}
	}
	if got := p.NextChange(at); !got.Equal(at.Add(time.Hour)) {
		t.Errorf("the next change is at %v", got)
	}
}

func TestClamps(t *testing.T) {
	p := compile(t,
		clampTo("a", map[string]float64{"output_tokens": 100, "choices": 2, "temperature": 1.5, "session_steps": 9, "session_spend": 0.5}),
		clampTo("b", map[string]float64{"output_tokens": 50, "choices": 3, "temperature": 0, "reasoning_tokens": 0}),
		clampTo("c", map[string]float64{"context_tokens": 1000}),
		clampTo("d", map[string]float64{"messages": 3, "session_parallel": 2}),
	)
	want := nothing
	want.Clamps, want.Sessions = []string{"a", "b"}, []string{"a", "d"}
	want.OutputTokens, want.Choices, want.Temperature, want.Reasoning = 50, 2, 0, 1
	if d := cmp.Diff(want, answerOf(decide(p, &Request{InputTokens: 1000, Messages: 3}))); d != "" {
		t.Errorf("at the bounds: %s", d)
	}
	live := nothing
	live.Sessions = want.Sessions
	if d := cmp.Diff(live, answerOf(decide(p, &Request{Live: true}))); d != "" {
		t.Errorf("running: %s", d)
	}
	want.Refused = []string{"c", "d"}
	if d := cmp.Diff(want, answerOf(decide(p, &Request{InputTokens: 1001, Messages: 4}))); d != "" {
		t.Errorf("beyond them: %s", d)
	}
}

func TestPins(t *testing.T) {
	pin := func(id, version string, s Scope) Correction {
		return Correction{ID: id, Kind: Capability, Params: Params{Pin: version}, Scope: s, Fallback: map[string]string{"b": "small"}[id]}
	}
	m := Scope{Models: []string{"m"}}
	p := compile(t, pin("a", "v1", m), pin("b", "v1", m), pin("c", "v2", Scope{Models: []string{"m"}, Orgs: []string{"acme"}}))
	v := decide(p, &Request{Model: "m", Version: "v3"})
	if version, conflict := v.Pin(); version != "v1" || conflict || !v.Allowed() || len(v.Pins) != 2 {
		t.Errorf("one version: %q, %v, %+v", version, conflict, answerOf(v))
	}
	v = decide(p, &Request{Model: "m", Org: "acme"})
	if version, conflict := v.Pin(); version != "v1" || !conflict || !slices.Equal(ids(v.Refused), []string{"a", "b", "c"}) || v.Fallback("own") != "" {
		t.Errorf("two versions: %q, %v, %+v", version, conflict, answerOf(v))
	}
	v = decide(p, &Request{Model: "n"})
	if version, conflict := v.Pin(); version != "" || conflict || !v.Allowed() {
		t.Errorf("another model: %q, %v, %+v", version, conflict, answerOf(v))
	}
}

// A million blocks with links are found by their links as by their subjects.
func TestLinkedAccounts(t *testing.T) {
	var cs []Correction
	for i := range 50 {
		c := block(fmt.Sprintf("c-%02d", i), Scope{Users: []string{fmt.Sprintf("u-%d", i)}, Models: []string{"m"}})
		c.Params.Linked, c.Links = []string{"org", "device"}, []string{fmt.Sprintf("org=o-%d", i), fmt.Sprintf("device=d-%d", i)}
		cs = append(cs, c)
	}
	cs[7].Except = &Scope{Keys: []string{"spared"}}
	cs = append(cs, block("zero", Scope{Orgs: []string{"o-3"}}))
	p := compile(t, cs...)
	if n := len(p.base.ix.always); n != 0 {
		t.Errorf("%d rules are looked at always", n)
	}
	for _, tc := range []struct {
		name string
		r    Request
		want []string
	}{
		{"the subject", Request{Model: "m", Users: []string{"u-7"}}, []string{"c-07"}},
		{"a new user of the org", Request{Model: "m", Users: []string{"new"}, Org: "o-7"}, []string{"c-07"}},
		{"a new user with the device", Request{Model: "m", Attributes: []string{"tier=x", "device=d-7"}}, []string{"c-07"}},
		{"all of them, once", Request{Model: "m", Users: []string{"u-7"}, Org: "o-7", Attributes: []string{"device=d-7"}}, []string{"c-07"}},
		{"another model", Request{Model: "n", Org: "o-7"}, nil},
		{"spared", Request{Model: "m", Org: "o-7", Key: "spared"}, nil},
		{"an attribute that is called org", Request{Model: "m", Attributes: []string{"org=o-7"}}, nil},
		{"beside another rule", Request{Model: "m", Org: "o-3"}, []string{"c-03", "zero"}},
		{"nobody", Request{Model: "m", Users: []string{"new"}}, nil},
	} {
		if d := cmp.Diff(tc.want, ids(decide(p, &tc.r).Refused)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
}

// What is unknown is reached only where the scope says so.
func TestUnknown(t *testing.T) {
	for _, tc := range []struct {
		name  string
		scope Scope
		r     Request
		out   bool // reached with include, and not with exclude
	}{
		{"country", Scope{Countries: []string{"DE"}}, Request{}, true},
		{"a country that is none", Scope{Countries: []string{"DE"}}, Request{Country: "D3"}, true},
		{"another country", Scope{Countries: []string{"DE"}}, Request{Country: "FR"}, false},
		{"no attribute", Scope{Attributes: []string{"age=minor"}}, Request{Attributes: []string{"device=x"}}, true},
		{"an empty attribute", Scope{Attributes: []string{"age=minor"}}, Request{Attributes: []string{"age="}}, true},
		{"another value", Scope{Attributes: []string{"age=minor"}}, Request{Attributes: []string{"age=adult"}}, false},
		{"one of two names", Scope{Attributes: []string{"age=minor", "plan=free"}}, Request{Attributes: []string{"age=adult"}}, true},
		{"no user", Scope{Users: []string{"eve"}}, Request{}, true},
		{"an empty user beside another", Scope{Users: []string{"eve"}}, Request{Users: []string{"", "bob"}}, true},
		{"another user", Scope{Users: []string{"eve"}}, Request{Users: []string{"bob"}}, false},
		{"no address", Scope{IPs: []string{"10.0.0.0/8"}}, Request{}, true},
		{"another model", Scope{Users: []string{"eve"}, Models: []string{"m"}}, Request{Model: "n"}, false},
		{"no model", Scope{Users: []string{"eve"}, Models: []string{"m"}}, Request{}, false},
		{"no tools", Scope{Users: []string{"eve"}, Tools: []string{"x"}}, Request{}, false},
		{"a list of users", Scope{Lists: []string{"l"}}, Request{}, true},
	} {
		lists := Lists{"l": &testList{dimension: "users", values: []string{"eve"}}}
		for _, rule := range []string{"", "exclude", "include"} {
			tc.scope.Unknown = rule
			p, err := CompileWith([]Correction{block("c", tc.scope)}, lists)
			if err != nil {
				t.Fatal(err)
			}
			if v := decide(p, &tc.r); v.Allowed() == (tc.out && rule == "include") {
				t.Errorf("%s, unknown %q: allowed is %v", tc.name, rule, v.Allowed())
			}
		}
	}
}

func TestShadowOfClamps(t *testing.T) {
	for _, tc := range []struct {
		clamp  map[string]float64
		r      Request
		counts bool
	}{
		{map[string]float64{"temperature": 1}, Request{Temperature: -1}, false},
		{map[string]float64{"temperature": 0.9}, Request{Temperature: -1}, true},
		{map[string]float64{"temperature": 0.9}, Request{Temperature: 0.9}, false},
		{map[string]float64{"choices": 1}, Request{}, false},
		{map[string]float64{"choices": 1}, Request{Choices: 2}, true},
		{map[string]float64{"reasoning_tokens": 10}, Request{}, false},
		{map[string]float64{"reasoning_tokens": 10}, Request{Effort: true}, true},
		{map[string]float64{"reasoning_tokens": 10}, Request{Features: ReasoningEffort, Reasoning: 10}, false},
		{map[string]float64{"reasoning_tokens": 10, "choices": 1}, Request{Choices: 3}, true},
		{map[string]float64{"context_tokens": 10}, Request{InputTokens: 10}, false},
		{map[string]float64{"context_tokens": 10}, Request{InputTokens: 11}, true},
		{map[string]float64{"session_seconds": 10}, Request{Live: true}, true},
	} {
		c := clampTo("c", tc.clamp)
		c.Mode = Shadow
		if v := decide(compile(t, c), &tc.r); (len(v.Shadow) > 0) != tc.counts || !v.Allowed() || len(v.Clamps)+len(v.Sessions) > 0 {
			t.Errorf("%v of %+v: %+v", tc.clamp, tc.r, answerOf(v))
		}
	}
}
