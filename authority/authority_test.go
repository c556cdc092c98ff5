package authority

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"andon/correction"
)

const hour = correction.Duration(3600e9)

// small is the rules of a company: one responder tightens at once, a broad stop
// is looked at by two others, loosening takes one more person, and a stop two.
var small = []Rule{
	{Name: "anyone on call tightens", Acts: []Act{Tighten}, Roles: []Role{Responder, Commander}, Approvals: 1, Within: 4 * hour},
	{Name: "broad", Acts: []Act{Tighten}, ShareOver: 0.25, Roles: []Role{Responder, Commander}, Approvals: 2, Within: hour},
	{Name: "loosen", Acts: []Act{Loosen}, Roles: []Role{Commander}, Approvals: 1, Approvers: []Role{Approver, Commander}},
	{Name: "loosen a stop", Acts: []Act{Loosen}, Kinds: []string{"L3+"}, Roles: []Role{Commander}, Approvals: 2, Approvers: []Role{Approver}},
}

func share(f float64) *float64 { return &f }

func TestAsk(t *testing.T) {
	for _, tc := range []struct {
		q         Question
		rules     string
		roles     string
		approvals int
		approvers string
		within    correction.Duration
		then      string
	}{
		{Question{Act: Tighten, Kind: "access", Share: share(0.01)}, "anyone on call tightens", "responder, commander", 1, "commander, approver", 4 * hour, Stay},
		{Question{Act: Tighten, Kind: "access", Share: share(0.25)}, "anyone on call tightens", "responder, commander", 1, "commander, approver", 4 * hour, Stay},
		{Question{Act: Tighten, Kind: "stop", Level: "L3", Share: share(0.26)}, "anyone on call tightens+broad", "responder, commander", 2, "commander, approver", hour, Stay},
		{Question{Act: Tighten, Kind: "stop", Level: "L3"}, "anyone on call tightens+broad", "responder, commander", 2, "commander, approver", hour, Stay},
		{Question{Act: Loosen, Kind: "access"}, "loosen", "commander", 1, "commander, approver", hour, Lapse},
		{Question{Act: Loosen, Kind: "stop", Level: "L2"}, "loosen", "commander", 1, "commander, approver", hour, Lapse},
		{Question{Act: Loosen, Kind: "stop", Level: "L4"}, "loosen+loosen a stop", "commander", 2, "approver", hour, Lapse},
		{Question{Act: Loosen, Kind: "stop"}, "loosen+loosen a stop", "commander", 2, "approver", hour, Lapse},
		{Question{Act: ApplyPlan}, BuiltIn, "administrator", 1, "commander, approver", hour, Lapse},
		{Question{Act: Irreversible, Kind: "stop", Level: "L6"}, BuiltIn, "commander, administrator", 2, "commander, approver", MaxWithin, Lapse},
	} {
		a := Ask(small, true, tc.q)
		if got := strings.Join(a.Rules, "+"); got != tc.rules {
			t.Errorf("%+v: rules %s", tc.q, got)
		}
		if SetOf(a.Roles...).String() != tc.roles || a.Approvals != tc.approvals || SetOf(a.Approvers...).String() != tc.approvers || a.Within != tc.within || a.Then != tc.then {
			t.Errorf("%+v: %+v", tc.q, a)
		}
	}
	if a := Ask(nil, false, Question{Act: Loosen}); a.Approvals != 0 || !a.May(SetOf(Administrator)) {
		t.Errorf("without a plan one person must be able to undo: %+v", a)
	}
	if a := Ask(nil, false, Question{Act: Irreversible}); a.Approvals < 2 {
		t.Errorf("what can not be undone always takes a quorum: %+v", a)
	}
}

