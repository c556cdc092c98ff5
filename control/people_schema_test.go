package control

import "reflect"

// peopleSchemas are the schemas of openapi/people.json, with the types that they describe.
var peopleSchemas = map[string]reflect.Type{}
