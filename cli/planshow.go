package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/authority"
	"andon/plan"
)

func (c *command) planShowCmd() *cobra.Command {
	var version int
	var proposed string
	cmd := &cobra.Command{
		Use: "show", Short: "The plan in force, in short; -o json shows all of it", Args: cobra.NoArgs,
		Example: "  andon plan show\n  andon plan show --version 2 -o json\n  andon plan show --proposed a-3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/plan"
			switch {
			case cmd.Flags().Changed("version") && proposed != "":
				return usagef("--version 2, or --proposed a-3", "it is one or the other")
			case cmd.Flags().Changed("version"):
				path = "/plan/versions/" + strconv.Itoa(version)
			case proposed != "":
				path = "/plan/proposals/" + url.PathEscape(proposed)
			}
			if proposed != "" {
				return show(c, cmd, path, c.printProposal)
			}
			return show(c, cmd, path, func(v *planVersion) error {
				state := "in force"
				if !v.InForce {
					state = "replaced"
				}
				c.printf("version %d of the plan of %s  %s\n  applied %s by %s: %s\n  digest %s\n", v.Version, v.Org, state, until(v.AppliedAt, c.Now()), c.person(v.AppliedBy), v.Reason, v.Digest)
				if v.Addresses == "hidden" || v.Addresses == "erased" {
					c.printf("  the addresses of contacts are %s\n", v.Addresses)
				}
				c.printPlan(v.Plan)
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&version, "version", 0, "an earlier version")
	cmd.Flags().StringVar(&proposed, "proposed", "", "one that waits for approval, by the approval's `id`")
	return cmd
}

// planProposal is a plan that waits for approval.
type planProposal struct {
	Approval string        `json:"approval"`
	Replaces int           `json:"replaces"`
	Outdated bool          `json:"outdated"`
	Digest   string        `json:"digest"`
	Reason   string        `json:"reason"`
	Changes  []plan.Change `json:"changes"`
}

func (c *command) printProposal(v *planProposal) error {
	c.printf("%s  a plan to replace version %d: %s\n  digest %s\n", v.Approval, v.Replaces, v.Reason, v.Digest)
	if v.Outdated {
		c.printf("  OUTDATED: another version is in force meanwhile; it cannot be applied any more\n")
	}
	c.printChanges(v.Changes, v.Replaces)
	if !v.Outdated {
		c.printf("answer: andon approve %s --reason \"…\", or andon decline %s --reason \"…\"\n", v.Approval, v.Approval)
	}
	return nil
}

// printPlan prints what people look for in a plan.
func (c *command) printPlan(p *plan.Plan) {
	c.printf("  owner %s, checked by %s; to be looked at again by %s (%s)\n", p.Owner, dash(p.Assurance), p.ReviewBy, until(p.ReviewBy.Time, c.Now()))
	list := func(title string, rows [][]string) {
		if len(rows) > 1 {
			for _, r := range rows {
				for i := range r {
					r[i] = c.cut(r[i], 30)
				}
			}
			c.printf("\n%s\n", title)
			table(c.Stdout, rows)
		}
	}
	rows := [][]string{{"MODEL", "VERSIONS", "ALSO CALLED", "SURFACES", "FALLBACK"}}
	for _, m := range p.Models {
		var also []string
		for _, d := range m.Derivatives {
			also = append(also, d.Name)
		}
		rows = append(rows, []string{m.Name, few(m.Versions), dash(few(also)), few(m.Surfaces), dash(m.Fallback)})
	}
	list("models", rows)
	rows = [][]string{{"THREAT", "SEVERITY", "CLASS", "TRIGGERS", "PLAYBOOKS", "REVIEW"}}
	for _, t := range p.Threats {
		rows = append(rows, []string{t.Name, strconv.Itoa(t.Severity), dash(t.Class), dash(few(t.Triggers)), dash(few(t.Playbooks)), t.ReviewBy.String()})
	}
	list("threats", rows)
	rows = [][]string{{"PLAYBOOK", "STOP-GAP", "STEPS", "TESTED"}}
	for _, b := range p.Playbooks {
		gap := "-"
		if b.StopGap != nil {
			gap = plural(int64(len(b.StopGap.Corrections)), "correction") + " for " + b.StopGap.For.String()
		}
		rows = append(rows, []string{b.Name, gap, strconv.Itoa(len(b.Steps)), dash(b.TestedAt)})
	}
	list("playbooks", rows)
	rows = [][]string{{"RULE", "ACTS", "IF", "WHO", "TAKES"}}
	for i := range p.Authority {
		r := &p.Authority[i]
		rows = append(rows, []string{r.Name, actNames(r.Acts), dash(ruleIf(r)), roleNames(r.Roles), ruleTakes(r)})
	}
	list("authority", rows)
	rows = [][]string{{"ROSTER", "TEAM", "ROLE", "TIME ZONE", "SHIFTS"}}
	for _, r := range p.Rosters {
		rows = append(rows, []string{r.Name, r.Team, string(r.Role), r.TimeZone, strconv.Itoa(len(r.Shifts))})
	}
	list("rosters", rows)
	rows = [][]string{{"DEPENDANT", "CRITICAL", "MODELS", "FALLBACK", "HELD DOWN", "NOTICE"}}
	for _, d := range p.Dependants {
		held := "-"
		if d.HoldDown {
			held = "yes"
		}
		notice := "-"
		if d.Notice != 0 {
			notice = d.Notice.String()
		}
		rows = append(rows, []string{d.Name, d.Criticality, few(d.Models), dash(d.Fallback), held, notice})
	}
	list("dependants", rows)
	c.printf("\n%s, %s, %s, %s, %s, %s\n", plural(int64(len(p.Surfaces)), "surface"), plural(int64(len(p.Partners)), "partner"), plural(int64(len(p.Triggers)), "trigger"),
		plural(int64(len(p.Teams)), "team"), plural(int64(len(p.Contacts)), "contact"), plural(int64(len(p.Terms)), "agreement"))
}

// few lists names, and how many more there are.
func few(names []string) string {
	const most = 2
	if len(names) > most {
		return strings.Join(names[:most], " ") + " +" + strconv.Itoa(len(names)-most)
	}
	return strings.Join(names, " ")
}

func actNames(acts []authority.Act) string {
	var out []string
	for _, a := range acts {
		out = append(out, string(a))
	}
	return strings.Join(out, " ")
}

func roleNames(roles []authority.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return few(out)
}

// ruleIf is when a rule applies; "" if always.
func ruleIf(r *authority.Rule) string {
	var out []string
	if len(r.Kinds) > 0 {
		out = append(out, strings.Join(r.Kinds, " "))
	}
	if r.ShareOver > 0 {
		out = append(out, fmt.Sprintf("over %g %%", r.ShareOver*100))
	}
	for _, s := range r.Severities {
		out = append(out, "severity "+strconv.Itoa(s))
	}
	if r.TermsForbid {
		out = append(out, "against terms")
	}
	return strings.Join(out, ", ")
}

// ruleTakes is what a rule asks of others.
func ruleTakes(r *authority.Rule) string {
	if r.Approvals == 0 {
		return "nobody else"
	}
	text := plural(int64(r.Approvals), "other")
	if r.Within != 0 {
		text += " within " + r.Within.String()
	}
	if r.Then != "" {
		text += ", else " + r.Then
	}
	return text
}
