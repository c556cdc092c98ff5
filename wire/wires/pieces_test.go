package wires

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"andon/wire"
)

// pieceTexts lists the pieces of data, and checks what holds for all pieces: that each
// is the string at its place.
func pieceTexts(t testing.TB, data []byte, pieces []wire.Piece) (texts []string) {
	for _, p := range pieces {
		switch p.Kind {
		case 0:
			t.Errorf("%s: a piece without a kind: %q", data, p.Text)
		case wire.PieceEnd, wire.PieceTool:
			continue
		case wire.PieceUnreadable:
			if len(pieces) > 1 {
				t.Errorf("%s: cannot be read, and has pieces", data)
			}
			return []string{"unreadable"}
		}
		if at := p.At; at.End > 0 {
			if at.Start < 0 || at.End > len(data) || at.End-at.Start < 2 {
				t.Fatalf("%s: a piece at %v", data, at)
			}
			if want, err := jsontext.AppendUnquote(nil, data[at.Start:at.End]); err != nil || !bytes.Equal(want, p.Text) {
				t.Errorf("%s: %q at %v, where %q is: %v", data, p.Text, at, data[at.Start:at.End], err)
			}
		} else if !p.Fixed {
			t.Errorf("%s: %q has no place, and could be rewritten", data, p.Text)
		}
		texts = append(texts, string(p.Text))
	}
	return texts
}

var generatingTargets = []string{"/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/messages", "/v1beta/models/m:streamGenerateContent?alt=sse"}

// objects makes random JSON: members of known and unknown names, and texts that
// are told apart by what they say.
func objects(t *rapid.T) (v any, texts []string) {
	names := []string{"choices", "delta", "message", "content", "text", "type", "index", "item", "output", "response", "candidates", "parts", "functionCall", "args", "tool_calls", "function",
		"arguments", "name", "input", "content_block", "thinking", "logprobs", "token", "data", "a", "b", "c", "x_new", "output_index", "action", "partial_json", "reasoning"}
	n := 0
	text := func() string {
		n++
		s := fmt.Sprintf("said %d.", n)
		texts = append(texts, s)
		return s
	}
	var value func(depth int) any
	value = func(depth int) any {
		switch k := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case depth < 5 && k < 3 || depth == 0:
			return text()
		case depth < 5 && k == 3:
			return rapid.IntRange(0, 3).Draw(t, "number")
		case depth < 5 && k == 4:
			return nil
		case depth < 5 && k < 7:
			list := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "length") {
				list = append(list, value(depth-1))
			}
			return list
		default:
			m := map[string]any{}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID[string]).Draw(t, "names") {
				if name == "type" {
					m[name] = rapid.SampledFrom([]string{"text", "message", "content_block_delta", "tool_use", "response.output_text.delta", "response.new.done", "function_call", "text_delta", "new"}).Draw(t, "type")
					continue
				}
				if name == "index" || name == "output_index" {
					m[name] = 1
					continue
				}
				m[name] = value(depth - 1)
			}
			return m
		}
	}
	return value(5), texts
}

// dropped are places where a string is left out, by intent: sound in Base64, and
// tokens, which make one piece together.
var dropped = []string{`"logprobs"`, `"data"`, `"reasoning":{"summary"`}

// Whatever the shape, no text in it is left out.
func TestNoTextIsLeftOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		where := rapid.SampledFrom(generatingTargets).Draw(t, "route")
		path, query, _ := strings.Cut(where, "?")
		w, rt, _ := Match("POST", path, query, nil)
		v, texts := objects(t)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var scratch []byte
		pieces := w.AppendPieces(nil, rt, data, &scratch)
		got := strings.Join(drawnTexts(t, data, pieces), "\n")
		for _, s := range texts {
			if !strings.Contains(got, s) && !slices.ContainsFunc(dropped, func(d string) bool { return bytes.Contains(data, []byte(d)) }) {
				t.Fatalf("%s: %s leaves %q out:\n%s", w.Name(), data, s, got)
			}
		}
	})
}

func drawnTexts(t *rapid.T, data []byte, pieces []wire.Piece) []string {
	var texts []string
	for _, p := range pieces {
		if at := p.At; at.End > 0 {
			if want, err := jsontext.AppendUnquote(nil, data[at.Start:at.End]); err != nil || !bytes.Equal(want, p.Text) {
				t.Fatalf("%s: %q at %v: %v", data, p.Text, at, err)
			}
		}
		texts = append(texts, string(p.Text))
	}
	return texts
}

