// Package gemini is the wire of the Gemini API: generateContent and
// streamGenerateContent, countTokens, embedContent and batchEmbedContents, the
// model listing, and everything else that its reference documents.
//
// Its promise is wire.Wire's. The model stands in the path here; a body that
// names one too must name the same. Bodies are protocol buffers' JSON, which
// has two spellings for each member (generationConfig, generation_config): both
// are read, and a body that has both is refused. Wire has no state and is safe
// for concurrent use.
package gemini

import (
	"strings"

	"andon/wire"
	"andon/wire/route"
)

// Wire is the Gemini wire.
var Wire wire.Wire = api{}

// New returns Wire.
func New() wire.Wire { return Wire }

// The stable names of the routes.
const (
	Generate    = "gemini.generateContent"
	Stream      = "gemini.streamGenerateContent"
	CountTokens = "gemini.countTokens"
	Embed       = "gemini.embedContent"
	BatchEmbed  = "gemini.batchEmbedContents"
	Models      = "gemini.models"
	Batches     = "gemini.batches"
)

type api struct{}

func (api) Name() string { return "gemini" }

// QueryKey returns the API key that older SDKs send as the query parameter key,
// or "". It is a credential of the caller: strip it before the request goes on,
// and keep it out of logs.
func QueryKey(rawQuery string) (key string) {
	route.Params(rawQuery, func(name, value string) bool {
		if name == "key" && key == "" {
			key = value
		}
		return true
	})
	return key
}

// WithoutKey returns the query without its parameter key, and otherwise as it
// was sent.
func WithoutKey(rawQuery string) string {
	if QueryKey(rawQuery) == "" {
		return rawQuery
	}
	var keep []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		isKey := false
		route.Params(pair, func(name, _ string) bool {
			isKey = name == "key"
			return true
		})
		if !isKey {
			keep = append(keep, pair)
		}
	}
	return strings.Join(keep, "&")
}
