package openai

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// ToolFeatures says what a tool of this type is, as requests name types. A type
// that is not documented may be anything. Shells and editors count as what they
// do, whoever runs them; a tool that searches for tools is a function, since
// what it finds are mostly those.
func ToolFeatures(typ string) correction.Features {
	switch typ {
	case "function", "custom", "tool_search":
		return correction.FunctionTools
	case "file_search":
		return correction.FileSearch
	case "code_interpreter", "local_shell", "shell", "programmatic_tool_calling":
		return correction.CodeExecution
	case "computer", "computer_use", "computer_use_preview", "apply_patch":
		return correction.ComputerUse
	case "mcp":
		return correction.MCP
	case "image_generation":
		return correction.ImageOutput
	}
	if typ == "web_search" || strings.HasPrefix(typ, "web_search_") {
		return correction.WebSearch
	}
	return wire.UnknownTool
}

// offer notes that tools are offered, of this type.
func (r *reader) offer(typ string) {
	r.e.HasTools = true
	if typ != "" && typ != r.lastType {
		r.lastType = typ
		r.e.Tools = append(r.e.Tools, typ)
	}
}

func (r *reader) offerName(name string) {
	if name != "" {
		r.e.Tools = append(r.e.Tools, name)
	}
}

// maxNested is how deep tools may hold further tools (namespaces).
const maxNested = 4

// inside, in the place of a list, says that tools go with what holds them.
const inside = -1

// tools reads a list of tools: type and name of each, the function's or custom
// tool's name where it is inside, an MCP server's label, and for a namespace
// the tools in it. It returns what they are.
func (r *reader) tools(list, depth int) (all correction.Features) {
	s := r.s
	if !s.Array() {
		return 0
	}
	for i := 0; s.Element(); i++ {
		r.e.HasTools, r.many = true, true
		s.Kind()
		from := s.Offset()
		if !s.Object() {
			r.e.Keep() // null is no tool
			continue
		}
		typ, name, bits := r.tool(depth)
		all |= bits
		if list != inside {
			r.e.AddTool(scan.Span{Start: from, End: s.Offset()}, list, i, typ, name, bits)
		}
	}
	return all
}

// tool reads the members of one tool.
func (r *reader) tool(depth int) (typ, title string, bits correction.Features) {
	s := r.s
	var inner correction.Features
	nested := false
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "type":
			typ, _, _ = s.Text()
			r.offer(typ)
		case "name", "server_label":
			title, _, _ = s.Text()
			r.offerName(title)
		case "function", "custom":
			title = r.named()
		case "model":
			if v, _, ok := s.Text(); ok {
				r.e.Others = append(r.e.Others, v)
			}
		case "tools":
			if depth == maxNested {
				s.Fail(scan.CodeTooDeep, s.Offset(), "tools are nested in tools too deeply")
			}
			nested = true
			inner = r.tools(inside, depth+1)
			r.e.Unnamed()
		case "container":
			if s.Kind() == '"' {
				v, _, _ := s.Text()
				r.within(v)
			} else {
				s.Skip()
			}
		case "environment":
			r.environment()
		case "allowed_callers":
			r.callers()
		case "defer_loading":
			if s.Flag() {
				r.e.Keep()
			}
		default:
			s.Other(name, toolNames)
		}
	}
	switch {
	case typ == "namespace" && nested:
		bits = inner
	default:
		bits = ToolFeatures(typ) | inner
	}
	r.e.Features |= bits
	return typ, title, bits
}

// callers reads who may call a tool. One that other tools call keeps them.
func (r *reader) callers() {
	s := r.s
	if !s.Array() {
		return
	}
	for s.Element() {
		if v, _, ok := s.Text(); ok && v != "direct" {
			r.e.Keep()
		}
	}
}

// within notes that a tool goes on in a container that the provider keeps.
func (r *reader) within(id string) {
	if id != "" {
		r.e.GoesOn("container", id)
		r.e.Use(correction.StoredConversations)
	}
}

// environment reads where a shell runs; of a computer, it is one word.
func (r *reader) environment() {
	s := r.s
	if s.Kind() == '"' {
		s.Skip()
		return
	}
	if !s.Object() {
		return
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) != "container_id" {
			s.Other(name, environmentNames)
		} else if v, _, ok := s.Text(); ok {
			r.within(v)
		}
	}
}

