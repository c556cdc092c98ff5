package control

import "reflect"

// signingSchemas are the schemas of openapi/signing.json, with the types that they describe.
var signingSchemas = map[string]reflect.Type{
	"SigningKey": reflect.TypeFor[signingKeyView](), "SigningKeyList": reflect.TypeFor[signingKeyList](), "Rotation": reflect.TypeFor[rotation](),
}
