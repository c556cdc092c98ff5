package cli

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/correction"
)

// situation is what is known of a threat.
type situation struct {
	Threat   string           `json:"threat"`
	Scope    correction.Scope `json:"scope"`
	UseCase  string           `json:"use_case,omitempty"`
	Detector string           `json:"detector,omitempty"`
	Patterns []string         `json:"patterns,omitempty"`
	Tools    []string         `json:"tools,omitempty"`
	Version  string           `json:"version,omitempty"`
	Trusted  []string         `json:"trusted,omitempty"`
	Linked   []string         `json:"linked,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	Incident string           `json:"incident,omitempty"`
	Preview  *bool            `json:"preview,omitempty"`
}

// threat is one thing that can be said to be wrong.
type threat struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Definition string `json:"definition"`
	Helps      string `json:"helps"`
}

// proposal is one rung of a ladder.
type proposal struct {
	Rank       int                   `json:"rank"`
	Title      string                `json:"title"`
	Toolkit    string                `json:"toolkit"`
	Correction correction.Correction `json:"correction"`
	Why        string                `json:"why"`
	LeavesOpen string                `json:"leaves_open"`
	Reversible string                `json:"reversible"`
	Speed      string                `json:"speed"`
	Wider      bool                  `json:"wider,omitzero"`
	Next       string                `json:"next,omitempty"`
	Preview    *previewAnswer        `json:"preview,omitempty"`
	Command    string                `json:"command"` // that applies it
}

type ladder struct {
	Threat    threat     `json:"threat"`
	Proposals []proposal `json:"proposals"`
}

func (c *command) proposeCmd() *cobra.Command {
	var s situation
	var scope scopeFlags
	var blind bool
	var apply int
	var wait string
	cmd := &cobra.Command{
		Use: "propose [THREAT] [org=NAME | user=NAME | …]", Short: "What answers a threat: the narrowest corrections that suffice, in order",
		Long: `Proposes corrections for a threat, the narrowest that suffices first, each with what it would do and the command
that applies it. Nothing is applied. Without THREAT it lists the threats. The more is said of what is known (who, which
model, which tools, which use, by which texts it is recognised), the narrower the first proposal is.`,
		Example: `  andon propose
  andon propose account_misuse user=u-17 model=sim-large
  andon propose data_exfiltration --pattern "internal only" --all
  andon propose tool_misuse --tool shell model=sim-large --apply 1 --reason "ran commands"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return c.threats(cmd.Context(), cl)
			}
			s.Threat = strings.ReplaceAll(args[0], "-", "_")
			if strings.Contains(args[0], "=") {
				return usagef("andon propose THREAT "+args[0], "it does not say what is wrong; andon propose lists the threats")
			}
			if err := s.scope(&scope, args[1:]); err != nil {
				return err
			}
			if cmd.Flags().Changed("apply") {
				return c.applyProposal(cmd.Context(), cl, &s, apply, wait)
			}
			if blind {
				s.Preview = new(bool)
			}
			return c.propose(cmd.Context(), cl, &s)
		},
	}
	scope.add(cmd, "key")
	f := cmd.Flags()
	f.StringVar(&s.Detector, "detector", "", "a configured classifier that recognises it")
	f.StringArrayVar(&s.Patterns, "pattern", nil, "a text by which it is recognised")
	f.StringVar(&s.Version, "good-version", "", "an earlier version that is known to be good")
	f.StringSliceVar(&s.Trusted, "trusted", nil, "orgs that may go on")
	f.StringSliceVar(&s.Linked, "linked", nil, "org, or attributes, by which accounts of one subject are known")
	f.StringVar(&s.Reason, "reason", "", "why, for the record of the corrections")
	f.StringVar(&s.Incident, "incident", "", "incident it belongs to")
	f.BoolVar(&blind, "no-preview", false, "do not ask what each would do")
	f.IntVar(&apply, "apply", 0, "apply the proposal of this `number` (needs --reason)")
	addWait(cmd, &wait)
	return cmd
}

// scope reads whom and what it concerns. Tools, and a use, are what is at stake
// rather than a narrowing of whom it concerns.
func (s *situation) scope(flags *scopeFlags, args []string) error {
	for _, a := range args {
		ok, err := pair(a, &flags.reach)
		if err != nil {
			return err
		}
		if !ok {
			return usagef("org="+a+", user="+a+", key="+a+" or model="+a, "%q does not say what it names", a)
		}
	}
	r := &flags.reach
	s.Tools, r.Tools = r.Tools, nil
	if len(r.UseCases) == 1 {
		s.UseCase, r.UseCases = r.UseCases[0], nil
	}
	if !given(r) && (len(s.Tools) > 0 || s.UseCase != "" || len(s.Patterns) > 0 || s.Detector != "") {
		r.All = true
	}
	var except *correction.Scope
	var err error
	if s.Scope, except, err = flags.scopes(); err != nil {
		return err
	}
	if except != nil {
		return usagef("leave it out, and add it to the command that is proposed", "a proposal has no --except")
	}
	return nil
}

