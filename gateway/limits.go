package gateway

import (
	"context"
	"net/http"
	"time"

	"andon/correction"
	"andon/gateway/limit"
	"andon/wire"
)

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
	firstLook     = 5 * time.Millisecond
)

// admit reserves what the rate corrections of the verdict count. It returns
// why the call is refused, and the model that may serve instead. A call that is
// ended while it queues is refused by nobody: its state says so.
func (x *exchange) admit(c *call, rl *ruling) (*reason, string) {
	if len(x.verdict.Limits) == 0 {
		return nil, ""
	}
	var deadline int64
	for {
		mono := x.g.clock.mono()
		rule, wait := x.reserve(c, mono)
		if rule == nil {
			return nil, ""
		}
		if rule.Correction.Params.OnExceed != "queue" {
			return x.limited(c, rl, rule, wait)
		}
		if deadline == 0 {
			deadline = mono + int64(longestQueue)
		}
		if mono+int64(wait) > deadline && rule.Correction.Params.Metric != "concurrent" || mono >= deadline {
			return x.limited(c, rl, rule, wait)
		}
		if rule.Correction.Params.Metric == "concurrent" {
			wait = firstLook // a place may come free at any moment
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

// reserve takes from every bucket, or from none. It returns the rule that does
// not fit, and when to ask again.
func (x *exchange) reserve(c *call, mono int64) (*correction.Rule, time.Duration) {
	for _, r := range x.verdict.Limits {
		p := &r.Correction.Params
		key := limit.Key{Rule: r.Correction.ID, Value: bucketOf(p.Per, &c.req)}
		in, n := x.estimate(p.Metric)
		g, wait, ok := x.g.limits.Reserve(key, limit.Spec{Limit: *p.Limit, Window: time.Duration(p.Window)}, mono, n, p.Metric != "requests" && p.Metric != "concurrent")
		if !ok {
			x.release()
			return r, wait
		}
		x.grants = append(x.grants, grant{g, p.Metric, in})
	}
	return nil, 0
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
	}
	return input, 1
}

// bucketOf is the value that a rate correction counts by. Callers whose value
// is unknown share one bucket: leaving it out must not be a way around.
func bucketOf(per string, q *correction.Request) string {
	switch per {
	case "user":
		return first(q.Users)
	case "org":
		return q.Org
	case "key":
		return q.Key
	case "ip":
		if q.IP.IsValid() {
			return q.IP.String()
		}
		return ""
	case "model":
		return q.Model
	}
	return ""
}

// settle replaces the estimate by what was used. A stream that reported no
// usage, or was cut before it could, counts an output token for each event.
func (g *grant) settle(mono int64, u wire.Usage, events int64) {
	input, output := u.Input, u.Output
	if input == 0 {
		input = g.input
	}
	output = max(output, min(events, 1<<31))
	switch g.metric {
	case "concurrent":
		g.Free(mono)
	case "input_tokens":
		g.Settle(mono, input)
	case "output_tokens":
		g.Settle(mono, output)
	case "total_tokens":
		g.Settle(mono, input+output)
	}
}

// metered reports whether this call's tokens count for any correction.
func (x *exchange) metered() bool {
	for i := range x.grants {
		switch x.grants[i].metric {
		case "input_tokens", "output_tokens", "total_tokens":
			return true
		}
	}
	return false
}

// shadow counts what shadow corrections would have done. A shadow limit is
// counted like a real one, and refuses nothing.
func (x *exchange) shadow(c *call, rl *ruling) {
	mono := x.g.clock.mono()
	var ids []string
	for _, r := range x.verdict.Shadow {
		if r.Correction.Kind == correction.Rate {
			p := &r.Correction.Params
			_, n := x.estimate(p.Metric)
			g, _, ok := x.g.limits.Reserve(limit.Key{Rule: r.Correction.ID, Value: bucketOf(p.Per, &c.req)},
				limit.Spec{Limit: *p.Limit, Window: time.Duration(p.Window)}, mono, n, p.Metric != "requests" && p.Metric != "concurrent")
			if ok {
				if p.Metric == "concurrent" {
					c.shadowed = append(c.shadowed, g)
				} else {
					g.Keep(mono)
				}
				continue
			}
		}
		ids = append(ids, r.Correction.ID)
	}
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
