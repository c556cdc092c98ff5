package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"andon/authority"
)

// trip is a log-in at the issuer that has begun. It travels in the browser's own
// cookie, sealed: nothing is kept here for who only begins one, so nobody can fill
// it up, and an answer counts in the browser that asked alone.
type trip struct {
	State     string    `json:"s"`
	Nonce     string    `json:"n"`
	Verifier  string    `json:"v"` // PKCE, with the issuer
	Fresh     bool      `json:"f,omitempty"`
	Next      string    `json:"x,omitempty"` // where the browser goes then: a path here
	Port      int       `json:"p,omitempty"` // of the program on the person's machine that waits
	PortState string    `json:"t,omitempty"`
	Challenge string    `json:"c,omitempty"` // SHA-256 of what that program alone knows
	Until     time.Time `json:"u"`
}

// grant is a person's identity on its way to the program that waits for it.
type grant struct {
	ID        string    `json:"i"`
	Who       identity  `json:"w"`
	Challenge string    `json:"c"`
	Until     time.Time `json:"u"`
}

const (
	tripPurpose  = "oidc trip"
	grantPurpose = "oidc grant"
	tripFor      = 10 * time.Minute
	grantFor     = time.Minute
)

// oidcView says whether, and how, people log in at an issuer.
type oidcView struct {
	Enabled   bool   `json:"enabled"`
	Issuer    string `json:"issuer,omitempty"`
	Reachable bool   `json:"reachable"`
	Device    bool   `json:"device"` // it has the device authorization grant
}

func (c *Control) getOIDC(cl *call) error {
	v := oidcView{}
	if i := c.desk.issuer; i != nil {
		v.Enabled, v.Issuer = true, i.Issuer
		if p, _, _, err := i.reach(cl.r.Context(), c.cfg.Now()); err == nil {
			v.Reachable, v.Device = true, p.Endpoint().DeviceAuthURL != ""
		}
	}
	return cl.reply(http.StatusOK, v)
}

// atIssuer gets ready to ask the issuer.
func (c *Control) atIssuer(cl *call) (*oidc.Provider, *oauth2.Config, context.Context, error) {
	if c.desk.issuer == nil {
		return nil, nil, nil, problem("not_found", "no issuer is configured (control.oidc); log in with a name and a password")
	}
	p, conf, ctx, err := c.desk.issuer.reach(cl.r.Context(), c.cfg.Now())
	if err != nil {
		c.log.Warn("the issuer cannot be reached", "issuer", c.desk.issuer.Issuer, "error", err)
		return nil, nil, nil, problem("oidc_unavailable", "the issuer cannot be reached; local accounts and tokens work on")
	}
	return p, conf, ctx, nil
}

// getOIDCLogin sends a browser to the issuer: by the code flow with PKCE, state and
// nonce.
func (c *Control) getOIDCLogin(cl *call) error {
	_, conf, _, err := c.atIssuer(cl)
	if err != nil {
		return err
	}
	q := cl.r.URL.Query()
	t := trip{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Until: c.late().Add(tripFor)}
	for name, values := range q {
		v := values[0]
		ok := len(values) == 1
		switch name {
		case "fresh":
			t.Fresh, ok = v == "true", ok && (v == "true" || v == "false")
		case "next":
			t.Next, ok = v, ok && localPath(v)
		case "port":
			t.Port, err = strconv.Atoi(v)
			ok = ok && err == nil && t.Port >= 1024 && t.Port <= 65535
		case "state":
			t.PortState, ok = v, ok && len(v) <= 128
		case "challenge":
			t.Challenge, ok = v, ok && len(v) == 43
		default:
			p := problem("invalid_query", "unknown parameter "+short(name))
			p.Field, p.Allowed = short(name), []string{"fresh", "next", "port", "state", "challenge"}
			return p
		}
		if !ok {
			p := problem("invalid_query", "fresh is true or false; next a path of this server; port 1024 to 65535 of a program on the same machine, with state and the challenge of its verifier (S256, 43 characters)")
			p.Field = name
			return p
		}
	}
	if (t.Port == 0) != (t.Challenge == "") || t.Port != 0 && t.Next != "" {
		return problem("invalid_query", "port goes with challenge, and without next")
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)}
	if t.Fresh {
		options = append(options, oauth2.SetAuthURLParam("max_age", "0"), oauth2.SetAuthURLParam("prompt", "login"))
		if acr := c.desk.issuer.StepUpACR; acr != "" {
			options = append(options, oauth2.SetAuthURLParam("acr_values", acr))
		}
	}
	c.desk.setCookie(cl, loginCookie, c.desk.seal(tripPurpose, t), tripFor, http.SameSiteLaxMode) // the issuer sends the browser back: not Strict
	cl.w.Header().Set("Location", conf.AuthCodeURL(t.State, options...))
	cl.w.WriteHeader(http.StatusFound)
	return nil
}

