package control

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/plan"
)

// The states of a thing, in the order of what comes next.
const (
	retentionDue    = "due"    // past its time: the next pass erases it
	retentionNotice = "notice" // past its time, under a plan whose notice is not over
	retentionHeld   = "held"   // past its time, and needed
	retentionKept   = "kept"   // its time is not over
)

var retentionStates = []string{retentionDue, retentionNotice, retentionHeld, retentionKept}

// retentionView is what is due when, what is held and why, and what was erased. It
// names things, and nothing that they say.
type retentionView struct {
	Clock       clockView        `json:"clock"`
	PlanVersion int              `json:"plan_version"` // in force; 0: none, and nothing is erased
	Classes     []retentionClass `json:"classes"`
	Items       []retentionItem  `json:"items"`
	More        int              `json:"more"` // that the answer does not list
	Holds       []retentionHold  `json:"holds"`
	Erased      []erasure        `json:"erased"` // the newest first
	Bounds      retentionBounds  `json:"bounds"`
}

// retentionBounds are the bounds that nobody configures.
type retentionBounds struct {
	Notice   correction.Duration `json:"notice"`
	Pace     correction.Duration `json:"pace"`      // between two passes
	Pass     int                 `json:"pass"`      // things that one erases at most
	ClockGap correction.Duration `json:"clock_gap"` // a longer one has to be confirmed
	Grace    correction.Duration `json:"grace"`     // after a hold is released
}

// clockView says whether the time can be trusted with erasing.
type clockView struct {
	State string    `json:"state"` // sound or in_doubt
	Why   string    `json:"why,omitempty"`
	Now   time.Time `json:"now"`
	Last  time.Time `json:"last_entry_at,omitzero"`
}

// retentionClass is a class of records. What the reader may not know of is not
// counted.
type retentionClass struct {
	Class   string              `json:"class"`
	Keep    correction.Duration `json:"keep,omitzero"` // missing: the plan does not say, and nothing is erased
	Basis   string              `json:"basis,omitempty"`
	Version int                 `json:"plan_version,omitzero"`
	From    time.Time           `json:"carried_out_from,omitzero"`
	Former  correction.Duration `json:"former_keep,omitzero"` // that holds until then
	Says    string              `json:"says,omitempty"`
	Due     int                 `json:"due"`
	Notice  int                 `json:"notice"`
	Held    int                 `json:"held"`
	Kept    int                 `json:"kept"`
	Erased  int                 `json:"erased"`
	Next    time.Time           `json:"next_due_at,omitzero"`
}

// retentionItem is one thing.
type retentionItem struct {
	Class    string              `json:"class"`
	Item     string              `json:"item"`
	What     string              `json:"what"`
	Incident string              `json:"incident,omitempty"`
	State    string              `json:"state"`
	Since    time.Time           `json:"since"` // from when on its time is counted
	Age      correction.Duration `json:"age"`
	Due      time.Time           `json:"due_at,omitzero"`
	Why      string              `json:"held_by,omitempty"` // who needs it
}

func (s *state) retentionClock(early time.Time) clockView {
	v := clockView{State: "sound", Now: early, Why: s.clockTrouble(early)}
	if !s.last.IsZero() {
		v.Last = s.last.UTC()
	}
	if v.Why != "" {
		v.State = "in_doubt"
	}
	return v
}

// seesRetained says whether an operator may know of a thing.
func (s *state) seesRetained(op *operator, x *retained) bool {
	if x.class == "concerns" {
		return s.readsConcerns(op)
	}
	in := s.book().Incident(x.incident)
	if in == nil {
		return true
	}
	if !s.book().Sees(s.readerOf(op), in) {
		return false
	}
	if x.class != "incidents" {
		return true
	}
	seq := x.seq // a file or a note may be for fewer than its incident
	return in.Reads(s.readerOf(op), seq)
}

// seesErasure says whether an operator may know of one.
func (s *state) seesErasure(op *operator, x *erasure) bool {
	if x.Class == "concerns" {
		return s.readsConcerns(op)
	}
	in := s.book().Incident(x.Incident)
	return in == nil || s.book().Sees(s.readerOf(op), in)
}

// retentionSays is what is to be known about a class beside its rule.
var retentionSays = map[string]string{
	"requests":  "gateways keep them, pseudonymous and bounded, for gateway.record.keep; the control plane holds none, and no legal hold reaches them",
	"incidents": "files and personal notes, from when their incident is closed; the record itself stays",
	"evidence":  "documents, from when they were sealed and their incident is closed",
	"prompts":   "texts of system prompts in evidence; without a rule they are kept as long as the evidence",
	"concerns":  "texts, names and contacts, from when the concern is closed",
	"accounts":  "addresses of contacts in plans that are not in force; names of operators are part of the record",
}

