package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/correction"
	"andon/incident"
	"andon/plan"
	"andon/playbook"
)

// A decision about a threat of the plan offers what the plan's own playbooks do
// about it, beside the ladder of the threat's class: the stop-gap, and each step
// that applies a correction. They are pinned as any option that names a playbook.

// booksFor are the playbooks against a threat: those that it names, then those that
// name it.
func booksFor(p *plan.Plan, t *plan.Threat) []*playbook.Playbook {
	var out []*playbook.Playbook
	for _, name := range t.Playbooks {
		if b := p.Playbook(name); b != nil && !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	for i := range p.Playbooks {
		if b := &p.Playbooks[i]; slices.Contains(b.Threats, t.Name) && !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	return out
}

// planOptions are the options that the plan's playbooks have against a threat, the
// narrowest first, and why others are not among them.
func (c *Control) planOptions(books []*playbook.Playbook, vars map[string]string, now time.Time) (options []incident.Option, lacks []string, err error) {
	var known []string
	for _, b := range books {
		given := map[string]string{}
		for _, v := range b.Vars {
			if known = append(known, v.Name); vars[v.Name] != "" {
				given[v.Name] = vars[v.Name]
			}
		}
		filled, faults := b.FillPart(given)
		if err := refuseFaults(faults); err != nil {
			return nil, nil, err
		}
		add := func(step string, rs []rung) {
			o := incident.Option{Title: cmp.Or(step, "stop-gap") + ", playbook " + b.Name, Why: "the plan has it against this threat: the stop-gap of playbook " + b.Name,
				Playbook: &incident.FromPlaybook{Name: b.Name, Step: step, Vars: given}}
			if step != "" {
				o.Why = "the plan has it against this threat: step " + strconv.Quote(step) + " of playbook " + b.Name
			}
			for i := range rs {
				if names := playbook.Unfilled(&rs[i].Correction); len(names) > 0 {
					lacks = append(lacks, fmt.Sprintf("%q is not among the options: nobody gave %s, and it has no default", o.Title, orList(names)))
					return
				}
				err := c.vet(&rs[i].Correction)
				if err == nil {
					_, err = c.check(rs[i].Correction, now)
				}
				if err != nil {
					lacks = append(lacks, fmt.Sprintf("%q is not among the options: %s", o.Title, asProblem(err)))
					return
				}
				o.Apply = append(o.Apply, rs[i].Correction)
			}
			if n := len(rs); n > incident.MaxInOption {
				lacks = append(lacks, fmt.Sprintf("%q is not among the options: it applies %d corrections", o.Title, n))
			} else if n > 0 {
				options = append(options, o)
			}
		}
		add("", rungs(filled, true))
		for i := range filled.Steps {
			if s := &filled.Steps[i]; s.Correction != nil {
				add(s.Name, []rung{{"", "step " + strconv.Quote(s.Name), *s.Correction, s.For}})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !slices.Contains(known, name) {
			return nil, nil, badField("vars."+short(name), "is no variable of a playbook against this threat", known...)
		}
	}
	slices.SortStableFunc(options, func(a, b incident.Option) int { return narrownessOf(a.Apply) - narrownessOf(b.Apply) })
	return options, lacks, nil
}

// narrownessOf is how much an option's corrections take away.
func narrownessOf(cors []correction.Correction) (most int) {
	for i := range cors {
		rank, _ := narrowness(&cors[i])
		most = max(most, rank)
	}
	return most
}

// ranked puts the plan's options among those of a ladder, each before the first that
// is as wide or wider, and no more than there is room for. What there is no room for
// is left out of the ladder, from its middle: its widest rung stays. What is left of
// either that cannot be told is said.
func ranked(planned, ladder []incident.Option, room, corrections int) (out []incident.Option, lacks []string) {
	used := 0
	for i := range planned {
		used += len(planned[i].Apply)
	}
	drop := func(list []incident.Option, i int) []incident.Option {
		lacks = append(lacks, strconv.Quote(list[i].Title)+" is not among the options: a decision has no room for more")
		return slices.Delete(list, i, i+1)
	}
	for len(ladder) > 0 && (len(planned)+len(ladder) > room || used+len(ladder) > corrections) {
		ladder = drop(ladder, max(0, len(ladder)-2))
	}
	for len(planned) > 0 && (len(planned) > room || used > corrections) {
		i := max(0, len(planned)-2)
		used -= len(planned[i].Apply)
		planned = drop(planned, i)
	}
	for _, o := range ladder {
		for len(planned) > 0 && narrownessOf(planned[0].Apply) <= narrownessOf(o.Apply) {
			out, planned = append(out, planned[0]), planned[1:]
		}
		out = append(out, o)
	}
	out = append(out, planned...)
	for i := range out {
		if out[i].Playbook != nil {
			out[i].Apply = nil // it is pinned as it is opened
		}
	}
	return out, lacks
}

// alsoMissing is what is missing, in the words of who asks and of the plan.
func alsoMissing(missing string, lacks []string) string {
	if len(lacks) == 0 {
		return missing
	}
	text := strings.Join(lacks, "\n")
	if missing != "" {
		text = missing + "\n" + text
	}
	if len(text) > incident.MaxKnown {
		return missing
	}
	return text
}
