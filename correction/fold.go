package correction

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// FoldUser is the form by which an end user is recognised although its name is
// written in another way: compatibility forms, case, invisible characters and
// blanks around it do not count (Unicode NFKC and full case folding). A block of
// "mallory" so reaches "Mallory" and "ｍａｌｌｏｒｙ". Letters of other scripts that
// look alike stay different. It does not allocate for lower-case ASCII.
//
// Whoever makes a Request puts the folded forms into Folded. A scope reaches by
// them; an except and an allow_only spare a user as it is written, and no other.
func FoldUser(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c <= ' ' || c >= 'A' && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return r
	}, norm.NFKC.String(s))
	f := fold(s)
	return min(f, fold(f)) // in Cherokee, the fold of a fold is what it was
}

func fold(s string) string { return strings.TrimSpace(norm.NFKC.String(cases.Fold().String(s))) }

// foldUsers is a list of users with the folded forms that are not in it.
func foldUsers(list []string) []string {
	var more []string
	for _, v := range list {
		if f := FoldUser(v); f != v && f != "" {
			more = append(more, f)
		}
	}
	if more == nil {
		return list
	}
	return slices.Concat(list, more)
}
