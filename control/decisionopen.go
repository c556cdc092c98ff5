package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/incident"
	"andon/playbook"
	"andon/propose"
)

// newDecision is what somebody opens. Of case and options at least one is given:
// the ladder against a threat, and options of one's own.
type newDecision struct {
	Question string              `json:"question,omitempty"` // default: what is done about the threat
	Incident string              `json:"incident,omitempty"`
	Case     *propose.Case       `json:"case,omitempty"` // its threat can be one of the plan's
	Vars     map[string]string   `json:"vars,omitempty"` // for the plan's playbooks against that threat
	Options  []incident.Option   `json:"options,omitempty"`
	Default  string              `json:"default,omitempty"` // title of an option; default: to do nothing
	Deadline time.Time           `json:"deadline,omitzero"`
	Within   correction.Duration `json:"within,omitzero"` // from now, instead of deadline
	Known    string              `json:"known,omitempty"`
	Missing  string              `json:"missing,omitempty"`
	Waiting  string              `json:"cost_of_waiting,omitempty"`
}

// maxDecisionModels bounds the models of a plan's threat that a ladder is for.
const maxDecisionModels = 100

// postDecision opens a decision: its options are pinned, checked as they will be
// when they are carried out, and compared.
func (c *Control) postDecision(cl *call) error {
	if err := cl.op.may("decision.open"); err != nil {
		return err
	}
	ask, err := decode[newDecision](cl)
	if err != nil {
		return err
	}
	now := c.cfg.Now().UTC().Round(0)
	d := &incident.DecisionOpened{Question: ask.Question, Options: ask.Options, Known: ask.Known, Missing: ask.Missing, Waiting: ask.Waiting, Deadline: utc(ask.Deadline), Roles: cl.op.roles.Names()}
	if d.Incident, err = c.decisionIncident(cl.op, ask.Incident); err != nil {
		return err
	}
	switch {
	case ask.Within != 0 && !ask.Deadline.IsZero():
		return badField("within", "is another way to write deadline; give one of the two")
	case ask.Within != 0:
		d.Deadline = now.Add(time.Duration(ask.Within))
	case ask.Deadline.IsZero():
		return badField("deadline", "missing: say until when it has to be decided: deadline or within")
	}
	if ask.Case != nil {
		if err := c.ladderFor(d, *ask.Case, ask.Vars, now); err != nil {
			return err
		}
	} else if len(ask.Vars) > 0 {
		return badField("vars", "are for the playbooks of a threat, and case names none; an option that names a playbook has vars of its own")
	}
	if !slices.ContainsFunc(d.Options, func(o incident.Option) bool { return o.Nothing() && o.Playbook == nil }) {
		d.Options = append([]incident.Option{{Title: incident.DoNothing}}, d.Options...)
	}
	if len(d.Options) > incident.MaxOptions { // before anything is looked at one by one
		return badField("options", fmt.Sprintf("%d with those of the threat and to do nothing; at most %d", len(d.Options), incident.MaxOptions))
	}
	if err := c.settleOptions(cl.r.Context(), d, now); err != nil {
		return err
	}
	if d.Default, err = defaultOf(d, ask.Default); err != nil {
		return err
	}
	if err := d.Check(now); err != nil {
		return incidentProblem(err)
	}
	d.Seen = c.compare(cl.r.Context(), d)
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if d.Incident != "" {
			if _, err := s.decisionIncident(cl.op, d.Incident); err != nil {
				return nil, err
			}
		}
		next := *d
		next.ID = s.decision.all.NextID()
		id = next.ID
		return s.decisionDraft(cl.op.id, &next, now)
	})
	if err != nil {
		return err
	}
	cl.w.Header().Set("Location", "/api/v1/decisions/"+id)
	return c.showDecision(cl, http.StatusCreated, id)
}

// decisionIncident is the incident that a decision is opened in: "", or one that is
// there for the operator, and not over.
func (c *Control) decisionIncident(op *operator, id string) (string, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.decisionIncident(op, id)
}

func (s *state) decisionIncident(op *operator, id string) (string, error) {
	probe := correction.Correction{Incident: id, Mode: correction.Shadow}
	err := s.checkIncident(op, &probe)
	return probe.Incident, err
}

