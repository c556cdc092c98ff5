package control

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

const (
	typeAsked     = "approval.asked"
	typeGiven     = "approval.given"
	typeDeclined  = "approval.declined"
	typeRetracted = "approval.withdrawn"
	typeCarried   = "approval.carried" // the act follows in the same transaction
	typeFailed    = "approval.failed"  // it was agreed to, and can not be done any more
	typeLapsed    = "approval.lapsed"
)

// The states of a pending act.
const (
	actOpen      = "open"
	actCarried   = "carried"
	actDeclined  = "declined"
	actWithdrawn = "withdrawn"
	actLapsed    = "lapsed"
	actFailed    = "failed"
)

// allowOnly is the mode of access that spares whom it names.
const allowOnly = "allow_only"

// How many acts may wait at a time, of all and of one person: nobody takes the
// room to ask from the others.
const (
	maxOpenActs = 1000
	maxOwnActs  = 100
)

// askedBody is an act that waits for others.
type askedBody struct {
	ID      string           `json:"id"` // a-1
	Act     authority.Act    `json:"act"`
	Do      string           `json:"do"`                // lift, unlink, plan, …: see doers
	Subject string           `json:"subject,omitempty"` // what it is about: c-3
	Says    string           `json:"says"`              // in words
	What    jsontext.Value   `json:"what"`              // as the doer reads it
	Reason  string           `json:"reason"`
	Takes   authority.Answer `json:"takes"`
	Until   time.Time        `json:"until"`

	Questions []authority.Question `json:"questions,omitempty"` // that takes answers; they are asked anew
	Evidence  *evidenceWish        `json:"evidence,omitempty"`  // what was said of it, as it was asked for
}

// pendingAct is one, with what became of it.
type pendingAct struct {
	askedBody
	by      string
	at      time.Time
	state   string
	ended   time.Time
	why     string // it failed, or was declined
	overdue bool
	answers []answer

	revision    uint64 // that carrying it made; 0: none
	corrections []string
}

// answer is what one person said.
type answer struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Yes    bool      `json:"yes"`
	Reason string    `json:"reason"`
	Counts bool      `json:"counts"`         // still an operator with such a role
	Note   string    `json:"note,omitempty"` // who among those who act here let them in a moment before; only shown
}

// answeredBody is an approval, a refusal or a withdrawal.
type answeredBody struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// endedBody ends an act: carried, lapsed, failed. Overdue alone leaves it open.
type endedBody struct {
	ID      string `json:"id"`
	Why     string `json:"why,omitempty"`
	Overdue bool   `json:"overdue,omitempty"`
	Then    int    `json:"then,omitempty"` // how many entries are the act itself
}

// doers do what was agreed to. A doer checks and drafts on the state as it is,
// once when the act is asked for and once when it is carried.
func doers() map[string]doer {
	return map[string]doer{
		"lift": doLift, "unlink": doUnlink, "list": doList, "restore": doRestore, "plan": doPlan, "rekey": doRekey, "waive": doWaive, doesDecide: doDecide, "roles": doRoles, "erase": doErase,
		"withdraw": doWithdraw, "acknowledge": doAcknowledge, "app": doApp, "release": doRelease, doesAnnounceCA: doAnnounceCA, doesWithdrawCA: doWithdrawCA,
	}
}

type doer func(c *Control, s *state, op *operator, what jsontext.Value, now time.Time) ([]draft, error)

// wanted is an act that somebody wants done.
type wanted struct {
	question  authority.Question
	questions []authority.Question // instead, where several are decided as one
	do        string
	subject   string
	says      string
	what      any
	reason    string
	glass     bool // without waiting for anybody
	tightens  bool // at once: it lets nobody through
	evidence  evidenceWish
}

// waits is the outcome of a command that now waits for others: it is no failure,
// but nothing was done yet either. It is answered with 202.
type waits struct{ id string }

func (w *waits) Error() string { return "others have to agree: " + w.id }

