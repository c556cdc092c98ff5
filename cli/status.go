package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// pointList and correctionList are the lists of the control API.
type pointList struct {
	Revision uint64  `json:"revision"` // what every point should enforce
	Points   []point `json:"points"`
}

type correctionList struct {
	Revision    uint64 `json:"revision"`
	Corrections []view `json:"corrections"`
	Next        string `json:"next"`
}

// corrections asks for all corrections, or for those in force alone, page by page.
func (cl *client) corrections(ctx context.Context, all bool) (correctionList, error) {
	q := url.Values{"limit": {"500"}}
	if !all {
		q["state"] = []string{"active", "scheduled"}
	}
	var cs correctionList
	for {
		var page correctionList
		if err := cl.do(ctx, http.MethodGet, "/corrections?"+q.Encode(), nil, nil, &page); err != nil {
			return cs, err
		}
		cs.Revision, cs.Corrections = page.Revision, append(cs.Corrections, page.Corrections...)
		if page.Next == "" {
			return cs, nil
		}
		q.Set("after", page.Next)
	}
}

// overview is what status shows: desired against observed.
type overview struct {
	Revision    uint64  `json:"revision"`
	Points      []point `json:"points"`
	Corrections []view  `json:"corrections"`
}

func (c *command) overview(ctx context.Context, cl *client) (*overview, error) {
	var ps pointList
	if err := cl.do(ctx, http.MethodGet, "/points", nil, nil, &ps); err != nil {
		return nil, err
	}
	cs, err := cl.corrections(ctx, false)
	if err != nil {
		return nil, err
	}
	o := &overview{Revision: max(ps.Revision, cs.Revision), Points: ps.Points, Corrections: []view{}}
	for _, v := range cs.Corrections {
		if v.inForce() {
			o.Corrections = append(o.Corrections, v)
		}
	}
	return o, nil
}

// inForce is false for what was lifted or has expired.
func (v *view) inForce() bool { return v.State != "lifted" && v.State != "expired" }

func (c *command) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "What waits for a person, desired against observed on every gateway, and what is in force", Args: cobra.NoArgs,
		Long: "First what waits for a person, each with the command to act (* you can do it, ! it is late or wrong), and who is on call;\nthen desired against observed on every gateway; then what is in force.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			o, err := c.overview(cmd.Context(), cl)
			if err != nil {
				return err
			}
			look := c.look(cmd.Context(), cl, o)
			if c.output == "json" {
				return c.json(struct {
					overview
					outlook
				}{*o, *look})
			}
			c.printLook(look)
			c.printOverview(c.Stdout, o)
			return nil
		},
	}
}

func (c *command) printOverview(w io.Writer, o *overview) {
	cw := clean(w)
	behind := 0
	for _, p := range o.Points {
		if p.State != "synced" {
			behind++
		}
	}
	fmt.Fprintf(cw, "revision %d, ", o.Revision)
	switch {
	case len(o.Points) == 0:
		fmt.Fprintf(cw, "no gateway is connected\n")
	case behind == 0:
		fmt.Fprintf(cw, "in force on all of %s\n", plural(int64(len(o.Points)), "gateway"))
	default:
		fmt.Fprintf(cw, "NOT in force on %d of %s\n", behind, plural(int64(len(o.Points)), "gateway"))
	}
	if len(o.Points) > 0 {
		fmt.Fprintln(cw)
		c.printPoints(w, o.Points, o.Revision)
		notAdopted(cw, o.Points)
	}
	fmt.Fprintln(cw)
	if len(o.Corrections) == 0 {
		fmt.Fprintln(cw, "no corrections in force")
		return
	}
	c.printCorrections(w, o.Corrections)
}

func (c *command) printPoints(w io.Writer, ps []point, desired uint64) {
	now := c.Now()
	rows := [][]string{{"GATEWAY", "STATE", "DESIRED", "OBSERVED", "LEASE", "LIVE", "CREDENTIAL", "NOTE"}}
	for _, p := range ps {
		rows = append(rows, []string{
			p.Name, p.State, strconv.FormatUint(desired, 10), strconv.FormatUint(p.Revision, 10),
			until(p.Lease, now), strconv.FormatInt(p.Live, 10), p.Credential, c.cut(p.Error, 200),
		})
	}
	table(w, rows)
}

