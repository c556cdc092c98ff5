package cli

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/correction"
)

// dependantState is somebody for whom a model's absence has consequences.
type dependantState struct {
	Name           string              `json:"name"`
	Orgs           []string            `json:"orgs"`
	Models         []string            `json:"models"`
	Criticality    string              `json:"criticality"`
	HoldDown       bool                `json:"hold_down"`
	Fallback       string              `json:"fallback,omitempty"`
	Notice         correction.Duration `json:"notice,omitempty"`
	Contacts       []string            `json:"contacts"`
	ReceiverTested string              `json:"receiver_tested_at,omitempty"`
	Keys           int                 `json:"keys"`
	Corrections    []string            `json:"corrections"`
	OnFallback     bool                `json:"on_fallback"`
}

func (c *command) termsCmds() []*cobra.Command {
	return []*cobra.Command{c.dependantsCmd(), c.policyCmd()}
}

func (c *command) dependantsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "dependants", Short: "Who depends on which model, and what reaches them now", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(c, cmd, "/dependants", "dependants", "the plan in force names no dependants, or there is none: andon plan show", []string{"NAME", "CRITICALITY", "MODELS", "FALLBACK", "KEYS", "NOW", "TELL"}, func(d *dependantState) []string {
				fallback, now := "none", "served"
				if d.Fallback != "" {
					fallback = d.Fallback
				}
				if d.HoldDown {
					fallback += " first"
				}
				if len(d.Corrections) > 0 {
					now = strings.Join(d.Corrections[:min(len(d.Corrections), 3)], " ")
				}
				if d.OnFallback {
					now = "on fallback, " + now
				}
				return []string{c.cut(d.Name, 24), d.Criticality, c.cut(strings.Join(d.Models, " "), 24), fallback, strconv.Itoa(d.Keys), now, c.cut(strings.Join(d.Contacts, " "), 30)}
			})
		},
	}
}

func (c *command) policyCmd() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "policy", Short: "The correction policy that customers can read, or that of one customer", Args: noneBelow,
		Long: "Policy shows what callers can rely on when corrections are applied. With a caller's key it shows what holds for that\ncustomer: its terms, its fallbacks, its notice. It asks as a customer does, without an operator's token.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.nameless()
			if err != nil {
				return err
			}
			cl.token = key
			type kind struct {
				Kind       string              `json:"kind"`
				Level      string              `json:"level,omitempty"`
				Summary    string              `json:"summary"`
				Status     int                 `json:"status"`
				Reversible string              `json:"reversible"`
				Word       string              `json:"word,omitempty"`
				Notice     correction.Duration `json:"notice,omitempty"`
				Section    string              `json:"section,omitempty"`
			}
			var got struct {
				Org       string `json:"org,omitempty"`
				Version   int    `json:"plan_version,omitempty"`
				Kinds     []kind `json:"kinds"`
				Refusal   any    `json:"refusal"`
				Headers   any    `json:"headers"`
				GoodFaith string `json:"good_faith"`
				Yours     *struct {
					Org        string `json:"org"`
					Terms      string `json:"terms,omitempty"`
					Source     string `json:"source,omitempty"`
					Kinds      []kind `json:"kinds"`
					Dependants []struct {
						Name     string              `json:"name"`
						Models   []string            `json:"models"`
						HoldDown bool                `json:"hold_down"`
						Fallback string              `json:"fallback,omitempty"`
						Differs  string              `json:"differs,omitempty"`
						Notice   correction.Duration `json:"notice,omitempty"`
					} `json:"dependants"`
				} `json:"yours,omitempty"`
			}
			if err := cl.do(cmd.Context(), http.MethodGet, "/correction-policy", nil, nil, &got); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(got)
			}
			kinds := got.Kinds
			if got.Yours != nil && len(got.Yours.Kinds) > 0 {
				kinds = got.Yours.Kinds
			}
			rows := [][]string{{"KIND", "STATUS", "TERMS", "WHAT", "UNDONE"}}
			for _, k := range kinds {
				word := k.Word
				if k.Notice > 0 {
					word += " " + k.Notice.String()
				}
				rows = append(rows, []string{strings.TrimSpace(k.Kind + " " + k.Level), strconv.Itoa(k.Status), word, c.cut(k.Summary, 44), c.cut(k.Reversible, 30)})
			}
			table(c.Stdout, rows)
			if got.Yours != nil {
				if got.Yours.Terms == "" {
					c.printf("%s: the plan has no terms for it\n", got.Yours.Org)
				} else {
					c.printf("%s: terms %s (%s)\n", got.Yours.Org, got.Yours.Terms, got.Yours.Source)
				}
				for _, d := range got.Yours.Dependants {
					c.printf("  %s: %s, fallback %s %s\n", d.Name, strings.Join(d.Models, " "), d.Fallback, d.Differs)
				}
			}
			c.printf("%s\n", got.GoodFaith)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "a caller's key: what holds for that customer")
	return cmd
}
