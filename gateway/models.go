package gateway

import (
	"fmt"
	"strings"

	"andon/correction"
	"andon/gateway/upstream"
)

// model is a model that this gateway serves, or a version or derivative of
// one, ready for use.
type model struct {
	Model
	host       *upstream.Host
	wire       string   // of its upstream; "all" for every wire
	key        string   // the provider's credential
	as         string   // the model as which it is decided: its own name, or its base's
	derivative string   // its own name, where it is decided as another
	tuned      bool     // it is a fine-tune
	account    bool     // no model at all: the provider's account, for routes that name none
	slots      *slots   // how many calls it takes as a fallback
	prompts    *prompts // system prompts of its calls; nil: none are kept
	place      int      // among the configured ones, from 1; 0 of an account
}

// serves reports whether the model is reached over this wire.
func (m *model) serves(wire string) bool { return m.wire == "all" || m.wire == wire }

// describe says in q which model is called.
func (m *model) describe(q *correction.Request) {
	q.Model, q.Version, q.Derivative = m.as, m.Version, m.derivative
	if q.Features &^= correction.FineTuneServe; m.tuned {
		q.Features |= correction.FineTuneServe
	}
}

// addModels makes the models of the configuration known, under every name that
// can be told beforehand.
func (g *Gateway) addModels() error {
	ups := map[string]Upstream{}
	for _, u := range g.cfg.Upstreams {
		h, err := upstream.New(u.BaseURL)
		if err != nil {
			return fmt.Errorf("create gateway: upstream %s: %w", u.Name, err)
		}
		h.Believe(u.Authorities)
		g.hosts[u.Name], ups[u.Name] = h, u
		if u.passesAccount(g.cfg.Identity.Mode) {
			for _, w := range [...]string{"openai", "anthropic", "gemini"} {
				if (u.Wire == w || u.Wire == "all") && g.accounts[w] == nil {
					g.accounts[w] = &model{Model: Model{Upstream: u.Name, OnStale: Hold}, host: h, wire: u.Wire, key: u.Key, account: true}
				}
			}
		}
	}
	for _, mc := range g.cfg.Models {
		m := &model{Model: mc, host: g.hosts[mc.Upstream], wire: ups[mc.Upstream].Wire, key: ups[mc.Upstream].Key, as: mc.Name}
		if mc.FallbackCapacity > 0 {
			m.slots = &slots{limit: int64(mc.FallbackCapacity)}
		}
		m.prompts = newPrompts(g.cfg.SystemPrompts, &g.promptRoom)
		g.models[m.Name] = m
		g.order = append(g.order, m)
		m.place = len(g.order)
		for _, n := range append([]string{m.Name}, m.Aliases...) {
			g.names[n] = m
		}
	}
	for _, m := range g.order {
		if b := g.models[m.Base]; b != nil {
			m.as, m.derivative, m.tuned = b.Name, m.Name, true
			if m.Version == "" {
				m.Version = m.Name
			}
			if m.Fallback == "" {
				m.Fallback = b.Fallback
			}
		}
	}
	// Versions, and the names that the provider knows, lead to the model, too.
	for _, m := range g.order {
		for _, v := range m.Versions {
			at := m.at(v.Version, v.UpstreamModel)
			g.know(v.Version, at)
			g.know(v.UpstreamModel, at)
		}
		if m.Version != "" {
			g.know(m.Version, m)
		}
		g.know(m.UpstreamModel, m)
	}
	return nil
}

// know adds a name unless the configuration gives it another meaning.
func (g *Gateway) know(name string, m *model) {
	if g.names[name] == nil {
		g.names[name] = m
	}
}

// at is the model at another version, which the provider knows by name.
func (m *model) at(version, name string) *model {
	v := *m
	v.Version, v.UpstreamModel = version, name
	return &v
}

// pinned is the model at a version that its configuration lists; nil if it
// lists no such version.
func (m *model) pinned(version string) *model {
	if m.tuned {
		return nil // a fine-tune is not that version
	}
	if m.derivative == "" && m.Version == version {
		return m
	}
	for _, v := range m.Versions {
		if v.Version == version {
			p := m.at(v.Version, v.UpstreamModel)
			p.derivative = ""
			return p
		}
	}
	return nil
}

// resolve finds the one model that a name stands for, before anything is
// decided: its names and aliases, its versions and what the provider calls
// them, a name with its provider in front, a dated snapshot, a fine-tune. It
// returns nil for a name that stands for none, unless the configuration says as
// which model such names are decided.
func (g *Gateway) resolve(name string) *model {
	if m := g.names[name]; m != nil {
		return m
	}
	if m := g.derived(name, name); m != nil {
		return m
	}
	if m := g.models[g.cfg.UnknownModels]; m != nil && name != "" {
		v := m.at(strings.Clone(name), strings.Clone(name))
		v.derivative = v.Version
		return v
	}
	return nil
}

// providers are the prefixes by which routers tell whose model is meant.
var providers = [...]string{"openai/", "anthropic/", "google/", "gemini/", "azure/", "vertex_ai/", "models/"}

func (g *Gateway) derived(name, sent string) *model {
	for _, p := range providers {
		if rest, ok := strings.CutPrefix(name, p); ok {
			if m := g.names[rest]; m != nil {
				return m
			}
			return g.derived(rest, rest)
		}
	}
	if rest, ok := strings.CutPrefix(name, "ft:"); ok { // ft:BASE:ORG:SUFFIX:ID
		base, _, _ := strings.Cut(rest, ":")
		m := g.names[base]
		if m == nil {
			m = g.snapshot(base)
		}
		if m == nil {
			return nil
		}
		v := m.at(strings.Clone(name), strings.Clone(sent))
		v.derivative, v.tuned = v.Version, true
		return v
	}
	return g.snapshot(name)
}

// snapshot knows NAME-2026-10-01, NAME-20261001, NAME@20261001, NAME-0613,
// NAME-002 and NAME-latest as a version of the model NAME.
func (g *Gateway) snapshot(name string) *model {
	end := len(name)
	for end > 0 && (name[end-1] >= '0' && name[end-1] <= '9' || name[end-1] == '-') {
		end--
	}
	if at, ok := strings.CutSuffix(name, "-latest"); ok {
		end = len(at)
	} else if end > 0 && name[end-1] == '@' && len(name)-end >= 3 {
		end--
	}
	// The base may itself end in digits: the longest that is known counts.
	for i := len(name) - 1; i >= max(end, 1); i-- {
		if name[i] != '-' && name[i] != '@' {
			continue
		}
		rest := name[i+1:]
		if rest != "latest" && (len(rest) < 3 || len(rest) > 10 || rest[0] == '-' || rest[len(rest)-1] == '-') {
			continue
		}
		if m := g.names[name[:i]]; m != nil && m.derivative == "" {
			return m.at(strings.Clone(name), strings.Clone(name))
		}
	}
	return nil
}
