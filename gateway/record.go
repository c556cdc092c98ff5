package gateway

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"andon/gateway/record"
	"andon/order"
)

// Record says how much a gateway remembers of the calls that it has decided.
type Record struct {
	Requests int           // default 262,144, at most 1,048,576; below 0: nothing is recorded
	Keep     time.Duration // default 24h
}

func (r *Record) check() error {
	if r.Requests == 0 {
		r.Requests = record.DefaultRequests
	}
	if r.Keep == 0 {
		r.Keep = record.DefaultKeep
	}
	if r.Requests > 0 && (r.Requests < record.MinRequests || r.Requests > record.MaxRequests) {
		return fmt.Errorf("check gateway config: record.requests is %d: allowed are 0 for none, and %d to %d", r.Requests, record.MinRequests, record.MaxRequests)
	}
	if r.Keep < time.Minute || r.Keep > 31*24*time.Hour {
		return fmt.Errorf("check gateway config: record.keep is %v: allowed are 1m to 744h", r.Keep)
	}
	return nil
}

// startRecord prepares pseudonyms and the record of calls.
func (g *Gateway) startRecord() error {
	secret := []byte(g.cfg.PseudonymKey)
	if len(secret) == 0 {
		var err error
		if secret, err = ownKey(filepath.Join(g.cfg.Data, "pseudonym.key")); err != nil {
			return fmt.Errorf("create gateway: %w", err)
		}
	}
	var trust []string
	for _, k := range g.cfg.Trust.Control {
		trust = append(trust, k.String())
	}
	slices.Sort(trust)
	g.pseudo = record.NewPseudonyms(secret, []byte(strings.Join(trust, "\n")))
	if g.cfg.Record.Requests > 0 {
		g.recorder = record.New(record.Config{Requests: g.cfg.Record.Requests, Keep: g.cfg.Record.Keep,
			Dir: filepath.Join(g.cfg.Data, "record"), Log: g.log}, g.pseudo)
	}
	return nil
}

// ownKey reads the secret of a gateway that shares none with others, or makes one.
func ownKey(name string) ([]byte, error) {
	key, err := os.ReadFile(name)
	if err == nil && len(key) >= 32 {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read pseudonym key: %w", err)
	}
	key = make([]byte, 32)
	rand.Read(key)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("make pseudonym key: %w", err)
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, key, 0o600); err != nil {
		return nil, fmt.Errorf("make pseudonym key: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return nil, fmt.Errorf("make pseudonym key: %w", err)
	}
	return bytes.Clone(key), nil
}

// remember records a call that was decided, once it has ended.
func (x *exchange) remember(c *call) {
	if c.asked == nil || x.g.recorder == nil {
		return
	}
	now := time.Now()
	r := record.Call{Request: c.req, At: c.began, Took: now.Sub(c.began), Outcome: c.outcome(), Input: x.usage.Input, Output: x.usage.Output, ToolCalls: x.acct.outcome.ToolCalls}
	c.asked.describe(&r.Request)
	if m := c.model; m != nil && (m.as != c.asked.as || m.Version != c.asked.Version) {
		r.Served, r.ServedVersion = m.as, m.Version
	}
	for _, o := range c.others {
		r.Others = append(r.Others, o.as, o.Version)
	}
	x.g.recorder.Add(&r)
}

// outcome is how the call ended.
func (c *call) outcome() record.Outcome {
	switch state := c.state.Load(); {
	case c.refusedAs == order.ActionLimited:
		return record.Limited
	case c.refusedAs != "":
		return record.Refused
	case state == cut:
		return record.Cut
	case state == gone:
		return record.Broken
	case c.model != nil && c.model.as != c.asked.as:
		return record.Fallback
	}
	return record.Served
}
