package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"andon/bus"
	"andon/control"
	"andon/credential"
	"andon/order"
	"andon/people"
)

// firstOperator is the name of the operator that a new installation gets.
const firstOperator = "first"

func (a *App) startControl(ctx context.Context) error {
	l := a.cfg.Layout()
	record, ledgerKey, rekeyed, err := a.openLedger(l)
	if err != nil {
		return err
	}
	a.onStop("ledger", func(context.Context) error { return record.Close() })
	b, err := a.startBus()
	if err != nil {
		return err
	}
	a.onStop("control plane's bus", func(context.Context) error { b.Close(); return nil })
	trust, err := a.trust()
	if err != nil {
		return err
	}
	cc := control.Config{
		Listen: a.cfg.Control.Listen, Bus: b, Log: record, Lists: l.Lists(), Attachments: l.Attachments(), Evidence: l.Evidence(),
		People: l.People(), OIDC: a.cfg.Control.Issuer(), StepUp: a.cfg.Control.StepUp, Proxies: a.cfg.Control.Proxies(),
		Sessions: people.Span{Idle: time.Duration(a.cfg.Control.Sessions.Idle), Absolute: time.Duration(a.cfg.Control.Sessions.Absolute)},
		Source:   a.cfg.Control.OrderKey, OpenSigner: a.openSigner, Emergency: trust.Emergency, Models: a.models(),
		Lease: time.Duration(a.cfg.Gateway.Lease), LedgerKey: ledgerKey, Rekeyed: rekeyed, Logger: a.log,
	}
	cc.Alerts, cc.AlertFile, cc.URL = a.cfg.Control.Endpoints(), l.Alerts(), strings.TrimRight(a.cfg.Control.URL, "/")
	for _, w := range a.cfg.Control.Witnesses {
		cc.Witnesses = append(cc.Witnesses, control.OutsideWitness{URL: w.URL, Key: w.Key})
	}
	if err := a.controlTLS(&cc); err != nil {
		return err
	}
	if a.parts&Gateway != 0 && a.server != nil && credential.NameValid(a.cfg.Gateway.Name) {
		cc.Local = a.cfg.Gateway.Name
	}
	c, err := control.New(cc)
	if err != nil {
		return err
	}
	a.control = c
	a.admits.Store(c)
	if err := a.operator(); err != nil {
		return err
	}
	a.readmit()
	a.onStop("control plane", c.Stop)
	return c.Start(ctx)
}

// startBus starts the bus of this process, or joins the one outside.
func (a *App) startBus() (*bus.Bus, error) {
	c := &a.cfg.Control
	if c.Bus != "embedded" {
		return bus.Dial(c.Bus, "control", c.Token)
	}
	o, err := a.busOptions()
	if err != nil {
		return nil, err
	}
	s, err := bus.Embedded(o)
	if err != nil {
		return nil, err
	}
	a.server = s
	a.onStop("bus", func(context.Context) error { s.Close(); return nil })
	return s.Connect("control")
}

func (a *App) models() []control.ModelInfo {
	var out []control.ModelInfo
	for _, m := range a.cfg.Gateway.Models {
		out = append(out, control.ModelInfo{Name: m.Name, Version: m.Version, Fallback: m.Fallback, Upstream: m.Upstream})
	}
	return out
}

// operator makes the first operator, or takes up the token that was kept. A
// token that was lost is replaced: whoever holds the data folder holds the
// installation.
func (a *App) operator() error {
	name := a.cfg.Layout().OperatorToken()
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read operator token: %w", err)
	}
	if token := strings.TrimSpace(string(data)); token != "" && a.control.TokenValid(token) {
		a.OperatorToken = token
		return nil
	}
	token, created, err := a.control.EnsureOperator(firstOperator)
	if err == nil && !created {
		a.log.Warn("the operator token was lost and is replaced", "file", name)
		token, err = a.control.ReplaceToken(firstOperator)
	}
	if err != nil {
		return err
	}
	a.OperatorToken = token
	return writePrivate(name, []byte(token+"\n"))
}

// readmit lets those in anew whom a file in the data folder names: the way back
// where everybody who would have to agree to it has lost what they come in with.
// The file keeps whoever could not be let in, so that what failed, or a crash
// interrupted, is done at the next start; nothing of it keeps this one from going on.
func (a *App) readmit() {
	name := a.cfg.Layout().Readmit()
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var left []string
	for line := range strings.Lines(string(data)) {
		who := strings.TrimSpace(line)
		if who == "" || strings.HasPrefix(who, "#") {
			continue
		}
		if err := a.readmitOne(who); err != nil {
			a.log.Error("an operator is not let in anew", "file", name, "error", err)
			left = append(left, who+"\n")
		}
	}
	switch {
	case err != nil:
	case len(left) == 0:
		err = os.Remove(name)
	default:
		err = writePrivate(name, []byte(strings.Join(left, "")))
	}
	if err != nil {
		a.log.Error("who is to be let in anew", "file", name, "error", err)
	}
}

func (a *App) readmitOne(who string) error {
	id, token, err := a.control.Readmit(who)
	if err != nil {
		return err
	}
	file := a.cfg.Layout().Readmitted(id)
	if err := writePrivate(file, []byte(token+"\n")); err != nil {
		return err
	}
	a.log.Warn("ALARM: an operator was let in anew; hand over what they enrol with, then remove the file", "operator", who, "id", id, "file", file)
	return nil
}

// callerKey makes sure that a caller's key of org acme exists, and returns its
// secret: the one that was kept, or a new one if there is none or it was revoked.
func (a *App) callerKey(kept string) (string, error) {
	if kept != "" {
		err := a.ensureKey(kept)
		if !errors.Is(err, control.ErrRevoked) {
			return kept, err
		}
	}
	made := "ak_" + rand.Text()
	return made, a.ensureKey(made)
}

func (a *App) ensureKey(secret string) error {
	sum := sha256.Sum256([]byte(secret))
	_, _, _, err := a.control.EnsureKey(order.Key{Org: "acme", Hash: hex.EncodeToString(sum[:])})
	return err
}
