package control

import "reflect"

// termsSchemas are the schemas of openapi/terms.json, with the types that they describe.
var termsSchemas = map[string]reflect.Type{
	"PlannedDependant": reflect.TypeFor[dependantState](), "DependantList": reflect.TypeFor[dependantStates](), "TermsWord": reflect.TypeFor[termsView](), "HeldDependant": reflect.TypeFor[heldDependant](),
	"CorrectionPolicy": reflect.TypeFor[policyView](), "PolicyKind": reflect.TypeFor[policyKind](), "PolicyRefusal": reflect.TypeFor[policyError](), "PolicyYours": reflect.TypeFor[yoursView](),
	"PolicyDependant": reflect.TypeFor[policyDependant](),
}
