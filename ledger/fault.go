package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// FaultKind says what is wrong with a record.
type FaultKind string

// The faults that Verify and VerifyExport tell apart.
const (
	FaultAltered    FaultKind = "altered"     // an entry is not the one that was signed
	FaultMissing    FaultKind = "missing"     // an entry was removed
	FaultMoved      FaultKind = "moved"       // an entry stands where another belongs
	FaultTruncated  FaultKind = "truncated"   // the last entries are missing
	FaultUnsigned   FaultKind = "unsigned"    // there is more than what was signed
	FaultBody       FaultKind = "body"        // a body kept apart is missing, altered or of no entry
	FaultPersonal   FaultKind = "personal"    // a personal value is altered, missing without an erasure, or of no entry
	FaultHash       FaultKind = "stored hash" // the entries are good, a stored hash is not
	FaultCheckpoint FaultKind = "checkpoint"  // a checkpoint was altered, is missing, or says something else than its copy
	FaultWitness    FaultKind = "witness"     // too few of the given witnesses have cosigned any checkpoint
	FaultKey        FaultKind = "key"         // the checkpoint was signed by another key, or an entry that names one is malformed
	FaultRolledBack FaultKind = "rolled back" // an older state was put back, or history rewritten by whoever has the key
	FaultDatabase   FaultKind = "database"    // the file cannot be read as a ledger
)

// Fault is the first thing wrong with a record. It is an error.
type Fault struct {
	Kind   FaultKind
	Entry  int64  // the first bad entry; -1 when the fault is not in one that can be named
	Detail string // what was found, for people
}

// Error names the entry, the kind and what was found.
func (f *Fault) Error() string {
	if f.Entry < 0 {
		return fmt.Sprintf("ledger: %s: %s", f.Kind, f.Detail)
	}
	return fmt.Sprintf("ledger entry %d: %s: %s", f.Entry, f.Kind, f.Detail)
}

func fault(k FaultKind, entry int64, format string, args ...any) *Fault {
	return &Fault{k, entry, fmt.Sprintf(format, args...)}
}

// Report is what a verification found.
type Report struct {
	Origin     string    // the log's name
	Size       uint64    // entries that the checkpoint covers
	Root       tlog.Hash // the root it signs
	Checkpoint []byte    // the signed checkpoint itself, to be kept elsewhere
	Key        string    // name and hash of the key that signs it: the one given, or one that it led to
	Cosigned   uint64    // entries that the quorum of the given witnesses has vouched for
	CosignedBy []string  // names of those that did
	Fault      *Fault    // nil: every entry is the one that was signed
	Personal   int       // personal values that are there and match their commitments
	Erased     int       // those that an entry erased
	Notes      []string  // what could not be checked
}

// VerifyOptions are what a verifier may add. The zero value is fine.
type VerifyOptions struct {
	// Trusted is a signed checkpoint that was kept elsewhere: the record must
	// hold what it attests, and one of its keys must have signed it. Without one, whoever holds the key can rewrite
	// everything, and whoever holds an older copy of the folder can put it back.
	Trusted []byte

	// Witnesses are the keys of those whose cosignatures count: gateways, and
	// outside witnesses. At least Quorum of them (one, if it is 0) must have
	// cosigned one and the same checkpoint: Trusted, or one that is kept in the
	// record. They hold what whoever has the ledger's key can not rewrite.
	Witnesses []note.Verifier
	Quorum    int

	// Progress is called now and then, and at the end, with the number of
	// entries checked and to be checked. A record that turns out to be damaged is
	// read a second time, to find where.
	Progress func(done, total uint64)
}

func (o *VerifyOptions) progress(done, total uint64) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// watch is a checkpoint from outside the database, that the tree must lead to
// on its way to the root.
type watch struct {
	Checkpoint
	name string // for people
}

// check compares the tree at the watched size.
func (w *watch) check(e *edge) *Fault {
	if e.size == w.Size && e.root() != w.Root {
		return fault(FaultRolledBack, -1, "%s attests another history: at least one of the first %d entries is not what it was", w.name, w.Size)
	}
	return nil
}

// beyond reports a record that ends before the watched size.
func (w *watch) beyond(size uint64) *Fault {
	if w.Size > size {
		return fault(FaultRolledBack, int64(size), "%s attests %d entries, the record ends after %d, with a genuine but older checkpoint", w.name, w.Size, size)
	}
	return nil
}
