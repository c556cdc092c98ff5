package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"andon/bus"
	"andon/order"
)

// Config is what a gateway needs. It mirrors the gateway section of andon.yaml;
// the zero value of a field takes the default that its comment names.
type Config struct {
	Name     string      // required; unique among the gateways of one control plane
	Listen   string      // data listener, default 127.0.0.1:8080
	Admin    string      // health, metrics and emergency orders, default 127.0.0.1:8081
	TLS      *tls.Config // of the data listener; nil: plaintext
	AdminTLS *tls.Config // of the admin listener; nil: plaintext

	Data    string // folder for the last order and emergency orders; required
	Surface string // the channel that this gateway serves, default "api"

	Identity  Identity
	Lease     time.Duration // default 15s; past it, models take their posture
	Upstreams []Upstream
	Models    []Model
	MaxBody   int64 // bytes of a request body, default 32 MiB

	UnknownModels string     // a model as which names that stand for none are decided, and whose upstream serves them; empty: they are refused
	GeoIP         string     // file of a database in MMDB format, from which an address's country is read; read again when it changes
	CountryHeader string     // header in which a trusted proxy says the country; wins over the database
	Detectors     []Detector // classifiers that filters may name

	NoticeURL string // told to callers in refusals
	AppealURL string

	Record        Record // of the calls that were decided, for previews
	SystemPrompts string // of the system prompts that callers use: off, digests, or texts (default), in memory alone until evidence is taken

	PseudonymKey string // secret of the deployment under which end users are recorded; default one of this gateway's own

	Trust  order.Trust // keys whose orders, and whose emergency orders, are obeyed
	Bus    Bus         // nil: no control plane; the last order and emergency orders alone
	Logger *slog.Logger
}

// Bus is what a gateway needs of a *bus.Bus.
type Bus interface {
	Publish(subject string, data []byte) error
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	Subscribe(subject string, f func(bus.Msg)) (stop func(), err error)
	OnGap(func(cause error))
	OnReconnect(func())
}

// Identity says how a caller is known.
type Identity struct {
	Mode           string         // keys (default) | header | open
	TrustedProxies []netip.Prefix // who may send identity and forwarding headers
}

// Upstream is a provider's API, or anything that speaks one.
type Upstream struct {
	Name    string
	Wire    string // openai | anthropic | gemini | all
	BaseURL string // scheme, host and an optional path prefix; no credentials, query or fragment
	Key     string // the provider's credential; empty: none is sent

	Authorities *x509.CertPool // whose certificates count there; nil: those of the system

	// Account says whether routes pass that reach the provider's account rather
	// than a model (files, batches, fine-tuning, what is stored): "pass" or
	// "refuse". Left out, they pass where the callers' own credentials travel on,
	// and are refused elsewhere: who shares an account shares all that is in it.
	Account string
}

func (u *Upstream) passesAccount(mode string) bool {
	return u.Account == "pass" || u.Account == "" && u.Key == "" && mode != "keys"
}

// Detector is a classifier, reached over an OpenAI-compatible API.
type Detector struct {
	Name     string
	Type     string // moderation | chat
	URL      string // base URL with its version, e.g. https://host/v1
	Key      string
	Model    string
	Category string        // moderation: whose score counts; empty: the highest of all
	Policy   string        // chat: what is looked for, in words
	Timeout  time.Duration // default 2s
}

// Posture is what a model does once the gateway's lease has run out.
type Posture string

// The postures.
const (
	Hold   Posture = "hold"     // goes on under the last order (default)
	Refuse Posture = "refuse"   // 503
	Switch Posture = "fallback" // its fallback serves; 503 where it has none
)

// Model is a model that this gateway serves.
type Model struct {
	Name          string
	Upstream      string
	UpstreamModel string // name sent to the provider, default Name
	Version       string
	OnStale       Posture
	Fallback      string // a model of this gateway; empty: none
	Aliases       []string
	Price         *Price // of its tokens; nil: not known, and a bound on what sessions spend refuses it

	Base             string         // the model that this one is derived from: it is decided as that one
	Versions         []ModelVersion // further ones that can be served, by their own name or by a pin
	FallbackCapacity int            // calls at once that it takes for other models; 0: no bound
}

// ModelVersion is a version of a model, and what the provider calls it.
type ModelVersion struct {
	Version       string
	UpstreamModel string // default Version
}

