package gemini

import (
	"bytes"

	"andon/correction"
	"andon/wire"
)

var (
	sayText   = wire.Name("text")
	thinkText = wire.Name("thought")
)

type pieces struct{ wire.PieceReader }

// AppendPieces reads answers and the chunks of their streams, in both spellings.
// The text parts of a candidate are one running text, and its thoughts another.
func (api) AppendPieces(dst []wire.Piece, rt wire.Route, data []byte, scratch *[]byte) []wire.Piece {
	if len(bytes.TrimSpace(data)) == 0 {
		return dst
	}
	r := pieces{wire.ReadPieces(dst, data, scratch)}
	switch {
	case r.S.Kind() == '{':
		r.answer()
	case r.S.Kind() == '[': // a stream that is read as a whole
		r.S.Array()
		for r.S.Element() {
			if r.S.Kind() == '{' {
				r.answer()
			} else {
				r.Walk(0, wire.Channel{}, 0)
			}
		}
	default:
		r.Walk(0, wire.Channel{}, 0)
	}
	return r.Done(scratch)
}

// AppendInputs is wire.AppendInputs.
func (api) AppendInputs(dst []wire.Piece, _ wire.Route, body []byte, scratch *[]byte) []wire.Piece {
	return wire.AppendInputs(dst, body, scratch)
}

func (r *pieces) answer() {
	s := r.S
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "candidates":
			if kind == '[' {
				s.Array()
				for n := uint32(0); s.Element(); n++ {
					r.candidate(n)
				}
				continue
			}
		case "response": // of a batch
			if kind == '{' {
				r.answer()
				continue
			}
		case "usageMetadata", "usage_metadata":
			s.Skip()
			continue
		}
		if kind == '"' && wire.Unsaid(name) {
			s.Skip()
			continue
		}
		r.Walk(wire.PieceOther, wire.Channel{}, 0)
	}
}

// candidate reads one candidate; n is its place, where it has no index.
func (r *pieces) candidate(n uint32) {
	s := r.S
	if s.Kind() != '{' {
		r.Walk(wire.PieceText, wire.Channel{}, 0)
		return
	}
	s.Object()
	from := len(r.Dst)
	over := false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "index":
			n = r.Index()
			continue
		case "content":
			if kind == '{' {
				r.content()
				continue
			}
		case "finishReason", "finish_reason":
			over = kind == '"'
			s.Skip()
			continue
		case "groundingMetadata", "grounding_metadata":
			r.grounding()
			continue
		case "urlContextMetadata", "url_context_metadata":
			if kind == '{' {
				r.Tool("url_context", correction.WebSearch)
			}
		case "logprobsResult", "logprobs_result":
			r.Tokens(wire.Channel{Text: wire.Name("logprobs")})
			continue
		}
		if kind == '"' && wire.Unsaid(name) {
			s.Skip()
			continue
		}
		r.Walk(wire.PieceOther, wire.Channel{}, 0)
	}
	r.Shift(from, wire.Channel{Group: n})
	if over {
		r.End(wire.Channel{Group: n})
		r.End(wire.Channel{Group: n | wire.Besides})
	}
}

// grounding reads what an answer rests on, which tells the tool that found it.
func (r *pieces) grounding() {
	s := r.S
	if s.Kind() != '{' {
		r.Walk(wire.PieceOther, wire.Channel{}, 0)
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		from := len(r.Dst)
		kind := wire.PieceOther
		if n := string(name); n == "webSearchQueries" || n == "web_search_queries" || n == "retrievalQueries" || n == "retrieval_queries" {
			kind = wire.PieceToolArguments
		}
		web := string(name) == "webSearchQueries" || string(name) == "web_search_queries"
		retrieval := string(name) == "retrievalQueries" || string(name) == "retrieval_queries"
		r.Walk(kind, wire.Channel{}, 0)
		switch {
		case len(r.Dst) == from:
		case web:
			r.Tool("google_search", correction.WebSearch)
		case retrieval:
			r.Tool("retrieval", correction.FileSearch)
		}
	}
}

