package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// held is a call that waits for a person.
type held struct {
	ID         string    `json:"id"`
	Gateway    string    `json:"gateway"`
	RequestID  string    `json:"request_id"`
	Correction string    `json:"correction"`
	Direction  string    `json:"direction"`
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Model      string    `json:"model"`
	Org        string    `json:"org,omitempty"`
	Key        string    `json:"key,omitempty"`
	User       string    `json:"user,omitempty"`
	Excerpt    string    `json:"excerpt"`
}

func (c *command) holdsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "holds", Short: "Calls that a filter holds until a person has looked", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var list struct {
				Holds []held `json:"holds"`
			}
			if err := cl.do(cmd.Context(), http.MethodGet, "/holds", nil, nil, &list); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(list.Holds)
			}
			if len(list.Holds) == 0 {
				c.printf("no call waits\n")
				return nil
			}
			for _, h := range list.Holds {
				c.printf("%s  %s %s by %s  model %s  org %s  refused %s\n", h.ID, h.Direction, "held", h.Correction, h.Model, dash(h.Org), until(h.Until, c.Now()))
				for line := range strings.SplitSeq(strings.TrimRight(h.Excerpt, "\n"), "\n") {
					c.printf("    | %s\n", line)
				}
			}
			c.printf("let one go on: andon release ID --reason …   refuse it: andon reject ID --reason …\n")
			return nil
		},
	}
}

func (c *command) releaseCmd() *cobra.Command {
	return c.decideHoldCmd("release", "Let a held call go on", "released")
}

func (c *command) rejectCmd() *cobra.Command {
	return c.decideHoldCmd("reject", "Refuse a held call", "refused")
}

func (c *command) decideHoldCmd(action, short, done string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: action + " ID --reason TEXT", Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("andon holds lists the ids", "exactly one held call is needed")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "what you saw"`, "a reason is required")
			}
			return c.done(cmd, http.MethodPost, "/holds/"+url.PathEscape(args[0])+"/"+action, map[string]string{"reason": reason}, map[string]string{"id": args[0], "state": done}, args[0]+" "+done)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}
