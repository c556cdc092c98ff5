package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	creds "andon/credential"
)

// protected makes a gateway's listener speak TLS, and returns a client for it.
func protected(t testing.TB) (change func(*Config), client func(two bool) *http.Client) {
	t.Helper()
	ca, err := creds.LoadOrCreateCA(filepath.Join(t.TempDir(), "ca"), "test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	from, err := creds.NewIssued(ca, creds.Identity{Role: creds.RoleGateway, Name: "gw-1"}, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
			c.TLS = creds.Older(creds.Server(from, tls.NoClientCert, nil))
			c.AdminTLS = creds.Server(from, tls.NoClientCert, nil)
		}, func(two bool) *http.Client {
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: two}
			t.Cleanup(tr.CloseIdleConnections)
			return &http.Client{Transport: tr}
		}
}

func openTLS(t testing.TB, c *http.Client, g *Gateway, path, body string) *stream {
	t.Helper()
	req := must(http.NewRequest("POST", "https://"+g.Addr()+path, strings.NewReader(body)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return readStream(t, resp)
}

// A stop ends streams over TLS as it does in plaintext: with the wire's own event,
// on every wire, over HTTP/1.1 and HTTP/2. Nothing is written past the records.
func TestStopCutsStreamsOverTLS(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			p, s := newPlane(t), startSim(t)
			change, client := protected(t)
			g := p.start(s, change)
			c := client(two)
			const each = 8
			var all []*stream
			for range each {
				for _, w := range streamed {
					st := openTLS(t, c, g, w.path, w.body)
					if st.resp.StatusCode != 200 || (st.resp.ProtoMajor == 2) != two {
						t.Fatalf("%s: %s %s", w.wire, st.resp.Proto, st.resp.Status)
					}
					st.next(t)
					all = append(all, st)
				}
			}
			other := openTLS(t, c, g, "/v1/chat/completions", strings.Replace(streamed[0].body, "sim-large", "sim-small", 1))
			other.next(t)
			active(t, s, len(all)+1)
			id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test","public_reason":"under investigation"}`)
			for i, st := range all {
				w := streamed[i%len(streamed)]
				events := st.rest(t)
				if st.err != nil || len(events) == 0 {
					t.Fatalf("%s: %d events, then %v", w.wire, len(events), st.err)
				}
				last := events[len(events)-1]
				for _, want := range []string{w.end, id, "under investigation", "andon_correction"} {
					if !strings.Contains(last, want) {
						t.Errorf("%s: terminal event lacks %q: %s", w.wire, want, last)
					}
				}
			}
			active(t, s, 1)
			other.next(t)
		})
	}
}

// A client that reads nothing cannot keep a cut stream, nor the sweep, waiting.
func TestAClientOverTLSThatDoesNotReadIsForced(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	p.patience = patience
	change, client := protected(t)
	g := p.start(s, change)
	roots := client(false).Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn := must(tls.Dial("tcp", g.Addr(), &tls.Config{RootCAs: roots}))
	defer conn.Close()
	if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	body := `{"model":"sim-large","stream":true,"messages":[{"role":"user","content":"sim: tokens=500000"}]}`
	io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+secret+"\r\nContent-Type: application/json\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
	active(t, s, 1)
	time.Sleep(300 * time.Millisecond) // until it is stuck
	begun := time.Now()
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if took := time.Since(begun); took > writeTimeout/2 {
		t.Errorf("the sweep waited %s for a client that does not read", took)
	}
	active(t, s, 0)
	p.await("the end of the call", func() bool { return g.live.len() == 0 })
}

func itoa(n int) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

func TestRealtimeIsCutOverTLS(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	change, client := protected(t)
	g := p.start(s, change)
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "wss://"+g.Addr()+"/v1/realtime?model=sim-large", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + secret}}, HTTPClient: client(false)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	if _, _, err := conn.Read(ctx); err != nil { // session.created
		t.Fatal(err)
	}
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`)
	said := ""
	for err == nil {
		var data []byte
		if _, data, err = conn.Read(ctx); err == nil {
			said = string(data)
		}
	}
	if websocket.CloseStatus(err) != 4503 || !strings.Contains(said, "andon_correction") {
		t.Errorf("%v after %s", err, said)
	}
}

// Whoever speaks plaintext to a TLS listener learns so, and an old TLS is refused.
func TestWhatATLSListenerRefuses(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	change, client := protected(t)
	g := p.start(s, change)
	resp, err := http.Get("http://" + g.Addr() + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 400 || !strings.Contains(string(text), "HTTPS") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	roots := client(false).Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, tc := range []struct {
		addr string
		max  uint16
		ok   bool
	}{{g.Addr(), tls.VersionTLS11, false}, {g.Addr(), tls.VersionTLS12, true}, {g.Addr(), tls.VersionTLS13, true},
		{g.AdminAddr(), tls.VersionTLS12, false}, {g.AdminAddr(), tls.VersionTLS13, true}} {
		c, err := tls.Dial("tcp", tc.addr, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tc.max})
		if (err == nil) != tc.ok {
			t.Errorf("%s with TLS %x: %v", tc.addr, tc.max, err)
		}
		if err == nil {
			c.Close()
		}
	}
	// An old suite without forward secrecy is not spoken.
	if c, err := tls.Dial("tcp", g.Addr(), &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}); err == nil {
		c.Close()
		t.Error("an old suite was taken")
	}
}
