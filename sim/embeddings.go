package sim

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Lengths of embeddings, in numbers.
const (
	openaiLength  = 1536
	geminiLength  = 3072
	longestVector = 8192
)

// vector is the embedding of a text: the same text gives the same unit vector,
// other texts an unrelated one.
func vector(model, text string, n int) []float32 {
	seed := seedOf(model, text)
	v := make([]float32, n)
	var sum float64
	for i := range v {
		x := float64(mix(seed+uint64(i))>>11)/(1<<52) - 1
		v[i] = float32(x)
		sum += x * x
	}
	if sum > 0 {
		scale := float32(1 / math.Sqrt(sum))
		for i := range v {
			v[i] *= scale
		}
	}
	return v
}

func appendVector(b []byte, v []float32) []byte {
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return append(b, ']')
}

func vectorLength(name string, n *int, absent int) (int, error) {
	if n == nil {
		return absent, nil
	}
	if *n < 1 || *n > longestVector {
		return 0, fmt.Errorf("Invalid '%s': want a number from 1 to %d, got %d.", name, longestVector, *n)
	}
	return *n, nil
}

// embeddings answers OpenAI's POST /v1/embeddings.
func (c *call) embeddings() {
	var q struct {
		Model      string         `json:"model"`
		Input      jsontext.Value `json:"input"`
		Format     string         `json:"encoding_format"`
		Dimensions *int           `json:"dimensions"`
	}
	if !c.read(&q) {
		return
	}
	n, err := vectorLength("dimensions", q.Dimensions, openaiLength)
	switch {
	case q.Model == "":
		err = errNoModel
	case q.Format != "" && q.Format != "float" && q.Format != "base64":
		err = errors.New("Invalid 'encoding_format': want float or base64.")
	}
	if c.bad(err) {
		return
	}
	in, err := inputs(q.Input)
	if err != nil {
		err = errors.New("Invalid 'input': " + err.Error())
	}
	if c.bad(err) || !c.behave(in[len(in)-1].text) {
		return
	}
	b := []byte(`{"object":"list","data":[`)
	var total int64
	for i, one := range in {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"object":"embedding","index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"embedding":`...)
		v := vector(q.Model, one.text, n)
		if q.Format == "base64" {
			raw := make([]byte, 0, 4*n)
			for _, x := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
			}
			b = append(base64.StdEncoding.AppendEncode(append(b, '"'), raw), '"')
		} else {
			b = appendVector(b, v)
		}
		b = append(b, '}')
		total += one.tokens
	}
	b = append(b, `],"model":`...)
	b = quote(b, q.Model)
	b = append(b, `,"usage":{"prompt_tokens":`...)
	b = strconv.AppendInt(b, total, 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, total, 10)
	c.complete(append(b, `}}`...))
}

// behave follows the directives that make sense for a call without output:
// errors and delays. False means that the call is over.
func (c *call) behave(text string) bool {
	d, err := ParseDirective(text)
	if c.bad(err) {
		return false
	}
	if d.First > 0 {
		c.open(&c.sim.plain)
		if !c.sleepUntil(c.from.Add(d.First)) {
			return false
		}
	}
	if d.Status != 0 {
		c.refuse(d.Status, "")
		return false
	}
	return true
}

// complete sends a body that is the whole answer.
func (c *call) complete(b []byte) {
	c.sim.served.Add(1)
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, b)
}

type embedRequest struct {
	Content geminiContent `json:"content"`
	Length  *int          `json:"outputDimensionality"`
	Length2 *int          `json:"output_dimensionality"`
	Config  struct {
		Length *int `json:"outputDimensionality"`
	} `json:"embedContentConfig"`
}

func (q *embedRequest) values(b []byte, model string) ([]byte, error) {
	length := q.Length
	for _, other := range []*int{q.Length2, q.Config.Length} {
		if length == nil {
			length = other
		}
	}
	n, err := vectorLength("outputDimensionality", length, geminiLength)
	if err != nil {
		return b, err
	}
	if !q.Content.Parts.some {
		return b, errors.New("* EmbedContentRequest.content: contents is not specified")
	}
	b = append(b, `{"values":`...)
	return append(appendVector(b, vector(model, q.Content.Parts.s, n)), '}'), nil
}

// embedContent answers Gemini's models/{model}:embedContent.
func (c *call) embedContent(model string) {
	var q embedRequest
	if !c.read(&q) {
		return
	}
	b, err := q.values([]byte(`{"embedding":`), model)
	if c.bad(err) || !c.behave(q.Content.Parts.s) {
		return
	}
	b = append(b, `,"usageMetadata":{"promptTokenCount":`...)
	b = strconv.AppendInt(b, tokensIn(q.Content.Parts.s), 10)
	c.complete(append(b, `}}`...))
}

// batchEmbed answers Gemini's models/{model}:batchEmbedContents.
func (c *call) batchEmbed(model string) {
	var q struct {
		Requests []embedRequest `json:"requests"`
	}
	if !c.read(&q) {
		return
	}
	var err error
	if len(q.Requests) == 0 {
		err = errors.New("* BatchEmbedContentsRequest.requests: must not be empty")
	}
	b := []byte(`{"embeddings":[`)
	for i := range q.Requests {
		if i > 0 {
			b = append(b, ',')
		}
		if err == nil {
			b, err = q.Requests[i].values(b, model)
		}
	}
	if c.bad(err) || !c.behave(q.Requests[len(q.Requests)-1].Content.Parts.s) {
		return
	}
	c.complete(append(b, `]}`...))
}
