package list

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"andon/correction"
)

// LineError says which line of a list can not be taken.
type LineError struct {
	Line   int // from 1
	Detail string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// ErrEmpty means that a list would have no entry. Put in the place of another it
// would let everybody go, and nothing loosens by accident.
var ErrEmpty = errors.New("the list has no entry")

// ErrLong means that a list would have more than [MaxEntries].
var ErrLong = fmt.Errorf("the list has more than %d entries", MaxEntries)

// progressEvery is how many entries lie between two calls of progress.
const progressEvery = 1 << 16

const bufferBytes = 64 << 10

// Build reads a list: one entry a line, spaces around it left out, empty lines
// and those that begin with "#" skipped. A line that is no entry of the dimension
// ends it with a [LineError]. progress is called now and then with the number of
// entries read so far; it may be nil.
func Build(dimension string, r io.Reader, progress func(entries int)) (*Set, error) {
	s, err := newSet(dimension)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(r, bufferBytes)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, &LineError{n, fmt.Sprintf("it has more than %d bytes", bufferBytes)}
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read list, line %d: %w", n, err)
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			h, err := s.hash(string(line))
			if err != nil {
				return nil, &LineError{n, err.Error()}
			}
			s.hashes = append(s.hashes, h)
			if f, ok := s.folded(string(line)); ok {
				s.hashes = append(s.hashes, sum(s.key, f))
			}
			if len(s.hashes) > MaxEntries {
				return nil, ErrLong
			}
			if progress != nil && len(s.hashes)%progressEvery == 0 {
				progress(len(s.hashes))
			}
		}
		if err == io.EOF {
			break
		}
	}
	if progress != nil {
		progress(len(s.hashes))
	}
	return s.seal()
}

func newSet(dimension string) (*Set, error) {
	d := slices.Index(dimensions, dimension)
	if d < 1 {
		return nil, fmt.Errorf("a list of %.40q: allowed are %q", dimension, dimensions[1:])
	}
	s := &Set{header: header{dimension: uint8(d)}}
	var key [16]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	s.key = [2]uint64{binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])}
	return s, nil
}

// seal sorts the hashes and makes the set whole.
func (s *Set) seal() (*Set, error) {
	if len(s.hashes) == 0 {
		return nil, ErrEmpty
	}
	slices.Sort(s.hashes)
	s.hashes = slices.Compact(s.hashes)
	if len(s.hashes) < cap(s.hashes) {
		s.hashes = append(make([]uint64, 0, len(s.hashes)), s.hashes...)
	}
	return s, s.index()
}

// Add returns a set with entries added, and how many of them are new. s stays as
// it is.
func (s *Set) Add(entries ...string) (*Set, int, error) { return s.change(entries, nil) }

// Remove returns a set with entries removed, and how many of them were there. s
// stays as it is.
func (s *Set) Remove(entries ...string) (*Set, int, error) { return s.change(nil, entries) }

func (s *Set) change(add, remove []string) (*Set, int, error) {
	next := &Set{header: s.header}
	var come, go_ []uint64
	for i, e := range add {
		h, err := next.hash(e)
		if err != nil {
			return nil, 0, &LineError{i + 1, err.Error()}
		}
		if !s.find(h) {
			come = append(come, h)
		}
		if f, ok := s.folded(e); ok && !s.find(sum(s.key, f)) {
			come = append(come, sum(s.key, f))
		}
	}
	lengths := next.header
	for i, e := range remove {
		h, err := next.hash(e)
		if err != nil {
			return nil, 0, &LineError{i + 1, err.Error()}
		}
		if s.find(h) {
			go_ = append(go_, h)
		}
	}
	next.header = lengths // what is removed adds no length
	slices.Sort(come)
	slices.Sort(go_)
	come, go_ = slices.Compact(come), slices.Compact(go_)
	if len(s.hashes)+len(come) > MaxEntries {
		return nil, 0, ErrLong
	}
	next.hashes = make([]uint64, 0, len(s.hashes)+len(come)-len(go_))
	old := s.hashes
	for _, h := range come {
		i, _ := slices.BinarySearch(old, h)
		next.hashes = append(append(next.hashes, old[:i]...), h)
		old = old[i:]
	}
	for _, h := range go_ {
		i, _ := slices.BinarySearch(old, h)
		next.hashes = append(next.hashes, old[:i]...)
		old = old[i+1:]
	}
	next.hashes = append(next.hashes, old...)
	if len(next.hashes) == 0 {
		return nil, 0, ErrEmpty
	}
	return next, len(come) + len(go_), next.index()
}

// folded is the form by which another spelling of a user is recognised
// (correction.FoldUser), where the entry is not in it already. It is an entry of
// its own.
func (s *Set) folded(entry string) (string, bool) {
	if dimensions[s.dimension] != "users" {
		return "", false
	}
	f := correction.FoldUser(entry)
	return f, f != entry && f != ""
}
