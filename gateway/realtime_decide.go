package gateway

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"andon/correction"
	"andon/gateway/filter"
	"andon/wire"
	"andon/wire/openai"
)

// facts are what a part of a session brings into decisions.
type facts struct {
	features correction.Features
	offered  correction.Features // of the tools on its list
	tools    []string
}

// decide takes one event of the client. It returns the event as it goes on, or
// why it does not.
func (s *socket) decide(data []byte) ([]byte, *wire.Problem) {
	c, e := s.c, &s.event
	s.size = int64(len(data))
	if err := openai.ReadClientEvent(data, e); err != nil {
		if p := wire.AsProblem(err); p != nil {
			return nil, p
		}
		return nil, &wire.Problem{Status: http.StatusBadRequest, Code: "invalid_event", Title: "Event refused", Detail: err.Error()}
	}
	others, p := s.models(e)
	if p != nil {
		return nil, p
	}
	s.mu.Lock()
	before := standing{s.session, s.turn, c.req.Features, c.req.Tools, c.others}
	s.asking = e.Creates()
	s.mu.Unlock()
	out, p := s.admit(data, others)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = false
	if p != nil {
		s.revert(&before)
		return nil, p
	}
	c.asked.prompts.note(s.x.rt.API, data, e.System)
	if c.state.Load() == running {
		s.note(e)
	}
	return out, nil
}

// admit decides until nothing comes into force meanwhile.
func (s *socket) admit(data []byte, others []*model) ([]byte, *wire.Problem) {
	x := s.x
	for range maxHops {
		rl := x.g.current.Load()
		if why := s.judge(rl, data, others); why != nil {
			return nil, s.problem(why)
		}
		out, why := s.look(rl, data)
		if why != nil {
			return nil, s.problem(why)
		}
		if x.g.current.Load() != rl {
			continue // it has not gone on: what came into force holds for it
		}
		if s.event.Creates() {
			if why := s.ask(rl); why != nil {
				return nil, s.problem(why)
			}
		}
		return s.rewrite(out)
	}
	return nil, &wire.Problem{Status: http.StatusServiceUnavailable, Code: "busy", Title: "Event refused", Detail: "what is in force changes too quickly: send the event again", Retry: true}
}

// standing is what a session brought into decisions before an event.
type standing struct {
	session, turn facts
	features      correction.Features
	tools         []string
	others        []*model
}

// revert takes back what an event would have brought that did not go on. What
// came into force meanwhile has not seen what stands again.
func (s *socket) revert(b *standing) {
	c := s.c
	s.session, s.turn = b.session, b.turn
	if b.features == c.req.Features && slices.Equal(b.tools, c.req.Tools) && len(b.others) == len(c.others) {
		return
	}
	q := c.req
	q.Features, q.Tools = b.features, b.tools
	s.state(&q, b.others)
	s.under = nil
	if why := s.forbidden(); why != nil {
		if w, ok := c.mark(cut, why); ok {
			w.wake()
		}
	}
}

func (s *socket) problem(why *reason) *wire.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.x.g.problem(s.c, why)
	s.x.g.record(s.x, s.c, action(p), p.Status, p.Corrections)
	return p
}

// models finds what the event's names stand for: the session's own model and no
// other, and those that serve beside it.
func (s *socket) models(e *openai.ClientEvent) (others []*model, p *wire.Problem) {
	g, m := s.x.g, s.c.model
	if e.Model != "" && !m.account {
		named := g.resolve(e.Model)
		same := func(o *model) bool { return named.Name == o.Name && named.UpstreamModel == o.UpstreamModel }
		if named == nil || !same(m) && !same(s.c.asked) {
			return nil, &wire.Problem{Status: http.StatusBadRequest, Code: "model_mismatch", Title: "Event refused", Param: "model",
				Detail: "this session was opened with the model " + strconv.Quote(s.c.asked.Name) + ", and can not change it: open another one"}
		}
	}
	names := e.Others
	if e.Model != "" && m.account {
		names = append(names, e.Model)
	}
	for _, name := range names {
		o := g.resolve(name)
		if o == nil || !o.serves(s.x.wr.Name()) || o.Upstream != m.Upstream || o.UpstreamModel != name {
			return nil, unknownModel(name)
		}
		others = append(others, o)
	}
	return others, nil
}

