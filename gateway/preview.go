package gateway

import (
	"fmt"

	"andon/correction"
	"andon/gateway/record"
	"andon/order"
)

// preview counts what a correction would have done to what is recorded, and what
// it would end here now, by the code that would do it.
func (g *Gateway) preview(data []byte) (*order.Preview, error) {
	c, err := correction.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	lists := g.listsNow()
	now, _ := g.clock.span()
	out, err := g.recorder.Preview(c, lists, now)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	out.Gateway, out.Pseudonyms = g.cfg.Name, g.pseudo.ID()
	p, err := record.Alone(c, lists)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	var v correction.Verdict
	g.live.all(func(c *call) {
		q := c.req
		q.Live = true
		if p.Decide(&q, now, &v); v.Allowed() {
			return
		}
		out.LiveStreams++
		for _, u := range q.Users {
			out.Users.Add(g.pseudo.Number(correction.FoldUser(u)))
		}
		if q.Org != "" {
			out.Orgs.Add(record.HashName(q.Org))
		}
		if q.Key != "" {
			out.Keys.Add(record.HashName(q.Key))
		}
	})
	return out, nil
}
