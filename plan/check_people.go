package plan

import (
	"maps"
	"slices"
	"strings"

	"andon/authority"
)

// demand is who has to be awake: any of those roles.
type demand struct {
	roles authority.Set
	acts  []string // what for
}

// urgent is a deadline that does not wait for the morning.
const urgent = day

// demands are the sets of roles of which somebody must be on call at every
// minute: who may tighten or decide, and who has to agree within less than a day.
func (g *gate) demands() []demand {
	var out []demand
	need := func(roles []authority.Role, what string) {
		set := authority.SetOf(roles...)
		if set == 0 {
			return
		}
		i := slices.IndexFunc(out, func(d demand) bool { return d.roles == set })
		if i < 0 {
			out = append(out, demand{roles: set})
			i = len(out) - 1
		}
		if !slices.Contains(out[i].acts, what) {
			out[i].acts = append(out[i].acts, what)
		}
	}
	for _, a := range g.answers() {
		if a.act == authority.Tighten || a.act == authority.Decide {
			need(a.Roles, actText(a.act))
		}
		if a.Approvals > 0 && a.Within < urgent {
			need(a.Approvers, "agree to "+actText(a.act))
		}
	}
	return out
}

// rosters checks that somebody is awake.
func (g *gate) rosters() {
	var good []Roster
	for i := range g.p.Rosters {
		r := &g.p.Rosters[i]
		_, _, err := r.week()
		why := ""
		if err != nil {
			why = err.Error()
		} else {
			good = append(good, *r)
		}
		g.ask(ruleRosterBroken, "roster/"+r.Name, ref("rosters", i, "name"), err != nil, "%s", why)
		g.roster(i)
	}
	used := map[string]bool{}
	union := func(rule, subject, path, whom string, is func(*Roster) bool) {
		var some []Roster
		var named []string
		for i := range good {
			if is(&good[i]) {
				some = append(some, good[i])
				named = append(named, good[i].Name)
				used[good[i].Name] = true
			}
		}
		if len(some) == 0 {
			return
		}
		g.gaps(rule, subject, path, whom, some, named)
	}
	for _, d := range g.demands() {
		label := strings.Join(d.roles.Names(), " or ")
		subject := "role/" + strings.Join(d.roles.Names(), "+")
		on := func(r *Roster) bool { return d.roles.Has(r.Role) }
		has := slices.ContainsFunc(good, func(r Roster) bool { return on(&r) })
		g.ask(ruleNoRoster, subject, "rosters", !has, "no roster keeps %s awake, whom it takes to %s", label, strings.Join(d.acts, " or "))
		union(ruleRoleGap, subject, "rosters", "nobody who may "+strings.Join(d.acts, " or ")+" ("+label+") is on call", on)
	}
	owners := map[string]bool{}
	for i := range g.p.Triggers {
		owners[g.p.Triggers[i].Owner] = true
	}
	for _, team := range slices.Sorted(maps.Keys(owners)) {
		union(ruleTeamGap, "team/"+team, g.rosterPath(team), "nobody of team "+team+", which owns triggers, is on call", func(r *Roster) bool { return r.Team == team })
	}
	for i := range g.p.Rosters {
		if r := &g.p.Rosters[i]; !used[r.Name] {
			union(ruleRosterGap, "roster/"+r.Name, ref("rosters", i, "shifts"), "nobody is on call", func(o *Roster) bool { return o.Name == r.Name })
		}
	}
}

func (g *gate) rosterPath(team string) string {
	return ref("rosters", max(slices.IndexFunc(g.p.Rosters, func(r Roster) bool { return r.Team == team }), 0), "shifts")
}

// gaps finds the minutes of the year ahead in which none of some rosters has
// anybody on call.
func (g *gate) gaps(rule, subject, path, whom string, some []Roster, named []string) {
	from := g.now.Truncate(60e9)
	gaps, err := Uncovered(some, from, from.AddDate(1, 0, 0))
	if err != nil {
		return // said by the roster's own finding
	}
	c := Cover{Subject: subject, Rosters: named, Gaps: len(gaps)}
	text := ""
	if len(gaps) > 0 {
		loc, _ := some[0].location() // it was read before
		text, c.First = gapText(gaps, loc), gaps[0].From
		for _, x := range gaps {
			c.Uncovered += minutes(x.To.Sub(x.From))
		}
	}
	if len(some) == 1 {
		i := slices.IndexFunc(g.p.Rosters, func(r Roster) bool { return r.Name == some[0].Name })
		path = ref("rosters", i, "shifts")
	}
	g.covers = append(g.covers, c)
	g.ask(rule, subject, path, len(gaps) > 0, "%s on %s", whom, text)
}

// roster checks the people of one roster.
func (g *gate) roster(i int) {
	r, subject := &g.p.Rosters[i], "roster/"+g.p.Rosters[i].Name
	var people []string
	for j := range r.Shifts {
		s := &r.Shifts[j]
		for _, p := range s.people() {
			if !slices.Contains(people, p) {
				people = append(people, p)
			}
		}
		g.ask(ruleNoDeputy, subject+"/shift"+index(j), ref("rosters", i, "shifts")+index(j), len(s.people()) == 1, "one person has it alone")
	}
	g.ask(ruleOnePerson, subject, ref("rosters", i, "shifts"), len(people) == 1, "all of it rests on %s", few(people))
	for _, p := range people {
		roles, has := g.roles[p]
		g.ask(ruleNoAccount, subject+"/"+p, ref("rosters", i, "shifts"), !has, "%s has no account", p)
		if has {
			g.ask(ruleLacksRole, subject+"/"+p, ref("rosters", i, "shifts"), !roles.Has(r.Role), "%s is on call as %s and has the role %s", p, r.Role, roles)
		}
	}
}