// judge decides on the event, with what it brings, and on the session as it will be. What
// it brings stands in the registry from here on, so that sweeps see it.
func (s *socket) judge(rl *ruling, data []byte, others []*model) *reason {
	x, c, e := s.x, s.c, &s.event
	s.mu.Lock()
	defer s.mu.Unlock()
	session, turn := s.session, s.turn
	const tools = wire.AllTools | wire.UnknownTool
	switch {
	case e.Session:
		if e.Offers {
			session.offered, session.tools = e.Features&tools, cloned(e.Tools)
			session.features |= e.Features &^ tools
		} else {
			session.features |= e.Features
		}
	case e.Creates():
		turn.features |= e.Features
		turn.tools = append(slices.Clip(turn.tools), cloned(e.Tools)...)
	default:
		session.features |= e.Features
		session.tools = append(slices.Clip(session.tools), cloned(e.Tools)...)
	}
	voice := s.voice
	if e.Session && e.Voice != openai.Unsaid {
		voice = e.Voice
	} else if e.Voice != openai.Unsaid {
		voice = e.Voice // of this response alone
	}
	transcribes := s.transcribes || e.Session && e.Transcribes
	speaks := voice != openai.Silent && !transcribes && (e.Creates() || e.Audio)
	if speaks {
		turn.features |= correction.AudioOutput
	}
	q := s.base
	s.sum(&q, session, turn)
	q.Optional, q.OptionalTools = 0, nil
	q.Effort, q.Temperature, q.OutputTokens = e.Effort, e.Temperature, e.MaxTokens
	q.Messages = s.items
	if e.Type == "conversation.item.create" {
		q.Messages++
	}
	q.InputTokens = s.bytes/bytesPerToken + 1
	if !e.Audio {
		q.InputTokens += int64(len(data)) / bytesPerToken
	}
	all := c.others
	for _, o := range others {
		if !slices.Contains(all, o) {
			all = append(slices.Clip(all), o)
		}
	}
	changed := q.Features != c.req.Features || !slices.Equal(q.Tools, c.req.Tools) || len(all) != len(c.others)
	if s.under == rl && !changed && !e.Creates() && !e.Session && e.Type != "conversation.item.create" {
		return nil
	}
	q.Continues = true
	now, _ := x.g.clock.span()
	rl.policy.Decide(&q, now, &s.verdict)
	s.under = rl
	if !s.verdict.Allowed() {
		s.under = nil
		return &reason{ruling: rl, refused: slices.Clone(s.verdict.Refused)}
	}
	if len(all) > 0 {
		if refused := (&call{req: q, others: all}).decideOthers(rl, now, false, &s.verdict); refused != nil {
			s.under = nil
			return &reason{ruling: rl, refused: slices.Clone(refused)}
		}
	}
	if e.Audio {
		if r := filters(&s.verdict, true); r != nil {
			return &reason{ruling: rl, refused: []*correction.Rule{r}, detail: "A filter on prompts is in force for now, and can not listen: send text."}
		}
	}
	if speaks {
		if r := filters(&s.verdict, false); r != nil {
			return &reason{ruling: rl, refused: []*correction.Rule{r}, detail: `A filter on answers is in force for now, and can not listen: ask for "output_modalities": ["text"].`}
		}
	}
	if changed {
		s.state(&q, all)
	}
	s.session, s.turn = session, turn
	return nil
}

// sum writes into q what the session, and the responses that it makes, use.
func (s *socket) sum(q *correction.Request, session, turn facts) {
	q.Features = s.base.Features | session.features | session.offered | turn.features
	q.Tools = append(slices.Clip(append(slices.Clip(s.base.Tools), session.tools...)), turn.tools...)
}

