package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
)

// kindText is the kind with the parameters that matter.
func (v *view) kindText() string {
	text := string(v.Kind)
	for _, s := range []string{v.Params.Level, v.Params.Mode, v.Params.Metric, v.Params.UseCase} {
		if s != "" {
			text += " " + s
		}
	}
	if v.Params.Basis == "inferred" {
		text += " inferred by " + v.Params.Detector
	}
	if by := v.Params.AcknowledgeBy; !by.IsZero() {
		text += " to be acknowledged by " + by.UTC().Format(time.RFC3339)
	}
	if len(v.Params.Linked) > 0 {
		text += " and accounts with the same " + strings.Join(v.Params.Linked, " or ")
	}
	if f := v.Params.Filter; f != nil {
		text += " " + filterText(f)
	}
	if v.Params.Pin != "" {
		text += " pinned to version " + v.Params.Pin
	}
	if v.Params.Drain > 0 {
		text += " drain " + v.Params.Drain.String()
	}
	if len(v.Params.Disable) > 0 {
		text += " without " + strings.Join(v.Params.Disable, ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(v.Params.Clamp)) {
		text += fmt.Sprintf(" %s<=%v", name, v.Params.Clamp[name])
	}
	if v.Params.Limit != nil {
		text += " <=" + strconv.FormatInt(*v.Params.Limit, 10)
	}
	if v.Params.Window > 0 {
		text += "/" + v.Params.Window.String()
	}
	if v.Params.Per != "" {
		text += " per " + v.Params.Per
	}
	if v.Mode == correction.Shadow {
		text += " (shadow)"
	}
	return text
}

// filterText is what a filter looks for and what it does, without the words that
// it looks for: they are what nobody should read.
func filterText(f *correction.Filter) string {
	what := "detector " + f.Detector
	if n := int64(len(f.Patterns) + len(f.Regexps)); n > 0 {
		what = plural(n, "pattern")
	}
	if f.Threshold > 0 {
		what += fmt.Sprintf(" from %v on", f.Threshold)
	}
	where := f.Direction
	if where == "both" {
		where = "input and output"
	}
	return fmt.Sprintf("filter of %s by %s, %s", where, what, f.Action)
}

// reach is whom a correction reaches, and whom it spares.
func (v *view) reach() string {
	text := v.Scope.String()
	if v.Except != nil {
		text += ", except " + v.Except.String()
	}
	if v.Share > 0 && v.Share < 1 {
		text += fmt.Sprintf(", %g %% of the subjects", v.Share*100)
	}
	return text
}

// words says what a correction does.
func (v *view) words() string { return v.kindText() + ": " + v.reach() }

// describe says what a draft does, in the same words as what becomes of it.
func (d *draft) describe() string {
	var v view
	data, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(data, &v) // a parameter of a newer control plane is left out
	}
	if err != nil {
		return string(d.Kind) + ": " + d.Scope.String()
	}
	return v.words()
}

// took says where an accepted change stands once every live point has it. What
// only counts, or has yet to begin, must not read as if it acted.
func (c *command) took(v *view, after string) string {
	switch {
	case v.State == "lifted":
		return "gone from every live point" + after
	case v.State == "scheduled":
		return "known to every live point" + after + "; it begins " + until(v.StartsAt, c.Now())
	case v.Mode == correction.Shadow:
		return "counting on every live point" + after + "; a shadow refuses and changes nothing"
	}
	return "in effect on every live point" + after
}

// instead says what callers of a stopped model get, when the command left that
// to the model: it may be another model's answer and not a refusal.
func (c *command) instead(ctx context.Context, cl *client, d *draft) {
	if c.output == "json" {
		return
	}
	for _, f := range c.fallbacks(ctx, cl, d) {
		c.printf("callers of %s instead; --fallback none refuses them\n", f)
	}
}

// servedModel is a model that gateways serve.
type servedModel struct {
	Name     string `json:"name"`
	Fallback string `json:"fallback"`
}

func (cl *client) models(ctx context.Context) ([]servedModel, error) {
	var list struct {
		Models []servedModel `json:"models"`
	}
	err := cl.do(ctx, http.MethodGet, "/models", nil, nil, &list)
	return list.Models, err
}

// unknownModels warns of models that are not served here. What was said of them
// stands: a model may have been taken away since.
func (c *command) unknownModels(ctx context.Context, names []string) {
	if len(names) == 0 {
		return
	}
	served, err := c.asked.models(ctx)
	if err != nil || len(served) == 0 {
		return // it stands; this only adds to it
	}
	for _, n := range names {
		if !slices.ContainsFunc(served, func(m servedModel) bool { return m.Name == n }) {
			c.printf("warning: %q is not a model that is served here\n", n)
		}
	}
}

// fallbacks are the stopped models whose own fallback answers for them, each as
// "sim-large get sim-small". None are known while the control plane is away: the
// stop stands, and this only adds to it.
func (c *command) fallbacks(ctx context.Context, cl *client, d *draft) (out []string) {
	if d.Kind != correction.Stop || d.Fallback != "" || d.Mode == correction.Shadow {
		return nil
	}
	models, err := cl.models(ctx)
	if err != nil {
		return nil
	}
	for _, m := range models {
		stopped := func(name string) bool { return d.Scope.All || slices.Contains(d.Scope.Models, name) }
		if m.Fallback != "" && stopped(m.Name) && !stopped(m.Fallback) {
			out = append(out, m.Name+" get "+m.Fallback)
		}
	}
	return out
}

// remaining names what else still holds where a correction was lifted: the model
// is not back because one of two stops is gone.
func (c *command) remaining(ctx context.Context, cl *client, lifted []view) {
	if c.output == "json" {
		return
	}
	cs, err := cl.corrections(ctx, false)
	if err != nil {
		return // the lift stands; this only adds to it
	}
	const most = 8
	more := 0
	for _, v := range cs.Corrections {
		if !v.inForce() || v.Mode == correction.Shadow || !slices.ContainsFunc(lifted, func(l view) bool { return covers(&v.Scope, &l.Scope) }) {
			continue
		}
		if more++; more <= most {
			c.printf("still in force there: %s  %s\n", v.ID, v.words())
		}
	}
	if more > most {
		c.printf("and %d more: andon corrections\n", more-most)
	}
}

// covers tells whether a correction still in force reaches what a lifted one
// reached: it asks for nothing that the other did not, but perhaps for a model.
// One that blocks a single user does not stand in the way of a model's return.
func covers(still, lifted *correction.Scope) bool {
	if still.When != "" {
		return false
	}
	for _, d := range dimensions {
		a, b := *d.field(still), *d.field(lifted)
		if len(a) == 0 || d.flag == "model" && len(b) == 0 {
			continue
		}
		if !slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) }) {
			return false
		}
	}
	return true
}

// notYet turns the refusal of a parameter that this control plane does not know
// into what it means for the verb.
func notYet(err error, verb string, p params) error {
	pr, ok := err.(*problem)
	if !ok || pr.Code != "unknown_field" || len(p) != 1 {
		return err
	}
	name := strings.TrimPrefix(pr.where(), "params.")
	if _, sent := p[name]; !sent {
		return err
	}
	out := *pr
	out.Detail = fmt.Sprintf("this control plane cannot %s yet; nothing was done", verb)
	out.Hint = "andon stop, block or disable; andon --help lists what there is"
	out.Allowed = nil
	return &out
}
