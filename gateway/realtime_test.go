package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"andon/order"
	"andon/sim"
)

// realtimeClient is a client of a realtime session.
type realtimeClient struct {
	t    testing.TB
	conn *websocket.Conn
	in   chan string
	err  error // why it ended, once in is closed
}

func dialRealtime(t testing.TB, g *Gateway, query string, options func(*websocket.DialOptions)) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + secret}}, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if options != nil {
		options(o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	return websocket.Dial(ctx, "ws://"+g.Addr()+"/v1/realtime"+query, o)
}

func openRealtime(t testing.TB, g *Gateway, query string, options func(*websocket.DialOptions)) *realtimeClient {
	t.Helper()
	conn, resp, err := dialRealtime(t, g, query, options)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, resp)
	}
	c := readRealtime(t, conn)
	c.want("session.created")
	return c
}

func readRealtime(t testing.TB, conn *websocket.Conn) *realtimeClient {
	conn.SetReadLimit(32 << 20)
	c := &realtimeClient{t: t, conn: conn, in: make(chan string, 10000)}
	t.Cleanup(func() { conn.CloseNow() })
	go func() {
		defer close(c.in)
		for {
			_, data, err := conn.Read(context.Background())
			if err != nil {
				c.err = err
				return
			}
			c.in <- string(data)
		}
	}()
	return c
}

func (c *realtimeClient) send(events ...string) {
	c.t.Helper()
	for _, e := range events {
		if err := c.conn.Write(context.Background(), websocket.MessageText, []byte(e)); err != nil {
			c.t.Fatalf("send %s: %v", e, err)
		}
	}
}

// want reads to the next event of a type, or of any, and returns it.
func (c *realtimeClient) want(typ string) string {
	c.t.Helper()
	deadline := time.After(generous)
	var seen []string
	for {
		select {
		case e, ok := <-c.in:
			if !ok {
				c.t.Fatalf("the session ended before %s: %v; %v", typ, c.err, seen)
			}
			seen = append(seen, typeOf(e))
			if typ == "" || typeOf(e) == typ {
				return e
			}
			if typeOf(e) == "error" && typ != "error" {
				c.t.Fatalf("before %s: %s", typ, e)
			}
		case <-deadline:
			c.t.Fatalf("no %s came, but %v", typ, seen)
		}
	}
}

// text reads to the end of a response, and returns what it said.
func (c *realtimeClient) text() (text string) {
	c.t.Helper()
	for {
		e := c.want("")
		var d struct {
			Type  string `json:"type"`
			Delta string `json:"delta"`
		}
		json.Unmarshal([]byte(e), &d)
		if strings.HasSuffix(d.Type, "text.delta") || strings.HasSuffix(d.Type, "transcript.delta") || strings.HasSuffix(d.Type, "arguments.delta") {
			text += d.Delta
		}
		if d.Type == "response.done" {
			return text
		}
	}
}

// rest reads to the end.
func (c *realtimeClient) rest() (events []string) {
	c.t.Helper()
	deadline := time.After(generous)
	for {
		select {
		case e, ok := <-c.in:
			if !ok {
				return events
			}
			events = append(events, e)
		case <-deadline:
			c.t.Fatal("the session did not end")
		}
	}
}

func typeOf(event string) string {
	var e struct {
		Type string `json:"type"`
	}
	json.Unmarshal([]byte(event), &e)
	return e.Type
}

