package wires

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"andon/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type members = map[string]any

func str(v any, path ...string) string {
	for _, p := range path {
		m, _ := v.(members)
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

func list(v any, path ...string) []any {
	for _, p := range path {
		m, _ := v.(members)
		v = m[p]
	}
	l, _ := v.([]any)
	return l
}

// plainOutcome does to o what a wire's Outcome should, by plain decoding.
func plainOutcome(api string, data []byte, o *wire.Outcome) {
	var v members
	if json.Unmarshal(data, &v) != nil {
		return
	}
	keep := func(to *string, s string) {
		if s != "" {
			*to = s
		}
	}
	switch {
	case strings.HasPrefix(api, "gemini"):
		keep(&o.ID, str(v, "responseId"))
		keep(&o.Model, str(v, "modelVersion"))
		for _, c := range list(v, "candidates") {
			keep(&o.Status, str(c, "finishReason"))
			for _, p := range list(c, "content", "parts") {
				if m, _ := p.(members); str(m, "functionCall", "name") != "" || m["executableCode"] != nil {
					o.ToolCalls++
				}
			}
		}
	case strings.HasPrefix(api, "anthropic"):
		m := v
		if in, ok := v["message"].(members); ok {
			m = in
		}
		keep(&o.ID, str(m, "id"))
		keep(&o.Model, str(m, "model"))
		for _, stop := range []string{str(m, "stop_reason"), str(v, "delta", "stop_reason")} {
			keep(&o.Status, stop)
			o.Refusal = o.Refusal || stop == "refusal"
		}
		for _, c := range []string{str(m, "container", "id"), str(v, "delta", "container", "id")} {
			keep(&o.Container, c)
		}
		for _, b := range append(list(m, "content"), v["content_block"]) {
			if strings.HasSuffix(str(b, "type"), "tool_use") {
				o.ToolCalls++
			}
		}
	case strings.HasPrefix(api, "openai.responses"):
		r, event := v, str(v, "type")
		if in, ok := v["response"].(members); ok {
			r = in
		}
		if event == "" || v["response"] != nil {
			keep(&o.ID, str(r, "id"))
			keep(&o.Model, str(r, "model"))
			keep(&o.Status, str(r, "status"))
			keep(&o.Conversation, str(r, "conversation", "id"))
		}
		items := list(v, "output")
		if item, ok := v["item"]; ok {
			items = append(items, item)
		}
		for _, item := range items {
			keep(&o.Container, str(item, "container_id"))
			keep(&o.Container, str(item, "environment", "container_id"))
			if (event == "" || event == "response.output_item.added") && strings.HasSuffix(str(item, "type"), "_call") {
				o.ToolCalls++
			}
			for _, p := range list(item, "content") {
				o.Refusal = o.Refusal || str(p, "type") == "refusal"
			}
		}
	default:
		keep(&o.ID, str(v, "id"))
		keep(&o.Model, str(v, "model"))
		for _, c := range list(v, "choices") {
			keep(&o.Status, str(c, "finish_reason"))
			o.Refusal = o.Refusal || str(c, "finish_reason") == "content_filter"
			for _, of := range []string{"message", "delta"} {
				o.Refusal = o.Refusal || str(c, of, "refusal") != ""
				for _, call := range list(c, of, "tool_calls") {
					if str(call, "function", "name")+str(call, "custom", "name") != "" {
						o.ToolCalls++
					}
				}
			}
		}
	}
}

func TestOutcomeOfRecordedAnswers(t *testing.T) {
	needRecorded(t)
	var files []string
	for _, p := range []string{"*/*.chunks.txt", "*/*/*.chunks.txt", "*/*.json", "*/*/*.json"} {
		more, err := filepath.Glob(recorded + "/vercel-ai-fixtures/" + p)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	if len(files) < 80 {
		t.Fatalf("%d answers", len(files))
	}
	ids, containers := 0, 0
	calls := map[string]int64{}
	for _, file := range files {
		if strings.Contains(file, "/skills/") {
			continue // no answers of models
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w, rt := known("/v1/chat/completions")
		switch {
		case strings.Contains(file, "anthropic"):
			w, rt = known("/v1/messages")
		case strings.Contains(file, "google"):
			w, rt = known("/v1beta/models/m:streamGenerateContent?alt=sse")
		case strings.Contains(file, "responses"), strings.Contains(file, "azure"), strings.Contains(string(raw), `"object": "response"`):
			w, rt = known("/v1/responses")
		}
		events := []string{string(raw)}
		if strings.HasSuffix(file, ".txt") {
			events = strings.Split(strings.TrimSpace(string(raw)), "\n")
		}
		var o, want wire.Outcome
		for _, e := range events {
			if !jsontext.Value(e).IsValid() {
				continue // a fixture that lacks its last brace
			}
			w.Outcome(rt, []byte(e), &o)
			plainOutcome(rt.API, []byte(e), &want)
		}
		if o != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", strings.TrimPrefix(file, recorded), o, want)
		}
		if o.ID != "" && o.Model != "" {
			ids++
		}
		if o.Container != "" {
			containers++
		}
		calls[w.Name()+rt.API[len(w.Name()):]] += o.ToolCalls
	}
	t.Logf("%d answers, %d with id and model, %d with a container, tool calls: %v", len(files), ids, containers, calls)
	if ids < len(files)*3/4 || containers == 0 || len(calls) < 4 {
		t.Error("little was found")
	}
	for api, n := range calls {
		if n == 0 {
			t.Errorf("no tool call on %s", api)
		}
	}
}

func TestOutcome(t *testing.T) {
	const chat, responses, messages, gen = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:generateContent"
	for _, c := range []struct {
		target string
		events []string
		want   wire.Outcome
	}{
		{chat, []string{`{"id":"c","model":"m","choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]}}]}`,
			`{"id":"c","model":"m","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"name\":1}"}}]}}]}`,
			`{"id":"c","model":"m","choices":[{"delta":{"tool_calls":[{"index":1,"custom":{"name":"g"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`},
			wire.Outcome{ID: "c", Model: "m", Status: "tool_calls", ToolCalls: 2}},
		{chat, []string{`{"id":"c","model":"m","choices":[{"message":{"refusal":"no","function_call":{"name":"f"}}},{"message":{"refusal":null}}]}`}, wire.Outcome{ID: "c", Model: "m", ToolCalls: 1, Refusal: true}},
		{chat, []string{`{"id":"c","choices":[{"finish_reason":"content_filter"}]}`}, wire.Outcome{ID: "c", Status: "content_filter", Refusal: true}},
		{chat, []string{`{"id":"c","choices":[{"message":{"tool_calls":[{"function":{"name":"f"}}]`}, wire.Outcome{ID: "c"}},
		{responses, []string{`{"type":"response.created","response":{"id":"r","model":"m","status":"in_progress","conversation":{"id":"conv"},"output":[]}}`,
			`{"type":"response.output_item.added","item":{"id":"ws_1","type":"web_search_call","status":"in_progress"}}`,
			`{"type":"response.output_text.delta","delta":"\"item\""}`,
			`{"item":{"type":"code_interpreter_call","id":"ci","container_id":"cntr"},"type":"response.output_item.added"}`,
			`{"type":"response.output_item.done","item":{"type":"web_search_call","id":"ws_1"}}`,
			`{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"web_search_call"},{"type":"code_interpreter_call"}]}}`},
			wire.Outcome{ID: "r", Model: "m", Status: "completed", Conversation: "conv", Container: "cntr", ToolCalls: 2}},
		{responses, []string{`{"type":"response.refusal.delta","delta":"I"}`}, wire.Outcome{Refusal: true}},
		{responses, []string{`{"type":"response.refusal.done","refusal":"I will not"}`}, wire.Outcome{Refusal: true}},
		{responses, []string{`{"id":"r","object":"response","status":"queued","model":"m","conversation":null,"output":[{"type":"function_call"},{"type":"message","content":[{"type":"refusal"}]},{"type":"mcp_call"}]}`},
			wire.Outcome{ID: "r", Model: "m", Status: "queued", ToolCalls: 2, Refusal: true}},
		{messages, []string{`{"type":"message_start","message":{"id":"msg","model":"m","content":[]}}`, `{"type":"content_block_start","content_block":{"type":"server_tool_use","id":"s","name":"web_search"}}`,
			`{"type":"content_block_delta","delta":{"type":"text_delta","text":"\"message\""}}`, `{"type":"content_block_start","content_block":{"type":"tool_use","id":"toolu"}}`,
			`{"type":"message_delta","delta":{"stop_reason":"refusal","container":{"id":"cont"}}}`},
			wire.Outcome{ID: "msg", Model: "m", Container: "cont", Status: "refusal", ToolCalls: 2, Refusal: true}},
		{messages, []string{`{"id":"msg","model":"m","content":[{"type":"mcp_tool_use"},{"type":"text"}],"stop_reason":"tool_use","container":{"id":"c"}}`}, wire.Outcome{ID: "msg", Model: "m", Container: "c", Status: "tool_use", ToolCalls: 1}},
		{gen, []string{`{"responseId":"g","modelVersion":"m","candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}},{"functionCall":{"partialArgs":[]}},{"executableCode":{}}]},"finishReason":"STOP"}]}`},
			wire.Outcome{ID: "g", Model: "m", Status: "STOP", ToolCalls: 2}},
		{gen, []string{`{"promptFeedback":{"blockReason":"SAFETY"}}`}, wire.Outcome{Refusal: true}},
		{gen, []string{`{"candidates":[{"finishReason":"PROHIBITED_CONTENT"}]}`}, wire.Outcome{Status: "PROHIBITED_CONTENT", Refusal: true}},
	} {
		w, rt := known(c.target)
		var o wire.Outcome
		for _, e := range c.events {
			w.Outcome(rt, []byte(e), &o)
		}
		if o != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.events, o, c.want)
		}
	}
}

// What tells nothing new costs nothing that is kept, and strings are kept once.
func TestOutcomeDoesNotAllocate(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector has pools forget at random")
	}
	for where, data := range map[string]string{
		"/v1/chat/completions":             `{"id":"c","model":"m","choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]},"finish_reason":"stop"}]}`,
		"/v1/responses":                    `{"type":"response.completed","response":{"id":"r","model":"m","status":"completed","conversation":{"id":"c"}}}`,
		"/v1/messages":                     `{"type":"message_start","message":{"id":"msg","model":"m","content":[{"type":"tool_use"}],"container":{"id":"c"}}}`,
		"/v1beta/models/m:generateContent": `{"responseId":"g","modelVersion":"m","candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}`,
	} {
		w, rt := known(where)
		var o wire.Outcome
		b := []byte(data)
		w.Outcome(rt, b, &o)
		if o.ID == "" {
			t.Fatalf("%s: nothing read", where)
		}
		if n := testing.AllocsPerRun(100, func() { w.Outcome(rt, b, &o) }); n > 0 {
			t.Errorf("%s: %v allocations", where, n)
		}
		clear(b)
		if o.ID == "\x00" {
			t.Errorf("%s: what was kept is not a copy", where)
		}
	}
}

