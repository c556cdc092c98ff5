package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// agentProvider answers every call with an id of its own, some tool calls and
// some usage.
func agentProvider(t *testing.T, toolCalls int) *provider {
	var n atomic.Int64
	var pr *provider
	pr = newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		id := n.Add(1)
		_, body := pr.last()
		if strings.HasSuffix(r.URL.Path, "/responses") {
			var calls []string
			for i := range toolCalls {
				calls = append(calls, fmt.Sprintf(`{"type":"function_call","id":"fc_%d","call_id":"call_%d","name":"f","arguments":"{}"}`, i, i))
			}
			answer := fmt.Sprintf(`{"id":"resp_%d","object":"response","status":"completed","model":"m","output":[%s],"usage":{"input_tokens":1000,"output_tokens":1000}}`, id, strings.Join(calls, ","))
			if strings.Contains(body, `"stream":true`) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_%d\",\"status\":\"in_progress\"}}\n\n", id)
				fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":%s}\n\n", answer)
				return
			}
			io.WriteString(w, answer)
			return
		}
		var calls []string
		for i := range toolCalls {
			calls = append(calls, fmt.Sprintf(`{"id":"call_%d","type":"function","function":{"name":"f","arguments":"{}"}}`, i))
		}
		fmt.Fprintf(w, `{"id":"chatcmpl-%d","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","tool_calls":[%s]}}],"usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000}}`,
			id, strings.Join(calls, ","))
	})
	return pr
}

// turn is a call that goes on with a conversation.
func turn(firstMessage string, n int, more ...string) string {
	return fmt.Sprintf(`{"model":"sim-large","messages":[{"role":"user","content":%q},{"role":"assistant","content":"a"},{"role":"user","content":"step %d"}]%s}`,
		firstMessage, n, strings.Join(more, ""))
}

func wantBound(t *testing.T, what string, a answer, id, says string) {
	t.Helper()
	if a.status != 422 || !strings.Contains(a.body, `"correction_id":"`+id) || !strings.Contains(a.body, says) || a.header.Get("X-Should-Retry") != "false" {
		t.Errorf("%s: %d %v %s", what, a.status, a.header, a.body)
	}
}

func TestStepsOfASessionAreBounded(t *testing.T) {
	pr := agentProvider(t, 0)
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	id := p.apply(1, `{"kind":"capability","params":{"clamp":{"session_steps":3}},"scope":{"all":true},"reason":"t"}`)
	const chats, responses = "/v1/chat/completions", "/v1/responses"

	for i := range 3 {
		if a := send(t, g, chats, turn("plan a trip", i)); a.status != 200 {
			t.Fatalf("step %d: %d %s", i, a.status, a.body)
		}
	}
	wantBound(t, "a fourth step", send(t, g, chats, turn("plan a trip", 4)), id, "session steps at most 3")
	wantBound(t, "with other words at the end", send(t, g, chats, turn("plan a trip", 99)), id, "")
	if a := send(t, g, chats, turn("another task", 1)); a.status != 200 {
		t.Errorf("another conversation: %d %s", a.status, a.body)
	}
	if a := send(t, g, chats, turn("plan a trip", 1, `,"user":"bob"`)); a.status != 200 {
		t.Errorf("another user's: %d %s", a.status, a.body)
	}
	if a := send(t, g, chats, chat("sim-large", "plan a trip")); a.status != 200 {
		t.Errorf("a conversation that begins anew: %d %s", a.status, a.body)
	}

	// A chain of responses is one session, whatever each call says.
	last := ""
	for i := range 3 {
		stream := `,"stream":true`
		if i == 1 {
			stream = ""
		}
		a := send(t, g, responses, fmt.Sprintf(`{"model":"sim-large","input":"step %d"%s%s}`, i, last, stream))
		if a.status != 200 {
			t.Fatalf("response %d: %d %s", i, a.status, a.body)
		}
		_, rest, _ := strings.Cut(a.body, `"id":"resp_`)
		n, _, _ := strings.Cut(rest, `"`)
		last = `,"previous_response_id":"resp_` + n + `"`
	}
	wantBound(t, "a fourth response", send(t, g, responses, `{"model":"sim-large","input":"on"`+last+`}`), id, "")
	if a := send(t, g, responses, `{"model":"sim-large","input":"afresh"}`); a.status != 200 {
		t.Errorf("a new chain: %d %s", a.status, a.body)
	}
	p.lift(1, id)
	if a := send(t, g, responses, `{"model":"sim-large","input":"on"`+last+`}`); a.status != 200 {
		t.Errorf("after the correction was lifted: %d %s", a.status, a.body)
	}
}

