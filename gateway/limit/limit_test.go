package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestConcurrentRequestsNeverExceedTheLimit(t *testing.T) {
	l := New()
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 1000 {
				if _, _, ok := l.Reserve(Key{"c-1", "u"}, Spec{100, time.Minute}, 5, 1, false); ok {
					admitted.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	if admitted.Load() != 100 {
		t.Fatalf("admitted %d, want exactly 100", admitted.Load())
	}
}

// Whatever the arrivals, no interval of the window's length admits more than
// the limit, and waiting as long as told suffices when nobody else comes.
func TestSlidingWindowAgainstALog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := New()
		window := time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(t, "window"))
		limit := rapid.Int64Range(1, 20).Draw(t, "limit")
		spec := Spec{limit, window}
		type hit struct{ at, n int64 }
		var log []hit
		now := rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start")
		for range rapid.IntRange(1, 60).Draw(t, "arrivals") {
			now += rapid.Int64Range(0, int64(window)/3).Draw(t, "gap")
			n := rapid.Int64Range(1, limit).Draw(t, "n")
			_, wait, ok := l.Reserve(Key{"c", ""}, spec, now, n, false)
			if !ok && rapid.Bool().Draw(t, "waits") {
				if wait <= 0 || wait > window+window/63+steps {
					t.Fatalf("told to wait %v of a window of %v", wait, window)
				}
				now += int64(wait)
				if _, _, ok = l.Reserve(Key{"c", ""}, spec, now, n, false); !ok {
					t.Fatalf("refused again after waiting %v", wait)
				}
			}
			if !ok {
				continue
			}
			log = append(log, hit{now, n})
			var sum int64
			for _, h := range log {
				if now-h.at < int64(window) {
					sum += h.n
				}
			}
			if sum > limit {
				t.Fatalf("%d admitted within %v, limit %d", sum, window, limit)
			}
		}
	})
}

func TestSettleCountsWhatWasUsed(t *testing.T) {
	l, k, s := New(), Key{"c", "org"}, Spec{1000, time.Minute}
	g, _, ok := l.Reserve(k, s, 1, 5000, true)
	if !ok {
		t.Fatal("an oversized estimate must be cut down to what is left")
	}
	if _, _, ok := l.Reserve(k, s, 2, 1, true); ok {
		t.Fatal("a full bucket admitted one more")
	}
	g.Settle(3, 400)
	if _, _, ok := l.Reserve(k, s, 4, 600, false); !ok {
		t.Fatal("settling to 400 must leave 600")
	}
	g.Settle(5, 1600)
	if _, wait, ok := l.Reserve(k, s, 6, 1, true); ok || wait <= 0 {
		t.Fatal("overshoot must keep the next one out")
	}
}

func TestCallThatOutlastsTheWindowCountsAllTheSame(t *testing.T) {
	l, k, s := New(), Key{"c", "org"}, Spec{1000, time.Second}
	g, _, _ := l.Reserve(k, s, 0, 100, true)
	end := int64(5 * time.Second)
	l.Sweep(end, func(string) bool { return true })
	g.Settle(end, 5000)
	if _, wait, ok := l.Reserve(k, s, end+1, 1, true); ok || wait <= 0 {
		t.Fatal("5000 used a moment ago, under 1000 in a second, and one more is admitted")
	}
	l.Sweep(2*end, func(string) bool { return true })
	if _, _, ok := l.Reserve(k, s, 2*end, 1, true); !ok {
		t.Fatal("what fell out of the window must be free again")
	}
}

func TestConcurrencyIsFreedAndForgotten(t *testing.T) {
	l, k, s := New(), Key{"c", "key"}, Spec{2, 0}
	a, _, _ := l.Reserve(k, s, 0, 1, false)
	if _, _, ok := l.Reserve(k, s, 0, 1, false); !ok {
		t.Fatal("second refused")
	}
	if _, _, ok := l.Reserve(k, s, 0, 1, false); ok {
		t.Fatal("third admitted")
	}
	a.Free(0)
	b, _, ok := l.Reserve(k, s, 0, 1, false)
	if !ok {
		t.Fatal("a freed place was not given")
	}
	b.Free(0)
	l.Sweep(0, func(string) bool { return false })
	if l.Len() != 1 {
		t.Fatalf("%d buckets, want the one still held", l.Len())
	}
}

// A bucket that is forgotten while a call looks for it is no trap.
func TestForgottenBucketIsTakenAnew(t *testing.T) {
	l, k, s := New(), Key{"c", "u"}, Spec{1, time.Minute}
	old := l.at(k.hash()) // as known by its hash alone
	l.Sweep(0, func(string) bool { return true })
	if !old.gone || l.Len() != 0 {
		t.Fatal("it is still there")
	}
	l.buckets.Store(k, old) // as by a call that had found it just before
	if _, _, ok := l.Reserve(k, s, 1, 1, false); !ok {
		t.Error("the first is refused")
	}
	if _, _, ok := l.Reserve(k, s, 1, 1, false); ok {
		t.Error("the second is admitted")
	}
}

// Calls, settlements, sweeps, rounds and restarts go on at once.
func TestEverythingAtOnce(t *testing.T) {
	l := New()
	f := NewFleet(l, "me", "b", 0)
	var clock atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	background := func(do func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					do(i)
				}
			}
		})
	}
	background(func(i int) {
		now := clock.Add(int64(time.Millisecond))
		f.Take(Word{Gateway: "other", Boot: "b", Round: uint64(i), Prev: uint64(max(i-1, 0)), Parts: 1,
			Counts: []Count{{Hash: Key{"c", fmt.Sprint(i % 5)}.hash(), N: int64(i % 3), Window: time.Second}}}, now)
		f.Tick(now, i%2 == 0)
	})
	background(func(int) { l.Sweep(clock.Load(), func(string) bool { return true }) })
	background(func(int) { l.Keep(nil, clock.Load(), 0) })
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for i := range 3000 {
				now := clock.Load()
				k, spec := Key{"c", fmt.Sprint(i % 5)}, Spec{50, time.Second}
				if i%5 == 4 {
					l.Take(k, spec, now, Ask{N: 1, Each: true, Value: fmt.Sprint(i % 70), Last: true})
				} else if g, _, ok := l.Take(k, spec, now, Ask{N: 2, AtMost: true, Last: true}); ok {
					g.Settle(now, int64(i%4))
				}
				l.Look(k, spec, now, 1)
			}
		})
	}
	calls.Wait()
	close(stop)
	wg.Wait()
	l.hashed.Range(func(_ Hash, b *bucket) bool {
		var sum int64
		if b.ring != nil {
			for _, n := range b.ring {
				sum += n
			}
		}
		if sum != b.sum || b.sum < 0 {
			t.Errorf("a bucket counts %d, and its steps %d", b.sum, sum)
		}
		return true
	})
}
