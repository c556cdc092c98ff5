package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/correction"
)

// retentionText is what the control plane says of retention.
type retentionText struct {
	Clock struct {
		State string    `json:"state"`
		Why   string    `json:"why"`
		Now   time.Time `json:"now"`
	} `json:"clock"`
	PlanVersion int `json:"plan_version"`
	Classes     []struct {
		Class  string              `json:"class"`
		Keep   correction.Duration `json:"keep"`
		Basis  string              `json:"basis"`
		From   time.Time           `json:"carried_out_from"`
		Former correction.Duration `json:"former_keep"`
		Due    int                 `json:"due"`
		Notice int                 `json:"notice"`
		Held   int                 `json:"held"`
		Kept   int                 `json:"kept"`
		Erased int                 `json:"erased"`
		Next   time.Time           `json:"next_due_at"`
	} `json:"classes"`
	Items []struct {
		Class    string    `json:"class"`
		Item     string    `json:"item"`
		What     string    `json:"what"`
		State    string    `json:"state"`
		Since    time.Time `json:"since"`
		Due      time.Time `json:"due_at"`
		Why      string    `json:"held_by"`
		Incident string    `json:"incident"`
	} `json:"items"`
	More   int                 `json:"more"`
	Holds  []retentionHoldText `json:"holds"`
	Erased []struct {
		Class   string              `json:"class"`
		Keep    correction.Duration `json:"keep"`
		Basis   string              `json:"basis"`
		Version int                 `json:"plan_version"`
		At      time.Time           `json:"at"`
		Entry   uint64              `json:"entry"`
		Items   []string            `json:"items"`
	} `json:"erased"`
}

