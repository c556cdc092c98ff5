package main

import "fmt"

// decideRow runs the decision core's own benchmarks.
func decideRow(b *bench) (*result, error) {
	figures, err := b.benchmark("./correction", "^BenchmarkDecide(OneRule|ManyRules)", pick(b, "300ms", "100ms"))
	if err != nil {
		return nil, err
	}
	says := map[string]string{
		"OneRuleMiss": "one correction lists all ids, one all prefixes; nobody is refused by them", "OneRuleHit": "the same; the caller is listed",
		"ManyRulesMiss": "1,101,000 corrections, one for each id and prefix; nobody is refused by them", "ManyRulesHit": "the same; the caller is listed",
	}
	lines := [][]string{{"", "median of batches", "mean", "allocations"}}
	worst, allocs := 0.0, 0.0
	for _, name := range []string{"OneRuleMiss", "OneRuleHit", "ManyRulesMiss", "ManyRulesHit"} {
		value := figures["BenchmarkDecide"+name]
		if value == nil {
			continue
		}
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
