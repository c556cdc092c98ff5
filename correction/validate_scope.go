package correction

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// check looks at one scope; field is "scope" or "except". bounded adds the
// bound on the number of values.
func (s *Scope) check(field string, bounded bool) *FieldError {
	given := s.When != ""
	for i, l := range s.lists() {
		d, values := &dimensions[i], *l
		if values == nil {
			continue
		}
		given = true
		if len(values) == 0 {
			return wrong(field+"."+d.name, "is an empty list, which matches nobody; name somebody, or leave it out to match everybody")
		}
		if bounded && len(values) > MaxValues {
			return wrong(field+"."+d.name, fmt.Sprintf("has %d values, at most %d; longer ones are a named list", len(values), MaxValues))
		}
		for j, v := range values {
			if err := checkValue("", d.dim, v); err != nil {
				err.Field = fmt.Sprintf("%s.%s[%d]", field, d.name, j)
				return err
			}
		}
	}
	if s.Lists != nil {
		given = true
		if err := s.checkLists(field+".lists", bounded); err != nil {
			return err
		}
	}
	if s.Unknown != "" {
		if err := s.checkUnknown(field); err != nil {
			return err
		}
	}
	if s.All && given {
		return wrong(field+".all", "cannot stand beside conditions; give one or the other")
	}
	if !s.All && !given {
		return wrong(field, `no condition is given; write {"all": true} to reach everything`, scopeNames...)
	}
	if s.When != "" {
		if _, err := compileWhen(s.When); err != nil {
			return &FieldError{Field: field + ".when", Detail: err.Error(), Allowed: whenNames}
		}
	}
	return nil
}

// scopeNames are the conditions that a scope can have now.
var scopeNames = func() []string {
	var names []string
	for i := range dimensions {
		names = append(names, dimensions[i].name)
	}
	return append(names, "lists", "when", "all")
}()

// unknownNames are the dimensions of which a request may have no value.
var unknownNames = func() []string {
	var names []string
	for i := range dimensions {
		if dimensions[i].unknown {
			names = append(names, dimensions[i].name)
		}
	}
	return append(names, "lists")
}()

func (s *Scope) checkLists(field string, bounded bool) *FieldError {
	if len(s.Lists) == 0 {
		return wrong(field, "is an empty list; name a list, or leave it out")
	}
	if bounded && len(s.Lists) > MaxScopeLists {
		return wrong(field, fmt.Sprintf("names %d lists; at most %d", len(s.Lists), MaxScopeLists))
	}
	for i, name := range s.Lists {
		if !isListName(name) {
			return wrong(fmt.Sprintf("%s[%d]", field, i), quote(name)+" is not a name of a list; give 1 to 64 of a-z, 0-9, dot, underscore and hyphen")
		}
	}
	return nil
}

func isListName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= MaxListName
}

// checkUnknown looks at the rule for values that are unknown.
func (s *Scope) checkUnknown(field string) *FieldError {
	if field != "scope" {
		return wrong(field+".unknown", "an except never spares what is unknown; leave it out")
	}
	if err := oneOf(field+".unknown", "rule", s.Unknown, unknowns); err != nil {
		return err
	}
	for i, l := range s.lists() {
		if dimensions[i].unknown && len(*l) > 0 {
			return nil
		}
	}
	if len(s.Lists) > 0 {
		return nil
	}
	return wrong(field+".unknown", "says what to do with unknown values, but no dimension is given that can be unknown", unknownNames...)
}

func (s *Scope) hasSubject() bool {
	if len(s.Lists) > 0 {
		return true
	}
	for i, l := range s.lists() {
		if dimensions[i].subject && len(*l) > 0 {
			return true
		}
	}
	return false
}

// checkValue looks at one value of a dimension.
func checkValue(field string, d dim, v string) *FieldError {
	switch {
	case v == "":
		return wrong(field, "is an empty text; an unknown value cannot be listed")
	case len(v) > MaxValueBytes:
		return wrong(field, fmt.Sprintf("has %d bytes; at most %d", len(v), MaxValueBytes))
	case !utf8.ValidString(v):
		return wrong(field, "is not valid UTF-8")
	}
	switch d {
	case dimIP:
		if _, err := parsePrefix(v); err != nil {
			return wrong(field, err.Error())
		}
	case dimCountry:
		if country(v) == "" {
			return wrong(field, quote(v)+` is not an ISO 3166-1 alpha-2 code; write for example "DE"`)
		}
	case dimAttribute:
		if name, value, _ := strings.Cut(v, "="); name == "" || value == "" {
			return wrong(field, quote(v)+` is not of the form "name=value"`)
		}
	case dimNode, dimUseCase:
		if strings.HasPrefix(v, "/") || strings.HasSuffix(v, "/") || strings.Contains(v, "//") {
			return wrong(field, quote(v)+` has an empty segment; write "a" or "a/b"`)
		}
		if strings.Count(v, "/") >= MaxUseCaseDepth {
			return wrong(field, fmt.Sprintf("has more than %d segments", MaxUseCaseDepth))
		}
	}
	return nil
}

// parsePrefix reads an address or a prefix, in the one form in which it is
// compared: masked, without zone, and IPv4 where it is IPv4-mapped.
func parsePrefix(s string) (netip.Prefix, error) {
	var p netip.Prefix
	if strings.Contains(s, "/") {
		var err error
		if p, err = netip.ParsePrefix(s); err != nil {
			return p, fmt.Errorf("%s is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", quote(s))
		}
	} else {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return p, fmt.Errorf("%s is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", quote(s))
		}
		if a.Zone() != "" {
			return p, errors.New(quote(s) + " has a zone, which means nothing here; leave it out")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, errors.New(quote(s) + " covers more than IPv4-mapped addresses; write the IPv4 and IPv6 prefixes apart")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
