package anthropic

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// What is decided on, level by level; anything that differs from one of these
// in case alone is refused there.
var (
	bodyNames = scan.NewNames(false, "model", "stream", "messages", "tools", "mcp_servers", "max_tokens", "metadata",
		"container", "fallbacks", "tool_choice", "system", "temperature", "thinking", "output_config", "output_format")
	toolNames     = scan.NewNames(false, "type", "name", "mcp_server_name", "model", "max_tokens", "allowed_callers", "defer_loading")
	serverNames   = scan.NewNames(false, "name")
	choiceNames   = scan.NewNames(false, "type", "disable_parallel_tool_use")
	metadataNames = scan.NewNames(false, "user_id")
	messageNames  = scan.NewNames(false, "role", "content", "output_config")
	partNames     = scan.NewNames(false, "type", "name", "content", "source", "tool")
	sourceNames   = scan.NewNames(false, "content")
	changeNames   = scan.NewNames(false, "definition")
	heldNames     = scan.NewNames(false, "id")
	thinkingNames = scan.NewNames(false, "type", "budget_tokens")
	outputNames   = scan.NewNames(false, "effort", "format")
	fallbackNames = scan.NewNames(false, "model", "max_tokens", "thinking", "output_config")
)

// reader reads one body into an envelope.
type reader struct {
	s *scan.Scanner
	e *wire.Envelope

	model    bool
	bound    bool   // max_tokens was given at the top
	lastType string // of tools, so that a hundred tools say their type once
	nullAt   scan.Span
	serial   bool // several tool calls in one turn are forbidden
	odd      bool // the choice of tools is none that could be changed
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
		e.Into = wire.Into{At: scan.Span{Start: s.Offset(), End: s.Offset()}, Top: true}
		r.body()
	}
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	if !r.model {
		return &wire.Problem{Status: 400, Code: scan.CodeMissing, Title: "The request body cannot be used", Param: "model",
			Detail: `"model" is missing; it must be a string that names the model`}
	}
	if rt.Op == wire.OpGenerate {
		if e.MaxNull = r.nullAt; !r.bound && r.nullAt.End == 0 {
			e.InsertKey = `"max_tokens":`
		}
		if e.TempAt.End == 0 {
			e.TempKey = `"temperature":`
		}
	} else {
		e.TempAt = scan.Span{}
	}
	switch {
	case !e.HasTools || r.serial:
		e.Parallel = wire.Fix{}
	case r.odd:
		e.Use(correction.ParallelToolCalls)
	default:
		e.Features |= correction.ParallelToolCalls
		if !e.Parallel.Set() {
			e.Parallel = wire.Fix{Key: `"tool_choice":`, Text: serialChoice}
		}
	}
	e.Settle()
	return nil
}

func (r *reader) body() {
	s, e := r.s, r.e
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		index := e.Into.Count
		e.Into.Count++
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
			e.ReadTurns(s, messageNames, "assistant", r.message)
		case "system":
			r.system()
		case "tools":
			r.tools(index)
		case "tool_choice":
			r.choice(index)
		case "mcp_servers":
			r.servers(index)
		case "max_tokens":
			if v, at, ok := s.Count(); ok {
				r.bound = true
				r.limit(v, at)
			} else {
				r.nullAt = at
			}
		case "temperature":
			e.ReadTemperature(s)
		case "thinking":
			r.thinking(index, true)
		case "output_config":
			r.output()
		case "output_format":
			r.form()
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
			if strings.Contains(v, "session") {
				r.e.GoesOn("metadata", v) // as clients do whose user ids name the session, too
			}
		}
	}
}

// container is an id, or an object that may hold one: either continues work in
// a container that the provider keeps.
func (r *reader) container() {
	s := r.s
	if s.Kind() != '{' {
		if v, _, _ := s.Text(); v != "" {
			r.within(v)
		}
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) != "id" {
			s.Other(name, heldNames)
		} else if v, _, _ := s.Text(); v != "" {
			r.within(v)
		}
	}
}

// within notes a container that the provider keeps, and what stands in it.
func (r *reader) within(id string) {
	r.e.Continues = true
	r.e.Use(correction.StoredConversations)
	r.e.GoesOn("container", id)
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
		index := -1
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			index++
			switch string(name) {
			case "thinking":
				r.thinking(index, false)
			case "output_config":
				r.output()
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
