package config

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const withIssuer = `
control:
  url: https://andon.acme.example:7070
  step_up: always
  trusted_proxies: [10.0.0.0/8, 192.0.2.7]
  sessions: {idle: 30m, absolute: 8h}
  oidc:
    issuer: https://id.acme.example
    client_id: andon
    client_secret: ${OIDC_SECRET}
    role_claim: realm_access.roles
    roles:
      "on-call: eu": [responder, commander]
      admins: [administrator]
`

func TestAnIssuerIsRead(t *testing.T) {
	c, err := Load(Options{File: write(t, withIssuer), Lookup: env("OIDC_SECRET", "o-secret")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	i := c.Control.Issuer()
	if i == nil || i.RedirectURL != "https://andon.acme.example:7070/api/v1/oidc/callback" || i.ClientSecret != "o-secret" || len(i.Roles) != 2 || i.Roles["on-call: eu"][1] != "commander" || len(c.Control.Proxies()) != 2 {
		t.Fatalf("%+v", i)
	}
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "o-secret") {
		t.Error("the client's secret is shown")
	}
	again := Default()
	if err := again.decode("printed", b.Bytes(), env()); err != nil {
		t.Fatalf("the output does not read back: %v\n%s", err, b.String())
	}
	if d := cmp.Diff(c.Control.OIDC.Roles, again.Control.OIDC.Roles); d != "" {
		t.Error(d)
	}
}

func TestIssuersThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ from, to, want string }{
		"plaintext":    {"https://id.acme", "http://id.acme", "control.oidc.issuer"},
		"credentials":  {"https://id.acme", "https://u:p@id.acme", "control.oidc.issuer"},
		"no client":    {"client_id: andon", "client_id: ''", "control.oidc.client_id"},
		"no such role": {"[administrator]", "[king]", "king"},
		"no claim":     {"role_claim: realm_access.roles", "role_claim: ''", "control.oidc.role_claim"},
		"idle":         {"idle: 30m", "idle: 1s", "control.sessions.idle"},
		"absolute":     {"absolute: 8h", "absolute: 9999h", "control.sessions.absolute"},
		"step-up":      {"step_up: always", "step_up: never", "factor, always"},
		"proxy":        {"10.0.0.0/8", "everybody", "control.trusted_proxies[0]"},
		"no issuer":    {"issuer: https://id.acme.example", "issuer: ''", "control.oidc.issuer"},
		"twice":        {"      admins:", "      admins: [viewer]\n      admins:", "admins"},
		"not a map":    {"    roles:\n", "    roles: [a]\n    scopes:\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(withIssuer, tc.from, tc.to, 1)
			if text == withIssuer {
				t.Fatal("the case changes nothing")
			}
			c, err := Load(Options{File: write(t, text), Lookup: env("OIDC_SECRET", "o-secret")})
			if err == nil {
				err = c.Check()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "o-secret") {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
