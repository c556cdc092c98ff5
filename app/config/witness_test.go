package config

import (
	"strings"
	"testing"

	"andon/witness"
)

func TestWitnesses(t *testing.T) {
	c, err := witness.NewCosigner("witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ url, key, want string }{
		{"https://witness.example/prefix", c.Verifier(), ""},
		{"witness.example", c.Verifier(), "control.witnesses[0]: witness url"},
		{"https://witness.example", "nonsense", "control.witnesses[0]: read witness key"},
	} {
		conf := Default()
		conf.Control.Witnesses = []Witness{{tc.url, tc.key}}
		err := conf.Check()
		said := err != nil && strings.Contains(err.Error(), "control.witnesses")
		if said != (tc.want != "") || said && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %s: %v", tc.url, tc.key, err)
		}
	}
}
