package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TimeNames are the times that an incident's record holds. Duties to report
// count from some of them.
var TimeNames = []string{"first_signal_at", "detected_at", "aware_at", "involvement_suspected_at", "causal_link_likely_at", "reasonable_belief_at",
	"determined_at", "discovered_at", "imminent_risk_found_at", "classified_major_at", "started_at", "ended_at", "contained_at", "resolved_at"}

// How sure a time is.
var timeStatuses = []string{"known", "estimated", "unknown"}

// precisions, the coarsest first, with the form in which a value is written.
var precisions = []struct{ name, form string }{
	{"year", "2006"}, {"month", "2006-01"}, {"day", "2006-01-02"}, {"hour", "2006-01-02T15Z07:00"}, {"minute", "2006-01-02T15:04Z07:00"}, {"second", time.RFC3339},
}

// TimeSet is one value of a time: what somebody said, and why.
type TimeSet struct {
	Value     time.Time `json:"value,omitzero"` // the beginning of it; zero: unknown
	Precision string    `json:"precision,omitempty"`
	Status    string    `json:"status"`
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	Reason    string    `json:"reason,omitempty"`
	Auto      bool      `json:"automatic,omitzero"` // nobody said it: it follows from something else
	Entry     uint64    `json:"entry"`
}

// TimeHeld is a time with everything that was said of it, the last one counts.
type TimeHeld struct {
	Name    string    `json:"name"`
	History []TimeSet `json:"history"`
}

const maxTimeHistory = 100

// Last is the value that counts.
func (t *TimeHeld) Last() TimeSet { return t.History[len(t.History)-1] }

// Time is what counts of a time; false if nothing was said of it.
func (in *Incident) Time(name string) (TimeSet, bool) {
	if i := slices.IndexFunc(in.Times, func(t TimeHeld) bool { return t.Name == name }); i >= 0 {
		return in.Times[i].Last(), true
	}
	return TimeSet{}, false
}

// TimeChange sets a time. The value is written as far as it is known: "2026",
// "2026-11", "2026-11-26", "2026-11-26T14Z", "2026-11-26T14:05Z" or with seconds.
type TimeChange struct {
	Name      string `json:"name"`
	Value     string `json:"value,omitempty"`
	Precision string `json:"precision,omitempty"` // default: as the value is written; coarser is allowed
	Status    string `json:"status,omitempty"`    // known (default), estimated; unknown has no value
	Reason    string `json:"reason"`
}

func (TimeChange) kind() string { return "incident.time" }

// ParseTime reads a value, and as how precise it is written.
func ParseTime(s string) (t time.Time, precision string, err error) {
	for _, p := range precisions {
		if t, err := time.Parse(p.form, s); err == nil && t.Year() > 0 {
			return t.UTC(), p.name, nil
		}
	}
	var forms []string
	for _, p := range precisions {
		forms = append(forms, strings.ReplaceAll(p.form, "Z07:00", "Z"))
	}
	return time.Time{}, "", wrong("value", quote(s)+" is no time; hours and finer need a zone", forms...)
}

// begin cuts a time to a precision, in UTC.
func begin(t time.Time, precision string) time.Time {
	t = t.UTC()
	y, mo, d := t.Date()
	switch precision {
	case "year":
		return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
	case "month":
		return time.Date(y, mo, 1, 0, 0, 0, 0, time.UTC)
	case "day":
		return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
	case "hour":
		return t.Truncate(time.Hour)
	case "minute":
		return t.Truncate(time.Minute)
	}
	return t.Truncate(time.Second)
}

// over is the end of a value: the first instant that it does not cover.
func (t TimeSet) over() time.Time {
	v := t.Value
	switch t.Precision {
	case "year":
		return v.AddDate(1, 0, 0)
	case "month":
		return v.AddDate(0, 1, 0)
	case "day":
		return v.AddDate(0, 0, 1)
	case "hour":
		return v.Add(time.Hour)
	case "minute":
		return v.Add(time.Minute)
	}
	return v.Add(time.Second)
}

func (x TimeChange) step(_ *Book, in *Incident, m Meta) (func(), error) {
	if err := oneOf("name", x.Name, TimeNames); err != nil {
		return nil, err
	}
	set := TimeSet{Status: x.Status, By: m.Actor, At: m.At, Reason: x.Reason, Entry: m.Seq}
	if set.Status == "" {
		set.Status = "known"
	}
	if err := oneOf("status", set.Status, timeStatuses); err != nil {
		return nil, err
	}
	if err := text("reason", x.Reason, MaxTitle*2); err != nil {
		return nil, err
	}
	if (set.Status == "unknown") != (x.Value == "") {
		return nil, wrong("value", "a time that is known or estimated has a value, and one that is unknown has none")
	}
	if x.Value != "" {
		t, precision, err := ParseTime(x.Value)
		if err != nil {
			return nil, err
		}
		level := func(name string) int {
			return slices.IndexFunc(precisions, func(p struct{ name, form string }) bool { return p.name == name })
		}
		if x.Precision != "" {
			if level(x.Precision) < 0 || level(x.Precision) > level(precision) {
				var allowed []string
				for _, p := range precisions[:level(precision)+1] {
					allowed = append(allowed, p.name)
				}
				return nil, wrong("precision", quote(x.Precision)+" is not there, or finer than the value is written", allowed...)
			}
			precision = x.Precision
		}
		set.Value, set.Precision = begin(t, precision), precision
	} else if x.Precision != "" {
		return nil, wrong("precision", "an unknown time has none")
	}
	if i := slices.IndexFunc(in.Times, func(t TimeHeld) bool { return t.Name == x.Name }); i >= 0 && len(in.Times[i].History) >= maxTimeHistory {
		return nil, &Error{Code: CodeFull, Field: "name", Detail: fmt.Sprintf("%s was set %d times; that is the most", x.Name, maxTimeHistory)}
	}
	return func() { in.setTime(x.Name, set) }, nil
}

