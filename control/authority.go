package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/incident"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

// This room holds who may decide what. What tightens takes effect at once and is
// ratified by others afterwards; everything else that rules ask approvals for
// waits as a pending act until it has them (authoritypending.go). Whoever must act
// and finds nobody breaks the glass: that is never silent and always reviewed
// (authorityreview.go).

const (
	typeRuled   = "authority.ruled"   // the share that a correction reaches was measured
	typeOverdue = "authority.overdue" // nobody ratified in time, and it stays
)

type authorityState struct {
	acts     map[string]*pendingAct
	actList  []string
	reviews  map[string]*review
	reviewed []string // ids, as they were opened
	carrying carrying
}

var authorityTable = []route{
	{"GET", "/api/v1/authority", "", false, (*Control).getAuthority},
	{"POST", "/api/v1/authority/ask", "", false, (*Control).postAsk},
	{"GET", "/api/v1/approvals", "", false, (*Control).getApprovals},
	{"GET", "/api/v1/approvals/{id}", "", false, (*Control).getApproval},
	{"POST", "/api/v1/approvals/{id}/approve", "approval.give", false, (*Control).postApprove},
	{"POST", "/api/v1/approvals/{id}/decline", "approval.decline", false, (*Control).postDecline},
	{"POST", "/api/v1/approvals/{id}/withdraw", "approval.withdraw", false, (*Control).postWithdraw},
	{"GET", "/api/v1/reviews", "", false, (*Control).getReviews},
	{"POST", "/api/v1/reviews/{id}", "review.conclude", false, (*Control).postReview},
}

var authorityPermits = map[string]authority.Set{
	"authority.read": authority.All, "approval.read": readers, "approval.give": readers, "approval.decline": readers, "approval.withdraw": readers,
	"review.read": authority.All, "review.conclude": readers,
}

var authorityCodes = map[string]code{
	"not_authorised":  {403, "Your roles may not do this"},
	"approval_needed": {403, "Others have to agree first"},
	"approval_closed": {409, "It is no longer open"},
	"approval_twice":  {409, "You have answered already"},
	"approval_open":   {409, "It is asked for already"},
	"limit_reached":   {403, "Others have to look first"},
}

var authorityFolds = map[string]foldFunc{
	typeRuled: foldRuled, typeOverdue: foldOverdue,
	typeAsked: foldAsked, typeGiven: foldAnswered, typeDeclined: foldAnswered, typeRetracted: foldAnswered,
	typeCarried: foldEnded, typeLapsed: foldEnded, typeFailed: foldEnded,
	typeGlass: foldGlass, typeReviewed: foldReviewed, typeReviewDue: foldReviewDue,
}

// ruling is what a tightening takes afterwards.
type ruling struct {
	Rules     []string         `json:"rules"`
	Approvals int              `json:"approvals,omitempty"` // how many others have to ratify it
	Approvers []authority.Role `json:"approvers,omitempty"`
	Until     time.Time        `json:"until,omitzero"`
	Then      string           `json:"then,omitempty"`  // lapse or stay
	Share     *float64         `json:"share,omitempty"` // of traffic, as measured
}

// ratified is how a ruling stands.
type ratified struct {
	ruling
	by      []string // operators that count
	notes   []string // on those whom the author had let in a moment before
	overdue bool
}

// pending says whether others still have to ratify.
func (r *ratified) pending() bool { return r != nil && len(r.by) < r.Approvals }

// question is what a correction is to authority.
func (s *state) question(act authority.Act, cor *correction.Correction, share *float64) authority.Question {
	severity := s.severityOfIncident(cor.Incident)
	if act == authority.Loosen { // nobody makes lifting easier by saying that it is less severe
		if in := s.book().Root(cor.Incident); in != nil && in.Lowered.Worse(in.Severity) {
			severity = slices.Index(incident.Severities, in.Lowered) + 1
		}
	}
	return authority.Question{Act: act, Kind: string(cor.Kind), Level: cor.Params.Level, Share: share,
		Severity: severity, TermsForbid: act == authority.Tighten && s.termsForbid(cor)}
}

// ask answers questions that are decided as one, by the rules of the plan in force.
func (s *state) ask(qs ...authority.Question) authority.Answer {
	p := s.planned()
	if p == nil {
		return authority.AskAll(nil, false, qs...)
	}
	return authority.AskAll(p.Authority, true, qs...)
}

