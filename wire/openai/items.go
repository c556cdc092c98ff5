package openai

import (
	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

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

// message reads a member of a chat message.
func (r *reader) message(name []byte) bool {
	switch string(name) {
	case "content":
		r.e.Use(r.content())
	case "audio": // an earlier answer's, by its id
		if !r.s.Null() {
			r.s.Skip()
			r.e.Use(correction.AudioInput)
		}
	default:
		return false
	}
	return true
}

// content reads a text, or a list of parts, and says what they bring.
func (r *reader) content() (f correction.Features) {
	s := r.s
	switch s.Kind() {
	case '[':
		s.Array()
		for s.Element() {
			if s.Kind() == '{' {
				f |= r.part()
			} else {
				s.Skip()
			}
		}
	case '{':
		f = r.part()
	default:
		s.Skip()
	}
	return f
}

// part reads one part of a content. One without a type may be anything.
func (r *reader) part() (f correction.Features) {
	s := r.s
	typ := ""
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "type":
			typ, _, _ = s.Text()
		case "content", "output":
			f |= r.content()
		default:
			s.Other(name, partNames)
		}
	}
	switch typ {
	case "text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text", "thinking":
	case "image_url", "input_image", "image", "image_file", "video_url", "input_video", "computer_screenshot":
		f |= correction.ImageInput
	case "input_audio", "audio_url", "audio":
		f |= correction.AudioInput
	case "file", "input_file", "file_url", "document", "document_url":
		f |= correction.FileInput
	default:
		f |= wire.Media
	}
	return f
}

// items reads the input items of a response: messages, what a model put out
// before, references to stored items, and tools that are brought in midway,
// which stay where they are.
func (r *reader) items() {
	s, e := r.s, r.e
	if !s.Array() {
		return
	}
	for n := 0; s.Element(); n++ {
		e.Messages++
		s.Kind()
		from := s.Offset()
		if s.Object() && r.item() {
			e.Instructed(scan.Span{Start: from, End: s.Offset()})
		}
		if n == 0 {
			e.First = r.raw(scan.Span{Start: from, End: s.Offset()})
		}
	}
}

// item reads one. It reports whether it is a system message.
func (r *reader) item() bool {
	s, e := r.s, r.e
	var role, typ, id string
	var media, output, tools correction.Features
	offers := false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "role":
			role, _, _ = s.Text()
		case "type":
			typ, _, _ = s.Text()
		case "id":
			id, _, _ = s.Text()
		case "content":
			media |= r.content()
		case "output":
			output |= r.content()
		case "tools":
			had, many := e.Features, r.many
			tools |= r.tools(inside, 0)
			e.Features, r.many = had, many
			offers = true
		default:
			s.Other(name, itemNames)
		}
	}
	if offers && tools != 0 {
		if typ == "mcp_list_tools" {
			tools = correction.MCP // those of a server, as it listed them
		} else {
			r.many = true
			e.Keep() // what is said of the list of tools holds for these
		}
		e.Use(correction.Tools | tools)
		e.Unnamed()
	}
	system := e.Turn(role, "assistant")
	switch {
	case typ == "item_reference", typ == "" && role == "" && id != "":
		// A reference's type may be left out.
		e.Continues, e.Prior = true, true
		e.Use(correction.StoredConversations)
	case typ != "" && typ != "message" && role == "":
		e.Prior = true
	}
	e.Use(media | brings(typ, output))
	return system
}

// brings says what an input item of this type brings beside its content; output
// is what its output would bring, if that is made of parts.
func brings(typ string, output correction.Features) correction.Features {
	switch typ {
	case "function_call_output", "custom_tool_call_output":
		return output
	case "computer_call_output", "image_generation_call":
		return correction.ImageInput
	case "", "message", "item_reference", "reasoning", "function_call", "custom_tool_call", "web_search_call", "file_search_call",
		"computer_call", "code_interpreter_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
		"apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call",
		"tool_search_call", "tool_search_output", "additional_tools", "compaction", "compaction_trigger", "program", "program_output":
		return 0
	}
	return wire.Media
}
