package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Incident is the header of an incident: what lists and rules need. Its texts
// are in the ledger, by the numbers in Entries.
type Incident struct {
	ID       string
	Title    string
	Kind     Kind
	Entry    string // how it came in: finding or under_way
	Status   Status
	Severity Severity
	Lowered  Severity // the worst that it was said to be and is no more; "" if it was never lowered
	Assumed  bool     // nobody gave a severity or a fact: it is the higher of what is likely
	Harm     []Fact   // without their texts
	Subject  Subject
	Marking  *Marking

	OpenedAt, ChangedAt, ClosedAt time.Time
	OpenedBy                      string
	Closing                       string // typed reason
	DuplicateOf                   string

	Roles       []RoleHeld
	Times       []TimeHeld
	Hypotheses  []Hypothesis
	Tasks       []Task
	Attachments []Attachment
	Corrections []LinkedCorrection
	Decisions   int
	NearMiss    *NearMiss // without its text

	Cases      []string
	MergedInto string
	Merged     []string // incidents that were merged into it
	SplitFrom  string
	Splits     []string

	Entries []uint64          // the timeline, in order
	marked  map[uint64]marked // entries that have a marking of their own
	names   map[uint64]string // entries that name another incident
	stored  int64             // bytes of attachments
}

// Kind says whether an incident is real. It never changes.
type Kind string

// The kinds.
const (
	Real     Kind = "incident"
	Exercise Kind = "exercise"
)

// How an incident came in.
const (
	EntryFinding  = "finding"   // a finding, with no harm yet
	EntryUnderWay = "under_way" // an incident that is under way
)

// Subject is what a signal, a case or an incident is about.
type Subject struct {
	Models   []string `json:"models,omitempty"`
	Orgs     []string `json:"orgs,omitempty"`
	Surfaces []string `json:"surfaces,omitempty"`
	Threats  []string `json:"threats,omitempty"` // ids of the plan
}

const maxSubject = 50 // values in each list

func (s *Subject) check(field string) error {
	for _, l := range []struct {
		name   string
		values []string
	}{{"models", s.Models}, {"orgs", s.Orgs}, {"surfaces", s.Surfaces}, {"threats", s.Threats}} {
		if err := lines(field+"."+l.name, l.values, maxSubject, MaxName); err != nil {
			return err
		}
	}
	return nil
}

// add puts in what another subject has; what is too much is left out.
func (s *Subject) add(o Subject) {
	for _, l := range []struct{ to, from *[]string }{{&s.Models, &o.Models}, {&s.Orgs, &o.Orgs}, {&s.Surfaces, &o.Surfaces}, {&s.Threats, &o.Threats}} {
		for _, v := range *l.from {
			if !slices.Contains(*l.to, v) && len(*l.to) < maxSubject {
				*l.to = append(slices.Clip(*l.to), v)
			}
		}
	}
}

// LinkedCorrection is a correction that names the incident.
type LinkedCorrection struct {
	ID     string `json:"id"`
	Stands bool   `json:"in_force"`
	Owner  string `json:"owner,omitempty"` // the operator who answers for it after the incident is closed
}

// OpenSpec opens an incident.
type OpenSpec struct {
	Title     string   `json:"title"`
	Kind      Kind     `json:"kind,omitempty"`  // incident (default) or exercise; never changes
	Entry     string   `json:"entry,omitempty"` // under_way (default) or finding
	Severity  Severity `json:"severity,omitempty"`
	Harm      []Fact   `json:"harm,omitempty"`
	Text      string   `json:"text,omitempty"`
	Subject   Subject  `json:"subject,omitzero"`
	Marking   *Marking `json:"marking,omitempty"`
	Cases     []string `json:"cases,omitempty"`     // triage cases that it comes of
	Commander string   `json:"commander,omitempty"` // default: who opens it
}

// Opened is a new incident.
type Opened struct {
	Incident string `json:"incident"`
	OpenSpec
}

// Type is the entry's type.
func (*Opened) Type() string { return "incident.opened" }

const maxCasesOfOne = 100

func (x *OpenSpec) check() error {
	if err := line("title", x.Title, MaxTitle); err != nil {
		return err
	}
	if x.Kind != "" {
		if err := oneOf("kind", x.Kind, []Kind{Real, Exercise}); err != nil {
			return err
		}
	}
	if x.Entry != "" {
		if err := oneOf("entry", x.Entry, []string{EntryFinding, EntryUnderWay}); err != nil {
			return err
		}
	}
	if x.Severity != "" {
		if err := oneOf("severity", x.Severity, Severities); err != nil {
			return err
		}
	}
	if err := checkFacts("harm", x.Harm); err != nil {
		return err
	}
	if floor := FloorOf(x.Harm); x.Severity != "" && floor.Worse(x.Severity) {
		return wrong("severity", fmt.Sprintf("%s is below what the facts of harm say, which is %s", x.Severity, floor), names(Severities[:slices.Index(Severities, floor)+1])...)
	}
	if x.Text != "" {
		if err := text("text", x.Text, MaxText); err != nil {
			return err
		}
	}
	if err := x.Subject.check("subject"); err != nil {
		return err
	}
	if err := optional("commander", x.Commander, MaxName); err != nil {
		return err
	}
	if err := x.Marking.check("marking"); err != nil {
		return err
	}
	return lines("cases", x.Cases, maxCasesOfOne, MaxName)
}

