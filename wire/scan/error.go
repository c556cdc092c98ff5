package scan

import (
	"fmt"
	"strconv"
)

// What can be wrong with a body; stable, as callers' error codes are.
const (
	CodeEmpty       = "body_empty"
	CodeTooLarge    = "body_too_large"
	CodeSyntax      = "invalid_json"
	CodeUTF8        = "invalid_utf8"
	CodeDuplicate   = "duplicate_key"
	CodeCaseVariant = "case_variant"
	CodeTooDeep     = "too_deep"
	CodeType        = "wrong_type"
	CodeValue       = "invalid_value"
	CodeMissing     = "missing_field"
)

// Error is what is wrong, where.
type Error struct {
	Code   string
	Offset int    // bytes from the start of the body
	Path   string // of the member or element being read: "tools[2].name"; "" at the top
	Msg    string // what is wrong and what is allowed; holds no value from the body
}

func (e *Error) Error() string {
	if e.Path != "" {
		return fmt.Sprintf("%s: %s (byte %d): %s", e.Code, e.Path, e.Offset, e.Msg)
	}
	return fmt.Sprintf("%s: byte %d: %s", e.Code, e.Offset, e.Msg)
}

// Fail records an error at the value that is being read, unless there is one
// already. It returns false, for the convenience of callers that stop there.
func (s *Scanner) Fail(code string, offset int, msg string) bool {
	return s.fail(code, offset, msg)
}

func (s *Scanner) fail(code string, offset int, msg string) bool {
	if s.err == nil {
		s.err = &Error{Code: code, Offset: offset, Msg: msg}
		if code != CodeSyntax {
			s.err.Path = s.path() // where the grammar breaks, the offset alone is certain
		}
	}
	return false
}

// unexpected reports the byte at hand, where something else was wanted.
func (s *Scanner) unexpected(want string) bool {
	if s.i >= len(s.b) {
		return s.fail(CodeSyntax, s.i, "the body ends where "+want+" is needed")
	}
	return s.fail(CodeSyntax, s.i, want+" is needed here")
}

const (
	pathNames = 64  // bytes of one name that are shown
	pathTotal = 256 // bytes of path that are shown
)

// path writes where the scanner is. Names that are not plain identifiers are
// shown as *, since a body may hold anything at all, private text included.
func (s *Scanner) path() string {
	var p []byte
	for k, f := range s.frames {
		if f.n == 0 {
			break
		}
		if !f.object {
			p = append(strconv.AppendInt(append(p, '['), int64(f.n-1), 10), ']')
			continue
		}
		last := len(s.names)
		if k+1 < len(s.frames) {
			last = s.frames[k+1].names
		}
		if last == f.names {
			break
		}
		if len(p) > 0 {
			p = append(p, '.')
		}
		n := s.names[last-1].bytes(s)
		if !identifier(n) {
			n = []byte("*")
		}
		if p = append(p, n...); len(p) > pathTotal {
			return string(p[:pathTotal]) + "…"
		}
	}
	return string(p)
}

func identifier(n []byte) bool {
	if len(n) == 0 || len(n) > pathNames {
		return false
	}
	for _, c := range n {
		if c != '_' && c != '-' && c != '.' && c != '$' && c-'0' > 9 && c|0x20-'a' > 25 {
			return false
		}
	}
	return true
}
