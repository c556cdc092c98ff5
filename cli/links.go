package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// linked is what is known of a correction's links.
type linked struct {
	Links []struct {
		Link    string    `json:"link"`
		Key     string    `json:"key,omitempty"`
		Via     string    `json:"via,omitempty"`
		Gateway string    `json:"gateway,omitempty"`
		At      time.Time `json:"at"`
		Entry   uint64    `json:"entry"`
	} `json:"links"`
	Refused []struct {
		Link   string `json:"link"`
		Shared int    `json:"shared"`
	} `json:"refused"`
	Unlinked []string `json:"unlinked"`
}

func (c *command) linksCmd() *cobra.Command {
	return &cobra.Command{
		Use: "links ID", Short: "By what a block recognises accounts that are linked to its subjects, and why", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v view
			if err := c.fetch(cmd, "/corrections/"+url.PathEscape(args[0]), &v); err != nil {
				return err
			}
			return c.printLinks(&v)
		},
	}
}

func (c *command) printLinks(v *view) error {
	l := v.Linked
	if l == nil {
		l = &linked{}
	}
	if c.output == "json" {
		return c.json(l)
	}
	if len(v.Params.Linked) == 0 {
		c.printf("%s does not link accounts: andon block … --linked org,device\n", v.ID)
		return nil
	}
	if len(l.Links) == 0 {
		c.printf("%s has no links: nothing its subjects share is known\n", v.ID)
	} else {
		rows := [][]string{{"LINK", "WHY", "SINCE", "ENTRY"}}
		for _, x := range l.Links {
			why := "of a subject"
			if x.Via != "" {
				why = "of who has " + x.Via
			}
			if x.Key != "" {
				why += ", key " + x.Key
			}
			if x.Gateway != "" {
				why += ", refused at " + x.Gateway
			}
			rows = append(rows, []string{x.Link, why, until(x.At, c.Now()), strconv.FormatUint(x.Entry, 10)})
		}
		table(c.Stdout, rows)
		c.printf("take one away for good: andon unlink %s LINK --reason …\n", v.ID)
	}
	for _, x := range l.Refused {
		c.printf("not linked: %s is shared by %d and tells no subject\n", x.Link, x.Shared)
	}
	if len(l.Unlinked) > 0 {
		c.printf("taken away: %s\n", strings.Join(l.Unlinked, ", "))
	}
	return nil
}

func (c *command) unlinkCmd() *cobra.Command {
	var reason, wait string
	cmd := &cobra.Command{
		Use: "unlink ID LINK --reason TEXT", Short: "Take a link to another account away; it is not learned again",
		Example: `  andon unlink c-3 device=d-1 --reason "a device in a library"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("andon unlink c-3 device=d-1 --reason …; andon links c-3 lists them", "a correction and a link are needed")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "shared device"`, "a reason is required")
			}
			cl, until, err := c.waiter(wait)
			if err != nil {
				return err
			}
			sent := time.Now()
			var v view
			if err := cl.do(cmd.Context(), http.MethodPost, "/corrections/"+url.PathEscape(args[0])+"/unlink", nil, map[string]string{"link": args[1], "reason": reason}, &v); err != nil {
				return err
			}
			return c.settle(cmd.Context(), cl, v.ID, sent, until, outcome{what: "no longer reaches who has " + args[1]})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	addWait(cmd, &wait)
	return cmd
}
