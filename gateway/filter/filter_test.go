package filter

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"andon/correction"
	"andon/detect"
	"andon/wire"
)

// chat makes chunks of a chat, one a text; "reasoning:…" goes there.
func chat(texts ...string) (events []string) {
	for _, s := range texts {
		name := "content"
		if r, ok := strings.CutPrefix(s, "reasoning:"); ok {
			name, s = "reasoning_content", r
		}
		events = append(events, fmt.Sprintf("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{%q:%s}}]}\n\n", name, must(json.Marshal(s))))
	}
	return events
}

const finish = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"

// steps writes events one by one and says which came out at each, as "0 - 01 2".
func steps(t *testing.T, s *Stream, events []string) (came string, hit *Hit) {
	t.Helper()
	var b strings.Builder
	next := 0
	note := func(out []byte) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if len(out) == 0 {
			b.WriteByte('-')
		}
		for len(out) > 0 {
			if next == len(events) || !strings.HasPrefix(string(out), events[next]) {
				t.Fatalf("%q came out, and event %d is next", out, next)
			}
			out = out[len(events[next]):]
			fmt.Fprint(&b, next)
			next++
		}
	}
	for _, e := range events {
		out, h := s.Write([]byte(e))
		if note(out); h != nil {
			return b.String(), h
		}
	}
	out, h := s.End()
	note(out)
	return b.String(), h
}

func TestOnlyWhatMayBecomeForbiddenIsHeld(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	g := guard(t, Rule{ID: "r", Set: literals(t, "forbidden")})
	choice := func(n int, s string) string {
		return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q},\"index\":%d}]}\n\n", s, n)
	}
	for _, c := range []struct {
		name   string
		events []string
		came   string
		hit    bool
	}{
		{"passes at once", chat("hello ", "there ", "friend "), "0 1 2 -", false},
		{"held until it is clear", chat("this is f", "or", "bid", "ding", " it"), "- - - 0123 4 -", false},
		{"held until the end", chat("a for", "bidde"), "- - 01", false},
		{"forbidden", chat("well ", "a for", "bidd", "en thing", " more"), "0 - - -", true},
		{"in one event", chat("well ", "forbidden", " more"), "0 -", true},
		{"overlapping itself", chat("forb", "forb", "forbid", "den"), "- 0 1 -", true},
		{"comments wait in order", append(chat("forb"), ": ping\n\n", chat("er ")[0]), "- - 012 -", false},
		{"comments pass", append(chat("hello "), ": ping\n\n"), "0 1 -", false},
		{"another text of the choice lets it go", chat("reasoning:so forb", "hello ", "there "), "- 01 2 -", false},
		{"but the word never ends", chat("reasoning:so forb", "hello ", "reasoning:idden", "more "), "- 01 -", true},
		{"nor where the first was complete in itself", chat("reasoning:so forb", "hello ", "reasoning:er", "more "), "- 01 2 3 -", false},
		{"choices run side by side", []string{choice(0, "for"), choice(1, "for"), choice(0, "bid"), choice(1, "est"), choice(0, "den")}, "- - - - -", true},
		{"and each is its own", []string{choice(0, "for"), choice(1, "bidden"), choice(0, " all ")}, "- - 012 -", false},
		{"the end of a choice", append(chat("a forb"), finish, chat("idden")[0]), "- 01 2 -", false},
	} {
		came, hit := steps(t, g.Stream(w, rt), c.events)
		if came != c.came || (hit != nil) != c.hit {
			t.Errorf("%s: %s, hit %+v; want %s, hit %v", c.name, came, hit, c.came, c.hit)
		}
	}
}

