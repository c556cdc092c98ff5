package control

import (
	"reflect"

	"andon/credential"
)

// joinSchemas are the schemas of openapi/join.json, with the types that they describe.
var joinSchemas = map[string]reflect.Type{
	"NewJoinToken": reflect.TypeFor[newJoinToken](), "JoinToken": reflect.TypeFor[joinTokenView](), "JoinTokenList": reflect.TypeFor[joinTokenList](),
	"Credential": reflect.TypeFor[credentialView](), "CredentialList": reflect.TypeFor[credentialList](),
	"Join": reflect.TypeFor[joinAsk](), "Grant": reflect.TypeFor[credential.Grant](),
}
