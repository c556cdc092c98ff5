package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// proofHeader is the first line of a C2SP tlog-proof.
const proofHeader = "c2sp.org/tlog-proof@v1\n"

// prove writes the tlog-proof of entry n under a signed checkpoint. It checks
// the proof before handing it out: a proof from damaged hashes would accuse an
// honest record.
func prove(cp Checkpoint, signed []byte, n uint64, r tlog.HashReader) ([]byte, error) {
	if n >= cp.Size {
		return nil, fmt.Errorf("prove entry %d: the log has %d: %w", n, cp.Size, ErrNotFound)
	}
	path, err := tlog.ProveRecord(int64(cp.Size), int64(n), r)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", n, err)
	}
	leaf, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(n))})
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", n, err)
	}
	if err := tlog.CheckRecord(path, int64(cp.Size), cp.Root, int64(n), leaf[0]); err != nil {
		return nil, fmt.Errorf("prove entry %d: stored hashes do not lead to the signed root; verify the ledger: %w", n, err)
	}
	var b bytes.Buffer
	b.WriteString(proofHeader)
	fmt.Fprintf(&b, "index %d\n", n)
	for _, h := range path {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.Write(signed)
	return b.Bytes(), nil
}

// Root returns an earlier root. See Log.Root.
func (l *SQLite) Root(ctx context.Context, size uint64) (tlog.Hash, error) {
	if l.closed.Load() {
		return tlog.Hash{}, fmt.Errorf("root of %d entries: %w", size, ErrClosed)
	}
	if now := l.Size(); size > now {
		return tlog.Hash{}, fmt.Errorf("root of %d entries: the log has %d: %w", size, now, ErrNotFound)
	}
	e, err := loadEdge(size, l.store(ctx))
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("root of %d entries: %w", size, err)
	}
	return e.root(), nil
}

// Consistency returns a consistency proof. See Log.Consistency.
func (l *SQLite) Consistency(ctx context.Context, old, new uint64) (tlog.TreeProof, error) {
	if l.closed.Load() {
		return nil, fmt.Errorf("prove consistency: %w", ErrClosed)
	}
	if now := l.Size(); old < 1 || old > new || new > now {
		return nil, fmt.Errorf("prove consistency of %d entries with %d: the log has %d: %w", old, new, now, ErrNotFound)
	}
	proof, err := tlog.ProveTree(int64(new), int64(old), l.store(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove consistency of %d entries with %d: %w", old, new, err)
	}
	return proof, nil
}

// VerifyProof checks that entry, as Entry.Encode or Entry.Leaf wrote it, is in
// the log of the trusted key at the position it claims. It needs nothing but
// its arguments. A proof with an "extra" line is refused, as nothing would
// authenticate that line.
func VerifyProof(entry, proof []byte, v note.Verifier) error {
	e, apart, err := parse(entry)
	if err != nil {
		return fmt.Errorf("verify proof: %w", err)
	}
	leaf := entry
	if apart == nil {
		if leaf, _, err = e.Leaf(); err != nil {
			return fmt.Errorf("verify proof: %w", err)
		}
	}
	n, path, signed, err := parseProof(proof)
	if err != nil {
		return fmt.Errorf("verify proof: %w", err)
	}
	cp, err := OpenCheckpoint(signed, v)
	if err != nil {
		return fmt.Errorf("verify proof: %w", err)
	}
	if e.Seq != n {
		return fmt.Errorf("verify proof: it is of entry %d, not of entry %d", n, e.Seq)
	}
	if n >= cp.Size {
		return fmt.Errorf("verify proof: entry %d is beyond the checkpoint of size %d", n, cp.Size)
	}
	if err := tlog.CheckRecord(path, int64(cp.Size), cp.Root, int64(n), LeafHash(leaf)); err != nil {
		return fmt.Errorf("verify proof: entry %d is not in the tree that was signed: %w", n, err)
	}
	return nil
}

// parseProof splits a tlog-proof into the index, the path from the leaf's
// sibling to the root's child, and the signed checkpoint.
func parseProof(proof []byte) (n uint64, path tlog.RecordProof, signed []byte, err error) {
	head, signed, ok := bytes.Cut(proof, []byte("\n\n"))
	rest, isProof := strings.CutPrefix(string(head)+"\n", proofHeader)
	if !ok || !isProof {
		return 0, nil, nil, fmt.Errorf("parse proof: it does not read %q, lines, an empty line, a checkpoint", strings.TrimSpace(proofHeader))
	}
	lines := strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
	if strings.HasPrefix(lines[0], "extra ") {
		return 0, nil, nil, errors.New("parse proof: it carries extra data, which nothing authenticates")
	}
	index, ok := strings.CutPrefix(lines[0], "index ")
	if !ok {
		return 0, nil, nil, errors.New("parse proof: no index line")
	}
	if n, err = parseDecimal(index); err != nil {
		return 0, nil, nil, fmt.Errorf("parse proof: index: %w", err)
	}
	if len(lines) > 1+64 {
		return 0, nil, nil, errors.New("parse proof: more than 64 hashes, on line " + strconv.Itoa(len(lines)))
	}
	for _, l := range lines[1:] {
		h, err := parseHash(l)
		if err != nil {
			return 0, nil, nil, fmt.Errorf("parse proof: %w", err)
		}
		path = append(path, h)
	}
	return n, path, signed, nil
}
