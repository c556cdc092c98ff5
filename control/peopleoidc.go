package control

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"andon/authority"
)

// OIDC names an issuer whose people may log in.
type OIDC struct {
	Issuer       string // its URL, exactly as it stands in its tokens
	ClientID     string
	ClientSecret string              // "": a public client
	RedirectURL  string              // of GET /api/v1/oidc/callback, as browsers reach it and as the issuer knows it
	RoleClaim    string              // the claim that says what somebody is; with dots where it is nested: realm_access.roles
	Roles        map[string][]string // a value of the claim → roles here
	Scopes       []string            // asked for, beside openid
	StepUpACR    string              // class of authentication that a proof takes; "": a recent one is enough
}

// The bounds of what comes from an issuer.
const (
	issuerSkew    = time.Minute // how far its clock may be off
	issuerTimeout = 10 * time.Second
	issuerRest    = 2 * time.Second // before it is asked for its description again
	maxIssuerBody = 1 << 20
	maxSubject    = 255 // OpenID Connect Core, section 2
	maxClaimRoles = 1000
)

// signatures are those that a token may have: with a key pair. "none" and those
// with a shared secret are not among them, whatever the issuer's description says.
var signatures = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// issuer is an OpenID Connect provider. Its description is fetched when it is first
// needed: the control plane starts without it.
type issuer struct {
	OIDC
	http *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
	failed   time.Time // when fetching the description last failed
}

// CheckOIDC says what is wrong with the settings of an issuer, by field.
func CheckOIDC(o *OIDC) map[string]error {
	out := map[string]error{}
	for field, raw := range map[string]string{"issuer": o.Issuer, "redirect_url": o.RedirectURL} {
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http":
			out[field] = errors.New("must be an https:// address without credentials, query or fragment")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			out[field] = errors.New("must be https://; http:// is for addresses of this machine")
		}
	}
	if u, err := url.Parse(o.RedirectURL); out["redirect_url"] == nil && err == nil && u.Path != "/api/v1/oidc/callback" {
		out["redirect_url"] = errors.New("must end in /api/v1/oidc/callback")
	}
	if o.ClientID == "" {
		out["client_id"] = errors.New("missing: how the issuer knows this control plane")
	}
	if o.RoleClaim == "" {
		out["role_claim"] = errors.New("missing: the claim that says what somebody is, such as groups")
	}
	if len(o.Roles) == 0 {
		out["roles"] = errors.New("missing: which value of the claim gives which roles")
	}
	for value, roles := range o.Roles {
		if _, err := authority.ParseRoles(roles...); err != nil || value == "" {
			out["roles"] = fmt.Errorf("%q: %w", value, errors.Join(err))
		}
	}
	return out
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newIssuer(o *OIDC) (*issuer, error) {
	for field, err := range CheckOIDC(o) {
		return nil, fmt.Errorf("oidc %s: %w", field, err)
	}
	return &issuer{OIDC: *o, http: &http.Client{
		Transport: bounded{&http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: issuerTimeout}},
		// What the issuer describes is where it is asked; nothing sends the client's
		// secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// bounded reads an answer whole, bounded in size and time, and closes it: nothing
// is left open, whoever asked.
type bounded struct{ http.RoundTripper }

// RoundTrip answers with what is in memory.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), issuerTimeout)
	defer cancel()
	resp, err := b.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxIssuerBody+1))
	if err == nil && len(data) > maxIssuerBody {
		err = errors.New("the issuer's answer is longer than 1 MiB")
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// reach returns the issuer's endpoints, and a context for asking it.
func (i *issuer) reach(ctx context.Context, now time.Time) (*oidc.Provider, *oauth2.Config, context.Context, error) {
	ctx = oidc.ClientContext(ctx, i.http)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.provider == nil {
		if rest := issuerRest - now.Sub(i.failed); rest > 0 && rest <= issuerRest {
			return nil, nil, nil, errors.New("it could not be reached a moment ago")
		}
		p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), i.http), i.Issuer) // lives longer than the request
		if err == nil {
			err = i.endpoints(p)
		}
		if err != nil {
			i.failed = now
			return nil, nil, nil, err
		}
		i.provider = p
	}
	return i.provider, &oauth2.Config{ClientID: i.ClientID, ClientSecret: i.ClientSecret, Endpoint: i.provider.Endpoint(), RedirectURL: i.RedirectURL,
		Scopes: append([]string{oidc.ScopeOpenID}, i.Scopes...)}, ctx, nil
}

