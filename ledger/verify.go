package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Verify checks a ledger file against its public key: it recomputes every leaf,
// every stored hash and the root from the entries' own bytes, and compares them
// with what is stored, with the signed checkpoint, with the checkpoint file
// beside the database, and with a checkpoint that the caller trusts.
//
// It only reads, and sees one consistent state even while the owner appends. A
// ledger whose owner was killed is verified as its next owner would find it.
//
// Where the record names another key, signed by both, that key is followed: the
// newest must have signed the record as it is, and the trusted checkpoint may be
// signed by any of them. Whoever has the key that a record had once, and no
// other, can follow it; so can whoever has got hold of that key's private half.
//
// When the record is not sound, the error is a *Fault, which also stands in the
// report. Any other error means that it could not be verified.
func Verify(ctx context.Context, path string, v note.Verifier, o VerifyOptions) (Report, error) {
	if err := o.check(); err != nil {
		return Report{}, fmt.Errorf("verify ledger: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return Report{}, fmt.Errorf("verify ledger: %w", err)
	}
	// The file before the database: what it attests must by then be committed.
	filed, fileErr := os.ReadFile(siblingCheckpoint(path))

	s, err := openScan(ctx, path)
	if err == nil {
		defer s.close()
		s.o = o
		err = s.run(v, filed, fileErr)
	}
	r := Report{}
	if s != nil {
		r = s.report
	}
	var f *Fault
	if err != nil && !errors.As(err, &f) {
		if !unreadable(err) {
			return r, fmt.Errorf("verify ledger: %w", err)
		}
		f = fault(FaultDatabase, -1, "%v", err)
	}
	if f != nil {
		r.Fault = f
		return r, f
	}
	return r, nil
}

func siblingCheckpoint(path string) string {
	if real, err := realPath(path); err == nil {
		path = real
	}
	return checkpointPath(path)
}

// scan is one verification or export: a snapshot of the database.
type scan struct {
	store
	db      *sql.DB
	tx      *sql.Tx
	keys    lineage
	o       VerifyOptions
	watches []watch
	report  Report
	bodies  map[digest]bool // kept apart, and named by an entry
	tally   tally
}

// openScan opens a snapshot. A database on a read-only medium has no room for
// the shared memory of WAL mode; without a log beside it, it can be read as it
// stands.
func openScan(ctx context.Context, path string) (*scan, error) {
	path, err := realPath(path)
	if err != nil {
		return nil, err
	}
	s, err := beginScan(ctx, readerDSN(path))
	if err != nil && !damaged(err) && ctx.Err() == nil {
		if fi, e := os.Stat(path + "-wal"); errors.Is(e, os.ErrNotExist) || e == nil && fi.Size() == 0 {
			if s, e := beginScan(ctx, dsn(path, "mode=ro", "immutable=1")); e == nil {
				return s, nil
			}
		}
	}
	return s, err
}

func beginScan(ctx context.Context, name string) (_ *scan, err error) {
	s := &scan{bodies: map[digest]bool{}, tally: newTally()}
	if s.db, err = sql.Open("sqlite", name); err != nil {
		return nil, err
	}
	s.db.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.tx, err = s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
		return nil, err
	}
	s.store = store{s.tx, ctx}
	version, err := schemaVersion(ctx, s.tx) // the first read takes the snapshot
	if err == nil && version == 0 {
		err = fault(FaultDatabase, -1, "the database is empty")
	}
	return s, err
}

func (s *scan) close() {
	if s.tx != nil {
		_ = s.tx.Rollback()
	}
	_ = s.db.Close()
}

func (s *scan) run(v note.Verifier, filed []byte, fileErr error) error {
	if err := s.checkpoint(v); err != nil {
		return err
	}
	if s.o.Trusted != nil {
		cp, err := s.keys.open(s.o.Trusted)
		if err != nil {
			return fmt.Errorf("trusted checkpoint: %w", err)
		}
		s.watches = append(s.watches, watch{cp, "the trusted checkpoint"})
	}
	var late *Fault // of the file; an entry that is bad comes first
	switch cp, err := s.keys.open(filed); {
	case fileErr != nil || len(filed) == 0:
		s.report.Notes = append(s.report.Notes,
			"there is no checkpoint file beside the database: an older copy of the whole database would pass unless a checkpoint kept elsewhere is given")
	case err != nil:
		late = fault(FaultCheckpoint, -1, "the checkpoint file beside the database: %v", err)
	default:
		s.watches = append(s.watches, watch{cp, "the checkpoint file beside the database"})
	}
	cosigned, err := s.history()
	if err != nil {
		return err
	}
	odd, err := s.walk()
	if err != nil {
		return err
	}
	if odd {
		f, err := s.diagnose()
		if err != nil {
			return err
		}
		return f
	}
	for _, w := range s.watches {
		if f := w.beyond(s.report.Size); f != nil {
			return f
		}
	}
	if late != nil {
		return late
	}
	if err := s.leftovers(); err != nil {
		return err
	}
	return s.o.vouched(&s.report, cosigned, s.keys.named)
}

// checkpoint reads and verifies the signed checkpoint of the database.
func (s *scan) checkpoint(v note.Verifier) error {
	signed, size, err := readCheckpoint(s.ctx, s.tx)
	if errors.Is(err, sql.ErrNoRows) {
		return fault(FaultCheckpoint, -1, "the database has no checkpoint")
	}
	if err != nil {
		return err
	}
	if err := s.follow(v, size); err != nil {
		return err
	}
	cp, err := s.keys.head(signed)
	if err != nil {
		return err
	}
	if cp.Size != size {
		return fault(FaultCheckpoint, -1, "the checkpoint's row says size %d, the signed text %d", size, cp.Size)
	}
	s.report = Report{Origin: cp.Origin, Size: cp.Size, Root: cp.Root, Checkpoint: signed, Key: s.keys.id(), Notes: s.keys.notes}
	return nil
}

