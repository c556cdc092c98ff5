package limit

import (
	"math"
	"slices"
	"time"
)

// How a Fleet keeps time.
const (
	Pace     = 100 * time.Millisecond // a round, while something is counted
	pause    = time.Second            // a round, while nothing is
	hurry    = 10 * time.Millisecond  // the shortest round: a call waits for the next
	patience = 300 * time.Millisecond // how long a round waits for a gateway's word before it goes on without
	again    = 100 * time.Millisecond // when a word that has not come is asked for
	Silent   = 3 * time.Second        // a gateway not heard for so long is left out
	lost     = time.Minute            // after which its places (concurrent calls) are free again
	alone    = 250 * time.Millisecond // after its start a gateway leaves half to others that may be there
	recovers = 10 * time.Second       // after its start it takes back what others say it had counted
)

// Bounds of what is believed of others.
const (
	maxPeers   = 256
	maxCount   = 1 << 53
	maxWindow  = 32 * 24 * time.Hour
	maxBuckets = 1 << 20 // that only others have counted
	maxParts   = 1 << 14
	maxJump    = 1 << 32 // rounds that a gateway may be ahead
	wordCounts = 500     // counts in one Word
	wordValues = 4000    // values in one Word
)

// Word is what one gateway says to the others: the part of a round, or, where
// To is set, what it holds of a gateway that has come back.
type Word struct {
	Gateway, Boot string
	To            string
	Ask           bool // of To: say again what came after Round
	Round         uint64
	Prev          uint64 // the round that the sender spoke of before
	All           bool   // holds everything that the sender counts, not only what is new
	Part, Parts   int
	Counts        []Count
}

// Count is a bucket as one gateway sees it: what it has counted, and what it
// may count before others have to hear of it.
type Count struct {
	Hash   Hash
	N      int64
	Window time.Duration // 0: places held
	Values []uint64      // distinct ones that it has seen since
	Seen   bool          // of Values: it does not count them itself
}

type peer struct {
	name, boot string
	live       bool
	late       bool // nobody waits for it, until it speaks of the round that is open
	heard      int64
	round      uint64 // heard whole
	part       uint64 // round of which parts have come
	parts      map[int]bool
	asked      int64
}

// turn is what a gateway may take of what is left, seen by every call.
type turn struct {
	serial  uint64 // of the opening
	round   uint64
	n, rank int // gateways that take part, and which of them this is
	open    bool
}

// Fleet is a gateway's part in what several do together. One goroutine uses it.
// How long others are silent is counted in time that this gateway lived: while it
// stood still (a paused machine) it could not hear them.
//
// A gateway's claim on a bucket is what it has counted and what it may still
// count (rest). In a round it may raise the claim once, by its part of
//
//	free = limit - its own claim - the claims of the others as it heard them last
//
// that is free/N, rounded up for the first free mod N gateways in the round's order
// of turns, else down. Then it closes the round: it says what it claims, and until
// it has heard every other gateway's word of the same round it raises nothing.
//
// Why the claims never exceed the limit together: let f be a gateway's claim less
// what it was raised by in this round. f only falls within the round. What
// another has heard was said in the round before, or in this one and contains
// the raise; so at any later time it is no less than f then. Hence each saw at most
// free' = limit - (sum of all f), each took at most its part of free', and the parts of
// free' add up to free'.
//
// This rests on three things, and where one fails the excess is bounded:
//   - All know who takes part. A gateway that comes takes half of what is left
//     as far as it knows, at most, before it has heard the others; kept counts are
//     what it knows then. Where some know it and others do not, or one was not
//     heard for [Silent], they divide differently in that round: by no more than was left.
//   - All words come. After 300 ms a round goes on without a gateway that is not
//     heard, and counts what it said last. Groups that hear nothing of each
//     other for a window admit one limit each: in the worst case N. A gateway that
//     stood still gives nothing more before it has closed its round and heard the
//     others; what it took in that round and had not said is the excess.
//   - All enforce the same limit. While an order that changes it is on its
//     way, the larger limit holds.
//
// Beyond 256 gateways, and 2^20 buckets on one, further ones are not heard: there
// each gateway counts on its own.
//
// Tokens are settled when a call ends; what it used beyond its estimate exceeds
// the limit on many gateways as it does on one.
type Fleet struct {
	l          *Limiter
	name, boot string
	peers      map[string]*peer
	round      uint64
	closed     bool
	last       int64 // when it was called last
	lived      int64 // time without standstills; what follows is told in it
	since      int64 // when the round was opened or closed
	asked      int64 // when a word that did not come was asked for
	caughtUp   int64 // before which no round is opened
	stale      bool  // what may still be taken is from before a standstill
	serial     uint64
	spoken     uint64 // the round spoken of last
	closings   uint64
	said       []Word    // of this round, once it is closed
	before     []Word    // of the round before
	resting    []*bucket // with a rest, after the last round
	told       []*bucket // of which others hold a count
	next       int       // of told, to look at next
	retell     bool      // somebody has come who knows nothing
	started    int64
	begun      bool
}