// TestAnotherRuleNeverLoosens is what makes rules safe to add: whoever may act
// under more rules could under fewer, and needs no fewer approvals.
func TestAnotherRuleNeverLoosens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(genRule), 1, 6).Draw(t, "rules")
		q := Question{Act: rapid.SampledFrom(Acts).Draw(t, "act"), Kind: rapid.SampledFrom(append(kindNames, "")).Draw(t, "kind"),
			Severity: rapid.IntRange(0, 4).Draw(t, "severity"), TermsForbid: rapid.Bool().Draw(t, "terms")}
		if rapid.Bool().Draw(t, "measured") {
			q.Share = share(rapid.Float64Range(0, 1).Draw(t, "share"))
		}
		if q.Kind == "stop" && rapid.Bool().Draw(t, "level known") {
			q.Level = rapid.SampledFrom([]string{"L0", "L3", "L4"}).Draw(t, "level")
		}
		more, fewer := Ask(rules, true, q), Ask(rules[:len(rules)-1], true, q)
		if fewer.Rules[0] == BuiltIn {
			return // the built-in rule stands only where there is no other
		}
		if SetOf(more.Roles...)&^SetOf(fewer.Roles...) != 0 || more.Approvals < fewer.Approvals || SetOf(more.Approvers...)&^SetOf(fewer.Approvers...) != 0 || more.Within > fewer.Within {
			t.Fatalf("looser with one more rule:\n%+v\n%+v", more, fewer)
		}
		// To know more never demands more.
		if q.Share == nil {
			known := q
			known.Share = share(rapid.Float64Range(0, 1).Draw(t, "then measured"))
			if k := Ask(rules, true, known); k.Rules[0] != BuiltIn && k.Approvals > more.Approvals {
				t.Fatalf("measuring the share demanded more: %+v, before %+v", k, more)
			}
		}
		shuffled := rapid.Permutation(rules).Draw(t, "order")
		a, b := Ask(shuffled, true, q), Ask(rules, true, q)
		slices.Sort(a.Rules)
		slices.Sort(b.Rules)
		if !slices.Equal(a.Rules, b.Rules) || !slices.Equal(a.Roles, b.Roles) || a.Approvals != b.Approvals || a.Then != b.Then || a.Within != b.Within {
			t.Fatalf("the order of rules decides:\n%+v\n%+v", a, b)
		}
	})
}

func genRule(t *rapid.T) Rule {
	return Rule{
		Name:       rapid.StringMatching(`[a-z]{4}`).Draw(t, "name"),
		Acts:       rapid.SliceOfNDistinct(rapid.SampledFrom(Acts), 1, 3, rapid.ID).Draw(t, "acts"),
		Kinds:      rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"access", "rate", "stop", "L3", "L3+"}), 0, 3, rapid.ID).Draw(t, "kinds"),
		ShareOver:  rapid.SampledFrom([]float64{0, 0, 0.1, 0.5}).Draw(t, "share"),
		Severities: rapid.SliceOfNDistinct(rapid.IntRange(1, 4), 0, 3, rapid.ID).Draw(t, "severities"),
		Roles:      rapid.SliceOfNDistinct(rapid.SampledFrom(Roles), 1, 4, rapid.ID).Draw(t, "roles"),
		Approvals:  rapid.IntRange(0, 4).Draw(t, "approvals"),
		Approvers:  rapid.SliceOfNDistinct(rapid.SampledFrom(Roles), 0, 4, rapid.ID).Draw(t, "approvers"),
		Within:     rapid.SampledFrom([]correction.Duration{0, hour, 9 * hour}).Draw(t, "within"),
		Then:       rapid.SampledFrom([]string{"", Lapse, Stay}).Draw(t, "then"),
	}
}

func TestCheck(t *testing.T) {
	if faults := Check(small); len(faults) > 0 {
		t.Fatalf("%+v", faults)
	}
	good := Rule{Name: "x", Acts: []Act{Tighten}, Roles: []Role{Responder}}
	for name, tc := range map[string]struct {
		change func(*Rule)
		field  string
		says   string
	}{
		"no name":          {func(r *Rule) { r.Name = "" }, "name", "missing"},
		"two lines":        {func(r *Rule) { r.Name = "a\nb" }, "name", "one line"},
		"no act":           {func(r *Rule) { r.Acts = nil }, "acts", "missing"},
		"unknown act":      {func(r *Rule) { r.Acts = []Act{"destroy"} }, "acts[0]", `"destroy" is no act`},
		"unknown kind":     {func(r *Rule) { r.Kinds = []string{"access", "L7"} }, "kinds[1]", `"L7"`},
		"share":            {func(r *Rule) { r.ShareOver = 25 }, "share_over", "25"},
		"severity":         {func(r *Rule) { r.Severities = []int{0} }, "severities[0]", "0 is no severity"},
		"nobody":           {func(r *Rule) { r.Roles = nil }, "roles", "nobody could"},
		"unknown role":     {func(r *Rule) { r.Roles = []Role{"boss"} }, "roles[0]", `"boss" is no role`},
		"unknown approver": {func(r *Rule) { r.Approvers = []Role{"boss"} }, "approvers[0]", `"boss" is no role`},
		"approvals":        {func(r *Rule) { r.Approvals = 10 }, "approvals", "0 to 9"},
		"irreversible":     {func(r *Rule) { r.Acts, r.Approvals = []Act{Irreversible}, 1 }, "approvals", "at least 2"},
		"within":           {func(r *Rule) { r.Within = 1 }, "within", "5m to 30d"},
		"then":             {func(r *Rule) { r.Then = "maybe" }, "then", `"maybe"`},
	} {
		r := good
		tc.change(&r)
		faults := Check([]Rule{r})
		if len(faults) == 0 || faults[0].Field != tc.field || !strings.Contains(faults[0].Detail, tc.says) {
			t.Errorf("%s: %+v", name, faults)
		}
	}
	for name, pair := range map[string][2]Rule{
		"roles apart":     {{Acts: []Act{Loosen}, Roles: []Role{Commander}}, {Acts: []Act{Tighten, Loosen}, Roles: []Role{Administrator}}},
		"approvers apart": {{Acts: []Act{Loosen}, Roles: []Role{Commander}, Approvals: 1, Approvers: []Role{Auditor}}, {Acts: []Act{Loosen}, Roles: []Role{Commander}, Approvers: []Role{Approver}}},
		"then":            {{Acts: []Act{Tighten}, Roles: []Role{Commander}, Then: Stay}, {Acts: []Act{Tighten}, Kinds: []string{"L4"}, Roles: []Role{Commander}, Then: Lapse}},
	} {
		pair[0].Name, pair[1].Name = "one", "two"
		if faults := Check(pair[:]); len(faults) != 1 || faults[0].Rule != 1 || !strings.Contains(faults[0].Detail, `"one"`) {
			t.Errorf("%s: %+v", name, faults)
		}
		apart := pair
		apart[0].Severities, apart[1].Severities = []int{1}, []int{2, 3}
		// Without an incident the rules of every severity apply, so somebody has to
		// be left then, too.
		if faults := Check(apart[:]); (len(faults) == 0) != (name == "then") || len(faults) > 0 && !strings.Contains(faults[0].Detail, "without an incident") {
			t.Errorf("%s, never both but without an incident: %+v", name, faults)
		}
		apart = pair
		apart[0].Kinds, apart[1].Kinds = []string{"L2"}, []string{"L3+", "rate"}
		if faults := Check(apart[:]); len(faults) != 0 {
			t.Errorf("%s, never both kinds: %+v", name, faults)
		}
	}
	if faults := Check([]Rule{good, good}); len(faults) != 1 || !strings.Contains(faults[0].Detail, "twice") {
		t.Errorf("%+v", faults)
	}
}

