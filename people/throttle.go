package people

import (
	"sync"
	"time"
)

// Throttle says how long who failed has to wait. An attempt is booked before it is
// judged, so that many at once are not all the first.
//
// The key names who tries, never only whom they try: (account, address) and
// address. So whoever fails from elsewhere delays nobody but themselves, and there
// is no lock on an account that an attacker could shut. A device that an account
// has logged in from before has a key of its own, which no neighbour behind the
// same address can use up.
type Throttle struct {
	Free        int           // failures without a delay
	First, Most time.Duration // the first delay; it doubles with each failure, up to Most
	Room        int           // keys kept. Past it a random one is forgotten: to refuse newcomers would lock people out

	mu   sync.Mutex
	keys map[string]strikes
}

type strikes struct {
	n    int
	last time.Time
}

// forgottenAfter is how many times Most a key is kept after its last failure.
const forgottenAfter = 4

// Try books an attempt; if it comes too early, it books nothing and says how long
// to wait.
func (t *Throttle) Try(key string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys = map[string]strikes{}
	}
	s := t.keys[key]
	if now.Sub(s.last) > forgottenAfter*t.Most {
		s = strikes{}
	}
	if since, d := now.Sub(s.last), t.delay(s.n); s.n > 0 && since < d {
		return min(d-since, t.Most) // a clock that went back makes nobody wait longer than that
	}
	if _, known := t.keys[key]; !known && len(t.keys) >= t.Room {
		t.makeRoom(now)
	}
	t.keys[key] = strikes{s.n + 1, now}
	return 0
}

// delay is what has to pass after n failures.
func (t *Throttle) delay(n int) time.Duration {
	if n <= t.Free {
		return 0
	}
	d := t.First
	for i := t.Free + 1; i < n && d < t.Most; i++ {
		d *= 2
	}
	return min(d, t.Most)
}

func (t *Throttle) makeRoom(now time.Time) {
	for k, s := range t.keys {
		if now.Sub(s.last) > forgottenAfter*t.Most {
			delete(t.keys, k)
		}
	}
	for k := range t.keys {
		if len(t.keys) < t.Room {
			return
		}
		delete(t.keys, k)
	}
}

// Clear forgets the failures of a key: the attempt succeeded.
func (t *Throttle) Clear(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.keys, key)
}

// Forgive takes back one attempt that succeeded, or was not judged, and leaves
// earlier failures: one account of their own buys an attacker no fresh start.
func (t *Throttle) Forgive(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.keys[key]; ok {
		if s.n--; s.n <= 0 {
			delete(t.keys, key)
			return
		}
		t.keys[key] = s
	}
}

// Meter bounds how often each key may ask: Burst at once, PerSecond in the long
// run (the generic cell rate algorithm).
type Meter struct {
	PerSecond float64
	Burst     int
	Room      int // keys kept

	mu   sync.Mutex
	next map[string]time.Time // when the key's last request would have come at an even pace
}

// Take counts one request, or says how long to wait.
func (m *Meter) Take(key string, now time.Time) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		m.next = map[string]time.Time{}
	}
	step := time.Duration(float64(time.Second) / m.PerSecond)
	most := time.Duration(m.Burst) * step
	next := m.next[key]
	if next.Before(now) || next.Sub(now) > most+step { // the clock went back
		next = now
	}
	if wait = next.Add(step).Sub(now) - most; wait > 0 {
		return wait
	}
	if _, known := m.next[key]; !known && len(m.next) >= m.Room {
		for k, at := range m.next {
			if !now.Before(at) || len(m.next) >= 2*m.Room {
				delete(m.next, k)
			}
		}
	}
	m.next[key] = next.Add(step)
	return 0
}
