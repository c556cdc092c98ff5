package people

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/authority"
)

var quick = Params{Memory: 64, Passes: 1, Lanes: 1}

// TestVectors are those of the reference implementation (phc-winner-argon2, test.c).
func TestVectors(t *testing.T) {
	for _, tc := range []struct {
		p    Params
		hash string
	}{
		{Params{65536, 2, 1}, "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"},
		{Params{256, 2, 1}, "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{Params{256, 2, 2}, "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"},
	} {
		if got := Hash("password", tc.p, []byte("somesalt")); got != tc.hash {
			t.Errorf("%s, want %s", got, tc.hash)
		}
		if ok, err := Verify(tc.hash, "password"); !ok || err != nil {
			t.Error(tc.hash, ok, err)
		}
		if ok, _ := Verify(tc.hash, "Password"); ok {
			t.Error("another password fits", tc.hash)
		}
		if !Outdated(tc.hash, Standard) {
			t.Error("not the standard, and not outdated")
		}
	}
	if Outdated(Hash("x", quick, make([]byte, SaltBytes)), quick) {
		t.Error("outdated as it is made")
	}
	// The same word on another keyboard: composed and decomposed.
	if ok, _ := Verify(Hash("caf\u00e9", quick, make([]byte, SaltBytes)), "cafe\u0301"); !ok {
		t.Error("spelling counts")
	}
	if ok, err := Verify(Decoy(quick, make([]byte, 64)), ""); ok || err != nil {
		t.Error("something fits the decoy", err)
	}
}

func FuzzHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8ArZWb2GRPPc")
	for _, bad := range []string{"", "$", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8ArZWb2GRPPc", "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8ArZWb2GRPPc", "$argon2id$v=19$m=064,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8ArZWb2GRPPc", "$argon2id$v=19$m=64,t=1,p=1$$"} {
		f.Add(bad)
		if CheckHash(bad) == nil {
			f.Errorf("%q is taken", bad)
		}
	}
	f.Fuzz(func(t *testing.T, hash string) {
		p, salt, tag, err := decodeHash(hash)
		if err != nil {
			return
		}
		if p.Memory > mostParams.Memory || p.Passes > mostParams.Passes || p.Lanes > mostParams.Lanes {
			t.Fatalf("%+v", p)
		}
		if got := encode(p, salt, tag); got != hash {
			t.Fatalf("%q reads as %q", hash, got)
		}
	})
}

