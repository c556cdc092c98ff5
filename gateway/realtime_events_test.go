package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func weather(name string) string {
	return fmt.Sprintf(`{"type":"session.update","event_id":"e-1","session":{"type":"realtime","output_modalities":["text"],"tools":[{"type":"function","name":%q,"parameters":{"type":"object","properties":{"city":{"type":"string"}}}}]}}`, name)
}

// refused sends an event, and wants it refused by an error event that names it
// and has these texts. The session goes on.
func (c *realtimeClient) refused(event string, texts ...string) {
	c.t.Helper()
	c.send(event)
	got := c.want("error")
	for _, text := range texts {
		if !strings.Contains(got, text) {
			c.t.Errorf("%s\nis refused with %s\nwhich lacks %q", event, got, text)
		}
	}
}

func TestRealtimeToolsAreDecided(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	id := p.apply(1, `{"kind":"capability","params":{"disable":["tool:launch"]},"scope":{"models":["sim-large"]},"reason":"test"}`)
	c := openRealtime(t, g, "?model=sim-large", nil)
	c.send(weather("weather"))
	c.want("session.updated")
	c.refused(weather("launch"), `"event_id":"e-1"`, id, `"type":"andon_correction"`)
	c.refused(`{"type":"response.create","response":{"tools":[{"type":"function","name":"launch"}]}}`, id)
	c.send(says("sim: tool=weather"), respond)
	if text := c.text(); !strings.Contains(text, "city") {
		t.Errorf("%q", text)
	}
	for _, e := range gotEvents(s) {
		if strings.Contains(e, "launch") {
			t.Errorf("the provider got %s", e)
		}
	}
	// A call of a denied tool that nobody offered does not reach the client.
	c.send(says("sim: tool=launch"), respond)
	all := strings.Join(c.rest(), "\n")
	var end websocket.CloseError
	if strings.Contains(all, `"name":"launch"`) || strings.Contains(all, "arguments") || !strings.Contains(all, id) || !errors.As(c.err, &end) || end.Code != 4422 {
		t.Errorf("%s %v", all, c.err)
	}
	// What a running session offers counts, too.
	c = openRealtime(t, g, "?model=sim-large", nil)
	c.send(weather("weather"))
	c.want("session.updated")
	p.apply(1, `{"kind":"capability","params":{"disable":["tool:weather"]},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if all := c.rest(); !strings.Contains(strings.Join(all, ""), "andon_correction") {
		t.Errorf("%v", all)
	}
	active(t, s, 0)
}

func TestRealtimeFilters(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["forbidden phrase"],"action":"cut"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	c := openRealtime(t, g, "?model=sim-large", nil)
	c.refused(respond, id, "can not listen")
	c.refused(`{"type":"input_audio_buffer.append","audio":"AAAA"}`, id)
	c.send(inText, says(`sim: text="This is harmless and forbidden here."`), respond)
	if text := c.text(); text != "This is harmless and forbidden here." {
		t.Errorf("%q", text)
	}
	c.send(says(`sim: text="Before it, a forbidden phrase after"`), respond)
	all := strings.Join(c.rest(), "\n")
	if strings.Contains(all, `" phrase"`) || strings.Contains(all, " forbidden\"") || !strings.Contains(all, `"Before"`) || !strings.Contains(all, id) {
		t.Errorf("%s", all)
	}
	p.lift(1, id)
	// Sound that comes all the same: the filter came into force during it.
	c = openRealtime(t, g, "?model=sim-large", nil)
	c.send(says(`sim: tokens=1000 interval=10ms`), respond)
	c.want("response.output_audio.delta")
	id = p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"both","detector":"patterns","patterns":["forbidden phrase"],"action":"redact"}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if all := strings.Join(c.rest(), "\n"); !strings.Contains(all, id) {
		t.Errorf("%s", all)
	}
	// On prompts.
	c = openRealtime(t, g, "?model=sim-large", nil)
	c.send(inText, says("here a forbidden phrase stands"), `{"type":"session.update","session":{"instructions":"a forbidden phrase"}}`)
	c.want("session.updated")
	c.want("session.updated")
	for _, e := range gotEvents(s) {
		if strings.Contains(e, "here a forbidden phrase") || strings.Contains(e, `"instructions":"a forbidden`) {
			t.Errorf("the provider got %s", e)
		}
	}
	c.refused(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_audio","audio":"AAAA"}]}}`, id)
}

