package correction

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Validate says whether the correction can be accepted at the time now, as far
// as that can be known without any state: its kind and parameters, its scope,
// its bounds, its times. The error is a *FieldError about the first fault in a
// fixed order.
func (c *Correction) Validate(now time.Time) error {
	if err := c.check(true); err != nil {
		return err
	}
	if err := c.checkText(); err != nil {
		return err
	}
	if err := c.checkTimes(now); err != nil {
		return err
	}
	return nil
}

// check is what Compile and Validate both ask. direct adds what only a
// correction by an operator has to meet: the bound on the number of values, and
// no level that needs a quorum.
func (c *Correction) check(direct bool) *FieldError {
	if err := oneOf("kind", "kind", string(c.Kind), kinds); err != nil {
		return err
	}
	if c.Mode != "" {
		if err := oneOf("mode", "mode", string(c.Mode), modes); err != nil {
			return err
		}
	}
	if err := c.checkForeignParams(); err != nil {
		return err
	}
	var err *FieldError
	switch c.Kind {
	case Stop:
		err = c.checkStop(direct)
	case Access:
		err = oneOf("params.mode", "mode", c.Params.Mode, accesses)
	case Use:
		err = c.checkUse()
	case Capability:
		err = c.checkCapability()
	case Rate:
		err = c.checkRate()
	}
	if err != nil {
		return err
	}
	if err := c.Scope.check("scope", direct); err != nil {
		return err
	}
	if c.Except != nil {
		if c.Except.All {
			return wrong("except.all", "would spare everybody; lift the correction instead")
		}
		if err := c.Except.check("except", direct); err != nil {
			return err
		}
	}
	if c.Kind == Access && c.Params.Mode == "allow_only" && !c.Scope.hasSubject() {
		return wrong("scope", "allow_only needs somebody to allow: give at least one dimension that says who calls", subjectNames()...)
	}
	if !(c.Share >= 0 && c.Share <= 1) {
		return wrong("share", fmt.Sprintf("%v is out of bounds; give 0 < share <= 1, or leave it out to reach everybody in scope", c.Share))
	}
	return nil
}

// checkForeignParams refuses parameters of other kinds.
func (c *Correction) checkForeignParams() *FieldError {
	p := &c.Params
	own := paramNames[c.Kind]
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"mode", p.Mode != ""}, {"metric", p.Metric != ""}, {"limit", p.Limit != nil}, {"window", p.Window != 0},
		{"per", p.Per != ""}, {"on_exceed", p.OnExceed != ""}, {"disable", p.Disable != nil}, {"clamp", p.Clamp != nil},
		{"use_case", p.UseCase != ""}, {"basis", p.Basis != ""}, {"action", p.Action != ""},
		{"level", p.Level != ""}, {"drain", p.Drain != 0},
	} {
		if f.given && !slices.Contains(own, f.name) {
			return wrong("params."+f.name, "is not a parameter of "+string(c.Kind), own...)
		}
	}
	return nil
}

func (c *Correction) checkStop(direct bool) *FieldError {
	p := &c.Params
	level := c.Level()
	if level >= 5 && direct {
		return wrong("params.level", p.Level+" needs a quorum and custody, not available as a direct correction", levels...)
	}
	if level < 5 {
		if err := oneOf("params.level", "level", p.Level, levels); err != nil {
			return err
		}
	}
	if p.Drain != 0 && level != 2 {
		return wrong("params.drain", "only L2 drains; leave it out")
	}
	if p.Drain < 0 || time.Duration(p.Drain) > MaxDrain {
		return wrong("params.drain", time.Duration(p.Drain).String()+" is out of bounds; give more than 0s and at most 24h")
	}
	if level >= 4 {
		if len(c.Scope.Surfaces) > 0 {
			return wrong("scope.surfaces", p.Level+" reaches every surface; use L3 to stop some")
		}
		if c.Except != nil {
			return wrong("except", p.Level+" spares nobody; use L3 to stop with exceptions")
		}
	}
	return nil
}

