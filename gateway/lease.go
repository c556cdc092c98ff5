package gateway

import (
	"math"
	"sync/atomic"
)

// lease is the control plane's word that this gateway is up to date, good for
// a bounded time. It runs on the monotonic clock, from the moment the gateway
// asked: so it never runs longer here than the control plane believes.
type lease struct{ until atomic.Int64 }

// renew extends the lease. It never shortens it: answers may overtake.
func (l *lease) renew(until int64) {
	for {
		was := l.until.Load()
		if until <= was && was != math.MinInt64 || l.until.CompareAndSwap(was, until) {
			return
		}
	}
}

// end ends the lease at once.
func (l *lease) end() { l.until.Store(math.MinInt64) }

// over reports whether the lease has run out. A gateway starts without one.
func (l *lease) over(mono int64) bool { return mono >= l.until.Load() }
