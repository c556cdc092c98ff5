package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/correction"
)

func disableVerb() *verb {
	return &verb{
		use: "disable FEATURE… --reason TEXT", kind: correction.Capability,
		short: "Switch features off: web_search, tools, streaming, tool:NAME, …",
		long:  "Switch features off. The features:\n  " + wrapWords(capabilityNames(func(k *correction.KindInfo) []correction.ValueInfo { return k.Features })) + "\nand tool:NAME for one tool, by its name or type.",
		example: `  andon disable tools model=sim-large --reason "runs commands it should not"
  andon disable web_search tool:shell org=acme --reason "exfiltration"`,
		params: func(args *[]string, _ time.Time) (params, error) {
			features := bareArgs(args)
			if len(features) == 0 {
				return nil, usagef("andon disable tools …", "it does not say what to switch off; andon kinds lists the features")
			}
			return params{"disable": features}, nil
		},
	}
}

// capabilityNames are the names of a registry of capability.
func capabilityNames(of func(*correction.KindInfo) []correction.ValueInfo) []string {
	var names []string
	for _, k := range correction.Catalogue() {
		for _, v := range of(&k) {
			names = append(names, v.Name)
		}
	}
	return names
}

// wrapWords writes words in lines of a help text.
func wrapWords(words []string) string {
	var b strings.Builder
	width := 0
	for i, w := range words {
		if i > 0 {
			b.WriteByte(',')
			if width+len(w) > 76 {
				b.WriteString("\n ")
				width = 0
			}
			b.WriteByte(' ')
		}
		b.WriteString(w)
		width += len(w) + 2
	}
	return b.String()
}

func clampVerb() *verb {
	var tokens string
	clamps := capabilityNames(func(k *correction.KindInfo) []correction.ValueInfo { return k.Clamps })
	return &verb{
		use: "clamp [MODEL…] NAME=VALUE… --reason TEXT", kind: correction.Capability, bare: "model",
		short: "Bound values: output_tokens, temperature, session_steps, …",
		long:  "Bound values. The clamps:\n  " + wrapWords(clamps) + "\n\"andon kinds\" says what each does.",
		example: `  andon clamp sim-large output_tokens=200 --reason "long answers leak"
  andon clamp session_steps=20 session_spend=0.5 --all --reason "runaway agents"`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&tokens, "output-tokens", "", "the same as output_tokens=N")
		},
		params: func(args *[]string, _ time.Time) (params, error) {
			clamp := map[string]float64{}
			set := func(name, value string) error {
				n, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return usagef(name+"=200", "%s %q is not a number", name, value)
				}
				if _, twice := clamp[name]; twice {
					return usagef(name+"="+value, "%s is given twice", name)
				}
				clamp[name] = n
				return nil
			}
			var rest []string
			for _, a := range *args {
				name, value, ok := strings.Cut(a, "=")
				name = strings.ReplaceAll(name, "-", "_")
				if !ok || !slices.Contains(clamps, name) && isDimension(name) {
					rest = append(rest, a)
					continue
				}
				if !slices.Contains(clamps, name) {
					return nil, usagef("one of "+strings.Join(clamps, ", "), "%q is nothing that can be clamped", name)
				}
				if err := set(name, value); err != nil {
					return nil, err
				}
			}
			*args = rest
			if tokens != "" {
				if _, err := strconv.ParseInt(tokens, 10, 64); err != nil {
					return nil, usagef("--output-tokens 200", "--output-tokens %q is not a whole number", tokens)
				}
				if err := set("output_tokens", tokens); err != nil {
					return nil, err
				}
			}
			if len(clamp) == 0 {
				return nil, usagef("output_tokens=200, or --output-tokens 200", "it does not say what to clamp")
			}
			return params{"clamp": clamp}, nil
		},
	}
}

