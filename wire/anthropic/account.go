package anthropic

import (
	"andon/wire"
	"andon/wire/route"
)

// Match knows the routes of the table. Paths that OpenAI has too are
// Anthropic's where the header says so that all of its clients send.
func (api) Match(method, path, rawQuery string, header func(string) string) (rt wire.Route, ok bool) {
	if len(path) < 4 || path[:4] != "/v1/" {
		return rt, false
	}
	if rt, ok = table.Find(method, path, len("/v1")); !ok {
		return wire.Route{}, false
	}
	if shared(path) && (header == nil || header("anthropic-version") == "") {
		return wire.Route{}, false
	}
	if _, ok = route.ReadQuery(rawQuery); !ok {
		return wire.Route{}, false
	}
	return rt, true
}

// shared says whether a path is one that OpenAI has, too.
func shared(path string) bool {
	for _, p := range [...]string{"/v1/models", "/v1/files", "/v1/skills", "/v1/agents", "/v1/vaults"} {
		if len(path) >= len(p) && path[:len(p)] == p && (len(path) == len(p) || path[len(p)] == '/') {
			return true
		}
	}
	return false
}

// Read reads a generation body, or what is decided on of any other.
func (a api) Read(rt wire.Route, body []byte, e *wire.Envelope) error {
	switch rt.API {
	case Messages, CountTokens:
		return a.read(rt, body, e)
	}
	return wire.ReadAccount(rt, body, e)
}

// Routes lists the methods and path templates of the table, below its root.
func Routes() []string { return table.Rows() }
