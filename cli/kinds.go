package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/correction"
)

// kindsCmd prints the closed catalogue of this program. It asks nobody: what a
// correction may say is fixed when the program is built.
func (c *command) kindsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "kinds", Short: "The kinds of corrections, with their parameters", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
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
