package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// whoami is who asks.
type whoami struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Role          string    `json:"role"`
	Roles         []string  `json:"roles"`
	Credential    string    `json:"credential"`
	Kind          string    `json:"kind"`
	Method        string    `json:"method,omitempty"`
	Scopes        []string  `json:"scopes,omitempty"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	IdleUntil     time.Time `json:"idle_until,omitzero"`
	Factors       []string  `json:"factors"`
	SteppedUpTill time.Time `json:"stepped_up_until,omitzero"`
}

// session is a log-in that lasts.
type session struct {
	ID         string    `json:"id"`
	Operator   string    `json:"operator"`
	Name       string    `json:"name"`
	Roles      []string  `json:"roles"`
	Method     string    `json:"method"`
	OpenedAt   time.Time `json:"opened_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	IdleUntil  time.Time `json:"idle_until"`
	ProvedAt   time.Time `json:"proved_at,omitzero"`
	Current    bool      `json:"current,omitempty"`
	Token      string    `json:"token,omitempty"`
	Device     string    `json:"device,omitempty"`
}

// apiToken is a token for a machine.
type apiToken struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Operator   string    `json:"operator"`
	Roles      []string  `json:"roles"`
	Scopes     []string  `json:"scopes"`
	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	State      string    `json:"state"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Token      string    `json:"token,omitempty"`
}

func (c *command) peopleCmds() []*cobra.Command {
	return []*cobra.Command{c.loginCmd(), c.logoutCmd(), c.stepUpCmd(), c.whoamiCmd(),
		group("sessions", "Log-ins that last", c.sessionsListCmd(), c.sessionsRevokeCmd()),
		group("tokens", "API tokens for machines", c.tokensAddCmd(), c.tokensListCmd(), c.tokensRevokeCmd())}
}

func (c *command) whoamiCmd() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Who you are to the control plane, and until when", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(c, cmd, "/whoami", func(me *whoami) error {
				how := map[string]string{"operator_token": "with the operator's own token", "api_token": "with API token " + me.Credential, "session": "with session " + me.Credential + ", begun by " + me.Method}[me.Kind]
				c.printf("%s  %s  %s\n%s\n", me.ID, me.Name, me.Role, how)
				if !me.ExpiresAt.IsZero() {
					c.printf("ends %s", until(me.ExpiresAt, c.Now()))
					if !me.IdleUntil.IsZero() {
						c.printf(", or %s if it is not used", until(me.IdleUntil, c.Now()))
					}
					c.printf("\n")
				}
				if len(me.Scopes) > 0 {
					c.printf("scopes: %s\n", strings.Join(me.Scopes, ", "))
				}
				switch {
				case !me.SteppedUpTill.IsZero():
					c.printf("stepped up; it ends %s\n", until(me.SteppedUpTill, c.Now()))
				case len(me.Factors) > 0:
					c.printf("not stepped up; what cannot be undone asks for it: andon step-up\n")
				default:
					c.printf("the account cannot prove who it is beyond a token; andon operators passwd sets a password\n")
				}
				return nil
			})
		},
	}
}

func (c *command) sessionsListCmd() *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Your sessions; for an administrator: those of others", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/sessions"+ownerQuery(owner), "sessions", "", []string{"ID", "WHO", "BY", "BEGUN", "USED", "ENDS", ""}, func(s *session) []string {
				this := ""
				if s.Current {
					this = "this one"
				}
				used := s.LastUsedAt // to the minute, so it can lie before the beginning
				if used.Before(s.OpenedAt) {
					used = s.OpenedAt
				}
				return []string{s.ID, c.cut(s.Name, 24), s.Method, until(s.OpenedAt, c.Now()), until(used, c.Now()), until(s.ExpiresAt, c.Now()), this}
			})
		},
	}
	cmd.Flags().StringVar(&owner, "operator", "", "an operator's id, or all (administrators)")
	return cmd
}

func ownerQuery(owner string) string {
	if owner == "" {
		return ""
	}
	return "?operator=" + url.QueryEscape(owner)
}

func (c *command) sessionsRevokeCmd() *cobra.Command {
	return c.endCmd("session", "/sessions/", "End a session at once: yours, or as an administrator anybody's")
}

func (c *command) tokensRevokeCmd() *cobra.Command {
	return c.endCmd("token", "/tokens/", "End an API token at once")
}

func (c *command) endCmd(what, path, short string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke ID", Aliases: []string{"rm"}, Short: short, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.done(cmd, http.MethodDelete, path+url.PathEscape(args[0])+"?reason="+url.QueryEscape(reason), nil, map[string]string{"id": args[0], "state": "revoked"}, what+" "+args[0]+" is revoked; there is no way back: make a new one")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func (c *command) tokensAddCmd() *cobra.Command {
	var roles, scopes []string
	var owner, expires string
	cmd := &cobra.Command{
		Use: "add NAME --roles ROLE --scopes ACTION --expires 30d", Short: "Make an API token for a machine; it is shown once", Args: exactly(1),
		Example: `  andon tokens add pager --roles responder --scopes correction.create,correction.read --expires 30d`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(roles) == 0:
				return usagef("--roles responder; at most those of the operator", "no role is given")
			case len(scopes) == 0:
				return usagef("--scopes correction.create, or all below a word: --scopes 'correction.*'", "no scope is given: the token could do nothing")
			case expires == "":
				return usagef("--expires 30d; at most 366d", "the token would not end")
			}
			body := map[string]any{"name": args[0], "roles": roles, "scopes": scopes, "expires_in": expires}
			if owner != "" {
				body["operator"] = owner
			}
			return send(c, cmd, http.MethodPost, "/tokens", body, func(t *apiToken) error {
				c.printf("%s  %s  %s  ends %s\n%s\nthe token is not shown again\nundo: andon tokens revoke %s\n", t.ID, t.Name, strings.Join(t.Scopes, ", "), until(t.ExpiresAt, c.Now()), t.Token, t.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", nil, "what it may do, at most what its operator may (required)")
	cmd.Flags().StringSliceVar(&scopes, "scopes", nil, "for which actions: correction.create, correction.* (required)")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it lasts, 1m to 366d (required)")
	cmd.Flags().StringVar(&owner, "operator", "", "whose it is, an operator's `id` (administrators); default yours")
	return cmd
}

func (c *command) tokensListCmd() *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "Your API tokens; for an administrator: those of others", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/tokens"+ownerQuery(owner), "tokens", "", []string{"ID", "NAME", "OF", "ROLES", "SCOPES", "USED", "ENDS", "STATE"}, func(t *apiToken) []string {
				return []string{t.ID, c.cut(t.Name, 20), c.person(t.Operator), c.cut(strings.Join(t.Roles, ","), 20), c.cut(strings.Join(t.Scopes, ","), 30), c.used(t.LastUsedAt), until(t.ExpiresAt, c.Now()), t.State}
			})
		},
	}
	cmd.Flags().StringVar(&owner, "operator", "", "an operator's id, or all (administrators)")
	return cmd
}

// used is when a token was used last. The control plane tells the hour alone.
func (c *command) used(hour time.Time) string {
	switch ago := c.Now().Sub(hour); {
	case hour.IsZero():
		return "-"
	case ago >= 0 && ago < time.Hour:
		return "within the hour"
	}
	return hour.UTC().Format("2006-01-02 15h UTC")
}

func (c *command) simIssuerCmd() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "issuer", Short: "A simulated OpenID Connect issuer: anybody may log in as anybody", Args: cobra.NoArgs,
		Example: "  andon sim issuer --listen 127.0.0.1:8083",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.Daemons.Issuer(cmd.Context(), listen, c.Stdout)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8083", "address")
	return cmd
}
