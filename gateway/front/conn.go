package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// conn is one HTTP/1.1 connection.
type conn struct {
	s   *Server
	nc  net.Conn // TCP or TLS
	raw net.Conn // TCP
	r   *bufio.Reader

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
	if t, ok := c.nc.(*tls.Conn); ok && !c.shake(t) {
		return
	}
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

// shake makes the TLS handshake. It reports whether the connection can go on.
func (c *conn) shake(t *tls.Conn) bool {
	t.SetDeadline(time.Now().Add(headTimeout))
	if err := t.Handshake(); err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && letters(plain.RecordHeader[:]) {
			io.WriteString(plain.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nThis address takes HTTPS; an HTTP request came.\n")
			lingering(plain.Conn)
		}
		c.s.Log.Debug("TLS handshake failed", "from", c.raw.RemoteAddr().String(), "error", err)
		return false
	}
	t.SetDeadline(time.Time{})
	return true
}

// letters reports whether a request in plaintext may begin so.
func letters(b []byte) bool {
	for _, x := range b {
		if x < 'A' || x > 'Z' {
			return x == ' ' && b[0] != ' '
		}
	}
	return true
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
		if w.hijack {
			if p != nil && p != http.ErrAbortHandler {
				c.s.Log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
			}
			again = false
			return
		}
		whole := p == nil && w.finish() // may read the rest of the body, and so start the watch
		gone := !c.disarm()
		if p != nil {
			if p != http.ErrAbortHandler {
				c.s.Log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
			}
			again = false
			if w.sent && !w.chunks && w.length < 0 { // to HTTP/1.0 an orderly end would be the answer's own
				if t, ok := c.raw.(*net.TCPConn); ok {
					t.SetLinger(0)
				}
				c.raw.Close()
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
	if t, ok := nc.(interface {
		net.Conn
		CloseWrite() error
	}); ok { // TCP, or TLS
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
