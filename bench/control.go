package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/bus"
	"andon/control"
	"andon/ledger"
	"andon/order"
)

// controlConfig is what controlRole needs.
type controlConfig struct {
	Data string `json:"data"`
}

// controlHello says how a control plane is reached.
type controlHello struct {
	Addr   string          `json:"addr"`
	Bus    string          `json:"bus"`
	Trust  order.PublicKey `json:"trust"`
	Token  string          `json:"token"` // an operator's
	Caller string          `json:"caller"`
}

// controlRole is the real control plane with its ledger in SQLite on disk and
// its bus open to gateways on loopback.
func controlRole(cfg jsontext.Value) (any, func(), error) {
	var c controlConfig
	if err := json.Unmarshal(cfg, &c); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, nil, err
	}
	note, _, err := ledger.LoadOrCreateSigner(filepath.Join(c.Data, "ledger.key"), "bench.example/andon")
	if err != nil {
		return nil, nil, err
	}
	record, err := ledger.OpenSQLite(filepath.Join(c.Data, "ledger.db"), note)
	if err != nil {
		return nil, nil, err
	}
	signer, err := order.LoadOrCreate(filepath.Join(c.Data, "order.key"))
	if err != nil {
		return nil, nil, err
	}
	server, err := bus.Embedded(bus.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		return nil, nil, err
	}
	own, err := server.Connect("control")
	if err != nil {
		return nil, nil, err
	}
	p, err := control.New(control.Config{Listen: "127.0.0.1:0", Bus: own, Log: record, Lists: filepath.Join(c.Data, "lists"), Signer: signer,
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))})
	if err != nil {
		return nil, nil, err
	}
	h := controlHello{Bus: server.URL(), Trust: signer.Public()}
	if h.Token, _, err = p.EnsureOperator("bench"); err != nil {
		return nil, nil, err
	}
	if _, h.Caller, _, err = p.EnsureKey(order.Key{Org: "acme", Tier: "paid", Attributes: []string{"cohort=bench"}}); err != nil {
		return nil, nil, err
	}
	if err := p.Start(context.Background()); err != nil {
		return nil, nil, err
	}
	h.Addr = p.Addr()
	return h, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.Stop(ctx)
		own.Close()
		server.Close()
		record.Close()
	}, nil
}

// realPlane is a control plane in a process of its own, and a connection to
// its API.
type realPlane struct {
	hello controlHello
	child *child
	api   *client
}

// control starts a control plane with n scoped corrections in force, given
// through its API, one command each.
func (b *bench) control(n int) (*realPlane, error) {
	p := &realPlane{}
	var err error
	if p.child, err = b.self("control", controlConfig{Data: filepath.Join(b.dir, fmt.Sprintf("control-%d", b.count.Add(1)))}, &p.hello); err != nil {
		return nil, err
	}
	if p.api, err = dial(p.hello.Addr); err != nil {
		return nil, err
	}
	b.onEnd(p.api.close)
	for i := range n {
		if _, _, err := p.correct(scopedText(i)); err != nil {
			return nil, fmt.Errorf("put corrections in force: %w", err)
		}
	}
	return p, nil
}

func (p *realPlane) gateway() gatewayConfig {
	return gatewayConfig{Bus: p.hello.Bus, Trust: p.hello.Trust}
}

func (p *realPlane) key() string { return p.hello.Caller }

// moment is when a command was sent, and when its success was known.
type moment struct{ sent, accepted time.Time }

// correct puts a correction in force, and returns its id.
func (p *realPlane) correct(text string) (id string, at moment, err error) {
	req := request("/api/v1/corrections", p.hello.Token, text)
	at.sent = time.Now()
	status, body, err := p.api.exchange(req)
	at.accepted = time.Now()
	if err != nil {
		return "", at, fmt.Errorf("command: %w", err)
	}
	if status != 201 {
		return "", at, fmt.Errorf("command answered %d: %s", status, body)
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &made); err != nil || made.ID == "" {
		return "", at, errors.Join(fmt.Errorf("command answered %s", body), err)
	}
	return made.ID, at, nil
}

func (p *realPlane) lift(id string) error {
	status, body, err := p.api.exchange(request("/api/v1/corrections/"+id+"/lift", p.hello.Token, `{"reason":"benchmark"}`))
	if err == nil && status != 200 {
		err = fmt.Errorf("lift answered %d: %s", status, body)
	}
	return err
}

// measured is what the control plane says of a correction's effect.
type measured struct {
	TimeToEffect float64 `json:"time_to_effect_ms"`
	Effect       struct {
		Desired   int `json:"desired"`
		Enforcing int `json:"enforcing"`
		Points    []struct {
			Cut int `json:"cut"`
		} `json:"points"`
	} `json:"effect"`
}

// effect waits until every gateway enforces a correction, by what the control
// plane says.
func (p *realPlane) effect(id string, gateways int) (m measured, err error) {
	req := fmt.Appendf(nil, "GET /api/v1/corrections/%s HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer %s\r\n\r\n", id, p.hello.Token)
	for range 1000 {
		status, body, err := p.api.exchange(req)
		if err != nil {
			return m, err
		}
		if status != 200 {
			return m, fmt.Errorf("asked for %s, answered %d: %s", id, status, body)
		}
		m = measured{}
		if err := json.Unmarshal(body, &m); err != nil {
			return m, err
		}
		if m.Effect.Enforcing >= gateways {
			return m, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return m, fmt.Errorf("%s is enforced by %d gateways of %d", id, m.Effect.Enforcing, gateways)
}

// fleet starts n gateways of a plane in front of a provider.
func (b *bench) fleet(p plane, n int, provider string) ([]*target, error) {
	var gs []*target
	for i := range n {
		g, err := b.gateway(p, fmt.Sprintf("gw-%d", i+1), provider)
		if err != nil {
			return nil, err
		}
		gs = append(gs, g)
	}
	return gs, nil
}
