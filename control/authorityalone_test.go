package control

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/plan"
)

// The tests of this file are of somebody who wants to loosen alone, by another way
// than a lift.

func (w *world) operatorID(name string) string {
	w.t.Helper()
	w.c.mu.RLock()
	defer w.c.mu.RUnlock()
	op := w.c.state.operatorNamed(name)
	if op == nil {
		w.t.Fatal("no operator ", name)
	}
	return op.id
}

// refused asks for something that has to be refused, with a code and in words.
func (w *world) refused(token, path, body, code, says string) {
	w.t.Helper()
	status, p, data := w.by(token, "POST", path, body)
	if p == nil || p.Code != code || !strings.Contains(p.Detail, says) {
		w.t.Fatalf("%s: %d %+v %s, want %s: %s", path, status, p, data, code, says)
	}
}

func (w *world) approve(token, id string) actView {
	w.t.Helper()
	var v actView
	status, p, data := w.by(token, "POST", "/approvals/"+id+"/approve", `{"reason":"looked"}`)
	if status != 200 {
		w.t.Fatalf("%d %+v", status, p)
	}
	must(w.t, json.Unmarshal(data, &v))
	return v
}

// An open case is withdrawn with its stop: that is a lift.
func TestNobodyWithdrawsAnOpenCaseAlone(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.ok(201, "POST", "/custody", `{"level":"L5","models":["sim-large"],"reason":"r","legal_basis":"r"}`, nil)
	w.refused(tok["res"], "/custody/case-1/withdraw", `{"reason":"a false alarm"}`, "not_authorised", "loosen")
	a := w.asked(tok["com"], "/custody/case-1/withdraw", `{"reason":"a false alarm"}`)
	if a.Takes.Approvals != 2 || w.get("c-1").State != "active" {
		t.Fatalf("%s", jsonText(a))
	}
	w.approve(tok["ap1"], a.ID)
	if v := w.approve(tok["ap2"], a.ID); v.State != "carried" || w.get("c-1").State != "lifted" {
		t.Fatalf("%s", jsonText(v))
	}
	w.restart()
	if k, err := w.c.showCase("case-1"); err != nil || k.State != caseWithdrawn {
		t.Fatal(k.State, err)
	}
}

// Whose role ended since they agreed carries no seal, and who was given the role
// after it was proposed does not agree.
func TestAQuorumOfThoseWhoStillHaveTheRole(t *testing.T) {
	w := clocked(t)
	tok := w.rules(nil, nil)
	w.ok(201, "POST", "/custody", `{"level":"L5","models":["sim-large"],"reason":"r","legal_basis":"r"}`, nil)
	w.clock.advance(time.Second)
	tok["late"] = w.member("late", "approver")
	approve := func(who string) *Problem {
		_, p, _ := w.by(tok[who], "POST", "/custody/case-1/approve", `{"action":"seal","reason":"looked"}`)
		return p
	}
	if p := approve("late"); p == nil || p.Code != "not_independent" {
		t.Errorf("who came later decides: %+v", p)
	}
	for _, who := range []string{"ap1", "ap2"} {
		if p := approve(who); p != nil {
			t.Fatal(p)
		}
	}
	w.ok(200, "POST", "/operators/"+w.operatorID("ap2")+"/roles", `{"roles":["viewer"],"reason":"left the board"}`, nil)
	w.c.mu.RLock()
	err := w.c.state.custodyAuthority(w.c.state.operatorNamed("com"), w.c.state.cases["case-1"], typeSealed)
	w.c.mu.RUnlock()
	if err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("a quorum of one: %v", err)
	}
}

