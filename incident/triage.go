package incident

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Case groups signals under triage: somebody looks at what they mean. It is a
// triage case, t-1; a custody case is another thing.
type Case struct {
	ID       string
	Title    string
	Status   string
	Severity Severity // the highest of what its signals hint at, or what somebody assessed
	assessed bool
	Owner    string
	Marking  *Marking
	Exercise bool
	Signals  []string
	Incident string // what it became
	Closing  string // typed reason
	Of       string // the case that it doubles

	OpenedAt, ChangedAt, ClosedAt time.Time
	OpenedBy                      string
	Entries                       []uint64
}

// The statuses of a case.
const (
	CaseNew      = "new"
	CaseTriaged  = "triaged"
	CasePromoted = "promoted" // it became an incident, or part of one
	CaseDone     = "closed"
)

// CaseStatuses are all.
var CaseStatuses = []string{CaseNew, CaseTriaged, CasePromoted, CaseDone}

// CaseClosings are the typed reasons for closing a case. They measure the source
// of its signals: see Book.Outcomes.
var CaseClosings = []string{"true_positive", "false_positive", "duplicate", "benign", "near_miss", "test", "no_action", "exercise_ended"}

const maxCaseSignals = 1000 // after that another case is opened

func (k *Case) open() bool { return k.Status == CaseNew || k.Status == CaseTriaged }

func (k *Case) entry(m Meta) {
	k.Entries = append(k.Entries, m.Seq)
	k.ChangedAt = m.At
}

// takesIn says whether a case takes in one more signal: while it is open, and
// while what it became is.
func (b *Book) takesIn(k *Case) bool {
	if k == nil || len(k.Signals) >= maxCaseSignals {
		return false
	}
	if k.Status == CasePromoted {
		return b.root(b.incidents[k.Incident]).Status != StatusClosed
	}
	return k.open()
}

func (b *Book) addCase(k *Case) {
	b.cases[k.ID] = k
	b.caseList = append(b.caseList, k)
}

func (k *Case) take(s *Signal) {
	s.Case = k.ID
	k.Signals = append(k.Signals, s.ID)
	if !k.assessed && s.Severity.Worse(k.Severity) {
		k.Severity = s.Severity
	}
}

// become makes the case a part of an incident.
func (k *Case) become(b *Book, in *Incident) {
	k.Status, k.Incident = CasePromoted, in.ID
	in.Cases = append(in.Cases, k.ID)
	for _, id := range k.Signals {
		in.Subject.add(b.signals[id].Subject)
	}
}

// CaseSpec opens a case by hand.
type CaseSpec struct {
	Title    string   `json:"title"`
	Signals  []string `json:"signals,omitempty"` // taken out of their open cases
	Severity Severity `json:"severity,omitempty"`
	Owner    string   `json:"owner,omitempty"`
	Text     string   `json:"text,omitempty"`
	Marking  *Marking `json:"marking,omitempty"`
	Exercise bool     `json:"exercise,omitzero"`
}

// CaseOpened is a case that somebody opened.
type CaseOpened struct {
	Case string `json:"case"`
	CaseSpec
}

// Type is the entry's type.
func (*CaseOpened) Type() string { return "triage.opened" }

func (x *CaseOpened) take(b *Book, m Meta) (func(), error) {
	if err := b.next("case", x.Case, b.NextCase()); err != nil {
		return nil, err
	}
	if err := line("title", x.Title, MaxTitle); err != nil {
		return nil, err
	}
	if x.Severity != "" {
		if err := oneOf("severity", x.Severity, Severities); err != nil {
			return nil, err
		}
	}
	if err := optional("owner", x.Owner, MaxName); err != nil {
		return nil, err
	}
	if x.Text != "" {
		if err := text("text", x.Text, MaxText); err != nil {
			return nil, err
		}
	}
	if err := x.Marking.check("marking"); err != nil {
		return nil, err
	}
	k := &Case{ID: x.Case, Title: x.Title, Status: CaseNew, Severity: x.Severity, assessed: x.Severity != "", Owner: x.Owner, Marking: x.Marking, Exercise: x.Exercise,
		OpenedAt: m.At, OpenedBy: m.Actor}
	move, err := b.moves(k, x.Signals)
	if err != nil {
		return nil, err
	}
	return func() { b.addCase(k); move(m); k.entry(m) }, nil
}

