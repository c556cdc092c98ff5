package control

import "reflect"

// evidenceSchemas are the schemas of openapi/evidence.json, with the types that they describe.
var evidenceSchemas = map[string]reflect.Type{}
