package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/authority"
	"andon/correction"
)

// params are the parameters of a correction as they go over the wire. The control
// plane decides about them, and its refusal is shown.
type params = map[string]any

// verb describes one way to apply a correction.
type verb struct {
	use, short, long, example string
	kind                      correction.Kind
	bare                      string // what an argument without "=" means: "model", "" for nothing
	flags                     func(*cobra.Command)
	params                    func(args *[]string, now time.Time) (params, error) // may take arguments away
}

func (c *command) correctionVerbs() []*cobra.Command {
	verbs := []func() *verb{stopVerb, blockVerb, allowOnlyVerb, limitVerb, disableVerb, clampVerb, prohibitVerb, filterVerb, pinVerb}
	var out []*cobra.Command
	for _, v := range verbs {
		out = append(out, c.correct(v()))
	}
	return append(out, c.liftCmd(), c.extendCmd(), c.unlinkCmd(), c.acknowledgeCmd())
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
L5 (sealed) and L6 (destroyed) take a quorum and a record: andon custody open.

` + authority.GoodFaith + ` "andon lift" takes it back.`,
		example: `  andon stop sim-large --reason "answers with other people's data"
  andon stop sim-large --level L2 --drain 5m --reason "bad weights" --fallback sim-small`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&level, "level", "L3", "L0 to L4")
			cmd.Flags().StringVar(&drain, "drain", "", "with L2: how long running work may go on (default 2m)")
		},
		params: func(*[]string, time.Time) (params, error) {
			p := params{"level": stopLevel(level)}
			if l := p["level"]; l == "L5" || l == "L6" {
				return nil, usagef("andon custody open MODEL --level "+stopLevel(level)+" --reason …", "%s takes a quorum and a custody record; opening a case stops the model at once", l)
			}
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
	var linked []string
	return &verb{
		use: "block [org=NAME | user=NAME | …] --reason TEXT", kind: correction.Access,
		short: "Refuse a subject: org, user, key, address, …",
		long: `Refuse a subject. With --linked, accounts that share an organisation or the value of
an attribute with it are refused too, also ones that come later: "andon links ID"
shows each link and why, "andon unlink" takes one away for good.`,
		example: `  andon block org=acme --reason "key was stolen"
  andon block user=u-17 model=sim-large --for 2h --reason "scraping"
  andon block user=u-17 --linked org,device,payment --reason "came back twice"`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringSliceVar(&linked, "linked", nil, "catch accounts with the same `NAME`: org, or names of attributes")
		},
		params: func(*[]string, time.Time) (params, error) {
			p := params{"mode": "block"}
			if len(linked) > 0 {
				p["linked"] = linked
			}
			return p, nil
		},
	}
}

func allowOnlyVerb() *verb {
	return &verb{
		use: "allow-only [org=NAME | …] --reason TEXT", kind: correction.Access,
		short:   "Refuse everybody who is not listed",
		example: `  andon allow-only org=acme,acme-eu model=sim-large --reason "staged return"`,
		params:  func(*[]string, time.Time) (params, error) { return params{"mode": "allow_only"}, nil },
	}
}

// prohibitVerb makes a use.
func prohibitVerb() *verb {
	var basis, detector, by string
	var threshold float64
	return &verb{
		use: "prohibit USE_CASE --reason TEXT", kind: correction.Use,
		short: "Prohibit a class of use, with everything below it",
		long: `Prohibit a class of use, with everything below it. "andon use-cases" lists the classes.
A use is what the caller or its key declares, or with --basis inferred what a configured
detector finds. With --acknowledge-by it is allowed to who acknowledges it in time.`,
		example: `  andon prohibit legal/advice --all --reason "outside the terms"
  andon prohibit cyber/malware --basis inferred --detector guard --threshold 0.8 --all --reason "reports"
  andon prohibit medical --acknowledge-by 72h --all --reason "new terms" --public-reason "see the terms of use"`,
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&basis, "basis", "", "declared (default) or inferred")
			f.StringVar(&detector, "detector", "", "inferred: a detector that the gateways' configuration names")
			f.Float64Var(&threshold, "threshold", 0, "inferred: the score from which on it is this use (default 0.5)")
			f.StringVar(&by, "acknowledge-by", "", "allow it to who acknowledges it until then: 72h from now, or an instant (RFC 3339)")
		},
		params: func(args *[]string, now time.Time) (params, error) {
			names := bareArgs(args)
			if len(names) != 1 {
				return nil, usagef("andon prohibit legal/advice …", "exactly one use case is needed")
			}
			p := params{"use_case": names[0]}
			if detector != "" && basis == "" {
				basis = "inferred" // only that has a detector
			}
			for name, value := range map[string]string{"basis": basis, "detector": detector} {
				if value != "" {
					p[name] = value
				}
			}
			if threshold != 0 {
				p["threshold"] = threshold
			}
			if by != "" {
				deadline, err := instant("--acknowledge-by", by, now)
				if err != nil {
					return nil, err
				}
				p["action"], p["acknowledge_by"] = "acknowledge", deadline
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
