package control

import (
	"slices"
	"testing"
	"time"

	"andon/authority"
)

// TestNobodyLosesSightUnawares: to merge an incident into one that fewer people may
// see takes a word that says so, and the answer without it names them.
func TestNobodyLosesSightUnawares(t *testing.T) {
	w := filed(t)
	w.member("com", "commander")
	w.member("vie", "viewer")
	w.open(`{"title":"open to all"}`)
	w.open(`{"title":"for few","marking":{"tlp":"RED","need_to_know":{"operators":["op-1"]}}}`)
	p := w.bad(409, "loses_sight", "POST", "/incidents/i-1/merge", `{"into":"i-2","reason":"one cause"}`)
	if p.Field != "confirm" || !slices.Equal(p.Allowed, []string{"com", "vie"}) {
		t.Fatalf("%+v", p)
	}
	var v incidentView
	if w.ok(200, "GET", "/incidents/i-1", "", &v); v.MergedInto != "" {
		t.Fatal("it was merged")
	}
	w.open(`{"title":"for few, too","marking":{"tlp":"RED","need_to_know":{"operators":["op-1"]}}}`)
	w.step("i-3/merge", `{"into":"i-2","reason":"the same people see both"}`)
	w.step("i-1/merge", `{"into":"i-2","reason":"they were told","confirm":true}`)
	if w.ok(200, "GET", "/incidents/i-1", "", &v); v.MergedInto != "i-2" {
		t.Errorf("%s", jsonText(v))
	}
}

// TestAnOperatorHasARole: nobody becomes an administrator because nothing was said.
func TestAnOperatorHasARole(t *testing.T) {
	w := newWorld(t, nil)
	p := w.bad(422, "invalid_field", "POST", "/operators", `{"name":"bea"}`)
	if p.Field != "role" || !slices.Equal(p.Allowed, authority.All.Names()) {
		t.Errorf("%+v", p)
	}
	w.bad(422, "invalid_field", "POST", "/operators", `{"name":"bea","roles":[]}`)
	var v operatorView
	if w.ok(201, "POST", "/operators", `{"name":"bea","role":"viewer"}`, &v); !slices.Equal(v.Roles, []string{"viewer"}) {
		t.Errorf("%+v", v)
	}
}

// TestPuppetsAreShownInCustody as they are among approvals.
func TestPuppetsAreShownInCustody(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Now()}
	w.start()
	tok := w.staff("bea")
	w.clock.advance(8 * 24 * time.Hour) // an old acquaintance now
	tok["puppet"] = w.staff("puppet")["puppet"]
	w.ok(201, "POST", "/custody", `{"level":"L5","models":["sim-large"],"reason":"r","legal_basis":"law","quorum":2}`, nil)
	w.clock.advance(3 * time.Minute)
	if p, _ := w.as(w.token, "POST", "/custody/case-1/propose", `{"action":"seal","reason":"r"}`); p != nil {
		t.Fatalf("%+v", p)
	}
	for _, who := range []string{"bea", "puppet"} {
		if p, _ := w.as(tok[who], "POST", "/custody/case-1/approve", `{"action":"seal","reason":"r"}`); p != nil {
			t.Fatalf("%s: %+v", who, p)
		}
	}
	var v caseView
	w.ok(200, "GET", "/custody/case-1", "", &v)
	if m := v.Motion; m == nil || len(m.Approvals) != 2 || m.Approvals[0].Note != "" || m.Approvals[1].Note != "made by ann 3 minutes before" {
		t.Errorf("%s", jsonText(v))
	}
}
