package control

import "reflect"

// authoritySchemas are the schemas of openapi/authority.json, with the types that they describe.
var authoritySchemas = map[string]reflect.Type{}
