package anthropic

import (
	"andon/wire"
	"andon/wire/scan"
)

// What is decided on, level by level; anything that differs from one of these
// in case alone is refused there.
var (
	bodyNames = scan.NewNames(false, "model", "stream", "messages", "tools", "mcp_servers", "max_tokens", "metadata",
		"container", "fallbacks")
	toolNames     = scan.NewNames(false, "type", "name", "model", "max_tokens")
	serverNames   = scan.NewNames(false, "name")
	metadataNames = scan.NewNames(false, "user_id")
	messageNames  = scan.NewNames(false, "role")
	heldNames     = scan.NewNames(false, "id")
	fallbackNames = scan.NewNames(false, "model", "max_tokens")
)

// reader reads one body into an envelope.
type reader struct {
	s *scan.Scanner
	e *wire.Envelope

	model    bool
	bound    bool   // max_tokens was given at the top
	lastType string // of tools, so that a hundred tools say their type once
	nullAt   scan.Span
}

func (api) read(rt wire.Route, body []byte, e *wire.Envelope) error {
	e.Reset()
	s := scan.New(body)
	defer s.Free()
	r := reader{s: s, e: e}
	if s.Kind() == 'n' {
		s.Fail(scan.CodeType, s.Offset(), "the body must be a JSON object")
	}
	if s.Object() {
		e.InsertAt = s.Offset()
		r.body()
	}
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	if !r.model {
		return &wire.Problem{Status: 400, Code: scan.CodeMissing, Title: "The request body cannot be used", Param: "model",
			Detail: `"model" is missing; it must be a string that names the model`}
	}
	if rt.Op != wire.OpGenerate || r.bound {
		return nil
	}
	e.InsertTo, e.InsertKey, e.InsertEnd = e.InsertAt, `"max_tokens":`, ","
	if r.nullAt.End > 0 {
		// A bound that is null is none; the number takes its place.
		e.InsertAt, e.InsertTo, e.InsertEnd = r.nullAt.Start, r.nullAt.End, ""
	}
	return nil
}

func (r *reader) body() {
	s, e := r.s, r.e
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "model":
			v, at, ok := s.Text()
			if ok && v == "" {
				s.Fail(scan.CodeValue, at.Start, `"model" must not be empty`)
			}
			r.model = ok
			e.Model, e.ModelAt = v, at
		case "stream":
			e.Stream = s.Flag()
		case "messages":
			r.e.ReadTurns(r.s, messageNames, "assistant")
		case "tools":
			r.tools()
		case "mcp_servers":
			r.servers()
		case "max_tokens":
			from := s.NameAt()
			if v, at, ok := s.Count(); ok {
				r.bound = true
				r.limit(v, at)
			} else {
				r.nullAt = scan.Span{Start: from, End: at.End}
			}
		case "metadata":
			r.metadata()
		case "container":
			r.container()
		case "fallbacks":
			r.fallbacks()
		default:
			s.Other(name, bodyNames)
		}
	}
}

// limit notes an output bound. A fallback's and an advisor's are bounds of
// their own, and are clamped with the request's.
func (r *reader) limit(v int64, at scan.Span) {
	r.e.MaxTokens = max(r.e.MaxTokens, v)
	r.e.MaxAt = append(r.e.MaxAt, at)
}

// tools reads type and name of each tool. A tool without a type is a custom
// one, as the API has it. An advisor brings a model of its own.
func (r *reader) tools() {
	s, e := r.s, r.e
	if !s.Array() {
		return
	}
	for s.Element() {
		e.HasTools = true
		if !s.Object() {
			continue
		}
		typ, title := "", ""
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "type":
				typ, _, _ = s.Text()
			case "name":
				title, _, _ = s.Text()
			case "model":
				if v, _, ok := s.Text(); ok {
					e.Others = append(e.Others, v)
				}
			case "max_tokens":
				if v, at, ok := s.Count(); ok {
					r.limit(v, at)
				}
			default:
				s.Other(name, toolNames)
			}
		}
		if typ == "" {
			typ = "custom"
		}
		if typ != r.lastType {
			r.lastType = typ
			e.Tools = append(e.Tools, typ)
		}
		if title != "" {
			e.Tools = append(e.Tools, title)
		}
	}
}

// servers reads the MCP servers, each of which is a bundle of tools: type "mcp"
// and the server's name.
func (r *reader) servers() {
	s, e := r.s, r.e
	if !s.Array() {
		return
	}
	for n := 0; s.Element(); n++ {
		e.HasTools = true
		if n == 0 {
			e.Tools = append(e.Tools, "mcp")
		}
		if !s.Object() {
			continue
		}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			if string(name) != "name" {
				s.Other(name, serverNames)
			} else if v, _, _ := s.Text(); v != "" {
				e.Tools = append(e.Tools, v)
			}
		}
	}
}

func (r *reader) metadata() {
	s := r.s
	if !s.Object() {
		return
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) != "user_id" {
			s.Other(name, metadataNames)
		} else if v, _, _ := s.Text(); v != "" {
			r.e.Users = append(r.e.Users, v)
		}
	}
}

// container is an id, or an object that may hold one: either continues work in
// a container that the provider keeps.
func (r *reader) container() {
	s := r.s
	if s.Kind() != '{' {
		if v, _, _ := s.Text(); v != "" {
			r.e.Continues = true
		}
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) != "id" {
			s.Other(name, heldNames)
		} else if v, _, _ := s.Text(); v != "" {
			r.e.Continues = true
		}
	}
}

// fallbacks are models that the provider may answer with after a refusal: a
// list, or the word "default" for its own choice.
func (r *reader) fallbacks() {
	s, e := r.s, r.e
	if s.Kind() == '"' {
		v, _, _ := s.Text()
		e.Others = append(e.Others, v)
		return
	}
	if !s.Array() {
		return
	}
	for s.Element() {
		if !s.Object() {
			continue
		}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "model":
				if v, _, ok := s.Text(); ok {
					e.Others = append(e.Others, v)
				}
			case "max_tokens":
				if v, at, ok := s.Count(); ok {
					r.limit(v, at)
				}
			default:
				s.Other(name, fallbackNames)
			}
		}
	}
}
