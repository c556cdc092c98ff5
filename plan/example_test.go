package plan

import (
	"slices"
	"testing"
	"testing/fstest"
	"time"
)

var today = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// files is an example as Load takes it.
func files(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	all, err := Example(name, today)
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, data := range all {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

// load is an example in its types.
func load(t testing.TB, name string) *Plan {
	t.Helper()
	p, err := Load(files(t, name))
	if err != nil {
		t.Fatalf("example %s:\n%v", name, err)
	}
	return p
}

// TestTheExamplesAreReady: they are what readers copy.
func TestTheExamplesAreReady(t *testing.T) {
	for _, name := range Examples {
		r := Check(load(t, name), Observed{}, today)
		if !r.Ready || len(r.Checks) == 0 {
			t.Errorf("%s is not ready", name)
		}
		for _, f := range r.Findings {
			t.Errorf("%s: %s %s %s: %s", name, f.Level, f.Rule, f.Subject, f.Message)
		}
	}
}

// TestTheExampleOfDevelopersHasAllClasses of threat that a proposal knows.
func TestTheExampleOfDevelopersHasAllClasses(t *testing.T) {
	p := load(t, "frontier")
	for _, class := range Classes() {
		if !slices.ContainsFunc(p.Threats, func(x Threat) bool { return x.Class == class }) {
			t.Error(class)
		}
	}
}
