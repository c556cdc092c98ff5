package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// preview shows what a correction would do, and applies nothing.
func (c *command) preview(ctx context.Context, cl *client, d *draft) error {
	if c.output == "json" {
		var raw map[string]any
		if err := cl.do(ctx, http.MethodPost, "/corrections/preview", nil, d, &raw); err != nil {
			return err
		}
		return c.json(raw)
	}
	var p previewAnswer
	if err := cl.do(ctx, http.MethodPost, "/corrections/preview", nil, d, &p); err != nil {
		return err
	}
	s := c.sheet()
	s.line("%s", s.bold(d.describe()))
	s.line("nothing is applied")
	s.blast(&p, c.Now())
	s.line("")
	s.line("nothing was applied; the same command without --preview applies it")
	return s.flush()
}

// sheet is a page for people. What comes from elsewhere is made harmless before
// it is put on it; colours stand only where a terminal shows them.
type sheet struct {
	c      *command
	b      strings.Builder
	colour bool
}

func (c *command) sheet() *sheet {
	_, plain := c.Lookup("NO_COLOR")
	return &sheet{c: c, colour: c.Terminal && !plain}
}

// tidy makes a text from elsewhere harmless, and one line.
func tidy(text string) string {
	var b strings.Builder
	fmt.Fprint(clean(&b), strings.NewReplacer("\n", " ", "\t", " ").Replace(text))
	return b.String()
}

func (s *sheet) line(format string, args ...any) {
	s.b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	s.b.WriteByte('\n')
}

func (s *sheet) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *sheet) bold(text string) string { return s.paint("1", tidy(text)) }
func (s *sheet) dim(text string) string  { return s.paint("2", text) }
func (s *sheet) warn(text string) string { return s.paint("33", text) }

func (s *sheet) flush() error {
	_, err := fmt.Fprint(s.c.Stdout, s.b.String())
	return err
}

// blast draws a preview: coverage first, then what it would do, who is behind it,
// and what nobody knows.
func (s *sheet) blast(p *previewAnswer, now time.Time) {
	for _, w := range p.Warnings {
		s.line("%s", s.warn("warning: "+tidy(w.Detail)))
	}
	s.coverage(&p.Coverage, now)
	s.line("")
	s.line("%s", s.bold("it would reach"))
	width := 1
	for _, n := range []*int64{p.Reached, p.Requests, p.Users, p.Orgs, p.Keys, p.LiveStreams} {
		if n != nil {
			width = max(width, len(number(*n)))
		}
	}
	row := func(label string, n *int64, also string) {
		value := "not known"
		if n != nil {
			value = pad(number(*n), width)
		}
		s.line("  %-16s %s  %s", label, value, also)
	}
	var share string
	if p.ShareOfTraffic != nil {
		share = percent(*p.ShareOfTraffic) + " of traffic  " + s.bar(*p.ShareOfTraffic)
	}
	row("requests", p.Requests, share)
	for _, r := range []struct {
		label string
		n     *int64
		also  string
	}{
		{"  refused", p.Refused, ""}, {"  limited", p.Limited, "by the limit, replayed"}, {"  changed", p.Changed, "served, but not as asked"},
		{"  already", p.Already, "refused, limited or cut as it is"}, {"not decided", p.Undecided, "the record does not say"},
	} {
		if r.n != nil && *r.n > 0 {
			row(r.label, r.n, s.dim(r.also))
		}
	}
	about := func(name string) string {
		if slices.Contains(p.Estimated, name) {
			return s.dim("about")
		}
		return ""
	}
	row("users", p.Users, about("users"))
	row("orgs", p.Orgs, about("orgs"))
	row("keys", p.Keys, about("keys"))
	row("running now", p.LiveStreams, s.dim("would be cut"))
	s.parts("by model", p.ByModel)
	s.parts("by org", p.ByOrg)
	s.dependants(p.Dependants)
	if len(p.Unknown) > 0 {
		s.line("")
		s.line("%s", s.bold("not known"))
		for _, u := range p.Unknown {
			s.line("  %s", tidy(strings.ReplaceAll(u, "_", " ")))
		}
	}
}

