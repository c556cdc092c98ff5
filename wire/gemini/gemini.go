// Package gemini is the wire of the Gemini API: generateContent and
// streamGenerateContent, countTokens, embedContent and batchEmbedContents, and
// the model listing.
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
)

type api struct{}

func (api) Name() string { return "gemini" }

// Match knows POST /{version}/models/{model}:{method}, the same for
// tunedModels, GET /{version}/models and GET /{version}/models/{model}, for the
// versions v1 (POST alone: its listing is OpenAI's), v1beta and v1alpha.
//
// Google's front end lets query parameters change what a request or its answer
// is: $httpMethod, callback, fields, alt in two spellings. Those are not known
// here; alt itself may be given once, as json or, for a stream, sse.
func (api) Match(method, path, rawQuery string, _ func(string) string) (rt wire.Route, ok bool) {
	rest, version := "", ""
	for _, v := range [...]string{"/v1beta/", "/v1/", "/v1alpha/"} {
		if strings.HasPrefix(path, v) {
			version, rest = v, path[len(v):]
		}
	}
	if version == "" {
		return rt, false
	}
	if method == "GET" {
		if version == "/v1/" || !strings.HasPrefix(rest, "models") {
			return rt, false
		}
		if sse, ok := query(rawQuery); !ok || sse {
			return rt, false
		}
		if rest == "models" {
			return wire.Route{API: Models, Op: wire.OpListModels}, true
		}
		name, ok := model(strings.TrimPrefix(rest, "models/"))
		return wire.Route{API: Models, Op: wire.OpGetModel, Model: name}, ok && strings.HasPrefix(rest, "models/")
	}
	if method != "POST" {
		return rt, false
	}
	collection, rest, _ := strings.Cut(rest, "/")
	if collection != "models" && collection != "tunedModels" {
		return rt, false
	}
	segment, verb, _ := strings.Cut(rest, ":")
	switch verb {
	case "generateContent":
		rt = wire.Route{API: Generate, Op: wire.OpGenerate}
	case "streamGenerateContent":
		rt = wire.Route{API: Stream, Op: wire.OpGenerate, Stream: true}
	case "countTokens":
		rt = wire.Route{API: CountTokens, Op: wire.OpCountTokens}
	case "embedContent":
		rt = wire.Route{API: Embed, Op: wire.OpEmbed}
	case "batchEmbedContents":
		rt = wire.Route{API: BatchEmbed, Op: wire.OpEmbed}
	default:
		return wire.Route{}, false
	}
	if rt.Model, ok = model(segment); !ok {
		return wire.Route{}, false
	}
	if collection == "tunedModels" {
		rt.Model = collection + "/" + rt.Model
	}
	if rt.SSE, ok = query(rawQuery); !ok || rt.SSE && !rt.Stream {
		return wire.Route{}, false
	}
	rt.ModelPath = wire.Region{Start: len(version), End: len(version) + len(collection) + 1 + len(segment)}
	return rt, true
}

// model decodes a model's id. It is one segment without a colon: the method
// follows the colon, and readers may differ on which colon that is.
func model(segment string) (string, bool) {
	name, ok := route.Decode(segment)
	if !ok || strings.ContainsAny(name, ":/") {
		return "", false
	}
	return name, true
}

// query says whether the answer is asked for as server-sent events. ok is false
// for a query that would make the request or its answer another.
func query(raw string) (sse, ok bool) {
	alts := 0
	ok = route.Params(raw, func(name, value string) bool {
		if strings.HasPrefix(name, "$") {
			return false
		}
		switch strings.ToLower(name) {
		case "callback", "fields":
			return false
		case "alt":
			alts++
			sse = value == "sse"
			return name == "alt" && alts == 1 && (sse || value == "json")
		}
		return true
	})
	return sse, ok
}

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
