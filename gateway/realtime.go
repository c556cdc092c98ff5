package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"andon/gateway/upstream"
	"andon/wire"
	"andon/wire/openai"
)

// Subprotocols by which browsers, which cannot set headers, say who they are.
const (
	keyProtocol = "openai-insecure-api-key."
	orgProtocol = "openai-organization."
	proProtocol = "openai-project."
)

// upgrade looks at a request that asks for another protocol. WebSockets are
// opened for realtime sessions and nothing else; whoever asks for one elsewhere, or
// in a way that readers could take differently, is told so.
func (x *exchange) upgrade() *wire.Problem {
	h := x.r.Header
	asked := h["Upgrade"]
	if !x.rt.Upgrade {
		if len(asked) == 0 || len(asked) == 1 && strings.EqualFold(asked[0], "h2c") {
			return nil // some clients offer HTTP/2 with every request, and take HTTP/1.1 for an answer (RFC 9110, 7.8)
		}
		return &wire.Problem{Status: http.StatusBadRequest, Code: "no_upgrade", Title: "Upgrade refused", Param: "upgrade",
			Detail: "this path changes to no other protocol: leave the header upgrade out; GET /v1/realtime opens a WebSocket"}
	}
	if x.rt.API != openai.Realtime {
		p := &wire.Problem{Status: http.StatusNotImplemented, Code: "no_upgrade", Title: "Not served here",
			Detail: "this gateway does not open WebSockets on this path; it does for GET /v1/realtime"}
		if x.rt.API == "openai.responses.socket" {
			p.Detail = `this gateway does not open WebSockets for responses: send POST /v1/responses, with "stream": true for events`
		}
		return p
	}
	wrong := func(status int, param, detail string) *wire.Problem {
		return &wire.Problem{Status: status, Code: "bad_upgrade", Title: "WebSocket refused", Param: param, Detail: detail}
	}
	switch {
	case x.r.ProtoMajor != 1 || x.r.ProtoMinor != 1:
		return wrong(http.StatusBadRequest, "", "a WebSocket is opened over HTTP/1.1 here")
	case x.r.ContentLength != 0 || len(x.r.TransferEncoding) > 0:
		return wrong(http.StatusBadRequest, "", "a request that opens a WebSocket has no body")
	case len(asked) == 0 || !token(h["Connection"], "upgrade"):
		x.w.Header()["Upgrade"] = []string{"websocket"}
		return wrong(http.StatusUpgradeRequired, "upgrade", "a realtime session is a WebSocket: send upgrade: websocket and connection: upgrade")
	case len(asked) > 1 || !strings.EqualFold(asked[0], "websocket"):
		return wrong(http.StatusBadRequest, "upgrade", "exactly one value is taken here: websocket")
	case len(h["Sec-Websocket-Version"]) != 1 || h["Sec-Websocket-Version"][0] != "13":
		x.w.Header()["Sec-Websocket-Version"] = []string{"13"}
		return wrong(http.StatusUpgradeRequired, "sec-websocket-version", "version 13 of the WebSocket protocol is spoken here")
	}
	if key := h["Sec-Websocket-Key"]; len(key) != 1 {
		return wrong(http.StatusBadRequest, "sec-websocket-key", "exactly one key is needed")
	} else if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key[0])); err != nil || len(b) != 16 {
		return wrong(http.StatusBadRequest, "sec-websocket-key", "the key has to be 16 bytes in Base64")
	}
	if origins := h["Origin"]; len(origins) > 0 && x.g.cfg.Identity.Mode != "keys" {
		// Who calls is not proved by what a page can send: so it must be a page of ours.
		if o, err := url.Parse(origins[0]); err != nil || len(origins) > 1 || !strings.EqualFold(o.Host, x.r.Host) {
			return wrong(http.StatusForbidden, "origin", "a page of another origin may open a WebSocket only with an API key of this gateway")
		}
	}
	return nil
}

// token reports whether a header lists a token.
func token(values []string, want string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), want) {
				return true
			}
		}
	}
	return false
}

// around refuses what would let a caller and the provider talk past this
// gateway: calls, whose media go another way (WebRTC, SIP), and secrets that open
// sessions with the provider itself, unless routes of the account pass.
func (x *exchange) around() *wire.Problem {
	if !x.past() || x.g.accounts[x.wr.Name()] != nil {
		return nil
	}
	return &wire.Problem{Status: http.StatusForbidden, Code: "account_route", Title: "Not served here",
		Detail: "this opens sessions with the provider itself, past this gateway: open a WebSocket on GET /v1/realtime with a key of this gateway; its configuration can let such requests pass (upstreams: account: pass)"}
}

// past reports whether the request is about a session of which this gateway
// sees nothing. It passes only where no correction would have to hold inside it.
func (x *exchange) past() bool { return x.rt.API == "openai.realtime.sessions" }

