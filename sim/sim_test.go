package sim

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// start runs a simulation until the test ends.
func start(t testing.TB, cfg Config) *Sim {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is a client of its own, so that no connection outlives the test.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func post(t testing.TB, s *Sim, path, body string, header ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// all reads a body and checks the status.
func all(t testing.TB, res *http.Response, status int) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", res.StatusCode, status, b)
	}
	return string(b)
}

func get(t testing.TB, s *Sim, path string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// line reads one line of an open stream.
func line(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	l, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("read stream: %v (after %q)", err, l)
	}
	return l
}

type journalled struct {
	Seq     uint64            `json:"seq"`
	At      time.Time         `json:"at"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   string            `json:"query"`
	Proto   string            `json:"proto"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Base64  []byte            `json:"body_base64"`
	Status  int               `json:"status"`
	Tokens  int               `json:"tokens"`
	Ended   string            `json:"ended"`
}

func journalOf(t testing.TB, s *Sim) (list []journalled) {
	t.Helper()
	if err := json.Unmarshal([]byte(all(t, get(t, s, "/_sim/requests"), 200)), &list, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	return list
}

// await polls the simulation's own account until it says what is wanted; it
// fails only when the test's time is up.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("still waiting for " + what)
		}
	}
}

func chatBody(text string, more string) string {
	q, _ := json.Marshal(text)
	return `{"model":"sim-large","messages":[{"role":"user","content":` + string(q) + `}]` + more + `}`
}

func TestStopEndsOpenStreams(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := post(t, s, "/v1/chat/completions", chatBody("sim: tokens=10 stall=1", `,"stream":true`))
	r := bufio.NewReader(res.Body)
	line(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != io.ErrUnexpectedEOF {
		t.Fatalf("the stream ended with %v, want an unexpected EOF", err)
	}
	if n, m := s.Active(); n != 0 || m != 0 {
		t.Fatalf("%d streams and %d calls still counted", n, m)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Fatal("still listening")
	}
}

func TestStartRefusesATakenAddress(t *testing.T) {
	s := start(t, Config{})
	other, err := New(Config{Listen: s.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "listen for sim: ") {
		t.Fatalf("error %v", err)
	}
	if err := other.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: "nowhere"}); err == nil {
		t.Fatal("an address without a port was taken")
	}
}

func TestSameRequestSameWords(t *testing.T) {
	a, b := start(t, Config{}), start(t, Config{Journal: -1})
	clock := func() time.Time { return time.Unix(1_800_000_000, 0) }
	c := start(t, Config{Now: clock})
	d := start(t, Config{Now: clock})
	body := chatBody("What is amber?", "")
	words := func(s *Sim) string {
		var v struct {
			Choices []struct {
				Message struct {
					Content string `json:"content"`
				} `json:"message"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(all(t, post(t, s, "/v1/chat/completions", body), 200)), &v); err != nil {
			t.Fatal(err)
		}
		return v.Choices[0].Message.Content
	}
	one := words(a)
	if len(strings.Fields(one)) != plainTokens {
		t.Fatalf("%q is not %d words", one, plainTokens)
	}
	if two := words(b); two != one {
		t.Fatalf("%q, then %q", one, two)
	}
	// With the same clock and the same number, every byte is the same.
	x := all(t, post(t, c, "/v1/chat/completions", body), 200)
	if y := all(t, post(t, d, "/v1/chat/completions", body), 200); x != y {
		t.Fatalf("%s\n%s", x, y)
	}
	if bytes.Contains([]byte(words(a)), []byte("\\")) {
		t.Fatal("escapes in generated words")
	}
}

func decode(t testing.TB, data string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), v); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
}
