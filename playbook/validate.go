package playbook

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"andon/correction"
)

// Fault is what is wrong with a playbook.
type Fault struct {
	Field   string   `json:"field"` // path from the playbook: "steps[2].correction.params.level"
	Detail  string   `json:"detail"`
	Allowed []string `json:"allowed,omitempty"` // what may stand there, where that is a closed set
	Warning bool     `json:"warning,omitempty"` // it can be used all the same
}

func (f Fault) Error() string {
	if len(f.Allowed) > 0 {
		return f.Field + ": " + f.Detail + "; allowed: " + strings.Join(f.Allowed, ", ")
	}
	return f.Field + ": " + f.Detail
}

// Broken says whether any fault is more than a warning.
func Broken(faults []Fault) bool {
	return slices.ContainsFunc(faults, func(f Fault) bool { return !f.Warning })
}

// Known is what a playbook may refer to. What is nil is not looked at; what is
// empty and not nil knows nothing.
type Known struct {
	Now        time.Time // times in corrections are judged against it
	Models     []string
	Teams      []string // and roles: who does a task
	Contacts   []string // and dependants: who is told
	Threats    []string
	Points     []Point // enforcement points, as they describe themselves
	Fallbacks  []string
	MayBeStale bool // Points are not all there are: what they lack is a warning
}

var playbookName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// checker collects faults.
type checker struct {
	known  Known
	faults []Fault
}

func (c *checker) add(field, detail string, allowed ...string) {
	c.faults = append(c.faults, Fault{Field: field, Detail: detail, Allowed: allowed})
}

func (c *checker) warn(field, detail string, allowed ...string) {
	c.faults = append(c.faults, Fault{Field: field, Detail: detail, Allowed: allowed, Warning: true})
}

// Validate says everything that is wrong with a playbook, in the order of its
// fields; nothing means that it can be run.
func (p *Playbook) Validate(known Known) []Fault {
	c := &checker{known: known}
	c.name("name", p.Name)
	c.text("description", p.Description, false)
	c.line("version", p.Version, false)
	c.line("owner", p.Owner, false)
	c.names("threats", p.Threats, known.Threats, "threat")
	if known.Teams != nil && p.Owner != "" && !slices.Contains(known.Teams, p.Owner) {
		c.add("owner", strconv.Quote(short(p.Owner))+" is not a team of the plan", known.Teams...)
	}
	if p.TestedAt != "" {
		if _, err := time.Parse(time.DateOnly, p.TestedAt); err != nil {
			c.add("tested_at", strconv.Quote(short(p.TestedAt))+" is not a day; write for example 2026-10-01")
		}
	}
	c.vars(p)
	if len(p.Steps) == 0 && p.StopGap == nil {
		c.add("steps", "there is no step and no stop-gap: it would do nothing")
	}
	if len(p.Steps) > MaxSteps {
		c.add("steps", fmt.Sprintf("has %d; at most %d", len(p.Steps), MaxSteps))
		return c.faults // what follows compares each with each
	}
	filled := p.clone() // with samples where a value is not known yet
	defaults := map[string]string{}
	for _, v := range p.Vars {
		defaults[v.Name] = v.Default
	}
	filled.replace(func(name, what string) (string, bool) {
		d, ok := defaults[name]
		if d == "" {
			d = sample(what)
		}
		return d, ok
	})
	c.stopGap(p, filled)
	c.steps(p, filled)
	if Broken(c.faults) == false {
		c.ladder(p)
	}
	if len(p.Steps) > 0 && len(p.Exit) == 0 {
		c.add("exit", "missing: say by what people see that it is over")
	}
	if len(p.Exit) > MaxExit {
		c.add("exit", fmt.Sprintf("has %d criteria; at most %d", len(p.Exit), MaxExit))
	}
	for i, e := range p.Exit[:min(len(p.Exit), MaxExit)] {
		c.text(fmt.Sprintf("exit[%d]", i), e, true)
		if slices.Contains(p.Exit[:i], e) {
			c.add(fmt.Sprintf("exit[%d]", i), strconv.Quote(short(e))+" is there twice")
		}
	}
	return c.faults
}

func (c *checker) name(field, s string) {
	if !playbookName.MatchString(s) {
		c.add(field, strconv.Quote(short(s))+" is no name: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit")
	}
}

func (c *checker) line(field, s string, required bool) {
	switch {
	case s == "" && required:
		c.add(field, "missing")
	case len(s) > MaxLine:
		c.add(field, fmt.Sprintf("has %d bytes; at most %d", len(s), MaxLine))
	case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
		c.add(field, "is not one line of text")
	}
}

func (c *checker) text(field, s string, required bool) {
	switch {
	case strings.TrimSpace(s) == "" && required:
		c.add(field, "missing")
	case len(s) > MaxText:
		c.add(field, fmt.Sprintf("has %d bytes; at most %d", len(s), MaxText))
	case !utf8.ValidString(s), strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && r != '\t' && unicode.IsControl(r) }):
		c.add(field, "has characters that are not text")
	}
}

// names checks references; nil known is not looked at.
func (c *checker) names(field string, list, known []string, what string) {
	if len(list) > MaxSteps {
		c.add(field, fmt.Sprintf("has %d; at most %d", len(list), MaxSteps))
		return
	}
	for i, n := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.line(at, n, true)
		if known != nil && len(uses(n)) == 0 && !slices.Contains(known, n) {
			c.add(at, strconv.Quote(short(n))+" is not a "+what+" of the plan", known...)
		}
		if slices.Contains(list[:i], n) {
			c.add(at, strconv.Quote(short(n))+" is there twice")
		}
	}
}

