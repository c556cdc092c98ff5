// Command suites runs the test suites that openai-go and anthropic-sdk-go ship
// against a mock made from the providers' OpenAPI documents: once directly and
// once through a gateway that nothing is forbidden on. The same tests must
// pass. Where the two differ, it names the tests, shows what they said, and
// ends with status 1.
//
// The suites are compiled where the module cache has them, at the versions of
// go.mod, and only their tests that call an API are run. The mock is the npm
// package of package-lock.json, installed here. The documents are read from
// ../shared/data. Everything listens on loopback and ends with the program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"
)

// sdk is one suite, and the document that its mock is made from.
type sdk struct {
	name   string
	module string
	spec   string // below data
	root   string // of the paths at the gateway that the document leaves out
	wire   string
	least  int // tests that must pass directly, so that a mock that fails proves nothing
}

var sdks = []sdk{
	{"openai-go", "github.com/openai/openai-go/v3", "openai-openapi/openapi.json.gz", "/v1", "openai", 200},
	{"anthropic-sdk-go", "github.com/anthropics/anthropic-sdk-go", "anthropic-openapi/mock-spec.json.gz", "", "anthropic", 300},
}

const (
	data  = "../shared/data" // from the repository's root
	bound = 30 * time.Minute // for everything, compiling included
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	same, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
	}
	if err != nil || !same {
		os.Exit(1)
	}
}

func run(ctx context.Context) (same bool, err error) {
	if _, err := os.Stat(data); err != nil {
		return false, fmt.Errorf("the OpenAPI documents are needed, from the repository's root: %w", err)
	}
	dir, err := os.MkdirTemp("", "andon-suites-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := install(ctx); err != nil {
		return false, err
	}
	// Compiling needs all cores; the suites mostly wait for the mock.
	binaries := make([][]binary, len(sdks))
	for i, s := range sdks {
		start := time.Now()
		if binaries[i], err = compile(ctx, s, filepath.Join(dir, s.name)); err != nil {
			return false, err
		}
		fmt.Printf("%-17s compiled in %s\n", s.name, time.Since(start).Round(time.Second))
	}
	results := make([]string, len(sdks))
	passed := make([]bool, len(sdks))
	errs := make([]error, len(sdks))
	var all sync.WaitGroup
	for i, s := range sdks {
		all.Go(func() { results[i], passed[i], errs[i] = judge(ctx, s, binaries[i], filepath.Join(dir, s.name)) })
	}
	all.Wait()
	same = true
	for i := range sdks {
		fmt.Print(results[i])
		if errs[i] != nil {
			return false, fmt.Errorf("%s: %w", sdks[i].name, errs[i])
		}
		same = same && passed[i]
	}
	return same, nil
}

// judge runs one suite both ways and says how they differ.
func judge(ctx context.Context, s sdk, binaries []binary, dir string) (report string, same bool, err error) {
	m, err := startMock(ctx, s, dir)
	if err != nil {
		return "", false, err
	}
	defer m.stop()
	start := time.Now()
	direct, err := runAll(ctx, binaries, m.url+s.root)
	if err != nil {
		return "", false, err
	}
	middle := time.Now()
	g, err := startGateway(ctx, s, m.url, filepath.Join(dir, "gateway"))
	if err != nil {
		return "", false, err
	}
	defer g.stop()
	through, err := runAll(ctx, binaries, g.url+s.root)
	if err != nil {
		return "", false, err
	}
	took := time.Since(middle)
	report, same = compare(s, direct, through)
	ended, err := g.outcomes()
	if err != nil {
		return "", false, err
	}
	// A gateway that was not in the way proves nothing. Each test also asks for the
	// bare root first, to see that somebody listens; that is refused.
	if ended["ok"] < s.least {
		same = false
		report += fmt.Sprintf("%-17s only %d requests went through the gateway\n", s.name, ended["ok"])
	}
	return report + fmt.Sprintf("%-17s directly in %.1f s, through the gateway in %.1f s; its requests: %v\n", s.name,
		middle.Sub(start).Seconds(), took.Seconds(), ended), same, nil
}
