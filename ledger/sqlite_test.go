package ledger_test

import (
	"path/filepath"
	"testing"

	"andon/ledger"

	"golang.org/x/mod/sumdb/note"
)

// keys makes a key pair for a log.
func keys(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := ledger.NewSigner(name)
	if err != nil {
		t.Fatal(err)
	}
	return must(note.NewSigner(skey))(t), must(note.NewVerifier(vkey))(t)
}

func TestSQLiteConformance(t *testing.T) {
	conformance(t, func(t *testing.T) (func() (ledger.Log, error), note.Verifier) {
		s, v := keys(t, "example.com/andon")
		path := filepath.Join(t.TempDir(), "a ledger?#%.db")
		return func() (ledger.Log, error) {
			l, err := ledger.OpenSQLite(path, s)
			if err != nil {
				return nil, err // not a nil *SQLite in an interface
			}
			return l, nil
		}, v
	})
}
