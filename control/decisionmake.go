package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/correction"
	"andon/incident"
)

// doesDecide is what carries out an option, once others have agreed.
const doesDecide = "decide"

// decideAsk is a choice, with its reasons.
type decideAsk struct {
	Option      int       `json:"option"`
	Rationale   string    `json:"rationale"`
	NotNarrower string    `json:"why_not_narrower,omitempty"`
	NotBroader  string    `json:"why_not_broader,omitempty"`
	Known       string    `json:"known,omitempty"`    // default: as it was opened
	Missing     string    `json:"missing,omitempty"`  // default: as it was opened
	Criteria    []string  `json:"criteria,omitempty"` // for lifting what it applies
	ReviewBy    time.Time `json:"review_by,omitzero"`
}

// choice is a choice as it is carried out, now or once others have agreed.
type choice struct {
	Made   incident.DecisionMadeBody `json:"made"`
	Shares []*float64                `json:"shares,omitempty"` // of traffic that it reaches, where that decides who may
	Back   *restoredBody             `json:"restore,omitempty"`
	Roles  []string                  `json:"roles"` // of who chose: with no other is it carried out
}

func doDecide(c *Control, s *state, op *operator, what jsontext.Value, now time.Time) ([]draft, error) {
	b, err := read[choice](what)
	if err != nil {
		return nil, err
	}
	roles, err := authority.ParseRoles(b.Roles...)
	if err != nil {
		return nil, err
	}
	as := *op
	as.roles &= roles
	return c.draftChoice(s, &as, b, now)
}

// draftChoice drafts a decision with all that it does: one transaction.
func (c *Control) draftChoice(s *state, op *operator, b choice, now time.Time) ([]draft, error) {
	made := b.Made
	d := s.decision.all.Get(made.ID)
	if d == nil {
		return nil, problem("not_found", "there is no decision "+short(made.ID))
	}
	made.Seen, made.SeenIn = d.Compared, d.ComparedIn
	if _, err := s.decisionDraft(op.id, &made, now); err != nil {
		return nil, err
	}
	o, field := d.Option(made.Option), fmt.Sprintf("options[%d].", made.Option-1)
	for action, asked := range map[string]bool{"correction.create": o.Tightens(), "correction.lift": len(o.Lift) > 0, "state.restore": o.Restore != nil} {
		if asked {
			if err := op.may(action); err != nil {
				return nil, err
			}
		}
	}
	var drafts []draft
	seen := optionSeen{back: b.Back}
	for i := range o.Apply {
		cor := s.asOption(&d.DecisionOpened, o, o.Apply[i], now)
		if cor.ReviewBy.IsZero() && cor.ExpiresAt.IsZero() {
			cor.ReviewBy = made.ReviewBy
		}
		how := created{before: createdIn(drafts), glass: made.Glass}
		if i < len(b.Shares) {
			how.share = b.Shares[i]
		}
		_, more, err := c.draftRuled(s, op, cor, how, now)
		if err != nil {
			return nil, underField(err, fmt.Sprintf("%sapply[%d].", field, i))
		}
		drafts = append(drafts, more...)
		made.Applied = append(made.Applied, madeIn(more)...)
		seen.cors, seen.shares = append(seen.cors, cor), append(seen.shares, how.share)
	}
	why := made.ID
	if !s.restricted(d) { // corrections are seen by whoever reads them
		why = curtailed(why+": "+made.Rationale, "")
	}
	for i, id := range o.Lift {
		more, err := c.draftEnd(s, id, why)
		if err != nil {
			return nil, underField(err, fmt.Sprintf("%slift[%d]", field, i))
		}
		drafts, made.Lifted = append(drafts, more...), append(made.Lifted, id)
	}
	if o.Restore != nil {
		if b.Back == nil {
			return nil, problem("unavailable", "which state is restored was not found out; nothing was changed")
		}
		if err := c.checkRestore(s, b.Back, c.early()); err != nil {
			return nil, underField(err, field+"restore")
		}
		drafts, made.Lifted = append(drafts, draft{typeRestored, *b.Back}), append(made.Lifted, b.Back.Lift...)
	}
	made.Takes = s.takes(&d.DecisionOpened, o, &seen)
	return append(drafts, draft{made.Type(), &made}), nil
}

