package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"andon/ledger"
)

// TestAPlanThatKeepsLessWaits: what was just inside is not erased at once, and the
// dry run lists it meanwhile.
func TestAPlanThatKeepsLessWaits(t *testing.T) {
	w := retaining(t, alone, "evidence 90d")
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, nil)
	w.later(20 * aDay)
	w.applyPlan(w.keepingPlan(alone, "evidence 5d"), 1)
	w.erasesNothing()
	v := w.retention("?state=notice")
	if k := v.class("evidence"); k.Notice != 1 || k.Former != 90*correctionDay || k.From.Sub(w.clock.Now()) != 7*aDay || len(v.Items) != 1 || v.Items[0].Due != k.From {
		t.Fatalf("%s", jsonText(v))
	}
	w.later(6 * aDay)
	w.erasesNothing()
	// A plan that says nothing of it erases nothing, notice or not.
	w.applyPlan(w.keepingPlan(alone, "concerns 5d"), 2)
	w.later(9 * aDay)
	w.erasesNothing()
	if k := w.retention("").Classes[2]; k.Keep != 0 || k.Kept != 1 || k.Due+k.Notice != 0 {
		t.Errorf("%s", jsonText(k))
	}
	// And the one that says it again gives notice again.
	w.applyPlan(w.keepingPlan(alone, "evidence 5d"), 3)
	w.later(6 * aDay)
	w.erasesNothing()
	w.later(2 * aDay)
	w.erases("evidence", 1)
	if x := w.retention("").Erased[0]; x.Version != 4 || x.Keep != 5*correctionDay {
		t.Errorf("%s", jsonText(x))
	}
	w.sound()
}

const correctionDay = 24 * anHour

// TestWithoutAPlanNothingIsErased, ever.
func TestWithoutAPlanNothingIsErased(t *testing.T) {
	w := sealing(t)
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, nil)
	w.later(9 * aDay)
	w.clock.advance(4000 * aDay)
	w.erasesNothing()
	if v := w.retention(""); v.PlanVersion != 0 || v.class("evidence").Kept != 1 {
		t.Errorf("%s", jsonText(v))
	}
}

// TestAClockThatLeapsErasesNothing: neither while it stands, nor after somebody's
// command has put its time on record, until an operator says what time it is.
func TestAClockThatLeapsErasesNothing(t *testing.T) {
	w := retaining(t, alone, "evidence 30d")
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, nil)
	w.later(9 * aDay)
	w.clock.advance(366 * aDay)
	w.erasesNothing()
	if v := w.retention(""); v.Clock.State != "in_doubt" || !strings.Contains(v.Clock.Why, "the last entry of the record is of 2030-01-10") || v.class("evidence").Due != 1 {
		t.Fatalf("%s", jsonText(v))
	}
	w.eventually(func() bool { return strings.Contains(w.logs.String(), "ALARM: the clock says 2031") })
	w.open(`{"title":"somebody works on"}`)
	w.later(3 * aDay)
	w.erasesNothing()
	if v := w.retention(""); v.Clock.State != "in_doubt" || !strings.Contains(v.Clock.Why, "leapt from 2030-01-10") {
		t.Fatalf("%s", jsonText(v.Clock))
	}
	token := w.token
	w.restart()
	w.token = token
	w.erasesNothing()
	// A time that does not fit confirms nothing.
	w.bad(422, "invalid_field", "POST", "/retention/clock", `{"now":"2030-01-13T00:00:00Z","reason":"my watch"}`)
	w.bad(422, "invalid_field", "POST", "/retention/clock", `{"reason":"my watch"}`)
	w.erasesNothing()
	now := w.clock.Now().Add(-20 * time.Minute).Format(time.RFC3339)
	var v clockView
	w.ok(200, "POST", "/retention/clock", `{"now":"`+now+`","reason":"the machine was off; my watch says so"}`, &v)
	if v.State != "sound" {
		t.Fatalf("%s", jsonText(v))
	}
	size := w.log.Size()
	w.ok(200, "POST", "/retention/clock", `{"now":"`+now+`","reason":"again"}`, &v)
	if w.log.Size() > size+1 { // a pass may have run
		t.Error("what is not in doubt was confirmed")
	}
	w.later(time.Hour)
	w.erases("evidence", 1)
	w.sound()
}

