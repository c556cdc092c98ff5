package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Gap is a time in which nobody is on call.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

const weekMinutes = 7 * 24 * 60

// span is a half-open part of a week, in minutes since Monday 00:00.
type span struct{ from, to int }

// spans are the parts of a week that a shift covers; one that goes past Sunday
// goes on on Monday. A shift of nobody covers nothing.
func (s *Shift) spans() ([]span, error) {
	from, err := Minute(s.From)
	if err != nil || from == 24*60 {
		return nil, fmt.Errorf("from: %s is no time of day at which a shift begins; write 00:00 to 23:59", quote(s.From))
	}
	to, err := Minute(s.To)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	if to <= from {
		to += 24 * 60
	}
	var out []span
	for i, d := range Days {
		if !slices.Contains(s.Days, d) && !slices.Contains(s.Days, Daily) {
			continue
		}
		at := span{i*24*60 + from, i*24*60 + to}
		if at.to > weekMinutes {
			out = append(out, span{0, at.to - weekMinutes})
			at.to = weekMinutes
		}
		out = append(out, at)
	}
	for _, d := range s.Days {
		if d != Daily && !slices.Contains(Days, d) {
			return nil, fmt.Errorf("days: %s is no day; there are %s and %s", quote(d), strings.Join(Days, ", "), Daily)
		}
	}
	return out, nil
}

// people are those of a shift, the deputy last.
func (s *Shift) people() []string {
	if s.Deputy == "" {
		return s.People
	}
	return append(slices.Clone(s.People), s.Deputy)
}

// week is what a roster covers of every week of its time zone, in order, joined.
func (r *Roster) week() (*time.Location, []span, error) {
	loc, err := r.location()
	if err != nil {
		return nil, nil, err
	}
	var all []span
	for i := range r.Shifts {
		spans, err := r.Shifts[i].spans()
		if err != nil {
			return nil, nil, fmt.Errorf("roster %s: shift %d: %w", r.Name, i+1, err)
		}
		if len(r.Shifts[i].people()) > 0 {
			all = append(all, spans...)
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var joined []span
	for _, s := range all {
		if n := len(joined); n > 0 && s.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return loc, joined, nil
}

func (r *Roster) location() (*time.Location, error) {
	loc, err := Zone(r.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("roster %s: time_zone: %w", r.Name, err)
	}
	return loc, nil
}

// OnCall is who a roster names at an instant, deputies last. What counts is the
// time that a clock on the wall shows there: an hour that a change of the clocks
// repeats is covered twice, and one that it skips by nobody.
func (r *Roster) OnCall(at time.Time) ([]string, error) {
	loc, err := r.location()
	if err != nil {
		return nil, err
	}
	local := at.In(loc)
	minute := (int(local.Weekday())+6)%7*24*60 + local.Hour()*60 + local.Minute()
	var out []string
	for i := range r.Shifts {
		spans, err := r.Shifts[i].spans()
		if err != nil {
			return nil, fmt.Errorf("roster %s: shift %d: %w", r.Name, i+1, err)
		}
		if !slices.ContainsFunc(spans, func(s span) bool { return s.from <= minute && minute < s.to }) {
			continue
		}
		for _, p := range r.Shifts[i].people() {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// Seconds of a week, and of the first Monday after the Unix epoch.
const (
	weekSeconds = weekMinutes * 60
	firstMonday = 4 * 24 * 3600
)

// Uncovered lists when none of the rosters has anybody on call, from an instant
// to another, in order. It is exact to the second, changes of the clocks
// included; the work grows with the weeks and not with the shifts.
func Uncovered(rosters []Roster, from, to time.Time) ([]Gap, error) {
	type piece struct{ from, to int64 }
	var covered []piece
	for i := range rosters {
		loc, week, err := rosters[i].week()
		if err != nil {
			return nil, err
		}
		for at := from; at.Before(to); {
			// Between two changes of its clocks a zone is a constant away from UTC.
			_, end := at.In(loc).ZoneBounds()
			if end.IsZero() || end.After(to) {
				end = to
			}
			_, offset := at.In(loc).Zone()
			a, b, off := at.Unix(), end.Unix(), int64(offset)
			for monday := floor(a+off-firstMonday, weekSeconds)*weekSeconds + firstMonday; monday < b+off; monday += weekSeconds {
				for _, s := range week {
					p := piece{max(a, monday-off+int64(s.from)*60), min(b, monday-off+int64(s.to)*60)}
					if p.from < p.to {
						covered = append(covered, p)
					}
				}
			}
			at = end
		}
	}
	slices.SortFunc(covered, func(a, b piece) int { return cmp.Compare(a.from, b.from) })
	var gaps []Gap
	until := from.Unix()
	gap := func(to int64) {
		if to > until {
			gaps = append(gaps, Gap{time.Unix(until, 0).UTC(), time.Unix(to, 0).UTC()})
		}
	}
	for _, p := range covered {
		gap(p.from)
		until = max(until, p.to)
	}
	gap(to.Unix())
	return gaps, nil
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// shownGaps is how many different gaps a message spells out.
const shownGaps = 3

// gapText says gaps as people do: by day of the week and time, in a zone.
func gapText(gaps []Gap, loc *time.Location) string {
	type kind struct {
		text  string
		count int
	}
	var kinds []kind
	var total time.Duration
	for _, g := range gaps {
		if total += g.To.Sub(g.From); len(kinds) > 1000 { // a message names three
			continue
		}
		from, to := g.From.In(loc), g.To.In(loc)
		text := from.Format("Monday 15:04") + " to " + to.Format("Monday 15:04")
		switch {
		case g.To.Sub(g.From) > 7*24*time.Hour:
			text = from.Format("2006-01-02 15:04") + " to " + to.Format("2006-01-02 15:04")
		case from.Weekday() == to.Weekday():
			text = from.Format("Monday 15:04") + " to " + to.Format("15:04")
		case to.Equal(time.Date(from.Year(), from.Month(), from.Day()+1, 0, 0, 0, 0, loc)):
			text = from.Format("Monday 15:04") + " to 24:00"
		}
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.text == text })
		if i < 0 {
			kinds = append(kinds, kind{text: text})
			i = len(kinds) - 1
		}
		kinds[i].count++
	}
	slices.SortStableFunc(kinds, func(a, b kind) int { return cmp.Compare(b.count, a.count) })
	var parts []string
	for _, k := range kinds[:min(len(kinds), shownGaps)] {
		part := k.text
		if k.count > 1 {
			part += fmt.Sprintf(" (%d times)", k.count)
		}
		parts = append(parts, part)
	}
	if more := len(kinds) - shownGaps; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%s %s; %d min in a year, first %s", strings.Join(parts, ", "), loc, minutes(total), gaps[0].From.In(loc).Format("2006-01-02"))
}

// minutes rounds up: a second without anybody is a minute that is not covered.
func minutes(d time.Duration) int64 { return int64((d + time.Minute - 1) / time.Minute) }
