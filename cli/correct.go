package cli

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"andon/authority"
	"andon/correction"
)

// draft is a correction on its way to the control plane.
type draft struct {
	Kind         correction.Kind   `json:"kind"`
	Params       params            `json:"params"`
	Scope        correction.Scope  `json:"scope"`
	Except       *correction.Scope `json:"except,omitempty"`
	Mode         correction.Mode   `json:"mode,omitempty"`
	Share        float64           `json:"share,omitzero"`
	StartsAt     time.Time         `json:"starts_at,omitzero"`
	ReviewBy     time.Time         `json:"review_by,omitzero"`
	ExpiresAt    time.Time         `json:"expires_at,omitzero"`
	Reason       string            `json:"reason"`
	PublicReason string            `json:"public_reason,omitempty"`
	LegalOrder   string            `json:"legal_order,omitempty"`
	Incident     string            `json:"incident,omitempty"`
	Fallback     string            `json:"fallback,omitempty"`
}

// options are the flags that every correction verb has.
type options struct {
	scope                           scopeFlags
	reason, public, legal, incident string
	fallback, idempotency           string
	lasting, reviewIn, start, wait  string
	share                           float64
	shadow, preview, yes            bool
	glass, unheld                   bool
	evidence                        evidenceFlags
}

func (o *options) add(cmd *cobra.Command) {
	o.scope.add(cmd, "key")
	f := cmd.Flags()
	f.StringVar(&o.reason, "reason", "", "why, for operators and the record (required)")
	f.StringVar(&o.public, "public-reason", "", "why, for callers")
	f.StringVar(&o.legal, "legal-order", "", "order of a court or an authority that this carries out; refusals then say 451")
	f.StringVar(&o.incident, "incident", "", "incident it belongs to")
	f.StringVar(&o.fallback, "fallback", "", "model to serve instead, or none")
	f.StringVar(&o.lasting, "for", "", "how long, such as 2h or 7d (default: until lifted)")
	f.StringVar(&o.reviewIn, "review-in", "", "when a person looks again, such as 2h (default 24h without --for); it does not end it")
	f.StringVar(&o.start, "start", "", "when it begins: 10m from now, or an instant (RFC 3339)")
	f.Float64Var(&o.share, "share", 0, "stable part of the subjects, above 0 up to 1")
	f.BoolVar(&o.shadow, "shadow", false, "count what it would do, change nothing")
	f.BoolVar(&o.preview, "preview", false, "show what it would reach, apply nothing")
	f.BoolVar(&o.yes, "yes", false, "ask nothing")
	f.StringVar(&o.idempotency, "idempotency-key", "", "same key, same correction (default: a new one)")
	addGlass(cmd, &o.glass)
	f.BoolVar(&o.unheld, "override-hold-down", false, "dependants on the hold-down list get no fallback first; the reason says why")
	o.evidence.add(cmd)
	addWait(cmd, &o.wait)
}

func addGlass(cmd *cobra.Command, glass *bool) {
	cmd.Flags().BoolVar(glass, "break-glass", false, "without those who would have to agree; alarms, and is reviewed")
}

func glassQuery(glass bool) string { return commandQuery(glass, false) }

// commandQuery is what goes beside a command: what it does not wait for.
func commandQuery(glass, unheld bool) string {
	q := url.Values{}
	if glass {
		q.Set("break_glass", "true")
	}
	if unheld {
		q.Set("hold_down", "override")
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func addWait(cmd *cobra.Command, wait *string) {
	cmd.Flags().StringVar(wait, "wait", "5s", "how long to wait until every point enforces; 0 does not wait")
}

// correct builds the command of a verb.
func (c *command) correct(v *verb) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Long: v.long, Example: v.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f := cmd.Flags(); f.Changed("share") && (o.share <= 0 || o.share > 1) { // 0 would go over the wire as everybody
				return usagef("--share 0.1, or leave it out to reach everybody in scope", "--share %g is out of bounds: above 0, up to 1", o.share)
			}
			d, err := c.draft(v, &o, args)
			if err != nil {
				return err
			}
			wait, err := waiting(o.wait)
			if err != nil {
				return err
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			if o.preview {
				return notYet(c.preview(cmd.Context(), cl, d), cmd.Name(), d.Params)
			}
			if c.asks(d, o.yes) && !c.agreed(cmd.Context(), cl, d) {
				c.printf("nothing was done\n")
				return &reported{exitFailed, "not confirmed"}
			}
			return notYet(c.apply(cmd.Context(), cl, d, o.idempotency, wait, o.evidence.query(commandQuery(o.glass, o.unheld))), cmd.Name(), d.Params)
		},
	}
	o.add(cmd)
	if v.flags != nil {
		v.flags(cmd)
	}
	return cmd
}

