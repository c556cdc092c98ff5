package sim

import (
	"net/http"
	"strings"
)

// wire is the provider whose API a request speaks.
type wire uint8

const (
	openai wire = iota
	anthropic
	gemini
)

// wireOf says whose shapes a request expects, errors included. The paths that
// providers share are told apart by the headers their SDKs send.
func wireOf(path string, r *http.Request) wire {
	switch {
	case strings.HasPrefix(path, "/v1/messages"):
		return anthropic
	case strings.HasPrefix(path, "/v1beta/"):
		return gemini
	case strings.HasPrefix(path, "/v1/chat/"), strings.HasPrefix(path, "/v1/responses"):
		return openai
	case len(r.Header["Anthropic-Version"]) > 0:
		return anthropic
	case len(r.Header["X-Goog-Api-Key"]) > 0, len(r.Header["X-Goog-Api-Client"]) > 0:
		return gemini
	case strings.HasPrefix(path, "/v1/models/") && strings.Contains(path, ":"):
		return gemini // models/{m}:generateContent with a key in the query
	}
	return openai
}

// route answers what is known and refuses the rest in the wire's shape.
func (c *call) route(path string) {
	post, get := c.r.Method == http.MethodPost, c.r.Method == http.MethodGet
	switch path {
	case "/v1/chat/completions":
		if post {
			c.chat()
			return
		}
	case "/v1/messages":
		if post {
			c.messages()
			return
		}
	case "/v1/responses":
		if post {
			c.responses()
			return
		}
	case "/v1/completions":
		if post {
			c.completions()
			return
		}
	case "/v1/embeddings":
		if post {
			c.embeddings()
			return
		}
	case "/v1/messages/count_tokens":
		if post {
			c.countTokens()
			return
		}
	case "/v1/realtime", "/openai/v1/realtime":
		if get {
			c.realtime()
			return
		}
	case "/v1/models", "/v1beta/models":
		if get {
			c.listModels()
			return
		}
	default:
		if c.stored(path) {
			return
		}
		name, ok := strings.CutPrefix(path, "/v1/models/")
		if !ok {
			name, ok = strings.CutPrefix(path, "/v1beta/models/")
		}
		if !ok || name == "" || strings.Contains(name, "/") {
			break
		}
		model, verb, isVerb := strings.Cut(name, ":")
		if get && !isVerb {
			c.getModel(c.segment(name))
			return
		}
		if post && isVerb && c.wire == gemini && c.geminiVerb(c.segment(model), verb) {
			return
		}
	}
	c.refuse(http.StatusNotFound, "unknown route "+c.r.Method+" "+shorten(path))
}
