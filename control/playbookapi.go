package control

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"andon/playbook"
)

// newRun asks for a run: of a playbook of the plan in force, or of one that is
// given here.
type newRun struct {
	Playbook string             `json:"playbook,omitempty"`
	Inline   *playbook.Playbook `json:"inline,omitempty"`
	Vars     map[string]string  `json:"vars,omitempty"`
	Incident string             `json:"incident,omitempty"`
	Reason   string             `json:"reason"`
	Again    bool               `json:"again,omitempty"` // although the same is under way
}

// check is what can be said without the state.
func (n *newRun) check() error {
	if err := reasonGiven(n.Reason); err != nil {
		return err
	}
	if len(n.Vars) > playbook.MaxVars {
		return badField("vars", fmt.Sprintf("has %d; at most %d", len(n.Vars), playbook.MaxVars))
	}
	return checkLine("incident", n.Incident, 200)
}

// find is the playbook that is meant.
func (c *Control) find(n *newRun) (*playbook.Playbook, error) {
	if (n.Playbook == "") == (n.Inline == nil) {
		return nil, badField("playbook", "give the name of a playbook of the plan, or a whole one as inline; one of the two")
	}
	if n.Inline != nil {
		if data, err := n.Inline.Canonical(); err != nil || len(data) > playbook.MaxSize {
			return nil, badField("inline", fmt.Sprintf("is too large: at most %d bytes", playbook.MaxSize))
		}
		return n.Inline, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.playbookNamed(n.Playbook)
}

func (c *Control) postRun(cl *call) error {
	if err := cl.op.may("run.start"); err != nil {
		return err
	}
	spec, err := decode[newRun](cl)
	if err != nil {
		return err
	}
	if err := spec.check(); err != nil {
		return err
	}
	pb, err := c.find(&spec)
	if err != nil {
		return err
	}
	if len(pb.Steps) == 0 {
		p := problem("invalid_playbook", "playbook "+pb.Name+" has no steps; it is a stop-gap alone")
		p.Field, p.Hint = "steps", "andon playbook stop-gap "+pb.Name
		return p
	}
	o, _, err := c.opening(pb, false, &spec)
	if err != nil {
		return err
	}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if err := s.openRun(cl.op, &o, spec.Again); err != nil {
			return nil, err
		}
		if spec.Inline == nil {
			o.Plan = len(s.plan.versions)
		}
		return []draft{{playbook.Started, o}}, nil
	})
	if err != nil {
		return err
	}
	// What is automatic begins at once. If the ledger fails now, the clerk goes on.
	if err := c.advance(cl.r.Context(), o.ID, nil); err != nil {
		c.log.Warn("a run was started and could not go on; it is tried again", "run", o.ID, "error", err)
	}
	cl.w.Header().Set("Location", "/api/v1/runs/"+o.ID)
	return c.replyRun(cl, http.StatusCreated, o.ID)
}

