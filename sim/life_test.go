package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// closing posts a request on a connection of its own, which leave closes.
func closing(t *testing.T, s *Sim, path, body string) (r *bufio.Reader, leave func()) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: sim\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	return bufio.NewReader(conn), func() { conn.Close() }
}

// What each wire needs to be asked for something, %s being the text.
var askStream = map[string]string{
	"/v1/chat/completions": `{"model":"m","stream":true,"messages":[{"role":"user","content":"%s"}]}`,
	"/v1/responses":        `{"model":"m","stream":true,"input":"%s"}`,
	"/v1/completions":      `{"model":"m","stream":true,"prompt":"%s"}`,
	"/v1/messages":         `{"model":"m","stream":true,"max_tokens":99999,"messages":[{"role":"user","content":"%s"}]}`,
	"/v1beta/models/g:streamGenerateContent?alt=sse": `{"contents":[{"parts":[{"text":"%s"}]}]}`,
	"/v1beta/models/g:streamGenerateContent":         `{"contents":[{"parts":[{"text":"%s"}]}]}`,
}

var askPlain = map[string]string{
	"/v1/chat/completions":             `{"model":"m","messages":[{"role":"user","content":"%s"}]}`,
	"/v1/responses":                    `{"model":"m","input":"%s"}`,
	"/v1/completions":                  `{"model":"m","prompt":"%s"}`,
	"/v1/messages":                     `{"model":"m","max_tokens":99999,"messages":[{"role":"user","content":"%s"}]}`,
	"/v1beta/models/g:generateContent": `{"contents":[{"parts":[{"text":"%s"}]}]}`,
	"/v1/embeddings":                   `{"model":"m","input":"%s"}`,
}

func TestStreamsStopWhenTheClientLeaves(t *testing.T) {
	for path, ask := range askStream {
		for _, how := range []string{"sim: tokens=100000 interval=50ms", "sim: tokens=9 stall=1", "sim: tokens=9 first=1h", "sim: tokens=1000000"} {
			t.Run(path+" "+how, func(t *testing.T) {
				s := start(t, Config{})
				r, leave := closing(t, s, path, fmt.Sprintf(ask, how))
				line(t, r)
				if n, m := s.Active(); n != 1 || m != 0 {
					t.Errorf("%d streams and %d plain calls counted, want 1 and 0", n, m)
				}
				leave()
				await(t, "the stream to be given up", func() bool { n, _ := s.Active(); return n == 0 })
				list := journalOf(t, s)
				if len(list) != 1 || list[0].Ended != "client_gone" || list[0].Status != 200 || list[0].Tokens >= 100000 {
					t.Errorf("journal: %+v", list)
				}
			})
		}
	}
}

func TestPlainCallsStopWhenTheClientLeaves(t *testing.T) {
	for path, ask := range askPlain {
		t.Run(path, func(t *testing.T) {
			s := start(t, Config{})
			_, leave := closing(t, s, path, fmt.Sprintf(ask, "sim: tokens=100000 interval=1s first=1m"))
			await(t, "the call to wait", func() bool { n, m := s.Active(); return n == 0 && m == 1 })
			leave()
			await(t, "the call to be given up", func() bool { _, m := s.Active(); return m == 0 })
			if list := journalOf(t, s); len(list) != 1 || list[0].Ended != "client_gone" || list[0].Status != 0 {
				t.Errorf("journal: %+v", list)
			}
		})
	}
}

// A body that ends before its announced length is a client that left; one that
// is framed wrongly is refused.
func TestBrokenBodies(t *testing.T) {
	s := start(t, Config{})
	for text, want := range map[string]string{
		"Content-Length: 50\r\n\r\n{":               "",
		"Transfer-Encoding: chunked\r\n\r\nzz\r\n{": "HTTP/1.1 400 Bad Request",
	} {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\n%s", text)
		conn.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(conn)
		conn.Close()
		if got, _, _ := strings.Cut(string(b), "\r\n"); got != want {
			t.Errorf("%q answered %q, want %q", text, b, want)
		}
	}
	ends := map[string]int{}
	for _, e := range s.Requests() {
		ends[e.Ended]++
	}
	if ends["client_gone"] != 1 || ends["complete"] != 1 {
		t.Errorf("ended %v", ends)
	}
}

// Whoever has read the end of an answer finds it ended.
func TestEndedIsKnownAtTheEnd(t *testing.T) {
	s := start(t, Config{})
	for range 200 {
		r := bufio.NewReader(post(t, s, "/v1/chat/completions", chatBody("x", `,"stream":true`)).Body)
		for line(t, r) != "data: [DONE]\n" {
		}
		if n, _ := s.Active(); n != 0 {
			t.Fatalf("%d streams counted after the end was read", n)
		}
	}
	for _, e := range journalOf(t, s) {
		if e.Ended != "complete" || e.Tokens != plainTokens || e.Status != 200 {
			t.Fatalf("journal: %+v", e)
		}
	}
}

func TestCut(t *testing.T) {
	s := start(t, Config{})
	for path, ask := range askStream {
		res := post(t, s, path, fmt.Sprintf(ask, "sim: tokens=9 cut=2"))
		if b, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: ended with %v after %s", path, err, b)
		}
	}
	for path, ask := range askPlain {
		if path == "/v1/embeddings" {
			continue // says no tokens
		}
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+path, strings.NewReader(fmt.Sprintf(ask, "sim: cut=0")))
		if res, err := client(t).Do(req); err == nil {
			res.Body.Close()
			t.Errorf("%s: answered %s, want a broken connection", path, res.Status)
		}
	}
	list := journalOf(t, s)
	if want := len(askStream) + len(askPlain) - 1; len(list) != want {
		t.Fatalf("%d entries, want %d", len(list), want)
	}
	for _, e := range list {
		if e.Ended != "cut" {
			t.Errorf("%s ended %q", e.Path, e.Ended)
		}
	}
	await(t, "nothing to be open", func() bool { n, m := s.Active(); return n == 0 && m == 0 })
}