// named reads an object that carries a tool's name.
func (r *reader) named() (title string) {
	s := r.s
	if !s.Object() {
		return ""
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "name":
			title, _, _ = s.Text()
			r.offerName(title)
		default:
			s.Other(name, functionNames)
		}
	}
	return title
}

// functions reads chat's older list of functions.
func (r *reader) functions(list int) {
	s := r.s
	if !s.Array() {
		return
	}
	for i := 0; s.Element(); i++ {
		s.Kind()
		from := s.Offset()
		r.offer("function")
		title := r.named()
		r.e.AddTool(scan.Span{Start: from, End: s.Offset()}, list, i, "function", title, correction.FunctionTools)
	}
}

// functionCall reads the older choice of a function.
func (r *reader) functionCall(index int) {
	s := r.s
	n := r.e.AddPointer(s.NameAt(), -1, index, wire.ListFunctions)
	switch s.Kind() {
	case 'n':
		s.Skip()
	case '"':
		v, _, _ := s.Text()
		r.forced(v != "auto" && v != "none", "function")
		r.e.Use(correction.Tools)
	default:
		s.Skip()
		r.forced(true, "function")
	}
	r.e.Close(n, s.Offset())
}

// forced notes a choice that is not the model's. A tool that is chosen counts as
// offered, so that a choice never uses what no list shows.
func (r *reader) forced(is bool, typ string) {
	if is {
		r.e.Keep()
		r.e.Use(correction.Tools | ToolFeatures(typ))
	}
}

// toolChoice reads the choice of a tool: a word, one tool, or a list of those
// that are allowed, which leaves the choice to the model where its mode is auto.
func (r *reader) toolChoice(index int) {
	s := r.s
	n := r.e.AddPointer(s.NameAt(), -1, index, wire.ListTools)
	switch s.Kind() {
	case 'n':
		s.Skip()
	case '"':
		if v, _, _ := s.Text(); v != "auto" && v != "none" {
			r.e.Keep()
		}
	case '{':
		c := r.choice(n)
		if c.typ != "allowed_tools" {
			r.forced(true, c.typ)
		} else if c.mode != "auto" || c.entries == 0 {
			r.e.Keep()
		}
	default:
		s.Skip()
		r.e.Keep()
	}
	r.e.Close(n, s.Offset())
}

// choice is what an object of choice says.
type choice struct {
	typ, mode string
	entries   int
}

func (r *reader) choice(pointer int) (c choice) {
	s := r.s
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "type":
			c.typ, _, _ = s.Text()
		case "mode":
			c.mode, _, _ = s.Text()
		case "tools":
			c.entries += r.allowed(pointer)
		case "allowed_tools":
			if s.Kind() != '{' {
				s.Skip()
				continue
			}
			in := r.choice(pointer)
			c.mode, c.entries = in.mode, c.entries+in.entries
		default:
			s.Other(name, choiceNames)
		}
	}
	return c
}

// allowed reads a list of allowed tools.
func (r *reader) allowed(pointer int) (n int) {
	s := r.s
	if !s.Array() {
		return 0
	}
	for ; s.Element(); n++ {
		s.Kind()
		from := s.Offset()
		typ, title, label := "", "", ""
		if s.Object() {
			for name, ok := s.Member(); ok; name, ok = s.Member() {
				switch string(name) {
				case "type":
					typ, _, _ = s.Text()
				case "name":
					title, _, _ = s.Text()
				case "server_label":
					label, _, _ = s.Text()
				case "function", "custom":
					title = r.entry()
				default:
					s.Other(name, entryNames)
				}
			}
		}
		if label != "" {
			title = label
		}
		r.e.AddAllowed(scan.Span{Start: from, End: s.Offset()}, pointer, n, typ, title)
	}
	return n
}

// entry reads the name inside of an entry, which offers nothing.
func (r *reader) entry() (title string) {
	s := r.s
	if !s.Object() {
		return ""
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		if string(name) == "name" {
			title, _, _ = s.Text()
		} else {
			s.Other(name, functionNames)
		}
	}
	return title
}

// parallel reads whether several tools may be called in one turn.
func (r *reader) parallel(index int) {
	s := r.s
	n := r.e.AddPointer(s.NameAt(), -1, index, wire.ListTools)
	s.Kind()
	from := s.Offset()
	null := s.Kind() == 'n'
	if on := s.Flag(); on || null {
		r.e.Parallel = wire.Fix{At: scan.Span{Start: from, End: s.Offset()}, Text: "false"}
	} else {
		r.serial = true
	}
	r.e.Close(n, s.Offset())
}
