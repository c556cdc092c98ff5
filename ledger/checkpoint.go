package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is what a signed checkpoint says (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string    // names the log; the name of its key
	Size   uint64    // number of entries covered
	Root   tlog.Hash // RFC 6962 tree hash of those entries
}

// What OpenCheckpoint finds, for Verify to tell apart.
var (
	errOtherKey  = errors.New("not signed by the trusted key")
	errSignature = errors.New("signature does not verify")
)

// text is the note's text: origin, size and root, a line each.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// sign returns the signed note. Keys that sign along come after, where they can
// be had: for those who do not know the new key yet.
func (c Checkpoint) sign(s note.Signer, along ...note.Signer) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: c.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	for _, a := range along {
		if more, err := note.Sign(&note.Note{Text: c.text()}, a); err == nil {
			msg = append(msg, more[len(c.text())+1:]...)
		}
	}
	return msg, nil
}

// signedBy checks the signature by one of our keys: where the key is here, by
// signing again, which gives the same line.
func (c Checkpoint) signedBy(s note.Signer, signed []byte) error {
	if r, elsewhere := s.(remoteSigner); elsewhere {
		_, err := OpenCheckpoint(signed, r.verifier())
		return err
	}
	again, err := c.sign(s)
	if err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(signed, []byte(c.text()+"\n"))
	if line := again[len(c.text())+1:]; !ok || !bytes.HasPrefix(rest, line) && !bytes.Contains(rest, append([]byte("\n"), line...)) {
		return fmt.Errorf("checkpoint of size %d: %w", c.Size, errSignature)
	}
	return nil
}

// OpenCheckpoint verifies a signed checkpoint and returns what it says. The
// origin must be the key's name. Signatures by other keys, such as those of
// witnesses, are ignored; extension lines are refused, since this log writes
// none.
func OpenCheckpoint(signed []byte, v note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		var unknown *note.UnverifiedNoteError
		var invalid *note.InvalidSignatureError
		switch {
		case errors.As(err, &unknown):
			return Checkpoint{}, fmt.Errorf("open checkpoint: signed by %s, trusted is %s: %w",
				signers(unknown.Note), keyID(v.Name(), v.KeyHash()), errOtherKey)
		case errors.As(err, &invalid):
			return Checkpoint{}, fmt.Errorf("open checkpoint: %w", errSignature)
		}
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	// The base64 of a signature has spare bits that note ignores. Refusing what an
	// encoder would not write leaves one byte string for one signature.
	for _, s := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("open checkpoint: malformed signature: %w", errSignature)
		}
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != v.Name() {
		return Checkpoint{}, fmt.Errorf("open checkpoint: it is of log %q, not of %q", c.Origin, v.Name())
	}
	return c, nil
}

// parseCheckpoint reads the text of a checkpoint without trusting it.
func parseCheckpoint(text string) (Checkpoint, error) {
	f := strings.Split(text, "\n")
	if len(f) != 4 || f[0] == "" || f[3] != "" {
		return Checkpoint{}, errors.New("parse checkpoint: not origin, size and root on three lines")
	}
	size, err := parseDecimal(f[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: size: %w", err)
	}
	root, err := parseHash(f[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: root: %w", err)
	}
	return Checkpoint{Origin: f[0], Size: size, Root: root}, nil
}

// unverified reads a signed checkpoint without checking its signatures, and
// returns the keys that are said to have signed it.
func unverified(signed []byte) (Checkpoint, []note.Signature, error) {
	_, err := note.Open(signed, nil)
	var u *note.UnverifiedNoteError
	if !errors.As(err, &u) {
		return Checkpoint{}, nil, fmt.Errorf("parse checkpoint: %w", err)
	}
	c, err := parseCheckpoint(u.Note.Text)
	return c, u.Note.UnverifiedSigs, err
}

// parseDecimal reads an ASCII decimal without leading zeros that tlog can hold.
func parseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseInt(s, 10, 63)
	if err != nil || n < 0 || s != strconv.FormatInt(n, 10) {
		return 0, fmt.Errorf("%q is not a decimal without leading zeros", s)
	}
	return uint64(n), nil
}

// parseHash reads the one base64 text of a hash.
func parseHash(s string) (tlog.Hash, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != tlog.HashSize || len(s) != base64.StdEncoding.EncodedLen(tlog.HashSize) {
		return tlog.Hash{}, fmt.Errorf("%q is not the base64 of a SHA-256 hash", s)
	}
	return tlog.Hash(b), nil
}

func keyID(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

func signers(n *note.Note) string {
	var ids []string
	for _, s := range n.UnverifiedSigs {
		ids = append(ids, keyID(s.Name, s.Hash))
	}
	return strings.Join(ids, ", ")
}
