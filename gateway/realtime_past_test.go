package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Calls and client secrets open sessions past the gateway. Where account routes
// pass they pass as well, but not under a correction that would have to hold
// inside the session.
func TestSessionsPastTheGateway(t *testing.T) {
	pr := newProvider(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"value":"ek_1"}`) })
	p := newPlane(t)
	g := p.start(startSim(t), func(c *Config) {
		toProvider(pr, "provider-secret")(c)
		c.Upstreams[0].Account = "pass"
	})
	routes := map[string]string{
		"/v1/realtime/calls/rtc_1/accept": `{"type":"realtime","model":"sim-large"}`,
		"/v1/realtime/client_secrets":     `{"session":{"type":"realtime","model":"sim-large"}}`,
	}
	for path, body := range routes {
		if a := send(t, g, path, body); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	for _, c := range []string{
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"test"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"test"}`,
		`{"kind":"capability","params":{"disable":["realtime"]},"scope":{"all":true},"reason":"test"}`,
		`{"kind":"capability","params":{"disable":["tool:shell"]},"scope":{"all":true},"reason":"test"}`,
		`{"kind":"capability","params":{"clamp":{"output_tokens":100}},"scope":{"all":true},"reason":"test"}`,
		`{"kind":"capability","params":{"filter":{"direction":"output","detector":"patterns","patterns":["x1"],"action":"cut"}},"scope":{"models":["sim-large"]},"reason":"test"}`,
		`{"kind":"rate","params":{"metric":"output_tokens","limit":100000,"window":"1h"},"scope":{"all":true},"reason":"test"}`,
	} {
		id := p.apply(1, c)
		pr.forget()
		for path, body := range routes {
			if a := send(t, g, path, body); a.status < 400 || !strings.Contains(a.body, id) {
				t.Errorf("%s under %s: %d %s", path, c, a.status, a.body)
			}
		}
		if r, _ := pr.last(); r != nil {
			t.Errorf("under %s the provider got %s", c, r.URL)
		}
		p.lift(1, id)
	}
}
