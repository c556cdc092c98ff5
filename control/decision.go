package control

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/incident"
	"andon/ledger"
	"andon/order"
)

// This room holds decisions: a question, its options side by side, a clock and a
// default, and the record of who chose what, when, under which rule, on what was
// known. What a decision is, is package incident's to say; here are what options
// are compared by, whose word they take, and how they are carried out: the
// decision and its corrections are one transaction.
//
// What tightens is done at once. What gives something back waits for those who
// have to agree, as one pending act. When nobody answers in time the default is
// carried out in the name of who opened the decision, if it keeps what stands or
// tightens short of a hard stop; else the decision is overdue, with an alarm.

type decisionState struct{ all incident.Decisions }

var decisionTable = []route{
	{"POST", "/api/v1/decisions", "decision.open", false, (*Control).postDecision},
	{"GET", "/api/v1/decisions", "", false, (*Control).getDecisions},
	{"GET", "/api/v1/decisions/{id}", "", false, (*Control).getDecision},
	{"POST", "/api/v1/decisions/{id}/compare", "decision.compare", false, (*Control).postCompare},
	{"POST", "/api/v1/decisions/{id}/decide", "decision.decide", false, (*Control).postDecide},
	{"POST", "/api/v1/decisions/{id}/dissent", "decision.dissent", false, (*Control).postDissent},
	{"POST", "/api/v1/decisions/{id}/criteria", "decision.criterion", false, (*Control).postCriterion},
}

var decisionPermits = map[string]authority.Set{
	"decision.open": actors, "decision.compare": deciders, "decision.decide": deciders, "decision.criterion": deciders,
	"decision.read": readers, "decision.dissent": readers,
}

var decisionCodes = map[string]code{}

var decisionFolds = func() map[string]foldFunc {
	out := map[string]foldFunc{}
	for _, t := range incident.DecisionTypes() {
		out[t] = foldDecision
	}
	return out
}()

func foldDecision(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := incident.ReadDecision(e.Type, e.Body)
	if err != nil {
		return nil, err
	}
	if m, ok := b.(*incident.DecisionMadeBody); ok {
		for _, id := range m.Applied {
			if s.corrections[id] == nil {
				return nil, fmt.Errorf("decision %q: there is no correction %q: %w", m.ID, id, errForm)
			}
		}
		for _, id := range m.Lifted {
			if r := s.corrections[id]; r == nil || r.gone == "" {
				return nil, fmt.Errorf("decision %q: correction %q was not lifted: %w", m.ID, id, errForm)
			}
		}
	}
	apply, err := s.decision.all.Fold(b, metaOf(e))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errForm)
	}
	return apply, nil
}

// decisionClock writes nothing: to carry out a default its corrections are checked
// beside what gateways serve, which a clock may not wait for. See takeDefaults.
func decisionClock(*Control, *state, time.Time) []draft { return nil }

// seesDecision says whether an operator may know of a decision: of its incident,
// and of what that was merged into.
func (s *state) seesDecision(op *operator, d *incident.Decision) bool {
	if d == nil || d.Incident == "" {
		return d != nil
	}
	b, r := s.book(), s.readerOf(op)
	return b.Sees(r, b.Incident(d.Incident)) && b.Sees(r, b.Root(d.Incident))
}

// seenDecision finds a decision for somebody who asks for it.
func (s *state) seenDecision(op *operator, id string) (*incident.Decision, error) {
	d := s.decision.all.Get(id)
	if !s.seesDecision(op, d) {
		if r, _, _, err := s.runChoice(op, id); err == nil {
			p := problem("run_state", id+" is asked by a run of a playbook: it is shown and decided, and nothing else")
			p.Hint = "andon decide show " + id
			if r.Incident != "" {
				p.Hint += "; andon incident note " + r.Incident + " keeps what else there is to say"
			}
			return nil, p
		}
		return nil, problem("not_found", "there is no decision "+strconv.Quote(short(id)))
	}
	return d, nil
}

