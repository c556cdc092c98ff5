package gateway

import (
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/correction"
	"andon/wire"
)

// autonomy is the sessions whose autonomy is bounded: clamps session_steps,
// session_tool_calls, session_seconds, session_spend and session_parallel. A
// step is a call; tool calls are those that the answers begin; seconds run from the
// session's first call; spend is tokens at the configured prices.
//
// A session is known by what the provider calls it: a response, a conversation
// or a container that the call goes on with, or the session that its metadata
// name. Ids in an answer are tied to the session of its call, so that a chain of
// responses is one session. A call that has no id goes on with the conversation of its
// caller and model that begins with the same first message, if it carries earlier
// turns; else it begins a session.
//
// What is counted is counted from when a correction that bounds sessions reaches
// the call, on this gateway, and until it was idle for 24 hours or the gateway
// restarts. A clamp of parallel calls is about many agents at once, and whoever hides
// that they belong together must not gain by it: so calls without an id count by
// their caller (org, key and user) together.
//
// Not seen through: a caller that sends a new id of its own, or changes the first
// message, with every call begins a session each time. Rate corrections by key or
// user hold all the same.
//
// There is room for 2^18 names. Beyond it those make room that have reached no bound
// and of which nothing runs: the ones of the fewest steps first, so that many new names
// do not push out what has been counted for long. Where there is none, no
// further session begins.
type autonomy struct {
	seed   maphash.Seed
	timed  atomic.Int64 // running calls with an end
	shards [autonomyShards]autonomyShard
}

type autonomyShard struct {
	mu    sync.Mutex
	names map[uint64]*agency
	_     [48]byte
}

const (
	autonomyShards = 64
	autonomyNames  = 1 << 18 / autonomyShards
	autonomyIdle   = int64(24 * time.Hour)
	watchEvery     = 100 * time.Millisecond
	mostSessions   = 4 // that one call can go on with
)

// agency is what one session has used of its autonomy.
type agency struct {
	mu        sync.Mutex
	began     int64 // monotonic
	last      int64
	steps     int64
	toolCalls int64
	parallel  int64
	spend     float64 // USD; what running calls are expected to spend included
	full      bool    // a bound was reached: it is not forgotten early
}

// work is a call's part in a session.
type work struct {
	of       *agency
	parallel bool // only parallel calls are counted: it is the caller's, and not a session
	expected float64
}

// ending is when a running call has to end, and why.
type ending struct {
	at   int64
	rule *correction.Rule
	why  *reason
}

// The clamps over a session.
const (
	sessionSteps     = "session_steps"
	sessionToolCalls = "session_tool_calls"
	sessionSeconds   = "session_seconds"
	sessionSpend     = "session_spend"
	sessionParallel  = "session_parallel"
)

// onlySession reports whether a rule clamps nothing but sessions.
func onlySession(r *correction.Rule) bool {
	for name := range r.Correction.Params.Clamp {
		if !strings.HasPrefix(name, "session_") {
			return false
		}
	}
	return len(r.Correction.Params.Clamp) > 0
}

// enter counts the call in the sessions that it goes on with. It returns why the
// call is refused, and the model that may serve instead.
func (x *exchange) enter(c *call, rl *ruling) (*reason, string) {
	x.acct.call = c
	x.leave(false) // of an attempt before this
	x.acct.outcome, x.acct.tied, x.usage, x.counted = wire.Outcome{}, [3]string{}, wire.Usage{}, 0
	rules := x.verdict.Sessions
	var shadows []*correction.Rule
	for _, r := range x.verdict.Shadow {
		if onlySession(r) {
			shadows = append(shadows, r)
		}
	}
	if len(rules) == 0 && len(shadows) == 0 {
		return nil, ""
	}
	g := x.g
	mono := g.clock.mono()
	works, ok := x.sessions(c, mono)
	if !ok {
		if len(rules) == 0 {
			return nil, ""
		}
		return &reason{ruling: rl, refused: slices.Clone(rules[:1])}, fallbackOf(rules[0])
	}
	price := c.model.Price
	expected := 0.0
	if price != nil {
		in, total := x.estimate("total_tokens")
		expected = price.of(in, total-in)
		x.acct.input = in
	}
	var end *ending
	var would []string
	for _, w := range works {
		a := w.of
		a.mu.Lock()
		for _, r := range shadows {
			if name := a.over(r, w.parallel, mono, price != nil); name != "" {
				would = append(would, r.Correction.ID)
			}
		}
		for _, r := range rules {
			name := a.over(r, w.parallel, mono, price != nil)
			if name == "" {
				if n, ok := r.Correction.Params.Clamp[sessionSeconds]; ok && !w.parallel {
					if at := a.began + int64(n*1e9); end == nil || at < end.at {
						end = &ending{at, r, &reason{ruling: rl, refused: []*correction.Rule{r}}}
					}
				}
				continue
			}
			a.full = name != sessionParallel
			a.mu.Unlock()
			x.leave(false)
			if name == sessionSpend && price == nil {
				return &reason{ruling: rl, status: http.StatusUnprocessableEntity, code: "andon_no_price",
					detail: "the correction " + r.Correction.ID + " bounds what a session spends, and this gateway's configuration has no price for the model " + strconv.Quote(c.model.Name)}, fallbackOf(r)
			}
			return &reason{ruling: rl, refused: []*correction.Rule{r}}, fallbackOf(r)
		}
		a.last = mono
		a.parallel++
		if !w.parallel {
			a.steps++
			a.spend += expected
			w.expected = expected
		}
		a.mu.Unlock()
		x.acct.work = append(x.acct.work, w)
	}
	x.acct.price = price
	x.shadowed(c, would)
	g.autonomy.timed.Add(present(end) - present(c.end.Swap(end)))
	return nil, ""
}

