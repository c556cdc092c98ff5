package correction

import (
	"testing"
	"time"
)

func TestTimeBox(t *testing.T) {
	base := block("c", Scope{All: true})
	with := func(applied, starts, expires time.Time) *Policy {
		c := base
		c.AppliedAt, c.StartsAt, c.ExpiresAt = applied, starts, expires
		return compile(t, c)
	}
	var none time.Time
	m := func(n int) time.Time { return at.Add(time.Duration(n) * time.Minute) }
	for _, tc := range []struct {
		name    string
		p       *Policy
		now     Span
		refused bool
	}{
		{"no times", with(none, none, none), At(at), true},
		{"applied now", with(at, none, none), At(at), true},
		{"applied later, by a clock ahead of ours", with(at.Add(1), none, none), At(at), true},
		{"starts later than applied", with(m(-1), m(1), none), At(at), false},
		{"started before it was applied", with(m(1), m(-1), none), At(at), true},
		{"both have passed", with(m(-2), m(-1), none), At(at), true},
		{"may have started", with(none, m(1), none), Span{m(-5).UnixNano(), m(1).UnixNano()}, true},
		{"cannot have started", with(none, m(1), none), Span{m(-5).UnixNano(), m(1).UnixNano() - 1}, false},
		{"expires now", with(none, none, at), At(at), false},
		{"expires next", with(none, none, at.Add(1)), At(at), true},
		{"may have expired", with(none, none, at), Span{at.UnixNano() - 1, m(5).UnixNano()}, true},
		{"must have expired", with(none, none, at), Span{at.UnixNano(), m(5).UnixNano()}, false},
		{"expires beyond the nanoseconds", with(none, none, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)), At(at), true},
		{"starts beyond the nanoseconds", with(none, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC), none), At(at), false},
		{"started before the nanoseconds", with(time.Date(1200, 1, 1, 0, 0, 0, 0, time.UTC), none, none), At(at), true},
		{"other zone", with(none, at.In(time.FixedZone("", 3600)), none), At(at), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var v Verdict
			tc.p.Decide(&Request{}, tc.now, &v)
			if v.Allowed() == tc.refused {
				t.Errorf("refused: %v, want %v", !v.Allowed(), tc.refused)
			}
		})
	}
}

func TestStopLevels(t *testing.T) {
	fresh, going, live := Request{}, Request{Continues: true}, Request{Live: true}
	for level, want := range map[string][3]bool{ // refuses fresh, going, live
		"L0": {false, false, false},
		"L1": {true, false, false},
		"L2": {true, true, false},
		"L3": {true, true, true},
		"L4": {true, true, true},
		"L5": {true, true, true},
		"L6": {true, true, true},
	} {
		p := compile(t, Correction{ID: "c", Kind: Stop, Params: Params{Level: level}, Scope: Scope{All: true}, AppliedAt: at})
		for i, r := range []Request{fresh, going, live} {
			if got := !decide(p, &r).Allowed(); got != want[i] {
				t.Errorf("%s refuses %+v: %v, want %v", level, r, got, want[i])
			}
		}
	}
}

// L0 lets everything go on but what makes a derivative, and ends nothing.
func TestFreeze(t *testing.T) {
	p := compile(t, Correction{ID: "c", Kind: Stop, Params: Params{Level: "L0"}, Scope: Scope{Models: []string{"m"}}})
	for _, tc := range []struct {
		r       Request
		refused bool
	}{
		{Request{Model: "m", Features: FineTuneCreate | Files}, true},
		{Request{Model: "m", Features: FineTuneCreate, Live: true}, false},
		{Request{Model: "m", Features: FineTuneServe | Tools, Generates: true}, false},
		{Request{Model: "other", Features: FineTuneCreate}, false},
	} {
		if got := !decide(p, &tc.r).Allowed(); got != tc.refused {
			t.Errorf("%+v: refused %v, want %v", tc.r, got, tc.refused)
		}
	}
}