// follow finds out by which keys the record is signed. The entries that say so
// are looked for ahead of the walk, which then shows them to be good.
func (s *scan) follow(v note.Verifier, size uint64) error {
	var h keyHistory
	if err := s.rekeyings(size, &h); err != nil && !damaged(err) { // what cannot be read is the walk's to name
		return err
	}
	s.keys = h.from(v)
	return nil
}

func (s *scan) rekeyings(size uint64, h *keyHistory) error {
	rows, err := s.tx.QueryContext(s.ctx, "SELECT seq, leaf FROM entry WHERE seq >= 0 AND seq < ? AND (instr(leaf, ?) OR instr(leaf, ?)) ORDER BY seq", int64(size), []byte(TypeRekeyed), []byte(TypeWitnessKnown))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var leaf []byte
		if err := rows.Scan(&seq, &leaf); err != nil {
			return err
		}
		if e, apart, err := parse(leaf); err == nil && apart == nil && e.Seq == uint64(seq) {
			if err := h.take(&e); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}

// walk is the fast pass: once over everything, in order, with the right edge of
// the tree as its only memory. It reports whether something is odd, and leaves
// it to diagnose to say what; only a watch that does not hold is its own to
// tell, as by then the record agrees with its own checkpoint.
func (s *scan) walk() (odd bool, err error) {
	var e edge
	var broken *Fault
	look := func() {
		for i := range s.watches {
			if f := s.watches[i].check(&e); f != nil && broken == nil {
				broken = f
			}
		}
	}
	size := s.report.Size
	var want []tlog.Hash
	look()
	lo := uint64(0) // stored hashes are compared up to here
	err = s.leaves(s.ctx, 0, size, func(seq uint64, leaf []byte) error {
		if seq != e.size || s.inspect(seq, leaf) != nil {
			return errOdd
		}
		want = e.add(LeafHash(leaf), want)
		look()
		if e.size-lo < chunk && e.size < size {
			return nil
		}
		if err := s.compare(storedCount(lo), want); err != nil {
			return err
		}
		lo, want = e.size, want[:0]
		s.o.progress(e.size, size)
		return nil
	})
	if err == nil && e.size != size {
		err = errOdd
	}
	if errors.Is(err, errOdd) || damaged(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if size == 0 {
		s.o.progress(0, 0)
	}
	if e.root() != s.report.Root {
		return true, nil
	}
	if broken != nil {
		return false, broken
	}
	return false, nil
}

var errOdd = errors.New("something is odd")

// compare checks the stored hashes from index lo on against those recomputed.
func (s *scan) compare(lo int64, want []tlog.Hash) error {
	n := 0
	err := s.hashRange(lo, lo+int64(len(want)), func(idx int64, h tlog.Hash) {
		if n < len(want) && idx == lo+int64(n) && h == want[n] {
			n++
		}
	})
	if err == nil && n != len(want) {
		err = errOdd
	}
	return err
}

// inspect reports what an entry itself shows to be wrong with it. A fault that
// it cannot show, such as a changed word, shows in the hash.
func (s *scan) inspect(seq uint64, leaf []byte) error {
	e, apart, err := parse(leaf)
	n := int64(seq)
	switch {
	case err != nil:
		return fault(FaultAltered, n, "%v", err)
	case e.Seq != seq:
		return fault(FaultMoved, n, "in its place stands what says it is entry %d", e.Seq)
	case apart == nil && len(leaf) > MaxLeaf:
		return fault(FaultAltered, n, "the leaf has %d bytes, over %d", len(leaf), MaxLeaf)
	case apart == nil:
		return s.tally.take(&e)
	}
	s.bodies[*apart] = true
	body, err := s.body(s.ctx, apart.sum[:])
	if errors.Is(err, ErrNotFound) {
		return fault(FaultBody, n, "its body %s is missing", apart)
	}
	if err == nil {
		err = apart.check(body)
	}
	if err != nil {
		return fault(FaultBody, n, "%v", err)
	}
	e.Body = body
	return s.tally.take(&e)
}

// leftovers looks for what no signature covers, then at the pages that nothing
// so far had to read.
func (s *scan) leftovers() error {
	size := s.report.Size
	for _, q := range []struct {
		query string
		arg   int64
		kind  FaultKind
		what  string
	}{
		{"SELECT min(seq) FROM entry WHERE seq < 0 OR seq >= ?", int64(size), FaultUnsigned, "there is an entry %d, and the checkpoint covers only those from 0 up to its size"},
		{"SELECT min(idx) FROM hash WHERE idx < 0 OR idx >= ?", storedCount(size), FaultHash, "there is a stored hash %d of no entry"},
	} {
		var first sql.NullInt64
		if err := s.tx.QueryRowContext(s.ctx, q.query, q.arg).Scan(&first); err != nil {
			return err
		}
		if first.Valid {
			entry := first.Int64
			if q.kind == FaultHash {
				entry = -1
			}
			return fault(q.kind, entry, q.what, first.Int64)
		}
	}
	var bodies int
	if err := s.tx.QueryRowContext(s.ctx, "SELECT count(*) FROM body").Scan(&bodies); err != nil {
		return err
	}
	if bodies != len(s.bodies) {
		return fault(FaultBody, -1, "%d bodies are kept, entries name %d", bodies, len(s.bodies))
	}
	if err := s.personal(); err != nil {
		return err
	}
	var verdict string
	if err := s.tx.QueryRowContext(s.ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fault(FaultDatabase, -1, "every entry is as signed, but SQLite finds: %s", verdict)
	}
	return nil
}