// NewFleet begins a gateway's part, at time now. Until it knows better it
// reckons with one other gateway.
func NewFleet(l *Limiter, name, boot string, now int64) *Fleet {
	const began = int64(time.Second)
	f := &Fleet{l: l, name: name, boot: boot, peers: map[string]*peer{}, last: now, lived: began, started: began, since: began}
	l.alive.Store(now)
	f.open()
	return f
}

// Hungry is sent to when a call waits for the next round.
func (f *Fleet) Hungry() <-chan struct{} { return f.l.hungry }

// Peers is how many other gateways take part.
func (f *Fleet) Peers() (n int) {
	for _, p := range f.peers {
		if p.live {
			n++
		}
	}
	return n
}

// Hello is the first word of a gateway.
func (f *Fleet) Hello() Word { return Word{Gateway: f.name, Boot: f.boot, Parts: 1} }

// open lets every bucket take its part anew.
func (f *Fleet) open() {
	t := &turn{round: f.round, n: 1, open: true}
	for _, p := range f.peers {
		if p.live {
			t.n++
			if p.name < f.name {
				t.rank++
			}
		}
	}
	if t.n == 1 && f.lived-f.started < int64(alone) {
		t.n = 2
	}
	f.serial++
	t.serial = f.serial
	f.l.turn.Store(t)
}

// Tick goes on as far as time allows, and returns what to say. It is called at
// least every [Pace], and every 10 ms while [Fleet.Busy].
func (f *Fleet) Tick(now int64, hungry bool) (words []Word) {
	words = f.live(now)
	lonely := true
	for _, p := range f.peers {
		if p.live && f.lived-p.heard > int64(Silent) {
			p.live = false
		}
		if p.live {
			lonely = false
		} else if p.heard != 0 && f.lived-p.heard > int64(lost) {
			f.forget(p)
		}
	}
	if !f.begun && f.lived-f.started >= int64(alone) {
		f.begun = true
		f.open()
	}
	if lonely {
		if t := f.l.turn.Load(); f.begun && t.n > 1 {
			f.open()
		}
	}
	if !f.closed {
		age := f.lived - f.since
		due := age >= int64(pause) || age >= int64(Pace) && (f.retell || f.l.dirty.Load() != nil)
		if !lonely {
			due = due || age >= int64(hurry) && (hungry || f.retell || f.ahead())
		} else {
			due = age >= int64(pause)
		}
		if due {
			words = append(words, f.close(now)...)
		}
	}
	if f.closed && f.lived-f.since >= int64(patience) {
		for _, p := range f.peers {
			p.late = p.late || p.live && p.round < f.round
		}
	}
	if f.closed && f.lived >= f.caughtUp && f.heardAll() {
		f.closed, f.since = false, f.lived
		f.round++
		f.open()
		return words
	}
	if f.closed && f.lived-f.since >= int64(again) && f.lived-f.asked >= int64(again) {
		f.asked = f.lived
		for _, p := range f.peers {
			if p.live && !p.late && p.round < f.round {
				words = append(words, f.ask(p))
			}
		}
	}
	return words
}

