package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"andon/ledger"
	"andon/witness"
)

// makeSmall is a short record with a line of each sort: values, an erasure, a change
// of the ledger's key with both signing, and checkpoints that a gateway and an
// outside witness have cosigned, by keys that the record names.
func makeSmall(t *testing.T) (m made, firstKey string) {
	t.Helper()
	m = made{dir: t.TempDir()}
	m.key = filepath.Join(m.dir, "new.pub")
	firstKey = filepath.Join(m.dir, "old.pub")
	before, oldKey, err := ledger.LoadOrCreateSigner(filepath.Join(m.dir, "old"), "example.com/andon")
	ok(t, err)
	after, newKey, err := ledger.LoadOrCreateSigner(filepath.Join(m.dir, "new"), "example.com/andon")
	ok(t, err)
	m.log, err = note.NewVerifier(newKey)
	ok(t, err)
	var cosigners []*witness.Cosigner
	for _, name := range []string{witness.GatewayName("gw-1"), "witness.example/w"} {
		c, err := witness.NewCosigner(name)
		ok(t, err)
		v, err := witness.NewVerifier(c.Verifier())
		ok(t, err)
		cosigners, m.witnesses, m.verifiers = append(cosigners, c), append(m.witnesses, c.Verifier()), append(m.verifiers, v)
	}
	l, err := ledger.OpenSQLite(m.db(), before)
	ok(t, err)
	put := func(kind string, body any, personal map[string][]byte) {
		t.Helper()
		data, err := json.Marshal(body)
		ok(t, err)
		_, err = l.Append(t.Context(), l.Size(), ledger.Entry{At: time.Unix(1e9, 0), Type: kind, Actor: "op-1", Body: data, Personal: personal})
		ok(t, err)
	}
	cosign := func() {
		t.Helper()
		cp, err := l.Checkpoint(t.Context())
		ok(t, err)
		text, _, err := witness.Split(cp)
		ok(t, err)
		for _, c := range cosigners {
			cp = append(cp, c.Cosign(text, time.Unix(1e9, 0))...)
		}
		ok(t, l.Cosigned(t.Context(), cp))
	}
	kept, sealed := ledger.Commit([]byte("Ada"))
	gone, sealed2 := ledger.Commit([]byte("Grace"))
	put("test.made", []string{kept, gone}, map[string][]byte{kept: sealed, gone: sealed2})
	put("witness.known", map[string]string{"gateway": "gw-1", "key": m.witnesses[0]}, nil)
	cosign() // before the record names the other's key
	put(ledger.TypeErased, ledger.Erased{Commitments: []string{gone}, Reason: "r"}, nil)
	ok(t, l.Erase(t.Context(), gone))
	ok(t, l.Close())
	l, err = ledger.OpenSQLite(m.db(), after, before)
	ok(t, err)
	b, err := ledger.Rekey(before, after, oldKey, newKey)
	ok(t, err)
	put(ledger.TypeRekeyed, b, nil)
	cosign() // signed by both keys
	put("witness.known", map[string]string{"outside": "witness.example/w", "key": m.witnesses[1]}, nil)
	ok(t, l.Close())
	return m, firstKey
}

// TestEveryBit flips each bit of an export: the format has no free places, so none
// of them is sound, whichever key of the ledger the reader has, with no other.
func TestEveryBit(t *testing.T) {
	m, first := makeSmall(t)
	raw, err := m.export(t, true)
	ok(t, err)
	for _, key := range []string{m.key, first} {
		m.key = key
		code, said := m.check(t, raw)
		if code != 0 || strings.Contains(said, "NOT CHECKED") {
			t.Fatal(code, said)
		}
	}
	step := 1
	if testing.Short() {
		step = 13
	}
	var wg sync.WaitGroup
	for n := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			own := m
			if n%2 == 1 {
				own.key = filepath.Join(m.dir, "new.pub")
			}
			b := bytes.Clone(raw)
			for i := n * step; i < 8*len(raw); i += step * runtime.GOMAXPROCS(0) {
				b[i/8] ^= 1 << (i % 8)
				if code, said := own.check(t, b); code != 1 {
					t.Errorf("byte %d, bit %d (%.60q): %d %s", i/8, i%8, raw[max(0, i/8-25):min(len(raw), i/8+25)], code, said)
				}
				b[i/8] ^= 1 << (i % 8)
			}
		})
	}
	wg.Wait()
}

