package control

import (
	"context"
	"slices"
	"strings"
	"time"
)

// expiryMargin is how long after its end an expired correction stays in the
// order. Gateways end it by themselves, each by its own clock; dropped too
// early it would be loosened where a clock is behind.
const expiryMargin = 5 * time.Second

const (
	clerkPace = 250 * time.Millisecond
	clerkRest = 5 * time.Second // after the ledger refused
)

// clerk does what nobody waits for: it records effects and points, drops what
// has expired, and notices leases that run out.
func (c *Control) clerk() {
	tick := time.NewTicker(clerkPace)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-c.stopping:
			return
		case <-tick.C:
		case <-c.wake:
		}
		c.tidy(ctx)
	}
}

// tidy is one round of the clerk.
func (c *Control) tidy(ctx context.Context) {
	c.watchLeases()
	c.takeSteps(ctx)
	c.takeDefaults(ctx)
	if c.cfg.Now().Before(c.clerkRests) || !c.anythingToRecord() {
		return
	}
	_, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) { return c.record(s), nil })
	if err != nil {
		c.clerkRests = c.cfg.Now().Add(clerkRest) // a full disk is not asked four times a second
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

// watchLeases tells those who watch of points that went stale.
func (c *Control) watchLeases() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for _, p := range c.points {
		c.show(p, now)
	}
	for _, t := range c.trackers {
		c.complete(t, now)
	}
}

func (c *Control) anythingToRecord() bool {
	c.command.Lock()
	defer c.command.Unlock()
	return c.broken == nil && len(c.record(c.state)) > 0
}

// record drafts what is to be written. It runs as a command decides: the state
// has no other writer.
func (c *Control) record(s *state) []draft {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []draft
	early := c.early().Add(-expiryMargin)
	for _, r := range s.list {
		if r.gone == "" && !r.ExpiresAt.IsZero() && !early.Before(r.ExpiresAt) {
			out = append(out, draft{typeExpired, changedBody{ID: r.ID}})
		}
	}
	for _, p := range c.points {
		if p.known {
			continue
		}
		kind := typeJoined
		if s.points[p.name] != nil {
			kind = typeDescribed
		}
		out = append(out, draft{kind, p.pointBody})
	}
	for _, t := range c.trackers {
		if t.done != nil {
			out = append(out, draft{typeMeasured, *t.done})
		}
	}
	slices.SortStableFunc(out, func(a, b draft) int { return strings.Compare(a.kind, b.kind) })
	for _, clock := range clocks {
		out = append(out, clock(c, s, c.early())...)
	}
	return out
}

// forget lets go of what the ledger has now.
func (c *Control) forget() {
	for _, p := range c.points {
		if d := c.state.points[p.name]; d != nil && p.same(*d) {
			p.known = true
		}
	}
	for rev, t := range c.trackers {
		t.corrections = slices.DeleteFunc(t.corrections, func(id string) bool {
			r := c.state.corrections[id]
			return r == nil || r.revision != rev || r.measured != nil
		})
		if len(t.corrections) == 0 {
			delete(c.trackers, rev)
		}
	}
}
