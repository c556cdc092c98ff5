package record

import (
	"slices"
	"time"
)

// Rate is how the calls of one minute ended.
type Rate struct {
	Minute   time.Time
	Outcomes [6]int64 // by Outcome
}

// OutcomeNames are the outcomes in words, by Outcome.
var OutcomeNames = [6]string{Served: "served", Fallback: "fallback", Refused: "refused", Limited: "limited", Cut: "cut", Broken: "broken"}

// Rates counts the recorded calls of the models that are wanted, which began since
// a time, by the minute in which they began.
func (r *Recorder) Rates(since time.Time, wanted func(model string) bool) (out []Rate) {
	if r == nil {
		return nil
	}
	from := since.UnixNano()
	minutes := map[int64]*Rate{}
	for _, s := range r.view() {
		if s.newest() < from {
			continue
		}
		want := make([]bool, len(s.profiles))
		for i, p := range s.profiles {
			want[i] = wanted(p.req.Model)
		}
		for i := range s.rows {
			x := &s.rows[i]
			if x.at < from || int(x.profile) >= len(want) || !want[x.profile] || int(x.outcome) >= len(OutcomeNames) {
				continue
			}
			at := x.at / int64(time.Minute)
			if minutes[at] == nil {
				minutes[at] = &Rate{Minute: time.Unix(at*60, 0).UTC()}
			}
			minutes[at].Outcomes[x.outcome]++
		}
	}
	for _, m := range minutes {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b Rate) int { return a.Minute.Compare(b.Minute) })
	return out
}
