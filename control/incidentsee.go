package control

import (
	"slices"
	"strconv"
	"strings"

	"andon/correction"
	"andon/incident"
	"andon/ledger"
)

// readerOf is an operator as a reader of incidents: with the teams that the plan
// in force puts the operator in.
func (s *state) readerOf(op *operator) incident.Reader {
	return incident.Reader{ID: op.id, Roles: op.roles, Teams: s.teamsOf(op)}
}

// teamsOf are the teams of the plan in force that have the operator as a member.
func (s *state) teamsOf(op *operator) []string {
	if s.plan.current == nil || op.name == "" {
		return nil
	}
	var out []string
	for _, t := range s.plan.current.Teams {
		if slices.Contains(t.Members, op.name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// seen is an incident that an operator may know of. Whoever may not is told what
// is said of one that is not there.
func (s *state) seen(op *operator, id string) (*incident.Incident, error) {
	in := s.book().Incident(id)
	if !s.book().Sees(s.readerOf(op), in) {
		return nil, problem("not_found", "there is no incident "+strconv.Quote(short(id)))
	}
	return in, nil
}

func (s *state) seenCase(op *operator, id string) (*incident.Case, error) {
	k := s.book().Case(id)
	if !s.book().SeesCase(s.readerOf(op), k) {
		return nil, problem("not_found", "there is no triage case "+strconv.Quote(short(id)))
	}
	return k, nil
}

func (s *state) seenSignal(op *operator, id string) (*incident.Signal, error) {
	x := s.book().Signal(id)
	if !s.book().SeesSignal(s.readerOf(op), x) {
		return nil, problem("not_found", "there is no signal "+strconv.Quote(short(id)))
	}
	return x, nil
}

// checkIncident looks at the incident that a correction names: it has to be
// there, for the one who names it, and not be over; an exercise touches nobody.
// The correction then names the incident that it was merged into at last.
func (s *state) checkIncident(op *operator, cor *correction.Correction) error {
	if cor.Incident == "" {
		return nil
	}
	wrong := func(code, detail, hint string) error {
		p := problem(code, detail)
		p.Field, p.Hint = "incident", hint
		return p
	}
	in, err := s.seen(op, cor.Incident)
	if err != nil {
		return wrong("invalid_field", "there is no incident "+strconv.Quote(short(cor.Incident)), "open it first (andon incident open), or leave it out: a correction needs none")
	}
	in = s.book().Root(in.ID)
	if in.Status == incident.StatusClosed {
		return wrong("out_of_order", in.ID+" is closed", "reopen it (andon incident reopen "+in.ID+"), or leave it out")
	}
	if in.Kind == incident.Exercise && cor.Mode != correction.Shadow {
		return wrong("invalid_field", in.ID+" is an exercise: its corrections refuse nobody, so they are in mode shadow", `set the mode to "shadow"`)
	}
	cor.Incident = in.ID
	return nil
}

// hears says whether an operator may be told of an entry, and of its body.
// Entries of incidents that are not for the operator are not told at all. An
// entry that only names one, such as a correction, is told without its body.
func (s *state) hears(op *operator, e ledger.Entry) (entry, body bool) {
	r := s.readerOf(op)
	if e.Type == typeRetentionHeld || e.Type == typeRetentionReleased {
		if h := s.retention.hold(peek(e).ID); h != nil {
			ok := s.seesHold(op, h)
			return ok, ok
		}
	}
	if r.All() || s.incident.entries == nil {
		return true, true
	}
	b, g := s.book(), peek(e)
	all := func(ids ...string) bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return id != "" && b.Incident(id) != nil && !b.Sees(r, b.Incident(id)) })
	}
	room, _, _ := strings.Cut(e.Type, ".")
	switch room {
	case "incident":
		in := b.Incident(g.Incident)
		ok := in != nil && all(g.Incident, g.Into, g.From) && in.Reads(r, e.Seq)
		return ok, ok
	case "triage":
		ok := b.SeesCase(r, b.Case(g.Case)) && all(g.Incident)
		return ok, ok
	case "signal":
		ok := b.SeesSignal(r, b.Signal(g.Signal))
		return ok, ok
	case "correction":
		return true, all(g.Correction.Incident)
	case "state": // a restoration holds the corrections that it brings back
		back, err := read[restoredBody](e.Body)
		var ids []string
		for _, cor := range slices.Concat(back.Reinstate, back.Change) {
			ids = append(ids, cor.Incident)
		}
		return true, err == nil && all(ids...)
	case "approval":
		ok := s.seesAct(op, s.authority.acts[g.ID])
		return ok, ok
	case "run": // what follows its beginning names the run alone
		run := s.playbook.runs[g.Run]
		ok := all(g.Incident) && (run == nil || s.sees(op, run))
		return ok, ok
	case "decision":
		d := s.decision.all.Get(g.ID)
		ok := s.seesDecision(op, d)
		return ok, ok
	}
	ok := all(g.Incident)
	return ok, ok
}

// tell is hears for a message of the hub.
func (c *Control) tells(op *operator, m *message) bool {
	if !m.entry {
		return true
	}
	v, ok := m.data.(entryEvent)
	if !ok {
		return false
	}
	c.mu.RLock()
	entry, body := c.state.hears(op, ledger.Entry{Seq: v.Seq, Type: v.Type, Actor: v.Actor, Body: m.body})
	c.mu.RUnlock()
	if entry && !body {
		v.Body, v.Large = nil, true
		m.data = v
		return m.encode() == nil
	}
	return entry
}

// viewFor is view for one operator: an incident that the operator may not know of
// is left out. The caller holds mu for writing.
func (c *Control) viewFor(op *operator, r *record) correctionView {
	v := c.view(r)
	if !c.state.knows(op, v.Incident) {
		v.Incident = ""
	}
	return v
}

// knows says whether an operator may know of the incident that something names.
func (s *state) knows(op *operator, id string) bool {
	in := s.book().Incident(id)
	return in == nil || s.book().Sees(s.readerOf(op), in)
}
