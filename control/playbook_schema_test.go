package control

import (
	"reflect"

	"andon/playbook"
)

// playbookSchemas are the schemas of openapi/playbook.json, with the types that they describe.
var playbookSchemas = map[string]reflect.Type{
	"Playbook": reflect.TypeFor[playbook.Playbook](), "PlaybookVar": reflect.TypeFor[playbook.Var](), "PlaybookStopGap": reflect.TypeFor[playbook.StopGap](), "PlaybookIf": reflect.TypeFor[playbook.If](),
	"PlaybookTask": reflect.TypeFor[playbook.Task](), "PlaybookNotice": reflect.TypeFor[playbook.Notice](), "PlaybookEvidence": reflect.TypeFor[playbook.Evidence](), "PlaybookChoice": reflect.TypeFor[playbook.Choice](),
	"PlaybookStep": reflect.TypeFor[playbook.Step](), "PlaybookFault": reflect.TypeFor[playbook.Fault](), "PlaybookView": reflect.TypeFor[playbookView](), "PlaybookLine": reflect.TypeFor[playbookLine](), "PlaybookList": reflect.TypeFor[playbookList](),
	"NewRun": reflect.TypeFor[newRun](), "RunStep": reflect.TypeFor[runStep](), "RunDecision": reflect.TypeFor[runDecision](), "RunStepState": reflect.TypeFor[runStepView](), "RunCriterion": reflect.TypeFor[runCriterion](),
	"RunStopGap": reflect.TypeFor[gapView](), "RunCorrection": reflect.TypeFor[runCorrection](), "RunPending": reflect.TypeFor[pendingView](), "Run": reflect.TypeFor[runView](), "RunList": reflect.TypeFor[runList](),
	"NewSimulation": reflect.TypeFor[simulation](), "SimulatedCorrection": reflect.TypeFor[simulatedCorrection](), "SimulatedStep": reflect.TypeFor[simulatedStep](), "SimulatedStopGap": reflect.TypeFor[simulatedStopGap](), "Simulation": reflect.TypeFor[simulationView](),
	"NewImport": reflect.TypeFor[newImport](), "ImportSignature": reflect.TypeFor[signatureView](), "Import": reflect.TypeFor[importView](),
}