func (c *Config) check() error {
	if c.Name == "" {
		return fmt.Errorf("check gateway config: name is missing")
	}
	if c.Data == "" {
		return fmt.Errorf("check gateway config: data folder is missing")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.Admin == "" {
		c.Admin = "127.0.0.1:8081"
	}
	if c.Surface == "" {
		c.Surface = "api"
	}
	if c.Lease <= 0 {
		c.Lease = 15 * time.Second
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 32 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.Record.check(); err != nil {
		return err
	}
	switch c.SystemPrompts {
	case "":
		c.SystemPrompts = promptTexts
	case promptsOff, promptDigests, promptTexts:
	default:
		return fmt.Errorf("check gateway config: system_prompts %q: allowed are off, digests, texts", c.SystemPrompts)
	}
	switch c.Identity.Mode {
	case "":
		c.Identity.Mode = "keys"
	case "keys", "open":
	case "header":
		if len(c.Identity.TrustedProxies) == 0 {
			return fmt.Errorf("check gateway config: identity.mode header needs identity.trusted_proxies: nobody could be believed")
		}
	default:
		return fmt.Errorf("check gateway config: identity.mode %q: allowed are keys, header, open", c.Identity.Mode)
	}
	ups := map[string]bool{}
	for _, u := range c.Upstreams {
		if u.Name == "" || ups[u.Name] {
			return fmt.Errorf("check gateway config: upstream name %q is empty or given twice", u.Name)
		}
		ups[u.Name] = true
		switch u.Wire {
		case "openai", "anthropic", "gemini", "all":
		default:
			return fmt.Errorf("check gateway config: upstream %s: wire %q: allowed are openai, anthropic, gemini, all", u.Name, u.Wire)
		}
		switch u.Account {
		case "", "pass", "refuse":
		default:
			return fmt.Errorf("check gateway config: upstream %s: account %q: allowed are pass, refuse", u.Name, u.Account)
		}
		b, err := url.Parse(u.BaseURL)
		if err != nil || (b.Scheme != "http" && b.Scheme != "https") || b.Host == "" || b.User != nil || b.RawQuery != "" || b.Fragment != "" {
			return fmt.Errorf("check gateway config: upstream %s: base_url must be http(s)://host[:port][/path] and nothing more", u.Name)
		}
	}
	names := map[string]string{}
	for i := range c.Models {
		m := &c.Models[i]
		if m.UpstreamModel == "" {
			m.UpstreamModel = m.Name
		}
		if !ups[m.Upstream] {
			return fmt.Errorf("check gateway config: model %s: upstream %q is not declared", m.Name, m.Upstream)
		}
		switch m.OnStale {
		case "":
			m.OnStale = Hold
		case Hold, Refuse, Switch:
		default:
			return fmt.Errorf("check gateway config: model %s: on_stale %q: allowed are hold, refuse, fallback", m.Name, m.OnStale)
		}
		for _, n := range append([]string{m.Name}, m.Aliases...) {
			if n == "" {
				return fmt.Errorf("check gateway config: a model of upstream %s has no name", m.Upstream)
			}
			if other, dup := names[n]; dup {
				return fmt.Errorf("check gateway config: the name %q stands for both %s and %s", n, other, m.Name)
			}
			names[n] = m.Name
		}
		for j := range m.Versions {
			v := &m.Versions[j]
			if v.UpstreamModel == "" {
				v.UpstreamModel = v.Version
			}
			if other, dup := names[v.Version]; dup || v.Version == "" {
				return fmt.Errorf("check gateway config: model %s: version %q is empty, or stands for %s already", m.Name, v.Version, other)
			}
			names[v.Version] = m.Name + "'s version"
		}
		if m.FallbackCapacity < 0 {
			return fmt.Errorf("check gateway config: model %s: fallback_capacity is negative", m.Name)
		}
	}
	if u := c.UnknownModels; u != "" && names[u] != u {
		return fmt.Errorf("check gateway config: unknown_models %q is not a model of this gateway", u)
	}
	if c.CountryHeader != "" && len(c.Identity.TrustedProxies) == 0 {
		return fmt.Errorf("check gateway config: country_header needs identity.trusted_proxies: nobody could be believed")
	}
	derived := map[string]bool{}
	for _, m := range c.Models {
		derived[m.Name] = m.Base != ""
	}
	for _, m := range c.Models {
		if m.Base != "" && (names[m.Base] != m.Base || m.Base == m.Name || derived[m.Base]) {
			return fmt.Errorf("check gateway config: model %s: base %q is not a model of this gateway that stands for itself", m.Name, m.Base)
		}
		if m.Fallback == m.Name {
			return fmt.Errorf("check gateway config: model %s: its fallback is itself", m.Name)
		}
		if m.Fallback != "" && names[m.Fallback] != m.Fallback {
			return fmt.Errorf("check gateway config: model %s: fallback %q is not a model of this gateway", m.Name, m.Fallback)
		}
	}
	return nil
}
