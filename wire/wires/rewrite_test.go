package wires

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"andon/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// checkRewrite rewrites body and reads it again: the envelope must be the same
// but for what was asked, and so must everything else in the body.
func checkRewrite(t failer, w wire.Wire, rt wire.Route, body []byte, e *wire.Envelope, model string, limit int64) {
	t.Helper()
	was := fromEnvelope(body, e)
	out, err := wire.Rewrite(nil, body, e, &wire.Change{Model: model, OutputTokens: limit, Temperature: -1})
	if errors.Is(err, wire.ErrNoBound) {
		if limit == 0 || e.InsertKey != "" || e.MaxNull.End > 0 || len(e.MaxAt) > 0 {
			t.Fatalf("%s: no place for a bound in %s", rt.API, body)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v in %s", rt.API, err, body)
	}
	if model == "" && limit == 0 && string(out) != string(body) {
		t.Fatalf("nothing was asked, and %s became %s", body, out)
	}
	if model != "" {
		rt.Model = model
	}
	var again wire.Envelope
	if err := w.Read(rt, out, &again); err != nil {
		t.Fatalf("%s: %s became %s: %v", rt.API, body, out, err)
	}
	now := fromEnvelope(out, &again)
	want := was
	if model != "" {
		want.Model = model
	}
	if limit > 0 {
		want.Max, want.Maxs = 0, nil
		for _, m := range was.Maxs {
			var v int64
			fmt.Sscan(m, &v)
			if v == 0 && e.Boundless {
				v = limit
			}
			v = min(v, limit)
			want.Max = max(want.Max, v)
			want.Maxs = append(want.Maxs, fmt.Sprint(v))
		}
		if e.InsertKey != "" || e.MaxNull.End > 0 {
			want.Max = max(want.Max, limit)
			want.Maxs = append(want.Maxs, fmt.Sprint(limit))
		}
		slices.Sort(want.Maxs)
	}
	if now.String() != want.String() || string(again.First) != string(e.First) || again.Choices != e.Choices {
		t.Fatalf("%s: %s became %s\ngot  %s\nwant %s", rt.API, body, out, now, want)
	}
	if a, b := rest(t, body), rest(t, out); a != b {
		t.Fatalf("%s: %s became %s: other members are not the same", rt.API, body, out)
	}
}

// rest is a body without the members that Rewrite may touch, canonical.
func rest(t failer, body []byte) string {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	var strip func(v any) any
	strip = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, m := range v {
				switch k {
				case "model", "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens":
					delete(v, k)
					continue
				case "generationConfig", "generation_config":
					if c, ok := strip(m).(map[string]any); m == nil || ok && len(c) == 0 {
						delete(v, k)
						continue
					}
				}
				v[k] = strip(m)
			}
		case []any:
			for k := range v {
				v[k] = strip(v[k])
			}
		}
		return v
	}
	out, err := json.Marshal(strip(v), json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestRewrite(t *testing.T) {
	for _, c := range bodies {
		w, rt := target(t, c.target)
		var e wire.Envelope
		if err := w.Read(rt, []byte(c.body), &e); err != nil {
			t.Fatal(err)
		}
		for _, model := range []string{"", "other", "m \"x\"\\\n"} {
			for _, limit := range []int64{0, 1, 15, 1 << 40} {
				checkRewrite(t, w, rt, []byte(c.body), &e, model, limit)
			}
		}
	}
}

func TestRewriteByteForByte(t *testing.T) {
	for _, c := range []struct {
		target, body, model string
		limit               int64
		want                string
	}{
		{"/v1/chat/completions", `{ "stream" : true, "model":"a" , "max_tokens": 900,"x":"\u00e9" }`, "b", 100, `{ "stream" : true, "model":"b" , "max_tokens": 100,"x":"\u00e9" }`},
		{"/v1/chat/completions", `{"model":"a"}`, "", 5, `{"max_completion_tokens":5,"model":"a"}`},
		{"/v1/chat/completions", `{"max_completion_tokens": 3,"model":"a","max_tokens":9}`, "b", 5, `{"max_completion_tokens": 3,"model":"b","max_tokens":5}`},
		{"/v1/chat/completions", `{"max_tokens":0,"model":"a","max_completion_tokens":3}`, "", 5, `{"max_tokens":5,"model":"a","max_completion_tokens":3}`},
		{"/v1beta/models/m:generateContent", `{"generationConfig":{"max_output_tokens":0}}`, "", 5, `{"generationConfig":{"max_output_tokens":5}}`},
		{"/v1/messages", `{"model":"a","max_tokens":0}`, "", 5, `{"model":"a","max_tokens":0}`},
		{"/v1/chat/completions", `{"max_tokens": null,"model":"a"}`, "b", 5, `{"max_tokens": 5,"model":"b"}`},
		{"/v1/messages", `{"model":"a","fallbacks":[{"model":"f","max_tokens":9}]}`, "", 5, `{"max_tokens":5,"model":"a","fallbacks":[{"model":"f","max_tokens":5}]}`},
		{"/v1beta/models/m:generateContent", `{}`, "b", 5, `{"generationConfig":{"maxOutputTokens":5}}`},
		{"/v1beta/models/m:generateContent", `{"contents":[]}`, "", 5, `{"generationConfig":{"maxOutputTokens":5},"contents":[]}`},
		{"/v1beta/models/m:generateContent", `{"a":1,"generation_config":null}`, "", 5, `{"a":1,"generation_config":{"maxOutputTokens":5}}`},
		{"/v1beta/models/m:generateContent", `{"generation_config":{ "temperature":1}}`, "", 5, `{"generation_config":{"maxOutputTokens":5, "temperature":1}}`},
		{"/v1beta/models/m:batchEmbedContents", `{"requests":[{"model":"models/m"},{"model":"m"}]}`, "b", 0, `{"requests":[{"model":"models/b"},{"model":"models/b"}]}`},
	} {
		w, rt := target(t, c.target)
		var e wire.Envelope
		if err := w.Read(rt, []byte(c.body), &e); err != nil {
			t.Fatal(err)
		}
		got, err := wire.Rewrite([]byte("before"), []byte(c.body), &e, &wire.Change{Model: c.model, OutputTokens: c.limit, Temperature: -1})
		if err != nil || string(got) != "before"+c.want {
			t.Errorf("%s: got %s, %v; want %s", c.body, got, err, c.want)
		}
	}
}

// Bodies of any order and spacing, with bounds present, null or absent.
func TestRewriteAnyBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]struct {
			target string
			always []string
			may    []string
		}{
			{"/v1/chat/completions", []string{`"model":"a"`}, []string{`"max_tokens":%d`, `"max_completion_tokens":%d`, `"stream":true`, `"messages":[{"role":"user"}]`, `"x":{"max_tokens":"y"}`, `"tools":[{"type":"function","function":{"name":"f"}}]`}},
			{"/v1/responses", []string{`"model":"a"`}, []string{`"max_output_tokens":%d`, `"input":"x"`, `"max_tokens":"y"`}},
			{"/v1/completions", []string{`"model":"a"`}, []string{`"max_tokens":%d`, `"prompt":"x"`}},
			{"/v1/messages", []string{`"model":"a"`}, []string{`"max_tokens":%d`, `"fallbacks":[{"model":"f","max_tokens":%d}]`, `"messages":[]`}},
			{"/v1beta/models/m:generateContent", nil, []string{`"generationConfig":{"maxOutputTokens":%d}`, `"model":"models/m"`, `"contents":[]`}},
			{"/v1beta/models/m:generateContent", nil, []string{`"generation_config":{"topK":1, "max_output_tokens":%d}`, `"x":1`}},
			{"/v1beta/models/m:generateContent", nil, []string{`"generationConfig":{}`, `"contents":[]`}},
		}).Draw(t, "kind")
		members := slices.Clone(c.always)
		for _, m := range c.may {
			switch rapid.IntRange(0, 2).Draw(t, "take") {
			case 1:
				if strings.Contains(m, "%d") {
					m = fmt.Sprintf(m, rapid.Int64Range(0, 3000).Draw(t, "bound"))
				}
				members = append(members, m)
			case 2:
				members = append(members, strings.ReplaceAll(m, "%d", "null"))
			}
		}
		for k, m := range members {
			if strings.Contains(m, "%d") {
				members[k] = strings.ReplaceAll(m, "%d", "null")
			}
		}
		members = rapid.Permutation(members).Draw(t, "order")
		space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
		body := []byte("{" + space + strings.Join(members, space+","+space) + space + "}")
		var path, query string
		path, query, _ = strings.Cut(c.target, "?")
		w, rt, _ := Match("POST", path, query, nil)
		var e wire.Envelope
		if err := w.Read(rt, body, &e); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		checkRewrite(t, w, rt, body, &e, rapid.SampledFrom([]string{"", "b", "tuned"}).Draw(t, "model"), rapid.Int64Range(0, 4000).Draw(t, "limit"))
	})
}

// failer is what *testing.T and *rapid.T have in common here.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}
