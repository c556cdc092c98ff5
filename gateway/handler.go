package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"andon/wire"
	"andon/wire/wires"
)

// ServeHTTP serves the data listener: every wire below one root. It is the
// decision path. Nothing on it waits for the control plane, a database or the
// bus.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchanges.Get().(*exchange)
	x.g, x.w, x.r = g, w, r
	x.id = g.boot + strconv.FormatUint(g.requests.Add(1), 36)
	w.Header()["Andon-Request-Id"] = []string{x.id}
	c := &call{id: x.id, began: time.Now()}
	defer func() {
		g.live.remove(c)
		x.uncount()
		x.settle(c)
		for i := range c.shadowed {
			c.shadowed[i].Free(0)
		}
		x.remember(c)
		x.free()
	}()
	if p := x.serve(c); p != nil {
		x.fail(p)
	}
}

// serve takes the request in, and runs it. A problem it returns has not been
// told to the caller yet.
func (x *exchange) serve(c *call) *wire.Problem {
	g, r := x.g, x.r
	path := r.URL.EscapedPath()
	header := func(name string) string { return r.Header.Get(name) }
	rl := g.current.Load()
	if rl != nil {
		x.w.Header()["Andon-Revision"] = rl.header
	}
	if path == ownPath {
		return x.own(c, rl, path)
	}
	var ok bool
	if x.wr, x.rt, ok = wires.Match(r.Method, path, r.URL.RawQuery, header); !ok || strings.Contains(r.URL.RawQuery, " ") {
		x.wr = wires.Guess(path, header)
		return &wire.Problem{Status: http.StatusNotFound, Code: "unknown_route", Title: "Unknown route",
			Detail: "this gateway does not serve " + printable(r.Method+" "+path) + ": paths are taken exactly as they are written, and only known ones pass"}
	}
	if rl == nil {
		return &wire.Problem{Status: http.StatusServiceUnavailable, Code: "andon_no_order", Title: "Not ready",
			Detail: "this gateway has no valid order yet, and serves nothing without one", Retry: true}
	}
	now, _ := g.clock.span()
	var p *wire.Problem
	if c.caller, p = g.identify(r, rl, now); p != nil {
		return p
	}
	c.wire, c.route = x.wr, x.rt
	c.client = http.NewResponseController(x.w)
	if p = x.upgrade(); p != nil {
		return p
	}
	if x.rt.Op == wire.OpListModels || x.rt.Op == wire.OpGetModel {
		return x.list(c, rl)
	}
	if p = x.read(); p != nil {
		return p
	}
	if p = x.understand(); p != nil {
		return p
	}
	m, p := x.asked(c)
	if p != nil {
		return p
	}
	m.prompts.note(x.rt.API, x.body, x.env.System)
	g.describe(&c.req, x, c.caller)
	if p = x.begins(c, m); p != nil {
		return p
	}
	c.asked = m
	x.run(c, m)
	return nil
}

func unknownModel(name string) *wire.Problem {
	return &wire.Problem{Status: http.StatusNotFound, Code: "model_not_found", Title: "Unknown model", Param: "model",
		Detail: "the model " + strconv.Quote(printable(name)) + " is not served here on this API"}
}

// list answers a model listing with what this gateway serves the caller on
// this wire.
func (x *exchange) list(c *call, rl *ruling) *wire.Problem {
	g := x.g
	x.env.Reset()
	g.describe(&c.req, x, c.caller)
	now, _ := g.clock.span()
	var names []string
	asked := g.resolve(x.rt.Model)
	for _, m := range g.order {
		if !m.serves(x.wr.Name()) || x.rt.Op == wire.OpGetModel && (asked == nil || asked.Name != m.Name) {
			continue
		}
		m.describe(&c.req)
		rl.policy.Decide(&c.req, now, &x.verdict)
		if x.verdict.Allowed() || x.verdict.Fallback(m.Fallback) != "" {
			names = append(names, m.Name)
		}
	}
	if x.rt.Op == wire.OpGetModel && len(names) == 0 {
		return unknownModel(x.rt.Model)
	}
	x.head = x.wr.AppendModels(x.head[:0], x.rt, names)
	x.w.Header()["Content-Type"] = contentJSON
	x.w.Write(x.head)
	g.metrics.outcome(x, "ok")
	return nil
}

// printable bounds what a caller wrote before it is repeated to it.
func printable(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
