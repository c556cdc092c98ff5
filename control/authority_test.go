package control

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/bus"
	"andon/correction"
	"andon/order"
	"andon/plan"
)

const anHour = correction.Duration(time.Hour)

// house is rules as a company may have them.
var house = []authority.Rule{
	{Name: "on call", Acts: []authority.Act{authority.Tighten}, Roles: []authority.Role{authority.Responder, authority.Commander, authority.Administrator}, Approvals: 1, Within: 4 * anHour, Then: authority.Stay},
	{Name: "narrow only", Acts: []authority.Act{authority.Tighten}, ShareOver: 0.2, Roles: []authority.Role{authority.Commander, authority.Administrator}, Approvals: 2, Within: anHour},
	{Name: "loosen", Acts: []authority.Act{authority.Loosen}, Roles: []authority.Role{authority.Commander, authority.Administrator}, Approvals: 1, Approvers: []authority.Role{authority.Approver, authority.Commander}, Within: anHour},
	{Name: "loosen a stop", Acts: []authority.Act{authority.Loosen}, Kinds: []string{"L3+"}, Roles: []authority.Role{authority.Commander, authority.Administrator}, Approvals: 2, Approvers: []authority.Role{authority.Approver}, Within: anHour},
	{Name: "plan", Acts: []authority.Act{authority.ApplyPlan}, Roles: []authority.Role{authority.Administrator}},
}

// rule puts rules in force and returns tokens by name: ann is the administrator,
// res a responder, com and co2 commanders, ap1 to ap3 approvers, aud an auditor.
func (w *world) rules(rules []authority.Rule, change func(*plan.Plan)) map[string]string {
	w.t.Helper()
	tokens := map[string]string{"ann": w.token}
	for name, role := range map[string]string{"res": "responder", "com": "commander", "co2": "commander", "ap1": "approver", "ap2": "approver", "ap3": "approver", "aud": "auditor", "vie": "viewer"} {
		tokens[name] = w.member(name, role)
	}
	w.applyPlan(examplePlan(w.t, func(p *plan.Plan) {
		p.Authority, p.Limits = rules, nil
		p.Dependants[0].HoldDown = false
		if change != nil {
			change(p)
		}
	}), 0)
	return tokens
}

// by sends a request with somebody's token and returns the status, a problem if it
// is one, and the body.
func (w *world) by(token, method, path, body string) (int, *Problem, []byte) {
	w.t.Helper()
	resp := w.do(method, api+path, body, nil, "Authorization", "Bearer "+token)
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode >= 300 {
		var p Problem
		must(w.t, json.Unmarshal(data, &p))
		return resp.StatusCode, &p, nil
	}
	return resp.StatusCode, nil, data
}

// asked sends a command that has to wait for others, and returns what waits.
func (w *world) asked(token, path, body string) actView {
	w.t.Helper()
	status, p, data := w.by(token, "POST", path, body)
	if status != 202 {
		w.t.Fatalf("%s: %d %v %s", path, status, p, data)
	}
	var v waitingView
	must(w.t, json.Unmarshal(data, &v))
	return v.Approval
}

func (w *world) act(id string) actView {
	w.t.Helper()
	var v actView
	w.ok(200, "GET", "/approvals/"+id, "", &v)
	return v
}

