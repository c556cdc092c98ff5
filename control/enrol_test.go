package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"andon/authority"
	"andon/ledger"
)

// enrol replaces the token that an operator was let in with by one of its own.
func (w *world) enrol(token string) string {
	w.t.Helper()
	var op operatorView
	w.ok(201, "POST", "/enrol", "", &op, "Authorization", "Bearer "+token)
	return op.Token
}

// Whoever lets somebody in has seen their token: until it is replaced their word
// does not count, and afterwards nothing that the maker may hold lets in.
func TestEnrolment(t *testing.T) {
	w := newWorld(t, nil)
	tokens := w.rules(house, nil)
	w.create(stopLarge)
	id := w.asked(tokens["com"], "/corrections/c-1/lift", `{"reason":"over"}`).ID
	var op operatorView
	made := operatorView{}
	w.joinsFirst("puppet", "approver", &op)
	first := op.Token
	if op.Enrolled {
		t.Error("it counts as enrolled")
	}
	w.create(strings.Replace(stopLarge, "sim-large", "sim-small", 1))
	second := w.asked(tokens["com"], "/corrections/c-2/lift", `{"reason":"over"}`).ID
	p := w.fails("not_enrolled", first, "POST", "/approvals/"+second+"/approve", `{"reason":"fine"}`)
	if !strings.Contains(p.Hint, "andon operators enrol") {
		t.Error(p.Hint)
	}
	w.fails("not_enrolled", first, "POST", "/approvals/"+id+"/decline", `{"reason":"no"}`)
	if a := w.act(second); slices.Contains(a.CanAnswer, "puppet") || !slices.Equal(a.ToEnrol, []string{"puppet"}) {
		t.Errorf("%v %v", a.CanAnswer, a.ToEnrol)
	}
	w.fails("not_enrolled", first, "POST", "/corrections/c-1/ratify", `{"reason":"fine"}`)
	w.good(first, "GET", "/points", "", nil) // it may look
	// What the maker prepares in its name is over with the enrolment, too.
	w.passwd(first, passphrase)
	var s sessionView
	w.good("", "POST", "/session", login("puppet", passphrase), &s)
	var tok tokenView
	w.good(first, "POST", "/tokens", `{"name":"spare","roles":["approver"],"scopes":["approval.give"],"expires_in":"1d"}`, &tok)
	w.fails("not_enrolled", s.Token, "POST", "/approvals/"+second+"/approve", `{"reason":"fine"}`)
	w.fails("not_enrolled", tok.Token, "POST", "/approvals/"+second+"/approve", `{"reason":"fine"}`)
	w.fails("forbidden", tok.Token, "POST", "/enrol", "")
	w.good(first, "POST", "/enrol", "", &made)
	if !made.Enrolled || made.Token == first || !strings.HasPrefix(made.Token, tokenPrefix) {
		t.Errorf("%+v", made)
	}
	for _, dead := range []string{first, s.Token, tok.Token} {
		w.fails("unauthenticated", dead, "GET", "/points", "")
	}
	w.fails("login_failed", "", "POST", "/session", login("puppet", passphrase))
	w.fails("enrolled", made.Token, "POST", "/enrol", "")
	w.restart()
	w.fails("unauthenticated", first, "GET", "/points", "")
	w.good(made.Token, "POST", "/approvals/"+second+"/approve", `{"reason":"fine"}`, nil)
	w.good(w.token, "POST", "/operators", `{"name":"other","role":"viewer"}`, nil)
}

// joinsFirst makes an operator whom nobody has to agree to, who has not enrolled.
func (w *world) joinsFirst(name, role string, out *operatorView) {
	w.t.Helper()
	w.ok(201, "POST", "/operators", `{"name":"`+name+`","role":"`+role+`"}`, out)
}

