// Package control is the control plane: it takes commands from operators,
// writes them into the ledger, issues the orders that gateways obey, and knows
// what each gateway really enforces.
//
// What it promises:
//
//   - A command that was answered with success is durable in the ledger; one
//     that was answered with an error has changed nothing, unless the error says
//     that its outcome is unknown.
//   - Its state is a fold over the ledger and nothing else: the same entries
//     give the same corrections, keys and orders, hash for hash, in every
//     process that reads them.
//   - Revisions only go forward. What a gateway enforces ahead of this control
//     plane raises an alarm; it is never called back.
//   - A correction counts as enforced where a gateway said so, and nowhere else.
//
// One control plane owns a ledger. All methods are safe for concurrent use.
// Gateways go on without it: when it fails, nothing that they enforce is undone.
package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/blob"
	"andon/bus"
	"andon/ledger"
	"andon/order"
	"andon/people"
	"andon/witness"
)

// Config is what a control plane needs.
type Config struct {
	Listen string     // address of the HTTP API, default 127.0.0.1:7070; port 0 picks one
	Bus    *bus.Bus   // to the gateways; nil: there are none. Its owner closes it, after Stop
	Log    ledger.Log // required. Its owner closes it, after Stop
	Lists  string     // folder for the content of named lists; "": there can be none

	Attachments string // folder for the files of incidents; "": there can be none
	Evidence    string // folder for evidence; "": there is none

	// Signer signs orders, states and leases until another key takes its place. Left
	// out, it is opened at Source. The ledger knows which key counts; where a key
	// that was chosen later is, it knows as well.
	Signer     order.Signer
	Source     string                                                 // of the first key; where to look for one that has moved
	OpenSigner func(source string, create bool) (order.Signer, error) // opens keys, and makes one in a file if it may; nil: no key takes Signer's place
	Emergency  []order.PublicKey                                      // whose emergency orders are adopted

	// Models that are served. Corrections may name these, and those that gateways
	// say they serve. While none at all is known any name is taken: a stop must
	// not fail because a list is missing.
	Models []ModelInfo

	TLS         *tls.Config // of the API; nil: plaintext
	ClientCerts bool        // operators have to present a certificate that TLS verifies

	Joining *Joining // nil: gateways come with the shared token alone
	Local   string   // the gateway in this process: it speaks in its own name; "": there is none, or it comes over the bus like any other

	People   string         // private file for password hashes, on a disk that lasts; "": passwords last as long as the process
	OIDC     *OIDC          // issuer whose people may log in; nil: there is none
	Sessions people.Span    // how long they last; default people.DefaultSpan
	StepUp   string         // StepUpFactor (default) or StepUpAlways
	Proxies  []netip.Prefix // whose X-Forwarded-For and X-Forwarded-Proto are believed

	hashing people.Params // of passwords; default people.Standard

	Lease     time.Duration       // how long a gateway is current without another beat; default 15s
	Rekeyed   *ledger.RekeyedBody // LedgerKey is another one than it was; the record says so, once
	LedgerKey string              // text of the ledger's public key, for those who verify; optional, but gateways vouch for nothing without

	Witnesses []OutsideWitness // that are asked to cosign the ledger's checkpoints; optional

	Alerts    []AlertEndpoint // that are told of alarms and pulls of the cord; optional
	AlertFile string          // where it stands up to where they were told, on a disk that lasts; "": each begins at now
	URL       string          // by which people reach the API, for links in alerts; "": links are paths

	alertRetry time.Duration // default alertRetry

	Now        func() time.Time      // default time.Now
	Logger     *slog.Logger          // default: silent
	Registerer prometheus.Registerer // additional to the control plane's own GET /metrics; optional
}

// ModelInfo is a model that corrections can name.
type ModelInfo struct {
	Name     string   `json:"name"`
	Version  string   `json:"version,omitempty"`
	Fallback string   `json:"fallback,omitempty"`
	Surfaces []string `json:"surfaces,omitempty"`
	Upstream string   `json:"upstream,omitempty"` // the provider whose credential serves it
}