func TestHoldBackIsNoLongerThanThePattern(t *testing.T) {
	w, rt := target(t, "/v1/messages")
	set := literals(t, strings.Repeat("a", 20)+"b", strings.Repeat("xy", 15)+"z")
	s := guard(t, Rule{ID: "r", Set: set}).Stream(w, rt)
	said, came := 0, 0
	for i := range 3000 {
		text := []string{"a", "aa", "xy", "x", "yx", "q"}[i*i%6]
		e := fmt.Sprintf("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n", text)
		said += len(text)
		out, hit := s.Write([]byte(e))
		if hit != nil {
			t.Fatalf("hit %+v", hit)
		}
		for _, e := range frame(rt, string(out)) {
			came += len(object(decode(e)["delta"])["text"].(string))
		}
		// The first event held may have bytes in front of those that are held.
		if said-came > set.Longest()+1 {
			t.Fatalf("%d bytes of text are held; the longest pattern has %d", said-came, set.Longest())
		}
	}
	if out, hit := s.End(); hit != nil || s.Held() > 0 || came == 0 {
		t.Errorf("%d bytes at the end, hit %+v", len(out), hit)
	}
}

func TestWhereverItStands(t *testing.T) {
	// Each body is one event, or a whole answer, in which a place holds X.
	for _, c := range []struct{ where, body string }{
		{"/v1/chat/completions", `{"choices":[{"index":0,"message":{"role":"assistant","content":"X"}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"message":{"content":null,"refusal":"X"}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"reasoning":"X"}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","text":"X"}]}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"X"}]}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"something_new":{"deep":["X"]}}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"message":{"audio":{"id":"a","data":"AAAA","transcript":"X"}}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"message":{"annotations":[{"type":"url_citation","url_citation":{"title":"X"}}]}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":\"X\"}"}}]}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"type":"custom","custom":{"name":"c","input":"X"}}]}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"function_call":{"name":"X","arguments":""}}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"content":"c"},"logprobs":{"content":[{"token":"forb"},{"token":"idden"}]}}]}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"content":"c"},"logprobs":{"content":[{"token":"c","top_logprobs":[{"token":"X"}]}]}}]}`},
		{"/v1/chat/completions", `{"choices":[],"new_member":"X"}`},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"content":"\u0066\u006Frbid\u0064en"}}]}`},
		{"/v1/completions", `{"choices":[{"text":"X","index":0}]}`},
		{"/v1/completions", `{"choices":[{"text":"","index":0,"logprobs":{"tokens":["for","bid","den"],"top_logprobs":[{"a":-1}]}}]}`},
		{"/v1/completions", `{"choices":[{"text":"","index":0,"logprobs":{"tokens":["a"],"top_logprobs":[{"X":-1}]}}]}`},
		{"/v1/responses", `{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"X"}`},
		{"/v1/responses", `{"type":"response.output_text.done","output_index":0,"text":"X"}`},
		{"/v1/responses", `{"type":"response.reasoning_summary_text.delta","delta":"X"}`},
		{"/v1/responses", `{"type":"response.refusal.done","refusal":"X"}`},
		{"/v1/responses", `{"type":"response.function_call_arguments.delta","delta":"X"}`},
		{"/v1/responses", `{"type":"response.code_interpreter_call_code.done","code":"X"}`},
		{"/v1/responses", `{"type":"response.mcp_call_arguments.done","arguments":"X"}`},
		{"/v1/responses", `{"type":"response.custom_tool_call_input.delta","delta":"X"}`},
		{"/v1/responses", `{"type":"response.shell_call_output_content.delta","delta":{"stdout":"X"}}`},
		{"/v1/responses", `{"type":"response.new_thing.delta","chunk":"X"}`},
		{"/v1/responses", `{"type":"response.new_thing","thing":{"a":[{"b":"X"}]}}`},
		{"/v1/responses", `{"type":"response.output_text.annotation.added","annotation":{"type":"url_citation","title":"X"}}`},
		{"/v1/responses", `{"type":"response.content_part.done","part":{"type":"output_text","text":"X","annotations":[]}}`},
		{"/v1/responses", `{"type":"response.output_item.done","item":{"type":"mcp_call","name":"n","server_label":"s","arguments":"{}","output":"X"}}`},
		{"/v1/responses", `{"type":"response.output_item.done","item":{"type":"web_search_call","action":{"type":"search","query":"X"}}}`},
		{"/v1/responses", `{"type":"response.output_item.done","item":{"type":"computer_call","action":{"type":"type","text":"X"}}}`},
		{"/v1/responses", `{"type":"response.completed","response":{"id":"r","output":[{"type":"message","content":[{"type":"output_text","text":"X"}]}]}}`},
		{"/v1/responses", `{"id":"r","object":"response","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"X"}],"encrypted_content":"zz"}]}`},
		{"/v1/responses", `{"id":"r","object":"response","output":[{"type":"file_search_call","queries":["X"],"results":null}]}`},
		{"/v1/messages", `{"type":"message","content":[{"type":"text","text":"for"},{"type":"text","text":"bidden"}]}`},
		{"/v1/messages", `{"type":"message","content":[{"type":"thinking","thinking":"X","signature":"s"}]}`},
		{"/v1/messages", `{"type":"message","content":[{"type":"tool_use","id":"t","name":"n","input":{"a":[{"id":"X"}]}}]}`},
		{"/v1/messages", `{"type":"message","content":[{"type":"tool_use","id":"t","name":"n","input":{"X":1}}]}`},
		{"/v1/messages", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"X"}}`},
		{"/v1/messages", `{"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result","content":[{"type":"web_search_result","title":"X","encrypted_content":"e"}]}}`},
		{"/v1/messages", `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"X"}}`},
		{"/v1/messages", `{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"cited_text":"X"}}}`},
		{"/v1/messages", `{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","new":"X"}}`},
		{"/v1/messages", `{"type":"message","content":[{"data":"","type":"redacted_thinking","text":"X"}]}`},
		{"/v1/messages", `{"type":"message","content":[{"type":"document","source":{"data":"","type":"base64","title":"X"}}]}`},
		{"/v1/messages", `{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"explanation":"X"}}}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"text":"for"},{"text":"bidden"}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"text":"X","thought":true}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"type":"X"}}}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"X":true}}}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"executableCode":{"language":"PYTHON","code":"X"}}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"X"}}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"content":{"parts":[{"newPart":{"a":"X"}}]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"groundingMetadata":{"webSearchQueries":["X"]}}]}`},
		{"/v1beta/models/m:generateContent", `{"candidates":[{"logprobsResult":{"chosenCandidates":[{"token":"forb"},{"token":"idden"}]}}]}`},
	} {
		w, rt := target(t, c.where)
		body := strings.ReplaceAll(c.body, "X", "forbidden")
		if !json.Valid([]byte(body)) {
			t.Fatalf("%s is no JSON", body)
		}
		for _, action := range []Action{Block, Redact} {
			g := guard(t, Rule{ID: "r", Set: literals(t, "forbidden"), Action: action})
			out, hit := g.Plain(context.Background(), w, rt, []byte(body))
			if hit == nil && (action != Redact || strings.Contains(string(out), "forbidden") || !json.Valid(out) || !strings.Contains(string(out), Marker)) {
				t.Errorf("%s: came through as %s", body, out)
			}
			if hit != nil && out != nil {
				t.Errorf("%s: a hit, and %s", body, out)
			}
			// As an event, and after another one.
			rt.SSE = true
			s := g.Stream(w, rt)
			got, hit := s.Write([]byte("data: " + body + "\n\n"))
			more, hit2 := s.End()
			if hit == nil {
				hit = hit2
			}
			got = append(got, more...)
			if strings.Contains(string(got), "forbidden") || hit == nil && action == Block {
				t.Errorf("%s: as an event, came through as %s", body, got)
			}
		}
		// Where it says something else, it is not touched.
		other := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(c.body, "X", "allowed"), "idden", "xx"), "bid", "xx"), "bidden", "xx"), `d\u0064`, "x")
		if strings.Contains(other, `\u0066`) {
			continue
		}
		g := guard(t, Rule{ID: "r", Set: literals(t, "forbidden")})
		if out, hit := g.Plain(context.Background(), w, rt, []byte(other)); hit != nil || string(out) != other {
			t.Errorf("%s: hit %+v", other, hit)
		}
	}
}

