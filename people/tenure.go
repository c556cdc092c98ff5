package people

import (
	"time"

	"andon/authority"
)

// Tenure is an interval in which somebody had roles. Until is zero while it lasts.
type Tenure struct {
	Roles authority.Set
	Since time.Time
	Until time.Time
}

// Tenures are the roles that somebody had, in order. They are never changed in
// place: a copy of the slice stays what it was.
type Tenures []Tenure

// Begin ends what lasts and begins other roles; no roles end what lasts.
func (ts Tenures) Begin(roles authority.Set, at time.Time) Tenures {
	out := append(Tenures(nil), ts...)
	if n := len(out) - 1; n >= 0 && out[n].Until.IsZero() {
		out[n].Until = at
	}
	if roles != 0 {
		out = append(out, Tenure{Roles: roles, Since: at})
	}
	return out
}

// At is the roles at an instant: from Since on, no longer at Until.
func (ts Tenures) At(t time.Time) authority.Set {
	var s authority.Set
	for _, x := range ts {
		if !t.Before(x.Since) && (x.Until.IsZero() || t.Before(x.Until)) {
			s |= x.Roles
		}
	}
	return s
}

// Span is how long a session lasts.
type Span struct {
	Idle     time.Duration // without being used
	Absolute time.Duration // at most, used or not
}

// The bounds and defaults of sessions: NIST SP 800-63B-4 has an hour without use
// and a day in all for its second level of assurance; a shift is half a day.
var (
	LeastSpan   = Span{Idle: 5 * time.Minute, Absolute: 15 * time.Minute}
	MostSpan    = Span{Idle: 24 * time.Hour, Absolute: 168 * time.Hour}
	DefaultSpan = Span{Idle: time.Hour, Absolute: 12 * time.Hour}
)

// Over says why a session has ended by now: "expired", "idle", or "" if it lasts.
// seen is when it was last used; a time before opened counts as opened.
func (s Span) Over(opened, seen, expires, now time.Time) string {
	if seen.Before(opened) {
		seen = opened
	}
	switch {
	case !now.Before(expires):
		return "expired"
	case now.Sub(seen) >= s.Idle:
		return "idle"
	}
	return ""
}
