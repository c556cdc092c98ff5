package control

import "reflect"

// evidenceSchemas are the schemas of openapi/evidence.json, with the types that they describe.
var evidenceSchemas = map[string]reflect.Type{
	"NewEvidence": reflect.TypeFor[evidenceAsk](), "EvidenceRecord": reflect.TypeFor[evidenceView](), "EvidenceGap": reflect.TypeFor[evidenceGap](),
	"EvidenceList": reflect.TypeFor[evidenceList](), "EvidenceWish": reflect.TypeFor[evidenceWish](), "EvidenceProof": reflect.TypeFor[evidenceProof](),
}
