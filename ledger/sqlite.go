package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	_ "modernc.org/sqlite"
)

// SQLite is a Log in one SQLite file. Beside the file stand its write-ahead
// log, a lock file, and "checkpoint": the latest signed checkpoint as text. One
// folder therefore holds one ledger.
//
// The checkpoint file is written after each commit, as well as can be, and
// never read as truth. It is there because it is not in the database: whoever
// replaces the database by an older copy, whose own checkpoint is genuine, has
// to think of it too.
type SQLite struct {
	path    string
	signer  note.Signer
	along   []note.Signer // former keys, for those who do not know the new one
	writer  *sql.DB       // one connection
	readers *sql.DB
	release func() error

	turn chan struct{} // holds one token; whoever took it may append
	// Below belongs to the holder of the token.
	edge   edge
	insert statements
	broken error // not nil: what is durable is not known

	head   atomic.Pointer[head]
	closed atomic.Bool
	close  sync.Once
	err    error // of close
}

// head is a durable checkpoint.
type head struct {
	Checkpoint
	signed []byte
}

type statements struct{ entry, hash, body, personal, checkpoint *sql.Stmt }

// maxReaders bounds the readers' connections. Each costs about 2 MB at most.
const maxReaders = 8

// OpenSQLite opens the ledger at path, or creates it empty, and owns it until
// Close or the end of the process. A second opener gets ErrInUse. The signer's
// name is the log's origin.
//
// It checks that the ledger was signed by this key, that the right edge of the
// tree leads to the signed root, and that the database is not older than the
// checkpoint file beside it (ErrRolledBack): signing on would fork the history.
// Verify checks the rest.
//
// A ledger may get another key: signer is the new one then, and the former one
// has to be among along, or the ledger is not opened. Those sign along, where they
// can be had, for as long as they are given. See Rekey.
func OpenSQLite(path string, signer note.Signer, along ...note.Signer) (*SQLite, error) {
	l, err := openSQLite(path, signer, along...)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	return l, nil
}

func openSQLite(path string, signer note.Signer, along ...note.Signer) (_ *SQLite, err error) {
	for _, a := range along {
		if a.Name() != signer.Name() || a.KeyHash() == signer.KeyHash() {
			return nil, fmt.Errorf("former key %s: not another key of log %q", keyID(a.Name(), a.KeyHash()), signer.Name())
		}
	}
	if path, err = realPath(path); err != nil {
		return nil, err
	}
	l := &SQLite{path: path, signer: signer, along: along, turn: make(chan struct{}, 1)}
	if l.release, err = lock(path + ".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.closeAll()
		}
	}()
	// SQLite creates files as the umask says; the record names users.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
	} else if !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if l.writer, err = sql.Open("sqlite", writerDSN(path)); err != nil {
		return nil, err
	}
	l.writer.SetMaxOpenConns(1)
	ctx := context.Background()
	if err = migrate(ctx, l.writer); err != nil {
		return nil, describeWrite(err)
	}
	if l.readers, err = sql.Open("sqlite", readerDSN(path)); err != nil {
		return nil, err
	}
	l.readers.SetMaxOpenConns(maxReaders)
	l.readers.SetMaxIdleConns(maxReaders)
	if err = l.load(ctx); err != nil {
		return nil, describeWrite(err)
	}
	if err = l.prepare(ctx); err != nil {
		return nil, describeWrite(err)
	}
	if err = syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	l.turn <- struct{}{}
	return l, nil
}

// realPath resolves links, so that one file has one lock however it is named.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// load reads the checkpoint and the right edge, or signs the empty tree.
func (l *SQLite) load(ctx context.Context) error {
	signed, size, err := readCheckpoint(ctx, l.writer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if err := l.loadEmpty(ctx); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := l.loadHead(ctx, signed, size); err != nil {
			return err
		}
	}
	if err := l.checkFile(ctx); err != nil {
		return err
	}
	writeCheckpointFile(l.path, l.head.Load().signed)
	return nil
}

func (l *SQLite) loadEmpty(ctx context.Context) error {
	var rows int
	if err := l.writer.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM entry) + (SELECT count(*) FROM hash)").Scan(&rows); err != nil {
		return err
	}
	if rows != 0 {
		return errors.New("there are entries but no checkpoint; verify the ledger")
	}
	h, err := l.sign(&edge{})
	if err != nil {
		return err
	}
	if _, err := l.writer.ExecContext(ctx, "INSERT INTO checkpoint (one, size, note) VALUES (1, 0, ?)", h.signed); err != nil {
		return err
	}
	l.head.Store(h)
	return nil
}