func TestToLoosenTakesOthers(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	revision := w.revision()
	lift, why := "/corrections/c-1/lift", `{"reason":"fixed"}`

	// Who may not even ask.
	if _, p, _ := w.by(tok["res"], "POST", lift, why); p == nil || p.Code != "not_authorised" || !strings.Contains(p.Detail, "loosen a stop") || len(p.Allowed) == 0 {
		t.Fatalf("%+v", p)
	}
	if _, p, _ := w.by(tok["ap1"], "POST", lift, why); p == nil || p.Status != 403 {
		t.Fatalf("%+v", p)
	}
	a := w.asked(tok["com"], lift, why)
	if a.ID != "a-1" || a.State != "open" || a.Takes.Approvals != 2 || a.Says != "lift c-1 (stop L3 of model sim-large)" || len(a.CanAnswer) != 3 || a.Subject != "c-1" {
		t.Fatalf("%s", jsonText(a))
	}
	if w.revision() != revision || w.get("c-1").State != "active" {
		t.Fatal("it was lifted before anybody agreed")
	}
	if _, p, _ := w.by(tok["co2"], "POST", lift, why); p == nil || p.Code != "approval_open" || !strings.Contains(p.Detail, "a-1") {
		t.Errorf("asked twice: %+v", p)
	}
	approve := func(who string) (*Problem, actView) {
		_, p, data := w.by(tok[who], "POST", "/approvals/a-1/approve", `{"reason":"looked"}`)
		var v actView
		if p == nil {
			must(t, json.Unmarshal(data, &v))
		}
		return p, v
	}
	// Nobody whose word does not count can give it.
	for who, says := range map[string]string{"com": "asked for it", "res": "has not the role", "co2": "has not the role", "aud": "has not the role", "ann": "has not the role"} {
		if p, _ := approve(who); p == nil || p.Code != "not_independent" || !strings.Contains(p.Detail, says) {
			t.Errorf("%s: %+v", who, p)
		}
	}
	if p, _ := approve("vie"); p == nil || p.Code != "forbidden" {
		t.Errorf("%+v", p)
	}
	w.clock.advance(time.Minute)
	tok["late"] = w.member("late", "approver")
	if p, _ := approve("late"); p == nil || !strings.Contains(p.Detail, "after it was asked") {
		t.Errorf("whoever is let in later decides: %+v", p)
	}
	if p, v := approve("ap1"); p != nil || v.Counted != 1 || v.State != "open" {
		t.Fatal(p, jsonText(v))
	}
	if p, _ := approve("ap1"); p == nil || p.Code != "approval_twice" {
		t.Errorf("counted twice: %+v", p)
	}
	// Whose role ended does not count any more, though they agreed.
	w.ok(200, "DELETE", "/operators/"+w.act("a-1").Answers[0].By+"?reason=left", "", nil)
	if v := w.act("a-1"); v.Counted != 0 || v.Answers[0].Counts {
		t.Fatalf("%s", jsonText(v))
	}
	w.restart()
	if p, v := approve("ap2"); p != nil || v.State != "open" {
		t.Fatal(p, jsonText(v))
	}
	if p, v := approve("ap3"); p != nil || v.State != "carried" || v.Counted != 2 {
		t.Fatal(p, jsonText(v))
	}
	if c := w.get("c-1"); c.State != "lifted" {
		t.Fatalf("%s", jsonText(c))
	}
	if p, _ := approve("ap3"); p == nil || p.Code != "approval_closed" {
		t.Errorf("%+v", p)
	}
}