// An administrator makes a token in somebody's name, and has seen it.
func TestATokenThatAnotherMadeIsNobodysWord(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`)
	a := w.asked(tok["ann"], "/corrections/c-1/lift", `{"reason":"fixed"}`)
	token := func(by, of, role string) string {
		t.Helper()
		status, p, data := w.by(tok[by], "POST", "/tokens", fmt.Sprintf(`{"name":"bot","operator":%q,"roles":[%q],"scopes":["approval.*","correction.*","review.*","custody.*"],"expires_in":"1h"}`, w.operatorID(of), role))
		if status != 201 {
			t.Fatal(p)
		}
		var v tokenView
		must(t, json.Unmarshal(data, &v))
		return v.Token
	}
	puppet := token("ann", "com", "commander")
	w.refused(puppet, "/approvals/"+a.ID+"/approve", `{"reason":"r"}`, "not_independent", "was made by")
	w.refused(puppet, "/approvals/"+a.ID+"/decline", `{"reason":"r"}`, "not_independent", "was made by")
	w.refused(puppet, "/corrections/c-1/ratify", `{"reason":"r"}`, "not_independent", "was made by")
	w.create(stopLarge)
	w.refused(puppet, "/reviews/v-1", `{"finding":"justified","statement":"r"}`, "not_independent", "was made by")
	w.ok(201, "POST", "/custody", `{"level":"L5","models":["sim-small"],"reason":"r","legal_basis":"r"}`, nil)
	w.refused(puppet, "/custody/case-1/approve", `{"action":"seal","reason":"r"}`, "not_independent", "was made by")
	// One's own is one's word, with the roles that it has.
	w.ok(200, "POST", "/operators/"+w.operatorID("co2")+"/roles", `{"roles":["commander","responder"],"reason":"r"}`, nil)
	w.refused(token("co2", "co2", "responder"), "/approvals/"+a.ID+"/approve", `{"reason":"r"}`, "not_independent", "without the role")
	w.refused(token("co2", "co2", "responder"), "/corrections/c-1/ratify", `{"reason":"r"}`, "forbidden", "takes the role")
	if v := w.approve(token("co2", "co2", "commander"), a.ID); v.State != "carried" {
		t.Fatalf("%s", jsonText(v))
	}
}

// A list is changed under the most demanding rule of all corrections that name it.
func TestAListThatSeveralCorrectionsName(t *testing.T) {
	w := newWorld(t, nil)
	rules := append([]authority.Rule{}, house...)
	tok := w.rules(rules, nil)
	w.ok(201, "PUT", "/lists/bad?dimension=orgs&reason=r", "acme\nglobex\n", nil)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"lists":["bad"]},"reason":"r"}`)
	w.create(`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"],"lists":["bad"]},"reason":"r"}`)
	a := w.asked(tok["com"], "/lists/bad/remove", `{"entries":["acme"],"reason":"r"}`)
	if a.Takes.Approvals != 2 || !strings.Contains(a.Says, "c-1 (and 1 more)") {
		t.Fatalf("%s", jsonText(a))
	}
	// Another correction that names it meanwhile: nobody agreed for that one.
	w.create(`{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-small"],"lists":["bad"]},"reason":"r"}`)
	w.approve(tok["ap1"], a.ID)
	if v := w.approve(tok["ap2"], a.ID); v.State != "failed" || !strings.Contains(v.Why, "c-3") {
		t.Fatalf("%s", jsonText(v))
	}
}

// What waits is judged by the rules of when it was asked for, and by those of now.
func TestAPlanThatComesWhileAnActWaits(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`)
	w.create(stopLarge)
	stricter, weaker := w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`), w.asked(tok["com"], "/corrections/c-2/lift", `{"reason":"r"}`)
	rules := append([]authority.Rule{}, house...)
	rules[2].Approvals, rules[2].Approvers = 2, []authority.Role{authority.Approver} // loosen
	rules[3].Approvals = 0                                                           // loosen a stop
	w.applyPlan(examplePlan(t, func(p *plan.Plan) { p.Authority, p.Limits, p.Dependants[0].HoldDown = rules, nil, false }), 1)
	w.restart()
	if v := w.act(stricter.ID); v.Takes.Approvals != 2 || len(v.CanAnswer) != 3 {
		t.Errorf("%s", jsonText(v))
	}
	w.refused(tok["co2"], "/approvals/"+stricter.ID+"/approve", `{"reason":"r"}`, "not_independent", "has not the role approver")
	if v := w.approve(tok["ap1"], stricter.ID); v.State != "open" || v.Counted != 1 {
		t.Errorf("one was enough: %s", jsonText(v))
	}
	if v := w.approve(tok["ap1"], weaker.ID); v.State != "open" || v.Takes.Approvals != 2 {
		t.Errorf("a new plan made it less: %s", jsonText(v))
	}
	// Who asked for it and may not any more has nothing carried.
	w.ok(200, "POST", "/operators/"+w.operatorID("com")+"/roles", `{"roles":["viewer"],"reason":"left"}`, nil)
	if v := w.approve(tok["ap2"], stricter.ID); v.State != "failed" || !strings.Contains(v.Why, "any more") || w.get("c-1").State != "active" {
		t.Errorf("%s", jsonText(v))
	}
}

