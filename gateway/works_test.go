package gateway

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
	"andon/sim"
)

// pass lets routes through that reach the provider's account.
func pass(c *Config) { c.Upstreams[0].Account = "pass" }

// ask sends a request as the test's key.
func ask(t testing.TB, g *Gateway, method, path, kind, body string) answer {
	t.Helper()
	req := must(http.NewRequest(method, "http://"+g.Addr()+path, strings.NewReader(body)))
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if strings.HasPrefix(path, "/v1/messages") {
		req.Header.Set("Anthropic-Version", "2023-06-01")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func fileForm(purpose, content string) (kind, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	w.WriteField("purpose", purpose)
	f := must(w.CreateFormFile("file", "lines.jsonl"))
	io.WriteString(f, content)
	w.Close()
	return w.FormDataContentType(), b.String()
}

func upload(t testing.TB, g *Gateway, purpose, content string) answer {
	t.Helper()
	kind, body := fileForm(purpose, content)
	return ask(t, g, "POST", "/v1/files", kind, body)
}

// line is a line of a batch that asks for a chat completion.
func line(id, body string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":%s}`+"\n", id, body)
}

// slow is a prompt whose answer takes long.
const slow = "sim: tokens=100 interval=10s"

func idOf(t testing.TB, a answer) string {
	t.Helper()
	var v struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != 200 || v.ID == "" {
		t.Fatalf("nothing has begun: %d %s", a.status, a.body)
	}
	return v.ID
}

func newBatch(t testing.TB, g *Gateway, file string) answer {
	t.Helper()
	return ask(t, g, "POST", "/v1/batches", "application/json", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`)
}

// at the provider itself.
func provided(t testing.TB, s *sim.Sim, path string) string {
	t.Helper()
	req := must(http.NewRequest("GET", s.URL()+path, nil))
	req.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return string(must(io.ReadAll(resp.Body)))
}

// worksOf asks a gateway's works over the bus, as the control plane does.
func (p *plane) worksOf(q order.WorksAsk) (a order.WorksAnswer) {
	p.t.Helper()
	data := must(p.bus.Request(p.t.Context(), order.SubjectWorks, must(json.Marshal(q))))
	if err := json.Unmarshal(data, &a); err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *plane) awaitWork(id string, ok func(w *order.Work) bool) (w order.Work) {
	p.t.Helper()
	p.await("the work "+id, func() bool {
		for _, one := range p.worksOf(order.WorksAsk{}).Works {
			if w = one; one.ID == id && ok(&one) {
				return true
			}
		}
		return false
	})
	return w
}

func stopped(how string) func(*order.Work) bool {
	return func(w *order.Work) bool { return w.Stop == how }
}

// begun begins one of everything that runs at a provider, of a model.
func begun(t testing.TB, g *Gateway, model string) map[string]string {
	t.Helper()
	file := idOf(t, upload(t, g, "batch", line("a", chat(model, slow))))
	tuning := idOf(t, upload(t, g, "fine-tune", "{}\n"))
	return map[string]string{
		"/v1/batches/": idOf(t, newBatch(t, g, file)),
		"/v1/fine_tuning/jobs/": idOf(t, ask(t, g, "POST", "/v1/fine_tuning/jobs", "application/json",
			`{"model":"`+model+`","training_file":"`+tuning+`","metadata":{"sim":"tokens=100 interval=10s"}}`)),
		"/v1/responses/": idOf(t, ask(t, g, "POST", "/v1/responses", "application/json", `{"model":"`+model+`","input":"`+slow+`","background":true}`)),
		"/v1/messages/batches/": idOf(t, ask(t, g, "POST", "/v1/messages/batches", "application/json",
			`{"requests":[{"custom_id":"a","params":{"model":"`+model+`","max_tokens":5000,"messages":[{"role":"user","content":"`+slow+`"}]}}]}`)),
	}
}

// A stop ends what the model does at its provider after the calls that began
// it, and nothing of another model.
func TestStopCancelsWorks(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, pass)
	g.works.pace = time.Millisecond
	changes := make(chan order.Work, 1000)
	p.bus.Subscribe(order.SubjectWorkChanged, func(m bus.Msg) {
		var c order.WorkChanges
		if err := json.Unmarshal(m.Data, &c); err != nil {
			t.Error(err)
		}
		for _, w := range c.Works {
			changes <- w
		}
	})
	large, small := begun(t, g, "sim-large"), begun(t, g, "sim-small")
	a := p.worksOf(order.WorksAsk{Model: "sim-large", State: order.WorkRunning})
	if a.Total != 4 || a.States[order.WorkRunning] != 4 {
		t.Fatalf("%+v", a)
	}
	id := p.apply(1, stopLarge)
	for path, work := range large {
		w := p.awaitWork(work, func(w *order.Work) bool { return w.State == order.WorkCancelled })
		if w.Stop != order.StopCancelled || w.Correction != id || w.Org != "acme" || w.Key != "k-1" || len(w.Models) != 1 || w.Models[0] != "sim-large" {
			t.Errorf("%+v", w)
		}
		if at := provided(t, s, path+work); !strings.Contains(at, "cancel") {
			t.Errorf("at the provider: %s", at)
		}
	}
	for path, work := range small {
		if at := provided(t, s, path+work); strings.Contains(at, `"cancelled"`) || strings.Contains(at, `"ended"`) {
			t.Errorf("at the provider: %s", at)
		}
	}
	a = p.worksOf(order.WorksAsk{Correction: id})
	if a.Total != 4 || a.Stops[order.StopCancelled] != 4 || a.Revision != p.revision() {
		t.Errorf("%+v", a)
	}
	for told := 0; told < 4; {
		select {
		case w := <-changes:
			if w.State == order.WorkCancelled {
				told++
			}
		case <-time.After(generous):
			t.Fatalf("%d cancellations were told of, want 4", told)
		}
	}
}

// What was begun in an earlier life of the gateway is cancelled all the same, by
// a correction that names its user, too, who is a pseudonym on disk.
func TestWorksSurviveARestart(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	change := func(c *Config) { pass(c); c.Data = dir }
	g, stop := p.launch(s, change)
	file := idOf(t, upload(t, g, "batch", line("a", chat("sim-large", slow, `,"user":"Alice"`))))
	other := idOf(t, upload(t, g, "batch", line("a", chat("sim-large", slow, `,"user":"bob"`))))
	alice, bob := idOf(t, newBatch(t, g, file)), idOf(t, newBatch(t, g, other))
	stop()
	kept := must(os.ReadFile(filepath.Join(dir, worksFile)))
	if strings.Contains(string(kept), "Alice") || strings.Contains(string(kept), "alice") || !strings.Contains(string(kept), alice) {
		t.Fatalf("kept: %s", kept)
	}
	os.WriteFile(filepath.Join(dir, worksFile), append(kept, `{"id":"half a li`...), 0o600)

	g, stop2 := p.launch(s, change)
	defer stop2()
	g.works.pace = time.Millisecond
	if a := p.worksOf(order.WorksAsk{State: order.WorkRunning}); a.Total != 2 {
		t.Fatalf("%+v", a)
	}
	p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"users":["alice"]},"reason":"test"}`)
	p.awaitWork(alice, stopped(order.StopCancelled))
	if a := newBatch(t, g, file); a.status != 403 {
		t.Errorf("another batch of the blocked user's file: %d %s", a.status, a.body)
	}
	if w := p.awaitWork(bob, func(*order.Work) bool { return true }); w.State != order.WorkRunning {
		t.Errorf("%+v", w)
	}
	p.apply(1, stopLarge)
	p.awaitWork(bob, stopped(order.StopCancelled))
	p.await("the end of what runs", func() bool { return g.works.count() == 0 })
	p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"users":["carol"]},"reason":"test"}`)
	p.await("memory of the ruling before to be free, with no work to judge", func() bool {
		m := g.works.masked.Load()
		return m == nil || m.of == g.current.Load()
	})
}

// before stands before a provider, and may answer in its place.
func before(t testing.TB, s *sim.Sim, instead func(w http.ResponseWriter, r *http.Request) bool) func(*Config) {
	proxy := httputil.NewSingleHostReverseProxy(must(url.Parse(s.URL())))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !instead(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return func(c *Config) { pass(c); c.Upstreams[0].BaseURL = srv.URL }
}

// A provider that does not take a cancellation is asked again, and until it does,
// that is shown.
func TestCancellationIsTriedAgain(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	var broken atomic.Bool
	broken.Store(true)
	g := p.start(s, before(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if broken.Load() && strings.HasSuffix(r.URL.Path, "/cancel") {
			w.WriteHeader(500)
			return true
		}
		return false
	}))
	g.works.pace = time.Millisecond
	batch := begun(t, g, "sim-large")["/v1/batches/"]
	id := p.apply(1, stopLarge)
	w := p.awaitWork(batch, func(w *order.Work) bool { return w.Stop == order.StopFailing && w.Attempts > 2 })
	if !strings.Contains(w.Error, "500") || w.State != order.WorkRunning || w.Correction != id {
		t.Errorf("%+v", w)
	}
	broken.Store(false)
	if w = p.awaitWork(batch, stopped(order.StopCancelled)); w.Error != "" {
		t.Errorf("%+v", w)
	}
}

// What has ended by itself is found out, and a stop that is lifted first cancels
// nothing.
func TestWorksThatEndedAndStopsThatWereLifted(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	var broken atomic.Bool
	g := p.start(s, before(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if broken.Load() && strings.HasSuffix(r.URL.Path, "/cancel") {
			w.WriteHeader(503)
			return true
		}
		return false
	}))
	g.works.pace = time.Millisecond
	over := idOf(t, newBatch(t, g, idOf(t, upload(t, g, "batch", line("a", chat("sim-large", "sim: tokens=1 interval=50ms"))))))
	p.await("the end of the batch", func() bool { return strings.Contains(provided(t, s, "/v1/batches/"+over), `"status":"completed"`) })
	id := p.apply(1, stopLarge)
	if w := p.awaitWork(over, stopped(order.StopEnded)); w.State != order.WorkEnded || w.Status != "completed" {
		t.Errorf("%+v", w)
	}
	p.lift(1, id)
	broken.Store(true)
	batch := begun(t, g, "sim-large")["/v1/batches/"]
	id = p.apply(1, stopLarge)
	p.awaitWork(batch, stopped(order.StopFailing))
	p.lift(1, id)
	p.awaitWork(batch, stopped(""))
	broken.Store(false)
	time.Sleep(3 * tendEvery) // nothing may come
	if at := provided(t, s, "/v1/batches/"+batch); !strings.Contains(at, `"in_progress"`) {
		t.Errorf("at the provider: %s", at)
	}
}

