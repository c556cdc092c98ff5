// Package witness lets others vouch for a ledger: whoever sees its checkpoints
// remembers the newest, wants a proof that each later one only adds to it, and
// says so with a signature of its own. So a ledger that is rolled back, or that
// shows one history here and another there, is found out by whoever looks, and
// whoever holds the ledger's key can do nothing about it.
//
// It speaks C2SP: signed-note, tlog-checkpoint, tlog-cosignature (Ed25519) and
// tlog-witness.
//
// What this package promises: a [Keeper] never cosigns a checkpoint that is not
// proved to continue what it cosigned before, not even after a restart; what it
// cosigned is on disk before anybody has the cosignature; and evidence of two
// histories is kept until a person takes it away. A [Client] believes an outside
// witness nothing but a signature that verifies.
//
// Values are plain data. A Keeper and a Client are used by one goroutine each.
package witness

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxNote bounds a signed checkpoint, in bytes, with all its cosignatures.
const MaxNote = 256 << 10

// Checkpoint is what a signed checkpoint says.
type Checkpoint struct {
	Origin string    // names the log
	Size   uint64    // entries covered
	Root   tlog.Hash // RFC 6962 tree hash of those
}

// Text is the note's text: origin, size and root, a line each.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Parse reads the text of a checkpoint, which it does not trust. Extension lines
// are refused: the logs that are witnessed here write none.
func Parse(text string) (Checkpoint, error) {
	f := strings.Split(text, "\n")
	if len(f) != 4 || f[0] == "" || f[3] != "" {
		return Checkpoint{}, errors.New("read checkpoint: its text is not origin, size and root on three lines")
	}
	n, err := strconv.ParseInt(f[1], 10, 63)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != f[1] {
		return Checkpoint{}, fmt.Errorf("read checkpoint: size %.40q is not a decimal without leading zeros", f[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(f[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("read checkpoint: root %.80q is not the base64 of a SHA-256 hash", f[2])
	}
	return Checkpoint{f[0], uint64(n), tlog.Hash(root)}, nil
}

// Open reads a checkpoint that the log's key has signed. Whatever other
// signatures the note carries is not looked at.
func Open(signed []byte, log note.Verifier) (Checkpoint, error) {
	if len(signed) > MaxNote {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %d bytes, at most %d", len(signed), MaxNote)
	}
	n, err := note.Open(signed, note.VerifierList(log))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	// One byte string for one signature: note ignores the spare bits of base64.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: signature: %w", err)
	}
	c, err := Parse(n.Text)
	if err == nil && c.Origin != log.Name() {
		err = fmt.Errorf("read checkpoint: it is of log %.80q, and signed by %q", c.Origin, log.Name())
	}
	return c, err
}

// Consistent reports why proof does not show that the log at b only adds to the
// log at a.
func Consistent(a, b Checkpoint, proof tlog.TreeProof) error {
	switch {
	case a.Origin != b.Origin:
		return fmt.Errorf("log %q is not log %q", b.Origin, a.Origin)
	case b.Size < a.Size:
		return fmt.Errorf("it shrank from %d entries to %d", a.Size, b.Size)
	case b.Size == a.Size && b.Root != a.Root:
		return fmt.Errorf("two histories of %d entries", a.Size)
	case b.Size == a.Size || a.Size == 0:
		return nil
	case len(proof) > 64:
		return fmt.Errorf("a proof of %d hashes, at most 64", len(proof))
	}
	if err := tlog.CheckTree(proof, int64(b.Size), b.Root, int64(a.Size), a.Root); err != nil {
		return fmt.Errorf("the proof does not show that %d entries continue the %d before: %w", b.Size, a.Size, err)
	}
	return nil
}

// Split returns the text of a signed note and its signature lines, unchecked.
func Split(signed []byte) (text string, lines []string, err error) {
	i := strings.LastIndex(string(signed), "\n\n")
	if i < 0 || len(signed) > MaxNote || signed[len(signed)-1] != '\n' {
		return "", nil, errors.New("read checkpoint: it is not text, an empty line and signatures")
	}
	text = string(signed[:i+1])
	for line := range strings.Lines(string(signed[i+2:])) {
		if !strings.HasPrefix(line, "— ") {
			return "", nil, fmt.Errorf("read checkpoint: %.80q is not a signature line", line)
		}
		lines = append(lines, line)
	}
	return text, lines, nil
}
