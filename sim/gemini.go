package sim

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Gemini's generateContent and its siblings, https://ai.google.dev/api. Like
// every proto3 API it reads camelCase and snake_case alike.

type geminiContent struct {
	Role  string `json:"role"`
	Parts text   `json:"parts"`
}

type functionDeclaration struct {
	Name             string         `json:"name"`
	Parameters       jsontext.Value `json:"parameters"`
	ParametersSchema jsontext.Value `json:"parametersJsonSchema"`
}

type functionConfig struct {
	Mode    string   `json:"mode"`
	Allowed []string `json:"allowedFunctionNames"`
}

type geminiRequest struct {
	Contents           []geminiContent `json:"contents"`
	SystemInstruction  geminiContent   `json:"systemInstruction"`
	SystemInstruction2 geminiContent   `json:"system_instruction"`
	Tools              []struct {
		Functions  []functionDeclaration `json:"functionDeclarations"`
		Functions2 []functionDeclaration `json:"function_declarations"`
	} `json:"tools"`
	ToolConfig struct {
		Calling  functionConfig `json:"functionCallingConfig"`
		Calling2 functionConfig `json:"function_calling_config"`
	} `json:"toolConfig"`
	Generation  generationConfig `json:"generationConfig"`
	Generation2 generationConfig `json:"generation_config"`
}

type generationConfig struct {
	MaxOutputTokens  *int64 `json:"maxOutputTokens"`
	MaxOutputTokens2 *int64 `json:"max_output_tokens"`
	CandidateCount   *int   `json:"candidateCount"`
	CandidateCount2  *int   `json:"candidate_count"`
}

func (q *geminiRequest) prompt(model string) (*prompt, error) {
	p := &prompt{model: model, n: 1}
	if len(q.Contents) == 0 {
		return nil, errors.New("* GenerateContentRequest.contents: contents is not specified")
	}
	for _, t := range []*text{&q.SystemInstruction.Parts, &q.SystemInstruction2.Parts} {
		if t.some {
			p.input += tokensIn(t.s)
		}
	}
	for i := range q.Contents {
		role := q.Contents[i].Role
		if role == "" {
			role = "user"
		}
		p.take(role, &q.Contents[i].Parts)
	}
	for _, t := range q.Tools {
		for _, f := range append(t.Functions, t.Functions2...) {
			schema := f.Parameters
			if schema == nil {
				schema = f.ParametersSchema
			}
			p.offer(f.Name, schema)
		}
	}
	for _, f := range []functionConfig{q.ToolConfig.Calling, q.ToolConfig.Calling2} {
		switch strings.ToUpper(f.Mode) {
		case "NONE":
			p.never = true
		case "ANY":
			if p.must = "*"; len(f.Allowed) > 0 {
				p.must = f.Allowed[0]
			}
		}
	}
	for _, g := range []*generationConfig{&q.Generation, &q.Generation2} {
		for _, n := range []*int{g.CandidateCount, g.CandidateCount2} {
			if n != nil {
				if err := p.want("candidateCount", n); err != nil {
					return nil, err
				}
			}
		}
		for _, n := range []*int64{g.MaxOutputTokens, g.MaxOutputTokens2} {
			if err := p.bound("maxOutputTokens", n); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// geminiVerb answers models/{model}:{verb}; false if the verb is unknown.
func (c *call) geminiVerb(model, verb string) bool {
	switch verb {
	case "generateContent":
		c.generate(model, false, false)
	case "streamGenerateContent":
		c.generate(model, true, c.r.URL.Query().Get("alt") == "sse")
	case "countTokens":
		c.geminiCount(model)
	case "embedContent":
		c.embedContent(model)
	case "batchEmbedContents":
		c.batchEmbed(model)
	default:
		return false
	}
	return true
}

func (c *call) generate(model string, streaming, sse bool) {
	var q geminiRequest
	if !c.read(&q) {
		return
	}
	p, err := q.prompt(model)
	if c.bad(err) {
		return
	}
	a, err := plan(p, c)
	if c.bad(err) {
		return
	}
	c.speak(a, &geminiVoice{a: a, sse: sse}, streaming)
}

func (c *call) geminiCount(model string) {
	var q struct {
		geminiRequest
		Whole *geminiRequest `json:"generateContentRequest"`
	}
	if !c.read(&q) {
		return
	}
	if q.Whole == nil {
		q.Whole = &q.geminiRequest
	}
	p, err := q.Whole.prompt(model)
	if c.bad(err) {
		return
	}
	n := max(1, p.input)
	b := strconv.AppendInt([]byte(`{"totalTokens":`), n, 10)
	b = strconv.AppendInt(append(b, `,"promptTokensDetails":[{"modality":"TEXT","tokenCount":`...), n, 10)
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, append(b, `}]}`...))
}

// geminiVoice says an answer as generated content: server-sent events, or one
// JSON array that grows.
type geminiVoice struct {
	a    *answer
	sse  bool
	some bool // the array has begun
	said int64
}

func (v *geminiVoice) kind() []string {
	if v.sse {
		return typeEvents
	}
	return typeJSON
}

var typeEvents = []string{"text/event-stream"}

func (v *geminiVoice) reason() string {
	if v.a.why == finishLength {
		return "MAX_TOKENS"
	}
	return "STOP"
}

// frame puts a response into the stream's framing. last closes the array.
func (v *geminiVoice) frame(o *stream, body func([]byte) []byte, last bool) {
	switch {
	case v.sse:
		o.buf = append(o.buf, "data: "...)
	case v.some:
		o.buf = append(o.buf, ",\r\n"...)
	default:
		o.buf = append(o.buf, '[')
	}
	v.some = true
	o.buf = body(o.buf)
	switch {
	case v.sse:
		o.buf = append(o.buf, "\r\n\r\n"...)
	case last:
		o.buf = append(o.buf, "\n]"...)
	}
	if last {
		o.last(endComplete)
	} else {
		o.emit()
	}
}

// response appends one GenerateContentResponse; part appends the parts of a
// candidate, without brackets.
func (v *geminiVoice) response(b []byte, part func([]byte, *speech) []byte, reason string) []byte {
	b = append(b, `{"candidates":[`...)
	for i := range v.a.says {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"content":{"parts":[`...)
		b = part(b, &v.a.says[i])
		b = append(b, `],"role":"model"}`...)
		if reason != "" {
			b = append(b, `,"finishReason":"`...)
			b = append(b, reason...)
			b = append(b, '"')
		}
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, '}')
	}
	b = append(b, `],"usageMetadata":{"promptTokenCount":`...)
	b = strconv.AppendInt(b, v.a.input, 10)
	b = append(b, `,"candidatesTokenCount":`...)
	b = strconv.AppendInt(b, v.said, 10)
	b = append(b, `,"totalTokenCount":`...)
	b = strconv.AppendInt(b, v.a.input+v.said, 10)
	b = append(b, `,"promptTokensDetails":[{"modality":"TEXT","tokenCount":`...)
	b = strconv.AppendInt(b, v.a.input, 10)
	b = append(b, `}]},"modelVersion":`...)
	b = quote(b, v.a.model)
	b = append(b, `,"responseId":"`...)
	b = appendID(b, "", v.a.seq)
	return append(b, `"}`...)
}

