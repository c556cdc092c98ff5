package gateway

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Attacks on what filters and guards make of answers: a provider, or a model
// whose caller chooses what it says, puts the forbidden text where it may be
// overlooked. Each asserts what the client gets.

const outputFilter = `{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["forbidden phrase"],"action":%q}},"scope":{"models":["sim-large"]},"reason":"test"}`

func saidWhole(text string) string {
	return `{"id":"c","object":"chat.completion","model":"sim-large","choices":[{"index":0,"message":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":900,"total_tokens":905}}`
}

func saidPart(text string) string {
	return `{"id":"c","object":"chat.completion.chunk","model":"sim-large","choices":[{"index":0,"delta":{"content":"` + text + `"}}]}`
}

func TestForbiddenTextInOddAnswers(t *testing.T) {
	var handler atomic.Pointer[http.HandlerFunc]
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { (*handler.Load())(w, r) })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, fmt.Sprintf(outputFilter, "block"))
	answers := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	whole := saidWhole("a forbidden phrase")
	events := "data: " + saidPart("a forbidden ") + "\n\ndata: " + saidPart("phrase") + "\n\ndata: [DONE]\n\n"
	type trial struct {
		name string
		h    http.HandlerFunc
	}
	trials := []trial{
		{"plain text", answers(200, "text/plain", "a forbidden phrase")},
		{"no type", answers(200, "", whole)},
		{"charset", answers(200, "application/json; charset=utf-8", whole)},
		{"capitals", answers(200, "Text/Event-Stream; charset=utf-8", events)},
		{"blanks before the type", answers(200, " text/event-stream", events)},
		{"lines", answers(200, "application/x-ndjson", whole+"\n"+whole+"\n")},
		{"a phrase over two lines", answers(200, "application/x-ndjson", saidPart("a forbidden ")+"\n"+saidPart("phrase")+"\n")},
		{"multipart", answers(200, "multipart/mixed; boundary=b", "--b\r\n\r\na forbidden phrase\r\n--b--\r\n")},
		{"two documents", answers(200, "application/json", whole+whole)},
		{"a comment", answers(200, "text/event-stream", ": a forbidden phrase\n\n"+"data: [DONE]\n\n")},
		{"a comment beside data", answers(200, "text/event-stream", ": a forbidden phrase\ndata: "+saidPart("x")+"\n\n")},
		{"an event's name", answers(200, "text/event-stream", "event: a forbidden phrase\ndata: "+saidPart("x")+"\n\n")},
		{"an event's id", answers(200, "text/event-stream", "id: a forbidden phrase\ndata: "+saidPart("x")+"\n\n")},
		{"an unknown field", answers(200, "text/event-stream", "note: a forbidden phrase\ndata: "+saidPart("x")+"\n\n")},
		{"the name of a field", answers(200, "text/event-stream", "a forbidden phrase\ndata: "+saidPart("x")+"\n\n")},
		{"the end, without a blank line", answers(200, "text/event-stream", "data: "+saidPart("a forbidden ")+"\n\ndata: "+saidPart("phrase"))},
		{"an error event", answers(200, "text/event-stream", `data: {"error":{"message":"it said a forbidden phrase"}}`+"\n\n")},
	}
	for _, status := range []int{201, 202, 203, 206, 299, 400, 429, 500} {
		trials = append(trials, trial{fmt.Sprint(status), answers(status, "application/json", whole)},
			trial{fmt.Sprint(status, " text"), answers(status, "text/plain", "a forbidden phrase")},
			trial{fmt.Sprint(status, " stream"), answers(status, "text/event-stream", events)})
	}
	for _, kind := range []string{"text/event-stream", "application/json"} {
		trials = append(trials, trial{"compressed " + kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			if kind == "application/json" {
				io.WriteString(z, whole)
			} else {
				io.WriteString(z, events)
			}
			z.Close()
		}})
	}
	for _, tr := range trials {
		handler.Store(&tr.h)
		for _, more := range []string{"", `,"stream":true`} {
			a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", more))
			if a.header.Get("Content-Encoding") != "" {
				z, err := gzip.NewReader(strings.NewReader(a.body))
				if err == nil {
					b, _ := io.ReadAll(z)
					a.body = string(b)
				}
			}
			if strings.Contains(a.body, "forbidden phrase") || strings.Contains(joined(a.body), "forbidden phrase") {
				t.Errorf("%s%s: %d %s", tr.name, more, a.status, a.body)
			}
		}
	}
	// What fails without a forbidden word is told as it is, or at least with its status.
	for _, tr := range []struct {
		status int
		body   string
		same   bool
	}{{429, `{"error":{"message":"slow down","type":"rate_limit"}}`, true}, {502, "<html>bad gateway</html>", false}, {500, "", true}} {
		h := answers(tr.status, "application/json", tr.body)
		handler.Store(&h)
		if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x")); a.status != tr.status || tr.same && a.body != tr.body {
			t.Errorf("an error of the provider: %d %s, want %d", a.status, a.body, tr.status)
		}
	}
}

// What was generated counts, whatever its status.
func TestTokensOfOddStatusesCount(t *testing.T) {
	for _, status := range []int{200, 201, 203, 206} {
		pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, saidWhole("x"))
		})
		p, s := newPlane(t), startSim(t)
		g := p.start(s, toProvider(pr, ""))
		p.apply(1, `{"kind":"rate","params":{"metric":"output_tokens","limit":800,"window":"1h","per":"org"},"scope":{"all":true},"reason":"test"}`)
		for i, want := range []int{status, 429} {
			if a := send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"max_tokens":10`)); a.status != want {
				t.Errorf("%d, call %d: %d, want %d", status, i+1, a.status, want)
			}
		}
	}
}

// What a filter held back of a stream that was cut belongs to that stream, and
// not to the answer that takes its place.
func TestWhatWasHeldBackIsNotLetOutLater(t *testing.T) {
	asked := make(chan string, 4)
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		b := "sim-small"
		if r.Header.Get("X-Count") == "" && len(asked) == 0 {
			b = "sim-large"
		}
		asked <- b
		w.Header().Set("Content-Type", "text/event-stream")
		if b == "sim-large" {
			io.WriteString(w, "data: "+saidPart("of the stopped model forbid")+"\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "data: "+saidPart("of the other")+"\n\ndata: [DONE]\n\n")
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["forbidden phrase"],"action":"cut"}},"scope":{"all":true},"reason":"test"}`)
	got := make(chan answer, 1)
	go func() { got <- send(t, g, "/v1/chat/completions", chat("sim-large", "x", `,"stream":true`)) }()
	p.await("the first event", func() bool { return len(asked) == 1 })
	time.Sleep(100 * time.Millisecond) // so that it is held; without it the attack is only weaker
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	if a := <-got; a.status != 200 || strings.Contains(a.body, "of the stopped model") || !strings.Contains(a.body, "of the other") {
		t.Errorf("%d %s", a.status, a.body)
	}
}
