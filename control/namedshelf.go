package control

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	named "andon/list"
	"andon/order"
)

// shelf keeps the content of named lists, each version under its digest:
//
//	DIGEST           the chunks, one after the other
//	DIGEST.manifest  their hashes, of which the digest is the hash
//
// Both are durable before the ledger names them, and removed once it does not
// any more. What a crash leaves behind is removed at the next start. The disk is
// not trusted: every chunk is looked at before it is given away.
type shelf struct {
	dir  string        // "": there is no shelf
	turn chan struct{} // held by the one command that changes lists

	mu      sync.RWMutex
	volumes map[order.Hash]*volume
}

// volume is one version of a list.
type volume struct {
	encoded  []byte // the manifest
	manifest named.Manifest
	offsets  []int64
	lost     error // why it can not be read
}

const (
	manifestSuffix = ".manifest"
	partSuffix     = ".part"
)

func newShelf(dir string) *shelf {
	return &shelf{dir: dir, turn: make(chan struct{}, 1), volumes: map[order.Hash]*volume{}}
}

func (s *shelf) path(digest order.Hash) string { return filepath.Join(s.dir, digest.String()) }

// open takes up what is kept of lists, and removes all else. The error is for a
// folder that can not be used.
func (s *shelf) open(lists []order.ListRef) error {
	if s.dir == "" {
		for _, l := range lists {
			s.volumes[l.Digest] = &volume{lost: errors.New("no folder for lists is configured")}
		}
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("open lists: %w", err)
	}
	for _, l := range lists {
		s.volumes[l.Digest] = s.load(l)
	}
	return s.clear(lists)
}

// load reads a manifest, and looks whether its content is there.
func (s *shelf) load(l order.ListRef) *volume {
	data, err := os.ReadFile(s.path(l.Digest) + manifestSuffix)
	if err != nil {
		return &volume{lost: err}
	}
	m, err := named.ParseManifest(data, named.Digest(l.Digest))
	if err != nil {
		return &volume{lost: err}
	}
	v := newVolume(m)
	info, err := os.Stat(s.path(l.Digest))
	if err == nil && info.Size() != m.Size() {
		err = fmt.Errorf("%d bytes, not %d", info.Size(), m.Size())
	}
	v.lost = err
	return v
}

func newVolume(m named.Manifest) *volume {
	v := &volume{encoded: m.Encode(), manifest: m}
	at := int64(0)
	for _, c := range m {
		v.offsets = append(v.offsets, at)
		at += int64(c.Size)
	}
	return v
}

// clear removes what none of the lists is. Whoever changes lists holds turn.
func (s *shelf) clear(lists []order.ListRef) error {
	if s.dir == "" {
		return nil
	}
	keep := map[string]bool{}
	for _, l := range lists {
		keep[l.Digest.String()] = true
	}
	s.mu.Lock()
	for d := range s.volumes {
		if !keep[d.String()] {
			delete(s.volumes, d)
		}
	}
	s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("clear lists: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !keep[strings.TrimSuffix(e.Name(), manifestSuffix)] {
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// put makes a set durable, and says what an order calls it, but for its name.
func (s *shelf) put(set *named.Set) (order.ListRef, error) {
	v := newVolume(set.Manifest())
	digest := order.Hash(v.manifest.Digest())
	if s.dir == "" {
		return order.ListRef{}, errors.New("keep list: no folder for lists is configured")
	}
	err := s.write(digest.String(), func(w io.Writer) error {
		_, err := set.WriteTo(w)
		return err
	})
	if err == nil {
		err = s.write(digest.String()+manifestSuffix, func(w io.Writer) error {
			_, err := w.Write(v.encoded)
			return err
		})
	}
	if err != nil {
		return order.ListRef{}, fmt.Errorf("keep list: %w", err)
	}
	s.mu.Lock()
	s.volumes[digest] = v
	s.mu.Unlock()
	return order.ListRef{Dimension: set.Dimension(), Digest: digest, Entries: int64(set.Len()), Bytes: v.manifest.Size()}, nil
}

// write makes a file, durably, or leaves nothing of that name.
func (s *shelf) write(name string, content func(io.Writer) error) error {
	path := filepath.Join(s.dir, name)
	f, err := os.OpenFile(path+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 256<<10)
	err = content(b)
	if err = errors.Join(err, b.Flush(), f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+partSuffix, path)
	}
	if err != nil {
		os.Remove(path + partSuffix)
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lost says why a list's content can not be read; nil if it can, as far as is
// known.
func (s *shelf) lost(digest order.Hash) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := s.volumes[digest]
	if v == nil {
		return fs.ErrNotExist
	}
	return v.lost
}

// answer is what a gateway gets that asks for a part of a list. err is set when
// this finds that the content is lost.
func (s *shelf) answer(q order.ListRequest) (data []byte, err error) {
	s.mu.RLock()
	v := s.volumes[q.Digest]
	s.mu.RUnlock()
	switch {
	case v == nil, q.Chunk < 0 || v.lost == nil && q.Chunk > len(v.manifest):
		return []byte{byte(order.ListUnknown)}, nil
	case v.lost != nil:
		return []byte{byte(order.ListLost)}, nil
	case q.Chunk == 0:
		return append([]byte{byte(order.ListPart)}, v.encoded...), nil
	}
	c := v.manifest[q.Chunk-1]
	data = make([]byte, 1+c.Size)
	data[0] = byte(order.ListPart)
	f, err := os.Open(s.path(q.Digest))
	if err == nil {
		_, err = f.ReadAt(data[1:], v.offsets[q.Chunk-1])
		f.Close()
	}
	if err == nil && sha256.Sum256(data[1:]) != c.Hash {
		err = fmt.Errorf("chunk %d is damaged", q.Chunk)
	}
	if err == nil {
		return data, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.volumes[q.Digest] != v { // removed while it was read
		return []byte{byte(order.ListUnknown)}, nil
	}
	s.volumes[q.Digest] = &volume{lost: err}
	return []byte{byte(order.ListLost)}, err
}

// set reads a list's content whole.
func (s *shelf) set(digest order.Hash) (*named.Set, error) {
	if err := s.lost(digest); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	set, err := named.Decode(f)
	if err == nil && order.Hash(set.Manifest().Digest()) != digest {
		err = errors.New("its content is not what its digest says")
	}
	if err != nil {
		return nil, err
	}
	return set, nil
}