func BenchmarkOutcomeOfText(b *testing.B) {
	for where, data := range map[string]string{
		"/v1/chat/completions": `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" lamp"},"logprobs":null,"finish_reason":null}]}`,
		"/v1/responses":        `{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":" lamp"}`,
		"/v1/messages":         `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" lamp"}}`,
	} {
		w, rt := known(where)
		o := wire.Outcome{ID: "c", Model: "m"}
		raw := []byte(data)
		b.Run(rt.API, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.Outcome(rt, raw, &o)
			}
		})
	}
}

func FuzzOutcome(f *testing.F) {
	f.Add([]byte(`{"id":"c","model":"m","choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}]}`))
	f.Add([]byte(`{"type":"response.output_item.added","item":{"type":"x_call","content":[{"type":"refusal"}]},"response":{"id":"r","conversation":{"id":"c"}}}`))
	f.Add([]byte(`{"type":"message_delta","delta":{"stop_reason":"refusal","container":{"id":"c"}},"content_block":{"type":"tool_use"}}`))
	f.Add([]byte(`{"responseId":"g","candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, where := range generating() {
			w, rt := known(where)
			o := wire.Outcome{ID: "was", ToolCalls: 3, Refusal: true}
			if w.Outcome(rt, data, &o); o.ToolCalls < 3 || !o.Refusal || o.ID == "" {
				t.Errorf("%s %q: %+v", rt.API, data, o)
			}
		}
	})
}
