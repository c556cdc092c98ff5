package control

import "reflect"

// alertSchemas are the schemas of openapi/alert.json, with the types that they describe.
var alertSchemas = map[string]reflect.Type{
	"AlertDelivered": reflect.TypeFor[deliveredView](), "AlertEndpoint": reflect.TypeFor[alertView](), "AlertList": reflect.TypeFor[alertList](), "AlertTest": reflect.TypeFor[alertTestView](),
	"OnCallRoster": reflect.TypeFor[onCallRoster](), "OnCallGap": reflect.TypeFor[onCallGap](), "OnCallPerson": reflect.TypeFor[onCallPerson](), "OnCall": reflect.TypeFor[onCallView](),
}
