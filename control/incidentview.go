package control

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/incident"
)

// incidentRow is an incident as lists show it.
type incidentRow struct {
	ID          string             `json:"id"`
	Title       string             `json:"title"`
	Kind        incident.Kind      `json:"kind"`
	Entry       string             `json:"entry"`
	Status      incident.Status    `json:"status"`
	Severity    incident.Severity  `json:"severity"`
	Assumed     bool               `json:"severity_assumed,omitempty"`
	Lead        string             `json:"commander,omitempty"`
	OpenedAt    time.Time          `json:"opened_at"`
	OpenedBy    string             `json:"opened_by"`
	ChangedAt   time.Time          `json:"changed_at"`
	ClosedAt    time.Time          `json:"closed_at,omitzero"`
	Closing     string             `json:"closing,omitempty"` // typed reason
	FirstSignal time.Time          `json:"first_signal_at,omitzero"`
	Subject     incident.Subject   `json:"subject"`
	TLP         incident.TLP       `json:"tlp"`
	Restricted  bool               `json:"restricted"` // there is a list of who needs to know
	InForce     int                `json:"corrections_in_force"`
	NearMiss    *incident.NearMiss `json:"near_miss,omitempty"`
	MergedInto  string             `json:"merged_into,omitempty"`
}

// incidentView is an incident as it is shown to one reader.
type incidentView struct {
	incidentRow
	Harm        []incident.Fact       `json:"harm"`
	Need        *incident.Need        `json:"need_to_know,omitempty"`
	Roles       []incident.RoleHeld   `json:"roles"`
	Times       []incident.TimeHeld   `json:"times"`
	Warnings    []string              `json:"time_warnings"`
	Hypotheses  []incident.Hypothesis `json:"hypotheses"`
	Tasks       []incident.Task       `json:"tasks"`
	Attachments []attachmentView      `json:"attachments"`
	Corrections []incidentCorrection  `json:"corrections"`
	Decisions   int                   `json:"decisions"`
	Cases       []string              `json:"cases"`
	Signals     int                   `json:"signals"`
	Merged      []string              `json:"merged"`
	SplitFrom   string                `json:"split_from,omitempty"`
	Splits      []string              `json:"splits"`
	DuplicateOf string                `json:"duplicate_of,omitempty"`
	Entries     int                   `json:"entries"` // of the timeline, that the reader may read
	Next        []incident.Status     `json:"next"`    // statuses that can follow
	Missing     []string              `json:"missing"` // before it can be closed
}

type attachmentView struct {
	incident.Attachment
	TLP      incident.TLP `json:"tlp"`
	Incident string       `json:"incident"` // where it was attached
}

// incidentCorrection is a correction of an incident.
type incidentCorrection struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Says     string `json:"says"`
	State    string `json:"state"`
	Owner    string `json:"owner,omitempty"`    // after the incident is closed
	Incident string `json:"incident,omitempty"` // which of the merged ones
}

func (s *state) rowOf(in *incident.Incident) incidentRow {
	v := incidentRow{ID: in.ID, Title: in.Title, Kind: in.Kind, Entry: in.Entry, Status: in.Status, Severity: in.Severity, Assumed: in.Assumed, Lead: in.Lead(),
		OpenedAt: in.OpenedAt, OpenedBy: in.OpenedBy, ChangedAt: in.ChangedAt, ClosedAt: in.ClosedAt, Closing: in.Closing, Subject: in.Subject,
		TLP: in.Marking.Label(), Restricted: in.Marking != nil && in.Marking.Need != nil, NearMiss: in.NearMiss, MergedInto: in.MergedInto}
	if t, ok := in.Time("first_signal_at"); ok {
		v.FirstSignal = t.Value
	}
	for _, f := range s.book().Family(in.ID) {
		for _, c := range f.Corrections {
			if c.Stands {
				v.InForce++
			}
		}
	}
	return v
}

// viewIncident shows an incident to a reader who may see it. What was merged into
// it is shown as far as the reader may see that. The caller holds mu.
func (c *Control) viewIncident(r incident.Reader, in *incident.Incident) incidentView {
	s := c.state
	b := s.book()
	sees := func(id string) bool { return b.Sees(r, b.Incident(id)) }
	seen := func(ids []string) []string {
		out := []string{}
		for _, id := range ids {
			if sees(id) {
				out = append(out, id)
			}
		}
		return out
	}
	v := incidentView{incidentRow: s.rowOf(in), Harm: in.Harm, Roles: slices.Clone(in.Roles), Warnings: in.TimeWarnings(c.cfg.Now()), Hypotheses: slices.Clone(in.Hypotheses),
		Tasks: slices.Clone(in.Tasks), Decisions: in.Decisions, Merged: seen(in.Merged), Splits: seen(in.Splits), Next: incident.Next[in.Status]}
	if in.Marking != nil {
		v.Need = in.Marking.Need
	}
	if !sees(in.MergedInto) {
		v.MergedInto = ""
	}
	if sees(in.SplitFrom) {
		v.SplitFrom = in.SplitFrom
	}
	if sees(in.DuplicateOf) {
		v.DuplicateOf = in.DuplicateOf
	}
	for _, t := range in.Times {
		v.Times = append(v.Times, incident.TimeHeld{Name: t.Name, History: slices.Clone(t.History)})
	}
	slices.SortFunc(v.Times, func(a, b incident.TimeHeld) int {
		return slices.Index(incident.TimeNames, a.Name) - slices.Index(incident.TimeNames, b.Name)
	})
	early := c.early()
	for _, f := range b.Family(in.ID) {
		if !b.Sees(r, f) {
			continue
		}
		from := ""
		if f != in {
			from = f.ID
			v.Decisions += f.Decisions
		}
		for _, a := range f.Attachments {
			m := f.MarkingOf(a.Entry)
			if !f.Reads(r, a.Entry) {
				continue
			}
			tlp := v.TLP
			if m != nil && m.TLP != "" {
				tlp = m.TLP
			}
			v.Attachments = append(v.Attachments, attachmentView{a, tlp, f.ID})
		}
		for _, l := range f.Corrections {
			x := incidentCorrection{ID: l.ID, Owner: l.Owner, Incident: from}
			if rec := s.corrections[l.ID]; rec != nil {
				x.Kind, x.Says, x.State = string(rec.Kind), correctionFully(&rec.Correction), rec.stateAt(early)
			}
			v.Corrections = append(v.Corrections, x)
		}
		for _, id := range f.Cases {
			if k := b.Case(id); b.SeesCase(r, k) {
				v.Cases = append(v.Cases, id)
				v.Signals += len(k.Signals)
			}
		}
		for _, seq := range f.Entries {
			if b.Tells(r, f, seq) {
				v.Entries++
			}
		}
	}
	if in.Status != incident.StatusClosed {
		v.Missing = b.Open(in, nil)
	}
	return v
}

