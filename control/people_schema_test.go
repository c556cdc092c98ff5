package control

import "reflect"

// peopleSchemas are the schemas of openapi/people.json, with the types that they describe.
var peopleSchemas = map[string]reflect.Type{
	"NewOperator": reflect.TypeFor[newOperator](), "NewRoles": reflect.TypeFor[newRoles](), "Tenure": reflect.TypeFor[tenureView](),
	"NamedOperator": reflect.TypeFor[operatorView](), "OperatorList": reflect.TypeFor[operatorList](), "Operator": reflect.TypeFor[whoamiView](),
	"NewPassword": reflect.TypeFor[newPassword](), "Password": reflect.TypeFor[passwordView](), "StepUp": reflect.TypeFor[stepUpAsk](), "SteppedUp": reflect.TypeFor[stepUpView](),
	"NewToken": reflect.TypeFor[newToken](), "Token": reflect.TypeFor[tokenView](), "TokenList": reflect.TypeFor[tokenList](),
	"LogIn": reflect.TypeFor[loginAsk](), "Session": reflect.TypeFor[sessionView](), "SessionList": reflect.TypeFor[sessionList](), "Ended": reflect.TypeFor[endedView](),
	"Issuer": reflect.TypeFor[oidcView](), "BeginDevice": reflect.TypeFor[deviceAsk](), "Device": reflect.TypeFor[deviceView](), "DevicePoll": reflect.TypeFor[devicePoll](), "DevicePending": reflect.TypeFor[devicePending](),
}
