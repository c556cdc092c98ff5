package gateway

import (
	"sync/atomic"
	"time"

	"andon/correction"
)

// clock tells the time in a way that a jump of the machine's clock can not
// loosen a correction.
//
// It runs on the monotonic clock from where it was set at start, and again
// whenever the control plane, in a signed lease, says what time it is. While
// the lease holds, the two must agree or both are believed; without it the
// wall clock is believed as well. Starts are judged by the latest of what is
// believed and ends by the earliest.
type clock struct {
	now   func() time.Time // carries a monotonic reading
	base  time.Time        // its reading at start
	early int64            // wall time at start, Unix ns
	late  int64            // no earlier than the last order that was kept

	control atomic.Int64 // control's time minus monotonic; 0: never heard
	fresh   atomic.Int64 // monotonic time until which control is believed alone
}

// agree is how far the machine and the control plane may be apart before both
// are believed: more than a slow answer explains.
const agree = 2 * time.Second

func newClock(now func() time.Time, notBefore time.Time) *clock {
	c := &clock{now: now, base: now()}
	c.early = c.base.UnixNano()
	c.late = max(c.early, notBefore.UnixNano())
	if notBefore.IsZero() {
		c.late = c.early
	}
	return c
}

// mono is the time since start, in nanoseconds; it never jumps.
func (c *clock) mono() int64 { return int64(c.now().Sub(c.base)) }

// heard takes the control plane's time, valid for as long as its lease.
func (c *clock) heard(at time.Time, mono, until int64) {
	c.control.Store(at.UnixNano() - mono)
	c.fresh.Store(until)
}

// span is the interval in which the true time lies.
func (c *clock) span() (now correction.Span, mono int64) {
	t := c.now()
	mono = int64(t.Sub(c.base))
	early, late := c.early+mono, c.late+mono
	if off := c.control.Load(); off != 0 {
		ctl := off + mono
		if mono < c.fresh.Load() && abs(ctl-early) < int64(agree) && abs(ctl-late) < int64(agree) {
			return correction.Span{Early: ctl, Late: ctl}, mono
		}
		early, late = min(early, ctl), max(late, ctl)
	}
	if mono >= c.fresh.Load() {
		wall := t.UnixNano()
		early, late = min(early, wall), max(late, wall)
	}
	return correction.Span{Early: early, Late: late}, mono
}

func abs(n int64) int64 { return max(n, -n) }
