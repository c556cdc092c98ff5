package order

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every subject is one that gateways speak or listen on: what is on neither list
// would be denied to those that joined.
func TestEverySubjectHasItsDirection(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(x ast.Node) bool {
			v, ok := x.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(v.Names[0].Name, "Subject") || len(v.Values) != 1 {
				return true
			}
			lit, ok := v.Values[0].(*ast.BasicLit)
			if !ok {
				return true
			}
			subject, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if !slices.Contains(told, subject) && !slices.Contains(heard, subject) {
				t.Errorf("%s (%s): gateways neither speak nor listen there", v.Names[0].Name, subject)
			}
			return true
		})
	}
	if n < 15 {
		t.Errorf("only %d subjects were found: the test looks in the wrong place", n)
	}
}

func TestSpeaker(t *testing.T) {
	for _, tc := range []struct{ subject, on, want string }{
		{"andon.beat", SubjectBeat, ""}, {"andon.beat.gw-2", SubjectBeat, "gw-2"}, {"andon.works.changed.gw-2", SubjectWorkChanged, "gw-2"},
		{Named(SubjectUsage, "gw-1"), SubjectUsage, "gw-1"},
	} {
		if got := Speaker(tc.subject, tc.on); got != tc.want {
			t.Errorf("%s: %q", tc.subject, got)
		}
	}
	publish, subscribe := OwnSubjects("gw-2")
	for _, s := range publish {
		if !strings.HasSuffix(s, ".gw-2") {
			t.Errorf("gw-2 may publish on %s", s)
		}
	}
	for _, s := range []string{SubjectOrder, SubjectRelease, SubjectSuccession, Named(SubjectBeat, "gw-3"), SubjectBeat} {
		if slices.Contains(publish, s) {
			t.Errorf("gw-2 may publish on %s", s)
		}
	}
	if slices.Contains(subscribe, SubjectBeat) || slices.Contains(subscribe, "_INBOX.>") {
		t.Error("gw-2 may listen to others")
	}
}