// over returns the bound of a rule that one more call of the session would
// break, or "".
func (a *agency) over(r *correction.Rule, caller bool, mono int64, priced bool) string {
	clamp := r.Correction.Params.Clamp
	if n, ok := clamp[sessionParallel]; ok && float64(a.parallel) >= n {
		return sessionParallel
	}
	if caller {
		return ""
	}
	if n, ok := clamp[sessionSteps]; ok && float64(a.steps) >= n {
		return sessionSteps
	}
	if n, ok := clamp[sessionToolCalls]; ok && float64(a.toolCalls) >= n {
		return sessionToolCalls
	}
	if n, ok := clamp[sessionSeconds]; ok && float64(mono-a.began) >= n*1e9 {
		return sessionSeconds
	}
	if n, ok := clamp[sessionSpend]; ok && (!priced || a.spend >= n) {
		return sessionSpend
	}
	return ""
}

// sessions finds the sessions that a call goes on with, or begins one. It
// reports false if there is no room for it.
func (x *exchange) sessions(c *call, mono int64) (works []work, ok bool) {
	t, e := &x.g.autonomy, &x.env
	add := func(a *agency, parallel bool) {
		for _, w := range works {
			if w.of == a {
				return
			}
		}
		if a != nil {
			works = append(works, work{of: a, parallel: parallel})
		}
	}
	if len(e.Session) > 0 {
		for _, id := range e.Session[:min(len(e.Session), mostSessions)] {
			a := t.find(t.name(c, id), mono)
			if a == nil {
				return nil, false
			}
			add(a, false)
		}
		return works, true
	}
	name := x.session(c) ^ 1 // the table's names are hashes alike
	var a *agency
	if e.Prior {
		a = t.find(name, mono)
	} else {
		a = t.put(name, &agency{began: mono, last: mono}, mono)
	}
	caller := t.find(t.caller(c), mono)
	if a == nil || caller == nil {
		return nil, false
	}
	add(a, false)
	add(caller, true)
	return works, true
}

// name hashes an id. One that the provider has given out is known by the provider
// that knows it; one of the caller's own only with its caller, so that nobody can
// use up another one's session.
func (t *autonomy) name(c *call, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	h.WriteString(c.model.Upstream)
	if strings.HasPrefix(id, "metadata:") {
		writeCaller(&h, c)
	}
	h.WriteByte(0)
	h.WriteString(id)
	return h.Sum64()
}

func (t *autonomy) caller(c *call) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	h.WriteString("caller")
	writeCaller(&h, c)
	h.WriteByte(0)
	h.WriteString(userOf(&c.req))
	return h.Sum64()
}

func writeCaller(h *maphash.Hash, c *call) {
	h.WriteByte(0)
	h.WriteString(c.req.Org)
	h.WriteByte(0)
	h.WriteString(c.req.Key)
}

// find returns the session of a name, and begins one where there is none; nil
// if there is no room.
func (t *autonomy) find(name uint64, mono int64) *agency {
	s := &t.shards[name%autonomyShards]
	s.mu.Lock()
	a := s.names[name]
	s.mu.Unlock()
	if a == nil {
		a = t.put(name, &agency{began: mono, last: mono}, mono)
	}
	return a
}

// put gives a name to a session.
func (t *autonomy) put(name uint64, a *agency, mono int64) *agency {
	s := &t.shards[name%autonomyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[uint64]*agency{}
	}
	if s.names[name] == nil && len(s.names) >= autonomyNames && !s.evictLocked(mono) {
		return nil
	}
	s.names[name] = a
	return a
}

