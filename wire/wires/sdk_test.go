package wires

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/wire"

	"github.com/anthropics/anthropic-sdk-go"
	aoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	ooption "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
	"google.golang.org/genai"
)

var refusal = &wire.Problem{
	Status: 503, Code: "andon_correction", Title: "Refused by a correction", CorrectionID: "c-7", Kind: "stop", Scope: "model sim-large",
	Reason: `It gave "unsafe" advice`, ReviewBy: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), Fallback: "sim-small", NoticeURL: "https://acme.example/n",
	AppealURL: "https://acme.example/a", RequestID: "req-1", Revision: 12, Corrections: []string{"c-7", "c-9"}, Reversible: true,
}

// server answers every request that a wire knows with a refusal, or, once cut
// is set, with one event of a stream and then the wire's end.
func server(t *testing.T, cut map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w, rt, ok := Match(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get)
		if !ok {
			t.Errorf("the SDK asked for %s %s", r.Method, r.RequestURI)
			rw.WriteHeader(404)
			rw.Write(Guess(r.URL.EscapedPath(), r.Header.Get).AppendError(nil, &wire.Problem{Status: 404, Code: "unknown_route"}))
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		if rt.Op == wire.OpListModels || rt.Op == wire.OpGetModel {
			rw.Write(w.AppendModels(nil, rt, []string{"sim-large", "sim-small"}))
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var e wire.Envelope
		if err := w.Read(rt, body, &e); err != nil {
			t.Errorf("%s: the SDK's body is refused: %v", rt.API, err)
		}
		if e.Model != "sim-large" {
			t.Errorf("%s: model %q", rt.API, e.Model)
		}
		first, cut := cut[rt.API]
		if !cut {
			rw.Header().Set("x-should-retry", "false")
			rw.WriteHeader(refusal.Status)
			rw.Write(w.AppendError(nil, refusal))
			return
		}
		if !e.Stream || !rt.SSE {
			t.Errorf("%s: not a stream", rt.API)
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		f := wire.NewFramer(rt)
		if n := f.Frame([]byte(first)); n != len(first) {
			t.Errorf("%s: %q is not one event", rt.API, first)
		}
		rw.Write(f.AppendEnd([]byte(first), w, rt, refusal))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

var firsts = map[string]string{
	"openai.chat":                  "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
	"openai.responses":             "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\",\"sequence_number\":1}\n\n",
	"anthropic.messages":           "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n",
	"gemini.streamGenerateContent": "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}]}\r\n\r\n",
}

func saysIt(t *testing.T, text string) {
	t.Helper()
	for _, part := range []string{"c-7", "andon_correction", "sim-small", "https://acme.example/a", "2027-01-02T03:04:05Z", "req-1", "unsafe"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}

func TestOpenAISDK(t *testing.T) {
	chat := openai.ChatCompletionNewParams{Model: "sim-large", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}}
	resp := responses.ResponseNewParams{Model: "sim-large", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hi")}}
	client := func(cut map[string]string) openai.Client {
		return openai.NewClient(ooption.WithBaseURL(server(t, cut)+"/v1"), ooption.WithAPIKey("k"), ooption.WithMaxRetries(0))
	}
	ctx := context.Background()
	plain := client(nil)
	_, err1 := plain.Chat.Completions.New(ctx, chat)
	_, err2 := plain.Responses.New(ctx, resp)
	for _, err := range []error{err1, err2} {
		var api *openai.Error
		if !errors.As(err, &api) || api.StatusCode != 503 || api.Code != "andon_correction" || api.Type != "service_unavailable_error" {
			t.Fatalf("got %#v", err)
		}
		saysIt(t, api.RawJSON())
	}
	page, err := plain.Models.List(ctx)
	if err != nil || len(page.Data) != 2 || page.Data[1].ID != "sim-small" {
		t.Errorf("models: %+v, %v", page, err)
	}
	if m, err := plain.Models.Get(ctx, "meta/sim:x"); err != nil || m.ID != "sim-large" {
		t.Errorf("model: %+v, %v", m, err)
	}

	cut := client(firsts)
	stream1 := cut.Chat.Completions.NewStreaming(ctx, chat)
	n := 0
	for stream1.Next() {
		n++
	}
	stream2 := cut.Responses.NewStreaming(ctx, resp)
	for stream2.Next() {
		n++
	}
	if n != 2 {
		t.Errorf("%d events before the ends, want 2", n)
	}
	for _, err := range []error{stream1.Err(), stream2.Err()} {
		var end *ssestream.StreamError
		if !errors.As(err, &end) {
			t.Fatalf("got %#v", err)
		}
		saysIt(t, end.Message)
	}
}

func TestAnthropicSDK(t *testing.T) {
	params := anthropic.MessageNewParams{Model: "sim-large", MaxTokens: 10, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}}
	client := func(cut map[string]string) anthropic.Client {
		return anthropic.NewClient(aoption.WithBaseURL(server(t, cut)), aoption.WithAPIKey("k"), aoption.WithMaxRetries(0))
	}
	ctx := context.Background()
	plain := client(nil)
	_, err1 := plain.Messages.New(ctx, params)
	_, err2 := plain.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: params.Model, Messages: params.Messages})
	cut := client(firsts)
	stream := cut.Messages.NewStreaming(ctx, params)
	n := 0
	for stream.Next() {
		n++
	}
	if n != 1 {
		t.Errorf("%d events before the end, want 1", n)
	}
	for _, err := range []error{err1, err2, stream.Err()} {
		var api *anthropic.Error
		if !errors.As(err, &api) || api.Type() != "api_error" {
			t.Fatalf("got %#v", err)
		}
		saysIt(t, api.RawJSON())
	}
	page, err := plain.Models.List(ctx, anthropic.ModelListParams{})
	if err != nil || len(page.Data) != 2 || page.Data[1].ID != "sim-small" || page.HasMore {
		t.Errorf("models: %+v, %v", page, err)
	}
}

func TestGeminiSDK(t *testing.T) {
	ctx := context.Background()
	client := func(cut map[string]string) *genai.Client {
		c, err := genai.NewClient(ctx, &genai.ClientConfig{APIKey: "k", Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: server(t, cut)}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain := client(nil)
	_, err1 := plain.Models.GenerateContent(ctx, "sim-large", genai.Text("hi"), &genai.GenerateContentConfig{MaxOutputTokens: 7, Tools: []*genai.Tool{{GoogleSearch: &genai.GoogleSearch{}}}})
	_, err2 := plain.Models.CountTokens(ctx, "sim-large", genai.Text("hi"), nil)
	_, err3 := plain.Models.EmbedContent(ctx, "sim-large", genai.Text("hi"), nil)
	n := 0
	var err4 error
	for _, err := range client(firsts).Models.GenerateContentStream(ctx, "sim-large", genai.Text("hi"), nil) {
		if err != nil {
			err4 = err
			break
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d chunks before the end, want 1", n)
	}
	for _, err := range []error{err1, err2, err3, err4} {
		var api genai.APIError
		if !errors.As(err, &api) || api.Code != 503 || api.Status != "UNAVAILABLE" || len(api.Details) == 0 {
			t.Fatalf("got %#v", err)
		}
		meta, _ := api.Details[0]["metadata"].(map[string]any)
		if api.Details[0]["reason"] != "ANDON_CORRECTION" || meta["correction_id"] != "c-7" || meta["fallback"] != "sim-small" {
			t.Errorf("details %v", api.Details)
		}
	}
	var names []string
	for m, err := range plain.Models.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, m.Name)
	}
	if !slices.Equal(names, []string{"models/sim-large", "models/sim-small"}) {
		t.Errorf("models: %v", names)
	}
}
