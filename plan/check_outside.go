package plan

import (
	"slices"
	"strings"
	"time"
)

// verifyEvery is how long a contact counts as verified where it does not say.
const verifyEvery = 90 * day

// critical says whether a dependant is one whose loss harms.
func critical(d *Dependant) bool {
	return d.Criticality == "high" || d.Criticality == CriticalitySafety || d.HoldDown
}

// dependants checks contacts, and who depends on a model.
func (g *gate) dependants() {
	for i := range g.p.Contacts {
		c, subject, path := &g.p.Contacts[i], "contact/"+g.p.Contacts[i].Name, ref("contacts", i, "verified_at")
		g.ask(ruleUnverified, subject, path, c.VerifiedAt.IsZero(), "nobody has answered a test message yet")
		if every := c.Every; !c.VerifiedAt.IsZero() {
			if every == 0 {
				every = verifyEvery
			}
			g.ask(ruleExpired, subject, path, g.old(c.VerifiedAt, time.Duration(every)), "it was last verified on %s; every %s is due", c.VerifiedAt, every)
		}
	}
	planned, keyed := map[string]bool{}, map[string]bool{}
	for _, o := range g.seen.Orgs {
		keyed[o.Name] = true
	}
	for i := range g.p.Dependants {
		d, subject := &g.p.Dependants[i], "dependant/"+g.p.Dependants[i].Name
		path := func(field string) string { return ref("dependants", i, field) }
		g.ask(ruleNoContact, subject, path("contacts"), len(d.Contacts) == 0, "nobody can be told")
		if critical(d) {
			f := g.fallback[d.Fallback]
			has := f != nil
			if d.Fallback == "" { // then the models' own stand in
				has = !slices.ContainsFunc(d.Models, func(m string) bool { return g.p.FallbackOf(m) == nil })
			}
			g.ask(ruleNoSafety, subject, path("fallback"), !has, "its criticality is %s, and it has no fallback", d.Criticality)
			g.ask(ruleUntested, subject, path("receiver_tested_at"), d.ReceiverTestedAt.IsZero(), "its criticality is %s, and its receiver was never tested", d.Criticality)
			if !d.ReceiverTestedAt.IsZero() {
				g.ask(ruleReceiverOld, subject, path("receiver_tested_at"), g.old(d.ReceiverTestedAt, testAge), "its receiver was last tested on %s", d.ReceiverTestedAt)
			}
		}
		for j, org := range d.Orgs {
			planned[org] = true
			g.ask(ruleOrgNoKeys, subject+"/"+org, path("orgs")+index(j), !keyed[org], "no key is in force for org %s", org)
		}
	}
	g.orgs(ruleUnplannedOrg, "dependants", func(o *OrgSeen) (asked, bad bool, why string) {
		return o.Criticality == "high" || o.Criticality == CriticalitySafety, !planned[o.Name], "its keys say criticality " + o.Criticality + ", and no dependant has it"
	})
}

// manyOrgs is how many orgs have a finding each; beyond it they share one.
const manyOrgs = 50

// orgs asks a rule of each org that has keys.
func (g *gate) orgs(rule, path string, is func(*OrgSeen) (asked, bad bool, why string)) {
	var lack []string
	var whys []string
	for i := range g.seen.Orgs {
		o := &g.seen.Orgs[i]
		switch asked, bad, why := is(o); {
		case !asked:
		case bad:
			lack, whys = append(lack, o.Name), append(whys, why)
		default:
			g.ask(rule, "org/"+o.Name, path, false, "")
		}
	}
	if len(lack) > manyOrgs {
		g.ask(rule, "orgs", path, true, "%d orgs, such as %s: %s", len(lack), strings.Join(lack[:shownNames], ", "), whys[0])
		return
	}
	for i, org := range lack {
		g.ask(rule, "org/"+org, path, true, "%s", whys[i])
	}
	if len(g.seen.Orgs) == 0 {
		g.ask(rule, "orgs", path, false, "") // says why it was not made
	}
}

// terms checks that agreements leave an answer to every threat.
func (g *gate) terms() {
	for i := range g.p.Terms {
		t := &g.p.Terms[i]
		var all []string // threats that no correction answers, whichever of the orgs it is
		var some []*Row  // threats where that depends on the org
		for k := range g.matrix.Rows {
			row := &g.matrix.Rows[k]
			switch {
			case slices.ContainsFunc(row.Rungs, func(r Rung) bool { return !named(r.cor) && r.permittedBy(t) }):
			case slices.ContainsFunc(row.Rungs, func(r Rung) bool { return named(r.cor) }):
				some = append(some, row)
			case row.Covered:
				all = append(all, row.Threat)
			}
		}
		for j, org := range t.Orgs {
			stuck := slices.Clip(all)
			for _, row := range some {
				against := slices.ContainsFunc(row.Rungs, func(r Rung) bool { return r.Enforced != CanNo && reaches(r.cor, org) })
				left := slices.ContainsFunc(row.Rungs, func(r Rung) bool { return reaches(r.cor, org) && r.permittedBy(t) })
				if against && !left {
					stuck = append(stuck, row.Threat)
				}
			}
			g.ask(ruleTermsForbid, "org/"+org, ref("terms", i, "orgs")+index(j), len(stuck) > 0, "its terms (%s) forbid every correction that answers %s", t.Name, few(stuck))
		}
	}
	under := map[string]bool{}
	for i := range g.p.Terms {
		for _, org := range g.p.Terms[i].Orgs {
			under[org] = true
		}
	}
	g.orgs(ruleNoTerms, "terms", func(o *OrgSeen) (asked, bad bool, why string) {
		return true, !under[o.Name], "it has " + many(o.Keys, "key") + " in force, and no terms say what its agreement permits"
	})
}

// permittedBy says whether a rung can be enforced, and terms do not forbid it.
func (r *Rung) permittedBy(t *Terms) bool {
	return r.Enforced != CanNo && t.Says(r.cor.Kind, r.cor.Params.Level).Word != Forbidden
}

// retention checks that records are kept for a reason.
func (g *gate) retention() {
	for i := range g.p.Retention {
		r := &g.p.Retention[i]
		g.ask(ruleNoBasis, "retention/"+r.Class, ref("retention", i, "basis"), strings.TrimSpace(r.Basis) == "", "nothing says why it is kept for %s", r.Keep)
	}
	for _, class := range RetentionClasses {
		if class == "prompts" {
			continue // they go with the evidence
		}
		g.ask(ruleNoRetention, "retention/"+class, "retention", g.p.RetentionOf(class) == nil, "nothing says how long it is kept")
	}
}
