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
// With TLS, what a client negotiates decides between the two. A connection that is
// broken off ends without TLS's farewell: to the client it is cut short, and never
// at its end.
//
// The handler gets the usual http.ResponseWriter, which is also an
// http.Flusher and takes deadlines through http.ResponseController. The
// request's context ends when the client goes away. A handler that panics with
// http.ErrAbortHandler breaks the connection off, so that no client takes what
// it has got for a whole answer.
package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
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
	TLS     *tls.Config // nil: plaintext

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
	config := s.TLS
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
	}
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
		c := &conn{s: s, nc: nc, raw: nc}
		if config != nil {
			c.nc = tls.Server(nc, config)
		}
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
			c.raw.Close() // TLS would wait for its own farewell
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
		c.raw.Close()
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
