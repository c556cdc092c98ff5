package wires

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"andon/correction"
	"andon/wire"

	"github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml"
)

// naive finds the features of a body as one would who decodes it whole and
// looks for what the APIs' references name, wherever it stands. It knows the
// tools and parts that the recorded exchanges hold, and no others.
func naive(rt wire.Route, body []byte) (f correction.Features, err error) {
	var root map[string]any
	if err := json.Unmarshal(body, &root); err != nil {
		return 0, err
	}
	text := func(v any, name string) string {
		m, _ := v.(map[string]any)
		s, _ := m[name].(string)
		return s
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return root[n] != nil && root[n] != false && root[n] != "" })
	}
	types := map[string]correction.Features{
		"function": correction.FunctionTools, "custom": correction.FunctionTools, "web_search": correction.WebSearch, "web_search_preview": correction.WebSearch,
		"file_search": correction.FileSearch, "code_interpreter": correction.CodeExecution, "mcp": correction.MCP, "image_generation": correction.ImageOutput,
		"": correction.FunctionTools, "googleSearch": correction.WebSearch, "functionDeclarations": correction.FunctionTools, "codeExecution": correction.CodeExecution,
	}
	tools, _ := root["tools"].([]any)
	for _, t := range tools {
		f |= correction.Tools
		if strings.HasPrefix(rt.API, "gemini") {
			for name := range t.(map[string]any) {
				f |= types[name]
			}
			if f&correction.FunctionTools != 0 {
				f |= correction.ParallelToolCalls
			}
			continue
		}
		f |= types[text(t, "type")]
		if choice, _ := root["tool_choice"].(map[string]any); root["parallel_tool_calls"] != false && choice["disable_parallel_tool_use"] != true {
			f |= correction.ParallelToolCalls
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if r := v["role"]; r == "system" || r == "developer" {
				f |= correction.SystemPrompt
			}
			switch typ, _ := v["type"].(string); typ {
			case "image_url", "input_image", "image":
				f |= correction.ImageInput
			case "input_audio":
				f |= correction.AudioInput
			case "file", "input_file", "document":
				f |= correction.FileInput
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(root["messages"])
	walk(root["input"])
	if has("system", "instructions", "systemInstruction") {
		f |= correction.SystemPrompt
	}
	if root["stream"] == true || rt.Stream {
		f |= correction.Streaming
	}
	if rt.Op == wire.OpEmbed {
		f |= correction.Embeddings
	}
	if rt.API == "openai.responses" && root["store"] != false || has("store", "previous_response_id", "conversation", "container") {
		f |= correction.StoredConversations
	}
	if rt.API == "openai.completions" && root["logprobs"] != nil || has("logprobs", "top_logprobs") {
		f |= correction.Logprobs
	}
	if has("reasoning_effort", "reasoning") || text(root["thinking"], "type") == "enabled" {
		f |= correction.ReasoningEffort
	}
	if typ := text(root["response_format"], "type"); typ != "" && typ != "text" || has("output_format") {
		f |= correction.StructuredOutput
	}
	if has("audio") {
		f |= correction.AudioOutput
	}
	if has("web_search_options") {
		f |= correction.Tools | correction.WebSearch
	}
	return f, nil
}

// requests calls fn with every recorded request of a route that is read whole.
func requests(t *testing.T, fn func(file string, w wire.Wire, rt wire.Route, body []byte)) {
	t.Helper()
	needRecorded(t)
	files, err := filepath.Glob(recorded + "/*-cassettes/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d cassettes, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c cassette
		if yaml.Unmarshal(raw, &c) != nil {
			continue // TestRecordedExchanges complains
		}
		for _, x := range c.Interactions {
			u, err := url.Parse(x.Request.URL)
			if err != nil {
				t.Fatal(err)
			}
			w, rt, ok := Match(x.Request.Method, u.EscapedPath(), u.RawQuery, headers())
			if ok && (rt.Op == wire.OpGenerate || rt.Op == wire.OpEmbed || rt.Op == wire.OpCountTokens) {
				fn(filepath.Base(file), w, rt, []byte(x.Request.Body))
			}
		}
	}
}

func TestFeaturesOfRecordedRequests(t *testing.T) {
	found := map[string]int{}
	n := 0
	requests(t, func(file string, w wire.Wire, rt wire.Route, body []byte) {
		var e wire.Envelope
		if w.Read(rt, body, &e) != nil {
			return // TestRecordedExchanges complains where the provider did not
		}
		n++
		want, err := naive(rt, body)
		if err != nil || e.Features != want {
			t.Errorf("%s: %s uses %v, want %v, %v", file, rt.API, e.Features.Names(), want.Names(), err)
		}
		for _, name := range e.Features.Names() {
			found[name]++
		}
		// All that can be taken out goes at once, and nothing else does.
		c := wire.Change{Temperature: -1, Strip: e.Optional}
		out, err := wire.Rewrite(nil, body, &e, &c)
		if err != nil {
			t.Errorf("%s: without %v: %v", file, e.Optional.Names(), err)
			return
		}
		checkTakenOut(t, w, rt, out, &e, &c)
		if e.Optional == 0 && string(out) != string(body) {
			t.Errorf("%s: nothing was to go, and the body changed", file)
		}
	})
	t.Logf("%d requests: %v", n, found)
	for _, name := range []string{"tools", "function_tools", "parallel_tool_calls", "image_input", "system_prompt", "streaming", "embeddings", "structured_output"} {
		if found[name] == 0 {
			t.Errorf("no recorded request uses %s: %v", name, found)
		}
	}
}

// What each member of a body means, and what of it can be taken out.
func TestFeatures(t *testing.T) {
	const chat, responses, messages, gen = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:generateContent"
	const kinds = "function_tools web_search code_execution computer_use file_search mcp image_output"
	const media = "image_input audio_input file_input"
	for _, c := range []struct{ target, member, features, optional string }{
		{chat, ``, "", ""},
		{chat, `"stream":true`, "streaming", ""},
		{chat, `"tools":[]`, "", ""},
		{chat, `"tools":[{"type":"function","function":{"name":"f"}}]`, "tools function_tools parallel_tool_calls", "function_tools parallel_tool_calls"},
		{chat, `"tools":[{"type":"function"}],"parallel_tool_calls":false`, "tools function_tools", "function_tools"},
		{chat, `"tools":[{"type":"function"}],"tool_choice":"none"`, "tools function_tools parallel_tool_calls", "function_tools parallel_tool_calls"},
		{chat, `"tools":[{"type":"function"}],"tool_choice":"required"`, "tools function_tools parallel_tool_calls", "parallel_tool_calls"},
		{chat, `"tools":[{"type":"function"}],"tool_choice":7`, "tools function_tools parallel_tool_calls", "parallel_tool_calls"},
		{chat, `"tools":[{"type":"new"}]`, "tools parallel_tool_calls " + kinds, "parallel_tool_calls"},
		{chat, `"tools":[{}]`, "tools parallel_tool_calls " + kinds, "parallel_tool_calls"},
		{chat, `"tools":[null]`, "tools parallel_tool_calls", ""},
		{chat, `"functions":[{"name":"f"}]`, "tools function_tools", "function_tools"},
		{chat, `"functions":[{"name":"f"}],"tools":[{"type":"function","function":{"name":"g"}}],"function_call":{"name":"f"}`, "tools function_tools parallel_tool_calls", "parallel_tool_calls"},
		{chat, `"function_call":{"name":"f"}`, "tools function_tools", ""},
		{chat, `"tool_choice":{"type":"web_search_preview"}`, "tools web_search", ""}, // which no list offers
		{chat, `"web_search_options":{}`, "tools web_search", "web_search"},
		{chat, `"messages":[{"role":"developer","content":"x"}]`, "system_prompt", ""},
		{chat, `"messages":[{"content":"x","role":"system"}]`, "system_prompt", ""},
		{chat, `"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"image_url":{"url":"x"},"type":"image_url"}]}]`, "image_input", ""},
		{chat, `"messages":[{"role":"tool","content":[{"type":"input_audio","input_audio":{}}]}]`, "audio_input", ""},
		{chat, `"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]`, "file_input", ""},
		{chat, `"messages":[{"role":"user","content":[{"type":"hologram"}]}]`, media, ""},
		{chat, `"messages":[{"role":"user","content":[{"image_url":"x"}]}]`, media, ""}, // some servers need no type
		{chat, `"messages":[{"role":"user","content":{"type":"image_url"}}]`, "image_input", ""},
		{chat, `"messages":[{"role":"assistant","audio":{"id":"a"},"tool_calls":[{"type":"function"}]}]`, "audio_input", ""},
		{chat, `"messages":[{"role":"user","content":"{\"type\":\"image_url\"}"}]`, "", ""},
		{chat, `"store":true`, "stored_conversations", "stored_conversations"},
		{chat, `"store":false`, "", ""},
		{chat, `"logprobs":true`, "logprobs", ""},
		{chat, `"logprobs":false,"top_logprobs":0`, "", ""},
		{chat, `"top_logprobs":3`, "logprobs", ""},
		{chat, `"reasoning_effort":"high"`, "reasoning_effort", ""},
		{chat, `"reasoning_effort":"none"`, "", ""},
		{chat, `"thinking":{"type":"enabled"}`, "reasoning_effort", ""},
		{chat, `"response_format":{"type":"json_object"}`, "structured_output", ""},
		{chat, `"response_format":{"type":"text"}`, "", ""},
		{chat, `"response_format":{}`, "structured_output", ""},
		{chat, `"modalities":["text"]`, "", ""},
		{chat, `"modalities":["text","audio"]`, "audio_output", ""},
		{chat, `"modalities":["smell"]`, "image_output audio_output", ""},
		{chat, `"audio":{"voice":"v"}`, "audio_output", ""},
		{chat, `"model":"ft:m:acme::1"`, "fine_tune_serve", ""},
		{responses, ``, "stored_conversations", "stored_conversations"},
		{responses, `"store":null`, "stored_conversations", "stored_conversations"},
		{responses, `"store":false`, "", ""},
		{responses, `"store":false,"background":true`, "stored_conversations", ""},
		{responses, `"background":true`, "stored_conversations", ""},
		{responses, `"previous_response_id":"r","store":false`, "stored_conversations", ""},
		{responses, `"conversation":"c"`, "stored_conversations", ""},
		{responses, `"input":[{"id":"msg_1"}]`, "stored_conversations", ""},
		{responses, `"store":false,"instructions":"x"`, "system_prompt", ""},
		{responses, `"store":false,"instructions":""`, "", ""},
		{responses, `"store":false,"prompt":{"id":"p"}`, "tools parallel_tool_calls system_prompt reasoning_effort structured_output audio_output " + kinds + " " + media, ""},
		{responses, `"store":false,"tools":[{"type":"web_search_2025_08_26"},{"type":"mcp"},{"type":"local_shell"},{"type":"apply_patch"},{"type":"file_search"}],"parallel_tool_calls":false`,
			"tools web_search mcp code_execution computer_use file_search", "web_search mcp code_execution computer_use file_search"},
		{responses, `"store":false,"parallel_tool_calls":false,"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"},{"type":"custom"}]}]`, "tools function_tools", "function_tools"},
		{responses, `"store":false,"parallel_tool_calls":false,"tools":[{"type":"code_interpreter","container":"cntr_1"}]`, "tools code_execution stored_conversations", "code_execution"},
		{responses, `"store":false,"parallel_tool_calls":false,"tools":[{"type":"function","name":"f","defer_loading":true},{"type":"tool_search"}]`, "tools function_tools", ""},
		{responses, `"store":false,"parallel_tool_calls":false,"input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}],"tools":[{"type":"web_search"}]`, "tools web_search", ""},
		{responses, `"store":false,"input":[{"type":"mcp_list_tools","tools":[{"name":"x"}]}]`, "tools mcp", ""},
		{responses, `"store":false,"input":[{"type":"function_call","name":"f"},{"type":"function_call_output","output":[{"type":"input_file"}]}]`, "file_input", ""},
		{responses, `"store":false,"input":[{"type":"computer_call_output","output":{"type":"computer_screenshot"}},{"type":"shell_call_output","output":[{"stdout":"x"}]}]`, "image_input", ""},
		{responses, `"store":false,"input":[{"type":"telepathy"}]`, media, ""},
		{responses, `"store":false,"reasoning":{"effort":"low"}`, "reasoning_effort", ""},
		{responses, `"store":false,"reasoning":{"effort":"none"}`, "", ""},
		{responses, `"store":false,"text":{"format":{"type":"json_schema"}}`, "structured_output", ""},
		{responses, `"store":false,"text":{"format":{"type":"text"},"verbosity":"low"}`, "", ""},
		{responses, `"store":false,"include":["message.output_text.logprobs"]`, "logprobs", ""},
		{responses, `"store":false,"parallel_tool_calls":false,"tools":[{"type":"web_search"},{"type":"mcp","server_label":"a"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"web_search"}]}`,
			"tools web_search mcp", "mcp"},
		{responses, `"store":false,"parallel_tool_calls":false,"tools":[{"type":"web_search"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]}`, "tools web_search", ""},
		{responses, `"store":false,"parallel_tool_calls":false,"tools":[{"type":"web_search"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp"}]}`, "tools web_search", ""},
		{"/v1/completions", `"logprobs":0`, "logprobs", ""},
		{"/v1/embeddings", `"input":"x"`, "embeddings", ""},
		{messages, `"tools":[{"name":"f"}]`, "tools function_tools parallel_tool_calls", "function_tools parallel_tool_calls"},
		{messages, `"tools":[{"name":"f"}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, "tools function_tools", "function_tools"},
		{messages, `"tools":[{"name":"f"}],"tool_choice":{"type":"any"}`, "tools function_tools parallel_tool_calls", "parallel_tool_calls"},
		{messages, `"tools":[{"name":"f"}],"tool_choice":{"type":"none"}`, "tools function_tools", "function_tools"},
		{messages, `"tools":[{"type":"web_fetch_20250910"},{"type":"computer_20251124"},{"type":"text_editor_20250728"},{"type":"memory_20250818"},{"type":"bash_20250124"}]`,
			"tools parallel_tool_calls web_search computer_use function_tools code_execution", "parallel_tool_calls web_search computer_use function_tools code_execution"},
		{messages, `"tools":[{"type":"web_search_20260209"}]`, "tools parallel_tool_calls web_search code_execution", "parallel_tool_calls web_search code_execution"},
		{messages, `"tools":[{"type":"web_search_20260209","allowed_callers":["direct"]}]`, "tools parallel_tool_calls web_search", "parallel_tool_calls web_search"},
		{messages, `"tools":[{"type":"web_search_latest"}]`, "tools parallel_tool_calls " + kinds, "parallel_tool_calls"},
		{messages, `"tools":[{"name":"f","allowed_callers":["code_execution_20250825"]},{"type":"code_execution_20250825"}]`, "tools parallel_tool_calls function_tools code_execution", "parallel_tool_calls"},
		{messages, `"tools":[{"type":"advisor_20260301","model":"b"}]`, "tools parallel_tool_calls", "parallel_tool_calls"},
		{messages, `"mcp_servers":[{"name":"a"}]`, "tools mcp parallel_tool_calls", "mcp parallel_tool_calls"},
		{messages, `"tools":[{"name":"f"},{"type":"web_search_20250305"}],"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{"type":"image"}}]}]`,
			"tools parallel_tool_calls function_tools web_search", "parallel_tool_calls web_search"},
		{messages, `"tools":[{"name":"f"},{"type":"web_search_20250305"}],"messages":[{"role":"assistant","content":[{"type":"server_tool_use","name":"web_search"}]}]`,
			"tools parallel_tool_calls function_tools web_search", "parallel_tool_calls function_tools"},
		{messages, `"messages":[{"role":"user","content":[{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"bash_20250124","name":"bash"}}}]}]`, "tools parallel_tool_calls code_execution", ""},
		{messages, `"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image"}]}]}]`, "image_input", ""},
		{messages, `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"image"}]}}]}]`, "image_input file_input", ""},
		{messages, `"messages":[{"role":"user","content":[{"type":"container_upload","file_id":"f"}]}]`, "file_input", ""},
		{messages, `"messages":[{"role":"user","content":[{"type":"smell"}]}]`, media, ""},
		{messages, `"messages":[{"role":"system","content":"x"}]`, "system_prompt", ""},
		{messages, `"system":"x"`, "system_prompt", ""},
		{messages, `"system":[]`, "", ""},
		{messages, `"system":[{"type":"text","text":"x"}]`, "system_prompt", ""},
		{messages, `"container":"c"`, "stored_conversations", ""},
		{messages, `"container":{"skills":[]}`, "", ""},
		{messages, `"thinking":{"type":"enabled","budget_tokens":2048}`, "reasoning_effort", ""},
		{messages, `"thinking":{"type":"disabled"}`, "", ""},
		{messages, `"output_config":{"effort":"low","format":{}}`, "reasoning_effort structured_output", ""},
		{messages, `"output_format":{"type":"json_schema"}`, "structured_output", ""},
		{gen, `"tools":[{"functionDeclarations":[{"name":"f"}]}]`, "tools function_tools parallel_tool_calls", "function_tools"},
		{gen, `"tools":[{"google_search":{}},{"urlContext":{}},{"fileSearch":{}},{"computerUse":{}}]`, "tools web_search file_search computer_use", "web_search file_search computer_use"},
		{gen, `"tools":[{"teleport":{}}]`, "tools " + kinds, ""},
		{gen, `"tools":[{"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}`, "tools web_search", ""},
		{gen, `"tools":[{"googleSearch":{}}],"tool_config":{"function_calling_config":{"mode":2}}`, "tools web_search", ""},
		{gen, `"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png"}},{"file_data":{"mime_type":"AUDIO/wav"}},{"inlineData":{"mimeType":"application/pdf"}}]}]`, media, ""},
		{gen, `"contents":[{"parts":[{"fileData":{"fileUri":"x"}}]}]`, media, ""},
		{gen, `"contents":[{"parts":{"inlineData":{"mimeType":"video/mp4"}}}]`, "image_input", ""},
		{gen, `"contents":[{"parts":[{"functionResponse":{"response":{"inlineData":{}},"parts":[{"inlineData":{"mimeType":"image/png"}}]}}]}]`, "image_input", ""},
		{gen, `"tools":[{"functionDeclarations":[{"name":"f"}]},{"googleSearch":{}}],"contents":[{"parts":[{"functionCall":{"name":"f","args":{"fileData":{}}}}]}]`, "tools parallel_tool_calls function_tools web_search", "web_search"},
		{gen, `"systemInstruction":{"parts":[{"inlineData":{"mimeType":"image/png"}}]}`, "system_prompt image_input", ""},
		{gen, `"cachedContent":"c"`, "tools parallel_tool_calls system_prompt reasoning_effort structured_output audio_output stored_conversations " + kinds + " " + media, ""},
		{gen, `"store":true`, "stored_conversations", "stored_conversations"},
		{gen, `"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}`, "", ""},
		{gen, `"generationConfig":{"thinking_config":{"thinking_level":"HIGH","thinkingBudget":0}}`, "reasoning_effort", ""},
		{gen, `"generationConfig":{"responseMimeType":"application/json"}`, "structured_output", ""},
		{gen, `"generationConfig":{"responseMimeType":"text/plain","_responseJsonSchema":{}}`, "structured_output", ""},
		{gen, `"generationConfig":{"responseModalities":["TEXT","IMAGE"]}`, "image_output", ""},
		{gen, `"generationConfig":{"responseModalities":[1]}`, "image_output audio_output", ""},
		{gen, `"generationConfig":{"responseLogprobs":true,"speechConfig":{}}`, "logprobs audio_output", ""},
		{"/v1beta/models/m:embedContent", `"content":{"parts":[{"inlineData":{"mimeType":"image/png"}}]}`, "embeddings image_input", ""},
		{"/v1beta/tunedModels/t:generateContent", ``, "fine_tune_serve", ""},
		{"/v1beta/models/m:countTokens", `"generateContentRequest":{"tools":[{"googleSearch":{}}]}`, "tools web_search", ""},
	} {
		w, rt := known(c.target)
		body := "{" + c.member + "}"
		if rt.ModelIn == wire.ModelInBody && !strings.Contains(c.member, `"model":"ft`) {
			body = strings.TrimSuffix(`{"model":"m",`+c.member, ",") + "}"
		}
		var e wire.Envelope
		if err := w.Read(rt, []byte(body), &e); err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got, want := e.Features, featuresOf(t, c.features); got != want {
			t.Errorf("%s %s uses %v, want %v", c.target, body, got.Names(), want.Names())
		}
		if got, want := e.Optional, featuresOf(t, c.optional); got != want {
			t.Errorf("%s %s: optional are %v, want %v", c.target, body, got.Names(), want.Names())
		}
		if e.HasTools != (e.Features&correction.Tools != 0) {
			t.Errorf("%s: has tools: %v, uses %v", body, e.HasTools, e.Features.Names())
		}
	}
}

func featuresOf(t *testing.T, names string) (f correction.Features) {
	t.Helper()
	for _, name := range strings.Fields(names) {
		bit := correction.FeatureOf(name)
		if bit == 0 {
			t.Fatalf("no feature is called %s", name)
		}
		f |= bit
	}
	return f
}

// What is asked for in numbers and ids.
func TestReadNumbers(t *testing.T) {
	const chat, responses, messages, gen = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:generateContent"
	for _, c := range []struct{ target, body, want string }{
		{chat, `{"model":"m"}`, "0 -1 0 false []"},
		{chat, `{"model":"m","temperature":1e-1,"messages":[{},{"role":"user"}],"reasoning_effort":"low","metadata":{"session_id":"s","SESSION_ID":"t","conversation_id":7}}`, "2 0.1 0 true [metadata:s]"},
		{chat, `{"model":"m","temperature":null,"reasoning_effort":"minimal"}`, "0 -1 0 false []"},
		{chat, `{"model":"m","reasoning":{"max_tokens":500}}`, "0 -1 500 false []"},
		{responses, `{"model":"m","input":"x","previous_response_id":"resp_1","conversation":{"id":"conv_1"},"prompt_cache_key":"k"}`, "1 -1 0 false [response:resp_1 conversation:conv_1]"},
		{responses, `{"model":"m","input":[{"role":"user"},{"type":"reasoning"}],"tools":[{"type":"shell","environment":{"type":"container_reference","container_id":"c"}}],"reasoning":{"mode":"pro"}}`, "2 -1 0 true [container:c]"},
		{messages, `{"model":"m","temperature":0,"messages":[{}],"thinking":{"type":"enabled","budget_tokens":4096},"fallbacks":[{"thinking":{"type":"enabled","budget_tokens":8192}}],"container":"c"}`, "1 0 8192 false [container:c]"},
		{messages, `{"model":"m","thinking":{"type":"adaptive"},"metadata":{"user_id":"user_1_session_2"}}`, "0 -1 0 true [metadata:user_1_session_2]"},
		{messages, `{"model":"m","metadata":{"user_id":"u"}}`, "0 -1 0 false []"},
		{gen, `{"contents":[{},{}],"generationConfig":{"temperature":2,"thinkingConfig":{"thinkingBudget":128}}}`, "2 2 128 false []"},
		{gen, `{"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}`, "0 -1 9223372036854775807 false []"},
		{gen, `{"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW"}}}`, "0 -1 0 true []"},
	} {
		w, rt := known(c.target)
		var e wire.Envelope
		if err := w.Read(rt, []byte(c.body), &e); err != nil {
			t.Errorf("%s: %v", c.body, err)
		} else if got := fmt.Sprint(e.Messages, e.Temperature, e.Reasoning, e.Effort, e.Session); got != c.want {
			t.Errorf("%s: %s, want %s", c.body, got, c.want)
		}
	}
}

// A used envelope says nothing of the body before.
func TestReset(t *testing.T) {
	for _, c := range bodies {
		w, rt := known(c.target)
		var e wire.Envelope
		if err := w.Read(rt, []byte(c.body), &e); err != nil {
			t.Fatal(err)
		}
		wire.Rewrite(nil, []byte(c.body), &e, &wire.Change{OutputTokens: 1})
		e.Form, e.Purpose, e.InputFile, e.Endpoint, e.FileAt = true, "x", "x", "x", wire.Region{End: 1}
		e.Reset()
		var fresh wire.Envelope
		fresh.Reset()
		a, b := reflect.ValueOf(e), reflect.ValueOf(fresh)
		compareEmpty(t, a, b, "Envelope")
	}
}

func compareEmpty(t *testing.T, a, b reflect.Value, path string) {
	for i := range a.NumField() {
		name := path + "." + a.Type().Field(i).Name
		switch f, g := a.Field(i), b.Field(i); {
		case f.Kind() == reflect.Struct:
			compareEmpty(t, f, g, name)
		case f.Kind() == reflect.Slice:
			if f.Len() != 0 || a.Type().Field(i).Name == "First" && !f.IsNil() {
				t.Errorf("%s is kept: %v", name, f)
			}
		case !f.Equal(g):
			t.Errorf("%s is kept: %v", name, f)
		}
	}
}
