package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A key that is revoked while a body is on its way is not in the registry yet:
// the decision has to look again.
func TestKeyRevokedWhileTheBodyComesInIsRefused(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	body := chat("sim-large", "hello")
	conn := must(net.Dial("tcp", g.Addr()))
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", secret, len(body))
	// The gateway asks for the body once it has accepted the key.
	hundred := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(conn, hundred); err != nil || !strings.Contains(string(hundred), " 100 ") {
		t.Fatalf("%q %v", hundred, err)
	}
	p.revoke(1, "k-1")
	io.WriteString(conn, body)
	conn.SetReadDeadline(time.Now().Add(generous))
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 401 ") {
		t.Errorf("%q %v", buf[:n], err)
	}
	if got := received(t, s); len(got) != 0 {
		t.Errorf("the provider got %v", got)
	}
}

// Under L1 a conversation that a fallback, or another model, has begun is not
// one of the stopped model.
func TestConversationOfAnotherModelIsNewUnderL1(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	turn2 := func(model, text string) string {
		return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q},{"role":"assistant","content":"hi"},{"role":"user","content":"and now?"}]}`, model, text)
	}
	send(t, g, "/v1/chat/completions", chat("sim-large", "old"))
	p.apply(1, `{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "new")); a.status != 200 || a.header.Get("Andon-Model") != "sim-small" {
		t.Fatalf("first turn: %d %v", a.status, a.header)
	}
	send(t, g, "/v1/chat/completions", chat("sim-small", "small"))
	for text, model := range map[string]string{"new": "sim-small", "small": "sim-small", "old": ""} {
		if a := send(t, g, "/v1/chat/completions", turn2("sim-large", text)); a.status != 200 || a.header.Get("Andon-Model") != model {
			t.Errorf("second turn of %s: %d, served by %q, want %q", text, a.status, a.header.Get("Andon-Model"), model)
		}
	}
}

// A call that waits for its place has not begun: what comes into force
// meanwhile holds for it.
func TestQueuedCallIsDecidedByWhatIsInForceWhenItGoes(t *testing.T) {
	for _, c := range []struct{ correction, want string }{
		{`{"kind":"capability","params":{"clamp":{"output_tokens":3}},"scope":{"all":true},"reason":"test"}`, "200"},
		{`{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`, "503"},
		{`{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1h","per":"global"},"scope":{"tiers":["free"]},"reason":"test"}`, "200"},
	} {
		p, s := newPlane(t), startSim(t)
		g := p.start(s, nil)
		p.apply(1, `{"kind":"rate","params":{"metric":"concurrent","limit":1,"per":"org","on_exceed":"queue"},"scope":{"all":true},"reason":"test"}`)
		first := openStream(t, g, streamed[0].path, streamed[0].body)
		first.next(t)
		got := make(chan answer, 1)
		go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=30")) }()
		p.await("the second to queue", func() bool { return g.live.len() == 2 })
		p.apply(1, c.correction)
		first.resp.Body.Close()
		a := <-got
		if fmt.Sprint(a.status) != c.want {
			t.Errorf("%s: %d %s, want %s", c.correction, a.status, a.body, c.want)
		}
		if strings.Contains(c.correction, "clamp") && a.header.Get("Andon-Corrections") == "" {
			t.Errorf("a clamp passed by: %s", a.body)
		}
		if strings.Contains(c.correction, "requests") {
			if b := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); b.status != 429 {
				t.Errorf("the queued call was not counted by the newer limit: %d", b.status)
			}
		}
	}
}

