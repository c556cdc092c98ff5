package sdktest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"

	"andon/gateway"
)

// A batch that an SDK has made is cancelled at its provider when its model is
// taken away, and what the SDK asks of it then is refused in its own way.
func TestGatewayBatches(t *testing.T) {
	f := newFrontWith(t, func(c *gateway.Config) { c.Upstreams[0].Account = "pass" })
	o, a := newOpenAI(t, f.Target), newAnthropic(t, f.Target)
	lines := `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"sim-large","messages":[{"role":"user","content":"sim: tokens=100 interval=10s"}]}}` + "\n"
	file, err := o.Files.New(within(t), openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader(lines), "lines.jsonl", "application/jsonl")})
	ok(t, err)
	params := openai.BatchNewParams{InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: openai.BatchNewParamsCompletionWindow24h}
	batch, err := o.Batches.New(within(t), params)
	ok(t, err)
	if batch.Status != openai.BatchStatusInProgress {
		t.Fatalf("the batch is %s", batch.Status)
	}
	messages := anthropic.MessageBatchNewParams{Requests: []anthropic.MessageBatchNewParamsRequest{{CustomID: "a", Params: anthropic.MessageBatchNewParamsRequestParams{
		Model: "sim-large", MaxTokens: 500, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("sim: tokens=100 interval=10s"))}}}}}
	ofMessages, err := a.Messages.Batches.New(within(t), messages)
	ok(t, err)

	r := f.stop(t, 0, 0)
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited too long for the cancelled %s", what)
			}
		}
	}
	await("batch", func() bool {
		b, err := o.Batches.Get(within(t), batch.ID) // where it stands is told, whatever is stopped
		ok(t, err)
		return b.Status == openai.BatchStatusCancelled
	})
	await("message batch", func() bool {
		b, err := a.Messages.Batches.Get(within(t), ofMessages.ID, anthropic.MessageBatchGetParams{})
		ok(t, err)
		return b.RequestCounts.Canceled == 1
	})
	_, err = o.Batches.New(within(t), params)
	r.openai(t, "another batch", err, false)
	_, err = a.Messages.Batches.New(within(t), messages)
	r.anthropic(t, "another message batch", err, false)
	_, err = o.Files.New(within(t), openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(bytes.NewReader([]byte(lines)), "lines.jsonl", "application/jsonl")})
	r.openai(t, "another file", err, false)
	if e := (*openai.Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Message, "Line 1 of the batch") {
		t.Errorf("which line: %v", err)
	}
}
