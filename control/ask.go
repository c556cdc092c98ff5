package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"andon/order"
)

// gatherTime bounds how long gateways are asked.
const gatherTime = 500 * time.Millisecond

func (c *Control) livePoints() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now, n := c.cfg.Now(), 0
	for _, p := range c.points {
		if now.Before(p.lease) {
			n++
		}
	}
	return n
}

// gather asks gateways, for at most gatherTime, until max have answered.
func (c *Control) gather(ctx context.Context, subject string, data []byte, max int) [][]byte {
	return c.gatherWithin(ctx, gatherTime, subject, data, max)
}

// gatherWithin is gather with a bound of its own.
func (c *Control) gatherWithin(ctx context.Context, within time.Duration, subject string, data []byte, max int) [][]byte {
	if c.cfg.Bus == nil || max < 1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers, err := c.cfg.Bus.Gather(ctx, subject, data, max)
	if err != nil {
		c.log.Warn("gateways cannot be asked", "subject", subject, "error", err)
	}
	out := make([][]byte, 0, len(answers))
	for _, a := range answers {
		var who struct {
			Gateway string `json:"gateway"`
		}
		if json.Unmarshal(a.Data, &who) == nil && c.believes(a.From, cmp.Or(who.Gateway, a.From)) {
			out = append(out, a.Data)
		}
	}
	return out
}

// requestView is what became of one request.
type requestView struct {
	RequestID   string           `json:"request_id"`
	Decisions   []order.Decision `json:"decisions"`
	Corrections []correctionView `json:"corrections"`
}

// getRequest asks the gateways: they remember their last decisions, nobody else
// does. A request has one gateway, so the first answer is the whole one.
func (c *Control) getRequest(cl *call) error {
	if err := cl.op.may("request.explain"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := checkLine("id", id, 200); err != nil {
		return err
	}
	ask, err := json.Marshal(order.ExplainRequest{RequestID: id})
	if err != nil {
		return err
	}
	v := requestView{RequestID: id, Decisions: []order.Decision{}, Corrections: []correctionView{}}
	live := c.livePoints()
	for _, data := range c.gather(cl.r.Context(), order.SubjectExplain, ask, min(live, 1)) {
		var d order.Decision
		if err := json.Unmarshal(data, &d); err == nil && d.RequestID == id {
			v.Decisions = append(v.Decisions, d)
		}
	}
	if len(v.Decisions) == 0 {
		return problem("not_found", fmt.Sprintf("no live gateway (of %d) remembers request %s. They remember requests that a correction touched, the latest ones, until they restart; the id is in the answer's header andon-request-id.", live, short(id)))
	}
	c.mu.Lock()
	seen := map[string]bool{}
	for _, d := range v.Decisions {
		for _, id := range d.Corrections {
			if r := c.state.corrections[id]; r != nil && !seen[id] {
				seen[id] = true
				v.Corrections = append(v.Corrections, c.viewFor(cl.op, r))
			}
		}
	}
	c.mu.Unlock()
	return cl.reply(http.StatusOK, v)
}