// moves checks that signals can go to a case, and returns what takes them there.
func (b *Book) moves(k *Case, ids []string) (func(Meta), error) {
	if err := lines("signals", ids, maxCaseSignals, MaxName); err != nil {
		return nil, err
	}
	if len(k.Signals)+len(ids) > maxCaseSignals {
		return nil, &Error{Code: CodeFull, Field: "signals", Detail: fmt.Sprintf("%s would have %d signals; at most %d", k.ID, len(k.Signals)+len(ids), maxCaseSignals)}
	}
	for i, id := range ids {
		at, s := fmt.Sprintf("signals[%d]", i), b.signals[id]
		if s == nil {
			return nil, &Error{Code: CodeNotFound, Field: at, Detail: "there is no signal " + quote(id)}
		}
		if s.Exercise != k.Exercise {
			return nil, wrong(at, fmt.Sprintf("an exercise and what is real never meet: %s is %s", id, realOrNot(s.Exercise)))
		}
		if s.Case == k.ID {
			return nil, wrong(at, id+" is in "+k.ID+" already")
		}
		if old := b.cases[s.Case]; !old.open() {
			return nil, &Error{Code: CodeState, Field: at, Detail: id + " belongs to " + old.ID + ", which is " + old.Status}
		}
		if !k.Marking.narrower(s.Marking) {
			return nil, wrong(at, id+" is for fewer people than the case")
		}
	}
	return func(m Meta) {
		for _, id := range ids {
			s := b.signals[id]
			old := b.cases[s.Case]
			old.Signals = slices.DeleteFunc(old.Signals, func(o string) bool { return o == id })
			if n := len(old.Entries); n == 0 || old.Entries[n-1] != m.Seq {
				old.entry(m)
			}
			k.take(s)
		}
	}, nil
}

// caseStep finds an open case.
func (b *Book) openCase(id string) (*Case, error) {
	k := b.cases[id]
	if k == nil {
		return nil, notFound("triage case", id)
	}
	if !k.open() {
		err := &Error{Code: CodeState, Detail: id + " is " + k.Status}
		if k.Status == CaseDone {
			err.Hint = "reopen it first"
		} else {
			err.Hint = "go on in " + k.Incident
		}
		return nil, err
	}
	return k, nil
}

// CaseGrouped takes signals into a case, out of the open cases where they were.
type CaseGrouped struct {
	Case    string   `json:"case"`
	Signals []string `json:"signals"`
}

// Type is the entry's type.
func (*CaseGrouped) Type() string { return "triage.grouped" }

func (x *CaseGrouped) take(b *Book, m Meta) (func(), error) {
	k, err := b.openCase(x.Case)
	if err != nil {
		return nil, err
	}
	if len(x.Signals) == 0 {
		return nil, wrong("signals", "missing: say which signals belong to the case")
	}
	move, err := b.moves(k, x.Signals)
	if err != nil {
		return nil, err
	}
	return func() { move(m); k.entry(m) }, nil
}

// CaseAssessed is what somebody made of a case: it is triaged.
type CaseAssessed struct {
	Case     string   `json:"case"`
	Severity Severity `json:"severity,omitempty"`
	Owner    string   `json:"owner,omitempty"`
	Text     string   `json:"text"`
}

// Type is the entry's type.
func (*CaseAssessed) Type() string { return "triage.assessed" }

func (x *CaseAssessed) take(b *Book, m Meta) (func(), error) {
	k, err := b.openCase(x.Case)
	if err != nil {
		return nil, err
	}
	if x.Severity != "" {
		if err := oneOf("severity", x.Severity, Severities); err != nil {
			return nil, err
		}
	}
	if err := optional("owner", x.Owner, MaxName); err != nil {
		return nil, err
	}
	if err := text("text", x.Text, MaxText); err != nil {
		return nil, err
	}
	return func() {
		k.Status = CaseTriaged
		if x.Severity != "" {
			k.Severity, k.assessed = x.Severity, true
		}
		if x.Owner != "" {
			k.Owner = x.Owner
		}
		k.entry(m)
	}, nil
}

