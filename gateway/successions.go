package gateway

import (
	"context"
	"errors"
	"time"

	"andon/order"
)

// The control plane's signing key may be replaced while this gateway sleeps. A
// message by a key that it does not know makes it ask for the successions that
// lead there from the keys that it was given; those are verified like anything
// else, so whoever answers can withhold them and not make them up.

// earliest is the earliest time that it can be now, as this gateway knows it.
func (g *Gateway) earliest() time.Time {
	now, _ := g.clock.span()
	return time.Unix(0, now.Early)
}

// followKeys goes on to the keys that a list of successions leads to. It runs on
// the agent's goroutine.
func (a *agent) followKeys(data []byte) bool {
	followed, err := a.follower.Follow(data)
	switch {
	case errors.Is(err, order.ErrForked):
		a.g.log.Error("a signing key of the control plane has two successors: it is in the wrong hands; the first one stays", "error", err)
	case err != nil:
		a.g.log.Warn("successions of the control plane's signing key were passed over", "error", err)
	}
	if !followed {
		return false
	}
	a.g.log.Warn("the control plane's signing key was replaced; the one before counts no more", "trusts", a.trusts())
	if err := a.follower.Persist(); err != nil {
		a.g.log.Error("the new signing key could not be kept; it is tried again with the next order", "error", err)
	}
	a.ask(a.resync) // so that what is on disk is signed by the key that counts
	a.ask(a.beat)   // and the control plane sees that it is followed
	return true
}

// trusts are the ids of the control plane's keys that count now.
func (a *agent) trusts() []string {
	var ids []string
	for _, k := range a.follower.Trust().Control {
		ids = append(ids, k.ID())
	}
	return ids
}

// fetchKeys asks for the successions. It reports whether they led on.
func (a *agent) fetchKeys(ctx context.Context, b Bus, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, max(within, time.Second))
	defer cancel()
	data, err := b.Request(ctx, order.SubjectSuccessions, nil)
	followed := false
	if err == nil {
		err = a.do(ctx, func() { followed = a.followKeys(data) })
	}
	if followed || ctx.Err() != nil {
		return followed
	}
	a.do(ctx, func() {
		if a.trouble != untrusted {
			a.trouble = untrusted
			a.g.log.Error(untrusted, "trusts", a.trusts(), "error", err)
			a.refuse(errors.New(untrusted))
		}
	})
	return false
}

// untrusted is what troubles a gateway whose trust leads nowhere. A lease by a key
// that it trusts ends it: then the messages were somebody else's.
const untrusted = "messages are signed by a key that is not trusted here, and no succession leads to it from those that are: " +
	"if the control plane's key was replaced by hand, or one of those before it revoked, put the present one into gateway.trust"

// behind tells of leases by a key whose day is over. Orders by it are refused, too:
// so no lease is renewed, postures come into force, and what is in force stays.
func (a *agent) behind(err error) {
	if a.trouble != ahead {
		a.trouble = ahead
		a.g.log.Error("ALARM: "+ahead, "error", err)
		a.refuse(errors.New(ahead))
	}
}

// ahead is what troubles such a gateway. A lease that it can believe ends it.
const ahead = "orders and leases are signed by a key whose day is over by this machine's clock, and are refused: " +
	"the clock is ahead, or somebody replays old messages. Emergency orders are obeyed"
