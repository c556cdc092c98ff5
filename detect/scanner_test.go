package detect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustSet(t testing.TB, s Spec) *Set {
	t.Helper()
	set, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// step is what a chunk gives.
type step struct {
	Chunk   string
	Matches []Match
	Pending int
}

// read scans chunks, and then the end of the text.
func read(sc *Scanner, chunks ...string) (out []step) {
	for _, c := range append(chunks, "END") {
		s := step{Chunk: c}
		m, ok := Match{}, false
		if len(out) == len(chunks) {
			m, ok = sc.End()
		} else {
			m, ok = sc.Write([]byte(c))
		}
		for ; ok; m, ok = sc.Next() {
			s.Matches = append(s.Matches, m)
		}
		s.Pending = sc.Pending()
		out = append(out, s)
	}
	return out
}

// What is found, when, and what is held back until then.
func TestChunks(t *testing.T) {
	none := []Match(nil)
	for name, tc := range map[string]struct {
		spec Spec
		want []step
	}{
		"split": {Spec{Literals: []string{"forbidden phrase"}}, []step{
			{"a for", none, 3}, {"bidden", none, 9}, {"", none, 9}, {" phr", none, 13}, {"ase.", []Match{{2, 18, 0}}, 0}, {"END", none, 0}}},
		"a prefix that comes to nothing": {Spec{Literals: []string{"aab"}}, []step{
			{"aaa", none, 2}, {"c", none, 0}, {"END", none, 0}}},
		"a longer one may follow": {Spec{Literals: []string{"ab", "abcd"}}, []step{
			{"ab", none, 2}, {"c", none, 3}, {"x", []Match{{0, 2, 0}}, 0}, {"abcd", []Match{{4, 8, 1}}, 0}, {"END", none, 0}}},
		"an earlier one may follow": {Spec{Literals: []string{"b", "abc"}}, []step{
			{"ab", none, 2}, {"c", []Match{{0, 3, 1}}, 0}, {"ab", none, 2}, {"END", []Match{{4, 5, 0}}, 0}}},
		"overlapping": {Spec{Literals: []string{"abc", "cde"}}, []step{
			{"abcde", []Match{{0, 5, 0}}, 0}, {"abc", []Match{{5, 8, 0}}, 1}, {"de", []Match{{8, 10, 1}}, 0}, {"END", none, 0}}},
		"touching": {Spec{Literals: []string{"ab"}}, []step{
			{"abab", []Match{{0, 2, 0}, {2, 4, 0}}, 0}, {"END", none, 0}}},
		"a chain": {Spec{Literals: []string{"aa"}}, []step{
			{"aaa", []Match{{0, 3, 0}}, 1}, {"a", []Match{{3, 4, 0}}, 1}, {"END", none, 0}}},
		"end of text": {Spec{Regexps: []string{`foo$`}}, []step{
			{"foo", none, 3}, {"d foo", none, 3}, {"END", []Match{{5, 8, 0}}, 0}}},
		"word": {Spec{Literals: []string{"zzz"}, Regexps: []string{`\bfoo\b`}}, []step{
			{"foo", none, 3}, {"t xfoo foo", none, 3}, {".", []Match{{10, 13, 1}}, 0}, {"END", none, 0}}},
		"beginning": {Spec{Regexps: []string{`^a|(?m:^)b`}}, []step{
			{"a", []Match{{0, 1, 0}}, 0}, {"ab\n", none, 0}, {"ab", none, 0}, {"\n", none, 0}, {"b", []Match{{7, 8, 0}}, 0}, {"END", none, 0}}},
		"a character in part": {Spec{Regexps: []string{`世.`}}, []step{
			{"x\xe4", none, 1}, {"\xb8\x96\xe7", none, 4}, {"\x95\x8c!", []Match{{1, 7, 0}}, 0}, {"世\xe4\xb8", none, 5}, {"END", []Match{{8, 12, 0}}, 0}}},
		"folded": {Spec{Literals: []string{"Kelvin"}, Fold: true}, []step{
			{"\u212AEL\u200Bv", none, 9}, {"\uFF29", none, 12}, {"\u00ADn\u200B", []Match{{0, 15, 0}}, 0}, {"\u200Bkel\u200B", none, 6}, {"END", none, 0}}},
		"folded expression": {Spec{Regexps: []string{`k\d{2}\b`}, Fold: true}, []step{
			{"\u212A\uFF11\uFE0F2", none, 10}, {"\u200B", none, 13}, {"-", []Match{{0, 10, 0}}, 0}, {"END", none, 0}}},
		"dressing without end": {Spec{Literals: []string{"foo"}, Fold: true}, []step{
			{"fo" + strings.Repeat("\u200B", 8), none, 26}, {"\u200B", []Match{{0, 29, Invisible}}, 0}, {"\u200Bo" + strings.Repeat("\u200B", 99), none, 0}, {"END", none, 0}}},
		"dressing of an expression": {Spec{Regexps: []string{`foo\b`}, Fold: true}, []step{
			{"foo" + strings.Repeat("\u200B", 8), none, 27}, {"\u200B", []Match{{0, 30, Invisible}}, 0}, {"foo ", []Match{{30, 33, 0}}, 0}, {"END", none, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			sc := mustSet(t, tc.spec).Scanner()
			var chunks []string
			for _, s := range tc.want[:len(tc.want)-1] {
				chunks = append(chunks, s.Chunk)
			}
			if d := cmp.Diff(tc.want, read(sc, chunks...)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestCompileSaysWhichEntryIsWrong(t *testing.T) {
	many := func(n int, s string) []string { return slices.Repeat([]string{s}, n) }
	for name, tc := range map[string]struct {
		spec        Spec
		field, says string
	}{
		"nothing":             {Spec{}, "literals", "neither"},
		"empty":               {Spec{Literals: []string{"a", ""}}, "literals[1]", "1 to 1024"},
		"long":                {Spec{Literals: []string{strings.Repeat("x", 1025)}}, "literals[0]", "1025 bytes"},
		"not UTF-8":           {Spec{Literals: []string{"a\xff"}}, "literals[0]", "UTF-8"},
		"invisible":           {Spec{Literals: []string{"\u200B\u00AD"}, Fold: true}, "literals[0]", "show nothing"},
		"too many":            {Spec{Literals: many(MaxLiterals+1, "x")}, "literals", "100000"},
		"too many exprs":      {Spec{Regexps: many(MaxRegexps+1, "x")}, "regexps", "1000"},
		"syntax":              {Spec{Regexps: []string{"a", "(b"}}, "regexps[1]", "missing closing )"},
		"look-ahead":          {Spec{Regexps: []string{"a(?=b)"}}, "regexps[0]", "RE2"},
		"star":                {Spec{Regexps: []string{"ab*c"}}, "regexps[0]", "such as b{0,64}"},
		"plus":                {Spec{Regexps: []string{"x(?:ab)+"}}, "regexps[0]", "such as (?:ab){1,64}"},
		"at least":            {Spec{Regexps: []string{`\d{3,}`}}, "regexps[0]", "{3,67}"},
		"inner":               {Spec{Regexps: []string{"(a|b(c+))d"}}, "regexps[0]", "such as c{1,64}"},
		"too far":             {Spec{Regexps: []string{"a.{0,300}"}}, "regexps[0]", "1201 bytes"},
		"empty text":          {Spec{Regexps: []string{"a?"}}, "regexps[0]", "empty text"},
		"assertion":           {Spec{Regexps: []string{`\b`}}, "regexps[0]", "empty text"},
		"invisible expr":      {Spec{Regexps: []string{"[\u200B\u2060]a?"}, Fold: true}, "regexps[0]", "empty text"},
		"no text":             {Spec{Regexps: []string{`a[^\x00-\x{10FFFF}]`}}, "regexps[0]", "no text"},
		"long expr":           {Spec{Regexps: []string{strings.Repeat("x", MaxRegexp+1)}}, "regexps[0]", "4096"},
		"too much altogether": {Spec{Regexps: many(400, `(?:.{1,10}x){20}`)}, "regexps[", "instructions"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(tc.spec)
			e, ok := errors.AsType[*Error](err)
			if !ok || !strings.HasPrefix(e.Field, tc.field) || e.Field != tc.field && !strings.HasSuffix(tc.field, "[") || !strings.Contains(e.Detail, tc.says) {
				t.Errorf("%v; want %s: …%s…", err, tc.field, tc.says)
			}
		})
	}
	for _, ok := range []Spec{
		{Literals: []string{strings.Repeat("x", MaxLiteral), "\u200B"}},
		{Regexps: []string{`.{1,256}`, `(?:){2,}a`, `[a-z]{1,1000}`, `(?:a|(?:)*)b`}},
		{Regexps: []string{`a{1000}`}, Fold: true},
	} {
		if _, err := Compile(ok); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestLongest(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		want int
	}{
		{Spec{Literals: []string{"ab", "世界"}}, 6},
		{Spec{Regexps: []string{`a{2,5}\b`}}, 5 + 3},
		{Spec{Regexps: []string{`.{2}`}}, 8 + 3},
		{Spec{Literals: []string{"ak-"}, Fold: true}, 3*(3+32) + 3},
	} {
		if got := mustSet(t, tc.spec).Longest(); got != tc.want {
			t.Errorf("%+v: %d, want %d", tc.spec, got, tc.want)
		}
	}
}

// A word is found wherever chunks are split around it, in a text that is long
// enough for the filter.
func TestEverySplitOfALongText(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		text string
	}{
		{Spec{Literals: []string{"forbidden phrase"}}, "some words before a forbidden phrase and some words behind"},
		{Spec{Literals: []string{"forbidden phrase", "forbidden book"}, Fold: true}, "SOME WORDS BEFORE A FORBIDDEN PHRASE AND SOME WORDS BEHIND"},
		{Spec{Literals: []string{"forbéidden"}, Fold: true}, "some words before forbÉidden words"},
	} {
		set := mustSet(t, tc.spec)
		for one := range len(tc.text) {
			for two := one; two < len(tc.text); two++ {
				if verify(t, tc.spec, set, set.Scanner(), tc.text, []int{one, two}) != 1 {
					t.Fatalf("cut at %d and %d: not one match", one, two)
				}
			}
		}
	}
}

// One Set serves many texts at once; a Scanner serves one after another.
func TestConcurrentScanners(t *testing.T) {
	specs := []Spec{
		{Literals: []string{"forbidden phrase", "phrase book"}, Regexps: []string{`\d{3,5}\b`}},
		{Literals: []string{"forbidden phrase", "phrase book"}, Regexps: []string{`\d{3,5}\b`}, Fold: true},
	}
	text := strings.Repeat("A Forbidden phr\u00ADase, a forbidden phrase book and 1234 words. ", 50)
	for _, s := range specs {
		set := mustSet(t, s)
		want := fmt.Sprint(read(set.Scanner(), text))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				sc := &Scanner{}
				for range 20 {
					sc.Reset(set)
					if got := fmt.Sprint(read(sc, text)); got != want {
						t.Errorf("another result than before")
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestScannerDoesNotAllocate(t *testing.T) {
	chunk := []byte(strings.Repeat("a forbidden phr\u200Base, a phrase book; 12345 ÄÖ 世界 ", 20))
	for _, fold := range []bool{false, true} {
		set := mustSet(t, Spec{Literals: []string{"forbidden phrase", "phrase book", "ab"}, Regexps: []string{`\b\d{3,9}\b`, `.{1,9}世`}, Fold: fold})
		sc := set.Scanner()
		found := 0
		n := testing.AllocsPerRun(50, func() {
			sc.Reset(set)
			for at := 0; at < len(chunk); at += 7 {
				for _, ok := sc.Write(chunk[at:min(at+7, len(chunk))]); ok; _, ok = sc.Next() {
					found++
				}
			}
			for _, ok := sc.End(); ok; _, ok = sc.Next() {
				found++
			}
		})
		if n != 0 || found == 0 {
			t.Errorf("fold %v: %v allocations, %d matches", fold, n, found)
		}
	}
}

// The worst for an automaton: long words that differ at their ends, and a text
// in which all of them are always under way.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	a := strings.Repeat("a", 1000)
	set := mustSet(t, Spec{Literals: []string{a + "b", a[:500] + "c", "ba" + a[:900] + "d"}, Regexps: []string{`a{0,1000}b`, `(?:a?){30}c`}})
	sc := set.Scanner()
	took := func(times, n int) time.Duration {
		text := []byte(strings.Repeat("a", n))
		from := time.Now()
		for range times {
			sc.Reset(set)
			sc.Write(text)
		}
		return time.Since(from)
	}
	// As many bytes in one text as in ten take about twice as long (the words are
	// 1000 bytes long), and ten times as long if time were quadratic. Other work on
	// the machine disturbs one measurement or the other, but not for ever.
	short, long := time.Hour, time.Hour
	for from := time.Now(); long > 5*short || short == time.Hour; {
		short, long = min(short, took(10, 1_000)), min(long, took(1, 10_000))
		if long > 5*short && time.Since(from) > 30*time.Second {
			t.Fatalf("one text of 10,000 bytes took %v, and ten of 1,000 took %v", long, short)
		}
	}
	if p := sc.Pending(); p != 1000 {
		t.Errorf("%d bytes are pending", p)
	}
}

func TestSizeAndTimeAreAsStated(t *testing.T) {
	for name, word := range map[string]func(i int) string{
		"apart":    func(i int) string { return fmt.Sprintf("%016x-%04d", uint64(i)*0x9E3779B97F4A7C15, i) },
		"together": func(i int) string { return fmt.Sprintf("a forbidden phrase %d", i) },
		"wide":     func(i int) string { return strings.Repeat(string(rune(0x4E00+i)), 7) },
		"short":    func(i int) string { return string(rune(0x4E00 + i)) },
	} {
		t.Run(name, func(t *testing.T) {
			var words []string
			total := 0
			for i := range 10_000 {
				words = append(words, word(i))
				total += len(words[i])
			}
			from := time.Now()
			set := mustSet(t, Spec{Literals: words, Fold: true})
			took := time.Since(from)
			if size, bound := set.lits.size(), 21*total+66*len(words)+2_300_000; size > bound {
				t.Errorf("takes %d bytes; %d are promised", size, bound)
			}
			if took > 30*time.Second { // 30 ms where nothing else runs
				t.Errorf("took %v", took)
			}
			if got := read(set.Scanner(), "x"+words[777]+"y")[0].Matches; len(got) == 0 || got[0].Start != 1 {
				t.Errorf("a word is not found: %v", got)
			}
		})
	}
}
