package gateway

import (
	"fmt"
	"time"

	"andon/correction"
	"andon/order"
)

// preview counts what a correction would end here now, by the code that would
// end it.
func (g *Gateway) preview(data []byte) (*order.Live, error) {
	c, err := correction.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	c.Mode, c.StartsAt, c.AppliedAt = correction.Enforce, time.Time{}, time.Time{}
	p, err := correction.Compile([]correction.Correction{c})
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	live := &order.Live{Gateway: g.cfg.Name}
	users, orgs, keys := map[string]bool{}, map[string]bool{}, map[string]bool{}
	now, _ := g.clock.span()
	var v correction.Verdict
	g.live.all(func(c *call) {
		q := c.req
		q.Live = true
		if p.Decide(&q, now, &v); v.Allowed() {
			return
		}
		live.LiveStreams++
		for _, u := range q.Users {
			users[pseudonym(u)] = true
		}
		orgs[q.Org], keys[q.Key] = true, true
	})
	live.Users, live.Orgs, live.Keys = names(users), names(orgs), names(keys)
	return live, nil
}

func names(set map[string]bool) []string {
	list := []string{}
	for n := range set {
		if n != "" {
			list = append(list, n)
		}
	}
	return list
}
