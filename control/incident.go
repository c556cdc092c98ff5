package control

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/incident"
	"andon/ledger"
	"andon/order"
)

// This room holds signals, triage cases and incidents. What they are is package
// incident's to say; here are the API, who may see what, and the timeline, which
// is the ledger.
//
// Whoever has no need to know is answered as if nothing were there. The raw
// record shows everything, so entries and their tiles are the auditor's and the
// administrator's alone, and the stream of events leaves out what its reader may
// not see.

type incidentState struct {
	entries *incident.Book // nil until the first entry; see book
	told    int            // corrections of state.list that the book was told of
}

// noIncidents is the book while there is none. Nobody writes into it.
var noIncidents = incident.NewBook()

// book is the incidents of a state, to be read.
func (s *state) book() *incident.Book {
	if s.incident.entries == nil {
		return noIncidents
	}
	return s.incident.entries
}

var incidentTable = []route{
	{"POST", "/api/v1/signals", "signal.send", false, (*Control).postSignal},
	{"GET", "/api/v1/signals", "", false, (*Control).getSignals},
	{"GET", "/api/v1/signals/outcomes", "", false, (*Control).getOutcomes},
	{"GET", "/api/v1/signals/{id}", "", false, (*Control).getSignal},
	{"POST", "/api/v1/cases", "triage.open", false, (*Control).postTriage},
	{"GET", "/api/v1/cases", "", false, (*Control).getTriages},
	{"GET", "/api/v1/cases/{id}", "", false, (*Control).getTriage},
	{"POST", "/api/v1/cases/{id}/signals", "triage.group", false, (*Control).postTriageSignals},
	{"POST", "/api/v1/cases/{id}/assess", "triage.assess", false, (*Control).postTriageAssess},
	{"POST", "/api/v1/cases/{id}/close", "triage.close", false, (*Control).postTriageClose},
	{"POST", "/api/v1/cases/{id}/reopen", "triage.reopen", false, (*Control).postTriageReopen},
	{"POST", "/api/v1/cases/{id}/join", "triage.join", false, (*Control).postTriageJoin},
	{"POST", "/api/v1/incidents", "incident.open", false, (*Control).postIncident},
	{"GET", "/api/v1/incidents", "", false, (*Control).getIncidents},
	{"GET", "/api/v1/near-misses", "", false, (*Control).getNearMisses},
	{"GET", "/api/v1/incidents/{id}", "", false, (*Control).getIncident},
	{"GET", "/api/v1/incidents/{id}/timeline", "", false, (*Control).getTimeline},
	{"POST", "/api/v1/incidents/{id}/notes", "incident.note", false, (*Control).postNote},
	{"POST", "/api/v1/incidents/{id}/status", "incident.status", false, incidentPost[incident.StatusChange]("incident.status")},
	{"POST", "/api/v1/incidents/{id}/severity", "incident.severity", false, incidentPost[incident.SeverityChange]("incident.severity")},
	{"POST", "/api/v1/incidents/{id}/roles", "incident.role", false, incidentPost("incident.role", checkRole)},
	{"POST", "/api/v1/incidents/{id}/times", "incident.time", false, incidentPost[incident.TimeChange]("incident.time")},
	{"POST", "/api/v1/incidents/{id}/hypotheses", "incident.hypothesis", false, incidentPost[incident.HypothesisChange]("incident.hypothesis")},
	{"POST", "/api/v1/incidents/{id}/tasks", "incident.task", false, incidentPost[incident.TaskChange]("incident.task")},
	{"POST", "/api/v1/incidents/{id}/describe", "incident.describe", false, incidentPost[incident.Described]("incident.describe")},
	{"POST", "/api/v1/incidents/{id}/near-miss", "incident.near_miss", false, incidentPost[incident.NearMiss]("incident.near_miss")},
	{"POST", "/api/v1/incidents/{id}/marking", "incident.mark", false, incidentPost("incident.mark", checkMarking)},
	{"POST", "/api/v1/incidents/{id}/close", "incident.close", false, incidentPost("incident.close", checkClose)},
	{"POST", "/api/v1/incidents/{id}/reopen", "incident.reopen", false, incidentPost("incident.reopen", checkReopen)},
	{"POST", "/api/v1/incidents/{id}/merge", "incident.merge", false, (*Control).postMerge},
	{"POST", "/api/v1/incidents/{id}/split", "incident.split", false, (*Control).postSplit},
	{"POST", "/api/v1/incidents/{id}/attachments", attachCommand, false, (*Control).postAttachment},
	{"GET", "/api/v1/incidents/{id}/attachments/{attachment}", "", false, (*Control).getAttachment},
	{"DELETE", "/api/v1/incidents/{id}/attachments/{attachment}", "incident.detach", false, (*Control).deleteAttachment},
}

