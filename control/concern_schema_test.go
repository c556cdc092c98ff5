package control

import "reflect"

// concernSchemas are the schemas of openapi/concern.json, with the types that they describe.
var concernSchemas = map[string]reflect.Type{}