// CaseClosed closes a case that becomes no incident.
type CaseClosed struct {
	Case   string `json:"case"`
	Reason string `json:"reason"` // typed: see CaseClosings
	Text   string `json:"text"`
	Of     string `json:"of,omitempty"` // the case that it doubles
}

// Type is the entry's type.
func (*CaseClosed) Type() string { return "triage.closed" }

func (x *CaseClosed) take(b *Book, m Meta) (func(), error) {
	k, err := b.openCase(x.Case)
	if err != nil {
		return nil, err
	}
	if err := oneOf("reason", x.Reason, CaseClosings); err != nil {
		return nil, err
	}
	if (x.Reason == "exercise_ended") && !k.Exercise {
		return nil, wrong("reason", k.ID+" is real", CaseClosings[:len(CaseClosings)-1]...)
	}
	if err := text("text", x.Text, MaxText); err != nil {
		return nil, err
	}
	if (x.Reason == "duplicate") != (x.Of != "") {
		return nil, wrong("of", "the reason duplicate names the other case in of, and no other reason does")
	}
	if x.Of != "" {
		o := b.cases[x.Of]
		if o == nil {
			return nil, &Error{Code: CodeNotFound, Field: "of", Detail: "there is no triage case " + quote(x.Of)}
		}
		if o.Exercise != k.Exercise {
			return nil, wrong("of", "an exercise and what is real never meet")
		}
		for ; o != nil; o = b.cases[o.Of] {
			if o == k {
				return nil, wrong("of", quote(x.Of)+" leads back to "+k.ID)
			}
		}
	}
	return func() {
		k.Status, k.Closing, k.Of, k.ClosedAt = CaseDone, x.Reason, x.Of, m.At
		k.entry(m)
	}, nil
}

// CaseReopened takes a closed case up again.
type CaseReopened struct {
	Case   string `json:"case"`
	Reason string `json:"reason"`
}

// Type is the entry's type.
func (*CaseReopened) Type() string { return "triage.reopened" }

func (x *CaseReopened) take(b *Book, m Meta) (func(), error) {
	k := b.cases[x.Case]
	if k == nil {
		return nil, notFound("triage case", x.Case)
	}
	if k.Status != CaseDone {
		return nil, &Error{Code: CodeState, Detail: k.ID + " is " + k.Status + ", not closed"}
	}
	if err := text("reason", x.Reason, MaxReason); err != nil {
		return nil, err
	}
	return func() {
		k.Status, k.Closing, k.Of, k.ClosedAt = CaseTriaged, "", "", time.Time{}
		k.entry(m)
	}, nil
}

// CaseJoined makes a case part of an incident that is there already.
type CaseJoined struct {
	Case     string `json:"case"`
	Incident string `json:"incident"`
	Reason   string `json:"reason"`
}

// Type is the entry's type.
func (*CaseJoined) Type() string { return "triage.joined" }

func (x *CaseJoined) take(b *Book, m Meta) (func(), error) {
	k, err := b.openCase(x.Case)
	if err != nil {
		return nil, err
	}
	in := b.incidents[x.Incident]
	if in == nil {
		return nil, &Error{Code: CodeNotFound, Field: "incident", Detail: "there is no incident " + quote(x.Incident)}
	}
	if in.Status == StatusClosed {
		return nil, &Error{Code: CodeState, Field: "incident", Detail: in.ID + " is closed", Hint: "reopen it, or open another incident"}
	}
	if k.Exercise != (in.Kind == Exercise) {
		return nil, wrong("incident", fmt.Sprintf("an exercise and what is real never meet: case %s is %s", k.ID, realOrNot(k.Exercise)))
	}
	if len(in.Cases) >= maxCasesOfOne {
		return nil, &Error{Code: CodeFull, Field: "incident", Detail: fmt.Sprintf("%s has %d cases; that is the most", in.ID, maxCasesOfOne)}
	}
	if err := text("reason", x.Reason, MaxReason); err != nil {
		return nil, err
	}
	return func() {
		k.become(b, in)
		k.entry(m)
		in.entry(m)
		in.firstSignal(b, m)
	}, nil
}

