package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
)

var checkedAt = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// goodPlan is ready: no rule has anything to say about it.
const goodPlan = `andon: 1
org: acme
review_by: 2027-06-30
owner: safety
assurance: audit
models:
  - {name: large, versions: [large-1], surfaces: [api, inside], fallback: reserve, owner: safety, derivatives: [{name: large-tuned, kind: fine-tune}]}
  - {name: small, versions: [small-1], surfaces: [api, inside, hosted], fallback: none, no_fallback: it is the last resort, owner: safety}
surfaces:
  - {name: api, route: gateway, gateways: [gw-1], owner: safety}
  - {name: inside, internal: true, route: gateway, gateways: [gw-2], owner: safety}
  - {name: hosted, route: partner, partner: globex, owner: safety}
partners:
  - {name: globex, contacts: [desk], controls: [stop, access, capability], within: 1h}
threats:
  - name: jailbreak
    severity: 2
    models: [large]
    indicators: [{name: matches, signal: filter.matched}]
    triggers: [many-matches]
    playbooks: [jailbreak]
    detect_within: 10m
    owner: safety
    review_by: 2027-05-01
triggers:
  - {name: many-matches, signal: filter.matched, count: 10, window: 5m, playbook: jailbreak, stop_gap: true, owner: safety}
playbooks:
  - name: jailbreak
    threats: [jailbreak]
    owner: safety
    tested_at: 2026-10-01
    stop_gap:
      for: 2h
      corrections:
        - {kind: access, params: {mode: block}, scope: {models: [large], tiers: [free]}, reason: stop-gap}
    steps:
      - {name: evidence, evidence: {models: [large]}}
      - {name: filter, correction: {kind: capability, params: {filter: {direction: input, detector: patterns, patterns: [forbidden phrase], action: block}}, scope: {models: [large]}, reason: filter}}
      - {name: stop, correction: {kind: stop, params: {level: L3}, scope: {models: [large]}, reason: stop}}
    exit: [nothing was seen for a day]
fallbacks:
  - {name: reserve, model: small, for: [large], capacity: 50, tested_at: 2026-09-01, differences: shorter answers}
authority:
  - {name: tighten, acts: [tighten, decide], roles: [responder, commander]}
  - {name: loosen, acts: [loosen], roles: [commander], approvals: 1, approvers: [approver], within: 1d}
  - {name: final, acts: [irreversible], roles: [commander], approvals: 2, approvers: [approver], within: 3d}
  - {name: rest, acts: [plan, unmask, staff, rekey], roles: [administrator], approvals: 1, approvers: [approver], within: 1d}
teams:
  - {name: safety, members: [ann, bea, cem], roles: [responder, commander], contact: desk}
  - {name: audit, members: [dan, eve, fay], roles: [approver, auditor, administrator], contact: desk}
rosters:
  - name: safety
    team: safety
    role: responder
    time_zone: Europe/Berlin
    shifts:
      - {days: [mon, tue, wed, thu, fri], from: "08:00", to: "20:00", people: [ann], deputy: bea}
      - {days: [mon, tue, wed, thu, fri], from: "20:00", to: "08:00", people: [bea], deputy: cem}
      - {days: [sat, sun], from: "00:00", to: "24:00", people: [cem], deputy: ann}
      - {days: [mon], from: "00:00", to: "08:00", people: [cem], deputy: ann}
dependants:
  - {name: clinic, orgs: [clinic], models: [large], criticality: safety, hold_down: true, fallback: reserve, notice: 1h, contacts: [desk], receiver_tested_at: 2026-10-10}
terms:
  - name: standard
    orgs: [clinic, globex]
    default: permitted
    clauses: [{kinds: [L3+], word: notice, notice: 1d}]
    source: agreement, section 4
contacts:
  - {name: desk, channels: [{kind: email, address: desk@example.com}], verified_at: 2026-11-01}
retention:
  - {class: requests, keep: 30d, basis: policy 7}
  - {class: incidents, keep: 3650d, basis: policy 7}
  - {class: evidence, keep: 3650d, basis: policy 7}
  - {class: concerns, keep: 1825d, basis: policy 7}
  - {class: accounts, keep: 365d, basis: policy 7}
`

var allFeatures = []string{"access", "access.linked", "rate", "capability.disable", "capability.clamp", "capability.filter", "capability.pin", "use.declared", "use.inferred", "use.acknowledge", "stop"}