// ladderFor adds the options against a threat, the narrowest first. A threat of the
// plan is answered by the plan's playbooks, and by the ladder of its class.
func (c *Control) ladderFor(d *incident.DecisionOpened, k propose.Case, vars map[string]string, now time.Time) error {
	if k.Incident != "" {
		return badField("case.incident", "is the decision's: leave it out here")
	}
	d.Threat = k.Threat
	c.mu.RLock()
	t := c.state.planned().Threat(k.Threat)
	var books []*playbook.Playbook
	if t != nil {
		books = booksFor(c.state.planned(), t)
	}
	c.mu.RUnlock()
	planned, lacks, err := c.planOptions(books, vars, now)
	if err != nil {
		return err
	}
	if t != nil {
		if k.Threat = t.Class; k.Threat == "" && len(planned) == 0 {
			return badField("case.threat", strings.Join(append([]string{"the plan's threat " + strconv.Quote(t.Name) + " is of no class, so there is no ladder; give the options"}, lacks...), "; "))
		}
		if string(body(k.Scope)) == string(body(correction.Scope{})) {
			k.Scope.Models = slices.Clone(t.Models[:min(len(t.Models), maxDecisionModels)])
		}
	}
	if string(body(k.Scope)) == string(body(correction.Scope{})) {
		k.Scope.All = true
	}
	var ladder []incident.Option
	if t == nil || t.Class != "" {
		proposed, err := propose.Ladder(k, now)
		if err != nil {
			return underField(err, "case.")
		}
		for _, p := range proposed {
			ladder = append(ladder, incident.Option{Title: p.Title, Why: p.Why, LeavesOpen: p.LeavesOpen, Apply: []correction.Correction{p.Correction}})
		}
	}
	if d.Question == "" {
		d.Question = "What is done about " + d.Threat + "?"
	}
	room, corrections := incident.MaxOptions-1-len(d.Options), incident.MaxInDecision // one is to do nothing
	for i := range d.Options {
		corrections -= len(d.Options[i].Apply) + len(d.Options[i].Lift)
	}
	if len(planned) > 0 { // without the plan, a ladder that has no room is refused below
		var cut []string
		ladder, cut = ranked(planned, ladder, room, corrections)
		lacks = append(lacks, cut...)
	}
	d.Missing = alsoMissing(d.Missing, lacks)
	d.Options = append(ladder, d.Options...)
	return nil
}

// settleOptions pins what options name, and asks of each all that will be asked
// when it is carried out, but for who does it.
func (c *Control) settleOptions(ctx context.Context, d *incident.DecisionOpened, now time.Time) error {
	corrections := 0
	for i := range d.Options {
		o, field := &d.Options[i], fmt.Sprintf("options[%d].", i)
		if o.Playbook != nil {
			if err := c.fromPlaybook(o); err != nil {
				return underField(err, field)
			}
		}
		if n := len(o.Apply) + len(o.Lift); n > incident.MaxInOption {
			return badField(strings.TrimSuffix(field, "."), fmt.Sprintf("applies and lifts %d corrections; at most %d", n, incident.MaxInOption))
		} else if corrections += n; corrections > incident.MaxInDecision {
			return badField("options", fmt.Sprintf("apply and lift more than %d corrections", incident.MaxInDecision))
		}
		for j := range o.Apply {
			at := fmt.Sprintf("%sapply[%d].", field, j)
			if o.Apply[j].Incident != "" {
				return badField(at+"incident", "is the decision's: leave it out here")
			}
			if o.For > 0 && !o.Apply[j].ExpiresAt.IsZero() {
				return badField(field+"for", "is another way to say when it ends; give that, or expires_at")
			}
			c.mu.RLock()
			cor := c.state.asOption(d, o, o.Apply[j], d.Deadline)
			c.mu.RUnlock()
			err := c.vet(&cor)
			if err == nil {
				_, err = c.check(cor, now)
			}
			if err != nil {
				return underField(err, at)
			}
		}
		for j, id := range o.Lift {
			c.mu.RLock()
			_, err := c.state.standing(id, c.early())
			c.mu.RUnlock()
			if err != nil {
				return underField(err, fmt.Sprintf("%slift[%d]", field, j))
			}
		}
		if r := o.Restore; r != nil {
			n := 0
			for _, given := range []bool{r.Revision != nil, !r.At.IsZero(), r.Before != ""} {
				if given {
					n++
				}
			}
			if n != 1 {
				return badField(field+"restore", "say which state: exactly one of revision, at and before", "revision", "at", "before")
			}
			if _, err := c.past(ctx, &restoreAsk{Revision: r.Revision, At: r.At, Before: r.Before}); err != nil {
				return underField(err, field+"restore.")
			}
		}
	}
	return nil
}

