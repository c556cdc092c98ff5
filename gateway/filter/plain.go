package filter

import (
	"bytes"
	"context"

	"andon/wire"
)

// Plain filters a whole answer: out is body, or body redacted. With a hit, out is
// nil. If ctx ends before classifiers have judged, that is a hit.
//
// An answer of several lines, each an answer of its own, as batches have them, is
// filtered line by line.
func (g *Guard) Plain(ctx context.Context, w wire.Wire, rt wire.Route, body []byte) (out []byte, hit *Hit) {
	out, hit = g.all(ctx, w, rt, body, false)
	if hit == nil || hit.Cause != Unreadable {
		return out, hit
	}
	for line := range bytes.Lines(body) {
		text, hit := bytes.TrimRight(line, "\r\n"), (*Hit)(nil)
		if text, hit = g.all(ctx, w, rt, text, false); hit != nil {
			return nil, hit
		}
		out = append(append(out, text...), line[len(bytes.TrimRight(line, "\r\n")):]...)
	}
	return out, nil
}

// Input is Plain for the body of a request.
func (g *Guard) Input(ctx context.Context, w wire.Wire, rt wire.Route, body []byte) (out []byte, hit *Hit) {
	return g.all(ctx, w, rt, body, true)
}

func (g *Guard) all(ctx context.Context, w wire.Wire, rt wire.Route, body []byte, inputs bool) (out []byte, hit *Hit) {
	if g == nil {
		return body, nil
	}
	s := g.Stream(w, rt)
	s.whole, s.inputs = true, inputs
	add := func(more []byte, h *Hit) {
		if hit = h; len(more) > 0 {
			out = more
		}
	}
	add(s.Write(body))
	if hit == nil {
		add(s.End())
	}
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
		out = body[:0]
	}
	return out, nil
}
