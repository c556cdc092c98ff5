package control

import "reflect"

// concernSchemas are the schemas of openapi/concern.json, with the types that they describe.
var concernSchemas = map[string]reflect.Type{
	"NewConcern": reflect.TypeFor[newConcern](), "ConcernReceipt": reflect.TypeFor[receiptView](), "WithReceipt": reflect.TypeFor[withReceipt](), "ConcernSaid": reflect.TypeFor[saidView](),
	"ConcernStatus": reflect.TypeFor[statusView](), "Concern": reflect.TypeFor[concernView](), "ConcernList": reflect.TypeFor[concernList](), "ConcernMove": reflect.TypeFor[concernMove](),
}
