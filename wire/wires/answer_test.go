package wires

import (
	"strings"
	"testing"
	"time"

	"andon/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// generating is one target of each route kind that produces output.
func generating() map[string]string {
	return map[string]string{
		"openai.chat": "/v1/chat/completions", "openai.responses": "/v1/responses", "openai.completions": "/v1/completions",
		"anthropic.messages": "/v1/messages", "gemini.generateContent": "/v1beta/models/m:generateContent", "gemini.streamGenerateContent": "/v1beta/models/m:streamGenerateContent?alt=sse",
	}
}

// Every wire speaks every problem as JSON with an error object that has what
// interface.md lists, whatever the texts hold.
func TestErrorsOfEveryWire(t *testing.T) {
	nasty := "<script>\"\\\n\r\n\ndata: x\n\n\u2028\xff\x00"
	problems := []*wire.Problem{refusal, {Status: 404, Code: "unknown_route"}, {Status: 429, Code: "andon_correction", CorrectionID: "c-1", Kind: "rate", RetryAfter: time.Second, Retry: true},
		{Status: 403, Code: nasty, Title: nasty, Detail: nasty, Param: nasty, CorrectionID: nasty, Corrections: []string{nasty}, Kind: nasty, Scope: nasty, Reason: nasty, Fallback: nasty, NoticeURL: nasty, AppealURL: nasty, RequestID: nasty}}
	for _, status := range []int{400, 401, 403, 404, 409, 410, 413, 422, 429, 451, 499, 500, 501, 502, 503, 504, 529} {
		problems = append(problems, &wire.Problem{Status: status, Code: "x"})
	}
	for api, where := range generating() {
		w, rt := target(t, where)
		for _, p := range problems {
			for _, body := range [][]byte{w.AppendError([]byte("kept"), p)[4:], eventData(t, w, rt, p)} {
				var v struct {
					Error map[string]jsontext.Value `json:"error"`
				}
				if err := json.Unmarshal(body, &v); err != nil {
					t.Fatalf("%s: %v in %s", api, err, body)
				}
				if len(v.Error["message"]) < 3 {
					t.Errorf("%s: no message in %s", api, body)
				}
				code := "code"
				if w.Name() == "gemini" {
					code = "andon_code"
					if v.Error["code"].Kind() != '0' {
						t.Errorf("gemini: code is %s", v.Error["code"])
					}
				}
				if p.Code != "x" && p.CorrectionID != "" {
					for _, name := range []string{code, "correction_id", "kind", "scope", "reason", "review_by", "fallback", "notice_url", "appeal_url", "revision"} {
						if _, ok := v.Error[name]; !ok {
							t.Errorf("%s: no %s in %s", api, name, body)
						}
					}
				}
				if p == refusal && (string(v.Error["correction_id"]) != `"c-7"` || string(v.Error["review_by"]) != `"2027-01-02T03:04:05Z"` || string(v.Error[code]) != `"andon_correction"`) {
					t.Errorf("%s: %s", api, body)
				}
			}
		}
	}
}

// eventData is what the one event of a stream's end carries.
func eventData(t *testing.T, w wire.Wire, rt wire.Route, p *wire.Problem) []byte {
	t.Helper()
	end := w.AppendStreamEnd(nil, rt, p)
	if !rt.SSE {
		return []byte(strings.Trim(string(end), ",]"))
	}
	f := wire.NewFramer(rt)
	if n := f.Frame(end); n != len(end) {
		t.Fatalf("%s: the end is not one event: %q", rt.API, end)
	}
	data, ok := f.Data(end, nil)
	if !ok {
		t.Fatalf("%s: the end carries nothing: %q", rt.API, end)
	}
	return data
}

func TestModelListings(t *testing.T) {
	for _, w := range All {
		for _, names := range [][]string{nil, {"a"}, {"a", `b"<`}} {
			body := w.AppendModels(nil, wire.Route{Op: wire.OpListModels}, names)
			var v struct {
				Data   []map[string]any `json:"data"`
				Models []map[string]any `json:"models"`
			}
			if err := json.Unmarshal(body, &v); err != nil {
				t.Fatalf("%s: %v in %s", w.Name(), err, body)
			}
			if list := append(v.Data, v.Models...); len(list) != len(names) {
				t.Errorf("%s: %s", w.Name(), body)
			}
		}
		if one := w.AppendModels(nil, wire.Route{Op: wire.OpGetModel}, []string{"a"}); !jsontext.Value(one).IsValid() || !strings.Contains(string(one), "a") {
			t.Errorf("%s: %s", w.Name(), one)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		target, data string
		found        bool
		want         wire.Usage
	}{
		{"/v1/chat/completions", `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`, true, wire.Usage{Input: 5, Output: 7}},
		{"/v1/chat/completions", `{"choices":[],"usage":null}`, false, wire.Usage{}},
		{"/v1/chat/completions", `[DONE]`, false, wire.Usage{}},
		{"/v1/chat/completions", `{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}`, false, wire.Usage{}},
		{"/v1/chat/completions", `{"x":{"usage":{"prompt_tokens":5}}}`, false, wire.Usage{}},
		{"/v1/responses", `{"type":"response.completed","response":{"id":"r","usage":{"input_tokens":3,"output_tokens":4}}}`, true, wire.Usage{Input: 3, Output: 4}},
		{"/v1/embeddings", `{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}`, true, wire.Usage{Input: 8}},
		{"/v1/messages", `{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_creation_input_tokens":2,"cache_read_input_tokens":4,"output_tokens":1}}}`, true, wire.Usage{Input: 7, Output: 1}},
		{"/v1/messages", `{"type":"message_delta","delta":{},"usage":{"output_tokens":15}}`, true, wire.Usage{Output: 15}},
		{"/v1/messages/count_tokens", `{"input_tokens":15,"usage":{"input_tokens":1}}`, false, wire.Usage{}},
		{"/v1beta/models/m:generateContent", `{"usageMetadata":{"promptTokenCount":2,"candidatesTokenCount":3,"thoughtsTokenCount":4,"totalTokenCount":9}}`, true, wire.Usage{Input: 2, Output: 7}},
		{"/v1beta/models/m:generateContent", `{"usageMetadata":{"promptTokenCount":2,"totalTokenCount":9}}`, true, wire.Usage{Input: 2, Output: 7}},
		{"/v1beta/models/m:generateContent", `{"usageMetadata":{"promptTokenCount":-2,"candidatesTokenCount":"x","totalTokenCount":1e99}}`, true, wire.Usage{}},
	} {
		w, rt := target(t, c.target)
		var u wire.Usage
		if found := w.Usage(rt, []byte(c.data), &u); found != c.found || u != c.want {
			t.Errorf("%s: %v %+v, want %v %+v", c.data, found, u, c.found, c.want)
		}
		more := wire.Usage{Input: 100, Output: 100}
		if w.Usage(rt, []byte(c.data), &more); more.Input < 100 || more.Output < 100 {
			t.Errorf("%s made counts smaller: %+v", c.data, more)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add([]byte(`{"usage":{"prompt_tokens":5,"completion_tokens":7}}`))
	f.Add([]byte(`{"type":"message_start","message":{"usage":{"input_tokens":9223372036854775807,"cache_read_input_tokens":4}}}`))
	f.Add([]byte(`{"response":{"usage":{"input_tokens":3,"output_tokens":4}}}`))
	f.Add([]byte(`{"usageMetadata":{"promptTokenCount":2,"totalTokenCount":9}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, where := range generating() {
			w, rt := target(t, where)
			u := wire.Usage{Input: 3, Output: 3}
			if found := w.Usage(rt, data, &u); u.Input < 3 || u.Output < 3 || !found && u != (wire.Usage{Input: 3, Output: 3}) {
				t.Errorf("%s %q: %v %+v", rt.API, data, found, u)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	para := strings.Repeat(`The lamp above the line went red and the whole floor stopped to look.\n`, 300)
	var big strings.Builder
	for range 10 {
		big.WriteString(`,{"role":"user","content":"` + para + `"}`)
	}
	for name, body := range map[string]string{
		"small": `{"model":"sim-large","messages":[{"role":"user","content":"Hello there"}],"stream":true,"user":"u-1"}`,
		"220KB": `{"model":"sim-large","messages":[{"role":"system","content":"s"}` + big.String() + `],"stream":true,"user":"u-1"}`,
	} {
		w, rt := target(b, "/v1/chat/completions")
		raw := []byte(body)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var e wire.Envelope
			for b.Loop() {
				if err := w.Read(rt, raw, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
