package correction

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// checkName looks at one short text that names something.
func checkName(field, s string, most int) *FieldError {
	switch {
	case s == "":
		return wrong(field, "is an empty text")
	case len(s) > most:
		return wrong(field, fmt.Sprintf("has %d bytes; at most %d", len(s), most))
	case !utf8.ValidString(s):
		return wrong(field, "is not valid UTF-8")
	}
	return nil
}

func (c *Correction) checkAccess() *FieldError {
	p := &c.Params
	if err := oneOf("params.mode", "mode", p.Mode, accesses); err != nil {
		return err
	}
	if p.Linked == nil {
		return nil
	}
	switch {
	case p.Mode != "block":
		return wrong("params.linked", "only block looks for linked accounts; leave it out")
	case len(p.Linked) == 0 || len(p.Linked) > MaxLinked:
		return wrong("params.linked", fmt.Sprintf(`has %d names; give 1 to %d, "org" or names of attributes, or leave it out`, len(p.Linked), MaxLinked))
	case !c.Scope.linkable():
		return wrong("scope", "linked needs subjects that accounts can be linked to", linkableNames...)
	}
	for i, name := range p.Linked {
		field := fmt.Sprintf("params.linked[%d]", i)
		if err := checkName(field, name, MaxValueBytes); err != nil {
			return err
		}
		if strings.Contains(name, "=") {
			return wrong(field, quote(name)+` holds a value; give "org", or the name of an attribute alone`)
		}
		if slices.Contains(p.Linked[:i], name) {
			return wrong(field, quote(name)+" stands here twice")
		}
	}
	return nil
}

// linkableNames are the dimensions that tell one subject from another.
var linkableNames = []string{"orgs", "users", "keys", "attributes"}

func (s *Scope) linkable() bool {
	return len(s.Orgs)+len(s.Users)+len(s.Keys)+len(s.Attributes) > 0
}

// checkKept looks at what the control plane keeps with a correction.
func (c *Correction) checkKept() *FieldError {
	if len(c.Links) > 0 && len(c.Params.Linked) == 0 {
		return wrong("links", "belong to an access block with params.linked")
	}
	if len(c.Links) > MaxLinks {
		return wrong("links", fmt.Sprintf("has %d values; at most %d", len(c.Links), MaxLinks))
	}
	for i, l := range c.Links {
		if err := checkValue(fmt.Sprintf("links[%d]", i), dimAttribute, l); err != nil {
			return err
		}
	}
	if len(c.Acknowledged) > 0 && c.Params.Action != acknowledge {
		return wrong("acknowledged", "belongs to a use with action acknowledge")
	}
	if len(c.Acknowledged) > MaxAcknowledged {
		return wrong("acknowledged", fmt.Sprintf("has %d values; at most %d", len(c.Acknowledged), MaxAcknowledged))
	}
	for i, a := range c.Acknowledged {
		if err := checkName(fmt.Sprintf("acknowledged[%d]", i), a, len(keyPrefix)+MaxValueBytes); err != nil {
			return err
		}
	}
	return nil
}

// keyPrefix stands before a key's id in Correction.Acknowledged.
const keyPrefix = "key:"

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
		if err := oneOf("params.action", "action", p.Action, actions); err != nil {
			return err
		}
	}
	switch ack := p.Action == acknowledge; {
	case ack && p.Basis == inferred:
		return wrong("params.action", "who declares a use can acknowledge it; one that is inferred can only be blocked", "block")
	case ack && p.AcknowledgeBy.IsZero():
		return wrong("params.acknowledge_by", `missing; give the time from which on who has not acknowledged is refused, such as "2026-11-23T15:04:05Z"`)
	case !ack && !p.AcknowledgeBy.IsZero():
		return wrong("params.acknowledge_by", "only action acknowledge has a deadline; leave it out")
	}
	if p.Basis != inferred {
		switch {
		case p.Detector != "":
			return wrong("params.detector", "only basis inferred has a detector; leave it out")
		case p.Threshold != 0:
			return wrong("params.threshold", "only basis inferred has a threshold; leave it out")
		}
		return nil
	}
	if p.Detector == "" {
		return wrong("params.detector", "missing; name a classifier that is configured at the gateways")
	}
	if p.Detector == DetectorPatterns {
		return wrong("params.detector", "patterns know no use; name a classifier, or make a capability filter")
	}
	if err := checkName("params.detector", p.Detector, MaxValueBytes); err != nil {
		return err
	}
	return checkThreshold("params.threshold", p.Threshold)
}

// checkThreshold looks at a score; 0 is one that is not given.
func checkThreshold(field string, t float64) *FieldError {
	if !(t >= 0 && t <= 1) {
		return wrong(field, fmt.Sprintf("%v is out of bounds; give 0 < threshold <= 1, or leave it out for %v", t, DefaultThreshold))
	}
	return nil
}

func (c *Correction) checkCapability(direct bool) *FieldError {
	p := &c.Params
	given := 0
	for _, is := range []bool{p.Disable != nil, p.Clamp != nil, p.Filter != nil, p.Pin != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		detail := "says nothing; give one"
		if given > 1 {
			detail = "says more than one thing; make a correction of each"
		}
		return wrong("params", detail, capabilities...)
	}
	switch {
	case p.Disable != nil:
		return checkDisable(p.Disable, direct)
	case p.Clamp != nil:
		return checkClamp(p.Clamp)
	case p.Filter != nil:
		return p.Filter.check(direct)
	}
	if len(c.Scope.Models) == 0 {
		return wrong("scope.models", "missing; a pin says which version of a model is served, so name the model")
	}
	return checkName("params.pin", p.Pin, MaxValueBytes)
}

