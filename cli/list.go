package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *command) listCmd() *cobra.Command {
	return group("list", "Named lists of users, addresses and others, which corrections reach with --list NAME",
		c.listLoadCmd(), c.listLsCmd(), c.listShowCmd(), c.listEditCmd("add"), c.listEditCmd("remove"), c.listRmCmd())
}

// listView is a named list as the control plane shows it.
type listView struct {
	Name        string      `json:"name"`
	Dimension   string      `json:"dimension"`
	Entries     int64       `json:"entries"`
	Bytes       int64       `json:"bytes"`
	Digest      string      `json:"digest"`
	Revision    uint64      `json:"revision"`
	Since       time.Time   `json:"since"`
	By          string      `json:"by"`
	Action      string      `json:"action"`
	Reason      string      `json:"reason"`
	Source      string      `json:"source_sha256,omitempty"`
	Entry       uint64      `json:"entry"`
	Changed     *int64      `json:"changed,omitempty"`
	Lost        string      `json:"lost,omitempty"`
	Corrections []string    `json:"corrections"`
	Points      []listPoint `json:"points"`
}

// listPoint is where one gateway stands with a list.
type listPoint struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Percent int    `json:"percent,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Stale   bool   `json:"stale,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (p *listPoint) words() string {
	text := map[string]string{
		"held":    "holds it",
		"old":     "decides by the version before",
		"loading": "has none yet: what names it is not in force there",
		"lost":    "has lost it: everybody counts as listed until it is fetched",
		"unknown": "has not said yet",
	}[p.State]
	if text == "" {
		text = p.State
	}
	if p.State != "held" && p.Percent > 0 {
		text += fmt.Sprintf(", %d %% fetched", p.Percent)
	}
	if p.Stale {
		text += " (said last; its lease has run out)"
	}
	if p.Error != "" {
		text += ": " + p.Error
	}
	return text
}

// pending names the gateways that do not hold the list yet. One whose lease has
// run out is not waited for.
func (v *listView) pending() (points []string) {
	for _, p := range v.Points {
		if p.State != "held" && !p.Stale {
			points = append(points, p.Name+" "+p.words())
		}
	}
	return points
}

const listWait = "1m"

func (c *command) listLoadCmd() *cobra.Command {
	var dimension, reason, wait string
	cmd := &cobra.Command{
		Use: "load NAME FILE", Short: "Load a list, or replace it whole, from a file with one entry a line (- is standard input)", Args: exactly(2),
		Example: "  andon list load banned banned.txt --dimension users --reason \"abuse report 7\"\n  andon block --list banned --reason \"abuse report 7\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := listFlags(reason, wait)
			if err != nil {
				return err
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			in, size := c.Stdin, int64(-1)
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return usagef("a file with one entry a line, or - for standard input", "%v", err)
				}
				defer f.Close()
				info, err := f.Stat()
				if err != nil || !info.Mode().IsRegular() {
					return usagef("a file with one entry a line, or - for standard input", "%s is not a file", args[1])
				}
				in, size = f, info.Size()
			}
			q := url.Values{"reason": {reason}}
			if dimension != "" {
				q.Set("dimension", dimension)
			}
			ticker := &ticker{c: c, began: time.Now(), what: "loading " + args[0]}
			sent := &counting{r: in, size: size, tick: ticker.tick}
			var v listView
			err = cl.upload(cmd.Context(), listPath(args[0])+"?"+q.Encode(), sent, size, &v)
			ticker.end()
			if err != nil {
				return err
			}
			return c.listSettle(cmd.Context(), cl, &v, d)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dimension, "dimension", "", "what it holds: users, orgs, keys, ips, attributes or tiers (required for a new list)")
	addListFlags(cmd, &reason, &wait)
	return cmd
}

func addListFlags(cmd *cobra.Command, reason, wait *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for the record (required)")
	cmd.Flags().StringVar(wait, "wait", listWait, "how long to wait until every gateway holds it; 0 does not wait")
}

func listFlags(reason, wait string) (time.Duration, error) {
	if strings.TrimSpace(reason) == "" {
		return 0, usagef(`--reason "abuse report 7"`, "it does not say why")
	}
	return waiting(wait)
}

func listPath(name string) string { return "/lists/" + url.PathEscape(name) }

// upload sends a text as it is read.
func (cl *client) upload(ctx context.Context, path string, body io.Reader, size int64, out any) error {
	return cl.do(ctx, http.MethodPut, path, nil, upload{body, size}, out)
}

