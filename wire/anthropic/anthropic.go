// Package anthropic is the wire of the Anthropic API: messages, token counting
// and the model listing.
//
// Its promise is wire.Wire's: it knows exactly the routes below, reads of a
// body what the provider would read, and speaks errors on which the SDKs raise
// their typed exceptions. Wire has no state and is safe for concurrent use.
package anthropic

import (
	"strings"

	"andon/wire"
	"andon/wire/route"
)

// Wire is the Anthropic wire.
var Wire wire.Wire = api{}

// New returns Wire.
func New() wire.Wire { return Wire }

// The stable names of the routes.
const (
	Messages    = "anthropic.messages"
	CountTokens = "anthropic.count_tokens"
	Models      = "anthropic.models"
)

type api struct{}

func (api) Name() string { return "anthropic" }

func (api) Match(method, path, _ string, header func(string) string) (rt wire.Route, ok bool) {
	switch method {
	case "POST":
		switch path {
		case "/v1/messages":
			return wire.Route{API: Messages, Op: wire.OpGenerate, SSE: true}, true
		case "/v1/messages/count_tokens":
			return wire.Route{API: CountTokens, Op: wire.OpCountTokens}, true
		}
	case "GET":
		// The listing is one path for two wires; Anthropic's clients always name
		// the version of the API they speak.
		if !strings.HasPrefix(path, "/v1/models") || header == nil || header("anthropic-version") == "" {
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
