package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/authority"
	"andon/correction"
)

// act is something that waits for others, as the control plane shows it.
type act struct {
	ID        string           `json:"id"`
	Act       string           `json:"act"`
	Do        string           `json:"do"`
	Subject   string           `json:"subject,omitempty"`
	Says      string           `json:"says"`
	Reason    string           `json:"reason"`
	AskedBy   string           `json:"asked_by"`
	AskedAt   time.Time        `json:"asked_at"`
	Until     time.Time        `json:"until"`
	State     string           `json:"state"`
	Overdue   bool             `json:"overdue,omitempty"`
	EndedAt   time.Time        `json:"ended_at,omitzero"`
	Why       string           `json:"why,omitempty"`
	Takes     authority.Answer `json:"takes"`
	Answers   []actAnswer      `json:"answers"`
	Counted   int              `json:"counted"`
	CanAnswer []string         `json:"can_answer"`
	ToEnrol   []string         `json:"to_enrol,omitempty"`
	YourWord  string           `json:"your_word,omitempty"`
	Evidence  *struct {
		Take   string `json:"take"`
		Reason string `json:"reason"`
	} `json:"evidence,omitempty"`
	carriedOut
}

type actAnswer struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Yes    bool      `json:"yes"`
	Reason string    `json:"reason"`
	Counts bool      `json:"counts"`
	Note   string    `json:"note,omitempty"`
}

// awaiting is a command that was taken and is not carried out before others agree.
type awaiting struct {
	Approval act `json:"approval"`
}

func (a *awaiting) Error() string {
	return "not done yet: others have to agree (" + a.Approval.ID + ")"
}

// ratification is what others have to say to a correction.
type ratification struct {
	State     string           `json:"state"`
	Rules     []string         `json:"rules"`
	Approvals int              `json:"approvals"`
	Approvers []authority.Role `json:"approvers"`
	By        []string         `json:"by"`
	Until     time.Time        `json:"until"`
	Then      string           `json:"then"`
	Share     *float64         `json:"share,omitempty"`
	Notes     []string         `json:"notes,omitempty"`
}

// words says what is still asked of others; "" if nothing is.
func (r *ratification) words(id string, now time.Time) string {
	if r == nil || r.State == "ratified" {
		return ""
	}
	text := fmt.Sprintf("to be ratified by %d more (%s), due %s", r.Approvals-len(r.By), either(authority.SetOf(r.Approvers...).Names()), until(r.Until, now))
	switch {
	case r.State == "overdue":
		text += ", OVERDUE"
	case r.Then == authority.Lapse:
		text += "; else it lapses"
	}
	return text + ": andon ratify " + id
}

