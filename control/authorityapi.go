package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/correction"
)

// actView is a pending act as the API shows it.
type actView struct {
	ID        string           `json:"id"`
	Act       authority.Act    `json:"act"`
	Do        string           `json:"do"`
	Subject   string           `json:"subject,omitempty"`
	Says      string           `json:"says"`
	Reason    string           `json:"reason"`
	AskedBy   string           `json:"asked_by"`
	AskedAt   time.Time        `json:"asked_at"`
	Until     time.Time        `json:"until"`
	State     string           `json:"state"`
	Overdue   bool             `json:"overdue,omitempty"`
	EndedAt   time.Time        `json:"ended_at,omitzero"`
	Why       string           `json:"why,omitempty"` // it failed, was declined or withdrawn
	Takes     authority.Answer `json:"takes"`
	Answers   []answer         `json:"answers"`
	Counted   int              `json:"counted"`             // approvals that count now
	CanAnswer []string         `json:"can_answer"`          // names of those whose approval would count and who have not answered
	ToEnrol   []string         `json:"to_enrol,omitempty"`  // likewise, once they have enrolled
	YourWord  string           `json:"your_word,omitempty"` // why yours would not count
	Evidence  *evidenceWish    `json:"evidence,omitempty"`  // what was said of it, and is done once others agree

	Revision     uint64      `json:"revision,omitempty"`    // that carrying it made
	Corrections  []string    `json:"corrections,omitempty"` // that it changed
	Effect       *effectView `json:"effect,omitempty"`      // of that; not in lists
	TimeToEffect *float64    `json:"time_to_effect_ms,omitempty"`
}

// maxCanAnswer bounds how many people an act names.
const maxCanAnswer = 20

// actView shows a pending act to somebody. The caller holds mu.
func (s *state) actView(p *pendingAct, to *operator) actView {
	v := actView{ID: p.ID, Act: p.Act, Do: p.Do, Subject: p.Subject, Says: p.Says, Reason: p.Reason, AskedBy: p.by, AskedAt: p.at, Until: p.Until,
		State: p.state, Overdue: p.overdue, EndedAt: p.ended, Why: p.why, Takes: p.Takes, Evidence: p.Evidence, Answers: []answer{}, CanAnswer: []string{}, Revision: p.revision, Corrections: p.corrections}
	answered, takes := map[string]bool{}, s.takesNow(p)
	v.Takes = takes
	kin := s.kinOfAct(p)
	for _, a := range p.answers {
		a.Counts, a.Note = p.eligible(s.operators[a.By], takes) == "", kin[a.By]
		answered[a.By] = true
		v.Answers = append(v.Answers, a)
		if a.Counts && a.Yes {
			v.Counted++
		}
	}
	if p.state != actOpen {
		return v
	}
	for _, id := range s.operatorList {
		op := s.operators[id]
		if answered[id] || p.eligible(op, takes) != "" {
			continue
		}
		names := &v.CanAnswer
		if op.first {
			names = &v.ToEnrol
		}
		if len(*names) < maxCanAnswer {
			*names = append(*names, op.name)
		}
	}
	if to != nil {
		if v.YourWord = p.eligible(s.operators[to.id], takes); v.YourWord != "" {
			v.YourWord = "you can not answer: who " + v.YourWord + " does not decide it"
		}
	}
	return v
}

type actList struct {
	Approvals []actView `json:"approvals"`
}

func (c *Control) getApprovals(cl *call) error {
	if err := cl.op.may("approval.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	if err := onlyQuery(q, "state"); err != nil {
		return err
	}
	states := []string{actOpen, actCarried, actDeclined, actWithdrawn, actLapsed, actFailed}
	want := q.Get("state")
	if want != "" && !slices.Contains(states, want) {
		p := problem("invalid_query", strconv.Quote(short(want))+" is no state of an approval")
		p.Field, p.Allowed = "state", states
		return p
	}
	out := actList{Approvals: []actView{}}
	c.mu.RLock()
	for _, id := range slices.Backward(c.state.authority.actList) {
		if p := c.state.authority.acts[id]; (want == "" || p.state == want) && c.state.seesAct(cl.op, p) {
			out.Approvals = append(out.Approvals, c.state.actView(p, cl.op))
		}
		if len(out.Approvals) == maxShown {
			break
		}
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, out)
}

func (c *Control) showAct(id string, to *operator) (actView, error) {
	c.mu.Lock() // an effect may be found to be complete
	defer c.mu.Unlock()
	p := c.state.authority.acts[id]
	if p == nil || !c.state.seesAct(to, p) {
		return actView{}, problem("not_found", "nothing called "+strconv.Quote(short(id))+" waits for approval")
	}
	v := c.state.actView(p, to)
	c.outcome(p, &v)
	return v, nil
}

