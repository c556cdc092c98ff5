package control

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// This room holds the readiness gate: what was observed, findings and waivers. A
// waiver is a decision to be content with one finding until an instant, which is
// never more than plan.MaxWaiver away; it ends by itself, without an entry.

const (
	typeWaived   = "plan.waived"
	typeUnwaived = "plan.waiver_withdrawn"
)

type readinessState struct {
	waivers []*waiver // as they were given
}

// waiver is one, with what became of it.
type waiver struct {
	waivedBody
	at        time.Time
	withdrawn time.Time
	by        string // who withdrew it
	why       string
}

// Bounds of waivers.
const (
	maxWaivers       = 500 // in force at a time
	maxWaiverSubject = 512 // bytes
)

var readinessTable = []route{
	{"GET", "/api/v1/readiness", "", false, (*Control).getReadiness},
	{"GET", "/api/v1/readiness/observed", "", false, (*Control).getObserved},
	{"GET", "/api/v1/readiness/rules", "", false, (*Control).getReadinessRules},
	{"GET", "/api/v1/readiness/waivers", "", false, (*Control).getWaivers},
	{"POST", "/api/v1/readiness/waivers", "readiness.waive", false, (*Control).postWaiver},
	{"POST", "/api/v1/readiness/waivers/{id}/withdraw", "readiness.unwaive", false, (*Control).postUnwaive},
}

// readinessPermits say who may ask for it. Whether somebody may then waive a
// finding, and with whom, is what the rules in force say of the act plan.
var readinessPermits = map[string]authority.Set{
	"readiness.read": authority.All, "readiness.waive": deciders, "readiness.unwaive": deciders,
}

var readinessCodes = map[string]code{
	"own_finding":      {403, "Nobody waives a finding about themselves"},
	"too_many_waivers": {409, "Too many waivers are in force"},
	"waiver_over":      {409, "The waiver is no longer in force"},
}

var readinessFolds = map[string]foldFunc{typeWaived: foldWaived, typeUnwaived: foldUnwaived}

// readinessClock writes nothing: whether a waiver is over is computed when it is read.
func readinessClock(*Control, *state, time.Time) []draft { return nil }

// waivedBody is a waiver. By is who asked for it: others may have to agree, and
// then the entry's actor is the last of those.
type waivedBody struct {
	ID      string    `json:"id"` // w-1
	Rule    string    `json:"rule"`
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	Until   time.Time `json:"until"`
	By      string    `json:"by"`
}

type unwaivedBody struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func foldWaived(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[waivedBody](e.Body)
	if err != nil {
		return nil, err
	}
	if want := s.readiness.nextID(); b.ID != want {
		return nil, fmt.Errorf("waiver %q stands where %s belongs: %w", b.ID, want, errForm)
	}
	if !b.Until.After(e.At) || b.Until.Sub(e.At) > plan.MaxWaiver {
		return nil, fmt.Errorf("waiver %s until %s: %w", b.ID, b.Until.Format(time.RFC3339), errForm)
	}
	return func() { s.readiness.waivers = append(s.readiness.waivers, &waiver{waivedBody: b, at: e.At.UTC()}) }, nil
}

func foldUnwaived(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[unwaivedBody](e.Body)
	if err != nil {
		return nil, err
	}
	w := s.readiness.waiver(b.ID)
	if w == nil || !w.withdrawn.IsZero() {
		return nil, fmt.Errorf("waiver %q is not there, or was withdrawn: %w", b.ID, errForm)
	}
	return func() { w.withdrawn, w.by, w.why = e.At.UTC(), e.Actor, b.Reason }, nil
}

func (r *readinessState) nextID() string { return "w-" + strconv.Itoa(len(r.waivers)+1) }

// waiver is the waiver of that id; nil if there is none.
func (r *readinessState) waiver(id string) *waiver {
	if n := number(id, "w-"); n >= 1 && n <= len(r.waivers) && r.waivers[n-1].ID == id {
		return r.waivers[n-1]
	}
	return nil
}

// The states of a waiver.
const (
	waiverActive    = "active"
	waiverExpired   = "expired"
	waiverWithdrawn = "withdrawn"
)

// state is where a waiver is in its life. now is the late time: a clock that went
// back makes no waiver longer.
func (w *waiver) state(now time.Time) string {
	switch {
	case !w.withdrawn.IsZero():
		return waiverWithdrawn
	case !now.Before(w.Until):
		return waiverExpired
	}
	return waiverActive
}

// recordTime is the time by which a waiver ends: the clock's, but never before
// what the record has seen. The caller holds mu, or is a command.
func (c *Control) recordTime(s *state) time.Time {
	now := c.cfg.Now().UTC().Round(0)
	if now.Before(s.last) {
		return s.last
	}
	return now
}

