package anthropic

import (
	"bytes"
	"strings"

	"andon/wire"
	"andon/wire/scan"
)

// Outcome reads a message, or an event of one. A tool call begins with its
// block.
func (api) Outcome(rt wire.Route, data []byte, o *wire.Outcome) {
	if rt.Op == wire.OpCountTokens || len(data) == 0 || data[0] == '[' || !tells(data) {
		return
	}
	s := scan.New(data)
	defer s.Free()
	if s.Kind() != '{' {
		return
	}
	r := outcome{s: s, o: o}
	r.message(true)
	if s.Err() == nil {
		o.ToolCalls += r.calls
		o.Refusal = o.Refusal || r.no
	}
}

// tells says whether an event can tell something. Most are pieces of text, which
// are known by their beginnings.
func tells(data []byte) bool {
	for _, begin := range [...]string{`{"type":"content_block_delta"`, `{"type": "content_block_delta"`, `{"type":"ping"`, `{"type": "ping"`} {
		if bytes.HasPrefix(data, []byte(begin)) {
			return false
		}
	}
	return bytes.Contains(data, []byte(`"message_`)) || bytes.Contains(data, []byte(`"content_block"`)) || bytes.Contains(data, []byte(`"content"`)) ||
		bytes.Contains(data, []byte(`"message"`))
}

// outcome reads one message or event.
type outcome struct {
	s *scan.Scanner
	o *wire.Outcome

	calls int64
	no    bool // it refuses
}

// message reads a message, what changes of one at its end, or the event around
// either.
func (r *outcome) message(outer bool) {
	s, o := r.s, r.o
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "id":
			wire.Keep(&o.ID, r.s.Word())
		case "model":
			wire.Keep(&o.Model, r.s.Word())
		case "stop_reason":
			v := r.s.Word()
			wire.Keep(&o.Status, v)
			r.no = r.no || v == "refusal"
		case "container":
			r.container()
		case "message", "delta":
			if outer {
				r.message(false)
			} else {
				s.Skip()
			}
		case "content_block":
			r.block()
		case "content":
			s.Elements(r.block)
		default:
			s.Skip()
		}
	}
}

func (r *outcome) container() {
	s := r.s
	if s.Kind() != '{' {
		wire.Keep(&r.o.Container, s.Word())
		return
	}
	s.Members(func(name []byte) {
		if string(name) == "id" {
			wire.Keep(&r.o.Container, s.Word())
		} else {
			s.Skip()
		}
	})
}

// block reads one block: a call of the caller's tool, of the provider's or of
// an MCP server's.
func (r *outcome) block() {
	s := r.s
	s.Members(func(name []byte) {
		if string(name) != "type" {
			s.Skip()
		} else if strings.HasSuffix(s.Word(), "tool_use") {
			r.calls++
		}
	})
}