// Approvers whom somebody who acts made a moment before are shown as that, and told.
func TestPuppetsAreShown(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Now()}
	w.start()
	tokens := w.rules([]authority.Rule{
		{Name: "stop", Acts: []authority.Act{authority.Tighten}, Roles: []authority.Role{authority.Administrator}, Approvals: 1, Approvers: []authority.Role{authority.Approver}, Within: anHour},
		{Name: "back", Acts: []authority.Act{authority.Loosen}, Roles: []authority.Role{authority.Administrator}, Approvals: 2, Approvers: []authority.Role{authority.Approver}, Within: anHour},
		{Name: "people", Acts: []authority.Act{authority.Staff}, Roles: []authority.Role{authority.Administrator}},
	}, nil)
	w.clock.advance(8 * 24 * time.Hour) // ap1 to ap3 are old acquaintances now
	puppet := w.member("puppet", "approver")
	w.clock.advance(3 * time.Minute)
	w.create(stopLarge)
	w.good(puppet, "POST", "/corrections/c-1/ratify", `{"reason":"sure"}`, nil)
	if v := w.get("c-1"); len(v.Ratification.Notes) != 1 || v.Ratification.Notes[0] != "puppet: made by ann 3 minutes before" {
		t.Errorf("%+v", v.Ratification)
	}
	id := w.asked(w.token, "/corrections/c-1/lift", `{"reason":"over"}`).ID
	w.good(tokens["ap1"], "POST", "/approvals/"+id+"/approve", `{"reason":"fine"}`, nil)
	w.good(puppet, "POST", "/approvals/"+id+"/approve", `{"reason":"fine"}`, nil)
	v := w.act(id)
	if v.State != actCarried || v.Answers[0].Note != "" || v.Answers[1].Note != "made by ann 3 minutes before" {
		t.Errorf("%+v", v.Answers)
	}
	var said []string
	must(t, w.log.Read(t.Context(), 0, w.c.state.size, func(e ledger.Entry) error {
		if event, says, _ := w.c.state.alertOf(e); event == eventAlarm {
			said = append(said, says)
		}
		return nil
	}))
	if len(said) != 2 || said[0] != "c-1 was ratified by puppet (made by ann 3 minutes before)" || said[1] != "a-1 was agreed to by puppet (made by ann 3 minutes before); asked by ann" {
		t.Errorf("%q", said)
	}
}

// Who has not enrolled may be the one who let them in: what they ask for, and what
// they break the glass for, is nobody's but their maker's, who would approve it.
func TestWhoHasNotEnrolledAsksForNothingThatLoosens(t *testing.T) {
	w := newWorld(t, nil)
	w.rules([]authority.Rule{
		{Name: "back", Acts: []authority.Act{authority.Loosen}, Roles: []authority.Role{authority.Commander}, Approvals: 1, Approvers: []authority.Role{authority.Administrator}, Within: anHour},
	}, nil)
	w.create(stopLarge)
	var op operatorView
	w.joinsFirst("puppet", "commander", &op)
	w.fails("not_enrolled", op.Token, "POST", "/corrections/c-1/lift", `{"reason":"over"}`)
	w.prove(op.Token)
	w.fails("not_enrolled", op.Token, "POST", "/corrections/c-1/lift?break_glass=true", `{"reason":"over"}`)
	w.good(op.Token, "POST", "/corrections", strings.Replace(stopLarge, "sim-large", "sim-small", 1), nil) // to tighten never waits
}

// Whoever agrees to what an account asked for that they made a moment before is
// shown, too: it may be one person in two names.
func TestWhoMadeTheOneThatAsksIsShown(t *testing.T) {
	w := newWorld(t, nil)
	tokens := w.rules([]authority.Rule{
		{Name: "stop", Acts: []authority.Act{authority.Tighten}, Roles: []authority.Role{authority.Commander}, Approvals: 1, Approvers: []authority.Role{authority.Administrator}, Within: anHour},
		{Name: "back", Acts: []authority.Act{authority.Loosen}, Roles: []authority.Role{authority.Commander}, Approvals: 1, Approvers: []authority.Role{authority.Administrator}, Within: anHour},
	}, nil)
	w.good(tokens["com"], "POST", "/corrections", stopLarge, nil)
	w.good(w.token, "POST", "/corrections/c-1/ratify", `{"reason":"sure"}`, nil)
	if v := w.get("c-1"); len(v.Ratification.Notes) != 1 || !strings.HasPrefix(v.Ratification.Notes[0], "ann: let com in: made by ann ") {
		t.Errorf("%+v", v.Ratification)
	}
	id := w.asked(tokens["com"], "/corrections/c-1/lift", `{"reason":"over"}`).ID
	w.good(w.token, "POST", "/approvals/"+id+"/approve", `{"reason":"fine"}`, nil)
	if v := w.act(id); v.State != actCarried || !strings.HasPrefix(v.Answers[0].Note, "let com in: made by ann ") {
		t.Errorf("%+v", v.Answers)
	}
	var said []string
	must(t, w.log.Read(t.Context(), 0, w.c.state.size, func(e ledger.Entry) error {
		if event, says, _ := w.c.state.alertOf(e); event == eventAlarm {
			said = append(said, says)
		}
		return nil
	}))
	if len(said) != 2 || !strings.HasPrefix(said[0], "c-1 was ratified by ann (let com in: made by ann ") || !strings.HasPrefix(said[1], "a-1 was agreed to by ann (let com in: made by ann ") {
		t.Errorf("%q", said)
	}
}
