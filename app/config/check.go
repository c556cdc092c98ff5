package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/witness"
)

// checker collects everything that is wrong, so that one run shows it all.
type checker struct {
	c    *Config
	errs []error
}

func (k *checker) fail(path, detail string, allowed ...string) {
	e := &Error{Path: path, Detail: detail, Allowed: allowed}
	if p, ok := k.c.places[path]; ok {
		e.Where = p.String()
	} else if s := k.c.sources[path]; s != "" {
		e.Where = s
	} else if i := strings.LastIndexByte(path, '.'); i > 0 { // a field that was left out: its section
		if p, ok := k.c.places[path[:i]]; ok {
			e.Where = p.String()
		}
	}
	k.errs = append(k.errs, e)
}

// Check checks what every way of running has in common.
func (c *Config) Check() error {
	k := &checker{c: c}
	k.common()
	return errors.Join(k.errs...)
}

// CheckServe checks a configuration for everything in one process.
func (c *Config) CheckServe() error {
	k := &checker{c: c}
	k.common()
	k.served()
	k.distinct("control.listen", "gateway.listen", "gateway.admin", "sim.listen", "control.bus_listen")
	k.protected("control.tls", "control.bus_tls", "gateway.tls", "gateway.admin_tls", "sim.tls")
	if c.Gateway.Join != "" {
		k.fail("gateway.join", "has no meaning with the control plane in the same process; it is for andon gateway")
	}
	return errors.Join(k.errs...)
}

// CheckControl checks a configuration for the control plane alone.
func (c *Config) CheckControl() error {
	k := &checker{c: c}
	k.common()
	if c.Control.Bus == "embedded" && c.Control.BusListen == "" {
		k.fail("control.bus_listen", "no gateway can reach the embedded bus: give an address, such as 0.0.0.0:4222")
	}
	k.distinct("control.listen", "control.bus_listen")
	k.protected("control.tls", "control.bus_tls")
	return errors.Join(k.errs...)
}

// CheckGateway checks a configuration for a gateway alone.
func (c *Config) CheckGateway() error {
	k := &checker{c: c}
	k.common()
	k.served()
	joins := c.Gateway.Join != "" || c.JoinedAs() != ""
	if c.Gateway.Bus == "" && !joins {
		k.fail("gateway.bus", "missing: the address of the control plane's bus, such as nats://control:4222; or give gateway.join a token of andon join-token add")
	}
	if len(c.Gateway.Trust) == 0 && !joins {
		k.fail("gateway.trust", "missing: the public key of the control plane, which it prints when it starts; or give gateway.join a token of andon join-token add")
	}
	k.distinct("gateway.listen", "gateway.admin")
	k.protected("gateway.tls", "gateway.admin_tls")
	return errors.Join(k.errs...)
}

