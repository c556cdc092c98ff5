package correction

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The oracle decides straight from the definitions in the package comment: one
// correction after the other, no index, nothing prepared, times as time.Time.
// It shares no code with the policy, and takes CEL from a table of expressions
// with their meaning in Go.

type answer struct {
	Refused, Limits, Clamps, Shadow, Strips, Guards, Filters, Pins, Sessions, Acknowledge []string
	OutputTokens, Choices, Reasoning                                                      int64
	Temperature                                                                           float64
	Strip                                                                                 Features
	Drain                                                                                 int64
}

// nothing is what an empty policy says.
var nothing = answer{Temperature: -1}

func answerOf(v *Verdict) answer {
	return answer{
		ids(v.Refused), ids(v.Limits), ids(v.Clamps), ids(v.Shadow), ids(v.Strips), ids(v.Guards), ids(v.Filters), ids(v.Pins), ids(v.Sessions), ids(v.Acknowledge),
		v.OutputTokens, v.Choices, v.ReasoningTokens, v.Temperature, v.Strip, v.Drain,
	}
}

type truth int

const (
	no truth = iota
	yes
	fails
)

// whens are expressions with what they mean.
var whens = map[string]func(*Request) truth{
	`model == "m1"`:                                       func(r *Request) truth { return is(r.Model == "m1") },
	`stream && output_tokens > 100`:                       func(r *Request) truth { return is(r.Features&Streaming != 0 && r.OutputTokens > 100) },
	`"u1" in users || tier == "t2"`:                       func(r *Request) truth { return is(slices.Contains(r.Users, "u1") || r.Tier == "t2") },
	`country in ["DE", "FR"]`:                             func(r *Request) truth { u := strings.ToUpper(r.Country); return is(u == "DE" || u == "FR") },
	`ip.startsWith("10.")`:                                func(r *Request) truth { return is(r.IP.IsValid() && strings.HasPrefix(r.IP.String(), "10.")) },
	`tools.exists(t, t.startsWith("f"))`:                  func(r *Request) truth { return is(slices.ContainsFunc(r.Tools, startsF)) },
	`!tools_offered && size(tools) == 0`:                  func(r *Request) truth { return is(r.Features&Tools == 0 && len(r.Tools) == 0) },
	`attributes[0] == "a=1"`:                              func(r *Request) truth { return at0(r.Attributes, "a=1") },
	`use_cases[0] == "x" && org != "o1"`:                  func(r *Request) truth { return and(at0(r.UseCases, "x"), is(r.Org != "o1")) },
	`int(version) > 1 || surface == "s1"`:                 func(r *Request) truth { return or(versionOver1(r.Version), is(r.Surface == "s1")) },
	`features.exists(f, f == "web_search") && !generates`: func(r *Request) truth { return is(r.Features&WebSearch != 0 && !r.Generates) },
	`temperature > 1.0 || messages > 3 || choices > 2`:    func(r *Request) truth { return is(r.Temperature > 1 || r.Messages > 3 || r.Choices > 2) },
	`input_tokens > 100 && derivative == ""`:              func(r *Request) truth { return is(r.InputTokens > 100 && r.Derivative == "") },
	`continues || reasoning_tokens > 50`:                  func(r *Request) truth { return is(r.Continues || r.Reasoning > 50) },
	`user == "u2" || key.matches("^k[1]$") || "x/y" in use_cases`: func(r *Request) truth {
		return is(r.firstUser() == "u2" || r.Key == "k1" || slices.Contains(r.UseCases, "x/y"))
	},
}

func startsF(s string) bool { return strings.HasPrefix(s, "f") }

func (r *Request) firstUser() string {
	for _, u := range r.Users {
		if u != "" {
			return u
		}
	}
	return ""
}

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

func at0(values []string, v string) truth {
	if len(values) == 0 {
		return fails
	}
	return is(values[0] == v)
}

func versionOver1(v string) truth {
	switch v {
	case "1":
		return no
	case "2", "3":
		return yes
	}
	return fails
}

// and and or are CEL's: a side that settles the matter hides the other's failure.
func and(a, b truth) truth {
	if a == no || b == no {
		return no
	}
	return max(a, b)
}

func or(a, b truth) truth {
	if a == yes || b == yes {
		return yes
	}
	return max(a, b)
}

// does is all that one correction does to a request that it reaches, whether it
// is enforced or not.
type does struct {
	refuses, limits, clamps, strips, guards, filters, pins, session, acknowledge bool
	output, choices, reasoning                                                   int64
	temperature                                                                  float64
	strip                                                                        Features
	drainEnd                                                                     int64
	shadow                                                                       bool
}

