package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"andon/plan"
)

func (c *command) planCheckCmd() *cobra.Command {
	var offline, matrix bool
	var sarif string
	cmd := &cobra.Command{
		Use: "check [DIR]", Short: "The readiness gate: what is missing before something is deployed",
		Long: `Hold a plan against what it takes to be ready. With a folder it is that plan,
else the one in force; either way against what the control plane sees: gateways,
models, accounts, keys, traffic, drills. --offline asks nobody and says which checks
could not be made.

What blocks makes the command fail (exit code 1), unless it is waived: see andon
plan waive. A plan that cannot be read, like any wrong usage, is exit code 2.
--sarif writes SARIF 2.1.0 for code scanning, --matrix shows which corrections answer
which threat, the narrowest first.`,
		Example: "  andon plan check plan\n  andon plan check plan --offline --sarif plan.sarif\n  andon plan check --matrix\n  andon plan check -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usagef("andon plan check DIR", "one plan is checked at a time; %d folders are given", len(args))
			case offline && len(args) == 0:
				return usagef("andon plan check DIR --offline", "--offline asks nobody, so it needs a plan's folder")
			case sarif == "-" && c.output == "json":
				return usagef("--sarif FILE -o json", "the output is either SARIF or JSON")
			}
			r, err := c.checked(cmd.Context(), args, offline)
			if err != nil {
				return err
			}
			if err := c.writeSARIF(r, args, sarif); err != nil {
				return err
			}
			switch {
			case c.output == "json":
				err = c.json(r)
			case sarif != "-":
				c.printReadiness(r, matrix, sarif)
			}
			if err == nil && !r.Ready {
				err = &reported{exitFailed, "not ready"}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&offline, "offline", false, "check the folder alone")
	f.BoolVar(&matrix, "matrix", false, "show the coverage matrix, threats × corrections")
	f.StringVar(&sarif, "sarif", "", "write SARIF 2.1.0 to this `file`; - is the output")
	return cmd
}

// checked is the report on a folder, or on the plan in force.
func (c *command) checked(ctx context.Context, args []string, offline bool) (*plan.Report, error) {
	var p *plan.Plan
	if len(args) == 1 {
		var err error
		if p, err = c.loadPlan(args[0]); err != nil {
			return nil, err
		}
	}
	var r plan.Report
	if offline {
		r = plan.Check(p, plan.Observed{}, c.Now())
		return c.placed(&r, args), nil
	}
	cl, err := c.client()
	if err != nil {
		if u, ok := err.(*usageError); ok && p != nil {
			return nil, usagef(u.hint+"; or --offline, which checks the folder alone", "%s", u.detail)
		}
		return nil, err
	}
	if cl.slow != nil {
		cl.slow = func() {
			fmt.Fprintf(clean(c.Stderr), "asking the gateways of %s what they have recorded …\n", cl.base)
		}
	}
	if p == nil {
		if err := cl.do(ctx, http.MethodGet, "/readiness", nil, nil, &r); err != nil {
			return nil, err
		}
		return &r, nil
	}
	var seen plan.Observed
	if err := cl.do(ctx, http.MethodGet, "/readiness/observed", nil, nil, &seen); err != nil {
		return nil, err
	}
	now := c.Now()
	if seen.At.After(now) { // the control plane's clock is what waivers end by
		now = seen.At
	}
	r = plan.Check(p, seen, now)
	return c.placed(&r, args), nil
}

// placed names files as an editor finds them from here.
func (c *command) placed(r *plan.Report, args []string) *plan.Report {
	for i := range r.Findings {
		if at := &r.Findings[i].At; at.File != "" {
			at.File = filepath.ToSlash(filepath.Join(args[0], filepath.FromSlash(at.File)))
		}
	}
	return r
}

// writeSARIF writes the report for code scanning. Files are named from the folder
// that the command runs in, which is the root of the repository.
func (c *command) writeSARIF(r *plan.Report, args []string, to string) error {
	if to == "" {
		return nil
	}
	own := *r
	own.Findings = append([]plan.Finding{}, r.Findings...)
	if len(args) == 1 && filepath.IsAbs(args[0]) {
		here, err := os.Getwd()
		if err != nil {
			return fmt.Errorf("find the current folder: %w", err)
		}
		for i := range own.Findings {
			if at := &own.Findings[i].At; at.File != "" {
				if rel, err := filepath.Rel(here, filepath.FromSlash(at.File)); err == nil {
					at.File = filepath.ToSlash(rel)
				}
			}
		}
	}
	data, err := own.SARIF("", c.Version)
	if err != nil {
		return fmt.Errorf("write SARIF: %w", err)
	}
	data = append(data, '\n')
	if to == "-" {
		_, err = c.Stdout.Write(data)
	} else {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write SARIF: %w", err)
	}
	return nil
}