func (k *checker) common() {
	c := k.c
	if c.Data == "" {
		k.fail("data", "missing: a folder for everything that has to last")
	}
	k.address("control.listen", c.Control.Listen, true)
	k.address("control.bus_listen", c.Control.BusListen, false)
	k.address("gateway.listen", c.Gateway.Listen, true)
	k.address("gateway.admin", c.Gateway.Admin, true)
	k.address("sim.listen", c.Sim.Listen, false)
	if c.Control.Store != "sqlite" {
		k.fail("control.store", fmt.Sprintf("%q is not available", Redact("control.store", c.Control.Store)), "sqlite")
	}
	if c.Control.Origin == "" || strings.ContainsAny(c.Control.Origin, "+ \t\r\n") {
		k.fail("control.origin", "the name of the ledger: without blanks and +, such as example.com/andon")
	}
	for i, w := range c.Control.Witnesses {
		if _, err := witness.NewClient(w.URL, w.Key); err != nil {
			k.fail(fmt.Sprintf("control.witnesses[%d]", i), err.Error())
		}
	}
	k.alerts()
	if c.Control.Bus != "embedded" {
		k.nats("control.bus", c.Control.Bus, "embedded, or nats://host:port")
		if c.Control.BusListen != "" {
			k.fail("control.bus_listen", "has no meaning with an outside bus")
		}
	}
	if c.Gateway.Bus != "" {
		k.nats("gateway.bus", c.Gateway.Bus, "nats://host:port")
	}
	if c.Control.BusListen != "" && c.Control.Token == "" && c.Control.BusTLS.Mode == "off" {
		k.fail("control.token", "missing: a bus that listens without TLS needs a shared secret")
	}
	if u, err := url.Parse(c.Control.URL); c.Control.URL != "" && (err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
		k.fail("control.url", "must be https://host:port")
	}
	g := &c.Gateway
	if g.Name == "" || len(g.Name) > 64 || strings.ContainsAny(g.Name, " \t\r\n.*>/\\") {
		k.fail("gateway.name", "1 to 64 characters without blanks, dots, slashes, * or >")
	}
	if g.Surface == "" {
		k.fail("gateway.surface", "missing")
	}
	if l := time.Duration(g.Lease); l < time.Second || l > time.Hour {
		k.fail("gateway.lease", "is "+g.Lease.String(), "1s to 1h")
	}
	if g.MaxBody < 1<<10 || g.MaxBody > 1<<30 {
		k.fail("gateway.max_body", "is "+g.MaxBody.String(), "1KiB to 1GiB")
	}
	if n := g.Record.Requests; n != 0 && (n < 1<<10 || n > 1<<20) {
		k.fail("gateway.record.requests", "is "+n.String(), "0 for none", "1024 to 1048576")
	}
	if d := time.Duration(g.Record.Keep); d < time.Minute || d > 744*time.Hour {
		k.fail("gateway.record.keep", "is "+g.Record.Keep.String(), "1m to 744h")
	}
	if n := len(g.PseudonymKey); n != 0 && n < 16 {
		k.fail("gateway.pseudonym_key", "a secret of at least 16 bytes, or none: a short one can be guessed")
	}
	k.link("gateway.notice_url", g.NoticeURL)
	k.link("gateway.appeal_url", g.AppealURL)
	k.people()
	k.identity()
	k.upstreams()
	k.models()
	k.detectors()
	if g.CountryHeader != "" && len(g.Identity.TrustedProxies) == 0 {
		k.fail("gateway.country_header", "nobody is believed without gateway.identity.trusted_proxies")
	}
}

func (k *checker) detectors() {
	seen := map[string]bool{"patterns": true}
	for i, d := range k.c.Gateway.Detectors {
		at := fmt.Sprintf("gateway.detectors[%d]", i)
		if d.Name == "" || seen[d.Name] || len(d.Name) > 64 {
			k.fail(at+".name", fmt.Sprintf("%q: 1 to 64 characters, given once; \"patterns\" is taken", d.Name))
		}
		seen[d.Name] = true
		if d.Type != "moderation" && d.Type != "chat" {
			k.fail(at+".type", fmt.Sprintf("unknown type %q", d.Type), "moderation", "chat")
		}
		if u, err := url.Parse(d.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
			k.fail(at+".url", "must be http:// or https://, a host, and at most a path; credentials belong into key")
		}
		if d.Model == "" {
			k.fail(at+".model", "missing: the model that classifies")
		}
		if d.Type == "chat" && d.Policy == "" {
			k.fail(at+".policy", "missing: what is looked for, in words")
		}
		if t := time.Duration(d.Timeout); t != 0 && (t < 50*time.Millisecond || t > time.Minute) {
			k.fail(at+".timeout", "is "+d.Timeout.String(), "50ms to 60s")
		}
	}
}

// served checks that there is something to serve.
func (k *checker) served() {
	if len(k.c.Gateway.Upstreams) == 0 {
		k.fail("gateway.upstreams", "missing: at least one provider, with name, wire and base_url")
	}
	if len(k.c.Gateway.Models) == 0 {
		k.fail("gateway.models", "missing: at least one model, with name and upstream")
	}
}

