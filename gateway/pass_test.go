package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// provider records what it got and answers what it is told to, raw.
type provider struct {
	*httptest.Server
	mu   sync.Mutex
	got  []*http.Request
	body []string
}

func newProvider(t *testing.T, answer http.HandlerFunc) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.got, p.body = append(p.got, r), append(p.body, string(b))
		p.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) last() (*http.Request, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.got) == 0 {
		return nil, ""
	}
	return p.got[len(p.got)-1], p.body[len(p.body)-1]
}

func (p *provider) forget() {
	p.mu.Lock()
	p.got, p.body = nil, nil
	p.mu.Unlock()
}

func toProvider(pr *provider, key string) func(*Config) {
	return func(c *Config) {
		c.Upstreams = []Upstream{{Name: "sim", Wire: "all", BaseURL: pr.URL, Key: key}}
	}
}

func TestUntouchedPassesByteForByte(t *testing.T) {
	answer := "{\"odd\" :  [1,2 ,3], \"future\":{\"x\":\"\\u00e9é\"}}\n\n "
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ratelimit-Remaining-Requests", "17")
		w.Header().Set("Andon-Revision", "999") // a provider can not speak for us
		io.WriteString(w, answer)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, "provider-secret"))
	body := "{ \"model\" : \"sim-large\",\n\t\"messages\":[ {\"role\":\"user\",\"content\":\"h\\u00e9llo \\\"x\\\" é\"} ], \"unknown_future\": {\"a\":[1.50, -0.0e3]} }  "
	a := send(t, g, "/v1/chat/completions", body, "X-Custom", "kept", "Accept-Encoding", "gzip", "Cookie", "a=b", "X-Forwarded-For", "9.9.9.9", "Andon-Use-Case", "coding")
	if a.body != answer || a.status != 200 {
		t.Errorf("answer changed: %q", a.body)
	}
	if a.header.Get("X-Ratelimit-Remaining-Requests") != "17" || a.header.Get("Andon-Revision") != "1" {
		t.Errorf("headers: %v", a.header)
	}
	r, got := pr.last()
	if got != body {
		t.Errorf("request changed:\n got %q\nwant %q", got, body)
	}
	if r.Header.Get("Authorization") != "Bearer provider-secret" || r.Header.Get("X-Custom") != "kept" {
		t.Errorf("headers to the provider: %v", r.Header)
	}
	for _, h := range []string{"Accept-Encoding", "Cookie", "X-Forwarded-For", "Andon-Use-Case", "X-Api-Key"} {
		if v := r.Header[h]; v != nil {
			t.Errorf("%s travelled on: %v", h, v)
		}
	}
}

