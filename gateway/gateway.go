// Package gateway is the data plane: it stands between callers and model
// providers, decides every request under the order in force, and ends running
// ones when a new order forbids them.
//
// What it promises:
//   - Nothing on the path of a request waits for the control plane, a database
//     or the bus. What is in force hangs on one pointer.
//   - What touches no request changes no byte of it, in either direction.
//   - A call is registered before it is decided, and a new order is swapped in
//     before the running calls are swept: so no call slips through between.
//   - A cut stream ends with the wire's own error event, at an event boundary;
//     the provider's side is closed right after it.
//   - It starts with the last order it kept, enforcing it, whatever else is down.
//     Without any valid order it serves nothing.
//   - When its lease runs out, each model takes its declared posture.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"andon/correction"
	"andon/gateway/filter"
	"andon/gateway/front"
	"andon/gateway/limit"
	"andon/gateway/record"
	"andon/gateway/upstream"
)

// Gateway is one enforcement point.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	boot     string // prefix of request ids, new for each process
	requests atomic.Uint64
	current  atomic.Pointer[ruling]
	models   map[string]*model // by name
	names    map[string]*model // by name, alias, version and what the provider calls them
	accounts map[string]*model // by wire: the account that routes without a model reach
	order    []*model          // as configured
	hosts    map[string]*upstream.Host
	geo      *geo // nil: no database

	countryHeader string // canonical; empty: none is believed
	clock         *clock
	lease         lease
	live          registry
	patience      time.Duration // see the constant
	limits        *limit.Limiter
	counted       usage
	autonomy      autonomy
	sessions      *sessions
	works         *works
	holds         holds
	detectors     map[string]filter.Scorer
	decisions     decisions
	pseudo        *record.Pseudonyms
	recorder      *record.Recorder // nil: nothing is recorded
	metrics       *metrics
	agent         *agent
	acknowledging turns
	linked        linkedSeen
	looker        looker
	promptRoom    atomic.Int64 // bytes of system prompts that may still be kept
	captures      captures

	data, admin net.Listener
	servers     []server
	stop        context.CancelFunc
	running     sync.WaitGroup
}

// New checks the configuration and reads what is kept on disk. Nothing listens
// or dials before Start.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	var id [4]byte
	rand.Read(id[:])
	g := &Gateway{cfg: cfg, log: cfg.Logger.With("gateway", cfg.Name), boot: "r-" + hex.EncodeToString(id[:]) + "-",
		models: map[string]*model{}, names: map[string]*model{}, accounts: map[string]*model{}, hosts: map[string]*upstream.Host{}, limits: limit.New(), sessions: newSessions(), patience: patience}
	g.promptRoom.Store(maxPromptBytes)
	if err := g.addModels(); err != nil {
		return nil, err
	}
	g.countryHeader = http.CanonicalHeaderKey(cfg.CountryHeader)
	var err error
	if g.geo, err = openGeo(cfg.GeoIP); err != nil {
		return nil, fmt.Errorf("create gateway: %w", err)
	}
	if err := g.startRecord(); err != nil {
		return nil, err
	}
	if g.detectors, err = newDetectors(cfg.Detectors); err != nil {
		return nil, fmt.Errorf("create gateway: %w", err)
	}
	g.lease.end()
	g.captures.places = len(g.order) + 1
	a, err := newAgent(g)
	if err != nil {
		return nil, fmt.Errorf("create gateway: %w", err)
	}
	g.agent = a
	if err := g.openWorks(); err != nil {
		return nil, fmt.Errorf("create gateway: %w", err)
	}
	g.clock = newClock(time.Now, a.follower.State().IssuedAt)
	g.openUsage()
	g.metrics = newMetrics(g)
	g.openLooker()
	g.looker.measure(g.metrics.registry)
	if a.synced {
		rl, err := compile(a.follower.State(), a.follower.Emergencies(), nil, a.lists.resolve(a.follower.State().Lists, nil))
		if err != nil {
			return nil, fmt.Errorf("create gateway: kept order: %w", err)
		}
		rl.screens = g.newScreens(rl, nil)
		g.current.Store(rl)
	}
	return g, nil
}

