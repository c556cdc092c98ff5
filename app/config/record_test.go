package config

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestRecordIsConfigured(t *testing.T) {
	c, err := Load(Options{File: write(t, "gateway:\n  record: {requests: 4096, keep: 2h}\n  pseudonym_key: \"${P}\"\n"), Lookup: env("P", "a-pseudonym-secret", "ANDON_GATEWAY_RECORD_KEEP", "3h")})
	if err != nil {
		t.Fatal(err)
	}
	g := &c.Gateway
	if g.Record != (Record{4096, Duration(3 * time.Hour)}) || g.PseudonymKey != "a-pseudonym-secret" {
		t.Errorf("%+v", g.Record)
	}
	var b bytes.Buffer
	if err := c.Print(&b); err != nil || strings.Contains(b.String(), "a-pseudonym-secret") || !strings.Contains(b.String(), "4096") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if d := Default().Gateway.Record; d != (Record{262144, Duration(24 * time.Hour)}) {
		t.Errorf("%+v", d)
	}
	c, err = Load(Options{File: write(t, "gateway:\n  record: {requests: 12, keep: 1s}\n  pseudonym_key: short\n")})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check()
	for _, want := range []string{"gateway.record.requests: is 12; allowed: 0 for none, 1024 to 1048576", "gateway.record.keep: is 1s; allowed: 1m to 744h", "gateway.pseudonym_key: a secret of at least 16 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in %v", want, err)
		}
	}
}
