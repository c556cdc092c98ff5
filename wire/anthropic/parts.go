package anthropic

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// message reads a member of a message.
func (r *reader) message(name []byte) bool {
	switch string(name) {
	case "content":
		r.content()
	case "output_config":
		r.output()
	default:
		return false
	}
	return true
}

// system reads the instructions above the user's: a text, or blocks of it.
func (r *reader) system() {
	s := r.s
	kind := s.Kind()
	from, given := s.Offset(), false
	switch kind {
	case '"':
		at := s.Skip()
		given = at.End-at.Start > 2
	case '[':
		s.Array()
		for s.Element() {
			given = true
			r.block()
		}
	case 'n':
		s.Skip()
	default:
		given = true
		r.content()
	}
	if given {
		r.e.Use(correction.SystemPrompt)
		r.e.Instructed(scan.Span{Start: from, End: s.Offset()})
	}
}

// content reads a text, or a list of blocks.
func (r *reader) content() {
	s := r.s
	if s.Kind() != '[' {
		r.block()
		return
	}
	s.Array()
	for s.Element() {
		r.block()
	}
}

// block reads one block of a content, with the blocks inside of it. What a
// tool was called with is the model's, and passes. A conversation in which tools
// were called needs them.
func (r *reader) block() {
	s, e := r.s, r.e
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	typ, title := "", ""
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "type":
			typ, _, _ = s.Text()
		case "name":
			title, _, _ = s.Text()
		case "content":
			r.content()
		case "source":
			r.source()
		case "tool":
			r.change()
		default:
			s.Other(name, partNames)
		}
	}
	switch typ {
	case "text", "thinking", "redacted_thinking", "search_result", "compaction", "fallback":
	case "image":
		e.Use(correction.ImageInput)
	case "document", "container_upload":
		e.Use(correction.FileInput)
	case "tool_addition", "tool_removal", "mcp_tool_listing":
		e.Keep()
	case "tool_reference", "browser_state", "code_execution_output", "bash_code_execution_output", "web_search_result", "web_fetch_result",
		"code_execution_result", "encrypted_code_execution_result", "bash_code_execution_result", "advisor_result", "advisor_redacted_result",
		"text_editor_code_execution_view_result", "text_editor_code_execution_create_result", "text_editor_code_execution_str_replace_result",
		"tool_search_tool_search_result": // inside of the results below
	default:
		switch {
		case strings.HasSuffix(typ, "tool_use"), strings.HasSuffix(typ, "tool_result"):
			e.Need(used(typ, title))
		case strings.HasSuffix(typ, "tool_result_error"):
		default:
			e.Use(wire.Media)
		}
	}
}

// source is where an image or a document comes from; one made of blocks may
// hold others.
func (r *reader) source() {
	s := r.s
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "content" {
			r.content()
		} else {
			s.Other(name, sourceNames)
		}
	}
}

// change reads which tool is added to a conversation or taken from it. One that
// is defined here is offered like any other, and stays.
func (r *reader) change() {
	s, e := r.s, r.e
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "definition":
			s.Kind()
			from := s.Offset()
			if s.Object() {
				typ, title, bits := r.tool()
				e.AddTool(scan.Span{Start: from, End: s.Offset()}, -1, 0, typ, title, bits)
			}
		default:
			s.Other(name, changeNames)
		}
	}
}

// thinking reads whether the model is to think, and how much. It is the index-th
// member of the body, or of a fallback.
func (r *reader) thinking(index int, top bool) {
	s, e := r.s, r.e
	n := e.AddThinking(s.NameAt(), index, top)
	typ, counted := "", false
	if s.Object() {
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "type":
				typ, _, _ = s.Text()
			case "budget_tokens":
				if v, at, ok := s.Count(); ok {
					e.AddBudget(v, at, n)
					counted = true
				}
			default:
				s.Other(name, thinkingNames)
			}
		}
		if typ != "disabled" {
			e.Use(correction.ReasoningEffort)
			e.Effort = e.Effort || !counted
		}
	}
	e.Close(n, s.Offset())
}

// output reads how much effort the answer is worth, and what form it has.
func (r *reader) output() {
	s := r.s
	if !s.Object() {
		return
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "effort":
			if _, _, ok := s.Text(); ok {
				r.e.Use(correction.ReasoningEffort)
			}
		case "format":
			r.form()
		default:
			s.Other(name, outputNames)
		}
	}
}

// form reads over what prescribes the answer's form.
func (r *reader) form() {
	if !r.s.Null() {
		r.s.Skip()
		r.e.Use(correction.StructuredOutput)
	}
}