func (k *checker) identity() {
	id := &k.c.Gateway.Identity
	const path = "gateway.identity.mode"
	switch id.Mode {
	case "keys", "open":
	case "header":
		if len(id.TrustedProxies) == 0 {
			k.fail("gateway.identity.trusted_proxies", "header mode believes whoever is in front: name those networks")
		}
	case "jwt":
		k.fail(path, "jwt is not available yet", "keys", "header", "open")
	default:
		k.fail(path, fmt.Sprintf("unknown mode %q", id.Mode), "keys", "header", "open")
	}
	for i, p := range id.TrustedProxies {
		if _, err := ParsePrefix(p); err != nil {
			k.fail(fmt.Sprintf("gateway.identity.trusted_proxies[%d]", i), fmt.Sprintf("%q is neither a network such as 10.0.0.0/8 nor an address", p))
		}
	}
}

// ParsePrefix reads a network, or one address as the network that holds it alone.
func ParsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("parse network %q: %w", s, err)
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
}

func (k *checker) upstreams() {
	seen := map[string]bool{}
	for i, u := range k.c.Gateway.Upstreams {
		at := fmt.Sprintf("gateway.upstreams[%d]", i)
		switch {
		case u.Name == "":
			k.fail(at+".name", "missing")
		case seen[u.Name]:
			k.fail(at+".name", fmt.Sprintf("the name %q is given twice", u.Name))
		}
		seen[u.Name] = true
		if !slices.Contains([]string{"openai", "anthropic", "gemini", "all"}, u.Wire) {
			k.fail(at+".wire", fmt.Sprintf("unknown wire %q", u.Wire), "openai", "anthropic", "gemini", "all")
		}
		if !slices.Contains([]string{"", "pass", "refuse"}, u.Account) {
			k.fail(at+".account", fmt.Sprintf("unknown rule %q", u.Account), "pass", "refuse")
		}
		b, err := url.Parse(u.BaseURL)
		switch {
		case u.BaseURL == Simulated && k.c.Sim.Listen == "":
			k.fail(at+".base_url", Simulated+" stands for the simulated provider of this process: set sim.listen")
		case u.BaseURL == Simulated:
		case err != nil || (b.Scheme != "http" && b.Scheme != "https") || b.Host == "":
			k.fail(at+".base_url", "must be http:// or https://, a host, and at most a path")
		case b.User != nil:
			k.fail(at+".base_url", "credentials do not belong here: use key")
		case b.RawQuery != "" || b.Fragment != "":
			k.fail(at+".base_url", "a query or a fragment has no meaning here")
		}
	}
}

