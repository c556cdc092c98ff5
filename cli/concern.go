package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/authority"
)

// maxConcernText bounds what is read of a text, in bytes; the control plane takes 16 KiB.
const maxConcernText = 64 << 10

// concern is one as the desk sees it; its reporter sees State, the times and Messages.
type concern struct {
	ID       string          `json:"id,omitempty"`
	Topic    string          `json:"topic,omitempty"`
	State    string          `json:"state"`
	Raised   time.Time       `json:"raised_at"`
	Changed  time.Time       `json:"changed_at"`
	By       string          `json:"by,omitempty"`
	Text     string          `json:"text,omitempty"`
	About    string          `json:"about,omitempty"`
	Contact  string          `json:"contact,omitempty"`
	Erased   bool            `json:"erased,omitempty"`
	Messages []concernSaying `json:"messages"`
	Personal []string        `json:"personal,omitempty"`
	Entry    uint64          `json:"entry,omitempty"`
}

type concernSaying struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	By     string    `json:"by,omitempty"`
	Text   string    `json:"text,omitempty"`
	Erased bool      `json:"erased,omitempty"`
	State  string    `json:"state,omitempty"`
}

func (c *command) concernCmds() []*cobra.Command {
	cmd := group("concern", "Say that something is wrong, without a name if you wish",
		c.concernRaiseCmd(), c.concernStatusCmd(), c.concernReplyCmd(), c.concernListCmd(), c.concernShowCmd(), c.concernMoveCmd())
	cmd.Long = "Whoever sees that something is wrong can say so here. Without --named no token is sent, and neither name nor address is\nkept. The receipt alone shows what became of it.\n\n" + authority.GoodFaith
	return []*cobra.Command{cmd}
}

// nameless is a client that sends no token.
func (c *command) nameless() (*client, error) {
	kept := c.token
	c.token = "-" // so that none is looked for
	cl, err := c.client()
	c.token = kept
	if err == nil {
		cl.token = ""
	}
	return cl, err
}

// longText is the argument of --text, or standard input for "-".
func (c *command) longText(text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	data, err := io.ReadAll(io.LimitReader(c.Stdin, maxConcernText))
	if err != nil {
		return "", fmt.Errorf("read text: %w", err)
	}
	return string(data), nil
}

func (c *command) concernRaiseCmd() *cobra.Command {
	var topic, text, about, contact string
	var named bool
	cmd := &cobra.Command{
		Use: "raise --topic TOPIC --text TEXT", Short: "Raise a concern; the receipt is shown once", Args: noneBelow,
		Example: `  andon concern raise --topic dangerous_capability --about sim-large --text "…"
  andon concern raise --topic process --text - < what-i-saw.txt`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if topic == "" || text == "" {
				return usagef(`andon concern raise --topic other --text "what you saw"`, "--topic and --text are needed")
			}
			text, err := c.longText(text)
			if err != nil {
				return err
			}
			find := c.nameless
			if named {
				find = c.client
			}
			cl, err := find()
			if err != nil {
				return err
			}
			var got struct {
				Receipt   string `json:"receipt"`
				State     string `json:"state"`
				Next      string `json:"next"`
				GoodFaith string `json:"good_faith"`
			}
			body := map[string]any{"topic": topic, "text": text, "about": about, "contact": contact, "named": named}
			if err := cl.do(cmd.Context(), http.MethodPost, "/concerns", nil, body, &got); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(got)
			}
			c.printf("%s\n%s\n%s\nlook: andon concern status --receipt %s\n", got.Receipt, got.Next, got.GoodFaith, got.Receipt)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&topic, "topic", "", "dangerous_capability, misuse, harm_to_people, loss_of_control, security, process, retaliation or other (required)")
	f.StringVar(&text, "text", "", "what you saw; - reads it from standard input (required)")
	f.StringVar(&about, "about", "", "a model, an incident, a function")
	f.StringVar(&contact, "contact", "", "how to reach you, if you wish")
	f.BoolVar(&named, "named", false, "with your operator's name")
	return cmd
}

// receiptOf is the receipt of a flag, of ANDON_RECEIPT, or of standard input for "-".
func (c *command) receiptOf(flag string) (string, error) {
	if flag == "" {
		flag = c.env("ANDON_RECEIPT")
	}
	if flag == "" {
		return "", usagef("--receipt cr_…, ANDON_RECEIPT, or --receipt - to read it from standard input", "a receipt is needed")
	}
	text, err := c.longText(flag)
	return strings.TrimSpace(text), err
}

func (c *command) concernStatusCmd() *cobra.Command {
	var receipt string
	cmd := &cobra.Command{
		Use: "status --receipt RECEIPT", Short: "What became of a concern", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.asReporter(cmd, receipt, "/concerns/status", "")
		},
	}
	cmd.Flags().StringVar(&receipt, "receipt", "", "as it was shown (ANDON_RECEIPT; - reads it from standard input)")
	return cmd
}