// endpoints refuses a description that would send secrets in the clear.
func (i *issuer) endpoints(p *oidc.Provider) error {
	var d struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := p.Claims(&d); err != nil {
		return err
	}
	e := p.Endpoint()
	for _, raw := range []string{e.AuthURL, e.TokenURL, e.DeviceAuthURL, d.JWKS} {
		u, err := url.Parse(raw)
		if raw == "" && raw == e.DeviceAuthURL {
			continue
		}
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			return fmt.Errorf("its description names %q, which is no https:// address", raw)
		}
	}
	return nil
}

// identity is a person as the issuer vouches for them. It travels sealed.
type identity struct {
	Subject string    `json:"s"` // hash of issuer and subject
	Name    string    `json:"n"`
	Roles   []string  `json:"r"`
	Proved  time.Time `json:"p,omitzero"` // when the person last proved there who they are
}

// verify reads an ID token. nonce is "" where the flow has none (device). fresh
// asks for a proof that is not older than stepUpFor.
func (c *Control) verify(ctx context.Context, p *oidc.Provider, raw, nonce string, fresh bool) (identity, error) {
	i, now := c.desk.issuer, c.cfg.Now()
	t, err := p.VerifierContext(ctx, &oidc.Config{ClientID: i.ClientID, SupportedSigningAlgs: signatures, Now: func() time.Time { return now.Add(-issuerSkew) }}).Verify(ctx, raw)
	if err != nil {
		return identity{}, err
	}
	var claims struct {
		AZP      string `json:"azp"`
		AuthTime *int64 `json:"auth_time"`
		ACR      string `json:"acr"`
		Login    string `json:"preferred_username"`
		Name     string `json:"name"`
	}
	all := map[string]any{}
	if err := errors.Join(t.Claims(&claims), t.Claims(&all)); err != nil {
		return identity{}, err
	}
	switch {
	case nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(t.Nonce)) != 1:
		return identity{}, errors.New("the nonce is not the one of this log-in")
	case t.Subject == "" || len(t.Subject) > maxSubject:
		return identity{}, errors.New("the subject is missing or too long")
	case claims.AZP != "" && claims.AZP != i.ClientID, len(t.Audience) > 1 && claims.AZP == "":
		return identity{}, errors.New("it was issued for another client (azp)")
	case t.IssuedAt.After(now.Add(issuerSkew)):
		return identity{}, errors.New("it is issued in the future: the clocks differ by more than " + issuerSkew.String())
	}
	who := identity{Subject: c.desk.subjectHash(t.Issuer, t.Subject), Name: displayName(claims.Login, claims.Name)}
	if claims.AuthTime != nil {
		at := time.Unix(*claims.AuthTime, 0).UTC()
		if at.After(now.Add(issuerSkew)) {
			return identity{}, errors.New("auth_time lies in the future")
		}
		if at.After(now) {
			at = now.UTC().Round(0)
		}
		if i.StepUpACR == "" || claims.ACR == i.StepUpACR {
			who.Proved = at
		}
	}
	if fresh && (who.Proved.IsZero() || now.Sub(who.Proved) >= stepUpFor) {
		return identity{}, errors.New("it does not say that the person proved a moment ago who they are (auth_time, acr)")
	}
	roles, err := i.rolesOf(all)
	if err != nil {
		return identity{}, err
	}
	who.Roles = roles.Names()
	return who, nil
}

// rolesOf reads the roles out of the claim. Values that are not mapped give none.
func (i *issuer) rolesOf(claims map[string]any) (authority.Set, error) {
	v, ok := claims[i.RoleClaim]
	if !ok {
		v = claims
		for _, name := range strings.Split(i.RoleClaim, ".") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
	}
	var values []string
	switch v := v.(type) {
	case nil:
	case string:
		values = []string{v}
	case []any:
		if len(v) > maxClaimRoles {
			return 0, fmt.Errorf("the claim %s has %d values; at most %d are read", i.RoleClaim, len(v), maxClaimRoles)
		}
		for _, x := range v {
			if s, ok := x.(string); ok {
				values = append(values, s)
			}
		}
	default:
		return 0, fmt.Errorf("the claim %s is neither text nor a list of texts", i.RoleClaim)
	}
	var out authority.Set
	for value, names := range i.Roles {
		if slices.Contains(values, value) {
			s, err := authority.ParseRoles(names...)
			if err != nil {
				return 0, err
			}
			out |= s
		}
	}
	return out, nil
}

// displayName is what a new account is called: a name and not an address, since
// names stand in the record for good.
func displayName(names ...string) string {
	for _, n := range names {
		n, _, _ = strings.Cut(n, "@")
		if n = strings.TrimSpace(n); n != "" && checkLine("name", n, 100) == nil {
			return n
		}
	}
	return "person"
}
