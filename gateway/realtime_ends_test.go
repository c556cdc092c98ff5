package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// socketProvider is a provider of realtime sessions, as the test has it.
func socketProvider(t *testing.T, serve func(*websocket.Conn)) func(*Config) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(32 << 20)
		conn.Write(context.Background(), websocket.MessageText, []byte(`{"type":"session.created"}`))
		serve(conn)
	}))
	t.Cleanup(srv.Close)
	return func(c *Config) { c.Upstreams[0].BaseURL = srv.URL }
}

func TestRealtimeDrains(t *testing.T) {
	t.Parallel()
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	c := openRealtime(t, g, "?model=sim-large", nil)
	c.send(inText, says("sim: tokens=1000 interval=20ms"), respond)
	c.want("response.output_text.delta")
	began := time.Now()
	id := p.apply(1, `{"kind":"stop","params":{"level":"L2","drain":"5s"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
	c.refused(`{"type":"response.create"}`, id) // nothing new
	c.want("response.output_text.delta")        // what runs goes on
	all := c.rest()
	if !strings.Contains(all[len(all)-1], id) || time.Since(began) < 5*time.Second {
		t.Errorf("after %v: %s", time.Since(began), all[len(all)-1])
	}
	if _, resp, err := dialRealtime(t, g, "?model=sim-large", nil); err == nil || resp.StatusCode != 503 {
		t.Errorf("a new session: %v %v", resp, err)
	}
}

func TestRealtimeProviderEnds(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	for name, c := range map[string]struct {
		serve  func(*websocket.Conn)
		code   websocket.StatusCode
		events string
	}{
		"orderly":    {func(conn *websocket.Conn) { conn.Close(4123, "session expired") }, 4123, ""},
		"breaks off": {func(conn *websocket.Conn) { conn.CloseNow() }, 4502, "upstream_broke_off"},
		"not JSON":   {func(conn *websocket.Conn) { conn.Write(context.Background(), 1, []byte("{a")); conn.Close(1000, "") }, 1000, "{a"},
		"bytes":      {func(conn *websocket.Conn) { conn.Write(context.Background(), 2, []byte{1, 2}); conn.Close(1000, "") }, 1000, "\x01\x02"},
		"large": {func(conn *websocket.Conn) {
			conn.Write(context.Background(), 1, make([]byte, 17<<20))
			conn.Read(context.Background())
		}, 4502, "upstream_broke_off"},
		"line breaks": {func(conn *websocket.Conn) {
			conn.Write(context.Background(), 1, []byte("{\r\n\"type\":\n\"x\"}"))
			conn.Close(1000, "")
		}, 1000, "{\r\n\"type\":\n\"x\"}"},
	} {
		g, stop := p.launch(s, socketProvider(t, c.serve))
		client := openRealtime(t, g, "?model=sim-large", nil)
		all := strings.Join(client.rest(), "\n")
		var end websocket.CloseError
		if !errors.As(client.err, &end) || end.Code != c.code || !strings.Contains(all, c.events) {
			t.Errorf("%s: %q %v", name, all, client.err)
		}
		p.await("an empty registry", func() bool { return g.live.len() == 0 })
		stop()
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req_1")
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprint(w, `{"error":{"message":"pay first"}}`)
	}))
	defer refusing.Close()
	g, stop := p.launch(s, func(c *Config) { c.Upstreams[0].BaseURL = refusing.URL })
	defer stop()
	_, resp, err := dialRealtime(t, g, "?model=sim-large", nil)
	if err == nil || resp == nil || resp.StatusCode != 402 || resp.Header.Get("X-Request-Id") != "req_1" {
		t.Errorf("a provider that refuses: %v %v", resp, err)
	}
}

// Neither a client that reads nothing nor a provider that reads nothing keeps a
// session from its end.
func TestRealtimeStuckSidesAreCut(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	p.patience = patience
	ended := make(chan struct{}, 2)
	g := p.start(s, socketProvider(t, func(conn *websocket.Conn) {
		defer func() { ended <- struct{}{} }()
		big := []byte(`{"type":"x","y":"` + strings.Repeat("z", 1<<20) + `"}`)
		for conn.Write(context.Background(), websocket.MessageText, big) == nil {
		}
	}))
	for range 2 {
		conn, _, err := dialRealtime(t, g, "?model=sim-large", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		go func() { // until neither the gateway nor the provider takes more
			big := []byte(`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":"` + strings.Repeat("z", 1<<20) + `"}}`)
			for conn.Write(context.Background(), websocket.MessageText, big) == nil {
			}
		}()
	}
	p.await("two sessions", func() bool { return g.live.len() == 2 })
	time.Sleep(300 * time.Millisecond) // let the buffers fill; only makes the case harder
	p.apply(1, `{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`)
	for range 2 {
		select {
		case <-ended:
		case <-time.After(generous):
			t.Fatal("the provider's side goes on")
		}
	}
	p.await("an empty registry", func() bool { return g.live.len() == 0 })
}