// attachCommand is the one command of this room whose body is a file.
const attachCommand = "incident.attach"

var incidentPermits = map[string]authority.Set{
	"signal.send": actors, "signal.read": readers,
	"triage.open": actors, "triage.group": actors, "triage.assess": actors, "triage.close": actors, "triage.reopen": actors, "triage.join": actors, "triage.read": readers,
	"incident.open": actors, "incident.read": readers, "incident.note": deciders, "incident.status": actors, "incident.severity": actors, "incident.role": actors,
	"incident.time": actors, "incident.hypothesis": actors, "incident.task": actors, "incident.describe": actors, "incident.near_miss": actors,
	"incident.mark": actors, "incident.close": actors, "incident.reopen": actors, "incident.merge": actors, "incident.split": actors,
	attachCommand: actors, "incident.detach": authority.SetOf(authority.Commander),
	// Bodies as they stand in the record, whoever they are for.
	"ledger.read_entries": authority.SetOf(authority.Auditor),
}

var incidentCodes = map[string]code{
	"incident_full":   {409, "The incident holds as much as it can"},
	"loses_sight":     {409, "People would lose sight of the incident"},
	"attachment_gone": {410, "The file was removed"},
	"attachment_lost": {500, "The file cannot be read"},
}

var incidentFolds = func() map[string]foldFunc {
	out := map[string]foldFunc{}
	for _, t := range incident.Types() {
		out[t] = foldIncident
	}
	return out
}()

func foldIncident(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	if s.incident.entries == nil {
		s.incident.entries = incident.NewBook()
	}
	return s.incident.entries.Fold(metaOf(e), e.Type, e.Body)
}

func metaOf(e ledger.Entry) incident.Meta {
	return incident.Meta{Seq: e.Seq, At: e.At.UTC(), Actor: e.Actor}
}

// follow puts an entry of another room on the timelines that it concerns: those
// of a correction's incident, and of the incident that a body names. An entry
// whose body names none can be put there by its own fold: see concerns.
func (s *state) follow(e ledger.Entry) {
	s.retention.see(s, e)
	if s.incident.entries == nil {
		s.incident.told = len(s.list)
		return // there is no incident
	}
	for ; s.incident.told < len(s.list); s.incident.told++ {
		if r := s.list[s.incident.told]; r.Incident != "" {
			s.book().Corrected(r.Incident, r.ID, true, metaOf(e))
		}
	}
	room, _, _ := strings.Cut(e.Type, ".")
	switch room {
	case "incident", "triage", "signal":
	case "correction":
		if b := peek(e); b.ID != "" && e.Type != typeCreated {
			if r := s.corrections[b.ID]; r != nil && s.book().IncidentOf(b.ID) != "" {
				s.book().Corrected(r.Incident, r.ID, r.gone == "", metaOf(e))
			}
		}
	case "effect":
		for _, id := range peek(e).Corrections {
			s.concerns(e, s.book().IncidentOf(id))
		}
	case "run":
		g := peek(e)
		if r := s.playbook.runs[g.Run]; r != nil && g.Incident == "" {
			g.Incident = r.Incident
		}
		s.concerns(e, g.Incident)
	case "approval": // of a lift, say: its subject is a correction
		if a := s.authority.acts[peek(e).ID]; a != nil {
			s.concerns(e, s.book().IncidentOf(a.Subject))
			if d := s.decision.all.Get(a.Subject); d != nil {
				s.decisionConcerns(e, d.Incident)
			}
		}
	case "decision":
		s.decisionConcerns(e, peek(e).Incident)
	default:
		s.concerns(e, peek(e).Incident)
	}
}

