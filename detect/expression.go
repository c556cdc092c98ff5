package detect

import (
	"errors"
	"fmt"
	"math"
	"regexp/syntax"
	"unicode"
)

// parse reads an expression and checks that it can be searched for in a stream.
// longest is the bound in bytes of what it matches, dressing included.
func parse(expr string, fold *foldTable) (re *syntax.Regexp, longest int, err error) {
	if len(expr) > MaxRegexp {
		return nil, 0, fmt.Errorf("has %d bytes; at most %d are allowed", len(expr), MaxRegexp)
	}
	flags := syntax.Perl
	if fold != nil {
		flags |= syntax.FoldCase
	}
	if re, err = syntax.Parse(expr, flags); err != nil {
		return nil, 0, err
	}
	if fold != nil {
		strip(re, fold)
	}
	if open := unbounded(re); open != nil {
		bound := *open
		if bound.Op == syntax.OpPlus {
			bound.Min = 1
		}
		bound.Op, bound.Max = syntax.OpRepeat, bound.Min+64
		if bound.Min <= 1 {
			bound.Max = 64
		}
		return nil, 0, fmt.Errorf("%s has no longest match; give the repetition a bound, such as %s", open, &bound)
	}
	least, most := extent(re, func(_, hi rune) int { return width(hi) })
	switch {
	case least == never:
		return nil, 0, errors.New("matches no text at all")
	case least == 0:
		return nil, 0, errors.New("matches the empty text; it has to match at least one character")
	case most > MaxMatch:
		return nil, 0, fmt.Errorf("matches up to %d bytes; at most %d are allowed: give its repetitions smaller bounds, such as {0,64}", most, MaxMatch)
	}
	if fold != nil {
		_, most = extent(re, func(lo, hi rune) int {
			if lo == hi {
				return max(width(lo), fold.room(fold.rune(lo)))
			}
			return utf8Room
		})
	}
	return re, most, nil
}

// utf8Room is the most that a folded character of a class takes in the text.
const utf8Room = 4 + 4*maxInvisible

// strip takes out of re what folding skips in the text.
func strip(re *syntax.Regexp, fold *foldTable) {
	switch re.Op {
	case syntax.OpLiteral:
		kept := re.Rune[:0]
		for _, r := range re.Rune {
			if fold.rune(r) != skipped {
				kept = append(kept, r)
			}
		}
		if re.Rune = kept; len(kept) == 0 {
			re.Op = syntax.OpEmptyMatch
		}
	case syntax.OpCharClass:
		if len(re.Rune) > 0 && invisible(re.Rune, fold) {
			re.Op, re.Rune = syntax.OpEmptyMatch, nil
		}
	}
	for _, sub := range re.Sub {
		strip(sub, fold)
	}
}

// invisible says whether a class has only what folding skips.
func invisible(ranges []rune, fold *foldTable) bool {
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if fold.rune(r) != skipped {
				return false
			}
		}
	}
	return true
}

// unbounded finds a repetition without an upper bound of what is not empty.
func unbounded(re *syntax.Regexp) *syntax.Regexp {
	if re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && re.Max == -1 {
		if inner := unbounded(re.Sub[0]); inner != nil {
			return inner
		}
		if _, most := extent(re.Sub[0], func(_, hi rune) int { return 1 }); most > 0 {
			return re
		}
		return nil
	}
	for _, sub := range re.Sub {
		if open := unbounded(sub); open != nil {
			return open
		}
	}
	return nil
}

// never is the least length of what matches nothing.
const never = math.MaxInt32

// extent is how many characters a bounded expression matches at least, and how
// many bytes at most, where a character of lo to hi takes width bytes.
func extent(re *syntax.Regexp, width func(lo, hi rune) int) (least, most int) {
	switch re.Op {
	case syntax.OpNoMatch:
		return never, 0
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			w := width(r, r)
			if re.Flags&syntax.FoldCase != 0 {
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					w = max(w, width(f, f))
				}
			}
			most += w
		}
		return len(re.Rune), most
	case syntax.OpCharClass:
		if len(re.Rune) == 0 {
			return never, 0
		}
		for i := 0; i < len(re.Rune); i += 2 {
			most = max(most, width(re.Rune[i], re.Rune[i+1]))
		}
		return 1, most
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, width(0, unicode.MaxRune)
	case syntax.OpCapture:
		return extent(re.Sub[0], width)
	case syntax.OpStar, syntax.OpQuest:
		_, most = extent(re.Sub[0], width)
		return 0, most
	case syntax.OpPlus:
		return extent(re.Sub[0], width)
	case syntax.OpRepeat:
		least, most = extent(re.Sub[0], width)
		return min(never, least*re.Min), most * max(re.Max, 1)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			l, m := extent(sub, width)
			least, most = min(never, least+l), most+m
		}
		return least, most
	case syntax.OpAlternate:
		least = never
		for _, sub := range re.Sub {
			l, m := extent(sub, width)
			least, most = min(least, l), max(most, m)
		}
		return least, most
	}
	return 0, 0 // OpEmptyMatch and assertions
}