// state puts what the session brings in its place in the registry.
func (s *socket) state(q *correction.Request, others []*model) {
	g, c := s.x.g, s.c
	g.live.remove(c)
	c.req.Features, c.req.Tools, c.others = q.Features, q.Tools, others
	g.live.add(c)
	s.x.under, s.stale = nil, true
}

func cloned(list []string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strings.Clone(v)
	}
	return out
}

// filters returns the first filter on texts of one direction.
func filters(v *correction.Verdict, input bool) *correction.Rule {
	for _, r := range v.Filters {
		if d := r.Filter().Direction; d == "both" || (d == "input") == input {
			return r
		}
	}
	return nil
}

// look holds the event against the filters on prompts. It returns the event as
// it may go on, or why it does not.
func (s *socket) look(rl *ruling, data []byte) ([]byte, *reason) {
	x, e := s.x, &s.event
	if e.Audio || len(s.verdict.Filters) == 0 {
		return data, nil
	}
	p, broken := rl.guards(&s.verdict, true)
	if broken != nil {
		return nil, cannotLook(rl, broken)
	}
	if p.none() {
		return data, nil
	}
	ctx := x.r.Context()
	if _, hit := p.hold.Input(ctx, x.wr, x.rt, data); hit != nil {
		rule := ruleOf(&s.verdict, hit.ID)
		s.mu.Lock()
		waiting := &call{req: s.c.req} // the call's own place to wait is the other goroutine's
		s.mu.Unlock()
		if hit.Cause == filter.Unreadable || !x.await(waiting, rule, "input", x.excerpt(rl, rule, data, true)) {
			return nil, x.found(rl, rule, hit)
		}
	}
	out, hit := p.main.Input(ctx, x.wr, x.rt, data)
	if hit != nil {
		return nil, x.found(rl, ruleOf(&s.verdict, hit.ID), hit)
	}
	if len(out) == len(data) && &out[0] == &data[0] {
		return data, nil
	}
	out = slices.Clone(out)
	if err := openai.ReadClientEvent(out, e); err != nil {
		return nil, &reason{status: http.StatusBadRequest, code: "cannot_redact", detail: err.Error()}
	}
	return out, nil
}

// rewrite puts the model's name and the clamps into the event, and tells the
// provider a clamp for the whole session first, where it does not know it yet.
func (s *socket) rewrite(data []byte) ([]byte, *wire.Problem) {
	e, v := &s.event, &s.verdict
	ch := wire.Change{Temperature: -1}
	if n := v.OutputTokens; n > 0 {
		switch {
		case e.Bound:
			ch.OutputTokens = n
		case (s.bound == 0 || s.bound > n) && !s.transcribes:
			s.up.Write(context.Background(), websocket.MessageText, s.injected(n))
			s.bound = n
		}
	}
	if e.Session && e.Bound {
		if s.bound = e.MaxTokens; e.MaxNull.End > 0 {
			s.bound = 0
		}
		if n := v.OutputTokens; n > 0 && (s.bound == 0 || s.bound > n) {
			s.bound = n
		}
	}
	if t := v.Temperature; t >= 0 && e.TempAt.End > 0 {
		ch.Temperature = t
	}
	if m := s.c.model; e.ModelAt.End > 0 && !m.account && e.Model != m.UpstreamModel {
		ch.Model = m.UpstreamModel
	}
	if ch.Model == "" && unchanged(&ch) {
		return data, nil
	}
	var err error
	if s.sent, err = wire.Rewrite(s.sent[:0], data, &e.Envelope, &ch); err != nil {
		return nil, &wire.Problem{Status: http.StatusBadRequest, Code: "cannot_clamp", Title: "Event can not be clamped", Detail: err.Error()}
	}
	return s.sent, nil
}

// note remembers what an event that goes on has changed.
func (s *socket) note(e *openai.ClientEvent) {
	if e.Session {
		if e.Voice != openai.Unsaid {
			s.voice = e.Voice
		}
		s.transcribes = s.transcribes || e.Transcribes
	}
	if !e.Audio {
		s.bytes += s.size
	}
	if e.Type == "conversation.item.create" {
		s.items++
	}
}
