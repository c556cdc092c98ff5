package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/correction"
)

// params are the parameters of a correction as they go over the wire. They are
// wider than what the control plane takes today: the control plane decides, and
// its refusal is shown.
type params = map[string]any

// verb describes one way to apply a correction.
type verb struct {
	use, short, long, example string
	kind                      correction.Kind
	bare                      string // what an argument without "=" means: "model", "" for nothing
	flags                     func(*cobra.Command)
	params                    func(args *[]string) (params, error) // may take arguments away
}

func (c *command) correctionVerbs() []*cobra.Command {
	verbs := []func() *verb{stopVerb, blockVerb, allowOnlyVerb, limitVerb, disableVerb, clampVerb, prohibitVerb, filterVerb, pinVerb}
	var out []*cobra.Command
	for _, v := range verbs {
		out = append(out, c.correct(v()))
	}
	return append(out, c.liftCmd(), c.extendCmd())
}

func stopVerb() *verb {
	var level, drain string
	return &verb{
		use: "stop [MODEL…] --reason TEXT", kind: correction.Stop, bare: "model",
		short: "Take a model away, by level",
		long: `Take a model away. Levels:
  L0  freeze changes
  L1  no new sessions
  L2  drain: what runs may finish within --drain
  L3  hard stop on the chosen surfaces; running streams are cut (default)
  L4  every surface, partners and internal use included

A pull in good faith is never punished. "andon lift" takes it back.`,
		example: `  andon stop sim-large --reason "answers with other people's data"
  andon stop sim-large --level L2 --drain 5m --reason "bad weights" --fallback sim-small`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&level, "level", "L3", "L0 to L4")
			cmd.Flags().StringVar(&drain, "drain", "", "with L2: how long running work may go on (default 2m)")
		},
		params: func(*[]string) (params, error) {
			p := params{"level": stopLevel(level)}
			if drain != "" {
				p["drain"] = drain
			}
			return p, nil
		},
	}
}

// stopLevel takes l3 and 3 for L3.
func stopLevel(text string) string {
	l := strings.ToUpper(text)
	if len(l) == 1 {
		l = "L" + l
	}
	return l
}

func blockVerb() *verb {
	return &verb{
		use: "block [org=NAME | user=NAME | …] --reason TEXT", kind: correction.Access,
		short: "Refuse a subject: org, user, key, address, …",
		example: `  andon block org=acme --reason "key was stolen"
  andon block user=u-17 model=sim-large --for 2h --reason "scraping"`,
		params: func(*[]string) (params, error) { return params{"mode": "block"}, nil },
	}
}

func allowOnlyVerb() *verb {
	return &verb{
		use: "allow-only [org=NAME | …] --reason TEXT", kind: correction.Access,
		short:   "Refuse everybody who is not listed",
		example: `  andon allow-only org=acme,initech model=sim-large --reason "staged return"`,
		params:  func(*[]string) (params, error) { return params{"mode": "allow_only"}, nil },
	}
}

var rateMetrics = []struct{ flag, metric string }{
	{"requests", "requests"}, {"input-tokens", "input_tokens"}, {"output-tokens", "output_tokens"},
	{"total-tokens", "total_tokens"}, {"concurrent", "concurrent"},
}

