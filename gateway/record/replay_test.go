package record

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon/correction"
)

// The naive limiter: it looks back over all that it has admitted.
func naive(calls []Call, window time.Duration, limit int, bucket func(*Call) string) (refused int) {
	calls = slices.Clone(calls)
	slices.SortStableFunc(calls, func(a, b Call) int { return a.At.Compare(b.At) })
	admitted := map[string][]time.Time{}
	for i := range calls {
		b := bucket(&calls[i])
		n := 0
		for _, at := range admitted[b] {
			if calls[i].At.Sub(at) < window {
				n++
			}
		}
		if n >= limit {
			refused++
			continue
		}
		admitted[b] = append(admitted[b], calls[i].At)
	}
	return refused
}

func TestALimitIsReplayed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var calls []Call
	for i := range 4000 {
		calls = append(calls, Call{At: noon.Add(-time.Hour).Add(time.Duration(rng.IntN(3_000_000)) * time.Millisecond), Took: time.Duration(rng.IntN(9000)) * time.Millisecond,
			Request: correction.Request{Model: "large", Key: fmt.Sprint("k-", i%7), Users: []string{fmt.Sprint("u-", i%13)}, InputTokens: 10, OutputTokens: 90, Generates: true}})
	}
	r := New(Config{Now: fixed}, names)
	fill(r, calls)
	for _, tc := range []struct {
		metric, per string
		limit       int64
		window      time.Duration
	}{
		{"requests", "key", 5, time.Minute}, {"requests", "global", 50, time.Minute}, {"requests", "user", 2, 30 * time.Second}, {"requests", "org", 50, time.Minute},
	} {
		c := correction.Correction{Kind: correction.Rate, Reason: "x", Scope: correction.Scope{All: true},
			Params: correction.Params{Metric: tc.metric, Limit: &tc.limit, Window: correction.Duration(tc.window), Per: tc.per}}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil {
			t.Fatal(err)
		}
		bucket := func(c *Call) string {
			switch tc.per {
			case "key":
				return c.Request.Key
			case "user":
				return c.Request.Users[0]
			}
			return ""
		}
		// The gateway's window slides in 64 steps: it frees up to a step later, so it
		// refuses at least what an exact window does and at most what a longer one does.
		least, most := naive(calls, tc.window, int(tc.limit), bucket), naive(calls, tc.window+tc.window/20, int(tc.limit), bucket)
		if got.Limited < int64(least)*98/100 || got.Limited > int64(most)*102/100+2 || got.Reached != int64(len(calls)) || got.Requests != got.Limited {
			t.Errorf("%+v: %d limited, %d to %d expected, %d reached", tc, got.Limited, least, most, got.Reached)
		}
	}
	// Places: never more than the limit at once.
	one := int64(1)
	c := correction.Correction{Kind: correction.Rate, Reason: "x", Scope: correction.Scope{All: true}, Params: correction.Params{Metric: "concurrent", Limit: &one, Per: "global"}}
	got, err := r.Preview(c, nil, correction.At(noon))
	if err != nil {
		t.Fatal(err)
	}
	sorted := slices.Clone(calls)
	slices.SortStableFunc(sorted, func(a, b Call) int { return a.At.Compare(b.At) })
	var free time.Time
	want := int64(0)
	for i := range sorted {
		if sorted[i].At.Before(free) {
			want++
			continue
		}
		free = sorted[i].At.Add(sorted[i].Took.Truncate(tick))
	}
	if d := got.Limited - want; d < -3 || d > 3 { // of calls that began in the same millisecond either may be first
		t.Errorf("concurrent: %d limited, want %d", got.Limited, want)
	}
}

func TestDistinctValuesAreReplayed(t *testing.T) {
	var calls []Call
	for i := range 60 {
		calls = append(calls, Call{At: noon.Add(time.Duration(i-60) * time.Second), Request: correction.Request{Model: "large", Key: fmt.Sprint("k-", i%2), Users: []string{fmt.Sprint("u-", i%12)},
			Attributes: []string{fmt.Sprint("app=", i%3)}}})
	}
	r := New(Config{Now: fixed}, names)
	fill(r, calls)
	for metric, tc := range map[string]struct {
		per   string
		limit int64
		want  int64
	}{
		"distinct_users": {"key", 4, 20}, // 6 users of each key call in turn: 2 of 6 are over
		"distinct_apps":  {"global", 2, 20},
	} {
		c := correction.Correction{Kind: correction.Rate, Reason: "x", Scope: correction.Scope{All: true},
			Params: correction.Params{Metric: metric, Limit: &tc.limit, Window: correction.Duration(time.Hour), Per: tc.per}}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil || got.Limited != tc.want {
			t.Errorf("%s: %d limited, want %d (%v)", metric, got.Limited, tc.want, err)
		}
	}
}

