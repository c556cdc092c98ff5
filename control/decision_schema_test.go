package control

import (
	"reflect"

	"andon/incident"
)

// decisionSchemas are the schemas of openapi/decision.json, with the types that they describe.
var decisionSchemas = map[string]reflect.Type{
	"NewDecision": reflect.TypeFor[newDecision](), "DecisionOption": reflect.TypeFor[incident.Option](), "DecisionRestore": reflect.TypeFor[incident.Restore](), "DecisionFromPlaybook": reflect.TypeFor[incident.FromPlaybook](),
	"DecisionOptionSeen": reflect.TypeFor[optionView](), "DecisionComparison": reflect.TypeFor[incident.Comparison](), "DecisionEffect": reflect.TypeFor[incident.Effect](), "DecisionSpeed": reflect.TypeFor[incident.Speed](),
	"DecisionReach": reflect.TypeFor[incident.Reach](), "DecisionTakes": reflect.TypeFor[incident.Takes](), "DecisionChoice": reflect.TypeFor[decideAsk](), "NewDissent": reflect.TypeFor[dissentAsk](), "CriterionTick": reflect.TypeFor[tick](),
	"LiftCriterion": reflect.TypeFor[incident.LiftCriterion](), "DecisionDissent": reflect.TypeFor[incident.Dissent](), "DecidedCorrection": reflect.TypeFor[decidedOn](), "DecisionMade": reflect.TypeFor[madeView](),
	"DecisionRecord": reflect.TypeFor[decisionView](), "DecisionLine": reflect.TypeFor[decisionLine](), "DecisionInRun": reflect.TypeFor[openChoice](), "DecisionList": reflect.TypeFor[decisionList](),
}
