package wires

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"andon/wire"
)

// read matches a route and reads a body as it.
func read(t *testing.T, target, body string, header func(string) string) (wire.Wire, wire.Route, *wire.Envelope, error) {
	t.Helper()
	method, target, _ := strings.Cut(target, " ")
	path, query, _ := strings.Cut(target, "?")
	w, rt, ok := Match(method, path, query, header)
	if !ok {
		t.Fatalf("%s %s is not known", method, target)
	}
	e := new(wire.Envelope)
	return w, rt, e, w.Read(rt, []byte(body), e)
}

func TestAccountBodies(t *testing.T) {
	anthropic := headers("anthropic-version", "2023-06-01")
	for _, c := range []struct {
		target, body string
		header       func(string) string
		model        string
		stream       bool
		others       []string
	}{
		{"POST /v1/images/generations", `{"prompt":"a","model":"img-1","stream":true,"n":3,"future":{"Model":1}}`, nil, "img-1", true, nil},
		{"POST /v1/images/generations", `{"prompt":"a"}`, nil, "", false, nil},
		{"POST /v1/audio/speech", `{"model":"tts-1","input":"x","voice":"y","stream_format":"sse"}`, nil, "tts-1", true, nil},
		{"POST /v1/moderations", `{"input":"x","model":null}`, nil, "", false, nil},
		{"POST /v1/batches", `{"input_file_id":"f","endpoint":"/v1/chat/completions","completion_window":"24h"}`, nil, "", false, nil},
		{"POST /v1/fine_tuning/jobs", `{"model":"m-1","training_file":"f","method":{"reinforcement":{"grader":{"model":"judge"}}}}`, nil, "m-1", false, []string{"judge"}},
		{"POST /v1/realtime/client_secrets", `{"session":{"type":"realtime","audio":{"input":{"transcription":{"model":"w-1"}}},"model":"r-1"}}`, nil, "r-1", false, []string{"w-1"}},
		{"POST /v1/threads/runs", `{"assistant_id":"a","stream":true,"thread":{"messages":[]}}`, nil, "", true, nil},
		{"POST /v1/evals/e/runs", `{"data_source":{"type":"completions","model":"m-1"},"metadata":{"Model":"any"}}`, nil, "", false, []string{"m-1"}},
		{"POST /v1/threads", ``, nil, "", false, nil},
		{"POST /v1/threads", `{"messages":[{"content":{"Model":1,"MODEL":2}}],"metadata":{"model":"x"}}`, nil, "", false, nil},
		{"POST /v1/batches/b/cancel", ``, nil, "", false, nil},
		{"POST /v1/batches/b/cancel", `{}`, nil, "", false, nil},
		{"GET /v1/responses/r", ``, nil, "", false, nil},
		{"GET /v1/responses/r?stream=true", ``, nil, "", true, nil},
		{"DELETE /v1/models/ft:m", ``, nil, "ft:m", false, nil},
		{"GET /v1/realtime?model=r-1", ``, nil, "r-1", false, nil},
		{"POST /v1/responses/input_tokens", `{"model":"m-1","input":"x"}`, nil, "m-1", false, nil},
		{"POST /v1/responses/compact", `{"model":"m-1","input":"x"}`, nil, "m-1", false, nil},
		{"POST /openai/deployments/dep/chat/completions", `{"messages":[]}`, nil, "dep", false, nil},
		{"POST /openai/deployments/dep/chat/completions", `{"messages":[],"model":"dep"}`, nil, "dep", false, nil},
		{"POST /openai/deployments/dep/images/generations", `{"prompt":"x"}`, nil, "dep", false, nil},
		{"POST /v1/complete", `{"model":"c-1","prompt":"x","max_tokens_to_sample":5,"stream":true}`, anthropic, "c-1", true, nil},
		{"POST /v1/agents", `{"name":"a","model":{"id":"c-1","speed":"fast"}}`, anthropic, "c-1", false, nil},
		{"POST /v1/sessions", `{"agent":{"id":"a","overrides":{"model":"c-1"}}}`, anthropic, "", false, []string{"c-1"}},
		{"POST /v1beta/cachedContents", `{"model":"models/g-1","contents":[{"parts":[]}]}`, nil, "g-1", false, nil},
		{"POST /v1beta/tunedModels", `{"base_model":"models/g-1","tuningTask":{}}`, nil, "g-1", false, nil},
		{"POST /v1beta/interactions", `{"model":"g-1","input":"x","stream":true}`, nil, "g-1", true, nil},
		{"POST /v1beta/models/g-1:batchGenerateContent", `{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"model":"models/g-1"}}]}}}}`, nil, "g-1", false, nil},
		{"POST /v1beta/batches/b:cancel", `{}`, nil, "", false, nil},
		{"POST /upload/v1beta/files", "\x89PNG", nil, "", false, nil},
	} {
		w, _, e, err := read(t, c.target, c.body, c.header)
		if err != nil || e.Model != c.model || e.Stream != c.stream || !slices.Equal(e.Others, c.others) {
			t.Errorf("%s %s: model %q, stream %v, others %q, %v", c.target, c.body, e.Model, e.Stream, e.Others, err)
			continue
		}
		if e.ModelAt.End == 0 {
			continue
		}
		_, rt, _, _ := read(t, c.target, c.body, c.header)
		out, err := wire.Rewrite(nil, []byte(c.body), e, &wire.Change{Model: "another", Temperature: -1})
		if err != nil {
			t.Errorf("%s: rewrite: %v", c.target, err)
			continue
		}
		rt.Model = "another" // where the path names it, that is rewritten, too
		var again wire.Envelope
		if err := w.Read(rt, out, &again); err != nil || again.Model != "another" {
			t.Errorf("%s rewritten is %s: %q, %v", c.target, out, again.Model, err)
		}
	}
	_, _, e, _ := read(t, "POST /v1/batches", `{"input_file_id":"f-1","endpoint":"/v1/responses"}`, nil)
	if e.InputFile != "f-1" || e.Endpoint != "/v1/responses" {
		t.Errorf("%+v", e)
	}
	_, _, e, _ = read(t, "POST /v1/uploads", `{"purpose":"batch"}`, nil)
	if e.Purpose != "batch" {
		t.Errorf("%+v", e)
	}
}

