package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// chunk is how many rows one query reads. Reading in chunks keeps no snapshot
// open while a caller thinks, which would make the write-ahead log grow. At
// most 32 MB of leaves are held at once.
const chunk = 512

// store reads the tables of a ledger through a pool, a connection or a
// transaction.
type store struct {
	q   querier
	ctx context.Context // of ReadHashes, whose interface has none
}

func (l *SQLite) store(ctx context.Context) store { return store{l.readers, ctx} }

func (l *SQLite) hashes(ctx context.Context) tlog.HashReader { return store{l.writer, ctx} }

// storedCount is the number of stored hashes of a tree of that size.
func storedCount(size uint64) int64 { return tlog.StoredHashCount(int64(size)) }

// readCheckpoint returns sql.ErrNoRows if there is none.
func readCheckpoint(ctx context.Context, q querier) (signed []byte, size uint64, err error) {
	err = q.QueryRowContext(ctx, "SELECT note, size FROM checkpoint WHERE one = 1").Scan(&signed, &size)
	return signed, size, err
}

// row is a row of the table entry.
type row struct {
	seq  uint64
	leaf []byte
}

// leaves calls fn for the rows of entries from to to-1 that exist. While fn
// looks at one chunk the next is read.
func (s store) leaves(ctx context.Context, from, to uint64, fn func(seq uint64, leaf []byte) error) error {
	type read struct {
		rows []row
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	chunks := make(chan read, 1)
	if to-min(from, to) <= chunk { // nothing to be gained
		rows, err := s.chunk(ctx, from, to)
		chunks <- read{rows, err}
		close(chunks)
	} else {
		go func() {
			defer close(chunks)
			for lo := from; lo < to; lo += chunk {
				rows, err := s.chunk(ctx, lo, min(to, lo+chunk))
				select {
				case chunks <- read{rows, err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
	}
	defer func() { // the reader is gone when this returns
		cancel()
		for range chunks {
		}
	}()
	for c := range chunks {
		for _, r := range c.rows {
			if err := fn(r.seq, r.leaf); err != nil {
				return err
			}
		}
		if c.err != nil {
			return c.err
		}
	}
	return ctx.Err()
}

// chunk returns the rows of entries from to to-1 that exist, those before an
// error included.
func (s store) chunk(ctx context.Context, from, to uint64) (got []row, err error) {
	if from >= to {
		return nil, nil
	}
	rows, err := s.q.QueryContext(ctx, "SELECT seq, leaf FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq", int64(from), int64(to))
	if err != nil {
		return nil, err
	}
	got = make([]row, 0, to-from)
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.seq, &r.leaf); err != nil {
			return got, errors.Join(err, rows.Close())
		}
		got = append(got, r)
	}
	return got, errors.Join(rows.Err(), rows.Close())
}

// body returns a body that is kept apart, unchecked.
func (s store) body(ctx context.Context, sum []byte) (data []byte, err error) {
	err = s.q.QueryRowContext(ctx, "SELECT data FROM body WHERE sum = ?", sum).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read body %x: %w", sum, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read body %x: %w", sum, describe(err))
	}
	return data, nil
}

// entry reads a leaf, and its body if that is kept apart.
func (s store) entry(ctx context.Context, seq uint64, leaf []byte) (Entry, error) {
	e, apart, err := parse(leaf)
	if err != nil {
		return Entry{}, err
	}
	if e.Seq != seq {
		return Entry{}, fmt.Errorf("the entry says it is entry %d", e.Seq)
	}
	if apart != nil {
		if e.Body, err = s.body(ctx, apart.sum[:]); err != nil {
			return Entry{}, err
		}
		if err := apart.check(e.Body); err != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

// ReadHashes implements tlog.HashReader.
func (s store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	if len(indexes) == 0 {
		return out, nil
	}
	// Leaf tiles ask for neighbours: one range serves them. What is far apart is
	// looked up one by one.
	lo, hi := slices.Min(indexes), slices.Max(indexes)
	if hi-lo < 4*int64(len(indexes)) {
		all := make([]tlog.Hash, hi-lo+1)
		have := make([]bool, hi-lo+1)
		if err := s.hashRange(lo, hi+1, func(i int64, h tlog.Hash) { all[i-lo], have[i-lo] = h, true }); err != nil {
			return nil, err
		}
		for i, idx := range indexes {
			if !have[idx-lo] {
				return nil, fmt.Errorf("stored hash %d is missing or damaged; verify the ledger", idx)
			}
			out[i] = all[idx-lo]
		}
		return out, nil
	}
	for i, idx := range indexes {
		var b []byte
		err := s.q.QueryRowContext(s.ctx, "SELECT hash FROM hash WHERE idx = ?", idx).Scan(&b)
		if errors.Is(err, sql.ErrNoRows) || err == nil && len(b) != tlog.HashSize {
			return nil, fmt.Errorf("stored hash %d is missing or damaged; verify the ledger", idx)
		}
		if err != nil {
			return nil, fmt.Errorf("read stored hash %d: %w", idx, describe(err))
		}
		out[i] = tlog.Hash(b)
	}
	return out, nil
}

// hashRange calls fn for each whole hash stored from lo to hi-1.
func (s store) hashRange(lo, hi int64, fn func(idx int64, h tlog.Hash)) error {
	rows, err := s.q.QueryContext(s.ctx, "SELECT idx, hash FROM hash WHERE idx >= ? AND idx < ? ORDER BY idx", lo, hi)
	if err != nil {
		return fmt.Errorf("read stored hashes: %w", describe(err))
	}
	defer rows.Close()
	var b sql.RawBytes
	for rows.Next() {
		var idx int64
		if err := rows.Scan(&idx, &b); err != nil {
			return fmt.Errorf("read stored hashes: %w", describe(err))
		}
		if len(b) == tlog.HashSize {
			fn(idx, tlog.Hash(b))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read stored hashes: %w", describe(err))
	}
	return nil
}

// Read calls fn for each entry from seq from to seq to-1. See Log.Read. An
// entry that is missing or damaged is an error that names it. A Read that is
// under way when the Log is closed may fail.
func (l *SQLite) Read(ctx context.Context, from, to uint64, fn func(Entry) error) error {
	if l.closed.Load() {
		return fmt.Errorf("read ledger: %w", ErrClosed)
	}
	to = min(to, l.Size())
	s, next := l.store(ctx), from
	err := s.leaves(ctx, from, to, func(seq uint64, leaf []byte) error {
		if seq != next {
			return fmt.Errorf("read ledger: entry %d is missing; verify the ledger", next)
		}
		next++
		e, err := s.entry(ctx, seq, leaf)
		if err != nil {
			return fmt.Errorf("read ledger: entry %d: %w", seq, err)
		}
		return fn(e)
	})
	if err != nil {
		return describe(err)
	}
	if next < to {
		return fmt.Errorf("read ledger: entry %d is missing; verify the ledger", next)
	}
	return nil
}

// Checkpoint returns the signed checkpoint over all durable entries.
func (l *SQLite) Checkpoint(context.Context) ([]byte, error) {
	return slices.Clone(l.head.Load().signed), nil
}

// Proof returns a tlog-proof of entry n. See Log.Proof.
func (l *SQLite) Proof(ctx context.Context, n uint64) ([]byte, error) {
	if l.closed.Load() {
		return nil, fmt.Errorf("prove entry %d: %w", n, ErrClosed)
	}
	h := l.head.Load()
	return prove(h.Checkpoint, h.signed, n, l.store(ctx))
}

// Tile returns a resource of tlog-tiles. See Log.Tile.
func (l *SQLite) Tile(ctx context.Context, path string) ([]byte, error) {
	if l.closed.Load() {
		return nil, fmt.Errorf("read %q: %w", path, ErrClosed)
	}
	if path == "checkpoint" {
		return l.Checkpoint(ctx)
	}
	return tile(ctx, path, l.Size(), l.store(ctx))
}
