package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func exchange(h *Host, c *Conn, body string) (*http.Response, string, error) {
	head := fmt.Appendf(make([]byte, 0, 512), "POST %s/x HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", h.Prefix, h.Name, len(body))
	if err := c.Send(head, []byte(body)); err != nil {
		return nil, "", err
	}
	resp, err := c.Receive()
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func dial(t *testing.T, h *Host) *Conn {
	t.Helper()
	c, err := h.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConnectionsAreReusedOverTLSToo(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.URL.Path, r.Proto, b)
	})
	plain, secure := httptest.NewServer(echo), httptest.NewTLSServer(echo)
	defer plain.Close()
	defer secure.Close()
	for _, srv := range []*httptest.Server{plain, secure} {
		h, err := New(srv.URL + "/base/")
		if err != nil {
			t.Fatal(err)
		}
		if h.tls != nil {
			h.tls.RootCAs = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			h.tls.ServerName = "example.com"
		}
		c := dial(t, h)
		for i := range 3 {
			body := strings.Repeat("b", 1+i*100_000) // in one write, and in two
			resp, got, err := exchange(h, c, body)
			if err != nil || got != "/base/x HTTP/1.1 "+body {
				t.Fatalf("%v %.60q", err, got)
			}
			c.Release(resp)
			kept := h.Kept()
			if kept != c || !kept.Reused {
				t.Fatal("the connection was not kept")
			}
			if h.Kept() != nil {
				t.Fatal("one connection was given out twice")
			}
		}
		c.Close()
	}
}

func TestWhatMustNotBeReusedIsClosed(t *testing.T) {
	for name, answer := range map[string]string{
		"said close":       "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"until the end":    "HTTP/1.0 200 OK\r\n\r\nok",
		"more than it was": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
	} {
		t.Run(name, func(t *testing.T) {
			h, stop := raw(t, func(c net.Conn) { io.WriteString(c, answer); c.(*net.TCPConn).CloseWrite() })
			defer stop()
			c := dial(t, h)
			resp, got, err := exchange(h, c, "x")
			if err != nil || got != "ok" {
				t.Fatalf("%v %q", err, got)
			}
			c.Release(resp)
			if h.Kept() != nil {
				t.Error("kept")
			}
		})
	}
}

// raw serves each connection's first request with f.
func raw(t *testing.T, f func(net.Conn)) (*Host, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Read(make([]byte, 8192))
				f(c)
			}()
		}
	}()
	h, err := New("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return h, func() { l.Close() }
}

func TestInterruptWakesAReaderAtOnce(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	h, stop := raw(t, func(c net.Conn) { <-hold })
	defer stop()
	c := dial(t, h)
	failed := make(chan error, 1)
	go func() {
		_, _, err := exchange(h, c, "x")
		failed <- err
	}()
	time.Sleep(10 * time.Millisecond) // so that it most likely waits; either way it must end
	c.Interrupt()
	select {
	case err := <-failed:
		if err == nil || errors.Is(err, ErrReset) {
			t.Errorf("%v: an interrupted exchange must not be tried again", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("still waiting")
	}
	c.Close()
}

func TestDeadKeptConnectionsAreNotGivenOut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	defer srv.Close()
	h, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, h)
	resp, _, err := exchange(h, c, "x")
	if err != nil {
		t.Fatal(err)
	}
	c.Release(resp)
	srv.CloseClientConnections()
	deadline := time.Now().Add(30 * time.Second)
	for c.alive() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if h.Kept() != nil {
		t.Error("a dead connection was given out")
	}
}

// A provider that speaks unasked on an idle connection must not answer the next
// call with it.
func TestWordsUnaskedAreNobodysAnswer(t *testing.T) {
	spoken := make(chan struct{})
	h, stop := raw(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		<-spoken
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
		spoken <- struct{}{}
		c.Read(make([]byte, 1))
	})
	defer stop()
	c := dial(t, h)
	resp, _, err := exchange(h, c, "x")
	if err != nil {
		t.Fatal(err)
	}
	c.Release(resp)
	spoken <- struct{}{}
	<-spoken
	for deadline := time.Now().Add(30 * time.Second); c.alive() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // until they are here
	}
	if h.Kept() != nil {
		t.Error("a connection with unread words was given out")
	}
}

func TestInterimAnswersAndOddHeads(t *testing.T) {
	h, stop := raw(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	defer stop()
	if resp, got, err := exchange(h, dial(t, h), "x"); err != nil || got != "ok" || resp.StatusCode != 200 {
		t.Errorf("%v %q", err, got)
	}
	h, stop = raw(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n") })
	defer stop()
	if _, _, err := exchange(h, dial(t, h), "x"); err == nil {
		t.Error("an unasked upgrade was taken")
	}
}

func TestBaseURLs(t *testing.T) {
	for _, bad := range []string{"ftp://x", "://", "x"} {
		if _, err := New(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h, err := New("http://127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Dial(ctx); err == nil {
		t.Error("dialled under a cancelled context")
	}
}
