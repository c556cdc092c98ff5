// Package limit counts what rate corrections bound.
//
// A window slides in 64 steps: the sum of the current step and the 63 before
// it never exceeds the limit, so that no interval of the window's length ever
// admits more. What falls out of the window becomes free one step late at
// most, never early. Time is monotonic nanoseconds, given by the caller: a
// clock that jumps frees nothing.
//
// Amounts that are not known when a call begins (tokens) are reserved by
// estimate and settled afterwards; a call may then have used more than was
// left, and the next ones wait for it. What it used beyond its estimate counts
// from when it is settled: a call that outlasts the window counts all the same.
//
// A Limiter is safe for concurrent use. Only calls that share a bucket (the
// same correction and the same value of its `per`) share a lock.
package limit

import (
	"sync"
	"time"

	"github.com/puzpuzpuz/xsync/v4"
)

const steps = 64

// Key names a bucket: a correction, and the value it counts by.
type Key struct{ Rule, Value string }

// Spec is what a bucket enforces. Window 0 bounds what is held at one time.
type Spec struct {
	Limit  int64
	Window time.Duration
}

// Limiter holds the buckets of one gateway.
type Limiter struct {
	buckets *xsync.Map[Key, *bucket]
}

// New returns an empty limiter.
func New() *Limiter { return &Limiter{buckets: xsync.NewMap[Key, *bucket]()} }

// Grant is what a bucket has reserved. The zero value is none.
type Grant struct {
	b    *bucket
	step int64
	n    int64 // reserved in that step
	more int64 // counted later
	held bool  // until it is settled
}

type bucket struct {
	mu   sync.Mutex
	spec Spec
	step int64 // number of the current step
	sum  int64
	ring [steps]int64
	held int   // estimates that are not settled yet
	last int64 // when something was reserved
	gone bool  // removed from the map: take another
}

// Reserve takes n from the bucket at monotonic time now. Where it does not
// fit it takes nothing and says after how long it is worth asking again. A
// request larger than the whole limit is admitted when the bucket is empty, if
// atMost allows it to be cut down to what is left.
func (l *Limiter) Reserve(k Key, spec Spec, now, n int64, atMost bool) (g Grant, wait time.Duration, ok bool) {
	for {
		b, _ := l.buckets.LoadOrCompute(k, func() (*bucket, bool) { return &bucket{spec: spec}, false })
		g, wait, ok, gone := b.reserve(spec, now, n, atMost)
		if !gone {
			return g, wait, ok
		}
	}
}

func (b *bucket) reserve(spec Spec, now, n int64, atMost bool) (g Grant, wait time.Duration, ok, gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return g, 0, false, true
	}
	b.spec = spec
	b.advanceLocked(now)
	left := spec.Limit - b.sum
	if atMost && left > 0 && n > left {
		n = left
	}
	if n > left {
		return g, b.waitLocked(now, n), false, false
	}
	b.sum += n
	if spec.Window > 0 {
		b.ring[b.step%steps] += n
	}
	b.last = now
	if atMost {
		b.held++
	}
	return Grant{b: b, step: b.step, n: n, held: atMost}, 0, true, false
}

func (b *bucket) width() int64 {
	// 63 full steps make the window, so that the step being filled is extra.
	return (int64(b.spec.Window) + steps - 2) / (steps - 1)
}

func (b *bucket) advanceLocked(now int64) {
	if b.spec.Window == 0 {
		return
	}
	to := now / b.width()
	if to <= b.step {
		return
	}
	if to-b.step >= steps {
		b.ring = [steps]int64{}
		b.sum = 0
		b.step = to
		return
	}
	for b.step < to {
		b.step++
		i := b.step % steps
		b.sum -= b.ring[i]
		b.ring[i] = 0
	}
}

// waitLocked is the time until n would fit, if nobody else came.
func (b *bucket) waitLocked(now, n int64) time.Duration {
	if b.spec.Window == 0 {
		return time.Second // somebody has to finish: nobody knows when
	}
	need := b.sum + n - b.spec.Limit
	for s := b.step - steps + 1; s <= b.step; s++ {
		if s < 0 {
			continue
		}
		need -= b.ring[s%steps]
		if need <= 0 {
			return time.Duration((s+steps)*b.width() - now)
		}
	}
	return b.spec.Window
}

// Settle replaces what was reserved by what was used. It may be called while
// the call runs, to hold the bucket true, and more than once.
func (g *Grant) Settle(now, used int64) {
	if g.b == nil || used < 0 {
		return
	}
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	b, diff := g.b, used-g.n-g.more
	if g.held {
		g.held = false
		b.held--
	}
	if b.spec.Window == 0 {
		g.n += diff
		b.sum += diff
		return
	}
	b.advanceLocked(now)
	if diff > 0 {
		g.more += diff
		b.sum += diff
		b.ring[b.step%steps] += diff
		return
	}
	back := min(-diff, g.n)
	g.n -= back
	if b.step-g.step < steps { // else it fell out of the window meanwhile
		b.sum -= back
		b.ring[g.step%steps] -= back
	}
}

// Keep settles for what was reserved.
func (g *Grant) Keep(now int64) { g.Settle(now, g.n+g.more) }

// Free gives back what was reserved, whole.
func (g *Grant) Free(now int64) {
	g.Settle(now, 0)
	g.b = nil
}

// longest is how long a bucket is kept for an estimate that is never settled.
const longest = int64(24 * time.Hour)

// Sweep forgets buckets that hold nothing any more, and those whose rule is
// not in force.
func (l *Limiter) Sweep(now int64, inForce func(rule string) bool) {
	l.buckets.Range(func(k Key, b *bucket) bool {
		b.mu.Lock()
		b.advanceLocked(now)
		if b.sum == 0 && (b.held == 0 || now-b.last > longest) || (!inForce(k.Rule) && b.spec.Window > 0) {
			b.gone = true
			l.buckets.Delete(k)
		}
		b.mu.Unlock()
		return true
	})
}

// Len is the number of buckets held.
func (l *Limiter) Len() int { return l.buckets.Size() }
