package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ErrNoBound is returned by Rewrite for a body that has no output bound and no
// place for one.
var ErrNoBound = errors.New("rewrite body: this request has no place for an output bound")

// Rewrite appends body to dst with another model and a smaller output bound,
// in one pass and without a change to anything else. e is what Read read from
// this body. An empty model keeps the model; a model that only the path names is
// changed there (Route.Path). maxTokens clamps down every bound that is larger
// and adds one where the body has none; 0 leaves the bounds alone.
func Rewrite(dst, body []byte, e *Envelope, model string, maxTokens int64) ([]byte, error) {
	if maxTokens < 0 {
		return dst, fmt.Errorf("rewrite body: output bound %d is negative", maxTokens)
	}
	w := splice{dst: dst, body: body}
	insert := maxTokens > 0 && e.InsertKey != ""
	if maxTokens > 0 && !insert && len(e.MaxAt) == 0 {
		return dst, ErrNoBound
	}
	// The regions are few and disjoint: take the leftmost that is left each time.
	for {
		next, kind := Region{Start: len(body) + 1}, byte(0)
		take := func(r Region, k byte) {
			if r.Start >= w.at && r.Start < next.Start {
				next, kind = r, k
			}
		}
		if model != "" {
			if e.ModelAt.End > 0 {
				take(e.ModelAt, 'm')
			}
			for _, r := range e.ModelToo {
				take(r, 't')
			}
		}
		if maxTokens > 0 {
			for _, r := range e.MaxAt {
				take(r, 'n')
			}
		}
		if insert {
			take(Region{Start: e.InsertAt, End: max(e.InsertAt, e.InsertTo)}, 'i')
		}
		if kind == 0 {
			break
		}
		if next.End > len(body) || next.End < next.Start {
			return dst, errors.New("rewrite body: the envelope was not read from this body")
		}
		w.upTo(next)
		switch kind {
		case 'm':
			if e.Form {
				w.dst = append(w.dst, model...)
			} else {
				w.dst = AppendString(w.dst, model)
			}
		case 't':
			w.dst = AppendString(w.dst, resource(model))
		case 'n':
			v, err := strconv.ParseInt(string(body[next.Start:next.End]), 10, 64)
			if err != nil {
				return dst, errors.New("rewrite body: the envelope was not read from this body")
			}
			if v == 0 && e.Boundless {
				v = maxTokens
			}
			w.dst = strconv.AppendInt(w.dst, min(v, maxTokens), 10)
		case 'i':
			insert = false
			w.dst = append(w.dst, e.InsertKey...)
			w.dst = strconv.AppendInt(w.dst, maxTokens, 10)
			w.dst = append(w.dst, e.InsertEnd...)
		}
	}
	return append(w.dst, body[w.at:]...), nil
}

// splice copies body to dst, leaving regions out.
type splice struct {
	dst, body []byte
	at        int
}

func (w *splice) upTo(r Region) {
	w.dst = append(w.dst, w.body[w.at:r.Start]...)
	w.at = r.End
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
