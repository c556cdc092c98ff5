package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"andon/ledger"
	"andon/order"
)

// errLedger wraps what the ledger says when it cannot be written.
var errLedger = errors.New("write ledger")

// draft is an entry that a command wants to make.
type draft struct {
	kind string
	body any
}

// maxConflicts bounds how often a command is decided anew because somebody else
// appended. One control plane owns a ledger, so once is already rare.
const maxConflicts = 8

// execute runs one command: decide, on the state as it is, what to write; write
// it durably; fold it; publish the order. decide may run again if the state
// turns out to be old, so it must have no effect of its own. No draft means
// there is nothing to do. On error nothing has changed.
func (c *Control) execute(ctx context.Context, actor string, decide func(s *state, now time.Time) ([]draft, error)) ([]ledger.Entry, error) {
	c.command.Lock()
	defer c.command.Unlock()
	select {
	case <-c.stopping:
		return nil, problem("unavailable", "the control plane is stopping; nothing was changed")
	default:
	}
	for try := 0; ; try++ {
		if c.broken != nil {
			return nil, problem("unavailable", "the control plane could not follow its own ledger and takes no more commands; its log says why")
		}
		// The state has no other writer now, so it can be read without mu.
		now := c.cfg.Now().UTC().Round(0)
		if now.Before(c.state.last) {
			now = c.state.last // the clock went back; the record does not
		}
		if err := c.stillMay(ctx, c.state, actor); err != nil {
			return nil, err
		}
		drafts, err := decide(c.state, now)
		if err != nil || len(drafts) == 0 {
			return nil, err
		}
		drafts = c.withEvidence(ctx, c.state, drafts)
		entries := make([]ledger.Entry, len(drafts))
		for i, d := range drafts {
			entries[i] = d.entry()
			entries[i].Seq, entries[i].At, entries[i].Actor = c.state.size+uint64(i), now, actor
		}
		if err := c.canSign(entries); err != nil {
			return nil, err
		}
		_, err = c.cfg.Log.Append(ctx, c.state.size, entries...)
		switch {
		case err == nil:
			defer c.evidenceDue()
			return entries, c.take(entries)
		case errors.Is(err, ledger.ErrConflict) && try < maxConflicts:
			if err := c.catchUp(ctx); err != nil {
				return nil, err
			}
		default:
			c.log.Error("ledger refused a command; nothing was changed", "type", drafts[0].kind, "actor", actor, "error", err)
			return nil, fmt.Errorf("%w: %w", errLedger, err)
		}
	}
}

// take folds durable entries, publishes the orders, and tells who watches.
func (c *Control) take(entries []ledger.Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	durable := c.cfg.Now()
	for _, e := range entries {
		o, err := c.state.fold(e)
		if err != nil {
			// It is durable and cannot be followed: a bug. Stop before more is written.
			c.broken = fmt.Errorf("fold entry %d (%s): %w", e.Seq, e.Type, err)
			c.log.Error("the control plane cannot follow its own ledger", "error", c.broken)
			return c.broken
		}
		if o != nil {
			c.trackOrder(o, durable)
			c.publish(o)
		}
		c.turnedLocked(e)
		c.heedCA(e)
		c.hub.entry(e)
		if text := cmp.Or(c.state.alarming(e), alarmText(e)); text != "" {
			c.alert(e, text)
		}
	}
	return nil
}

// catchUp folds what somebody else appended.
func (c *Control) catchUp(ctx context.Context) error {
	var entries []ledger.Entry
	err := c.cfg.Log.Read(ctx, c.state.size, c.cfg.Log.Size(), func(e ledger.Entry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: read what was appended: %w", errLedger, err)
	}
	c.log.Warn("somebody else appended to the ledger", "entries", len(entries))
	return c.take(entries)
}

// publish signs and sends an order. That it may not arrive is normal: gateways
// notice the gap and ask. The caller holds mu, so orders leave in sequence.
func (c *Control) publish(o *order.Order) {
	signed, err := order.Sign(*o, c.signer())
	if err != nil {
		c.log.Error("an order cannot be signed; gateways learn of it by resync", "revision", o.Revision, "error", err)
		return
	}
	c.last = signed
	c.send(signed)
}

func (c *Control) send(signed []byte) {
	if c.cfg.Bus == nil || signed == nil {
		return
	}
	if err := c.cfg.Bus.Publish(order.SubjectOrder, order.WithCheckpoint(signed, c.newest())); err != nil {
		c.log.Warn("an order was not sent; gateways learn of it by their next beat", "error", err)
	}
}
