package ledger_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"andon/ledger"

	"golang.org/x/mod/sumdb/note"
)

func TestLoadOrCreateSigner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	s, vkey, err := ledger.LoadOrCreateSigner(path, "example.com/andon")
	if err != nil {
		t.Fatal(err)
	}
	if fi := must(os.Stat(path))(t); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %#o", fi.Mode().Perm())
	}
	v := must(ledger.ReadVerifier(path + ".pub"))(t)
	msg := must(note.Sign(&note.Note{Text: "text\n"}, s))(t)
	if _, err := note.Open(msg, note.VerifierList(v)); err != nil || v.Name() != "example.com/andon" {
		t.Errorf("the halves do not fit: %v", err)
	}
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	again, vkey2, err := ledger.LoadOrCreateSigner(path, "example.com/andon")
	if err != nil || vkey2 != vkey || again.KeyHash() != s.KeyHash() {
		t.Errorf("loaded %s, created %s: %v", vkey2, vkey, err)
	}
	must(ledger.ReadVerifier(path + ".pub"))(t) // written anew
	if left := must(filepath.Glob(filepath.Join(filepath.Dir(path), ".*")))(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLoadSignerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string) error
		name  string
		want  string
	}{
		"readable by others": {func(p string) error { return os.Chmod(p, 0o644) }, "example.com/a", "others may read it"},
		"another name":       {func(string) error { return nil }, "example.com/b", `is of log "example.com/a"`},
		"cut":                {func(p string) error { return os.Truncate(p, 40) }, "example.com/a", "malformed"},
		"empty":              {func(p string) error { return os.Truncate(p, 0) }, "example.com/a", "malformed"},
		"another public key": {func(p string) error { return os.WriteFile(p+".pub", []byte("x\n"), 0o644) }, "example.com/a", "not the public half"},
		"a folder":           {func(p string) error { _ = os.Remove(p); return os.Mkdir(p, 0o700) }, "example.com/a", "read key"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if _, _, err := ledger.LoadOrCreateSigner(path, "example.com/a"); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(path); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ledger.LoadOrCreateSigner(path, c.name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "a b", "a+b", "a\nb"} {
		if _, _, err := ledger.NewSigner(bad); err == nil {
			t.Errorf("made a key for log %q", bad)
		}
	}
}

func TestCreateSignerRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if _, got[i], err = ledger.LoadOrCreateSigner(path, "example.com/race"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, vkey := range got {
		if vkey != got[0] {
			t.Errorf("two keys were made: %s and %s", got[0], vkey)
		}
	}
}