func limitVerb() *verb {
	values := make([]string, len(rateMetrics))
	var per, exceed string
	return &verb{
		use: "limit [MODEL…] --requests 10/1m --reason TEXT", kind: correction.Rate, bare: "model",
		short: "Limit how much and how often",
		example: `  andon limit --requests 10/1m --per key --all --reason "load"
  andon limit sim-large --output-tokens 5000/1h --per user --reason "abuse"
  andon limit --concurrent 4 --per org org=acme --reason "runaway agent"`,
		flags: func(cmd *cobra.Command) {
			for i, m := range rateMetrics {
				example := "N/WINDOW, such as 10/1m"
				if m.metric == "concurrent" {
					example = "N at once"
				}
				cmd.Flags().StringVar(&values[i], m.flag, "", example)
			}
			cmd.Flags().StringVar(&per, "per", "", "user, org, key, ip, model or global (default global)")
			cmd.Flags().StringVar(&exceed, "on-exceed", "", "reject (default) or queue")
		},
		params: func(*[]string) (params, error) {
			p := params{}
			for i, m := range rateMetrics {
				if values[i] == "" {
					continue
				}
				if p["metric"] != nil {
					return nil, usagef("one command for each limit", "two limits at once: %s and %s", p["metric"], m.metric)
				}
				number, window, timed := strings.Cut(values[i], "/")
				n, err := strconv.ParseInt(number, 10, 64)
				switch {
				case err != nil:
					return nil, usagef("--"+m.flag+" 10/1m", "--%s %q does not start with a whole number", m.flag, values[i])
				case timed && m.metric == "concurrent":
					return nil, usagef("--concurrent "+number, "what runs at once has no window")
				case !timed && m.metric != "concurrent":
					return nil, usagef("--"+m.flag+" "+number+"/1m", "--%s needs a window", m.flag)
				}
				p["metric"], p["limit"] = m.metric, n
				if timed {
					if _, err := correction.ParseDuration(window); err != nil {
						return nil, usagef("--"+m.flag+" "+number+"/1m", "--%s: %v", m.flag, err)
					}
					p["window"] = window
				}
			}
			if p["metric"] == nil {
				return nil, usagef("--requests 10/1m, --input-tokens, --output-tokens, --total-tokens or --concurrent 4", "it does not say what to limit")
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

// bareArgs takes the arguments without "=" out of args.
func bareArgs(args *[]string) []string {
	var bare, rest []string
	for _, a := range *args {
		if strings.Contains(a, "=") {
			rest = append(rest, a)
			continue
		}
		for _, one := range strings.Split(a, ",") {
			if one = strings.TrimSpace(one); one != "" {
				bare = append(bare, one)
			}
		}
	}
	*args = rest
	return bare
}

func disableVerb() *verb {
	return &verb{
		use: "disable FEATURE… --reason TEXT", kind: correction.Capability,
		short:   "Switch features off: tools, streaming",
		example: `  andon disable tools model=sim-large --reason "runs commands it should not"`,
		params: func(args *[]string) (params, error) {
			features := bareArgs(args)
			if len(features) == 0 {
				return nil, usagef("andon disable tools …", "it does not say what to switch off")
			}
			return params{"disable": features}, nil
		},
	}
}

func clampVerb() *verb {
	var tokens string
	return &verb{
		use: "clamp --output-tokens N --reason TEXT", kind: correction.Capability, bare: "model",
		short:   "Bound a value: output_tokens",
		example: `  andon clamp sim-large --output-tokens 200 --reason "long answers leak"`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&tokens, "output-tokens", "", "longest answer, in tokens, at least 1")
		},
		params: func(args *[]string) (params, error) {
			clamp := map[string]int64{}
			var rest []string
			for _, a := range *args { // output_tokens=200 works as well
				name, value, ok := strings.Cut(a, "=")
				if n, err := strconv.ParseInt(value, 10, 64); ok && err == nil && strings.Contains(name, "_") {
					clamp[name] = n
					continue
				}
				rest = append(rest, a)
			}
			*args = rest
			if tokens != "" {
				n, err := strconv.ParseInt(tokens, 10, 64)
				if err != nil {
					return nil, usagef("--output-tokens 200", "--output-tokens %q is not a whole number", tokens)
				}
				clamp["output_tokens"] = n
			}
			if len(clamp) == 0 {
				return nil, usagef("--output-tokens 200", "it does not say what to clamp")
			}
			return params{"clamp": clamp}, nil
		},
	}
}

func prohibitVerb() *verb {
	return &verb{
		use: "prohibit USE_CASE --reason TEXT", kind: correction.Use,
		short:   "Prohibit a class of use, with everything below it",
		example: `  andon prohibit legal/advice --all --reason "outside the terms"`,
		params: func(args *[]string) (params, error) {
			names := bareArgs(args)
			if len(names) != 1 {
				return nil, usagef("andon prohibit legal/advice …", "exactly one use case is needed")
			}
			return params{"use_case": names[0]}, nil
		},
	}
}

func filterVerb() *verb {
	var direction, detector, action string
	var threshold float64
	return &verb{
		use: "filter --direction output --detector NAME --action cut --reason TEXT", kind: correction.Capability,
		short: "Filter content on its way in or out (not yet)",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&direction, "direction", "output", "input or output")
			cmd.Flags().StringVar(&detector, "detector", "", "what decides")
			cmd.Flags().Float64Var(&threshold, "threshold", 0, "from which score on")
			cmd.Flags().StringVar(&action, "action", "block", "block, redact, cut, reroute or hold")
		},
		params: func(*[]string) (params, error) {
			if detector == "" {
				return nil, usagef("--detector NAME", "it does not say what decides")
			}
			return params{"filter": map[string]any{"direction": direction, "detector": detector, "threshold": threshold, "action": action}}, nil
		},
	}
}

func pinVerb() *verb {
	return &verb{
		use: "pin MODEL VERSION --reason TEXT", kind: correction.Capability, bare: "model",
		short: "Serve an earlier version of a model (not yet)",
		params: func(args *[]string) (params, error) {
			a := *args
			if len(a) < 2 || strings.Contains(a[len(a)-1], "=") {
				return nil, usagef("andon pin MODEL VERSION …", "a model and a version are needed")
			}
			*args = a[:len(a)-1]
			return params{"pin": a[len(a)-1]}, nil
		},
	}
}
