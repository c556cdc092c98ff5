package control

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/ledger"
	"andon/order"
	"andon/plan"
)

func waiverBody(rule, subject string, until time.Time) string {
	return fmt.Sprintf(`{"rule":%q,"subject":%q,"reason":"accepted for now","until":%q}`, rule, subject, until.UTC().Format(time.RFC3339))
}

func finding(r *plan.Report, rule, subject string) *plan.Finding {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Rule == rule && f.Subject == subject {
			return f
		}
	}
	return nil
}

// records makes a fake gateway answer previews as one that has recorded traffic.
func (g *gate) records(p order.Preview) {
	p.Gateway = g.name
	data, err := json.Marshal(p)
	must(g.w.t, err)
	_, err = g.bus.Subscribe(order.SubjectLive, func(m bus.Msg) { m.Respond(data) })
	must(g.w.t, err)
	must(g.w.t, g.bus.Flush(g.w.t.Context()))
}

func TestObservedIsWhatTheControlPlaneSees(t *testing.T) {
	w := clocked(t)
	g := w.gate("gw-1", true)
	w.gate("gw-2", true)
	g.beatWith(order.Beat{Gateway: "gw-1", Boot: "boot-1", Nonce: "n", Features: []string{"stop", "rate"}, Models: []string{"sim-large", "sim-small"}, Detectors: []string{"abuse"}, Versions: map[string][]string{"sim-large": {"v1"}}})
	now := w.clock.Now().UTC().Round(0)
	g.records(order.Preview{Recorded: 100, Since: now.Add(-time.Hour), Until: now, Peaks: []order.Peak{{Model: "sim-large", Requests: 12}}, Known: []order.Known{{Dimension: "orgs", Unknown: 25}}})
	w.ok(201, "POST", "/keys", `{"org":"acme","attributes":["criticality=medium"]}`, nil)
	w.ok(201, "POST", "/keys", `{"org":"acme","attributes":["criticality=safety"]}`, nil)
	w.ok(201, "POST", "/keys", `{"org":"globex","expires_at":"`+now.Add(time.Hour).Format(time.RFC3339)+`"}`, nil)
	w.create(stopLarge)
	g.next()
	looker := w.member("looker", "viewer")
	var o plan.Observed
	if code := w.said(looker, "/readiness/observed", &o); code != 200 {
		t.Fatal(code)
	}
	if !o.Made() || len(o.Gateways) != 2 || o.Gateways[0].Name != "gw-1" || o.Gateways[0].Detectors[0] != "abuse" || o.Gateways[0].Versions["sim-large"][0] != "v1" || !slices.Equal(o.Gateways[0].Features, []string{"stop", "rate"}) {
		t.Errorf("%+v", o.Gateways)
	}
	if len(o.Models) != 2 || o.Models[0] != (plan.Served{Name: "sim-large", Configured: true, Fallback: "sim-small"}) {
		t.Errorf("%+v", o.Models)
	}
	if len(o.Orgs) != 2 || o.Orgs[0] != (plan.OrgSeen{Name: "acme", Keys: 2, Criticality: "safety"}) || o.Orgs[1].Name != "globex" {
		t.Errorf("%+v", o.Orgs)
	}
	if len(o.Accounts) != 2 || o.Accounts[1].Name != "looker" || string(o.Accounts[1].Roles[0]) != "viewer" {
		t.Errorf("%+v", o.Accounts)
	}
	tr := o.Traffic
	if tr == nil || tr.Requests != 100 || len(tr.Peaks) != 1 || tr.Peaks[0] != (plan.Peak{Model: "sim-large", Second: 12}) || tr.Unknown[0] != (plan.Unknown{Dimension: "orgs", Share: 0.25}) {
		t.Errorf("%+v", tr)
	}
	// A lease that ran out, a key that ended, and an operator who went, are seen.
	w.clock.advance(2 * time.Hour)
	o = plan.Observed{}
	w.ok(200, "GET", "/readiness/observed", "", &o)
	if o.Gateways[0].State != "stale" || len(o.Orgs) != 1 || o.Traffic != nil {
		t.Errorf("%+v", o)
	}
}

