package correction

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// valid is a correction of a kind with nothing wrong in it.
func valid(k Kind) Correction {
	c := Correction{Kind: k, Scope: Scope{Models: []string{"m"}}, Reason: "test"}
	switch k {
	case Stop:
		c.Params.Level = "L3"
	case Access:
		c.Params.Mode = "block"
	case Use:
		c.Params.UseCase = "medical"
	case Capability:
		c.Params.Disable = []string{"tools"}
	case Rate:
		c.Params = Params{Metric: "requests", Limit: ptr(int64(10)), Window: Duration(time.Minute)}
	}
	return c
}

// What changes a correction of a kind into one with more to it.
func linking(change func(*Correction)) func(*Correction) {
	return func(c *Correction) {
		c.Scope.Users, c.Params.Linked = []string{"u"}, []string{"org", "device"}
		change(c)
	}
}

func acknowledged(change func(*Correction)) func(*Correction) {
	return func(c *Correction) {
		c.Params.Action, c.Params.AcknowledgeBy = "acknowledge", at.Add(time.Hour)
		change(c)
	}
}

func clamped(clamp map[string]float64) func(*Correction) {
	return func(c *Correction) {
		if c.Params = (Params{Clamp: clamp}); clamp == nil {
			c.Params.Clamp = map[string]float64{}
		}
	}
}

func pinned(version string, s Scope) func(*Correction) {
	return func(c *Correction) { c.Params, c.Scope = Params{Pin: version}, s }
}

func filtered(change func(*Filter)) func(*Correction) {
	return func(c *Correction) {
		f := Filter{Direction: "output", Detector: "patterns", Patterns: []string{"forbidden phrase"}, Action: "cut"}
		change(&f)
		c.Params = Params{Filter: &f}
	}
}

func classified(change func(*Filter)) func(*Correction) {
	return func(c *Correction) {
		f := Filter{Direction: "both", Detector: "d", Action: "block"}
		change(&f)
		c.Params = Params{Filter: &f}
	}
}

