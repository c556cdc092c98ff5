package detect

// Match is a stretch of the text, given by the offsets of its bytes.
type Match struct {
	Start, End int64
	// Pattern is the occurrence's that starts first: the index of a literal,
	// or the number of literals + the index of an expression, or Invisible. Of
	// several literals that start there it is the longest, of expressions, too.
	Pattern int
}

// Scanner reads one text in chunks. One goroutine uses it at a time; make it
// with Set.Scanner, or with Reset of any Scanner. It allocates nothing once it has
// seen a text like the one at hand.
//
//	for m, ok := sc.Write(chunk); ok; m, ok = sc.Next() { … }
//	// now all bytes but the last sc.Pending() are settled
//	…
//	for m, ok := sc.End(); ok; m, ok = sc.Next() { … }
type Scanner struct {
	set      *Set
	n        int64 // bytes read
	settled  int64 // no occurrence that is not found yet starts before
	reported int64 // end of the last match
	lits     literalScan
	regs     regexpScan
}

// Scanner returns a Scanner for one text.
func (set *Set) Scanner() *Scanner {
	sc := &Scanner{}
	sc.Reset(set)
	return sc
}

// Reset makes sc ready for another text and keeps its memory.
func (sc *Scanner) Reset(set *Set) {
	sc.set, sc.n, sc.settled, sc.reported = set, 0, 0, 0
	sc.lits.reset(set)
	sc.regs.reset(set)
}

// Write reads the next bytes of the text, all of them, and returns the first
// match that is certain now. Next returns the others.
func (sc *Scanner) Write(chunk []byte) (m Match, found bool) {
	sc.n += int64(len(chunk))
	sc.settled = sc.n
	if sc.lits.auto != nil {
		sc.lits.write(chunk)
		sc.settled = sc.lits.settled()
	}
	if sc.regs.prog != nil {
		sc.regs.write(chunk)
		sc.settled = min(sc.settled, sc.regs.settled())
	}
	return sc.Next()
}

// End says that the text is over, and returns the first of the matches that
// were not certain before. After it the Scanner is of no use but for Next and
// Reset.
func (sc *Scanner) End() (m Match, found bool) {
	if sc.regs.prog != nil {
		sc.regs.finish()
	}
	sc.settled = sc.n
	return sc.Next()
}

// Next returns the next match that is certain.
func (sc *Scanner) Next() (m Match, found bool) {
	for {
		q := &sc.lits.found
		s, r := q.first(), sc.regs.found.first()
		if s == nil || r != nil && r.Start < s.Start {
			s, q = r, &sc.regs.found
		}
		switch {
		case s == nil:
		case s.End <= sc.reported:
			q.head++
			continue
		case !found && s.Start < sc.settled:
			m, found = *s, true
			m.Start = max(m.Start, sc.reported)
			q.head++
			continue
		case found && s.Start < m.End:
			m.End = max(m.End, s.End)
			q.head++
			continue
		}
		if found {
			sc.reported = m.End
		}
		return m, found
	}
}

// Pending is how many of the last bytes read may still become part of a match
// that has not been reported; at most Set.Longest. Bytes before are settled:
// those of them that lie in a match lie in one that Write and Next have
// returned. Ask when Next has returned false.
func (sc *Scanner) Pending() int { return int(sc.n - sc.settled) }