// An answer that is too long to be held counts like any other.
func TestLongAnswersCountTheirTokens(t *testing.T) {
	for name, usage := range map[string]string{"reported": `,"usage":{"prompt_tokens":5,"completion_tokens":9000,"total_tokens":9005}`, "not reported": ""} {
		t.Run(name, func(t *testing.T) {
			pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"choices":[{"message":{"content":"`+strings.Repeat("word ", 10_000)+`"}}]`+usage+`}`)
			})
			p, s := newPlane(t), startSim(t)
			g := p.start(s, toProvider(pr, ""))
			p.apply(1, `{"kind":"rate","params":{"metric":"output_tokens","limit":5000,"window":"1h","per":"org"},"scope":{"all":true},"reason":"test"}`)
			for i, want := range []int{200, 429} {
				if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != want {
					t.Errorf("call %d: %d, want %d", i+1, a.status, want)
				}
			}
		})
	}
}

// The provider has had the request, whether or not its caller waits.
func TestHangingUpGivesNothingBack(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":2,"window":"1h","per":"org"},"scope":{"all":true},"reason":"test"}`)
	for range 2 {
		conn := rawPost(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=100 interval=1s"))
		active(t, s, 1)
		conn.Close()
		active(t, s, 0)
		p.await("an empty registry", func() bool { return g.live.len() == 0 })
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 429 {
		t.Errorf("after two calls under a limit of two: %d", a.status)
	}
}

// A stream that was cut before its first event is asked of the fallback with
// all of its body, however long.
func TestFallbackGetsTheWholeBody(t *testing.T) {
	for name, large := range map[string]string{"another name": "sim-large", "the same name": "same"} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 2)
			pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush()
				asked <- struct{}{}
				if len(asked) == 1 {
					<-r.Context().Done()
				}
				io.WriteString(w, "data: {}\n\n")
			})
			p, s := newPlane(t), startSim(t)
			g := p.start(s, func(c *Config) {
				toProvider(pr, "")(c)
				c.Models[0].Name, c.Models[0].UpstreamModel = "sim-large", large
				c.Models[1].UpstreamModel = "sim-large"
			})
			got := make(chan answer, 1)
			body := chat("sim-large", strings.Repeat("long ", 5000), `,"stream":true`)
			go func() { got <- send(t, g, "/v1/chat/completions", body) }()
			p.await("the provider's head", func() bool { return len(asked) == 1 })
			p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test"}`)
			if a := <-got; a.status != 200 || a.body != "data: {}\n\n" {
				t.Errorf("%d %s", a.status, a.body)
			}
			if _, b := pr.last(); b != body {
				t.Errorf("the fallback got %d bytes of %d", len(b), len(body))
			}
		})
	}
}

// What the provider reads in a body as another model is that model, whatever
// the name stands for here.
func TestOtherModelsAreMeantByTheProvidersNames(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "")(c)
		c.Upstreams = append(c.Upstreams, Upstream{Name: "elsewhere", Wire: "all", BaseURL: s.URL()})
		c.Models = append(c.Models, Model{Name: "safe", Upstream: "sim", UpstreamModel: "safe-1", Aliases: []string{"provider-large"}},
			Model{Name: "far", Upstream: "elsewhere"})
	})
	for other, want := range map[string]int{"sim-large": 200, "large": 404, "safe": 404, "provider-large": 404, "far": 404} {
		if a := send(t, g, "/v1/chat/completions", chat("sim-small", "x", `,"models":["`+other+`"]`)); a.status != want {
			t.Errorf("%s: %d, want %d", other, a.status, want)
		}
	}
}

