package incident

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
)

// DecisionEvent is the body of an entry about a decision.
type DecisionEvent interface {
	// Type is the entry's type: "decision.opened".
	Type() string
	// Of is the decision, and the incident that it is in.
	Of() (id, incident string)
	// take checks the event. apply, which cannot fail, then takes it in.
	take(b *Decisions, m Meta) (apply func(), err error)
}

// The types of entries about decisions.
const (
	TypeDecisionOpened   = "decision.opened"
	TypeDecisionCompared = "decision.compared"
	TypeDecisionMade     = "decision.made"
	TypeDecisionOverdue  = "decision.overdue"
	TypeDissent          = "decision.dissent"
	TypeCriterion        = "decision.criterion"
)

var decisionReaders = map[string]func(raw jsontext.Value) (DecisionEvent, error){
	TypeDecisionOpened: decisionReader[*DecisionOpened], TypeDecisionCompared: decisionReader[*DecisionCompared], TypeDecisionMade: decisionReader[*DecisionMadeBody],
	TypeDecisionOverdue: decisionReader[*DecisionOverdue], TypeDissent: decisionReader[*Dissented], TypeCriterion: decisionReader[*CriterionTicked],
}

func decisionReader[E DecisionEvent](raw jsontext.Value) (DecisionEvent, error) {
	var e E
	if err := json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if string(raw) == "null" {
		return nil, fmt.Errorf("the body is empty")
	}
	return e, nil
}

