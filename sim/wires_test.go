package sim

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// vectors are whole exchanges: what each wire says to a text of three tokens,
// byte for byte. Their shapes were taken from recorded exchanges.
var vectors = []struct {
	name, path, body, kind, want string
}{
	{
		"openai chat", "/v1/chat/completions",
		`{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"sim: text=\"One \\\"two\\\" three.\""}]}]}`,
		"application/json",
		`{"id":"chatcmpl-sim0000000000000001","object":"chat.completion","created":1800000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"One \"two\" three.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_sim"}`,
	},
	{
		"openai chat stream with usage, cut by max_tokens", "/v1/chat/completions",
		`{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":1,"messages":[{"role":"user","content":"sim: text=\"a b\""}]}`,
		"text/event-stream; charset=utf-8",
		`data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}

data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}

data: [DONE]

`,
	},
	{
		"openai chat tool stream", "/v1/chat/completions",
		`{"model":"m","stream":true,"messages":[{"role":"user","content":"sim: tool=look"}],"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object","properties":{"city":{"enum":["Oslo"]},"n":{"const":1}}}}}]}`,
		"text/event-stream; charset=utf-8",
		`data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_sim0000000000000001","type":"function","function":{"name":"look","arguments":""}}],"refusal":null},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":\"Oslo\",\""}}]},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"n\":1}"}}]},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-sim0000000000000001","object":"chat.completion.chunk","created":1800000000,"model":"m","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"}]}

data: [DONE]

`,
	},
	{
		"openai completions stream", "/v1/completions",
		`{"model":"m","stream":true,"prompt":"sim: text=\"a b\""}`,
		"text/event-stream; charset=utf-8",
		`data: {"id":"cmpl-sim0000000000000001","object":"text_completion","created":1800000000,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]}

data: {"id":"cmpl-sim0000000000000001","object":"text_completion","created":1800000000,"model":"m","choices":[{"text":" b","index":0,"logprobs":null,"finish_reason":null}]}

data: {"id":"cmpl-sim0000000000000001","object":"text_completion","created":1800000000,"model":"m","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}]}

data: [DONE]

`,
	},
	{
		"anthropic messages", "/v1/messages",
		`{"model":"m","max_tokens":9,"system":"be brief","messages":[{"role":"user","content":"sim: text=\"Hi there\""}]}`,
		"application/json",
		`{"model":"m","id":"msg_sim0000000000000001","type":"message","role":"assistant","content":[{"type":"text","text":"Hi there","citations":null}],"stop_reason":"end_turn","stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":2,"output_tokens_details":null,"server_tool_use":null,"service_tier":"standard","speed":null,"inference_geo":"not_available"}}`,
	},
	{
		"anthropic messages stream", "/v1/messages?beta=true",
		`{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"sim: text=\"Hi there\""}]}`,
		"text/event-stream; charset=utf-8",
		`event: message_start
data: {"type":"message_start","message":{"model":"m","id":"msg_sim0000000000000001","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":1,"output_tokens_details":null,"server_tool_use":null,"service_tier":"standard","speed":null,"inference_geo":"not_available"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","citations":null}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null,"stop_details":null,"container":null},"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"output_tokens_details":null,"server_tool_use":null}}

event: message_stop
data: {"type":"message_stop"}

`,
	},
	{
		"gemini", "/v1beta/models/g:generateContent",
		`{"contents":[{"parts":[{"text":"sim: text=\"Hi there\""}]}]}`,
		"application/json",
		`{"candidates":[{"content":{"parts":[{"text":"Hi there"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":5}]},"modelVersion":"g","responseId":"sim0000000000000001"}`,
	},
	{
		"gemini stream", "/v1beta/models/g:streamGenerateContent?alt=sse",
		`{"contents":[{"role":"user","parts":[{"text":"sim: text=Hi"}]}]}`,
		"text/event-stream",
		"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1,\"totalTokenCount\":4,\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":3}]},\"modelVersion\":\"g\",\"responseId\":\"sim0000000000000001\"}\r\n\r\n" +
			"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1,\"totalTokenCount\":4,\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":3}]},\"modelVersion\":\"g\",\"responseId\":\"sim0000000000000001\"}\r\n\r\n",
	},
	{
		"gemini tool call as an array", "/v1/models/g:streamGenerateContent?key=k",
		`{"contents":[{"role":"user","parts":[{"text":"sim: tool=look"}]}],"tools":[{"functionDeclarations":[{"name":"look","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING","enum":["Oslo"]}}}}]}]}`,
		"application/json",
		`[{"candidates":[{"content":{"parts":[{"functionCall":{"name":"look","args":{"city":"Oslo"}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":24,"candidatesTokenCount":1,"totalTokenCount":25,"promptTokensDetails":[{"modality":"TEXT","tokenCount":24}]},"modelVersion":"g","responseId":"sim0000000000000001"}` + "\n]",
	},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			s := start(t, Config{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
			res := post(t, s, v.path, v.body)
			got := all(t, res, 200)
			if kind := res.Header.Get("Content-Type"); kind != v.kind {
				t.Errorf("content type %q, want %q", kind, v.kind)
			}
			if got != v.want {
				t.Errorf("got  %s\nwant %s", got, v.want)
			}
		})
	}
}

