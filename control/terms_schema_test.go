package control

import "reflect"

// termsSchemas are the schemas of openapi/terms.json, with the types that they describe.
var termsSchemas = map[string]reflect.Type{}
