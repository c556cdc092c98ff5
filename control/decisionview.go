package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"andon/incident"
	"andon/playbook"
)

// decisionView is a decision as the API shows it.
type decisionView struct {
	ID         string                   `json:"id"`
	Run        string                   `json:"run,omitempty"`  // of a playbook, that asks it
	Step       string                   `json:"step,omitempty"` // of the run; missing: the stop-gap
	Incident   string                   `json:"incident,omitempty"`
	TLP        incident.TLP             `json:"tlp,omitempty"` // of its incident
	Restricted bool                     `json:"restricted,omitzero"`
	Question   string                   `json:"question"`
	Threat     string                   `json:"threat,omitempty"`
	State      string                   `json:"state"` // open, decided, defaulted
	OpenedAt   time.Time                `json:"opened_at"`
	OpenedBy   string                   `json:"opened_by"`
	Entry      uint64                   `json:"entry,omitzero"`
	Deadline   time.Time                `json:"deadline"`
	Default    int                      `json:"default"`
	Manual     string                   `json:"default_manual,omitempty"` // why the default is not carried out by itself
	Overdue    string                   `json:"overdue,omitempty"`        // nobody decided in time, and why the default was not carried out
	Approval   string                   `json:"approval,omitempty"`       // pending act: somebody chose, and others have to agree
	Known      string                   `json:"known,omitempty"`
	Missing    string                   `json:"missing,omitempty"`
	Waiting    string                   `json:"cost_of_waiting,omitempty"`
	Options    []optionView             `json:"options"`
	Decided    *madeView                `json:"decided,omitempty"`
	Criteria   []incident.LiftCriterion `json:"criteria"`
	Dissents   []incident.Dissent       `json:"dissents"`
	Notes      []string                 `json:"notes,omitempty"` // what the record lacks, or what has changed
}

// optionView is an option, and how it was seen last; once it is decided, at that time.
type optionView struct {
	N int `json:"n"`
	incident.Option
	Seen incident.Comparison `json:"seen"`
	Then []string            `json:"then,omitempty"` // steps that a run goes on with
}

// madeView is who chose, and what came of it.
type madeView struct {
	Option      int            `json:"option"`
	By          string         `json:"by"`
	At          time.Time      `json:"at"`
	Entry       uint64         `json:"entry,omitzero"`
	Auto        bool           `json:"auto,omitzero"`
	Glass       bool           `json:"break_glass,omitzero"`
	Rationale   string         `json:"rationale"`
	NotNarrower string         `json:"why_not_narrower,omitempty"`
	NotBroader  string         `json:"why_not_broader,omitempty"`
	Known       string         `json:"known,omitempty"`
	Missing     string         `json:"missing,omitempty"`
	ReviewBy    time.Time      `json:"review_by,omitzero"`
	Takes       incident.Takes `json:"takes"`
	Applied     []decidedOn    `json:"applied,omitempty"`
	Lifted      []string       `json:"lifted,omitempty"`
	SeenIn      uint64         `json:"compared_in,omitzero"` // entry with the comparison that was seen
}

// decidedOn is a correction that a decision applied, as it stands now.
type decidedOn struct {
	ID    string `json:"id"`
	Says  string `json:"says"`
	State string `json:"state"`
}