func TestWhatIsNotSaidIsNotLookedAt(t *testing.T) {
	for _, c := range []struct{ where, body string }{
		{"/v1/chat/completions", `{"id":"X","object":"X","model":"X","system_fingerprint":"X","choices":[{"index":0,"finish_reason":"X","message":{"role":"X","content":"a","tool_calls":[{"id":"X","type":"function","function":{"name":"n","arguments":"{}"}}]}}],"usage":{"a":"X"},"obfuscation":"X"}`},
		{"/v1/responses", `{"type":"response.completed","response":{"id":"X","instructions":"X","tools":[{"type":"function","description":"X"}],"metadata":{"a":"X"},"text":{"format":{"type":"X"}},"previous_response_id":"X","output":[{"id":"X","type":"reasoning","encrypted_content":"X","summary":[]}]}}`},
		{"/v1/messages", `{"type":"message","id":"X","model":"X","content":[{"type":"redacted_thinking","data":"X"},{"type":"thinking","thinking":"t","signature":"X"}],"stop_reason":"X"}`},
		{"/v1beta/models/m:generateContent", `{"responseId":"X","modelVersion":"X","candidates":[{"content":{"role":"X","parts":[{"text":"a","thoughtSignature":"X"},{"inlineData":{"mimeType":"image/png","data":"X"}}]},"finishReason":"X"}]}`},
	} {
		w, rt := target(t, c.where)
		body := strings.ReplaceAll(c.body, "X", "forbidden")
		g := guard(t, Rule{ID: "r", Set: literals(t, "forbidden")})
		if out, hit := g.Plain(context.Background(), w, rt, []byte(body)); hit != nil || string(out) != body {
			t.Errorf("%s: hit %+v", body, hit)
		}
	}
}