// TestASilentRecordIsNoLeap: while the control plane runs it says that time goes by.
func TestASilentRecordIsNoLeap(t *testing.T) {
	w := retaining(t, alone, "evidence 2d")
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, nil)
	for range 20 {
		w.clock.advance(13 * time.Hour)
		w.eventually(func() bool { v := w.retention(""); return !v.Clock.Last.Before(w.clock.Now()) })
	}
	w.erases("evidence", 1)
}

// TestACrashBetweenEntryAndErasure: what an entry erased is gone after the restart.
func TestACrashBetweenEntryAndErasure(t *testing.T) {
	w := retaining(t, alone)
	w.filled()
	w.closes("i-1")
	w.later(29 * aDay)
	w.later(20 * time.Hour)
	ctx := context.Background()
	if len(w.disk("prompt of acme")) == 0 || len(w.disk("what was said")) == 0 {
		t.Fatal("erased already")
	}
	// The pass as it decides; then nothing: the process is killed.
	_, err := w.c.execute(ctx, system, func(s *state, now time.Time) ([]draft, error) {
		return s.erasures(s.dueNow(now.Add(5*time.Hour), func(x *retained) bool { return x.class == "prompts" }), nil, now), nil
	})
	must(t, err)
	if len(w.disk("prompt of acme")) == 0 || len(w.disk("what was said")) == 0 {
		t.Fatal("nothing is tested")
	}
	w.bad(410, "evidence_erased", "GET", "/evidence/e-1/content", "")
	w.restart()
	w.eventually(func() bool {
		return len(w.disk("prompt of acme"))+len(w.disk("what was said")) == 0
	})
	w.eventually(func() bool { return len(w.disk("Ada Lovelace")) == 0 })
	w.sound()
}

// TestARefusedErasureErasesNothing: the entry comes first.
func TestARefusedErasureErasesNothing(t *testing.T) {
	w := retaining(t, alone)
	w.filled()
	w.closes("i-1")
	w.later(29 * aDay)
	w.later(23 * time.Hour)
	w.log.set(ledger.ErrFull)
	w.clock.advance(time.Hour)
	k := &retentionKeeper{lost: map[string]bool{}}
	for range 3 {
		w.clock.advance(time.Minute)
		if err := w.c.retain(t.Context(), k); err == nil {
			t.Error("a ledger that is full took an entry")
		}
	}
	if len(w.disk("prompt of acme")) == 0 || len(w.disk("what was said")) == 0 {
		t.Fatal("erased without an entry")
	}
	w.content("e-1")
	w.log.set(nil)
	w.clock.advance(20 * time.Minute)
	w.erases("evidence", 1)
}

// TestAPassIsBounded: many things that are due at once go one pass after the other.
func TestAPassIsBounded(t *testing.T) {
	w := retaining(t, alone, "incidents 10d")
	w.open(`{"title":"x"}`)
	for range maxErased + 5 {
		w.ok(200, "POST", "/incidents/i-1/notes", `{"text":"Ada","personal":true}`, nil)
	}
	w.closes("i-1")
	w.later(9*aDay + 23*time.Hour)
	if n := len(w.retention("?state=due").Items); n != 0 {
		t.Fatal(n)
	}
	w.clock.advance(time.Hour)
	w.erases("incidents", maxErased)
	if k := w.retention("").Classes[1]; k.Erased != maxErased || k.Due != 5 {
		t.Fatalf("%s", jsonText(k))
	}
	w.clock.advance(retentionPace)
	w.erases("incidents", maxErased+5)
	w.sound()
}

