package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"andon/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func consistencyProofs(t *testing.T, store opener) {
	l, v := opened(t, store)
	sizes := []uint64{1, 2, 3, 7, 8, 64, 65, 600}
	roots := map[uint64]tlog.Hash{}
	for _, n := range sizes {
		fill(t, l, int(n-l.Size()))
		roots[n] = checkpoint(t, l, v).Root
	}
	for _, a := range sizes {
		if root := must(l.Root(t.Context(), a))(t); root != roots[a] {
			t.Errorf("root of %d is %s", a, root)
		}
		for _, b := range sizes {
			proof, err := l.Consistency(t.Context(), a, b)
			if a > b {
				if !errors.Is(err, ledger.ErrNotFound) {
					t.Errorf("%d to %d: %v", a, b, err)
				}
				continue
			}
			if err == nil {
				err = tlog.CheckTree(proof, int64(b), roots[b], int64(a), roots[a])
			}
			if err != nil {
				t.Errorf("%d to %d: %v", a, b, err)
			}
		}
	}
	if root := must(l.Root(t.Context(), 0))(t); root != must(tlog.TreeHash(0, nil))(t) {
		t.Error("root of nothing:", root)
	}
	for _, bad := range [][2]uint64{{0, 1}, {1, 601}, {601, 601}} {
		if _, err := l.Consistency(t.Context(), bad[0], bad[1]); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := l.Root(t.Context(), 601); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("root of 601: %v", err)
	}
}

// with adds a signature to a note.
func with(t testing.TB, signed []byte, s note.Signer) []byte {
	t.Helper()
	text, _, _ := bytes.Cut(signed, []byte("\n\n"))
	n := &note.Note{Text: string(text) + "\n"}
	own := must(note.Sign(n, s))(t)
	return append(bytes.Clone(signed), own[len(text)+2:]...)
}

