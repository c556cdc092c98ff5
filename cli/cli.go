// Package cli is the command line of Andon: one verb for each thing that a
// response team does, over the control API, and the verbs that start the
// program's halves.
//
// It promises few words, the same exit codes everywhere (0 done, 1 failed, 2
// wrong usage, 3 refused by authority, 4 applied but not yet enforced
// everywhere), machine-readable output with -o json, and that text which came
// from elsewhere cannot steer the terminal it is printed on. It keeps no state:
// two commands may run at once.
package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/app/config"
)

// Env is the world that a command runs in.
type Env struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Lookup         func(string) (string, bool) // environment variables
	Now            func() time.Time
	Terminal       bool // stdout is a terminal: colour and refreshed views are welcome
	Interactive    bool // somebody can answer a question
	Version        string
	Daemons        Daemons
}

// Daemons start the long-running parts. Each runs until ctx ends, and then
// stops in good order. Out is for people; logs go elsewhere.
type Daemons struct {
	Serve   func(ctx context.Context, c *config.Config, out io.Writer) error
	Control func(ctx context.Context, c *config.Config, out io.Writer) error
	Gateway func(ctx context.Context, c *config.Config, out io.Writer) error
	Dev     func(ctx context.Context, c *config.Config, out io.Writer) error
	Sim     func(ctx context.Context, listen string, out io.Writer) error
	Issuer  func(ctx context.Context, listen string, out io.Writer) error
	Witness func(ctx context.Context, listen string, logs []string, out io.Writer) error
	Sink    func(ctx context.Context, listen, secret string, out io.Writer) error
}

// command is what the verbs share: the world and the global flags.
type command struct {
	Env
	server, token, dev, output string
	ca                         string
	started                    bool              // arguments were understood
	lines                      *bufio.Reader     // stdin, once secrets were read from it
	asked                      *client           // the last one that was made
	names                      map[string]string // of operators; nil: not asked for yet
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, env Env) int {
	c := &command{Env: env}
	root := c.root()
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if w := (*awaiting)(nil); errors.As(err, &w) {
		err = c.waited(w)
	}
	if !c.started && !isReported(err) {
		var u *usageError
		if !errors.As(err, &u) {
			err = &usageError{detail: err.Error(), hint: "andon --help lists the commands"}
		}
	}
	c.report(err)
	return exitCode(err)
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "andon",
		Short:         "Restrict, degrade or stop a deployed model, everywhere at once",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if c.output != "text" && c.output != "json" {
				return usagef("write -o text or -o json", "unknown output %q", c.output)
			}
			if slices.ContainsFunc(args, func(a string) bool { return strings.TrimSpace(a) == "" }) {
				return usagef(cmd.UseLine(), "an argument is empty")
			}
			c.started = true
			return nil
		},
		Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommandGroupID(groupRun)
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", "", "address of the control plane (ANDON_SERVER)")
	f.StringVar(&c.token, "token", "", "operator token (ANDON_TOKEN)")
	f.StringVar(&c.ca, "ca", "", "`file` of the authority of the control plane's certificate (ANDON_CA)")
	f.StringVar(&c.dev, "dev", "", "data `folder` of make run, to take address and token from its dev.json")
	f.StringVarP(&c.output, "output", "o", "text", "text or json")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if c.wantsJSON() { // flags after the wrong one were not read
			c.output = "json"
		}
		if name := c.verb(); cmd == root && name != "" { // a verb that is not known has no flags: say the former
			return unknownCommand(cmd, name)
		}
		return usagef(cmd.CommandPath()+" --help", "%v", err)
	})
	root.AddGroup(
		&cobra.Group{ID: groupCorrect, Title: "Corrections:"},
		&cobra.Group{ID: groupLook, Title: "What is in force:"},
		&cobra.Group{ID: groupIncident, Title: "Incidents and decisions:"},
		&cobra.Group{ID: groupPrepare, Title: "Preparation and people:"},
		&cobra.Group{ID: groupRecord, Title: "Record and emergencies:"},
		&cobra.Group{ID: groupRun, Title: "Running Andon:"},
	)
	for _, cmd := range c.correctionVerbs() {
		cmd.GroupID = groupCorrect
		root.AddCommand(cmd)
	}
	for _, cmd := range []*cobra.Command{c.statusCmd(), c.proposeCmd(), c.correctionsCmd(), c.explainCmd(), c.watchCmd(), c.pointsCmd(), c.kindsCmd(), c.keysCmd(), c.appsCmd(), c.listCmd(), c.worksCmd(), c.holdsCmd(), c.releaseCmd(), c.rejectCmd(), c.linksCmd(), c.acknowledgementsCmd(), c.useCasesCmd()} {
		cmd.GroupID = groupLook
		root.AddCommand(cmd)
	}
	for _, cmd := range []*cobra.Command{c.ledgerCmd(), c.emergencyCmd(), c.custodyCmd(), c.operatorsCmd()} {
		cmd.GroupID = groupRecord
		root.AddCommand(cmd)
	}
	for id, cmds := range map[string][]*cobra.Command{
		groupIncident: slices.Concat(c.incidentCmds(), c.decisionCmds(), c.playbookCmds(), c.evidenceCmds(), c.restoreCmds(), c.authorityCmds()),
		groupPrepare:  slices.Concat(c.planCmds(), c.peopleCmds(), c.joinCmds(), c.caCmds(), c.signingCmds(), c.termsCmds(), c.concernCmds()),
		groupRecord:   slices.Concat(c.witnessCmds(), c.exchangeCmds(), c.alertCmds(), c.retentionCmds()),
	} {
		for _, cmd := range cmds {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	for _, cmd := range []*cobra.Command{c.devCmd(), c.serveCmd(), c.controlCmd(), c.gatewayCmd(), c.simCmd(), c.configCmd(), c.versionCmd()} {
		cmd.GroupID = groupRun
		root.AddCommand(cmd)
	}
	return root
}

const (
	groupCorrect = "correct"
	groupLook    = "look"
	groupRecord  = "record"
	groupRun     = "run"

	groupIncident = "incident"
	groupPrepare  = "prepare"
)

// exactly takes n arguments, named in the usage line.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usagef(cmd.UseLine(), "%s needed, %d given", plural(int64(n), "argument"), len(args))
	}
}

// noneBelow refuses what is no command below this one, and names what is like it.
func noneBelow(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasAvailableSubCommands(): // there is no other command that it could have been
		return usagef(cmd.UseLine(), "%q does not belong here: %s takes flags alone", args[0], cmd.CommandPath())
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	hint := cmd.CommandPath() + " --help lists the commands"
	if like := cmd.SuggestionsFor(name); len(like) > 0 {
		hint = cmd.CommandPath() + " " + strings.Join(like, ", or "+cmd.CommandPath()+" ")
	}
	return usagef(hint, "unknown command %q", name)
}

// verb is the first argument that is neither a flag nor the value of one.
func (c *command) verb() string {
	for i := 0; i < len(c.Args); i++ {
		switch a := c.Args[i]; {
		case a == "--server" || a == "--token" || a == "--ca" || a == "--dev" || a == "--output" || a == "-o":
			i++
		case !strings.HasPrefix(a, "-"):
			return a
		}
	}
	return ""
}

// wantsJSON tells whether -o json stands anywhere.
func (c *command) wantsJSON() bool {
	for i, a := range c.Args {
		switch {
		case a == "-ojson" || a == "-o=json" || a == "--output=json":
			return true
		case (a == "-o" || a == "--output") && i+1 < len(c.Args) && c.Args[i+1] == "json":
			return true
		}
	}
	return false
}

// group makes a command that only has commands below it.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}
