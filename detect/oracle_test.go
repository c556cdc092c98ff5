package detect

import (
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The oracle looks at the whole text and tries everything: every pattern at
// every place. It shares no code with the package.

// unit is a character of the text.
type unit struct {
	r          rune
	start, end int64
	invalid    bool
	invisible  int   // how many invisible characters follow
	tail       int64 // end of the ninth of them, if there are as many
}

// units are the characters that count.
func units(text string, fold bool) (us []unit) {
	for i := 0; i < len(text); {
		r, w := utf8.DecodeRuneInString(text[i:])
		u := unit{r: r, start: int64(i), end: int64(i + w), invalid: r == utf8.RuneError && w == 1}
		i += w
		if fold && showsNothing(r) {
			if n := len(us); n > 0 {
				if us[n-1].invisible++; us[n-1].invisible == 9 {
					us[n-1].tail = u.end
				}
			}
			continue
		}
		us = append(us, u)
	}
	return us
}

// showsNothing is the definition of Default_Ignorable_Code_Point in
// DerivedCoreProperties.txt.
func showsNothing(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector) &&
		!unicode.In(r, unicode.White_Space, unicode.Prepended_Concatenation_Mark) &&
		(r < 0xFFF9 || r > 0xFFFB) && (r < 0x13430 || r > 0x1343F)
}

// narrow turns a full-width form into ASCII.
func narrow(r rune) rune {
	switch {
	case r == 0x3000:
		return ' '
	case 0xFF01 <= r && r <= 0xFF5E:
		return r - 0xFF01 + '!'
	}
	return r
}

// variants are all characters that fold to what r folds to.
func variants(r rune, fold bool) []rune {
	if !fold {
		return []rune{r}
	}
	r = narrow(r)
	out := []rune{r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		out = append(out, f)
	}
	for _, v := range slices.Clone(out) {
		switch {
		case v == ' ':
			out = append(out, 0x3000)
		case '!' <= v && v <= '~':
			out = append(out, v-'!'+0xFF01)
		}
	}
	return out
}

type oracle struct {
	spec  Spec
	us    []unit
	cover []bool
	occ   [][2]int64
}

func (o *oracle) occurrence(start, end int64) {
	o.occ = append(o.occ, [2]int64{start, end})
	for i := start; i < end; i++ {
		o.cover[i] = true
	}
}

func consult(t rapid.TB, s Spec, text string) *oracle {
	o := &oracle{spec: s, us: units(text, s.Fold), cover: make([]bool, len(text))}
	words := make([][]rune, len(s.Literals))
	for i, l := range s.Literals {
		words[i] = o.word(l)
	}
	for i := range o.us {
		for _, w := range words {
			if n := o.prefix(i, w); n == len(w) {
				o.occurrence(o.us[i].start, o.us[i+n-1].end)
			} else if last := i + n - 1; n > 0 && o.us[last].invisible > 8 {
				o.occurrence(o.us[i].start, o.us[last].tail) // it was under way
			}
		}
	}
	for _, x := range s.Regexps {
		flags := syntax.Perl
		if s.Fold {
			flags |= syntax.FoldCase
		}
		re, err := syntax.Parse(x, flags)
		if err != nil {
			t.Fatal(err)
		}
		for i := range o.us {
			for _, j := range o.ends(re, []int{i}) {
				if !o.broken(i, j) {
					o.occurrence(o.us[i].start, o.us[j-1].end)
				}
			}
		}
	}
	return o
}

// word is a literal without what shows nothing.
func (o *oracle) word(l string) (w []rune) {
	for _, r := range l {
		if !o.spec.Fold || !showsNothing(r) {
			w = append(w, r)
		}
	}
	return w
}

// prefix is how many characters of w stand at unit i, up to a break.
func (o *oracle) prefix(i int, w []rune) int {
	for n := range w {
		if i+n == len(o.us) || o.us[i+n].invalid || n > 0 && o.us[i+n-1].invisible > 8 ||
			!slices.Contains(variants(w[n], o.spec.Fold), o.us[i+n].r) {
			return n
		}
	}
	return len(w)
}

// broken says whether too many invisible characters lie between units i and j.
func (o *oracle) broken(i, j int) bool {
	for k := i; k < j-1; k++ {
		if o.us[k].invisible > 8 {
			return true
		}
	}
	return false
}

// ends is where what re matches may end, if it begins at one of the places.
func (o *oracle) ends(re *syntax.Regexp, from []int) (to []int) {
	switch re.Op {
	case syntax.OpNoMatch:
	case syntax.OpEmptyMatch:
		return from
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if o.spec.Fold && showsNothing(r) {
				continue
			}
			var next []int
			for _, i := range from {
				if i < len(o.us) && slices.Contains(o.same(o.us[i].r, re.Flags), r) {
					next = append(next, i+1)
				}
			}
			from = next
		}
		return from
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		for _, i := range from {
			if i < len(o.us) && o.in(re, o.us[i].r) {
				to = append(to, i+1)
			}
		}
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		for _, i := range from {
			if o.asserts(re.Op, i) {
				to = append(to, i)
			}
		}
	case syntax.OpCapture:
		return o.ends(re.Sub[0], from)
	case syntax.OpQuest:
		to = append(o.ends(re.Sub[0], from), from...)
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		least, most := re.Min, re.Max
		if re.Op != syntax.OpRepeat {
			least, most = map[syntax.Op]int{syntax.OpPlus: 1}[re.Op], -1
		}
		for n := 0; len(from) > 0 && (most < 0 || n <= most) && n <= least+len(o.us); n++ {
			if n >= least {
				to = append(to, from...)
			}
			from = o.ends(re.Sub[0], from)
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			from = o.ends(sub, from)
		}
		return from
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			to = append(to, o.ends(sub, from)...)
		}
	default:
		panic(re.Op)
	}
	slices.Sort(to)
	return slices.Compact(to)
}

