package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/authority"
)

// concernView is a concern as the desk sees it.
type concernView struct {
	ID       string     `json:"id"`
	Topic    string     `json:"topic"`
	State    string     `json:"state"`
	Raised   time.Time  `json:"raised_at"`
	Changed  time.Time  `json:"changed_at"`
	By       string     `json:"by,omitempty"` // operator; missing: without a name
	Text     string     `json:"text,omitempty"`
	About    string     `json:"about,omitempty"`
	Contact  string     `json:"contact,omitempty"`
	Erased   bool       `json:"erased,omitempty"`
	Under    string     `json:"erased_under,omitempty"` // the retention that erased it, in words
	Messages []saidView `json:"messages"`
	Personal []string   `json:"personal,omitempty"` // commitments: what an erasure names
	Entry    uint64     `json:"entry"`
}

type concernList struct {
	Concerns []concernView `json:"concerns"` // without texts
	Open     int           `json:"open"`
	Next     string        `json:"next,omitempty"` // after=
}

// atDesk refuses who may not read concerns: an administrator is at the desk only
// where there is no auditor.
func (c *Control) atDesk(op *operator, action string) error {
	if op.roles.Has(authority.Auditor) {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, o := range c.state.operators {
		if o.active() && o.roles.Has(authority.Auditor) {
			p := problem("forbidden", action+" takes the role auditor; an administrator reads concerns only where there is no auditor")
			p.Allowed = []string{string(authority.Auditor)}
			return p
		}
	}
	return nil
}

const concernPage = 100

// getConcerns lists them, newest first, without what they say.
func (c *Control) getConcerns(cl *call) error {
	if err := cl.op.may("concern.read"); err != nil {
		return err
	}
	if err := c.atDesk(cl.op, "concern.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	if err := onlyQuery(q, "state", "after"); err != nil {
		return err
	}
	want, after := q.Get("state"), q.Get("after")
	if want != "" && want != "open" && !slices.Contains(concernStates, want) {
		p := problem("invalid_query", strconv.Quote(short(want))+" is no state of a concern")
		p.Field, p.Allowed = "state", append([]string{"open"}, concernStates...)
		return p
	}
	out := concernList{Concerns: []concernView{}}
	c.mu.RLock()
	out.Open = c.state.concern.open
	begun := after == ""
	for _, id := range slices.Backward(c.state.concern.list) {
		k := c.state.concern.concerns[id]
		switch {
		case !begun:
			begun = id == after
		case want != "" && want != k.state && (want != "open" || closedConcern(k.state)):
		case len(out.Concerns) == concernPage:
			out.Next = out.Concerns[concernPage-1].ID
		default:
			out.Concerns = append(out.Concerns, k.view())
		}
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, out)
}

func (k *concern) view() concernView {
	return concernView{ID: k.id, Topic: k.topic, State: k.state, Raised: k.at, Changed: k.changed, By: k.named, Messages: []saidView{}, Entry: k.entry}
}

func (c *Control) getConcern(cl *call) error {
	if err := cl.op.may("concern.read"); err != nil {
		return err
	}
	if err := c.atDesk(cl.op, "concern.read"); err != nil {
		return err
	}
	return c.replyConcern(cl, cl.r.PathValue("id"))
}

// replyConcern shows a concern whole.
func (c *Control) replyConcern(cl *call, id string) error {
	c.mu.RLock()
	k := c.state.concern.concerns[id]
	if k == nil {
		c.mu.RUnlock()
		return problem("not_found", "there is no concern "+strconv.Quote(short(id)))
	}
	copied := *k
	c.mu.RUnlock()
	v := copied.view()
	for _, f := range []struct {
		to   *string
		name string
	}{{&v.Text, copied.text}, {&v.About, copied.about}, {&v.Contact, copied.contact}, {&v.By, copied.by}} {
		if f.name == "" {
			continue
		}
		text, erased, err := c.personal(cl.r.Context(), f.name)
		if err != nil {
			return err
		}
		*f.to, v.Erased = text, v.Erased || erased
		v.Personal = append(v.Personal, f.name)
	}
	v.Under = c.erasedUnder(v.Personal...)
	for _, m := range copied.messages {
		if m.text != "" {
			v.Personal = append(v.Personal, m.text)
		}
	}
	var err error
	if v.Messages, err = c.said(cl, copied.messages, true); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// concernMove is what the desk does with a concern.
type concernMove struct {
	State   string `json:"state,omitempty"`
	Message string `json:"message,omitempty"` // to the reporter
}

// postConcernMove moves a concern on, or tells its reporter something. Whoever
// closes one says why.
func (c *Control) postConcernMove(cl *call) error {
	if err := cl.op.may("concern.move"); err != nil {
		return err
	}
	if err := c.atDesk(cl.op, "concern.move"); err != nil {
		return err
	}
	b, err := decode[concernMove](cl)
	if err != nil {
		return err
	}
	switch {
	case b.State == "" && strings.TrimSpace(b.Message) == "":
		return badField("state", "say where it stands, or a message", concernStates[1:]...)
	case b.State != "" && slices.Index(concernStates, b.State) < 1:
		return badField("state", strconv.Quote(short(b.State))+" is no state that it can be moved to", concernStates[1:]...)
	case closedConcern(b.State) && strings.TrimSpace(b.Message) == "":
		return badField("message", "missing: tell the reporter why it is closed")
	}
	if err := concernText("message", b.Message, maxConcern, false); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	by, err := c.raisedBy(cl, id)
	if err != nil {
		return err
	}
	values := map[string][]byte{}
	text := sealed(values, b.Message)
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		k := s.concern.concerns[id]
		if k == nil {
			return nil, problem("not_found", "there is no concern "+strconv.Quote(short(id)))
		}
		if by == cl.op.id {
			return nil, problem("not_independent", "you raised it; somebody else looks into it")
		}
		if len(k.messages) >= 2*maxMessages {
			return nil, problem("too_many_concerns", fmt.Sprintf("it has %d messages already", len(k.messages)))
		}
		if i, j := slices.Index(concernStates, k.state), slices.Index(concernStates, b.State); j > 0 && j < i && !closedConcern(k.state) {
			return nil, badField("state", fmt.Sprintf("it is %s; it does not go back to %s", k.state, b.State), concernStates[i:]...)
		}
		return []draft{{typeConcernStatus, private{concernMessageBody{ID: id, Text: text, State: b.State}, values}}}, nil
	})
	if err != nil {
		return err
	}
	return c.replyConcern(cl, id)
}

// raisedBy is the operator who raised a concern with their name; "" otherwise.
func (c *Control) raisedBy(cl *call, id string) (string, error) {
	c.mu.RLock()
	k, by, named := c.state.concern.concerns[id], "", ""
	if k != nil {
		by, named = k.by, k.named
	}
	c.mu.RUnlock()
	if by == "" {
		return named, nil
	}
	name, _, err := c.personal(cl.r.Context(), by)
	return name, err
}