// DecisionTypes are the types of entries that Decisions folds.
func DecisionTypes() []string {
	var out []string
	for t := range decisionReaders {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// ReadDecision reads an entry's body; nil if the type is none of a decision.
func ReadDecision(kind string, body jsontext.Value) (DecisionEvent, error) {
	read := decisionReaders[kind]
	if read == nil {
		return nil, nil
	}
	return read(body)
}

// Fold checks an event. apply, which cannot fail, takes it in.
func (b *Decisions) Fold(e DecisionEvent, m Meta) (apply func(), err error) { return e.take(b, m) }

// About is the decision that an event is about.
type About struct {
	ID       string `json:"id"`                 // d-1
	Incident string `json:"incident,omitempty"` // where the decision is in one
}

// Of is the decision, and the incident that it is in.
func (a *About) Of() (id, incident string) { return a.ID, a.Incident }

// on finds the decision.
func (a *About) on(b *Decisions) (*Decision, error) {
	d := b.byID[a.ID]
	if d == nil {
		return nil, notFound("decision", a.ID)
	}
	if d.Incident != a.Incident {
		return nil, wrong("incident", a.ID+" is in another incident")
	}
	return d, nil
}

// undecided finds a decision that can still be made.
func (a *About) undecided(b *Decisions) (*Decision, error) {
	d, err := a.on(b)
	if err == nil && d.State != DecisionOpen {
		e := &Error{Code: CodeState, Detail: fmt.Sprintf("%s was %s by %s at %s: option %d, %s", d.ID, d.State, d.Made.By, d.MadeAt.Format(time.RFC3339), d.Made.Option, d.Option(d.Made.Option).Title)}
		e.Hint = "andon decide show " + d.ID + "; to decide it anew, open another one, or put dissent on record: andon decide dissent " + d.ID
		return nil, e
	}
	return d, err
}

// DecisionOpened opens one.
type DecisionOpened struct {
	About
	Question string       `json:"question"`
	Threat   string       `json:"threat,omitempty"` // that the options answer
	Options  []Option     `json:"options"`
	Default  int          `json:"default"` // option that holds if nobody answers, from 1
	Deadline time.Time    `json:"deadline"`
	Known    string       `json:"known,omitempty"`
	Missing  string       `json:"missing,omitempty"`
	Waiting  string       `json:"cost_of_waiting,omitempty"`
	Roles    []string     `json:"roles,omitempty"` // of who opened it: with no other is the default carried out
	Seen     []Comparison `json:"compared"`
}

// Type is the entry's type.
func (*DecisionOpened) Type() string { return TypeDecisionOpened }

func (e *DecisionOpened) take(b *Decisions, m Meta) (func(), error) {
	if e.ID != b.NextID() {
		return nil, wrong("id", quote(e.ID)+" is not the next one: "+b.NextID())
	}
	if len(b.open) >= MaxOpen {
		return nil, &Error{Code: CodeFull, Detail: fmt.Sprintf("%d decisions are open; decide some first", len(b.open)), Hint: "andon decide ls"}
	}
	if err := e.Check(m.At); err != nil {
		return nil, err
	}
	if len(e.Seen) != len(e.Options) {
		return nil, wrong("compared", "has another number than the options")
	}
	return func() {
		d := &Decision{DecisionOpened: *e, OpenedAt: m.At, OpenedBy: m.Actor, Entry: m.Seq, State: DecisionOpen, Compared: e.Seen, ComparedIn: m.Seq}
		d.Seen = nil
		if b.byID == nil {
			b.byID, b.of = map[string]*Decision{}, map[string]*Decision{}
		}
		b.byID[e.ID] = d
		b.list, b.open = append(b.list, d), append(slices.Clone(b.open), d)
	}, nil
}

// Check says what is wrong with what somebody asks for, before it is compared.
func (e *DecisionOpened) Check(now time.Time) error {
	if err := line("question", e.Question, MaxQuestion); err != nil {
		return err
	}
	if err := optional("threat", e.Threat, MaxName); err != nil {
		return err
	}
	for _, t := range []struct {
		name, text string
		most       int
	}{{"known", e.Known, MaxKnown}, {"missing", e.Missing, MaxKnown}, {"cost_of_waiting", e.Waiting, MaxReason}} {
		if t.text != "" {
			if err := text(t.name, t.text, t.most); err != nil {
				return err
			}
		}
	}
	if err := checkOptions(e.Options); err != nil {
		return err
	}
	if data, err := json.Marshal(e.Options); err != nil || len(data) > MaxOptionsBytes {
		return wrong("options", fmt.Sprintf("have %d bytes; at most %d: name a list instead of its entries", len(data), MaxOptionsBytes))
	}
	if e.Default < 1 || e.Default > len(e.Options) {
		return wrong("default", fmt.Sprintf("%d is no option; 1 to %d", e.Default, len(e.Options)))
	}
	if in := e.Deadline.Sub(now); in < MinDeadline || in > MaxDeadline {
		return wrong("deadline", fmt.Sprintf("is %s from now; 1 minute to 30 days", in.Round(time.Second)))
	}
	return nil
}

// DecisionCompared is the options as they are seen later.
type DecisionCompared struct {
	About
	Seen []Comparison `json:"compared"`
}

// Type is the entry's type.
func (*DecisionCompared) Type() string { return TypeDecisionCompared }

func (e *DecisionCompared) take(b *Decisions, m Meta) (func(), error) {
	d, err := e.undecided(b)
	if err != nil {
		return nil, err
	}
	if len(e.Seen) != len(d.Options) {
		return nil, wrong("compared", "has another number than the options")
	}
	return func() { d.Compared, d.ComparedIn = e.Seen, m.Seq }, nil
}

// DecisionMadeBody is the record: who chose what, under which rule, what was known
// and what was missing, and how the options were seen.
type DecisionMadeBody struct {
	About
	Option      int          `json:"option"`
	By          string       `json:"by"`
	Auto        bool         `json:"auto,omitzero"` // nobody answered in time
	Rationale   string       `json:"rationale"`
	NotNarrower string       `json:"why_not_narrower,omitempty"`
	NotBroader  string       `json:"why_not_broader,omitempty"`
	Known       string       `json:"known,omitempty"`
	Missing     string       `json:"missing,omitempty"`
	Criteria    []string     `json:"criteria,omitempty"` // for lifting what it applies
	ReviewBy    time.Time    `json:"review_by,omitzero"`
	Takes       Takes        `json:"takes"`
	Glass       bool         `json:"break_glass,omitzero"`
	Applied     []string     `json:"applied,omitempty"`
	Lifted      []string     `json:"lifted,omitempty"`
	Seen        []Comparison `json:"compared"`    // every option, as it was seen
	SeenIn      uint64       `json:"compared_in"` // entry that was seen
}

// Type is the entry's type.
func (*DecisionMadeBody) Type() string { return TypeDecisionMade }

func (e *DecisionMadeBody) take(b *Decisions, m Meta) (func(), error) {
	d, err := e.undecided(b)
	if err != nil {
		return nil, err
	}
	if d.Option(e.Option) == nil {
		return nil, wrong("option", fmt.Sprintf("%d is no option of %s; 1 to %d", e.Option, d.ID, len(d.Options)))
	}
	if err := e.Check(m.At); err != nil {
		return nil, err
	}
	if e.By == "" {
		return nil, wrong("by", "missing")
	}
	if len(e.Seen) != len(d.Options) || e.SeenIn != d.ComparedIn {
		return nil, wrong("compared", "is not what was seen last")
	}
	for i, id := range e.Applied {
		if b.of[id] != nil || slices.Contains(e.Applied[:i], id) {
			return nil, wrong("applied", quote(id)+" is of a decision already")
		}
	}
	return func() {
		d.State, d.Made, d.MadeAt, d.MadeIn, d.Overdue = DecisionMade, e, m.At, m.Seq, ""
		if e.Auto {
			d.State = DecisionFell
		}
		d.Compared = e.Seen
		for _, c := range e.Criteria {
			d.Criteria = append(d.Criteria, LiftCriterion{Text: c})
		}
		for _, id := range e.Applied {
			b.of[id] = d
		}
		b.drop(d)
	}, nil
}

// Check says what is wrong with what somebody writes.
func (e *DecisionMadeBody) Check(now time.Time) error {
	if err := text("rationale", e.Rationale, MaxReason); err != nil {
		return err
	}
	for _, t := range []struct {
		name, text string
		most       int
	}{{"why_not_narrower", e.NotNarrower, MaxReason}, {"why_not_broader", e.NotBroader, MaxReason}, {"known", e.Known, MaxKnown}, {"missing", e.Missing, MaxKnown}} {
		if t.text != "" {
			if err := text(t.name, t.text, t.most); err != nil {
				return err
			}
		}
	}
	if err := lines("criteria", e.Criteria, MaxCriteria, MaxCriterion); err != nil {
		return err
	}
	if !e.ReviewBy.IsZero() && (!e.ReviewBy.After(now) || e.ReviewBy.After(now.AddDate(1, 0, 0))) {
		return wrong("review_by", e.ReviewBy.Format(time.RFC3339)+" is not within the year to come")
	}
	return nil
}

// DecisionOverdue says that nobody answered in time, and that the default cannot
// be carried out by itself.
type DecisionOverdue struct {
	About
	Why string `json:"why"`
}

// Type is the entry's type.
func (*DecisionOverdue) Type() string { return TypeDecisionOverdue }

func (e *DecisionOverdue) take(b *Decisions, m Meta) (func(), error) {
	d, err := e.undecided(b)
	if err == nil && (d.Overdue != "" || m.At.Before(d.Deadline)) {
		err = &Error{Code: CodeState, Detail: d.ID + " is not overdue, or is said to be already"}
	}
	if err == nil && e.Why == "" {
		err = wrong("why", "missing")
	}
	return func() { d.Overdue = e.Why }, err
}

// Dissented puts dissent on record.
type Dissented struct {
	About
	Text   string `json:"text"`
	Prefer int    `json:"prefer,omitzero"`
}

// Type is the entry's type.
func (*Dissented) Type() string { return TypeDissent }

func (e *Dissented) take(b *Decisions, m Meta) (func(), error) {
	d, err := e.on(b)
	if err == nil {
		err = text("text", e.Text, MaxReason)
	}
	if err != nil {
		return nil, err
	}
	if e.Prefer != 0 && d.Option(e.Prefer) == nil {
		return nil, wrong("prefer", fmt.Sprintf("%d is no option of %s; 1 to %d", e.Prefer, d.ID, len(d.Options)))
	}
	if len(d.Dissents) >= MaxDissents {
		return nil, &Error{Code: CodeFull, Detail: d.ID + " holds " + strconv.Itoa(MaxDissents) + " words of dissent", Hint: "say it in the incident: andon incident note"}
	}
	return func() {
		d.Dissents = append(d.Dissents, Dissent{m.At, m.Actor, e.Text, e.Prefer, d.State != DecisionOpen, m.Seq})
	}, nil
}

// CriterionTicked says that a criterion for lifting holds, or does not any more.
type CriterionTicked struct {
	About
	Criterion int    `json:"criterion"` // from 1
	Evidence  string `json:"evidence"`
	Unmet     bool   `json:"unmet,omitzero"`
}

// Type is the entry's type.
func (*CriterionTicked) Type() string { return TypeCriterion }

func (e *CriterionTicked) take(b *Decisions, m Meta) (func(), error) {
	d, err := e.on(b)
	if err == nil {
		err = text("evidence", e.Evidence, MaxReason)
	}
	if err != nil {
		return nil, err
	}
	if len(d.Criteria) == 0 {
		return nil, &Error{Code: CodeState, Detail: d.ID + " has no criteria for lifting; they are set as it is decided"}
	}
	if e.Criterion < 1 || e.Criterion > len(d.Criteria) {
		return nil, wrong("criterion", fmt.Sprintf("%d is no criterion of %s; 1 to %d", e.Criterion, d.ID, len(d.Criteria)))
	}
	k := &d.Criteria[e.Criterion-1]
	if e.Unmet == k.MetAt.IsZero() {
		was := "is met already, by " + k.By
		if e.Unmet {
			was = "is not met"
		}
		return nil, &Error{Code: CodeState, Detail: fmt.Sprintf("criterion %d of %s %s", e.Criterion, d.ID, was)}
	}
	return func() {
		k.MetAt, k.By, k.Evidence = m.At, m.Actor, e.Evidence
		if e.Unmet {
			k.MetAt = time.Time{}
		}
	}, nil
}

// NewTakes is what an option takes: before answers what has to be agreed to
// first, after what is ratified once it is in force.
func NewTakes(before authority.Answer, after ...authority.Answer) Takes {
	t := Takes{Rules: slices.Clone(before.Rules), Approvals: before.Approvals, Approvers: before.Approvers, Within: before.Within}
	roles := authority.SetOf(before.Roles...)
	for _, a := range after {
		roles &= authority.SetOf(a.Roles...)
		t.Ratify = max(t.Ratify, a.Approvals)
		for _, r := range a.Rules {
			if !slices.Contains(t.Rules, r) {
				t.Rules = append(t.Rules, r)
			}
		}
	}
	t.Roles = roles.List()
	if t.Approvals == 0 {
		t.Approvers, t.Within = nil, 0
	}
	return t
}