// Outcome is how often a source was right. Exercises are not counted.
type Outcome struct {
	Source    string         `json:"source"`
	Type      string         `json:"type"`
	Signals   int            `json:"signals"`
	Repeats   int            `json:"repeats"`
	Cases     int            `json:"cases"`
	Open      int            `json:"open"`
	Promoted  int            `json:"promoted"` // to incidents that stand
	Closed    map[string]int `json:"closed"`   // by typed reason, of the case or of its incident
	Precision *float64       `json:"precision,omitempty"`
}

// Outcomes measures the sources by what became of their cases, as far as sees
// lets a case in. Precision is the share of true positives (what became an
// incident or a near miss, or was closed as true) among what was judged.
func (b *Book) Outcomes(sees func(*Case) bool) []Outcome {
	type key struct{ source, kind string }
	by := map[key]*Outcome{}
	good, judged := map[key]int{}, map[key]int{}
	for _, k := range b.caseList {
		if k.Exercise || !sees(k) {
			continue
		}
		seen := map[key]bool{}
		for _, id := range k.Signals {
			s := b.signals[id]
			at := key{s.Source, s.Type}
			o := by[at]
			if o == nil {
				o = &Outcome{Source: s.Source, Type: s.Type, Closed: map[string]int{}}
				by[at] = o
			}
			o.Signals++
			o.Repeats += s.Count - 1
			if seen[at] {
				continue
			}
			seen[at] = true
			o.Cases++
			reason := k.Closing
			if k.Status == CasePromoted {
				reason = b.root(b.incidents[k.Incident]).Closing
			}
			switch {
			case reason != "":
				o.Closed[reason]++
			case k.Status == CasePromoted:
				o.Promoted++
			default:
				o.Open++
				continue
			}
			switch reason {
			case "", "true_positive", CloseNearMiss, CloseResolved, CloseNoAction:
				if reason == CloseNoAction && k.Status != CasePromoted {
					continue // nobody judged it
				}
				good[at]++
				judged[at]++
			case CloseFalsePositive, CloseBenign:
				judged[at]++
			}
		}
	}
	out := make([]Outcome, 0, len(by))
	for at, o := range by {
		if n := judged[at]; n > 0 {
			p := float64(good[at]) / float64(n)
			o.Precision = &p
		}
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b Outcome) int { return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Type, b.Type)) })
	return out
}

// Pattern is a kind of near miss, with the incidents that follow it.
type Pattern struct {
	Pattern   string   `json:"pattern"`
	Count     int      `json:"count"`
	Barriers  []string `json:"barriers"`
	Incidents []string `json:"incidents"`
	LastAt    string   `json:"last_at"`
}

// NearMisses are the near misses by their pattern, the most frequent first, as
// far as sees lets an incident in. Exercises are not counted.
func (b *Book) NearMisses(sees func(*Incident) bool) []Pattern {
	by := map[string]*Pattern{}
	for _, in := range b.incidentList {
		if in.NearMiss == nil || in.Kind == Exercise || in.MergedInto != "" || !sees(in) {
			continue
		}
		p := by[in.NearMiss.Pattern]
		if p == nil {
			p = &Pattern{Pattern: in.NearMiss.Pattern}
			by[in.NearMiss.Pattern] = p
		}
		p.Count++
		p.Incidents = append(p.Incidents, in.ID)
		p.LastAt = in.OpenedAt.UTC().Format(time.RFC3339)
		if !slices.Contains(p.Barriers, in.NearMiss.Barrier) {
			p.Barriers = append(p.Barriers, in.NearMiss.Barrier)
		}
	}
	out := make([]Pattern, 0, len(by))
	for _, p := range by {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Pattern) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Pattern, b.Pattern))
	})
	return out
}
