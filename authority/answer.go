package authority

import (
	"cmp"
	"slices"

	"andon/correction"
)

// BuiltIn is the name of the rules that hold where no plan says anything.
const BuiltIn = "built-in"

// builtIn is what an act takes that no rule is about. Before there is a plan, one
// person may do what can be undone; under a plan, whatever it forgot to loosen
// takes a second person.
func builtIn(act Act, planned bool) Rule {
	r := Rule{Name: BuiltIn, Acts: []Act{act}}
	switch act {
	case Tighten:
		r.Roles = []Role{Responder, Commander, Administrator}
	case Irreversible:
		r.Roles, r.Approvals, r.Within = []Role{Commander, Administrator}, 2, MaxWithin
		if !planned {
			r.Approvers = []Role{Commander, Approver, Administrator}
		}
	case Decide:
		r.Roles = []Role{Commander, Administrator}
	case Staff: // else who starts alone could never let a second person in
		r.Roles = []Role{Administrator}
	case Loosen:
		r.Roles = []Role{Commander, Administrator}
		r.Approvals = one(planned)
	case Unmask:
		r.Roles = []Role{Auditor, Administrator}
		r.Approvals = one(planned)
	default:
		r.Roles = []Role{Administrator}
		r.Approvals = one(planned)
	}
	return r
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Ask answers a question by rules. planned says that a plan is in force. Of the
// rules that apply the roles are those that all of them name, the approvals the
// most, the approvers those that all of them name, the deadline the shortest;
// a tightening stays if any of them says so, everything else lapses if any does.
func Ask(rules []Rule, planned bool, q Question) Answer {
	var a Answer
	var roles, approvers Set
	for _, r := range rules {
		if r.applies(q) {
			a.join(r, q.Act, &roles, &approvers)
		}
	}
	if len(a.Rules) == 0 {
		a.join(builtIn(q.Act, planned), q.Act, &roles, &approvers)
	}
	a.Roles, a.Approvers = roles.List(), approvers.List()
	return a
}

// join takes in the demands of one more rule.
func (a *Answer) join(r Rule, act Act, roles, approvers *Set) {
	theirs := SetOf(r.Approvers...)
	if len(r.Approvers) == 0 {
		theirs = SetOf(Approver, Commander)
	}
	within := cmp.Or(r.Within, defaultWithin)
	standard := Lapse
	if act == Tighten {
		standard = Stay
	}
	then := cmp.Or(r.Then, standard)
	if len(a.Rules) == 0 {
		*roles, *approvers, a.Within, a.Then = SetOf(r.Roles...), theirs, within, then
	} else {
		*roles &= SetOf(r.Roles...)
		*approvers &= theirs
		a.Within = min(a.Within, within)
		if a.Then != then {
			a.Then = standard
		}
	}
	a.Approvals = max(a.Approvals, r.Approvals)
	a.Rules = append(a.Rules, r.Name)
}

// applies says whether the rule's conditions hold. What is not known holds.
func (r *Rule) applies(q Question) bool {
	switch {
	case !slices.Contains(r.Acts, q.Act):
		return false
	case len(r.Kinds) > 0 && q.Kind != "" && !slices.ContainsFunc(r.Kinds, func(k string) bool { return kindFits(k, q.Kind, q.Level) }):
		return false
	case r.ShareOver > 0 && q.Share != nil && *q.Share <= r.ShareOver:
		return false
	case len(r.Severities) > 0 && q.Severity != 0 && !slices.Contains(r.Severities, q.Severity):
		return false
	}
	return !r.TermsForbid || q.TermsForbid
}

// kindFits says whether a correction is meant by "access", "stop", "L4", "L3+".
func kindFits(meant, kind, level string) bool {
	n, plus, isLevel := levelOf(meant)
	if !isLevel {
		return meant == kind
	}
	m, _, ok := levelOf(level)
	return kind == string(correction.Stop) && (!ok || m == n || plus && m > n)
}

// Fits says whether a correction of that kind and level is meant by one of the
// kinds, as rules, limits and terms write them. None at all means every one.
func Fits(kinds []string, kind, level string) bool {
	return len(kinds) == 0 || slices.ContainsFunc(kinds, func(k string) bool { return kindFits(k, kind, level) })
}

// levelOf reads "L3" and "L3+".
func levelOf(s string) (n int, plus, ok bool) {
	if len(s) == 3 && s[2] == '+' {
		s, plus = s[:2], true
	}
	if len(s) != 2 || s[0] != 'L' || s[1] < '0' || s[1] > '6' {
		return 0, false, false
	}
	return int(s[1] - '0'), plus, true
}

// BuiltInRules are the rules that hold before there is a plan.
func BuiltInRules() []Rule {
	var out []Rule
	for _, a := range Acts {
		out = append(out, builtIn(a, false))
	}
	return out
}

// AskAll answers several questions that are decided as one: the most demanding
// word of each answer counts.
func AskAll(rules []Rule, planned bool, qs ...Question) Answer {
	var a Answer
	for i, q := range qs {
		if b := Ask(rules, planned, q); i == 0 {
			a = b
		} else {
			a = a.And(b)
		}
	}
	return a
}

// And is what satisfies both answers: the most demanding word of each counts.
func (a Answer) And(b Answer) Answer {
	a.Rules = slices.Clone(a.Rules)
	for _, name := range b.Rules {
		if !slices.Contains(a.Rules, name) {
			a.Rules = append(a.Rules, name)
		}
	}
	a.Roles = (SetOf(a.Roles...) & SetOf(b.Roles...)).List()
	a.Approvers = (SetOf(a.Approvers...) & SetOf(b.Approvers...)).List()
	a.Approvals, a.Within = max(a.Approvals, b.Approvals), min(a.Within, b.Within)
	if b.Then != a.Then {
		a.Then = Lapse // among acts that wait: never carried by silence, closed instead
	}
	return a
}
