package scan

import "bytes"

// AppendText appends the meaning of a string that a Scanner has read over:
// quoted is the string with its quotes.
func AppendText(dst, quoted []byte) []byte {
	inside := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return append(dst, inside...)
	}
	return unescape(dst, inside)
}