// Some providers take a bound of 0 for none.
func TestBoundOfZeroIsClamped(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"clamp":{"output_tokens":7}},"scope":{"all":true},"reason":"test"}`)
	for _, c := range []struct{ path, body, want string }{
		{"/v1/chat/completions", chat("sim-large", "x", `,"max_tokens":0`), `"max_tokens":7`},
		{"/v1/chat/completions", chat("sim-large", "x", `,"max_tokens":0,"max_completion_tokens":5`), `"max_tokens":7,"max_completion_tokens":5`},
		{"/v1beta/models/sim-large:generateContent", `{"contents":[],"generationConfig":{"maxOutputTokens":0}}`, `"maxOutputTokens":7`},
	} {
		send(t, g, c.path, c.body)
		if _, b := pr.last(); !strings.Contains(b, c.want) {
			t.Errorf("%s became %s", c.body, b)
		}
	}
}

// A header that leaves the usage out of an answer would leave it uncounted.
func TestFieldMasksStay(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	send(t, g, "/v1beta/models/sim-large:generateContent", `{"contents":[]}`, "X-Goog-Fieldmask", "candidates")
	if r, _ := pr.last(); r == nil || r.Header.Get("X-Goog-FieldMask") != "" {
		t.Errorf("%v", r)
	}
}

// HTTP/2 lets a path hold a blank, which would end a request line's target.
func TestBlankInAQueryIsRefused(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols}
	defer tr.CloseIdleConnections()
	req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(chat("sim-large", "x"))))
	req.URL.RawQuery = "a HTTP/1.0"
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if r, _ := pr.last(); resp.StatusCode != 404 || r != nil {
		t.Errorf("%d, the provider got %v", resp.StatusCode, r)
	}
}

// A stream that was stopped while its last events wait to go out ends where its
// caller stands, and not where the provider does.
func TestCutJustBeforeTheEndOfAnArrayIsTold(t *testing.T) {
	more, came := make(chan string), make(chan struct{})
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		for part := range more {
			io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	go func() { more <- `[{"a":1}`; close(came) }()
	conn := rawPost(t, g, "/v1beta/models/sim-large:streamGenerateContent", `{"contents":[]}`)
	defer conn.Close()
	resp := must(http.ReadResponse(bufio.NewReader(conn), nil))
	first := make([]byte, len(`[{"a":1}`))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	<-came
	var c *call
	g.live.all(func(x *call) { c = x })
	c.out.Lock() // as if a client that reads slowly held the events up
	more <- `,{"a":2}]`
	time.Sleep(50 * time.Millisecond) // only makes the case harder: without it the events may not have come
	p.apply(1, stopLarge)
	c.out.Unlock()
	close(more)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(rest), "andon_correction") || !strings.HasSuffix(string(rest), "]") {
		t.Errorf("%s %v", rest, err)
	}
}

func TestAddressesThatCarryAPort(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(cfg *Config) {
		cfg.Identity = Identity{Mode: "header", TrustedProxies: prefixes("127.0.0.1/32")}
	})
	p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"ips":["203.0.113.0/24","2001:db8::/32"]},"reason":"t"}`)
	for from, want := range map[string]int{"203.0.113.9:4711": 403, "[2001:db8::1]:443": 403, "[2001:db8::1]": 403, "2001:db8::1%eth0": 403, "198.51.100.1:1": 200} {
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x"), "X-Forwarded-For", from); a.status != want {
			t.Errorf("%s: %d, want %d", from, a.status, want)
		}
	}
}

// Each of several answers may use the whole of its bound.
func TestEveryChoiceIsReserved(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"rate","params":{"metric":"output_tokens","limit":150,"window":"1h","per":"org"},"scope":{"all":true},"reason":"test"}`)
	st := openStream(t, g, "/v1/chat/completions", chat("sim-large", "sim: tokens=5000 interval=20ms", `,"stream":true,"max_tokens":50,"n":3`))
	st.next(t)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"max_tokens":1`)); a.status != 429 {
		t.Errorf("beside three answers of 50 under a limit of 150: %d", a.status)
	}
}

// A clamp that comes into force while the provider is being dialled holds for
// the call that waits.
func TestRulingThatChangesWhileDialling(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	g := p.start(s, toProvider(pr, ""))
	dialling, dial := make(chan struct{}, 8), make(chan struct{})
	host := g.hosts["sim"]
	real := host.DialContext
	host.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialling <- struct{}{}
		<-dial
		return real(ctx, network, addr)
	}
	got := make(chan answer, 1)
	go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"max_tokens":500`)) }()
	<-dialling
	id := p.apply(1, `{"kind":"capability","params":{"clamp":{"output_tokens":7}},"scope":{"all":true},"reason":"test"}`)
	close(dial)
	if a := <-got; a.status != 200 || a.header.Get("Andon-Corrections") != id {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if _, body := pr.last(); !strings.Contains(body, `"max_tokens":7`) {
		t.Errorf("the provider got %s", body)
	}
}