// postDecide chooses an option and carries it out.
func (c *Control) postDecide(cl *call) error {
	if err := cl.op.may("decision.decide"); err != nil {
		return err
	}
	if err := cl.op.enrolled(); err != nil {
		return err
	}
	ask, err := decode[decideAsk](cl)
	if err != nil {
		return err
	}
	if id := cl.r.PathValue("id"); strings.HasPrefix(id, "r-") {
		return c.decideRunChoice(cl, id, &ask)
	}
	glass, err := cl.breakGlass(evidenceQuery...)
	if err != nil {
		return err
	}
	ctx, err := cl.evidenceWish(c)
	if err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	c.mu.RLock()
	d, err := c.state.seenDecision(cl.op, id)
	var o incident.Option
	var opened incident.DecisionOpened
	if err == nil {
		opened = d.DecisionOpened
		if p := d.Option(ask.Option); p != nil {
			o = *p
		} else {
			err = badField("option", fmt.Sprintf("%d is no option of %s; 1 to %d", ask.Option, id, len(d.Options)))
		}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	w := choice{Roles: cl.op.roles.Names(), Made: incident.DecisionMadeBody{About: opened.About, Option: ask.Option, By: cl.op.id, Rationale: ask.Rationale, NotNarrower: ask.NotNarrower, NotBroader: ask.NotBroader,
		Known: ask.Known, Missing: ask.Missing, Criteria: ask.Criteria, ReviewBy: utc(ask.ReviewBy), Glass: glass}}
	if w.Made.Known == "" {
		w.Made.Known = opened.Known
	}
	if w.Made.Missing == "" {
		w.Made.Missing = opened.Missing
	}
	if len(ask.Criteria) > 0 && !o.Tightens() {
		return badField("criteria", "are for lifting what an option applies; this one applies nothing")
	}
	var then *state
	for i := range o.Apply { // what takes time is done before the command has its turn
		c.mu.RLock()
		cor := c.state.asOption(&opened, &o, o.Apply[i], c.cfg.Now().UTC().Round(0))
		c.mu.RUnlock()
		if err := c.vet(&cor); err != nil {
			return underField(err, fmt.Sprintf("options[%d].apply[%d].", ask.Option-1, i))
		}
		w.Shares = append(w.Shares, c.shareFirst(ctx, cl.op, &cor, glass))
	}
	if r := o.Restore; r != nil {
		if then, err = c.past(ctx, &restoreAsk{Revision: r.Revision, At: r.At, Before: r.Before}); err != nil {
			return underField(err, fmt.Sprintf("options[%d].restore.", ask.Option-1))
		}
	}
	err = c.act(ctx, cl.op, func(s *state) (wanted, error) {
		d, err := s.seenDecision(cl.op, id)
		if err != nil {
			return wanted{}, err
		}
		w := w
		if then != nil {
			back, _ := s.wayBack(then, c.early())
			if len(back.Lift)+len(back.Reinstate)+len(back.Change) == 0 {
				return wanted{}, problem("nothing_to_restore", "what is in force is what was then")
			}
			if back.Reason = id; !s.restricted(d) {
				back.Reason = curtailed(id+": "+ask.Rationale, "")
			}
			w.Back = &back
		}
		says, reason := "decide "+id+": "+o.Title, ask.Rationale
		if s.restricted(d) { // whoever approves acts must not learn of it by this
			says, reason = "decide "+id, "on the record of "+id
		}
		return wanted{questions: s.choiceQuestions(&d.DecisionOpened, &o, w.Back), do: doesDecide, subject: id, says: says, what: w, reason: reason,
			glass: glass, tightens: o.Tightens() && !o.Loosens()}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	made := c.state.decision.all.Get(id).Made
	c.mu.RUnlock()
	for _, applied := range made.Applied {
		c.measureShare(applied)
	}
	return c.showDecision(cl, http.StatusOK, id)
}

// takeDefaults carries out the defaults of decisions that nobody has answered in
// time. The ledger failing means later, not never.
func (c *Control) takeDefaults(ctx context.Context) {
	if c.cfg.Now().Before(c.clerkRests) {
		return
	}
	early := c.early()
	var due []string
	c.mu.RLock()
	for _, d := range c.state.decision.all.Open() {
		if !early.Before(d.Deadline) && d.Overdue == "" {
			due = append(due, d.ID)
		}
	}
	c.mu.RUnlock()
	for _, id := range due {
		if err := c.takeDefault(ctx, id); err != nil {
			c.log.Warn("the default of a decision could not be carried out; it is tried again", "decision", id, "error", err)
			c.clerkRests = c.cfg.Now().Add(clerkRest)
			return
		}
	}
}

// takeDefault carries out one default, in the name of who opened the decision, or
// says why it is not carried out. What somebody has chosen and others have yet to
// agree to is waited for, unless the default tightens.
func (c *Control) takeDefault(ctx context.Context, id string) error {
	c.mu.RLock()
	d := c.state.decision.all.Get(id)
	o, opened := *d.Option(d.Default), d.DecisionOpened
	actor := system
	opener := c.state.operators[d.OpenedBy]
	if o.Tightens() && opener.active() {
		actor = opener.id // so that nobody ratifies what was done for them
	}
	c.mu.RUnlock()
	var unfit error
	for i := range o.Apply {
		if unfit == nil {
			unfit = c.vet(&o.Apply[i])
		}
	}
	why := ""
	if _, err := c.execute(ctx, actor, func(s *state, now time.Time) ([]draft, error) {
		why = ""
		d := s.decision.all.Get(id)
		if d.State != incident.DecisionOpen || d.Overdue != "" || !o.Tightens() && s.waitingChoice(id) != nil {
			return nil, nil
		}
		drafts, err := c.draftDefault(s, &opened, &o, unfit, now)
		if err == nil {
			return drafts, nil
		}
		var p *Problem
		var f *correction.FieldError
		if !errors.As(err, &p) && !errors.As(err, &f) || asProblem(err).Status >= 500 {
			return nil, err
		}
		why = strings.ToValidUTF8(curtailed(asProblem(err).Detail, ""), "")
		return nil, nil
	}); err != nil || why == "" {
		return err
	}
	_, err := c.execute(ctx, system, func(s *state, now time.Time) ([]draft, error) {
		if d := s.decision.all.Get(id); d.State != incident.DecisionOpen || d.Overdue != "" {
			return nil, nil
		}
		return s.decisionDraft(system, &incident.DecisionOverdue{About: opened.About, Why: why}, now)
	})
	return err
}

func (c *Control) draftDefault(s *state, d *incident.DecisionOpened, o *incident.Option, unfit error, now time.Time) ([]draft, error) {
	if why := o.Manual(); why != "" {
		return nil, problem("not_authorised", why+": that takes a person")
	}
	opener := s.operators[s.decision.all.Get(d.ID).OpenedBy]
	if unfit != nil {
		return nil, unfit
	}
	if o.Tightens() && !opener.active() {
		return nil, problem("not_authorised", "who opened it, and in whose name it would be carried out, is no longer an operator")
	}
	if opener == nil {
		opener = &operator{id: system}
	}
	as := *opener
	roles, err := authority.ParseRoles(d.Roles...)
	if err != nil {
		return nil, err
	}
	as.roles &= roles
	return c.draftChoice(s, &as, choice{Made: incident.DecisionMadeBody{About: d.About, Option: d.Default, By: system, Auto: true,
		Rationale: "nobody decided by " + d.Deadline.Format(time.RFC3339) + "; the default holds", Known: d.Known, Missing: d.Missing}}, now)
}

// dissentAsk is a word against.
type dissentAsk struct {
	Text   string `json:"text"`
	Prefer int    `json:"prefer,omitzero"` // option that should be chosen
}

// postDissent puts dissent on record, before a decision or after.
func (c *Control) postDissent(cl *call) error {
	if err := cl.op.may("decision.dissent"); err != nil {
		return err
	}
	x, err := decode[dissentAsk](cl)
	if err != nil {
		return err
	}
	return c.decisionStep(cl, func(d *incident.Decision) incident.DecisionEvent {
		return &incident.Dissented{About: d.About, Text: x.Text, Prefer: x.Prefer}
	})
}

// tick says that a criterion for lifting holds.
type tick struct {
	Criterion int    `json:"criterion"` // from 1
	Evidence  string `json:"evidence"`
	Unmet     bool   `json:"unmet,omitzero"` // it does not hold any more
}

func (c *Control) postCriterion(cl *call) error {
	if err := cl.op.may("decision.criterion"); err != nil {
		return err
	}
	x, err := decode[tick](cl)
	if err != nil {
		return err
	}
	return c.decisionStep(cl, func(d *incident.Decision) incident.DecisionEvent {
		return &incident.CriterionTicked{About: d.About, Criterion: x.Criterion, Evidence: x.Evidence, Unmet: x.Unmet}
	})
}

// decisionStep runs a command on the decision of the path and shows it.
func (c *Control) decisionStep(cl *call, event func(d *incident.Decision) incident.DecisionEvent) error {
	id := cl.r.PathValue("id")
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		d, err := s.seenDecision(cl.op, id)
		if err != nil {
			return nil, err
		}
		return s.decisionDraft(cl.op.id, event(d), now)
	})
	if err != nil {
		return err
	}
	return c.showDecision(cl, http.StatusOK, id)
}
