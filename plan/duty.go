package plan

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Duty is something for which somebody has to be awake at every minute.
type Duty struct {
	Subject string   // role/responder+commander, team/safety or roster/audits, as findings name it
	Whom    string   // who is missing in a gap: "nobody of team safety"
	Rosters []Roster // that together have to cover it
}

// Duties are the duties of a plan that have a roster: whoever may tighten, decide
// or has to agree soon; the teams that own triggers; and each roster that nothing
// of these needs. A roster that cannot be read is left out: it is a finding.
func Duties(p *Plan) []Duty {
	var out []Duty
	var good []Roster
	for i := range p.Rosters {
		if _, _, err := p.Rosters[i].week(); err == nil {
			good = append(good, p.Rosters[i])
		}
	}
	used := map[string]bool{}
	add := func(subject, whom string, is func(*Roster) bool) {
		d := Duty{Subject: subject, Whom: whom}
		for i := range good {
			if is(&good[i]) {
				d.Rosters = append(d.Rosters, good[i])
				used[good[i].Name] = true
			}
		}
		if len(d.Rosters) > 0 {
			out = append(out, d)
		}
	}
	g := &gate{p: p}
	for _, d := range g.demands() {
		names := d.roles.Names()
		add("role/"+strings.Join(names, "+"), "nobody who may "+strings.Join(d.acts, " or ")+" ("+strings.Join(names, " or ")+")",
			func(r *Roster) bool { return d.roles.Has(r.Role) })
	}
	owners := map[string]bool{}
	for i := range p.Triggers {
		owners[p.Triggers[i].Owner] = true
	}
	for _, team := range slices.Sorted(maps.Keys(owners)) {
		add("team/"+team, "nobody of team "+team, func(r *Roster) bool { return r.Team == team })
	}
	for i := range p.Rosters {
		if name := p.Rosters[i].Name; !used[name] {
			add("roster/"+name, "nobody of roster "+name, func(r *Roster) bool { return r.Name == name })
		}
	}
	return out
}

// NextChange is when, after an instant and within a span of at most a fortnight,
// the people on call change, and who they are then; zero if they do not.
func (r *Roster) NextChange(at time.Time, within time.Duration) (time.Time, []string, error) {
	now, err := r.OnCall(at)
	if err != nil {
		return time.Time{}, nil, err
	}
	loc, err := r.location()
	if err != nil {
		return time.Time{}, nil, err
	}
	minutes := map[int]bool{}
	for i := range r.Shifts {
		spans, err := r.Shifts[i].spans()
		if err != nil {
			return time.Time{}, nil, err
		}
		for _, s := range spans {
			minutes[s.from%(24*60)], minutes[s.to%(24*60)] = true, true
		}
	}
	end := at.Add(min(within, 14*24*time.Hour))
	var edges []time.Time
	local := at.In(loc)
	for day := 0; !time.Date(local.Year(), local.Month(), local.Day()+day-1, 0, 0, 0, 0, loc).After(end); day++ {
		for m := range minutes {
			edges = append(edges, time.Date(local.Year(), local.Month(), local.Day()+day, 0, m, 0, 0, loc))
		}
	}
	for t := at; t.Before(end); { // a change of the clocks changes who is on call, too
		_, t = t.In(loc).ZoneBounds()
		if t.IsZero() {
			break
		}
		edges = append(edges, t)
	}
	slices.SortFunc(edges, time.Time.Compare)
	for _, t := range slices.CompactFunc(edges, time.Time.Equal) {
		if !t.After(at) || t.After(end) {
			continue
		}
		then, err := r.OnCall(t)
		if err != nil {
			return time.Time{}, nil, err
		}
		if !slices.Equal(now, then) {
			return t.UTC(), then, nil
		}
	}
	return time.Time{}, nil, nil
}
