package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Result codes of SQLite (https://www.sqlite.org/rescode.html). The low byte is
// the kind, the rest says more.
const (
	codeError    = 1
	codeBusy     = 5
	codeIOErr    = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeNotADB   = 26
	codeFsync    = codeIOErr | 4<<8
	codeDirFsync = codeIOErr | 5<<8
)

// coded is what the driver's errors offer.
type coded interface{ Code() int }

// describe says what an error of SQLite means for a reader.
func describe(err error) error {
	if damaged(err) {
		return fmt.Errorf("the database file is damaged; verify the ledger: %w", err)
	}
	return err
}

// describeWrite says what an error of SQLite means for a writer.
func describeWrite(err error) error {
	var c coded
	if err == nil || !errors.As(err, &c) {
		return err
	}
	switch code := c.Code(); {
	case code == codeFsync || code == codeDirFsync:
		// After a failed fsync the kernel may have dropped the pages: trying again
		// would seem to work and prove nothing.
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	case code&0xff == codeFull || code&0xff == codeIOErr:
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return describe(err)
}

// damaged reports whether err says that pages of the file are bad.
func damaged(err error) bool {
	var c coded
	if !errors.As(err, &c) {
		return false
	}
	k := c.Code() & 0xff
	return k == codeCorrupt || k == codeNotADB
}

// unreadable reports whether err says that the file is damaged, or that its
// tables are not those of a ledger.
func unreadable(err error) bool {
	var c coded
	return damaged(err) || errors.As(err, &c) && c.Code()&0xff == codeError
}

func checkpointPath(db string) string { return filepath.Join(filepath.Dir(db), "checkpoint") }

// writeCheckpointFile replaces the checkpoint file. It reports nothing: the
// entry is durable already, and Open and Verify live without the file. It does
// not sync: after a power loss the file is older or empty, which Verify takes
// for what it is.
func writeCheckpointFile(db string, signed []byte) {
	path := checkpointPath(db)
	tmp := path + ".tmp"
	if os.WriteFile(tmp, signed, 0o644) == nil {
		if os.Rename(tmp, path) == nil {
			return
		}
	}
	_ = os.Remove(tmp)
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
