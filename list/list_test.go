package list

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"andon/correction"
)

var _ correction.List = (*Set)(nil)

func build(t testing.TB, dimension string, entries ...string) *Set {
	t.Helper()
	s, err := Build(dimension, strings.NewReader(strings.Join(entries, "\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The vectors of the paper's reference code: key 00 01 … 0f, text 00 01 ….
func TestSumIsSipHash(t *testing.T) {
	key := [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	text := make([]byte, 64)
	for i := range text {
		text[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 2: 0x0d6c8009d9a94f5a, 3: 0x85676696d7fb7e2d, 4: 0xcf2794e0277187b7, 15: 0xa129ca6149be45e5,
	} {
		if got := sum(key, string(text[:n])); got != want {
			t.Errorf("%d bytes: %x, not %x", n, got, want)
		}
	}
}

func TestBuildReadsLines(t *testing.T) {
	in := "\ufeff# people\r\n\r\n  alice \r\nbob\n\n#carol\nalice\n\tdörte\u00a0x\nlast"
	var seen int
	s, err := Build("users", iotest.OneByteReader(strings.NewReader(in)), func(n int) { seen = n })
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 5 || seen != 6 || // one name is listed in its folded form, too
		s.Dimension() != "users" {
		t.Errorf("%d entries of %d in %s", s.Len(), seen, s.Dimension())
	}
	for v, want := range map[string]bool{"alice": true, "bob": true, "dörte\u00a0x": true, "dörte x": true, "last": true, "carol": false, "#carol": false, "": false, " alice": false, "Alice": false, "# people": false} {
		if s.Has(v) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
	if s.HasAddr(netip.MustParseAddr("192.0.2.1")) || s.HasAddr(netip.Addr{}) {
		t.Error("a list of users knows an address")
	}
}

func TestBuildNamesTheLine(t *testing.T) {
	for name, tc := range map[string]struct {
		dimension, in string
		line          int
		says          string
	}{
		"long":          {"users", "a\n" + strings.Repeat("x", MaxEntryBytes+1), 2, "at most 512"},
		"endless":       {"users", "a\n\n" + strings.Repeat("x", bufferBytes+1), 3, "65536"},
		"not UTF-8":     {"keys", "k-1\n\xff\n", 2, "UTF-8"},
		"a file format": {"users", "a\x00b", 1, "control"},
		"a table":       {"users", "a\nb\tc", 2, "control"},
		"address":       {"ips", "192.0.2.1\n192.0.2.300", 2, "192.0.2.0/24"},
		"zone":          {"ips", "fe80::1%eth0", 1, "not an address"},
		"prefix":        {"ips", "# x\n192.0.2.0/33", 2, "not an address"},
		"mapped":        {"ips", "::ffff:0:0/95", 1, "apart"},
		"attribute":     {"attributes", "plan=free\nplan=", 2, "name=value"},
		"no name":       {"attributes", "=free", 1, "name=value"},
	} {
		_, err := Build(tc.dimension, strings.NewReader(tc.in), nil)
		var at *LineError
		if !errors.As(err, &at) || at.Line != tc.line || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Build("users", strings.NewReader("\n# nobody\n"), nil); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := Build("models", strings.NewReader("a"), nil); err == nil || !strings.Contains(err.Error(), "tiers") {
		t.Error(err)
	}
	if _, err := Build("users", io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(io.ErrUnexpectedEOF)), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("half a list was taken:", err)
	}
}

func TestAddresses(t *testing.T) {
	s := build(t, "ips", "192.0.2.7", "198.51.100.0/24", "::ffff:203.0.113.9", "::ffff:10.0.0.0/104", "2001:db8::1", "2001:db8:1::99/48", "fe80::/64", "ff00::/128")
	for addr, want := range map[string]bool{
		"192.0.2.7": true, "::ffff:192.0.2.7": true, "192.0.2.8": false,
		"198.51.100.255": true, "198.51.101.0": false,
		"203.0.113.9": true, "10.255.0.1": true, "11.0.0.0": false,
		"2001:db8::1": true, "2001:db8::1%eth0": true, "2001:db8::2": false,
		"2001:db8:1:ffff::": true, "2001:db8:2::": false,
		"fe80::1": true, "fe80:0:0:1::": false, "ff00::": true, "ff00::1": false,
		"::c000:207": false, // the digits of 192.0.2.7, but IPv6
	} {
		if s.HasAddr(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %v", addr, !want)
		}
	}
	if s.HasAddr(netip.Addr{}) || s.Has("192.0.2.7") {
		t.Error("an unknown address, or a text, is listed")
	}
	all := build(t, "ips", "0.0.0.0/0")
	if !all.HasAddr(netip.MustParseAddr("192.0.2.7")) || all.HasAddr(netip.MustParseAddr("::1")) {
		t.Error("0.0.0.0/0 is all of IPv4 and nothing else")
	}
}

// A set says of every value what a map says, however it came about.
func TestSetAgainstAMap(t *testing.T) {
	value := rapid.StringMatching(`[a-c]{1,3}|u-[0-9]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(value, 1, 400).Draw(t, "entries")
		s, err := Build("users", strings.NewReader(strings.Join(entries, "\n")), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, e := range entries {
			want[e] = true
		}
		check := func(s *Set) {
			if s.Len() != len(want) {
				t.Fatalf("%d entries, not %d", s.Len(), len(want))
			}
			for _, v := range append(rapid.SliceOf(value).Draw(t, "asked"), entries...) {
				if s.Has(v) != want[v] {
					t.Fatalf("%q: %v", v, !want[v])
				}
			}
		}
		check(s)
		check(again(t, s))
		more := rapid.SliceOfN(value, 0, 30).Draw(t, "more")
		fresh := map[string]bool{}
		for _, e := range more {
			if !want[e] {
				fresh[e], want[e] = true, true
			}
		}
		s, n, err := s.Add(more...)
		if err != nil || n != len(fresh) {
			t.Fatalf("%d added, not %d: %v", n, len(fresh), err)
		}
		check(s)
		less := rapid.SliceOfN(value, 0, 30).Draw(t, "less")
		left := map[string]bool{}
		for _, e := range less {
			if want[e] {
				left[e] = true
				delete(want, e)
			}
		}
		next, n, err := s.Remove(less...)
		if len(want) == 0 {
			if !errors.Is(err, ErrEmpty) {
				t.Fatal(err)
			}
			return
		}
		if err != nil || n != len(left) {
			t.Fatalf("%d removed, not %d: %v", n, len(left), err)
		}
		check(next)
		check(again(t, next))
	})
}

// A list of prefixes says of every address what netip says of each prefix.
func TestPrefixesAgainstNetip(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		low := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "low")
		if rapid.Bool().Draw(t, "v4") {
			return netip.AddrFrom4([4]byte{192, 0, low[0] & 3, low[1]})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 12: low[0] & 3, 15: low[1]})
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []netip.Prefix
		var text []string
		for _, a := range rapid.SliceOfN(addr, 1, 40).Draw(t, "listed") {
			p := netip.PrefixFrom(a, rapid.IntRange(max(0, a.BitLen()-40), a.BitLen()).Draw(t, "bits"))
			list, text = append(list, p.Masked()), append(text, p.String())
		}
		s, err := Build("ips", strings.NewReader(strings.Join(text, "\n")), nil)
		if err != nil {
			t.Fatal(err)
		}
		s = again(t, s)
		for _, a := range rapid.SliceOfN(addr, 1, 40).Draw(t, "asked") {
			want := slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
			if s.HasAddr(a) != want {
				t.Fatalf("%s in %v: %v", a, list, !want)
			}
		}
	})
}

type fataler interface {
	Helper()
	Fatal(...any)
}

// again is the set after a journey.
func again(t fataler, s *Set) *Set {
	t.Helper()
	var b bytes.Buffer
	if n, err := s.WriteTo(&b); err != nil || n != int64(b.Len()) || n != s.Manifest().Size() {
		t.Fatal("wrote", n, b.Len(), err)
	}
	out, err := Decode(iotest.HalfReader(bytes.NewReader(b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	if out.Manifest().Digest() != s.Manifest().Digest() || out.header != s.header || !slices.Equal(out.hashes, s.hashes) {
		t.Fatal("another set came out")
	}
	return out
}

func numbered(n int) *strings.Reader {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "user-%d\n", i)
	}
	return strings.NewReader(b.String())
}

// An entry that is added leaves all chunks but two as they are.
func TestAddedEntryChangesTwoChunks(t *testing.T) {
	s, err := Build("users", numbered(300_000), nil)
	if err != nil {
		t.Fatal(err)
	}
	next, n, err := s.Add("one more")
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	a, b := s.Manifest(), next.Manifest()
	if len(a) != len(b) || len(a) < 10 {
		t.Fatalf("%d chunks, then %d", len(a), len(b))
	}
	changed := 0
	for i := range a {
		if a[i] != b[i] {
			changed++
		}
		if a[i].Size > MaxChunkBytes {
			t.Errorf("chunk %d has %d bytes", i, a[i].Size)
		}
	}
	if changed != 2 {
		t.Errorf("%d chunks changed", changed)
	}
	if per := float64(s.Bytes()) / float64(s.Len()); per > 9 {
		t.Errorf("%.1f bytes an entry", per)
	}
}

// Two versions of the same entries share nothing that an attacker could learn.
func TestEachVersionHasAKeyOfItsOwn(t *testing.T) {
	a, b := build(t, "users", "alice"), build(t, "users", "alice")
	if a.key == b.key || a.hashes[0] == b.hashes[0] || a.Manifest().Digest() == b.Manifest().Digest() {
		t.Error("two versions have one key")
	}
}

func TestManifestIsReadStrictly(t *testing.T) {
	m := build(t, "users", "alice", "bob").Manifest()
	data, d := m.Encode(), m.Digest()
	got, err := ParseManifest(data, d)
	if err != nil || !slices.Equal(got, m) {
		t.Fatal(got, err)
	}
	if _, err := ParseManifest(data[1:], d); err == nil {
		t.Error("another manifest passed")
	}
	for name, m := range map[string]Manifest{"large chunk": {{Size: MaxChunkBytes + 1}}, "no size": {{Size: -1}}} {
		if _, err := ParseManifest(m.Encode(), m.Digest()); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	if back, err := ParseDigest(d.String()); err != nil || back != d {
		t.Error(back, err)
	}
	for _, s := range []string{"", "00", d.String() + "0", strings.Repeat("A", 64), strings.Repeat("g", 64)} {
		if _, err := ParseDigest(s); err == nil {
			t.Errorf("%q is taken for a digest", s)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := func(dimension string, entries ...string) []byte {
		var b bytes.Buffer
		build(t, dimension, entries...).WriteTo(&b)
		return b.Bytes()
	}
	users, addrs := good("users", "alice", "bob"), good("ips", "192.0.2.1")
	edit := func(b []byte, f func([]byte)) []byte { b = slices.Clone(b); f(b); return b }
	const count = len(magic) + 1 + 16
	for name, bad := range map[string][]byte{
		"nothing":        nil,
		"half a head":    users[:headerBytes-1],
		"cut":            users[:len(users)-1],
		"an entry less":  users[:len(users)-8],
		"a byte more":    append(slices.Clone(users), 0),
		"another form":   edit(users, func(b []byte) { b[len(magic)-1]++ }),
		"no dimension":   edit(users, func(b []byte) { b[len(magic)] = 0 }),
		"a new one":      edit(users, func(b []byte) { b[len(magic)] = byte(len(dimensions)) }),
		"no entries":     edit(users, func(b []byte) { b[count+7] = 0 })[:headerBytes],
		"too many":       edit(users, func(b []byte) { b[count] = 1 }),
		"one more":       edit(users, func(b []byte) { b[count+7]++ }),
		"order":          edit(users, func(b []byte) { copy(b[headerBytes:], "\xff\xff\xff\xff\xff\xff\xff\xff") }),
		"twice":          edit(users, func(b []byte) { copy(b[headerBytes:], b[headerBytes+8:]) }),
		"users' lengths": edit(users, func(b []byte) { b[count+15] = 1 }),
		"no lengths":     edit(addrs, func(b []byte) { clear(b[count+8 : headerBytes]) }),
		"length 33":      edit(addrs, func(b []byte) { b[count+8+3] |= 2 }),
		"length 129":     edit(addrs, func(b []byte) { b[headerBytes-1] |= 2 }),
	} {
		if s, err := Decode(bytes.NewReader(bad)); !errors.Is(err, ErrMalformed) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

// FuzzDecode: whatever is taken has one form, and answers without a panic.
func FuzzDecode(f *testing.F) {
	for _, s := range []*Set{build(f, "users", "alice", "bob"), build(f, "ips", "192.0.2.0/24", "2001:db8::/32")} {
		var b bytes.Buffer
		s.WriteTo(&b)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		s.WriteTo(&b)
		if !bytes.Equal(b.Bytes(), data) {
			t.Fatal("two forms of one set")
		}
		s.Has("alice")
		s.HasAddr(netip.MustParseAddr("192.0.2.1"))
		s.HasAddr(netip.MustParseAddr("2001:db8::1"))
	})
}

// FuzzBuild: whatever lines are taken are found again.
func FuzzBuild(f *testing.F) {
	f.Add("users", "alice\nbob\n")
	f.Add("ips", "192.0.2.0/24\n::1\n")
	f.Add("attributes", "a=b")
	f.Fuzz(func(t *testing.T, dimension, text string) {
		s, err := Build(dimension, strings.NewReader(text), nil)
		if err != nil {
			return
		}
		for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if dimension == "ips" {
				if p, err := parsePrefix(line); err != nil || !s.HasAddr(p.Addr()) {
					t.Fatalf("%q is not found: %v", line, err)
				}
			} else if !s.Has(line) {
				t.Fatalf("%q is not found", line)
			}
		}
	})
}

func TestHasDoesNotAllocate(t *testing.T) {
	users, addrs := build(t, "users", "alice", "bob"), build(t, "ips", "192.0.2.0/24", "198.51.100.1", "2001:db8::/32")
	in, out := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db9::1")
	if n := testing.AllocsPerRun(100, func() {
		users.Has("alice")
		users.Has("a user whose name is longer than thirty-two bytes")
		addrs.HasAddr(in)
		addrs.HasAddr(out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
