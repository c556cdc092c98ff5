package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/ledger"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"
)

// naming is an entry that brings the given values.
func naming(i int, values ...string) (e ledger.Entry, names []string) {
	e = entry(i)
	e.Personal = map[string][]byte{}
	for _, v := range values {
		name, sealed := ledger.Commit([]byte(v))
		names = append(names, name)
		e.Personal[name] = sealed
	}
	e.Body, _ = json.Marshal(map[string]any{"n": i, "who": names})
	return e, names
}

// erasure is the entry that explains an erasure.
func erasure(names ...string) ledger.Entry {
	b, _ := json.Marshal(ledger.Erased{Commitments: names, Reason: "asked for"})
	return ledger.Entry{At: noon, Type: ledger.TypeErased, Actor: "op-1", Body: b}
}

func personalValues(t *testing.T, store opener) {
	l, v := opened(t, store)
	e, names := naming(0, "Ada", "", "Ada", strings.Repeat("x", ledger.MaxPersonal))
	must(l.Append(t.Context(), 0, e, entry(1)))(t)
	for i, want := range []string{"Ada", "", "Ada", strings.Repeat("x", ledger.MaxPersonal)} {
		if got := must(l.Personal(t.Context(), names[i]))(t); string(got) != want {
			t.Errorf("value %d has %d bytes", i, len(got))
		}
	}
	if names[0] == names[2] {
		t.Error("the same data gave the same commitment twice")
	}
	all := readAll(t, l)
	if len(all[0].Personal) != 4 || all[0].Personal[names[0]] != nil || len(all[1].Personal) != 0 {
		t.Errorf("read back with %d commitments", len(all[0].Personal))
	}
	if err := ledger.VerifyProof(leafOf(t, all[0]), must(l.Proof(t.Context(), 0))(t), v); err != nil {
		t.Error(err)
	}
	root := checkpoint(t, l, v)
	must(l.Append(t.Context(), 2, erasure(names[0], names[1])))(t)
	for range 2 { // twice is once
		if err := l.Erase(t.Context(), names[0], names[1], strings.Repeat("0", 64)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []error{ledger.ErrErased, ledger.ErrErased, nil, nil} {
		if _, err := l.Personal(t.Context(), names[i]); !errors.Is(err, want) {
			t.Errorf("value %d after the erasure: %v", i, err)
		}
	}
	for _, name := range []string{"", "x", strings.Repeat("0", 64), strings.ToUpper(names[2])} {
		if _, err := l.Personal(t.Context(), name); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("value of %q: %v", name, err)
		}
	}
	if err := l.Erase(t.Context(), names[2], "nonsense"); !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("erase nonsense: %v", err)
	}
	must(l.Personal(t.Context(), names[2]))(t) // nothing was erased with it
	if must(tlog.TreeHash(2, hashesOf(all)))(t) != root.Root {
		t.Error("the erasure changed the tree")
	}
}

func hashesOf(es []ledger.Entry) tlog.HashReader {
	var all []tlog.Hash
	read := tlog.HashReaderFunc(func(idx []int64) (out []tlog.Hash, err error) {
		for _, i := range idx {
			out = append(out, all[i])
		}
		return out, nil
	})
	for i, e := range es {
		leaf, _, _ := e.Leaf()
		hs, _ := tlog.StoredHashes(int64(i), leaf, read)
		all = append(all, hs...)
	}
	return read
}

func personalRefused(t *testing.T, store opener) {
	l, _ := opened(t, store)
	first, names := naming(0, "first")
	must(l.Append(t.Context(), 0, first))(t)
	name, sealed := ledger.Commit([]byte("Ada"))
	other, otherSealed := ledger.Commit([]byte("Ada"))
	big, bigSealed := ledger.Commit(make([]byte, ledger.MaxPersonal+1))
	many := map[string][]byte{}
	for range ledger.MaxPersonals + 1 {
		n, s := ledger.Commit(nil)
		many[n] = s
	}
	for what, c := range map[string]struct {
		personal map[string][]byte
		want     error
	}{
		"another's value":          {map[string][]byte{name: otherSealed}, ledger.ErrInvalid},
		"no value":                 {map[string][]byte{name: nil}, ledger.ErrInvalid},
		"a value without salt":     {map[string][]byte{name: []byte("Ada")}, ledger.ErrInvalid},
		"no commitment":            {map[string][]byte{"Ada": sealed}, ledger.ErrInvalid},
		"upper case":               {map[string][]byte{strings.ToUpper(name): sealed}, ledger.ErrInvalid},
		"not named by the body":    {map[string][]byte{name: sealed, other: otherSealed}, ledger.ErrInvalid},
		"too large":                {map[string][]byte{big: bigSealed}, ledger.ErrTooLarge},
		"too many":                 {many, ledger.ErrTooLarge},
		"there already, elsewhere": {first.Personal, ledger.ErrInvalid},
	} {
		e := entry(1)
		e.Body = jsontext.Value(fmt.Sprintf("[%q,%q,%q]", name, big, names[0]))
		e.Personal = c.personal
		if _, err := l.Append(t.Context(), 1, entry(1), e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if l.Size() != 1 {
			t.Fatalf("%s: appended", what)
		}
	}
	if _, err := l.Personal(t.Context(), name); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a refused entry left its value: %v", err)
	}
}