// require is ask, for somebody who wants to do it.
func (s *state) require(op *operator, qs ...authority.Question) (authority.Answer, error) {
	a, q := s.ask(qs...), qs[0]
	if a.May(op.roles) {
		return a, nil
	}
	names := authority.SetOf(a.Roles...).Names()
	p := problem("not_authorised", fmt.Sprintf("to %s takes the role %s (rule %s); you have %s", actWords(q), orList(names), strings.Join(a.Rules, ", "), op.roles))
	p.Allowed, p.Hint = names, "ask somebody who has it"
	if glassOpens(q.Act) {
		p.Hint += "; if nobody can be reached and it cannot wait: --break-glass, which alarms and is reviewed"
	}
	if len(names) == 0 {
		p.Detail = fmt.Sprintf("nobody may %s: the rules %s leave no role", actWords(q), strings.Join(a.Rules, ", "))
	}
	return a, p
}

var actsInWords = map[authority.Act]string{
	authority.Irreversible: "do what can not be undone", authority.ApplyPlan: "put a plan in force or waive a finding", authority.Decide: "decide",
	authority.Unmask: "see or erase personal data", authority.Staff: "give somebody a role", authority.Rekey: "change keys",
}

// actWords is a question as a sentence says it.
func actWords(q authority.Question) string {
	what := cmp.Or(actsInWords[q.Act], string(q.Act))
	if q.Kind != "" {
		what += " by " + q.Kind
		if q.Act == authority.Loosen {
			what = "loosen a correction of kind " + q.Kind
		}
		if q.Level != "" {
			what += " " + q.Level
		}
	}
	return what
}

// rule is what authority says of a new correction: whether the operator may put
// it in force, and what others have to say afterwards.
func (c *Control) rule(s *state, op *operator, cor *correction.Correction, share *float64, now time.Time) (*ruling, error) {
	a, err := s.require(op, s.question(authority.Tighten, cor, share))
	if err != nil {
		return nil, err
	}
	return ruled(a, share, now), s.withinLimits(op, cor, now)
}

// ruled is an answer, as the record keeps it. Nothing is kept where nothing is asked.
func ruled(a authority.Answer, share *float64, now time.Time) *ruling {
	if a.Approvals == 0 {
		return nil
	}
	return &ruling{Rules: a.Rules, Approvals: a.Approvals, Approvers: a.Approvers, Until: now.Add(time.Duration(a.Within)), Then: a.Then, Share: share}
}

// withinLimits refuses who has tightened so often that others have to look first.
func (s *state) withinLimits(op *operator, cor *correction.Correction, now time.Time) error {
	p := s.planned()
	if p == nil {
		return nil
	}
	for _, l := range p.Limits {
		if !authority.Fits(l.Kinds, string(cor.Kind), cor.Params.Level) {
			continue
		}
		n := 0
		for i := len(s.list) - 1; i >= 0 && s.list[i].created().After(now.Add(-time.Duration(l.Per))); i-- {
			r := s.list[i]
			if r.createdBy == op.id && authority.Fits(l.Kinds, string(r.Kind), r.Params.Level) && !r.seenByOthers() {
				n++
			}
		}
		if n >= l.Count {
			p := problem("limit_reached", fmt.Sprintf("you have put %d such corrections in force within %s, and nobody else has ratified them (limit %s)", n, l.Per, l.Name))
			p.Hint = "somebody else can apply it, or ratify what you did; if nobody can be reached: --break-glass"
			return p
		}
	}
	return nil
}

// created is when a correction was accepted.
func (r *record) created() time.Time { return r.history[0].At }

// seenByOthers says whether somebody else than its author has ratified it.
func (r *record) seenByOthers() bool {
	return slices.ContainsFunc(r.history, func(h change) bool { return h.Action == "ratified" && h.By != r.createdBy })
}

// planned is the plan in force; nil if there is none.
func (s *state) planned() *plan.Plan { return s.plan.current }

// ratifies says whether an operator's word counts under a ruling: who set the
// correction does not, nor who came after it.
func (r *record) ratifies(op *operator) bool {
	return r.ruling.pending() && op.active() && op.id != r.createdBy && !op.created.After(r.created()) &&
		op.roles.Meets(authority.SetOf(r.ruling.Approvers...)) && op.heldAt(authority.SetOf(r.ruling.Approvers...), r.created()) && !slices.Contains(r.ruling.by, op.id)
}

// ruledBody says what a measured share changes about what others have to say.
type ruledBody struct {
	ID     string `json:"id"`
	Ruling ruling `json:"ruling"`
}

func foldRuled(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[ruledBody](e.Body)
	if err != nil {
		return nil, err
	}
	r := s.corrections[b.ID]
	if r == nil || r.ruling == nil {
		return nil, fmt.Errorf("correction %q waits for nobody: %w", b.ID, errForm)
	}
	return func() { r.ruling.ruling = b.Ruling }, nil
}

type overdueBody struct {
	ID string `json:"id"`
}

func foldOverdue(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[overdueBody](e.Body)
	if err != nil {
		return nil, err
	}
	r := s.corrections[b.ID]
	if r == nil || !r.ruling.pending() {
		return nil, fmt.Errorf("correction %q waits for nobody: %w", b.ID, errForm)
	}
	return func() { r.ruling.overdue = true }, nil
}

