package sdktest

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"google.golang.org/genai"
)

func newGemini(t *testing.T, target Target) *genai.Client {
	t.Helper()
	c, err := genai.NewClient(within(t), &genai.ClientConfig{
		APIKey:      target.Key,
		Backend:     genai.BackendGeminiAPI,
		HTTPClient:  client(t),
		HTTPOptions: genai.HTTPOptions{BaseURL: target.URL, RetryOptions: &genai.HTTPRetryOptions{Attempts: genai.Ptr[int32](1)}},
	})
	ok(t, err)
	return c
}

var geminiCity = &genai.GenerateContentConfig{
	SystemInstruction: genai.NewContentFromText("Be brief.", genai.RoleUser),
	Tools: []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{
		Name: "weather",
		Parameters: &genai.Schema{Type: genai.TypeObject, Required: []string{"city"},
			Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString, Enum: []string{"Oslo"}}}},
	}}}},
}

func geminiSuite(t *testing.T, target Target) {
	t.Run("generate", func(t *testing.T) { geminiGenerate(t, target) })
	t.Run("generate stream", func(t *testing.T) { geminiStream(t, target) })
	t.Run("tools", func(t *testing.T) { geminiTools(t, target) })
	t.Run("count tokens", func(t *testing.T) { geminiCount(t, target) })
	t.Run("embeddings", func(t *testing.T) { geminiEmbeddings(t, target) })
	t.Run("models", func(t *testing.T) { geminiModels(t, target) })
	t.Run("errors", func(t *testing.T) { geminiErrors(t, target) })
}

func geminiGenerate(t *testing.T, target Target) {
	c := newGemini(t, target)
	res, err := c.Models.GenerateContent(within(t), target.Model, genai.Text(sayIt), nil)
	ok(t, err)
	equal(t, "text", res.Text(), said)
	equal(t, "finish reason", res.Candidates[0].FinishReason, genai.FinishReasonStop)
	equal(t, "output tokens", res.UsageMetadata.CandidatesTokenCount, saidTokens)
	equal(t, "total", res.UsageMetadata.TotalTokenCount, res.UsageMetadata.PromptTokenCount+saidTokens)

	res, err = c.Models.GenerateContent(within(t), target.Model, genai.Text(sayIt), &genai.GenerateContentConfig{MaxOutputTokens: 2})
	ok(t, err)
	equal(t, "bounded finish reason", res.Candidates[0].FinishReason, genai.FinishReasonMaxTokens)
	equal(t, "bounded tokens", res.UsageMetadata.CandidatesTokenCount, 2)
}

func geminiStream(t *testing.T, target Target) {
	c := newGemini(t, target)
	var text string
	var last *genai.GenerateContentResponse
	for res, err := range c.Models.GenerateContentStream(within(t), target.Model, genai.Text(sayIt), nil) {
		ok(t, err)
		text += res.Text()
		last = res
	}
	if last == nil {
		t.Fatal("an empty stream")
	}
	equal(t, "text", text, said)
	equal(t, "finish reason", last.Candidates[0].FinishReason, genai.FinishReasonStop)
	equal(t, "output tokens", last.UsageMetadata.CandidatesTokenCount, saidTokens)
}

func geminiTools(t *testing.T, target Target) {
	c := newGemini(t, target)
	check := func(calls []*genai.FunctionCall) {
		t.Helper()
		if len(calls) != 1 {
			t.Fatalf("%d calls", len(calls))
		}
		arguments, err := json.Marshal(calls[0].Args)
		ok(t, err)
		equal(t, "tool", calls[0].Name, "weather")
		equal(t, "arguments", string(arguments), cityArguments)
	}
	talk := genai.Text("sim: tool=weather")
	res, err := c.Models.GenerateContent(within(t), target.Model, talk, geminiCity)
	ok(t, err)
	check(res.FunctionCalls())
	var calls []*genai.FunctionCall
	for res, err := range c.Models.GenerateContentStream(within(t), target.Model, talk, geminiCity) {
		ok(t, err)
		calls = append(calls, res.FunctionCalls()...)
	}
	check(calls)
	talk = append(talk, res.Candidates[0].Content, genai.NewContentFromFunctionResponse("weather", map[string]any{"degrees": 12}, genai.RoleUser))
	res, err = c.Models.GenerateContent(within(t), target.Model, talk, geminiCity)
	ok(t, err)
	equal(t, "calls after the result", len(res.FunctionCalls()), 0)
}

func geminiCount(t *testing.T, target Target) {
	c := newGemini(t, target)
	talk := genai.Text("How many tokens are these?")
	n, err := c.Models.CountTokens(within(t), target.Model, talk, nil)
	ok(t, err)
	res, err := c.Models.GenerateContent(within(t), target.Model, talk, nil)
	ok(t, err)
	equal(t, "counted tokens", n.TotalTokens, res.UsageMetadata.PromptTokenCount)
}

func geminiEmbeddings(t *testing.T, target Target) {
	c := newGemini(t, target)
	res, err := c.Models.EmbedContent(within(t), target.Model, []*genai.Content{
		genai.NewContentFromText("one", genai.RoleUser), genai.NewContentFromText("two", genai.RoleUser),
	}, &genai.EmbedContentConfig{OutputDimensionality: genai.Ptr[int32](64)})
	ok(t, err)
	equal(t, "embeddings", len(res.Embeddings), 2)
	equal(t, "dimensions", len(res.Embeddings[1].Values), 64)
	if res.Embeddings[0].Values[7] == res.Embeddings[1].Values[7] {
		t.Error("another text has the same embedding")
	}
}

func geminiModels(t *testing.T, target Target) {
	c := newGemini(t, target)
	var names []string
	for m, err := range c.Models.All(within(t)) {
		ok(t, err)
		names = append(names, m.Name)
	}
	contains(t, "models", strings.Join(names, " "), "models/"+target.Model)
	m, err := c.Models.Get(within(t), target.Model, nil)
	ok(t, err)
	equal(t, "model", m.Name, "models/"+target.Model)
	_, err = c.Models.Get(within(t), "no-such-model", nil)
	geminiFailed(t, err, 404, "NOT_FOUND")
}

// geminiFailed wants the SDK's own error type with this code and status.
func geminiFailed(t *testing.T, err error, code int, status string) genai.APIError {
	t.Helper()
	var e genai.APIError
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want genai.APIError", err, err)
	}
	equal(t, "code", e.Code, code)
	equal(t, "status", e.Status, status)
	return e
}

func geminiErrors(t *testing.T, target Target) {
	c := newGemini(t, target)
	_, err := c.Models.GenerateContent(within(t), target.Model, genai.Text("sim: error=429"), nil)
	geminiFailed(t, err, 429, "RESOURCE_EXHAUSTED")
	_, err = c.Models.GenerateContent(within(t), target.Model, genai.Text("sim: error=403"), nil)
	geminiFailed(t, err, 403, "PERMISSION_DENIED")
	err = nil
	for _, e := range c.Models.GenerateContentStream(within(t), target.Model, genai.Text("sim: tokens=9 error=503 after=2"), nil) {
		if err = e; err != nil {
			break
		}
	}
	geminiFailed(t, err, 503, "UNAVAILABLE")
}
