package ledger_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"andon/ledger"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The golden log: whatever changes one byte here breaks every record out there.
const (
	goldenKey      = "PRIVATE+KEY+example.com/golden+ec459b04+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	goldenVerifier = "example.com/golden+ec459b04+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
	goldenLeaf     = `{"actor":"op-1","at":"2026-11-23T12:00:01.123456789Z","body":{"n":1},"seq":1,"type":"test.made"}`
	goldenProof    = `c2sp.org/tlog-proof@v1
index 1
Bk/B1O17cBc05BY/im9t+r45FHYlVkL0UsF2I7GLm0A=
gv7MWmECLrIGgXYQvbbrvHh03jhzDaz8ZASDEmFRAe4=

example.com/golden
3
OQETCmtl5diQtD20sqm8Op0cn36IcwU67EOKWrLtKuc=

— example.com/golden 7EWbBCRt4SAlOpyNg4+2Qok5LweBfFhDiPI41yR/zYDYvq3kD+b34A1BoMordtibRldJZNMdLSTdyvgsQuyA9V7LYAY=
`
)

func proofOf(t *testing.T, size int, n uint64) (entry, p []byte, cp ledger.Checkpoint, v note.Verifier) {
	t.Helper()
	s := sample{dir: t.TempDir()}
	s.s, v = keys(t, "example.com/proof")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	defer l.Close()
	fill(t, l, size)
	return must(readAll(t, l)[n].Encode())(t), must(l.Proof(t.Context(), n))(t), checkpoint(t, l, v), v
}

func TestProofRefusesAnyChange(t *testing.T) {
	entry, p, _, v := proofOf(t, 13, 6)
	if err := ledger.VerifyProof(entry, p, v); err != nil {
		t.Fatal(err)
	}
	for i := range p {
		for bit := range 8 {
			q := bytes.Clone(p)
			q[i] ^= 1 << bit
			if ledger.VerifyProof(entry, q, v) == nil {
				t.Fatalf("accepted with bit %d of byte %d flipped:\n%s", bit, i, q)
			}
		}
		if ledger.VerifyProof(entry, slices.Delete(bytes.Clone(p), i, i+1), v) == nil {
			t.Fatalf("accepted without byte %d", i)
		}
		for _, b := range []byte("\n\r A=0") {
			if ledger.VerifyProof(entry, slices.Insert(bytes.Clone(p), i, b), v) == nil {
				t.Fatalf("accepted with %q before byte %d", b, i)
			}
		}
	}
	for i := range entry {
		for bit := range 8 {
			e := bytes.Clone(entry)
			e[i] ^= 1 << bit
			if ledger.VerifyProof(e, p, v) == nil {
				t.Fatalf("accepted for another entry:\n%s", e)
			}
		}
	}
	if _, other := keys(t, "example.com/proof"); ledger.VerifyProof(entry, p, other) == nil {
		t.Error("accepted under another key of the same name")
	}
	for _, q := range []string{"", "\n\n", string(p[:100]), string(p) + "x", string(p) + "\n", "extra AAAA\n" + string(p),
		strings.Replace(string(p), "\nindex", "\nextra AAAA\nindex", 1), strings.Replace(string(p), "\n\n", "\n\n\n", 1)} {
		if ledger.VerifyProof(entry, []byte(q), v) == nil {
			t.Errorf("accepted:\n%s", q)
		}
	}
}

