package gemini

import (
	"math"
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// configs is how many members of a generation's configuration have two
// spellings.
const configs = 11

// setting reads one member of a generation's configuration.
func (r *reader) setting(name []byte, seen *[configs]bool) {
	s, e := r.s, r.e
	switch string(name) {
	case "temperature":
		e.ReadTemperature(s)
	case "logprobs":
		if _, _, ok := s.Count(); ok {
			e.Use(correction.Logprobs)
		}
	case "maxOutputTokens", "max_output_tokens":
		r.once(&seen[0])
		v, at, ok := s.Count()
		if !ok {
			e.MaxNull = at
			return
		}
		e.Boundless = v == 0
		e.MaxTokens = max(e.MaxTokens, v)
		e.MaxAt = append(e.MaxAt, at)
	case "candidateCount", "candidate_count":
		r.once(&seen[1])
		e.ReadChoices(s)
	case "thinkingConfig", "thinking_config":
		r.once(&seen[2])
		r.thinking()
	case "responseMimeType", "response_mime_type":
		r.once(&seen[3])
		if v, _, _ := s.Text(); v != "" && v != "text/plain" {
			e.Use(correction.StructuredOutput)
		}
	case "responseSchema", "response_schema":
		r.once(&seen[4])
		r.asked(correction.StructuredOutput)
	case "responseJsonSchema", "response_json_schema":
		r.once(&seen[5])
		r.asked(correction.StructuredOutput)
	case "_responseJsonSchema", "_response_json_schema": // a member of its own, of that name
		r.once(&seen[6])
		r.asked(correction.StructuredOutput)
	case "responseModalities", "response_modalities":
		r.once(&seen[7])
		r.modalities()
	case "responseLogprobs", "response_logprobs":
		r.once(&seen[8])
		if s.Flag() {
			e.Use(correction.Logprobs)
		}
	case "speechConfig", "speech_config":
		r.once(&seen[9])
		r.asked(correction.AudioOutput)
	case "imageConfig", "image_config":
		r.once(&seen[10])
		r.asked(correction.ImageOutput)
	default:
		s.Other(name, configNames)
	}
}

// asked reads over a value that asks for something, unless it is null.
func (r *reader) asked(f correction.Features) {
	if !r.s.Null() {
		r.s.Skip()
		r.e.Use(f)
	}
}

// modalities are what the answer is to be made of. An enumeration may be given
// as a number, which is not told apart here.
func (r *reader) modalities() {
	s := r.s
	if !s.Array() {
		return
	}
	for s.Element() {
		v := ""
		if s.Kind() == '"' {
			v, _, _ = s.Text()
		} else {
			s.Skip()
		}
		switch strings.ToUpper(v) {
		case "TEXT", "MODALITY_UNSPECIFIED":
		case "AUDIO":
			r.e.Use(correction.AudioOutput)
		case "IMAGE", "VIDEO":
			r.e.Use(correction.ImageOutput)
		default:
			r.e.Use(correction.AudioOutput | correction.ImageOutput)
		}
	}
}

// thinking reads whether the model is to think, and how much: a number, where -1
// leaves it to the model and 0 is not at all, or a level.
func (r *reader) thinking() {
	s, e := r.s, r.e
	if !s.Object() {
		return
	}
	var budget, level bool
	off := false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "thinkingBudget", "thinking_budget":
			r.once(&budget)
			v, at, ok := s.Int()
			switch {
			case !ok:
			case v < -1:
				s.Fail(scan.CodeValue, at.Start, `"thinkingBudget" must be at least -1, which leaves it to the model`)
			case v < 0:
				e.AddBudget(math.MaxInt64, at, -1)
			default:
				e.AddBudget(v, at, -1)
				off = v == 0
			}
		case "thinkingLevel", "thinking_level":
			had := s.Kind() != 'n'
			r.once(&level)
			s.Skip()
			level = had
			e.Effort = e.Effort || had
		default:
			s.Other(name, thinkingNames)
		}
	}
	if !off || level {
		e.Use(correction.ReasoningEffort)
	}
}

// instruction reads the instructions above the user's.
func (r *reader) instruction() {
	s := r.s
	if s.Null() {
		return
	}
	r.e.Use(correction.SystemPrompt)
	s.Kind()
	from := s.Offset()
	r.content()
	r.e.Instructed(scan.Span{Start: from, End: s.Offset()})
}

// message reads a member of a content.
func (r *reader) message(name []byte) bool {
	if string(name) != "parts" {
		return false
	}
	r.parts()
	return true
}

// content reads one content.
func (r *reader) content() {
	s := r.s
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "role" {
			s.Skip()
		} else if !r.message(name) {
			s.Other(name, contentNames)
		}
	}
}

// parts reads the parts of a content, or a part alone, which the API takes, too.
func (r *reader) parts() {
	s := r.s
	if s.Kind() != '[' {
		r.part()
		return
	}
	s.Array()
	for s.Element() {
		r.part()
	}
}

// part reads one part. What a tool was called with, and what it answered, is
// text; a conversation in which tools were called needs them.
func (r *reader) part() {
	s, e := r.s, r.e
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	var seen [8]bool
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		var needs correction.Features
		switch string(name) {
		case "inlineData", "inline_data":
			r.once(&seen[0])
			r.data()
			continue
		case "fileData", "file_data":
			r.once(&seen[1])
			r.data()
			continue
		case "functionResponse", "function_response":
			r.once(&seen[2])
			e.Need(called)
			r.response()
			continue
		case "functionCall", "function_call":
			r.once(&seen[3])
			needs = called
		case "executableCode", "executable_code":
			r.once(&seen[4])
			needs = correction.CodeExecution
		case "codeExecutionResult", "code_execution_result":
			r.once(&seen[5])
			needs = correction.CodeExecution
		case "toolCall", "tool_call":
			r.once(&seen[6])
			needs = wire.UnknownTool
		case "toolResponse", "tool_response":
			r.once(&seen[7])
			needs = wire.UnknownTool
		default:
			s.Other(name, partNames)
			continue
		}
		if !s.Null() {
			s.Skip()
			e.Need(needs)
		}
	}
}

// called is what a function that was called may be.
const called = correction.FunctionTools | correction.ComputerUse | correction.MCP

// data reads what kind of data is given, inline or by where it is.
func (r *reader) data() {
	s := r.s
	if !s.Object() {
		return
	}
	mime, seen := "", false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "mimeType", "mime_type":
			r.once(&seen)
			mime, _, _ = s.Text()
		default:
			s.Other(name, dataNames)
		}
	}
	r.e.Use(brings(mime))
}

// brings is the feature of a MIME type. One that says nothing may be anything.
func brings(mime string) correction.Features {
	top, _, _ := strings.Cut(mime, "/")
	switch {
	case strings.EqualFold(top, "image"), strings.EqualFold(top, "video"):
		return correction.ImageInput
	case strings.EqualFold(top, "audio"):
		return correction.AudioInput
	case strings.EqualFold(top, "text"), strings.EqualFold(top, "application") && !strings.EqualFold(mime, "application/octet-stream"):
		return correction.FileInput
	}
	return wire.Media
}

// response reads what a function answered, which may have parts.
func (r *reader) response() {
	s := r.s
	if !s.Object() {
		return
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "parts" {
			r.parts()
		} else {
			s.Other(name, responseNames)
		}
	}
}
