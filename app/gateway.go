package app

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"andon/app/config"
	"andon/bus"
	"andon/gateway"
	"andon/order"
)

func (a *App) startGateway(ctx context.Context) error {
	gc, err := a.gatewayConfig()
	if err != nil {
		return err
	}
	name := "gateway " + a.cfg.Gateway.Name
	var b *bus.Bus
	switch {
	case a.server != nil:
		b, err = a.server.Connect(name)
	case a.parts&Control != 0:
		b, err = bus.Dial(a.cfg.Control.Bus, name, a.cfg.Control.Token)
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
		PseudonymKey: cmp.Or(c.PseudonymKey, a.cfg.Control.Token),
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
		gc.Upstreams = append(gc.Upstreams, gateway.Upstream{Name: u.Name, Wire: u.Wire, BaseURL: base, Key: u.Key, Account: u.Account})
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
	if a.parts&Control != 0 {
		t.Control = append(t.Control, a.signer.Public())
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
