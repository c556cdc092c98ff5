package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"andon/app/config"
	"andon/bus"
	"andon/credential"
	"andon/gateway"
	"andon/order"
)

func (a *App) startGateway(ctx context.Context) error {
	if a.parts&Control == 0 {
		if err := a.joinNow(ctx); err != nil {
			return err
		}
	}
	gc, err := a.gatewayConfig()
	if err != nil {
		return err
	}
	own := a.cfg.Gateway.Name
	name := "gateway " + own
	var b *bus.Bus
	switch {
	case a.server != nil && credential.NameValid(own):
		b, err = a.server.ConnectAs(name, own)
	case a.server != nil:
		b, err = a.server.Connect(name)
	case a.joined != nil:
		b, err = bus.DialAs(a.cfg.Gateway.Bus, name, own, a.joined.Client())
	case a.parts&Control != 0:
		b, err = bus.Dial(a.cfg.Control.Bus, name, a.cfg.Control.Token)
	case a.cfg.Gateway.CA != "":
		var pool func() *x509.CertPool // the file may change: the installation's authority can be replaced
		if pool, err = credential.WatchPool(a.cfg.Gateway.CA, a.alarm("gateway.ca")); err != nil {
			return fmt.Errorf("gateway.ca: %w", err)
		}
		believed := func() credential.Believed { p := pool(); return credential.Believed{CA: p, Others: p} }
		b, err = bus.DialTLS(a.cfg.Gateway.Bus, name, a.cfg.Control.Token, credential.ClientOf(believed, nil, nil))
	default:
		b, err = bus.Dial(a.cfg.Gateway.Bus, name, a.cfg.Control.Token)
	}
	if err != nil {
		return err
	}
	gc.Bus = b
	a.onStop("gateway's bus", func(context.Context) error { b.Close(); return nil })
	g, err := gateway.New(*gc)
	if err != nil {
		return err
	}
	if err := g.Start(ctx); err != nil {
		return err
	}
	a.gateway = g
	a.onStop("gateway", g.Stop)
	if a.joined != nil {
		renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan struct{})
		go func() { // without it the certificate ends
			defer close(ended)
			a.keepJoined(renewing)
		}()
		a.onStop("gateway's certificate", func(context.Context) error { stop(); <-ended; return nil })
	}
	return nil
}

// gatewayConfig maps andon.yaml onto what a gateway takes.
func (a *App) gatewayConfig() (*gateway.Config, error) {
	c := &a.cfg.Gateway
	trust, err := a.trust()
	if err != nil {
		return nil, err
	}
	gc := &gateway.Config{
		Name: c.Name, Listen: c.Listen, Admin: c.Admin, Surface: c.Surface,
		Data:  a.cfg.Layout().Gateway(c.Name),
		Lease: time.Duration(c.Lease), MaxBody: int64(c.MaxBody),
		NoticeURL: c.NoticeURL, AppealURL: c.AppealURL,
		GeoIP: c.GeoIP, CountryHeader: c.CountryHeader,
		Identity: gateway.Identity{Mode: c.Identity.Mode},
		Trust:    trust, Logger: a.log,
		Record:       gateway.Record{Requests: int(c.Record.Requests), Keep: time.Duration(c.Record.Keep)},
		PseudonymKey: cmp.Or(c.PseudonymKey, a.cfg.Control.Token), SystemPrompts: c.SystemPrompts,
	}
	if gc.PseudonymKey == "" && a.ca != nil { // the same as gateways get that join
		if gc.PseudonymKey, err = a.ca.Derive("pseudonyms"); err != nil {
			return nil, err
		}
	}
	if gc.TLS, err = a.serverTLS("gateway.tls", &c.TLS, c.Listen, a.own()); err != nil {
		return nil, err
	}
	if gc.TLS != nil {
		credential.Older(gc.TLS)
	}
	if gc.AdminTLS, err = a.serverTLS("gateway.admin_tls", &c.AdminTLS, c.Admin, a.own()); err != nil {
		return nil, err
	}
	if gc.Record.Requests == 0 {
		gc.Record.Requests = -1
	}
	for _, p := range c.Identity.TrustedProxies {
		prefix, err := config.ParsePrefix(p)
		if err != nil {
			return nil, err
		}
		gc.Identity.TrustedProxies = append(gc.Identity.TrustedProxies, prefix)
	}
	for _, u := range c.Upstreams {
		base := u.BaseURL
		if base == config.Simulated {
			if a.sim == nil {
				return nil, fmt.Errorf("upstream %s: %s stands for the simulated provider of this process: set sim.listen", u.Name, config.Simulated)
			}
			base = a.sim.URL()
		}
		up := gateway.Upstream{Name: u.Name, Wire: u.Wire, BaseURL: base, Key: u.Key, Account: u.Account}
		switch {
		case u.CA != "":
			if up.Authorities, err = credential.ReadPool(u.CA); err != nil {
				return nil, fmt.Errorf("upstream %s: ca: %w", u.Name, err)
			}
		case u.BaseURL == config.Simulated && a.cfg.Sim.TLS.Mode == "auto":
			ca, err := a.authority()
			if err != nil {
				return nil, err
			}
			up.Authorities = ca.Pool()
		}
		gc.Upstreams = append(gc.Upstreams, up)
	}
	for _, m := range c.Models {
		model := gateway.Model{
			Name: m.Name, Upstream: m.Upstream, UpstreamModel: m.UpstreamModel, Version: m.Version,
			OnStale: gateway.Posture(m.OnStale), Fallback: m.Fallback, Aliases: m.Aliases,
			Base: m.Base, FallbackCapacity: int(m.FallbackCapacity),
		}
		if in, ok := m.Price.InputPerM.Dollars(); ok {
			out, _ := m.Price.OutputPerM.Dollars()
			model.Price = &gateway.Price{InputPerM: in, OutputPerM: out}
		}
		for _, v := range m.Versions {
			model.Versions = append(model.Versions, gateway.ModelVersion{Version: v.Version, UpstreamModel: v.UpstreamModel})
		}
		gc.Models = append(gc.Models, model)
	}
	if c.UnknownModels != "refuse" {
		gc.UnknownModels = c.UnknownModels
	}
	for _, d := range c.Detectors {
		gc.Detectors = append(gc.Detectors, gateway.Detector{Name: d.Name, Type: d.Type, URL: d.URL, Key: d.Key, Model: d.Model,
			Category: d.Category, Policy: d.Policy, Timeout: time.Duration(d.Timeout)})
	}
	return gc, nil
}

// trust is whose orders this process obeys: its own control plane's, and those
// of the keys that the configuration names.
func (a *App) trust() (order.Trust, error) {
	var t order.Trust
	if a.control != nil {
		t.Control = append(t.Control, a.control.Anchor())
	}
	if a.parts&Gateway != 0 {
		control, err := publicKeys("gateway.trust", a.cfg.Gateway.Trust)
		if err != nil {
			return t, err
		}
		t.Control = append(t.Control, control...)
	}
	var err error
	t.Emergency, err = publicKeys("gateway.emergency_trust", a.cfg.Gateway.EmergencyTrust)
	return t, err
}

func publicKeys(path string, texts []string) ([]order.PublicKey, error) {
	var out []order.PublicKey
	for i, text := range texts {
		k, err := order.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", path, i, err)
		}
		out = append(out, k)
	}
	return out, nil
}
