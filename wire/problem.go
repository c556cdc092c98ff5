package wire

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"andon/wire/scan"
)

// Longest shown, in bytes. Errors go back to callers and into their logs, and a
// reason or a scope may be as long as an operator pleases.
const (
	longText  = 1024
	shortText = 256
	listed    = 32 // corrections named in a list
)

// BadBody is the Problem of a body that a reader refused; nil for nil. Its
// status is 400, and its text names the byte, the member and what is allowed.
func BadBody(err *scan.Error) error {
	if err == nil {
		return nil
	}
	status, title := 400, "The request body cannot be used"
	if err.Code == scan.CodeTooLarge {
		status = 413
	}
	return &Problem{
		Status: status,
		Code:   err.Code,
		Title:  title,
		Detail: err.Msg + " (at byte " + strconv.Itoa(err.Offset) + ")",
		Param:  err.Path,
	}
}

// AsProblem returns the Problem in err's chain, or nil.
func AsProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// Message says to a person what happened, by which correction, why, until when,
// and what to do. It is one line of bounded length.
func (p *Problem) Message() string {
	var b strings.Builder
	say := func(parts ...string) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		for _, s := range parts {
			b.WriteString(bound(s, longText))
		}
	}
	if p.CorrectionID != "" {
		what := p.Kind
		if p.Scope != "" {
			what = join(what, ": ", bound(p.Scope, shortText))
		}
		if what != "" {
			what = " (" + what + ")"
		}
		say("Refused by correction ", bound(p.CorrectionID, shortText), what, ".")
		if p.Reason != "" {
			say("Reason: ", sentence(p.Reason))
		}
		if p.Detail != "" && p.Detail != p.Reason {
			say(sentence(p.Detail))
		}
		if !p.ReviewBy.IsZero() {
			say("It will be reviewed by ", p.ReviewBy.UTC().Format(time.RFC3339), ".")
		}
		if p.Fallback != "" {
			say("The model ", bound(p.Fallback, shortText), " may serve instead.")
		}
	} else {
		say(sentence(join(p.Param, ": ", firstOf(p.Detail, p.Title, p.Code))))
	}
	switch {
	case p.RetryAfter > 0:
		say("Retry after ", strconv.FormatInt(seconds(p.RetryAfter), 10), " s.")
	case p.CorrectionID != "" && !p.Retry:
		say("Retrying will not help.")
	}
	if p.AppealURL != "" {
		say("Appeal: ", p.AppealURL)
	} else if p.NoticeURL != "" {
		say("More: ", p.NoticeURL)
	}
	return b.String()
}

// AppendMembers appends Andon's own members to an error object that has one
// already: each begins with a comma. codeName is what the stable code is called
// there. The numeric status is left out where the wire has a status of its own.
func (p *Problem) AppendMembers(dst []byte, codeName string, status bool) []byte {
	text := func(name, v string, limit int) {
		if v != "" {
			dst = append(append(append(dst, `,"`...), name...), `":`...)
			dst = AppendBounded(dst, v, limit)
		}
	}
	orNull := func(name, v string, limit int) {
		if v == "" {
			dst = append(append(append(dst, `,"`...), name...), `":null`...)
			return
		}
		text(name, v, limit)
	}
	text(codeName, p.Code, shortText)
	text("title", p.Title, shortText)
	if status {
		dst = strconv.AppendInt(append(dst, `,"status":`...), int64(p.Status), 10)
	}
	text("detail", p.Detail, longText)
	text("instance", p.RequestID, shortText)
	if p.CorrectionID != "" {
		text("correction_id", p.CorrectionID, shortText)
		if len(p.Corrections) > 0 {
			dst = append(dst, `,"corrections":[`...)
			for i, id := range p.Corrections[:min(len(p.Corrections), listed)] {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = AppendBounded(dst, id, shortText)
			}
			dst = append(dst, ']')
		}
		orNull("kind", p.Kind, shortText)
		orNull("scope", p.Scope, longText)
		orNull("reason", p.Reason, longText)
		dst = strconv.AppendBool(append(dst, `,"reversible":`...), p.Reversible)
		orNull("review_by", timeText(p.ReviewBy), shortText)
		orNull("fallback", p.Fallback, shortText)
		orNull("notice_url", p.NoticeURL, longText)
		orNull("appeal_url", p.AppealURL, longText)
	}
	dst = strconv.AppendBool(append(dst, `,"retry":`...), p.Retry)
	if p.RetryAfter > 0 {
		dst = strconv.AppendInt(append(dst, `,"retry_after":`...), seconds(p.RetryAfter), 10)
	}
	return strconv.AppendUint(append(dst, `,"revision":`...), p.Revision, 10)
}

// seconds rounds up: coming back early would be refused again.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func bound(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

func join(a, sep, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + sep + b
}

// sentence ends s with a full stop if it has no end of its own.
func sentence(s string) string {
	s = strings.TrimSpace(bound(s, longText))
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