// TestALedgerFromBefore: a plan that an earlier release applied gets its notice when
// it is first carried out.
func TestALedgerFromBefore(t *testing.T) {
	w := retaining(t, alone, "concerns 1d")
	p := w.keepingPlan(alone, "evidence 5d")
	raw, err := p.WithoutAddresses().Canonical()
	must(t, err)
	digest, err := planDigest(raw)
	must(t, err)
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, nil)
	_, err = w.c.execute(t.Context(), "op-1", func(s *state, _ time.Time) ([]draft, error) {
		return []draft{{typePlan, planBody{Version: 2, Digest: digest, Previous: s.plan.last().Digest, By: "op-1", Reason: "r", Plan: raw}}}, nil
	})
	must(t, err)
	if k := w.retention("").Classes[2]; !k.From.IsZero() {
		// a pass was faster
		t.Log("noticed already")
	}
	w.later(20 * time.Hour)
	w.eventually(func() bool { return !w.retention("").Classes[2].From.IsZero() })
	w.later(6 * aDay)
	w.erasesNothing()
	w.later(2 * aDay)
	w.erases("evidence", 1)
	w.sound()
}

func TestRetentionRefusesWhatIsWrong(t *testing.T) {
	w := retaining(t, alone)
	w.filled()
	aud, res := w.joins("aud", "auditor"), w.joins("res", "responder")
	w.step("i-1/marking", `{"marking":{"tlp":"RED","need_to_know":{"operators":["op-1"]}},"reason":"quiet"}`)
	var r receiptView
	w.anyone("POST", "/concerns", `{"topic":"misuse","text":"t"}`, &r)
	w.later(40 * aDay)
	for _, q := range []string{"?class=x", "?class=", "?state=x", "?limit=0", "?limit=501", "?limit=x", "?nonsense=1", "?class=evidence&class=evidence", "?class=%00", "?state=" + strings.Repeat("x", 600)} {
		if status, p, _ := w.by(w.token, "GET", "/retention"+q, ""); status != 400 && status != 422 {
			t.Error(q, status, p)
		}
	}
	for _, b := range []string{``, `{`, `[]`, `{"of":"evidence"}`, `{"of":"","reason":"r"}`, `{"of":"i-9","reason":"r"}`, `{"of":"e-9","reason":"r"}`, `{"of":"k-9","reason":"r"}`, `{"of":"e-1 ","reason":"r"}`,
		`{"of":"../x","reason":"r"}`, `{"of":"evidence","reason":"r","until":"x"}`, `{"of":"evidence","reason":" "}`, `{"of":"evidence","reason":"r","reference":"a\nb"}`,
		`{"of":"evidence","of":"accounts","reason":"r"}`, `{"of":"evidence","reason":"` + strings.Repeat("r", maxReason+1) + `"}`, `{"of":7,"reason":"r"}`} {
		if status, p, _ := w.by(w.token, "POST", "/retention/holds", b); status < 400 || status >= 500 {
			t.Errorf("%.60s: %d %v", b, status, p)
		}
	}
	for _, id := range []string{"lh-1", "lh-0", "lh--1", "lh-01", "x", "lh-99999999999999999999"} {
		w.bad(404, "not_found", "POST", "/retention/holds/"+id+"/release", `{"reason":"r"}`)
	}
	for _, b := range []string{`{"now":"soon","reason":"r"}`, `{"now":"9999-01-01T00:00:00Z","reason":"r"}`, `{"now":"0001-01-01T00:00:00Z","reason":"r"}`, `{"now":5}`, `{"reason":"r"}`} {
		if status, p, _ := w.by(w.token, "POST", "/retention/clock", b); status < 400 || status >= 500 {
			t.Error(b, status, p)
		}
	}
	if v := w.retention(""); len(v.Holds) != 0 {
		t.Error("a wrong one was placed:", jsonText(v.Holds))
	}

	// Who has no need to know of an incident, or is not at the desk, learns nothing.
	w.ok(201, "POST", "/retention/holds", `{"of":"i-1","reason":"quiet"}`, nil)
	if status, p, _ := w.by(w.token, "POST", "/retention/holds", `{"of":"k-1","reason":"r"}`); status < 400 {
		t.Error("an administrator found a concern where there is an auditor:", status, p)
	}
	if status, p, _ := w.by(aud, "POST", "/retention/holds", `{"of":"k-1","reason":"whistle"}`); status != 201 {
		t.Error(status, p)
	}
	_, _, data := w.by(res, "GET", "/retention?limit=500", "")
	for _, secret := range []string{"i-1", "e-1", "k-1", "lh-1", "lh-2", "quiet", "whistle"} {
		if strings.Contains(string(data), `"`+secret) {
			t.Errorf("a responder learns of %s: %s", secret, data)
		}
	}
	for _, of := range []string{"i-1", "e-1", "k-1"} {
		if status, p, _ := w.by(res, "POST", "/retention/holds", `{"of":"`+of+`","reason":"r"}`); status != 422 || !strings.Contains(p.Detail, "nothing that can be held") {
			t.Error(of, status, p)
		}
	}
	if _, _, data = w.by(aud, "GET", "/retention?limit=500", ""); !strings.Contains(string(data), `"k-1"`) {
		t.Errorf("%s", data)
	}
	// No text of anybody stands in it.
	for _, secret := range []string{"Ada", "prompt of acme", "log.txt"} {
		if strings.Contains(string(data), secret) {
			t.Error("it says", secret)
		}
	}
}

