package sdktest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/shared"
)

func newAnthropic(t *testing.T, target Target) anthropic.Client {
	return anthropic.NewClient(option.WithoutEnvironmentDefaults(), option.WithBaseURL(target.URL), option.WithAPIKey(target.Key),
		option.WithHTTPClient(client(t)), option.WithMaxRetries(0))
}

func messageParams(target Target, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     anthropic.Model(target.Model),
		MaxTokens: 1000,
		System:    []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
		Metadata:  anthropic.MetadataParam{UserID: anthropic.String("user-1")},
	}
}

var cityTool = anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: city["properties"], Required: []string{"city"}}, "weather")

func anthropicSuite(t *testing.T, target Target) {
	t.Run("messages", func(t *testing.T) { anthropicMessages(t, target) })
	t.Run("messages stream", func(t *testing.T) { anthropicStream(t, target) })
	t.Run("tools", func(t *testing.T) { anthropicTools(t, target) })
	t.Run("count tokens", func(t *testing.T) { anthropicCount(t, target) })
	t.Run("models", func(t *testing.T) { anthropicModels(t, target) })
	t.Run("errors", func(t *testing.T) { anthropicErrors(t, target) })
}

func anthropicMessages(t *testing.T, target Target) {
	c := newAnthropic(t, target)
	res, err := c.Messages.New(within(t), messageParams(target, sayIt))
	ok(t, err)
	equal(t, "blocks", len(res.Content), 1)
	equal(t, "text", res.Content[0].AsText().Text, said)
	equal(t, "stop reason", res.StopReason, anthropic.StopReasonEndTurn)
	equal(t, "output tokens", res.Usage.OutputTokens, saidTokens)
	equal(t, "model", string(res.Model), target.Model)

	p := messageParams(target, sayIt)
	p.MaxTokens = 2
	res, err = c.Messages.New(within(t), p)
	ok(t, err)
	equal(t, "bounded stop reason", res.StopReason, anthropic.StopReasonMaxTokens)
	equal(t, "bounded tokens", res.Usage.OutputTokens, 2)
}

func anthropicStream(t *testing.T, target Target) {
	c := newAnthropic(t, target)
	stream := c.Messages.NewStreaming(within(t), messageParams(target, sayIt))
	var m anthropic.Message
	deltas := 0
	for stream.Next() {
		ok(t, m.Accumulate(stream.Current()))
		if stream.Current().Type == "content_block_delta" {
			deltas++
		}
	}
	ok(t, stream.Err())
	equal(t, "deltas", deltas, saidTokens)
	equal(t, "text", m.Content[0].AsText().Text, said)
	equal(t, "stop reason", m.StopReason, anthropic.StopReasonEndTurn)
	equal(t, "output tokens", m.Usage.OutputTokens, saidTokens)
}

func anthropicTools(t *testing.T, target Target) {
	c := newAnthropic(t, target)
	p := messageParams(target, "sim: tool=weather")
	p.Tools = []anthropic.ToolUnionParam{cityTool}
	res, err := c.Messages.New(within(t), p)
	ok(t, err)
	equal(t, "stop reason", res.StopReason, anthropic.StopReasonToolUse)
	use := res.Content[0].AsToolUse()
	equal(t, "tool", use.Name, "weather")
	equal(t, "input", string(use.Input), cityArguments)

	stream := c.Messages.NewStreaming(within(t), p)
	var m anthropic.Message
	for stream.Next() {
		ok(t, m.Accumulate(stream.Current()))
	}
	ok(t, stream.Err())
	equal(t, "streamed input", string(m.Content[0].AsToolUse().Input), cityArguments)

	p.Messages = append(p.Messages, res.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(use.ID, "12 degrees", false)))
	res, err = c.Messages.New(within(t), p)
	ok(t, err)
	equal(t, "stop reason after the result", res.StopReason, anthropic.StopReasonEndTurn)
}

func anthropicCount(t *testing.T, target Target) {
	c := newAnthropic(t, target)
	p := messageParams(target, "How many tokens are these?")
	n, err := c.Messages.CountTokens(within(t), anthropic.MessageCountTokensParams{
		Model: p.Model, Messages: p.Messages, System: anthropic.MessageCountTokensParamsSystemUnion{OfTextBlockArray: p.System}})
	ok(t, err)
	res, err := c.Messages.New(within(t), p)
	ok(t, err)
	equal(t, "counted tokens", n.InputTokens, res.Usage.InputTokens)
}

func anthropicModels(t *testing.T, target Target) {
	c := newAnthropic(t, target)
	var names []string
	pages := c.Models.ListAutoPaging(within(t), anthropic.ModelListParams{})
	for pages.Next() {
		names = append(names, pages.Current().ID)
	}
	ok(t, pages.Err())
	contains(t, "models", strings.Join(names, " "), target.Model)
	m, err := c.Models.Get(within(t), target.Model, anthropic.ModelGetParams{})
	ok(t, err)
	equal(t, "model", m.ID, target.Model)
	_, err = c.Models.Get(within(t), "no-such-model", anthropic.ModelGetParams{})
	anthropicFailed(t, err, 404, shared.ErrorTypeNotFoundError)
}

// anthropicFailed wants the SDK's own error type with this status and type.
func anthropicFailed(t *testing.T, err error, status int, kind shared.ErrorType) *anthropic.Error {
	t.Helper()
	var e *anthropic.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *anthropic.Error", err, err)
	}
	equal(t, "status", e.StatusCode, status)
	equal(t, "type", e.Type(), kind)
	return e
}

func anthropicErrors(t *testing.T, target Target) {
	c := newAnthropic(t, target)
	_, err := c.Messages.New(within(t), messageParams(target, "sim: error=429"))
	e := anthropicFailed(t, err, 429, shared.ErrorTypeRateLimitError)
	equal(t, "retry after", e.Response.Header.Get("Retry-After"), "1")
	_, err = c.Messages.New(within(t), messageParams(target, "sim: error=529"))
	anthropicFailed(t, err, 529, shared.ErrorTypeOverloadedError)

	stream := c.Messages.NewStreaming(within(t), messageParams(target, "sim: tokens=9 error=529 after=2"))
	for stream.Next() {
	}
	// Inside a stream the status was 200; the type says what happened.
	anthropicFailed(t, stream.Err(), 200, shared.ErrorTypeOverloadedError)
	stream = c.Messages.NewStreaming(within(t), messageParams(target, "sim: tokens=9 cut=2"))
	for stream.Next() {
	}
	if !errors.Is(stream.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("a stream broken off ends with %v", stream.Err())
	}
}
