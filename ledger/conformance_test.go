package ledger_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/ledger"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// opener makes an empty store and returns how to open it, each time anew, with
// the key of v. What it opened is closed by the caller.
type opener func(t *testing.T) (open func() (ledger.Log, error), v note.Verifier)

// conformance is what every Log has to pass, whatever it stores into.
func conformance(t *testing.T, store opener) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, opener)
	}{
		{"empty log", emptyLog},
		{"append and read back", appendAndRead},
		{"append at another size", appendConflict},
		{"append nothing", appendNothing},
		{"refused entries leave no trace", refusedEntries},
		{"racing writers get one turn each", racingWriters},
		{"cancelled context", cancelledContext},
		{"reopen", reopen},
		{"second opener", secondOpener},
		{"closed", closedLog},
		{"canonical encoding", canonicalEncoding},
		{"large bodies", largeBodies},
		{"read inside read", readInsideRead},
		{"consistency proofs", consistencyProofs},
		{"cosigned checkpoints", keptCosignatures},
		{"personal values", personalValues},
		{"personal values that are refused", personalRefused},
		{"checkpoints grow consistently", checkpointsConsistent},
		{"proofs of every entry at many sizes", proofs},
		{"tiles rebuild the tree", tiles},
		{"bundles hold the leaves", bundles},
		{"paths that do not exist", unknownPaths},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, store) })
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

func entry(i int) ledger.Entry {
	return ledger.Entry{At: noon.Add(time.Duration(i) * time.Second), Type: "test.made", Actor: "op-1",
		Body: jsontext.Value(fmt.Sprintf(`{"n":%d}`, i))}
}

