package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/order"
)

// The evasions: each is a way by which somebody might reach a model that is
// stopped, as users of gateways have reported it or as the protocols allow it.
// The provider must never hear of the stopped model, and the caller is told
// something it can read.

// attack is one HTTP request, raw where a client library would not send it.
type attack struct {
	name, method, path, body string
	headers                  []string
	raw                      string // the whole request instead; BODY stands for body, LEN for its length
}

const (
	asLarge = `{"model":"sim-large","messages":[{"role":"user","content":"hello"}]}`
	asSmall = `{"model":"sim-small","messages":[{"role":"user","content":"hello"}]}`
)

func attacks() []attack {
	post := func(name, path, body string, headers ...string) attack {
		return attack{name: name, method: "POST", path: path, body: body, headers: headers}
	}
	var all []attack
	for _, a := range []struct{ name, body string }{
		{"duplicate key", `{"model":"sim-small","model":"sim-large","messages":[]}`},
		{"duplicate key, the other way", `{"model":"sim-large","model":"sim-small","messages":[]}`},
		{"case variant", `{"model":"sim-small","MODEL":"sim-large","messages":[]}`},
		{"case variant alone", `{"Model":"sim-large","messages":[]}`},
		{"escaped name", `{"model":"sim-small","\u006dodel":"sim-large","messages":[]}`},
		{"escaped value", `{"model":"sim\u002dlarge","messages":[]}`},
		{"escaped twice", `{"model":"sim-small","\u006d\u006fd\u0065l":"sim-large","messages":[]}`},
		{"long s", "{\"model\":\"sim-small\",\"\u017ftream\":true,\"mode\u217c\":\"sim-large\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
		{"nested model", `{"model":{"model":"sim-large"},"messages":[]}`},
		{"list of models", `{"model":"sim-small","models":["sim-large"],"messages":[]}`},
		{"model as a list", `{"model":["sim-large"],"messages":[]}`},
		{"null, then the model", `{"model":null,"model":"sim-large","messages":[]}`},
		{"byte order mark", "\ufeff" + asLarge},
		{"UTF-16", string([]byte{0xff, 0xfe, '{', 0, '"', 0})},
		{"overlong UTF-8", "{\"model\":\"sim-\xc1\xac\x61rge\",\"messages\":[]}"},
		{"NUL in the value", `{"model":"sim-large\u0000","messages":[]}`},
		{"blank after the value", `{"model":"sim-large ","messages":[]}`},
		{"capitals", `{"model":"SIM-LARGE","messages":[]}`},
		{"full width", `{"model":"ｓｉｍ-large","messages":[]}`},
		{"alias", `{"model":"large","messages":[]}`},
		{"version", `{"model":"sim-large-1","messages":[]}`},
		{"dated snapshot", `{"model":"sim-large-2026-10-01","messages":[]}`},
		{"provider in front", `{"model":"openai/sim-large","messages":[]}`},
		{"fine-tune", `{"model":"ft:sim-large:acme::x","messages":[]}`},
		{"two documents", asSmall + asLarge},
		{"two lines", asSmall + "\n" + asLarge},
		{"comment", `{"model":"sim-small"/*"*/,"model":"sim-large","messages":[]}`},
		{"trailing comma", `{"model":"sim-large",}`},
		{"single quotes", `{'model':'sim-large'}`},
		{"array around it", `[` + asLarge + `]`},
		{"string around it", fmt.Sprintf("%q", asLarge)},
		{"deep nesting", `{"model":"sim-small","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `,"model":"sim-large"}`},
	} {
		all = append(all, post(a.name, "/v1/chat/completions", a.body))
	}
	for _, path := range []string{"//v1/chat/completions", "/v1//chat/completions", "/v1/chat%2Fcompletions", "/v1/chat/completions/", "/v1/./chat/completions",
		"/v1/x/../chat/completions", "/V1/chat/completions", "/v1/chat/completions%00", "/v1/chat/completions;x=1", "/v1/chat/completions%3Fa", "/v1%2fchat%2fcompletions",
		"/v1/chat/completions%20", "/v2/chat/completions", "/chat/completions", "/proxy/v1/chat/completions", "/v1/engines/sim-large/completions"} {
		all = append(all, post("path "+path, path, asLarge))
	}
	all = append(all,
		post("query names another model", "/v1/chat/completions?model=sim-small", asLarge),
		post("query with a semicolon", "/v1/chat/completions?a=1;model=sim-small", asLarge),
		post("deployment", "/openai/deployments/sim-large/chat/completions?api-version=2024-10-21", `{"messages":[{"role":"user","content":"x"}]}`),
		post("deployment of an alias", "/openai/deployments/large/chat/completions?api-version=2024-10-21", `{"messages":[{"role":"user","content":"x"}]}`),
		post("deployment with a model in the body", "/openai/deployments/sim-small/chat/completions?api-version=2024-10-21", asLarge),
		post("deployment the other way", "/openai/deployments/sim-large/chat/completions?api-version=2024-10-21", asSmall),
		post("Gemini's compatible surface", "/v1beta/openai/chat/completions", asLarge),
		post("Gemini", "/v1beta/models/sim-large:generateContent", `{"contents":[]}`),
		post("Gemini, escaped", "/v1beta/models/sim%2Dlarge:generateContent", `{"contents":[]}`),
		post("Gemini, another model in the body", "/v1beta/models/sim-small:generateContent", `{"model":"models/sim-large","contents":[]}`),
		post("Anthropic", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[]}`),
		post("Anthropic, fallbacks", "/v1/messages", `{"model":"sim-small","max_tokens":5,"messages":[],"fallbacks":[{"model":"sim-large"}]}`),
		post("Anthropic, an advisor", "/v1/messages", `{"model":"sim-small","max_tokens":5,"messages":[],"tools":[{"type":"advisor_20260301","name":"a","model":"sim-large"}]}`),
		post("Anthropic batch", "/v1/messages/batches", `{"requests":[{"custom_id":"1","params":{"model":"sim-small","max_tokens":5,"messages":[]}},{"custom_id":"2","params":{"model":"sim-large","max_tokens":5,"messages":[]}}]}`),
		post("responses", "/v1/responses", `{"model":"sim-large","input":"x"}`),
		post("responses, a chain", "/v1/responses", `{"model":"sim-large","input":"x","previous_response_id":"resp_1"}`),
		post("responses, in the background", "/v1/responses", `{"model":"sim-large","input":"x","background":true}`),
		post("responses, a tool's model", "/v1/responses", `{"model":"sim-small","input":"x","tools":[{"type":"image_generation","model":"sim-large"}]}`),
		post("completions", "/v1/completions", `{"model":"sim-large","prompt":"x"}`),
		post("embeddings", "/v1/embeddings", `{"model":"sim-large","input":"x"}`),
		post("speech", "/v1/audio/speech", `{"model":"sim-large","input":"x","voice":"alloy"}`),
		post("pictures", "/v1/images/generations", `{"model":"sim-large","prompt":"x"}`),
		post("fine-tuning", "/v1/fine_tuning/jobs", `{"model":"sim-large","training_file":"file-1"}`),
		post("batch", "/v1/batches", `{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}`),
		post("an assistant's run", "/v1/threads/runs", `{"assistant_id":"asst_1","model":"sim-large"}`),
		post("a run without a model", "/v1/threads/runs", `{"assistant_id":"asst_1"}`),
		post("a realtime secret", "/v1/realtime/client_secrets", `{"session":{"type":"realtime","model":"sim-large"}}`),
		post("method override", "/v1/chat/completions", asLarge, "X-HTTP-Method-Override", "GET"),
		post("another address", "/v1/chat/completions", asLarge, "X-Forwarded-For", "10.0.0.1"),
		post("an administrator's header", "/v1/chat/completions", asLarge, "Andon-Key", "admin"),
		post("a form", "/v1/chat/completions", "model=sim-large", "Content-Type", "application/x-www-form-urlencoded"),
		post("text", "/v1/chat/completions", asLarge, "Content-Type", "text/plain"),
		post("another charset", "/v1/chat/completions", asLarge, "Content-Type", "application/json; charset=utf-7"),
		post("two content types", "/v1/chat/completions", asLarge, "Content-Type", "application/json, text/plain"),
		post("compressed", "/v1/chat/completions", zipped(asLarge), "Content-Encoding", "gzip"),
		post("compressed, undeclared", "/v1/chat/completions", zipped(asLarge)),
		post("identity, then gzip", "/v1/chat/completions", zipped(asLarge), "Content-Encoding", "identity, gzip"),
		attack{name: "an upgrade", method: "POST", path: "/v1/chat/completions", body: asLarge, headers: []string{"Upgrade", "websocket", "Connection", "Upgrade"}},
		attack{name: "h2c upgrade", method: "POST", path: "/v1/chat/completions", body: asLarge, headers: []string{"Upgrade", "h2c", "Connection", "Upgrade, HTTP2-Settings", "Http2-Settings", "AAMAAABkAAQAAP__"}},
		attack{name: "PUT", method: "PUT", path: "/v1/chat/completions", body: asLarge},
		attack{name: "GET with a body", method: "GET", path: "/v1/chat/completions", body: asLarge},
	)
	kind, form := forms("sim-small", "sim-large")
	all = append(all, post("two models in a form", "/v1/audio/transcriptions", form, "Content-Type", kind))
	kind, form = forms("sim-large")
	all = append(all, post("a model in a form", "/v1/audio/transcriptions", form, "Content-Type", kind))
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret + "\r\nContent-Type: application/json\r\nConnection: close\r\n"
	for _, r := range []struct{ name, raw string }{
		{"a chunk for each byte", head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(asLarge, 1)},
		{"chunk extensions", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunked(asLarge, 1000), "\r\n", ";a=\"b\"\r\n", 1)},
		{"a trailer", head + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n" + strings.TrimSuffix(chunked(asLarge, 7), "\r\n") + "X: y\r\n\r\n"},
		{"both lengths", head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n", len(asSmall)) + chunked(asLarge, 9)},
		{"two lengths", head + fmt.Sprintf("Content-Length: %d\r\nContent-Length: 3\r\n\r\n%s", len(asLarge), asLarge)},
		{"obfuscated encoding", head + "Transfer-Encoding: xchunked\r\n\r\n" + chunked(asLarge, 9)},
		{"blank before the colon", head + fmt.Sprintf("Content-Length : %d\r\n\r\n%s", len(asLarge), asLarge)},
		{"line feeds alone", strings.ReplaceAll(head, "\r\n", "\n") + fmt.Sprintf("Content-Length: %d\n\n%s", len(asLarge), asLarge)},
		{"absolute target", strings.Replace(head, "/v1/chat", "http://other.example/v1/chat", 1) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(asLarge), asLarge)},
		{"folded header", head + " folded\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(asLarge), asLarge)},
		{"a request behind a request", strings.Replace(head, "Connection: close\r\n", "", 1) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(asSmall)-10, asSmall[:len(asSmall)-10]) + head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(asLarge), asLarge)},
		{"HTTP/1.0", strings.Replace(head, "HTTP/1.1", "HTTP/1.0", 1) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(asLarge), asLarge)},
		{"HTTP/2, unencrypted", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"CONNECT", "CONNECT sim-large:443 HTTP/1.1\r\nHost: sim-large:443\r\n\r\n"},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
	} {
		all = append(all, attack{name: r.name, raw: r.raw})
	}
	return all
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func chunked(s string, n int) string {
	var b strings.Builder
	for len(s) > 0 {
		k := min(n, len(s))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", k, s[:k])
		s = s[k:]
	}
	return b.String() + "0\r\n\r\n"
}

