package gateway

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"andon/order"
	"andon/wire"
)

// What is kept of system prompts. Texts are the default: evidence that was not
// kept cannot be had afterwards, and what is kept stays in memory, bounded, until
// a person has a snapshot taken. Who must not keep what callers write says digests.
const (
	promptsOff    = "off"
	promptDigests = "digests"
	promptTexts   = "texts"
)

const (
	maxPrompts     = order.MaxSnapshotPrompts
	maxPromptText  = order.MaxSnapshotPrompt
	maxPromptBytes = 64 << 20       // texts of all models of a gateway
	newPrompts1s   = 16             // prompts of a model that are taken up in one second
	promptOld      = 24 * time.Hour // one not seen for so long makes room first
)

// prompts are the system prompts that the calls of one model have used lately: at
// most maxPrompts different ones. A call that uses a known one costs a hash, a
// look into a map that nobody changes, and two atomic writes; it waits for
// nobody. One that brings a new one takes it up if no other does at that moment,
// and not too many came in the same second; else it is only counted.
type prompts struct {
	texts bool
	room  *atomic.Int64 // bytes that all models may still keep
	seed  maphash.Seed
	known atomic.Pointer[map[uint64]*prompt] // never changed: replaced

	seen    atomic.Int64
	unknown atomic.Int64
	full    atomic.Int64 // second, Unix, in which no more are taken up

	mu      sync.Mutex // held, and never waited for, to take one up
	second  int64      // of fresh
	fresh   int        // taken up in it
	evicted atomic.Int64
}

// prompt is one. All but the counts is fixed.
type prompt struct {
	sum    string // hex SHA-256 of the text, or of its head
	text   []byte // nil: not kept
	why    string // then
	bytes  int    // of the whole
	api    string
	first  time.Time
	charge int64 // of room

	count atomic.Int64
	last  atomic.Int64 // Unix seconds
}

func newPrompts(keep string, room *atomic.Int64) *prompts {
	if keep == promptsOff {
		return nil
	}
	p := &prompts{texts: keep == promptTexts, room: room, seed: maphash.MakeSeed()}
	p.known.Store(&map[uint64]*prompt{})
	return p
}

// note counts the system texts of a call: the regions of a body. It is on the
// decision path.
func (p *prompts) note(api string, body []byte, at []wire.Region) {
	if p == nil || len(at) == 0 {
		return
	}
	now := time.Now()
	for _, r := range at {
		if r.Start < 0 || r.Start >= r.End || r.End > len(body) {
			continue
		}
		p.one(api, body[r.Start:r.End], now)
	}
}

func (p *prompts) one(api string, text []byte, now time.Time) {
	p.seen.Add(1)
	head := text
	if len(text) > maxPromptText {
		head = text[:maxPromptText]
		for len(head) > 0 && !utf8.RuneStart(text[len(head)]) { // not within a character
			head = head[:len(head)-1]
		}
	}
	key := maphash.Bytes(p.seed, head) ^ uint64(len(text))*0x9E3779B97F4A7C15
	sec := now.Unix()
	x := (*p.known.Load())[key]
	if x == nil {
		if p.full.Load() == sec || !p.mu.TryLock() {
			p.unknown.Add(1)
			return
		}
		x = p.takeUpLocked(key, api, head, len(text), now)
		p.mu.Unlock()
		if x == nil {
			p.unknown.Add(1)
			return
		}
	}
	x.count.Add(1)
	if x.last.Load() != sec {
		x.last.Store(sec)
	}
}

// takeUpLocked makes a prompt known. It returns nil if too many are new.
func (p *prompts) takeUpLocked(key uint64, api string, head []byte, size int, now time.Time) *prompt {
	known := *p.known.Load()
	if x := known[key]; x != nil { // another call was first
		return x
	}
	sec := now.Unix()
	if p.second != sec {
		p.second, p.fresh = sec, 0
	}
	if p.fresh++; p.fresh > newPrompts1s {
		p.full.Store(sec)
		return nil
	}
	next := maps.Clone(known)
	if len(next) >= maxPrompts {
		old := p.oldest(next, sec)
		p.room.Add(next[old].charge)
		delete(next, old)
		p.evicted.Add(1)
	}
	sum := sha256.Sum256(head)
	x := &prompt{sum: hex.EncodeToString(sum[:]), bytes: size, api: api, first: now.UTC()}
	switch n := int64(len(head)); {
	case !utf8.Valid(head):
		x.why = "it is not UTF-8"
	case !p.texts:
		x.why = "this gateway keeps digests alone (gateway.system_prompts)"
	case p.room.Add(-n) < 0:
		p.room.Add(n)
		x.why = "the gateway had no more room for texts"
	default:
		x.text, x.charge = bytes.Clone(head), n
	}
	next[key] = x
	p.known.Store(&next)
	return x
}

// oldest is the prompt that makes room: one not seen for a day, else one that was
// seen once, else any; of these the one seen the longest ago. So a flood of
// prompts that never come again pushes out its own.
func (p *prompts) oldest(known map[uint64]*prompt, now int64) uint64 {
	var out uint64
	rank, last := 3, int64(0)
	for key, x := range known {
		r, l := 2, x.last.Load()
		switch {
		case now-l > int64(promptOld/time.Second):
			r = 0
		case x.count.Load() <= 1:
			r = 1
		}
		if r < rank || r == rank && l < last {
			out, rank, last = key, r, l
		}
	}
	return out
}

// report lists the prompts, the most used first, with texts of at most room bytes.
func (p *prompts) report(model string, room *int) order.SnapshotPrompts {
	out := order.SnapshotPrompts{Model: model, Seen: p.seen.Load(), Unknown: p.unknown.Load(), Evicted: p.evicted.Load(), Prompts: []order.SnapshotPrompt{}}
	known := slices.Collect(maps.Values(*p.known.Load()))
	slices.SortFunc(known, func(a, b *prompt) int {
		return cmp.Or(cmp.Compare(b.count.Load(), a.count.Load()), cmp.Compare(a.sum, b.sum))
	})
	for _, x := range known {
		v := order.SnapshotPrompt{SHA256: x.sum, Bytes: x.bytes, Cut: x.bytes > maxPromptText, API: x.api, Count: x.count.Load(),
			First: x.first, Last: time.Unix(x.last.Load(), 0).UTC(), Text: string(x.text), Why: x.why}
		// As JSON within JSON a text can take twice its bytes, and more.
		if cost := 2*len(v.Text) + 512; cost > *room {
			v.Text, v.Why = "", "the answer had no more room for texts"
		} else {
			*room -= cost
		}
		out.Prompts = append(out.Prompts, v)
	}
	return out
}
