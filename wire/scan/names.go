package scan

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// Duplicate members are found by comparing with all names of the object while
// there are few, and with a hash table beyond that. The few are compared by a
// cheap mark; the table's hash is seeded anew in each process, so that no body
// can be made to collide.

// few is how many names are compared one by one.
const few = 16

// name is one member name: where its decoded bytes are, and a mark or hash.
type name struct {
	hash uint64
	off  uint32 // into the body, or into Scanner.text if it was escaped
	size uint32 // with escapedBit
}

const escapedBit = 1 << 31

func (n name) bytes(s *Scanner) []byte {
	size := n.size &^ escapedBit
	if n.size&escapedBit != 0 {
		return s.text[n.off : n.off+size]
	}
	return s.b[n.off : n.off+size]
}

var seed = maphash.MakeSeed()

// mark condenses a name's length, first and last bytes.
func mark(b []byte) uint64 {
	n := len(b)
	var x uint64
	switch {
	case n >= 8:
		x = binary.LittleEndian.Uint64(b) ^ binary.LittleEndian.Uint64(b[n-8:])<<1
	case n >= 4:
		x = uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32
	case n > 0:
		x = uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16
	}
	return x ^ uint64(n)<<56
}

// member reads a member's name and its colon in the innermost object, and
// refuses a name that the object already has.
func (s *Scanner) member() bool {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return s.unexpected("a member name in quotes")
	}
	at := s.i
	escaped, ok := s.str()
	if !ok {
		return false
	}
	inside := s.b[at+1 : s.i-1]
	n := name{off: uint32(at + 1), size: uint32(len(inside))}
	if escaped {
		from := len(s.text)
		s.text = unescape(s.text, inside)
		inside = s.text[from:]
		n.off, n.size = uint32(from), uint32(len(inside))|escapedBit
	}
	f := &s.frames[len(s.frames)-1]
	f.n++
	dup := false
	if f.bits == 0 && len(s.names)-f.names < few {
		n.hash = mark(inside)
		for _, o := range s.names[f.names:] {
			if o.hash == n.hash && bytes.Equal(o.bytes(s), inside) {
				dup = true
				break
			}
		}
	} else {
		dup = s.addLarge(f, &n, inside)
	}
	s.names = append(s.names, n)
	s.nameAt = at
	if dup {
		return s.fail(CodeDuplicate, at, "this member is given twice; each may be given once")
	}
	if s.peek() != ':' {
		return s.unexpected("a colon")
	}
	s.i++
	return true
}

// addLarge adds n, which will be the next of s.names, to the table of f, which
// it makes or doubles as needed, and says whether the name is there already.
func (s *Scanner) addLarge(f *frame, n *name, inside []byte) bool {
	n.hash = maphash.Bytes(seed, inside)
	count := len(s.names) - f.names
	if f.bits == 0 {
		for k := f.names; k < len(s.names); k++ {
			s.names[k].hash = maphash.Bytes(seed, s.names[k].bytes(s))
		}
		s.grow(f, 6)
	} else if 2*(count+1) > 1<<f.bits {
		s.grow(f, f.bits+1)
	}
	table := s.tab[f.tab:]
	mask := uint64(len(table) - 1)
	slot := n.hash & mask
	for table[slot] != 0 {
		if o := s.names[f.names+int(table[slot])-1]; o.hash == n.hash && bytes.Equal(o.bytes(s), inside) {
			return true
		}
		slot = (slot + 1) & mask
	}
	table[slot] = uint32(count + 1)
	return false
}

// grow gives f an empty table of 1<<bits slots in place of the one it has and
// puts its names in. Inner objects are closed by now, so it is the last of tab.
func (s *Scanner) grow(f *frame, bits int) {
	size := 1 << bits
	s.tab = s.tab[:f.tab]
	if need := f.tab + size; cap(s.tab) < need {
		s.tab = append(make([]uint32, 0, need), s.tab...)
	}
	s.tab = s.tab[:f.tab+size]
	f.bits = bits
	table := s.tab[f.tab:]
	clear(table)
	mask := uint64(size - 1)
	for k, o := range s.names[f.names:] {
		slot := o.hash & mask
		for table[slot] != 0 {
			slot = (slot + 1) & mask
		}
		table[slot] = uint32(k + 1)
	}
}
