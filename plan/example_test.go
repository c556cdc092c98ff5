package plan

import (
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

func TestTheExamplesLoad(t *testing.T) {
	for _, name := range Examples {
		load(t, name)
	}
}
