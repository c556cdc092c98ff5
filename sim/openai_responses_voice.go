package sim

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// responseVoice says an answer as a response object and its typed events.
type responseVoice struct {
	a    *answer
	q    *responsesRequest
	c    *call
	seq  int64  // of the next event
	head []byte // of the delta events, up to the text
	tail []byte // and after it, up to the sequence number

	failure []byte // the error object of a failed response, without its closing brace
}

func (v *responseVoice) kind() []string { return typeSSE }

func (v *responseVoice) status() string {
	if v.a.why == finishLength {
		return "incomplete"
	}
	return "completed"
}

// response appends the response object: in progress, or as it ended.
func (v *responseVoice) response(b []byte, status string) []byte {
	a, q := v.a, v.q
	over := status == "completed" || status == "incomplete"
	raw := func(name string, value jsontext.Value, absent string) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		if len(value) == 0 {
			b = append(b, absent...)
		} else {
			b = append(b, value...)
		}
	}
	b = append(b, `{"id":"`...)
	b = appendID(b, "resp_", a.seq)
	b = append(b, `","object":"response","created_at":`...)
	b = strconv.AppendInt(b, a.created.Unix(), 10)
	b = append(b, `,"status":"`...)
	b = append(b, status...)
	b = append(b, `","background":`...)
	b = strconv.AppendBool(b, q.Background)
	b = append(b, `,"completed_at":`...)
	if status == "completed" {
		b = strconv.AppendInt(b, v.c.sim.cfg.Now().Unix(), 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"error":`...)
	if status == "failed" {
		b = append(append(b, v.failure...), '}')
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"incomplete_details":`...)
	if status == "incomplete" {
		b = append(b, `{"reason":"max_output_tokens"}`...)
	} else {
		b = append(b, "null"...)
	}
	raw("instructions", q.Instructions, "null")
	b = append(b, `,"max_output_tokens":`...)
	if q.MaxOutputTokens == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, *q.MaxOutputTokens, 10)
	}
	b = append(b, `,"max_tool_calls":null,"model":`...)
	b = quote(b, a.model)
	b = append(b, `,"output":[`...)
	if over {
		b = v.item(b, status, true)
	}
	b = append(b, ']')
	raw("parallel_tool_calls", q.ParallelToolCalls, "true")
	raw("previous_response_id", q.PreviousResponseID, "null")
	raw("prompt_cache_key", q.PromptCacheKey, "null")
	b = append(b, `,"reasoning":{"effort":null,"summary":null}`...)
	raw("safety_identifier", q.SafetyIdentifier, "null")
	b = append(b, `,"service_tier":"default"`...)
	raw("store", q.Store, "true")
	raw("temperature", q.Temperature, "1.0")
	b = append(b, `,"text":{"format":{"type":"text"},"verbosity":"medium"}`...)
	raw("tool_choice", q.ToolChoice, `"auto"`)
	raw("tools", q.Tools, "[]")
	raw("top_p", q.TopP, "1.0")
	b = append(b, `,"top_logprobs":0`...)
	raw("truncation", q.Truncation, `"disabled"`)
	b = append(b, `,"usage":`...)
	if over {
		in, out := a.input, a.output()
		b = append(b, `{"input_tokens":`...)
		b = strconv.AppendInt(b, in, 10)
		b = append(b, `,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":`...)
		b = strconv.AppendInt(b, out, 10)
		b = append(b, `,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":`...)
		b = append(strconv.AppendInt(b, in+out, 10), '}')
	} else {
		b = append(b, "null"...)
	}
	raw("user", q.User, "null")
	raw("metadata", q.Metadata, "{}")
	return append(b, '}')
}

// itemID appends the identifier of the one output item.
func (v *responseVoice) itemID(b []byte) []byte {
	if v.a.tool != "" {
		return appendID(b, "fc_", v.a.seq)
	}
	return appendID(b, "msg_", v.a.seq)
}

// item appends the output item, empty or filled.
func (v *responseVoice) item(b []byte, status string, filled bool) []byte {
	b = append(b, `{"id":"`...)
	b = v.itemID(b)
	if v.a.tool != "" {
		b = append(b, `","type":"function_call","status":"`...)
		b = append(b, status...)
		b = append(b, `","arguments":"`...)
		if filled {
			b = v.a.says[0].appendAll(b)
		}
		b = append(b, `","call_id":"`...)
		b = appendID(b, "call_", v.a.seq)
		b = append(b, `","name":`...)
		b = quote(b, v.a.tool)
		return append(b, '}')
	}
	b = append(b, `","type":"message","status":"`...)
	b = append(b, status...)
	b = append(b, `","content":[`...)
	if filled {
		b = v.part(b, true)
	}
	return append(b, `],"role":"assistant"}`...)
}

// part appends the text part of the message.
func (v *responseVoice) part(b []byte, filled bool) []byte {
	b = append(b, `{"type":"output_text","annotations":[],"logprobs":[],"text":"`...)
	if filled {
		b = v.a.says[0].appendAll(b)
	}
	return append(b, `"}`...)
}