// A playbook that was run to its end in an exercise was drilled; one that was run
// in earnest, or broken off, was not.
func TestRunsOfExercisesAreDrills(t *testing.T) {
	const drill = `{"name":"drilled","steps":[{"name":"look","task":{"do":"look","who":"commander"}}],"exit":["seen"]}`
	w := playWorld(t, drill)
	w.open(`{"title":"drill","kind":"exercise"}`)
	w.open(`{"title":"in earnest"}`)
	drills := func() (o plan.Observed) {
		w.ok(200, "GET", "/readiness/observed", "", &o)
		return o
	}
	for i, incident := range []string{"i-2", "i-1", "i-1"} {
		run := fmt.Sprint("r-", i+1)
		w.ok(201, "POST", "/runs", `{"playbook":"drilled","reason":"r","incident":"`+incident+`"}`, nil)
		w.clock.advance(time.Minute)
		if i == 1 {
			w.ok(200, "POST", "/runs/"+run+"/abort", `{"reason":"r"}`, nil)
			continue
		}
		w.ok(200, "POST", "/runs/"+run+"/done", `{"step":"look","note":"n"}`, nil)
		w.ok(200, "POST", "/runs/"+run+"/met", `{"criterion":1,"note":"n"}`, nil)
		w.ok(200, "POST", "/runs/"+run+"/end", `{}`, nil)
		if o := drills(); i == 0 && len(o.Drills) != 0 {
			t.Fatalf("%+v", o.Drills)
		}
	}
	w.restart()
	if o := drills(); len(o.Drills) != 1 || o.Drills[0].Playbook != "drilled" || !o.Drills[0].At.Equal(w.clock.Now()) {
		t.Fatalf("%+v", o.Drills)
	}
}

func TestTheGateSaysWhetherThePlanInForceIsReady(t *testing.T) {
	w := newWorld(t, nil)
	if p := w.bad(404, "no_plan", "GET", "/readiness", ""); !strings.Contains(p.Hint, "andon plan") {
		t.Error(p.Hint)
	}
	w.applyPlan(examplePlan(t, nil), 0)
	var r plan.Report
	w.ok(200, "GET", "/readiness", "", &r)
	if r.Ready || !r.Observed || r.Version != "1" || r.Blocking == 0 || r.Score.Value >= 100 || r.Score.How == "" || len(r.Matrix.Rows) == 0 || len(r.Cover) == 0 {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"ANDON-PLAN-102", "ANDON-PLAN-606"} { // its gateways were never seen, its people have no accounts
		if !slices.ContainsFunc(r.Findings, func(f plan.Finding) bool { return f.Rule == want }) {
			t.Errorf("%s is not found", want)
		}
	}
	looker := w.member("looker", "viewer")
	var again plan.Report
	if code := w.said(looker, "/readiness", &again); code != 200 || again.Blocking != r.Blocking {
		t.Error(code, again.Blocking)
	}
	var rules ruleList
	w.ok(200, "GET", "/readiness/rules", "", &rules)
	if len(rules.Rules) != len(plan.Rules()) {
		t.Error(len(rules.Rules))
	}
	w.restart()
	again = plan.Report{}
	w.ok(200, "GET", "/readiness", "", &again)
	if again.Blocking != r.Blocking || len(again.Matrix.Rows) != len(r.Matrix.Rows) {
		t.Errorf("%d after a restart, %d before", again.Blocking, r.Blocking)
	}
}

