package openai

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// Realtime is the API of realtime sessions over a WebSocket.
const Realtime = "openai.realtime"

// ClientEvent is what is decided on in an event that a client sends in a
// realtime session. Envelope has what the event uses, and what Rewrite may
// change; its strings alias the event.
type ClientEvent struct {
	wire.Envelope
	Type    string
	ID      string // event_id, "" if none is given
	Audio   bool   // it carries sound
	Session bool   // it configures the session, and not one response
	Offers  bool   // it says which tools there are, if only that there are none
	Voice   Voice  // what answers are to be made of

	// Bound says that it sets or takes away a bound on output tokens.
	Bound bool
	// Transcribes says that the session is told to be one of transcription, which
	// makes no responses.
	Transcribes bool
}

// Voice is whether answers are spoken.
type Voice uint8

// What is known of it.
const (
	Unsaid Voice = iota
	Silent       // text alone
	Spoken
)

// Creates says whether the event asks for a response, as far as its type tells:
// one of a type that is not known may.
func (e *ClientEvent) Creates() bool {
	switch e.Type {
	case "session.update", "transcription_session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear",
		"output_audio_buffer.clear", "conversation.item.create", "conversation.item.retrieve", "conversation.item.truncate",
		"conversation.item.delete", "response.cancel":
		return false
	}
	return true
}

// realtimeNames is what something is decided on, at any level of an event.
var realtimeNames = scan.NewNames(false, "type", "event_id", "session", "response", "item", "model", "tools", "output_modalities", "modalities",
	"max_output_tokens", "max_response_output_tokens", "instructions", "prompt", "reasoning", "temperature", "content", "input", "role",
	"audio", "name", "server_label", "transcription", "input_audio_transcription", "parallel_tool_calls")

var realtimeTool = scan.NewNames(false, "type", "name", "server_label", "function")

// clientEvent reads one event.
type clientEvent struct {
	s *scan.Scanner
	e *ClientEvent
}

// ReadClientEvent reads an event that a client sends, in one strict pass, into e,
// which it resets first. Wherever an event may name a model, a tool or a bound,
// it is found, in events of types that are not known, too. The error is a *Problem.
func ReadClientEvent(data []byte, e *ClientEvent) error {
	env := e.Envelope
	*e = ClientEvent{Envelope: env}
	e.Reset()
	s := scan.New(data)
	defer s.Free()
	if s.Kind() != '{' {
		s.Fail(scan.CodeType, s.Offset(), "an event must be a JSON object")
	}
	r := clientEvent{s, e}
	r.object("")
	if err := s.End(); err != nil {
		return wire.BadBody(err)
	}
	e.Session = strings.HasSuffix(e.Type, "session.update")
	e.Settle()
	return nil
}

// object reads an object; in is the member that it stands in, "" for the event.
func (r *clientEvent) object(in string) {
	s, e := r.s, r.e
	if !s.Object() {
		return
	}
	typ, role := "", ""
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "type":
			if kind == '"' {
				typ, _, _ = s.Text()
			} else {
				s.Fail(scan.CodeType, s.Offset(), `"type" must be a string`)
			}
		case "event_id":
			if in == "" && kind == '"' {
				e.ID, _, _ = s.Text()
			} else {
				s.Skip()
			}
		case "role":
			if kind == '"' {
				role, _, _ = s.Text()
			} else {
				s.Skip()
			}
		case "model":
			r.model(in)
		case "tools":
			r.tools()
		case "output_modalities", "modalities":
			r.modalities()
		case "max_output_tokens", "max_response_output_tokens":
			r.bound()
		case "temperature":
			if e.TempAt.End > 0 {
				s.Fail(scan.CodeValue, s.Offset(), "the temperature is given twice")
			}
			e.ReadTemperature(s)
		case "instructions":
			if at := s.Skip(); at.End-at.Start > 2 && kind != 'n' {
				e.Use(correction.SystemPrompt)
				e.Instructed(at)
			}
		case "prompt":
			switch {
			case kind == 'n':
				s.Skip()
			case kind == '{' && (in == "session" || in == "response" || in == ""):
				e.Stored = true
				e.Use(wire.StoredPrompt)
				s.Skip()
			default:
				r.value(name) // a hint to a transcription
			}
		case "reasoning":
			if kind != 'n' {
				e.Use(correction.ReasoningEffort)
				e.Effort = true
			}
			s.Skip()
		case "audio":
			if kind == '"' { // of the buffer, or of a part
				e.Audio = true
				e.Use(correction.AudioInput)
				s.Skip()
			} else {
				r.value(name)
			}
		case "parallel_tool_calls":
			if kind == 't' {
				e.Use(correction.ParallelToolCalls)
			}
			s.Skip()
		case "metadata", "parameters", "arguments", "headers", "variables", "logit_bias", "authorization":
			s.Skip() // the caller's own
		case "session", "response", "item", "content", "input", "name", "server_label", "transcription", "input_audio_transcription":
			r.value(name)
		default:
			s.Distinct(name, realtimeNames)
			r.value(name)
		}
	}
	r.typed(in, typ, role)
}

