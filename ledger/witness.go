package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
)

// TypeWitnessKnown is the type of the entry that names a key by which somebody
// cosigns checkpoints, in a body with a member "key".
const TypeWitnessKnown = "witness.known"

// cosigner verifies C2SP tlog-cosignatures by an Ed25519 key.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(msg, sig []byte) bool {
	return len(sig) == 8+ed25519.SignatureSize &&
		ed25519.Verify(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg), sig[8:])
}

// cosignerOf reads the key that an entry names; nil if it cannot be used.
func cosignerOf(e *Entry) note.Verifier {
	var b struct {
		Key string `json:"key"`
	}
	if json.Unmarshal(e.Body, &b) != nil {
		return nil
	}
	name, rest, _ := strings.Cut(b.Key, "+")
	hash, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(key64)
	sum := sha256.Sum256([]byte(name + "\n" + string(key)))
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 || hex.EncodeToString(sum[:4]) != hash {
		return nil
	}
	return &cosigner{name, binary.BigEndian.Uint32(sum[:]), key[1:]}
}

// cosigners are the keys that are known: those that the reader gave, and those
// that the record names.
func (o *VerifyOptions) cosigners(named []note.Verifier) []note.Verifier {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Concat(o.Witnesses, named), func(v note.Verifier) bool {
		id := keyID(v.Name(), v.KeyHash())
		twice := seen[id]
		seen[id] = true
		return twice
	})
}

// countersigned checks the signatures of others on a checkpoint: each that a known
// key made, or whose name or number says so, is good. It returns whose could not be
// checked, as nobody has named a key.
func countersigned(signed []byte, origin string, known []note.Verifier) (unknown []string, err error) {
	n, err := note.Open(signed, note.VerifierList(known...))
	var invalid *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return nil, fault(FaultWitness, -1, "the cosignature of %s on a checkpoint does not verify", keyID(invalid.Name, invalid.Hash))
	case errors.As(err, &none):
		n = none.Note
	case err != nil:
		return nil, fault(FaultCheckpoint, -1, "a checkpoint: %v", err)
	}
	for _, s := range n.UnverifiedSigs {
		if s.Name == origin {
			continue // the log's own
		}
		if slices.ContainsFunc(known, func(v note.Verifier) bool { return v.Name() == s.Name || v.KeyHash() == s.Hash }) {
			return nil, fault(FaultWitness, -1, "what stands on a checkpoint as the cosignature of %s is by none of the keys of that name", keyID(s.Name, s.Hash))
		}
		unknown = append(unknown, keyID(s.Name, s.Hash))
	}
	return unknown, nil
}
