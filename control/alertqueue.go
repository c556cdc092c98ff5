package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"andon/ledger"
)

// Paces of one endpoint's alerts.
const (
	alertPace   = 250 * time.Millisecond // between two looks at the ledger
	alertRetry  = time.Second            // after the first failure; it doubles
	alertRest   = 5 * time.Minute        // and never grows beyond this
	alertFails  = 10 * time.Minute       // an endpoint that takes nothing for so long is an alarm
	alertQueue  = 64                     // alerts of an endpoint in memory; the others stay in the ledger
	alertChunk  = 1000                   // entries that are looked at between two looks at the clock
	alertSkips  = 10_000                 // entries that are looked at again after a crash, at most
	alertGiveUp = 3                      // refusals of a message before the next one is tried
)

// alerts is the room's running part.
type alerts struct {
	ends    []*alertEnd
	cursors *cursors
	retry   time.Duration // alertRetry, but in tests
}

// alertEnd is one endpoint. Its goroutine is its only writer.
type alertEnd struct {
	AlertEndpoint
	host    string // all that is shown of its address
	digest  string // of its address
	hook    *hook
	testing sync.Mutex

	read  uint64 // entries looked at
	queue []queued
	saved uint64    // cursor on the disk
	until time.Time // before which nothing is sent; monotonic, so that no clock that jumps delays an alert

	again atomic.Bool // a test was taken: no need to wait any longer

	mu sync.Mutex // guards what follows
	alertProgress
}

// queued is an alert that an endpoint has yet to take.
type queued struct {
	id   string
	seq  uint64
	what alertMessage
}

// alertProgress is how an endpoint does.
type alertProgress struct {
	last    *deliveredView
	failing time.Time // since when; zero: it does not
	alarmed bool
	err     string
	tries   int
	next    time.Time
	waiting int
	more    bool
	givenUp int
}

// openAlerts reads who is to be told. An endpoint that is new begins at now.
func (c *Control) openAlerts() error {
	if faults := CheckAlerts(c.cfg.Alerts); len(faults) > 0 {
		f := faults[0]
		return fmt.Errorf("alert endpoint %d: %s: %s", f.Index, f.Field, f.Detail)
	}
	var err error
	if c.alerts.cursors, err = openCursors(c.cfg.AlertFile); err != nil {
		c.log.Error("up to where alerts were sent cannot be read; every endpoint begins at now", "error", err)
	}
	if c.alerts.retry = c.cfg.alertRetry; c.alerts.retry == 0 {
		c.alerts.retry = alertRetry
	}
	for _, cfg := range c.cfg.Alerts {
		e := &alertEnd{AlertEndpoint: cfg, digest: digestOf(cfg.URL)}
		e.Name = cfg.name()
		u, err := cfg.address()
		if err != nil {
			return err
		}
		if e.host = u.Scheme + "://" + u.Host; len(e.Events) == 0 {
			e.Events = AlertEvents
		}
		if e.hook, err = newHook(&cfg); err != nil {
			return err
		}
		next, had := c.alerts.cursors.of(e.Name)
		if next > c.state.size {
			c.log.Error("the ledger is shorter than what was sent of it; the endpoint begins at its end", "endpoint", e.Name, "sent", next, "entries", c.state.size)
			had = false
		}
		if !had {
			next = c.state.size
			if err := c.alerts.cursors.set(e.Name, next); err != nil {
				c.log.Error("up to where alerts were sent is not kept: after a crash this endpoint begins at the end of the ledger", "endpoint", e.Name, "error", err)
			}
		}
		e.read, e.saved = next, next
		c.alerts.ends = append(c.alerts.ends, e)
	}
	c.alerts.cursors.keep(func(name string) bool {
		return slices.ContainsFunc(c.alerts.ends, func(e *alertEnd) bool { return e.Name == name })
	})
	return nil
}

