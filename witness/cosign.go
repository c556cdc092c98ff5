package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the signature type of timestamped Ed25519 cosignatures.
const algCosignature = 4

// timestampSize is that of the time in a cosignature, before the signature.
const timestampSize = 8

// Cosigner signs what its owner has seen, with the time. It is safe for
// concurrent use.
type Cosigner struct {
	name string
	key  ed25519.PrivateKey
}

// NewCosigner makes a key pair. The name must be good for a note: neither white
// space nor plus.
func NewCosigner(name string) (*Cosigner, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make cosigner: %w", err)
	}
	if _, err := NewVerifier(verifierText(name, pub)); err != nil {
		return nil, fmt.Errorf("make cosigner: %w", err)
	}
	return &Cosigner{name, key}, nil
}

// LoadOrCreateCosigner reads the private key in the file at path, or makes one.
// The file has mode 0600; one that others may read, or of another name, is
// refused.
func LoadOrCreateCosigner(path, name string) (*Cosigner, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c, err := NewCosigner(name)
		if err != nil {
			return nil, err
		}
		text := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s\n", name, c.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, c.key.Seed()...)))
		if err := replaceFile(path, []byte(text)); err != nil {
			return nil, fmt.Errorf("keep cosigner's key: %w", err)
		}
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cosigner's key: %w", err)
	}
	if fi, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read cosigner's key: %w", err)
	} else if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read cosigner's key: %s has mode %#o, and others may read it: remove it for a new key, or chmod 600 if nobody has", path, fi.Mode().Perm())
	}
	f := strings.SplitN(strings.TrimSpace(string(data)), "+", 5)
	bad := fmt.Errorf("read cosigner's key: %s does not hold PRIVATE+KEY+<name>+<hash>+<key>", path)
	if len(f) != 5 || f[0] != "PRIVATE" || f[1] != "KEY" {
		return nil, bad
	}
	seed, err := base64.StdEncoding.DecodeString(f[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize || seed[0] != algCosignature {
		return nil, bad
	}
	c := &Cosigner{f[2], ed25519.NewKeyFromSeed(seed[1:])}
	if f[3] != fmt.Sprintf("%08x", c.KeyHash()) {
		return nil, bad
	}
	if c.name != name {
		return nil, fmt.Errorf("read cosigner's key: %s is of %q, not of %q; a gateway that is renamed needs a key of its own: remove the file", path, c.name, name)
	}
	return c, nil
}

// Name is the cosigner's.
func (c *Cosigner) Name() string { return c.name }

// KeyHash is the key's short id in signature lines.
func (c *Cosigner) KeyHash() uint32 { return keyHash(c.name, c.public()) }

func (c *Cosigner) public() ed25519.PublicKey { return c.key.Public().(ed25519.PublicKey) }

// Verifier is the text of the public key: <name>+<hash>+<key>.
func (c *Cosigner) Verifier() string { return verifierText(c.name, c.public()) }

// Cosign returns the signature line for a checkpoint's text at a time. Whoever
// calls it vouches that it is the newest it has seen, and consistent with all
// before.
func (c *Cosigner) Cosign(text string, at time.Time) string {
	stamp := uint64(max(at.Unix(), 1))
	sig := binary.BigEndian.AppendUint32(nil, c.KeyHash())
	sig = binary.BigEndian.AppendUint64(sig, stamp)
	sig = append(sig, ed25519.Sign(c.key, cosigned(text, stamp))...)
	return "— " + c.name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// cosigned is what a cosignature is over.
func cosigned(text string, stamp uint64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", stamp, text)
}

func keyHash(name string, key ed25519.PublicKey) uint32 {
	sum := sha256.Sum256(append(append([]byte(name), '\n', algCosignature), key...))
	return binary.BigEndian.Uint32(sum[:])
}

func verifierText(name string, key ed25519.PublicKey) string {
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, key), base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, key...)))
}

