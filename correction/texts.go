package correction

import (
	"encoding/binary"
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
	texts []byte // of each, one after the other: its posting, its length, and itself
	n     int    // how many there are
}

// slot is the low half of a text's hash and where in texts the text itself
// begins, which is never 0. Free ones are 0.
type slot uint64

// beforeText is how many bytes a posting and a length take.
const beforeText = 8

// fewTexts is how many take so little memory that more of it is left free.
const fewTexts = 4096

// newTextTable has room for n texts, which have so many bytes.
func newTextTable(n, bytes int) textTable {
	t := textTable{texts: make([]byte, 0, n*beforeText+bytes)}
	if n <= fewTexts {
		t.slots = make([]slot, 4*n)
	} else {
		t.slots = make([]slot, 2*n)
	}
	return t
}

// may says whether a text that has this hash may stand in the table, which of most
// that do not it knows.
func (t *textTable) may(h uint64) bool {
	i, _ := bits.Mul64(h, uint64(len(t.slots)))
	return i < uint64(len(t.slots)) && t.slots[i] != 0
}

// find returns the place of a text that has this hash; 0 if it does not stand in
// the table.
func (t *textTable) find(h uint64, text string) uint32 {
	slots := t.slots
	for i, _ := bits.Mul64(h, uint64(len(slots))); i < uint64(len(slots)); {
		s := slots[i]
		if s == 0 {
			break
		}
		if uint32(s>>32) == uint32(h) && t.is(uint32(s), text) {
			return uint32(s)
		}
		if i++; i == uint64(len(slots)) {
			i = 0
		}
	}
	return 0
}

// is says whether a text stands at a place.
func (t *textTable) is(place uint32, text string) bool {
	have := t.texts[place-4:]
	n := uint64(binary.LittleEndian.Uint32(have))
	return n == uint64(len(text)) && string(have[4:4+n]) == text
}

// at is what stands under the text at a place.
func (t *textTable) at(place uint32) posting {
	return posting(binary.LittleEndian.Uint32(t.texts[place-beforeText:]))
}

func (t *textTable) set(place uint32, at posting) {
	binary.LittleEndian.PutUint32(t.texts[place-beforeText:], uint32(at))
}

// put puts a text that does not stand in the table yet, and for which there is
// room.
func (t *textTable) put(h uint64, text string, at posting) error {
	place := uint64(len(t.texts) + beforeText)
	if place+uint64(len(text)) > math.MaxUint32 {
		return errors.New("the values have more than 4 GiB")
	}
	i, _ := bits.Mul64(h, uint64(len(t.slots)))
	for t.slots[i] != 0 {
		if i++; i == uint64(len(t.slots)) {
			i = 0
		}
	}
	t.slots[i] = slot(h<<32 | place)
	t.texts = binary.LittleEndian.AppendUint32(t.texts, uint32(at))
	t.texts = binary.LittleEndian.AppendUint32(t.texts, uint32(len(text)))
	t.texts = append(t.texts, text...)
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
