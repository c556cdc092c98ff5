package control

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/correction"
	"andon/order"
	"andon/plan"
)

// examplePlan is the example of a small company, changed by change.
func examplePlan(t testing.TB, change func(*plan.Plan)) *plan.Plan {
	t.Helper()
	files, err := plan.Example("company", time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC))
	must(t, err)
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	p, err := plan.Load(fsys)
	must(t, err)
	for i := range p.Authority { // tests begin with one operator, who could let nobody in
		p.Authority[i].Acts = slices.DeleteFunc(p.Authority[i].Acts, func(a authority.Act) bool { return a == authority.Staff })
	}
	if change != nil {
		change(p)
	}
	return p
}

// applyBody is the body that applies a plan.
func applyBody(t testing.TB, p *plan.Plan, replaces int) string {
	t.Helper()
	raw, err := p.Canonical()
	must(t, err)
	data, err := json.Marshal(map[string]any{"plan": jsontext.Value(raw), "replaces": replaces, "reason": "reviewed", "files": strings.Repeat("0", 64)})
	must(t, err)
	return string(data)
}

func (w *world) applyPlan(p *plan.Plan, replaces int) planView {
	w.t.Helper()
	var v planView
	w.ok(201, "POST", "/plan", applyBody(w.t, p, replaces), &v)
	return v
}

// said is a GET with somebody's token.
func (w *world) said(token, path string, out any) int {
	w.t.Helper()
	resp := w.do("GET", api+path, "", nil, "Authorization", "Bearer "+token)
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode == http.StatusOK {
		must(w.t, json.Unmarshal(data, out))
	}
	return resp.StatusCode
}

func (w *world) member(name, role string) (token string) {
	w.t.Helper()
	var op operatorView
	w.ok(201, "POST", "/operators", `{"name":"`+name+`","role":"`+role+`"}`, &op)
	return w.enrol(op.Token)
}

func TestAPlanIsPutInForce(t *testing.T) {
	w := newWorld(t, nil)
	viewer := w.member("looker", "viewer")
	if p := w.bad(404, "no_plan", "GET", "/plan", ""); !strings.Contains(p.Hint, "andon plan init") {
		t.Error(p.Hint)
	}
	w.create(stopLarge)
	revision := w.revision()
	p := examplePlan(t, nil)
	v := w.applyPlan(p, 0)
	digest, err := p.Digest()
	must(t, err)
	if v.Version != 1 || v.Digest != digest || v.Previous != "" || v.AppliedBy != "op-1" || v.Addresses != addressesShown || v.Files == "" || len(v.Changes) == 0 {
		t.Errorf("%s", jsonText(v))
	}
	if !slices.ContainsFunc(v.Warnings, func(x warning) bool { return x.Code == "nobody_can" }) ||
		!slices.ContainsFunc(v.Warnings, func(x warning) bool { return x.Code == "unknown_operator" && strings.Contains(x.Detail, "oncall-1") }) {
		t.Errorf("%+v", v.Warnings)
	}
	signed, err := order.OpenPlan(*v.Signed, []order.PublicKey{w.signer.Public()})
	must(t, err)
	if signed.Digest != digest || signed.Version != 1 || signed.Org != "acme" || signed.Entry.Hash != v.Entry.Hash {
		t.Errorf("%+v", signed)
	}
	other, err := order.GenerateSigner()
	must(t, err)
	if _, err := order.OpenPlan(*v.Signed, []order.PublicKey{other.Public()}); err == nil {
		t.Error("anybody's signature counts")
	}
	if w.revision() != revision || w.get("c-1").State != "active" {
		t.Error("the plan changed what is in force")
	}

	look := func() {
		t.Helper()
		var got planView
		w.ok(200, "GET", "/plan", "", &got)
		back, err := got.Plan.Canonical()
		must(t, err)
		want, err := p.Canonical()
		must(t, err)
		if string(back) != string(want) || !got.InForce {
			t.Error("the plan came back as another one")
		}
		got = planView{}
		if status := w.said(viewer, "/plan", &got); status != 200 || got.Addresses != addressesHidden || got.Plan.Contacts[0].Channels[0].Address != "" || got.Files != "" {
			t.Errorf("%d %s %+v", status, got.Addresses, got.Plan.Contacts)
		}
	}
	look()
	w.restart()
	look()

	// Addresses stand beside the tree, never in an entry.
	for n := range w.c.state.size {
		resp := w.do("GET", api+"/ledger/entries/"+jsonText(n), "", nil)
		data, _ := io.ReadAll(resp.Body)
		if strings.Contains(string(data), "globex.example") || strings.Contains(string(data), "555 0100") {
			t.Errorf("entry %d holds an address: %s", n, data)
		}
	}
}

