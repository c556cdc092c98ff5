// Package ledger is the record: an append-only log whose entries, Merkle tree
// and signed checkpoint become durable in one transaction, or not at all.
//
// What it promises:
//
//   - An entry whose Append returned without error survives kill -9 and power
//     loss, and every later checkpoint covers it.
//   - An Append that failed with ErrConflict or ErrFull has appended nothing.
//     A batch is appended whole or not at all.
//   - Nothing is ever changed or removed, but for personal values, which stand
//     beside the tree and are erased for good when an entry says so. Whoever changes, removes, swaps or
//     truncates entries behind its back is found out by Verify, which needs
//     nothing but the file and the public key.
//
// The tree is that of RFC 6962 with SHA-256. Checkpoints, inclusion proofs and
// tiles follow C2SP: signed-note with Ed25519, tlog-checkpoint, tlog-proof,
// tlog-tiles. An outside auditor needs no code of ours.
//
// A Log is safe for any number of concurrent callers. One process owns a
// ledger at a time; others may verify and export it meanwhile.
package ledger

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"
)

// Entry is one line of the record. Its canonical encoding (see Entry.Encode)
// determines the Merkle leaf.
type Entry struct {
	Seq   uint64         // position in the log, from 0; set by Append
	At    time.Time      // when it happened, as the writer saw it; nanoseconds, kept in UTC
	Type  string         // what happened: "correction.created"; 1 to MaxType bytes
	Actor string         // who did it; at most MaxActor bytes, may be empty
	Body  jsontext.Value // what it says; any JSON up to MaxBody bytes, nil means null

	// Personal has a sealed value for each commitment that the body names: see
	// [Commit]. Only the commitments are part of the leaf. Append makes the values
	// durable with the entry; Read gives the commitments with nil values.
	Personal map[string][]byte
}

// Bounds of an entry, in bytes.
const (
	MaxType  = 256
	MaxActor = 1024
	MaxBody  = 64 << 20 // after canonical encoding
	MaxLeaf  = 1<<16 - 1
)

// Log is an append-only log. SQLite implements it.
type Log interface {
	// Append adds es, in order, after the first at entries, and returns the new
	// size. It returns ErrConflict, and the current size, unless at is the
	// current size, so that a writer who decided on stale state learns of it. Seq is assigned; what the
	// caller put there is ignored. Waiting for other writers ends with ctx; once
	// begun, an Append is carried through, so its outcome is never in doubt.
	Append(ctx context.Context, at uint64, es ...Entry) (size uint64, err error)

	// Size is the number of durable entries.
	Size() uint64

	// Read calls fn for each entry from seq from to seq to-1, in order, and stops
	// at the first error, which it returns. A to beyond Size means Size.
	// fn may call the Log, Append included.
	Read(ctx context.Context, from, to uint64, fn func(Entry) error) error

	// Checkpoint returns the signed checkpoint (C2SP tlog-checkpoint) that covers
	// every durable entry.
	Checkpoint(ctx context.Context) ([]byte, error)

	// Root is the root of the tree when it had size entries, or ErrNotFound if it
	// never had so many.
	Root(ctx context.Context, size uint64) (tlog.Hash, error)

	// Consistency returns an RFC 6962 consistency proof between two sizes of the
	// tree; old must be above 0 and not above new, and new not above Size, else
	// ErrNotFound.
	Consistency(ctx context.Context, old, new uint64) (tlog.TreeProof, error)

	// Cosigned keeps a checkpoint of this log with the signatures of others that
	// are on it, beside those that are kept for its size already. Whether these
	// verify is the caller's to know. Only the newest MaxCosigned sizes are kept.
	Cosigned(ctx context.Context, signed []byte) error

	// Cosignatures returns the checkpoints that Cosigned keeps, the newest first.
	Cosignatures(ctx context.Context) ([][]byte, error)

	// Proof returns a C2SP tlog-proof of entry n under the current checkpoint, or
	// ErrNotFound.
	Proof(ctx context.Context, n uint64) ([]byte, error)

	// Personal returns the data behind a commitment. It returns ErrErased once that
	// was erased, and ErrNotFound for one that no entry brought.
	Personal(ctx context.Context, commitment string) (data []byte, err error)

	// Erase destroys the values of commitments, so that neither the database nor its
	// write-ahead log holds them when it returns. Those that are gone, or were never
	// there, are passed over. An entry of [TypeErased] comes first: without one,
	// Verify reports a missing value. If somebody reads an older state of the file,
	// Erase waits, and ctx ends that; the values are then gone for all who ask, but
	// not yet from the disk.
	Erase(ctx context.Context, commitments ...string) error

	// Tile returns a resource of the C2SP tlog-tiles layout, or ErrNotFound:
	// "checkpoint", "tile/<L>/<N>[.p/<W>]", "tile/entries/<N>[.p/<W>]". One more
	// path is ours: "body/<hex>", a body kept apart from its leaf, by its SHA-256.
	Tile(ctx context.Context, path string) ([]byte, error)

	io.Closer
}

// Errors to be told apart with errors.Is.
var (
	// ErrConflict: the log does not have the size the caller thought; nothing was
	// appended. Read what is new, decide again, append again.
	ErrConflict = errors.New("somebody else appended in between; nothing was appended")

	// ErrFull: the disk is full or refused the write; nothing was appended.
	// A retry helps once there is space.
	ErrFull = errors.New("no space or write refused by the disk; nothing was appended")

	// ErrUnsure: the disk failed while making an entry durable, and whether it is
	// durable cannot be known before the ledger is opened again. The log refuses
	// to append until then.
	ErrUnsure = errors.New("disk failed during commit; open the ledger again to learn what is durable")

	// ErrTooLarge: an entry is over one of the bounds; nothing was appended.
	ErrTooLarge = errors.New("entry too large; nothing was appended")

	// ErrInvalid: an entry cannot be recorded as it is; nothing was appended.
	ErrInvalid = errors.New("invalid entry; nothing was appended")

	// ErrNotFound: there is no such entry, tile or body in this log (yet).
	ErrNotFound = errors.New("not found in the ledger")

	// ErrErased: there was such a personal value, and it was erased.
	ErrErased = errors.New("erased")

	// ErrInUse: another process, or another Log in this one, owns the ledger.
	ErrInUse = errors.New("ledger is in use")

	// ErrRolledBack: the database holds less than, or other than, what the
	// checkpoint file beside it attests.
	ErrRolledBack = errors.New("ledger was rolled back")

	// ErrClosed: the Log was closed.
	ErrClosed = errors.New("ledger is closed")
)
