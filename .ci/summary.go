//go:build ignore

// Command summary reads the JSON lines of `go test -json`, shows the closing line of
// each package as go test prints it and the output of what failed, and ends
// with what ran and what did not, with the reason of every skip.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string
}

type name struct{ pkg, test string }

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	output := map[name][]string{}
	result := map[name]string{}
	bad := false
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil || e.Action == "" {
			fmt.Println(in.Text()) // of the toolchain itself
			continue
		}
		n := name{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			output[n] = append(output[n], e.Output)
			if e.Test == "" && closing(e.Output) {
				fmt.Print(e.Output)
			}
		case "pass", "skip":
			result[n] = e.Action
			if e.Action == "pass" {
				delete(output, n)
			}
		case "fail":
			result[n], bad = "fail", true
			for _, line := range output[n] {
				if e.Test != "" || !closing(line) {
					fmt.Print(line)
				}
			}
		}
	}
	bad = report(result, output) || bad || in.Err() != nil
	if bad {
		os.Exit(1)
	}
}

// closing tells the last line that go test prints for a package.
func closing(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t") || strings.HasPrefix(line, "?   \t") || strings.HasPrefix(line, "---\t")
}

func report(result map[name]string, output map[name][]string) (bad bool) {
	count := map[string]int{}
	packages := 0
	var failed, skipped, notRun []string
	for n, r := range result {
		if n.test == "" {
			if r != "skip" { // a package without tests
				packages++
			}
			if r == "fail" {
				failed = append(failed, n.pkg)
			}
			continue
		}
		count[r]++
		switch r {
		case "fail":
			failed = append(failed, n.pkg+" "+n.test)
		case "skip":
			skipped = append(skipped, n.pkg+" "+n.test+": "+reason(output[n]))
		}
	}
	for _, s := range strings.Split(os.Getenv("NOT_RUN"), "|") {
		if s != "" {
			notRun = append(notRun, s)
		}
	}
	fmt.Println()
	fmt.Printf("ran      %d packages, %d tests passed, %d failed\n", packages, count["pass"], count["fail"])
	list("failed", failed)
	list("skipped", skipped)
	list("not run", notRun)
	return len(failed) > 0
}

func list(title string, what []string) {
	if len(what) == 0 {
		fmt.Printf("%-8s none\n", title)
		return
	}
	sort.Strings(what)
	for _, w := range what {
		fmt.Printf("%-8s %s\n", title, w)
	}
}

// reason is what a skipped test said.
func reason(lines []string) string {
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "===") || strings.HasPrefix(l, "--- SKIP") {
			continue
		}
		if _, after, ok := strings.Cut(l, ".go:"); ok {
			if _, after, ok = strings.Cut(after, ": "); ok {
				return after
			}
		}
		return l
	}
	return "no reason was given"
}