// Control is a control plane.
type Control struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	started time.Time

	command sync.Mutex // held by the one command that runs; taken before mu

	mu       sync.RWMutex // guards what follows
	state    *state       // changed only by who holds command as well
	broken   error        // the fold refused what the ledger took: no more commands
	points   map[string]*point
	trackers map[uint64]*tracker // effects that are not complete, by revision
	last     []byte              // the last order, signed

	hub      *hub
	shelf    *shelf
	desk     *desk
	handler  http.Handler
	server   *http.Server
	listener net.Listener
	stops    []func() // of bus subscriptions
	wake     chan struct{}
	stopping chan struct{}
	stopOnce sync.Once
	running  sync.WaitGroup
	syncs    stateCache
	concerns concernDoor
	signers  signers
	holds    holds

	files  *blob.Store // of incidents; nil: there can be none
	filing sync.Mutex  // held while a file of an incident comes or goes; taken before command

	evidence evidenceKeeper

	complaints complaints
	seen       witnesses         // has a lock of its own
	outside    []*witness.Client // each its goroutine's
	pace       time.Duration     // between two submissions to one of them
	alerts     alerts
	rosters    rosterWatch

	clerkRests time.Time // until when the clerk writes nothing; the clerk's own
}

// New reads the whole ledger and is ready for commands, but serves nobody before
// Start. It fails if the ledger holds something that this version cannot read.
func New(cfg Config) (*Control, error) {
	if cfg.Log == nil {
		return nil, errors.New("new control plane: a ledger is missing")
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:7070"
	}
	if cfg.Lease <= 0 {
		cfg.Lease = 15 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Control{
		cfg: cfg, log: cfg.Logger, started: cfg.Now(), state: newState(),
		points: map[string]*point{}, trackers: map[uint64]*tracker{}, hub: newHub(), shelf: newShelf(cfg.Lists),
		wake: make(chan struct{}, 1), stopping: make(chan struct{}), pace: submitPace,
	}
	if err := c.readAll(context.Background()); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	err := c.openSigner()
	if err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	c.believeCA()
	c.recall()
	if err := c.recordRekeying(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	if c.metrics, err = newMetrics(c, cfg.Registerer); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	if err := c.openFiles(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	c.dropFiles()
	if err := c.openEvidence(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	c.dropDocuments()
	c.sweepEvidence()
	if err := c.openShelf(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	if err := c.newDesk(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	if err := c.openWitnesses(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	if err := c.openAlerts(); err != nil {
		return nil, fmt.Errorf("new control plane: %w", err)
	}
	c.handler = c.routes()
	return c, nil
}

// readAll folds the ledger from where the state is to its end.
func (c *Control) readAll(ctx context.Context) error {
	return c.cfg.Log.Read(ctx, c.state.size, c.cfg.Log.Size(), func(e ledger.Entry) error {
		if _, err := c.state.fold(e); err != nil {
			return fmt.Errorf("read ledger entry %d (%s): %w", e.Seq, e.Type, err)
		}
		return nil
	})
}

// recall takes up, after a restart, what only memory knew: gateways known to the
// ledger are listed until they come back or are removed, and effects not yet
// measured are looked for again.
func (c *Control) recall() {
	c.signLastLocked() // nobody else is there yet
	for name, d := range c.state.points {
		// The lease that it holds may be as young as the end of the last process.
		c.points[name] = &point{name: name, pointBody: *d, known: true, lease: c.started.Add(c.cfg.Lease + leaseSlack)}
	}
	for _, r := range c.state.list {
		if r.measured == nil && r.revision > 0 {
			c.track(r, true)
		}
	}
}

// Start listens, answers gateways, and tells them the last order. It returns
// once the API can be reached.
func (c *Control) Start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	c.listener = l
	if err := c.join(ctx); err != nil {
		l.Close()
		c.leave()
		return fmt.Errorf("start control plane: %w", err)
	}
	c.server = &http.Server{
		Handler:           c.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute, // event streams set their own for each write
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelWarn),
	}
	c.running.Go(func() { // without it nobody reaches the API
		serve := c.server.Serve
		if c.cfg.TLS != nil {
			c.server.TLSConfig = c.cfg.TLS
			serve = func(l net.Listener) error { return c.server.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("control API ended", "error", err)
		}
	})
	c.running.Go(c.keepSigning)  // without it a key elsewhere signs for a day and no longer
	c.running.Go(c.keepEvidence) // without it evidence that is due is never taken
	c.running.Go(c.clerk)        // without it effects are not recorded and expired corrections stay in the order
	c.mu.RLock()
	revision, entries, erased := c.state.revision, c.state.size, c.state.allErased()
	c.mu.RUnlock()
	c.running.Go(c.keepRetention) // without it nothing is erased when its time is over
	c.running.Go(c.keepWitnesses) // without it nobody else learns who has vouched for the ledger
	for _, w := range c.outside {
		c.running.Go(func() { c.submit(w) }) // without it this witness sees nothing
	}
	for _, e := range c.alerts.ends {
		c.running.Go(func() { c.deliver(e) }) // without it this endpoint is told nothing
	}
	c.running.Go(func() { c.finishErasures(erased) }) // without it an erasure that a crash interrupted stays half done
	c.log.Info("control plane started", "listen", c.Addr(), "revision", revision, "ledger_entries", entries, "key", c.OrderKey().String())
	return nil
}

// Addr is where the API listens, host:port; "" before Start.
func (c *Control) Addr() string {
	if c.listener == nil {
		return ""
	}
	return c.listener.Addr().String()
}

// Synced reports whether a point has said that it enforces the newest order. If
// not, why says where it stands, and hope whether it is on its way there.
func (c *Control) Synced(point string) (synced, hope bool, why string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, now := c.points[point], c.cfg.Now()
	if p == nil || p.seen.IsZero() {
		return false, true, "the control plane has not heard of it"
	}
	state := p.state(now, c.state.revision)
	why = fmt.Sprintf("%s, revision %d of %d", state, p.revision, c.state.revision)
	if text := p.trouble(now); text != "" {
		why += ": " + text
	}
	return state == pointSynced, state != pointRefused, why
}

// Handler is the HTTP API, for those who bring their own listener.
func (c *Control) Handler() http.Handler { return c.handler }

// Stop ends what Start began. Commands that have begun are carried through;
// event streams end; ctx bounds the wait for requests still running. It does not
// close the bus or the ledger.
func (c *Control) Stop(ctx context.Context) error {
	first := false
	c.stopOnce.Do(func() { first = true; close(c.stopping) })
	if !first {
		return nil
	}
	var err error
	if c.server != nil {
		if err = c.server.Shutdown(ctx); err != nil {
			err = errors.Join(fmt.Errorf("stop control plane: %w", err), c.server.Close())
		}
	}
	c.leave()
	c.running.Wait()
	c.command.Lock() // whoever was running a command is done now
	defer c.command.Unlock()
	if kerr := c.desk.close(c.cfg.Now()); kerr != nil {
		c.log.Warn("when sessions were last used is not kept; they end the earlier", "error", kerr)
	}
	return err
}

// nudge wakes the clerk.
func (c *Control) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// early is the earliest time that it can be now. Ends are judged by it, so that
// a wall clock that jumps ahead does not end a correction: the monotonic clock
// does not jump with it.
func (c *Control) early() time.Time {
	now := c.cfg.Now()
	mono := c.started.Round(0).Add(now.Sub(c.started))
	if now = now.Round(0); mono.Before(now) {
		return mono.UTC()
	}
	return now.UTC()
}
