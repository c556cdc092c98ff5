package control

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"andon/authority"
)

var updateRoles = flag.Bool("update-roles", false, "write testdata/roles.txt anew")

// unread is a body that must not be read.
type unread struct{ read bool }

func (u *unread) Read([]byte) (int, error) { u.read = true; return 0, errors.New("read too early") }

// TestWhatEachRoleMayDo holds every route against testdata/roles.txt, which is for
// people to review: which action a route is, and which roles may do it. Each asks
// who it is before it reads anything that was sent.
func TestWhatEachRoleMayDo(t *testing.T) {
	w := newWorld(t, nil)
	var got strings.Builder
	got.WriteString("# route · action · roles (an administrator may do everything). Written by go test ./control -run TestWhatEachRoleMayDo -update-roles\n")
	for i := range table {
		rt := &table[i]
		if rt.open {
			fmt.Fprintf(&got, "%s %s · open\n", rt.method, rt.path)
			continue
		}
		if rt.path == "/api/v1/whoami" {
			fmt.Fprintf(&got, "%s %s · everybody\n", rt.method, rt.path)
			continue
		}
		// A token without scopes: the first action that is asked for is refused by name.
		op := &operator{id: "op-1", name: "ann", roles: authority.All}
		op.via = &caller{c: w.c, cred: badge{id: "t-1", kind: kindAPI, owner: "op-1", by: "op-1"}, self: op}
		body := &unread{}
		req, err := http.NewRequest(rt.method, "http://x"+rt.path+"?nonsense=1", body)
		must(t, err)
		p := asProblem(rt.serve(w.c, &call{w: &recorder{header: http.Header{}}, r: req, op: op}))
		action, _, ok := strings.Cut(p.Detail, " is outside the scopes")
		if p.Code != "forbidden" || !ok || body.read {
			t.Errorf("%s %s does not ask first who may: %s: %s (body read: %v)", rt.method, rt.path, p.Code, p.Detail, body.read)
			continue
		}
		roles := permits[action].String()
		if permits[action] == authority.All {
			roles = "everybody"
		}
		fmt.Fprintf(&got, "%s %s · %s · %s\n", rt.method, rt.path, action, strings.ReplaceAll(roles, "nobody", "-"))
	}
	file := filepath.Join("testdata", "roles.txt")
	if *updateRoles {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	known := map[string]bool{}
	for line := range strings.Lines(string(want)) {
		known[line] = true
	}
	for line := range strings.Lines(got.String()) {
		if !known[line] {
			t.Errorf("not in %s: %s", file, line)
		}
		delete(known, line)
	}
	for line := range known {
		t.Errorf("no longer so: %s", line)
	}
}

// TestNobodyIsAnsweredUnderALock: who reads an answer slowly, or not at all, would
// hold up every command for as long.
func TestNobodyIsAnsweredUnderALock(t *testing.T) {
	files, err := fs.Glob(os.DirFS("."), "*.go")
	must(t, err)
	n := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n++
			held := false
			for _, st := range fn.Body.List { // what a function literal defers ends with the literal
				if d, ok := st.(*ast.DeferStmt); ok {
					if sel, ok := d.Call.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "RUnlock" || sel.Sel.Name == "Unlock") {
						of, _ := sel.X.(*ast.SelectorExpr)
						held = held || of != nil && slices.Contains([]string{"mu", "command", "setting"}, of.Sel.Name)
					}
				}
				ast.Inspect(st, func(x ast.Node) bool {
					if sel, ok := x.(*ast.SelectorExpr); ok && held && (sel.Sel.Name == "reply" || sel.Sel.Name == "raw" || strings.HasPrefix(sel.Sel.Name, "reply")) {
						t.Errorf("%s: %s answers while it holds a lock", name, fn.Name.Name)
					}
					return true
				})
			}
		}
	}
	if n < 500 {
		t.Fatal("only", n, "functions were looked at")
	}
}
