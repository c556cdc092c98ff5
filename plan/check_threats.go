package plan

import (
	"slices"
	"strings"
	"time"
)

const (
	reviewNear = 30 * 24 * time.Hour
	drillAge   = 365 * 24 * time.Hour
	testAge    = 180 * 24 * time.Hour
)

// head checks the plan as a whole.
func (g *gate) head() {
	p := g.p
	g.ask(ruleReviewPast, "plan", "review_by", p.ReviewBy.IsZero() || g.over(p.ReviewBy), "its review was due by %s", p.ReviewBy)
	if !p.ReviewBy.IsZero() && !g.over(p.ReviewBy) {
		g.ask(ruleReviewNear, "plan", "review_by", p.ReviewBy.Sub(g.now) < reviewNear, "its review is due by %s", p.ReviewBy)
	}
	g.ask(ruleNoAssurance, "plan", "assurance", p.Assurance == "", "nobody but the owner checks it")
	if p.Assurance == "" {
		return
	}
	g.ask(ruleOwnerChecks, "plan", "assurance", p.Assurance == p.Owner, "team %s owns the plan and checks it", p.Owner)
	if a, b := g.teams[p.Owner], g.teams[p.Assurance]; a != nil && b != nil && a != b {
		var both []string
		for _, m := range a.Members {
			if slices.Contains(b.Members, m) {
				both = append(both, m)
			}
		}
		g.ask(ruleSharedPeople, "plan", "assurance", len(both) > 0, "%s would check what they own", few(both))
	}
}

// threats checks that each threat would be seen, and answered.
func (g *gate) threats() {
	for i := range g.p.Threats {
		t, row, subject := &g.p.Threats[i], &g.matrix.Rows[i], "threat/"+g.p.Threats[i].Name
		path := func(field string) string { return ref("threats", i, field) }
		books := slices.ContainsFunc(t.Playbooks, func(n string) bool { return g.p.Playbook(n) != nil })
		for j := range g.p.Playbooks {
			books = books || slices.Contains(g.p.Playbooks[j].Threats, t.Name)
		}
		g.ask(ruleNoPlaybook, subject, path("playbooks"), !books, "no playbook answers it")
		if books {
			why := "its playbooks name no correction"
			if len(row.Rungs) > 0 {
				why = "none of its corrections can be enforced: " + row.Rungs[0].Lacks0()
			}
			g.ask(ruleEmptyRow, subject, path("playbooks"), !row.Covered, "%s", why)
		}
		if row.Covered {
			narrow, measured := false, false
			for _, r := range row.Rungs {
				narrow = narrow || r.Enforced != CanNo && r.cor.Level() < 2 // nothing that runs is taken away
				measured = measured || r.P99 != nil
			}
			g.ask(ruleOnlyStop, subject, path("playbooks"), !narrow, "the only answer is to stop the model")
			g.ask(ruleNotMeasured, subject, path("playbooks"), !measured, "nobody measured how fast any of its corrections takes effect")
		}
		g.ask(ruleNoIndicator, subject, path("indicators"), len(t.Indicators) == 0, "nothing says by what it would be seen")
		g.ask(ruleNoTrigger, subject, path("triggers"), len(t.Triggers) == 0, "no trigger watches for it")
		g.ask(ruleThreatReview, subject, path("review_by"), t.ReviewBy.IsZero() || g.over(t.ReviewBy), "its review was due by %s", t.ReviewBy)
		g.ask(ruleNoDetectTime, subject, path("detect_within"), t.Detect == 0, "no time is set in which it is to be detected")
	}
}

// Lacks0 is the first thing that stands against a rung.
func (r *Rung) Lacks0() string {
	if len(r.Lacks) == 0 {
		return "nothing known"
	}
	return r.Lacks[0]
}

// triggers checks that somebody is there when a trigger fires.
func (g *gate) triggers() {
	for i := range g.p.Triggers {
		t, subject := &g.p.Triggers[i], "trigger/"+g.p.Triggers[i].Name
		path := func(field string) string { return ref("triggers", i, field) }
		team := g.teams[t.Owner]
		why := "it has no owner"
		if t.Owner != "" {
			why = "nobody is in the team " + t.Owner + " that owns it"
		}
		owned := team != nil && len(team.Members) > 0
		g.ask(ruleTriggerOwner, subject, path("owner"), !owned, "%s", why)
		if owned {
			on := slices.ContainsFunc(g.p.Rosters, func(r Roster) bool { return r.Team == t.Owner })
			g.ask(ruleTriggerRoster, subject, path("owner"), !on, "team %s has no roster: who looks when it fires?", t.Owner)
		}
		var threats []*Threat
		for j := range g.p.Threats {
			if slices.Contains(g.p.Threats[j].Triggers, t.Name) {
				threats = append(threats, &g.p.Threats[j])
			}
		}
		g.ask(ruleTriggerUnused, subject, path("name"), len(threats) == 0, "no threat names it")
		for _, threat := range threats {
			seen := slices.ContainsFunc(threat.Indicators, func(in Indicator) bool { return in.Signal == t.Signal })
			g.ask(ruleTriggerSignal, subject+"/"+threat.Name, path("signal"), !seen, "it counts %s, which is no indicator of the threat %s", t.Signal, threat.Name)
		}
		g.ask(ruleTriggerProposes, subject, path("playbook"), t.Playbook == "", "it proposes nothing")
	}
}

// playbooks checks that what is written can be done, and was tried.
func (g *gate) playbooksReady() {
	for i := range g.p.Playbooks {
		b, subject := &g.p.Playbooks[i], "playbook/"+g.p.Playbooks[i].Name
		path := func(field string) string { return ref("playbooks", i, field) }
		for _, r := range g.rungs(i, nil) {
			step := subject + "/" + r.Step
			if n := strings.TrimSuffix(r.path[strings.LastIndexByte(r.path, '[')+1:], "]"); r.Step == stopGapStep && n != "0" {
				step += "/" + n
			}
			if r.Enforced == CanUnknown && g.seen.Made() {
				continue // no gateway of its models is there, which other rules say
			}
			g.ask(ruleNotEnforceable, step, r.path, r.Enforced == CanNo, "%s cannot be enforced: %s", r.Class, few(r.Lacks))
			g.ask(rulePartnerCannot, step, r.path, len(r.Partners) > 0, "%s does not carry out %s", few(r.Partners), r.Kind)
		}
		drilled := g.drilled(b)
		g.ask(ruleNeverDrilled, subject, path("tested_at"), drilled.IsZero(), "it was never drilled")
		if !drilled.IsZero() {
			g.ask(ruleDrillOld, subject, path("tested_at"), g.old(drilled, drillAge), "its last drill was on %s", drilled)
		}
		first, evidence := -1, -1
		for j := range b.Steps {
			if b.Steps[j].Correction != nil && first < 0 {
				first = j
			}
			if b.Steps[j].Evidence != nil && evidence < 0 {
				evidence = j
			}
		}
		if first >= 0 {
			g.ask(ruleNoEvidence, subject, ref("playbooks", i, "steps")+index(first), evidence < 0 || evidence > first, "it alters the system before it takes evidence")
		}
		g.ask(rulePlaybookGap, subject, path("stop_gap"), b.StopGap == nil, "no single step buys time")
	}
}
