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

	"andon/authority"
	"andon/correction"
	"andon/incident"
	"andon/playbook"
)

// maxRuns bounds how many runs are under way at the same time.
const maxRuns = 200

// playbookNamed is the playbook of that name in the plan in force.
func (s *state) playbookNamed(name string) (*playbook.Playbook, error) {
	p := s.planned()
	if p == nil {
		e := problem("not_found", "no plan is in force, so there is no playbook "+strconv.Quote(short(name)))
		e.Hint = "andon plan apply"
		return nil, e
	}
	var names []string
	for i := range p.Playbooks {
		if p.Playbooks[i].Name == name {
			return &p.Playbooks[i], nil
		}
		names = append(names, p.Playbooks[i].Name)
	}
	e := problem("not_found", "the plan in force has no playbook "+strconv.Quote(short(name)))
	e.Allowed = names
	return nil, e
}

// refuseFaults makes a problem of what is wrong with a playbook; nil if nothing is.
func refuseFaults(faults []playbook.Fault) error {
	faults = slices.DeleteFunc(slices.Clone(faults), func(f playbook.Fault) bool { return f.Warning })
	if len(faults) == 0 {
		return nil
	}
	p := problem("invalid_playbook", faults[0].Detail)
	p.Field, p.Allowed = faults[0].Field, faults[0].Allowed
	if n := len(faults) - 1; n > 0 {
		p.Detail += fmt.Sprintf(" (and %d more)", n)
	}
	return p
}

