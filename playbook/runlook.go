package playbook

// What a run waits for, and what its clock brings about.

import (
	"fmt"
	"strconv"
	"time"
)

// Before are the steps that a step waits for.
func (r *Run) Before(name string) []string {
	for i := range r.Steps {
		if r.Steps[i].Name == name && r.Steps[i].State == Waiting {
			return r.before(i)
		}
	}
	return nil
}

// Automatic are the corrections that are to be applied now without asking
// anybody, by their steps' names.
func (r *Run) Automatic() []string {
	if r.State != Running {
		return nil
	}
	var out []string
	for i := range r.Steps {
		if st, s := &r.Steps[i], &r.Playbook.Steps[i]; st.State == Ready && s.Correction != nil && !s.Confirm {
			out = append(out, st.Name)
		}
	}
	return out
}

// Snapshots are the evidence steps whose turn it is, by their names.
func (r *Run) Snapshots() []string {
	if r.State != Running {
		return nil
	}
	var out []string
	for i := range r.Steps {
		if st := &r.Steps[i]; st.State == Ready && st.Kind == KindEvidence {
			out = append(out, st.Name)
		}
	}
	return out
}

// Due is what the clock brings about, now that it is surely at least early: waits
// that are over, and decisions that nobody took.
func (r *Run) Due(early time.Time) []Event {
	if r.State != Running {
		return nil
	}
	var out []Event
	for i := range r.Steps {
		st, s := &r.Steps[i], &r.Playbook.Steps[i]
		if st.State != Ready || st.Due.IsZero() || early.Before(st.Due) {
			continue
		}
		switch st.Kind {
		case KindWait:
			out = append(out, Event{Run: r.ID, Step: st.Name, Auto: true})
		case KindDecision:
			out = append(out, Event{Run: r.ID, Step: st.Name, Choice: s.Decision.Default, Auto: true,
				Note: "nobody decided within " + s.Decision.Within.String() + "; the playbook's default holds"})
		}
	}
	return out
}

// Open says what is missing before the run can end without a reason.
func (r *Run) Open() []string {
	var out []string
	for i := range r.Steps {
		if st := &r.Steps[i]; !st.settled() {
			out = append(out, "step "+strconv.Quote(st.Name)+" is "+st.State)
		}
	}
	for i, c := range r.Exit {
		if c.MetAt.IsZero() {
			out = append(out, fmt.Sprintf("criterion %d is not met: %s", i+1, c.Text))
		}
	}
	if r.Gap != nil && r.Gap.Choice == "" {
		out = append(out, "nobody has decided what follows the stop-gap")
	}
	return out
}

// Corrections are those that the run has put in force, whatever became of them.
func (r *Run) Corrections() []string {
	var out []string
	if r.Gap != nil {
		out = append(out, r.Gap.Corrections...)
	}
	for i := range r.Steps {
		if id := r.Steps[i].Correction; id != "" {
			out = append(append(out, id), r.Steps[i].Others...)
		}
	}
	return out
}
