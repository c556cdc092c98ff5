// Package openai is the wire of the OpenAI API as official SDKs and compatible
// servers speak it: chat completions, responses, legacy completions, embeddings,
// the model listing, and everything else that its reference documents, below
// the roots of OpenAI itself, of Azure and of Gemini's compatible surface.
//
// Its promise is wire.Wire's: it knows exactly the routes of its table, reads of a
// body what the provider would read, and speaks errors on which the SDKs raise
// their typed exceptions. Wire has no state and is safe for concurrent use.
package openai

import "andon/wire"

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
	InputTokens = "openai.responses.input_tokens"
	Compact     = "openai.responses.compact"
)

type api struct{}

func (api) Name() string { return "openai" }