// The rules are asked by the roles that somebody has as a command decides.
func TestARoleThatEndedWhileTheCommandWaited(t *testing.T) {
	w := newWorld(t, nil)
	token := w.member("both", "administrator")
	op, err := w.c.byToken(token, false)
	must(t, err)
	must(t, op.may("plan.read"))
	ctx := context.WithValue(t.Context(), callerKey{}, op.via)
	w.ok(200, "POST", "/operators/"+op.id+"/roles", `{"roles":["viewer"],"reason":"r"}`, nil)
	_, err = w.c.execute(ctx, op.id, func(s *state, _ time.Time) ([]draft, error) {
		_, err := s.require(op, authority.Question{Act: authority.ApplyPlan})
		return nil, err
	})
	if p := asProblem(err); err == nil || p.Code != "not_authorised" {
		t.Fatalf("by a role that had ended: %v", err)
	}
}

// To say that somebody has acknowledged lets them through.
func TestAcknowledgingForOthersIsAgreedTo(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(house, nil)
	w.makeKey(`{"org":"acme","use_cases":["medical/advice"]}`)
	w.create(`{"kind":"use","params":{"use_case":"medical","action":"acknowledge","acknowledge_by":"2100-01-01T00:00:00Z"},"scope":{"all":true},"reason":"r"}`)
	path, body := "/corrections/c-1/acknowledge", `{"org":"acme","reason":"they wrote a letter"}`
	w.refused(tok["res"], path, body, "not_authorised", "loosen")
	a := w.asked(tok["com"], path, body)
	acknowledged := func() acknowledgementsView {
		var v acknowledgementsView
		w.ok(200, "GET", "/corrections/c-1/acknowledgements", "", &v)
		return v
	}
	if v := acknowledged(); len(v.Acknowledged) != 0 {
		t.Fatalf("%+v", v)
	}
	w.approve(tok["ap1"], a.ID)
	w.restart()
	if v := acknowledged(); len(v.Acknowledged) != 1 || v.Acknowledged[0].By != w.operatorID("com") || v.Acknowledged[0].Statement != "they wrote a letter" {
		t.Fatalf("%+v", v)
	}
}

// What an application is for decides which corrections reach it.
func TestAnApplicationIsNotChangedAroundACorrection(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(house, nil)
	w.key(`{"org":"acme","attributes":["app=reader"]}`)
	w.ok(200, "PUT", "/apps/reader", `{"use_cases":["medical/advice"],"reason":"r"}`, nil)
	w.create(`{"kind":"use","params":{"use_case":"medical"},"scope":{"all":true},"reason":"r"}`)
	// More uses do not lead around it.
	w.ok(200, "PUT", "/apps/reader", `{"use_cases":["legal","medical/advice"],"reason":"r"}`, nil)
	for _, do := range [][3]string{{"PUT", "/apps/reader", `{"use_cases":["legal"],"reason":"r"}`}, {"DELETE", "/apps/reader?reason=r", ""}} {
		status, p, data := w.by(tok["ann"], do[0], do[1], do[2])
		if status != 202 {
			t.Fatalf("%s %s: %d %+v %s", do[0], do[1], status, p, data)
		}
		var v waitingView
		must(t, json.Unmarshal(data, &v))
		if do[0] == "PUT" {
			w.ok(200, "POST", "/approvals/"+v.Approval.ID+"/withdraw", `{"reason":"r"}`, nil)
			continue
		}
		if v := w.approve(tok["ap1"], v.Approval.ID); v.State != "carried" {
			t.Fatalf("%s", jsonText(v))
		}
	}
	// What spares a use is not reached by saying that one has it.
	w.create(`{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"except":{"use_cases":["legal"]},"reason":"r"}`)
	if status, p, _ := w.by(tok["ann"], "PUT", "/apps/reader", `{"use_cases":["legal"],"reason":"r"}`); status != 202 {
		t.Fatal(status, p)
	}
}

