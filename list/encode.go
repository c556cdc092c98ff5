package list

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sort"
)

// MaxChunkBytes is the most that one chunk has.
const MaxChunkBytes = 512 << 10

// magic begins an encoded set: what it is, and the version of its form.
const magic = "andonls1"

// headerBytes: magic, dimension, key, number of hashes, prefix lengths. It is
// the first chunk.
const headerBytes = len(magic) + 1 + 16 + 8 + 8 + 24

// Digest names one version of a list: the SHA-256 of its manifest.
type Digest [sha256.Size]byte

// String returns the digest as 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads exactly 64 lower-case hex digits.
func ParseDigest(s string) (d Digest, err error) {
	if n, err := hex.Decode(d[:], []byte(s[:min(len(s), 2*len(d))])); err != nil || n != len(d) || d.String() != s {
		return Digest{}, errors.New("a list's digest is 64 lower-case hex digits")
	}
	return d, nil
}

// Chunk is one part of an encoded set.
type Chunk struct {
	Hash [sha256.Size]byte // SHA-256
	Size int
}

// Manifest lists a set's chunks, in their order.
type Manifest []Chunk

// Encode is the one form of a manifest, which its digest is of: each chunk's hash
// and its size in four bytes, big-endian.
func (m Manifest) Encode() []byte {
	out := make([]byte, 0, len(m)*(sha256.Size+4))
	for _, c := range m {
		out = append(out, c.Hash[:]...)
		out = binary.BigEndian.AppendUint32(out, uint32(c.Size))
	}
	return out
}

// Digest names the version of the list.
func (m Manifest) Digest() Digest { return sha256.Sum256(m.Encode()) }

// Size is the sum of the chunks' sizes.
func (m Manifest) Size() (n int64) {
	for _, c := range m {
		n += int64(c.Size)
	}
	return n
}

// ParseManifest reads the manifest of a digest, and nothing else.
func ParseManifest(data []byte, want Digest) (Manifest, error) {
	if sha256.Sum256(data) != want {
		return nil, errors.New("read manifest: its hash is not the digest")
	}
	const each = sha256.Size + 4
	if len(data)%each != 0 {
		return nil, fmt.Errorf("read manifest: %d bytes are no whole number of chunks", len(data))
	}
	m := make(Manifest, len(data)/each)
	for i := range m {
		c := data[i*each:]
		copy(m[i].Hash[:], c)
		if m[i].Size = int(binary.BigEndian.Uint32(c[sha256.Size:])); m[i].Size > MaxChunkBytes {
			return nil, fmt.Errorf("read manifest: chunk %d has %d bytes; at most %d", i, m[i].Size, MaxChunkBytes)
		}
	}
	return m, nil
}

// chunkBits says by how many first bits hashes are cut into chunks: such that
// a chunk has a quarter to a half of what it may have.
func (s *Set) chunkBits() int { return max(0, bits.Len(uint(len(s.hashes)-1)/(MaxChunkBytes/16))) }

// cut is where the hashes of chunk i+1 begin and end.
func (s *Set) cut(i int) (from, to int) {
	b := s.chunkBits()
	at := func(i int) int {
		return sort.Search(len(s.hashes), func(n int) bool { return int(s.hashes[n]>>1>>(63-b)) >= i })
	}
	return at(i), at(i + 1)
}

// chunks calls f with each chunk, which is f's until it returns.
func (s *Set) chunks(f func([]byte) error) error {
	if err := f(s.header.encode(len(s.hashes))); err != nil {
		return err
	}
	buf := make([]byte, 0, MaxChunkBytes)
	for i := range 1 << s.chunkBits() {
		from, to := s.cut(i)
		buf = buf[:0]
		for _, h := range s.hashes[from:to] {
			buf = binary.BigEndian.AppendUint64(buf, h)
		}
		if err := f(buf); err != nil {
			return err
		}
	}
	return nil
}

