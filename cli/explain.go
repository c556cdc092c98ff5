package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"andon/order"
)

// explanation is what the gateways and the record know of one request.
type explanation struct {
	RequestID   string           `json:"request_id"`
	Decisions   []order.Decision `json:"decisions"`
	Corrections []view           `json:"corrections"`
	Silent      []string         `json:"silent"`
}

func (c *command) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use: "explain REQUEST", Short: "Why a request was refused, cut or changed",
		Long:    "Why a request was refused, cut or changed. REQUEST is the andon-request-id of the answer. All live gateways are asked; if one that may know is silent, that is said.",
		Example: "  andon explain r-0a1b2c3d-1",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(c, cmd, "/requests/"+url.PathEscape(args[0]), func(e *explanation) error {
				for _, d := range e.Decisions {
					c.printDecision(&d)
				}
				if len(e.Silent) > 0 {
					c.printf("  not answered by %s\n", c.cut(strings.Join(e.Silent, ", "), 200))
				}
				if len(e.Corrections) > 0 {
					c.printf("\n")
					c.printCorrections(c.Stdout, e.Corrections)
				}
				return nil
			})
		},
	}
}

func (c *command) printDecision(d *order.Decision) {
	what := d.Action
	if d.Status != 0 {
		what += " with " + strconv.Itoa(d.Status) + " " + http.StatusText(d.Status)
	}
	c.printf("%s  %s\n", d.RequestID, what)
	c.printf("  at %s (%s) on %s under revision %d\n", d.At.UTC().Format("2006-01-02T15:04:05.000Z"), until(d.At, c.Now()), d.Gateway, d.Revision)
	who := []string{d.API, "model " + d.Model}
	served := d.ServedBy
	if served == d.Model || d.Action == "refused" { // then it says nothing, or what was not
		served = ""
	}
	for _, p := range [][2]string{{"org", d.Org}, {"key", d.Key}, {"user", d.User}, {"served by", served}} {
		if p[1] != "" {
			who = append(who, p[0]+" "+p[1])
		}
	}
	c.printf("  %s\n", strings.Join(who, ", "))
	if len(d.Corrections) > 0 {
		c.printf("  because of %s\n", strings.Join(d.Corrections, ", "))
	}
}
