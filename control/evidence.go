package control

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

// This room holds evidence: what models were, and what was done with them, as
// something altered them. A snapshot is one canonical JSON document in a store of
// its own; the ledger has its SHA-256. It is on the disk before its entry is
// written, so an entry without a document cannot be; a document without an entry
// is what a crash has left, and nobody is shown it.
//
// Nothing waits for evidence. A command that alters the system writes, in its own
// transaction, that a snapshot is due, or that it was skipped and why. Gateways
// hold on to what stood immediately before each order; it is fetched afterwards.
// What nobody commands, the clerk sees coming: see evidencestep.go.

const (
	typeEvidenceDue     = "evidence.due"
	typeEvidenceSealed  = "evidence.sealed"
	typeEvidenceSkipped = "evidence.skipped"
	typeEvidenceMissed  = "evidence.missed"
)

// The states of an evidence.
const (
	evidenceIsDue     = "due"
	evidenceIsSealed  = "sealed"
	evidenceIsSkipped = "skipped"
	evidenceIsMissed  = "missed"
)

var evidenceStates = []string{evidenceIsDue, evidenceIsSealed, evidenceIsSkipped, evidenceIsMissed}

const (
	maxEvidenceModels  = 100
	maxEvidenceMissing = 1000 // that an entry names; the document has all
)

type evidenceState struct {
	list  []*evidence // by number: e-1 is the first
	due   []*evidence
	steps map[stepID]*evidence // of runs
	ends  map[string]*evidence // the latest before a correction ends by itself
}

// evidence is a snapshot: one that is due, that is sealed, that somebody skipped,
// or that could not be taken in time.
type evidence struct {
	ID          string        `json:"id"`
	State       string        `json:"state"`
	Incident    string        `json:"incident,omitempty"`
	Models      []string      `json:"models"` // empty: all
	Corrections []string      `json:"corrections"`
	Before      uint64        `json:"before_revision,omitempty"` // the order before which it is; 0: as it stood when it was taken
	Ends        time.Time     `json:"before_end,omitzero"`       // the corrections end by themselves then
	Run         string        `json:"run,omitempty"`             // of a playbook, whose step takes it
	Step        string        `json:"step,omitempty"`
	Reason      string        `json:"reason"`
	By          string        `json:"by"` // whose act brought it
	At          time.Time     `json:"at"`
	SHA256      string        `json:"sha256,omitempty"`
	Size        int64         `json:"size,omitempty"`
	SealedAt    time.Time     `json:"sealed_at,omitzero"`
	Asked       int           `json:"points_asked"`
	Answered    int           `json:"points_answered"`
	Missing     []evidenceGap `json:"missing"`
	First       uint64        `json:"first_entry"` // of the ledger
	Entry       uint64        `json:"entry"`       // of the ledger: the newest about it

	from uint64 // entry before which it is
}

// evidenceGap is what could not be had, and why. Point is the gateway; "" for
// the control plane.
type evidenceGap struct {
	Point string `json:"point,omitempty"`
	What  string `json:"what"`
	Why   string `json:"why"`
}

// evidenceBody is what all entries say first.
type evidenceBody struct {
	ID          string   `json:"id"`
	Incident    string   `json:"incident,omitempty"`
	Models      []string `json:"models,omitempty"`
	Corrections []string `json:"altered_by,omitempty"`
	Before      uint64   `json:"before_revision,omitempty"`
	From        uint64   `json:"before_entry,omitempty"` // the command's first entry
	Reason      string   `json:"reason"`

	Ends time.Time `json:"before_end,omitzero"` // the corrections end by themselves then
	Run  string    `json:"run,omitempty"`       // whose step takes it
	Step string    `json:"step,omitempty"`
	By   string    `json:"by,omitempty"` // whose choice it was, where others carried it out
}

// evidenceSealedBody says what was sealed. No text of a caller is in it.
type evidenceSealedBody struct {
	evidenceBody
	SHA256   string        `json:"sha256"`
	Size     int64         `json:"size"`
	Asked    int           `json:"points_asked"`
	Answered int           `json:"points_answered"`
	Missing  []evidenceGap `json:"missing,omitempty"`
}

var evidenceTable = []route{
	{"POST", "/api/v1/evidence", "evidence.take", false, (*Control).postEvidence},
	{"GET", "/api/v1/evidence", "", false, (*Control).getEvidences},
	{"GET", "/api/v1/evidence/{id}", "", false, (*Control).getEvidence},
	{"GET", "/api/v1/evidence/{id}/content", "", false, (*Control).getEvidenceContent},
	{"GET", "/api/v1/evidence/{id}/proof", "", false, (*Control).getEvidenceProof},
}

var evidencePermits = map[string]authority.Set{"evidence.take": actors, "evidence.read": readers}

var evidenceCodes = map[string]code{
	"evidence_lost":    {500, "The evidence cannot be read"},
	"evidence_full":    {507, "There is no room for evidence"},
	"evidence_missing": {409, "There is no document"},
}

var evidenceFolds = map[string]foldFunc{
	typeEvidenceDue: foldEvidence(evidenceIsDue), typeEvidenceSkipped: foldEvidence(evidenceIsSkipped), typeEvidenceSealed: foldEvidenceSealed,
	typeEvidenceMissed: foldEvidence(evidenceIsMissed),
}

func (s *evidenceState) next() string { return s.nth(0) }

