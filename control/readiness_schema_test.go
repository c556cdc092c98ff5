package control

import "reflect"

// readinessSchemas are the schemas of openapi/readiness.json, with the types that they describe.
var readinessSchemas = map[string]reflect.Type{}
