// Package limit counts what rate corrections bound, on one gateway and on
// several that tell each other.
//
// # On one gateway
//
// A window slides in 64 steps: the sum of the current step and the 63 before
// it never exceeds the limit, so that no interval of the window's length ever
// admits more. What falls out of the window becomes free one step late at
// most, never early. Time is nanoseconds on a line that only goes forward,
// given by the caller (see [Limiter.Now]): a clock that jumps frees nothing.
//
// Amounts that are not known when a call begins (tokens) are reserved by
// estimate and settled afterwards; a call may then have used more than was
// left, and the next ones wait for it. What it used beyond its estimate counts
// from when it is settled: a call that outlasts the window counts all the same.
//
// Distinct values (users, applications) count from when each was last seen. A
// value that is counted passes; one more than the limit is refused. They are
// kept as 64 bits of a hash, at most about two for each one of the limit.
//
// # On several gateways
//
// Gateways that hear each other go forward in rounds (see [Fleet]). In a round
// each may take its part of what was left after the round before, and no more.
// So what they have reserved together never exceeds the limit while all of them
// hear all others, whatever the delays: the proof is at Fleet. When a gateway is
// not heard, the others go on with what it said last, and each stays within the
// limit by itself: N gateways that hear nothing of each other admit N times the
// limit in a window at most. What others say is only ever added to what is
// counted here; it can tighten a limit, and never loosens it below the exact
// count of this gateway alone.
//
// A Limiter is safe for concurrent use. Only calls that share a bucket (the
// same correction and the same value of its `per`) share a lock.
package limit

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"
)

const steps = 64

// Key names a bucket: a correction, and the value it counts by.
type Key struct{ Rule, Value string }

// Hash names a bucket where its value must not be read: on the bus, and on disk.
type Hash [16]byte

func (k Key) hash() (h Hash) {
	sum := sha256.Sum256([]byte(k.Rule + "\x00" + k.Value))
	copy(h[:], sum[:])
	return h
}

// Spec is what a bucket enforces. Window 0 bounds what is held at one time.
type Spec struct {
	Limit  int64
	Window time.Duration
}

// Ask is what a call wants of a bucket.
type Ask struct {
	N      int64
	AtMost bool   // N is an estimate: less will do, if there is anything left
	Value  string // the value to be counted, where distinct ones are
	Each   bool   // distinct values are counted; N is 1
	Last   bool   // the call does not wait for a part of what other gateways may still take
}

// Denial says why a bucket does not give.
type Denial struct {
	Wait  time.Duration // until it would, if nobody else came
	Share bool          // there is enough left, but other gateways may take it first: ask again after Wait
}

// Limiter holds the buckets of one gateway.
type Limiter struct {
	buckets *xsync.Map[Key, *bucket]
	hashed  *xsync.Map[Hash, *bucket] // the same, and those that only others or an earlier life have counted
	offset  atomic.Int64              // of the time line
	turn    atomic.Pointer[turn]      // nil: this gateway has never heard of another
	alive   atomic.Int64              // monotonic time at which its Fleet was called last
	dirty   atomic.Pointer[bucket]    // touched since the last round
	hungry  chan struct{}             // a call waits for the next round
	changed atomic.Bool               // since it was last kept
}

// New returns an empty limiter.
func New() *Limiter {
	return &Limiter{buckets: xsync.NewMap[Key, *bucket](), hashed: xsync.NewMap[Hash, *bucket](), hungry: make(chan struct{}, 1)}
}

func (l *Limiter) change() {
	if !l.changed.Load() { // callers share no memory that they write to
		l.changed.Store(true)
	}
}

// Now is the limiter's time at monotonic time mono: later where an earlier life
// of this gateway has counted before.
func (l *Limiter) Now(mono int64) int64 { return l.offset.Load() + mono }

// Grant is what a bucket has reserved. The zero value is none.
type Grant struct {
	l    *Limiter
	b    *bucket
	step int64
	n    int64 // reserved in that step
	more int64 // counted later
	held bool  // until it is settled

	value uint64 // that it has added to the distinct ones
}

type bucket struct {
	mu   sync.Mutex
	key  Key // zero while only its hash is known
	hash Hash
	spec Spec
	step int64 // number of the current step
	sum  int64
	ring *[steps]int64 // nil until something is counted here
	held int           // estimates that are not settled yet
	last int64         // when something was reserved
	gone bool          // removed from the maps: take another
	set  *set          // where distinct values are counted
	kept *kept         // nil if it begins with this life of the gateway

	others []claim // what other gateways have said
	round  uint64  // in which rest was last added to
	rest   int64   // what may be reserved beside sum before others have to hear of it
	used   int64   // reserved in this round, or asked for and not there
	told   int64   // what others were told last
	listed bool    // in the fleet's list of what was told
	said   uint64  // the fleet's closing in which it was looked at
	dirty  bool
	next   *bucket // in the limiter's dirty list
}

