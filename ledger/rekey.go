package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
)

// TypeRekeyed is the type of the entry that holds a Rekeying, in a body like
// RekeyedBody.
const TypeRekeyed = "ledger.rekeyed"

// RekeyedBody is the body of such an entry.
type RekeyedBody struct {
	From      string `json:"from"`      // public key that signed checkpoints until here
	To        string `json:"to"`        // public key that signs them from here on
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
// a note by both keys, for an entry of type TypeRekeyed. fromKey and toKey are
// their public halves.
func Rekey(from, to note.Signer, fromKey, toKey string) (RekeyedBody, error) {
	b := RekeyedBody{From: fromKey, To: toKey}
	before, err := note.NewVerifier(fromKey)
	if err != nil {
		return RekeyedBody{}, fmt.Errorf("rekey ledger: %w", err)
	}
	if b.Statement, err = note.Sign(&note.Note{Text: b.text()}, from, to); err != nil {
		return RekeyedBody{}, fmt.Errorf("rekey ledger: %w", err)
	}
	if _, err := b.Successor(before); err != nil {
		return RekeyedBody{}, fmt.Errorf("rekey ledger from %s to %s: %w", keyID(from.Name(), from.KeyHash()), keyID(to.Name(), to.KeyHash()), err)
	}
	return b, nil
}

// text is what both keys sign.
func (b *RekeyedBody) text() string { return rekeying + "\n" + b.From + "\n" + b.To + "\n" }

// Successor verifies, with the key before, what a rekeying states, and returns the
// key after it. Both keys must have signed.
func (b *RekeyedBody) Successor(v note.Verifier) (note.Verifier, error) {
	next, err := note.NewVerifier(b.To)
	if err != nil {
		return nil, fmt.Errorf("follow ledger key: %w", err)
	}
	return next, b.stated(v, next)
}

// forerunner is Successor the other way, with the key after.
func (b *RekeyedBody) forerunner(v note.Verifier) (note.Verifier, error) {
	before, err := note.NewVerifier(b.From)
	if err != nil {
		return nil, fmt.Errorf("follow ledger key: %w", err)
	}
	return before, b.stated(before, v)
}

// stated reports why the statement does not lead from one key to the other. A
// hash of 32 bits names a key; that it is this one, its signature shows.
func (b *RekeyedBody) stated(from, to note.Verifier) error {
	id := keyID(from.Name(), from.KeyHash())
	n, err := note.Open(b.Statement, note.VerifierList(from, to))
	switch {
	case err != nil:
		return fmt.Errorf("follow ledger key %s: %w", id, err)
	case len(n.Sigs) != 2 || to.Name() != from.Name() || to.KeyHash() == from.KeyHash():
		return fmt.Errorf("follow ledger key %s: not signed by it and by its successor", id)
	case n.Text != b.text():
		return fmt.Errorf("follow ledger key %s: the statement is another one", id)
	}
	return nil
}

// maxRekeyings bounds how many entries of a record name another key.
const maxRekeyings = 1024

// keyHistory collects, entry by entry, which keys a record says that it had.
type keyHistory struct {
	at     []uint64
	bodies []RekeyedBody
	named  []note.Verifier // of witnesses
}

// take notes an entry that names another key, or one of a witness.
func (h *keyHistory) take(e *Entry) error {
	if e.Type == TypeWitnessKnown {
		if v := cosignerOf(e); v != nil {
			h.named = append(h.named, v)
		}
	}
	if e.Type != TypeRekeyed {
		return nil
	}
	var b RekeyedBody
	if err := json.Unmarshal(e.Body, &b, json.RejectUnknownMembers(true)); err != nil {
		return fault(FaultKey, int64(e.Seq), "it does not say which key signs from here on: %v", err)
	}
	if len(h.at) >= maxRekeyings {
		return fault(FaultKey, int64(e.Seq), "the ledger's key was replaced more than %d times", maxRekeyings)
	}
	h.at, h.bodies = append(h.at, e.Seq), append(h.bodies, b)
	return nil
}

// lineage is a key that is trusted, and those that the record leads to from it.
// Each has signed that the next one follows, and the next one has, too.
type lineage struct {
	last  note.Verifier   // that has to have signed the record as it is now
	all   []note.Verifier // that have signed checkpoints
	named []note.Verifier // that cosign them
	notes []string
}

// from follows the keys from v on, and back.
func (h *keyHistory) from(v note.Verifier) lineage {
	l := lineage{last: v, all: []note.Verifier{v}, named: h.named}
	for i := range h.bodies {
		b := &h.bodies[i]
		if next, err := b.Successor(l.last); err == nil {
			l.last, l.all = next, append(l.all, next)
			l.notes = append(l.notes, fmt.Sprintf("entry %d gave the ledger another key, and both have signed that; it is signed by %s since", h.at[i], b.To))
		}
	}
	first := v
	for i := len(h.bodies) - 1; i >= 0; i-- {
		if before, err := h.bodies[i].forerunner(first); err == nil {
			first, l.all = before, append(l.all, before)
		}
	}
	return l
}

// open verifies a checkpoint that one of the keys has signed, then or now.
func (l *lineage) open(signed []byte) (cp Checkpoint, err error) {
	for _, v := range l.all {
		if cp, err = OpenCheckpoint(signed, v); !errors.Is(err, errOtherKey) {
			return cp, err
		}
	}
	return cp, err
}

// kept reads a checkpoint that is kept with the record, for what others have
// cosigned: one of the log's keys has signed it, then or now.
func (l *lineage) kept(signed []byte) (Checkpoint, error) {
	cp, err := l.open(signed)
	if err == nil {
		err = l.own(signed)
	}
	return cp, err
}

// own checks each signature that stands in the log's name, beside the one that
// counts: it is by one of the log's keys, and good. Every signature, of whomever,
// is in its one form and stands once.
func (l *lineage) own(signed []byte) error {
	n, err := note.Open(signed, note.VerifierList())
	var unknown *note.UnverifiedNoteError
	if !errors.As(err, &unknown) {
		return err
	}
	n = unknown.Note
	if bytes.Count(signed[len(n.Text):], []byte("\n")) != 1+len(n.UnverifiedSigs) {
		return errSignature
	}
	seen := map[string]bool{}
	for _, s := range n.UnverifiedSigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil || seen[keyID(s.Name, s.Hash)] {
			return fmt.Errorf("the signature of %s is malformed, or stands twice: %w", s.Name, errSignature)
		}
		seen[keyID(s.Name, s.Hash)] = true
		if s.Name != l.last.Name() {
			continue
		}
		i := slices.IndexFunc(l.all, func(v note.Verifier) bool { return v.KeyHash() == s.Hash })
		if i < 0 {
			return fmt.Errorf("it is signed by %s, too, which the record does not lead to: %w", keyID(s.Name, s.Hash), errSignature)
		}
		if _, err := OpenCheckpoint(signed, l.all[i]); err != nil {
			return err
		}
	}
	return nil
}

// head verifies the checkpoint of the record itself: the last key must have
// signed it. A former key may sign along, and is not enough.
func (l *lineage) head(signed []byte) (Checkpoint, error) {
	cp, err := OpenCheckpoint(signed, l.last)
	switch {
	case errors.Is(err, errOtherKey):
		return cp, fault(FaultKey, -1, "%v", err)
	case err != nil:
		return cp, fault(FaultCheckpoint, -1, "%v", err)
	}
	if err := l.own(signed); err != nil {
		return cp, fault(FaultCheckpoint, -1, "the checkpoint: %v", err)
	}
	return cp, nil
}

// id names the last key.
func (l *lineage) id() string { return keyID(l.last.Name(), l.last.KeyHash()) }
