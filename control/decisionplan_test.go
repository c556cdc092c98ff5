package control

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"andon/plan"
	"andon/playbook"
)

// TestAThreatOfThePlanBringsItsPlaybook: what the plan has against a threat is among
// the options, as is what propose knows, and can be done.
func TestAThreatOfThePlanBringsItsPlaybook(t *testing.T) {
	w := clocked(t)
	p := w.plan(`{"name":"leak","vars":[{"name":"pattern"}],"exit":["quiet"],
		"stop_gap":{"for":"1h","then":"lapse","corrections":[{"kind":"stop","params":{"level":"L2"},"scope":{"models":["sim-large"]},"reason":"gap"}]},
		"steps":[{"name":"look","task":{"do":"look"}},
			{"name":"take it away","correction":{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"it leaks"}},
			{"name":"cut it out","for":"4h","correction":{"kind":"capability","params":{"filter":{"detector":"patterns","patterns":["__pattern__:value"],"direction":"output","action":"block"}},"scope":{"models":["sim-large"]},"reason":"it leaks"}},
			{"name":"slow","for":"2h","correction":{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"models":["sim-large"]},"reason":"slow"}}]}`,
		`{"name":"other","threats":["our-leak"],"exit":["quiet"],"steps":[{"name":"close","correction":{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"reason":"r"}}]}`)
	own := p.Threats[0]
	own.Name, own.Class, own.Models, own.Playbooks = "our-leak", "data_exfiltration", []string{"sim-large"}, []string{"leak"}
	p.Threats = append(p.Threats, own)
	bare := own
	bare.Name, bare.Class = "no-class", ""
	p.Threats = append(p.Threats, bare)
	w.applyPlan(p, 0)

	fromPlan := func(v decisionView) (names []string) {
		last := 0
		for _, o := range v.Options {
			if o.Playbook != nil {
				names = append(names, o.Playbook.Name+"/"+o.Playbook.Step)
				if len(o.Seen.Each) != len(o.Apply) || len(o.Apply) == 0 || o.Seen.Narrowness < last || !strings.Contains(o.Why, "the plan has it") {
					t.Errorf("%s", jsonText(o))
				}
				last = o.Seen.Narrowness
			}
		}
		return names
	}
	v := w.decision("POST", "/decisions", `{"within":"1h","case":{"threat":"our-leak","scope":{}}}`)
	if got, want := fromPlan(v), []string{"leak/slow", "leak/", "leak/take it away", "other/close"}; !slices.Equal(got, want) {
		t.Fatalf("%q, not %q: %s", got, want, jsonText(v))
	}
	if !strings.Contains(v.Missing, `"cut it out, playbook leak" is not among the options: nobody gave pattern`) || len(v.Options) < 7 || v.Options[0].Title != "do nothing" {
		t.Errorf("%s", jsonText(v))
	}
	w.bad(422, "invalid_field", "POST", "/decisions", `{"within":"1h","vars":{"who":"x"},"case":{"threat":"our-leak","scope":{}}}`)
	w.bad(422, "invalid_field", "POST", "/decisions", `{"within":"1h","vars":{"pattern":"x"},"options":[{"title":"a"}]}`)
	w.bad(422, "invalid_field", "POST", "/decisions", `{"within":"1h","question":"q","options":[{"title":"a","playbook":{"name":"leak","step":"cut it out"}}]}`)
	v = w.decision("POST", "/decisions", `{"within":"1h","vars":{"pattern":"forbidden phrase"},"case":{"threat":"no-class","scope":{}}}`)
	if got, want := fromPlan(v), []string{"leak/cut it out", "leak/slow", "leak/", "leak/take it away"}; len(got) != 4 || len(v.Options) != 5 || v.Missing != "" {
		t.Fatalf("%q, not %q: %s", got, want, jsonText(v))
	}
	n := slices.IndexFunc(v.Options, func(o optionView) bool { return o.Playbook != nil && o.Playbook.Step == "cut it out" })
	if f := v.Options[n].Apply[0].Params.Filter; f == nil || !slices.Equal(f.Patterns, []string{"forbidden phrase"}) {
		t.Fatalf("%s", jsonText(v.Options[n]))
	}
	v = w.decision("POST", "/decisions/d-2/decide", `{"option":`+strconv.Itoa(n+1)+`,"rationale":"it suffices"}`)
	if v.State != "decided" || len(v.Decided.Applied) != 1 {
		t.Fatalf("%s", jsonText(v))
	}
	if c := w.get(v.Decided.Applied[0].ID); c.State != "active" || c.ExpiresAt.Sub(w.clock.Now()).Hours() != 4 {
		t.Errorf("%s", jsonText(c))
	}
}

// TestPlanOptionsHaveRoom: a decision takes 16 options; what has no room is said.
func TestPlanOptionsHaveRoom(t *testing.T) {
	w := clocked(t)
	b := playbook.Playbook{}
	p := w.plan(`{"name":"long","exit":["quiet"],"steps":[{"name":"s","correction":{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"models":["sim-large"]},"reason":"slow"}}]}`)
	b = p.Playbooks[len(p.Playbooks)-1]
	step := b.Steps[0]
	b.Steps = nil
	for i := range 20 {
		s, cor := step, *step.Correction
		s.Name, s.Correction = "s"+strconv.Itoa(i), &cor
		b.Steps = append(b.Steps, s)
	}
	p.Playbooks[len(p.Playbooks)-1] = b
	own := p.Threats[0]
	own.Name, own.Class, own.Playbooks = "t", "tool_misuse", []string{"long"}
	p.Threats = append(p.Threats, plan.Threat(own))
	w.applyPlan(p, 0)
	v := w.decision("POST", "/decisions", `{"within":"1h","case":{"threat":"t","scope":{}},"options":[{"title":"mine","lift":[]}]}`)
	if len(v.Options) > 16 || strings.Count(v.Missing, "no room for more") < 5 || v.Options[len(v.Options)-1].Title != "mine" {
		t.Fatalf("%d options: %s", len(v.Options), v.Missing)
	}
}
