package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/incident"
	"andon/ledger"
	"andon/order"
)

const (
	typeGlass     = "authority.glass_broken" // the act stands in the same transaction
	typeReviewed  = "review.concluded"
	typeReviewDue = "review.overdue"
)

// How long others have to look at what somebody did alone.
const (
	glassDue = 24 * time.Hour
	pullDue  = 72 * time.Hour
)

// maxGlass bounds how often one person may break the glass within a day.
const maxGlass = 5

// glassBody is an act that was done without those who would have to agree.
type glassBody struct {
	Act     authority.Act    `json:"act"`
	Do      string           `json:"do"`
	Subject string           `json:"subject,omitempty"`
	Says    string           `json:"says"`
	Reason  string           `json:"reason"`
	Takes   authority.Answer `json:"takes"` // what it would have taken
}

// review is a look that others owe what somebody did alone: a pull of the cord,
// or a broken glass.
type review struct {
	ID      string    `json:"id"` // v-1
	Of      string    `json:"of"` // pull or break-glass
	Subject string    `json:"subject,omitempty"`
	Says    string    `json:"says"`
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Due     time.Time `json:"due"`
	Entry   uint64    `json:"entry"` // in the ledger
	Overdue bool      `json:"overdue,omitempty"`

	Finding    string    `json:"finding,omitempty"` // justified or not_justified; missing: not reviewed yet
	Statement  string    `json:"statement,omitempty"`
	ReviewedBy string    `json:"reviewed_by,omitempty"`
	ReviewedAt time.Time `json:"reviewed_at,omitzero"`
}

// The findings of a review. That a pull was not justified is said of the pull.
var findings = []string{"justified", "not_justified"}

// reviewedBody concludes a review.
type reviewedBody struct {
	ID        string `json:"id"`
	Finding   string `json:"finding"`
	Statement string `json:"statement"`
}

// glassOpens says whether breaking the glass is of any use.
func glassOpens(act authority.Act) bool {
	return slices.Contains([]authority.Act{authority.Tighten, authority.Loosen, authority.ApplyPlan, authority.Decide}, act)
}

// breakGlass lets somebody act alone who would need others, or has not the role.
// What cannot be undone, and what is about people, it never opens.
func (s *state) breakGlass(op *operator, w *wanted, a authority.Answer, now time.Time) ([]draft, error) {
	if !glassOpens(w.question.Act) {
		return nil, problem("not_authorised", fmt.Sprintf("no glass can be broken to %s: it takes %d others", actWords(w.question), max(1, a.Approvals)))
	}
	if !op.roles.Meets(actors | authority.SetOf(authority.Administrator)) {
		p := problem("not_authorised", "to break the glass takes the role responder, commander or administrator; you have "+op.roles.String())
		p.Allowed = (actors | authority.SetOf(authority.Administrator)).Names()
		return nil, p
	}
	n := 0
	for _, id := range s.authority.reviewed {
		if v := s.authority.reviews[id]; v.Of == "break-glass" && v.By == op.id && v.Finding == "" && v.At.After(now.Add(-24*time.Hour)) {
			n++
		}
	}
	if n >= maxGlass {
		return nil, problem("limit_reached", fmt.Sprintf("you broke the glass %d times within a day, and nobody has reviewed it", n))
	}
	return []draft{{typeGlass, glassBody{Act: w.question.Act, Do: w.do, Subject: w.subject, Says: w.says, Reason: w.reason, Takes: a}}}, nil
}

func foldGlass(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[glassBody](e.Body)
	if err != nil {
		return nil, err
	}
	return func() {
		s.authority.open(review{Of: "break-glass", Subject: b.Subject, Says: b.Says, Reason: b.Reason, By: e.Actor, At: e.At.UTC(), Due: e.At.UTC().Add(glassDue), Entry: e.Seq})
	}, nil
}

