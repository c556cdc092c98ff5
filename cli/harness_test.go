package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// fake is a control plane that answers from a table and keeps what it was sent.
type fake struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string][]answer // "METHOD /path" → answers in turn; the last one stays
	seen    []request
}

type answer struct {
	status int
	body   string
}

type request struct {
	line   string
	header http.Header
	body   map[string]any
}

const token = "op-token"

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{answers: map[string][]answer{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
	data, _ := io.ReadAll(r.Body)
	req := request{line: line, header: r.Header.Clone()}
	_ = json.Unmarshal(data, &req.body)
	f.seen = append(f.seen, req)
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"title":"no such token","status":401,"code":"unauthenticated"}`)
		return
	}
	as := f.answers[line]
	if len(as) == 0 {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"title":"Not found","status":404,"detail":"nothing here"}`)
		return
	}
	if len(as) > 1 {
		f.answers[line] = as[1:]
	}
	if strings.Contains(as[0].body, "data:") {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	w.WriteHeader(as[0].status)
	io.WriteString(w, as[0].body)
}

func (f *fake) on(line string, status int, body string) *fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[line] = append(f.answers[line], answer{status, body})
	return f
}

func (f *fake) sent(line string) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []request
	for _, r := range f.seen {
		if r.line == line {
			out = append(out, r)
		}
	}
	return out
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// run runs a command against the fake.
func (f *fake) run(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, Env{Args: append(args, "--server", f.URL, "--token", token)})
}

func runWith(t *testing.T, env Env) result {
	t.Helper()
	var out, errs bytes.Buffer
	env.Stdout, env.Stderr = &out, &errs
	if env.Stdin == nil {
		env.Stdin = strings.NewReader("")
	}
	if env.Lookup == nil {
		env.Lookup = func(string) (string, bool) { return "", false }
	}
	env.Now = func() time.Time { return noon }
	code := Main(context.Background(), env)
	return result{code, out.String(), errs.String()}
}

func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("the output lacks %q", text)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.out, r.err)
	}
}

// effectOf is the answer of GET /corrections/c-1 with one gateway.
func effectOf(state, at string) string {
	enforcing := "0"
	if state == "synced" {
		enforcing = "1"
		at = `,"cut":2,"enforcing_at":"` + at + `"`
	}
	return `{"id":"c-1","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r","state":"active","revision":7,
		"applied_at":"2026-11-20T12:00:00Z","effect":{"desired":1,"enforcing":` + enforcing + `,"stale":0,"refused":0,
		"points":[{"name":"gw-1","state":"` + state + `","revision":7` + at + `}]},"time_to_effect_ms":3.2}`
}
