package filter

import (
	"context"
	"hash/maphash"
	"unicode/utf8"

	"andon/wire"
)

// judges says whether classifiers look at a piece.
func (s *Stream) judges(p *wire.Piece) bool {
	return len(s.g.judges) > 0 && !p.Spelled && p.Kind != wire.PieceToolName
}

// join adds a text to those of the event at hand that are judged together. In a
// stream, what repeats a text that is judged anyway is left out.
func (s *Stream) join(p *wire.Piece) {
	if !s.whole {
		sum := maphash.Bytes(s.seed, p.Text)
		if _, ok := s.seen[sum]; ok {
			return
		}
		for _, c := range s.channels {
			if c.open && c.hash.Sum64() == sum {
				return // its events stand before this one
			}
		}
		s.remember(sum)
	}
	if len(s.joined) > 0 && (p.Whole() || p.Channel != s.last) {
		s.joined = append(s.joined, '\n')
	}
	s.joined = append(s.joined, p.Text...)
	s.last = p.Channel
}

func (s *Stream) remember(sum uint64) {
	if len(s.seen) < maxSeen {
		s.seen[sum] = struct{}{}
	}
}

// next is the first text that has to be judged, or nil.
func (s *Stream) next() *channel {
	if s.hit != nil || s.g == nil || len(s.g.judges) == 0 {
		return nil
	}
	for _, c := range s.channels {
		if c.judged < c.cut {
			return c
		}
	}
	return nil
}

// Waiting says whether classifiers have to be asked before more can go out.
func (s *Stream) Waiting() bool { return s.next() != nil }

// Await asks the classifiers, in the caller's goroutine, and returns what may
// go out then. If ctx ends, nothing does: out and hit are nil, and Await can be
// called again.
func (s *Stream) Await(ctx context.Context) (out []byte, hit *Hit) {
	if s.hit != nil {
		return nil, s.hit
	}
	s.out = s.out[:0]
	for c := s.next(); c != nil; c = s.next() {
		h := s.judge(ctx, c)
		if ctx.Err() != nil {
			return nil, nil
		}
		if h != nil {
			s.forbid(h, s.eventOf(c, c.judged))
			break
		}
		c.judged = c.cut
	}
	if s.g == nil {
		return nil, nil
	}
	return s.release(nil)
}

// judge has the classifiers judge the text up to its cut.
func (s *Stream) judge(ctx context.Context, c *channel) *Hit {
	from := int64(len(c.tail)) - (c.total - max(0, c.judged-shown))
	text := c.tail[max(0, from) : int64(len(c.tail))-(c.total-c.cut)]
	for c.judged > 0 && len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	for _, i := range s.g.judges {
		r := &s.g.rules[i]
		score, err := r.Classifier.Score(ctx, string(text))
		switch {
		case err != nil && r.FailOpen:
		case err != nil:
			h := s.g.hit(i, Failed, c.kind)
			h.Err = err
			return h
		case !(score < r.Threshold): // what is no number is found, too
			h := s.g.hit(i, Score, c.kind)
			h.Score = score
			return h
		}
	}
	return nil
}
