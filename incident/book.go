// Package incident is the record of what went wrong: signals come in, are
// grouped under triage, and become incidents; an incident is led, contained,
// understood and closed.
//
//	signal (s-1) → triage case (t-1) → incident (i-1)
//
// A Book is the state, and a fold over entries and nothing else: the same
// entries give the same book. What somebody wants is an Event. Check says what
// is wrong with it as things are; Fold does the same to an entry of the ledger
// and takes it in. So what was accepted can be folded, and nothing else can.
//
// What it promises:
//
//   - Severity is never below what the facts of harm say, and falls only with a
//     reason.
//   - A status that skips containment is refused unless something contains: a
//     correction that stands, or a decision.
//   - Exactly one person leads an incident until it is closed.
//   - An exercise is one from its first entry to its last. It never meets a real
//     incident, and no figure counts it.
//   - Nothing is shown to whom its marking leaves out. See Book.Sees.
//   - Long texts are not held: a timeline is the numbers of ledger entries.
//
// The package does no I/O and has no clock. A Book is not safe for concurrent
// writes; reading needs nothing but that nobody writes.
package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Meta is what an entry says beside its body: which one it is, when, by whom.
type Meta struct {
	Seq   uint64
	At    time.Time
	Actor string
}

// Event is the body of an entry of this room.
type Event interface {
	// Type is the entry's type: "incident.opened".
	Type() string
	// take checks the event against the book. apply, which cannot fail, then
	// changes the book.
	take(b *Book, m Meta) (apply func(), err error)
}

// Book is every signal, case and incident. The zero value is not usable; see NewBook.
type Book struct {
	signals   map[string]*Signal
	cases     map[string]*Case
	incidents map[string]*Incident
	dedup     map[dedupKey]*Signal
	group     map[groupKey]*Case // open cases that take in signals of a kind
	of        map[string]string  // correction → incident

	signalList   []*Signal
	caseList     []*Case
	incidentList []*Incident
}

// NewBook is an empty book.
func NewBook() *Book {
	return &Book{signals: map[string]*Signal{}, cases: map[string]*Case{}, incidents: map[string]*Incident{},
		dedup: map[dedupKey]*Signal{}, group: map[groupKey]*Case{}, of: map[string]string{}}
}