// listSettle waits until every gateway decides by the list as it is now, and
// says where it stands.
func (c *command) listSettle(ctx context.Context, cl *client, v *listView, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	digest, changed := v.Digest, v.Changed
	ticker := &ticker{c: c, began: time.Now(), what: v.Name}
	pause := 5 * time.Millisecond
	for len(v.pending()) > 0 && time.Now().Before(deadline) {
		ticker.tick(strings.Join(v.pending(), ", "))
		select {
		case <-ctx.Done():
			ticker.end()
			return fmt.Errorf("wait for the gateways (the list was taken): %w", ctx.Err())
		case <-time.After(min(pause, time.Until(deadline))):
		}
		pause = min(2*pause, 200*time.Millisecond)
		var now listView
		if err := cl.do(ctx, http.MethodGet, listPath(v.Name), nil, nil, &now); err != nil {
			ticker.end()
			return fmt.Errorf("read where the list stands (it was taken): %w", err)
		}
		if now.Digest != digest {
			ticker.end()
			return fmt.Errorf("%s was changed by somebody else meanwhile: %s by %s (%s)", v.Name, now.Action, c.person(now.By), now.Reason)
		}
		*v = now
	}
	ticker.end()
	v.Changed = changed
	pending := v.pending()
	var result error
	if wait > 0 && (len(pending) > 0 || len(v.Points) == 0) {
		result = &reported{exitPending, "not yet held everywhere"}
	}
	if c.output == "json" {
		if err := c.json(struct {
			*listView
			Pending []string `json:"pending,omitempty"`
		}{v, pending}); err != nil {
			return err
		}
		return result
	}
	c.printf("%s  %s of %s  revision %d\n", v.Name, entries(uint64(v.Entries)), v.Dimension, v.Revision)
	if changed != nil {
		c.printf("%s %s\n", entries(uint64(*changed)), v.Action)
	}
	for i := range v.Points {
		c.printf("  %s  %s\n", v.Points[i].Name, v.Points[i].words())
	}
	switch {
	case len(v.Points) == 0:
		c.printf("no gateway is connected\n")
	case len(pending) > 0 && wait > 0:
		c.printf("not yet everywhere after %s\n", span(wait))
	case len(pending) > 0:
		c.printf("not waited for\n")
	}
	return result
}

func (c *command) listLsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "The lists, and on how many gateways each is held", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/lists", "lists", "no list is loaded", []string{"NAME", "DIMENSION", "ENTRIES", "BYTES", "HELD", "CHANGED", "CORRECTIONS"}, func(v *listView) []string {
				held := 0
				for _, p := range v.Points {
					if p.State == "held" {
						held++
					}
				}
				text := fmt.Sprintf("%d/%d", held, len(v.Points))
				if v.Lost != "" {
					text += " LOST"
				}
				return []string{v.Name, v.Dimension, fmt.Sprint(v.Entries), fmt.Sprint(v.Bytes), text, until(v.Since, c.Now()), dash(strings.Join(v.Corrections, " "))}
			})
		},
	}
}

func (c *command) listShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "One list: its version, who changed it last and why, and where each gateway stands", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, listPath(args[0]), func(v *listView) error {
				c.printf("%s  %s of %s, %d bytes\n", v.Name, entries(uint64(v.Entries)), v.Dimension, v.Bytes)
				if v.Lost != "" {
					c.printf("LOST: %s\n", v.Lost)
				}
				c.printf("digest   %s\n", v.Digest)
				if v.Source != "" {
					c.printf("source   %s (SHA-256 of the text)\n", v.Source)
				}
				c.printf("%-8s %s by %s, revision %d, entry %d%s\n", v.Action, until(v.Since, c.Now()), c.person(v.By), v.Revision, v.Entry, because(v.Reason))
				c.printf("named by %s\n", dash(strings.Join(v.Corrections, " ")))
				for i := range v.Points {
					c.printf("  %s  %s\n", v.Points[i].Name, v.Points[i].words())
				}
				return nil
			})
		},
	}
}

func (c *command) listEditCmd(verb string) *cobra.Command {
	var reason, wait string
	short := "Add single entries to a list"
	if verb == "remove" {
		short = "Remove single entries from a list"
	}
	cmd := &cobra.Command{
		Use: verb + " NAME ENTRY…", Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef(cmd.UseLine(), "it does not say what to %s", verb)
			}
			d, err := listFlags(reason, wait)
			if err != nil {
				return err
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			var v listView
			in := map[string]any{"entries": args[1:], "reason": reason}
			if err := cl.do(cmd.Context(), http.MethodPost, listPath(args[0])+"/"+verb, nil, in, &v); err != nil {
				return err
			}
			return c.listSettle(cmd.Context(), cl, &v, d)
		},
	}
	addListFlags(cmd, &reason, &wait)
	return cmd
}

func (c *command) listRmCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Remove a list that no correction names", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := listFlags(reason, "0"); err != nil {
				return err
			}
			q := url.Values{"reason": {reason}}
			return c.done(cmd, http.MethodDelete, listPath(args[0])+"?"+q.Encode(), nil, map[string]any{"name": args[0], "removed": true}, args[0]+"  removed")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required)")
	return cmd
}
