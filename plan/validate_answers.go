package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
	"andon/propose"
)

var (
	pers     = []string{"model", "org", "user", "key"}
	ceilings = []string{"L0", "L1", "L2", "L3", "L4"}
)

// DefaultCeiling is the level that automation does not go above where a trigger
// does not say.
const DefaultCeiling = "L2"

// Classes are the classes of threat, by id.
func Classes() []string {
	var out []string
	for _, t := range propose.Threats() {
		out = append(out, t.Name)
	}
	return out
}

func (c *checker) threats() {
	c.entries("threats", len(c.p.Threats), func(i int) string { return c.p.Threats[i].Name })
	for i := range c.p.Threats {
		t, path := &c.p.Threats[i], func(field string) string { return at("threats", i, field) }
		c.text(path("description"), t.Description, false)
		c.word(path("class"), t.Class, false, Classes()...)
		c.whole(path("severity"), int64(t.Severity), 1, 4)
		c.refs(path("models"), "models", t.Models, false)
		if len(t.Indicators) == 0 {
			c.wrong(path("indicators"), "missing: say by what the threat would be seen")
		}
		c.count(path("indicators"), len(t.Indicators), maxRefs)
		var names []string
		for j, in := range t.Indicators {
			c.line(at(path("indicators"), j, "name"), in.Name, true)
			c.signal(at(path("indicators"), j, "signal"), in.Signal)
			c.line(at(path("indicators"), j, "source"), in.Source, false)
			names = append(names, in.Name)
		}
		c.distinct(path("indicators"), names)
		c.refs(path("triggers"), "triggers", t.Triggers, false)
		c.refs(path("playbooks"), "playbooks", t.Playbooks, false) // none is a finding of the check
		c.length(path("detect_within"), t.Detect, correction.Duration(1e9), 365*day, false)
		c.ref(path("owner"), "teams", t.Owner, true)
		if t.ReviewBy.IsZero() {
			c.wrong(path("review_by"), "missing: give the day by which people look at it again")
		}
	}
}

// signal checks the type of a signal.
func (c *checker) signal(path, s string) {
	if s == "" {
		c.wrong(path, "missing: the type of signal, such as filter.matched")
	} else if !goodName.MatchString(s) {
		c.wrong(path, quote(s)+" is no type of signal: letters, digits and . _ -")
	}
}

func (c *checker) triggers() {
	c.entries("triggers", len(c.p.Triggers), func(i int) string { return c.p.Triggers[i].Name })
	for i := range c.p.Triggers {
		t, path := &c.p.Triggers[i], func(field string) string { return at("triggers", i, field) }
		c.signal(path("signal"), t.Signal)
		c.count(path("where"), len(t.Where), 32)
		for _, k := range slices.Sorted(maps.Keys(t.Where)) {
			v := t.Where[k]
			if !goodName.MatchString(k) {
				c.wrong(path("where")+"."+k, quote(k)+" is no name of a signal's field")
			}
			c.value(path("where")+"."+k, v, correction.MaxValueBytes, true)
		}
		c.whole(path("count"), t.Count, 1, 1e12)
		c.length(path("window"), t.Window, correction.Duration(1e9), 31*day, true)
		c.word(path("per"), t.Per, false, pers...)
		if t.Severity != 0 {
			c.whole(path("severity"), int64(t.Severity), 1, 4)
		}
		c.ref(path("owner"), "teams", t.Owner, false) // none is a finding of the check
		known := c.ref(path("playbook"), "playbooks", t.Playbook, t.StopGap)
		c.word(path("ceiling"), t.Ceiling, false, ceilings...)
		if t.StopGap && known {
			c.ceiling(t, path)
		}
	}
}

