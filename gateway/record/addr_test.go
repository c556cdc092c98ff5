package record

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// An address that is remembered has the pseudonym that it has anyway, whichever
// others were asked for before it.
func TestRememberedAddressesKeepTheirPseudonyms(t *testing.T) {
	all := []netip.Addr{{}}
	for _, a := range append([]string{"192.0.2.1", "198.51.100.1", "::ffff:192.0.2.1", "2001:db8::1%a", "2001:db8::2", "::"}, someAddrs[:7]...) {
		all = append(all, netip.MustParseAddr(a))
	}
	r := New(Config{}, names)
	rapid.Check(t, func(t *rapid.T) {
		for _, a := range rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "addresses") {
			if got, want := r.addrLocked(a), names.Addr(a); got != want {
				t.Fatalf("%v has the pseudonym %v, want %v", a, got, want)
			}
		}
	})
}
