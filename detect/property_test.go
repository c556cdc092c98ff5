package detect

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// Few characters, so that patterns overlap in all ways.
var (
	plainRunes  = []rune("aab\n ")
	dressyRunes = []rune("aAbBkK\u212Asſ_ \n-\uFF21\uFF41\uFF42\uFF0D\u3000é\u00C9世𝄞\uFFFD\u200B\u200D\u00AD\uFE0F\U000E0061")
)

func genText(t *rapid.T, runes []rune, limit int, label string) string {
	parts := rapid.SliceOfN(rapid.OneOf(
		rapid.Map(rapid.SampledFrom(runes), func(r rune) string { return string(r) }),
		rapid.Map(rapid.SampledFrom(runes), func(r rune) string { return string(r) }),
		rapid.Map(rapid.SampledFrom(runes), func(r rune) string { return string(r) }),
		rapid.SampledFrom([]string{"\xe4\xb8", "\xff", "\x80", "ab", "aba", "\u200B\u200B\u200B"}),
	), 0, limit).Draw(t, label)
	return strings.Join(parts, "")
}

func genLiterals(t *rapid.T, runes []rune) []string {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom(runes), 1, 5).Draw(t, "literal"))
	}), 1, 6).Draw(t, "literals")
}

func genRegexp(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"a", "b", "ab", "k", "(?i:s)", "[ab]", "[^a]", "[^\\n ]", ".", "(?s:.)", "\\w", "\\W", "é", "[à-ÿ]", "世", "\\x{FFFD}",
		"\\b", "\\B", "^", "$", "(?m:^)", "(?m:$)", "\\A", "\\z", "A", "(?-i:A)", "(?-i:[A-Z])", "[\uFF41-\uFF5A]", "\\PL", "\\p{Lu}", "a\u200B", "[\u200B]"})
	if depth == 0 {
		return leaf
	}
	sub := genRegexp(depth - 1)
	return rapid.OneOf(leaf,
		rapid.Custom(func(t *rapid.T) string { return sub.Draw(t, "x") + sub.Draw(t, "y") }),
		rapid.Custom(func(t *rapid.T) string { return sub.Draw(t, "x") + sub.Draw(t, "y") + sub.Draw(t, "z") }),
		rapid.Custom(func(t *rapid.T) string { return "(?:" + sub.Draw(t, "x") + "|" + sub.Draw(t, "y") + ")" }),
		rapid.Custom(func(t *rapid.T) string {
			return "(" + sub.Draw(t, "x") + ")" + rapid.SampledFrom([]string{"?", "??", "{0,3}", "{2}", "{1,2}?"}).Draw(t, "times")
		}))
}

func genCuts(t *rapid.T, text string) []int {
	cuts := rapid.SliceOfN(rapid.IntRange(0, len(text)), 0, 8).Draw(t, "cuts")
	slices.Sort(cuts)
	return cuts
}

func TestLiteralsCoverWhatTheOracleCovers(t *testing.T) {
	for name, fold := range map[string]bool{"plain": false, "folded": true} {
		t.Run(name, func(t *testing.T) {
			found := 0
			sc := &Scanner{}
			rapid.Check(t, func(t *rapid.T) {
				runes := rapid.SampledFrom([][]rune{plainRunes, dressyRunes}).Draw(t, "runes")
				s := Spec{Literals: genLiterals(t, runes), Fold: fold}
				set, err := compile(s, rapid.SampledFrom([]uint32{1, 20, maxRows}).Draw(t, "rows"))
				if err != nil {
					checkError(t, err)
					t.Skip("only invisible characters")
				}
				for range 4 {
					text := genText(t, runes, 40, "text")
					if fold && rapid.Bool().Draw(t, "dressed") {
						at := rapid.IntRange(0, len(text)).Draw(t, "at")
						text = text[:at] + strings.Repeat("\u2060", rapid.IntRange(7, 20).Draw(t, "run")) + text[at:]
					}
					found += verify(t, s, set, sc, text, genCuts(t, text))
				}
			})
			if found < 100 {
				t.Errorf("only %d matches: the property was hardly tested", found)
			}
		})
	}
}

