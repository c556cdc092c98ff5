package anthropic

import (
	"bytes"

	"andon/wire"
	"andon/wire/scan"
)

// errorType is the type of an error by its status, as the API names them.
func errorType(status int) string {
	switch {
	case status == 401:
		return "authentication_error"
	case status == 403 || status == 451:
		return "permission_error"
	case status == 404 || status == 410:
		return "not_found_error"
	case status == 413:
		return "request_too_large"
	case status == 429:
		return "rate_limit_error"
	case status == 504:
		return "timeout_error"
	case status == 529:
		return "overloaded_error"
	case status >= 500:
		return "api_error"
	default:
		return "invalid_request_error"
	}
}

// AppendError: the SDKs choose the exception by the HTTP status and carry type
// and body in it.
func (api) AppendError(dst []byte, p *wire.Problem) []byte {
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = wire.AppendString(dst, errorType(p.Status))
	dst = append(dst, `,"message":`...)
	dst = wire.AppendString(dst, p.Message())
	if p.Param != "" {
		dst = append(dst, `,"param":`...)
		dst = wire.AppendBounded(dst, p.Param, 256)
	}
	dst = p.AppendMembers(dst, "code", true)
	dst = append(dst, '}')
	if p.RequestID != "" {
		dst = append(dst, `,"request_id":`...)
		dst = wire.AppendBounded(dst, p.RequestID, 256)
	}
	return append(dst, '}')
}

// AppendStreamEnd: an event of type error with the same envelope.
func (w api) AppendStreamEnd(dst []byte, _ wire.Route, p *wire.Problem) []byte {
	dst = append(dst, "event: error\ndata: "...)
	dst = w.AppendError(dst, p)
	return append(dst, "\n\n"...)
}

func (api) AppendModels(dst []byte, rt wire.Route, names []string) []byte {
	if rt.Op == wire.OpGetModel {
		if len(names) == 0 {
			return dst
		}
		return appendModel(dst, names[0])
	}
	dst = append(dst, `{"data":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendModel(dst, name)
	}
	dst = append(dst, `],"has_more":false,"first_id":`...)
	if len(names) == 0 {
		return append(dst, `null,"last_id":null}`...)
	}
	dst = wire.AppendString(dst, names[0])
	dst = append(dst, `,"last_id":`...)
	dst = wire.AppendString(dst, names[len(names)-1])
	return append(dst, '}')
}

func appendModel(dst []byte, name string) []byte {
	dst = append(dst, `{"type":"model","id":`...)
	dst = wire.AppendString(dst, name)
	dst = append(dst, `,"display_name":`...)
	dst = wire.AppendString(dst, name)
	return append(dst, `,"created_at":"1970-01-01T00:00:00Z"}`...)
}

// Usage reads "usage" at the top of a message or of a message_delta event, or
// inside "message" in message_start. Tokens read from and written to the cache
// are input too. The counts of a stream are cumulative.
func (api) Usage(rt wire.Route, data []byte, u *wire.Usage) bool {
	if rt.Op == wire.OpCountTokens || !bytes.Contains(data, []byte(`"usage"`)) {
		return false
	}
	s := scan.New(data)
	defer s.Free()
	return s.Kind() == '{' && members(s, u, true)
}

func members(s *scan.Scanner, u *wire.Usage, outer bool) bool {
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch {
		case string(name) == "usage" && s.Kind() == '{':
			return counts(s, u)
		case string(name) == "message" && outer && s.Kind() == '{':
			if members(s, u, false) {
				return true
			}
		default:
			s.Skip()
		}
	}
	return false
}

func counts(s *scan.Scanner, u *wire.Usage) (found bool) {
	var in, out int64
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens":
			in = add(in, s.Number())
		case "output_tokens":
			out = s.Number()
		default:
			s.Skip()
			continue
		}
		found = true
	}
	if s.Err() != nil || !found {
		return false
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
