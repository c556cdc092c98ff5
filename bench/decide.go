package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// decideRow runs the decision core's own benchmarks.
func decideRow(b *bench) (*result, error) {
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDecide(OneRule|ManyRules)", "-benchtime", pick(b, "300ms", "100ms"), "./correction")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run benchmarks of the decision core: %w %s", err, &errs)
	}
	says := map[string]string{
		"OneRuleMiss": "one correction lists all ids, one all prefixes; nobody is refused by them", "OneRuleHit": "the same; the caller is listed",
		"ManyRulesMiss": "1,101,000 corrections, one for each id and prefix; nobody is refused by them", "ManyRulesHit": "the same; the caller is listed",
	}
	lines := [][]string{{"", "median of batches", "mean", "allocations"}}
	worst, allocs := 0.0, 0.0
	for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
		f := strings.Fields(in.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "BenchmarkDecide") {
			continue
		}
		value := map[string]float64{}
		for i := 2; i+1 < len(f); i += 2 {
			if value[f[i+1]], err = strconv.ParseFloat(f[i], 64); err != nil {
				return nil, fmt.Errorf("read benchmark %q: %w", in.Text(), err)
			}
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(f[0], "BenchmarkDecide"), "-")
		worst, allocs = max(worst, value["median-ns/op"]), max(allocs, value["allocs/op"])
		lines = append(lines, []string{says[name], thousands(int64(value["median-ns/op"])) + " ns", thousands(int64(value["ns/op"])) + " ns", fmt.Sprint(value["allocs/op"])})
	}
	if len(lines) != 1+len(says) {
		return nil, fmt.Errorf("run benchmarks of the decision core: %d of %d came out", len(lines)-1, len(says))
	}
	return &result{
		what: "`Decide` with 1 M blocked ids, 100 k prefixes, 1,000 scoped corrections", target: "at most 1 µs, 0 allocations",
		measured: fmt.Sprintf("%s ns at the worst, %g allocations", thousands(int64(worst)), allocs), ratio: digits(worst/1000) + " of 1 µs",
		verdict: judge(worst <= 1000 && allocs == 0),
		detail: table(lines) + "\nRequests rotate over 4,096 prepared ones with two users, an address, two attributes, three tools and a use case, each with strings of its own, so that no look-up finds its cache lines warm. " +
			"This is the median over batches of 1,024 decisions in one goroutine.\n",
	}, nil
}