func TestToolCallsAndSpendOfASessionAreBounded(t *testing.T) {
	pr := agentProvider(t, 2)
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "")(c)
		c.Models[0].Price = &Price{InputPerM: 1, OutputPerM: 9} // a call of the provider's costs a cent
	})
	const path = "/v1/chat/completions"
	id := p.apply(1, `{"kind":"capability","params":{"clamp":{"session_tool_calls":3}},"scope":{"all":true},"reason":"t"}`)
	for i, want := range []int{200, 200, 422, 422} {
		if a := send(t, g, path, turn("use tools", i)); a.status != want {
			t.Errorf("after %d tool calls: %d, want %d: %s", 2*i, a.status, want, a.body)
		}
	}
	p.lift(1, id)
	id = p.apply(1, `{"kind":"capability","params":{"clamp":{"session_spend":0.035}},"scope":{"all":true},"reason":"t"}`)
	for i, want := range []int{200, 200, 200, 200, 422} {
		a := send(t, g, path, turn("spend", i))
		if a.status != want {
			t.Errorf("after %d cents: %d, want %d: %s", i, a.status, want, a.body)
		}
		if want == 422 {
			wantBound(t, "spent", a, id, "session spend at most 0.035")
		}
	}
	a := send(t, g, path, strings.Replace(turn("spend", 0), "sim-large", "sim-small", 1))
	if a.status != 422 || !strings.Contains(a.body, "no price") || !strings.Contains(a.body, id) {
		t.Errorf("a model without a price: %d %s", a.status, a.body)
	}
	p.lift(1, id)

	// The same count as a rate: used up, the next call that offers tools is refused.
	p.apply(1, `{"kind":"rate","params":{"metric":"tool_calls","limit":3,"window":"1h","per":"key"},"scope":{"all":true},"reason":"t"}`)
	tools := `,"tools":[{"type":"function","function":{"name":"f"}}]`
	for i, want := range []int{200, 200, 429} {
		if a := send(t, g, path, turn("rate", i, tools)); a.status != want {
			t.Errorf("after %d tool calls: %d, want %d: %s", 2*i, a.status, want, a.body)
		}
	}
	if a := send(t, g, path, turn("rate", 9)); a.status != 200 {
		t.Errorf("a call that offers none: %d %s", a.status, a.body)
	}
}

func TestParallelCallsOfACallerThatNamesNoSession(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	id := p.apply(1, `{"kind":"capability","params":{"clamp":{"session_parallel":2}},"scope":{"all":true},"reason":"t"}`)
	open := func(text string) *stream {
		st := openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=5000 interval=10ms "+text, `,"stream":true`))
		st.next(t)
		return st
	}
	a, b := open("one"), open("two")
	wantBound(t, "a third agent", send(t, g, "/v1/chat/completions", chat("sim-large", "three")), id, "session parallel at most 2")
	if x := send(t, g, "/v1/chat/completions", chat("sim-large", "three", `,"user":"bob"`)); x.status != 200 {
		t.Errorf("another user: %d %s", x.status, x.body)
	}
	a.resp.Body.Close()
	p.await("the place to come free", func() bool {
		return send(t, g, "/v1/chat/completions", chat("sim-large", "three")).status == 200
	})
	b.resp.Body.Close()
}

func TestSessionSecondsEndWhatRuns(t *testing.T) {
	t.Parallel()
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	// A stream that runs already when the correction comes ends in time, too.
	before := openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=100000 interval=10ms", `,"stream":true`))
	before.next(t)
	id := p.apply(1, `{"kind":"capability","params":{"clamp":{"session_seconds":5}},"scope":{"all":true},"reason":"t"}`)
	began := time.Now()
	body := turn("sim: tokens=100000 interval=10ms", 0, `,"stream":true`)
	body = strings.Replace(body, "step 0", "sim: tokens=100000 interval=10ms", 1)
	during := openStream(t, g, "/v1/chat/completions", body)
	for name, st := range map[string]*stream{"began before": before, "began after": during} {
		events := st.rest(t)
		if end := events[len(events)-1]; !strings.Contains(end, `"correction_id":"`+id) || st.err != nil {
			t.Errorf("%s: its end is %q %v", name, end, st.err)
		}
	}
	if took := time.Since(began); took < 4900*time.Millisecond {
		t.Errorf("ended after %v, want 5 s", took)
	}
	wantBound(t, "the session's next step", send(t, g, "/v1/chat/completions", strings.Replace(body, `,"stream":true`, "", 1)), id, "session seconds at most 5")
	active(t, s, 0)
	// A call of which nothing was told yet gets the refusal itself.
	plain := strings.Replace(turn("slow", 0), "step 0", "sim: tokens=2000 interval=20ms", 1)
	wantBound(t, "a plain call", send(t, g, "/v1/chat/completions", plain), id, "")
	if n := g.autonomy.timed.Load(); n != 0 {
		t.Errorf("%d calls are still watched", n)
	}
}

