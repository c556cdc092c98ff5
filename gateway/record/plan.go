package record

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"andon/correction"
)

// plan is a correction made ready to be asked of rows: its users and addresses
// are pseudonyms, like theirs.
type plan struct {
	c        correction.Correction
	now      correction.Span
	full     *correction.Policy
	possible *correction.Policy // reaches whatever full may reach; nil: full can judge everything

	users, addr bool // what full can not judge of a request that has one
	names       bool // it asks for tools or use cases, of which a profile may lack some
	cutUsers    bool // it asks for users, of which a row may lack some
	byProfile   bool // nothing is asked that differs within a profile

	dims    []known
	unknown []string
	notes   []string
}

const ruleID = "preview"

// plan compiles a correction as it would be enforced from now on, alone.
func (r *Recorder) plan(c correction.Correction, lists correction.Lists, now correction.Span) (*plan, error) {
	alone(&c)
	p := &plan{now: now}
	if by := c.Params.AcknowledgeBy; !by.IsZero() && by.UnixNano() > now.Late {
		p.now = correction.At(by)
		p.notes = append(p.notes, "as it is from the deadline on, if nobody acknowledges until then")
	}
	open := c // what could not be judged is left out, so that it reaches more
	allowOnly := c.Kind == correction.Access && c.Params.Mode == "allow_only"
	scope, left := r.mask(&c.Scope, lists, p, !allowOnly)
	c.Scope = scope
	open.Scope = left
	if p.users || p.addr {
		open.Except = nil
	}
	if c.Except != nil {
		scopeOpen := p.users || p.addr
		except, _ := r.mask(c.Except, lists, p, false)
		c.Except = &except
		if open.Except = c.Except; scopeOpen || p.users || p.addr {
			open.Except = nil
		}
	}
	if allowOnly {
		s := &c.Scope
		open.Params.Mode, open.Except = "block", nil
		open.Scope = correction.Scope{Models: s.Models, Versions: s.Versions, Surfaces: s.Surfaces, Tools: s.Tools, UseCases: s.UseCases}
	}
	whole(&open.Scope)
	var err error
	if p.full, err = correction.CompileWith([]correction.Correction{c}, lists); err != nil {
		return nil, err
	}
	if p.users || p.addr {
		if p.possible, err = correction.CompileWith([]correction.Correction{open}, lists); err != nil {
			return nil, err
		}
	}
	p.c = c
	p.byProfile = !p.users && !p.addr && c.Params.Clamp == nil && c.Level() != 1 && (c.Share == 0 || c.Share == 1)
	for _, s := range []*correction.Scope{&c.Scope, c.Except} {
		if s == nil {
			continue
		}
		p.byProfile = p.byProfile && s.When == "" && len(s.Users) == 0 && len(s.IPs) == 0 && len(s.Countries) == 0
		p.cutUsers = p.cutUsers || len(s.Users) > 0
		p.names = p.names || len(s.Tools) > 0 || len(s.UseCases) > 0 || s.When != ""
	}
	p.names = p.names || c.Params.UseCase != "" || slices.ContainsFunc(c.Params.Disable, func(f string) bool { return strings.HasPrefix(f, "tool:") })
	if c.Share > 0 && c.Share < 1 {
		p.notes = append(p.notes, "the share is drawn anew for each correction: who is in it will differ, how many will not")
	}
	return p, nil
}