// Words long enough for the filter, in texts made of their parts.
func TestLongLiteralsCoverWhatTheOracleCovers(t *testing.T) {
	found := 0
	sc := &Scanner{}
	rapid.Check(t, func(t *rapid.T) {
		s := Spec{Fold: rapid.Bool().Draw(t, "fold")}
		runes := rapid.SampledFrom([][]rune{[]rune("ab"), []rune("abc[{@`"), []rune("aAbB\uFF41é"), []rune("aaaab")}).Draw(t, "runes")
		s.Literals = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return string(rapid.SliceOfN(rapid.SampledFrom(runes), 4, 30).Draw(t, "literal"))
		}), 1, 8).Draw(t, "literals")
		set, err := compile(s, rapid.SampledFrom([]uint32{1, 20, maxRows}).Draw(t, "rows"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var text strings.Builder
			for range rapid.IntRange(0, 12).Draw(t, "parts") {
				l := rapid.SampledFrom(s.Literals).Draw(t, "of")
				from := rapid.IntRange(0, len(l)).Draw(t, "from")
				text.WriteString(l[from:rapid.IntRange(from, len(l)).Draw(t, "to")])
				text.WriteString(genText(t, runes, 3, "between"))
			}
			found += verify(t, s, set, sc, text.String(), genCuts(t, text.String()))
		}
	})
	if found < 100 {
		t.Errorf("only %d matches: the property was hardly tested", found)
	}
}

func TestRegexpsCoverWhatTheOracleCovers(t *testing.T) {
	found := 0
	sc := &Scanner{}
	rapid.Check(t, func(t *rapid.T) {
		runes := rapid.SampledFrom([][]rune{plainRunes, dressyRunes}).Draw(t, "runes")
		s := Spec{Fold: rapid.Bool().Draw(t, "fold")}
		if rapid.Bool().Draw(t, "both") {
			s.Literals = genLiterals(t, runes)
		}
		for range rapid.IntRange(1, 3).Draw(t, "n") {
			x := genRegexp(3).Draw(t, "regexp")
			if _, err := Compile(Spec{Regexps: []string{x}, Fold: s.Fold}); err != nil {
				checkError(t, err)
				continue
			}
			s.Regexps = append(s.Regexps, x)
		}
		set, err := Compile(s)
		if err != nil {
			t.Skip("nothing was left")
		}
		for range 3 {
			text := genText(t, runes, 24, "text")
			if s.Fold && tooInvisible(text) {
				continue // TestInvisibleRuns looks at these
			}
			found += verify(t, s, set, sc, text, genCuts(t, text))
		}
	})
	if found < 100 {
		t.Errorf("only %d matches: the property was hardly tested", found)
	}
}

func tooInvisible(text string) bool {
	return slices.ContainsFunc(units("x"+text, true), func(u unit) bool { return u.invisible > 8 })
}

// What the standard library finds is found, and what it does not find is not.
func TestRegexpsAgreeWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := genRegexp(3).Draw(t, "regexp")
		set, err := Compile(Spec{Regexps: []string{x}})
		if err != nil {
			checkError(t, err)
			t.Skip("not allowed")
		}
		text := genText(t, plainRunes, 40, "text")
		std := regexp.MustCompile(x)
		var got []Match
		sc := set.Scanner()
		for m, ok := sc.Write([]byte(text)); ok; m, ok = sc.Next() {
			got = append(got, m)
		}
		for m, ok := sc.End(); ok; m, ok = sc.Next() {
			got = append(got, m)
		}
		all := std.FindAllStringIndex(text, -1)
		if (len(all) > 0) != (len(got) > 0) {
			t.Fatalf("%s in %q: %v, the library finds %v", x, text, got, all)
		}
		for _, w := range all {
			at := int64(w[0])
			for _, m := range got {
				if m.Start <= at && at < m.End {
					at = m.End
				}
			}
			if at < int64(w[1]) {
				t.Fatalf("%s in %q: %v, the library finds %v", x, text, got, w)
			}
		}
	})
}

