package detect

import (
	"regexp/syntax"
	"unicode/utf8"
)

// regexpScan finds the expressions of a set in one text. It walks all of them
// at once, character by character; each instruction is held at most once, with
// the first place where what leads to it began. So a character costs at most
// one visit of each instruction, whatever the text.
type regexpScan struct {
	prog  *program
	carry carry
	pos   int64 // offset of the next byte that is part of a character
	end   int64 // of the last character that counts
	prev  kind  // of that character
	run   int   // invisible characters since
	found spans

	now, next []thread // in order of start
	waiting   bool     // some of now wait at an assertion
	seen      []uint32 // of each instruction: the round in which it was visited last
	round     uint32
	stack     []uint32
}

type thread struct {
	pc    uint32
	start int64
}

func (s *regexpScan) reset(set *Set) {
	s.prog = set.prog
	s.carry, s.pos, s.end, s.prev, s.run = carry{}, 0, 0, edge, 0
	s.found.reset()
	s.now, s.next, s.waiting = s.now[:0], s.next[:0], false
	if s.prog != nil && len(s.seen) < len(s.prog.insts) {
		s.seen, s.round = make([]uint32, len(s.prog.insts)), 0
	}
}

func (s *regexpScan) write(b []byte) {
	fold := s.prog.fold
	for {
		if s.carry.n == 0 {
			if len(s.now) == 0 {
				b = b[s.idle(b):]
			}
			if len(b) == 0 {
				return
			}
			if c := b[0]; c < utf8.RuneSelf {
				b = b[1:]
				r := rune(c)
				if fold != nil && 'A' <= c && c <= 'Z' {
					r += 'a' - 'A'
				}
				s.run = 0
				s.step(r, 1)
				continue
			}
		}
		r, w, taken, ok := s.carry.next(b)
		if !ok {
			return
		}
		b = b[taken:]
		s.rune(r, w)
	}
}

// idle passes over the bytes at which nothing begins.
func (s *regexpScan) idle(b []byte) int {
	n := 0
	for n < len(b) && !s.prog.starts[b[n]] {
		n++
	}
	if n > 0 {
		s.pos += int64(n)
		s.end, s.prev, s.run = s.pos, kindOf(rune(b[n-1])), 0 // a byte beyond ASCII is part of what is no word character
	}
	return n
}

// rune reads a character that takes w bytes of the text.
func (s *regexpScan) rune(r rune, w int) {
	if fold := s.prog.fold; fold != nil && (r != utf8.RuneError || w > 1) {
		if r = fold.rune(r); r == skipped {
			s.pos += int64(w)
			if s.run++; s.run == maxInvisible+1 && len(s.now) > 0 {
				s.found.add(Match{s.now[0].start, s.pos, Invisible})
				s.now, s.waiting = s.now[:0], false
			}
			return
		}
	}
	s.run = 0
	s.step(r, w)
}

// step reads a character that counts.
func (s *regexpScan) step(r rune, w int) {
	k := kindOf(r)
	if s.waiting {
		s.resolve(k)
	}
	from := s.pos
	s.pos += int64(w)
	s.end = s.pos
	s.begin()
	p := s.prog
	for _, t := range s.now {
		if i := &p.insts[t.pc]; p.classes[i.arg].has(r) {
			s.add(i.out, t.start, 0, false)
		}
	}
	for _, pc := range p.seed(s.prev, r) {
		if i := &p.insts[pc]; r < utf8.RuneSelf || p.classes[i.arg].has(r) {
			s.add(i.out, from, 0, false)
		}
	}
	s.now, s.next = s.next, s.now
	s.prev = k
}

// resolve decides the assertions that wait for what comes next.
func (s *regexpScan) resolve(after kind) {
	ops := holds(s.prev, after)
	s.begin()
	for _, t := range s.now {
		s.add(t.pc, t.start, ops, true)
	}
	s.now, s.next = s.next, s.now
}

// begin starts a round that fills next.
func (s *regexpScan) begin() {
	s.next, s.waiting = s.next[:0], false
	if s.round++; s.round == 0 {
		clear(s.seen)
		s.round = 1
	}
}

// add goes from pc to every instruction that takes a character, or to an
// assertion unless it is known which hold. Threads that began earlier are
// added before others, so that the first visit is the one that counts.
func (s *regexpScan) add(pc uint32, start int64, ops syntax.EmptyOp, known bool) {
	stack := append(s.stack[:0], pc)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.seen[pc] == s.round {
			continue
		}
		s.seen[pc] = s.round
		switch i := &s.prog.insts[pc]; i.op {
		case opAlt:
			stack = append(stack, i.arg, i.out)
		case opNop:
			stack = append(stack, i.out)
		case opAssert:
			if !known {
				s.next = append(s.next, thread{pc, start})
				s.waiting = true
			} else if syntax.EmptyOp(i.arg)&^ops == 0 {
				stack = append(stack, i.out)
			}
		case opRune:
			s.next = append(s.next, thread{pc, start})
		case opMatch:
			s.found.add(Match{start, s.end, int(i.arg)})
		}
	}
	s.stack = stack
}

// finish says that the text is over. A character that has come in part is none.
func (s *regexpScan) finish() {
	for s.carry.n > 0 {
		s.carry.drop(1)
		s.rune(utf8.RuneError, 1)
	}
	if s.waiting {
		s.resolve(edge)
	}
	s.now = s.now[:0]
}

// settled is before what an occurrence not found yet cannot start.
func (s *regexpScan) settled() int64 {
	if len(s.now) > 0 {
		return s.now[0].start
	}
	return s.pos
}
