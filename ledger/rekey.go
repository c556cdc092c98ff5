package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
)

// TypeRekeyed is the type of the entry that holds a Rekeying, in a body like
// RekeyedBody.
const TypeRekeyed = "ledger.rekeyed"

// RekeyedBody is the body of such an entry.
type RekeyedBody struct {
	From      string `json:"from"`      // name and hash of the key before: "example.com/andon+0123abcd"
	To        string `json:"to"`        // public key that signs checkpoints from here on
	Statement []byte `json:"statement"` // a signed note that says so, by both keys
}

const rekeying = "andon ledger key succession"

// remoteSigner signs checkpoints with a key that is elsewhere.
type remoteSigner struct {
	note.Verifier
	sign func([]byte) ([]byte, error)
}

func (s remoteSigner) Sign(msg []byte) ([]byte, error) { return s.sign(msg) }

// verifier is what checks s. Signing again, to compare, would ask for nothing.
func (s remoteSigner) verifier() note.Verifier { return s.Verifier }

// RemoteSigner signs the checkpoints of the log of that name with an Ed25519 key
// that stays elsewhere, and returns it with the text of its public key. sign
// returns plain signatures. If it fails, or gives one that does not verify, an
// Append fails and nothing is appended; how long it may take is its own to bound.
func RemoteSigner(name string, public ed25519.PublicKey, sign func(message []byte) ([]byte, error)) (note.Signer, string, error) {
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, "", fmt.Errorf("make signer of log %q: %w", name, err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, "", fmt.Errorf("make signer of log %q: %w", name, err)
	}
	return remoteSigner{v, func(msg []byte) ([]byte, error) {
		sig, err := sign(msg)
		if err == nil && !v.Verify(msg, sig) {
			err = errors.New("the key elsewhere gave a signature that does not verify")
		}
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", keyID(name, v.KeyHash()), err)
		}
		return sig, nil
	}}, vkey, nil
}

// Rekey states that the log's checkpoints are signed by another key from here on:
// a note by both keys, for an entry of type TypeRekeyed. vkey is the public half
// of to.
func Rekey(from, to note.Signer, vkey string) (RekeyedBody, error) {
	v, err := note.NewVerifier(vkey)
	switch {
	case err != nil:
		return RekeyedBody{}, fmt.Errorf("rekey ledger: %w", err)
	case v.Name() != to.Name() || v.KeyHash() != to.KeyHash() || from.Name() != to.Name() || from.KeyHash() == to.KeyHash():
		return RekeyedBody{}, fmt.Errorf("rekey ledger: from %s to %s: not two keys of one log", keyID(from.Name(), from.KeyHash()), keyID(to.Name(), to.KeyHash()))
	}
	signed, err := note.Sign(&note.Note{Text: rekeying + "\n" + vkey + "\n"}, from, to)
	if err != nil {
		return RekeyedBody{}, fmt.Errorf("rekey ledger: %w", err)
	}
	return RekeyedBody{From: keyID(from.Name(), from.KeyHash()), To: vkey, Statement: signed}, nil
}

// Successor verifies, with the key before, what a rekeying states, and returns the
// key after it. Both keys must have signed.
func (b *RekeyedBody) Successor(v note.Verifier) (note.Verifier, error) {
	next, err := note.NewVerifier(b.To)
	if err != nil {
		return nil, fmt.Errorf("follow ledger key: %w", err)
	}
	n, err := note.Open(b.Statement, note.VerifierList(v, next))
	switch {
	case err != nil:
		return nil, fmt.Errorf("follow ledger key %s: %w", keyID(v.Name(), v.KeyHash()), err)
	case len(n.Sigs) != 2 || next.Name() != v.Name() || next.KeyHash() == v.KeyHash():
		return nil, fmt.Errorf("follow ledger key %s: not signed by it and by its successor", keyID(v.Name(), v.KeyHash()))
	case n.Text != rekeying+"\n"+b.To+"\n":
		return nil, fmt.Errorf("follow ledger key %s: the statement is another one", keyID(v.Name(), v.KeyHash()))
	}
	return next, nil
}

// FollowKey returns the key that has signed the checkpoint of the ledger file at
// path, if it is v or if entries lead there from v, each key having named the
// next. Else it returns v, and Verify says what is wrong. It reads no further than
// the checkpoint where v has signed it.
func FollowKey(ctx context.Context, path string, v note.Verifier) (note.Verifier, error) {
	s, err := openScan(ctx, path)
	if err != nil {
		return v, nil // Verify says it better
	}
	defer s.close()
	signed, size, err := readCheckpoint(ctx, s.tx)
	if err != nil {
		return v, nil
	}
	if _, err := OpenCheckpoint(signed, v); !errors.Is(err, errOtherKey) {
		return v, nil
	}
	now := v
	err = s.leaves(ctx, 0, size, func(seq uint64, leaf []byte) error {
		if !strings.Contains(string(leaf), TypeRekeyed) {
			return nil
		}
		e, err := s.entry(ctx, seq, leaf)
		if err != nil || e.Type != TypeRekeyed {
			return nil
		}
		var b RekeyedBody
		if err := json.Unmarshal(e.Body, &b, json.RejectUnknownMembers(true)); err != nil || b.From != keyID(now.Name(), now.KeyHash()) {
			return nil
		}
		if next, err := b.Successor(now); err == nil {
			now = next
		}
		return nil
	})
	if err != nil {
		return v, fmt.Errorf("follow ledger key: %w", err)
	}
	if _, err := OpenCheckpoint(signed, now); err != nil {
		return v, nil
	}
	return now, nil
}
