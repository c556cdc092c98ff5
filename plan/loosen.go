package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/authority"
	"andon/correction"
)

// missed says what is lost with an entry, for sections where that loosens.
var missed = map[string]string{
	"models": "a model is no longer in the inventory", "surfaces": "a way to models is no longer in the inventory", "partners": "a partner is no longer in the inventory",
	"threats": "a threat is no longer expected", "triggers": "nothing watches for it any more", "playbooks": "an answer is gone", "fallbacks": "nothing stands in any more",
	"limits": "a limit is gone", "rosters": "nobody is called by it any more", "dependants": "nobody is considered, told or held down for",
	"contacts": "nobody can be told there", "terms": "the agreement is no longer considered", "retention": "nothing says how long records are kept",
}

// direction is which way a field loosens.
type direction int

const (
	up     direction = iota // a number, a day or a length of time that grows
	down                    // one that shrinks
	lost                    // something that is no longer in the list, or no longer given
	gained                  // something that is new in the list
	off                     // true that is false now
)

// ways are the fields whose change loosens, by the section and the path without
// what stands in brackets.
var ways = map[string]struct {
	direction
	why string
}{
	"plan.review_by": {up, "people look again later"}, "plan.assurance": {lost, "nobody checks what the owner does"},
	"models.versions": {lost, "a version is no longer in the inventory"}, "models.derivatives": {lost, "a derivative is no longer in the inventory"},
	"models.surfaces": {lost, "a way to the model is no longer in the inventory"}, "models.fallback": {lost, "nothing stands in any more"},
	"surfaces.gateways": {lost, "fewer gateways stand in between"}, "partners.controls": {lost, "the partner carries out less"}, "partners.within": {up, "the partner takes longer"},
	"partners.contacts": {lost, "fewer people are reached"},
	"threats.severity":  {up, "it counts as less severe"}, "threats.models": {lost, "a model is left out"}, "threats.indicators": {lost, "it is seen by less"},
	"threats.triggers": {lost, "fewer triggers"}, "threats.playbooks": {lost, "fewer answers"}, "threats.detect_within": {up, "it may be seen later"}, "threats.review_by": {up, "people look again later"},
	"triggers.count": {up, "more has to happen"}, "triggers.window": {down, "it has to happen faster"}, "triggers.severity": {up, "it counts as less severe"},
	"triggers.stop_gap": {off, "its stop-gap is no longer pre-authorised"}, "triggers.playbook": {lost, "nothing is proposed any more"}, "triggers.ceiling": {down, "automation may do less"},
	"triggers.where": {gained, "it counts less"}, "triggers.owner": {lost, "nobody answers for it"},
	"playbooks.stop_gap": {lost, "no stop-gap any more"}, "playbooks.stop_gap.for": {down, "the stop-gap ends earlier"}, "playbooks.steps": {lost, "a step is gone"},
	"playbooks.exit": {lost, "less is asked before it is closed"}, "playbooks.steps.correction": {lost, "a rung is gone"},
	"limits.count": {up, "more before others look"}, "limits.per": {down, "more before others look"},
	"teams.members": {gained, "more people hold its roles"}, "teams.roles": {gained, "its members may do more"},
	"rosters.shifts.people": {lost, "fewer people are on call"}, "rosters.shifts.deputy": {lost, "nobody stands in"},
	"dependants.hold_down": {off, "it is cut without its fallback"}, "dependants.notice": {down, "it is told later"}, "dependants.contacts": {lost, "fewer people are told"},
	"dependants.orgs": {lost, "an org is no longer considered"}, "dependants.models": {lost, "a model is no longer considered"}, "dependants.fallback": {lost, "nothing stands in for it"},
	"dependants.criticality": {down, "it counts as less critical"},
	"contacts.channels":      {lost, "fewer ways to it"}, "contacts.verify_every": {up, "tested less often"},
	"terms.default": {up, "corrections need more than before"}, "terms.clauses.word": {up, "corrections need more than before"}, "terms.clauses.notice": {up, "corrections wait longer"},
}

var brackets = regexp.MustCompile(`\[[^\]]*\]`)

// weaker says why a change of a field loosens; "" if it does not.
func weaker(section, path string, a, b any) string {
	at := section + "." + brackets.ReplaceAllString(path, "")
	if section == "retention" && path == "keep" {
		return weakerKeep(a, b)
	}
	if at == "surfaces.route" {
		if scale(a) < scale(b) {
			return "less of ours stands in between"
		}
		return ""
	}
	w, known := ways[at]
	if !known {
		return ""
	}
	x, _ := a.([]any)
	y, _ := b.([]any)
	loosens := false
	switch w.direction {
	case up:
		loosens = a != nil && (b == nil || scale(b) > scale(a))
	case down:
		loosens = a != nil && (b == nil || scale(b) < scale(a))
	case lost: // an empty list of a threat's models is every model
		loosens = len(less(x, y)) > 0 && !(at == "threats.models" && len(y) == 0) || at == "threats.models" && len(x) == 0 && len(y) > 0 ||
			x == nil && a != nil && (b == nil || b == NoFallback)
	case gained:
		loosens = len(less(y, x)) > 0 || y == nil && a == nil && b != nil
	case off:
		loosens = a == true && b != true
	}
	if loosens {
		return w.why
	}
	return ""
}

