package control

import "reflect"

// joinSchemas are the schemas of openapi/join.json, with the types that they describe.
var joinSchemas = map[string]reflect.Type{}
