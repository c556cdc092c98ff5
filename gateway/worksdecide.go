package gateway

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"andon/correction"
	"andon/gateway/filter"
	"andon/gateway/limit"
	"andon/wire"
)

func lineOf(n int) string { return "Line " + strconv.Itoa(n) + " of the batch: " }

// errRefused ends the reading of a batch whose line is refused.
var errRefused = errors.New("refused")

// decideRequests decides on each request that a batch makes, like a request of
// its own. What would be served, but not as it is written, is refused: nothing in a
// batch is rewritten. It returns why the batch is refused.
func (x *exchange) decideRequests(c *call, rl *ruling) (why *reason) {
	b := &x.begin
	if !x.several() {
		return nil
	}
	defer func() {
		if why != nil {
			x.uncount()
		}
	}()
	x.uncount()
	b.screened = append([]string(nil), b.screened...)
	if b.lines {
		if why := x.decideLines(c, rl); why != nil {
			return why
		}
	}
	for i := range b.facts {
		if why := x.decideFact(c, rl, &b.facts[i]); why != nil {
			return why
		}
	}
	return nil
}

// several reports whether the call's requests are decided one by one, which holds
// for all models that they ask.
func (x *exchange) several() bool {
	return x.begin.lines || x.rt.Op == wire.OpBatch && len(x.begin.facts) > 0
}

// decideLines decides on the lines in the body, and holds their texts against the
// filters on prompts.
func (x *exchange) decideLines(c *call, rl *ruling) (why *reason) {
	data := x.body
	if x.rt.Op == wire.OpFile {
		data = x.body[x.env.FileAt.Start:x.env.FileAt.End]
	}
	var q correction.Request
	var v correction.Verdict
	now, _ := x.g.clock.span()
	wire.BatchLines(x.wr, x.rt, data, func(l wire.Line, e *wire.Envelope) error {
		if c.state.Load() != running {
			return errRefused
		}
		m, p := x.lineModel(c.model, l, e)
		if p != nil {
			why = &reason{ruling: rl, status: p.Status, code: p.Code, detail: p.Detail}
			return errRefused
		}
		of := []*model{m}
		for _, name := range e.Others {
			if o := x.g.resolve(name); o != nil { // it was, when the batch was read
				of = append(of, o)
			}
		}
		x.lineRequest(&q, c, &l, e, m)
		for _, o := range of {
			o.describe(&q)
			rl.policy.Decide(&q, now, &v)
			if why = x.refuses(rl, o, &q, &v); why == nil {
				why = x.screenLine(c, rl, &v, &l, data[l.Body.Start:l.Body.End])
			}
			if why != nil {
				why = why.at(l.N)
				return errRefused
			}
		}
		return nil
	})
	return why
}

// at names the line at fault.
func (why *reason) at(n int) *reason {
	r := *why
	switch {
	case r.detail == "" && len(r.refused) > 0:
		r.detail = detail(r.refused[0].Correction)
	}
	r.detail = lineOf(n) + r.detail
	return &r
}

// refuses says why a request of a batch can not be made as it is.
func (x *exchange) refuses(rl *ruling, m *model, q *correction.Request, v *correction.Verdict) *reason {
	one := func(r *correction.Rule) *reason { return &reason{ruling: rl, refused: []*correction.Rule{r}} }
	switch {
	case !v.Allowed():
		return &reason{ruling: rl, refused: append([]*correction.Rule(nil), v.Refused...)}
	case len(v.Pins) > 0 && m.Version != v.Pins[0].Correction.Params.Pin:
		return one(v.Pins[0])
	case len(v.Strips) > 0:
		return one(v.Strips[0])
	case len(v.Clamps) > 0 && beyond(q, v):
		return one(v.Clamps[0])
	case m.OnStale != Hold && m.OnStale != "" && x.g.lease.over(x.g.clock.mono()):
		return staleReason(rl)
	}
	return nil
}

// beyond reports whether a request would have to be rewritten to stay within the
// clamps.
func beyond(q *correction.Request, v *correction.Verdict) bool {
	return q.Generates && (v.OutputTokens > 0 && (q.OutputTokens == 0 || q.OutputTokens > v.OutputTokens) ||
		v.Temperature >= 0 && (q.Temperature > v.Temperature || q.Temperature < 0 && v.Temperature < 1)) ||
		v.Choices > 0 && q.Choices > v.Choices || v.ReasoningTokens != 0 && q.Reasoning > max(v.ReasoningTokens, 0)
}

// screenLine holds a line against the filters on prompts. Nobody can be asked
// about one line of thousands, and none is rewritten: a find refuses.
func (x *exchange) screenLine(c *call, rl *ruling, v *correction.Verdict, l *wire.Line, body []byte) *reason {
	for _, r := range v.Filters {
		x.begin.looked(r.Correction.ID)
	}
	p, broken := rl.guards(v, true)
	if broken != nil {
		return cannotLook(rl, broken)
	}
	if p.none() {
		return nil
	}
	ctx, stop := c.wait(x.r.Context())
	defer stop()
	for _, g := range [...]*filter.Guard{p.hold, p.main} {
		out, hit := g.Input(ctx, x.wr, l.Route, body)
		if hit != nil {
			return x.found(rl, ruleOf(v, hit.ID), hit)
		}
		if !bytes.Equal(out, body) {
			for _, r := range v.Filters {
				if r.Filter().Action == "redact" {
					return &reason{ruling: rl, refused: []*correction.Rule{r}}
				}
			}
		}
	}
	return nil
}

