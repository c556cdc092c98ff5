package filter

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestInput(t *testing.T) {
	ctx := context.Background()
	block := guard(t, Rule{ID: "b", Set: literals(t, "forbidden")})
	redact := guard(t, Rule{ID: "r", Set: literals(t, "forbidden"), Action: Redact})
	for _, c := range []struct {
		where, body, redacted string // redacted "": cannot be; the same as body: nothing is found
	}{
		{"/v1/chat/completions", `{"model":"m", "messages":[{"role":"user","content":"is forbidden <x>"}]}`, `{"model":"m", "messages":[{"role":"user","content":"is [removed] \u003cx\u003e"}]}`},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"text","text":"a forb"},{"type":"text","text":"idden b"}]}]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"a [removed]"},{"type":"text","text":" b"}]}]}`},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"forb"},{"role":"user","content":"idden"}]}`, `{"messages":[{"role":"user","content":"forb"},{"role":"user","content":"idden"}]}`},
		{"/v1/chat/completions", `{"messages":[],"tools":[{"type":"function","function":{"name":"n","description":"forbidden"}}]}`, ``},
		{"/v1/chat/completions", `{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"n","arguments":"forbidden"}}]}]}`, ``},
		{"/v1/chat/completions", `{"model":"forbidden","messages":[{"role":"forbidden","content":"ok"}],"user":"forbidden"}`, `{"model":"forbidden","messages":[{"role":"forbidden","content":"ok"}],"user":"forbidden"}`},
		{"/v1/responses", `{"input":"f\u006frbidden","instructions":"forbidden"}`, `{"input":"[removed]","instructions":"[removed]"}`},
		{"/v1/completions", `{"prompt":["so forbidden",[1,2]]}`, ``},
		{"/v1/messages", `{"system":"forbidden","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"forbidden"}]}]}`, `{"system":"[removed]","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"[removed]"}]}]}`},
		{"/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"forbidden"}]}],"systemInstruction":{"parts":{"text":"forbidden"}}}`, `{"contents":[{"parts":[{"text":"[removed]"}]}],"systemInstruction":{"parts":{"text":"[removed]"}}}`},
		{"/v1/messages", `{"messages":[`, ``},
		{"/v1/messages", ``, ``},
	} {
		w, rt := target(t, c.where)
		out, hit := redact.Input(ctx, w, rt, []byte(c.body))
		if string(out) != c.redacted || (hit != nil) != (c.redacted == "" && c.body != "") {
			t.Errorf("%s:\ngot  %s, hit %+v\nwant %s", c.body, out, hit, c.redacted)
		}
		if hit == nil && c.body != "" && !json.Valid(out) {
			t.Errorf("%s is no JSON", out)
		}
		out, hit = block.Input(ctx, w, rt, []byte(c.body))
		if (hit != nil) != (c.redacted != c.body) || hit == nil && string(out) != c.body {
			t.Errorf("%s: %s, hit %+v", c.body, out, hit)
		}
	}
}

