// Package scan reads JSON forward, once, without building anything.
//
// It is the only reader of request bodies on the decision path, so what it
// accepts is what every provider reads in one way: RFC 8259 within the bounds
// of I-JSON (RFC 7493). UTF-8 must be valid and without a byte order mark,
// surrogate escapes must come in pairs, no object may name a member twice
// (names are compared decoded, so "mod\u0065l" is "model"), nothing may follow
// the value, and nesting is bounded by MaxDepth.
//
// A Scanner makes no allocation for ordinary bodies, takes time linear in the
// body whatever its members are called, and holds its first error: after one,
// every method reports the end of what it reads, and Err says why. It is used
// by one goroutine at a time.
package scan

import (
	"sync"
)

// MaxDepth is the deepest nesting of objects and arrays that is read.
const MaxDepth = 512

// MaxBody is the longest body that is read, in bytes.
const MaxBody = 1<<31 - 1

// Span is a half-open range of bytes in the body.
type Span struct{ Start, End int }

// Scanner reads one body. The zero value is ready for Reset.
type Scanner struct {
	b      []byte
	i      int
	err    *Error
	frames []frame  // open objects and arrays, outermost first
	names  []name   // member names of the open objects, a run for each
	tab    []uint32 // hash tables of the open objects that have grown large
	text   []byte   // decoded forms of names that were written with escapes
	nameAt int      // where the last member's name began, its quote included
}

// frame is an open object or array. Frames nest, so whatever an inner one adds
// to names, tab and text lies above what the outer one has, and is gone again
// when the outer one grows.
type frame struct {
	object bool
	n      int // members or elements begun
	names  int // where this object's names begin
	tab    int // where its table begins
	bits   int // log2 of the table's length; 0 means there is none yet
	text   int // where its decoded names begin
}

var pool = sync.Pool{New: func() any { return new(Scanner) }}

// New returns a Scanner for body. Free gives it back.
func New(body []byte) *Scanner {
	s := pool.Get().(*Scanner)
	s.Reset(body)
	return s
}

// Free gives s back for reuse; s must not be used after it. What an unusually
// large body made it hold is dropped.
func (s *Scanner) Free() {
	s.b, s.err = nil, nil
	if cap(s.names) > 1<<12 || cap(s.tab) > 1<<14 || cap(s.text) > 1<<16 {
		s.names, s.tab, s.text = nil, nil, nil
	}
	pool.Put(s)
}

// Reset begins again with body, which must not change while it is read, nor
// while a string that was read from it is in use.
func (s *Scanner) Reset(body []byte) {
	s.b, s.i, s.err = body, 0, nil
	s.frames, s.names, s.tab, s.text = s.frames[:0], s.names[:0], s.tab[:0], s.text[:0]
	switch {
	case len(body) > MaxBody:
		s.fail(CodeTooLarge, 0, "the body is longer than this reader takes")
	case s.peek() == 0 && s.i == len(body):
		s.fail(CodeEmpty, 0, "the body is empty; a JSON object is needed")
	case len(body) >= 3 && body[0] == 0xEF && body[1] == 0xBB && body[2] == 0xBF:
		s.fail(CodeSyntax, 0, "a byte order mark is not allowed; the body must begin with its JSON object")
	}
}

// Err is the first thing that went wrong, or nil.
func (s *Scanner) Err() *Error { return s.err }

// Offset is how far the body has been read.
func (s *Scanner) Offset() int { return s.i }

// Bytes is what the body has at a span.
func (s *Scanner) Bytes(at Span) []byte { return s.b[at.Start:at.End:at.End] }

// NameAt is where the name of the member that Member returned last begins, its
// quote included.
func (s *Scanner) NameAt() int { return s.nameAt }

// peek skips whitespace and returns the byte after it, 0 at the end.
func (s *Scanner) peek() byte {
	b, i := s.b, s.i
	for i < len(b) {
		c := b[i]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			s.i = i
			return c
		}
		i++
	}
	s.i = i
	return 0
}

