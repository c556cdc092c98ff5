package wires

import (
	"bytes"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
)

// recorded is the folder of recorded exchanges; it is not part of the module.
const recorded = "../../../shared/data"

func needRecorded(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(recorded); err != nil {
		t.Skipf("RECORDED EXCHANGES ARE NOT AT HAND, so this ran nothing: %v", err)
	}
}

type cassette struct {
	Interactions []struct {
		Request struct {
			Body, URL, Method string
			Headers           map[string][]string
		}
		Response struct {
			Body    string
			Code    int
			Headers map[string][]string
		}
	}
}

// plainUsage does to u what a wire's Usage should, by plain decoding.
func plainUsage(api string, data []byte, u *wire.Usage) {
	var v struct {
		Usage    jsontext.Value `json:"usage"`
		Response jsontext.Value `json:"response"`
		Message  jsontext.Value `json:"message"`
		Meta     map[string]any `json:"usageMetadata"`
	}
	if json.Unmarshal(data, &v) != nil {
		return
	}
	object := func(v jsontext.Value) (m map[string]any) {
		json.Unmarshal(v, &m)
		return m
	}
	inner := func(v jsontext.Value) map[string]any {
		m, _ := object(v)["usage"].(map[string]any)
		return m
	}
	sum := func(m map[string]any, names ...string) (n int64) {
		for _, name := range names {
			f, _ := m[name].(float64)
			n += int64(f)
		}
		return n
	}
	var in, out int64
	switch {
	case strings.HasPrefix(api, "gemini"):
		in, out = sum(v.Meta, "promptTokenCount", "toolUsePromptTokenCount"), sum(v.Meta, "candidatesTokenCount", "thoughtsTokenCount")
		if out == 0 {
			out = max(0, sum(v.Meta, "totalTokenCount")-in)
		}
	case strings.HasPrefix(api, "anthropic"):
		m := object(v.Usage)
		if m == nil {
			m = inner(v.Message)
		}
		in, out = sum(m, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"), sum(m, "output_tokens")
	default:
		m := object(v.Usage)
		if m == nil {
			m = inner(v.Response)
		}
		in, out = sum(m, "prompt_tokens", "input_tokens"), sum(m, "completion_tokens", "output_tokens")
		if in == 0 {
			in = max(0, sum(m, "total_tokens")-out)
		}
	}
	u.Input, u.Output = max(u.Input, in), max(u.Output, out)
}

// readStream frames a stream in random pieces, checks that no byte is lost, and
// returns the data of its events and the usage they tell.
func readStream(t *testing.T, w wire.Wire, rt wire.Route, stream []byte, seed uint64) (data []string, u wire.Usage) {
	t.Helper()
	f := wire.NewFramer(rt)
	rnd := rand.New(rand.NewPCG(seed, 3))
	var event, all []byte
	for rest := stream; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(400))
		chunk := rest[:n]
		rest = rest[n:]
		for len(chunk) > 0 {
			n := f.Frame(chunk)
			if n == 0 {
				event = append(event, chunk...)
				break
			}
			event = append(event, chunk[:n]...)
			all = append(all, event...)
			if d, ok := f.Data(event, nil); ok {
				data = append(data, string(d))
				w.Usage(rt, d, &u)
			}
			event, chunk = event[:0], chunk[n:]
		}
	}
	if all = append(all, event...); !bytes.Equal(all, stream) {
		t.Error("the events are not the stream, byte for byte")
	}
	return data, u
}

