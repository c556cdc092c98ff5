package openai

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// shared reads the members that chat and responses have in common, and says
// whether name is one. The member is the index-th of the body.
func (r *reader) shared(name []byte, index int) bool {
	s, e := r.s, r.e
	switch string(name) {
	case "tool_choice":
		r.toolChoice(index)
	case "parallel_tool_calls":
		r.parallel(index)
	case "store":
		r.store()
	case "metadata":
		r.metadata()
	case "top_logprobs":
		if s.Kind() != 0 {
			r.asked(correction.Logprobs)
		} else if at := s.Skip(); string(s.Bytes(at)) != "0" {
			e.Use(correction.Logprobs)
		}
	case "modalities":
		r.modalities()
	default:
		return false
	}
	return true
}

// asked reads over a value that asks for something, unless it is null or false.
func (r *reader) asked(f correction.Features) {
	switch r.s.Kind() {
	case 'n', 'f':
	default:
		r.e.Use(f)
	}
	r.s.Skip()
}

// store reads whether the provider keeps the answer; responses do unless told.
func (r *reader) store() {
	s := r.s
	null := s.Kind() == 'n'
	from := s.Offset()
	switch on := s.Flag(); {
	case on:
		r.e.Store = wire.Fix{At: scan.Span{Start: from, End: s.Offset()}, Text: "false"}
	case null:
		r.nullStore = scan.Span{Start: from, End: s.Offset()}
	default:
		r.unstored = true
	}
}

// metadata is the caller's own, and names in it mean what the caller likes; two
// are in use for sessions.
func (r *reader) metadata() {
	s := r.s
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if n := string(name); n != "session_id" && n != "conversation_id" || s.Kind() != '"' {
			s.Skip()
		} else if v, _, _ := s.Text(); v != "" {
			r.e.GoesOn("metadata", v)
		}
	}
}

// modalities are what the answer is to be made of.
func (r *reader) modalities() {
	s := r.s
	if !s.Array() {
		return
	}
	for s.Element() {
		v, _, _ := s.Text()
		switch strings.ToLower(v) {
		case "text":
		case "audio":
			r.e.Use(correction.AudioOutput)
		case "image", "video":
			r.e.Use(correction.ImageOutput)
		default:
			r.e.Use(correction.AudioOutput | correction.ImageOutput)
		}
	}
}

// effort reads how much reasoning is asked for, in words.
func (r *reader) effort() {
	v, _, ok := r.s.Text()
	if !ok || v == "none" {
		return
	}
	r.e.Use(correction.ReasoningEffort)
	r.e.Effort = r.e.Effort || v != "minimal"
}

// reasoning reads the object that asks for reasoning. Some compatible routers
// take a number in it.
func (r *reader) reasoning() {
	s, e := r.s, r.e
	if s.Kind() != '{' {
		e.Effort = e.Effort || s.Kind() != 'n' && s.Kind() != 'f'
		r.asked(correction.ReasoningEffort)
		return
	}
	effort, off := "", false
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "effort":
			effort, _, _ = s.Text()
		case "mode":
			if v, _, ok := s.Text(); ok && v != "standard" {
				e.Effort = true
			}
		case "max_tokens":
			if v, at, ok := s.Count(); ok {
				e.AddBudget(v, at, -1)
			}
		case "enabled":
			null := s.Kind() == 'n'
			off = !s.Flag() && !null
		default:
			s.Other(name, reasoningNames)
		}
	}
	if effort == "none" || effort == "" && off {
		return
	}
	e.Use(correction.ReasoningEffort)
	e.Effort = e.Effort || effort != "" && effort != "minimal"
}

// thinking is how some compatible servers are asked for reasoning.
func (r *reader) thinking() {
	s, e := r.s, r.e
	if s.Kind() != '{' {
		e.Effort = e.Effort || s.Kind() != 'n' && s.Kind() != 'f'
		r.asked(correction.ReasoningEffort)
		return
	}
	typ := ""
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "type" {
			typ, _, _ = s.Text()
		} else {
			s.Other(name, formNames)
		}
	}
	if typ != "disabled" {
		e.Use(correction.ReasoningEffort)
		e.Effort = true
	}
}

// goesOn notes what the provider keeps and this call goes on with.
func (r *reader) goesOn(kind, id string) {
	r.e.Continues = true
	r.e.Use(correction.StoredConversations)
	if id != "" {
		r.e.GoesOn(kind, id)
	}
}

// conversation is an id, or an object that holds one.
func (r *reader) conversation() {
	s := r.s
	id := ""
	switch s.Kind() {
	case 'n':
		s.Skip()
		return
	case '"':
		id, _, _ = s.Text()
	case '{':
		s.Object()
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			if string(name) == "id" {
				id, _, _ = s.Text()
			} else {
				s.Other(name, idNames)
			}
		}
	default:
		s.Skip()
	}
	r.goesOn("conversation", id)
}

// instructions are a text, or items as they come back in an answer.
func (r *reader) instructions() {
	s := r.s
	if s.Null() {
		return
	}
	if s.Kind() == '"' {
		if v := s.Skip(); v.End-v.Start > 2 {
			r.e.Use(correction.SystemPrompt)
			r.e.Instructed(v)
		}
		return
	}
	from := s.Offset()
	r.e.Use(correction.SystemPrompt | r.content())
	r.e.Instructed(scan.Span{Start: from, End: s.Offset()})
}

// include lists what an answer is to hold beside what it holds anyway.
func (r *reader) include() {
	s := r.s
	if !s.Array() {
		return
	}
	for s.Element() {
		if v, _, _ := s.Text(); v == "message.output_text.logprobs" {
			r.e.Use(correction.Logprobs)
		}
	}
}

// text reads the form of the text that is asked for.
func (r *reader) text() {
	s := r.s
	if !s.Object() {
		return
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "format" {
			r.e.ReadForm(s, formNames)
		} else {
			s.Other(name, textNames)
		}
	}
}
