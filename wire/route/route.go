// Package route reads the parts of a request's target that wires decide on:
// one path segment, decoded exactly once, and query parameters.
//
// A proxy and its provider must not come to different views of a target, so
// whatever two readers could decode differently is not understood here at all.
// Everything is pure.
package route

import (
	"strings"
	"unicode/utf8"
)

// MaxName is the longest decoded name that a path may hold, in bytes.
const MaxName = 512

// Segment decodes s, which must be a slash and one more path segment, and
// nothing else. It refuses an empty segment, dot segments, malformed or doubled
// percent-encoding, and what a URL may not hold.
func Segment(s string) (name string, ok bool) {
	if len(s) < 2 || s[0] != '/' || strings.IndexByte(s[1:], '/') >= 0 {
		return "", false
	}
	return Decode(s[1:])
}

// Decode undoes the percent-encoding of s once. It refuses a result that is
// empty, a dot segment, longer than MaxName, not UTF-8, or that has control
// characters, blanks, a percent sign, a backslash, or an empty or dot segment
// inside.
func Decode(s string) (name string, ok bool) {
	if strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			c := s[i]
			if c == '%' {
				if i+2 >= len(s) {
					return "", false
				}
				hi, lo := unhex(s[i+1]), unhex(s[i+2])
				if hi > 15 || lo > 15 {
					return "", false
				}
				c = hi<<4 | lo
				i += 2
			}
			b = append(b, c)
		}
		s = string(b)
	}
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) {
		return "", false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7F || c == '%' || c == '\\' || c == '?' || c == '#' {
			return "", false
		}
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return "", false
		}
	}
	return s, true
}

func unhex(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20-'a' <= 5:
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// Params calls fn with the name and value of each query parameter, decoded,
// until fn returns false. It returns false if fn did, or if the query is not
// well-formed or one that readers split differently (semicolons).
func Params(rawQuery string, fn func(name, value string) bool) bool {
	if rawQuery == "" {
		return true
	}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" {
			continue
		}
		if strings.IndexByte(pair, ';') >= 0 {
			return false
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok1 := unescapeQuery(name)
		value, ok2 := unescapeQuery(value)
		if !ok1 || !ok2 || !fn(name, value) {
			return false
		}
	}
	return true
}

func unescapeQuery(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return "", false
			}
			c = hi<<4 | lo
			i += 2
		}
		b = append(b, c)
	}
	return string(b), true
}
