package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// This room carries out the plan's retention: what is past its time, and needed by
// nobody, is erased by itself.
//
// An entry says what was erased, by which version of the plan, on what basis and at
// what age; then the file is deleted, the salt and value of the commitment are
// destroyed. The tree stands. What a crash leaves between the two is done at the
// next start. Nothing is erased that is needed (see needs), before notice was given
// (see plan.Keeping), or by a clock that may be wrong (see clockDoubt); and one pass
// erases maxErased things at most.

const (
	typeRetentionErased    = "retention.erased"
	typeEvidenceRedacted   = "evidence.redacted"
	typeRetentionBare      = "retention.without_prompts"
	typeRetentionNoticed   = "retention.noticed"  // a plan from before retention was carried out
	typeRetentionSeen      = "retention.observed" // that time goes by, where nothing else says so
	typeRetentionConfirmed = "retention.clock_confirmed"
	typeRetentionHeld      = "retention.held"
	typeRetentionReleased  = "retention.released"
)

const (
	maxClockGap     = 24 * time.Hour // between two entries; what is longer may be a clock that jumped
	maxErased       = 100            // things that one pass erases
	maxErasedValues = 1000           // of one thing
	shownErasures   = 500            // that are remembered
)

type retentionState struct {
	rules    map[string]*plan.Keeping // by class; missing: nothing is erased
	holds    []*retentionHold         // by number: lh-1 is the first
	notes    map[string][]keptValue   // personal notes, by incident
	offered  []keptValue              // addresses of contacts, in the order they came
	doubt    clockDoubt
	under    map[string]*erasure // what erased a commitment
	erased   map[string]*erasure // what erased an evidence
	redacted map[string]*erasure // what erased its prompts
	bare     map[string]bool     // evidence that has none, as somebody has looked
	gone     []string            // digests of documents that entries erased
	done     []*erasure          // the newest last
}

// keptValue is a personal value that an entry brought.
type keptValue struct {
	commitment string
	seq        uint64
	at         time.Time
}

// clockDoubt is a leap of the record's time that nobody has confirmed.
type clockDoubt struct{ from, to time.Time }

// erasure is what one entry erased, and why it was due.
type erasure struct {
	Class    string              `json:"class"`
	Keep     correction.Duration `json:"keep"`
	Basis    string              `json:"basis"`
	Version  int                 `json:"plan_version"`
	At       time.Time           `json:"at"`
	Entry    uint64              `json:"entry"` // of the ledger
	Incident string              `json:"incident,omitempty"`
	Items    []string            `json:"items"`
}

// words says it as views do.
func (x *erasure) words() string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("erased under retention %s (kept %s, plan version %d: %s) on %s", x.Class, x.Keep, x.Version, x.Basis, x.At.Format(time.RFC3339))
}

// erasureBody says what is erased, and why. It names things, and no content.
type erasureBody struct {
	Class    string              `json:"class"`
	Keep     correction.Duration `json:"keep"`
	Basis    string              `json:"basis"`
	Version  int                 `json:"plan_version"`
	Incident string              `json:"incident,omitempty"`
	Items    []erasedItem        `json:"items"`
}

// erasedItem is one thing: e-1, i-7/a-2, i-7/n-12, k-3, addresses-14.
type erasedItem struct {
	Item        string              `json:"item"`
	Since       time.Time           `json:"since"` // from when on its time was counted
	Age         correction.Duration `json:"age"`
	SHA256      string              `json:"sha256,omitempty"` // of the file
	Commitments []string            `json:"commitments,omitempty"`
}

// redactedBody replaces a document by itself without the texts of prompts.
type redactedBody struct {
	ID       string              `json:"id"`
	Incident string              `json:"incident,omitempty"`
	Reason   string              `json:"reason"`
	SHA256   string              `json:"sha256"` // of what stays
	Size     int64               `json:"size"`
	Was      string              `json:"was_sha256"` // of what goes
	Keep     correction.Duration `json:"keep"`
	Basis    string              `json:"basis"`
	Version  int                 `json:"plan_version"`
	Since    time.Time           `json:"since"`
	Age      correction.Duration `json:"age"`
}

// bareBody names evidence that has no texts of prompts.
type bareBody struct {
	Evidence []string `json:"evidence"`
}

var retentionTable = []route{
	{"GET", "/api/v1/retention", "", false, (*Control).getRetention},
	{"POST", "/api/v1/retention/holds", "retention.hold", false, (*Control).postRetentionHold},
	{"POST", "/api/v1/retention/holds/{id}/release", "retention.release", false, (*Control).postRetentionRelease},
	{"POST", "/api/v1/retention/clock", "retention.clock", false, (*Control).postRetentionClock},
}

