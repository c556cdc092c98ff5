package correction

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// valid is a correction of a kind with nothing wrong in it.
func valid(k Kind) Correction {
	c := Correction{Kind: k, Scope: Scope{Models: []string{"m"}}, Reason: "test"}
	switch k {
	case Stop:
		c.Params.Level = "L3"
	case Access:
		c.Params.Mode = "block"
	case Use:
		c.Params.UseCase = "medical"
	case Capability:
		c.Params.Disable = []string{"tools"}
	case Rate:
		c.Params = Params{Metric: "requests", Limit: ptr(int64(10)), Window: Duration(time.Minute)}
	}
	return c
}

func TestValidateAccepts(t *testing.T) {
	with := func(k Kind, change func(*Correction)) Correction {
		c := valid(k)
		change(&c)
		return c
	}
	for name, c := range map[string]Correction{
		"stop":              valid(Stop),
		"access":            valid(Access),
		"use":               valid(Use),
		"capability":        valid(Capability),
		"rate":              valid(Rate),
		"everything":        with(Stop, func(c *Correction) { c.Scope = Scope{All: true} }),
		"L0":                with(Stop, func(c *Correction) { c.Params.Level = "L0" }),
		"L2 with its drain": with(Stop, func(c *Correction) { c.Params = Params{Level: "L2", Drain: Duration(24 * time.Hour)} }),
		"L4":                with(Stop, func(c *Correction) { c.Params.Level = "L4" }),
		"allow_only": with(Access, func(c *Correction) {
			c.Params.Mode = "allow_only"
			c.Scope.Countries = []string{"de"}
		}),
		"clamp":         with(Capability, func(c *Correction) { c.Params = Params{Clamp: map[string]float64{"output_tokens": 1}} }),
		"concurrent":    with(Rate, func(c *Correction) { c.Params = Params{Metric: "concurrent", Limit: ptr(int64(1)), Per: "user"} }),
		"widest window": with(Rate, func(c *Correction) { c.Params.Window = Duration(31 * 24 * time.Hour) }),
		"all values":    with(Access, func(c *Correction) { c.Scope.Users = make([]string, MaxValues); fill(c.Scope.Users, "u") }),
		"long value":    with(Access, func(c *Correction) { c.Scope.Users = []string{strings.Repeat("u", 512)} }),
		"prefixes": with(Access, func(c *Correction) {
			c.Scope.IPs = []string{"10.0.0.0/8", "10.1.2.3/8", "::1", "::ffff:10.0.0.0/104", "::/0"}
		}),
		"when":    with(Stop, func(c *Correction) { c.Scope = Scope{When: `model.startsWith("m") && stream`} }),
		"except":  with(Stop, func(c *Correction) { c.Except = &Scope{Orgs: []string{"o"}} }),
		"share":   with(Stop, func(c *Correction) { c.Share = 1 }),
		"started": with(Stop, func(c *Correction) { c.StartsAt = at.Add(-time.Hour); c.ExpiresAt = at.Add(1) }),
		"deepest": with(Use, func(c *Correction) { c.Params.UseCase = "a" + strings.Repeat("/a", 15) }),
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Validate(at); err != nil {
				t.Errorf("Validate: %v", err)
			}
			if _, err := Compile([]Correction{c}); err != nil {
				t.Errorf("Compile: %v", err)
			}
		})
	}
}

func fill(values []string, v string) {
	for i := range values {
		values[i] = v
	}
}

