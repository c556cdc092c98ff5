package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"andon/correction"
	"andon/wire"
	"andon/wire/openai"
)

// socket is one realtime session: two WebSockets, and the events between them.
//
// It is one call of the registry from its handshake to its end, so sweeps,
// postures, revoked keys and limits reach it like any stream. Each event of the
// client is read strictly and decided before it goes on: with the tools, media and
// models that it brings, and as one more request where it asks for a response.
// What is refused is answered by an event of type error, and the session goes
// on; what forbids the session itself ends it, by an error event of type
// andon_correction, a close frame of code 4000 plus the HTTP status, and the end of
// the provider's side.
//
// Sound can not be filtered. Under a filter on prompts no sound is taken from the
// client, and under one on answers none reaches it: a response has to be asked for
// as text, and a session whose provider sends sound all the same is ended.
type socket struct {
	x      *exchange
	c      *call
	client *websocket.Conn
	raw    net.Conn // the client's connection
	up     *websocket.Conn

	// Of the goroutine that reads from the client.
	event   openai.ClientEvent
	verdict correction.Verdict // on the client's last event
	under   *ruling            // that verdict is of
	bound   int64              // on output tokens, that the provider was told for the session; 0: none
	beta    bool               // the session speaks the events of the beta
	sent    []byte             // an event as it is rewritten

	mu          sync.Mutex // guards what follows, and changes of call.req and call.others
	base        correction.Request
	session     facts // what the session offers and holds
	turn        facts // what the responses offer that were asked for last
	voice       openai.Voice
	transcribes bool
	asking      bool // an event that asks for a response is being decided
	stale       bool // facts have changed since the answer's filters were chosen
	bytes       int64
	items       int64
	turns       []reply // responses that were asked for or have begun, oldest first
	began       int     // of turns, how many have begun
	deltas      int64   // events of the response that runs
	total       wire.Usage
	calls       int64 // of tools
	spent       float64

	heard correction.Verdict // on the session as it is
	size  int64              // bytes of the event at hand
	over  error              // why the client's side ended
}

const (
	maxMessage   = 16 << 20 // bytes of one event
	pingEvery    = 30 * time.Second
	pongWithin   = time.Minute
	farewellTime = 5 * time.Second // in which a client has to take its last event, and its close frame; a forced one has less
)

// run carries events until the session ends, and tells both sides.
func (s *socket) run() {
	x, c := s.x, s.c
	ctx, cancel := context.WithCancel(context.Background())
	x.r = x.r.WithContext(ctx)
	s.client.SetReadLimit(maxMessage)
	s.up.SetReadLimit(maxMessage)
	s.base = c.req
	s.transcribes = token([]string{x.r.URL.Query().Get("intent")}, "transcription")
	s.beta = token(x.r.Header["Openai-Beta"], "realtime=v1") || token(x.r.Header["Sec-Websocket-Protocol"], "openai-beta.realtime-v1")
	s.keep()
	var wg sync.WaitGroup
	wg.Go(s.fromClient)
	wg.Go(func() { s.ping(ctx) })
	err := s.fromProvider()
	s.end(err)
	cancel()
	wg.Wait()
	s.account()
}

// fromProvider carries the provider's events to the client. It returns why the
// provider's side ended; nil if the call was ended from here.
func (s *socket) fromProvider() error {
	for {
		kind, data, err := s.up.Read(context.Background())
		if err != nil {
			var closed websocket.CloseError
			if errors.As(err, &closed) && s.x.answer.filtered() && s.c.state.Load() == running {
				s.x.finish(s.c, nil)
				if why := s.release(); why != nil {
					s.c.mark(cut, why)
				}
			}
			return err
		}
		if s.c.state.Load() != running {
			return nil
		}
		if why := s.fromServer(kind, data); why != nil {
			s.c.mark(cut, why)
			return nil
		}
	}
}

// fromServer takes one event of the provider. It returns why the session has to
// end with it.
func (s *socket) fromServer(kind websocket.MessageType, data []byte) *reason {
	x, c := s.x, s.c
	var e openai.ServerEvent
	known := kind == websocket.MessageText && openai.ReadServerEvent(data, &e)
	s.mu.Lock()
	if x.answer.under != x.g.current.Load() || s.stale {
		s.stale = false
		x.reguard(c)
	}
	filtered := x.answer.filtered()
	var why *reason
	switch {
	case !known && filtered:
		why = &reason{ruling: x.answer.under, refused: looked(x.answer.verdict), detail: "A filter that is in force for now can not look at what the provider sent."}
	case known:
		why = s.follow(&e)
	}
	s.mu.Unlock()
	switch {
	case why != nil:
		return why
	case !filtered && len(x.answer.out) == 0 && x.answer.hit == nil:
		s.send(kind, data)
		return nil
	case filtered:
		x.scratch = appendEvent(x.scratch[:0], data)
		x.write(c, x.scratch)
		x.scratch = keep(x.scratch)
	default:
		x.answer.out = appendEvent(x.answer.out, data) // behind what was held until now
	}
	return s.release()
}

// appendEvent puts an event of the session into the form of a stream's, in which
// filters work. A line break can stand only between tokens there.
func appendEvent(b, data []byte) []byte {
	b = append(b, "data: "...)
	from := len(b)
	b = append(b, data...)
	for i := from; i < len(b); i++ {
		if b[i] == '\n' || b[i] == '\r' {
			b[i] = ' '
		}
	}
	return append(b, "\n\n"...)
}

