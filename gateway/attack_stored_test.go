package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Attacks by way of what the provider keeps: the answer was made before, or is
// made of what was brought in before.

func get(t *testing.T, g *Gateway, path string, headers ...string) answer {
	t.Helper()
	req := must(http.NewRequest("GET", "http://"+g.Addr()+path, nil))
	req.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// An answer of a stopped model is not fetched, however the provider names the
// model, in whatever pieces it comes.
func TestStoredAnswersOfAStoppedModel(t *testing.T) {
	body, kind, status := "", "application/json", 200
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		code := status
		if r.Header.Get("Range") != "" {
			code = 206
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
		c.Upstreams = append(c.Upstreams, Upstream{Name: "elsewhere", Wire: "all", BaseURL: s.URL()})
		c.Models[0].UpstreamModel = "deployment-1"
		c.Models = append(c.Models, Model{Name: "far", Upstream: "elsewhere", UpstreamModel: "provider-name"})
	})
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`)
	response := func(model string) string {
		return `{"id":"resp_1","object":"response","model":"` + model + `","output":[{"type":"message","content":[{"type":"output_text","text":"said before"}]}]}`
	}
	events := func(lines string) string {
		return lines + `data: {"type":"response.created","response":{"id":"resp_1","model":"sim-large","output":[]}}` + "\n\n" +
			`data: {"type":"response.output_text.delta","delta":"said before"}` + "\n\n"
	}
	for _, c := range []struct {
		name, path, body, kind string
		status                 int
		headers                []string
	}{
		{"by its name", "/v1/responses/resp_1", response("sim-large"), "", 200, nil},
		{"by its version", "/v1/responses/resp_1", response("sim-large-1"), "", 200, nil},
		{"by a name that nobody knows", "/v1/responses/resp_1", response("gpt-secret"), "", 200, nil},
		{"by a name that is another provider's", "/v1/responses/resp_1", response("provider-name"), "", 200, nil},
		{"by none", "/v1/responses/resp_1", `{"id":"resp_1","output":"said before"}`, "", 200, nil},
		{"with another status", "/v1/responses/resp_1", response("sim-large"), "", 203, nil},
		{"in parts", "/v1/responses/resp_1", response("sim-large"), "", 200, []string{"Range", "bytes=10-"}},
		{"a file that says whose it is", "/v1/files/file-1/content", `{"model":"sim-small","text":"said before"}`, "", 200, nil},
		{"a file of a container", "/v1/containers/c/files/f/content", `{"model":"sim-small","text":"said before"}`, "", 200, nil},
		{"a part of a file", "/v1/files/file-1/content", `said before`, "text/plain", 200, []string{"Range", "bytes=0-"}},
		{"as events", "/v1/responses/resp_1?stream=true", events(""), "text/event-stream", 200, nil},
		{"after a comment", "/v1/responses/resp_1?stream=true", events(": keep-alive\n\n"), "text/event-stream", 200, nil},
		{"after an event without data", "/v1/responses/resp_1?stream=true", events("event: ping\n\n"), "text/event-stream", 200, nil},
		{"after an empty event", "/v1/responses/resp_1?stream=true", events("\n"), "text/event-stream", 200, nil},
		{"from the middle", "/v1/responses/resp_1?stream=true&starting_after=1", `data: {"type":"response.output_text.delta","delta":"said before"}` + "\n\n", "text/event-stream", 200, nil},
	} {
		if body, kind, status = c.body, c.kind, c.status; kind == "" {
			kind = "application/json"
		}
		if a := get(t, g, c.path, c.headers...); strings.Contains(a.body, "said before") {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	body, kind, status = response("sim-small"), "application/json", 200
	if a := get(t, g, "/v1/responses/resp_1"); a.status != 200 || !strings.Contains(a.body, "said before") {
		t.Errorf("of another model: %d %s", a.status, a.body)
	}
}

// What is brought in now is what a model will be told later.
func TestForbiddenPromptsByWayOfTheAccount(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"block"}},"scope":{"all":true},"reason":"test"}`)
	const text = "a forbidden phrase"
	for _, c := range []struct{ path, body string }{
		{"/v1/conversations", `{"items":[{"type":"message","role":"user","content":%q}]}`},
		{"/v1/conversations/conv_1/items", `{"items":[{"type":"message","role":"user","content":%q}]}`},
		{"/v1/threads", `{"messages":[{"role":"user","content":%q}]}`},
		{"/v1/threads/t_1/messages", `{"role":"user","content":%q}`},
		{"/v1/threads/t_1/runs", `{"model":"sim-large","assistant_id":"a","additional_instructions":%q}`},
		{"/v1/assistants/a_1", `{"instructions":%q}`},
		{"/v1/vector_stores/v_1/search", `{"query":%q}`},
		{"/v1/embeddings", `{"model":"sim-large","input":%q}`},
		{"/v1/moderations", `{"model":"sim-large","input":%q}`},
		{"/v1/images/generations", `{"model":"sim-large","prompt":%q}`},
		{"/v1/audio/speech", `{"model":"sim-large","input":%q,"voice":"a"}`},
		{"/v1/messages/count_tokens", `{"model":"sim-large","messages":[{"role":"user","content":%q}]}`},
		{"/v1/responses/input_tokens", `{"model":"sim-large","input":%q}`},
		{"/v1/messages/batches", `{"requests":[{"custom_id":"a","params":{"model":"sim-large","max_tokens":5,"messages":[{"role":"user","content":%q}]}}]}`},
		{"/v1beta/cachedContents", `{"model":"models/sim-large","contents":[{"role":"user","parts":[{"text":%q}]}]}`},
		{"/v1beta/models/sim-large:embedContent", `{"content":{"parts":[{"text":%q}]}}`},
		{"/v1beta/models/sim-large:countTokens", `{"contents":[{"parts":[{"text":%q}]}]}`},
		{"/v1beta/models/sim-large:predict", `{"instances":[{"prompt":%q}]}`},
		{"/v1beta/interactions", `{"model":"sim-large","input":%q}`},
		{"/v1/memory_stores/m_1/memories", `{"content":%q}`},
		{"/v1/sessions/s_1/events", `{"events":[{"type":"user.message","content":[{"type":"text","text":%q}]}]}`},
		{"/v1/completions", `{"model":"sim-large","prompt":["x",%q]}`},
	} {
		pr.forget()
		a := send(t, g, c.path, fmt.Sprintf(c.body, text))
		if r, b := pr.last(); r != nil {
			t.Errorf("%s: the provider got %s", c.path, b)
		} else if a.status != 403 || !strings.Contains(a.body, "andon_correction") {
			t.Errorf("%s: %d %s", c.path, a.status, a.body)
		}
		if a := send(t, g, c.path, fmt.Sprintf(c.body, "another text")); a.status != 200 {
			t.Errorf("%s, what is allowed: %d %s", c.path, a.status, a.body)
		}
	}
}

