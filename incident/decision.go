package incident

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/correction"
)

// States of a decision.
const (
	DecisionOpen = "open"
	DecisionMade = "decided"   // by somebody
	DecisionFell = "defaulted" // nobody answered in time, and its default was carried out
)

// DecisionStates are all there are.
var DecisionStates = []string{DecisionOpen, DecisionMade, DecisionFell}

// Bounds of a decision.
const (
	MaxOptions      = 16
	MaxInOption     = 8         // corrections that one option applies and lifts
	MaxInDecision   = 32        // of all options together
	MaxOptionsBytes = 256 << 10 // of all options, encoded
	MaxQuestion     = 500
	MaxKnown        = 16 << 10
	MaxCriteria     = 20
	MaxCriterion    = 500
	MaxDissents     = 200
	MaxOpen         = 200 // decisions at a time

	MinDeadline = time.Minute
	MaxDeadline = 30 * 24 * time.Hour
)

// DoNothing is the title of the option that is always there.
const DoNothing = "do nothing"

// Option is one thing that can be done. One that neither applies, lifts nor
// restores keeps what stands: to do nothing is an option like any other.
type Option struct {
	Title      string                  `json:"title"`
	Why        string                  `json:"why,omitempty"`         // it suffices
	LeavesOpen string                  `json:"leaves_open,omitempty"` // what it does not cover
	Apply      []correction.Correction `json:"apply,omitempty"`
	For        correction.Duration     `json:"for,omitzero"` // how long what it applies stands; 0: until it is lifted
	Lift       []string                `json:"lift,omitempty"`
	Restore    *Restore                `json:"restore,omitempty"` // alone
	Playbook   *FromPlaybook           `json:"playbook,omitempty"`
}

// Restore says which earlier state an option leads back to. Exactly one is given.
type Restore struct {
	Revision *uint64   `json:"revision,omitzero"`
	At       time.Time `json:"at,omitzero"`
	Before   string    `json:"before,omitempty"`
}

// FromPlaybook says where an option's corrections come from: a step of a
// playbook's ladder, or its stop-gap. They are pinned when the decision is opened.
type FromPlaybook struct {
	Name string            `json:"name"`
	Step string            `json:"step,omitempty"` // missing: the stop-gap
	Vars map[string]string `json:"vars,omitempty"`
}

// Tightens says whether an option restricts somebody.
func (o *Option) Tightens() bool { return len(o.Apply) > 0 }

// Loosens says whether an option takes something back, or may.
func (o *Option) Loosens() bool { return len(o.Lift) > 0 || o.Restore != nil }

// Nothing says whether an option keeps what stands.
func (o *Option) Nothing() bool { return !o.Tightens() && !o.Loosens() }

// Manual says why an option cannot be carried out because nobody answered; "" if
// it can. Only what keeps things as they are, or tightens short of a hard stop, can.
func (o *Option) Manual() string {
	if o.Loosens() {
		return "it gives something back"
	}
	for i := range o.Apply {
		if c := &o.Apply[i]; c.Kind == correction.Stop && c.Level() > 2 && c.Mode != correction.Shadow {
			return "it is a stop " + c.Params.Level
		}
	}
	return ""
}

// Speed is what a class of corrections took to be enforced everywhere, in ms.
type Speed struct {
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Count int     `json:"count"` // of measurements
}

// Reach is what a correction would do, by what gateways recorded and what runs
// there. What was not measured is missing.
type Reach struct {
	Basis      string   `json:"basis"`
	Share      *float64 `json:"share_of_traffic,omitempty"`
	Users      *int64   `json:"users,omitempty"`
	Streams    *int64   `json:"live_streams,omitempty"`
	PerMinute  *float64 `json:"served_per_minute,omitempty"` // requests in its scope that are served now
	Dependants []string `json:"dependants,omitempty"`
	Unknown    []string `json:"unknown,omitempty"` // what nobody measured
}

// Effect is one correction of an option beside the others: what applying it would
// do, or what lifting it would give back.
type Effect struct {
	Says       string   `json:"says"`
	Class      string   `json:"class"`
	Narrowness int      `json:"narrowness"`      // 1 takes least away
	Speed      *Speed   `json:"speed,omitempty"` // missing: not measured
	Reversible string   `json:"reversible"`
	Fallback   string   `json:"fallback"`
	Reach      Reach    `json:"reach"`
	Terms      []string `json:"terms,omitempty"`     // of customers, that stand against it
	HoldDown   []string `json:"hold_down,omitempty"` // dependants that get their fallback first
	Warnings   []string `json:"warnings,omitempty"`
}

// Takes is whose word an option needs.
type Takes struct {
	Rules     []string            `json:"rules"`
	Roles     []authority.Role    `json:"roles"`               // who may choose it
	Approvals int                 `json:"approvals"`           // others who have to agree before
	Approvers []authority.Role    `json:"approvers,omitempty"` // of these roles
	Ratify    int                 `json:"ratify,omitzero"`     // others who have to ratify it afterwards
	Within    correction.Duration `json:"within,omitzero"`
}

