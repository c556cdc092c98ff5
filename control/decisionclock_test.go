package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/authority"
	"andon/incident"
	"andon/order"
)

// TestTheDefaultHolds when nobody answers, in the name of who opened the decision.
func TestTheDefaultHolds(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	open := func(rest string, options ...string) string {
		t.Helper()
		return w.decision("POST", "/decisions", asking(rest, options...)).ID
	}
	drain := strings.Replace(strings.Replace(stopIt, "L3", "L2", 1), `"stop","apply"`, `"drain","for":"2h","apply"`, 1)
	nothing := open(``, stopIt)
	limit := open(`,"default":"limit"`, limitIt, stopIt)
	level2 := open(`,"default":"drain"`, drain)
	hard := open(`,"default":"stop"`, limitIt, stopIt)
	lift := open(`,"default":"lift"`, limitIt, liftIt)
	w.clock.advance(29 * time.Minute)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/"+nothing, ""); v.State != "open" {
		t.Fatal("decided before its time")
	}
	revision := w.revision()
	w.clock.advance(time.Minute)
	w.c.tidy(t.Context())

	v := w.decision("GET", "/decisions/"+nothing, "")
	if v.State != "defaulted" || v.Decided.Option != 1 || v.Decided.By != "control" || !v.Decided.Auto || !strings.Contains(v.Decided.Rationale, "nobody decided by ") {
		t.Fatalf("%s", jsonText(v))
	}
	if v = w.decision("GET", "/decisions/"+limit, ""); v.State != "defaulted" || len(v.Decided.Applied) != 1 || v.Decided.Applied[0].State != "active" {
		t.Fatalf("%s", jsonText(v))
	}
	// Nobody ratifies what was done in their own name.
	if c := w.get(v.Decided.Applied[0].ID); c.CreatedBy != "op-1" || c.Ratification == nil {
		t.Errorf("%s", jsonText(c))
	}
	v = w.decision("GET", "/decisions/"+level2, "")
	if c := w.get(v.Decided.Applied[0].ID); v.State != "defaulted" || !c.ExpiresAt.Equal(v.Decided.At.Add(2*time.Hour)) {
		t.Fatalf("%s %s", jsonText(v), jsonText(c))
	}
	// What takes a person alarms and stays open.
	for id, why := range map[string]string{hard: "it is a stop L3: that takes a person", lift: "it gives something back: that takes a person"} {
		if v := w.decision("GET", "/decisions/"+id, ""); v.State != "open" || v.Overdue != why || v.Manual == "" || !strings.Contains(w.logs.String(), "ALARM: "+id+" was not decided in time") {
			t.Errorf("%s", jsonText(v))
		}
	}
	if w.revision() != revision+2 || w.get("c-1").State != "active" {
		t.Error("something else was done")
	}
	w.c.tidy(t.Context())
	if n := strings.Count(w.logs.String(), "ALARM: "+hard+" was not decided in time"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	if status, p, _ := w.by(tok["com"], "POST", "/decisions/"+hard+"/decide", `{"option":3,"rationale":"late, and right"}`); p != nil {
		t.Fatal(status, p)
	}
	was := jsonText(w.decision("GET", "/decisions/"+hard, ""))
	w.restart()
	if now := jsonText(w.decision("GET", "/decisions/"+hard, "")); now != was {
		t.Errorf("%s\n%s", was, now)
	}
}