func TestAWaiverIsADecisionThatExpires(t *testing.T) {
	w := clocked(t)
	bea := w.member("bea", "approver")
	w.clock.advance(time.Second)
	w.applyPlan(examplePlan(t, func(p *plan.Plan) { p.Authority = nil }), 0)
	var r plan.Report
	w.ok(200, "GET", "/readiness", "", &r)
	i := slices.IndexFunc(r.Findings, func(f plan.Finding) bool { return f.Rule == "ANDON-PLAN-102" })
	subject := r.Findings[i].Subject
	now := w.clock.Now()
	// Under a plan that says nothing one other person has to agree to a waiver.
	var waiting waitingView
	w.ok(202, "POST", "/readiness/waivers", waiverBody("ANDON-PLAN-102", subject, now.Add(48*time.Hour)), &waiting)
	if a := waiting.Approval; a.Do != "waive" || !strings.Contains(a.Says, "waive ANDON-PLAN-102 for "+subject) || a.Takes.Approvals != 1 {
		t.Fatalf("%+v", a)
	}
	again := plan.Report{}
	w.ok(200, "GET", "/readiness", "", &again)
	if f := finding(&again, "ANDON-PLAN-102", subject); f == nil || !f.Blocks() {
		t.Fatal("waived before anybody agreed")
	}
	w.clock.advance(time.Second)
	if p, _ := w.as(bea, "POST", "/approvals/"+waiting.Approval.ID+"/approve", `{"reason":"agreed"}`); p != nil {
		t.Fatal(p)
	}
	check := func(want string, blocks bool) {
		t.Helper()
		var l waiverList
		w.ok(200, "GET", "/readiness/waivers", "", &l)
		if len(l.Waivers) != 1 || l.Waivers[0].State != want || l.Waivers[0].ByName != "ann" || l.Waivers[0].By != "op-1" {
			t.Fatalf("%+v, want %s", l, want)
		}
		var r plan.Report
		w.ok(200, "GET", "/readiness", "", &r)
		f := finding(&r, "ANDON-PLAN-102", subject)
		if f == nil || f.Blocks() != blocks || !blocks && (f.Waiver.By != "ann" || f.Waiver.ID != "w-1" || r.Waived != 1) {
			t.Fatalf("%+v, want it to block: %v", f, blocks)
		}
	}
	check(waiverActive, false)
	w.restart()
	check(waiverActive, false)
	if got := w.c.waiverWarnings(&call{r: httptest.NewRequest("GET", "/", nil)}, &waiverSpec{Rule: "ANDON-PLAN-102", Subject: subject + "x"}); len(got) != 1 || got[0].Code != "no_finding" {
		t.Errorf("a typing error is not noticed: %+v", got)
	}
	if got := w.c.waiverWarnings(&call{r: httptest.NewRequest("GET", "/", nil)}, &waiverSpec{Rule: "ANDON-PLAN-102", Subject: subject}); got != nil {
		t.Errorf("%+v", got)
	}
	size := w.log.Size()
	w.clock.advance(47 * time.Hour)
	check(waiverActive, false)
	w.clock.advance(time.Hour)
	check(waiverExpired, true)
	if got := w.log.Size(); got != size {
		t.Errorf("the clock wrote %d entries", got-size)
	}
	if p := w.bad(409, "waiver_over", "POST", "/readiness/waivers/w-1/withdraw", `{"reason":"r"}`); !strings.Contains(p.Detail, "expired") {
		t.Error(p.Detail)
	}
}