func TestRewriteTouchesNothingElse(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"clamp":{"output_tokens":50}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for _, c := range []struct{ path, body, want, wantPath string }{
		{"/v1/chat/completions", `{"x":1, "model":"large","max_tokens": 900 ,"messages":[{"role":"user","content":"m"}]}`,
			`{"x":1, "model":"sim-large","max_tokens": 50 ,"messages":[{"role":"user","content":"m"}]}`, ""},
		{"/v1/chat/completions", `{"model":"sim-large","max_tokens":7,"messages":[{"role":"user","content":"m"}]}`,
			`{"model":"sim-large","max_tokens":7,"messages":[{"role":"user","content":"m"}]}`, ""},
		{"/v1/messages", `{"model":"sim-large","max_tokens":51,"messages":[]}`, `{"model":"sim-large","max_tokens":50,"messages":[]}`, ""},
		{"/v1beta/models/large:generateContent", `{"contents":[],"generationConfig":{"maxOutputTokens":400}}`,
			`{"contents":[],"generationConfig":{"maxOutputTokens":50}}`, "/v1beta/models/sim-large:generateContent"},
	} {
		a := send(t, g, c.path, c.body)
		r, got := pr.last()
		if a.status != 200 || got != c.want || c.wantPath != "" && r.URL.Path != c.wantPath {
			t.Errorf("%s: %d\n got %s %s\nwant %s", c.path, a.status, r.URL.Path, got, c.want)
		}
		if (a.header.Get("Andon-Corrections") != "") != (c.want != c.body && strings.Contains(c.want, "50")) {
			t.Errorf("%s: Andon-Corrections %q", c.path, a.header.Get("Andon-Corrections"))
		}
	}
	send(t, g, "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","content":"m"}]}`)
	if _, got := pr.last(); !strings.Contains(got, `50`) {
		t.Errorf("no bound was put in: %s", got)
	}
}

func TestHostileBodiesAreRefusedAndNothingIsSent(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) { toProvider(pr, "")(c); c.MaxBody = 4096 })
	good := chat("sim-large", "hello")
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		code             string
	}{
		{"duplicate key", "/v1/chat/completions", `{"model":"sim-small","model":"sim-large","messages":[]}`, nil, 400, "duplicate"},
		{"escaped duplicate", "/v1/chat/completions", `{"model":"sim-small","mod\u0065l":"sim-large","messages":[]}`, nil, 400, "duplicate"},
		{"case variant", "/v1/chat/completions", `{"model":"sim-small","Model":"sim-large","messages":[]}`, nil, 400, "case"},
		{"broken UTF-8", "/v1/chat/completions", "{\"model\":\"sim-large\",\"messages\":[],\"x\":\"\xff\"}", nil, 400, "utf"},
		{"byte order mark", "/v1/chat/completions", "\ufeff" + good, nil, 400, ""},
		{"trailing data", "/v1/chat/completions", good + "{}", nil, 400, ""},
		{"not JSON", "/v1/chat/completions", "model=sim-large", nil, 400, ""},
		{"empty", "/v1/chat/completions", "", nil, 400, ""},
		{"compressed", "/v1/chat/completions", good, []string{"Content-Encoding", "gzip"}, 415, "encoded_body"},
		{"form", "/v1/chat/completions", good, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "content_type"},
		{"other charset", "/v1/chat/completions", good, []string{"Content-Type", "application/json; charset=utf-16"}, 415, "content_type"},
		{"too large", "/v1/chat/completions", chat("sim-large", strings.Repeat("x", 5000)), nil, 413, "body_too_large"},
		{"encoded slash", "/v1/chat%2Fcompletions", good, nil, 404, "unknown_route"},
		{"double slash", "//v1/chat/completions", good, nil, 404, "unknown_route"},
		{"trailing slash", "/v1/chat/completions/", good, nil, 404, "unknown_route"},
		{"dot segment", "/v1/x/../chat/completions", good, nil, 404, "unknown_route"},
		{"unknown route", "/v1/nothing", good, nil, 404, "unknown_route"},
		{"account route", "/v1/vector_stores", `{}`, nil, 403, "account_route"},
		{"upgrade", "/v1/realtime?model=sim-large", good, nil, 404, "unknown_route"},
		{"unknown model", "/v1/chat/completions", chat("sim-huge", "x"), nil, 404, "model_not_found"},
		{"two keys", "/v1/chat/completions", good, []string{"X-Api-Key", "another"}, 401, "ambiguous_key"},
		{"no key", "/v1/chat/completions", good, []string{"Authorization", ""}, 401, "missing_api_key"},
		{"wrong key", "/v1/chat/completions", good, []string{"Authorization", "Bearer ak_wrong"}, 401, "invalid_api_key"},
	} {
		a := send(t, g, c.path, c.body, c.headers...)
		if a.status != c.status || !strings.Contains(strings.ToLower(a.body), c.code) || !strings.Contains(a.body, `"error"`) {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
		if a.header.Get("Andon-Revision") == "" || a.header.Get("Andon-Request-Id") == "" {
			t.Errorf("%s: %v", c.name, a.header)
		}
		if a.header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: x-should-retry %q", c.name, a.header.Get("X-Should-Retry"))
		}
	}
	if r, body := pr.last(); r != nil {
		t.Errorf("the provider got %s %q", r.URL, body)
	}
	// The same in chunks, without a length.
	req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", io.MultiReader(strings.NewReader(`{"model":"sim-large","messages":[],"x":"`), strings.NewReader(strings.Repeat("y", 8000)+`"}`))))
	req.Header.Set("Authorization", "Bearer "+secret)
	resp := must(http.DefaultClient.Do(req))
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("chunked over the bound: %d", resp.StatusCode)
	}
}

// Events go out when they come in, one by one, however the provider splits
// its writes.
func TestStreamKeepsThePaceAndTheBytes(t *testing.T) {
	release := make(chan string)
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for chunk := range release {
			io.WriteString(w, chunk)
			w.(http.Flusher).Flush()
		}
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	go func() {
		release <- ": comment\n\n"
		release <- "data: {\"a\":1}\n\nda"
	}()
	st := openStream(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"stream":true`))
	if e := st.next(t); e != ": comment\n\n" {
		t.Errorf("%q", e)
	}
	if e := st.next(t); e != "data: {\"a\":1}\n\n" {
		t.Errorf("%q", e)
	}
	select {
	case e := <-st.events:
		t.Errorf("half an event went out: %q", e)
	default:
	}
	release <- "ta: {\"b\":"
	release <- "2}\n"
	release <- "\ndata: [DONE]\n\nrest without an end"
	if e := st.next(t); e != "data: {\"b\":2}\n\n" {
		t.Errorf("%q", e)
	}
	close(release)
	if rest := strings.Join(st.rest(t), ""); rest != "data: [DONE]\n\nrest without an end" || st.err != nil {
		t.Errorf("%q %v", rest, st.err)
	}
}