// TestProofOutside: the proof's parts, given to transparency-dev/merkle, hold,
// and none of them may change.
func TestProofOutside(t *testing.T) {
	entry, p, cp, _ := proofOf(t, 13, 6)
	head, _, _ := strings.Cut(string(p), "\n\n")
	var path [][]byte
	for _, line := range strings.Split(head, "\n")[2:] {
		path = append(path, must(base64.StdEncoding.DecodeString(line))(t))
	}
	h := rfc6962.DefaultHasher
	ok := func(index, size uint64, entry []byte, path [][]byte, root []byte) bool {
		return proof.VerifyInclusion(h, index, size, h.HashLeaf(entry), path, root) == nil
	}
	if !ok(6, 13, entry, path, cp.Root[:]) {
		t.Fatal("refused")
	}
	for index := range uint64(14) {
		if index != 6 && ok(index, 13, entry, path, cp.Root[:]) {
			t.Errorf("accepted at index %d", index)
		}
	}
	for i := range path {
		for j := range path[i] {
			q := slices.Clone(path)
			q[i] = bytes.Clone(path[i])
			q[i][j] ^= 1
			if ok(6, 13, entry, q, cp.Root[:]) {
				t.Errorf("accepted with byte %d of hash %d changed", j, i)
			}
		}
	}
	for i := range entry {
		e := bytes.Clone(entry)
		e[i] ^= 1
		if ok(6, 13, e, path, cp.Root[:]) {
			t.Errorf("accepted with byte %d of the entry changed", i)
		}
	}
}

