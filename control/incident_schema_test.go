package control

import (
	"reflect"

	"andon/incident"
)

// incidentSchemas are the schemas of openapi/incident.json, with the types that they describe.
var incidentSchemas = map[string]reflect.Type{
	"IncidentSubject": reflect.TypeFor[incident.Subject](), "NeedToKnow": reflect.TypeFor[incident.Need](), "Marking": reflect.TypeFor[incident.Marking](), "HarmFact": reflect.TypeFor[incident.Fact](),
	"NewSignal": reflect.TypeFor[incident.SignalSpec](), "Signal": reflect.TypeFor[signalView](), "SignalTaken": reflect.TypeFor[signalAnswer](), "SignalList": reflect.TypeFor[signalList](),
	"SignalOutcome": reflect.TypeFor[incident.Outcome](), "SignalOutcomes": reflect.TypeFor[outcomeList](), "NewTriageCase": reflect.TypeFor[incident.CaseSpec](),
	"TriageCase": reflect.TypeFor[triageView](), "TriageCaseList": reflect.TypeFor[triageList](), "TriageSignals": reflect.TypeFor[caseSignals](), "TriageAssessment": reflect.TypeFor[caseAssessment](),
	"TriageClosing": reflect.TypeFor[caseClosing](), "TriageJoining": reflect.TypeFor[caseJoining](), "NewIncident": reflect.TypeFor[incident.OpenSpec](), "NewSplit": reflect.TypeFor[incident.SplitSpec](),
	"IncidentNearMiss": reflect.TypeFor[incident.NearMiss](), "IncidentRow": reflect.TypeFor[incidentRow](), "IncidentList": reflect.TypeFor[incidentList](), "IncidentFound": reflect.TypeFor[foundText](), "IncidentRole": reflect.TypeFor[incident.RoleHeld](),
	"IncidentTimeSet": reflect.TypeFor[incident.TimeSet](), "IncidentTime": reflect.TypeFor[incident.TimeHeld](), "Evidence": reflect.TypeFor[incident.Evidence](), "Hypothesis": reflect.TypeFor[incident.Hypothesis](),
	"IncidentTask": reflect.TypeFor[incident.Task](), "Attachment": reflect.TypeFor[attachmentView](), "IncidentCorrection": reflect.TypeFor[incidentCorrection](), "Incident": reflect.TypeFor[incidentView](),
	"TimelineEntry": reflect.TypeFor[timelineEntry](), "TimelinePage": reflect.TypeFor[timelinePage](), "NewNote": reflect.TypeFor[newNote](), "StatusChange": reflect.TypeFor[incident.StatusChange](),
	"SeverityChange": reflect.TypeFor[incident.SeverityChange](), "RoleChange": reflect.TypeFor[incident.RoleChange](), "TimeChange": reflect.TypeFor[incident.TimeChange](),
	"HypothesisChange": reflect.TypeFor[incident.HypothesisChange](), "TaskChange": reflect.TypeFor[incident.TaskChange](), "IncidentDescription": reflect.TypeFor[incident.Described](),
	"MarkingChange": reflect.TypeFor[incident.Marked](), "IncidentClosing": reflect.TypeFor[incident.Closed](), "IncidentReopening": reflect.TypeFor[incident.Reopened](), "IncidentMerge": reflect.TypeFor[merging](),
	"NearMissPattern": reflect.TypeFor[incident.Pattern](), "NearMissList": reflect.TypeFor[patternList](),
}
