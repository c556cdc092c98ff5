package detect

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// A trie is an automaton that is being made. Its states are numbered by
// breadth, so that the children of a state have consecutive numbers.
type trie struct {
	first []uint32 // first child; the next state's first is where they end
	label []uint8  // class by which a state is reached
	depth []uint16
	fail  []uint32 // longest proper suffix that has children
	out   []uint32 // as in node
	heat  []uint32 // how often the state's text stands in the words
}

// newAutomaton makes an automaton of words that are not empty. If fold is set
// they are folded, and so is the ASCII text that will be read. Rows have at most
// that many entries, or are one.
func newAutomaton(words []string, fold bool, rows uint32) *automaton {
	a := &automaton{length: make([]uint16, len(words)), number: make([]uint32, len(words)), shortest: MaxLiteral}
	for i, w := range words {
		a.number[i] = uint32(i)
		a.length[i] = uint16(len(w))
		a.longest = max(a.longest, len(w))
		a.shortest = min(a.shortest, len(w))
	}
	slices.SortFunc(a.number, func(x, y uint32) int {
		return cmp.Or(strings.Compare(words[x], words[y]), cmp.Compare(x, y))
	})
	a.classify(words, fold)
	t := &trie{}
	t.grow(a, words)
	t.link()
	a.lay(t, t.number(max(1, rows>>a.shift)))
	a.filter = newFilter(a, words, fold)
	return a
}

// classify gives the bytes of words their classes, in order of frequency.
func (a *automaton) classify(words []string, fold bool) {
	var times [256]int
	for _, w := range words {
		for i := range len(w) {
			times[w[i]]++
		}
	}
	var have []int // at most the 243 bytes that UTF-8 has
	for b, n := range times {
		if n > 0 {
			have = append(have, b)
		}
	}
	slices.SortStableFunc(have, func(x, y int) int { return times[y] - times[x] })
	columns := min(len(have)+2, maxColumns)
	a.rare = uint8(columns - 1)
	a.shift = uint8(bits.Len(uint(columns - 1)))
	for i, b := range have {
		a.class[b] = uint8(i + 1)
		a.column[b] = min(a.class[b], a.rare)
	}
	if fold {
		for b := 'A'; b <= 'Z'; b++ {
			a.class[b], a.column[b] = a.class[b+'a'-'A'], a.column[b+'a'-'A']
		}
	}
}

// grow makes the states, level by level. A state is a range of the sorted words
// that begin alike.
func (t *trie) grow(a *automaton, words []string) {
	type span struct{ lo, hi uint32 }
	level := []span{{0, uint32(len(words))}}
	var below []span
	t.label = []uint8{0}
	for depth := 0; len(level) > 0; depth++ {
		below = below[:0]
		for _, s := range level {
			t.first = append(t.first, uint32(len(t.label)))
			t.depth = append(t.depth, uint16(depth))
			t.heat = append(t.heat, s.hi-s.lo)
			lo, out := s.lo, uint32(0)
			for lo < s.hi && len(words[a.number[lo]]) == depth { // one word, or the same again
				lo, out = lo+1, s.lo+1
			}
			t.out = append(t.out, out)
			for lo < s.hi {
				c := words[a.number[lo]][depth]
				hi := lo + 1
				for hi < s.hi && words[a.number[hi]][depth] == c {
					hi++
				}
				t.label = append(t.label, a.class[c])
				below = append(below, span{lo, hi})
				lo = hi
			}
		}
		level, below = below, level
	}
	t.first = append(t.first, uint32(len(t.label)))
}

func (t *trie) leaf(s uint32) bool { return t.first[s] == t.first[s+1] }

// link sets the failures, and passes words and heat down them.
func (t *trie) link() {
	t.fail = make([]uint32, len(t.label))
	for s := range uint32(len(t.label)) {
		for c := t.first[s]; c < t.first[s+1]; c++ {
			f := uint32(0)
			for p := s; p != 0 && f == 0; {
				p = t.fail[p]
				for x := t.first[p]; x < t.first[p+1]; x++ {
					if t.label[x] == t.label[c] {
						f = x
						break
					}
				}
			}
			if t.out[c] == 0 {
				t.out[c] = t.out[f]
			}
			if t.leaf(f) {
				f = t.fail[f]
			}
			t.fail[c] = f
		}
	}
	for s := len(t.label) - 1; s > 0; s-- {
		f := &t.heat[t.fail[s]]
		*f = uint32(min(uint64(*f)+uint64(t.heat[s]), 1<<32-1))
	}
}

