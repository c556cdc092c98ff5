package sim

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestJournal(t *testing.T) {
	s := start(t, Config{})
	all(t, post(t, s, "/v1/chat/completions?x=1", chatBody("sim: tokens=3", ""), "Authorization", "Bearer secret", "Traceparent", "00-1-2-3"), 200)
	all(t, post(t, s, "/v1/nowhere", "\xff\xfe"), 404)
	all(t, get(t, s, "/v1/models"), 200)
	if own := s.Requests(); len(own) != 3 || own[0].Header.Get("Authorization") != "Bearer secret" || own[0].Ended != "complete" || string(own[1].Body) != "\xff\xfe" {
		t.Errorf("%+v", own)
	}
	raw := all(t, get(t, s, "/_sim/requests"), 200)
	if strings.Contains(raw, "secret") {
		t.Error("the journal tells a key")
	}
	list := journalOf(t, s)
	if len(list) != 3 {
		t.Fatalf("%d entries", len(list))
	}
	a, b, c := list[0], list[1], list[2]
	if a.Seq != 1 || a.Method != "POST" || a.Path != "/v1/chat/completions" || a.Query != "x=1" || a.Body != chatBody("sim: tokens=3", "") ||
		a.Ended != "complete" || a.Status != 200 || a.Tokens != 3 || a.Headers["Authorization"] != "present" || a.Headers["Traceparent"] != "00-1-2-3" {
		t.Errorf("%+v", a)
	}
	if b.Status != 404 || b.Body != "\ufffd\ufffd" || string(b.Base64) != "\xff\xfe" {
		t.Errorf("%+v", b)
	}
	if c.Method != "GET" || c.Body != "" || c.Seq != 3 {
		t.Errorf("%+v", c)
	}
	if got := all(t, get(t, s, "/_sim/requests?after=2&limit=5"), 200); strings.Count(got, `"seq":`) != 1 {
		t.Error(got)
	}
	all(t, get(t, s, "/_sim/requests?limit=-1"), 400)
	all(t, get(t, s, "/_sim/nothing"), 404)
	if got := all(t, get(t, s, "/_sim/active"), 200); got != `{"active": 0, "plain": 0, "served": 1}`+"\n" {
		t.Error(got)
	}
	all(t, post(t, s, "/_sim/reset", ""), 204)
	if got := all(t, get(t, s, "/_sim/requests"), 200); got != "[]\n" {
		t.Error(got)
	}
	if got := all(t, post(t, s, "/v1/chat/completions", chatBody("x", "")), 200); !strings.Contains(got, "sim0000000000000001") {
		t.Errorf("not numbered anew: %s", got)
	}
}

func TestJournalOff(t *testing.T) {
	s := start(t, Config{Journal: -1})
	all(t, post(t, s, "/v1/chat/completions", chatBody("x", "")), 200)
	if got := all(t, post(t, s, "/v1/chat/completions", chatBody("x", "")), 200); !strings.Contains(got, "sim0000000000000002") {
		t.Errorf("not numbered: %s", got)
	}
	if got := all(t, get(t, s, "/_sim/requests"), 200); got != "[]\n" {
		t.Error(got)
	}
}

// Whatever is added, the journal holds the newest entries that fit its bounds.
func TestJournalBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, most := rapid.IntRange(1, 6).Draw(t, "n"), rapid.Int64Range(1, 40).Draw(t, "bytes")
		j := newJournal(n, most)
		var held []*entry // what should be there
		for range rapid.IntRange(0, 40).Draw(t, "adds") {
			if rapid.IntRange(0, 20).Draw(t, "reset") == 0 {
				j.reset()
				held = nil
			}
			e := &entry{body: make([]byte, rapid.IntRange(0, 50).Draw(t, "size"))}
			j.add(e)
			var sum int64
			if int64(len(e.body)) <= most {
				held = append(held, e)
			} else {
				held = nil // it pushed everything out, and does not fit itself
			}
			for i := len(held) - 1; i >= 0; i-- {
				if sum += int64(len(held[i].body)); sum > most || len(held)-i > n {
					held = held[i+1:]
					break
				}
			}
			got := j.list(0, 1<<30)
			if len(got) != len(held) {
				t.Fatalf("%d entries, want %d", len(got), len(held))
			}
			for i := range got {
				if got[i] != held[i] {
					t.Fatalf("entry %d is number %d, want %d", i, got[i].seq, held[i].seq)
				}
			}
		}
	})
}

func TestJournalNumbersEveryone(t *testing.T) {
	j := newJournal(50, 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				j.add(&entry{body: fmt.Append(nil, i)})
				j.list(0, 10)
			}
		})
	}
	wg.Wait()
	got := j.list(0, 1<<30)
	if len(got) != 50 {
		t.Fatalf("%d entries", len(got))
	}
	for i, e := range got {
		if e.seq != uint64(8*500-49+i) {
			t.Fatalf("entry %d has number %d", i, e.seq)
		}
	}
}