func (l *SQLite) loadHead(ctx context.Context, signed []byte, size uint64) error {
	cp, err := l.ours(signed)
	if err != nil {
		return err
	}
	if cp.Size != size {
		return errors.New("the checkpoint row is damaged; verify the ledger")
	}
	var entries, hashes int64
	err = l.writer.QueryRowContext(ctx, "SELECT (SELECT coalesce(max(seq)+1, 0) FROM entry), (SELECT coalesce(max(idx)+1, 0) FROM hash)").Scan(&entries, &hashes)
	if err != nil {
		return err
	}
	if uint64(entries) != size || hashes != storedCount(size) {
		return fmt.Errorf("it holds %d entries and the checkpoint covers %d; verify the ledger", entries, size)
	}
	if l.edge, err = loadEdge(size, l.hashes(ctx)); err != nil {
		return err
	}
	if l.edge.root() != cp.Root {
		return errors.New("the stored hashes do not lead to the signed root; verify the ledger")
	}
	l.head.Store(&head{cp, signed})
	return nil
}

// ours reads a checkpoint of the database and checks that our key signed it.
// Ed25519 is deterministic, so signing the same text again gives the same note.
func (l *SQLite) ours(signed []byte) (Checkpoint, error) {
	cp, sigs, err := unverified(signed)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w; verify the ledger", err)
	}
	for _, own := range append([]note.Signer{l.signer}, l.along...) {
		for _, s := range sigs {
			if s.Name == own.Name() && s.Hash == own.KeyHash() && cp.Origin == s.Name {
				return cp, cp.signedBy(own, signed)
			}
		}
	}
	if len(sigs) > 0 {
		return Checkpoint{}, fmt.Errorf("it was signed by %s, and the key given is %s: %w",
			keyID(sigs[0].Name, sigs[0].Hash), keyID(l.signer.Name(), l.signer.KeyHash()), errOtherKey)
	}
	return Checkpoint{}, errors.New("its checkpoint has no signature; verify the ledger")
}

// checkFile refuses a database that is older than the checkpoint file, or of
// another history. A file that cannot be read, or is not of our key, has
// nothing to say about this database: it is only a copy, and is written anew.
func (l *SQLite) checkFile(ctx context.Context) error {
	signed, err := os.ReadFile(checkpointPath(l.path))
	if err != nil {
		return nil
	}
	cp, err := l.ours(signed)
	if err != nil {
		if errors.Is(err, errOtherKey) {
			return fmt.Errorf("%s belongs to another log; give each ledger a folder of its own: %w", checkpointPath(l.path), err)
		}
		return nil
	}
	now := l.head.Load().Size
	if cp.Size > now {
		return fmt.Errorf("%s attests %d entries and the database holds %d; if an older copy was restored on purpose, move that file away: %w",
			checkpointPath(l.path), cp.Size, now, ErrRolledBack)
	}
	then, err := loadEdge(cp.Size, l.hashes(ctx))
	if err != nil {
		return err
	}
	if then.root() != cp.Root {
		return fmt.Errorf("%s attests another history of the first %d entries; verify the ledger: %w", checkpointPath(l.path), cp.Size, ErrRolledBack)
	}
	return nil
}

func (l *SQLite) sign(e *edge) (*head, error) {
	cp := Checkpoint{Origin: l.signer.Name(), Size: e.size, Root: e.root()}
	signed, err := cp.sign(l.signer, l.along...)
	if err != nil {
		return nil, err
	}
	return &head{cp, signed}, nil
}

// Size is the number of durable entries.
func (l *SQLite) Size() uint64 { return l.head.Load().Size }

// Path is the database file, with links resolved.
func (l *SQLite) Path() string { return l.path }

// Close waits for an Append that has begun, then releases the ledger. It may
// be called more than once; later calls return what the first returned.
func (l *SQLite) Close() error {
	l.close.Do(func() {
		l.closed.Store(true)
		<-l.turn
		l.err = l.closeAll()
		l.turn <- struct{}{} // for those who wait, to learn that it is closed
	})
	return l.err
}

func (l *SQLite) closeAll() error {
	var errs []error
	if l.readers != nil {
		errs = append(errs, l.readers.Close())
	}
	if l.writer != nil {
		errs = append(errs, l.writer.Close()) // last, so that SQLite folds its write-ahead log into the file
	}
	errs = append(errs, l.release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}