// inside says why a session that this gateway does not see is refused: a
// correction would have to hold inside it.
func (x *exchange) inside(rl *ruling) *reason {
	if !x.past() {
		return nil
	}
	v := &x.verdict
	rules := slices.Concat(v.Filters, v.Guards, v.Clamps, v.Sessions)
	for _, r := range v.Limits {
		if r.Correction.Params.Metric != "requests" {
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return nil
	}
	return &reason{ruling: rl, refused: rules[:1], detail: "A correction that is in force for now could not hold inside a session that does not pass this gateway: open a WebSocket on GET /v1/realtime."}
}

// realtime opens a session with the provider, then with the caller, and carries
// their events until it ends. Like forward, it reports false if the call was
// ended before its caller saw anything.
func (x *exchange) realtime(c *call, rl *ruling) bool {
	x.rt.SSE = true // events are filtered like those of a stream
	if broken := x.guard(c, x.under, &x.verdict); broken != nil {
		return x.deny(c, cannotLook(x.under, broken), "")
	}
	stop := context.AfterFunc(x.r.Context(), c.depart)
	defer stop()
	d := &dialling{x: x, c: c, rl: rl}
	ctx, end := c.wait(x.r.Context())
	up, resp, err := websocket.Dial(ctx, "http://provider", &websocket.DialOptions{Subprotocols: x.protocols(c.model),
		HTTPClient: &http.Client{Transport: d, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
	end()
	if err != nil {
		if d.conn != nil {
			d.conn.Close()
		}
		if errors.Is(err, errMoved) || !c.state.CompareAndSwap(running, done) {
			return false
		}
		if d.refused != nil && d.refused.StatusCode >= 300 {
			x.copyHead(d.refused, int64(len(d.body)))
			x.w.Write(d.body)
			x.g.metrics.outcome(x, "ok")
			return true
		}
		x.g.metrics.upstreamErrors.Inc()
		x.g.log.Warn("upstream failed", "request", x.id, "upstream", c.model.Upstream, "error", err)
		x.fail(&wire.Problem{Status: http.StatusBadGateway, Code: "upstream_unreachable", Title: "Upstream failed",
			Detail: "the provider could not be reached, or opened no session", Retry: true})
		return true
	}
	if c.state.Load() != running {
		up.CloseNow()
		return false
	}
	x.copyHead(resp, -1)
	t := &taken{ResponseWriter: x.w}
	var protocols []string
	if p := up.Subprotocol(); p != "" {
		protocols = []string{p}
	}
	client, err := websocket.Accept(t, x.r, &websocket.AcceptOptions{Subprotocols: protocols, InsecureSkipVerify: true})
	if err != nil {
		up.CloseNow()
		c.state.CompareAndSwap(running, gone)
		x.g.metrics.outcome(x, "client_gone")
		return true
	}
	s := &socket{x: x, c: c, client: client, raw: t.conn, up: up}
	s.run()
	return true
}

// taken is the caller's side while its connection is taken over.
type taken struct {
	http.ResponseWriter
	conn net.Conn
}

func (t *taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := t.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack connection: this listener can not")
	}
	conn, rw, err := h.Hijack()
	t.conn = conn
	return conn, rw, err
}

// dialling is the provider's side of a WebSocket's handshake: an
// http.RoundTripper for one request, which becomes the call's.
type dialling struct {
	x       *exchange
	c       *call
	rl      *ruling
	conn    *upstream.Conn
	refused *http.Response // an answer that opens no session
	body    []byte
}

func (d *dialling) RoundTrip(r *http.Request) (*http.Response, error) {
	x, c := d.x, d.c
	conn, err := c.model.host.Dial(r.Context())
	if err != nil {
		return nil, err
	}
	d.conn = conn
	if !c.hold(conn) {
		return nil, errCut
	}
	if x.g.current.Load() != d.rl {
		return nil, errMoved
	}
	x.head = x.appendHead(x.head[:0], c, -1)
	x.head = x.head[:len(x.head)-len("\r\n")]
	for _, k := range [...]string{"Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"} {
		if v := r.Header.Get(k); v != "" {
			x.head = appendHeader(x.head, k, v)
		}
	}
	x.head = append(x.head, "\r\n"...)
	resp, err := conn.Switch(x.head)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		d.refused = resp
		if d.body, err = io.ReadAll(io.LimitReader(resp.Body, headBytes)); err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(nil))
	}
	return resp, nil
}

const headBytes = 64 << 10 // of an answer that opens no session

// protocols are the subprotocols that travel on: neither a key that this
// gateway has issued, nor, where its own credential is used, whose account pays.
func (x *exchange) protocols(m *model) (on []string) {
	for _, v := range x.r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			p = strings.TrimSpace(p)
			switch {
			case p == "":
			case strings.HasPrefix(p, keyProtocol) && (m.key != "" || x.g.cfg.Identity.Mode == "keys"):
			case m.key != "" && (strings.HasPrefix(p, orgProtocol) || strings.HasPrefix(p, proProtocol)):
			default:
				on = append(on, p)
			}
		}
	}
	return on
}