// ask asks a gateway to say again what was not heard of it.
func (f *Fleet) ask(p *peer) Word {
	return Word{Gateway: f.name, Boot: f.boot, To: p.name, Ask: true, Round: p.round, Parts: 1}
}

// answer says again what came after a round; or, where that is not known any
// more, everything, at the next occasion.
func (f *Fleet) answer(after uint64) (words []Word) {
	for _, ws := range [][]Word{f.before, f.said} {
		if len(ws) == 0 || ws[0].Round <= after {
			continue
		}
		if len(words) == 0 && ws[0].Prev > after && !ws[0].All {
			f.retell = true
			continue
		}
		words = append(words, ws...)
	}
	return words
}

// Busy reports whether the fleet waits for others, or others for it.
func (f *Fleet) Busy() bool { return f.closed || f.retell || f.ahead() || !f.begun }

// ahead reports whether another gateway has closed this round.
func (f *Fleet) ahead() bool {
	for _, p := range f.peers {
		if p.live && p.round >= f.round && p.round > 0 {
			return true
		}
	}
	return false
}

func (f *Fleet) heardAll() bool {
	for _, p := range f.peers {
		if p.live && !p.late && p.round < f.round {
			return false
		}
	}
	return true
}

// close ends the round: from here on no bucket takes more than it has, and what
// each has claimed is said. The turn is swapped before the dirty list is taken,
// and a bucket enters the list before it looks at the turn: so none is missed.
func (f *Fleet) close(now int64) []Word {
	was := *f.l.turn.Load()
	was.open = false
	f.l.turn.Store(&was)
	f.closed, f.since, f.asked = true, f.lived, f.lived
	f.closings++
	f.round = max(f.round, 1)

	at := f.l.Now(now)
	var counts []Count
	resting := f.resting
	f.resting = nil
	say := func(b *bucket, listed bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if listed {
			b.dirty = false
		}
		if b.gone || b.said == f.closings {
			return
		}
		b.said = f.closings
		b.advanceLocked(at)
		if b.round == was.serial && !f.stale {
			b.rest = min(b.rest, b.used)
		} else {
			b.rest = 0
		}
		if b.rest > 0 {
			f.resting = append(f.resting, b)
		}
		n := max(0, b.sum+b.rest)
		counts = f.tellLocked(b, counts, n, false)
	}
	for b := f.l.dirty.Swap(nil); b != nil; {
		next := b.next
		say(b, true)
		b = next
	}
	for _, b := range resting {
		say(b, false)
	}
	for range min(len(f.told), 2048) { // what falls out of a window is said, too
		f.next++
		if f.next >= len(f.told) {
			f.next = 0
		}
		b := f.told[f.next]
		say(b, false)
		b.mu.Lock()
		if b.listed = b.told > 0 && !b.gone; !b.listed {
			f.told[f.next] = f.told[len(f.told)-1]
			f.told = f.told[:len(f.told)-1]
		}
		b.mu.Unlock()
		if len(f.told) == 0 {
			break
		}
	}
	all := f.retell
	if f.retell = false; all {
		f.l.hashed.Range(func(_ Hash, b *bucket) bool {
			b.mu.Lock()
			counts = f.tellLocked(b, counts, max(0, b.sum+b.rest), true)
			b.mu.Unlock()
			return true
		})
	}
	f.before, f.said = f.said, f.words(counts, "", all)
	f.spoken = f.round
	return f.said
}

