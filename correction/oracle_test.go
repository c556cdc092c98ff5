package correction

import (
	"cmp"
	"hash/fnv"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The oracle decides straight from the definitions in the package comment: one
// correction after the other, no index, nothing prepared, times as time.Time.
// It shares no code with the policy, and takes CEL from a table of expressions
// with their meaning in Go.

type answer struct {
	Refused, Limits, Clamps, Shadow []string
	OutputTokens                    int64
	Drain                           int64
}

func answerOf(v *Verdict) answer {
	return answer{ids(v.Refused), ids(v.Limits), ids(v.Clamps), ids(v.Shadow), v.OutputTokens, v.Drain}
}

type truth int

const (
	no truth = iota
	yes
	fails
)

// whens are expressions with what they mean.
var whens = map[string]func(*Request) truth{
	`model == "m1"`:                       func(r *Request) truth { return is(r.Model == "m1") },
	`stream && output_tokens > 100`:       func(r *Request) truth { return is(r.Features&Streaming != 0 && r.OutputTokens > 100) },
	`"u1" in users || tier == "t2"`:       func(r *Request) truth { return is(slices.Contains(r.Users, "u1") || r.Tier == "t2") },
	`country in ["DE", "FR"]`:             func(r *Request) truth { u := strings.ToUpper(r.Country); return is(u == "DE" || u == "FR") },
	`ip.startsWith("10.")`:                func(r *Request) truth { return is(r.IP.IsValid() && strings.HasPrefix(r.IP.String(), "10.")) },
	`tools.exists(t, t.startsWith("f"))`:  func(r *Request) truth { return is(slices.ContainsFunc(r.Tools, startsF)) },
	`!tools_offered && size(tools) == 0`:  func(r *Request) truth { return is(r.Features&Tools == 0 && len(r.Tools) == 0) },
	`attributes[0] == "a=1"`:              func(r *Request) truth { return at0(r.Attributes, "a=1") },
	`use_cases[0] == "x" && org != "o1"`:  func(r *Request) truth { return and(at0(r.UseCases, "x"), is(r.Org != "o1")) },
	`int(version) > 1 || surface == "s1"`: func(r *Request) truth { return or(versionOver1(r.Version), is(r.Surface == "s1")) },
	`user == "u2" || key.matches("^k[1]$") || "x/y" in use_cases`: func(r *Request) truth {
		return is(r.firstUser() == "u2" || r.Key == "k1" || slices.Contains(r.UseCases, "x/y"))
	},
}

func startsF(s string) bool { return strings.HasPrefix(s, "f") }

func (r *Request) firstUser() string {
	for _, u := range r.Users {
		if u != "" {
			return u
		}
	}
	return ""
}

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

func at0(values []string, v string) truth {
	if len(values) == 0 {
		return fails
	}
	return is(values[0] == v)
}

func versionOver1(v string) truth {
	switch v {
	case "1":
		return no
	case "2", "3":
		return yes
	}
	return fails
}

// and and or are CEL's: a side that settles the matter hides the other's failure.
func and(a, b truth) truth {
	if a == no || b == no {
		return no
	}
	return max(a, b)
}

func or(a, b truth) truth {
	if a == yes || b == yes {
		return yes
	}
	return max(a, b)
}

func oracle(cs []Correction, r *Request, now Span) answer {
	sorted := slices.Clone(cs)
	slices.SortFunc(sorted, func(a, b Correction) int {
		return cmp.Or(cmp.Compare(oracleSeverity(&a), oracleSeverity(&b)), cmp.Compare(a.ID, b.ID))
	})
	var out answer
	for i := range sorted {
		c := &sorted[i]
		if !oracleActive(c, now) || !oracleReaches(c, r) {
			continue
		}
		refuses, drainEnd := oracleRefuses(c, r, now)
		n, isClamp := c.Params.Clamp["output_tokens"]
		limits := c.Kind == Rate && !r.Live
		clamps := isClamp && !r.Live
		if c.Mode == Shadow {
			if refuses || limits || clamps && !(r.OutputTokens > 0 && r.OutputTokens <= int64(n)) {
				out.Shadow = append(out.Shadow, c.ID)
			}
			continue
		}
		if refuses {
			out.Refused = append(out.Refused, c.ID)
		}
		if limits {
			out.Limits = append(out.Limits, c.ID)
		}
		if clamps {
			out.Clamps = append(out.Clamps, c.ID)
			if out.OutputTokens == 0 || int64(n) < out.OutputTokens {
				out.OutputTokens = int64(n)
			}
		}
		if drainEnd != 0 && (out.Drain == 0 || drainEnd < out.Drain) {
			out.Drain = drainEnd
		}
	}
	return out
}

func oracleSeverity(c *Correction) int {
	if c.Kind == Stop {
		return slices.Index([]string{"L6", "L5", "L4", "L3", "L2", "L1", "L0"}, c.Params.Level)
	}
	return 100 + slices.Index([]Kind{Access, Use, Capability, Rate}, c.Kind)
}

func oracleStart(c *Correction) (time.Time, bool) {
	if c.AppliedAt.IsZero() && c.StartsAt.IsZero() {
		return time.Time{}, false
	}
	if c.StartsAt.After(c.AppliedAt) {
		return c.StartsAt, true
	}
	return c.AppliedAt, true
}

func oracleActive(c *Correction, now Span) bool {
	if c.StartsAt.After(c.AppliedAt) && time.Unix(0, now.Late).Before(c.StartsAt) {
		return false
	}
	return c.ExpiresAt.IsZero() || time.Unix(0, now.Early).Before(c.ExpiresAt)
}

func oracleRefuses(c *Correction, r *Request, now Span) (refuses bool, drainEnd int64) {
	switch c.Kind {
	case Access, Use:
		return true, 0
	case Capability:
		for _, f := range c.Params.Disable {
			if f == "tools" && r.Features&Tools != 0 || f == "streaming" && r.Features&Streaming != 0 {
				return true, 0
			}
		}
	case Stop:
		switch c.Params.Level {
		case "L1":
			return !r.Continues && !r.Live, 0
		case "L2":
			if !r.Live {
				return true, 0
			}
			drain := 2 * time.Minute
			if c.Params.Drain != 0 {
				drain = time.Duration(c.Params.Drain)
			}
			from, ok := oracleStart(c)
			if !ok {
				return true, 0
			}
			end := from.Add(drain)
			if time.Unix(0, now.Late).Before(end) {
				return false, end.UnixNano()
			}
			return true, 0
		case "L3", "L4", "L5", "L6":
			return true, 0
		}
	}
	return false, 0
}

func oracleReaches(c *Correction, r *Request) bool {
	s := c.Scope
	allowOnly := c.Kind == Access && c.Params.Mode == "allow_only"
	if allowOnly {
		s.Orgs, s.Users, s.Keys, s.Tiers, s.IPs, s.Countries, s.Attributes = nil, nil, nil, nil, nil, nil, nil
	}
	if !oracleScope(&s, r, false) {
		return false
	}
	if c.Kind == Use && !slices.ContainsFunc(r.UseCases, func(u string) bool {
		return u == c.Params.UseCase || strings.HasPrefix(u, c.Params.UseCase+"/")
	}) {
		return false
	}
	if allowOnly {
		l := Scope{Orgs: c.Scope.Orgs, Users: c.Scope.Users, Keys: c.Scope.Keys, Tiers: c.Scope.Tiers, IPs: c.Scope.IPs, Countries: c.Scope.Countries, Attributes: c.Scope.Attributes}
		if oracleScope(&l, r, true) {
			return false
		}
	}
	if c.Except != nil && oracleScope(c.Except, r, true) {
		return false
	}
	return oracleShare(c, r)
}

// oracleScope: every dimension that is given has to match. spare asks that all
// values of the request are listed, and that the expression does not fail.
func oracleScope(s *Scope, r *Request, spare bool) bool {
	one := func(listed []string, v string) bool {
		return listed == nil || v != "" && slices.Contains(listed, v)
	}
	many := func(listed, vs []string) bool {
		if listed == nil {
			return true
		}
		n := 0
		for _, v := range vs {
			if v != "" && slices.Contains(listed, v) {
				n++
			}
		}
		if spare {
			return len(vs) > 0 && n == len(vs)
		}
		return n > 0
	}
	var countries []string
	for _, c := range s.Countries {
		countries = append(countries, strings.ToUpper(c))
	}
	if s.When != "" {
		t := whens[s.When](r)
		if t == no || t == fails && spare {
			return false
		}
	}
	return one(s.Models, r.Model) && one(s.Versions, r.Version) && one(s.Surfaces, r.Surface) &&
		one(s.Orgs, r.Org) && one(s.Keys, r.Key) && one(s.Tiers, r.Tier) && one(countries, strings.ToUpper(r.Country)) &&
		many(s.Users, r.Users) && many(s.Attributes, r.Attributes) && many(s.Tools, r.Tools) && many(s.UseCases, r.UseCases) &&
		(s.IPs == nil || slices.ContainsFunc(s.IPs, func(p string) bool { return oracleIP(p, r.IP) }))
}

// oracleIP compares bit by bit, as integers.
func oracleIP(listed string, a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	addr, bits, isPrefix := strings.Cut(listed, "/")
	la := netip.MustParseAddr(addr)
	n := la.BitLen()
	if isPrefix {
		n = 0
		for _, d := range bits {
			n = n*10 + int(d-'0')
		}
	}
	if la.Is4In6() {
		la, n = la.Unmap(), n-96
	}
	a = a.Unmap()
	if la.Is4() != a.Is4() {
		return false
	}
	shift := uint(la.BitLen() - n)
	num := func(a netip.Addr) *big.Int { return new(big.Int).Rsh(new(big.Int).SetBytes(a.AsSlice()), shift) }
	return num(la).Cmp(num(a)) == 0
}

func oracleShare(c *Correction, r *Request) bool {
	if c.Share == 0 {
		return true
	}
	subject := ""
	switch {
	case r.firstUser() != "":
		subject = "u" + r.firstUser()
	case r.Key != "":
		subject = "k" + r.Key
	case r.Org != "":
		subject = "o" + r.Org
	case r.IP.IsValid():
		subject = "i" + string(r.IP.Unmap().AsSlice())
	default:
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(c.ID + "\x00" + subject))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return float64(x>>11) < c.Share*math.Exp2(53)
}
