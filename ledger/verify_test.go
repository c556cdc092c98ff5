package ledger_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	sampleSize = 3000 // more than two chunks
	bigAt      = 777  // an entry whose body is kept apart
)

// sample is a closed ledger of sampleSize entries, and its state at two earlier
// sizes.
type sample struct {
	dir     string
	s       note.Signer
	v       note.Verifier
	earlier map[uint64][]byte // checkpoints
}

func (s sample) db() string { return filepath.Join(s.dir, "ledger.db") }

func makeSample(t testing.TB) sample {
	t.Helper()
	sm := sample{dir: t.TempDir(), earlier: map[uint64][]byte{}}
	sm.s, sm.v = keys(t, "example.com/sample")
	l := must(ledger.OpenSQLite(sm.db(), sm.s))(t)
	for at := 0; at < sampleSize; {
		n := min(at%50+1, sampleSize-at)
		es := entries(at, n)
		for i := range es {
			if at+i == bigAt {
				es[i].Body = bigBody(100_000)
			}
		}
		must(l.Append(t.Context(), uint64(at), es...))(t)
		at += n
		sm.earlier[uint64(at)] = must(l.Checkpoint(t.Context()))(t)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return sm
}

// copied puts the sample into a fresh folder, to be tampered with.
func (s sample) copied(t testing.TB) sample {
	t.Helper()
	from := s.dir
	s.dir = t.TempDir()
	if err := os.CopyFS(s.dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return s
}

// sql runs statements as somebody with the file and a SQLite shell would.
func (s sample) sql(t testing.TB, statements ...string) {
	t.Helper()
	db := must(sql.Open("sqlite", "file:"+s.db()))(t)
	defer db.Close()
	for _, q := range statements {
		res, err := db.Exec(q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if n, _ := res.RowsAffected(); n == 0 && !strings.HasPrefix(q, "DROP") && !strings.HasPrefix(q, "CREATE") {
			t.Fatalf("%s: no row was touched", q)
		}
	}
}

// patch changes bytes of the database file in place.
func (s sample) patch(t testing.TB, old, new string) (offset int) {
	t.Helper()
	data := must(os.ReadFile(s.db()))(t)
	if n := bytes.Count(data, []byte(old)); n != 1 || len(old) != len(new) {
		t.Fatalf("%q is in the file %d times", old, n)
	}
	i := bytes.Index(data, []byte(old))
	copy(data[i:], new)
	if err := os.WriteFile(s.db(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

func (s sample) earlierSize(t testing.TB, below uint64) (size uint64) {
	t.Helper()
	for n := range s.earlier {
		if n < below {
			size = max(size, n)
		}
	}
	return size
}

func hexBlob(b []byte) string { return fmt.Sprintf("x'%x'", b) }

func leafOf(t testing.TB, e ledger.Entry) []byte {
	t.Helper()
	leaf, _, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func forged(i int) ledger.Entry {
	e := entry(i)
	e.Seq, e.Actor = uint64(i), "op-2"
	return e
}

func TestVerifyIntact(t *testing.T) {
	s := makeSample(t)
	var calls int
	var last uint64
	r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{Progress: func(done, total uint64) {
		if calls++; total != sampleSize || done <= last {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil || r.Size != sampleSize || r.Origin != "example.com/sample" || r.Fault != nil || len(r.Notes) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if calls == 0 || last != sampleSize {
		t.Errorf("progress ended at %d after %d calls", last, calls)
	}
	for size, cp := range s.earlier {
		if _, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{Trusted: cp}); err != nil {
			t.Errorf("checkpoint of size %d: %v", size, err)
		}
	}
	// Verifying has left nothing that would stop the next owner.
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	fill(t, l, 3)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestVerifyTampered edits the file as an attacker, an accident or a bad disk
// would, and wants the first bad entry by name.
func TestVerifyTampered(t *testing.T) {
	intact := makeSample(t)
	old := intact.earlierSize(t, 2000)
	bigLeaf := func(t *testing.T) []byte {
		e := entry(bigAt)
		e.Seq, e.Body = bigAt, bigBody(100_000)
		return leafOf(t, e)
	}
	for _, c := range []struct {
		name   string
		tamper func(*testing.T, sample)
		kind   ledger.FaultKind
		entry  int64
		detail string
	}{
		{"a byte of a body flipped on the disk", func(t *testing.T, s sample) { s.patch(t, `"n":1234}`, `"n":1235}`) },
			ledger.FaultAltered, 1234, "not the entry that was signed"},
		{"two entries flipped", func(t *testing.T, s sample) {
			s.patch(t, `"n":2222}`, `"n":2223}`)
			s.patch(t, `"n":1111}`, `"n":1110}`)
		},
			ledger.FaultAltered, 1111, "not the entry that was signed"},
		{"a byte flipped so that it is no JSON", func(t *testing.T, s sample) { s.patch(t, `{"n":1234}`, `{"n":12,4}`) },
			ledger.FaultAltered, 1234, "parse entry"},
		{"an actor changed with SQL", func(t *testing.T, s sample) {
			s.sql(t, "UPDATE entry SET leaf = "+hexBlob(leafOf(t, forged(5)))+" WHERE seq = 5")
		}, ledger.FaultAltered, 5, "not the entry that was signed"},
		{"an entry changed together with its leaf hash", func(t *testing.T, s sample) {
			h := tlog.RecordHash(leafOf(t, forged(1400)))
			s.sql(t, "UPDATE entry SET leaf = "+hexBlob(leafOf(t, forged(1400)))+" WHERE seq = 1400",
				fmt.Sprintf("UPDATE hash SET hash = %s WHERE idx = %d", hexBlob(h[:]), tlog.StoredHashIndex(0, 1400)))
		}, ledger.FaultAltered, -1, "one of the entries 1400 to 1401"},
		{"an entry changed together with every hash above it", func(t *testing.T, s sample) { s.rewrite(t, 1400) },
			ledger.FaultAltered, -1, "one of the entries 0 to 2999"},
		{"the same, and the checkpoint file removed", func(t *testing.T, s sample) {
			s.rewrite(t, 1400)
			if err := os.Remove(filepath.Join(s.dir, "checkpoint")); err != nil {
				t.Fatal(err)
			}
		}, ledger.FaultAltered, -1, "one of the entries 0 to 2999"},
		{"an entry rewritten in another form", func(t *testing.T, s sample) {
			s.sql(t, `UPDATE entry SET leaf = CAST(leaf || ' ' AS BLOB) WHERE seq = 9`)
		}, ledger.FaultAltered, 9, "canonical"},
		{"a row deleted", func(t *testing.T, s sample) { s.sql(t, "DELETE FROM entry WHERE seq = 1500") },
			ledger.FaultMissing, 1500, "removed"},
		{"the first row deleted", func(t *testing.T, s sample) { s.sql(t, "DELETE FROM entry WHERE seq = 0") },
			ledger.FaultMissing, 0, "removed"},
		{"a row deleted and the gap closed", func(t *testing.T, s sample) {
			s.sql(t, "DELETE FROM entry WHERE seq = 1500", "UPDATE entry SET seq = -seq WHERE seq > 1500", "UPDATE entry SET seq = -seq - 1 WHERE seq < 0")
		}, ledger.FaultMoved, 1500, "says it is entry 1501"},
		{"rows swapped", func(t *testing.T, s sample) {
			s.sql(t, "UPDATE entry SET seq = -1 WHERE seq = 40", "UPDATE entry SET seq = 40 WHERE seq = 2000", "UPDATE entry SET seq = 2000 WHERE seq = -1")
		}, ledger.FaultMoved, 40, "says it is entry 2000"},
		{"rows swapped, and their numbers too", func(t *testing.T, s sample) {
			a, b := entry(2000), entry(40)
			a.Seq, b.Seq = 40, 2000
			s.sql(t, "UPDATE entry SET leaf = "+hexBlob(leafOf(t, a))+" WHERE seq = 40", "UPDATE entry SET leaf = "+hexBlob(leafOf(t, b))+" WHERE seq = 2000")
		}, ledger.FaultAltered, 40, "not the entry that was signed"},
		{"the tail cut off", func(t *testing.T, s sample) { s.sql(t, "DELETE FROM entry WHERE seq >= 2900") },
			ledger.FaultTruncated, 2900, "last 100 are missing"},
		{"the tail and its hashes cut off", func(t *testing.T, s sample) {
			s.sql(t, "DELETE FROM entry WHERE seq >= 2900", fmt.Sprintf("DELETE FROM hash WHERE idx >= %d", tlog.StoredHashCount(2900)))
		}, ledger.FaultTruncated, 2900, "last 100 are missing"},
		{"the tail, its hashes and the checkpoint cut off", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("DELETE FROM entry WHERE seq >= %d", old), fmt.Sprintf("DELETE FROM hash WHERE idx >= %d", tlog.StoredHashCount(int64(old))),
				fmt.Sprintf("UPDATE checkpoint SET size = %d, note = %s", old, hexBlob(s.earlier[old])))
		}, ledger.FaultRolledBack, int64(old), "the checkpoint file beside the database attests 3000 entries"},
		{"all entries deleted", func(t *testing.T, s sample) { s.sql(t, "DELETE FROM entry") },
			ledger.FaultTruncated, 0, "last 3000 are missing"},
		{"a stored leaf hash altered", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("UPDATE hash SET hash = zeroblob(32) WHERE idx = %d", tlog.StoredHashIndex(0, 1700)))
		}, ledger.FaultHash, 1700, "of entries 1700 to 1700, is altered; the entries are as signed"},
		{"a stored inner hash altered", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("UPDATE hash SET hash = randomblob(32) WHERE idx = %d", tlog.StoredHashIndex(3, 100)))
		}, ledger.FaultHash, 800, "of entries 800 to 807, is altered; the entries are as signed"},
		{"a stored hash removed", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("DELETE FROM hash WHERE idx = %d", tlog.StoredHashIndex(11, 0)))
		}, ledger.FaultHash, 0, "of entries 0 to 2047, is missing"},
		{"a stored hash too short", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("UPDATE hash SET hash = zeroblob(31) WHERE idx = %d", tlog.StoredHashIndex(0, 8)))
		}, ledger.FaultHash, 8, "is missing or cannot be read"},
		{"an entry altered and all stored hashes gone", func(t *testing.T, s sample) {
			s.sql(t, "DELETE FROM hash")
			s.patch(t, `"n":1234}`, `"n":1235}`)
		}, ledger.FaultAltered, -1, "one of the entries 0 to 2999"},
		{"an entry and another's stored hash altered", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("UPDATE hash SET hash = zeroblob(32) WHERE idx = %d", tlog.StoredHashIndex(0, 100)))
			s.patch(t, `"n":1234}`, `"n":1235}`)
		}, ledger.FaultAltered, 1234, "not the entry that was signed"},
		{"the checkpoint's root altered", func(t *testing.T, s sample) {
			s.sql(t, "UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), char(10)||'3000'||char(10), char(10)||'2999'||char(10)) AS BLOB), size = 2999")
		}, ledger.FaultCheckpoint, -1, "signature does not verify"},
		{"the checkpoint's size column altered", func(t *testing.T, s sample) { s.sql(t, "UPDATE checkpoint SET size = 2999") },
			ledger.FaultCheckpoint, -1, "row says size 2999"},
		{"the checkpoint is no note", func(t *testing.T, s sample) { s.sql(t, "UPDATE checkpoint SET note = x'00'") },
			ledger.FaultCheckpoint, -1, "malformed"},
		{"the checkpoint removed", func(t *testing.T, s sample) { s.sql(t, "DELETE FROM checkpoint") },
			ledger.FaultCheckpoint, -1, "no checkpoint"},
		{"an older checkpoint put back", func(t *testing.T, s sample) {
			s.sql(t, fmt.Sprintf("UPDATE checkpoint SET size = %d, note = %s", old, hexBlob(s.earlier[old])))
		}, ledger.FaultRolledBack, int64(old), "attests 3000 entries"},
		{"an entry slipped in after the checkpoint", func(t *testing.T, s sample) {
			s.sql(t, "INSERT INTO entry VALUES (3000, "+hexBlob(leafOf(t, forged(3000)))+")")
		}, ledger.FaultUnsigned, 3000, "there is an entry 3000"},
		{"an entry slipped in before the first", func(t *testing.T, s sample) { s.sql(t, "INSERT INTO entry VALUES (-7, x'00')") },
			ledger.FaultUnsigned, -7, "there is an entry -7"},
		{"a hash slipped in", func(t *testing.T, s sample) { s.sql(t, "INSERT INTO hash VALUES (900000, zeroblob(32))") },
			ledger.FaultHash, -1, "stored hash 900000"},
		{"a large body altered", func(t *testing.T, s sample) {
			s.sql(t, `UPDATE body SET data = CAST('"y' || substr(CAST(data AS TEXT), 3) AS BLOB)`)
		}, ledger.FaultBody, bigAt, "does not have the digest"},
		{"a large body shortened", func(t *testing.T, s sample) { s.sql(t, `UPDATE body SET data = x'2222'`) },
			ledger.FaultBody, bigAt, "has 2 bytes, the entry says 100000"},
		{"a large body removed", func(t *testing.T, s sample) { s.sql(t, `DELETE FROM body`) },
			ledger.FaultBody, bigAt, "is missing"},
		{"a large body's digest altered in the leaf", func(t *testing.T, s sample) {
			leaf := bigLeaf(t)
			i := bytes.Index(leaf, []byte("sha256")) + 9
			leaf[i] = map[bool]byte{true: '1', false: '0'}[leaf[i] == '0']
			s.sql(t, "UPDATE entry SET leaf = "+hexBlob(leaf)+fmt.Sprint(" WHERE seq = ", bigAt))
		}, ledger.FaultBody, bigAt, "is missing"},
		{"a body of no entry", func(t *testing.T, s sample) { s.sql(t, "INSERT INTO body VALUES (zeroblob(32), x'3132')") },
			ledger.FaultBody, -1, "2 bodies are kept, entries name 1"},
		{"a table dropped", func(t *testing.T, s sample) { s.sql(t, "DROP TABLE hash") },
			ledger.FaultDatabase, -1, "no such table"},
		{"the page of an entry damaged", func(t *testing.T, s sample) {
			i := s.patch(t, `"n":1234}`, `"n":1234}`)
			s.smash(t, int64(i/4096*4096), 64)
		}, ledger.FaultDatabase, anyEntry, "cannot be read"},
		{"the file's header overwritten", func(t *testing.T, s sample) { s.smash(t, 0, 100) },
			ledger.FaultDatabase, -1, "not a database"},
		{"the file cut in half", func(t *testing.T, s sample) {
			fi := must(os.Stat(s.db()))(t)
			if err := os.Truncate(s.db(), fi.Size()/2/4096*4096); err != nil {
				t.Fatal(err)
			}
		}, ledger.FaultDatabase, -1, "malformed"},
		{"the checkpoint file altered", func(t *testing.T, s sample) {
			s.file(t, bytes.Replace(must(os.ReadFile(filepath.Join(s.dir, "checkpoint")))(t), []byte("\n3000\n"), []byte("\n3001\n"), 1))
		}, ledger.FaultCheckpoint, -1, "checkpoint file beside the database"},
		{"the checkpoint file is of another log", func(t *testing.T, s sample) {
			o := makeSmall(t)
			s.file(t, must(os.ReadFile(filepath.Join(o.dir, "checkpoint")))(t))
		}, ledger.FaultCheckpoint, -1, "not signed by the trusted key"},
		{"history rewritten by whoever has the key", func(t *testing.T, s sample) {
			mine := must(os.ReadFile(filepath.Join(s.dir, "checkpoint")))(t)
			for _, f := range []string{"ledger.db", "checkpoint"} {
				if err := os.Remove(filepath.Join(s.dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			l := must(ledger.OpenSQLite(s.db(), s.s))(t)
			var es []ledger.Entry
			for i := range sampleSize + 10 {
				es = append(es, forged(i))
			}
			must(l.Append(t.Context(), 0, es...))(t)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			s.file(t, mine)
		}, ledger.FaultRolledBack, -1, "another history"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := intact.copied(t)
			c.tamper(t, s)
			r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{})
			var f *ledger.Fault
			if !errors.As(err, &f) || r.Fault != f {
				t.Fatalf("no fault but %v, in the report %v", err, r.Fault)
			}
			if f.Kind != c.kind || f.Entry != c.entry && c.entry != anyEntry || !strings.Contains(f.Detail, c.detail) {
				t.Errorf("found %v", f)
			}
			if c.entry == anyEntry {
				t.Log(f)
			}
			if c.entry == anyEntry && (f.Entry < 0 || f.Entry > 1234) {
				t.Errorf("named entry %d", f.Entry)
			}
		})
	}
}

