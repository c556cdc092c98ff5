package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon/app/config"
)

// local is a configuration of everything on free ports.
func local(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.Data = t.TempDir()
	for _, p := range []*string{&c.Control.Listen, &c.Gateway.Listen, &c.Gateway.Admin, &c.Sim.Listen} {
		*p = "127.0.0.1:0"
	}
	if err := devConfig(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestStartServesAndStopLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := local(t)
	for range 2 { // the second time on what the first one left
		a, err := New(c, Control|Gateway|Sim, nil)
		if err != nil {
			t.Fatal(err)
		}
		var d DevFile
		a.beforeGateway = func() error { d, err = a.devTokens(); return err }
		if err := a.Start(bounded(t)); err != nil {
			t.Fatal(err)
		}
		if err := a.awaitReady(bounded(t)); err != nil {
			t.Fatal(err)
		}
		if err := a.writeDev(&d); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(c.Layout().Dev()); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("dev.json: %v %v", fi.Mode(), err)
		}
		req, err := http.NewRequest(http.MethodPost, a.GatewayURL()+"/v1/messages", strings.NewReader(`{"model":"sim-small","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-api-key", d.CallerKey)
		req.Header.Set("anthropic-version", "2023-06-01")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", resp.Status, body)
		}
		if err := a.Stop(bounded(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestStartThatFailsStopsWhatItStarted(t *testing.T) {
	defer goleak.VerifyNone(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := local(t)
	free := c.Gateway.Admin
	c.Gateway.Admin = taken.Addr().String()
	a, err := New(c, Control|Gateway|Sim, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = a.Start(bounded(t))
	if err == nil || !strings.Contains(err.Error(), "set ANDON_GATEWAY_ADMIN to another address") {
		t.Fatalf("got %v", err)
	}
	c.Gateway.Admin = free // the ledger is free again, so the same folder can start
	again, err := New(c, Control|Gateway|Sim, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if err := again.Stop(bounded(t)); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesNothing(t *testing.T) {
	if _, err := New(config.Default(), 0, nil); err == nil {
		t.Error("an app without parts was made")
	}
}
