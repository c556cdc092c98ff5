package detect

import (
	"cmp"
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"sort"
	"unicode"
)

// A program is all expressions of a set as one non-deterministic automaton.
type program struct {
	fold    *foldTable
	insts   []inst
	classes []class
	seeds   [kinds][unicode.MaxASCII + 2][]uint32 // see seed
	starts  [256]bool                             // bytes at which an occurrence may begin, whatever is before
}

type inst struct {
	op       op
	out, arg uint32 // next instructions; arg is the class, assertion or pattern for those that have one
}

type op uint8

const (
	opFail op = iota
	opAlt
	opNop
	opAssert
	opRune
	opMatch
)

// class is a set of characters, folded if the program is.
type class struct {
	ascii [2]uint64
	wide  []rune // pairs of the others, in order
}

func (c *class) has(r rune) bool {
	if r < 128 {
		return c.ascii[r>>6]>>(r&63)&1 != 0
	}
	i := sort.Search(len(c.wide)/2, func(i int) bool { return c.wide[2*i+1] >= r })
	return i < len(c.wide)/2 && c.wide[2*i] <= r
}

// kind is what assertions ask of a neighbour.
type kind uint8

const (
	edge kind = iota // the beginning or end of the text
	newline
	word
	other
	kinds
)

func kindOf(r rune) kind {
	switch {
	case r == '\n':
		return newline
	case syntax.IsWordChar(r):
		return word
	}
	return other
}

// holds says which assertions hold between two neighbours.
func holds(before, after kind) (ops syntax.EmptyOp) {
	if before == edge {
		ops |= syntax.EmptyBeginText
	}
	if after == edge {
		ops |= syntax.EmptyEndText
	}
	if before <= newline {
		ops |= syntax.EmptyBeginLine
	}
	if after <= newline {
		ops |= syntax.EmptyEndLine
	}
	if (before == word) != (after == word) {
		return ops | syntax.EmptyWordBoundary
	}
	return ops | syntax.EmptyNoWordBoundary
}

// seed lists the instructions that take r where an occurrence begins with it.
// For characters beyond ASCII they may take it: they have to be asked.
func (p *program) seed(before kind, r rune) []uint32 {
	return p.seeds[before][min(r, unicode.MaxASCII+1)]
}

type programBuilder struct {
	p       *program
	entries []uint32
	classes map[string]uint32
	known   map[*rune]uint32 // by the first of their pairs: repetitions share them
}

func newProgramBuilder(fold *foldTable) *programBuilder {
	return &programBuilder{p: &program{fold: fold, insts: []inst{{}}}, classes: map[string]uint32{}, known: map[*rune]uint32{}}
}

// add compiles an expression and returns its longest match.
func (b *programBuilder) add(expr string, pattern int) (longest int, err error) {
	re, longest, err := parse(expr, b.p.fold)
	if err != nil {
		return 0, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, err
	}
	base := uint32(len(b.p.insts))
	if n := len(b.p.insts) + len(prog.Inst); n > MaxInstructions {
		return 0, fmt.Errorf("brings the set to %d instructions; at most %d are allowed: use fewer expressions or smaller repetitions", n, MaxInstructions)
	}
	for i := range prog.Inst {
		from := &prog.Inst[i]
		to := inst{out: base + from.Out}
		switch from.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			to.op, to.arg = opAlt, base+from.Arg
		case syntax.InstCapture, syntax.InstNop:
			to.op = opNop
		case syntax.InstEmptyWidth:
			to.op, to.arg = opAssert, from.Arg
		case syntax.InstMatch:
			to.op, to.arg = opMatch, uint32(pattern)
		case syntax.InstFail:
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			to.op, to.arg = opRune, b.shared(ranges(from))
		default:
			return 0, errors.New("has an instruction that is not known")
		}
		b.p.insts = append(b.p.insts, to)
	}
	b.entries = append(b.entries, base+uint32(prog.Start))
	return longest, nil
}

// ranges are the characters that an instruction takes, as pairs in order.
func ranges(i *syntax.Inst) []rune {
	switch {
	case i.Op == syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case i.Op == syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	case len(i.Rune) != 1:
		return i.Rune
	}
	r := i.Rune[0]
	out := []rune{r, r}
	if syntax.Flags(i.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			out = append(out, f, f)
		}
	}
	return out
}

