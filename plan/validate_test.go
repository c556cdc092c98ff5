package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
)

func TestWhatAPlanMustNotSay(t *testing.T) {
	step := func(p *Plan, i int) *playbook.Step { return &p.Playbooks[0].Steps[i] }
	for name, tc := range map[string]struct {
		change func(*Plan)
		path   string
		says   string
	}{
		"format":                 {func(p *Plan) { p.Format = 2 }, "andon", "2 is not a version"},
		"no format":              {func(p *Plan) { p.Format = 0 }, "andon", "missing"},
		"no review":              {func(p *Plan) { p.ReviewBy = Date{} }, "review_by", "missing"},
		"one who checks himself": {func(p *Plan) { p.Assurance = p.Owner }, "assurance", "is the owner too"},
		"no models":              {func(p *Plan) { p.Models = nil }, "models", "missing"},
		"name twice":             {func(p *Plan) { p.Threats[1].Name = p.Threats[0].Name }, "threats[1].name", `is the name of threats[0] already, at threats.yaml:`},
		"name of two models":     {func(p *Plan) { p.Models[1].Derivatives = []Derivative{{Name: "sim-large", Kind: "alias"}} }, "models[1].derivatives[0].name", "one name leads to one model"},
		"bad name":               {func(p *Plan) { p.Surfaces[0].Name = "a b" }, "surfaces[0].name", "is no name"},
		"a name of two lines":    {func(p *Plan) { p.Models[0].Name = "a\nb" }, "models[0].name", "not one line"},
		"no such team":           {func(p *Plan) { p.Models[0].Owner = "operatons" }, "models[0].owner", `did you mean "operations"?`},
		"no such surface":        {func(p *Plan) { p.Models[0].Surfaces = []string{"help-dask"} }, "models[0].surfaces[0]", `did you mean "help-desk"?`},
		"no fallback, no reason": {func(p *Plan) { p.Models[1].NoFallback = "" }, "models[1].no_fallback", "missing"},
		"fallback and none":      {func(p *Plan) { p.Models[0].NoFallback = "it can wait" }, "models[0].no_fallback", "fallback: none"},
		"fallback of itself":     {func(p *Plan) { p.Fallbacks[0].Model = "sim-large" }, "models[0].fallback", "is this very model"},
		"fallback for another":   {func(p *Plan) { p.Fallbacks[0].For = []string{"sim-small"} }, "models[0].fallback", "is not for this model"},
		"cycle of fallbacks": {func(p *Plan) {
			p.Fallbacks = append(p.Fallbacks, Fallback{Name: "back", Model: "sim-large", For: []string{"sim-small"}, Capacity: 1, Differences: "none"})
			p.Models[1].Fallback, p.Models[1].NoFallback = "back", ""
		}, "models[0].fallback", "a cycle: sim-large → sim-small → sim-large"},
		"cycle of derivatives": {func(p *Plan) {
			p.Models[0].Derivatives = []Derivative{{"a", "fine-tune", "c"}, {"b", "adapter", "a"}, {"c", "alias", "b"}}
		}, "models[0].derivatives[0].of", "a cycle: a → c → b → a"},
		"derivative of nothing":    {func(p *Plan) { p.Models[0].Derivatives = []Derivative{{"a", "fine-tune", "sim-larg"}} }, "models[0].derivatives[0].of", `did you mean "sim-large"?`},
		"kind of derivative":       {func(p *Plan) { p.Models[0].Derivatives = []Derivative{{"a", "finetune", ""}} }, "models[0].derivatives[0].kind", `did you mean "fine-tune"?`},
		"route":                    {func(p *Plan) { p.Surfaces[0].Route = "tunnel" }, "surfaces[0].route", "allowed: gateway, partner, direct"},
		"gateway without gateways": {func(p *Plan) { p.Surfaces[0].Gateways = nil }, "surfaces[0].gateways", "missing"},
		"partner that is not one": {func(p *Plan) {
			p.Surfaces[0].Route, p.Surfaces[0].Partner, p.Surfaces[0].Gateways = "partner", "x", nil
		}, "surfaces[0].partner", "has no such section"},
		"capacity":             {func(p *Plan) { p.Fallbacks[0].Capacity = 0 }, "fallbacks[0].capacity", "out of bounds"},
		"class":                {func(p *Plan) { p.Threats[0].Class = "harmfull_output" }, "threats[0].class", `did you mean "harmful_output"?`},
		"severity":             {func(p *Plan) { p.Threats[0].Severity = 0 }, "threats[0].severity", "give 1 to 4"},
		"no indicator":         {func(p *Plan) { p.Threats[0].Indicators = nil }, "threats[0].indicators", "missing"},
		"no such trigger":      {func(p *Plan) { p.Threats[0].Triggers = []string{"x"} }, "threats[0].triggers[0]", "not one of the plan's triggers"},
		"no such playbook":     {func(p *Plan) { p.Threats[0].Playbooks = []string{"x"} }, "threats[0].playbooks[0]", "not one of the plan's playbooks"},
		"twice":                {func(p *Plan) { p.Threats[0].Playbooks = []string{"harmful-answers", "harmful-answers"} }, "threats[0].playbooks[1]", "twice"},
		"window":               {func(p *Plan) { p.Triggers[0].Window = 32 * day }, "triggers[0].window", "give 1s to 31d"},
		"no window":            {func(p *Plan) { p.Triggers[0].Window = 0 }, "triggers[0].window", "out of bounds"},
		"count":                {func(p *Plan) { p.Triggers[0].Count = 0 }, "triggers[0].count", "out of bounds"},
		"per":                  {func(p *Plan) { p.Triggers[0].Per = "users" }, "triggers[0].per", `did you mean "user"?`},
		"no stop-gap there":    {func(p *Plan) { p.Playbooks[1].StopGap = nil }, "triggers[1].stop_gap", "has no stop-gap"},
		"above the ceiling":    {func(p *Plan) { p.Triggers[1].Ceiling = "L1" }, "triggers[1].ceiling", "above the ceiling L1"},
		"ceiling L5":           {func(p *Plan) { p.Triggers[1].Ceiling = "L5" }, "triggers[1].ceiling", "not known"},
		"correction's level":   {func(p *Plan) { step(p, 2).Correction.Params.Level = "L7" }, "playbooks[0].steps[2].correction.params.level", "unknown level"},
		"correction's model":   {func(p *Plan) { step(p, 2).Correction.Scope.Models = []string{"sim-lrge"} }, "playbooks[0].steps[2].correction.scope.models[0]", `did you mean "sim-large"?`},
		"correction's surface": {func(p *Plan) { step(p, 2).Correction.Scope.Surfaces = []string{"web"} }, "playbooks[0].steps[2].correction.scope.surfaces[0]", "not one of the plan's surfaces"},
		"correction's time":    {func(p *Plan) { step(p, 2).Correction.ExpiresAt = today }, "playbooks[0].steps[2].correction.expires_at", "must not be given"},
		"correction's id":      {func(p *Plan) { step(p, 2).Correction.ID = "c-1" }, "playbooks[0].steps[2].correction.id", "must not be given"},
		"pinned version": {func(p *Plan) {
			step(p, 2).Correction = &correction.Correction{Kind: "capability", Params: correction.Params{Pin: "sim-large-9"}, Scope: correction.Scope{Models: []string{"sim-large"}}, Reason: "r"}
		}, "playbooks[0].steps[2].correction.params.pin", `no version of these models in the plan; did you mean "sim-large-1"?`},
		"steps in a circle": {func(p *Plan) { step(p, 0).After = []string{"how far"} }, "playbooks[0].steps[0].after", "circle"},
		"a step after none": {func(p *Plan) { step(p, 1).After = []string{"nothing"} }, "playbooks[0].steps[1].after[0]", "no step"},
		"notice to nobody":  {func(p *Plan) { step(p, 4).Notice.To = []string{"support-custmers"} }, "playbooks[0].steps[4].notice.to[0]", `did you mean "support-customers"?`},
		"playbook's threat": {func(p *Plan) { p.Playbooks[0].Threats = []string{"x"} }, "playbooks[0].threats[0]", "not a threat"},
		"day of a drill":    {func(p *Plan) { p.Playbooks[0].TestedAt = "2026-02-30" }, "playbooks[0].tested_at", "no"},
		"nobody in a team":  {func(p *Plan) { p.Teams[3].Members = nil }, "teams[3].members", "missing"},
		"team named a role": {func(p *Plan) { p.Teams[0].Name = "responder" }, "teams[0].name", "is the name of a role"},
		"unknown role":      {func(p *Plan) { p.Teams[0].Roles[0] = "respnder" }, "teams[0].roles[0]", `did you mean "responder"?`},
		"roster's role":     {func(p *Plan) { p.Rosters[0].Role = authority.Commander }, "rosters[0].role", "nobody in team"},
		"time zone":         {func(p *Plan) { p.Rosters[0].TimeZone = "Europe/Berln" }, "rosters[0].time_zone", "is no time zone"},
		"local time":        {func(p *Plan) { p.Rosters[0].TimeZone = "Local" }, "rosters[0].time_zone", "is no time zone"},
		"zone by path":      {func(p *Plan) { p.Rosters[0].TimeZone = "../../etc/passwd" }, "rosters[0].time_zone", "is no time zone"},
		"day of a week":     {func(p *Plan) { p.Rosters[0].Shifts[0].Days[0] = "monday" }, "rosters[0].shifts[0].days[0]", "not known"},
		"daily and more":    {func(p *Plan) { p.Rosters[0].Shifts[0].Days = []string{"daily", "sun"} }, "rosters[0].shifts[0].days", "leave the others out"},
		"from":              {func(p *Plan) { p.Rosters[0].Shifts[0].From = "8:00" }, "rosters[0].shifts[0].from", "no time of day"},
		"from midnight":     {func(p *Plan) { p.Rosters[0].Shifts[0].From = "24:00" }, "rosters[0].shifts[0].from", "no time of day"},
		"to":                {func(p *Plan) { p.Rosters[0].Shifts[0].To = "24:01" }, "rosters[0].shifts[0].to", "no time of day"},
		"stranger on call":  {func(p *Plan) { p.Rosters[0].Shifts[0].People = []string{"lead-1"} }, "rosters[0].shifts[0].people[0]", "no member of team"},
		"own deputy":        {func(p *Plan) { p.Rosters[0].Shifts[0].Deputy = "oncall-1" }, "rosters[0].shifts[0].deputy", "is on call in this shift already"},
		"unknown act":       {func(p *Plan) { p.Authority[0].Acts[0] = "tigthen" }, "authority[0].acts[0]", `did you mean "tighten"?`},
		"unknown kind":      {func(p *Plan) { p.Authority[0].Kinds = []string{"halt"} }, "authority[0].kinds[0]", "neither a kind"},
		"rule's role":       {func(p *Plan) { p.Authority[0].Roles[0] = "king" }, "authority[0].roles[0]", "no role"},
		"role nobody holds": {func(p *Plan) { p.Authority[0].Roles = append(p.Authority[0].Roles, authority.Viewer) }, "authority[0].roles[3]", "nobody holds the role viewer"},
		"too few to agree":  {func(p *Plan) { p.Authority[4].Approvals = 3 }, "authority[4].approvals", "takes 3 others with the role approver, and there are 2"},
		"alone for good":    {func(p *Plan) { p.Authority[4].Approvals = 1 }, "authority[4].approvals", "at least 2 others"},
		"contradiction": {func(p *Plan) {
			p.Authority = append(p.Authority, authority.Rule{Name: "other", Acts: []authority.Act{authority.Loosen}, Roles: []authority.Role{authority.Auditor}, Approvals: 1})
		}, "authority[8]", `contradicts the rule "two-to-loosen"`},
		"limit":            {func(p *Plan) { p.Limits[0].Count = 0 }, "limits[0].count", "out of bounds"},
		"criticality":      {func(p *Plan) { p.Dependants[0].Criticality = "hihg" }, "dependants[0].criticality", `did you mean "high"?`},
		"two called alike": {func(p *Plan) { p.Dependants[0].Name = "leads-phone" }, "dependants[0].name", "is the name of a contact, too"},
		"wrong stand-in": {func(p *Plan) {
			p.Dependants[0].Models, p.Fallbacks[0].For = []string{"sim-large"}, []string{"sim-small"}
		}, "dependants[0].fallback", "is not for the model"},
		"terms word":         {func(p *Plan) { p.Terms[0].Default = "perhaps" }, "terms[0].default", "allowed: permitted, notice, forbidden"},
		"clause of nothing":  {func(p *Plan) { p.Terms[0].Clauses[0].Kinds = nil }, "terms[0].clauses[0].kinds", "missing"},
		"clause's level":     {func(p *Plan) { p.Terms[0].Clauses[0].Kinds = []string{"L7"} }, "terms[0].clauses[0].kinds[0]", "neither"},
		"notice that is not": {func(p *Plan) { p.Terms[0].Clauses[0].Word = "forbidden" }, "terms[0].clauses[0].notice", "belongs to a clause that says notice"},
		"one org, two terms": {func(p *Plan) {
			p.Terms = append(p.Terms, Terms{Name: "x", Orgs: []string{"globex"}, Default: "permitted", Source: "s"})
		}, "terms[1].orgs[0]", "they would contradict"},
		"channel":          {func(p *Plan) { p.Contacts[0].Channels[0].Kind = "fax" }, "contacts[0].channels[0].kind", "not known"},
		"telephone":        {func(p *Plan) { p.Contacts[0].Channels[0].Address = "0800 REVERSE" }, "contacts[0].channels[0].address", "telephone number"},
		"e-mail":           {func(p *Plan) { p.Contacts[2].Channels[0].Address = "a@b@c" }, "contacts[2].channels[0].address", "e-mail address"},
		"webhook":          {func(p *Plan) { p.Contacts[2].Channels[1].Address = "http://hooks.globex.example" }, "contacts[2].channels[1].address", "https://"},
		"secret in it":     {func(p *Plan) { p.Contacts[2].Channels[1].Address = "https://user:pass@hooks.globex.example/" }, "contacts[2].channels[1].address", "without a password"},
		"class of records": {func(p *Plan) { p.Retention[0].Class = "logs" }, "retention[0].class", "not known"},
		"class twice":      {func(p *Plan) { p.Retention[1].Class = "requests" }, "retention[1].class", "twice"},
		"keep":             {func(p *Plan) { p.Retention[0].Keep = 0 }, "retention[0].keep", "out of bounds"},
		"too many":         {func(p *Plan) { p.Contacts = append(p.Contacts, make([]Contact, MaxEntries)...) }, "contacts", fmt.Sprintf("at most %d", MaxEntries)},
		"a long text":      {func(p *Plan) { p.Threats[0].Description = strings.Repeat("x", maxText+1) }, "threats[0].description", "4097 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, "company")
			tc.change(p)
			err := p.Validate()
			faults, ok := err.(Faults)
			if !ok {
				t.Fatal("it was taken:", err)
			}
			i := slices.IndexFunc(faults, func(f Fault) bool { return f.Path == tc.path && strings.Contains(f.Error(), tc.says) })
			if i < 0 {
				t.Fatalf("said\n%v", err)
			}
			if faults[i].Line == 0 || faults[i].Col == 0 {
				t.Errorf("it does not say where: %v", faults[i].Error())
			}
			if strings.Contains(err.Error(), "pass@") || strings.Contains(err.Error(), "0800") {
				t.Error("an address is repeated:", err)
			}
		})
	}
}

