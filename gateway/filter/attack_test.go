package filter

import (
	"strings"
	"testing"
)

// Attacks with a model that says the forbidden phrase in pieces of different
// kinds: no client may be able to put it together from what came out.
func TestAPhraseInPiecesOfDifferentKinds(t *testing.T) {
	g := guard(t, Rule{ID: "r", Set: literals(t, "forbidden phrase")})
	for _, c := range []struct {
		name, path string
		events     []string
	}{
		{"a part that begins with text", "/v1/responses", []string{
			`{"type":"response.content_part.added","output_index":0,"content_index":0,"part":{"type":"output_text","text":"a forbidden "}}`,
			`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"phrase"}`}},
		{"a call that begins with arguments", "/v1/responses", []string{
			`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","name":"f","arguments":"{\"x\":\"a forbidden "}}`,
			`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"phrase"}`}},
		{"a refusal that begins with text", "/v1/responses", []string{
			`{"type":"response.content_part.added","output_index":0,"content_index":1,"part":{"type":"refusal","refusal":"a forbidden "}}`,
			`{"type":"response.refusal.delta","output_index":0,"content_index":1,"delta":"phrase"}`}},
		{"a summary that begins with text", "/v1/responses", []string{
			`{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"a forbidden "}}`,
			`{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"phrase"}`}},
		{"a transcript", "/v1/chat/completions", []string{
			`{"choices":[{"index":0,"delta":{"audio":{"id":"a","transcript":"a forbidden "}}}]}`,
			`{"choices":[{"index":0,"delta":{"audio":{"transcript":"phrase"}}}]}`}},
		{"choices in turn", "/v1/chat/completions", []string{
			`{"choices":[{"index":1,"delta":{"content":"a forbidden "}},{"index":0,"delta":{"content":"x"}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"y"}}]}`,
			`{"choices":[{"index":1,"delta":{"content":"phrase"}}]}`}},
		{"tokens alone", "/v1/chat/completions", []string{
			`{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"a forbidden","bytes":null,"top_logprobs":[]}]}}]}`,
			`{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":" phrase","bytes":null,"top_logprobs":[]}]}}]}`}},
		{"arguments in parts, two calls in turn", "/v1/chat/completions", []string{
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"a forbidden "}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"phrase"}}]}}]}`}},
		{"escapes", "/v1/chat/completions", []string{
			`{"choices":[{"index":0,"delta":{"content":"a \u0066orbidd\u0065n "}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"\u0070hrase"}}]}`}},
		{"the environment of a command", "/v1/responses", []string{
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"local_shell_call","action":{"type":"exec","command":["ls"],"env":{"id":"a forbidden phrase"}}}}`}},
		{"a name in the environment of a command", "/v1/responses", []string{
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"local_shell_call","action":{"type":"exec","command":["ls"],"env":{"a forbidden phrase":"1"}}}}`}},
		{"a block that begins with text", "/v1/messages", []string{
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a forbidden "}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"phrase"}}`}},
		{"a thought that begins with text", "/v1/messages", []string{
			`{"type":"content_block_start","index":3,"content_block":{"type":"thinking","thinking":"a forbidden "}}`,
			`{"type":"content_block_delta","index":3,"delta":{"type":"thinking_delta","thinking":"phrase"}}`}},
		{"a quotation", "/v1/messages", []string{
			`{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"a forbidden phrase"}}}`}},
		{"the sequence that it stopped at", "/v1/messages", []string{
			`{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"a forbidden phrase"}}`}},
		{"partial arguments that move up", "/v1beta/models/sim-large:streamGenerateContent?alt=sse", []string{
			`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","partialArgs":[{"jsonPath":"$.a","stringValue":"x"},{"jsonPath":"$.b","stringValue":"a forbidden "}]}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.b","stringValue":"phrase"}]}}]}}]}`}},
		{"candidates in turn", "/v1beta/models/sim-large:streamGenerateContent?alt=sse", []string{
			`{"candidates":[{"index":1,"content":{"parts":[{"text":"a forbidden "}]}}]}`,
			`{"candidates":[{"index":0,"content":{"parts":[{"text":"x"}]}},{"index":1,"content":{"parts":[{"text":"phrase"}]}}]}`}},
		{"thoughts", "/v1beta/models/sim-large:streamGenerateContent?alt=sse", []string{
			`{"candidates":[{"content":{"parts":[{"thought":true,"text":"a forbidden "}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"text":"phrase","thought":true}]}}]}`}},
	} {
		w, rt := target(t, c.path)
		s := g.Stream(w, rt)
		var out strings.Builder
		found := false
		for i, e := range c.events {
			o, hit := s.Write([]byte("data: " + e + "\n\n"))
			out.Write(o)
			if found = found || hit != nil; hit != nil && i < len(c.events)-1 {
				break
			}
		}
		if o, hit := s.End(); !found {
			out.Write(o)
			found = hit != nil
		}
		if !found {
			t.Errorf("%s: %s", c.name, out.String())
		}
	}
}
