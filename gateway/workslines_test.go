package gateway

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/order"
)

// messageBatch is a batch of Anthropic's, of these bodies.
func messageBatch(bodies ...string) string {
	var b strings.Builder
	for i, body := range bodies {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"custom_id":"` + string(rune('a'+i)) + `","params":` + body + `}`)
	}
	return `{"requests":[` + b.String() + `]}`
}

func message(model, text, more string) string {
	return `{"model":"` + model + `","max_tokens":100,"messages":[{"role":"user","content":"` + text + `"}]` + more + `}`
}

// Each line of a batch is decided like a request of its own, before the provider
// has a byte of any; the refusal names the line.
func TestEachLineOfABatchIsDecided(t *testing.T) {
	tool := `,"tools":[{"type":"function","function":{"name":"shell"}}]`
	for name, c := range map[string]struct {
		correction string
		body       string // the third line's
		status     int
	}{
		"stop":                 {stopLarge, chat("sim-large", "x"), 503},
		"stop by alias":        {stopLarge, chat("large", "x"), 404}, // a line travels as it is: it has to name what the provider knows
		"stop, further model":  {stopLarge, chat("sim-small", "x", `,"models":["sim-large"]`), 503},
		"unknown model":        {"", chat("of-nobody", "x"), 404},
		"disable tools":        {`{"kind":"capability","params":{"disable":["tools"]},"scope":{"all":true},"reason":"test"}`, chat("sim-small", "x", tool), 422},
		"disable one tool":     {`{"kind":"capability","params":{"disable":["tool:shell"]},"scope":{"all":true},"reason":"test"}`, chat("sim-small", "x", tool), 422},
		"clamp":                {`{"kind":"capability","params":{"clamp":{"output_tokens":200}},"scope":{"all":true},"reason":"test"}`, chat("sim-small", "x", `,"max_tokens":5000`), 422},
		"clamp, no bound":      {`{"kind":"capability","params":{"clamp":{"output_tokens":200}},"scope":{"all":true},"reason":"test"}`, chat("sim-small", "x"), 422},
		"user":                 {`{"kind":"access","params":{"mode":"block"},"scope":{"users":["mallory"]},"reason":"test"}`, chat("sim-small", "x", `,"user":"Mallory"`), 403},
		"pin":                  {`{"kind":"capability","params":{"pin":"sim-small-0"},"scope":{"models":["sim-small"]},"reason":"test"}`, chat("sim-small", "x"), 422},
		"filter":               {`{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"block"}},"scope":{"all":true},"reason":"test"}`, chat("sim-small", "a forbidden phrase here"), 403},
		"filter that redacts":  {`{"kind":"capability","params":{"filter":{"direction":"both","detector":"patterns","patterns":["forbidden phrase"],"action":"redact"}},"scope":{"all":true},"reason":"test"}`, chat("sim-small", "a forbidden phrase here"), 403},
		"filter, escaped text": {`{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"hold"}},"scope":{"all":true},"reason":"test"}`, strings.Replace(chat("sim-small", "a FORB"), "FORB", `f\u006frbidden\u0020phrase`, 1), 403},
		"a stream":             {"", chat("sim-small", "x", `,"stream":true`), 400},
		"two models":           {"", `{"model":"sim-small","model":"sim-large","messages":[]}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := newPlane(t), startSim(t)
			g := p.start(s, pass)
			id := ""
			if c.correction != "" {
				id = p.apply(1, c.correction)
			}
			if id != "" && c.status == 503 { // a form with any other batch passes
				if a := upload(t, g, "batch", line("a", chat("sim-small", "x"))); a.status != 200 {
					t.Fatalf("a batch that nothing forbids: %d %s", a.status, a.body)
				}
			}
			before := len(received(t, s))
			fine := chat("sim-small", "x", `,"max_tokens":5`)
			if name == "pin" {
				fine = c.body
			}
			a := upload(t, g, "batch", line("a", fine)+line("b", fine)+line("c", c.body))
			if a.status != c.status || id != "" && c.status != 404 && !strings.Contains(a.body, id) {
				t.Errorf("%d %s", a.status, a.body)
			}
			if at := strings.ToLower(a.body); !strings.Contains(at, "line 3") && name != "pin" {
				t.Errorf("which line it is: %s", a.body)
			}
			if got := received(t, s); len(got) != before {
				t.Errorf("the provider got %s", got[len(got)-1].Path)
			}
		})
	}
}

