package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/detect"
)

// warning says what may not be meant, or not have its effect, of a correction
// that is valid. It hinders nothing: a stop must not wait for a list.
type warning struct {
	Code   string `json:"code"` // unknown_use_case, unknown_caller, unknown_version, unknown_detector, not_enforced
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`
}

// warnings looks at a valid correction beside the taxonomy and what live gateways
// say of themselves. The caller does not hold mu.
func (c *Control) warnings(cor *correction.Correction) []warning {
	var out []warning
	warn := func(code, field, format string, args ...any) {
		out = append(out, warning{code, field, fmt.Sprintf(format, args...)})
	}
	uses := func(field string, nodes []string) {
		for i, n := range nodes {
			if !correction.KnownUse(n) {
				at := field
				if field != "params.use_case" {
					at = fmt.Sprintf("%s[%d]", field, i)
				}
				warn("unknown_use_case", at, "%q is not in the taxonomy; it reaches only who declares exactly this, or what is below it (andon use-cases)", short(n))
			}
		}
	}
	p := &cor.Params
	if p.UseCase != "" {
		uses("params.use_case", []string{p.UseCase})
	}
	uses("scope.use_cases", cor.Scope.UseCases)
	if cor.Except != nil {
		uses("except.use_cases", cor.Except.UseCases)
	}

	c.mu.RLock()
	defer c.mu.RUnlock()
	out = append(out, c.state.termsWarnings(cor)...)
	callers := func(field string, s *correction.Scope) {
		for i, org := range s.Orgs {
			if !c.state.issuedTo(func(k *keyRecord) bool { return k.Org == org }) {
				warn("unknown_caller", fmt.Sprintf("%s.orgs[%d]", field, i), "no key was issued to org %q: only callers that gateways know by other means can be it", short(org))
			}
		}
		for i, id := range s.Keys {
			if c.state.keys[id] == nil {
				warn("unknown_caller", fmt.Sprintf("%s.keys[%d]", field, i), "there is no key %q (andon keys list)", short(id))
			}
		}
	}
	if len(c.state.keys) > 0 { // otherwise callers are known by other means alone
		callers("scope", &cor.Scope)
		if cor.Except != nil {
			callers("except", cor.Except)
		}
	}
	live := c.live()
	if len(live) == 0 {
		return out // nobody can be asked
	}
	slices.SortFunc(live, func(a, b *point) int { return strings.Compare(a.name, b.name) })
	without := func(has func(*point) bool) string {
		var names []string
		for _, pt := range live {
			if !has(pt) {
				names = append(names, pt.name)
			}
		}
		return strings.Join(names, ", ")
	}
	if needs := featureName(cor); needs != "" {
		if names := without(func(pt *point) bool { return len(pt.Features) == 0 || slices.Contains(pt.Features, needs) }); names != "" {
			warn("not_enforced", "kind", "%s can not enforce %s", names, needs)
		}
	}
	detector, field := p.Detector, "params.detector"
	if p.Filter != nil {
		detector, field = p.Filter.Detector, "params.filter.detector"
	}
	if detector != "" && detector != correction.DetectorPatterns {
		if names := without(func(pt *point) bool { return slices.Contains(pt.detectors, detector) }); names != "" {
			warn("unknown_detector", field, "%s has no detector %q: what the correction reaches is refused there", names, short(detector))
		}
	}
	if p.Pin != "" {
		for _, m := range cor.Scope.Models {
			if !serves(live, m, p.Pin) {
				warn("unknown_version", "params.pin", "no gateway can serve version %q of %s: what the correction reaches is refused (to be had: %s)", short(p.Pin), m, versions(live, m))
			}
		}
	}
	return out
}

// live are the points under a lease. The caller holds mu.
func (c *Control) live() (out []*point) {
	for _, pt := range c.points {
		if c.cfg.Now().Before(pt.lease) {
			out = append(out, pt)
		}
	}
	return out
}

func serves(points []*point, model, version string) bool {
	return slices.ContainsFunc(points, func(pt *point) bool { return slices.Contains(pt.versions[model], version) })
}

// unserved tells whether a correction pins models to a version that no live
// gateway has of any of them: what it reaches is refused. The caller does not
// hold mu.
func (c *Control) unserved(cor *correction.Correction) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	live := c.live()
	return cor.Params.Pin != "" && len(live) > 0 && !slices.ContainsFunc(cor.Scope.Models, func(m string) bool { return serves(live, m, cor.Params.Pin) })
}

// versions are those of a model that gateways say they serve, in words.
func versions(live []*point, model string) string {
	var all []string
	for _, pt := range live {
		all = append(all, pt.versions[model]...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		return "no other"
	}
	return strings.Join(all, ", ")
}

// issuedTo tells whether a key of such a caller was ever issued.
func (s *state) issuedTo(is func(*keyRecord) bool) bool {
	for _, k := range s.keys {
		if is(k) {
			return true
		}
	}
	return false
}

// featureName is what a gateway says that it can enforce such a correction by.
func featureName(cor *correction.Correction) string {
	p := &cor.Params
	switch {
	case cor.Kind == correction.Access && len(p.Linked) > 0:
		return "access.linked"
	case cor.Kind == correction.Use && p.Action == "acknowledge":
		return "use.acknowledge"
	case cor.Kind == correction.Use && p.Basis == "inferred":
		return "use.inferred"
	case cor.Kind == correction.Use:
		return "use.declared"
	case cor.Kind == correction.Capability:
		return class(cor)
	}
	return string(cor.Kind)
}

// class is the kind of a correction with the parameter that makes the difference.
func class(cor *correction.Correction) string { return cor.Class() }

// checkDetector refuses a classifier that no live gateway has: with a typing
// error in its name, everything that the correction reaches would be refused.
func (c *Control) checkDetector(cor *correction.Correction) error {
	name, field := cor.Params.Detector, "params.detector"
	if f := cor.Params.Filter; f != nil {
		name, field = f.Detector, "params.filter.detector"
	}
	if name == "" || name == correction.DetectorPatterns {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	var known []string
	live := false
	for _, pt := range c.points {
		if c.cfg.Now().Before(pt.lease) {
			live = true
			known = append(known, pt.detectors...)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if !live || slices.Contains(known, name) {
		return nil // or nobody can be asked
	}
	p := problem("invalid_field", "no gateway has a detector "+strconv.Quote(short(name))+": their configuration declares them (gateway.detectors)")
	p.Field, p.Allowed = field, known
	if cor.Params.Filter != nil {
		p.Allowed = append(known, correction.DetectorPatterns)
	}
	return p
}

// checkPatterns refuses a filter that gateways could not compile, such as an
// expression of unbounded length: for it they would refuse what the filter
// reaches. It may take a while, so no lock is held.
func checkPatterns(cor *correction.Correction, now time.Time) error {
	f := cor.Params.Filter
	if f == nil || f.Detector != correction.DetectorPatterns || cor.Validate(now) != nil {
		return nil // what else is wrong is said by check
	}
	_, err := detect.Compile(detect.Spec{Literals: f.Patterns, Regexps: f.Regexps, Fold: !f.Exact})
	var at *detect.Error
	if errors.As(err, &at) {
		field, ok := strings.CutPrefix(at.Field, "literals")
		if ok {
			field = "patterns" + field
		} else {
			field = at.Field
		}
		return badField("params.filter."+field, at.Detail)
	}
	return err
}