// TestFoldsRefuseErasuresThatCannotBe: an entry that erases what is not there, or
// twice, is a fault.
func TestFoldsRefuseErasuresThatCannotBe(t *testing.T) {
	w := retaining(t, alone)
	w.filled()
	var e evidenceView
	w.ok(200, "GET", "/evidence/e-1", "", &e)
	one := strings.Repeat("1", 64)
	for name, d := range map[string]draft{
		"no class":         {typeRetentionErased, erasureBody{Class: "x", Items: []erasedItem{{Item: "e-1", SHA256: e.SHA256}}}},
		"nothing":          {typeRetentionErased, erasureBody{Class: "evidence"}},
		"another document": {typeRetentionErased, erasureBody{Class: "evidence", Items: []erasedItem{{Item: "e-1", SHA256: one}}}},
		"no evidence":      {typeRetentionErased, erasureBody{Class: "evidence", Items: []erasedItem{{Item: "e-7", SHA256: one}}}},
		"no file":          {typeRetentionErased, erasureBody{Class: "incidents", Items: []erasedItem{{Item: "i-1/a-7", SHA256: one}}}},
		"twice in one":     {typeRetentionErased, erasureBody{Class: "evidence", Items: []erasedItem{{Item: "e-1", SHA256: e.SHA256}, {Item: "e-1", SHA256: e.SHA256}}}},
		"redacted":         {typeEvidenceRedacted, redactedBody{ID: "e-1", Was: one, SHA256: one, Size: 1}},
		"redacted to none": {typeEvidenceRedacted, redactedBody{ID: "e-1", Was: e.SHA256, SHA256: "x", Size: 1}},
		"bare":             {typeRetentionBare, bareBody{[]string{"e-9"}}},
		"a hold's number":  {typeRetentionHeld, heldBody{ID: "lh-7", Of: "evidence"}},
		"no hold":          {typeRetentionReleased, releasedBody{ID: "lh-1"}},
	} {
		entry := d.entry()
		w.c.mu.Lock()
		entry.Seq, entry.At, entry.Actor = w.c.state.size, w.clock.Now(), system
		_, err := w.c.state.fold(entry)
		w.c.mu.Unlock()
		if err == nil {
			t.Fatal(name, "was taken")
		}
	}
}
