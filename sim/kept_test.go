package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// later is a clock that a test moves.
type later struct {
	mu sync.Mutex
	at time.Time
}

func (l *later) now() time.Time { l.mu.Lock(); defer l.mu.Unlock(); return l.at }

func (l *later) pass(d time.Duration) { l.mu.Lock(); l.at = l.at.Add(d); l.mu.Unlock() }

func TestWhatIsKept(t *testing.T) {
	clock := &later{at: time.Unix(1_800_000_000, 0)}
	s, err := New(Config{Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	ask := func(method, path, kind, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	id := func(status int, body string) string {
		t.Helper()
		var v struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 || v.ID == "" {
			t.Fatalf("%d %s", status, body)
		}
		return v.ID
	}
	upload := func(content string) string {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		w.WriteField("purpose", "batch")
		f, _ := w.CreateFormFile("file", "f.jsonl")
		io.WriteString(f, content)
		w.Close()
		return id(ask("POST", "/v1/files", w.FormDataContentType(), b.String()))
	}
	const kind = "application/json"
	body := `{"model":"m","messages":[{"role":"user","content":"sim: text=\"a b c\" interval=10s"}]}`
	file := upload(`{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":` + body + "}\n")
	batch := `{"input_file_id":"` + file + `","endpoint":"/v1/chat/completions","completion_window":"24h"}`
	message := `{"requests":[{"custom_id":"x","params":{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"sim: tokens=3 interval=10s"}]}}]}`
	made := func() map[string]string {
		return map[string]string{
			"/v1/batches/":          id(ask("POST", "/v1/batches", kind, batch)),
			"/v1/fine_tuning/jobs/": id(ask("POST", "/v1/fine_tuning/jobs", kind, `{"model":"m","training_file":"`+file+`","metadata":{"sim":"tokens=3 interval=10s"}}`)),
			"/v1/responses/":        id(ask("POST", "/v1/responses", kind, `{"model":"m","background":true,"input":"sim: tokens=3 interval=10s"}`)),
			"/v1/messages/batches/": id(ask("POST", "/v1/messages/batches", kind, message)),
		}
	}
	stand := func(path, id string) string {
		t.Helper()
		status, body := ask("GET", path+id, kind, "")
		var v struct {
			Status     string `json:"status"`
			Processing string `json:"processing_status"`
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		return v.Status + v.Processing
	}
	words := map[string][3]string{ // running, ended, cancelled
		"/v1/batches/": {"in_progress", "completed", "cancelled"}, "/v1/fine_tuning/jobs/": {"running", "succeeded", "cancelled"},
		"/v1/responses/": {"in_progress", "completed", "cancelled"}, "/v1/messages/batches/": {"in_progress", "ended", "ended"},
	}
	first, second := made(), made()
	clock.pass(29 * time.Second)
	for path, id := range first {
		if got := stand(path, id); got != words[path][0] {
			t.Errorf("%s after 29 s: %s", path, got)
		}
		if status, body := ask("POST", path+second[path]+"/cancel", kind, ""); status != 200 || !strings.Contains(body, "cancel") {
			t.Errorf("cancel %s: %d %s", path, status, body)
		}
	}
	clock.pass(2 * time.Second)
	for path, id := range first {
		if got := stand(path, id); got != words[path][1] {
			t.Errorf("%s after 31 s: %s", path, got)
		}
		if got := stand(path, second[path]); got != words[path][2] {
			t.Errorf("%s, cancelled: %s", path, got)
		}
		if status, _ := ask("POST", path+id+"/cancel", kind, ""); status != 409 {
			t.Errorf("cancel %s, which has ended: %d", path, status)
		}
		if status, _ := ask("GET", path+"nobody", kind, ""); status != 404 {
			t.Errorf("%snobody: %d", path, status)
		}
	}
	_, at := ask("GET", "/v1/batches/"+first["/v1/batches/"], kind, "")
	_, out, _ := strings.Cut(at, `"output_file_id":"`)
	out, _, _ = strings.Cut(out, `"`)
	if status, lines := ask("GET", "/v1/files/"+out+"/content", kind, ""); status != 200 || !strings.Contains(lines, "a b c") || !strings.Contains(lines, `"custom_id":"x"`) {
		t.Errorf("output: %d %s", status, lines)
	}
	if status, lines := ask("GET", "/v1/messages/batches/"+first["/v1/messages/batches/"]+"/results", kind, ""); status != 200 || !strings.Contains(lines, `"succeeded"`) {
		t.Errorf("results: %d %s", status, lines)
	}
	if status, _ := ask("DELETE", "/v1/files/"+file, kind, ""); status != 200 {
		t.Errorf("delete: %d", status)
	}
	if status, _ := ask("POST", "/v1/batches", kind, batch); status != 400 {
		t.Errorf("a batch of a file that is gone: %d", status)
	}
	for range mostKept + 5 {
		s.shelf.put(&kept{kind: "files", id: fmt.Sprint(len(s.shelf.kinds["files"]))})
	}
	if n := len(s.shelf.list("files")); n != mostKept {
		t.Errorf("%d files are kept", n)
	}
	for _, r := range s.Requests() {
		if strings.HasSuffix(r.Path, "/cancel") && r.Status == 0 {
			t.Errorf("the journal lacks the answer of %s", r.Path)
		}
	}
}
