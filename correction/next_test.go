package correction

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sameAsCompiled says where a policy differs from the one that Compile makes.
func sameAsCompiled(p *Policy, cs []Correction, lists Lists) string {
	want, err := CompileWith(cs, lists)
	if err != nil {
		return err.Error()
	}
	list := func(p *Policy) (ids []string) {
		p.Each(func(r *Rule) bool {
			ids = append(ids, fmt.Sprint(r.rank, " ", r.Correction.ID))
			return true
		})
		return ids
	}
	if p.Len() != len(cs) {
		return fmt.Sprintf("Len is %d, want %d", p.Len(), len(cs))
	}
	return cmp.Diff(list(want), list(p)) + cmp.Diff(want.changes, p.changes) + cmp.Diff(want.Waiting(), p.Waiting())
}

// Whatever comes, goes, changes and moves, Next says what Compile and the
// definitions say.
func TestNextIsWhatCompileMakes(t *testing.T) {
	layered, shrunk := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		cs, lists := genCorrections(t, 12), genLists(t)
		p := mustCompile(t, cs, lists)
		ids := len(cs)
		var v, w Verdict
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			cs = slices.Clone(cs) // a follower's copies, which share what they point to
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				at := rapid.IntRange(0, len(cs)).Draw(t, "at")
				switch what := rapid.IntRange(0, 4).Draw(t, "what"); {
				case at == len(cs) || what == 0:
					cs = slices.Insert(cs, at, genCorrection(t, fmt.Sprintf("c-%02d", ids)))
					ids++
				case what == 1:
					cs = slices.Delete(cs, at, at+1)
				case what == 2: // another one under the same id
					cs[at] = genCorrection(t, cs[at].ID)
				case what == 3: // as an operator extends one
					cs[at].ExpiresAt = genTime(t, "extended")
				default:
					cs = rapid.Permutation(cs).Draw(t, "order")
				}
			}
			if lists = maps.Clone(lists); rapid.Bool().Draw(t, "change lists") {
				switch name := rapid.SampledFrom(poolLists).Draw(t, "list"); rapid.IntRange(0, 2).Draw(t, "to") {
				case 0:
					delete(lists, name)
				case 1:
					lists[name] = &testList{lost: true}
				default:
					lists[name] = genList(t, rapid.SampledFrom([]dim{dimUser, dimOrg, dimKey}).Draw(t, "of"))
				}
			}
			next, err := p.Next(pointers(cs), asLists(lists))
			if err != nil {
				t.Fatalf("Next: %v", err)
			}
			compiled := mustCompile(t, cs, lists)
			if d := sameAsCompiled(next, cs, asLists(lists)); d != "" {
				t.Fatal(d)
			}
			for range 4 {
				r, now := genRequest(t), genSpan(t)
				want := oracle(cs, &r, now, lists)
				if d := cmp.Diff(want, judged(next, &r, now, &v)); d != "" {
					t.Fatalf("request %+v at %v\n(-oracle +Next)\n%s", r, now, d)
				}
				if d := cmp.Diff(want, judged(compiled, &r, now, &w)); d != "" {
					t.Fatalf("request %+v at %v\n(-oracle +Compile)\n%s", r, now, d)
				}
			}
			if len(next.recent.rules) > 0 {
				layered++
			}
			if next.stale > 0 {
				shrunk++
			}
			p = next
		}
	})
	if layered == 0 || shrunk == 0 {
		t.Errorf("%d policies had something recent and %d something gone; Next only ever compiled", layered, shrunk)
	}
}

// The policy before stays what it was, and can be asked while the next is made.
func TestNextLeavesTheOldPolicyAlone(t *testing.T) {
	const steps = 300 // past the point where all is indexed anew
	cs := make([]Correction, 0, 64+steps)
	for i := range 64 {
		c := block(fmt.Sprintf("c-%04d", i), Scope{Users: []string{fmt.Sprintf("u-%d", i)}, Models: []string{"m"}})
		if i%4 == 0 {
			c.Scope = Scope{IPs: []string{fmt.Sprintf("10.0.%d.0/24", i)}}
		}
		cs = append(cs, c)
	}
	p := compile(t, cs...)
	request := func(i int) Request { return Request{Model: "m", Users: []string{fmt.Sprintf("u-%d", i)}} }
	var wg sync.WaitGroup
	for i := range steps {
		old, dropped := p, i+1
		if i%4 == 3 {
			dropped = -1 // it has an address, or is gone already
		}
		next := slices.Clone(cs)
		if dropped > 0 {
			at := slices.IndexFunc(next, func(c Correction) bool { return slices.Contains(c.Scope.Users, fmt.Sprintf("u-%d", dropped)) })
			if at < 0 {
				t.Fatalf("step %d: nothing blocks user %d", i, dropped)
			}
			next = slices.Delete(next, at, at+1)
		}
		user := 64 + i
		next = append(next, block(fmt.Sprintf("c-%04d", user), Scope{Users: []string{fmt.Sprintf("u-%d", user)}, Models: []string{"m"}}))
		wg.Go(func() {
			var v Verdict
			r := request(user)
			for range 20 {
				if old.Decide(&r, At(at), &v); !v.Allowed() {
					t.Errorf("step %d: the old policy refuses what only the next one does", i)
				}
			}
			if dropped > 0 {
				r = request(dropped)
				if old.Decide(&r, At(at), &v); v.Allowed() {
					t.Errorf("step %d: the old policy lets pass what only the next one does", i)
				}
			}
		})
		var err error
		if p, err = p.Next(pointers(next), nil); err != nil {
			t.Fatal(err)
		}
		var v Verdict
		r := request(user)
		if p.Decide(&r, At(at), &v); len(v.Refused) != 1 {
			t.Fatalf("step %d: %d rules refuse, want the new one", i, len(v.Refused))
		}
		if dropped > 0 {
			r = request(dropped)
			if p.Decide(&r, At(at), &v); !v.Allowed() {
				t.Fatalf("step %d: a dropped rule still refuses", i)
			}
		}
		cs = next
	}
	wg.Wait()
	if d := sameAsCompiled(p, cs, nil); d != "" {
		t.Error(d)
	}
}

