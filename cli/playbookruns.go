package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// shownRun is a run as the control plane shows it.
type shownRun struct {
	ID        string    `json:"id"`
	Playbook  string    `json:"playbook"`
	Incident  string    `json:"incident"`
	Reason    string    `json:"reason"`
	State     string    `json:"state"`
	StartedAt time.Time `json:"started_at"`
	By        string    `json:"by"`
	EndedAt   time.Time `json:"ended_at"`
	Note      string    `json:"note"`
	From      string    `json:"from"`
	Steps     []struct {
		Name       string    `json:"name"`
		Kind       string    `json:"kind"`
		State      string    `json:"state"`
		What       string    `json:"what"`
		Who        string    `json:"who"`
		Due        time.Time `json:"due"`
		SettledAt  time.Time `json:"settled_at"`
		Auto       bool      `json:"auto"`
		By         string    `json:"by"`
		Before     []string  `json:"before"`
		Correction string    `json:"correction"`
		Evidence   string    `json:"evidence"`
		Choice     string    `json:"choice"`
		Note       string    `json:"note"`
		Held       string    `json:"held"`
		Default    string    `json:"default"`
		Options    []string  `json:"options"`
	} `json:"steps"`
	Exit []struct {
		N        int       `json:"n"`
		Text     string    `json:"text"`
		MetAt    time.Time `json:"met_at"`
		Evidence string    `json:"evidence"`
	} `json:"exit"`
	StopGap *struct {
		For       string    `json:"for"`
		Then      string    `json:"then"`
		DecideBy  time.Time `json:"decide_by"`
		ExpiresAt time.Time `json:"expires_at"`
		Choice    string    `json:"choice"`
		Overdue   bool      `json:"overdue"`
		Options   []string  `json:"options"`
		Next      string    `json:"next"`
	} `json:"stop_gap"`
	Corrections []struct {
		ID        string    `json:"id"`
		State     string    `json:"state"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"corrections"`
	Pending []pendingRun `json:"pending"`
	Changed bool         `json:"changed"`
}

// pendingRun is something that a person has to do.
type pendingRun struct {
	Run  string    `json:"run"`
	Step string    `json:"step"`
	Do   string    `json:"do"`
	What string    `json:"what"`
	Who  string    `json:"who"`
	Due  time.Time `json:"due"`
	Late bool      `json:"late"`
}

// command is the command that does it.
func (p *pendingRun) command(options []string) string {
	a := []string{"runs", p.Do, p.Run}
	if p.Step != "" && p.Do != "resume" {
		a = append(a, p.Step)
	}
	switch p.Do {
	case "decide":
		a = append(a, strings.Join(options, "|"), "--reason", "…")
	case "done":
		a = append(a, "--note", "…")
	case "skip":
		a = append(a, "--reason", "…")
	case "met":
		a = append(a, "N", "--note", "…")
	}
	return quoteAll(a)
}

func (c *command) runsCmd() *cobra.Command {
	cmd := group("runs", "Playbooks that are being carried out: who waits for what, and the next step", c.runsListCmd(), c.runsShowCmd())
	for i := range runVerbs {
		cmd.AddCommand(c.runVerbCmd(&runVerbs[i]))
	}
	cmd.AddCommand(c.runsDecideCmd())
	return cmd
}

// runVerb is one thing that people do to a run.
type runVerb struct {
	name, short string
	step        bool // names a step
	criterion   bool // names an exit criterion by its number
	flag, help  string
	required    bool
}

var runVerbs = []runVerb{
	{name: "advance", short: "Take the steps whose turn it is and that need no confirmation, in your name", flag: "reason", help: "why"},
	{name: "confirm", short: "Apply a correction that waits for somebody's yes", step: true, flag: "note", help: "what speaks for it"},
	{name: "done", short: "Say that a task or a notice is done", step: true, flag: "note", help: "what was done", required: true},
	{name: "skip", short: "Leave a step out", step: true, flag: "reason", help: "why", required: true},
	{name: "retry", short: "Make a step ready again that failed", step: true, flag: "reason", help: "what is different now"},
	{name: "met", short: "Say that an exit criterion is met", criterion: true, flag: "note", help: "what shows it", required: true},
	{name: "pause", short: "Stop the run's steps and its clocks; what is in force stays", flag: "reason", help: "why", required: true},
	{name: "resume", short: "Go on, from now on in your name", flag: "reason", help: "why"},
	{name: "abort", short: "Take no further step; what is in force stays", flag: "reason", help: "why", required: true},
	{name: "end", short: "End the run: all is done and met, or a reason says why not", flag: "reason", help: "why it ends although not all is done"},
}

func (c *command) runVerbCmd(v *runVerb) *cobra.Command {
	var text string
	use, args := v.name+" RUN", 1
	if v.step {
		use, args = use+" STEP", 2
	}
	if v.criterion {
		use, args = use+" N", 2
	}
	if v.required {
		use += " --" + v.flag + " TEXT"
	}
	cmd := &cobra.Command{Use: use, Short: v.short, Args: exactly(args), RunE: func(cmd *cobra.Command, args []string) error {
		body := map[string]any{}
		if v.step {
			body["step"] = args[1]
		}
		if v.criterion {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 {
				return usagef("andon runs met "+args[0]+" 1", "%s is not the number of a criterion; andon runs show %s lists them", args[1], args[0])
			}
			body["criterion"] = n
		}
		switch {
		case text != "":
			body[v.flag] = text
		case v.required:
			return usagef("--"+v.flag+` "…"`, "it does not say %s: --%s is missing", v.help, v.flag)
		case v.name == "advance":
			body["reason"] = "advanced"
		}
		return c.postRun(cmd, "/runs/"+url.PathEscape(args[0])+"/"+v.name, body)
	}}
	cmd.Flags().StringVar(&text, v.flag, "", v.help)
	return cmd
}

func (c *command) runsDecideCmd() *cobra.Command {
	var reason, extend string
	cmd := &cobra.Command{
		Use: "decide RUN [STEP] CHOICE --reason TEXT", Short: "Answer a decision of a run, or say what follows a stop-gap: extend, replace or lapse",
		Example: `  andon runs decide r-3 widen no --reason "still three orgs an hour"
  andon runs decide r-2 extend --for 2h --reason "the fix is being tested"`,
		Long: `Answers a decision of a run. STEP may be left out where a single one is open. Of a stop-gap
it says what follows: extend, replace (by the playbook's ladder) or lapse.`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "…"`, "--reason is required")
			}
			body := map[string]any{"choice": args[len(args)-1], "reason": reason}
			if len(args) == 3 {
				body["step"] = args[1]
			} else if step, err := c.openDecision(cmd, args[0]); err != nil {
				return err
			} else if step != "" {
				body["step"] = step
			}
			if extend != "" {
				body["for"] = extend
			}
			return c.postRun(cmd, "/runs/"+url.PathEscape(args[0])+"/decide", body)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required)")
	cmd.Flags().StringVar(&extend, "for", "", "extend a stop-gap by this, from now")
	return cmd
}

// openDecision is the step of a run that asks for a decision, if a single one does;
// "" where the run is a stop-gap.
func (c *command) openDecision(cmd *cobra.Command, run string) (string, error) {
	var r shownRun
	if err := c.fetch(cmd, "/runs/"+url.PathEscape(run), &r); err != nil {
		return "", err
	}
	if r.StopGap != nil {
		return "", nil
	}
	var steps, commands []string
	for _, s := range r.Steps {
		if s.Kind == "decision" && s.State == "ready" {
			p := pendingRun{Run: r.ID, Step: s.Name, Do: "decide"}
			steps, commands = append(steps, s.Name), append(commands, p.command(s.Options))
		}
	}
	switch len(steps) {
	case 0:
		return "", usagef("andon runs show "+r.ID, "%s asks for no decision now", r.ID)
	case 1:
		return steps[0], nil
	}
	return "", usagef(strings.Join(commands, "; or "), "%s asks for %d decisions: %s; name the step", r.ID, len(steps), strings.Join(steps, ", "))
}

// postRun sends what is done to a run, and shows the run as it is then.
func (c *command) postRun(cmd *cobra.Command, path string, body any) error {
	return send(c, cmd, http.MethodPost, path, body, c.printRun)
}

func (c *command) runsListCmd() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Runs, the latest first, and what people have to do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/runs"
			if state != "" {
				path += "?state=" + url.QueryEscape(state)
			}
			type answer struct {
				Runs    []shownRun   `json:"runs"`
				Next    string       `json:"next"`
				Pending []pendingRun `json:"pending"`
			}
			return show(c, cmd, path, func(list *answer) error {
				if len(list.Runs) == 0 {
					c.printf("no run; andon playbook ls shows what can be run\n")
					return nil
				}
				rows := [][]string{{"RUN", "PLAYBOOK", "STATE", "STEPS", "CRITERIA", "IN FORCE", "BEGUN", "BY", "INCIDENT"}}
				for i := range list.Runs {
					r := &list.Runs[i]
					rows = append(rows, c.runRow(r))
				}
				table(c.Stdout, rows)
				if list.Next != "" {
					c.printf("older ones: after %s\n", list.Next)
				}
				c.printPending(list.Pending, nil)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only those: live, running, paused, ended, aborted")
	return cmd
}

func (c *command) runRow(r *shownRun) []string {
	settled, met, force := 0, 0, 0
	for _, s := range r.Steps {
		if s.State == "done" || s.State == "skipped" || s.State == "passed over" {
			settled++
		}
	}
	for _, e := range r.Exit {
		if !e.MetAt.IsZero() {
			met++
		}
	}
	for _, k := range r.Corrections {
		if k.State == "active" || k.State == "scheduled" {
			force++
		}
	}
	name := r.Playbook
	if r.StopGap != nil {
		name += " (stop-gap)"
	}
	return []string{r.ID, c.cut(name, 34), r.State, fmt.Sprintf("%d/%d", settled, len(r.Steps)), fmt.Sprintf("%d/%d", met, len(r.Exit)), strconv.Itoa(force), until(r.StartedAt, c.Now()), c.person(r.By), dash(r.Incident)}
}

func (c *command) runsShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "One run: its ladder, who waits for what, the clock, and the next command", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/runs/"+url.PathEscape(args[0]), c.printRun)
		},
	}
}
