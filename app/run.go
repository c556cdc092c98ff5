package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/mattn/go-isatty"

	"andon/app/config"
	"andon/sim"
)

// startBound is how long the parts may take until they listen; stopBound is how
// long an orderly end may take.
const (
	startBound = 30 * time.Second
	stopBound  = 10 * time.Second
)

// run starts an App, says where it is, and stops it when ctx ends.
func run(ctx context.Context, a *App, out io.Writer, started func() error) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	err := started()
	if err == nil {
		<-ctx.Done()
		fmt.Fprintln(out, "stopping; Ctrl-C again ends it at once")
	}
	// The context that ended is the wish to stop, not the bound of stopping.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
	defer cancel()
	return errors.Join(err, a.Stop(stopping))
}

// logger writes logs to stderr: for people on a terminal, else as JSON.
func logger(level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if isatty.IsTerminal(os.Stderr.Fd()) {
		return slog.New(slog.NewTextHandler(os.Stderr, o))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, o))
}

// Serve runs everything in one process until ctx ends.
func Serve(ctx context.Context, cfg *config.Config, out io.Writer) error {
	parts := Control | Gateway
	if cfg.Sim.Listen != "" {
		parts |= Sim
	}
	a, err := New(cfg, parts, logger(slog.LevelInfo))
	if err != nil {
		return err
	}
	return run(ctx, a, out, func() error {
		a.printControl(out)
		a.printGateway(out)
		a.printEmergency(out)
		return nil
	})
}

// RunControl runs the control plane alone until ctx ends.
func RunControl(ctx context.Context, cfg *config.Config, out io.Writer) error {
	a, err := New(cfg, Control, logger(slog.LevelInfo))
	if err != nil {
		return err
	}
	return run(ctx, a, out, func() error {
		a.printControl(out)
		if a.server != nil && a.server.Addr() != "" {
			fmt.Fprintf(out, "bus       %s\n", a.server.URL())
		}
		fmt.Fprintf(out, "gateways trust it with\n  gateway:\n    trust: [%q]\n", a.control.OrderKey().String())
		a.printEmergency(out)
		return nil
	})
}

// RunGateway runs a gateway alone until ctx ends.
func RunGateway(ctx context.Context, cfg *config.Config, out io.Writer) error {
	a, err := New(cfg, Gateway, logger(slog.LevelInfo))
	if err != nil {
		return err
	}
	return run(ctx, a, out, func() error {
		a.printGateway(out)
		a.printEmergency(out)
		return nil
	})
}

// printEmergency says in good time that the way out is not prepared.
func (a *App) printEmergency(out io.Writer) {
	if len(a.cfg.Gateway.EmergencyTrust) == 0 {
		fmt.Fprintln(out, "emergency no key is trusted, so emergency orders will not work: andon emergency keygen -f FILE, then gateway.emergency_trust in every file")
	}
}

func (a *App) printControl(out io.Writer) {
	fmt.Fprintf(out, "control   %s\n", a.ControlURL())
	fmt.Fprintf(out, "operator token in %s\n", a.cfg.Layout().OperatorToken())
	if a.cfg.Control.TLS.Mode == "auto" {
		fmt.Fprintf(out, "certificate of its authority, for --ca, in %s\n", a.cfg.Layout().CA()+".crt")
	}
}

func (a *App) printGateway(out io.Writer) {
	fmt.Fprintf(out, "gateway   %s\nadmin     %s\n", a.GatewayURL(), a.AdminURL())
}

// RunSim runs the simulated provider alone until ctx ends.
func RunSim(ctx context.Context, listen string, out io.Writer) error {
	s, err := sim.New(sim.Config{Listen: listen, Logger: logger(slog.LevelWarn)})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return fmt.Errorf("%w (ANDON_SIM_LISTEN or --listen sets the address)", err)
	}
	fmt.Fprintf(out, "sim       %s\n", s.URL())
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
	defer cancel()
	return s.Stop(stopping)
}

func url(tls bool, addr string) string {
	if tls {
		return "https://" + addr
	}
	return "http://" + addr
}

// ControlURL is the address of the control API; "" if it is not in this process.
func (a *App) ControlURL() string {
	if a.control == nil {
		return ""
	}
	return url(a.cfg.Control.TLS.On(), a.control.Addr())
}

// GatewayURL is where callers connect; "" if it is not in this process.
func (a *App) GatewayURL() string {
	if a.gateway == nil {
		return ""
	}
	return url(a.cfg.Gateway.TLS.On(), a.gateway.Addr())
}

// AdminURL is the gateway's admin listener; "" if it is not in this process.
func (a *App) AdminURL() string {
	if a.gateway == nil {
		return ""
	}
	return url(a.cfg.Gateway.AdminTLS.On(), a.gateway.AdminAddr())
}

// SimURL is the simulated provider; "" if it is not in this process.
func (a *App) SimURL() string {
	if a.sim == nil {
		return ""
	}
	return a.sim.URL()
}

// serveUntil serves until ctx ends, and then what has begun.
func serveUntil(ctx context.Context, name string, srv *http.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { // without it the program would not end
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
		defer cancel()
		if srv.Shutdown(bounded) != nil {
			srv.Close()
		}
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