func TestWaiversThatAreRefused(t *testing.T) {
	w := clocked(t)
	now := w.clock.Now()
	day := 24 * time.Hour
	good := waiverBody("ANDON-PLAN-801", "contact/desk", now.Add(day))
	for name, tc := range map[string]struct{ body, code, field string }{
		"no rule":    {waiverBody("ANDON-PLAN-999", "contact/desk", now.Add(day)), "invalid_field", "rule"},
		"no subject": {waiverBody("ANDON-PLAN-801", "", now.Add(day)), "invalid_field", "subject"},
		"two lines":  {waiverBody("ANDON-PLAN-801", "contact/\ndesk", now.Add(day)), "invalid_field", "subject"},
		"long":       {waiverBody("ANDON-PLAN-801", strings.Repeat("x", 513), now.Add(day)), "invalid_field", "subject"},
		"past":       {waiverBody("ANDON-PLAN-801", "contact/desk", now.Add(-time.Second)), "invalid_field", "until"},
		"91 days":    {waiverBody("ANDON-PLAN-801", "contact/desk", now.Add(90*day+time.Minute)), "invalid_field", "until"},
		"for ever":   {`{"rule":"ANDON-PLAN-801","subject":"contact/desk","reason":"r"}`, "invalid_field", "until"},
		"no reason":  {strings.Replace(good, "accepted for now", " ", 1), "invalid_field", "reason"},
		"unknown":    {strings.Replace(good, `{"rule"`, `{"by":"bea","rule"`, 1), "unknown_field", "by"},
		"a day":      {strings.Replace(good, now.Add(day).UTC().Format(time.RFC3339), "2027-01-01", 1), "invalid_json", "until"},
	} {
		t.Run(name, func(t *testing.T) {
			status := map[string]int{"invalid_field": 422, "unknown_field": 400, "invalid_json": 400}[tc.code]
			if p := w.bad(status, tc.code, "POST", "/readiness/waivers", tc.body); p.Field != tc.field {
				t.Errorf("%+v", p)
			}
		})
	}
	w.bad(403, "own_finding", "POST", "/readiness/waivers", waiverBody("ANDON-PLAN-607", "roster/night/ann", now.Add(day)))
	w.bad(404, "not_found", "POST", "/readiness/waivers/w-1/withdraw", `{"reason":"r"}`)
	if size := w.log.Size(); size != 1 {
		t.Errorf("%d entries", size)
	}
	// Without a plan one administrator decides. What no plan has can be waived: it
	// may be of a folder that is checked.
	var v waiverView
	w.ok(201, "POST", "/readiness/waivers", good, &v)
	if v.ID != "w-1" || v.State != waiverActive || v.Level != plan.Blocking || v.Title == "" || v.Warnings != nil || v.ByName != "ann" {
		t.Errorf("%+v", v)
	}
	for i := range 4 {
		w.ok(201, "POST", "/readiness/waivers", waiverBody("ANDON-PLAN-801", fmt.Sprint("contact/", i), now.Add(day)), nil)
	}
	if p := w.bad(422, "invalid_field", "POST", "/readiness/waivers/w-1/withdraw", `{"reason":""}`); p.Field != "reason" {
		t.Error(p)
	}
	w.ok(200, "POST", "/readiness/waivers/w-1/withdraw", `{"reason":"closed"}`, &v)
	if v.State != waiverWithdrawn || v.WithdrawnBy != "op-1" || v.Why != "closed" {
		t.Errorf("%+v", v)
	}
	w.bad(409, "waiver_over", "POST", "/readiness/waivers/w-1/withdraw", `{"reason":"r"}`)
	ids := func(query string) (out []string, next string) {
		var l waiverList
		w.ok(200, "GET", "/readiness/waivers"+query, "", &l)
		for _, v := range l.Waivers {
			out = append(out, v.ID)
		}
		return out, l.Next
	}
	for query, want := range map[string]string{"": "[w-1 w-2 w-3 w-4 w-5] ", "?state=active&limit=2": "[w-2 w-3] w-3", "?state=active&limit=2&after=w-3": "[w-4 w-5] ", "?state=withdrawn": "[w-1] ", "?after=w-9": "[] "} {
		if got, next := ids(query); fmt.Sprint(got, " ", next) != want {
			t.Errorf("%s: %v %s, want %s", query, got, next, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=501", "?limit=x", "?after=c-1", "?state=gone", "?x=1", "?limit=1&limit=2"} {
		w.bad(400, "invalid_query", "GET", "/readiness/waivers"+query, "")
	}
	// A clock that goes back makes no waiver longer.
	w.clock.advance(2 * day)
	w.create(stopLarge) // the record has seen this time
	w.clock.advance(-2 * day)
	if got, _ := ids("?state=active"); len(got) != 0 {
		t.Errorf("%v are in force again", got)
	}
}

func TestWaiversAreFoldedStrictly(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	good := waivedBody{ID: "w-1", Rule: "ANDON-PLAN-801", Subject: "contact/desk", Reason: "r", Until: at.Add(plan.MaxWaiver), By: "op-1"}
	fold := func(s *state, kind string, b any) error {
		_, err := s.fold(ledger.Entry{Seq: s.size, At: at, Type: kind, Actor: "op-1", Body: body(b)})
		return err
	}
	s := newState()
	for name, change := range map[string]func(*waivedBody){
		"out of turn": func(b *waivedBody) { b.ID = "w-2" }, "too long": func(b *waivedBody) { b.Until = b.Until.Add(time.Second) }, "over": func(b *waivedBody) { b.Until = at },
	} {
		b := good
		change(&b)
		if err := fold(s, typeWaived, b); err == nil {
			t.Errorf("%s was folded", name)
		}
	}
	if err := fold(s, typeUnwaived, unwaivedBody{ID: "w-1", Reason: "r"}); err == nil {
		t.Error("nothing was withdrawn")
	}
	must(t, fold(s, typeWaived, good))
	must(t, fold(s, typeUnwaived, unwaivedBody{ID: "w-1", Reason: "r"}))
	if err := fold(s, typeUnwaived, unwaivedBody{ID: "w-1", Reason: "r"}); err == nil {
		t.Error("withdrawn twice")
	}
	if len(s.readiness.waivers) != 1 || s.readiness.waiver("w-01") != nil || s.readiness.waiver("w-1") == nil {
		t.Errorf("%+v", s.readiness)
	}
}
