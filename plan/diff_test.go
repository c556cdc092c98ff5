package plan

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"andon/authority"
	"andon/correction"
)

// line is a change on one line: "~ threats leaking-data severity 1 → 3 ! it counts as less severe".
func line(c *Change) string {
	s := map[string]string{Added: "+", Removed: "-", Changed: "~"}[c.What] + " " + strings.Join(strings.Fields(c.Section+" "+c.Name+" "+strings.ReplaceAll(c.Field, " ", "_")), " ")
	if c.Old+c.New != "" {
		s += " " + c.Old + " → " + c.New
	}
	if c.Loosens != "" {
		s += " ! " + c.Loosens
	}
	return s
}

func TestDiff(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Plan)
		want   []string
	}{
		"nothing":            {func(*Plan) {}, nil},
		"the order of names": {func(p *Plan) { slices.Reverse(p.Models[0].Surfaces); slices.Reverse(p.Threats) }, nil},
		"review later":       {func(p *Plan) { p.ReviewBy.Time = p.ReviewBy.AddDate(0, 1, 0) }, []string{"~ plan review_by 2027-05-25 → 2027-06-25 ! people look again later"}},
		"review earlier":     {func(p *Plan) { p.ReviewBy.Time = p.ReviewBy.AddDate(0, -1, 0) }, []string{"~ plan review_by 2027-05-25 → 2027-04-25"}},
		"nobody checks":      {func(p *Plan) { p.Assurance = "" }, []string{"- plan assurance board →  ! nobody checks what the owner does"}},
		"threat gone":        {func(p *Plan) { p.Threats = p.Threats[1:] }, []string{"- threats harmful-answers ! a threat is no longer expected"}},
		"trigger gone":       {func(p *Plan) { p.Triggers = p.Triggers[1:] }, []string{"- triggers many-filter-hits ! nothing watches for it any more"}},
		"dependant gone":     {func(p *Plan) { p.Dependants = nil }, []string{"- dependants support-customers ! nobody is considered, told or held down for"}},
		"one more":           {func(p *Plan) { p.Contacts = append(p.Contacts, Contact{Name: "x"}) }, []string{"+ contacts x"}},
		"less severe":        {func(p *Plan) { p.Threats[1].Severity = 2 }, []string{"~ threats leaking-data severity 1 → 2 ! it counts as less severe"}},
		"more severe":        {func(p *Plan) { p.Threats[0].Severity = 1 }, []string{"~ threats harmful-answers severity 2 → 1"}},
		"some models":        {func(p *Plan) { p.Threats[1].Models = []string{"sim-large"} }, []string{"+ threats leaking-data models  → sim-large ! a model is left out"}},
		"all models":         {func(p *Plan) { p.Threats[0].Models = nil }, []string{"- threats harmful-answers models sim-large → "}},
		"fewer indicators":   {func(p *Plan) { p.Threats[0].Indicators = p.Threats[0].Indicators[:1] }, []string{"~ threats harmful-answers indicators complaints about answers, the filter finds something → complaints about answers ! it is seen by less"}},
		"an indicator":       {func(p *Plan) { p.Threats[0].Indicators[0].Signal = "x" }, []string{"~ threats harmful-answers indicators[complaints_about_answers].signal report.customer → x"}},
		"more has to happen": {func(p *Plan) { p.Triggers[0].Count = 40 }, []string{"~ triggers many-filter-hits count 20 → 40 ! more has to happen"}},
		"and faster":         {func(p *Plan) { p.Triggers[0].Window = correction.Duration(60e9) }, []string{"~ triggers many-filter-hits window 10m → 1m ! it has to happen faster"}},
		"narrower":           {func(p *Plan) { p.Triggers[1].Where["x"] = "y" }, []string{"+ triggers a-leak-is-reported where.x  → y"}},
		"not by itself":      {func(p *Plan) { p.Triggers[1].StopGap = false }, []string{"- triggers a-leak-is-reported stop_gap true →  ! its stop-gap is no longer pre-authorised"}},
		"a lower ceiling":    {func(p *Plan) { p.Triggers[1].Ceiling = "L1" }, []string{"~ triggers a-leak-is-reported ceiling L2 → L1 ! automation may do less"}},
		"a step less":        {func(p *Plan) { p.Playbooks[3].Steps = p.Playbooks[3].Steps[1:] }, []string{"~ playbooks provider-withdraws steps keep what is there, let running work finish, tell the customers → let running work finish, tell the customers ! a step is gone"}},
		"another order":      {func(p *Plan) { slices.Reverse(p.Playbooks[3].Steps) }, []string{"~ playbooks provider-withdraws steps keep what is there, let running work finish, tell the customers → tell the customers, let running work finish, keep what is there"}},
		"a level":            {func(p *Plan) { p.Playbooks[3].Steps[1].Correction.Params.Level = "L3" }, []string{"~ playbooks provider-withdraws steps[let_running_work_finish].correction.params.level L2 → L3"}},
		"no stop-gap": {func(p *Plan) { p.Playbooks[1].StopGap = nil }, []string{`- playbooks leaking-data stop_gap {"corrections":[{"fallback":"sim-small","kind":"stop","params":{"drain":"30s","level":"L2"},"reason":"Stop-gap: data of others may be in answers.",` +
			`"scope":{"models":["sim-large"]}}],"for":"1h"} →  ! no stop-gap any more`}},
		"a member more":     {func(p *Plan) { p.Teams[1].Members = append(p.Teams[1].Members, "x") }, []string{"~ teams leads members lead-1, lead-2 → lead-1, lead-2, x ! more people hold its roles"}},
		"a member less":     {func(p *Plan) { p.Teams[1].Members = p.Teams[1].Members[:1] }, []string{"~ teams leads members lead-1, lead-2 → lead-1"}},
		"wider roles":       {func(p *Plan) { p.Teams[0].Roles = append(p.Teams[0].Roles, authority.Commander) }, []string{"~ teams operations roles responder → responder, commander ! its members may do more"}},
		"not held down":     {func(p *Plan) { p.Dependants[0].HoldDown = false }, []string{"- dependants support-customers hold_down true →  ! it is cut without its fallback"}},
		"less critical":     {func(p *Plan) { p.Dependants[0].Criticality = "low" }, []string{"~ dependants support-customers criticality high → low ! it counts as less critical"}},
		"no deputy":         {func(p *Plan) { p.Rosters[1].Shifts[0].Deputy = "" }, []string{"- rosters leads-on-call shifts[0].deputy lead-2 →  ! nobody stands in"}},
		"around the gate":   {func(p *Plan) { p.Surfaces[0].Route = RouteDirect }, []string{"~ surfaces help-desk route gateway → direct ! less of ours stands in between"}},
		"tested less often": {func(p *Plan) { p.Contacts[0].Every = 200 * day }, []string{"+ contacts operations-phone verify_every  → 200d"}},
		"an address":        {func(p *Plan) { p.Contacts[0].Channels[0].Address = "+49 30 555 0123" }, []string{"~ contacts operations-phone channels[0].address"}},
		"records":           {func(p *Plan) { p.Retention[0].Keep = day }, []string{"~ retention requests keep 30d → 1d ! records go earlier"}},
		"no fallback":       {func(p *Plan) { p.Models[0].Fallback, p.Models[0].NoFallback = NoFallback, "x" }, []string{"~ models sim-large fallback small-for-large → none ! nothing stands in any more", "+ models sim-large no_fallback  → x"}},
		"fewer approvals": {func(p *Plan) { p.Authority[2].Approvals = 0 }, []string{"~ authority two-to-loosen approvals 1 → 0",
			"~ acts loosen approvals 1 → 0 ! fewer others have to agree (in 264 cases, such as: access, severity 1)"}},
		"wider rule": {func(p *Plan) { p.Authority[2].Roles = append(p.Authority[2].Roles, authority.Responder) }, []string{"~ authority two-to-loosen roles commander, administrator → commander, administrator, responder",
			"~ acts loosen roles commander, administrator → responder, commander, administrator ! more people may do it (in 264 cases, such as: access, severity 1)"}},
		"more time": {func(p *Plan) { p.Authority[2].Within = correction.Duration(8 * 3600e9) }, []string{"~ authority two-to-loosen within 4h → 8h",
			"~ acts loosen within 4h0m0s → 8h0m0s ! others have longer to look (in 264 cases, such as: access, severity 1)"}},
		"said otherwise": {func(p *Plan) { p.Authority[2].Name = "two-for-loosening" }, []string{"- authority two-to-loosen", "+ authority two-for-loosening"}},
	} {
		t.Run(name, func(t *testing.T) {
			old, new := load(t, "company"), load(t, "company")
			tc.change(new)
			changes := Diff(old, new)
			var got []string
			for i := range changes {
				got = append(got, line(&changes[i]))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestTheFirstPlanIsAllNew(t *testing.T) {
	changes := Diff(nil, load(t, "frontier"))
	if len(changes) < 50 {
		t.Error(len(changes))
	}
	for _, c := range changes {
		if c.What != Added || c.Loosens != "" {
			t.Errorf("%+v", c)
		}
	}
}

// TestNoLooseningOfAuthorityIsMissed: whatever is done to rules, if any case asks
// for less than before, the diff says so; and if none does, it says nothing.
func TestNoLooseningOfAuthorityIsMissed(t *testing.T) {
	base := load(t, "company")
	rapid.Check(t, func(t *rapid.T) {
		old, new := *base, *base
		old.Authority, new.Authority = someRules(t, "old"), someRules(t, "new")
		loosened := false
		for _, act := range authority.Acts {
			for _, q := range questions(act, []float64{0, 0.1, 0.5, 1}) {
				a, b := authority.Ask(old.Authority, true, q), authority.Ask(new.Authority, true, q)
				loosened = loosened || b.Approvals < a.Approvals || authority.SetOf(b.Roles...)&^authority.SetOf(a.Roles...) != 0
			}
		}
		said := slices.ContainsFunc(Diff(&old, &new), func(c Change) bool {
			return c.Section == "acts" && (c.Field == "approvals" || c.Field == "roles" && strings.HasPrefix(c.Loosens, "more"))
		})
		if said != loosened {
			t.Fatalf("loosened %v, said %v", loosened, said)
		}
	})
}

func someRules(t *rapid.T, label string) []authority.Rule {
	one := rapid.Custom(func(t *rapid.T) authority.Rule {
		return authority.Rule{
			Name: rapid.StringN(1, 8, 8).Draw(t, "name"), Acts: rapid.SliceOfN(rapid.SampledFrom(authority.Acts), 1, 3).Draw(t, "acts"),
			Kinds:      rapid.SliceOfN(rapid.SampledFrom([]string{"stop", "access", "L2+", "L4"}), 0, 2).Draw(t, "kinds"),
			ShareOver:  rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(t, "share"),
			Severities: rapid.SliceOfN(rapid.IntRange(1, 4), 0, 2).Draw(t, "severities"),
			Roles:      rapid.SliceOfN(rapid.SampledFrom(authority.Roles), 1, 3).Draw(t, "roles"), Approvals: rapid.IntRange(0, 3).Draw(t, "approvals"),
		}
	})
	return rapid.SliceOfN(one, 0, 4).Draw(t, label)
}
