package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"andon/correction"
	"andon/gateway/limit"
	"andon/wire"
)

// accounting is what a request counts under corrections.
type accounting struct {
	limits  []*correction.Rule // rate rules that reach it
	req     *correction.Request
	call    *call
	work    []work // its part in sessions
	price   *Price
	input   int64        // estimate of its input tokens
	outcome wire.Outcome // of its answer, as far as it has come
	tied    [3]string    // of outcome, the ids that were tied to its session
}

// A grant is what one rate correction has reserved for a call.
type grant struct {
	limit.Grant
	metric string
	input  int64 // estimate of input tokens, for what never reports usage
}

const (
	bytesPerToken = 4    // of a request body, as an estimate until usage says better
	unboundedAsks = 1024 // output tokens reserved for a call that names no bound
	longestQueue  = 30 * time.Second
	longestShare  = 400 * time.Millisecond
	firstLook     = 5 * time.Millisecond
)

// admit counts the call in its sessions, and reserves what the rate corrections
// of the verdict count. It returns why the call is refused, and the model that may
// serve instead. A call that is ended while it queues is refused by nobody: its
// state says so.
//
// Where several gateways share a limit and this one has used up its part of a
// round, a call that would fit waits for the next: some milliseconds, and never longer
// than longestShare, whatever the other gateways or the bus do.
func (x *exchange) admit(c *call, rl *ruling) (*reason, string) {
	if why, fallback := x.enter(c, rl); why != nil {
		return why, fallback
	}
	x.acct.limits, x.acct.req = x.verdict.Limits, &c.req
	if len(x.verdict.Limits) == 0 {
		return nil, ""
	}
	var deadline, share int64
	last := false
	for {
		mono := x.g.clock.mono()
		rule, no := x.reserve(c, mono, last)
		if rule == nil {
			return nil, ""
		}
		wait := no.Wait
		queues, places := rule.Correction.Params.OnExceed == "queue", rule.Correction.Params.Metric == "concurrent"
		switch {
		case no.Share && !last:
			if share == 0 {
				share = mono + int64(longestShare)
			}
			last = mono+int64(wait) >= share
		case !queues:
			return x.limited(c, rl, rule, wait)
		default:
			if deadline == 0 {
				deadline = mono + int64(longestQueue)
			}
			if mono+int64(wait) > deadline && !places || mono >= deadline {
				x.release()
				return x.limited(c, rl, rule, wait)
			}
			if places {
				wait = firstLook // a place may come free at any moment
			}
			share, last = 0, false
		}
		ctx, stop := c.wait(x.r.Context())
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		stop()
		if x.r.Context().Err() != nil {
			c.depart()
		}
		if c.state.Load() != running {
			return nil, ""
		}
	}
}

func (x *exchange) limited(c *call, rl *ruling, rule *correction.Rule, wait time.Duration) (*reason, string) {
	c.retryAfter = wait
	return &reason{ruling: rl, refused: []*correction.Rule{rule}}, fallbackOf(rule)
}

// fallbackOf is the model that a rate correction names instead of refusing.
func fallbackOf(rule *correction.Rule) string {
	v := correction.Verdict{Refused: []*correction.Rule{rule}}
	return v.Fallback("")
}

// reserve takes from every bucket, or from none. It returns a rule that does not
// fit, and when all of them would.
func (x *exchange) reserve(c *call, mono int64, last bool) (*correction.Rule, limit.Denial) {
	now := x.g.limits.Now(mono)
	for i, r := range x.verdict.Limits {
		key, spec, ask, in := x.ask(r, &c.req)
		ask.Last = last
		g, no, ok := x.g.limits.Take(key, spec, now, ask)
		if !ok {
			for i := range x.grants {
				x.grants[i].Free(now)
			}
			x.grants = x.grants[:0]
			if !no.Share {
				for _, other := range x.verdict.Limits[i+1:] {
					key, spec, ask, _ := x.ask(other, &c.req)
					if !ask.Each {
						_, wait := x.g.limits.Look(key, spec, now, min(ask.N, 1))
						no.Wait = max(no.Wait, wait)
					}
				}
			}
			return r, no
		}
		x.grants = append(x.grants, grant{g, r.Correction.Params.Metric, in})
	}
	return nil, limit.Denial{}
}

// ask is what a call asks under a rate rule.
func (x *exchange) ask(r *correction.Rule, q *correction.Request) (limit.Key, limit.Spec, limit.Ask, int64) {
	p := &r.Correction.Params
	in, n := x.estimate(p.Metric)
	a := limit.Ask{N: n}
	switch p.Metric {
	case "input_tokens", "output_tokens", "total_tokens", "tool_calls":
		a.AtMost = true
	case "distinct_users":
		a.Each, a.Value = true, correction.FoldUser(first(q.Users))
	case "distinct_apps":
		a.Each, a.Value = true, appOf(q)
	}
	return limit.Key{Rule: r.Correction.ID, Value: bucketOf(p.Per, q)}, limit.Spec{Limit: *p.Limit, Window: time.Duration(p.Window)}, a, in
}