func TestUncovered(t *testing.T) {
	left := Uncovered(small)
	if slices.ContainsFunc(left, func(q Question) bool { return q.Act == Tighten || q.Act == Loosen }) {
		t.Errorf("%+v", left)
	}
	if !slices.ContainsFunc(left, func(q Question) bool { return q.Act == ApplyPlan }) {
		t.Error("nobody said who applies a plan")
	}
	if left := Uncovered([]Rule{{Name: "x", Acts: Acts, Severities: []int{1, 2, 3}, Roles: []Role{Commander}}}); len(left) == 0 || left[0].Severity != 4 {
		t.Errorf("%+v", left)
	}
}

func TestRoles(t *testing.T) {
	if s, err := ParseRoles("viewer", "auditor"); err != nil || s.String() != "viewer, auditor" || s.Has(Commander) || !s.Meets(All) {
		t.Error(s, err)
	}
	for _, bad := range [][]string{nil, {""}, {"Viewer"}, {"viewer", "root"}} {
		if s, err := ParseRoles(bad...); err == nil {
			t.Error(bad, s)
		}
	}
}

// TestRulesThatCloseACaseTogether: each two of them could be kept.
func TestRulesThatCloseACaseTogether(t *testing.T) {
	rule := func(name string, act Act, roles ...Role) Rule {
		return Rule{Name: name, Acts: []Act{act}, Roles: roles}
	}
	three := []Rule{rule("a", Loosen, Commander, Approver), rule("b", Loosen, Approver, Administrator), rule("c", Loosen, Commander, Administrator)}
	kinds := []Rule{rule("a", ApplyPlan, Administrator), rule("b", ApplyPlan, Commander)}
	kinds[0].Kinds, kinds[1].Kinds = []string{"access"}, []string{"stop"} // an act without a kind meets both
	unsaid := []Rule{rule("a", Loosen, Commander), rule("b", Loosen, Commander)}
	unsaid[0].Approvals, unsaid[1].Approvers = 1, []Role{Auditor} // the first one's are approver and commander
	for name, tc := range map[string]struct {
		rules []Rule
		says  string
	}{"three": {three, "a, b, c apply together"}, "no kind": {kinds, "nobody could do it"}, "standard approvers": {unsaid, "nobody could approve it"}} {
		faults := Check(tc.rules)
		if len(faults) == 0 || !strings.Contains(faults[0].Detail, tc.says) || faults[0].Rule != len(tc.rules)-1 {
			t.Errorf("%s: %+v", name, faults)
		}
		if a := Ask(tc.rules, true, Question{Act: tc.rules[0].Acts[0], Kind: "", Level: ""}); len(a.Roles) > 0 && len(a.Approvers) > 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