func TestShadowBoundsRefuseNothing(t *testing.T) {
	pr := agentProvider(t, 1)
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"clamp":{"session_steps":1,"session_parallel":1,"session_tool_calls":1,"session_seconds":1}},"scope":{"all":true},"mode":"shadow","reason":"t"}`)
	for i := range 3 {
		a := send(t, g, "/v1/chat/completions", turn("task", i))
		d := g.decisions.find(a.header.Get("Andon-Request-Id"))
		if a.status != 200 || a.header.Get("Andon-Corrections") != "" || (d != nil) != (i > 0) {
			t.Errorf("call %d: %d %v, noted: %+v", i, a.status, a.header, d)
		}
	}
}

// What has reached a bound, and what runs, is not forgotten to make room.
func TestSessionsThatReachedTheirBoundAreKept(t *testing.T) {
	var tab autonomy
	s := &tab.shards[0]
	name := func(i int) uint64 { return uint64(i) * autonomyShards }
	full := tab.find(name(1), 1)
	full.full = true
	runs := tab.find(name(2), 1)
	runs.parallel = 1
	for i := 3; i < 3*autonomyNames; i++ {
		if tab.find(name(i), int64(i)) == nil {
			t.Fatal("no room, though most are idle")
		}
	}
	if len(s.names) > autonomyNames || s.names[name(1)] != full || s.names[name(2)] != runs {
		t.Fatalf("%d names; kept the full one: %v, the running one: %v", len(s.names), s.names[name(1)] == full, s.names[name(2)] == runs)
	}
	for _, a := range s.names {
		a.full = true
	}
	if tab.find(name(1<<30), 5) != nil {
		t.Error("a session that reached its bound made room")
	}
	tab.sweep(autonomyIdle + 1<<40)
	if len(s.names) != 1 {
		t.Errorf("%d names after a day, want the running one", len(s.names))
	}
}

// 200 at once, on one gateway: exact, whatever is counted.
func TestLimitsAreExactUnder200Callers(t *testing.T) {
	pr := agentProvider(t, 0)
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	for _, c := range []struct {
		name, correction string
		body             func(i int) string
		want             int64
		status           int
	}{
		{"requests", `{"kind":"rate","params":{"metric":"requests","limit":37,"window":"1h"},"scope":{"all":true},"reason":"t"}`,
			func(i int) string { return chat("sim-large", "x") }, 37, 429},
		{"distinct users", `{"kind":"rate","params":{"metric":"distinct_users","limit":7,"window":"1h","per":"org"},"scope":{"all":true},"reason":"t"}`,
			func(i int) string { return chat("sim-large", "x", fmt.Sprintf(`,"user":"u%d"`, i)) }, 7, 429},
		{"steps", `{"kind":"capability","params":{"clamp":{"session_steps":23}},"scope":{"all":true},"reason":"t"}`,
			func(i int) string { return turn("same task", i) }, 23, 422},
	} {
		id := p.apply(1, c.correction)
		var ok, refused atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				switch a := send(t, g, "/v1/chat/completions", c.body(i)); a.status {
				case 200:
					ok.Add(1)
				case c.status:
					refused.Add(1)
				default:
					t.Errorf("%s: %d %s", c.name, a.status, a.body)
				}
			})
		}
		wg.Wait()
		if ok.Load() != c.want || ok.Load()+refused.Load() != 200 {
			t.Errorf("%s: %d admitted, %d refused, want exactly %d", c.name, ok.Load(), refused.Load(), c.want)
		}
		p.lift(1, id)
	}
}

func TestDistinctUsersAndApps(t *testing.T) {
	pr := agentProvider(t, 0)
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"rate","params":{"metric":"distinct_users","limit":2,"window":"1h"},"scope":{"all":true},"reason":"t"}`)
	for i, c := range []struct {
		user string
		want int
	}{{"a", 200}, {"b", 200}, {"c", 429}, {"a", 200}, {"b", 200}, {"", 429}, {"c", 429}} {
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", fmt.Sprintf(`,"user":%q`, c.user))); a.status != c.want {
			t.Errorf("call %d by %q: %d, want %d", i, c.user, a.status, c.want)
		}
	}
	p.apply(1, `{"kind":"rate","params":{"metric":"distinct_apps","limit":1,"window":"1h"},"scope":{"all":true},"reason":"t"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"user":"a"`)); a.status != 200 {
		t.Errorf("the first application: %d %s", a.status, a.body)
	}
}

