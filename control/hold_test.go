package control

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
)

func TestAHeldCallIsDecidedOnce(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	released := make(chan order.Release, 2)
	_, err := g.bus.Subscribe(order.SubjectRelease, func(m bus.Msg) {
		r, err := order.OpenRelease(m.Data, order.Trust{Control: []order.PublicKey{w.signer.Public()}})
		must(t, err)
		released <- r
	})
	must(t, err)
	must(t, g.bus.Flush(t.Context()))
	now := time.Now()
	h := order.Hold{ID: "h-r-1-1", Gateway: "gw-1", RequestID: "r-1", Correction: "c-1", Direction: "output", Since: now, Until: now.Add(time.Minute),
		Model: "sim-large", Excerpt: "a forbidden phrase"}
	data, err := json.Marshal(h)
	must(t, err)
	g.bus.Publish(order.SubjectHold, data)
	deadline := time.Now().Add(30 * time.Second)
	for {
		var list holdList
		if w.ok(200, "GET", "/holds", "", &list); len(list.Holds) == 1 {
			if list.Holds[0].Excerpt != h.Excerpt {
				t.Fatalf("%+v", list.Holds[0])
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the held call is not listed")
		}
		time.Sleep(time.Millisecond)
	}
	if p := w.bad(422, "invalid_field", "POST", "/holds/h-r-1-1/release", `{"reason":""}`); p.Field != "reason" {
		t.Fatalf("%+v", p)
	}
	w.bad(404, "not_found", "POST", "/holds/h-other/release", `{"reason":"r"}`)
	w.ok(204, "POST", "/holds/h-r-1-1/release", `{"reason":"a quotation"}`, nil)
	select {
	case r := <-released:
		if !r.Let || r.Hold != h.ID || r.Gateway != "gw-1" {
			t.Fatalf("%+v", r)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the gateway was not told")
	}
	w.bad(404, "not_found", "POST", "/holds/h-r-1-1/reject", `{"reason":"r"}`) // decided once
	var info struct {
		Entries uint64 `json:"entries"`
	}
	w.ok(200, "GET", "/ledger", "", &info)
	var all strings.Builder
	for n := range info.Entries {
		resp := w.do("GET", fmt.Sprintf("%s/ledger/entries/%d", api, n), "", nil)
		io.Copy(&all, resp.Body)
	}
	if text := all.String(); !strings.Contains(text, "hold.decided") || strings.Contains(text, "forbidden phrase") {
		t.Fatalf("the record: %s", text)
	}
}
