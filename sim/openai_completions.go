package sim

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// OpenAI's older completions, https://platform.openai.com/docs/api-reference/completions.

type completionRequest struct {
	Model         string         `json:"model"`
	Prompt        jsontext.Value `json:"prompt"`
	Stream        bool           `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	N         *int   `json:"n"`
	MaxTokens *int64 `json:"max_tokens"`
}

func (c *call) completions() {
	var q completionRequest
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
	c.speak(a, &completionVoice{a: a, usage: q.StreamOptions.IncludeUsage}, p.stream)
}

func (q *completionRequest) prompt() (*prompt, error) {
	p := &prompt{model: q.Model, stream: q.Stream}
	if q.Model == "" {
		return nil, errNoModel
	}
	in, err := inputs(q.Prompt)
	if err != nil {
		return nil, errors.New("Invalid 'prompt': " + err.Error())
	}
	for _, one := range in {
		p.input += one.tokens
	}
	p.last = in[len(in)-1].text
	err = errors.Join(p.want("n", q.N), p.bound("max_tokens", q.MaxTokens))
	p.n = min(choices, p.n*len(in))
	return p, err
}

// input is one of the texts, or lists of token numbers, that a request holds.
type input struct {
	text   string // for token numbers, the numbers as text
	tokens int64
}

// inputs reads a string, a list of strings, a list of token numbers or a list
// of such lists.
func inputs(v jsontext.Value) ([]input, error) {
	var one string
	if len(v) == 0 {
		return nil, errors.New("it is missing")
	}
	if v.Kind() == '"' {
		err := json.Unmarshal(v, &one, reading)
		return []input{{one, tokensIn(one)}}, err
	}
	var list []jsontext.Value
	if err := json.Unmarshal(v, &list, reading); err != nil || len(list) == 0 {
		return nil, errors.New("want a text, or a list that is not empty")
	}
	if list[0].Kind() == '0' {
		return []input{{strings.TrimSpace(string(v)), int64(len(list))}}, nil
	}
	out := make([]input, 0, len(list))
	for _, item := range list {
		switch item.Kind() {
		case '"':
			if err := json.Unmarshal(item, &one, reading); err != nil {
				return nil, err
			}
			out = append(out, input{one, tokensIn(one)})
		case '[':
			var numbers []int64
			if err := json.Unmarshal(item, &numbers, reading); err != nil || len(numbers) == 0 {
				return nil, errors.New("want token numbers in each list")
			}
			out = append(out, input{string(item), int64(len(numbers))})
		default:
			return nil, errors.New("want texts or lists of token numbers")
		}
	}
	return out, nil
}

// completionVoice says an answer as a text completion.
type completionVoice struct {
	a     *answer
	usage bool
	head  []byte
	tail  []byte
}

func (v *completionVoice) kind() []string { return typeSSE }

func (v *completionVoice) finish() string {
	if v.a.why == finishLength {
		return "length"
	}
	return "stop"
}

// open appends everything up to the choices.
func (v *completionVoice) open(b []byte) []byte {
	b = append(b, `{"id":"`...)
	b = appendID(b, "cmpl-", v.a.seq)
	b = append(b, `","object":"text_completion","created":`...)
	b = strconv.AppendInt(b, v.a.created.Unix(), 10)
	b = append(b, `,"model":`...)
	b = quote(b, v.a.model)
	return append(b, `,"choices":[`...)
}

func appendCompletionUsage(b []byte, in, out int64) []byte {
	b = append(b, `{"prompt_tokens":`...)
	b = strconv.AppendInt(b, in, 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, out, 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, in+out, 10)
	return append(b, '}')
}

func (v *completionVoice) plain(b []byte) []byte {
	b = v.open(b)
	for i := range v.a.says {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"text":"`...)
		b = v.a.says[i].appendAll(b)
		b = append(b, `","index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"logprobs":null,"finish_reason":"`...)
		b = append(b, v.finish()...)
		b = append(b, `"}`...)
	}
	b = append(b, `],"usage":`...)
	return append(appendCompletionUsage(b, v.a.input, v.a.output()), '}')
}

func (v *completionVoice) begin(o *stream) {
	v.head = v.open([]byte("data: "))
	v.tail = []byte("]}\n\n")
	if v.usage {
		v.tail = []byte(`],"usage":null}` + "\n\n")
	}
	o.err = o.f.FlushError()
}

func (v *completionVoice) piece(o *stream, i int) {
	for k := range v.a.says {
		o.buf = append(append(o.buf, v.head...), `{"text":"`...)
		o.buf = v.a.says[k].appendPiece(o.buf, i)
		v.close(o, k, "null")
	}
}

// close emits the chunk of choice k, whose text has been begun.
func (v *completionVoice) close(o *stream, k int, reason string) {
	o.buf = append(o.buf, `","index":`...)
	o.buf = strconv.AppendInt(o.buf, int64(k), 10)
	o.buf = append(o.buf, `,"logprobs":null,"finish_reason":`...)
	o.buf = append(o.buf, reason...)
	o.buf = append(append(o.buf, '}'), v.tail...)
	o.emit()
}

func (v *completionVoice) end(o *stream) {
	for k := range v.a.says {
		o.buf = append(append(o.buf, v.head...), `{"text":"`...)
		v.close(o, k, `"`+v.finish()+`"`)
	}
	if v.usage {
		o.buf = append(append(o.buf, v.head...), `],"usage":`...)
		o.buf = appendCompletionUsage(o.buf, v.a.input, v.a.output())
		o.buf = append(o.buf, "}\n\n"...)
		o.emit()
	}
	o.buf = append(o.buf, "data: [DONE]\n\n"...)
	o.last(endComplete)
}

func (v *completionVoice) fail(o *stream, status int) {
	o.buf = append(o.buf, "data: "...)
	o.buf = openai.appendError(o.buf, status, "", v.a.seq)
	o.buf = append(o.buf, "\n\n"...)
	o.last(endComplete)
}