// Types are the types of entries that a Book folds.
func Types() []string {
	var out []string
	for t := range readers {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// readers read the bodies of entries, by type.
var readers = map[string]func(raw jsontext.Value) (Event, error){
	"signal.received": reader[*SignalReceived], "signal.repeated": reader[*SignalRepeated],
	"triage.opened": reader[*CaseOpened], "triage.grouped": reader[*CaseGrouped], "triage.assessed": reader[*CaseAssessed],
	"triage.closed": reader[*CaseClosed], "triage.reopened": reader[*CaseReopened], "triage.joined": reader[*CaseJoined],
	"incident.opened": reader[*Opened], "incident.merged": reader[*Merged], "incident.split": reader[*Split],
	"incident.note": reader[*On[Note]], "incident.status": reader[*On[StatusChange]], "incident.severity": reader[*On[SeverityChange]],
	"incident.role": reader[*On[RoleChange]], "incident.time": reader[*On[TimeChange]], "incident.hypothesis": reader[*On[HypothesisChange]],
	"incident.task": reader[*On[TaskChange]], "incident.attached": reader[*On[Attached]], "incident.detached": reader[*On[Detached]],
	"incident.marked": reader[*On[Marked]], "incident.described": reader[*On[Described]], "incident.near_miss": reader[*On[NearMiss]],
	"incident.closed": reader[*On[Closed]], "incident.reopened": reader[*On[Reopened]],
}

func reader[E Event](raw jsontext.Value) (Event, error) {
	var e E
	if err := json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if any(e) == nil || string(raw) == "null" {
		return nil, fmt.Errorf("the body is empty")
	}
	return e, nil
}

// Read reads an entry's body; nil if the type is none of this room.
func Read(kind string, body jsontext.Value) (Event, error) {
	read := readers[kind]
	if read == nil {
		return nil, nil
	}
	return read(body)
}

// Check says what is wrong with an event that is not in the record yet, as things
// are: an *Error, or nil.
func (b *Book) Check(e Event, m Meta) error {
	_, err := e.take(b, m)
	if t, ok := e.(*On[TimeChange]); ok && err == nil {
		return t.Step.ahead(m.At)
	}
	return err
}

// Fold reads an entry and checks it. apply, which cannot fail, takes it in.
func (b *Book) Fold(m Meta, kind string, body jsontext.Value) (apply func(), err error) {
	e, err := Read(kind, body)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, fmt.Errorf("%s is no entry of an incident", kind)
	}
	return e.take(b, m)
}

// Step is what is done to one incident.
type Step interface {
	// step checks and returns what changes the incident. It may complete itself
	// only by what is in the book and in m.
	step(b *Book, in *Incident, m Meta) (apply func(), err error)
	kind() string
}

// On is a step on an incident, as an entry's body.
type On[S Step] struct {
	Incident string `json:"incident"`
	Step     S      `json:"step"`
}

// Type is the entry's type.
func (o *On[S]) Type() string { return o.Step.kind() }

func (o *On[S]) take(b *Book, m Meta) (func(), error) {
	in := b.incidents[o.Incident]
	if in == nil {
		return nil, notFound("incident", o.Incident)
	}
	if in.MergedInto != "" && o.Step.kind() != (Reopened{}).kind() {
		return nil, mergedAlready(in)
	}
	if in.Status == StatusClosed && !afterClosing[o.Step.kind()] {
		return nil, &Error{Code: CodeState, Detail: o.Incident + " is closed", Hint: "reopen it first"}
	}
	apply, err := o.Step.step(b, in, m)
	if err != nil {
		return nil, err
	}
	return func() { in.entry(m); apply() }, nil
}

// mergedAlready refuses what is said of an incident that was merged. It does not
// name the other, which may be for fewer people.
func mergedAlready(in *Incident) error {
	return &Error{Code: CodeState, Detail: in.ID + " was merged into another incident; what is still to be said belongs there",
		Hint: "andon incident show " + in.ID + " names it to those who may know of it; if they are not one after all, reopen " + in.ID}
}

// afterClosing are the steps that a closed incident takes.
var afterClosing = map[string]bool{"incident.note": true, "incident.time": true, "incident.marked": true, "incident.reopened": true,
	"incident.attached": true, "incident.detached": true, "incident.near_miss": true}

// entry puts an entry on the timeline.
func (in *Incident) entry(m Meta) {
	if n := len(in.Entries); n > 0 && in.Entries[n-1] == m.Seq {
		return
	}
	in.Entries = append(in.Entries, m.Seq)
	in.ChangedAt = m.At
}

// Concern puts an entry of another room on the timeline of an incident. It does
// nothing if there is no such incident.
func (b *Book) Concern(id string, m Meta) {
	if in := b.incidents[id]; in != nil {
		in.entry(m)
	}
}

// Decided says that a decision was recorded for an incident: containment may
// rest on it. It is on the timeline, too.
func (b *Book) Decided(id string, m Meta) {
	if in := b.incidents[id]; in != nil {
		in.Decisions++
		in.entry(m)
	}
}

// Corrected says where a correction of an incident stands. It is on the timeline,
// too. Free text that names no incident is passed over.
func (b *Book) Corrected(incident, correction string, stands bool, m Meta) {
	if moved := b.of[correction]; moved != "" {
		incident = moved
	}
	in := b.incidents[incident]
	if in == nil {
		return
	}
	b.of[correction] = incident
	i := slices.IndexFunc(in.Corrections, func(c LinkedCorrection) bool { return c.ID == correction })
	if i < 0 {
		i = len(in.Corrections)
		in.Corrections = append(in.Corrections, LinkedCorrection{ID: correction})
	}
	in.Corrections[i].Stands = stands
	in.entry(m)
}

// IncidentOf is the incident that a correction belongs to; "" for none.
func (b *Book) IncidentOf(correction string) string { return b.of[correction] }

// Incident is an incident by its id; nil if there is none. It must not be changed.
func (b *Book) Incident(id string) *Incident { return b.incidents[id] }

// Root is the incident that an incident was merged into at last, or itself; nil
// if there is none.
func (b *Book) Root(id string) *Incident {
	in := b.incidents[id]
	if in == nil {
		return nil
	}
	return b.root(in)
}

func (b *Book) root(in *Incident) *Incident {
	for in.MergedInto != "" { // into an incident that was not merged: there is no circle
		in = b.incidents[in.MergedInto]
	}
	return in
}

// Incidents are all, in the order in which they were opened. The slice must not be changed.
func (b *Book) Incidents() []*Incident { return b.incidentList }

// Case is a triage case by its id; nil if there is none. It must not be changed.
func (b *Book) Case(id string) *Case { return b.cases[id] }

// Cases are all, in the order in which they were opened. The slice must not be changed.
func (b *Book) Cases() []*Case { return b.caseList }

// Signal is a signal by its id; nil if there is none. It must not be changed.
func (b *Book) Signal(id string) *Signal { return b.signals[id] }

// Signals are all, in the order in which they came. The slice must not be changed.
func (b *Book) Signals() []*Signal { return b.signalList }

// NextIncident, NextCase and NextSignal are the ids that come next.
func (b *Book) NextIncident() string { return "i-" + strconv.Itoa(len(b.incidentList)+1) }
func (b *Book) NextCase() string     { return "t-" + strconv.Itoa(len(b.caseList)+1) }
func (b *Book) NextSignal() string   { return "s-" + strconv.Itoa(len(b.signalList)+1) }

// Number is n of an id "x-n"; 0 if it has another form.
func Number(id string) int {
	_, digits, ok := strings.Cut(id, "-")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || strconv.Itoa(n) != digits {
		return 0
	}
	return n
}