// function appends the tool call; one cut short by the bound is left out.
func (v *geminiVoice) function(b []byte) []byte {
	if !v.a.whole() {
		return append(b, `{"text":""}`...)
	}
	b = append(b, `{"functionCall":{"name":`...)
	b = quote(b, v.a.tool)
	b = append(b, `,"args":`...)
	b = append(b, v.a.args...)
	return append(b, `}}`...)
}

func (v *geminiVoice) plain(b []byte) []byte {
	v.said = v.a.output()
	return v.response(b, func(b []byte, p *speech) []byte {
		if v.a.tool != "" {
			return v.function(b)
		}
		return append(p.appendAll(append(b, `{"text":"`...)), `"}`...)
	}, v.reason())
}

// begin has nothing to say yet; the headers go out all the same.
func (v *geminiVoice) begin(o *stream) { o.err = o.f.FlushError() }

func (v *geminiVoice) piece(o *stream, i int) {
	v.said += int64(len(v.a.says))
	if v.a.tool != "" {
		return // a call comes whole, at the end
	}
	v.frame(o, func(b []byte) []byte {
		return v.response(b, func(b []byte, p *speech) []byte {
			return append(p.appendPiece(append(b, `{"text":"`...), i), `"}`...)
		}, "")
	}, false)
}

func (v *geminiVoice) end(o *stream) {
	v.frame(o, func(b []byte) []byte {
		return v.response(b, func(b []byte, _ *speech) []byte {
			if v.a.tool != "" {
				return v.function(b)
			}
			return append(b, `{"text":""}`...)
		}, v.reason())
	}, true)
}

func (v *geminiVoice) fail(o *stream, status int) {
	v.frame(o, func(b []byte) []byte { return gemini.appendError(b, status, "", v.a.seq) }, true)
}
