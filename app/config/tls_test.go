package config

import (
	"strings"
	"testing"
)

func TestNothingIsServedInPlaintextUnlessThatIsMeant(t *testing.T) {
	const served = "\n  upstreams: [{name: u, wire: openai, base_url: \"http://127.0.0.1:1\"}]\n  models: [{name: m, upstream: u}]\n"
	for _, tc := range []struct{ name, text, want string }{
		{"loopback", "gateway:" + served, ""},
		{"control", "control: {listen: \"0.0.0.0:7070\"}\ngateway:" + served, "control.tls: control.listen 0.0.0.0:7070 is reached from other machines, and nothing protects it; allowed: mode: auto"},
		{"every interface", "control: {listen: \":7070\"}\ngateway:" + served, "control.tls: control.listen :7070 is reached"},
		{"a name", "gateway:\n  listen: gw.example.com:8080" + served, "gateway.tls: gateway.listen gw.example.com:8080 is reached"},
		{"IPv6", "gateway:\n  admin: \"[::]:8081\"" + served, "gateway.admin_tls: gateway.admin [::]:8081 is reached"},
		{"IPv6 loopback", "gateway:\n  admin: \"[::1]:8081\"" + served, ""},
		{"bus", "control: {bus_listen: \"0.0.0.0:4222\"}\ngateway:" + served, "control.bus_tls: control.bus_listen 0.0.0.0:4222 is reached"},
		{"sim", "sim: {listen: \"0.0.0.0:8082\"}\ngateway:" + served, "sim.tls: sim.listen 0.0.0.0:8082 is reached"},
		{"meant", "control: {listen: \"0.0.0.0:7070\", tls: {mode: off}}\ngateway:" + served, ""},
		{"auto", "control: {listen: \"0.0.0.0:7070\", tls: {mode: auto, hosts: [andon.example.com]}}\ngateway:" + served, ""},
		{"own", "control: {listen: \"0.0.0.0:7070\", tls: {cert: c.pem, key: k.pem}}\ngateway:" + served, ""},
		{"half", "control: {tls: {cert: c.pem}}\ngateway:" + served, "control.tls.cert: cert and key go together"},
		{"both", "control: {tls: {mode: auto, cert: c.pem, key: k.pem}}\ngateway:" + served, "control.tls.mode: has no meaning with cert and key"},
		{"mode", "control: {tls: {mode: on}}\ngateway:" + served, `control.tls.mode: unknown mode "on"; allowed: auto, off`},
		{"callers without TLS", "gateway:\n  tls: {client_ca: ca.pem}" + served, "gateway.tls.client_ca: has no meaning without TLS"},
		{"hosts", "gateway:\n  tls: {cert: c, key: k, hosts: [x]}" + served, "gateway.tls.hosts: has no meaning without mode auto"},
		{"join", "gateway:\n  join: aj1_x" + served, "gateway.join: has no meaning with the control plane in the same process"},
		{"url", "control: {url: \"http://x\"}\ngateway:" + served, "control.url: must be https://host:port"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Load(Options{File: write(t, tc.text)})
			if err != nil {
				t.Fatal(err)
			}
			err = c.CheckServe()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAGatewayThatJoinsNeedsNoBus(t *testing.T) {
	const served = "\n  upstreams: [{name: u, wire: openai, base_url: \"http://127.0.0.1:1\"}]\n  models: [{name: m, upstream: u}]\n"
	c, err := Load(Options{File: write(t, "gateway:\n  join: aj1_secret-of-the-token"+served)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckGateway(); err != nil {
		t.Error(err)
	}
	var b strings.Builder
	if err := c.Print(&b); err != nil || strings.Contains(b.String(), "secret-of-the-token") {
		t.Errorf("%v\n%s", err, b.String())
	}
	for _, v := range c.Values() {
		if v.Path == "gateway.join" && v.Value != hidden {
			t.Error(v)
		}
	}
}
