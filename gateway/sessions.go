package gateway

import (
	"hash/maphash"
	"strconv"
	"sync/atomic"
)

// sessions remembers, by fingerprint, the conversations that this gateway has
// admitted, for stop level L1: who has begun may go on, nobody begins. A caller
// can put earlier turns into a request, but not into this memory.
//
// It is a fixed table without locks. A conversation may be forgotten when
// another falls on its place; it then counts as new, which is the safe side.
type sessions struct {
	seed  maphash.Seed
	slots [1 << 15]atomic.Uint64
}

func newSessions() *sessions { return &sessions{seed: maphash.MakeSeed()} }

func (s *sessions) add(h uint64)        { s.slots[h%uint64(len(s.slots))].Store(h) }
func (s *sessions) known(h uint64) bool { return s.slots[h%uint64(len(s.slots))].Load() == h }

// fingerprinted is how much of a first message is read for its fingerprint, in
// bytes, besides its length.
const fingerprinted = 4 << 10

// session is the fingerprint of a conversation: its caller, the model that is
// decided on, and its first message as it was sent. What a fallback has begun
// is no conversation of the model that it stood in for.
func (x *exchange) session(c *call) uint64 {
	if x.fingerprint != 0 && x.fingerprinted == c.model {
		return x.fingerprint
	}
	var h maphash.Hash
	h.SetSeed(x.g.sessions.seed)
	h.WriteString(c.model.Name)
	h.WriteByte(0)
	h.WriteString(c.req.Org)
	h.WriteByte(0)
	h.WriteString(c.req.Key)
	h.WriteByte(0)
	h.WriteString(first(c.req.Users))
	h.WriteByte(0)
	head := x.env.First[:min(len(x.env.First), fingerprinted)]
	h.Write(head)
	h.WriteString(strconv.Itoa(len(x.env.First)))
	x.fingerprint, x.fingerprinted = max(h.Sum64(), 1), c.model
	return x.fingerprint
}
