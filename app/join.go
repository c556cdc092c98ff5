package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/app/config"
	"andon/credential"
)

// How a gateway that joins behaves towards its control plane.
const (
	joinTime   = 15 * time.Second // for one answer
	joinAgain  = 500 * time.Millisecond
	renewLook  = time.Minute         // a clock may jump, and an authority be replaced
	renewAlarm = 14 * 24 * time.Hour // before the end of a certificate
)

// joinNow makes sure that the gateway has credentials of its own, if it was told to
// join, now or in an earlier life. What it has is used on when a new token
// brings nothing: it may be stopped from enforcing by nobody who cannot stop it
// otherwise.
func (a *App) joinNow(ctx context.Context) error {
	c := &a.cfg.Gateway
	name := a.cfg.JoinedAs()
	var token credential.Token
	if c.Join != "" {
		var err error
		if token, err = credential.ParseToken(c.Join); err != nil {
			return fmt.Errorf("gateway.join: %w", err)
		}
		if a.cfg.Given("gateway.name") && c.Name != token.Gateway {
			return fmt.Errorf("gateway.join: the token is for gateway %s, and gateway.name says %s; leave the name out, or make a token for it", token.Gateway, c.Name)
		}
		name = token.Gateway
	}
	if name == "" {
		return nil
	}
	c.Name = name
	dir := a.cfg.Layout().Gateway(name)
	j, err := credential.OpenJoined(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if c.Join != "" && (missing || err == nil && !j.By(token)) {
		fresh, joinErr := a.join(ctx, dir, token)
		switch {
		case joinErr == nil:
			j, err = fresh, nil
		case missing:
			return joinErr
		default:
			a.log.Error("the new join token brought nothing; the credential from before goes on", "error", joinErr)
		}
	}
	if err != nil {
		return err
	}
	a.joined = j
	a.take(j.Grant())
	return nil
}

// take puts what was granted in the place of what the configuration leaves out.
func (a *App) take(g credential.Grant) {
	c := &a.cfg.Gateway
	if c.Bus == "" {
		c.Bus = g.Bus
	}
	if lease, err := time.ParseDuration(g.Lease); err == nil && lease > 0 && !a.cfg.Given("gateway.lease") {
		c.Lease = config.Duration(lease)
	}
	c.Trust = append(c.Trust, g.Trust...)
	c.EmergencyTrust = append(c.EmergencyTrust, g.EmergencyTrust...)
	if c.PseudonymKey == "" {
		c.PseudonymKey = g.PseudonymKey
	}
}

// join hands a token in. Until the control plane can be reached it goes on trying,
// as long as starting may take; a refusal is final.
func (a *App) join(ctx context.Context, dir string, t credential.Token) (*credential.Joined, error) {
	key, err := credential.OpenKey(dir)
	if err != nil {
		return nil, err
	}
	request, err := credential.NewRequest(key)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"gateway": t.Gateway, "secret": t.Secret, "request": request})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	var vouched []*x509.Certificate
	dial := credential.Believed{Pin: t.Pin}.Client(nil, func(chain []*x509.Certificate) { vouched = chain })
	for {
		var g credential.Grant
		err := callControl(ctx, t.Control, "/api/v1/join", dial, body, &g)
		if err == nil {
			j, err := credential.Keep(dir, g, key, t, vouched)
			if err == nil {
				a.log.Info("joined the control plane", "gateway", g.Gateway, "credential", g.Credential, "control", g.Control, "bus", g.Bus)
			}
			return j, err
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			return nil, fmt.Errorf("join %s: %w", t.Control, err)
		}
		a.log.Warn("the control plane cannot be reached to join; trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("join %s: %w", t.Control, err)
		case <-time.After(joinAgain):
		}
	}
}

// keepJoined renews the gateway's certificate in good time, and follows when another
// authority takes the place of the installation's, until ctx ends.
func (a *App) keepJoined(ctx context.Context) {
	said := ""
	for {
		cert, _ := a.joined.Certificate() // it has one
		due := !time.Now().Before(credential.RenewAt(cert.Leaf))
		moves, err := a.heed(ctx)
		if due || moves {
			if err = a.renew(ctx); err == nil {
				a.heed(ctx) // which shows that it came through
			}
		}
		left := time.Until(cert.Leaf.NotAfter)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			said = ""
		case due && left < renewAlarm:
			a.log.Error("ALARM: the certificate of this gateway is about to end, and cannot be renewed", "ends", cert.Leaf.NotAfter, "error", err)
		case refusesUs(err):
			if said != err.Error() {
				a.log.Error("ALARM: this gateway cannot come to its control plane any more; it goes on under its last order", "error", err)
			}
			said = err.Error()
		case said != err.Error(): // an earlier control plane, or one that is away, is no news each minute
			a.log.Warn("the control plane was not asked for certificates; it is tried again", "ends", cert.Leaf.NotAfter, "error", err)
			said = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewLook):
		}
	}
}

// heed asks by which authorities the control plane may be known, and keeps that. It
// reports whether a certificate of another one is to be had.
func (a *App) heed(ctx context.Context) (moves bool, err error) {
	var now struct {
		Authorities string `json:"authorities"`
		Issuer      string `json:"issuer"`
	}
	if err := callControl(ctx, a.joined.Grant().Control, "/api/v1/join/authorities", a.joined.Client(), []byte("{}"), &now); err != nil {
		return false, a.wayBack(fmt.Errorf("ask for authorities: %w", err))
	}
	if err := a.joined.Learn(now.Authorities); err != nil {
		return false, err
	}
	return now.Issuer != a.joined.Issuer() && slices.Contains(a.joined.Knows(), now.Issuer), nil
}

func (a *App) renew(ctx context.Context) error {
	g := a.joined.Grant()
	body, err := json.Marshal(map[string][]string{"knows": a.joined.Knows()})
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	if err := callControl(ctx, g.Control, "/api/v1/join/renew", a.joined.Client(), body, &g); err != nil {
		return a.wayBack(fmt.Errorf("renew certificate: %w", err))
	}
	if err := a.joined.Renewed(g); err != nil {
		return err
	}
	a.log.Info("the certificate of this gateway was renewed", "credential", g.Credential, "authority", a.joined.Issuer())
	return nil
}

// refusesUs reports whether one of the two does not believe the other's certificate:
// that does not mend by waiting.
func refusesUs(err error) bool {
	var op *net.OpError
	return errors.Is(err, credential.ErrAuthority) || errors.As(err, &op) && op.Op == "remote error"
}

// wayBack adds what helps a gateway that does not get in any more.
func (a *App) wayBack(err error) error {
	if !refusesUs(err) {
		return err
	}
	name := a.joined.Grant().Gateway
	return fmt.Errorf("%w; the installation's certificate authority was replaced while this gateway was away, or another installation answers: let it join anew (andon join-token add --gateway %s, then andon gateway --join TOKEN)", err, name)
}

// callControl sends one request and reads the answer. It follows no redirects.
func callControl(ctx context.Context, base, path string, c *tls.Config, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	tr := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		var p struct{ Code, Detail string }
		if json.Unmarshal(data, &p, json.MatchCaseInsensitiveNames(true)) == nil && p.Detail != "" {
			return fmt.Errorf("%s (%s)", p.Detail, p.Code)
		}
		return fmt.Errorf("the answer was %s", resp.Status)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return fmt.Errorf("the answer is %q and not JSON", kind)
	}
	return json.Unmarshal(data, out)
}