// TestCheckpointCosigned: what witnesses add does no harm, and does not stand
// in for the log's own signature.
func TestCheckpointCosigned(t *testing.T) {
	entry, p, _, v := proofOf(t, 5, 2)
	_, signed, _ := strings.Cut(string(p), "\n\n")
	witness, wv := keys(t, "witness.example")
	n := must(note.Open([]byte(signed), note.VerifierList(v)))(t)
	both := must(note.Sign(n, witness))(t)
	if err := ledger.VerifyProof(entry, []byte(strings.Replace(string(p), signed, string(both), 1)), v); err != nil {
		t.Errorf("cosigned: %v", err)
	}
	alone := must(note.Sign(&note.Note{Text: n.Text}, witness))(t)
	for _, v := range []note.Verifier{v, wv} {
		if _, err := ledger.OpenCheckpoint(alone, v); err == nil {
			t.Errorf("signed by the witness alone, accepted for %s", v.Name())
		}
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	s, v := keys(t, "example.com/cp")
	const root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for text, good := range map[string]bool{
		"example.com/cp\n0\n" + root + "\n":                    true,
		"example.com/cp\n9223372036854775807\n" + root + "\n":  false, // ParseInt's 63 bits: up to 2^62-1, as tlog doubles it
		"example.com/cp\n4611686018427387903\n" + root + "\n":  true,
		"example.com/cp\n-1\n" + root + "\n":                   false,
		"example.com/cp\n+1\n" + root + "\n":                   false,
		"example.com/cp\n01\n" + root + "\n":                   false,
		"example.com/cp\n\n" + root + "\n":                     false,
		"example.com/other\n0\n" + root + "\n":                 false,
		"\n0\n" + root + "\n":                                  false,
		"example.com/cp\n0\n" + root[:40] + "\n":               false,
		"example.com/cp\n0\n" + root[:42] + "V=\n":             false, // spare bits
		"example.com/cp\n0\n" + root + "\nan extension line\n": false,
		"example.com/cp\n0\n":                                  false,
	} {
		signed, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.OpenCheckpoint(signed, v); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestGolden(t *testing.T) {
	s := must(note.NewSigner(goldenKey))(t)
	l := must(ledger.OpenSQLite(sample{dir: t.TempDir()}.db(), s))(t)
	defer l.Close()
	must(l.Append(t.Context(), 0, entries(0, 3)...))(t)
	e := readAll(t, l)[1]
	if got := must(e.Encode())(t); string(got) != goldenLeaf {
		t.Errorf("encoded as %s", got)
	}
	if got := must(l.Proof(t.Context(), 1))(t); string(got) != goldenProof {
		t.Errorf("proof:\n%s", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	if _, err := ledger.Decode([]byte(goldenLeaf)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"actor"`, ` "actor"`}, {`"op-1"`, `"op\u002d1"`}, {`123456789Z`, `123456789+00:00`}, {`.123456789Z`, `.1234567890Z`}, {`"seq":1`, `"seq":1.0`},
		{`"seq":1`, `"seq":-1`}, {`"seq":1`, `"seq":1,"seq":1`}, {`"seq":1`, `"Seq":1`}, {`,"type":"test.made"`, ``}, {`"test.made"}`, `"test.made","x":1}`},
		{`{"n":1}`, `{ "n":1}`}, {`"body":{"n":1}`, `"body":{"n":1},"body_sha256":"00"`}, {`"body":{"n":1},`, ``}, {`"test.made"}`, "\"test.made\"}\n"},
		{`{"n":1}`, `{"n":1,"a":2}`}, {`2026-11-23T12`, `2026-11-23t12`}, {`"test.made"`, `""`},
		{`"body":{"n":1}`, `"body_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","body_size":0`},
	} {
		data := strings.Replace(goldenLeaf, change[0], change[1], 1)
		if data == goldenLeaf {
			t.Fatalf("%q changes nothing", change)
		}
		if e, err := ledger.Decode([]byte(data)); err == nil {
			t.Errorf("accepted %s as %+v", data, e)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(goldenLeaf))
	f.Add([]byte(`{"actor":"","at":"2026-11-23T12:00:00Z","body":null,"seq":0,"type":"t"}`))
	f.Add([]byte(`{"actor":"é","at":"0001-01-01T00:00:01Z","body":[1e999,{"a":"\u0000"}],"seq":18446744073709551615,"type":"t"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ledger.Decode(data)
		if err != nil {
			return
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q decodes, and encodes as %q, %v", data, again, err)
		}
		leaf, apart, err := e.Leaf()
		if err != nil || len(leaf) > ledger.MaxLeaf || (apart == nil) != bytes.Equal(leaf, data) {
			t.Fatalf("leaf of %d bytes, %v", len(leaf), err)
		}
	})
}

func FuzzVerifyProof(f *testing.F) {
	s, err := note.NewSigner(goldenKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(goldenLeaf), []byte(goldenProof))
	v := must(note.NewVerifier(goldenVerifier))(f)
	if v.KeyHash() != s.KeyHash() {
		f.Fatal("the golden keys are no pair")
	}
	f.Fuzz(func(t *testing.T, entry, p []byte) {
		if ledger.VerifyProof(entry, p, v) == nil && (string(entry) != goldenLeaf || !strings.HasPrefix(string(p), goldenProof[:len(goldenProof)/2])) {
			t.Fatalf("accepted for %q:\n%s", entry, p)
		}
	})
}

// TestProofPlace: an entry is proved at the place it claims, even if the owner
// of the key signed it into another.
func TestProofPlace(t *testing.T) {
	s, v := keys(t, "example.com/place")
	first, second := must(entry(0).Encode())(t), must(entry(1).Encode())(t) // both say seq 0
	sibling := tlog.RecordHash(first)
	text := fmt.Sprintf("example.com/place\n2\n%s\n", tlog.NodeHash(sibling, tlog.RecordHash(second)))
	p := fmt.Sprintf("c2sp.org/tlog-proof@v1\nindex 1\n%s\n\n%s", sibling, must(note.Sign(&note.Note{Text: text}, s))(t))
	if err := ledger.VerifyProof(second, []byte(p), v); err == nil || !strings.Contains(err.Error(), "not of entry 0") {
		t.Error(err)
	}
}

func TestProofErrors(t *testing.T) {
	s := makeSmall(t)
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	defer l.Close()
	for _, n := range []uint64{20, 21, 1 << 62, 1<<64 - 1} {
		if _, err := l.Proof(t.Context(), n); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("entry %d of 20: %v", n, err)
		}
	}
	// A proof from damaged hashes is not handed out.
	s.sql(t, "UPDATE hash SET hash = zeroblob(32) WHERE idx = 0")
	if _, err := l.Proof(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "verify the ledger") {
		t.Errorf("from damaged hashes: %v", err)
	}
}
