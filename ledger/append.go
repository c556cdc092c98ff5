package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// prepare compiles the statements of Append once.
func (l *SQLite) prepare(ctx context.Context) error {
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&l.insert.entry, "INSERT INTO entry (seq, leaf) VALUES (?, ?)"},
		{&l.insert.hash, "INSERT INTO hash (idx, hash) VALUES (?, ?)"},
		{&l.insert.body, "INSERT INTO body (sum, data) VALUES (?, ?) ON CONFLICT DO NOTHING"},
		{&l.insert.personal, "INSERT INTO personal (name, seq, erased, sealed) VALUES (?, ?, 0, ?) ON CONFLICT DO NOTHING"},
		{&l.insert.checkpoint, "UPDATE checkpoint SET size = ?, note = ? WHERE one = 1 AND size = ?"},
	} {
		var err error
		if *s.to, err = l.writer.PrepareContext(ctx, s.query); err != nil {
			return err
		}
	}
	return nil
}

// batch is what one Append writes, computed before the transaction begins.
type batch struct {
	at       uint64
	leaves   [][]byte
	bodies   [][]byte
	personal []kept
	hashes   []tlog.Hash
	edge     edge
	head     *head
}

// Append adds es after the first at entries. See Log.Append.
func (l *SQLite) Append(ctx context.Context, at uint64, es ...Entry) (uint64, error) {
	// Encoding needs no turn: seq follows from at.
	b := batch{at: at}
	for i, e := range es {
		e.Seq = at + uint64(i)
		leaf, apart, err := e.Leaf()
		var personal []kept
		if err == nil {
			personal, err = e.sealed()
		}
		if err != nil {
			return 0, fmt.Errorf("append entry %d of %d: %w", i+1, len(es), err)
		}
		b.leaves = append(b.leaves, leaf)
		b.personal = append(b.personal, personal...)
		if apart != nil {
			b.bodies = append(b.bodies, apart)
		}
	}
	if l.closed.Load() {
		return 0, fmt.Errorf("append: %w", ErrClosed)
	}
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, fmt.Errorf("append: wait for other writers: %w", ctx.Err())
	}
	switch {
	case l.closed.Load():
		return 0, fmt.Errorf("append: %w", ErrClosed)
	case l.broken != nil:
		return l.edge.size, fmt.Errorf("append: %w", l.broken)
	case at != l.edge.size:
		return l.edge.size, fmt.Errorf("append at %d: the log has %d entries: %w", at, l.edge.size, ErrConflict)
	case len(es) == 0:
		return at, nil
	}
	b.edge = l.edge.clone()
	for _, leaf := range b.leaves {
		b.hashes = b.edge.add(LeafHash(leaf), b.hashes)
	}
	var err error
	if b.head, err = l.sign(&b.edge); err != nil {
		return at, fmt.Errorf("append: %w", err)
	}
	// From here on ctx is out of the game: a commit that is interrupted is a
	// commit whose outcome nobody knows.
	ctx = context.WithoutCancel(ctx)
	if err := l.commit(ctx, &b); err != nil {
		return at, fmt.Errorf("append: %w", l.settle(ctx, at, err))
	}
	l.edge = b.edge
	l.head.Store(b.head)
	writeCheckpointFile(l.path, b.head.signed)
	return b.edge.size, nil
}

// commit writes b in one transaction.
func (l *SQLite) commit(ctx context.Context, b *batch) error {
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// The checkpoint goes first: its condition is what refuses a second writer.
	res, err := tx.StmtContext(ctx, l.insert.checkpoint).ExecContext(ctx, b.edge.size, b.head.signed, b.at)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n != 1 {
		return fmt.Errorf("the database was changed behind the ledger's back; verify it: %w", ErrConflict)
	}
	entry := tx.StmtContext(ctx, l.insert.entry)
	for i, leaf := range b.leaves {
		if _, err := entry.ExecContext(ctx, b.at+uint64(i), leaf); err != nil {
			return err
		}
	}
	for _, body := range b.bodies {
		sum := sha256.Sum256(body)
		if _, err := tx.StmtContext(ctx, l.insert.body).ExecContext(ctx, sum[:], body); err != nil {
			return err
		}
	}
	for i := range b.personal {
		p := &b.personal[i]
		res, err := tx.StmtContext(ctx, l.insert.personal).ExecContext(ctx, p.name[:], p.seq, p.sealed)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != 1 {
			return fmt.Errorf("commitment %s is in the log already, and each names one value of one entry: %w", p.name, ErrInvalid)
		}
	}
	hash, first := tx.StmtContext(ctx, l.insert.hash), storedCount(b.at)
	for i := range b.hashes {
		if _, err := hash.ExecContext(ctx, first+int64(i), b.hashes[i][:]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// settle finds out what a failed commit left behind. SQLite has rolled back,
// except where the sync itself failed: then the frames may be on the disk and
// come back at the next recovery, or not.
func (l *SQLite) settle(ctx context.Context, at uint64, err error) error {
	err = describeWrite(err)
	if !errors.Is(err, ErrUnsure) && !errors.Is(err, ErrConflict) {
		if _, size, e := readCheckpoint(ctx, l.writer); e != nil || size != at {
			err = fmt.Errorf("%w: %v", ErrUnsure, errors.Join(err, e)) // not %w: "nothing was appended" no longer holds
		}
	}
	if errors.Is(err, ErrUnsure) {
		l.broken = err
	}
	return err
}