// notAdopted names the emergency orders that gateways obey and the control plane
// has not taken over: nothing else here shows them, and nobody can lift them.
func notAdopted(w io.Writer, ps []point) {
	held := map[string][]string{}
	for _, p := range ps {
		for _, id := range p.Emergencies {
			held[id] = append(held[id], p.Name)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		fmt.Fprintf(w, "\nEMERGENCY ORDER %s is obeyed by %s, and is not in the ledger: it cannot be lifted yet\n", id, strings.Join(held[id], ", "))
		fmt.Fprintf(w, "  if this stays, add the public key that signed it to gateway.emergency_trust of the control plane too, and restart it\n")
	}
}

func (c *command) printCorrections(w io.Writer, vs []view) {
	now := c.Now()
	rows := [][]string{{"ID", "STATE", "KIND", "REACHES", "ENFORCED", "ENDS", "REASON"}}
	for _, v := range vs {
		ends := "when lifted"
		if !v.ExpiresAt.IsZero() {
			ends = until(v.ExpiresAt, now)
		}
		enforced := "-"
		if v.Effect != nil {
			enforced = fmt.Sprintf("%d/%d", v.Effect.Enforcing, v.Effect.Desired)
		}
		switch {
		case !v.LiftedAt.IsZero():
			ends = until(v.LiftedAt, now)
		case v.State == "scheduled":
			ends = "begins " + until(v.StartsAt, now) + ", ends " + ends
		}
		rows = append(rows, []string{v.ID, v.State, v.kindText(), c.cut(v.reach(), 60), enforced, ends, c.cut(v.Reason, 50)})
	}
	table(w, rows)
}

func (c *command) pointsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "points", Short: "The enforcement points: state, revision, lease", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(c, cmd, "/points", func(ps *pointList) error {
				c.printPoints(c.Stdout, ps.Points, ps.Revision)
				notAdopted(clean(c.Stdout), ps.Points)
				return nil
			})
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "remove NAME", Short: "Take a gateway off the list that will not come back", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.done(cmd, http.MethodDelete, "/points/"+url.PathEscape(args[0]), nil, map[string]any{"name": args[0], "removed": true}, args[0]+"  removed")
		},
	}, c.revokeCmd(), c.credentialsCmd())
	return cmd
}

func (c *command) correctionsCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "corrections [ID]", Short: "The corrections in force, or one of them in full",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("andon corrections c-12", "one id at most")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return c.oneCorrection(cmd.Context(), cl, args[0])
			}
			cs, err := cl.corrections(cmd.Context(), all)
			if err != nil {
				return err
			}
			shown := []view{}
			for _, v := range cs.Corrections {
				if all || v.inForce() {
					shown = append(shown, v)
				}
			}
			if c.output == "json" {
				return c.json(shown)
			}
			if len(shown) == 0 {
				c.printf("no corrections in force\n")
				return nil
			}
			c.printCorrections(c.Stdout, shown)
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "lifted and expired ones too")
	return cmd
}

func (c *command) oneCorrection(ctx context.Context, cl *client, id string) error {
	var raw jsontext.Value // as it came: a newer control plane may say more
	if err := cl.do(ctx, http.MethodGet, "/corrections/"+url.PathEscape(id), nil, nil, &raw); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(raw)
	}
	var v view
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("read correction %s: %w", id, err)
	}
	now := c.Now()
	row := func(name, value string) {
		if value != "" {
			c.printf("%-14s %s\n", name, value)
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339) + " (" + until(t, now) + ")"
	}
	row("id", v.ID)
	row("state", v.State)
	row("kind", v.kindText())
	row("reaches", v.reach())
	row("reason", v.Reason)
	row("public reason", v.PublicReason)
	row("legal order", v.LegalOrder)
	row("by", c.person(v.CreatedBy))
	row("incident", v.Incident)
	row("fallback", v.Fallback)
	if v.State == "active" || v.State == "scheduled" {
		row("ratification", v.Ratification.words(v.ID, now))
	}
	if v.Ratification != nil {
		for _, n := range v.Ratification.Notes {
			row("ratified by", n)
		}
	}
	row("applied", at(v.AppliedAt))
	row("starts", at(v.StartsAt))
	row("review by", at(v.ReviewBy))
	row("expires", at(v.ExpiresAt))
	row("lifted", at(v.LiftedAt))
	row("revision", strconv.FormatUint(v.Revision, 10))
	if v.TimeToEffectMS != nil {
		name := "in effect"
		if v.State == "lifted" {
			name = "gone"
		}
		row(name, "after "+span(time.Duration(*v.TimeToEffectMS*float64(time.Millisecond))))
	}
	if v.Effect != nil {
		for _, p := range v.Effect.Points {
			row("point", strings.TrimSpace(p.Name+" "+p.State+" "+p.Error))
		}
	}
	for _, h := range v.History {
		text := h.At.Format(time.RFC3339) + " " + h.Action + " by " + c.person(h.By)
		if h.Reason != "" {
			text += ": " + h.Reason
		}
		row("history", text)
	}
	return nil
}