// tellLocked appends what others have to hear of a bucket.
func (f *Fleet) tellLocked(b *bucket, counts []Count, n int64, all bool) []Count {
	c := Count{Hash: b.hash, N: n, Window: b.spec.Window}
	said := false
	values := func(vs []uint64, seen bool) {
		for part := range slices.Chunk(vs, wordValues) {
			c.Values, c.Seen = part, seen
			counts = append(counts, c)
			said = true
		}
	}
	if s := b.set; s != nil {
		var own, seen []uint64
		for _, v := range s.tell {
			if _, ok := s.own[v]; !ok {
				seen = append(seen, v)
			} else if !all {
				own = append(own, v)
			}
		}
		s.tell = nil
		if all {
			for v := range s.own {
				own = append(own, v)
			}
		}
		values(own, false)
		values(seen, true)
	}
	if !said && (n != b.told || all && n > 0) {
		counts = append(counts, Count{Hash: b.hash, N: n, Window: b.spec.Window})
	}
	if b.told = n; n > 0 && !b.listed {
		b.listed = true
		f.told = append(f.told, b)
	}
	return counts
}

// words puts counts into as many words as they need.
func (f *Fleet) words(counts []Count, to string, all bool) (ws []Word) {
	for {
		n, values := 0, 0
		for n < len(counts) && n < wordCounts && values < wordValues {
			values += len(counts[n].Values)
			n++
		}
		ws = append(ws, Word{Gateway: f.name, Boot: f.boot, To: to, Round: f.round, Prev: f.spoken, All: all, Part: len(ws), Counts: counts[:n]})
		if counts = counts[n:]; len(counts) == 0 {
			break
		}
	}
	for i := range ws {
		ws[i].Parts = len(ws)
	}
	return ws
}

// Take hears another gateway's word, and returns what to answer. What is
// malformed is not heard.
func (f *Fleet) Take(w Word, now int64) (words []Word) {
	if w.Gateway == f.name && w.Boot == f.boot || !w.sound() {
		return nil
	}
	words = f.live(now)
	name := w.Gateway
	if name == f.name {
		name += "/" + w.Boot // another one of this name
	}
	if w.To != "" {
		switch {
		case w.To != f.name:
		case w.Ask:
			return append(words, f.answer(w.Round)...)
		case f.lived-f.started < int64(recovers):
			f.recover(w.Counts, now)
		}
		return words
	}
	p := f.peers[name]
	if p == nil {
		if len(f.peers) >= maxPeers && !f.forgetOne() {
			return words
		}
		p = &peer{name: name}
		f.peers[name] = p
	}
	if w.Round > f.round+maxJump && f.lived-f.started > int64(recovers) {
		return words
	}
	if p.boot != w.Boot {
		if p.boot != "" {
			words = append(words, f.held(p, now)...) // it may have lost what it counted last
		}
		p.boot, p.round, p.part, p.parts = w.Boot, 0, 0, nil
		f.retell = true
	}
	if !p.live {
		p.live, f.retell = true, true
	}
	p.heard = f.lived
	if w.Round > p.round {
		if w.Prev > p.round && !w.All {
			if f.lived-p.asked >= int64(hurry) { // something before it was lost
				p.asked = f.lived
				words = append(words, f.ask(p))
			}
			return append(words, f.Tick(now, false)...)
		}
		if w.Round != p.part {
			p.part, p.parts = w.Round, map[int]bool{}
		}
		if !p.parts[w.Part] {
			p.parts[w.Part] = true
			for i := range w.Counts {
				f.hear(p, &w.Counts[i], now)
			}
		}
		if len(p.parts) >= w.Parts {
			p.round, p.parts = w.Round, nil
			p.late = p.late && p.round < f.round
		}
	}
	if p.round > f.round {
		f.round = p.round
		words = append(words, f.close(now)...)
	}
	return append(words, f.Tick(now, false)...)
}

func (w *Word) sound() bool {
	return w.Gateway != "" && len(w.Gateway) <= 64 && len(w.Boot) <= 64 && w.Parts > 0 && w.Parts <= maxParts && w.Part >= 0 && w.Part < w.Parts &&
		w.Round < math.MaxUint64/2 && len(w.Counts) <= wordCounts
}
