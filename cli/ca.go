package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/credential"
)

// authorityOf is one of the installation's own certificate authorities as the
// control plane shows it.
type authorityOf struct {
	Fingerprint   string    `json:"fingerprint"`
	State         string    `json:"state"`
	EndsAt        time.Time `json:"ends_at,omitzero"`
	AnnouncedAt   time.Time `json:"announced_at,omitzero"`
	IssuesFrom    time.Time `json:"issues_from,omitzero"`
	WithdrawAfter time.Time `json:"withdraw_after,omitzero"`
	WithdrawnAt   time.Time `json:"withdrawn_at,omitzero"`
	By            string    `json:"by,omitempty"`
	Reason        string    `json:"reason,omitempty"`
	Gateways      []string  `json:"gateways,omitempty"`
	Tokens        []string  `json:"tokens,omitempty"`
}

type authoritiesOf struct {
	Authorities []authorityOf `json:"authorities"`
	Believed    string        `json:"believed"`
	Listeners   []struct {
		Listener string    `json:"listener"`
		EndsAt   time.Time `json:"ends_at"`
	} `json:"listeners,omitempty"`
}

// How long before its end an authority, and a listener's certificate, are shown.
const (
	authoritySoon   = 180 * 24 * time.Hour
	certificateSoon = 30 * 24 * time.Hour
)

func (c *command) caCmds() []*cobra.Command {
	cmd := group("ca", "The installation's own certificate authority", c.caShowCmd(), c.caRotateCmd(), c.caWithdrawCmd())
	cmd.Long = `The installation's own certificate authority, by which gateways, the control plane
and its clients know each other. When another takes its place both are believed for
a while: gateways that joined learn of it and go over by themselves, files of --ca
have to be brought up to date (andon ca show -f ca.crt), and only who heard nothing
all that time has to join anew.`
	return []*cobra.Command{cmd}
}

func (c *command) caShowCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "show", Short: "The authorities, when they end, and who depends on them", Args: cobra.NoArgs,
		Example: "  andon ca show -f ca.crt      # bring a file of --ca up to date",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.authority(cmd.Context(), http.MethodGet, "/ca", nil)
			if err != nil || file == "" {
				return err
			}
			if _, err := credential.ReadCertificates([]byte(list.Believed)); err != nil {
				return fmt.Errorf("read authorities: %w", err)
			}
			if err := credential.WriteFile(file, []byte(list.Believed), 0o644); err != nil {
				return err
			}
			if c.output != "json" {
				c.printf("%s holds those that are believed now\n", file)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "write the certificates that are believed into this `file`, for --ca")
	return cmd
}

func (c *command) caRotateCmd() *cobra.Command {
	var issues, withdraw, reason string
	cmd := &cobra.Command{
		Use: "rotate --reason TEXT", Short: "Have another authority take its place", Args: cobra.NoArgs,
		Long: `Have another authority take its place. It is made in the data folder of the control
plane and announced: both are believed from then on. Once --issues-in is over,
gateways get their certificates from it. Once --withdraw-in is over and nobody
depends on the first one any more, that is withdrawn, and its key is deleted.`,
		Example: `  andon ca rotate --reason "yearly"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "yearly"`, "a reason is required")
			}
			if _, err := c.authority(cmd.Context(), http.MethodPost, "/ca/rotate", map[string]string{"issues_in": issues, "withdraw_in": withdraw, "reason": reason}); err != nil {
				return err
			}
			if c.output != "json" {
				c.printf("next: bring files of --ca and gateway.ca up to date: andon ca show -f ca.crt\nundo: andon ca withdraw FINGERPRINT of the next one\n")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&issues, "issues-in", "1d", "until gateways get certificates from it: 0s to 30d")
	f.StringVar(&withdraw, "withdraw-in", "30d", "until the first one is withdrawn, once nobody depends on it; 0s: by command alone")
	f.StringVar(&reason, "reason", "", "why (required)")
	return cmd
}