func TestPasswords(t *testing.T) {
	for _, good := range []string{"correct horse battery staple", "Grün-ist-die-Heide-im-Mai", strings.Repeat("abcdefg hi", 50)[:300] + "!"} {
		if err := CheckPassword(good, "ann"); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "fourteen chars", strings.Repeat("x", 2000), "aaaaaaaaaaaaaaaaaaaa", "abcabcabcabcabcabc", "annannannpassword12", "passwordadministrator", "tab\tin the middle of it", "\xff\xfe bytes that are no text"} {
		err := CheckPassword(bad, "ann")
		if err == nil || len(bad) > 3 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestScopes(t *testing.T) {
	actions := []string{"correction.create", "correction.read", "plan.apply", "token"}
	for _, bad := range [][]string{nil, {"*"}, {".*"}, {"correction"}, {"correction.*.x"}, {"corr.*"}, {"Correction.create"}, {""}, {"token.*"}, make([]string, MaxScopes+1), {strings.Repeat("x", 100)}} {
		if s, err := ParseScopes(bad, actions); err == nil {
			t.Errorf("%q: %q", bad, s)
		}
	}
	s, err := ParseScopes([]string{"plan.apply", "correction.*", "plan.apply"}, actions)
	if err != nil || len(s) != 2 || !s.Allow("correction.create") || !s.Allow("plan.apply") || s.Allow("plan.read") || s.Allow("correction") || s.Allow("corrections.create") || Scopes(nil).Allow("plan.apply") {
		t.Error(s, err)
	}
}

// TestThrottle: what one key does never delays another, the delay grows for who
// fails, and never beyond its bound, whatever the clock does.
func TestThrottle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th := &Throttle{Free: 3, First: time.Second, Most: time.Minute, Room: 1000}
		start := time.Unix(1e9, 0)
		now := start
		type seen struct {
			n    int
			last time.Time
		}
		model := map[string]seen{}
		t.Repeat(map[string]func(*rapid.T){
			"try": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
				m := model[key]
				if now.Sub(m.last) > forgottenAfter*th.Most {
					m = seen{}
				}
				want := time.Duration(0)
				if m.n > th.Free {
					want = min(th.First<<min(m.n-th.Free-1, 20), th.Most)
				}
				want = max(0, want-now.Sub(m.last))
				if m.n == 0 {
					want = 0
				}
				if got := th.Try(key, now); got != want {
					t.Fatalf("after %d failures, %v ago: %v, want %v", m.n, now.Sub(m.last), got, want)
				}
				if want == 0 {
					model[key] = seen{m.n + 1, now}
				}
			},
			"clear": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
				th.Clear(key)
				delete(model, key)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "s")) * time.Second)
			},
		})
	})
	th := &Throttle{Free: 0, First: time.Second, Most: time.Minute, Room: 10}
	now := time.Unix(1e9, 0)
	th.Try("x", now)
	if d := th.Try("x", now.Add(-time.Hour)); d <= 0 || d > time.Minute {
		t.Error("a clock that went back:", d)
	}
	for i := range 1000 {
		th.Try(fmt.Sprint(i), now)
	}
	if len(th.keys) > 10 {
		t.Error("it keeps", len(th.keys))
	}
}

func TestMeter(t *testing.T) {
	m := &Meter{PerSecond: 10, Burst: 5, Room: 4}
	now := time.Unix(1e9, 0)
	took := 0
	for range 100 {
		if m.Take("a", now) == 0 {
			took++
		}
	}
	if took != 5 || m.Take("b", now) != 0 {
		t.Error("at once:", took)
	}
	took = 0
	for range 1000 { // 10 s
		if now = now.Add(10 * time.Millisecond); m.Take("a", now) == 0 {
			took++
		}
	}
	if took < 99 || took > 101 {
		t.Error("in ten seconds:", took)
	}
	if wait := m.Take("a", now.Add(-time.Hour)); wait > time.Second {
		t.Error("a clock that went back:", wait)
	}
	for i := range 100 {
		m.Take(fmt.Sprint(i), now)
	}
	if len(m.next) > 2*m.Room {
		t.Error("it keeps", len(m.next))
	}
}

func TestTenures(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	var ts Tenures
	viewer, approver := authority.SetOf(authority.Viewer), authority.SetOf(authority.Approver)
	ts = ts.Begin(viewer, at(1))
	before := ts
	ts = ts.Begin(approver, at(5)).Begin(0, at(9))
	for n, want := range map[int]authority.Set{0: 0, 1: viewer, 4: viewer, 5: approver, 8: approver, 9: 0, 100: 0} {
		if got := ts.At(at(n)); got != want {
			t.Errorf("at %d: %v, want %v", n, got, want)
		}
	}
	if before.At(at(100)) != viewer {
		t.Error("a copy was changed")
	}
}

func TestSpan(t *testing.T) {
	s, t0 := DefaultSpan, time.Unix(1e9, 0)
	end := t0.Add(s.Absolute)
	for _, tc := range []struct {
		seen, now time.Duration
		want      string
	}{
		{-time.Hour, s.Idle - 1, ""}, {0, s.Idle, "idle"}, {s.Idle, 2*s.Idle - 1, ""}, {s.Absolute - 1, s.Absolute, "expired"}, {0, -time.Hour, ""},
	} {
		if got := s.Over(t0, t0.Add(tc.seen), end, t0.Add(tc.now)); got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		Hash("correct horse battery staple", Standard, make([]byte, SaltBytes))
	}
}
