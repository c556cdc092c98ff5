// Package list holds named lists: millions of users, orgs, keys, addresses,
// attributes or tiers that a correction's scope names instead of spelling out.
//
// A [Set] is one version of a list. It keeps no entry, but a sorted 64-bit hash
// of each, under a random key that belongs to this version: about 9 bytes an
// entry, so that a caller who does not know the key can not make a value that is
// taken for another. A set is asked without a lock and without allocating, and
// is never changed once it is made.
//
// What this package promises: a set says yes to every entry that it was built
// from. To a value that it was not built from it says yes with a probability
// of its length over 2^64, which is one in a million million for the longest
// list. What is encoded has one form and one [Digest], and [Decode] takes nothing
// else: not a byte more, less or other.
//
// A set travels as chunks of at most [MaxChunkBytes], which a [Manifest] lists by
// hash. They are cut by value and not by position: an entry that is added changes
// the first chunk, which counts, and one other.
package list

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a list.
const (
	MaxEntries    = 20_000_000
	MaxEntryBytes = 512
)

// dimensions are what a list can hold, by the number that they are encoded as.
var dimensions = []string{"", "users", "orgs", "keys", "ips", "attributes", "tiers"}

// Dimensions are the dimensions of a scope whose values a list can hold.
func Dimensions() []string { return slices.Clone(dimensions[1:]) }

const ips = 4

// Set is one version of a list. It implements correction.List.
type Set struct {
	header
	hashes []uint64 // ascending, each once
	starts []uint32 // where the hashes with these first bits begin, and the end
}

// header is what a set is besides its hashes.
type header struct {
	dimension uint8
	key       [2]uint64
	v4        uint64    // bit n: a prefix of n bits is listed
	v6        [3]uint64 // likewise, 0 to 128
}

// Dimension is what the list holds: "users", "orgs", "keys", "ips",
// "attributes" or "tiers".
func (s *Set) Dimension() string { return dimensions[s.dimension] }

// Len is the number of entries. What was given twice counts once.
func (s *Set) Len() int { return len(s.hashes) }

// Bytes is the memory that the set takes.
func (s *Set) Bytes() int64 { return int64(len(s.hashes))*8 + int64(len(s.starts))*4 }

// Has says whether a value is listed. The empty text never is.
func (s *Set) Has(value string) bool {
	return value != "" && len(value) <= MaxEntryBytes && s.dimension != ips && s.find(sum(s.key, value))
}

// HasAddr says whether an address, or a prefix around it, is listed in a list of
// ips.
func (s *Set) HasAddr(a netip.Addr) bool {
	if s.dimension != ips {
		return false
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return s.covered(a, s.v4, 0)
	}
	return a.IsValid() && (s.covered(a, s.v6[0], 0) || s.covered(a, s.v6[1], 64) || s.covered(a, s.v6[2], 128))
}

// covered tries the prefix lengths of one word, whose first bit stands for from.
func (s *Set) covered(a netip.Addr, lengths uint64, from int) bool {
	for ; lengths != 0; lengths &= lengths - 1 {
		p, err := a.Prefix(from + bits.TrailingZeros64(lengths))
		if err == nil && s.find(s.sumPrefix(p)) {
			return true
		}
	}
	return false
}

// sumPrefix hashes a masked prefix: its length, apart for IPv4, and its address.
func (s *Set) sumPrefix(p netip.Prefix) uint64 {
	var b [17]byte
	b[0] = byte(p.Bits())
	if p.Addr().Is4() {
		b[0] += 129
	}
	a := p.Addr().As16()
	copy(b[1:], a[:])
	return sum(s.key, string(b[:])) // stays on the stack
}

// find looks up a hash: the first bits lead to a handful of hashes.
func (s *Set) find(h uint64) bool {
	i := h >> (65 - bits.Len(uint(len(s.starts)-1))) // starts has 2^n + 1
	for _, have := range s.hashes[s.starts[i]:s.starts[i+1]] {
		if have >= h {
			return have == h
		}
	}
	return false
}

// errChance can not happen to hashes under a random key.
var errChance = errors.New("the hashes are not spread as hashes are")

// index makes the directory. The hashes are ascending and at least one.
func (s *Set) index() error {
	s.room(len(s.hashes))
	return s.seam(s.fill(0, 0))
}

// room makes room for the directory of n hashes: four to eight an entry.
func (s *Set) room(n int) { s.starts = make([]uint32, 1<<max(0, bits.Len(uint(n))-3)+1) }

// fill notes in the directory where the hashes from the given one on stand; at
// is the first entry that is not known yet, and so is what it returns.
func (s *Set) fill(at, from int) int {
	shift := 64 - bits.Len(uint(len(s.starts)-1))
	for i := from; i < len(s.hashes); i++ {
		for first := int(s.hashes[i] >> 1 >> shift); at <= first; at++ {
			s.starts[at] = uint32(i)
		}
	}
	return at
}

// seam ends the directory, whose entries before at are known, and looks at how
// the hashes are spread.
func (s *Set) seam(at int) error {
	for ; at < len(s.starts); at++ {
		s.starts[at] = uint32(len(s.hashes))
	}
	for i := range 1 << s.chunkBits() {
		if from, to := s.cut(i); to-from > MaxChunkBytes/8 {
			return errChance
		}
	}
	return nil
}

// hash reads an entry and hashes it, noting the length of a prefix.
func (s *Set) hash(entry string) (uint64, error) {
	if err := checkText(entry); err != nil {
		return 0, err
	}
	switch dimensions[s.dimension] {
	case "ips":
		p, err := parsePrefix(entry)
		if err != nil {
			return 0, err
		}
		if n := p.Bits(); p.Addr().Is4() {
			s.v4 |= 1 << n
		} else {
			s.v6[n/64] |= 1 << (n % 64)
		}
		return s.sumPrefix(p), nil
	case "attributes":
		if name, value, _ := strings.Cut(entry, "="); name == "" || value == "" {
			return 0, fmt.Errorf("%.40q is not of the form name=value", entry)
		}
	}
	return sum(s.key, entry), nil
}

func checkText(entry string) error {
	switch {
	case entry == "":
		return errors.New("it is empty")
	case len(entry) > MaxEntryBytes:
		return fmt.Errorf("it has %d bytes; at most %d", len(entry), MaxEntryBytes)
	case !utf8.ValidString(entry):
		return errors.New("it is not valid UTF-8; a list is plain text with one entry a line")
	case strings.ContainsFunc(entry, unicode.IsControl):
		return fmt.Errorf("%.40q has a control character; a list is plain text with one entry a line", entry)
	}
	return nil
}

// parsePrefix reads an address or a prefix in the form that corrections compare:
// masked, without zone, and IPv4 where it is IPv4-mapped.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, notAddr := netip.ParseAddr(s); notAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return p, fmt.Errorf("%.60q is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%.60q covers more than IPv4-mapped addresses; write the IPv4 and IPv6 prefixes apart", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
