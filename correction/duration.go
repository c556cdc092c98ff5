package correction

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time that is written as text: "90s", "15m", "2h",
// "7d", "1h30m", "1d12h". A day is 24 hours. It is never negative as text; what
// bounds apply where is said by Validate.
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads the text form: an optional number of days, then what
// time.ParseDuration reads. A bare number has no unit and is refused, and so is
// a sign. The largest value is about 292 years.
func ParseDuration(s string) (Duration, error) {
	bad := func(why string) (Duration, error) {
		return 0, fmt.Errorf("parse duration %s: %s; write for example 90s, 15m, 2h, 7d or 1h30m", quote(s), why)
	}
	if s == "" {
		return bad("empty")
	}
	if s[0] == '-' || s[0] == '+' {
		return bad("a sign is not allowed")
	}
	var total time.Duration
	rest := s
	if n, after, ok := strings.Cut(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 32)
		if err != nil {
			return bad("days must be a whole number")
		}
		if days > uint64((1<<63-1)/int64(day)) {
			return bad("too long")
		}
		total, rest = time.Duration(days)*day, after
		if rest == "" {
			return Duration(total), nil
		}
		if rest[0] == '-' || rest[0] == '+' {
			return bad("a sign is not allowed")
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return bad("not a number with a unit")
	}
	if total+d < total {
		return bad("too long")
	}
	return Duration(total + d), nil
}

// String is the text form in the fewest parts: "7d", "1d12h", "1h30m", "0s".
func (d Duration) String() string {
	if d < 0 {
		return time.Duration(d).String()
	}
	days, rest := time.Duration(d)/day, time.Duration(d)%day
	if rest == 0 && days > 0 {
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	s := rest.String()
	// The standard form keeps zero parts: "1h0m0s", "2m0s".
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if days > 0 {
		s = strconv.FormatInt(int64(days), 10) + "d" + s
	}
	return s
}

// MarshalText writes the text form. A negative duration has none.
func (d Duration) MarshalText() ([]byte, error) {
	if d < 0 {
		return nil, fmt.Errorf("write duration %v: it is negative", time.Duration(d))
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads the text form.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
