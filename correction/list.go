package correction

import "net/netip"

// List is a named list, as a policy asks it: millions of values that stand
// outside the correction. It is immutable, and safe for concurrent use.
type List interface {
	Dimension() string          // users | orgs | keys | ips | attributes | tiers
	Has(value string) bool      // for every dimension but ips
	HasAddr(ip netip.Addr) bool // for ips
}

// Lists are the lists that a policy knows, by name. A correction that names one
// that is missing here is not in force: the list is still being loaded.
type Lists map[string]List

// Lost stands for a list that was held and cannot be read any more. A scope that
// names it reaches everybody, and an except or an allow_only that names it spares
// nobody: so what is lost loosens nothing.
var Lost List = lost{}

type lost struct{}

func (lost) Dimension() string       { return "" }
func (lost) Has(string) bool         { return true }
func (lost) HasAddr(netip.Addr) bool { return true }
