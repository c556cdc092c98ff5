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
	return c.notYetKept()
}

// notYetKept refuses what the control plane adds once it has accepted a
// correction, before it has.
func (c *Correction) notYetKept() error {
	if !c.AppliedAt.IsZero() {
		return nil
	}
	for _, f := range []struct {
		name  string
		given bool
	}{{"links", c.Links != nil}, {"acknowledged", c.Acknowledged != nil}} {
		if f.given {
			return wrong(f.name, "is set by the control plane; leave it out")
		}
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
		err = c.checkAccess()
	case Use:
		err = c.checkUse()
	case Capability:
		err = c.checkCapability(direct)
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
	if c.Scope.Unknown != "" && c.allowOnly() {
		return wrong("scope.unknown", "allow_only refuses what is unknown in any case; leave it out")
	}
	return c.checkKept()
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
		{"level", p.Level != ""}, {"drain", p.Drain != 0}, {"linked", p.Linked != nil}, {"filter", p.Filter != nil}, {"pin", p.Pin != ""},
		{"acknowledge_by", !p.AcknowledgeBy.IsZero()}, {"detector", p.Detector != ""}, {"threshold", p.Threshold != 0},
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

// checkText bounds what people read and what other rooms look up.
func (c *Correction) checkText() *FieldError {
	if strings.TrimSpace(c.Reason) == "" {
		return wrong("reason", "missing; say why, for the record")
	}
	for _, f := range []struct {
		name, text string
		max        int
	}{
		{"id", c.ID, MaxValueBytes}, {"reason", c.Reason, MaxReasonBytes}, {"public_reason", c.PublicReason, MaxPublicBytes}, {"legal_order", c.LegalOrder, MaxPublicBytes},
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
	// One that was accepted may have passed its deadline since.
	if by := c.Params.AcknowledgeBy; !by.IsZero() && !by.After(now) && c.AppliedAt.IsZero() {
		return wrong("params.acknowledge_by", "is in the past; give a later time, or use action block")
	}
	return nil
}
