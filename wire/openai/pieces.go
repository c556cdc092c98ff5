package openai

import (
	"bytes"
	"strings"

	"andon/correction"
	"andon/wire"
)

// The running texts of a choice.
var (
	contentText   = wire.Name("content")
	tokensText    = wire.Name("logprobs")
	toolNameText  = wire.Name("tool_name")
	argumentsText = wire.Name("arguments")
)

type pieces struct{ wire.PieceReader }

// AppendPieces reads chat chunks and completions, the events and objects of the
// responses API, and whatever else this API answers: what it does not know is
// taken for text. The texts of one choice, and of one output item's content part,
// are running; what an event repeats as a whole is whole.
func (a api) AppendPieces(dst []wire.Piece, rt wire.Route, data []byte, scratch *[]byte) []wire.Piece {
	if rt.API == Realtime {
		return a.appendRealtime(dst, data, scratch)
	}
	bare := bytes.TrimSpace(data)
	if len(bare) == 0 {
		return dst
	}
	if string(bare) == "[DONE]" {
		return append(dst, wire.Piece{Kind: wire.PieceEnd, Channel: wire.Channel{Group: wire.EveryGroup}})
	}
	if strings.HasPrefix(rt.API, "openai.audio.trans") && bare[0] != '{' {
		return append(dst, wire.Piece{Kind: wire.PieceText, Fixed: true, Text: data}) // a transcript as plain text
	}
	r := pieces{wire.ReadPieces(dst, data, scratch)}
	if r.S.Kind() == '{' {
		r.object(answer)
	} else {
		r.Walk(0, wire.Channel{}, 0)
	}
	return r.Done(scratch)
}

// level is what an object is.
type level uint8

const (
	answer level = iota // or an event
	item                // an unknown type is a tool's, for all that is known
	part
)

// requested says whether a member of an answer repeats what the request said.
func requested(name []byte, kind byte) bool {
	switch string(name) {
	case "instructions", "metadata", "tool_choice", "user", "safety_identifier", "prompt_cache_key", "truncation", "include":
		return true
	case "prompt", "conversation":
		return kind == '{'
	}
	return false
}

// object reads an answer, an event, an output item or a content part: they name
// different things, and none means two.
func (r *pieces) object(level level) {
	s := r.S
	s.Object()
	from := len(r.Dst)
	typ := ""
	var group, sub uint32
	deltaFrom, deltaTo := 0, 0
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "type":
			typ = r.Token()
		case "output_index":
			group = r.Index()
		case "content_index", "summary_index", "command_index":
			sub += wire.Nth(r.Index())
		case "choices":
			r.choices()
		case "delta":
			deltaFrom = len(r.Dst)
			r.Walk(0, wire.Channel{Text: wire.Name("delta")}, wire.Running)
			deltaTo = len(r.Dst)
		case "response", "body": // in a batch's line, one in the other
			r.objects(answer)
		case "item", "output", "data":
			r.objects(item)
		case "part", "content":
			r.objects(part)
		case "summary":
			r.Walk(wire.PieceReasoning, wire.Channel{Group: wire.Name(name)}, 0)
		case "logprobs":
			r.Tokens(wire.Channel{})
		case "name", "server_label", "namespace":
			if !r.String(wire.PieceToolName, wire.Channel{Group: wire.Name(name)}, wire.Fixed) {
				r.Walk(wire.PieceToolArguments, wire.Channel{Group: wire.Name(name)}, wire.Fixed)
			}
		case "arguments", "input", "action", "operation", "queries":
			mode := wire.Fixed
			if kind != '"' && (string(name) == "arguments" || string(name) == "input") {
				mode |= wire.Every // names of its members are the model's own
			}
			r.Walk(wire.PieceToolArguments, wire.Channel{Group: wire.Name(name)}, mode)
		case "outputs", "results", "error":
			r.Walk(wire.PieceOther, wire.Channel{Group: wire.Name(name)}, 0)
		case "usage":
			s.Skip()
		case "tools":
			if kind == '[' {
				s.Skip()
			} else {
				r.Walk(0, wire.Channel{Group: wire.Name(name)}, 0)
			}
		case "text", "reasoning":
			if kind == '{' {
				r.configured()
			} else {
				r.Walk(0, wire.Channel{Group: wire.Name(name)}, 0)
			}
		default:
			switch {
			case level == answer && requested(name, kind):
				s.Skip()
			case kind == '"' && (wire.Unsaid(name) || string(name) == "result" && typ == "image_generation_call"):
				s.Skip()
			default:
				r.Walk(0, wire.Channel{Group: wire.Name(name)}, 0)
			}
		}
	}
	r.typed(typ, from, level)
	r.continued(typ, from, deltaFrom, deltaTo, wire.Channel{Group: group, Text: sub})
}

