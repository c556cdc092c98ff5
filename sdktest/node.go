package sdktest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Seen is what an npm SDK saw in one check of node/check.mjs.
type Seen struct {
	Check      string   `json:"check"`
	Text       string   `json:"text"`
	Events     int      `json:"events"`
	Finish     string   `json:"finish"`
	Tokens     int      `json:"tokens"`
	Tool       string   `json:"tool"`
	Arguments  string   `json:"arguments"`
	Embeddings int      `json:"embeddings"`
	Dimensions int      `json:"dimensions"`
	Models     []string `json:"models"`
	One        string   `json:"one"`
	Counted    int      `json:"counted"`
	Charged    int      `json:"charged"`
	Failed     *Failure `json:"failed"`
}

// Failure is an exception of an npm SDK.
type Failure struct {
	Classes   []string       `json:"classes"` // its class first, then those it derives from
	Status    int            `json:"status"`  // 0 inside a stream
	Code      string         `json:"code"`
	Type      string         `json:"type"`
	Message   string         `json:"message"`
	Error     jsontext.Value `json:"error"` // the body's error, as the SDK keeps it
	RequestID string         `json:"request_id"`
}

// class is the exception's own class, "" if there was none.
func (s Seen) class() string {
	if s.Failed == nil {
		return ""
	}
	return s.Failed.Classes[0]
}

var installed struct {
	once sync.Once
	err  string
}

// nodeFolder holds check.mjs, beside this file.
func nodeFolder(t *testing.T) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "node")
	if _, err := os.Stat(filepath.Join(dir, "check.mjs")); err != nil {
		t.Fatalf("find the script of the npm SDKs: %v", err)
	}
	return dir
}

// install puts the SDKs of package-lock.json into node_modules, once for each
// state of the lock file.
func install(t *testing.T) {
	t.Helper()
	dir := nodeFolder(t)
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s was not found: the npm SDKs are part of this test. Install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm; otherwise https://nodejs.org)", tool)
		}
	}
	installed.once.Do(func() {
		lock, err1 := os.Stat(filepath.Join(dir, "package-lock.json"))
		done, err2 := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
		if err1 == nil && err2 == nil && !done.ModTime().Before(lock.ModTime()) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "npm", "ci")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			installed.err = err.Error() + "\n" + string(out)
		}
	})
	if installed.err != "" {
		t.Fatalf("npm ci in sdktest/node (it needs a package registry): %s", installed.err)
	}
}

// script is a running check.mjs.
type script struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

func startNode(t *testing.T, target Target, mode string) *script {
	t.Helper()
	install(t)
	s := &script{t: t, cmd: exec.CommandContext(within(t), "node", "check.mjs", mode)}
	s.cmd.Dir = nodeFolder(t)
	s.cmd.Env = append(os.Environ(), "BASE_URL="+target.URL, "KEY="+target.Key, "MODEL="+target.Model, "OPENAI_LOG=off", "ANTHROPIC_LOG=off")
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	ok(t, err)
	s.lines = bufio.NewScanner(out)
	s.lines.Buffer(nil, 16<<20)
	ok(t, s.cmd.Start())
	t.Cleanup(func() {
		s.cmd.Process.Kill() // of a script that did not end by itself
		io.Copy(io.Discard, out)
		s.cmd.Wait()
	})
	return s
}

// ready waits until the script has opened what it wants to open.
func (s *script) ready() (streams, plain int) {
	s.t.Helper()
	if !s.lines.Scan() {
		s.t.Fatalf("the script ended early: %s", s.stderr.String())
	}
	var v struct {
		Ready struct{ Streams, Plain int }
	}
	if err := json.Unmarshal(s.lines.Bytes(), &v, json.MatchCaseInsensitiveNames(true)); err != nil || v.Ready.Streams == 0 {
		s.t.Fatalf("the script is not ready, but says %s %s", s.lines.Bytes(), s.stderr.String())
	}
	return v.Ready.Streams, v.Ready.Plain
}

