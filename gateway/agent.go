package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
)

// agent follows the control plane's orders. One goroutine owns the follower
// and does everything that changes what is in force: verify, compile, swap,
// sweep, keep, acknowledge. It never waits for the bus; what does (beats,
// resyncs) runs beside it and hands in what came back.
//
//	order ──► Offer ──► compile ──► swap ──► sweep ──► Persist ──► ack accepted, ack enforcing
//	            │ gap, mismatch, compile error
//	            └──► resync, and until then the last good order stays in force
type agent struct {
	g        *Gateway
	follower *order.Follower
	lists    *lists
	jobs     chan func()
	leased   bool          // the lease held when it was last looked at
	synced   bool          // a signed state was taken over, now or in an earlier life
	trouble  string        // why the last order could not be put in force, or not be kept
	unkept   int           // calls ended by an order in force that is not on disk yet; -1: all is kept
	resync   chan struct{} // asks for the full state
	keys     chan struct{} // asks for what came after the keys that are trusted
	beat     chan struct{} // asks for a beat before its time
	wake     *time.Timer   // the next moment at which time itself changes a verdict
}

func newAgent(g *Gateway) (*agent, error) {
	trust := g.cfg.Trust
	if trust.Early == nil {
		trust.Early = g.earliest
	}
	f, err := order.OpenFollower(g.cfg.Data, trust)
	if err != nil {
		return nil, err
	}
	a := &agent{g: g, follower: f, jobs: make(chan func(), 4096), unkept: -1, resync: make(chan struct{}, 1), keys: make(chan struct{}, 1), beat: make(chan struct{}, 1),
		wake: time.NewTimer(time.Hour), lists: newLists(g.cfg.Data, g.log)}
	s := f.State()
	if err := a.lists.open(s.Lists); err != nil {
		return nil, err
	}
	a.synced = s.Revision > 0 || !s.IssuedAt.IsZero()
	if err := f.Damage(); err != nil {
		g.log.Error("kept orders are damaged", "error", err, "revision", s.Revision, "lost", f.Lost())
		if f.Lost() {
			// What is missing may be a correction. Nothing is served until the
			// control plane has said what is in force.
			a.synced = false
			a.trouble = "kept orders are damaged: waiting for a full state"
		}
	}
	return a, nil
}

// run is the agent's loop. Every other goroutine of the gateway that wants
// something changed sends it here.
func (a *agent) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-a.jobs:
			job()
		case <-a.wake.C:
			a.g.sweep(a.g.current.Load())
		}
		a.schedule()
	}
}