func (x *Opened) take(b *Book, m Meta) (func(), error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	if err := b.next("incident", x.Incident, b.NextIncident()); err != nil {
		return nil, err
	}
	in := x.make(x.Incident, m)
	var cases []*Case
	for i, id := range x.Cases {
		k := b.cases[id]
		if k == nil {
			return nil, notFound("triage case", id)
		}
		if !k.open() {
			return nil, &Error{Code: CodeState, Field: fmt.Sprintf("cases[%d]", i), Detail: id + " is " + k.Status + "; only an open case becomes an incident"}
		}
		if k.Exercise != (in.Kind == Exercise) {
			return nil, wrong("kind", fmt.Sprintf("an exercise and what is real never meet: case %s is %s", id, realOrNot(k.Exercise)), string(kindOf(k.Exercise)))
		}
		cases = append(cases, k)
	}
	for _, k := range cases {
		if in.Marking == nil && k.Marking != nil {
			in.Marking = k.Marking // what was restricted stays so, unless somebody says otherwise
		}
		if k.Severity.Worse(in.Severity) && x.Severity == "" || in.Assumed && k.Severity != "" {
			in.Severity, in.Assumed = k.Severity, false
		}
	}
	if floor := FloorOf(in.Harm); floor.Worse(in.Severity) {
		in.Severity = floor
	}
	return func() {
		b.add(in, m)
		for _, k := range cases {
			k.become(b, in)
			k.entry(m)
		}
		in.firstSignal(b, m)
	}, nil
}

// make is the incident as it is opened.
func (x *OpenSpec) make(id string, m Meta) *Incident {
	in := &Incident{ID: id, Title: x.Title, Kind: x.Kind, Entry: x.Entry, Status: StatusOpen, Severity: x.Severity, Harm: withFacts(nil, x.Harm),
		Subject: x.Subject, Marking: x.Marking, OpenedAt: m.At, OpenedBy: m.Actor}
	if in.Kind == "" {
		in.Kind = Real
	}
	if in.Entry == "" {
		in.Entry = EntryUnderWay
	}
	if in.Severity == "" {
		in.Severity = FloorOf(in.Harm)
	}
	if in.Severity == "" { // when unsure, the higher
		in.Severity, in.Assumed = Sev2, true
		if in.Entry == EntryFinding {
			in.Severity = Sev3
		}
	}
	commander := x.Commander
	if commander == "" {
		commander = m.Actor
	}
	in.Roles = []RoleHeld{{Role: Commander, Operator: commander, From: m.At, By: m.Actor}}
	in.auto("aware_at", m.At, "estimated", "when it was opened; a person says when it was known", m)
	return in
}

// add puts a new incident into the book.
func (b *Book) add(in *Incident, m Meta) {
	b.incidents[in.ID] = in
	b.incidentList = append(b.incidentList, in)
	in.entry(m)
}

// next checks the id of something new.
func (b *Book) next(field, got, want string) error {
	if got != want {
		return wrong(field, quote(got)+" is not the id that comes next", want)
	}
	return nil
}

func realOrNot(exercise bool) string {
	if exercise {
		return "an exercise"
	}
	return "real"
}

func kindOf(exercise bool) Kind {
	if exercise {
		return Exercise
	}
	return Real
}

// Described corrects the title, or what the incident is about.
type Described struct {
	Title   string   `json:"title,omitempty"`
	Subject *Subject `json:"subject,omitempty"`
}

func (Described) kind() string { return "incident.described" }

func (x Described) step(_ *Book, in *Incident, m Meta) (func(), error) {
	if x.Title == "" && x.Subject == nil {
		return nil, wrong("title", "missing: give a title, or a subject, or both")
	}
	if err := optional("title", x.Title, MaxTitle); err != nil {
		return nil, err
	}
	if x.Subject != nil {
		if err := x.Subject.check("subject"); err != nil {
			return nil, err
		}
	}
	return func() {
		if x.Title != "" {
			in.Title = x.Title
		}
		if x.Subject != nil {
			in.Subject = *x.Subject
		}
	}, nil
}