// Start listens, and follows the control plane if there is one.
func (g *Gateway) Start(ctx context.Context) error {
	var err error
	if g.data, err = net.Listen("tcp", g.cfg.Listen); err != nil {
		return fmt.Errorf("start gateway: %w", err)
	}
	if g.admin, err = net.Listen("tcp", g.cfg.Admin); err != nil {
		g.data.Close()
		return fmt.Errorf("start gateway: admin: %w", err)
	}
	if err := g.follow(ctx); err != nil {
		g.data.Close()
		g.admin.Close()
		return fmt.Errorf("start gateway: %w", err)
	}
	data := &front.Server{Handler: g, Log: g.log, TLS: g.cfg.TLS}
	admin := &http.Server{Handler: g.adminHandler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug)}
	admin.TLSConfig = g.cfg.AdminTLS
	g.servers = []server{data, admin}
	g.spawn(func() { g.serve(data, g.data) })   // the callers
	g.spawn(func() { g.serve(admin, g.admin) }) // health, metrics, emergency orders
	return nil
}

// follow does everything but listen: it obeys orders from the bus and from
// files, renews the lease, and tidies up.
func (g *Gateway) follow(ctx context.Context) error {
	ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	if g.cfg.Bus != nil {
		if err := g.agent.listen(g.cfg.Bus); err != nil {
			g.stop()
			return err
		}
		if _, err := g.holds.listen(g, g.cfg.Bus); err != nil {
			g.stop()
			return err
		}
		if err := g.listenUsage(g.cfg.Bus); err != nil {
			g.stop()
			return err
		}
		if err := g.listenWorks(g.cfg.Bus); err != nil {
			g.stop()
			return err
		}
		if err := g.listenPeers(g.cfg.Bus); err != nil {
			g.stop()
			return err
		}
		g.spawn(func() { g.share(ctx, g.cfg.Bus) })       // without it each gateway counts alone
		g.spawn(func() { g.agent.renew(ctx, g.cfg.Bus) }) // without it the lease runs out
		g.spawn(func() { g.vouch(ctx, g.cfg.Bus) })       // without it nobody notices a ledger that was rewritten
	}
	g.spawn(func() { g.account(ctx) })                       // without it counts are lost at a restart, and sessions never end
	g.spawn(func() { g.agent.run(ctx) })                     // without it no order takes force
	g.spawn(func() { g.recorder.Run(ctx) })                  // without it no call is recorded
	g.spawn(func() { g.tendWorks(ctx) })                     // without it no batch is cancelled
	g.spawn(func() { g.tidy(ctx) })                          // without it idle connections and buckets pile up
	g.spawn(func() { g.watchDrop(ctx, emergencyDropEvery) }) // emergency orders from files
	return nil
}

func (g *Gateway) spawn(f func()) {
	g.running.Add(1)
	go func() {
		defer g.running.Done()
		f()
	}()
}

type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

func (g *Gateway) serve(s server, l net.Listener) {
	serve := s.Serve
	if h, ok := s.(*http.Server); ok && h.TLSConfig != nil {
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		g.log.Error("listener failed", "address", l.Addr().String(), "error", err)
	}
}

// tidy forgets what nobody uses any more.
func (g *Gateway) tidy(ctx context.Context) {
	t := time.NewTicker(30 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, h := range g.hosts {
			h.Prune()
		}
		if g.geo != nil {
			if changed, err := g.geo.refresh(); err != nil {
				g.log.Error("country database not taken in; the one before goes on", "error", err)
			} else if changed {
				g.log.Info("country database taken in", "file", g.cfg.GeoIP)
			}
		}
		if rl := g.current.Load(); rl != nil {
			inForce := map[string]bool{}
			rl.policy.Each(func(r *correction.Rule) bool {
				inForce[r.Correction.ID] = true
				return true
			})
			g.limits.Sweep(g.limits.Now(g.clock.mono()), func(id string) bool { return inForce[id] })
		}
	}
}

// Addr is the data listener's address, once started.
func (g *Gateway) Addr() string { return g.data.Addr().String() }

// AdminAddr is the admin listener's address, once started.
func (g *Gateway) AdminAddr() string { return g.admin.Addr().String() }

// Stop ends the gateway: no new calls, running ones may finish until ctx ends,
// then they are broken off.
func (g *Gateway) Stop(ctx context.Context) error {
	var errs []error
	for _, s := range g.servers {
		if err := s.Shutdown(ctx); err != nil {
			s.Close()
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				errs = append(errs, err)
			}
		}
	}
	if g.stop != nil {
		g.stop()
	}
	g.running.Wait()
	for _, h := range g.hosts {
		h.CloseIdle()
	}
	return errors.Join(errs...)
}

// all visits every call that runs.
func (r *registry) all(visit func(*call)) {
	for i := range r.shards {
		r.each(i, visit)
	}
}

// Ready reports whether the gateway enforces a valid order, and why not.
func (g *Gateway) Ready() (bool, string) {
	if g.current.Load() == nil {
		return false, "no valid order yet"
	}
	return true, ""
}
