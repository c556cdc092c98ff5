package openai

import (
	"bytes"

	"andon/wire"
	"andon/wire/scan"
)

// Usage reads "usage" at the top of an answer or of a stream's last chunk, or
// inside "response" in the events of the responses API.
func (api) Usage(rt wire.Route, data []byte, u *wire.Usage) bool {
	if rt.Op == wire.OpCountTokens || !bytes.Contains(data, []byte(`"usage"`)) {
		return false
	}
	s := scan.New(data)
	defer s.Free()
	return s.Kind() == '{' && members(s, u, true)
}

// members reads the usage of the object that is next. It stops at the first,
// since what follows has no say.
func members(s *scan.Scanner, u *wire.Usage, outer bool) (found bool) {
	if !s.Object() {
		return false
	}
	for name, ok := s.Member(); ok && !found; name, ok = s.Member() {
		switch {
		case string(name) == "usage" && s.Kind() == '{':
			found = counts(s, u)
		case string(name) == "response" && outer && s.Kind() == '{':
			found = members(s, u, false)
		default:
			s.Skip()
		}
		if found {
			return true
		}
	}
	return false
}

func counts(s *scan.Scanner, u *wire.Usage) (found bool) {
	var in, out, total int64
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "prompt_tokens", "input_tokens":
			in = max(in, s.Number())
		case "completion_tokens", "output_tokens":
			out = max(out, s.Number())
		case "total_tokens":
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
	if in == 0 && total > out {
		in = total - out
	}
	u.Input, u.Output = max(u.Input, in), max(u.Output, out)
	return true
}