// In the caller's own account only the caller can cancel.
func TestWorksOfTheCallersAccount(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) { pass(c); c.Identity.Mode = "open" })
	batch := begun(t, g, "sim-large")["/v1/batches/"]
	p.apply(1, stopLarge)
	if w := p.awaitWork(batch, stopped(order.StopCaller)); w.State != order.WorkRunning {
		t.Errorf("%+v", w)
	}
	for _, r := range received(t, s) {
		if strings.HasSuffix(r.Path, "/cancel") {
			t.Errorf("the provider got %s %s", r.Method, r.Path)
		}
	}
}

// A drain ends for batches when it ends for streams; L1 and L0 leave what runs.
func TestLevelsAndWorks(t *testing.T) {
	for level, cancelled := range map[string]bool{"L0": false, "L1": false, "L2": true, "L4": true} {
		t.Run(level, func(t *testing.T) {
			p, s := newPlane(t), startSim(t)
			g := p.start(s, pass)
			works := begun(t, g, "sim-large")
			drain := ""
			if level == "L2" {
				drain = `,"drain":"600ms"`
			}
			began := time.Now()
			p.apply(1, `{"kind":"stop","params":{"level":"`+level+`"`+drain+`},"scope":{"models":["sim-large"]},"reason":"test"}`)
			if !cancelled {
				p.await("the works to be judged", func() bool { return p.worksOf(order.WorksAsk{}).Revision == p.state.Revision })
			}
			for _, id := range works {
				w := p.awaitWork(id, func(w *order.Work) bool { return (w.Stop == order.StopCancelled) == cancelled })
				if !cancelled && w.Stop != "" {
					t.Errorf("%+v", w)
				}
			}
			if level == "L2" && time.Since(began) < 600*time.Millisecond {
				t.Error("the drain was cut short")
			}
			tuning := `{"model":"sim-large","training_file":"` + idOf(t, upload(t, g, "fine-tune", "{}\n")) + `"}`
			if a := ask(t, g, "POST", "/v1/fine_tuning/jobs", "application/json", tuning); a.status != 503 || !strings.Contains(a.body, "andon_correction") {
				t.Errorf("a fine-tune: %d %s", a.status, a.body) // and never one of the fallback
			}
			if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != 200 || (a.header.Get("Andon-Model") == "") != (level == "L0") {
				t.Errorf("a call: %d %v", a.status, a.header)
			}
		})
	}
}