func TestOpenCommitment(t *testing.T) {
	name, sealed := ledger.Commit([]byte("Ada"))
	if data, err := ledger.OpenCommitment(name, sealed); err != nil || string(data) != "Ada" {
		t.Errorf("%q, %v", data, err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := ledger.OpenCommitment(name, bad); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	if _, err := ledger.OpenCommitment(name, sealed[:31]); err == nil {
		t.Error("opened without its salt")
	}
}

// TestErasedFromDisk looks for erased values in the bytes of every file, after
// erasures of random values in random order, while others come in.
func TestErasedFromDisk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := sample{dir: t.TempDir()}
	s.s, s.v = keys(t, "example.com/erase")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("<person %05d>", i), 1+i%3*i%700) }
	var there, names []string
	for round := range 60 {
		var es []ledger.Entry
		for range 1 + r.IntN(12) {
			i := len(names)
			e, n := naming(i, value(i))
			es, names, there = append(es, e), append(names, n[0]), append(there, value(i)[:14])
		}
		must(l.Append(t.Context(), l.Size(), es...))(t)
		var gone []string
		for i := range there {
			if there[i] != "" && r.IntN(4) == 0 {
				gone = append(gone, names[i])
				defer func(mark string) { checkGone(t, s.dir, mark) }(there[i])
				there[i] = ""
			}
		}
		if len(gone) > 0 {
			must(l.Append(t.Context(), l.Size(), erasure(gone...)))(t)
			if err := l.Erase(t.Context(), gone...); err != nil {
				t.Fatal(err)
			}
		}
		if round%10 == 9 {
			if rep, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{}); err != nil || rep.Personal+rep.Erased != len(names) {
				t.Fatalf("%+v, %v", rep, err)
			}
		}
	}
	// While the ledger is still open.
	data := string(must(os.ReadFile(s.db()))(t)) + string(must(os.ReadFile(s.db()+"-wal"))(t))
	kept := 0
	for i := range names {
		if mark := value(i)[:14]; strings.Contains(data, mark) != (there[i] != "") {
			t.Fatalf("value %d: kept %v, on the disk %v", i, there[i] != "", strings.Contains(data, mark))
		}
		if there[i] != "" {
			kept++
		}
	}
	if kept == 0 || kept == len(names) {
		t.Errorf("%d of %d kept: nothing was tested", kept, len(names))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkGone(t *testing.T, dir, mark string) {
	t.Helper()
	for _, f := range must(filepath.Glob(filepath.Join(dir, "*")))(t) {
		if bytes.Contains(must(os.ReadFile(f))(t), []byte(mark)) {
			t.Errorf("%q is still in %s", mark, filepath.Base(f))
		}
	}
}

// TestEraseWhileRead: somebody who reads an older state keeps it in the log.
func TestEraseWhileRead(t *testing.T) {
	s := sample{dir: t.TempDir()}
	s.s, s.v = keys(t, "example.com/busy")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	defer l.Close()
	e, names := naming(0, "Ada Lovelace")
	must(l.Append(t.Context(), 0, e, erasure(names...)))(t)
	read, release := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		begun := false
		done <- ledger.Export(context.Background(), s.db(), writerFunc(func(b []byte) (int, error) {
			if !begun {
				begun = true
				close(read)
				<-release
			}
			return len(b), nil
		}), ledger.ExportOptions{})
	}()
	<-read
	for within := 300 * time.Millisecond; ; within *= 2 { // a slow machine does not come as far in that time
		ctx, cancel := context.WithTimeout(t.Context(), within)
		err := l.Erase(ctx, names...)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || within > 30*time.Second {
			t.Fatalf("while somebody reads: %v", err)
		}
		if strings.Contains(err.Error(), "erase again") {
			break
		}
	}
	if _, err := l.Personal(t.Context(), names[0]); !errors.Is(err, ledger.ErrErased) {
		t.Errorf("after half an erasure: %v", err)
	}
	must(l.Append(t.Context(), 2, entry(2)))(t) // writers did not wait
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := l.Erase(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	checkGone(t, s.dir, "Ada Lovelace")
}

// personalSample is a closed ledger with values at entries 3, 7 and 11, of which
// the first of entry 7 is erased by entry 20.
func personalSample(t testing.TB) (s sample, names []string) {
	s = sample{dir: t.TempDir()}
	s.s, s.v = keys(t, "example.com/personal")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	for i := range 20 {
		e, n := entry(i), []string(nil)
		switch i {
		case 3, 11:
			e, n = naming(i, fmt.Sprint("person ", i))
		case 7:
			e, n = naming(i, "person 7a", "person 7b")
		}
		names = append(names, n...)
		must(l.Append(t.Context(), uint64(i), e))(t)
	}
	must(l.Append(t.Context(), 20, erasure(names[1])))(t)
	if err := errors.Join(l.Erase(t.Context(), names[1]), l.Close()); err != nil {
		t.Fatal(err)
	}
	return s, names
}

func TestVerifyPersonal(t *testing.T) {
	intact, names := personalSample(t)
	r, err := ledger.Verify(t.Context(), intact.db(), intact.v, ledger.VerifyOptions{})
	if err != nil || r.Personal != 3 || r.Erased != 1 || len(r.Notes) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	at := func(i int) string { return " WHERE name = x'" + names[i] + "'" }
	for what, c := range map[string]struct {
		sql    string
		entry  int64
		detail string
	}{
		"a value altered":          {"UPDATE personal SET sealed = CAST(sealed || 'x' AS BLOB)" + at(3), 11, "not the one committed to"},
		"a value removed":          {"DELETE FROM personal" + at(0), 3, "no entry of type personal.erased says why"},
		"a value marked as erased": {"UPDATE personal SET erased = 1, sealed = zeroblob(40)" + at(2), 7, "no entry of type personal.erased says so"},
		"an erased value put back": {"UPDATE personal SET sealed = x'01'" + at(1), 7, "is still there"},
		"values swapped":           {"UPDATE personal SET seq = CASE seq WHEN 3 THEN 11 ELSE 3 END WHERE seq IN (3, 11)", 3, "kept as one of entry 11"},
		"a value of no entry":      {"INSERT INTO personal (name, seq, erased, sealed) VALUES (zeroblob(32), 5, 0, x'00')", -1, "which no entry brings"},
		"a name that is none":      {"UPDATE personal SET name = x'00'" + at(0), -1, "no commitment"},
		"all values removed":       {"DELETE FROM personal", 3, "is missing"},
	} {
		t.Run(what, func(t *testing.T) {
			s := intact.copied(t)
			s.sql(t, c.sql)
			_, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{})
			var f *ledger.Fault
			if !errors.As(err, &f) || f.Kind != ledger.FaultPersonal || f.Entry != c.entry || !strings.Contains(f.Detail, c.detail) {
				t.Errorf("found %v", err)
			}
		})
	}
	s := intact.copied(t)
	s.sql(t, "DELETE FROM personal"+at(1)) // erased, and now not even a mark of it
	if r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{}); err != nil || r.Erased != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	// An erasure that a crash interrupted is no fault, but is said.
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	must(l.Append(t.Context(), 21, erasure(names[0])))(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{}); err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "still there") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestExportPersonal(t *testing.T) {
	s, names := personalSample(t)
	without := string(exported(t, s))
	if strings.Contains(without, "sealed") || strings.Contains(without, "person 3") {
		t.Error("personal values were exported without being asked for")
	}
	r, err := ledger.VerifyExport(t.Context(), strings.NewReader(without), s.v, ledger.VerifyOptions{})
	if err != nil || r.Personal != 0 || r.Erased != 1 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "3 personal values are not in this export") {
		t.Errorf("%+v, %v", r, err)
	}
	var b bytes.Buffer
	if err := ledger.Export(t.Context(), s.db(), &b, ledger.ExportOptions{Personal: true}); err != nil {
		t.Fatal(err)
	}
	dump := b.String()
	r, err = ledger.VerifyExport(t.Context(), strings.NewReader(dump), s.v, ledger.VerifyOptions{})
	if err != nil || r.Personal != 3 || r.Erased != 1 || len(r.Notes) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	lines := strings.SplitAfter(dump, "\n")
	value := lines[4]
	if !strings.Contains(value, names[0]) {
		t.Fatalf("line 4 is %q", value)
	}
	for what, data := range map[string]string{
		"before all entries": value + dump,
		"after another":      strings.Join(lines[:4], "") + lines[5] + value + strings.Join(lines[6:], ""),
		"twice":              strings.Replace(dump, value, value+value, 1),
		"another form":       strings.Replace(dump, `","sealed"`, `", "sealed"`, 1),
	} {
		var f *ledger.Fault
		if _, err := ledger.VerifyExport(t.Context(), strings.NewReader(data), s.v, ledger.VerifyOptions{}); !errors.As(err, &f) || f.Kind != ledger.FaultPersonal {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range dump {
		d := []byte(dump)
		d[i] ^= 1
		if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(d), s.v, ledger.VerifyOptions{}); err == nil {
			t.Fatalf("accepted with byte %d changed: %q", i, d[max(0, i-20):min(len(d), i+20)])
		}
	}
}

// TestOldSchema opens a ledger that the first version of the schema holds.
func TestOldSchema(t *testing.T) {
	s := makeSmall(t)
	s.sql(t, "DROP TABLE personal", "DROP TABLE cosigned", "CREATE TABLE x (y)", "DROP TABLE x; PRAGMA user_version = 1")
	before, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{})
	if err != nil || before.Size != 20 {
		t.Fatalf("as it was: %+v, %v", before, err)
	}
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	e, names := naming(20, "Ada")
	must(l.Append(t.Context(), 20, e))(t)
	must(l.Personal(t.Context(), names[0]))(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := ledger.Verify(t.Context(), s.db(), s.v, ledger.VerifyOptions{Trusted: before.Checkpoint})
	if err != nil || r.Size != 21 || r.Personal != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}
