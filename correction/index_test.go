package correction

import (
	"fmt"
	"testing"
)

// Rules stand under what tells them apart, so that a request looks at few.
func TestRulesAreIndexedByWhatIsRare(t *testing.T) {
	var cs []Correction
	add := func(s Scope) { cs = append(cs, block(fmt.Sprintf("c-%04d", len(cs)), s)) }
	for i := range 200 {
		add(Scope{Models: []string{"m"}, Tiers: []string{"t1"}, Orgs: []string{fmt.Sprintf("o-%d", i)}})
		add(Scope{Models: []string{"m"}, Users: []string{"u"}, Versions: []string{fmt.Sprintf("v-%d", i)}})
		add(Scope{Models: []string{"m"}, IPs: []string{fmt.Sprintf("10.0.%d.0/24", i)}})
	}
	p := compile(t, cs...)
	sizes := map[dim]int{dimOrg: 200, dimVersion: 200}
	for d := range p.base.ix.texts {
		if n := p.base.ix.texts[d].n; n != sizes[dim(d)] {
			t.Errorf("%d values of dimension %d are indexed, want %d", n, d, sizes[dim(d)])
		}
	}
	if len(p.base.ix.nodes) != 200 || len(p.base.ix.lists) != 0 || len(p.base.ix.always) != 0 {
		t.Errorf("%d prefixes, %d lists, %d unindexed rules; want 200, 0, 0", len(p.base.ix.nodes), len(p.base.ix.lists), len(p.base.ix.always))
	}
}

// Whatever has no literal is looked at for every request.
func TestRulesWithoutLiterals(t *testing.T) {
	p := compile(t,
		block("all", Scope{All: true}), block("when", Scope{When: "stream"}), allowOnly("allow", Scope{Users: []string{"u"}}),
		Correction{ID: "frozen", Kind: Stop, Params: Params{Level: "L0"}, Scope: Scope{All: true}},
		Correction{ID: "frozen model", Kind: Stop, Params: Params{Level: "L0"}, Scope: Scope{Models: []string{"m"}}},
	)
	if len(p.base.ix.always) != 4 || p.base.ix.texts[dimModel].n != 1 || p.base.ix.texts[dimUser].n != 0 {
		t.Errorf("%d rules are looked at always, want 4", len(p.base.ix.always))
	}
}