// typed says what an object of this type brings.
func (r *clientEvent) typed(in, typ, role string) {
	e := r.e
	switch in {
	case "":
		e.Type = typ
		return
	case "session":
		e.Transcribes = typ == "transcription"
		return
	case "response":
		return
	}
	if role == "system" || role == "developer" {
		e.Use(correction.SystemPrompt)
	}
	switch typ {
	case "input_image":
		e.Use(correction.ImageInput)
	case "input_file":
		e.Use(correction.FileInput)
	case "input_audio":
		e.Audio = true
		e.Use(correction.AudioInput)
	case "mcp_approval_response", "mcp_call", "mcp_list_tools":
		e.Use(correction.Tools | correction.MCP)
	case "function_call", "function_call_output":
		e.Use(correction.Tools | correction.FunctionTools)
	}
}

// value reads a value whose name is not decided on, for what is inside it.
func (r *clientEvent) value(name []byte) {
	s := r.s
	switch s.Kind() {
	case '{':
		r.object(string(name))
	case '[':
		s.Array()
		for s.Element() {
			r.value(name)
		}
	default:
		s.Skip()
	}
}

// model reads the name of the session's model, or of one that serves beside it.
func (r *clientEvent) model(in string) {
	v, at, ok := r.s.Text()
	switch {
	case !ok:
	case v == "":
		r.s.Fail(scan.CodeValue, at.Start, `"model" must not be empty`)
	case in == "session" || in == "response" || in == "":
		if r.e.Model != "" {
			r.s.Fail(scan.CodeValue, at.Start, `an event may name its model once`)
		}
		r.e.Model, r.e.ModelAt = v, at
	default:
		r.e.Others = append(r.e.Others, v)
	}
}

// tools reads a list of tools.
func (r *clientEvent) tools() {
	s, e := r.s, r.e
	e.Offers = true
	if !s.Array() {
		return
	}
	for s.Element() {
		if s.Kind() != '{' {
			e.Use(correction.Tools | wire.UnknownTool)
			s.Skip()
			continue
		}
		typ := "function"
		s.Object()
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "type":
				typ, _, _ = s.Text()
			case "name", "server_label":
				if v, _, _ := s.Text(); v != "" {
					e.Tools = append(e.Tools, v)
				}
			case "function": // as in chat
				r.named()
			case "parameters", "headers", "authorization":
				s.Skip()
			default:
				s.Other(name, realtimeTool)
			}
		}
		e.Tools = append(e.Tools, typ)
		switch typ {
		case "function":
			e.Use(correction.Tools | correction.FunctionTools)
		case "mcp":
			e.Use(correction.Tools | correction.MCP)
		default:
			e.Use(correction.Tools | wire.UnknownTool)
		}
	}
}

func (r *clientEvent) named() {
	s := r.s
	if s.Kind() != '{' {
		s.Skip()
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) != "name" {
			s.Other(name, functionNames)
		} else if v, _, _ := s.Text(); v != "" {
			r.e.Tools = append(r.e.Tools, v)
		}
	}
}

// modalities reads what answers are to be made of. Whoever says it twice is
// heard both times.
func (r *clientEvent) modalities() {
	s, e := r.s, r.e
	if !s.Array() {
		return
	}
	voice := Unsaid
	for s.Element() {
		if v, _, ok := s.Text(); ok {
			if v == "text" {
				voice = max(voice, Silent)
			} else {
				voice = Spoken
			}
		}
	}
	e.Voice = max(e.Voice, voice)
}

// bound reads a bound on output tokens. "inf", like null, is none.
func (r *clientEvent) bound() {
	s, e := r.s, r.e
	e.Bound = true
	switch s.Kind() {
	case 0:
		v, at, ok := s.Count()
		if ok {
			e.Boundless = e.Boundless || v == 0
			e.MaxTokens = max(e.MaxTokens, v)
			e.MaxAt = append(e.MaxAt, at)
		}
	case '"', 'n':
		if e.MaxNull.End > 0 {
			s.Fail(scan.CodeValue, s.Offset(), "the bound on output tokens is given twice")
			return
		}
		at := scan.Span{Start: s.Offset()}
		if s.Kind() == '"' {
			if v, _, _ := s.Text(); v != "inf" {
				s.Fail(scan.CodeValue, at.Start, `the bound on output tokens must be a whole number or "inf"`)
			}
		} else {
			s.Skip()
		}
		at.End = s.Offset()
		e.MaxNull = at
	default:
		s.Fail(scan.CodeType, s.Offset(), `the bound on output tokens must be a whole number or "inf"`)
	}
}

// AppendRealtimeError appends the event by which a realtime session is told of
// an error: the API's own, of type error, with Andon's members inside its error
// object. event is the id of the client's event that it is about, "" for none.
func AppendRealtimeError(dst []byte, p *wire.Problem, event string) []byte {
	dst = append(dst, `{"type":"error","event_id":`...)
	dst = wire.AppendString(dst, "event_"+p.RequestID)
	dst = append(dst, `,"error":{"type":`...)
	kind := errorType(p.Status)
	if p.CorrectionID != "" {
		kind = "andon_correction"
	}
	dst = wire.AppendString(dst, kind)
	dst = append(dst, `,"message":`...)
	dst = wire.AppendString(dst, p.Message())
	dst = append(dst, `,"param":`...)
	dst = appendOrNull(dst, p.Param)
	dst = append(dst, `,"event_id":`...)
	dst = appendOrNull(dst, event)
	dst = p.AppendMembers(dst, "code", true)
	return append(dst, "}}"...)
}
