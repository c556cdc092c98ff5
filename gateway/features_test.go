package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	hi      = `"messages":[{"role":"user","content":"hi"}]`
	picture = `{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}`
	fn      = `{"type":"function","function":{"name":"look_up","parameters":{"type":"object"}}}`
	fn2     = `{"type":"function","function":{"name":"send_mail","parameters":{"type":"object"}}}`
)

// uses is a request that uses a feature. stays is in what the provider gets
// when the feature is off and can be taken out; "" if the request is refused.
type uses struct{ feature, path, body, gone, stays string }

func usesOfFeatures() (all []uses) {
	chat := func(feature, more, gone, stays string) {
		all = append(all, uses{feature, "/v1/chat/completions", `{"model":"sim-large",` + hi + `,` + more + `}`, gone, stays})
	}
	turn := func(feature, part string) {
		all = append(all, uses{feature, "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"user","content":[{"type":"text","text":"hi"},` + part + `]}]}`, "", ""})
	}
	response := func(feature, more, gone, stays string) {
		all = append(all, uses{feature, "/v1/responses", `{"model":"sim-large","input":"hi",` + more + `}`, gone, stays})
	}
	claude := func(feature, more, gone, stays string) {
		all = append(all, uses{feature, "/v1/messages", `{"model":"sim-large","max_tokens":9,` + hi + `,` + more + `}`, gone, stays})
	}
	claudeTurn := func(feature, part string) {
		all = append(all, uses{feature, "/v1/messages", `{"model":"sim-large","max_tokens":9,"messages":[{"role":"user","content":[` + part + `]}]}`, "", ""})
	}
	gemini := func(feature, more, gone, stays string) {
		all = append(all, uses{feature, "/v1beta/models/sim-large:generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],` + more + `}`, gone, stays})
	}
	geminiPart := func(feature, part string) {
		all = append(all, uses{feature, "/v1beta/models/sim-large:generateContent", `{"contents":[{"role":"user","parts":[` + part + `]}]}`, "", ""})
	}

	chat("tools", `"tools":[`+fn+`]`, "", "")
	chat("function_tools", `"tools":[`+fn+`]`, "look_up", `"hi"`)
	chat("function_tools", `"tools":[`+fn+`],"tool_choice":"required"`, "", "")
	chat("tool:look_up", `"tools":[`+fn+`,`+fn2+`]`, "look_up", "send_mail")
	chat("tool:look_up", `"tools":[`+fn+`,`+fn2+`],"tool_choice":{"type":"function","function":{"name":"look_up"}}`, "", "")
	chat("web_search", `"web_search_options":{}`, "web_search_options", `"hi"`)
	chat("parallel_tool_calls", `"tools":[`+fn+`]`, "", `"parallel_tool_calls":false`)
	chat("parallel_tool_calls", `"tools":[`+fn+`],"parallel_tool_calls":true`, "true", `"parallel_tool_calls":false`)
	chat("streaming", `"stream":true`, "", "")
	chat("logprobs", `"logprobs":true`, "", "")
	chat("reasoning_effort", `"reasoning_effort":"high"`, "", "")
	chat("structured_output", `"response_format":{"type":"json_object"}`, "", "")
	chat("audio_output", `"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}`, "", "")
	chat("stored_conversations", `"store":true`, "true", `"store":false`)
	turn("image_input", picture)
	turn("audio_input", `{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`)
	turn("file_input", `{"type":"file","file":{"file_id":"file-1"}}`)
	all = append(all, uses{"system_prompt", "/v1/chat/completions", `{"model":"sim-large","messages":[{"role":"developer","content":"be brief"},{"role":"user","content":"hi"}]}`, "", ""})

	response("web_search", `"tools":[{"type":"web_search"},{"type":"code_interpreter","container":{"type":"auto"}}]`, "web_search", "code_interpreter")
	response("code_execution", `"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`, "code_interpreter", `"hi"`)
	response("code_execution", `"tools":[{"type":"code_interpreter","container":{"type":"auto"}}],"tool_choice":{"type":"code_interpreter"}`, "", "")
	response("file_search", `"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]`, "vs_1", `"hi"`)
	response("computer_use", `"tools":[{"type":"computer_use_preview","display_width":1,"display_height":1,"environment":"browser"}]`, "computer_use", `"hi"`)
	response("mcp", `"tools":[{"type":"mcp","server_label":"files","server_url":"https://mcp.example.com"}]`, "mcp.example.com", `"hi"`)
	response("image_output", `"tools":[{"type":"image_generation"}]`, "image_generation", `"hi"`)
	response("stored_conversations", `"store":true`, "true", `"store":false`)
	response("stored_conversations", `"temperature":0.5`, "", `"store":false`)
	response("stored_conversations", `"previous_response_id":"resp_1"`, "", "")
	response("system_prompt", `"instructions":"be brief"`, "", "")
	response("reasoning_effort", `"reasoning":{"effort":"high"}`, "", "")
	response("structured_output", `"text":{"format":{"type":"json_object"}}`, "", "")

	claude("tools", `"tools":[{"name":"look_up","input_schema":{"type":"object"}}]`, "", "")
	claude("function_tools", `"tools":[{"name":"look_up","input_schema":{"type":"object"}}]`, "look_up", `"hi"`)
	claude("web_search", `"tools":[{"type":"web_search_20250305","name":"web_search"}]`, "web_search", `"hi"`)
	claude("code_execution", `"tools":[{"type":"code_execution_20250522","name":"code_execution"}]`, "code_execution", `"hi"`)
	claude("computer_use", `"tools":[{"type":"computer_20250124","name":"computer","display_width_px":1,"display_height_px":1}]`, "computer", `"hi"`)
	claude("mcp", `"mcp_servers":[{"type":"url","name":"files","url":"https://mcp.example.com"}]`, "mcp.example.com", `"hi"`)
	claude("parallel_tool_calls", `"tools":[{"name":"look_up","input_schema":{"type":"object"}}]`, "", `"disable_parallel_tool_use":true`)
	claude("system_prompt", `"system":"be brief"`, "", "")
	claude("reasoning_effort", `"thinking":{"type":"enabled","budget_tokens":2000}`, "", "")
	claude("streaming", `"stream":true`, "", "")
	claudeTurn("image_input", `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}`)
	claudeTurn("file_input", `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}`)

	gemini("tools", `"tools":[{"functionDeclarations":[{"name":"look_up"}]}]`, "", "")
	gemini("function_tools", `"tools":[{"functionDeclarations":[{"name":"look_up"}]}]`, "look_up", `"hi"`)
	gemini("tool:look_up", `"tools":[{"functionDeclarations":[{"name":"look_up"},{"name":"send_mail"}]}]`, "look_up", "send_mail")
	gemini("web_search", `"tools":[{"googleSearch":{}}]`, "googleSearch", `"hi"`)
	gemini("code_execution", `"tools":[{"codeExecution":{}},{"googleSearch":{}}]`, "codeExecution", "googleSearch")
	gemini("system_prompt", `"systemInstruction":{"parts":[{"text":"be brief"}]}`, "", "")
	gemini("reasoning_effort", `"generationConfig":{"thinkingConfig":{"thinkingBudget":2000}}`, "", "")
	gemini("structured_output", `"generationConfig":{"responseMimeType":"application/json"}`, "", "")
	gemini("image_output", `"generationConfig":{"responseModalities":["TEXT","IMAGE"]}`, "", "")
	gemini("audio_output", `"generationConfig":{"response_modalities":["AUDIO"]}`, "", "")
	gemini("logprobs", `"generationConfig":{"responseLogprobs":true}`, "", "")
	geminiPart("image_input", `{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}`)
	geminiPart("audio_input", `{"inline_data":{"mime_type":"audio/wav","data":"AAAA"}}`)
	geminiPart("file_input", `{"fileData":{"mimeType":"application/pdf","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/1"}}`)

	all = append(all, uses{"embeddings", "/v1/embeddings", `{"model":"sim-large","input":"hi"}`, "", ""},
		uses{"embeddings", "/v1beta/models/sim-large:embedContent", `{"content":{"parts":[{"text":"hi"}]}}`, "", ""},
		uses{"image_output", "/v1/images/generations", `{"model":"sim-large","prompt":"hi"}`, "", ""},
		uses{"audio_output", "/v1/audio/speech", `{"model":"sim-large","input":"hi","voice":"alloy"}`, "", ""},
		uses{"batch", "/v1/batches", `{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}`, "", ""},
		uses{"batch", "/v1/messages/batches", `{"requests":[{"custom_id":"1","params":{"model":"sim-large","max_tokens":9,` + hi + `}}]}`, "", ""},
		uses{"fine_tune_create", "/v1/fine_tuning/jobs", `{"model":"sim-large","training_file":"file-1"}`, "", ""},
		uses{"stored_conversations", "/v1/conversations", `{}`, "", ""},
		uses{"realtime", "/v1/realtime/client_secrets", `{"session":{"type":"realtime","model":"sim-large"}}`, "", ""})
	return all
}

// Each feature of the registry is taken away on each wire that has it: out of
// the request where that leaves it its meaning, else with a typed refusal; and
// a request that does not use it is left alone.
func TestEachFeatureIsTakenAwayOnEachWire(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{}`)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	tested := map[string]bool{}
	for i, u := range usesOfFeatures() {
		name := fmt.Sprintf("%d %s %s", i, u.feature, u.path)
		tested[u.feature] = true
		if a := send(t, g, u.path, u.body); a.status != 200 {
			t.Errorf("%s: before: %d %s", name, a.status, a.body)
			continue
		}
		if _, got := pr.last(); got != u.body {
			t.Errorf("%s: before: the provider got %s", name, got)
		}
		id := p.apply(1, fmt.Sprintf(`{"kind":"capability","params":{"disable":[%q]},"scope":{"all":true},"reason":"test"}`, u.feature))
		pr.forget()
		a := send(t, g, u.path, u.body)
		_, got := pr.last()
		switch {
		case u.stays == "":
			if a.status != 422 || !strings.Contains(a.body, `"andon_correction"`) || !strings.Contains(a.body, id) || got != "" {
				t.Errorf("%s: %d %s; the provider got %s", name, a.status, a.body, got)
			}
		case a.status != 200 || !strings.Contains(got, u.stays) || u.gone != "" && strings.Contains(got, u.gone) || !json.Valid([]byte(got)):
			t.Errorf("%s: %d %s; the provider got %s", name, a.status, a.body, got)
		case a.header.Get("Andon-Corrections") != id:
			t.Errorf("%s: andon-corrections %q", name, a.header.Get("Andon-Corrections"))
		}
		plain := `{"model":"sim-large","max_tokens":9,"store":false,` + hi + `}`
		if a := send(t, g, "/v1/chat/completions", plain); a.status != 200 {
			t.Errorf("%s: a request that does not use it: %d %s", name, a.status, a.body)
		} else if _, got := pr.last(); got != plain {
			t.Errorf("%s: a request that does not use it was changed: %s", name, got)
		}
		p.lift(1, id)
	}
	for _, f := range []string{"tools", "function_tools", "web_search", "code_execution", "computer_use", "file_search", "mcp", "parallel_tool_calls", "streaming",
		"image_input", "audio_input", "file_input", "image_output", "audio_output", "system_prompt", "stored_conversations", "batch", "fine_tune_create",
		"embeddings", "logprobs", "reasoning_effort", "structured_output", "realtime"} {
		if !tested[f] {
			t.Errorf("%s is not tested", f)
		}
	}
}

// A call of a denied tool never reaches the client, even where the request did
// not offer it and the model makes it all the same.
func TestCallsOfDeniedToolsNeverReachTheClient(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, nil)
	offers := map[string]string{
		"chat":      `"tools":[` + fn2 + `]`,
		"responses": `"tools":[{"type":"function","name":"send_mail","parameters":{"type":"object"}}]`,
		"messages":  `"tools":[{"name":"send_mail","input_schema":{"type":"object"}}]`,
		"gemini":    `"tools":[{"functionDeclarations":[{"name":"send_mail"}]}]`,
	}
	for _, disable := range []string{"tool:look_up", "function_tools"} {
		for _, w := range spoken {
			offer := func(body string) string { return strings.TrimSuffix(body, "}") + "," + offers[w.name] + "}" }
			if disable == "function_tools" {
				offer = func(body string) string { return body }
			}
			before := openStream(t, g, w.path, offer(said(w.stream, "sim: tool=look_up")))
			if all := strings.Join(before.rest(t), ""); !strings.Contains(all, "look_up") {
				t.Fatalf("%s: the model does not call the tool: %s", w.name, all)
			}
			id := p.apply(1, `{"kind":"capability","params":{"disable":["`+disable+`"]},"scope":{"models":["sim-large"]},"reason":"test"}`)
			st := openStream(t, g, w.path, offer(said(w.stream, "sim: tool=look_up")))
			if all := strings.Join(st.rest(t), ""); strings.Contains(all, "look_up") && !strings.Contains(all, "tool:look_up") || !strings.Contains(all, id) {
				t.Errorf("%s, %s: %s", w.name, disable, all)
			}
			a := send(t, g, w.plainPath, offer(said(w.plain, "sim: tool=look_up")))
			if strings.Contains(strings.ReplaceAll(a.body, "tool:look_up", ""), "look_up") || a.status != 422 || !strings.Contains(a.body, id) {
				t.Errorf("%s, %s, plain: %d %s", w.name, disable, a.status, a.body)
			}
			if a := send(t, g, w.plainPath, said(w.plain, "hello")); a.status != 200 {
				t.Errorf("%s: an answer without a call: %d %s", w.name, a.status, a.body)
			}
			p.lift(1, id)
		}
	}
}

// Files are kept at the provider by forms, and read and removed without a body.
func TestFilesAreTakenAway(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"file-1"}`)
	})
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	kind, body := form("")
	body = strings.Replace(body, `name="model"`, `name="purpose"`, 1)
	upload := func(body string) answer { return send(t, g, "/v1/files", body, "Content-Type", kind) }
	if a := upload(strings.Replace(body, "\r\n\r\n\r\n", "\r\n\r\nassistants\r\n", 1)); a.status != 200 {
		t.Fatalf("before: %d %s", a.status, a.body)
	}
	id := p.apply(1, `{"kind":"capability","params":{"disable":["files"]},"scope":{"orgs":["acme"]},"reason":"test"}`)
	pr.forget()
	if a := upload(strings.Replace(body, "\r\n\r\n\r\n", "\r\n\r\nassistants\r\n", 1)); a.status != 422 || !strings.Contains(a.body, id) {
		t.Errorf("an upload: %d %s", a.status, a.body)
	}
	get := func(method, path string) int {
		req := must(http.NewRequest(method, "http://"+g.Addr()+path, nil))
		req.Header.Set("Authorization", "Bearer "+secret)
		resp := must(http.DefaultClient.Do(req))
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := get("GET", "/v1/files/file-1/content"); got != 422 {
		t.Errorf("reading: %d", got)
	}
	if r, _ := pr.last(); r != nil {
		t.Errorf("the provider got %s %s", r.Method, r.URL)
	}
	if got := get("DELETE", "/v1/files/file-1"); got != 200 {
		t.Errorf("removing has to stay possible: %d", got)
	}
	// A block reaches what has no model, too.
	p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"test"}`)
	for _, path := range []string{"/v1/files", "/v1/batches", "/v1/responses/resp_1", "/v1/assistants", "/v1/fine_tuning/jobs"} {
		if got := get("GET", path); got != 403 {
			t.Errorf("%s by a blocked org: %d", path, got)
		}
	}
}
