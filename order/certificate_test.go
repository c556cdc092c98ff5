package order

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
)

func validCertificate() Certificate {
	at := func(h int) time.Time { return time.Date(2030, 1, 1, h, 0, 0, 0, time.UTC) }
	who := func(id string) Person { return Person{ID: id, Name: "n", MadeBy: "op-1"} }
	yes := func(h int, ids ...string) (out []Statement) {
		for _, id := range ids {
			out = append(out, Statement{By: who(id), At: at(h), Statement: "yes"})
		}
		return out
	}
	return Certificate{Case: "case-1", State: "destroyed", Level: "L6", Models: []string{"m"}, Correction: "c-1", Reason: "r", LegalBasis: "l",
		OpenedAt: at(1), OpenedBy: who("op-1"), ClosedAt: at(20), Quorum: 2, CoolingOff: correction.Duration(time.Hour),
		Resolutions: []Resolution{{"seal", who("op-1"), at(1), "r", yes(2, "op-2", "op-3")}, {"destroy", who("op-2"), at(5), "r", yes(6, "op-1", "op-3")}},
		LegalHolds:  []LegalHold{{false, "c", "r", who("op-1"), at(4)}, {true, "c", "r", who("op-1"), at(5)}},
		Inventory:   Statement{who("op-1"), at(2), "all"},
		Copies: []CustodyCopy{{ID: "m-1", Kind: "weights", Location: "l", Holder: "h", Digest: "sha256:0", Seal: "s", Custodian: who("op-2"),
			Destroyed: &Destruction{By: who("op-2"), At: at(7), Method: "m", Witness: who("op-3"), WitnessedAt: at(8), Statement: "s"}}},
		Entries: []LedgerRef{{1, "a", "h"}, {2, "b", "h"}, {3, "c", "h"}, {9, "d", "h"}}}
}

func TestCertificatesAreChecked(t *testing.T) {
	s, err := GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	keys := []PublicKey{s.Public()}
	signed, err := SignCertificate(validCertificate(), s)
	if err != nil {
		t.Fatal(err)
	}
	pretty := jsontext.Value(bytes.Clone(signed))
	if err := pretty.Indent(); err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{signed, pretty} { // how it is laid out does not matter
		if c, h, err := OpenCertificate(data, keys); err != nil || h.IsZero() || c.Copies[0].Destroyed.Witness.ID != "op-3" {
			t.Fatal(c, h, err)
		}
	}
	for i := range signed {
		bad := bytes.Clone(signed)
		bad[i] ^= 1
		if _, _, err := OpenCertificate(bad, keys); err == nil {
			t.Fatalf("byte %d can be changed: %s", i, bad)
		}
	}
	if _, _, err := OpenCertificate(signed, nil); !errors.Is(err, ErrSignature) {
		t.Error("nobody's key will do:", err)
	}
	if _, err := SignCertificate(validCertificate(), Signer{}); err == nil {
		t.Error("signed without a key")
	}
	for name, change := range map[string]func(*Certificate){
		"no model":              func(c *Certificate) { c.Models = nil },
		"no copy":               func(c *Certificate) { c.Copies = nil },
		"level":                 func(c *Certificate) { c.Level = "L5" },
		"state":                 func(c *Certificate) { c.State = "gone" },
		"quorum of one":         func(c *Certificate) { c.Quorum = 1 },
		"no cooling-off":        func(c *Certificate) { c.CoolingOff = 0 },
		"one approval":          func(c *Certificate) { c.Resolutions[1].Approvals = c.Resolutions[1].Approvals[:1] },
		"approved twice":        func(c *Certificate) { c.Resolutions[1].Approvals[1].By.ID = "op-1" },
		"approved by proposer":  func(c *Certificate) { c.Resolutions[1].Approvals[1].By.ID = "op-2" },
		"approved before":       func(c *Certificate) { c.Resolutions[1].Approvals[1].At = c.Resolutions[0].At },
		"not resolved":          func(c *Certificate) { c.Resolutions = c.Resolutions[:1] },
		"not sealed":            func(c *Certificate) { c.Resolutions = c.Resolutions[1:] },
		"never under seal":      func(c *Certificate) { c.Copies[0].Seal = "" },
		"nobody's":              func(c *Certificate) { c.Copies[0].Custodian.ID = "" },
		"not destroyed":         func(c *Certificate) { c.Copies[0].Destroyed = nil },
		"witness to oneself":    func(c *Certificate) { c.Copies[0].Destroyed.Witness.ID = "op-2" },
		"no witness":            func(c *Certificate) { c.Copies[0].Destroyed.Witness.ID = "" },
		"witnessed before":      func(c *Certificate) { c.Copies[0].Destroyed.WitnessedAt = c.OpenedAt },
		"too early":             func(c *Certificate) { c.Copies[0].Destroyed.At = c.Copies[0].Destroyed.At.Add(-time.Minute) },
		"a legal hold":          func(c *Certificate) { c.LegalHolds[1].Clear = false },
		"no legal-hold check":   func(c *Certificate) { c.LegalHolds = nil },
		"checked afterwards":    func(c *Certificate) { c.LegalHolds[1].At = c.ClosedAt },
		"entries out of order":  func(c *Certificate) { c.Entries[0].Seq = 5 },
		"hardly any entries":    func(c *Certificate) { c.Entries = c.Entries[:2] },
		"sealed, and destroyed": func(c *Certificate) { c.State, c.Level = "sealed", "L5" },
		"credential, not sealed": func(c *Certificate) {
			c.State, c.Level, c.Resolutions, c.Copies[0].Destroyed = "sealed", "L5", c.Resolutions[:1], nil
			c.Credentials = []WithdrawnCredential{{Name: "x"}}
		},
	} {
		c := validCertificate()
		change(&c)
		if _, err := SignCertificate(c, s); err == nil {
			t.Error(name, "is certified")
		}
	}
	sealed := validCertificate()
	sealed.State, sealed.Level, sealed.Resolutions, sealed.LegalHolds, sealed.Copies[0].Destroyed = "sealed", "L5", sealed.Resolutions[:1], nil, nil
	if _, err := SignCertificate(sealed, s); err != nil {
		t.Error(err)
	}
}

func FuzzOpenCertificate(f *testing.F) {
	s, err := GenerateSigner()
	if err != nil {
		f.Fatal(err)
	}
	signed, err := SignCertificate(validCertificate(), s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(`{"certificate":{},"hash":"","keyid":"","signature":""}`))
	keys := []PublicKey{s.Public()}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, _, err := OpenCertificate(data, keys); err == nil && c.Case != "case-1" {
			t.Fatalf("opened what nobody signed: %s", data)
		}
	})
}