// deliver sends an endpoint its alerts, in order, for as long as the control
// plane runs. No command ever waits for it.
func (c *Control) deliver(e *alertEnd) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer e.hook.http.CloseIdleConnections()
	go func() { // without it Stop would wait for an endpoint that does not answer
		select {
		case <-c.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for wait := time.Duration(0); ; {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			c.saveCursor(e)
			return
		case <-t.C:
		}
		wait = c.deliverSome(ctx, e)
	}
}

// deliverSome is one round: at most one alert, and how long to wait then.
func (c *Control) deliverSome(ctx context.Context, e *alertEnd) time.Duration {
	if err := c.collectAlerts(ctx, e); err != nil {
		if ctx.Err() == nil && c.complaints.first("alerts "+err.Error()) {
			c.log.Error("alerts cannot be read from the ledger; it is tried again", "endpoint", e.Name, "error", err)
		}
		return c.alerts.retry
	}
	if c.alertOff(e) {
		e.queue = nil
		e.note(func(p *alertProgress) { *p = alertProgress{last: p.last, givenUp: p.givenUp} })
	}
	if len(e.queue) == 0 {
		if e.read >= e.saved+alertSkips {
			c.saveCursor(e)
		}
		return alertPace
	}
	if e.again.Swap(false) {
		e.until = time.Time{}
	}
	if d := time.Until(e.until); d > 0 {
		return min(d, alertPace)
	}
	err := c.sendOne(ctx, e, &e.queue[0])
	var r *refusal
	switch {
	case err == nil:
		c.took(e, 1)
		return 0
	case ctx.Err() != nil:
		return 0
	case errors.As(err, &r) && r.status == http.StatusGone:
		return c.turnOff(ctx, e, err)
	}
	tries := 0
	e.note(func(p *alertProgress) { p.tries++; tries = p.tries })
	// A message that the endpoint will never take must not keep back all that
	// come after it: once the next one is taken, this one is left behind.
	if r != nil && r.ofMessage() && tries >= alertGiveUp && len(e.queue) > 1 && c.sendOne(ctx, e, &e.queue[1]) == nil {
		c.log.Error("an alert was given up: the endpoint refuses it, and takes the next", "endpoint", e.Name, "entry", e.queue[0].seq, "error", err)
		e.note(func(p *alertProgress) { p.givenUp++ })
		c.took(e, 2)
		return 0
	}
	return c.failed(e, err, tries)
}

// sendOne is one attempt. The timestamp is that of the attempt.
func (c *Control) sendOne(ctx context.Context, e *alertEnd, q *queued) error {
	_, err := e.hook.send(ctx, q.id, c.cfg.Now(), &q.what)
	return err
}

// took moves on after the first n of the queue.
func (c *Control) took(e *alertEnd, n int) {
	done := e.queue[n-1]
	e.queue = e.queue[n:]
	now := c.cfg.Now().UTC().Round(0)
	recovered := false
	e.note(func(p *alertProgress) {
		recovered = !p.failing.IsZero()
		*p = alertProgress{last: &deliveredView{done.seq, done.what.Type, now}, givenUp: p.givenUp, waiting: len(e.queue), more: p.more && len(e.queue) > 0}
	})
	if recovered {
		c.log.Info("an alert endpoint takes alerts again", "endpoint", e.Name)
	}
	c.saveCursor(e)
}

// failed notes a failure, and when it is tried again.
func (c *Control) failed(e *alertEnd, err error, tries int) time.Duration {
	delay := min(c.alerts.retry<<min(tries-1, 20), alertRest)
	wait := delay/2 + rand.N(delay)
	var r *refusal
	if errors.As(err, &r) {
		wait = max(wait, r.after)
	}
	now := c.cfg.Now().UTC().Round(0)
	first, alarm := false, false
	e.note(func(p *alertProgress) {
		if first = p.failing.IsZero(); first {
			p.failing = now
		}
		if !p.alarmed && now.Sub(p.failing) >= alertFails {
			p.alarmed, alarm = true, true
		}
		p.err, p.next = err.Error(), now.Add(wait)
	})
	switch {
	case alarm:
		c.log.Error("ALARM: an alert endpoint takes no alerts", "endpoint", e.Name, "waiting", len(e.queue), "error", err)
		c.metrics.alarms.Inc()
	case first:
		c.log.Warn("an alert was not delivered; it is tried again", "endpoint", e.Name, "entry", e.queue[0].seq, "error", err)
	}
	e.until = time.Now().Add(wait)
	return min(wait, alertPace)
}

