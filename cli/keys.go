package cli

import (
	"context"
	"errors"
	"fmt"
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
	var lasts, wait string
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
			cl, limit, err := c.waiter(wait)
			if err != nil {
				return err
			}
			var made key
			sent := time.Now()
			if err := cl.do(cmd.Context(), http.MethodPost, "/keys", nil, k, &made); err != nil {
				return err
			}
			if made.Effect != nil && len(made.Effect.Points) == 0 {
				limit = 0
			}
			pending, hope, err := c.keyed(cmd.Context(), cl, &made, sent.Add(limit))
			if c.output == "json" {
				return errors.Join(c.json(made), err)
			}
			c.printf("%s  org %s\n%s\nthe secret is not shown again\n", made.ID, made.Org, made.Secret)
			c.unknownUses(k.UseCases)
			if len(pending) > 0 {
				c.missing(pending, hope, limit)
			}
			c.printf("undo: andon keys revoke %s\n", made.ID)
			return err
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
	f.StringVar(&wait, "wait", "5s", "how long to wait until every point knows it; 0 does not wait")
	return cmd
}

func (c *command) keysListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The keys, without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/keys", "keys", "", []string{"ID", "ORG", "USER", "TIER", "ATTRIBUTES", "ENDS"}, func(k *key) []string {
				ends := "when revoked"
				switch {
				case !k.RevokedAt.IsZero():
					ends = "revoked"
				case !k.ExpiresAt.IsZero():
					ends = until(k.ExpiresAt, c.Now())
				}
				return []string{k.ID, k.Org, dash(k.User), dash(k.Tier), dash(strings.Join(k.Attributes, " ")), ends}
			})
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
	var reason, wait string
	cmd := &cobra.Command{
		Use: "revoke ID…", Short: "Take keys back; their requests end, and the next ones are refused",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("andon keys list shows the ids", "it does not say which key to revoke")
			}
			cl, limit, err := c.waiter(wait)
			if err != nil {
				return err
			}
			sent := time.Now()
			var revoked []key
			for i, id := range args { // all of them before any is waited for
				var k key
				if err = cl.do(cmd.Context(), http.MethodDelete, "/keys/"+url.PathEscape(id)+"?reason="+url.QueryEscape(reason), nil, nil, &k); err != nil {
					err = untouched(err, "keys revoke", args[i+1:])
					break
				}
				revoked = append(revoked, k)
			}
			for i := range revoked {
				if late := c.keyGone(cmd.Context(), cl, &revoked[i], sent, limit); err == nil {
					err = late
				}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	addWait(cmd, &wait)
	return cmd
}

// keyGone waits until no point takes a revoked key any more, and prints where that
// stands.
func (c *command) keyGone(ctx context.Context, cl *client, k *key, sent time.Time, wait time.Duration) error {
	pending, hope, err := c.keyed(ctx, cl, k, sent.Add(wait))
	if err != nil {
		return err
	}
	if len(pending) > 0 && wait > 0 {
		err = &reported{exitPending, "not yet refused everywhere"}
	}
	if c.output == "json" {
		return errors.Join(c.json(struct {
			*key
			Revoked bool     `json:"revoked"`
			Pending []string `json:"pending,omitempty"`
		}{k, true, pending}), err)
	}
	c.printf("%s  revoked\n", k.ID)
	if len(pending) > 0 {
		c.points(k.Effect)
		c.missing(pending, hope, wait)
	} else {
		c.printf("refused on every live point\n")
	}
	return err
}

// keyed waits until every point knows of a key's last change, and says in k where
// that stands.
func (c *command) keyed(ctx context.Context, cl *client, k *key, deadline time.Time) (pending []string, hope bool, err error) {
	var now key
	pending, hope, err = await(ctx, cl, "/keys/"+url.PathEscape(k.ID), deadline, func() (any, **effect) {
		now = key{}
		return &now, &now.Effect
	})
	if err != nil {
		return nil, false, &unsettled{err: fmt.Errorf("%s was accepted; whether every point knows of it is not known: %w", k.ID, err)}
	}
	k.Effect = now.Effect
	return pending, hope, nil
}
