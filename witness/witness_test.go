package witness_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"andon/sim/tlogwitness"
	"andon/witness"
)

// tree is a log in memory, that can be made to show two histories.
type tree struct {
	t      *testing.T
	signer note.Signer
	key    string
	hashes []tlog.Hash
	size   int64
}

func newTree(t *testing.T) *tree {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, "example.com/log")
	ok(t, err)
	s, err := note.NewSigner(skey)
	ok(t, err)
	return &tree{t: t, signer: s, key: vkey}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *tree) ReadHashes(idx []int64) (out []tlog.Hash, err error) {
	for _, i := range idx {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

// grow adds n entries of a kind.
func (l *tree) grow(n int, kind string) {
	l.t.Helper()
	for range n {
		hs, err := tlog.StoredHashes(l.size, fmt.Append(nil, kind, l.size), l)
		ok(l.t, err)
		l.hashes = append(l.hashes, hs...)
		l.size++
	}
}

// fork is the log with another future.
func (l *tree) fork() *tree {
	f := *l
	f.hashes = append([]tlog.Hash(nil), l.hashes...)
	return &f
}

func (l *tree) at(size int64) []byte {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l)
	ok(l.t, err)
	signed, err := note.Sign(&note.Note{Text: witness.Checkpoint{Origin: l.signer.Name(), Size: uint64(size), Root: root}.Text()}, l.signer)
	ok(l.t, err)
	return signed
}

func (l *tree) prove(a, b uint64) (tlog.TreeProof, error) {
	return tlog.ProveTree(int64(b), int64(a), l)
}

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestCosignature(t *testing.T) {
	c, err := witness.NewCosigner(witness.GatewayName("gw 1+é"))
	ok(t, err)
	v, err := witness.NewVerifier(c.Verifier())
	ok(t, err)
	l := newTree(t)
	l.grow(5, "a")
	signed := l.at(5)
	text, lines, err := witness.Split(signed)
	if err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	both := append(bytes.Clone(signed), c.Cosign(text, now)...)
	line, at, err := v.Line(both)
	if err != nil || !at.Equal(now) || line != c.Cosign(text, now) {
		t.Errorf("%q at %v: %v", line, at, err)
	}
	log, err := note.NewVerifier(l.key)
	ok(t, err)
	if cp, err := witness.Open(both, log); err != nil || cp.Size != 5 {
		t.Errorf("%+v, %v", cp, err)
	}
	if n, err := note.Open(both, note.VerifierList(log, v)); err != nil || len(n.Sigs) != 2 {
		t.Errorf("%v", err)
	}
	for i := range both { // whatever byte is changed, one of the two does not verify
		b := bytes.Clone(both)
		b[i] ^= 1
		_, e1 := witness.Open(b, log)
		_, _, e2 := v.Line(b)
		if e1 == nil && e2 == nil {
			t.Errorf("accepted with byte %d changed", i)
		}
	}
	other, err := witness.NewCosigner(c.Name())
	ok(t, err)
	vo, err := witness.NewVerifier(other.Verifier())
	ok(t, err)
	if _, _, err := vo.Line(both); err == nil {
		t.Error("verified by another key of the same name")
	}
	for _, bad := range []string{"", "x", l.key, c.Verifier() + "A", strings.Replace(c.Verifier(), "andon", "andou", 1), strings.ToUpper(c.Verifier()), "a b" + c.Verifier()} {
		if _, err := witness.NewVerifier(bad); err == nil {
			t.Errorf("%q was taken for a witness's key", bad)
		}
	}
}

func TestKeeper(t *testing.T) {
	dir := t.TempDir()
	open := func() *witness.Keeper {
		k, err := witness.OpenKeeper(dir, witness.GatewayName("gw-1"))
		ok(t, err)
		return k
	}
	k, l := open(), newTree(t)
	l.grow(3, "a")
	take := func(signed []byte, fresh bool, from *tree) error {
		t.Helper()
		_, err := k.Take(signed, l.key, fresh, from.prove, nil, now)
		return err
	}
	ok(t, take(l.at(3), true, l))
	l.grow(50, "a")
	fork := l.fork()
	l.grow(7, "a")
	fork.grow(7, "b")
	fork.grow(9, "b")
	for size := int64(4); size <= 60; size += 7 {
		ok(t, take(l.at(size), true, l))
	}
	ok(t, take(l.at(60), true, l))
	k = open()
	held, text := k.Held()
	if held.Size != 60 || k.Alarm() != nil {
		t.Fatalf("after a restart: %+v, alarm %v", held, k.Alarm())
	}
	v, err := witness.NewVerifier(k.Key())
	ok(t, err)
	log, err := note.NewVerifier(l.key)
	ok(t, err)
	if n, err := note.Open([]byte(text), note.VerifierList(log, v)); err != nil || len(n.Sigs) != 2 {
		t.Errorf("what is kept: %v", err)
	}
	for _, name := range []string{"cosigner.key", "checkpoint"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		ok(t, err)
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %#o", name, fi.Mode().Perm())
		}
	}

	// Not an alarm: a straggler, a broken note, a proof that does not come.
	ok(t, take(l.at(40), false, l))
	var alarm *witness.Alarm
	if err := take([]byte("junk"), true, l); err == nil || errors.As(err, &alarm) {
		t.Errorf("junk: %v", err)
	}
	l.grow(1, "a")
	gone := errors.New("nobody answers")
	for range 5 {
		_, err := k.Take(l.at(61), l.key, true, func(_, _ uint64) (tlog.TreeProof, error) { return nil, gone }, nil, now)
		if !errors.Is(err, witness.ErrUnproved) || errors.As(err, &alarm) {
			t.Errorf("no proof: %v", err)
		}
	}
	for i, c := range []struct {
		shown []byte
		fresh bool
		want  string
	}{
		{fork.at(60), false, "two histories of 60 entries"},
		{l.at(59), true, "rolled back: it had 60 entries, and now 59"},
		{fork.at(69), false, "two histories"},
	} {
		dir = filepath.Join(t.TempDir(), "w")
		k = open()
		ok(t, take(l.at(60), true, l))
		err := take(c.shown, c.fresh, fork)
		for n := 0; errors.Is(err, witness.ErrUnproved) && n < 5; n++ { // a bad proof is asked for again first
			err = take(c.shown, c.fresh, fork)
		}
		if !errors.As(err, &alarm) || !strings.Contains(alarm.Detail, c.want) {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		if held, _ := k.Held(); held.Size != 60 {
			t.Errorf("case %d: it holds %d now", i, held.Size)
		}
		k = open()
		if a := k.Alarm(); a == nil || a.Detail != alarm.Detail || a.Held == "" || a.Shown != string(c.shown) {
			t.Errorf("case %d: the evidence after a restart is %+v", i, a)
		}
		ok(t, take(l.at(61), true, l)) // the true history goes on to be vouched for
	}

	// What cannot be read is no empty memory.
	ok(t, os.WriteFile(filepath.Join(dir, "checkpoint"), []byte(strings.Replace(string(l.at(61)), "61", "60", 1)), 0o600))
	if _, err := witness.OpenKeeper(dir, witness.GatewayName("gw-1")); err == nil || !strings.Contains(err.Error(), "remove") {
		t.Errorf("damaged memory: %v", err)
	}
}

// succession states that one key follows another.
func succession(t *testing.T, from, to *tree) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: "andon ledger key succession\n" + from.key + "\n" + to.key + "\n"}, from.signer, to.signer)
	ok(t, err)
	return signed
}

