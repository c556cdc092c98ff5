// Command bench measures Andon against the figures that it promises, each
// beside what others do on the same machine in the same minutes, and writes
// docs/benchmarks.md.
//
// What it promises: every row is measured, or says that it was not and why; it
// listens on loopback only; every process that it starts is ended when it ends,
// by whatever cause; and it takes less than eight minutes, with -quick less
// than two.
//
// Proxies, gateways, control plane and provider run as processes of their own.
// The load generator runs in this one and shares the machine's cores with
// them, so numbers are to be read beside each other, not alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	ctx     context.Context
	dir     string // temporary folder
	quick   bool
	only    string
	load    string // of the machine, before the run
	profile string // folder for CPU profiles of gateways; "" for none
	files   uint64 // open files that a process may have
	count   atomic.Int64
	years   *record // once a row has asked for it

	mu       sync.Mutex
	children []*child
	ends     []func()
}

// row is one line of the table.
type row struct {
	name string
	run  func(*bench) (*result, error)
}

var rows = []row{
	{"decide", decideRow},
	{"small", smallRow},
	{"throughput", throughputRow},
	{"streams", streamsRow},
	{"large", largeRow},
	{"stop", stopRow},
	{"stop10k", stop10kRow},
	{"block", blockRow},
	{"filter", filterRow},
	{"preview", previewRow},
	{"list", listRow},
	{"memory", memoryRow},
	{"command", commandRow},
	{"startup", startupRow},
	{"pages", pagesRow},
	{"verify", verifyRow},
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		if err := beChild(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	only := flag.String("only", "", "rows to measure, by name, separated by commas: "+strings.Join(names(), ", "))
	quick := flag.Bool("quick", false, "fewer and shorter rounds: under two minutes")
	out := flag.String("o", "", "file for the result besides stdout; left out, docs/benchmarks.md if every row is measured in full")
	profile := flag.String("cpuprofile", "", "folder for CPU profiles of the gateway, one for each row")
	flag.Parse()
	if err := run(*only, *quick, *out, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func names() []string {
	var ns []string
	for _, r := range rows {
		ns = append(ns, r.name)
	}
	return ns
}

func run(only string, quick bool, out, profile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen := rows
	if only != "" {
		chosen = nil
		for n := range strings.SplitSeq(only, ",") {
			i := slices.IndexFunc(rows, func(r row) bool { return r.name == n })
			if i < 0 {
				return fmt.Errorf("there is no row %q; there are %s", n, strings.Join(names(), ", "))
			}
			chosen = append(chosen, rows[i])
		}
	}
	if out == "" && only == "" && !quick {
		out = "docs/benchmarks.md"
	}
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, dir: dir, quick: quick, only: only, load: load(), profile: profile, files: raiseFiles()}
	defer b.clean()
	// A measurement that waits for a child ends when the child does.
	stopped := context.AfterFunc(ctx, b.clean)
	defer stopped()
	began := time.Now()
	var results []*result
	for _, r := range chosen {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		since := time.Now()
		fmt.Fprintf(os.Stderr, "%-11s ", r.name)
		res, err := r.run(b)
		b.clean()
		if err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			res = &result{what: r.name, verdict: "not measured", detail: "Not measured: " + strings.ReplaceAll(err.Error(), dir, "…") + "."}
			var absent errAbsent
			if !errors.As(err, &absent) {
				res.failed = err
			}
		}
		res.name = r.name
		results = append(results, res)
		fmt.Fprintf(os.Stderr, "%s · %s · %s  (%.1f s)\n", res.measured, res.ratio, res.verdict, time.Since(since).Seconds())
		if err != nil {
			fmt.Fprintf(os.Stderr, "%-11s %v\n", "", err)
		}
	}
	report := b.report(results, time.Since(began))
	fmt.Println(report)
	if out != "" {
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
		if err := os.WriteFile(out, []byte(report), 0o644); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
	}
	var failed []error
	for _, r := range results {
		if r.failed != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.name, r.failed))
		}
	}
	return errors.Join(failed...)
}

// onEnd has f called when the row that is being measured ends.
func (b *bench) onEnd(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = append(b.ends, f)
}

// clean ends what a row has started.
func (b *bench) clean() {
	b.stopAll()
	b.mu.Lock()
	ends := b.ends
	b.ends = nil
	b.mu.Unlock()
	for i := len(ends) - 1; i >= 0; i-- {
		ends[i]()
	}
}

// pick chooses between the full and the quick size of something.
func pick[T any](b *bench, full, quick T) T {
	if b.quick {
		return quick
	}
	return full
}
