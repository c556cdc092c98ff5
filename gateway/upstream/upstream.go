// Package upstream is the provider side of the proxy loop: an HTTP/1.1 client
// that does its work on the caller's goroutine.
//
// Each exchange owns one connection from the moment it is taken until it is
// given back or closed, so that whoever wants to end the exchange can do so at
// once, from any goroutine, by interrupting that connection. Connections are
// kept for reuse in slots taken and filled with single atomic operations: no
// lock is shared by requests.
//
// A Host is safe for concurrent use; a Conn belongs to one exchange, save for
// Interrupt and Close, which anyone may call.
package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	slots       = 256              // kept connections a host
	dialTimeout = 10 * time.Second // to connect and to shake hands
	idleFor     = 55 * time.Second // below the 60 s after which common servers close
	readBuffer  = 8 << 10
	resetWithin = 2 * time.Second // later, a provider that hangs up may have worked on the request
	maxHead     = 64 << 10        // bytes of status line and header of an answer
)

// ErrReset reports that a reused connection had been closed by the provider
// before it answered a byte: the exchange may be tried on a new one.
var ErrReset = errors.New("upstream closed an idle connection")

// Host is one provider address.
type Host struct {
	Name   string // Host header
	Prefix string // path prefix of the base URL, without a trailing slash

	addr string
	tls  *tls.Config

	// DialContext connects; a test may set it before the first exchange.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	kept [slots]atomic.Pointer[Conn]
}

// New returns the host of a base URL: http or https, host, optional port and
// path. Nothing is dialled yet.
func New(base string) (*Host, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("parse base url: %w", err)
	}
	h := &Host{Name: u.Host, Prefix: strings.TrimRight(u.EscapedPath(), "/")}
	port := u.Port()
	switch u.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
		h.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	default:
		return nil, fmt.Errorf("parse base url: scheme %q: allowed are http, https", u.Scheme)
	}
	h.addr = net.JoinHostPort(u.Hostname(), port)
	h.DialContext = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	return h, nil
}

// Believe makes the host's certificate count by these authorities, in place of
// those of the system. It is called before the first call.
func (h *Host) Believe(authorities *x509.CertPool) {
	if h.tls != nil {
		h.tls.RootCAs = authorities
	}
}

// Kept returns a live connection that an earlier exchange released, or nil.
func (h *Host) Kept() *Conn {
	for range 4 {
		c := h.take()
		if c == nil {
			return nil
		}
		if time.Since(c.keptAt) < idleFor && c.alive() {
			c.Reused = true
			return c
		}
		c.Close()
	}
	return nil
}

// Dial returns a new connection.
func (h *Host) Dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := h.DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to upstream: %w", err)
	}
	c := &Conn{host: h, raw: nc, net: nc}
	if h.tls != nil {
		tc := tls.Client(nc, h.tls)
		if err := tc.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("connect to upstream: %w", err)
		}
		c.net = tc
	}
	c.r = bufio.NewReaderSize(&limited{c: c}, readBuffer)
	return c, nil
}

func (h *Host) take() *Conn {
	at := rand.Uint32()
	for i := range uint32(slots) {
		s := &h.kept[(at+i)%slots]
		if s.Load() == nil {
			continue
		}
		if c := s.Swap(nil); c != nil {
			return c
		}
	}
	return nil
}

// CloseIdle closes the connections that are kept.
func (h *Host) CloseIdle() {
	for i := range h.kept {
		if c := h.kept[i].Swap(nil); c != nil {
			c.Close()
		}
	}
}

// Prune closes kept connections that have been idle for too long.
func (h *Host) Prune() {
	for i := range h.kept {
		c := h.kept[i].Swap(nil)
		if c == nil {
			continue
		}
		if time.Since(c.keptAt) >= idleFor || !c.alive() || !h.kept[i].CompareAndSwap(nil, c) {
			c.Close()
		}
	}
}

