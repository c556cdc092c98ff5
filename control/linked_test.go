package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
)

func (w *world) makeKey(body string) string {
	w.t.Helper()
	var k keyView
	w.ok(201, "POST", "/keys", body, &k)
	return k.ID
}

// TestEvasionIsCaught replays how a blocked subject comes back, and how an operator
// undoes a link.
func TestEvasionIsCaught(t *testing.T) {
	w := newWorld(t, nil)
	w.makeKey(`{"org":"acme","user":"mallory","attributes":["device=d-1","plan=free"]}`)
	w.makeKey(`{"org":"acme","user":"carol","attributes":["device=d-2"]}`)
	w.bad(422, "invalid_field", "POST", "/corrections", `{"kind":"access","params":{"mode":"block","linked":["device=d-1"]},"scope":{"users":["x"]},"reason":"r"}`)
	w.create(`{"kind":"access","params":{"mode":"block","linked":["device","payment"]},"scope":{"users":["mallory"],"models":["sim-large"]},"reason":"scraping"}`)
	links := func(want ...string) correctionView {
		t.Helper()
		v := w.get("c-1")
		if got := slices.Sorted(slices.Values(v.Links)); !slices.Equal(got, want) {
			t.Fatalf("links %v, want %v", got, want)
		}
		w.restart() // they are what the ledger says
		if got := w.get("c-1"); !slices.Equal(got.Links, v.Links) || len(got.Linked.Links) != len(want) {
			t.Fatalf("after a restart %v %+v", got.Links, got.Linked)
		}
		return v
	}
	v := links("device=d-1")
	if l := v.Linked.Links[0]; l.Key != "k-1" || l.Via != "" || l.Entry == 0 || v.History[1].Action != "linked" {
		t.Fatalf("%+v %+v", v.Linked, v.History)
	}
	w.makeKey(`{"org":"other","user":"new1","attributes":["device=d-1","payment=p-1"]}`) // same device: its payment is known, too
	v = links("device=d-1", "payment=p-1")
	if l := v.Linked.Links[1]; l.Key != "k-3" || l.Via != "device=d-1" {
		t.Fatalf("%+v", v.Linked)
	}
	w.makeKey(`{"org":"third","user":"new2","attributes":["device=d-3","payment=p-1"]}`) // caught by it, and teaches no more
	w.makeKey(`{"org":"fourth","user":"new3","attributes":["device=d-3"]}`)
	links("device=d-1", "payment=p-1")
	w.c.mu.RLock()
	full := w.c.state.full()
	w.c.mu.RUnlock()
	if got := full.Corrections[0].Links; len(got) != 2 {
		t.Fatal("gateways do not get the links:", got)
	}
	// The undo.
	w.bad(422, "invalid_field", "POST", "/corrections/c-1/unlink", `{"link":"device=d-7","reason":"r"}`)
	w.bad(422, "invalid_field", "POST", "/corrections/c-1/unlink", `{"link":"device=d-1"}`)
	w.bad(400, "unknown_field", "POST", "/corrections/c-1/unlink", `{"links":["device=d-1"],"reason":"r"}`)
	w.bad(404, "not_found", "POST", "/corrections/c-9/unlink", `{"link":"device=d-1","reason":"r"}`)
	w.ok(200, "POST", "/corrections/c-1/unlink", `{"link":"device=d-1","reason":"a device in a library"}`, nil)
	if v = links(); !slices.Equal(v.Linked.Unlinked, []string{"device=d-1"}) { // what was learned through it is gone with it
		t.Fatalf("%+v", v.Linked)
	}
	w.makeKey(`{"org":"acme","user":"mallory","attributes":["device=d-1","payment=p-2"]}`)
	links("payment=p-2") // the device is not learned again
	w.ok(200, "POST", "/corrections/c-1/extend", `{"reason":"r","review_by":"2100-01-01T00:00:00Z"}`, nil)
	links("payment=p-2")
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"r"}`, nil)
	w.makeKey(`{"org":"acme","user":"mallory","attributes":["payment=p-3"]}`)
	links("payment=p-2")
}

func TestASharedOfficeIsNotOneSubject(t *testing.T) {
	w := newWorld(t, nil)
	for i := range sharedMost + 1 {
		w.makeKey(fmt.Sprintf(`{"org":"office","user":"u-%d","attributes":["device=d-%d"]}`, i, i))
	}
	w.create(`{"kind":"access","params":{"mode":"block","linked":["org","device"]},"scope":{"users":["u-3"]},"reason":"r"}`)
	v := w.get("c-1")
	if !slices.Equal(v.Links, []string{"device=d-3"}) || len(v.Linked.Refused) != 1 || v.Linked.Refused[0] != (linkMany{"org=office", sharedMost + 1}) {
		t.Fatalf("%v %+v", v.Links, v.Linked)
	}
	w.makeKey(`{"org":"office","user":"u-99","attributes":["device=d-99"]}`)
	if got := w.get("c-1"); len(got.Linked.Refused) != 1 || len(got.History) != 2 {
		t.Fatalf("%+v", got)
	}
	// Who holds another key of a blocked org is blocked as it is: no link says so.
	w.create(`{"kind":"access","params":{"mode":"block","linked":["org"]},"scope":{"orgs":["office"]},"reason":"r"}`)
	if got := w.get("c-2"); len(got.Links) != 0 || got.Linked != nil {
		t.Fatalf("%+v", got.Linked)
	}
}

func TestGatewaysTellOfLinkedCallers(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	users := int64(3)
	_, err := g.bus.Subscribe(order.SubjectLive, func(m bus.Msg) {
		p := order.Preview{Gateway: "gw-1", Recorded: 100, Requests: users, Since: time.Now(), Until: time.Now()}
		if strings.Contains(string(m.Data), "nat=n-1") {
			for i := range uint64(50) {
				p.Users.Add(i * 0x9e3779b97f4a7c15)
			}
		}
		data, _ := json.Marshal(p)
		m.Respond(data)
	})
	must(t, err)
	must(t, g.bus.Flush(t.Context()))
	w.create(`{"kind":"access","params":{"mode":"block","linked":["device","payment","nat"]},"scope":{"users":["mallory"]},"reason":"r"}`)
	tell := func(l order.Linked) {
		data, err := json.Marshal(l)
		must(t, err)
		must(t, g.bus.Publish(order.SubjectLinked, data))
	}
	tell(order.Linked{Gateway: "gw-1", Correction: "c-9", Attributes: []string{"device=d-1"}})
	tell(order.Linked{Gateway: "gw-1", Correction: "c-1", Attributes: []string{"device=d-2"}, Via: "device=d-0"}) // a link that there is not
	must(t, g.bus.Publish(order.SubjectLinked, []byte("{")))
	tell(order.Linked{Gateway: "gw-1", Correction: "c-1", Attributes: []string{"device=d-1", "nat=n-1", "plan=free", "device=bad\n"}})
	tell(order.Linked{Gateway: "gw-1", Correction: "c-1", Attributes: []string{"device=d-1", "nat=n-1"}})
	tell(order.Linked{Gateway: "gw-1", Correction: "c-1", Attributes: []string{"device=d-1", "payment=p-1"}, Via: "device=d-1"})
	tell(order.Linked{Gateway: "gw-1", Correction: "c-1", Attributes: []string{"device=d-5", "payment=p-1"}, Via: "payment=p-1"}) // two steps away
	tell(order.Linked{Gateway: "gw-1", Correction: "c-1", Attributes: []string{"device=d-1", "payment=p-9"}, Via: "device=d-1"})  // after all of them
	soon(t, "the last is linked", func() bool { return slices.Contains(w.get("c-1").Links, "payment=p-9") })
	v := w.get("c-1")
	if !slices.Equal(v.Links, []string{"device=d-1", "payment=p-1", "payment=p-9"}) || v.Linked.Links[0].Gateway != "gw-1" || v.Linked.Links[1].Via != "device=d-1" ||
		len(v.Linked.Refused) != 1 || v.Linked.Refused[0].Link != "nat=n-1" || v.Linked.Refused[0].Shared <= sharedMost {
		t.Fatalf("%v %+v", v.Links, v.Linked)
	}
}

// BenchmarkLearnLinks is what a new key of a linked account costs beside one block
// that links, among 10,000 keys; and what any other key costs.
func BenchmarkLearnLinks(b *testing.B) {
	s := newState()
	for i := range 10_000 {
		k := &keyRecord{Key: order.Key{ID: fmt.Sprintf("k-%d", i), Org: fmt.Sprintf("org-%d", i/10), User: fmt.Sprintf("u-%d", i), Attributes: []string{fmt.Sprintf("device=d-%d", i), "plan=free"}}}
		s.keys[k.ID], s.keyList = k, append(s.keyList, k)
	}
	r := &record{Correction: correction.Correction{ID: "c-1", Kind: correction.Access, Params: correction.Params{Mode: "block", Linked: []string{"device"}},
		Scope: correction.Scope{Users: []string{"u-7"}}, Reason: "r"}}
	s.list = append(s.list, r)
	b.Run("another", func(b *testing.B) {
		for b.Loop() {
			if got, _ := s.keyed(order.Key{ID: "k-x", User: "x", Attributes: []string{"device=d-y"}}); got != nil {
				b.Fatal(got)
			}
		}
	})
	b.Run("linked", func(b *testing.B) { benchmarkLinked(b, s, r) })
}

func benchmarkLinked(b *testing.B, s *state, r *record) {
	for b.Loop() {
		if got := s.learnLinks(r, order.Key{ID: "k-x", User: "x", Attributes: []string{"device=d-7"}}); got == nil || len(got.Links) != 1 {
			b.Fatal(got)
		}
	}
}