// NearMiss says why no harm came of it, and which pattern it follows.
type NearMiss struct {
	Barrier string `json:"barrier"` // what stopped it, in a few words
	Pattern string `json:"pattern"` // what kind of near miss: "filter caught it"
	Text    string `json:"text,omitempty"`
}

func (NearMiss) kind() string { return "incident.near_miss" }

func (x NearMiss) step(_ *Book, in *Incident, _ Meta) (func(), error) {
	if err := line("barrier", x.Barrier, MaxTitle); err != nil {
		return nil, err
	}
	if err := line("pattern", x.Pattern, MaxTitle); err != nil {
		return nil, err
	}
	if x.Text != "" {
		if err := text("text", x.Text, MaxText); err != nil {
			return nil, err
		}
	}
	if floor := FloorOf(in.Harm); floor.Worse(Sev4) {
		return nil, &Error{Code: CodeState, Detail: in.ID + " holds facts of harm of " + string(floor) + "; a near miss has done none", Hint: "rule the facts out first, with a reason"}
	}
	x.Pattern = strings.ToLower(x.Pattern)
	return func() { in.NearMiss = &NearMiss{Barrier: x.Barrier, Pattern: x.Pattern} }, nil
}

// Marked changes how far an incident, or one of its entries, may go.
type Marked struct {
	Marking *Marking `json:"marking"`
	Entry   *uint64  `json:"entry,omitempty"`  // one entry of the timeline; missing: the incident
	Reason  string   `json:"reason,omitempty"` // needed to loosen
}

func (Marked) kind() string { return "incident.marked" }

func (x Marked) step(_ *Book, in *Incident, _ Meta) (func(), error) {
	if x.Marking == nil {
		return nil, wrong("marking", "missing: give tlp, or need_to_know, or both")
	}
	if err := x.Marking.check("marking"); err != nil {
		return nil, err
	}
	old := in.Marking
	if x.Entry != nil {
		if _, ok := slices.BinarySearch(in.Entries, *x.Entry); !ok {
			return nil, &Error{Code: CodeNotFound, Field: "entry", Detail: fmt.Sprintf("entry %d is not on the timeline of %s", *x.Entry, in.ID)}
		}
		old = in.marked[*x.Entry].Marking
	}
	if old.loosens(x.Marking) || x.Reason != "" {
		if err := text("reason", x.Reason, MaxReason); err != nil {
			return nil, err
		}
	}
	return func() {
		if x.Entry == nil {
			in.Marking = x.Marking
			return
		}
		in.mark(*x.Entry, x.Marking, in.marked[*x.Entry].by)
	}, nil
}

// marked is the marking of an entry, and who wrote the entry: what somebody
// wrote is not hidden from them.
type marked struct {
	*Marking
	by string
}

func (in *Incident) mark(seq uint64, m *Marking, by string) {
	if m == nil {
		return
	}
	if in.marked == nil {
		in.marked = map[uint64]marked{}
	}
	in.marked[seq] = marked{m, by}
}

// MarkingOf is the marking of one entry of its own; nil if it has none.
func (in *Incident) MarkingOf(seq uint64) *Marking { return in.marked[seq].Marking }

// Reads says whether a reader who sees the incident may read one entry of it.
func (in *Incident) Reads(r Reader, seq uint64) bool {
	m, ok := in.marked[seq]
	return !ok || m.Allows(r) || m.by == r.ID
}

// Tells is Reads, for somebody who may not know of every incident: an entry that
// names another one, such as a merge, is for those who may know of that, too.
func (b *Book) Tells(r Reader, in *Incident, seq uint64) bool {
	other := b.incidents[in.names[seq]]
	return in.Reads(r, seq) && (other == nil || b.Sees(r, other))
}

// Matches says whether every word, in lower case, stands in the header: id,
// title, subject, kind, status, severity.
func (in *Incident) Matches(words []string) bool {
	for _, w := range words {
		has := func(s string) bool { return strings.Contains(strings.ToLower(s), w) }
		if !(has(in.Title) || in.ID == w || strings.EqualFold(string(in.Severity), w) || string(in.Status) == w || slices.ContainsFunc(in.Subject.Models, has) ||
			slices.ContainsFunc(in.Subject.Orgs, has) || slices.ContainsFunc(in.Subject.Threats, has) || slices.ContainsFunc(in.Subject.Surfaces, has) ||
			in.NearMiss != nil && (has(in.NearMiss.Pattern) || has(in.NearMiss.Barrier))) {
			return false
		}
	}
	return true
}

// name says that an entry of the timeline names another incident.
func (in *Incident) name(seq uint64, other string) {
	if in.names == nil {
		in.names = map[uint64]string{}
	}
	in.names[seq] = other
}
