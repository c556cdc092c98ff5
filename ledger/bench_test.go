package ledger_test

import (
	"bytes"
	"io"
	"math"
	"testing"

	"andon/ledger"
)

func benchLog(b *testing.B, n int) (*ledger.SQLite, sample) {
	b.Helper()
	s := sample{dir: b.TempDir()}
	s.s, s.v = keys(b, "example.com/bench")
	l := must(ledger.OpenSQLite(s.db(), s.s))(b)
	b.Cleanup(func() { l.Close() })
	for at := 0; at < n; {
		k := min(5000, n-at)
		must(l.Append(b.Context(), uint64(at), entries(at, k)...))(b)
		at += k
	}
	return l, s
}

// BenchmarkAppend is one durable entry: what a command waits for.
func BenchmarkAppend(b *testing.B) {
	l, _ := benchLog(b, 1000)
	e := entry(1)
	for b.Loop() {
		must(l.Append(b.Context(), l.Size(), e))(b)
	}
}

// BenchmarkAppend100 is a hundred entries in one transaction.
func BenchmarkAppend100(b *testing.B) {
	l, _ := benchLog(b, 1000)
	es := entries(0, 100)
	for b.Loop() {
		must(l.Append(b.Context(), l.Size(), es...))(b)
	}
}

func BenchmarkVerify100k(b *testing.B) {
	_, s := benchLog(b, 100_000)
	for b.Loop() {
		must(ledger.Verify(b.Context(), s.db(), s.v, ledger.VerifyOptions{}))(b)
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkRead100k is the start of a control plane, without its fold.
func BenchmarkRead100k(b *testing.B) {
	l, _ := benchLog(b, 100_000)
	for b.Loop() {
		if err := l.Read(b.Context(), 0, math.MaxUint64, func(ledger.Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkMillion is what a large record takes: to be verified, and to be read
// from one end to the other.
func BenchmarkMillion(b *testing.B) {
	l, s := benchLog(b, 1_000_000)
	b.Run("Verify", func(b *testing.B) {
		for b.Loop() {
			must(ledger.Verify(b.Context(), s.db(), s.v, ledger.VerifyOptions{}))(b)
		}
	})
	b.Run("Read", func(b *testing.B) {
		for b.Loop() {
			if err := l.Read(b.Context(), 0, math.MaxUint64, func(ledger.Entry) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyExport100k(b *testing.B) {
	_, s := benchLog(b, 100_000)
	var dump bytes.Buffer
	if err := ledger.Export(b.Context(), s.db(), &dump, ledger.ExportOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		must(ledger.VerifyExport(b.Context(), bytes.NewReader(dump.Bytes()), s.v, ledger.VerifyOptions{}))(b)
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkExport100k(b *testing.B) {
	_, s := benchLog(b, 100_000)
	for b.Loop() {
		if err := ledger.Export(b.Context(), s.db(), io.Discard, ledger.ExportOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProof(b *testing.B) {
	l, _ := benchLog(b, 100_000)
	for b.Loop() {
		must(l.Proof(b.Context(), 54_321))(b)
	}
}

func BenchmarkTile(b *testing.B) {
	l, _ := benchLog(b, 100_000)
	for b.Loop() {
		must(l.Tile(b.Context(), "tile/entries/100"))(b)
		must(l.Tile(b.Context(), "tile/0/100"))(b)
		must(l.Tile(b.Context(), "tile/1/000"))(b)
	}
}
