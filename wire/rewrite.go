package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"andon/correction"
)

// ErrNoBound is returned by Rewrite for a body that has no output bound and no
// place for one.
var ErrNoBound = errors.New("rewrite body: this request has no place for an output bound")

// ErrKept is returned by Rewrite for what cannot be taken out of a body, or not
// all at once.
var ErrKept = errors.New("rewrite body: what is to be taken out of this request is needed by it")

// MinThinking is the least budget of reasoning tokens that Anthropic takes.
const MinThinking = 1024

// Change is what Rewrite changes. Its zero value lowers the temperature to 0;
// Unchanged changes nothing.
type Change struct {
	// Model takes the model's place; "" keeps it. A model that only the path or
	// the query names is changed there (Route.Path, Route.Query).
	Model string

	// OutputTokens lowers every output bound that is larger, and adds one where
	// the body has none; 0 leaves the bounds alone.
	OutputTokens int64

	// Choices lowers how many answers are asked for; 0 leaves it alone.
	Choices int64

	// ReasoningTokens lowers the budgets of reasoning tokens; 0 leaves them alone
	// and a negative number lowers them to 0. Where Anthropic's least budget is
	// not reached, the member "thinking" goes. What is asked for without a number
	// (Envelope.Effort) is not changed, and none is added.
	ReasoningTokens int64

	// Temperature lowers a temperature that is larger. It is added where the body
	// has none if it is below 1, which is the providers' default. Models that take
	// no temperature (OpenAI's for reasoning, Anthropic's newer ones and all of
	// them while they think) refuse the request then. Negative leaves it alone.
	Temperature float64

	// Strip and StripTools are what to take out, by feature, and by name or type
	// of tool. Of a set of features, those that the body does not use are
	// disregarded; what is used has to be in Envelope.Optional or OptionalTools.
	Strip      correction.Features
	StripTools []string
}

// Unchanged is the Change that changes nothing.
var Unchanged = Change{Temperature: -1}

// Rewrite appends body to dst, changed as c says and in nothing else. e is what
// Read read from this body. The result is valid JSON with its members in the
// order that they had; what is added stands first in its object.
func Rewrite(dst, body []byte, e *Envelope, c *Change) ([]byte, error) {
	if c.OutputTokens < 0 || c.Choices < 0 {
		return dst, fmt.Errorf("rewrite body: a bound is negative: %d output tokens, %d choices", c.OutputTokens, c.Choices)
	}
	if c.OutputTokens > 0 && len(e.MaxAt) == 0 && e.MaxNull.End == 0 && e.InsertKey == "" {
		return dst, ErrNoBound
	}
	w := rewriting{body: body, e: e, c: c, list: e.changes[:0]}
	w.values()
	w.stored()
	if err := w.cuts(); err != nil {
		return dst, err
	}
	w.insertion()
	e.changes = w.list
	return w.splice(dst)
}

// Query returns the raw query with another model in it, for routes whose query
// names the model; for the others, and for an empty model, the query itself.
func (rt Route) Query(rawQuery, model string) string {
	if rt.ModelIn != ModelInQuery || rt.Model == "" || model == "" {
		return rawQuery
	}
	pairs := strings.Split(rawQuery, "&")
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && (plain == "model" || plain == "deployment") {
			pairs[i] = name + "=" + escapeSegment(model)
		}
	}
	return strings.Join(pairs, "&")
}

// Path returns the escaped path with another model in it, for wires whose path
// names the model; for the others, and for an empty model, the path itself.
func (rt Route) Path(escapedPath, model string) string {
	if rt.ModelPath.End == 0 || model == "" {
		return escapedPath
	}
	before, at, after := escapedPath[:rt.ModelPath.Start], escapedPath[rt.ModelPath.Start:rt.ModelPath.End], escapedPath[rt.ModelPath.End:]
	if strings.IndexByte(at, '/') < 0 {
		return before + escapeSegment(model) + after
	}
	collection, id, _ := strings.Cut(resource(model), "/")
	return before + collection + "/" + escapeSegment(id) + after
}

// resource is a model's name in the form collection/id.
func resource(model string) string {
	if strings.HasPrefix(model, "tunedModels/") || strings.HasPrefix(model, "models/") {
		return model
	}
	return "models/" + model
}

// escapeSegment escapes everything in a path segment but unreserved characters
// (RFC 3986), so that no reader can split it.
func escapeSegment(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c|0x20-'a' <= 25, c-'0' <= 9, c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
