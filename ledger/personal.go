package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Personal data stands beside the tree, never in it. What an entry names is a
// commitment: SHA-256 over a domain tag, 32 random bytes and the data. So the
// tree stays whole when the data is erased, and what is left tells nothing: who
// guesses the data cannot test the guess without the random bytes, which are
// erased with it.

// Bounds of personal values.
const (
	MaxPersonal  = 1 << 20 // bytes of one
	MaxPersonals = 256     // of one entry
)

// TypeErased is the type of the entry that explains why values are gone. Its
// body is an [Erased]. Verify takes a value that is missing without one for a
// fault.
const TypeErased = "personal.erased"

// Erased is the body of an entry of [TypeErased].
type Erased struct {
	Commitments []string `json:"commitments"` // as [Commit] gave them
	Reason      string   `json:"reason"`
}

const (
	saltSize   = 32
	commitTag  = "andon personal value v1\x00"
	hexSumSize = 2 * sha256.Size
)

// Commit returns a commitment to data, in hex, and what is to be kept beside it:
// the salt and the data. Twice the same data gives two commitments.
func Commit(data []byte) (commitment string, sealed []byte) {
	sealed = make([]byte, saltSize, saltSize+len(data))
	_, _ = rand.Read(sealed) // never fails
	sealed = append(sealed, data...)
	return commitmentTo(sealed).String(), sealed
}

// OpenCommitment returns the data that was sealed, if commitment is to it.
func OpenCommitment(commitment string, sealed []byte) (data []byte, err error) {
	want, err := parseCommitment(commitment)
	if err != nil {
		return nil, err
	}
	if err := want.check(sealed); err != nil {
		return nil, err
	}
	return sealed[saltSize:], nil
}

// commitment names a personal value.
type commitment [sha256.Size]byte

func (c commitment) String() string { return hex.EncodeToString(c[:]) }

func commitmentTo(sealed []byte) (c commitment) {
	h := sha256.New()
	h.Write([]byte(commitTag))
	h.Write(sealed)
	h.Sum(c[:0])
	return c
}

// check reports why sealed is not what c is a commitment to.
func (c commitment) check(sealed []byte) error {
	got := commitmentTo(sealed)
	switch {
	case len(sealed) < saltSize:
		return fmt.Errorf("the value of commitment %s has %d bytes, fewer than its salt", c, len(sealed))
	case subtle.ConstantTimeCompare(got[:], c[:]) != 1:
		return fmt.Errorf("the value kept for commitment %s is not the one committed to", c)
	}
	return nil
}

func parseCommitment(s string) (c commitment, err error) {
	if n, err := hex.Decode(c[:], []byte(s)); err != nil || n != len(c) || len(s) != hexSumSize || c.String() != s {
		return c, fmt.Errorf("%.80q is no commitment, which is 64 lower-case hex digits", s)
	}
	return c, nil
}

// names returns the commitments of e in order, or why they cannot be.
func (e Entry) names() ([]string, error) {
	if len(e.Personal) > MaxPersonals {
		return nil, fmt.Errorf("encode entry: %d personal values, at most %d: %w", len(e.Personal), MaxPersonals, ErrTooLarge)
	}
	if len(e.Personal) == 0 {
		return nil, nil
	}
	names := slices.Sorted(maps.Keys(e.Personal))
	for _, n := range names {
		if _, err := parseCommitment(n); err != nil {
			return nil, fmt.Errorf("encode entry: %w: %w", err, ErrInvalid)
		}
	}
	return names, nil
}

// kept is a personal value as it is written.
type kept struct {
	name   commitment
	seq    uint64
	sealed []byte
}

// sealed checks the values that come with e, each against its commitment.
func (e Entry) sealed() ([]kept, error) {
	names, err := e.names()
	if err != nil {
		return nil, err
	}
	var out []kept
	for _, n := range names {
		value := e.Personal[n]
		if len(value) > saltSize+MaxPersonal {
			return nil, fmt.Errorf("the value of commitment %s has %d bytes, at most %d: %w", n, len(value)-saltSize, MaxPersonal, ErrTooLarge)
		}
		name, _ := parseCommitment(n)
		if err := name.check(value); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrInvalid)
		}
		if !bytes.Contains(e.Body, []byte(n)) {
			return nil, fmt.Errorf("the body does not name commitment %s, so nobody would find its value: %w", n, ErrInvalid)
		}
		out = append(out, kept{name, e.Seq, value})
	}
	return out, nil
}

