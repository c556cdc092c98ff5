package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"andon/correction"
)

// benchmark runs benchmarks of a package and returns, for each by its name, its
// figures by their units.
func (b *bench) benchmark(pkg, pattern, lasting string) (map[string]map[string]float64, error) {
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", lasting, pkg)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run benchmarks of %s: %w %s %s", pkg, err, &errs, out)
	}
	all := map[string]map[string]float64{}
	for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
		f := strings.Fields(in.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") || !strings.Contains(in.Text(), "ns/op") {
			continue
		}
		name := f[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		all[name] = map[string]float64{}
		for i := 2; i+1 < len(f); i += 2 {
			if all[name][f[i+1]], err = strconv.ParseFloat(f[i], 64); err != nil {
				return nil, fmt.Errorf("read benchmark %q: %w", in.Text(), err)
			}
		}
	}
	return all, nil
}

// filterRow measures the filter alone, and what it adds to the time to the
// first token of a stream.
func filterRow(b *bench) (*result, error) {
	figures, err := b.benchmark("./detect", "^BenchmarkScan10000$", pick(b, "300ms", "100ms"))
	if err != nil {
		return nil, err
	}
	lines := [][]string{{"10,000 patterns, on one core", "MB/s", "allocations a pass of the text", "held back, at most"}}
	speed, allocs := map[string]float64{}, 0.0
	for _, one := range []struct{ name, says string }{
		{"64B", "prose in chunks of 64 bytes"}, {"4KiB", "prose in chunks of 4 KiB"},
		{"fold/64B", "the same, disregarding case, width and invisible characters; 64 bytes"}, {"fold/4KiB", "likewise; 4 KiB"},
		{"near/64B", "patterns of the text's own kind; 64 bytes"}, {"near/4KiB", "likewise; 4 KiB"},
	} {
		f := figures["BenchmarkScan10000/"+one.name]
		if f == nil {
			return nil, fmt.Errorf("run benchmarks of the filter: %s did not come out", one.name)
		}
		speed[one.name], allocs = f["MB/s"], max(allocs, f["allocs/op"])
		lines = append(lines, []string{one.says, digits(f["MB/s"]), fmt.Sprint(f["allocs/op"]), fmt.Sprintf("%.0f bytes", f["held-B"])})
	}

	free, filtered, err := b.firstTokens(pick(b, 400, 100))
	if err != nil {
		return nil, err
	}
	added := median(filtered) - median(free)
	return &result{
		what: "streaming filter, 10,000 patterns", target: "at least 200 MB/s a core, 0 allocations a chunk; added time to first token under 1 ms at the median",
		measured: fmt.Sprintf("%s MB/s in chunks of 4 KiB, %s of 64 bytes, %g allocations; first token %s later", digits(speed["4KiB"]), digits(speed["64B"]), allocs, ms(added)),
		ratio:    fmt.Sprintf("%s of 200 MB/s, %s of 1 ms", digits(speed["4KiB"]/200), digits(float64(added)/float64(time.Millisecond))),
		verdict:  judge(speed["4KiB"] >= 200 && speed["64B"] >= 200 && allocs == 0 && added < time.Millisecond),
		detail: table(lines) + "\nPatterns are phrases of 16 to 24 bytes of AILuminate's prompts, the text is prose that holds few of them; \"near\" takes phrases of arena-hard's prompts.\n\n" +
			table([][]string{{"time to the first token, one connection, streams of 20 tokens", "p50", "p99"},
				{"no filter", ms(median(free)), ms(quantile(free, 0.99))}, {"10,000 patterns on the answer", ms(median(filtered)), ms(quantile(filtered, 0.99))}}) +
			"\nBoth gateways stand in front of one provider, and take turns call by call.\n",
	}, nil
}

// firstTokens measures streams through a gateway with a filter and one
// without, in turns.
func (b *bench) firstTokens(n int) (free, filtered []time.Duration, err error) {
	provider, err := b.provider("sim")
	if err != nil {
		return nil, nil, err
	}
	var patterns []string
	for i := range 10_000 {
		patterns = append(patterns, fmt.Sprintf("forbidden phrase %x of many", i*2654435761%(1<<32)))
	}
	filter := correction.Correction{ID: "c-filter", Kind: correction.Capability, Scope: correction.Scope{All: true}, Reason: "bench", AppliedAt: time.Now().UTC(),
		Params: correction.Params{Filter: &correction.Filter{Direction: "output", Detector: correction.DetectorPatterns, Patterns: patterns, Action: "cut"}}}
	var conns [2]*client
	var reqs [2][]byte
	for i, cs := range [][]correction.Correction{nil, {filter}} {
		p, err := b.standIn(cs)
		if err != nil {
			return nil, nil, err
		}
		t, err := b.gateway(p, fmt.Sprintf("filter-%d", i), provider.addr)
		if err != nil {
			return nil, nil, err
		}
		if conns[i], err = dial(t.addr); err != nil {
			return nil, nil, err
		}
		defer conns[i].close()
		reqs[i] = request(chatPath, p.key(), streamBody("tokens=20"))
	}
	var took [2][]time.Duration
	for i := range 2 * (n + 20) {
		if b.ctx.Err() != nil {
			return nil, nil, b.ctx.Err()
		}
		k := i % 2
		d, err := conns[k].firstEvent(reqs[k])
		if err != nil {
			return nil, nil, err
		}
		if i >= 40 { // the first ones warm up
			took[k] = append(took[k], d)
		}
	}
	return took[0], took[1], nil
}

// firstEvent reads one stream to its end, and says how long its first event
// with text took.
func (c *client) firstEvent(req []byte) (time.Duration, error) {
	from := time.Now()
	if _, err := c.nc.Write(req); err != nil {
		return 0, err
	}
	h, err := c.receive()
	if err != nil {
		return 0, err
	}
	if h.status != 200 {
		return 0, c.refused(h)
	}
	var first time.Duration
	err = c.body(h, func(p []byte) {
		if first == 0 && bytes.Contains(p, []byte(`"content":"`)) {
			first = time.Since(from)
		}
	})
	if err == nil && first == 0 {
		err = fmt.Errorf("no text came")
	}
	return first, err
}

// previewRow measures the preview over a full record.
func previewRow(b *bench) (*result, error) {
	figures, err := b.benchmark("./gateway/record", "^BenchmarkPreviewMillion$", pick(b, "3x", "1x"))
	if err != nil {
		return nil, err
	}
	lines := [][]string{{"preview of", "time", "of the cores", "calls reached"}}
	worst := 0.0
	for name, f := range figures {
		worst = max(worst, f["ns/op"])
		lines = append(lines, []string{strings.ReplaceAll(name[strings.IndexByte(name, '/')+1:], "_", " "), ms(time.Duration(f["ns/op"])), ms(time.Duration(f["cpu-ms/op"] * 1e6)), thousands(int64(f["hits"]))})
	}
	if len(lines) < 6 {
		return nil, fmt.Errorf("run benchmarks of the preview: only %d came out", len(lines)-1)
	}
	return &result{what: "preview over 1 M recorded requests", target: "under 2 s",
		measured: ms(time.Duration(worst)) + " at the worst", ratio: digits(worst/2e9) + " of 2 s", verdict: judge(worst < 2e9), detail: table(lines)}, nil
}
