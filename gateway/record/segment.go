package record

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"andon/correction"
)

// rowBytes is the size of a row, in memory and on disk.
const rowBytes = 96

// row is one call: what tells it from others with the same profile. It holds no
// pointer, so that the garbage collector has nothing to look at.
type row struct {
	at          int64 // when it began, Unix ns
	users       [4]uint64
	ip          [16]byte // pseudonym; IPv4 in the first four
	profile     uint32   // place in its segment's profiles
	in          uint32   // tokens of the request, estimated
	asked       uint32   // bound on the answer's tokens that was asked for
	reasoning   uint32
	usedIn      uint32 // tokens as the provider reported them; 0: not known
	usedOut     uint32
	took        uint32 // in 100 µs
	messages    uint16
	temperature uint16 // in thousandths, plus 1; 0: not said
	calls       uint16 // tool calls in the answer
	choices     uint8
	outcome     Outcome
	country     [2]byte
	flags       uint8
	_           uint8
}

// The flags of a row.
const (
	flagContinues = 1 << iota
	flagIPv4
	flagIPv6
)

const tick = 100 * time.Microsecond

// segment is a run of rows with the profiles that they refer to.
type segment struct {
	rows     []row
	profiles []*profile
	places   map[*profile]uint32 // while it grows
	sealed   bool
	file     uint64 // number of its file; 0: none yet
	written  int    // rows that are on disk
	known    int    // profiles that are on disk
}

func newSegment(rows int) *segment {
	return &segment{rows: make([]row, 0, rows), places: map[*profile]uint32{}}
}

// newest is when the last row of the segment began.
func (s *segment) newest() int64 {
	if len(s.rows) == 0 {
		return math.MinInt64
	}
	return s.rows[len(s.rows)-1].at
}

// rowLocked makes a row of a call.
func (r *Recorder) rowLocked(c *Call, profile uint32) row {
	q := &c.Request
	x := row{at: c.At.UnixNano(), profile: profile, in: small(q.InputTokens), asked: small(q.OutputTokens), reasoning: small(q.Reasoning),
		usedIn: small(c.Input), usedOut: small(c.Output), took: small(int64(c.Took / tick)),
		messages: uint16(min(small(q.Messages), math.MaxUint16)), calls: uint16(min(small(c.ToolCalls), math.MaxUint16)),
		choices: uint8(min(small(q.Choices), math.MaxUint8)), outcome: c.Outcome}
	n := 0
	for _, u := range q.Users {
		if u != "" && n < len(x.users) {
			x.users[n] = r.userLocked(u)
			n++
		}
	}
	if q.Temperature >= 0 {
		x.temperature = uint16(math.Round(min(q.Temperature, 60)*1000)) + 1
	}
	if len(q.Country) == 2 {
		copy(x.country[:], q.Country)
	}
	if q.Continues {
		x.flags |= flagContinues
	}
	if a := r.names.Addr(q.IP); a.Is4() {
		b := a.As4()
		copy(x.ip[:], b[:])
		x.flags |= flagIPv4
	} else if a.IsValid() {
		x.ip = a.As16()
		x.flags |= flagIPv6
	}
	return x
}

func (r *Recorder) userLocked(name string) uint64 {
	if n, ok := r.users[name]; ok {
		return n
	}
	if len(r.users) >= keepUser {
		clear(r.users)
	}
	n := r.names.number(name)
	r.users[name] = n
	return n
}

func small(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }

// addr is the pseudonym of the address.
func (x *row) addr() netip.Addr {
	switch {
	case x.flags&flagIPv4 != 0:
		return netip.AddrFrom4([4]byte(x.ip[:4]))
	case x.flags&flagIPv6 != 0:
		return netip.AddrFrom16(x.ip)
	}
	return netip.Addr{}
}

// fill writes what the row knows into a request that holds its profile's facts.
// The room for users is given.
func (x *row) fill(q *correction.Request, users []string) {
	q.Users = users[:0]
	for _, u := range x.users {
		if u != 0 {
			q.Users = append(q.Users, text(u))
		}
	}
	q.IP = x.addr()
	q.Country = ""
	if x.country[0] != 0 {
		q.Country = string(x.country[:])
	}
	q.InputTokens, q.OutputTokens, q.Reasoning = int64(x.in), int64(x.asked), int64(x.reasoning)
	q.Messages, q.Choices = int64(x.messages), int64(x.choices)
	q.Temperature = -1
	if x.temperature > 0 {
		q.Temperature = float64(x.temperature-1) / 1000
	}
	q.Continues = x.flags&flagContinues != 0
}

// append writes the row as it stands on disk.
func (x *row) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(x.at))
	for _, u := range x.users {
		b = le.AppendUint64(b, u)
	}
	b = append(b, x.ip[:]...)
	for _, n := range [...]uint32{x.profile, x.in, x.asked, x.reasoning, x.usedIn, x.usedOut, x.took} {
		b = le.AppendUint32(b, n)
	}
	for _, n := range [...]uint16{x.messages, x.temperature, x.calls} {
		b = le.AppendUint16(b, n)
	}
	return append(b, x.choices, uint8(x.outcome), x.country[0], x.country[1], x.flags, 0)
}

// read is the inverse of append; b holds rowBytes.
func (x *row) read(b []byte) {
	le := binary.LittleEndian
	x.at = int64(le.Uint64(b))
	for i := range x.users {
		x.users[i] = le.Uint64(b[8+8*i:])
	}
	copy(x.ip[:], b[40:56])
	for i, n := range []*uint32{&x.profile, &x.in, &x.asked, &x.reasoning, &x.usedIn, &x.usedOut, &x.took} {
		*n = le.Uint32(b[56+4*i:])
	}
	for i, n := range []*uint16{&x.messages, &x.temperature, &x.calls} {
		*n = le.Uint16(b[84+2*i:])
	}
	x.choices, x.outcome, x.country, x.flags = b[90], Outcome(b[91]), [2]byte(b[92:94]), b[94]
}
