package control

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"andon/correction"
	"andon/ledger"
)

// standing is what is in force, as people set it.
func (w *world) standing() string {
	w.c.mu.RLock()
	defer w.c.mu.RUnlock()
	data, err := json.Marshal(w.c.state.inForce(w.c.early()), json.Deterministic(true))
	must(w.t, err)
	return string(data)
}

func TestRestoreTheExactPriorState(t *testing.T) {
	w := clocked(t)
	g := w.gate("gw-1", true)
	at := func(d time.Duration) string { return w.clock.Now().Add(d).UTC().Format(time.RFC3339) }
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["globex"]},"reason":"fraud"}`)                                                            // c-1
	w.create(`{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"orgs":["acme"]},"reason":"r","expires_at":"` + at(time.Hour) + `"}`) // c-2
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"users":["u"]},"reason":"r","expires_at":"` + at(time.Minute) + `"}`)                             // c-3: ends by itself
	before, revision := w.standing(), w.revision()

	w.clock.advance(10 * time.Second)
	w.create(stopLarge) // c-4
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"by mistake"}`, nil)
	w.ok(200, "POST", "/corrections/c-2/extend", `{"reason":"longer","for":"5h"}`, nil)

	// Looking changes nothing.
	var v restoreView
	w.ok(200, "POST", "/restore", `{"before":"c-4","preview":true}`, &v)
	if v.Done || len(v.Lift) != 1 || v.Lift[0].ID != "c-4" || v.Lift[0].Says != "stop L3 of model sim-large" || len(v.Reinstate) != 1 || v.Reinstate[0].ID != "c-1" || len(v.Change) != 1 || v.Change[0].ID != "c-2" {
		t.Fatalf("%s", jsonText(v))
	}
	if w.standing() == before || w.revision() != revision+3 {
		t.Fatal("a preview changed something")
	}

	w.ok(200, "POST", "/restore", `{"before":"c-4","reason":"fixed"}`, &v)
	if !v.Done || v.Revision != revision+4 || w.standing() != before {
		t.Fatalf("%s\n%s\n%s", jsonText(v), w.standing(), before)
	}
	for deadline := time.Now().Add(30 * time.Second); g.revision() != v.Revision; time.Sleep(time.Millisecond) { // one order for everything
		if time.Now().After(deadline) {
			t.Fatalf("the gateway is at %d", g.revision())
		}
	}
	g.mu.Lock()
	var ids []string
	for _, c := range g.f.State().Corrections {
		ids = append(ids, c.ID)
	}
	g.mu.Unlock()
	if fmt.Sprint(ids) != "[c-1 c-2 c-3]" {
		t.Fatal(ids)
	}
	if h := w.get("c-1").History; h[len(h)-1].Action != "restored" || h[len(h)-1].Reason != "fixed" {
		t.Errorf("%+v", h)
	}
	if c := w.get("c-4"); c.State != "lifted" {
		t.Errorf("%+v", c)
	}
	w.restart()
	if w.standing() != before {
		t.Fatal("a restart made something else of it")
	}
	w.bad(409, "nothing_to_restore", "POST", "/restore", `{"before":"c-4","reason":"again"}`)

	// What ended by itself stays ended.
	w.clock.advance(2 * time.Minute)
	w.create(stopLarge) // c-5
	w.ok(200, "POST", "/restore", fmt.Sprintf(`{"revision":%d,"reason":"r"}`, revision), &v)
	if !v.Done || len(v.EndedSince) != 1 || v.EndedSince[0] != "c-3" || len(v.Lift) != 1 || v.Lift[0].ID != "c-5" {
		t.Fatalf("%s", jsonText(v))
	}
	// By time: to a state with the stop in it.
	w.create(stopLarge) // c-6
	then := w.clock.Now().UTC().Format(time.RFC3339Nano)
	w.clock.advance(time.Second)
	w.ok(200, "POST", "/corrections/c-6/lift", `{"reason":"r"}`, nil)
	w.ok(200, "POST", "/restore", `{"at":"`+then+`","reason":"r"}`, &v)
	if !v.Done || len(v.Reinstate) != 1 || v.Reinstate[0].ID != "c-6" {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestRestoreRefuses(t *testing.T) {
	w := newWorld(t, nil)
	w.create(stopLarge)
	for body, field := range map[string]string{
		`{"reason":"r"}`: "before",
		`{"reason":"r","before":"c-1","revision":0}`: "before",
		`{"before":"c-1"}`:                           "reason",
		`{"reason":"r","before":"c-9"}`:              "before",
		`{"reason":"r","before":"i-1"}`:              "before",
		`{"reason":"r","revision":7}`:                "revision",
		`{"reason":"r","at":"2999-01-01T00:00:00Z"}`: "at",
	} {
		if p := w.bad(422, "invalid_field", "POST", "/restore", body); p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	w.bad(400, "unknown_field", "POST", "/restore", `{"reason":"r","befor":"c-1"}`)
	// What is in custody is not lifted on the way.
	w.ok(201, "POST", "/custody", `{"level":"L5","models":["sim-small"],"reason":"r","legal_basis":"b"}`, nil)
	if p := w.bad(409, "in_custody", "POST", "/restore", `{"reason":"r","revision":1}`); p.Hint == "" {
		t.Errorf("%+v", p)
	}
	if w.get("c-2").State != "active" {
		t.Error("a restoration that was refused has lifted something")
	}
}

// TestWayBackLeadsThere folds random commands and then the way back to any state
// between them, which is then in force again, but for what ended by itself.
func TestWayBackLeadsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
		s, points := newState(), []*state{}
		var entries []ledger.Entry
		fold := func(kind string, b any) {
			e := ledger.Entry{Seq: s.size, At: now, Type: kind, Actor: "op-1", Body: body(b)}
			if _, err := s.fold(e); err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e)
		}
		replay := func() *state {
			then := newState()
			for _, e := range entries {
				if _, err := then.fold(e); err != nil {
					t.Fatal(err)
				}
			}
			return then
		}
		for range rapid.IntRange(1, 25).Draw(t, "commands") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			var stands []string
			for id := range s.inForce(now) {
				stands = append(stands, id)
			}
			switch pick := rapid.IntRange(0, 3).Draw(t, "what"); {
			case pick < 2 || len(stands) == 0:
				c := correction.Correction{ID: fmt.Sprintf("c-%d", s.nCorrections+1), Kind: correction.Access, Params: correction.Params{Mode: "block"},
					Scope: correction.Scope{Orgs: []string{"acme"}}, Reason: "r", AppliedAt: now, ReviewBy: now.Add(time.Hour)}
				if rapid.Bool().Draw(t, "ends") {
					c.ExpiresAt = now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "after")) * time.Second)
				}
				fold(typeCreated, createdBody{Correction: c})
			case pick == 2:
				fold(typeLifted, changedBody{ID: rapid.SampledFrom(slices.Sorted(slices.Values(stands))).Draw(t, "lift"), Reason: "r"})
			default:
				id := rapid.SampledFrom(slices.Sorted(slices.Values(stands))).Draw(t, "extend")
				fold(typeExtended, changedBody{ID: id, ExpiresAt: now.Add(time.Hour), Reason: "r"})
			}
			points = append(points, replay())
		}
		then := rapid.SampledFrom(points).Draw(t, "back to")
		b, ended := s.wayBack(then, now)
		if len(b.Lift)+len(b.Reinstate)+len(b.Change) > 0 {
			fold(typeRestored, b)
		}
		want := then.inForce(then.last)
		for _, id := range ended {
			delete(want, id)
		}
		if got := s.inForce(now); inForceDigest(got) != inForceDigest(want) || inForceDigest(got) != b.Digest {
			t.Fatalf("in force %s\nthen     %s", body(got), body(want))
		}
		if inForceDigest(replay().inForce(now)) != b.Digest {
			t.Fatal("a replay makes something else of it")
		}
	})
}