// same are the characters that a literal may have for r of the text.
func (o *oracle) same(r rune, flags syntax.Flags) []rune {
	if o.spec.Fold {
		return variants(r, true)
	}
	out := []rune{r}
	if flags&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			out = append(out, f)
		}
	}
	return out
}

func (o *oracle) in(re *syntax.Regexp, r rune) bool {
	for _, v := range variants(r, o.spec.Fold) {
		switch {
		case re.Op == syntax.OpAnyChar, re.Op == syntax.OpAnyCharNotNL && v != '\n':
			return true
		}
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i] <= v && v <= re.Rune[i+1] {
				return true
			}
		}
	}
	return false
}

func (o *oracle) asserts(op syntax.Op, i int) bool {
	isWord := func(i int) bool {
		if i < 0 || i >= len(o.us) {
			return false
		}
		return slices.ContainsFunc(variants(o.us[i].r, o.spec.Fold), func(r rune) bool {
			return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		})
	}
	switch op {
	case syntax.OpBeginText:
		return i == 0
	case syntax.OpEndText:
		return i == len(o.us)
	case syntax.OpBeginLine:
		return i == 0 || o.us[i-1].r == '\n'
	case syntax.OpEndLine:
		return i == len(o.us) || o.us[i].r == '\n'
	case syntax.OpWordBoundary:
		return isWord(i-1) != isWord(i)
	}
	return isWord(i-1) == isWord(i)
}

// underWay is how many bytes at the end of text[:k] may still become part of an
// occurrence of a literal, where a character ends at k.
func (o *oracle) underWay(text string, k int64) int64 {
	if !o.spec.Fold {
		for i := range k {
			for _, l := range o.spec.Literals {
				if rest := text[i:k]; len(rest) < len(l) && l[:len(rest)] == rest {
					return k - i
				}
			}
		}
		return 0
	}
	n := 0
	for n < len(o.us) && o.us[n].end <= k {
		n++
	}
	for i := range n {
		for _, l := range o.spec.Literals {
			w := o.word(l)
			if p := o.prefix(i, w); p < len(w) && i+p >= n || p == len(w) && i+p > n {
				if last := o.us[n-1]; last.invisible <= 8 || k < last.tail {
					return k - o.us[i].start
				}
			}
		}
	}
	return 0
}

// verify scans text in these chunks and compares with the oracle. It returns
// how many matches there were.
func verify(t rapid.TB, s Spec, set *Set, sc *Scanner, text string, cuts []int) (matches int) {
	t.Helper()
	o := consult(t, s, text)
	got := make([]bool, len(text))
	reported := int64(0)
	take := func(m Match) {
		if m.Start < reported || m.End <= m.Start || m.End > int64(len(text)) {
			t.Fatalf("%+v in %q, cut at %v: match %v after one that ends at %d", s, text, cuts, m, reported)
		}
		if m.Pattern < Invisible || m.Pattern >= len(s.Literals)+len(s.Regexps) || m.Pattern == Invisible && !s.Fold {
			t.Fatalf("%+v in %q: there is no pattern %d", s, text, m.Pattern)
		}
		reported = m.End
		matches++
		for i := m.Start; i < m.End; i++ {
			got[i] = true
			if !o.cover[i] {
				t.Fatalf("%+v in %q, cut at %v: byte %d is in %v and in no occurrence", s, text, cuts, i, m)
			}
		}
	}
	settled := func(to int64, when string) {
		for i := range to {
			if o.cover[i] && !got[i] {
				t.Fatalf("%+v in %q, cut at %v, %s: byte %d lies in an occurrence and was let go", s, text, cuts, when, i)
			}
		}
	}
	sc.Reset(set)
	from := 0
	for _, cut := range append(slices.Clone(cuts), len(text)) {
		for m, ok := sc.Write([]byte(text[from:cut])); ok; m, ok = sc.Next() {
			take(m)
		}
		from = cut
		n := sc.Pending()
		if n < 0 || n > set.Longest() || n > cut {
			t.Fatalf("%+v in %q, cut at %v: %d bytes are pending of %d; the bound is %d", s, text, cuts, n, cut, set.Longest())
		}
		p := int64(cut - n)
		settled(p, "pending")
		for _, x := range o.occ {
			if x[1] > int64(cut) && x[0] < p {
				t.Fatalf("%+v in %q, cut at %v: after %d bytes %d are pending, and an occurrence begins at %d", s, text, cuts, cut, n, x[0])
			}
		}
		whole := !s.Fold || cut == len(text) && utf8.ValidString(text) || cut < len(text) && utf8.RuneStart(text[cut]) && utf8.ValidString(text[:cut])
		if len(s.Regexps) == 0 && whole {
			if want := o.underWay(text, int64(cut)); int64(n) != want {
				t.Fatalf("%+v in %q, cut at %v: after %d bytes %d are pending, want %d", s, text, cuts, cut, n, want)
			}
		}
	}
	for m, ok := sc.End(); ok; m, ok = sc.Next() {
		take(m)
	}
	settled(int64(len(text)), "end")
	return matches
}
