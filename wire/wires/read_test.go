package wires

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"andon/wire"
)

// target finds the wire and route of a POST.
func target(t testing.TB, target string) (wire.Wire, wire.Route) {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	w, rt, ok := Match("POST", path, query, headers())
	if !ok {
		t.Fatalf("POST %s is not known", target)
	}
	return w, rt
}

// bodies are requests that must be accepted; the oracle says what they say.
// They are the seeds of the fuzz target too.
var bodies = []struct{ target, body string }{
	{"/v1/chat/completions", `{"model":"gpt-x","messages":[{"role":"user","content":"hi"}]}`},
	{"/v1/chat/completions", `{"mod\u0065l":"gpt\u002dx","stream":true,"max_tokens":10,"max_completion_tokens":20,"n":3,"messages":[{"role":"system","content":"s"},{"role":"assistant","content":null,"tool_calls":[]}],"user":"u-2","safety_identifier":"s-1"}`},
	{"/v1/chat/completions", `{"model":"m","stream":null,"max_tokens":null,"max_completion_tokens":null,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"Model":{},"TOOLS":{}}}}},{"type":"custom","custom":{"name":"c"}}],"user":null}`},
	{"/v1/chat/completions", `{"model":"m","functions":[{"name":"old"}],"function_call":"auto"}`},
	{"/v1/chat/completions", `{"model":"m","web_search_options":{},"tools":[],"function_call":null}`},
	{"/v1/chat/completions", `{"model":"m","models":["a","b"],"function_call":{"name":"x"}}`},
	{"/v1/completions", `{"model":"m","prompt":["a","b"],"max_tokens":5,"best_of":4,"n":2,"max_output_tokens":"not read here"}`},
	{"/v1/embeddings", `{"model":"m","input":[[1,2],[3]],"user":"u","stream":"not read here"}`},
	{"/v1/responses", `{"model":"m","input":"hello","max_output_tokens":64,"stream":false}`},
	{"/v1/responses", `{"model":"m","input":[{"role":"user","content":"x"},{"type":"reasoning","summary":[]}],"tools":[{"type":"web_search"},{"type":"mcp","server_label":"gh"},{"type":"namespace","name":"crm","tools":[{"type":"function","name":"find"}]},{"type":"image_generation","model":"img-1"}]}`},
	{"/v1/responses", `{"model":"m","input":[{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"late"}]},{"id":"msg_1"}],"previous_response_id":"resp_1","conversation":null}`},
	{"/v1/responses", `{"model":"m","conversation":{"id":"conv_1"},"input":[{"type":"item_reference","id":"i"},{"type":"message","role":"assistant","content":[]}],"previous_response_id":null}`},
	{"/v1/messages", `{"model":"claude-x","max_tokens":1024,"messages":[{"role":"user","content":"hi"}]}`},
	{"/v1/messages", `{"model":"claude-x","max_tokens":1024,"stream":true,"metadata":{"user_id":"u-1","x":1},"messages":[{"role":"user","content":[]},{"content":"a","role":"assistant"}],"tools":[{"name":"get_weather","input_schema":{"type":"object"}},{"type":"web_search_20250305","name":"web_search"},{"type":"advisor_20260301","name":"advisor","model":"claude-big","max_tokens":99}]}`},
	{"/v1/messages", `{"model":"m","max_tokens":1,"mcp_servers":[{"type":"url","name":"gh","url":"https://x"},{"name":"jira"}],"container":"c_1","fallbacks":[{"model":"f1"},{"model":"f2","max_tokens":2048}]}`},
	{"/v1/messages", `{"model":"m","max_tokens":null,"container":{"id":"c","skills":[]},"fallbacks":"default","metadata":null}`},
	{"/v1/messages", `{"model":"m","container":{"skills":[]},"messages":[]}`},
	{"/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"name":"t"}]}`},
	{"/v1beta/models/m:generateContent", `{}`},
	{"/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"x"}]},{"role":"model","parts":[]}],"generationConfig":{"maxOutputTokens":100,"candidateCount":2},"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]},{"googleSearch":{}},{"code_execution":{}},{"someNewTool":{}},{"urlContext":null}]}`},
	{"/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"parts":[]}],"generation_config":{"max_output_tokens":7},"tools":[{"google_search":{},"function_declarations":[{"name":"h"}]}],"model":"models/m"}`},
	{"/v1beta/models/m:streamGenerateContent", `{"generationConfig":null}`},
	{"/v1beta/models/m:generateContent", `{"generationConfig":{},"cachedContent":"cachedContents/x"}`},
	{"/v1beta/models/m:generateContent", `{"generationConfig":{"maxOutputTokens":null,"temperature":1}}`},
	{"/v1beta/models/m:countTokens", `{"generateContentRequest":{"model":"models/m","contents":[{"role":"model"}],"tools":[{"googleSearch":{}}]}}`},
	{"/v1beta/models/m:embedContent", `{"model":"m","content":{"parts":[{"text":"x"}]}}`},
	{"/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m","content":{"parts":[]}},{"model":"models/m","content":{}}]}`},
	{"/v1beta/tunedModels/t:generateContent", `{"model":"tunedModels/t"}`},
}

func TestReadAgreesWithADecoder(t *testing.T) {
	for _, c := range bodies {
		w, rt := target(t, c.target)
		var e wire.Envelope
		if err := w.Read(rt, []byte(c.body), &e); err != nil {
			t.Errorf("%s %s: %v", c.target, c.body, err)
			continue
		}
		want, err := oracle(w, rt, []byte(c.body))
		if err == errSkip {
			continue
		}
		if got := fromEnvelope([]byte(c.body), &e); err != nil || got.String() != want.String() {
			t.Errorf("%s %s:\ngot  %s\nwant %s, %v", c.target, c.body, got, want, err)
		}
	}
}

// What the oracle does not know of.
func TestReadMore(t *testing.T) {
	get := func(k int) (e wire.Envelope) {
		w, rt := target(t, bodies[k].target)
		if err := w.Read(rt, []byte(bodies[k].body), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	at := func(part string) int {
		for k, c := range bodies {
			if strings.Contains(c.body, part) {
				return k
			}
		}
		t.Fatal(part)
		return 0
	}
	if e := get(1); e.Choices != 3 || string(e.First) != `{"role":"system","content":"s"}` || fmt.Sprint(e.Users) != "[s-1 u-2]" {
		t.Errorf("choices %d, first %s, users %v", e.Choices, e.First, e.Users)
	}
	if e := get(at("best_of")); e.Choices != 4 || string(e.First) != `"a"` {
		t.Errorf("choices %d, first %s", e.Choices, e.First)
	}
	if e := get(at("candidateCount")); e.Choices != 2 || string(e.First) != `{"role":"user","parts":[{"text":"x"}]}` || fmt.Sprint(e.Tools) != "[function f g google_search code_execution some_new_tool]" {
		t.Errorf("choices %d, first %s, tools %v", e.Choices, e.First, e.Tools)
	}
	if e := get(at(`"input":"hello"`)); string(e.First) != `"hello"` {
		t.Errorf("first %s", e.First)
	}
	if e := get(at("cachedContent")); !e.Stored || e.Continues {
		t.Errorf("stored %v, continues %v", e.Stored, e.Continues)
	}
	if e := get(at("generateContentRequest")); !e.HasTools || !e.Prior || e.InsertKey != "" {
		t.Errorf("tools %v, prior %v, insert %q", e.HasTools, e.Prior, e.InsertKey)
	}
	if e := get(0); e.Choices != 1 || e.HasTools || e.Prior || e.Stored || e.Continues || len(e.Users) != 0 {
		t.Errorf("a plain chat says %+v", e)
	}
}

func TestReadRefuses(t *testing.T) {
	const chat, responses, messages, gen = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:generateContent"
	for _, c := range []struct{ target, body, code, param, says string }{
		{chat, ``, "body_empty", "", "empty"},
		{chat, "\xef\xbb\xbf{\"model\":\"m\"}", "invalid_json", "", "byte order mark"},
		{chat, `[]`, "wrong_type", "", "must be an object"},
		{chat, `null`, "wrong_type", "", "must be a JSON object"},
		{chat, `"m"`, "wrong_type", "", "the body must be an object"},
		{chat, `{}`, "missing_field", "model", `"model" is missing`},
		{chat, `{"model":null}`, "missing_field", "model", `"model" is missing`},
		{chat, `{"model":""}`, "invalid_value", "model", "must not be empty"},
		{chat, `{"model":["m"]}`, "wrong_type", "model", `"model" must be a string (at byte 9)`},
		{chat, `{"model":"m","model":"n"}`, "duplicate_key", "model", "given twice"},
		{chat, `{"model":"m","m\u006fdel":"n"}`, "duplicate_key", "model", "given twice"},
		{chat, `{"model":"m","Model":"n"}`, "case_variant", "Model", "model"},
		{chat, `{"model":"m","ſtream":true}`, "case_variant", "*", "stream"},
		{chat, "{\"model\":\"m\",\"max_to\u212aens\":5}", "case_variant", "*", "max_tokens"}, // the Kelvin sign folds to k
		{chat, `{"model":"m","STREAM":true}`, "case_variant", "STREAM", "stream"},
		{chat, `{"model":"m","stream":"true"}`, "wrong_type", "stream", `"stream" must be true or false`},
		{chat, `{"model":"m","stream":1}`, "wrong_type", "stream", ""},
		{chat, `{"model":"m","max_tokens":1e3}`, "wrong_type", "max_tokens", "without sign, point or exponent"},
		{chat, `{"model":"m","max_tokens":1.0}`, "wrong_type", "max_tokens", ""},
		{chat, `{"model":"m","max_tokens":-1}`, "wrong_type", "max_tokens", ""},
		{chat, `{"model":"m","max_tokens":"5"}`, "wrong_type", "max_tokens", ""},
		{chat, `{"model":"m","max_completion_tokens":9223372036854775808}`, "invalid_value", "max_completion_tokens", "9223372036854775807"},
		{chat, `{"model":"m","tools":{}}`, "wrong_type", "tools", "must be an array"},
		{chat, `{"model":"m","tools":[{"type":"function","function":{"Name":"f"}}]}`, "case_variant", "tools[0].function.Name", "name"},
		{chat, `{"model":"m","tools":[{},{"Type":"function"}]}`, "case_variant", "tools[1].Type", "type"},
		{chat, `{"model":"m","tools":["x"]}`, "wrong_type", "tools[0]", "must be an object"},
		{chat, `{"model":"m","user":7}`, "wrong_type", "user", ""},
		{chat, `{"model":"m","messages":[{"Role":"assistant"}]}`, "case_variant", "messages[0].Role", ""},
		{chat, `{"model":"m","messages":[{"content":{"a":1,"a":2}}]}`, "duplicate_key", "messages[0].content.a", ""},
		{chat, "{\"model\":\"m\",\"messages\":[{\"content\":\"\xff\"}]}", "invalid_utf8", "messages[0].content", ""},
		{chat, `{"model":"m","x":"\ud800"}`, "invalid_utf8", "x", "surrogate"},
		{chat, `{"model":"m"} {}`, "invalid_json", "", "follows"},
		{chat, `{"model":"m",}`, "invalid_json", "", ""},
		{chat, `{"model":"m","x":` + strings.Repeat("[", 600), "too_deep", "", "512"},
		{responses, `{"model":"m","input":[{"type":1}]}`, "wrong_type", "input[0].type", ""},
		{responses, `{"model":"m","previous_response_id":{}}`, "wrong_type", "previous_response_id", ""},
		{responses, `{"model":"m","Tools":[]}`, "case_variant", "Tools", ""},
		{messages, `{"model":"m","metadata":{"User_Id":"x"}}`, "case_variant", "metadata.User_Id", ""},
		{messages, `{"model":"m","metadata":{"user_id":1}}`, "wrong_type", "metadata.user_id", ""},
		{messages, `{"model":"m","mcp_servers":{}}`, "wrong_type", "mcp_servers", ""},
		{messages, `{"model":"m","fallbacks":[{"model":1}]}`, "wrong_type", "fallbacks[0].model", ""},
		{gen, `{"generationConfig":{},"generation_config":{}}`, "duplicate_key", "generation_config", "two spellings"},
		{gen, `{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":2}}`, "duplicate_key", "generationConfig.max_output_tokens", ""},
		{gen, `{"generationconfig":{}}`, "case_variant", "generationconfig", "generationConfig"},
		{gen, `{"generation_Config":{}}`, "case_variant", "generation_Config", ""},
		{gen, `{"_tools":[]}`, "case_variant", "_tools", ""},
		{gen, `{"tools":[{"googlesearch":{}}]}`, "case_variant", "tools[0].googlesearch", ""},
		{gen, `{"tools":[{"googleSearch":{},"google_search":{}}]}`, "duplicate_key", "tools[0].google_search", ""},
		{gen, `{"generationConfig":{"maxOutputTokens":"100"}}`, "wrong_type", "generationConfig.maxOutputTokens", "plainly"},
		{gen, `{"model":"models/other"}`, "model_mismatch", "model", "path"},
		{gen, `{"contents":{}}`, "wrong_type", "contents", ""},
		// At each level that features are read from, no member is read twice or by another spelling.
		{chat, `{"model":"m","Temperature":1}`, "case_variant", "Temperature", "temperature"},
		{chat, `{"model":"m","tool_Choice":"none"}`, "case_variant", "tool_Choice", ""},
		{chat, `{"model":"m","Functions":[]}`, "case_variant", "Functions", ""},
		{chat, `{"model":"m","parallel_tool_calls":"false"}`, "wrong_type", "parallel_tool_calls", ""},
		{chat, `{"model":"m","store":0}`, "wrong_type", "store", ""},
		{chat, `{"model":"m","store":true,"st\u006fre":false}`, "duplicate_key", "store", ""},
		{chat, `{"model":"m","temperature":"1"}`, "wrong_type", "temperature", "number"},
		{chat, `{"model":"m","temperature":-1}`, "invalid_value", "temperature", "at least 0"},
		{chat, `{"model":"m","temperature":1e999}`, "invalid_value", "temperature", ""},
		{chat, `{"model":"m","n":"2"}`, "wrong_type", "n", ""},
		{chat, `{"model":"m","reasoning_effort":{}}`, "wrong_type", "reasoning_effort", ""},
		{chat, `{"model":"m","response_format":{"Type":"text"}}`, "case_variant", "response_format.Type", ""},
		{chat, `{"model":"m","response_format":{"type":"text","type":"json_object"}}`, "duplicate_key", "response_format.type", ""},
		{chat, `{"model":"m","messages":[{"Content":"x"}]}`, "case_variant", "messages[0].Content", ""},
		{chat, `{"model":"m","messages":[{"content":[{"Type":"text"}]}]}`, "case_variant", "messages[0].content[0].Type", ""},
		{chat, `{"model":"m","messages":[{"content":[{"type":"text","type":"file"}]}]}`, "duplicate_key", "messages[0].content[0].type", ""},
		{chat, `{"model":"m","messages":[{"content":[{"type":["text"]}]}]}`, "wrong_type", "messages[0].content[0].type", ""},
		{chat, `{"model":"m","tool_choice":{"type":"allowed_tools","allowed_tools":{"Mode":"auto"}}}`, "case_variant", "tool_choice.allowed_tools.Mode", ""},
		{chat, `{"model":"m","tool_choice":{"type":"allowed_tools","allowed_tools":{"tools":[{"Function":{}}]}}}`, "case_variant", "tool_choice.allowed_tools.tools[0].Function", ""},
		{chat, `{"model":"m","functions":{}}`, "wrong_type", "functions", ""},
		{responses, `{"model":"m","Background":true}`, "case_variant", "Background", ""},
		{responses, `{"model":"m","background":"true"}`, "wrong_type", "background", ""},
		{responses, `{"model":"m","reasoning":{"Effort":"none","effort":"high"}}`, "case_variant", "reasoning.Effort", ""},
		{responses, `{"model":"m","text":{"Format":{}}}`, "case_variant", "text.Format", ""},
		{responses, `{"model":"m","text":{"format":{"TYPE":"x"}}}`, "case_variant", "text.format.TYPE", ""},
		{responses, `{"model":"m","include":[1]}`, "wrong_type", "include[0]", ""},
		{responses, `{"model":"m","conversation":{"ID":"c"}}`, "case_variant", "conversation.ID", ""},
		{responses, `{"model":"m","input":[{"Tools":[]}]}`, "case_variant", "input[0].Tools", ""},
		{responses, `{"model":"m","input":[{"type":"function_call_output","Output":[]}]}`, "case_variant", "input[0].Output", ""},
		{responses, `{"model":"m","input":[{"tools":[{"Type":"web_search"}]}]}`, "case_variant", "input[0].tools[0].Type", ""},
		{responses, `{"model":"m","tools":[{"type":"code_interpreter","Container":"c"}]}`, "case_variant", "tools[0].Container", ""},
		{responses, `{"model":"m","tools":[{"type":"namespace","tools":[{"tools":[{"tools":[{"tools":[{"tools":[]}]}]}]}]}]}`, "too_deep", "", "nested"},
		{messages, `{"model":"m","Thinking":{}}`, "case_variant", "Thinking", ""},
		{messages, `{"model":"m","thinking":{"Budget_Tokens":1}}`, "case_variant", "thinking.Budget_Tokens", ""},
		{messages, `{"model":"m","thinking":{"budget_tokens":"2048"}}`, "wrong_type", "thinking.budget_tokens", ""},
		{messages, `{"model":"m","thinking":{"budget_tokens":1e4}}`, "wrong_type", "thinking.budget_tokens", ""},
		{messages, `{"model":"m","fallbacks":[{"thinking":{"Type":"disabled"}}]}`, "case_variant", "fallbacks[0].thinking.Type", ""},
		{messages, `{"model":"m","tool_choice":{"Disable_Parallel_Tool_Use":true}}`, "case_variant", "tool_choice.Disable_Parallel_Tool_Use", ""},
		{messages, `{"model":"m","tool_choice":"auto"}`, "wrong_type", "tool_choice", ""},
		{messages, `{"model":"m","System":"x"}`, "case_variant", "System", ""},
		{messages, `{"model":"m","messages":[{"content":[{"type":"tool_result","Content":[]}]}]}`, "case_variant", "messages[0].content[0].Content", ""},
		{messages, `{"model":"m","messages":[{"content":[{"source":{"Content":[]}}]}]}`, "case_variant", "messages[0].content[0].source.Content", ""},
		{messages, `{"model":"m","output_config":{"Effort":"max"}}`, "case_variant", "output_config.Effort", ""},
		{gen, `{"system_instruction":{},"systemInstruction":{}}`, "duplicate_key", "systemInstruction", "two spellings"},
		{gen, `{"SystemInstruction":{}}`, "case_variant", "SystemInstruction", ""},
		{gen, `{"toolConfig":{"functionCallingConfig":{},"function_calling_config":{}}}`, "duplicate_key", "toolConfig.function_calling_config", ""},
		{gen, `{"toolConfig":{"functionCallingConfig":{"Mode":"ANY"}}}`, "case_variant", "toolConfig.functionCallingConfig.Mode", ""},
		{gen, `{"generationConfig":{"thinkingConfig":{"thinkingBudget":1,"thinking_budget":2}}}`, "duplicate_key", "generationConfig.thinkingConfig.thinking_budget", ""},
		{gen, `{"generationConfig":{"thinkingConfig":{"thinkingbudget":1}}}`, "case_variant", "generationConfig.thinkingConfig.thinkingbudget", ""},
		{gen, `{"generationConfig":{"thinkingConfig":{"thinkingBudget":"1"}}}`, "wrong_type", "generationConfig.thinkingConfig.thinkingBudget", ""},
		{gen, `{"generationConfig":{"thinkingConfig":{"thinkingBudget":-2}}}`, "invalid_value", "generationConfig.thinkingConfig.thinkingBudget", "-1"},
		{gen, `{"generationConfig":{"temperature":"1"}}`, "wrong_type", "generationConfig.temperature", ""},
		{gen, `{"generationConfig":{"responseSchema":{},"response_schema":{}}}`, "duplicate_key", "generationConfig.response_schema", ""},
		{gen, `{"contents":[{"Parts":[]}]}`, "case_variant", "contents[0].Parts", ""},
		{gen, `{"contents":[{"parts":[{"inlinedata":{}}]}]}`, "case_variant", "contents[0].parts[0].inlinedata", ""},
		{gen, `{"contents":[{"parts":[{"inlineData":{"mimeType":"a","mime_type":"b"}}]}]}`, "duplicate_key", "contents[0].parts[0].inlineData.mime_type", ""},
		{"/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m"},{"model":"models/n"}]}`, "model_mismatch", "requests[1].model", ""},
		{"/v1beta/models/m:countTokens", `{"generateContentRequest":{"model":"models/n"}}`, "model_mismatch", "generateContentRequest.model", ""},
	} {
		w, rt := target(t, c.target)
		var e wire.Envelope
		err := w.Read(rt, []byte(c.body), &e)
		p := wire.AsProblem(err)
		if p == nil || p.Status != 400 || p.Code != c.code || c.code != "too_deep" && p.Param != c.param || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s %.80s: got %v, want code %q at %q saying %q", c.target, c.body, err, c.code, c.param, c.says)
		}
	}
}

// What no decision rests on passes, whatever it is called and whatever it is.
func TestReadPassesTheUnknown(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	body := `{"model":"m","Seed":2,"x":[1e400,{"Model":1}],"messages":[{"role":"user","content":{"Role":"x","stream":1}}],"metadata":{"STREAM":1},"stop":null}`
	var e wire.Envelope
	if err := w.Read(rt, []byte(body), &e); err != nil {
		t.Error(err)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector has pools forget at random")
	}
	for _, c := range bodies {
		if strings.Contains(c.body, `\u`) || strings.Contains(c.body, "someNewTool") || strings.Contains(c.body, `_`) && strings.HasPrefix(c.target, "/v1beta") {
			continue // escapes and unusual spellings may cost
		}
		w, rt := target(t, c.target)
		var e wire.Envelope
		body := []byte(c.body)
		w.Read(rt, body, &e)
		if n := testing.AllocsPerRun(100, func() { w.Read(rt, body, &e) }); n > 0 {
			t.Errorf("%s %s: %v allocations", c.target, c.body, n)
		}
	}
}

func FuzzRead(f *testing.F) {
	routes := []string{}
	for _, c := range bodies {
		k := -1
		for i, r := range routes {
			if r == c.target {
				k = i
			}
		}
		if k < 0 {
			k = len(routes)
			routes = append(routes, c.target)
		}
		f.Add(uint8(k), []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, k uint8, body []byte) {
		w, rt := target(t, routes[int(k)%len(routes)])
		var e wire.Envelope
		if err := w.Read(rt, body, &e); err != nil {
			if p := wire.AsProblem(err); p == nil || p.Status != 400 || p.Code == "" || p.Detail == "" {
				t.Fatalf("%q: refused with %#v", body, err)
			}
			return
		}
		want, err := oracle(w, rt, body)
		if err == errSkip {
			return
		}
		if got := fromEnvelope(body, &e); err != nil || got.String() != want.String() {
			t.Fatalf("%s %q:\ngot  %s\nwant %s, %v", rt.API, body, got, want, err)
		}
		checkRewrite(t, w, rt, body, &e, "other \"m\"", 17)
		checkStrips(t, w, rt, body, &e)
	})
}
