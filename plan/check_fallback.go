package plan

import (
	"fmt"
	"slices"
	"strings"
)

// fallbacks checks that what stands in for a model can.
func (g *gate) fallbacks() {
	for i := range g.p.Models {
		m, subject := &g.p.Models[i], "model/"+g.p.Models[i].Name
		f := g.fallback[m.Fallback]
		reason := m.Fallback == NoFallback && strings.TrimSpace(m.NoFallback) != ""
		g.ask(ruleNoFallback, subject, ref("models", i, "fallback"), f == nil && !reason, "it has no fallback, and no reason for none")
		if s := g.served[m.Name]; s != nil && s.Configured && f != nil {
			said := s.Fallback
			if said == "" {
				said = NoFallback
			}
			g.ask(ruleOtherFallback, subject, ref("models", i, "fallback"), s.Fallback != f.Model, "gateways fall back to %s, the plan says %s", said, f.Model)
		}
	}
	for i := range g.p.Fallbacks {
		g.fallbackReady(i)
	}
}

func (g *gate) fallbackReady(i int) {
	f, subject := &g.p.Fallbacks[i], "fallback/"+g.p.Fallbacks[i].Name
	path := func(field string) string { return ref("fallbacks", i, field) }
	flaws, maybe := g.flaws(f)
	g.ask(ruleSharesFlaw, subject, path("shares_with"), len(flaws) > 0, "it has the flaw too: %s", few(flaws))
	g.ask(ruleMayShare, subject, path("shares_with"), len(maybe) > 0, "%s may come true of both, and nothing says whether for the same flaw", few(maybe))
	g.load(i)
	g.ask(ruleNeverTested, subject, path("tested_at"), f.TestedAt.IsZero(), "it was never tested")
	if !f.TestedAt.IsZero() {
		g.ask(ruleTestOld, subject, path("tested_at"), g.old(f.TestedAt, testAge), "its last test was on %s", f.TestedAt)
	}
	g.ask(ruleNoDifferences, subject, path("differences"), strings.TrimSpace(f.Differences) == "", "nobody wrote down how it behaves differently")
	g.ask(ruleFallbackUnserved, subject, path("model"), g.served[f.Model] == nil, "no gateway serves %s", f.Model)
	if own := g.served[f.Model]; own != nil && own.Upstream != "" {
		var same []string
		for _, name := range g.standsFor(f) {
			if s := g.served[name]; s != nil && s.Upstream == own.Upstream {
				same = append(same, name)
			}
		}
		g.ask(ruleSameUpstream, subject, path("model"), len(same) > 0, "it comes from %s, as %s does", own.Upstream, few(same))
	}
}

// standsFor are the models that a fallback stands in for: as it says itself, and
// as models say.
func (g *gate) standsFor(f *Fallback) []string {
	out := slices.Clone(f.For)
	for i := range g.p.Models {
		if m := &g.p.Models[i]; m.Fallback == f.Name && !slices.Contains(out, m.Name) {
			out = append(out, m.Name)
		}
	}
	return out
}

// flaws are the threats that a fallback shares with a model that it stands for,
// as it says itself; one that is made of the model shares all. maybe are those
// that name both, of which nothing says more.
func (g *gate) flaws(f *Fallback) (flaws, maybe []string) {
	say := func(to *[]string, s string) {
		if !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	all := map[string]bool{}
	for _, name := range g.standsFor(f) {
		all[name] = true
		if m := g.models[name]; m != nil && m == g.models[f.Model] {
			say(&flaws, "it is made of "+m.Name)
		}
	}
	stands := func(name string) bool { return all[name] }
	for i := range g.p.Threats {
		if t := &g.p.Threats[i]; slices.Contains(f.SharesWith, t.Name) && (len(t.Models) == 0 || slices.ContainsFunc(t.Models, stands)) {
			say(&flaws, t.Name)
		}
	}
	for _, i := range g.naming[f.Model] {
		if t := &g.p.Threats[i]; !slices.Contains(flaws, t.Name) && slices.ContainsFunc(t.Models, stands) {
			say(&maybe, t.Name)
		}
	}
	return flaws, maybe
}

// load checks that a fallback carries what falls back to it together, beside
// what it serves anyway: models that share a flaw may have to stop at once.
func (g *gate) load(i int) {
	f := &g.p.Fallbacks[i]
	subject := "fallback/" + f.Name
	t := g.seen.Traffic
	if t == nil {
		g.ask(ruleOverload, subject, "", false, "")
		return
	}
	models := []string{f.Model}
	for j := range g.p.Fallbacks {
		if o := &g.p.Fallbacks[j]; o.Model == f.Model { // another name for the same capacity
			for _, m := range g.standsFor(o) {
				if !slices.Contains(models, m) {
					models = append(models, m)
				}
			}
		}
	}
	var need int64
	var parts []string
	for _, m := range models {
		for _, p := range t.Peaks {
			if p.Model == m && p.Second > 0 {
				need += p.Second
				parts = append(parts, fmt.Sprintf("%s %d", m, p.Second))
			}
		}
	}
	g.ask(ruleOverload, subject, ref("fallbacks", i, "capacity"), float64(need) > f.Capacity,
		"it carries %g requests a second, and peaks add up to %d (%s)", f.Capacity, need, few(parts))
}
