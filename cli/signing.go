package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// signingKey is a key that signs orders, has signed them, or will.
type signingKey struct {
	ID            string    `json:"id"`
	Public        string    `json:"public"`
	State         string    `json:"state"`
	Source        string    `json:"source,omitempty"`
	Since         time.Time `json:"since,omitzero"`
	Until         time.Time `json:"until,omitzero"`
	By            string    `json:"by,omitempty"`
	Reason        string    `json:"reason,omitempty"`
	Successor     string    `json:"successor,omitempty"`
	Revision      uint64    `json:"revision,omitempty"`
	Entry         uint64    `json:"entry,omitempty"`
	RevokedAt     time.Time `json:"revoked_at,omitzero"`
	RevokedBy     string    `json:"revoked_by,omitempty"`
	RevokedReason string    `json:"revoked_reason,omitempty"`
	SessionUntil  time.Time `json:"session_until,omitzero"`
	Trouble       string    `json:"trouble,omitempty"`
}

type signingKeys struct {
	Keys      []signingKey `json:"keys"`
	Following []string     `json:"following,omitempty"`
	Behind    []string     `json:"behind,omitempty"`
	Note      string       `json:"note,omitempty"`
}

func (c *command) signingCmds() []*cobra.Command {
	cmd := group("signing-keys", "The keys that sign orders", c.signingListCmd(), c.signingRotateCmd(), c.signingRevokeCmd())
	cmd.Long = `The keys that sign orders. One signs at a time. When another takes its place, both
sign that it does; gateways that hear of it refuse the old one from then on, and
one that was away goes on from the key that it knows. Emergency keys are apart.

A key lies in a file of the control plane, in an agent (the protocol of ssh-agent)
or in a PKCS#11 token. In an agent or a token it is asked twice a day: it warrants
a key of the control plane's process for 24 hours, so no stop waits for it.`
	return []*cobra.Command{cmd}
}

func (c *command) signingListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "The keys, and which gateways follow", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.signing(cmd, http.MethodGet, "/signing-keys", nil)
		},
	}
}

func (c *command) signingRotateCmd() *cobra.Command {
	var to, reason string
	cmd := &cobra.Command{
		Use: "rotate --to SOURCE --reason TEXT", Short: "Have another key sign orders", Args: cobra.NoArgs,
		Long: `Have another key sign orders. SOURCE is where it is, as the control plane sees it:

  file:NAME                         a file of its data folder, made if it is missing
  agent:SHA256:FINGERPRINT          an Ed25519 key of its agent (ssh-add -l prints it)
  pkcs11:token=LABEL;object=LABEL   an Ed25519 key of a token (RFC 7512); the module and the
                                    file with the PIN are those of andon.yaml

The new key has to sign before anything is written. Nothing has to be done at
gateways. A key that has signed before does not return.`,
		Example: `  andon signing-keys rotate --to file:2027 --reason "yearly"
  andon signing-keys rotate --to "pkcs11:token=andon;object=orders" --reason "into the HSM"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usagef("--to file:2027", "it does not say where the new key is")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "yearly"`, "a reason is required")
			}
			if err := c.rotate(cmd, to, reason); err != nil {
				return err
			}
			return c.signing(cmd, http.MethodGet, "/signing-keys", nil)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "where the new key is (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) signingRevokeCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke ID --reason TEXT", Short: "Say that a key that was replaced is in the wrong hands", Args: exactly(1),
		Long: `Say that a key that was replaced is in the wrong hands. Gateways that know its
successor refuse it already. One that trusts nothing but the stolen key cannot tell
its true successor from a thief's: it is led on no more, keeps its last order, and
needs the present key in gateway.trust, by hand. To be rid of the key that signs
now, have another take its place first.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "found on a laptop"`, "a reason is required")
			}
			return c.signing(cmd, http.MethodPost, "/signing-keys/"+url.PathEscape(args[0])+"/revoke", map[string]string{"reason": reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

// signing sends a command and prints the keys as they are then.
func (c *command) signing(cmd *cobra.Command, method, path string, body any) error {
	return send(c, cmd, method, path, body, func(list *signingKeys) error {
		rows := [][]string{{"KEY", "STATE", "SINCE", "BY", "WHERE"}}
		for _, k := range list.Keys {
			since := "the start"
			if !k.Since.IsZero() {
				since = until(k.Since, c.Now())
			}
			where := k.Source
			if where == "" {
				where = "-"
			}
			rows = append(rows, []string{k.ID, k.State, since, c.person(k.By), c.cut(where, 60)})
		}
		table(c.Stdout, rows)
		for _, k := range list.Keys {
			if k.State == "current" {
				c.printf("gateways trust: %s\n", k.Public)
			}
			if !k.SessionUntil.IsZero() {
				c.printf("%s is elsewhere; what it has warranted signs until %s\n", k.ID, k.SessionUntil.Format(time.RFC3339))
			}
			if k.Trouble != "" {
				c.printf("%s: %s\n", k.ID, k.Trouble)
			}
		}
		c.printf("%s\n", following(list))
		if list.Note != "" {
			c.printf("%s\n", list.Note)
		}
		return nil
	})
}

// rotate asks for the rotation, and gives gateways a moment to say that they follow.
func (c *command) rotate(cmd *cobra.Command, to, reason string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	var list signingKeys
	if err := cl.do(cmd.Context(), http.MethodPost, "/signing-keys/rotate", nil, map[string]string{"to": to, "reason": reason}, &list); err != nil {
		return err
	}
	for range 20 {
		if len(list.Behind) == 0 {
			break
		}
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-time.After(100 * time.Millisecond):
		}
		list = signingKeys{}
		if err := cl.do(cmd.Context(), http.MethodGet, "/signing-keys", nil, nil, &list); err != nil {
			return err
		}
	}
	if c.output != "json" {
		c.printf("another key signs orders; the one before does not return: to undo it, rotate to a new one\n")
	}
	return nil
}

// following says which gateways trust the current key.
func following(l *signingKeys) string {
	text := fmt.Sprintf("%d of %d gateways follow it", len(l.Following), len(l.Following)+len(l.Behind))
	if n := len(l.Behind); n > 0 {
		text += "; not yet: " + strings.Join(l.Behind[:min(n, 10)], ", ")
		if n > 10 {
			text += fmt.Sprintf(" and %d more", n-10)
		}
	}
	return text
}