func goodSeen() Observed {
	point := func(name string) Gateway {
		return Gateway{Name: name, State: "synced", Features: slices.Clone(allFeatures), Models: []string{"large", "small", "large-tuned"}, Versions: map[string][]string{"large": {"large-1"}, "small": {"small-1"}}}
	}
	o := Observed{At: checkedAt, Gateways: []Gateway{point("gw-1"), point("gw-2")},
		Models: []Served{{Name: "large", Configured: true, Fallback: "small", Upstream: "a"}, {Name: "small", Configured: true, Upstream: "b"}, {Name: "large-tuned"}},
		Speeds: []Speed{{Class: "capability.filter", P50: 2, P99: 7.25, Count: 3, At: checkedAt}},
		Orgs:   []OrgSeen{{Name: "clinic", Keys: 1, Criticality: "safety"}, {Name: "globex", Keys: 2}},
		Traffic: &Traffic{Since: checkedAt.Add(-time.Hour), Until: checkedAt, Requests: 1000,
			Peaks: []Peak{{"large", 30}, {"small", 10}}, Unknown: []Unknown{{"orgs", 0.01}}}}
	for _, n := range []string{"ann", "bea", "cem"} {
		o.Accounts = append(o.Accounts, Account{n, []authority.Role{authority.Responder, authority.Commander}})
	}
	for _, n := range []string{"dan", "eve", "fay"} {
		o.Accounts = append(o.Accounts, Account{n, []authority.Role{authority.Approver, authority.Auditor, authority.Administrator}})
	}
	return o
}

func loadText(t testing.TB, text string) *Plan {
	t.Helper()
	p, err := Load(fstest.MapFS{"plan.yaml": {Data: []byte(text)}})
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func found(r *Report, rule string) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Rule != rule })
}

func TestAGoodPlanIsReady(t *testing.T) {
	r := Check(loadText(t, goodPlan), goodSeen(), checkedAt)
	for _, f := range r.Findings {
		t.Errorf("%s %s: %s", f.Rule, f.Subject, f.Message)
	}
	for _, n := range r.NotMade {
		t.Errorf("not made: %s: %s", n.Rule, n.Why)
	}
	if !r.Ready || r.Score.Value != 100 || r.Score.Passed != r.Score.Total || r.Score.Total == 0 || !r.Observed {
		t.Errorf("%+v", r.Score)
	}
	for _, tally := range r.Checks {
		if tally.Asked == 0 && tally.Rule != ruleRosterGap { // which is for rosters that nothing needs
			t.Errorf("%s was never asked", tally.Rule)
		}
	}
	if len(r.Cover) != 2 || r.Cover[0].Subject != "role/responder+commander" || r.Cover[0].Uncovered != 0 || r.Cover[1].Subject != "team/safety" {
		t.Errorf("%+v", r.Cover)
	}
}

type world struct {
	p *Plan
	o *Observed
}