func FuzzPieces(f *testing.F) {
	for _, s := range []string{`{"choices":[{"index":1,"delta":{"content":"a\u0062","tool_calls":[{"index":0,"function":{"name":"n","arguments":"{"}}]},"logprobs":{"content":[{"token":"a"}]}}]}`,
		`{"type":"response.output_text.delta","delta":"x","output_index":3}`, `{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"x"}}`,
		`{"candidates":[{"content":{"parts":[{"text":"x","thought":true},{"functionCall":{"name":"n","args":{"a":["b"]}}}]},"finishReason":"STOP"}]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:text/plain;base64,YQ=="}}]}],"tools":[{"a":"b"}]}`, `[DONE]`, `{"a":1,"a":2}`, `[{}]`} {
		f.Add([]byte(s))
	}
	var targets []struct {
		w  wire.Wire
		rt wire.Route
	}
	for _, where := range generatingTargets {
		w, rt := target(f, where)
		targets = append(targets, struct {
			w  wire.Wire
			rt wire.Route
		}{w, rt})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		for _, x := range targets {
			var scratch []byte
			pieceTexts(t, data, x.w.AppendPieces(nil, x.rt, data, &scratch))
			pieceTexts(t, data, x.w.AppendInputs(nil, x.rt, data, &scratch))
		}
		if !bytes.Equal(before, data) {
			t.Error("the data was changed")
		}
	})
}

// What the recorded events say, all of it in strings, is in the pieces: whatever
// is left out is named by the wire as no text.
func TestPiecesOfRecordedEvents(t *testing.T) {
	needRecorded(t)
	files, _ := filepath.Glob(recorded + "/vercel-ai-fixtures/*/*.chunks.txt")
	more, _ := filepath.Glob(recorded + "/vercel-ai-fixtures/*/*/*.chunks.txt")
	out := map[string]int{}
	n := 0
	for _, file := range append(files, more...) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		where := "/v1/chat/completions"
		switch {
		case strings.Contains(file, "interactions"):
			continue
		case strings.Contains(file, "anthropic"):
			where = "/v1/messages"
		case strings.Contains(file, "google"):
			where = "/v1beta/models/m:streamGenerateContent?alt=sse"
		case strings.Contains(file, "responses"), strings.Contains(file, "azure"):
			where = "/v1/responses"
		}
		w, rt := target(t, where)
		var scratch []byte
		for line := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
			var v any
			if json.Unmarshal([]byte(line), &v) != nil {
				continue
			}
			texts := map[string]bool{}
			for _, s := range pieceTexts(t, []byte(line), w.AppendPieces(nil, rt, []byte(line), &scratch)) {
				texts[s] = true
			}
			if texts["unreadable"] {
				t.Errorf("%s: cannot be read: %.80s", filepath.Base(file), line)
			}
			var walk func(path string, v any)
			walk = func(path string, v any) {
				switch v := v.(type) {
				case map[string]any:
					for name, e := range v {
						walk(path+"."+name, e)
					}
				case []any:
					for _, e := range v {
						walk(path, e)
					}
				case string:
					if v != "" && !texts[v] {
						out[path]++
					}
					n++
				}
			}
			walk("", v)
		}
	}
	t.Logf("%d strings; left out: %v", n, out)
	for path := range out {
		if !unsaid(path) {
			t.Errorf("%s is left out (%d)", path, out[path])
		}
	}
}

// unsaid are the places of what no model says, in what was recorded.
func unsaid(path string) bool {
	for _, part := range []string{".usage", ".response.tools", ".response.tool_choice", ".response.text.", ".response.reasoning.", ".response.instructions", ".item.tools", ".response.output.tools", ".response.metadata",
		".response.truncation", ".response.safety_identifier", ".response.prompt_cache", ".caller.", ".logprobs.token", ".logprobs.content.token"} {
		if strings.HasPrefix(path, part) || strings.Contains(path, part) {
			return true
		}
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	switch name {
	case "id", "type", "role", "object", "model", "status", "phase", "signature", "thoughtSignature", "encrypted_content", "encrypted_index", "encrypted_stdout", "fingerprint", "modelVersion", "createTime", "created_at", "expires_at",
		"finish_reason", "finishReason", "stop_reason", "native_finish_reason", "system_fingerprint", "service_tier", "obfuscation", "page_age", "retrieved_at", "language", "outcome", "format", "provider", "category", "probability", "detail", "severity", "media_type":
		return true
	}
	return strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "Id")
}

