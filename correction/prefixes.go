package correction

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// prefixes finds the longest of many prefixes of one family that covers an
// address: the prefixes cut all addresses into ranges, which stand in order.
type prefixes struct {
	ranges []ipRange // ascending; the first begins at zero
	first  []uint32  // by the first bits since low: how many ranges begin before them
	low    uint64    // where the second range begins
	shift  uint8
}

// ipRange is the addresses from here to the next range.
type ipRange struct {
	from ipKey
	node int32 // of the longest prefix that covers them; -1 if none does
}

// ipKey is an address as a number, IPv4 in its first 32 bits.
type ipKey struct{ hi, lo uint64 }

func newIPKey(a netip.Addr) ipKey {
	if a.Is4() {
		b := a.As4()
		return ipKey{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return ipKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k ipKey) before(other ipKey) bool {
	return k.hi < other.hi || k.hi == other.hi && k.lo < other.lo
}

// past is the address after the last one of a prefix that begins here; false if
// there is none.
func (k ipKey) past(length int) (ipKey, bool) {
	var carry uint64
	if length <= 64 {
		k.lo = 0
		k.hi, carry = bits.Add64(k.hi, 1<<(64-length), 0) // of length 0: 0 and no carry
		return k, carry == 0 && length > 0
	}
	k.lo, carry = bits.Add64(k.lo, 1<<(128-length), 0)
	k.hi, carry = bits.Add64(k.hi, 0, carry)
	return k, carry == 0
}

// find returns the node of the longest prefix that covers an address; -1 if none
// does.
func (t *prefixes) find(k ipKey) int32 {
	if k.hi < t.low {
		return t.ranges[0].node
	}
	b := min((k.hi-t.low)>>t.shift, uint64(len(t.first)-2))
	i, j := t.first[b], t.first[b+1]
	for i < j { // the ranges before i begin at k or before, those from j on after k
		if m := (i + j) / 2; k.before(t.ranges[m].from) {
			j = m
		} else {
			i = m + 1
		}
	}
	return t.ranges[i-1].node
}

// listed is a prefix and a rule that lists it.
type listed struct {
	prefix netip.Prefix
	key    ipKey
	rule   uint32
}

// link makes the nodes and ranges of all listed prefixes.
func (ix *index) link(all []listed) {
	slices.SortFunc(all, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.prefix.Addr().BitLen(), b.prefix.Addr().BitLen()), cmp.Compare(a.key.hi, b.key.hi), cmp.Compare(a.key.lo, b.key.lo), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.rule, b.rule))
	})
	four := 0 // IPv4 stands first
	for four < len(all) && all[four].prefix.Addr().Is4() {
		four++
	}
	ix.nodes = slices.Grow(ix.nodes, len(all))
	ix.ip4, ix.ip6 = ix.cut(all[:four]), ix.cut(all[four:])
}

// cut makes the nodes and ranges of the prefixes of one family, which come in
// order: those around others first.
func (ix *index) cut(all []listed) *prefixes {
	if len(all) == 0 {
		return nil
	}
	t := &prefixes{ranges: make([]ipRange, 1, 2*len(all)+1)}
	t.ranges[0].node = -1
	type open struct {
		past ipKey
		ends bool // before the last address of all
		node int32
	}
	inside := make([]open, 0, 129)
	inside = append(inside, open{node: -1})
	begin := func(k ipKey, node int32) {
		if last := &t.ranges[len(t.ranges)-1]; last.from == k {
			last.node = node
		} else {
			t.ranges = append(t.ranges, ipRange{k, node})
		}
	}
	end := func() {
		o := inside[len(inside)-1]
		inside = inside[:len(inside)-1]
		if o.ends {
			begin(o.past, inside[len(inside)-1].node)
		}
	}
	for i, l := range all {
		if i > 0 && all[i-1].prefix == l.prefix {
			n := &ix.nodes[len(ix.nodes)-1]
			n.posting = ix.add(n.posting, true, l.rule)
			continue
		}
		for o := inside[len(inside)-1]; o.ends && !l.key.before(o.past); o = inside[len(inside)-1] {
			end()
		}
		node := int32(len(ix.nodes))
		ix.nodes = append(ix.nodes, ipNode{posting: posting(l.rule), up: inside[len(inside)-1].node})
		past, ends := l.key.past(l.prefix.Bits())
		inside = append(inside, open{past, ends, node})
		begin(l.key, node)
	}
	for len(inside) > 1 {
		end()
	}
	t.sort()
	return t
}

// sort counts the ranges by their first bits, about one for each.
func (t *prefixes) sort() {
	high := t.ranges[len(t.ranges)-1].from.hi
	if len(t.ranges) > 1 {
		t.low = t.ranges[1].from.hi
	}
	t.shift = uint8(max(0, bits.Len64(high-t.low)-bits.Len(uint(len(t.ranges)))))
	t.first = make([]uint32, (high-t.low)>>t.shift+2)
	n := uint32(0)
	for b := range t.first {
		for int(n) < len(t.ranges) && (t.ranges[n].from.hi < t.low || int((t.ranges[n].from.hi-t.low)>>t.shift) < b) {
			n++
		}
		t.first[b] = n
	}
}
