package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that a time zone is known everywhere, or nowhere

	"andon/authority"
)

// Days are the days of a week as shifts name them; "daily" is all of them.
var Days = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// Daily in Shift.Days is every day.
const Daily = "daily"

// holders are the people by the role that their teams give them, each once.
func (p *Plan) holders() map[string][]string {
	out := map[string][]string{}
	for _, t := range p.Teams {
		for _, r := range t.Roles {
			for _, m := range t.Members {
				if !slices.Contains(out[string(r)], m) {
					out[string(r)] = append(out[string(r)], m)
				}
			}
		}
	}
	return out
}

func (c *checker) teams() {
	c.entries("teams", len(c.p.Teams), func(i int) string { return c.p.Teams[i].Name })
	for i := range c.p.Teams {
		t, path := &c.p.Teams[i], func(field string) string { return at("teams", i, field) }
		if authority.SetOf(authority.Role(t.Name)) != 0 {
			c.wrong(path("name"), quote(t.Name)+" is the name of a role; a task for it would not say whom it means")
		}
		c.values(path("members"), t.Members, maxLine, true)
		c.roles(path("roles"), t.Roles)
		c.ref(path("contact"), "contacts", t.Contact, false)
	}
}

func (c *checker) roles(path string, roles []authority.Role) {
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	if !c.count(path, len(names), maxRefs) {
		return
	}
	for i, n := range names {
		c.word(at(path, i, ""), n, true, authority.All.Names()...)
	}
	c.distinct(path, names)
}

func (c *checker) rosters() {
	c.entries("rosters", len(c.p.Rosters), func(i int) string { return c.p.Rosters[i].Name })
	for i := range c.p.Rosters {
		r, path := &c.p.Rosters[i], func(field string) string { return at("rosters", i, field) }
		var members []string
		if c.ref(path("team"), "teams", r.Team, true) {
			team := c.p.Team(r.Team)
			members = team.Members
			if c.word(path("role"), string(r.Role), true, authority.All.Names()...) && !slices.Contains(team.Roles, r.Role) {
				c.wrong(path("role"), fmt.Sprintf("nobody in team %s holds the role %s; give it to the team, or roster another team", quote(r.Team), r.Role))
			}
		}
		if _, err := Zone(r.TimeZone); err != nil {
			c.wrong(path("time_zone"), err.Error())
		}
		if len(r.Shifts) == 0 {
			c.wrong(path("shifts"), "missing: give at least one")
		}
		if c.count(path("shifts"), len(r.Shifts), maxRefs) {
			for j := range r.Shifts {
				c.shift(at(path("shifts"), j, ""), &r.Shifts[j], r.Team, members)
			}
		}
	}
}

func (c *checker) shift(path string, s *Shift, team string, members []string) {
	if len(s.Days) == 0 {
		c.wrong(path+".days", "missing", append(slices.Clone(Days), Daily)...)
	}
	if c.count(path+".days", len(s.Days), len(Days)) {
		for i, d := range s.Days {
			c.word(at(path+".days", i, ""), d, true, append(slices.Clone(Days), Daily)...)
		}
		c.distinct(path+".days", s.Days)
		if len(s.Days) > 1 && slices.Contains(s.Days, Daily) {
			c.wrong(path+".days", "daily is every day; leave the others out")
		}
	}
	if _, err := Minute(s.From); err != nil || s.From == "24:00" {
		c.wrong(path+".from", quote(s.From)+` is no time of day; write "00:00" to "23:59", in quotes`)
	}
	if _, err := Minute(s.To); err != nil {
		c.wrong(path+".to", quote(s.To)+` is no time of day; write "00:00" to "24:00", in quotes`)
	}
	c.values(path+".people", s.People, maxLine, true)
	who := func(path, name string) {
		if members != nil && name != "" && !slices.Contains(members, name) {
			c.add(Fault{Position: c.p.Pos(path), Path: path, Detail: quote(name) + " is no member of team " + quote(team), Allowed: members, meant: name})
		}
	}
	for i, p := range s.People[:min(len(s.People), maxRefs)] {
		who(at(path+".people", i, ""), p)
	}
	who(path+".deputy", s.Deputy)
	if s.Deputy != "" && slices.Contains(s.People, s.Deputy) {
		c.wrong(path+".deputy", quote(s.Deputy)+" is on call in this shift already; a deputy is somebody else")
	}
}

var timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// Minute reads a time of day, "00:00" to "24:00", as minutes since midnight.
func Minute(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	if !timeOfDay.MatchString(s) {
		return 0, fmt.Errorf(`%s is no time of day; write "00:00" to "24:00"`, quote(s))
	}
	return (int(s[0]-'0')*10+int(s[1]-'0'))*60 + int(s[3]-'0')*10 + int(s[4]-'0'), nil
}

// Zone finds a time zone by its IANA name. What depends on the machine ("Local")
// or moves with no rule is refused.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return nil, fmt.Errorf(`missing: give an IANA time zone, such as "Europe/Berlin" or "UTC"`)
	}
	loc, err := time.LoadLocation(name)
	if err != nil || strings.EqualFold(name, "local") || len(name) > maxName {
		return nil, fmt.Errorf(`%s is no time zone; write an IANA name, such as "Europe/Berlin" or "UTC"`, quote(name))
	}
	return loc, nil
}

// rules checks the authority: each rule, whether they contradict, and whether
// the plan's own people can meet them.
func (c *checker) rules() {
	c.count("authority", len(c.p.Authority), 200)
	c.count("limits", len(c.p.Limits), 200)
	rules := c.p.Authority[:min(len(c.p.Authority), 200)]
	for _, part := range []struct {
		section string
		found   []authority.Fault
	}{{"authority", authority.Check(rules)}, {"limits", authority.CheckLimits(c.p.Limits[:min(len(c.p.Limits), 200)])}} {
		for _, f := range part.found {
			path := at(part.section, f.Rule, f.Field)
			value := ""
			if parts := strings.Split(f.Detail, `"`); len(parts) > 2 {
				value = parts[1]
			}
			c.add(Fault{Position: c.p.Pos(path), Path: path, Detail: f.Detail, Allowed: f.Allowed, meant: value})
		}
	}
	for i := range rules {
		c.staffed(i, &rules[i])
	}
}

// staffed refuses a rule that nobody, or too few people, could meet.
func (c *checker) staffed(i int, r *authority.Rule) {
	all := func(field string, roles []authority.Role) (people []string) {
		for j, role := range roles {
			if authority.SetOf(role) != 0 && len(c.held[string(role)]) == 0 {
				c.wrong(at("authority", i, fmt.Sprintf("%s[%d]", field, j)), fmt.Sprintf("nobody holds the role %s; give it to a team, or leave it out of the rule", role))
			}
			people = append(people, c.held[string(role)]...)
		}
		slices.Sort(people)
		return slices.Compact(people)
	}
	approvers := r.Approvers
	if len(approvers) == 0 {
		approvers = []authority.Role{authority.Approver, authority.Commander}
	}
	before := len(c.list) + c.more
	who, others := all("roles", r.Roles), all("approvers", r.Approvers)
	if len(r.Approvers) == 0 {
		others = nil
		for _, role := range approvers {
			others = append(others, c.held[string(role)]...)
		}
		slices.Sort(others)
		others = slices.Compact(others)
	}
	if r.Approvals <= 0 || len(who) == 0 || len(c.list)+c.more > before {
		return
	}
	most := 0 // approvals that the best placed proposer can get
	for _, p := range who {
		n := len(others)
		if slices.Contains(others, p) {
			n--
		}
		most = max(most, n)
	}
	if most < r.Approvals {
		c.wrong(at("authority", i, "approvals"), fmt.Sprintf("takes %d others with the role %s, and there are %d: nobody approves their own act", r.Approvals, roleNames(approvers), most))
	}
}

func roleNames(roles []authority.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, " or ")
}
