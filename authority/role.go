package authority

import (
	"fmt"
	"strings"
)

// Role is what somebody is trusted with. A person can have several.
type Role string

// The roles.
const (
	Viewer        Role = "viewer"        // looks
	Responder     Role = "responder"     // tightens, writes into incidents
	Commander     Role = "commander"     // leads an incident: tightens, proposes to loosen, decides
	Approver      Role = "approver"      // says yes or no to what others propose
	Auditor       Role = "auditor"       // reads everything, the record and concerns included; reviews
	Administrator Role = "administrator" // people, keys, enforcement points, plans
)

// Roles are all there are, in the order in which they are shown.
var Roles = []Role{Viewer, Responder, Commander, Approver, Auditor, Administrator}

// Set is some roles. The zero value is none.
type Set uint8

// SetOf is the set of those roles; unknown ones are left out.
func SetOf(roles ...Role) Set {
	var s Set
	for i, r := range Roles {
		for _, x := range roles {
			if x == r {
				s |= 1 << i
			}
		}
	}
	return s
}

// All is every role.
var All = SetOf(Roles...)

// Meets says whether the two have a role in common.
func (s Set) Meets(t Set) bool { return s&t != 0 }

// Has says whether r is in s.
func (s Set) Has(r Role) bool { return s.Meets(SetOf(r)) }

// List is the roles of s, in the order of Roles.
func (s Set) List() []Role {
	out := []Role{}
	for i, r := range Roles {
		if s&(1<<i) != 0 {
			out = append(out, r)
		}
	}
	return out
}

// Names is List as text.
func (s Set) Names() []string {
	var out []string
	for _, r := range s.List() {
		out = append(out, string(r))
	}
	return out
}

// String is the roles, separated by commas; "nobody" for none.
func (s Set) String() string {
	if s == 0 {
		return "nobody"
	}
	return strings.Join(s.Names(), ", ")
}

// ParseRoles reads roles by name. None at all is an error, as is one that is not known.
func ParseRoles(names ...string) (Set, error) {
	var s Set
	for _, n := range names {
		one := SetOf(Role(n))
		if one == 0 {
			return 0, fmt.Errorf("%q is no role; there are %s", n, All)
		}
		s |= one
	}
	if s == 0 {
		return 0, fmt.Errorf("no role is given; there are %s", All)
	}
	return s, nil
}
