// Package wires is the list of the wires there are: which one a request speaks,
// and which one it probably meant to when its route is not known.
//
// Everything is pure and safe for concurrent use.
package wires

import (
	"strings"

	"andon/wire"
	"andon/wire/anthropic"
	"andon/wire/gemini"
	"andon/wire/openai"
)

// All has every wire. No route is known to two of them.
var All = []wire.Wire{openai.Wire, anthropic.Wire, gemini.Wire}

// ByName returns the wire of that name, or nil.
func ByName(name string) wire.Wire {
	for _, w := range All {
		if w.Name() == name {
			return w
		}
	}
	return nil
}

// Match finds the wire and route of a request: its method, its escaped path
// exactly as sent, its raw query, and one that looks a request header up.
func Match(method, escapedPath, rawQuery string, header func(string) string) (w wire.Wire, rt wire.Route, ok bool) {
	for _, w := range All {
		if rt, ok := w.Match(method, escapedPath, rawQuery, header); ok {
			return w, rt, true
		}
	}
	return nil, rt, false
}

// Guess returns the wire in whose shape a request of an unknown route is
// refused: by its path, else by the headers that only one wire's clients send,
// else OpenAI's. It is never nil.
func Guess(escapedPath string, header func(string) string) wire.Wire {
	has := func(name string) bool { return header != nil && header(name) != "" }
	path := strings.ToLower(escapedPath)
	switch {
	case strings.Contains(path, "/v1beta"), strings.Contains(path, "/v1alpha"), strings.Contains(path, "generatecontent"),
		strings.Contains(path, "tunedmodels"), has("x-goog-api-key"), has("x-goog-api-client"):
		return gemini.Wire
	case strings.Contains(path, "/messages"), strings.Contains(path, "/complete") && !strings.Contains(path, "/completions"),
		has("anthropic-version"), has("anthropic-beta"), has("x-api-key"):
		return anthropic.Wire
	}
	return openai.Wire
}

// QueryKey returns the API key that a query holds, as older Gemini SDKs send
// it, or "". It is a credential of the caller: strip it before the request goes
// on, and keep it out of logs.
func QueryKey(rawQuery string) string { return gemini.QueryKey(rawQuery) }

// WithoutKey returns the query without that key, and otherwise as it was sent.
func WithoutKey(rawQuery string) string { return gemini.WithoutKey(rawQuery) }
