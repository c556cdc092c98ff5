package sdktest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func newOpenAI(t *testing.T, target Target) openai.Client {
	return openai.NewClient(option.WithBaseURL(target.URL+"/v1"), option.WithAPIKey(target.Key),
		option.WithHTTPClient(client(t)), option.WithMaxRetries(0))
}

func chatParams(target Target, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:            target.Model,
		Messages:         []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(text)},
		SafetyIdentifier: openai.String("user-1"),
	}
}

func responseParams(target Target, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: target.Model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
}

func openaiSuite(t *testing.T, target Target) {
	t.Run("chat", func(t *testing.T) { openaiChat(t, target) })
	t.Run("chat stream", func(t *testing.T) { openaiChatStream(t, target) })
	t.Run("chat tools", func(t *testing.T) { openaiChatTools(t, target) })
	t.Run("responses", func(t *testing.T) { openaiResponses(t, target) })
	t.Run("responses stream", func(t *testing.T) { openaiResponsesStream(t, target) })
	t.Run("completions", func(t *testing.T) { openaiCompletions(t, target) })
	t.Run("embeddings", func(t *testing.T) { openaiEmbeddings(t, target) })
	t.Run("models", func(t *testing.T) { openaiModels(t, target) })
	t.Run("errors", func(t *testing.T) { openaiErrors(t, target) })
}

func openaiChat(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	p := chatParams(target, sayIt)
	p.N = openai.Int(2)
	res, err := c.Chat.Completions.New(within(t), p)
	ok(t, err)
	equal(t, "choices", len(res.Choices), 2)
	equal(t, "text", res.Choices[1].Message.Content, said)
	equal(t, "finish reason", res.Choices[0].FinishReason, "stop")
	equal(t, "output tokens", res.Usage.CompletionTokens, 2*saidTokens)
	equal(t, "total", res.Usage.TotalTokens, res.Usage.PromptTokens+res.Usage.CompletionTokens)
	equal(t, "model", res.Model, target.Model)

	p = chatParams(target, sayIt)
	p.MaxCompletionTokens = openai.Int(3)
	res, err = c.Chat.Completions.New(within(t), p)
	ok(t, err)
	equal(t, "bounded finish reason", res.Choices[0].FinishReason, "length")
	equal(t, "bounded tokens", res.Usage.CompletionTokens, 3)
	if !strings.HasPrefix(said, res.Choices[0].Message.Content) {
		t.Errorf("bounded text %q does not begin the whole", res.Choices[0].Message.Content)
	}
}

func openaiChatStream(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	p := chatParams(target, sayIt)
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := c.Chat.Completions.NewStreaming(within(t), p)
	var acc openai.ChatCompletionAccumulator
	deltas := 0
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatal("the chunk does not continue the answer")
		}
		for _, choice := range stream.Current().Choices {
			if choice.Delta.Content != "" {
				deltas++
			}
		}
	}
	ok(t, stream.Err())
	equal(t, "deltas", deltas, saidTokens)
	equal(t, "text", acc.Choices[0].Message.Content, said)
	equal(t, "finish reason", acc.Choices[0].FinishReason, "stop")
	equal(t, "output tokens", acc.Usage.CompletionTokens, saidTokens)
}

func openaiChatTools(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	p := chatParams(target, "sim: tool=weather")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "weather", Parameters: city})}
	res, err := c.Chat.Completions.New(within(t), p)
	ok(t, err)
	equal(t, "finish reason", res.Choices[0].FinishReason, "tool_calls")
	equal(t, "calls", len(res.Choices[0].Message.ToolCalls), 1)
	call := res.Choices[0].Message.ToolCalls[0]
	equal(t, "tool", call.Function.Name, "weather")
	equal(t, "arguments", call.Function.Arguments, cityArguments)

	stream := c.Chat.Completions.NewStreaming(within(t), p)
	var acc openai.ChatCompletionAccumulator
	var finished []openai.FinishedChatCompletionToolCall
	for stream.Next() {
		acc.AddChunk(stream.Current())
		if call, done := acc.JustFinishedToolCall(); done {
			finished = append(finished, call)
		}
	}
	ok(t, stream.Err())
	if len(finished) != 1 || finished[0].Name != "weather" || finished[0].Arguments != cityArguments {
		t.Errorf("streamed calls %+v", finished)
	}

	// The conversation goes on with the tool's result.
	p.Messages = append(p.Messages, res.Choices[0].Message.ToParam(), openai.ToolMessage("12 degrees", call.ID))
	res, err = c.Chat.Completions.New(within(t), p)
	ok(t, err)
	equal(t, "finish reason after the result", res.Choices[0].FinishReason, "stop")
}

func openaiResponses(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	p := responseParams(target, sayIt)
	p.Instructions = openai.String("Be brief.")
	p.Metadata = shared.Metadata{"ticket": "7"}
	res, err := c.Responses.New(within(t), p)
	ok(t, err)
	equal(t, "text", res.OutputText(), said)
	equal(t, "status", res.Status, responses.ResponseStatusCompleted)
	equal(t, "output tokens", res.Usage.OutputTokens, saidTokens)
	equal(t, "metadata", res.Metadata["ticket"], "7")

	p.MaxOutputTokens = openai.Int(2)
	res, err = c.Responses.New(within(t), p)
	ok(t, err)
	equal(t, "bounded status", res.Status, responses.ResponseStatusIncomplete)
	equal(t, "why", string(res.IncompleteDetails.Reason), "max_output_tokens")

	p = responseParams(target, "sim: tool=weather")
	p.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", city, true)}
	res, err = c.Responses.New(within(t), p)
	ok(t, err)
	equal(t, "items", len(res.Output), 1)
	call := res.Output[0].AsFunctionCall()
	equal(t, "tool", call.Name, "weather")
	equal(t, "arguments", call.Arguments, cityArguments)
}