func keptCosignatures(t *testing.T, store opener) {
	l, v := opened(t, store)
	s1, v1 := keys(t, "example.com/w1")
	s2, v2 := keys(t, "example.com/w2")
	fill(t, l, 5)
	cp5 := must(l.Checkpoint(t.Context()))(t)
	fill(t, l, 4)
	cp9 := must(l.Checkpoint(t.Context()))(t)
	for _, signed := range [][]byte{with(t, cp9, s1), with(t, cp5, s1), with(t, cp5, s2), with(t, cp5, s2)} {
		if err := l.Cosigned(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
	}
	got := must(l.Cosignatures(t.Context()))(t)
	if len(got) != 2 {
		t.Fatalf("%d are kept", len(got))
	}
	for i, want := range []struct{ size, sigs int }{{9, 2}, {5, 3}} {
		n := must(note.Open(got[i], note.VerifierList(v, v1, v2)))(t)
		if cp := must(ledger.OpenCheckpoint(got[i], v))(t); int(cp.Size) != want.size || len(n.Sigs) != want.sigs {
			t.Errorf("kept: size %d, %d signatures", cp.Size, len(n.Sigs))
		}
	}
	forged := bytes.Replace(with(t, cp5, s1), []byte("\n5\n"), []byte("\n4\n"), 1)
	for what, bad := range map[string][]byte{"another history": forged, "junk": []byte("junk"), "nothing": nil, "a size to come": bytes.Replace(cp9, []byte("\n9\n"), []byte("\n10\n"), 1),
		"a line that is no signature": append(bytes.Clone(cp9), "— x !\n"...)} {
		if err := l.Cosigned(t.Context(), bad); err == nil && what != "a line that is no signature" {
			t.Errorf("%s was kept", what)
		}
	}
	for i := range ledger.MaxCosigned + 3 {
		fill(t, l, 1)
		s := s1
		if i%2 == 0 {
			s = s2
		}
		if err := l.Cosigned(t.Context(), with(t, must(l.Checkpoint(t.Context()))(t), s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := must(l.Cosignatures(t.Context()))(t); len(got) != ledger.MaxCosigned {
		t.Errorf("%d are kept", len(got))
	}
}

// TestVerifyWitnesses: what counts is who has vouched, and for how much.
func TestVerifyWitnesses(t *testing.T) {
	s := makeSmall(t)
	s1, v1 := keys(t, "example.com/w1")
	s2, v2 := keys(t, "example.com/w2")
	_, v3 := keys(t, "example.com/w3")
	_, fake1 := keys(t, "example.com/w1")
	l := must(ledger.OpenSQLite(s.db(), s.s))(t)
	cp20 := must(l.Checkpoint(t.Context()))(t)
	fill(t, l, 5)
	cp25 := must(l.Checkpoint(t.Context()))(t)
	fill(t, l, 5)
	for _, signed := range [][]byte{with(t, cp20, s1), with(t, cp20, s2), with(t, cp25, s1)} {
		if err := l.Cosigned(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dump := exported(t, s)
	if n := bytes.Count(dump, []byte("\n{\"cosigned\":")); n != 2 {
		t.Fatalf("%d cosigned checkpoints were exported", n)
	}
	for name, c := range map[string]struct {
		o        ledger.VerifyOptions
		cosigned uint64
		by       string
		fault    string
	}{
		"no witnesses": {ledger.VerifyOptions{}, 0, "[]", ""},
		"one of two":   {ledger.VerifyOptions{Witnesses: []note.Verifier{v1, v2}}, 25, "[example.com/w1]", ""},
		"both":         {ledger.VerifyOptions{Witnesses: []note.Verifier{v1, v2}, Quorum: 2}, 20, "[example.com/w1 example.com/w2]", ""},
		"a stranger":   {ledger.VerifyOptions{Witnesses: []note.Verifier{v3}}, 0, "[]", "of 1 of the 1 witnesses given; the most is 0"},
		"an impostor":  {ledger.VerifyOptions{Witnesses: []note.Verifier{fake1}}, 0, "[]", "by none of the keys of that name"},
		"too many":     {ledger.VerifyOptions{Witnesses: []note.Verifier{v1, v2, v3}, Quorum: 3}, 0, "[]", "of 3 of the 3 witnesses given; the most is 2"},
		"kept outside": {ledger.VerifyOptions{Witnesses: []note.Verifier{v2}, Trusted: with(t, cp25, s2)}, 25, "[example.com/w2]", ""},
	} {
		r, err := ledger.Verify(t.Context(), s.db(), s.v, c.o)
		rx, errx := ledger.VerifyExport(t.Context(), bytes.NewReader(dump), s.v, c.o)
		for _, got := range []struct {
			r   ledger.Report
			err error
		}{{r, err}, {rx, errx}} {
			var f *ledger.Fault
			if errors.As(got.err, &f) != (c.fault != "") || f != nil && (f.Kind != ledger.FaultWitness || !strings.Contains(f.Detail, c.fault)) {
				t.Errorf("%s: %v", name, got.err)
			}
			if got.r.Cosigned != c.cosigned || fmt.Sprint(got.r.CosignedBy) != c.by {
				t.Errorf("%s: %d by %v", name, got.r.Cosigned, got.r.CosignedBy)
			}
		}
	}
	for name, o := range map[string]ledger.VerifyOptions{"twice": {Witnesses: []note.Verifier{v1, v1}}, "a quorum of none": {Quorum: 1}, "below zero": {Witnesses: []note.Verifier{v1}, Quorum: -1}} {
		if _, err := ledger.Verify(t.Context(), s.db(), s.v, o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	// Somebody with the ledger's key rewrites what was cosigned.
	other := sample{dir: t.TempDir(), s: s.s, v: s.v}
	l = must(ledger.OpenSQLite(other.db(), s.s))(t)
	for i := range 30 {
		must(l.Append(t.Context(), uint64(i), forged(i)))(t)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	other.sql(t, "INSERT INTO cosigned VALUES (20, "+hexBlob(with(t, cp20, s1))+")")
	var f *ledger.Fault
	if _, err := ledger.Verify(t.Context(), other.db(), s.v, ledger.VerifyOptions{}); !errors.As(err, &f) || f.Kind != ledger.FaultRolledBack || !strings.Contains(f.Detail, "cosigned checkpoint of size 20") {
		t.Errorf("rewritten: %v", err)
	}
	forgedDump := exported(t, other)
	if _, err := ledger.VerifyExport(t.Context(), bytes.NewReader(forgedDump), s.v, ledger.VerifyOptions{}); !errors.As(err, &f) || f.Kind != ledger.FaultRolledBack {
		t.Errorf("rewritten, export: %v", err)
	}
}