func filterVerb() *verb {
	f := correction.Filter{}
	var file string
	return &verb{
		use: "filter [MODEL…] --pattern TEXT --action cut --reason TEXT", kind: correction.Capability, bare: "model",
		short: "Filter content on its way in or out, by patterns or a detector",
		long: `Filter content on its way in or out. What is looked for is given here, as texts and
regular expressions (RE2, of bounded length), or known to a detector that the gateways'
configuration names. Texts are found in any case and width, and through invisible
characters, unless --exact.

Actions: block refuses, redact takes the words out, cut ends the answer, reroute asks the
fallback, hold waits for a person (andon holds).`,
		example: `  andon filter --direction output --pattern "internal only" --action cut --all --reason "leak"
  andon filter --pattern-file words.txt --regexp '[0-9]{3}-[0-9]{2}-[0-9]{4}' --action redact org=acme --reason "personal data"
  andon filter sim-large --direction both --detector guard --threshold 0.8 --action block --reason "abuse"`,
		flags: func(cmd *cobra.Command) {
			fs := cmd.Flags()
			fs.StringVar(&f.Direction, "direction", "output", "input, output or both")
			fs.StringArrayVar(&f.Patterns, "pattern", nil, "a literal text; may be given again")
			fs.StringVar(&file, "pattern-file", "", fmt.Sprintf("`file` of literal texts, one on each line; at most %d", correction.MaxPatterns))
			fs.StringArrayVar(&f.Regexps, "regexp", nil, "a regular expression of bounded length; may be given again")
			fs.BoolVar(&f.Exact, "exact", false, "find texts exactly as they are written")
			fs.StringVar(&f.Detector, "detector", "", "a configured detector, instead of patterns")
			fs.Float64Var(&f.Threshold, "threshold", 0, "with --detector: the score from which on it is found (default 0.5)")
			fs.StringVar(&f.OnError, "on-error", "", "with --detector: block (default) or pass while it fails")
			fs.StringVar(&f.Action, "action", "block", "block, redact, cut, reroute or hold")
		},
		params: func(*[]string, time.Time) (params, error) {
			own := f
			if file != "" {
				lines, err := readLines(file)
				if err != nil {
					return nil, err
				}
				own.Patterns = slices.Concat(own.Patterns, lines)
			}
			patterns := len(own.Patterns)+len(own.Regexps) > 0
			switch {
			case own.Detector == "" && !patterns:
				return nil, usagef("--pattern TEXT, --pattern-file FILE, --regexp RE, or --detector NAME", "it does not say what to look for")
			case own.Detector == "":
				own.Detector = correction.DetectorPatterns
			case patterns && own.Detector != correction.DetectorPatterns:
				return nil, usagef("--pattern … alone, or --detector "+own.Detector+" alone", "patterns and a detector are two filters: make a correction of each")
			}
			return params{"filter": own}, nil
		},
	}
}

// maxPatternFile bounds a file of patterns: what a filter may hold, and line ends.
const maxPatternFile = correction.MaxPatterns * (correction.MaxPatternBytes + 2)

// readLines reads texts, one on each line. Empty lines say nothing.
func readLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("a file of literal texts, one on each line", "%v", err)
	}
	defer file.Close()
	var out []string
	s := bufio.NewScanner(io.LimitReader(file, maxPatternFile+1))
	s.Buffer(nil, 1<<20)
	read := 0
	for s.Scan() {
		if read += len(s.Bytes()) + 1; read > maxPatternFile {
			return nil, usagef(fmt.Sprintf("at most %d texts of at most %d bytes each, one on each line", correction.MaxPatterns, correction.MaxPatternBytes), "%s is too large to be a file of patterns", name)
		}
		if line := strings.TrimSuffix(s.Text(), "\r"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read patterns: %w", err)
	}
	if len(out) == 0 {
		return nil, usagef("one text on each line", "%s holds no pattern", name)
	}
	return out, nil
}

func pinVerb() *verb {
	return &verb{
		use: "pin MODEL VERSION --reason TEXT", kind: correction.Capability, bare: "model",
		short:   "Serve a certain version of a model, such as the one before",
		example: `  andon pin sim-large sim-large-2026-10-01 --reason "the new weights are worse"`,
		params: func(args *[]string, _ time.Time) (params, error) {
			a := *args
			if len(a) < 2 || strings.Contains(a[len(a)-1], "=") {
				return nil, usagef("andon pin MODEL VERSION …", "a model and a version are needed")
			}
			*args = a[:len(a)-1]
			return params{"pin": a[len(a)-1]}, nil
		},
	}
}
