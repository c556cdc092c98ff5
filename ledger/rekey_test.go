package ledger_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"andon/ledger"
)

// elsewhere is a key that can be taken away.
type elsewhere struct {
	key  ed25519.PrivateKey
	fail error
	lie  bool
}

func (e *elsewhere) sign(m []byte) ([]byte, error) {
	if e.lie {
		m = append(bytes.Clone(m), 'x')
	}
	return ed25519.Sign(e.key, m), e.fail
}

func remote(t *testing.T, name string) (*elsewhere, note.Signer, string, note.Verifier) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{key: key}
	s, vkey, err := ledger.RemoteSigner(name, key.Public().(ed25519.PublicKey), e.sign)
	if err != nil {
		t.Fatal(err)
	}
	return e, s, vkey, must(note.NewVerifier(vkey))(t)
}

func appendOne(t *testing.T, l *ledger.SQLite, e ledger.Entry) error {
	t.Helper()
	e.At = time.Unix(1_800_000_000, 0)
	_, err := l.Append(t.Context(), l.Size(), e)
	return err
}

func open(t *testing.T, path string, s note.Signer, along ...note.Signer) *ledger.SQLite {
	t.Helper()
	l, err := ledger.OpenSQLite(path, s, along...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestALedgerGetsAnotherKey(t *testing.T) {
	const name = "example.com/andon"
	path := filepath.Join(t.TempDir(), "ledger.db")
	_, first, firstKey, v1 := remote(t, name)
	away, second, vkey, v2 := remote(t, name)
	l := open(t, path, first)
	something := ledger.Entry{Type: "x", Body: []byte(`{}`)}
	if err := appendOne(t, l, something); err != nil {
		t.Fatal(err)
	}
	l.Close()
	// A new key alone does not take over a record; with the former one it does.
	if _, err := ledger.OpenSQLite(path, second); err == nil || !strings.Contains(err.Error(), "signed by") {
		t.Fatal(err)
	}
	_, other, _, _ := remote(t, "example.com/other")
	if _, err := ledger.OpenSQLite(path, second, other); err == nil {
		t.Fatal("a key of another log signs along")
	}
	b, err := ledger.Rekey(first, second, firstKey, vkey)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, path, second, first)
	if err := appendOne(t, l, ledger.Entry{Type: ledger.TypeRekeyed, Body: body}); err != nil {
		t.Fatal(err)
	}
	cp := must(l.Checkpoint(t.Context()))(t)
	for _, v := range []note.Verifier{v1, v2} { // whoever knows one of them can check it
		if c, err := ledger.OpenCheckpoint(cp, v); err != nil || c.Size != 2 {
			t.Fatal(err)
		}
	}
	// A key that does not answer, or lies, fails the append, and nothing changes.
	for _, broken := range []func(){func() { away.fail = errors.New("locked") }, func() { away.fail, away.lie = nil, true }} {
		broken()
		if err := appendOne(t, l, something); err == nil || l.Size() != 2 || !bytes.Equal(must(l.Checkpoint(t.Context()))(t), cp) {
			t.Fatal("appended without a signature:", err)
		}
	}
	away.lie = false
	if err := appendOne(t, l, something); err != nil {
		t.Fatal(err)
	}
	l.Close()
	// The overlap ends: who knows the first key alone is led on by the record.
	l = open(t, path, second)
	if err := appendOne(t, l, something); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, v := range []note.Verifier{v1, v2} {
		r, err := ledger.Verify(context.Background(), path, v, ledger.VerifyOptions{})
		if id := fmt.Sprintf("%s+%08x", name, v2.KeyHash()); err != nil || r.Key != id {
			t.Fatal(r.Key, err)
		}
	}
	_, stranger := keys(t, name)
	var f *ledger.Fault
	if _, err := ledger.Verify(t.Context(), path, stranger, ledger.VerifyOptions{}); !errors.As(err, &f) || f.Kind != ledger.FaultKey {
		t.Fatal("a stranger's key was led on:", err)
	}
}

// TestVerificationFollowsTheKeys: whoever has any key that the record ever had can
// check it as it is now, with a checkpoint of any time.
func TestVerificationFollowsTheKeys(t *testing.T) {
	const name = "example.com/andon"
	path := filepath.Join(t.TempDir(), "ledger.db")
	something := ledger.Entry{Type: "x", Body: []byte(`{}`)}
	var signers []note.Signer
	var texts []string
	var vs []note.Verifier
	var trusted [][]byte
	var cosigned []byte
	for i := range 3 {
		_, s, text, v := remote(t, name)
		signers, texts, vs = append(signers, s), append(texts, text), append(vs, v)
		if i > 0 {
			b := must(ledger.Rekey(signers[i-1], s, texts[i-1], text))(t)
			l := open(t, path, s, signers[i-1])
			ok(t, appendOne(t, l, ledger.Entry{Type: ledger.TypeRekeyed, Body: must(json.Marshal(b))(t)}))
			ok(t, l.Close())
		}
		l := open(t, path, s)
		ok(t, appendOne(t, l, something))
		trusted = append(trusted, must(l.Checkpoint(t.Context()))(t))
		if i == 0 { // a witness, whose cosignature stays
			cosigned = append(bytes.Clone(trusted[0]), "— w AAAAAAAA\n"...)
			ok(t, l.Cosigned(t.Context(), cosigned))
		}
		ok(t, l.Close())
	}
	dump := func() []byte {
		var b bytes.Buffer
		ok(t, ledger.Export(t.Context(), path, &b, ledger.ExportOptions{}))
		return b.Bytes()
	}
	sound := dump()
	for i, v := range vs {
		for j, cp := range trusted {
			o := ledger.VerifyOptions{Trusted: cp}
			if r, err := ledger.Verify(t.Context(), path, v, o); err != nil || r.Size != 5 {
				t.Errorf("key %d, checkpoint %d: %v", i, j, err)
			}
			if r, err := ledger.VerifyExport(t.Context(), bytes.NewReader(sound), v, o); err != nil || !strings.HasSuffix(r.Key, fmt.Sprintf("%08x", vs[2].KeyHash())) {
				t.Errorf("export, key %d, checkpoint %d: %s, %v", i, j, r.Key, err)
			}
		}
	}
	// A checkpoint that none of them has signed is not taken.
	_, other := keys(t, name)
	thief, _ := keys(t, name)
	text, _, _ := bytes.Cut(trusted[0], []byte("\n\n"))
	forged := must(note.Sign(&note.Note{Text: string(text) + "\n"}, thief))(t)
	o := ledger.VerifyOptions{Trusted: forged}
	if _, err := ledger.Verify(t.Context(), path, vs[0], o); err == nil {
		t.Error("a stranger's checkpoint was trusted")
	}
	if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(sound), vs[0], o); err == nil {
		t.Error("a stranger's checkpoint was trusted, in an export")
	}
	if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(sound), other, ledger.VerifyOptions{}); err == nil {
		t.Error("verified with a key that the record never had")
	}
	// Whoever has kept a withdrawn key cannot go on with it.
	l := open(t, path, signers[2], signers[0])
	ok(t, appendOne(t, l, something))
	ok(t, l.Close())
	if l, err := ledger.OpenSQLite(path, signers[0]); err != nil {
		t.Fatal(err)
	} else {
		ok(t, appendOne(t, l, something))
		ok(t, l.Close())
	}
	for i, v := range vs {
		var f *ledger.Fault
		if _, err := ledger.Verify(t.Context(), path, v, ledger.VerifyOptions{}); !errors.As(err, &f) || f.Kind != ledger.FaultKey {
			t.Errorf("key %d: signed by a key that was replaced: %v", i, err)
		}
		if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(dump()), v, ledger.VerifyOptions{}); !errors.As(err, &f) || f.Kind != ledger.FaultKey {
			t.Errorf("export, key %d: signed by a key that was replaced: %v", i, err)
		}
	}
}

