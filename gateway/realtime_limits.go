package gateway

import (
	"slices"
	"strings"
	"time"

	"andon/correction"
	"andon/gateway/limit"
	"andon/wire"
	"andon/wire/openai"
)

// reply is a response: what it has reserved under limits.
type reply struct{ grants []grant }

const mostTurns = 32 // that are asked for and have not come

// ask counts a response that the client asks for. Where several gateways share
// a limit it waits for this one's part, as a request does; it does not queue.
func (s *socket) ask(rl *ruling) *reason {
	began := time.Now()
	for {
		s.mu.Lock()
		why, wait := s.reserve(rl, &s.verdict, s.event.MaxTokens, time.Since(began) >= longestShare)
		if why == nil {
			if len(s.turns)-s.began > mostTurns {
				s.settle(s.turns[s.began], wire.Usage{}, 0, 0) // the provider did not take it up
				s.turns = slices.Delete(s.turns, s.began, s.began+1)
			}
		}
		s.mu.Unlock()
		if why == nil || wait == 0 {
			return why
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.x.r.Context().Done():
		}
		t.Stop()
		if s.c.state.Load() != running {
			return why
		}
	}
}

// reserve takes what one more response counts, from every bucket or from none.
// It returns why not, and when to ask again if other gateways may have left
// enough.
func (s *socket) reserve(rl *ruling, v *correction.Verdict, most int64, last bool) (*reason, time.Duration) {
	x, c := s.x, s.c
	if rule := s.step(v); rule != nil {
		return limitReason(rl, rule), 0
	}
	now := x.g.limits.Now(x.g.clock.mono())
	input := s.bytes/bytesPerToken + 1
	if most == 0 {
		most = unboundedAsks
	}
	if v.OutputTokens > 0 {
		most = min(most, v.OutputTokens)
	}
	most = min(most, 1<<40)
	var t reply
	for _, r := range v.Limits {
		params := &r.Correction.Params
		a := limit.Ask{N: 1, AtMost: true, Last: last}
		switch params.Metric {
		case "requests":
			a.AtMost = false
		case "input_tokens":
			a.N = input
		case "output_tokens":
			a.N = most
		case "total_tokens":
			a.N = input + most
		case "tool_calls":
			if c.req.Features&correction.Tools == 0 {
				a.N = 0
			}
		default:
			continue // of the whole session
		}
		g, no, ok := x.g.limits.Take(limit.Key{Rule: r.Correction.ID, Value: bucketOf(params.Per, &c.req)},
			limit.Spec{Limit: *params.Limit, Window: time.Duration(params.Window)}, now, a)
		if !ok {
			for i := range t.grants {
				t.grants[i].Free(now)
			}
			s.unstep()
			c.retryAfter = no.Wait
			if no.Share && !last {
				return limitReason(rl, r), max(no.Wait, time.Millisecond)
			}
			return limitReason(rl, r), 0
		}
		t.grants = append(t.grants, grant{g, params.Metric, input})
	}
	s.turns = append(s.turns, t)
	return nil, 0
}

// step counts one more step of the session under bounds on its autonomy. It
// returns the rule that allows none.
func (s *socket) step(v *correction.Verdict) *correction.Rule {
	x := s.x
	mono := x.g.clock.mono()
	for _, w := range x.acct.work {
		if w.parallel {
			continue
		}
		a := w.of
		a.mu.Lock()
		a.parallel-- // it does not stand in its own way
		for _, r := range v.Sessions {
			if name := a.over(r, false, mono, x.acct.price != nil); name != "" {
				a.full = name != sessionParallel
				a.parallel++
				a.mu.Unlock()
				return r
			}
		}
		a.parallel++
		a.steps++
		a.last = mono
		a.mu.Unlock()
	}
	return nil
}

func (s *socket) unstep() { s.agencies(func(a *agency) { a.steps-- }) }

func (s *socket) agencies(fn func(*agency)) {
	for _, w := range s.x.acct.work {
		if !w.parallel {
			w.of.mu.Lock()
			fn(w.of)
			w.of.mu.Unlock()
		}
	}
}

func (s *socket) settle(t reply, u wire.Usage, events, calls int64) {
	now := s.x.g.limits.Now(s.x.g.clock.mono())
	for i := range t.grants {
		t.grants[i].settle(now, u, events, calls)
	}
}

