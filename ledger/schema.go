package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// applicationID marks a database file as a ledger ("Andn" in ASCII), so that
// another program's database is refused and not extended.
const applicationID = 0x416e646e

// migrations bring a database from version i to version i+1, in the
// transaction that records it in user_version.
//
// hash.idx is the stored-hash index of tlog. body holds what is too large for a
// leaf, by the SHA-256 that the leaf names. checkpoint has one row: the latest.
// personal holds salt and data of each commitment, and of an erased one zeros.
// cosigned has earlier checkpoints that others have signed, too.
var migrations = []string{
	`CREATE TABLE entry (seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
	CREATE TABLE hash (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
	CREATE TABLE body (sum BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT;
	CREATE TABLE checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, note BLOB NOT NULL) STRICT;`,
	// Values go in at the end and are overwritten in their place: see overwrite.
	`CREATE TABLE personal (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, erased INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;`,
	`CREATE TABLE cosigned (size INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;`,
}

// migrate creates or brings up to date. It returns an error for a database
// that a newer version wrote, and for one that is no ledger.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	version, err := schemaVersion(ctx, tx)
	if err != nil {
		return err
	}
	if version == len(migrations) {
		return nil
	}
	for _, m := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, m); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}

// querier is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// schemaVersion returns 0 for an empty database, and an error for one that
// this version cannot read.
func schemaVersion(ctx context.Context, q querier) (int, error) {
	var app, version, objects int
	if err := q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return 0, err
	}
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil {
		return 0, err
	}
	switch {
	case app == 0 && version == 0 && objects == 0:
		return 0, nil
	case app != applicationID:
		return 0, fmt.Errorf("this database is no ledger (application id %#x)", app)
	case version < 1 || version > len(migrations):
		return 0, fmt.Errorf("schema version %d is not known here, at most %d: use the version of andon that wrote it", version, len(migrations))
	}
	return version, nil
}

// busyTimeout is how long a connection waits for another's lock, in milliseconds.
const busyTimeout = 10000

// dsn is the driver's name of a database file. Pragmas are given here so that
// every connection of a pool gets them.
func dsn(path string, params ...string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	return "file:" + u.EscapedPath() + "?" + strings.Join(append(params, fmt.Sprintf("_busy_timeout=%d", busyTimeout), "_dqs=0"), "&")
}

// writerDSN: in WAL mode, synchronous=FULL syncs the log at each commit, which
// is what makes an acknowledged entry survive power loss. A transaction takes
// the write lock when it begins, since one that upgrades later may fail.
func writerDSN(path string) string {
	return dsn(path, "_txlock=immediate", "_journal_mode=WAL", "_synchronous=FULL", "_defensive=1", "_pragma=secure_delete(1)")
}

func readerDSN(path string) string {
	return dsn(path, "mode=ro", "_query_only=1")
}
