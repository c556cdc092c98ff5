package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"andon/correction"
	"andon/gateway/upstream"
	"andon/wire"
	"andon/wire/openai"
)

// exchange is the working memory of one request, reused by later ones.
type exchange struct {
	g   *Gateway
	w   http.ResponseWriter
	r   *http.Request
	id  string
	wr  wire.Wire
	rt  wire.Route
	env wire.Envelope

	verdict       correction.Verdict
	body          []byte // as received
	sent          []byte // as rewritten, where it was
	head          []byte
	buf           []byte
	grants        []grant
	acct          accounting
	pinned        *model             // the version that a pin wants instead
	under         *ruling            // that verdict is of
	later         correction.Verdict // under a ruling that came into force during the answer
	rewrite       wire.Change        // what is changed in the request
	screened      guards             // that the request was held against
	redacted      bool               // a filter changed the request
	answer        screened
	begin         beginning // of what goes on at the provider
	late          *reason   // why the answer must not reach the caller, who has seen nothing of it
	lateFallback  string
	timed         time.Time // when the write deadline was set last
	fingerprint   uint64    // of its conversation; 0: not taken yet
	fingerprinted *model    // as whose conversation
	usage         wire.Usage
	scratch       []byte // for events whose data spans lines
	counted       int64  // events of a stream, counted where its usage matters
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

const (
	keepBytes    = 1 << 20 // larger buffers are not kept for reuse
	writeTimeout = 30 * time.Second
	maxEvent     = 16 << 20 // bytes of one stream event
	maxHops      = 4        // fallbacks of fallbacks
)

// free keeps the working memory for a later request, without what it refers to.
func (x *exchange) free() {
	clear(x.grants[:cap(x.grants)])
	if cap(x.body) > keepBytes {
		x.env = wire.Envelope{} // its strings refer to the body
	}
	x.env.Reset()
	*x = exchange{env: x.env,
		verdict: x.verdict, later: x.later, body: keep(x.body), sent: keep(x.sent), head: keep(x.head), buf: keep(x.buf), grants: x.grants[:0]}
	exchanges.Put(x)
}

func keep(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}

// run decides, and serves what is allowed. A call that is ended before its
// caller has seen anything is decided again from the start, under what is in
// force now: so it gets the typed refusal, or the fallback's answer.
func (x *exchange) run(c *call, asked *model) {
	g := x.g
	m, from, turns := asked, "", 0
	var slot *slots // held while another model serves in the place of the one that was asked for
	defer func() { slot.free() }()
	for hop := 0; ; hop++ {
		c.model = m
		m.describe(&c.req)
		c.req.Continues = x.goesOn(c)
		c.told, c.sink = false, nil
		x.answer = screened{} // what was held back of an answer before goes nowhere
		c.state.Store(running)
		c.why.Store(nil)
		c.conn.Store(nil)
		g.live.add(c)
		rl := g.current.Load()
		why, fallback := x.decide(c, rl)
		if p := x.pinned; p != nil {
			// Another version serves, and that is decided anew.
			x.pinned = nil
			g.live.remove(c)
			if turns++; turns > maxHops {
				x.refuse(c, &reason{ruling: rl, refused: slices.Clone(x.verdict.Pins)}) // they send it round in circles
				return
			}
			m = p
			hop--
			continue
		}
		if why == nil {
			if why, fallback = x.screenInput(c, rl); c.state.Load() != running {
				why = nil // ended while it was looked at: it is decided again
			}
		}
		if why == nil && c.state.Load() == running {
			why, fallback = x.admit(c, rl)
		}
		if why == nil && g.current.Load() != rl && c.state.Load() == running {
			// It waited, and has not begun: what came into force meanwhile holds for it.
			g.live.remove(c)
			x.release()
			hop--
			continue
		}
		if why == nil && c.state.Load() == running {
			x.annotate(c, rl, from)
			if x.forward(c, rl) {
				g.live.remove(c)
				x.settle(c)
				return
			}
		}
		g.live.remove(c)
		if x.late != nil {
			// The provider has answered, and was paid for it.
			x.settle(c)
			if c.state.Load() == running {
				why, fallback = x.late, x.lateFallback
			}
			x.late, x.lateFallback, x.answer = nil, "", screened{}
		}
		if c.state.Load() == gone {
			if c.conn.Load() == nil {
				x.release()
			} // else the provider may have had the request, and it counts
			g.metrics.outcome(x, "client_gone")
			return
		}
		x.release()
		if why == nil && x.begin.work != nil && x.begin.kind != kindResponse {
			why = c.why.Load() // it has begun, and is not begun again
		}
		if why == nil { // ended, or overtaken by a new ruling, while it waited
			m, from = asked, ""
			slot.free()
			slot = nil
			if c.state.Load() == running {
				hop--
			}
			if hop < maxHops {
				continue
			}
			why = c.why.Load()
		}
		if next := g.models[fallback]; next != nil && x.substitutes() && hop < maxHops && next.serves(x.wr.Name()) && (len(c.others) == 0 || next.Upstream == asked.Upstream) {
			slot.free()
			if slot = nil; next.slots.take() {
				slot = next.slots
				if from == "" {
					from = asked.Name
				}
				m = next
				continue
			}
			g.metrics.full.Inc() // the refusal says what it would have said without a fallback
		}
		x.refuse(c, why)
		return
	}
}

// goesOn reports whether the call goes on with a session that had begun. A
// continuation id counts where the provider keeps conversations and refuses ids
// that it has not given out (OpenAI responses); elsewhere it proves nothing, and
// the conversation has to be one that this gateway has admitted.
func (x *exchange) goesOn(c *call) bool {
	return x.env.Continues && x.rt.API == openai.Responses || x.env.Prior && x.g.sessions.known(x.session(c))
}

// decide asks the policy, then the posture. It returns why the call is
// refused, and the model that may serve instead.
func (x *exchange) decide(c *call, rl *ruling) (*reason, string) {
	now, mono := x.g.clock.span()
	if !x.g.admits(rl, c.caller, now) {
		return &keyGone, "" // revoked since the head of the request came in
	}
	x.under = rl
	rl.policy.Decide(&c.req, now, &x.verdict)
	if !x.verdict.Allowed() {
		return &reason{ruling: rl, refused: slices.Clone(x.verdict.Refused)}, x.verdict.Fallback(c.model.Fallback)
	}
	if len(x.verdict.Pins) > 0 {
		pin := x.verdict.Pins[0]
		if p := c.model.pinned(pin.Correction.Params.Pin); p == nil {
			return &reason{ruling: rl, refused: []*correction.Rule{pin}}, fallbackOf(pin)
		} else if p.Version != c.model.Version || p.UpstreamModel != c.model.UpstreamModel {
			x.pinned = p
			return nil, ""
		}
	}
	if len(c.others) > 0 && !x.several() { // of a batch each request is decided, and counted
		if refused := c.decideOthers(rl, now, false, &x.verdict); refused != nil {
			return &reason{ruling: rl, refused: refused}, ""
		}
	}
	if why := x.inside(rl); why != nil {
		return why, ""
	}
	if len(x.verdict.Clamps) > 0 && x.unseen() {
		return &reason{ruling: rl, refused: slices.Clone(x.verdict.Clamps)}, "" // there is no place for them
	}
	if c.model.OnStale != Hold && x.g.lease.over(mono) {
		why := staleReason(rl)
		if c.model.OnStale == Switch {
			return why, c.model.Fallback
		}
		return why, ""
	}
	if x.rt.Op == wire.OpGenerate {
		x.g.sessions.add(x.session(c))
	}
	if len(x.verdict.Shadow) > 0 {
		x.shadow(c, rl)
	}
	return nil, ""
}

// decideOthers decides the further models that the body lets the provider use,
// and returns the rules that refuse one of them. What else restricts one of them
// is added to the call's own verdict: it may be the one that answers.
func (c *call) decideOthers(rl *ruling, now correction.Span, live bool, own *correction.Verdict) []*correction.Rule {
	var v correction.Verdict
	for _, o := range c.others {
		q := c.req
		q.Live = live
		o.describe(&q)
		if rl.policy.Decide(&q, now, &v); !v.Allowed() {
			return v.Refused
		}
		if pin, _ := v.Pin(); pin != "" && pin != o.Version {
			return v.Pins // the provider would take the version that the body names
		}
		if own != nil {
			own.Join(&v)
		}
	}
	return nil
}

func staleReason(rl *ruling) *reason {
	return &reason{ruling: rl, status: http.StatusServiceUnavailable, code: "andon_stale",
		detail: "this gateway has lost contact with its control plane, and the model is not served without it"}
}

// annotate sets the headers that say what was decided.
func (x *exchange) annotate(c *call, rl *ruling, from string) {
	h := x.w.Header()
	h["Andon-Revision"] = rl.header
	delete(h, "Andon-Fallback-From")
	delete(h, "Andon-Model")
	delete(h, "Andon-Corrections")
	delete(h, "Andon-Model-Version")
	delete(h, "Andon-Acknowledge")
	if from != "" {
		h["Andon-Fallback-From"] = []string{from}
		h["Andon-Model"] = []string{c.model.Name}
		x.g.record(x, c, "fallback", http.StatusOK, nil)
		x.g.metrics.fallbacks.Inc()
	}
	if len(x.verdict.Pins) > 0 && c.model.Version != "" {
		h["Andon-Model-Version"] = []string{c.model.Version}
	}
	for _, r := range x.verdict.Acknowledge {
		h["Andon-Acknowledge"] = append(h["Andon-Acknowledge"], r.Correction.ID+"; by="+r.Correction.Params.AcknowledgeBy.UTC().Format(time.RFC3339))
	}
	if ids := x.changed(); len(ids) > 0 {
		h["Andon-Corrections"] = []string{strings.Join(ids, ", ")}
		x.g.record(x, c, "clamped", http.StatusOK, ids)
	}
}

// change is what the corrections in force change in the request: nothing where
// it already is as they want it.
func (x *exchange) change() wire.Change {
	v, e := &x.verdict, &x.env
	ch := wire.Change{Temperature: -1}
	if n := v.OutputTokens; n > 0 && (e.MaxTokens == 0 || e.MaxTokens > n) && x.rt.Op == wire.OpGenerate {
		ch.OutputTokens = n
	}
	if n := v.Choices; n > 0 && e.Choices > n {
		ch.Choices = n
	}
	if n := v.ReasoningTokens; n != 0 && e.Reasoning > max(n, 0) {
		ch.ReasoningTokens = n
	}
	if t := v.Temperature; t >= 0 && (e.Temperature > t || e.Temperature < 0 && t < 1) && x.rt.Op == wire.OpGenerate {
		ch.Temperature = t
	}
	ch.Strip = v.Strip
	for _, r := range v.Strips {
		ch.StripTools = append(ch.StripTools, r.DisabledTools()...)
	}
	return ch
}

func unchanged(ch *wire.Change) bool {
	return ch.OutputTokens == 0 && ch.Choices == 0 && ch.ReasoningTokens == 0 && ch.Temperature < 0 && ch.Strip == 0 && len(ch.StripTools) == 0
}

// changed lists the corrections that change this request.
func (x *exchange) changed() (ids []string) {
	v := &x.verdict
	if len(v.Clamps) == 0 && len(v.Strips) == 0 && len(v.Pins) == 0 && !x.redacted {
		return nil
	}
	ch := x.change()
	for _, r := range v.Clamps {
		if ch.OutputTokens > 0 || ch.Choices > 0 || ch.ReasoningTokens != 0 || ch.Temperature >= 0 {
			ids = append(ids, r.Correction.ID)
		}
	}
	for _, r := range v.Strips {
		ids = append(ids, r.Correction.ID)
	}
	if x.redacted {
		for _, r := range v.Filters {
			if f := r.Filter(); f.Action == "redact" && f.Direction != "output" {
				ids = append(ids, r.Correction.ID)
			}
		}
	}
	for _, r := range v.Pins {
		if x.env.Model != r.Correction.Params.Pin {
			ids = append(ids, r.Correction.ID)
		}
	}
	return ids
}

// outgoing is the body as the provider gets it: the very bytes that were
// decided on, with the model's name, the clamps and what is taken out spliced
// in where they differ.
func (x *exchange) outgoing(c *call) ([]byte, error) {
	x.rewrite = x.change()
	if x.env.ModelAt.End > 0 && x.env.Model != c.model.UpstreamModel {
		x.rewrite.Model = c.model.UpstreamModel
	}
	if x.rewrite.Model == "" && unchanged(&x.rewrite) {
		return x.body, nil
	}
	var err error
	x.sent, err = wire.Rewrite(x.sent[:0], x.body, &x.env, &x.rewrite)
	return x.sent, err
}

// forward sends the call to its provider and brings the answer back. It
// reports false if the call was ended before its caller saw anything.
func (x *exchange) forward(c *call, rl *ruling) bool {
	if x.rt.Upgrade {
		return x.realtime(c, rl)
	}
	body, err := x.outgoing(c)
	if errors.Is(err, wire.ErrKept) {
		// What is switched off is needed by the request after all.
		return x.deny(c, &reason{ruling: rl, refused: slices.Clone(x.verdict.Strips)}, "")
	}
	if err != nil {
		x.fail(&wire.Problem{Status: http.StatusBadRequest, Code: "cannot_clamp", Title: "Request can not be clamped", Detail: err.Error()})
		return true
	}
	x.head = x.appendHead(x.head[:0], c, len(body))
	stop := context.AfterFunc(x.r.Context(), c.depart)
	defer stop()
	conn, resp, err := x.exchange(c, rl, body)
	if err != nil {
		if err == errMoved || c.state.Load() != running {
			return false
		}
		if !c.state.CompareAndSwap(running, done) {
			return false
		}
		x.g.metrics.upstreamErrors.Inc()
		x.g.log.Warn("upstream failed", "request", x.id, "upstream", c.model.Upstream, "error", err)
		x.fail(&wire.Problem{Status: http.StatusBadGateway, Code: "upstream_unreachable", Title: "Upstream failed",
			Detail: "the provider could not be reached, or broke off before it answered", Retry: true})
		return true
	}
	if x.begin.detached {
		defer x.begin.timer.Stop()
		if x.streams(resp) {
			c.hold(conn)
		}
	}
	var sent bool
	if x.streams(resp) {
		sent = x.stream(c, conn, resp)
	} else {
		sent = x.plain(c, conn, resp)
	}
	return sent
}

// errMoved reports that the ruling changed while a connection was being made,
// which may take seconds: nothing has been sent, and the call is decided again.
var errMoved = errors.New("decided under an earlier ruling")

// exchange sends the request and receives the head of the answer, on a kept
// connection where there is one. A kept connection that turns out to have been
// closed has cost nothing: the provider never saw the request.
func (x *exchange) exchange(c *call, rl *ruling, body []byte) (*upstream.Conn, *http.Response, error) {
	for try := 0; ; try++ {
		conn, err := x.connect(c, try > 0)
		if err != nil {
			return nil, nil, err
		}
		if !x.hold(c, conn) {
			conn.Close()
			return nil, nil, errCut
		}
		if !conn.Reused && x.g.current.Load() != rl {
			conn.Close()
			return nil, nil, errMoved
		}
		var resp *http.Response
		if err = conn.Send(x.head, body); err == nil {
			if resp, err = conn.Receive(); err == nil {
				return conn, resp, nil
			}
		}
		conn.Close()
		if !errors.Is(err, upstream.ErrReset) || try > 0 {
			return nil, nil, err
		}
	}
}

// connect takes a kept connection, or dials under a context that ends with the
// call.
func (x *exchange) connect(c *call, fresh bool) (*upstream.Conn, error) {
	if !fresh {
		if conn := c.model.host.Kept(); conn != nil {
			return conn, nil
		}
	}
	ctx, stop := c.wait(x.r.Context())
	defer stop()
	return c.model.host.Dial(ctx)
}

// deadline gives the next write its time: a client that reads nothing for that
// long is gone. It is moved on only now and then.
func (x *exchange) deadline(c *call) {
	if now := time.Now(); now.Sub(x.timed) > writeTimeout/6 {
		x.timed = now
		c.client.SetWriteDeadline(now.Add(writeTimeout))
	}
}

// settle replaces what was reserved by what was used.
func (x *exchange) settle(c *call) {
	x.acct.call = c
	x.leave(true)
	if len(x.grants) == 0 {
		return
	}
	mono := x.g.limits.Now(x.g.clock.mono())
	for i := range x.grants {
		x.grants[i].settle(mono, x.usage, x.counted, x.acct.outcome.ToolCalls)
	}
	x.grants = x.grants[:0]
}

// release gives everything back that was reserved for an attempt that did not
// reach its caller.
func (x *exchange) release() {
	x.leave(false)
	if len(x.grants) == 0 {
		return
	}
	mono := x.g.limits.Now(x.g.clock.mono())
	for i := range x.grants {
		x.grants[i].Free(mono)
	}
	x.grants = x.grants[:0]
}
