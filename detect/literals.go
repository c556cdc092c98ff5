package detect

import (
	"encoding/binary"
	"sort"
	"unicode/utf8"
)

// literalScan finds the literals of a set in one text.
type literalScan struct {
	auto  *automaton
	fold  *foldTable
	code  uint32 // where the automaton stands, without hit
	pos   int64  // offset of the next byte that the automaton reads
	found spans
	last  uint64 // the last eight bytes of the last chunk, if kept
	kept  bool

	// The rest is for folded text.
	carry  carry
	run    int     // invisible characters since the last visible one
	folded int64   // bytes of folded text read
	shifts []shift // a ring of a power of two
	shifted,
	oldest int // shifts ever made; first that counts
}

// shift says that from a byte of the folded text on, text lies by so much further.
type shift struct{ at, by int64 }

func (l *literalScan) reset(set *Set) {
	l.auto, l.fold = set.lits, set.fold
	l.code, l.pos, l.kept, l.carry, l.run, l.folded = 0, 0, false, carry{}, 0, 0
	l.found.reset()
	if l.auto == nil || l.fold == nil {
		return
	}
	need := 1 // as many as can lie in the longest word, one at its end, one before it
	for need < l.auto.longest+2 {
		need *= 2
	}
	if len(l.shifts) < need {
		l.shifts = make([]shift, need)
	}
	l.shifts[0] = shift{}
	l.shifted, l.oldest = 1, 0
}

func (l *literalScan) write(b []byte) {
	if l.fold == nil {
		l.scan(b)
		return
	}
	for {
		if l.carry.n == 0 {
			if n := ascii(b); n > 0 {
				l.scan(b[:n])
				l.folded += int64(n)
				l.run = 0
				b = b[n:]
			}
			if len(b) == 0 {
				return
			}
		}
		r, w, taken, ok := l.carry.next(b)
		if !ok {
			return
		}
		b = b[taken:]
		l.rune(r, w)
	}
}

// scan reads bytes as they are. Where the filter shows that no word begins, the
// automaton does not need to have been.
func (l *literalScan) scan(b []byte) {
	f, i := l.auto.filter, 0
	if f != nil && len(b) >= filterBytes {
		l.pass(b)
		l.last, l.kept = binary.LittleEndian.Uint64(b[len(b)-filterBytes:]), true
	} else {
		l.kept = false
	}
	for f != nil && len(b)-i > filterBytes {
		// A word that has begun in b, and is not as long yet as the filter
		// looks, can be left to the filter.
		if d := l.auto.depth(l.code); d < f.k && d <= i {
			if l.code, i = l.auto.seek(b, i-d); l.code == 0 {
				i = f.tail(b, i)
				break
			}
			if l.code >= hit {
				l.code = l.hit(l.code, l.pos+int64(i), l.folded+int64(i))
			}
		}
		end := min(i+4, len(b))
		l.walk(b[:end], i)
		i = end
	}
	l.walk(b, i)
	l.pos += int64(len(b))
}

// pass drops what is under way since the last chunk if the filter shows that no
// word has begun there.
func (l *literalScan) pass(b []byte) {
	if l.code != 0 && l.kept && l.auto.depth(l.code) < l.auto.filter.k && !l.auto.filter.across(l.last, binary.LittleEndian.Uint64(b)) {
		l.code = 0
	}
}

// walk leads the automaton over b[i:].
func (l *literalScan) walk(b []byte, i int) {
	a, s := l.auto, l.code
	rows, column := a.rows, &a.column
	for ; i < len(b); i++ {
		t := uint32(ask)
		if s < uint32(len(rows)) {
			t = rows[s+uint32(column[b[i]])]
		}
		if t == ask {
			t = a.step(s, b[i])
		}
		if t >= hit {
			t = l.hit(t, l.pos+int64(i)+1, l.folded+int64(i)+1)
		}
		s = t
	}
	l.code = s
}

// hit adds the occurrence that ends at end, and returns where to go on.
func (l *literalScan) hit(code uint32, end, folded int64) uint32 {
	pattern, n, next := l.auto.arrive(code)
	start := end - int64(n)
	if l.fold != nil {
		start = l.origin(folded - int64(n))
	}
	l.found.add(Match{start, end, int(pattern)})
	return next
}

// rune reads a character that takes w bytes of the text.
func (l *literalScan) rune(r rune, w int) {
	l.kept = false
	l.pos += int64(w)
	if r == utf8.RuneError && w == 1 { // no pattern has it
		l.code, l.run = 0, 0
		l.folded++
		return
	}
	if r = l.fold.rune(r); r == skipped {
		l.shift(int64(w))
		if l.run++; l.run == maxInvisible+1 && l.code != 0 {
			l.found.add(Match{l.start(), l.pos, Invisible})
			l.code = 0
		}
		return
	}
	l.run = 0
	var buf [utf8.UTFMax]byte
	n := utf8.EncodeRune(buf[:], r)
	for _, b := range buf[:n] {
		t := l.auto.step(l.code, b)
		l.folded++
		if t >= hit {
			t = l.hit(t, l.pos, l.folded)
		}
		l.code = t
	}
	l.shift(int64(w - n))
}

// shift moves all text from here on.
func (l *literalScan) shift(by int64) {
	if by == 0 {
		return
	}
	mask := len(l.shifts) - 1
	last := &l.shifts[(l.shifted-1)&mask]
	if last.at == l.folded {
		last.by += by
		return
	}
	l.shifts[l.shifted&mask] = shift{l.folded, last.by + by}
	l.shifted++
	l.oldest = max(l.oldest, l.shifted-len(l.shifts))
}

// origin is where a byte of the folded text stands in the text; it is not
// further back than the longest word.
func (l *literalScan) origin(folded int64) int64 {
	mask := len(l.shifts) - 1
	after := l.oldest + sort.Search(l.shifted-l.oldest, func(i int) bool { return l.shifts[(l.oldest+i)&mask].at > folded })
	return folded + l.shifts[(after-1)&mask].by
}

// start is where the longest occurrence that is under way begins.
func (l *literalScan) start() int64 {
	depth := int64(l.auto.depth(l.code))
	if l.fold == nil || depth == 0 {
		return l.pos - depth
	}
	return l.origin(l.folded - depth)
}

// settled is before what an occurrence not found yet cannot start.
func (l *literalScan) settled() int64 { return l.start() }

// ascii is how many bytes at the beginning of b are ASCII.
func ascii(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:])&0x8080808080808080 != 0 {
			break
		}
	}
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}
