package filter

import (
	"bytes"
	"hash/maphash"
	"slices"
	"unicode/utf8"

	"andon/detect"
	"andon/wire"
	"andon/wire/sse"
)

// Stream filters one streamed answer. One goroutine uses it at a time.
type Stream struct {
	g  *Guard
	w  wire.Wire
	rt wire.Route

	framer  wire.Framer
	whole   bool // one event is all there is, and it is bare data
	inputs  bool // a request
	hit     *Hit
	due     *Hit  // the hit that stands earliest so far
	stop    int64 // number of the event it stands in
	number  int64 // of the last event
	pieces  []wire.Piece
	scratch []byte
	lines   []byte // for data of several lines
	side    []byte // what stood beside the data of the last event
	text    []byte // for texts that are rewritten
	out     []byte

	channels []*channel
	free     []*channel
	bare     []detect.Scanner // for texts that are whole
	groups   []uint32         // of the running texts of the event at hand

	held    []byte // events that wait, from head on
	head    int
	events  []waiting
	first   int // of events
	recs    []rec
	rec     int // the first that is in use
	current waiting

	seed   maphash.Seed
	seen   map[uint64]struct{} // texts that were judged
	joined []byte              // whole texts of the event at hand that have to be judged
	last   wire.Channel        // of what was joined last
}

// waiting is an event that waits.
type waiting struct {
	number  int64
	size    int
	recs    int
	spelled bool // has texts beside which nothing can be redacted
}

// rec is a piece of a text in an event that waits.
type rec struct {
	c          *channel
	start, end int64 // in the text
	event      int64
	at         wire.Region
	fixed      bool
}

// Stream begins to filter a streamed answer of this route.
func (g *Guard) Stream(w wire.Wire, rt wire.Route) *Stream {
	s := &Stream{w: w, rt: rt, framer: wire.NewFramer(rt)}
	s.set(g)
	return s
}

func (s *Stream) set(g *Guard) {
	s.g, s.bare, s.side = g, nil, nil
	if g == nil {
		return
	}
	s.bare = make([]detect.Scanner, len(g.sets))
	if len(g.judges) > 0 && s.seen == nil {
		s.seed, s.seen = maphash.MakeSeed(), map[uint64]struct{}{}
	}
}

// Write takes the next whole event of the stream, and returns which bytes may
// go out now: none, or whole events, in order. A hit ends the stream: out is
// what may still go out before it, and every later call returns the same hit
// and nothing else. At the end of the body, what is left of an event that has
// not ended is written like one.
func (s *Stream) Write(event []byte) (out []byte, hit *Hit) {
	if s.hit != nil {
		return nil, s.hit
	}
	if s.g == nil {
		return event, nil
	}
	s.out = s.out[:0]
	return s.write(event)
}

func (s *Stream) write(event []byte) (out []byte, hit *Hit) {
	s.number++
	s.current = waiting{number: s.number, size: len(event)}
	if data, ok := s.data(event); ok {
		s.take(data)
	}
	if s.rt.SSE && !s.whole {
		s.beside(event)
	}
	return s.release(event)
}

// data is what the event carries.
func (s *Stream) data(event []byte) (data []byte, ok bool) {
	if s.whole {
		return event, true
	}
	data, ok = s.framer.Data(event, s.lines[:0])
	if cap(data) > cap(s.lines) && !within(data, event) {
		s.lines = data
	}
	return data, ok
}

// take looks at the data of one event.
func (s *Stream) take(data []byte) {
	if s.inputs {
		s.pieces = s.w.AppendInputs(s.pieces[:0], s.rt, data, &s.scratch)
	} else {
		s.pieces = s.w.AppendPieces(s.pieces[:0], s.rt, data, &s.scratch)
	}
	s.groups, s.joined, s.last = s.groups[:0], s.joined[:0], wire.Channel{}
	for i := range s.pieces {
		p := &s.pieces[i]
		s.current.spelled = s.current.spelled || p.Spelled
		switch {
		case p.Kind == wire.PieceUnreadable:
			s.forbid(s.g.hit(0, Unreadable, 0), s.number)
		case p.Kind == wire.PieceEnd:
			s.ended(p.Channel)
		case p.Kind == wire.PieceTool:
			if rule, _ := s.g.denied(p, nil); rule >= 0 {
				s.forbid(s.g.hit(rule, Tool, p.Kind), s.number)
			}
		case p.Whole():
			s.bareText(p)
		default:
			s.running(p)
		}
	}
	s.others()
	if len(s.joined) > 0 {
		c := s.newChannel(0)
		c.total = int64(len(s.joined))
		c.settled, c.cut = c.total, c.total
		c.tail = append(c.tail, s.joined...)
		s.record(c, &wire.Piece{Fixed: true}, 0)
	}
}