// Texts that a batch has measured are looked at, too.
func TestLinesThatEmbedAreScreened(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, pass)
	embed := func(text string) string {
		return `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"sim-small","input":["` + text + `"]}}` + "\n"
	}
	old := idOf(t, upload(t, g, "batch", embed("x")))
	id := p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"block"}},"scope":{"models":["sim-small"]},"reason":"test"}`)
	if a := upload(t, g, "batch", embed("x")+embed("a forbidden phrase")); a.status != 403 || !strings.Contains(a.body, id) || !strings.Contains(a.body, "Line 2") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := ask(t, g, "POST", "/v1/batches", "application/json", `{"input_file_id":"`+old+`","endpoint":"/v1/embeddings"}`); a.status != 403 {
		t.Errorf("a file that is older than the filter: %d %s", a.status, a.body)
	}
}

// The same for batches whose lines stand in the request.
func TestEachRequestOfAMessageBatchIsDecided(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, pass)
	for name, c := range map[string]struct{ correction, body string }{
		"stop":    {stopLarge, message("sim-large", "x", "")},
		"tools":   {`{"kind":"capability","params":{"disable":["web_search"]},"scope":{"all":true},"reason":"test"}`, message("sim-small", "x", `,"tools":[{"type":"web_search_20250305","name":"web_search"}]`)},
		"filters": {`{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"block"}},"scope":{"all":true},"reason":"test"}`, message("sim-small", "a forbidden phrase", "")},
		"user":    {`{"kind":"access","params":{"mode":"block"},"scope":{"users":["mallory"]},"reason":"test"}`, message("sim-small", "x", `,"metadata":{"user_id":"mallory"}`)},
	} {
		id := p.apply(1, c.correction)
		before := len(received(t, s))
		fine := message("sim-small", "x", "")
		if a := ask(t, g, "POST", "/v1/messages/batches", "application/json", messageBatch(fine, c.body)); a.status < 400 || !strings.Contains(a.body, id) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if got := received(t, s); len(got) != before {
			t.Errorf("%s: the provider got %s", name, got[len(got)-1].Path)
		}
		if a := ask(t, g, "POST", "/v1/messages/batches", "application/json", messageBatch(fine, fine)); a.status != 200 {
			t.Errorf("%s: what is allowed: %d %s", name, a.status, a.body)
		}
		p.lift(1, id)
	}
}

// A batch of a file is decided by what the file asks; of a file that did not come
// in here, as anything of any model.
func TestBatchesOfFiles(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, pass)
	large := idOf(t, upload(t, g, "batch", line("a", chat("sim-large", "x"))))
	small := idOf(t, upload(t, g, "batch", line("a", chat("sim-small", "x"))))
	kind, form := fileForm("batch", line("a", chat("sim-small", "x")))
	resp := must(http.Post(s.URL()+"/v1/files", kind, strings.NewReader(form)))
	resp.Body.Close()
	foreign := "file-sim000000000000000" + "3" // the third request that the provider had
	if at := provided(t, s, "/v1/files/"+foreign); !strings.Contains(at, `"purpose":"batch"`) {
		t.Fatal(at)
	}
	for correction, want := range map[string][3]int{ // of large, small, foreign
		"":        {200, 200, 200},
		stopLarge: {503, 200, 503},
		`{"kind":"capability","params":{"disable":["tools"]},"scope":{"all":true},"reason":"test"}`:                                                                                               {200, 200, 422},
		`{"kind":"capability","params":{"clamp":{"output_tokens":9}},"scope":{"models":["sim-small"]},"reason":"test"}`:                                                                           {200, 422, 422},
		`{"kind":"rate","params":{"metric":"requests","limit":100,"window":"1h","per":"org"},"scope":{"models":["sim-large"]},"reason":"test"}`:                                                   {200, 200, 429},
		`{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"block"}},"scope":{"models":["sim-large"]},"reason":"test"}`: {403, 200, 403}, // the filter is younger than the file
	} {
		id := ""
		if correction != "" {
			id = p.apply(1, correction)
		}
		for i, file := range []string{large, small, foreign} {
			if a := newBatch(t, g, file); a.status != want[i] || want[i] != 200 && !strings.Contains(a.body, id) {
				t.Errorf("%s: file %d: %d %s, want %d", correction, i, a.status, a.body, want[i])
			}
		}
		if strings.Contains(correction, "filter") { // sent again, it is looked at
			if a := newBatch(t, g, idOf(t, upload(t, g, "batch", line("a", chat("sim-large", "x"))))); a.status != 200 {
				t.Errorf("sent again: %d %s", a.status, a.body)
			}
		}
		if id != "" {
			p.lift(1, id)
		}
	}
	p.apply(1, stopLarge)
	for id, state := range map[string]string{large: order.WorkKept, small: order.WorkKept} {
		if w := p.awaitWork(id, func(*order.Work) bool { return true }); w.State != state || w.Stop != "" {
			t.Errorf("%+v", w)
		}
	}
	if a := p.worksOf(order.WorksAsk{Kind: kindBatch}); a.Total == 0 || a.States[order.WorkRunning] != 0 && a.Stops[order.StopEnded]+a.Stops[order.StopPending]+a.Stops[order.StopFailing] == 0 {
		t.Errorf("%+v", a)
	}
}

// The requests of a batch count under limits when it is made, each time.
func TestBatchesCount(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, pass)
	file := idOf(t, upload(t, g, "batch", line("a", chat("sim-large", "x"))+line("b", chat("sim-large", "y"))+line("c", chat("sim-small", "z"))))
	p.apply(1, `{"kind":"rate","params":{"metric":"requests","limit":5,"window":"1h","per":"org"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for i, want := range []int{200, 200, 429} {
		if a := newBatch(t, g, file); a.status != want {
			t.Errorf("batch %d: %d %s", i+1, a.status, a.body)
		}
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != 200 {
		t.Errorf("one that was left: %d", a.status)
	}
	if a := ask(t, g, "POST", "/v1/messages/batches", "application/json", messageBatch(message("sim-large", "x", ""))); a.status != 429 {
		t.Errorf("a batch of another wire: %d", a.status)
	}
}

// What a stopped model put out earlier is not handed out any more: a response in
// the background, the results of a batch, its output file. That of others is.
func TestWhatAStoppedModelPutOutIsKeptBack(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, pass)
	type made struct{ path, text string }
	all := map[string][]made{}
	for _, model := range []string{"sim-large", "sim-small"} {
		text := "said by " + model
		prompt := `sim: text=\"` + text + `\"`
		response := idOf(t, ask(t, g, "POST", "/v1/responses", "application/json", `{"model":"`+model+`","input":"`+prompt+`","background":true}`))
		stored := idOf(t, ask(t, g, "POST", "/v1/responses", "application/json", `{"model":"`+model+`","input":"`+prompt+`"}`))
		messages := idOf(t, ask(t, g, "POST", "/v1/messages/batches", "application/json", messageBatch(message(model, prompt, ""))))
		body := `{"model":"` + model + `","messages":[{"role":"user","content":"` + prompt + `"}]}`
		batch := newBatch(t, g, idOf(t, upload(t, g, "batch", line("a", body)+line("b", body))))
		at := ask(t, g, "GET", "/v1/batches/"+idOf(t, batch), "", "").body
		_, output, _ := strings.Cut(at, `"output_file_id":"`)
		output, _, _ = strings.Cut(output, `"`)
		all[model] = []made{{"/v1/responses/" + response, text}, {"/v1/responses/" + stored, text}, {"/v1/messages/batches/" + messages + "/results", text}, {"/v1/files/" + output + "/content", text}}
	}
	look := func(model string, status int) {
		t.Helper()
		for _, m := range all[model] {
			a := ask(t, g, "GET", m.path, "", "")
			if a.status != status || strings.Contains(a.body, m.text) != (status == 200) {
				t.Errorf("%s of %s: %d %s", m.path, model, a.status, a.body)
			}
		}
	}
	look("sim-large", 200)
	id := p.apply(1, stopLarge)
	look("sim-large", 503)
	look("sim-small", 200)
	p.lift(1, id)
	look("sim-large", 200)
	g.works.mu.Lock() // as another gateway, which did not begin them, sees it
	clear(g.works.byID)
	g.works.mu.Unlock()
	p.apply(1, stopLarge)
	look("sim-large", 503)
	look("sim-small", 200)
}

// Results that are too long to be read are handed out while nothing is stopped
// that they may be of, and cut when it is.
func TestLongResults(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		row := []byte(`{"custom_id":"a","response":{"body":{"model":"sim-small","text":"` + strings.Repeat("x", 1<<16) + `"}}}` + "\n")
		for range 20 << 4 {
			if _, err := w.Write(row); err != nil {
				return
			}
		}
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) { toProvider(pr, "")(c); pass(c) })
	if a := ask(t, g, "GET", "/v1/files/file-1/content", "", ""); a.status != 200 || len(a.body) < 20<<20 {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	p.apply(1, stopLarge) // it may be of this one, as far as anybody has read
	if a := ask(t, g, "GET", "/v1/files/file-1/content", "", ""); a.status != 503 {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
}

// What is kept on disk may be anything: it is read as far as it can be.
func FuzzKeptWorks(f *testing.F) {
	f.Add([]byte(`{"id":"b","kind":"batch","upstream":"sim","state":"running","facts":[{"model":"sim-large","n":1}]}` + "\n"))
	f.Add([]byte("{}\n\x00\n{\"gone\":true}\n[]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, worksFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		g := &Gateway{cfg: Config{Data: dir}, log: quiet}
		if err := g.openWorks(); err != nil {
			t.Fatal(err)
		}
		a := g.works.answer(&order.WorksAsk{})
		for _, w := range g.works.open() {
			g.works.change(w, func() { w.State = order.WorkEnded })
		}
		if n := g.works.count(); n != 0 {
			t.Fatalf("%d still run", n)
		}
		g.works.disk.compact(g.works)
		g.works.disk.close()
		h := &Gateway{cfg: Config{Data: dir}, log: quiet}
		if err := h.openWorks(); err != nil {
			t.Fatal(err)
		}
		if b := h.works.answer(&order.WorksAsk{}); b.Total != a.Total {
			t.Fatalf("%d were kept of %d", b.Total, a.Total)
		}
	})
}

// The newest are known, and what runs longer than what has ended; the file does not
// grow with what has happened.
func TestWorksAreBounded(t *testing.T) {
	dir := t.TempDir()
	g := &Gateway{cfg: Config{Data: dir}, log: quiet}
	if err := g.openWorks(); err != nil {
		t.Fatal(err)
	}
	s := g.works
	add := func(i int, state string) *job {
		w := &job{Work: order.Work{ID: "b-" + string(rune('0'+i%10)) + time.Duration(i).String(), Kind: kindBatch, Upstream: "sim", State: state}}
		s.put(w)
		return w
	}
	running := add(0, order.WorkRunning)
	for i := 1; i <= mostWorks+10; i++ {
		add(i, order.WorkEnded)
	}
	if len(s.byID) != mostWorks || s.find("sim", running.ID) == nil {
		t.Fatalf("%d are known", len(s.byID))
	}
	for i := range 5000 {
		s.change(running, func() { running.Attempts = i })
	}
	for w := range s.changed {
		s.disk.save(s, w)
	}
	s.disk.lines = 3 * mostWorks
	s.disk.tend(s, time.Now())
	if s.disk.lines != mostWorks {
		t.Errorf("%d lines are kept", s.disk.lines)
	}
	s.disk.close()
	h := &Gateway{cfg: Config{Data: dir}, log: quiet}
	if err := h.openWorks(); err != nil {
		t.Fatal(err)
	}
	if len(h.works.byID) != mostWorks || h.works.running != 1 || h.works.find("sim", running.ID).Attempts != 4999 {
		t.Errorf("%d are known after a restart, %d run", len(h.works.byID), h.works.running)
	}
}

var quiet = slog.New(slog.DiscardHandler)