func TestRekeyingsThatAreNotFollowed(t *testing.T) {
	const name = "example.com/andon"
	_, first, firstKey, v1 := remote(t, name)
	_, second, vkey, _ := remote(t, name)
	thief, thiefKey := keys(t, name)
	_ = thiefKey
	good, err := ledger.Rekey(first, second, firstKey, vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := good.Successor(v1); err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]ledger.RekeyedBody{
		"another key is named":  {From: good.From, To: strings.Replace(vkey, "+", "+0", 1), Statement: good.Statement},
		"without a statement":   {From: good.From, To: vkey},
		"without the new key":   {From: good.From, To: vkey, Statement: must(note.Sign(&note.Note{Text: "andon ledger key succession\n" + firstKey + "\n" + vkey + "\n"}, first))(t)},
		"without the first key": {From: good.From, To: vkey, Statement: must(note.Sign(&note.Note{Text: "andon ledger key succession\n" + firstKey + "\n" + vkey + "\n"}, thief, second))(t)},
		"a checkpoint":          {From: good.From, To: vkey, Statement: must(note.Sign(&note.Note{Text: name + "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}, first, second))(t)},
	} {
		if _, err := b.Successor(v1); err == nil {
			t.Error(what)
		}
	}
	if _, err := ledger.Rekey(first, first, firstKey, firstKey); err == nil {
		t.Error("to itself")
	}
}
