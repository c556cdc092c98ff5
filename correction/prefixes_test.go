package correction

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// An address is covered by the prefixes that a look at each one finds, longest
// first, whatever they nest in and wherever they end.
func TestPrefixesAgainstEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		address := rapid.Custom(func(t *rapid.T) netip.Addr {
			edge := rapid.SampledFrom([]byte{0, 1, 127, 128, 254, 255})
			if rapid.Bool().Draw(t, "v4") {
				return netip.AddrFrom4([4]byte(rapid.SliceOfN(edge, 4, 4).Draw(t, "bytes")))
			}
			a := netip.AddrFrom16([16]byte(rapid.SliceOfN(edge, 16, 16).Draw(t, "bytes")))
			return a.Unmap()
		})
		var ix index
		var all []listed
		for i := range rapid.IntRange(0, 40).Draw(t, "prefixes") {
			a := address.Draw(t, "address")
			p, err := a.Prefix(rapid.IntRange(0, a.BitLen()).Draw(t, "length"))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, listed{p, newIPKey(p.Addr()), uint32(i)})
		}
		each := append([]listed(nil), all...)
		ix.link(all)
		for range 20 {
			a := address.Draw(t, "asked")
			if len(each) > 0 && rapid.Bool().Draw(t, "near") {
				a = rapid.SampledFrom(each).Draw(t, "prefix").prefix.Addr()
				if rapid.Bool().Draw(t, "before") && a.Prev().IsValid() {
					a = a.Prev()
				}
			}
			want := map[uint32]bool{}
			for _, l := range each {
				if l.prefix.Contains(a) {
					want[l.rule] = true
				}
			}
			table := ix.ip6
			if a.Is4() {
				table = ix.ip4
			}
			have, length := map[uint32]bool{}, 129
			for i := int32(-1); table != nil; {
				if i == -1 {
					i = table.find(newIPKey(a))
				} else {
					i = ix.nodes[i].up
				}
				if i < 0 {
					break
				}
				rules := []uint32{uint32(ix.nodes[i].posting)}
				if at := ix.nodes[i].posting; at&isList != 0 {
					rules = ix.lists[at&^isList]
				}
				for _, r := range rules {
					if each[r].prefix.Bits() >= length || have[r] {
						t.Fatalf("%s: %s comes after one of length %d", a, each[r].prefix, length)
					}
					have[r] = true
				}
				length = each[rules[0]].prefix.Bits()
			}
			if len(have) != len(want) {
				t.Fatalf("%s is covered by %v, want %v of %v", a, have, want, each)
			}
			for r := range want {
				if !have[r] {
					t.Fatalf("%s: %s is missing", a, each[r].prefix)
				}
			}
		}
	})
}
