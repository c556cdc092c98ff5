package sdktest

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/app"
	"andon/app/config"
)

// signalled is a writer that tells of its first write.
type signalled struct {
	once  sync.Once
	first chan struct{}
}

func (s *signalled) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.first) })
	return len(b), nil
}

// develop is `make run` in this process, until the test ends.
func develop(t *testing.T) app.DevFile {
	t.Helper()
	cfg := config.Default()
	cfg.Data = t.TempDir()
	cfg.Control.Listen, cfg.Gateway.Listen, cfg.Gateway.Admin, cfg.Sim.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	ctx, stop := context.WithCancel(context.Background())
	printed := &signalled{first: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- app.Dev(ctx, cfg, printed) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-printed.first:
	case err := <-ended:
		ended <- nil
		t.Fatalf("make run ended: %v", err)
	case <-within(t).Done():
		t.Fatal("make run is not ready")
	}
	data, err := os.ReadFile(filepath.Join(cfg.Data, "dev.json"))
	ok(t, err)
	var d app.DevFile
	ok(t, json.Unmarshal(data, &d))
	return d
}

// ask calls an address as an operator and decodes the answer.
func ask(t *testing.T, method, url, token, body string, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, url, strings.NewReader(body))
	ok(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client(t).Do(req)
	ok(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	ok(t, err)
	if res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, url, res.Status, data)
	}
	ok(t, json.Unmarshal(data, answer))
}

// What `make run` starts serves every SDK, and one command of the control API
// ends what they have running: streams with the typed error, at the provider
// too, and waiting calls with the refusal.
func TestMakeRun(t *testing.T) {
	d := develop(t)
	target := Target{URL: d.Gateway, Key: d.CallerKey, Model: "sim-large"}
	served(t, target) // the caller's key travels to the gateway like every order
	Run(t, target)
	RunNode(t, target)

	awaitSim := func(streams, plain int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			var v struct{ Active, Plain int }
			ask(t, "GET", d.Sim+"/_sim/active", "", "", &struct {
				Active *int `json:"active"`
				Plain  *int `json:"plain"`
			}{&v.Active, &v.Plain})
			if v.Active == streams && v.Plain == plain {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the provider has %d streams and %d plain calls open, want %d and %d", v.Active, v.Plain, streams, plain)
			}
		}
	}
	var id string
	pull := func(streams, plain int) Refusal {
		awaitSim(streams, plain)
		var c struct {
			ID string `json:"id"`
		}
		ask(t, "POST", d.Control+"/api/v1/corrections", d.OperatorToken,
			`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"drill","public_reason":"it is a drill"}`, &c)
		id = c.ID
		return Refusal{Status: http.StatusServiceUnavailable, Correction: id}
	}
	lift := func() {
		ask(t, "POST", d.Control+"/api/v1/corrections/"+id+"/lift", d.OperatorToken, `{"reason":"the drill is over"}`, &struct{}{})
	}
	Cut(t, target, pull)
	awaitSim(0, 0)
	Refused(t, target, Refusal{Status: http.StatusServiceUnavailable, Correction: id})
	lift()
	served(t, target)
	CutNode(t, target, pull)
	awaitSim(0, 0)
}

// served waits until the gateway has the order under which the caller is served.
func served(t *testing.T, target Target) {
	t.Helper()
	c := newOpenAI(t, target)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, err := c.Chat.Completions.New(within(t), chatParams(target, "hello"))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still refused: %v", err)
		}
	}
}
