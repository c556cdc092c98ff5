package wire

import "unicode/utf8"

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, and
// what HTML or a script could take for markup is escaped, since error texts end
// up in consoles and web pages.
func AppendString(dst []byte, s string) []byte {
	return AppendBounded(dst, s, len(s))
}

// AppendBounded is AppendString for at most limit bytes of s, cut before a
// character and marked with an ellipsis if s is longer.
func AppendBounded(dst []byte, s string, limit int) []byte {
	cut := len(s) > limit
	if cut {
		for s = s[:limit]; len(s) > 0; s = s[:len(s)-1] {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n > 1 {
				break
			}
		}
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	if cut {
		dst = append(dst, "…"...)
	}
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n <= 1:
				dst = append(dst, "\uFFFD"...)
			case r == '\u2028', r == '\u2029':
				dst = append(dst, `\u202`...)
				dst = append(dst, hex[r&0xF])
			default:
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c < 0x20, c == 0x7F, c == '<', c == '>', c == '&':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return dst
}
