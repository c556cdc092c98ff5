package ledger

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is fixed by tlog-tiles: a full tile is 256 hashes wide.
const tileHeight = 8

// source is what a store lends to serve tiles. What is below the size asked
// for never changes, so no transaction is needed around several calls.
type source interface {
	tlog.HashReader
	leaves(ctx context.Context, from, to uint64, fn func(seq uint64, leaf []byte) error) error
	body(ctx context.Context, sum []byte) ([]byte, error)
}

// tile serves the paths of Log.Tile other than the checkpoint, for a log of
// the given size.
func tile(ctx context.Context, path string, size uint64, src source) ([]byte, error) {
	if sum, ok := strings.CutPrefix(path, "body/"); ok {
		b, err := hex.DecodeString(sum)
		if err != nil || len(b) != tlog.HashSize || hex.EncodeToString(b) != sum {
			return nil, fmt.Errorf("read %q: %w", path, ErrNotFound)
		}
		return src.body(ctx, b)
	}
	t, err := parseTilePath(path)
	if err != nil {
		return nil, err
	}
	// Empty tiles do not exist, and a tile exists once all its hashes do.
	have := size
	if t.L > 0 {
		have = size >> (tileHeight * min(t.L, 7)) >> (tileHeight * max(t.L-7, 0))
	}
	from := uint64(t.N) << tileHeight
	to := from + uint64(t.W)
	if t.N >= 1<<(63-tileHeight) || to > have {
		return nil, fmt.Errorf("read %q: the log has %d entries: %w", path, size, ErrNotFound)
	}
	if t.L >= 0 {
		b, err := tlog.ReadTileData(t, src)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", path, err)
		}
		return b, nil
	}
	var b []byte
	n := from
	err = src.leaves(ctx, from, to, func(seq uint64, leaf []byte) error {
		if seq != n {
			return fmt.Errorf("entry %d is missing; verify the ledger", n)
		}
		n++
		b = binary.BigEndian.AppendUint16(b, uint16(len(leaf)))
		b = append(b, leaf...)
		return nil
	})
	if err == nil && n != to {
		err = fmt.Errorf("entry %d is missing; verify the ledger", n)
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return b, nil
}

// parseTilePath reads a path of tlog-tiles. The path of tlog differs by a
// height, which is always 8 here, and by "data" for "entries".
func parseTilePath(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if ok && !strings.HasPrefix(rest, "data/") {
		if n, isBundle := strings.CutPrefix(rest, "entries/"); isBundle {
			rest = "data/" + n
		}
		t, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", tileHeight, rest))
		if err == nil && t.L <= 63 {
			return t, nil
		}
	}
	return tlog.Tile{}, fmt.Errorf("read %q: not a path of tlog-tiles: %w", path, ErrNotFound)
}