// TestADefaultTakesItsOpenersAuthority as it is at the time.
func TestADefaultTakesItsOpenersAuthority(t *testing.T) {
	w := clocked(t)
	rules := append([]authority.Rule{}, house...)
	rules[0].ShareOver, rules[1].ShareOver = 0, 0
	tok := w.rules(rules[:1], nil) // who is on call may tighten
	w.token, tok["ann"] = tok["res"], w.token
	res := w.operatorOf(tok["res"])
	w.decision("POST", "/decisions", asking(`,"default":"limit"`, limitIt)) // carried: a responder's
	w.token = tok["ann"]
	w.clock.advance(31 * time.Minute)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "defaulted" || w.get(v.Decided.Applied[0].ID).CreatedBy != res {
		t.Fatalf("%s", jsonText(v))
	}
	w.token = tok["res"]
	w.decision("POST", "/decisions", asking(`,"default":"limit"`, limitIt)) // not carried: gone by then
	w.decision("POST", "/decisions", asking(``, limitIt))                   // carried: it keeps what stands
	w.token = tok["ann"]
	w.ok(200, "DELETE", "/operators/"+res+"?reason=left", "", nil)
	w.clock.advance(31 * time.Minute)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-2", ""); v.State != "open" || !strings.Contains(v.Overdue, "no longer an operator") {
		t.Fatalf("%s", jsonText(v))
	}
	if v := w.decision("GET", "/decisions/d-3", ""); v.State != "defaulted" {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestAChoiceThatWaitsIsAnAnswer: the default to do nothing waits for it, one that
// tightens does not.
func TestAChoiceThatWaitsIsAnAnswer(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	w.decision("POST", "/decisions", asking(``, liftIt))
	w.decision("POST", "/decisions", asking(`,"default":"limit"`, limitIt, liftIt))
	a := w.asked(tok["com"], "/decisions/d-1/decide", `{"option":2,"rationale":"r"}`)
	w.asked(tok["com"], "/decisions/d-2/decide", `{"option":3,"rationale":"r"}`)
	w.clock.advance(31 * time.Minute)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "open" || v.Approval != a.ID {
		t.Fatalf("%s", jsonText(v))
	}
	if v := w.decision("GET", "/decisions/d-2", ""); v.State != "defaulted" || v.Decided.Option != 2 {
		t.Fatalf("%s", jsonText(v))
	}
	w.by(tok["ap1"], "POST", "/approvals/"+a.ID+"/decline", `{"reason":"no"}`)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "defaulted" || w.get("c-1").State != "active" {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestAClockThatJumpsDecidesNothing: the wall clock says that the time is over, the
// monotonic clock knows better; and one that goes back is waited for.
func TestAClockThatJumpsDecidesNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.decision("POST", "/decisions", asking(`,"default":"limit"`, limitIt))
	w.c.started = backdate(w.c.started, 24*time.Hour)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "open" || v.Overdue != "" || w.revision() != 0 {
		t.Fatalf("decided by a jump: %s", jsonText(v))
	}
	back := clocked(t)
	back.decision("POST", "/decisions", asking(`,"default":"limit"`, limitIt))
	back.clock.advance(-2 * time.Hour)
	back.c.tidy(t.Context())
	back.clock.advance(2*time.Hour + 29*time.Minute)
	back.c.tidy(t.Context())
	if v := back.decision("GET", "/decisions/d-1", ""); v.State != "open" {
		t.Fatalf("%s", jsonText(v))
	}
	back.clock.advance(time.Minute)
	back.c.tidy(t.Context())
	if v := back.decision("GET", "/decisions/d-1", ""); v.State != "defaulted" {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestALedgerThatFailsDelaysADefault and loses none.
func TestALedgerThatFailsDelaysADefault(t *testing.T) {
	w := clocked(t)
	w.decision("POST", "/decisions", asking(`,"default":"limit"`, limitIt))
	w.clock.advance(31 * time.Minute)
	w.log.set(errors.New("no disk"))
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "open" || v.Overdue != "" || w.revision() != 0 {
		t.Fatalf("%s", jsonText(v))
	}
	w.log.set(nil)
	w.clock.advance(clerkRest)
	w.c.tidy(t.Context())
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "defaulted" || w.revision() != 1 {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestDecisionModel lets operators, who come and go, do anything to decisions in any
// order, with deaths of the process and a clock that moves. Whatever happens: a
// decision is made once and never unmade, it and its corrections go together, the
// clock decides nothing early and nothing that takes a person, what somebody said
// stays, and another process reads the same.
func TestDecisionModel(t *testing.T) {
	signer, err := order.GenerateSigner()
	must(t, err)
	reached := map[string]int{}
	stop := `{"title":"stop","apply":[{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"stop"}]}`
	limit := `{"title":"limit","apply":[{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1m"},"scope":{"all":true},"reason":"limit"}]}`
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(t, signer)
		made := map[string]string{} // what was decided, as it was
		words := map[string]int{}
		for range rapid.IntRange(10, 60).Draw(t, "steps") {
			all := &s.c.state.decision.all
			op := fmt.Sprintf("op-%d", rapid.IntRange(1, 3).Draw(t, "op"))
			on := fmt.Sprintf("/decisions/d-%d", rapid.IntRange(1, max(1, len(all.List()))).Draw(t, "decision"))
			s.log.before, s.log.after = false, false
			switch rapid.IntRange(0, 7).Draw(t, "fault") {
			case 0:
				s.log.before = true
			case 1:
				s.log.after = true
			}
			what := rapid.SampledFrom([]string{"open", "open", "compare", "decide", "decide", "dissent", "tick", "lift", "time", "clerk", "clerk", "leaves", "restart"}).Draw(t, "what")
			active := s.c.state.operators[op].active()
			before := len(s.c.state.list)
			var err error
			switch what {
			case "open":
				lift := ""
				for _, r := range s.c.state.list {
					if r.gone == "" {
						lift = `,{"title":"lift","lift":["` + r.ID + `"]}`
					}
				}
				title := rapid.SampledFrom([]string{"do nothing", "limit", "stop"}).Draw(t, "default")
				err = s.post(op, "/decisions", fmt.Sprintf(`{"question":"q","within":"%dm","default":"%s","options":[%s,%s%s]}`, rapid.IntRange(1, 60).Draw(t, "within"), title, limit, stop, lift))
			case "compare":
				err = s.post(op, on+"/compare", "")
			case "decide":
				err = s.post(op, on+"/decide", fmt.Sprintf(`{"option":%d,"rationale":"r","criteria":[]}`, rapid.IntRange(0, 5).Draw(t, "option")))
			case "dissent":
				err = s.post(op, on+"/dissent", `{"text":"no"}`)
			case "tick":
				err = s.post(op, on+"/criteria", `{"criterion":1,"evidence":"e"}`)
			case "lift":
				err = s.post(op, fmt.Sprintf("/corrections/c-%d/lift", rapid.IntRange(1, max(1, before)).Draw(t, "which")), `{"reason":"r"}`)
			case "time":
				s.clk.advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "min")) * time.Minute)
			case "clerk":
				s.c.clerkRests = time.Time{}
				s.c.tidy(t.Context())
				if !s.c.clerkRests.IsZero() {
					err = errKilled
				}
			case "leaves":
				if op != "op-1" && active {
					s.log.before, s.log.after = false, false
					s.write("op-1", typeOpRemoved, removedOperatorBody{op, "left"})
				}
			case "restart":
				s.start()
			}
			if err == nil {
				reached[what]++
			}
			if err != nil && asProblem(err).Status >= 500 || errors.Is(err, errKilled) {
				s.log.before, s.log.after = false, false
				s.start() // its death
			}
			if !active && err == nil && what != "time" && what != "clerk" && what != "leaves" && what != "restart" {
				t.Fatal("who is no operator did something: ", what)
			}
			owned := map[string]string{}
			all = &s.c.state.decision.all
			open := 0
			for _, d := range all.List() {
				if d.State == incident.DecisionOpen {
					open++
					if d.Made != nil {
						t.Fatal("open and decided: ", d.ID)
					}
				} else {
					if now := jsonText(d.Made); made[d.ID] != "" && made[d.ID] != now {
						t.Fatal("decided twice: ", d.ID, made[d.ID], now)
					}
					made[d.ID] = jsonText(d.Made)
					o := d.Option(d.Made.Option)
					if len(d.Made.Applied) != len(o.Apply) || len(d.Made.Lifted) != len(o.Lift) {
						t.Fatal("not all was done, or more: ", jsonText(d.Made))
					}
					for _, id := range d.Made.Applied {
						if owned[id] != "" || s.c.state.corrections[id].Reason != o.Title || !s.c.state.corrections[id].history[0].At.Equal(d.MadeAt) {
							t.Fatal("another correction: ", id)
						}
						owned[id] = d.ID
					}
					if d.Made.Auto && (d.MadeAt.Before(d.Deadline) || o.Manual() != "" || d.Made.Option != d.Default) {
						t.Fatal("the clock decided what it may not: ", jsonText(d.Made))
					}
					reached[d.State]++
				}
				if d.Overdue != "" {
					reached["overdue"]++
				}
				if len(d.Dissents) < words[d.ID] {
					t.Fatal("a word was lost")
				}
				words[d.ID] = len(d.Dissents)
			}
			if open != len(all.Open()) {
				t.Fatal("open ones are not counted")
			}
			for id := range made {
				if d := all.Get(id); d == nil || d.State == incident.DecisionOpen {
					t.Fatal("a decision was unmade: ", id)
				}
			}
			if len(owned) != len(s.c.state.list) {
				t.Fatal("a correction without its decision")
			}
		}
		was := jsonText(s.c.state.decision.all.List())
		s.start()
		if now := jsonText(s.c.state.decision.all.List()); now != was {
			t.Fatal("another process reads something else: ", was, now)
		}
	})
	for _, what := range []string{"open", "compare", "decide", "dissent", "lift", incident.DecisionMade, incident.DecisionFell, "overdue"} {
		if reached[what] == 0 {
			t.Errorf("the model never came to %s: %v", what, reached)
		}
	}
}