// Each error names its field and says what is allowed. The text is what an
// operator reads, so it stands here word for word.
func TestValidateRefuses(t *testing.T) {
	const (
		dims  = "models, versions, surfaces, orgs, users, keys, tiers, ips, countries, attributes, tools, use_cases, when, all"
		names = "model, version, surface, org, user, users, key, tier, country, ip, attributes, use_cases, tools, stream, tools_offered, output_tokens"
	)
	long := strings.Repeat("x", 513)
	for _, tc := range []struct {
		kind    Kind
		change  func(*Correction)
		want    string
		compile bool // Compile refuses it as well
	}{
		{Stop, func(c *Correction) { c.Kind = "ban" }, `kind: unknown kind "ban"; allowed: stop, access, use, capability, rate`, true},
		{Stop, func(c *Correction) { c.Kind = "" }, `kind: missing kind; allowed: stop, access, use, capability, rate`, true},
		{Stop, func(c *Correction) { c.Mode = "dry-run" }, `mode: unknown mode "dry-run"; allowed: enforce, shadow`, true},

		{Stop, func(c *Correction) { c.Params.Mode = "block" }, `params.mode: is not a parameter of stop; allowed: level, drain`, true},
		{Access, func(c *Correction) { c.Params.Limit = ptr(int64(1)) }, `params.limit: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Metric = "requests" }, `params.metric: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Window = 1 }, `params.window: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Per = "user" }, `params.per: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.OnExceed = "queue" }, `params.on_exceed: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Disable = []string{"tools"} }, `params.disable: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Clamp = map[string]float64{} }, `params.clamp: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.UseCase = "a" }, `params.use_case: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Basis = "declared" }, `params.basis: is not a parameter of access; allowed: mode`, true},
		{Access, func(c *Correction) { c.Params.Action = "block" }, `params.action: is not a parameter of access; allowed: mode`, true},
		{Use, func(c *Correction) { c.Params.Level = "L3" }, `params.level: is not a parameter of use; allowed: use_case, basis, action`, true},
		{Rate, func(c *Correction) { c.Params.Drain = 1 }, `params.drain: is not a parameter of rate; allowed: metric, limit, window, per, on_exceed`, true},

		{Stop, func(c *Correction) { c.Params.Level = "" }, `params.level: missing level; allowed: L0, L1, L2, L3, L4`, true},
		{Stop, func(c *Correction) { c.Params.Level = "l3" }, `params.level: unknown level "l3"; allowed: L0, L1, L2, L3, L4`, true},
		{Stop, func(c *Correction) { c.Params.Level = "L7" }, `params.level: unknown level "L7"; allowed: L0, L1, L2, L3, L4`, true},
		{Stop, func(c *Correction) { c.Params.Level = "L5" }, `params.level: L5 needs a quorum and custody, not available as a direct correction; allowed: L0, L1, L2, L3, L4`, false},
		{Stop, func(c *Correction) { c.Params.Level = "L6" }, `params.level: L6 needs a quorum and custody, not available as a direct correction; allowed: L0, L1, L2, L3, L4`, false},
		{Stop, func(c *Correction) { c.Params.Drain = 1 }, `params.drain: only L2 drains; leave it out`, true},
		{Stop, func(c *Correction) { c.Params = Params{Level: "L2", Drain: -1} }, `params.drain: -1ns is out of bounds; give more than 0s and at most 24h`, true},
		{Stop, func(c *Correction) { c.Params = Params{Level: "L2", Drain: Duration(25 * time.Hour)} }, `params.drain: 25h0m0s is out of bounds; give more than 0s and at most 24h`, true},
		{Stop, func(c *Correction) { c.Params.Level, c.Scope.Surfaces = "L4", []string{"api"} }, `scope.surfaces: L4 reaches every surface; use L3 to stop some`, true},
		{Stop, func(c *Correction) { c.Params.Level, c.Except = "L4", &Scope{Orgs: []string{"o"}} }, `except: L4 spares nobody; use L3 to stop with exceptions`, true},

		{Access, func(c *Correction) { c.Params.Mode = "" }, `params.mode: missing mode; allowed: block, allow_only`, true},
		{Access, func(c *Correction) { c.Params.Mode = "deny" }, `params.mode: unknown mode "deny"; allowed: block, allow_only`, true},
		{Access, func(c *Correction) { c.Params.Mode = "allow_only" }, `scope: allow_only needs somebody to allow: give at least one dimension that says who calls; allowed: orgs, users, keys, tiers, ips, countries, attributes`, true},
		{Access, func(c *Correction) { c.Params.Mode, c.Scope = "allow_only", Scope{All: true} }, `scope: allow_only needs somebody to allow: give at least one dimension that says who calls; allowed: orgs, users, keys, tiers, ips, countries, attributes`, true},

		{Use, func(c *Correction) { c.Params.UseCase = "" }, `params.use_case: missing node of the taxonomy, such as "medical/diagnosis"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "a//b" }, `params.use_case: "a//b" has an empty segment; write "a" or "a/b"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "/a" }, `params.use_case: "/a" has an empty segment; write "a" or "a/b"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "a/" }, `params.use_case: "a/" has an empty segment; write "a" or "a/b"`, true},
		{Use, func(c *Correction) { c.Params.UseCase = "a" + strings.Repeat("/a", 16) }, `params.use_case: has more than 16 segments`, true},
		{Use, func(c *Correction) { c.Params.UseCase = long }, `params.use_case: has 513 bytes; at most 512`, true},
		{Use, func(c *Correction) { c.Params.Basis = "inferred" }, `params.basis: unknown basis "inferred"; allowed: declared`, true},
		{Use, func(c *Correction) { c.Params.Action = "acknowledge" }, `params.action: unknown action "acknowledge"; allowed: block`, true},

		{Capability, func(c *Correction) { c.Params = Params{} }, `params: give either a list of features to disable, or a clamp; allowed: disable, clamp`, true},
		{Capability, func(c *Correction) { c.Params.Clamp = map[string]float64{"output_tokens": 1} }, `params: disable and clamp cannot stand together; make two corrections`, true},
		{Capability, func(c *Correction) { c.Params.Disable = []string{"tools", "vision"} }, `params.disable[1]: unknown feature "vision"; allowed: tools, streaming`, true},
		{Capability, func(c *Correction) { c.Params = Params{Clamp: map[string]float64{"temperature": 1}} }, `params.clamp: unknown clamp "temperature"; allowed: output_tokens`, true},
		{Capability, func(c *Correction) { c.Params = Params{Clamp: map[string]float64{"output_tokens": 0}} }, `params.clamp.output_tokens: 0 is out of bounds; give at least 1, or use access block or stop to let nothing through`, true},

		{Rate, func(c *Correction) { c.Params.Metric = "" }, `params.metric: missing metric; allowed: requests, input_tokens, output_tokens, total_tokens, concurrent`, true},
		{Rate, func(c *Correction) { c.Params.Metric = "tool_calls" }, `params.metric: unknown metric "tool_calls"; allowed: requests, input_tokens, output_tokens, total_tokens, concurrent`, true},
		{Rate, func(c *Correction) { c.Params.Limit = nil }, `params.limit: missing; give a whole number of at least 1`, true},
		{Rate, func(c *Correction) { c.Params.Limit = ptr(int64(0)) }, `params.limit: 0 would block everything; use access block or stop, or give at least 1`, true},
		{Rate, func(c *Correction) { c.Params.Limit = ptr(int64(-3)) }, `params.limit: -3 would block everything; use access block or stop, or give at least 1`, true},
		{Rate, func(c *Correction) { c.Params.Window = 0 }, `params.window: missing; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Window = Duration(time.Millisecond) }, `params.window: 1ms is out of bounds; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Window = Duration(31*24*time.Hour + 1) }, `params.window: 744h0m0.000000001s is out of bounds; give 1s to 31d`, true},
		{Rate, func(c *Correction) { c.Params.Metric = "concurrent" }, `params.window: concurrent counts what runs at the same time and takes no window; leave it out`, true},
		{Rate, func(c *Correction) { c.Params.Per = "country" }, `params.per: unknown per "country"; allowed: user, org, key, ip, model, global`, true},
		{Rate, func(c *Correction) { c.Params.OnExceed = "drop" }, `params.on_exceed: unknown on_exceed "drop"; allowed: reject, queue`, true},

		{Stop, func(c *Correction) { c.Scope = Scope{} }, `scope: no condition is given; write {"all": true} to reach everything; allowed: ` + dims, true},
		{Stop, func(c *Correction) { c.Scope.All = true }, `scope.all: cannot stand beside conditions; give one or the other`, true},
		{Stop, func(c *Correction) { c.Scope = Scope{All: true, When: "true"} }, `scope.all: cannot stand beside conditions; give one or the other`, true},
		{Stop, func(c *Correction) { c.Scope.Users = []string{} }, `scope.users: is an empty list, which matches nobody; name somebody, or leave it out to match everybody`, true},
		{Stop, func(c *Correction) { c.Scope.Users = []string{"a", ""} }, `scope.users[1]: is an empty text; an unknown value cannot be listed`, true},
		{Stop, func(c *Correction) { c.Scope.Models = []string{long} }, `scope.models[0]: has 513 bytes; at most 512`, true},
		{Stop, func(c *Correction) { c.Scope.Orgs = []string{"\xff"} }, `scope.orgs[0]: is not valid UTF-8`, true},
		{Stop, func(c *Correction) { c.Scope.Users = make([]string, MaxValues+1); fill(c.Scope.Users, "u") }, `scope.users: has 10001 values, at most 10000; longer ones are a named list`, false},
		{Stop, func(c *Correction) { c.Scope.Lists = []string{"bad-actors"} }, `scope.lists: no list is loaded; give the values themselves`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"10.0.0"} }, `scope.ips[0]: "10.0.0" is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"10.0.0.0/33"} }, `scope.ips[0]: "10.0.0.0/33" is not an address or a prefix; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"fe80::1%eth0"} }, `scope.ips[0]: "fe80::1%eth0" has a zone, which means nothing here; leave it out`, true},
		{Stop, func(c *Correction) { c.Scope.IPs = []string{"::ffff:10.0.0.0/95"} }, `scope.ips[0]: "::ffff:10.0.0.0/95" covers more than IPv4-mapped addresses; write the IPv4 and IPv6 prefixes apart`, true},
		{Stop, func(c *Correction) { c.Scope.Countries = []string{"DEU"} }, `scope.countries[0]: "DEU" is not an ISO 3166-1 alpha-2 code; write for example "DE"`, true},
		{Stop, func(c *Correction) { c.Scope.Countries = []string{"D1"} }, `scope.countries[0]: "D1" is not an ISO 3166-1 alpha-2 code; write for example "DE"`, true},
		{Stop, func(c *Correction) { c.Scope.Attributes = []string{"verified"} }, `scope.attributes[0]: "verified" is not of the form "name=value"`, true},
		{Stop, func(c *Correction) { c.Scope.Attributes = []string{"verified="} }, `scope.attributes[0]: "verified=" is not of the form "name=value"`, true},
		{Stop, func(c *Correction) { c.Scope.UseCases = []string{"a/"} }, `scope.use_cases[0]: "a/" has an empty segment; write "a" or "a/b"`, true},
		{Stop, func(c *Correction) { c.Scope.When = "prompt == 'x'" }, `scope.when: line 1, column 1: undeclared reference to 'prompt'; allowed: ` + names, true},
		{Stop, func(c *Correction) { c.Scope.When = "model" }, `scope.when: must be true or false, but is of type string; allowed: ` + names, true},
		{Stop, func(c *Correction) { c.Scope.When = strings.Repeat(" ", 2049) }, `scope.when: has 2049 bytes; at most 2048; allowed: ` + names, true},

		{Stop, func(c *Correction) { c.Except = &Scope{} }, `except: no condition is given; write {"all": true} to reach everything; allowed: ` + dims, true},
		{Stop, func(c *Correction) { c.Except = &Scope{All: true} }, `except.all: would spare everybody; lift the correction instead`, true},
		{Stop, func(c *Correction) { c.Except = &Scope{Keys: []string{""}} }, `except.keys[0]: is an empty text; an unknown value cannot be listed`, true},

		{Stop, func(c *Correction) { c.Share = 1.5 }, `share: 1.5 is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope`, true},
		{Stop, func(c *Correction) { c.Share = -0.1 }, `share: -0.1 is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope`, true},
		{Stop, func(c *Correction) { c.Share = math.NaN() }, `share: NaN is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope`, true},

		{Stop, func(c *Correction) { c.Reason = " \n" }, `reason: missing; say why, for the record`, false},
		{Stop, func(c *Correction) { c.Reason = strings.Repeat("r", 4097) }, `reason: has 4097 bytes; at most 4096`, false},
		{Stop, func(c *Correction) { c.PublicReason = strings.Repeat("r", 1025) }, `public_reason: has 1025 bytes; at most 1024`, false},
		{Stop, func(c *Correction) { c.Incident = long }, `incident: has 513 bytes; at most 512`, false},
		{Stop, func(c *Correction) { c.Fallback = "\xff" }, `fallback: is not valid UTF-8`, false},
		{Stop, func(c *Correction) { c.ExpiresAt = at }, `expires_at: is in the past; give a later time, or leave it out`, false},
		{Stop, func(c *Correction) { c.StartsAt, c.ExpiresAt = at.Add(2), at.Add(2) }, `starts_at: is not before expires_at; it would never be in force`, false},
		{Stop, func(c *Correction) { c.ReviewBy = at }, `review_by: is in the past; give a later time, or leave it out`, false},
	} {
		t.Run(tc.want, func(t *testing.T) {
			c := valid(tc.kind)
			tc.change(&c)
			err := c.Validate(at)
			if err == nil || err.Error() != tc.want {
				t.Fatalf("Validate:\n%v\nwant\n%s", err, tc.want)
			}
			var fe *FieldError
			if !errors.As(err, &fe) {
				t.Errorf("error is a %T, not a *FieldError", err)
			}
			if _, err := Compile([]Correction{c}); (err != nil) != tc.compile {
				t.Errorf("Compile: %v, want an error: %v", err, tc.compile)
			}
		})
	}
}

func TestCompileRefusesTwoOfOneID(t *testing.T) {
	a, b := valid(Stop), valid(Access)
	a.ID, b.ID = "c-1", "c-1"
	_, err := Compile([]Correction{a, b})
	if err == nil || !strings.Contains(err.Error(), `id "c-1" stands for more than one`) {
		t.Errorf("Compile: %v", err)
	}
}