// release sends what the filters have let out. It returns what they found.
func (s *socket) release() *reason {
	x := s.x
	if out := x.answer.out; len(out) > 0 {
		framer := wire.NewFramer(x.rt)
		x.each(out, func(event []byte) {
			if data, ok := framer.Data(event, nil); ok {
				s.send(websocket.MessageText, data)
			}
		})
		x.answer.out = x.answer.out[:0]
	}
	if hit := x.answer.hit; hit != nil {
		return x.found(x.answer.under, x.answer.hitter, hit)
	}
	return nil
}

// send sends a message to the client, unless the call was ended.
func (s *socket) send(kind websocket.MessageType, data []byte) {
	if s.c.state.Load() != running {
		return
	}
	s.x.deadline(s.c)
	if err := s.client.Write(context.Background(), kind, data); err != nil {
		s.c.depart()
	}
}

// tell answers an event of the client that is refused.
func (s *socket) tell(p *wire.Problem, event string) {
	if p.CorrectionID != "" {
		s.x.g.metrics.refused(p.Kind)
	}
	p.RequestID = s.x.id
	if s.c.state.Load() != running {
		return
	}
	s.raw.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := s.client.Write(context.Background(), websocket.MessageText, openai.AppendRealtimeError(nil, p, event)); err != nil {
		s.c.depart()
	}
}

// fromClient carries the client's events to the provider.
func (s *socket) fromClient() {
	for {
		kind, data, err := s.client.Read(context.Background())
		if err != nil {
			s.over = err
			s.c.depart()
			return
		}
		if s.c.state.Load() != running {
			return
		}
		if kind != websocket.MessageText {
			s.tell(&wire.Problem{Status: http.StatusBadRequest, Code: "binary_event", Title: "Event refused", Detail: "events are JSON in text messages"}, "")
			continue
		}
		out, p := s.decide(data)
		if s.c.state.Load() != running {
			return
		}
		if p != nil {
			s.tell(p, s.event.ID)
			continue
		}
		if s.up.Write(context.Background(), websocket.MessageText, out) != nil {
			return // the provider's side has ended, which the other goroutine sees
		}
	}
}

// ping finds out that a side has gone without a word.
func (s *socket) ping(ctx context.Context) {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, conn := range [...]*websocket.Conn{s.client, s.up} {
			within, done := context.WithTimeout(ctx, pongWithin)
			err := conn.Ping(within)
			done()
			if err != nil && ctx.Err() == nil {
				conn.CloseNow() // whoever reads from it ends the session
				return
			}
		}
	}
}

// end tells both sides that the session is over, and why.
func (s *socket) end(err error) {
	x, c := s.x, s.c
	var closed websocket.CloseError
	switch {
	case c.state.CompareAndSwap(running, done):
		s.up.CloseNow()
		if errors.As(err, &closed) {
			s.leave(closed.Code, closed.Reason)
			x.g.metrics.outcome(x, "ok")
			return
		}
		x.g.metrics.upstreamErrors.Inc()
		x.g.log.Warn("upstream broke off a realtime session", "request", x.id, "upstream", c.model.Upstream, "error", err)
		x.g.metrics.outcome(x, "broken")
		s.farewell(&wire.Problem{Status: http.StatusBadGateway, Code: "upstream_broke_off", Title: "Upstream failed", Detail: "the provider broke off the session", RequestID: x.id, Retry: true})
	case c.state.Load() == gone:
		s.up.CloseNow()
		s.client.CloseNow()
		x.g.metrics.outcome(x, "client_gone")
	default:
		s.mu.Lock()
		p := x.g.problem(c, c.why.Load())
		s.mu.Unlock()
		s.farewell(p)
		x.g.metrics.outcome(x, "cut")
		x.g.record(x, c, "cut", p.Status, p.Corrections)
	}
}

// farewell writes the last event and the close frame, and ends the provider's
// side between them.
func (s *socket) farewell(p *wire.Problem) {
	s.raw.SetWriteDeadline(time.Now().Add(farewellTime))
	s.client.Write(context.Background(), websocket.MessageText, openai.AppendRealtimeError(nil, p, ""))
	s.up.CloseNow()
	why := p.Code
	if p.CorrectionID != "" {
		why += " " + p.CorrectionID
	}
	s.leave(websocket.StatusCode(closePrivate+p.Status), why[:min(len(why), 120)])
	s.c.state.Store(done)
}

// leave writes the close frame and waits for the client's. A client that takes
// nothing any more must not hold this goroutine. Its time begins with the write: what
// a busy machine took before is not the client's.
func (s *socket) leave(code websocket.StatusCode, why string) {
	last := time.AfterFunc(farewellTime, func() { s.raw.Close() })
	defer last.Stop()
	s.raw.SetWriteDeadline(time.Now().Add(farewellTime))
	s.client.Close(code, why)
}

// closePrivate is the first of the codes of close frames that are free for
// applications; the HTTP status of the refusal is added.
const closePrivate = 4000

// limitReason is why a rate correction refuses more.
func limitReason(rl *ruling, rule *correction.Rule) *reason {
	return &reason{ruling: rl, refused: []*correction.Rule{rule}}
}

// looked are the rules of a verdict on whose behalf an answer is looked at.
func looked(v *correction.Verdict) []*correction.Rule {
	if len(v.Filters) > 0 {
		return v.Filters[:1]
	}
	return v.Guards[:min(len(v.Guards), 1)]
}

// injected is the event by which the provider is told a bound on output tokens
// for responses that nobody asks for one by one.
func (s *socket) injected(n int64) []byte {
	b := append([]byte(nil), `{"type":"session.update","event_id":"event_andon_`...)
	b = append(b, s.x.id...)
	if s.beta {
		b = append(b, `","session":{"max_response_output_tokens":`...)
	} else {
		b = append(b, `","session":{"type":"realtime","max_output_tokens":`...)
	}
	b = strconv.AppendInt(b, n, 10)
	return append(b, "}}"...)
}