func (c *command) threats(ctx context.Context, cl *client) error {
	var l struct {
		Threats []threat `json:"threats"`
	}
	if err := cl.do(ctx, http.MethodGet, "/proposals/threats", nil, nil, &l); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(l)
	}
	sh := c.sheet()
	for i, t := range l.Threats {
		if i > 0 {
			sh.line("")
		}
		sh.line("%s  %s", sh.bold(t.Name), tidy(t.Title))
		sh.line("  %s", tidy(t.Definition))
		sh.line("  %s", sh.dim("it helps to know "+tidy(t.Helps)))
	}
	return sh.flush()
}

func (c *command) ask(ctx context.Context, cl *client, s *situation) (l ladder, err error) {
	err = cl.do(ctx, http.MethodPost, "/proposals", nil, s, &l)
	for i := range l.Proposals {
		p := &l.Proposals[i]
		var ok bool
		if p.Command, ok = c.commandLine(&p.Correction); !ok {
			p.Command = s.commandLine(p.Rank)
		}
	}
	return l, err
}

func (c *command) propose(ctx context.Context, cl *client, s *situation) error {
	l, err := c.ask(ctx, cl, s)
	if err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(l)
	}
	sh := c.sheet()
	sh.line("%s  %s", sh.bold(l.Threat.Title), tidy(l.Threat.Definition))
	if len(l.Proposals) > 0 && l.Proposals[0].Preview != nil {
		sh.coverage(&l.Proposals[0].Preview.Coverage, c.Now())
	}
	for i := range l.Proposals {
		sh.rung(&l.Proposals[i])
	}
	sh.line("")
	sh.line("nothing was applied")
	return sh.flush()
}

// rung draws one proposal.
func (s *sheet) rung(p *proposal) {
	s.line("")
	wider := ""
	if p.Wider {
		wider = "  " + s.warn("reaches further than was asked for")
	}
	s.line("%s  %s%s", s.bold(strconv.Itoa(p.Rank)+"  "+p.Title), s.dim(tidy(p.Toolkit)), wider)
	if v := p.Preview; v != nil {
		s.line("   %s", s.would(v))
	}
	s.line("   %s", tidy(p.Why))
	s.line("   leaves open: %s", tidy(p.LeavesOpen))
	s.line("   takes effect in %s; lifting gives back all %s", tidy(p.Speed), tidy(p.Reversible))
	s.line("   %s", s.bold(p.Command))
}

// would says a preview in one line.
func (s *sheet) would(v *previewAnswer) string {
	var parts []string
	if v.Requests != nil && v.ShareOfTraffic != nil {
		parts = append(parts, number(*v.Requests)+" of "+number(v.Coverage.Recorded)+" recorded requests ("+percent(*v.ShareOfTraffic)+") "+s.bar(*v.ShareOfTraffic))
	} else {
		parts = append(parts, "requests: not known")
	}
	if v.Undecided != nil && *v.Undecided > 0 {
		parts = append(parts, number(*v.Undecided)+" more cannot be told")
	}
	for _, n := range []struct {
		n   *int64
		one string
	}{{v.Users, "user"}, {v.Orgs, "org"}, {v.Keys, "key"}} {
		if n.n != nil {
			parts = append(parts, plural(*n.n, n.one))
		}
	}
	if v.LiveStreams != nil {
		parts = append(parts, number(*v.LiveStreams)+" running would be cut")
	}
	return strings.Join(parts, ", ")
}

// applyProposal posts one of the proposals.
func (c *command) applyProposal(ctx context.Context, cl *client, s *situation, rank int, wait string) error {
	if strings.TrimSpace(s.Reason) == "" {
		return usagef(`--reason "what happened"`, "a reason is required")
	}
	for_, err := waiting(wait)
	if err != nil {
		return err
	}
	s.Preview = new(bool)
	l, err := c.ask(ctx, cl, s)
	if err != nil {
		return err
	}
	if rank < 1 || rank > len(l.Proposals) {
		return usagef("--apply 1 to "+strconv.Itoa(len(l.Proposals)), "there is no proposal %d", rank)
	}
	p := &l.Proposals[rank-1]
	params, err := asParams(&p.Correction.Params)
	if err != nil {
		return err
	}
	d := &draft{Kind: p.Correction.Kind, Params: params, Scope: p.Correction.Scope, Reason: p.Correction.Reason, Incident: p.Correction.Incident}
	if c.asks(d, false) && !c.agreed(ctx, cl, d) {
		c.printf("nothing was done\n")
		return &reported{exitFailed, "not confirmed"}
	}
	return c.apply(ctx, cl, d, "", for_, "")
}
