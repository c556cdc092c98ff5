package control

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// backdate sets the wall part of a time back and leaves its monotonic part.
func backdate(t time.Time, d time.Duration) time.Time {
	type layout struct { // of time.Time: wall seconds since 1885 stand above 30 bits of nanoseconds
		wall uint64
		ext  int64
		loc  *time.Location
	}
	l := (*layout)(unsafe.Pointer(&t))
	l.wall -= uint64(d/time.Second) << 30
	return t
}

func frozen(t *testing.T) *world {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	return w
}

func (w *world) points() map[string]pointView {
	w.t.Helper()
	var l pointList
	w.ok(200, "GET", "/points", "", &l)
	out := map[string]pointView{}
	for _, p := range l.Points {
		out[p.Name] = p
	}
	return out
}

func TestPointStates(t *testing.T) {
	w := frozen(t)
	a, b := w.gate("gw-a", true), w.gate("gw-b", false)
	events, _ := w.watch("")
	w.create(stopLarge)
	a.next()
	b.next()
	until(t, events, "point", func(e sse) bool {
		return strings.Contains(e.data, `"gw-a"`) && strings.Contains(e.data, `"synced"`) && strings.Contains(e.data, `"revision":1`)
	})
	ps := w.points()
	if ps["gw-a"].State != pointSynced || ps["gw-b"].State != pointSent || ps["gw-b"].Revision != 0 || ps["gw-b"].Version != "test" {
		t.Fatalf("%+v", ps)
	}
	if got := ps["gw-a"].Lease.Sub(w.clock.Now()); got != 16*time.Second {
		t.Error("lease", got)
	}
	w.bad(409, "point_live", "DELETE", "/points/gw-b", "")
	// One falls silent. Not stale before its lease has surely run out.
	w.clock.advance(15 * time.Second)
	a.beat()
	if st := w.points()["gw-b"].State; st != pointSent {
		t.Error("stale too early:", st)
	}
	w.clock.advance(time.Second)
	until(t, events, "point", func(e sse) bool { return strings.Contains(e.data, `"gw-b"`) && strings.Contains(e.data, `"stale"`) })
	if st := w.points()["gw-b"].State; st != pointStale {
		t.Error(st)
	}
	// Now the effect is complete: a enforces, b has provably lost its lease.
	v := w.get("c-1")
	if v.TimeToEffect == nil || v.Effect.Enforcing != 1 || v.Effect.Stale != 1 || v.Effect.Desired != 2 {
		t.Fatalf("%s", jsonText(v))
	}
	// It stays listed over a restart, until somebody removes it.
	until(t, events, typeMeasured, nil)
	w.restart()
	if ps := w.points(); len(ps) != 2 || ps["gw-b"].State != pointSent || !ps["gw-b"].LastSeen.IsZero() {
		t.Fatalf("%+v", ps)
	}
	w.clock.advance(16 * time.Second)
	if ps := w.points(); len(ps) != 2 || ps["gw-b"].State != pointStale {
		t.Fatalf("%+v", ps)
	}
	w.ok(204, "DELETE", "/points/gw-b", "", nil)
	w.bad(404, "not_found", "DELETE", "/points/gw-b", "")
	w.restart()
	if ps := w.points(); len(ps) != 1 {
		t.Fatalf("%+v", ps)
	}
}

