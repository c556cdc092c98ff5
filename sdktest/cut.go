package sdktest

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/go-json-experiment/json"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"google.golang.org/genai"
)

// Refusal is what a caller must learn from an exception.
type Refusal struct {
	Status     int    // of a plain refusal; inside a stream it was 200 already
	Correction string // id of the correction, or its beginning
}

const (
	longStream = "sim: tokens=100000 interval=20ms"
	longWait   = "sim: tokens=900 interval=1s"
)

// said tells whether an error text names the correction in the members that
// interface.md promises.
func (r Refusal) in(text string) bool {
	return strings.Contains(text, `"andon_correction"`) && strings.Contains(text, `"correction_id":"`+r.Correction)
}

func (r Refusal) openai(t *testing.T, what string, err error, inside bool) {
	t.Helper()
	var plain *openai.Error
	var streamed *ssestream.StreamError
	switch {
	case inside && errors.As(err, &streamed):
		if !r.in(string(streamed.Event.Data)) {
			t.Errorf("%s: the event does not name the correction: %s", what, streamed.Event.Data)
		}
	case !inside && errors.As(err, &plain):
		equal(t, what+": status", plain.StatusCode, r.Status)
		equal(t, what+": code", plain.Code, "andon_correction")
		equal(t, what+": x-should-retry", plain.Response.Header.Get("X-Should-Retry"), "false")
		if !r.in(plain.RawJSON()) {
			t.Errorf("%s: the error does not name the correction: %s", what, plain.RawJSON())
		}
	default:
		t.Errorf("%s: error is %T (%v), want the SDK's own", what, err, err)
	}
}

func (r Refusal) anthropic(t *testing.T, what string, err error, inside bool) {
	t.Helper()
	var e *anthropic.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: error is %T (%v), want *anthropic.Error", what, err, err)
		return
	}
	status := r.Status
	if inside {
		status = 200
	}
	equal(t, what+": status", e.StatusCode, status)
	if e.Type() == "" {
		t.Errorf("%s: the error has no type", what)
	}
	if !r.in(e.RawJSON()) {
		t.Errorf("%s: the error does not name the correction: %s", what, e.RawJSON())
	}
}

func (r Refusal) gemini(t *testing.T, what string, err error) {
	t.Helper()
	var e genai.APIError
	if !errors.As(err, &e) {
		t.Errorf("%s: error is %T (%v), want genai.APIError", what, err, err)
		return
	}
	equal(t, what+": code", e.Code, r.Status)
	// The SDK keeps code, message, status and details alone.
	details, _ := json.Marshal(e.Details)
	if !strings.Contains(e.Message, r.Correction) && !strings.Contains(string(details), r.Correction) {
		t.Errorf("%s: the error does not name the correction: %s %s", what, e.Message, details)
	}
}

// Refused checks that each API of each SDK raises its own error for a new call.
func Refused(t *testing.T, target Target, r Refusal) {
	o, a, g := newOpenAI(t, target), newAnthropic(t, target), newGemini(t, target)
	_, err := o.Chat.Completions.New(within(t), chatParams(target, "hello"))
	r.openai(t, "chat", err, false)
	_, err = o.Responses.New(within(t), responseParams(target, "hello"))
	r.openai(t, "responses", err, false)
	stream := o.Chat.Completions.NewStreaming(within(t), chatParams(target, "hello"))
	stream.Next()
	r.openai(t, "chat stream", stream.Err(), false)
	_, err = o.Embeddings.New(within(t), openai.EmbeddingNewParams{Model: target.Model, Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}})
	r.openai(t, "embeddings", err, false)
	_, err = a.Messages.New(within(t), messageParams(target, "hello"))
	r.anthropic(t, "messages", err, false)
	messages := a.Messages.NewStreaming(within(t), messageParams(target, "hello"))
	messages.Next()
	r.anthropic(t, "messages stream", messages.Err(), false)
	_, err = g.Models.GenerateContent(within(t), target.Model, genai.Text("hello"), nil)
	r.gemini(t, "generate", err)
	for _, err = range g.Models.GenerateContentStream(within(t), target.Model, genai.Text("hello"), nil) {
		break
	}
	r.gemini(t, "generate stream", err)
}

