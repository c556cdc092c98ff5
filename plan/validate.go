package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"andon/correction"
)

// Bounds of a plan's values.
const (
	MaxEntries = 2000 // of one section
	maxRefs    = 500  // names in one list of an entry
	maxName    = 64   // bytes of a name that the plan gives
	maxLine    = 200  // bytes of a name that comes from elsewhere, and of one line of text
	maxText    = 4096 // bytes of a text
)

// Validate says everything that is wrong with what a plan means, beyond the
// shape of its files: names, references, cycles, dates, times, corrections,
// authority. It depends on nothing but the plan, so that a version that was
// taken once is taken for ever. An error is [Faults].
func (p *Plan) Validate() error {
	c := &checker{p: p, held: p.holders()}
	c.names = map[string]map[string]bool{
		"models": set(p.Models, func(m *Model) string { return m.Name }), "surfaces": set(p.Surfaces, func(s *Surface) string { return s.Name }),
		"partners": set(p.Partners, func(s *Partner) string { return s.Name }), "threats": set(p.Threats, func(s *Threat) string { return s.Name }),
		"triggers": set(p.Triggers, func(s *Trigger) string { return s.Name }), "fallbacks": set(p.Fallbacks, func(s *Fallback) string { return s.Name }),
		"teams": set(p.Teams, func(s *Team) string { return s.Name }), "contacts": set(p.Contacts, func(s *Contact) string { return s.Name }),
		"dependants": set(p.Dependants, func(s *Dependant) string { return s.Name }), "playbooks": {},
	}
	for i := range p.Playbooks {
		c.names["playbooks"][p.Playbooks[i].Name] = true
	}
	c.head()
	for _, section := range []func(*checker){(*checker).models, (*checker).surfaces, (*checker).threats, (*checker).triggers, (*checker).playbooks,
		(*checker).fallbacks, (*checker).teams, (*checker).rosters, (*checker).rules, (*checker).dependants, (*checker).terms, (*checker).contacts, (*checker).retention} {
		section(c)
	}
	return c.err()
}

// checker collects what is wrong with a plan.
type checker struct {
	faults
	p     *Plan
	names map[string]map[string]bool // of each section
	held  map[string][]string        // people by the role that they hold
}

func set[T any](list []T, name func(*T) string) map[string]bool {
	out := make(map[string]bool, len(list))
	for i := range list {
		out[name(&list[i])] = true
	}
	return out
}

// wrong is a fault of the value at a path.
func (c *checker) wrong(path, detail string, allowed ...string) {
	c.add(Fault{Position: c.p.Pos(path), Path: path, Detail: detail, Allowed: allowed})
}

func at(section string, i int, field string) string {
	s := section + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		s += "." + field
	}
	return s
}

func (c *checker) head() {
	if c.p.Format != 1 {
		why := fmt.Sprintf("%d is not a version of this format", c.p.Format)
		if c.p.Format == 0 {
			why = "missing: one file says which version of the format this is"
		}
		c.wrong("andon", why, "1")
	}
	c.line("org", c.p.Org, true)
	if c.p.ReviewBy.IsZero() {
		c.wrong("review_by", "missing: give the day by which people look at the whole plan again")
	}
	c.ref("owner", "teams", c.p.Owner, true)
	c.ref("assurance", "teams", c.p.Assurance, false)
	if c.p.Assurance != "" && c.p.Assurance == c.p.Owner {
		c.wrong("assurance", "is the owner too; whoever checks is another team")
	}
}

// count bounds a list.
func (c *checker) count(path string, n, most int) bool {
	if n > most {
		c.wrong(path, fmt.Sprintf("has %d entries; at most %d", n, most))
	}
	return n <= most
}

var goodName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

// entries checks the names of a section: they are there, well-formed, and unique.
func (c *checker) entries(section string, n int, name func(int) string) {
	c.count(section, n, MaxEntries)
	seen := map[string]int{}
	for i := range n {
		path, s := at(section, i, "name"), name(i)
		if !goodName.MatchString(s) && (s != "" || c.missing(path)) {
			c.wrong(path, quote(s)+fmt.Sprintf(" is no name: 1 to %d of letters, digits and . _ -, beginning with a letter or digit", maxName))
		}
		c.once(path, s, seen, i, section)
	}
}

// missing reports an empty value as what it is; false means that it was said.
func (c *checker) missing(path string) bool {
	c.wrong(path, "missing")
	return false
}

