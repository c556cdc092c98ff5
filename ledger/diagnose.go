package ledger

import (
	"database/sql"
	"errors"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// diagnose finds the first bad entry of a record that walk found odd. It holds
// all hashes in memory, about 130 bytes an entry.
//
// The signed root is the only thing trusted. From there it goes down: a pair of
// hashes that gives a trusted hash is trusted itself, whether it was stored or
// recomputed; where the trusted hash is not the one recomputed from the
// entries, a bad entry is below. So an altered entry is told from an altered
// stored hash, and several faults from one.
func (s *scan) diagnose() (*Fault, error) {
	size := s.report.Size
	d := &diagnosis{entries: newForest(size), stored: newForest(size)}
	first, err := s.reload(d)
	if err != nil {
		return nil, err
	}
	bad, end := size, size // none
	if size > 0 {
		bad, end = d.locate(0, size, s.report.Root)
	}
	switch {
	case first != nil && (uint64(first.Entry) <= bad || end-bad > 1):
		return first, nil
	case end-bad > 1:
		return fault(FaultAltered, -1, "one of the entries %d to %d, or more of them, is not what was signed, and their stored hashes were altered as well; "+
			"a checkpoint kept elsewhere narrows it down", bad, end-1), nil
	case end-bad == 1:
		return s.describeEntry(bad)
	}
	return s.storedFault(d), nil
}

// reload fills both forests, and returns the first entry that shows by itself
// that it is bad.
func (s *scan) reload(d *diagnosis) (first *Fault, err error) {
	size := s.report.Size
	for lo := uint64(0); lo < size; lo += chunk {
		hi := min(size, lo+chunk)
		keep := func(seq uint64, leaf []byte) error {
			var f *Fault
			if err := s.inspect(seq, leaf); errors.As(err, &f) {
				if first == nil {
					first = f
				}
			}
			d.entries.set(tlog.StoredHashIndex(0, int64(seq)), LeafHash(leaf))
			return s.ctx.Err()
		}
		err := s.leaves(s.ctx, lo, hi, keep)
		if damaged(err) {
			err = s.oneByOne(lo, hi, keep)
		}
		if err != nil {
			return nil, err
		}
		a, b := storedCount(lo), storedCount(hi)
		if err := s.hashRange(a, b, d.stored.set); damaged(err) {
			for i := a; i < b; i++ {
				if h, err := s.ReadHashes([]int64{i}); err == nil {
					d.stored.set(i, h[0])
				}
			}
		} else if err != nil {
			return nil, err
		}
		s.o.progress(hi, size)
	}
	d.entries.complete(size)
	return first, s.ctx.Err()
}

// oneByOne reads what can still be read of a chunk with damaged pages.
func (s *scan) oneByOne(lo, hi uint64, fn func(uint64, []byte) error) error {
	for seq := lo; seq < hi; seq++ {
		leaf, err := s.leaf(seq)
		if errors.Is(err, sql.ErrNoRows) || damaged(err) {
			continue
		}
		if err == nil {
			err = fn(seq, leaf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) leaf(seq uint64) (leaf []byte, err error) {
	err = s.tx.QueryRowContext(s.ctx, "SELECT leaf FROM entry WHERE seq = ?", int64(seq)).Scan(&leaf)
	return leaf, err
}

// describeEntry says what is wrong with an entry that the tree shows to be bad.
func (s *scan) describeEntry(seq uint64) (*Fault, error) {
	n := int64(seq)
	_, err := s.leaf(seq)
	switch {
	case damaged(err):
		return fault(FaultDatabase, n, "it cannot be read: %v", err), nil
	case errors.Is(err, sql.ErrNoRows):
		var next sql.NullInt64
		err := s.tx.QueryRowContext(s.ctx, "SELECT min(seq) FROM entry WHERE seq > ?", n).Scan(&next)
		if err != nil && !damaged(err) {
			return nil, err
		}
		if err == nil && !next.Valid {
			return fault(FaultTruncated, n, "the checkpoint covers %d entries and the last %d are missing", s.report.Size, s.report.Size-seq), nil
		}
		return fault(FaultMissing, n, "it was removed, later ones are there"), nil
	case err != nil:
		return nil, err
	}
	return fault(FaultAltered, n, "it is not the entry that was signed"), nil
}

// storedFault names the first stored hash that is not what the entries give.
// The entries are good: they lead to the signed root.
func (s *scan) storedFault(d *diagnosis) *Fault {
	for i, want := range d.entries.hash {
		if d.stored.have[i] && d.stored.hash[i] == want {
			continue
		}
		level, n := tlog.SplitStoredHashIndex(int64(i))
		first, last := n<<level, (n+1)<<level-1
		what := "is altered"
		if !d.stored.have[i] {
			what = "is missing or cannot be read"
		}
		return fault(FaultHash, first, "stored hash %d, of entries %d to %d, %s; the entries are as signed", i, first, last, what)
	}
	return fault(FaultDatabase, -1, "the database reads differently from one time to the next")
}

// forest holds the hashes of all perfect subtrees, by stored-hash index, as far
// as they are known.
type forest struct {
	hash []tlog.Hash
	have []bool
}

func newForest(size uint64) forest {
	n := storedCount(size)
	return forest{make([]tlog.Hash, n), make([]bool, n)}
}

func (f *forest) set(idx int64, h tlog.Hash) { f.hash[idx], f.have[idx] = h, true }

// complete computes the inner hashes from the leaves.
func (f *forest) complete(size uint64) {
	for i := range int64(len(f.hash)) {
		if level, n := tlog.SplitStoredHashIndex(i); level > 0 {
			l, r := tlog.StoredHashIndex(level-1, 2*n), tlog.StoredHashIndex(level-1, 2*n+1)
			if f.have[l] && f.have[r] {
				f.set(i, tlog.NodeHash(f.hash[l], f.hash[r]))
			}
		}
	}
}

// of returns the RFC 6962 hash of entries lo to hi-1; lo is a multiple of the
// largest power of two that is at most hi-lo.
func (f *forest) of(lo, hi uint64) (tlog.Hash, bool) {
	if n := hi - lo; n&(n-1) == 0 {
		level := bits.TrailingZeros64(n)
		i := tlog.StoredHashIndex(level, int64(lo>>level))
		return f.hash[i], f.have[i]
	}
	mid := split(lo, hi)
	l, okL := f.of(lo, mid)
	r, okR := f.of(mid, hi)
	return tlog.NodeHash(l, r), okL && okR
}

// split is where RFC 6962 divides a range: after the largest power of two that
// is smaller than its length.
func split(lo, hi uint64) uint64 { return lo + 1<<(bits.Len64(hi-lo-1)-1) }

// diagnosis holds what the entries give and what was stored.
type diagnosis struct{ entries, stored forest }

// locate returns the shortest range, of lo to hi-1, that is known to hold the
// first bad entry, given their trusted hash: one entry if all goes well, none
// (at hi) if all are good.
func (d *diagnosis) locate(lo, hi uint64, trusted tlog.Hash) (bad, end uint64) {
	if h, ok := d.entries.of(lo, hi); ok && h == trusted {
		return hi, hi
	}
	if hi-lo == 1 {
		return lo, hi
	}
	mid := split(lo, hi)
	for _, left := range []*forest{&d.entries, &d.stored} {
		for _, right := range []*forest{&d.entries, &d.stored} {
			l, okL := left.of(lo, mid)
			r, okR := right.of(mid, hi)
			if !okL || !okR || tlog.NodeHash(l, r) != trusted {
				continue
			}
			if bad, end := d.locate(lo, mid, l); bad < mid {
				return bad, end
			}
			return d.locate(mid, hi, r)
		}
	}
	// Nothing stored leads further down. The leaf hashes still tell what differs,
	// although not which of the two is right.
	for n := lo; n < hi; n++ {
		i := tlog.StoredHashIndex(0, int64(n))
		if !d.entries.have[i] || d.stored.have[i] && d.stored.hash[i] != d.entries.hash[i] {
			return n, n + 1
		}
	}
	return lo, hi
}
