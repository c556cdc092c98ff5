package incident

import (
	"slices"

	"andon/authority"
)

// TLP is a label of the Traffic Light Protocol 2.0: how far something may be
// passed on outside. Who reads it here is Need's to say.
type TLP string

// The labels, the strictest first.
var TLPs = []TLP{"RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR"}

// DefaultTLP is the label of what has none: the organisation and those it serves.
const DefaultTLP TLP = "AMBER"

// Need says who needs to know: anybody who is in one of the lists. Without any,
// everybody whose role reads incidents.
type Need struct {
	Operators []string `json:"operators,omitempty"`
	Teams     []string `json:"teams,omitempty"` // of the plan
	Roles     []string `json:"roles,omitempty"`
}

// Marking says how far a record may go.
type Marking struct {
	TLP  TLP   `json:"tlp,omitempty"`
	Need *Need `json:"need_to_know,omitempty"`
}

// Reader is who wants to see something.
type Reader struct {
	ID    string
	Roles authority.Set
	Teams []string
}

// All says whether the reader sees everything: auditors, whose office it is, and
// administrators, who could make themselves anybody.
func (r Reader) All() bool {
	return r.Roles.Meets(authority.SetOf(authority.Auditor, authority.Administrator))
}

// Allows says whether a reader is meant.
func (m *Marking) Allows(r Reader) bool {
	if m == nil || m.Need == nil || r.All() {
		return true
	}
	if slices.Contains(m.Need.Operators, r.ID) {
		return true
	}
	for _, name := range m.Need.Roles {
		if r.Roles.Has(authority.Role(name)) {
			return true
		}
	}
	return slices.ContainsFunc(r.Teams, func(t string) bool { return slices.Contains(m.Need.Teams, t) })
}

const maxNeed = 200 // values in each list

func (m *Marking) check(field string) error {
	if m == nil {
		return nil
	}
	if m.TLP != "" {
		if err := oneOf(field+".tlp", m.TLP, TLPs); err != nil {
			return err
		}
	}
	n := m.Need
	if n == nil {
		if m.TLP == "RED" {
			return wrong(field+".need_to_know", "TLP:RED is for named people alone: say who needs to know")
		}
		return nil
	}
	if len(n.Operators)+len(n.Teams)+len(n.Roles) == 0 {
		return wrong(field+".need_to_know", "names nobody; leave it out, or name operators, teams or roles")
	}
	for _, l := range []struct {
		name   string
		values []string
	}{{"operators", n.Operators}, {"teams", n.Teams}, {"roles", n.Roles}} {
		if err := lines(field+".need_to_know."+l.name, l.values, maxNeed, MaxName); err != nil {
			return err
		}
	}
	for _, r := range n.Roles {
		if err := oneOf(field+".need_to_know.roles", authority.Role(r), authority.Roles); err != nil {
			return err
		}
	}
	return nil
}

// Label is the TLP label, the default filled in.
func (m *Marking) Label() TLP {
	if m == nil || m.TLP == "" {
		return DefaultTLP
	}
	return m.TLP
}

// narrower says whether m lets in nobody whom o leaves out, by its words alone.
func (m *Marking) narrower(o *Marking) bool {
	if o == nil || o.Need == nil {
		return true
	}
	if m == nil || m.Need == nil {
		return false
	}
	within := func(a, b []string) bool {
		return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
	}
	return within(m.Need.Operators, o.Need.Operators) && within(m.Need.Teams, o.Need.Teams) && within(m.Need.Roles, o.Need.Roles)
}

// loosens says whether going from m to o tells more people, or lets it be passed on further.
func (m *Marking) loosens(o *Marking) bool {
	return !o.narrower(m) || slices.Index(TLPs, o.Label()) > slices.Index(TLPs, m.Label())
}

// Sees says whether a reader may know of an incident: its marking means the
// reader, or the reader has a part in it now.
func (b *Book) Sees(r Reader, in *Incident) bool {
	if in == nil {
		return false
	}
	return in.Marking.Allows(r) || slices.ContainsFunc(in.Roles, func(x RoleHeld) bool { return x.Operator == r.ID && x.Until.IsZero() })
}

// SeesCase says whether a reader may know of a triage case: of what it became, too.
func (b *Book) SeesCase(r Reader, k *Case) bool {
	return k != nil && k.Marking.Allows(r) && (k.Incident == "" || b.Sees(r, b.incidents[k.Incident]))
}

// SeesSignal says whether a reader may know of a signal: of its case, too. What
// somebody sent in is not hidden from the sender.
func (b *Book) SeesSignal(r Reader, s *Signal) bool {
	return s != nil && (s.By == r.ID || s.Marking.Allows(r) && b.SeesCase(r, b.cases[s.Case]))
}
