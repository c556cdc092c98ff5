// Package blob keeps files by their content: what is kept is known by its
// SHA-256, and read only as what it was.
//
// What it promises:
//
//   - What Put returned without error survives kill -9 and power loss: it was
//     written beside its place, synced, renamed, and its folder synced. A crash
//     leaves nothing half-written under a digest.
//   - Get returns the bytes that have the digest, or an error: damage is found
//     when it is read, and never passed on.
//   - The same content is kept once. A file is never changed.
//   - Delete leaves a tombstone, so that "it was removed" can be told from "it
//     was never here". Content that was removed can be put again.
//
// A Store is safe for concurrent use; one process owns a folder. It bounds the
// size of one file, and of all together.
package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Errors to be told apart with errors.Is.
var (
	ErrNotFound = errors.New("there is no such file in the store")
	ErrGone     = errors.New("the file was removed from the store")
	ErrDamaged  = errors.New("the file in the store is not what it was")
	ErrTooLarge = errors.New("the file is too large for the store")
	ErrFull     = errors.New("the store is full")
)

// Bounds of a store, in bytes.
type Bounds struct {
	One int64 // largest file; required
	All int64 // all files together; 0: as much as the disk takes
}

// Store is a folder of files.
type Store struct {
	dir    string
	bounds Bounds

	mu   sync.Mutex // held while a file comes or goes
	used int64
}

const (
	partial   = ".part" // being written; left over by a crash
	tombstone = ".gone"
)

// Open opens a store, and makes its folder. What a crash has left half-written
// is removed.
func Open(dir string, b Bounds) (*Store, error) {
	if b.One <= 0 {
		return nil, errors.New("open blob store: the size of a file is not bounded")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	s := &Store{dir: dir, bounds: b}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		case strings.HasSuffix(name, partial):
			return os.Remove(name)
		case strings.HasSuffix(name, tombstone):
			return nil
		}
		info, err := d.Info()
		if err == nil {
			s.used += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return s, nil
}

// Digest is the name of content: its SHA-256 in lower-case hex.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// path is where a digest is kept. It refuses what is no digest: nothing else
// becomes part of a path.
func (s *Store) path(digest string) (string, error) {
	if len(digest) != 2*sha256.Size || strings.Trim(digest, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is no SHA-256 in lower-case hex: %w", digest[:min(len(digest), 64)], ErrNotFound)
	}
	return filepath.Join(s.dir, digest[:2], digest), nil
}

// Put keeps content and returns its digest. Content that is there already is
// checked and left alone.
func (s *Store) Put(content []byte) (digest string, err error) {
	if int64(len(content)) > s.bounds.One {
		return "", fmt.Errorf("keep file: %d bytes, at most %d: %w", len(content), s.bounds.One, ErrTooLarge)
	}
	digest = Digest(content)
	name, err := s.path(digest)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := os.ReadFile(name)
	switch {
	case err == nil && bytes.Equal(old, content):
		return digest, nil
	case err == nil: // damaged: the right content mends it
		s.used -= int64(len(old))
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("keep file: %w", err)
	}
	if s.bounds.All > 0 && s.used+int64(len(content)) > s.bounds.All {
		return "", fmt.Errorf("keep file: %d bytes are used of %d: %w", s.used, s.bounds.All, ErrFull)
	}
	if err := s.write(name, content); err != nil {
		return "", fmt.Errorf("keep file: %w", err)
	}
	s.used += int64(len(content))
	if err := os.Remove(name + tombstone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("keep file: %w", err)
	}
	return digest, nil
}

// write puts a file in its place, durably.
func (s *Store) write(name string, content []byte) (err error) {
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "*"+partial)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(folder)
}

// Get returns the content of a digest, checked.
func (s *Store) Get(digest string) ([]byte, error) {
	name, err := s.path(digest)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(name + tombstone); err == nil {
			return nil, fmt.Errorf("read file %s: %w", digest, ErrGone)
		}
		return nil, fmt.Errorf("read file %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > s.bounds.One {
		return nil, fmt.Errorf("read file %s: %w", digest, ErrDamaged)
	}
	content := make([]byte, info.Size())
	if _, err := f.ReadAt(content, 0); err != nil && len(content) > 0 {
		return nil, fmt.Errorf("read file %s: %w", digest, err)
	}
	if Digest(content) != digest {
		return nil, fmt.Errorf("read file %s: %w", digest, ErrDamaged)
	}
	return content, nil
}

// Stat is the size of what is kept under a digest, unread.
func (s *Store) Stat(digest string) (size int64, err error) {
	name, err := s.path(digest)
	if err != nil {
		return 0, fmt.Errorf("look for file: %w", err)
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("look for file %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("look for file: %w", err)
	}
	return info.Size(), nil
}

// Delete removes a file and leaves a tombstone, which says when. Deleting what
// is gone already is no error.
func (s *Store) Delete(digest string, now time.Time) error {
	name, err := s.path(digest)
	if err != nil {
		return fmt.Errorf("remove file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(name + tombstone); err == nil {
			return nil
		}
		return fmt.Errorf("remove file %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("remove file: %w", err)
	}
	// The tombstone first: a crash in between leaves the file, and Get finds it;
	// the other way round it would look as if it had never been there.
	if err := s.write(name+tombstone, []byte(now.UTC().Format(time.RFC3339)+"\n")); err != nil {
		return fmt.Errorf("remove file: %w", err)
	}
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("remove file: %w", err)
	}
	s.used -= info.Size()
	if err := syncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("remove file: %w", err)
	}
	return nil
}

// Sweep removes files that were kept before a time and that nobody names: what a
// crash left between a file and the record that would have named it. It leaves no
// tombstones, as nobody knows of them, and returns how many it removed.
func (s *Store) Sweep(before time.Time, named func(digest string) bool) (removed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		digest := filepath.Base(name)
		if own, err := s.path(digest); err != nil || own != name || named(digest) {
			return nil // not a file of this store, or somebody needs it
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(before) {
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		s.used -= info.Size()
		removed++
		return syncDir(filepath.Dir(name))
	})
	if err != nil {
		return removed, fmt.Errorf("sweep files: %w", err)
	}
	return removed, nil
}

// Used is how many bytes are kept.
func (s *Store) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
