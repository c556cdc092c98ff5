package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"andon/control"
	"andon/people"
)

// OIDC is an issuer whose people may log in. Without an issuer there are local
// accounts alone.
type OIDC struct {
	Issuer       string   `yaml:"issuer"`        // its https:// address, exactly as it stands in its tokens
	ClientID     string   `yaml:"client_id"`     // how it knows this control plane
	ClientSecret string   `yaml:"client_secret"` // "": a public client
	RedirectURL  string   `yaml:"redirect_url"`  // /api/v1/oidc/callback below the control plane's address, as browsers reach it; default: from control.url, else http:// and control.listen
	RoleClaim    string   `yaml:"role_claim"`    // claim that says what somebody is; default groups; with dots where it is nested
	Roles        RoleMap  `yaml:"roles"`         // value of the claim: [roles]
	Scopes       []string `yaml:"scopes"`        // asked for beside openid
	StepUpACR    string   `yaml:"step_up_acr"`   // class of authentication that a proof before what cannot be undone takes; default: any, if it is recent
}

// Sessions says how long log-ins last.
type Sessions struct {
	Idle     Duration `yaml:"idle"`     // without being used; 5m to 24h, default 1h
	Absolute Duration `yaml:"absolute"` // at most; 15m to 168h, default 12h
}

// RoleMap gives roles to the values of a claim.
type RoleMap map[string][]string

// String is the map as YAML reads it.
func (m RoleMap) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, quoted(k)+": "+flow(m[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Redirect is where the issuer sends browsers back to.
func (c *Control) Redirect() string {
	base := c.URL
	switch {
	case c.OIDC.RedirectURL != "":
		return c.OIDC.RedirectURL
	case base == "":
		base = "http://" + c.Listen
	}
	return strings.TrimRight(base, "/") + "/api/v1/oidc/callback"
}

// Issuer is the issuer as the control plane takes it; nil if there is none.
func (c *Control) Issuer() *control.OIDC {
	o := &c.OIDC
	if o.Issuer == "" {
		return nil
	}
	return &control.OIDC{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURL: c.Redirect(), RoleClaim: o.RoleClaim, Roles: o.Roles, Scopes: o.Scopes, StepUpACR: o.StepUpACR}
}

// Proxies are the networks of control.trusted_proxies.
func (c *Control) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range c.TrustedProxies {
		if p, err := network(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func network(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// people checks log-ins.
func (k *checker) people() {
	c := &k.c.Control
	if i := c.Issuer(); i != nil {
		wrong := control.CheckOIDC(i)
		for _, field := range slices.Sorted(maps.Keys(wrong)) {
			k.fail("control.oidc."+field, wrong[field].Error())
		}
	} else if c.OIDC.ClientID != "" || len(c.OIDC.Roles) > 0 {
		k.fail("control.oidc.issuer", "missing: its https:// address, exactly as it stands in its tokens")
	}
	for _, s := range []struct {
		path               string
		value, least, most time.Duration
	}{
		{"control.sessions.idle", time.Duration(c.Sessions.Idle), people.LeastSpan.Idle, people.MostSpan.Idle},
		{"control.sessions.absolute", time.Duration(c.Sessions.Absolute), people.LeastSpan.Absolute, people.MostSpan.Absolute},
	} {
		if s.value < s.least || s.value > s.most {
			k.fail(s.path, "is "+Duration(s.value).String(), Duration(s.least).String()+" to "+Duration(s.most).String())
		}
	}
	if c.StepUp != control.StepUpFactor && c.StepUp != control.StepUpAlways {
		k.fail("control.step_up", fmt.Sprintf("%q is no rule", c.StepUp), control.StepUpFactor, control.StepUpAlways)
	}
	for i, text := range c.TrustedProxies {
		if _, err := network(text); err != nil {
			k.fail(fmt.Sprintf("control.trusted_proxies[%d]", i), "is no network, such as 10.0.0.0/8")
		}
	}
}
