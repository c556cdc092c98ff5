package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
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
	Silent      []string         `json:"silent"` // live gateways that have not answered
}

// liveFor are the live points, and whose a request is by its id; "" if none of
// them made it since it started.
func (c *Control) liveFor(request string) (names []string, owner string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now, owners := c.cfg.Now(), 0
	for name, p := range c.points {
		if !now.Before(p.lease) {
			continue
		}
		names = append(names, name)
		if strings.HasSuffix(p.boot, "-") && strings.HasPrefix(request, p.boot) {
			owner = name
			owners++
		}
	}
	slices.Sort(names)
	if owners != 1 { // two say that they are the same process: neither is believed
		owner = ""
	}
	return names, owner
}

// someOf are the first names of a list, and how many more there are.
func someOf(names []string, most int) []string {
	if len(names) <= most {
		return names
	}
	return append(slices.Clone(names[:most]), fmt.Sprintf("and %d more", len(names)-most))
}

// explainTime bounds how long gateways are asked for a request. Nobody waits so
// long unless one of them is silent.
const explainTime = 2 * time.Second

// getRequest asks the gateways: they remember their last decisions, nobody else
// does. A request has one gateway, whose boot its id begins with. All that are live
// are asked, and each says that it remembers the request, or that it does not; so
// nobody is told that a request is not known while the one that knows is silent.
func (c *Control) getRequest(cl *call) error {
	if err := cl.op.may("request.explain"); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	if err := checkLine("id", id, 200); err != nil {
		return err
	}
	ask, err := json.Marshal(order.ExplainRequest{RequestID: id, All: true})
	if err != nil {
		return err
	}
	v := requestView{RequestID: id, Decisions: []order.Decision{}, Corrections: []correctionView{}, Silent: []string{}}
	live, owner := c.liveFor(id)
	answered := map[string]bool{}
	for _, data := range c.gatherWithin(cl.r.Context(), explainTime, order.SubjectExplain, ask, len(live)) {
		var d order.Decision
		if json.Unmarshal(data, &d) != nil || d.Gateway == "" {
			continue
		}
		answered[d.Gateway] = true
		// What another gateway says of a request that is not its own is nothing.
		if d.RequestID == id && (owner == "" || d.Gateway == owner) {
			v.Decisions = append(v.Decisions, d)
		}
	}
	for _, name := range live {
		if !answered[name] {
			v.Silent = append(v.Silent, name)
		}
	}
	switch {
	case len(v.Decisions) > 0:
	case owner != "" && !answered[owner]:
		return problem("not_answered", fmt.Sprintf("request %s came to %s, which has not answered within %s: it is not known what became of it. Ask again.", short(id), short(owner), explainTime))
	case owner == "" && len(v.Silent) > 0:
		return problem("not_answered", fmt.Sprintf("%d of %d live gateways have not answered within %s (%s): it is not known what became of request %s. Ask again.",
			len(v.Silent), len(live), explainTime, strings.Join(someOf(v.Silent, 10), ", "), short(id)))
	case owner != "":
		return problem("not_found", fmt.Sprintf("request %s came to %s, which does not remember it: a gateway remembers requests that a correction touched, the latest ones, until it restarts.", short(id), short(owner)))
	default:
		return problem("not_found", fmt.Sprintf("no live gateway (of %d) remembers request %s. They remember requests that a correction touched, the latest ones, until they restart; the id is in the answer's header andon-request-id.", len(live), short(id)))
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
