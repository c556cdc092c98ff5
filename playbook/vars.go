package playbook

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"andon/correction"
)

var (
	varName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$`)
	varUse  = regexp.MustCompile(`__([a-zA-Z_][a-zA-Z0-9_-]*?)__:value`)
)

// maxValue bounds what a run gives for a variable, in bytes; of a list, each.
const maxValue = 512

// visitor is shown every text of a playbook in which a variable may stand: the
// path, and what the text is ("models", "ips", "text" …).
type visitor struct {
	one  func(path, what string, s *string)
	list func(path, what string, l *[]string)
}

// visit shows the texts of corrections, tasks, notices and questions.
func (p *Playbook) visit(v visitor) {
	if g := p.StopGap; g != nil {
		for i := range g.Corrections {
			v.correction(fmt.Sprintf("stop_gap.corrections[%d]", i), &g.Corrections[i])
		}
	}
	for i := range p.Steps {
		s, at := &p.Steps[i], fmt.Sprintf("steps[%d]", i)
		switch {
		case s.Correction != nil:
			v.correction(at+".correction", s.Correction)
		case s.Task != nil:
			v.one(at+".task.do", "prose", &s.Task.Do)
		case s.Notice != nil:
			v.one(at+".notice.text", "prose", &s.Notice.Text)
		case s.Evidence != nil:
			v.list(at+".evidence.models", "models", &s.Evidence.Models)
		case s.Decision != nil:
			v.one(at+".decision.question", "prose", &s.Decision.Question)
		}
	}
}

func (v visitor) correction(at string, c *correction.Correction) {
	v.one(at+".reason", "text", &c.Reason)
	v.one(at+".public_reason", "text", &c.PublicReason)
	v.one(at+".legal_order", "text", &c.LegalOrder)
	v.one(at+".fallback", "models", &c.Fallback)
	v.one(at+".params.pin", "versions", &c.Params.Pin)
	v.one(at+".params.use_case", "use_cases", &c.Params.UseCase)
	v.each(at+".params.disable", "text", c.Params.Disable)
	if f := c.Params.Filter; f != nil {
		v.each(at+".params.filter.patterns", "text", f.Patterns)
	}
	v.scope(at+".scope", &c.Scope)
	if c.Except != nil {
		v.scope(at+".except", c.Except)
	}
}

func (v visitor) each(at, what string, l []string) {
	for i := range l {
		v.one(fmt.Sprintf("%s[%d]", at, i), what, &l[i])
	}
}

func (v visitor) scope(at string, s *correction.Scope) {
	for _, d := range []struct {
		name string
		list *[]string
	}{{"models", &s.Models}, {"versions", &s.Versions}, {"surfaces", &s.Surfaces}, {"orgs", &s.Orgs}, {"users", &s.Users}, {"keys", &s.Keys}, {"tiers", &s.Tiers},
		{"ips", &s.IPs}, {"countries", &s.Countries}, {"attributes", &s.Attributes}, {"tools", &s.Tools}, {"use_cases", &s.UseCases}} {
		v.list(at+"."+d.name, d.name, d.list)
	}
}

// uses are the variables that a text names.
func uses(s string) []string {
	if !strings.Contains(s, "__:value") {
		return nil
	}
	var out []string
	for _, m := range varUse.FindAllStringSubmatch(s, -1) {
		out = append(out, m[1])
	}
	return out
}

// sample stands for a value that is not known yet, where its form is checked.
func sample(what string) string {
	switch what {
	case "ips":
		return "192.0.2.1"
	case "countries":
		return "DE"
	case "attributes":
		return "name=value"
	}
	return "value"
}

// replace puts values in. value says what a variable is in such a place.
func (p *Playbook) replace(value func(name, what string) (string, bool)) {
	list := map[string]bool{}
	for _, v := range p.Vars {
		list[v.Name] = v.List
	}
	put := func(what, s string) string {
		if !strings.Contains(s, "__:value") {
			return s
		}
		return varUse.ReplaceAllStringFunc(s, func(m string) string {
			if v, ok := value(varUse.FindStringSubmatch(m)[1], what); ok {
				return v
			}
			return m
		})
	}
	p.visit(visitor{
		one: func(_, what string, s *string) { *s = put(what, *s) },
		list: func(_, what string, l *[]string) {
			var out []string
			for _, s := range *l {
				if m := varUse.FindStringSubmatch(s); m != nil && m[0] == s && list[m[1]] {
					if v, ok := value(m[1], what); ok {
						for _, part := range strings.Split(v, ",") {
							out = append(out, strings.TrimSpace(part))
						}
						continue
					}
				}
				out = append(out, put(what, s))
			}
			*l = out
		},
	})
}

// Fill returns the playbook with the values of its variables in their places, and
// no variables left. A variable without a value and without a default is a fault, as is a value that
// is not declared, empty, too long or not one line of text.
func (p *Playbook) Fill(vars map[string]string) (*Playbook, []Fault) { return p.fill(vars, false) }

// FillPart is Fill for somebody who wants a part of the playbook: variables without
// a value are left where they stand. See Unfilled.
func (p *Playbook) FillPart(vars map[string]string) (*Playbook, []Fault) { return p.fill(vars, true) }

// Unfilled are the variables of a playbook that a correction still names.
func Unfilled(c *correction.Correction) []string {
	text, err := json.Marshal(c)
	if err != nil {
		return []string{err.Error()}
	}
	out := uses(string(text))
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *Playbook) fill(vars map[string]string, part bool) (*Playbook, []Fault) {
	var faults []Fault
	values := map[string]string{}
	var names []string
	for _, v := range p.Vars {
		names = append(names, v.Name)
		given, ok := vars[v.Name]
		if !ok {
			given, ok = v.Default, v.Default != ""
		}
		at := "vars." + v.Name
		if !ok && part {
			continue
		}
		if !ok {
			detail := "missing: the playbook has no default for it; give --var " + v.Name + "=…"
			if v.Description != "" {
				detail += " (" + v.Description + ")"
			}
			faults = append(faults, Fault{Field: at, Detail: detail})
			continue
		}
		parts := []string{given}
		if v.List {
			parts = strings.Split(given, ",")
		}
		for _, part := range parts {
			if why := badValue(strings.TrimSpace(part)); why != "" {
				faults = append(faults, Fault{Field: at, Detail: why})
				break
			}
		}
		values[v.Name] = given
	}
	for name := range vars {
		if !slices.Contains(names, name) {
			faults = append(faults, Fault{Field: "vars." + short(name), Detail: "is not a variable of playbook " + p.Name, Allowed: names})
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Field, b.Field) })
	if len(faults) > 0 {
		return nil, faults
	}
	out := p.clone()
	out.replace(func(name, _ string) (string, bool) { v, ok := values[name]; return v, ok })
	out.Vars = slices.DeleteFunc(out.Vars, func(v Var) bool { _, ok := values[v.Name]; return ok })
	return out, nil
}

// badValue says what is wrong with a variable's value; "" if nothing is. A
// variable in a value would let one value reach into another.
func badValue(s string) string {
	switch {
	case s == "":
		return "is empty; a list has no empty part"
	case len(s) > maxValue:
		return fmt.Sprintf("has %d bytes; at most %d", len(s), maxValue)
	case !utf8.ValidString(s), strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }):
		return "is not one line of plain text"
	case len(uses(s)) > 0:
		return strconv.Quote(short(s)) + " names a variable itself"
	}
	return ""
}

func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
