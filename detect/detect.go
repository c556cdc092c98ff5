// Package detect finds forbidden text, in whole texts and in streams.
//
// A Set holds literals and regular expressions, compiled once; it is immutable
// and safe for concurrent use. A Scanner reads one text in chunks of any size
// and finds what it would have found in the whole text, wherever the chunks
// are split, a UTF-8 sequence included. After each chunk it tells how many of
// the last bytes may still become part of a match: whoever forwards a stream
// holds back that many and lets the rest flow.
//
// An occurrence is any stretch of the text that a pattern matches where it
// stands: of an expression all of them count, so that `ab{0,9}?` and `ab{0,9}`
// find the same. Matches are stretches that come in order and never overlap.
// Every byte of every occurrence lies in some match, and no other byte does.
// Occurrences that overlap make one match. A match is reported as soon as no
// occurrence that starts earlier, or at the same place, is still possible; what
// another occurrence later adds to its end is reported as a match of its own
// that touches it. So the bytes do not depend on the chunks, and where one
// match ends and a touching one begins may.
//
// With Fold, patterns and text are compared by simple case folding, full-width
// forms count as ASCII, and characters that show nothing (Unicode's default
// ignorable ones: zero-width characters, the soft hyphen, variation selectors,
// tags) are skipped. Such dressing does not hide a pattern. A match that has
// begun and is stretched by more than eight of them in a row cannot be held
// back any longer: what was read of it is reported as Invisible.
//
// A Classifier asks an OpenAI-compatible endpoint for a score; it is the only
// part of the package that does I/O.
package detect

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"unicode/utf8"
)

// Bounds of a Spec.
const (
	MaxLiterals     = 100_000 // literals in a set
	MaxLiteral      = 1024    // bytes of a literal
	MaxRegexps      = 1000    // expressions in a set
	MaxRegexp       = 4096    // bytes of an expression as it is written
	MaxMatch        = 1024    // bytes of the longest text that an expression matches
	MaxInstructions = 65_536  // of all expressions of a set, compiled
)

// maxInvisible is how many characters in a row are skipped inside a match. The
// longest run that ordinary text has is the six tags of a flag emoji.
const maxInvisible = 8

// Invisible is the Pattern of a Match that is stretched by more than eight
// characters in a row that show nothing.
const Invisible = -1

// Spec says what a Set finds.
type Spec struct {
	Literals []string // each 1 to MaxLiteral bytes of UTF-8
	Regexps  []string // RE2 syntax; each matches at least one byte and at most MaxMatch
	Fold     bool     // look through case, full-width forms and invisible characters
}

// Set is a compiled Spec. It is immutable and safe for concurrent use.
//
// Its literals take at most 21 bytes for each of their bytes, 66 for each of
// them, and 2.2 MiB. A Scanner takes 4 bytes for each instruction and 32 for each
// that is under way, 24 for each match that it has not reported (there are at
// most as many as bytes that are pending or were in the last chunk), and with
// Fold up to 32 for each byte of the longest literal.
type Set struct {
	lits    *automaton // nil without literals
	prog    *program   // nil without expressions
	fold    *foldTable // nil unless folded
	longest int
}

// Error says which entry of a Spec or a Config is wrong, and what is allowed.
type Error struct {
	Field  string // such as "literals[3]"
	Detail string
}

func (e *Error) Error() string { return e.Field + ": " + e.Detail }

// Compile compiles s. Errors are of type *Error.
func Compile(s Spec) (*Set, error) { return compile(s, maxRows) }

func compile(s Spec, rows uint32) (*Set, error) {
	if len(s.Literals)+len(s.Regexps) == 0 {
		return nil, &Error{"literals", "there is neither a literal nor a regular expression to look for"}
	}
	set := &Set{}
	if s.Fold {
		set.fold = folding()
	}
	if err := set.addLiterals(s.Literals, rows); err != nil {
		return nil, err
	}
	if err := set.addRegexps(s.Regexps, len(s.Literals)); err != nil {
		return nil, err
	}
	if set.fold != nil || set.prog != nil {
		set.longest += utf8.UTFMax - 1 // a character that has come in part
	}
	return set, nil
}

func (set *Set) addLiterals(literals []string, rows uint32) error {
	if len(literals) > MaxLiterals {
		return &Error{"literals", fmt.Sprintf("%d literals; at most %d are allowed", len(literals), MaxLiterals)}
	}
	if len(literals) == 0 {
		return nil
	}
	words := make([]string, len(literals))
	for i, l := range literals {
		bad := func(detail string) error { return &Error{fmt.Sprintf("literals[%d]", i), detail} }
		switch {
		case l == "":
			return bad("is empty; 1 to 1024 bytes are allowed")
		case len(l) > MaxLiteral:
			return bad(fmt.Sprintf("has %d bytes; 1 to %d are allowed", len(l), MaxLiteral))
		case !utf8.ValidString(l):
			return bad("is not UTF-8")
		}
		longest := len(l)
		if set.fold != nil {
			if l = set.fold.string(l); l == "" {
				return bad("has only characters that show nothing, which folding skips")
			}
			longest = 0
			for _, r := range l {
				longest += set.fold.room(r)
			}
		}
		words[i] = l
		set.longest = max(set.longest, longest)
	}
	set.lits = newAutomaton(words, set.fold != nil, rows)
	return nil
}

func (set *Set) addRegexps(exprs []string, first int) error {
	if len(exprs) > MaxRegexps {
		return &Error{"regexps", fmt.Sprintf("%d expressions; at most %d are allowed", len(exprs), MaxRegexps)}
	}
	if len(exprs) == 0 {
		return nil
	}
	b := newProgramBuilder(set.fold)
	for i, x := range exprs {
		longest, err := b.add(x, first+i)
		if err != nil {
			return &Error{fmt.Sprintf("regexps[%d]", i), detail(err)}
		}
		set.longest = max(set.longest, longest)
	}
	set.prog = b.done()
	return nil
}

// detail words an error of regexp/syntax like our own.
func detail(err error) string {
	if se, ok := errors.AsType[*syntax.Error](err); ok {
		return fmt.Sprintf("is not RE2 syntax: %s: %q", se.Code, se.Expr)
	}
	return err.Error()
}

// Longest is the bound of Scanner.Pending in bytes. With Fold it makes room for
// wide forms of each character, and for eight invisible ones after it; where
// text is read by characters, for three bytes of one that has come in part.
func (set *Set) Longest() int { return set.longest }