func TestErrorsInsideStreams(t *testing.T) {
	s := start(t, Config{})
	for path, want := range map[string]string{
		"/v1/chat/completions": "\n\ndata: {\"error\":{\"message\":\"Simulated error: the provider is overloaded.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
		"/v1/responses":        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"code\":\"server_error\",\"message\":\"Simulated error: the provider is overloaded.\",\"param\":null},\"sequence_number\":6}\n\nevent: response.failed\n",
		"/v1/messages":         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",",
		"/v1beta/models/g:streamGenerateContent?alt=sse": "\r\n\r\ndata: {\"error\":{\"code\":503,",
		"/v1beta/models/g:streamGenerateContent":         "}\n]",
	} {
		got := all(t, post(t, s, path, fmt.Sprintf(askStream[path], "sim: tokens=9 error=503 after=2")), 200)
		if !strings.Contains(got, want) {
			t.Errorf("%s: no %q in %s", path, want, got)
		}
		if strings.Contains(got, "[DONE]") || strings.Contains(got, "message_stop") || strings.Contains(got, "response.completed") {
			t.Errorf("%s: an end after the error: %s", path, got)
		}
	}
	// A plain call gets the error as its answer.
	all(t, post(t, s, "/v1/chat/completions", chatBody("sim: error=503 after=2", "")), 503)
}

// recorder notes when each write was flushed, by the bubble's clock.
type recorder struct {
	*httptest.ResponseRecorder
	began time.Time
	at    []time.Duration
}

func (r *recorder) FlushError() error {
	r.at = append(r.at, time.Since(r.began))
	return nil
}

func pacedCall(t *testing.T, ctx context.Context, path, body string) (r *recorder, took time.Duration) {
	t.Helper()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	r = &recorder{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
	s.Handler().ServeHTTP(r, httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(body)))
	return r, time.Since(r.began)
}

// In a world where nothing else takes time, the pace is exact.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, took := pacedCall(t, t.Context(), "/v1/chat/completions", chatBody("sim: tokens=500 interval=20ms first=1s", `,"stream":true`))
		if want := time.Second + 499*20*time.Millisecond; took != want {
			t.Errorf("the stream took %s, want %s", took, want)
		}
		if len(r.at) != 1+500+2 {
			t.Fatalf("%d events, want the role, 500 tokens, the reason and the end", len(r.at))
		}
		for i, at := range r.at[1:501] {
			if want := time.Second + time.Duration(i)*20*time.Millisecond; at != want {
				t.Fatalf("token %d after %s, want %s", i, at, want)
			}
		}
		for path, ask := range askPlain {
			if path == "/v1/embeddings" {
				continue
			}
			if _, took := pacedCall(t, t.Context(), path, fmt.Sprintf(ask, "sim: tokens=500 interval=20ms")); took != 10*time.Second {
				t.Errorf("a plain call on %s took %s, want 10s", path, took)
			}
		}
		if _, took := pacedCall(t, t.Context(), "/v1/chat/completions", chatBody("sim: error=500 first=3s", "")); took != 3*time.Second {
			t.Errorf("the error came after %s, want 3s", took)
		}
		if _, took := pacedCall(t, t.Context(), "/v1/chat/completions", chatBody("no directive", "")); took != 0 {
			t.Errorf("an answer without a directive took %s", took)
		}
	})
}

// slowClient takes a second for every event.
type slowClient struct{ recorder }

func (r *slowClient) FlushError() error {
	time.Sleep(time.Second)
	return r.recorder.FlushError()
}

// After a client that reads slowly, tokens are not hurried to catch up.
func TestPaceDoesNotRush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		r := &slowClient{recorder{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}}
		s.Handler().ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), "POST", "/v1/chat/completions",
			strings.NewReader(chatBody("sim: tokens=20 interval=100ms", `,"stream":true`))))
		for i := 1; i < len(r.at); i++ {
			if gap := r.at[i] - r.at[i-1]; gap < time.Second {
				t.Fatalf("event %d came %s after the one before", i, gap)
			}
		}
	})
}

// Giving up takes no time at all, however long the pause.
func TestLeavingIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1234*time.Millisecond)
		defer cancel()
		for _, body := range []string{chatBody("sim: tokens=9 interval=1h", ""), chatBody("sim: tokens=9 interval=1h", `,"stream":true`)} {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			if _, took := pacedCall(t, ctx, "/v1/chat/completions", body); took != 100*time.Millisecond {
				t.Errorf("given up after %s", took)
			}
			cancel()
		}
	})
}

func TestH2C(t *testing.T) {
	s := start(t, Config{})
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	const many = 600 // more than the 250 streams a connection usually may have
	var wg, answered sync.WaitGroup
	answered.Add(many)
	ctx, leave := context.WithCancel(t.Context())
	for range many {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", s.URL()+"/v1/chat/completions", strings.NewReader(chatBody("sim: tokens=9 stall=1", `,"stream":true`)))
			res, err := c.Do(req)
			answered.Done()
			if err != nil {
				t.Error(err)
				return
			}
			if res.ProtoMajor != 2 {
				t.Errorf("protocol %s", res.Proto)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		})
	}
	await(t, "all streams to be open", func() bool { n, _ := s.Active(); return n == many })
	answered.Wait()
	leave()
	wg.Wait()
	await(t, "all streams to be given up", func() bool { n, _ := s.Active(); return n == 0 })
}
