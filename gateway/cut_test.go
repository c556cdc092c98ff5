package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// One wire's way of asking for a stream, and the mark of its terminal error.
var streamed = []struct {
	wire, path, body, end string
}{
	{"chat", "/v1/chat/completions", `{"model":"sim-large","stream":true,"messages":[{"role":"user","content":"sim: tokens=5000 interval=20ms"}]}`, `data: {"error":{`},
	{"responses", "/v1/responses", `{"model":"sim-large","stream":true,"input":"sim: tokens=5000 interval=20ms"}`, `"error"`},
	{"messages", "/v1/messages", `{"model":"sim-large","max_tokens":9000,"stream":true,"messages":[{"role":"user","content":"sim: tokens=5000 interval=20ms"}]}`, "event: error\ndata: {"},
	{"gemini", "/v1beta/models/sim-large:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"sim: tokens=5000 interval=20ms"}]}]}`, `data: {"error":{`},
}

func TestStopCutsRunningStreamsOnEveryWire(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	var all []*stream
	for _, c := range streamed {
		st := openStream(t, g, c.path, c.body)
		if st.resp.StatusCode != 200 {
			t.Fatalf("%s: status %d", c.wire, st.resp.StatusCode)
		}
		st.next(t)
		all = append(all, st)
	}
	other := openStream(t, g, "/v1/chat/completions", strings.Replace(streamed[0].body, "sim-large", "sim-small", 1))
	other.next(t)
	active(t, s, len(streamed)+1)

	id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test","public_reason":"under investigation"}`)
	for i, st := range all {
		events := st.rest(t)
		if st.err != nil {
			t.Errorf("%s: broken instead of ended: %v", streamed[i].wire, st.err)
		}
		if len(events) == 0 {
			t.Errorf("%s: no terminal event", streamed[i].wire)
			continue
		}
		last := events[len(events)-1]
		for _, want := range []string{streamed[i].end, id, "under investigation", "andon_correction"} {
			if !strings.Contains(last, want) {
				t.Errorf("%s: terminal event lacks %q: %s", streamed[i].wire, want, last)
			}
		}
	}
	active(t, s, 1) // the provider's side is closed, and only what was forbidden
	other.next(t)
	a := send(t, g, "/v1/chat/completions", chat("large", "hello", `,"stream":true`))
	if a.status != 200 || a.header.Get("Andon-Fallback-From") != "sim-large" || a.header.Get("Andon-Model") != "sim-small" {
		t.Errorf("after the stop, by alias: %d %v", a.status, a.header)
	}
	p.lift(1, id)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 200 || a.header.Get("Andon-Fallback-From") != "" {
		t.Errorf("after lifting: %d %v", a.status, a.header)
	}
}

func TestWaitingCallGetsTheRefusalOrTheFallback(t *testing.T) {
	for _, c := range []struct {
		fallback string
		status   int
	}{{"none", 503}, {"", 200}} {
		t.Run("fallback "+c.fallback, func(t *testing.T) {
			p, s := newPlane(t), startSim(t)
			g := p.start(s, nil)
			got := make(chan answer, 2)
			go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=100 interval=300ms")) }()
			go func() { // a stream that has not begun is still waiting
				if c.fallback == "" {
					return
				}
				got <- send(t, g, "/v1beta/models/sim-large:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"sim: tokens=100 first=30s"}]}]}`)
			}()
			active(t, s, 1+len(c.fallback)/4)
			started := time.Now()
			// The fallback is slow for the same text, so it is asked for less.
			p.apply(1, `{"kind":"capability","params":{"clamp":{"output_tokens":3}},"scope":{"models":["sim-small"]},"reason":"test"}`)
			p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"`+c.fallback+`"}`)
			if c.fallback == "none" {
				for range 2 {
					a := <-got
					if a.status != c.status || !strings.Contains(a.body, "andon_correction") || a.header.Get("X-Should-Retry") != "false" {
						t.Errorf("%d %s %v", a.status, a.body, a.header)
					}
				}
				if time.Since(started) > 25*time.Second {
					t.Error("the refusal came when the call would have ended by itself")
				}
				active(t, s, 0)
				return
			}
			a := <-got
			if a.status != c.status || a.header.Get("Andon-Fallback-From") != "sim-large" || a.header.Get("Andon-Corrections") == "" {
				t.Errorf("%d %s %v", a.status, a.body, a.header)
			}
		})
	}
}

func TestRevokedKeyEndsItsCalls(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	st := openStream(t, g, streamed[0].path, streamed[0].body)
	st.next(t)
	p.revoke(1, "k-1")
	events := st.rest(t)
	if last := events[len(events)-1]; !strings.Contains(last, "invalid_api_key") {
		t.Errorf("terminal event: %s", last)
	}
	if a := send(t, g, streamed[0].path, streamed[0].body); a.status != http.StatusUnauthorized {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
	active(t, s, 0)
}

func TestClientThatGoesAwayEndsTheProvidersSide(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	st := openStream(t, g, streamed[0].path, streamed[0].body)
	st.next(t)
	active(t, s, 1)
	st.resp.Body.Close()
	active(t, s, 0)
	if n := g.live.len(); n != 0 {
		// The handler may still be on its way out.
		p.await("an empty registry", func() bool { return g.live.len() == 0 })
	}
}

// Clients that read are told in the time that a gateway has outside of tests: none of
// their calls is forced, unless the machine is busy with something else each time.
func TestWhoReadsIsNotForced(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	p.patience = patience
	g := p.start(s, nil)
	const n, tries = 200, 10
	for try := range tries {
		var all []*stream
		for i := range n {
			c := streamed[i%len(streamed)]
			st := openStream(t, g, c.path, c.body)
			st.next(t)
			all = append(all, st)
		}
		before := g.metrics.forced.Load()
		id := p.apply(1, `{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
		told := 0
		for i, st := range all {
			events := st.rest(t)
			if len(events) > 0 && st.err == nil && strings.Contains(events[len(events)-1], streamed[i%len(streamed)].end) {
				told++
			}
		}
		p.await("an empty registry", func() bool { return g.live.len() == 0 })
		forced := g.metrics.forced.Load() - before
		if told == n && forced == 0 {
			return
		}
		t.Logf("try %d: of %d streams %d were told, and %d were forced", try, n, told, forced)
		p.lift(1, id)
	}
	t.Errorf("%d times some of %d streams were forced whose clients read", tries, n)
}

// A client that reads nothing must not keep the provider generating after a stop.
func TestClientThatDoesNotReadIsCutToo(t *testing.T) {
	p := newPlane(t)
	p.patience = patience
	s := startSim(t)
	g := p.start(s, nil)
	conn := rawPost(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=100000", `,"stream":true`))
	defer conn.Close()
	active(t, s, 1)
	p.await("a full pipe", func() bool { return g.live.len() == 1 })
	time.Sleep(300 * time.Millisecond) // let the socket buffers fill; only makes the case harder
	p.apply(1, `{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
	active(t, s, 0)
}

func TestDrainLetsRunningWorkFinishWithinItsBound(t *testing.T) {
	t.Parallel()
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	long := openStream(t, g, streamed[0].path, streamed[0].body)
	long.next(t)
	p.apply(1, `{"kind":"stop","params":{"level":"L2","drain":"5s"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("a new call under L2: %d", a.status)
	}
	long.next(t) // still running
	events := long.rest(t)
	if last := events[len(events)-1]; !strings.Contains(last, "andon_correction") {
		t.Errorf("after the drain: %s", last)
	}
	active(t, s, 0)
}

func TestNoNewSessionsLetsKnownConversationsGoOn(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	turn2 := `{"model":"sim-large","messages":[{"role":"user","content":"%"},{"role":"assistant","content":"hi"},{"role":"user","content":"and now?"}]}`
	send(t, g, "/v1/chat/completions", chat("sim-large", "known"))
	p.apply(1, `{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
	for text, want := range map[string]int{"known": 200, "made up": 503} {
		if a := send(t, g, "/v1/chat/completions", strings.Replace(turn2, "%", text, 1)); a.status != want {
			t.Errorf("%s conversation goes on: %d, want %d: %s", text, a.status, want, a.body)
		}
	}
	contained := `{"model":"sim-large","max_tokens":9,"container":"c_1","messages":[{"role":"user","content":"x"}]}`
	if a := send(t, g, "/v1/messages", contained); a.status != 503 {
		t.Errorf("a container is not a conversation: %d", a.status)
	}
	if a := send(t, g, "/v1/responses", `{"model":"sim-large","previous_response_id":"resp_1","input":"x"}`); a.status != 200 {
		t.Errorf("a response that the provider keeps goes on: %d %s", a.status, a.body)
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "known")); a.status != 503 {
		t.Errorf("a first turn is a new session even if its text is known: %d", a.status)
	}
}

func TestMain(m *testing.M) { leakTest(m) }

// An answer too large to hold can only be broken off, and is explained.
func TestLargePlainAnswerIsBrokenOffAndExplained(t *testing.T) {
	more := make(chan struct{})
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 100_000))
		w.(http.Flusher).Flush()
		<-more
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	defer close(more)
	req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(chat("sim-large", "x"))))
	req.Header.Set("Authorization", "Bearer "+secret)
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	id := p.apply(1, stopLarge)
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes look whole", len(b))
	}
	p.await("the decision to be remembered", func() bool {
		d := g.decisions.find(resp.Header.Get("Andon-Request-Id"))
		return d != nil && d.Action == "cut" && d.Corrections[0] == id
	})
}
