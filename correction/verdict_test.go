package correction

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFallback(t *testing.T) {
	stop := func(id, level, fallback string) Correction {
		return Correction{ID: id, Kind: Stop, Params: Params{Level: level}, Scope: Scope{All: true}, Fallback: fallback}
	}
	block := func(id, fallback string) Correction {
		return Correction{ID: id, Kind: Access, Params: Params{Mode: "block"}, Scope: Scope{All: true}, Fallback: fallback}
	}
	shadow := block("s", "none")
	shadow.Mode = Shadow
	for _, tc := range []struct {
		name string
		own  string
		cs   []Correction
		want string
	}{
		{"nothing refuses", "small", nil, ""},
		{"a stop permits the model's own", "small", []Correction{stop("a", "L3", "")}, "small"},
		{"a model without its own", "", []Correction{stop("a", "L3", "")}, ""},
		{"a stop names another", "small", []Correction{stop("a", "L3", "tiny")}, "tiny"},
		{"a stop says none", "small", []Correction{stop("a", "L3", "none")}, ""},
		{"a block permits none by itself", "small", []Correction{block("a", "")}, ""},
		{"a block names one", "small", []Correction{block("a", "tiny")}, "tiny"},
		{"one says none", "small", []Correction{stop("a", "L3", "tiny"), block("b", "none")}, ""},
		{"the milder says none", "small", []Correction{stop("a", "L3", "tiny"), stop("b", "L1", "none")}, ""},
		{"a block beside a stop permits none", "small", []Correction{stop("a", "L3", ""), block("b", "")}, ""},
		{"the most severe wins", "small", []Correction{stop("a", "L1", "one"), stop("b", "L3", "three")}, "three"},
		{"of equals the first id wins", "small", []Correction{stop("b", "L3", "two"), stop("a", "L3", "one")}, "one"},
		{"the most severe leaves it to the model", "small", []Correction{stop("a", "L3", ""), stop("b", "L1", "one")}, "small"},
		{"no own for one of two", "", []Correction{stop("a", "L3", "one"), stop("b", "L1", "")}, ""},
		{"shadow has no say", "small", []Correction{stop("a", "L3", ""), shadow}, "small"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := decide(compile(t, tc.cs...), &Request{Model: "large"})
			if got := v.Fallback(tc.own); got != tc.want {
				t.Errorf("Fallback(%q) = %q, want %q", tc.own, got, tc.want)
			}
		})
	}
}

func TestRefusedIsInOrderOfSeverity(t *testing.T) {
	all := Scope{All: true}
	p := compile(t,
		Correction{ID: "a", Kind: Capability, Params: Params{Disable: []string{"streaming"}}, Scope: all},
		Correction{ID: "b", Kind: Use, Params: Params{UseCase: "x"}, Scope: all},
		Correction{ID: "c", Kind: Access, Params: Params{Mode: "block"}, Scope: all},
		Correction{ID: "d", Kind: Stop, Params: Params{Level: "L1"}, Scope: all},
		Correction{ID: "e", Kind: Stop, Params: Params{Level: "L2"}, Scope: all},
		Correction{ID: "f", Kind: Stop, Params: Params{Level: "L3"}, Scope: all},
		Correction{ID: "g2", Kind: Stop, Params: Params{Level: "L4"}, Scope: all},
		Correction{ID: "g1", Kind: Stop, Params: Params{Level: "L4"}, Scope: all},
		Correction{ID: "h", Kind: Stop, Params: Params{Level: "L6"}, Scope: all},
		Correction{ID: "i", Kind: Stop, Params: Params{Level: "L0"}, Scope: all},
	)
	v := decide(p, &Request{UseCases: []string{"x/y"}, Features: Streaming})
	if d := cmp.Diff([]string{"h", "g1", "g2", "f", "e", "d", "c", "b", "a"}, ids(v.Refused)); d != "" {
		t.Error(d)
	}
	if p.Len() != 10 {
		t.Errorf("Len() = %d, want 10", p.Len())
	}
	var each []string
	p.Each(func(r *Rule) bool {
		each = append(each, r.Correction.ID)
		return len(each) < 3
	})
	if d := cmp.Diff([]string{"h", "g1", "g2"}, each); d != "" {
		t.Error(d)
	}
}

func TestStatus(t *testing.T) {
	for _, tc := range []struct {
		kind  Kind
		level int
		want  int
	}{
		{Stop, 0, 503}, {Stop, 1, 503}, {Stop, 4, 503}, {Stop, 5, 410}, {Stop, 6, 410},
		{Access, -1, 403}, {Use, -1, 403}, {Capability, -1, 422}, {Rate, -1, 429},
	} {
		if got := Status(tc.kind, tc.level); got != tc.want {
			t.Errorf("Status(%s, %d) = %d, want %d", tc.kind, tc.level, got, tc.want)
		}
	}
	if c := (Correction{Kind: Capability, Params: Params{Filter: &Filter{}}}); c.Status() != 403 {
		t.Errorf("Status of a filter = %d, want 403", c.Status())
	}
	if c := (Correction{Kind: Capability, Params: Params{Pin: "v"}}); c.Status() != 422 {
		t.Errorf("Status of a pin = %d, want 422", c.Status())
	}
	if c := (Correction{Kind: Stop, Params: Params{Level: "L5"}}); c.Status() != 410 {
		t.Errorf("Status of L5 = %d, want 410", c.Status())
	}
	for _, info := range Catalogue() {
		if got := Status(info.Kind, 3); info.Status != got {
			t.Errorf("the catalogue says %d of %s, Status %d", info.Status, info.Kind, got)
		}
	}
}

func TestLevel(t *testing.T) {
	for text, want := range map[string]int{"L0": 0, "L3": 3, "L6": 6, "L7": -1, "l3": -1, "3": -1, "": -1, "L33": -1} {
		c := Correction{Kind: Stop, Params: Params{Level: text}}
		if got := c.Level(); got != want {
			t.Errorf("Level of %q = %d, want %d", text, got, want)
		}
		if c.Kind = Access; c.Level() != -1 {
			t.Errorf("Level of an access = %d", c.Level())
		}
	}
}