func TestWhatCannotBeReadIsForbidden(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	for _, data := range []string{`{"choices":[`, `{"a":1,"a":2}`, `plain words`, "\"\xff\"", `{"choices":[{"delta":{"content":"\ud83d"}}]}`, `[DONE] and more`, "\ufeff{}"} {
		s := guard(t, Rule{ID: "r", Set: literals(t, "forbidden")}).Stream(w, rt)
		first := chat("hello ")[0]
		if out, _ := s.Write([]byte(first)); string(out) != first {
			t.Fatalf("%q came out", out)
		}
		out, hit := s.Write([]byte("data: " + data + "\n\n"))
		if len(out) > 0 || hit == nil || hit.Cause != Unreadable {
			t.Errorf("%s: %q, hit %+v", data, out, hit)
		}
		if out, again := s.Write([]byte(first)); len(out) > 0 || again != hit {
			t.Errorf("%s: %q came out after the hit", data, out)
		}
		if out, again := s.End(); len(out) > 0 || again != hit {
			t.Errorf("%s: %q came out at the end", data, out)
		}
	}
}

func TestDataOnSeveralLines(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	event := "id: 7\r\nevent: message\r\ndata: {\"choices\":[{\"index\":0,\r\ndata: \"delta\":{\"content\":\"a forbidden <b>word</b>\"}}]}\r\nretry: 5\r\n\r\n"
	s := guard(t, Rule{ID: "r", Set: literals(t, "forbidden"), Action: Redact}).Stream(w, rt)
	out, hit := s.Write([]byte(event))
	if hit != nil || !strings.HasPrefix(string(out), "id: 7\nevent: message\nretry: 5\ndata: ") || !strings.HasSuffix(string(out), "\n\n") {
		t.Errorf("%q, hit %+v", out, hit)
	}
	if got := client([]string{string(out)}); got.running["0 content0"] != "a "+Marker+" <b>word</b>" {
		t.Errorf("%q", got.running)
	}
}