// authorityClock ends what nobody ratified or approved in time, as the rules say,
// and alarms where it stays.
func authorityClock(c *Control, s *state, early time.Time) []draft {
	var out []draft
	for _, r := range s.list {
		if r.gone != "" || !r.ruling.pending() || r.ruling.overdue || early.Before(r.ruling.Until) {
			continue
		}
		if r.ruling.Then == authority.Lapse && r.stateAt(early) != "expired" && s.inCustody(r.ID, "lifted") == nil {
			out = append(out, draft{typeLifted, changedBody{ID: r.ID, Reason: fmt.Sprintf("not ratified in time: %d of %d, by rule %s", len(r.ruling.by), r.ruling.Approvals, strings.Join(r.ruling.Rules, ", "))}})
			continue
		}
		out = append(out, draft{typeOverdue, overdueBody{r.ID}})
	}
	return append(append(out, s.lapsedActs(early)...), s.dueReviews(early)...)
}

// measureShare finds out how much traffic a correction reaches, where that decides
// who has to look at it. It runs after the correction is in force.
func (c *Control) measureShare(id string) {
	c.mu.RLock()
	r := c.state.corrections[id]
	ask := r != nil && r.ruling.pending() && r.ruling.Share == nil && c.state.shareCounts()
	var cor correction.Correction
	if ask {
		cor = r.Correction
	}
	c.mu.RUnlock()
	if !ask {
		return
	}
	c.running.Go(func() { // without it the command would wait for what every gateway recorded
		ctx, cancel := context.WithTimeout(context.Background(), 2*previewTime)
		defer cancel()
		cor.ID, cor.AppliedAt = "", time.Time{}
		v, err := c.preview(ctx, &cor)
		if err != nil || v.ShareOfTraffic == nil {
			return // it stays at what is asked for everything
		}
		_, err = c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) {
			r := s.corrections[id]
			if r == nil || !r.ruling.pending() || r.gone != "" {
				return nil, nil
			}
			a := s.ask(s.question(authority.Tighten, &cor, v.ShareOfTraffic))
			next := ruling{Rules: a.Rules, Approvals: a.Approvals, Approvers: a.Approvers, Until: r.created().Add(time.Duration(a.Within)), Then: a.Then, Share: v.ShareOfTraffic}
			return []draft{{typeRuled, ruledBody{id, next}}}, nil
		})
		if err != nil {
			c.log.Warn("the share that a correction reaches was measured and not recorded", "correction", id, "error", err)
		}
	})
}

// shareFirst measures the share that a correction reaches before it is in force,
// where that alone decides whether the operator may apply it. Who may apply it
// whatever it reaches never waits for this.
func (c *Control) shareFirst(ctx context.Context, op *operator, cor *correction.Correction, glass bool) *float64 {
	nothing := 0.0
	c.mu.RLock()
	broad := c.state.ask(c.state.question(authority.Tighten, cor, nil))
	narrow := c.state.ask(c.state.question(authority.Tighten, cor, &nothing))
	c.mu.RUnlock()
	if glass || broad.May(op.roles) || !narrow.May(op.roles) {
		return nil
	}
	checked, err := c.check(*cor, c.cfg.Now().UTC().Round(0))
	if err != nil {
		return nil // the command will say what is wrong with it
	}
	v, err := c.preview(ctx, &checked)
	if err != nil {
		return nil
	}
	return v.ShareOfTraffic
}

// shareCounts says whether any rule depends on the share of traffic.
func (s *state) shareCounts() bool {
	p := s.planned()
	return p != nil && slices.ContainsFunc(p.Authority, func(r authority.Rule) bool { return r.ShareOver > 0 })
}

// countsFor refuses a word on a pending ruling that cannot count, and says why.
func (r *record) countsFor(op, as *operator) error {
	if !r.ruling.pending() {
		return nil
	}
	approvers := authority.SetOf(r.ruling.Approvers...)
	switch {
	case slices.Contains(r.ruling.by, as.id):
		return problem("approval_twice", fmt.Sprintf("you have ratified %s already; nobody counts twice", r.ID))
	case as.id == r.createdBy:
		return problem("not_independent", fmt.Sprintf("you have put %s in force; it is for others to ratify", r.ID))
	case !as.roles.Meets(approvers), !op.roles.Meets(approvers): // a token may have fewer than its operator
		p := problem("forbidden", fmt.Sprintf("to ratify %s takes the role %s; you come with %s", r.ID, orList(approvers.Names()), op.roles))
		p.Allowed = approvers.Names()
		return p
	case !r.ratifies(as):
		return problem("not_independent", fmt.Sprintf("you did not have the role %s yet when %s was put in force; who had it then ratifies it", orList(approvers.Names()), r.ID))
	}
	return nil
}