// beside looks at what stands beside the data of an event: its name and id,
// comments, and fields that nobody knows. They reach the client, too.
func (s *Stream) beside(event []byte) {
	from := len(s.side)
	s.side = sse.Beside(event, s.side)
	fresh := s.side[from:]
	same := bytes.Equal(fresh, s.side[:from]) // most events have the names of those before
	s.side = s.side[:copy(s.side, fresh)]
	switch {
	case same:
	case !utf8.Valid(fresh) || bytes.IndexByte(fresh, 0) >= 0:
		s.forbid(s.g.hit(0, Unreadable, 0), s.number)
	default:
		s.bareText(&wire.Piece{Kind: wire.PieceOther, Fixed: true, Spelled: true, Text: fresh})
	}
}

// running takes a piece of a running text.
func (s *Stream) running(p *wire.Piece) {
	c, ok := s.channel(p)
	if !ok {
		s.forbid(s.g.hit(0, TooMuch, p.Kind), s.number)
		return
	}
	if p.Channel.Group&wire.Besides == 0 {
		s.groups = append(s.groups, p.Channel.Group)
	}
	s.feed(c, p)
	if p.Kind != wire.PieceToolName || len(s.g.tools) == 0 {
		return
	}
	if len(c.name) < maxName {
		c.name = append(c.name, p.Text...)
	}
	rule, partly := s.g.denied(p, c.name)
	if c.part = partly; rule >= 0 {
		s.forbid(s.g.hit(rule, Tool, p.Kind), s.eventOf(c, c.total-int64(len(c.name))))
	}
}

// bareText takes a text that is whole.
func (s *Stream) bareText(p *wire.Piece) {
	g := s.g
	if p.Kind == wire.PieceToolName {
		if rule, _ := g.denied(p, nil); rule >= 0 {
			s.forbid(g.hit(rule, Tool, p.Kind), s.number)
		}
	}
	var c *channel // made where something has to be redacted
	for i, rule := range g.sets {
		sc := &s.bare[i]
		sc.Reset(g.rules[rule].Set)
		m, ok := sc.Write(p.Text)
		for end := false; ; m, ok = sc.Next() {
			if !ok && !end {
				m, ok = sc.End()
				end = true
			}
			if !ok {
				break
			}
			if c == nil {
				c = s.newChannel(p.Kind)
				c.total = int64(len(p.Text))
				c.settled, c.judged, c.cut = c.total, c.total, c.total
				s.record(c, p, 0)
			}
			s.found(c, rule, m.Start, m.End, m.Pattern)
		}
	}
	if s.judges(p) {
		s.join(p)
	}
}

// others lets texts go out that were left for another one of their group.
func (s *Stream) others() {
	for _, c := range s.channels {
		if !c.open || c.touched == s.number || c.clear(len(s.g.judges) > 0) == c.total {
			continue
		}
		for _, group := range s.groups {
			if group == c.key.Group&^wire.Besides {
				s.pause(c)
				break
			}
		}
	}
}

// ended ends the texts that an end speaks of.
func (s *Stream) ended(key wire.Channel) {
	for _, c := range s.channels {
		if c.open && (key.Group == wire.EveryGroup || key.Group == c.key.Group && (key.Text == 0 || key.Text == c.key.Text)) {
			s.finish(c)
		}
	}
}

// record notes a piece of the event at hand.
func (s *Stream) record(c *channel, p *wire.Piece, from int64) {
	s.recs = append(s.recs, rec{c, from, c.total, s.number, p.At, p.Fixed || p.At.End == 0})
	s.current.recs++
	c.recs++
}

// eventOf is the number of the event that has the byte at this offset.
func (s *Stream) eventOf(c *channel, offset int64) int64 {
	for i := s.rec; i < len(s.recs); i++ {
		if r := &s.recs[i]; r.c == c && r.end > offset {
			return r.event
		}
	}
	return s.number
}

// forbid notes a hit that stands in this event. The earliest one counts.
func (s *Stream) forbid(h *Hit, event int64) {
	if s.due == nil || event < s.stop {
		s.due, s.stop = h, event
	}
}

// release lets go out what may. event is the one at hand, nil if there is none.
func (s *Stream) release(event []byte) (out []byte, hit *Hit) {
	if s.due != nil {
		// Here the answer ends, and with it all its texts.
		for _, c := range s.channels {
			if c.open {
				s.pause(c)
			}
		}
	}
	for s.first < len(s.events) && s.may(&s.events[s.first]) {
		e := &s.events[s.first]
		s.emit(e, s.held[s.head:s.head+e.size])
		s.head += e.size
		s.first++
	}
	if s.first == len(s.events) {
		s.events, s.first = s.events[:0], 0
		s.held, s.head = s.held[:0], 0
		if event != nil && s.may(&s.current) {
			if len(s.out) == 0 && !s.redacts(&s.current) {
				s.forget(&s.current)
				s.tidy()
				return event, nil
			}
			s.emit(&s.current, event)
			event = nil
		}
	}
	if event != nil && s.due == nil {
		s.hold(event)
	}
	if s.due != nil {
		s.hit = s.due
		s.held, s.events, s.recs, s.channels, s.free = nil, nil, nil, nil, nil
		return s.out, s.hit
	}
	s.tidy()
	return s.out, nil
}