func (c *command) concernReplyCmd() *cobra.Command {
	var receipt, text string
	cmd := &cobra.Command{
		Use: "reply --receipt RECEIPT --text TEXT", Short: "Add to a concern; a closed one is open again", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if text == "" {
				return usagef(`--text "…"`, "--text is needed")
			}
			text, err := c.longText(text)
			if err != nil {
				return err
			}
			return c.asReporter(cmd, receipt, "/concerns/reply", text)
		},
	}
	cmd.Flags().StringVar(&receipt, "receipt", "", "as it was shown (ANDON_RECEIPT)")
	cmd.Flags().StringVar(&text, "text", "", "what you add; - reads it from standard input (required)")
	return cmd
}

func (c *command) asReporter(cmd *cobra.Command, receipt, path, text string) error {
	receipt, err := c.receiptOf(receipt)
	if err != nil {
		return err
	}
	cl, err := c.nameless()
	if err != nil {
		return err
	}
	body := map[string]string{"receipt": receipt}
	if text != "" {
		body["text"] = text
	}
	var k concern
	if err := cl.do(cmd.Context(), http.MethodPost, path, nil, body, &k); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(k)
	}
	c.printf("%s  raised %s, changed %s\n", strings.ReplaceAll(k.State, "_", " "), until(k.Raised, c.Now()), until(k.Changed, c.Now()))
	c.printSaid(&k)
	return nil
}

func (c *command) printSaid(k *concern) {
	for _, m := range k.Messages {
		text := m.Text
		if m.Erased {
			text = "(erased)"
		}
		who := m.From
		if m.By != "" {
			who = m.By
		}
		if m.State != "" {
			who += ", " + strings.ReplaceAll(m.State, "_", " ")
		}
		c.printf("  %s (%s): %s\n", who, until(m.At, c.Now()), strings.ReplaceAll(text, "\n", "\n    "))
	}
}

func (c *command) concernListCmd() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use: "ls", Short: "Concerns, for auditors", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := ""
			if state != "" {
				query = "?state=" + url.QueryEscape(state)
			}
			type answer struct {
				Concerns []concern `json:"concerns"`
				Open     int       `json:"open"`
				Next     string    `json:"next"`
			}
			return show(c, cmd, "/concerns"+query, func(got *answer) error {
				rows := [][]string{{"ID", "RAISED", "STATE", "TOPIC", "BY"}}
				for _, k := range got.Concerns {
					by := k.By
					if by == "" {
						by = "without a name"
					}
					rows = append(rows, []string{k.ID, until(k.Raised, c.Now()), strings.ReplaceAll(k.State, "_", " "), k.Topic, by})
				}
				if len(rows) > 1 {
					table(c.Stdout, rows)
				}
				c.printf("%s open\n", plural(int64(got.Open), "concern"))
				if got.Next != "" {
					c.printf("there are older ones; -o json and ?after=%s lead on\n", got.Next)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "open, or one state")
	return cmd
}

func (c *command) printConcern(k *concern) {
	c.printf("%s  %s  %s  raised %s\n", k.ID, strings.ReplaceAll(k.State, "_", " "), k.Topic, until(k.Raised, c.Now()))
	if k.About != "" {
		c.printf("  about %s\n", k.About)
	}
	if k.Contact != "" {
		c.printf("  contact %s\n", k.Contact)
	}
	if k.Erased {
		c.printf("  some of it was erased\n")
	}
	c.printf("  %s\n", strings.ReplaceAll(k.Text, "\n", "\n  "))
	c.printSaid(k)
}

func (c *command) concernShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "A concern whole, for auditors", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/concerns/"+url.PathEscape(args[0]), func(k *concern) error {
				c.printConcern(k)
				c.printf("next: andon concern move %s acknowledged --message \"…\"\n", k.ID)
				return nil
			})
		},
	}
}

func (c *command) concernMoveCmd() *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use: "move ID [STATE] --message TEXT", Short: "Move a concern on, or tell its reporter something",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return usagef(cmd.UseLine(), "an id, and a state: acknowledged, looking, acted_on, no_action or referred")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			body := map[string]string{}
			if len(args) == 2 {
				body["state"] = strings.ReplaceAll(args[1], "-", "_")
			}
			if message != "" {
				if body["message"], err = c.longText(message); err != nil {
					return err
				}
			}
			return send(c, cmd, http.MethodPost, "/concerns/"+url.PathEscape(args[0]), body, func(k *concern) error {
				c.printConcern(k)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "to the reporter; needed to close it; - reads it from standard input")
	return cmd
}