// What another correction refused never came to the limit, and takes none of it.
func TestWhatWasRefusedTakesNothingOfALimit(t *testing.T) {
	var calls []Call
	for i := range 20 {
		c := Call{At: noon.Add(time.Duration(i-60) * time.Second), Request: correction.Request{Model: "large"}}
		if i < 10 {
			c.Outcome = Refused
		}
		calls = append(calls, c)
	}
	r := New(Config{Now: fixed}, names)
	fill(r, calls)
	limit := int64(8)
	c := correction.Correction{Kind: correction.Rate, Reason: "x", Scope: correction.Scope{All: true},
		Params: correction.Params{Metric: "requests", Limit: &limit, Window: correction.Duration(time.Hour), Per: "global"}}
	got, err := r.Preview(c, nil, correction.At(noon))
	if err != nil || got.Limited != 2 || got.Reached != 20 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestTokensAreReplayedAsTheyWereUsed(t *testing.T) {
	var calls []Call
	for i := range 10 {
		calls = append(calls, Call{At: noon.Add(time.Duration(10*i-600) * time.Second), Took: time.Second, Input: 40, Output: 60, ToolCalls: 2,
			Request: correction.Request{Model: "large", InputTokens: 50, OutputTokens: 1000, Generates: true, Features: correction.Tools}})
	}
	r := New(Config{Now: fixed}, names)
	fill(r, calls)
	for metric, want := range map[string]int64{"total_tokens": 4, "input_tokens": 0, "output_tokens": 0, "tool_calls": 0} {
		limit := int64(600)
		c := correction.Correction{Kind: correction.Rate, Reason: "x", Scope: correction.Scope{All: true},
			Params: correction.Params{Metric: metric, Limit: &limit, Window: correction.Duration(time.Hour), Per: "global"}}
		if metric == "tool_calls" {
			limit, want = 5, 7 // 2, 4, 6: the fourth is the first that finds nothing left
		}
		got, err := r.Preview(c, nil, correction.At(noon))
		if err != nil || got.Limited != want || len(got.Notes) != 1 {
			t.Errorf("%s: %d limited, want %d (%q %v)", metric, got.Limited, want, got.Notes, err)
		}
	}
}

func TestAddNeverWaits(t *testing.T) {
	r := New(Config{Now: fixed}, names)
	for range queued + 100 { // nobody takes them in
		r.Add(&Call{At: noon})
	}
	if n := r.lost.Load(); n != 100 {
		t.Errorf("%d lost", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { r.Run(ctx) })
	deadline := time.Now().Add(30 * time.Second)
	for {
		r.mu.Lock()
		n := r.total
		r.mu.Unlock()
		if n == queued {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the worker took in %d of %d", n, queued)
		}
		time.Sleep(time.Millisecond)
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 500 {
				r.Add(&Call{At: noon, Request: correction.Request{Model: "large", Org: "acme"}})
			}
		})
	}
	callers.Wait()
	cancel()
	wait.Wait()
	if n := r.Len(); int64(n) != queued+4000+100-r.lost.Load() {
		t.Errorf("%d kept, %d lost", n, r.lost.Load())
	}
}