// Manifest hashes the set's chunks: all of it, each time it is called.
func (s *Set) Manifest() Manifest {
	var m Manifest
	s.chunks(func(b []byte) error {
		m = append(m, Chunk{sha256.Sum256(b), len(b)})
		return nil
	})
	return m
}

// WriteTo writes the set's chunks, one after the other.
func (s *Set) WriteTo(w io.Writer) (n int64, err error) {
	err = s.chunks(func(b []byte) error {
		k, err := w.Write(b)
		n += int64(k)
		return err
	})
	return n, err
}

func (h *header) encode(entries int) []byte {
	b := append(make([]byte, 0, headerBytes), magic...)
	b = append(b, h.dimension)
	for _, n := range [...]uint64{h.key[0], h.key[1], uint64(entries), h.v4, h.v6[0], h.v6[1], h.v6[2]} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// ErrMalformed means that something is not an encoded set, or not a whole one.
var ErrMalformed = errors.New("malformed list")

// Decode reads what [Set.WriteTo] wrote, to the end of r. It takes nothing that
// WriteTo could not have written; the digest of its manifest says whether it is
// what it should be.
func Decode(r io.Reader) (*Set, error) {
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, broken(err, "its head is cut off")
	}
	if !bytes.HasPrefix(head, []byte(magic)) {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrMalformed, magic)
	}
	s := &Set{header: header{dimension: head[len(magic)]}}
	word := func(i int) uint64 { return binary.BigEndian.Uint64(head[len(magic)+1+8*i:]) }
	n := word(2)
	s.key, s.v4, s.v6 = [2]uint64{word(0), word(1)}, word(3), [3]uint64{word(4), word(5), word(6)}
	switch {
	case s.dimension == 0 || int(s.dimension) >= len(dimensions):
		return nil, fmt.Errorf("%w: dimension %d is none", ErrMalformed, s.dimension)
	case n == 0 || n > MaxEntries:
		return nil, fmt.Errorf("%w: %d entries", ErrMalformed, n)
	case s.v4 >= 1<<33 || s.v6[2] > 1, (s.dimension == ips) != (s.v4|s.v6[0]|s.v6[1]|s.v6[2] != 0):
		return nil, fmt.Errorf("%w: its prefix lengths are none", ErrMalformed)
	}
	at, err := s.read(r, int(n))
	if err != nil {
		return nil, err
	}
	if err := s.seam(at); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}

// read takes n hashes and fills the directory as far as the entry that it
// returns. It asks for memory as they come, not as they are promised; and it does
// a little after each read and nothing at the end, so that r sets the pace.
func (s *Set) read(r io.Reader, n int) (at int, err error) {
	const trusted = 1 << 13
	s.hashes = make([]uint64, 0, min(n, trusted))
	if n <= trusted {
		s.room(n)
	}
	buf := make([]byte, min(n, bufferBytes/8)*8)
	for len(s.hashes) < n {
		part := buf[:min(len(buf), (n-len(s.hashes))*8)]
		if _, err := io.ReadFull(r, part); err != nil {
			return 0, broken(err, "it is cut off")
		}
		if len(s.hashes)+len(part)/8 > cap(s.hashes) {
			s.hashes = append(make([]uint64, 0, n), s.hashes...)
			s.room(n)
			at = s.fill(0, 0)
		}
		from := len(s.hashes)
		for ; len(part) > 0; part = part[8:] {
			h := binary.BigEndian.Uint64(part)
			if k := len(s.hashes); k > 0 && s.hashes[k-1] >= h {
				return 0, fmt.Errorf("%w: its hashes are out of order", ErrMalformed)
			}
			s.hashes = append(s.hashes, h)
		}
		if s.starts != nil {
			at = s.fill(at, from)
		}
	}
	switch k, err := io.ReadFull(r, buf[:1]); {
	case k > 0:
		return 0, fmt.Errorf("%w: something follows its end", ErrMalformed)
	case err != io.EOF:
		return 0, fmt.Errorf("read list: %w", err)
	}
	return at, nil
}

// broken tells an end that comes too early from a reader that fails.
func broken(err error, what string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	return fmt.Errorf("read list: %w", err)
}