func (c *command) caWithdrawCmd() *cobra.Command {
	var reason string
	var cutOff bool
	cmd := &cobra.Command{
		Use: "withdraw FINGERPRINT --reason TEXT", Short: "Have one of two authorities be believed no more", Args: exactly(1),
		Long: `Have one of two authorities be believed no more, which cannot be undone. Withdrawing
the first one ends the rotation, withdrawing the next one gives it up. Whoever still
depends on it is named; with --cut-off they are cut off, and have to join anew.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "all have gone over"`, "a reason is required")
			}
			_, err := c.authority(cmd.Context(), http.MethodPost, "/ca/"+url.PathEscape(args[0])+"/withdraw", map[string]any{"cut_off": cutOff, "reason": reason})
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	cmd.Flags().BoolVar(&cutOff, "cut-off", false, "whoever still depends on it, too")
	return cmd
}

// authority sends a command and prints the authorities as they are then.
func (c *command) authority(ctx context.Context, method, path string, body any) (*authoritiesOf, error) {
	cl, err := c.client()
	if err != nil {
		return nil, err
	}
	var list authoritiesOf
	if err := cl.do(ctx, method, path, nil, body, &list); err != nil {
		return nil, err
	}
	if c.output == "json" {
		return &list, c.json(list)
	}
	rows := [][]string{{"AUTHORITY", "STATE", "ENDS", "SINCE", "BY", "REASON"}}
	for _, a := range list.Authorities {
		ends, since := "-", "the start"
		if !a.EndsAt.IsZero() {
			ends = a.EndsAt.Format(time.DateOnly)
		}
		if at := cmp.Or(a.WithdrawnAt, a.AnnouncedAt); !at.IsZero() {
			since = until(at, c.Now())
		}
		rows = append(rows, []string{a.Fingerprint[:min(16, len(a.Fingerprint))], a.State, ends, since, c.person(a.By), c.cut(a.Reason, 40)})
	}
	table(c.Stdout, rows)
	for _, a := range list.Authorities {
		if a.State == "announced" {
			c.printf("certificates come from %s %s\n", short16(a.Fingerprint), until(a.IssuesFrom, c.Now()))
		}
		if !a.WithdrawAfter.IsZero() {
			c.printf("%s is withdrawn %s, once nobody depends on it\n", short16(a.Fingerprint), until(a.WithdrawAfter, c.Now()))
		}
		if on := append(a.Gateways, a.Tokens...); len(on) > 0 {
			c.printf("on %s depend: %s\n", short16(a.Fingerprint), someOf(on, 20))
		}
	}
	for _, l := range list.Listeners {
		c.printf("the certificate of %s ends %s\n", l.Listener, l.EndsAt.Format(time.DateOnly))
	}
	return &list, nil
}

func short16(s string) string { return s[:min(16, len(s))] }

func someOf(names []string, n int) string {
	text := strings.Join(names[:min(n, len(names))], ", ")
	if more := len(names) - n; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// todoCA is an authority that ends or is being replaced, and certificates that end.
func todoCA(ctx context.Context, cl *client, _ *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got authoritiesOf
	if err := cl.do(ctx, http.MethodGet, "/ca", nil, nil, &got); err != nil {
		return nil, nil, err
	}
	var current, next *authorityOf
	for i := range got.Authorities {
		switch a := &got.Authorities[i]; a.State {
		case "current":
			current = a
		case "announced", "issuing":
			next = a
		}
	}
	switch {
	case current == nil:
	case next != nil:
		t := todo{Kind: "authority", ID: current.Fingerprint, Due: current.WithdrawAfter, Late: !current.WithdrawAfter.IsZero() && now.After(current.WithdrawAfter),
			Says: "another certificate authority takes the place of " + short16(current.Fingerprint) + ": files of --ca have to hold both", Do: "andon ca show -f ca.crt"}
		if n := len(current.Gateways) + len(current.Tokens); n > 0 {
			t.Says += fmt.Sprintf("; %d still depend on the first one", n)
		}
		out = append(out, t)
	case !current.EndsAt.IsZero() && current.EndsAt.Sub(now) < authoritySoon:
		out = append(out, todo{Kind: "authority", ID: current.Fingerprint, Due: current.EndsAt, Late: current.EndsAt.Sub(now) < certificateSoon,
			Says: "the installation's certificate authority ends", Do: "andon ca rotate --reason TEXT"})
	}
	for _, l := range got.Listeners {
		if left := l.EndsAt.Sub(now); left < certificateSoon {
			out = append(out, todo{Kind: "authority", ID: l.Listener, Due: l.EndsAt, Late: left < 7*24*time.Hour, Says: "the certificate of " + l.Listener + " ends: put another one in its files", Do: "andon ca show"})
		}
	}
	return out, nil, nil
}