// weakerKeep is about retention: records of what was decided go earlier, or those
// of people stay longer.
func weakerKeep(a, b any) string {
	switch {
	case scale(b) < scale(a):
		return "records go earlier"
	case scale(b) > scale(a):
		return "records of people are kept longer"
	}
	return ""
}

// scale puts a value on a scale: numbers, days, lengths of time, words that have
// an order.
func scale(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case string:
		for _, words := range [][]string{Criticalities, ceilings, termWords, {RouteGateway, RoutePartner, RouteDirect}} {
			if i := slices.Index(words, v); i >= 0 {
				return float64(i)
			}
		}
		if d, err := ParseDate(v); err == nil {
			return float64(d.Unix())
		}
		if d, err := correction.ParseDuration(v); err == nil {
			return float64(d)
		}
	}
	return 0
}

// acts compares what authority comes to: every kind of case is asked of both
// plans. So a rule that is written otherwise and means the same is no change,
// and one that opens a case elsewhere is found.
func acts(old, new *Plan) []Change {
	if old == nil || new == nil {
		return nil
	}
	type group struct {
		Change
		cases int
		first string
	}
	var groups []*group
	shares := []float64{0, 1}
	for _, p := range []*Plan{old, new} {
		for _, r := range p.Authority {
			shares = append(shares, r.ShareOver)
		}
	}
	slices.Sort(shares)
	shares = slices.Compact(shares)
	for _, act := range authority.Acts {
		for _, q := range questions(act, shares) {
			a, b := authority.Ask(old.Authority, true, q), authority.Ask(new.Authority, true, q)
			for _, c := range compare(a, b, act) {
				i := slices.IndexFunc(groups, func(g *group) bool { return g.Change == c })
				if i < 0 {
					i = len(groups)
					groups = append(groups, &group{Change: c, first: caseWords(q)})
				}
				groups[i].cases++
			}
		}
	}
	var out []Change
	for _, g := range groups {
		g.Loosens += fmt.Sprintf(" (in %d cases, such as: %s)", g.cases, g.first)
		out = append(out, g.Change)
	}
	return out
}

// questions are the cases of an act that rules can tell apart.
func questions(act authority.Act, shares []float64) (out []authority.Question) {
	kinds := [][2]string{{"", ""}}
	if act == authority.Tighten || act == authority.Loosen || act == authority.Irreversible {
		kinds = nil
		for _, k := range Kinds[1:] {
			kinds = append(kinds, [2]string{k, ""})
		}
		for l := range 7 {
			kinds = append(kinds, [2]string{string(correction.Stop), "L" + strconv.Itoa(l)})
		}
	}
	for _, k := range kinds {
		for severity := 1; severity <= 4; severity++ {
			for i := range shares {
				for _, forbid := range []bool{false, true} {
					out = append(out, authority.Question{Act: act, Kind: k[0], Level: k[1], Share: &shares[i], Severity: severity, TermsForbid: forbid})
				}
			}
		}
	}
	return out
}

// compare says in which words an answer asks for less than the one before.
func compare(a, b authority.Answer, act authority.Act) (out []Change) {
	add := func(field string, old, new any, why string) {
		out = append(out, Change{Section: "acts", Name: string(act), Field: field, What: Changed, Old: fmt.Sprint(old), New: fmt.Sprint(new), Loosens: why})
	}
	if b.Approvals < a.Approvals {
		add("approvals", a.Approvals, b.Approvals, "fewer others have to agree")
	}
	was, is := authority.SetOf(a.Roles...), authority.SetOf(b.Roles...)
	if is&^was != 0 {
		add("roles", was, is, "more people may do it")
	}
	if act == authority.Tighten && was&^is != 0 {
		add("roles", was, is, "fewer people may tighten")
	}
	if b.Approvals == 0 {
		return out
	}
	if was, is := authority.SetOf(a.Approvers...), authority.SetOf(b.Approvers...); a.Approvals > 0 && is&^was != 0 {
		add("approvers", was, is, "more people may agree to it")
	}
	if a.Approvals > 0 && b.Within > a.Within {
		add("within", time.Duration(a.Within), time.Duration(b.Within), "others have longer to look")
	}
	if act == authority.Tighten && a.Approvals > 0 && a.Then == authority.Stay && b.Then == authority.Lapse {
		add("then", a.Then, b.Then, "what nobody ratifies ends")
	}
	return out
}

func caseWords(q authority.Question) string {
	s := "severity " + strconv.Itoa(q.Severity)
	if q.Kind != "" {
		s = strings.TrimSpace(q.Kind+" "+q.Level) + ", " + s
	}
	if q.Share != nil && *q.Share > 0 {
		s += fmt.Sprintf(", share %g", *q.Share)
	}
	if q.TermsForbid {
		s += ", against the terms"
	}
	return s
}
