package scan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str reads the string whose quote is next and says whether it has escapes.
// Eight bytes at a time: long runs of text are most of what a body is.
func (s *Scanner) str() (escaped, ok bool) {
	b := s.b
	start := s.i + 1
	j := start
	var high uint64 // the high bits of all bytes seen
	for {
		for j+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[j:])
			q := x ^ ones*'"'
			e := x ^ ones*'\\'
			// The lowest marked byte is exact; those above it may be the borrow's doing.
			m := ((q-ones)&^q | (e-ones)&^e | (x-ones*0x20)&^x) & highs
			if m != 0 {
				k := bits.TrailingZeros64(m) &^ 7
				high |= x & (1<<k - 1)
				j += k / 8
				goto stop
			}
			high |= x
			j += 8
		}
		for ; j < len(b); j++ {
			c := b[j]
			if c == '"' || c == '\\' || c < 0x20 {
				goto stop
			}
			high |= uint64(c)
		}
		return escaped, s.fail(CodeSyntax, start-1, "a string does not end")
	stop:
		switch b[j] {
		case '"':
			if high&highs != 0 && !utf8.Valid(b[start:j]) {
				return escaped, s.fail(CodeUTF8, start+invalidAt(b[start:j]), "a string is not valid UTF-8")
			}
			s.i = j + 1
			return escaped, true
		case '\\':
			escaped = true
			n := escape(b[j:])
			if n == 0 {
				return escaped, s.fail(CodeSyntax, j, `an escape is malformed; allowed are \" \\ \/ \b \f \n \r \t and \uXXXX`)
			}
			if n < 0 {
				return escaped, s.fail(CodeUTF8, j, "a surrogate escape stands alone; surrogates must come in pairs")
			}
			j += n
		default:
			return escaped, s.fail(CodeSyntax, j, "a control character stands bare in a string; it must be escaped")
		}
	}
}

// escape measures the escape sequence at the start of b: 0 if it is malformed,
// -1 if it is half a surrogate pair.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r, ok := hex4(b[2:])
		if !ok {
			return 0
		}
		if !utf16.IsSurrogate(r) {
			return 6
		}
		if r >= 0xDC00 || len(b) < 8 || b[6] != '\\' || b[7] != 'u' {
			return -1
		}
		if low, ok := hex4(b[8:]); !ok || low < 0xDC00 || low > 0xDFFF {
			return -1
		}
		return 12
	}
	return 0
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' <= 5:
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// unescape appends the meaning of b, the inside of a string that str accepted.
func unescape(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = b[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(b[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low, _ := hex4(b[i+2:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}