// Who is stopped while a batch is being made gets the refusal, and what the
// provider has made of it meanwhile is known and cancelled; so it is when the
// caller has gone.
func TestStopWhileABatchIsMade(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		p, s := newPlane(t), startSim(t)
		made, answer := make(chan struct{}, 1), make(chan struct{})
		config := before(t, s, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "POST" && r.URL.Path == "/v1/batches" {
				made <- struct{}{}
				<-answer
			}
			return false
		})
		g := p.start(s, config)
		file := idOf(t, upload(t, g, "batch", line("a", chat("sim-large", slow))))
		body := `{"input_file_id":"` + file + `","endpoint":"/v1/chat/completions"}`
		conn := rawPost(t, g, "/v1/batches", body)
		<-made
		if leaves {
			conn.Close()
		}
		id := p.apply(1, stopLarge)
		close(answer)
		if !leaves {
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			if got := string(buf[:n]); !strings.Contains(got, " 503 ") || !strings.Contains(got, id) {
				t.Errorf("the caller got %s", got)
			}
			conn.Close()
		}
		p.await("the batch to be cancelled", func() bool { return p.worksOf(order.WorksAsk{Kind: kindBatch}).Stops[order.StopCancelled] == 1 })
		posts := 0
		for _, r := range received(t, s) {
			if r.Method == "POST" && r.Path == "/v1/batches" {
				posts++
			}
		}
		if posts != 1 {
			t.Errorf("the batch was made %d times", posts)
		}
	}
}
