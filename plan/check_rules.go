package plan

// Rule is one thing that it takes to be ready.
type Rule struct {
	ID    string `json:"id"` // stable: waivers and CI name it
	Level Level  `json:"level"`
	Title string `json:"title"`
	Do    string `json:"do"` // what to do where it is not met

	needs func(*Observed) string // why it cannot be asked; nil: the plan says it all
}

// Rules are all there are, in the order of their ids.
func Rules() []Rule {
	out := make([]Rule, len(rules))
	copy(out, rules)
	return out
}

// RuleByID is the rule of that id; ok is false if there is none.
func RuleByID(id string) (r Rule, ok bool) {
	i, ok := ruleIndex[id]
	if ok {
		r = rules[i]
	}
	return r, ok
}

var ruleIndex = func() map[string]int {
	out := make(map[string]int, len(rules))
	for i, r := range rules {
		out[r.ID] = i
	}
	return out
}()

// The rules' ids. They never change their meaning; a rule that goes leaves a hole.
const (
	ruleReviewPast   = "ANDON-PLAN-001"
	ruleReviewNear   = "ANDON-PLAN-002"
	ruleOwnerChecks  = "ANDON-PLAN-003"
	ruleNoAssurance  = "ANDON-PLAN-004"
	ruleSharedPeople = "ANDON-PLAN-005"
	ruleTooLarge     = "ANDON-PLAN-006"

	ruleDirect          = "ANDON-PLAN-101"
	ruleUnknownGateway  = "ANDON-PLAN-102"
	ruleStaleGateway    = "ANDON-PLAN-103"
	rulePartnerControls = "ANDON-PLAN-104"
	rulePartnerWithin   = "ANDON-PLAN-105"
	ruleNoInternal      = "ANDON-PLAN-106"
	ruleUnplannedModel  = "ANDON-PLAN-107"
	ruleUnservedModel   = "ANDON-PLAN-108"
	ruleDerivative      = "ANDON-PLAN-109"
	ruleVersion         = "ANDON-PLAN-110"
	ruleUnplannedPoint  = "ANDON-PLAN-111"
	ruleUnknownCallers  = "ANDON-PLAN-112"

	ruleNoPlaybook   = "ANDON-PLAN-201"
	ruleEmptyRow     = "ANDON-PLAN-202"
	ruleOnlyStop     = "ANDON-PLAN-203"
	ruleNoIndicator  = "ANDON-PLAN-204"
	ruleNoTrigger    = "ANDON-PLAN-205"
	ruleThreatReview = "ANDON-PLAN-206"
	ruleNoDetectTime = "ANDON-PLAN-207"
	ruleNotMeasured  = "ANDON-PLAN-208"

	ruleTriggerOwner    = "ANDON-PLAN-301"
	ruleTriggerRoster   = "ANDON-PLAN-302"
	ruleTriggerUnused   = "ANDON-PLAN-305"
	ruleTriggerSignal   = "ANDON-PLAN-306"
	ruleTriggerProposes = "ANDON-PLAN-307"

	ruleNotEnforceable = "ANDON-PLAN-401"
	ruleNeverDrilled   = "ANDON-PLAN-402"
	ruleDrillOld       = "ANDON-PLAN-403"
	ruleNoEvidence     = "ANDON-PLAN-405"
	rulePlaybookGap    = "ANDON-PLAN-406"
	rulePartnerCannot  = "ANDON-PLAN-408"

	ruleNoFallback       = "ANDON-PLAN-501"
	ruleSharesFlaw       = "ANDON-PLAN-502"
	ruleOverload         = "ANDON-PLAN-503"
	ruleNeverTested      = "ANDON-PLAN-505"
	ruleTestOld          = "ANDON-PLAN-506"
	ruleSameUpstream     = "ANDON-PLAN-507"
	ruleNoDifferences    = "ANDON-PLAN-508"
	ruleFallbackUnserved = "ANDON-PLAN-509"
	ruleOtherFallback    = "ANDON-PLAN-510"
	ruleMayShare         = "ANDON-PLAN-511"

	ruleRoleGap      = "ANDON-PLAN-601"
	ruleNoRoster     = "ANDON-PLAN-602"
	ruleTeamGap      = "ANDON-PLAN-603"
	ruleRosterGap    = "ANDON-PLAN-604"
	ruleNoAccount    = "ANDON-PLAN-606"
	ruleLacksRole    = "ANDON-PLAN-607"
	ruleOnePerson    = "ANDON-PLAN-609"
	ruleNoDeputy     = "ANDON-PLAN-610"
	ruleRosterBroken = "ANDON-PLAN-612"

	ruleHole         = "ANDON-PLAN-701"
	ruleBuiltIn      = "ANDON-PLAN-702"
	ruleNobodyHolds  = "ANDON-PLAN-703"
	ruleNoQuorum     = "ANDON-PLAN-704"
	ruleTightQuorum  = "ANDON-PLAN-705"
	ruleOwnLoosening = "ANDON-PLAN-706"

	ruleUnverified   = "ANDON-PLAN-801"
	ruleExpired      = "ANDON-PLAN-802"
	ruleNoContact    = "ANDON-PLAN-803"
	ruleNoSafety     = "ANDON-PLAN-804"
	ruleUntested     = "ANDON-PLAN-805"
	ruleReceiverOld  = "ANDON-PLAN-806"
	ruleOrgNoKeys    = "ANDON-PLAN-808"
	ruleUnplannedOrg = "ANDON-PLAN-809"

	ruleTermsForbid = "ANDON-PLAN-901"
	ruleNoTerms     = "ANDON-PLAN-902"
	ruleNoBasis     = "ANDON-PLAN-951"
	ruleNoRetention = "ANDON-PLAN-952"
)