func (c *Correction) checkUse() *FieldError {
	p := &c.Params
	if p.UseCase == "" {
		return wrong("params.use_case", `missing node of the taxonomy, such as "medical/diagnosis"`)
	}
	if err := checkValue("params.use_case", dimNode, p.UseCase); err != nil {
		return err
	}
	if p.Basis != "" {
		if err := oneOf("params.basis", "basis", p.Basis, bases); err != nil {
			return err
		}
	}
	if p.Action != "" {
		return oneOf("params.action", "action", p.Action, actions)
	}
	return nil
}

func (c *Correction) checkCapability() *FieldError {
	p := &c.Params
	switch {
	case len(p.Disable) > 0 && len(p.Clamp) > 0:
		return wrong("params", "disable and clamp cannot stand together; make two corrections")
	case len(p.Disable) == 0 && len(p.Clamp) == 0:
		return wrong("params", "give either a list of features to disable, or a clamp", "disable", "clamp")
	}
	for i, f := range p.Disable {
		if err := oneOf("", "feature", f, featureNames); err != nil {
			err.Field = fmt.Sprintf("params.disable[%d]", i)
			return err
		}
	}
	for name := range p.Clamp {
		if err := oneOf("params.clamp", "clamp", name, clampNames); err != nil {
			return err
		}
	}
	for name, n := range p.Clamp {
		if n < 1 {
			return wrong("params.clamp."+name, fmt.Sprintf("%v is out of bounds; give at least 1, or use access block or stop to let nothing through", n))
		}
	}
	return nil
}

func (c *Correction) checkRate() *FieldError {
	p := &c.Params
	if err := oneOf("params.metric", "metric", p.Metric, metrics); err != nil {
		return err
	}
	if p.Limit == nil {
		return wrong("params.limit", "missing; give a whole number of at least 1")
	}
	if *p.Limit < 1 {
		return wrong("params.limit", fmt.Sprintf("%d would block everything; use access block or stop, or give at least 1", *p.Limit))
	}
	w := time.Duration(p.Window)
	switch {
	case p.Metric == "concurrent" && w != 0:
		return wrong("params.window", "concurrent counts what runs at the same time and takes no window; leave it out")
	case p.Metric != "concurrent" && w == 0:
		return wrong("params.window", "missing; give 1s to 31d")
	case p.Metric != "concurrent" && (w < MinWindow || w > MaxWindow):
		return wrong("params.window", w.String()+" is out of bounds; give 1s to 31d")
	}
	if p.Per != "" {
		if err := oneOf("params.per", "per", p.Per, pers); err != nil {
			return err
		}
	}
	if p.OnExceed != "" {
		return oneOf("params.on_exceed", "on_exceed", p.OnExceed, onExceeds)
	}
	return nil
}

// checkText bounds what people read and what other rooms look up.
func (c *Correction) checkText() *FieldError {
	if strings.TrimSpace(c.Reason) == "" {
		return wrong("reason", "missing; say why, for the record")
	}
	for _, f := range []struct {
		name, text string
		max        int
	}{
		{"id", c.ID, MaxValueBytes}, {"reason", c.Reason, MaxReasonBytes}, {"public_reason", c.PublicReason, MaxPublicBytes},
		{"incident", c.Incident, MaxValueBytes}, {"fallback", c.Fallback, MaxValueBytes},
	} {
		if len(f.text) > f.max {
			return wrong(f.name, fmt.Sprintf("has %d bytes; at most %d", len(f.text), f.max))
		}
		if !utf8.ValidString(f.text) {
			return wrong(f.name, "is not valid UTF-8")
		}
	}
	return nil
}

// checkTimes looks for times that make no sense together, or now.
func (c *Correction) checkTimes(now time.Time) *FieldError {
	expires := c.ExpiresAt
	if !expires.IsZero() && !expires.After(now) {
		return wrong("expires_at", "is in the past; give a later time, or leave it out")
	}
	if !expires.IsZero() && !c.StartsAt.Before(expires) && !c.StartsAt.IsZero() {
		return wrong("starts_at", "is not before expires_at; it would never be in force")
	}
	if !c.ReviewBy.IsZero() && !c.ReviewBy.After(now) {
		return wrong("review_by", "is in the past; give a later time, or leave it out")
	}
	return nil
}
