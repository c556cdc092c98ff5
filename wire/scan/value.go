package scan

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// The readers below take null for an absent value, as the providers do: they
// read over it and report that there is nothing.

// Null reads over the next value if it is null, and says whether it was.
func (s *Scanner) Null() bool {
	return s.Kind() == 'n' && s.literal("null")
}

// Object enters the next value, which must be an object or null. Members are
// then read with Member until it returns false.
func (s *Scanner) Object() bool {
	switch s.Kind() {
	case '{':
		return s.push(true)
	case 'n':
		s.literal("null")
		return false
	}
	return s.mustBe("an object")
}

// Member reads the name of the next member of the object that was entered, and
// leaves the scanner before its value, which must be read. It returns false at
// the object's end. The name is decoded, and good until the object ends.
func (s *Scanner) Member() (name []byte, ok bool) {
	if s.err != nil {
		return nil, false
	}
	f := &s.frames[len(s.frames)-1]
	c := s.peek()
	switch {
	case c == '}':
		s.i++
		s.pop()
		return nil, false
	case f.n > 0 && c != ',':
		s.unexpected("a comma or the end of the object")
		return nil, false
	case f.n > 0:
		s.i++
		s.peek()
	}
	if !s.member() {
		return nil, false
	}
	return s.names[len(s.names)-1].bytes(s), true
}

// Array enters the next value, which must be an array or null. Element is then
// called before each element until it returns false.
func (s *Scanner) Array() bool {
	switch s.Kind() {
	case '[':
		return s.push(false)
	case 'n':
		s.literal("null")
		return false
	}
	return s.mustBe("an array")
}

// Element says whether the array that was entered has another element, which
// must then be read.
func (s *Scanner) Element() bool {
	if s.err != nil {
		return false
	}
	f := &s.frames[len(s.frames)-1]
	c := s.peek()
	switch {
	case c == ']':
		s.i++
		s.pop()
		return false
	case f.n > 0 && c != ',':
		return s.unexpected("a comma or the end of the array")
	case f.n > 0:
		s.i++
	}
	f.n++
	return true
}

// Text reads a string or null. v aliases the body unless it has escapes; at
// covers the quotes; ok is false for null and for errors.
func (s *Scanner) Text() (v string, at Span, ok bool) {
	switch s.Kind() {
	case '"':
	case 'n':
		at.Start = s.i
		s.literal("null")
		at.End = s.i
		return "", at, false
	default:
		s.mustBe("a string")
		return "", at, false
	}
	at.Start = s.i
	escaped, ok := s.str()
	if !ok {
		return "", Span{}, false
	}
	at.End = s.i
	inside := s.b[at.Start+1 : at.End-1]
	if escaped {
		return string(unescape(make([]byte, 0, len(inside)), inside)), at, true
	}
	return alias(inside), at, true
}

// alias makes a string of bytes that do not change while it is in use.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Flag reads a boolean; null is false.
func (s *Scanner) Flag() bool {
	switch s.Kind() {
	case 't':
		return s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.mustBe("true or false")
	}
	return false
}

// numeral reads over a number, and says where it, or a null, stands; ok is false
// for null and for errors.
func (s *Scanner) numeral(what string) (at Span, ok bool) {
	switch s.Kind() {
	case 0:
	case 'n':
		at.Start = s.i
		s.literal("null")
		at.End = s.i
		return at, false
	default:
		s.mustBe(what)
		return at, false
	}
	at.Start = s.i
	if !s.number() {
		return Span{}, false
	}
	at.End = s.i
	return at, true
}