var rules = []Rule{
	{ruleReviewPast, Blocking, "The plan was reviewed in time", "review the plan, and set a new review_by", nil},
	{ruleReviewNear, Note, "The plan's review is not due within 30 days", "plan the review", nil},
	{ruleOwnerChecks, Blocking, "The plan's owner and its assurance differ", "name another team as assurance", nil},
	{ruleNoAssurance, Warning, "Somebody else than the owner checks the plan", "name a team as assurance", nil},
	{ruleSharedPeople, Warning, "Nobody is in the owner's team and in that of assurance", "take the person out of one of the two teams", nil},
	{ruleTooLarge, Blocking, "The plan is of a size that can be judged", "make it smaller, or several plans", nil},

	{ruleDirect, Blocking, "No surface reaches a model past every gateway", "put a gateway in between (route: gateway), or agree controls with a partner (route: partner)", nil},
	{ruleUnknownGateway, Blocking, "Each surface's gateways are known to the control plane", "start the gateway, or correct its name in the surface", needsServer},
	{ruleStaleGateway, Blocking, "Each surface's gateways hold a lease and follow orders", "look at andon points, and bring the gateway back", needsServer},
	{rulePartnerControls, Blocking, "Each partner can carry out corrections", "agree with the partner which kinds it carries out, and list them in controls", nil},
	{rulePartnerWithin, Warning, "Each partner has agreed how soon it acts", "agree a time with the partner, and write it to within", nil},
	{ruleNoInternal, Warning, "Each model's internal use goes through a surface", "add the surface by which your own people and systems use the model (internal: true)", nil},
	{ruleUnplannedModel, Blocking, "Each model that gateways serve is in the plan", "add the model, or its name as a derivative, to the plan; or stop serving it", needsServer},
	{ruleUnservedModel, Warning, "Each model with a gateway surface is served by a gateway", "correct the name, or configure the model at the gateways of its surfaces", needsServer},
	{ruleDerivative, Warning, "Each derivative is known to the gateways", "configure the derivative at the gateways, so that a correction on its model reaches it", needsServer},
	{ruleVersion, Warning, "Each version that gateways serve is in the plan", "add the version to the model", needsServer},
	{ruleUnplannedPoint, Warning, "Each enforcement point belongs to a surface", "add the gateway to the surface that it serves, or remove it (andon points)", needsServer},
	{ruleUnknownCallers, Warning, "Callers are known: a correction for one org can reach it", "let callers use keys, or identities with an org", needsTraffic},

	{ruleNoPlaybook, Blocking, "Each threat has a playbook", "write a playbook for it, and name it in playbooks", nil},
	{ruleEmptyRow, Blocking, "Each threat has a correction that can be enforced", "add a correction to one of its playbooks that its gateways can enforce", nil},
	{ruleOnlyStop, Warning, "Each threat has a narrower answer than a stop", "add a narrower rung: andon propose shows which would do", nil},
	{ruleNoIndicator, Blocking, "Each threat has an indicator", "say what could be seen of it", nil},
	{ruleNoTrigger, Warning, "Each threat has a trigger", "declare a threshold over one of its indicators", nil},
	{ruleThreatReview, Blocking, "Each threat was reviewed in time", "review the threat, and set a new review_by", nil},
	{ruleNoDetectTime, Note, "Each threat says in which time it is to be detected", "set detect_within", nil},
	{ruleNotMeasured, Note, "Each threat has a correction whose time to effect was measured", "drill one of its playbooks, so that its speed is known", needsServer},

	{ruleTriggerOwner, Blocking, "Each trigger has an owner", "name a team that has members", nil},
	{ruleTriggerRoster, Blocking, "Each trigger's owner is on call", "give the team a roster", nil},
	{ruleTriggerUnused, Warning, "Each trigger belongs to a threat", "name the trigger in a threat", nil},
	{ruleTriggerSignal, Warning, "Each trigger counts a signal that is an indicator of its threat", "add the indicator, or correct the trigger's signal", nil},
	{ruleTriggerProposes, Warning, "Each trigger proposes a playbook", "name the playbook that answers it", nil},

	{ruleNotEnforceable, Blocking, "Each correction of a playbook can be enforced", "upgrade or configure the gateway, or name another correction", needsServer},
	{ruleNeverDrilled, Warning, "Each playbook was drilled", "run it as an exercise, and set tested_at", nil},
	{ruleDrillOld, Warning, "Each playbook was drilled within a year", "run it as an exercise again, and set tested_at", nil},
	{ruleNoEvidence, Warning, "Each playbook takes evidence before it alters the system", "add an evidence step before its first correction", nil},
	{rulePlaybookGap, Note, "Each playbook has a stop-gap", "add a stop_gap, so that one step buys time", nil},
	{rulePartnerCannot, Warning, "Each correction can be carried out by the partners that serve the model", "agree the kind with the partner, and list it in controls", nil},

	{ruleNoFallback, Blocking, "Each model has a fallback, or a reason for none", "name a fallback; or write fallback: none, and why into no_fallback", nil},
	{ruleSharesFlaw, Blocking, "No fallback has the flaw of the model that it stands for", "choose a fallback that does not share it", nil},
	{ruleOverload, Blocking, "Each fallback carries the load of the models that it stands for", "give it more capacity, or share the load among several fallbacks", needsTraffic},
	{ruleNeverTested, Blocking, "Each fallback was tested", "test it, and set tested_at", nil},
	{ruleTestOld, Warning, "Each fallback was tested within 180 days", "test it again, and set tested_at", nil},
	{ruleSameUpstream, Warning, "No fallback comes from the same provider as the model that it stands for", "choose a fallback at another provider, or accept that both fail together", needsServer},
	{ruleNoDifferences, Warning, "Each fallback says how it behaves differently", "write what callers will notice to differences", nil},
	{ruleFallbackUnserved, Blocking, "Each fallback's model is served", "configure the model at the gateways", needsServer},
	{ruleOtherFallback, Warning, "Gateways fall back to what the plan says", "make the gateways' configuration and the plan agree", needsServer},
	{ruleMayShare, Warning, "No threat is named for a fallback and for the model that it stands for", "find out whether the fallback has the same flaw: if so write it to shares_with, and choose another", nil},

	{ruleRoleGap, Blocking, "Whoever an act takes is on call at every minute", "close the gap in the roster", nil},
	{ruleNoRoster, Blocking, "Whoever an act takes has a roster", "make a roster for one of these roles", nil},
	{ruleTeamGap, Blocking, "Teams that own triggers are on call at every minute", "close the gap in the roster", nil},
	{ruleRosterGap, Warning, "Each roster covers every minute", "close the gap, or take the roster out", nil},
	{ruleNoAccount, Blocking, "Whoever is on a roster has an account", "make the account (andon operators), or correct the name", needsServer},
	{ruleLacksRole, Blocking, "Whoever is on a roster has its role", "give the account the role, or take the person off the roster", needsServer},
	{ruleOnePerson, Warning, "No roster rests on one person", "share the shifts", nil},
	{ruleNoDeputy, Note, "Each shift of one person has a deputy", "name a deputy", nil},
	{ruleRosterBroken, Blocking, "Each roster can be read", "correct the roster", nil},

	{ruleHole, Blocking, "A rule says who may tighten, loosen and do what cannot be undone", "add a rule for these cases; a rule without conditions is for all", nil},
	{ruleBuiltIn, Warning, "A rule says who may do everything else", "add a rule for this act", nil},
	{ruleNobodyHolds, Blocking, "Somebody holds each role that a rule names", "give the role to somebody, or take it from the rule", nil},
	{ruleNoQuorum, Blocking, "Each quorum can be met once whoever proposes is left out", "give the approving role to more people, or lower approvals", nil},
	{ruleTightQuorum, Warning, "Each quorum can be met whoever proposes", "give the approving role to more people", nil},
	{ruleOwnLoosening, Warning, "Loosening takes a second person", "set approvals to at least 1 in the rule", nil},

	{ruleUnverified, Blocking, "Each contact was verified", "send a test message, and set verified_at once it is answered", nil},
	{ruleExpired, Warning, "Each contact was verified lately", "send a test message again, and set verified_at", nil},
	{ruleNoContact, Blocking, "Each dependant has a contact", "name a contact", nil},
	{ruleNoSafety, Blocking, "Each critical dependant has a fallback", "name a fallback for it", nil},
	{ruleUntested, Blocking, "Each critical dependant's receiver was tested", "send it a test notice, and set receiver_tested_at", nil},
	{ruleReceiverOld, Warning, "Each critical dependant's receiver was tested within 180 days", "send it a test notice again, and set receiver_tested_at", nil},
	{ruleOrgNoKeys, Note, "Each dependant's orgs have keys", "correct the org, or issue its keys", needsKeys},
	{ruleUnplannedOrg, Warning, "Each org that calls itself critical is a dependant", "add the org to a dependant", needsKeys},

	{ruleTermsForbid, Blocking, "No agreement forbids every answer to a threat", "add a correction that the agreement permits, or change the agreement", nil},
	{ruleNoTerms, Warning, "Terms are written down for each org that has keys", "add the org to terms", needsKeys},
	{ruleNoBasis, Blocking, "Each retention rests on something", "say which law, contract or decision it rests on", nil},
	{ruleNoRetention, Warning, "Each class of records has a retention", "say how long the class is kept, and why", nil},
}
