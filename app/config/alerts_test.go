package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAlerts(t *testing.T) {
	const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
	load := func(t *testing.T, yaml string) (*Config, error) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "andon.yaml")
		if err := os.WriteFile(name, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Options{File: name, Lookup: func(v string) (string, bool) { return secret, v == "PAGER_SECRET" }})
		if err == nil {
			err = c.Check()
		}
		return c, err
	}
	c, err := load(t, "control:\n  alerts:\n    - {url: \"https://hooks.example.com/a\", secret: \"${PAGER_SECRET}\", events: [pull, glass]}\n    - {name: chat, url: \"http://127.0.0.1:8085/\", secret: \"${PAGER_SECRET}\"}\n")
	if err != nil {
		t.Fatal(err)
	}
	es := c.Control.Endpoints()
	if len(es) != 2 || es[0].Secret != secret || strings.Join(es[0].Events, " ") != "pull glass" || es[1].Name != "chat" {
		t.Errorf("%+v", es)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil || strings.Contains(out.String(), secret) || !strings.Contains(out.String(), hidden) {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, tc := range []struct{ line, want string }{
		{`{url: "http://hooks.example.com/", secret: "` + secret + `"}`, ":3:13: control.alerts[0].url: http:// is taken on a loopback address alone"},
		{`{url: "https://hooks.example.com/", secret: "hunter2-hunter2"}`, "control.alerts[0].secret: does not begin with whsec_"},
		{`{url: "https://hooks.example.com/", secret: "whsec_c2hvcnQ="}`, "control.alerts[0].secret: has 5 bytes"},
		{`{url: "https://hooks.example.com/", secret: "${NOT_SET}"}`, "the variable NOT_SET is not set"},
		{`{url: "https://hooks.example.com/"}`, "control.alerts[0].secret: missing"},
		{`{url: "https://hooks.example.com/", secret: "` + secret + `", events: [pulls]}`, `control.alerts[0].events: "pulls" is no event; allowed: pull, glass`},
		{`{uri: "https://hooks.example.com/"}`, "unknown field"},
	} {
		_, err := load(t, "control:\n  alerts:\n    - "+tc.line+"\n")
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", tc.line, err)
		}
	}
}