func says(text string) string {
	return fmt.Sprintf(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}}`, text)
}

const (
	inText  = `{"type":"session.update","session":{"type":"realtime","output_modalities":["text"]}}`
	respond = `{"type":"response.create"}`
)

// gotEvents are the events that the sim got, without those that only say text.
func gotEvents(s *sim.Sim) (events []string) {
	for _, r := range s.Requests() {
		if r.Method == "EVENT" {
			events = append(events, string(r.Body))
		}
	}
	return events
}

func TestRealtimeSession(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	c := openRealtime(t, g, "?model=large", nil)
	active(t, s, 1)
	if r := s.Requests()[0]; r.Query != "model=sim-large" || r.Header.Get("Authorization") != "" {
		t.Errorf("the provider got ?%s with %q", r.Query, r.Header.Get("Authorization"))
	}
	update := `{"type":"session.update", "session":{"type":"realtime","output_modalities":["text"],"future":{"x":[1,2]},"instructions":"Be brief."}}`
	c.send(update)
	c.want("session.updated")
	c.send(says(`sim: text="Quietly, the tide comes in."`), respond)
	text := c.text()
	if text != "Quietly, the tide comes in." {
		t.Errorf("%q", text)
	}
	if got := gotEvents(s); len(got) != 3 || got[0] != update || got[2] != respond {
		t.Errorf("the provider got %q", got)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
	active(t, s, 0)
	p.await("an empty registry", func() bool { return g.live.len() == 0 })
}

func TestRealtimeIsCut(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	c, other := openRealtime(t, g, "?model=sim-large", nil), openRealtime(t, g, "?model=sim-small", nil)
	c.send(inText, says("sim: tokens=5000 interval=10ms"), respond)
	c.want("response.output_text.delta")
	active(t, s, 2)
	id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test","public_reason":"under investigation"}`)
	events := c.rest()
	last := events[len(events)-1]
	for _, want := range []string{`{"type":"error","event_id":"`, `"error":{"type":"andon_correction"`, `"code":"andon_correction"`, `"correction_id":"` + id, "under investigation"} {
		if !strings.Contains(last, want) {
			t.Errorf("the last event lacks %s: %s", want, last)
		}
	}
	var end websocket.CloseError
	if !errors.As(c.err, &end) || end.Code != 4503 || end.Reason != "andon_correction "+id {
		t.Errorf("close: %v", c.err)
	}
	active(t, s, 1)
	other.send(inText)
	other.want("session.updated")
	if _, resp, err := dialRealtime(t, g, "?model=sim-large", func(o *websocket.DialOptions) {}); err != nil || resp.Header.Get("Andon-Model") != "sim-small" {
		t.Errorf("the fallback: %v %v", err, resp)
	}
	p.revoke(1, "k-1")
	events = other.rest()
	if last := events[len(events)-1]; !strings.Contains(last, "invalid_api_key") {
		t.Errorf("%s", last)
	}
	if !errors.As(other.err, &end) || end.Code != 4401 {
		t.Errorf("close: %v", other.err)
	}
	active(t, s, 0)
}

func TestRealtimeSessionsAreCutTogether(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	const n = 500
	var all []*realtimeClient
	for range n {
		c := openRealtime(t, g, "?model=sim-large", nil)
		c.send(inText, says("sim: tokens=5000 interval=500ms"), respond)
		all = append(all, c)
	}
	active(t, s, n)
	p.apply(1, `{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
	for i, c := range all {
		events := c.rest()
		var end websocket.CloseError
		told := len(events) > 0 && strings.Contains(events[len(events)-1], "andon_correction")
		if !told || !errors.As(c.err, &end) || end.Code != 4503 {
			t.Errorf("session %d: told: %v; %v", i, told, c.err)
		}
	}
	active(t, s, 0)
	p.await("an empty registry", func() bool { return g.live.len() == 0 })
}

func TestRealtimeCredentials(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) { c.Upstreams[0].Key = "provider-secret" })
	key := func(values ...string) func(*websocket.DialOptions) {
		return func(o *websocket.DialOptions) { o.HTTPHeader, o.Subprotocols = http.Header{}, values }
	}
	c := openRealtime(t, g, "?model=sim-large", key("realtime", keyProtocol+secret, "openai-organization.org-1"))
	if c.conn.Subprotocol() != "realtime" {
		t.Errorf("subprotocol %q", c.conn.Subprotocol())
	}
	r := s.Requests()[0]
	if r.Header.Get("Authorization") != "Bearer provider-secret" || r.Header.Get("Sec-Websocket-Protocol") != "realtime" || strings.Contains(fmt.Sprint(r.Header), secret) {
		t.Errorf("the provider got %v", r.Header)
	}
	for name, options := range map[string]func(*websocket.DialOptions){
		"missing_api_key": key("realtime"), "invalid_api_key": key("realtime", keyProtocol+"another"),
		"ambiguous_key": func(o *websocket.DialOptions) { o.Subprotocols = []string{keyProtocol + "another"} },
	} {
		_, resp, err := dialRealtime(t, g, "?model=sim-large", options)
		if err == nil || resp == nil || resp.StatusCode != 401 {
			t.Errorf("%s: %v %v", name, resp, err)
		}
	}
	sum := sha256.Sum256([]byte("ak_second"))
	for life := time.Second; ; life *= 2 { // a slow machine takes longer than that to use it
		p.issue(order.Order{PutKeys: []order.Key{{ID: "k-2", Hash: hex.EncodeToString(sum[:]), Org: "globex", ExpiresAt: time.Now().Add(life)}}})
		p.enforced(1)
		conn, resp, err := dialRealtime(t, g, "?model=sim-large", key("realtime", keyProtocol+"ak_second"))
		if err != nil && resp != nil && resp.StatusCode == 401 && life < generous/2 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if events := readRealtime(t, conn).rest(); !strings.Contains(fmt.Sprint(events), "invalid_api_key") {
			t.Errorf("an expired key: %v", events)
		}
		break
	}
}
