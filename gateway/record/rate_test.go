package record

import (
	"testing"
	"time"

	"andon/correction"
)

func TestRatesCountByMinuteAndOutcome(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 30, 0, time.UTC)
	r := New(Config{Requests: MinRequests, Now: func() time.Time { return now }}, NewPseudonyms([]byte("secret of the test, long enough"), nil))
	add := func(model string, ago time.Duration, o Outcome) {
		r.Add(&Call{Request: correction.Request{Model: model}, At: now.Add(-ago), Outcome: o})
	}
	add("m", 2*time.Hour, Served)
	add("m", time.Minute, Served)
	add("m", time.Minute, Served)
	add("m", time.Minute, Cut)
	add("other", time.Minute, Refused)
	add("m", 0, Refused)
	got := r.Rates(now.Add(-time.Hour), func(m string) bool { return m == "m" })
	if len(got) != 2 || got[0].Outcomes[Served] != 2 || got[0].Outcomes[Cut] != 1 || got[0].Outcomes[Refused] != 0 || got[1].Outcomes[Refused] != 1 ||
		!got[1].Minute.Equal(now.Truncate(time.Minute)) {
		t.Errorf("%+v", got)
	}
	if r = nil; r.Rates(now, func(string) bool { return true }) != nil {
		t.Error("nothing recorded, and something told")
	}
}
