package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func openForTest(t testing.TB) (*SQLite, note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := NewSigner("example.com/internal")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenSQLite(filepath.Join(t.TempDir(), "ledger.db"), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, s, v
}

func made(n int) Entry {
	return Entry{At: time.Unix(int64(n), 0), Type: "test.made", Body: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// TestDurableSettings: the promise of power loss rests on these two.
func TestDurableSettings(t *testing.T) {
	l, _, _ := openForTest(t)
	var mode string
	var synchronous, autocommit int
	if err := l.writer.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode %s, %v", mode, err)
	}
	if err := l.writer.QueryRow("PRAGMA synchronous").Scan(&synchronous); err != nil || synchronous != 2 {
		t.Errorf("synchronous %d, want 2 (FULL), %v", synchronous, err)
	}
	if err := l.readers.QueryRow("PRAGMA query_only").Scan(&autocommit); err != nil || autocommit != 1 {
		t.Errorf("readers could write: query_only %d, %v", autocommit, err)
	}
}

// TestFullByPages has SQLite itself run out of room, at every page of the way.
func TestFullByPages(t *testing.T) {
	l, s, v := openForTest(t)
	var pages int
	if err := l.writer.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	full := 0
	for limit := pages; limit < pages+25; limit++ {
		if _, err := l.writer.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", limit)); err != nil {
			t.Fatal(err)
		}
		for {
			before := *l.head.Load()
			e := made(int(l.Size()))
			e.Body = []byte(`"` + strings.Repeat("x", 1500) + `"`)
			_, err := l.Append(t.Context(), l.Size(), e, made(1), e)
			if err == nil {
				continue
			}
			if !errors.Is(err, ErrFull) || errors.Is(err, ErrUnsure) || l.head.Load().Size != before.Size {
				t.Fatalf("at %d pages: %v, size %d", limit, err, l.Size())
			}
			full++
			break
		}
	}
	if r, err := Verify(t.Context(), l.Path(), v, VerifyOptions{}); err != nil || r.Size != l.Size() || r.Size == 0 || r.Size%3 != 0 {
		t.Errorf("full %d times: %d entries, %v", full, r.Size, err)
	}
	if _, err := l.writer.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), l.Size(), made(0)); err != nil {
		t.Errorf("with space again: %v", err)
	}
	size := l.Size()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := OpenSQLite(l.Path(), s)
	if err != nil || l.Size() != size {
		t.Fatalf("reopened: %v", err)
	}
	l.Close()
}

// code stands for an error of the driver.
type code int

func (c code) Error() string { return fmt.Sprint("code ", int(c)) }
func (c code) Code() int     { return int(c) }

func TestDescribeWrite(t *testing.T) {
	for c, want := range map[code]error{
		13: ErrFull, 10: ErrFull, 10 | 3<<8 /* write */ : ErrFull, 10 | 19<<8 /* shm size */ : ErrFull,
		10 | 4<<8 /* fsync */ : ErrUnsure, 10 | 5<<8 /* dir fsync */ : ErrUnsure,
		5 /* busy */ : nil, 8 /* read-only */ : nil, 11 /* corrupt */ : nil,
	} {
		err := describeWrite(fmt.Errorf("commit: %w", c))
		for _, kind := range []error{ErrFull, ErrUnsure} {
			if errors.Is(err, kind) != (kind == want) {
				t.Errorf("%d: %v", c, err)
			}
		}
	}
	if err := describe(code(11)); !strings.Contains(err.Error(), "verify the ledger") {
		t.Errorf("corrupt: %v", err)
	}
}

// TestUnsure: after a failed sync nothing is appended until the ledger was
// opened again.
func TestUnsure(t *testing.T) {
	l, s, _ := openForTest(t)
	if _, err := l.Append(t.Context(), 0, made(0)); err != nil {
		t.Fatal(err)
	}
	if err := l.settle(context.Background(), 1, code(codeFsync)); !errors.Is(err, ErrUnsure) || errors.Is(err, ErrFull) {
		t.Errorf("failed sync: %v", err)
	}
	if _, err := l.Append(t.Context(), 1, made(1)); !errors.Is(err, ErrUnsure) {
		t.Errorf("append after a failed sync: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := OpenSQLite(l.Path(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(t.Context(), 1, made(1)); err != nil {
		t.Errorf("opened again: %v", err)
	}
	// An error whose outcome turns out to be a commit after all is unsure too.
	if err := l.settle(context.Background(), 1, code(codeFull)); !errors.Is(err, ErrUnsure) || errors.Is(err, ErrFull) {
		t.Errorf("failed, and yet committed: %v", err)
	}
}

// TestEdge holds the right edge against tlog's own storage.
func TestEdge(t *testing.T) {
	var e edge
	var all []tlog.Hash
	read := tlog.HashReaderFunc(func(idx []int64) (out []tlog.Hash, err error) {
		for _, i := range idx {
			out = append(out, all[i])
		}
		return out, nil
	})
	for n := range int64(300) {
		data := fmt.Append(nil, "entry ", n)
		want, err := tlog.StoredHashes(n, data, read)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.add(LeafHash(data), nil); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("entry %d is stored as %v, want %v", n, got, want)
		}
		all = append(all, want...)
		root, err := tlog.TreeHash(n+1, read)
		if err != nil || e.root() != root || storedCount(e.size) != int64(len(all)) {
			t.Fatalf("root of %d: %v", n+1, err)
		}
		loaded, err := loadEdge(e.size, read)
		if err != nil || loaded.root() != root {
			t.Fatalf("loaded edge of %d: %v", n+1, err)
		}
	}
	long := make([]byte, 5000)
	for n := range long {
		if LeafHash(long[:n]) != tlog.RecordHash(long[:n]) {
			t.Fatalf("hash of a leaf of %d bytes", n)
		}
	}
}
