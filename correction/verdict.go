package correction

import (
	"cmp"
	"slices"
)

// Verdict is what a policy says of one request, and which corrections said it.
// It can be used again and again; its slices keep their room. Not for
// concurrent use.
type Verdict struct {
	// Refused are the enforced rules that refuse, most severe first: stop by
	// descending level, access, use, capability, and then by id. If it is
	// empty, the request is allowed.
	Refused []*Rule

	// Limits are the enforced rate rules to reserve against, by id. A live
	// request has none: it has reserved already.
	Limits []*Rule

	// Clamps are the enforced clamps of what a request is rewritten to, by id,
	// whether or not it asks for more. A live request has none.
	Clamps []*Rule

	// OutputTokens is the smallest clamp of output tokens; 0 means none.
	OutputTokens int64

	// The smallest of the other clamps that the request is rewritten to; 0 means
	// none, for Temperature below 0. A clamp of 0 reasoning tokens shows as 1: as
	// little as can be said.
	Choices, ReasoningTokens int64
	Temperature              float64

	// Strips are the enforced rules that disable something which the request
	// uses and which can be taken out of it; Strip is what to take out, beside
	// the tools that the rules name.
	Strips []*Rule
	Strip  Features

	// Guards are the enforced rules that disable tools and reach this call,
	// whether or not the request offers one: its answer must hold no call of them.
	Guards []*Rule

	// Filters are the enforced filters and inferred uses that reach the call.
	// A live request has them, too.
	Filters []*Rule

	// Pins are the enforced pins that reach the call; see Pin. Where they name
	// different versions, all of them are in Refused too.
	Pins []*Rule

	// Sessions are the enforced clamps over a session that reach the call: steps,
	// tool calls, wall-clock, spend, parallel agents.
	Sessions []*Rule

	// Acknowledge are the uses that still wait for the caller's acknowledgement,
	// before their deadline.
	Acknowledge []*Rule

	// Shadow are the rules in mode shadow that would have refused or changed the
	// request, and the limits, session clamps and filters that would have looked at
	// it; most severe first, then by id.
	Shadow []*Rule

	// Drain is when a live request will be refused by an enforced L2 whose
	// drain has not ended: Unix ns of the earliest end; 0 means none.
	Drain int64
}

// Allowed says whether nothing refuses the request.
func (v *Verdict) Allowed() bool { return len(v.Refused) == 0 }

// Pin is the version that the call is pinned to, "" if it is not. Two pins of
// different versions conflict: no version would do for both, so they refuse.
func (v *Verdict) Pin() (version string, conflict bool) {
	for i, r := range v.Pins {
		switch pin := r.Correction.Params.Pin; {
		case i == 0:
			version = pin
		case pin != version:
			return version, true
		}
	}
	return version, false
}

// Fallback is the model to serve instead of a refused one, or "" for none. own
// is the model's own fallback, "" if it has none.
//
// A rule names its fallback, or says none; where it says nothing, a stop
// permits the model's own and every other kind permits none. If any refusing
// rule permits none, there is none; otherwise the most severe one's is taken.
// The caller has to decide anew for the fallback, which may be refused too.
func (v *Verdict) Fallback(own string) string {
	model := ""
	for i, r := range v.Refused {
		m := r.fallback(own)
		if m == "" {
			return ""
		}
		if i == 0 {
			model = m
		}
	}
	return model
}

func (r *Rule) fallback(own string) string {
	switch f := r.Correction.Fallback; {
	case f == NoFallback:
		return ""
	case f != "":
		return f
	case r.Correction.Kind == Stop:
		return own
	}
	return ""
}

// Join adds to v what o, which allows its request too, asks of a call that both
// speak of: its limits, clamps, strips, guards, filters, sessions and
// acknowledgements. Pins are left out, since one version cannot stand for two models.
func (v *Verdict) Join(o *Verdict) {
	v.Limits = inOrder(append(v.Limits, o.Limits...))
	v.Clamps = inOrder(append(v.Clamps, o.Clamps...))
	v.Strips = inOrder(append(v.Strips, o.Strips...))
	v.Guards = inOrder(append(v.Guards, o.Guards...))
	v.Filters = inOrder(append(v.Filters, o.Filters...))
	v.Sessions = inOrder(append(v.Sessions, o.Sessions...))
	v.Acknowledge = inOrder(append(v.Acknowledge, o.Acknowledge...))
	v.Strip |= o.Strip
	e := effect{output: o.OutputTokens, choices: o.Choices, reasoning: o.ReasoningTokens, temperature: o.Temperature}
	v.clamp(&e)
}

func (v *Verdict) reset() {
	v.Refused, v.Limits, v.Clamps, v.Shadow = v.Refused[:0], v.Limits[:0], v.Clamps[:0], v.Shadow[:0]
	v.Strips, v.Guards, v.Filters, v.Pins = v.Strips[:0], v.Guards[:0], v.Filters[:0], v.Pins[:0]
	v.Sessions, v.Acknowledge = v.Sessions[:0], v.Acknowledge[:0]
	v.OutputTokens, v.Choices, v.ReasoningTokens, v.Temperature = 0, 0, 0, -1
	v.Strip, v.Drain = 0, 0
}

// settle brings the lists in order and takes out what two values of a request
// both led to.
func (v *Verdict) settle() {
	if len(v.Pins) > 1 {
		if _, conflict := v.Pin(); conflict {
			v.Refused = append(v.Refused, v.Pins...)
		}
	}
	order(&v.Refused)
	order(&v.Limits)
	order(&v.Clamps)
	order(&v.Strips)
	order(&v.Guards)
	order(&v.Filters)
	order(&v.Pins)
	order(&v.Sessions)
	order(&v.Acknowledge)
	order(&v.Shadow)
}

// order is inOrder where there is something to do, which is seldom.
func order(rules *[]*Rule) {
	if len(*rules) > 1 {
		*rules = inOrder(*rules)
	}
}

func inOrder(rules []*Rule) []*Rule {
	slices.SortFunc(rules, func(a, b *Rule) int { return cmp.Compare(a.rank, b.rank) })
	return slices.Compact(rules)
}