// act runs a command that may need others. If it does, the error is *waits.
func (c *Control) act(ctx context.Context, op *operator, want func(s *state) (wanted, error)) error {
	id := ""
	_, err := c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		id = ""
		w, err := want(s)
		if err != nil {
			return nil, err
		}
		w.evidence = wish(ctx)
		var drafts []draft
		drafts, id, err = c.draftAct(s, op, w, now)
		return drafts, err
	})
	if err == nil && id != "" {
		return &waits{id}
	}
	return err
}

// draftAct drafts an act, or that it waits; then id names the pending act.
func (c *Control) draftAct(s *state, op *operator, w wanted, now time.Time) (drafts []draft, id string, err error) {
	what := jsontext.Value(body(w.what))
	if drafts, err = doers()[w.do](c, s, op, what, now); err != nil || len(drafts) == 0 {
		return nil, "", err // it could not be done, however many agree; or it is done
	}
	if w.questions == nil {
		w.questions = []authority.Question{w.question}
	}
	w.question = w.questions[0]
	a, err := s.require(op, w.questions...)
	if !w.tightens && (err == nil && a.Approvals > 0 || w.glass) {
		if err := op.enrolled(); err != nil {
			return nil, "", err // who let them in, and may ask in their name, would agree
		}
	}
	if w.glass && (err != nil || a.Approvals > 0) {
		g, err := s.breakGlass(op, &w, a, now)
		return append(drafts, g...), "", err
	}
	if err != nil {
		return nil, "", err
	}
	if a.Approvals == 0 || w.tightens {
		return drafts, "", nil
	}
	open, own := 0, 0
	for _, other := range s.authority.actList {
		p := s.authority.acts[other]
		if p.state != actOpen {
			continue
		}
		if p.by == op.id {
			own++
		}
		if open++; p.Do == w.do && p.Subject == w.subject && w.subject != "" {
			x := problem("approval_open", fmt.Sprintf("%s waits for approval already, as %s, asked by %s", p.Says, p.ID, p.by))
			x.Hint = "andon approvals show " + p.ID
			return nil, "", x
		}
	}
	if own >= maxOwnActs {
		return nil, "", problem("approval_open", fmt.Sprintf("%d acts that you have asked for wait for approval; withdraw some first", own))
	}
	if open >= maxOpenActs {
		return nil, "", problem("approval_open", fmt.Sprintf("%d acts wait for approval; answer some first", open))
	}
	id = "a-" + strconv.Itoa(len(s.authority.actList)+1)
	b := askedBody{ID: id, Act: w.question.Act, Do: w.do, Subject: w.subject, Says: w.says, What: what, Reason: w.reason,
		Takes: a, Until: now.Add(time.Duration(a.Within)), Questions: w.questions}
	if w.evidence.Take != "" {
		b.Evidence = &w.evidence
	}
	return []draft{{typeAsked, b}}, id, nil
}

func foldAsked(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[askedBody](e.Body)
	if err != nil {
		return nil, err
	}
	if b.ID == "" || s.authority.acts[b.ID] != nil {
		return nil, fmt.Errorf("pending act %q is there already: %w", b.ID, errForm)
	}
	return func() {
		if s.authority.acts == nil {
			s.authority.acts = map[string]*pendingAct{}
		}
		s.authority.acts[b.ID] = &pendingAct{askedBody: b, by: e.Actor, at: e.At.UTC(), state: actOpen}
		s.authority.actList = append(s.authority.actList, b.ID)
	}, nil
}

func foldAnswered(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[answeredBody](e.Body)
	if err != nil {
		return nil, err
	}
	p := s.authority.acts[b.ID]
	if p == nil || p.state != actOpen {
		return nil, fmt.Errorf("pending act %q is not open: %w", b.ID, errForm)
	}
	return func() {
		switch e.Type {
		case typeRetracted:
			p.state, p.ended, p.why = actWithdrawn, e.At.UTC(), b.Reason
			return
		case typeDeclined:
			p.state, p.ended, p.why = actDeclined, e.At.UTC(), b.Reason
		}
		p.answers = append(p.answers, answer{By: e.Actor, At: e.At.UTC(), Yes: e.Type == typeGiven, Reason: b.Reason})
	}, nil
}

