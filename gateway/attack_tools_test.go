package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// Attacks on what is switched off, by the places where a request can bring it in
// and an answer can use it.

func TestSwitchedOffToolsByEveryWayIn(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	for _, c := range []struct{ disable, token, path, body string }{
		{"web_search", "web_search", "/v1/responses", `{"model":"sim-large","input":"x","tools":[{"type":"web_search"},{"type":"function","name":"f"}]}`},
		{"web_search", "web_search", "/v1/responses", `{"model":"sim-large","input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}]}`},
		{"web_search", "web_search", "/v1/responses", `{"model":"sim-large","input":"x","tools":[{"type":"namespace","name":"n","tools":[{"type":"web_search"}]}]}`},
		{"web_search", "web_search", "/v1/responses", `{"model":"sim-large","input":"x","tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}}`},
		{"web_search", "web_search", "/v1/responses", `{"model":"sim-large","input":"x","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"web_search"}]},"tools":[{"type":"web_search"},{"type":"function","name":"f"}]}`},
		{"web_search", "web_search", "/v1/chat/completions", `{"model":"sim-large","messages":[],"web_search_options":{}}`},
		{"mcp", `"mcp"`, "/v1/responses", `{"model":"sim-large","input":[{"type":"mcp_list_tools","server_label":"s","tools":[{"name":"f"}]}],"tools":[{"type":"mcp","server_label":"s"}]}`},
		{"mcp", "mcp_servers", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[],"mcp_servers":[{"type":"url","url":"https://x","name":"n","tool_configuration":{"enabled":true}}]}`},
		{"mcp", "mcp_toolset", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[],"mcp_servers":[{"type":"url","url":"https://x","name":"n"}],"tools":[{"type":"mcp_toolset","mcp_server_name":"n"}]}`},
		{"code_execution", "code_execution", "/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[],"tools":[{"type":"code_execution_20250825","name":"code_execution"}]}`},
		{"code_execution", "code_execution", "/v1beta/models/sim-large:generateContent", `{"contents":[],"tools":[{"code_execution":{}}]}`},
		{"code_execution", "codeExecution", "/v1beta/models/sim-large:generateContent", `{"contents":[],"tools":[{"codeExecution":{},"function_declarations":[{"name":"f"}]}]}`},
		{"web_search", "oogle", "/v1beta/models/sim-large:generateContent", `{"contents":[],"tools":[{"google_search":{}}]}`},
		{"web_search", "oogle", "/v1beta/models/sim-large:generateContent", `{"contents":[],"tools":[{"googleSearchRetrieval":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`},
		{"function_tools", `"f"`, "/v1beta/models/sim-large:generateContent", `{"contents":[],"tools":[{"functionDeclarations":[{"name":"f"}]}],"tool_config":{"function_calling_config":{"allowed_function_names":["f"]}}}`},
		{"function_tools", `"f"`, "/v1/chat/completions", `{"model":"sim-large","messages":[],"tools":[],"functions":[{"name":"f"}],"function_call":"auto"}`},
		{"tool:f", `"f"`, "/v1/chat/completions", `{"model":"sim-large","messages":[],"tools":[{"type":"function","function":{"name":"\u0066"}}]}`},
		// Where the body sets something up that runs later, or runs what was set up before.
		{"web_search", "search", "/v1beta/interactions", `{"model":"sim-large","input":"x","tools":[{"type":"google_search"}]}`},
		{"code_execution", "code_interpreter", "/v1/assistants", `{"model":"sim-large","tools":[{"type":"code_interpreter"}]}`},
		{"code_execution", "code_interpreter", "/v1/assistants/a_1", `{"model":"sim-large","tools":[{"type":"code_interpreter"}]}`},
		{"code_execution", "code_interpreter", "/v1/threads/runs", `{"model":"sim-large","assistant_id":"a","tools":[{"type":"code_interpreter"}]}`},
		{"code_execution", "assistant_id", "/v1/threads/t_1/runs", `{"assistant_id":"a"}`},
		{"mcp", "mcp", "/v1/agents", `{"model":"sim-large","name":"a","tools":[{"type":"mcp"}]}`},
		{"file_search", "file_search", "/v1/evals/e_1/runs", `{"data_source":{"type":"responses","model":"sim-large","sampling_params":{"tools":[{"type":"file_search"}]}}}`},
		{"code_execution", "code_execution", "/v1/messages/batches", `{"requests":[{"custom_id":"a","params":{"model":"sim-large","max_tokens":5,"messages":[],"tools":[{"type":"code_execution_20250825","name":"code_execution"}]}}]}`},
		{"code_execution", "codeExecution", "/v1beta/models/sim-large:batchGenerateContent", `{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"contents":[],"tools":[{"codeExecution":{}}]}}]}}}}`},
	} {
		id := p.apply(1, fmt.Sprintf(`{"kind":"capability","params":{"disable":[%q]},"scope":{"models":["sim-large"]},"reason":"test"}`, c.disable))
		pr.forget()
		a := send(t, g, c.path, c.body, "Anthropic-Version", map[bool]string{true: "2023-06-01"}[strings.HasPrefix(c.path, "/v1/messages")])
		if r, b := pr.last(); r != nil && strings.Contains(b, c.token) {
			t.Errorf("%s, %s: the provider got %s", c.disable, c.path, b)
		} else if r == nil && a.status != 422 {
			t.Errorf("%s, %s: %d %s", c.disable, c.path, a.status, a.body)
		}
		p.lift(1, id)
	}
}

