package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *command) keysCmd() *cobra.Command {
	return group("keys", "Callers' keys", c.keysCreateCmd(), c.keysListCmd(), c.keysRevokeCmd())
}

// keySpec is a key to be made.
type keySpec struct {
	Org        string    `json:"org,omitempty"`
	User       string    `json:"user,omitempty"`
	Tier       string    `json:"tier,omitempty"`
	Surface    string    `json:"surface,omitempty"`
	Attributes []string  `json:"attributes,omitempty"`
	UseCases   []string  `json:"use_cases,omitempty"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
}

func (c *command) keysCreateCmd() *cobra.Command {
	var k keySpec
	var lasts string
	cmd := &cobra.Command{
		Use: "create --org ORG", Short: "Make a key for a caller; its secret is shown once", Args: cobra.NoArgs,
		Example: "  andon keys create --org acme --tier free --attribute region=eu",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if k.Org == "" {
				return usagef("--org acme", "it does not say whose key it is")
			}
			if lasts != "" {
				t, err := after("--for", lasts, c.Now())
				if err != nil {
					return err
				}
				k.ExpiresAt = t
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			var made key
			if err := cl.do(cmd.Context(), http.MethodPost, "/keys", nil, k, &made); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(made)
			}
			c.printf("%s  org %s\n%s\nthe secret is not shown again\n", made.ID, made.Org, made.Secret)
			c.unknownUses(k.UseCases)
			c.printf("undo: andon keys revoke %s\n", made.ID)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.Org, "org", "", "organisation (required)")
	f.StringVar(&k.User, "user", "", "end user, where the key belongs to one")
	f.StringVar(&k.Tier, "tier", "", "tier")
	f.StringVar(&k.Surface, "surface", "", "surface, where it is not the gateway's")
	f.StringSliceVar(&k.Attributes, "attribute", nil, "verified attributes, name=value")
	f.StringSliceVar(&k.UseCases, "use-case", nil, "declared use cases")
	f.StringVar(&lasts, "for", "", "how long it is valid (default: until revoked)")
	return cmd
}

func (c *command) keysListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The keys, without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var list struct {
				Keys []key `json:"keys"`
			}
			if err := cl.do(cmd.Context(), http.MethodGet, "/keys", nil, nil, &list); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(list.Keys)
			}
			rows := [][]string{{"ID", "ORG", "USER", "TIER", "ATTRIBUTES", "ENDS"}}
			for _, k := range list.Keys {
				ends := "when revoked"
				switch {
				case !k.RevokedAt.IsZero():
					ends = "revoked"
				case !k.ExpiresAt.IsZero():
					ends = until(k.ExpiresAt, c.Now())
				}
				rows = append(rows, []string{k.ID, k.Org, dash(k.User), dash(k.Tier), dash(strings.Join(k.Attributes, " ")), ends})
			}
			table(c.Stdout, rows)
			return nil
		},
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (c *command) keysRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID…", Short: "Take keys back; their next request is refused",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("andon keys list shows the ids", "it does not say which key to revoke")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := cl.do(cmd.Context(), http.MethodDelete, "/keys/"+url.PathEscape(id), nil, nil, nil); err != nil {
					return err
				}
				if c.output == "json" {
					if err := c.json(map[string]any{"id": id, "revoked": true}); err != nil {
						return err
					}
					continue
				}
				c.printf("%s  revoked\n", id)
			}
			return nil
		},
	}
}
