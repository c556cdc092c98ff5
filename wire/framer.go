package wire

import "andon/wire/sse"

// Framer cuts the body of a streamed answer into events without changing a
// byte, and knows how the stream may be ended where it stands. One goroutine
// uses it at a time; it does not allocate.
type Framer struct {
	json  bool
	begun bool
	sse   sse.Framer
	array array
}

// NewFramer returns a Framer for a stream of this route.
func NewFramer(rt Route) Framer { return Framer{json: !rt.SSE} }

// Frame takes the next bytes of the stream and returns how many of them
// complete the event at hand, or 0 if all of them belong to an event that is
// still going on. After n > 0, call it again with b[n:]; after 0, with the bytes
// that come next. For a JSON array, an event is an element with the punctuation
// before it, and the bracket at the end is one more.
func (f *Framer) Frame(b []byte) (n int) {
	if f.json {
		n = f.array.frame(b)
	} else {
		n = f.sse.Frame(b)
	}
	f.begun = f.begun || n > 0
	return n
}

// Begun says whether an event has ended yet.
func (f *Framer) Begun() bool { return f.begun }

// Data returns the JSON text, or whatever else, that an event carries: part of
// event, or built in dst if it has several data lines. ok is false for an event
// without data, such as a comment that keeps a connection alive.
func (f *Framer) Data(event, dst []byte) (data []byte, ok bool) {
	if f.json {
		return element(event)
	}
	return sse.Data(event, dst)
}

// AppendEnd appends what ends the stream with p, at the event boundary that was
// reported last: w's AppendStreamEnd, fitted to what has been sent. A JSON array
// that is complete already cannot take an error any more, and gets nothing.
func (f *Framer) AppendEnd(dst []byte, w Wire, rt Route, p *Problem) []byte {
	if !f.json || f.begun && !f.array.closed {
		return w.AppendStreamEnd(dst, rt, p)
	}
	if f.array.closed {
		return dst
	}
	// Nothing was sent: the comma in front gives way to the opening bracket.
	from := len(dst)
	dst = w.AppendStreamEnd(dst, rt, p)
	if len(dst) > from && dst[from] == ',' {
		dst[from] = '['
	}
	return dst
}

// array finds the ends of the elements of a top-level JSON array. It trusts
// the text to be JSON; anything else gives odd boundaries and no more.
type array struct {
	depth   int
	quoted  bool
	escaped bool
	closed  bool // the value is complete
}

func (a *array) frame(b []byte) int {
	for i, c := range b {
		switch {
		case a.quoted:
			switch {
			case a.escaped:
				a.escaped = false
			case c == '\\':
				a.escaped = true
			case c == '"':
				a.quoted = false
			}
		case c == '"':
			a.quoted = true
		case c == '{', c == '[':
			a.depth++
		case c == '}', c == ']':
			a.depth--
			if a.depth <= 0 {
				a.closed = true
			}
			if a.depth <= 1 {
				return i + 1
			}
		}
	}
	return 0
}

// element trims an event of a JSON array to its element.
func element(event []byte) (data []byte, ok bool) {
	bracket := false
	for i, c := range event {
		switch c {
		case ' ', '\t', '\r', '\n', ',':
			continue
		case '[':
			if !bracket {
				bracket = true
				continue
			}
		case ']':
			return nil, false
		}
		return event[i:], true
	}
	return nil, false
}
