package detect

import "bytes"

// An automaton is Aho and Corasick's. The states in which text stays most have
// a row with their next state for each frequent class of bytes, failures
// followed already. The others are kept in 16 bytes, with their only child or a
// list of their children, and the failure.
//
// A state that has no children is never stayed in: a text that arrives there
// goes on in its failure. So the depth of a state is always how much of the end
// of the text may still become part of an occurrence, and not a byte more.
type automaton struct {
	class             [256]uint8 // of a byte; 0 for those that no word has, the more frequent the lower
	column            [256]uint8 // of a byte, in rows: its class, or rare for those from rare on
	rare              uint8
	shift             uint8    // log₂ of the length of a row
	dense             uint32   // number of states with a row; they come first
	rows              []uint32 // codes
	depths            []uint16 // of the states with a row, where they lie close together
	nodes             []node   // of all states
	labels            []uint8  // classes of the children of states that have several
	codes             []uint32 // the children
	filter            *filter  // nil if a word is too short for it
	shortest, longest int      // bytes of a word
	length            []uint16 // of each word
	number            []uint32 // of each word in order of bytes: its pattern
}

type node struct {
	next  uint32 // code of the only child, or where labels and codes begin
	fail  uint32 // code of the longest suffix that has children this one has not
	out   uint32 // 1 + the longest word that ends here, in order of bytes; 0 is none
	depth uint16 // bytes from the root
	label uint8  // class of the only child
	n     uint8  // number of children
}

// A code is a state as rows and scanners hold it: the offset of its row, or
// len(rows) + how far it lies behind the states that have one. hit is set if a
// word ends there; ask stands for a class that rows do not have.
const (
	hit = 1 << 31
	ask = 1<<32 - 1
)

// maxRows bounds rows (2 MiB), maxColumns the length of one.
const (
	maxRows    = 1 << 19
	maxColumns = 64
)

func (a *automaton) child(n *node, class uint8) (code uint32, ok bool) {
	switch n.n {
	case 0:
		return 0, false
	case 1:
		return n.next, n.label == class
	}
	if i := bytes.IndexByte(a.labels[n.next:][:n.n], class); i >= 0 {
		return a.codes[n.next+uint32(i)], true
	}
	return 0, false
}

func (a *automaton) state(code uint32) uint32 {
	if code &^= hit; code >= uint32(len(a.rows)) {
		return code - uint32(len(a.rows)) + a.dense
	}
	return code >> a.shift
}

// step goes where a row does not say: from a state without one, or by a rare
// class.
func (a *automaton) step(code uint32, b byte) uint32 {
	class, column := a.class[b], uint32(a.column[b])
	for {
		n := &a.nodes[a.state(code)]
		if c, ok := a.child(n, class); ok {
			return c
		}
		if code == 0 {
			return 0
		}
		if code = n.fail; code < uint32(len(a.rows)) {
			if t := a.rows[code+column]; t != ask {
				return t
			}
		}
	}
}

// arrive returns the pattern that ends at a code with hit set, its length in
// (folded) bytes, and the code to go on with.
func (a *automaton) arrive(code uint32) (pattern uint32, length int, next uint32) {
	n := &a.nodes[a.state(code)]
	pattern = a.number[n.out-1]
	if n.n == 0 {
		code = n.fail
	}
	return pattern, int(a.length[pattern]), code &^ hit
}

// depth is how many (folded) bytes lead to a code.
func (a *automaton) depth(code uint32) int {
	if code < uint32(len(a.rows)) {
		return int(a.depths[code>>a.shift])
	}
	return int(a.nodes[code-uint32(len(a.rows))+a.dense].depth)
}

// size is the memory that the automaton takes.
func (a *automaton) size() int {
	return 4*cap(a.rows) + 2*cap(a.depths) + 16*cap(a.nodes) + cap(a.labels) + 4*cap(a.codes) + 2*cap(a.length) + 4*cap(a.number) + a.filter.size()
}