// TestKeeperNewKey: another key over the same history counts if the key before
// has named it, and is an alarm if not.
func TestKeeperNewKey(t *testing.T) {
	first, second, third := newTree(t), newTree(t), newTree(t)
	first.grow(4, "a")
	a, b := succession(t, first, second), succession(t, second, third)
	half, err := note.Sign(&note.Note{Text: strings.Split(string(a), "\n\n")[0] + "\n"}, second.signer)
	ok(t, err)
	for name, c := range map[string]struct {
		to    *tree
		shown [][]byte
		good  bool
	}{
		"named":                   {second, [][]byte{a}, true},
		"two keys on":             {third, [][]byte{a, b}, true},
		"not named":               {second, nil, false},
		"by itself alone":         {second, [][]byte{half}, false},
		"by another":              {third, [][]byte{b}, false},
		"another was named":       {third, [][]byte{a}, false},
		"the other way round":     {second, [][]byte{succession(t, second, first)}, false},
		"in the wrong order":      {third, [][]byte{b, a}, false},
		"a statement and garbage": {third, [][]byte{a, []byte("x")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k, err := witness.OpenKeeper(dir, "w")
			ok(t, err)
			l := *first
			_, err = k.Take(l.at(4), l.key, true, l.prove, nil, now)
			ok(t, err)
			l.signer = c.to.signer
			l.grow(4, "a")
			gone := errors.New("nobody answers")
			take := func(err error) (bool, error) {
				return k.Take(l.at(8), c.to.key, true, l.prove, func(key string) ([][]byte, error) {
					if key != first.key {
						t.Errorf("asked from %s on", key)
					}
					return c.shown, err
				}, now)
			}
			for range 5 {
				if _, err := take(gone); !errors.Is(err, witness.ErrUnproved) || k.Alarm() != nil {
					t.Fatalf("nobody said who names the key: %v", err)
				}
			}
			taken, err := take(nil)
			if c.good {
				if !taken || err != nil || k.LogKey() != c.to.key {
					t.Fatal(taken, err)
				}
				return
			}
			for n := 0; errors.Is(err, witness.ErrUnproved) && n < 5; n++ {
				_, err = take(nil)
			}
			var alarm *witness.Alarm
			if held, _ := k.Held(); !errors.As(err, &alarm) || k.LogKey() != first.key || held.Size != 4 {
				t.Errorf("taken for the ledger's key: %v", err)
			}
		})
	}
}