func TestDrain(t *testing.T) {
	stop := func(id string, drain Duration) Correction {
		return Correction{ID: id, Kind: Stop, Params: Params{Level: "L2", Drain: drain}, Scope: Scope{All: true}, AppliedAt: at}
	}
	shadow := stop("s", Duration(time.Second))
	shadow.Mode = Shadow
	p := compile(t, stop("default", 0), stop("longer", Duration(5*time.Minute)), shadow)
	ends := at.Add(2 * time.Minute)
	var v Verdict
	for _, tc := range []struct {
		name    string
		now     Span
		refused int
		drain   int64
		shadow  int
	}{
		{"at once", At(at), 0, ends.UnixNano(), 0},
		{"just before its end", At(ends.Add(-1)), 0, ends.UnixNano(), 1},
		{"may be over", Span{at.UnixNano(), ends.UnixNano()}, 1, at.Add(5 * time.Minute).UnixNano(), 1},
		{"at its end", At(ends), 1, at.Add(5 * time.Minute).UnixNano(), 1},
		{"both are over", At(at.Add(5 * time.Minute)), 2, 0, 1},
	} {
		p.Decide(&Request{Live: true}, tc.now, &v)
		if len(v.Refused) != tc.refused || v.Drain != tc.drain || len(v.Shadow) != tc.shadow {
			t.Errorf("%s: refused %v, drain %d, shadow %v; want %d, %d, %d", tc.name, ids(v.Refused), v.Drain, ids(v.Shadow), tc.refused, tc.drain, tc.shadow)
		}
	}
	if p.Decide(&Request{}, At(at), &v); len(v.Refused) != 2 || v.Drain != 0 {
		t.Errorf("a new request: refused %v, drain %d", ids(v.Refused), v.Drain)
	}
}

func TestNextChange(t *testing.T) {
	c := func(id string, change func(*Correction)) Correction {
		c := block(id, Scope{All: true})
		change(&c)
		return c
	}
	m := func(n int) time.Time { return at.Add(time.Duration(n) * time.Minute) }
	p := compile(t,
		c("starts", func(c *Correction) { c.StartsAt, c.ExpiresAt = m(1), m(10) }),
		c("never", func(c *Correction) { c.StartsAt, c.ExpiresAt = m(3), m(2) }),
		c("far", func(c *Correction) { c.ExpiresAt = time.Date(2900, 1, 1, 0, 0, 0, 0, time.UTC) }),
		c("frozen", func(c *Correction) { c.Kind, c.Params, c.StartsAt = Stop, Params{Level: "L0"}, m(4) }),
		c("drains", func(c *Correction) { c.Kind, c.Params, c.AppliedAt = Stop, Params{Level: "L2"}, m(5) }),
		c("cut short", func(c *Correction) {
			c.Kind, c.Params, c.AppliedAt, c.ExpiresAt = Stop, Params{Level: "L2", Drain: Duration(20 * time.Minute)}, m(5), m(12)
		}),
	)
	now := m(-1)
	for _, want := range []int{1, 4, 7, 10, 12} {
		now = p.NextChange(now)
		if !now.Equal(m(want)) {
			t.Fatalf("the next change is at %v, want %v", now, m(want))
		}
	}
	if last := p.NextChange(now); !last.IsZero() {
		t.Errorf("after the last change comes %v", last)
	}
	if got := compile(t).NextChange(at); !got.IsZero() {
		t.Errorf("an empty policy changes at %v", got)
	}
}

// Rates and clamps were reserved and applied when the request began.
func TestLiveRequestsAreNotReservedAgain(t *testing.T) {
	p := compile(t,
		Correction{ID: "c", Kind: Capability, Params: Params{Clamp: map[string]float64{"output_tokens": 50}}, Scope: Scope{All: true}},
		Correction{ID: "d", Kind: Capability, Params: Params{Clamp: map[string]float64{"output_tokens": 9}}, Scope: Scope{All: true}, Mode: Shadow},
		Correction{ID: "r", Kind: Rate, Params: Params{Metric: "concurrent", Limit: ptr(int64(1))}, Scope: Scope{All: true}},
		Correction{ID: "s", Kind: Rate, Params: Params{Metric: "concurrent", Limit: ptr(int64(1))}, Scope: Scope{All: true}, Mode: Shadow},
	)
	v := decide(p, &Request{OutputTokens: 9})
	if len(v.Limits) != 1 || len(v.Clamps) != 1 || v.OutputTokens != 50 || len(v.Shadow) != 1 || !v.Allowed() {
		t.Errorf("a new request: %+v", answerOf(v))
	}
	if v = decide(p, &Request{}); len(v.Shadow) != 2 {
		t.Errorf("without a bound the shadow clamp acts: %+v", answerOf(v))
	}
	if v = decide(p, &Request{Live: true}); len(v.Limits)+len(v.Clamps)+len(v.Shadow) != 0 || v.OutputTokens != 0 {
		t.Errorf("a live request: %+v", answerOf(v))
	}
}