// seesAct says whether an operator may know of a pending act: one about a decision,
// or a legal hold of an incident, is for those who may know of that.
func (s *state) seesAct(op *operator, p *pendingAct) bool {
	if op == nil || p == nil {
		return true
	}
	switch h := s.retention.hold(p.Subject); {
	case p.Do == doesDecide:
		return s.seesDecision(op, s.decision.all.Get(p.Subject))
	case p.Do == "release" && h != nil:
		return s.knows(op, h.Incident)
	}
	return true
}

// restricted says whether a decision is for some alone.
func (s *state) restricted(d *incident.Decision) bool {
	in := s.book().Incident(d.Incident)
	return in != nil && (in.Marking != nil && in.Marking.Need != nil || s.book().Root(in.ID).Marking != nil && s.book().Root(in.ID).Marking.Need != nil)
}

// decisionConcerns puts an entry about a decision on its incident's timeline.
func (s *state) decisionConcerns(e ledger.Entry, id string) {
	in := s.book().Root(id)
	switch {
	case in == nil:
	case e.Type == incident.TypeDecisionMade:
		s.book().Decided(in.ID, metaOf(e))
	default:
		s.concerns(e, in.ID)
	}
}

// waitingChoice is the pending act about a decision; nil if there is none.
func (s *state) waitingChoice(id string) *pendingAct {
	for _, a := range slices.Backward(s.authority.actList) {
		if p := s.authority.acts[a]; p.state == actOpen && p.Do == doesDecide && p.Subject == id {
			return p
		}
	}
	return nil
}

// decisionDraft checks an event as a part of a command, and drafts its entry.
func (s *state) decisionDraft(actor string, e incident.DecisionEvent, now time.Time) ([]draft, error) {
	if err := s.decision.all.Check(e, incident.Meta{Seq: s.size, At: now, Actor: actor}); err != nil {
		return nil, incidentProblem(err)
	}
	return []draft{{e.Type(), e}}, nil
}

// criteriaUnmet are the criteria for lifting a correction that do not hold yet,
// and the decision that set them.
func (s *state) criteriaUnmet(id string) (decision string, unmet []string) {
	if d := s.decision.all.Of(id); d != nil {
		return d.ID, d.Unmet()
	}
	return "", nil
}

// unmetWords says in few words that a correction is lifted before its time; "" if
// it is not.
func (s *state) unmetWords(id string) string {
	d, unmet := s.criteriaUnmet(id)
	if len(unmet) == 0 {
		return ""
	}
	n := len(s.decision.all.Get(d).Criteria)
	return fmt.Sprintf(" [criteria unmet: %d of %d of %s]", len(unmet), n, d)
}

// liftReason is the reason of a lift, as the record keeps it: with the criteria
// that do not hold.
func (s *state) liftReason(id, reason string) string { return curtailed(reason, s.unmetWords(id)) }

// curtailed is a text with an end that is always there, cut to what a reason may have.
func curtailed(text, end string) string {
	if most := maxReason - len(end); len(text) > most {
		for text = text[:most-len("…")]; len(text) > 0 && text[len(text)-1] >= 0x80; {
			text = text[:len(text)-1] // no half character
		}
		text += "…"
	}
	return text + end
}

// unmetWarnings ask for an explanation where a correction was lifted before its
// criteria held. The caller does not hold mu.
func (c *Control) unmetWarnings(op *operator, id string) []warning {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, unmet := c.state.criteriaUnmet(id)
	var out []warning
	for _, text := range unmet {
		if !c.state.seesDecision(op, c.state.decision.all.Get(d)) {
			text = "what its record says"
		}
		out = append(out, warning{"criteria_unmet", "reason", fmt.Sprintf("%s asks, before %s is lifted, for: %s; it is not ticked: the reason has to explain why it is lifted all the same, or tick it (andon decide criteria %s)", d, id, text, d)})
	}
	return out
}
