package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

// The exit codes of every command.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3 // by authority
	exitPending = 4 // applied, but not yet enforced everywhere
)

// usageError is a command that was not understood; hint says what to write.
type usageError struct{ detail, hint string }

func (e *usageError) Error() string { return e.detail }

func usagef(hint, format string, args ...any) error {
	return &usageError{detail: fmt.Sprintf(format, args...), hint: hint}
}

// reported is an outcome that was already printed and only sets the exit code.
type reported struct {
	code int
	what string
}

func (e *reported) Error() string { return e.what }

func isReported(err error) bool {
	var r *reported
	return errors.As(err, &r)
}

// hinted is an error with the next step.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// unsettled is an error after a command was accepted: it stands, and where it is
// enforced is not known. undo takes it back.
type unsettled struct {
	err  error
	undo string
}

func (e *unsettled) Error() string { return e.err.Error() }
func (e *unsettled) Unwrap() error { return e.err }

// problem is an error of the control plane or a gateway, in the form of RFC 9457.
type problem struct {
	Type     string   `json:"type,omitempty"`
	Title    string   `json:"title,omitempty"`
	Status   int      `json:"status,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Instance string   `json:"instance,omitempty"`
	Code     string   `json:"code,omitempty"`
	Param    string   `json:"param,omitempty"` // the field at fault
	Field    string   `json:"field,omitempty"` // likewise
	Allowed  []string `json:"allowed,omitempty"`
	Hint     string   `json:"hint,omitempty"`
}

func (p *problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = http.StatusText(p.Status)
	}
	return text
}

// where names the field at fault, if there is one.
func (p *problem) where() string {
	if p.Param != "" {
		return p.Param
	}
	return p.Field
}

func exitCode(err error) int {
	var (
		u *usageError
		r *reported
		p *problem
		a *unsettled
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &a): // whatever came after it: it is in force
		return exitPending
	case errors.As(err, &r):
		return r.code
	case errors.As(err, &u):
		return exitUsage
	case errors.As(err, &p):
		if p.Code == "not_independent" { // it takes another person
			return exitRefused
		}
		switch p.Status {
		case http.StatusForbidden:
			return exitRefused
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return exitUsage // what was written makes no sense, whoever noticed
		}
	}
	return exitFailed
}

// report prints an error: what, where, what is allowed.
func (c *command) report(err error) {
	if isReported(err) {
		return
	}
	var (
		u *usageError
		p *problem
		h *hinted
		a *unsettled
	)
	if errors.As(err, &a) && a.undo != "" && c.output != "json" {
		defer c.printf("undo: %s\n", a.undo)
	}
	if c.output == "json" {
		out := struct {
			Error *problem `json:"error"`
			Exit  int      `json:"exit"`
		}{Error: &problem{Detail: err.Error()}, Exit: exitCode(err)}
		switch {
		case errors.As(err, &p):
			out.Error = p
		case errors.As(err, &u):
			out.Error.Code, out.Error.Hint = "usage", u.hint
		case errors.As(err, &h):
			out.Error.Code, out.Error.Hint = "unreached", h.hint
		}
		if b, jerr := json.Marshal(out); jerr == nil {
			fmt.Fprintf(c.Stderr, "%s\n", b)
			return
		}
	}
	w := clean(c.Stderr)
	switch {
	case errors.As(err, &p):
		text, f := c.named(err.Error()), p.where()
		if f != "" && (strings.HasPrefix(text, "is ") || strings.HasPrefix(text, "has ")) {
			text = f + " " + text // the field is the subject of the sentence
		}
		fmt.Fprintf(w, "andon: %s\n", text)
		if f != "" && !strings.Contains(text, f) {
			fmt.Fprintf(w, "  where: %s\n", f)
		}
		if len(p.Allowed) > 0 {
			what := "allowed"
			if p.Code == "run_state" { // a run that cannot end names what is not settled
				what = "open"
			}
			fmt.Fprintf(w, "  %s: %s\n", what, wrapWords(p.Allowed))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "  try: %s\n", p.Hint)
		}
	case errors.As(err, &u):
		fmt.Fprintf(w, "andon: %v\n", err)
		if u.hint != "" {
			fmt.Fprintf(w, "  try: %s\n", u.hint)
		}
	default:
		fmt.Fprintf(w, "andon: %v\n", err)
		if errors.As(err, &h) {
			fmt.Fprintf(w, "  try: %s\n", h.hint)
		}
	}
}
