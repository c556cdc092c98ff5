package detect

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// skipped stands for a character that shows nothing.
const skipped rune = -1

// ignorable is Unicode's property Default_Ignorable_Code_Point: what a renderer
// shows nothing for.
var ignorable = []struct{ lo, hi rune }{
	{0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x061C, 0x061C}, {0x115F, 0x1160}, {0x17B4, 0x17B5}, {0x180B, 0x180F},
	{0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF},
	{0xFFA0, 0xFFA0}, {0xFFF0, 0xFFF8}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
}

// foldTable maps a character to the one that stands for all that fold to it:
// the lower-case ASCII letter if there is one, else the lowest code point.
// That is never longer in UTF-8 than what it stands for.
type foldTable struct {
	page   [(unicode.MaxRune + 1) >> 8]uint8 // index into pages; 0 for a page that changes nothing
	pages  [][256]rune
	from   []rune       // what is changed or skipped
	widest map[rune]int // bytes of the longest form of a character, where it has others
}

// folding is made once, when the first folded Set is compiled.
var folding = sync.OnceValue(func() *foldTable {
	t := &foldTable{pages: make([][256]rune, 1), widest: map[rune]int{}}
	for _, c := range unicode.CaseRanges {
		for r := rune(c.Lo); r <= rune(c.Hi); r++ {
			t.set(r, lowest(r))
		}
	}
	for r := rune('!'); r <= '~'; r++ {
		t.set(r-'!'+0xFF01, lowest(r))
	}
	t.set(0x3000, ' ')
	for _, x := range ignorable {
		for r := x.lo; r <= x.hi; r++ {
			t.set(r, skipped)
		}
	}
	return t
})

// lowest is the representative of the characters that r folds to.
func lowest(r rune) rune {
	low := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		low = min(low, f)
	}
	if 'A' <= low && low <= 'Z' {
		low += 'a' - 'A'
	}
	return low
}

func (t *foldTable) set(r, to rune) {
	if r == to {
		return
	}
	p := &t.page[r>>8]
	if *p == 0 {
		*p = uint8(len(t.pages))
		t.pages = append(t.pages, [256]rune{})
		for i := range t.pages[*p] {
			t.pages[*p][i] = r&^0xFF + rune(i)
		}
	}
	t.pages[*p][r&0xFF] = to
	t.from = append(t.from, r)
	if to != skipped {
		t.widest[to] = max(t.widest[to], utf8.RuneLen(to), utf8.RuneLen(r))
	}
}

// rune folds r; the result is skipped for what shows nothing.
func (t *foldTable) rune(r rune) rune {
	if p := t.page[r>>8]; p != 0 {
		return t.pages[p][r&0xFF]
	}
	return r
}

// string folds a pattern.
func (t *foldTable) string(s string) string { return strings.Map(t.rune, s) }

// room is how many bytes of text a folded character of a pattern may take, with
// what is skipped after it.
func (t *foldTable) room(r rune) int {
	return max(width(r), t.widest[r]) + maxInvisible*utf8.UTFMax
}

// width is the length of r in UTF-8, surrogates included.
func width(r rune) int {
	switch {
	case r < 0x80:
		return 1
	case r < 0x800:
		return 2
	case r < 0x10000:
		return 3
	}
	return 4
}

// carry decodes UTF-8 that is split over chunks. As in utf8.DecodeRune, a byte
// that belongs to no character is utf8.RuneError of width 1.
type carry struct {
	buf [utf8.UTFMax]byte
	n   uint8
}

// next takes the next character of what is carried and b: its width w in the
// text, and how many bytes of b were taken. If there is no whole one, all of b
// was taken and ok is false.
func (c *carry) next(b []byte) (r rune, w, taken int, ok bool) {
	if c.n == 0 {
		if utf8.FullRune(b) {
			r, w = utf8.DecodeRune(b)
			return r, w, w, true
		}
		c.n = uint8(copy(c.buf[:], b))
		return 0, 0, len(b), false
	}
	for !utf8.FullRune(c.buf[:c.n]) {
		if taken == len(b) {
			return 0, 0, taken, false
		}
		c.buf[c.n] = b[taken]
		c.n++
		taken++
	}
	r, w = utf8.DecodeRune(c.buf[:c.n])
	c.drop(w)
	return r, w, taken, true
}

// drop removes the first w bytes of what is carried.
func (c *carry) drop(w int) {
	copy(c.buf[:], c.buf[w:c.n])
	c.n -= uint8(w)
}