func forms(models ...string) (kind, body string) {
	var b strings.Builder
	w := multipart.NewWriter(&b)
	f, _ := w.CreateFormFile("file", "speech.wav")
	io.WriteString(f, "RIFF")
	for _, m := range models {
		w.WriteField("model", m)
	}
	w.Close()
	return w.FormDataContentType(), b.String()
}

func TestNothingReachesAStoppedModel(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"answered":"by the provider"}`)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	p.apply(1, `{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`)
	for _, a := range attacks() {
		pr.forget()
		status, body := a.send(t, g)
		if r, got := pr.last(); r != nil && (strings.Contains(strings.ToLower(got+r.URL.String()), "large") || strings.Contains(a.body, `file-1`) || strings.Contains(a.body, `asst_1`)) {
			t.Errorf("%s: the provider got %s %s %s", a.name, r.Method, r.URL, got)
		} else if r == nil && strings.Contains(body, "answered") {
			t.Errorf("%s: %d %s", a.name, status, body)
		}
		if a.raw == "" && status != 200 && !strings.Contains(body, `"error"`) {
			t.Errorf("%s: %d, not in the wire's shape: %s", a.name, status, body)
		}
		if a.raw == "" && status == 200 && !strings.Contains(body, "by the provider") {
			t.Errorf("%s: answered by nobody: %s", a.name, body)
		}
	}
	if a := send(t, g, "/v1/chat/completions", asSmall); a.status != 200 {
		t.Errorf("the other model: %d %s", a.status, a.body)
	}
	t.Logf("%d evasions", len(attacks()))
}

func (a attack) send(t *testing.T, g *Gateway) (int, string) {
	if a.raw != "" {
		conn := must(net.Dial("tcp", g.Addr()))
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(3 * time.Second))
		go io.WriteString(conn, a.raw)
		var all strings.Builder
		r := bufio.NewReader(conn)
		b := make([]byte, 4096)
		conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		for {
			n, err := r.Read(b)
			all.Write(b[:n])
			if err != nil {
				return 0, all.String()
			}
		}
	}
	req := must(http.NewRequest(a.method, "http://"+g.Addr(), strings.NewReader(a.body)))
	req.URL.Opaque = a.path
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i+1 < len(a.headers); i += 2 {
		req.Header[http.CanonicalHeaderKey(a.headers[i])] = []string{a.headers[i+1]}
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Errorf("%s: %v", a.name, err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// What users of other gateways have reported.
func TestBlocksHoldForWhoeverTheyMean(t *testing.T) {
	s, p := startSim(t), newPlane(t)
	g := p.start(s, nil)
	second, third := "ak_second-key", "ak_third-key"
	p.issue(order.Order{PutKeys: []order.Key{
		{ID: "k-2", Hash: hashOf(second), Org: "acme", Tier: "administrator", Attributes: []string{"role=admin"}},
		{ID: "k-3", Hash: hashOf(third), Org: "globex"}}})
	p.enforced(1)
	status := func(key string) int {
		return send(t, g, "/v1/chat/completions", asSmall, "Authorization", "Bearer "+key).status
	}
	want := func(when string, first, admin, other int) {
		t.Helper()
		for key, want := range map[string]int{secret: first, second: admin, third: other} {
			if got := status(key); got != want {
				t.Errorf("%s: %s: %d, want %d", when, key, got, want)
			}
		}
	}
	want("before", 200, 200, 200)
	org := p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"test"}`)
	want("an org is blocked, and with it every key, an administrator's too", 403, 403, 200)
	// A key of the org that is made while the block stands is blocked as well.
	fourth := "ak_fourth-key"
	p.issue(order.Order{PutKeys: []order.Key{{ID: "k-4", Hash: hashOf(fourth), Org: "acme"}}})
	p.enforced(1)
	if got := status(fourth); got != 403 {
		t.Errorf("a new key of a blocked org: %d", got)
	}
	// Lifting one of two leaves the other, and lifting the last leaves none.
	key := p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"keys":["k-1"]},"reason":"test"}`)
	p.lift(1, org)
	want("the org's block is lifted", 403, 200, 200)
	p.lift(1, key)
	want("the last one is lifted", 200, 200, 200)
	// A request that is on its way when its key is blocked does not bring the key
	// back: what is decided on is the ruling, and nothing is cached beside it.
	st := openStream(t, g, "/v1/chat/completions", chat("sim-small", "sim: tokens=2000 interval=20ms", `,"stream":true`))
	st.next(t)
	key = p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"keys":["k-1"]},"reason":"test"}`)
	if all := strings.Join(st.rest(t), ""); !strings.Contains(all, key) {
		t.Errorf("its stream goes on: %s", all)
	}
	for range 20 {
		if got := status(secret); got != 403 {
			t.Fatalf("a blocked key is back: %d", got)
		}
	}
}