// A clamp that cannot be put into a request refuses it.
func TestClampsWhereNothingCanBeClamped(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") })
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	p.apply(1, `{"kind":"capability","params":{"clamp":{"output_tokens":7}},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for _, c := range []struct{ path, body string }{
		{"/v1/threads/runs", `{"model":"sim-large","assistant_id":"a"}`},
		{"/v1/threads/t_1/runs", `{"assistant_id":"a"}`},
		{"/v1beta/interactions", `{"model":"sim-large","input":"x"}`},
		{"/v1/decisions", `{"model":"sim-large","input":"x"}`},
		{"/v1/responses/compact", `{"model":"sim-large","input":"x"}`},
		{"/v1/complete", `{"model":"sim-large","prompt":"x"}`},
		{"/v1/evals/e_1/runs", `{"data_source":{"type":"responses","model":"sim-large"}}`},
	} {
		pr.forget()
		a := send(t, g, c.path, c.body)
		if r, b := pr.last(); r != nil && !strings.Contains(b, "7") {
			t.Errorf("%s: the provider got %s", c.path, b)
		} else if r == nil && a.status != 422 && a.status != 400 {
			t.Errorf("%s: %d %s", c.path, a.status, a.body)
		}
	}
}

// A call of a tool that is switched off does not reach the client, however the
// answer is made.
func TestCallsOfSwitchedOffToolsInOddAnswers(t *testing.T) {
	var said atomic.Value
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		kind := "application/json"
		if strings.HasPrefix(said.Load().(string), "data:") || strings.HasPrefix(said.Load().(string), "event:") {
			kind = "text/event-stream"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(201)
		io.WriteString(w, said.Load().(string))
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, toProvider(pr, ""))
	p.apply(1, `{"kind":"capability","params":{"disable":["tool:delete_all","code_execution"]},"scope":{"all":true},"reason":"test"}`)
	for _, c := range []struct{ path, body, answer string }{
		{"/v1/chat/completions", asLarge, `{"choices":[{"index":0,"message":{"tool_calls":[{"id":"c","type":"function","function":{"name":"delete_all","arguments":"{}"}}]}}]}`},
		{"/v1/chat/completions", asLarge, `{"choices":[{"index":0,"message":{"function_call":{"name":"delete\u005fall","arguments":"{}"}}}]}`},
		{"/v1/chat/completions", asLarge, "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"delete_\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"all\"}}]}}]}\n\n"},
		{"/v1/responses", `{"model":"sim-large","input":"x"}`, `{"id":"r","output":[{"type":"function_call","name":"delete_all","arguments":"{}"}]}`},
		{"/v1/responses", `{"model":"sim-large","input":"x"}`, `{"id":"r","output":[{"type":"code_interpreter_call","code":"x"}]}`},
		{"/v1/responses", `{"model":"sim-large","input":"x"}`, "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"type\":\"custom_tool_call\",\"name\":\"delete_all\"}}\n\n"},
		{"/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[]}`, `{"type":"message","content":[{"type":"tool_use","name":"delete_all","input":{}}]}`},
		{"/v1/messages", `{"model":"sim-large","max_tokens":5,"messages":[]}`, `{"type":"message","content":[{"type":"bash_code_execution_tool_result","content":{"stdout":"delete_all"}}]}`},
		{"/v1beta/models/sim-large:generateContent", `{"contents":[]}`, `{"candidates":[{"content":{"parts":[{"function_call":{"name":"delete_all","args":{}}}]}}]}`},
		{"/v1beta/models/sim-large:streamGenerateContent", `{"contents":[]}`, `[{"candidates":[{"content":{"parts":[{"executableCode":{"code":"delete_all"}}]}}]}]`},
	} {
		said.Store(c.answer)
		if a := send(t, g, c.path, c.body); a.status != 422 || !strings.Contains(a.body, "andon_correction") {
			t.Errorf("%s: %d %s", c.path, a.status, a.body)
		}
	}
}
