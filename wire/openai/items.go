package openai

import "andon/wire/scan"

// raw is what the body has at a span.
func (r *reader) raw(at scan.Span) []byte { return r.s.Bytes(at) }

// first reads a prompt or input, which may be an array, for its first part.
func (r *reader) first() {
	s := r.s
	if s.Kind() != '[' {
		r.e.First = r.raw(s.Skip())
		return
	}
	s.Array()
	for n := 0; s.Element(); n++ {
		if at := s.Skip(); n == 0 {
			r.e.First = r.raw(at)
		}
	}
}

// items reads the input items of a response: messages, what a model put out
// before, references to stored items, and tools that are brought in midway.
func (r *reader) items() {
	s := r.s
	if !s.Array() {
		return
	}
	for n := 0; s.Element(); n++ {
		s.Kind()
		from := s.Offset()
		if s.Object() {
			var role, typ, id string
			for name, ok := s.Member(); ok; name, ok = s.Member() {
				switch string(name) {
				case "role":
					role, _, _ = s.Text()
				case "type":
					typ, _, _ = s.Text()
				case "id":
					id, _, _ = s.Text()
				case "tools":
					r.tools(0)
				default:
					s.Other(name, itemNames)
				}
			}
			switch {
			case typ == "item_reference", typ == "" && role == "" && id != "":
				// A reference's type may be left out.
				r.e.Continues, r.e.Prior = true, true
			case role == "assistant", typ != "" && typ != "message" && role == "":
				r.e.Prior = true
			}
		}
		if n == 0 {
			r.e.First = r.raw(scan.Span{Start: from, End: s.Offset()})
		}
	}
}

// offer notes that tools are offered, of this type.
func (r *reader) offer(typ string) {
	r.e.HasTools = true
	if typ != "" && typ != r.lastType {
		r.lastType = typ
		r.e.Tools = append(r.e.Tools, typ)
	}
}

func (r *reader) offerName(name string) {
	if name != "" {
		r.e.Tools = append(r.e.Tools, name)
	}
}

// maxNested is how deep tools may hold further tools (namespaces).
const maxNested = 4

// tools reads a list of tools: type and name of each, the function's or custom
// tool's name where it is inside, an MCP server's label, and for a namespace
// the tools in it.
func (r *reader) tools(depth int) {
	s := r.s
	if !s.Array() {
		return
	}
	for s.Element() {
		r.e.HasTools = true
		if !s.Object() {
			continue
		}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "type":
				typ, _, _ := s.Text()
				r.offer(typ)
			case "name", "server_label":
				v, _, _ := s.Text()
				r.offerName(v)
			case "function", "custom":
				r.named()
			case "model":
				if v, _, ok := s.Text(); ok {
					r.e.Others = append(r.e.Others, v)
				}
			case "tools":
				if depth == maxNested {
					s.Fail(scan.CodeTooDeep, s.Offset(), "tools are nested in tools too deeply")
				}
				r.tools(depth + 1)
			default:
				s.Other(name, toolNames)
			}
		}
	}
}

// named reads an object that carries a tool's name.
func (r *reader) named() {
	s := r.s
	if !s.Object() {
		return
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) != "name" {
			s.Other(name, functionNames)
			continue
		}
		v, _, _ := s.Text()
		r.offerName(v)
	}
}