// Kind says what the next value is, by its first byte: one of { [ " t f n, or
// 0 for a number. Anything else is an error, and Kind returns 'x'.
func (s *Scanner) Kind() byte {
	if s.err != nil {
		return 'x'
	}
	switch c := s.peek(); c {
	case '{', '[', '"', 't', 'f', 'n':
		return c
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return 0
	default:
		s.unexpected("a value")
		return 'x'
	}
}

// End checks that nothing but whitespace is left, and returns the first error
// of all, or nil.
func (s *Scanner) End() *Error {
	if s.err == nil {
		if s.peek(); s.i < len(s.b) {
			s.fail(CodeSyntax, s.i, "something follows the end of the JSON value; a body is one value and nothing else")
		}
	}
	return s.err
}

// Valid reports what is wrong with b as one JSON value of any kind, or nil.
func Valid(b []byte) *Error {
	s := New(b)
	defer s.Free()
	s.Skip()
	return s.End()
}

// Skip reads over the next value, checking all of it, and says where it is.
func (s *Scanner) Skip() Span {
	if s.err != nil {
		return Span{}
	}
	s.peek()
	start := s.i
	if !s.skip() {
		return Span{}
	}
	return Span{start, s.i}
}

func (s *Scanner) skip() bool {
	base := len(s.frames)
value:
	switch c := s.peek(); c {
	case '"':
		if _, ok := s.str(); !ok {
			return false
		}
	case '{':
		if !s.push(true) {
			return false
		}
		if s.peek() != '}' {
			goto member
		}
		s.i++
		s.pop()
	case '[':
		if !s.push(false) {
			return false
		}
		if s.peek() != ']' {
			s.frames[len(s.frames)-1].n = 1
			goto value
		}
		s.i++
		s.pop()
	case 't':
		if !s.literal("true") {
			return false
		}
	case 'f':
		if !s.literal("false") {
			return false
		}
	case 'n':
		if !s.literal("null") {
			return false
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if !s.number() {
			return false
		}
	default:
		return s.unexpected("a value")
	}
after:
	if len(s.frames) == base {
		return true
	}
	if f := &s.frames[len(s.frames)-1]; f.object {
		switch s.peek() {
		case ',':
			s.i++
			s.peek()
			goto member
		case '}':
			s.i++
			s.pop()
			goto after
		}
		return s.unexpected("a comma or the end of the object")
	} else {
		switch s.peek() {
		case ',':
			s.i++
			f.n++
			goto value
		case ']':
			s.i++
			s.pop()
			goto after
		}
		return s.unexpected("a comma or the end of the array")
	}
member:
	if !s.member() {
		return false
	}
	goto value
}

// push opens the object or array whose bracket is next.
func (s *Scanner) push(object bool) bool {
	if len(s.frames) == MaxDepth {
		return s.fail(CodeTooDeep, s.i, "objects and arrays are nested deeper than 512")
	}
	s.i++
	s.frames = append(s.frames, frame{object: object, names: len(s.names), tab: len(s.tab), text: len(s.text)})
	return true
}

func (s *Scanner) pop() {
	f := &s.frames[len(s.frames)-1]
	s.names, s.tab, s.text = s.names[:f.names], s.tab[:f.tab], s.text[:f.text]
	s.frames = s.frames[:len(s.frames)-1]
}

func (s *Scanner) literal(want string) bool {
	if len(s.b)-s.i >= len(want) && string(s.b[s.i:s.i+len(want)]) == want {
		s.i += len(want)
		return true
	}
	return s.fail(CodeSyntax, s.i, "a value is misspelt; the only bare words are true, false and null")
}

// number reads a number by the grammar of RFC 8259, whatever its size.
func (s *Scanner) number() bool {
	b, i := s.b, s.i
	at := func() byte {
		if i < len(b) {
			return b[i]
		}
		return 0
	}
	digits := func() bool {
		from := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if at() == '-' {
		i++
	}
	ok := true
	if at() == '0' {
		i++
	} else {
		ok = digits()
	}
	if ok && at() == '.' {
		i++
		ok = digits()
	}
	if c := at(); ok && (c == 'e' || c == 'E') {
		i++
		if c := at(); c == '+' || c == '-' {
			i++
		}
		ok = digits()
	}
	if !ok {
		return s.fail(CodeSyntax, i, "a number is malformed")
	}
	s.i = i
	return true
}
