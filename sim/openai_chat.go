package sim

import (
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// OpenAI's chat completions, https://platform.openai.com/docs/api-reference/chat.

type chatRequest struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages []struct {
		Role    string `json:"role"`
		Content text   `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name       string         `json:"name"`
			Parameters jsontext.Value `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	ToolChoice          jsontext.Value `json:"tool_choice"`
	N                   *int           `json:"n"`
	MaxTokens           *int64         `json:"max_tokens"`
	MaxCompletionTokens *int64         `json:"max_completion_tokens"`
}

func (q *chatRequest) prompt() (*prompt, error) {
	p := &prompt{model: q.Model, stream: q.Stream}
	if q.Model == "" {
		return nil, errNoModel
	}
	if len(q.Messages) == 0 {
		return nil, errors.New("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	for i := range q.Messages {
		p.take(q.Messages[i].Role, &q.Messages[i].Content)
	}
	for i := range q.Tools {
		p.offer(q.Tools[i].Function.Name, q.Tools[i].Function.Parameters)
	}
	p.insist(q.ToolChoice)
	return p, errors.Join(p.want("n", q.N), p.bound("max_tokens", q.MaxTokens),
		p.bound("max_completion_tokens", q.MaxCompletionTokens))
}

var errNoModel = errors.New("you must provide a model parameter")

func (c *call) chat() {
	var q chatRequest
	if !c.read(&q) {
		return
	}
	p, err := q.prompt()
	if c.bad(err) {
		return
	}
	a, err := plan(p, c)
	if c.bad(err) {
		return
	}
	c.speak(a, &chatVoice{a: a, usage: q.StreamOptions.IncludeUsage}, p.stream)
}

// chatVoice says an answer as a chat completion.
type chatVoice struct {
	a     *answer
	usage bool   // the stream ends with a chunk of usage
	head  []byte // what every chunk begins with
	tail  []byte // what every chunk ends with
}

func (v *chatVoice) kind() []string { return typeSSE }

func (v *chatVoice) finish() string {
	switch v.a.why {
	case finishLength:
		return "length"
	case finishTool:
		return "tool_calls"
	}
	return "stop"
}

func (v *chatVoice) plain(b []byte) []byte {
	a := v.a
	b = append(b, `{"id":"`...)
	b = appendID(b, "chatcmpl-", a.seq)
	b = append(b, `","object":"chat.completion","created":`...)
	b = strconv.AppendInt(b, a.created.Unix(), 10)
	b = append(b, `,"model":`...)
	b = quote(b, a.model)
	b = append(b, `,"choices":[`...)
	for i := range a.says {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"message":{"role":"assistant","content":`...)
		if a.tool != "" {
			b = append(b, `null,"refusal":null,"annotations":[],"tool_calls":[{"id":"`...)
			b = appendID(b, "call_", a.seq)
			b = append(b, `","type":"function","function":{"name":`...)
			b = quote(b, a.tool)
			b = append(b, `,"arguments":"`...)
			b = a.says[i].appendAll(b)
			b = append(b, `"}}]}`...)
		} else {
			b = append(b, '"')
			b = a.says[i].appendAll(b)
			b = append(b, `","refusal":null,"annotations":[]}`...)
		}
		b = append(b, `,"logprobs":null,"finish_reason":"`...)
		b = append(b, v.finish()...)
		b = append(b, `"}`...)
	}
	b = append(b, `],"usage":`...)
	b = appendChatUsage(b, a.input, a.output())
	return append(b, `,"service_tier":"default","system_fingerprint":"fp_sim"}`...)
}

func appendChatUsage(b []byte, in, out int64) []byte {
	b = append(b, `{"prompt_tokens":`...)
	b = strconv.AppendInt(b, in, 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, out, 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, in+out, 10)
	return append(b, `,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

// chunk emits one delta of one choice. The end of a delta is its closing brace.
func (v *chatVoice) chunk(o *stream, i int) {
	o.buf = append(o.buf, v.head...)
	o.buf = append(o.buf, `[{"index":`...)
	o.buf = strconv.AppendInt(o.buf, int64(i), 10)
	o.buf = append(o.buf, `,"delta":`...)
}

const chatOpen = `,"logprobs":null,"finish_reason":null}]`

func (v *chatVoice) begin(o *stream) {
	a := v.a
	b := append(v.head, `data: {"id":"`...)
	b = appendID(b, "chatcmpl-", a.seq)
	b = append(b, `","object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, a.created.Unix(), 10)
	b = append(b, `,"model":`...)
	b = quote(b, a.model)
	v.head = append(b, `,"service_tier":"default","system_fingerprint":"fp_sim","choices":`...)
	v.tail = []byte("}\n\n")
	if v.usage {
		v.tail = []byte(`,"usage":null}` + "\n\n")
	}
	for i := range a.says {
		v.chunk(o, i)
		if a.tool != "" {
			o.buf = append(o.buf, `{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"`...)
			o.buf = appendID(o.buf, "call_", a.seq)
			o.buf = append(o.buf, `","type":"function","function":{"name":`...)
			o.buf = quote(o.buf, a.tool)
			o.buf = append(o.buf, `,"arguments":""}}],"refusal":null}`...)
		} else {
			o.buf = append(o.buf, `{"role":"assistant","content":"","refusal":null}`...)
		}
		o.buf = append(append(o.buf, chatOpen...), v.tail...)
		o.emit()
	}
}

func (v *chatVoice) piece(o *stream, i int) {
	for k := range v.a.says {
		v.chunk(o, k)
		if v.a.tool != "" {
			o.buf = append(o.buf, `{"tool_calls":[{"index":0,"function":{"arguments":"`...)
			o.buf = v.a.says[k].appendPiece(o.buf, i)
			o.buf = append(o.buf, `"}}]}`...)
		} else {
			o.buf = append(o.buf, `{"content":"`...)
			o.buf = v.a.says[k].appendPiece(o.buf, i)
			o.buf = append(o.buf, `"}`...)
		}
		o.buf = append(append(o.buf, chatOpen...), v.tail...)
		o.emit()
	}
}

func (v *chatVoice) end(o *stream) {
	for k := range v.a.says {
		v.chunk(o, k)
		o.buf = append(o.buf, `{},"logprobs":null,"finish_reason":"`...)
		o.buf = append(o.buf, v.finish()...)
		o.buf = append(append(o.buf, `"}]`...), v.tail...)
		o.emit()
	}
	if v.usage {
		o.buf = append(append(o.buf, v.head...), `[],"usage":`...)
		o.buf = appendChatUsage(o.buf, v.a.input, v.a.output())
		o.buf = append(o.buf, "}\n\n"...)
		o.emit()
	}
	o.buf = append(o.buf, "data: [DONE]\n\n"...)
	o.last(endComplete)
}

func (v *chatVoice) fail(o *stream, status int) {
	o.buf = append(o.buf, "data: "...)
	o.buf = openai.appendError(o.buf, status, "", v.a.seq)
	o.buf = append(o.buf, "\n\n"...)
	o.last(endComplete)
}