func (s *sheet) coverage(v *coverage, now time.Time) {
	s.line("")
	s.line("%s", s.bold("coverage"))
	s.line("  %s, told by %d of %s", tidy(v.Basis), v.Answered, plural(int64(v.Points), "live gateway"))
	if v.Recorded > 0 {
		s.line("  %s requests recorded since %s (%s), until %s", number(v.Recorded), v.Since.UTC().Format("2006-01-02 15:04 UTC"), span(now.Sub(v.Since)), until(v.Until, now))
	}
	for _, d := range v.Dimensions {
		name := tidy(strings.ReplaceAll(d.Dimension, "_", " "))
		if d.Unknown == 0 {
			s.line("  for all of it the value of %s is known", name)
			continue
		}
		s.line("  %s", s.warn(fmt.Sprintf("for %s of traffic the value of %s is unknown: %s", percent(d.Share), name, rules[d.Rule])))
	}
	if v.Lost > 0 {
		s.line("  %s", s.warn(plural(v.Lost, "request")+" had no room in the record"))
	}
	for _, n := range v.Notes {
		s.line("  %s", s.dim(tidy(n)))
	}
}

// rules says what happens to traffic of which a value is unknown.
var rules = map[string]string{
	"excluded": "not reached", "included": "reached all the same", "refused": "refused, since it is not on the list", "not spared": "not spared",
}

// parts draws how the requests are spread.
func (s *sheet) parts(title string, list []part) {
	const most = 8
	if len(list) == 0 {
		return
	}
	s.line("")
	s.line("%s", s.bold(title))
	name, count, of := 0, 0, 0
	shown := list[:min(len(list), most)]
	for _, p := range shown {
		name, count, of = max(name, min(utf8.RuneCountInString(called(p.Name)), 28)), max(count, len(number(p.Requests))), max(of, len(number(p.Of)))
	}
	for _, p := range shown {
		s.line("  %s  %s of %s  %s  %s", padRight(shorten(called(p.Name), 28), name), pad(number(p.Requests), count), pad(number(p.Of), of), pad(percent(p.Share), 6), s.bar(p.Share))
	}
	if n := len(list) - most; n > 0 {
		s.line("  %s", s.dim("and "+strconv.Itoa(n)+" more"))
	}
}

func called(name string) string {
	if name == "" {
		return "(not known)"
	}
	return tidy(name)
}

// dependants names who loses service: those whose criticality is known, then the
// busiest.
func (s *sheet) dependants(list []dependant) {
	const most = 8
	if len(list) == 0 {
		return
	}
	s.line("")
	s.line("%s", s.bold("dependants"))
	name, org, count := 0, 0, 0
	shown := list[:min(len(list), most)]
	for _, d := range shown {
		name, org = max(name, min(utf8.RuneCountInString(called(d.Key)), 24)), max(org, min(utf8.RuneCountInString(called(d.Org)), 24))
		count = max(count, len(number(d.Requests)))
	}
	for _, d := range shown {
		critical := "criticality " + tidy(d.Criticality)
		if d.Criticality != "unknown" {
			critical = s.warn(critical)
		} else {
			critical = s.dim(critical)
		}
		s.line("  %s  %s  %s  %s of its traffic  %s", padRight(shorten(called(d.Key), 24), name), padRight(shorten(called(d.Org), 24), org), pad(number(d.Requests), count), pad(percent(d.Share), 6), critical)
	}
	if n := len(list) - most; n > 0 {
		s.line("  %s", s.dim("and "+strconv.Itoa(n)+" more"))
	}
}

// bar draws a share of one.
func (s *sheet) bar(share float64) string {
	const width = 20
	n := int(share*width + 0.5)
	if share > 0 && n == 0 {
		n = 1
	}
	n = max(0, min(n, width))
	return s.paint("31", strings.Repeat("█", n)) + s.dim(strings.Repeat("·", width-n))
}

// number writes 1204331 as 1,204,331.
func number(n int64) string {
	t := strconv.FormatInt(n, 10)
	for i := len(t) - 3; i > 0 && t[i-1] != '-'; i -= 3 {
		t = t[:i] + "," + t[i:]
	}
	return t
}

// percent writes a share of one. What is not nothing never shows as nothing, and
// what is not all never as all.
func percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.1:
		return "<0.1 %"
	case p > 99.9 && p < 100:
		return ">99.9 %"
	case p == 0 || p == 100:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
}

func pad(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

func padRight(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
