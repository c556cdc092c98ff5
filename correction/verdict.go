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

	// Clamps are the enforced clamps that reach the request, by id, whether or
	// not it asks for more. A live request has none.
	Clamps []*Rule

	// OutputTokens is the smallest clamp of output tokens; 0 means none.
	OutputTokens int64

	// Shadow are the rules in mode shadow that would have refused, limited, or
	// changed the request; most severe first, then by id.
	Shadow []*Rule

	// Drain is when a live request will be refused by an enforced L2 whose
	// drain has not ended: Unix ns of the earliest end; 0 means none.
	Drain int64
}

// Allowed says whether nothing refuses the request.
func (v *Verdict) Allowed() bool { return len(v.Refused) == 0 }

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

func (v *Verdict) reset() {
	v.Refused, v.Limits, v.Clamps, v.Shadow = v.Refused[:0], v.Limits[:0], v.Clamps[:0], v.Shadow[:0]
	v.OutputTokens, v.Drain = 0, 0
}

// settle brings the lists in order and takes out what two values of a request
// both led to.
func (v *Verdict) settle() {
	v.Refused = inOrder(v.Refused)
	v.Limits = inOrder(v.Limits)
	v.Clamps = inOrder(v.Clamps)
	v.Shadow = inOrder(v.Shadow)
}

func inOrder(rules []*Rule) []*Rule {
	if len(rules) < 2 {
		return rules
	}
	slices.SortFunc(rules, func(a, b *Rule) int { return cmp.Compare(a.rank, b.rank) })
	return slices.Compact(rules)
}