// rest reads what was seen, by check.
func (s *script) rest() map[string]Seen {
	s.t.Helper()
	seen := map[string]Seen{}
	for s.lines.Scan() {
		var v Seen
		if err := json.Unmarshal(s.lines.Bytes(), &v); err != nil {
			s.t.Fatalf("read what the script says: %v: %s", err, s.lines.Bytes())
		}
		seen[v.Check] = v
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("check.mjs: %v\n%s", err, s.stderr.String())
	}
	return seen
}

// RunNode checks everything that the npm SDKs do when nothing is forbidden.
func RunNode(t *testing.T, target Target) {
	seen := startNode(t, target, "suite").rest()
	get := func(name string) Seen {
		s, is := seen[name]
		if !is {
			t.Errorf("%s was not checked", name)
		}
		return s
	}
	const text, tokens = "Quietly, the tide comes in.", 5
	for _, name := range []string{"openai chat", "openai chat stream", "openai chat stream object", "openai responses", "openai responses stream",
		"openai completions stream", "anthropic messages", "anthropic messages stream", "anthropic messages stream object"} {
		s := get(name)
		equal(t, name+": text", s.Text, text)
		equal(t, name+": exception", s.class(), "")
		if s.Events == 0 { // not read as a stream
			equal(t, name+": tokens", s.Tokens, tokens)
		}
	}
	equal(t, "chat finish", get("openai chat").Finish, "stop")
	equal(t, "responses finish", get("openai responses").Finish, "completed")
	equal(t, "messages finish", get("anthropic messages").Finish, "end_turn")
	for _, name := range []string{"openai chat tool", "openai responses tool", "anthropic tool"} {
		equal(t, name, get(name).Tool, "weather")
		equal(t, name+": arguments", get(name).Arguments, cityArguments)
	}
	equal(t, "embeddings", get("openai embeddings").Embeddings, 2)
	equal(t, "dimensions", get("openai embeddings").Dimensions, 32)
	if s := get("anthropic count"); s.Counted != s.Charged || s.Counted == 0 {
		t.Errorf("%d tokens counted, %d charged", s.Counted, s.Charged)
	}
	for _, name := range []string{"openai models", "anthropic models"} {
		contains(t, name, strings.Join(get(name).Models, " "), target.Model)
		equal(t, name+": one", get(name).One, target.Model)
	}
	for _, c := range []struct {
		check, class string
		status       int
		code, kind   string
	}{
		{"openai error 429", "RateLimitError", 429, "rate_limit_exceeded", "requests"},
		{"openai error 400", "BadRequestError", 400, "", "invalid_request_error"},
		{"openai error 404", "NotFoundError", 404, "model_not_found", ""},
		{"openai chat error inside", "APIError", 0, "", "server_error"},
		{"openai responses error inside", "APIError", 0, "server_error", "server_error"},
		{"anthropic error 429", "RateLimitError", 429, "", "rate_limit_error"},
		{"anthropic error 404", "NotFoundError", 404, "", "not_found_error"},
		{"anthropic error inside", "APIError", 0, "", "overloaded_error"},
	} {
		s := get(c.check)
		if s.Failed == nil {
			t.Errorf("%s: no exception", c.check)
			continue
		}
		equal(t, c.check+": class", s.class(), c.class)
		equal(t, c.check+": status", s.Failed.Status, c.status)
		equal(t, c.check+": code", s.Failed.Code, c.code)
		if c.kind != "" { // a gateway's own 404 may be of another type
			equal(t, c.check+": type", s.Failed.Type, c.kind)
		}
	}
	for _, name := range []string{"openai chat error inside", "openai responses error inside", "anthropic error inside", "openai chat broken off", "anthropic broken off"} {
		s := get(name)
		if s.Failed == nil || s.Text == "" {
			t.Errorf("%s: said %q, then %q; want some words and an exception", name, s.Text, s.class())
		}
	}
}