// appOf is the application that calls: by the verified attribute app, else by
// its key.
func appOf(q *correction.Request) string {
	for _, a := range q.Attributes {
		if strings.HasPrefix(a, "app=") {
			return a
		}
	}
	return "key:" + q.Key
}

// estimate is what a call will count, before anybody knows.
func (x *exchange) estimate(metric string) (input, n int64) {
	input = int64(len(x.body))/bytesPerToken + 1
	output := int64(unboundedAsks)
	if x.env.MaxTokens > 0 {
		output = x.env.MaxTokens
	}
	if x.verdict.OutputTokens > 0 {
		output = min(output, x.verdict.OutputTokens)
	}
	output = min(output, 1<<40) * min(x.env.Choices, 1<<10) // each has a bound of its own
	if x.rt.Op != wire.OpGenerate {
		output = 0
	}
	switch metric {
	case "input_tokens":
		return input, input
	case "output_tokens":
		return input, output
	case "total_tokens":
		return input, input + output
	case "tool_calls":
		if !x.env.HasTools && !x.env.Stored {
			return input, 0 // it offers none
		}
	}
	return input, 1
}

// bucketOf is the value that a rate correction counts by. Callers whose value
// is unknown share one bucket: leaving it out must not be a way around. Nor must
// another spelling of a user, or another address of the same IPv6 network (/64),
// which one caller has 2^64 of.
func bucketOf(per string, q *correction.Request) string {
	switch per {
	case "user":
		return userOf(q)
	case "org":
		return q.Org
	case "key":
		return q.Key
	case "ip":
		if q.IP.Is6() {
			if p, err := q.IP.Prefix(64); err == nil {
				return p.String()
			}
		}
		if q.IP.IsValid() {
			return q.IP.String()
		}
		return ""
	case "model":
		return q.Model
	}
	return ""
}

// userOf is who is counted as the user: the key's own, else the first that the
// body claims; however it is spelled.
func userOf(q *correction.Request) string { return correction.FoldUser(first(q.Users)) }

// settle replaces the estimate by what was used. A stream that reported no
// usage, or was cut before it could, counts an output token for each event. Tool calls count as
// they are begun in the answer; an answer that goes over its limit is not cut,
// since its calls are the client's already: the next call is refused.
func (g *grant) settle(now int64, u wire.Usage, events, toolCalls int64) {
	input, output := u.Input, u.Output
	if input == 0 {
		input = g.input
	}
	output = max(output, min(events, 1<<31))
	switch g.metric {
	case "concurrent":
		g.Free(now)
	case "input_tokens":
		g.Settle(now, input)
	case "output_tokens":
		g.Settle(now, output)
	case "total_tokens":
		g.Settle(now, input+output)
	case "tool_calls":
		g.Settle(now, toolCalls)
	}
}

// metered reports whether what this call's answer holds counts for any
// correction.
func (x *exchange) metered() bool {
	if len(x.acct.work) > 0 {
		return true
	}
	for i := range x.grants {
		switch x.grants[i].metric {
		case "input_tokens", "output_tokens", "total_tokens", "tool_calls":
			return true
		}
	}
	return false
}

// shadow counts what shadow corrections would have done. A shadow limit is
// counted like a real one, and refuses nothing.
func (x *exchange) shadow(c *call, rl *ruling) {
	now := x.g.limits.Now(x.g.clock.mono())
	var ids []string
	for _, r := range x.verdict.Shadow {
		if onlySession(r) {
			continue // see enter
		}
		if r.Correction.Kind == correction.Rate {
			key, spec, ask, _ := x.ask(r, &c.req)
			ask.Last = true
			g, _, ok := x.g.limits.Take(key, spec, now, ask)
			if ok {
				if r.Correction.Params.Metric == "concurrent" {
					c.shadowed = append(c.shadowed, g)
				} else {
					g.Keep(now)
				}
				continue
			}
		}
		ids = append(ids, r.Correction.ID)
	}
	x.shadowed(c, ids)
}

// shadowed notes that shadow corrections would have done something.
func (x *exchange) shadowed(c *call, ids []string) {
	if len(ids) > 0 {
		x.g.metrics.shadow.Add(float64(len(ids)))
		x.g.record(x, c, "shadow", http.StatusOK, ids)
	}
}

// wait gives the call a context that ends with the client or with the call, for
// as long as it waits for something else than its connection.
func (c *call) wait(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.cancel.Store(&cancel)
	if c.state.Load() != running {
		cancel(errCut)
	}
	return ctx, func() {
		c.cancel.Store(nil)
		cancel(nil)
	}
}