func TestEveryFaultIsNamedUpToABound(t *testing.T) {
	p := load(t, "company")
	for i := range 300 {
		p.Contacts = append(p.Contacts, Contact{Name: fmt.Sprint("c", i)})
	}
	faults := p.Validate().(Faults)
	if len(faults) != maxFaults || !strings.Contains(faults[maxFaults-1].Detail, "200 more faults") {
		t.Errorf("%d faults, the last: %s", len(faults), faults[len(faults)-1].Error())
	}
}

func TestWhereThingsStand(t *testing.T) {
	p := load(t, "company")
	for path, want := range map[string]string{
		"andon": "plan.yaml:6:8", "models": "plan.yaml:13:1", "models[0]": "plan.yaml:14:5", "models[0].name": "plan.yaml:14:11", "models[0].versions": "plan.yaml:16:5",
		"models[0].versions[0]": "plan.yaml:16:16", "models[0].derivatives[3].name": "plan.yaml:14:5", "threats[1].playbooks[0]": "threats.yaml:26:17", "nothing": "", "": "",
		"playbooks[0].stop_gap.corrections[0].params.filter.action": "playbooks.yaml:17:109", "models[7].name": "plan.yaml:13:1",
	} {
		if got := p.Pos(path).String(); got != want {
			t.Errorf("%s stands at %q, not %q", path, got, want)
		}
	}
	empty := &Plan{}
	if !empty.Pos("models[0]").IsZero() {
		t.Error("a plan without files has a place")
	}
}