// printReadiness prints a report for people: the verdict, then what blocks.
func (c *command) printReadiness(r *plan.Report, matrix bool, sarif string) {
	verdict := "READY"
	if !r.Ready {
		verdict = "NOT READY"
	}
	what := "plan of " + r.Org
	if r.Version != "" {
		what = "version " + r.Version + " of the " + what
	}
	c.printf("%s: %s\n", what, verdict)
	c.printf("  %d blocking, %s, %s, %d waived\n", r.Blocking, plural(int64(r.Warnings), "warning"), plural(int64(r.Notes), "note"), r.Waived)
	c.printf("  score %d of 100: %s\n", r.Score.Value, r.Score.How)
	last := ""
	for i := range r.Findings {
		f := &r.Findings[i]
		title := map[plan.Level]string{plan.Blocking: "Blocking", plan.Warning: "Warnings", plan.Note: "Notes"}[f.Level]
		if f.Waiver != nil {
			title = "Waived"
		}
		if title != last {
			c.printf("\n%s:\n", title)
			last = title
		}
		where := ""
		if at := f.At.String(); at != "" {
			where = "  (" + at + ")"
		}
		if w := f.Waiver; w != nil {
			c.printf("  %s  %s: %s; waived by %s until %s: %s (%s)%s\n", f.Rule, f.Subject, f.Message, w.By, w.Until.UTC().Format("2006-01-02 15:04 UTC"), w.Reason, w.ID, where)
			continue
		}
		c.printf("  %s  %s: %s; %s%s\n", f.Rule, f.Subject, f.Message, f.Do, where)
	}
	c.printNotMade(r)
	if matrix {
		c.printf("\n")
		c.printMatrix(&r.Matrix)
	}
	if sarif != "" {
		c.printf("\nSARIF is in %s\n", sarif)
	}
	if r.Blocking > 0 {
		c.printf("\nif you can live with one for now: andon plan waive RULE SUBJECT --until DATE --reason \"…\"\n")
	}
}

// printNotMade says which checks could not be made, by what they lacked.
func (c *command) printNotMade(r *plan.Report) {
	if len(r.NotMade) == 0 {
		return
	}
	c.printf("\nNot checked:\n")
	for i, n := range r.NotMade {
		first := true
		for _, before := range r.NotMade[:i] {
			first = first && before.Why != n.Why
		}
		if !first {
			continue
		}
		var rules []string
		for _, m := range r.NotMade {
			if m.Why == n.Why {
				rules = append(rules, strings.TrimPrefix(m.Rule, "ANDON-PLAN-"))
			}
		}
		c.printf("  %s: %s (ANDON-PLAN-%s)\n", n.Why, plural(int64(len(rules)), "check"), strings.Join(rules, ", "))
	}
}

// printMatrix prints which corrections answer which threat, the narrowest first.
func (c *command) printMatrix(m *plan.Matrix) {
	if len(m.Rows) == 0 {
		c.printf("the plan names no threat\n")
	}
	for i := range m.Rows {
		row := &m.Rows[i]
		if i > 0 {
			c.printf("\n")
		}
		models := "all models"
		if len(row.Models) > 0 {
			models = c.cut(strings.Join(row.Models, ", "), 60)
		}
		state := ""
		if !row.Covered {
			state = "  NOTHING ANSWERS IT"
		}
		c.printf("%s  severity %d, %s%s\n", row.Threat, row.Severity, models, state)
		if len(row.Rungs) == 0 {
			continue
		}
		rows := [][]string{{"  CORRECTION", "RANK", "STEP", "P99", "ENFORCED", "TERMS", "DRILLED", "FALLBACK"}}
		for j := range row.Rungs {
			x := &row.Rungs[j]
			drilled := "never"
			if !x.DrilledAt.IsZero() {
				drilled = x.DrilledAt.String()
			}
			fallback := x.Fallback
			if fallback == "" {
				fallback = "-"
			}
			step := x.Step
			if x.Playbook != row.Threat {
				step = x.Playbook + "/" + step
			}
			rows = append(rows, []string{"  " + c.cut(x.Class, 18), fmt.Sprint(x.Rank), c.cut(step, 24), x.Speed(), x.Enforced, c.cut(x.Permitted(), 18), drilled, c.cut(fallback, 10)})
		}
		table(c.Stdout, rows)
	}
}