// either lists names: "a, b or c".
func either(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (c *command) authorityCmds() []*cobra.Command {
	return []*cobra.Command{c.approveCmd(), c.declineCmd(), c.approvalsCmd(), c.ratifyCmd(), c.pullsCmd(), c.reviewCmd(), c.authorityCmd()}
}

// printAct shows something that waits, with what can be done about it.
func (c *command) printAct(a *act) {
	c.printf("%s  %s  %s\n", a.ID, a.State, a.Says)
	c.printf("  asked by %s %s: %s\n", c.person(a.AskedBy), until(a.AskedAt, c.Now()), a.Reason)
	if e := a.Evidence; e != nil && e.Take == "skip" {
		c.printf("  WITHOUT EVIDENCE of what stands before it, by %s: %s\n", c.person(a.AskedBy), e.Reason)
	} else if e != nil {
		c.printf("  evidence of what stands before it is taken\n")
	}
	for _, x := range a.Answers {
		word := "agreed"
		if !x.Yes {
			word = "declined"
		}
		note := ""
		if !x.Counts {
			note = " (does not count any more)"
		}
		if x.Note != "" {
			note += " (" + strings.ToUpper(x.Note[:1]) + x.Note[1:] + ")"
		}
		c.printf("  %s %s %s: %s%s\n", c.person(x.By), word, until(x.At, c.Now()), x.Reason, note)
	}
	if a.State != "open" {
		why := ""
		if a.Why != "" {
			why = ": " + a.Why
		}
		c.printf("  %s %s%s\n", a.State, until(a.EndedAt, c.Now()), why)
		c.printCarried(a)
		return
	}
	c.printf("  %d of %d agreed; %s, %s (rule %s)\n", a.Counted, a.Takes.Approvals, either(authority.SetOf(a.Takes.Approvers...).Names()), until(a.Until, c.Now()), strings.Join(a.Takes.Rules, ", "))
	switch {
	case len(a.CanAnswer) > 0:
		c.printf("  can agree: %s\n", strings.Join(a.CanAnswer, ", "))
	case len(a.ToEnrol) > 0:
		c.printf("  NOBODY can agree yet\n")
	default:
		way := "andon operators add …"
		if !slices.Contains([]string{"irreversible", "unmask", "staff", "rekey"}, a.Act) { // no glass opens these
			way += " or, if it cannot wait, --break-glass"
		}
		c.printf("  NOBODY can agree: no other operator has such a role; %s\n", way)
	}
	if len(a.ToEnrol) > 0 {
		c.printf("  can agree once enrolled: %s (they: andon operators enrol)\n", strings.Join(a.ToEnrol, ", "))
	}
	if a.YourWord != "" {
		c.printf("  %s\n", a.YourWord)
	}
	c.printf("they: andon approve %s --reason \"…\"\n", a.ID)
}

// waited tells of a command that waits for others, and ends with exit code 3.
func (c *command) waited(a *awaiting) error {
	if c.output == "json" {
		if err := c.json(a); err != nil {
			return err
		}
	} else {
		c.printf("not done yet: others have to agree\n")
		c.printAct(&a.Approval)
		c.printf("take it back: andon approvals withdraw %s --reason \"…\"\n", a.Approval.ID)
	}
	return &reported{exitRefused, a.Error()}
}

// answerCmd is one of the ways to answer something that waits.
func (c *command) answerCmd(use, short, verb string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " ID --reason TEXT", Short: short, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "what you looked at"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/approvals/"+url.PathEscape(args[0])+"/"+verb, map[string]string{"reason": reason}, func(a *act) error {
				err := c.settleAct(cmd.Context(), a)
				if c.printAct(a); err != nil {
					return err
				}
				if a.State == "failed" {
					return &reported{exitFailed, "agreed to, and not possible any more"}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) approveCmd() *cobra.Command {
	return c.answerCmd("approve", "Agree to what somebody else asked for", "approve")
}

func (c *command) declineCmd() *cobra.Command {
	return c.answerCmd("decline", "Refuse what somebody else asked for", "decline")
}

func (c *command) approvalsCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "approvals", Short: "What waits for others to agree", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/approvals?state=open"
			if all {
				path = "/approvals"
			}
			return list(c, cmd, path, "approvals", "nothing waits for approval", []string{"ID", "STATE", "AGREED", "UNTIL", "BY", "WHAT"}, func(a *act) []string {
				return []string{a.ID, a.State, fmt.Sprintf("%d of %d", a.Counted, a.Takes.Approvals), until(a.Until, c.Now()), c.person(a.AskedBy), c.cut(a.Says, 60)}
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that were answered, too")
	show := &cobra.Command{
		Use: "show ID", Short: "One of them", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/approvals/"+url.PathEscape(args[0]), func(a *act) error {
				c.printAct(a)
				return nil
			})
		},
	}
	cmd.AddCommand(show, c.answerCmd("withdraw", "Take back what you asked for", "withdraw"))
	return cmd
}