func (c *command) draft(v *verb, o *options, args []string) (*draft, error) {
	args = append([]string(nil), args...)
	p, err := v.params(&args, c.Now())
	if err != nil {
		return nil, err
	}
	for _, a := range args {
		ok, err := pair(a, &o.scope.reach)
		switch {
		case err != nil:
			return nil, err
		case ok:
		case v.bare == "model":
			o.scope.reach.Models = append(o.scope.reach.Models, strings.Split(a, ",")...)
		default:
			return nil, usagef("org="+a+", user="+a+", key="+a+" or model="+a, "%q does not say what it names", a)
		}
	}
	scope, except, err := o.scope.scopes()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(o.reason) == "" && !o.preview {
		return nil, usagef(`--reason "what happened"`, "a reason is required")
	}
	d := &draft{
		Kind: v.kind, Params: p, Scope: scope, Except: except, Share: o.share,
		Reason: o.reason, PublicReason: o.public, LegalOrder: o.legal, Incident: o.incident, Fallback: o.fallback,
	}
	if d.Reason == "" {
		d.Reason = "preview"
	}
	if o.shadow {
		d.Mode = correction.Shadow
	}
	now := c.Now()
	begins := now
	if o.start != "" {
		if d.StartsAt, err = instant("--start", o.start, now); err != nil {
			return nil, err
		}
		begins = d.StartsAt
	}
	if o.lasting != "" {
		if d.ExpiresAt, err = after("--for", o.lasting, begins); err != nil {
			return nil, err
		}
	}
	if o.reviewIn != "" {
		if d.ReviewBy, err = after("--review-in", o.reviewIn, now); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// instant reads a time span from now, or an instant.
func instant(flag, text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	if t, err := after(flag, strings.TrimPrefix(text, "+"), now); err == nil {
		return t, nil
	}
	return time.Time{}, usagef(flag+" 10m, or "+flag+" "+now.Add(10*time.Minute).UTC().Format(time.RFC3339),
		"%s %q is neither a time span from now nor an instant (RFC 3339)", flag, text)
}

func after(flag, text string, from time.Time) (time.Time, error) {
	d, err := correction.ParseDuration(text)
	if err != nil || d <= 0 {
		return time.Time{}, usagef(flag+" 90s, 15m, 2h, 7d or 1h30m", "%s %q is not a time span above zero", flag, text)
	}
	return from.Add(time.Duration(d)).UTC().Truncate(time.Millisecond), nil
}

// waiter is the client of a command that waits until gateways have what it asked
// for, and for how long it does.
func (c *command) waiter(wait string) (*client, time.Duration, error) {
	limit, err := waiting(wait)
	if err != nil {
		return nil, 0, err
	}
	cl, err := c.client()
	return cl, limit, err
}

func waiting(text string) (time.Duration, error) {
	if text == "0" || text == "" {
		return 0, nil
	}
	d, err := correction.ParseDuration(text)
	if err != nil || time.Duration(d) > time.Hour {
		return 0, usagef("--wait 5s", "--wait %q is not a time span up to 1h", text)
	}
	return time.Duration(d), nil
}

// asks tells whether a person has to confirm: a stop, a block of everything or of
// everybody else, or a pin, which refuses where the version is not to be had.
func (c *command) asks(d *draft, yes bool) bool {
	if yes || !c.Interactive || c.output == "json" || d.Mode == correction.Shadow {
		return false
	}
	_, pin := d.Params["pin"]
	return d.Kind == correction.Stop || d.Kind == correction.Access && (d.Scope.All || d.Params["mode"] == "allow_only") || pin
}

// agreed shows the consequence and asks. A preview that fails does not stand in
// the way of a stop: it is shown as not known.
func (c *command) agreed(ctx context.Context, cl *client, d *draft) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	streams := "running streams: not known"
	var p previewAnswer
	if err := cl.do(ctx, http.MethodPost, "/corrections/preview", nil, d, &p); err == nil && p.LiveStreams != nil {
		streams = plural(*p.LiveStreams, "running stream") + " would be cut"
	}
	text := d.describe() + "\n"
	for _, w := range p.Warnings {
		text += "warning: " + w.Detail + "\n"
	}
	switch fallen := c.fallbacks(ctx, cl, d); {
	case d.Fallback != "" && d.Fallback != correction.NoFallback:
		streams += "; " + d.Fallback + " answers instead"
	case len(fallen) > 0:
		streams += "; callers of " + strings.Join(fallen, ", of ") + " instead"
	}
	if d.Kind == correction.Stop {
		text += authority.GoodFaith + "\n"
	}
	return c.confirm(text + streams + ". Go on?")
}

func (c *command) apply(ctx context.Context, cl *client, d *draft, key string, wait time.Duration, query string) error {
	if key == "" {
		key = rand.Text()
	}
	sent := time.Now()
	var v view
	err := cl.do(ctx, http.MethodPost, "/corrections"+query, http.Header{"Idempotency-Key": {key}}, d, &v)
	if err != nil {
		return err
	}
	err = c.settle(ctx, cl, v.ID, sent, wait, outcome{what: d.describe(), undo: "andon lift " + strings.Join(append([]string{v.ID}, v.Held...), " ") + ` --reason "…"`, warn: v.Warnings})
	c.instead(ctx, cl, d)
	c.worksAfter(ctx, cl, &v, d, sent, wait)
	return err
}