func TestRealtimeClampsModelsAndHostileEvents(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	p.apply(1, `{"kind":"capability","params":{"clamp":{"output_tokens":5}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	c := openRealtime(t, g, "?model=sim-large", nil)
	c.send(`{"type":"session.update","session":{"type":"realtime","model":"large","output_modalities":["text"],"max_output_tokens":"inf"}}`)
	if e := c.want("session.updated"); !strings.Contains(e, `"max_output_tokens":5`) || !strings.Contains(e, `"model":"sim-large"`) {
		t.Errorf("%s", e)
	}
	c.send(says("sim: tokens=50"), `{"type":"response.create","response":{"max_output_tokens":40}}`)
	if text := c.text(); len(strings.Fields(text)) > 5 {
		t.Errorf("%q", text)
	}
	other := openRealtime(t, g, "?model=sim-large", nil)
	other.send(says("sim: tokens=50"))
	if e := other.want("session.updated"); !strings.Contains(e, `"max_output_tokens":5`) { // told by the gateway
		t.Errorf("%s", e)
	}
	before := len(gotEvents(s))
	for _, hostile := range []struct{ event, code string }{
		{`{"type":"session.update","session":{"model":"sim-small"}}`, "model_mismatch"},
		{`{"type":"response.create","response":{"model":"sim-small"}}`, "model_mismatch"},
		{`{"type":"session.update","session":{"model":"sim-large","Model":"sim-small"}}`, "case_variant"},
		{`{"type":"session.update","session":{"model":"sim-large","mod\u0065l":"sim-small"}}`, "duplicate"},
		{`{"type":"session.update","Session":{"model":"sim-small"}}`, "case_variant"},
		{`{"type":"session.update","type":"response.create"}`, "duplicate"},
		{`{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"unknown-model"}}}}}`, "model_not_found"},
		{`{"type":"session.update","session":{"max_output_tokens":"many"}}`, `"error"`},
		{`{"type":5}`, `"error"`}, {`[]`, `"error"`}, {``, `"error"`}, {`{"type":"x"`, `"error"`}, {"\xef\xbb\xbf{}", `"error"`}, {`{"type":"x"}{}`, `"error"`},
		{strings.Repeat("[", 5000), `"error"`},
	} {
		c.refused(hostile.event, hostile.code)
	}
	if n := len(gotEvents(s)); n != before {
		t.Errorf("the provider got %q", gotEvents(s)[before:])
	}
	if err := c.conn.Write(context.Background(), websocket.MessageBinary, []byte(inText)); err != nil {
		t.Fatal(err)
	}
	if e := c.want("error"); !strings.Contains(e, "binary_event") {
		t.Errorf("%s", e)
	}
	c.conn.Write(context.Background(), websocket.MessageText, make([]byte, 17<<20))
	c.rest()
	if websocket.CloseStatus(c.err) == websocket.StatusNormalClosure || c.err == nil {
		t.Errorf("after 17 MiB: %v", c.err)
	}
	other.conn.CloseNow()
	active(t, s, 0)
}

func TestRealtimeLimits(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	places := p.apply(1, `{"kind":"rate","params":{"metric":"concurrent","limit":1,"per":"key"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	c := openRealtime(t, g, "?model=sim-large", nil)
	if _, resp, err := dialRealtime(t, g, "?model=sim-large", nil); err == nil || resp == nil || resp.StatusCode != 429 {
		t.Errorf("a second session: %v %v", resp, err)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
	p.await("an empty registry", func() bool { return g.live.len() == 0 })
	c = openRealtime(t, g, "?model=sim-large", nil)
	c.conn.CloseNow()
	p.await("an empty registry", func() bool { return g.live.len() == 0 })
	p.lift(1, places)

	id := p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":3,"window":"1h","per":"key"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	c = openRealtime(t, g, "?model=sim-large", nil) // 1
	c.send(inText, says("sim: tokens=2"), respond)  // 2
	c.text()
	c.send(`{"type":"input_audio_buffer.append","audio":"AAAA"}`, `{"type":"input_audio_buffer.commit"}`) // 3, unasked
	c.text()
	c.refused(`{"type":"response.create","event_id":"e-9"}`, id, `"event_id":"e-9"`, "retry_after")
	c.send(`{"type":"input_audio_buffer.commit"}`) // one more, unasked
	if all := strings.Join(c.rest(), "\n"); !strings.Contains(all, id) || strings.Contains(all, `"response.output_text.delta"`) {
		t.Errorf("%s", all)
	}
	p.lift(1, id)

	id = p.apply(1, `{"kind":"rate","params":{"metric":"output_tokens","limit":100,"window":"1h","per":"key"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	c = openRealtime(t, g, "?model=sim-large", nil)
	for range 4 { // of usage events, and not of estimates
		c.send(inText, says("sim: tokens=30"), respond)
		c.text()
	}
	c.refused(respond, id)
}

// What asks for another protocol in any but the one right way.
func TestUpgradesAreRefused(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	const right = "Host: x\r\nAuthorization: Bearer " + secret + "\r\n"
	const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for _, c := range []struct {
		name, raw string
		status    int
	}{
		{"elsewhere", "POST /v1/chat/completions HTTP/1.1\r\n" + right + "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", 400},
		{"h2c", "POST /v1/chat/completions HTTP/1.1\r\n" + right + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 0\r\n\r\n", 400},
		{"h2c, where a WebSocket is opened", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 400},
		{"none", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + "\r\n", 426},
		{"no connection", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\n\r\n", 426},
		{"two values", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400},
		{"a list", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n", 400},
		{"version", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + strings.Replace(key, "13", "8", 1) + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 426},
		{"key", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + strings.Replace(key, "AAAA==", "==", 1) + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400},
		{"a body", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}", 400},
		{"a chunked body", "GET /v1/realtime?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"responses", "GET /v1/responses HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 501},
		{"another session", "GET /v1/realtime/translations?model=sim-large HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 501},
		{"two models", "GET /v1/realtime?model=sim-large&model=sim-small HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 404},
		{"a call", "GET /v1/realtime?call_id=rtc_1 HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 403},
		{"unknown model", "GET /v1/realtime?model=other HTTP/1.1\r\n" + right + key + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 404},
		{"a secret", "POST /v1/realtime/client_secrets HTTP/1.1\r\n" + right + "Content-Type: application/json\r\nContent-Length: 33\r\n\r\n{\"session\":{\"model\":\"sim-large\"}}", 403},
		{"media past the gateway", "POST /v1/realtime/calls/rtc_1/accept HTTP/1.1\r\n" + right + "Content-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"model\":\"sim-large\"}", 403},
	} {
		conn, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(generous))
		io.WriteString(conn, c.raw)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		conn.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(body), `{"error":{"message":`) {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
	}
	// HTTP/2, and its CONNECT.
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	defer two.CloseIdleConnections()
	for _, method := range []string{"GET", "CONNECT"} {
		req := must(http.NewRequest(method, "http://"+g.Addr()+"/v1/realtime?model=sim-large", nil))
		req.Header.Set("Authorization", "Bearer "+secret)
		if method == "CONNECT" {
			req.Header[":protocol"] = []string{"websocket"}
		}
		resp, err := two.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil && (resp.StatusCode < 400 || resp.StatusCode >= 500) {
			t.Errorf("HTTP/2 %s: %d", method, resp.StatusCode)
		}
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("the provider got %v", s.Requests())
	}
}
