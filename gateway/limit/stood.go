package limit

import "time"

// How a Fleet notices that it did not run, on a machine that was paused.
const (
	stood   = 250 * time.Millisecond // so long without a call of its Fleet a gateway stood still: less than others wait for it
	catchUp = 100 * time.Millisecond // it then hears what was said meanwhile, before it opens a round
)

// live lets time go by, up to now. After a standstill the gateway gives up what
// it might still have taken, since the others have gone on without it, and says
// what it holds; it opens a round when it has had time to hear them.
func (f *Fleet) live(now int64) (words []Word) {
	gap := max(0, now-f.last)
	f.last = now
	if gap <= int64(stood) {
		f.lived += gap
		f.l.alive.Store(now)
		return nil
	}
	f.lived += int64(catchUp)
	if f.lived > f.caughtUp || gap >= int64(pause) { // where every step is slow, each second one goes on
		f.since, f.caughtUp = f.lived, f.lived+int64(catchUp)
		for _, b := range f.resting {
			b.mu.Lock()
			b.rest = 0
			b.mu.Unlock()
		}
		if !f.closed && f.l.turn.Load().n > 1 {
			f.stale = true
			words = f.close(now)
			f.stale = false
		}
	}
	f.l.alive.Store(now)
	return words
}
