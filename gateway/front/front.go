// Package front is the callers' side of the proxy loop: an HTTP/1.1 server for
// one handler, on one goroutine a connection.
//
// It exists because of what net/http's server does on every request for cases
// that a short call never meets: a second goroutine that watches for a client
// that leaves, started and stopped each time. Here that watch begins only once
// a call has taken a moment (25 ms). Requests are parsed by net/http
// (http.ReadRequest), under the checks that its server makes, and HTTP/2 is
// handed to net/http's own server.
//
// The handler gets the usual http.ResponseWriter, which is also an
// http.Flusher and takes deadlines through http.ResponseController. The
// request's context ends when the client goes away. A handler that panics with
// http.ErrAbortHandler breaks the connection off, so that no client takes what
// it has got for a whole answer.
package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Bounds of a connection. Sizes are in bytes.
const (
	maxHead     = 64 << 10         // request line and header
	headTimeout = 10 * time.Second // from a request's first byte to the end of its header
	idleTimeout = 2 * time.Minute  // between requests
	unread      = 30 * time.Second // in which a client has to read something of an answer
	watchAfter  = 25 * time.Millisecond
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// Server serves one listener.
type Server struct {
	Handler http.Handler
	Log     *slog.Logger

	mu     sync.Mutex
	conns  map[*conn]bool // true while a request is served
	closed bool
	empty  chan struct{} // closed when the last connection ends after Shutdown
	silent time.Duration // how long a client may read nothing; 0 is unread
	two    *http.Server  // HTTP/2
	twos   *handedOver
	l      net.Listener
}

// Serve accepts until the listener is closed or Shutdown is called; then it
// returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.l, s.conns, s.empty = l, map[*conn]bool{}, make(chan struct{})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	s.twos = &handedOver{addr: l.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	s.two = &http.Server{Handler: s.Handler, Protocols: protocols, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHead, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)}
	s.mu.Unlock()
	go s.two.Serve(s.twos) // ends with Shutdown
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return http.ErrServerClosed
			}
			if ne, ok := err.(net.Error); ok && ne.Timeout() || strings.Contains(err.Error(), "too many open files") {
				// Out of descriptors: what runs must go on, and will free some.
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				s.Log.Error("accept", "error", err, "again_in", pause)
				time.Sleep(pause)
				continue
			}
			return err
		}
		pause = 0
		c := &conn{s: s, nc: nc}
		if !s.track(c, false) {
			nc.Close()
			return http.ErrServerClosed
		}
		go c.serve()
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// track notes whether a connection is busy. It reports false if the connection
// should end because the server does.
func (s *Server) track(c *conn, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && !busy {
		return false
	}
	s.conns[c] = busy
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.closed && len(s.conns) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

// Shutdown stops accepting, ends idle connections, and waits for busy ones
// until ctx ends; then it breaks them off and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	if s.l == nil {
		s.mu.Unlock()
		return nil
	}
	s.l.Close()
	for c, busy := range s.conns {
		if !busy {
			c.nc.Close()
		}
	}
	if len(s.conns) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
	s.mu.Unlock()
	err := s.two.Shutdown(ctx)
	if err != nil {
		s.two.Close()
	}
	s.twos.Close()
	select {
	case <-s.empty:
		return err
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	<-s.empty
	return ctx.Err()
}

// Close breaks everything off.
func (s *Server) Close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ended)
	return nil
}

// handedOver is the listener of the HTTP/2 server: it accepts connections that
// turned out to speak HTTP/2.
type handedOver struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handedOver) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *handedOver) Addr() net.Addr { return h.addr }

// reread is a connection of which some bytes have been read already.
type reread struct {
	net.Conn
	r *bufio.Reader
}

func (c *reread) Read(p []byte) (int, error) { return c.r.Read(p) }

// conn is one HTTP/1.1 connection.
type conn struct {
	s  *Server
	nc net.Conn
	r  *bufio.Reader

	until time.Time   // its read deadline
	reads time.Time   // its write deadline, unless a handler has set one
	timed atomic.Bool // the connection has a write deadline
	left  int         // bytes that the head of a request may still take; -1 outside of a head

	watch  *time.Timer
	wmu    sync.Mutex
	state  int           // of the watch
	peeked chan struct{} // closed when the watch has ended
	parted bool          // the watch saw the client leave
	cancel context.CancelFunc
}

// States of the watch for a client that leaves.
const (
	idle = iota
	armed
	watching
)

// Read reads from the network on behalf of the bufio.Reader, within the bound
// of a head.
func (c *conn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errHeadTooLarge
	}
	if c.left > 0 && len(p) > c.left {
		p = p[:c.left]
	}
	n, err := c.nc.Read(p)
	if c.left > 0 {
		c.left -= n
	}
	return n, err
}

var errHeadTooLarge = errors.New("head too large")

func (c *conn) serve() {
	handed := false
	defer func() {
		c.s.forget(c)
		if !handed {
			c.nc.Close()
		}
	}()
	c.left = -1
	c.r = bufio.NewReaderSize(c, 4<<10)
	w := &response{c: c}
	remote := c.nc.RemoteAddr().String()
	for first := true; ; first = false {
		c.allow(idleTimeout, idleTimeout/2)
		if _, err := c.r.Peek(1); err != nil {
			return
		}
		if !c.s.track(c, true) {
			return
		}
		if first {
			// Only HTTP/2's preface begins with PRI.
			if b, err := c.r.Peek(4); err == nil && string(b) == preface[:4] {
				handed = true
				c.allow(0, 0)
				select {
				case c.s.twos.conns <- &reread{c.nc, c.r}:
				case <-c.s.twos.done:
					c.nc.Close()
				}
				return
			}
		}
		if !c.one(w, remote) || !c.s.track(c, false) {
			return
		}
	}
}