// Cut opens a stream and a waiting plain call with each SDK. Once every stream
// has said something it calls pull, which is told how many of each there are,
// and which must put a correction in force that forbids them all. Each has to
// end with its SDK's own error.
func Cut(t *testing.T, target Target, pull func(streams, plain int) Refusal) {
	o, a, g := newOpenAI(t, target), newAnthropic(t, target), newGemini(t, target)
	ctx := within(t)
	var began, ended sync.WaitGroup
	type judge func(Refusal)
	var mu sync.Mutex
	var judges []judge
	streams, plain := 0, 0
	stream := func(run func(said func()) judge) {
		streams++
		began.Add(1)
		ended.Go(func() {
			once := sync.OnceFunc(began.Done)
			j := run(once)
			once()
			mu.Lock()
			judges = append(judges, j)
			mu.Unlock()
		})
	}
	call := func(run func() judge) {
		plain++
		ended.Go(func() {
			j := run()
			mu.Lock()
			judges = append(judges, j)
			mu.Unlock()
		})
	}
	stream(func(said func()) judge {
		s := o.Chat.Completions.NewStreaming(ctx, chatParams(target, longStream))
		for s.Next() {
			if len(s.Current().Choices) > 0 && s.Current().Choices[0].Delta.Content != "" {
				said()
			}
		}
		return func(r Refusal) { r.openai(t, "chat stream", s.Err(), true) }
	})
	stream(func(said func()) judge {
		s := o.Responses.NewStreaming(ctx, responseParams(target, longStream))
		for s.Next() {
			if s.Current().Type == "response.output_text.delta" {
				said()
			}
		}
		return func(r Refusal) { r.openai(t, "responses stream", s.Err(), true) }
	})
	stream(func(said func()) judge {
		s := o.Completions.NewStreaming(ctx, openai.CompletionNewParams{Model: openai.CompletionNewParamsModel(target.Model),
			Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(longStream)}})
		for s.Next() {
			said()
		}
		return func(r Refusal) { r.openai(t, "completions stream", s.Err(), true) }
	})
	stream(func(said func()) judge {
		p := messageParams(target, longStream)
		p.MaxTokens = 100_000
		s := a.Messages.NewStreaming(ctx, p)
		for s.Next() {
			if s.Current().Type == "content_block_delta" {
				said()
			}
		}
		return func(r Refusal) { r.anthropic(t, "messages stream", s.Err(), true) }
	})
	stream(func(said func()) judge {
		var err error
		for _, err = range g.Models.GenerateContentStream(ctx, target.Model, genai.Text(longStream), nil) {
			if err != nil {
				break
			}
			said()
		}
		return func(r Refusal) { r.gemini(t, "generate stream", err) }
	})
	call(func() judge {
		_, err := o.Chat.Completions.New(ctx, chatParams(target, longWait))
		return func(r Refusal) { r.openai(t, "waiting chat", err, false) }
	})
	call(func() judge {
		_, err := o.Responses.New(ctx, responseParams(target, longWait))
		return func(r Refusal) { r.openai(t, "waiting responses", err, false) }
	})
	call(func() judge {
		_, err := a.Messages.New(ctx, messageParams(target, longWait))
		return func(r Refusal) { r.anthropic(t, "waiting messages", err, false) }
	})
	call(func() judge {
		_, err := g.Models.GenerateContent(ctx, target.Model, genai.Text(longWait), nil)
		return func(r Refusal) { r.gemini(t, "waiting generate", err) }
	})
	began.Wait()
	r := pull(streams, plain)
	ended.Wait()
	for _, j := range judges {
		j(r)
	}
}

// in reports whether an npm SDK's exception names the correction.
func (r Refusal) node(t *testing.T, s Seen, class string, status int) {
	t.Helper()
	if s.Failed == nil {
		t.Errorf("%s: no exception, said %q", s.Check, s.Text)
		return
	}
	equal(t, s.Check+": class", s.class(), class)
	equal(t, s.Check+": status", s.Failed.Status, status)
	if strings.HasPrefix(s.Check, "openai") {
		equal(t, s.Check+": code", s.Failed.Code, "andon_correction")
	}
	if !r.in(string(s.Failed.Error)) {
		t.Errorf("%s: the error does not name the correction: %s", s.Check, s.Failed.Error)
	}
}

// nodeClass is the class that both npm SDKs raise for a status.
func nodeClass(status int) string {
	switch {
	case status == 403:
		return "PermissionDeniedError"
	case status == 422:
		return "UnprocessableEntityError"
	case status == 429:
		return "RateLimitError"
	case status >= 500:
		return "InternalServerError"
	}
	return "APIError"
}

// RefusedNode is Refused with the npm SDKs.
func RefusedNode(t *testing.T, target Target, r Refusal) {
	seen := startNode(t, target, "refused").rest()
	equal(t, "checks", len(seen), 7)
	for _, s := range seen {
		r.node(t, s, r.class(s), r.Status)
	}
}

// class is what the SDK of a check raises: Anthropic's has a class of its own
// for 503.
func (r Refusal) class(s Seen) string {
	if r.Status == 503 && strings.HasPrefix(s.Check, "anthropic") {
		return "ServiceUnavailableError"
	}
	return nodeClass(r.Status)
}

// CutNode is Cut with the npm SDKs.
func CutNode(t *testing.T, target Target, pull func(streams, plain int) Refusal) {
	s := startNode(t, target, "cut")
	r := pull(s.ready())
	seen := s.rest()
	equal(t, "checks", len(seen), 7)
	for _, s := range seen {
		if strings.HasSuffix(s.Check, "stream") {
			if s.Text == "" {
				t.Errorf("%s: nothing was said before the cut", s.Check)
			}
			r.node(t, s, "APIError", 0)
		} else {
			r.node(t, s, r.class(s), r.Status)
		}
	}
}