// fromPlaybook fills in the corrections of a playbook's step, or of its stop-gap.
// What stays without a decision stands until it is lifted; the decision's own
// review takes the place of the playbook's deadline.
func (c *Control) fromPlaybook(o *incident.Option) error {
	if len(o.Apply)+len(o.Lift) > 0 || o.Restore != nil || o.For != 0 {
		return badField("playbook", "says all that the option does; leave out apply, for, lift and restore")
	}
	c.mu.RLock()
	pb, err := c.state.playbookNamed(o.Playbook.Name)
	c.mu.RUnlock()
	if err != nil {
		return underField(err, "playbook.name")
	}
	filled, faults := pb.FillPart(o.Playbook.Vars)
	if err := refuseFaults(faults); err != nil {
		return underField(err, "playbook.")
	}
	given := func() error {
		for i := range o.Apply {
			if names := playbook.Unfilled(&o.Apply[i]); len(names) > 0 {
				return badField("playbook.vars."+names[0], "missing: playbook "+pb.Name+" has no default for it")
			}
		}
		return nil
	}
	if o.Playbook.Step == "" {
		if filled.StopGap == nil {
			return badField("playbook.step", "missing: playbook "+pb.Name+" has no stop-gap")
		}
		for _, r := range rungs(filled, true) {
			o.Apply = append(o.Apply, r.Correction)
		}
		if filled.StopGap.Then == "lapse" {
			o.For = filled.StopGap.For
		}
		return given()
	}
	var names []string
	for i := range filled.Steps {
		s := &filled.Steps[i]
		if s.Correction == nil {
			continue
		}
		if names = append(names, s.Name); s.Name == o.Playbook.Step {
			o.Apply, o.For = []correction.Correction{*s.Correction}, s.For
			return given()
		}
	}
	return badField("playbook.step", "playbook "+pb.Name+" has no step "+strconv.Quote(short(o.Playbook.Step))+" that applies a correction", names...)
}

// defaultOf is the number of the option that holds if nobody answers.
func defaultOf(d *incident.DecisionOpened, title string) (int, error) {
	var titles []string
	for i := range d.Options {
		o := &d.Options[i]
		titles = append(titles, short(o.Title))
		if title == o.Title || title == "" && o.Nothing() {
			return i + 1, nil
		}
	}
	return 0, badField("default", strconv.Quote(short(title))+" is the title of no option", titles...)
}

// underField says of a problem in which part of the body it is.
func underField(err error, at string) error {
	var p *Problem
	var f *correction.FieldError
	if !errors.As(err, &p) && !errors.As(err, &f) {
		return err
	}
	q := *asProblem(err)
	if q.Status < 500 {
		q.Field = strings.TrimSuffix(at+q.Field, ".")
	}
	return &q
}

// postCompare looks at the options again.
func (c *Control) postCompare(cl *call) error {
	if err := cl.op.may("decision.compare"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	c.mu.RLock()
	d, err := c.state.seenDecision(cl.op, id)
	var opened incident.DecisionOpened
	if err == nil {
		opened = d.DecisionOpened
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	e := &incident.DecisionCompared{About: opened.About, Seen: c.compare(cl.r.Context(), &opened)}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if _, err := s.seenDecision(cl.op, id); err != nil {
			return nil, err
		}
		return s.decisionDraft(cl.op.id, e, now)
	})
	if err != nil {
		return err
	}
	return c.showDecision(cl, http.StatusOK, id)
}