var eventName = regexp.MustCompile(`(?m)^event: (.*)$`)

// The typed events of a response come in their order, numbered without a gap,
// and each says its own name.
func TestResponsesEvents(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct{ name, body, want string }{
		{"text", `{"model":"m","stream":true,"input":"sim: tokens=2"}`,
			"response.created response.in_progress response.output_item.added response.content_part.added response.output_text.delta response.output_text.delta response.output_text.done response.content_part.done response.output_item.done response.completed"},
		{"bounded", `{"model":"m","stream":true,"max_output_tokens":1,"input":[{"role":"user","content":[{"type":"input_text","text":"x"}]}]}`,
			"response.created response.in_progress response.output_item.added response.content_part.added response.output_text.delta response.output_text.done response.content_part.done response.output_item.done response.incomplete"},
		{"tool", `{"model":"m","stream":true,"input":"sim: tool=x","tools":[{"type":"function","name":"x","parameters":{"type":"object","properties":{}}}]}`,
			"response.created response.in_progress response.output_item.added response.function_call_arguments.delta response.function_call_arguments.done response.output_item.done response.completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := all(t, post(t, s, "/v1/responses", c.body), 200)
			var names []string
			for _, m := range eventName.FindAllStringSubmatch(body, -1) {
				names = append(names, m[1])
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for i, event := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
				_, data, _ := strings.Cut(event, "\ndata: ")
				var v struct {
					Type string `json:"type"`
					Seq  int    `json:"sequence_number"`
				}
				decode(t, data, &v)
				if v.Type != names[i] || v.Seq != i {
					t.Errorf("event %d says %s, number %d", i, v.Type, v.Seq)
				}
			}
		})
	}
}

// A tool is called once: after its result the same user message gets words.
func TestToolResultEndsTheDirective(t *testing.T) {
	s := start(t, Config{})
	for path, body := range map[string]string{
		"/v1/chat/completions":             `{"model":"m","messages":[{"role":"user","content":"sim: tool=x text=done"},{"role":"assistant","tool_calls":[]},{"role":"tool","content":"12"}]}`,
		"/v1/messages":                     `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"sim: tool=x text=done"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"x","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"12"}]}]}`,
		"/v1/responses":                    `{"model":"m","input":[{"role":"user","content":"sim: tool=x text=done"},{"type":"function_call","name":"x","call_id":"a","arguments":"{}"},{"type":"function_call_output","call_id":"a","output":"12"}]}`,
		"/v1beta/models/g:generateContent": `{"contents":[{"role":"user","parts":[{"text":"sim: tool=x text=done"}]},{"role":"model","parts":[{"functionCall":{"name":"x","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"x","response":{}}}]}]}`,
	} {
		if got := all(t, post(t, s, path, body), 200); !strings.Contains(got, `"done"`) {
			t.Errorf("%s answered %s", path, got)
		}
	}
}

func TestToolChoice(t *testing.T) {
	s := start(t, Config{})
	tools := `,"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]`
	for more, want := range map[string]string{
		tools:                               `"content":"`,
		tools + `,"tool_choice":"required"`: `"name":"a"`,
		tools + `,"tool_choice":{"type":"function","function":{"name":"b"}}`: `"name":"b"`,
		tools + `,"tool_choice":"none"`:                                      `"content":"`,
	} {
		if got := all(t, post(t, s, "/v1/chat/completions", chatBody("hello", more)), 200); !strings.Contains(got, want) {
			t.Errorf("%s: no %s in %s", more, want, got)
		}
	}
}

