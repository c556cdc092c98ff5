package limit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// KeptFrom is the shortest window whose counts are kept over a restart.
const KeptFrom = time.Minute

const keptMagic = "andon usage 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBroken is returned by Restore for what Keep has not written.
var ErrBroken = errors.New("kept usage is broken")

// Changed reports whether anything was counted since it was last asked.
func (l *Limiter) Changed() bool { return l.changed.Swap(false) }

// Keep appends what is counted in windows of a minute and longer, for a later
// life of this gateway: hashes and amounts. wall is the latest time that it may
// be now, in Unix nanoseconds.
func (l *Limiter) Keep(dst []byte, now, wall int64) []byte {
	le := binary.LittleEndian
	from := len(dst)
	dst = append(dst, keptMagic...)
	dst = le.AppendUint64(dst, uint64(now))
	dst = le.AppendUint64(dst, uint64(wall))
	l.hashed.Range(func(h Hash, b *bucket) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.advanceLocked(now); b.spec.Window < KeptFrom || b.sum <= 0 || b.ring == nil {
			return true
		}
		dst = append(dst, h[:]...)
		dst = le.AppendUint64(dst, uint64(b.spec.Window))
		dst = le.AppendUint64(dst, uint64(b.step))
		var used uint64 // which steps hold something
		for i, n := range b.ring {
			if n != 0 {
				used |= 1 << i
			}
		}
		dst = le.AppendUint64(dst, used)
		for _, n := range b.ring {
			if n != 0 {
				dst = le.AppendUint64(dst, uint64(n))
			}
		}
		at := len(dst)
		dst = le.AppendUint32(dst, 0)
		n := uint32(0)
		if b.set != nil {
			for v, m := range b.set.own {
				if b.step-m.step < steps {
					dst = le.AppendUint64(dst, v)
					dst = append(dst, byte(m.step%steps))
					n++
				}
			}
		}
		le.PutUint32(dst[at:], n)
		return true
	})
	return le.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

// Restore takes over what Keep wrote, into an empty limiter, at monotonic time
// mono. Its time goes on where that life's ended, as if none had passed: what
// fell out of a window meanwhile becomes free when [Limiter.Passed] says how long
// it was. It returns the time at which it was kept.
func (l *Limiter) Restore(data []byte, mono int64) (wall int64, err error) {
	le := binary.LittleEndian
	head := len(keptMagic) + 16
	if len(data) < head+4 || string(data[:len(keptMagic)]) != keptMagic ||
		crc32.Checksum(data[:len(data)-4], castagnoli) != le.Uint32(data[len(data)-4:]) {
		return 0, ErrBroken
	}
	r := reader{data: data[len(keptMagic) : len(data)-4]}
	now := int64(r.uint64())
	wall = int64(r.uint64())
	if now < 0 || wall < 0 {
		return 0, ErrBroken
	}
	var buckets []*bucket
	for len(r.data) > 0 && !r.bad {
		b := &bucket{ring: new([steps]int64)}
		copy(b.hash[:], r.take(len(b.hash)))
		b.spec.Window = time.Duration(r.uint64())
		b.step = int64(r.uint64())
		used := r.uint64()
		for i := range b.ring {
			if used&(1<<i) != 0 {
				n := int64(r.uint64())
				if n < 0 || n > maxCount {
					r.bad = true
				}
				b.ring[i] = n
				b.sum += n
			}
		}
		if b.spec.Window < KeptFrom || b.spec.Window > maxWindow || r.bad || b.step < 0 || b.step > now/b.width() {
			r.bad = true
			break
		}
		n := int(le.Uint32(r.take(4)))
		if n > len(r.data)/9 {
			r.bad = true
			break
		}
		if n > 0 {
			b.set = &set{own: make(map[uint64]mark, n), known: map[uint64]int64{}}
		}
		for range n {
			v := r.uint64()
			in := int64(r.take(1)[0]) % steps
			b.set.own[v] = mark{step: b.step - (b.step-in+steps)%steps, again: true}
		}
		b.kept = &kept{b.step, b.ring[b.step%steps]}
		buckets = append(buckets, b)
	}
	if r.bad {
		return 0, fmt.Errorf("%w: a bucket does not hold together", ErrBroken)
	}
	for _, b := range buckets {
		l.hashed.Store(b.hash, b)
	}
	l.offset.Store(now - mono)
	return wall, nil
}

// Passed says that d more has passed than the limiter knows, between the life
// that was restored and this one: what that life counted is older by d. What
// was counted since then is not, and what others claim lasts as long as it would
// have. Whoever uses the Fleet calls it.
func (l *Limiter) Passed(mono int64, d time.Duration) {
	if d <= 0 {
		return
	}
	now := l.Now(mono)
	l.hashed.Range(func(_ Hash, b *bucket) bool {
		b.mu.Lock()
		b.agedLocked(now, now+int64(d))
		b.mu.Unlock()
		return true
	})
	l.offset.Add(int64(d))
}

// agedLocked moves a bucket from now to then, but what was counted since it
// was restored.
func (b *bucket) agedLocked(now, then int64) {
	for i := range b.others {
		if b.others[i].window > 0 {
			b.others[i].until += then - now
		}
	}
	if b.set != nil {
		for v := range b.set.known {
			b.set.known[v] += then - now
		}
	}
	if b.advanceLocked(now); b.spec.Window == 0 || b.ring == nil {
		return
	}
	last := int64(-1) // step in which the earlier life ended
	if b.kept != nil {
		last = b.kept.step
	}
	if b.set != nil {
		for v, m := range b.set.own {
			if m.step >= last {
				b.set.own[v] = mark{step: then / b.width(), again: true}
			}
		}
		*b.ring, b.sum, b.step = [steps]int64{}, 0, max(b.step, then/b.width())
		for v, m := range b.set.own {
			if b.step-m.step >= steps {
				delete(b.set.own, v)
				continue
			}
			b.ring[m.step%steps]++
			b.sum++
		}
		return
	}
	var fresh int64
	for s := max(last, b.step-steps+1, 0); s <= b.step; s++ {
		n := b.ring[s%steps]
		if s == last {
			n = max(0, n-b.kept.n)
		}
		b.ring[s%steps] -= n
		b.sum -= n
		fresh += n
	}
	b.advanceLocked(then)
	b.countLocked(fresh)
}

// kept is where an earlier life of the gateway ended: its last step, and what
// had been counted in it.
type kept struct{ step, n int64 }

// reader reads what may be cut short: then it is bad, and all zeros.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if len(r.data) < n {
		r.bad, r.data = true, nil
		return make([]byte, n)
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