func (r *pieces) content() {
	s := r.S
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch {
		case string(name) == "role" && kind == '"':
			s.Skip()
		case string(name) == "parts" && kind == '[':
			s.Array()
			for s.Element() {
				r.part()
			}
		case string(name) == "parts" && kind == '{':
			r.part()
		default:
			r.Walk(wire.PieceText, wire.Channel{Text: wire.Name(name)}, wire.Running)
		}
	}
}

func (r *pieces) part() {
	s := r.S
	if s.Kind() != '{' {
		r.Walk(wire.PieceText, wire.Channel{Text: sayText}, wire.Running)
		return
	}
	s.Object()
	from := len(r.Dst)
	thought := false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch string(name) {
		case "text":
			if r.String(wire.PieceText, wire.Channel{Text: sayText}, wire.Running) {
				continue
			}
		case "thought":
			if kind == 't' || kind == 'f' {
				thought = kind == 't'
				s.Skip()
				continue
			}
		case "functionCall", "function_call":
			r.call("function", correction.FunctionTools)
			continue
		case "executableCode", "executable_code":
			r.call("code_execution", correction.CodeExecution)
			continue
		case "codeExecutionResult", "code_execution_result":
			r.Walk(wire.PieceOther, wire.Channel{}, 0)
			r.Tool("code_execution", correction.CodeExecution)
			continue
		case "toolCall", "tool_call", "toolResponse", "tool_response":
			r.call("tool", wire.AllTools)
			continue
		case "functionResponse", "function_response":
			r.Tool("function", correction.FunctionTools)
		case "inlineData", "inline_data", "fileData", "file_data", "videoMetadata", "video_metadata", "mediaResolution", "media_resolution":
			r.Walk(wire.PieceOther, wire.Channel{}, 0)
			continue
		}
		if kind == '"' && wire.Unsaid(name) {
			s.Skip()
			continue
		}
		r.Walk(wire.PieceText, wire.Channel{Text: wire.Name(name)}, wire.Running)
	}
	if thought {
		for i := from; i < len(r.Dst); i++ {
			if p := &r.Dst[i]; p.Kind == wire.PieceText {
				p.Kind = wire.PieceReasoning
				p.Channel.Text += thinkText
			}
		}
	}
}

// call reads a tool call: its name, and its arguments, which are an object or
// come in parts that say where in it they belong.
func (r *pieces) call(typ string, f correction.Features) {
	s := r.S
	f |= correction.Tools
	if s.Kind() != '{' {
		if s.Null() {
			return
		}
		r.Walk(wire.PieceToolArguments, wire.Channel{}, wire.Fixed|wire.Every)
		r.Tool(typ, f)
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		kind := s.Kind()
		switch {
		case kind == '"' && (string(name) == "name" || string(name) == "toolType" || string(name) == "tool_type"):
			at := len(r.Dst)
			if r.String(wire.PieceToolName, wire.Channel{}, wire.Fixed); len(r.Dst) > at {
				r.Dst[at].Tool = f
			}
		case kind == '"' && (string(name) == "id" || string(name) == "language"):
			s.Skip()
		case string(name) == "partialArgs" || string(name) == "partial_args":
			r.partial(wire.Channel{Text: wire.Name(name)})
		default:
			r.Walk(wire.PieceToolArguments, wire.Channel{}, wire.Fixed|wire.Every)
		}
	}
	r.Tool(typ, f)
}

// partial reads arguments that come in parts: one running text in the order in
// which they come, since their places in the list say nothing.
func (r *pieces) partial(ch wire.Channel) {
	const mode = wire.Running | wire.Fixed | wire.Every
	if r.S.Kind() != '[' {
		r.Walk(wire.PieceToolArguments, ch, mode)
		return
	}
	r.S.Array()
	for r.S.Element() {
		r.Walk(wire.PieceToolArguments, ch, mode)
	}
}
