package control

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/authority"
	"andon/plan"
)

// getReadiness checks the plan in force against what is seen. It is the gate that
// a deployment pipeline asks: ready is the answer.
func (c *Control) getReadiness(cl *call) error {
	if err := cl.op.may("readiness.read"); err != nil {
		return err
	}
	c.mu.RLock()
	p, version := c.state.plan.current, c.state.plan.version() // the plan is never written to
	c.mu.RUnlock()
	if p == nil {
		x := problem("no_plan", "there is nothing to check: no plan is in force")
		x.Hint = "andon plan init, then andon plan apply DIR; andon plan check DIR checks a folder"
		return x
	}
	seen := c.observed(cl.r.Context(), true)
	r := plan.Check(p, seen, seen.At)
	r.Version = strconv.Itoa(version)
	return cl.reply(http.StatusOK, r)
}

// getObserved answers with what a check of a folder needs to know.
func (c *Control) getObserved(cl *call) error {
	if err := cl.op.may("readiness.read"); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, c.observed(cl.r.Context(), true))
}

type ruleList struct {
	Rules []plan.Rule `json:"rules"`
}

func (c *Control) getReadinessRules(cl *call) error {
	if err := cl.op.may("readiness.read"); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, ruleList{plan.Rules()})
}

type waiverList struct {
	Waivers []waiverView `json:"waivers"`
	Next    string       `json:"next,omitempty"` // ?after= of the next page
}

// How many waivers a page has.
const (
	waiversPage    = 100
	maxWaiversPage = 500
)

// getWaivers lists waivers, the oldest first.
func (c *Control) getWaivers(cl *call) error {
	if err := cl.op.may("readiness.read"); err != nil {
		return err
	}
	q := cl.r.URL.Query()
	if err := onlyQuery(q, "state", "after", "limit"); err != nil {
		return err
	}
	states := []string{waiverActive, waiverExpired, waiverWithdrawn}
	want := q.Get("state")
	if want != "" && !slices.Contains(states, want) {
		p := problem("invalid_query", strconv.Quote(short(want))+" is no state of a waiver")
		p.Field, p.Allowed = "state", states
		return p
	}
	limit := waiversPage
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxWaiversPage {
			p := problem("invalid_query", fmt.Sprintf("%s is out of bounds; give 1 to %d", strconv.Quote(short(text)), maxWaiversPage))
			p.Field = "limit"
			return p
		}
		limit = n
	}
	from := 0
	if after := q.Get("after"); after != "" {
		if from = number(after, "w-"); from < 1 {
			p := problem("invalid_query", strconv.Quote(short(after))+" is no waiver's id: w-1")
			p.Field = "after"
			return p
		}
	}
	list := waiverList{Waivers: []waiverView{}}
	c.mu.RLock()
	now := c.recordTime(c.state)
	all := c.state.readiness.waivers
	for i := min(from, len(all)); i < len(all); i++ {
		if want != "" && all[i].state(now) != want {
			continue
		}
		if len(list.Waivers) == limit {
			list.Next = list.Waivers[limit-1].ID
			break
		}
		list.Waivers = append(list.Waivers, c.state.waiverView(all[i], now))
	}
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, list)
}

// postWaiver waives a finding, or has others asked where the rules say so. There is
// no breaking of glass here: a deployment can wait.
func (c *Control) postWaiver(cl *call) error {
	if err := cl.op.may("readiness.waive"); err != nil {
		return err
	}
	spec, err := decode[waiverSpec](cl)
	if err != nil {
		return err
	}
	id := ""
	err = c.act(cl.r.Context(), cl.op, func(s *state) (wanted, error) {
		id = s.readiness.nextID()
		return wanted{question: authority.Question{Act: authority.ApplyPlan}, do: "waive", subject: short(spec.Rule) + " " + short(spec.Subject),
			says: fmt.Sprintf("waive %s for %s until %s", short(spec.Rule), short(spec.Subject), spec.Until.UTC().Format("2006-01-02 15:04 UTC")),
			what: spec, reason: spec.Reason}, nil
	})
	var w *waits
	if errors.As(err, &w) {
		return c.waiting(cl, w)
	}
	if err != nil {
		return err
	}
	v, err := c.showWaiver(id)
	if err != nil {
		return err
	}
	v.Warnings = c.waiverWarnings(cl, &spec)
	cl.w.Header().Set("Location", "/api/v1/readiness/waivers/"+id)
	return cl.reply(http.StatusCreated, v)
}

// waiverWarnings says if nothing is waived: with a typing error in its subject a
// waiver has no effect. Traffic is not asked for, so what depends on it is not judged.
func (c *Control) waiverWarnings(cl *call, spec *waiverSpec) []warning {
	c.mu.RLock()
	p := c.state.plan.current
	c.mu.RUnlock()
	if p == nil {
		return nil
	}
	seen := c.observed(cl.r.Context(), false)
	r := plan.Check(p, seen, seen.At)
	judged := !slices.ContainsFunc(r.NotMade, func(n plan.NotMade) bool { return n.Rule == spec.Rule })
	if !judged || slices.ContainsFunc(r.Findings, func(f plan.Finding) bool { return f.Rule == spec.Rule && f.Subject == spec.Subject }) {
		return nil
	}
	return []warning{{"no_finding", "subject", "the plan in force has no such finding now; andon plan check names rules and subjects"}}
}

func (c *Control) showWaiver(id string) (waiverView, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	w := c.state.readiness.waiver(id)
	if w == nil {
		return waiverView{}, problem("not_found", "there is no waiver "+strconv.Quote(short(id)))
	}
	return c.state.waiverView(w, c.recordTime(c.state)), nil
}

// postUnwaive ends a waiver: the finding counts again at once. That is stricter, so
// nobody else has to agree.
func (c *Control) postUnwaive(cl *call) error {
	if err := cl.op.may("readiness.unwaive"); err != nil {
		return err
	}
	b, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		w := s.readiness.waiver(id)
		if w == nil {
			return nil, problem("not_found", "there is no waiver "+strconv.Quote(short(id)))
		}
		if st := w.state(c.recordTime(s)); st != waiverActive {
			return nil, problem("waiver_over", w.ID+" is "+st+" already")
		}
		return []draft{{typeUnwaived, unwaivedBody{id, b.Reason}}}, nil
	})
	if err != nil {
		return err
	}
	v, err := c.showWaiver(id)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}