// localPath says whether a browser that follows s stays here.
func localPath(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= 1024 && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "\\\r\n\t") && u.Host == "" && u.Scheme == ""
}

// getOIDCCallback takes the issuer's answer. What is wrong with it goes to the log;
// the person learns that it failed.
func (c *Control) getOIDCCallback(cl *call) error {
	var t trip
	now := c.late()
	cookie, err := cl.r.Cookie(c.desk.cookie(cl.r, loginCookie))
	if err != nil || !c.desk.open(tripPurpose, cookie.Value, &t) || !now.Before(t.Until) {
		return problem("oidc_failed", "no log-in was begun in this browser, or more than ten minutes ago; begin anew")
	}
	c.desk.setCookie(cl, loginCookie, "", 0, http.SameSiteLaxMode)
	who, err := c.answerOf(cl, &t, now)
	if err != nil {
		if t.Port == 0 {
			return err
		}
		return c.toProgram(cl, &t, url.Values{"error": {asProblem(err).Code}, "detail": {asProblem(err).Detail}})
	}
	if t.Port != 0 {
		g := grant{ID: rand.Text(), Who: who, Challenge: t.Challenge, Until: now.Add(grantFor)}
		return c.toProgram(cl, &t, url.Values{"grant": {c.desk.seal(grantPurpose, g)}})
	}
	v, err := c.loginAs(cl.r.Context(), who)
	if err != nil {
		return err
	}
	c.desk.setCookie(cl, sessionCookie, v.Token, v.ExpiresAt.Sub(c.early()), http.SameSiteStrictMode)
	// A page and not a redirect: the browser comes from another site, and would not
	// send the new cookie along.
	next := t.Next
	if next == "" {
		next = "/"
	}
	h := cl.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	attr := strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "'", "&#39;").Replace(next)
	cl.w.WriteHeader(http.StatusOK)
	cl.w.Write([]byte(`<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=` + attr + `"><title>Logged in</title><p>You are logged in. <a href="` + attr + `">Go on</a></p>` + "\n"))
	return nil
}

// answerOf turns the issuer's answer into an identity.
func (c *Control) answerOf(cl *call, t *trip, now time.Time) (identity, error) {
	fail := func(err error) (identity, error) {
		c.log.Warn("the issuer's answer is refused", "error", err)
		c.metrics.logins.WithLabelValues("failed").Inc()
		return identity{}, problem("oidc_failed", "the issuer's answer cannot be taken; the control plane's log says why. Begin anew.")
	}
	q := cl.r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(t.State)) != 1 {
		return fail(errors.New("the state is not the one of this browser's log-in"))
	}
	if iss := q.Get("iss"); iss != "" && c.desk.issuer != nil && iss != c.desk.issuer.Issuer { // RFC 9207
		return fail(errors.New("the answer is another issuer's"))
	}
	if !c.desk.once(t.State, t.Until, now) {
		return fail(errors.New("the answer came a second time"))
	}
	if e := q.Get("error"); e != "" {
		return fail(errors.New("the issuer says " + strconv.QuoteToASCII(short(e))))
	}
	p, conf, ctx, err := c.atIssuer(cl)
	if err != nil {
		return identity{}, err
	}
	code := q.Get("code")
	if code == "" || len(code) > 4096 {
		return fail(errors.New("the answer has no code"))
	}
	tok, err := conf.Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return fail(redacted(err))
	}
	return c.fromToken(ctx, p, tok, t.Nonce, t.Fresh, fail)
}

