package control

import "reflect"

// restoreSchemas are the schemas of openapi/restore.json, with the types that they describe.
var restoreSchemas = map[string]reflect.Type{
	"Restore": reflect.TypeFor[restoreAsk](), "RestoreLine": reflect.TypeFor[restoreLine](), "Restored": reflect.TypeFor[restoreView](),
}
