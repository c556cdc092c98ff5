package filter

import (
	"hash/maphash"
	"slices"

	"andon/detect"
	"andon/wire"
)

const (
	segment = 400      // bytes after which a classifier judges, even in the middle of a sentence
	shown   = 1 << 10  // bytes before them that it is shown, too
	maxHeld = 1 << 20  // bytes of events that are held back
	maxOpen = 1 << 10  // running texts at once
	maxName = 300      // bytes of a tool's name
	maxSeen = 1 << 8   // texts that are remembered as judged
	roomy   = 64 << 10 // larger buffers are not kept for the next text
)

// channel is one running text: how far it has come, and how far it is clear.
type channel struct {
	key  wire.Channel
	kind wire.PieceKind
	open bool // more may come

	total   int64 // bytes so far
	settled int64 // before it, no pattern can begin any more
	judged  int64 // before it, classifiers have found nothing
	cut     int64 // up to it, they can judge
	floor   int64 // what is before has gone out
	recs    int   // pieces of held events
	touched int64 // number of the last event with a piece of it

	scans []detect.Scanner // one for each set of the guard
	bases []int64          // where each began
	quiet bool             // scans have ended; they begin again with the tail
	tail  []byte           // the last bytes of the text
	runs  []run            // what is redacted, in order; the last is kept
	hash  maphash.Hash     // of the whole text, for classifiers
	name  []byte           // of a tool, so far
	part  bool             // it may become a denied one
}

// run is a stretch that is redacted.
type run struct {
	start, end int64
	rule       int
}

// clear is how far the text may go out.
func (c *channel) clear(judges bool) int64 {
	switch {
	case c.part:
		return 0
	case judges:
		return min(c.settled, c.judged)
	}
	return c.settled
}

// channel returns the open channel of this key. ok is false if there are too many.
func (s *Stream) channel(p *wire.Piece) (c *channel, ok bool) {
	n := 0
	for _, c := range s.channels {
		if c.open {
			if c.key == p.Channel {
				return c, true
			}
			n++
		}
	}
	if n >= maxOpen {
		return nil, false
	}
	c = s.newChannel(p.Kind)
	c.key, c.open = p.Channel, true
	return c, true
}

func (s *Stream) newChannel(kind wire.PieceKind) *channel {
	var c *channel
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
		scans, bases, tail, runs, name := c.scans, c.bases, c.tail[:0], c.runs[:0], c.name[:0]
		*c = channel{scans: scans, bases: bases, tail: tail, runs: runs, name: name}
	} else {
		c = &channel{}
	}
	c.kind, c.quiet = kind, true
	if len(s.g.judges) > 0 {
		c.hash.SetSeed(s.seed)
	}
	s.channels = append(s.channels, c)
	return c
}

// sweep lets go of channels that are over and have nothing held.
func (s *Stream) sweep() {
	kept := s.channels[:0]
	for _, c := range s.channels {
		if c.open || c.recs > 0 || len(s.g.judges) > 0 && c.judged < c.total {
			kept = append(kept, c)
		} else if cap(c.tail) <= roomy {
			s.free = append(s.free, c)
		}
	}
	clear(s.channels[len(kept):])
	s.channels = kept
}

// restart makes the scanners ready where the text stands now, with as much of
// what came before as a match can begin in. What is found there is known already.
func (c *channel) restart(g *Guard) {
	c.quiet = false
	if len(c.scans) != len(g.sets) {
		c.scans, c.bases = make([]detect.Scanner, len(g.sets)), make([]int64, len(g.sets))
	}
	tail := c.tail[max(0, len(c.tail)-g.longest):]
	for i, rule := range g.sets {
		c.scans[i].Reset(g.rules[rule].Set)
		c.bases[i] = c.total - int64(len(tail))
		if len(tail) > 0 {
			for _, ok := c.scans[i].Write(tail); ok; _, ok = c.scans[i].Next() {
			}
		}
	}
}