// numbering says which number each state gets: first the hottest, which get
// rows, then the others, so that a state stands beside its child.
type numbering struct {
	dense uint32
	of    []uint32
}

func (t *trie) number(rows uint32) numbering {
	n := numbering{dense: min(rows, uint32(len(t.label))), of: make([]uint32, len(t.label))}
	const top = 1 << 16
	var states [top]uint32 // by heat
	for _, h := range t.heat {
		states[min(h, top-1)]++
	}
	least, above := uint32(top-1), uint32(0) // all hotter than least get a row, and of those the first
	for ; above+states[least] < n.dense; least-- {
		above += states[least]
	}
	of, rest := uint32(1), n.dense-above // the root is the hottest
	const none = 1<<32 - 1
	for s := uint32(1); s < uint32(len(t.label)); s++ {
		n.of[s] = none
		h := min(t.heat[s], top-1)
		if h < least || h == least && rest == 0 || of == n.dense {
			continue
		}
		if h == least {
			rest--
		}
		n.of[s] = of
		of++
	}
	n.dense = of
	for s := range uint32(len(t.label)) {
		for x := s; n.of[x] == none; x = t.first[x] { // down the first children
			n.of[x] = of
			of++
			if t.leaf(x) {
				break
			}
		}
	}
	return n
}

// lay lays the states of t out.
func (a *automaton) lay(t *trie, n numbering) {
	a.dense = n.dense
	a.rows = make([]uint32, a.dense<<a.shift)
	a.nodes = make([]node, len(t.label))
	a.depths = make([]uint16, a.dense)
	code := func(s uint32) uint32 {
		if n.of[s] < a.dense {
			return n.of[s] << a.shift
		}
		return uint32(len(a.rows)) + n.of[s] - a.dense
	}
	to := func(s uint32) uint32 {
		if t.out[s] != 0 {
			return code(s) | hit
		}
		return code(s)
	}
	several := 0
	for s := range t.label {
		if c := t.first[s+1] - t.first[s]; c > 1 {
			several += int(c)
		}
	}
	a.labels, a.codes = make([]uint8, 0, several), make([]uint32, 0, several)
	for i := range t.label {
		s := uint32(i)
		first, end := t.first[s], t.first[s+1]
		x := node{fail: code(t.useful(s)), out: t.out[s], depth: t.depth[s], n: uint8(end - first)}
		switch x.n {
		case 0:
		case 1:
			x.next, x.label = to(first), t.label[first]
		default:
			x.next = uint32(len(a.codes))
			for c := first; c < end; c++ {
				a.labels, a.codes = append(a.labels, t.label[c]), append(a.codes, to(c))
			}
		}
		a.nodes[n.of[s]] = x
	}
	// Suffixes come before what they end: they are shorter.
	var chain []uint32
	for i := range t.label {
		s := uint32(i)
		if n.of[s] >= a.dense {
			continue
		}
		row := a.rows[n.of[s]<<a.shift:][:1<<a.shift]
		chain = append(chain[:0], s)
		for f := t.fail[s]; s != 0; f = t.fail[f] {
			if n.of[f] < a.dense {
				copy(row, a.rows[n.of[f]<<a.shift:])
				break
			}
			chain = append(chain, f)
		}
		for k := len(chain) - 1; k >= 0; k-- {
			for c := t.first[chain[k]]; c < t.first[chain[k]+1]; c++ {
				if t.label[c] < a.rare {
					row[t.label[c]] = to(c)
				}
			}
		}
		row[a.rare] = ask
		a.depths[n.of[s]] = t.depth[s]
	}
}

// useful is the failure of s, past those whose children s has all itself: what
// they do not take, s has not taken, either.
func (t *trie) useful(s uint32) uint32 {
	f := t.fail[s]
	for f != 0 && !t.leaf(s) && t.within(f, s) {
		f = t.fail[f]
	}
	return f
}

// within says whether s has a child by each class by which f has one.
func (t *trie) within(f, s uint32) bool {
	has := t.label[t.first[s]:t.first[s+1]]
	for _, l := range t.label[t.first[f]:t.first[f+1]] {
		if !slices.Contains(has, l) {
			return false
		}
	}
	return true
}
