package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// address is the variable by which a test that calls an API finds its server.
const address = "TEST_API_BASE_URL"

// binary is a compiled test package.
type binary struct {
	dir, file string
	tests     []string // those that call an API
}

// compile builds every test package of a module that calls an API.
func compile(ctx context.Context, s sdk, out string) ([]binary, error) {
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", s.module))
	if err != nil {
		return nil, err
	}
	root = strings.TrimSpace(root)
	tests, err := callers(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	var all []binary
	for _, dir := range slices.Sorted(maps.Keys(tests)) {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(out, fmt.Sprintf("%d.test", len(all)))
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-o", file, "./"+filepath.ToSlash(rel))
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
		if _, err := output(cmd); err != nil {
			return nil, fmt.Errorf("compile %s %s: %w", s.module, rel, err)
		}
		all = append(all, binary{dir, file, tests[dir]})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no test of %s reads %s", s.module, address)
	}
	return all, nil
}

func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return string(out), nil
}

// callers finds, by folder, the tests that read the server's address.
func callers(root string) (map[string][]string, error) {
	tests := map[string][]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(src, []byte(address)) {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, is := decl.(*ast.FuncDecl)
			if !is || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			if bytes.Contains(src[fn.Body.Pos()-1:fn.Body.End()-1], []byte(address)) {
				dir := filepath.Dir(name)
				tests[dir] = append(tests[dir], fn.Name.Name)
			}
		}
		return nil
	})
	return tests, err
}

// result is what became of a test, and what it said.
type result struct{ status, said string }

var verdict = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)

// runAll runs the suites of one module against an address.
func runAll(ctx context.Context, binaries []binary, url string) (map[string]result, error) {
	all := map[string]result{}
	for _, b := range binaries {
		cmd := exec.CommandContext(ctx, b.file, "-test.v", "-test.timeout=5m", "-test.run=^("+strings.Join(b.tests, "|")+")$")
		cmd.Dir = b.dir
		cmd.Env = append(os.Environ(), address+"="+url)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return nil, err
		}
		found := parse(string(out))
		for _, name := range b.tests {
			if found[name].status == "" { // it panicked, or never came to its turn
				found[name] = result{"LOST", tail(string(out))}
			}
		}
		for name, r := range found {
			all[filepath.Base(b.dir)+"."+name] = r
		}
	}
	return all, ctx.Err()
}

// parse reads what go test -v prints. A test's own lines stand before its
// verdict.
func parse(out string) map[string]result {
	found := map[string]result{}
	from := 0
	for _, at := range verdict.FindAllStringSubmatchIndex(out, -1) {
		found[out[at[4]:at[5]]] = result{out[at[2]:at[3]], out[from:at[0]]}
		from = at[1]
	}
	return found
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// compare says which tests the gateway makes another of.
func compare(s sdk, direct, through map[string]result) (report string, same bool) {
	var b strings.Builder
	passed := 0
	same = true
	names := map[string]bool{}
	for name := range direct {
		names[name] = true
	}
	for name := range through {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d, t := direct[name], through[name]
		if d.status == "PASS" {
			passed++
		}
		if (d.status == "PASS") != (t.status == "PASS") {
			same = false
			fmt.Fprintf(&b, "%-17s DIFFERS: %s: %s directly, %s through the gateway\n", s.name, name, d.status, t.status)
			said := t.said
			if t.status == "PASS" {
				said = d.said
			}
			for line := range strings.Lines(tail(said)) {
				fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, "\r\n"))
			}
		}
	}
	if passed < s.least {
		same = false
		fmt.Fprintf(&b, "%-17s only %d tests pass directly, of which at least %d must: the mock is not what it should be\n", s.name, passed, s.least)
	}
	fmt.Fprintf(&b, "%-17s %d tests, %d pass directly\n", s.name, len(names), passed)
	return b.String(), same
}
