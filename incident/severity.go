package incident

import (
	"fmt"
	"slices"
)

// Severity follows harm: SEV-1 is the worst.
type Severity string

// The severities, the worst first.
const (
	Sev1 Severity = "SEV-1"
	Sev2 Severity = "SEV-2"
	Sev3 Severity = "SEV-3"
	Sev4 Severity = "SEV-4"
)

// Severities are all, the worst first.
var Severities = []Severity{Sev1, Sev2, Sev3, Sev4}

// Worse says whether s is worse than t. None is better than any.
func (s Severity) Worse(t Severity) bool {
	if s == "" || t == "" {
		return s != "" && t == ""
	}
	return s < t
}

// Harm is a kind of harm that counts for severity.
type Harm string

// HarmOf says how severe each kind of harm is.
var HarmOf = map[Harm]Severity{
	"death": Sev1, "serious_health": Sev1, "critical_infrastructure": Sev1, "catastrophic_risk": Sev1, "loss_of_control": Sev1,
	"rights": Sev2, "serious_property": Sev2, "serious_environment": Sev2, "weight_exfiltration": Sev2, "deceptive_subversion": Sev2,
	"limited_harm": Sev3,
	"near_miss":    Sev4, "hazard": Sev4,
}

// Harms are all kinds, the worst first.
var Harms = func() []Harm {
	var out []Harm
	for h := range HarmOf {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Harm) int {
		if x, y := HarmOf[a], HarmOf[b]; x != y {
			if x < y {
				return -1
			}
			return 1
		}
		if a < b {
			return -1
		}
		return 1
	})
	return out
}()

// How sure a fact is. A suspected one counts like a known one: when unsure, the
// higher severity.
const (
	FactKnown     = "known"
	FactSuspected = "suspected"
	FactRuledOut  = "ruled_out"
)

// Fact is one harm and how sure it is.
type Fact struct {
	Harm   Harm   `json:"harm"`
	Status string `json:"status,omitempty"` // known (default), suspected, ruled_out
	Text   string `json:"text,omitempty"`   // what shows it
}

func checkFacts(field string, facts []Fact) error {
	if len(facts) > len(HarmOf) {
		return wrong(field, fmt.Sprintf("has %d facts; there are %d kinds of harm", len(facts), len(HarmOf)))
	}
	seen := map[Harm]bool{}
	for i, f := range facts {
		at := fmt.Sprintf("%s[%d].", field, i)
		if err := oneOf(at+"harm", f.Harm, Harms); err != nil {
			return err
		}
		if seen[f.Harm] {
			return wrong(at+"harm", string(f.Harm)+" is there twice")
		}
		seen[f.Harm] = true
		if f.Status != "" {
			if err := oneOf(at+"status", f.Status, []string{FactKnown, FactSuspected, FactRuledOut}); err != nil {
				return err
			}
		}
		if err := optional(at+"text", f.Text, MaxReason); err != nil {
			return err
		}
	}
	return nil
}

// FloorOf is the severity that the facts give; "" if they give none.
func FloorOf(facts []Fact) Severity {
	var worst Severity
	for _, f := range facts {
		if s := HarmOf[f.Harm]; f.Status != FactRuledOut && s.Worse(worst) {
			worst = s
		}
	}
	return worst
}

// withFacts is old with those of more put in, in the order of Harms. Texts are
// not held: they are in the entry.
func withFacts(old, more []Fact) []Fact {
	out := slices.Clone(old)
	for _, f := range more {
		f.Text = ""
		if f.Status == "" {
			f.Status = FactKnown
		}
		if i := slices.IndexFunc(out, func(x Fact) bool { return x.Harm == f.Harm }); i >= 0 {
			out[i] = f
		} else {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Fact) int { return slices.Index(Harms, a.Harm) - slices.Index(Harms, b.Harm) })
	return out
}

// SeverityChange adds facts of harm, or sets a severity, or both.
type SeverityChange struct {
	Severity Severity `json:"severity,omitempty"`
	Harm     []Fact   `json:"harm,omitempty"`
	Reason   string   `json:"reason,omitempty"` // needed to lower, and to rule out
}

func (SeverityChange) kind() string { return "incident.severity" }

func (x SeverityChange) step(_ *Book, in *Incident, m Meta) (func(), error) {
	if x.Severity == "" && len(x.Harm) == 0 {
		return nil, wrong("severity", "missing: give a severity, or facts of harm, or both", names(Severities)...)
	}
	if x.Severity != "" {
		if err := oneOf("severity", x.Severity, Severities); err != nil {
			return nil, err
		}
	}
	if err := checkFacts("harm", x.Harm); err != nil {
		return nil, err
	}
	facts := withFacts(in.Harm, x.Harm)
	next, floor := x.Severity, FloorOf(facts)
	if next == "" {
		if next = in.Severity; floor.Worse(next) || in.Assumed && floor != "" {
			next = floor
		}
	}
	if floor.Worse(next) {
		return nil, &Error{Code: CodeField, Field: "severity", Detail: fmt.Sprintf("%s is below what the facts of harm say, which is %s", next, floor),
			Allowed: names(Severities[:slices.Index(Severities, floor)+1]), Hint: "if a fact no longer holds, rule it out first, with a reason"}
	}
	ruledOut := slices.ContainsFunc(x.Harm, func(f Fact) bool { return f.Status == FactRuledOut })
	if in.Severity.Worse(next) || ruledOut || x.Reason != "" {
		if err := text("reason", x.Reason, MaxReason); err != nil {
			return nil, err
		}
	}
	return func() {
		if in.Severity.Worse(next) && !in.Assumed && in.Severity.Worse(in.Lowered) {
			in.Lowered = in.Severity
		}
		in.Severity, in.Harm, in.Assumed = next, facts, false
	}, nil
}

func names[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
