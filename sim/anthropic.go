package sim

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Anthropic's messages, https://docs.anthropic.com/en/api/messages.

type messagesRequest struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	System   text   `json:"system"`
	Messages []struct {
		Role    string `json:"role"`
		Content text   `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name        string         `json:"name"`
		InputSchema jsontext.Value `json:"input_schema"`
	} `json:"tools"`
	ToolChoice jsontext.Value `json:"tool_choice"`
	MaxTokens  *int64         `json:"max_tokens"`
}

func (q *messagesRequest) prompt() (*prompt, error) {
	p := &prompt{model: q.Model, stream: q.Stream, n: 1}
	if q.Model == "" {
		return nil, errors.New("model: Field required")
	}
	if len(q.Messages) == 0 {
		return nil, errors.New("messages: at least one message is required")
	}
	if q.System.some {
		p.input += tokensIn(q.System.s)
	}
	for i := range q.Messages {
		p.take(q.Messages[i].Role, &q.Messages[i].Content)
	}
	for i := range q.Tools {
		p.offer(q.Tools[i].Name, q.Tools[i].InputSchema)
	}
	p.insist(q.ToolChoice)
	return p, nil
}

func (c *call) messages() {
	var q messagesRequest
	if !c.read(&q) {
		return
	}
	p, err := q.prompt()
	if err == nil {
		if err = p.bound("max_tokens", q.MaxTokens); q.MaxTokens == nil {
			err = errors.New("max_tokens: Field required")
		}
	}
	if c.bad(err) {
		return
	}
	a, err := plan(p, c)
	if c.bad(err) {
		return
	}
	c.speak(a, &messageVoice{a: a}, p.stream)
}

func (c *call) countTokens() {
	var q messagesRequest
	if !c.read(&q) {
		return
	}
	p, err := q.prompt()
	if c.bad(err) {
		return
	}
	b := strconv.AppendInt([]byte(`{"input_tokens":`), max(1, p.input), 10)
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, append(b, '}'))
}

// messageVoice says an answer as a message.
type messageVoice struct{ a *answer }

func (v *messageVoice) kind() []string { return typeSSE }

func (v *messageVoice) reason() string {
	switch v.a.why {
	case finishLength:
		return "max_tokens"
	case finishTool:
		return "tool_use"
	}
	return "end_turn"
}

// message appends the message object with the given content and end.
func (v *messageVoice) message(b []byte, content func([]byte) []byte, reason string, out int64) []byte {
	b = append(b, `{"model":`...)
	b = quote(b, v.a.model)
	b = append(b, `,"id":"`...)
	b = appendID(b, "msg_", v.a.seq)
	b = append(b, `","type":"message","role":"assistant","content":[`...)
	b = content(b)
	b = append(b, `],"stop_reason":`...)
	if reason == "" {
		b = append(b, "null"...)
	} else {
		b = quote(b, reason)
	}
	b = append(b, `,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":{"input_tokens":`...)
	b = strconv.AppendInt(b, v.a.input, 10)
	b = append(b, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":`...)
	b = strconv.AppendInt(b, out, 10)
	return append(b, `,"output_tokens_details":null,"server_tool_use":null,"service_tier":"standard","speed":null,"inference_geo":"not_available"}}`...)
}

func (v *messageVoice) plain(b []byte) []byte {
	return v.message(b, func(b []byte) []byte {
		a := v.a
		if a.tool == "" {
			b = append(b, `{"type":"text","text":"`...)
			b = a.says[0].appendAll(b)
			return append(b, `","citations":null}`...)
		}
		args := a.args
		if !a.whole() {
			args = "{}" // cut short by the bound: no object to show
		}
		return v.toolUse(b, args)
	}, v.reason(), v.a.output())
}

func (v *messageVoice) toolUse(b []byte, args string) []byte {
	b = append(b, `{"type":"tool_use","id":"`...)
	b = appendID(b, "toolu_", v.a.seq)
	b = append(b, `","name":`...)
	b = quote(b, v.a.tool)
	b = append(b, `,"input":`...)
	b = append(b, args...)
	return append(b, `,"caller":{"type":"direct"}}`...)
}

func (v *messageVoice) begin(o *stream) {
	o.buf = append(o.buf, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	o.buf = v.message(o.buf, func(b []byte) []byte { return b }, "", 1)
	o.buf = append(o.buf, "}\n\n"...)
	o.emit()
	o.buf = append(o.buf, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":"...)
	if v.a.tool != "" {
		o.buf = v.toolUse(o.buf, "{}")
	} else {
		o.buf = append(o.buf, `{"type":"text","text":"","citations":null}`...)
	}
	o.buf = append(o.buf, "}\n\n"...)
	o.emit()
	o.buf = append(o.buf, "event: ping\ndata: {\"type\": \"ping\"}\n\n"...)
	o.emit()
}

func (v *messageVoice) piece(o *stream, i int) {
	o.buf = append(o.buf, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"...)
	if v.a.tool != "" {
		o.buf = append(o.buf, `{"type":"input_json_delta","partial_json":"`...)
	} else {
		o.buf = append(o.buf, `{"type":"text_delta","text":"`...)
	}
	o.buf = v.a.says[0].appendPiece(o.buf, i)
	o.buf = append(o.buf, "\"}}\n\n"...)
	o.emit()
}

func (v *messageVoice) end(o *stream) {
	o.buf = append(o.buf, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"...)
	o.emit()
	o.buf = append(o.buf, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"...)
	o.buf = quote(o.buf, v.reason())
	o.buf = append(o.buf, `,"stop_sequence":null,"stop_details":null,"container":null},"usage":{"input_tokens":`...)
	o.buf = strconv.AppendInt(o.buf, v.a.input, 10)
	o.buf = append(o.buf, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":`...)
	o.buf = strconv.AppendInt(o.buf, v.a.output(), 10)
	o.buf = append(o.buf, ",\"output_tokens_details\":null,\"server_tool_use\":null}}\n\n"...)
	o.emit()
	o.buf = append(o.buf, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
	o.last(endComplete)
}

func (v *messageVoice) fail(o *stream, status int) {
	o.buf = append(o.buf, "event: error\ndata: "...)
	o.buf = anthropic.appendError(o.buf, status, "", v.a.seq)
	o.buf = append(o.buf, "\n\n"...)
	o.last(endComplete)
}