func TestHostileAccountBodies(t *testing.T) {
	for _, c := range []string{
		`POST /v1/images/generations {"model":"a","model":"b"}`,
		`POST /v1/images/generations {"model":"a","mod\u0065l":"b"}`,
		`POST /v1/images/generations {"model":"a","Model":"b"}`,
		`POST /v1/images/generations {"model":["a"]}`,
		`POST /v1/images/generations {"model":""}`,
		`POST /v1/images/generations {"prompt":"x","Stream":true}`,
		`POST /v1/images/generations [{"model":"a"}]`,
		`POST /v1/images/generations {"model":"a"}{}`,
		`POST /v1/images/generations null`,
		`POST /v1/audio/speech {"input":"x"}`,
		`POST /v1/audio/speech `,
		`POST /v1/uploads {"purpose":"vision","Purpose":"batch"}`,
		`POST /v1/batches {"input_file_id":"f","Input_File_Id":"g"}`,
		`POST /v1/batches/b/cancel {"model":"x"}`,
		`POST /v1/fine_tuning/jobs {"model":"a","method":{"grader":{"Model":"b"}}}`,
		`POST /v1/realtime/client_secrets {"session":{"model":"a","MODEL":"b"}}`,
		`POST /v1/realtime/client_secrets {"session":{"model":"a"},"Session":{"model":"b"}}`,
		`POST /openai/deployments/dep/chat/completions {"model":"other","messages":[]}`,
		`POST /v1beta/tunedModels {"base_model":"models/a","baseModel":"models/b"}`,
		`POST /v1beta/tunedModels {"base_model":"models/a","Base_Model":"models/b"}`,
		`POST /v1beta/cachedContents {"contents":[]}`,
		`POST /v1beta/models/g-1:batchGenerateContent {"batch":{"inputConfig":{"requests":{"requests":[{"request":{"model":"models/g-2"}}]}}}}`,
		`POST /v1beta/models/g-1:batchGenerateContent {"batch":{"model":"models/g-2"}}`,
		`POST /v1/files {"purpose":"batch"}`,
	} {
		parts := strings.SplitN(c, " ", 3)
		_, _, e, err := read(t, parts[0]+" "+parts[1], parts[2], nil)
		if p := wire.AsProblem(err); p == nil || p.Status < 400 || p.Status > 415 {
			t.Errorf("%s is taken, as %q (%v)", c, e.Model, err)
		}
	}
}

// batch collects what BatchLines hands on: name, route and model of each.
func batch(w wire.Wire, rt wire.Route, data string) (got []string, err error) {
	err = wire.BatchLines(w, rt, []byte(data), func(l wire.Line, e *wire.Envelope) error {
		var again wire.Envelope
		if err := w.Read(l.Route, []byte(data[l.Body.Start:l.Body.End]), &again); err != nil || again.Model != e.Model {
			return errors.New("the region is not the body")
		}
		got = append(got, l.ID+" "+l.Route.API+" "+e.Model)
		return nil
	})
	return got, err
}

