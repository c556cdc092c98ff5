package control

import "reflect"

// retentionSchemas are the schemas of openapi/retention.json, with the types that they describe.
var retentionSchemas = map[string]reflect.Type{
	"Retention": reflect.TypeFor[retentionView](), "RetentionBounds": reflect.TypeFor[retentionBounds](), "RetentionClock": reflect.TypeFor[clockView](),
	"RetentionClass": reflect.TypeFor[retentionClass](), "RetentionItem": reflect.TypeFor[retentionItem](), "RetentionErasure": reflect.TypeFor[erasure](),
	"NewRecordHold": reflect.TypeFor[newRetentionHold](), "RecordHold": reflect.TypeFor[retentionHold](), "NewClockConfirmation": reflect.TypeFor[newConfirmation](),
}