// Each rule, with a change of the good plan, or of what was seen, that it finds.
var gapCases = []struct {
	rule, subject, message string
	at                     string // prefix of the position's line
	change                 func(w world)
}{
	{ruleReviewPast, "plan", "due by 2026-11-25", "review_by", func(w world) { w.p.ReviewBy = dayOf("2026-11-25") }},
	{ruleReviewNear, "plan", "due by 2026-12-20", "review_by", func(w world) { w.p.ReviewBy = dayOf("2026-12-20") }},
	{ruleOwnerChecks, "plan", "owns the plan and checks it", "assurance", func(w world) { w.p.Assurance = "safety" }},
	{ruleNoAssurance, "plan", "nobody but the owner", "", func(w world) { w.p.Assurance = "" }},
	{ruleSharedPeople, "plan", "ann would check", "assurance", func(w world) { w.p.Teams[1].Members = append(w.p.Teams[1].Members, "ann") }},

	{ruleTooLarge, "plan", "5001 shifts", "", func(w world) { w.p.Rosters[0].Shifts = make([]Shift, 5001) }},
	{ruleTooLarge, "plan", "4009 corrections", "", func(w world) {
		w.p.Playbooks[0].Steps = append(w.p.Playbooks[0].Steps, make([]playbook.Step, 2000)...)
		w.p.Playbooks[0].StopGap = nil
		w.p.Playbooks = append(w.p.Playbooks, playbook.Playbook{Steps: make([]playbook.Step, 3)})
		w.p.Models = append(w.p.Models, make([]Model, 5000)...)
	}},

	{ruleDirect, "surface/api", "no correction reaches it", "  - {name: api", func(w world) { w.p.Surfaces[0].Route, w.p.Surfaces[0].Gateways = RouteDirect, nil }},
	{ruleUnknownGateway, "surface/api/gw-1", "never seen", "  - {name: api", func(w world) { w.o.Gateways = w.o.Gateways[1:] }},
	{ruleStaleGateway, "surface/inside/gw-2", "is stale", "  - {name: inside", func(w world) { w.o.Gateways[1].State = "stale" }},
	{ruleStaleGateway, "surface/inside/gw-2", "is refused", "  - {name: inside", func(w world) { w.o.Gateways[1].State = "refused" }},
	{rulePartnerControls, "partner/globex", "no correction is agreed", "  - {name: globex", func(w world) { w.p.Partners[0].Controls = nil }},
	{rulePartnerWithin, "partner/globex", "how soon", "  - {name: globex", func(w world) { w.p.Partners[0].Within = 0 }},
	{ruleNoInternal, "model/large", "internal use", "  - {name: large", func(w world) { w.p.Surfaces[1].Internal = false }},
	{ruleUnplannedModel, "model/secret", "does not know it", "models", func(w world) { w.o.Models = append(w.o.Models, Served{Name: "secret"}) }},
	{ruleUnservedModel, "model/large", "no gateway serves it", "  - {name: large", func(w world) { w.o.Models = w.o.Models[1:] }},
	{ruleDerivative, "derivative/large-tuned", "large's", "  - {name: large", func(w world) { w.o.Models = w.o.Models[:2] }},
	{ruleVersion, "model/large/large-2", "large-2", "  - {name: large", func(w world) { w.o.Gateways[0].Versions["large"] = []string{"large-1", "large-2"} }},
	{ruleUnplannedPoint, "gateway/gw-3", "no surface", "surfaces", func(w world) { w.o.Gateways = append(w.o.Gateways, Gateway{Name: "gw-3", State: "synced"}) }},
	{ruleUnknownCallers, "traffic/orgs", "63 %", "", func(w world) { w.o.Traffic.Unknown[0].Share = 0.63 }},

	{ruleNoPlaybook, "threat/jailbreak", "no playbook", "    playbooks", func(w world) { w.p.Threats[0].Playbooks, w.p.Playbooks[0].Threats = nil, nil }},
	{ruleEmptyRow, "threat/jailbreak", "name no correction", "    playbooks", func(w world) {
		w.p.Playbooks[0].StopGap, w.p.Playbooks[0].Steps = nil, w.p.Playbooks[0].Steps[:1]
	}},
	{ruleEmptyRow, "threat/jailbreak", "gw-2 lacks", "    playbooks", func(w world) { w.o.Gateways[1].Features = []string{"rate"} }},
	{ruleOnlyStop, "threat/jailbreak", "only answer", "    playbooks", func(w world) { w.p.Playbooks[0].StopGap, w.p.Playbooks[0].Steps[1].Correction = nil, nil }},
	{ruleNoIndicator, "threat/jailbreak", "by what", "    indicators", func(w world) { w.p.Threats[0].Indicators = nil }},
	{ruleNoTrigger, "threat/jailbreak", "no trigger", "    triggers", func(w world) { w.p.Threats[0].Triggers = nil }},
	{ruleThreatReview, "threat/jailbreak", "due by 2026-01-01", "    review_by", func(w world) { w.p.Threats[0].ReviewBy = dayOf("2026-01-01") }},
	{ruleNoDetectTime, "threat/jailbreak", "no time", "    detect_within", func(w world) { w.p.Threats[0].Detect = 0 }},
	{ruleNotMeasured, "threat/jailbreak", "how fast", "    playbooks", func(w world) { w.o.Speeds = nil }},

	{ruleTriggerOwner, "trigger/many-matches", "no owner", "  - {name: many", func(w world) { w.p.Triggers[0].Owner = "" }},
	{ruleTriggerOwner, "trigger/many-matches", "nobody is in the team ghosts", "  - {name: many", func(w world) {
		w.p.Triggers[0].Owner = "ghosts"
		w.p.Teams = append(w.p.Teams, Team{Name: "ghosts"})
	}},
	{ruleTriggerRoster, "trigger/many-matches", "audit has no roster", "  - {name: many", func(w world) { w.p.Triggers[0].Owner = "audit" }},
	{ruleTriggerUnused, "trigger/many-matches", "no threat", "  - {name: many", func(w world) { w.p.Threats[0].Triggers = nil }},
	{ruleTriggerSignal, "trigger/many-matches/jailbreak", "counts other", "  - {name: many", func(w world) { w.p.Triggers[0].Signal = "other" }},
	{ruleTriggerProposes, "trigger/many-matches", "nothing", "  - {name: many", func(w world) { w.p.Triggers[0].Playbook = "" }},

	{ruleNotEnforceable, "playbook/jailbreak/filter", "gw-1 lacks capability.filter", "      - {name: filter", func(w world) {
		w.o.Gateways[0].Features = slices.DeleteFunc(w.o.Gateways[0].Features, func(f string) bool { return f == "capability.filter" })
	}},
	{ruleNotEnforceable, "playbook/jailbreak/filter", "detector abuse", "      - {name: filter", func(w world) {
		w.p.Playbooks[0].Steps[1].Correction.Params.Filter = &correction.Filter{Direction: "input", Detector: "abuse", Action: "block"}
	}},
	{ruleNotEnforceable, "playbook/jailbreak/stop_gap", "gw-1 lacks access", "        - {kind: access", func(w world) {
		w.o.Gateways[0].Features = []string{"stop", "capability.filter"}
	}},
	{ruleNeverDrilled, "playbook/jailbreak", "never drilled", "    tested_at", func(w world) { w.p.Playbooks[0].TestedAt = "" }},
	{ruleDrillOld, "playbook/jailbreak", "2025-11-01", "    tested_at", func(w world) { w.p.Playbooks[0].TestedAt = "2025-11-01" }},
	{ruleNoEvidence, "playbook/jailbreak", "before it takes evidence", "      - {name: ", func(w world) {
		s := w.p.Playbooks[0].Steps
		s[0], s[1] = s[1], s[0]
	}},
	{rulePlaybookGap, "playbook/jailbreak", "no single step", "    stop_gap", func(w world) { w.p.Playbooks[0].StopGap = nil }},
	{rulePartnerCannot, "playbook/jailbreak/stop", "globex does not carry out stop", "      - {name: stop", func(w world) {
		w.p.Playbooks[0].Steps[2].Correction.Scope = correction.Scope{All: true}
		w.p.Partners[0].Controls = []string{"access", "capability"}
	}},

	{ruleNoFallback, "model/large", "no reason", "  - {name: large", func(w world) { w.p.Models[0].Fallback = "" }},
	{ruleNoFallback, "model/small", "no reason", "  - {name: small", func(w world) { w.p.Models[1].NoFallback = " " }},
	{ruleSharesFlaw, "fallback/reserve", "jailbreak", "  - {name: reserve", func(w world) { w.p.Fallbacks[0].SharesWith = []string{"jailbreak"} }},
	{ruleMayShare, "fallback/reserve", "jailbreak may come true", "  - {name: reserve", func(w world) { w.p.Threats[0].Models = []string{"large", "small"} }},
	{ruleSharesFlaw, "fallback/reserve", "made of large", "  - {name: reserve", func(w world) { w.p.Fallbacks[0].Model = "large-tuned" }},
	{ruleOverload, "fallback/reserve", "carries 50 requests a second, and peaks add up to 51 (small 10, large 41)", "  - {name: reserve", func(w world) { w.o.Traffic.Peaks[0].Second = 41 }},
	{ruleOverload, "fallback/reserve", "peaks add up to 60", "  - {name: reserve", func(w world) { // two names for one capacity
		w.p.Models = append(w.p.Models, Model{Name: "mid", Surfaces: []string{"api", "inside"}, Fallback: "more"})
		w.p.Fallbacks = append(w.p.Fallbacks, Fallback{Name: "more", Model: "small", For: []string{"mid"}, Capacity: 50})
		w.o.Traffic.Peaks = append(w.o.Traffic.Peaks, Peak{"mid", 20})
	}},
	{ruleNeverTested, "fallback/reserve", "never tested", "  - {name: reserve", func(w world) { w.p.Fallbacks[0].TestedAt = Date{} }},
	{ruleTestOld, "fallback/reserve", "2026-05-01", "  - {name: reserve", func(w world) { w.p.Fallbacks[0].TestedAt = dayOf("2026-05-01") }},
	{ruleSameUpstream, "fallback/reserve", "comes from a, as large does", "  - {name: reserve", func(w world) { w.o.Models[1].Upstream = "a" }},
	{ruleNoDifferences, "fallback/reserve", "differently", "  - {name: reserve", func(w world) { w.p.Fallbacks[0].Differences = " " }},
	{ruleFallbackUnserved, "fallback/reserve", "no gateway serves small", "  - {name: reserve", func(w world) { w.o.Models = slices.Delete(w.o.Models, 1, 2) }},
	{ruleOtherFallback, "model/large", "fall back to none", "  - {name: large", func(w world) { w.o.Models[0].Fallback = "" }},

	{ruleRoleGap, "role/responder+commander", "Sunday 03:00 to 04:00 (52 times) Europe/Berlin; 3120 min", "    shifts", func(w world) {
		w.p.Rosters[0].Shifts[2].Days = []string{"sat"}
		w.p.Rosters[0].Shifts = append(w.p.Rosters[0].Shifts, Shift{Days: []string{"sun"}, From: "00:00", To: "03:00", People: []string{"ann"}}, Shift{Days: []string{"sun"}, From: "04:00", To: "24:00", People: []string{"ann"}})
	}},
	{ruleTeamGap, "team/safety", "nobody of team safety, which owns triggers, is on call on Saturday 08:00 to Monday 00:00 (52 times)", "    shifts", func(w world) { w.p.Rosters[0].Shifts = slices.Delete(w.p.Rosters[0].Shifts, 2, 3) }},
	{ruleNoRoster, "role/responder+commander", "tighten or decide", "rosters", func(w world) { w.p.Rosters[0].Role = authority.Auditor }},
	{ruleNoRoster, "role/approver", "agree to loosen", "rosters", func(w world) { w.p.Authority[1].Within = correction.Duration(time.Hour) }},
	{ruleRosterGap, "roster/audits", "nobody is on call", "rosters", func(w world) {
		w.p.Rosters = append(w.p.Rosters, Roster{Name: "audits", Team: "audit", Role: authority.Auditor, TimeZone: "UTC", Shifts: []Shift{{Days: []string{"mon"}, From: "00:00", To: "24:00", People: []string{"dan", "eve"}}}})
	}},
	{ruleNoAccount, "roster/safety/ann", "ann has no account", "    shifts", func(w world) { w.o.Accounts = w.o.Accounts[1:] }},
	{ruleLacksRole, "roster/safety/ann", "as responder and has the role viewer", "    shifts", func(w world) { w.o.Accounts[0].Roles = []authority.Role{authority.Viewer} }},
	{ruleOnePerson, "roster/safety", "rests on ann", "    shifts", func(w world) {
		w.p.Rosters[0].Shifts = []Shift{{Days: []string{Daily}, From: "00:00", To: "24:00", People: []string{"ann"}}}
	}},
	{ruleNoDeputy, "roster/safety/shift[0]", "alone", "      - {days: [mon, tue", func(w world) { w.p.Rosters[0].Shifts[0].Deputy = "" }},
	{ruleRosterBroken, "roster/safety", "Mars", "  - name: safety", func(w world) { w.p.Rosters[0].TimeZone = "Mars/Olympus" }},

	{ruleHole, "act/tighten", "stop L4 at severity 3", "authority", func(w world) {
		w.p.Authority[0].Severities = []int{1, 2}
		w.p.Authority = append(w.p.Authority, authority.Rule{Name: "small", Acts: []authority.Act{authority.Tighten}, Kinds: []string{"access", "rate", "use", "capability", "L0", "L1", "L2", "L3"}, Roles: []authority.Role{authority.Commander}})
	}},
	{ruleHole, "act/irreversible", "stop L6", "authority", func(w world) { w.p.Authority[2].Kinds = []string{"L5"} }},
	{ruleBuiltIn, "act/rekey", "rekey", "authority", func(w world) { w.p.Authority[3].Acts = w.p.Authority[3].Acts[:3] }},
	{ruleNobodyHolds, "role/auditor", "rest", "authority", func(w world) {
		w.p.Authority[3].Approvers = append(w.p.Authority[3].Approvers, authority.Auditor)
		for i := range w.o.Accounts {
			w.o.Accounts[i].Roles = slices.DeleteFunc(slices.Clone(w.o.Accounts[i].Roles), func(r authority.Role) bool { return r == authority.Auditor })
		}
	}},
	{ruleNoQuorum, "quorum/irreversible/2-of-approver", "takes 2 others of approver (final), and one person holds", "  - {name: final", func(w world) { w.o.Accounts = w.o.Accounts[:4] }},
	{ruleTightQuorum, "quorum/irreversible/2-of-approver", "proposed by dan, eve, fewer", "  - {name: final", func(w world) {
		w.p.Authority[2].Roles = append(w.p.Authority[2].Roles, authority.Approver)
		w.o.Accounts = append(w.o.Accounts[:5:5], Account{"gus", []authority.Role{authority.Commander}})
	}},
	{ruleOwnLoosening, "act/loosen", "alone can take a correction away (loosen)", "authority", func(w world) { w.p.Authority[1].Approvals = 0 }},

	{ruleUnverified, "contact/desk", "answered", "  - {name: desk", func(w world) { w.p.Contacts[0].VerifiedAt = Date{} }},
	{ruleExpired, "contact/desk", "2026-08-01; every 90d", "  - {name: desk", func(w world) { w.p.Contacts[0].VerifiedAt = dayOf("2026-08-01") }},
	{ruleExpired, "contact/desk", "every 7d", "  - {name: desk", func(w world) { w.p.Contacts[0].Every = correction.Duration(7 * 24 * time.Hour) }},
	{ruleNoContact, "dependant/clinic", "nobody can be told", "  - {name: clinic", func(w world) { w.p.Dependants[0].Contacts = nil }},
	{ruleNoSafety, "dependant/clinic", "no fallback", "  - {name: clinic", func(w world) {
		w.p.Dependants[0].Fallback, w.p.Models[0].Fallback, w.p.Models[0].NoFallback = "", NoFallback, "x"
	}},
	{ruleUntested, "dependant/clinic", "never tested", "  - {name: clinic", func(w world) { w.p.Dependants[0].ReceiverTestedAt = Date{} }},
	{ruleReceiverOld, "dependant/clinic", "2026-01-10", "  - {name: clinic", func(w world) { w.p.Dependants[0].ReceiverTestedAt = dayOf("2026-01-10") }},
	{ruleOrgNoKeys, "dependant/clinic/clinic", "no key", "  - {name: clinic", func(w world) { w.o.Orgs = w.o.Orgs[1:] }},
	{ruleUnplannedOrg, "org/ward", "criticality high", "dependants", func(w world) { w.o.Orgs = append(w.o.Orgs, OrgSeen{"ward", 1, "high"}) }},

	{ruleTermsForbid, "org/globex", "forbid every correction that answers jailbreak", "    orgs", func(w world) { w.p.Terms[0].Default, w.p.Terms[0].Clauses = Forbidden, nil }},
	{ruleTermsForbid, "org/globex", "forbid every correction that answers jailbreak", "    orgs", func(w world) { // what is left is for another org
		w.p.Terms[0].Clauses = []TermClause{{Kinds: []string{"stop", "access"}, Word: Forbidden}}
		w.p.Playbooks[0].Steps[1].Correction.Scope.Orgs = []string{"clinic"}
	}},
	{ruleNoTerms, "org/other", "2 keys", "terms", func(w world) { w.o.Orgs = append(w.o.Orgs, OrgSeen{"other", 2, ""}) }},
	{ruleNoTerms, "orgs", "60 orgs, such as org-0, org-1, org-2, org-3: it has 1 key", "terms", func(w world) {
		for i := range 60 {
			w.o.Orgs = append(w.o.Orgs, OrgSeen{Name: fmt.Sprint("org-", i), Keys: 1})
		}
	}},
	{ruleNoBasis, "retention/requests", "30d", "  - {class: requests", func(w world) { w.p.Retention[0].Basis = "" }},
	{ruleNoRetention, "retention/accounts", "how long", "retention", func(w world) { w.p.Retention = w.p.Retention[:4] }},
}

