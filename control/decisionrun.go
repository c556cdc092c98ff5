package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/incident"
	"andon/playbook"
)

// What a run of a playbook asks stands among decisions: r-3.2 is what the second
// step of r-3 asks, and r-3 what follows the stop-gap r-3. All the truth of it is
// in the run: whether it is decided here or there, the same code writes the same
// entry, and the second to come is told who was first.

// runChoiceID is the id among decisions of what a step asks, by its number from 1;
// 0 is the stop-gap.
func runChoiceID(run string, step int) string {
	if step == 0 {
		return run
	}
	return run + "." + strconv.Itoa(step)
}

// readChoiceID reads one; not ok: it is the id of something else.
func readChoiceID(id string) (run string, step int, ok bool) {
	run, n, of := strings.Cut(id, ".")
	if number(run, "r-") < 1 {
		return "", 0, false
	}
	if of {
		if step, _ = strconv.Atoi(n); step < 1 {
			return "", 0, false
		}
	}
	return run, step, true
}

// runChoice is what somebody is asked by a run: the step, or the stop-gap, and the
// options.
func (s *state) runChoice(op *operator, id string) (r *playbook.Run, n int, options []string, err error) {
	run, n, ok := readChoiceID(id)
	if !ok {
		return nil, 0, nil, problem("not_found", "there is no decision "+strconv.Quote(short(id)))
	}
	if r, err = s.runFor(op, run); err != nil {
		return nil, 0, nil, err
	}
	switch {
	case n == 0 && r.Gap != nil:
		return r, 0, gapOptions(r), nil
	case n >= 1 && n <= len(r.Steps) && r.Playbook.Steps[n-1].Decision != nil:
		return r, n, r.Playbook.Steps[n-1].Decision.Options, nil
	}
	p := problem("not_found", run+" asks for no such decision")
	for i := range r.Steps {
		if r.Playbook.Steps[i].Decision != nil {
			p.Allowed = append(p.Allowed, runChoiceID(run, i+1))
		}
	}
	return nil, 0, nil, p
}

// gapOptions are what can be decided about a stop-gap.
func gapOptions(r *playbook.Run) []string {
	if len(r.Playbook.Steps) == 0 {
		return []string{playbook.Extend, playbook.LetGo}
	}
	return playbook.GapChoices
}

// viewRunChoice shows what a run asks as a decision. The caller holds mu.
func (c *Control) viewRunChoice(r *playbook.Run, n int, options []string) (decisionView, error) {
	v := decisionView{ID: runChoiceID(r.ID, n), Run: r.ID, Incident: r.Incident, OpenedBy: r.By, State: incident.DecisionOpen, Options: []optionView{}, Criteria: []incident.LiftCriterion{}, Dissents: []incident.Dissent{}}
	if in := c.state.book().Incident(r.Incident); in != nil {
		v.TLP, v.Restricted = in.Marking.Label(), in.Marking != nil && in.Marking.Need != nil
	}
	for i, o := range options {
		v.Options = append(v.Options, optionView{N: i + 1, Option: incident.Option{Title: o}})
	}
	made := func(state, choice, by, why string, at time.Time) {
		v.State = state
		v.Decided = &madeView{Option: slices.Index(options, choice) + 1, By: by, At: at, Auto: state == incident.DecisionFell, Rationale: why}
	}
	if n == 0 {
		g := r.Gap
		v.Question, v.OpenedAt, v.Deadline = "What follows the stop-gap of "+r.Playbook.Name+"?", g.Since, g.DecideBy
		v.Default, v.Manual = 0, "nobody is asked twice: it stands on, overdue, until somebody decides"
		if g.Then == playbook.Lapse {
			v.Default, v.Manual = slices.Index(options, playbook.LetGo)+1, ""
		}
		switch {
		case g.Choice != "":
			made(incident.DecisionMade, g.Choice, r.EndedBy, r.Note, r.EndedAt)
		case r.State == playbook.Over && r.EndedBy == system && g.Then == playbook.Lapse:
			made(incident.DecisionFell, playbook.LetGo, system, r.Note, r.EndedAt)
		case !r.Live():
			return v, problem("run_state", fmt.Sprintf("%s is %s by %s since %s, and was not decided: %s", r.ID, r.State, r.EndedBy, r.EndedAt.Format(time.RFC3339), r.Note))
		case g.Overdue():
			v.Overdue = "it stands on until somebody decides"
		}
		if g.Next != "" {
			v.Notes = append(v.Notes, "the ladder goes on as "+g.Next)
		}
	} else {
		st, step := &r.Steps[n-1], &r.Playbook.Steps[n-1]
		v.Step, v.Question, v.OpenedAt, v.Deadline, v.Default = st.Name, step.Decision.Question, st.ReadyAt, st.Due, slices.Index(options, step.Decision.Default)+1
		switch {
		case st.State == playbook.Done && st.Auto:
			made(incident.DecisionFell, st.Choice, st.By, st.Note, st.SettledAt)
		case st.State == playbook.Done:
			made(incident.DecisionMade, st.Choice, st.By, st.Note, st.SettledAt)
		case st.State != playbook.Ready || !r.Live():
			return v, unasked(r, n)
		}
		for i := range r.Playbook.Steps {
			next := &r.Playbook.Steps[i]
			for j := range v.Options {
				if next.If != nil && next.If.Step == st.Name && slices.Contains(next.If.Is, options[j]) {
					v.Options[j].Then = append(v.Options[j].Then, next.Words())
				}
			}
		}
	}
	if r.State == playbook.OnHold {
		v.Notes = append(v.Notes, "the run is paused: andon runs resume "+r.ID)
	}
	return v, nil
}