func (c *Control) fromToken(ctx context.Context, p *oidc.Provider, tok *oauth2.Token, nonce string, fresh bool, fail func(error) (identity, error)) (identity, error) {
	raw, _ := tok.Extra("id_token").(string)
	if raw == "" {
		return fail(errors.New("it comes without an ID token"))
	}
	who, err := c.verify(ctx, p, raw, nonce, fresh)
	if err != nil {
		return fail(err)
	}
	return who, nil
}

// redacted keeps the issuer's error code and drops its body: it may hold what is
// nobody's to read in a log.
func redacted(err error) error {
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		return errors.New("the code is refused: " + strconv.QuoteToASCII(short(r.ErrorCode)))
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// toProgram sends the browser to the program that waits on the same machine.
func (c *Control) toProgram(cl *call, t *trip, q url.Values) error {
	q.Set("state", t.PortState)
	cl.w.Header().Set("Location", "http://127.0.0.1:"+strconv.Itoa(t.Port)+"/?"+q.Encode())
	cl.w.Header().Set("Referrer-Policy", "no-referrer")
	cl.w.WriteHeader(http.StatusFound)
	return nil
}

// fromGrant begins the session of the program that began the log-in: it alone
// knows the verifier.
func (c *Control) fromGrant(cl *call, text, verifier string) (sessionView, error) {
	var g grant
	now := c.late()
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !c.desk.open(grantPurpose, text, &g) || !now.Before(g.Until) || subtle.ConstantTimeCompare([]byte(challenge), []byte(g.Challenge)) != 1 || !c.desk.once(g.ID, g.Until, now) {
		return sessionView{}, problem("login_failed", "the grant is not known, was used, is older than a minute, or the verifier is another one; begin anew")
	}
	return c.loginAs(cl.r.Context(), g.Who)
}

// loginAs begins the session of a person whom the issuer vouches for. The account
// is bound to issuer and subject, and has the roles that the issuer says, from this
// log-in on.
func (c *Control) loginAs(ctx context.Context, who identity) (sessionView, error) {
	var roles authority.Set
	if len(who.Roles) > 0 {
		var err error
		if roles, err = authority.ParseRoles(who.Roles...); err != nil {
			return sessionView{}, err
		}
	}
	if roles == 0 {
		return sessionView{}, c.withoutRole(ctx, who)
	}
	v, err := c.openSession(ctx, methodIssuer, func(s *state, now time.Time) (string, time.Time, []draft, error) {
		proved := who.Proved
		if proved.After(now) {
			proved = now
		}
		id := s.people.subjects[who.Subject]
		op := s.operators[id]
		switch {
		case id == "":
			id = "op-" + strconv.Itoa(s.nOperators+1)
			b := operatorBody{ID: id, Name: s.freeName(who.Name), Roles: roles.Names(), Subject: who.Subject}
			return id, proved, []draft{{typeOperator, b}}, nil
		case !op.active():
			p := problem("login_failed", "this account was removed by an administrator")
			return "", now, nil, p
		case op.roles != roles:
			return id, proved, []draft{{typeRoles, rolesBody{id, roles.Names(), "what the issuer says at log-in"}}}, nil
		}
		return id, proved, nil, nil
	})
	if err == nil {
		c.metrics.logins.WithLabelValues("done").Inc()
	}
	return v, err
}

// withoutRole refuses who has no role any more, and takes what the account had.
func (c *Control) withoutRole(ctx context.Context, who identity) error {
	_, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) {
		op := s.operators[s.people.subjects[who.Subject]]
		if !op.active() || op.roles == 0 {
			return nil, nil
		}
		return append([]draft{{typeRoles, rolesBody{op.id, []string{}, "the issuer gives no role at log-in"}}}, s.endSessions(op.id, "", "no_role")...), nil
	})
	if err != nil {
		return err
	}
	p := problem("login_failed", "the issuer says who you are, and nothing that gives a role here")
	p.Hint = "whoever keeps the groups at the issuer, or control.oidc.roles, can change it"
	return p
}

// freeName is a name that no operator has: the record tells people apart by it.
func (s *state) freeName(name string) string {
	out := name
	for n := 2; s.operatorNamed(out) != nil; n++ {
		out = name + "-" + strconv.Itoa(n)
	}
	return out
}
