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
	heads [1 << 11]uint64 // a bit for the hash of the first minFilter bytes of each word
	table []gram          // open addressing; at most four fifths full
}

// gram is how words begin. A code of 0 is none.
type gram struct {
	bytes uint64 // in lower case if case does not count
	code  uint32
	more  uint64 // a bit for each way in which one of these words goes on for four bytes
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
		head := headHash(uint32(x) | uint32(f.lower))
		f.heads[head>>6] |= 1 << (head & 63)
		at := f.place(h)
		for f.table[at].code != 0 && f.table[at].bytes != x {
			at = (at + 1) & (len(f.table) - 1)
		}
		g := &f.table[at]
		g.bytes, g.code = x, code
		if rest := w[f.k:]; len(rest) < 4 {
			g.more = ^uint64(0)
		} else {
			g.more |= 1 << goesOn(uint32(rest[0])|uint32(rest[1])<<8|uint32(rest[2])<<16|uint32(rest[3])<<24)
		}
	}
	return f
}

// across says whether a word may begin in the last seven bytes of x, where y
// comes after it.
func (f *filter) across(x, y uint64) bool {
	some := uint64(0)
	for j := 8; j < 64; j += 8 {
		h := ((x>>(j&63)|y<<((64-j)&63))&f.mask | f.lower) * filterHash
		w := f.set[h>>setShift]
		some |= w >> (h >> 32 & 63) & (w >> (h >> 40 & 63))
	}
	return some&1 != 0
}

func headHash(x uint32) uint32 { return x * 0x9E3779B1 >> (32 - 17) }

// tail returns the first place from p on where a word may begin that b does not
// show in whole, or the first one with fewer than minFilter bytes behind it.
func (f *filter) tail(b []byte, p int) int {
	for ; p <= len(b)-minFilter; p++ {
		h := headHash(binary.LittleEndian.Uint32(b[p:]) | uint32(f.lower))
		if f.heads[h>>6]>>(h&63)&1 != 0 {
			break
		}
	}
	return p
}

// goesOn is the bit of four bytes in gram.more.
func goesOn(x uint32) uint32 { return x * 0x9E3779B1 >> 26 }

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
			if g.more>>goesOn(uint32(more))&1 == 0 {
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
	return 8*len(f.set) + 8*len(f.heads) + 24*len(f.table)
}
