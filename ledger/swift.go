package ledger

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"
)

// A million entries are read when a control plane starts, and nearly all of them
// have the plain form: no escapes, no body kept apart. For those, what parse
// checks by decoding and encoding again is seen in one pass. Whatever is not
// surely plain goes the long way, so this can be slow but not wrong.

// parsePlain reads a leaf in plain form. If ok, parse says the same of it; if
// not, nothing is known. Body shares the leaf's memory.
func parsePlain(leaf []byte) (e Entry, ok bool) {
	rest, ok := bytes.CutPrefix(leaf, []byte(`{"actor":"`))
	if !ok || len(leaf) > MaxLeaf {
		return e, false
	}
	actor, rest, ok := plainString(rest)
	if !ok || len(actor) > MaxActor {
		return e, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"at":"`)); !ok {
		return e, false
	}
	at, rest, ok := plainString(rest)
	if !ok {
		return e, false
	}
	if e.At, ok = plainTime(at); !ok {
		return e, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"body":`)); !ok {
		return e, false
	}
	// Quotes are escaped inside strings, so what follows the body is the last of
	// its kind.
	i := bytes.LastIndex(rest, []byte(`,"seq":`))
	if i < 0 {
		return e, false
	}
	body, rest := rest[:i:i], rest[i+len(`,"seq":`):]
	n := bytes.IndexByte(rest, ',')
	if n < 1 || rest[0] == '0' && n > 1 {
		return e, false
	}
	seq, err := strconv.ParseUint(string(rest[:n]), 10, 63)
	if err != nil {
		return e, false
	}
	if rest, ok = bytes.CutPrefix(rest[n:], []byte(`,"type":"`)); !ok {
		return e, false
	}
	kind, rest, ok := plainString(rest)
	if !ok || len(kind) == 0 || len(kind) > MaxType || string(rest) != "}" {
		return e, false
	}
	// Personal values would stand in the rest of what looks like the body.
	if end, ok := plainValue(body, 0); !ok || end != len(body) {
		return e, false
	}
	e.Seq, e.Type, e.Actor, e.Body = seq, string(kind), string(actor), body
	return e, true
}

// plainTime reads a time that is written as Encode writes it.
func plainTime(text []byte) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	var buf [len(time.RFC3339Nano)]byte
	if err != nil || t.IsZero() || t.Location() != time.UTC || !bytes.Equal(t.AppendFormat(buf[:0], time.RFC3339Nano), text) {
		return t, false
	}
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// plainString splits what follows an opening quote at the closing one. It knows
// only ASCII without escapes and control characters.
func plainString(b []byte) (s, rest []byte, ok bool) {
	for i, c := range b {
		switch {
		case c == '"':
			return b[:i], b[i+1:], true
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// maxPlainDepth bounds the nesting of what is read in one pass.
const maxPlainDepth = 32

// plainValue returns where the JSON value at the start of b ends, if it is
// canonical as it stands: no white space, members sorted and each there once.
func plainValue(b []byte, depth int) (end int, ok bool) {
	if len(b) == 0 || depth > maxPlainDepth {
		return 0, false
	}
	switch c := b[0]; {
	case c == '{':
		return plainObject(b, depth)
	case c == '[':
		return plainArray(b, depth)
	case c == '"':
		return plainText(b)
	case c == '-' || c >= '0' && c <= '9':
		return plainNumber(b)
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return len(word), true
		}
	}
	return 0, false
}

func plainObject(b []byte, depth int) (int, bool) {
	if len(b) > 1 && b[1] == '}' {
		return 2, true
	}
	var last []byte
	for i := 1; i < len(b) && b[i] == '"'; {
		name, rest, ok := plainString(b[i+1:])
		if !ok || len(rest) == 0 || rest[0] != ':' || last != nil && bytes.Compare(last, name) >= 0 {
			return 0, false
		}
		last = name
		i = len(b) - len(rest) + 1
		n, ok := plainValue(b[i:], depth+1)
		if i += n; !ok || i >= len(b) {
			return 0, false
		}
		if b[i] == '}' {
			return i + 1, true
		}
		if b[i] != ',' {
			return 0, false
		}
		i++
	}
	return 0, false
}

func plainArray(b []byte, depth int) (int, bool) {
	if len(b) > 1 && b[1] == ']' {
		return 2, true
	}
	for i := 1; i < len(b); i++ {
		n, ok := plainValue(b[i:], depth+1)
		if i += n; !ok || i >= len(b) {
			return 0, false
		}
		if b[i] == ']' {
			return i + 1, true
		}
		if b[i] != ',' {
			return 0, false
		}
	}
	return 0, false
}

// plainText is a string that is a value: it may also hold whole UTF-8, which is
// canonical as it stands. Names may not, as they sort by UTF-16.
func plainText(b []byte) (int, bool) {
	wide := false
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, !wide || utf8.Valid(b[1:i])
		case c == '\\' || c < ' ':
			return 0, false
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	return 0, false
}

// plainNumber knows integers; others go the long way.
func plainNumber(b []byte) (int, bool) {
	i := 0
	if b[0] == '-' {
		i++
	}
	first := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == first || b[first] == '0' && (i > first+1 || first == 1) {
		return 0, false
	}
	if i < len(b) && (b[i] == '.' || b[i] == 'e' || b[i] == 'E') {
		return 0, false
	}
	return i, true
}