// A policy refers to the corrections that it was last made of alone, so that
// all before them can be freed.
func TestNextLetsGoOfOldCorrections(t *testing.T) {
	cs := []Correction{block("a", Scope{Users: []string{"u"}, Orgs: []string{"o"}}), block("b", Scope{Orgs: []string{"o"}})}
	p := compile(t, cs...)
	for i := range 3 {
		cs = append(slices.Clone(cs), block(fmt.Sprintf("c-%d", i), Scope{Orgs: []string{"o"}}))
		var err error
		if p, err = p.Next(pointers(cs), nil); err != nil {
			t.Fatal(err)
		}
		n := 0
		p.Each(func(r *Rule) bool {
			if r.Correction != &cs[n] {
				t.Errorf("step %d: rule %s is not of the last corrections", i, r.Correction.ID)
			}
			n++
			return true
		})
		if n != len(cs) || len(p.recent.rules) != i+1 {
			t.Fatalf("step %d: %d rules, %d of them recent", i, n, len(p.recent.rules))
		}
	}
}

// What Compile refuses, Next refuses in the same words.
func TestNextRefusesWhatCompileRefuses(t *testing.T) {
	good := []Correction{block("a", Scope{Users: []string{"u"}}), block("b", Scope{Orgs: []string{"o"}})}
	p := compile(t, good...)
	for name, cs := range map[string][]Correction{
		"one id twice":             append(slices.Clone(good), good[0]),
		"one id for two kinds":     append(slices.Clone(good), Correction{ID: "a", Kind: Stop, Params: Params{Level: "L3"}, Scope: Scope{All: true}}),
		"no scope":                 append(slices.Clone(good), block("c", Scope{})),
		"a level that is not one":  append(slices.Clone(good), Correction{ID: "c", Kind: Stop, Params: Params{Level: "L9"}, Scope: Scope{All: true}}),
		"a kind that is not one":   append(slices.Clone(good), Correction{ID: "c", Kind: "pause", Scope: Scope{All: true}}),
		"an address that is not":   append(slices.Clone(good), block("c", Scope{IPs: []string{"10.0.0.0.1"}})),
		"an expression that fails": append(slices.Clone(good), block("c", Scope{When: "model"})),
	} {
		_, want := Compile(cs)
		got, err := p.Next(pointers(cs), nil)
		if err == nil || want == nil || err.Error() != want.Error() || got != nil {
			t.Errorf("%s: Next says %v, Compile %v", name, err, want)
		}
	}
}

// Without a policy, and with one of nothing, Next is Compile.
func TestNextOfNothing(t *testing.T) {
	cs := []Correction{block("a", Scope{Users: []string{"u"}})}
	var none *Policy
	for name, p := range map[string]*Policy{"nil": none, "empty": compile(t), "zero": new(Policy)} {
		next, err := p.Next(pointers(cs), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := sameAsCompiled(next, cs, nil); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if next, err = next.Next(nil, nil); err != nil || next.Len() != 0 {
			t.Errorf("%s: nothing left is %d rules, %v", name, next.Len(), err)
		}
		r := Request{Users: []string{"u"}}
		var v Verdict
		if next.Decide(&r, At(at), &v); !v.Allowed() {
			t.Errorf("%s: what was dropped refuses", name)
		}
	}
}

// What is recent stands in tables of its own, beside those of the base,
// and is found however much of it there is.
func TestNextFindsWhatIsRecent(t *testing.T) {
	p := compile(t, block("base", Scope{Users: []string{"someone"}}))
	var cs []Correction
	for i := range 64 {
		c := block(fmt.Sprintf("c-%03d", i), Scope{Users: []string{fmt.Sprintf("u-%d", i)}})
		if i%4 == 0 {
			c = Correction{ID: c.ID, Kind: Use, Params: Params{UseCase: fmt.Sprintf("area/%d", i)}, Scope: Scope{All: true}}
		}
		cs = append(slices.Clone(cs), c)
		var err error
		if p, err = p.Next(pointers(cs), nil); err != nil || len(p.recent.rules) != i+1 {
			t.Fatalf("step %d: %d recent rules, %v", i, len(p.recent.rules), err)
		}
		var v Verdict
		for j := range i + 2 {
			r := Request{Users: []string{"", fmt.Sprintf("u-%d", j)}, UseCases: []string{"", "/", fmt.Sprintf("area/%d/part", j)}}
			want := 1
			if j > i {
				want = 0
			}
			if p.Decide(&r, At(at), &v); len(v.Refused) != want {
				t.Fatalf("step %d: %d rules refuse request %d, want %d", i, len(v.Refused), j, want)
			}
		}
	}
}

func pointers(cs []Correction) []*Correction {
	all := make([]*Correction, len(cs))
	for i := range cs {
		all[i] = &cs[i]
	}
	return all
}