// accepted are corrections with nothing wrong in them.
func accepted() map[string]Correction {
	with := func(k Kind, change func(*Correction)) Correction {
		c := valid(k)
		change(&c)
		return c
	}
	return map[string]Correction{
		"stop":              valid(Stop),
		"access":            valid(Access),
		"use":               valid(Use),
		"capability":        valid(Capability),
		"rate":              valid(Rate),
		"everything":        with(Stop, func(c *Correction) { c.Scope = Scope{All: true} }),
		"L0":                with(Stop, func(c *Correction) { c.Params.Level = "L0" }),
		"L2 with its drain": with(Stop, func(c *Correction) { c.Params = Params{Level: "L2", Drain: Duration(24 * time.Hour)} }),
		"L4":                with(Stop, func(c *Correction) { c.Params.Level = "L4" }),
		"allow_only": with(Access, func(c *Correction) {
			c.Params.Mode = "allow_only"
			c.Scope.Countries = []string{"de"}
		}),
		"clamp": with(Capability, func(c *Correction) { c.Params = Params{Clamp: map[string]float64{"output_tokens": 1}} }),
		"every feature": with(Capability, func(c *Correction) {
			c.Params.Disable = append(slices.Clone(featureNames), "tool:run shell", "tool:"+strings.Repeat("x", 256))
		}),
		"every clamp": with(Capability, clamped(map[string]float64{"context_tokens": 1, "output_tokens": 1 << 53, "messages": 1, "choices": 1, "temperature": 0, "reasoning_tokens": 0,
			"session_steps": 1, "session_tool_calls": 1, "session_seconds": 1, "session_spend": 0.01, "session_parallel": 1})),
		"fractions":      with(Capability, clamped(map[string]float64{"temperature": 0.7, "session_spend": 2.5})),
		"filter":         with(Capability, filtered(func(f *Filter) {})),
		"redaction":      with(Capability, filtered(func(f *Filter) { f.Action, f.Exact, f.Patterns, f.Regexps = "redact", true, nil, []string{"[0-9]{16}"} })),
		"held":           with(Capability, filtered(func(f *Filter) { f.Action, f.Direction = "hold", "input" })),
		"classifier":     with(Capability, classified(func(f *Filter) { f.Threshold, f.OnError, f.Action = 1, "pass", "reroute" })),
		"pin":            with(Capability, pinned("v1", Scope{Models: []string{"m"}, Orgs: []string{"o"}})),
		"linked":         with(Access, linking(func(c *Correction) {})),
		"links kept":     with(Access, linking(func(c *Correction) { c.Links, c.AppliedAt = []string{"org=acme", "device=d1"}, at })),
		"inferred":       with(Use, func(c *Correction) { c.Params.Basis, c.Params.Detector, c.Params.Threshold = "inferred", "d", 0.9 }),
		"to acknowledge": with(Use, acknowledged(func(c *Correction) {})),
		"acknowledged": with(Use, acknowledged(func(c *Correction) {
			c.Acknowledged, c.AppliedAt, c.Params.AcknowledgeBy = []string{"acme", "key:k1"}, at, at.Add(-1)
		})),
		"tool calls":     with(Rate, func(c *Correction) { c.Params.Metric = "tool_calls" }),
		"distinct users": with(Rate, func(c *Correction) { c.Params.Metric, c.Params.Per = "distinct_users", "key" }),
		"distinct apps":  with(Rate, func(c *Correction) { c.Params.Metric, c.Params.Per = "distinct_apps", "user" }),
		"lists": with(Stop, func(c *Correction) {
			c.Scope, c.Except = Scope{Lists: []string{"bad_actors-2.1", "x"}, Unknown: "include"}, &Scope{Lists: []string{"good"}}
		}),
		"unknown":       with(Stop, func(c *Correction) { c.Scope.Countries, c.Scope.Unknown = []string{"DE"}, "include" }),
		"concurrent":    with(Rate, func(c *Correction) { c.Params = Params{Metric: "concurrent", Limit: ptr(int64(1)), Per: "user"} }),
		"widest window": with(Rate, func(c *Correction) { c.Params.Window = Duration(31 * 24 * time.Hour) }),
		"all values":    with(Access, func(c *Correction) { c.Scope.Users = make([]string, MaxValues); fill(c.Scope.Users, "u") }),
		"long value":    with(Access, func(c *Correction) { c.Scope.Users = []string{strings.Repeat("u", 512)} }),
		"prefixes": with(Access, func(c *Correction) {
			c.Scope.IPs = []string{"10.0.0.0/8", "10.1.2.3/8", "::1", "::ffff:10.0.0.0/104", "::/0"}
		}),
		"when":    with(Stop, func(c *Correction) { c.Scope = Scope{When: `model.startsWith("m") && stream`} }),
		"except":  with(Stop, func(c *Correction) { c.Except = &Scope{Orgs: []string{"o"}} }),
		"share":   with(Stop, func(c *Correction) { c.Share = 1 }),
		"started": with(Stop, func(c *Correction) { c.StartsAt = at.Add(-time.Hour); c.ExpiresAt = at.Add(1) }),
		"deepest": with(Use, func(c *Correction) { c.Params.UseCase = "a" + strings.Repeat("/a", 15) }),
	}
}

func TestValidateAccepts(t *testing.T) {
	for name, c := range accepted() {
		t.Run(name, func(t *testing.T) {
			if err := c.Validate(at); err != nil {
				t.Errorf("Validate: %v", err)
			}
			if _, err := Compile([]Correction{c}); err != nil {
				t.Errorf("Compile: %v", err)
			}
		})
	}
}

func fill(values []string, v string) {
	for i := range values {
		values[i] = v
	}
}

// refusal is a fault in a correction of a kind, and what is said of it.
type refusal struct {
	kind    Kind
	change  func(*Correction)
	want    string
	compile bool // Compile refuses it as well
}

