package control

import "reflect"

// decisionSchemas are the schemas of openapi/decision.json, with the types that they describe.
var decisionSchemas = map[string]reflect.Type{}