// TestSignatures is about who has signed what.
func TestSignatures(t *testing.T) {
	m, first := makeSmall(t)
	raw, err := m.export(t, true)
	ok(t, err)
	dump := string(raw)
	stranger, err := witness.NewCosigner("witness.example/unknown")
	ok(t, err)
	again, err := witness.NewCosigner("witness.example/w")
	ok(t, err)
	lines := strings.SplitAfter(dump, "\n")
	at := 0 // the first cosigned checkpoint
	for !strings.HasPrefix(lines[at], `{"cosigned":`) {
		at++
	}
	edit := func(change func(text string, sigs []string) []string) string {
		var c map[string]string
		ok(t, json.Unmarshal([]byte(lines[at]), &c))
		text, sigs, err := witness.Split([]byte(c["cosigned"]))
		ok(t, err)
		signed := strings.ReplaceAll(text+"\n"+strings.Join(change(text, sigs), ""), "\n", `\n`)
		return strings.Join(lines[:at], "") + `{"cosigned":"` + signed + `"}` + "\n" + strings.Join(lines[at+1:], "")
	}
	add := func(c *witness.Cosigner) func(string, []string) []string {
		return func(text string, sigs []string) []string { return append(sigs, c.Cosign(text, time.Unix(1e9, 0))) }
	}
	for what, c := range map[string]struct {
		dump string
		code int
		says string
	}{
		"as it was":                    {edit(func(_ string, s []string) []string { return s }), 0, "sound: 5 entries"},
		"a stranger's":                 {edit(add(stranger)), 0, "NOT CHECKED, by a key that neither the record nor -witness names: witness.example/unknown+"},
		"another key of a known name":  {edit(add(again)), 1, "which is not one of its keys"},
		"one line twice":               {edit(func(_ string, s []string) []string { return append(s, s[1]) }), 1, "stands twice"},
		"not by the ledger":            {edit(func(_ string, s []string) []string { return s[1:] }), 1, "is not signed by the key of example.com/andon"},
		"by the ledger alone":          {edit(func(_ string, s []string) []string { return s[:1] }), 0, "sound"},
		"a cosigned line left out":     {strings.Join(append(append([]string{}, lines[:at]...), lines[at+1:]...), ""), 0, "sound"},
		"a cosigned line twice":        {strings.Join(lines[:at+1], "") + strings.Join(lines[at:], ""), 1, "a second cosigned checkpoint"},
		"carriage returns":             {strings.ReplaceAll(dump, "\n", "\r\n"), 1, "NOT SOUND"},
		"no line feed at the end":      {strings.TrimSuffix(dump, "\n"), 1, "NOT SOUND"},
		"half a line after everything": {dump + "x", 1, "ends within a line"},
	} {
		for _, key := range []string{first, filepath.Join(m.dir, "new.pub")} {
			m.key = key
			if code, said := m.check(t, []byte(c.dump)); code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("%s, %s: %d %s", what, filepath.Base(key), code, said)
			}
			// The ledger's own check says the same.
			text, err := os.ReadFile(key)
			ok(t, err)
			v, err := note.NewVerifier(strings.TrimSpace(string(text)))
			ok(t, err)
			r, err := ledger.VerifyExport(t.Context(), strings.NewReader(c.dump), v, ledger.VerifyOptions{})
			var f *ledger.Fault
			if err != nil && !errors.As(err, &f) || (err == nil) != (c.code == 0) && what != "a cosigned line twice" {
				t.Errorf("%s, %s: the ledger says %v", what, filepath.Base(key), err)
			}
			if strings.Contains(c.says, "NOT CHECKED") != strings.Contains(fmt.Sprint(r.Notes), "were not checked") {
				t.Errorf("%s: the ledger notes %q", what, r.Notes)
			}
		}
	}
}
