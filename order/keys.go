package order

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	publicPrefix = "andon-ed25519:"
	secretPrefix = "andon-ed25519-secret:"
)

// PublicKey is an Ed25519 public key, in text "andon-ed25519:<base64>". The
// zero value verifies nothing.
type PublicKey struct {
	key [ed25519.PublicKeySize]byte
	id  string
}

// ParsePublicKey reads the text form of a public key.
func ParsePublicKey(text string) (PublicKey, error) {
	b, err := keyBytes(text, publicPrefix, ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key: %w", err)
	}
	return publicKey(b), nil
}

func publicKey(b []byte) PublicKey {
	k := PublicKey{id: keyID(b)}
	copy(k.key[:], b)
	return k
}

// keyID names a key in envelopes and logs: the first 8 bytes of its SHA-256.
func keyID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// ID is the key's short name, 16 hex digits; "" for the zero value.
func (k PublicKey) ID() string { return k.id }

// String is the text form; "" for the zero value.
func (k PublicKey) String() string {
	if k.id == "" {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.key[:])
}

// MarshalText returns the text form.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the text form.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// NewPublicKey is the public key of 32 bytes.
func NewPublicKey(b ed25519.PublicKey) (PublicKey, error) {
	if len(b) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("read public key: %d bytes, not %d", len(b), ed25519.PublicKeySize)
	}
	return publicKey(b), nil
}

// Bytes are the key's own 32 bytes.
func (k PublicKey) Bytes() ed25519.PublicKey { return slices.Clone(k.key[:]) }

// Signer signs with an Ed25519 key: one that it holds, one that stays elsewhere
// (see [RemoteSigner]), or one that such a key has warranted (see [NewSession]).
// It never prints its secret; [Signer.Secret] is the one way to get at it. The
// zero value cannot sign.
type Signer struct {
	key     ed25519.PrivateKey
	public  PublicKey
	remote  func(message []byte) ([]byte, error)
	warrant []byte // what makes this key count; nil: it counts by itself
}

// GenerateSigner makes a new key from the system's randomness.
func GenerateSigner() (Signer, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails: crypto/rand ends the program instead
	return signer(seed), nil
}

// ParseSigner reads the text form "andon-ed25519-secret:<base64 of the seed>".
func ParseSigner(text string) (Signer, error) {
	seed, err := keyBytes(text, secretPrefix, ed25519.SeedSize)
	if err != nil {
		return Signer{}, fmt.Errorf("parse private key: %w", err)
	}
	return signer(seed), nil
}

func signer(seed []byte) Signer {
	key := ed25519.NewKeyFromSeed(seed)
	return Signer{key: key, public: publicKey(key.Public().(ed25519.PublicKey))}
}

// keyBytes never repeats what it was given: it may be a secret.
func keyBytes(text, prefix string, size int) ([]byte, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q", prefix)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("%q is not followed by %d bytes of base64", prefix, size)
	}
	return b, nil
}

// Public is the key that verifies what s signs.
func (s Signer) Public() PublicKey { return s.public }

// Secret is the text form of the private key. Keep it out of logs.
func (s Signer) Secret() string {
	if s.key == nil {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.key.Seed())
}

// String names the key without its secret.
func (s Signer) String() string { return "signer " + s.public.id }

// GoString is String: %#v must not show the secret either.
func (s Signer) GoString() string { return s.String() }

// LogValue is String.
func (s Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }

// LoadOrCreate reads the private key in the file at path, or makes one, durably
// and readable by its owner alone. Of two that create at once, one wins and both
// get its key. A file that others can read is refused.
func LoadOrCreate(path string) (Signer, error) {
	s, err := loadSigner(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	s, err = GenerateSigner()
	if err != nil {
		return Signer{}, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Signer{}, fmt.Errorf("create key folder: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // 0600
	if err != nil {
		return Signer{}, fmt.Errorf("create key file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(s.Secret() + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return Signer{}, fmt.Errorf("write key file: %w", err)
	}
	// Link, unlike rename, never replaces a key that somebody else just made.
	if err := os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		return loadSigner(path)
	} else if err != nil {
		return Signer{}, fmt.Errorf("keep key file: %w", err)
	}
	return s, syncDir(dir)
}

func loadSigner(path string) (Signer, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Signer{}, fmt.Errorf("read key file: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return Signer{}, fmt.Errorf("read key file %s: others can read it (mode %04o); run: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Signer{}, fmt.Errorf("read key file: %w", err)
	}
	s, err := ParseSigner(string(bytes.TrimSpace(text)))
	if err != nil {
		return Signer{}, fmt.Errorf("read key file %s: %w", path, err)
	}
	return s, nil
}

// syncDir makes names in a folder durable: a rename alone is not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
