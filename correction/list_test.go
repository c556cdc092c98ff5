package correction

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func compileWith(t *testing.T, lists Lists, cs ...Correction) *Policy {
	t.Helper()
	p, err := CompileWith(cs, lists)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLists(t *testing.T) {
	bad := &testList{dimension: "users", values: []string{"eve", "mallory"}}
	net := &testList{dimension: "ips", values: []string{"10.0.0.0/8"}}
	lists := Lists{"bad": bad, "net": net, "lost": Lost, "nil": nil}
	except := func(names ...string) Correction {
		c := block("c", Scope{All: true})
		c.Except = &Scope{Lists: names}
		return c
	}
	for _, tc := range []struct {
		name    string
		c       Correction
		r       Request
		allowed bool
	}{
		{"a listed user", block("c", Scope{Lists: []string{"bad"}}), Request{Users: []string{"bob", "eve"}}, false},
		{"another user", block("c", Scope{Lists: []string{"bad"}}), Request{Users: []string{"bob"}}, true},
		{"no user", block("c", Scope{Lists: []string{"bad"}}), Request{Users: []string{""}}, true},
		{"a listed address", block("c", Scope{Lists: []string{"bad", "net"}}), Request{IP: addr("::ffff:10.1.1.1")}, false},
		{"no address", block("c", Scope{Lists: []string{"net"}}), Request{}, true},
		{"a list beside a dimension", block("c", Scope{Lists: []string{"bad"}, Models: []string{"m"}}), Request{Users: []string{"eve"}, Model: "n"}, true},
		{"lost, in a scope", block("c", Scope{Lists: []string{"lost"}}), Request{}, false},
		{"lost, in an except", except("lost"), Request{Users: []string{"eve"}}, false},
		{"lost, in an allow_only", allowOnly("c", Scope{Lists: []string{"lost"}}), Request{Users: []string{"eve"}}, false},
		{"missing, in a scope", block("c", Scope{Lists: []string{"none"}}), Request{}, true},
		{"nil, in a scope", block("c", Scope{Lists: []string{"nil"}}), Request{}, true},
		{"one of two missing", block("c", Scope{Lists: []string{"bad", "none"}}), Request{Users: []string{"eve"}}, true},
		{"missing, in an except", except("none"), Request{Users: []string{"eve"}}, false},
		{"one of two missing, in an except", except("none", "bad"), Request{Users: []string{"eve"}}, true},
		{"spared", except("bad"), Request{Users: []string{"eve", "mallory"}}, true},
		{"one user more", except("bad"), Request{Users: []string{"eve", "bob"}}, false},
		{"spares nobody without a user", except("bad"), Request{}, false},
		{"allowed", allowOnly("c", Scope{Lists: []string{"bad"}}), Request{Users: []string{"eve"}}, true},
		{"not allowed", allowOnly("c", Scope{Lists: []string{"bad"}}), Request{Users: []string{"bob"}}, false},
		{"allowed by one of two lists", allowOnly("c", Scope{Lists: []string{"bad", "net"}}), Request{Users: []string{"bob"}, IP: addr("10.1.1.1")}, true},
		{"a list and a dimension", allowOnly("c", Scope{Lists: []string{"bad"}, Orgs: []string{"acme"}}), Request{Users: []string{"eve"}}, false},
		{"missing, in an allow_only", allowOnly("c", Scope{Lists: []string{"none"}}), Request{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := compileWith(t, lists, tc.c)
			if v := decide(p, &tc.r); v.Allowed() != tc.allowed {
				t.Errorf("allowed: %v, want %v", v.Allowed(), tc.allowed)
			}
			waits := slices.Contains(tc.c.Scope.Lists, "none") || slices.Contains(tc.c.Scope.Lists, "nil")
			if got := p.Waiting(); (len(got) == 1) != waits {
				t.Errorf("waiting are %v", got)
			}
		})
	}
}

// A list that comes is in force with the next policy, and only what names it is
// compiled again.
func TestNextTakesLists(t *testing.T) {
	cs := []Correction{block("a", Scope{Users: []string{"u"}, Orgs: []string{"o"}}), block("b", Scope{Lists: []string{"l"}}), block("c", Scope{All: true})}
	cs[2].Except = &Scope{Lists: []string{"l"}}
	all := pointers(cs)
	eve := Request{Users: []string{"eve"}}
	lists := Lists{}
	p := compileWith(t, lists, cs...)
	for _, step := range []struct {
		name    string
		to      List
		refused []string
		recent  int
	}{
		{"loaded", &testList{dimension: "users", values: []string{"eve"}}, []string{"b"}, 2},
		{"replaced", &testList{dimension: "users", values: []string{"bob"}}, []string{"c"}, 2},
		{"of another dimension", &testList{dimension: "orgs", values: []string{"eve"}}, []string{"c"}, 2},
		{"lost", Lost, []string{"b", "c"}, 2},
		{"still lost", Lost, []string{"b", "c"}, 2},
		{"of a type that cannot be compared", sliceList{"eve"}, []string{"b"}, 2},
		{"gone", nil, []string{"c"}, 2},
	} {
		if delete(lists, "l"); step.to != nil {
			lists["l"] = step.to // the same map again: a policy has its own
		}
		var err error
		if p, err = p.Next(all, lists); err != nil {
			t.Fatal(err)
		}
		if got := ids(decide(p, &eve).Refused); !slices.Equal(got, step.refused) {
			t.Errorf("%s: refused by %v, want %v", step.name, got, step.refused)
		}
		if len(p.recent.rules) != step.recent {
			t.Errorf("%s: %d rules are recent, want %d", step.name, len(p.recent.rules), step.recent)
		}
		if got, want := len(p.Waiting()), 0; step.to == nil && got != 1 || step.to != nil && got != want {
			t.Errorf("%s: %d rules wait", step.name, got)
		}
	}
}

type sliceList []string

func (sliceList) Dimension() string       { return "users" }
func (l sliceList) Has(v string) bool     { return slices.Contains(l, v) }
func (sliceList) HasAddr(netip.Addr) bool { return false }

func TestListOfNoDimension(t *testing.T) {
	_, err := CompileWith([]Correction{block("c", Scope{Lists: []string{"l"}})}, Lists{"l": &testList{dimension: "models"}})
	if err == nil || !strings.Contains(err.Error(), `compile correction "c": list "l" is of dimension "models", which none can be of`) {
		t.Errorf("CompileWith: %v", err)
	}
}