func foldEnded(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[endedBody](e.Body)
	if err != nil {
		return nil, err
	}
	p := s.authority.acts[b.ID]
	if p == nil || p.state != actOpen {
		return nil, fmt.Errorf("pending act %q is not open: %w", b.ID, errForm)
	}
	return func() {
		if b.Overdue {
			p.overdue = true
			return
		}
		_, p.state, _ = strings.Cut(e.Type, ".")
		p.ended, p.why = e.At.UTC(), b.Why
		if e.Type == typeCarried {
			s.authority.carrying = carrying{p, e.Seq + uint64(max(0, b.Then))}
		}
	}, nil
}

// takesNow is what an act takes now: what it took when it was asked for, and what the
// rules in force take. No plan that comes meanwhile makes it less, and one that asks
// for more is heeded.
func (s *state) takesNow(p *pendingAct) authority.Answer {
	if p.state != actOpen || len(p.Questions) == 0 {
		return p.Takes
	}
	qs := slices.Clone(p.Questions)
	if b, err := read[liftWhat](p.What); err == nil && p.Do == "lift" && s.corrections[b.ID] != nil { // its incident may be worse by now
		r := s.corrections[b.ID]
		qs = append(qs, s.question(authority.Loosen, &r.Correction, r.share()))
	}
	within, then := p.Takes.Within, p.Takes.Then
	a := p.Takes.And(s.ask(qs...))
	a.Within, a.Then = within, then // its deadline was told
	return a
}

// eligible says why an operator's answer does not count; "" if it does. Who asked
// never counts, nor who was let in, or given the role, after it was asked: else the
// one who asks could choose who answers.
func (p *pendingAct) eligible(op *operator, takes authority.Answer) string {
	approvers := authority.SetOf(takes.Approvers...)
	switch {
	case !op.active():
		return "is no longer an operator"
	case op.id == p.by:
		return "asked for it"
	case op.created.After(p.at):
		return "became an operator after it was asked"
	case !op.roles.Meets(approvers):
		return "has not the role " + orList(approvers.Names())
	case !op.heldAt(approvers, p.at):
		return "was given the role after it was asked"
	}
	return ""
}

// count is how many answers count now: of people who still have the role.
func (p *pendingAct) count(s *state, takes authority.Answer) int {
	n := 0
	for _, a := range p.answers {
		if a.Yes && p.eligible(s.operators[a.By], takes) == "" {
			n++
		}
	}
	return n
}

func noAct(id string) error {
	return problem("not_found", "nothing called "+strconv.Quote(short(id))+" waits for approval")
}

// openAct is an act that can be answered now.
func (s *state) openAct(id string, early time.Time) (*pendingAct, error) {
	p := s.authority.acts[id]
	if p == nil {
		return nil, noAct(id)
	}
	if p.state != actOpen {
		return nil, problem("approval_closed", fmt.Sprintf("%s was %s at %s", p.ID, p.state, p.ended.Format(time.RFC3339)))
	}
	if !early.Before(p.Until) && p.Takes.Then != authority.Stay {
		return nil, problem("approval_closed", fmt.Sprintf("%s was open until %s; ask anew", p.ID, p.Until.Format(time.RFC3339)))
	}
	return p, nil
}

// answerable is openAct, for somebody who wants to answer.
func (s *state) answerable(op *operator, id string, early time.Time) (*pendingAct, error) {
	if !s.seesAct(op, s.authority.acts[id]) {
		return nil, noAct(id)
	}
	p, err := s.openAct(id, early)
	if err != nil {
		return nil, err
	}
	for _, a := range p.answers {
		if a.By == op.id {
			return nil, problem("approval_twice", fmt.Sprintf("you have answered %s at %s; nobody counts twice", p.ID, a.At.Format(time.RFC3339)))
		}
	}
	if err := op.ownHand(); err != nil {
		return nil, err
	}
	takes := s.takesNow(p)
	why := p.eligible(s.operators[op.id], takes)
	if approvers := authority.SetOf(takes.Approvers...); why == "" && !op.roles.Meets(approvers) { // a token may have fewer than its operator
		why = "comes without the role " + orList(approvers.Names())
	}
	if why != "" {
		return nil, problem("not_independent", fmt.Sprintf("your answer to %s can not count: who %s does not decide it", p.ID, why))
	}
	return p, nil
}