// may says whether an event may go out.
func (s *Stream) may(e *waiting) bool {
	if s.due != nil && e.number >= s.stop {
		return false
	}
	judges := len(s.g.judges) > 0
	for _, r := range s.recs[s.rec : s.rec+e.recs] {
		if r.end > r.c.clear(judges) {
			return false
		}
	}
	return true
}

// emit puts an event out, redacted where it has to be. It may turn out that it
// cannot be.
func (s *Stream) emit(e *waiting, event []byte) {
	if !s.redacts(e) {
		s.out = append(s.out, event...)
	} else if rule, kind := s.rewrite(e, event); rule >= 0 {
		s.forbid(s.g.hit(rule, Pattern, kind), e.number)
		return
	}
	s.forget(e)
}

// forget drops the pieces of an event that has gone out.
func (s *Stream) forget(e *waiting) {
	for _, r := range s.recs[s.rec : s.rec+e.recs] {
		r.c.recs--
		r.c.floor = r.end
		drop := 0
		for drop < len(r.c.runs) && r.c.runs[drop].end < r.end {
			drop++
		}
		if drop > 0 {
			r.c.runs = r.c.runs[:copy(r.c.runs, r.c.runs[drop:])]
		}
	}
	s.rec += e.recs
	if s.rec == len(s.recs) {
		s.recs, s.rec = s.recs[:0], 0
	}
}

// hold keeps the event at hand back.
func (s *Stream) hold(event []byte) {
	if len(s.held)-s.head+len(event) > maxHeld && !s.whole {
		s.forbid(s.g.hit(0, TooMuch, 0), 0)
		return
	}
	// What has gone out is dropped when it is most of what there is.
	if s.head > len(s.held)/2 && s.head > 1<<10 {
		s.held, s.head = s.held[:copy(s.held, s.held[s.head:])], 0
	}
	if s.first > 16 && s.first > len(s.events)/2 {
		s.events, s.first = s.events[:copy(s.events, s.events[s.first:])], 0
	}
	if s.rec > 16 && s.rec > len(s.recs)/2 {
		s.recs, s.rec = s.recs[:copy(s.recs, s.recs[s.rec:])], 0
	}
	s.held = append(s.held, event...)
	s.events = append(s.events, s.current)
}

// tidy keeps what is kept small.
func (s *Stream) tidy() {
	s.sweep()
	if cap(s.scratch) > roomy {
		s.scratch = nil
	}
}

// End says that the stream is over, and lets the rest go out. It may have to be
// judged first: Waiting says so.
func (s *Stream) End() (out []byte, hit *Hit) {
	if s.hit != nil || s.g == nil {
		return nil, s.hit
	}
	s.out = s.out[:0]
	s.ended(wire.Channel{Group: wire.EveryGroup})
	return s.release(nil)
}

// Held is how many bytes wait.
func (s *Stream) Held() int { return len(s.held) - s.head }

// Update puts another guard, or none, in the place of the stream's. What has
// gone out stays; what waits is looked at afresh, with as much of the text
// before it as a pattern can begin in.
func (s *Stream) Update(g *Guard) (out []byte, hit *Hit) {
	if s.hit != nil || s.g == g {
		return nil, s.hit
	}
	held := bytes.Clone(s.held[s.head:])
	events := append([]waiting(nil), s.events[s.first:]...)
	kept := s.channels[:0]
	for _, c := range s.channels {
		if c.whole() || c.floor == 0 || !c.open && c.recs == 0 || has(kept, c.key) {
			continue // all of it is held, and comes again; or nothing is
		}
		// It stands where it stood when the last of it went out.
		back := c.total - c.floor
		c.tail = c.tail[:max(0, int64(len(c.tail))-back)]
		c.name = c.name[:max(0, int64(len(c.name))-back)]
		c.total, c.settled, c.judged, c.cut = c.floor, c.floor, c.floor, c.floor
		c.open, c.quiet, c.part, c.recs, c.scans = true, true, false, 0, nil
		kept = append(kept, c)
	}
	clear(s.channels[len(kept):])
	s.channels = kept
	s.held, s.head, s.events, s.first, s.recs, s.rec = s.held[:0], 0, s.events[:0], 0, s.recs[:0], 0
	s.free = nil
	s.set(g)
	s.out = s.out[:0]
	if g == nil {
		s.out = append(s.out, held...)
		return s.out, nil
	}
	var all []byte
	for _, e := range events {
		s.out = s.out[:0]
		out, hit := s.write(held[:e.size])
		held = held[e.size:]
		if all = append(all, out...); hit != nil {
			return all, hit
		}
	}
	return all, nil
}

// has says whether there is a channel of this key.
func has(list []*channel, key wire.Channel) bool {
	return slices.ContainsFunc(list, func(c *channel) bool { return c.key == key })
}