var retentionPermits = map[string]authority.Set{
	"retention.read": readers, "retention.hold": readers,
	"retention.release": authority.SetOf(authority.Auditor, authority.Commander), "retention.clock": authority.SetOf(authority.Auditor, authority.Commander),
}

var retentionCodes = map[string]code{
	"evidence_erased": {410, "The document was erased"},
	"too_many_holds":  {409, "Too many legal holds"},
}

var retentionFolds = map[string]foldFunc{
	typeRetentionErased: foldErasure, typeEvidenceRedacted: foldRedacted, typeRetentionBare: foldBare, typeRetentionNoticed: foldNoticed, typeRetentionSeen: foldNothing,
	typeRetentionConfirmed: foldConfirmed, typeRetentionHeld: foldHeld, typeRetentionReleased: foldReleased,
}

// nothing is the body of an entry that only says that it is there.
type nothing struct{}

func foldNothing(_ *state, e ledger.Entry, _ *order.Order) (func(), error) {
	_, err := read[nothing](e.Body)
	return func() {}, err
}

// see takes in what an entry of any room means to this one: that time goes by, what
// the plan says, and which personal values came. It runs once the entry is folded,
// and before the state's last time moves.
func (r *retentionState) see(s *state, e ledger.Entry) {
	if len(r.rules) > 0 && !s.last.IsZero() && e.At.Sub(s.last) > maxClockGap && e.Type != typeRetentionConfirmed {
		if r.doubt.from.IsZero() {
			r.doubt.from = s.last.UTC()
		}
		r.doubt.to = e.At.UTC()
	}
	switch e.Type {
	case typePlan:
		var b struct {
			Erases bool `json:"erases"`
		}
		err := json.Unmarshal(e.Body, &b)
		next := map[string]*plan.Keeping{}
		for _, class := range plan.RetentionClasses {
			if k := r.rules[class].Follow(s.plan.current.RetentionOf(class), s.plan.version(), e.At.UTC(), err == nil && b.Erases); k != nil {
				next[class] = k
			}
		}
		r.rules = next
	case typePlanAddresses:
		r.offered = append(r.offered, valuesOf(e)...)
	case "incident.note":
		if id := peek(e).Incident; len(e.Personal) > 0 && id != "" {
			if r.notes == nil {
				r.notes = map[string][]keptValue{}
			}
			r.notes[id] = append(r.notes[id], valuesOf(e)...)
		}
	}
}

func valuesOf(e ledger.Entry) (out []keptValue) {
	for name := range e.Personal {
		out = append(out, keptValue{name, e.Seq, e.At.UTC()})
	}
	slices.SortFunc(out, func(a, b keptValue) int { return strings.Compare(a.commitment, b.commitment) })
	return out
}

// foldNoticed gives notice of a plan that was applied before its retention was
// carried out.
func foldNoticed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	if _, err := read[nothing](e.Body); err != nil {
		return nil, err
	}
	return func() {
		for _, k := range s.retention.rules {
			k.Notice(e.At.UTC())
		}
	}, nil
}

func foldErasure(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[erasureBody](e.Body)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(plan.RetentionClasses, b.Class) || len(b.Items) == 0 || len(b.Items) > maxErased {
		return nil, fmt.Errorf("%d things of class %q are erased: %w", len(b.Items), short(b.Class), errForm)
	}
	x := &erasure{Class: b.Class, Keep: b.Keep, Basis: b.Basis, Version: b.Version, At: e.At.UTC(), Entry: e.Seq, Incident: b.Incident}
	said := map[string]bool{}
	for i := range b.Items {
		if it := &b.Items[i]; said[it.Item] || !s.erasable(b.Class, it) {
			return nil, fmt.Errorf("%s %q is not there, or is erased already: %w", b.Class, short(it.Item), errForm)
		}
		said[b.Items[i].Item] = true
		x.Items = append(x.Items, b.Items[i].Item)
	}
	return func() {
		for i := range b.Items {
			s.retention.erase(s, x, &b.Items[i], e)
		}
		s.retention.keep(x)
	}, nil
}

