package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"andon/authority"
	"andon/correction"
)

// answered is what an act takes in some case.
type answered struct {
	authority.Answer
	act authority.Act
}

// shares are the shares of traffic at which the rules' answers can change.
func shares(rules []authority.Rule) []float64 {
	out := []float64{0}
	for _, r := range rules {
		if s := math.Nextafter(r.ShareOver, 2); r.ShareOver > 0 && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	const most = 16 // beyond that the ends stand for what is between them
	if slices.Sort(out); len(out) > most {
		out = []float64{0, out[len(out)-1]}
	}
	return out
}

// answers are the different answers that the plan's rules give, over acts ×
// kinds × levels × severities × shares × terms.
func (g *gate) answers() []answered {
	if g.rulings != nil {
		return g.rulings
	}
	var out []answered
	seen := map[string]bool{}
	ask := func(q authority.Question) {
		a := answered{authority.Ask(g.p.Authority, true, q), q.Act}
		key := fmt.Sprint(q.Act, a.Rules)
		if !seen[key] {
			seen[key] = true
			out = append(out, a)
		}
	}
	for _, act := range authority.Acts {
		cases := [][2]string{{"", ""}}
		switch act {
		case authority.Tighten, authority.Loosen:
			cases = corrections(0, 4)
		case authority.Irreversible:
			cases = [][2]string{{string(correction.Stop), "L5"}, {string(correction.Stop), "L6"}}
		}
		for _, k := range cases {
			for severity := 1; severity <= 4; severity++ {
				for _, share := range shares(g.p.Authority) {
					for _, forbid := range []bool{false, true} {
						ask(authority.Question{Act: act, Kind: k[0], Level: k[1], Severity: severity, Share: &share, TermsForbid: forbid})
					}
				}
			}
		}
	}
	g.rulings = out
	return out
}

// corrections are the kinds, and the levels of a stop.
func corrections(from, to int) [][2]string {
	var out [][2]string
	for _, k := range Kinds {
		if k != string(correction.Stop) {
			out = append(out, [2]string{k, ""})
		}
	}
	for l := from; l <= to; l++ {
		out = append(out, [2]string{string(correction.Stop), "L" + strconv.Itoa(l)})
	}
	return out
}

// authority checks that somebody may, and that enough others can agree.
func (g *gate) authority() {
	g.holes()
	named := map[authority.Role][]string{}
	for i := range g.p.Authority {
		r := &g.p.Authority[i]
		for _, role := range slices.Concat(r.Roles, r.Approvers) {
			if !slices.Contains(named[role], r.Name) {
				named[role] = append(named[role], r.Name)
			}
		}
	}
	holders := g.holdersOf
	for _, role := range authority.Roles {
		if rules := named[role]; len(rules) > 0 {
			g.ask(ruleNobodyHolds, "role/"+string(role), "authority", len(holders(authority.SetOf(role))) == 0, "nobody holds %s, which %s names", role, few(rules))
		}
	}
	alone := []string{}
	var quorums []*quorum
	for _, a := range g.answers() {
		if a.act == authority.Loosen && a.Approvals == 0 {
			alone = append(alone, a.Rules...)
		}
		if a.Approvals == 0 {
			continue
		}
		q := &quorum{act: a.act, others: a.Approvals, approvers: authority.SetOf(a.Approvers...)}
		i := slices.IndexFunc(quorums, func(o *quorum) bool { return o.act == q.act && o.others == q.others && o.approvers == q.approvers })
		if i < 0 {
			quorums = append(quorums, q)
			i = len(quorums) - 1
		}
		q = quorums[i]
		q.proposers |= authority.SetOf(a.Roles...)
		for _, r := range a.Rules {
			if !slices.Contains(q.rules, r) {
				q.rules = append(q.rules, r)
			}
		}
	}
	g.ask(ruleOwnLoosening, "act/loosen", "authority", len(alone) > 0, "one person alone can take a correction away (%s)", few(alone))
	for _, q := range quorums {
		g.quorum(q)
	}
}

// quorum is how many of whom have to agree to an act.
type quorum struct {
	act                  authority.Act
	others               int
	proposers, approvers authority.Set
	rules                []string
}

// quorum checks that enough people can agree once whoever proposes is left out.
func (g *gate) quorum(q *quorum) {
	subject := fmt.Sprintf("quorum/%s/%d-of-%s", q.act, q.others, strings.Join(q.approvers.Names(), "+"))
	path := "authority"
	if i := slices.IndexFunc(g.p.Authority, func(r authority.Rule) bool { return slices.Contains(q.rules, r.Name) && r.Approvals == q.others }); i >= 0 {
		path = ref("authority", i, "approvals")
	}
	proposers, pool := g.holdersOf(q.proposers), g.holdersOf(q.approvers)
	if len(proposers) == 0 {
		return // nobody holds the roles, which another rule says
	}
	var short []string
	for _, p := range proposers {
		others := len(pool)
		if slices.Contains(pool, p) {
			others--
		}
		if others < q.others {
			short = append(short, p)
		}
	}
	none := len(short) == len(proposers)
	takes := fmt.Sprintf("to %s takes %s of %s (%s)", actText(q.act), many(q.others, "other"), strings.Join(q.approvers.Names(), " or "), few(q.rules))
	g.ask(ruleNoQuorum, subject, path, none, "%s, and %s that in all", takes, holds(len(pool)))
	if !none {
		g.ask(ruleTightQuorum, subject, path, len(short) > 0, "%s; proposed by %s, fewer can agree", takes, few(short))
	}
}

func holds(n int) string {
	switch n {
	case 0:
		return "nobody holds"
	case 1:
		return "one person holds"
	}
	return fmt.Sprintf("%d people hold", n)
}

// many writes "1 other", "2 others".
func many(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// holdersOf are the people who hold any of the roles, sorted: by their accounts if
// those were seen, else by their teams.
func (g *gate) holdersOf(roles authority.Set) []string {
	var out []string
	for name, has := range g.roles {
		if has.Meets(roles) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// holes checks that no case is left to what is built in.
func (g *gate) holes() {
	open := map[authority.Act][]string{}
	for _, q := range authority.Uncovered(g.p.Authority) {
		what := "severity " + strconv.Itoa(q.Severity)
		if q.Kind != "" {
			what = strings.TrimSpace(q.Kind+" "+q.Level) + " at " + what
		}
		open[q.Act] = append(open[q.Act], what)
	}
	for _, l := range []string{"L5", "L6"} {
		for severity := 1; severity <= 4; severity++ {
			share := 0.0
			a := authority.Ask(g.p.Authority, true, authority.Question{Act: authority.Irreversible, Kind: string(correction.Stop), Level: l, Severity: severity, Share: &share})
			what := fmt.Sprintf("stop %s at severity %d", l, severity)
			if slices.Contains(a.Rules, authority.BuiltIn) && !slices.Contains(open[authority.Irreversible], what) {
				open[authority.Irreversible] = append(open[authority.Irreversible], what)
			}
		}
	}
	for _, act := range authority.Acts {
		rule := ruleBuiltIn
		switch act {
		case authority.Tighten, authority.Loosen, authority.Irreversible:
			rule = ruleHole
		}
		cases := open[act]
		g.ask(rule, "act/"+string(act), "authority", len(cases) > 0, "no rule says who may %s: %s", actText(act), few(cases))
	}
}

// actText is an act as a verb.
func actText(a authority.Act) string {
	switch a {
	case authority.Irreversible:
		return "seal or destroy weights"
	case authority.ApplyPlan:
		return "apply a plan"
	case authority.Staff:
		return "give roles"
	}
	return string(a)
}
