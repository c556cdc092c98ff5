package ledger_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"andon/ledger"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// rootOf computes the tree hash with somebody else's code.
func rootOf(t testing.TB, leaves []tlog.Hash) []byte {
	t.Helper()
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, h := range leaves {
		if err := r.Append(h[:], nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(leaves) == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	return must(r.GetRootHash(nil))(t)
}

func checkpointsConsistent(t *testing.T, store opener) {
	l, v := opened(t, store)
	var cps []ledger.Checkpoint
	for range 70 {
		cps = append(cps, checkpoint(t, l, v))
		fill(t, l, 1)
	}
	leaves := leafHashes(t, l)
	for i, cp := range cps {
		if cp.Size != uint64(i) || !bytes.Equal(cp.Root[:], rootOf(t, leaves[:i])) {
			t.Errorf("checkpoint %d: %+v", i, cp)
		}
	}
}

// outsideVerify checks a tlog-proof with transparency-dev/merkle and a parser
// written from the specification, apart from the package's own.
func outsideVerify(leaf, p []byte, root []byte, size uint64) error {
	head, _, _ := strings.Cut(string(p), "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("header %q", lines[0])
	}
	index, err := strconv.ParseUint(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var path [][]byte
	for _, line := range lines[2:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return err
		}
		path = append(path, h)
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, rfc6962.DefaultHasher.HashLeaf(leaf), path, root)
}

func proofs(t *testing.T, store opener) {
	l, v := opened(t, store)
	for _, size := range []int{1, 2, 3, 4, 5, 8, 13, 64, 100} {
		fill(t, l, size-int(l.Size()))
		cp := checkpoint(t, l, v)
		for _, e := range readAll(t, l) {
			p := must(l.Proof(t.Context(), e.Seq))(t)
			leaf := must(e.Encode())(t)
			if err := ledger.VerifyProof(leaf, p, v); err != nil {
				t.Fatalf("size %d: %v", size, err)
			}
			if err := outsideVerify(leaf, p, cp.Root[:], cp.Size); err != nil {
				t.Fatalf("size %d, entry %d: transparency-dev/merkle says: %v", size, e.Seq, err)
			}
		}
	}
	// Every entry's proof is refused for every other entry.
	es := readAll(t, l)
	p := must(l.Proof(t.Context(), 42))(t)
	for _, e := range es {
		if err := ledger.VerifyProof(must(e.Encode())(t), p, v); (err == nil) != (e.Seq == 42) {
			t.Errorf("proof of entry 42 for entry %d: %v", e.Seq, err)
		}
	}
}

// tiles reads the tree as a client of tlog-tiles would, at a size that has
// three levels, and rebuilds every hash from level 0 up.
func tiles(t *testing.T, store opener) {
	l, v := opened(t, store)
	const size = 256*256 + 256*3 + 5
	for at := 0; at < size; {
		n := min(4096, size-at)
		must(l.Append(t.Context(), uint64(at), entries(at, n)...))(t)
		at += n
	}
	level := leafHashes(t, l)
	if cp := checkpoint(t, l, v); !bytes.Equal(cp.Root[:], rootOf(t, level)) {
		t.Fatal("the checkpoint does not sign the tree")
	}
	for lv := 0; len(level) > 0; lv++ {
		var above []tlog.Hash
		for n := 0; n*256 < len(level); n++ {
			part := level[n*256 : min((n+1)*256, len(level))]
			path := fmt.Sprintf("tile/%d/%03d", lv, n)
			if len(part) < 256 {
				path += fmt.Sprintf(".p/%d", len(part))
			} else {
				above = append(above, tlog.Hash(rootOf(t, part)))
			}
			var want []byte
			for _, h := range part {
				want = append(want, h[:]...)
			}
			if got := must(l.Tile(t.Context(), path))(t); !bytes.Equal(got, want) {
				t.Fatalf("%s differs", path)
			}
			// A narrower tile of an earlier size is still there.
			if got := must(l.Tile(t.Context(), fmt.Sprintf("tile/%d/%03d.p/1", lv, n)))(t); !bytes.Equal(got, want[:32]) {
				t.Fatalf("%s, one wide, differs", path)
			}
		}
		level = above
	}
	// The library for Go checks whole tiles against a signed root by itself.
	cp := checkpoint(t, l, v)
	r := tlog.TileHashReader(tlog.Tree{N: int64(cp.Size), Hash: cp.Root}, tileClient{t, l})
	p := must(tlog.ProveRecord(int64(cp.Size), 65000, r))(t)
	leaf := must(r.ReadHashes([]int64{tlog.StoredHashIndex(0, 65000)}))(t)[0]
	if err := tlog.CheckRecord(p, int64(cp.Size), cp.Root, 65000, leaf); err != nil {
		t.Error(err)
	}
}

// tileClient fetches tiles by the paths of tlog-tiles.
type tileClient struct {
	t *testing.T
	l ledger.Log
}

func (tileClient) Height() int { return 8 }

func (c tileClient) ReadTiles(ts []tlog.Tile) (data [][]byte, err error) {
	for _, t := range ts {
		b, err := c.l.Tile(c.t.Context(), strings.Replace(t.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func (tileClient) SaveTiles([]tlog.Tile, [][]byte) {}