// alone makes a correction one that is enforced at once and without end.
func alone(c *correction.Correction) {
	c.ID, c.Mode = ruleID, correction.Enforce
	c.StartsAt, c.AppliedAt, c.ReviewBy, c.ExpiresAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

// Alone compiles a correction as if it were in force now, and nothing else.
func Alone(c correction.Correction, lists correction.Lists) (*correction.Policy, error) {
	alone(&c)
	return correction.CompileWith([]correction.Correction{c}, lists)
}

// whole writes a scope without conditions as what it means.
func whole(s *correction.Scope) {
	if given := *s; !given.All {
		given.Unknown = ""
		for _, l := range [][]string{s.Models, s.Versions, s.Surfaces, s.Orgs, s.Users, s.Keys, s.Tiers, s.IPs, s.Countries, s.Attributes, s.Tools, s.UseCases, s.Lists} {
			if l != nil {
				return
			}
		}
		if s.When != "" {
			return
		}
	}
	*s = correction.Scope{All: true}
}

// mask replaces users and addresses by their pseudonyms, and notes what cannot
// be judged by those. left is the scope without it. Where the scope reaches rather
// than spares, a user is also meant by its folded form.
func (r *Recorder) mask(s *correction.Scope, lists correction.Lists, p *plan, reaches bool) (masked, left correction.Scope) {
	m := *s
	if s.Users != nil {
		m.Users = make([]string, 0, len(s.Users))
		for _, u := range s.Users {
			m.Users = append(m.Users, r.names.User(u))
			if f := correction.FoldUser(u); reaches && f != u && f != "" {
				m.Users = append(m.Users, r.names.User(f))
			}
		}
	}
	if s.IPs != nil {
		m.IPs = make([]string, len(s.IPs))
		for i, text := range s.IPs {
			m.IPs[i] = text
			if x, err := parsePrefix(text); err == nil { // else Compile says what is wrong with it
				m.IPs[i] = r.names.Prefix(x).String()
			}
		}
	}
	left = m
	for _, name := range s.Lists {
		l := lists[name]
		if l == nil {
			p.notes = append(p.notes, fmt.Sprintf("the list %q is not loaded here: nothing is counted by it", name))
			continue
		}
		switch l.Dimension() {
		case "users":
			p.users = true
			p.unknown = append(p.unknown, fmt.Sprintf("requests that name a user: the record has pseudonyms, and the list %q only knows names", name))
			left.Lists = nil
		case "ips":
			p.addr = true
			p.unknown = append(p.unknown, fmt.Sprintf("requests with an address: the record has pseudonyms, and the list %q only knows addresses", name))
			left.Lists = nil
		}
		p.dims = add(p.dims, l.Dimension(), "")
	}
	if s.When != "" {
		says := mentions(s.When)
		if says("user") || says("users") {
			p.users, left.When = true, ""
			p.unknown = append(p.unknown, "requests that name a user: the record has pseudonyms, and the expression asks for names")
		}
		if says("ip") {
			p.addr, left.When = true, ""
			p.unknown = append(p.unknown, "requests with an address: the record has pseudonyms, and the expression asks for addresses")
		}
		for v, dim := range map[string]string{"user": "users", "users": "users", "ip": "ips", "country": "countries", "org": "orgs", "key": "keys", "tier": "tiers", "version": "versions"} {
			if says(v) {
				p.dims = add(p.dims, dim, "")
			}
		}
	}
	for name, l := range map[string][]string{"versions": s.Versions, "orgs": s.Orgs, "users": s.Users, "keys": s.Keys, "tiers": s.Tiers, "ips": s.IPs, "countries": s.Countries, "use_cases": s.UseCases} {
		if len(l) > 0 {
			p.dims = add(p.dims, name, "")
		}
	}
	for _, a := range s.Attributes {
		name, _, _ := strings.Cut(a, "=")
		p.dims = add(p.dims, "attributes", name)
	}
	return m, left
}

// parsePrefix reads an address or a prefix the way package correction does.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return p, err
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// mentions says which variables an expression may ask for. Where texts in it are
// written in a way that is not looked into, more than it does.
func mentions(expr string) func(string) bool {
	if !strings.ContainsAny(expr, `\`) && !strings.Contains(expr, `"""`) && !strings.Contains(expr, `'''`) {
		expr = quoted.ReplaceAllString(expr, " ")
	}
	return func(name string) bool { return regexp.MustCompile(`\b` + name + `\b`).MatchString(expr) }
}

// known counts the requests for which the value of a dimension is unknown.
type known struct{ dim, attribute string }

func (k known) String() string {
	if k.attribute != "" {
		return k.dim + "." + k.attribute
	}
	return k.dim
}

func add(dims []known, dim, attribute string) []known {
	if k := (known{dim, attribute}); !slices.Contains(dims, k) {
		dims = append(dims, k)
	}
	return dims
}

// missing says whether the value is unknown in a profile, as far as that can say.
func (k known) missing(p *profile, x *row) bool {
	switch k.dim {
	case "versions":
		return p.req.Version == ""
	case "orgs":
		return p.req.Org == ""
	case "keys":
		return p.req.Key == ""
	case "tiers":
		return p.req.Tier == ""
	case "use_cases":
		return len(p.req.UseCases) == 0
	case "users":
		return x.names&15 == 0
	case "ips":
		return x.flags&(flagIPv4|flagIPv6) == 0
	case "countries":
		return x.country[0] == 0
	case "attributes":
		return !slices.ContainsFunc(p.req.Attributes, func(a string) bool {
			name, _, _ := strings.Cut(a, "=")
			return k.attribute == "" || name == k.attribute
		})
	}
	return false
}