// one serves one request. It reports whether the connection can take another.
func (c *conn) one(w *response, remote string) (again bool) {
	if !c.wholeHead() {
		c.allow(headTimeout, headTimeout)
	}
	c.left = maxHead
	r, err := http.ReadRequest(c.r)
	c.left = -1
	if err == nil {
		err = valid(r)
	}
	if err != nil {
		c.refuse(err)
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.cancel = cancel
	r = r.WithContext(ctx)
	r.RemoteAddr = remote
	body := &body{c: c, r: r.Body, ended: r.Body == nil || r.Body == http.NoBody,
		expected: r.ProtoAtLeast(1, 1) && httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")}
	r.Body = body
	w.reset(r)
	if body.ended {
		c.arm()
	}
	defer func() {
		p := recover()
		whole := p == nil && w.finish() // may read the rest of the body, and so start the watch
		gone := !c.disarm()
		if p != nil {
			if p != http.ErrAbortHandler {
				c.s.Log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
			}
			again = false
			if t, ok := c.nc.(*net.TCPConn); ok && w.sent && !w.chunks && w.length < 0 {
				t.SetLinger(0) // to HTTP/1.0 an orderly end would be the answer's own
			}
			return
		}
		again = whole && !gone && body.ended && !r.Close && !w.close
		if !body.ended {
			// What is left of the body would be taken for a request. Closing at
			// once could reset the connection before the answer is read.
			lingering(c.nc)
		}
	}()
	c.s.Handler.ServeHTTP(w, r)
	return true
}

// allow gives the client until then to be heard; 0 is for ever. A deadline that
// is no more than slack away from it is left alone: moving it costs more than
// many a request. Only the goroutine that reads calls it.
func (c *conn) allow(d, slack time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
		if gap := until.Sub(c.until); !c.until.IsZero() && gap >= 0 && gap < slack {
			return
		}
	} else if c.until.IsZero() {
		return
	}
	c.until = until
	c.nc.SetReadDeadline(until)
}

// wholeHead reports whether a request's head has come in already.
func (c *conn) wholeHead() bool {
	b, _ := c.r.Peek(c.r.Buffered())
	return bytes.Contains(b, []byte("\r\n\r\n"))
}

// valid makes the checks that net/http's server makes beyond parsing.
func valid(r *http.Request) error {
	if r.ProtoMajor != 1 {
		return errors.New("unsupported protocol version")
	}
	hosts := r.Header["Host"]
	if r.ProtoAtLeast(1, 1) && r.Host == "" && len(hosts) == 0 {
		return errors.New("missing required Host header")
	}
	if r.Host != "" && !httpguts.ValidHostHeader(r.Host) {
		return errors.New("malformed Host header")
	}
	for k, vs := range r.Header {
		if !httpguts.ValidHeaderFieldName(k) {
			return errors.New("invalid header name")
		}
		for _, v := range vs {
			if !httpguts.ValidHeaderFieldValue(v) {
				return errors.New("invalid header value")
			}
		}
	}
	if r.Method == http.MethodConnect {
		return errors.New("CONNECT is not served")
	}
	return nil
}

// refuse answers what can not be read as a request, and gives up on the
// connection: nobody knows where the next one would begin.
func (c *conn) refuse(err error) {
	if ne, ok := err.(net.Error); errors.Is(err, io.EOF) || ok && ne.Timeout() || errors.Is(err, net.ErrClosed) {
		return
	}
	status := "400 Bad Request"
	if errors.Is(err, errHeadTooLarge) || strings.Contains(err.Error(), errHeadTooLarge.Error()) {
		status = "431 Request Header Fields Too Large"
	}
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	io.WriteString(c.nc, "HTTP/1.1 "+status+"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+status)
	lingering(c.nc)
}

// lingering ends the sending side and takes in for a moment what the client
// still sends: a connection closed over unread bytes is reset, and the answer
// would be lost with it.
func lingering(nc net.Conn) {
	if t, ok := nc.(*net.TCPConn); ok {
		t.CloseWrite()
		t.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		io.CopyN(io.Discard, t, 64<<20)
	}
}

// arm starts the watch for a client that leaves, once the whole request is
// read: from there on, whatever comes is the next request, or the end.
func (c *conn) arm() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.state = armed
	if c.watch == nil {
		c.watch = time.AfterFunc(watchAfter, c.look)
	} else {
		c.watch.Reset(watchAfter)
	}
}

// look waits for the client's next byte, or its end.
func (c *conn) look() {
	c.wmu.Lock()
	if c.state != armed {
		c.wmu.Unlock()
		return
	}
	c.state = watching
	ended := make(chan struct{})
	c.peeked = ended
	cancel := c.cancel
	c.allow(0, 0) // a call may take as long as it likes
	c.wmu.Unlock()
	defer close(ended)
	if _, err := c.r.Peek(1); err != nil {
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			c.parted = true
			cancel()
		}
	}
}

// disarm ends the watch. It reports false if the client has gone.
func (c *conn) disarm() bool {
	c.wmu.Lock()
	was, ended := c.state, c.peeked
	c.state = idle
	if was == armed {
		c.watch.Stop()
	}
	c.wmu.Unlock()
	if was != watching {
		return true
	}
	c.nc.SetReadDeadline(time.Unix(1, 0))
	<-ended
	c.until = time.Time{}
	c.nc.SetReadDeadline(time.Time{})
	return !c.parted
}
