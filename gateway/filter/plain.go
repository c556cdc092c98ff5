package filter

import (
	"bytes"
	"context"
	"slices"

	"andon/wire"
)

// Plain filters a whole answer: out is body, or body redacted. With a hit, out is
// nil. If ctx ends before classifiers have judged, that is a hit.
//
// An answer of several lines, as batches have them, is filtered line by line; a
// text that one of them leaves open goes on in the next.
func (g *Guard) Plain(ctx context.Context, w wire.Wire, rt wire.Route, body []byte) (out []byte, hit *Hit) {
	out, hit = g.all(ctx, w, rt, false, body)
	if hit == nil || hit.Cause != Unreadable {
		return out, hit
	}
	return g.all(ctx, w, rt, false, slices.Collect(bytes.Lines(body))...)
}

// Input is Plain for the body of a request.
func (g *Guard) Input(ctx context.Context, w wire.Wire, rt wire.Route, body []byte) (out []byte, hit *Hit) {
	return g.all(ctx, w, rt, true, body)
}

func (g *Guard) all(ctx context.Context, w wire.Wire, rt wire.Route, inputs bool, parts ...[]byte) (out []byte, hit *Hit) {
	if g == nil {
		return slices.Concat(parts...), nil
	}
	s := g.Stream(w, rt)
	s.whole, s.inputs = true, inputs
	add := func(more []byte, h *Hit) {
		if hit = h; len(out) == 0 && len(parts) == 1 {
			out = more
		} else {
			out = append(out, more...)
		}
	}
	for _, part := range parts {
		if add(s.Write(part)); hit != nil {
			return nil, hit
		}
	}
	add(s.End())
	if hit == nil && s.Waiting() {
		add(s.Await(ctx))
		if hit == nil && s.Waiting() {
			hit = g.hit(g.judges[0], Failed, 0)
			hit.Err = ctx.Err()
		}
	}
	if hit != nil {
		return nil, hit
	}
	if out == nil {
		out = parts[0][:0]
	}
	return out, nil
}
