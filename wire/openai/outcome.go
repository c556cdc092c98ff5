package openai

import (
	"bytes"
	"strings"

	"andon/wire"
	"andon/wire/scan"
)

// Outcome reads an answer of chat, completions or responses, or one of their
// events. In a stream a tool call begins where its name is told (chat) or its
// item is added (responses); a response that an event repeats whole is not
// counted again.
func (api) Outcome(rt wire.Route, data []byte, o *wire.Outcome) {
	tells := tellsChat
	if responding(rt) {
		tells = tellsResponse
	}
	if len(data) == 0 || data[0] == '[' || !tells(data, o) {
		return
	}
	s := scan.New(data)
	defer s.Free()
	if s.Kind() != '{' {
		return
	}
	r := outcome{s: s, o: o}
	if responding(rt) {
		r.event()
	} else {
		r.chat()
	}
}

// responding says whether a route answers with a response and not with choices.
func responding(rt wire.Route) bool { return strings.HasPrefix(rt.API, Responses) }

// tellsChat says whether a chunk can tell something that is not known yet.
func tellsChat(data []byte, o *wire.Outcome) bool {
	if o.ID == "" || o.Model == "" {
		return true
	}
	return bytes.Contains(data, []byte(`_call`)) || bytes.Contains(data, []byte(`"refusal"`)) || bytes.Contains(data, []byte(`"finish_reason":"`)) ||
		bytes.Contains(data, []byte(`"finish_reason": "`))
}

// tellsResponse likewise. Most events are pieces of text, which are known by
// their beginnings.
func tellsResponse(data []byte, o *wire.Outcome) bool {
	const begin = `{"type":"response.`
	if bytes.HasPrefix(data, []byte(begin)) {
		name, _, _ := bytes.Cut(data[len(begin):min(len(data), len(begin)+80)], []byte{'"'})
		if bytes.HasSuffix(name, []byte(".delta")) && !bytes.HasPrefix(name, []byte("refusal")) {
			return false
		}
	}
	return bytes.Contains(data, []byte(`"response"`)) || bytes.Contains(data, []byte(`"item"`)) || bytes.Contains(data, []byte(`refusal`)) ||
		bytes.Contains(data, []byte(`"output"`)) || bytes.Contains(data, []byte(`"id"`))
}

// outcome reads one answer or event.
type outcome struct {
	s *scan.Scanner
	o *wire.Outcome

	typ   string // of the event; "" in an answer
	calls int64
	no    bool // it refuses
}

func (r *outcome) chat() {
	r.s.Members(func(name []byte) {
		switch string(name) {
		case "id":
			wire.Keep(&r.o.ID, r.s.Word())
		case "model":
			wire.Keep(&r.o.Model, r.s.Word())
		case "choices":
			r.s.Elements(r.answer)
		default:
			r.s.Skip()
		}
	})
	r.end()
}

// end adds what was counted, if all of it could be read.
func (r *outcome) end() {
	if r.s.Err() == nil {
		r.o.ToolCalls += r.calls
		r.o.Refusal = r.o.Refusal || r.no
	}
}

// answer reads one choice.
func (r *outcome) answer() {
	r.s.Members(func(name []byte) {
		switch string(name) {
		case "message", "delta":
			r.s.Members(r.said)
		case "finish_reason":
			v := r.s.Word()
			wire.Keep(&r.o.Status, v)
			r.no = r.no || v == "content_filter"
		default:
			r.s.Skip()
		}
	})
}

// said reads a member of a message, or of what a chunk adds to one.
func (r *outcome) said(name []byte) {
	switch string(name) {
	case "refusal":
		r.no = r.s.Word() != "" || r.no
	case "tool_calls":
		r.s.Elements(r.called)
	case "function_call":
		r.called()
	default:
		r.s.Skip()
	}
}

// called reads one tool call, or a piece of one.
func (r *outcome) called() {
	r.s.Members(func(name []byte) {
		switch string(name) {
		case "name":
			if r.s.Word() != "" {
				r.calls++
			}
		case "function", "custom":
			r.called()
		default:
			r.s.Skip()
		}
	})
}

// event reads a response, or an event of one.
func (r *outcome) event() {
	items, added := int64(0), int64(0)
	r.s.Members(func(name []byte) {
		switch string(name) {
		case "type":
			r.typ = r.s.Word()
		case "response":
			r.s.Members(func(name []byte) {
				if !r.response(name) {
					r.s.Skip()
				}
			})
		case "output":
			r.s.Elements(r.item)
			items, r.calls = r.calls, 0
		case "item":
			r.item()
			added, r.calls = r.calls, 0
		case "part":
			r.part()
		case "delta", "refusal":
			if r.s.Kind() == '"' && r.typ != "" && !strings.HasPrefix(r.typ, "response.refusal") {
				r.s.Skip()
			} else if v := r.s.Word(); string(name) == "refusal" || strings.HasPrefix(r.typ, "response.refusal") {
				r.no = r.no || v != ""
			}
		default:
			if !r.response(name) {
				r.s.Skip()
			}
		}
	})
	switch r.typ {
	case "":
		r.calls = items
	case "response.output_item.added":
		r.calls = added
	}
	r.end()
}

// response reads a member of a response, and says whether it is one that tells
// something. Those of events have other names.
func (r *outcome) response(name []byte) bool {
	o := r.o
	switch string(name) {
	case "id":
		wire.Keep(&o.ID, r.s.Word())
	case "model":
		wire.Keep(&o.Model, r.s.Word())
	case "status":
		wire.Keep(&o.Status, r.s.Word())
	case "conversation":
		if r.s.Kind() == '"' {
			wire.Keep(&o.Conversation, r.s.Word())
			break
		}
		r.s.Members(func(name []byte) {
			if v := string(name) == "id"; v {
				wire.Keep(&o.Conversation, r.s.Word())
			} else {
				r.s.Skip()
			}
		})
	default:
		return false
	}
	return true
}

// item reads one item of the output. Those of tools that were called are named
// for it.
func (r *outcome) item() {
	r.s.Members(func(name []byte) {
		switch string(name) {
		case "type":
			if strings.HasSuffix(r.s.Word(), "_call") {
				r.calls++
			}
		case "container_id":
			wire.Keep(&r.o.Container, r.s.Word())
		case "environment":
			r.s.Members(func(name []byte) {
				if string(name) == "container_id" {
					wire.Keep(&r.o.Container, r.s.Word())
				} else {
					r.s.Skip()
				}
			})
		case "content":
			r.s.Elements(r.part)
		default:
			r.s.Skip()
		}
	})
}

// part reads one part of a message.
func (r *outcome) part() {
	r.s.Members(func(name []byte) {
		if string(name) == "type" {
			r.no = r.s.Word() == "refusal" || r.no
		} else {
			r.s.Skip()
		}
	})
}
