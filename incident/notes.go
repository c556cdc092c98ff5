package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Note is a text on the timeline. Personal data stands outside the record, which
// then holds a commitment to it: see the ledger.
type Note struct {
	Text       string   `json:"text,omitempty"`
	Commitment string   `json:"commitment,omitempty"` // of a text that is kept apart
	Personal   bool     `json:"personal,omitzero"`    // the text holds personal data
	Refs       []string `json:"refs,omitempty"`       // what it rests on: c-5, a-1, entry 17, a URL
	Marking    *Marking `json:"marking,omitempty"`    // beside that of the incident
}

func (Note) kind() string { return "incident.note" }

const maxRefs = 50

func (x Note) step(_ *Book, in *Incident, m Meta) (func(), error) {
	if x.Commitment == "" {
		if err := text("text", x.Text, MaxText); err != nil {
			return nil, err
		}
	} else if x.Text != "" || !x.Personal {
		return nil, wrong("commitment", "a text that is kept apart is personal, and does not stand here as well")
	}
	if err := optional("commitment", x.Commitment, MaxName); err != nil {
		return nil, err
	}
	if err := lines("refs", x.Refs, maxRefs, 2000); err != nil {
		return nil, err
	}
	if err := x.Marking.check("marking"); err != nil {
		return nil, err
	}
	return func() { in.mark(m.Seq, x.Marking, m.Actor) }, nil
}

// Hypothesis is what may have caused an incident.
type Hypothesis struct {
	ID         string     `json:"id"`
	Text       string     `json:"text"`
	Confidence float64    `json:"confidence"` // 0 to 1
	Words      string     `json:"words"`      // the same in words
	Status     string     `json:"status"`     // open, confirmed, refuted, set_aside
	For        []Evidence `json:"for,omitempty"`
	Against    []Evidence `json:"against,omitempty"`
	By         string     `json:"by"`
	At         time.Time  `json:"at"`
	ChangedAt  time.Time  `json:"changed_at"`
}

// Evidence is what speaks for or against a hypothesis.
type Evidence struct {
	Ref  string    `json:"ref,omitempty"` // an attachment, a correction, an entry, a URL
	Text string    `json:"text"`
	By   string    `json:"by,omitempty"` // set by the control plane
	At   time.Time `json:"at,omitzero"`  // likewise
}

var hypothesisStatuses = []string{"open", "confirmed", "refuted", "set_aside"}

// ConfidenceWords are the words for a confidence up to a bound, as intelligence
// analysts use them (ICD 203).
var ConfidenceWords = []struct {
	UpTo float64
	Word string
}{{.05, "almost no chance"}, {.2, "very unlikely"}, {.45, "unlikely"}, {.55, "roughly even chance"}, {.8, "likely"}, {.95, "very likely"}, {1, "almost certain"}}

// Words says a confidence in words.
func Words(confidence float64) string {
	for _, w := range ConfidenceWords {
		if confidence <= w.UpTo {
			return w.Word
		}
	}
	return ConfidenceWords[len(ConfidenceWords)-1].Word
}

// HypothesisChange states a hypothesis, or changes one.
type HypothesisChange struct {
	ID         string     `json:"id,omitempty"` // missing: a new one
	Text       string     `json:"text,omitempty"`
	Confidence *float64   `json:"confidence,omitempty"`
	Status     string     `json:"status,omitempty"`
	For        []Evidence `json:"for,omitempty"`     // added
	Against    []Evidence `json:"against,omitempty"` // added
	Reason     string     `json:"reason,omitempty"`  // needed to change confidence or status
}

func (HypothesisChange) kind() string { return "incident.hypothesis" }

const (
	maxHypotheses = 100
	maxEvidence   = 200 // for and against one
	maxClaim      = 1000
)

