package cli

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func (c *command) liftCmd() *cobra.Command {
	var reason, wait string
	var glass bool
	var evidence evidenceFlags
	cmd := &cobra.Command{
		Use: "lift ID… --reason TEXT", Short: "Take corrections back",
		Example: `  andon lift c-12 --reason "patched and probed"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("andon corrections lists the ids", "it does not say which correction to lift")
			}
			return c.change(cmd.Context(), args, "lift"+evidence.query(glassQuery(glass)), reason, wait, nil)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	addGlass(cmd, &glass)
	evidence.add(cmd)
	addWait(cmd, &wait)
	return cmd
}

func (c *command) extendCmd() *cobra.Command {
	var reason, lasting, wait string
	cmd := &cobra.Command{
		Use: "extend ID --for 2h --reason TEXT", Short: "Move the expiry of a correction, counted from now",
		Example: `  andon extend c-12 --for 4h --reason "still under investigation"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("andon extend c-12 --for 2h …", "exactly one correction is needed")
			}
			if lasting == "" {
				return usagef("--for 2h", "it does not say for how long")
			}
			t, err := after("--for", lasting, c.Now())
			if err != nil {
				return err
			}
			return c.change(cmd.Context(), args, "extend", reason, wait, map[string]any{"expires_at": t})
		},
	}
	cmd.Flags().StringVar(&lasting, "for", "", "how long from now (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why (required)")
	addWait(cmd, &wait)
	return cmd
}

// change sends an action on existing corrections, one after the other, and
// stops at the first that fails.
func (c *command) change(ctx context.Context, ids []string, action, reason, wait string, body map[string]any) error {
	if strings.TrimSpace(reason) == "" {
		return usagef(`--reason "what happened"`, "a reason is required")
	}
	cl, limit, err := c.waiter(wait)
	if err != nil {
		return err
	}
	if body == nil {
		body = map[string]any{}
	}
	body["reason"] = reason
	var late error
	var changed []view
	for i, id := range ids {
		sent := time.Now()
		var v view
		if err := cl.do(ctx, http.MethodPost, "/corrections/"+url.PathEscape(id)+"/"+action, nil, body, &v); err != nil {
			if w := (*awaiting)(nil); errors.As(err, &w) { // the others may need nobody
				late = c.waited(w)
				continue
			}
			return untouched(err, action, ids[i+1:])
		}
		changed = append(changed, v)
		o := outcome{what: v.words(), warn: v.Warnings}
		if action == "extend" {
			o.undo = "andon lift " + id + ` --reason "…"`
			if !v.ExpiresAt.IsZero() {
				o.what += ", until " + v.ExpiresAt.Format(time.RFC3339)
			}
		}
		if err := c.settle(ctx, cl, id, sent, limit, o); err != nil {
			if exitCode(err) != exitPending {
				return err
			}
			if late == nil {
				late = err
			}
		}
	}
	if strings.HasPrefix(action, "lift") {
		c.remaining(ctx, cl, changed)
	}
	return late
}

// untouched adds to an error which corrections the command did not come to.
func untouched(err error, action string, rest []string) error {
	action, _, _ = strings.Cut(action, "?")
	p, ok := err.(*problem)
	if !ok || len(rest) == 0 {
		return err
	}
	out := *p
	out.Hint = "andon " + action + " " + strings.Join(rest, " ") + ` --reason "…"; nothing was done about ` + strings.Join(rest, ", ")
	if p.Hint != "" {
		out.Hint = p.Hint + "; then " + out.Hint
	}
	return &out
}