// A lower severity does not make lifting easier.
func TestALowerSeverityLiftsNothing(t *testing.T) {
	w := newWorld(t, nil)
	rules := append([]authority.Rule{}, house...)
	rules[3].Kinds, rules[3].Severities = nil, []int{1}
	tok := w.rules(rules, nil)
	status, p, _ := w.by(tok["com"], "POST", "/incidents", `{"title":"t","entry":"under_way","severity":"SEV-1","subject":{"models":["sim-large"]}}`)
	if status != 201 {
		t.Fatal(p)
	}
	w.create(strings.Replace(stopLarge, `"reason"`, `"incident":"i-1","reason"`, 1))
	status, p, _ = w.by(tok["com"], "POST", "/incidents/i-1/severity", `{"severity":"SEV-4","reason":"not so bad"}`)
	if status != 200 {
		t.Fatal(status, p)
	}
	w.restart()
	if a := w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`); a.Takes.Approvals != 2 {
		t.Fatalf("%s", jsonText(a.Takes))
	}
}

// A concern with a name says it to the desk, not to everybody who reads the record.
func TestANamedConcernIsNoLeak(t *testing.T) {
	w := newWorld(t, nil)
	token, auditor := w.member("rae", "responder"), w.member("aud", "auditor")
	if status, p, _ := w.by(token, "POST", "/concerns", `{"topic":"process","text":"t","named":true}`); status != 201 {
		t.Fatal(p)
	}
	id := w.operatorID("rae")
	must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		if e.Type == typeConcern && (e.Actor == id || strings.Contains(string(e.Body), id)) {
			t.Errorf("the record says who it was: %s %s", e.Actor, e.Body)
		}
		return nil
	}))
	w.restart()
	var v concernView
	if w.said(auditor, "/concerns/k-1", &v) != 200 || v.By != id {
		t.Errorf("the desk does not know: %+v", v)
	}
}

// One person does not take the room to ask from the others.
func TestWhatOneOperatorMayAskFor(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(house, nil)
	w.c.mu.Lock()
	for i := range maxOwnActs {
		id := fmt.Sprint("x-", i)
		if w.c.state.authority.acts == nil {
			w.c.state.authority.acts = map[string]*pendingAct{}
		}
		w.c.state.authority.acts[id] = &pendingAct{askedBody: askedBody{ID: id, Until: time.Now().Add(time.Hour)}, by: w.c.state.operatorNamed("com").id, state: actOpen}
		w.c.state.authority.actList = append(w.c.state.authority.actList, id)
	}
	w.c.mu.Unlock()
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"reason":"r"}`)
	w.refused(tok["com"], "/corrections/c-1/lift", `{"reason":"r"}`, "approval_open", "withdraw some")
	w.asked(tok["co2"], "/corrections/c-1/lift", `{"reason":"r"}`)
}

// Who came after it does not look at what somebody did alone.
func TestAReviewIsOfWhoWasThere(t *testing.T) {
	w := clocked(t)
	w.create(stopLarge)
	w.clock.advance(time.Second)
	w.refused(w.member("new", "auditor"), "/reviews/v-1", `{"finding":"justified","statement":"r"}`, "not_independent", "after it")
}

// To set a stop back is to give up what it is now.
func TestWhatIsSetBackIsAskedForAsItIs(t *testing.T) {
	w := newWorld(t, nil)
	w.rules(house, nil)
	w.create(strings.Replace(stopLarge, "L3", "L1", 1))
	w.c.mu.RLock()
	defer w.c.mu.RUnlock()
	r := w.c.state.corrections["c-1"]
	was := r.Correction
	r.Params.Level = "L4" // it was raised since
	a := w.c.state
	if got := a.ask(a.restoreQuestions(&restoredBody{Change: []correction.Correction{was}})...); got.Approvals != 2 {
		t.Fatalf("%s", jsonText(got))
	}
}

// What a restoration brings back may be of an incident that is not for everybody.
func TestARestorationTellsNobodyOfAnIncident(t *testing.T) {
	w := newWorld(t, nil)
	w.member("res", "responder")
	w.ok(201, "POST", "/incidents", `{"title":"t","entry":"under_way","severity":"SEV-1","marking":{"need_to_know":{"operators":["op-1"]}}}`, nil)
	w.create(strings.Replace(stopLarge, `"reason"`, `"incident":"i-1","reason"`, 1))
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"r"}`, nil)
	w.ok(200, "POST", "/restore", `{"revision":1,"reason":"r"}`, nil)
	n := 0
	must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		if e.Type == typeRestored {
			n++
			w.c.mu.RLock()
			defer w.c.mu.RUnlock()
			if entry, body := w.c.state.hears(w.c.state.operatorNamed("res"), e); !entry || body {
				t.Errorf("told with the incident: %v %v", entry, body)
			}
		}
		return nil
	}))
	if n != 1 {
		t.Fatal(n)
	}
}

// Who looks for earlier states again and again does not take the machine from all.
func TestEarlierStatesAreLookedForInTurn(t *testing.T) {
	w := newWorld(t, nil)
	for range maxPasts {
		w.c.desk.past <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.c.past(ctx, &restoreAsk{Revision: new(uint64)}); err == nil {
		t.Fatal("as many at once as anybody asks for")
	}
	<-w.c.desk.past
	if _, err := w.c.past(t.Context(), &restoreAsk{Revision: new(uint64)}); err != nil || len(w.c.desk.past) != maxPasts-1 {
		t.Fatal(err, len(w.c.desk.past))
	}
}
