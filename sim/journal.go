package sim

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How a request ended, as the journal tells it.
const (
	endOpen     uint32 = iota // not yet
	endComplete               // answered in full, errors included
	endGone                   // the client went away first
	endCut                    // broken off as the directive asked
	endStopped                // broken off because the simulation was stopped
)

var endNames = [...]string{"", "complete", "client_gone", "cut", "stopped"}

// entry is one request received. All but the atomic fields are fixed once it is
// in the journal.
type entry struct {
	seq    uint64
	at     time.Time
	method string
	path   string // escaped, as sent
	query  string
	proto  string
	header http.Header // the server's own map; nobody writes to it any more
	body   []byte

	status atomic.Int32  // 0 until the answer begins
	tokens atomic.Int64  // said so far, over all choices
	end    atomic.Uint32 // endOpen …
}

// journal keeps the last requests in a ring, bounded in number and in bytes.
// Its lock is held for a few stores only.
type journal struct {
	mu    sync.Mutex
	ring  []*entry // nil if nothing is kept
	next  int      // where the next entry goes
	n     int      // entries kept
	bytes int64    // of the bodies kept
	most  int64    // bound on bytes
	seq   uint64   // of the last request
}

func newJournal(n int, bytes int64) *journal {
	j := &journal{most: bytes}
	if n > 0 {
		j.ring = make([]*entry, n)
	}
	return j
}

// add numbers the entry, from 1, and keeps it if anything is kept.
func (j *journal) add(e *entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.seq = j.seq
	if j.ring == nil {
		return
	}
	if j.n == len(j.ring) {
		j.dropLocked()
	}
	size := int64(len(e.body))
	for j.n > 0 && j.bytes+size > j.most {
		j.dropLocked()
	}
	if size > j.most {
		return // alone beyond the bound: only its number is kept
	}
	j.ring[j.next] = e
	j.next = (j.next + 1) % len(j.ring)
	j.n++
	j.bytes += size
}

// dropLocked forgets the oldest entry.
func (j *journal) dropLocked() {
	i := (j.next - j.n + len(j.ring)) % len(j.ring)
	j.bytes -= int64(len(j.ring[i].body))
	j.ring[i] = nil
	j.n--
}

// list returns the entries after seq, oldest first, at most limit of the newest.
func (j *journal) list(after uint64, limit int) []*entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]*entry, 0, min(j.n, limit))
	for k := max(0, j.n-limit); k < j.n; k++ {
		e := j.ring[(j.next-j.n+k+len(j.ring))%len(j.ring)]
		if e.seq > after {
			out = append(out, e)
		}
	}
	return out
}

// reset forgets everything and numbers from 1 again.
func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.ring)
	j.next, j.n, j.bytes, j.seq = 0, 0, 0, 0
}