func dayOf(s string) Date {
	at, err := time.Parse("2006-01-02", s)
	if err != nil {
		panic(err)
	}
	return Date{at}
}

func TestEachRuleFindsItsGap(t *testing.T) {
	lines := strings.Split(goodPlan, "\n")
	tried := map[string]bool{}
	for _, tc := range gapCases {
		tried[tc.rule] = true
		t.Run(tc.rule+" "+tc.subject, func(t *testing.T) {
			p, o := loadText(t, goodPlan), goodSeen()
			tc.change(world{p, &o})
			r := Check(p, o, checkedAt)
			i := slices.IndexFunc(r.Findings, func(f Finding) bool {
				return f.Rule == tc.rule && f.Subject == tc.subject && strings.Contains(f.Message, tc.message)
			})
			if i < 0 {
				t.Fatalf("not found; there are %+v", r.Findings)
			}
			f := r.Findings[i]
			rule, _ := RuleByID(tc.rule)
			if f.Level != rule.Level || f.Do != rule.Do || r.Ready == (f.Level == Blocking) && f.Level == Blocking || r.Score.Value == 100 || strings.Contains(f.Message, "%!") {
				t.Errorf("%+v, ready %v, score %d", f, r.Ready, r.Score.Value)
			}
			if tc.at != "" && (f.At.Line < 1 || f.At.File != "plan.yaml" || !strings.HasPrefix(lines[f.At.Line-1], tc.at)) {
				t.Errorf("at %s, want the line of %q", f.At, tc.at)
			}
		})
	}
	for _, r := range Rules() {
		if !tried[r.ID] {
			t.Errorf("%s (%s) is not tried", r.ID, r.Title)
		}
	}
}

