package control

import (
	"reflect"

	"andon/plan"
)

// readinessSchemas are the schemas of openapi/readiness.json, with the types that they describe.
var readinessSchemas = map[string]reflect.Type{
	"Readiness": reflect.TypeFor[plan.Report](), "ReadinessScore": reflect.TypeFor[plan.Score](), "ReadinessFinding": reflect.TypeFor[plan.Finding](), "PlanPosition": reflect.TypeFor[plan.Position](),
	"WaiverInForce": reflect.TypeFor[plan.Waiver](), "ReadinessTally": reflect.TypeFor[plan.Tally](), "ReadinessNotMade": reflect.TypeFor[plan.NotMade](), "OnCallCover": reflect.TypeFor[plan.Cover](),
	"CoverageMatrix": reflect.TypeFor[plan.Matrix](), "CoverageRow": reflect.TypeFor[plan.Row](), "CoverageRung": reflect.TypeFor[plan.Rung](), "CoverageOrgs": reflect.TypeFor[plan.Orgs](),
	"Observed": reflect.TypeFor[plan.Observed](), "ObservedGateway": reflect.TypeFor[plan.Gateway](), "ObservedModel": reflect.TypeFor[plan.Served](), "ObservedSpeed": reflect.TypeFor[plan.Speed](),
	"ObservedDrill": reflect.TypeFor[plan.Drill](), "ObservedOrg": reflect.TypeFor[plan.OrgSeen](), "ObservedAccount": reflect.TypeFor[plan.Account](), "ObservedTraffic": reflect.TypeFor[plan.Traffic](),
	"ObservedPeak": reflect.TypeFor[plan.Peak](), "ObservedUnknown": reflect.TypeFor[plan.Unknown](), "ReadinessRule": reflect.TypeFor[plan.Rule](), "ReadinessRuleList": reflect.TypeFor[ruleList](),
	"NewWaiver": reflect.TypeFor[waiverSpec](), "Waiver": reflect.TypeFor[waiverView](), "WaiverList": reflect.TypeFor[waiverList](),
}
