package ledger_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
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

func TestALedgerGetsAnotherKey(t *testing.T) {
	const name = "example.com/andon"
	path := filepath.Join(t.TempDir(), "ledger.db")
	first, v1 := keys(t, name)
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
	b, err := ledger.Rekey(first, second, vkey)
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
	verify := func(v note.Verifier) error {
		_, err := ledger.Verify(context.Background(), path, v, ledger.VerifyOptions{})
		return err
	}
	if err := verify(v1); err == nil {
		t.Fatal("verified with a key that did not sign")
	}
	v, err := ledger.FollowKey(t.Context(), path, v1)
	if err != nil || v.KeyHash() != v2.KeyHash() {
		t.Fatal(v, err)
	}
	if err := verify(v); err != nil {
		t.Fatal(err)
	}
	_, stranger := keys(t, name)
	if v, err := ledger.FollowKey(t.Context(), path, stranger); err != nil || v.KeyHash() != stranger.KeyHash() {
		t.Fatal("a stranger's key was led on:", err)
	}
}

func TestRekeyingsThatAreNotFollowed(t *testing.T) {
	const name = "example.com/andon"
	first, v1 := keys(t, name)
	_, second, vkey, _ := remote(t, name)
	thief, thiefKey := keys(t, name)
	_ = thiefKey
	good, err := ledger.Rekey(first, second, vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := good.Successor(v1); err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]ledger.RekeyedBody{
		"another key is named":  {From: good.From, To: strings.Replace(vkey, "+", "+0", 1), Statement: good.Statement},
		"without a statement":   {From: good.From, To: vkey},
		"without the new key":   {From: good.From, To: vkey, Statement: must(note.Sign(&note.Note{Text: "andon ledger key succession\n" + vkey + "\n"}, first))(t)},
		"without the first key": {From: good.From, To: vkey, Statement: must(note.Sign(&note.Note{Text: "andon ledger key succession\n" + vkey + "\n"}, thief, second))(t)},
		"a checkpoint":          {From: good.From, To: vkey, Statement: must(note.Sign(&note.Note{Text: name + "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}, first, second))(t)},
	} {
		if _, err := b.Successor(v1); err == nil {
			t.Error(what)
		}
	}
	if _, err := ledger.Rekey(first, first, vkey); err == nil {
		t.Error("to itself")
	}
}
