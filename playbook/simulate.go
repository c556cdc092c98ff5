package playbook

import (
	"slices"
	"strconv"
	"time"
)

// Scenario is what is assumed while a run is walked through.
type Scenario struct {
	Start   time.Time
	Choices map[string]string // of decisions, by step; what is not here falls to its default, at its deadline
	Slow    bool              // people use up what time they have; else they act at once
}

// Walked is one step of a walk.
type Walked struct {
	Step  string    `json:"step"`
	State string    `json:"state"` // done or passed over
	From  time.Time `json:"from"`  // ready
	To    time.Time `json:"to"`    // settled
}

// Walk is how a run would go.
type Walk struct {
	Steps    []Walked
	Through  time.Time
	Critical []string // the steps that decide when it is through, first to last
}

// Simulate walks a playbook through with a clock of its own: the run is the real
// one, and nothing is applied. Choices that name no option are faults.
func (p *Playbook) Simulate(sc Scenario) (*Walk, []Fault) {
	var faults []Fault
	for step, choice := range sc.Choices {
		s := p.Step(step)
		switch {
		case s == nil || s.Decision == nil:
			faults = append(faults, Fault{Field: "choices." + short(step), Detail: "is not a step that decides"})
		case !slices.Contains(s.Decision.Options, choice):
			faults = append(faults, Fault{Field: "choices." + step, Detail: strconv.Quote(short(choice)) + " is not an option", Allowed: s.Decision.Options})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	r, err := Begin(Opening{ID: "r-0", Playbook: *p}, sc.Start, "simulation")
	if err != nil {
		return nil, []Fault{{Field: "steps", Detail: err.Error()}}
	}
	for {
		next, e, at := -1, Event{}, time.Time{}
		for i := range r.Steps {
			if r.Steps[i].State != Ready {
				continue
			}
			if end, ev := sc.end(r, i); next < 0 || end.Before(at) {
				next, at, e = i, end, ev
			}
		}
		if next < 0 {
			break
		}
		if r, err = r.Next(StepDone, e, at, "simulation"); err != nil {
			return nil, []Fault{{Field: "steps", Detail: err.Error()}}
		}
	}
	w := &Walk{Through: sc.Start}
	for i := range r.Steps {
		st := &r.Steps[i]
		from := st.ReadyAt
		if from.IsZero() {
			from = st.SettledAt
		}
		w.Steps = append(w.Steps, Walked{st.Name, st.State, from, st.SettledAt})
		if st.SettledAt.After(w.Through) {
			w.Through = st.SettledAt
		}
	}
	w.Critical = r.critical()
	return w, nil
}

// end is when a ready step is done, and how.
func (sc *Scenario) end(r *Run, i int) (time.Time, Event) {
	st, s := &r.Steps[i], &r.Playbook.Steps[i]
	e := Event{Run: r.ID, Step: st.Name}
	at := st.ReadyAt
	switch {
	case s.Correction != nil:
		e.Correction = "c-0"
	case s.Wait != 0:
		at = st.Due
	case s.Decision != nil:
		choice, chosen := sc.Choices[st.Name]
		if e.Choice = choice; !chosen {
			e.Choice = s.Decision.Default
		}
		if !chosen || sc.Slow {
			at = st.Due
		}
	case sc.Slow && !st.Due.IsZero():
		at = st.Due
	}
	return at, e
}

// critical goes back from the step that was settled last, always to the one
// before it that it waited for the longest.
func (r *Run) critical() []string {
	last := -1
	for i := range r.Steps {
		if r.Steps[i].State == Done && (last < 0 || !r.Steps[i].SettledAt.Before(r.Steps[last].SettledAt)) {
			last = i
		}
	}
	var out []string
	for last >= 0 { // there is no circle
		if r.Steps[last].State == Done {
			out = append(out, r.Steps[last].Name)
		}
		before := -1
		for _, name := range r.Playbook.After(last) {
			i := slices.IndexFunc(r.Steps, func(s StepState) bool { return s.Name == name })
			if i >= 0 && (before < 0 || r.Steps[i].SettledAt.After(r.Steps[before].SettledAt)) {
				before = i
			}
		}
		last = before
	}
	slices.Reverse(out)
	return out
}
