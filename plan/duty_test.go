package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/authority"
)

// TestNextChange holds the next change against every minute in between.
func TestNextChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRoster(t, 0)
		begin := rapid.SampledFrom([]time.Time{time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}).Draw(t, "begin")
		at := begin.Add(time.Duration(rapid.IntRange(0, 2*24*60).Draw(t, "minute")) * time.Minute)
		const within = 3 * 24 * time.Hour
		got, then, err := r.NextChange(at, within)
		if err != nil {
			t.Fatal(err)
		}
		now, err := r.OnCall(at)
		if err != nil {
			t.Fatal(err)
		}
		for m := at.Add(time.Minute); !m.After(at.Add(within)); m = m.Add(time.Minute) {
			on, err := r.OnCall(m)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(on, now) {
				if !got.Equal(m) || !slices.Equal(then, on) {
					t.Fatalf("%+v at %s: %s %v, want %s %v", r, at, got, then, m, on)
				}
				return
			}
		}
		if !got.IsZero() {
			t.Fatalf("%+v at %s: %s %v, and nothing changes", r, at, got, then)
		}
	})
}

func TestDuties(t *testing.T) {
	all := []Shift{{Days: []string{Daily}, From: "00:00", To: "24:00", People: []string{"ann"}}}
	p := &Plan{Triggers: []Trigger{{Name: "t", Owner: "safety"}}, Rosters: []Roster{
		{Name: "day", Team: "safety", Role: authority.Responder, TimeZone: "UTC", Shifts: all},
		{Name: "night", Team: "other", Role: authority.Responder, TimeZone: "UTC", Shifts: all},
		{Name: "audits", Team: "audit", Role: authority.Auditor, TimeZone: "UTC", Shifts: all},
		{Name: "broken", Team: "safety", Role: authority.Responder, TimeZone: "Mars/Olympus", Shifts: all},
	}}
	var got []string
	for _, d := range Duties(p) {
		text := d.Subject + ":"
		for _, r := range d.Rosters {
			text += " " + r.Name
		}
		got = append(got, text)
	}
	text := strings.Join(got, "; ")
	for _, want := range []string{"team/safety: day", "roster/audits: audits"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s: no %s", text, want)
		}
	}
	if strings.Contains(text, "broken") || strings.Contains(text, "roster/day") {
		t.Error(text)
	}
}