func (v *responseVoice) plain(b []byte) []byte { return v.response(b, v.status()) }

// event begins an event; the caller appends the rest and calls sequence.
func (v *responseVoice) event(o *stream, name string) {
	o.buf = append(append(o.buf, "event: "...), name...)
	o.buf = append(append(o.buf, "\ndata: {\"type\":\""...), name...)
	o.buf = append(o.buf, '"')
}

// place says which item, and for text which part, an event is about.
func (v *responseVoice) place(b []byte) []byte {
	b = append(b, `,"item_id":"`...)
	b = v.itemID(b)
	b = append(b, `","output_index":0`...)
	if v.a.tool == "" {
		b = append(b, `,"content_index":0`...)
	}
	return b
}

// sequence ends an event with its number, ready to be sent.
func (v *responseVoice) sequence(o *stream) {
	o.buf = append(o.buf, `,"sequence_number":`...)
	o.buf = strconv.AppendInt(o.buf, v.seq, 10)
	o.buf = append(o.buf, "}\n\n"...)
	v.seq++
}

func (v *responseVoice) begin(o *stream) {
	for _, name := range []string{"response.created", "response.in_progress"} {
		v.event(o, name)
		o.buf = append(o.buf, `,"response":`...)
		o.buf = v.response(o.buf, "in_progress")
		v.sequence(o)
		o.emit()
	}
	v.event(o, "response.output_item.added")
	o.buf = append(o.buf, `,"output_index":0,"item":`...)
	o.buf = v.item(o.buf, "in_progress", false)
	v.sequence(o)
	o.emit()

	kind, tail := "response.function_call_arguments.delta", `"`
	if v.a.tool == "" {
		kind, tail = "response.output_text.delta", `","logprobs":[]`
		v.event(o, "response.content_part.added")
		o.buf = v.place(o.buf)
		o.buf = append(o.buf, `,"part":`...)
		o.buf = v.part(o.buf, false)
		v.sequence(o)
		o.emit()
	}
	v.event(o, kind)
	v.head = append(v.place(append([]byte(nil), o.buf...)), `,"delta":"`...)
	v.tail = []byte(tail)
	o.buf = o.buf[:0]
}

func (v *responseVoice) piece(o *stream, i int) {
	o.buf = append(o.buf, v.head...)
	o.buf = v.a.says[0].appendPiece(o.buf, i)
	o.buf = append(o.buf, v.tail...)
	v.sequence(o)
	o.emit()
}

func (v *responseVoice) end(o *stream) {
	status := v.status()
	if v.a.tool != "" {
		v.event(o, "response.function_call_arguments.done")
		o.buf = v.place(o.buf)
		o.buf = append(o.buf, `,"name":`...)
		o.buf = quote(o.buf, v.a.tool)
		o.buf = append(o.buf, `,"arguments":"`...)
		o.buf = append(v.a.says[0].appendAll(o.buf), '"')
		v.sequence(o)
		o.emit()
	} else {
		v.event(o, "response.output_text.done")
		o.buf = v.place(o.buf)
		o.buf = append(o.buf, `,"text":"`...)
		o.buf = append(v.a.says[0].appendAll(o.buf), `","logprobs":[]`...)
		v.sequence(o)
		o.emit()
		v.event(o, "response.content_part.done")
		o.buf = v.place(o.buf)
		o.buf = append(o.buf, `,"part":`...)
		o.buf = v.part(o.buf, true)
		v.sequence(o)
		o.emit()
	}
	v.event(o, "response.output_item.done")
	o.buf = append(o.buf, `,"output_index":0,"item":`...)
	o.buf = v.item(o.buf, status, true)
	v.sequence(o)
	o.emit()
	v.event(o, "response."+status)
	o.buf = append(o.buf, `,"response":`...)
	o.buf = v.response(o.buf, status)
	v.sequence(o)
	o.last(endComplete)
}

// fail is the error event and the failed response, as recorded exchanges have
// them: the error is an object of its own, which is what SDKs raise on.
func (v *responseVoice) fail(o *stream, status int) {
	kind, code := openaiError(status)
	if code == "" {
		code = "server_error"
	}
	v.event(o, "error")
	o.buf = append(o.buf, `,"error":{"type":`...)
	o.buf = quote(o.buf, kind)
	o.buf = append(o.buf, `,"code":`...)
	o.buf = quote(o.buf, code)
	o.buf = append(o.buf, `,"message":`...)
	o.buf = quote(o.buf, statusMessage(status))
	o.buf = append(o.buf, `,"param":null}`...)
	v.sequence(o)
	o.emit()
	v.failure = quote(append(quote([]byte(`{"code":`), code), `,"message":`...), statusMessage(status))
	v.event(o, "response.failed")
	o.buf = append(o.buf, `,"response":`...)
	o.buf = v.response(o.buf, "failed")
	v.sequence(o)
	o.last(endComplete)
}
