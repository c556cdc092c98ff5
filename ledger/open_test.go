package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon/ledger"
)

// refuses wants OpenSQLite to fail with an error that says want.
func (s sample) refuses(t *testing.T, kind error, want string) {
	t.Helper()
	l, err := ledger.OpenSQLite(s.db(), s.s)
	if err == nil {
		l.Close()
		t.Fatal("it opened")
	}
	if kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
		t.Errorf("refused with %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	small := makeSmall(t)
	for name, c := range map[string]struct {
		tamper func(t *testing.T, s *sample)
		kind   error
		want   string
	}{
		"another key":            {func(t *testing.T, s *sample) { s.s, _ = keys(t, "example.com/small") }, nil, "it was signed by example.com/small+"},
		"another name":           {func(t *testing.T, s *sample) { s.s, _ = keys(t, "example.com/large") }, nil, "and the key given is example.com/large+"},
		"another program's file": {func(t *testing.T, s *sample) { s.sql(t, "DROP TABLE hash"); s.pragma(t, "application_id = 7") }, nil, "no ledger"},
		"a newer schema":         {func(t *testing.T, s *sample) { s.pragma(t, "user_version = 9") }, nil, "schema version 9 is not known here"},
		"no checkpoint":          {func(t *testing.T, s *sample) { s.sql(t, "DELETE FROM checkpoint") }, nil, "entries but no checkpoint"},
		"an altered checkpoint": {func(t *testing.T, s *sample) {
			s.sql(t, "UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), '20', '21') AS BLOB), size = 21")
		}, nil, "signature does not verify"},
		"a checkpoint row altered":    {func(t *testing.T, s *sample) { s.sql(t, "UPDATE checkpoint SET size = 19") }, nil, "damaged"},
		"a truncated tail":            {func(t *testing.T, s *sample) { s.sql(t, "DELETE FROM entry WHERE seq = 19") }, nil, "holds 19 entries and the checkpoint covers 20"},
		"an entry too many":           {func(t *testing.T, s *sample) { s.sql(t, "INSERT INTO entry VALUES (20, x'00')") }, nil, "holds 21 entries"},
		"an altered hash at the edge": {func(t *testing.T, s *sample) { s.sql(t, "UPDATE hash SET hash = zeroblob(32) WHERE idx = 30") }, nil, "do not lead to the signed root"},
		"a damaged file":              {func(t *testing.T, s *sample) { s.smash(t, 0, 200) }, nil, "damaged"},
		"a checkpoint file of another log": {func(t *testing.T, s *sample) {
			s.file(t, must(os.ReadFile(filepath.Join(makeSmall(t).dir, "checkpoint")))(t))
		}, nil, "belongs to another log"},
	} {
		t.Run(name, func(t *testing.T) {
			s := small.copied(t)
			c.tamper(t, &s)
			s.refuses(t, c.kind, c.want)
			s.refuses(t, c.kind, c.want) // and has let go of the lock
		})
	}
}

func (s sample) pragma(t *testing.T, p string) {
	t.Helper()
	s.sql(t, "CREATE TABLE IF NOT EXISTS entry (x); PRAGMA "+p)
}

// TestOpenRolledBack: signing on from an older copy would fork the history.
func TestOpenRolledBack(t *testing.T) {
	now := makeSmall(t)
	old := now.copied(t)
	l := must(ledger.OpenSQLite(now.db(), now.s))(t)
	fill(t, l, 5)
	newer := must(l.Checkpoint(t.Context()))(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	older := must(os.ReadFile(filepath.Join(old.dir, "checkpoint")))(t)

	old.file(t, newer)
	old.refuses(t, ledger.ErrRolledBack, "attests 25 entries and the database holds 20")
	// On purpose, it can be done.
	if err := os.Remove(filepath.Join(old.dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	l = must(ledger.OpenSQLite(old.db(), old.s))(t)
	must(l.Append(t.Context(), 20, forged(20), forged(21), forged(22), forged(23), forged(24)))(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old.file(t, newer)
	old.refuses(t, ledger.ErrRolledBack, "another history of the first 25 entries")

	// A file that is older, empty, torn, or absent says nothing against it.
	for _, data := range [][]byte{older, nil, newer[:30], []byte("junk\n"), bytes.Replace(newer, []byte("\n25\n"), []byte("\n99\n"), 1)} {
		now.file(t, data)
		l := must(ledger.OpenSQLite(now.db(), now.s))(t)
		if got := must(os.ReadFile(filepath.Join(now.dir, "checkpoint")))(t); !bytes.Equal(got, newer) {
			t.Errorf("after %q, the file is %q", data, got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckpointFile(t *testing.T) {
	s := makeSmall(t)
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	defer l.Close()
	for range 5 {
		fill(t, l, 1)
		if got, want := must(os.ReadFile(filepath.Join(s.dir, "checkpoint")))(t), must(l.Checkpoint(t.Context()))(t); !bytes.Equal(got, want) {
			t.Fatalf("the file holds\n%swant\n%s", got, want)
		}
	}
	// It is no truth: an append does not fail because of it.
	if err := os.Remove(filepath.Join(s.dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "checkpoint"), 0o700); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1)
	r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{})
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no checkpoint file") {
		t.Errorf("%v, notes %q", err, r.Notes)
	}
}

// TestOneLockPerFile: another name for the same file is not another ledger.
func TestOneLockPerFile(t *testing.T) {
	s := makeSmall(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(s.db(), link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(s.dir)
	l := must(ledger.OpenSQLite("ledger.db", s.s))(t)
	defer l.Close()
	for _, path := range []string{link, s.db(), "./ledger.db"} {
		if _, err := ledger.OpenSQLite(path, s.s); !errors.Is(err, ledger.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db.lock"} {
		if fi := must(os.Stat(name))(t); fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %#o", name, fi.Mode().Perm())
		}
	}
	if r, err := ledger.Verify(t.Context(), link, s.v, ledger.VerifyOptions{}); err != nil || len(r.Notes) != 0 {
		t.Errorf("through a link: %v, %q", err, r.Notes)
	}
}

func TestOpenNowhere(t *testing.T) {
	s := sample{dir: filepath.Join(t.TempDir(), "absent")}
	s.s, s.v = keys(t, "example.com/none")
	s.refuses(t, os.ErrNotExist, "absent")
}

// TestAppendBehindItsBack: somebody wrote to the file past the lock.
func TestAppendBehindItsBack(t *testing.T) {
	s := makeSmall(t)
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	defer l.Close()
	s.sql(t, "UPDATE checkpoint SET size = 21")
	if _, err := l.Append(t.Context(), 20, entry(20)); !errors.Is(err, ledger.ErrConflict) || !strings.Contains(err.Error(), "behind") {
		t.Errorf("%v", err)
	}
	s.sql(t, "UPDATE checkpoint SET size = 20", "DELETE FROM entry WHERE seq = 7")
	err := l.Read(t.Context(), 0, 20, func(ledger.Entry) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "entry 7 is missing") {
		t.Errorf("read over a gap: %v", err)
	}
}
