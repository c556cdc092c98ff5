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
	Roles     []string  `json:"roles,omitempty"`
	Held      []tenure  `json:"held,omitempty"`
	Source    string    `json:"source,omitempty"`
	Enrolled  *bool     `json:"enrolled,omitempty"` // missing: an earlier control plane
	Factors   []string  `json:"factors,omitempty"`
	Token     string    `json:"token,omitempty"` // shown once
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

// tenure is an interval in which an operator had roles.
type tenure struct {
	Roles []string  `json:"roles"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

func (c *command) operatorsCmd() *cobra.Command {
	return group("operators", "Who may give commands", c.operatorsAddCmd(), c.operatorsListCmd(), c.operatorsRolesCmd(), c.operatorsEnrolCmd(), c.operatorsPasswdCmd(), c.operatorsRemoveCmd())
}

func (c *command) operatorsAddCmd() *cobra.Command {
	var roles []string
	cmd := &cobra.Command{
		Use: "add NAME --role ROLE", Short: "Make an operator; the secret to enrol with is shown once", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(roles) == 0 {
				return usagef("--role responder; there are "+allRoles, "no role is given")
			}
			return send(c, cmd, http.MethodPost, "/operators", map[string]any{"name": args[0], "roles": roles}, func(op *operator) error {
				c.printf("%s  %s  %s\n%s\nit is not shown again, and you have seen it: hand it over as a secret, to be replaced at once\nnext, there: ANDON_TOKEN=… andon operators enrol; until then nothing that %s approves counts\nundo: andon operators rm %s\n", op.ID, op.Name, op.Role, op.Token, op.Name, op.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "role", nil, "what the operator may do: "+allRoles+" (required)")
	return cmd
}

// operatorsEnrolCmd replaces the token that one was let in with.
func (c *command) operatorsEnrolCmd() *cobra.Command {
	return &cobra.Command{
		Use: "enrol", Short: "Replace the token that you were let in with by one that nobody else has seen", Args: cobra.NoArgs,
		Long: `Replace the token that you were let in with by one of your own. Whoever let you in
has seen the first one, so that nothing you approve, ratify or decide counts before.
The first one ends, with whatever password, session and token there may be by then.
If it says that you have enrolled already and it was not you, somebody else did.`,
		Example: "  ANDON_TOKEN=op_… andon operators enrol",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return send(c, cmd, http.MethodPost, "/enrol", nil, func(op *operator) error {
				c.printf("%s  %s  %s\n%s\nthis is your token; it is not shown again, and nobody else has seen it\nnext: ANDON_TOKEN=… andon operators passwd, then %s\n", op.ID, op.Name, op.Role, op.Token, quoteAll([]string{"login", "--name", op.Name}))
				return nil
			})
		},
	}
}

func (c *command) operatorsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "The operators", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/operators", "operators", "", []string{"ID", "NAME", "ROLE", "FROM", "PROVES BY", "MADE", "BY", "STATE"}, func(op *operator) []string {
				state := "active"
				if op.Enrolled != nil && !*op.Enrolled {
					state = "not enrolled"
				}
				if !op.RemovedAt.IsZero() {
					state = "removed " + until(op.RemovedAt, c.Now())
				}
				return []string{op.ID, c.cut(op.Name, 24), op.Role, op.Source, dash(strings.Join(op.Factors, ", ")), until(op.CreatedAt, c.Now()), c.person(op.CreatedBy), state}
			})
		},
	}
}

func (c *command) operatorsRemoveCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "rm ID --reason TEXT", Short: "End an operator: the token, the sessions, and approvals not used yet", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "left"`, "a reason is required")
			}
			return send(c, cmd, http.MethodDelete, "/operators/"+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, func(op *operator) error {
				c.printf("%s  %s  removed\n", op.ID, op.Name)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

const allRoles = "viewer, responder, commander, approver, auditor, administrator"

func (c *command) operatorsRolesCmd() *cobra.Command {
	var roles []string
	var reason string
	cmd := &cobra.Command{
		Use: "roles ID --role ROLE --reason TEXT", Short: "Change what an operator may do, from now on", Args: exactly(1),
		Example: `  andon operators roles op-3 --role responder,approver --reason "on the rota from today"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(roles) == 0 {
				return usagef("--role responder; there are "+allRoles, "no role is given")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "on the rota"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/operators/"+url.PathEscape(args[0])+"/roles", map[string]any{"roles": roles, "reason": reason}, func(op *operator) error {
				c.printf("%s  %s  %s\n", op.ID, op.Name, op.Role)
				if n := len(op.Held); n > 1 {
					c.printf("undo: andon operators roles %s --role %s --reason …\n", op.ID, strings.Join(op.Held[n-2].Roles, ","))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "role", nil, allRoles+" (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) operatorsPasswdCmd() *cobra.Command {
	var remove, reason string
	cmd := &cobra.Command{
		Use: "passwd", Short: "Set your own password; it is asked for, or read from stdin", Args: cobra.NoArgs,
		Long: `Set your own password. It is asked for without being shown; where nobody can answer,
stdin is read: the new password in the first line, and the one in force, if there is
one, in the second. Other sessions of the account end.

With --remove an administrator takes the lost password of an operator away; the
operator's own token goes on.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if remove != "" {
				if strings.TrimSpace(reason) == "" {
					return usagef(`--reason "it was lost"`, "a reason is required")
				}
				if err := cl.do(cmd.Context(), http.MethodDelete, "/operators/"+url.PathEscape(remove)+"/password?reason="+url.QueryEscape(reason), nil, nil, nil); err != nil {
					return err
				}
				if c.output == "json" {
					return c.json(map[string]string{"id": remove, "state": "no_password"})
				}
				c.printf("%s has no password now; its sessions ended\n", remove)
				return nil
			}
			var me whoami
			if err := cl.do(cmd.Context(), http.MethodGet, "/whoami", nil, nil, &me); err != nil {
				return err
			}
			ask := []string{"new password: "}
			if len(me.Factors) > 0 && me.SteppedUpTill.IsZero() {
				ask = append(ask, "password in force: ")
			}
			secrets, err := c.secrets(ask...)
			if err != nil {
				return err
			}
			if c.Interactive {
				again, err := c.secrets("new password again: ")
				if err != nil {
					return err
				}
				if again[0] != secrets[0] {
					return usagef("", "the two are not the same; nothing was changed")
				}
			}
			body := map[string]string{"password": secrets[0]}
			if len(secrets) > 1 {
				body["current"] = secrets[1]
			}
			var set struct {
				ID    string    `json:"id"`
				SetAt time.Time `json:"set_at"`
			}
			if err := cl.do(cmd.Context(), http.MethodPut, "/password", nil, body, &set); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(set)
			}
			c.printf("the password of %s (%s) is set; andon login --name %s\n", me.Name, set.ID, me.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&remove, "remove", "", "take the password of operator `ID` away")
	cmd.Flags().StringVar(&reason, "reason", "", "why (with --remove)")
	return cmd
}
