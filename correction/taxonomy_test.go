package correction

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTaxonomy(t *testing.T) {
	segment := regexp.MustCompile(`^[a-z_]+(/[a-z_]+)?$`)
	seen := map[string]bool{}
	sources := map[string]int{}
	for _, n := range Taxonomy() {
		if !segment.MatchString(n.ID) || seen[n.ID] {
			t.Errorf("%q is no id of two levels, or stands there twice", n.ID)
		}
		seen[n.ID] = true
		if parent, _, below := strings.Cut(n.ID, "/"); below && !seen[parent] {
			t.Errorf("%s stands before its parent, or has none", n.ID)
		}
		if n.Title == "" || !strings.HasSuffix(n.Definition, ".") || strings.Contains(n.Definition, "—") {
			t.Errorf("%s is not described: %+v", n.ID, n)
		}
		if len(n.Sources) == 0 {
			t.Errorf("%s has no source", n.ID)
		}
		for _, s := range n.Sources {
			sources[s]++
		}
		c := Correction{Kind: Use, Params: Params{UseCase: n.ID}, Scope: Scope{All: true}, Reason: "test"}
		if err := c.Validate(at); err != nil {
			t.Errorf("%s cannot be prohibited: %v", n.ID, err)
		}
		if !KnownUse(n.ID) {
			t.Errorf("%s is not known", n.ID)
		}
	}
	if len(seen) < 40 || len(seen) > 70 || len(sources) != 3 {
		t.Errorf("%d nodes of %v", len(seen), sources)
	}
	// The twelve hazards of AILuminate, each by a node.
	for _, id := range []string{"violence", "crime", "sexual/assault", "minors/sexual", "weapons", "self_harm", "hate", "privacy", "property", "deception/defamation", "sexual/explicit", "medical"} {
		if !slices.ContainsFunc(Taxonomy(), func(n Node) bool { return n.ID == id && slices.Contains(n.Sources, "ailuminate") }) {
			t.Errorf("no node %s for a hazard", id)
		}
	}
	for node, known := range map[string]bool{
		"legal": true, "legal/advice": true, "legal/advice/tenancy": true, "legal/advise": false, "legal/advise/x": false, "leg": false, "": false, "legal/advice/": false, "legal/": false,
	} {
		if KnownUse(node) != known {
			t.Errorf("KnownUse(%q) = %v", node, !known)
		}
	}
}
