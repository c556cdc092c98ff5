// Package sim is a simulated model provider: a program that speaks the wires of
// OpenAI, Anthropic and Gemini from one root, says harmless deterministic
// things at a chosen pace, and remembers what it was asked.
//
// It promises three things that a real provider does not. The same request
// gets the same words, and the identifiers follow the request's number since
// the last reset, so answers can be compared byte by byte. It stops generating
// the moment its client goes away and says so: GET /_sim/active counts what is
// open, GET /_sim/requests tells how each request ended, and both are true by
// the time a client has read the end of its answer. And it can be told, in the
// last user message, how to behave: how long, how fast, which error, which
// tool, where to break off (see Directive).
//
// A Sim is safe for concurrent use. Any key is accepted, any model answers.
// Where a provider would read the last of two equal JSON names, so does the
// simulation: it is what a gateway in front of it must not be fooled by.
package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where a Sim listens and what it keeps. The zero value is usable.
type Config struct {
	// Listen is the TCP address, host:port. Empty means a free port on
	// 127.0.0.1; see [Sim.Addr].
	Listen string
	TLS    *tls.Config // of the listener; nil: plaintext

	// Logger receives start and stop and handler failures, never prompt text.
	// Nil discards.
	Logger *slog.Logger

	// Journal is how many requests are kept for GET /_sim/requests, the oldest
	// dropped first. 0 means 10,000; below 0 none are kept.
	Journal int

	// JournalBytes bounds the request bodies kept. 0 means 64 MiB.
	JournalBytes int64

	// MaxBody bounds a request body, in bytes; a larger one is answered with
	// 413 in the wire's shape. 0 means 32 MiB.
	MaxBody int64

	// Models are listed by the model routes. Nil means sim-large and
	// sim-small. Requests for other models are answered all the same.
	Models []string

	// Now is the clock of timestamps in answers and in the journal; pace
	// follows real time. Nil means time.Now.
	Now func() time.Time
}

// Sim is one simulated provider.
type Sim struct {
	cfg     Config
	log     *slog.Logger
	journal *journal
	shelf   shelf

	streams atomic.Int64 // streams open now
	plain   atomic.Int64 // plain calls being answered now
	served  atomic.Int64 // model calls taken up since the start, refused ones left out

	sockets sync.WaitGroup // realtime sessions, which an http.Server does not wait for

	ln   net.Listener
	srv  *http.Server
	stop func()        // ends every open call
	done chan struct{} // closed when the accept loop has ended
}

// New checks the configuration. It does not listen yet.
func New(cfg Config) (*Sim, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if _, _, err := net.SplitHostPort(cfg.Listen); err != nil {
		return nil, fmt.Errorf("read listen address %q: %w", cfg.Listen, err)
	}
	if cfg.JournalBytes < 0 || cfg.MaxBody < 0 {
		return nil, errors.New("read bounds: journal bytes and largest body must not be negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Journal == 0 {
		cfg.Journal = 10_000
	}
	if cfg.JournalBytes == 0 {
		cfg.JournalBytes = 64 << 20
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 32 << 20
	}
	if cfg.Models == nil {
		cfg.Models = []string{"sim-large", "sim-small"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Sim{cfg: cfg, log: cfg.Logger, journal: newJournal(cfg.Journal, cfg.JournalBytes)}, nil
}

// Start listens and serves until Stop; it returns once connections are
// accepted. HTTP/1.1 and HTTP/2 without TLS share the port. The context bounds
// the listening alone. A Sim starts once.
func (s *Sim) Start(ctx context.Context) error {
	if s.srv != nil {
		return errors.New("start sim: already started")
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for sim: %w", err)
	}
	base, stop := context.WithCancelCause(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.ln, s.stop, s.done = ln, func() { stop(errStopped) }, make(chan struct{})
	s.srv = &http.Server{
		Handler:     s.Handler(),
		Protocols:   protocols,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// Thousands of streams may share one HTTP/2 connection. No write
		// timeout: it would end long streams.
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100_000},
		ReadHeaderTimeout: 30 * time.Second,
	}
	if s.cfg.TLS != nil {
		s.srv.TLSConfig = s.cfg.TLS
		protocols.SetHTTP2(true)
	}
	// Without its own goroutine the accept loop would block Start for ever.
	go func() {
		defer close(s.done)
		serve := s.srv.Serve
		if s.cfg.TLS != nil {
			serve = func(l net.Listener) error { return s.srv.ServeTLS(l, "", "") }
		}
		if err := serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("sim stopped accepting", "error", err)
		}
	}()
	s.log.Info("sim listening", "addr", s.Addr())
	return nil
}

// Addr is the address listened on, host:port; empty before Start.
func (s *Sim) Addr() string {
	if s.ln == nil {
		return ""
	}
	return s.ln.Addr().String()
}

// URL is the root of every wire, without a trailing slash; OpenAI clients add /v1.
func (s *Sim) URL() string {
	if s.cfg.TLS != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Stop ends every open call abruptly, closes the listener and waits for the
// handlers, at most until ctx ends. It is a no-op before Start.
func (s *Sim) Stop(ctx context.Context) error {
	if s.srv == nil {
		return nil
	}
	s.stop()
	err := s.srv.Shutdown(ctx)
	if err != nil {
		s.srv.Close()
		err = fmt.Errorf("stop sim: %w", err)
	}
	<-s.done
	s.sockets.Wait()
	s.log.Info("sim stopped")
	return err
}

// Handler serves every wire and /_sim, for use below a server of one's own;
// client-gone detection then rests on that server's request contexts.
func (s *Sim) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Active is what GET /_sim/active tells: streams open and plain calls waiting now.
func (s *Sim) Active() (streams, plain int64) { return s.streams.Load(), s.plain.Load() }