func (k *checker) models() {
	g := &k.c.Gateway
	var ups, models []string
	for _, u := range g.Upstreams {
		ups = append(ups, u.Name)
	}
	for _, m := range g.Models {
		models = append(models, m.Name)
	}
	if g.UnknownModels != "refuse" && g.Model(g.UnknownModels) == nil {
		k.fail("gateway.unknown_models", fmt.Sprintf("no model %q is declared", g.UnknownModels), append([]string{"refuse"}, models...)...)
	}
	if p := g.SystemPrompts; p != "off" && p != "digests" && p != "texts" {
		k.fail("gateway.system_prompts", fmt.Sprintf("unknown value %q", p), "off", "digests", "texts")
	}
	taken := map[string]string{}
	for i, m := range g.Models {
		at := fmt.Sprintf("gateway.models[%d]", i)
		for j, n := range append([]string{m.Name}, m.Aliases...) {
			p := at + ".name"
			if j > 0 {
				p = fmt.Sprintf("%s.aliases[%d]", at, j-1)
			}
			if n == "" {
				k.fail(p, "missing")
			} else if other, dup := taken[n]; dup {
				k.fail(p, fmt.Sprintf("the name %q already stands for model %s", n, other))
			} else {
				taken[n] = m.Name
			}
		}
		for j, v := range m.Versions {
			p := fmt.Sprintf("%s.versions[%d].version", at, j)
			if v.Version == "" {
				k.fail(p, "missing")
			} else if other, dup := taken[v.Version]; dup {
				k.fail(p, fmt.Sprintf("the name %q already stands for model %s", v.Version, other))
			} else {
				taken[v.Version] = m.Name
			}
		}
		switch b := g.Model(m.Base); {
		case m.Base == "":
		case m.Base == m.Name:
			k.fail(at+".base", "a model cannot be its own base")
		case b == nil:
			k.fail(at+".base", fmt.Sprintf("no model %q is declared", m.Base), models...)
		case b.Base != "":
			k.fail(at+".base", fmt.Sprintf("%s is itself derived: name %s", m.Base, b.Base))
		}
		if !slices.Contains(ups, m.Upstream) {
			k.fail(at+".upstream", fmt.Sprintf("no upstream %q is declared", m.Upstream), ups...)
		}
		if _, in := m.Price.InputPerM.Dollars(); in != (m.Price.OutputPerM != "") {
			k.fail(at+".price", "input_per_m and output_per_m go together: US dollars for a million tokens")
		}
		switch m.OnStale {
		case "", "hold", "refuse":
		case "fallback":
			if m.Fallback == "" {
				k.fail(at+".on_stale", "fallback needs a model in fallback")
			}
		default:
			k.fail(at+".on_stale", fmt.Sprintf("unknown posture %q", m.OnStale), "hold", "refuse", "fallback")
		}
		switch {
		case m.Fallback == "":
		case m.Fallback == m.Name:
			k.fail(at+".fallback", "a model cannot be its own fallback")
		case !slices.Contains(models, m.Fallback):
			k.fail(at+".fallback", fmt.Sprintf("no model %q is declared", m.Fallback), models...)
		default:
			if ring := g.ring(m.Name); ring != nil && slices.Min(ring) == m.Name { // said once for a ring
				k.fail(at+".fallback", "the fallbacks go round in a circle: "+strings.Join(append(ring, m.Name), " -> "))
			}
		}
	}
}

// ring returns the models that a chain of fallbacks passes on its way back to
// the one it started from, or nil.
func (g *Gateway) ring(start string) []string {
	path := []string{start}
	for m := g.Model(start); m != nil && m.Fallback != ""; m = g.Model(m.Fallback) {
		if m.Fallback == start {
			return path
		}
		if slices.Contains(path, m.Fallback) {
			return nil
		}
		path = append(path, m.Fallback)
	}
	return nil
}

func (k *checker) address(path, addr string, required bool) {
	if addr == "" {
		if required {
			k.fail(path, "missing: an address such as 127.0.0.1:8080")
		}
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
		k.fail(path, fmt.Sprintf("%q is not host:port with a port from 0 to 65535", addr))
	}
}

// distinct checks that two listeners do not want the same place. Port 0 is
// any free port, and never the same.
func (k *checker) distinct(paths ...string) {
	all := map[string]string{
		"control.listen": k.c.Control.Listen, "control.bus_listen": k.c.Control.BusListen,
		"gateway.listen": k.c.Gateway.Listen, "gateway.admin": k.c.Gateway.Admin, "sim.listen": k.c.Sim.Listen,
	}
	used := map[string]string{}
	for _, p := range paths {
		a := all[p]
		if a == "" || strings.HasSuffix(a, ":0") {
			continue
		}
		if other, dup := used[a]; dup {
			k.fail(p, fmt.Sprintf("%s is the address of %s as well", a, other))
		}
		used[a] = p
	}
}

func (k *checker) nats(path, list, allowed string) {
	for _, one := range strings.Split(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || (u.Scheme != "nats" && u.Scheme != "tls") || u.Host == "" {
			k.fail(path, "is not the address of a bus", allowed)
			return
		}
	}
}

func (k *checker) link(path, s string) {
	if s == "" {
		return
	}
	if u, err := url.Parse(s); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		k.fail(path, "must be an http:// or https:// address")
	}
}
