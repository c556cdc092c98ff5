package gateway

import (
	"andon/correction"
	"andon/gateway/filter"
	"andon/wire"
)

// screened is what filters keep of an answer that is a stream.
type screened struct {
	under   *ruling             // whose filters these are
	verdict *correction.Verdict // that they come from
	hold    *filter.Stream      // nil: nothing waits for a person
	main    *filter.Stream      // nil: nothing is filtered
	held    []byte              // what hold has not let out yet, as it came
	out     []byte              // what may go out now
	hit     *filter.Hit
	hitter  *correction.Rule
}

// filtered reports whether the answer is filtered.
func (a *screened) filtered() bool { return a.hold != nil || a.main != nil }

// guard begins to filter the answer, or goes on under other rules. It returns
// the rule that cannot look, if there is one.
func (x *exchange) guard(c *call, rl *ruling, v *correction.Verdict) *correction.Rule {
	a := &x.answer
	p, broken := rl.guards(v, false)
	if broken != nil {
		return broken
	}
	first := a.under == nil
	a.under, a.verdict = rl, v
	for _, one := range [...]struct {
		s **filter.Stream
		g *filter.Guard
	}{{&a.main, p.main}, {&a.hold, p.hold}} { // what is held goes on to what is new
		switch {
		case *one.s == nil && one.g != nil:
			*one.s = one.g.Stream(x.wr, x.rt)
		case *one.s != nil && !first:
			out, hit := (*one.s).Update(one.g)
			x.emit(c, one.s == &a.hold, out, hit)
		}
	}
	return nil
}

// again decides on a call that is being answered under the ruling that has
// come into force since. The sweep ends what that forbids; what it filters is
// filtered from here on.
func (x *exchange) again(c *call) (*ruling, *correction.Verdict) {
	rl := x.g.current.Load()
	if rl == x.under {
		return rl, &x.verdict
	}
	q := c.req
	q.Live = true
	now, _ := x.g.clock.span()
	rl.policy.Decide(&q, now, &x.later)
	c.decideOthers(rl, now, true, &x.later)
	return rl, &x.later
}

// reguard filters a stream under the ruling in force.
func (x *exchange) reguard(c *call) {
	rl, v := x.again(c)
	if broken := x.guard(c, rl, v); broken != nil {
		a := &x.answer
		a.hit, a.hitter, a.under = &filter.Hit{ID: broken.Correction.ID, Cause: filter.Unreadable}, broken, rl
	}
}

// write takes one whole event, and adds what may go out to answer.out.
func (x *exchange) write(c *call, event []byte) {
	a := &x.answer
	if a.hit != nil {
		return
	}
	if a.hold != nil {
		a.held = append(a.held, event...)
		out, hit := a.hold.Write(event)
		x.emit(c, true, out, hit)
		x.settleHold(c)
		return
	}
	x.writeMain(c, event)
}

func (x *exchange) writeMain(c *call, event []byte) {
	a := &x.answer
	if a.hit != nil || len(event) == 0 {
		return
	}
	if a.main == nil {
		a.out = append(a.out, event...)
		return
	}
	out, hit := a.main.Write(event)
	x.emit(c, false, out, hit)
	x.judge(c)
}

// emit takes what one of the two filters lets go on.
func (x *exchange) emit(c *call, held bool, out []byte, hit *filter.Hit) {
	a := &x.answer
	if !held {
		a.out = append(a.out, out...)
		if hit != nil && a.hit == nil {
			a.hit, a.hitter = hit, ruleOf(a.verdict, hit.ID)
		}
		return
	}
	if n := len(out); n > 0 {
		x.each(out, func(event []byte) { x.writeMain(c, event) })
		a.held = a.held[:copy(a.held, a.held[n:])]
	}
	if hit == nil {
		return
	}
	rule := ruleOf(a.verdict, hit.ID)
	if hit.Cause == filter.Unreadable || !x.await(c, rule, "output", x.heldExcerpt()) {
		if a.hit == nil {
			a.hit, a.hitter = hit, rule
		}
		return
	}
	// A person let it go on: what waits, and all that follows.
	a.hold = nil
	x.each(a.held, func(event []byte) { x.writeMain(c, event) })
	a.held = nil
}

// heldExcerpt is the text of the events that wait.
func (x *exchange) heldExcerpt() []byte {
	texts, ok := x.wr.(wire.Texts)
	if !ok {
		return nil
	}
	var all, scratch []byte
	framer := wire.NewFramer(x.rt)
	x.each(x.answer.held, func(event []byte) {
		if data, ok := framer.Data(event, nil); ok {
			for _, p := range texts.AppendPieces(nil, x.rt, data, &scratch) {
				all = append(all, p.Text...)
			}
		}
	})
	return all
}

// each calls fn for each event of a part of the stream that holds whole ones.
func (x *exchange) each(events []byte, fn func([]byte)) {
	framer := wire.NewFramer(x.rt)
	for len(events) > 0 {
		n := framer.Frame(events)
		if n == 0 {
			n = len(events)
		}
		fn(events[:n])
		events = events[n:]
	}
}

// settleHold asks the classifiers whose finds a person judges.
func (x *exchange) settleHold(c *call) {
	a := &x.answer
	for a.hold != nil && a.hit == nil && a.hold.Waiting() {
		ctx, stop := c.wait(x.r.Context())
		out, hit := a.hold.Await(ctx)
		over := ctx.Err() != nil
		stop()
		if over {
			x.left(c)
			return
		}
		x.emit(c, true, out, hit)
	}
}

// judge asks the classifiers, for as long as the call runs.
func (x *exchange) judge(c *call) {
	a := &x.answer
	for a.hit == nil && a.main.Waiting() {
		ctx, stop := c.wait(x.r.Context())
		out, hit := a.main.Await(ctx)
		over := ctx.Err() != nil
		stop()
		if over {
			x.left(c)
			return
		}
		x.emit(c, false, out, hit)
	}
}

// left ends the call if what it waited for was ended by its client.
func (x *exchange) left(c *call) {
	if x.r.Context().Err() != nil {
		c.depart()
	}
}

// finish lets out what may still go at the end of the stream.
func (x *exchange) finish(c *call, rest []byte) {
	a := &x.answer
	if len(rest) > 0 {
		x.write(c, rest)
	}
	if a.hold != nil && a.hit == nil {
		out, hit := a.hold.End()
		x.emit(c, true, out, hit)
		x.settleHold(c)
	}
	if a.main != nil && a.hit == nil {
		out, hit := a.main.End()
		x.emit(c, false, out, hit)
		x.judge(c)
		if a.hit == nil {
			out, hit = a.main.End()
			x.emit(c, false, out, hit)
		}
	}
}