func oracle(cs []Correction, r *Request, now Span, lists map[string]*testList) answer {
	sorted := slices.Clone(cs)
	slices.SortFunc(sorted, func(a, b Correction) int {
		return cmp.Or(cmp.Compare(oracleSeverity(&a), oracleSeverity(&b)), cmp.Compare(a.ID, b.ID))
	})
	pins := map[string]bool{}
	for i := range sorted {
		c := &sorted[i]
		if c.Params.Pin != "" && c.Mode != Shadow && oracleActive(c, now) && oracleReaches(c, r, lists) {
			pins[c.Params.Pin] = true
		}
	}
	out := nothing
	for i := range sorted {
		c := &sorted[i]
		if !oracleActive(c, now) || !oracleReaches(c, r, lists) {
			continue
		}
		d := oracleDoes(c, r, now)
		add := func(list *[]string, is bool) {
			if is {
				*list = append(*list, c.ID)
			}
		}
		if c.Mode == Shadow {
			add(&out.Shadow, d.shadow)
			continue
		}
		add(&out.Refused, d.refuses || d.pins && len(pins) > 1)
		add(&out.Limits, d.limits)
		add(&out.Clamps, d.clamps)
		add(&out.Strips, d.strips)
		add(&out.Guards, d.guards)
		add(&out.Filters, d.filters)
		add(&out.Pins, d.pins)
		add(&out.Sessions, d.session)
		add(&out.Acknowledge, d.acknowledge)
		out.Strip |= d.strip
		for _, least := range []struct {
			to *int64
			n  int64
		}{{&out.OutputTokens, d.output}, {&out.Choices, d.choices}, {&out.Reasoning, d.reasoning}, {&out.Drain, d.drainEnd}} {
			if least.n != 0 && (*least.to == 0 || least.n < *least.to) {
				*least.to = least.n
			}
		}
		if d.clamps && d.temperature >= 0 && (out.Temperature < 0 || d.temperature < out.Temperature) {
			out.Temperature = d.temperature
		}
	}
	return out
}

func oracleSeverity(c *Correction) int {
	if c.Kind == Stop {
		return slices.Index([]string{"L6", "L5", "L4", "L3", "L2", "L1", "L0"}, c.Params.Level)
	}
	return 100 + slices.Index([]Kind{Access, Use, Capability, Rate}, c.Kind)
}

func oracleStart(c *Correction) (time.Time, bool) {
	if c.AppliedAt.IsZero() && c.StartsAt.IsZero() {
		return time.Time{}, false
	}
	if c.StartsAt.After(c.AppliedAt) {
		return c.StartsAt, true
	}
	return c.AppliedAt, true
}

func oracleActive(c *Correction, now Span) bool {
	if c.StartsAt.After(c.AppliedAt) && time.Unix(0, now.Late).Before(c.StartsAt) {
		return false
	}
	return c.ExpiresAt.IsZero() || time.Unix(0, now.Early).Before(c.ExpiresAt)
}

func oracleDoes(c *Correction, r *Request, now Span) (d does) {
	p := &c.Params
	switch {
	case c.Kind == Stop:
		d.refuses, d.drainEnd = oracleStops(c, r, now)
		d.shadow = d.refuses
	case c.Kind == Rate:
		d.limits = !r.Live
		d.shadow = d.limits
	case c.Kind == Use && p.Basis == "inferred" || p.Filter != nil:
		d.filters = r.Generates
		d.shadow = d.filters
	case c.Kind == Use && p.Action == "acknowledge":
		if slices.Contains(c.Acknowledged, r.Org) && r.Org != "" || slices.Contains(c.Acknowledged, "key:"+r.Key) && r.Key != "" {
			return d
		}
		d.refuses = !time.Unix(0, now.Late).Before(p.AcknowledgeBy)
		d.acknowledge = !d.refuses
		d.shadow = d.refuses
	case p.Disable != nil:
		oracleDisables(p.Disable, r, &d)
	case p.Clamp != nil:
		oracleClamps(p.Clamp, r, &d)
	case p.Pin != "":
		d.pins, d.shadow = true, r.Version != p.Pin
	default:
		d.refuses, d.shadow = true, true
	}
	return d
}

// oracleBits are the registry's names with their bits, written down once more.
var oracleBits = map[string]Features{
	"tools": Tools, "streaming": Streaming, "function_tools": FunctionTools, "web_search": WebSearch, "code_execution": CodeExecution,
	"computer_use": ComputerUse, "file_search": FileSearch, "mcp": MCP, "parallel_tool_calls": ParallelToolCalls, "image_input": ImageInput,
	"audio_input": AudioInput, "file_input": FileInput, "image_output": ImageOutput, "audio_output": AudioOutput, "system_prompt": SystemPrompt,
	"stored_conversations": StoredConversations, "batch": Batch, "files": Files, "fine_tune_create": FineTuneCreate, "fine_tune_serve": FineTuneServe,
	"embeddings": Embeddings, "logprobs": Logprobs, "reasoning_effort": ReasoningEffort, "structured_output": StructuredOutput, "realtime": Realtime,
}

