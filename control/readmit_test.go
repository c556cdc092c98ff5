package control

import (
	"strings"
	"testing"
	"time"

	"andon/ledger"
)

// Whoever has lost everything is let in anew by the data folder's holder: what they
// had is over, their word does not count before they have enrolled, and afterwards it
// is said beside it for a week.
func TestReadmitted(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Now()}
	w.start()
	tokens := w.rules(house, nil)
	var s sessionView
	w.passwd(tokens["com"], passphrase)
	w.good("", "POST", "/session", login("com", passphrase), &s)
	var tok tokenView
	w.good(tokens["com"], "POST", "/tokens", `{"name":"spare","roles":["commander"],"scopes":["approval.give"],"expires_in":"1d"}`, &tok)
	id, token, err := w.c.Readmit("com")
	must(t, err)
	for _, dead := range []string{tokens["com"], s.Token, tok.Token} {
		w.fails("unauthenticated", dead, "GET", "/points", "")
	}
	w.fails("login_failed", "", "POST", "/session", login("com", passphrase))
	w.restart()
	w.create(stopLarge)
	p := w.fails("not_enrolled", token, "POST", "/corrections/c-1/ratify", `{"reason":"fine"}`)
	if !strings.Contains(p.Detail, "data folder") {
		t.Error(p.Detail)
	}
	mine := w.enrol(token)
	w.fails("unauthenticated", token, "GET", "/points", "")
	w.good(mine, "POST", "/corrections/c-1/ratify", `{"reason":"fine"}`, nil)
	if note := w.c.state.kin(w.c.state.operators[id], w.clock.Now()); !strings.Contains(note, "data folder") {
		t.Errorf("%q", note)
	}
	w.clock.advance(kinFor)
	if note := w.c.state.kin(w.c.state.operators[id], w.clock.Now()); note != "" {
		t.Errorf("a week later: %q", note)
	}
	alarmed := false
	must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		if e.Type == typeReadmitted {
			event, says, _ := w.c.state.alertOf(e)
			alarmed = event == eventAlarm && strings.Contains(says, "com was let in anew")
			if strings.Contains(string(e.Body), token) {
				t.Error("the secret is in the ledger")
			}
		}
		return nil
	}))
	if !alarmed || !strings.Contains(w.logs.String(), "com was let in anew") {
		t.Error("nobody is told")
	}
	again, second, err := w.c.Readmit(id) // by id, and again: the secret before is over
	must(t, err)
	w.fails("unauthenticated", mine, "GET", "/points", "")
	if again != id || second == token {
		t.Error(again, id)
	}
	for _, bad := range []string{"", "nobody", "op-99", strings.Repeat("x", 10_000)} {
		if _, _, err := w.c.Readmit(bad); err == nil {
			t.Errorf("%.20q was let in", bad)
		}
	}
}