// turnOff puts in the record that an endpoint is gone.
func (c *Control) turnOff(ctx context.Context, e *alertEnd, why error) time.Duration {
	_, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) {
		if s.alert.off[e.Name] == e.digest {
			return nil, nil
		}
		return []draft{{typeAlertOff, alertOffBody{e.Name, e.digest, why.Error()}}}, nil
	})
	if err != nil {
		return c.failed(e, errors.Join(why, err), 1)
	}
	e.queue = nil // what it has not taken by now it never will
	c.saveCursor(e)
	return alertPace
}

// alertOff says whether an endpoint has said that it is gone.
func (c *Control) alertOff(e *alertEnd) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.alert.off[e.Name] == e.digest
}

// collectAlerts fills an endpoint's queue from the ledger.
func (c *Control) collectAlerts(ctx context.Context, e *alertEnd) error {
	for len(e.queue) < alertQueue {
		c.mu.RLock()
		size := c.state.size
		c.mu.RUnlock()
		if e.read >= size {
			break
		}
		chunk := make([]ledger.Entry, 0, min(size-e.read, alertChunk))
		err := c.cfg.Log.Read(ctx, e.read, min(size, e.read+alertChunk), func(x ledger.Entry) error {
			chunk = append(chunk, x)
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			return errors.New("the ledger gave no entry where it has some")
		}
		for i := range chunk {
			q, ok, err := c.alertFrom(&chunk[i], e)
			if err != nil {
				return err
			}
			if ok {
				e.queue = append(e.queue, q)
			}
			if e.read = chunk[i].Seq + 1; len(e.queue) == alertQueue {
				break
			}
		}
	}
	more := len(e.queue) == alertQueue
	e.note(func(p *alertProgress) { p.waiting, p.more = len(e.queue), more })
	return nil
}

// alertFrom is what an entry is to an endpoint.
func (c *Control) alertFrom(x *ledger.Entry, e *alertEnd) (queued, bool, error) {
	c.mu.RLock()
	event, says, about := c.state.alertOf(*x)
	c.mu.RUnlock()
	if event == "" || says == "" || !slices.Contains(e.Events, event) {
		return queued{}, false, nil
	}
	leaf, _, err := x.Leaf()
	if err != nil {
		return queued{}, false, err
	}
	link := fmt.Sprintf("/api/v1/ledger/entries/%d", x.Seq)
	if about != "" {
		link = "/api/v1/corrections/" + about
	}
	seq := x.Seq
	return queued{messageID(ledger.LeafHash(leaf)), seq, alertMessage{"alert." + event, x.At.UTC(),
		alertData{Entry: &seq, Says: says, By: x.Actor, Correction: about, Link: c.cfg.URL + link}}}, true, nil
}

// saveCursor puts down what an endpoint has had. What cannot be put down is sent
// again after a crash.
func (c *Control) saveCursor(e *alertEnd) {
	next := e.read
	if len(e.queue) > 0 {
		next = e.queue[0].seq
	}
	if next == e.saved {
		return
	}
	if err := c.alerts.cursors.set(e.Name, next); err != nil {
		if c.complaints.first("alerts " + err.Error()) {
			c.log.Error("up to where alerts were sent is not kept; after a crash some are sent again", "endpoint", e.Name, "error", err)
		}
		return
	}
	e.saved = next
}

func (e *alertEnd) note(change func(p *alertProgress)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.alertProgress)
}
