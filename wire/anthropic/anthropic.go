// Package anthropic is the wire of the Anthropic API: messages, token counting,
// the model listing, batches, files, agents, and everything else that its
// reference documents.
//
// Its promise is wire.Wire's: it knows exactly the routes of its table, reads of a
// body what the provider would read, and speaks errors on which the SDKs raise
// their typed exceptions. Wire has no state and is safe for concurrent use.
package anthropic

import "andon/wire"

// Wire is the Anthropic wire.
var Wire wire.Wire = api{}

// New returns Wire.
func New() wire.Wire { return Wire }

// The stable names of the routes.
const (
	Messages    = "anthropic.messages"
	CountTokens = "anthropic.count_tokens"
	Models      = "anthropic.models"
	Batches     = "anthropic.batches"
)

type api struct{}

func (api) Name() string { return "anthropic" }