// ceiling checks what a trigger may apply by itself.
func (c *checker) ceiling(t *Trigger, path func(string) string) {
	gap := c.p.Playbook(t.Playbook).StopGap
	if gap == nil {
		c.wrong(path("stop_gap"), "playbook "+quote(t.Playbook)+" has no stop-gap that could be applied")
		return
	}
	most := t.Ceiling
	if most == "" {
		most = DefaultCeiling
	}
	for i := range gap.Corrections {
		if k := &gap.Corrections[i]; k.Kind == correction.Stop && k.Params.Level > most {
			c.wrong(path("ceiling"), fmt.Sprintf("the stop-gap of playbook %s stops at %s, above the ceiling %s; automation would do less than the plan says", quote(t.Playbook), quote(k.Params.Level), most))
			return
		}
	}
}

func (c *checker) playbooks() {
	c.entries("playbooks", len(c.p.Playbooks), func(i int) string { return c.p.Playbooks[i].Name })
	known := playbook.Known{Models: c.p.ModelNames(), Teams: slices.Concat(keys(c.names["teams"]), authority.All.Names()),
		Contacts: slices.Concat(keys(c.names["contacts"]), keys(c.names["dependants"])), Threats: keys(c.names["threats"])}
	slices.Sort(known.Contacts)
	for i := range c.p.Playbooks {
		if c.full() {
			return
		}
		p, path := &c.p.Playbooks[i], at("playbooks", i, "")
		for _, f := range p.Validate(known) {
			if !f.Warning && f.Field != "name" { // which was looked at
				value := ""
				if parts := strings.Split(f.Detail, `"`); len(parts) > 2 {
					value = parts[1]
				}
				full := strings.TrimSuffix(path+"."+f.Field, ".")
				c.add(Fault{Position: c.p.Pos(full), Path: full, Detail: f.Detail, Allowed: f.Allowed, meant: value})
			}
		}
		c.ref(path+".owner", "teams", p.Owner, true)
		if p.TestedAt != "" {
			if _, err := ParseDate(p.TestedAt); err != nil {
				c.wrong(path+".tested_at", err.Error())
			}
		}
		if p.StopGap != nil {
			for j := range p.StopGap.Corrections {
				c.correction(fmt.Sprintf("%s.stop_gap.corrections[%d]", path, j), &p.StopGap.Corrections[j])
			}
		}
		for j := range p.Steps {
			if k := p.Steps[j].Correction; k != nil {
				c.correction(fmt.Sprintf("%s.steps[%d].correction", path, j), k)
			}
		}
	}
}

// variable marks a place that a run fills in.
const variable = "__:value"

// correction checks what a correction of a playbook refers to, beyond models.
func (c *checker) correction(path string, k *correction.Correction) {
	for _, s := range []struct {
		field string
		scope *correction.Scope
	}{{".scope", &k.Scope}, {".except", k.Except}} {
		if s.scope == nil {
			continue
		}
		for i, name := range s.scope.Surfaces {
			if !strings.Contains(name, variable) {
				c.ref(at(path+s.field+".surfaces", i, ""), "surfaces", name, true)
			}
		}
		for i, v := range s.scope.Versions {
			c.version(at(path+s.field+".versions", i, ""), v, s.scope.Models)
		}
	}
	if k.Params.Pin != "" {
		c.version(path+".params.pin", k.Params.Pin, k.Scope.Models)
	}
}

// version checks that a version is one of the models that are meant; of any, if
// none is named.
func (c *checker) version(path, version string, models []string) {
	if strings.Contains(version, variable) || slices.ContainsFunc(models, func(m string) bool { return strings.Contains(m, variable) }) {
		return
	}
	var known []string
	for i := range c.p.Models {
		m := &c.p.Models[i]
		if len(models) == 0 || slices.ContainsFunc(models, m.Called) {
			known = append(known, m.Versions...)
		}
	}
	if !slices.Contains(known, version) {
		slices.Sort(known)
		known = slices.Compact(known)
		c.add(Fault{Position: c.p.Pos(path), Path: path, Detail: quote(version) + " is no version of these models in the plan", Allowed: known, meant: version})
	}
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
