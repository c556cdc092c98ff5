package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/bus"
	"andon/gateway"
	"andon/order"
)

// gatewayConfig is what gatewayRole needs.
type gatewayConfig struct {
	Name     string          `json:"name"`
	Data     string          `json:"data"`
	Provider string          `json:"provider"`
	Bus      string          `json:"bus"`
	Token    string          `json:"token"`
	Trust    order.PublicKey `json:"trust"`
}

// gatewayRole is one Andon gateway in a process of its own, as `andon gateway`
// runs it: identity by keys, orders from a control plane over the network.
func gatewayRole(cfg jsontext.Value) (any, func(), error) {
	var c gatewayConfig
	if err := json.Unmarshal(cfg, &c); err != nil {
		return nil, nil, err
	}
	b, err := bus.Dial(c.Bus, c.Name, c.Token)
	if err != nil {
		return nil, nil, err
	}
	base := "http://" + c.Provider
	g, err := gateway.New(gateway.Config{Name: c.Name, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: c.Data,
		Trust:     order.Trust{Control: []order.PublicKey{c.Trust}},
		Bus:       b,
		Upstreams: []gateway.Upstream{{Name: "sim", Wire: "all", BaseURL: base}},
		Models: []gateway.Model{{Name: "sim-large", Upstream: "sim", Version: "sim-large-1", Fallback: "sim-small"},
			{Name: "sim-small", Upstream: "sim"}},
		// What a gateway logs by default goes through the logger, as in production.
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))})
	if err != nil {
		return nil, nil, err
	}
	if err := g.Start(context.Background()); err != nil {
		return nil, nil, err
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		ok, why := g.Ready()
		if ok {
			break
		}
		if time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("gateway is not ready: %s", why)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return at{Addr: g.Addr(), Admin: g.AdminAddr()}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		g.Stop(ctx)
		b.Close()
	}, nil
}

// gateway starts one gateway of a plane.
func (b *bench) gateway(p plane, name, provider string) (*target, error) {
	cfg := p.gateway()
	cfg.Name, cfg.Provider, cfg.Data = name, provider, filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.count.Add(1)))
	var h at
	c, err := b.self("gateway", cfg, &h)
	if err != nil {
		return nil, err
	}
	return &target{name: name, addr: h.Addr, child: c, admin: h.Admin, gateway: true}, nil
}
