package control

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// deviceAsk begins a log-in on a machine without a browser (RFC 8628).
type deviceAsk struct {
	Fresh bool `json:"fresh,omitempty"` // a proof that is not older than five minutes is needed
}

// deviceView is what the person does, on whatever machine has a browser.
type deviceView struct {
	UserCode  string    `json:"user_code"`
	URL       string    `json:"verification_uri"`
	Complete  string    `json:"verification_uri_complete,omitempty"` // with the code in it
	ExpiresAt time.Time `json:"expires_at"`
	Handle    string    `json:"handle"` // for POST /oidc/device/token
}

// devicePoll asks whether the person is done.
type devicePoll struct {
	Handle string `json:"handle"`
}

// devicePending says: not yet.
type devicePending struct {
	State string `json:"state"`
}

// deviceTrip travels sealed at the program that waits.
type deviceTrip struct {
	Code     string    `json:"c"`
	Verifier string    `json:"v"`
	Interval int64     `json:"i"`
	Fresh    bool      `json:"f,omitempty"`
	Until    time.Time `json:"u"`
}

const (
	deviceTripPurpose = "oidc device"
	pollFor           = 20 * time.Second // a poll waits so long
	maxPolls          = 256              // at once
	maxPollsBySource  = 8                // of them from one address
	maxDeviceTrip     = 30 * time.Minute
)

// postDevice begins a device log-in. Each makes the issuer keep something, so an
// address has a measure of them.
func (c *Control) postDevice(cl *call) error {
	b, err := decode[deviceAsk](cl)
	if err != nil {
		return err
	}
	_, conf, ctx, err := c.atIssuer(cl)
	if err != nil {
		return err
	}
	if conf.Endpoint.DeviceAuthURL == "" {
		return problem("not_found", "the issuer has no device authorization grant; log in with a browser (GET /api/v1/oidc/login)")
	}
	if wait := c.desk.devices.Take(c.desk.source(cl.r), c.cfg.Now()); wait > 0 {
		return c.tooMany(cl, wait, "many device log-ins were begun from here; wait "+seconds(wait)+" s")
	}
	verifier := oauth2.GenerateVerifier()
	d, err := conf.DeviceAuth(ctx, oauth2.S256ChallengeOption(verifier))
	if err != nil {
		c.log.Warn("the issuer begins no device log-in", "error", redacted(err))
		return problem("oidc_unavailable", "the issuer begins no device log-in; the control plane's log says why")
	}
	until := c.late().Add(maxDeviceTrip)
	if !d.Expiry.IsZero() && d.Expiry.Before(until) {
		until = d.Expiry.UTC()
	}
	return cl.reply(http.StatusOK, deviceView{UserCode: d.UserCode, URL: d.VerificationURI, Complete: d.VerificationURIComplete, ExpiresAt: until,
		Handle: c.desk.seal(deviceTripPurpose, deviceTrip{d.DeviceCode, verifier, d.Interval, b.Fresh, until})})
}

// postDeviceToken waits up to 20 s for the person, and begins the session.
func (c *Control) postDeviceToken(cl *call) error {
	b, err := decode[devicePoll](cl)
	if err != nil {
		return err
	}
	var t deviceTrip
	if !c.desk.open(deviceTripPurpose, b.Handle, &t) || !c.late().Before(t.Until) {
		return problem("login_failed", "the handle is not known, or the time is over; begin anew")
	}
	done := c.desk.poll(c.desk.source(cl.r))
	if done == nil {
		return c.tooMany(cl, pollFor, "many log-ins wait already; a password, a token or a browser (GET /api/v1/oidc/login) works on")
	}
	defer done()
	p, conf, ctx, err := c.atIssuer(cl)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	tok, err := conf.DeviceAccessToken(waiting, &oauth2.DeviceAuthResponse{DeviceCode: t.Code, Interval: t.Interval}, oauth2.VerifierOption(t.Verifier))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return cl.reply(http.StatusAccepted, devicePending{"pending"})
	}
	fail := func(err error) (identity, error) {
		c.log.Warn("the issuer's answer to a device log-in is refused", "error", err)
		c.metrics.logins.WithLabelValues("failed").Inc()
		return identity{}, problem("oidc_failed", "the issuer refuses, or its answer cannot be taken; the control plane's log says why. Begin anew.")
	}
	if err != nil {
		_, err = fail(redacted(err))
		return err
	}
	who, err := c.fromToken(ctx, p, tok, "", t.Fresh, fail)
	if err != nil {
		return err
	}
	v, err := c.loginAs(cl.r.Context(), who)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusCreated, v)
}