func TestNamesThatComeInParts(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	call := func(index int, name, args string) string {
		f := map[string]any{}
		if name != "" {
			f["name"] = name
		}
		if args != "" {
			f["arguments"] = args
		}
		return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%d,\"function\":%s}]}}]}\n\n", index, must(json.Marshal(f)))
	}
	g := guard(t, Rule{ID: "r", ToolNames: []string{"delete_everything"}})
	for _, c := range []struct {
		events []string
		came   string
		hit    bool
	}{
		{[]string{call(0, "delete_everything", "{}")}, "-", true},
		{[]string{call(0, "del", ""), call(0, "ete_every", ""), call(0, "thing", "{")}, "- - -", true},
		{[]string{call(0, "del", ""), call(0, "ay", ""), call(0, "", "{")}, "- 01 2 -", false},
		{[]string{call(0, "delete", ""), call(0, "", "{"), call(0, "", "}")}, "- 01 2 -", false},
		{[]string{call(0, "look", "{}"), call(1, "delete_everything", "")}, "0 -", true},
		{[]string{call(0, "look", "{}"), call(0, "delete_everything", "")}, "0 -", true},
		{[]string{call(0, "delete", "{}"), finish}, "- 01 -", false},
	} {
		if came, hit := steps(t, g.Stream(w, rt), c.events); came != c.came || (hit != nil) != c.hit {
			t.Errorf("%s: %s, hit %+v; want %s, %v", c.events, came, hit, c.came, c.hit)
		}
	}
}