// bucket returns the bucket of a key.
func (l *Limiter) bucket(k Key) *bucket {
	if b, ok := l.buckets.Load(k); ok {
		return b
	}
	b, _ := l.buckets.LoadOrCompute(k, func() (*bucket, bool) { return l.at(k.hash()), false })
	b.mu.Lock()
	b.key = k
	b.mu.Unlock()
	return b
}

// at returns the bucket of a hash.
func (l *Limiter) at(h Hash) *bucket {
	b, _ := l.hashed.LoadOrCompute(h, func() (*bucket, bool) { return &bucket{hash: h}, false })
	return b
}

// Reserve takes n from the bucket at time now. Where it does not fit it takes
// nothing and says after how long it is worth asking again. A request larger
// than the whole limit is admitted when the bucket is empty, if atMost allows it
// to be cut down to what is left.
func (l *Limiter) Reserve(k Key, spec Spec, now, n int64, atMost bool) (g Grant, wait time.Duration, ok bool) {
	g, no, ok := l.Take(k, spec, now, Ask{N: n, AtMost: atMost, Last: true})
	return g, no.Wait, ok
}

// Take is Reserve for everything that can be asked.
func (l *Limiter) Take(k Key, spec Spec, now int64, a Ask) (g Grant, no Denial, ok bool) {
	for {
		b := l.bucket(k)
		b.mu.Lock()
		if b.gone {
			b.mu.Unlock()
			l.buckets.Compute(k, func(have *bucket, ok bool) (*bucket, xsync.ComputeOp) { // it may have been put there since
				if ok && have == b {
					return nil, xsync.DeleteOp
				}
				return have, xsync.CancelOp
			})
			continue
		}
		g, no, ok = b.takeLocked(l, spec, now, a)
		b.mu.Unlock()
		if no.Share {
			select {
			case l.hungry <- struct{}{}:
			default:
			}
		}
		return g, no, ok
	}
}

// shareWait is how soon a call asks again for its gateway's part.
const shareWait = 5 * time.Millisecond

func (b *bucket) takeLocked(l *Limiter, spec Spec, now int64, a Ask) (g Grant, no Denial, ok bool) {
	b.fitLocked(spec, now)
	b.advanceLocked(now)
	l.touchLocked(b) // before the turn is looked at: see Fleet.close
	n := a.N
	var v uint64
	if a.Each {
		if v = value(b.key.Rule, a.Value); b.seenLocked(v, now) {
			l.change()
			return g, no, true
		}
		n = 1
	}
	if n == 0 {
		b.held++
		return Grant{l: l, b: b, step: b.step, held: true}, no, true
	}
	left := spec.Limit - b.sum - b.othersLocked(now)
	avail := left
	if t := l.turn.Load(); t != nil && t.n > 1 {
		if avail = 0; now-l.offset.Load()-l.alive.Load() <= int64(stood) { // else it stood still, and the others have gone on
			b.openLocked(t, left)
			avail = min(left, b.rest)
		}
		if avail < min(n, left) && left > 0 && (n <= left || a.AtMost) && !(a.Last && a.AtMost && avail > 0) {
			b.used = max(b.used, min(n, left)) // so that it grows over rounds
			return g, Denial{Wait: shareWait, Share: true}, false
		}
	}
	if a.AtMost && avail > 0 && n > avail {
		n = avail
	}
	if n > avail || a.AtMost && left <= 0 {
		if a.AtMost {
			n = min(n, 1) // it is admitted as soon as anything is left
		}
		return g, Denial{Wait: b.waitLocked(now, n)}, false
	}
	b.countLocked(n)
	b.rest = max(0, b.rest-n)
	b.used += n
	b.last = now
	l.change()
	if a.AtMost {
		b.held++
	}
	if a.Each {
		b.addLocked(v)
		return Grant{l: l, b: b, value: v}, no, true // it stays until it was not seen for a window
	}
	return Grant{l: l, b: b, step: b.step, n: n, held: a.AtMost}, no, true
}

// countLocked counts n in the current step.
func (b *bucket) countLocked(n int64) {
	b.sum += n
	if b.spec.Window > 0 {
		if b.ring == nil {
			b.ring = new([steps]int64)
		}
		b.ring[b.step%steps] += n
	}
}