func (c *Control) getApproval(cl *call) error {
	if err := cl.op.may("approval.read"); err != nil {
		return err
	}
	v, err := c.showAct(cl.r.PathValue("id"), cl.op)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// answerAct is the three ways to answer.
func (c *Control) answerAct(cl *call, do func(ctx context.Context, op *operator, id, reason string) error) error {
	x, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(x.Reason); err != nil {
		return err
	}
	if err := do(cl.r.Context(), cl.op, cl.r.PathValue("id"), x.Reason); err != nil {
		return err
	}
	c.clearShelf() // a list that was waiting may be no more
	v, err := c.showAct(cl.r.PathValue("id"), cl.op)
	if err != nil {
		return err
	}
	if len(v.Corrections) == 1 {
		cl.w.Header().Set("Location", "/api/v1/corrections/"+v.Corrections[0])
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) postApprove(cl *call) error {
	if err := cl.op.may("approval.give"); err != nil {
		return err
	}
	return c.answerAct(cl, c.approve)
}

func (c *Control) postDecline(cl *call) error {
	if err := cl.op.may("approval.decline"); err != nil {
		return err
	}
	return c.answerAct(cl, c.decline)
}

func (c *Control) postWithdraw(cl *call) error {
	if err := cl.op.may("approval.withdraw"); err != nil {
		return err
	}
	return c.answerAct(cl, c.withdrawAct)
}

// waiting answers a command that was taken and waits for others.
func (c *Control) waiting(cl *call, w *waits) error {
	v, err := c.showAct(w.id, cl.op)
	if err != nil {
		return err
	}
	cl.w.Header().Set("Location", "/api/v1/approvals/"+w.id)
	return cl.reply(http.StatusAccepted, waitingView{v})
}

// waitingView is the answer of a command that others have to agree to first.
type waitingView struct {
	Approval actView `json:"approval"`
}

// authorityView is who may decide what, now.
type authorityView struct {
	GoodFaith string            `json:"good_faith"`
	Planned   bool              `json:"planned"` // by the plan in force; else by built-in rules
	Rules     []authority.Rule  `json:"rules"`
	Limits    []authority.Limit `json:"limits"`
}

func (c *Control) getAuthority(cl *call) error {
	if err := cl.op.may("authority.read"); err != nil {
		return err
	}
	v := authorityView{GoodFaith: authority.GoodFaith, Rules: []authority.Rule{}, Limits: []authority.Limit{}}
	c.mu.RLock()
	if p := c.state.planned(); p != nil {
		v.Planned = true
		v.Rules, v.Limits = append(v.Rules, p.Authority...), append(v.Limits, p.Limits...)
	}
	c.mu.RUnlock()
	if !v.Planned {
		v.Rules = authority.BuiltInRules()
	}
	return cl.reply(http.StatusOK, v)
}

// askView is an act that somebody wants to know about beforehand.
type askView struct {
	Act         authority.Act `json:"act"`
	Kind        string        `json:"kind,omitempty"`
	Level       string        `json:"level,omitempty"`
	Share       *float64      `json:"share,omitempty"`
	Severity    int           `json:"severity,omitempty"`
	TermsForbid bool          `json:"terms_forbid,omitempty"`
}

// askAnswer is what it would take, and from whom.
type askAnswer struct {
	Takes  authority.Answer `json:"takes"`
	You    bool             `json:"you"`    // may do it, or ask for it
	People []string         `json:"people"` // who may
	Others []string         `json:"others"` // whose approval would count
}

// postAsk says what an act would take. It changes nothing.
func (c *Control) postAsk(cl *call) error {
	if err := cl.op.may("authority.read"); err != nil {
		return err
	}
	b, err := decode[askView](cl)
	if err != nil {
		return err
	}
	if !slices.Contains(authority.Acts, b.Act) {
		return badField("act", strconv.Quote(short(string(b.Act)))+" is no act", authority.ActNames()...)
	}
	kinds := []string{string(correction.Access), string(correction.Rate), string(correction.Capability), string(correction.Use), string(correction.Stop)}
	if b.Kind != "" && !slices.Contains(kinds, b.Kind) {
		return badField("kind", strconv.Quote(short(b.Kind))+" is no kind of correction", kinds...)
	}
	if b.Severity < 0 || b.Severity > 4 {
		return badField("severity", strconv.Itoa(b.Severity)+" is no severity", "1", "2", "3", "4")
	}
	out := askAnswer{People: []string{}, Others: []string{}}
	c.mu.RLock()
	out.Takes = c.state.ask(authority.Question{Act: b.Act, Kind: b.Kind, Level: b.Level, Share: b.Share, Severity: b.Severity, TermsForbid: b.TermsForbid})
	for _, id := range c.state.operatorList {
		op := c.state.operators[id]
		if op.active() && out.Takes.May(op.roles) && len(out.People) < maxCanAnswer {
			out.People = append(out.People, op.name)
		}
		if op.active() && op.id != cl.op.id && op.roles.Meets(authority.SetOf(out.Takes.Approvers...)) && len(out.Others) < maxCanAnswer {
			out.Others = append(out.Others, op.name)
		}
	}
	c.mu.RUnlock()
	out.You = out.Takes.May(cl.op.roles)
	return cl.reply(http.StatusOK, out)
}

// ratificationView is what others have to say to a correction.
type ratificationView struct {
	State     string           `json:"state"` // pending, ratified or overdue
	Rules     []string         `json:"rules"`
	Approvals int              `json:"approvals"`
	Approvers []authority.Role `json:"approvers"`
	By        []string         `json:"by"`
	Until     time.Time        `json:"until"`
	Then      string           `json:"then"`
	Share     *float64         `json:"share,omitempty"`
	Notes     []string         `json:"notes,omitempty"` // who of by the author had let in a moment before
}

func (r *ratified) view() *ratificationView {
	if r == nil {
		return nil
	}
	v := &ratificationView{State: "pending", Rules: r.Rules, Approvals: r.Approvals, Approvers: r.Approvers, By: append([]string{}, r.by...), Until: r.Until, Then: r.Then, Share: r.Share, Notes: r.notes}
	switch {
	case !r.pending():
		v.State = "ratified"
	case r.overdue:
		v.State = "overdue"
	}
	return v
}