func TestToolsByFeature(t *testing.T) {
	for _, c := range []struct {
		where, event string
		hit          correction.Features
	}{
		{"/v1/responses", `{"type":"response.output_item.added","item":{"type":"web_search_call"}}`, correction.WebSearch},
		{"/v1/responses", `{"type":"response.output_item.added","item":{"type":"mcp_approval_request","name":"n"}}`, correction.MCP},
		{"/v1/responses", `{"type":"response.web_search_call.searching"}`, correction.WebSearch},
		{"/v1/responses", `{"type":"response.output_item.added","item":{"type":"hologram_call"}}`, correction.ComputerUse},
		{"/v1/responses", `{"type":"response.output_item.added","item":{"type":"hologram"}}`, correction.MCP},
		{"/v1/responses", `{"type":"response.output_item.added","item":{"type":"message"}}`, 0},
		{"/v1/messages", `{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"bash_code_execution","input":{}}}`, correction.CodeExecution},
		{"/v1/messages", `{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"hologram","input":{}}}`, correction.FileSearch},
		{"/v1/messages", `{"type":"content_block_start","content_block":{"type":"tool_use","name":"computer","input":{}}}`, correction.ComputerUse},
		{"/v1/messages", `{"type":"content_block_start","content_block":{"type":"hologram"}}`, correction.WebSearch},
		{"/v1/messages", `{"type":"content_block_start","content_block":{"type":"thinking","thinking":""}}`, 0},
		{"/v1beta/models/m:streamGenerateContent?alt=sse", `{"candidates":[{"groundingMetadata":{"webSearchQueries":["q"]}}]}`, correction.WebSearch},
		{"/v1beta/models/m:streamGenerateContent?alt=sse", `{"candidates":[{"content":{"parts":[{"function_call":{"name":"f","args":{}}}]}}]}`, correction.FunctionTools},
		{"/v1beta/models/m:streamGenerateContent?alt=sse", `{"candidates":[{"groundingMetadata":{}}]}`, 0},
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"type":"hologram","name":"x"}]}}]}`, correction.MCP},
	} {
		w, rt := target(t, c.where)
		for _, f := range []correction.Features{c.hit, correction.Tools} {
			if f == 0 {
				continue
			}
			s := guard(t, Rule{ID: "r", Tools: f}).Stream(w, rt)
			out, hit := s.Write([]byte("data: " + c.event + "\n\n"))
			if want := c.hit != 0; (hit != nil) != want || want == (len(out) > 0) {
				t.Errorf("%s: %b: %q, hit %+v", c.event, f, out, hit)
			}
		}
	}
	w, rt := target(t, "/v1/messages")
	s := guard(t, Rule{ID: "r", ToolNames: []string{"web_search_20250305"}}).Stream(w, rt)
	if _, hit := s.Write([]byte("data: " + `{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"web_search"}}` + "\n\n")); hit == nil {
		t.Error("a provider's tool is not known by its dated type")
	}
}

func TestMoreThanCanBeHeld(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	s := guard(t, Rule{ID: "r", Set: literals(t, "forbidden")}).Stream(w, rt)
	if out, hit := s.Write([]byte(chat("a forb")[0])); len(out) > 0 || hit != nil {
		t.Fatalf("%q, %+v", out, hit)
	}
	comment := []byte(": " + strings.Repeat("x", 1000) + "\n\n")
	for i := 0; ; i++ {
		out, hit := s.Write(comment)
		if len(out) > 0 || i > 2000 {
			t.Fatalf("%d bytes came out", len(out))
		}
		if hit != nil {
			if hit.Cause != TooMuch || i < 1000 {
				t.Errorf("after %d: %+v", i, hit)
			}
			return
		}
	}
}

func TestRules(t *testing.T) {
	if g, err := New(nil); g != nil || err != nil {
		t.Error("no rules make no guard")
	}
	for _, r := range []Rule{{ID: "empty"}, {ID: "t", Classifier: scorer(nil), Threshold: 1.5}, {ID: "t", Classifier: scorer(nil), Threshold: math.NaN()}} {
		if _, err := New([]Rule{r}); err == nil || !strings.Contains(err.Error(), r.ID) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	var g *Guard
	w, rt := target(t, "/v1/chat/completions")
	s := g.Stream(w, rt)
	if out, hit := s.Write([]byte("anything")); string(out) != "anything" || hit != nil || s.Waiting() {
		t.Error("no guard forbids something")
	}
	if out, hit := g.Input(context.Background(), w, rt, []byte("x")); string(out) != "x" || hit != nil {
		t.Error("no guard forbids something")
	}
}

type scorer func(text string) (float64, error)

func (f scorer) Score(_ context.Context, text string) (float64, error) { return f(text) }

func TestEndOfText(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	set, err := detect.Compile(detect.Spec{Regexps: []string{`\bbad\b`}})
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, Rule{ID: "r", Set: set})
	for _, c := range []struct {
		events []string
		came   string
		hit    bool
	}{
		{chat("not ", "bad"), "0 - -", true},
		{chat("not ", "bad", "ly"), "0 - 12 -", false},
		{append(chat("not ", "bad"), finish), "0 - -", true},
		{chat("reasoning:bad", "well "), "- -", true},
	} {
		if came, hit := steps(t, g.Stream(w, rt), c.events); came != c.came || (hit != nil) != c.hit {
			t.Errorf("%s: %s, hit %+v; want %s, %v", c.events, came, hit, c.came, c.hit)
		}
	}
}

func TestOneRuleOfSeveral(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	g := guard(t, Rule{ID: "a", Set: literals(t, "secret"), Action: Redact}, Rule{ID: "b", Set: literals(t, "forbidden"), Action: Reroute})
	s := g.Stream(w, rt)
	var sent strings.Builder
	var hit *Hit
	for _, e := range chat("a sec", "ret and ", "a forb", "idden word") {
		var out []byte
		out, hit = s.Write([]byte(e))
		sent.Write(out)
	}
	if hit == nil || hit.ID != "b" || hit.Action != Reroute || hit.Kind != wire.PieceText {
		t.Errorf("hit %+v", hit)
	}
	if got := client(frame(rt, sent.String())).running["0 content0"]; got != "a "+Marker+" and " {
		t.Errorf("%q", got)
	}
}

// Beside its tokens a text is not redacted: they would tell it.
func TestTextIsNotRedactedBesideItsTokens(t *testing.T) {
	for _, c := range []struct{ where, data string }{
		{"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"content":"forbidden"},"logprobs":{"content":[{"token":"\\xff","bytes":[102,111]}]}}]}`},
		{"/v1/responses", `{"type":"response.output_text.done","output_index":0,"text":"forbidden","logprobs":[{"token":"f"}]}`},
	} {
		w, rt := target(t, c.where)
		s := guard(t, Rule{ID: "r", Set: literals(t, "forbidden"), Action: Redact}).Stream(w, rt)
		out, hit := s.Write([]byte("data: " + c.data + "\n\n"))
		more, last := s.End()
		if last == nil || len(out)+len(more) > 0 || hit != nil && hit != last {
			t.Errorf("%s: %s%s, hit %+v", c.data, out, more, last)
		}
	}
}

