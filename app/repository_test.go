package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

// packages maps each folder with Go files to its files, tests left out.
func packages(t *testing.T) map[string][]*ast.File {
	t.Helper()
	out := map[string][]*ast.File{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "bin" || base == "andon-data") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if ignored(f) {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		out[filepath.ToSlash(rel)] = append(out[filepath.ToSlash(rel)], f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 8 {
		t.Fatalf("only %d packages were found: the test looks in the wrong place", len(out))
	}
	return out
}

// ignored tells files that no build takes in.
func ignored(f *ast.File) bool {
	for _, g := range f.Comments {
		if g.Pos() > f.Package {
			break
		}
		for _, c := range g.List {
			if c.Text == "//go:build ignore" || c.Text == "//go:build deps" {
				return true
			}
		}
	}
	return false
}

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	for dir, files := range packages(t) {
		doc := ""
		for _, f := range files {
			if f.Doc != nil {
				doc = f.Doc.Text()
			}
		}
		name := files[0].Name.Name
		if want := "Package " + name + " "; name != "main" && !strings.HasPrefix(doc, want) {
			t.Errorf("%s: no package comment that starts with %q", dir, want)
		}
		if name == "main" && doc == "" {
			t.Errorf("%s: no comment says what the program does", dir)
		}
		if name == "util" || name == "common" || name == "helpers" || name == "types" {
			t.Errorf("%s: a package is a noun of the domain", dir)
		}
	}
}

// may lists, for each room, which rooms it may import. Arrows only point down.
var may = map[string][]string{
	"correction": {},
	"wire":       {"correction"},
	"detect":     {},
	"keyring":    {},
	"list":       {"correction"},
	"propose":    {"correction"},
	"ledger":     {},
	"witness":    {},
	"bus":        {},
	"credential": {},
	"sim":        {},
	"order":      {"correction"},
	"gateway":    {"bus", "correction", "detect", "list", "order", "wire", "witness"},
	"authority":  {"correction"},
	"blob":       {},
	"people":     {"authority"},
	"plan":       {"authority", "correction", "playbook", "propose"},
	"playbook":   {"correction", "openc2"},
	"incident":   {"authority", "correction"},
	"openc2":     {"correction"},
	"control":    {"authority", "blob", "credential", "incident", "openc2", "people", "plan", "playbook", "bus", "correction", "detect", "ledger", "list", "order", "propose", "witness"},
	"app":        {"authority", "keyring", "people", "plan", "bus", "control", "credential", "correction", "gateway", "ledger", "order", "sim", "wire", "witness"},
	"cli":        {"app", "credential", "authority", "incident", "openc2", "people", "plan", "playbook", "correction", "ledger", "list", "order", "witness"},
	"cmd":        {"app", "cli"},
}

func TestArrowsOnlyPointDown(t *testing.T) {
	for dir, files := range packages(t) {
		room, _, _ := strings.Cut(dir, "/")
		allowed, known := may[room]
		if !known {
			if room != "bench" && room != "sdktest" { // they may use everything
				t.Errorf("%s: a room that architecture does not know; add it to this test", dir)
			}
			continue
		}
		for _, f := range files {
			for _, imp := range f.Imports {
				p, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), "andon/")
				if !ours {
					continue
				}
				other, _, _ := strings.Cut(p, "/")
				if other != room && !slices.Contains(allowed, other) {
					t.Errorf("%s imports %s: the arrow points up", dir, p)
				}
			}
		}
	}
}

// pure rooms do no I/O.
func TestPureRoomsStayPure(t *testing.T) {
	for dir, files := range packages(t) {
		if room, _, _ := strings.Cut(dir, "/"); room != "correction" && room != "list" && room != "wire" {
			continue
		}
		for _, f := range files {
			for _, imp := range f.Imports {
				switch p := strings.Trim(imp.Path.Value, `"`); p {
				case "os", "net", "database/sql", "log/slog", "encoding/json":
					t.Errorf("%s imports %s: the room is pure", dir, p)
				}
			}
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") { // tests may be lists of cases
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if n := strings.Count(string(data), "\n"); n > 500 {
			t.Errorf("%s has %d lines: more than one concern", name, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadmeCommandsExist(t *testing.T) {
	readme, err := os.ReadFile(path.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(path.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`\bmake ([a-z]+)\b`).FindAllStringSubmatch(string(readme), -1)
	if len(targets) < 4 {
		t.Error("README names hardly any make target")
	}
	for _, m := range targets {
		if !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("README: make %s is no target", m[1])
		}
	}
	commands := regexp.MustCompile("(?m)(?:\\./bin/andon|`andon) ([^`#\\n]+)").FindAllStringSubmatch(string(readme), -1)
	if len(commands) < 10 {
		t.Error("README names hardly any command")
	}
	for _, m := range commands {
		if out, ok := understood(t, strings.Fields(strings.SplitN(m[1], "--data andon-data", 2)[0])); !ok {
			t.Errorf("README: andon %s: %s", m[1], out)
		}
	}
}