// refusals are one for each thing that Validate says. Each error names its field
// and says what is allowed. The text is what an operator reads, so it stands here
// word for word.
func refusals() []refusal {
	const (
		dims    = "models, versions, surfaces, orgs, users, keys, tiers, ips, countries, attributes, tools, use_cases, lists, when, all"
		feats   = "tools, streaming, function_tools, web_search, code_execution, computer_use, file_search, mcp, parallel_tool_calls, image_input, audio_input, file_input, image_output, audio_output, system_prompt, stored_conversations, batch, files, fine_tune_create, fine_tune_serve, embeddings, logprobs, reasoning_effort, structured_output, realtime, tool:NAME"
		clamps  = "context_tokens, output_tokens, messages, choices, temperature, reasoning_tokens, session_steps, session_tool_calls, session_seconds, session_spend, session_parallel"
		metrics = "requests, input_tokens, output_tokens, total_tokens, tool_calls, concurrent, distinct_users, distinct_apps"
		names   = "model, version, surface, org, user, users, key, tier, country, ip, attributes, use_cases, tools, stream, tools_offered, output_tokens, derivative, features, generates, continues, messages, input_tokens, choices, temperature, reasoning_tokens"
	)
	long := strings.Repeat("x", 513)
	return []refusal{
		{Stop, func(c *Correction) { c.Kind = "ban" }, `kind: unknown kind "ban"; allowed: stop, access, use, capability, rate`, true},
		{Stop, func(c *Correction) { c.Kind = "" }, `kind: missing kind; allowed: stop, access, use, capability, rate`, true},
		{Stop, func(c *Correction) { c.Mode = "dry-run" }, `mode: unknown mode "dry-run"; allowed: enforce, shadow`, true},

		{Stop, func(c *Correction) { c.Params.Mode = "block" }, `params.mode: is not a parameter of stop; allowed: level, drain`, true},
		{Access, func(c *Correction) { c.Params.Limit = ptr(int64(1)) }, `params.limit: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Metric = "requests" }, `params.metric: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Window = 1 }, `params.window: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Per = "user" }, `params.per: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.OnExceed = "queue" }, `params.on_exceed: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Disable = []string{"tools"} }, `params.disable: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Clamp = map[string]float64{} }, `params.clamp: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.UseCase = "a" }, `params.use_case: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Basis = "declared" }, `params.basis: is not a parameter of access; allowed: mode, linked`, true},
		{Access, func(c *Correction) { c.Params.Action = "block" }, `params.action: is not a parameter of access; allowed: mode, linked`, true},
		{Use, func(c *Correction) { c.Params.Level = "L3" }, `params.level: is not a parameter of use; allowed: use_case, basis, action, acknowledge_by, detector, threshold`, true},
		{Rate, func(c *Correction) { c.Params.Drain = 1 }, `params.drain: is not a parameter of rate; allowed: metric, limit, window, per, on_exceed`, true},

		{Stop, func(c *Correction) { c.Params.Level = "" }, `params.level: missing level; allowed: L0, L1, L2, L3, L4`, true},
		{Stop, func(c *Correction) { c.Params.Level = "l3" }, `params.level: unknown level "l3"; allowed: L0, L1, L2, L3, L4`, true},
		{Stop, func(c *Correction) { c.Params.Level = "L7" }, `params.level: unknown level "L7"; allowed: L0, L1, L2, L3, L4`, true},
		{Stop, func(c *Correction) { c.Params.Level = "L5" }, `params.level: L5 needs a quorum and custody, not available as a direct correction; allowed: L0, L1, L2, L3, L4`, false},
		{Stop, func(c *Correction) { c.Params.Level = "L6" }, `params.level: L6 needs a quorum and custody, not available as a direct correction; allowed: L0, L1, L2, L3, L4`, false},
		{Stop, func(c *Correction) { c.Params.Drain = 1 }, `params.drain: only L2 drains; leave it out`, true},
		{Stop, func(c *Correction) { c.Params = Params{Level: "L2", Drain: -1} }, `params.drain: -1ns is out of bounds; give more than 0s and at most 24h`, true},
		{Stop, func(c *Correction) { c.Params = Params{Level: "L2", Drain: Duration(25 * time.Hour)} }, `params.drain: 25h0m0s is out of bounds; give more than 0s and at most 24h`, true},
		{Stop, func(c *Correction) { c.Params.Level, c.Scope.Surfaces = "L4", []string{"api"} }, `scope.surfaces: L4 reaches every surface; use L3 to stop some`, true},
		{Stop, func(c *Correction) { c.Params.Level, c.Except = "L4", &Scope{Orgs: []string{"o"}} }, `except: L4 spares nobody; use L3 to stop with exceptions`, true},

		{Access, func(c *Correction) { c.Params.Mode = "" }, `params.mode: missing mode; allowed: block, allow_only`, true},
		{Access, func(c *Correction) { c.Params.Mode = "deny" }, `params.mode: unknown mode "deny"; allowed: block, allow_only`, true},
		{Access, func(c *Correction) { c.Params.Mode = "allow_only" }, `scope: allow_only needs somebody to allow: give at least one dimension that says who calls; allowed: orgs, users, keys, tiers, ips, countries, attributes, lists`, true},
		{Access, func(c *Correction) { c.Params.Mode, c.Scope = "allow_only", Scope{All: true} }, `scope: allow_only needs somebody to allow: give at least one dimension that says who calls; allowed: orgs, users, keys, tiers, ips, countries, attributes, lists`, true},

		{Use, func(c *Correction) { c.Params.UseCase = "" }, `params.use_case: missing node of the taxonomy, such as "medical/diagnosis"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "a//b" }, `params.use_case: "a//b" has an empty segment; write "a" or "a/b"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "/a" }, `params.use_case: "/a" has an empty segment; write "a" or "a/b"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "a/" }, `params.use_case: "a/" has an empty segment; write "a" or "a/b"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "a" + strings.Repeat("/a", 16) }, `params.use_case: has more than 16 segments`, true},
		{Use, func(c *Correction) { c.Params.UseCase = long }, `params.use_case: has 513 bytes; at most 512`, true},
		{Use, func(c *Correction) { c.Params.Basis = "guessed" }, `params.basis: unknown basis "guessed"; allowed: declared, inferred`, true},
		{Use, func(c *Correction) { c.Params.Action = "warn" }, `params.action: unknown action "warn"; allowed: block, acknowledge`, true},
		{Use, func(c *Correction) { c.Params.Basis = "inferred" }, `params.detector: missing; name a classifier that is configured at the gateways`, true},
		{Use, func(c *Correction) { c.Params.Basis, c.Params.Detector = "inferred", "patterns" }, `params.detector: patterns know no use; name a classifier, or make a capability filter`, true},
		{Use, func(c *Correction) { c.Params.Basis, c.Params.Detector = "inferred", long }, `params.detector: has 513 bytes; at most 512`, true},
		{Use, func(c *Correction) { c.Params.Basis, c.Params.Detector, c.Params.Threshold = "inferred", "d", 1.5 }, `params.threshold: 1.5 is out of bounds; give 0 < threshold <= 1, or leave it out for 0.5`, true},
		{Use, func(c *Correction) {
			c.Params.Basis, c.Params.Detector, c.Params.Threshold = "inferred", "d", math.NaN()
		}, `params.threshold: NaN is out of bounds; give 0 < threshold <= 1, or leave it out for 0.5`, true},
		{Use, func(c *Correction) { c.Params.Detector = "d" }, `params.detector: only basis inferred has a detector; leave it out`, true},
		{Use, func(c *Correction) { c.Params.Threshold = .5 }, `params.threshold: only basis inferred has a threshold; leave it out`, true},
		{Use, func(c *Correction) { c.Params.Action = "acknowledge" }, `params.acknowledge_by: missing; give the time from which on who has not acknowledged is refused, such as "2026-11-23T15:04:05Z"`, true},
		{Use, func(c *Correction) { c.Params.AcknowledgeBy = at.Add(1) }, `params.acknowledge_by: only action acknowledge has a deadline; leave it out`, true},
		{Use, func(c *Correction) { c.Params.Action, c.Params.AcknowledgeBy = "acknowledge", at }, `params.acknowledge_by: is in the past; give a later time, or use action block`, false},
		{Use, func(c *Correction) {
			c.Params.Action, c.Params.AcknowledgeBy, c.Params.Basis, c.Params.Detector = "acknowledge", at.Add(1), "inferred", "d"
		}, `params.action: who declares a use can acknowledge it; one that is inferred can only be blocked; allowed: block`, true},

		{Access, func(c *Correction) { c.Params.Linked = []string{"org"} }, `scope: linked needs subjects that accounts can be linked to; allowed: orgs, users, keys, attributes`, true},
		{Access, linking(func(c *Correction) { c.Params.Linked = []string{} }), `params.linked: has 0 names; give 1 to 8, "org" or names of attributes, or leave it out`, true},
		{Access, linking(func(c *Correction) { c.Params.Linked = make([]string, 9) }), `params.linked: has 9 names; give 1 to 8, "org" or names of attributes, or leave it out`, true},
		{Access, linking(func(c *Correction) { c.Params.Linked = []string{"a=b"} }), `params.linked[0]: "a=b" holds a value; give "org", or the name of an attribute alone`, true},
		{Access, linking(func(c *Correction) { c.Params.Linked = []string{"a", "a"} }), `params.linked[1]: "a" stands here twice`, true},
		{Access, linking(func(c *Correction) { c.Params.Linked = []string{""} }), `params.linked[0]: is an empty text`, true},
		{Access, linking(func(c *Correction) { c.Params.Mode = "allow_only" }), `params.linked: only block looks for linked accounts; leave it out`, true},
		{Access, linking(func(c *Correction) { c.Links = []string{"org=x"} }), `links: is set by the control plane; leave it out`, false},
		{Access, linking(func(c *Correction) { c.Links = []string{"x"} }), `links[0]: "x" is not of the form "name=value"`, true},
		{Access, linking(func(c *Correction) { c.Links = make([]string, MaxLinks+1) }), `links: has 10001 values; at most 10000`, true},
		{Access, func(c *Correction) { c.Links = []string{"org=x"} }, `links: belong to an access block with params.linked`, true},
		{Use, func(c *Correction) { c.Acknowledged = []string{"o"} }, `acknowledged: belongs to a use with action acknowledge`, true},
		{Use, acknowledged(func(c *Correction) { c.Acknowledged = []string{"o"} }), `acknowledged: is set by the control plane; leave it out`, false},
		{Use, acknowledged(func(c *Correction) { c.Acknowledged = []string{""} }), `acknowledged[0]: is an empty text`, true},
		{Use, acknowledged(func(c *Correction) { c.Acknowledged = make([]string, MaxAcknowledged+1) }), `acknowledged: has 10001 values; at most 10000`, true},

		{Capability, func(c *Correction) { c.Params = Params{} }, `params: says nothing; give one; allowed: disable, clamp, filter, pin`, true},
		{Capability, func(c *Correction) { c.Params.Clamp = map[string]float64{"output_tokens": 1} }, `params: says more than one thing; make a correction of each; allowed: disable, clamp, filter, pin`, true},
		{Capability, func(c *Correction) { c.Params.Pin = "v" }, `params: says more than one thing; make a correction of each; allowed: disable, clamp, filter, pin`, true},
		{Capability, func(c *Correction) { c.Params.Filter = &Filter{} }, `params: says more than one thing; make a correction of each; allowed: disable, clamp, filter, pin`, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{} }, `params.disable: is an empty list; name a feature or a tool; allowed: ` + feats, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{"tools", "vision"} }, `params.disable[1]: unknown feature "vision"; allowed: ` + feats, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{""} }, `params.disable[0]: missing feature; allowed: ` + feats, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{"tool:"} }, `params.disable[0]: the tool's name is an empty text`, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{"tool:" + strings.Repeat("x", 257)} }, `params.disable[0]: the tool's name has 257 bytes; at most 256`, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{"tool:\xff"} }, `params.disable[0]: the tool's name is not valid UTF-8`, true},
		{Capability, func(c *Correction) { c.Params.Disable = make([]string, MaxValues+1); fill(c.Params.Disable, "mcp") }, `params.disable: has 10001 values; at most 10000`, false},
		{Capability, clamped(nil), `params.clamp: is empty; name what to clamp; allowed: ` + clamps, true},
		{Capability, clamped(map[string]float64{"top_p": 1}), `params.clamp: unknown clamp "top_p"; allowed: ` + clamps, true},
		{Capability, clamped(map[string]float64{"output_tokens": 0}), `params.clamp.output_tokens: 0 is out of bounds; give a whole number of at least 1; use access block or stop to let nothing through`, true},
		{Capability, clamped(map[string]float64{"messages": 1.5}), `params.clamp.messages: 1.5 is out of bounds; give a whole number of at least 1`, true},
		{Capability, clamped(map[string]float64{"messages": 1 << 54}), `params.clamp.messages: 1.8014398509481984e+16 is out of bounds; give a whole number of at least 1`, true},
		{Capability, clamped(map[string]float64{"temperature": 2.5}), `params.clamp.temperature: 2.5 is out of bounds; give a number of 0 to 2`, true},
		{Capability, clamped(map[string]float64{"temperature": math.NaN()}), `params.clamp.temperature: NaN is out of bounds; give a number of 0 to 2`, true},
		{Capability, clamped(map[string]float64{"reasoning_tokens": -1}), `params.clamp.reasoning_tokens: -1 is out of bounds; give a whole number of at least 0; use access block or stop to let nothing through`, true},
		{Capability, clamped(map[string]float64{"session_spend": 0}), `params.clamp.session_spend: 0 is out of bounds; give a number above 0; use access block or stop to let nothing through`, true},
		{Capability, clamped(map[string]float64{"session_steps": math.Inf(1)}), `params.clamp.session_steps: +Inf is out of bounds; give a whole number of at least 1`, true},
		{Capability, pinned("v1", Scope{All: true}), `scope.models: missing; a pin says which version of a model is served, so name the model`, true},
		{Capability, pinned("v1", Scope{Orgs: []string{"o"}}), `scope.models: missing; a pin says which version of a model is served, so name the model`, true},
		{Capability, pinned(long, Scope{Models: []string{"m"}}), `params.pin: has 513 bytes; at most 512`, true},

		{Capability, filtered(func(f *Filter) { f.Direction = "" }), `params.filter.direction: missing direction; allowed: input, output, both`, true},
		{Capability, filtered(func(f *Filter) { f.Direction = "in" }), `params.filter.direction: unknown direction "in"; allowed: input, output, both`, true},
		{Capability, filtered(func(f *Filter) { f.Detector = "" }), `params.filter.detector: missing; give "patterns", or name a classifier that is configured at the gateways`, true},
		{Capability, filtered(func(f *Filter) { f.Action = "" }), `params.filter.action: missing action; allowed: block, redact, cut, reroute, hold`, true},
		{Capability, filtered(func(f *Filter) { f.Action = "log" }), `params.filter.action: unknown action "log"; allowed: block, redact, cut, reroute, hold`, true},
		{Capability, filtered(func(f *Filter) { f.Patterns = nil }), `params.filter: detector "patterns" needs something to look for; allowed: patterns, regexps`, true},
		{Capability, filtered(func(f *Filter) { f.Regexps = []string{} }), `params.filter.regexps: is an empty list; leave it out`, true},
		{Capability, filtered(func(f *Filter) { f.Patterns = []string{"a", ""} }), `params.filter.patterns[1]: is an empty text`, true},
		{Capability, filtered(func(f *Filter) { f.Patterns = []string{strings.Repeat("x", 1025)} }), `params.filter.patterns[0]: has 1025 bytes; at most 1024`, true},
		{Capability, filtered(func(f *Filter) { f.Patterns = make([]string, MaxPatterns+1); fill(f.Patterns, "p") }), `params.filter.patterns: has 10001 values; at most 10000`, false},
		{Capability, filtered(func(f *Filter) { f.Regexps = make([]string, MaxRegexps+1); fill(f.Regexps, "p") }), `params.filter.regexps: has 1001 values; at most 1000`, false},
		{Capability, filtered(func(f *Filter) { f.Regexps = []string{"a", "(b"} }), "params.filter.regexps[1]: is not a regular expression of RE2: error parsing regexp: missing closing ): `(b`", true},
		{Capability, filtered(func(f *Filter) { f.Threshold = .5 }), `params.filter.threshold: belongs to a classifier; patterns have no score`, true},
		{Capability, filtered(func(f *Filter) { f.OnError = "pass" }), `params.filter.on_error: belongs to a classifier; patterns do not fail`, true},
		{Capability, filtered(func(f *Filter) { f.Detector = "d" }), `params.filter.patterns: belong to the detector "patterns"; leave them out`, true},
		{Capability, classified(func(f *Filter) { f.Regexps = []string{"x"} }), `params.filter.regexps: belong to the detector "patterns"; leave them out`, true},
		{Capability, classified(func(f *Filter) { f.Exact = true }), `params.filter.exact: belongs to the detector "patterns"; leave it out`, true},
		{Capability, classified(func(f *Filter) { f.Action = "redact" }), `params.filter.action: a classifier does not say which words to redact; only the detector "patterns" does; allowed: block, cut, reroute, hold`, true},
		{Capability, classified(func(f *Filter) { f.OnError = "retry" }), `params.filter.on_error: unknown on_error "retry"; allowed: block, pass`, true},
		{Capability, classified(func(f *Filter) { f.Threshold = -.5 }), `params.filter.threshold: -0.5 is out of bounds; give 0 < threshold <= 1, or leave it out for 0.5`, true},

		{Rate, func(c *Correction) { c.Params.Metric = "" }, `params.metric: missing metric; allowed: ` + metrics, true},
		{Rate, func(c *Correction) { c.Params.Metric = "bytes" }, `params.metric: unknown metric "bytes"; allowed: ` + metrics, true},
		{Rate, func(c *Correction) { c.Params.Metric, c.Params.Per = "distinct_users", "user" }, `params.per: distinct_users for each user is always one; count them for something else; allowed: org, key, ip, model, global`, true},
		{Rate, func(c *Correction) { c.Params.Metric, c.Params.Per = "distinct_apps", "key" }, `params.per: distinct_apps for each key is always one; count them for something else; allowed: user, org, ip, model, global`, true},
		{Rate, func(c *Correction) { c.Params.Metric, c.Params.Window = "distinct_apps", 0 }, `params.window: missing; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Limit = nil }, `params.limit: missing; give a whole number of at least 1`, true},
		{Rate, func(c *Correction) { c.Params.Limit = ptr(int64(0)) }, `params.limit: 0 would block everything; use access block or stop, or give at least 1`, true},
		{Rate, func(c *Correction) { c.Params.Limit = ptr(int64(-3)) }, `params.limit: -3 would block everything; use access block or stop, or give at least 1`, true},
		{Rate, func(c *Correction) { c.Params.Window = 0 }, `params.window: missing; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Window = Duration(time.Millisecond) }, `params.window: 1ms is out of bounds; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Window = Duration(31*24*time.Hour + 1) }, `params.window: 744h0m0.000000001s is out of bounds; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Metric = "concurrent" }, `params.window: concurrent counts what runs at the same time and takes no window; leave it out`, true},
		{Rate, func(c *Correction) { c.Params.Per = "country" }, `params.per: unknown per "country"; allowed: user, org, key, ip, model, global`, true},
		{Rate, func(c *Correction) { c.Params.OnExceed = "drop" }, `params.on_exceed: unknown on_exceed "drop"; allowed: reject, queue`, true},

		{Stop, func(c *Correction) { c.Scope = Scope{} }, `scope: no condition is given; write {"all": true} to reach everything; allowed: ` + dims, true},
		{Stop, func(c *Correction) { c.Scope.All = true }, `scope.all: cannot stand beside conditions; give one or the other`, true},
		{Stop, func(c *Correction) { c.Scope = Scope{All: true, When: "true"} }, `scope.all: cannot stand beside conditions; give one or the other`, true},
		{Stop, func(c *Correction) { c.Scope.Users = []string{} }, `scope.users: is an empty list, which matches nobody; name somebody, or leave it out to match everybody`, true},
		{Stop, func(c *Correction) { c.Scope.Users = []string{"a", ""} }, `scope.users[1]: is an empty text; an unknown value cannot be listed`, true},
		{Stop, func(c *Correction) { c.Scope.Models = []string{long} }, `scope.models[0]: has 513 bytes; at most 512`, true},
		{Stop, func(c *Correction) { c.Scope.Orgs = []string{"\xff"} }, `scope.orgs[0]: is not valid UTF-8`, true},
		{Stop, func(c *Correction) { c.Scope.Users = make([]string, MaxValues+1); fill(c.Scope.Users, "u") }, `scope.users: has 10001 values, at most 10000; longer ones are a named list`, false},
		{Stop, func(c *Correction) { c.Scope.Lists = []string{} }, `scope.lists: is an empty list; name a list, or leave it out`, true},
		{Stop, func(c *Correction) { c.Scope.Lists = []string{"ok", "Bad Actors"} }, `scope.lists[1]: "Bad Actors" is not a name of a list; give 1 to 64 of a-z, 0-9, dot, underscore and hyphen`, true},
		{Stop, func(c *Correction) { c.Scope.Lists = []string{strings.Repeat("x", 65)} }, `scope.lists[0]: "` + strings.Repeat("x", 64) + `"… is not a name of a list; give 1 to 64 of a-z, 0-9, dot, underscore and hyphen`, true},
		{Stop, func(c *Correction) { c.Except = &Scope{Lists: []string{""}} }, `except.lists[0]: "" is not a name of a list; give 1 to 64 of a-z, 0-9, dot, underscore and hyphen`, true},
		{Stop, func(c *Correction) { c.Scope.Lists = make([]string, MaxScopeLists+1); fill(c.Scope.Lists, "l") }, `scope.lists: names 65 lists; at most 64`, false},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"10.0.0"} }, `scope.ips[0]: "10.0.0" is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"10.0.0.0/33"} }, `scope.ips[0]: "10.0.0.0/33" is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"fe80::1%eth0"} }, `scope.ips[0]: "fe80::1%eth0" has a zone, which means nothing here; leave it out`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"::ffff:10.0.0.0/95"} }, `scope.ips[0]: "::ffff:10.0.0.0/95" covers more than IPv4-mapped addresses; write the IPv4 and IPv6 prefixes apart`, true},
		{Stop, func(c *Correction) { c.Scope.Countries = []string{"DEU"} }, `scope.countries[0]: "DEU" is not an ISO 3166-1 alpha-2 code; write for example "DE"`, true},
		{Stop, func(c *Correction) { c.Scope.Countries = []string{"D1"} }, `scope.countries[0]: "D1" is not an ISO 3166-1 alpha-2 code; write for example "DE"`, true},
		{Stop, func(c *Correction) { c.Scope.Attributes = []string{"verified"} }, `scope.attributes[0]: "verified" is not of the form "name=value"`, true},
		{Stop, func(c *Correction) { c.Scope.Attributes = []string{"verified="} }, `scope.attributes[0]: "verified=" is not of the form "name=value"`, true},
		{Stop, func(c *Correction) { c.Scope.UseCases = []string{"a/"} }, `scope.use_cases[0]: "a/" has an empty segment; write "a" or "a/b"`, true},
		{Stop, func(c *Correction) { c.Scope.When = "prompt == 'x'" }, `scope.when: line 1, column 1: undeclared reference to 'prompt'; allowed: ` + names, true},
		{Stop, func(c *Correction) { c.Scope.When = "model" }, `scope.when: must be true or false, but is of type string; allowed: ` + names, true},
		{Stop, func(c *Correction) { c.Scope.When = strings.Repeat(" ", 2049) }, `scope.when: has 2049 bytes; at most 2048; allowed: ` + names, true},

		{Stop, func(c *Correction) { c.Scope.Unknown = "match" }, `scope.unknown: unknown rule "match"; allowed: exclude, include`, true},
		{Stop, func(c *Correction) { c.Scope.Unknown = "include" }, `scope.unknown: says what to do with unknown values, but no dimension is given that can be unknown; allowed: versions, surfaces, orgs, users, keys, tiers, ips, countries, attributes, use_cases, lists`, true},
		{Stop, func(c *Correction) { c.Except = &Scope{Orgs: []string{"o"}, Unknown: "include"} }, `except.unknown: an except never spares what is unknown; leave it out`, true},
		{Access, func(c *Correction) {
			c.Params.Mode, c.Scope.Orgs, c.Scope.Unknown = "allow_only", []string{"o"}, "exclude"
		}, `scope.unknown: allow_only refuses what is unknown in any case; leave it out`, true},

		{Stop, func(c *Correction) { c.Except = &Scope{} }, `except: no condition is given; write {"all": true} to reach everything; allowed: ` + dims, true},
		{Stop, func(c *Correction) { c.Except = &Scope{All: true} }, `except.all: would spare everybody; lift the correction instead`, true},
		{Stop, func(c *Correction) { c.Except = &Scope{Keys: []string{""}} }, `except.keys[0]: is an empty text; an unknown value cannot be listed`, true},

		{Stop, func(c *Correction) { c.Share = 1.5 }, `share: 1.5 is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope`, true},
		{Stop, func(c *Correction) { c.Share = -0.1 }, `share: -0.1 is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope`, true},
		{Stop, func(c *Correction) { c.Share = math.NaN() }, `share: NaN is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope`, true},

		{Stop, func(c *Correction) { c.Reason = " \n" }, `reason: missing; say why, for the record`, false},
		{Stop, func(c *Correction) { c.Reason = strings.Repeat("r", 4097) }, `reason: has 4097 bytes; at most 4096`, false},
		{Stop, func(c *Correction) { c.PublicReason = strings.Repeat("r", 1025) }, `public_reason: has 1025 bytes; at most 1024`, false},
		{Stop, func(c *Correction) { c.Incident = long }, `incident: has 513 bytes; at most 512`, false},
		{Stop, func(c *Correction) { c.Fallback = "\xff" }, `fallback: is not valid UTF-8`, false},
		{Stop, func(c *Correction) { c.ExpiresAt = at }, `expires_at: is in the past; give a later time, or leave it out`, false},
		{Stop, func(c *Correction) { c.StartsAt, c.ExpiresAt = at.Add(2), at.Add(2) }, `starts_at: is not before expires_at; it would never be in force`, false},
		{Stop, func(c *Correction) { c.ReviewBy = at }, `review_by: is in the past; give a later time, or leave it out`, false},
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, tc := range refusals() {
		t.Run(tc.want, func(t *testing.T) {
			c := valid(tc.kind)
			tc.change(&c)
			err := c.Validate(at)
			if err == nil || err.Error() != tc.want {
				t.Fatalf("Validate:\n%v\nwant\n%s", err, tc.want)
			}
			var fe *FieldError
			if !errors.As(err, &fe) {
				t.Errorf("error is a %T, not a *FieldError", err)
			}
			if _, err := Compile([]Correction{c}); (err != nil) != tc.compile {
				t.Errorf("Compile: %v, want an error: %v", err, tc.compile)
			}
		})
	}
}

func TestCompileRefusesTwoOfOneID(t *testing.T) {
	a, b := valid(Stop), valid(Access)
	a.ID, b.ID = "c-1", "c-1"
	_, err := Compile([]Correction{a, b})
	if err == nil || !strings.Contains(err.Error(), `id "c-1" stands for more than one`) {
		t.Errorf("Compile: %v", err)
	}
}
