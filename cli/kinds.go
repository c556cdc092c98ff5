package cli

import (
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
				c.printf("%s  %s; a refusal has status %d\n", k.Kind, k.Summary, k.Status)
				rows := [][]string{}
				for _, p := range k.Params {
					rows = append(rows, []string{"  " + p.Name, p.Type, p.Summary, paramBounds(&p)})
				}
				for _, group := range []struct {
					name   string
					values []correction.ValueInfo
				}{{"level", k.Levels}, {"feature", k.Features}, {"clamp", k.Clamps}} {
					for _, v := range group.values {
						rows = append(rows, []string{"  " + v.Name, group.name, v.Summary})
					}
				}
				table(c.Stdout, rows)
			}
			return nil
		},
	}
}

func paramBounds(p *correction.ParamInfo) string {
	var parts []string
	if p.Required {
		parts = append(parts, "required")
	}
	if len(p.Allowed) > 0 {
		parts = append(parts, strings.Join(p.Allowed, " | "))
	}
	if p.Default != "" {
		parts = append(parts, "default "+p.Default)
	}
	if p.Bounds != "" {
		parts = append(parts, p.Bounds)
	}
	return strings.Join(parts, "; ")
}