// caseRow is a triage case as the API shows it.
type triageView struct {
	ID        string            `json:"id"`
	Title     string            `json:"title"`
	Status    string            `json:"status"`
	Severity  incident.Severity `json:"severity,omitempty"`
	Owner     string            `json:"owner,omitempty"`
	TLP       incident.TLP      `json:"tlp"`
	Need      *incident.Need    `json:"need_to_know,omitempty"`
	Exercise  bool              `json:"exercise,omitempty"`
	Signals   []signalView      `json:"signals,omitempty"` // the latest first, at most 100; not in lists
	Count     int               `json:"signal_count"`
	Repeats   int               `json:"repeats"`
	Incident  string            `json:"incident,omitempty"`
	Closing   string            `json:"closing,omitempty"`
	Of        string            `json:"of,omitempty"`
	OpenedAt  time.Time         `json:"opened_at"`
	OpenedBy  string            `json:"opened_by"`
	ChangedAt time.Time         `json:"changed_at"`
	ClosedAt  time.Time         `json:"closed_at,omitzero"`
	Entries   []timelineEntry   `json:"timeline,omitempty"` // the last 100; not in lists
}

// signalView is a signal as the API shows it.
type signalView struct {
	ID         string            `json:"id"`
	Type       string            `json:"type"`
	Source     string            `json:"source"`
	Title      string            `json:"title"`
	Severity   incident.Severity `json:"severity,omitempty"`
	Subject    incident.Subject  `json:"subject"`
	ObservedAt time.Time         `json:"observed_at"`
	Dedup      string            `json:"dedup_key,omitempty"`
	TLP        incident.TLP      `json:"tlp"`
	Need       *incident.Need    `json:"need_to_know,omitempty"`
	Exercise   bool              `json:"exercise,omitempty"`
	At         time.Time         `json:"received_at"`
	LastAt     time.Time         `json:"last_at"`
	Count      int               `json:"count"` // how often it came
	By         string            `json:"by"`
	Case       string            `json:"case,omitempty"`
	Entry      uint64            `json:"entry"`
	Text       string            `json:"text,omitempty"` // not in lists
	Data       jsontext.Value    `json:"data,omitempty"` // not in lists
}

// viewSignal shows a signal; its case only to whom may see that.
func (s *state) viewSignal(r incident.Reader, x *incident.Signal) signalView {
	v := signalView{ID: x.ID, Type: x.Type, Source: x.Source, Title: x.Title, Severity: x.Severity, Subject: x.Subject, ObservedAt: x.ObservedAt, Dedup: x.Dedup, TLP: x.Marking.Label(),
		Exercise: x.Exercise, At: x.At, LastAt: x.LastAt, Count: x.Count, By: x.By, Entry: x.Entry}
	if x.Marking != nil {
		v.Need = x.Marking.Need
	}
	if s.book().SeesCase(r, s.book().Case(x.Case)) {
		v.Case = x.Case
	}
	return v
}

const shownSignals = 100

// viewTriage shows a case; whole says whether with its signals.
func (s *state) viewTriage(r incident.Reader, k *incident.Case, whole bool) triageView {
	b := s.book()
	v := triageView{ID: k.ID, Title: k.Title, Status: k.Status, Severity: k.Severity, Owner: k.Owner, TLP: k.Marking.Label(), Exercise: k.Exercise, Incident: k.Incident, Closing: k.Closing,
		OpenedAt: k.OpenedAt, OpenedBy: k.OpenedBy, ChangedAt: k.ChangedAt, ClosedAt: k.ClosedAt}
	if k.Marking != nil {
		v.Need = k.Marking.Need
	}
	if b.SeesCase(r, b.Case(k.Of)) {
		v.Of = k.Of
	}
	for i := len(k.Signals) - 1; i >= 0; i-- {
		x := b.Signal(k.Signals[i])
		if !b.SeesSignal(r, x) {
			continue
		}
		v.Count++
		v.Repeats += x.Count - 1
		if whole && len(v.Signals) < shownSignals {
			v.Signals = append(v.Signals, s.viewSignal(r, x))
		}
	}
	return v
}

// worst orders incidents for people: what is not over first, the worst first,
// then the youngest.
func worst(a, b *incident.Incident) int {
	over := func(in *incident.Incident) int {
		if in.Status == incident.StatusClosed {
			return 1
		}
		return 0
	}
	return cmp.Or(over(a)-over(b), cmp.Compare(a.Severity, b.Severity), incident.Number(b.ID)-incident.Number(a.ID))
}
