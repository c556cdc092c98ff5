package front

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A connection that was taken over carries what came early, counts as busy, ends
// with its handler, and is broken off by a shutdown that runs out of time.
func TestHijack(t *testing.T) {
	taken := make(chan net.Conn, 1)
	addr, s := start(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * watchAfter) // the watch for a client that leaves has begun
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		taken <- conn
		if _, _, err := w.(http.Hijacker).Hijack(); err == nil {
			t.Error("it was taken over twice")
		}
		for {
			line, err := rw.ReadString('\n')
			if err != nil || line == "end\n" {
				return
			}
			rw.WriteString(line)
			rw.Flush()
		}
	})
	open := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly\n")
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" {
			t.Fatal(resp, err)
		}
		if line, err := r.ReadString('\n'); line != "early\n" {
			t.Fatalf("%q %v", line, err)
		}
		<-taken
		return c, r
	}
	c, r := open()
	defer c.Close()
	io.WriteString(c, "end\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("after its handler the connection answers: %q", b)
	}
	c, r = open()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("the shutdown did not wait")
	}
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("%q", b)
	}
}

func TestHijackAfterAnAnswer(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "answer")
		if _, _, err := w.(http.Hijacker).Hijack(); err == nil {
			t.Error("taken over in the middle of an answer")
		}
	})
	if got := talk(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "answer") {
		t.Errorf("%q", got)
	}
}