// do runs f on the agent's goroutine and waits for it.
func (a *agent) do(ctx context.Context, f func()) error {
	finished := make(chan struct{})
	select {
	case a.jobs <- func() { f(); close(finished) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen subscribes to orders, and to the questions of the control plane.
func (a *agent) listen(b Bus) error {
	_, err := b.Subscribe(order.SubjectOrder, func(m bus.Msg) {
		received := time.Now()
		signed, checkpoint := order.CutCheckpoint(m.Data)
		select {
		case a.jobs <- func() { a.take(signed, received) }:
		default:
			a.ask(a.resync) // too many at once: one state replaces them all
		}
		a.g.looker.passes(checkpoint)
	})
	if err != nil {
		return err
	}
	if _, err = b.Subscribe(order.SubjectSuccession, func(m bus.Msg) {
		a.hand(func() { a.followKeys(m.Data) }) // a lost one is asked for once the new key signs
	}); err != nil {
		return err
	}
	if _, err = b.Subscribe(order.SubjectExplain, func(m bus.Msg) {
		var q order.ExplainRequest
		if json.Unmarshal(m.Data, &q) != nil {
			return
		}
		d := a.g.decisions.find(q.RequestID)
		if d == nil && q.All {
			d = &order.Decision{Gateway: a.g.cfg.Name}
		}
		if d == nil {
			return
		}
		if data, err := json.Marshal(d); err == nil {
			m.Respond(data)
		}
	}); err != nil {
		return err
	}
	_, err = b.Subscribe(order.SubjectLive, func(m bus.Msg) {
		if live, err := a.g.preview(m.Data); err == nil {
			if data, err := json.Marshal(live); err == nil {
				m.Respond(data)
			}
		}
	})
	if err == nil {
		_, err = b.Subscribe(order.Named(order.SubjectSnapshot, a.g.cfg.Name), a.snapshot)
	}
	b.OnGap(func(error) { a.ask(a.resync) })
	b.OnReconnect(func() { a.ask(a.resync); a.ask(a.beat) })
	return err
}

func (a *agent) ask(what chan struct{}) {
	select {
	case what <- struct{}{}:
	default:
	}
}

// take obeys one order, and those that wait right behind it: of a burst, only
// the last has to be compiled.
func (a *agent) take(signed []byte, received time.Time) {
	before := a.follower.State().Revision
	if !a.offer(signed) {
		return
	}
	if !a.synced && a.follower.Lost() {
		a.ask(a.resync) // an order says nothing of what was lost before it
		return
	}
	if a.follower.State().Revision == before {
		return
	}
	a.enforce(received)
}

func (a *agent) offer(signed []byte) bool {
	step, err := a.follower.Offer(signed)
	switch {
	case err == nil && step == order.Gap, errors.Is(err, order.ErrMismatch), errors.Is(err, order.ErrGap):
		a.g.metrics.orders.WithLabelValues("gap").Inc()
		a.ask(a.resync)
		return false
	case errors.Is(err, order.ErrRollback):
		// An old order on the bus is a replay, or a control plane that was reset.
		a.g.metrics.orders.WithLabelValues("rollback").Inc()
		a.g.log.Warn("refused an old order", "error", err)
		a.ask(a.beat)
		return false
	case errors.Is(err, order.ErrUntrusted):
		a.g.metrics.orders.WithLabelValues("untrusted").Inc()
		a.ask(a.keys)
		return false
	case err != nil:
		a.g.metrics.orders.WithLabelValues("refused").Inc()
		a.g.log.Error("refused an order; the last good one stays in force", "error", err, "revision", a.follower.State().Revision)
		a.refuse(err)
		return false
	}
	a.g.metrics.orders.WithLabelValues(step.String()).Inc()
	return true
}

// enforce puts the follower's state in force, and says so once it is kept.
func (a *agent) enforce(received time.Time) int {
	s, before := a.follower.State(), a.g.current.Load()
	rl, err := compile(s, a.follower.Emergencies(), before, a.lists.resolve(s.Lists, before))
	if err != nil {
		a.trouble = err.Error()
		a.g.log.Error("an order can not be put in force; the last good one stays", "error", err)
		a.refuse(err)
		return 0
	}
	rl.screens = a.g.newScreens(rl, a.g.current.Load())
	a.g.current.Store(rl)
	cut := a.g.sweep(rl)
	a.g.captures.keep(before, rl, a.g.lease.over(a.g.clock.mono()))
	a.lists.wanted(s.Lists, rl)
	took := time.Since(received)
	a.g.log.Info("order in force", "revision", s.Revision, "corrections", rl.policy.Len(), "cut", cut, "took", took)
	a.unkept = cut
	a.keep(received, took)
	if before == nil || !sameLists(before.lists, rl.lists) || len(a.lists.missing()) > 0 {
		a.ask(a.beat) // says which lists are held
	}
	if a.follower.NeedsState() {
		a.ask(a.resync)
	}
	return cut
}

// keep makes what is in force durable, and acknowledges it. What can not be
// kept stays in force, is reported as refused, and is tried again at every beat.
func (a *agent) keep(received time.Time, took time.Duration) {
	s := a.follower.State()
	if err := a.follower.Persist(); err != nil {
		a.trouble = err.Error()
		a.g.log.Error("an order is in force but could not be kept", "revision", s.Revision, "error", err)
		a.refuse(err)
		return
	}
	cut := a.unkept
	a.trouble, a.unkept = "", -1
	a.acknowledge(order.Ack{Revision: s.Revision, Phase: order.PhaseAccepted, TookMicros: time.Since(received).Microseconds()})
	a.acknowledge(order.Ack{Revision: s.Revision, Phase: order.PhaseEnforcing, Cut: cut, TookMicros: took.Microseconds()})
}

func (a *agent) refuse(err error) {
	a.acknowledge(order.Ack{Revision: a.follower.State().Revision, Phase: order.PhaseRefused, Error: err.Error()})
}

func (a *agent) acknowledge(ack order.Ack) {
	if a.g.cfg.Bus == nil {
		return
	}
	ack.Gateway, ack.Boot = a.g.cfg.Name, a.g.boot
	if data, err := json.Marshal(ack); err == nil {
		a.g.cfg.Bus.Publish(order.SubjectAck, data) // a lost one is made up for by the next beat
	}
}

// takeState takes over a full state.
func (a *agent) takeState(signed []byte, received time.Time) error {
	err := a.follower.Resync(signed)
	if errors.Is(err, order.ErrUntrusted) {
		a.g.log.Warn("a full state by a key that is not known: asking for its succession", "error", err)
		a.ask(a.keys)
		return err
	}
	if err != nil {
		a.trouble = err.Error()
		a.g.log.Error("refused a full state; the last good order stays in force", "error", err)
		a.refuse(err)
		return err
	}
	a.synced = true
	a.enforce(received)
	return nil
}

// emergency obeys a signed emergency order, with nothing but this gateway.
func (a *agent) emergency(signed []byte, received time.Time) (e order.Emergency, cut int, err error) {
	now, _ := a.g.clock.span()
	e, err = a.follower.OfferEmergency(signed, time.Unix(0, now.Early))
	if errors.Is(err, order.ErrDuplicate) {
		if err := a.follower.Persist(); err != nil { // it may be in force without being kept yet
			return e, 0, fmt.Errorf("%w: %w", order.ErrNotKept, err)
		}
		return e, 0, nil
	}
	if err != nil && !errors.Is(err, order.ErrNotKept) {
		return e, 0, err
	}
	a.g.log.Warn("emergency order", "id", e.ID, "by", e.By, "corrections", len(e.Corrections), "kept", err == nil)
	if a.synced {
		cut = a.enforce(received)
	}
	a.ask(a.beat)
	return e, cut, err
}

// schedule sets the timer for the next moment at which time itself ends
// something: a start, the end of a drain, a key's expiry, the lease's end. A
// timer that fires early does no harm, so none sleeps longer than a minute.
func (a *agent) schedule() {
	next := time.Minute
	rl := a.g.current.Load()
	now, mono := a.g.clock.span()
	sooner := func(d int64) {
		if d > 0 && d < int64(next) {
			next = time.Duration(d)
		}
	}
	if rl != nil {
		late := time.Unix(0, now.Late)
		if t := rl.policy.NextChange(late); !t.IsZero() {
			sooner(t.UnixNano() - now.Late)
		}
		if t := rl.nextKeyExpiry(late); !t.IsZero() {
			sooner(t.UnixNano() - now.Late)
		}
	}
	sooner(a.g.lease.until.Load() - mono)
	if leased := !a.g.lease.over(mono); leased != a.leased {
		if a.leased = leased; leased {
			a.g.log.Info("the lease holds")
		} else {
			a.g.log.Warn("the lease has run out: models take their postures")
		}
	}
	a.wake.Reset(next + time.Millisecond)
}