// enforcers are the live enforcement points, as playbooks look at them.
func (c *Control) enforcers() []playbook.Point {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []playbook.Point
	for _, pt := range c.live() {
		out = append(out, playbook.Point{Name: pt.name, Models: pt.Models, Features: pt.Features, Detectors: pt.detectors, Versions: pt.versions})
	}
	slices.SortFunc(out, func(a, b playbook.Point) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// rung is a correction of a playbook, ready to be applied.
type rung struct {
	at, what string // where it stands, and what it is called
	correction.Correction
	stands correction.Duration // how long; 0: until it is lifted
}

// rungs are the corrections of a playbook whose variables are filled in: those of
// its stop-gap, or those of its ladder.
func rungs(p *playbook.Playbook, gap bool) []rung {
	var out []rung
	if gap {
		if p.StopGap != nil {
			for i, k := range p.StopGap.Corrections {
				out = append(out, rung{fmt.Sprintf("stop_gap.corrections[%d]", i), "the stop-gap", k, p.StopGap.For})
			}
		}
	} else {
		for i := range p.Steps {
			if s := &p.Steps[i]; s.Correction != nil {
				out = append(out, rung{fmt.Sprintf("steps[%d].correction", i), "step " + strconv.Quote(s.Name), *s.Correction, s.For})
			}
		}
	}
	return out
}

// vetRung asks of a correction, ahead of its time, all that will be asked of it,
// but for who applies it.
func (c *Control) vetRung(r *rung, points []playbook.Point, now time.Time) error {
	err := c.vet(&r.Correction)
	if err == nil {
		_, err = c.check(r.Correction, now)
	}
	if err != nil {
		p := *asProblem(err)
		if p.Status >= 500 {
			return err
		}
		p.Field, p.Detail = strings.TrimSuffix(r.at+"."+p.Field, "."), r.what+": "+p.Detail
		return &p
	}
	if lacks := playbook.Lacks(&r.Correction, points); len(lacks) > 0 {
		p := problem("not_enforceable", fmt.Sprintf("%s names a correction (%s) that cannot be enforced: %s", r.what, playbook.CorrectionWords(&r.Correction), strings.Join(lacks, "; ")))
		p.Field = r.at
		p.Hint = "change the playbook, or give the point what it lacks; andon points shows what each can do"
		return p
	}
	return nil
}

// opening checks that a playbook can be run, and with what.
func (c *Control) opening(pb *playbook.Playbook, gap bool, spec *newRun) (playbook.Opening, []rung, error) {
	var none playbook.Opening
	now := c.cfg.Now().UTC().Round(0)
	if err := refuseFaults(pb.Validate(playbook.Known{Now: now})); err != nil {
		return none, nil, err
	}
	filled, faults := pb.Fill(spec.Vars)
	if err := refuseFaults(faults); err != nil {
		return none, nil, err
	}
	if err := refuseFaults(filled.Validate(playbook.Known{Now: now})); err != nil {
		return none, nil, err
	}
	list, points := rungs(filled, gap), c.enforcers()
	for i := range list {
		if err := c.vetRung(&list[i], points, now); err != nil {
			return none, nil, err
		}
	}
	return playbook.Opening{Playbook: *filled, Digest: pb.Digest(), Vars: spec.Vars, Incident: spec.Incident, Reason: spec.Reason}, list, nil
}

// within makes a correction one of an incident. In an exercise nobody is refused:
// its runs practise.
func (s *state) within(id string, cor *correction.Correction) {
	cor.Incident = id
	if in := s.book().Root(id); in != nil && in.Kind == incident.Exercise {
		cor.Mode = correction.Shadow
	}
}

// openRun fills in an opening's id. It refuses a second run of the same, and one
// for an incident that its corrections could not be of.
func (s *state) openRun(op *operator, o *playbook.Opening, again bool) error {
	one := correction.Correction{}
	s.within(o.Incident, &one)
	if err := s.checkIncident(op, &one); err != nil {
		return err
	}
	o.Incident, o.Roles = one.Incident, op.roles.Names()
	if len(s.playbook.live) >= maxRuns {
		return problem("run_exists", fmt.Sprintf("%d runs are under way; at most %d: end or abort one", len(s.playbook.live), maxRuns))
	}
	for _, id := range s.playbook.live {
		r := s.playbook.runs[id]
		if !again && r.Digest == o.Digest && (r.Gap != nil) == (o.Gap != nil) && r.Incident == o.Incident && sameVars(r.Vars, o.Vars) {
			what := "playbook " + r.Playbook.Name
			if r.Gap != nil {
				what = "the stop-gap of " + r.Playbook.Name
			}
			p := problem("run_exists", fmt.Sprintf("%s is under way as %s, for the same incident and with the same variables", what, id))
			p.Hint = `send "again": true if a second one is meant`
			return p
		}
	}
	o.ID = "r-" + strconv.Itoa(len(s.playbook.list)+1)
	return nil
}

func sameVars(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// run finds a run.
func (s *state) run(id string) (*playbook.Run, error) {
	r := s.playbook.runs[id]
	if r == nil {
		return nil, problem("not_found", "there is no run "+strconv.Quote(short(id)))
	}
	return r, nil
}

// runFor finds a run for somebody who asks for it.
func (s *state) runFor(op *operator, id string) (*playbook.Run, error) {
	r := s.playbook.runs[id]
	if r == nil || !s.sees(op, r) {
		return nil, problem("not_found", "there is no run "+strconv.Quote(short(id)))
	}
	return r, nil
}

// happens says, as a problem, whether an event can happen to a run.
func happens(r *playbook.Run, kind string, e playbook.Event, now time.Time, by string) (*playbook.Run, error) {
	next, err := r.Next(kind, e, now, by)
	if errors.Is(err, playbook.ErrOrder) {
		p := problem("run_state", strings.TrimSuffix(err.Error(), ": "+playbook.ErrOrder.Error()))
		if open := r.Open(); kind == playbook.Ended && len(open) > 0 {
			p.Allowed, p.Hint = open, "settle what is open, or give a reason why it ends without"
		}
		if r.State == playbook.OnHold {
			p.Hint = "andon runs resume " + r.ID
		}
		return nil, p
	}
	return next, err
}

// mayTake says whether somebody may have the run apply corrections at all.
func (c *Control) mayTake(op *operator, starter string) error {
	if !op.active() {
		return problem("forbidden", starter+", in whose name the run acts, is no longer an operator")
	}
	return op.may("correction.create")
}

// draftStep drafts a correction step with its correction: one transaction.
func (c *Control) draftStep(s *state, r *playbook.Run, name string, op *operator, note string, auto bool, now time.Time) (string, []draft, error) {
	st, step := r.Step(name)
	if st == nil {
		return "", nil, fail404(r, name)
	}
	if step.Correction == nil {
		return "", nil, problem("run_state", fmt.Sprintf("step %q is a %s and applies no correction", st.Name, st.Kind))
	}
	// Whether it is its turn is asked before anything else is.
	if _, err := happens(r, playbook.StepHeld, playbook.Event{Run: r.ID, Step: name}, now, op.idOr(r.By)); err != nil {
		return "", nil, err
	}
	if err := c.mayTake(op, r.By); err != nil {
		return "", nil, err
	}
	cor := *step.Correction
	s.within(r.Incident, &cor)
	if step.For > 0 {
		cor.ExpiresAt = now.Add(time.Duration(step.For))
	}
	id, drafts, err := c.draftCreate(s, op, cor, nil, 0, now)
	if err != nil {
		return "", nil, err
	}
	e := playbook.Event{Run: r.ID, Step: name, Correction: id, Note: note, Auto: auto}
	for _, other := range madeIn(drafts) {
		if other != id {
			e.Others = append(e.Others, other)
		}
	}
	if _, err := happens(r, playbook.StepDone, e, now, op.id); err != nil {
		return "", nil, err
	}
	return id, append(drafts, draft{playbook.StepDone, e}), nil
}

// madeIn are the corrections that drafts create: one may come with others, such
// as the cut of a dependant that gets its fallback first.
func madeIn(drafts []draft) []string {
	var out []string
	for _, d := range drafts {
		if b, ok := d.body.(createdBody); ok && d.kind == typeCreated {
			out = append(out, b.Correction.ID)
		}
	}
	return out
}

// idOr is the operator's id, or another where there is none.
func (op *operator) idOr(other string) string {
	if op == nil {
		return other
	}
	return op.id
}

func fail404(r *playbook.Run, name string) error {
	p := problem("not_found", fmt.Sprintf("%s has no step %q", r.ID, short(name)))
	for i := range r.Steps {
		p.Allowed = append(p.Allowed, r.Steps[i].Name)
	}
	return p
}

// takeSteps is what the clerk does for runs: the corrections whose turn has come
// and that nobody has to confirm. The ledger failing means later, not never.
func (c *Control) takeSteps(ctx context.Context) {
	if c.cfg.Now().Before(c.clerkRests) {
		return
	}
	c.mu.RLock()
	live := slices.Clone(c.state.playbook.live)
	c.mu.RUnlock()
	for _, id := range live {
		err := c.advance(ctx, id, nil)
		if errors.Is(err, errLedger) {
			c.log.Warn("a run could not go on; it is tried again", "run", id, "error", err)
			c.clerkRests = c.cfg.Now().Add(clerkRest) // a full disk is not asked four times a second
			return
		}
	}
}

// runner is in whose name a run acts, with no role that the credential had not
// with which it was started or resumed; nil if nobody is there any more.
func (s *state) runner(r *playbook.Run) *operator {
	op := s.operators[r.By]
	if op == nil {
		return nil
	}
	as := *op
	roles, err := authority.ParseRoles(r.Roles...)
	if err != nil {
		roles = 0
	}
	as.roles &= roles
	return &as
}

// advance takes every step whose turn has come and that needs no confirmation, in
// the name of op; nil: of whom the run acts for. Each is a transaction of its own.
// A step that is refused is held or fails, and that is no error here.
func (c *Control) advance(ctx context.Context, id string, op *operator) error {
	tried := map[string]bool{}
	for {
		name, cor, err := c.nextStep(id, op, tried)
		if err != nil || name == "" {
			return err
		}
		tried[name] = true
		if err := c.takeStep(ctx, id, name, op, c.vet(&cor)); err != nil {
			return err
		}
	}
}

// nextStep is an automatic step that was not tried yet, and its correction.
func (c *Control) nextStep(id string, op *operator, tried map[string]bool) (string, correction.Correction, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, err := c.state.run(id)
	if op != nil {
		r, err = c.state.runFor(op, id)
	}
	if err != nil {
		return "", correction.Correction{}, err
	}
	who := op
	if who == nil {
		who = c.state.runner(r)
	}
	for _, n := range r.Automatic() {
		st, step := r.Step(n)
		if !tried[n] && (st.Held == "" || c.holding(c.state, who, r, step) == nil) {
			return n, *step.Correction, nil
		}
	}
	return "", correction.Correction{}, nil
}

// holding says why a step cannot be taken in somebody's name; nil if it can. It
// is cheap: the clerk asks four times a second.
func (c *Control) holding(s *state, op *operator, r *playbook.Run, step *playbook.Step) error {
	if err := c.mayTake(op, r.By); err != nil {
		return err
	}
	cor := *step.Correction
	s.within(r.Incident, &cor)
	_, err := c.rule(s, op, &cor, nil, c.cfg.Now())
	return err
}

// takeStep applies one automatic step, or records why not. unfit is what is
// wrong with its correction.
func (c *Control) takeStep(ctx context.Context, id, name string, op *operator, unfit error) error {
	c.mu.RLock()
	actor := c.state.playbook.runs[id].By
	if !c.state.operators[actor].active() {
		actor = system // who says that it is held
	}
	c.mu.RUnlock()
	if op != nil {
		actor = op.id
	}
	applied := ""
	_, err := c.execute(ctx, actor, func(s *state, now time.Time) (drafts []draft, err error) {
		applied = ""
		r := s.playbook.runs[id]
		who := op
		if who == nil {
			who = s.runner(r)
		}
		if !slices.Contains(r.Automatic(), name) || who.active() != (actor != system) || op == nil && actor != system && r.By != actor {
			return nil, nil // somebody was faster
		}
		if err = unfit; err == nil {
			applied, drafts, err = c.draftStep(s, r, name, who, "", true, now)
		}
		if err == nil {
			return drafts, nil
		}
		var p *Problem
		var f *correction.FieldError
		why := asProblem(err)
		if !errors.As(err, &p) && !errors.As(err, &f) || why.Status >= 500 {
			return nil, err
		}
		note := why.Error()
		if len(note) > maxReason {
			note = strings.ToValidUTF8(note[:maxReason], "")
		}
		e := playbook.Event{Run: id, Step: name, Note: note, Code: why.Code, Auto: true}
		if why.Status != http.StatusForbidden { // asking for more authority would not help
			return []draft{{playbook.StepFailed, e}}, nil
		}
		if st, _ := r.Step(name); st.Held == note {
			return nil, nil // it is said already
		}
		return []draft{{playbook.StepHeld, e}}, nil
	})
	if applied != "" && err == nil {
		c.measureShare(applied)
	}
	return err
}
