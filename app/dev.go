package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/app/config"
	"andon/order"
)

// DevFile is dev.json: where a running `make run` is, for tools.
type DevFile struct {
	Control       string `json:"control"`
	Gateway       string `json:"gateway"`
	Admin         string `json:"admin"`
	Sim           string `json:"sim"`
	OperatorToken string `json:"operator_token"`
	CallerKey     string `json:"caller_key"`
}

// Dev is `make run`: everything in one process with a simulated provider, the
// models sim-large and sim-small, an operator and a caller's key. Started again
// on the same folder, the same tokens go on working.
func Dev(ctx context.Context, cfg *config.Config, out io.Writer) error {
	if err := devConfig(cfg); err != nil {
		return err
	}
	a, err := New(cfg, Control|Gateway|Sim, logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	var d DevFile
	a.beforeGateway = func() error {
		d, err = a.devTokens()
		return err
	}
	return run(ctx, a, out, func() error {
		if err := a.awaitReady(ctx); err != nil {
			return err
		}
		if err := a.writeDev(&d); err != nil {
			return err
		}
		a.printDev(out, &d)
		return nil
	})
}

// devConfig adds what `make run` serves, unless a configuration names its own.
func devConfig(cfg *config.Config) error {
	if cfg.Sim.Listen == "" {
		cfg.Sim.Listen = "127.0.0.1:8082"
	}
	g := &cfg.Gateway
	if len(g.Upstreams) == 0 && len(g.Models) == 0 {
		g.Upstreams = []config.Upstream{{Name: "sim", Wire: "all", BaseURL: config.Simulated}}
		g.Models = []config.Model{
			{Name: "sim-large", Upstream: "sim", Version: "sim-large-1", OnStale: "hold", Fallback: "sim-small"},
			{Name: "sim-small", Upstream: "sim", Version: "sim-small-1", OnStale: "hold"},
		}
	}
	if len(g.EmergencyTrust) == 0 {
		key, err := order.LoadOrCreate(cfg.Layout().EmergencyKey())
		if err != nil {
			return err
		}
		g.EmergencyTrust = []string{key.Public().String()}
	}
	return cfg.CheckServe()
}

// devTokens takes up the tokens of the last run, or makes new ones. It runs
// before the gateway starts, whose first order from the control plane so tells
// it the caller's key.
func (a *App) devTokens() (DevFile, error) {
	name := a.cfg.Layout().Dev()
	var d DevFile
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("read %s (remove it to get new tokens): %w", name, err)
	}
	d.CallerKey, err = a.callerKey(d.CallerKey)
	return d, err
}

// awaitReady waits until the gateway enforces all that the control plane orders,
// and the control plane knows it: a gateway that was here before is ready with
// what it kept, which does not hold a key made since. In one process it takes
// milliseconds. A gateway that refuses its orders enforces what it has, which
// `andon status` is there to show.
func (a *App) awaitReady(ctx context.Context) error {
	deadline := time.Now().Add(startBound)
	for {
		ready, why := a.gateway.Ready()
		synced, hope, stands := a.control.Synced(a.cfg.Gateway.Name)
		switch {
		case ready && (synced || !hope), ctx.Err() != nil: // whoever ends it while it starts needs no error
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the gateway is not ready after %s: %s", startBound, cmp.Or(why, stands))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// writeDev completes dev.json with where everything is, and writes it.
func (a *App) writeDev(d *DevFile) error {
	d.Control, d.Gateway, d.Admin, d.Sim, d.OperatorToken = a.ControlURL(), a.GatewayURL(), a.AdminURL(), a.SimURL(), a.OperatorToken
	data, err := json.Marshal(d, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	return writePrivate(a.cfg.Layout().Dev(), append(data, '\n'))
}

// writePrivate replaces a file whole, readable by its owner alone.
func writePrivate(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (a *App) printDev(out io.Writer, d *DevFile) {
	self := os.Args[0]
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, self); err == nil && filepath.IsAbs(self) && !strings.HasPrefix(rel, "..") {
			self = "./" + rel
		}
	}
	if filepath.Clean(a.cfg.Data) != "andon-data" {
		self += " --dev " + a.cfg.Data
	}
	fmt.Fprintf(out, `Andon is running. Its data is in %s.

  gateway         %s  (OpenAI SDKs: %s/v1)
  control         %s
  admin           %s
  sim             %s
  operator token  %s
  caller key      %s

call the model
  curl %s/v1/chat/completions -H "authorization: Bearer %s" \
    -H "content-type: application/json" \
    -d '{"model":"sim-large","messages":[{"role":"user","content":"hello"}]}'
stop it
  %s stop sim-large --reason "trying the cord"
see what is in force
  %s status

Ctrl-C ends it.
`, a.cfg.Data, d.Gateway, d.Gateway, d.Control, d.Admin, d.Sim, d.OperatorToken, d.CallerKey, d.Gateway, d.CallerKey, self, self)
}
