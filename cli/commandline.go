package cli

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"andon/correction"
)

// commandLine is the command that applies a correction, quoted for a shell. ok is
// false where no command says exactly that.
func (c *command) commandLine(want *correction.Correction) (line string, ok bool) {
	args, ok := arguments(want)
	if !ok || !c.says(args, want) {
		return "", false
	}
	return quoteAll(args), true
}

// says reads a command the way it will be read, and compares what it would apply.
func (c *command) says(args []string, want *correction.Correction) bool {
	make, ok := map[string]func() *verb{"stop": stopVerb, "block": blockVerb, "allow-only": allowOnlyVerb, "limit": limitVerb, "disable": disableVerb,
		"clamp": clampVerb, "prohibit": prohibitVerb, "filter": filterVerb, "pin": pinVerb}[args[0]]
	if !ok {
		return false
	}
	v := make()
	var o options
	cmd := &cobra.Command{}
	o.add(cmd)
	if v.flags != nil {
		v.flags(cmd)
	}
	if cmd.ParseFlags(args[1:]) != nil {
		return false
	}
	d, err := c.draft(v, &o, cmd.Flags().Args())
	if err != nil {
		return false
	}
	text, err := json.Marshal(d)
	if err != nil {
		return false
	}
	got, err := correction.Parse(text)
	if err != nil {
		return false
	}
	a, err := json.Marshal(got, json.Deterministic(true))
	if err != nil {
		return false
	}
	b, err := json.Marshal(want, json.Deterministic(true))
	return err == nil && string(a) == string(b)
}

// arguments are those of the command that applies a correction, if one can.
func arguments(c *correction.Correction) (args []string, ok bool) {
	var a []string
	p := &c.Params
	plain := func(values []string) bool { // can stand as arguments of their own
		return !slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "=, \t\n") || strings.HasPrefix(v, "-") })
	}
	switch c.Kind {
	case correction.Stop:
		a = []string{"stop", "--level", p.Level}
	case correction.Access:
		a = []string{strings.ReplaceAll(p.Mode, "_", "-")}
		if len(p.Linked) > 0 {
			a = append(a, "--linked", csv(p.Linked))
		}
	case correction.Use:
		if !plain([]string{p.UseCase}) {
			return nil, false
		}
		a = []string{"prohibit", p.UseCase}
		if p.Basis == "inferred" {
			a = append(a, "--basis", "inferred", "--detector", p.Detector)
		}
		if p.Threshold != 0 {
			a = append(a, "--threshold", strconv.FormatFloat(p.Threshold, 'f', -1, 64))
		}
		if !p.AcknowledgeBy.IsZero() {
			a = append(a, "--acknowledge-by", p.AcknowledgeBy.UTC().Format(time.RFC3339Nano))
		}
	case correction.Rate:
		value := strconv.FormatInt(*p.Limit, 10)
		if p.Window > 0 {
			value += "/" + p.Window.String()
		}
		a = []string{"limit", "--" + strings.ReplaceAll(p.Metric, "_", "-"), value}
		if p.Per != "" {
			a = append(a, "--per", p.Per)
		}
	case correction.Capability:
		switch f := p.Filter; {
		case len(p.Disable) > 0:
			if !plain(p.Disable) {
				return nil, false
			}
			a = append([]string{"disable"}, p.Disable...)
		case len(p.Clamp) > 0:
			a = []string{"clamp"}
			for _, name := range slices.Sorted(maps.Keys(p.Clamp)) {
				a = append(a, name+"="+strconv.FormatFloat(p.Clamp[name], 'f', -1, 64))
			}
		case p.Pin != "":
			if len(c.Scope.Models) != 1 || !plain(append([]string{p.Pin}, c.Scope.Models...)) {
				return nil, false
			}
			a = []string{"pin", c.Scope.Models[0], p.Pin}
		case f != nil:
			a = []string{"filter", "--direction", f.Direction}
			if f.Detector != correction.DetectorPatterns {
				a = append(a, "--detector", f.Detector)
			}
			for _, text := range f.Patterns {
				a = append(a, "--pattern", text)
			}
			for _, text := range f.Regexps {
				a = append(a, "--regexp", text)
			}
			if f.Exact {
				a = append(a, "--exact")
			}
			if f.Threshold != 0 {
				a = append(a, "--threshold", strconv.FormatFloat(f.Threshold, 'f', -1, 64))
			}
			if f.OnError != "" {
				a = append(a, "--on-error", f.OnError)
			}
			a = append(a, "--action", f.Action)
		}
	}
	if len(a) == 0 {
		return nil, false
	}
	scope := c.Scope
	if p.Pin != "" {
		scope.Models = nil
	}
	a = append(a, scopeArgs(&scope)...)
	if c.Incident != "" {
		a = append(a, "--incident", c.Incident)
	}
	return append(a, "--reason", c.Reason), true
}

// scopeArgs writes a scope as flags.
func scopeArgs(s *correction.Scope) (a []string) {
	for _, d := range dimensions {
		if values := *d.field(s); len(values) > 0 {
			a = append(a, "--"+d.flag, csv(values))
		}
	}
	if s.When != "" {
		a = append(a, "--when", s.When)
	}
	if s.Unknown != "" {
		a = append(a, "--unknown", s.Unknown)
	}
	if s.All {
		a = append(a, "--all")
	}
	return a
}

// commandLine is the command that applies a proposal by its number.
func (s *situation) commandLine(rank int) string {
	a := []string{"propose", s.Threat}
	scope := s.Scope
	scope.Tools = slices.Concat(s.Tools, scope.Tools)
	if s.UseCase != "" {
		scope.UseCases = []string{s.UseCase}
	}
	a = append(a, scopeArgs(&scope)...)
	for _, f := range []struct{ flag, value string }{{"detector", s.Detector}, {"good-version", s.Version}, {"trusted", csv(s.Trusted)}, {"linked", csv(s.Linked)}, {"incident", s.Incident}} {
		if f.value != "" {
			a = append(a, "--"+f.flag, f.value)
		}
	}
	for _, text := range s.Patterns {
		a = append(a, "--pattern", text)
	}
	reason := s.Reason
	if reason == "" {
		reason = "…"
	}
	return quoteAll(append(a, "--apply", strconv.Itoa(rank), "--reason", reason))
}

// csv writes values the way a flag that takes several reads them.
func csv(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		if strings.ContainsAny(v, ",\"\n\r") {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		out[i] = v
	}
	return strings.Join(out, ",")
}

// quoteAll writes a command for a POSIX shell.
func quoteAll(args []string) string {
	out := []string{"andon"}
	for _, a := range args {
		if a == "" || strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@%+,") != "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

// asParams turns parameters into the form in which they go over the wire.
func asParams(p *correction.Params) (params, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var out params
	return out, json.Unmarshal(text, &out)
}