// What would be told to a model, wherever it stands in a body.
func TestForbiddenPromptsInOddPlaces(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden phrase"],"action":"block"}},"scope":{"all":true},"reason":"test"}`)
	const encoded = "YSBmb3JiaWRkZW4gcGhyYXNl" // of the phrase
	for _, c := range []struct{ name, path, body string }{
		{"a tool's description", "/v1/chat/completions", `{"model":"sim-large","messages":[],"tools":[{"type":"function","function":{"name":"f","description":"a forbidden phrase"}}]}`},
		{"a property's name", "/v1/chat/completions", `{"model":"sim-large","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"forbidden phrase":{}}}}}]}`},
		{"a property that is called headers", "/v1/chat/completions", `{"model":"sim-large","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"headers":{"type":"string","description":"a forbidden phrase"}}}}}]}`},
		{"a property that is called authorization", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[],"tools":[{"name":"f","input_schema":{"type":"object","properties":{"authorization":{"type":"string","enum":["a forbidden phrase"]}}}}]}`},
		{"a format's schema", "/v1/chat/completions", `{"model":"sim-large","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"description":"a forbidden phrase"}}}}`},
		{"a prediction", "/v1/chat/completions", `{"model":"sim-large","messages":[],"prediction":{"type":"content","content":"a forbidden phrase"}}`},
		{"a prompt's variable", "/v1/responses", `{"model":"sim-large","prompt":{"id":"p","variables":{"x":"a forbidden phrase"}}}`},
		{"a variable that is called id", "/v1/responses", `{"model":"sim-large","prompt":{"id":"p","variables":{"id":"a forbidden phrase","status":"b"}}}`},
		{"a variable that is called status", "/v1/responses", `{"model":"sim-large","prompt":{"id":"p","variables":{"status":{"type":"input_text","text":"a forbidden phrase"}}}}`},
		{"two parts of one message", "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","content":[{"type":"text","text":"a forbidden "},{"type":"text","text":"phrase"}]}]}`},
		{"what a function answered", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"x":"a forbidden phrase"}}}]}]}`},
		{"as its status", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"status":"a forbidden phrase"}}}]}]}`},
		{"as its format", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"format":"a forbidden phrase"}}}]}]}`},
		{"as a member's name", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"forbidden phrase":1}}}]}]}`},
		{"as its data", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"type":"base64","data":"a forbidden phrase"}}}]}]}`},
		{"a text in Base64", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"inlineData":{"mimeType":"text/plain","data":"` + encoded + `"}}]}]}`},
		{"code in Base64", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"inlineData":{"mimeType":"application/x-javascript","data":"` + encoded + `"}}]}]}`},
		{"capitals in the type", "/v1beta/models/sim-large:generateContent", `{"contents":[{"parts":[{"inlineData":{"mimeType":"Text/Plain","data":"` + encoded + `"}}]}]}`},
		{"a document", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a forbidden phrase"}}]}]}`},
		{"a document in Base64", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/xml","data":"` + encoded + `"}}]}]}`},
		{"a document's title", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[{"role":"user","content":[{"type":"document","title":"a forbidden phrase","source":{"type":"url","url":"x"}}]}]}`},
		{"a file's data", "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"x","file_data":"data:text/plain;base64,` + encoded + `"}}]}]}`},
		{"a file's data of another type", "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"x","file_data":"data:application/x-sh;base64,` + encoded + `"}}]}]}`},
		{"a file's data without a type", "/v1/responses", `{"model":"sim-large","input":[{"role":"user","content":[{"type":"input_file","filename":"x.txt","file_data":"` + encoded + `"}]}]}`},
		{"a file's name", "/v1/responses", `{"model":"sim-large","input":[{"role":"user","content":[{"type":"input_file","filename":"a forbidden phrase","file_id":"f"}]}]}`},
		{"a tool's answer", "/v1/responses", `{"model":"sim-large","input":[{"type":"function_call_output","call_id":"c","output":"a forbidden phrase"}]}`},
		{"arguments of an earlier call", "/v1/responses", `{"model":"sim-large","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{\"x\":\"a forbidden phrase\"}"}]}`},
		{"a name", "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","name":"a forbidden phrase","content":"x"}]}`},
		{"a suffix", "/v1/completions", `{"model":"sim-large","prompt":"x","suffix":"a forbidden phrase"}`},
		{"numbers of tokens", "/v1/completions", `{"model":"sim-large","prompt":[[1,2,3]]}`},
		{"a search's place", "/v1/chat/completions", `{"model":"sim-large","messages":[],"web_search_options":{"user_location":{"type":"approximate","approximate":{"city":"a forbidden phrase"}}}}`},
		{"an unknown member", "/v1/chat/completions", `{"model":"sim-large","messages":[],"documents":[{"text":"a forbidden phrase"}]}`},
		{"an unknown member's name", "/v1/chat/completions", `{"model":"sim-large","messages":[],"chat_template_kwargs":{"id":"a forbidden phrase"}}`},
	} {
		pr.forget()
		a := send(t, g, c.path, c.body)
		if r, b := pr.last(); r != nil {
			t.Errorf("%s: the provider got %s", c.name, b)
		} else if a.status != 403 {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
}