// unasked says why a step that is not decided cannot be.
func unasked(r *playbook.Run, n int) *Problem {
	st := &r.Steps[n-1]
	id := runChoiceID(r.ID, n)
	switch {
	case st.State == playbook.Skipped:
		return problem("run_state", fmt.Sprintf("%s was left out by %s at %s: %s", id, st.By, st.SettledAt.Format(time.RFC3339), st.Note))
	case st.State == playbook.Passed:
		return problem("run_state", id+" is not asked: what was decided before does not lead there")
	case !r.Live():
		return problem("run_state", fmt.Sprintf("%s is not asked any more: %s is %s since %s", id, r.ID, r.State, r.EndedAt.Format(time.RFC3339)))
	}
	return problem("run_state", fmt.Sprintf("%s is not asked yet: first comes %s", id, orList(r.Before(st.Name))))
}

// showRunChoice answers with what a run asks, as it is now.
func (c *Control) showRunChoice(cl *call, id string) error {
	c.mu.RLock()
	r, n, options, err := c.state.runChoice(cl.op, id)
	var v decisionView
	if err == nil {
		v, err = c.viewRunChoice(r, n, options)
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// decideRunChoice settles a step, or decides about a stop-gap, by its id among
// decisions.
func (c *Control) decideRunChoice(cl *call, id string, ask *decideAsk) error {
	if err := cl.op.may("run.decide"); err != nil {
		return err
	}
	if err := onlyQuery(cl.r.URL.Query()); err != nil {
		return err
	}
	if ask.NotNarrower != "" || ask.NotBroader != "" || ask.Known != "" || ask.Missing != "" || len(ask.Criteria) > 0 || !ask.ReviewBy.IsZero() {
		return badField("rationale", id+" is asked by a run of a playbook: it takes an option and a rationale, and nothing else")
	}
	c.mu.RLock()
	r, n, options, err := c.state.runChoice(cl.op, id)
	c.mu.RUnlock()
	switch {
	case err != nil:
		return err
	case ask.Option < 1 || ask.Option > len(options):
		return badField("option", fmt.Sprintf("%d is no option of %s; 1 to %d", ask.Option, id, len(options)), options...)
	}
	if err := reasonField("rationale", ask.Rationale); err != nil {
		return err
	}
	b := runDecision{Choice: options[ask.Option-1], Reason: ask.Rationale}
	if n > 0 {
		b.Step = r.Steps[n-1].Name
	}
	if _, err := c.decideInRun(cl, r.ID, &b); err != nil {
		return err
	}
	return c.showRunChoice(cl, id)
}

// decideInRun writes what was decided about a step or a stop-gap, and goes on. It
// returns the run that does.
func (c *Control) decideInRun(cl *call, id string, b *runDecision) (string, error) {
	next := id
	err := cl.op.enrolled()
	if err != nil {
		return "", err
	}
	if b.Step == "" {
		next, err = c.decideGap(cl, id, b)
	} else {
		err = c.decideStep(cl, id, b)
	}
	if err == nil {
		c.goOn(cl, next)
	}
	return next, err
}

// decideStep settles a decision step.
func (c *Control) decideStep(cl *call, id string, b *runDecision) error {
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		r, err := s.runFor(cl.op, id)
		if err != nil {
			return nil, err
		}
		st, step := r.Step(b.Step)
		switch {
		case st == nil:
			return nil, fail404(r, b.Step)
		case step.Decision == nil:
			return nil, problem("run_state", fmt.Sprintf("step %q is a %s; nothing is decided there", st.Name, st.Kind))
		case !slices.Contains(step.Decision.Options, b.Choice):
			return nil, badField("choice", strconv.Quote(short(b.Choice))+" is not an option of step "+strconv.Quote(st.Name), step.Decision.Options...)
		case st.State == playbook.Done:
			return nil, problem("run_state", fmt.Sprintf("step %q was %s", st.Name, st.Stands()))
		}
		e := playbook.Event{Run: id, Step: b.Step, Choice: b.Choice, Note: b.Reason}
		if _, err := happens(r, playbook.StepDone, e, now, cl.op.id); err != nil {
			return nil, err
		}
		return []draft{{playbook.StepDone, e}}, nil
	})
	return err
}