// approve gives an approval, and carries the act if it is the last that was missing.
func (c *Control) approve(ctx context.Context, op *operator, id, reason string) error {
	_, err := c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		p, err := s.answerable(op, id, now)
		if err != nil {
			return nil, err
		}
		drafts := []draft{{typeGiven, answeredBody{p.ID, reason}}}
		takes := s.takesNow(p)
		if p.count(s, takes)+1 < takes.Approvals {
			return drafts, nil
		}
		proposer := s.operators[p.by]
		switch {
		case !proposer.active():
			return append(drafts, draft{typeFailed, endedBody{ID: p.ID, Why: "who asked for it is no longer an operator"}}), nil
		case !takes.May(proposer.roles):
			return append(drafts, draft{typeFailed, endedBody{ID: p.ID, Why: "who asked for it may not do so any more"}}), nil
		}
		done, err := doers()[p.Do](c, s, proposer, p.What, now)
		if err != nil {
			return append(drafts, draft{typeFailed, endedBody{ID: p.ID, Why: asProblem(err).Detail}}), nil
		}
		return append(append(drafts, draft{typeCarried, endedBody{ID: p.ID, Then: len(done)}}), done...), nil
	})
	if err == nil {
		c.eraseAgreed(ctx, id)
	}
	return err
}

func (c *Control) decline(ctx context.Context, op *operator, id, reason string) error {
	_, err := c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		p, err := s.answerable(op, id, now)
		if err != nil {
			return nil, err
		}
		return []draft{{typeDeclined, answeredBody{p.ID, reason}}}, nil
	})
	return err
}

func (c *Control) withdrawAct(ctx context.Context, op *operator, id, reason string) error {
	_, err := c.execute(ctx, op.id, func(s *state, now time.Time) ([]draft, error) {
		p, err := s.openAct(id, now)
		if err != nil {
			return nil, err
		}
		if !s.seesAct(op, p) {
			return nil, noAct(id)
		}
		if p.by != op.id {
			return nil, problem("not_independent", fmt.Sprintf("%s is %s's to withdraw; you can decline it", p.ID, p.by))
		}
		return []draft{{typeRetracted, answeredBody{p.ID, reason}}}, nil
	})
	return err
}

// lapsedActs ends acts that were not agreed to in time.
func (s *state) lapsedActs(early time.Time) []draft {
	var out []draft
	for _, id := range s.authority.actList {
		p := s.authority.acts[id]
		switch {
		case p.state != actOpen || early.Before(p.Until):
		case p.Takes.Then == authority.Stay:
			if !p.overdue {
				out = append(out, draft{typeLapsed, endedBody{ID: id, Overdue: true}})
			}
		default:
			out = append(out, draft{typeLapsed, endedBody{ID: id, Why: "not agreed to in time"}})
		}
	}
	return out
}

// breakGlass reads whether a command is to be carried out without those who would
// have to agree: ?break_glass=true. It is asked for anew who does that.
func (cl *call) breakGlass(also ...string) (bool, error) {
	if err := onlyQuery(cl.r.URL.Query(), append(also, "break_glass")...); err != nil {
		return false, err
	}
	glass, err := cl.flag("break_glass", "true")
	if err == nil && glass {
		err = cl.stepUp("break the glass")
	}
	return glass, err
}

// flag reads a parameter of the address that says yes with one word, and no by
// being left out.
func (cl *call) flag(name, yes string) (bool, error) {
	switch v := cl.r.URL.Query().Get(name); v {
	case "", "false":
		return false, nil
	case yes:
		return true, nil
	default:
		p := problem("invalid_query", strconv.Quote(short(v))+" is not "+yes)
		p.Field, p.Allowed = name, []string{yes}
		return false, p
	}
}
