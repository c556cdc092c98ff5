package wires

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"andon/wire"
)

func headers(list ...string) func(string) string {
	h := http.Header{}
	for i := 0; i < len(list); i += 2 {
		h.Set(list[i], list[i+1])
	}
	return h.Get
}

func TestKnownRoutes(t *testing.T) {
	anthropic := headers("anthropic-version", "2023-06-01")
	for _, c := range []struct {
		method, target string
		header         func(string) string
		api, model     string
		op             wire.Op
		stream, sse    bool
	}{
		{"GET", "/v1/chat/completions?model=m", nil, "openai.chat.stored", "", wire.OpStored, false, false},
		{"POST", "/v1/responses/resp_1/cancel", nil, "openai.responses.stored", "", wire.OpStored, false, false},
		{"GET", "/v1/responses/resp_1?stream=true", nil, "openai.responses.stored", "", wire.OpStored, true, true},
		{"GET", "/v1/responses/resp_1?stream=false", nil, "openai.responses.stored", "", wire.OpStored, false, true},
		{"GET", "/v1/realtime?model=gpt%2Drealtime", nil, "openai.realtime", "gpt-realtime", wire.OpRealtime, false, false},
		{"GET", "/v1/responses", nil, "openai.responses.socket", "", wire.OpRealtime, false, false},
		{"DELETE", "/v1/models/ft:m:acme::1", nil, "openai.models", "ft:m:acme::1", wire.OpStored, false, false},
		{"GET", "/v1/fine_tuning/checkpoints/ft%3Am%3Aacme::1/permissions", nil, "openai.fine_tuning", "ft:m:acme::1", wire.OpStored, false, false},
		{"POST", "/v1/files", nil, "openai.files", "", wire.OpFile, false, false},
		{"POST", "/v1/files", anthropic, "anthropic.files", "", wire.OpFile, false, false},
		{"POST", "/v1/images/edits", nil, "openai.images.edits", "", wire.OpImage, false, true},
		{"POST", "/openai/deployments/dep%2D1/chat/completions?api-version=2024-10-21", nil, "openai.chat", "dep-1", wire.OpGenerate, false, true},
		{"POST", "/openai/deployments/dep/audio/transcriptions?api-version=2024-10-21", nil, "openai.audio.transcriptions", "dep", wire.OpTranscribe, false, true},
		{"POST", "/openai/v1/responses?api-version=preview", nil, "openai.responses", "", wire.OpGenerate, false, true},
		{"GET", "/openai/realtime?api-version=2024-10-01-preview&deployment=d", nil, "openai.realtime", "d", wire.OpRealtime, false, false},
		{"GET", "/openai/batches/b_1?api-version=2024-10-21", nil, "openai.batches", "", wire.OpStored, false, false},
		{"POST", "/v1beta/openai/chat/completions", nil, "openai.chat", "", wire.OpGenerate, false, true},
		{"POST", "/v1/messages/batches?beta=true", nil, "anthropic.batches", "", wire.OpBatch, false, false},
		{"GET", "/v1/messages/batches/msgbatch_1/results", nil, "anthropic.batches", "", wire.OpStored, false, false},
		{"GET", "/v1/sessions/s/events/stream?beta=true", anthropic, "anthropic.sessions", "", wire.OpStored, true, true},
		{"POST", "/v1beta/models/m:batchGenerateContent", nil, "gemini.batches", "m", wire.OpBatch, false, false},
		{"POST", "/v1beta/batches/b-1:cancel", nil, "gemini.batches", "", wire.OpStored, false, false},
		{"GET", "/v1beta/files/f:download?alt=media", nil, "gemini.files", "", wire.OpStored, false, false},
		{"POST", "/upload/v1beta/files?uploadType=multipart", nil, "gemini.files", "", wire.OpFile, false, false},
		{"GET", "/v1beta/tunedModels", nil, "gemini.tunedModels", "", wire.OpStored, false, false},
		{"DELETE", "/v1beta/tunedModels/t", nil, "gemini.tunedModels", "tunedModels/t", wire.OpStored, false, false},
		{"GET", "/v1beta/models/m/operations/o", nil, "gemini.operations", "m", wire.OpStored, false, false},
		{"POST", "/v1alpha/interactions?alt=sse", nil, "gemini.interactions", "", wire.OpRun, true, true},
		{"GET", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k", nil, "gemini.live", "", wire.OpRealtime, false, false},
		{"POST", "/v1/chat/completions", nil, "openai.chat", "", wire.OpGenerate, false, true},
		{"POST", "/v1/chat/completions?api-version=1&x", nil, "openai.chat", "", wire.OpGenerate, false, true},
		{"POST", "/v1/responses", nil, "openai.responses", "", wire.OpGenerate, false, true},
		{"POST", "/v1/completions", nil, "openai.completions", "", wire.OpGenerate, false, true},
		{"POST", "/v1/embeddings", nil, "openai.embeddings", "", wire.OpEmbed, false, false},
		{"GET", "/v1/models", nil, "openai.models", "", wire.OpListModels, false, false},
		{"GET", "/v1/models", headers(), "openai.models", "", wire.OpListModels, false, false},
		{"GET", "/v1/models", anthropic, "anthropic.models", "", wire.OpListModels, false, false},
		{"GET", "/v1/models/ft:gpt-4o:acme::x", nil, "openai.models", "ft:gpt-4o:acme::x", wire.OpGetModel, false, false},
		{"GET", "/v1/models/meta%2FLlama", nil, "openai.models", "meta/Llama", wire.OpGetModel, false, false},
		{"GET", "/v1/models/claude-x", anthropic, "anthropic.models", "claude-x", wire.OpGetModel, false, false},
		{"POST", "/v1/messages?beta=true", anthropic, "anthropic.messages", "", wire.OpGenerate, false, true},
		{"POST", "/v1/messages/count_tokens", nil, "anthropic.count_tokens", "", wire.OpCountTokens, false, false},
		{"POST", "/v1beta/models/sim-large:generateContent", nil, "gemini.generateContent", "sim-large", wire.OpGenerate, false, false},
		{"POST", "/v1/models/sim%2Dlarge:generateContent?key=k", nil, "gemini.generateContent", "sim-large", wire.OpGenerate, false, false},
		{"POST", "/v1alpha/tunedModels/t-1:generateContent?alt=json", nil, "gemini.generateContent", "tunedModels/t-1", wire.OpGenerate, false, false},
		{"POST", "/v1beta/models/m:streamGenerateContent?alt=sse", nil, "gemini.streamGenerateContent", "m", wire.OpGenerate, true, true},
		{"POST", "/v1beta/models/m:streamGenerateContent?key=k&%61lt=sse", nil, "gemini.streamGenerateContent", "m", wire.OpGenerate, true, true},
		{"POST", "/v1beta/models/m:streamGenerateContent", nil, "gemini.streamGenerateContent", "m", wire.OpGenerate, true, false},
		{"POST", "/v1beta/models/m:countTokens", nil, "gemini.countTokens", "m", wire.OpCountTokens, false, false},
		{"POST", "/v1beta/models/m:embedContent", nil, "gemini.embedContent", "m", wire.OpEmbed, false, false},
		{"POST", "/v1beta/models/m:batchEmbedContents", nil, "gemini.batchEmbedContents", "m", wire.OpEmbed, false, false},
		{"GET", "/v1beta/models?pageSize=50", nil, "gemini.models", "", wire.OpListModels, false, false},
		{"GET", "/v1beta/models/m", nil, "gemini.models", "m", wire.OpGetModel, false, false},
	} {
		path, query, _ := strings.Cut(c.target, "?")
		w, rt, ok := Match(c.method, path, query, c.header)
		if !ok {
			t.Errorf("%s %s is not known", c.method, c.target)
			continue
		}
		if rt.API != c.api || rt.Model != c.model || rt.Op != c.op || rt.Stream != c.stream || rt.SSE != c.sse || !strings.HasPrefix(rt.API, w.Name()+".") {
			t.Errorf("%s %s is %s %+v, want %+v", c.method, c.target, w.Name(), rt, c)
		}
	}
}

func TestUnknownRoutes(t *testing.T) {
	for _, target := range []string{
		"POST ", "POST /", "POST /v1/chat%2Fcompletions", "POST //v1/chat/completions", "POST /v1//chat/completions", "POST /v1/chat/completions/",
		"POST /V1/chat/completions", "POST /v1/Chat/completions", "POST /v1/./chat/completions", "POST /v1/x/../chat/completions", "POST /v1/chat/completions;x",
		"POST /v1/chat/completions%20", "POST /v1/chat/%63ompletions", "POST /chat/completions", "PUT /v1/responses", "post /v1/responses",
		"POST /v1/responses/r_1/cancel/", "POST /v1/responses//cancel", "POST /v1/responses/r%5F1/cancel", "GET /v1/responses/..", "GET /v1/responses/.", "GET /v1/responses/r_1/", "GET /v1/responses/compact", "GET /v1/responses/r_1?stream=TRUE", "GET /v1/responses/r_1?Stream=true",
		"GET /v1/responses/r_1?stream=true&stream=false", "GET /v1/responses/r_1?stream=true&str%65am=false", "POST /v1/responses?api-version=1&API-Version=2", "GET /v1/realtime?model=a&model=b", "GET /v1/realtime?model=a&MODEL=b", "GET /v1/realtime?model=a&deployment=b", "POST /v1/files/f@1", "GET /v1/files/f%2F1",
		"GET /v1/files/" + strings.Repeat("f", 257), "GET /v1/batches/b_1/../../files", "PATCH /v1/assistants/a", "POST /v1/audio/transcriptions?model=a&model=b", "GET /v1/responses/r_1;x",
		"POST /openai/deployments//chat/completions", "POST /openai/deployments/../chat/completions", "POST /openai/deployments/a%2Fb/chat/completions", "POST /openai/deployments/a", "POST /openai/deployments/a/", "POST /openai/deployments/a/responses", "POST /openai/deployments/a/chat/completions?api-version=1&api-version=2",
		"GET /openai/deployments/a/chat/completions", "GET /openai/organization/users", "GET /openai/v1/organization/users", "POST /openai/chat/completions", "POST /v1beta/openai/responses", "POST /v1beta/openai/chat/completions/", "POST /v1beta/openai//chat/completions", "GET /v1beta/openai/organization/users",
		"POST /v1beta/batches/b:Cancel", "POST /v1beta/batches/b:cancel:x", "POST /v1beta/batches/:cancel", "GET /v1beta/batches/b:cancel", "GET /v1beta/files/a:b", "GET /v1beta/files/f?alt=media", "POST /upload/v1/files", "POST /upload/v1beta/models", "GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.Other",
		"GET /v1beta/tunedModels/..", "GET /v1beta/tunedModels/a%2Fb", "POST /v1beta/tunedModels/t:generatecontent",
		"POST /v1/models", "GET /v1/models/", "GET /v1/modelsx", "GET /v1/models/a/b", "GET /v1/models/..", "GET /v1/models/%252e",
		"POST /v1/messages/", "POST /v1%2Fmessages", "POST /v1/messages%3Fbeta", "HEAD /v1/models",
		"POST /v1beta/models/m:generatecontent", "POST /v1beta/models/m:GenerateContent", "POST /v1beta/models/m%3AgenerateContent", "POST /v1beta/models/m:generateContent/", "POST /v1beta/models/:generateContent",
		"POST /v1beta/models/m%3Ax:generateContent", "POST /v1beta/models/m:x:generateContent", "POST /v1beta/models/a%2Fb:generateContent", "POST /v1beta/models/a/b:generateContent", "POST /v1beta/models/m%252D:generateContent",
		"POST /v1beta/models/..:generateContent", "POST /v1beta/models/%2e:generateContent", "POST /v1beta//models/m:generateContent", "POST /v1beta/Models/m:generateContent", "POST /v2/models/m:generateContent",
		"POST /v1beta/models/m:streamGenerateContent?alt=SSE", "POST /v1beta/models/m:streamGenerateContent?Alt=sse", "POST /v1beta/models/m:streamGenerateContent?alt=sse&alt=json", "POST /v1beta/models/m:streamGenerateContent?$alt=sse",
		"POST /v1beta/models/m:streamGenerateContent?alt=sse&%24alt=json", "POST /v1beta/models/m:streamGenerateContent?alt=proto", "POST /v1beta/models/m:streamGenerateContent?alt=", "POST /v1beta/models/m:streamGenerateContent?alt", "POST /v1beta/models/m:streamGenerateContent?a=1;alt=sse",
		"POST /v1beta/models/m:generateContent?alt=sse", "POST /v1beta/models/m:generateContent?$httpMethod=DELETE", "POST /v1beta/models/m:generateContent?callback=f", "POST /v1beta/models/m:generateContent?fields=candidates", "POST /v1beta/models/m:generateContent?a=%zz",
		"GET /v1beta/modelsx", "GET /v1beta/models/", "POST /v1/projects/p/locations/l/publishers/google/models/m:generateContent",
	} {
		method, target, _ := strings.Cut(target, " ")
		path, query, _ := strings.Cut(target, "?")
		if w, rt, ok := Match(method, path, query, headers()); ok {
			t.Errorf("%s %s is taken for %s: %+v", method, target, w.Name(), rt)
		}
	}
}

func TestGuess(t *testing.T) {
	for _, c := range []struct {
		path   string
		header func(string) string
		want   string
	}{
		{"/v1/files", headers(), "openai"}, {"/", nil, "openai"}, {"/v1/chat%2Fcompletions", nil, "openai"}, {"/v1/completions/", headers(), "openai"},
		{"/v1/messages/batches", headers(), "anthropic"}, {"/v1/files", headers("anthropic-version", "2023-06-01"), "anthropic"}, {"/v1/complete", headers("x-api-key", "k"), "anthropic"},
		{"/v1beta/files", headers(), "gemini"}, {"/v1/files", headers("x-goog-api-key", "k"), "gemini"}, {"/v1/models/m:GENERATEContent", nil, "gemini"},
	} {
		if got := Guess(c.path, c.header).Name(); got != c.want {
			t.Errorf("Guess(%s) = %s, want %s", c.path, got, c.want)
		}
	}
}

func TestQueryKey(t *testing.T) {
	for _, c := range []struct{ in, key, rest string }{
		{"", "", ""}, {"alt=sse", "", "alt=sse"}, {"key=a%20b&alt=sse", "a b", "alt=sse"}, {"alt=sse&%6Bey=k&x=1&key=k2", "k", "alt=sse&x=1"}, {"key=", "", "key="},
	} {
		if key, rest := QueryKey(c.in), WithoutKey(c.in); key != c.key || rest != c.rest {
			t.Errorf("%q: key %q, rest %q", c.in, key, rest)
		}
	}
}

func TestPathOfAnotherModel(t *testing.T) {
	for _, c := range []struct{ path, model, want string }{
		{"/v1beta/models/a%2Db:streamGenerateContent", "sim-small", "/v1beta/models/sim-small:streamGenerateContent"},
		{"/v1alpha/tunedModels/t:generateContent", "x/y z", "/v1alpha/models/x%2Fy%20z:generateContent"},
		{"/v1/models/m:countTokens", "tunedModels/t", "/v1/tunedModels/t:countTokens"},
		{"/v1/models/m:countTokens", "", "/v1/models/m:countTokens"},
		{"/v1/messages", "m", "/v1/messages"},
	} {
		_, rt, ok := Match("POST", c.path, "", nil)
		if got := rt.Path(c.path, c.model); !ok || got != c.want {
			t.Errorf("%s with %q is %s, want %s", c.path, c.model, got, c.want)
		}
	}
}

// A route is known to one wire at most, and what is known is what net/url and a
// mux would take it for.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/v1/chat/completions", "/v1/models/m", "/v1/messages", "/v1beta/models/m:streamGenerateContent", "/v1/models/a%2Fb:countTokens"} {
		f.Add("POST", s, "alt=sse&key=1", "")
		f.Add("GET", s, "", "2023-06-01")
	}
	f.Fuzz(func(t *testing.T, method, path, query, version string) {
		n := 0
		for _, w := range All {
			rt, ok := w.Match(method, path, query, headers("anthropic-version", version))
			if !ok {
				continue
			}
			n++
			plain, err := url.PathUnescape(path)
			if err != nil || strings.Contains(plain, "//") || strings.Contains(plain, "/../") || strings.HasSuffix(plain, "/") {
				t.Errorf("%q is taken for %+v", path, rt)
			}
			if rt.Model != "" && !strings.Contains(plain, rt.Model) {
				t.Errorf("%q has no model %q", path, rt.Model)
			}
			other := rt.Path(path, "another")
			if again, ok := w.Match(method, other, query, headers("anthropic-version", version)); rt.ModelPath.End > 0 && (!ok || again.Model != "another" || again.API != rt.API) {
				t.Errorf("%q rewritten is %q: %+v", path, other, again)
			}
		}
		if n > 1 {
			t.Errorf("%s %q is known to %d wires", method, path, n)
		}
		Guess(path, headers())
	})
}