// feed takes the next bytes of a running text.
func (s *Stream) feed(c *channel, p *wire.Piece) {
	g := s.g
	if c.quiet {
		c.restart(g)
	}
	from := c.total
	c.total += int64(len(p.Text))
	c.settled = c.total
	c.touched = s.number
	s.record(c, p, from)
	for i, rule := range g.sets {
		sc := &c.scans[i]
		for m, ok := sc.Write(p.Text); ok; m, ok = sc.Next() {
			s.found(c, rule, c.bases[i]+m.Start, c.bases[i]+m.End, m.Pattern)
		}
		c.settled = min(c.settled, c.total-int64(sc.Pending()))
	}
	if len(g.sets)+len(g.judges) > 0 {
		c.keep(p.Text, g)
	}
	switch {
	case !s.judges(p):
		c.judged, c.cut = c.total, c.total
	case s.whole:
		s.join(p)
		c.judged, c.cut = c.total, c.total
	default:
		c.hash.Write(p.Text)
		if k := sentence(p.Text); k > 0 {
			c.cut = from + int64(k)
		}
		if c.total-max(c.cut, c.judged) >= segment {
			c.cut = c.total
		}
	}
}

// keep adds text to the tail, and cuts what nobody needs any more: it reaches
// back over all that is held and a longest match before, and over what is to be
// judged and its context.
func (c *channel) keep(text []byte, g *Guard) {
	c.tail = append(c.tail, text...)
	need := int64(g.longest)
	if len(g.judges) > 0 {
		need = max(need, c.total-c.judged+shown)
	}
	if c.recs > 0 {
		need += c.total - c.floor
	}
	if n := int64(len(c.tail)); n > 2*need+256 {
		c.tail = c.tail[:copy(c.tail, c.tail[n-need:])]
	}
}

// sentence is where the last sentence in text ends, blanks after it included; 0
// if none does.
func sentence(text []byte) int {
	end := len(text)
	for i := len(text); i > 0; i-- {
		switch text[i-1] {
		case '\n':
			return end
		case '.', '!', '?':
			if i == len(text) || text[i] == ' ' || text[i] == '\n' {
				return end
			}
		}
		if text[i-1] != ' ' {
			end = i - 1
		}
	}
	return 0
}

// found notes a match of a rule.
func (s *Stream) found(c *channel, rule int, start, end int64, pattern int) {
	if start = max(start, c.floor); end <= start {
		return
	}
	if s.g.rules[rule].Action != Redact {
		h := s.g.hit(rule, Pattern, c.kind)
		h.Pattern = pattern
		s.forbid(h, s.eventOf(c, start))
		return
	}
	// Runs that overlap or touch are one.
	at := len(c.runs)
	for at > 0 && c.runs[at-1].start > end {
		at--
	}
	to := at
	for at > 0 && c.runs[at-1].end >= start {
		at--
		start, end = min(start, c.runs[at].start), max(end, c.runs[at].end)
	}
	c.runs = slices.Replace(c.runs, at, to, run{start, end, rule})
}

// finish says that the text is over.
func (s *Stream) finish(c *channel) {
	s.pause(c)
	c.open = false
	if len(s.g.judges) > 0 && !c.whole() {
		s.remember(c.hash.Sum64())
	}
}

func (c *channel) whole() bool { return c.key.Text == 0 }

// pause lets the text go out as it stands, as if it were over; it may go on.
func (s *Stream) pause(c *channel) {
	if !c.quiet {
		for i, rule := range s.g.sets {
			sc := &c.scans[i]
			for m, ok := sc.End(); ok; m, ok = sc.Next() {
				s.found(c, rule, c.bases[i]+m.Start, c.bases[i]+m.End, m.Pattern)
			}
		}
	}
	c.quiet, c.part = true, false
	c.settled, c.cut = c.total, c.total
}