func TestLargeEventsPassWhole(t *testing.T) {
	big := "data: " + strings.Repeat("z", 300_000) + "\n\n"
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, big+big)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"stream":true`))
	if a.body != big+big {
		t.Errorf("%d bytes, want %d", len(a.body), 2*len(big))
	}
}

func TestProviderThatBreaksOff(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		want string
	}{
		"in mid-stream":        {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ndata: {}\n\nX\r\n", "broken"},
		"before the head":      {"", "502"},
		"in a plain answer":    {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "502"},
		"nonsense for a head":  {"hello\r\n\r\n", "502"},
		"a head without limit": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000), "502"},
	} {
		t.Run(name, func(t *testing.T) {
			l := must(net.Listen("tcp", "127.0.0.1:0"))
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Read(make([]byte, 4096))
					io.WriteString(conn, c.head)
					conn.Close()
				}
			}()
			p, s := newPlane(t), startSim(t)
			g := p.start(s, func(cfg *Config) { cfg.Upstreams[0].BaseURL = "http://" + l.Addr().String() })
			req := must(http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(chat("sim-large", "x"))))
			req.Header.Set("Authorization", "Bearer "+secret)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			got := fmt.Sprint(resp.StatusCode)
			if err != nil {
				got = "broken"
			}
			if got != c.want {
				t.Errorf("%s %v %q, want %s", got, err, b, c.want)
			}
		})
	}
}

// A kept connection that the provider has closed costs the caller nothing.
func TestIdleConnectionClosedByTheProvider(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	for range 5 {
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		pr.CloseClientConnections()
	}
}

func TestHTTP2CallersAreServedAndCut(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols}
	defer tr.CloseIdleConnections()
	req := must(http.NewRequestWithContext(context.Background(), "POST", "http://"+g.Addr()+streamed[0].path, bytes.NewReader([]byte(streamed[0].body))))
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto)
	}
	buf := make([]byte, 64)
	if _, err := io.ReadFull(resp.Body, buf); err != nil {
		t.Fatal(err)
	}
	p.apply(1, stopLarge)
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "andon_correction") {
		t.Errorf("%v …%s", err, b[max(0, len(b)-300):])
	}
	active(t, s, 0)
}

func TestModelListings(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	get := func(path string, headers ...string) answer {
		req := must(http.NewRequest("GET", "http://"+g.Addr()+path, nil))
		req.Header.Set("X-Api-Key", secret)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp := must(http.DefaultClient.Do(req))
		defer resp.Body.Close()
		return answer{resp.StatusCode, resp.Header, string(must(io.ReadAll(resp.Body)))}
	}
	for _, path := range []string{"/v1/models", "/v1beta/models", "/v1/models/sim-small", "/v1beta/models/sim-small"} {
		if a := get(path); a.status != 200 || !strings.Contains(a.body, "sim-small") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := get("/v1/models", "Anthropic-Version", "2023-06-01"); !strings.Contains(a.body, `"type":"model"`) {
		t.Errorf("anthropic: %s", a.body)
	}
	if a := get("/v1/models/nothing"); a.status != 404 {
		t.Errorf("unknown: %d", a.status)
	}
	p.apply(1, stopLarge)
	if a := get("/v1/models"); strings.Contains(a.body, "sim-large") {
		t.Errorf("a stopped model is listed: %s", a.body)
	}
}

// A body that lets the provider switch to another model is decided for that
// one, too.
func TestModelsNamedElsewhereInTheBody(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	body := `{"model":"sim-small","max_tokens":50,"fallbacks":[{"model":"sim-large"}],"messages":[{"role":"user","content":"sim: tokens=5"}]}`
	if a := send(t, g, "/v1/messages", body); a.status != 200 {
		t.Errorf("allowed: %d %s", a.status, a.body)
	}
	running := openStream(t, g, "/v1/messages", strings.NewReplacer("tokens=5", "tokens=5000 interval=20ms", `:50,`, `:9000,"stream":true,`).Replace(body))
	running.next(t)
	if a := send(t, g, "/v1/messages", strings.Replace(body, "sim-large", "elsewhere", 1)); a.status != 404 {
		t.Errorf("unknown: %d %s", a.status, a.body)
	}
	id := p.apply(1, stopLarge)
	if events := running.rest(t); !strings.Contains(events[len(events)-1], id) {
		t.Errorf("running: %s", events[len(events)-1])
	}
	if a := send(t, g, "/v1/messages", body); a.status != 503 || !strings.Contains(a.body, id) {
		t.Errorf("stopped: %d %s", a.status, a.body)
	}
}
