package limit

import (
	"math"
	"slices"
	"time"
)

// claim is what another gateway has counted in a bucket, or may count before
// this one has to hear of it, until when at least.
type claim struct {
	of     *peer
	n      int64
	window time.Duration
	until  int64
}

// touchLocked notes that others may have to hear of the bucket.
func (l *Limiter) touchLocked(b *bucket) {
	if b.dirty || l.turn.Load() == nil {
		return
	}
	b.dirty = true
	for {
		b.next = l.dirty.Load()
		if l.dirty.CompareAndSwap(b.next, b) {
			return
		}
	}
}

// openLocked adds this gateway's part of what is left, once in each round.
func (b *bucket) openLocked(t *turn, left int64) {
	if !t.open || b.round == t.serial {
		return
	}
	b.round, b.used = t.serial, 0
	if free := left - b.rest; free > 0 {
		place := (uint64(t.rank) + t.round + uint64(b.hash[0])) % uint64(t.n)
		b.rest += (free + int64(t.n) - 1 - int64(place)) / int64(t.n)
	}
}

// othersLocked is what other gateways claim.
func (b *bucket) othersLocked(now int64) (n int64) {
	for i := 0; i < len(b.others); i++ {
		if b.others[i].until <= now {
			b.others = slices.Delete(b.others, i, i+1)
			i--
			continue
		}
		n += b.others[i].n
	}
	return n
}

// untilLocked is when so much of what others claim is free for certain.
func (b *bucket) untilLocked(need int64) int64 {
	list := slices.SortedFunc(slices.Values(b.others), func(x, y claim) int { return int(max(min(x.until-y.until, 1), -1)) })
	for _, c := range list {
		if need -= c.n; need <= 0 && c.until < math.MaxInt64 {
			return c.until
		}
	}
	return 0
}

// hear takes in what another gateway claims of a bucket.
func (f *Fleet) hear(p *peer, c *Count, now int64) {
	if c.N < 0 || c.N > maxCount || c.Window < 0 || c.Window > maxWindow || len(c.Values) > wordValues {
		return
	}
	if _, ok := f.l.hashed.Load(c.Hash); !ok {
		if c.N == 0 || f.l.hashed.Size() >= maxBuckets {
			return
		}
	}
	b := f.l.at(c.Hash)
	b.mu.Lock()
	for b.gone { // it was forgotten this instant
		b.mu.Unlock()
		b = f.l.at(c.Hash)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	now = f.l.Now(now)
	until := int64(math.MaxInt64)
	if c.Window > 0 {
		until = now + int64(c.Window) + int64(c.Window)/(steps-1) + 1
	}
	i := slices.IndexFunc(b.others, func(o claim) bool { return o.of == p })
	switch {
	case i < 0 && c.N > 0:
		b.others = append(b.others, claim{p, c.N, c.Window, until})
	case i >= 0 && c.N == 0:
		b.others = slices.Delete(b.others, i, i+1)
	case i >= 0:
		b.others[i].n, b.others[i].window, b.others[i].until = c.N, c.Window, until
	}
	b.advanceLocked(now)
	for _, v := range c.Values {
		b.heardLocked(v, !c.Seen, p.name < f.name, now, until)
	}
	if len(c.Values) > 0 {
		f.l.touchLocked(b)
	}
}

// held is what this gateway knows of what p had counted before it came back.
func (f *Fleet) held(p *peer, now int64) []Word {
	now = f.l.Now(now)
	var counts []Count
	f.l.hashed.Range(func(h Hash, b *bucket) bool {
		b.mu.Lock()
		for _, c := range b.others {
			if c.of == p && c.window > 0 && c.until > now {
				counts = append(counts, Count{Hash: h, N: c.n, Window: c.window})
			}
		}
		b.mu.Unlock()
		return true
	})
	if len(counts) == 0 {
		return nil
	}
	return f.words(counts, p.name, false)
}

// recover takes back what others heard of this gateway before it came back,
// where that is more than it remembers itself.
func (f *Fleet) recover(counts []Count, now int64) {
	at := f.l.Now(now)
	for _, c := range counts {
		if c.N <= 0 || c.N > maxCount || c.Window < time.Second || c.Window > maxWindow || f.l.hashed.Size() >= maxBuckets {
			continue
		}
		b := f.l.at(c.Hash)
		b.mu.Lock()
		if b.spec.Window == 0 && b.sum == 0 {
			b.fitLocked(Spec{Limit: b.spec.Limit, Window: c.Window}, at)
		}
		if b.advanceLocked(at); b.spec.Window > 0 && !b.gone && c.N > b.sum+b.rest {
			b.countLocked(c.N - b.sum - b.rest)
			f.l.touchLocked(b)
			f.l.changed.Store(true)
		}
		b.mu.Unlock()
	}
}

// forget frees the places that a gateway held which is lost. What it counted in
// windows stays until the windows are over.
func (f *Fleet) forget(p *peer) {
	p.heard = 0
	f.l.hashed.Range(func(_ Hash, b *bucket) bool {
		b.mu.Lock()
		b.others = slices.DeleteFunc(b.others, func(c claim) bool { return c.of == p && c.window == 0 })
		b.mu.Unlock()
		return true
	})
}

// forgetOne makes room for a gateway by forgetting one that is lost.
func (f *Fleet) forgetOne() bool {
	for name, p := range f.peers {
		if !p.live && p.heard == 0 {
			delete(f.peers, name)
			return true
		}
	}
	return false
}