func TestErrorsSpeakTheWire(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/chat/completions", chatBody("sim: error=429", ""), 429, `{"error":{"message":"Simulated error: the rate limit was reached.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`},
		{"/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"sim: error=529"}]}`, 529, `{"type":"error","error":{"type":"overloaded_error","message":"Simulated error: the provider is overloaded."},"request_id":"req_sim0000000000000002"}`},
		{"/v1beta/models/g:generateContent", `{"contents":[{"parts":[{"text":"sim: error=503"}]}]}`, 503, `{"error":{"code":503,"message":"Simulated error: the provider is overloaded.","status":"UNAVAILABLE","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}}`},
		{"/v1/responses", `{"model":"m","input":"sim: error=500"}`, 500, `{"error":{"message":"Simulated error: Internal Server Error.","type":"server_error","param":null,"code":null}}`},
		{"/v1/embeddings", `{"model":"m","input":"sim: error=401"}`, 401, `{"error":{"message":"Simulated error: the key is not valid.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`},
	} {
		res := post(t, s, c.path, c.body)
		if got := all(t, res, c.status); got != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.path, got, c.want)
		}
		retry := c.status == 429 || c.status == 503 || c.status == 529
		if has := res.Header.Get("Retry-After") != ""; has != retry {
			t.Errorf("%s: Retry-After is %v", c.path, has)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, Config{MaxBody: 4096})
	message := func(m string) string { return `{"model":"m",` + m + `"messages":[{"role":"user","content":"x"}]}` }
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/chat/completions", `{"model":`, 400, "could not parse"},
		{"/v1/chat/completions", ``, 400, "the body is empty"},
		{"/v1/chat/completions", `{"messages":[]}`, 400, "model parameter"},
		{"/v1/chat/completions", `{"model":"m","messages":[]}`, 400, "empty array"},
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":3}]}`, 400, "content must be"},
		{"/v1/chat/completions", chatBody("x", `,"n":0`), 400, "from 1 to 128"},
		{"/v1/chat/completions", chatBody("x", `,"max_tokens":0`), 400, "'max_tokens': integer below minimum"},
		{"/v1/chat/completions", chatBody("sim: tokens=-1", ""), 400, "tokens=-1: want a number"},
		{"/v1/chat/completions", chatBody("sim: tokens=1 speed=2", ""), 400, "speed: unknown directive"},
		{"/v1/messages", message(""), 400, "max_tokens: Field required"},
		{"/v1/messages", `{"max_tokens":1,"messages":[]}`, 400, `"type":"invalid_request_error","message":"model: Field required"`},
		{"/v1beta/models/g:generateContent", `{}`, 400, `"status":"INVALID_ARGUMENT"`},
		{"/v1beta/models/g:flyToTheMoon", `{}`, 404, `"status":"NOT_FOUND"`},
		{"/v1/chat%2Fcompletions", chatBody("x", ""), 404, "unknown route"},
		{"/v1/chat/completions/", chatBody("x", ""), 404, "unknown route"},
		{"/v1/embeddings", `{"model":"m","input":[]}`, 400, "Invalid 'input'"},
		{"/v1/embeddings", `{"model":"m","input":"x","dimensions":0}`, 400, "Invalid 'dimensions'"},
		{"/v1/messages", message(`"max_tokens":1,"pad":"` + strings.Repeat("x", 5000) + `",`), 413, "request_too_large"},
	} {
		if got := all(t, post(t, s, c.path, c.body), c.status); !strings.Contains(got, c.want) {
			t.Errorf("POST %s %.80s: no %q in %s", c.path, c.body, c.want, got)
		}
	}
	if got := all(t, post(t, s, "/v1/chat/completions", "x", "Content-Encoding", "gzip"), 415); !strings.Contains(got, "compressed") {
		t.Error(got)
	}
	if got := all(t, get(t, s, "/v1/chat/completions"), 404); !strings.Contains(got, "unknown route GET") {
		t.Error(got)
	}
}

// Providers read the last of equal names and mind the case of letters.
func TestReadsLikeAProvider(t *testing.T) {
	s := start(t, Config{})
	got := all(t, post(t, s, "/v1/chat/completions", `{"model":"a","MODEL":"c","model":"b","messages":[{"role":"user","content":"x"}]}`), 200)
	if !strings.Contains(got, `"model":"b"`) {
		t.Error(got)
	}
}