func checkDisable(names []string, direct bool) *FieldError {
	if len(names) == 0 {
		return wrong("params.disable", "is an empty list; name a feature or a tool", disableNames...)
	}
	if direct && len(names) > MaxValues {
		return wrong("params.disable", fmt.Sprintf("has %d values; at most %d", len(names), MaxValues))
	}
	for i, name := range names {
		if tool, ok := strings.CutPrefix(name, toolPrefix); ok {
			if err := checkName("", tool, MaxToolName); err != nil {
				return wrong(fmt.Sprintf("params.disable[%d]", i), "the tool's name "+err.Detail)
			}
			continue
		}
		if err := oneOf("", "feature", name, featureNames); err != nil {
			err.Field, err.Allowed = fmt.Sprintf("params.disable[%d]", i), disableNames
			return err
		}
	}
	return nil
}

func checkClamp(given map[string]float64) *FieldError {
	if len(given) == 0 {
		return wrong("params.clamp", "is empty; name what to clamp", clampNames...)
	}
	known := 0
	for i := range clamps {
		c := &clamps[i]
		n, ok := given[c.Name]
		if !ok {
			continue
		}
		if known++; c.holds(n) {
			continue
		}
		hint := ""
		if n < c.min || c.open && n == c.min {
			hint = "; use access block or stop to let nothing through"
		}
		return wrong("params.clamp."+c.Name, fmt.Sprintf("%v is out of bounds; give %s%s", n, c.bounds(), hint))
	}
	if known < len(given) {
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if err := oneOf("params.clamp", "clamp", name, clampNames); err != nil {
				return err
			}
		}
	}
	return nil
}

// check looks at a filter. Whether its regular expressions are of bounded length
// is for those to say who build automata of them.
func (f *Filter) check(direct bool) *FieldError {
	if err := oneOf("params.filter.direction", "direction", f.Direction, directions); err != nil {
		return err
	}
	if f.Detector == "" {
		return wrong("params.filter.detector", `missing; give "patterns", or name a classifier that is configured at the gateways`)
	}
	if err := checkName("params.filter.detector", f.Detector, MaxValueBytes); err != nil {
		return err
	}
	if err := oneOf("params.filter.action", "action", f.Action, filterActions); err != nil {
		return err
	}
	if f.Detector == DetectorPatterns {
		return f.checkPatterns(direct)
	}
	switch {
	case f.Patterns != nil:
		return wrong("params.filter.patterns", `belong to the detector "patterns"; leave them out`)
	case f.Regexps != nil:
		return wrong("params.filter.regexps", `belong to the detector "patterns"; leave them out`)
	case f.Exact:
		return wrong("params.filter.exact", `belongs to the detector "patterns"; leave it out`)
	case f.Action == redact:
		return wrong("params.filter.action", `a classifier does not say which words to redact; only the detector "patterns" does`, without(filterActions, redact)...)
	}
	if f.OnError != "" {
		if err := oneOf("params.filter.on_error", "on_error", f.OnError, onErrors); err != nil {
			return err
		}
	}
	return checkThreshold("params.filter.threshold", f.Threshold)
}

func (f *Filter) checkPatterns(direct bool) *FieldError {
	switch {
	case f.Threshold != 0:
		return wrong("params.filter.threshold", "belongs to a classifier; patterns have no score")
	case f.OnError != "":
		return wrong("params.filter.on_error", "belongs to a classifier; patterns do not fail")
	case len(f.Patterns)+len(f.Regexps) == 0:
		return wrong("params.filter", `detector "patterns" needs something to look for`, "patterns", "regexps")
	}
	for _, l := range []struct {
		name       string
		values     []string
		most, size int
	}{{"patterns", f.Patterns, MaxPatterns, MaxPatternBytes}, {"regexps", f.Regexps, MaxRegexps, MaxRegexpBytes}} {
		field := "params.filter." + l.name
		if l.values != nil && len(l.values) == 0 {
			return wrong(field, "is an empty list; leave it out")
		}
		if direct && len(l.values) > l.most {
			return wrong(field, fmt.Sprintf("has %d values; at most %d", len(l.values), l.most))
		}
		for i, v := range l.values {
			if err := checkName(fmt.Sprintf("%s[%d]", field, i), v, l.size); err != nil {
				return err
			}
		}
	}
	for i, v := range f.Regexps {
		if _, err := syntax.Parse(v, syntax.Perl); err != nil {
			return wrong(fmt.Sprintf("params.filter.regexps[%d]", i), "is not a regular expression of RE2: "+oneLine(err.Error()))
		}
	}
	return nil
}

func without(words []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == word })
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
		if own := counted[p.Metric]; own == p.Per {
			return wrong("params.per", p.Metric+" for each "+own+" is always one; count them for something else", without(pers, own)...)
		}
	}
	if p.OnExceed != "" {
		return oneOf("params.on_exceed", "on_exceed", p.OnExceed, onExceeds)
	}
	return nil
}
