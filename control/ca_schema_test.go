package control

import "reflect"

// caSchemas are the schemas of openapi/ca.json, with the types that they describe.
var caSchemas = map[string]reflect.Type{
	"NewCA": reflect.TypeFor[newCA](), "CAWithdrawal": reflect.TypeFor[withdrawal](), "CA": reflect.TypeFor[caView](), "CAList": reflect.TypeFor[caList](),
	"CAListener": reflect.TypeFor[listenerView](), "JoinAuthorities": reflect.TypeFor[authoritiesView](), "Renew": reflect.TypeFor[renewAsk](),
}