// state says where a thing stands.
func (x *retained) state(k *plan.Keeping, at time.Time) string {
	past := k != nil && !at.Before(x.since.Add(time.Duration(k.Keep))) || !x.due.IsZero() && !at.Before(x.due)
	switch {
	case !x.due.IsZero() && !at.Before(x.due) && x.why == "":
		return retentionDue
	case past && x.why != "":
		return retentionHeld
	case past:
		return retentionNotice
	}
	return retentionKept
}

// getRetention says what is due when, what is held and why, and what was erased
// lately. It is the dry run, too.
func (c *Control) getRetention(cl *call) error {
	if err := cl.op.may("retention.read"); err != nil {
		return err
	}
	q, err := cl.query("class", "state", "limit")
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100, 1, 500)
	if err != nil {
		return err
	}
	if class := q.Get("class"); q.Has("class") && !slices.Contains(plan.RetentionClasses, class) {
		return badQuery("class", strconv.Quote(short(class))+" is no class of records", plan.RetentionClasses...)
	}
	if st := q.Get("state"); q.Has("state") && !slices.Contains(retentionStates, st) {
		return badQuery("state", strconv.Quote(short(st))+" is no state", retentionStates...)
	}
	return cl.reply(http.StatusOK, c.retentionView(cl.op, q.Get("class"), q.Get("state"), int(limit)))
}

func (c *Control) retentionView(op *operator, class, state string, limit int) *retentionView {
	v := &retentionView{Classes: []retentionClass{}, Items: []retentionItem{}, Holds: []retentionHold{}, Erased: []erasure{}, Bounds: retentionBounds{
		correction.Duration(plan.RetentionNotice), correction.Duration(retentionPace), maxErased, correction.Duration(maxClockGap), correction.Duration(holdGrace)}}
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, now := c.state, c.early()
	v.Clock, v.PlanVersion = s.retentionClock(now), s.plan.version()
	at := map[string]int{}
	for _, name := range plan.RetentionClasses {
		at[name] = len(v.Classes)
		k := retentionClass{Class: name, Says: retentionSays[name]}
		if r := s.retention.rules[name]; r != nil {
			k.Keep, k.Basis, k.Version, k.From = r.Keep, r.Basis, r.Version, r.From
			if now.Before(r.From) {
				k.Former = r.Former
			}
		}
		v.Classes = append(v.Classes, k)
	}
	need := s.needs(now)
	for x := range s.retainedThings() {
		if !s.seesRetained(op, x) {
			continue
		}
		s.dueAt(x, need)
		if x.why != "" && x.why == x.open && !s.knows(op, x.openIn) {
			x.why = "another incident is open"
		}
		k, it := &v.Classes[at[x.class]], retentionItem{Class: x.class, Item: x.item, What: x.what, Incident: x.incident,
			State: x.state(s.retention.rules[x.class], now), Since: x.since.UTC(), Age: x.age(now), Due: x.due, Why: x.why}
		k.count(&it)
		if (class == "" || class == it.Class) && (state == "" || state == it.State) && (state != "" || !it.Due.IsZero()) {
			v.Items = append(v.Items, it)
		}
	}
	slices.SortStableFunc(v.Items, func(a, b retentionItem) int {
		return cmp.Or(slices.Index(retentionStates, a.State)-slices.Index(retentionStates, b.State), a.Due.Compare(b.Due))
	})
	v.More = max(len(v.Items)-limit, 0)
	v.Items = v.Items[:min(len(v.Items), limit)]
	for _, h := range slices.Backward(s.retention.holds) {
		if s.seesHold(op, h) && len(v.Holds) < limit {
			v.Holds = append(v.Holds, *h)
		}
	}
	for _, x := range slices.Backward(s.retention.done) {
		if !s.seesErasure(op, x) {
			continue
		}
		v.Classes[at[x.Class]].Erased += len(x.Items)
		if (class == "" || class == x.Class) && len(v.Erased) < limit {
			v.Erased = append(v.Erased, *x)
		}
	}
	return v
}

func (k *retentionClass) count(it *retentionItem) {
	switch it.State {
	case retentionDue:
		k.Due++
	case retentionNotice:
		k.Notice++
	case retentionHeld:
		k.Held++
	default:
		k.Kept++
	}
	if !it.Due.IsZero() && it.Why == "" && (k.Next.IsZero() || it.Due.Before(k.Next)) {
		k.Next = it.Due
	}
}

// erasedUnder says under which retention a personal value was erased, in words; ""
// if it was not, or by hand. The caller does not hold mu.
func (c *Control) erasedUnder(commitments ...string) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var said []string
	for _, n := range commitments {
		if words := c.state.retention.under[n].words(); words != "" && !slices.Contains(said, words) {
			said = append(said, words)
		}
	}
	return strings.Join(said, "; ")
}