func TestInputs(t *testing.T) {
	for _, c := range []struct {
		where, body string
		want        []string // running texts of one message are joined; others are by themselves
	}{
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"for","cache_control":{"type":"ephemeral","ttl":"5m"}},{"type":"text","text":"bid\u0064en"}],"name":"bob"}],"user":"u"}`, []string{"be brief", "forbidden", "bob"}},
		{"/v1/chat/completions", `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"found"}],"tools":[{"type":"function","function":{"name":"g","description":"does","parameters":{"properties":{"place":{"enum":["here"]}}}}}]}`, []string{"f", "{}", "found", "g", "does", "place", "here"}},
		{"/v1/responses", `{"input":"hello","instructions":"kindly","tools":[]}`, []string{"hello", "kindly"}},
		{"/v1/responses", `{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_file","filename":"n.txt","file_data":"data:text/plain;base64,aGlkZGVu"}]},{"type":"function_call_output","call_id":"c","output":"result"}]}`, []string{"a", "n.txt", "hidden", "result"}},
		{"/v1/responses", `{"input":[{"type":"message","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}],"prompt":{"id":"p","variables":{"who":"you"}}}`, []string{"you"}},
		{"/v1/completions", `{"prompt":["one","two"],"suffix":"end","stop":["halt"]}`, []string{"one", "two", "end", "halt"}},
		{"/v1/completions", `{"prompt":[1,2,3]}`, []string{"unreadable"}},
		{"/v1/embeddings", `{"input":[[1,2]]}`, []string{"unreadable"}},
		{"/v1/messages", `{"system":[{"type":"text","text":"sys"},{"type":"text","text":"tem"}],"messages":[{"role":"user","content":[{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"plain"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}},{"type":"tool_result","tool_use_id":"x","content":[{"type":"text","text":"res"},{"type":"text","text":"ult"}]}]}]}`, []string{"system", "t", "plain", "result"}},
		{"/v1/messages", `{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"n","input":{"id":"deep"}},{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"zz"}]}]}`, []string{"n", "id", "deep", "hm"}},
		{"/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"a "},{"text":"b"},{"inlineData":{"mimeType":"text/plain","data":"aGlkZGVu"}},{"inline_data":{"mime_type":"image/png","data":"AAAA"}}]}],"system_instruction":{"parts":[{"text":"s"}]},"tools":[{"functionDeclarations":[{"name":"f"}]}]}`, []string{"a b", "hidden", "s", "f"}},
		{"/v1/messages", `{"messages":[],"mcp_servers":[{"type":"url","url":"https://x","authorization_token":"zz"}],"tools":[{"name":"n","input_schema":{"type":"object","properties":{"place":{"type":["string","null"]}}}}]}`, []string{"https://x", "n", "place"}},
		{"/v1/chat/completions", `not json`, []string{"unreadable"}},
		{"/v1/chat/completions", `{"messages":[],"messages":[]}`, []string{"unreadable"}},
		{"/v1/chat/completions", ``, nil},
	} {
		w, rt := target(t, c.where)
		var scratch []byte
		pieces := w.AppendInputs(nil, rt, []byte(c.body), &scratch)
		pieceTexts(t, []byte(c.body), pieces)
		got := map[string]bool{}
		running := map[wire.Channel]string{}
		for _, p := range pieces {
			switch {
			case p.Kind == wire.PieceUnreadable:
				got["unreadable"] = true
			case p.Whole():
				got[string(p.Text)] = true
			default:
				running[p.Channel] += string(p.Text)
			}
		}
		for _, s := range running {
			got[s] = true
		}
		for _, s := range c.want {
			if !got[s] {
				t.Errorf("%s: %q is missing in %v", c.body, s, got)
			}
		}
		if len(c.want) == 0 != (len(got) == 0) || got["bob u"] || got["AAAA"] || got["JVBERi0="] || got["zz"] || got["object"] || got["properties"] || got["null"] || got["5m"] {
			t.Errorf("%s: %v", c.body, got)
		}
	}
}