// pulled opens the review of a stop that cuts what runs: every pull of the cord
// is looked at by others, and seen by everybody inside.
func (a *authorityState) pulled(c *correction.Correction, e ledger.Entry) {
	if c.Level() < 3 || c.Mode == correction.Shadow {
		return
	}
	a.open(review{Of: "pull", Subject: c.ID, Says: correctionWords(c), Reason: c.Reason, By: e.Actor, At: e.At.UTC(), Due: e.At.UTC().Add(pullDue), Entry: e.Seq})
}

func (a *authorityState) open(v review) {
	if a.reviews == nil {
		a.reviews = map[string]*review{}
	}
	v.ID = "v-" + strconv.Itoa(len(a.reviewed)+1)
	a.reviews[v.ID] = &v
	a.reviewed = append(a.reviewed, v.ID)
}

// correctionWords is a correction in few words: "stop L3 of sim-large".
func correctionWords(c *correction.Correction) string {
	what := string(c.Kind)
	if c.Params.Level != "" {
		what += " " + c.Params.Level
	}
	return what + " " + scopeWords(&c.Scope)
}

// correctionFully is a correction as those need it who decide on it, with whom it
// reaches and spares: "stop L3 of model sim-large, except org globex". It names
// subjects, so it is not for what leaves the house.
func correctionFully(c *correction.Correction) string {
	what := string(c.Kind)
	for _, more := range []string{c.Params.Level, c.Params.Mode} {
		if more != "" {
			what += " " + more
		}
	}
	what += " of " + c.Scope.String()
	if c.Except != nil {
		what += ", except " + c.Except.String()
	}
	return what
}

// scopeWords is a scope in few words.
func scopeWords(sc *correction.Scope) string {
	switch {
	case sc.All:
		return "of everything"
	case len(sc.Models) == 1:
		return "of " + sc.Models[0]
	case len(sc.Models) > 1:
		return fmt.Sprintf("of %s and %d more", sc.Models[0], len(sc.Models)-1)
	}
	return "of a scope"
}

func foldReviewed(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[reviewedBody](e.Body)
	if err != nil {
		return nil, err
	}
	v := s.authority.reviews[b.ID]
	if v == nil || v.Finding != "" {
		return nil, fmt.Errorf("review %q is not open: %w", b.ID, errForm)
	}
	return func() {
		v.Finding, v.Statement, v.ReviewedBy, v.ReviewedAt = b.Finding, b.Statement, e.Actor, e.At.UTC()
	}, nil
}

type reviewDueBody struct {
	ID string `json:"id"`
}

func foldReviewDue(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[reviewDueBody](e.Body)
	if err != nil {
		return nil, err
	}
	v := s.authority.reviews[b.ID]
	if v == nil {
		return nil, fmt.Errorf("there is no review %q: %w", b.ID, errForm)
	}
	return func() { v.Overdue = true }, nil
}

// dueReviews are those that became overdue.
func (s *state) dueReviews(early time.Time) []draft {
	var out []draft
	for _, id := range s.authority.reviewed {
		if v := s.authority.reviews[id]; v.Finding == "" && !v.Overdue && !early.Before(v.Due) {
			out = append(out, draft{typeReviewDue, reviewDueBody{id}})
		}
	}
	return out
}

// alarming says in words what an entry is an alarm about; "" if it is none. Alarms
// stand in the log, in a metric and, where one is configured, on a second channel.
func (s *state) alarming(e ledger.Entry) string {
	switch e.Type {
	case typeGlass:
		if b, err := read[glassBody](e.Body); err == nil {
			return "the glass was broken by " + s.nameOf(e.Actor) + ": " + b.Says
		}
	case typeOverdue:
		if b, err := read[overdueBody](e.Body); err == nil {
			return b.ID + " was not ratified in time; it stays in force"
		}
	case typeReadmitted:
		if b, err := read[readmittedBody](e.Body); err == nil {
			return s.nameOf(b.ID) + " was let in anew by whoever holds the control plane's data folder"
		}
	case typeLapsed:
		if b, err := read[endedBody](e.Body); err == nil && s.authority.acts[b.ID] != nil {
			return b.ID + " was not agreed to in time: " + s.authority.acts[b.ID].Says
		}
	case typeReviewDue:
		if b, err := read[reviewDueBody](e.Body); err == nil && s.authority.reviews[b.ID] != nil {
			return "the review " + b.ID + " is overdue: " + s.authority.reviews[b.ID].Says
		}
	case incident.TypeDecisionOverdue:
		if b, err := read[incident.DecisionOverdue](e.Body); err == nil {
			return b.ID + " was not decided in time, and its default is not carried out: " + b.Why
		}
	case typeCreated:
		if b, err := read[createdBody](e.Body); err == nil && b.Correction.Level() >= 3 && b.Correction.Mode != correction.Shadow {
			return s.nameOf(e.Actor) + " pulled the cord: " + correctionWords(&b.Correction) + ", " + b.Correction.ID
		}
	}
	return ""
}