func (x HypothesisChange) step(_ *Book, in *Incident, m Meta) (func(), error) {
	h, at := Hypothesis{ID: fmt.Sprintf("h-%d", len(in.Hypotheses)+1), Confidence: .5, Status: "open", By: m.Actor, At: m.At}, len(in.Hypotheses)
	if x.ID != "" {
		at = slices.IndexFunc(in.Hypotheses, func(h Hypothesis) bool { return h.ID == x.ID })
		if at < 0 {
			return nil, &Error{Code: CodeNotFound, Field: "id", Detail: in.ID + " has no hypothesis " + quote(x.ID)}
		}
		h = in.Hypotheses[at]
	} else if at >= maxHypotheses {
		return nil, &Error{Code: CodeFull, Detail: fmt.Sprintf("%s has %d hypotheses; that is the most", in.ID, maxHypotheses)}
	}
	if x.Text != "" || x.ID == "" {
		if err := line("text", x.Text, maxClaim); err != nil {
			return nil, err
		}
		h.Text = x.Text
	}
	changed := false
	if x.Confidence != nil {
		if !(*x.Confidence >= 0 && *x.Confidence <= 1) {
			return nil, wrong("confidence", fmt.Sprintf("%v is out of bounds; give 0 to 1", *x.Confidence))
		}
		changed, h.Confidence = h.Confidence != *x.Confidence, *x.Confidence
	}
	if x.Status != "" {
		if err := oneOf("status", x.Status, hypothesisStatuses); err != nil {
			return nil, err
		}
		changed, h.Status = changed || h.Status != x.Status, x.Status
	}
	if x.ID != "" && changed || x.Reason != "" {
		if err := text("reason", x.Reason, MaxReason); err != nil {
			return nil, err
		}
	}
	for _, l := range []struct {
		name string
		more []Evidence
		to   *[]Evidence
	}{{"for", x.For, &h.For}, {"against", x.Against, &h.Against}} {
		for i, e := range l.more {
			f := fmt.Sprintf("%s[%d].", l.name, i)
			if e.By != "" || !e.At.IsZero() {
				return nil, wrong(f+"by", "is set by the control plane, as is at; leave them out")
			}
			if err := line(f+"text", e.Text, maxClaim); err != nil {
				return nil, err
			}
			if err := optional(f+"ref", e.Ref, 2000); err != nil {
				return nil, err
			}
			e.By, e.At = m.Actor, m.At
			*l.to = append(slices.Clip(*l.to), e)
		}
		if len(*l.to) > maxEvidence {
			return nil, &Error{Code: CodeFull, Field: l.name, Detail: fmt.Sprintf("%s has %d pieces of evidence; that is the most", h.ID, maxEvidence)}
		}
	}
	h.Words, h.ChangedAt = Words(h.Confidence), m.At
	return func() {
		if at == len(in.Hypotheses) {
			in.Hypotheses = append(in.Hypotheses, h)
		} else {
			in.Hypotheses = slices.Clone(in.Hypotheses)
			in.Hypotheses[at] = h
		}
	}, nil
}

// The states of a task.
const (
	TaskOpen    = "open"
	TaskDone    = "done"
	TaskDropped = "dropped"
)

// Task is what somebody has to do before an incident can be closed.
type Task struct {
	ID     string    `json:"id"`
	Text   string    `json:"text"`
	Owner  string    `json:"owner,omitempty"` // operator or team
	Due    time.Time `json:"due,omitzero"`
	Status string    `json:"status"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// TaskChange sets a task, or changes one.
type TaskChange struct {
	ID     string    `json:"id,omitempty"` // missing: a new one
	Text   string    `json:"text,omitempty"`
	Owner  string    `json:"owner,omitempty"`
	Due    time.Time `json:"due,omitzero"`
	Status string    `json:"status,omitempty"`
	Reason string    `json:"reason,omitempty"` // needed to drop one
}

func (TaskChange) kind() string { return "incident.task" }

const maxTasks = 1000

func (x TaskChange) step(_ *Book, in *Incident, m Meta) (func(), error) {
	t, at := Task{ID: fmt.Sprintf("k-%d", len(in.Tasks)+1), Status: TaskOpen, By: m.Actor, At: m.At}, len(in.Tasks)
	if x.ID != "" {
		if at = slices.IndexFunc(in.Tasks, func(t Task) bool { return t.ID == x.ID }); at < 0 {
			return nil, &Error{Code: CodeNotFound, Field: "id", Detail: in.ID + " has no task " + quote(x.ID)}
		}
		t = in.Tasks[at]
	} else if at >= maxTasks {
		return nil, &Error{Code: CodeFull, Detail: fmt.Sprintf("%s has %d tasks; that is the most", in.ID, maxTasks)}
	}
	if x.Text != "" || x.ID == "" {
		if err := line("text", x.Text, maxClaim); err != nil {
			return nil, err
		}
		t.Text = x.Text
	}
	if err := optional("owner", x.Owner, MaxName); err != nil {
		return nil, err
	}
	if x.Owner != "" {
		t.Owner = x.Owner
	}
	if !x.Due.IsZero() {
		t.Due = x.Due.UTC()
	}
	if x.Status != "" {
		if err := oneOf("status", x.Status, []string{TaskOpen, TaskDone, TaskDropped}); err != nil {
			return nil, err
		}
		t.Status = x.Status
	}
	if x.Status == TaskDropped || x.Reason != "" {
		if err := text("reason", x.Reason, MaxReason); err != nil {
			return nil, err
		}
	}
	return func() {
		if at == len(in.Tasks) {
			in.Tasks = append(in.Tasks, t)
		} else {
			in.Tasks[at] = t
		}
	}, nil
}

// Bounds of attachments.
const (
	MaxAttachment  = 25 << 20 // bytes of one
	MaxAttached    = 1 << 30  // bytes of all of one incident
	maxAttachments = 1000
)

// Attachment is a file that belongs to an incident. Its bytes are elsewhere, by
// their digest.
type Attachment struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Media     string    `json:"media_type"` // by its content
	Size      int64     `json:"size"`
	SHA256    string    `json:"sha256"`
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	Entry     uint64    `json:"entry"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
	RemovedBy string    `json:"removed_by,omitempty"`
	Under     string    `json:"erased_under,omitempty"` // the retention that removed it, in words
}

