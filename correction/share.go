package correction

import "math"

// A share takes a stable part of the subjects. It is the same on every gateway
// and after every restart, and independent between corrections:
//
//	h = FNV-1a 64 over: id of the correction, 0x00, tag, subject
//	h = h ^ h>>33; h *= 0xff51afd7ed558ccd; h ^= h>>33; h *= 0xc4ceb9fe1a85ec53; h ^= h>>33
//	inside if h>>11 < share × 2^53
//
// The subject is the first of these that is known: a user (tag 'u', folded, the first
// one of the request), the key ('k'), the org ('o'), the address ('i', its 4 or
// 16 bytes). A request of which none is known is inside: what is unknown does
// not escape.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// shareLimit is the bound under which a subject is inside: share × 2^53, and
// everything for a share of 0 (not given) or 1.
func shareLimit(share float64) uint64 {
	if share == 0 || share >= 1 {
		return math.MaxUint64
	}
	return uint64(share * (1 << 53))
}

// inShare says whether the request's subject is inside.
func inShare(id string, limit uint64, q *query) bool {
	h := hashText(fnvOffset, id) * fnvPrime // the 0x00
	r := q.r
	if user := first(r.Users); user != "" {
		h = hashText(hashByte(h, 'u'), FoldUser(user)) // another spelling stays where it is
	} else if r.Key != "" {
		h = hashText(hashByte(h, 'k'), r.Key)
	} else if r.Org != "" {
		h = hashText(hashByte(h, 'o'), r.Org)
	} else if q.ip.IsValid() {
		h = hashByte(h, 'i')
		b := q.ip.As16()
		part := b[:]
		if q.ip.Is4() {
			part = b[12:]
		}
		for _, c := range part {
			h = hashByte(h, c)
		}
	} else {
		return true
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h>>11 < limit
}

func hashByte(h uint64, b byte) uint64 { return (h ^ uint64(b)) * fnvPrime }

func hashText(h uint64, s string) uint64 {
	for i := range len(s) {
		h = hashByte(h, s[i])
	}
	return h
}
