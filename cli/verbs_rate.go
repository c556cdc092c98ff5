package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/correction"
)

// rateMetrics are the metrics that have a flag of their own.
var rateMetrics = []struct{ flag, metric string }{
	{"requests", "requests"}, {"input-tokens", "input_tokens"}, {"output-tokens", "output_tokens"},
	{"total-tokens", "total_tokens"}, {"tool-calls", "tool_calls"}, {"concurrent", "concurrent"},
	{"distinct-users", "distinct_users"}, {"distinct-apps", "distinct_apps"},
}

func limitVerb() *verb {
	values := make([]string, len(rateMetrics))
	var metric, most, window, per, exceed string
	return &verb{
		use: "limit [MODEL…] --requests 10/1m --reason TEXT", kind: correction.Rate, bare: "model",
		short: "Limit how much and how often",
		long: `Limit how much and how often. --requests 10/1m is short for
--metric requests --limit 10 --window 1m; the other metrics have such a flag, too.`,
		example: `  andon limit --requests 10/1m --per key --all --reason "load"
  andon limit sim-large --output-tokens 5000/1h --per user --reason "abuse"
  andon limit --concurrent 4 --per org org=acme --reason "runaway agent"
  andon limit --metric tool_calls --limit 100 --window 1d --per user --all --reason "scripts"`,
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			for i, m := range rateMetrics {
				example := "N/WINDOW, such as 10/1m"
				if m.metric == "concurrent" {
					example = "N at once"
				}
				f.StringVar(&values[i], m.flag, "", example)
			}
			f.StringVar(&metric, "metric", "", "what is counted, with --limit and --window")
			f.StringVar(&most, "limit", "", "how much is allowed in a window, or at once")
			f.StringVar(&window, "window", "", "the time over which is counted, 1s to 31d")
			f.StringVar(&per, "per", "", "user, org, key, ip, model or global (default global)")
			f.StringVar(&exceed, "on-exceed", "", "reject (default) or queue")
		},
		params: func(*[]string, time.Time) (params, error) {
			p := params{}
			add := func(flag, metric, number, window string) error {
				if p["metric"] != nil {
					return usagef("one command for each limit", "two limits at once: %s and %s", p["metric"], metric)
				}
				n, err := strconv.ParseInt(number, 10, 64)
				switch {
				case err != nil:
					return usagef("--"+flag+" 10/1m", "--%s %q does not start with a whole number", flag, number)
				case window != "" && metric == "concurrent":
					return usagef("--concurrent "+number, "what runs at once has no window")
				case window == "" && metric != "concurrent":
					return usagef("--"+flag+" "+number+"/1m", "--%s needs a window", flag)
				}
				p["metric"], p["limit"] = metric, n
				if window == "" {
					return nil
				}
				if _, err := correction.ParseDuration(window); err != nil {
					return usagef("--"+flag+" "+number+"/1m", "--%s: %v", flag, err)
				}
				p["window"] = window
				return nil
			}
			for i, m := range rateMetrics {
				if values[i] == "" {
					continue
				}
				number, window, timed := strings.Cut(values[i], "/")
				if timed && window == "" {
					return nil, usagef("--"+m.flag+" "+number+"/1m", "--%s needs a window", m.flag)
				}
				if err := add(m.flag, m.metric, number, window); err != nil {
					return nil, err
				}
			}
			switch {
			case metric != "" && most == "":
				return nil, usagef("--metric "+metric+" --limit 10 --window 1m", "--metric needs --limit")
			case metric != "":
				if err := add("limit", strings.ReplaceAll(metric, "-", "_"), most, window); err != nil {
					return nil, err
				}
			case most != "" || window != "":
				return nil, usagef("--metric requests --limit 10 --window 1m", "--limit and --window need --metric")
			}
			if p["metric"] == nil {
				return nil, usagef("--requests 10/1m, --input-tokens, --output-tokens, --total-tokens, --tool-calls, --distinct-users, --distinct-apps or --concurrent 4", "it does not say what to limit")
			}
			if per != "" {
				p["per"] = per
			}
			if exceed != "" {
				p["on_exceed"] = exceed
			}
			return p, nil
		},
	}
}