// fitLocked takes over what is to be enforced. Where the window changes, what
// was counted counts from now on.
func (b *bucket) fitLocked(spec Spec, now int64) {
	was := b.spec.Window
	b.spec = spec
	if was == spec.Window {
		return
	}
	b.ring, b.step = nil, 0
	if spec.Window == 0 {
		return
	}
	b.step = now / b.width()
	if b.sum != 0 {
		b.ring = new([steps]int64)
		b.ring[b.step%steps] = b.sum
	}
	b.set.moveAll(b.step)
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
	if b.ring == nil {
		b.step = to
		return
	}
	if to-b.step >= steps {
		*b.ring = [steps]int64{}
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
	need := b.sum + b.othersLocked(now) + n - b.spec.Limit
	if need <= 0 {
		return shareWait
	}
	if b.ring != nil {
		for s := b.step - steps + 1; s <= b.step; s++ {
			if s < 0 {
				continue
			}
			need -= b.ring[s%steps]
			if need <= 0 {
				return time.Duration((s+steps)*b.width() - now)
			}
		}
	}
	if until := b.untilLocked(need); until > now {
		return min(time.Duration(until-now), b.spec.Window+b.spec.Window/steps)
	}
	return b.spec.Window
}

// Settle replaces what was reserved by what was used. It may be called while
// the call runs, to hold the bucket true, and more than once.
func (g *Grant) Settle(now, used int64) {
	if g.b == nil || used < 0 || g.value != 0 {
		return
	}
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	b, diff := g.b, used-g.n-g.more
	if g.held {
		g.held = false
		b.held--
	}
	if diff == 0 {
		return
	}
	g.l.change()
	g.l.touchLocked(b)
	if b.spec.Window == 0 {
		g.n += diff
		b.sum += diff
		return
	}
	b.advanceLocked(now)
	if diff > 0 {
		g.more += diff
		b.countLocked(diff)
		b.rest = max(0, b.rest-diff)
		return
	}
	back := min(-diff, g.n)
	g.n -= back
	if b.step-g.step < steps && b.ring != nil { // else it fell out of the window meanwhile
		back = min(back, b.ring[g.step%steps])
		b.sum -= back
		b.ring[g.step%steps] -= back
	}
}

// Keep settles for what was reserved.
func (g *Grant) Keep(now int64) { g.Settle(now, g.n+g.more) }

// Free gives back what was reserved, whole.
func (g *Grant) Free(now int64) {
	if g.value != 0 {
		g.b.mu.Lock()
		g.b.dropLocked(g.value)
		g.l.touchLocked(g.b)
		g.b.mu.Unlock()
	} else {
		g.Settle(now, 0)
	}
	g.b = nil
}

// Standing is what a bucket says of itself to a caller.
type Standing struct {
	Limit, Remaining int64
	Reset            time.Duration // until all of the limit would be free again, if nobody came
}

// Look says how a bucket stands, and when n would fit.
func (l *Limiter) Look(k Key, spec Spec, now, n int64) (s Standing, wait time.Duration) {
	s = Standing{Limit: spec.Limit, Remaining: spec.Limit}
	b, ok := l.buckets.Load(k)
	if !ok {
		if b, ok = l.hashed.Load(k.hash()); !ok {
			return s, 0
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fitLocked(spec, now)
	b.advanceLocked(now)
	s.Remaining = max(0, spec.Limit-b.sum-b.othersLocked(now))
	if s.Remaining < n {
		wait = b.waitLocked(now, n)
	}
	if spec.Window > 0 && b.sum > 0 {
		for s0 := b.step; s0 > b.step-steps && s0 >= 0; s0-- {
			if b.ring[s0%steps] > 0 {
				s.Reset = time.Duration((s0+steps)*b.width() - now)
				break
			}
		}
	}
	for _, c := range b.others {
		if c.n > 0 && c.until > now && spec.Window > 0 {
			s.Reset = max(s.Reset, min(time.Duration(c.until-now), spec.Window+spec.Window/steps))
		}
	}
	return s, wait
}

// longest is how long a bucket is kept for an estimate that is never settled.
const longest = int64(24 * time.Hour)

// Sweep forgets buckets that hold nothing any more, and those whose rule is
// not in force.
func (l *Limiter) Sweep(now int64, inForce func(rule string) bool) {
	l.hashed.Range(func(h Hash, b *bucket) bool {
		b.mu.Lock()
		b.advanceLocked(now)
		b.set.tidy(b)
		idle := b.sum == 0 && (b.held == 0 || now-b.last > longest) && b.othersLocked(now) == 0 && b.rest == 0
		if !b.dirty && (idle && b.told == 0 || b.key.Rule != "" && !inForce(b.key.Rule) && b.spec.Window > 0) {
			b.gone = true
			l.hashed.Delete(h)
			l.buckets.Delete(b.key)
		} else if idle && b.rest == 0 && b.told != 0 {
			l.touchLocked(b) // the others are told that it is free
		}
		b.mu.Unlock()
		return true
	})
}

// Len is the number of buckets held.
func (l *Limiter) Len() int { return l.hashed.Size() }