func TestWhichTextsContinue(t *testing.T) {
	gemini := "/v1beta/models/m:streamGenerateContent?alt=sse"
	for _, c := range []struct {
		where, first, second string
		one                  bool // they are one text
	}{
		{gemini, `{"candidates":[{"content":{"parts":[{"text":"forb"}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"idden"}]}}]}`, true},
		{gemini, `{"candidates":[{"content":{"parts":[{"text":"forb","thought":true}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"idden"}]}}]}`, false},
		{gemini, `{"candidates":[{"index":1,"content":{"parts":[{"text":"forb"}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"idden"}]},"index":0}]}`, false},
		{gemini, `{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"stringValue":"forb"}]}}]}}]}`, `{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"stringValue":"idden"}]}}]}}]}`, true},
		{"/v1/responses", `{"type":"response.new_thing.delta","chunk":"forb"}`, `{"type":"response.new_thing.delta","chunk":"idden"}`, true},
		{"/v1/responses", `{"delta":{"new":"forb"},"type":"response.new_thing.delta"}`, `{"type":"response.new_thing.delta","delta":{"new":"idden"}}`, true},
		{"/v1/responses", `{"type":"response.output_text.delta","output_index":0,"item_id":"a","delta":"forb"}`, `{"item_id":"b","delta":"idden","output_index":0,"type":"response.output_text.delta"}`, true},
		{"/v1/responses", `{"type":"response.output_text.delta","output_index":0,"delta":"forb"}`, `{"type":"response.output_text.delta","output_index":1,"delta":"idden"}`, false},
		{"/v1/responses", `{"type":"response.output_text.delta","output_index":0,"delta":"forb"}`, `{"type":"response.refusal.delta","output_index":0,"delta":"idden"}`, false},
		{"/v1/messages", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"forb"}}`, `{"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"idden"}}`, true},
		{"/v1/messages", `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"forb"}}`, `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"idden"},"index":1}`, false},
		{"/v1/messages", `{"type":"content_block_start","index":2,"content_block":{"type":"thinking","thinking":"forb"}}`, `{"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"idden"}}`, true},
		{"/v1/messages", `{"type":"content_block_delta","index":2,"delta":{"type":"new_delta","new":"forb"}}`, `{"type":"content_block_delta","index":2,"delta":{"type":"new_delta","new":"idden"}}`, true},
		{"/v1/chat/completions", `{"choices":[{"delta":{"new":{"deep":["forb"]}},"index":2}]}`, `{"choices":[{"index":2,"delta":{"new":{"deep":["idden"]}}}]}`, true},
		{"/v1/chat/completions", `{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"forb"},"index":1}]}}]}`, `{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"idden"}}]}}]}`, true},
		{"/v1/chat/completions", `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"forb"}}]}}]}`, `{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"idden"}}]}}]}`, false},
		{"/v1/chat/completions", `{"choices":[{"delta":{"reasoning":"forb"}}]}`, `{"choices":[{"delta":{"content":"idden"}}]}`, false},
	} {
		w, rt := target(t, c.where)
		first, second := "data: "+c.first+"\n\n", "data: "+c.second+"\n\n"
		s := guard(t, Rule{ID: "r", Set: literals(t, "forbidden")}).Stream(w, rt)
		sent, hit := s.Write([]byte(first))
		sent = append([]byte(nil), sent...)
		if hit != nil || len(sent) > 0 {
			t.Errorf("%s: %q, hit %+v", first, sent, hit)
		}
		out, hit := s.Write([]byte(second))
		sent = append(sent, out...)
		if hit == nil {
			out, hit = s.End()
			sent = append(sent, out...)
		}
		if (hit != nil) != c.one || !c.one && string(sent) != first+second || c.one && len(sent) > 0 {
			t.Errorf("%s%s: %q, hit %+v", first, second, sent, hit)
		}
	}
}