// shared returns the number of a class, and knows it the next time.
func (b *programBuilder) shared(pairs []rune) uint32 {
	if len(pairs) == 0 {
		return b.class(pairs)
	}
	n, ok := b.known[&pairs[0]]
	if !ok {
		n = b.class(pairs)
		b.known[&pairs[0]] = n
	}
	return n
}

// class returns the number of a class, folded.
func (b *programBuilder) class(pairs []rune) uint32 {
	key := string(fmt.Append(nil, pairs))
	if n, ok := b.classes[key]; ok {
		return n
	}
	var c class
	c.wide = slices.Clone(pairs)
	if b.p.fold != nil {
		raw := class{wide: joined(pairs)}
		for i := 0; i < len(raw.wide) && raw.wide[i] < 128; i += 2 {
			raw.add(raw.wide[i], min(raw.wide[i+1], 127))
		}
		for _, r := range b.p.fold.from {
			if to := b.p.fold.rune(r); to != skipped && raw.has(r) {
				c.wide = append(c.wide, to, to)
			}
		}
	}
	c.wide = joined(c.wide)
	first := 0
	for first < len(c.wide) && c.wide[first] < 128 {
		c.add(c.wide[first], min(c.wide[first+1], 127))
		if c.wide[first+1] >= 128 {
			c.wide[first] = 128
			break
		}
		first += 2
	}
	c.wide = slices.Clip(c.wide[first:])
	n := uint32(len(b.p.classes))
	b.p.classes = append(b.p.classes, c)
	b.classes[key] = n
	return n
}

func (c *class) add(lo, hi rune) {
	for r := lo; r <= hi; r++ {
		c.ascii[r>>6] |= 1 << (r & 63)
	}
}

// joined sorts pairs and joins those that overlap or touch.
func joined(pairs []rune) []rune {
	list := make([][2]rune, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, [2]rune{pairs[i], pairs[i+1]})
	}
	slices.SortFunc(list, func(x, y [2]rune) int { return cmp.Compare(x[0], y[0]) })
	var out []rune
	for _, x := range list {
		if n := len(out); n > 0 && x[0] <= out[n-1]+1 {
			out[n-1] = max(out[n-1], x[1])
		} else {
			out = append(out, x[0], x[1])
		}
	}
	return out
}

// done sets out the seeds.
func (b *programBuilder) done() *program {
	p := b.p
	same := map[string][]uint32{} // equal lists are kept once
	for before := edge; before < kinds; before++ {
		var lists [unicode.MaxASCII + 2][]uint32
		for after := newline; after < kinds; after++ {
			for _, pc := range b.reach(holds(before, after)) {
				c := &p.classes[p.insts[pc].arg]
				for r := rune(0); r <= unicode.MaxASCII; r++ {
					if kindOf(r) == after && c.has(r) {
						lists[r] = append(lists[r], pc)
					}
				}
				if after == other && len(c.wide) > 0 {
					lists[unicode.MaxASCII+1] = append(lists[unicode.MaxASCII+1], pc)
				}
			}
		}
		for r, list := range lists {
			if len(list) == 0 {
				continue
			}
			key := string(fmt.Append(nil, list))
			if same[key] == nil {
				same[key] = slices.Clip(list)
			}
			p.seeds[before][r] = same[key]
		}
	}
	for c := range p.starts {
		r := rune(c)
		if r > unicode.MaxASCII && p.fold != nil {
			p.starts[c] = true // it may be a form of anything
			continue
		}
		if r <= unicode.MaxASCII && p.fold != nil {
			r = p.fold.rune(r)
		}
		for before := range kinds {
			p.starts[c] = p.starts[c] || len(p.seed(before, r)) > 0
		}
	}
	return p
}

// reach lists the instructions that take the first character, where these
// assertions hold.
func (b *programBuilder) reach(ops syntax.EmptyOp) (out []uint32) {
	seen := make([]bool, len(b.p.insts))
	stack := slices.Clone(b.entries)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch i := &b.p.insts[pc]; i.op {
		case opAlt:
			stack = append(stack, i.out, i.arg)
		case opNop:
			stack = append(stack, i.out)
		case opAssert:
			if syntax.EmptyOp(i.arg)&^ops == 0 {
				stack = append(stack, i.out)
			}
		case opRune:
			out = append(out, pc)
		}
	}
	return out
}
