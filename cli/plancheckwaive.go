package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// waiver is a finding that somebody is content with for a time.
type waiver struct {
	ID          string    `json:"id"`
	Rule        string    `json:"rule"`
	Title       string    `json:"title"`
	Subject     string    `json:"subject"`
	Reason      string    `json:"reason"`
	By          string    `json:"by"`
	ByName      string    `json:"by_name"`
	At          time.Time `json:"at"`
	Until       time.Time `json:"until"`
	State       string    `json:"state"`
	WithdrawnBy string    `json:"withdrawn_by,omitempty"`
	Why         string    `json:"why,omitempty"`
	Warnings    []warning `json:"warnings,omitempty"`
}

func (c *command) planWaiveCmd() *cobra.Command {
	var reason, until string
	cmd := &cobra.Command{
		Use: "waive RULE SUBJECT --until DATE --reason TEXT", Short: "Be content with a finding for a time, of at most 90 days",
		Long: `Be content with a finding of the readiness gate for a time. It is a decision under
the rules for the act plan, in the record, and ends by itself: then the finding blocks
again. Nobody waives a finding about themselves. andon plan check names rules and
subjects.`,
		Example: `  andon plan waive ANDON-PLAN-801 contact/desk --until 2027-01-31 --reason "the new address answers next week"`,
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "why it is acceptable until then"`, "a reason is required")
			}
			end, err := endOf(until)
			if err != nil {
				return err
			}
			body := map[string]any{"rule": args[0], "subject": args[1], "reason": reason, "until": end.Format(time.RFC3339)}
			return send(c, cmd, http.MethodPost, "/readiness/waivers", body, func(w *waiver) error {
				c.printf("%s  %s for %s does not block until %s\n", w.ID, w.Rule, w.Subject, w.Until.UTC().Format("2006-01-02 15:04 UTC"))
				for _, x := range w.Warnings {
					c.printf("warning: %s: %s\n", x.Field, x.Detail)
				}
				c.printf("undo: andon plan unwaive %s --reason \"…\"\n", w.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	cmd.Flags().StringVar(&until, "until", "", "a day, 2027-01-31, its end in UTC; or a time, 2027-01-31T12:00:00Z (required)")
	return cmd
}

// endOf reads a day as its end, or a time.
func endOf(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, usagef("--until 2027-01-31", "it does not say when the waiver ends")
	}
	if day, err := time.Parse("2006-01-02", s); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usagef("--until 2027-01-31, or 2027-01-31T12:00:00Z", "%q is neither a day nor a time", s)
	}
	return at.UTC(), nil
}

func (c *command) planUnwaiveCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "unwaive ID --reason TEXT", Short: "End a waiver: the finding counts again at once", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "the gap is closed"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/readiness/waivers/"+url.PathEscape(args[0])+"/withdraw", map[string]string{"reason": reason}, func(w *waiver) error {
				c.printf("%s  withdrawn; %s for %s counts again\n", w.ID, w.Rule, w.Subject)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) planWaiversCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "waivers", Short: "The findings that somebody is content with for a time", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readiness/waivers?limit=500"
			if !all {
				path += "&state=active"
			}
			return list(c, cmd, path, "waivers", "no finding is waived", []string{"ID", "STATE", "RULE", "SUBJECT", "BY", "UNTIL", "REASON"}, func(w *waiver) []string {
				return []string{w.ID, w.State, w.Rule, c.cut(w.Subject, 28), c.cut(w.ByName, 12), until(w.Until, c.Now()), c.cut(w.Reason, 26)}
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that are over as well")
	return cmd
}