func checkError(t rapid.TB, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Field == "" || e.Detail == "" {
		t.Fatalf("error %v (%T) does not say which entry is wrong", err, err)
	}
}

func FuzzChunks(f *testing.F) {
	specs := []Spec{
		{Literals: []string{"forbidden phrase", "phrase book", "a", "aba", "世界"}},
		{Literals: []string{"forbidden phrase", "Maße", "\uFF41b", "kelvin"}, Fold: true},
		{Literals: []string{"forbidden", "forbidden phrase", "dden phr", "bidden phrase book", "aaaaaaaaab"}},
		{Literals: []string{"Forbidden", "forbidden phrase", "dden phr", "world{peace", "\uFF41aaaaaaab"}, Fold: true},
		{Regexps: []string{`\b(?:\d[ -]?){3,6}\b`, `(?i)ab{0,3}c?$`, `(?m)^x.{1,4}y$`}},
		{Literals: []string{"ab", "b世"}, Regexps: []string{`\Bb\b`, `[^a]{2}z`, `\AK`}, Fold: true},
	}
	var sets []*Set
	for _, s := range specs {
		set, err := Compile(s)
		if err != nil {
			f.Fatal(err)
		}
		sets = append(sets, set)
	}
	f.Add("a forbidden phrase book 世界 aba", []byte{3, 1, 9})
	f.Add("For\u200Bbidden\u00AD phr\uFF41se MASSE \u212Aelvin ab", []byte{1, 1, 1, 1})
	f.Add("12-34 56\nxaay\nABBBc", []byte{2})
	f.Fuzz(func(t *testing.T, text string, sizes []byte) {
		if len(text) > 400 {
			return
		}
		var cuts []int
		for at, i := 0, 0; i < len(sizes); i++ {
			if at += int(sizes[i]) % 32; at > len(text) {
				break
			}
			cuts = append(cuts, at)
		}
		for i, s := range specs {
			if s.Fold && s.Regexps != nil && tooInvisible(text) {
				continue
			}
			verify(t, s, sets[i], sets[i].Scanner(), text, cuts)
		}
	})
}

func FuzzPatterns(f *testing.F) {
	f.Add("forbidden", `f.{0,3}n\b`, "a forbidden phrase", true)
	f.Add("a", `(a|ab)(c|bcd)(d{0,2})`, "abcd", false)
	f.Add("é", `(?i)(?:^|\s)\p{Greek}{2,4}$`, "x \u03b1\u03a9", true)
	f.Fuzz(func(t *testing.T, literal, expr, text string, fold bool) {
		if len(text) > 100 || len(expr) > 60 {
			return
		}
		s := Spec{Fold: fold}
		one := func(x Spec) bool {
			x.Fold = fold
			_, err := Compile(x)
			if err == nil {
				return true
			}
			if e, ok := errors.AsType[*Error](err); !ok || !strings.HasSuffix(e.Field, "s[0]") || e.Detail == "" {
				t.Fatalf("error %v (%T) does not say which entry is wrong", err, err)
			}
			return false
		}
		if one(Spec{Literals: []string{literal}}) {
			s.Literals = []string{literal}
		}
		if one(Spec{Regexps: []string{expr}}) {
			s.Regexps = []string{expr}
		}
		set, err := Compile(s)
		if err != nil || fold && tooInvisible(text) {
			return
		}
		verify(t, s, set, set.Scanner(), text, []int{len(text) / 3, len(text) / 2})
	})
}

func TestIgnorableIsWhatUnicodeSays(t *testing.T) {
	table := folding()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if got, want := table.rune(r) == skipped, showsNothing(r); got != want {
			t.Errorf("%U: skipped is %v, want %v", r, got, want)
		}
		if r < 0xD800 || r > 0xDFFF {
			if to := table.rune(r); to != skipped && (width(to) > width(r) || !slices.Contains(variants(to, true), r)) {
				t.Errorf("%U folds to %U", r, to)
			}
		}
	}
}