func TestAnApprovalThatComesLate(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`)
	w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`)
	w.clock.advance(time.Hour)
	if _, p, _ := w.by(tok["ap1"], "POST", "/approvals/a-1/approve", `{"reason":"r"}`); p == nil || p.Code != "approval_closed" {
		t.Fatalf("%+v", p)
	}
	w.clerk(t, func() bool { return w.act("a-1").State == "lapsed" })
	if w.get("c-1").State != "active" {
		t.Fatal("what lapsed was carried")
	}
	// Declined, withdrawn, and what can not be done any more.
	w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`)
	if _, p, _ := w.by(tok["co2"], "POST", "/approvals/a-2/withdraw", `{"reason":"r"}`); p == nil || p.Code != "not_independent" {
		t.Errorf("%+v", p)
	}
	if st, p, _ := w.by(tok["ap1"], "POST", "/approvals/a-2/decline", `{"reason":"not fixed"}`); st != 200 {
		t.Fatal(p)
	}
	if v := w.act("a-2"); v.State != "declined" || v.Why != "not fixed" {
		t.Errorf("%s", jsonText(v))
	}
	w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`)
	if st, p, _ := w.by(tok["com"], "POST", "/approvals/a-3/withdraw", `{"reason":"r"}`); st != 200 || w.act("a-3").State != "withdrawn" {
		t.Fatal(p)
	}
	w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`)
	status, p, _ := w.by(tok["com"], "POST", "/corrections/c-1/lift?break_glass=true", `{"reason":"cannot wait"}`)
	if status != 200 {
		t.Fatal(p)
	}
	if st, p, _ := w.by(tok["ap1"], "POST", "/approvals/a-4/approve", `{"reason":"r"}`); st != 200 {
		t.Fatal(p)
	}
	if v := w.act("a-4"); v.State != "failed" || !strings.Contains(v.Why, "lifted") {
		t.Errorf("%s", jsonText(v))
	}
}

// clerk waits until what only time brings about has happened.
func (w *world) clerk(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the clerk has not come to it")
		}
	}
}

// TestTwoApproversRacing: with one approval missing and two people who give it at
// once, one carries it and the other is told that it is closed; with two missing,
// both count. Never is one counted twice, nor one lost.
func TestTwoApproversRacing(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(house, nil)
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	for i := range rounds {
		body, need := `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`, 1
		if i%2 == 1 {
			body, need = stopLarge, 2
		}
		id := w.create(body).ID
		a := w.asked(tok["com"], "/corrections/"+id+"/lift", `{"reason":"r"}`).ID
		var wg sync.WaitGroup
		codes := make([]int, 2)
		for k, who := range []string{"ap1", "ap2"} {
			wg.Go(func() { codes[k], _, _ = w.by(tok[who], "POST", "/approvals/"+a+"/approve", `{"reason":"r"}`) })
		}
		wg.Wait()
		v := w.act(a)
		agreed := 0
		for _, c := range codes {
			if c == 200 {
				agreed++
			}
		}
		if v.State != "carried" || len(v.Answers) != need || agreed != need || codes[0]+codes[1] != map[int]int{1: 200 + 409, 2: 400}[need] {
			t.Fatalf("round %d: %v, %s", i, codes, jsonText(v))
		}
		if w.get(id).State != "lifted" {
			t.Fatalf("round %d: agreed to and not lifted", i)
		}
	}
}

func TestWhatTightensIsRatifiedByOthers(t *testing.T) {
	w := clocked(t)
	rules := append([]authority.Rule{}, house...)
	tok := w.rules(rules, nil)
	w.token = tok["com"]
	v := w.create(stopLarge)
	if v.State != "active" || v.Ratification == nil || v.Ratification.State != "pending" || v.Ratification.Approvals != 2 {
		t.Fatalf("%s", jsonText(v))
	}
	ratify := func(who string) *ratificationView {
		t.Helper()
		st, p, data := w.by(tok[who], "POST", "/corrections/c-1/ratify", `{"reason":"looked"}`)
		if st != 200 {
			t.Fatal(who, p)
		}
		var v correctionView
		must(t, json.Unmarshal(data, &v))
		return v.Ratification
	}
	for _, x := range []struct{ who, code string }{{"com", "not_independent"}, {"res", "forbidden"}} {
		before := w.get("c-1").ReviewBy
		if st, p, _ := w.by(tok[x.who], "POST", "/corrections/c-1/ratify", `{"reason":"looked"}`); p.Code != x.code {
			t.Fatalf("%s ratifies: %d %+v", x.who, st, p)
		}
		if v := w.get("c-1"); len(v.Ratification.By) != 0 || !v.ReviewBy.Equal(before) {
			t.Fatalf("%s was refused, and it left something: %s", x.who, jsonText(v))
		}
	}
	if r := ratify("ap1"); len(r.By) != 1 || r.State != "pending" {
		t.Fatalf("%s", jsonText(r))
	}
	if st, p, _ := w.by(tok["ap1"], "POST", "/corrections/c-1/ratify", `{"reason":"looked"}`); p.Code != "approval_twice" {
		t.Fatalf("twice: %d %+v", st, p)
	}
	w.restart()
	if r := ratify("co2"); len(r.By) != 2 || r.State != "ratified" {
		t.Fatalf("%s", jsonText(r))
	}
	w.clock.advance(5 * time.Hour)

	// Nobody looks: it stays, overdue, with an alarm, also after a restart.
	w.create(stopLarge)
	w.clock.advance(2 * time.Hour)
	w.clerk(t, func() bool { r := w.get("c-2"); return r.Ratification.State == "overdue" && r.State == "active" })
	if !strings.Contains(w.logs.String(), "ALARM: c-2 was not ratified in time") {
		t.Error("no alarm")
	}
	w.restart()
	if r := w.get("c-2"); r.Ratification.State != "overdue" || r.State != "active" {
		t.Fatalf("%s", jsonText(r))
	}
	if w.get("c-1").Ratification.State != "ratified" {
		t.Error("c-1")
	}
}

func TestWhatNobodyRatifiedLapsesWhereTheRuleSaysSo(t *testing.T) {
	w := clocked(t)
	w.rules([]authority.Rule{
		{Name: "stop-gap", Acts: []authority.Act{authority.Tighten}, Roles: []authority.Role{authority.Administrator}, Approvals: 1, Within: anHour, Then: authority.Lapse},
		{Name: "rest", Acts: []authority.Act{authority.Loosen, authority.ApplyPlan}, Roles: []authority.Role{authority.Administrator}},
	}, nil)
	w.create(stopLarge)
	w.clock.advance(59 * time.Minute)
	time.Sleep(2 * clerkPace)
	if w.get("c-1").State != "active" {
		t.Fatal("it lapsed too early")
	}
	w.clock.advance(2 * time.Minute)
	w.clerk(t, func() bool { return w.get("c-1").State == "lifted" })
	if h := w.get("c-1").History; !strings.Contains(h[len(h)-1].Reason, "not ratified in time: 0 of 1") || h[len(h)-1].By != system {
		t.Errorf("%+v", h)
	}
}

func TestTheShareOfTrafficDecides(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(house, nil)
	refused := int64(10)
	g := w.gate("gw-1", true)
	_, err := g.bus.Subscribe(order.SubjectLive, func(m bus.Msg) {
		p := order.Preview{Gateway: g.name, Pseudonyms: "one", Recorded: 100, Requests: refused, Refused: refused, Reached: refused, Since: time.Now().Add(-time.Hour), Until: time.Now()}
		data, _ := json.Marshal(p)
		m.Respond(data)
	})
	must(t, err)
	must(t, g.bus.Flush(t.Context()))
	block := `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`

	// A responder may block a tenth, and others ratify that within four hours.
	w.token = tok["res"]
	v := w.create(block)
	if v.Ratification == nil || v.Ratification.Approvals != 1 || v.Ratification.Share == nil || *v.Ratification.Share != 0.1 || strings.Join(v.Ratification.Rules, "+") != "on call" {
		t.Fatalf("%s", jsonText(v.Ratification))
	}
	// A half takes a commander, who does not wait for the measurement.
	refused = 50
	if p := w.bad(403, "not_authorised", "POST", "/corrections", block); !strings.Contains(p.Detail, "commander") || !strings.Contains(p.Detail, "narrow only") {
		t.Errorf("%+v", p)
	}
	w.token = tok["com"]
	if v = w.create(block); v.Ratification.Approvals != 2 {
		t.Fatalf("%s", jsonText(v.Ratification))
	}
	// What a commander blocks is looked at by fewer once it is known to be small.
	refused = 1
	id := w.create(block).ID
	w.clerk(t, func() bool {
		r := w.get(id).Ratification
		return r.Share != nil && *r.Share == 0.01 && r.Approvals == 1
	})
}

func TestBreakGlass(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	w.token = tok["res"]
	for _, who := range []string{"ap1", "aud", "vie"} {
		if _, p, _ := w.by(tok[who], "POST", "/corrections/c-1/lift?break_glass=true", `{"reason":"r"}`); p == nil || p.Status != 403 {
			t.Errorf("%s: %+v", who, p)
		}
	}
	w.bad(400, "invalid_query", "POST", "/corrections/c-1/lift?break_glass=yes", `{"reason":"r"}`)
	w.ok(200, "POST", "/corrections/c-1/lift?break_glass=true", `{"reason":"hospital is down"}`, nil)
	if w.get("c-1").State != "lifted" || !strings.Contains(w.logs.String(), "ALARM: the glass was broken by res: lift c-1") {
		t.Fatal("it was not lifted, or silently")
	}
	var list reviewList
	w.ok(200, "GET", "/reviews?state=open", "", &list)
	if len(list.Reviews) != 2 || list.Reviews[0].Of != "break-glass" || list.Reviews[1].Of != "pull" || list.GoodFaith != authority.GoodFaith {
		t.Fatalf("%s", jsonText(list))
	}
	v := list.Reviews[0]
	w.bad(409, "not_independent", "POST", "/reviews/"+v.ID, `{"finding":"justified","statement":"s"}`)
	// What others have not looked at bounds what one can do alone.
	w.token = tok["ann"]
	for i := range maxGlass {
		w.create(stopLarge)
		st, p, _ := w.by(tok["res"], "POST", fmt.Sprintf("/corrections/c-%d/lift?break_glass=true", i+2), `{"reason":"r"}`)
		if last := i == maxGlass-1; last != (st == 403) || last && p.Code != "limit_reached" {
			t.Fatal(i, st, p)
		}
	}
	w.token = tok["aud"]
	w.bad(422, "invalid_field", "POST", "/reviews/"+v.ID, `{"finding":"fine","statement":"s"}`)
	w.ok(200, "POST", "/reviews/"+v.ID, `{"finding":"justified","statement":"patients waited"}`, nil)
	w.bad(409, "approval_closed", "POST", "/reviews/"+v.ID, `{"finding":"justified","statement":"s"}`)
	w.clock.advance(glassDue + time.Second)
	w.token = tok["vie"] // every pull is seen inside
	w.clerk(t, func() bool {
		var open reviewList
		w.ok(200, "GET", "/reviews?state=open", "", &open)
		n := 0
		for _, r := range open.Reviews {
			if r.Overdue {
				n++
			}
		}
		return n == maxGlass-1
	})
}

func TestLimitsOnTheSwitch(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, func(p *plan.Plan) {
		p.Limits = []authority.Limit{{Name: "stops", Kinds: []string{"stop"}, Count: 3, Per: anHour}}
	})
	w.token = tok["com"]
	for range 3 {
		w.create(stopLarge)
	}
	p := w.bad(403, "limit_reached", "POST", "/corrections", stopLarge)
	if !strings.Contains(p.Detail, "limit stops") || p.Hint == "" {
		t.Errorf("%+v", p)
	}
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`) // another kind
	w.token = tok["co2"]
	w.create(stopLarge) // another person
	w.ok(200, "POST", "/corrections/c-1/ratify", `{"reason":"looked"}`, nil)
	w.token = tok["com"]
	w.create(stopLarge) // others have looked
	w.bad(403, "limit_reached", "POST", "/corrections", stopLarge)
	w.ok(201, "POST", "/corrections?break_glass=true", stopLarge, nil) // a limit never stands in the way of a stop
	w.clock.advance(time.Hour + time.Second)
	w.create(stopLarge)
}

