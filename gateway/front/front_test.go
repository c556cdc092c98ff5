package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, h http.HandlerFunc) (addr string, s *Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &Server{Handler: h, Log: slog.New(slog.DiscardHandler)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), s
}

// talk sends raw bytes and returns everything that comes back until the end.
func talk(t *testing.T, addr, send string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, send)
	c.(*net.TCPConn).CloseWrite()
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Logf("read: %v", err)
	}
	return string(b)
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(400)
		return
	}
	fmt.Fprintf(w, "<%s %s %s>", r.Method, r.URL.EscapedPath(), b)
}

func TestRequestsAreReadLikeNetHTTPDoes(t *testing.T) {
	mine, _ := start(t, echo)
	theirs := httptest.NewServer(http.HandlerFunc(echo))
	defer theirs.Close()
	for name, raw := range map[string]string{
		"plain":                 "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
		"body":                  "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"chunks":                "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
		"pipelined":             "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"no host":               "GET / HTTP/1.1\r\n\r\n",
		"bad host":              "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"both lengths":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"signed length":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"unknown encoding":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"odd encoding":          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two encodings":         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before colon":    "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
		"folded header":         "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
		"control in header":     "GET / HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n",
		"bare LF":               "GET /a HTTP/1.1\nHost: x\n\n",
		"bad chunk":             "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
		"short body":            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
		"not HTTP":              "hello there\r\n\r\n",
		"HTTP/1.0":              "GET /a HTTP/1.0\r\n\r\n",
		"HTTP/1.0 chunks":       "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/3.0":              "GET /a HTTP/3.0\r\nHost: x\r\n\r\n",
		"absolute form":         "GET http://y/a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n",
		"close":                 "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"huge header":           "GET /a HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2_000_000) + "\r\n\r\n",
		"expectation":           "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
		"head":                  "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"empty line first":      "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
		"nothing":               "",
		"path that is not UTF8": "GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, want := gist(talk(t, mine, raw)), gist(talk(t, theirs.Listener.Addr().String(), raw))
			if got != want {
				t.Errorf("\n got %q\nwant %q", got, want)
			}
		})
	}
}

// gist is the statuses and bodies of a conversation.
func gist(s string) string {
	r := bufio.NewReader(strings.NewReader(s))
	var b strings.Builder
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return b.String()
		}
		if resp.StatusCode == 100 {
			b.WriteString("100 ")
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode >= 400 {
			b.WriteString("refused ") // in other words, or with another status
			continue
		}
		fmt.Fprintf(&b, "%d%s ", resp.StatusCode, body)
	}
}

func TestStreamsAreChunkedAsTheyAreFlushed(t *testing.T) {
	step := make(chan string)
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		for s := range step {
			io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	step <- "one"
	r := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		line, _ = r.ReadString('\n')
	}
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("%q %v, want %q", got, err, want)
		}
	}
	expect("3\r\none\r\n")
	big := strings.Repeat("z", 40_000)
	step <- big
	expect(fmt.Sprintf("%x\r\n%s\r\n", len(big), big))
	close(step)
	expect("0\r\n\r\n")
}

func TestContextEndsWhenTheClientLeaves(t *testing.T) {
	left := make(chan struct{})
	began := make(chan struct{}, 1)
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		began <- struct{}{}
		<-r.Context().Done()
		close(left)
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
	<-began
	c.Close()
	select {
	case <-left:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody noticed")
	}
}

// Slow calls, whose client is watched, and quick ones, whose client is not,
// follow each other on one connection, and nothing of the next request is lost.
func TestWatchedConnectionsGoOn(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if strings.HasPrefix(string(b), "slow") {
			time.Sleep(3 * watchAfter)
		}
		if r.Context().Err() != nil {
			t.Error("the client was taken to have left")
		}
		w.Write(b)
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range 60 {
		body := fmt.Sprintf("%s %d", []string{"slow", "quick", "slow"}[i%3], i)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if i%6 == 0 { // the next request is there before the answer
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnext")
		}
		want := []string{body}
		if i%6 == 0 {
			want = append(want, "next")
		}
		for _, w := range want {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(i, err)
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != w {
				t.Fatalf("%d: %q, want %q", i, got, w)
			}
		}
	}
}

func TestAbortBreaksTheConnection(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "part")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q looks whole", b)
	}
	http.DefaultClient.CloseIdleConnections()
}

// To an HTTP/1.0 client the end of the connection is the end of the answer: what
// is broken off has to be reset.
func TestAbortResetsWhatOnlyTheEndDelimits(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "part")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(c); err == nil {
		t.Errorf("%q looks whole", b)
	}
}

// A client that reads nothing does not hold its goroutine for ever.
func TestClientThatReadsNothing(t *testing.T) {
	ended := make(chan error, 1)
	addr, s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := w.Write(make([]byte, 64<<20))
		ended <- err
	})
	s.silent = 50 * time.Millisecond
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("64 MiB went to a client that reads nothing")
	}
}

func TestUnreadBodies(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) })
	defer http.DefaultClient.CloseIdleConnections()
	for _, n := range []int{10, 100_000, 2_000_000} {
		for range 3 {
			resp, err := http.Post("http://"+addr, "text/plain", bytes.NewReader(make([]byte, n)))
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			resp.Body.Close()
			if resp.StatusCode != 404 {
				t.Errorf("%d", resp.StatusCode)
			}
		}
	}
}

func TestShutdownWaitsForBusyConnections(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	addr, s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-finish
		io.WriteString(w, "done")
	})
	got := make(chan string, 1)
	go func() { got <- talk(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection was kept")
	}
	close(finish)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if g := <-got; !strings.HasSuffix(g, "done") {
		t.Errorf("%q", g)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		client, server := net.Pipe()
		s := &Server{Handler: http.HandlerFunc(echo), Log: slog.New(slog.DiscardHandler), conns: map[*conn]bool{}, empty: make(chan struct{}), twos: &handedOver{done: make(chan struct{})}}
		s.twos.Close()
		ended := make(chan struct{})
		go func() {
			(&conn{s: s, nc: server}).serve()
			close(ended)
		}()
		go func() {
			client.SetDeadline(time.Now().Add(2 * time.Second))
			client.Write(raw)
			client.Close()
		}()
		io.Copy(io.Discard, client)
		<-ended
	})
}
