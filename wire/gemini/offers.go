package gemini

import (
	"strings"

	"andon/correction"
	"andon/wire"
	"andon/wire/scan"
)

// toolConfig reads how tools are to be used: the index-th member of the body.
func (r *reader) toolConfig(index int) {
	s := r.s
	n := r.pointer(-1, index, wire.ListTools)
	seen := false
	if s.Object() {
		for i := 0; ; i++ {
			name, ok := s.Member()
			if !ok {
				break
			}
			switch string(name) {
			case "functionCallingConfig", "function_calling_config":
				r.once(&seen)
				p := r.pointer(n, i, wire.ListDeclarations)
				r.calling(p)
				r.close(p)
			default:
				s.Other(name, choiceNames)
			}
		}
	}
	r.close(n)
}

// calling reads whether a function has to be called, and which may be.
func (r *reader) calling(pointer int) {
	s, e := r.s, r.e
	if !s.Object() {
		return
	}
	var allowed bool
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name) {
		case "mode":
			mode := "" // an enumeration may be given as a number, which is not told apart here
			if s.Kind() == '"' {
				mode, _, _ = s.Text()
			} else if s.Null() {
				mode = "AUTO"
			} else {
				s.Skip()
			}
			switch strings.ToUpper(mode) {
			case "AUTO", "NONE", "VALIDATED", "MODE_UNSPECIFIED":
			default:
				e.Keep()
				e.Use(correction.Tools)
			}
		case "allowedFunctionNames", "allowed_function_names":
			r.once(&allowed)
			if !s.Array() {
				continue
			}
			for i := 0; s.Element(); i++ {
				v, at, ok := s.Text()
				if !ok || pointer < 0 {
					e.Keep()
					continue
				}
				e.AddAllowed(at, pointer, i, "function", v)
			}
		default:
			s.Other(name, callingNames)
		}
	}
}

// The places of a count's inner request are not changed: nothing is recorded of
// them.

func (r *reader) list(up, index int, tag uint8) int {
	if r.nested {
		return -1
	}
	return r.e.AddList(r.s.NameAt(), up, index, tag)
}

func (r *reader) pointer(up, index int, tags uint8) int {
	if r.nested {
		return -1
	}
	return r.e.AddPointer(r.s.NameAt(), up, index, tags)
}

func (r *reader) close(n int) {
	if n >= 0 {
		r.e.Close(n, r.s.Offset())
	}
}

// element begins an element of the list of tools.
func (r *reader) element(list, index int) int {
	if r.nested {
		return -1
	}
	r.s.Kind()
	return r.e.AddList(r.s.Offset(), list, index, 0)
}

// tools reads the list of tools. Each element is an object with a member for
// each tool it offers: functions count as "function" and their names, MCP
// servers as "mcp" and theirs, everything else as its member's name in snake
// case, those that are not known here included.
func (r *reader) tools(index int) {
	s, e := r.s, r.e
	list := r.list(-1, index, wire.ListTools)
	if s.Array() {
		for i := 0; s.Element(); i++ {
			e.HasTools = true
			n := r.element(list, i)
			if s.Object() {
				r.offers(n)
			} else {
				e.Keep() // null is no tool
			}
			r.close(n)
		}
	}
	r.close(list)
}

// offers reads the tools of one element.
func (r *reader) offers(element int) {
	s, e := r.s, r.e
	var seen [len(kinds)]bool
	for i := 0; ; i++ {
		name, ok := s.Member()
		if !ok {
			return
		}
		k := kindOf(name)
		if k >= 0 {
			r.once(&seen[k])
		} else {
			s.Distinct(name, kindNames)
		}
		from := s.NameAt()
		switch {
		case s.Kind() == 'n':
			s.Skip()
		case k == functions:
			n := r.list(element, i, wire.ListDeclarations)
			r.typed("function")
			r.names(n, "function", correction.FunctionTools)
			r.close(n)
			e.Features |= correction.ParallelToolCalls // which this API has no way to forbid
		case k == servers:
			n := r.list(element, i, 0)
			r.typed("mcp")
			r.names(n, "mcp", correction.MCP)
			r.close(n)
		default:
			typ, bits := "", correction.Features(wire.UnknownTool)
			if k >= 0 {
				typ, bits = kinds[k].snake, kinds[k].bits
			} else {
				typ = snake(name)
			}
			r.typed(typ)
			s.Skip()
			e.AddTool(scan.Span{Start: from, End: s.Offset()}, element, i, typ, "", bits)
		}
	}
}

// typed notes that tools are offered, of this type.
func (r *reader) typed(typ string) {
	if typ != "" && typ != r.lastType {
		r.lastType = typ
		r.e.Tools = append(r.e.Tools, typ)
	}
}

// names reads a list of objects that carry a name.
func (r *reader) names(list int, typ string, bits correction.Features) {
	s, e := r.s, r.e
	e.Features |= bits
	if !s.Array() {
		return
	}
	for i := 0; s.Element(); i++ {
		s.Kind()
		from, title := s.Offset(), ""
		if !s.Object() {
			e.Keep()
			continue
		}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			if string(name) != "name" {
				s.Other(name, declNames)
			} else if v, _, _ := s.Text(); v != "" {
				title = v
				e.Tools = append(e.Tools, v)
			}
		}
		e.AddTool(scan.Span{Start: from, End: s.Offset()}, list, i, typ, title, bits)
	}
}
