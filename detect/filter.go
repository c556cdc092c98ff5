package detect

import (
	"encoding/binary"
	"math/bits"
)

// A filter finds the places where a word begins by the first bytes of the
// words, and the state to which those lead. Most places of a text are none, and
// to see that by one bit is several times as fast as to walk the automaton.
type filter struct {
	k     int             // bytes that count
	mask  uint64          // of those bytes
	lower uint64          // 0x20 in each of them if case does not count; that mixes up more than letters
	set   [1 << 13]uint64 // two bits in one of them for each hash
	table []gram          // open addressing; at most four fifths full
}

// gram is how words begin. A code of 0 is none.
type gram struct {
	bytes uint64 // in lower case if case does not count
	code  uint32
	more  uint32 // how all of these words go on: up to four bytes
	mask  uint32 // of those bytes
}

// filterBytes is how much of the text a filter looks at, minFilter the length
// of the shortest word with which it is worth while.
const (
	filterBytes = 8
	minFilter   = 4
)

// newFilter returns nil if a word is too short.
func newFilter(a *automaton, words []string, fold bool) *filter {
	if a.shortest < minFilter {
		return nil
	}
	f := &filter{k: min(a.shortest, filterBytes)}
	f.mask = ^uint64(0) >> (64 - 8*f.k)
	if fold {
		f.lower = 0x2020202020202020 & f.mask
	}
	f.table = make([]gram, 1<<bits.Len(uint(len(words)+len(words)/4)))
	for _, w := range words {
		var b [filterBytes]byte
		copy(b[:f.k], w)
		code := uint32(0)
		for _, c := range b[:f.k] {
			code = a.step(code&^hit, c)
		}
		x := binary.LittleEndian.Uint64(b[:]) & f.mask
		h := (x | f.lower) * filterHash
		f.set[h>>setShift] |= 1<<(h>>32&63) | 1<<(h>>40&63)
		for at := f.place(h); ; at = (at + 1) & (len(f.table) - 1) {
			if f.table[at].code == 0 {
				f.table[at] = gram{bytes: x, code: code}
				f.table[at].goOn(a, w[f.k:])
			}
			if f.table[at].bytes == x {
				break
			}
		}
	}
	return f
}

// goOn sets how the words go on, if all do alike; w is the rest of one.
func (g *gram) goOn(a *automaton, w string) {
	code := g.code
	for i := 0; i < 4 && code < hit && a.nodes[a.state(code)].n == 1; i++ {
		g.more |= uint32(w[i]) << (8 * i)
		g.mask |= 0xFF << (8 * i)
		code = a.nodes[a.state(code)].next
	}
}

const (
	filterHash = 0x9E3779B97F4A7C15
	setShift   = 64 - 13
)

func (f *filter) place(h uint64) int { return int(h >> 20 & uint64(len(f.table)-1)) }

// far is how many bytes a word goes on before it is worth while to leave the
// filter. It bounds what is read twice.
const far = 16

// seek returns where the automaton goes on, and from which byte: after the
// first place from p on where a word begins and, unless it ends before, goes
// on for a while. With code 0 there is none, and fewer than filterBytes are left.
func (a *automaton) seek(b []byte, p int) (code uint32, i int) {
	f := a.filter
places:
	for {
		if p, code = f.next(b, p); code == 0 {
			return 0, p
		}
		for i = p + f.k; code < hit && i < len(b) && i < p+f.k+far; i++ {
			c, ok := a.child(&a.nodes[a.state(code)], a.class[b[i]])
			if !ok {
				p++ // what begins here goes on otherwise
				continue places
			}
			code = c
		}
		return code, i
	}
}

// next returns the first place from p on where a word begins, so far as twelve
// bytes tell, and the code to which its first k bytes lead; or, with code 0, the first one with fewer
// than filterBytes behind it.
func (f *filter) next(b []byte, p int) (at int, code uint32) {
	set, mask, lower := &f.set, f.mask, f.lower
	for ; p <= len(b)-filterBytes; p++ {
		x := binary.LittleEndian.Uint64(b[p:]) & mask
		h := (x | lower) * filterHash
		if w := set[h>>setShift]; w>>(h>>32&63)&1 != 0 && w>>(h>>40&63)&1 != 0 {
			if code := f.lookup(x, b[p+f.k:]); code != 0 {
				return p, code
			}
		}
	}
	return p, 0
}

// lookup returns where x leads, unless what follows shows that no word goes on
// like this.
func (f *filter) lookup(x uint64, rest []byte) uint32 {
	at := f.place((x | f.lower) * filterHash)
	if f.lower != 0 {
		x = lowered(x)
	}
	for ; ; at = (at + 1) & (len(f.table) - 1) {
		g := &f.table[at]
		if g.code == 0 {
			return 0
		}
		if g.bytes != x {
			continue
		}
		if len(rest) >= 4 {
			more := uint64(binary.LittleEndian.Uint32(rest))
			if f.lower != 0 {
				more = lowered(more)
			}
			if uint32(more)&g.mask != g.more {
				return 0
			}
		}
		return g.code
	}
}

// lowered turns the upper-case letters among eight bytes into lower case.
func lowered(x uint64) uint64 {
	const each = 0x0101010101010101
	low := x &^ (0x80 * each)
	upper := (low + (0x80-'A')*each) &^ (low + (0x80-'Z'-1)*each) &^ x & (0x80 * each)
	return x | upper>>2
}

// size is the memory that the filter takes.
func (f *filter) size() int {
	if f == nil {
		return 0
	}
	return 8*len(f.set) + 24*len(f.table)
}
