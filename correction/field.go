package correction

import (
	"slices"
	"strconv"
	"strings"
)

// FieldError says which field of a correction is wrong, why, and what is
// allowed instead. A retry of the same input never helps.
type FieldError struct {
	Field   string   // path from the correction: "params.limit", "scope.ips[3]"; "" is the whole
	Detail  string   // what is wrong and what to do; quotes at most 64 bytes of the input
	Allowed []string // the closed set of what may stand there; nil if it is not a closed set
}

// Error is "field: detail; allowed: a, b".
func (e *FieldError) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Detail)
	if len(e.Allowed) > 0 {
		b.WriteString("; allowed: ")
		b.WriteString(strings.Join(e.Allowed, ", "))
	}
	return b.String()
}

func wrong(field, detail string, allowed ...string) *FieldError {
	return &FieldError{Field: field, Detail: detail, Allowed: allowed}
}

// oneOf checks a word of a closed set. what names the thing: "metric".
func oneOf(field, what, got string, allowed []string) *FieldError {
	if slices.Contains(allowed, got) {
		return nil
	}
	if got == "" {
		return wrong(field, "missing "+what, allowed...)
	}
	return wrong(field, "unknown "+what+" "+quote(got), allowed...)
}

// quote shows a piece of the input, escaped and bounded.
func quote(s string) string {
	if len(s) > 64 {
		return strconv.Quote(s[:64]) + "…"
	}
	return strconv.Quote(s)
}
