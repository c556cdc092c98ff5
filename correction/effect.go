package correction

import (
	"slices"
	"strings"
)

// effect is what a rule does beyond refusing: what it disables, clamps, looks
// for, or who is past it.
type effect struct {
	disable Features
	tools   cond     // names to disable; empty if there are none
	names   []string // the same, as written
	guards  bool     // an answer can make use of what is disabled

	// Clamps; 0 is none, and below 0 for temperature.
	context, messages          int64
	output, choices, reasoning int64
	temperature                float64
	session                    bool // there is one over a session

	filter *Filter

	orgs, keys cond // that have acknowledged
}

// textCond is a set of texts, which newCond makes without fail.
func textCond(d dim, values []string) cond {
	c, err := newCond(d, values, false)
	if err != nil {
		panic("correction: compile texts: " + err.Error())
	}
	return c
}

func newDisable(disable []string) *effect {
	e := new(effect)
	for _, name := range disable {
		if tool, ok := strings.CutPrefix(name, toolPrefix); ok {
			e.names = append(e.names, tool)
		} else {
			e.disable |= FeatureOf(name)
		}
	}
	e.tools = textCond(dimTool, e.names)
	e.guards = e.disable&toolFeatures != 0 || len(e.names) > 0
	return e
}

func newClamp(clamp map[string]float64) *effect {
	e := &effect{temperature: -1}
	for name, n := range clamp {
		switch whole := int64(n); name {
		case clampContextTokens:
			e.context = whole
		case clampMessages:
			e.messages = whole
		case clampOutputTokens:
			e.output = whole
		case clampChoices:
			e.choices = whole
		case clampReasoningTokens:
			e.reasoning = max(whole, 1)
		case clampTemperature:
			e.temperature = n
		default:
			e.session = sessionClamp(name)
		}
	}
	return e
}

func newAcknowledged(who []string) *effect {
	var orgs, keys []string
	for _, w := range who {
		if key, ok := strings.CutPrefix(w, keyPrefix); ok {
			keys = append(keys, key)
		} else {
			orgs = append(orgs, w)
		}
	}
	return &effect{orgs: textCond(dimOrg, orgs), keys: textCond(dimKey, keys)}
}

// effective is the filter with its defaults.
func (f *Filter) effective() *Filter {
	own := *f
	if own.Detector != DetectorPatterns {
		if own.Threshold == 0 {
			own.Threshold = DefaultThreshold
		}
		if own.OnError == "" {
			own.OnError = onErrors[0]
		}
	}
	return &own
}

func inferredFilter(p *Params) *Filter {
	f := Filter{Direction: "both", Detector: p.Detector, Threshold: p.Threshold, Action: "block"}
	return f.effective()
}

// DisabledFeatures are the features that the rule takes away; 0 if it is no such
// rule.
func (r *Rule) DisabledFeatures() Features {
	if r.act != actDisable {
		return 0
	}
	return r.detail.effect.disable
}

// DisabledTools are the names, and types, of the tools that the rule takes away.
// Nobody may change them.
func (r *Rule) DisabledTools() []string {
	if r.act != actDisable {
		return nil
	}
	return r.detail.effect.names
}

// Filter is what a rule of Verdict.Filters looks for, its defaults filled in; nil
// for other rules. A use that is inferred is a classifier's filter of both
// directions that blocks. It is the same object as long as a policy keeps the
// rule, also over Next; nobody may change it.
func (r *Rule) Filter() *Filter {
	if r.act != actFilter {
		return nil
	}
	return r.detail.effect.filter
}

// mayDisable says, without looking at names, whether a rule that disables may
// have anything to say.
func (e *effect) mayDisable(r *Request) bool {
	return e.guards && r.Generates || r.Features&e.disable != 0 || len(e.names) > 0 && len(r.Tools) > 0
}

