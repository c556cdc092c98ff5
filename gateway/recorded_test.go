package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// recordings holds exchanges with real providers. It lies beside the
// repository, not in it; its README says where each comes from.
const recordings = "../../shared/data"

// exchanged is one recorded exchange.
type exchanged struct {
	name, path, request string
	status              int
	contentType         string
	answer              string
}

func needRecordings(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("NOT RUN: the recorded exchanges are not at %s", recordings)
	}
}

func cassettes(t *testing.T) (all []exchanged) {
	files := append(must(filepath.Glob(recordings+"/envoy-ai-gateway-cassettes/*.yaml")), must(filepath.Glob(recordings+"/anthropic-sdk-cassettes/*.yaml"))...)
	for _, f := range files {
		var c struct {
			Interactions []struct {
				Request  struct{ Body, URL, Method string }
				Response struct {
					Body    string
					Headers map[string][]string
					Status  string
					Code    int
				}
			}
		}
		if err := yaml.Unmarshal(must(os.ReadFile(f)), &c); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for i, x := range c.Interactions {
			u := must(url.Parse(x.Request.URL))
			status := x.Response.Code
			if status == 0 {
				fmt.Sscan(x.Response.Status, &status)
			}
			ct := ""
			if h := x.Response.Headers["Content-Type"]; len(h) > 0 {
				ct = h[0]
			}
			all = append(all, exchanged{fmt.Sprintf("%s-%d", strings.TrimSuffix(filepath.Base(f), ".yaml"), i), u.RequestURI(), x.Request.Body, status, ct, x.Response.Body})
		}
	}
	return all
}

// omitted is what the recordings say of forms.
const omitted = "[multipart form data omitted]"

// form is an upload as SDKs write it.
func form(model string) (kind, body string) {
	var b strings.Builder
	w := multipart.NewWriter(&b)
	f, _ := w.CreateFormFile("file", "speech.wav")
	io.WriteString(f, "RIFF")
	w.WriteField("model", model)
	w.Close()
	return w.FormDataContentType(), b.String()
}

// Every recorded exchange on a route that is served passes byte for byte in
// both directions, streams and errors included, however the provider's writes
// are split.
func TestRecordedExchangesPassByteForByte(t *testing.T) {
	needRecordings(t)
	all := cassettes(t)
	var current exchanged
	step := 1
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", current.contentType)
		w.WriteHeader(current.status)
		for rest := current.answer; rest != ""; {
			n := min(step, len(rest))
			io.WriteString(w, rest[:n])
			w.(http.Flusher).Flush()
			rest = rest[n:]
		}
	})
	models := map[string]bool{"whisper-1": true}
	for _, x := range all {
		var m struct{ Model string }
		if json.Unmarshal([]byte(x.request), &m) == nil && m.Model != "" {
			models[m.Model] = true
		}
	}
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "")(c)
		for m := range models {
			c.Models = append(c.Models, Model{Name: m, Upstream: "sim"})
		}
	})
	passed, refused := 0, map[string]int{}
	for _, x := range all {
		kind := "application/json"
		if x.request == omitted {
			kind, x.request = form("whisper-1")
		}
		for _, step = range []int{1 << 20, 37} {
			current = x
			a := send(t, g, x.path, x.request, "Anthropic-Version", "2023-06-01", "Content-Type", kind)
			if a.status == 404 && strings.Contains(a.body, "unknown_route") {
				refused[x.path]++
				continue
			}
			if strings.HasPrefix(x.name, "completion-bad-request") || strings.HasPrefix(x.name, "chat-bad-request") {
				// A negative max_tokens, or temperature, is none that could be decided
				// on: Andon refuses it itself, with the status that the provider gave.
				if a.status != x.status || !strings.Contains(a.body, "max_tokens") && !strings.Contains(a.body, "temperature") {
					t.Errorf("%s: %d %s", x.name, a.status, a.body)
				}
				continue
			}
			if strings.Contains(a.body, "instance") && a.header.Get("X-Should-Retry") != "" {
				t.Errorf("%s: refused by the gateway: %s", x.name, a.body)
				continue
			}
			_, got := pr.last()
			if got != x.request || a.body != x.answer || a.status != x.status {
				t.Errorf("%s, in steps of %d: status %d want %d; request same: %v; answer same: %v", x.name, step, a.status, x.status, got == x.request, a.body == x.answer)
			}
			passed++
		}
	}
	if passed < 100 {
		t.Errorf("only %d exchanges passed", passed)
	}
	t.Logf("%d passed; refused as unknown routes: %v", passed, refused)
}

// Recorded streams of ten providers, one payload a line, pass as the events
// they were, and none is merged with or split from another.
func TestRecordedStreamsKeepTheirEvents(t *testing.T) {
	needRecordings(t)
	var files []string
	filepath.WalkDir(recordings+"/vercel-ai-fixtures", func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".chunks.txt") {
			files = append(files, path)
		}
		return nil
	})
	var events []string
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		all := strings.Join(events, "")
		for len(all) > 0 {
			n := min(61, len(all))
			io.WriteString(w, all[:n])
			all = all[n:]
		}
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	total := 0
	for _, f := range files {
		events = nil
		in := must(os.Open(f))
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			events = append(events, "data: "+lines.Text()+"\n\n")
		}
		in.Close()
		st := openStream(t, g, streamed[0].path, strings.Replace(streamed[0].body, "sim: tokens=5000 interval=20ms", "x", 1))
		got := st.rest(t)
		if len(got) != len(events) {
			t.Errorf("%s: %d events, want %d", filepath.Base(f), len(got), len(events))
			continue
		}
		for i := range got {
			if got[i] != events[i] {
				t.Errorf("%s: event %d changed", filepath.Base(f), i)
			}
		}
		total += len(got)
	}
	if total < 5000 {
		t.Errorf("only %d events", total)
	}
	t.Logf("%d events of %d streams", total, len(files))
}
