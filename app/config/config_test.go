package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const full = `# an installation
data: /var/lib/andon
control:
  listen: 0.0.0.0:7070
  bus_listen: 0.0.0.0:4222
  token: ${BUS_TOKEN}
gateway:
  name: gw-eu
  lease: 30s
  max_body: 8MiB
  identity: {mode: header, trusted_proxies: [10.0.0.0/8, 192.0.2.7]}
  upstreams:
    - {name: openai, wire: openai, base_url: "https://api.openai.com", key: "${OPENAI_API_KEY}"}
  models:
    - {name: gpt-x, upstream: openai, version: 2026-10-01, on_stale: fallback, fallback: gpt-safe, aliases: [gpt]}
    - name: gpt-safe
      upstream: openai
`

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "andon.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

var secrets = []string{"BUS_TOKEN", "b-secret", "OPENAI_API_KEY", "sk-secret"}

func TestLoadReadsEveryLayer(t *testing.T) {
	name := write(t, full)
	c, err := Load(Options{
		File:   name,
		Lookup: env(append(secrets, "ANDON_CONTROL_LISTEN", "127.0.0.1:1", "ANDON_CONTROL_BUS_TLS_MODE", "auto", "ANDON_GATEWAY_LISTEN", "127.0.0.1:2", "ANDON_GATEWAY_IDENTITY_TRUSTED_PROXIES", "10.1.0.0/16, 10.2.0.0/16")...),
		Flags:  map[string]string{"gateway.listen": "127.0.0.1:3", "gateway.lease": "5s"},
		Names:  map[string]string{"gateway.listen": "--gateway-listen"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckServe(); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data = "/var/lib/andon"
	want.Control = Control{Listen: "127.0.0.1:1", Store: "sqlite", Bus: "embedded", Origin: "andon.local", BusListen: "0.0.0.0:4222", Token: "b-secret", StepUp: "factor", OIDC: OIDC{RoleClaim: "groups"}, Sessions: Sessions{Idle: Duration(time.Hour), Absolute: Duration(12 * time.Hour)}, BusTLS: TLS{Mode: "auto"}}
	g := &want.Gateway
	g.Name, g.Listen, g.Lease, g.MaxBody = "gw-eu", "127.0.0.1:3", Duration(5*time.Second), 8<<20
	g.Identity = Identity{Mode: "header", TrustedProxies: []string{"10.1.0.0/16", "10.2.0.0/16"}}
	g.Upstreams = []Upstream{{Name: "openai", Wire: "openai", BaseURL: "https://api.openai.com", Key: "sk-secret"}}
	g.Models = []Model{
		{Name: "gpt-x", Upstream: "openai", Version: "2026-10-01", OnStale: "fallback", Fallback: "gpt-safe", Aliases: []string{"gpt"}},
		{Name: "gpt-safe", Upstream: "openai"},
	}
	if d := cmp.Diff(want, c, cmpopts.IgnoreUnexported(Config{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for path, src := range map[string]string{
		"data": name + ":2", "control.store": "default", "control.listen": "environment ANDON_CONTROL_LISTEN",
		"gateway.listen": "flag --gateway-listen", "gateway.lease": "flag --set gateway.lease",
		"gateway.models[0].fallback": name + ":15",
	} {
		if got := c.Source(path); got != src {
			t.Errorf("source of %s = %q, want %q", path, got, src)
		}
	}
}

func TestPrintHidesSecretsAndReadsBack(t *testing.T) {
	c, err := Load(Options{File: write(t, full), Lookup: env(secrets...)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "-secret") {
		t.Errorf("a secret is shown:\n%s", b.String())
	}
	again := Default()
	if err := again.decode("printed", b.Bytes(), env()); err != nil {
		t.Fatalf("the output does not read back: %v\n%s", err, b.String())
	}
	c.Control.Token, c.Gateway.Upstreams[0].Key = hidden, hidden
	if d := cmp.Diff(c, again, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got)\n%s\n%s", d, b.String())
	}
	for _, v := range c.Values() {
		if v.Source == "" || v.Path == "" {
			t.Errorf("value without path or source: %+v", v)
		}
	}
}

func TestRedactHidesCredentialsInAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"nats://tok:pw@a:4222,nats://b:4222": "nats://[redacted]@a:4222,nats://b:4222",
		"postgres://u:p@db/x":                "postgres://[redacted]@db/x",
		"http://[bad":                        "[redacted]",
		"127.0.0.1:80":                       "127.0.0.1:80",
	} {
		if got := Redact("x", in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLoadRefusesWithPlaceAndWhatIsAllowed(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown section", "dat: x\n", "andon.yaml:1:1: dat: unknown field; allowed: data, control, gateway, sim"},
		{"unknown field", "gateway:\n  nmae: x\n", "andon.yaml:2:3: gateway.nmae: unknown field; allowed: name, listen"},
		{"unknown field of a model", "gateway:\n  models:\n    - {name: a, upstrem: b}\n", "andon.yaml:3:17: gateway.models[0].upstrem: unknown field; allowed: name, upstream"},
		{"given twice", "data: a\ndata: b\n", "andon.yaml:2:1: mapping key \"data\" already defined"},
		{"bad syntax", "data: [\n", "andon.yaml:1:7"},
		{"section is text", "gateway: yes\n", "andon.yaml:1:10: gateway: a section with fields is expected here; allowed: name"},
		{"list is text", "gateway:\n  models: gpt\n", "andon.yaml:2:11: gateway.models: a list is expected here"},
		{"text is list", "data: [a]\n", "andon.yaml:1:7: data: a single value is expected here"},
		{"variable not set", "control:\n  token: \"${NOPE}\"\n", "andon.yaml:2:10: control.token: the variable NOPE is not set"},
		{"bad duration", "gateway:\n  lease: soon\n", "andon.yaml:2:10: gateway.lease: \"soon\" is not a duration"},
		{"bad size", "gateway:\n  max_body: 1TB\n", "andon.yaml:2:13: gateway.max_body: \"1TB\" is not a size"},
		{"alias", "data: &a x\n", "data: anchors, aliases and tags are not taken here"},
		{"second document", "data: a\n---\ndata: b\n", "andon.yaml:3:5: a second document"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(Options{File: write(t, tc.text)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Load(Options{Flags: map[string]string{"gateway.nope": "x"}}); err == nil || !strings.Contains(err.Error(), "no such value; allowed: control.bus") {
		t.Errorf("unknown --set: %v", err)
	}
	if _, err := Load(Options{Lookup: env("ANDON_GATEWAY_LEASE", "x")}); err == nil || !strings.Contains(err.Error(), "ANDON_GATEWAY_LEASE: gateway.lease") {
		t.Errorf("bad variable: %v", err)
	}
	if _, err := Load(Options{File: "/does/not/exist"}); err == nil {
		t.Error("a file that was asked for and is not there must be an error")
	}
}

func TestExpandTakesValuesAsTheyAre(t *testing.T) {
	look := env("A", "x: ${B} # y", "E", "")
	for in, want := range map[string]string{
		"${A}":     "x: ${B} # y", // not looked at again, and no structure comes in
		"a${E}b":   "ab",          // set but empty is set
		"$${A}":    "${A}",
		"$A ${ A}": "$A ${ A}",
	} {
		got, missing := expand(in, look)
		if got != want || missing != "" {
			t.Errorf("expand(%q) = %q, %q; want %q", in, got, missing, want)
		}
	}
	if _, missing := expand("${A}${Z}", look); missing != "Z" {
		t.Errorf("missing = %q, want Z", missing)
	}
}

func TestCheckFindsEveryMistakeAtOnce(t *testing.T) {
	text := `control: {listen: 7070, store: "postgres://u:pw@db/a", bus: "kafka://x", bus_listen: "127.0.0.1:0", bus_tls: {mode: off}}
gateway:
  name: "a b"
  listen: 127.0.0.1:99999
  admin: 127.0.0.1:8081
  lease: 1ms
  identity: {mode: jwt, trusted_proxies: [nonsense]}
  notice_url: ftp://x
  upstreams:
    - {name: u, wire: telnet, base_url: "api.openai.com"}
    - {name: u, wire: openai, base_url: "https://user:pw@h"}
  models:
    - {name: a, upstream: nope, fallback: zz}
    - {name: a, upstream: u, on_stale: explode}
    - {name: b, upstream: u, fallback: b}
    - {name: c, upstream: u, on_stale: fallback}
    - {name: r1, upstream: u, fallback: r2}
    - {name: r2, upstream: u, fallback: r3}
    - {name: r3, upstream: u, fallback: r2}
sim: {listen: "127.0.0.1:8081"}
`
	c, err := Load(Options{File: write(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	err = c.CheckServe()
	if err == nil {
		t.Fatal("no mistake was found")
	}
	for _, want := range []string{
		"andon.yaml:1:19: control.listen: \"7070\" is not host:port",
		"control.store: \"postgres://[redacted]@db/a\" is not available; allowed: sqlite",
		"control.bus: is not the address of a bus",
		"control.bus_listen: has no meaning with an outside bus",
		"control.token: missing: a bus that listens without TLS needs a shared secret",
		"andon.yaml:3:9: gateway.name",
		"gateway.listen: \"127.0.0.1:99999\"",
		"gateway.lease: is 1ms; allowed: 1s to 1h",
		"gateway.identity.mode: jwt is not available yet; allowed: keys, header, open",
		"gateway.identity.trusted_proxies[0]: \"nonsense\"",
		"gateway.notice_url: must be",
		"andon.yaml:10:23: gateway.upstreams[0].wire: unknown wire \"telnet\"; allowed: openai, anthropic, gemini, all",
		"gateway.upstreams[0].base_url: must be",
		"gateway.upstreams[1].name: the name \"u\" is given twice",
		"gateway.upstreams[1].base_url: credentials do not belong here",
		"gateway.models[0].upstream: no upstream \"nope\" is declared; allowed: u",
		"gateway.models[0].fallback: no model \"zz\" is declared",
		"gateway.models[1].name: the name \"a\" already stands for model a",
		"gateway.models[1].on_stale: unknown posture \"explode\"; allowed: hold, refuse, fallback",
		"gateway.models[2].fallback: a model cannot be its own fallback",
		"gateway.models[3].on_stale: fallback needs a model in fallback",
		"gateway.models[5].fallback: the fallbacks go round in a circle: r2 -> r3 -> r2",
		"sim.listen: 127.0.0.1:8081 is the address of gateway.admin as well",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(err.Error(), ":pw") {
		t.Error("a password is shown")
	}
	if t.Failed() {
		t.Logf("got:\n%v", err)
	}
}

func TestHalvesNeedWhatTheyNeed(t *testing.T) {
	c := Default()
	if err := c.CheckServe(); err == nil || !strings.Contains(err.Error(), "gateway.models: missing") {
		t.Errorf("serve without models: %v", err)
	}
	if err := c.CheckControl(); err == nil || !strings.Contains(err.Error(), "control.bus_listen: no gateway can reach") {
		t.Errorf("control without a bus: %v", err)
	}
	err := c.CheckGateway()
	if err == nil || !strings.Contains(err.Error(), "gateway.bus: missing") || !strings.Contains(err.Error(), "gateway.trust: missing") {
		t.Errorf("gateway without bus and trust: %v", err)
	}
}

func TestExampleFileIsRight(t *testing.T) {
	c, err := Load(Options{File: "../../andon.example.yaml", Lookup: env("OPENAI_API_KEY", "x", "ANTHROPIC_API_KEY", "y", "GEMINI_API_KEY", "z")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckServe(); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("gateway: {models: [{name: a}, 1, [x]]}\n"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Default()
		if c.decode("f", data, env(secrets...)) != nil {
			return
		}
		_ = c.CheckServe() // may refuse, may not panic
		var b bytes.Buffer
		if err := c.Print(&b); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPriceIsTwoAmounts(t *testing.T) {
	const file = `
gateway:
  upstreams: [{name: a, wire: openai, base_url: "https://a.example"}]
  models:
    - {name: m, upstream: a, price: %s}
`
	for price, want := range map[string]string{
		`{input_per_m: 2.50, output_per_m: 0}`: "",
		`{input_per_m: 2.5}`:                   "go together",
		`{output_per_m: 10}`:                   "go together",
		`{input_per_m: -1, output_per_m: 1}`:   "not an amount",
		`{input_per_m: NaN, output_per_m: 1}`:  "not an amount",
		`{input_per_m: 1e9, output_per_m: 1}`:  "not an amount",
		`{in: 1}`:                              "in",
	} {
		c := Default()
		err := c.decode("andon.yaml", []byte(fmt.Sprintf(file, price)), func(string) (string, bool) { return "", false })
		if err == nil {
			err = c.Check()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", price, err, want)
		}
		if want == "" {
			if in, ok := c.Gateway.Models[0].Price.InputPerM.Dollars(); !ok || in != 2.5 {
				t.Errorf("read as %v", c.Gateway.Models[0].Price)
			}
		}
	}
}
