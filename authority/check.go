package authority

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"andon/correction"
)

// Fault is something wrong with a list of rules or limits.
type Fault struct {
	Rule    int      // index in the list
	Field   string   // of the rule: "roles", "kinds[1]"; "" for the whole
	Detail  string   // what is wrong
	Allowed []string // what may stand there
}

var kindNames = []string{string(correction.Access), string(correction.Rate), string(correction.Capability), string(correction.Use), string(correction.Stop)}

// Check finds what is wrong with rules: what is not known, what is out of
// bounds, and rules that contradict each other, so that nobody could act.
func Check(rules []Rule) []Fault {
	var out []Fault
	for i := range rules {
		add := func(field, detail string, allowed ...string) {
			out = append(out, Fault{i, field, detail, allowed})
		}
		r := &rules[i]
		checkName(add, r.Name, i, func(j int) string { return rules[j].Name })
		r.checkConditions(add)
		r.checkDemands(add)
		for j := range i {
			if why := contradicts(&rules[j], r); why != "" {
				add("", fmt.Sprintf("contradicts the rule %q: both can apply to one act, and %s", rules[j].Name, why))
			}
		}
	}
	if len(out) == 0 {
		out = closed(rules)
	}
	return out
}

// closed finds cases that nobody could do, or nobody approve, though no two rules
// contradict each other: of three rules, each two of which share a role; by who
// approves where nothing is said; and where a correction has no incident, so that
// the rules of every severity apply.
func closed(rules []Rule) []Fault {
	at := map[string]int{}
	for i := range rules {
		at[rules[i].Name] = i
	}
	told := map[string]bool{}
	var out []Fault
	for _, q := range cases() {
		a := Ask(rules, true, q)
		why := ""
		switch {
		case len(a.Roles) == 0:
			why = "no role is in all, so nobody could do it"
		case a.Approvals > 0 && len(a.Approvers) == 0:
			why = "no role is among the approvers of all (approver and commander, where none are given), so nobody could approve it"
		}
		names := strings.Join(a.Rules, ", ")
		if why == "" || told[names] {
			continue
		}
		told[names] = true
		on := string(q.Act)
		if q.Kind != "" {
			on += " by " + strings.TrimSpace(q.Kind+" "+q.Level)
		}
		if q.Severity == 0 && q.Act != Unmask && q.Act != Staff && q.Act != Rekey && q.Act != ApplyPlan {
			on += " without an incident"
		}
		out = append(out, Fault{Rule: at[a.Rules[len(a.Rules)-1]], Detail: fmt.Sprintf("contradicts others: %s apply together (%s), and %s", names, on, why)})
	}
	return out
}

// cases are those in which the most rules apply: of each kind and severity, with
// all traffic reached and against the terms.
func cases() (out []Question) {
	for _, act := range Acts {
		kinds := [][2]string{{"", ""}}
		switch act {
		case Tighten, Loosen:
			kinds = nil
			for _, k := range kindNames[:4] {
				kinds = append(kinds, [2]string{k, ""})
			}
			for l := range 7 {
				kinds = append(kinds, [2]string{string(correction.Stop), "L" + strconv.Itoa(l)})
			}
		case Irreversible:
			kinds = [][2]string{{string(correction.Stop), "L5"}, {string(correction.Stop), "L6"}}
		}
		for _, k := range kinds {
			for severity := range 5 {
				out = append(out, Question{Act: act, Kind: k[0], Level: k[1], Severity: severity, TermsForbid: true})
			}
		}
	}
	return out
}

type adder = func(field, detail string, allowed ...string)

func checkName(add adder, name string, i int, other func(int) string) {
	switch {
	case name == "":
		add("name", "missing: people are told by name which rule decided")
	case name == BuiltIn:
		add("name", "is the name of the rules that are built in")
	case len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		add("name", "must be one line of at most 100 bytes")
	}
	for j := range i {
		if other(j) == name {
			add("name", strconv.Quote(name)+" is there twice")
			return
		}
	}
}

func checkKinds(add adder, kinds []string) {
	for i, k := range kinds {
		if _, _, level := levelOf(k); !level && !slices.Contains(kindNames, k) {
			add(fmt.Sprintf("kinds[%d]", i), strconv.Quote(k)+" is neither a kind of correction nor a level", append(slices.Clone(kindNames), "L0 to L6", "L0+ to L5+")...)
		}
	}
}

func (r *Rule) checkConditions(add adder) {
	if len(r.Acts) == 0 {
		add("acts", "missing", ActNames()...)
	}
	for i, a := range r.Acts {
		if !slices.Contains(Acts, a) {
			add(fmt.Sprintf("acts[%d]", i), strconv.Quote(string(a))+" is no act", ActNames()...)
		}
	}
	checkKinds(add, r.Kinds)
	if !(r.ShareOver >= 0 && r.ShareOver < 1) {
		add("share_over", fmt.Sprintf("%v is out of bounds; give a share of at least 0 and below 1", r.ShareOver))
	}
	for i, s := range r.Severities {
		if s < 1 || s > 4 {
			add(fmt.Sprintf("severities[%d]", i), fmt.Sprintf("%d is no severity", s), "1", "2", "3", "4")
		}
	}
}

