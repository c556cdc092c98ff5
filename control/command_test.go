package control

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"andon/correction"
	"andon/ledger"
	"andon/order"
)

func TestCommandReachesGatewaysAndIsMeasured(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	events, _ := w.watch("")

	v := w.create(stopLarge)
	if v.ID != "c-1" || v.Revision != 1 || v.State != "active" || v.Effect.Desired != 1 || v.CreatedBy != "op-1" {
		t.Fatalf("%s", jsonText(v))
	}
	if v.ReviewBy.Sub(v.AppliedAt).Round(time.Second) != defaultReview {
		t.Error("no review by default:", v.ReviewBy, v.AppliedAt)
	}
	if g.next() != order.Applied || g.revision() != 1 {
		t.Fatal("not applied")
	}
	e := until(t, events, typeMeasured, nil)
	v = w.get("c-1")
	if v.TimeToEffect == nil || *v.TimeToEffect < 0 || v.Effect.Enforcing != 1 || len(v.Effect.Points) != 1 {
		t.Fatalf("%s", jsonText(v))
	}
	p := v.Effect.Points[0]
	if p.Name != "gw-1" || p.State != pointSynced || p.Revision != 1 || p.Cut != 2 || p.AcceptedAt.IsZero() || p.EnforcingAt.Before(p.AcceptedAt) {
		t.Fatalf("%+v", p)
	}
	if strings.Contains(e.data, `"revision":0`) || !strings.Contains(e.data, `"corrections":["c-1"]`) || !strings.Contains(e.data, `"time_to_effect_ms"`) {
		t.Error(e.data)
	}
	// It survives a restart, and nothing is measured twice.
	before := v.TimeToEffect
	w.restart()
	v = w.get("c-1")
	if v.TimeToEffect == nil || *v.TimeToEffect != *before {
		t.Fatal("forgotten:", v.TimeToEffect)
	}
	if got := v.Effect; got.Desired != 1 || got.Enforcing != 0 || got.Stale != 0 || got.Points[0].EnforcingAt.IsZero() {
		t.Fatalf("a point that is not back, and whose lease may run yet, is neither enforcing nor stale: %+v", got)
	}
	g.beat()
	if got := w.get("c-1").Effect; got.Enforcing != 1 || got.Stale != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestLostAcknowledgementIsHealedByTheBeat(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", false)
	w.create(stopLarge)
	g.next()
	if v := w.get("c-1"); v.TimeToEffect != nil || v.Effect.Enforcing != 0 || v.Effect.Points[0].State != pointSent {
		t.Fatalf("%s", jsonText(v))
	}
	g.beat()
	if v := w.get("c-1"); v.TimeToEffect == nil || v.Effect.Enforcing != 1 || v.Effect.Points[0].EnforcingAt.IsZero() {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestOrdersAreTheSameAfterARestart(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	for i := range 5 {
		w.create(fmt.Sprintf(`{"kind":"rate","params":{"metric":"requests","limit":%d,"window":"1m"},"scope":{"orgs":["o%d"],"models":["sim-small"]},"share":0.5,"reason":"r","expires_at":"2100-01-01T00:00:00+02:00"}`, i+1, i))
	}
	w.ok(200, "POST", "/corrections/c-2/lift", `{"reason":"done"}`, nil)
	w.ok(200, "POST", "/corrections/c-3/extend", `{"reason":"longer","expires_at":"2101-01-01T00:00:00Z"}`, nil)
	w.ok(200, "POST", "/corrections/c-4/ratify", `{"reason":"looked at"}`, nil)
	w.ok(201, "POST", "/keys", `{"org":"acme","attributes":["b=2","a=1","a=1"]}`, nil)
	for g.revision() != 9 {
		if s := g.next(); s != order.Applied {
			t.Fatal(s)
		}
	}
	full := func() order.State {
		w.c.mu.RLock()
		defer w.c.mu.RUnlock()
		return w.c.state.full()
	}
	before := full()
	// What a gateway built order by order is what control says, to the letter.
	if diff := cmp.Diff(before, *g.f.State()); diff != "" {
		t.Fatal("gateway and control disagree:", diff)
	}
	w.restart()
	if diff := cmp.Diff(before, full()); diff != "" {
		t.Fatal("another state after the restart:", diff)
	}
	// The gateway goes on with the chain.
	w.create(stopLarge)
	for g.revision() != 10 {
		if s := g.next(); s != order.Applied && s != order.Duplicate {
			t.Fatal(s)
		}
	}
}

func TestLedgerFails(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{{ledger.ErrFull, 507, "ledger_full"}, {errDisk, 503, "ledger_unavailable"}, {ledger.ErrUnsure, 503, "ledger_unsure"}} {
		t.Run(tc.code, func(t *testing.T) {
			w := newWorld(t, nil)
			g := w.gate("gw-1", true)
			w.log.set(fmt.Errorf("append: %w", tc.err))
			p := w.bad(tc.status, tc.code, "POST", "/corrections", stopLarge)
			if !p.Retry || p.Instance == "" {
				t.Errorf("%+v", p)
			}
			if w.revision() != 0 || len(w.c.state.list) != 0 || w.log.Size() > 2 {
				t.Fatal("something was applied")
			}
			w.log.set(nil)
			if v := w.create(stopLarge); v.ID != "c-1" || v.Revision != 1 {
				t.Fatalf("%+v", v)
			}
			if s := g.next(); s != order.Applied || g.revision() != 1 {
				t.Fatal("something else was published before:", s)
			}
		})
	}
}

func TestSomebodyElseAppends(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	w.log.mu.Lock()
	w.log.before = func() {
		at := w.log.Log.Size()
		c := correction.Correction{ID: "c-1", Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{All: true}, Reason: "the other one"}
		_, err := w.log.Log.Append(context.Background(), at, ledger.Entry{At: time.Now(), Type: typeCreated, Actor: "op-9", Body: body(createdBody{Correction: c})})
		if err != nil {
			t.Error(err)
		}
	}
	w.log.mu.Unlock()
	v := w.create(stopLarge)
	if v.ID != "c-2" || v.Revision != 2 {
		t.Fatalf("decided on an old state: %+v", v)
	}
	if g.next() != order.Applied || g.next() != order.Applied || g.revision() != 2 {
		t.Fatal("the other one's order was not published in its place")
	}
}

// TestKilledBetweenAppendAndPublish: the ledger has it, nobody was told.
func TestKilledBetweenAppendAndPublish(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", false)
	w.create(stopLarge)
	if g.next() != order.Applied {
		t.Fatal("not applied")
	}
	g.beat()
	// The bus goes away from under control: what it publishes reaches nobody. The
	// command is durable all the same.
	w.bus.Close()
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["evil"]},"reason":"r"}`)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["worse"]},"reason":"r"}`)
	w.restart()
	// The last order comes again at once: for this gateway, two behind, a gap.
	if s := g.next(); s != order.Gap || g.revision() != 1 {
		t.Fatal(s, g.revision())
	}
	// And its beat is answered with what is current.
	if l := g.beat(); l.Revision != 3 {
		t.Fatalf("%+v", l)
	}
	g.sync()
	if l := g.beat(); l.Revision != 3 || l.Head != g.f.State().Head || g.revision() != 3 || len(g.f.State().Corrections) != 3 {
		t.Fatal("not in sync", l)
	}
	if v := w.get("c-3"); v.Effect.Enforcing != 1 {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t, nil)
	var a, b, c correctionView
	w.ok(201, "POST", "/corrections", stopLarge, &a, "Idempotency-Key", "k1")
	w.ok(201, "POST", "/corrections", stopLarge, &b, "Idempotency-Key", "k1")
	if a.ID != b.ID || w.revision() != 1 {
		t.Fatal("made twice")
	}
	// The same, written differently.
	spaced := strings.ReplaceAll(stopLarge, ":", " : ")
	w.ok(201, "POST", "/corrections", spaced, &b, "Idempotency-Key", "k1")
	if a.ID != b.ID {
		t.Fatal("made twice")
	}
	other := strings.Replace(stopLarge, "drill", "another", 1)
	if p := w.bad(409, "idempotency_conflict", "POST", "/corrections", other, "Idempotency-Key", "k1"); !strings.Contains(p.Detail, "c-1") {
		t.Error(p.Detail)
	}
	w.ok(201, "POST", "/corrections", other, &c, "Idempotency-Key", "k2")
	if c.ID != "c-2" {
		t.Fatal(c.ID)
	}
	w.restart()
	resp := w.do("POST", api+"/corrections", stopLarge, &b, "Idempotency-Key", "k1")
	if resp.StatusCode != 201 || b.ID != "c-1" || resp.Header.Get("Idempotency-Replayed") != "true" || w.revision() != 2 {
		t.Fatal("forgotten over a restart", resp.StatusCode, b.ID)
	}
	// Another operator's key of the same name is another key.
	token, _, err := w.c.EnsureOperator("bob")
	must(t, err)
	w.token = token
	w.ok(201, "POST", "/corrections", stopLarge, &b, "Idempotency-Key", "k1")
	if b.ID != "c-3" {
		t.Fatal(b.ID)
	}
	w.bad(400, "invalid_header", "POST", "/corrections", stopLarge, "Idempotency-Key", "a\tb")
	w.bad(400, "invalid_header", "POST", "/corrections", stopLarge, "Idempotency-Key", strings.Repeat("x", 256))
	// A request that failed is not remembered.
	w.bad(422, "invalid_field", "POST", "/corrections", strings.Replace(stopLarge, `"drill"`, `""`, 1), "Idempotency-Key", "k9")
	w.ok(201, "POST", "/corrections", stopLarge, &b, "Idempotency-Key", "k9")
}

func TestTwoWritersAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	const n = 24
	done := make(chan string, n)
	for i := range n {
		go func() {
			resp := w.do("POST", api+"/corrections", stopLarge, nil, "Idempotency-Key", fmt.Sprint("k", i/2))
			data, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 201 {
				t.Errorf("%d %s", resp.StatusCode, data)
			}
			done <- string(data)
		}()
	}
	for range n {
		<-done
	}
	if w.revision() != n/2 {
		t.Fatal("revision", w.revision())
	}
	for g.revision() != n/2 {
		if s := g.next(); s != order.Applied {
			t.Fatal("orders left out of sequence:", s)
		}
	}
}

func TestTheRecordNeverGoesBackInTime(t *testing.T) {
	w := newWorld(t, func(c *Config) {})
	w.stop()
	w.clock = &clock{now: time.Now().Add(time.Hour)}
	w.start()
	w.create(stopLarge)
	w.clock.advance(-2 * time.Hour)
	w.create(stopLarge)
	var last time.Time
	must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		if e.At.Before(last) {
			t.Errorf("entry %d is at %v, after %v", e.Seq, e.At, last)
		}
		last = e.At
		return nil
	}))
}

func TestAnEntryOfALaterVersionStopsTheFold(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.log.Append(t.Context(), w.log.Size(), ledger.Entry{At: time.Now(), Type: "correction.tightened", Actor: "x", Body: []byte(`{}`)})
	must(t, err)
	cfg := w.c.cfg
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "correction.tightened") {
		t.Fatal(err)
	}
	// The one that runs meets it as a conflict, and takes no more commands.
	w.bad(500, "internal", "POST", "/corrections", stopLarge)
	w.bad(503, "unavailable", "POST", "/corrections", stopLarge)
	if resp := w.do("GET", "/healthz", "", nil); resp.StatusCode != 503 {
		t.Error(resp.Status)
	}
}