func entries(from, n int) []ledger.Entry {
	var es []ledger.Entry
	for i := range n {
		es = append(es, entry(from+i))
	}
	return es
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func opened(t *testing.T, store opener) (ledger.Log, note.Verifier) {
	t.Helper()
	open, v := store(t)
	l := must(open())(t)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, v
}

// fill appends n entries, in batches of several sizes.
func fill(t testing.TB, l ledger.Log, n int) {
	t.Helper()
	for step := 1; n > 0; step = step%7 + 1 {
		k, at := min(step, n), l.Size()
		size, err := l.Append(t.Context(), at, entries(int(at), k)...)
		if err != nil || size != at+uint64(k) {
			t.Fatalf("append %d at %d: size %d, %v", k, at, size, err)
		}
		n -= k
	}
}

func readAll(t testing.TB, l ledger.Log) []ledger.Entry {
	t.Helper()
	var out []ledger.Entry
	if err := l.Read(t.Context(), 0, math.MaxUint64, func(e ledger.Entry) error { out = append(out, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func checkpoint(t testing.TB, l ledger.Log, v note.Verifier) ledger.Checkpoint {
	t.Helper()
	return must(ledger.OpenCheckpoint(must(l.Checkpoint(t.Context()))(t), v))(t)
}

func emptyLog(t *testing.T, store opener) {
	l, v := opened(t, store)
	if n := len(readAll(t, l)); n != 0 || l.Size() != 0 {
		t.Errorf("size %d, %d entries", l.Size(), n)
	}
	// RFC 6962: the hash of an empty tree is that of the empty string.
	const empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	if cp := checkpoint(t, l, v); cp.Size != 0 || cp.Root.String() != empty || cp.Origin != v.Name() {
		t.Errorf("checkpoint %+v", cp)
	}
	if _, err := l.Proof(t.Context(), 0); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("proof in an empty log: %v", err)
	}
}

func appendAndRead(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 2500) // more than a chunk of reads
	for i, e := range readAll(t, l) {
		want := entry(i)
		if e.Seq != uint64(i) || !e.At.Equal(want.At) || e.Type != want.Type || e.Actor != want.Actor || !bytes.Equal(e.Body, want.Body) {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
	var got []uint64
	if err := l.Read(t.Context(), 1020, 1027, func(e ledger.Entry) error { got = append(got, e.Seq); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[1020 1021 1022 1023 1024 1025 1026]" {
		t.Errorf("range read %v", got)
	}
	stop := errors.New("enough")
	if err := l.Read(t.Context(), 0, 5, func(ledger.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error came back as %v", err)
	}
	if err := l.Read(t.Context(), 9000, 9005, func(ledger.Entry) error { return stop }); err != nil {
		t.Errorf("read beyond the end: %v", err)
	}
}

func appendConflict(t *testing.T, store opener) {
	l, v := opened(t, store)
	fill(t, l, 3)
	before := checkpoint(t, l, v)
	for _, at := range []uint64{0, 2, 4, math.MaxUint64} {
		if size, err := l.Append(t.Context(), at, entry(9)); !errors.Is(err, ledger.ErrConflict) || size != 3 {
			t.Errorf("append at %d of 3: size %d, %v", at, size, err)
		}
	}
	if l.Size() != 3 || checkpoint(t, l, v) != before {
		t.Error("a refused append left a trace")
	}
}

func appendNothing(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 2)
	if n, err := l.Append(t.Context(), 2); n != 2 || err != nil {
		t.Errorf("append of nothing: %d, %v", n, err)
	}
	if _, err := l.Append(t.Context(), 1); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("append of nothing at another size: %v", err)
	}
}

func refusedEntries(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 1)
	for name, c := range map[string]struct {
		spoil func(*ledger.Entry)
		want  error
	}{
		"no type":            {func(e *ledger.Entry) { e.Type = "" }, ledger.ErrInvalid},
		"no time":            {func(e *ledger.Entry) { e.At = time.Time{} }, ledger.ErrInvalid},
		"year 10000":         {func(e *ledger.Entry) { e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, ledger.ErrInvalid},
		"type not UTF-8":     {func(e *ledger.Entry) { e.Type = "\xff" }, ledger.ErrInvalid},
		"actor not UTF-8":    {func(e *ledger.Entry) { e.Actor = "a\xc0" }, ledger.ErrInvalid},
		"body not JSON":      {func(e *ledger.Entry) { e.Body = jsontext.Value(`{`) }, ledger.ErrInvalid},
		"body empty":         {func(e *ledger.Entry) { e.Body = jsontext.Value{} }, ledger.ErrInvalid},
		"two values":         {func(e *ledger.Entry) { e.Body = jsontext.Value(`1 2`) }, ledger.ErrInvalid},
		"duplicate name":     {func(e *ledger.Entry) { e.Body = jsontext.Value(`{"a":1,"a":2}`) }, ledger.ErrInvalid},
		"body not UTF-8":     {func(e *ledger.Entry) { e.Body = jsontext.Value("\"\xff\"") }, ledger.ErrInvalid},
		"long type":          {func(e *ledger.Entry) { e.Type = strings.Repeat("t", ledger.MaxType+1) }, ledger.ErrTooLarge},
		"long actor":         {func(e *ledger.Entry) { e.Actor = strings.Repeat("a", ledger.MaxActor+1) }, ledger.ErrTooLarge},
		"body over MaxBody":  {func(e *ledger.Entry) { e.Body = bigBody(ledger.MaxBody + 1) }, ledger.ErrTooLarge},
		"body twice MaxBody": {func(e *ledger.Entry) { e.Body = bigBody(2*ledger.MaxBody + 1) }, ledger.ErrTooLarge},
	} {
		bad := entry(2)
		c.spoil(&bad)
		if _, err := l.Append(t.Context(), 1, entry(1), bad); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if l.Size() != 1 || len(readAll(t, l)) != 1 {
			t.Fatalf("%s: half a batch was appended", name)
		}
	}
}

// bigBody is a JSON string of n bytes, quotes included.
func bigBody(n int) jsontext.Value {
	return jsontext.Value(`"` + strings.Repeat("x", n-2) + `"`)
}

func racingWriters(t *testing.T, store opener) {
	l, _ := opened(t, store)
	const writers, each = 8, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := 0; n < each; {
				e := entry(n)
				e.Actor = fmt.Sprint("w", w)
				switch _, err := l.Append(context.Background(), l.Size(), e); {
				case err == nil:
					n++
				case !errors.Is(err, ledger.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	for i, e := range readAll(t, l) {
		if want := fmt.Sprintf(`{"n":%d}`, next[e.Actor]); e.Seq != uint64(i) || string(e.Body) != want {
			t.Fatalf("entry %d by %s is %s, want %s", e.Seq, e.Actor, e.Body, want)
		}
		next[e.Actor]++
	}
	if l.Size() != writers*each {
		t.Errorf("size %d", l.Size())
	}
}

func cancelledContext(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Either outcome is sound, as long as the log says what happened.
	size, err := l.Append(ctx, 2, entry(2))
	if want := map[bool]uint64{true: 3, false: 2}[err == nil]; l.Size() != want || uint64(len(readAll(t, l))) != want {
		t.Errorf("append said %d, %v, and the size is %d", size, err, l.Size())
	}
	if err := l.Read(ctx, 0, 2, func(ledger.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
}

func reopen(t *testing.T, store opener) {
	open, v := store(t)
	var last []byte
	for n := range 20 {
		l := must(open())(t)
		if l.Size() != uint64(3*n) {
			t.Fatalf("size %d after %d entries", l.Size(), 3*n)
		}
		if cp := must(l.Checkpoint(t.Context()))(t); last != nil && !bytes.Equal(cp, last) {
			t.Fatalf("the checkpoint changed while closed:\n%s\n%s", last, cp)
		}
		must(l.Append(t.Context(), l.Size(), entries(3*n, 3)...))(t)
		last = must(l.Checkpoint(t.Context()))(t)
		checkpoint(t, l, v)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func secondOpener(t *testing.T, store opener) {
	open, _ := store(t)
	l := must(open())(t)
	if _, err := open(); !errors.Is(err, ledger.ErrInUse) {
		t.Errorf("a second opener got %v", err)
	}
	fill(t, l, 1) // unharmed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = must(open())(t)
	if l.Size() != 1 {
		t.Errorf("size %d", l.Size())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func closedLog(t *testing.T, store opener) {
	open, _ := store(t)
	l := must(open())(t)
	fill(t, l, 2)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				_, err := l.Append(context.Background(), l.Size(), entry(0))
				if errors.Is(err, ledger.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, ledger.ErrConflict) {
					t.Errorf("append while closing: %v", err)
					return
				}
			}
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := l.Read(t.Context(), 0, 1, func(ledger.Entry) error { return nil }); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := l.Proof(t.Context(), 0); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("proof: %v", err)
	}
	if _, err := l.Tile(t.Context(), "tile/0/000.p/1"); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("tile: %v", err)
	}
}

func canonicalEncoding(t *testing.T, store opener) {
	l, _ := opened(t, store)
	e := ledger.Entry{
		Seq: 99, Type: "a\u2028b", Actor: `q"\`, At: time.Date(2026, 11, 23, 15, 0, 0, 500, time.FixedZone("", 3600)),
		Body: jsontext.Value(" { \"b\" : [1.50, 12345678901234567890 , true] , \"a\":\"\\u00e9\\u000a\" } "),
	}
	must(l.Append(t.Context(), 0, e, ledger.Entry{At: noon, Type: "bare"}))(t)
	want := []string{
		`{"actor":"q\"\\","at":"2026-11-23T14:00:00.0000005Z","body":{"a":"é\n","b":[1.50,12345678901234567890,true]},"seq":0,"type":"a` + "\u2028" + `b"}`,
		`{"actor":"","at":"2026-11-23T12:00:00.123456789Z","body":null,"seq":1,"type":"bare"}`,
	}
	for i, e := range readAll(t, l) {
		if got := must(e.Encode())(t); string(got) != want[i] {
			t.Errorf("entry %d:\ngot  %s\nwant %s", i, got, want[i])
		}
		back := must(ledger.Decode([]byte(want[i])))(t)
		if !bytes.Equal(back.Body, e.Body) || !back.At.Equal(e.At) || back.Seq != e.Seq || back.Type != e.Type || back.Actor != e.Actor {
			t.Errorf("decoded %+v, appended %+v", back, e)
		}
	}
}

func largeBodies(t *testing.T, store opener) {
	l, v := opened(t, store)
	sizes := []int{60000, ledger.MaxLeaf - 86, ledger.MaxLeaf - 85, ledger.MaxLeaf, 1 << 20, 1 << 20}
	apart := 0
	for i, n := range sizes {
		e := entry(i)
		e.Body = bigBody(n)
		must(l.Append(t.Context(), uint64(i), e))(t)
		e.Seq = uint64(i)
		leaf, body, err := e.Leaf()
		if err != nil || len(leaf) > ledger.MaxLeaf {
			t.Fatalf("leaf of %d bytes, %v", len(leaf), err)
		}
		if body != nil {
			apart++
		}
	}
	if apart == 0 || apart == len(sizes) {
		t.Fatalf("%d of %d bodies were kept apart: the sizes miss the bound", apart, len(sizes))
	}
	for i, e := range readAll(t, l) {
		if !bytes.Equal(e.Body, bigBody(sizes[i])) {
			t.Fatalf("body %d came back with %d bytes", i, len(e.Body))
		}
		proof := must(l.Proof(t.Context(), e.Seq))(t)
		leaf, body, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{must(e.Encode())(t), leaf} {
			if err := ledger.VerifyProof(form, proof, v); err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
		}
		if body != nil {
			sum := leaf[bytes.Index(leaf, []byte(`"body_sha256":"`))+15:][:64]
			if got := must(l.Tile(t.Context(), "body/"+string(sum)))(t); !bytes.Equal(got, body) {
				t.Errorf("body %d served with %d bytes", i, len(got))
			}
			other := e
			other.Body = bigBody(len(body) + 1)
			if err := ledger.VerifyProof(must(other.Encode())(t), proof, v); err == nil {
				t.Error("a proof was accepted for another body")
			}
		}
	}
}

func readInsideRead(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 3)
	err := l.Read(t.Context(), 0, 3, func(ledger.Entry) error {
		if _, err := l.Append(t.Context(), l.Size(), entry(0)); err != nil {
			return err
		}
		return l.Read(t.Context(), 0, 1, func(ledger.Entry) error { return nil })
	})
	if err != nil || l.Size() != 6 {
		t.Errorf("size %d, %v", l.Size(), err)
	}
}

// leafHashes recomputes the leaves from what Read gives.
func leafHashes(t testing.TB, l ledger.Log) []tlog.Hash {
	t.Helper()
	var out []tlog.Hash
	for _, e := range readAll(t, l) {
		leaf, _, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tlog.RecordHash(leaf))
	}
	return out
}

func bundles(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 600)
	want := leafHashes(t, l)
	var got []tlog.Hash
	for _, path := range []string{"tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"} {
		b := must(l.Tile(t.Context(), path))(t)
		for len(b) > 0 {
			n := int(binary.BigEndian.Uint16(b))
			got = append(got, tlog.RecordHash(b[2:2+n]))
			b = b[2+n:]
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("the bundles do not hold the leaves")
	}
}

func unknownPaths(t *testing.T, store opener) {
	l, _ := opened(t, store)
	fill(t, l, 600)
	for _, path := range []string{
		"", "x", "/checkpoint", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/003", "tile/0/002", "tile/0/002.p/89", "tile/0/002.p/0",
		"tile/0/000.p/256", "tile/0/000.p/-1", "tile/0/000.p/01", "tile/00/000", "tile/-1/000", "tile/64/000", "tile/1/000", "tile/1/000.p/3", "tile/2/000.p/1",
		"tile/63/000.p/1", "tile/8/0/000", "tile/data/000", "tile/entries/002", "tile/entries/entries/000", "tile/0/x000/000", "tile/0/../0/000", "tile/0/000?",
		"tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0/x036/x028/x797/x018/x963/967.p/1",
		"body/", "body/00", "body/" + strings.Repeat("00", 32), "body/" + strings.Repeat("ZZ", 32),
	} {
		if _, err := l.Tile(t.Context(), path); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if b, err := l.Tile(t.Context(), "checkpoint"); err != nil || !bytes.Equal(b, must(l.Checkpoint(t.Context()))(t)) {
		t.Errorf("checkpoint: %q, %v", b, err)
	}
}
