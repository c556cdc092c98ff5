package anthropic

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// families are the tools that the API has, whose types end with the date of
// their version. A shell and an editor count as what they do, whoever runs them;
// what searches for tools is a function, since what it finds are mostly those;
// an advisor is a model, and no kind of tool but a tool.
var families = []struct {
	name string
	bits correction.Features
}{
	{"bash_", correction.CodeExecution},
	{"code_execution_", correction.CodeExecution},
	{"text_editor_", correction.ComputerUse},
	{"computer_", correction.ComputerUse},
	{"computer_toolset_", correction.ComputerUse},
	{"browser_toolset_", correction.ComputerUse},
	{"memory_", correction.FunctionTools},
	{"web_search_", correction.WebSearch},
	{"web_fetch_", correction.WebSearch},
	{"tool_search_tool_regex_", correction.FunctionTools},
	{"tool_search_tool_bm25_", correction.FunctionTools},
	{"advisor_", 0},
}

// filtering is the first version of web_search and web_fetch that runs code over
// what it finds.
const filtering = "20260209"

// ToolFeatures says what a tool of this type is, as requests name types. A type
// that is not documented may be anything.
func ToolFeatures(typ string) correction.Features {
	switch typ {
	case "", "custom", "tool_search_tool_regex", "tool_search_tool_bm25":
		return correction.FunctionTools
	case "mcp_toolset":
		return correction.MCP
	}
	for _, f := range families {
		version, ok := strings.CutPrefix(typ, f.name)
		if !ok || !dated(version) {
			continue
		}
		if f.bits == correction.WebSearch && version >= filtering {
			return f.bits | correction.CodeExecution
		}
		return f.bits
	}
	return wire.UnknownTool
}

func dated(v string) bool {
	for i := range len(v) {
		if v[i]-'0' > 9 {
			return false
		}
	}
	return len(v) == 8
}

// tools reads the list of tools, the index-th member of the body.
func (r *reader) tools(index int) {
	s, e := r.s, r.e
	n := e.AddList(s.NameAt(), -1, index, wire.ListTools)
	if s.Array() {
		for i := 0; s.Element(); i++ {
			e.HasTools = true
			s.Kind()
			from := s.Offset()
			if !s.Object() {
				e.Keep() // null is no tool
				continue
			}
			typ, title, bits := r.tool()
			e.AddTool(scan.Span{Start: from, End: s.Offset()}, n, i, typ, title, bits)
		}
	}
	e.Close(n, s.Offset())
}

// tool reads the members of one tool. A tool without a type is a custom one, as
// the API has it. An advisor brings a model of its own. A toolset is called by
// the name of its server.
func (r *reader) tool() (typ, title string, bits correction.Features) {
	s, e := r.s, r.e
	direct := false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "type":
			typ, _, _ = s.Text()
		case "name", "mcp_server_name":
			if v, _, ok := s.Text(); ok {
				title = v
			}
		case "model":
			if v, _, ok := s.Text(); ok {
				e.Others = append(e.Others, v)
			}
		case "max_tokens":
			if v, at, ok := s.Count(); ok {
				r.limit(v, at)
			}
		case "allowed_callers":
			direct = r.callers()
		case "defer_loading":
			if s.Flag() {
				e.Keep()
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
	bits = ToolFeatures(typ)
	if direct && bits == correction.WebSearch|correction.CodeExecution {
		bits = correction.WebSearch
	}
	return typ, title, bits
}

// callers reads who may call a tool, and says whether that is the model alone.
// A tool that code may call needs the tool that runs the code.
func (r *reader) callers() (direct bool) {
	s := r.s
	if !s.Array() {
		return false
	}
	n := 0
	direct = true
	for ; s.Element(); n++ {
		if v, _, ok := s.Text(); ok && v != "direct" {
			r.e.Keep()
			direct = false
		}
	}
	return direct && n > 0
}

// servers reads the MCP servers, each of which is a bundle of tools: type "mcp"
// and the server's name.
func (r *reader) servers(index int) {
	s, e := r.s, r.e
	n := e.AddList(s.NameAt(), -1, index, wire.ListServers)
	if s.Array() {
		for i := 0; s.Element(); i++ {
			e.HasTools = true
			if i == 0 {
				e.Tools = append(e.Tools, "mcp")
			}
			s.Kind()
			from, title := s.Offset(), ""
			if s.Object() {
				for name, ok := s.Member(); ok; name, ok = s.Member() {
					if string(name) != "name" {
						s.Other(name, serverNames)
					} else if v, _, _ := s.Text(); v != "" {
						title = v
						e.Tools = append(e.Tools, v)
					}
				}
			}
			e.AddTool(scan.Span{Start: from, End: s.Offset()}, n, i, "mcp", title, correction.MCP)
		}
	}
	e.Close(n, s.Offset())
}

// choice reads the choice of a tool, and where it says whether several may be
// called in one turn.
func (r *reader) choice(index int) {
	const serially = `"disable_parallel_tool_use":true,`
	s, e := r.s, r.e
	n := e.AddPointer(s.NameAt(), -1, index, wire.ListTools|wire.ListServers)
	s.Kind()
	from := s.Offset()
	switch {
	case s.Null():
		e.Parallel = wire.Fix{At: scan.Span{Start: from, End: s.Offset()}, Text: serialChoice}
	case s.Object():
		typ, open := "", s.Offset()
		e.Parallel = wire.Fix{At: scan.Span{Start: open, End: open}, Text: serially}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "type":
				typ, _, _ = s.Text()
			case "disable_parallel_tool_use":
				s.Kind()
				from := s.Offset()
				if s.Flag() {
					r.serial = true
				} else {
					e.Parallel = wire.Fix{At: scan.Span{Start: from, End: s.Offset()}, Text: "true"}
				}
			default:
				s.Other(name, choiceNames)
			}
		}
		switch typ {
		case "auto":
		case "none":
			r.serial = true // no tool is called at all
		default:
			e.Keep()
			e.Use(correction.Tools)
		}
		if typ == "" {
			r.odd = true
		}
	}
	e.Close(n, s.Offset())
}

// used says what an earlier call of a tool needs to be offered still. A tool
// that the caller runs is known by its name alone.
func used(typ, name string) correction.Features {
	switch typ {
	case "tool_use", "tool_result":
		return correction.FunctionTools | correction.CodeExecution | correction.ComputerUse
	case "mcp_tool_use", "mcp_tool_result":
		return correction.MCP
	case "web_search_tool_result", "web_fetch_tool_result":
		return correction.WebSearch
	case "code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result":
		return correction.CodeExecution
	case "tool_search_tool_result":
		return correction.FunctionTools
	case "server_tool_use":
		switch name {
		case "web_search", "web_fetch":
			return correction.WebSearch
		case "code_execution", "bash_code_execution", "text_editor_code_execution":
			return correction.CodeExecution
		}
	}
	return wire.UnknownTool
}

// serialChoice is a choice of tools that forbids several at once.
const serialChoice = `{"type":"auto","disable_parallel_tool_use":true}`
