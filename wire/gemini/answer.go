package gemini

import (
	"bytes"
	"strconv"
	"time"

	"andon/wire"
	"andon/wire/scan"
)

// status is google.rpc.Code's name for an HTTP status, by the mapping of
// google/rpc/code.proto where it has one.
func status(code int) string {
	switch {
	case code == 401:
		return "UNAUTHENTICATED"
	case code == 403 || code == 451:
		return "PERMISSION_DENIED"
	case code == 404:
		return "NOT_FOUND"
	case code == 409:
		return "ABORTED"
	case code == 410 || code == 422:
		return "FAILED_PRECONDITION"
	case code == 429:
		return "RESOURCE_EXHAUSTED"
	case code == 499:
		return "CANCELLED"
	case code == 501:
		return "UNIMPLEMENTED"
	case code == 503:
		return "UNAVAILABLE"
	case code == 504:
		return "DEADLINE_EXCEEDED"
	case code >= 500:
		return "INTERNAL"
	default:
		return "INVALID_ARGUMENT"
	}
}

// AppendError: google.rpc.Status. Its code is the HTTP status, as a number,
// which the SDKs need; Andon's stable code is andon_code, and in capitals the
// reason of the ErrorInfo.
func (api) AppendError(dst []byte, p *wire.Problem) []byte {
	dst = append(dst, `{"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(p.Status), 10)
	dst = append(dst, `,"message":`...)
	dst = wire.AppendString(dst, p.Message())
	dst = append(dst, `,"status":`...)
	dst = wire.AppendString(dst, status(p.Status))
	if p.Param != "" {
		dst = append(dst, `,"param":`...)
		dst = wire.AppendBounded(dst, p.Param, 256)
	}
	dst = p.AppendMembers(dst, "andon_code", false)
	dst = appendDetails(dst, p)
	return append(dst, "}}"...)
}

func appendDetails(dst []byte, p *wire.Problem) []byte {
	dst = append(dst, `,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":`...)
	dst = wire.AppendBounded(dst, reason(p.Code), 64)
	dst = append(dst, `,"domain":"andon","metadata":{"revision":"`...)
	dst = strconv.AppendUint(dst, p.Revision, 10)
	dst = append(dst, '"')
	review := ""
	if !p.ReviewBy.IsZero() {
		review = p.ReviewBy.UTC().Format(time.RFC3339)
	}
	for _, m := range [...]struct{ name, value string }{
		{"correction_id", p.CorrectionID}, {"kind", p.Kind}, {"scope", p.Scope}, {"public_reason", p.Reason},
		{"review_by", review}, {"fallback", p.Fallback}, {"notice_url", p.NoticeURL}, {"appeal_url", p.AppealURL},
	} {
		if m.value != "" {
			dst = append(append(append(dst, `,"`...), m.name...), `":`...)
			dst = wire.AppendBounded(dst, m.value, 1024)
		}
	}
	dst = append(dst, "}}"...)
	if p.RequestID != "" {
		dst = append(dst, `,{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":`...)
		dst = append(wire.AppendBounded(dst, p.RequestID, 256), '}')
	}
	if p.RetryAfter > 0 {
		dst = append(dst, `,{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`...)
		dst = strconv.AppendInt(dst, int64((p.RetryAfter+time.Second-1)/time.Second), 10)
		dst = append(dst, `s"}`...)
	}
	return append(dst, ']')
}

// reason is a code as ErrorInfo wants it: UPPER_SNAKE_CASE, at most 63 bytes.
func reason(code string) string {
	b := []byte(code[:min(len(code), 63)])
	for i, c := range b {
		switch {
		case c-'a' <= 25:
			b[i] = c &^ 0x20
		case c-'A' > 25 && c-'0' > 9:
			b[i] = '_'
		}
	}
	return string(b)
}

// AppendStreamEnd: one more event with an "error" object, or one more element
// of the array and its end. Events end with CRLF, as Google's own do: the Go SDK
// splits at the first LF LF it has in hand, and would take an event that ends
// so together with the CRLF ones before it.
func (w api) AppendStreamEnd(dst []byte, rt wire.Route, p *wire.Problem) []byte {
	if rt.SSE {
		dst = append(dst, "data: "...)
		dst = w.AppendError(dst, p)
		return append(dst, "\r\n\r\n"...)
	}
	dst = append(dst, ',')
	dst = w.AppendError(dst, p)
	return append(dst, ']')
}

func (api) AppendModels(dst []byte, rt wire.Route, names []string) []byte {
	if rt.Op == wire.OpGetModel {
		if len(names) == 0 {
			return dst
		}
		return appendModel(dst, names[0])
	}
	dst = append(dst, `{"models":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendModel(dst, name)
	}
	return append(dst, `]}`...)
}

func appendModel(dst []byte, name string) []byte {
	dst = append(dst, `{"name":`...)
	dst = wire.AppendString(dst, "models/"+name)
	dst = append(dst, `,"displayName":`...)
	dst = wire.AppendString(dst, name)
	return append(dst, `,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}`...)
}

// Usage reads "usageMetadata" of an answer or of one of its chunks. Thoughts
// are output, and what tools fetched is input. The counts of a stream are
// cumulative.
func (api) Usage(rt wire.Route, data []byte, u *wire.Usage) bool {
	if rt.Op == wire.OpCountTokens || !bytes.Contains(data, []byte(`"usageMetadata"`)) {
		return false
	}
	s := scan.New(data)
	defer s.Free()
	if s.Kind() != '{' {
		return false
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "usageMetadata" && s.Kind() == '{' {
			return counts(s, u)
		}
		s.Skip()
	}
	return false
}

func counts(s *scan.Scanner, u *wire.Usage) (found bool) {
	var in, out, total int64
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "promptTokenCount", "toolUsePromptTokenCount":
			in = add(in, s.Number())
		case "candidatesTokenCount", "thoughtsTokenCount":
			out = add(out, s.Number())
		case "totalTokenCount":
			total = s.Number()
		default:
			s.Skip()
			continue
		}
		found = true
	}
	if s.Err() != nil || !found {
		return false
	}
	if out == 0 && total > in {
		out = total - in
	}
	u.Input, u.Output = max(u.Input, in), max(u.Output, out)
	return true
}

// add adds counts without overflow.
func add(a, b int64) int64 {
	if a > 1<<63-1-b {
		return 1<<63 - 1
	}
	return a + b
}
