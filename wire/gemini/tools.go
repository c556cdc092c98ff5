package gemini

import (
	"andon/wire/scan"
)

// kinds are the tools that the API has, by both of their spellings; the second
// is what a tool is called in a scope, on this wire as on the others.
var kinds = [...]struct{ camel, snake string }{
	{"functionDeclarations", "function_declarations"},
	{"mcpServers", "mcp_servers"},
	{"googleSearch", "google_search"},
	{"googleSearchRetrieval", "google_search_retrieval"},
	{"codeExecution", "code_execution"},
	{"urlContext", "url_context"},
	{"computerUse", "computer_use"},
	{"fileSearch", "file_search"},
	{"googleMaps", "google_maps"},
	{"retrieval", "retrieval"},
	{"enterpriseWebSearch", "enterprise_web_search"},
	{"parallelAiSearch", "parallel_ai_search"},
	{"exaAiSearch", "exa_ai_search"},
}

var kindNames = func() *scan.Names {
	var list []string
	for _, k := range kinds {
		list = append(list, k.camel)
	}
	return scan.NewNames(true, list...)
}()

// tools reads the list of tools. Each element is an object with a member for
// each tool it offers: functions count as "function" and their names, MCP
// servers as "mcp" and theirs, everything else as its member's name in snake
// case, those that are not known here included.
func (r *reader) tools() {
	s, e := r.s, r.e
	if !s.Array() {
		return
	}
	last := ""
	add := func(typ string) {
		if typ != "" && typ != last {
			last = typ
			e.Tools = append(e.Tools, typ)
		}
	}
	for s.Element() {
		e.HasTools = true
		if !s.Object() {
			continue
		}
		var seen [len(kinds)]bool
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			kind := -1
			for i, k := range kinds {
				if string(name) == k.camel || string(name) == k.snake {
					kind = i
					r.once(&seen[i])
				}
			}
			typ := ""
			if kind < 0 {
				s.Distinct(name, kindNames)
				typ = snake(name)
			} else {
				typ = kinds[kind].snake
			}
			switch {
			case s.Null():
			case kind == 0:
				add("function")
				r.names()
			case kind == 1:
				add("mcp")
				r.names()
			default:
				add(typ)
				s.Skip()
			}
		}
	}
}

// names reads a list of objects that carry a name.
func (r *reader) names() {
	s := r.s
	if !s.Array() {
		return
	}
	for s.Element() {
		if !s.Object() {
			continue
		}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			if string(name) != "name" {
				s.Other(name, declNames)
			} else if v, _, _ := s.Text(); v != "" {
				r.e.Tools = append(r.e.Tools, v)
			}
		}
	}
}

// snake is a member's name in snake case.
func snake(name []byte) string {
	b := make([]byte, 0, len(name)+4)
	for i, c := range name {
		if c-'A' <= 25 {
			if i > 0 {
				b = append(b, '_')
			}
			c |= 0x20
		}
		b = append(b, c)
	}
	return string(b)
}
