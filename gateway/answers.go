package gateway

import (
	"andon/correction"
	"andon/wire"
)

// retrieved decides on an answer that a model put out earlier, and that is
// fetched now: a stored response, a background one, the results of a batch. The
// answer names its model. One that names none may be of any model that its
// provider serves. The call counts as one of these models from here on, so that
// a later order ends it. It returns why the answer must not go out.
func (x *exchange) retrieved(c *call, data []byte) *reason {
	g := x.g
	var o wire.Outcome
	x.wr.Outcome(x.rt, data, &o)
	var of []*model
	if o.Model != "" {
		if m := g.resolve(o.Model); m != nil {
			of = append(of, m)
		}
	} else {
		for _, m := range g.order {
			if m.Upstream == c.model.Upstream && m.as == m.Name {
				of = append(of, m)
			}
		}
	}
	if len(of) == 0 {
		return nil
	}
	g.live.remove(c)
	c.others = append(c.others, of...)
	c.req.Generates = true
	g.live.add(c)
	rl := g.current.Load()
	now, _ := g.clock.span()
	x.under = nil // decided afresh from here on: filters on these models hold for the answer
	if refused := c.decideOthers(rl, now, true, nil); refused != nil {
		return &reason{ruling: rl, refused: append([]*correction.Rule(nil), refused...)}
	}
	return nil
}