// rewrite forges an entry and makes all stored hashes fit, as somebody would
// who knows the format and has everything but the key.
func (s sample) rewrite(t testing.TB, n int) {
	t.Helper()
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	es := readAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	es[n].Actor = "op-2"
	var all []tlog.Hash
	read := tlog.HashReaderFunc(func(idx []int64) (out []tlog.Hash, err error) {
		for _, i := range idx {
			out = append(out, all[i])
		}
		return out, nil
	})
	for i, e := range es {
		all = append(all, must(tlog.StoredHashes(int64(i), leafOf(t, e), read))(t)...)
	}
	update := []string{"UPDATE entry SET leaf = " + hexBlob(leafOf(t, es[n])) + fmt.Sprint(" WHERE seq = ", n)}
	for i := 0; i < len(all); i += 500 {
		q := "INSERT OR REPLACE INTO hash VALUES "
		for j := i; j < min(i+500, len(all)); j++ {
			q += fmt.Sprintf("(%d, %s),", j, hexBlob(all[j][:]))
		}
		update = append(update, strings.TrimSuffix(q, ","))
	}
	s.sql(t, update...)
}

// anyEntry stands for the first entry on the damaged page.
const anyEntry = -1000

// smash overwrites a part of the file.
func (s sample) smash(t testing.TB, at int64, n int) {
	t.Helper()
	f := must(os.OpenFile(s.db(), os.O_WRONLY, 0))(t)
	defer f.Close()
	must(f.WriteAt(bytes.Repeat([]byte{0xa5}, n), at))(t)
}