func TestRefusedByAGateway(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", false)
	events, _ := w.watch("")
	w.create(stopLarge)
	g.send(order.Ack{Revision: 1, Phase: order.PhaseRefused, Error: "self-test failed"})
	until(t, events, "ack", nil)
	v := w.get("c-1")
	if v.Effect.Refused != 1 || v.Effect.Points[0].State != pointRefused || v.Effect.Points[0].Error != "self-test failed" || v.TimeToEffect != nil {
		t.Fatalf("%s", jsonText(v))
	}
	g.send(order.Ack{Revision: 1, Phase: order.PhaseEnforcing})
	until(t, events, "ack", nil)
	if v = w.get("c-1"); v.Effect.Enforcing != 1 || v.Effect.Points[0].Error != "" {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestAGatewayAheadOfControlRaisesAnAlarm(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	w.create(stopLarge)
	g.next()
	l := g.beatWith(order.Beat{Gateway: "gw-1", Boot: "boot-1", Nonce: "x", Revision: 7, Head: order.Hash{7}})
	if l.Revision != 1 {
		t.Fatalf("%+v", l)
	}
	p := w.points()["gw-1"]
	if p.State != pointRefused || !strings.Contains(p.Error, "ahead") || !strings.Contains(w.logs.String(), "ALARM") {
		t.Fatalf("%+v", p)
	}
	// The same revision with another history is no better.
	g.beatWith(order.Beat{Gateway: "gw-1", Boot: "boot-2", Nonce: "x", Revision: 1, Head: order.Hash{7}})
	if p := w.points()["gw-1"]; p.State != pointRefused {
		t.Fatalf("%+v", p)
	}
	if v := w.get("c-1"); v.Effect.Refused != 1 || v.Effect.Enforcing != 0 {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestTwoGatewaysOfOneName(t *testing.T) {
	w := frozen(t)
	g := w.gate("gw-1", false)
	beat := func(boot string) {
		g.beatWith(order.Beat{Gateway: "gw-1", Boot: boot, Nonce: "n", Revision: g.revision(), Head: g.f.State().Head})
	}
	beat("boot-2")
	if p := w.points()["gw-1"]; p.State != pointSynced {
		t.Fatalf("a restart is no fault: %+v", p)
	}
	beat("boot-1")
	if p := w.points()["gw-1"]; p.State != pointRefused || !strings.Contains(p.Error, "two processes") {
		t.Fatalf("%+v", p)
	}
	w.clock.advance(twinsRemembered)
	beat("boot-3") // sorted out
	if p := w.points()["gw-1"]; p.State != pointSynced || p.Error != "" {
		t.Fatalf("%+v", p)
	}
}

// TestABeatOvertakenByAnAcknowledgement: the beat was sent before the order
// came, and is handled after the order was enforced. That is no divergence.
func TestABeatOvertakenByAnAcknowledgement(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	events, _ := w.watch("")
	w.create(stopLarge)
	until(t, events, "ack", func(e sse) bool { return strings.Contains(e.data, order.PhaseEnforcing) })
	g.beatWith(order.Beat{Gateway: "gw-1", Boot: "boot-1", Nonce: "n"})
	if p := w.points()["gw-1"]; p.State != pointSynced || p.Revision != 1 || strings.Contains(w.logs.String(), "ALARM") {
		t.Fatalf("%+v", p)
	}
}

func TestAnEffectNotRecordedBeforeARestart(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", false)
	w.create(stopLarge)
	g.next()
	w.log.set(ledger.ErrFull) // the effect is seen, and cannot be recorded
	g.beat()
	if v := w.get("c-1"); v.TimeToEffect == nil {
		t.Fatal("not seen")
	}
	w.restart()
	events, _ := w.watch("")
	g.beat()
	if e := until(t, events, typeMeasured, nil); !strings.Contains(e.data, `"at_most":true`) {
		t.Error(e.data)
	}
	if v := w.get("c-1"); v.TimeToEffect == nil || v.Effect.Enforcing != 1 {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestEmergencyIsAdoptedOnce(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	e, err := order.NewEmergency("ops@acme", time.Now().Add(-time.Hour), time.Minute, // long over: a gateway took it in time
		correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{All: true}, Reason: "fire"})
	must(t, err)
	signed, err := order.Sign(e, w.emergency)
	must(t, err)
	events, _ := w.watch("")
	publish := func(data []byte) {
		must(t, g.bus.Publish(order.SubjectEmergency, data))
		must(t, g.bus.Flush(t.Context()))
	}
	stranger, _ := order.GenerateSigner()
	forged, err := order.Sign(e, stranger)
	must(t, err)
	publish(forged)
	publish([]byte("{"))
	publish(signed)
	until(t, events, typeAdopted, nil)
	if s := g.next(); s != order.Applied {
		t.Fatal(s)
	}
	st := g.f.State()
	if len(st.Adopted) != 1 || st.Adopted[0] != e.ID || len(st.Corrections) != 1 || st.Corrections[0].ID != e.ID+"-1" || st.Corrections[0].ReviewBy.IsZero() {
		t.Fatalf("%+v", st)
	}
	// Several gateways hold it and each sends it, now and after a restart.
	publish(signed)
	w.restart()
	publish(signed)
	v := w.get(e.ID + "-1")
	if v.History[0].Action != "adopted" || !strings.Contains(v.History[0].Reason, "ops@acme") {
		t.Fatalf("%s", jsonText(v))
	}
	// It is lifted like any other, and does not come back.
	w.ok(200, "POST", "/corrections/"+e.ID+"-1/lift", `{"reason":"fire is out"}`, &v)
	publish(signed)
	w.create(stopLarge) // after whatever the message did
	if w.revision() != 3 || v.State != "lifted" {
		t.Fatal(w.revision())
	}
}

func TestMessagesThatMakeNoSense(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	for _, data := range []string{"", "{", "[]", `{"gateway":""}`, `{"gateway":"a\nb"}`, `{"gateway":"` + strings.Repeat("x", 500) + `"}`, `{"gateway":"gw-9","revision":-1}`} {
		must(t, g.bus.Publish(order.SubjectBeat, []byte(data)))
		must(t, g.bus.Publish(order.SubjectAck, []byte(data)))
		must(t, g.bus.Publish(order.SubjectEmergency, []byte(data)))
	}
	ack, _ := json.Marshal(order.Ack{Gateway: "gw-1", Revision: 99, Phase: order.PhaseEnforcing})
	must(t, g.bus.Publish(order.SubjectAck, ack))
	g.beat()
	if ps := w.points(); len(ps) != 1 || ps["gw-1"].State != pointSynced {
		t.Fatalf("%+v", ps)
	}
}

// TestNobodyThere: without a gateway there is no time to effect, now or ever.
func TestNobodyThere(t *testing.T) {
	w := newWorld(t, nil)
	events, _ := w.watch("")
	w.create(stopLarge)
	if e := until(t, events, typeMeasured, nil); strings.Contains(e.data, "time_to_effect_ms") {
		t.Error(e.data)
	}
	w.restart()
	w.gate("gw-1", true).beat()
	if v := w.get("c-1"); v.TimeToEffect != nil || v.Effect.Enforcing != 1 {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestAnOrderThatIsNotAdoptedIsComplainedOfOnce(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	e, err := order.NewEmergency("ops@acme", time.Now(), time.Minute,
		correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{All: true}, Reason: "fire"})
	must(t, err)
	stranger, err := order.GenerateSigner()
	must(t, err)
	forged, err := order.Sign(e, stranger)
	must(t, err)
	genuine, err := order.Sign(e, w.emergency)
	must(t, err)
	events, _ := w.watch("")
	for _, data := range [][]byte{forged, forged, forged, genuine} { // handled in turn
		must(t, g.bus.Publish(order.SubjectEmergency, data))
	}
	must(t, g.bus.Flush(t.Context()))
	until(t, events, typeAdopted, nil)
	if n := strings.Count(w.logs.String(), "was not adopted"); n != 1 || !strings.Contains(w.logs.String(), "gateway.emergency_trust of this control plane too") {
		t.Fatalf("%d complaints:\n%s", n, w.logs.String())
	}
}