func TestAuthorityIsToldBeforehand(t *testing.T) {
	w := newWorld(t, nil)
	var v authorityView
	w.ok(200, "GET", "/authority", "", &v)
	if v.Planned || len(v.Rules) != len(authority.Acts) {
		t.Errorf("%s", jsonText(v))
	}
	tok := w.rules(house, nil)
	w.ok(200, "GET", "/authority", "", &v)
	if !v.Planned || len(v.Rules) != len(house) {
		t.Errorf("%s", jsonText(v))
	}
	w.token = tok["res"]
	var a askAnswer
	w.ok(200, "POST", "/authority/ask", `{"act":"loosen","kind":"stop","level":"L3"}`, &a)
	if a.You || a.Takes.Approvals != 2 || len(a.Others) != 3 || len(a.People) != 3 {
		t.Errorf("%s", jsonText(a))
	}
	w.bad(422, "invalid_field", "POST", "/authority/ask", `{"act":"destroy"}`)
}

// TestRestoringTakesWhatItLifts: a restoration that would lift a stop takes what
// lifting it takes, and is agreed to on what is in force then and no other.
func TestRestoringTakesWhatItLifts(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(house, nil)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["globex"]},"reason":"r"}`)
	before := w.standing()
	w.create(stopLarge)
	a := w.asked(tok["com"], "/restore", `{"before":"c-2","reason":"fixed"}`)
	if a.Takes.Approvals != 2 {
		t.Fatalf("%s", jsonText(a))
	}
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`) // meanwhile
	for _, who := range []string{"ap1", "ap2"} {
		if st, p, _ := w.by(tok[who], "POST", "/approvals/a-1/approve", `{"reason":"r"}`); st != 200 {
			t.Fatal(p)
		}
	}
	if v := w.act("a-1"); v.State != "failed" || !strings.Contains(v.Why, "changed since") {
		t.Fatalf("%s", jsonText(v))
	}
	w.asked(tok["com"], "/restore", `{"before":"c-2","reason":"fixed"}`)
	for _, who := range []string{"ap1", "ap2"} {
		if st, p, _ := w.by(tok[who], "POST", "/approvals/a-2/approve", `{"reason":"r"}`); st != 200 {
			t.Fatal(p)
		}
	}
	if w.act("a-2").State != "carried" || w.standing() != before {
		t.Fatalf("%s\n%s", w.standing(), before)
	}
	// To bring back what was lifted by mistake waits for nobody.
	id := w.create(stopLarge).ID
	w.ok(200, "POST", "/corrections/"+id+"/lift?break_glass=true", `{"reason":"r"}`, nil)
	if st, p, _ := w.by(tok["com"], "POST", "/restore", fmt.Sprintf(`{"revision":%d,"reason":"by mistake"}`, w.revision()-1)); st != 200 || w.get(id).State != "active" {
		t.Fatal(st, p)
	}
}