func (r *Rule) checkDemands(add adder) {
	for _, f := range []struct {
		name  string
		roles []Role
	}{{"roles", r.Roles}, {"approvers", r.Approvers}} {
		for i, role := range f.roles {
			if SetOf(role) == 0 {
				add(fmt.Sprintf("%s[%d]", f.name, i), strconv.Quote(string(role))+" is no role", All.Names()...)
			}
		}
	}
	if len(r.Roles) == 0 {
		add("roles", "missing: nobody could do it", All.Names()...)
	}
	if r.Approvals < 0 || r.Approvals > MaxApprovals {
		add("approvals", fmt.Sprintf("%d is out of bounds; give 0 to %d", r.Approvals, MaxApprovals))
	}
	if slices.Contains(r.Acts, Irreversible) && r.Approvals < 2 {
		add("approvals", fmt.Sprintf("%d is too few: what can not be undone takes at least 2 others", r.Approvals))
	}
	if r.Within != 0 && (r.Within < MinWithin || r.Within > MaxWithin) {
		add("within", r.Within.String()+" is out of bounds; give 5m to 30d")
	}
	if r.Then != "" && r.Then != Lapse && r.Then != Stay {
		add("then", strconv.Quote(r.Then)+" is not known", Lapse, Stay)
	}
}

// contradicts says why two rules can not both be kept; "" if they can.
func contradicts(a, b *Rule) string {
	if !overlap(a.Acts, b.Acts) || !severitiesMeet(a, b) || !kindsMeet(a.Kinds, b.Kinds) {
		return ""
	}
	if len(a.Roles) > 0 && len(b.Roles) > 0 && !SetOf(a.Roles...).Meets(SetOf(b.Roles...)) {
		return "no role is in both, so nobody could do it"
	}
	if len(a.Approvers) > 0 && len(b.Approvers) > 0 && a.Approvals+b.Approvals > 0 && !SetOf(a.Approvers...).Meets(SetOf(b.Approvers...)) {
		return "no role is among the approvers of both, so nobody could approve it"
	}
	if a.Then != "" && b.Then != "" && a.Then != b.Then {
		return "one says " + a.Then + " and the other " + b.Then
	}
	return ""
}

func overlap[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}

func severitiesMeet(a, b *Rule) bool {
	return len(a.Severities) == 0 || len(b.Severities) == 0 || overlap(a.Severities, b.Severities)
}

// kindsMeet says whether some correction is meant by both.
func kindsMeet(a, b []string) bool {
	for _, k := range kindNames {
		levels := []string{""}
		if k == string(correction.Stop) {
			levels = []string{"L0", "L1", "L2", "L3", "L4", "L5", "L6"}
		}
		for _, l := range levels {
			if Fits(a, k, l) && Fits(b, k, l) {
				return true
			}
		}
	}
	return false
}

// CheckLimits finds what is wrong with limits.
func CheckLimits(limits []Limit) []Fault {
	var out []Fault
	for i, l := range limits {
		add := func(field, detail string, allowed ...string) { out = append(out, Fault{i, field, detail, allowed}) }
		checkName(add, l.Name, i, func(j int) string { return limits[j].Name })
		checkKinds(add, l.Kinds)
		if l.Count < 1 || l.Count > 10_000 {
			add("count", fmt.Sprintf("%d is out of bounds; give 1 to 10,000", l.Count))
		}
		if l.Per < correction.Duration(60e9) || l.Per > MaxWithin {
			add("per", l.Per.String()+" is out of bounds; give 1m to 30d")
		}
	}
	return out
}

// Uncovered lists the cases of tightening and loosening that no rule is about:
// the built-in rules would decide them.
func Uncovered(rules []Rule) []Question {
	var out []Question
	small := 0.0
	for _, act := range Acts {
		kinds := [][2]string{{"", ""}}
		if act == Tighten || act == Loosen {
			kinds = nil
			for _, k := range kindNames[:4] {
				kinds = append(kinds, [2]string{k, ""})
			}
			for l := range 5 {
				kinds = append(kinds, [2]string{string(correction.Stop), "L" + strconv.Itoa(l)})
			}
		}
		for _, k := range kinds {
			for severity := 1; severity <= 4; severity++ {
				q := Question{Act: act, Kind: k[0], Level: k[1], Share: &small, Severity: severity}
				if !slices.ContainsFunc(rules, func(r Rule) bool { return r.applies(q) }) {
					out = append(out, q)
				}
			}
		}
	}
	return out
}

// ActNames are the acts as text.
func ActNames() []string {
	var out []string
	for _, a := range Acts {
		out = append(out, string(a))
	}
	return out
}
