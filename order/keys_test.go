package order

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func edSign(s Signer, b []byte) []byte { return ed25519.Sign(s.key, b) }

func TestKeysInText(t *testing.T) {
	s, err := GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseSigner(s.Secret()); err != nil || again.Public() != s.Public() {
		t.Fatal(err)
	}
	if again, err := ParsePublicKey(s.Public().String()); err != nil || again != s.Public() {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.Public().String(), "andon-ed25519:") || len(s.Public().ID()) != 16 {
		t.Error(s.Public(), s.Public().ID())
	}
	for _, text := range []string{"", "andon-ed25519:", s.Secret(), s.Public().String() + "A", "andon-ed25519:AAAA", strings.TrimSuffix(s.Public().String(), "=")} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%q was read as a public key", text)
		}
	}
	if _, err := ParseSigner(s.Public().String()); err == nil {
		t.Error("a public key was read as a private one")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s, _ := GenerateSigner()
	secret := strings.TrimPrefix(s.Secret(), secretPrefix)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if out := fmt.Sprintf(format, s); strings.Contains(out, secret) || !strings.Contains(out, s.Public().ID()) {
			t.Errorf("%s: %s", format, out)
		}
	}
	if _, err := ParseSigner(secret); err == nil || strings.Contains(err.Error(), secret) {
		t.Error("the error repeats the secret")
	}
}

func TestLoadOrCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "control.key")
	// Several at once get one and the same key.
	var wg sync.WaitGroup
	got := make([]PublicKey, 8)
	for i := range got {
		wg.Go(func() {
			s, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
			}
			got[i] = s.Public()
		})
	}
	wg.Wait()
	for _, k := range got {
		if k != got[0] || k.ID() == "" {
			t.Fatal(got)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Error("left behind:", left)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
	os.Chmod(path, 0o600)
	os.WriteFile(path, []byte("garbage"), 0o600)
	if _, err := LoadOrCreate(path); err == nil {
		t.Error("garbage was replaced, or read")
	}
}