// concerns puts an entry on the timeline of an incident; nothing happens if there
// is none of that id. Folds of other rooms call it, for entries whose body does
// not name the incident itself.
func (s *state) concerns(e ledger.Entry, id string) {
	if id != "" && s.incident.entries != nil {
		s.book().Concern(id, metaOf(e))
	}
}

// glimpse is what tells whom an entry is about.
type glimpse struct {
	ID, Incident, Into, From, Case, Signal, Run string
	Corrections                                 []string
	Correction                                  struct{ Incident string }
}

// peek reads what an entry is about. A body that has other things under these
// names is about nothing.
func peek(e ledger.Entry) glimpse {
	var g glimpse
	if !bytes.Contains(e.Body, []byte(`"incident":"`)) && !bytes.Contains(e.Body, []byte(`"corrections":[`)) && !bytes.Contains(e.Body, []byte(`"id":"`)) &&
		!bytes.Contains(e.Body, []byte(`"case":"`)) && !bytes.Contains(e.Body, []byte(`"signal":"`)) && !bytes.Contains(e.Body, []byte(`"run":"`)) {
		return g
	}
	var out struct {
		ID          any `json:"id"`
		Incident    any `json:"incident"`
		Into        any `json:"into"`
		From        any `json:"from"`
		Case        any `json:"case"`
		Signal      any `json:"signal"`
		Run         any `json:"run"`
		Corrections any `json:"corrections"`
		Correction  any `json:"correction"`
	}
	if json.Unmarshal(e.Body, &out) != nil {
		return g
	}
	text := func(v any) string { s, _ := v.(string); return s }
	g.ID, g.Incident, g.Into, g.From = text(out.ID), text(out.Incident), text(out.Into), text(out.From)
	g.Case, g.Signal, g.Run = text(out.Case), text(out.Signal), text(out.Run)
	list, _ := out.Corrections.([]any)
	for _, v := range list {
		g.Corrections = append(g.Corrections, text(v))
	}
	if m, ok := out.Correction.(map[string]any); ok {
		g.Correction.Incident = text(m["incident"])
	}
	return g
}

// severityOfIncident is 1 to 4; 0 if there is no such incident.
func (s *state) severityOfIncident(id string) int {
	in := s.book().Root(id)
	if in == nil {
		return 0
	}
	return slices.Index(incident.Severities, in.Severity) + 1
}

// incidentProblem gives what package incident says its code.
func incidentProblem(err error) error {
	var e *incident.Error
	if !errors.As(err, &e) {
		return err
	}
	code := e.Code
	p := problem(code, e.Detail)
	p.Field, p.Allowed, p.Hint = e.Field, e.Allowed, e.Hint
	return p
}

// incidentDraft checks an event as a part of a command, and drafts its entry.
func (s *state) incidentDraft(op *operator, e incident.Event, now time.Time) ([]draft, error) {
	if err := s.book().Check(e, incident.Meta{Seq: s.size, At: now, Actor: op.id}); err != nil {
		return nil, incidentProblem(err)
	}
	return []draft{{e.Type(), e}}, nil
}

// incidentClock: nothing happens to an incident because time has passed.
func incidentClock(*Control, *state, time.Time) []draft { return nil }