func openaiResponsesStream(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	stream := c.Responses.NewStreaming(within(t), responseParams(target, sayIt))
	var text, done string
	var last responses.Response
	next := int64(0)
	for stream.Next() {
		e := stream.Current()
		equal(t, "sequence number", e.SequenceNumber, next)
		next++
		switch e := e.AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text += e.Delta
		case responses.ResponseTextDoneEvent:
			done = e.Text
		case responses.ResponseCompletedEvent:
			last = e.Response
		}
	}
	ok(t, stream.Err())
	equal(t, "text of deltas", text, said)
	equal(t, "text when done", done, said)
	equal(t, "text of the response", last.OutputText(), said)
	equal(t, "output tokens", last.Usage.OutputTokens, saidTokens)

	p := responseParams(target, "sim: tool=weather")
	p.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", city, true)}
	stream = c.Responses.NewStreaming(within(t), p)
	var arguments string
	for stream.Next() {
		if e, is := stream.Current().AsAny().(responses.ResponseFunctionCallArgumentsDeltaEvent); is {
			arguments += e.Delta
		}
	}
	ok(t, stream.Err())
	equal(t, "streamed arguments", arguments, cityArguments)
}

func openaiCompletions(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	p := openai.CompletionNewParams{Model: openai.CompletionNewParamsModel(target.Model), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(sayIt)}}
	res, err := c.Completions.New(within(t), p)
	ok(t, err)
	equal(t, "text", res.Choices[0].Text, said)
	stream := c.Completions.NewStreaming(within(t), p)
	var text string
	for stream.Next() {
		text += stream.Current().Choices[0].Text
	}
	ok(t, stream.Err())
	equal(t, "streamed text", text, said)
}

func openaiEmbeddings(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	p := openai.EmbeddingNewParams{Model: target.Model, Dimensions: openai.Int(64), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two", "one"}}}
	res, err := c.Embeddings.New(within(t), p)
	ok(t, err)
	equal(t, "embeddings", len(res.Data), 3)
	equal(t, "dimensions", len(res.Data[0].Embedding), 64)
	equal(t, "the same text again", res.Data[2].Embedding[7], res.Data[0].Embedding[7])
	if res.Data[1].Embedding[7] == res.Data[0].Embedding[7] {
		t.Error("another text has the same embedding")
	}
}

func openaiModels(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	var names []string
	pages := c.Models.ListAutoPaging(within(t))
	for pages.Next() {
		names = append(names, pages.Current().ID)
	}
	ok(t, pages.Err())
	contains(t, "models", strings.Join(names, " "), target.Model)
	m, err := c.Models.Get(within(t), target.Model)
	ok(t, err)
	equal(t, "model", m.ID, target.Model)
	_, err = c.Models.Get(within(t), "no-such-model")
	openaiFailed(t, err, 404)
}

// openaiFailed wants the SDK's own error type with this status.
func openaiFailed(t *testing.T, err error, status int) *openai.Error {
	t.Helper()
	var e *openai.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *openai.Error", err, err)
	}
	equal(t, "status", e.StatusCode, status)
	return e
}

func openaiErrors(t *testing.T, target Target) {
	c := newOpenAI(t, target)
	_, err := c.Chat.Completions.New(within(t), chatParams(target, "sim: error=429"))
	e := openaiFailed(t, err, 429)
	equal(t, "code", e.Code, "rate_limit_exceeded")
	equal(t, "retry after", e.Response.Header.Get("Retry-After"), "1")
	_, err = c.Responses.New(within(t), responseParams(target, "sim: error=400"))
	equal(t, "type", openaiFailed(t, err, 400).Type, "invalid_request_error")
	stream := c.Chat.Completions.NewStreaming(within(t), chatParams(target, "sim: error=503"))
	if stream.Next() {
		t.Error("a refused stream has a chunk")
	}
	openaiFailed(t, stream.Err(), 503)

	var streamed *ssestream.StreamError
	stream = c.Chat.Completions.NewStreaming(within(t), chatParams(target, "sim: tokens=9 error=503 after=2"))
	for stream.Next() {
	}
	if !errors.As(stream.Err(), &streamed) {
		t.Errorf("an error inside a stream is %T (%v), want *ssestream.StreamError", stream.Err(), stream.Err())
	}
	rs := c.Responses.NewStreaming(within(t), responseParams(target, "sim: tokens=9 error=503 after=2"))
	for rs.Next() {
	}
	if !errors.As(rs.Err(), &streamed) {
		t.Errorf("an error inside a response stream is %T (%v), want *ssestream.StreamError", rs.Err(), rs.Err())
	}
	stream = c.Chat.Completions.NewStreaming(within(t), chatParams(target, "sim: tokens=9 cut=2"))
	for stream.Next() {
	}
	if !errors.Is(stream.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("a stream broken off ends with %v", stream.Err())
	}
}