func TestModels(t *testing.T) {
	s := start(t, Config{Models: []string{"one", "two"}})
	for _, c := range []struct{ path, header, want string }{
		{"/v1/models", "Authorization", `{"object":"list","data":[{"id":"one","object":"model","created":1767225600,"owned_by":"andon-sim"},{"id":"two","object":"model","created":1767225600,"owned_by":"andon-sim"}]}`},
		{"/v1/models/two", "Authorization", `{"id":"two","object":"model","created":1767225600,"owned_by":"andon-sim"}`},
		{"/v1/models", "Anthropic-Version", `"has_more":false,"first_id":"one","last_id":"two"}`},
		{"/v1/models/one", "Anthropic-Version", `{"type":"model","id":"one",`},
		{"/v1/models", "X-Goog-Api-Key", `{"models":[{"name":"models/one",`},
		{"/v1beta/models/two", "X-Goog-Api-Key", `{"name":"models/two","version":"1",`},
	} {
		if got := all(t, get(t, s, c.path, c.header, "x"), 200); !strings.Contains(got, c.want) {
			t.Errorf("%s with %s: %s", c.path, c.header, got)
		}
	}
	if got := all(t, get(t, s, "/v1/models/three"), 404); !strings.Contains(got, "model_not_found") {
		t.Error(got)
	}
}

// What counting says is what the answer charges.
func TestCountedIsCharged(t *testing.T) {
	s := start(t, Config{})
	rest := `"system":[{"type":"text","text":"be brief and kind"}],"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"yes?"},{"role":"user","content":"go on"}],"tools":[{"name":"look","input_schema":{"type":"object"}}]}`
	var counted struct {
		Input int `json:"input_tokens"`
	}
	var said struct {
		Usage struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		} `json:"usage"`
	}
	decode(t, all(t, post(t, s, "/v1/messages/count_tokens", `{"model":"m",`+rest), 200), &counted)
	decode(t, all(t, post(t, s, "/v1/messages", `{"model":"m","max_tokens":5,`+rest), 200), &said)
	if counted.Input != said.Usage.Input || counted.Input < 10 || said.Usage.Output != 5 {
		t.Errorf("counted %d, charged %+v", counted.Input, said)
	}
	q := `"contents":[{"parts":[{"text":"hello there"}]}],"systemInstruction":{"parts":[{"text":"be kind"}]}`
	var total struct {
		N int `json:"totalTokens"`
	}
	var gen struct {
		Usage struct {
			N int `json:"promptTokenCount"`
		} `json:"usageMetadata"`
	}
	decode(t, all(t, post(t, s, "/v1beta/models/g:countTokens", `{"generateContentRequest":{`+q+`,"model":"models/g"}}`), 200), &total)
	decode(t, all(t, post(t, s, "/v1beta/models/g:generateContent", `{`+q+`}`), 200), &gen)
	if total.N != gen.Usage.N || total.N < 4 {
		t.Errorf("counted %d, charged %d", total.N, gen.Usage.N)
	}
}

// Every event of a stream goes out on its own, as it is said.
func TestEventsAreFlushedOneByOne(t *testing.T) {
	s := start(t, Config{})
	for path, body := range map[string]string{
		"/v1/chat/completions": chatBody("sim: tokens=9 stall=1", `,"stream":true`),
		"/v1/responses":        `{"model":"m","stream":true,"input":"sim: tokens=9 stall=1"}`,
		"/v1/completions":      `{"model":"m","stream":true,"prompt":"sim: tokens=9 stall=1"}`,
		"/v1/messages":         `{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"sim: tokens=9 stall=1"}]}`,
		"/v1beta/models/g:streamGenerateContent?alt=sse": `{"contents":[{"parts":[{"text":"sim: tokens=9 stall=1"}]}]}`,
		"/v1beta/models/g:streamGenerateContent":         `{"contents":[{"parts":[{"text":"sim: tokens=9 stall=1"}]}]}`,
	} {
		// The first word arrives although the stream has gone silent.
		word := string((&speech{seed: mix(seedOf(modelIn(path), "sim: tokens=9 stall=1")), n: 1}).appendAll(nil))
		r := bufio.NewReader(post(t, s, path, body).Body)
		var seen strings.Builder
		for !strings.Contains(seen.String(), word) {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("%s: %v after %s", path, err, seen.String())
			}
			seen.WriteByte(b)
		}
	}
}

func modelIn(path string) string {
	if strings.Contains(path, "gen") || strings.Contains(path, "Generate") {
		return "g"
	}
	if strings.Contains(path, "chat") {
		return "sim-large"
	}
	return "m"
}

func TestHeadersOfProviders(t *testing.T) {
	s := start(t, Config{})
	if id := post(t, s, "/v1/chat/completions", chatBody("x", "")).Header.Get("X-Request-Id"); id != "req_sim0000000000000001" {
		t.Error(id)
	}
	res := post(t, s, "/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`)
	io.Copy(io.Discard, res.Body)
	if id := res.Header.Get("Request-Id"); id != "req_sim0000000000000002" {
		t.Error(id)
	}
}
