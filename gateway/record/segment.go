package record

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"time"

	"andon/correction"
)

// rowBytes is the size of a row, in memory and on disk.
const rowBytes = 96

// row is one call: what tells it from others with the same profile. It holds no
// pointer, so that the garbage collector has nothing to look at.
type row struct {
	at          int64     // when it began, Unix ns
	users       [4]uint64 // as written; then the folded forms of those that folding changes
	ip          [16]byte  // pseudonym; IPv4 in the first four
	profile     uint32    // place in its segment's profiles
	in          uint32    // tokens of the request, estimated
	asked       uint32    // bound on the answer's tokens that was asked for
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
	names       uint8 // how many users there are, in the low 4 bits; which of them are folded, in the others
}

// The flags of a row.
const (
	flagContinues = 1 << iota
	flagIPv4
	flagIPv6
	flagCut // there were more users than have room
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
	x.name(r, q.Users)
	if q.Temperature >= 0 {
		x.temperature = uint16(math.Round(min(q.Temperature, 60)*1000)) + 1
	}
	if len(q.Country) == 2 {
		copy(x.country[:], q.Country)
	}
	if q.Continues {
		x.flags |= flagContinues
	}
	if a := r.addrLocked(q.IP); a.Is4() {
		b := a.As4()
		copy(x.ip[:], b[:])
		x.flags |= flagIPv4
	} else if a.IsValid() {
		x.ip = a.As16()
		x.flags |= flagIPv6
	}
	return x
}

// addrAlias is an address and its pseudonym.
type addrAlias struct{ addr, pseudonym netip.Addr }

// addrLocked is the pseudonym of an address. The one that was asked for last is
// remembered for each last byte: whoever calls, calls again.
func (r *Recorder) addrLocked(a netip.Addr) netip.Addr {
	k := &r.addrs[a.As16()[15]]
	if k.addr != a {
		*k = addrAlias{a, r.names.Addr(a)}
	}
	return k.pseudonym
}

// name notes the users, as far as there is room for them and their folded forms.
func (x *row) name(r *Recorder, users []string) {
	var folded [4]uint64
	n, k := 0, 0
	for _, u := range users {
		if u == "" {
			continue
		}
		a := r.aliasLocked(u)
		more := 1
		if a.folded != 0 {
			more = 2
		}
		if n+k+more > len(x.users) {
			x.flags |= flagCut
			break
		}
		x.users[n] = a.written
		if a.folded != 0 {
			x.names |= 1 << (4 + n)
			folded[k] = a.folded
			k++
		}
		n++
	}
	copy(x.users[n:], folded[:k])
	x.names |= uint8(n)
}

// written and folded are the two parts of users.
func (x *row) written() []uint64 { return x.users[:x.names&15] }
func (x *row) folded() []uint64 {
	n := int(x.names & 15)
	return x.users[n : n+bits.OnesCount8(x.names>>4)]
}

// user is by which pseudonym the i-th user is known, however it is written.
func (x *row) user(i int) uint64 {
	if x.names>>(4+i)&1 == 0 {
		return x.users[i]
	}
	return x.folded()[bits.OnesCount8(x.names>>4&(1<<i-1))]
}

// first is user for the first one; 0 if there is none.
func (x *row) first() uint64 {
	if x.names&15 == 0 {
		return 0
	}
	return x.user(0)
}

// alias is a user's pseudonym, and that of its folded form if it is another.
type alias struct{ written, folded uint64 }

func (r *Recorder) aliasLocked(name string) alias {
	if a, ok := r.users[name]; ok {
		return a
	}
	if len(r.users) >= keepUser {
		clear(r.users)
	}
	a := alias{written: r.names.number(name)}
	if f := correction.FoldUser(name); f != name && f != "" {
		a.folded = r.names.number(f)
	}
	r.users[name] = a
	return a
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
	users = users[:0]
	for _, u := range x.written() {
		users = append(users, text(u))
	}
	n := len(users)
	for _, u := range x.folded() {
		users = append(users, text(u))
	}
	q.Users, q.Folded = users[:n:n], users[n:]
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
	return append(b, x.choices, uint8(x.outcome), x.country[0], x.country[1], x.flags, x.names)
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
	x.names = b[95]
}

// sound says whether a row that was read can have been written.
func (x *row) sound(profiles int) bool {
	n, folded := int(x.names&15), x.names>>4
	return int(x.profile) < profiles && x.outcome <= Broken && n <= len(x.users) && int(folded) < 1<<n && n+bits.OnesCount8(folded) <= len(x.users)
}