// TestToGiveRolesTakesOthers: where a rule asks for others, nobody makes the people
// who would then agree with them.
func TestToGiveRolesTakesOthers(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(append([]authority.Rule{
		{Name: "people", Acts: []authority.Act{authority.Staff, authority.Unmask}, Roles: []authority.Role{authority.Administrator, authority.Auditor}, Approvals: 1, Approvers: []authority.Role{authority.Approver}},
	}, house...), nil)
	if p := w.bad(403, "approval_needed", "POST", "/operators", `{"name":"puppet","role":"approver"}`); p.Hint == "" {
		t.Errorf("%+v", p)
	}
	var v operatorView
	w.ok(201, "POST", "/operators", `{"name":"newcomer","role":"viewer"}`, &v)
	a := w.asked(w.token, "/operators/"+v.ID+"/roles", `{"roles":["approver"],"reason":"joins the rota"}`)
	if a.Says != "give newcomer the roles approver, not viewer" {
		t.Errorf("%s", jsonText(a))
	}
	if _, p, _ := w.by(v.Token, "POST", "/approvals/"+a.ID+"/approve", `{"reason":"r"}`); p == nil || p.Status != 403 {
		t.Errorf("%+v", p)
	}
	if st, p, _ := w.by(tok["ap1"], "POST", "/approvals/"+a.ID+"/approve", `{"reason":"r"}`); st != 200 {
		t.Fatal(p)
	}
	var me whoamiView
	resp := w.do("GET", api+"/whoami", "", &me, "Authorization", "Bearer "+v.Token)
	if resp.StatusCode != 200 || !strings.Contains(jsonText(me), "approver") {
		t.Errorf("%s", jsonText(me))
	}
	// Less waits for nobody.
	w.ok(200, "POST", "/operators/"+v.ID+"/roles", `{"roles":["viewer"],"reason":"left the rota"}`, nil)

	// An erasure is carried out when the last of them has agreed.
	if _, p := w.anyone("POST", "/concerns", `{"topic":"other","text":"forget this"}`, nil); p != nil {
		t.Fatal(p)
	}
	w.token = tok["aud"]
	var k concernView
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	w.asked(tok["aud"], "/personal/"+k.Personal[0]+"/erase", `{"reason":"asked for"}`)
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	if k.Text == "" {
		t.Fatal("it was erased before anybody agreed")
	}
	if st, p, _ := w.by(tok["ap2"], "POST", "/approvals/a-2/approve", `{"reason":"r"}`); st != 200 {
		t.Fatal(p)
	}
	k = concernView{}
	w.ok(200, "GET", "/concerns/k-1", "", &k)
	if k.Text != "" || !k.Erased {
		t.Errorf("%s", jsonText(k))
	}
}
