package incident

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The codes of an Error.
const (
	CodeField    = "invalid_field" // something cannot stand there
	CodeNotFound = "not_found"     // something named is not there
	CodeState    = "out_of_order"  // not now: a step before this one is missing
	CodeFull     = "incident_full" // a bound is reached
)

// Error says what is wrong with an event, where, and what is allowed.
type Error struct {
	Code    string
	Field   string   // of the event: "step.to"; "" for the whole
	Detail  string   // quotes at most 64 bytes of the input
	Allowed []string // the closed set of what may stand there, or the steps that are missing
	Hint    string   // what to do
}

// Error is "field: detail; allowed: a, b".
func (e *Error) Error() string {
	s := e.Detail
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if len(e.Allowed) > 0 {
		s += "; allowed: " + strings.Join(e.Allowed, ", ")
	}
	return s
}

func wrong(field, detail string, allowed ...string) *Error {
	return &Error{Code: CodeField, Field: field, Detail: detail, Allowed: allowed}
}

func notFound(what, id string) *Error {
	return &Error{Code: CodeNotFound, Detail: "there is no " + what + " " + quote(id)}
}

func quote(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.Quote(s)
}

// Bounds of texts, in bytes.
const (
	MaxTitle  = 200
	MaxName   = 200  // of sources, types, subjects
	MaxReason = 4096 // of reasons and the like
	MaxText   = 64 << 10
)

// line checks a text of one line that has to be there.
func line(field, s string, limit int) error {
	if s == "" {
		return wrong(field, "missing")
	}
	return optional(field, s, limit)
}

// optional checks a text of one line that may be left out.
func optional(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return wrong(field, fmt.Sprintf("has %d bytes; at most %d", len(s), limit))
	case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
		return wrong(field, "holds control characters or broken UTF-8")
	case s != strings.TrimSpace(s):
		return wrong(field, "begins or ends with a blank")
	}
	return nil
}

// text checks a text of several lines that has to be there.
func text(field, s string, limit int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return wrong(field, "missing: say it, for the record")
	case len(s) > limit:
		return wrong(field, fmt.Sprintf("has %d bytes; at most %d", len(s), limit))
	case !utf8.ValidString(s):
		return wrong(field, "holds broken UTF-8")
	}
	return nil
}

// lines checks a list of texts of one line each.
func lines(field string, list []string, most, limit int) error {
	if len(list) > most {
		return wrong(field, fmt.Sprintf("has %d values; at most %d", len(list), most))
	}
	seen := map[string]bool{}
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := line(at, s, limit); err != nil {
			return err
		}
		if seen[s] {
			return wrong(at, quote(s)+" is there twice")
		}
		seen[s] = true
	}
	return nil
}

// oneOf checks a value of a closed set.
func oneOf[S ~string](field string, s S, allowed []S) error {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if a == s {
			return nil
		}
		names[i] = string(a)
	}
	if s == "" {
		return wrong(field, "missing", names...)
	}
	return wrong(field, quote(string(s))+" is not known", names...)
}