// viewDecision shows a decision. The caller holds mu.
func (c *Control) viewDecision(d *incident.Decision) decisionView {
	s := c.state
	v := decisionView{ID: d.ID, Incident: d.Incident, Question: d.Question, Threat: d.Threat, State: d.State, OpenedAt: d.OpenedAt, OpenedBy: d.OpenedBy, Entry: d.Entry,
		Deadline: d.Deadline, Default: d.Default, Overdue: d.Overdue, Known: d.Known, Missing: d.Missing, Waiting: d.Waiting, Options: []optionView{},
		Criteria: append([]incident.LiftCriterion{}, d.Criteria...), Dissents: append([]incident.Dissent{}, d.Dissents...)}
	if in := s.book().Incident(d.Incident); in != nil {
		v.TLP, v.Restricted = in.Marking.Label(), s.restricted(d)
	}
	for i := range d.Options {
		v.Options = append(v.Options, optionView{N: i + 1, Option: d.Options[i], Seen: d.Compared[i]})
	}
	if d.State == incident.DecisionOpen {
		v.Manual = d.Option(d.Default).Manual()
		if p := s.waitingChoice(d.ID); p != nil {
			v.Approval = p.ID
		}
		return v
	}
	m := d.Made
	v.Decided = &madeView{Option: m.Option, By: m.By, At: d.MadeAt, Entry: d.MadeIn, Auto: m.Auto, Glass: m.Glass, Rationale: m.Rationale, NotNarrower: m.NotNarrower, NotBroader: m.NotBroader,
		Known: m.Known, Missing: m.Missing, ReviewBy: m.ReviewBy, Takes: m.Takes, Lifted: m.Lifted, SeenIn: m.SeenIn}
	for _, id := range m.Applied {
		r := s.corrections[id]
		v.Decided.Applied = append(v.Decided.Applied, decidedOn{id, saidBriefly(playbook.CorrectionWords(&r.Correction)), r.stateAt(c.early())})
	}
	if m.Auto {
		return v
	}
	if n := notSaid(d, func(other, chosen int) bool { return other < chosen }); m.NotNarrower == "" && n != "" {
		v.Notes = append(v.Notes, "why not narrower is not said: "+n)
	}
	if n := notSaid(d, func(other, chosen int) bool { return other > chosen }); m.NotBroader == "" && n != "" {
		v.Notes = append(v.Notes, "why not broader is not said: "+n)
	}
	if len(m.Applied) > 0 && len(d.Criteria) == 0 {
		v.Notes = append(v.Notes, "there are no criteria for lifting what was applied")
	}
	return v
}

// notSaid names the options that are narrower, or broader, than the chosen one.
func notSaid(d *incident.Decision, is func(other, chosen int) bool) string {
	var out []string
	for i := range d.Options {
		if is(d.Compared[i].Narrowness, d.Compared[d.Made.Option-1].Narrowness) && !d.Options[i].Nothing() {
			out = append(out, fmt.Sprintf("option %d", i+1))
		}
	}
	return strings.Join(out, ", ")
}

// showDecision answers with a decision as it is now.
func (c *Control) showDecision(cl *call, status int, id string) error {
	c.mu.RLock()
	d, err := c.state.seenDecision(cl.op, id)
	var v decisionView
	if err == nil {
		v = c.viewDecision(d)
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(status, v)
}

func (c *Control) getDecision(cl *call) error {
	if err := cl.op.may("decision.read"); err != nil {
		return err
	}
	if id := cl.r.PathValue("id"); strings.HasPrefix(id, "r-") {
		return c.showRunChoice(cl, id)
	}
	return c.showDecision(cl, http.StatusOK, cl.r.PathValue("id"))
}

// decisionLine is a decision in a list.
type decisionLine struct {
	ID       string    `json:"id"`
	Incident string    `json:"incident,omitempty"`
	Question string    `json:"question"`
	State    string    `json:"state"`
	OpenedAt time.Time `json:"opened_at"`
	OpenedBy string    `json:"opened_by"`
	Deadline time.Time `json:"deadline"`
	Overdue  bool      `json:"overdue,omitzero"`
	Approval string    `json:"approval,omitempty"`
	Options  int       `json:"options"`
	Default  string    `json:"default"`
	Chosen   string    `json:"chosen,omitempty"` // title of the option
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at,omitzero"`
	ReviewBy time.Time `json:"review_by,omitzero"`
	Unmet    int       `json:"unmet,omitzero"` // criteria for lifting
	Dissents int       `json:"dissents,omitzero"`
}

// openChoice is what a playbook's run asks, or what follows its stop-gap.
type openChoice struct {
	ID       string    `json:"id"` // by which it can be decided
	Run      string    `json:"run"`
	Step     string    `json:"step,omitempty"` // missing: the stop-gap
	Incident string    `json:"incident,omitempty"`
	Question string    `json:"question"`
	Options  []string  `json:"options"`
	Default  string    `json:"default,omitempty"`
	Due      time.Time `json:"due,omitzero"`
	Late     bool      `json:"late,omitzero"`
}

// decisionList is a page of decisions, the youngest first, and the choices that
// wait in playbooks' runs.
type decisionList struct {
	Decisions []decisionLine `json:"decisions"`
	Choices   []openChoice   `json:"choices"`         // with the first page
	After     string         `json:"after,omitempty"` // ask with this for the next page
}

func (c *Control) getDecisions(cl *call) error {
	if err := cl.op.may("decision.read"); err != nil {
		return err
	}
	q, err := cl.query("state", "incident", "after", "limit")
	if err != nil {
		return err
	}
	state, err := q.choice("state", incident.DecisionStates...)
	if err != nil {
		return err
	}
	out, err := c.listDecisions(cl.op, q, state)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, out)
}

