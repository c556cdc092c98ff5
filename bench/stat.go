package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// quantile returns the value below which the share q of the values lies, by
// the nearest rank. It sorts what it is given; of nothing it is zero.
func quantile[T int64 | float64 | time.Duration](vs []T, q float64) T {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	i := int(q*float64(len(vs))+0.999999) - 1
	return vs[min(max(i, 0), len(vs)-1)]
}

func median[T int64 | float64 | time.Duration](vs []T) T { return quantile(vs, 0.5) }

// ms writes a duration in milliseconds with three digits that count.
func ms(d time.Duration) string { return digits(float64(d)/1e6) + " ms" }

// digits writes a number with about three digits that count.
func digits(v float64) string {
	a := max(v, -v)
	switch {
	case a >= 100:
		return thousands(int64(math.Round(v)))
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
