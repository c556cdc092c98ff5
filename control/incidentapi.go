package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/authority"
	"andon/incident"
	"andon/ledger"
)

// showIncident answers with an incident as the operator sees it.
func (c *Control) showIncident(cl *call, status int, id string) error {
	c.mu.RLock()
	in, err := c.state.seen(cl.op, id)
	var v incidentView
	if err == nil {
		v = c.viewIncident(c.state.readerOf(cl.op), in)
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(status, v)
}

// incidentPost is the route of one kind of step. also checks what package
// incident cannot know.
func incidentPost[S incident.Step](action string, also ...func(s *state, op *operator, in *incident.Incident, x *S) error) func(*Control, *call) error {
	return func(c *Control, cl *call) error {
		if err := cl.op.may(action); err != nil {
			return err
		}
		x, err := decode[S](cl)
		if err != nil {
			return err
		}
		return c.incidentStep(cl, func(s *state, in *incident.Incident) (incident.Event, error) {
			step := x
			for _, check := range also {
				if err := check(s, cl.op, in, &step); err != nil {
					return nil, err
				}
			}
			return &incident.On[S]{Incident: in.ID, Step: step}, nil
		})
	}
}

// incidentStep runs a command on the incident of the path and shows it.
func (c *Control) incidentStep(cl *call, event func(s *state, in *incident.Incident) (incident.Event, error)) error {
	id := cl.r.PathValue("id")
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		in, err := s.seen(cl.op, id)
		if err != nil {
			return nil, err
		}
		e, err := event(s, in)
		if err != nil {
			return nil, err
		}
		return s.incidentDraft(cl.op, e, now)
	})
	if err != nil {
		return err
	}
	return c.showIncident(cl, http.StatusOK, id)
}

// operatorThere refuses who is no operator now, as somebody who is to do something.
func (s *state) operatorThere(field, id string) error {
	if s.operators[id].active() {
		return nil
	}
	p := badField(field, strconv.Quote(short(id))+" is no operator")
	for _, o := range s.operatorList {
		if s.operators[o].active() && len(p.Allowed) < 50 {
			p.Allowed = append(p.Allowed, o)
		}
	}
	return p
}

// mayLead refuses a commander who could not act.
func (s *state) mayLead(field, id string) error {
	if err := s.operatorThere(field, id); err != nil {
		return err
	}
	if can := actors | authority.SetOf(authority.Administrator); !s.operators[id].roles.Meets(can) {
		return badField(field, short(id)+" has "+s.operators[id].roles.String()+" and could not act in an incident; it takes "+can.String())
	}
	return nil
}

func checkRole(s *state, _ *operator, _ *incident.Incident, x *incident.RoleChange) error {
	switch {
	case x.End || x.Operator == "":
		return nil
	case x.Role == incident.Commander:
		return s.mayLead("operator", x.Operator)
	}
	return s.operatorThere("operator", x.Operator)
}

// checkMarking keeps an operator from hiding an incident from themselves: nobody
// could take that back who does not see everything.
func checkMarking(s *state, op *operator, in *incident.Incident, x *incident.Marked) error {
	after := *in
	after.Marking = x.Marking
	if x.Entry == nil && !s.book().Sees(s.readerOf(op), &after) {
		return badField("marking.need_to_know", "leaves you out; name yourself as well, or hand over to somebody who is meant")
	}
	return s.checkNeed(x.Marking)
}

// checkNeed refuses operators who are not there: a list with a typing error would
// hide something from whom it is for.
func (s *state) checkNeed(m *incident.Marking) error {
	if m == nil || m.Need == nil {
		return nil
	}
	for i, id := range m.Need.Operators {
		if err := s.operatorThere("marking.need_to_know.operators["+strconv.Itoa(i)+"]", id); err != nil {
			return err
		}
	}
	return nil
}

func checkClose(s *state, op *operator, _ *incident.Incident, x *incident.Closed) error {
	for c, owner := range x.Owners {
		if err := s.operatorThere("owners."+short(c), owner); err != nil {
			return err
		}
	}
	if x.Of != "" {
		if _, err := s.seen(op, x.Of); err != nil {
			return badField("of", "there is no incident "+strconv.Quote(short(x.Of)))
		}
	}
	return nil
}

func checkReopen(s *state, _ *operator, _ *incident.Incident, x *incident.Reopened) error {
	if x.Commander == "" {
		return nil
	}
	return s.mayLead("commander", x.Commander)
}

// checkOpen looks at what a new incident names.
func (s *state) checkOpen(op *operator, x *incident.OpenSpec) error {
	if x.Commander != "" {
		if err := s.mayLead("commander", x.Commander); err != nil {
			return err
		}
	}
	for i, id := range x.Cases {
		if _, err := s.seenCase(op, id); err != nil {
			return badField("cases["+strconv.Itoa(i)+"]", "there is no triage case "+strconv.Quote(short(id)))
		}
	}
	return s.checkNeed(x.Marking)
}

