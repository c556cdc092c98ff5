package control

import "reflect"

// planSchemas are the schemas of openapi/plan.json, with the types that they describe.
var planSchemas = map[string]reflect.Type{}