// Count reads a whole number from 0 to the largest int64, written plainly:
// 1e3 and 1.0 are refused, since readers differ on them. at is where it, or a
// null, stands; ok is false for null and for errors.
func (s *Scanner) Count() (v int64, at Span, ok bool) {
	if at, ok = s.numeral("a whole number written plainly"); !ok {
		return 0, at, false
	}
	for _, c := range s.b[at.Start:at.End] {
		if c-'0' > 9 {
			return 0, at, s.fail(CodeType, at.Start, s.last("must be a whole number of at least 0 written plainly, without sign, point or exponent"))
		}
		if v > (1<<63-1-int64(c-'0'))/10 {
			return 0, at, s.fail(CodeValue, at.Start, s.last("is larger than any limit (at most 9223372036854775807)"))
		}
		v = v*10 + int64(c-'0')
	}
	return v, at, true
}

// Int is Count for a number that may be negative.
func (s *Scanner) Int() (v int64, at Span, ok bool) {
	if s.Kind() == 0 && s.b[s.i] == '-' {
		start := s.i
		s.i++
		if s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
			v, at, ok = s.Count()
		} else {
			s.fail(CodeSyntax, s.i, "a number is malformed")
		}
		at.Start = start
		return -v, at, ok
	}
	return s.Count()
}

// Real reads a number of at least 0, in any form that JSON has for one. at is
// where it, or a null, stands; ok is false for null and for errors.
func (s *Scanner) Real() (v float64, at Span, ok bool) {
	if at, ok = s.numeral("a number"); !ok {
		return 0, at, false
	}
	v, err := strconv.ParseFloat(alias(s.b[at.Start:at.End]), 64)
	if err != nil || v < 0 {
		return 0, at, s.fail(CodeValue, at.Start, s.last("must be a number of at least 0 that is not beyond all bounds"))
	}
	return v, at, true
}

// Number reads over the next value, whatever it is, and returns it if it is a
// number of the form that Count takes, else 0. It is for answers, which nothing
// is refused over.
func (s *Scanner) Number() int64 {
	at := s.Skip()
	var v int64
	for _, c := range s.b[at.Start:at.End] {
		if c-'0' > 9 || v > (1<<63-1-int64(c-'0'))/10 {
			return 0
		}
		v = v*10 + int64(c-'0')
	}
	return v
}

// mustBe reports the next value as being of the wrong type.
func (s *Scanner) mustBe(what string) bool {
	return s.fail(CodeType, s.i, s.last("must be "+what))
}

// last puts the name of what is being read before msg.
func (s *Scanner) last(msg string) string {
	p := s.path()
	if p == "" {
		return "the body " + msg
	}
	if i := strings.LastIndexByte(p, '.'); i >= 0 {
		p = p[i+1:]
	}
	return `"` + p + `" ` + msg
}

// Names are the member names that something is decided on at one level of a
// body.
type Names struct {
	list [][]byte
	bare bool // compare without underscores
}

// NewNames makes a set of names. If bare, underscores do not count in looking
// for variants, since protocol buffers' JSON has two spellings for each name.
func NewNames(bare bool, names ...string) *Names {
	n := &Names{bare: bare}
	for _, name := range names {
		n.list = append(n.list, n.strip([]byte(name)))
	}
	return n
}

func (n *Names) strip(b []byte) []byte {
	if !n.bare || bytes.IndexByte(b, '_') < 0 {
		return b
	}
	return bytes.ReplaceAll(b, []byte("_"), nil)
}

// Other reads over the value of a member that is not in the set, and refuses
// it if its name differs from one that is only in case (Unicode simple folding),
// for some readers would take it for that one.
func (s *Scanner) Other(name []byte, in *Names) Span {
	s.Distinct(name, in)
	return s.Skip()
}

// Distinct is Other without reading the value.
func (s *Scanner) Distinct(name []byte, in *Names) bool {
	if s.err != nil {
		return false
	}
	ascii := true
	for _, c := range name {
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	b := in.strip(name)
	for _, known := range in.list {
		// All known names are ASCII, and ASCII folds to the same length.
		if (!ascii || len(known) == len(b)) && bytes.EqualFold(known, b) {
			return s.fail(CodeCaseVariant, s.nameAt, "this member's name differs from "+string(known)+" only in its spelling; write it exactly")
		}
	}
	return true
}