// postIncident opens an incident: of triage cases, or directly.
func (c *Control) postIncident(cl *call) error {
	if err := cl.op.may("incident.open"); err != nil {
		return err
	}
	spec, err := decode[incident.OpenSpec](cl)
	if err != nil {
		return err
	}
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		if err := s.checkOpen(cl.op, &spec); err != nil {
			return nil, err
		}
		id = s.book().NextIncident()
		return s.incidentDraft(cl.op, &incident.Opened{Incident: id, OpenSpec: spec}, now)
	})
	if err != nil {
		return err
	}
	return c.made(cl, id)
}

// made answers with a new incident. Who opened it for others alone is told its id.
func (c *Control) made(cl *call, id string) error {
	cl.w.Header().Set("Location", "/api/v1/incidents/"+id)
	c.mu.RLock()
	v := incidentView{incidentRow: c.state.rowOf(c.state.book().Incident(id))}
	c.mu.RUnlock()
	if err := c.showIncident(cl, http.StatusCreated, id); err != nil {
		return cl.reply(http.StatusCreated, v) // it was made: that is not to be taken for a failure
	}
	return nil
}

// incidentList is a page of incidents.
type incidentList struct {
	Total     int            `json:"total"` // that fit and can be seen
	ByStatus  map[string]int `json:"by_status"`
	Incidents []incidentRow  `json:"incidents"`
	After     string         `json:"after,omitempty"` // ask with this for the rest

	// Of a search in texts alone; total and by_status are this page's then.
	Searched *int        `json:"searched,omitempty"` // entries that were looked at
	Found    []foundText `json:"found,omitempty"`    // where the words stand, of incidents whose header does not hold them
	Cut      []string    `json:"cut,omitempty"`      // incidents with more entries than are looked at: the oldest were not
}

var listedKinds = []string{string(incident.Real), string(incident.Exercise), "all"}

// getIncidents lists incidents, the youngest first. Exercises are left out unless
// they are asked for.
func (c *Control) getIncidents(cl *call) error {
	if err := cl.op.may("incident.read"); err != nil {
		return err
	}
	q, err := cl.query("status", "severity", "kind", "model", "org", "commander", "near_miss", "open", "q", "in", "after", "limit")
	if err != nil {
		return err
	}
	status, err := q.choice("status", stringsOf(incident.Statuses)...)
	if err != nil {
		return err
	}
	severity, err := q.choice("severity", stringsOf(incident.Severities)...)
	if err != nil {
		return err
	}
	kind, err := q.choice("kind", listedKinds...)
	if err != nil {
		return err
	}
	if kind == "" {
		kind = string(incident.Real)
	}
	near, err := q.choice("near_miss", "true", "false")
	if err != nil {
		return err
	}
	open, err := q.choice("open", "true", "false")
	if err != nil {
		return err
	}
	where, err := q.choice("in", "headers", "texts")
	if err != nil {
		return err
	}
	words := strings.Fields(strings.ToLower(q.Get("q")))
	texts := where == "texts"
	if texts && len(words) == 0 {
		return badQuery("q", "missing: the words that are looked for in texts")
	}
	fits := func(in *incident.Incident) bool {
		return (status == "" || string(in.Status) == status) && (severity == "" || string(in.Severity) == severity) && (kind == "all" || string(in.Kind) == kind) &&
			(near == "" || (in.NearMiss != nil) == (near == "true")) && (open == "" || (in.Status != incident.StatusClosed) == (open == "true")) &&
			(!q.Has("model") || slices.Contains(in.Subject.Models, q.Get("model"))) && (!q.Has("org") || slices.Contains(in.Subject.Orgs, q.Get("org"))) &&
			(!q.Has("commander") || in.Lead() == q.Get("commander")) && (texts || in.Matches(words))
	}
	if texts {
		c.mu.RLock()
		p, err := q.page(len(c.state.book().Incidents()))
		c.mu.RUnlock()
		if err != nil {
			return err
		}
		list, err := c.searchTexts(cl.r.Context(), cl.op, words, p, fits)
		if err != nil {
			return err
		}
		return cl.reply(http.StatusOK, list)
	}
	c.mu.RLock()
	s := c.state
	r, all := s.readerOf(cl.op), s.book().Incidents()
	p, err := q.page(len(all))
	list := incidentList{ByStatus: map[string]int{}, Incidents: []incidentRow{}}
	for i := len(all) - 1; i >= 0 && err == nil; i-- {
		in := all[i]
		if !fits(in) || !s.book().Sees(r, in) {
			continue
		}
		list.Total++
		list.ByStatus[string(in.Status)]++
		switch {
		case i >= p.below:
		case len(list.Incidents) < p.limit:
			list.Incidents = append(list.Incidents, s.shownRow(r, in))
		default:
			list.After = list.Incidents[p.limit-1].ID
		}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, list)
}

// shownRow is rowOf without what the reader may not know of.
func (s *state) shownRow(r incident.Reader, in *incident.Incident) incidentRow {
	v := s.rowOf(in)
	if !s.book().Sees(r, s.book().Incident(v.MergedInto)) {
		v.MergedInto = ""
	}
	return v
}

