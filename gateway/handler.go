package gateway

import (
	"errors"
	"io"
	"mime"
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
	if x.rt.Op == wire.OpListModels || x.rt.Op == wire.OpGetModel {
		return x.list(c, rl)
	}
	if p = x.read(); p != nil {
		return p
	}
	if err := x.wr.Read(x.rt, x.body, &x.env); err != nil {
		if errors.As(err, &p) {
			return p
		}
		return &wire.Problem{Status: http.StatusBadRequest, Code: "invalid_request", Title: "Invalid request", Detail: err.Error()}
	}
	m := g.resolve(x.env.Model)
	if m == nil || !m.serves(x.wr.Name()) {
		return unknownModel(x.env.Model)
	}
	for _, name := range x.env.Others {
		o := g.resolve(name)
		if o == nil || !o.serves(x.wr.Name()) || o.Upstream != m.Upstream || o.UpstreamModel != name {
			return unknownModel(name) // these travel as they are: each has to be what the provider takes it for
		}
		c.others = append(c.others, o)
	}
	g.describe(&c.req, r, c.caller, &x.env)
	c.asked = m
	x.run(c, m)
	return nil
}

func unknownModel(name string) *wire.Problem {
	return &wire.Problem{Status: http.StatusNotFound, Code: "model_not_found", Title: "Unknown model", Param: "model",
		Detail: "the model " + strconv.Quote(printable(name)) + " is not served here on this API"}
}

// read takes the body in, whole. What is decided on has to be what is sent, so
// encodings that would hide it are refused.
func (x *exchange) read() *wire.Problem {
	h := x.r.Header
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" || len(h["Content-Encoding"]) > 1 {
		return &wire.Problem{Status: http.StatusUnsupportedMediaType, Code: "encoded_body", Title: "Encoded body", Param: "content-encoding",
			Detail: "a request body has to be sent without Content-Encoding: what is compressed can not be decided on"}
	}
	if ct := h["Content-Type"]; len(ct) > 0 && (len(ct) > 1 || ct[0] != "application/json") {
		kind, params, err := mime.ParseMediaType(ct[0])
		charset := strings.ToLower(params["charset"])
		if err != nil || len(ct) > 1 || kind != "application/json" || charset != "" && charset != "utf-8" {
			return &wire.Problem{Status: http.StatusUnsupportedMediaType, Code: "content_type", Title: "Unsupported content type", Param: "content-type",
				Detail: "the content type " + strconv.Quote(printable(strings.Join(ct, ", "))) + " is not read here: allowed is application/json in UTF-8"}
		}
	}
	limit := x.g.cfg.MaxBody
	tooLarge := &wire.Problem{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Title: "Body too large",
		Detail: "the request body exceeds " + strconv.FormatInt(limit, 10) + " bytes"}
	n := x.r.ContentLength
	if n > limit {
		return tooLarge
	}
	if n >= 0 && (n <= keepBytes || n <= int64(cap(x.body))) {
		if int64(cap(x.body)) < n {
			x.body = make([]byte, n, n+n/8)
		}
		x.body = x.body[:n]
		if _, err := io.ReadFull(x.r.Body, x.body); err != nil {
			return brokenBody()
		}
		return nil
	}
	// What a client announces is not set aside before it comes.
	x.body = x.body[:0]
	for {
		if len(x.body) == cap(x.body) {
			x.body = append(x.body, make([]byte, max(4096, len(x.body)))...)[:len(x.body)]
		}
		k, err := x.r.Body.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+k]
		if int64(len(x.body)) > limit {
			return tooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return brokenBody()
		}
	}
}

func brokenBody() *wire.Problem {
	return &wire.Problem{Status: http.StatusBadRequest, Code: "broken_body", Title: "Broken body", Detail: "the request body ended before its announced length"}
}

// list answers a model listing with what this gateway serves the caller on
// this wire.
func (x *exchange) list(c *call, rl *ruling) *wire.Problem {
	g := x.g
	g.describe(&c.req, x.r, c.caller, &x.env)
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
