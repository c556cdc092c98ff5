package order

import (
	"encoding/binary"
	"errors"
)

// SubjectUsage is where gateways tell each other what they have counted.
const SubjectUsage = "andon.usage" // gateway → gateways: Usage

// Usage is what one gateway says to the others of what it has counted under
// rate corrections. It is not signed: it can only be added to what a gateway
// counts itself, so that who forges it can tighten a limit, or take back what
// another gateway's word had tightened, and nothing more. Buckets are named by
// hash. Package gateway/limit says what the members mean.
type Usage struct {
	Gateway string
	Boot    string
	To      string
	Ask     bool
	All     bool
	Round   uint64
	Prev    uint64
	Part    int
	Parts   int
	Buckets []UsageBucket
}

// UsageBucket is one bucket of Usage.
type UsageBucket struct {
	Hash   [16]byte
	N      int64
	Window int64    // ns; 0: places held
	Values []uint64 // hashes
	Seen   bool
}

// Bounds of an encoded Usage.
const (
	usageVersion    = 1
	maxUsageName    = 64
	maxUsageBuckets = 1 << 10
	maxUsageValues  = 1 << 13
)

var errUsage = errors.New("open usage: the message is malformed")

// Append appends the encoded message. It is binary, since gateways speak up to
// a hundred times a second while a limit is nearly used up.
func (u *Usage) Append(b []byte) []byte {
	flags := byte(0)
	if u.Ask {
		flags |= 1
	}
	if u.All {
		flags |= 2
	}
	b = append(b, usageVersion, flags)
	for _, s := range [...]string{u.Gateway, u.Boot, u.To} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, n := range [...]uint64{u.Round, u.Prev, uint64(u.Part), uint64(u.Parts), uint64(len(u.Buckets))} {
		b = binary.AppendUvarint(b, n)
	}
	for i := range u.Buckets {
		k := &u.Buckets[i]
		b = append(b, k.Hash[:]...)
		b = binary.AppendUvarint(b, uint64(k.N))
		b = binary.AppendUvarint(b, uint64(k.Window))
		n := uint64(len(k.Values)) << 1
		if k.Seen {
			n |= 1
		}
		b = binary.AppendUvarint(b, n)
		for _, v := range k.Values {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return b
}

// OpenUsage decodes a message. It never takes up more memory than a small
// multiple of the message's size.
func OpenUsage(data []byte) (u Usage, err error) {
	bad := false
	take := func(n uint64) []byte {
		if bad || n > uint64(len(data)) {
			bad = true
			return nil
		}
		out := data[:n]
		data = data[n:]
		return out
	}
	number := func() uint64 {
		v, n := binary.Uvarint(data)
		if n <= 0 || bad {
			bad = true
			return 0
		}
		data = data[n:]
		return v
	}
	bounded := func(most uint64) int {
		n := number()
		bad = bad || n > most
		return int(min(n, most))
	}
	head := take(2)
	if bad || head[0] != usageVersion || head[1] > 3 {
		return u, errUsage
	}
	u.Ask, u.All = head[1]&1 != 0, head[1]&2 != 0
	for _, s := range [...]*string{&u.Gateway, &u.Boot, &u.To} {
		*s = string(take(uint64(bounded(maxUsageName * 2))))
	}
	u.Round, u.Prev = number(), number()
	u.Part, u.Parts = bounded(1<<20), bounded(1<<20)
	n := bounded(maxUsageBuckets)
	if bad || n*19 > len(data) {
		return u, errUsage
	}
	u.Buckets = make([]UsageBucket, n)
	for i := range u.Buckets {
		k := &u.Buckets[i]
		copy(k.Hash[:], take(16))
		k.N, k.Window = int64(number()), int64(number())
		values := bounded(maxUsageValues<<1 | 1)
		if k.Seen = values&1 != 0; bad || values>>1*8 > len(data) {
			return u, errUsage
		}
		if values >>= 1; values > 0 {
			k.Values = make([]uint64, values)
			for j := range k.Values {
				k.Values[j] = binary.BigEndian.Uint64(take(8))
			}
		}
	}
	if bad || len(data) > 0 {
		return u, errUsage
	}
	return u, nil
}