func (c *checker) within(field string, d correction.Duration, least, most time.Duration) {
	if t := time.Duration(d); t < least || t > most {
		c.add(field, d.String()+" is out of bounds: "+correction.Duration(least).String()+" to "+correction.Duration(most).String())
	}
}

func (c *checker) vars(p *Playbook) {
	if len(p.Vars) > MaxVars {
		c.add("vars", fmt.Sprintf("has %d; at most %d", len(p.Vars), MaxVars))
		return
	}
	declared := map[string]bool{}
	list := map[string]bool{}
	for i, v := range p.Vars {
		at := fmt.Sprintf("vars[%d]", i)
		if !varName.MatchString(v.Name) {
			c.add(at+".name", strconv.Quote(short(v.Name))+" is no name of a variable: 1 to 64 letters, digits, _ and -")
		}
		if declared[v.Name] {
			c.add(at+".name", strconv.Quote(short(v.Name))+" is there twice")
		}
		declared[v.Name], list[v.Name] = true, v.List
		c.text(at+".description", v.Description, false)
		if v.Default == "" {
			continue
		}
		parts := []string{v.Default}
		if v.List {
			parts = strings.Split(v.Default, ",")
		}
		for _, part := range parts {
			if why := badValue(strings.TrimSpace(part)); why != "" {
				c.add(at+".default", why)
			}
		}
	}
	names := []string{}
	for _, v := range p.Vars {
		names = append(names, v.Name)
	}
	look := func(path, what, s string, inList bool) {
		for _, name := range uses(s) {
			switch {
			case declared[name] && list[name] && !(inList && s == "__"+name+"__:value"):
				c.add(path, "the variable "+name+" is a list and has to stand alone, in a list of a scope")
			case declared[name]:
			case what == "prose": // somebody reads it, and sees that it is no value
				c.warn(path, "__"+short(name)+"__:value is not a variable of this playbook and stays as it is", names...)
			default:
				c.add(path, "__"+short(name)+"__:value is not a variable of this playbook", names...)
			}
		}
	}
	p.visit(visitor{
		one: func(path, what string, s *string) { look(path, what, *s, false) },
		list: func(path, what string, l *[]string) {
			for i, s := range *l {
				look(fmt.Sprintf("%s[%d]", path, i), what, s, true)
			}
		},
	})
	p.corrections(func(at string, cor *correction.Correction) {
		never := func(field, s string) {
			if len(uses(s)) > 0 {
				c.add(at+"."+field, "a variable must not stand here: its value would become part of an expression")
			}
		}
		never("scope.when", cor.Scope.When)
		if cor.Except != nil {
			never("except.when", cor.Except.When)
		}
		if f := cor.Params.Filter; f != nil {
			for i, r := range f.Regexps {
				never(fmt.Sprintf("params.filter.regexps[%d]", i), r)
			}
		}
	})
}

// corrections shows every correction, with its path.
func (p *Playbook) corrections(fn func(at string, c *correction.Correction)) {
	if p.StopGap != nil {
		for i := range p.StopGap.Corrections {
			fn(fmt.Sprintf("stop_gap.corrections[%d]", i), &p.StopGap.Corrections[i])
		}
	}
	for i := range p.Steps {
		if p.Steps[i].Correction != nil {
			fn(fmt.Sprintf("steps[%d].correction", i), p.Steps[i].Correction)
		}
	}
}

// correction checks one, with its variables filled in; raw is as it is written.
func (c *checker) correction(at, what string, raw, cor *correction.Correction) {
	for _, f := range []struct {
		field string
		given bool
		why   string
	}{
		{"id", raw.ID != "", "the control plane sets it"},
		{"applied_at", !raw.AppliedAt.IsZero(), "the control plane sets it"},
		{"starts_at", !raw.StartsAt.IsZero(), "the step says when"},
		{"review_by", !raw.ReviewBy.IsZero(), "a day in the calendar would be past when the playbook is needed; write for"},
		{"expires_at", !raw.ExpiresAt.IsZero(), "a day in the calendar would be past when the playbook is needed; write for"},
		{"incident", raw.Incident != "", "the run names it"},
	} {
		if f.given {
			c.add(at+"."+f.field, "must not be given in a playbook: "+f.why)
			return
		}
	}
	now := c.known.Now
	if now.IsZero() {
		now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if err := cor.Validate(now); err != nil {
		var f *correction.FieldError
		if errors.As(err, &f) {
			field := at
			if f.Field != "" {
				field += "." + f.Field
			}
			c.add(field, f.Detail, f.Allowed...)
		} else {
			c.add(at, err.Error())
		}
		return
	}
	c.modelsOf(at, raw)
	c.enforceable(at, what, raw)
}

func (c *checker) modelsOf(at string, raw *correction.Correction) {
	if c.known.Models == nil {
		return
	}
	check := func(field string, list []string) {
		for i, m := range list {
			if len(uses(m)) == 0 && !slices.Contains(c.known.Models, m) {
				c.add(fmt.Sprintf("%s.%s[%d]", at, field, i), strconv.Quote(short(m))+" is not a model of the plan", c.known.Models...)
			}
		}
	}
	check("scope.models", raw.Scope.Models)
	if raw.Except != nil {
		check("except.models", raw.Except.Models)
	}
	if f := raw.Fallback; f != "" && f != correction.NoFallback && len(uses(f)) == 0 && !slices.Contains(c.known.Models, f) {
		c.add(at+".fallback", strconv.Quote(short(f))+" is not a model of the plan", append(slices.Clone(c.known.Models), correction.NoFallback)...)
	}
}