func (c *Control) getIncident(cl *call) error {
	if err := cl.op.may("incident.read"); err != nil {
		return err
	}
	return c.showIncident(cl, http.StatusOK, cl.r.PathValue("id"))
}

// patternList is the near misses by their pattern.
type patternList struct {
	Patterns []incident.Pattern `json:"patterns"`
}

func (c *Control) getNearMisses(cl *call) error {
	if err := cl.op.may("incident.read"); err != nil {
		return err
	}
	c.mu.RLock()
	b, r := c.state.book(), c.state.readerOf(cl.op)
	list := patternList{b.NearMisses(func(in *incident.Incident) bool { return b.Sees(r, in) })}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

// newNote is a note as the API takes it.
type newNote struct {
	Text     string            `json:"text"`
	Personal bool              `json:"personal,omitempty"` // it holds personal data, and can be erased
	Refs     []string          `json:"refs,omitempty"`
	Marking  *incident.Marking `json:"marking,omitempty"`
}

// postNote writes a note. A text with personal data does not stand in the record,
// only a commitment to it does; so it can be erased and the record stays whole.
func (c *Control) postNote(cl *call) error {
	if err := cl.op.may("incident.note"); err != nil {
		return err
	}
	x, err := decode[newNote](cl)
	if err != nil {
		return err
	}
	note := incident.Note{Text: x.Text, Personal: x.Personal, Refs: x.Refs, Marking: x.Marking}
	if err := note.CheckText(); err != nil {
		return incidentProblem(err)
	}
	var sealed map[string][]byte
	if x.Personal {
		name, value := ledger.Commit([]byte(x.Text))
		note.Text, note.Commitment, sealed = "", name, map[string][]byte{name: value}
	}
	id := cl.r.PathValue("id")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		in, err := s.seen(cl.op, id)
		if err != nil {
			return nil, err
		}
		if err := s.checkNeed(x.Marking); err != nil {
			return nil, err
		}
		drafts, err := s.incidentDraft(cl.op, &incident.On[incident.Note]{Incident: in.ID, Step: note}, now)
		if err == nil && sealed != nil {
			drafts[0].body = private{drafts[0].body, sealed}
		}
		return drafts, err
	})
	if err != nil {
		return err
	}
	return c.showIncident(cl, http.StatusOK, id)
}

// merging merges an incident into another.
type merging struct {
	Into    string `json:"into"`
	Reason  string `json:"reason"`
	Confirm bool   `json:"confirm,omitempty"` // others lose sight of it, and that is meant
}

func (c *Control) postMerge(cl *call) error {
	if err := cl.op.may("incident.merge"); err != nil {
		return err
	}
	x, err := decode[merging](cl)
	if err != nil {
		return err
	}
	return c.incidentStep(cl, func(s *state, in *incident.Incident) (incident.Event, error) {
		if _, err := s.seen(cl.op, x.Into); err != nil {
			return nil, badField("into", "there is no incident "+strconv.Quote(short(x.Into)))
		}
		if lose := s.losesSight(in, s.book().Incident(x.Into)); len(lose) > 0 && !x.Confirm {
			p := problem("loses_sight", fmt.Sprintf("%s is for fewer people than %s: %s could not read any more what is merged into it from then on, and would not be told", x.Into, in.ID, strings.Join(lose, ", ")))
			p.Field, p.Allowed = "confirm", lose
			p.Hint = "name them in the need-to-know list of " + x.Into + " first, or tell them; then merge with confirm"
			return nil, p
		}
		return &incident.Merged{Incident: in.ID, Into: x.Into, Reason: x.Reason}, nil
	})
}

// maxLoseSight bounds how many people a refused merge names.
const maxLoseSight = 20

// losesSight are the names of those who may know of an incident and not of the other
// one, in which it goes on once it is merged.
func (s *state) losesSight(in, into *incident.Incident) (names []string) {
	for _, id := range s.operatorList {
		op := s.operators[id]
		if !op.active() {
			continue
		}
		r := s.readerOf(op)
		if !s.book().Sees(r, in) || s.book().Sees(r, into) {
			continue
		}
		if len(names) == maxLoseSight {
			return append(names, "and others")
		}
		names = append(names, op.name)
	}
	return names
}

func (c *Control) postSplit(cl *call) error {
	if err := cl.op.may("incident.split"); err != nil {
		return err
	}
	x, err := decode[incident.SplitSpec](cl)
	if err != nil {
		return err
	}
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		from, err := s.seen(cl.op, cl.r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		if err := s.checkOpen(cl.op, &x.OpenSpec); err != nil {
			return nil, err
		}
		r := s.readerOf(cl.op)
		for i, seq := range x.Entries {
			if !s.book().Tells(r, from, seq) {
				return nil, badField("entries["+strconv.Itoa(i)+"]", "entry "+strconv.FormatUint(seq, 10)+" is not on the timeline of "+from.ID)
			}
		}
		id = s.book().NextIncident()
		return s.incidentDraft(cl.op, &incident.Split{Incident: id, From: from.ID, SplitSpec: x}, now)
	})
	if err != nil {
		return err
	}
	return c.made(cl, id)
}