// continued says of the pieces of an event which texts they continue or end. at
// has the event's indices.
func (r *pieces) continued(typ string, from, deltaFrom, deltaTo int, at wire.Channel) {
	event, running := strings.CutSuffix(typ, ".delta")
	if running && (event == "response.audio" || event == "response.output_audio" || event == "speech.audio") {
		r.Dst = append(r.Dst[:deltaFrom], r.Dst[deltaTo:]...) // sound in Base64
		return
	}
	if running || deltaTo > deltaFrom {
		at.Text += wire.Name(event)
		for i := from; i < len(r.Dst); i++ {
			p := &r.Dst[i]
			switch {
			case p.Kind == wire.PieceTool || p.Kind == wire.PieceToolName:
			case p.Spelled && p.At.End > 0: // an alternative
			case p.Spelled:
				p.Channel = wire.Channel{Group: at.Group | wire.Besides, Text: at.Text + tokensText}
			case i >= deltaFrom && i < deltaTo:
				p.Channel = wire.Channel{Group: at.Group, Text: at.Text + p.Channel.Text - wire.Name("delta")}
			default: // an unknown member of a delta continues, too
				p.Channel = wire.Channel{Group: at.Group, Text: at.Text + p.Channel.Group}
			}
		}
		return
	}
	switch typ {
	case "response.output_item.added", "response.content_part.added", "response.reasoning_summary_part.added":
		r.begun(typ, from, at)
		return
	}
	switch event, done := strings.CutSuffix(typ, ".done"); {
	case typ == "response.output_item.done":
		at.Text = 0
	case typ == "response.completed", typ == "response.failed", typ == "response.incomplete":
		at = wire.Channel{Group: wire.EveryGroup}
	case done:
		at.Text += wire.Name(event)
	default:
		return
	}
	r.End(at)
	if at.Group |= wire.Besides; at.Text != 0 {
		at.Text += tokensText
	}
	r.End(at)
}

// objects reads a list of objects, or one, or whatever else is there.
func (r *pieces) objects(level level) {
	s := r.S
	switch s.Kind() {
	case '{':
		r.object(level)
	case '[':
		s.Array()
		for s.Element() {
			if s.Kind() == '{' {
				r.object(level)
			} else {
				r.Walk(0, wire.Channel{}, 0)
			}
		}
	default:
		r.Walk(0, wire.Channel{}, 0)
	}
}

// configured reads a text or a reasoning that is an object. How it was asked for
// is what the request said.
func (r *pieces) configured() {
	s := r.S
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "format", "verbosity", "effort", "summary", "generate_summary", "context":
			s.Skip()
		default:
			r.Walk(0, wire.Channel{Group: wire.Name(name)}, 0)
		}
	}
}

