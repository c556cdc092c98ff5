package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"andon/ledger"
)

// tmpfs mounts a small file system, or skips the test.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("NOT TESTED: a really full or read-only disk; mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills a real file system to the last byte.
func TestFullDisk(t *testing.T) {
	s := sample{dir: tmpfs(t, "1m")}
	s.s, s.v = keys(t, "example.com/full")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	defer func() { l.Close() }()
	var err error
	for n := 0; ; n++ {
		e := entry(n)
		e.Body = bigBody(3000)
		if _, err = l.Append(t.Context(), l.Size(), e, e); err != nil {
			break
		}
		if n > 1000 {
			t.Fatal("it does not fill")
		}
	}
	size := l.Size()
	if !errors.Is(err, ledger.ErrFull) || !strings.Contains(err.Error(), "nothing was appended") {
		t.Fatalf("full: %v", err)
	}
	t.Logf("full after %d entries: %v", size, err)
	// Again and again, with nothing half-applied, and all that is there readable.
	for range 5 {
		e := entry(0)
		e.Body = bigBody(300_000)
		if _, err := l.Append(t.Context(), size, e); !errors.Is(err, ledger.ErrFull) {
			t.Fatalf("still full: %v", err)
		}
		if got := len(readAll(t, l)); l.Size() != size || uint64(got) != size || size%2 != 0 {
			t.Fatalf("size %d, then %d, %d entries", size, l.Size(), got)
		}
	}
	if _, err := l.Proof(t.Context(), size-1); err != nil {
		t.Errorf("proof on a full disk: %v", err)
	}
	if r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{}); err != nil || r.Size != size {
		t.Errorf("verify on a full disk: %d, %v", r.Size, err)
	}
	// A restart on a full disk comes up, to serve what there is.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = must(ledger.OpenSQLite(s.db(), s.s))(t)
	if got := len(readAll(t, l)); uint64(got) != size {
		t.Errorf("restarted with %d entries of %d", got, size)
	}
	// Space comes back; the same Log goes on.
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{}); err != nil || r.Size != size+10 || len(r.Notes) != 0 {
		t.Errorf("afterwards: %d, %v, %q", r.Size, err, r.Notes)
	}
	l = must(ledger.OpenSQLite(s.db(), s.s))(t)
	fill(t, l, 1)
}

// TestReadOnlyMedium: evidence is verified from media that cannot be written.
func TestReadOnlyMedium(t *testing.T) {
	s := makeSmall(t)
	closed, open := s.copied(t), sample{dir: t.TempDir()}
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	fill(t, l, 1)
	if err := os.CopyFS(open.dir, os.DirFS(s.dir)); err != nil { // with its write-ahead log
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := tmpfs(t, "8m")
	for name, from := range map[string]sample{"closed": closed, "open": open} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(from.dir)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if r, err := ledger.Verify(t.Context(), filepath.Join(dir, "closed", "ledger.db"), s.v, ledger.VerifyOptions{}); err != nil || r.Size != 20 {
		t.Errorf("%d, %v", r.Size, err)
	}
	// What is in the write-ahead log alone cannot be left out in silence.
	r, err := ledger.Verify(t.Context(), filepath.Join(dir, "open", "ledger.db"), s.v, ledger.VerifyOptions{})
	t.Logf("with a log beside it: %d, %v", r.Size, err)
	if err == nil && r.Size != 21 {
		t.Errorf("verified %d of 21 entries", r.Size)
	}
}