// active are the waivers in force, as a check reads them: with names for people.
func (s *state) activeWaivers(now time.Time) []plan.Waiver {
	out := []plan.Waiver{}
	for _, w := range s.readiness.waivers {
		if w.state(now) == waiverActive {
			out = append(out, plan.Waiver{ID: w.ID, Rule: w.Rule, Subject: w.Subject, Reason: w.Reason, By: s.operatorName(w.By), At: w.at, Until: w.Until})
		}
	}
	return out
}

// operatorName is what people call an operator.
func (s *state) operatorName(id string) string {
	if op := s.operators[id]; op != nil {
		return op.name
	}
	return id
}

// waiverSpec is a waiver to be given.
type waiverSpec struct {
	Rule    string    `json:"rule"`
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	Until   time.Time `json:"until"`
}

// check looks at what does not depend on the state.
func (w *waiverSpec) check(now time.Time) error {
	rule, ok := plan.RuleByID(w.Rule)
	if !ok {
		return badField("rule", strconv.Quote(short(w.Rule))+" is no rule of the readiness gate; GET /api/v1/readiness/rules lists them", "ANDON-PLAN-001 …")
	}
	if w.Subject == "" {
		return badField("subject", "missing: say which finding of "+rule.ID+" is waived; the report names its subject")
	}
	if err := checkLine("subject", w.Subject, maxWaiverSubject); err != nil {
		return err
	}
	if err := reasonGiven(w.Reason); err != nil {
		return err
	}
	switch {
	case w.Until.IsZero():
		return badField("until", "missing: a waiver ends; say when, at most "+strconv.Itoa(int(plan.MaxWaiver.Hours()/24))+" days from now")
	case !w.Until.After(now):
		return badField("until", "is in the past; give a later time")
	case w.Until.Sub(now) > plan.MaxWaiver:
		return badField("until", fmt.Sprintf("is more than %d days from now (%s at most); waive it again when it is over", int(plan.MaxWaiver.Hours()/24), now.Add(plan.MaxWaiver).Format(time.RFC3339)))
	}
	return nil
}

// doWaive drafts a waiver, for whoever asked for it.
func doWaive(c *Control, s *state, op *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	var spec waiverSpec
	if err := json.Unmarshal(what, &spec, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	return c.draftWaiver(s, op, &spec, now)
}

// draftWaiver drafts a waiver. A finding that names the operator is for others to
// waive: at any place of its subject, "roster/night/ann".
func (c *Control) draftWaiver(s *state, op *operator, spec *waiverSpec, now time.Time) ([]draft, error) {
	if err := spec.check(now); err != nil {
		return nil, err
	}
	if slices.Contains(strings.Split(spec.Subject, "/"), op.name) {
		return nil, problem("own_finding", "the finding is about you ("+short(op.name)+"); somebody else has to be content with it")
	}
	if n := len(s.activeWaivers(now)); n >= maxWaivers {
		return nil, problem("too_many_waivers", fmt.Sprintf("%d are in force; withdraw some, or close the gaps", n))
	}
	return []draft{{typeWaived, waivedBody{ID: s.readiness.nextID(), Rule: spec.Rule, Subject: spec.Subject, Reason: spec.Reason, Until: spec.Until.UTC(), By: op.id}}}, nil
}

// waiverView is a waiver as the API shows it.
type waiverView struct {
	ID          string     `json:"id"`
	Rule        string     `json:"rule"`
	Title       string     `json:"title"`
	Level       plan.Level `json:"level"`
	Subject     string     `json:"subject"`
	Reason      string     `json:"reason"`
	By          string     `json:"by"` // id of the operator who asked for it
	ByName      string     `json:"by_name"`
	At          time.Time  `json:"at"`
	Until       time.Time  `json:"until"`
	State       string     `json:"state"` // active, expired, withdrawn
	WithdrawnAt time.Time  `json:"withdrawn_at,omitzero"`
	WithdrawnBy string     `json:"withdrawn_by,omitempty"`
	Why         string     `json:"why,omitempty"`      // it was withdrawn
	Warnings    []warning  `json:"warnings,omitempty"` // in the answer that made it
}

func (s *state) waiverView(w *waiver, now time.Time) waiverView {
	rule, _ := plan.RuleByID(w.Rule) // one that went leaves its id
	return waiverView{ID: w.ID, Rule: w.Rule, Title: cmp.Or(rule.Title, "a rule that is no longer there"), Level: cmp.Or(rule.Level, plan.Note), Subject: w.Subject, Reason: w.Reason,
		By: w.By, ByName: s.operatorName(w.By), At: w.at, Until: w.Until, State: w.state(now), WithdrawnAt: w.withdrawn, WithdrawnBy: w.by, Why: w.why}
}
