// Package app assembles Andon in one process: control plane, ledger, bus,
// gateway and simulated provider, all of them or the halves.
//
// Start returns once every part listens; a part that cannot start stops those
// that did, and the error says which address or folder to change. Stop ends
// the parts in the reverse order and takes no longer than its context allows.
// An App is started once and stopped once, by one goroutine.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"andon/app/config"
	"andon/bus"
	"andon/control"
	"andon/credential"
	"andon/gateway"
	"andon/ledger"
	"andon/sim"
)

// Parts says what an App runs.
type Parts uint8

// The parts.
const (
	Control Parts = 1 << iota // control plane, ledger, and the bus unless it is outside
	Gateway
	Sim
)

// App is one process of Andon.
type App struct {
	cfg   *config.Config
	parts Parts
	log   *slog.Logger

	// OperatorToken is the first operator's, once started; "" without a control
	// plane in this process.
	OperatorToken string

	beforeGateway func() error // what has to be done once the control plane is there

	stops   []stop                          // in the order of starting
	ca      *credential.Authorities         // the installation's own; nil: not needed yet
	files   map[string]*credential.Files    // certificates of listeners that come from files, by the path in the configuration
	joined  *credential.Joined              // what the gateway got by joining; nil: it has not
	admits  atomic.Pointer[control.Control] // who decides about certificates on the bus, once it is there
	server  *bus.Server
	control *control.Control
	gateway *gateway.Gateway
	sim     *sim.Sim
}

type stop struct {
	name string
	fn   func(context.Context) error
}

// New prepares an App. The configuration has been checked for these parts.
func New(cfg *config.Config, parts Parts, log *slog.Logger) (*App, error) {
	if parts == 0 {
		return nil, errors.New("create app: no part is asked for")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &App{cfg: cfg, parts: parts, log: log}, nil
}

// Start starts the parts: the simulated provider first, so that a gateway can
// reach it, and the gateway last, so that it finds its control plane.
func (a *App) Start(ctx context.Context) error {
	starting, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	err := a.start(starting)
	if err == nil {
		return nil
	}
	stopping, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
	defer cancelStop()
	return errors.Join(a.explain(err), a.Stop(stopping))
}

func (a *App) start(ctx context.Context) error {
	if err := os.MkdirAll(a.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	if a.parts&Sim != 0 {
		if err := a.startSim(ctx); err != nil {
			return err
		}
	}
	if a.parts&Control != 0 {
		if err := a.startControl(ctx); err != nil {
			return err
		}
	}
	if a.beforeGateway != nil {
		if err := a.beforeGateway(); err != nil {
			return err
		}
	}
	if a.parts&Gateway != 0 {
		return a.startGateway(ctx)
	}
	return nil
}

func (a *App) onStop(name string, fn func(context.Context) error) {
	a.stops = append(a.stops, stop{name, fn})
}

// Stop ends the parts, the last started first. Each may use half of the time
// that is left, so that a part which cannot end leaves enough for the others.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for i := len(a.stops) - 1; i >= 0; i-- {
		one, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			one, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		}
		if err := a.stops[i].fn(one); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", a.stops[i].name, err))
		}
		cancel()
	}
	a.stops = nil
	return errors.Join(errs...)
}

func (a *App) startSim(ctx context.Context) error {
	protected, err := a.serverTLS("sim.tls", &a.cfg.Sim.TLS, a.cfg.Sim.Listen, a.own())
	if err != nil {
		return err
	}
	s, err := sim.New(sim.Config{Listen: a.cfg.Sim.Listen, TLS: protected, Logger: a.log})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	a.sim = s
	a.onStop("simulated provider", s.Stop)
	return nil
}

// explain adds what to do to errors that a person can do something about.
func (a *App) explain(err error) error {
	if errors.Is(err, ledger.ErrInUse) {
		return fmt.Errorf("%w: another Andon runs on %s; stop it, or set ANDON_DATA to another folder", err, a.cfg.Data)
	}
	var op *net.OpError
	if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EADDRNOTAVAIL) || !errors.As(err, &op) || op.Addr == nil {
		return err
	}
	for _, p := range []struct{ path, addr string }{
		{"control.listen", a.cfg.Control.Listen}, {"control.bus_listen", a.cfg.Control.BusListen}, {"gateway.listen", a.cfg.Gateway.Listen},
		{"gateway.admin", a.cfg.Gateway.Admin}, {"sim.listen", a.cfg.Sim.Listen},
	} {
		if p.addr != "" && sameAddress(p.addr, op.Addr.String()) {
			return fmt.Errorf("%w: set %s to another address (%s is %s)", err, config.Variable(p.path), p.path, p.addr)
		}
	}
	return err
}

// sameAddress compares an address as configured with one as resolved.
func sameAddress(configured, resolved string) bool {
	if configured == resolved {
		return true
	}
	t, err := net.ResolveTCPAddr("tcp", configured)
	return err == nil && (t.String() == resolved || t.IP == nil && fmt.Sprintf("[::]:%d", t.Port) == resolved)
}
