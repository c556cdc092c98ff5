// Package years writes the ledger that years of use would leave: incidents that
// were opened, decided on, corrected, worked on, reviewed and mostly closed.
//
// It promises entries that a control plane takes, in an order in which they could
// have come, the same ones for the same numbers and end. They are written in large
// batches and not by commands, which would take hours.
package years

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/incident"
	"andon/ledger"
	"andon/playbook"
)

// The operators of those years.
const (
	Commander = "op-101" // leads every incident, and may see all
	approver  = "op-102"
)

const (
	step  = 17 * time.Second // between two entries
	batch = 5000             // entries in one transaction
	least = 40               // entries that an incident has
)

// writer puts entries into a ledger.
type writer struct {
	log      ledger.Log
	at       time.Time
	batch    []ledger.Entry
	size     uint64
	revision int
	acts     int // approvals asked for
	err      error
}

// Write fills an empty ledger with incidents of each entries, the last of which
// come about at end. Every tenth incident is shown to few, every twentieth is
// still open.
func Write(ctx context.Context, log ledger.Log, incidents, each int, end time.Time) error {
	if log.Size() != 0 || each < least {
		return fmt.Errorf("write years of incidents: the ledger has %d entries and an incident %d; 0, and at least %d, are needed", log.Size(), each, least)
	}
	w := &writer{log: log, at: end.UTC().Truncate(time.Second).Add(-time.Duration(incidents*each) * step)}
	w.put(ctx, "op-101", "operator.created", object{"id": Commander, "name": "ann", "role": "commander", "token_sha256": strings.Repeat("01", 32)})
	w.put(ctx, "op-101", "operator.created", object{"id": approver, "name": "ben", "role": "approver", "token_sha256": strings.Repeat("02", 32)})
	for n := range incidents {
		w.incident(ctx, n, each)
	}
	w.flush(ctx)
	if w.err != nil {
		return fmt.Errorf("write years of incidents: %w", w.err)
	}
	return nil
}

// object is a body whose type is the control plane's own.
type object = map[string]any

func (w *writer) put(ctx context.Context, actor, kind string, body any) {
	if w.err != nil {
		return
	}
	raw, err := json.Marshal(body, json.Deterministic(true))
	w.err = err
	w.at = w.at.Add(step)
	w.batch = append(w.batch, ledger.Entry{At: w.at, Type: kind, Actor: actor, Body: jsontext.Value(raw)})
	if len(w.batch) == batch {
		w.flush(ctx)
	}
}

func (w *writer) flush(ctx context.Context) {
	if w.err == nil {
		w.size, w.err = w.log.Append(ctx, w.size, w.batch...)
		w.batch = w.batch[:0]
	}
}

