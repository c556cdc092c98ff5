package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham", "Africa/Casablanca", "America/Sao_Paulo", "Pacific/Kiritimati"}

// covers is the oracle: does the clock on the wall, at this minute, show a time
// of a shift that somebody has? It knows nothing of weeks, spans or changes of
// the clocks.
func covers(t interface{ Fatal(...any) }, r *Roster, at time.Time) bool {
	loc, err := time.LoadLocation(r.TimeZone)
	if err != nil {
		t.Fatal(err)
	}
	local := at.In(loc)
	now := local.Format("15:04")
	today, yesterday := strings.ToLower(local.Format("Mon")), strings.ToLower(local.AddDate(0, 0, -1).Format("Mon"))
	on := func(s *Shift, day string) bool {
		return slices.Contains(s.Days, day) || slices.Contains(s.Days, "daily")
	}
	for i := range r.Shifts {
		s := &r.Shifts[i]
		if len(s.People) == 0 && s.Deputy == "" {
			continue
		}
		if s.From < s.To { // within the day
			if on(s, today) && s.From <= now && now < s.To {
				return true
			}
			continue
		}
		if on(s, today) && s.From <= now || on(s, yesterday) && now < s.To {
			return true
		}
	}
	return false
}

func anyRoster(t *rapid.T, i int) Roster {
	r := Roster{Name: fmt.Sprint("r", i), TimeZone: rapid.SampledFrom(zones).Draw(t, "zone")}
	clock := func(label string, end bool) string {
		most := 24*60 - 1
		if end {
			most++
		}
		n := rapid.OneOf(rapid.IntRange(0, most), rapid.Map(rapid.IntRange(0, most/30), func(h int) int { return h * 30 })).Draw(t, label)
		return fmt.Sprintf("%02d:%02d", n/60, n%60)
	}
	for range rapid.IntRange(0, 5).Draw(t, "shifts") {
		s := Shift{From: clock("from", false), To: clock("to", true)}
		s.Days = rapid.SliceOfNDistinct(rapid.SampledFrom(append(slices.Clone(Days), Daily)), 1, 7, rapid.ID[string]).Draw(t, "days")
		if rapid.IntRange(0, 5).Draw(t, "people?") > 0 {
			s.People = []string{"ann"}
		} else if rapid.Bool().Draw(t, "deputy?") {
			s.Deputy = "bea"
		}
		r.Shifts = append(r.Shifts, s)
	}
	return r
}

func TestGapsAreWhatEveryMinuteSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rosters []Roster
		for i := range rapid.IntRange(1, 3).Draw(t, "rosters") {
			rosters = append(rosters, anyRoster(t, i))
		}
		// Weeks in which clocks change somewhere, and some in which none do.
		start := rapid.SampledFrom([]string{"2026-03-05", "2026-03-26", "2026-04-02", "2026-10-01", "2026-10-22", "2026-10-30", "2027-02-10", "2026-07-01", "2027-09-23"}).Draw(t, "start")
		from, err := time.Parse("2006-01-02", start)
		if err != nil {
			t.Fatal(err)
		}
		from = from.Add(time.Duration(rapid.IntRange(0, 2*24*60).Draw(t, "offset")) * time.Minute)
		to := from.Add(time.Duration(rapid.IntRange(1, 3*24*60).Draw(t, "minutes")) * time.Minute)
		gaps, err := Uncovered(rosters, from, to)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range gaps {
			if !g.From.Before(g.To) || g.From.Before(from) || g.To.After(to) || i > 0 && !gaps[i-1].To.Before(g.From) {
				t.Fatalf("%v is out of place", g)
			}
		}
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			want := slices.ContainsFunc(rosters, func(r Roster) bool { return covers(t, &r, at) })
			got := !slices.ContainsFunc(gaps, func(g Gap) bool { return !at.Before(g.From) && at.Before(g.To) })
			if got != want {
				t.Fatalf("%s: covered %v, every minute says %v", at, got, want)
			}
			called := false
			for i := range rosters {
				who, err := rosters[i].OnCall(at)
				if err != nil {
					t.Fatal(err)
				}
				called = called || len(who) > 0
			}
			if called != want {
				t.Fatalf("%s: OnCall says %v, every minute %v", at, called, want)
			}
		}
	})
}

