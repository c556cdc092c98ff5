package plan

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzLoad holds against every text: it never fails but by faults, each with a
// place and words; what is taken is valid, and comes back from JSON as it was;
// and it takes no longer than its bounds allow.
func FuzzLoad(f *testing.F) {
	for _, name := range Examples {
		all, err := Example(name, today)
		if err != nil {
			f.Fatal(err)
		}
		var whole strings.Builder
		for file, data := range all {
			if strings.HasSuffix(file, ".yaml") {
				f.Add(data)
				whole.Write(data)
			}
		}
		f.Add([]byte(whole.String()))
	}
	for _, s := range []string{"", "a", "- a", "models: &a [*a]", "models: [&a {name: *a}]", "? [a]: b", "{", "a: |\n  b", "\ufefforg: x", "org: !!str x", "%YAML 1.2\n---\n", "<<: *x",
		"models: {<<: [*a]}", "org: 'x\n  y'", "andon: 0x1", "x: >-\n\n  y", "org: \"\\u202e\"", "&a a: b", "*a : b", "- - - -", "[[[[{", "a: b: c", "\t", "org: x\r\nowner: y\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		p, err := Load(folder("a.yaml", string(data)))
		if took := time.Since(began); took > 20*time.Second {
			t.Fatalf("it took %v", took)
		}
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > maxFaults || p != nil {
				t.Fatalf("%T %v", err, err)
			}
			for i := range faults {
				if faults[i].Detail == "" || len(faults[i].Error()) > 64<<10 {
					t.Fatalf("%+v", faults[i])
				}
			}
			return
		}
		raw, err := p.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		q, err := Parse(raw)
		if err != nil {
			t.Fatalf("valid as YAML and not as JSON: %v", err)
		}
		if changes := Diff(p, q); len(changes) > 0 {
			t.Fatalf("%+v", changes)
		}
	})
}