type retentionHoldText struct {
	ID         string    `json:"id"`
	Of         string    `json:"of"`
	Reason     string    `json:"reason"`
	Reference  string    `json:"reference"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	ReleasedAt time.Time `json:"released_at"`
	Until      time.Time `json:"holds_until"`
}

// shownErased bounds the erasures that text output lists.
const shownErased = 10

func (c *command) retentionCmds() []*cobra.Command {
	var class, state string
	var limit int
	cmd := &cobra.Command{
		Use: "retention", Short: "What is erased when, what is held and why, and what was erased lately", Args: noneBelow,
		Long: `What the plan's retention erases when, what is held and why, and what was erased lately.
This is the dry run, too: a plan that keeps less than the one before is carried out seven days
later, and what it will erase stands here as "notice" until then. Nothing is erased that an open
incident, a decision, a run, a review, a pending act or a legal hold needs.`,
		Example: `  andon retention --state held
  andon retention hold i-7 --reason "claim of globex" --reference "A 12/26"
  andon retention release lh-1 --reason "settled"
  andon retention clock 2026-11-26T09:30:00Z --reason "the control plane was off for a week"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if class != "" {
				q.Set("class", class)
			}
			if state != "" {
				q.Set("state", state)
			}
			return show(c, cmd, "/retention?"+q.Encode(), func(v *retentionText) error {
				c.printRetention(v)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&class, "class", "", "of this class alone: requests, incidents, evidence, prompts, concerns or accounts")
	f.StringVar(&state, "state", "", "in this state alone: due, notice, held or kept")
	f.IntVar(&limit, "limit", 100, "how many things are listed, 1 to 500")
	cmd.AddCommand(c.retentionHoldCmd(), c.retentionReleaseCmd(), c.retentionClockCmd())
	return []*cobra.Command{cmd}
}

func (c *command) printRetention(v *retentionText) {
	now := v.Clock.Now
	if v.PlanVersion == 0 {
		c.printf("no plan is in force: nothing is erased by itself\n")
	}
	if v.Clock.State != "sound" {
		c.printf("NOTHING IS ERASED: %s\n", v.Clock.Why)
	}
	rows := [][]string{{"CLASS", "KEPT FOR", "DUE", "NOTICE", "HELD", "KEPT", "ERASED", "NEXT", "BASIS"}}
	for _, k := range v.Classes {
		keep, basis := "no rule", c.cut(k.Basis, 40)
		if k.Keep > 0 {
			keep = k.Keep.String()
		}
		if k.From.After(now) {
			keep += " from " + k.From.UTC().Format("2006-01-02")
			if k.Former > 0 {
				keep += ", " + k.Former.String() + " until then"
			}
		}
		rows = append(rows, []string{k.Class, keep, strconv.Itoa(k.Due), strconv.Itoa(k.Notice), strconv.Itoa(k.Held), strconv.Itoa(k.Kept), strconv.Itoa(k.Erased), until(k.Next, now), basis})
	}
	table(c.Stdout, rows)
	if len(v.Items) > 0 {
		rows = [][]string{{"THING", "WHAT", "STATE", "SINCE", "ERASED", "HELD BY"}}
		for _, x := range v.Items {
			rows = append(rows, []string{x.Item, c.cut(x.What, 30), x.State, x.Since.UTC().Format("2006-01-02"), until(x.Due, now), x.Why})
		}
		c.printf("\n")
		table(c.Stdout, rows)
	}
	if v.More > 0 {
		c.printf("and %d more (--class, --state, --limit)\n", v.More)
	}
	for _, h := range v.Holds {
		if h.ReleasedAt.IsZero() || h.Until.After(now) {
			c.printf("%s\n", c.holdWords(&h))
		}
	}
	for i, x := range v.Erased {
		if i == shownErased {
			c.printf("and %d more erasures\n", len(v.Erased)-i)
			break
		}
		c.printf("erased under retention %s (kept %s, plan version %d) on %s by entry %d: %s\n", x.Class, x.Keep, x.Version, x.At.UTC().Format(time.RFC3339), x.Entry, c.cut(strings.Join(x.Items, " "), 60))
	}
}

// holdWords says a hold in a line.
func (c *command) holdWords(h *retentionHoldText) string {
	out := fmt.Sprintf("legal hold %s of %s since %s, by %s: %s", h.ID, h.Of, h.At.UTC().Format("2006-01-02"), c.person(h.By), h.Reason)
	if h.Reference != "" {
		out += " (" + h.Reference + ")"
	}
	if !h.ReleasedAt.IsZero() {
		out += "; released, it ends " + until(h.Until, c.Now())
	}
	return out
}

func (c *command) retentionHoldCmd() *cobra.Command {
	var body struct {
		Of        string `json:"of"`
		Reason    string `json:"reason"`
		Reference string `json:"reference,omitempty"`
	}
	cmd := &cobra.Command{
		Use: "hold WHAT --reason TEXT", Short: "Place a legal hold: what it covers is not erased by itself", Args: exactly(1),
		Long:    "Place a legal hold on an incident (i-7), an evidence (e-3), a concern (k-2), a class of records (evidence) or everything. It stands at once.",
		Example: `  andon retention hold i-7 --reason "claim of globex" --reference "A 12/26"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(body.Reason) == "" {
				return usagef(`--reason "who may ask for it"`, "a reason is required")
			}
			body.Of = args[0]
			return c.actHold(cmd, "/retention/holds", body, "release it: andon retention release %s --reason …\n")
		},
	}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why (required)")
	cmd.Flags().StringVar(&body.Reference, "reference", "", "of the matter")
	return cmd
}

// actHold sends what is done about a hold, and shows it.
func (c *command) actHold(cmd *cobra.Command, path string, body any, next string) error {
	return send(c, cmd, http.MethodPost, path, body, func(h *retentionHoldText) error {
		c.printf("%s\n"+next, c.holdWords(h), h.ID)
		return nil
	})
}

func (c *command) retentionReleaseCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "release HOLD --reason TEXT", Short: "Release a legal hold, under the rules for what loosens", Args: exactly(1),
		Long: "Release a legal hold. What it covered is kept for another day; then what is past its time is erased, and there is no undo.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "the matter is closed"`, "a reason is required")
			}
			return c.actHold(cmd, "/retention/holds/"+url.PathEscape(args[0])+"/release", map[string]string{"reason": reason}, "second thoughts: place another hold within a day (%s is over)\n")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) retentionClockCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "clock TIME --reason TEXT", Short: "Confirm the time, after the record's time leapt by more than a day", Args: exactly(1),
		Long: `Confirm the time. Nothing is erased once the record's time has leapt by more than a day, since a
clock that is wrong would erase everything: look at a clock that is not the control plane's, and
say what it shows, in RFC 3339. It is taken if it is within an hour of the control plane's.`,
		Example: `  andon retention clock 2026-11-26T09:30:00Z --reason "the control plane was off for a week"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			now, err := time.Parse(time.RFC3339, args[0])
			if err != nil {
				return usagef("andon retention clock 2026-11-26T09:30:00Z --reason …", "%q is no time in RFC 3339", args[0])
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "the control plane was off"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/retention/clock", map[string]any{"now": now, "reason": reason}, func(*struct{}) error {
				c.printf("the time is confirmed; what is due is erased by the next pass: andon retention --state due\n")
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it leapt (required)")
	return cmd
}
