package control

import (
	"reflect"

	"andon/plan"
)

// planSchemas are the schemas of openapi/plan.json, with the types that they describe.
var planSchemas = map[string]reflect.Type{
	"NewPlan": reflect.TypeFor[newPlan](), "PlanVersion": reflect.TypeFor[planView](), "PlanVersionRef": reflect.TypeFor[planVersion](),
	"PlanVersionList": reflect.TypeFor[planVersions](), "PlanChange": reflect.TypeFor[plan.Change](), "PlanProposal": reflect.TypeFor[planProposal](),
}
