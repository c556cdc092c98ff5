package control

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/ledger"
	"andon/playbook"
)

// runView is a run as the API shows it.
type runView struct {
	ID        string            `json:"id"`
	Playbook  string            `json:"playbook"`
	Digest    string            `json:"digest"`         // of the playbook as it was written
	Plan      int               `json:"plan,omitempty"` // version that the playbook is from
	Incident  string            `json:"incident,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Vars      map[string]string `json:"vars,omitempty"`
	From      string            `json:"from,omitempty"` // stop-gap that it replaces
	State     string            `json:"state"`          // running, paused, ended, aborted
	StartedAt time.Time         `json:"started_at"`
	StartedBy string            `json:"started_by"`
	By        string            `json:"by"` // in whose name it acts
	PausedAt  time.Time         `json:"paused_at,omitzero"`
	EndedAt   time.Time         `json:"ended_at,omitzero"`
	EndedBy   string            `json:"ended_by,omitempty"`
	Note      string            `json:"note,omitempty"` // why it is paused, ended or aborted
	Steps     []runStepView     `json:"steps"`
	Exit      []runCriterion    `json:"exit"`
	StopGap   *gapView          `json:"stop_gap,omitempty"`

	Corrections []runCorrection `json:"corrections"` // that it put in force
	Pending     []pendingView   `json:"pending"`     // what people have to do now, the most urgent first
	Open        []string        `json:"open"`        // what is missing before it can end without a reason
	Changed     bool            `json:"changed"`     // the plan in force has another playbook of this name, or none; the run goes on with its own
}

// runStepView is a step, and where it is.
type runStepView struct {
	playbook.StepState
	What    string   `json:"what"`
	Who     string   `json:"who"`               // takes it
	Before  []string `json:"before,omitempty"`  // steps that it waits for
	Options []string `json:"options,omitempty"` // of a decision
	Default string   `json:"default,omitempty"`
	Overdue bool     `json:"overdue,omitempty"`
}

type runCriterion struct {
	playbook.Criterion
	N int `json:"n"`
}

type gapView struct {
	playbook.Gap
	Overdue bool     `json:"overdue"`
	Options []string `json:"options"`
}

type runCorrection struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// pendingView is something that a person has to do.
type pendingView struct {
	Run  string    `json:"run"`
	Step string    `json:"step,omitempty"` // missing: the stop-gap, or the whole run
	Do   string    `json:"do"`             // confirm, done, decide, retry, resume, met, end
	What string    `json:"what"`
	Who  string    `json:"who"`
	Due  time.Time `json:"due,omitzero"`
	Late bool      `json:"late,omitempty"`
}

// viewRun shows a run. The caller holds mu.
func (c *Control) viewRun(r *playbook.Run) runView {
	now := c.cfg.Now()
	v := runView{ID: r.ID, Playbook: r.Playbook.Name, Digest: r.Digest, Plan: r.Plan, Incident: r.Incident, Reason: r.Reason, Vars: r.Vars, From: r.From, State: r.State,
		StartedAt: r.StartedAt, StartedBy: r.StartedBy, By: r.By, PausedAt: r.PausedAt, EndedAt: r.EndedAt, EndedBy: r.EndedBy, Note: r.Note,
		Steps: []runStepView{}, Exit: []runCriterion{}, Corrections: []runCorrection{}, Pending: []pendingView{}, Open: []string{}}
	for i := range r.Steps {
		s := &r.Playbook.Steps[i]
		sv := runStepView{StepState: r.Steps[i], What: s.Words(), Who: s.Taker(), Before: r.Before(s.Name)}
		if s.Decision != nil {
			sv.Options, sv.Default = s.Decision.Options, s.Decision.Default
		}
		sv.Overdue = sv.State == playbook.Ready && !sv.Due.IsZero() && now.After(sv.Due) && r.State == playbook.Running
		v.Steps = append(v.Steps, sv)
	}
	for i, e := range r.Exit {
		v.Exit = append(v.Exit, runCriterion{e, i + 1})
	}
	for _, id := range r.Corrections() {
		if k := c.state.corrections[id]; k != nil {
			v.Corrections = append(v.Corrections, runCorrection{id, k.stateAt(c.early()), k.ExpiresAt})
		}
	}
	if r.Gap != nil {
		v.StopGap = &gapView{Gap: *r.Gap, Overdue: r.Gap.Overdue(), Options: gapOptions(r)}
		v.StopGap.Corrections = slices.Clone(r.Gap.Corrections)
	}
	if r.Live() {
		v.Open = append(v.Open, r.Open()...)
		v.Pending = c.pending(r, now)
		p, err := c.state.playbookNamed(r.Playbook.Name)
		v.Changed = err != nil || p.Digest() != r.Digest
	}
	return v
}

// pending is what people have to do for a run now.
func (c *Control) pending(r *playbook.Run, now time.Time) []pendingView {
	out := []pendingView{}
	add := func(p pendingView) {
		p.Run = r.ID
		p.Late = !p.Due.IsZero() && now.After(p.Due)
		out = append(out, p)
	}
	if r.State == playbook.OnHold {
		add(pendingView{Do: "resume", What: "the run is paused: " + r.Note, Who: "somebody"})
		return out
	}
	if g := r.Gap; g != nil {
		add(pendingView{Do: "decide", What: "what follows the stop-gap of " + r.Playbook.Name, Who: "somebody who decides", Due: g.DecideBy})
		return out
	}
	for i := range r.Steps {
		st, s := &r.Steps[i], &r.Playbook.Steps[i]
		p := pendingView{Step: st.Name, What: s.Words(), Who: s.Taker(), Due: st.Due}
		switch {
		case st.State == playbook.Failed:
			p.Do, p.What = "retry", "it failed: "+st.Note
		case st.State != playbook.Ready || st.Kind == playbook.KindWait:
			continue
		case st.Kind == playbook.KindEvidence && st.Held == "":
			continue // it is being taken
		case st.Kind == playbook.KindEvidence:
			p.Do, p.What, p.Who = "skip", "the snapshot was not taken, and is tried again by itself: "+st.Held+"; to go on without it, skip it", "somebody"
		case st.Held != "":
			p.Do, p.What, p.Who = "resume", "it is held: "+st.Held, "somebody whose role suffices"
		case st.Kind == playbook.KindDecision:
			p.Do = "decide"
		case st.Kind != playbook.KindCorrection:
			p.Do = "done"
		case s.Confirm:
			p.Do = "confirm"
		default:
			continue
		}
		add(p)
	}
	if len(out) == 0 && !slices.ContainsFunc(r.Steps, func(s playbook.StepState) bool { return s.State == playbook.Ready || s.State == playbook.Waiting }) {
		if open := r.Open(); len(open) > 0 {
			add(pendingView{Do: "met", What: open[0], Who: "somebody"})
		} else {
			add(pendingView{Do: "end", What: "all is done; end the run", Who: "somebody"})
		}
	}
	slices.SortStableFunc(out, func(a, b pendingView) int {
		switch {
		case a.Due.IsZero() == b.Due.IsZero():
			return a.Due.Compare(b.Due)
		case a.Due.IsZero():
			return 1
		}
		return -1
	})
	return out
}

// tellRun says in words what happened to a run.
func tellRun(e ledger.Entry, v *timelineEntry) {
	b, err := read[playbook.Event](e.Body)
	_, what, _ := strings.Cut(e.Type, ".")
	if v.Text = "run " + strings.ReplaceAll(what, "_", " "); err != nil {
		return
	}
	v.Text = b.Run + ": " + strings.ReplaceAll(what, "_", " ")
	if b.Step != "" {
		v.Text += " " + strconv.Quote(b.Step)
	}
	for _, more := range []string{b.Choice, b.Correction, b.Evidence, b.Note} {
		if more != "" {
			v.Text += ": " + more
		}
	}
	v.Refs = []string{b.Run}
	for _, id := range append([]string{b.Correction, b.Evidence}, b.Others...) {
		if id != "" {
			v.Refs = append(v.Refs, id)
		}
	}
}

// sees says whether an operator may know of a run: whoever may not know of its
// incident is told that there is none.
func (s *state) sees(op *operator, r *playbook.Run) bool {
	in := s.book().Incident(r.Incident)
	return in == nil || s.book().Sees(s.readerOf(op), in)
}

func (c *Control) replyRun(cl *call, status int, id string) error {
	c.mu.RLock()
	r, err := c.state.runFor(cl.op, id)
	var v runView
	if err == nil {
		v = c.viewRun(r)
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	return cl.reply(status, v)
}

func (c *Control) getRun(cl *call) error {
	if err := cl.op.may("run.read"); err != nil {
		return err
	}
	return c.replyRun(cl, http.StatusOK, cl.r.PathValue("id"))
}

type runList struct {
	Runs    []runView     `json:"runs"`
	Next    string        `json:"next,omitempty"` // value of "after" for what follows
	Pending []pendingView `json:"pending"`        // of all runs that are under way
}

// Bounds of lists.
const (
	defaultRuns = 50
	mostRuns    = 500
)

// getRuns lists runs, the latest first.
func (c *Control) getRuns(cl *call) error {
	if err := cl.op.may("run.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	limit, err := pageQuery(q, []string{"state", "after", "limit"}, defaultRuns, mostRuns)
	if err != nil {
		return err
	}
	states := []string{playbook.Running, playbook.OnHold, playbook.Over, playbook.CutShort, "live"}
	want := q.Get("state")
	if want != "" && !slices.Contains(states, want) {
		p := problem("invalid_query", "unknown state "+strconv.Quote(short(want)))
		p.Field, p.Allowed = "state", states
		return p
	}
	out, err := c.listRuns(cl.op, want, q.Get("after"), limit)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, out)
}

func (c *Control) listRuns(op *operator, want, after string, limit int) (runList, error) {
	out := runList{Runs: []runView{}, Pending: []pendingView{}}
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := c.state.playbook.list
	from := len(list)
	if after != "" {
		n := number(after, "r-")
		if n < 1 || n > len(list) {
			p := problem("invalid_query", strconv.Quote(short(after))+" is not a run")
			p.Field = "after"
			return out, p
		}
		from = n - 1
	}
	for _, id := range slices.Backward(list[:from]) {
		r := c.state.playbook.runs[id]
		if !c.state.sees(op, r) || want != "" && r.State != want && !(want == "live" && r.Live()) {
			continue
		}
		if len(out.Runs) == limit {
			out.Next = out.Runs[limit-1].ID
			break
		}
		out.Runs = append(out.Runs, c.viewRun(r))
	}
	now := c.cfg.Now()
	for _, id := range c.state.playbook.live {
		if r := c.state.playbook.runs[id]; c.state.sees(op, r) {
			out.Pending = append(out.Pending, c.pending(r, now)...)
		}
	}
	return out, nil
}

// pageQuery reads the limit of a list, and refuses what is not a parameter of it.
func pageQuery(q url.Values, names []string, usual, most int) (int, error) {
	for name := range q {
		if !slices.Contains(names, name) || len(q[name]) > 1 {
			p := problem("invalid_query", "unknown parameter "+short(name)+", or more than once")
			p.Field, p.Allowed = short(name), names
			return 0, p
		}
	}
	if q.Get("limit") == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 || n > most {
		p := problem("invalid_query", "limit must be 1 to "+strconv.Itoa(most))
		p.Field = "limit"
		return 0, p
	}
	return n, nil
}

// playbookView is a playbook of the plan in force.
type playbookView struct {
	playbook.Playbook
	Digest string           `json:"digest"`
	Runs   []string         `json:"runs"`   // under way
	Faults []playbook.Fault `json:"faults"` // what is wrong with it now, and what the enforcement points lack
}

type playbookList struct {
	Playbooks []playbookLine `json:"playbooks"`
}

// playbookLine is a playbook in a list.
type playbookLine struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Threats     []string `json:"threats"`
	Steps       int      `json:"steps"`
	Corrections int      `json:"corrections"` // of its ladder
	StopGap     string   `json:"stop_gap,omitempty"`
	TestedAt    string   `json:"tested_at,omitempty"`
	Digest      string   `json:"digest"`
	Runs        []string `json:"runs"` // under way
}

func (s *state) runsOf(op *operator, name string) []string {
	out := []string{}
	for _, id := range s.playbook.live {
		if r := s.playbook.runs[id]; r.Playbook.Name == name && s.sees(op, r) {
			out = append(out, id)
		}
	}
	return out
}

func (c *Control) getPlaybooks(cl *call) error {
	if err := cl.op.may("playbook.read"); err != nil {
		return err
	}
	out := playbookList{Playbooks: []playbookLine{}}
	c.mu.RLock()
	if p := c.state.planned(); p != nil {
		for i := range p.Playbooks {
			b := &p.Playbooks[i]
			l := playbookLine{Name: b.Name, Description: b.Description, Threats: append([]string{}, b.Threats...), Steps: len(b.Steps), TestedAt: b.TestedAt, Digest: b.Digest(), Runs: c.state.runsOf(cl.op, b.Name)}
			for j := range b.Steps {
				if b.Steps[j].Correction != nil {
					l.Corrections++
				}
			}
			if b.StopGap != nil {
				l.StopGap = b.StopGap.For.String()
			}
			out.Playbooks = append(out.Playbooks, l)
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(out.Playbooks, func(a, b playbookLine) int { return strings.Compare(a.Name, b.Name) })
	return cl.reply(http.StatusOK, out)
}

func (c *Control) getPlaybook(cl *call) error {
	if err := cl.op.may("playbook.read"); err != nil {
		return err
	}
	points := c.enforcers()
	c.mu.RLock()
	b, err := c.state.playbookNamed(cl.r.PathValue("name"))
	var v playbookView
	if err == nil {
		v = playbookView{Playbook: *b, Digest: b.Digest(), Runs: c.state.runsOf(cl.op, b.Name)}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	v.Faults = append([]playbook.Fault{}, v.Validate(playbook.Known{Now: c.cfg.Now(), Points: points})...)
	return cl.reply(http.StatusOK, v)
}