// postStopGap applies a whole stop-gap at once, or nothing of it.
func (c *Control) postStopGap(cl *call) error {
	if err := cl.op.may("run.stop_gap"); err != nil {
		return err
	}
	spec, err := decode[newRun](cl)
	if err != nil {
		return err
	}
	if spec.Playbook != "" || spec.Inline != nil {
		return badField("playbook", "stands in the path")
	}
	if err := spec.check(); err != nil {
		return err
	}
	spec.Playbook = cl.r.PathValue("name")
	pb, err := c.find(&spec)
	if err != nil {
		return err
	}
	if pb.StopGap == nil {
		p := problem("invalid_playbook", "playbook "+pb.Name+" has no stop-gap")
		p.Field, p.Hint = "stop_gap", "andon playbook run "+pb.Name
		return p
	}
	o, list, err := c.opening(pb, true, &spec)
	if err != nil {
		return err
	}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		g := o.Playbook.StopGap
		gap := &playbook.Gap{For: g.For, Then: g.Then, Since: now}
		if gap.Then == "" {
			gap.Then = playbook.Stay
		}
		gap.DecideBy, gap.ExpiresAt = g.Times(now, g.For)
		o.Gap = gap
		if err := s.openRun(cl.op, &o, spec.Again); err != nil {
			return nil, err
		}
		o.Plan = len(s.plan.versions)
		if err := cl.op.may("correction.create"); err != nil {
			return nil, err
		}
		var drafts []draft
		gap.Corrections = nil
		for i := range list {
			cor := list[i].Correction
			s.within(o.Incident, &cor)
			cor.ExpiresAt = gap.ExpiresAt
			_, more, err := c.draftCreate(s, cl.op, cor, nil, len(gap.Corrections), now)
			if err != nil {
				p := *asProblem(err)
				if p.Status >= 500 {
					return nil, err
				}
				p.Detail += "; nothing of the stop-gap was applied"
				return nil, &p
			}
			gap.Corrections = append(gap.Corrections, madeIn(more)...)
			drafts = append(drafts, more...)
		}
		return append(drafts, draft{playbook.Started, o}), nil
	})
	if err != nil {
		return err
	}
	for _, id := range o.Gap.Corrections {
		c.measureShare(id)
	}
	cl.w.Header().Set("Location", "/api/v1/runs/"+o.ID)
	return c.replyRun(cl, http.StatusCreated, o.ID)
}

// runStep is what is said about a step, a criterion, or the whole run.
type runStep struct {
	Step      string `json:"step,omitempty"`
	Criterion int    `json:"criterion,omitempty"` // from 1
	Note      string `json:"note,omitempty"`      // what was done, or what shows it
	Reason    string `json:"reason,omitempty"`
}

// stepPost is the route of one thing that people do to a run.
func stepPost(action string) func(*Control, *call) error {
	return func(c *Control, cl *call) error {
		if err := cl.op.may(action); err != nil {
			return err
		}
		b, err := decode[runStep](cl)
		if err != nil {
			return err
		}
		kind, e, err := b.event(action)
		if err != nil {
			return err
		}
		id := cl.r.PathValue("id")
		e.Run = id
		var unfit error
		if action == "run.confirm" {
			if unfit, err = c.vetStep(cl.op, id, e.Step); err != nil {
				return err
			}
		}
		applied := ""
		_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) (drafts []draft, err error) {
			applied = ""
			r, err := s.runFor(cl.op, id)
			if err != nil {
				return nil, err
			}
			if e.Step != "" {
				if st, _ := r.Step(e.Step); st == nil {
					return nil, fail404(r, e.Step)
				} else if action == "run.done" {
					if err := byHand(st); err != nil {
						return nil, err
					}
				}
			}
			if action == "run.confirm" {
				if unfit != nil {
					return nil, unfit
				}
				applied, drafts, err = c.draftStep(s, r, e.Step, cl.op, e.Note, false, now)
				return drafts, err
			}
			if kind == playbook.Resumed {
				e.Roles = cl.op.roles.Names()
			}
			if _, err := happens(r, kind, e, now, cl.op.id); err != nil {
				return nil, err
			}
			drafts = []draft{{kind, e}}
			if kind == playbook.StepSkipped {
				drafts = append(drafts, s.leaveOut(id, e.Step, e.Note)...)
			}
			return drafts, nil
		})
		if err != nil {
			return err
		}
		if applied != "" {
			c.measureShare(applied)
		}
		c.goOn(cl, id)
		return c.replyRun(cl, http.StatusOK, id)
	}
}

// vetStep is the slow part of what is asked of a step's correction.
func (c *Control) vetStep(op *operator, id, name string) (unfit, err error) {
	c.mu.RLock()
	r, err := c.state.runFor(op, id)
	c.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	st, step := r.Step(name)
	if st == nil {
		return nil, fail404(r, name)
	}
	if step.Correction == nil {
		return nil, nil
	}
	cor := *step.Correction
	return c.vet(&cor), nil
}