func (c *Control) listDecisions(op *operator, q query, state string) (decisionList, error) {
	out := decisionList{Decisions: []decisionLine{}, Choices: []openChoice{}}
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.state
	list := s.decision.all.List()
	p, err := q.page(len(list))
	if err != nil {
		return out, err
	}
	in := q.Get("incident")
	for _, d := range slices.Backward(list[:p.below]) {
		if state != "" && d.State != state || in != "" && d.Incident != in || !s.seesDecision(op, d) {
			continue
		}
		if len(out.Decisions) == p.limit {
			out.After = out.Decisions[p.limit-1].ID
			break
		}
		out.Decisions = append(out.Decisions, c.lineOf(d))
	}
	if !q.Has("after") && (state == "" || state == incident.DecisionOpen) {
		out.Choices = c.openChoices(op, in)
	}
	return out, nil
}

func (c *Control) lineOf(d *incident.Decision) decisionLine {
	v := decisionLine{ID: d.ID, Incident: d.Incident, Question: d.Question, State: d.State, OpenedAt: d.OpenedAt, OpenedBy: d.OpenedBy, Deadline: d.Deadline, Overdue: d.Overdue != "",
		Options: len(d.Options), Default: d.Option(d.Default).Title, Unmet: len(d.Unmet()), Dissents: len(d.Dissents)}
	if d.State != incident.DecisionOpen {
		v.Chosen, v.By, v.At, v.ReviewBy = d.Option(d.Made.Option).Title, d.Made.By, d.MadeAt, d.Made.ReviewBy
	} else if p := c.state.waitingChoice(d.ID); p != nil {
		v.Approval = p.ID
	}
	return v
}

// openChoices are the decisions that runs wait for. The caller holds mu.
func (c *Control) openChoices(op *operator, in string) []openChoice {
	out := []openChoice{}
	for _, id := range c.state.playbook.live {
		r := c.state.playbook.runs[id]
		if !c.state.sees(op, r) || in != "" && r.Incident != in || r.State != playbook.Running {
			continue
		}
		for _, p := range c.pending(r, c.cfg.Now()) {
			if p.Do != "decide" {
				continue
			}
			n := slices.IndexFunc(r.Steps, func(s playbook.StepState) bool { return s.Name == p.Step }) + 1
			x := openChoice{ID: runChoiceID(id, n), Run: id, Step: p.Step, Incident: r.Incident, Question: p.What, Due: p.Due, Late: p.Late}
			if _, step := r.Step(p.Step); step != nil && step.Decision != nil {
				x.Question, x.Options, x.Default = step.Decision.Question, step.Decision.Options, step.Decision.Default
			} else if r.Gap != nil {
				x.Default, x.Options = r.Gap.Then, gapOptions(r)
			}
			out = append(out, x)
		}
	}
	return out
}
