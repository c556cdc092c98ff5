package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/correction"
)

// TestNoPlanErasesAtOnce: whatever plans follow one another, what was kept a moment
// before a plan is kept for the time of the notice, but for what the former plan
// would have erased by then as well; and a plan without the class erases nothing.
func TestNoPlanErasesAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		var k *Keeping
		for version := 1; version <= 6; version++ {
			at = at.Add(time.Duration(rapid.IntRange(0, 20*24).Draw(t, "hours")) * time.Hour)
			was := k
			before := was.Keeps(at)
			var r *Retention
			if days := rapid.IntRange(0, 40).Draw(t, "keep"); days > 0 {
				r = &Retention{Class: "evidence", Keep: correction.Duration(days) * day, Basis: "b"}
			}
			k = was.Follow(r, version, at, rapid.Bool().Draw(t, "noticed"))
			if r == nil && k != nil {
				t.Fatal("no retention, and something is carried out")
			}
			if k == nil {
				continue
			}
			for d := time.Duration(0); d < RetentionNotice; d += 12 * time.Hour {
				now := k.Keeps(at.Add(d))
				// What was under notice already goes on under it.
				if old := was.Keeps(at.Add(d)); now > 0 && (before == 0 || now < before) && (old == 0 || now < old) {
					t.Fatalf("version %d, %s after: kept for %s, and %s before", version, d, now, before)
				}
			}
			if rapid.Bool().Draw(t, "notice later") {
				from := k.From
				k.Notice(at)
				if !from.IsZero() && k.From != from {
					t.Fatal("a second notice moved the first")
				}
			}
			// Due and Keeps say the same.
			since := at.Add(-time.Duration(rapid.IntRange(0, 50).Draw(t, "age")) * 24 * time.Hour)
			due := k.Due(since)
			for d := time.Duration(0); d < 60*24*time.Hour; d += 24 * time.Hour {
				now := at.Add(d)
				keep := k.Keeps(now)
				past := keep > 0 && !now.Before(since.Add(time.Duration(keep)))
				if said := !due.IsZero() && !now.Before(due); past != said {
					t.Fatalf("at %s of %+v since %s: due %s, kept for %s", now, k, since, due, keep)
				}
			}
		}
	})
}

func TestKeeping(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	of := func(days int) *Retention {
		return &Retention{Class: "evidence", Keep: correction.Duration(days) * day, Basis: "b"}
	}
	var none *Keeping
	if none.Keeps(at) != 0 || !none.Due(at).IsZero() || none.Follow(nil, 1, at, true) != nil {
		t.Error("something is erased without a plan")
	}
	k := none.Follow(of(30), 1, at, true)
	if k.Keeps(at) != 0 || k.Keeps(at.Add(RetentionNotice)) != 30*day || k.Due(at.Add(-99*24*time.Hour)) != at.Add(RetentionNotice) {
		t.Errorf("%+v", k)
	}
	later := at.Add(30 * 24 * time.Hour)
	short := k.Follow(of(1), 2, later, true)
	if short.Keeps(later) != 30*day || short.Due(later.Add(-2*24*time.Hour)) != later.Add(RetentionNotice) || short.Due(later.Add(-29*24*time.Hour)) != later.Add(24*time.Hour) {
		t.Errorf("%+v", short)
	}
	if same := short.Follow(of(1), 3, later.Add(24*time.Hour), true); same.From != short.From || same.Version != 3 {
		t.Errorf("the same again moved the notice: %+v", same)
	}
	if long := k.Follow(of(60), 2, later, true); long.Keeps(later) != 60*day {
		t.Errorf("%+v", long)
	}
	old := none.Follow(of(30), 1, at, false)
	if !old.Due(at).IsZero() {
		t.Error("it is carried out without notice")
	}
	if old.Notice(later); old.Keeps(later) != 0 || old.Keeps(later.Add(RetentionNotice)) != 30*day {
		t.Errorf("%+v", old)
	}
}