// goOn takes what has become the run's turn. What was asked for is durable; if
// the ledger fails now, the clerk goes on.
func (c *Control) goOn(cl *call, id string) {
	if err := c.advance(cl.r.Context(), id, nil); err != nil {
		c.log.Warn("a run could not go on; it is tried again", "run", id, "error", err)
	}
}

// byHand refuses to call done what a person cannot do by saying so.
func byHand(st *playbook.StepState) error {
	how := map[string]string{
		playbook.KindCorrection: "it applies a correction: confirm it, or skip it",
		playbook.KindDecision:   "it is decided: send the choice to decide",
		playbook.KindEvidence:   "the control plane takes the snapshot itself; to go on without it, skip it with a reason",
		playbook.KindWait:       "the clock ends it; to go on now, skip it with a reason",
	}[st.Kind]
	if how == "" {
		return nil
	}
	return problem("run_state", fmt.Sprintf("step %q is a %s, and nobody can say that it is done: %s", st.Name, st.Kind, how))
}

// event is what the body means for one action.
func (b *runStep) event(action string) (kind string, e playbook.Event, err error) {
	kind = map[string]string{"run.confirm": playbook.StepDone, "run.done": playbook.StepDone, "run.skip": playbook.StepSkipped, "run.retry": playbook.StepRetried,
		"run.met": playbook.CriterionMet, "run.pause": playbook.Paused, "run.resume": playbook.Resumed, "run.abort": playbook.Aborted, "run.end": playbook.Ended}[action]
	e = playbook.Event{Step: b.Step, Criterion: b.Criterion, Note: b.Reason}
	ofStep := slices.Contains([]string{"run.confirm", "run.done", "run.skip", "run.retry"}, action)
	switch {
	case ofStep && b.Step == "":
		return kind, e, badField("step", "missing: say which step")
	case !ofStep && b.Step != "":
		return kind, e, badField("step", "this is about the whole run; leave it out")
	case action == "run.met" && b.Criterion == 0:
		return kind, e, badField("criterion", "missing: the number of the exit criterion, from 1")
	case action != "run.met" && b.Criterion != 0:
		return kind, e, badField("criterion", "is for met alone")
	}
	field, text := "reason", b.Reason
	if action == "run.done" || action == "run.met" || action == "run.confirm" {
		if field, text = "note", b.Note; text == "" && b.Reason != "" {
			field, text = "reason", b.Reason
		}
	} else if b.Note != "" {
		return kind, e, badField("note", "is for done, confirm and met; write reason")
	}
	e.Note = text
	if optional := action == "run.confirm" || action == "run.end" || action == "run.resume" || action == "run.retry"; optional && text == "" {
		return kind, e, nil
	}
	return kind, e, reasonField(field, text)
}

// postAdvance takes the automatic steps whose turn it is, in the caller's name.
func (c *Control) postAdvance(cl *call) error {
	if err := cl.op.may("run.advance"); err != nil {
		return err
	}
	if _, err := decode[reasoned](cl); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := c.advance(cl.r.Context(), id, cl.op); err != nil {
		return err
	}
	return c.replyRun(cl, http.StatusOK, id)
}

// runDecision answers a decision step, or what follows a stop-gap.
type runDecision struct {
	Step   string `json:"step,omitempty"` // missing: the stop-gap
	Choice string `json:"choice"`
	Reason string `json:"reason"`
	For    string `json:"for,omitempty"` // extend: how long from now; default as long as the stop-gap was meant to be
}

func (c *Control) postRunDecide(cl *call) error {
	if err := cl.op.may("run.decide"); err != nil {
		return err
	}
	b, err := decode[runDecision](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if b.Step != "" && b.For != "" {
		return badField("for", "is for the extension of a stop-gap")
	}
	id, err := c.decideInRun(cl, cl.r.PathValue("id"), &b)
	if err != nil {
		return err
	}
	return c.replyRun(cl, http.StatusOK, id)
}
