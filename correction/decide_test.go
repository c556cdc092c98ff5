package correction

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ptr[T any](v T) *T { return &v }

// at is the time at which these tests take place.
var at = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func compile(t testing.TB, cs ...Correction) *Policy {
	t.Helper()
	p, err := Compile(cs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func decide(p *Policy, r *Request) *Verdict {
	var v Verdict
	p.Decide(r, At(at), &v)
	return &v
}

func ids(rules []*Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Correction.ID)
	}
	return out
}

func TestStopReachesItsModelAlone(t *testing.T) {
	p := compile(t, Correction{ID: "c-1", Kind: Stop, Params: Params{Level: "L3"}, Scope: Scope{Models: []string{"sim-large"}}})
	if v := decide(p, &Request{Model: "sim-large"}); v.Allowed() || v.Refused[0].Correction.ID != "c-1" {
		t.Errorf("sim-large is refused by %v, want c-1", ids(v.Refused))
	}
	if v := decide(p, &Request{Model: "sim-small"}); !v.Allowed() {
		t.Errorf("sim-small is refused by %v, want nobody", ids(v.Refused))
	}
}

func block(id string, s Scope) Correction {
	return Correction{ID: id, Kind: Access, Params: Params{Mode: "block"}, Scope: s}
}

func allowOnly(id string, s Scope) Correction {
	return Correction{ID: id, Kind: Access, Params: Params{Mode: "allow_only"}, Scope: s}
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestAddresses(t *testing.T) {
	nested := []Correction{
		block("all4", Scope{IPs: []string{"0.0.0.0/0"}}),
		block("net8", Scope{IPs: []string{"10.0.0.0/8"}}),
		block("net16", Scope{IPs: []string{"10.1.0.0/16"}}),
		block("host-bits", Scope{IPs: []string{"10.1.77.77/16"}}),
		block("mapped", Scope{IPs: []string{"::ffff:10.1.2.0/120"}}),
		block("host", Scope{IPs: []string{"10.1.2.3", "10.1.2.3/32"}}),
		block("six", Scope{IPs: []string{"2001:db8::/32"}}),
		block("all6", Scope{IPs: []string{"::/0"}}),
	}
	p := compile(t, nested...)
	for ip, want := range map[string][]string{
		"10.1.2.3":          {"all4", "host", "host-bits", "mapped", "net16", "net8"},
		"::ffff:10.1.2.3":   {"all4", "host", "host-bits", "mapped", "net16", "net8"},
		"10.1.2.4":          {"all4", "host-bits", "mapped", "net16", "net8"},
		"10.200.0.1":        {"all4", "net8"},
		"203.0.113.1":       {"all4"},
		"2001:db8::1":       {"all6", "six"},
		"2001:db8::1%eth0":  {"all6", "six"},
		"2001:db9::1":       {"all6"},
		"":                  nil,
		"64:ff9b::10.1.2.3": {"all6"}, // NAT64 is IPv6: the gateway has to say what it means
	} {
		if d := cmp.Diff(want, ids(decide(p, &Request{IP: addr(ip)}).Refused)); d != "" {
			t.Errorf("%s: %s", ip, d)
		}
	}
}

// An except compares one by one what the index looks up.
func TestAddressesInShortLists(t *testing.T) {
	p := compile(t, allowOnly("a", Scope{IPs: []string{"::ffff:10.0.0.0/104", "2001:db8::/32", "fe80::/10"}}))
	for ip, allowed := range map[string]bool{
		"10.9.9.9": true, "::ffff:10.9.9.9": true, "11.0.0.1": false, "2001:db8::1": true, "fe80::1%eth0": true, "2001:db9::1": false, "": false,
	} {
		if v := decide(p, &Request{IP: addr(ip)}); v.Allowed() != allowed {
			t.Errorf("%q is allowed: %v, want %v", ip, v.Allowed(), allowed)
		}
	}
}

// The trie of a list past fewValues says the same as the few.
func TestAddressesInLongLists(t *testing.T) {
	long := []string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120"}
	for i := range 20 {
		long = append(long, fmt.Sprintf("172.16.%d.0/24", i))
	}
	p := compile(t, allowOnly("a", Scope{IPs: long}))
	for ip, allowed := range map[string]bool{
		"10.9.9.9": true, "::ffff:10.9.9.9": true, "192.0.2.7": true, "192.0.2.8": false, "2001:db8::9%x": true, "198.51.100.200": true,
		"172.16.19.255": true, "172.16.20.0": false, "": false,
	} {
		if v := decide(p, &Request{IP: addr(ip)}); v.Allowed() != allowed {
			t.Errorf("%q is allowed: %v, want %v", ip, v.Allowed(), allowed)
		}
	}
}

func TestCountriesInAnyCase(t *testing.T) {
	p := compile(t, block("b", Scope{Countries: []string{"de", "Fr"}}), block("c", Scope{Countries: []string{"DE"}, Models: []string{"m"}}))
	for c, want := range map[string][]string{"DE": {"b", "c"}, "de": {"b", "c"}, "dE": {"b", "c"}, "FR": {"b"}, "US": nil, "": nil, "D": nil, "DEU": nil, "D\x05": nil} {
		if d := cmp.Diff(want, ids(decide(p, &Request{Model: "m", Country: c}).Refused)); d != "" {
			t.Errorf("%q: %s", c, d)
		}
	}
}

func TestUseCasesBelowANode(t *testing.T) {
	p := compile(t,
		Correction{ID: "a", Kind: Use, Params: Params{UseCase: "a"}, Scope: Scope{All: true}},
		Correction{ID: "ab", Kind: Use, Params: Params{UseCase: "a/b"}, Scope: Scope{Models: []string{"m"}}},
	)
	for use, want := range map[string][]string{
		"a": {"a"}, "a/b": {"a", "ab"}, "a/b/c": {"a", "ab"}, "a/bc": {"a"}, "ab": nil, "b/a": nil, "": nil, "/a": nil, "a/": {"a"}, "a//b": {"a"}, "A": nil,
		"a" + strings.Repeat("/x", 3000): {"a"}, strings.Repeat("x", 3000) + "/a": nil,
	} {
		if d := cmp.Diff(want, ids(decide(p, &Request{Model: "m", UseCases: []string{"z", use, use}}).Refused)); d != "" {
			t.Errorf("%.40q: %s", use, d)
		}
	}
}

// The same where the node is not what the rule is indexed by.
func TestUseCasesBelowANodeOfAKey(t *testing.T) {
	p := compile(t, Correction{ID: "a", Kind: Use, Params: Params{UseCase: "a"}, Scope: Scope{Keys: []string{"k"}}})
	for use, refused := range map[string]bool{"a": true, "a/b": true, "a/": true, "ab": false, "b/a": false, "": false, "A": false} {
		if v := decide(p, &Request{Key: "k", UseCases: []string{"z", use}}); v.Allowed() == refused {
			t.Errorf("%q is refused: %v, want %v", use, !v.Allowed(), refused)
		}
	}
}

func TestToolsByNameAndType(t *testing.T) {
	p := compile(t, block("t", Scope{Tools: []string{"web_search"}}))
	for _, tools := range [][]string{{"web_search"}, {"function", "web_search"}} {
		if decide(p, &Request{Tools: tools}).Allowed() {
			t.Errorf("%v is allowed", tools)
		}
	}
	if !decide(p, &Request{Tools: []string{"function", "get"}}).Allowed() || !decide(p, &Request{}).Allowed() {
		t.Error("a request without the tool is refused")
	}
}

// Nobody gets out of a correction by naming one more value, and nobody gets
// into an allow_only by it.
func TestSpoofing(t *testing.T) {
	all := Scope{All: true}
	excepting := func(s Scope) Correction { c := block("c", all); c.Except = &s; return c }
	for _, tc := range []struct {
		name    string
		c       Correction
		r       Request
		allowed bool
	}{
		{"blocked user names another first", block("c", Scope{Users: []string{"eve"}}), Request{Users: []string{"bob", "eve"}}, false},
		{"except: the user alone", excepting(Scope{Users: []string{"bob"}}), Request{Users: []string{"bob"}}, true},
		{"except: another names the user", excepting(Scope{Users: []string{"bob"}}), Request{Users: []string{"eve", "bob"}}, false},
		{"except: the user first", excepting(Scope{Users: []string{"bob"}}), Request{Users: []string{"bob", "eve"}}, false},
		{"except: both are spared", excepting(Scope{Users: []string{"bob", "eve"}}), Request{Users: []string{"bob", "eve", "bob"}}, true},
		{"except: nobody is named", excepting(Scope{Users: []string{"bob"}}), Request{}, false},
		{"except: an empty user beside", excepting(Scope{Users: []string{"bob"}}), Request{Users: []string{"bob", ""}}, false},
		{"except: one more use case", excepting(Scope{UseCases: []string{"law"}}), Request{UseCases: []string{"bio", "law"}}, false},
		{"except: the use case alone", excepting(Scope{UseCases: []string{"law"}}), Request{UseCases: []string{"law"}}, true},
		{"except: one more tool", excepting(Scope{Tools: []string{"get", "function"}}), Request{Tools: []string{"function", "get", "shell"}}, false},
		{"except: the tool with its type", excepting(Scope{Tools: []string{"get", "function"}}), Request{Tools: []string{"function", "get"}}, true},
		{"except: the tool without its type", excepting(Scope{Tools: []string{"get"}}), Request{Tools: []string{"function", "get"}}, false},
		{"except: one more attribute", excepting(Scope{Attributes: []string{"staff=yes"}}), Request{Attributes: []string{"staff=no", "staff=yes"}}, false},
		{"except: no org", excepting(Scope{Orgs: []string{"acme"}}), Request{}, false},
		{"allow_only: the user alone", allowOnly("c", Scope{Users: []string{"bob"}}), Request{Users: []string{"bob"}}, true},
		{"allow_only: one more user", allowOnly("c", Scope{Users: []string{"bob"}}), Request{Users: []string{"eve", "bob"}}, false},
		{"allow_only: nobody", allowOnly("c", Scope{Users: []string{"bob"}}), Request{Users: []string{}}, false},
		{"allow_only: unknown country", allowOnly("c", Scope{Countries: []string{"DE"}}), Request{}, false},
		{"allow_only: both dimensions have to match", allowOnly("c", Scope{Orgs: []string{"acme"}, Tiers: []string{"gold"}}), Request{Org: "acme"}, false},
		{"allow_only: both dimensions match", allowOnly("c", Scope{Orgs: []string{"acme"}, Tiers: []string{"gold"}}), Request{Org: "acme", Tier: "gold"}, true},
		{"allow_only: elsewhere", allowOnly("c", Scope{Orgs: []string{"acme"}, Models: []string{"m"}}), Request{Org: "evil", Model: "n"}, true},
		{"allow_only: here", allowOnly("c", Scope{Orgs: []string{"acme"}, Models: []string{"m"}}), Request{Org: "evil", Model: "m"}, false},
		{"allow_only on a tool: one more tool", allowOnly("c", Scope{Orgs: []string{"acme"}, Tools: []string{"shell"}}), Request{Tools: []string{"get", "shell"}}, false},
		{"allow_only: an expression that fails applies", allowOnly("c", Scope{Orgs: []string{"acme"}, When: `attributes[3] == "x=y"`}), Request{Org: "evil"}, false},
		{"use: one more use case", Correction{ID: "c", Kind: Use, Params: Params{UseCase: "bio"}, Scope: all}, Request{UseCases: []string{"law", "bio/virus"}}, false},
		{"scope: an expression that fails reaches", block("c", Scope{When: `attributes[3] == "x=y"`}), Request{}, false},
		{"except: an expression that fails spares nobody", excepting(Scope{When: `attributes[3] != "x=y"`}), Request{}, false},
		{"except: an expression that holds", excepting(Scope{When: `org == "acme"`}), Request{Org: "acme"}, true},
		{"share: nobody known", Correction{ID: "c", Kind: Access, Params: Params{Mode: "block"}, Scope: all, Share: 1e-12}, Request{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if v := decide(compile(t, tc.c), &tc.r); v.Allowed() != tc.allowed {
				t.Errorf("allowed: %v, want %v", v.Allowed(), tc.allowed)
			}
		})
	}
}

// The same value a thousand times is judged once.
func TestRepeatedValuesAppearOnce(t *testing.T) {
	tools := make([]string, 1000)
	for i := range tools {
		tools[i] = []string{"function", "get"}[i%2]
	}
	p := compile(t, block("a", Scope{Tools: []string{"function"}}), block("b", Scope{Tools: []string{"function", "get"}}))
	if d := cmp.Diff([]string{"a", "b"}, ids(decide(p, &Request{Tools: tools}).Refused)); d != "" {
		t.Error(d)
	}
}

func TestShareIsAShare(t *testing.T) {
	const n = 20_000
	cs := []Correction{block("c-1", Scope{All: true}), block("c-2", Scope{All: true})}
	cs[0].Share, cs[1].Share = 0.2, 0.2
	p := compile(t, cs...)
	counts := map[string]int{}
	both := 0
	for i := range n {
		refused := ids(decide(p, &Request{Users: []string{fmt.Sprintf("user-%d", i)}}).Refused)
		for _, id := range refused {
			counts[id]++
		}
		if len(refused) == 2 {
			both++
		}
	}
	for id, got := range counts {
		if got < n*19/100 || got > n*21/100 {
			t.Errorf("%s reaches %d of %d, want a fifth", id, got, n)
		}
	}
	if both < n*3/100 || both > n*5/100 {
		t.Errorf("both reach %d of %d, want a twenty-fifth: they are not independent", both, n)
	}
}

// These must never change: gateways of different versions have to agree.
func TestShareIsTheSameEverywhere(t *testing.T) {
	c := block("c-1", Scope{All: true})
	c.Share = 0.5
	p := compile(t, c)
	got := ""
	for _, r := range []Request{
		{Users: []string{"u-1"}}, {Users: []string{"u-2"}}, {Users: []string{"u-3"}}, {Key: "k-1"}, {Key: "k-2"}, {Key: "k-3"},
		{Org: "acme"}, {Org: "evil"}, {IP: addr("192.0.2.1")}, {IP: addr("192.0.2.2")}, {IP: addr("::ffff:192.0.2.2")}, {IP: addr("2001:db8::1")},
	} {
		if decide(p, &r).Allowed() {
			got += "-"
		} else {
			got += "X"
		}
	}
	if want := "-----XX-X--X"; got != want {
		t.Errorf("inside are %s, want %s", got, want)
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	cs := benchScopedCorrections(rng)
	cs = append(cs, block("u", Scope{Users: []string{benchUser(1), benchUser(2)}}), block("v", Scope{IPs: []string{"0.0.0.0/1"}}))
	kit, lists := benchToolkit()
	p, err := CompileWith(append(cs, kit...), lists)
	if err != nil {
		t.Fatal(err)
	}
	requests := make([]Request, 200)
	for i := range requests {
		requests[i] = benchRequest(rng, i%2 == 0)
	}
	var v Verdict
	acted := 0
	pass := func() {
		for i := range requests {
			p.Decide(&requests[i], At(at), &v)
			acted += min(len(v.Guards), len(v.Clamps), len(v.Filters), len(v.Sessions), len(v.Strips))
		}
	}
	if pass(); acted == 0 {
		t.Error("nothing of the toolkit acted")
	}
	if n := testing.AllocsPerRun(10, pass); n != 0 {
		t.Errorf("%v allocations in %d decisions, want 0", n, len(requests))
	}
}