func (c *checker) once(path, name string, seen map[string]int, i int, section string) {
	if first, twice := seen[name]; twice && name != "" {
		why := quote(name) + " is the name of " + at(section, first, "") + " already"
		if p := c.p.Pos(at(section, first, "name")); !p.IsZero() {
			why += ", at " + p.String()
		}
		c.wrong(path, why)
		return
	}
	seen[name] = i
}

// ref checks a reference to a section.
func (c *checker) ref(path, section, name string, required bool) bool {
	if name == "" {
		if required {
			c.wrong(path, "missing: give the name of one of "+section)
		}
		return false
	}
	if c.names[section][name] {
		return true
	}
	if c.full() {
		c.more++
		return false
	}
	names := slices.Sorted(maps.Keys(c.names[section]))
	detail := quote(name) + " is not one of the plan's " + section
	if len(names) == 0 {
		detail += ", which has no such section"
	}
	c.add(Fault{Position: c.p.Pos(path), Path: path, Detail: detail, Allowed: names, meant: name})
	return false
}

// refs checks a list of references.
func (c *checker) refs(path, section string, list []string, required bool) {
	if len(list) == 0 && required {
		c.wrong(path, "missing: give at least one of "+section)
	}
	if !c.count(path, len(list), maxRefs) {
		return
	}
	for i, name := range list {
		c.ref(at(path, i, ""), section, name, true)
	}
	c.distinct(path, list)
}

func (c *checker) distinct(path string, list []string) {
	seen := map[string]bool{}
	for i, s := range list {
		if seen[s] {
			c.wrong(at(path, i, ""), quote(s)+" stands here twice")
		}
		seen[s] = true
	}
}

// word checks a word of a closed set; or names where the empty one is taken.
func (c *checker) word(path, s string, required bool, allowed ...string) bool {
	if slices.Contains(allowed, s) {
		return true
	}
	if s == "" {
		if required {
			c.wrong(path, "missing", allowed...)
		}
		return false
	}
	c.add(Fault{Position: c.p.Pos(path), Path: path, Detail: quote(s) + " is not known", Allowed: allowed, meant: s})
	return false
}

func notLine(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// line checks one line of text that is not a name of the plan's own.
func (c *checker) line(path, s string, required bool) { c.value(path, s, maxLine, required) }

func (c *checker) value(path, s string, most int, required bool) {
	switch {
	case s == "" && required:
		c.wrong(path, "missing")
	case len(s) > most:
		c.wrong(path, fmt.Sprintf("has %d bytes; at most %d", len(s), most))
	case !utf8.ValidString(s):
		c.wrong(path, "is not UTF-8")
	case strings.ContainsFunc(s, notLine), s != strings.TrimSpace(s):
		c.wrong(path, quote(s)+" is not one line without spaces around it")
	}
}

// values checks a list of names that come from elsewhere.
func (c *checker) values(path string, list []string, most int, required bool) {
	if len(list) == 0 && required {
		c.wrong(path, "missing: give at least one")
	}
	if !c.count(path, len(list), maxRefs) {
		return
	}
	for i, s := range list {
		c.value(at(path, i, ""), s, most, true)
	}
	c.distinct(path, list)
}

// text checks a text that people read, of any number of lines.
func (c *checker) text(path, s string, required bool) {
	switch {
	case strings.TrimSpace(s) == "" && required:
		c.wrong(path, "missing")
	case len(s) > maxText:
		c.wrong(path, fmt.Sprintf("has %d bytes; at most %d", len(s), maxText))
	case !utf8.ValidString(s), strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && r != '\t' && r != '\r' && unicode.IsControl(r) }):
		c.wrong(path, "has characters that are not text")
	}
}

func (c *checker) whole(path string, n, least, most int64) {
	if n < least || n > most {
		c.wrong(path, fmt.Sprintf("%d is out of bounds; give %d to %d", n, least, most))
	}
}

// length checks a duration. Zero is one that is not given, unless a file says "0s".
func (c *checker) length(path string, d, least, most correction.Duration, required bool) {
	_, given := c.p.places[path]
	switch {
	case d == 0 && !given && required:
		c.wrong(path, "missing: give a length of time, such as "+least.String())
	case d == 0 && !given:
	case d < least || d > most:
		c.wrong(path, d.String()+" is out of bounds; give "+least.String()+" to "+most.String())
	}
}
