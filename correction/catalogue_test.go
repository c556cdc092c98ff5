package correction

import (
	"reflect"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What the catalogue lists and what Parse reads are the same.
func TestCatalogueNamesEveryParameter(t *testing.T) {
	var listed []string
	for _, info := range Catalogue() {
		if info.Summary == "" || len(info.Params) == 0 {
			t.Errorf("%s is not described", info.Kind)
		}
		for _, p := range info.Params {
			if p.Summary == "" || p.Type == "" {
				t.Errorf("%s.%s is not described", info.Kind, p.Name)
			}
			listed = append(listed, p.Name)
		}
	}
	names := jsonNames(reflect.TypeFor[Params]())
	slices.Sort(listed)
	slices.Sort(names)
	if listed = slices.Compact(listed); !slices.Equal(listed, names) {
		t.Errorf("the catalogue lists %v, Params has %v", listed, names)
	}
	if out, err := json.Marshal(Catalogue()); err != nil || !jsontext.Value(out).IsValid() {
		t.Errorf("the catalogue as JSON: %s, %v", out, err)
	}
}

func TestCatalogueIsInOrderOfSeverity(t *testing.T) {
	var got []string
	for _, info := range Catalogue() {
		got = append(got, string(info.Kind))
	}
	if !slices.Equal(got, kinds) {
		t.Errorf("kinds are %v, want %v", got, kinds)
	}
}

// Every dimension of a scope is one that is matched, shown and indexed.
func TestEveryDimensionIsKnown(t *testing.T) {
	var known []string
	for _, d := range dimensions {
		known = append(known, d.name)
	}
	known = append(known, "all", "lists", "when", "unknown")
	names := jsonNames(reflect.TypeFor[Scope]())
	slices.Sort(known)
	slices.Sort(names)
	if !slices.Equal(known, names) {
		t.Errorf("known are %v, Scope has %v", known, names)
	}
}

// The registry has a name for each feature, in the order of the bits.
func TestEveryFeatureHasItsName(t *testing.T) {
	var all Features
	for i, f := range features {
		if f.bit != 1<<i || f.Name == "" || f.Summary == "" || len(f.Wires) == 0 || len(f.Effects) == 0 {
			t.Errorf("feature %d is %+v", i, f)
		}
		if FeatureOf(f.Name) != f.bit {
			t.Errorf("FeatureOf(%q) = %d, want %d", f.Name, FeatureOf(f.Name), f.bit)
		}
		all |= f.bit
	}
	if all != Realtime<<1-1 {
		t.Errorf("the registry has %b, the constants end at %b", all, Realtime)
	}
	if got := all.Names(); !slices.Equal(got, featureNames) {
		t.Errorf("Names() = %v", got)
	}
	if got := FeatureOf("vision"); got != 0 {
		t.Errorf("FeatureOf of an unknown name = %d", got)
	}
}

func TestScopeString(t *testing.T) {
	for _, tc := range []struct {
		scope          Scope
		full, publicly string
	}{
		{Scope{All: true}, "everything", "everything"},
		{Scope{Models: []string{"sim-large"}, Orgs: []string{"acme"}}, "model sim-large, org acme", "model sim-large, certain orgs"},
		{Scope{Users: []string{"a", "b"}}, "user a or b", "certain users"},
		{Scope{Models: []string{"a", "b", "c", "d"}}, "model a or b or c or d", "model a or b or c or d"},
		{Scope{Users: []string{"a", "b", "c", "d", "e"}}, "user a or b or c or 2 more", "certain users"},
		{Scope{Tools: []string{"web"}, UseCases: []string{"x/y"}, When: `tier == "free"`}, `tool web, use case x/y, when tier == "free"`, "tool web, use case x/y, when certain conditions hold"},
		{Scope{Lists: []string{"bad"}}, "list bad", "certain lists"},
		{Scope{}, "nothing", "nothing"},
	} {
		if got := tc.scope.String(); got != tc.full {
			t.Errorf("String() = %q, want %q", got, tc.full)
		}
		if got := tc.scope.Public(); got != tc.publicly {
			t.Errorf("Public() = %q, want %q", got, tc.publicly)
		}
	}
}
