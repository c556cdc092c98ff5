package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Bounds of what is kept of others' signatures.
const (
	MaxCosigned     = 128 // sizes
	maxCosignatures = 64  // on one checkpoint; golang.org/x/mod reads no note with more than 100
	maxNoteBytes    = 64 << 10
)

// signatureLines splits a signed note. The signatures are not checked.
func signatureLines(signed []byte) (text string, lines []string, err error) {
	i := bytes.LastIndex(signed, []byte("\n\n"))
	if i < 0 || len(signed) > maxNoteBytes || !bytes.HasSuffix(signed, []byte("\n")) {
		return "", nil, errors.New("it is not text, an empty line and signatures")
	}
	for line := range strings.Lines(string(signed[i+2:])) {
		lines = append(lines, line)
	}
	return string(signed[:i+1]), lines, nil
}

// signerOf is the name and the key hash at the start of a signature line: whose it
// is.
func signerOf(line string) string {
	f := strings.SplitN(strings.TrimPrefix(line, "— "), " ", 2)
	if len(f) < 2 || len(f[1]) < 6 {
		return ""
	}
	return f[0] + " " + f[1][:5] // 30 of the 32 bits of the hash
}

// Cosigned keeps others' signatures. See Log.Cosigned.
func (l *SQLite) Cosigned(ctx context.Context, signed []byte) error {
	if err := l.exclusive(ctx, func(ctx context.Context) error { return l.keepCosigned(ctx, signed) }); err != nil {
		return fmt.Errorf("keep cosigned checkpoint: %w", describeWrite(err))
	}
	return nil
}

func (l *SQLite) keepCosigned(ctx context.Context, signed []byte) error {
	text, lines, err := signatureLines(signed)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	cp, err := l.ours(signed)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	root, err := l.Root(ctx, cp.Size)
	if err != nil {
		return err
	}
	if root != cp.Root {
		return fmt.Errorf("it is of another history: %w", ErrInvalid)
	}
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var had []byte
	if err := tx.QueryRowContext(ctx, "SELECT note FROM cosigned WHERE size = ?", int64(cp.Size)).Scan(&had); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	// The newer ones instead of the older.
	var all []string
	seen := map[string]bool{}
	_, old, _ := signatureLines(had)
	for _, line := range slices.Concat(lines, old) {
		if who := signerOf(line); who != "" && !seen[who] && len(all) < maxCosignatures {
			seen[who] = true
			all = append(all, line)
		}
	}
	both := []byte(text + "\n" + strings.Join(all, ""))
	if _, err := note.Open(both, note.VerifierList()); !isUnverified(err) {
		return fmt.Errorf("a signature line is malformed: %w: %w", err, ErrInvalid)
	}
	if bytes.Equal(both, had) {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO cosigned (size, note) VALUES (?, ?)", int64(cp.Size), both); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM cosigned WHERE size NOT IN (SELECT size FROM cosigned ORDER BY size DESC LIMIT ?)", MaxCosigned); err != nil {
		return err
	}
	return tx.Commit()
}

func isUnverified(err error) bool {
	var u *note.UnverifiedNoteError
	return errors.As(err, &u)
}

// Cosignatures returns what Cosigned kept. See Log.Cosignatures.
func (l *SQLite) Cosignatures(ctx context.Context) ([][]byte, error) {
	if l.closed.Load() {
		return nil, fmt.Errorf("read cosigned checkpoints: %w", ErrClosed)
	}
	out, err := cosigned(ctx, l.readers)
	if err != nil {
		return nil, fmt.Errorf("read cosigned checkpoints: %w", describe(err))
	}
	return out, nil
}

// cosigned reads the table, the newest size first.
func cosigned(ctx context.Context, q querier) (out [][]byte, err error) {
	rows, err := q.QueryContext(ctx, "SELECT note FROM cosigned ORDER BY size DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, rows.Err()
}
