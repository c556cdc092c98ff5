package limit

import (
	"crypto/sha256"
	"encoding/binary"
)

// set is the distinct values of a bucket: those that this gateway counts, each
// in the step in which it was seen last, and those that others count.
type set struct {
	own   map[uint64]mark
	known map[uint64]int64 // counted by another gateway, until when at least
	tell  []uint64         // seen since the last round
}

type mark struct {
	step  int64
	again bool // seen more than once
}

// mostKnown is how many values of other gateways a bucket remembers. One that
// is not remembered counts here once more.
const mostKnown = 1 << 20

// value is the hash by which a value is counted; never 0.
func value(rule, v string) uint64 {
	sum := sha256.Sum256([]byte("value\x00" + rule + "\x00" + v))
	return max(binary.LittleEndian.Uint64(sum[:]), 1)
}

// seenLocked says whether a value is counted already, here or by another
// gateway, and that it was seen.
func (b *bucket) seenLocked(v uint64, now int64) bool {
	s := b.set
	if s == nil {
		return false
	}
	if m, ok := s.own[v]; ok && b.step-m.step < steps {
		b.moveLocked(v, m)
		return true
	}
	until, ok := s.known[v]
	if !ok || until <= now {
		return false
	}
	if until-now < int64(b.spec.Window)/8*7 { // the one that counts it hears that it was seen
		s.known[v] = now + int64(b.spec.Window)
		s.tell = append(s.tell, v)
	}
	return true
}

// moveLocked notes that a value which is counted here was seen in this step.
func (b *bucket) moveLocked(v uint64, m mark) {
	if m.step != b.step && b.ring != nil {
		b.ring[m.step%steps]--
		b.ring[b.step%steps]++
	}
	b.set.own[v] = mark{step: b.step, again: true}
}

// addLocked notes a new value, which has been counted in this step.
func (b *bucket) addLocked(v uint64) {
	s := b.set
	if s == nil {
		s = &set{own: map[uint64]mark{}, known: map[uint64]int64{}}
		b.set = s
	}
	if len(s.own) > 2*int(max(b.sum, 32)) {
		s.tidy(b)
	}
	s.own[v] = mark{step: b.step}
	s.tell = append(s.tell, v)
}

// dropLocked takes a value back that nobody has seen since it was added.
func (b *bucket) dropLocked(v uint64) {
	if b.set == nil {
		return
	}
	m, ok := b.set.own[v]
	if !ok || m.again {
		return
	}
	b.disownLocked(v, m)
}

// disownLocked counts a value no longer.
func (b *bucket) disownLocked(v uint64, m mark) {
	delete(b.set.own, v)
	if b.step-m.step < steps && b.ring != nil {
		b.ring[m.step%steps]--
		b.sum--
	}
}

// heardLocked takes in that another gateway has seen a value, and whether it
// counts it. Of two gateways that count the same, the one named first goes on.
func (b *bucket) heardLocked(v uint64, counts, yields bool, now, until int64) {
	if b.set == nil {
		b.set = &set{own: map[uint64]mark{}, known: map[uint64]int64{}}
	}
	if m, ok := b.set.own[v]; ok && b.step-m.step < steps {
		if !counts || !yields {
			b.moveLocked(v, m)
			return
		}
		b.disownLocked(v, m)
	}
	if !counts {
		return
	}
	if len(b.set.known) >= mostKnown {
		b.set.tidyKnown(now)
	}
	if len(b.set.known) < mostKnown {
		b.set.known[v] = until
	}
}

// tidy forgets values that were not seen for a window.
func (s *set) tidy(b *bucket) {
	if s == nil {
		return
	}
	for v, m := range s.own {
		if b.step-m.step >= steps {
			delete(s.own, v)
		}
	}
}

func (s *set) tidyKnown(now int64) {
	for v, until := range s.known {
		if until <= now {
			delete(s.known, v)
		}
	}
}

// moveAll says that every value was seen in a step.
func (s *set) moveAll(step int64) {
	if s == nil {
		return
	}
	for v, m := range s.own {
		m.step = step
		s.own[v] = m
	}
}