// traffic makes up a million calls in the shape of real ones: a few keys make
// most of them, lengths have long tails.
func traffic(n int) *Recorder {
	rng := rand.New(rand.NewPCG(3, 4))
	r := New(Config{Requests: MaxRequests, Now: fixed}, names)
	keys := rand.NewZipf(rng, 1.1, 4, 4999)
	users := rand.NewZipf(rng, 1.05, 8, 199_999)
	cs := []string{"DE", "FR", "US", "BR", "IN", "", "", ""}
	for i := range n {
		k := int(keys.Uint64())
		q := correction.Request{Model: []string{"large", "small"}[k%2], Surface: "api", Org: fmt.Sprint("org-", k%700), Key: fmt.Sprint("k-", k), Tier: []string{"free", "paid"}[k%3%2],
			Attributes: []string{"plan=free"}, Users: []string{fmt.Sprint("u-", users.Uint64())}, IP: netip.AddrFrom4([4]byte{byte(k), byte(k >> 8), byte(rng.Uint32()), byte(rng.Uint32())}),
			Country: cs[rng.IntN(len(cs))], Generates: true, Features: correction.Features(k % 4), InputTokens: int64(rng.ExpFloat64() * 1100), OutputTokens: int64(k%2) * 1000,
			Messages: int64(k % 9), Temperature: -1}
		if k%5 == 0 {
			q.Tools = []string{"function", fmt.Sprint("tool-", k%40)}
		}
		c := Call{Request: q, At: noon.Add(-time.Duration(n-i) * 60 * time.Millisecond), Took: time.Duration(rng.ExpFloat64() * float64(8*time.Second)), Input: 500, Output: 200}
		r.mu.Lock()
		r.takeLocked(&c)
		r.mu.Unlock()
	}
	return r
}

var million = sync.OnceValue(func() *Recorder { return traffic(MaxRequests) })

// BenchmarkPreviewMillion previews corrections over a full record of the largest size.
func BenchmarkPreviewMillion(b *testing.B) {
	r := million()
	b.Logf("%d records, %d profiles", r.Len(), len(r.table.byKey))
	for _, tc := range []struct{ name, text string }{
		{"stop", `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["large"]},"reason":"x"}`},
		{"block users", `{"kind":"access","params":{"mode":"block"},"scope":{"users":["u-1","u-7","u-9"]},"reason":"x"}`},
		{"block network", `{"kind":"access","params":{"mode":"block"},"scope":{"ips":["17.0.0.0/11","18.0.64.0/18"]},"except":{"tiers":["paid"]},"reason":"x"}`},
		{"country or unknown", `{"kind":"access","params":{"mode":"block"},"scope":{"countries":["DE","FR"],"models":["small"],"unknown":"include"},"reason":"x"}`},
		{"expression", `{"kind":"access","params":{"mode":"block"},"scope":{"when":"tools_offered && country != \"US\" && output_tokens > 500"},"reason":"x"}`},
		{"clamp", `{"kind":"capability","params":{"clamp":{"output_tokens":200}},"scope":{"all":true},"reason":"x"}`},
		{"limit per user", `{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m","per":"user"},"scope":{"all":true},"reason":"x"}`},
		{"limit tokens", `{"kind":"rate","params":{"metric":"total_tokens","limit":100000,"window":"1h","per":"global"},"scope":{"all":true},"reason":"x"}`},
	} {
		c, err := correction.Parse([]byte(tc.text))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(tc.name, func(b *testing.B) {
			before := cpuTime(b)
			for b.Loop() {
				got, err := r.Preview(c, nil, correction.At(noon))
				if err != nil || got.Recorded < MaxRequests*9/10 {
					b.Fatal(got, err)
				}
				b.ReportMetric(float64(got.Requests), "hits")
			}
			b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpuTime is what this process has used of its cores: on a machine that others use
// too, it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAdd is what recording costs the path of a request.
func BenchmarkAdd(b *testing.B) {
	r := New(Config{}, names)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { // takes them in as fast as it can, so that there is always room
		for ctx.Err() == nil {
			r.queue.TryDequeue()
		}
	}()
	b.RunParallel(func(pb *testing.PB) {
		c := Call{At: noon, Request: correction.Request{Model: "large", Org: "acme", Users: []string{"u-1"}}}
		for pb.Next() {
			r.Add(&c)
		}
	})
}

// BenchmarkTake is what the worker does for one call.
func BenchmarkTake(b *testing.B) {
	r := New(Config{}, names)
	c := Call{At: noon, Request: correction.Request{Model: "large", Org: "acme", Key: "k-1", Attributes: []string{"plan=free"}, Users: []string{"u-1"}, IP: netip.MustParseAddr("192.0.2.7"), Tools: []string{"function", "lookup"}}}
	b.ReportAllocs()
	for b.Loop() {
		r.mu.Lock()
		r.takeLocked(&c)
		r.mu.Unlock()
	}
}