func (c *command) ratifyCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "ratify ID --reason TEXT", Short: "Stand by a correction that somebody else put in force", Args: exactly(1),
		Long: "Ratify says that you looked at a correction and stand by it. It moves the review a day on, and counts towards what the\nrules ask for if you are not the one who put it in force.\n\n" + authority.GoodFaith,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "what you looked at"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/corrections/"+url.PathEscape(args[0])+"/ratify", map[string]string{"reason": reason}, func(v *view) error {
				c.printf("%s  %s  %s\n", v.ID, v.State, v.words())
				if left := v.Ratification.words(v.ID, c.Now()); left != "" {
					c.printf("%s\n", left)
				} else if v.Ratification != nil {
					c.printf("ratified by %s\n", strings.Join(c.people(v.Ratification.By), ", "))
				}
				if !v.ReviewBy.IsZero() {
					c.printf("review %s\n", until(v.ReviewBy, c.Now()))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

// review is a look that others owe what somebody did alone.
type review struct {
	ID         string    `json:"id"`
	Of         string    `json:"of"`
	Subject    string    `json:"subject,omitempty"`
	Says       string    `json:"says"`
	Reason     string    `json:"reason"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	Due        time.Time `json:"due"`
	Entry      uint64    `json:"entry"`
	Overdue    bool      `json:"overdue,omitempty"`
	Finding    string    `json:"finding,omitempty"`
	Statement  string    `json:"statement,omitempty"`
	ReviewedBy string    `json:"reviewed_by,omitempty"`
	ReviewedAt time.Time `json:"reviewed_at,omitzero"`
}

func (c *command) pullsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "pulls", Short: "Every pull of the cord and every broken glass, and who looked at it", Args: noneBelow,
		Long: "Pulls lists every stop that cut something, and every act that did not wait for others.\n\n" + authority.GoodFaith,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type answer struct {
				GoodFaith string   `json:"good_faith"`
				Reviews   []review `json:"reviews"`
			}
			return show(c, cmd, "/reviews", func(got *answer) error {
				rows := [][]string{{"ID", "WHEN", "BY", "WHAT", "REASON", "REVIEW"}}
				for _, v := range got.Reviews {
					state := "due " + until(v.Due, c.Now())
					switch {
					case v.Finding != "":
						state = strings.ReplaceAll(v.Finding, "_", " ") + ", " + c.person(v.ReviewedBy)
					case v.Overdue:
						state = "OVERDUE"
					}
					what := v.Says
					if v.Of == "break-glass" {
						what = "GLASS BROKEN: " + what
					}
					rows = append(rows, []string{v.ID, until(v.At, c.Now()), c.person(v.By), c.cut(what, 44), c.cut(v.Reason, 30), state})
				}
				if len(rows) == 1 {
					c.printf("nobody has pulled the cord\n")
				} else {
					table(c.Stdout, rows)
				}
				c.printf("%s\n", got.GoodFaith)
				return nil
			})
		},
	}
}

func (c *command) reviewCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "review ID justified|not-justified --reason TEXT", Short: "Conclude the review of a pull, or of a broken glass", Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			finding := strings.ReplaceAll(args[1], "-", "_")
			if finding != "justified" && finding != "not_justified" {
				return usagef("andon review "+args[0]+" justified --reason …", "%q is neither justified nor not-justified", args[1])
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "what you found"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/reviews/"+url.PathEscape(args[0]), map[string]string{"finding": finding, "statement": reason}, func(v *review) error {
				c.printf("%s  %s  %s\n%s\n", v.ID, strings.ReplaceAll(v.Finding, "_", " "), v.Says, authority.GoodFaith)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "what was found (required)")
	return cmd
}

func (c *command) authorityCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "authority", Short: "Who may decide what", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type answer struct {
				GoodFaith string            `json:"good_faith"`
				Planned   bool              `json:"planned"`
				Rules     []authority.Rule  `json:"rules"`
				Limits    []authority.Limit `json:"limits"`
			}
			return show(c, cmd, "/authority", func(got *answer) error {
				if !got.Planned {
					c.printf("no plan is in force; these rules are built in:\n")
				}
				rows := [][]string{{"ACTS", "WHERE", "WHO", "OTHERS", "WITHIN", "RULE"}}
				for _, r := range got.Rules {
					rows = append(rows, c.ruleRow(&r))
				}
				table(c.Stdout, rows)
				for _, l := range got.Limits {
					c.printf("limit %s: %d by one person in %s that nobody else ratified\n", l.Name, l.Count, l.Per)
				}
				c.printf("%s\n", got.GoodFaith)
				return nil
			})
		},
	}
	cmd.AddCommand(c.authorityAskCmd())
	return cmd
}

func (c *command) ruleRow(r *authority.Rule) []string {
	var acts, where []string
	for _, a := range r.Acts {
		acts = append(acts, string(a))
	}
	where = append(where, r.Kinds...)
	if r.ShareOver > 0 {
		where = append(where, fmt.Sprintf("over %g %% of traffic", 100*r.ShareOver))
	}
	for _, s := range r.Severities {
		where = append(where, fmt.Sprintf("SEV-%d", s))
	}
	if r.TermsForbid {
		where = append(where, "against terms")
	}
	others, within := "-", "-"
	if r.Approvals > 0 {
		names := authority.SetOf(r.Approvers...).Names()
		if len(names) == 0 {
			names = authority.SetOf(authority.Commander, authority.Approver).Names()
		}
		others = fmt.Sprintf("%d %s", r.Approvals, either(names))
		within = "1h"
		if r.Within != 0 {
			within = r.Within.String()
		}
		if r.Then != "" {
			within += ", then " + r.Then
		}
	}
	return []string{strings.Join(acts, " "), strings.Join(where, ", "), strings.Join(authority.SetOf(r.Roles...).Names(), " "), others, within, c.cut(r.Name, 30)}
}

func (c *command) authorityAskCmd() *cobra.Command {
	var kind, level string
	var share float64
	var severity int
	cmd := &cobra.Command{
		Use: "ask ACT", Short: "What an act would take, and who could do it", Args: exactly(1),
		Example: "  andon authority ask loosen --kind stop --level L3",
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := map[string]any{"act": args[0]}
			f := cmd.Flags()
			for name, v := range map[string]any{"kind": kind, "level": level, "share": share, "severity": severity} {
				if f.Changed(name) {
					ask[name] = v
				}
			}
			if level != "" && kind == "" {
				ask["kind"] = string(correction.Stop)
			}
			type answer struct {
				Takes  authority.Answer `json:"takes"`
				You    bool             `json:"you"`
				People []string         `json:"people"`
				Others []string         `json:"others"`
			}
			return send(c, cmd, http.MethodPost, "/authority/ask", ask, func(got *answer) error {
				you := "you may not"
				if got.You {
					you = "you may"
				}
				c.printf("%s: %s (%s); %s\n", args[0], either(authority.SetOf(got.Takes.Roles...).Names()), strings.Join(got.People, ", "), you)
				switch {
				case got.Takes.Approvals == 0:
					c.printf("nobody else has to agree\n")
				case args[0] == string(authority.Tighten):
					c.printf("at once; others who have to ratify: %d, within %s, else it %ss (%s: %s)\n", got.Takes.Approvals, got.Takes.Within, got.Takes.Then, either(authority.SetOf(got.Takes.Approvers...).Names()), strings.Join(got.Others, ", "))
				default:
					c.printf("others who have to agree first: %d, within %s (%s: %s)\n", got.Takes.Approvals, got.Takes.Within, either(authority.SetOf(got.Takes.Approvers...).Names()), strings.Join(got.Others, ", "))
				}
				c.printf("rule %s\n", strings.Join(got.Takes.Rules, ", "))
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "of the correction")
	f.StringVar(&level, "level", "", "of the stop")
	f.Float64Var(&share, "share", 0, "of traffic that it reaches")
	f.IntVar(&severity, "severity", 0, "of the incident, 1 to 4")
	return cmd
}