func TestListsOfSeveralFilesAreOne(t *testing.T) {
	fsys := files(t, "company")
	text := string(fsys["threats.yaml"].Data)
	i := strings.Index(text, "triggers:\n  - name")
	second := strings.Index(text, "  - name: leaking-data")
	fsys["a/b/more.yml"] = &fstest.MapFile{Data: []byte("threats:\n" + text[second:i])}
	fsys["threats.yaml"] = &fstest.MapFile{Data: []byte(text[:second] + text[i:])}
	fsys["notes.md"] = &fstest.MapFile{Data: []byte("- this: [is no plan")}
	fsys[".hidden.yaml"] = &fstest.MapFile{Data: []byte("- this: [is no plan")}
	fsys[".git/x.yaml"] = &fstest.MapFile{Data: []byte("- this: [is no plan")}
	p, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range p.Threats {
		names = append(names, x.Name)
	}
	if strings.Join(names, " ") != "leaking-data somebody-misuses-an-account provider-withdraws harmful-answers" {
		t.Error(names)
	}
	if got := p.Pos("threats[0].name").String(); got != "a/b/more.yml:2:11" {
		t.Error(got)
	}
	one, two := load(t, "company"), p
	if len(Diff(one, two)) != 0 {
		t.Errorf("%+v", Diff(one, two))
	}
	d1, _ := one.Digest()
	if one.FilesDigest() == two.FilesDigest() || len(one.FilesDigest()) != 64 || len(d1) != 64 {
		t.Error("the digest of the files is not theirs")
	}
}

