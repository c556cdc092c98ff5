package gemini

import (
	"andon/correction"
	"andon/wire/scan"
)

// kinds are the tools that the API has, by both of their spellings; the second
// is what a tool is called in a scope, on this wire as on the others. What
// searches in what is on the web, maps included, is a search of the web; a
// retrieval is one in stored files.
var kinds = [...]struct {
	camel, snake string
	bits         correction.Features
}{
	functions: {"functionDeclarations", "function_declarations", correction.FunctionTools},
	servers:   {"mcpServers", "mcp_servers", correction.MCP},
	2:         {"googleSearch", "google_search", correction.WebSearch},
	3:         {"googleSearchRetrieval", "google_search_retrieval", correction.WebSearch},
	4:         {"codeExecution", "code_execution", correction.CodeExecution},
	5:         {"urlContext", "url_context", correction.WebSearch},
	6:         {"computerUse", "computer_use", correction.ComputerUse},
	7:         {"fileSearch", "file_search", correction.FileSearch},
	8:         {"googleMaps", "google_maps", correction.WebSearch},
	9:         {"retrieval", "retrieval", correction.FileSearch},
	10:        {"enterpriseWebSearch", "enterprise_web_search", correction.WebSearch},
	11:        {"parallelAiSearch", "parallel_ai_search", correction.WebSearch},
	12:        {"exaAiSearch", "exa_ai_search", correction.WebSearch},
}

// The two that are lists.
const (
	functions = iota
	servers
)

var kindNames = func() *scan.Names {
	var list []string
	for _, k := range kinds {
		list = append(list, k.camel)
	}
	return scan.NewNames(true, list...)
}()

// kindOf finds a tool by its member's name; -1 is none that is known.
func kindOf(name []byte) int {
	for i := range kinds {
		if k := &kinds[i]; string(name) == k.camel || string(name) == k.snake {
			return i
		}
	}
	return -1
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
