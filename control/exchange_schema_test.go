package control

import (
	"reflect"

	"andon/openc2"
)

// exchangeSchemas are the schemas of openapi/exchange.json, with the types that they describe.
var exchangeSchemas = map[string]reflect.Type{"OpenC2Message": reflect.TypeFor[openc2.Message]()}