func TestRecordedExchanges(t *testing.T) {
	needRecorded(t)
	files, err := filepath.Glob(recorded + "/*-cassettes/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d cassettes, %v", len(files), err)
	}
	seen := map[string]int{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c cassette
		if err := yaml.Unmarshal(raw, &c); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, x := range c.Interactions {
			u, err := url.Parse(x.Request.URL)
			if err != nil {
				t.Fatal(err)
			}
			w, rt, ok := Match(x.Request.Method, u.EscapedPath(), u.RawQuery, headers())
			if !ok {
				seen["route not known: "+u.Path]++
				continue
			}
			if rt.Body == wire.BodyForm { // the recordings leave forms out
				seen["form"]++
				continue
			}
			body := []byte(x.Request.Body)
			var e wire.Envelope
			if err := w.Read(rt, body, &e); err != nil {
				// What the provider itself refused may be refused here.
				if x.Response.Code < 400 {
					t.Errorf("%s: %s: refused: %v", filepath.Base(file), rt.API, err)
				}
				seen["refused by both"]++
				continue
			}
			want, err := oracle(w, rt, body)
			if got := fromEnvelope(body, &e); err != nil || got.String() != want.String() {
				t.Errorf("%s:\ngot  %s\nwant %s, %v", filepath.Base(file), got, want, err)
			}
			checkRewrite(t, w, rt, body, &e, "another", 3)
			seen[rt.API]++
			answer := []byte(x.Response.Body)
			var wantUse, use wire.Usage
			if e.Stream && x.Response.Code < 400 {
				var data []string
				data, use = readStream(t, w, rt, answer, uint64(len(answer)))
				for _, d := range data {
					if d != "[DONE]" && !jsontext.Value(d).IsValid() {
						t.Errorf("%s: event carries %.80s", filepath.Base(file), d)
					}
					plainUsage(rt.API, []byte(d), &wantUse)
				}
				if n := bytes.Count(answer, []byte("data: ")); len(data) != n {
					t.Errorf("%s: %d events of %d", filepath.Base(file), len(data), n)
				}
				seen["streams"]++
			} else {
				w.Usage(rt, answer, &use)
				plainUsage(rt.API, answer, &wantUse)
			}
			if use != wantUse {
				t.Errorf("%s: usage %+v, want %+v", filepath.Base(file), use, wantUse)
			}
			if use.Input > 0 {
				seen["usage"]++
			}
		}
	}
	t.Logf("%d cassettes: %v", len(files), seen)
	for name, least := range map[string]int{"openai.chat": 10, "openai.completions": 5, "openai.embeddings": 3, "anthropic.messages": 10, "streams": 4, "usage": 30} {
		if seen[name] < least {
			t.Errorf("only %d of %s were read, want at least %d", seen[name], name, least)
		}
	}
}

// The fixtures have one payload a line; they are framed as their provider does.
func TestRecordedStreams(t *testing.T) {
	needRecorded(t)
	files, err := filepath.Glob(recorded + "/vercel-ai-fixtures/*/*.chunks.txt")
	more, _ := filepath.Glob(recorded + "/vercel-ai-fixtures/*/*/*.chunks.txt")
	sse, _ := filepath.Glob(recorded + "/anthropic-sdk-cassettes/*.sse")
	if files = append(append(files, more...), sse...); err != nil || len(files) < 40 {
		t.Fatalf("%d streams, %v", len(files), err)
	}
	used := 0
	var broken []string
	for k, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		where := "/v1/chat/completions"
		end := "\n\n"
		switch {
		case strings.Contains(file, "anthropic"):
			where = "/v1/messages"
		case strings.Contains(file, "google"):
			where, end = "/v1beta/models/m:streamGenerateContent?alt=sse", "\r\n\r\n"
		case strings.Contains(file, "responses"), strings.Contains(file, "azure"):
			where = "/v1/responses"
		}
		w, rt := target(t, where)
		stream := raw
		var want []string
		if strings.HasSuffix(file, ".txt") {
			stream = nil
			for line := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
				stream = append(stream, "data: "+line+end...)
				want = append(want, line)
			}
		}
		data, use := readStream(t, w, rt, stream, uint64(k))
		if want != nil && strings.Join(data, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %d events, want %d", file, len(data), len(want))
		}
		var wantUse wire.Usage
		whole := true
		for _, d := range data {
			plainUsage(rt.API, []byte(d), &wantUse)
			whole = whole && (d == "[DONE]" || jsontext.Value(d).IsValid())
		}
		if !whole {
			broken = append(broken, filepath.Base(file)) // a fixture that lacks its last brace
		} else if use != wantUse {
			t.Errorf("%s: usage %+v, want %+v", file, use, wantUse)
		}
		if use.Input > 0 && use.Output > 0 {
			used++
		}
	}
	t.Logf("%d streams, %d with usage; not JSON throughout: %v", len(files), used, broken)
	if len(broken) > 1 {
		t.Errorf("streams whose events are not JSON: %v", broken)
	}
	if used < len(files)/2 {
		t.Errorf("usage was found in %d streams of %d", used, len(files))
	}
}

func TestRecordedAnswers(t *testing.T) {
	needRecorded(t)
	files, _ := filepath.Glob(recorded + "/vercel-ai-fixtures/*/*.json")
	more, _ := filepath.Glob(recorded + "/vercel-ai-fixtures/*/*/*.json")
	used := 0
	files = append(files, more...)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		where := "/v1/chat/completions"
		switch {
		case strings.Contains(file, "anthropic"):
			where = "/v1/messages"
		case strings.Contains(file, "google"):
			where = "/v1beta/models/m:generateContent"
		}
		w, rt := target(t, where)
		var use, want wire.Usage
		found := w.Usage(rt, raw, &use)
		plainUsage(rt.API, raw, &want)
		if use != want {
			t.Errorf("%s: usage %+v, want %+v", file, use, want)
		}
		if found {
			used++
		}
	}
	t.Logf("%d answers, %d with usage", len(files), used)
	if used < 30 {
		t.Errorf("usage was found in %d answers", used)
	}
}