// follow takes what an event of the provider counts, and what it brings. It
// returns why the session ends.
func (s *socket) follow(e *openai.ServerEvent) *reason {
	switch {
	case e.Type == "response.created":
		if s.began == len(s.turns) { // nobody asked for it: the provider has heard a turn's end
			rl, v := s.now()
			if why, _ := s.reserve(rl, v, 0, true); why != nil {
				return why
			}
		}
		s.began++
		s.deltas = 0
	case strings.HasSuffix(e.Type, ".delta"):
		s.deltas++
	case e.Type == "response.done":
		s.calls += e.Calls
		s.use(e.Usage, e.Calls)
		if s.began == 0 {
			break
		}
		s.settle(s.turns[0], e.Usage, s.deltas, e.Calls)
		s.turns = slices.Delete(s.turns, 0, 1)
		if s.began--; len(s.turns) == 0 && !s.asking {
			s.turn = facts{}
			q := s.c.req
			if s.sum(&q, s.session, s.turn); q.Features != s.c.req.Features || len(q.Tools) != len(s.c.req.Tools) {
				s.state(&q, s.c.others)
			}
		}
	case e.Used && e.Type == "conversation.item.input_audio_transcription.completed":
		rl, v := s.now()
		if why := s.count(rl, v, e.Usage); why != nil {
			return why
		}
		s.use(e.Usage, 0)
	}
	if !e.Sound {
		return nil
	}
	if s.c.req.Features&correction.AudioOutput == 0 {
		s.session.features |= correction.AudioOutput
		q := s.c.req
		q.Features |= correction.AudioOutput
		s.state(&q, s.c.others)
	}
	if why := s.forbidden(); why != nil {
		return why
	}
	if r := filters(&s.heard, false); r != nil {
		return &reason{ruling: s.x.g.current.Load(), refused: []*correction.Rule{r}, detail: "A filter on answers is in force for now, and can not listen to sound."}
	}
	return nil
}

// forbidden decides on the session as it runs.
func (s *socket) forbidden() *reason {
	rl := s.x.g.current.Load()
	q := s.c.req
	q.Live = true
	at, _ := s.x.g.clock.span()
	rl.policy.Decide(&q, at, &s.heard)
	if !s.heard.Allowed() {
		return &reason{ruling: rl, refused: slices.Clone(s.heard.Refused)}
	}
	if refused := s.c.decideOthers(rl, at, true, &s.heard); refused != nil {
		return &reason{ruling: rl, refused: slices.Clone(refused)}
	}
	return nil
}

// now decides on a response that the provider makes unasked. Of the verdict, only
// limits count, which a running call does not have: sweeps see to the rest.
func (s *socket) now() (*ruling, *correction.Verdict) {
	rl := s.x.g.current.Load()
	q := s.c.req
	q.Continues = true
	at, _ := s.x.g.clock.span()
	v := &s.heard
	rl.policy.Decide(&q, at, v)
	return rl, v
}

// count takes tokens that were used outside of a response.
func (s *socket) count(rl *ruling, v *correction.Verdict, u wire.Usage) *reason {
	now := s.x.g.limits.Now(s.x.g.clock.mono())
	for _, r := range v.Limits {
		params := &r.Correction.Params
		n := int64(0)
		switch params.Metric {
		case "input_tokens":
			n = u.Input
		case "output_tokens":
			n = u.Output
		case "total_tokens":
			n = u.Input + u.Output
		default:
			continue
		}
		g, no, ok := s.x.g.limits.Take(limit.Key{Rule: r.Correction.ID, Value: bucketOf(params.Per, &s.c.req)},
			limit.Spec{Limit: *params.Limit, Window: time.Duration(params.Window)}, now, limit.Ask{N: n, AtMost: true, Last: true})
		if !ok {
			s.c.retryAfter = no.Wait
			return limitReason(rl, r)
		}
		g.Settle(now, n)
	}
	return nil
}

// use adds to what the session has used.
func (s *socket) use(u wire.Usage, calls int64) {
	s.total.Input += u.Input
	s.total.Output += u.Output
	cost := 0.0
	if p := s.x.acct.price; p != nil {
		cost = p.of(u.Input, u.Output)
	}
	s.spent += cost
	s.agencies(func(a *agency) {
		a.spend += cost
		a.toolCalls += calls
	})
}

// keep lets go of what was reserved for tokens when the session was opened:
// each response reserves its own.
func (s *socket) keep() {
	x := s.x
	now := x.g.limits.Now(x.g.clock.mono())
	x.grants = slices.DeleteFunc(x.grants, func(g grant) bool {
		switch g.metric {
		case "input_tokens", "output_tokens", "total_tokens", "tool_calls":
			g.Free(now)
			return true
		}
		return false
	})
}

// account settles what is left when the session is over. What was counted
// response by response is not counted again.
func (s *socket) account() {
	x := s.x
	s.mu.Lock()
	defer s.mu.Unlock()
	now := x.g.limits.Now(x.g.clock.mono())
	for i, t := range s.turns {
		if i < s.began {
			s.settle(t, wire.Usage{}, s.deltas, 0)
			continue
		}
		for k := range t.grants {
			t.grants[k].Free(now)
		}
	}
	x.usage, x.acct.input = s.total, 0
	x.acct.outcome.ToolCalls = s.calls
	s.agencies(func(a *agency) {
		a.toolCalls -= s.calls
		a.spend -= s.spent
	})
}
