package control

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"andon/bus"
)

// TestNobodyWaitsForAnother: a gateway that floods a subject delays itself alone,
// what waits of it is bounded, and each gateway's messages stay in order.
func TestNobodyWaitsForAnother(t *testing.T) {
	var mu sync.Mutex
	dropped, handled := 0, map[string][]string{}
	gate := make(chan struct{})
	done := make(chan struct{}, 4*maxWaiting)
	l := &lanes{full: func(string) { dropped++ }, f: func(m bus.Msg) {
		if m.Subject == "x.flood" {
			<-gate
		}
		mu.Lock()
		handled[m.Subject] = append(handled[m.Subject], string(m.Data))
		mu.Unlock()
		done <- struct{}{}
	}}
	await := func(n int) {
		t.Helper()
		for range n {
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Fatal("what one gateway says waits for another")
			}
		}
	}
	for i := range 3 * maxWaiting {
		l.take(bus.Msg{Subject: "x.flood", Data: fmt.Append(nil, i)})
	}
	for i := range 100 {
		l.take(bus.Msg{Subject: "x.calm", Data: fmt.Append(nil, i)})
	}
	await(100)
	if dropped < maxWaiting {
		t.Errorf("%d were dropped, and at most %d may wait", dropped, maxWaiting)
	}
	close(gate)
	await(3*maxWaiting - dropped)
	mu.Lock()
	defer mu.Unlock()
	for subject, said := range handled {
		last := -1
		for _, text := range said {
			i, err := strconv.Atoi(text)
			if err != nil || i <= last {
				t.Fatalf("%s: %s came after %d", subject, text, last)
			}
			last = i
		}
	}
	large := &lanes{full: func(string) { dropped = -1 }, f: func(bus.Msg) { <-t.Context().Done() }}
	for range 4 {
		large.take(bus.Msg{Subject: "x.large", Data: make([]byte, maxWaitingBytes/2+1)})
	}
	if dropped != -1 {
		t.Error("bytes that wait have no bound")
	}
}
