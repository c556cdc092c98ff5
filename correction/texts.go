package correction

import (
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
)

// textTable finds the rules that stand under a text. It is a hash table of one
// array, at most half full: a text that does not stand in it costs one access to
// memory that is not in a cache, and one that does costs two. What a request says
// is hashed once, for the tables of both layers.
type textTable struct {
	slots []slot
	bytes []byte // of all texts, one after the other
	n     int    // how many there are
}

// slot is one text and what stands under it. Free ones have key 0.
type slot struct {
	key  uint64 // the low half of the hash, and the length
	from uint32 // in bytes
	at   posting
}

// fewTexts is how many take so little memory that more of it is left free.
const fewTexts = 4096

// newTextTable has room for n texts.
func newTextTable(n int) textTable {
	if n <= fewTexts {
		return textTable{slots: make([]slot, 4*n)}
	}
	return textTable{slots: make([]slot, 2*n)}
}

// may says whether a text that has this hash may stand in the table, which of most
// that do not it knows.
func (t *textTable) may(h uint64) bool {
	i, _ := bits.Mul64(h, uint64(len(t.slots)))
	return i < uint64(len(t.slots)) && t.slots[i].key != 0
}

// find returns the slot of a text that has this hash; nil if it does not stand in
// the table.
func (t *textTable) find(h uint64, text string) *slot {
	slots, key := t.slots, textKey(h, text)
	for i, _ := bits.Mul64(h, uint64(len(slots))); i < uint64(len(slots)); {
		s := &slots[i]
		if s.key == 0 {
			break
		}
		if s.key == key && string(t.bytes[s.from:][:len(text)]) == text {
			return s
		}
		if i++; i == uint64(len(slots)) {
			i = 0
		}
	}
	return nil
}

// textKey is never 0, since no text is empty.
func textKey(h uint64, text string) uint64 { return h<<32 | uint64(len(text)) }

// put puts a text that does not stand in the table yet, and for which there is
// room.
func (t *textTable) put(h uint64, text string, at posting) error {
	if uint64(len(t.bytes)+len(text)) > math.MaxUint32 {
		return errors.New("the values have more than 4 GiB")
	}
	i, _ := bits.Mul64(h, uint64(len(t.slots)))
	for t.slots[i].key != 0 {
		if i++; i == uint64(len(t.slots)) {
			i = 0
		}
	}
	t.slots[i] = slot{key: textKey(h, text), from: uint32(len(t.bytes)), at: at}
	t.bytes = append(t.bytes, text...)
	t.n++
	return nil
}

// seeds keep callers from choosing texts that meet in one slot.
var seeds = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

// hash is what the runtime hashes texts with where a processor has no AES: words
// are multiplied and mixed. It is short enough to stand where it is used, which
// for a dozen short texts is worth more than a better instruction.
func hash(s string) uint64 {
	n := len(s)
	h := seeds[0] ^ uint64(n)
	switch {
	case n >= 8:
		for i := 0; i < n-8; i += 8 {
			h = mix(h^word(s[i:i+8]), seeds[1])
		}
		h ^= word(s[n-8:])
	case n >= 4:
		h ^= uint64(half(s))<<32 | uint64(half(s[n-4:]))
	case n > 0:
		h ^= uint64(s[0])<<16 | uint64(s[n/2])<<8 | uint64(s[n-1])
	}
	return mix(h, seeds[1])
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func half(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