// incident writes the entries of one incident, the number n from 0.
func (w *writer) incident(ctx context.Context, n, each int) {
	id, cor, signal := fmt.Sprintf("i-%d", n+1), fmt.Sprintf("c-%d", n+1), fmt.Sprintf("s-%d", n+1)
	left := each
	put := func(actor, kind string, body any) { w.put(ctx, actor, kind, body); left-- }
	event := func(e incident.Event) { put(Commander, e.Type(), e) }
	// measured is the effect of the last order.
	measured := func() {
		w.revision++
		put("control", "effect.measured", object{"revision": w.revision, "corrections": []string{cor}, "time_to_effect_ms": 3 + float64(n%40)/10, "points": []object{
			{"name": "gw-1", "state": "enforcing", "revision": w.revision, "accepted_at": w.at, "enforcing_at": w.at},
			{"name": "gw-2", "state": "enforcing", "revision": w.revision, "accepted_at": w.at, "enforcing_at": w.at}}})
	}
	subject := incident.Subject{Models: []string{fmt.Sprintf("model-%d", n%97)}}
	severity := incident.Severities[n%4]

	event(&incident.SignalReceived{Signal: signal, Case: fmt.Sprintf("t-%d", n+1), SignalSpec: incident.SignalSpec{
		Type: "safety.alert", Source: fmt.Sprintf("monitor-%d", n%50), Title: "answers look wrong", Severity: severity, Subject: subject}})
	spec := incident.OpenSpec{Title: fmt.Sprintf("answers of model %d went wrong", n%97), Subject: subject, Severity: severity,
		Cases: []string{fmt.Sprintf("t-%d", n+1)}, Text: strings.Repeat("what was seen. ", 20)}
	if n%10 == 0 {
		spec.Marking = &incident.Marking{TLP: "RED", Need: &incident.Need{Operators: []string{Commander}}}
	}
	event(&incident.Opened{Incident: id, OpenSpec: spec})
	put(Commander, "correction.created", object{"correction": correction.Correction{ID: cor, Kind: correction.Stop, Params: correction.Params{Level: "L3"},
		Scope: correction.Scope{Models: []string{"sim-large"}}, Reason: "answers are wrong", Incident: id, AppliedAt: w.at}})
	measured()
	event(&incident.On[incident.StatusChange]{Incident: id, Step: incident.StatusChange{To: incident.StatusContained}})
	if n%5 == 3 {
		w.decision(put, n, id)
	}
	if n%10 == 3 {
		w.run(put, n, id)
	}
	for k := 0; left > 12; k++ {
		switch k % 20 {
		case 0:
			event(&incident.On[incident.TimeChange]{Incident: id, Step: incident.TimeChange{Name: incident.TimeNames[k/20%len(incident.TimeNames)], Value: "2026-01-02T03Z", Reason: "from the logs"}})
		case 1:
			event(&incident.On[incident.HypothesisChange]{Incident: id, Step: incident.HypothesisChange{Text: "a prompt injection through a tool"}})
		default:
			event(&incident.On[incident.Note]{Incident: id, Step: incident.Note{Text: fmt.Sprintf("step %d: %s", k, strings.Repeat("looked at requests of the caller. ", 6)), Refs: []string{cor}}})
		}
	}
	review, open := fmt.Sprintf("v-%d", n+1), n%20 == 0 // of the stop
	if open {
		put("control", "review.overdue", object{"id": review})
	} else {
		put(approver, "review.concluded", object{"id": review, "finding": "justified", "statement": "it was right to stop"})
	}
	if n%5 == 0 {
		w.acts++
		act := fmt.Sprintf("a-%d", w.acts)
		put(Commander, "approval.asked", object{"id": act, "act": "loosen", "do": "lift", "subject": cor, "says": "lift " + cor, "what": object{"id": cor, "reason": "fixed"}, "reason": "fixed",
			"takes": object{"rules": []string{"default"}, "roles": []string{"commander"}, "approvals": 1, "approvers": []string{"approver"}, "within": "24h", "then": "lapse"}, "until": w.at.Add(24 * time.Hour)})
		put(approver, "approval.given", object{"id": act, "reason": "agreed"})
		put(Commander, "approval.carried", object{"id": act})
	}
	put(Commander, "correction.lifted", object{"id": cor, "reason": "fixed"})
	measured()
	event(&incident.On[incident.StatusChange]{Incident: id, Step: incident.StatusChange{To: incident.StatusResolved}})
	for left > 1 {
		event(&incident.On[incident.Note]{Incident: id, Step: incident.Note{Text: "looked again; it stays fixed"}})
	}
	if open {
		event(&incident.On[incident.Note]{Incident: id, Step: incident.Note{Text: "still open"}})
	} else {
		event(&incident.On[incident.Closed]{Incident: id, Step: incident.Closed{Reason: incident.CloseResolved, Text: "done"}})
	}
}

// decision is one that was made in an incident: to keep what stands.
func (w *writer) decision(put func(actor, kind string, body any), n int, id string) {
	about := incident.About{ID: fmt.Sprintf("d-%d", n/5+1), Incident: id}
	seen := []incident.Comparison{{At: w.at}, {At: w.at}}
	put(Commander, incident.TypeDecisionOpened, incident.DecisionOpened{About: about, Question: "how far do we go?", Default: 1, Deadline: w.at.Add(time.Hour), Seen: seen,
		Options: []incident.Option{{Title: "keep the stop", Why: "it suffices"}, {Title: incident.DoNothing}}})
	opened := w.size + uint64(len(w.batch)) - 1
	put(Commander, incident.TypeDecisionMade, incident.DecisionMadeBody{About: about, Option: 1, By: Commander, Rationale: "it is the narrowest that suffices",
		Known: "which answers were wrong", Criteria: []string{"answers are right again"}, Seen: seen, SeenIn: opened})
}

// run is a playbook that was carried out in an incident.
func (w *writer) run(put func(actor, kind string, body any), n int, id string) {
	steps := []string{"look", "tell", "write"}
	p := playbook.Playbook{Name: "wrong-answers", Description: "what to do when answers are wrong", Exit: []string{"answers are right again"}}
	for _, s := range steps {
		p.Steps = append(p.Steps, playbook.Step{Name: s, Task: &playbook.Task{Do: "do what " + s + " says", Who: "response"}})
	}
	run := fmt.Sprintf("r-%d", n/10+1)
	put(Commander, playbook.Started, playbook.Opening{ID: run, Playbook: p, Digest: strings.Repeat("ab", 32), Incident: id, Reason: "it fits"})
	for _, s := range steps {
		put(Commander, playbook.StepDone, playbook.Event{Run: run, Step: s, Note: "done"})
	}
	put(Commander, playbook.CriterionMet, playbook.Event{Run: run, Criterion: 1, Note: "measured"})
	put(Commander, playbook.Ended, playbook.Event{Run: run})
}