// Verifier verifies cosignatures of one witness. It is a note.Verifier.
type Verifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
	text string
}

// NewVerifier reads a witness's public key, as Cosigner.Verifier writes it.
func NewVerifier(text string) (*Verifier, error) {
	f := strings.SplitN(text, "+", 3)
	if len(f) != 3 {
		return nil, fmt.Errorf("read witness key %.80q: it is not <name>+<hash>+<key>", text)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(f[2])
	switch hash, e := hex.DecodeString(f[1]); {
	case err != nil || len(key) == 0 || e != nil || len(hash) != 4 || f[1] != strings.ToLower(f[1]):
		return nil, fmt.Errorf("read witness key %.80q: it is not <name>+<hash>+<key>", text)
	case key[0] == 1:
		return nil, fmt.Errorf("read witness key %.80q: it is a log's key (type 1); a witness has one of type %d", text, algCosignature)
	case key[0] != algCosignature:
		return nil, fmt.Errorf("read witness key %.80q: type %d is not known here; type %d is Ed25519", text, key[0], algCosignature)
	case len(key) != 1+ed25519.PublicKeySize:
		return nil, fmt.Errorf("read witness key %.80q: the key has %d bytes, not %d", text, len(key)-1, ed25519.PublicKeySize)
	case f[0] == "" || strings.ContainsFunc(f[0], func(r rune) bool { return r <= ' ' || r == 0xfffd || r == '+' }):
		return nil, fmt.Errorf("read witness key %.80q: the name is empty or holds blanks", text)
	case keyHash(f[0], key[1:]) != binary.BigEndian.Uint32(hash):
		return nil, fmt.Errorf("read witness key %.80q: the hash does not fit name and key", text)
	}
	return &Verifier{f[0], keyHash(f[0], key[1:]), key[1:], text}, nil
}

// Name is the witness's.
func (v *Verifier) Name() string { return v.name }

// KeyHash is the key's short id in signature lines.
func (v *Verifier) KeyHash() uint32 { return v.hash }

// String is the text that NewVerifier read.
func (v *Verifier) String() string { return v.text }

// Verify implements note.Verifier.
func (v *Verifier) Verify(msg, sig []byte) bool {
	if len(sig) != timestampSize+ed25519.SignatureSize {
		return false
	}
	stamp := binary.BigEndian.Uint64(sig)
	return stamp > 0 && stamp <= math.MaxInt64 && ed25519.Verify(v.key, cosigned(string(msg), stamp), sig[timestampSize:])
}

// Line finds the witness's own cosignature in a signed note and verifies it. It
// returns the line, and when the witness says that it signed.
func (v *Verifier) Line(signed []byte) (line string, at time.Time, err error) {
	if len(signed) > MaxNote {
		return "", time.Time{}, fmt.Errorf("read cosignature: %d bytes, at most %d", len(signed), MaxNote)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read cosignature of %s: %w", v.name, err)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read cosignature of %s: %w", v.name, err)
	}
	return "— " + v.name + " " + n.Sigs[0].Base64 + "\n", time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC(), nil
}

// GatewayName is the name by which a gateway cosigns.
func GatewayName(gateway string) string {
	var b strings.Builder
	for _, c := range []byte(gateway) { // a note's key name holds neither blanks nor plus
		if c <= ' ' || c == '+' || c == '%' || c >= 0x7f {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)+0x100, 16)[1:]))
			continue
		}
		b.WriteByte(c)
	}
	return "andon/gateway/" + b.String()
}

// Gateway is the gateway that cosigns by a name; ok is false if none does.
func Gateway(name string) (gateway string, ok bool) {
	escaped, ok := strings.CutPrefix(name, "andon/gateway/")
	gateway, err := url.PathUnescape(escaped)
	return gateway, ok && err == nil && gateway != "" && GatewayName(gateway) == name
}

// replaceFile replaces a file by new contents, durably, or leaves it as it was.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	w, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