func (b *beginning) looked(id string) {
	for _, have := range b.screened {
		if have == id {
			return
		}
	}
	b.screened = append(b.screened, id)
}

// decideFact decides on requests that are known by what was kept of them: the
// lines of a file that came in earlier. Filters can only hold for them that have
// looked at them then.
func (x *exchange) decideFact(c *call, rl *ruling, f *fact) *reason {
	if x.rt.Op != wire.OpBatch {
		return nil // a file that lies there uses up nothing
	}
	q := c.req
	q.Continues, q.Live = false, false
	named := len(f.users) == len(f.Users)
	own := f.users
	if !named {
		own = f.Users
	}
	q.Users = append(append([]string(nil), c.req.Users...), own...)
	q.Users = q.Users[:min(len(q.Users), 4)]
	if q.Folded = append([]string(nil), c.req.Folded...); named {
		for _, u := range own {
			if folded := correction.FoldUser(u); folded != u && folded != "" {
				q.Folded = append(q.Folded, folded)
			}
		}
	}
	f.fill(&q)
	var v correction.Verdict
	now, _ := x.g.clock.span()
	policy := rl.policy
	if !named {
		policy = x.g.works.policy(x.g, rl)
	}
	policy.Decide(&q, now, &v)
	if why := x.refuses(rl, f.model, &q, &v); why != nil {
		return why
	}
	if !x.begin.lines {
		for _, r := range v.Filters {
			fl := r.Filter()
			seen := false
			for _, id := range x.begin.screened {
				seen = seen || id == r.Correction.ID
			}
			if !seen && fl.Direction != "output" {
				return &reason{ruling: rl, refused: []*correction.Rule{r},
					detail: "A filter on prompts is in force for now, and has not looked at what this batch asks: send its file again through this gateway."}
			}
		}
	}
	return x.count(c, rl, &q, &v, f)
}

// count takes what the requests of a batch use from the rate corrections that
// reach them. Nobody knows when the provider makes them: they count when the batch
// is made, by estimate. A batch that nobody has read can not be counted.
func (x *exchange) count(c *call, rl *ruling, q *correction.Request, v *correction.Verdict, f *fact) *reason {
	for _, r := range v.Limits {
		p := &r.Correction.Params
		a := limit.Ask{N: f.N}
		switch p.Metric {
		case "concurrent":
			continue // none of them holds a connection
		case "input_tokens":
			a.N = f.Input
		case "output_tokens":
			a.N = f.Output
		case "total_tokens":
			a.N = f.Input + f.Output
		case "distinct_users":
			a.N, a.Each, a.Value = 1, true, correction.FoldUser(first(q.Users))
		case "distinct_apps":
			a.N, a.Each, a.Value = 1, true, appOf(q)
		}
		if f.Unknown {
			return &reason{ruling: rl, refused: []*correction.Rule{r}, detail: "A limit is in force for now, and what this batch asks is not known here: send its file again through this gateway."}
		}
		g, no, ok := x.takeShared(c, limit.Key{Rule: r.Correction.ID, Value: bucketOf(p.Per, q)}, limit.Spec{Limit: *p.Limit, Window: time.Duration(p.Window)}, a)
		if !ok {
			c.retryAfter = no.Wait
			return &reason{ruling: rl, refused: []*correction.Rule{r}}
		}
		x.begin.counted = append(x.begin.counted, grant{Grant: g, metric: p.Metric})
	}
	return nil
}

// takeShared takes from a bucket. Where other gateways share it, it waits for
// this one's part, as a call does (admit).
func (x *exchange) takeShared(c *call, key limit.Key, spec limit.Spec, a limit.Ask) (g limit.Grant, no limit.Denial, ok bool) {
	ctx, stop := c.wait(x.r.Context())
	defer stop()
	for until := x.g.clock.mono() + int64(longestShare); ; {
		mono := x.g.clock.mono()
		a.Last = mono >= until
		if g, no, ok = x.g.limits.Take(key, spec, x.g.limits.Now(mono), a); ok || !no.Share || a.Last {
			return g, no, ok
		}
		select {
		case <-ctx.Done():
			return g, no, false
		case <-time.After(no.Wait):
		}
	}
}

// uncount gives back what a batch has taken that is not made after all.
func (x *exchange) uncount() {
	b := &x.begin
	if len(b.counted) == 0 {
		return
	}
	now := x.g.limits.Now(x.g.clock.mono())
	for i := range b.counted {
		b.counted[i].Free(now)
	}
	b.counted = b.counted[:0]
}

// keepCount settles what a batch takes, once its provider has it.
func (x *exchange) keepCount() {
	b := &x.begin
	if len(b.counted) == 0 {
		return
	}
	now := x.g.limits.Now(x.g.clock.mono())
	for i := range b.counted {
		b.counted[i].Keep(now)
	}
	b.counted = b.counted[:0]
}