func TestBatchLines(t *testing.T) {
	openai, anthropic, gemini := ByName("openai"), ByName("anthropic"), ByName("gemini")
	_, files, _ := Match("POST", "/v1/files", "", nil)
	_, batches, _ := Match("POST", "/v1/messages/batches", "", nil)
	_, inline, _ := Match("POST", "/v1beta/models/g-1:batchGenerateContent", "", nil)
	keyed := inline
	keyed.Body = wire.BodyAny
	for _, c := range []struct {
		w    wire.Wire
		rt   wire.Route
		data string
		want string // or the error
	}{
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}` + "\n" +
			`{"custom_id":"b","method":"POST","url":"/v1/embeddings","body":{"model":"e","input":"x"}}` + "\r\n\n", "a openai.chat m|b openai.embeddings e"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":"m","input":"x"}}`, "a openai.responses m"},
		{openai, files, "", "no requests"},
		{openai, files, "\n{}", "line 1: the line is empty"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"},"body":{"model":"n"}}`, "line 1: this member is given twice"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"},"Body":{"model":"n"}}`, "line 1: "},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","model":"n"}}`, "line 1: this member is given twice"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1//chat/completions","body":{"model":"m"}}`, "line 1: this method and url"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/files","body":{}}`, "line 1: this method and url"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions"}`, "line 1: the body is empty"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","stream":true}}`, "line 1: a request of a batch"},
		{openai, files, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}` + "\n" + `{"broken`, "line 2: "},
		{openai, files, "\ufeff" + `{"custom_id":"a"}`, "line 1: a byte order mark"},
		{anthropic, batches, `{"requests":[{"custom_id":"a","params":{"model":"c","max_tokens":1,"messages":[]}},{"custom_id":"b","params":{"model":"d","max_tokens":1,"messages":[]}}]}`,
			"a anthropic.messages c|b anthropic.messages d"},
		{anthropic, batches, `{"requests":[{"custom_id":"a","params":{"model":"c"}},{"custom_id":"b","params":{"max_tokens":1}}]}`, "line 2: "},
		{anthropic, batches, `{"requests":[{"custom_id":"a","params":{"model":"c"}}],"Requests":[]}`, "differs from requests"},
		{anthropic, batches, `{"requests":[{"custom_id":"a","params":{"model":"c"},"Params":{"model":"d"}}]}`, "line 1: "},
		{anthropic, batches, `{"requests":[]}`, "no requests"},
		{gemini, inline, `{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"contents":[]},"metadata":{"key":"k"}}]}}}}`, " gemini.generateContent g-1"},
		{gemini, inline, `{"batch":{"input_config":{"requests":{"requests":[{"request":{"model":"models/g-2"}}]}}}}`, "line 1: the model must be"},
		{gemini, inline, `{"batch":{"model":"models/g-1","displayName":"d","inputConfig":{"requests":{"requests":[{"request":{"contents":[]}}]}}}}`, " gemini.generateContent g-1"},
		{gemini, inline, `{"batch":{"inputConfig":{"requests":{"Requests":[{"request":{"contents":[]}}]}}}}`, "differs from requests"},
		{gemini, inline, `{"batch":{"inputConfig":{"fileName":"files/f"}}}`, ""},
		{gemini, inline, `{"batch":{}}`, "no requests"},
		{gemini, keyed, `{"key":"k","request":{"contents":[]}}` + "\n", "k gemini.generateContent g-1"},
	} {
		got, err := batch(c.w, c.rt, c.data)
		if err == nil && strings.Join(got, "|") == c.want {
			continue
		}
		if p := wire.AsProblem(err); p == nil || !strings.Contains(p.Detail, c.want) || c.want == "" {
			t.Errorf("%s\ngot  %q, %v\nwant %s", c.data, got, err, c.want)
		}
	}
	stop := errors.New("stop")
	n := 0
	err := wire.BatchLines(anthropic, batches, []byte(`{"requests":[{"params":{"model":"c"}},{"params":{"model":"c"}}]}`), func(wire.Line, *wire.Envelope) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

func FuzzBatchLines(f *testing.F) {
	f.Add(`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}` + "\n")
	f.Add(`{"requests":[{"custom_id":"a","params":{"model":"c","max_tokens":1,"messages":[]}}]}`)
	f.Add(`{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"contents":[]}}]}}}}`)
	_, inline, _ := Match("POST", "/v1beta/models/g-1:batchGenerateContent", "", nil)
	f.Fuzz(func(t *testing.T, data string) {
		for _, w := range All {
			if _, err := batch(w, inline, data); err != nil && wire.AsProblem(err) == nil {
				t.Errorf("%s: %q: %v", w.Name(), data, err)
			}
		}
	})
}

// Nothing is set aside to know a route, but for a model that is escaped.
func TestMatchDoesNotAllocate(t *testing.T) {
	for _, target := range []string{"POST /v1/chat/completions", "POST /v1/responses", "POST /v1/embeddings", "GET /v1/responses/r_1", "POST /v1/messages",
		"POST /v1beta/models/m:generateContent", "POST /openai/deployments/d/chat/completions", "POST /v1/nothing/at/all"} {
		method, path, _ := strings.Cut(target, " ")
		if n := testing.AllocsPerRun(100, func() { Match(method, path, "", nil) }); n > 0 {
			t.Errorf("%s: %v allocations", target, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent", "/v1/vector_stores/v/file_batches/b/cancel"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				Match("POST", path, "", nil)
			}
		})
	}
}
