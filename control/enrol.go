package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

// Whoever lets somebody in sees the token that they begin with. So that token is a
// one-time secret for enrolling: whom it was handed to replaces it, from then on
// nobody else has seen what they come in with, and if somebody enrolled in their
// name before, they find out. Until then nothing that they say counts as another
// person's word. What enrolment cannot show, that whoever lets people in has made
// them up, the views of approvals do: see kin.

const typeEnrolled = "operator.enrolled"

// kinFor is how long it is said by whom somebody was let in.
const kinFor = 7 * 24 * time.Hour

// enrolledBody is somebody's own token in the place of the one that its maker saw.
// What else there was of theirs by then (password, sessions, tokens) ends: it may be
// the maker's.
type enrolledBody struct {
	ID    string `json:"id"`
	Token string `json:"token_sha256"` // hex
}

// granted says who gave somebody a role that acts or decides.
type granted struct {
	by string
	at time.Time
}

func foldEnrolled(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[enrolledBody](e.Body)
	if err != nil {
		return nil, err
	}
	return s.anew(b.ID, b.Token, e, func(op *operator) { op.first = false })
}

// anew gives somebody another token in the place of all that they came in with.
func (s *state) anew(id, token string, e ledger.Entry, change func(*operator)) (func(), error) {
	old := s.operators[id]
	hash, err := tokenHash(token)
	if err == nil && (!old.active() || !old.own() || s.tokens[hash] != nil || s.people.creds[hash] != nil) {
		err = errForm
	}
	if err != nil {
		return nil, fmt.Errorf("new token of operator %q: %w", id, err)
	}
	_, why, _ := strings.Cut(e.Type, ".")
	return func() {
		op := *old
		op.token = hash
		op.verifier, op.passwordAt, op.proved = "", time.Time{}, time.Time{}
		change(&op)
		delete(s.tokens, old.token)
		s.operators[op.id], s.tokens[hash] = &op, &op
		for _, k := range s.people.byID {
			if k.owner == op.id && k.ended.IsZero() {
				s.people.end(k, e.At.UTC(), why)
			}
		}
	}, nil
}

// postEnrol gives whoever asks a token of their own. It exists in this answer alone.
func (c *Control) postEnrol(cl *call) error {
	if err := cl.op.may("operator.enrol"); err != nil {
		return err
	}
	if err := cl.notByToken("enrol anybody"); err != nil {
		return err
	}
	token, hash := secret(tokenPrefix)
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		if op := s.operators[cl.op.id]; !op.active() || !op.first {
			return nil, problem("enrolled", cl.op.name+" has enrolled already; if that was not you, somebody else did in your name: tell whoever let you in, and have the account removed (andon operators rm "+cl.op.id+")")
		}
		return []draft{{typeEnrolled, enrolledBody{cl.op.id, hash}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.operators[cl.op.id].view()
	c.mu.RUnlock()
	v.Token = token
	return cl.reply(http.StatusCreated, v)
}

// enrolled refuses somebody's word while who let them in can speak in their name.
func (op *operator) enrolled() error {
	if !op.first {
		return nil
	}
	seen := op.by + ", who made the account,"
	if !op.readmitted.IsZero() {
		seen = "whoever holds the control plane's data folder"
	}
	p := problem("not_enrolled", op.name+" comes in with the token that "+seen+" has seen: its word does not count as another person's")
	p.Hint = "andon operators enrol: it replaces the token by one that nobody else has seen"
	return p
}

// kin says who of others let somebody in, or gave them a role that acts or decides,
// less than a week before they answered, or that the data folder's holder let them
// in anew; "" if neither is so.
func (s *state) kin(op *operator, at time.Time, others ...string) string {
	note := s.letIn(op, at, others...)
	if op == nil || op.readmitted.IsZero() || at.Sub(op.readmitted) >= kinFor {
		return note
	}
	return strings.TrimPrefix(note+", let in anew by whoever holds the data folder "+ago(at.Sub(op.readmitted))+" before", ", ")
}

func (s *state) letIn(op *operator, at time.Time, others ...string) string {
	if op == nil {
		return ""
	}
	var said []string
	look := func(what string, g granted) {
		for _, o := range others {
			if since := at.Sub(g.at); o == g.by && o != op.id && since < kinFor {
				said = append(said, what+" "+s.nameOf(o)+" "+ago(since)+" before")
				return
			}
		}
	}
	if !op.created.IsZero() {
		look("made by", granted{op.by, op.created})
	}
	for _, g := range op.given {
		look("given a role by", g)
	}
	return strings.Join(said, ", ")
}

// kinOf is kin for whoever answers what another one asked for or put in force, with
// who let that other one in: if the one who answers did, they may be one person.
func (s *state) kinOf(op *operator, asked string, at time.Time, others ...string) string {
	var said []string
	if note := s.kin(op, at, append(others, asked)...); note != "" {
		said = append(said, note)
	}
	if op != nil {
		if note := s.letIn(s.operators[asked], at, op.id); note != "" {
			said = append(said, "let "+s.nameOf(asked)+" in: "+note)
		}
	}
	return strings.Join(said, ", ")
}

// kinOfAct are the notes of kin on those who answered, by operator.
func (s *state) kinOfAct(p *pendingAct) map[string]string {
	var all []string
	out := map[string]string{}
	for _, a := range p.answers {
		all = append(all, a.By)
	}
	for _, a := range p.answers {
		out[a.By] = s.kinOf(s.operators[a.By], p.by, a.At, slices.Clone(all)...)
	}
	return out
}

// kinAlert is the alert about an act to which somebody agreed who was let in by
// another of those who act, or let the one in who asked; "" if nobody was.
func (s *state) kinAlert(p *pendingAct) (event, says, about string) {
	notes := s.kinOfAct(p)
	var who []string
	for _, a := range p.answers {
		if n := notes[a.By]; n != "" {
			who = append(who, s.nameOf(a.By)+" ("+n+")")
		}
	}
	if len(who) == 0 {
		return "", "", ""
	}
	return eventAlarm, p.ID + " was agreed to by " + strings.Join(who, ", ") + "; asked by " + s.nameOf(p.by), ""
}

// ago is a time in words.
func ago(d time.Duration) string {
	d = max(d, 0)
	n, unit := int(d/(24*time.Hour)), "day"
	switch {
	case d < time.Minute:
		n, unit = int(d/time.Second), "second"
	case d < time.Hour:
		n, unit = int(d/time.Minute), "minute"
	case d < 48*time.Hour:
		n, unit = int(d/time.Hour), "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// grows says whether roles give somebody one that acts or decides.
func grows(had, roles authority.Set) bool {
	return roles&^had&^authority.SetOf(authority.Viewer) != 0
}
