package control

import (
	"reflect"

	"andon/authority"
)

// authoritySchemas are the schemas of openapi/authority.json, with the types that they describe.
var authoritySchemas = map[string]reflect.Type{
	"Rule": reflect.TypeFor[authority.Rule](), "Limit": reflect.TypeFor[authority.Limit](), "Takes": reflect.TypeFor[authority.Answer](), "Authority": reflect.TypeFor[authorityView](),
	"AuthorityQuestion": reflect.TypeFor[askView](), "AuthorityAnswer": reflect.TypeFor[askAnswer](), "Answer": reflect.TypeFor[answer](), "PendingAct": reflect.TypeFor[actView](),
	"ApprovalList": reflect.TypeFor[actList](), "Waiting": reflect.TypeFor[waitingView](), "Review": reflect.TypeFor[review](), "ReviewList": reflect.TypeFor[reviewList](),
	"Conclusion": reflect.TypeFor[conclusion](), "Ratification": reflect.TypeFor[ratificationView](),
}