func TestAPlanIsReviewedLikeAChange(t *testing.T) {
	w := newWorld(t, nil)
	lead := w.member("lead-1", "approver")
	p := examplePlan(t, nil)
	w.applyPlan(p, 0)
	p.Authority[0].Within, p.Retention = correction.Duration(2*time.Hour), p.Retention[:4]
	p.Contacts[0].Channels[0].Address = "+49 30 555 0199"
	var wait waitingView
	w.ok(202, "POST", "/plan", applyBody(t, p, 1), &wait)
	if w.c.state.plan.version() != 1 {
		t.Fatal("it waited for nobody")
	}
	w.bad(409, "approval_open", "POST", "/plan", applyBody(t, p, 1))

	var prop planProposal
	if status := w.said(lead, "/plan/proposals/"+wait.Approval.ID, &prop); status != 200 || prop.Outdated || prop.Addresses != addressesShown {
		t.Fatalf("%d %s", status, jsonText(prop))
	}
	if !slices.ContainsFunc(prop.Changes, func(c plan.Change) bool {
		return c.Section == "retention" && c.What == plan.Removed && c.Loosens != ""
	}) {
		t.Errorf("%s", jsonText(prop.Changes))
	}
	if got := prop.Plan.Contacts[0].Channels[0].Address; got != "+49 30 555 0199" {
		t.Error(got)
	}
	if bad, _ := w.as(w.token, "POST", "/approvals/"+wait.Approval.ID+"/approve", `{"reason":"mine"}`); bad == nil || bad.Code != "not_independent" {
		t.Errorf("who asked approved it: %+v", bad)
	}
	if bad, _ := w.as(lead, "POST", "/approvals/"+wait.Approval.ID+"/approve", `{"reason":"read it"}`); bad != nil {
		t.Fatal(bad)
	}
	var v planView
	w.ok(200, "GET", "/plan", "", &v)
	if v.Version != 2 || v.AppliedBy != "op-1" || len(v.Plan.Retention) != 4 || v.Plan.Contacts[0].Channels[0].Address != "+49 30 555 0199" {
		t.Errorf("%s", jsonText(v))
	}

	// What is in force already is not written again; what replaces an old version is refused.
	w.ok(200, "POST", "/plan", applyBody(t, p, 2), &v)
	if !v.Unchanged || v.Version != 2 {
		t.Errorf("%s", jsonText(v))
	}
	p.Retention = p.Retention[:3]
	if bad := w.bad(409, "plan_changed", "POST", "/plan", applyBody(t, p, 1)); bad.Field != "replaces" || !strings.Contains(bad.Detail, "version 2 is in force") {
		t.Errorf("%+v", bad)
	}

	// A plan that waits is refused when its time comes, if another was faster.
	w.ok(202, "POST", "/plan", applyBody(t, p, 2), &wait)
	p.Retention = p.Retention[:2]
	w.ok(201, "POST", "/plan?break_glass=true", applyBody(t, p, 2), &v)
	if bad, _ := w.as(lead, "POST", "/approvals/"+wait.Approval.ID+"/approve", `{"reason":"read it"}`); bad != nil {
		t.Fatal(bad)
	}
	w.ok(200, "GET", "/plan", "", &v)
	if v.Version != 3 || len(v.Plan.Retention) != 2 {
		t.Errorf("version %d with %d", v.Version, len(v.Plan.Retention))
	}

	var list planVersions
	w.ok(200, "GET", "/plan/versions?limit=2", "", &list)
	if len(list.Versions) != 2 || list.Versions[0].Version != 3 || list.Next != 2 {
		t.Errorf("%s", jsonText(list))
	}
	w.ok(200, "GET", "/plan/versions?before=2", "", &list)
	if len(list.Versions) != 1 || list.Versions[0].Version != 1 || list.Next != 0 {
		t.Errorf("%s", jsonText(list))
	}
	w.ok(200, "GET", "/plan/versions/1", "", &v)
	if v.InForce || len(v.Plan.Retention) != 6 || v.Plan.Contacts[0].Channels[0].Address != "+49 30 555 0100" {
		t.Errorf("%s", jsonText(v))
	}
	for _, n := range []string{"0", "4", "-1", "01", "x"} {
		w.bad(404, "not_found", "GET", "/plan/versions/"+n, "")
	}
	w.bad(400, "invalid_query", "GET", "/plan/versions?limit=0", "")
	w.bad(400, "invalid_query", "GET", "/plan/versions?after=1", "")
	w.bad(404, "not_found", "GET", "/plan/proposals/a-99", "")
	w.restart()
	w.ok(200, "GET", "/plan", "", &v)
	if v.Version != 3 {
		t.Error(v.Version)
	}
}

func TestPlansThatAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	good := examplePlan(t, nil)
	for name, tc := range map[string]struct {
		change      func(*plan.Plan)
		field, says string
	}{
		"reference":     {func(p *plan.Plan) { p.Models[0].Owner = "operatoins" }, "models[0].owner", `did you mean "operations"`},
		"cycle":         {func(p *plan.Plan) { p.Models[1].Fallback, p.Models[1].NoFallback = "back", "" }, "models[1].fallback", "back"},
		"role":          {func(p *plan.Plan) { p.Authority[0].Roles = append(p.Authority[0].Roles, "viewer") }, "authority[0].roles[3]", "nobody holds the role viewer"},
		"contradiction": {func(p *plan.Plan) { p.Authority[1].Roles = []authority.Role{"auditor"} }, "authority[1]", "contradicts"},
		"correction":    {func(p *plan.Plan) { p.Playbooks[0].Steps[2].Correction.Params.Level = "L6" }, "playbooks[0].steps[2].correction.params.level", "quorum"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := w.bad(422, "plan_faulty", "POST", "/plan", applyBody(t, examplePlan(t, tc.change), 0))
			if bad.Field != tc.field && !strings.Contains(bad.Detail, tc.field) || !strings.Contains(bad.Detail, tc.says) {
				t.Errorf("%+v", bad)
			}
		})
	}
	text := applyBody(t, good, 0)
	for name, tc := range map[string]struct {
		body, code, field string
		status            int
	}{
		"unknown field":  {strings.Replace(text, `"andon":1`, `"andon":1,"modles":[]`, 1), "plan_faulty", "modles", 422},
		"wrong type":     {strings.Replace(text, `"andon":1`, `"andon":"1"`, 1), "plan_faulty", "andon", 422},
		"no such day":    {strings.Replace(text, `"review_by":"2027-05-25"`, `"review_by":"2027-02-30"`, 1), "plan_faulty", "review_by", 422},
		"another format": {strings.Replace(text, `"andon":1`, `"andon":2`, 1), "plan_faulty", "andon", 422},
		"no reason":      {strings.Replace(text, `"reviewed"`, `" "`, 1), "invalid_field", "reason", 422},
		"no replaces":    {strings.Replace(text, `"replaces":0`, `"replaces":null`, 1), "invalid_field", "replaces", 422},
		"below":          {strings.Replace(text, `"replaces":0`, `"replaces":-1`, 1), "invalid_field", "replaces", 422},
		"from the air":   {strings.Replace(text, `"replaces":0`, `"replaces":7`, 1), "plan_changed", "replaces", 409},
		"files":          {strings.Replace(text, `"files":"0`, `"files":"x`, 1), "invalid_field", "files", 422},
		"no plan":        {`{"replaces":0,"reason":"r"}`, "invalid_field", "plan", 422},
		"null":           {`{"plan":null,"replaces":0,"reason":"r"}`, "plan_faulty", "andon", 422},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.body == text {
				t.Fatal("the text was not changed")
			}
			if bad := w.bad(tc.status, tc.code, "POST", "/plan", tc.body); bad.Field != tc.field {
				t.Errorf("%+v", bad)
			}
		})
	}
	if w.c.state.plan.version() != 0 || w.c.state.size != 1 {
		t.Fatal("something was written")
	}
}

func TestAddressesOfAPlanCanBeErased(t *testing.T) {
	w := newWorld(t, nil)
	auditor := w.member("reviewer", "auditor")
	w.applyPlan(examplePlan(t, nil), 0)
	name := w.c.state.plan.last().addresses
	must(t, w.c.cfg.Log.Erase(t.Context(), name))
	var v planView
	if status := w.said(auditor, "/plan", &v); status != 200 || v.Addresses != addressesErased || v.Plan.Contacts[0].Channels[0].Address != "" {
		t.Errorf("%d %s", status, v.Addresses)
	}
	w.ok(200, "GET", "/plan/schema", "", &map[string]any{})
}

// TestAPlanThatLocksOut: under the example as it is, a single operator could give
// nobody a role any more, and no glass can be broken for that.
func TestAPlanThatLocksOut(t *testing.T) {
	w := newWorld(t, nil)
	p := examplePlan(t, func(p *plan.Plan) {
		p.Authority = append(p.Authority, authority.Rule{Name: "people", Acts: []authority.Act{authority.Staff}, Roles: []authority.Role{authority.Administrator}, Approvals: 1})
	})
	x := w.bad(409, "plan_locks_out", "POST", "/plan", applyBody(t, p, 0))
	if !strings.Contains(x.Detail, "commander or approver") || !strings.Contains(x.Hint, "andon operators add") {
		t.Errorf("%+v", x)
	}
	w.bad(409, "plan_locks_out", "POST", "/plan?break_glass=true", applyBody(t, p, 0))
	w.bad(404, "no_plan", "GET", "/plan", "")
	w.member("second", "approver")
	w.applyPlan(p, 0)
}