// typed gives the pieces of an object their kinds by its type, and tells the
// tool call that it is.
func (r *pieces) typed(typ string, from int, level level) {
	call, f := "", correction.Features(0)
	if event, ok := strings.CutPrefix(typ, "response."); ok {
		event, _, _ = strings.Cut(event, ".")
		if i := strings.Index(event, "_call"); i > 0 {
			call = event[:i+len("_call")]
		} else if event == "mcp_list_tools" {
			call = event
		}
		f = toolOf(call)
	} else if level != part && typ != "" {
		call = strings.TrimSuffix(typ, "_output")
		if f = toolOf(call); f == 0 {
			call = ""
		}
	}
	for i := from; i < len(r.Dst); i++ {
		if p := &r.Dst[i]; p.Kind == wire.PieceToolName && p.Tool == 0 {
			if p.Tool = f | correction.Tools; f == 0 {
				p.Kind, p.Tool, p.Fixed = wire.PieceOther, 0, false
			}
		}
	}
	switch t := typ; {
	case strings.Contains(t, "reasoning") || t == "summary_text":
		r.Sort(from, wire.PieceReasoning, false)
	case strings.Contains(t, "refusal"):
		r.Sort(from, wire.PieceRefusal, false)
	case strings.Contains(t, "_output") && !strings.Contains(t, "output_text"):
		r.Sort(from, wire.PieceOther, false)
	case f != 0:
		r.Sort(from, wire.PieceToolArguments, true)
	case strings.Contains(t, "text") || strings.Contains(t, "transcript") || t == "message":
		r.Sort(from, wire.PieceText, false)
	}
	if f != 0 {
		r.Tool(strings.TrimSuffix(call, "_call"), f)
	}
}

// toolOf is the feature of a call by its type; 0 if it is none. A type that is
// not known may be any tool's.
func toolOf(call string) correction.Features {
	switch call {
	case "", "error", "message", "reasoning", "compaction", "item_reference", "text", "output_text", "input_text", "refusal", "summary_text",
		"reasoning_text", "input_image", "input_file", "input_audio", "output_audio", "file", "moderation", "list":
		return 0
	case "function_call", "custom_tool_call", "function", "custom":
		return correction.Tools | correction.FunctionTools
	case "web_search_call":
		return correction.Tools | correction.WebSearch
	case "file_search_call":
		return correction.Tools | correction.FileSearch
	case "code_interpreter_call", "local_shell_call", "shell_call", "program":
		return correction.Tools | correction.CodeExecution
	case "computer_call", "apply_patch_call":
		return correction.Tools | correction.ComputerUse
	case "mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response":
		return correction.Tools | correction.MCP
	case "image_generation_call", "tool_search_call", "tool_search", "multi_agent_call", "additional_tools":
		return correction.Tools
	}
	if strings.Contains(call, ".") {
		return 0 // an event of another API
	}
	return wire.AllTools
}

// choices reads the choices of a chat or a legacy completion.
func (r *pieces) choices() {
	s := r.S
	if s.Kind() != '[' {
		r.Walk(wire.PieceText, wire.Channel{}, 0)
		return
	}
	s.Array()
	for s.Element() {
		if s.Kind() != '{' {
			r.Walk(wire.PieceText, wire.Channel{}, 0)
			continue
		}
		s.Object()
		from := len(r.Dst)
		group, over := uint32(0), false
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			kind := s.Kind()
			switch string(name) {
			case "index":
				group = r.Index()
			case "delta", "message":
				if kind == '{' {
					r.message()
				} else {
					r.Walk(wire.PieceText, wire.Channel{Text: wire.Name(name)}, wire.Running)
				}
			case "logprobs":
				r.Tokens(wire.Channel{Text: tokensText})
			case "finish_reason":
				over = kind == '"'
				s.Skip()
			default:
				if kind == '"' && wire.Unsaid(name) {
					s.Skip()
				} else {
					r.Walk(wire.PieceText, wire.Channel{Text: wire.Name(name)}, wire.Running) // "text" among them
				}
			}
		}
		r.Shift(from, wire.Channel{Group: group})
		if over {
			r.End(wire.Channel{Group: group})
			r.End(wire.Channel{Group: group | wire.Besides})
		}
	}
}