// A stopped model is not picked by a retry, by another model's fallback, or by
// what a conversation went on with before.
func TestNothingPicksAStoppedModel(t *testing.T) {
	s, p := startSim(t), newPlane(t)
	g := p.start(s, func(c *Config) {
		c.Models = []Model{{Name: "one", Upstream: "sim", Fallback: "two"}, {Name: "two", Upstream: "sim", Fallback: "three"}, {Name: "three", Upstream: "sim"}}
	})
	first := send(t, g, "/v1/responses", `{"model":"two","input":"remember this"}`)
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["one","two"]},"reason":"test"}`)
	for _, body := range []string{`{"model":"one","input":"x"}`, `{"model":"two","input":"x"}`, `{"model":"two","input":"x","previous_response_id":"resp_1"}`} {
		a := send(t, g, "/v1/responses", body, "X-Stainless-Retry-Count", "2", "Idempotency-Key", "same")
		if a.status != 200 || a.header.Get("Andon-Model") != "three" {
			t.Errorf("%s: %d, served by %q", body, a.status, a.header.Get("Andon-Model"))
		}
	}
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["three"]},"reason":"test"}`)
	sent := len(received(t, s))
	if a := send(t, g, "/v1/responses", `{"model":"one","input":"x"}`); a.status != 503 || len(received(t, s)) != sent {
		t.Errorf("all are stopped: %d %s", a.status, a.body)
	}
	if first.status != 200 {
		t.Error(first.status)
	}
}

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// An end user that is blocked stays blocked under another spelling, in every
// field that names an end user, and shares one limit with it.
func TestAnotherSpellingOfAUserIsNoWayOut(t *testing.T) {
	s, p := startSim(t), newPlane(t)
	g := p.start(s, nil)
	spellings := []string{"Mallory", "mallory", "MALLORY", " mallory ", "mal\u200blory", "\uff4dallory", "m\u0061llory"}
	call := func(user string) int {
		return send(t, g, "/v1/chat/completions", `{"model":"sim-small","messages":[{"role":"user","content":"x"}],"user":`+strconv.Quote(user)+`}`).status
	}
	block := p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"users":["Mallory"]},"reason":"test"}`)
	for _, user := range spellings {
		if got := call(user); got != 403 {
			t.Errorf("user %q: %d", user, got)
		}
		for path, body := range map[string]string{
			"/v1/messages":  `{"model":"sim-small","max_tokens":5,"messages":[],"metadata":{"user_id":` + strconv.Quote(user) + `}}`,
			"/v1/responses": `{"model":"sim-small","input":"x","safety_identifier":` + strconv.Quote(user) + `,"user":"someone"}`,
		} {
			if a := send(t, g, path, body); a.status != 403 {
				t.Errorf("user %q on %s: %d", user, path, a.status)
			}
		}
	}
	if got := call("mallory2"); got != 200 {
		t.Errorf("another user: %d", got)
	}
	p.lift(1, block)
	p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":2,"window":"1h","per":"user"},"scope":{"all":true},"reason":"test"}`)
	passed := 0
	for _, user := range spellings {
		if call(user) == 200 {
			passed++
		}
	}
	if passed != 2 {
		t.Errorf("%d spellings of one user passed a limit of 2", passed)
	}
}

