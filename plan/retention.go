package plan

import (
	"time"

	"andon/correction"
)

// RetentionNotice is how long after a plan that keeps a class of records for less
// than before it may be carried out: until then what the former one kept is kept.
const RetentionNotice = 7 * 24 * time.Hour

// Keeping is the retention of a class as it is carried out: the plan's, and what
// the plans before it promised until the notice is over. It is a value.
type Keeping struct {
	Retention
	Version int                 // of the plan that says so
	From    time.Time           // when it may first be carried out; zero: not before somebody gave notice
	Former  correction.Duration // what holds until then; 0: nothing is erased until then
}

// Follow is what is carried out once version says r of the class, or nothing, if
// r is nil. noticed says whether the version came with notice of erasure. At no
// time within RetentionNotice of a plan is less kept than a moment before it.
func (k *Keeping) Follow(r *Retention, version int, at time.Time, noticed bool) *Keeping {
	if r == nil {
		return nil
	}
	next := &Keeping{Retention: *r, Version: version}
	if noticed {
		next.From = at.Add(RetentionNotice)
	}
	if k == nil {
		return next
	}
	now := k.Keeps(at)
	switch {
	case now > 0 && r.Keep >= now:
		next.From = at // as long as what is carried out already, or longer
	case r.Keep == k.Keep:
		next.From, next.Former = k.From, k.Former
		if next.From.IsZero() && noticed {
			next.From = at.Add(RetentionNotice)
		}
	default:
		next.Former = now
	}
	return next
}

// Notice gives notice of what was put in force without.
func (k *Keeping) Notice(at time.Time) {
	if k.From.IsZero() {
		k.From = at.Add(RetentionNotice)
	}
}

// Keeps is how long the class is kept at a time; 0: without end.
func (k *Keeping) Keeps(at time.Time) correction.Duration {
	switch {
	case k == nil:
		return 0
	case k.From.IsZero() || at.Before(k.From):
		return k.Former
	}
	return k.Keep
}

// Due is when what has been kept since a time is to be erased; zero if nothing
// says so. The notice is heeded, and what the plan before kept longer.
func (k *Keeping) Due(since time.Time) time.Time {
	if k == nil || k.From.IsZero() && k.Former == 0 {
		return time.Time{}
	}
	var former, due time.Time
	if k.Former > 0 {
		former = since.Add(time.Duration(k.Former))
	}
	if k.From.IsZero() {
		return former
	}
	if due = since.Add(time.Duration(k.Keep)); due.Before(k.From) {
		due = k.From
	}
	if !former.IsZero() && former.Before(due) {
		due = former
	}
	return due
}