// A whole year, minute by minute, with zones whose clocks change on different
// days: what follows the sun in winter leaves an hour open for some weeks.
func TestAYearOfTwoZones(t *testing.T) {
	rosters := []Roster{
		{Name: "berlin", TimeZone: "Europe/Berlin", Shifts: []Shift{{Days: []string{Daily}, From: "08:00", To: "20:00", People: []string{"ann"}}}},
		{Name: "new-york", TimeZone: "America/New_York", Shifts: []Shift{{Days: []string{Daily}, From: "14:00", To: "02:00", People: []string{"bea"}}}},
	}
	from := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	to := from.AddDate(1, 0, 0)
	gaps, err := Uncovered(rosters, from, to)
	if err != nil {
		t.Fatal(err)
	}
	var total, naive int64
	for _, g := range gaps {
		total += minutes(g.To.Sub(g.From))
	}
	for at := from; at.Before(to); at = at.Add(5 * time.Minute) { // nothing here begins or ends in between
		if !covers(t, &rosters[0], at) && !covers(t, &rosters[1], at) {
			naive += 5
		}
	}
	if total != naive || total == 0 || len(gaps) > 40 {
		t.Fatalf("%d minutes in %d gaps, every minute says %d", total, len(gaps), naive)
	}
	loc, _ := time.LoadLocation("Europe/Berlin")
	if text := gapText(gaps, loc); !strings.Contains(text, "min in a year, first 2027-03-1") || !strings.Contains(text, "19:00 to 20:00") && !strings.Contains(text, "07:00 to 08:00") {
		t.Error(text)
	}
}

func TestNobodyOnSundayAtThree(t *testing.T) {
	r := Roster{Name: "night", TimeZone: "Europe/Berlin", Shifts: []Shift{
		{Days: []string{"mon", "tue", "wed", "thu", "fri", "sat"}, From: "00:00", To: "24:00", People: []string{"ann"}},
		{Days: []string{"sun"}, From: "00:00", To: "03:00", People: []string{"ann"}}, {Days: []string{"sun"}, From: "03:30", To: "00:00", People: []string{"bea"}, Deputy: "ann"}}}
	from := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	gaps, err := Uncovered([]Roster{r}, from, from.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	loc, _ := time.LoadLocation("Europe/Berlin")
	if got, want := gapText(gaps, loc), "Sunday 03:00 to 03:30 (52 times) Europe/Berlin; 1560 min in a year, first 2026-11-29"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	who, err := r.OnCall(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
	if err != nil || !slices.Equal(who, []string{"bea", "ann"}) {
		t.Error(who, err)
	}
}

func TestRostersThatSayNothingOrNonsense(t *testing.T) {
	from := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	gaps, err := Uncovered(nil, from, from.AddDate(1, 0, 0))
	if err != nil || len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From) != 365*24*time.Hour {
		t.Fatal(gaps, err)
	}
	if text := gapText(gaps, time.UTC); !strings.Contains(text, "2026-11-26 00:00 to 2027-11-26 00:00") {
		t.Error(text)
	}
	good := Shift{Days: []string{Daily}, From: "00:00", To: "24:00", People: []string{"ann"}}
	for name, r := range map[string]Roster{
		"no zone":     {Shifts: []Shift{good}},
		"a zone":      {TimeZone: "Mars/Olympus", Shifts: []Shift{good}},
		"local":       {TimeZone: "Local", Shifts: []Shift{good}},
		"a path":      {TimeZone: "../../etc/passwd", Shifts: []Shift{good}},
		"a day":       {TimeZone: "UTC", Shifts: []Shift{{Days: []string{"sonntag"}, From: "00:00", To: "24:00"}}},
		"24:00 begin": {TimeZone: "UTC", Shifts: []Shift{{Days: []string{Daily}, From: "24:00", To: "24:00"}}},
		"25:00":       {TimeZone: "UTC", Shifts: []Shift{{Days: []string{Daily}, From: "00:00", To: "25:00"}}},
		"minutes":     {TimeZone: "UTC", Shifts: []Shift{{Days: []string{Daily}, From: "00:60", To: "12:00"}}},
		"sign":        {TimeZone: "UTC", Shifts: []Shift{{Days: []string{Daily}, From: "+1:00", To: "12:00"}}},
		"short":       {TimeZone: "UTC", Shifts: []Shift{{Days: []string{Daily}, From: "1:00", To: "12:00"}}},
	} {
		if _, err := Uncovered([]Roster{r}, from, from.AddDate(1, 0, 0)); err == nil || !strings.Contains(err.Error(), "roster") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