// Some clients offer HTTP/2 with every request. They are answered over HTTP/1.1,
// and the offer does not travel on.
func TestAnOfferOfHTTP2IsLeftAlone(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p := newPlane(t)
	g := p.start(startSim(t), toProvider(pr, ""))
	a := attack{name: "h2c", method: "POST", path: "/v1/chat/completions", body: asSmall,
		headers: []string{"Upgrade", "h2c", "Connection", "Upgrade, HTTP2-Settings", "Http2-Settings", "AAMAAABkAAQAAP__"}}
	if status, body := a.send(t, g); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if r, _ := pr.last(); r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
		t.Errorf("the provider got %v", r.Header)
	}
}

// Azure is told by a header which model draws; it is decided on like any other.
func TestADeploymentNamedByAHeaderIsDecided(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p := newPlane(t)
	g := p.start(startSim(t), toProvider(pr, ""))
	call := func(name string) int {
		return send(t, g, "/openai/v1/responses", `{"model":"sim-small","input":"x","tools":[{"type":"image_generation"}]}`,
			"X-Ms-Oai-Image-Generation-Deployment", name).status
	}
	if got := call("sim-large"); got != 200 {
		t.Errorf("before: %d", got)
	}
	if got := call("unknown"); got != 404 {
		t.Errorf("an unknown one: %d", got)
	}
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`)
	if got := call("sim-large"); got != 503 {
		t.Errorf("a stopped one: %d", got)
	}
}
