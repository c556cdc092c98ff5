package control

import "reflect"

// witnessSchemas are the schemas of openapi/witness.json, with the types that they describe.
var witnessSchemas = map[string]reflect.Type{
	"Erasure": reflect.TypeFor[erasureView](), "Witnesses": reflect.TypeFor[witnessesView](), "LedgerWitness": reflect.TypeFor[witnessView](), "Cosigned": reflect.TypeFor[cosignedView](),
	"LedgerFork": reflect.TypeFor[forkView](), "LedgerForkSide": reflect.TypeFor[sideView](),
}