// nth is the id of what comes after n more.
func (s *evidenceState) nth(n int) string { return "e-" + strconv.Itoa(len(s.list)+n+1) }

// find is an evidence by its id; nil if there is none.
func (s *evidenceState) find(id string) *evidence {
	n := number(id, "e-")
	if n < 1 || n > len(s.list) || s.list[n-1].ID != id {
		return nil
	}
	return s.list[n-1]
}

func (b *evidenceBody) new(e ledger.Entry, state string) *evidence {
	return &evidence{ID: b.ID, State: state, Incident: b.Incident, Models: b.Models, Corrections: b.Corrections, Before: b.Before,
		Ends: b.Ends, Run: b.Run, Step: b.Step, Reason: b.Reason, By: cmp.Or(b.By, e.Actor), At: e.At.UTC(), First: e.Seq, Entry: e.Seq, from: b.From}
}

// body is what an entry says of it, whatever becomes of it.
func (x *evidence) body() evidenceBody {
	return evidenceBody{ID: x.ID, Incident: x.Incident, Models: x.Models, Corrections: x.Corrections, Before: x.Before, From: x.from, Reason: x.Reason, Ends: x.Ends, Run: x.Run, Step: x.Step}
}

// add takes in a new one.
func (s *evidenceState) add(x *evidence) {
	s.list = append(s.list, x)
	if x.State == evidenceIsDue {
		s.due = append(s.due, x)
	}
	if x.Run != "" {
		if s.steps == nil {
			s.steps = map[stepID]*evidence{}
		}
		s.steps[stepID{x.Run, x.Step}] = x
	}
	if !x.Ends.IsZero() {
		if s.ends == nil {
			s.ends = map[string]*evidence{}
		}
		for _, id := range x.Corrections {
			s.ends[id] = x
		}
	}
}

// foldEvidence reads what is new; or that one which was due is not taken.
func foldEvidence(as string) foldFunc {
	return func(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
		b, err := read[evidenceBody](e.Body)
		if err != nil {
			return nil, err
		}
		x := s.evidence.find(b.ID)
		if x == nil && b.ID != s.evidence.next() || x != nil && (as == evidenceIsDue || x.State != evidenceIsDue) {
			return nil, fmt.Errorf("evidence %q, where %s belongs: %w", b.ID, s.evidence.next(), errForm)
		}
		return func() {
			if x == nil {
				s.evidence.add(b.new(e, as))
				return
			}
			x.State, x.Reason, x.By, x.Entry = as, b.Reason, cmp.Or(b.By, e.Actor), e.Seq
			s.evidence.due = slices.DeleteFunc(s.evidence.due, func(d *evidence) bool { return d == x })
		}, nil
	}
}

func foldEvidenceSealed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[evidenceSealedBody](e.Body)
	if err != nil {
		return nil, err
	}
	if sum, err := hex.DecodeString(b.SHA256); err != nil || len(sum) != 32 || b.Size < 1 {
		return nil, fmt.Errorf("evidence %q names no document: %w", b.ID, errForm)
	}
	x := s.evidence.find(b.ID)
	if x == nil && b.ID != s.evidence.next() || x != nil && x.State != evidenceIsDue {
		return nil, fmt.Errorf("evidence %q is neither due nor the next: %w", b.ID, errForm)
	}
	return func() {
		if x == nil {
			x = b.new(e, "")
			s.evidence.add(x)
		}
		x.State, x.SHA256, x.Size, x.SealedAt, x.Entry = evidenceIsSealed, b.SHA256, b.Size, e.At.UTC(), e.Seq
		x.Asked, x.Answered, x.Missing = b.Asked, b.Answered, b.Missing
		s.evidence.due = slices.DeleteFunc(s.evidence.due, func(d *evidence) bool { return d == x })
	}, nil
}

// seesEvidence says whether an operator may know of an evidence: as of its
// incident.
func (s *state) seesEvidence(op *operator, x *evidence) bool {
	in := s.book().Incident(x.Incident)
	return in == nil || s.book().Sees(s.readerOf(op), in)
}

// tellEvidence says in words what an entry of this room says.
func tellEvidence(e ledger.Entry, v *timelineEntry) {
	b, err := read[evidenceSealedBody](e.Body)
	if err != nil {
		v.Text = e.Type
		return
	}
	v.Refs = append([]string{b.ID}, b.Corrections...)
	switch e.Type {
	case typeEvidenceDue:
		v.Text = "evidence " + b.ID + " is due: what stood before revision " + strconv.FormatUint(b.Before, 10)
		if b.Before == 0 {
			v.Text = "evidence " + b.ID + " is due: " + b.Reason
		}
	case typeEvidenceMissed:
		v.Text = "evidence MISSED (" + b.ID + "): " + b.Reason
	case typeEvidenceSkipped:
		v.Text = "evidence SKIPPED (" + b.ID + "), the system was altered without: " + b.Reason
		if b.Run != "" {
			v.Text = "evidence SKIPPED (" + b.ID + "), " + b.Run + " goes on without: " + b.Reason
		}
		if b.By != "" {
			v.Text += " (chosen by " + b.By + ")"
		}
	default:
		v.Text = fmt.Sprintf("evidence %s sealed: %d bytes, SHA-256 %s, %d of %d points", b.ID, b.Size, b.SHA256, b.Answered, b.Asked)
		if n := len(b.Missing); n > 0 {
			v.Text += fmt.Sprintf("; %d things are missing", n)
		}
		v.Text += ": " + b.Reason
	}
}
