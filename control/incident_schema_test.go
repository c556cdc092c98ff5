package control

import "reflect"

// incidentSchemas are the schemas of openapi/incident.json, with the types that they describe.
var incidentSchemas = map[string]reflect.Type{}