// message reads a message or a part of one.
func (r *pieces) message() {
	s := r.S
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		ch := wire.Channel{Text: wire.Name(name)}
		kind := wire.PieceText
		switch string(name) {
		case "refusal":
			kind = wire.PieceRefusal
		case "reasoning", "reasoning_content", "reasoning_details", "reasoning_text", "thinking", "thinking_blocks":
			kind = wire.PieceReasoning
		case "annotations", "citations", "context", "search_results":
			r.Walk(wire.PieceOther, wire.Channel{}, 0)
			continue
		case "tool_calls":
			r.calls()
			continue
		case "function_call":
			if s.Kind() == '{' {
				r.call(wire.Channel{Text: ch.Text}, false)
				continue
			}
		case "role", "id", "type":
			if s.Kind() == '"' {
				s.Skip()
				continue
			}
		case "audio":
			if s.Kind() == '{' {
				r.audio()
				continue
			}
		}
		if s.Kind() == '"' && wire.Unsaid(name) {
			s.Skip()
			continue
		}
		r.Walk(kind, ch, wire.Running)
	}
}

func (r *pieces) audio() {
	s := r.S
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "data" || string(name) == "id" {
			s.Skip()
		} else {
			r.Walk(wire.PieceText, wire.Channel{Text: wire.Name("audio") + wire.Name(name)}, wire.Running)
		}
	}
}

// calls reads the tool calls of a chat message, each of which may come in parts.
func (r *pieces) calls() {
	s := r.S
	if s.Kind() != '[' {
		r.Walk(wire.PieceToolArguments, wire.Channel{}, wire.Fixed|wire.Every)
		return
	}
	s.Array()
	for n := uint32(0); s.Element(); n++ {
		from := len(r.Dst)
		index, ok := r.call(wire.Channel{}, false)
		if !ok {
			index = n
		}
		r.Shift(from, wire.Channel{Text: wire.Nth(index)})
	}
}

// call reads one tool call, whose name and arguments stand in it or in an inner
// object.
func (r *pieces) call(ch wire.Channel, inner bool) (index uint32, indexed bool) {
	s := r.S
	if s.Kind() != '{' {
		r.Walk(wire.PieceToolArguments, wire.Channel{}, wire.Fixed|wire.Every)
		return 0, false
	}
	s.Object()
	from := len(r.Dst)
	typ := "function"
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "index":
			if kind == 0 {
				index, indexed = r.Index(), true
				continue
			}
		case "id":
			if kind == '"' {
				s.Skip()
				continue
			}
		case "type":
			if t := r.Token(); t != "" {
				typ = t
			}
			continue
		case "function", "custom":
			if kind == '{' && !inner {
				r.call(ch, true)
				continue
			}
		case "name":
			if kind == '"' {
				r.String(wire.PieceToolName, wire.Channel{Text: ch.Text + toolNameText}, wire.Fixed)
				continue
			}
		case "arguments", "input":
			if kind == '"' {
				r.String(wire.PieceToolArguments, wire.Channel{Text: ch.Text + argumentsText}, wire.Fixed)
				continue
			}
		}
		r.Walk(wire.PieceToolArguments, wire.Channel{Text: ch.Text + wire.Name(name)}, wire.Running|wire.Fixed|wire.Every)
	}
	if inner {
		return 0, false
	}
	f := toolOf(typ)
	if f == 0 {
		f = wire.AllTools
	}
	for i := from; i < len(r.Dst); i++ {
		if p := &r.Dst[i]; p.Kind == wire.PieceToolName {
			p.Tool = f
		}
	}
	r.Tool(typ, f)
	return index, indexed
}

// AppendInputs is wire.AppendInputs.
func (api) AppendInputs(dst []wire.Piece, _ wire.Route, body []byte, scratch *[]byte) []wire.Piece {
	return wire.AppendInputs(dst, body, scratch)
}
