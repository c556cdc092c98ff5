package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// operator is somebody who may give commands.
type operator struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Token     string    `json:"token,omitempty"` // shown once
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

func (c *command) operatorsCmd() *cobra.Command {
	return group("operators", "Who may give commands", c.operatorsAddCmd(), c.operatorsListCmd(), c.operatorsRemoveCmd())
}

func (c *command) operatorsAddCmd() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make an operator; the token is shown once", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var op operator
			if err := cl.do(cmd.Context(), http.MethodPost, "/operators", nil, map[string]string{"name": args[0], "role": role}, &op); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(op)
			}
			c.printf("%s  %s  %s\n%s\nthe token is not shown again\nundo: andon operators rm %s\n", op.ID, op.Name, op.Role, op.Token, op.ID)
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "administrator", "what the operator may do")
	return cmd
}

func (c *command) operatorsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "The operators", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var list struct {
				Operators []operator `json:"operators"`
			}
			if err := cl.do(cmd.Context(), http.MethodGet, "/operators", nil, nil, &list); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(list.Operators)
			}
			rows := [][]string{{"ID", "NAME", "ROLE", "MADE", "BY", "STATE"}}
			for _, op := range list.Operators {
				state := "active"
				if !op.RemovedAt.IsZero() {
					state = "removed " + until(op.RemovedAt, c.Now())
				}
				rows = append(rows, []string{op.ID, op.Name, op.Role, until(op.CreatedAt, c.Now()), op.CreatedBy, state})
			}
			table(c.Stdout, rows)
			return nil
		},
	}
}

func (c *command) operatorsRemoveCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "rm ID --reason TEXT", Short: "End an operator: the token, and approvals not used yet", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "left"`, "a reason is required")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			var op operator
			if err := cl.do(cmd.Context(), http.MethodDelete, "/operators/"+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, nil, &op); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(op)
			}
			c.printf("%s  %s  removed\n", op.ID, op.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}
