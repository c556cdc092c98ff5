// Package openai is the wire of the OpenAI API: chat completions, responses,
// legacy completions, embeddings and the model listing, as official SDKs and
// compatible servers speak it.
//
// Its promise is wire.Wire's: it knows exactly the routes below, reads of a
// body what the provider would read, and speaks errors on which the SDKs raise
// their typed exceptions. Wire has no state and is safe for concurrent use.
package openai

import (
	"strings"

	"andon/wire"
	"andon/wire/route"
)

// Wire is the OpenAI wire.
var Wire wire.Wire = api{}

// New returns Wire.
func New() wire.Wire { return Wire }

// The stable names of the routes.
const (
	Chat        = "openai.chat"
	Responses   = "openai.responses"
	Completions = "openai.completions"
	Embeddings  = "openai.embeddings"
	Models      = "openai.models"
)

type api struct{}

func (api) Name() string { return "openai" }

func (api) Match(method, path, _ string, header func(string) string) (rt wire.Route, ok bool) {
	switch method {
	case "POST":
		switch path {
		case "/v1/chat/completions":
			return wire.Route{API: Chat, Op: wire.OpGenerate, SSE: true}, true
		case "/v1/responses":
			return wire.Route{API: Responses, Op: wire.OpGenerate, SSE: true}, true
		case "/v1/completions":
			return wire.Route{API: Completions, Op: wire.OpGenerate, SSE: true}, true
		case "/v1/embeddings":
			return wire.Route{API: Embeddings, Op: wire.OpEmbed}, true
		}
	case "GET":
		// The listing is one path for two wires; Anthropic's clients always name
		// the version of the API they speak.
		if !strings.HasPrefix(path, "/v1/models") || header != nil && header("anthropic-version") != "" {
			return rt, false
		}
		if path == "/v1/models" {
			return wire.Route{API: Models, Op: wire.OpListModels}, true
		}
		if name, ok := route.Segment(path[len("/v1/models"):]); ok {
			return wire.Route{API: Models, Op: wire.OpGetModel, Model: name}, true
		}
	}
	return rt, false
}