func TestRulesAreWellFormed(t *testing.T) {
	last := ""
	for _, r := range Rules() {
		if r.ID <= last || len(r.ID) != len("ANDON-PLAN-001") || r.Title == "" || r.Do == "" || weight[r.Level] == 0 {
			t.Errorf("%+v after %s", r, last)
		}
		last = r.ID
	}
	if _, ok := RuleByID("ANDON-PLAN-999"); ok {
		t.Error("a rule that is not there")
	}
}

func TestWithoutAServerItSaysWhatWasNotChecked(t *testing.T) {
	r := Check(loadText(t, goodPlan), Observed{}, checkedAt)
	needs := 0
	for _, rule := range Rules() {
		if rule.needs != nil {
			needs++
		}
	}
	if !r.Ready || r.Observed || len(r.NotMade) != needs || needs < 15 {
		t.Errorf("ready %v, %d not made, %+v", r.Ready, len(r.NotMade), r.Findings)
	}
	for _, n := range r.NotMade {
		if n.Why != noServer {
			t.Errorf("%+v", n)
		}
	}
	o := goodSeen()
	o.Traffic = nil
	o.Orgs = nil
	r = Check(loadText(t, goodPlan), o, checkedAt)
	why := map[string]int{}
	for _, n := range r.NotMade {
		why[n.Why]++
	}
	if why[noTraffic] != 2 || why[noKeys] != 3 || len(why) != 2 {
		t.Error(why)
	}
	if r.Matrix.Rows[0].Rungs[0].Enforced != CanYes || Check(loadText(t, goodPlan), Observed{}, checkedAt).Matrix.Rows[0].Rungs[0].Enforced != CanUnknown {
		t.Errorf("%+v", r.Matrix.Rows[0].Rungs[0])
	}
}