func TestAPlanGoesThroughJSONUnchanged(t *testing.T) {
	for _, name := range Examples {
		p := load(t, name)
		data, err := p.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		q, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := q.Canonical()
		if err != nil || string(again) != string(data) {
			t.Errorf("%s: it came back as another plan: %v", name, err)
		}
		if changes := Diff(p, q); len(changes) > 0 {
			t.Errorf("%+v", changes)
		}
	}
}

func TestLookUps(t *testing.T) {
	p := load(t, "frontier")
	if p.Model("globex-3-legal-brief") != p.Model("globex-3") || p.Model("globex-3") == nil || p.Model("gpt") != nil {
		t.Error("a derivative does not lead to its model")
	}
	if f := p.FallbackOf("globex-3-latest"); f == nil || f.Model != "globex-2" {
		t.Error(f)
	}
	if p.FallbackOf("globex-2") != nil || p.Fallback("none") != nil {
		t.Error("none is a fallback")
	}
	for _, tc := range []struct {
		models, orgs []string
		want         string
	}{
		{[]string{"globex-3-legal"}, nil, "hospital-network acme"}, {nil, []string{"acme-labs"}, "acme"}, {nil, nil, "hospital-network acme free-users"},
		{[]string{"globex-3-mini"}, []string{"free", "acme"}, "acme free-users"}, {[]string{"unknown"}, nil, ""}, {nil, []string{"unknown"}, ""},
	} {
		var got []string
		for _, d := range p.DependantsOf(tc.models, tc.orgs) {
			got = append(got, d.Name)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%v %v: %v", tc.models, tc.orgs, got)
		}
	}
	terms := p.TermsOf("hospital-network")
	for _, tc := range []struct {
		kind        correction.Kind
		level, word string
	}{{correction.Stop, "L4", WithNotice}, {correction.Stop, "L3", WithNotice}, {correction.Stop, "L2", Permitted}, {correction.Rate, "", Permitted}} {
		if got := terms.Says(tc.kind, tc.level); got.Word != tc.word {
			t.Errorf("%s %s: %+v", tc.kind, tc.level, got)
		}
	}
	if p.TermsOf("stranger") != nil || p.RetentionOf("requests").Keep != 90*day || p.RetentionOf("x") != nil {
		t.Error("terms or retention")
	}
	var none *Plan
	if none.Model("x") != nil || none.Team("x") != nil || none.FallbackOf("x") != nil || none.DependantsOf(nil, nil) != nil || none.TermsOf("x") != nil || len(none.ModelNames()) != 0 || none.Contact("x") != nil {
		t.Error("no plan holds something")
	}
}