func TestAnswersLineByLine(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct{ where, line, call string }{
		{"/v1/responses", `{"id":"b","custom_id":"1","response":{"status_code":200,"body":{"choices":[{"index":0,"message":{"content":"X"}}]}},"error":null}`,
			`{"custom_id":"2","response":{"body":{"choices":[{"index":0,"message":{"tool_calls":[{"function":{"name":"n","arguments":"{}"}}]}}]}}}`},
		{"/v1/messages", `{"custom_id":"1","result":{"type":"succeeded","message":{"content":[{"type":"text","text":"X"}]}}}`,
			`{"custom_id":"2","result":{"type":"succeeded","message":{"content":[{"type":"tool_use","name":"n","input":{}}]}}}`},
		{"/v1beta/models/m:generateContent", `{"key":"1","response":{"candidates":[{"content":{"parts":[{"text":"X"}]}}]}}`,
			`{"key":"2","response":{"candidates":[{"content":{"parts":[{"functionCall":{"name":"n","args":{}}}]}}]}}`},
	} {
		w, rt := target(t, c.where)
		lines := func(says ...string) string {
			var b strings.Builder
			for _, s := range says {
				b.WriteString(strings.ReplaceAll(c.line, "X", s) + "\r\n")
			}
			return b.String() + c.call + "\n"
		}
		body := lines("well", "forbidden", "and well")
		redact := guard(t, Rule{ID: "r", Set: literals(t, "forbidden"), Action: Redact})
		if out, hit := redact.Plain(ctx, w, rt, []byte(body)); hit != nil || string(out) != lines("well", Marker, "and well") {
			t.Errorf("%s\n%s, hit %+v", body, out, hit)
		}
		for _, r := range []Rule{{ID: "b", Set: literals(t, "forbidden")}, {ID: "t", ToolNames: []string{"n"}}} {
			if out, hit := guard(t, r).Plain(ctx, w, rt, []byte(body)); hit == nil || out != nil {
				t.Errorf("%s: %s", r.ID, out)
			}
		}
		if out, hit := redact.Plain(ctx, w, rt, []byte(body+"{")); hit == nil || out != nil {
			t.Errorf("a line that cannot be read: %s", out)
		}
	}
}

func TestInputIsJudgedOnce(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	body := []byte(`{"messages":[{"role":"system","content":"Be brief. Be kind."},{"role":"user","content":[{"type":"text","text":"is it for"},{"type":"text","text":"bidden?"}]}]}`)
	a := &asked{}
	g := guard(t, Rule{ID: "c", Classifier: a})
	if out, hit := g.Input(context.Background(), w, rt, body); out != nil || hit == nil || hit.Cause != Score || len(a.texts) != 1 || a.texts[0] != "Be brief. Be kind.\nis it forbidden?" {
		t.Errorf("%s, hit %+v, asked %q", out, hit, a.texts)
	}
	a.err = errors.New("down")
	if _, hit := g.Input(context.Background(), w, rt, body); hit == nil || hit.Cause != Failed || hit.Err != a.err {
		t.Errorf("hit %+v", hit)
	}
}

func TestRecordedAnswers(t *testing.T) {
	n, found := 0, 0
	for _, r := range answers(t) {
		w, rt := r.w, r.rt
		ctx := context.Background()
		body := r.events[0]
		g := guard(t, Rule{ID: "near", Set: near(t)}, Rule{ID: "r", Set: near(t), Action: Redact}, Rule{ID: "t", ToolNames: []string{"no"}})
		if out, hit := g.Plain(ctx, w, rt, []byte(body)); hit != nil || string(out) != body {
			t.Errorf("%s: hit %+v", r.name, hit)
		}
		n++
		// Each longer string in it, by itself.
		var v any
		json.Unmarshal([]byte(body), &v)
		strs(v, func(name, s string) {
			if len(s) < 20 || name == "id" || strings.Contains(name, "encrypted") || strings.Contains(name, "signature") || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_at") || name == "data" || name == "thoughtSignature" || name == "fingerprint" || name == "" {
				return
			}
			word := strings.ToValidUTF8(s[3:min(len(s), 60)], "")
			out, hit := guard(t, Rule{ID: "w", Set: literals(t, word), Action: Redact}).Plain(ctx, w, rt, []byte(body))
			if hit != nil {
				found++
				return
			}
			var got any
			if err := json.Unmarshal(out, &got); err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
			if string(out) != body {
				found++
				strs(got, func(_, s string) {
					if strings.Contains(s, word) && !strings.Contains(body, `"tools":[{`) {
						t.Errorf("%s: %q came through", r.name, word)
					}
				})
			}
		})
	}
	t.Logf("%d answers, %d texts in them", n, found)
	if n < 40 || found < 200 {
		t.Error("too few")
	}
}
