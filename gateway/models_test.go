package gateway

import (
	"strings"
	"testing"
)

// Whatever name a model is called by, a correction on it holds.
func TestEveryNameLeadsToTheModel(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, func(c *Config) {
		c.Models = []Model{
			{Name: "sim-large", Upstream: "sim", Version: "sim-large-1", Aliases: []string{"large", "deploy-7"},
				Versions: []ModelVersion{{Version: "sim-large-0", UpstreamModel: "sim-large-0-internal"}}},
			{Name: "sim-small", Upstream: "sim", UpstreamModel: "sim-small-weights"},
			{Name: "tuned", Upstream: "sim", Base: "sim-large"},
		}
	})
	names := map[string]string{ // as called → as sent
		"sim-large": "sim-large", "large": "sim-large", "deploy-7": "sim-large", "sim-large-1": "sim-large",
		"sim-large-0": "sim-large-0-internal", "openai/sim-large": "sim-large", "models/openai/sim-large": "sim-large",
		"sim-large-2026-10-01": "sim-large-2026-10-01", "sim-large@20261001": "sim-large@20261001", "sim-large-latest": "sim-large-latest",
		"ft:sim-large:acme::abc123": "ft:sim-large:acme::abc123", "openai/ft:sim-large:acme::abc123": "ft:sim-large:acme::abc123",
		"ft:sim-large-2026-10-01:acme:x:1:ckpt-step-9": "ft:sim-large-2026-10-01:acme:x:1:ckpt-step-9",
		"sim-large-0-internal":                         "sim-large-0-internal", "tuned": "tuned",
	}
	for name, sent := range names {
		if a := send(t, g, "/v1/chat/completions", chat(name, "hello")); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
			continue
		}
		got := received(t, s)
		if body := got[len(got)-1].Body; !strings.Contains(body, `"model":"`+sent+`"`) {
			t.Errorf("%s: the provider got %s", name, body)
		}
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-small-weights", "hello")); a.status != 200 {
		t.Errorf("the provider's own name: %d", a.status)
	}
	id := p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for name := range names {
		if a := send(t, g, "/v1/chat/completions", chat(name, "hello")); a.status != 503 {
			t.Errorf("%s is served while sim-large is stopped: %d %s", name, a.status, a.body)
		}
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-small", "hello")); a.status != 200 {
		t.Errorf("another model: %d", a.status)
	}
	for _, name := range []string{"SIM-LARGE", "sim-large ", "sim-larg", "ft:other:acme::1", "ft:", "other/sim-large", "sim-large-", "sim-large-x1", "sim-large--1",
		"sim-large/../sim-small", "openai/", "sim-large-12345678901", "-2026-10-01"} {
		if a := send(t, g, "/v1/chat/completions", chat(name, "hello")); a.status != 404 {
			t.Errorf("unknown name %q: %d", name, a.status)
		}
	}
	p.lift(1, id)
	// A derivative can be taken away alone.
	p.apply(1, `{"kind":"capability","params":{"disable":["fine_tune_serve"]},"scope":{"models":["sim-large"]},"reason":"test"}`)
	for name, want := range map[string]int{"sim-large": 200, "sim-large-0": 200, "tuned": 422, "ft:sim-large:acme::abc123": 422} {
		if a := send(t, g, "/v1/chat/completions", chat(name, "hello")); a.status != want {
			t.Errorf("%s while fine-tunes are off: %d, want %d", name, a.status, want)
		}
	}
}

func TestAnUnknownNameFollowsTheDeclaredRule(t *testing.T) {
	s := startSim(t)
	p := newPlane(t)
	g := p.start(s, func(c *Config) { c.UnknownModels = "sim-large" })
	if a := send(t, g, "/v1/chat/completions", chat("brand-new", "hello")); a.status != 200 || !strings.Contains(received(t, s)[0].Body, `"brand-new"`) {
		t.Fatalf("unknown name: %d, sent %v", a.status, received(t, s))
	}
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test"}`)
	a := send(t, g, "/v1/chat/completions", chat("brand-new", "hello"))
	if a.header.Get("Andon-Fallback-From") == "" && a.status != 503 {
		t.Fatalf("unknown name under a stop of the model it is decided as: %d", a.status)
	}
}