// Attached adds a file.
type Attached struct {
	Name    string   `json:"name"`
	Media   string   `json:"media_type"`
	Size    int64    `json:"size"`
	SHA256  string   `json:"sha256"`
	Text    string   `json:"text,omitempty"`
	Marking *Marking `json:"marking,omitempty"`
}

func (Attached) kind() string { return "incident.attached" }

func (x Attached) step(_ *Book, in *Incident, m Meta) (func(), error) {
	if err := line("name", x.Name, MaxTitle); err != nil {
		return nil, err
	}
	if strings.ContainsAny(x.Name, `/\`) || strings.HasPrefix(x.Name, ".") {
		return nil, wrong("name", quote(x.Name)+" is a path or hidden; give a file's plain name")
	}
	if err := optional("text", x.Text, MaxReason); err != nil {
		return nil, err
	}
	if err := x.Marking.check("marking"); err != nil {
		return nil, err
	}
	if strings.Trim(x.SHA256, "0123456789abcdef") != "" || len(x.SHA256) != 64 {
		return nil, wrong("sha256", "is no SHA-256 in lower-case hex")
	}
	if !Keeps(x.Media) {
		return nil, wrong("media_type", quote(x.Media)+" is not taken", MediaTypes()...)
	}
	if x.Size < 1 || x.Size > MaxAttachment {
		return nil, wrong("size", fmt.Sprintf("the file has %d bytes; give 1 to %d", x.Size, MaxAttachment))
	}
	if in.stored+x.Size > MaxAttached || len(in.Attachments) >= maxAttachments {
		return nil, &Error{Code: CodeFull, Detail: fmt.Sprintf("%s holds %d files of %d bytes; at most %d files and %d bytes", in.ID, len(in.Attachments), in.stored, maxAttachments, MaxAttached)}
	}
	return func() {
		in.Attachments = append(in.Attachments, Attachment{ID: fmt.Sprintf("a-%d", len(in.Attachments)+1), Name: x.Name, Media: x.Media, Size: x.Size, SHA256: x.SHA256,
			By: m.Actor, At: m.At, Entry: m.Seq})
		in.stored += x.Size
		in.mark(m.Seq, x.Marking, m.Actor)
	}, nil
}

// Detached removes a file. That it was there stays in the record.
type Detached struct {
	Attachment string `json:"attachment"`
	Reason     string `json:"reason"`
}

func (Detached) kind() string { return "incident.detached" }

func (x Detached) step(_ *Book, in *Incident, m Meta) (func(), error) {
	a := in.Attachment(x.Attachment)
	if a == nil {
		return nil, &Error{Code: CodeNotFound, Detail: in.ID + " has no attachment " + quote(x.Attachment)}
	}
	if !a.RemovedAt.IsZero() {
		return nil, &Error{Code: CodeState, Detail: x.Attachment + " is removed already"}
	}
	if err := text("reason", x.Reason, MaxReason); err != nil {
		return nil, err
	}
	return func() {
		a.RemovedAt, a.RemovedBy = m.At, m.Actor
		in.stored -= a.Size
	}, nil
}

// Expired says that the time to keep a file was over, under which retention in
// words. It does nothing if there is no such file. A merged or closed incident
// takes it, too: nobody says it in the incident.
func (b *Book) Expired(id, attachment, under string, m Meta) {
	in := b.incidents[id]
	if in == nil {
		return
	}
	if a := in.Attachment(attachment); a != nil && a.RemovedAt.IsZero() {
		a.RemovedAt, a.RemovedBy, a.Under = m.At, m.Actor, under
		in.stored -= a.Size
	}
}

// Attachment is a file by its id; nil if there is none.
func (in *Incident) Attachment(id string) *Attachment {
	if i := slices.IndexFunc(in.Attachments, func(a Attachment) bool { return a.ID == id }); i >= 0 {
		return &in.Attachments[i]
	}
	return nil
}

// Holds says whether any attachment that is not removed has that content.
func (b *Book) Holds(sha256 string) bool {
	for _, in := range b.incidentList {
		for i := range in.Attachments {
			if a := &in.Attachments[i]; a.SHA256 == sha256 && a.RemovedAt.IsZero() {
				return true
			}
		}
	}
	return false
}

// CheckText says what is wrong with the text of a note, before it is kept apart.
func (x *Note) CheckText() error { return text("text", x.Text, MaxText) }