func (s sample) file(t testing.TB, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "checkpoint"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func makeSmall(t testing.TB) sample {
	t.Helper()
	s := sample{dir: t.TempDir()}
	s.s, s.v = keys(t, "example.com/small")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	fill(t, l, 20)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerifyWrongKey(t *testing.T) {
	s := makeSmall(t)
	_, sameName := keys(t, "example.com/small")
	_, otherName := keys(t, "example.com/other")
	for _, v := range []note.Verifier{sameName, otherName} {
		r, err := ledger.Verify(t.Context(), s.db(), v, ledger.VerifyOptions{})
		if r.Fault == nil || r.Fault.Kind != ledger.FaultKey || !strings.Contains(err.Error(), fmt.Sprintf("%08x", v.KeyHash())) {
			t.Errorf("%v", err)
		}
	}
}

func TestVerifyTrusted(t *testing.T) {
	s := makeSmall(t)
	// The same key signed another, longer history elsewhere.
	o := sample{dir: t.TempDir()}
	l := must(ledger.OpenSQLite(o.db(), s.s))(t)
	var forked, longer []byte
	for i := range 30 {
		must(l.Append(t.Context(), uint64(i), forged(i)))(t)
		if i == 9 {
			forked = must(l.Checkpoint(t.Context()))(t)
		}
	}
	longer = must(l.Checkpoint(t.Context()))(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if err := ledger.Export(t.Context(), s.db(), &dump, ledger.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trusted []byte
		entry   int64
	}{"forked": {forked, -1}, "longer": {longer, 20}} {
		o := ledger.VerifyOptions{Trusted: c.trusted}
		r, err := ledger.Verify(t.Context(), s.db(), s.v, o)
		if r.Fault == nil || r.Fault.Kind != ledger.FaultRolledBack || r.Fault.Entry != c.entry || !strings.Contains(err.Error(), "trusted checkpoint") {
			t.Errorf("%s: %v", name, err)
		}
		r, err = ledger.VerifyExport(t.Context(), bytes.NewReader(dump.Bytes()), s.v, o)
		if r.Fault == nil || r.Fault.Kind != ledger.FaultRolledBack || r.Fault.Entry != c.entry {
			t.Errorf("%s, export: %v", name, err)
		}
	}
	var f *ledger.Fault
	bad := ledger.VerifyOptions{Trusted: bytes.Replace(longer, []byte("\n30\n"), []byte("\n31\n"), 1)}
	if _, err := ledger.Verify(t.Context(), s.db(), s.v, bad); err == nil || errors.As(err, &f) {
		t.Errorf("a trusted checkpoint that nobody signed: %v", err)
	}
}

func TestVerifyNotALedger(t *testing.T) {
	_, v := keys(t, "example.com/none")
	dir := t.TempDir()
	if _, err := ledger.Verify(t.Context(), filepath.Join(dir, "absent.db"), v, ledger.VerifyOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "absent.db")); err == nil {
		t.Error("verifying created a file")
	}
	empty := filepath.Join(dir, "empty.db")
	other := sample{dir: t.TempDir()}
	other.sql(t, "CREATE TABLE entry (seq INTEGER PRIMARY KEY, leaf BLOB)")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: "empty", other.db(): "no ledger"} {
		if _, err := ledger.Verify(t.Context(), path, v, ledger.VerifyOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}

func TestVerifyCancelled(t *testing.T) {
	s := makeSmall(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ledger.Verify(ctx, s.db(), s.v, ledger.VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestVerifyWhileAppending verifies and exports a ledger in use, many times.
func TestVerifyWhileAppending(t *testing.T) {
	s := sample{dir: t.TempDir()}
	s.s, s.v = keys(t, "example.com/busy")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := l.Append(context.Background(), l.Size(), entry(0), entry(1)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := 0; i < 40 || l.Size() < 500; i++ {
		acked := l.Size()
		r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{})
		if err != nil || r.Size < acked || r.Size%2 != 0 {
			t.Errorf("run %d: %d entries of %d, %v", i, r.Size, acked, err)
		}
		var dump bytes.Buffer
		if err := ledger.Export(t.Context(), s.db(), &dump, ledger.ExportOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := ledger.VerifyExport(t.Context(), &dump, s.v, ledger.VerifyOptions{Trusted: r.Checkpoint}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