// Conn is one connection, in use by one exchange.
type Conn struct {
	Reused bool

	host   *Host
	raw    net.Conn // TCP
	net    net.Conn // TCP or TLS
	r      *bufio.Reader
	keptAt time.Time
	closed atomic.Bool
	broken atomic.Bool // interrupted: must not be reused
	head   int         // bytes that the head of an answer may still take; -1 when reading a body
	got    bool        // a byte of the answer has arrived
	sentAt time.Time   // when the last request began to go out
}

// limited bounds the head of an answer: a provider that never ends it must not
// fill the memory.
type limited struct{ c *Conn }

func (l *limited) Read(p []byte) (int, error) {
	if l.c.head == 0 {
		return 0, errors.New("answer head exceeds 64 KiB")
	}
	if l.c.head > 0 && len(p) > l.c.head {
		p = p[:l.c.head]
	}
	n, err := l.c.net.Read(p)
	if n > 0 {
		l.c.got = true
		if l.c.head > 0 {
			l.c.head -= n
		}
	}
	return n, err
}

// Send writes the head and the body of a request. Small ones go out in one
// write; head must have room to grow, and is returned as it was.
func (c *Conn) Send(head, body []byte) error {
	var err error
	c.sentAt = time.Now()
	switch {
	case len(body) == 0:
		_, err = c.net.Write(head)
	case cap(head)-len(head) >= len(body):
		_, err = c.net.Write(append(head, body...))
	default:
		bufs := net.Buffers{head, body}
		_, err = bufs.WriteTo(c.net)
	}
	if err != nil {
		if c.Reused && !c.broken.Load() {
			return ErrReset
		}
		return fmt.Errorf("send to upstream: %w", err)
	}
	return nil
}

// post tells the parser which method the answer belongs to: none of ours is HEAD.
var post = &http.Request{Method: http.MethodPost}

// Receive reads the head of the answer. The body is the caller's to read to
// its end, on this goroutine. Interim answers (1xx) are skipped.
func (c *Conn) Receive() (*http.Response, error) {
	c.head, c.got = maxHead, false
	for {
		resp, err := http.ReadResponse(c.r, post)
		if err != nil {
			if c.Reused && !c.got && !c.broken.Load() && time.Since(c.sentAt) < resetWithin {
				return nil, ErrReset
			}
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				return nil, errors.New("receive from upstream: connection closed before an answer")
			}
			return nil, fmt.Errorf("receive from upstream: %w", err)
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 {
			if resp.StatusCode == http.StatusSwitchingProtocols {
				return nil, errors.New("receive from upstream: it switched protocols unasked")
			}
			continue
		}
		c.head = -1
		return resp, nil
	}
}

// Interrupt wakes whoever reads from or writes to the connection, with a
// timeout error. The connection can not be reused afterwards. It costs no
// system call.
func (c *Conn) Interrupt() {
	c.broken.Store(true)
	c.raw.SetDeadline(time.Unix(1, 0))
}

// Interrupted reports whether Interrupt was called.
func (c *Conn) Interrupted() bool { return c.broken.Load() }

// Close closes the connection; the provider sees it at once.
func (c *Conn) Close() {
	if c.closed.CompareAndSwap(false, true) {
		c.raw.Close()
	}
}

// Release keeps the connection for reuse. resp is the answer that was read to
// its end on it; one that forbids reuse, or leftover bytes, closes instead.
func (c *Conn) Release(resp *http.Response) {
	if resp.Close || c.broken.Load() || c.r.Buffered() > 0 || resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 {
		c.Close()
		return
	}
	c.keptAt = time.Now()
	at := rand.Uint32()
	for i := range uint32(slots) {
		if c.host.kept[(at+i)%slots].CompareAndSwap(nil, c) {
			return
		}
	}
	c.Close()
}

// alive peeks at an idle socket: a provider that has hung up, or that speaks
// unasked, makes it unfit for a request that must not be sent twice.
func (c *Conn) alive() bool {
	if c.closed.Load() || c.broken.Load() {
		return false
	}
	sc, ok := c.raw.(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	idle := false
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, e := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		idle = e == syscall.EAGAIN || e == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && idle
}
