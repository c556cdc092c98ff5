package sim

import (
	"compress/gzip"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// document is a provider's own OpenAPI document, which says what its answers
// look like.
type document struct{ root map[string]any }

func openDocument(t *testing.T, path ...string) *document {
	t.Helper()
	name := filepath.Join(append([]string{"..", "..", "shared", "data"}, path...)...)
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("NOT RUN: %s is absent, so the answers were not checked against the provider's own document", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	d := &document{}
	if err := json.UnmarshalRead(z, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *document) schema(name string) map[string]any {
	s, _ := d.root["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
	return s
}

// check says where v breaks the schema, the first place found; "" if nowhere.
func (d *document) check(s map[string]any, v any, at string) string {
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		if s = d.schema(name); s == nil {
			return at + ": unknown schema " + ref
		}
		return d.check(s, v, at)
	}
	if v == nil && s["nullable"] == true {
		return ""
	}
	for _, sub := range list(s["allOf"]) {
		if e := d.check(sub.(map[string]any), v, at); e != "" {
			return e
		}
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		var fails []string
		for _, sub := range list(s[key]) {
			e := d.check(sub.(map[string]any), v, at)
			if e == "" {
				fails = nil
				break
			}
			fails = append(fails, e)
		}
		if fails != nil {
			return fmt.Sprintf("%s fits none of %d: %s", at, len(fails), strings.Join(fails, " | "))
		}
	}
	if want, ok := s["const"]; ok && want != v {
		return fmt.Sprintf("%s is %v, want %v", at, v, want)
	}
	if want := list(s["enum"]); want != nil && !slices.Contains(want, v) {
		return fmt.Sprintf("%s is %v, want one of %v", at, v, want)
	}
	if kinds := s["type"]; kinds != nil {
		many := list(kinds)
		if many == nil {
			many = []any{kinds}
		}
		if !slices.ContainsFunc(many, func(k any) bool { return isKind(v, k.(string)) }) {
			return fmt.Sprintf("%s is %T, want %v", at, v, kinds)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range list(s["required"]) {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Sprintf("%s lacks %s", at, name)
			}
		}
		properties, _ := s["properties"].(map[string]any)
		for name, member := range v {
			if p, ok := properties[name].(map[string]any); ok {
				if e := d.check(p, member, at+"."+name); e != "" {
					return e
				}
			} else if s["additionalProperties"] == false {
				return fmt.Sprintf("%s has an unknown member %s", at, name)
			}
		}
	case []any:
		if items, ok := s["items"].(map[string]any); ok {
			for i, item := range v {
				if e := d.check(items, item, fmt.Sprintf("%s[%d]", at, i)); e != "" {
					return e
				}
			}
		}
	}
	return ""
}

func list(v any) []any { l, _ := v.([]any); return l }

func isKind(v any, kind string) bool {
	switch v := v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && v == math.Trunc(v)
	case []any:
		return kind == "array"
	}
	return kind == "object"
}

func (d *document) mustFit(t *testing.T, schema, data string) {
	t.Helper()
	s := d.schema(schema)
	if s == nil {
		t.Fatalf("no schema %s", schema)
	}
	// Recorded exchanges have these nulls; the document has them in words at
	// most and forbids them by type.
	for _, null := range []string{`,"usage":null`, `,"user":null`} {
		data = strings.Replace(data, null, "", 1)
	}
	var v any
	decode(t, data, &v)
	if e := d.check(s, v, "answer"); e != "" {
		t.Errorf("%s: %s\n%s", schema, e, data)
	}
}

// dataOf returns the data of each event of a stream.
func dataOf(body string) (out []string) {
	for l := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(l, "data: "); ok {
			out = append(out, strings.TrimRight(data, "\r\n"))
		}
	}
	return out
}

// The checker itself must see what is wrong.
func TestCheckerRefuses(t *testing.T) {
	d := openDocument(t, "openai-openapi", "openapi.json.gz")
	for _, bad := range []string{`{"id":"x","object":"model","created":1}`, `{"id":"x","object":"mod","created":1,"owned_by":"y"}`, `{"id":1,"object":"model","created":1,"owned_by":"y"}`} {
		var v any
		decode(t, bad, &v)
		if d.check(d.schema("Model"), v, "model") == "" {
			t.Errorf("%s passed", bad)
		}
	}
}

func TestOpenAIAnswersFitItsDocument(t *testing.T) {
	d := openDocument(t, "openai-openapi", "openapi.json.gz")
	s := start(t, Config{})
	chatTools := `,"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]`
	for _, data := range dataOf(all(t, post(t, s, "/v1/responses", `{"model":"m","stream":true,"input":"sim: error=500 after=1"}`), 200)) {
		if strings.Contains(data, "response.failed") {
			d.mustFit(t, "ResponseFailedEvent", data)
		}
	}
	for _, text := range []string{"hello", "sim: tool=look", "sim: tokens=50"} {
		more := chatTools + `,"n":2,"max_tokens":20`
		d.mustFit(t, "CreateChatCompletionResponse", all(t, post(t, s, "/v1/chat/completions", chatBody(text, more)), 200))
		for _, data := range dataOf(all(t, post(t, s, "/v1/chat/completions", chatBody(text, more+`,"stream":true,"stream_options":{"include_usage":true}`)), 200)) {
			if data != "[DONE]" {
				d.mustFit(t, "CreateChatCompletionStreamResponse", data)
			}
		}
		response := `{"model":"m","input":"` + text + `","max_output_tokens":20,"metadata":{"a":"b"},"tools":[{"type":"function","name":"look","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"string"}}}}]`
		d.mustFit(t, "Response", all(t, post(t, s, "/v1/responses", response+"}"), 200))
		for _, data := range dataOf(all(t, post(t, s, "/v1/responses", response+`,"stream":true}`), 200)) {
			var event struct {
				Type string `json:"type"`
			}
			decode(t, data, &event)
			d.mustFit(t, d.eventSchema(t, event.Type), data)
		}
	}
	d.mustFit(t, "CreateCompletionResponse", all(t, post(t, s, "/v1/completions", `{"model":"m","prompt":["a",[1,2]],"n":2}`), 200))
	d.mustFit(t, "CreateEmbeddingResponse", all(t, post(t, s, "/v1/embeddings", `{"model":"m","input":["a","b"],"dimensions":8}`), 200))
	d.mustFit(t, "ListModelsResponse", all(t, get(t, s, "/v1/models"), 200))
	d.mustFit(t, "Model", all(t, get(t, s, "/v1/models/sim-large"), 200))
	d.mustFit(t, "ErrorResponse", all(t, post(t, s, "/v1/chat/completions", chatBody("sim: error=429", "")), 429))
}

// eventSchema finds the schema of a typed response event by its type.
func (d *document) eventSchema(t *testing.T, kind string) string {
	t.Helper()
	for _, sub := range list(d.schema("ResponseStreamEvent")["anyOf"]) {
		name := strings.TrimPrefix(sub.(map[string]any)["$ref"].(string), "#/components/schemas/")
		properties, _ := d.schema(name)["properties"].(map[string]any)
		tag, _ := properties["type"].(map[string]any)
		if slices.Contains(list(tag["enum"]), any(kind)) || tag["const"] == kind {
			return name
		}
	}
	t.Fatalf("no event %s in the document", kind)
	return ""
}

func TestAnthropicAnswersFitItsDocument(t *testing.T) {
	d := openDocument(t, "anthropic-openapi", "mock-spec.json.gz")
	s := start(t, Config{})
	events := map[string]string{
		"message_start": "MessageStartEvent", "content_block_start": "ContentBlockStartEvent", "content_block_delta": "ContentBlockDeltaEvent",
		"content_block_stop": "ContentBlockStopEvent", "message_delta": "MessageDeltaEvent", "message_stop": "MessageStopEvent",
	}
	for _, text := range []string{"hello", "sim: tool=look", "sim: tokens=50"} {
		body := `{"model":"m","max_tokens":20,"messages":[{"role":"user","content":"` + text + `"}],"tools":[{"name":"look","input_schema":{"type":"object","properties":{"a":{"type":"integer"}}}}]`
		d.mustFit(t, "Message", all(t, post(t, s, "/v1/messages", body+"}"), 200))
		for _, data := range dataOf(all(t, post(t, s, "/v1/messages", body+`,"stream":true}`), 200)) {
			var event struct {
				Type string `json:"type"`
			}
			decode(t, data, &event)
			if event.Type != "ping" {
				d.mustFit(t, events[event.Type], data)
			}
		}
		d.mustFit(t, "CountMessageTokensResponse", all(t, post(t, s, "/v1/messages/count_tokens", body+"}"), 200))
	}
	d.mustFit(t, "ListResponse_ModelInfo_", all(t, get(t, s, "/v1/models", "Anthropic-Version", "2023-06-01"), 200))
	d.mustFit(t, "ModelInfo", all(t, get(t, s, "/v1/models/sim-large", "Anthropic-Version", "2023-06-01"), 200))
	d.mustFit(t, "ErrorResponse", all(t, post(t, s, "/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"sim: error=429"}]}`), 429))
}
