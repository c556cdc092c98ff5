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
	renewLook  = time.Hour           // a clock may jump, so no look is put off for longer
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

// keepJoined renews the gateway's certificate in good time, until ctx ends.
func (a *App) keepJoined(ctx context.Context) {
	for {
		cert, _ := a.joined.Certificate() // it has one
		wait := min(renewLook, max(time.Second, time.Until(credential.RenewAt(cert.Leaf))))
		if !time.Now().Before(credential.RenewAt(cert.Leaf)) {
			err := a.renew(ctx)
			if err == nil {
				continue
			}
			wait = renewLook / 60
			if left := time.Until(cert.Leaf.NotAfter); ctx.Err() == nil && left < renewAlarm {
				a.log.Error("ALARM: the certificate of this gateway is about to end, and cannot be renewed", "ends", cert.Leaf.NotAfter, "error", err)
			} else if ctx.Err() == nil {
				a.log.Warn("the certificate of this gateway was not renewed; it is tried again", "ends", cert.Leaf.NotAfter, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (a *App) renew(ctx context.Context) error {
	g := a.joined.Grant()
	if err := callControl(ctx, g.Control, "/api/v1/join/renew", a.joined.Believed().Client(a.joined.Certificate, nil), []byte("{}"), &g); err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	if err := a.joined.Renewed(g); err != nil {
		return err
	}
	a.log.Info("the certificate of this gateway was renewed", "credential", g.Credential)
	return nil
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