// TestKeeperWithoutItsKey: half of the memory is none.
func TestKeeperWithoutItsKey(t *testing.T) {
	dir, l := t.TempDir(), newTree(t)
	l.grow(4, "a")
	k, err := witness.OpenKeeper(dir, "w")
	ok(t, err)
	_, err = k.Take(l.at(4), l.key, true, l.prove, nil, now)
	ok(t, err)
	ok(t, os.Remove(filepath.Join(dir, "ledger.pub")))
	if _, err := witness.OpenKeeper(dir, "w"); err == nil {
		t.Error("a checkpoint that it vouched for was forgotten")
	}
}

func TestClient(t *testing.T) {
	l := newTree(t)
	w, err := tlogwitness.New("witness.example/w1", func() time.Time { return now }, l.key)
	ok(t, err)
	srv := httptest.NewServer(w)
	defer srv.Close()
	c, err := witness.NewClient(srv.URL+"/prefix/", w.Key())
	ok(t, err)
	defer c.Close()
	submit := func(l *tree, size int64) (string, error) { return c.Submit(context.Background(), l.at(size), l.prove) }
	l.grow(20, "a")
	fork := l.fork()
	l.grow(20, "a")
	fork.grow(25, "b")
	for _, size := range []int64{1, 5, 5, 20, 33} {
		line, err := submit(l, size)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if _, _, err := c.Verifier().Line(append(l.at(size), line...)); err != nil {
			t.Error(err)
		}
	}
	// Somebody else was there: its size is told, and the proof starts there.
	c2, err := witness.NewClient(srv.URL, w.Key())
	ok(t, err)
	defer c2.Close()
	if _, err := c2.Submit(t.Context(), l.at(40), l.prove); err != nil {
		t.Errorf("by another client: %v", err)
	}
	before := w.Requests()
	if _, err := submit(l, 40); err != nil || w.Requests() != before+2 {
		t.Errorf("after a conflict: %v", err)
	}
	var r *witness.Refusal
	for name, refused := range map[string]struct {
		l      *tree
		size   int64
		status int
		split  bool
	}{
		"another history": {fork, 40, 409, true}, "another future": {fork, 45, 422, true}, "rolled back": {l, 30, 409, true}, "another log's key": {newTreeOf(t, 41), 41, 403, false},
	} {
		if _, err := submit(refused.l, refused.size); !errors.As(err, &r) || r.Status != refused.status || r.Split != refused.split {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Forget("example.com/log", 0)
	if _, err := submit(l, 40); err != nil {
		t.Errorf("a witness that forgot: %v", err)
	}
}

func newTreeOf(t *testing.T, n int) *tree {
	l := newTree(t)
	l.grow(n, "c")
	return l
}

// TestClientHostile: whatever a witness answers, nothing is believed that does
// not verify, and nothing runs without bounds.
func TestClientHostile(t *testing.T) {
	l := newTree(t)
	l.grow(9, "a")
	w, err := tlogwitness.New("witness.example/w1", func() time.Time { return now }, l.key)
	ok(t, err)
	other, err := tlogwitness.New("witness.example/w1", func() time.Time { return now }, l.key)
	ok(t, err)
	srv := httptest.NewServer(w)
	defer srv.Close()
	size := func(text string) func(http.ResponseWriter) {
		return func(rw http.ResponseWriter) {
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(409)
			fmt.Fprint(rw, text)
		}
	}
	turn := 0
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"nothing":             {func(rw http.ResponseWriter) {}, "without a cosignature"},
		"another's":           {func(rw http.ResponseWriter) { other.ServeHTTP(rw, request(l.at(9))) }, "without a cosignature"},
		"one of before":       {func(rw http.ResponseWriter) { w2 := *newWitness(t, l, 5); fmt.Fprint(rw, w2) }, "without a cosignature"},
		"no signature lines":  {func(rw http.ResponseWriter) { fmt.Fprint(rw, "hello\n\nworld\n") }, "without a cosignature"},
		"endless":             {func(rw http.ResponseWriter) { fmt.Fprint(rw, strings.Repeat("x", 70_000)) }, "longer than"},
		"a redirect":          {func(rw http.ResponseWriter) { rw.Header().Set("Location", "/elsewhere"); rw.WriteHeader(307) }, "HTTP 307"},
		"a size that is none": {size("nine\n"), "no size"},
		"a size, no end":      {size("3"), "no size"},
		"a size below zero":   {size("-3\n"), "no size"},
		"the same size":       {size("0\n"), "from which the proof was"},
		"sizes for ever":      {func(rw http.ResponseWriter) { turn++; size(fmt.Sprint(1+turn%5, "\n"))(rw) }, "times in a row"},
		"a huge size":         {size("4611686018427387903\n"), "rolled back"},
		"an error":            {func(rw http.ResponseWriter) { rw.WriteHeader(500) }, "HTTP 500"},
		"too many":            {func(rw http.ResponseWriter) { rw.WriteHeader(429) }, "fewer requests"},
	} {
		client, err := witness.NewClient(srv.URL, w.Key())
		ok(t, err)
		w.Misbehave(func(rw http.ResponseWriter, _ *http.Request) bool { c.answer(rw); return true })
		if line, err := client.Submit(t.Context(), l.at(9), l.prove); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		w.Misbehave(nil)
		if _, err := client.Submit(t.Context(), l.at(9), l.prove); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
		client.Close()
	}
	for _, bad := range []string{"", "ftp://x", "https://", "https://u:p@x", "https://x?y", "::"} {
		if _, err := witness.NewClient(bad, w.Key()); err == nil {
			t.Errorf("%q was taken for a witness's address", bad)
		}
	}
}

func request(signed []byte) *http.Request {
	return httptest.NewRequest("POST", "/add-checkpoint", strings.NewReader("old 0\n\n"+string(signed)))
}

// newWitness returns the cosignature of an earlier size.
func newWitness(t *testing.T, l *tree, size int64) *string {
	w, err := tlogwitness.New("witness.example/w1", func() time.Time { return now }, l.key)
	ok(t, err)
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, request(l.at(size)))
	s := rec.Body.String()
	return &s
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("example.com/log\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/log AAAA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, _, err := witness.Split(data)
		if err != nil {
			return
		}
		if c, err := witness.Parse(text); err == nil && c.Text() != text {
			t.Errorf("%q is written again as %q", text, c.Text())
		}
	})
}
