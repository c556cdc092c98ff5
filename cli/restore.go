package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// restored is what a restoration does, or did.
type restored struct {
	ToRevision uint64         `json:"to_revision"`
	ToEntry    uint64         `json:"to_entry"`
	Lift       []restoredLine `json:"lift"`
	Reinstate  []restoredLine `json:"reinstate"`
	Change     []restoredLine `json:"change"`
	EndedSince []string       `json:"ended_since"`
	Left       []string       `json:"left"`
	Digest     string         `json:"digest"`
	Revision   uint64         `json:"revision,omitempty"`
	Done       bool           `json:"done"`
}

type restoredLine struct {
	ID   string `json:"id"`
	Says string `json:"says"`
}

func (c *command) restoreCmds() []*cobra.Command { return []*cobra.Command{c.restoreCmd()} }

func (c *command) restoreCmd() *cobra.Command {
	var (
		before, at, reason, wait string
		revision                 uint64
		preview, yes, glass      bool
	)
	cmd := &cobra.Command{
		Use: "restore --before ID | --revision N | --at TIME", Short: "Lead back to the exact state that was in force, in one step", Args: noneBelow,
		Long: `Restore lifts what was put in force since, brings back what was lifted since and sets back what was changed since: one
revision, at all enforcement points at once. It takes what a lift takes: the rules say who has to agree. What ended by
itself stays ended, what is in custody stays there, and keys that were revoked stay revoked.`,
		Example: `  andon restore --before c-12 --preview
  andon restore --before c-12 --reason "the fix is deployed and probed"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := map[string]any{"reason": reason, "preview": preview}
			f := cmd.Flags()
			given := 0
			for _, name := range []string{"before", "revision", "at"} {
				if f.Changed(name) {
					given++
				}
			}
			switch {
			case given > 1:
				return usagef("andon restore --before c-12 --preview", "--before, --revision and --at each say which state; give one of them")
			case before != "":
				ask["before"] = before
			case f.Changed("revision"):
				ask["revision"] = revision
			case at != "":
				t, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return usagef("--at "+c.Now().UTC().Format(time.RFC3339), "--at %q is no instant (RFC 3339)", at)
				}
				ask["at"] = t
			default:
				return usagef("andon restore --before c-12 --preview", "it does not say which state")
			}
			if strings.TrimSpace(reason) == "" && !preview {
				return usagef(`--reason "what was fixed"`, "a reason is required")
			}
			cl, limit, err := c.waiter(wait)
			if err != nil {
				return err
			}
			if c.Interactive && !yes && !preview && c.output != "json" {
				first := map[string]any{"reason": reason, "preview": true}
				for _, k := range []string{"before", "revision", "at"} {
					if v, ok := ask[k]; ok {
						first[k] = v
					}
				}
				var v restored
				if err := cl.do(cmd.Context(), http.MethodPost, "/restore", nil, first, &v); err != nil {
					return err
				}
				c.printRestored(&v)
				if !c.confirm("Go on?") {
					c.printf("nothing was done\n")
					return &reported{exitFailed, "not confirmed"}
				}
			}
			sent := time.Now()
			var v restored
			if err := cl.do(cmd.Context(), http.MethodPost, "/restore"+glassQuery(glass), nil, ask, &v); err != nil {
				return err
			}
			moved := slices.Concat(v.Lift, v.Reinstate, v.Change)
			if c.output == "json" {
				if preview || len(moved) == 0 {
					return c.json(v)
				}
				return c.restoredJSON(cmd.Context(), cl, &v, moved[0].ID, sent, limit)
			}
			c.printRestored(&v)
			if preview {
				c.printf("nothing was done\n")
				return nil
			}
			if !v.Done {
				c.printf("NOT the exact state: something else changed at the same time; look: andon corrections\n")
			}
			if len(moved) == 0 {
				return nil
			}
			return c.settle(cmd.Context(), cl, moved[0].ID, sent, limit, outcome{what: moved[0].Says, undo: undoRestore(&v)}) // one revision: where one is in effect, all are
		},
	}
	f := cmd.Flags()
	f.StringVar(&before, "before", "", "correction, or incident: the state before it, or before the first correction of it")
	f.Uint64Var(&revision, "revision", 0, "the state that this order made")
	f.StringVar(&at, "at", "", "the state at this instant (RFC 3339)")
	f.StringVar(&reason, "reason", "", "why (required)")
	f.BoolVar(&preview, "preview", false, "show what it would do, do nothing")
	f.BoolVar(&yes, "yes", false, "ask nothing")
	addGlass(cmd, &glass)
	addWait(cmd, &wait)
	return cmd
}

// restoredJSON waits as settle does, and prints the restoration with its effect.
func (c *command) restoredJSON(ctx context.Context, cl *client, v *restored, id string, sent time.Time, wait time.Duration) error {
	var now view
	pending, _, err := await(ctx, cl, "/corrections/"+url.PathEscape(id), sent.Add(wait), func() (any, **effect) {
		now = view{}
		return &now, &now.Effect
	})
	if err != nil {
		return &unsettled{fmt.Errorf("the restoration was accepted; where it is enforced is not known: %w", err), undoRestore(v)}
	}
	if err := c.json(struct {
		*restored
		TimeToEffectMS *float64 `json:"time_to_effect_ms,omitempty"`
		Pending        []string `json:"pending,omitempty"`
		Undo           string   `json:"undo"`
	}{v, now.TimeToEffectMS, pending, undoRestore(v)}); err != nil {
		return err
	}
	if len(pending) > 0 && wait > 0 {
		return &reported{exitPending, "not yet enforced everywhere"}
	}
	return nil
}

func undoRestore(v *restored) string {
	return "andon restore --revision " + strconv.FormatUint(v.Revision-1, 10) + ` --reason "…"`
}

func (c *command) printRestored(v *restored) {
	c.printf("back to revision %d\n", v.ToRevision)
	for _, x := range []struct {
		what string
		rows []restoredLine
	}{{"lift", v.Lift}, {"bring back", v.Reinstate}, {"set back", v.Change}} {
		for _, r := range x.rows {
			c.printf("  %-10s  %s  %s\n", x.what, r.ID, r.Says)
		}
	}
	if len(v.EndedSince) > 0 {
		c.printf("  ended by themselves since, and stay so: %s\n", strings.Join(v.EndedSince, ", "))
	}
	for _, l := range v.Left {
		c.printf("  not touched: %s\n", l)
	}
	if len(v.Lift)+len(v.Reinstate)+len(v.Change) == 0 {
		c.printf("  nothing is different\n")
	}
}