// Comparison is an option as it was seen beside the others.
type Comparison struct {
	At         time.Time `json:"at"`
	Narrowness int       `json:"narrowness"` // of its broadest correction; 0 takes nothing away
	Each       []Effect  `json:"each,omitempty"`
	Takes      Takes     `json:"takes"`
	PerMinute  *float64  `json:"served_per_minute,omitempty"` // the exposure, while it waits: of its broadest correction
	Unfit      string    `json:"unfit,omitempty"`             // why it could not be carried out
}

// LiftCriterion is what has to hold before what a decision applied is lifted.
type LiftCriterion struct {
	Text     string    `json:"text"`
	MetAt    time.Time `json:"met_at,omitzero"`
	By       string    `json:"by,omitempty"`
	Evidence string    `json:"evidence,omitempty"`
}

// Dissent is a word against, kept for ever.
type Dissent struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Text   string    `json:"text"`
	Prefer int       `json:"prefer,omitzero"` // the option that should be chosen
	After  bool      `json:"after,omitzero"`  // it was decided already
	Entry  uint64    `json:"entry"`
}

// Decision is a question with its options, and what became of it.
type Decision struct {
	DecisionOpened
	OpenedAt   time.Time
	OpenedBy   string
	Entry      uint64 // that opened it
	State      string
	Compared   []Comparison // as they were seen last
	ComparedIn uint64       // entry
	Overdue    string       // why the default was not carried out; "" if it is not overdue
	Made       *DecisionMadeBody
	MadeAt     time.Time
	MadeIn     uint64 // entry
	Criteria   []LiftCriterion
	Dissents   []Dissent
}

// Option is the option of that number, from 1; nil if there is none.
func (d *Decision) Option(n int) *Option {
	if n < 1 || n > len(d.Options) {
		return nil
	}
	return &d.Options[n-1]
}

// Unmet are the criteria that do not hold yet.
func (d *Decision) Unmet() []string {
	var out []string
	for _, c := range d.Criteria {
		if c.MetAt.IsZero() {
			out = append(out, c.Text)
		}
	}
	return out
}

// Decisions are all decisions: a fold over entries and nothing else, like a Book.
// The zero value is ready.
type Decisions struct {
	byID map[string]*Decision
	list []*Decision
	open []*Decision
	of   map[string]*Decision // by correction that it applied
}

// Get is the decision of that id; nil if there is none.
func (b *Decisions) Get(id string) *Decision { return b.byID[id] }

// List is all decisions as they were opened. The caller must not change it.
func (b *Decisions) List() []*Decision { return b.list }

// Open is those that nobody has decided. The caller must not change it.
func (b *Decisions) Open() []*Decision { return b.open }

// Of is the decision that applied a correction; nil if none did.
func (b *Decisions) Of(correctionID string) *Decision { return b.of[correctionID] }

// NextID is the id of the next decision.
func (b *Decisions) NextID() string { return "d-" + strconv.Itoa(len(b.list)+1) }

// Check says what is wrong with an event, as things are: an *Error, or nil.
func (b *Decisions) Check(e DecisionEvent, m Meta) error {
	_, err := e.take(b, m)
	return err
}

// checkOptions looks at options but for what only the control plane can know.
func checkOptions(options []Option) error {
	switch n := len(options); {
	case n < 2:
		return wrong("options", fmt.Sprintf("has %d; a decision has at least two, one of them to do nothing", n))
	case n > MaxOptions:
		return wrong("options", fmt.Sprintf("has %d; at most %d", n, MaxOptions))
	}
	nothing, all := false, 0
	titles := map[string]bool{}
	for i := range options {
		o := &options[i]
		field := fmt.Sprintf("options[%d]", i)
		if err := line(field+".title", o.Title, MaxTitle); err != nil {
			return err
		}
		if titles[o.Title] {
			return wrong(field+".title", quote(o.Title)+" is there twice")
		}
		titles[o.Title] = true
		for _, t := range []struct{ name, text string }{{".why", o.Why}, {".leaves_open", o.LeavesOpen}} {
			if t.text != "" {
				if err := text(field+t.name, t.text, MaxReason); err != nil {
					return err
				}
			}
		}
		n := len(o.Apply) + len(o.Lift)
		if all += n; n > MaxInOption || all > MaxInDecision {
			return wrong(field, fmt.Sprintf("applies and lifts %d corrections, %d with those before it; at most %d in one option and %d in all", n, all, MaxInOption, MaxInDecision))
		}
		if o.Restore != nil && n > 0 {
			return wrong(field+".restore", "stands alone: what is to be applied or lifted besides is another decision")
		}
		if o.For < 0 || o.For > 0 && !o.Tightens() {
			return wrong(field+".for", "is how long what the option applies stands")
		}
		if err := lines(field+".lift", o.Lift, MaxInOption, MaxName); err != nil {
			return err
		}
		nothing = nothing || o.Nothing()
	}
	if !nothing {
		return wrong("options", "to do nothing is not among them")
	}
	return nil
}

// drop takes a decision off the list of open ones.
func (b *Decisions) drop(d *Decision) {
	b.open = slices.DeleteFunc(slices.Clone(b.open), func(o *Decision) bool { return o == d })
}