// alert tells of an entry beside the record. The caller holds mu.
func (c *Control) alert(e ledger.Entry, text string) {
	if e.Type == typeCreated { // the cord was pulled: that is what it is there for
		c.log.Warn("ALERT: "+text, "entry", e.Seq, "by", e.Actor)
		return
	}
	c.log.Error("ALARM: "+text, "entry", e.Seq, "by", e.Actor)
	c.metrics.alarms.Inc()
}

// nameOf is an operator's name, or the actor as the ledger has it.
func (s *state) nameOf(actor string) string {
	if op := s.operators[actor]; op != nil {
		return op.name
	}
	return actor
}

type reviewList struct {
	GoodFaith string   `json:"good_faith"`
	Reviews   []review `json:"reviews"`
}

// getReviews lists every pull and every broken glass: inside the organisation
// they are no secret.
func (c *Control) getReviews(cl *call) error {
	if err := cl.op.may("review.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	if err := onlyQuery(q, "state"); err != nil {
		return err
	}
	want := q.Get("state")
	if want != "" && want != "open" && want != "concluded" {
		p := problem("invalid_query", strconv.Quote(short(want))+" is no state of a review")
		p.Field, p.Allowed = "state", []string{"open", "concluded"}
		return p
	}
	out := reviewList{GoodFaith: authority.GoodFaith, Reviews: []review{}}
	c.mu.RLock()
	for _, id := range slices.Backward(c.state.authority.reviewed) {
		v := c.state.authority.reviews[id]
		if want == "" || (want == "open") == (v.Finding == "") {
			out.Reviews = append(out.Reviews, *v)
		}
		if len(out.Reviews) == maxShown {
			break
		}
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, out)
}

// maxShown bounds the lists of acts and reviews that an answer holds, newest first.
const maxShown = 500

// conclusion is what somebody finds who reviews.
type conclusion struct {
	Finding   string `json:"finding"`
	Statement string `json:"statement"`
}

// postReview concludes a review. Nobody reviews what they did themselves.
func (c *Control) postReview(cl *call) error {
	if err := cl.op.may("review.conclude"); err != nil {
		return err
	}
	b, err := decode[conclusion](cl)
	if err != nil {
		return err
	}
	if !slices.Contains(findings, b.Finding) {
		return badField("finding", strconv.Quote(short(b.Finding))+" is no finding", findings...)
	}
	if err := reasonField("statement", b.Statement); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		v := s.authority.reviews[id]
		switch {
		case v == nil:
			return nil, problem("not_found", "there is no review "+strconv.Quote(short(id)))
		case v.Finding != "":
			return nil, problem("approval_closed", fmt.Sprintf("%s was concluded by %s: %s", v.ID, v.ReviewedBy, v.Finding))
		case v.By == cl.op.id:
			return nil, problem("not_independent", "it is about what you did; somebody else has to look")
		case s.operators[cl.op.id].created.After(v.At):
			return nil, problem("not_independent", "you became an operator after it; somebody who was there has to look")
		}
		if err := cl.op.ownHand(); err != nil {
			return nil, err
		}
		return []draft{{typeReviewed, reviewedBody{id, b.Finding, b.Statement}}}, nil
	})
	if err != nil {
		return err
	}
	c.mu.RLock()
	v := *c.state.authority.reviews[id]
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}
