package cli

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/correction"
)

// kindsCmd prints the closed catalogue of this program. It asks nobody: what a
// correction may say is fixed when the program is built. Only what was measured the
// control plane knows.
func (c *command) kindsCmd() *cobra.Command {
	var measured bool
	cmd := &cobra.Command{
		Use: "kinds", Short: "The kinds of corrections, with their parameters", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if measured {
				return c.measured(cmd.Context())
			}
			list := correction.Catalogue()
			if c.output == "json" {
				return c.json(list)
			}
			for i, k := range list {
				if i > 0 {
					c.printf("\n")
				}
				c.printKind(&k)
			}
			c.printf("\nrank: 1 takes least away; wires: the APIs that have it; effect: the first that keeps the request's meaning\n")
			return nil
		},
	}
	cmd.Flags().BoolVar(&measured, "measured", false, "how long each took until every gateway enforced it, as the control plane measured")
	return cmd
}

// measure is what a kind, or a class of it, took to be enforced everywhere.
type measure struct {
	Class string    `json:"class"`
	Last  float64   `json:"last_ms"`
	P50   float64   `json:"p50_ms"`
	P99   float64   `json:"p99_ms"`
	Count int       `json:"count"`
	At    time.Time `json:"at"`
}

func (c *command) measured(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	var list struct {
		Kinds []struct {
			correction.KindInfo
			Measured *measure  `json:"measured,omitempty"`
			Classes  []measure `json:"classes"`
		} `json:"kinds"`
	}
	if err := cl.do(ctx, http.MethodGet, "/kinds", nil, nil, &list); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(list.Kinds)
	}
	ms := func(n float64) string { return span(time.Duration(n * float64(time.Millisecond))) }
	rows := [][]string{{"KIND", "RANK", "LAST", "P50", "P99", "MEASURED", "WHEN"}}
	row := func(name, rank string, m *measure) {
		if m == nil {
			rows = append(rows, []string{name, rank, "-", "-", "-", "never", "-"})
			return
		}
		rows = append(rows, []string{name, rank, ms(m.Last), ms(m.P50), ms(m.P99), plural(int64(m.Count), "time"), until(m.At, c.Now())})
	}
	for _, k := range list.Kinds {
		row(string(k.Kind), strconv.Itoa(k.Narrowness), k.Measured)
		for _, m := range k.Classes {
			row("  "+m.Class, "", &m)
		}
	}
	table(c.Stdout, rows)
	c.printf("\nfrom the durable command until the last live gateway enforced it; p50 and p99 of the last 100\n")
	return nil
}

func (c *command) printKind(k *correction.KindInfo) {
	c.printf("%s  %s\n", k.Kind, k.Summary)
	c.printf("  rank %d; a refusal has status %d; lifting gives back %s\n\n", k.Narrowness, k.Status, k.Reversible)
	rows := [][]string{{"  PARAMETER", "TYPE", "WHAT IT SAYS", ""}}
	for _, p := range k.Params {
		rows = append(rows, []string{"  " + p.Name, p.Type, p.Summary, paramBounds(&p)})
	}
	table(c.Stdout, rows)
	if len(k.Levels) > 0 {
		rows = [][]string{{"  LEVEL", "RANK", "WHAT IT DOES", "LIFTING GIVES BACK"}}
		for _, v := range k.Levels {
			rows = append(rows, []string{"  " + v.Name, strconv.Itoa(v.Narrowness), v.Summary, v.Reversible})
		}
		c.printf("\n")
		table(c.Stdout, rows)
	}
	for _, group := range []struct {
		name   string
		values []correction.ValueInfo
	}{{"  FEATURE", k.Features}, {"  CLAMP", k.Clamps}} {
		if len(group.values) == 0 {
			continue
		}
		rows = [][]string{{group.name, "WIRES", "EFFECT", "WHAT IT IS", ""}}
		for _, v := range group.values {
			rows = append(rows, []string{"  " + v.Name, strings.Join(v.Wires, " "), strings.Join(v.Effects, " or "), v.Summary, v.Bounds})
		}
		c.printf("\n")
		table(c.Stdout, rows)
	}
}

// manyAllowed is how many words a row of the table can still hold; more stand in
// a table of their own.
const manyAllowed = 8

func paramBounds(p *correction.ParamInfo) string {
	var parts []string
	if p.Required {
		parts = append(parts, "required")
	}
	if p.Narrowness != 0 {
		parts = append(parts, "rank "+strconv.Itoa(p.Narrowness))
	}
	if n := len(p.Allowed); n > manyAllowed {
		parts = append(parts, "of those below")
	} else if n > 0 {
		parts = append(parts, strings.Join(p.Allowed, " | "))
	}
	if p.Default != "" {
		parts = append(parts, "default "+p.Default)
	}
	if p.Bounds != "" {
		parts = append(parts, p.Bounds)
	}
	if p.Status != 0 {
		parts = append(parts, "a refusal has status "+strconv.Itoa(p.Status))
	}
	return strings.Join(parts, "; ")
}
