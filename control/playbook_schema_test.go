package control

import "reflect"

// playbookSchemas are the schemas of openapi/playbook.json, with the types that they describe.
var playbookSchemas = map[string]reflect.Type{}