// Neither a call that never came whole, nor one that its fallback served, nor one
// that was refused for something else counts more than it should.
func TestOnlyWhatWasServedCounts(t *testing.T) {
	pr := agentProvider(t, 0)
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":4,"window":"1h"},"scope":{"all":true},"reason":"t"}`)
	for range 5 { // broken off in the middle of the upload
		r, w := io.Pipe()
		req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", r))
		req.ContentLength = 1000
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+secret)
		go func() {
			io.WriteString(w, `{"model":"sim-large","messages":[`)
			w.CloseWithError(io.ErrUnexpectedEOF)
		}()
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"t"}`)
	for i := range 2 { // served by the fallback, each counted once
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != 200 || a.header.Get("Andon-Fallback-From") != "sim-large" {
			t.Errorf("fallback %d: %d %s", i, a.status, a.body)
		}
	}
	p.lift(1, id)
	id = p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1h"},"scope":{"tiers":["free"]},"reason":"t"}`)
	for i, want := range []int{200, 429, 429, 429} { // refused by the other limit: given back
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != want {
			t.Errorf("call %d: %d, want %d", i, a.status, want)
		}
	}
	p.lift(1, id)
	for i, want := range []int{200, 429} { // the fourth of four
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != want {
			t.Errorf("call %d: %d, want %d: %s", i, a.status, want, a.body)
		}
	}
}

// Ids that a provider has given out name a session on every wire, and what a
// caller says in metadata names one of its own.
func TestSessionsAreKnownOnEveryWire(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1beta") {
			io.WriteString(w, `{"responseId":"r","candidates":[{"content":{"role":"model","parts":[{"text":"x"}]}}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`)
			return
		}
		io.WriteString(w, `{"id":"msg_1","type":"message","role":"assistant","content":[],"container":{"id":"container_7","expires_at":"2030-01-01T00:00:00Z"},"usage":{"input_tokens":1,"output_tokens":1}}`)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"clamp":{"session_steps":2}},"scope":{"all":true},"reason":"t"}`)
	const messages = `{"model":"sim-large","max_tokens":9,"messages":[{"role":"user","content":"task %d"}]%s}`
	const contents = `{"contents":[{"role":"user","parts":[{"text":"task %d"}]},{"role":"model","parts":[{"text":"a"}]},{"role":"user","parts":[{"text":"on"}]}]}`
	send2 := func(path, body string, want int) {
		t.Helper()
		if a := send(t, g, path, body); a.status != want {
			t.Errorf("%s: %d, want %d: %s", body, a.status, want, a.body)
		}
	}
	// The first answer names its container: the next two go on with it.
	send2("/v1/messages", fmt.Sprintf(messages, 1, ""), 200)
	send2("/v1/messages", fmt.Sprintf(messages, 2, `,"container":"container_7"`), 200)
	send2("/v1/messages", fmt.Sprintf(messages, 3, `,"container":"container_7"`), 422)
	send2("/v1/messages", fmt.Sprintf(messages, 3, `,"container":"container_8"`), 200)
	gemini := "/v1beta/models/sim-large:generateContent"
	send2(gemini, fmt.Sprintf(contents, 1), 200)
	send2(gemini, fmt.Sprintf(contents, 1), 200)
	send2(gemini, fmt.Sprintf(contents, 1), 422)
	send2(gemini, fmt.Sprintf(contents, 2), 200)
	named := func(session string, n int) string {
		return chat("sim-large", fmt.Sprint("step ", n), fmt.Sprintf(`,"metadata":{"session_id":%q}`, session))
	}
	send2("/v1/chat/completions", named("s-1", 1), 200)
	send2("/v1/chat/completions", named("s-1", 2), 200)
	send2("/v1/chat/completions", named("s-1", 3), 422)
	send2("/v1/chat/completions", named("s-2", 1), 200)
}

// A lifted bound ends nothing that another one would let run for longer.
func TestLiftedSessionSecondsEndNothing(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	short := p.apply(1, `{"kind":"capability","params":{"clamp":{"session_seconds":1}},"scope":{"all":true},"reason":"t"}`)
	p.apply(1, `{"kind":"capability","params":{"clamp":{"session_seconds":3600}},"scope":{"all":true},"reason":"t"}`)
	st := openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=150 interval=10ms", `,"stream":true`))
	st.next(t)
	p.lift(1, short)
	events := st.rest(t)
	if end := events[len(events)-1]; !strings.Contains(end, "[DONE]") {
		t.Errorf("its end is %q", end)
	}
	if n := g.autonomy.timed.Load(); n != 0 {
		t.Errorf("%d calls are still watched", n)
	}
}
