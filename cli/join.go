package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// joinToken is a join token as the control plane shows it.
type joinToken struct {
	ID         string    `json:"id"`
	Gateway    string    `json:"gateway"`
	State      string    `json:"state"`
	Token      string    `json:"token,omitempty"` // shown once
	Control    string    `json:"control"`
	Hosts      []string  `json:"hosts"`
	ExpiresAt  time.Time `json:"expires_at"`
	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by"`
	Credential string    `json:"credential,omitempty"`
	Replaces   string    `json:"replaces,omitempty"`
}

// gatewayCredential is a gateway's credential as the control plane shows it.
type gatewayCredential struct {
	ID        string    `json:"id"`
	Gateway   string    `json:"gateway"`
	State     string    `json:"state"`
	KeySHA256 string    `json:"key_sha256"`
	JoinToken string    `json:"join_token"`
	Hosts     []string  `json:"hosts"`
	IssuedAt  time.Time `json:"issued_at"`
	RenewedAt time.Time `json:"renewed_at"`
	ExpiresAt time.Time `json:"expires_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

func (c *command) joinCmds() []*cobra.Command {
	return []*cobra.Command{group("join-token", "Tokens by which gateways join, each once", c.joinAddCmd(), c.joinListCmd(), c.joinRevokeCmd())}
}

func (c *command) joinAddCmd() *cobra.Command {
	var gateway, control, expires string
	var hosts []string
	cmd := &cobra.Command{
		Use: "add --gateway NAME", Short: "Make a token for one gateway; it is shown once, and lets it in once",
		Example: "  andon join-token add --gateway gw-2 --expires 1h --host gw2.example.com\n  andon gateway --join TOKEN",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if gateway == "" {
				return usagef("--gateway gw-2", "say which gateway may join")
			}
			ask := map[string]any{"gateway": gateway, "for": expires}
			if control != "" {
				ask["control"] = control
			}
			if len(hosts) > 0 {
				ask["hosts"] = hosts
			}
			return send(c, cmd, http.MethodPost, "/join-tokens", ask, func(t *joinToken) error {
				c.printf("%s  for %s, until %s; it joins at %s\n%s\nthe token is not shown again, and whoever has it can join: hand it over as a secret\n", t.ID, t.Gateway, until(t.ExpiresAt, c.Now()), t.Control, t.Token)
				if t.Replaces != "" {
					c.printf("%s has a credential (%s); it ends when this token is used\n", t.Gateway, t.Replaces)
				}
				c.printf("next: andon gateway --join TOKEN, or ANDON_GATEWAY_JOIN=TOKEN andon gateway\nundo: andon join-token revoke %s --reason TEXT\n", t.ID)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&gateway, "gateway", "", "`name` of the gateway (required)")
	f.StringVar(&expires, "expires", "1h", "how long it is open: 1m to 7d")
	f.StringVar(&control, "control", "", "https://host:port by which the gateway reaches the control plane (default: control.url, or the address that you use)")
	f.StringSliceVar(&hosts, "host", nil, "names and addresses that the gateway's certificate carries towards callers")
	return cmd
}

func (c *command) joinListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "The join tokens; never their text", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/join-tokens", "tokens", "", []string{"ID", "GATEWAY", "STATE", "ENDS", "MADE", "BY", "CREDENTIAL"}, func(t *joinToken) []string {
				return []string{t.ID, t.Gateway, t.State, until(t.ExpiresAt, c.Now()), until(t.CreatedAt, c.Now()), c.person(t.CreatedBy), t.Credential}
			})
		},
	}
}

func (c *command) joinRevokeCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke ID --reason TEXT", Short: "End a join token that was not used", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "sent to the wrong place"`, "a reason is required")
			}
			return send(c, cmd, http.MethodDelete, "/join-tokens/"+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, func(t *joinToken) error {
				c.printf("%s  for %s  %s\n", t.ID, t.Gateway, t.State)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

// revokeCmd shuts a gateway out.
func (c *command) revokeCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke NAME --reason TEXT", Short: "Shut a gateway out: its credential ends, and its models take their postures", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "the machine was lost"`, "a reason is required")
			}
			return send(c, cmd, http.MethodPost, "/points/"+url.PathEscape(args[0])+"/revoke", map[string]string{"reason": reason}, func(cr *gatewayCredential) error {
				if cr.ID == "" {
					c.printf("%s  had open join tokens alone; they have ended\n", args[0])
					return nil
				}
				c.printf("%s  %s  %s\nit is cut off from orders and gets no lease: once the one that it holds has run out, its models take their postures (andon points)\nundo: andon join-token add --gateway %s, and let it join again\n", cr.Gateway, cr.ID, cr.State, cr.Gateway)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

// credentialsCmd lists the credentials of gateways.
func (c *command) credentialsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "credentials", Short: "The credentials of gateways that joined", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/credentials?limit=1000", "credentials", "", []string{"ID", "GATEWAY", "STATE", "ENDS", "ISSUED", "RENEWED", "REASON"}, func(cr *gatewayCredential) []string {
				return []string{cr.ID, cr.Gateway, cr.State, until(cr.ExpiresAt, c.Now()), until(cr.IssuedAt, c.Now()), until(cr.RenewedAt, c.Now()), c.cut(cr.Reason, 40)}
			})
		},
	}
}