// ahead refuses a time after now: nobody has seen, known or begun anything then.
// When something will have ended can be estimated.
func (x TimeChange) ahead(now time.Time) error {
	t, precision, err := ParseTime(x.Value)
	if x.Precision != "" {
		precision = x.Precision
	}
	if t = begin(t, precision); x.Value == "" || err != nil || !t.After(now.Add(maxAhead)) {
		return nil
	}
	hint := "say that it is estimated, if it is expected then"
	switch {
	case x.Name != "ended_at" && x.Name != "contained_at" && x.Name != "resolved_at":
		hint = ""
	case x.Status == "estimated":
		return nil
	}
	return &Error{Code: CodeField, Field: "value", Detail: fmt.Sprintf("%s is in the future for %s; it is %s", t.Format(time.RFC3339), x.Name, now.UTC().Format(time.RFC3339)), Hint: hint}
}

func (in *Incident) setTime(name string, set TimeSet) {
	i := slices.IndexFunc(in.Times, func(t TimeHeld) bool { return t.Name == name })
	if i < 0 {
		i = len(in.Times)
		in.Times = append(in.Times, TimeHeld{Name: name})
	}
	in.Times[i].History = append(in.Times[i].History, set)
}

// auto sets a time that follows from something else, unless a person has set it.
func (in *Incident) auto(name string, at time.Time, status, reason string, m Meta) {
	if last, ok := in.Time(name); ok && !last.Auto {
		return
	}
	if i := slices.IndexFunc(in.Times, func(t TimeHeld) bool { return t.Name == name }); i >= 0 && len(in.Times[i].History) >= maxTimeHistory-10 {
		return // the rest is for people
	}
	in.setTime(name, TimeSet{Value: begin(at, "second"), Precision: "second", Status: status, By: m.Actor, At: m.At, Reason: reason, Auto: true, Entry: m.Seq})
}

// firstSignal takes the earliest observation of its cases as the first signal.
func (in *Incident) firstSignal(b *Book, m Meta) {
	var first time.Time
	for _, id := range in.Cases {
		for _, s := range b.cases[id].Signals {
			if t := b.signals[s].ObservedAt; first.IsZero() || t.Before(first) {
				first = t
			}
		}
	}
	last, ok := in.Time("first_signal_at")
	if !first.IsZero() && (!ok || begin(first, "second").Before(last.Value)) {
		in.auto("first_signal_at", first, "known", "the first signal of its cases was observed then", m)
	}
}

// orderOfTimes says which time is not after which other.
var orderOfTimes = [][2]string{
	{"first_signal_at", "detected_at"}, {"detected_at", "aware_at"}, {"started_at", "ended_at"}, {"started_at", "contained_at"}, {"started_at", "detected_at"},
	{"contained_at", "resolved_at"}, {"ended_at", "resolved_at"}, {"involvement_suspected_at", "causal_link_likely_at"}, {"reasonable_belief_at", "determined_at"},
	{"aware_at", "determined_at"}, {"aware_at", "classified_major_at"}, {"detected_at", "contained_at"}, {"detected_at", "discovered_at"},
}

// TimeWarnings says which times contradict each other, as precisely as they are
// known. It is a warning and not an error: what people wrote is the record.
func (in *Incident) TimeWarnings(now time.Time) []string {
	var out []string
	show := func(name string, t TimeSet) string {
		s := name + " (" + t.Value.Format(time.RFC3339) + ", to the " + t.Precision + ")"
		if t.Status == "estimated" {
			s += ", estimated"
		}
		return s
	}
	for _, pair := range orderOfTimes {
		a, okA := in.Time(pair[0])
		z, okZ := in.Time(pair[1])
		if okA && okZ && !a.Value.IsZero() && !z.Value.IsZero() && !a.Value.Before(z.over()) {
			out = append(out, show(pair[1], z)+" is before "+show(pair[0], a))
		}
	}
	for _, t := range in.Times {
		if v := t.Last(); v.Value.After(now) {
			out = append(out, show(t.Name, v)+" is in the future")
		}
	}
	return out
}
