package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// NewSigner makes a key pair for a log of that name, in the text forms of
// C2SP signed-note: "PRIVATE+KEY+<name>+<hash>+<key>" and "<name>+<hash>+<key>".
// The name should be a URL without scheme: "example.com/andon"; it holds
// neither spaces nor "+".
func NewSigner(name string) (skey, vkey string, err error) {
	skey, vkey, err = note.GenerateKey(rand.Reader, name)
	if err == nil {
		_, err = note.NewVerifier(vkey) // refuses names that GenerateKey lets pass
	}
	if err != nil {
		return "", "", fmt.Errorf("make key for log %q: %w", name, err)
	}
	return skey, vkey, nil
}

// LoadOrCreateSigner reads the private key in the file at path, or makes one,
// and returns it with the text of its public key, which also stands in
// <path>.pub for those who verify. The key file has mode 0600 and appears
// whole or not at all; one that others may read, or of another name, is
// refused.
func LoadOrCreateSigner(path, name string) (s note.Signer, vkey string, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var skey string
		if skey, _, err = NewSigner(name); err != nil {
			return nil, "", err
		}
		if err = writeNew(path, []byte(skey+"\n"), 0o600); err != nil {
			return nil, "", fmt.Errorf("create key: %w", err)
		}
		data, err = os.ReadFile(path) // another process may have been first
	}
	if err != nil {
		return nil, "", fmt.Errorf("read key: %w", err)
	}
	if fi, err := os.Stat(path); err != nil {
		return nil, "", fmt.Errorf("read key: %w", err)
	} else if fi.Mode().Perm()&0o077 != 0 {
		return nil, "", fmt.Errorf("read key: %s has mode %#o: others may read it; make a new key, or chmod 600 if nobody has", path, fi.Mode().Perm())
	}
	skey := strings.TrimSpace(string(data))
	if s, err = note.NewSigner(skey); err == nil {
		vkey, err = publicKey(skey)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read key: %s: %w", path, err)
	}
	if s.Name() != name {
		return nil, "", fmt.Errorf("read key: %s is of log %q, not of %q", path, s.Name(), name)
	}
	return s, vkey, publish(path+".pub", vkey)
}

// publish writes the public key beside the private one, or checks what stands
// there: a verifier who was given another key would suspect the record.
func publish(path, vkey string) error {
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := writeNew(path, []byte(vkey+"\n"), 0o644); err != nil {
			return fmt.Errorf("publish key: %w", err)
		}
	case err != nil:
		return fmt.Errorf("publish key: %w", err)
	case strings.TrimSpace(string(have)) != vkey:
		return fmt.Errorf("publish key: %s is not the public half of the private key beside it", path)
	}
	return nil
}

// ReadVerifier reads a public key from a file, such as <path>.pub.
func ReadVerifier(path string) (note.Verifier, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("read public key: %s: %w", path, err)
	}
	return v, nil
}

// publicKey derives the verifier's text from a signer's that note has accepted.
func publicKey(skey string) (string, error) {
	f := strings.SplitN(skey, "+", 5) // PRIVATE, KEY, name, hash, key; base64 may hold a plus
	if len(f) != 5 {
		return "", errors.New("malformed key")
	}
	key, err := base64.StdEncoding.DecodeString(f[4])
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return "", errors.New("malformed key")
	}
	return note.NewEd25519VerifierKey(f[2], ed25519.NewKeyFromSeed(key[1:]).Public().(ed25519.PublicKey))
}

// writeNew makes a file durable under its name, whole or not at all, and
// leaves a file alone that somebody else made meanwhile.
func writeNew(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}
