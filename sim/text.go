package sim

import (
	"hash/crc32"
	"unicode/utf8"
)

// vocabulary is what the simulation says: plain lower-case words that need no
// escape in JSON. Its length is a power of two, so that picking is a mask.
var vocabulary = [64]string{
	"amber", "anchor", "autumn", "basin", "beacon", "birch", "bridge", "canvas",
	"cedar", "cinder", "cobalt", "copper", "coral", "dawn", "delta", "ember",
	"falcon", "fern", "field", "flint", "garden", "glacier", "granite", "harbor",
	"hazel", "heron", "hollow", "indigo", "island", "ivory", "jasper", "kestrel",
	"lantern", "larch", "ledger", "linen", "maple", "marble", "meadow", "mill",
	"north", "oak", "ocean", "opal", "orchard", "osprey", "pebble", "pine",
	"prairie", "quarry", "quill", "raven", "reef", "ridge", "river", "saffron",
	"shore", "silver", "spruce", "stone", "summit", "tide", "valley", "willow",
}

// sentence is how many words stand between two full stops.
const sentence = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seedOf is the same for the same text on the same model, whatever the wire.
func seedOf(model, text string) uint64 {
	sum := crc32.Update(crc32.Checksum([]byte(model), castagnoli), castagnoli, []byte(text))
	return uint64(sum)<<32 | uint64(uint32(len(text)))
}

// mix is splitmix64's finaliser: neighbouring inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// speech is what one choice says, piece by piece; a piece is a token. It is
// either generated from the seed or, if pieces is not nil, given.
type speech struct {
	seed   uint64
	pieces []string // each the inside of a JSON string
	n      int      // tokens to say
}

// appendPiece appends token i as the inside of a JSON string.
func (p *speech) appendPiece(b []byte, i int) []byte {
	if p.pieces != nil {
		return append(b, p.pieces[i]...)
	}
	word := vocabulary[mix(p.seed+uint64(i))&uint64(len(vocabulary)-1)]
	if i > 0 {
		b = append(b, ' ')
	}
	if i%sentence == 0 {
		b = append(append(b, word[0]-'a'+'A'), word[1:]...)
	} else {
		b = append(b, word...)
	}
	if i%sentence == sentence-1 {
		b = append(b, '.')
	}
	return b
}

// appendAll appends everything said, as the inside of a JSON string.
func (p *speech) appendAll(b []byte) []byte {
	for i := range p.n {
		b = p.appendPiece(b, i)
	}
	return b
}

// longest piece of a text that is not blank, in bytes.
const longest = 16

// split cuts a text into tokens: a word with the blanks before it, long words
// into pieces. The tokens joined are the text; none is empty; no rune is cut.
func split(text string) []string {
	pieces := make([]string, 0, len(text)/5+1)
	for text != "" {
		i := 0
		for i < len(text) && isBlank(text[i]) && i < longest {
			i++
		}
		start := i
		for i < len(text) && !isBlank(text[i]) && i-start < longest {
			i++
		}
		for i < len(text) && !utf8.RuneStart(text[i]) {
			i++
		}
		pieces = append(pieces, text[:i])
		text = text[i:]
	}
	return pieces
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// escapeAll turns each piece into the inside of a JSON string.
func escapeAll(pieces []string) []string {
	var b []byte
	for i, p := range pieces {
		b = quote(b[:0], p)
		pieces[i] = string(b[1 : len(b)-1])
	}
	return pieces
}

// tokensIn is the simulation's tokenizer for input: a token is four bytes of
// text, and a text has at least one.
func tokensIn(text string) int64 { return max(1, int64(len(text)+3)/4) }
