package playbook

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"andon/correction"
)

// What happens to a run, as entries of the record name it.
const (
	Started      = "run.started"       // Opening
	StepDone     = "run.step_done"     // Event: applied, done, told, decided or waited
	StepFailed   = "run.step_failed"   // the correction was refused; somebody retries or skips it
	StepHeld     = "run.step_held"     // the run's authority does not suffice now; it is tried again
	StepSkipped  = "run.step_skipped"  // somebody left it out, with a reason
	StepRetried  = "run.step_retried"  // a failed step is ready again
	Paused       = "run.paused"        // no step is taken, and no clock of the run goes on
	Resumed      = "run.resumed"       // by whom it acts from now on
	CriterionMet = "run.criterion_met" // with the evidence
	Alarmed      = "run.alarmed"       // a stop-gap's time runs out
	GapDecided   = "run.gap_decided"   // extended, replaced by the ladder, or let go
	Ended        = "run.ended"         // all criteria are met, or the reason why it ends
	Aborted      = "run.aborted"       // no further step; what is in force stays
)

// Events are all there are, but Started.
var Events = []string{StepDone, StepFailed, StepHeld, StepSkipped, StepRetried, Paused, Resumed, CriterionMet, Alarmed, GapDecided, Ended, Aborted}

// Opening is how a run begins. Its playbook is the one that runs, whatever the
// plan says later.
type Opening struct {
	ID       string            `json:"id"`
	Playbook Playbook          `json:"playbook"`       // its variables filled in
	Digest   string            `json:"digest"`         // of the playbook as it was written, before that
	Plan     int               `json:"plan,omitempty"` // version of the plan that it is from
	Vars     map[string]string `json:"vars,omitempty"`
	Incident string            `json:"incident,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Gap      *Gap              `json:"gap,omitempty"` // it is the stop-gap, and not the ladder
	From     string            `json:"from,omitempty"`
	Roles    []string          `json:"roles,omitempty"` // with which it acts, at most: those of the credential that started it
}

// Event is what happens to a run later. Which members it has depends on its kind.
type Event struct {
	Run        string    `json:"run"`
	Step       string    `json:"step,omitempty"`
	Correction string    `json:"correction,omitempty"` // that the step applied
	Others     []string  `json:"others,omitempty"`     // corrections that came with it
	Evidence   string    `json:"evidence,omitempty"`   // that was sealed for the step
	Choice     string    `json:"choice,omitempty"`
	Note       string    `json:"note,omitempty"`      // reason, evidence, what was done, what is wrong
	Code       string    `json:"code,omitempty"`      // of what is wrong
	Criterion  int       `json:"criterion,omitempty"` // from 1
	Until      time.Time `json:"until,omitzero"`      // deadline that a decision sets anew
	Expires    time.Time `json:"expires_at,omitzero"` // when the stop-gap's corrections end
	Next       string    `json:"next,omitempty"`      // run of the ladder that replaces the stop-gap
	Roles      []string  `json:"roles,omitempty"`     // of who resumes it, see Opening
	Auto       bool      `json:"auto,omitempty"`      // nobody was asked: the playbook says so
}

// States of a run.
const (
	Running  = "running"
	OnHold   = "paused"
	Over     = "ended"
	CutShort = "aborted"
)

// States of a step.
const (
	Waiting = "waiting" // for steps before it
	Ready   = "ready"   // to be taken, by whom Taker says
	Done    = "done"
	Failed  = "failed"
	Skipped = "skipped"
	Passed  = "passed over" // its condition does not hold
)

// StepState is where a step of a run is.
type StepState struct {
	Name       string    `json:"name"`
	Kind       string    `json:"kind"`
	State      string    `json:"state"`
	ReadyAt    time.Time `json:"ready_at,omitzero"`
	Due        time.Time `json:"due,omitzero"` // when a wait is over, a default counts, a task is late
	SettledAt  time.Time `json:"settled_at,omitzero"`
	By         string    `json:"by,omitempty"`
	Auto       bool      `json:"auto,omitempty"`
	Correction string    `json:"correction,omitempty"`
	Others     []string  `json:"others,omitempty"` // corrections that came with it
	Evidence   string    `json:"evidence,omitempty"`
	Choice     string    `json:"choice,omitempty"`
	Note       string    `json:"note,omitempty"`
	Held       string    `json:"held,omitempty"` // why it is not taken, although it could be
	Code       string    `json:"code,omitempty"` // of Held, or of the failure
}

// Stands says where a step is, and of one that was decided by whom, when and how.
func (s *StepState) Stands() string {
	switch {
	case s.State != Done || s.Choice == "":
		return s.State
	case s.Auto:
		return fmt.Sprintf("decided at %s: %s, its default, since nobody had answered", s.SettledAt.Format(time.RFC3339), strconv.Quote(s.Choice))
	}
	return fmt.Sprintf("decided at %s by %s: %s", s.SettledAt.Format(time.RFC3339), s.By, strconv.Quote(s.Choice))
}

// settled says whether the steps after it may go on.
func (s *StepState) settled() bool { return s.State == Done || s.State == Skipped || s.State == Passed }

// Criterion is one of the playbook's exit criteria.
type Criterion struct {
	Text     string    `json:"text"`
	MetAt    time.Time `json:"met_at,omitzero"`
	By       string    `json:"by,omitempty"`
	Evidence string    `json:"evidence,omitempty"`
}

// Run is a playbook that is being carried out: the fold over its events. It is
// never changed once another is made of it.
type Run struct {
	ID        string
	Playbook  *Playbook
	Digest    string
	Plan      int
	Vars      map[string]string
	Incident  string
	Reason    string
	From      string // stop-gap that it replaces
	StartedAt time.Time
	StartedBy string
	By        string   // in whose name it acts: who started it, or resumed it last
	Roles     []string // with which, at most
	State     string
	PausedAt  time.Time
	EndedAt   time.Time
	EndedBy   string
	Note      string // why it is paused, ended or aborted
	Steps     []StepState
	Exit      []Criterion
	Gap       *Gap
}

// ErrOrder is wrapped by what does not fit the state of a run.
var ErrOrder = errors.New("does not fit the run's state")

func disorder(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrOrder)
}

// Begin is a run at its beginning. Whether the playbook is valid was asked before
// the entry was made; here it only has to hold together, so that what was
// accepted once can be read by every later version.
func Begin(o Opening, at time.Time, by string) (*Run, error) {
	if o.ID == "" {
		return nil, disorder("a run without an id")
	}
	if err := o.Playbook.sound(); err != nil {
		return nil, fmt.Errorf("playbook %s: %w", o.Playbook.Name, err)
	}
	p := o.Playbook
	r := &Run{ID: o.ID, Playbook: &p, Digest: o.Digest, Plan: o.Plan, Vars: o.Vars, Incident: o.Incident, Reason: o.Reason, From: o.From,
		StartedAt: at, StartedBy: by, By: by, Roles: o.Roles, State: Running, Gap: o.Gap}
	if r.Gap != nil {
		return r, nil
	}
	for i := range p.Steps {
		r.Steps = append(r.Steps, StepState{Name: p.Steps[i].Name, Kind: p.Steps[i].Kind(), State: Waiting})
	}
	for _, e := range p.Exit {
		r.Exit = append(r.Exit, Criterion{Text: e})
	}
	r.settle(at)
	return r, nil
}

// sound says whether the steps hold together: each has a name of its own and is
// something, what they refer to is there, and none waits for itself.
func (p *Playbook) sound() error {
	index := map[string]int{}
	for i := range p.Steps {
		if _, twice := index[p.Steps[i].Name]; twice || p.Steps[i].Kind() == "" {
			return disorder("step %d has no name of its own, or does nothing", i)
		}
		index[p.Steps[i].Name] = i
	}
	for i := range p.Steps {
		for _, a := range p.After(i) {
			if _, ok := index[a]; !ok {
				return disorder("step %d comes after %s, which is not there", i, strconv.Quote(short(a)))
			}
		}
		if c := p.Steps[i].If; c != nil && p.Step(c.Step).Decision == nil {
			return disorder("step %d asks for a decision of %s", i, strconv.Quote(short(c.Step)))
		}
	}
	if loop := p.cycle(index); loop != nil {
		return disorder("steps wait for each other: %v", loop)
	}
	return nil
}

// Live says whether anything can still happen in the run.
func (r *Run) Live() bool { return r.State == Running || r.State == OnHold }

// Step is the state of the step of that name, with what it is; nil if there is none.
func (r *Run) Step(name string) (*StepState, *Step) {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i], &r.Playbook.Steps[i]
		}
	}
	return nil, nil
}

func (r *Run) copy() *Run {
	n := *r
	n.Steps, n.Exit = slices.Clone(r.Steps), slices.Clone(r.Exit)
	if r.Gap != nil {
		g := *r.Gap
		g.Alarms = slices.Clone(g.Alarms)
		n.Gap = &g
	}
	return &n
}

// Next is the run after an event. On error nothing has changed.
func (r *Run) Next(kind string, e Event, at time.Time, by string) (*Run, error) {
	if !r.Live() {
		return nil, disorder("run %s is %s since %s", r.ID, r.State, r.EndedAt.Format(time.RFC3339))
	}
	n := r.copy()
	if err := n.take(kind, e, at, by); err != nil {
		return nil, err
	}
	n.settle(at)
	return n, nil
}

func (r *Run) take(kind string, e Event, at time.Time, by string) error {
	switch kind {
	case StepDone, StepFailed, StepHeld, StepSkipped, StepRetried:
		return r.takeStep(kind, e, at, by)
	case Paused:
		if r.State != Running {
			return disorder("run %s is %s already", r.ID, r.State)
		}
		r.State, r.PausedAt, r.Note = OnHold, at, e.Note
	case Resumed:
		if r.State != OnHold && by == r.By {
			return disorder("run %s is running, in your name", r.ID)
		}
		if r.State == OnHold {
			r.shift(at.Sub(r.PausedAt))
		}
		r.State, r.PausedAt, r.Note, r.By, r.Roles = Running, time.Time{}, "", by, e.Roles
		for i := range r.Steps {
			if r.Steps[i].State == Ready {
				r.Steps[i].Held, r.Steps[i].Code = "", ""
			}
		}
	case CriterionMet:
		if e.Criterion < 1 || e.Criterion > len(r.Exit) {
			return disorder("run %s has no criterion %d; there are %d", r.ID, e.Criterion, len(r.Exit))
		}
		c := &r.Exit[e.Criterion-1]
		if !c.MetAt.IsZero() {
			return disorder("criterion %d is met since %s", e.Criterion, c.MetAt.Format(time.RFC3339))
		}
		c.MetAt, c.By, c.Evidence = at, by, e.Note
	case Alarmed, GapDecided:
		if r.Gap == nil {
			return disorder("run %s is no stop-gap", r.ID)
		}
		return r.takeGap(kind, e, at, by)
	case Ended:
		if open := r.Open(); len(open) > 0 && e.Note == "" {
			return disorder("run %s cannot end yet: %s", r.ID, open[0])
		}
		r.close(Over, e, at, by)
	case Aborted:
		r.close(CutShort, e, at, by)
	default:
		return disorder("%q is nothing that happens to a run", kind)
	}
	return nil
}

func (r *Run) close(state string, e Event, at time.Time, by string) {
	r.State, r.EndedAt, r.EndedBy, r.Note, r.PausedAt = state, at, by, e.Note, time.Time{}
}

// shift moves the clocks that stood still while the run was paused.
func (r *Run) shift(d time.Duration) {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.State == Ready && !s.Due.IsZero() {
			s.Due = s.Due.Add(d)
		}
	}
}

func (r *Run) takeStep(kind string, e Event, at time.Time, by string) error {
	st, step := r.Step(e.Step)
	if st == nil {
		return disorder("run %s has no step %s", r.ID, strconv.Quote(short(e.Step)))
	}
	if r.State != Running {
		return disorder("run %s is paused", r.ID)
	}
	want := Ready
	if kind == StepRetried {
		want = Failed
	}
	// What waits for others may be left out ahead of time, and what failed, too.
	if st.State != want && !(kind == StepSkipped && (st.State == Waiting || st.State == Failed)) {
		is := "is"
		if st.Choice != "" {
			is = "was"
		}
		return disorder("step %s %s %s", strconv.Quote(st.Name), is, st.Stands())
	}
	switch kind {
	case StepHeld:
		st.Held, st.Code = e.Note, e.Code
		return nil
	case StepFailed:
		if st.Kind != KindCorrection {
			return disorder("step %s is a %s, which cannot fail", strconv.Quote(st.Name), st.Kind)
		}
		st.State, st.Note, st.Code, st.Held = Failed, e.Note, e.Code, ""
		return nil
	case StepRetried:
		st.State, st.Note, st.Code, st.Held, st.ReadyAt = Ready, "", "", "", at
		return nil
	case StepSkipped:
		st.State = Skipped
	case StepDone:
		if (st.Kind == KindCorrection) != (e.Correction != "") {
			return disorder("step %s and its correction do not go together", strconv.Quote(st.Name))
		}
		if st.Kind != KindEvidence && e.Evidence != "" {
			return disorder("step %s is a %s, and seals no evidence", strconv.Quote(st.Name), st.Kind)
		}
		if st.Kind == KindDecision && !slices.Contains(step.Decision.Options, e.Choice) {
			return disorder("%s is no option of step %s", strconv.Quote(short(e.Choice)), strconv.Quote(st.Name))
		}
		if st.Kind == KindWait && at.Before(st.Due) {
			return disorder("step %s waits until %s", strconv.Quote(st.Name), st.Due.Format(time.RFC3339))
		}
		st.State, st.Correction, st.Others, st.Evidence, st.Choice = Done, e.Correction, e.Others, e.Evidence, e.Choice
	}
	st.SettledAt, st.By, st.Auto, st.Note, st.Held, st.Code = at, by, e.Auto, e.Note, "", ""
	return nil
}

// settle makes ready, or passes over, the steps whose forerunners are settled.
func (r *Run) settle(at time.Time) {
	if !r.Live() {
		return
	}
	for again := true; again; {
		again = false
		for i := range r.Steps {
			st := &r.Steps[i]
			if st.State != Waiting || len(r.before(i)) > 0 {
				continue
			}
			again = true
			step := &r.Playbook.Steps[i]
			if c := step.If; c != nil {
				if d, _ := r.Step(c.Step); d.State != Done || !slices.Contains(c.Is, d.Choice) {
					st.State, st.SettledAt = Passed, at
					continue
				}
			}
			st.State, st.ReadyAt = Ready, at
			if d := within(step); d > 0 {
				st.Due = at.Add(time.Duration(d))
			}
		}
	}
}

// within is how long a step may take, or takes.
func within(s *Step) correction.Duration {
	switch {
	case s.Task != nil:
		return s.Task.Within
	case s.Decision != nil:
		return s.Decision.Within
	}
	return s.Wait
}

// before are the steps that step i waits for.
func (r *Run) before(i int) []string {
	var out []string
	for _, name := range r.Playbook.After(i) {
		if st, _ := r.Step(name); st != nil && !st.settled() {
			out = append(out, name)
		}
	}
	return out
}
