package ledger

import (
	"crypto/sha256"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// edge is the right edge of a tree: the roots of the perfect subtrees that its
// leaves fall into, left to right. It is all one needs to append. The zero
// value is the empty tree.
type edge struct {
	size  uint64
	peaks []tlog.Hash
}

// add appends a leaf and the hashes to be stored for it, in the order of
// tlog.StoredHashes: the leaf, then each parent that it completes.
func (e *edge) add(leaf tlog.Hash, stored []tlog.Hash) []tlog.Hash {
	h := leaf
	stored = append(stored, h)
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.peaks) - 1
		h = tlog.NodeHash(e.peaks[last], h)
		e.peaks = e.peaks[:last]
		stored = append(stored, h)
	}
	e.peaks = append(e.peaks, h)
	e.size++
	return stored
}

// root is the RFC 6962 tree hash.
func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		return sha256.Sum256(nil)
	}
	h := e.peaks[len(e.peaks)-1]
	for i := len(e.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(e.peaks[i], h)
	}
	return h
}

func (e *edge) clone() edge { return edge{e.size, slices.Clone(e.peaks)} }

// loadEdge reads the right edge of a tree of the given size.
func loadEdge(size uint64, r tlog.HashReader) (edge, error) {
	var idx []int64
	for level, at := 62, uint64(0); level >= 0; level-- {
		if size>>level&1 == 1 {
			idx = append(idx, tlog.StoredHashIndex(level, int64(at>>level)))
			at += 1 << level
		}
	}
	if len(idx) == 0 {
		return edge{}, nil
	}
	hs, err := r.ReadHashes(idx)
	return edge{size, hs}, err
}
