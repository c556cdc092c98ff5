package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/correction"
)

// receipt says that an acknowledgement is in the ledger.
type receipt struct {
	ID         string    `json:"id"`
	Correction string    `json:"correction"`
	Org        string    `json:"org,omitempty"`
	Key        string    `json:"key,omitempty"`
	At         time.Time `json:"at"`
	Entry      uint64    `json:"entry"`
	Statement  string    `json:"statement,omitempty"`
	By         string    `json:"by,omitempty"`
	Pending    []string  `json:"pending,omitempty"` // points that do not have it yet
}

func (c *command) acknowledgementsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "acknowledgements ID", Short: "Who has acknowledged a use, and who has not", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			type answer struct {
				Correction   string    `json:"correction"`
				UseCase      string    `json:"use_case"`
				By           time.Time `json:"acknowledge_by"`
				Acknowledged []receipt `json:"acknowledged"`
				Missing      []struct {
					Org      string   `json:"org,omitempty"`
					Keys     []string `json:"keys,omitempty"`
					Requests int64    `json:"requests,omitempty"`
				} `json:"missing"`
				Notes []string `json:"notes"`
			}
			return show(c, cmd, "/corrections/"+url.PathEscape(args[0])+"/acknowledgements", func(v *answer) error {
				c.printf("%s  %s  by %s (%s)\n", v.Correction, v.UseCase, v.By.UTC().Format(time.RFC3339), until(v.By, c.Now()))
				rows := [][]string{{"WHO", "STATE", "WHEN", "RECEIPT", "ENTRY", "STATEMENT"}}
				for _, a := range v.Acknowledged {
					who, said := a.Org, a.Statement
					if who == "" {
						who = "key " + a.Key
					}
					if a.By != "" {
						said = "on behalf, by " + c.person(a.By) + ": " + said
					}
					rows = append(rows, []string{who, "acknowledged", until(a.At, c.Now()), a.ID, strconv.FormatUint(a.Entry, 10), c.cut(said, 60)})
				}
				for _, m := range v.Missing {
					who, why := m.Org, []string{}
					if who == "" {
						who = "key " + strings.Join(m.Keys, " ")
					} else if len(m.Keys) > 0 {
						why = append(why, "keys "+strings.Join(m.Keys, " "))
					}
					if m.Requests > 0 {
						why = append(why, plural(m.Requests, "recorded request"))
					}
					rows = append(rows, []string{who, "missing", "-", "-", "-", strings.Join(why, ", ")})
				}
				table(c.Stdout, rows)
				for _, n := range v.Notes {
					c.printf("note: %s\n", n)
				}
				return nil
			})
		},
	}
}

func (c *command) acknowledgeCmd() *cobra.Command {
	var org, key, reason, wait string
	cmd := &cobra.Command{
		Use: "acknowledge ID --org NAME --reason TEXT", Short: "Write down that somebody has acknowledged a use, on their behalf", Args: exactly(1),
		Example: `  andon acknowledge c-5 --org acme --reason "letter of 20 November"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (org == "") == (key == "") {
				return usagef("--org acme, or --key k-1 for a key without an org", "it does not say who has acknowledged")
			}
			if strings.TrimSpace(reason) == "" {
				return usagef(`--reason "letter of …"`, "a reason is required: how it was given")
			}
			body := map[string]string{"reason": reason}
			if org != "" {
				body["org"] = org
			} else {
				body["key"] = key
			}
			cl, limit, err := c.waiter(wait)
			if err != nil {
				return err
			}
			sent := time.Now()
			var r receipt
			if err := cl.do(cmd.Context(), http.MethodPost, "/corrections/"+url.PathEscape(args[0])+"/acknowledge", nil, body, &r); err != nil {
				return err
			}
			if c.output != "json" {
				c.printf("%s  %s acknowledged by %s%s  entry %d\n", r.ID, r.Correction, r.Org, r.Key, r.Entry)
			}
			r.Pending, err = c.everywhere(cmd.Context(), cl, r.ID, sent, limit)
			if c.output == "json" {
				return errors.Join(c.json(r), err)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "organisation that has acknowledged")
	cmd.Flags().StringVar(&key, "key", "", "id of a key without an organisation")
	cmd.Flags().StringVar(&reason, "reason", "", "how it was given (required)")
	addWait(cmd, &wait)
	return cmd
}

// useCasesCmd prints the taxonomy of this program.
func (c *command) useCasesCmd() *cobra.Command {
	return &cobra.Command{
		Use: "use-cases [NODE]", Short: "The taxonomy of uses", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			nodes := []correction.Node{}
			for _, n := range correction.Taxonomy() {
				if len(args) == 0 || n.ID == args[0] || strings.HasPrefix(n.ID, args[0]+"/") {
					nodes = append(nodes, n)
				}
			}
			if len(nodes) == 0 {
				return usagef("andon use-cases", "%q is not in the taxonomy", args[0])
			}
			if c.output == "json" {
				return c.json(nodes)
			}
			rows := [][]string{{"USE", "TITLE", "WHAT IT IS"}}
			for _, n := range nodes {
				rows = append(rows, []string{n.ID, n.Title, n.Definition})
			}
			table(c.Stdout, rows)
			return nil
		},
	}
}
