package control

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/order"
)

// TestEventsResume reads the stream in pieces, over a restart, and finds in it
// every entry of the ledger once and in order.
func TestEventsResume(t *testing.T) {
	w := newWorld(t, nil)
	w.create(stopLarge)
	events, stop := w.watch("0") // 0 is the operator
	last := 0
	read := func(correction string) {
		t.Helper()
		for {
			e := until(t, events, "", nil)
			if e.id == "" {
				continue
			}
			if last++; e.id != strconv.Itoa(last) {
				t.Fatalf("entry %d came as %+v", last, e)
			}
			if e.name == typeCreated && strings.Contains(e.data, `"id":"`+correction+`"`) {
				if !strings.Contains(e.data, `"type":"correction.created"`) || !strings.Contains(e.data, `"actor":"op-1"`) {
					t.Fatal(e)
				}
				return
			}
		}
	}
	read("c-1")
	w.create(stopLarge)
	read("c-2")
	stop()
	w.create(stopLarge)
	w.restart()
	w.create(stopLarge)
	events, _ = w.watch(strconv.Itoa(last))
	read("c-3")
	read("c-4")
	for _, bad := range []string{"9999", "x", "-1"} {
		w.bad(400, "invalid_header", "GET", "/events", "", "Last-Event-ID", bad)
	}
}

func TestEventsWithoutIDBeginNow(t *testing.T) {
	w := newWorld(t, nil)
	w.create(stopLarge)
	g := w.gate("gw-1", true)
	events, _ := w.watch("")
	w.create(stopLarge)
	g.next()
	seen := map[string]sse{}
	for len(seen) < 2 {
		e := <-events
		if e.name == typeCreated && !strings.Contains(e.data, `"c-2"`) {
			t.Fatal("an old one:", e)
		}
		if e.name == typeCreated || e.name == "ack" {
			seen[e.name] = e
		}
	}
	if e := seen["ack"]; e.id != "" || !strings.Contains(e.data, `"gateway":"gw-1"`) {
		t.Error(e)
	}
}

func TestASlowWatcherIsDropped(t *testing.T) {
	h := newHub()
	slow, quick := h.watch(), h.watch()
	for i := range hubRoom + 1 {
		h.send(message{name: "ack", data: ackEvent{Ack: order.Ack{Revision: uint64(i)}}})
		<-quick.messages
	}
	select {
	case <-slow.dropped:
	default:
		t.Fatal("still there")
	}
	if h.count() != 1 {
		t.Fatal(h.count())
	}
	h.leave(slow)
	h.leave(quick)
}

func TestStopEndsStreamsAndRefusesCommands(t *testing.T) {
	w := newWorld(t, nil)
	events, _ := w.watch("")
	c := w.c
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, c.Stop(ctx))
	for range events { // ends
	}
	if _, _, err := c.EnsureOperator("late"); err == nil {
		t.Error("a command after Stop")
	}
	if err := c.Stop(ctx); err != nil {
		t.Error("stopped twice:", err)
	}
	if _, err := http.Get("http://" + c.Addr() + "/healthz"); err == nil {
		t.Error("still listening")
	}
}