// erasable says whether a thing is there, and not erased.
func (s *state) erasable(class string, it *erasedItem) bool {
	r := &s.retention
	if len(it.Commitments) > maxErasedValues || slices.ContainsFunc(it.Commitments, func(n string) bool { return r.under[n] != nil }) {
		return false
	}
	if class == "evidence" {
		x := s.evidence.find(it.Item)
		return x != nil && x.State == evidenceIsSealed && r.erased[it.Item] == nil && x.SHA256 == it.SHA256
	}
	if id, file, ok := strings.Cut(it.Item, "/"); ok && it.SHA256 != "" {
		in := s.book().Incident(id)
		if class != "incidents" || in == nil {
			return false
		}
		a := in.Attachment(file)
		return a != nil && a.RemovedAt.IsZero() && a.SHA256 == it.SHA256
	}
	return len(it.Commitments) > 0 && it.SHA256 == ""
}

func (r *retentionState) erase(s *state, x *erasure, it *erasedItem, e ledger.Entry) {
	if r.under == nil {
		r.under, r.erased = map[string]*erasure{}, map[string]*erasure{}
	}
	for _, n := range it.Commitments {
		r.under[n] = x
	}
	if x.Class == "evidence" {
		r.erased[it.Item] = x
		r.gone = append(r.gone, it.SHA256)
	} else if id, file, ok := strings.Cut(it.Item, "/"); ok && it.SHA256 != "" {
		s.book().Expired(id, file, x.words(), metaOf(e))
	}
}

// keep remembers an erasure, to be shown.
func (r *retentionState) keep(x *erasure) {
	if r.done = append(r.done, x); len(r.done) > shownErasures {
		r.done = slices.Clone(r.done[len(r.done)-shownErasures:])
	}
}

func foldRedacted(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[redactedBody](e.Body)
	if err != nil {
		return nil, err
	}
	x := s.evidence.find(b.ID)
	if x == nil || x.State != evidenceIsSealed || x.SHA256 != b.Was || len(b.SHA256) != 64 || strings.Trim(b.SHA256, "0123456789abcdef") != "" || b.Size < 1 ||
		s.retention.erased[b.ID] != nil || s.retention.redacted[b.ID] != nil {
		return nil, fmt.Errorf("evidence %q has no such document, or no prompts any more: %w", short(b.ID), errForm)
	}
	return func() {
		r := &s.retention
		if r.redacted == nil {
			r.redacted = map[string]*erasure{}
		}
		done := &erasure{Class: "prompts", Keep: b.Keep, Basis: b.Basis, Version: b.Version, At: e.At.UTC(), Entry: e.Seq, Incident: b.Incident, Items: []string{b.ID}}
		r.redacted[b.ID] = done
		r.gone = append(r.gone, b.Was)
		x.SHA256, x.Size, x.Entry = b.SHA256, b.Size, e.Seq
		r.keep(done)
	}, nil
}

// foldBare takes in which documents have no texts of prompts: they are not looked
// into again.
func foldBare(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[bareBody](e.Body)
	if err != nil {
		return nil, err
	}
	if len(b.Evidence) == 0 || len(b.Evidence) > maxErased || slices.ContainsFunc(b.Evidence, func(id string) bool { return s.evidence.find(id) == nil }) {
		return nil, fmt.Errorf("%d evidences without prompts: %w", len(b.Evidence), errForm)
	}
	return func() {
		if s.retention.bare == nil {
			s.retention.bare = map[string]bool{}
		}
		for _, id := range b.Evidence {
			s.retention.bare[id] = true
		}
	}, nil
}

// tellRetention says in words what an entry of this room says, on a timeline.
func tellRetention(e ledger.Entry, v *timelineEntry) {
	v.Text = e.Type
	switch e.Type {
	case typeRetentionErased:
		if b, err := read[erasureBody](e.Body); err == nil {
			v.Text = fmt.Sprintf("%s erased under retention %s (kept %s, plan version %d): %s", count(len(b.Items), "thing"), b.Class, b.Keep, b.Version, b.Basis)
			for i := range b.Items {
				v.Refs = append(v.Refs, b.Items[i].Item)
			}
		}
	case typeEvidenceRedacted:
		if b, err := read[redactedBody](e.Body); err == nil {
			v.Text, v.Refs = b.ID+": "+b.Reason, []string{b.ID}
		}
	case typeRetentionHeld:
		if b, err := read[heldBody](e.Body); err == nil {
			v.Text, v.Refs = "legal hold "+b.ID+" of "+b.Of+": "+b.Reason, []string{b.ID}
		}
	case typeRetentionReleased:
		if b, err := read[releasedBody](e.Body); err == nil {
			v.Text, v.Refs = "legal hold "+b.ID+" released: "+b.Reason, []string{b.ID}
		}
	}
}

// count is a number of things in words.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}
