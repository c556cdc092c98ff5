// Package sdktest holds what the providers' own clients must be able to do: the
// Go SDKs of OpenAI, Anthropic and Google, and the npm SDKs of the first two,
// unchanged but for the base URL. The same checks run against the simulated
// provider, which proves that it is a provider, and through a gateway, which
// proves that the gateway is not in the way.
//
// Checks need the simulated provider behind the address, as they speak in its
// directives. They share nothing and may run at once.
package sdktest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Target is an address that speaks every wire.
type Target struct {
	URL   string // root, without a trailing slash; OpenAI clients get /v1 added
	Key   string // the caller's key
	Model string // a model that every wire serves
}

// client is an HTTP client whose connections end with the test.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// within bounds a check, so that a stream that never ends fails instead of hanging.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Run checks everything that Go clients do when nothing is forbidden.
func Run(t *testing.T, target Target) {
	t.Run("openai", func(t *testing.T) { openaiSuite(t, target) })
	t.Run("anthropic", func(t *testing.T) { anthropicSuite(t, target) })
	t.Run("gemini", func(t *testing.T) { geminiSuite(t, target) })
}

// What the simulated provider is told to say, in words and in tokens.
const (
	said       = "Quietly, \"the\" tide\ncomes in \u2014 again."
	sayIt      = `sim: text="Quietly, \"the\" tide\ncomes in ` + "\u2014" + ` again."`
	saidTokens = 7
)

// city is the schema of the tool that is offered.
var city = map[string]any{
	"type":       "object",
	"properties": map[string]any{"city": map[string]any{"type": "string", "enum": []string{"Oslo"}}},
	"required":   []string{"city"},
}

const cityArguments = `{"city":"Oslo"}`

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%T: %v", err, err)
	}
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s %q lacks %q", what, got, want)
	}
}