func oracleDisables(disable []string, r *Request, d *does) {
	uses, stays := false, false // stays: something disabled that cannot be taken out
	for _, name := range disable {
		tool, isTool := strings.CutPrefix(name, "tool:")
		if isTool {
			if slices.Contains(r.Tools, tool) {
				uses = true
				stays = stays || !slices.Contains(r.OptionalTools, tool)
			}
		} else if bit := oracleBits[name]; r.Features&bit != 0 {
			uses = true
			stays = stays || r.Optional&bit == 0
			d.strip |= bit
		}
		answered := slices.Contains([]string{"tools", "function_tools", "web_search", "code_execution", "computer_use", "file_search", "mcp"}, name)
		d.guards = d.guards || r.Generates && (isTool || answered)
	}
	d.refuses = uses && (stays || r.Live)
	d.strips = uses && !d.refuses
	if !d.strips {
		d.strip = 0
	}
	d.shadow = uses
}

func oracleClamps(clamp map[string]float64, r *Request, d *does) {
	d.temperature = -1
	for name, n := range clamp {
		changes := false
		switch name {
		case "context_tokens":
			d.refuses = d.refuses || float64(r.InputTokens) > n
		case "messages":
			d.refuses = d.refuses || float64(r.Messages) > n
		case "output_tokens":
			d.output = int64(n)
			d.clamps, changes = true, r.OutputTokens == 0 || float64(r.OutputTokens) > n
		case "choices":
			d.choices = int64(n)
			d.clamps, changes = true, float64(r.Choices) > n
		case "reasoning_tokens":
			if d.reasoning = int64(n); n == 0 {
				d.reasoning, n = 1, 1
			}
			d.clamps, changes = true, float64(r.Reasoning) > n
			d.refuses = d.refuses || r.Effort
		case "temperature":
			d.temperature = n
			asked := r.Temperature
			if asked < 0 {
				asked = 1
			}
			d.clamps, changes = true, asked > n
		default:
			d.session = true
		}
		d.shadow = d.shadow || changes && !r.Live
	}
	if r.Live {
		d.clamps, d.output, d.choices, d.reasoning = false, 0, 0, 0
	}
	d.shadow = d.shadow || d.refuses || d.session
}

func oracleStops(c *Correction, r *Request, now Span) (refuses bool, drainEnd int64) {
	switch c.Params.Level {
	case "L0":
		return r.Features&FineTuneCreate != 0 && !r.Live, 0
	case "L1":
		return !r.Continues && !r.Live, 0
	case "L2":
		if !r.Live {
			return true, 0
		}
		drain := 2 * time.Minute
		if c.Params.Drain != 0 {
			drain = time.Duration(c.Params.Drain)
		}
		from, ok := oracleStart(c)
		if !ok {
			return true, 0
		}
		end := from.Add(drain)
		if time.Unix(0, now.Late).Before(end) {
			return false, end.UnixNano()
		}
	}
	return true, 0
}

// oracleSubjects are the dimensions of a scope that tell who calls, and the rest.
func oracleSubjects(s Scope) (who, rest Scope) {
	who = Scope{Orgs: s.Orgs, Users: s.Users, Keys: s.Keys, Tiers: s.Tiers, IPs: s.IPs, Countries: s.Countries, Attributes: s.Attributes, Lists: s.Lists, Unknown: s.Unknown}
	rest = s
	rest.Orgs, rest.Users, rest.Keys, rest.Tiers, rest.IPs, rest.Countries, rest.Attributes, rest.Lists = nil, nil, nil, nil, nil, nil, nil, nil
	return who, rest
}

func oracleReaches(c *Correction, r *Request, lists map[string]*testList) bool {
	for _, name := range c.Scope.Lists {
		if lists[name] == nil {
			return false // still being loaded
		}
	}
	who, rest := oracleSubjects(c.Scope)
	if !oracleScope(&rest, r, false, lists) {
		return false
	}
	if c.Kind == Use && c.Params.Basis != "inferred" && !slices.ContainsFunc(r.UseCases, func(u string) bool {
		return u == c.Params.UseCase || strings.HasPrefix(u, c.Params.UseCase+"/")
	}) {
		return false
	}
	if c.Kind == Access && c.Params.Mode == "allow_only" {
		if oracleScope(&who, r, true, lists) {
			return false
		}
	} else if !oracleScope(&who, r, false, lists) && !oracleLinked(c, r) {
		return false
	}
	if c.Except != nil && oracleScope(c.Except, r, true, lists) {
		return false
	}
	return oracleShare(c, r)
}

func oracleLinked(c *Correction, r *Request) bool {
	for _, l := range c.Links {
		name, value, _ := strings.Cut(l, "=")
		if name == "org" && r.Org == value || name != "org" && slices.Contains(r.Attributes, l) {
			return true
		}
	}
	return false
}