// erasedBy returns the commitments whose values an entry says are gone.
func erasedBy(e *Entry) []string {
	var b Erased
	if e.Type != TypeErased || json.Unmarshal(e.Body, &b) != nil {
		return nil
	}
	return b.Commitments
}

// Personal returns a personal value. See Log.Personal.
func (l *SQLite) Personal(ctx context.Context, name string) ([]byte, error) {
	if l.closed.Load() {
		return nil, fmt.Errorf("read personal value: %w", ErrClosed)
	}
	c, err := parseCommitment(name)
	if err != nil {
		return nil, fmt.Errorf("read personal value: %w: %w", err, ErrNotFound)
	}
	var sealed []byte
	var erased bool
	err = l.readers.QueryRowContext(ctx, "SELECT sealed, erased FROM personal WHERE name = ?", c[:]).Scan(&sealed, &erased)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("read personal value %s: %w", c, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("read personal value %s: %w", c, describe(err))
	case erased:
		return nil, fmt.Errorf("read personal value %s: %w", c, ErrErased)
	}
	if err := c.check(sealed); err != nil {
		return nil, fmt.Errorf("read personal value: %w; verify the ledger", err)
	}
	return sealed[saltSize:], nil
}

// erasePause is between two attempts to empty the write-ahead log while somebody
// reads an older state of the file.
const erasePause = 50 * time.Millisecond

// Erase overwrites personal values with zeros, in the database and its
// write-ahead log. See Log.Erase.
func (l *SQLite) Erase(ctx context.Context, names ...string) error {
	cs := make([]commitment, len(names))
	for i, n := range names {
		var err error
		if cs[i], err = parseCommitment(n); err != nil {
			return fmt.Errorf("erase personal values: %w: %w", err, ErrInvalid)
		}
	}
	if len(cs) == 0 {
		return nil
	}
	err := l.exclusive(ctx, func(ctx context.Context) error { return l.overwrite(ctx, cs) })
	for err == nil {
		var busy bool
		err = l.exclusive(ctx, func(ctx context.Context) error { return l.emptyLog(ctx, &busy) })
		if err != nil || !busy {
			break
		}
		select {
		case <-ctx.Done():
			err = fmt.Errorf("the values are gone from the database, but somebody reads an older state of it, which keeps them in the write-ahead log; "+
				"end that and erase again: %w", ctx.Err())
		case <-time.After(erasePause):
		}
	}
	if err != nil {
		return fmt.Errorf("erase personal values: %w", describeWrite(err))
	}
	return nil
}

// exclusive runs fn as the only writer. Once begun it is carried through.
func (l *SQLite) exclusive(ctx context.Context, fn func(context.Context) error) error {
	if l.closed.Load() {
		return ErrClosed
	}
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("wait for other writers: %w", ctx.Err())
	}
	switch {
	case l.closed.Load():
		return ErrClosed
	case l.broken != nil:
		return l.broken
	}
	return fn(context.WithoutCancel(ctx))
}

// overwrite zeroes values in their place. A row keeps its size, so SQLite writes
// over the very bytes and moves nothing: there is no copy on another page.
func (l *SQLite) overwrite(ctx context.Context, cs []commitment) error {
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, c := range cs {
		if _, err := tx.ExecContext(ctx, "UPDATE personal SET erased = 1, sealed = zeroblob(length(sealed)) WHERE name = ? AND erased = 0", c[:]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// emptyLog folds the write-ahead log into the database and cuts it to nothing.
// It does not wait for readers, since writers would wait with it.
func (l *SQLite) emptyLog(ctx context.Context, busy *bool) (err error) {
	conn, err := l.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return err
	}
	defer func() {
		_, e := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout))
		err = errors.Join(err, e)
	}()
	var frames, moved int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(busy, &frames, &moved)
	var c coded
	if errors.As(err, &c) && c.Code()&0xff == codeBusy {
		*busy, err = true, nil
	}
	return err
}
