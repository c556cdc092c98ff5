package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// held is one live stream, read by a goroutine of its own until it ends.
type held struct {
	nc      net.Conn
	rc      syscall.RawConn
	written int64 // Unix ns at which the last bytes reached this machine's network stack; 0 if not known
	read    int64 // Unix ns at which the last bytes, or the end of the connection, were read
	typed   bool  // the terminal error event was read
	bare    bool  // the connection ended without the end of its answer
}

// crowd is many live streams at once.
type crowd struct {
	all   []*held
	ended sync.WaitGroup
	over  atomic.Bool // it may end now
	early atomic.Int64
}

var (
	typedEnd = []byte(`"code":"andon_correction"`)
	bodyEnd  = []byte("0\r\n\r\n")
)

// hold opens n streams, spread over addrs, and returns once each has delivered
// its first event.
func hold(addrs []string, req []byte, n int) (*crowd, error) {
	c := &crowd{all: make([]*held, n)}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 32)
	for w := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && errs[w] == nil; i = next.Add(1) - 1 {
				c.all[i], errs[w] = open(addrs[i%int64(len(addrs))], req)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		c.close()
		return nil, fmt.Errorf("open streams: %w", err)
	}
	for _, h := range c.all {
		c.ended.Add(1)
		go func() { // ends with the stream, or when close closes it
			defer c.ended.Done()
			h.follow()
			if !c.over.Load() {
				c.early.Add(1)
			}
		}()
	}
	return c, nil
}

func open(addr string, req []byte) (*held, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	tc, ok := c.nc.(*net.TCPConn)
	if !ok {
		return nil, errors.New("not a TCP connection")
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c.nc.SetDeadline(time.Now().Add(patience))
	if _, err := c.nc.Write(req); err != nil {
		return nil, err
	}
	h, err := c.receive()
	if err != nil {
		return nil, err
	}
	if h.status != 200 {
		return nil, c.refused(h)
	}
	if _, err := c.chunk(nil); err != nil {
		return nil, err
	}
	c.nc.SetDeadline(time.Time{})
	stampReads(rc)
	return &held{nc: c.nc, rc: rc}, nil
}

var readBuffers = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}

// follow reads a stream to its end. Only the last bytes count: when they were
// written, when they were read, and whether they end the stream in words. A
// buffer is borrowed while bytes are there, so that ten thousand streams that
// wait cost little.
func (h *held) follow() {
	var tail window
	for {
		n, stamp, err := 0, int64(0), error(nil)
		rerr := h.rc.Read(func(fd uintptr) bool {
			b := readBuffers.Get().(*[]byte)
			defer readBuffers.Put(b)
			n, stamp, err = readStamped(int(fd), *b)
			if errors.Is(err, syscall.EAGAIN) {
				return false
			}
			if n > 0 {
				h.typed = h.typed || bytes.Contains((*b)[:n], typedEnd) || tail.across((*b)[:n], typedEnd)
				tail.take((*b)[:n])
			}
			return true
		})
		h.read = time.Now().UnixNano()
		if rerr != nil || err != nil || n == 0 {
			h.bare = true
			return
		}
		h.written = stamp
		if bytes.HasSuffix(tail[:], bodyEnd) {
			return
		}
	}
}

// window is the last bytes of what was read so far.
type window [32]byte

func (w *window) take(p []byte) {
	copy(w[:], w[min(len(p), len(w)):])
	copy(w[max(0, len(w)-len(p)):], p[max(0, len(p)-len(w)):])
}

// across reports whether what stands in the window and the beginning of p.
func (w *window) across(p, what []byte) bool {
	var room [2 * len(w)]byte
	return bytes.Contains(append(append(room[:0], w[:]...), p[:min(len(p), len(w))]...), what)
}

// expectEnd says that what ends from now on may.
func (c *crowd) expectEnd() error {
	if n := c.early.Load(); n > 0 {
		return fmt.Errorf("%d streams of %d ended before the command", n, len(c.all))
	}
	c.over.Store(true)
	return nil
}

// wait waits until every stream has ended.
func (c *crowd) wait(within time.Duration) error {
	done := make(chan struct{})
	go func() { c.ended.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(within):
		return fmt.Errorf("not every stream ended within %s", within)
	}
}

// close ends what has not ended.
func (c *crowd) close() {
	c.over.Store(true)
	for _, h := range c.all {
		if h != nil {
			h.nc.Close()
		}
	}
	c.ended.Wait()
}

// endings is how a crowd ended, after some moment.
type endings struct {
	read    []time.Duration
	written []time.Duration // empty where the system does not tell
	typed   int
	bare    int
}

func (c *crowd) endings(since time.Time) (e endings) {
	at := since.UnixNano()
	for _, h := range c.all {
		e.read = append(e.read, time.Duration(h.read-at))
		if h.written > 0 && !h.bare {
			e.written = append(e.written, time.Duration(h.written-at))
		}
		if h.typed {
			e.typed++
		}
		if h.bare {
			e.bare++
		}
	}
	return e
}

// active is how many streams the simulated provider has open, as it says itself.
func active(sim string) (int, error) {
	c, err := dial(sim)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return c.active()
}

func (c *client) active() (int, error) {
	_, body, err := c.exchange([]byte("GET /_sim/active HTTP/1.1\r\nHost: sim\r\n\r\n"))
	if err != nil {
		return 0, err
	}
	var said struct {
		Active int `json:"active"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return 0, fmt.Errorf("read %q: %w", body, err)
	}
	return said.Active, nil
}

// drained waits until the provider has no stream open, and returns when it
// said so.
func drained(sim string) (time.Time, error) {
	c, err := dial(sim)
	if err != nil {
		return time.Time{}, err
	}
	defer c.close()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		n, err := c.active()
		if err != nil {
			return time.Time{}, err
		}
		if n == 0 {
			return time.Now(), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Time{}, io.ErrNoProgress
}
