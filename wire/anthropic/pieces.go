package anthropic

import (
	"bytes"
	"slices"
	"strings"

	"andon/correction"
	"andon/wire"
)

var (
	sayText       = wire.Name("text")
	thinkText     = wire.Name("thinking")
	argumentsText = wire.Name("partial_json")
)

type pieces struct{ wire.PieceReader }

// AppendPieces reads messages and the events of their streams. The text blocks
// of a message are one running text, since a sentence with quotations is spread
// over several blocks; each other block has its own.
func (api) AppendPieces(dst []wire.Piece, rt wire.Route, data []byte, scratch *[]byte) []wire.Piece {
	if len(bytes.TrimSpace(data)) == 0 {
		return dst
	}
	r := pieces{wire.ReadPieces(dst, data, scratch)}
	if r.S.Kind() == '{' {
		r.message()
	} else {
		r.Walk(0, wire.Channel{}, 0)
	}
	return r.Done(scratch)
}

// AppendInputs is wire.AppendInputs.
func (api) AppendInputs(dst []wire.Piece, _ wire.Route, body []byte, scratch *[]byte) []wire.Piece {
	return wire.AppendInputs(dst, body, scratch)
}

// message reads a message or an event: their members do not mean two things.
func (r *pieces) message() {
	s := r.S
	s.Object()
	from := len(r.Dst)
	typ, index := "", uint32(0)
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "type":
			typ = r.Token()
		case "index":
			index = r.Index()
		case "message", "result":
			if kind == '{' {
				r.message()
				continue
			}
			r.Walk(wire.PieceOther, wire.Channel{}, 0)
		case "content", "content_block":
			r.blocks()
		case "delta":
			r.delta()
		case "usage":
			s.Skip()
		default:
			if kind == '"' && wire.Unsaid(name) {
				s.Skip()
			} else {
				r.Walk(wire.PieceOther, wire.Channel{}, 0)
			}
		}
	}
	if index > 0 {
		for i := from; i < len(r.Dst); i++ {
			if p := &r.Dst[i]; p.Channel.Text != 0 && p.Channel.Text != sayText {
				p.Channel.Text += wire.Nth(index) - wire.Nth(0)
			}
		}
	}
	switch typ {
	case "content_block_stop":
		r.End(wire.Channel{Text: thinkText + wire.Nth(index)})
		r.End(wire.Channel{Text: argumentsText + wire.Nth(index)})
	case "message_stop", "message_delta":
		r.End(wire.Channel{Group: wire.EveryGroup})
	}
}

// blocks reads one block, or a list of them.
func (r *pieces) blocks() {
	s := r.S
	switch s.Kind() {
	case '{':
		r.block(0)
	case '[':
		s.Array()
		for n := uint32(0); s.Element(); n++ {
			if s.Kind() == '{' {
				r.block(n)
			} else {
				r.Walk(wire.PieceText, wire.Channel{}, 0)
			}
		}
	default:
		r.Walk(wire.PieceText, wire.Channel{}, 0)
	}
}

func (r *pieces) block(n uint32) {
	s := r.S
	s.Object()
	from := len(r.Dst)
	typ, tool := "", ""
	data, dataEnd := 0, 0
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "type":
			typ = r.Token()
			continue
		case "text":
			if r.String(wire.PieceText, wire.Channel{Text: sayText}, wire.Running) {
				continue
			}
		case "thinking":
			if r.String(wire.PieceReasoning, wire.Channel{Text: thinkText + wire.Nth(n)}, wire.Running) {
				continue
			}
		case "name", "server_name":
			if kind == '"' {
				at := len(r.Dst)
				r.String(wire.PieceToolName, wire.Channel{}, wire.Fixed)
				if len(r.Dst) > at && string(name) == "name" {
					tool = string(r.Dst[at].Text)
				}
				continue
			}
		case "input":
			r.Walk(wire.PieceToolArguments, wire.Channel{}, wire.Fixed|wire.Every)
			continue
		case "caller":
			s.Skip()
			continue
		case "data":
			data = len(r.Dst)
			r.Walk(wire.PieceOther, wire.Channel{}, 0)
			dataEnd = len(r.Dst)
			continue
		}
		if kind == '"' && wire.Unsaid(name) {
			s.Skip()
			continue
		}
		r.Walk(wire.PieceOther, wire.Channel{}, 0)
	}
	if wire.Sealed(typ) {
		r.Dst = slices.Delete(r.Dst, data, dataEnd)
	}
	f := toolOf(typ, tool)
	for i := from; i < len(r.Dst); i++ {
		if p := &r.Dst[i]; p.Kind == wire.PieceToolName {
			if p.Tool = f; f == 0 {
				p.Kind, p.Fixed = wire.PieceOther, false
			}
		}
	}
	if f != 0 {
		r.Tool(typ, f)
	}
}

// toolOf is the features of a block that is a tool's, its results included; 0 if
// it is none. A type that is not known may be any tool's. What the caller runs is
// a function also where it is one that the API describes itself.
func toolOf(typ, name string) correction.Features {
	const tools = correction.Tools
	switch typ {
	case "", "text", "thinking", "redacted_thinking", "compaction", "fallback", "document", "image", "search_result":
		return 0
	case "tool_use", "server_tool_use":
		f := tools
		if typ == "tool_use" {
			f |= correction.FunctionTools
		}
		switch {
		case name == "bash" || strings.Contains(name, "code_execution"):
			f |= correction.CodeExecution
		case name == "computer" || strings.HasPrefix(name, "str_replace"):
			f |= correction.ComputerUse
		case name == "web_search" || name == "web_fetch":
			f |= correction.WebSearch
		case typ == "server_tool_use" && !strings.HasPrefix(name, "tool_search") && name != "advisor" && name != "memory":
			f = wire.AllTools
		}
		return f
	case "mcp_tool_use", "mcp_tool_result":
		return tools | correction.MCP
	case "tool_result":
		return tools | correction.FunctionTools
	case "container_upload":
		return tools | correction.CodeExecution
	case "tool_search_tool_result", "advisor_tool_result", "tool_reference":
		return tools
	case "web_search_tool_result", "web_fetch_tool_result":
		return tools | correction.WebSearch
	}
	if strings.Contains(typ, "code_execution") {
		return tools | correction.CodeExecution
	}
	return wire.AllTools
}

// delta reads the delta of a block, or of the message.
func (r *pieces) delta() {
	s := r.S
	if s.Kind() != '{' {
		r.Walk(wire.PieceText, wire.Channel{Text: wire.Name("delta")}, wire.Running)
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "text":
			if r.String(wire.PieceText, wire.Channel{Text: sayText}, wire.Running) {
				continue
			}
		case "thinking":
			if r.String(wire.PieceReasoning, wire.Channel{Text: thinkText + wire.Nth(0)}, wire.Running) {
				continue
			}
		case "partial_json":
			if r.String(wire.PieceToolArguments, wire.Channel{Text: argumentsText + wire.Nth(0)}, wire.Running|wire.Fixed) {
				continue
			}
		case "citation", "stop_details", "stop_sequence", "container":
			r.Walk(wire.PieceOther, wire.Channel{}, 0)
			continue
		}
		if kind == '"' && wire.Unsaid(name) {
			s.Skip()
			continue
		}
		r.Walk(wire.PieceOther, wire.Channel{Text: wire.Name(name) + wire.Nth(0)}, wire.Running)
	}
}
