package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"andon/correction"
	"andon/gateway/limit"
	"andon/gateway/upstream"
	"andon/wire"
)

// A call goes through these states. Only a running call can be cut, and only
// once; what ended first wins.
const (
	running int32 = iota
	cut           // a correction, a posture or a revoked key ended it
	gone          // its client went away
	done
)

var errCut = errors.New("ended by a correction")

// call is one request from the moment it is decided until its last byte.
//
// What a sweep reads (id, req, caller, model, others, wire, route) does not change while
// the call stands in the registry.
type call struct {
	id     string // of the request
	req    correction.Request
	caller *caller
	model  *model
	others []*model // further ones that the body lets the provider use: decided alike
	wire   wire.Wire
	route  wire.Route

	state  atomic.Int32
	why    atomic.Pointer[reason]
	conn   atomic.Pointer[upstream.Conn]
	cancel atomic.Pointer[context.CancelCauseFunc] // ends waiting: for a connection, or for a place under a limit
	client *http.ResponseController

	began     time.Time
	asked     *model // the model that was called, whichever answers; nil: not decided
	refusedAs string // the action, if a correction, a posture or a limit refused it

	out  sync.Mutex // held while events are written
	sink ender      // under out: where a sweep may write the end of the stream; nil if it may not
	told bool       // under out: a sweep has written it

	retryAfter time.Duration // under the limit that refused it
	end        atomic.Pointer[ending]
	shadowed   []limit.Grant // places held under shadow limits

	shard      *shard
	prev, next *call
}

// reason is why a call is refused or cut. Many calls share one.
type reason struct {
	ruling  *ruling
	refused []*correction.Rule // most severe first; nil for a posture or a key
	status  int
	code    string
	detail  string
}

// An ender writes the last bytes of an answer without waiting for anything.
type ender interface{ End(p []byte) bool }

// A waker is what wakes the goroutine of a call that was ended.
type waker struct {
	conn   *upstream.Conn
	cancel *context.CancelCauseFunc
}

func (w waker) wake() {
	if w.conn != nil {
		w.conn.Interrupt()
	}
	if w.cancel != nil {
		(*w.cancel)(errCut)
	}
}

// mark ends the call if it still runs: what comes first wins. The caller of
// mark wakes its goroutine afterwards, by the waker.
func (c *call) mark(to int32, why *reason) (waker, bool) {
	if why != nil {
		c.why.CompareAndSwap(nil, why)
	}
	if !c.state.CompareAndSwap(running, to) {
		return waker{}, false
	}
	return waker{c.conn.Load(), c.cancel.Load()}, true
}

// depart ends the call because its client has gone.
func (c *call) depart() {
	if w, ok := c.mark(gone, nil); ok {
		w.wake()
	}
}

// hold gives the call the connection by which it can be interrupted. It
// reports false if the call was ended meanwhile.
func (c *call) hold(conn *upstream.Conn) bool {
	c.conn.Store(conn)
	return c.state.Load() == running
}

// force closes what end could not wake: a goroutine that is stuck writing to
// a client which does not read must not keep the provider generating.
// It reports whether there was something to close.
func (c *call) force(now time.Time) bool {
	if c.state.Load() != cut {
		return false
	}
	if conn := c.conn.Load(); conn != nil {
		conn.Close()
	}
	c.client.SetWriteDeadline(now.Add(time.Second))
	return true
}

// registry knows every call that runs. It is split so that calls rarely meet,
// and a sweep holds a part for well under a millisecond.
type registry struct {
	turn   atomic.Uint32
	shards [64]shard
}

type shard struct {
	mu    sync.Mutex
	first *call
	n     int
	_     [64]byte // keep neighbours out of one cache line
}

// add registers a call. A call is registered before it is decided: a policy
// swapped in afterwards finds it in its sweep, one swapped in before decides it.
func (g *registry) add(c *call) {
	s := &g.shards[g.turn.Add(1)%uint32(len(g.shards))]
	s.mu.Lock()
	c.shard, c.prev, c.next = s, nil, s.first
	if s.first != nil {
		s.first.prev = c
	}
	s.first = c
	s.n++
	s.mu.Unlock()
}

func (g *registry) remove(c *call) {
	s := c.shard
	if s == nil {
		return
	}
	s.mu.Lock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		s.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	s.n--
	s.mu.Unlock()
	c.shard, c.prev, c.next = nil, nil, nil
}

// each visits the calls of shard i.
func (g *registry) each(i int, visit func(*call)) {
	s := &g.shards[i]
	s.mu.Lock()
	for c := s.first; c != nil; c = c.next {
		visit(c)
	}
	s.mu.Unlock()
}

// len is the number of calls that run.
func (g *registry) len() (n int) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		n += s.n
		s.mu.Unlock()
	}
	return n
}