func TestAnAliasBombIsSmall(t *testing.T) {
	var b strings.Builder
	b.WriteString("models:\n  - versions: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 20 {
		fmt.Fprintf(&b, "  - derivatives: &a%d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 40), ","))
	}
	began := time.Now()
	_, err := Load(folder("a.yaml", b.String()))
	if err == nil || time.Since(began) > 30*time.Second {
		t.Fatal(err, time.Since(began))
	}
	b.Reset()
	b.WriteString("threats:\n  - playbooks: &p [" + strings.TrimSuffix(strings.Repeat("x,", 9000), ",") + "]\n")
	for range 90 {
		b.WriteString("  - playbooks: *p\n")
	}
	_, err = Load(folder("a.yaml", b.String()))
	if err == nil || !strings.Contains(err.Error(), "the plan holds more than 200000 values, with aliases written out") {
		t.Fatal(err)
	}
	_, err = Load(folder("a.yaml", "models: ["+strings.Repeat("*a,", 1100)+"]"))
	if err == nil || !strings.Contains(err.Error(), "more than 1000 aliases in one file") {
		t.Fatal(err)
	}
	_, err = Load(folder("a.yaml", "models: [&a "+strings.Repeat("x, &a ", 110)+"x]"))
	if err == nil || !strings.Contains(err.Error(), "more than 100 anchors in one file") {
		t.Fatal(err)
	}
}

func TestAnchorsSaveWords(t *testing.T) {
	fsys := files(t, "company")
	fsys["plan.yaml"].Data = []byte(strings.Replace(strings.Replace(string(fsys["plan.yaml"].Data), "surfaces: [help-desk, writing]", "surfaces: &both [help-desk, writing]", 1), "surfaces: [help-desk, writing]", "surfaces: *both", 1))
	p, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(p.Models[1].Surfaces, " ") != "help-desk writing" {
		t.Error(p.Models[1].Surfaces)
	}
}

// TestValidationIsBounded: what is wrong a million times takes no longer than
// what is wrong a hundred times, give or take.
func TestValidationIsBounded(t *testing.T) {
	p := load(t, "company")
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("no such name of any kind %d", i)
	}
	for i := range MaxEntries - len(p.Threats) {
		x := p.Threats[0]
		x.Name, x.Triggers, x.Models, x.Playbooks = fmt.Sprint("t", i), many, many, many
		p.Threats = append(p.Threats, x)
	}
	for i := range 1000 {
		p.Models = append(p.Models, Model{Name: fmt.Sprint("m", i), Surfaces: []string{"help-desk"}, Owner: "operations", Fallback: fmt.Sprint("f", i)})
		p.Fallbacks = append(p.Fallbacks, Fallback{Name: fmt.Sprint("f", i), Model: fmt.Sprint("m", (i+1)%1000), For: []string{fmt.Sprint("m", i)}, Capacity: 1, Differences: "none"})
	}
	began := time.Now()
	faults := p.Validate().(Faults)
	if took := time.Since(began); took > time.Minute || len(faults) != maxFaults {
		t.Errorf("%v for %d faults", took, len(faults))
	}
	t.Log(time.Since(began))
}