func TestWaiversHoldUntilTheyExpire(t *testing.T) {
	p, o := loadText(t, goodPlan), goodSeen()
	p.Contacts[0].VerifiedAt = Date{}
	o.Waivers = []Waiver{
		{ID: "w-1", Rule: ruleUnverified, Subject: "contact/desk", By: "ann", Reason: "they moved", Until: checkedAt.Add(time.Hour)},
		{ID: "w-2", Rule: ruleUnverified, Subject: "contact/other", By: "ann", Until: checkedAt.Add(time.Hour)},
	}
	r := Check(p, o, checkedAt)
	f := found(&r, ruleUnverified)
	if !r.Ready || r.Waived != 1 || r.Blocking != 0 || len(f) != 1 || f[0].Waiver == nil || f[0].Waiver.ID != "w-1" || f[0].Blocks() || r.Score.Value == 100 {
		t.Fatalf("%+v", r)
	}
	r = Check(p, o, checkedAt.Add(time.Hour))
	if f = found(&r, ruleUnverified); r.Ready || r.Waived != 0 || f[0].Waiver != nil || !f[0].Blocks() {
		t.Fatalf("%+v", r)
	}
}

func TestTheMatrixGoesFromNarrowToBroad(t *testing.T) {
	p, o := loadText(t, goodPlan), goodSeen()
	p.Terms[0].Clauses = []TermClause{{Kinds: []string{"access"}, Word: Forbidden}, {Kinds: []string{"L3+"}, Word: WithNotice, Notice: correction.Duration(24 * time.Hour)}}
	o.Drills = []Drill{{"jailbreak", checkedAt.Add(-time.Hour)}}
	r := Check(p, o, checkedAt)
	if len(r.Matrix.Rows) != 1 || !r.Matrix.Rows[0].Covered {
		t.Fatalf("%+v", r.Matrix)
	}
	var got []string
	for _, x := range r.Matrix.Rows[0].Rungs {
		got = append(got, fmt.Sprintf("%s %s %d %s, %s, %s, %s, %s", x.Step, x.Class, x.Rank, x.Scope, x.Speed(), x.Enforced, x.Permitted(), x.Fallback))
	}
	want := []string{
		"filter capability.filter 2 model large, 7.2 ms, yes, yes, ",
		"stop_gap access.block 7 model large, tier free, not measured, yes, not for clinic, globex, ",
		"stop stop.L3 12 model large, not measured, yes, notice 1d for clinic, globex, small",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := r.Matrix.Rows[0].Rungs[0].DrilledAt; d.String() != "2026-11-26" {
		t.Error(d)
	}
	if f := found(&r, ruleTermsForbid); len(f) > 0 {
		t.Errorf("%+v", f)
	}
}

// What is known only on the day stands for anything.
func TestVariablesAreNotHeldAgainstAPlaybook(t *testing.T) {
	p, o := loadText(t, goodPlan), goodSeen()
	p.Playbooks[0].Vars = []playbook.Var{{Name: "model"}, {Name: "org"}}
	p.Playbooks[0].Steps[2].Correction.Scope = correction.Scope{Models: []string{"__model__:value"}, Orgs: []string{"__org__:value"}}
	r := Check(p, o, checkedAt)
	if !r.Ready {
		t.Errorf("%+v", r.Findings)
	}
	if x := r.Matrix.Rows[0].Rungs[2]; x.NoticeFor.Count != 2 || x.Fallback != "small" {
		t.Errorf("%+v", x)
	}
}

// A report is data that a stranger reads: it survives the way over the wire.
func TestReportsAndObservationsTravel(t *testing.T) {
	o := goodSeen()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back Observed
	if err := json.Unmarshal(data, &back, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	a, b := Check(loadText(t, goodPlan), o, checkedAt), Check(loadText(t, goodPlan), back, checkedAt)
	x, err := json.Marshal(a, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b, json.Deterministic(true))
	if err != nil || string(x) != string(y) {
		t.Errorf("%s\n%s\n%v", x, y, err)
	}
	if strings.Contains(string(x), "null") {
		t.Errorf("%s", x)
	}
	var r Report
	if err := json.Unmarshal(x, &r, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
}

// An empty plan, and one that leads nowhere, are full of findings and no crash.
func TestPlansThatLeadNowhere(t *testing.T) {
	for name, p := range map[string]*Plan{
		"empty": {},
		"loose": {Owner: "x", Assurance: "y", Models: []Model{{Name: "m", Surfaces: []string{"s", "t"}, Fallback: "f"}}, Surfaces: []Surface{{Name: "s", Route: RouteGateway, Gateways: []string{"g"}}, {Name: "t", Route: RoutePartner, Partner: "q"}},
			Threats: []Threat{{Name: "t", Models: []string{"z"}, Playbooks: []string{"b", "c"}, Triggers: []string{"w"}}}, Triggers: []Trigger{{Name: "v", Owner: "nobody"}}, Playbooks: []playbook.Playbook{{Name: "b", Threats: []string{"q"}, StopGap: &playbook.StopGap{}, Steps: []playbook.Step{{}, {Correction: &correction.Correction{}}}}},
			Fallbacks: []Fallback{{Name: "g", Model: "n", For: []string{"o"}}}, Rosters: []Roster{{Name: "r"}, {Name: "s", TimeZone: "UTC"}}, Dependants: []Dependant{{Name: "d", HoldDown: true, Models: []string{"q"}}},
			Authority: []authority.Rule{{}}, Terms: []Terms{{Orgs: []string{"o"}}}, Contacts: []Contact{{}}, Retention: []Retention{{}}},
	} {
		for _, o := range []Observed{{}, {At: checkedAt}, goodSeen()} {
			r := Check(p, o, checkedAt)
			if r.Ready || r.Score.Value >= 100 {
				t.Errorf("%s: ready", name)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
			if _, err := r.SARIF("", ""); err != nil {
				t.Error(err)
			}
		}
	}
}