// evictLocked makes room: the one of the fewest steps, and of those the one that
// was idle longest, of a sample or else of all, among those that may go.
func (s *autonomyShard) evictLocked(mono int64) bool {
	var least uint64
	var steps, since int64
	seen, found := 0, false
	for name, a := range s.names {
		a.mu.Lock()
		spare := a.parallel == 0 && (!a.full || mono-a.last > autonomyIdle)
		n, last := a.steps, a.last
		a.mu.Unlock()
		if spare && (!found || n < steps || n == steps && last < since) {
			least, steps, since, found = name, n, last, true
		}
		if seen++; seen >= 64 && found {
			break
		}
	}
	if found {
		delete(s.names, least)
	}
	return found
}

// sweep forgets sessions that were idle for a day.
func (t *autonomy) sweep(mono int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for name, a := range s.names {
			a.mu.Lock()
			idle := a.parallel == 0 && mono-a.last > autonomyIdle
			a.mu.Unlock()
			if idle {
				delete(s.names, name)
			}
		}
		s.mu.Unlock()
	}
}

// follow reads from an answer, or from the data of one event, what its session
// counts, and ties the answer's ids to it: what goes on with them goes on with it.
func (x *exchange) follow(data []byte) {
	o := &x.acct.outcome
	x.wr.Outcome(x.rt, data, o)
	if len(x.acct.work) == 0 {
		return
	}
	for i, id := range [...]struct{ kind, id string }{{"response:", o.ID}, {"conversation:", o.Conversation}, {"container:", o.Container}} {
		if id.id != "" && x.acct.tied[i] != id.id {
			x.acct.tied[i] = id.id
			t := &x.g.autonomy
			t.put(t.name(x.acct.call, id.kind+id.id), x.acct.work[0].of, x.g.clock.mono())
		}
	}
}

// leave ends the call's part in its sessions: as counted, if it reached the
// provider, or as if it had not been.
func (x *exchange) leave(counted bool) {
	if c := x.acct.call; c != nil {
		x.g.autonomy.timed.Add(-present(c.end.Swap(nil)))
	}
	if len(x.acct.work) == 0 {
		return
	}
	mono := x.g.clock.mono()
	spent := 0.0
	if p := x.acct.price; p != nil {
		in, out := x.used()
		spent = p.of(in, out)
	}
	for _, w := range x.acct.work {
		a := w.of
		a.mu.Lock()
		a.parallel--
		a.last = mono
		switch {
		case w.parallel:
		case counted:
			a.spend += spent - w.expected
			a.toolCalls += x.acct.outcome.ToolCalls
		default:
			a.steps--
			a.spend -= w.expected
		}
		a.mu.Unlock()
	}
	x.acct.work = x.acct.work[:0]
}

// used is what the call has used, or as much as can be said of it.
func (x *exchange) used() (input, output int64) {
	if input = x.usage.Input; input == 0 {
		input = x.acct.input
	}
	return input, max(x.usage.Output, min(x.counted, 1<<31))
}

// watch ends the calls whose sessions have run for too long, as a sweep would:
// it marks them, and wakes their goroutines, which write the end of their streams.
func (t *autonomy) watch(g *Gateway) {
	if t.timed.Load() <= 0 {
		return
	}
	mono := g.clock.mono()
	var over []waker
	g.live.all(func(c *call) {
		if e := c.end.Load(); e != nil && mono >= e.at {
			if w, ok := c.mark(cut, e.why); ok {
				over = append(over, w)
			}
		}
	})
	if len(over) > 0 {
		wakeAll(over)
		g.metrics.cuts.Add(float64(len(over)))
		time.AfterFunc(g.patience, g.force)
	}
}

// bound gives a running call the end that sessions have under a new ruling.
// Under a correction by which it was not counted yet, it counts from now.
func (t *autonomy) bound(c *call, v *correction.Verdict, rl *ruling, mono int64) {
	old := c.end.Load()
	if old == nil && len(v.Sessions) == 0 {
		return
	}
	var next *ending
	for _, r := range v.Sessions {
		n, ok := r.Correction.Params.Clamp[sessionSeconds]
		if !ok {
			continue
		}
		e := old
		if old == nil || old.rule.Correction.ID != r.Correction.ID {
			e = &ending{mono + int64(n*1e9), r, &reason{ruling: rl, refused: []*correction.Rule{r}}}
		}
		if next == nil || e.at < next.at {
			next = e
		}
	}
	if next != old && c.end.CompareAndSwap(old, next) {
		t.timed.Add(present(next) - present(old))
	}
}

func present(e *ending) int64 {
	if e == nil {
		return 0
	}
	return 1
}

// Price is what a model's tokens cost, in USD for a million.
type Price struct{ InputPerM, OutputPerM float64 }

func (p *Price) of(input, output int64) float64 {
	return (float64(input)*p.InputPerM + float64(output)*p.OutputPerM) / 1e6
}