// disables says whether the request uses anything that is disabled, and whether
// all of that can be taken out of it.
func (e *effect) disables(r *Request) (uses, strips bool) {
	used := r.Features & e.disable
	uses, strips = used != 0, used&^r.Optional == 0
	if len(e.names) == 0 {
		return uses, strips
	}
	var have [16]string // tools that can be taken out, as far as there is room: one may be offered a thousand times
	n := 0
	for _, tool := range r.Tools {
		if !e.tools.has(tool) {
			continue
		}
		if uses = true; !strips {
			return uses, false
		}
		if slices.Contains(have[:n], tool) {
			continue
		}
		if !slices.Contains(r.OptionalTools, tool) {
			return uses, false
		}
		if n < len(have) {
			have[n] = tool
			n++
		}
	}
	return uses, strips
}

// clamps says whether a rule that clamps has anything to say.
func (e *effect) clamps(r *Request) bool {
	return e.session || e.rewrites() && !r.Live || e.exceeded(r)
}

// rewrites says whether there is a clamp that a request is rewritten to.
func (e *effect) rewrites() bool {
	return e.output > 0 || e.choices > 0 || e.reasoning > 0 || e.temperature >= 0
}

// exceeded says whether the request is beyond a clamp that it cannot be
// rewritten to: it would be another conversation.
func (e *effect) exceeded(r *Request) bool {
	return e.context > 0 && r.InputTokens > e.context || e.messages > 0 && r.Messages > e.messages || e.reasoning > 0 && r.Effort
}

// within says whether the request would be rewritten to what it is. A provider's
// temperature is 1 where none is said.
func (e *effect) within(r *Request) bool {
	temperature := r.Temperature
	if temperature < 0 {
		temperature = 1
	}
	return (e.output == 0 || r.OutputTokens > 0 && r.OutputTokens <= e.output) &&
		(e.choices == 0 || r.Choices <= e.choices) &&
		(e.temperature < 0 || temperature <= e.temperature) &&
		(e.reasoning == 0 || r.Reasoning <= e.reasoning)
}

func (e *effect) hasAcknowledged(r *Request) bool { return e.orgs.has(r.Org) || e.keys.has(r.Key) }

// apply writes into v what a rule does that does more than refuse.
func (r *Rule) apply(q *Request, waits bool, v *Verdict) {
	if r.shadow {
		if r.wouldAct(q, waits) {
			v.Shadow = append(v.Shadow, r)
		}
		return
	}
	switch r.act {
	case actLimit:
		v.Limits = append(v.Limits, r)
	case actFilter:
		v.Filters = append(v.Filters, r)
	case actPin:
		v.Pins = append(v.Pins, r)
	case actAcknowledge:
		if waits {
			v.Acknowledge = append(v.Acknowledge, r)
		} else {
			v.Refused = append(v.Refused, r)
		}
	case actDisable:
		e := r.detail.effect
		if e.guards && q.Generates {
			v.Guards = append(v.Guards, r)
		}
		switch uses, strips := e.disables(q); {
		case uses && strips && !q.Live:
			v.Strips = append(v.Strips, r)
			v.Strip |= q.Features & e.disable
		case uses:
			v.Refused = append(v.Refused, r)
		}
	case actClamp:
		e := r.detail.effect
		if e.exceeded(q) {
			v.Refused = append(v.Refused, r)
		}
		if e.session {
			v.Sessions = append(v.Sessions, r)
		}
		if e.rewrites() && !q.Live {
			v.Clamps = append(v.Clamps, r)
			v.clamp(e)
		}
	}
}

// wouldAct says whether a rule in shadow would do something to the request, or
// look at it.
func (r *Rule) wouldAct(q *Request, waits bool) bool {
	switch r.act {
	case actAcknowledge:
		return !waits
	case actPin:
		return q.Version != r.Correction.Params.Pin
	case actDisable:
		uses, _ := r.detail.effect.disables(q)
		return uses
	case actClamp:
		e := r.detail.effect
		return e.session || e.exceeded(q) || !e.within(q)
	}
	return true
}

// clamp takes over what is smaller than what there is.
func (v *Verdict) clamp(e *effect) {
	smaller := func(have *int64, n int64) {
		if n > 0 && (*have == 0 || n < *have) {
			*have = n
		}
	}
	smaller(&v.OutputTokens, e.output)
	smaller(&v.Choices, e.choices)
	smaller(&v.ReasoningTokens, e.reasoning)
	if e.temperature >= 0 && (v.Temperature < 0 || e.temperature < v.Temperature) {
		v.Temperature = e.temperature
	}
}
