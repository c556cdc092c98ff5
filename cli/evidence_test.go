package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"andon/app/config"
	"andon/ledger"
)

// sealedIn makes a data folder whose record has sealed a document, and returns the
// proof that goes with it.
func sealedIn(t *testing.T, content string) (dir, proof string) {
	t.Helper()
	dir = t.TempDir()
	l := config.LayoutOf(dir)
	signer, _, err := ledger.LoadOrCreateSigner(l.LedgerKey(), "andon.test")
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.OpenSQLite(l.Ledger(), signer)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	sum := sha256.Sum256([]byte(content))
	e := ledger.Entry{At: noon, Type: "evidence.sealed", Actor: "op-1",
		Body: []byte(fmt.Sprintf(`{"id":"e-1","reason":"r","sha256":%q,"size":%d}`, hex.EncodeToString(sum[:]), len(content)))}
	if _, err := log.Append(context.Background(), 0, e); err != nil {
		t.Fatal(err)
	}
	text, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p, err := log.Proof(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := json.Marshal(map[string]string{"id": "e-1", "entry": string(text), "proof": string(p)})
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(beside)
}

func TestEvidenceGetAndVerify(t *testing.T) {
	const content = `{"format":"andon.evidence/1"}`
	dir, proof := sealedIn(t, content)
	out := filepath.Join(t.TempDir(), "e-1.json")
	f := newFake(t).on("GET /evidence/e-1/proof", 200, proof).on("GET /evidence/e-1/content", 200, content)
	f.run(t, "evidence", "get", "e-1", "-f", out).want(t, 0, "andon evidence verify")
	for _, name := range []string{out, out + ".proof"} {
		if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, fi, err)
		}
	}
	f.run(t, "evidence", "get", "e-1", "-f", out).want(t, 2, "nothing is written over")
	verify := func(args ...string) result {
		return runWith(t, Env{Args: append([]string{"evidence", "verify", "--data", dir}, args...)})
	}
	verify(out).want(t, 0, "sound:", "sealed by entry 0 of the record signed by andon.test")
	verify(out, "-o", "json").want(t, 0, `"sound":true`)

	write := func(name, text string) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	other := strings.Replace(content, "/1", "/2", 1)
	verify(write("a", other), "--proof", out+".proof").want(t, 1, "NOT SOUND", "entry 0 sealed")
	// An entry that was made to fit the document is not in the record.
	sum, was := sha256.Sum256([]byte(other)), sha256.Sum256([]byte(content))
	forged := strings.Replace(proof, hex.EncodeToString(was[:]), hex.EncodeToString(sum[:]), 1)
	verify(write("b", other), "--proof", write("p", forged)).want(t, 1, "NOT SOUND", "not in the tree")
	verify(out, "--proof", write("q", "{}")).want(t, 1, "NOT SOUND", "cannot be read")
	elsewhere, _ := sealedIn(t, content)
	runWith(t, Env{Args: []string{"evidence", "verify", "--data", elsewhere, out}}).want(t, 1, "NOT SOUND")

	// What the server gives is held against its own entry before it is kept.
	lying := newFake(t).on("GET /evidence/e-1/proof", 200, proof).on("GET /evidence/e-1/content", 200, other)
	at := filepath.Join(t.TempDir(), "x.json")
	lying.run(t, "evidence", "get", "e-1", "-f", at).want(t, 1, "nothing was saved")
	if _, err := os.Stat(at); err == nil {
		t.Error("it was saved")
	}
}

func TestEvidenceFlagsAndPrint(t *testing.T) {
	for _, tc := range []struct {
		e          evidenceFlags
		rest, want string
	}{
		{evidenceFlags{}, "", ""}, {evidenceFlags{}, "?a=b", "?a=b"}, {evidenceFlags{take: "take"}, "", "?evidence=take"},
		{evidenceFlags{"skip", "lives at stake"}, "?break_glass=true", "?break_glass=true&evidence=skip&evidence_reason=lives+at+stake"},
	} {
		if got := tc.e.query(tc.rest); got != tc.want {
			t.Errorf("%+v: %q", tc.e, got)
		}
	}
	const one = `{"id":"e-1","state":"sealed","incident":"i-1","models":["m"],"corrections":["c-1"],"before_revision":4,"reason":"before c-1","by":"op-1","at":"2030-01-01T00:00:00Z","sha256":"ab","size":9,"points_asked":2,"points_answered":1,"missing":[{"point":"gw-2","what":"everything","why":"it did not answer"}],"entry":7,"stored":"lost"}`
	f := newFake(t).on("GET /evidence/e-1", 200, one).on("GET /evidence", 200, `{"evidence":[`+one+`]}`).on("POST /evidence", 201, one)
	f.run(t, "evidence", "show", "e-1").want(t, 0, "before revision 4 (c-1)", "1 of 2 points", "gw-2: everything: it did not answer", "NOT ON THE DISK")
	f.run(t, "evidence", "ls").want(t, 0, "LOST", "1/2")
	f.run(t, "evidence", "take", "--incident", "i-1", "--reason", "r").want(t, 0, "andon evidence get e-1")
	f.run(t, "evidence", "take").want(t, 2, "a reason is required")
}
