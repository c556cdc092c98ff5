// Package record keeps what a gateway has decided lately, so that the effect of
// a correction can be computed before it is applied.
//
// What it promises:
//   - It is bounded: at most Config.Requests records of 96 bytes, none older than
//     Config.Keep, and 32 MiB for what records have in common. The oldest make
//     room; what had no room at all is counted as lost.
//   - It is pseudonymous: end users and addresses are kept only under a key
//     (see [Pseudonyms]). No prompt, no answer and no secret is kept. Orgs, ids of
//     keys, tiers and verified attributes are kept as they are: corrections and
//     dependants are named by them.
//   - It costs the path of a request one copy into a queue without locks. What
//     is slow (pseudonyms, interning, the disk) is done by a goroutine of its own.
//   - A restart loses at most the last second. A damaged file loses what stands
//     behind the damage, and nothing else.
//   - Preview asks the very policy that would enforce (correction.Policy.Decide,
//     gateway/limit), once for each record.
//
// A nil *Recorder records nothing and knows nothing.
package record

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"andon/correction"
)

// Config says how much is kept, and where.
type Config struct {
	Requests int           // at most; 1,024 to 1 Mi, default 256 Ki
	Keep     time.Duration // at most; default 24h
	Dir      string        // "" keeps nothing on disk
	Log      *slog.Logger
	Now      func() time.Time // default time.Now
}

// Bounds of Config.Requests.
const (
	MinRequests     = 1 << 10
	MaxRequests     = 1 << 20
	DefaultRequests = 1 << 18
	DefaultKeep     = 24 * time.Hour
)

// Outcome is how a call ended.
type Outcome uint8

// The outcomes.
const (
	Served   Outcome = iota
	Fallback         // another model answered instead
	Refused          // by a correction, a posture or a revoked key
	Limited          // by a rate correction
	Cut              // while it ran
	Broken           // its client or its provider went away
)

// Call is what a gateway tells of one call once it has ended. Request holds the
// facts that were decided on, for the model that was asked for. Nobody may write
// to what it refers to afterwards.
type Call struct {
	Request       correction.Request
	Others        []string // further models that the body let the provider use
	Served        string   // the model that answered instead; "" if none did
	ServedVersion string
	At            time.Time
	Took          time.Duration
	Outcome       Outcome
	Input, Output int64 // tokens that the provider reported; 0: not known
	ToolCalls     int64 // in the answer
}

// Recorder is the record of one gateway. Add may be called at any time by any
// number of goroutines; so may Preview.
type Recorder struct {
	cfg   Config
	names *Pseudonyms
	queue *xsync.MPMCQueue[Call]
	awake atomic.Bool
	wake  chan struct{}
	lost  atomic.Int64 // calls that had no room

	mu       sync.Mutex // held by the worker for a batch, and to take a view
	segments []*segment // oldest first; the last one grows
	total    int
	table    table
	users    map[string]alias // pseudonyms that were needed lately
	addrs    [256]addrAlias   // likewise of addresses, by their last byte
	files    *files           // nil: nothing is kept on disk
}

const (
	queued   = 1 << 13               // calls that wait for the worker
	gather   = 50 * time.Millisecond // how long it lets them gather
	parts    = 32                    // segments of a full record
	keepUser = 1 << 16               // pseudonyms remembered
)

// New makes a record, and reads what Config.Dir holds of the one before.
func New(cfg Config, names *Pseudonyms) *Recorder {
	if cfg.Requests <= 0 {
		cfg.Requests = DefaultRequests
	}
	cfg.Requests = min(max(cfg.Requests, MinRequests), MaxRequests)
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Recorder{cfg: cfg, names: names, queue: xsync.NewMPMCQueue[Call](queued), wake: make(chan struct{}, 1),
		table: newTable(), users: map[string]alias{}}
	if cfg.Dir != "" {
		r.open()
	}
	return r
}

// Add records a call. It waits for nothing: without room the call is lost, and
// counted.
func (r *Recorder) Add(c *Call) {
	if r == nil {
		return
	}
	if !r.queue.TryEnqueue(*c) {
		r.lost.Add(1)
	}
	if !r.awake.Load() && r.awake.CompareAndSwap(false, true) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Run takes calls in until ctx ends, and then keeps what is left.
func (r *Recorder) Run(ctx context.Context) {
	if r == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			r.drainLocked()
			r.flushLocked()
			r.closeLocked()
			return
		case <-r.wake:
		}
		pause(ctx, gather)
		r.awake.Store(false)
		r.mu.Lock()
		r.drainLocked()
		late := r.files.due(r.cfg.Now())
		if late {
			r.flushLocked()
		}
		again := r.files.waiting()
		r.mu.Unlock()
		if again && r.awake.CompareAndSwap(false, true) { // come back for what is not on disk yet
			select {
			case r.wake <- struct{}{}:
			default:
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// drainLocked takes in what waits.
func (r *Recorder) drainLocked() {
	for {
		c, ok := r.queue.TryDequeue()
		if !ok {
			break
		}
		r.takeLocked(&c)
	}
	r.expireLocked()
}

// takeLocked turns a call into a row.
func (r *Recorder) takeLocked(c *Call) {
	s := r.currentLocked()
	at, ok := r.table.intern(s, c)
	if !ok {
		r.lost.Add(1)
		return
	}
	s.rows = append(s.rows, r.rowLocked(c, at))
	r.total++
	if len(s.rows) == cap(s.rows) {
		r.sealLocked(s)
	}
}

// currentLocked is the segment that grows.
func (r *Recorder) currentLocked() *segment {
	if n := len(r.segments); n > 0 && !r.segments[n-1].sealed {
		return r.segments[n-1]
	}
	s := newSegment(r.cfg.Requests / parts)
	r.segments = append(r.segments, s)
	return s
}

func (r *Recorder) sealLocked(s *segment) {
	s.sealed, s.places = true, nil
	for r.total > r.cfg.Requests-cap(s.rows) { // room for the next one
		r.dropLocked()
	}
}

// expireLocked drops what is too old.
func (r *Recorder) expireLocked() {
	oldest := r.cfg.Now().Add(-r.cfg.Keep).UnixNano()
	for len(r.segments) > 1 && r.segments[0].newest() < oldest {
		r.dropLocked()
	}
}

func (r *Recorder) dropLocked() {
	s := r.segments[0]
	r.segments = r.segments[1:]
	r.total -= len(s.rows)
	r.table.release(s)
	r.files.drop(s, r.cfg.Log)
}

// Len is how many calls are recorded.
func (r *Recorder) Len() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// view is the record as it stands: what it refers to does not change any more.
func (r *Recorder) view() []segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drainLocked()
	v := make([]segment, 0, len(r.segments))
	for _, s := range r.segments {
		v = append(v, segment{rows: s.rows[:len(s.rows):len(s.rows)], profiles: s.profiles[:len(s.profiles):len(s.profiles)]})
	}
	return v
}
