package gateway

import (
	"strings"
	"testing"
	"time"

	"andon/correction"
	"andon/order"
)

// TestAKeyWhoseDayIsOver: a machine whose clock is ahead of a warranted key, or
// that is sent what one signed days ago, obeys none of it, says so, and goes on by
// itself once what it hears can be believed.
func TestAKeyWhoseDayIsOver(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) { c.Lease = 600 * time.Millisecond })
	p.issue(order.Order{Put: []correction.Correction{must(correction.Parse([]byte(stopLarge)))}})
	p.enforced(1)
	said := ""
	p.mu.Lock()
	root := p.signer
	p.signer = must(order.NewSession(root, time.Now().Add(-48*time.Hour), time.Hour))
	p.onBeat = func(b order.Beat, _ *order.Lease) { said = b.Error }
	p.mu.Unlock()
	p.await("the refusal of its leases to be told", func() bool {
		for _, a := range p.acks {
			if a.Phase == order.PhaseRefused && strings.Contains(a.Error, "the clock is ahead") {
				return strings.Contains(said, "the clock is ahead")
			}
		}
		return false
	})
	p.mu.Lock()
	before := p.state
	p.mu.Unlock()
	p.issue(order.Order{Drop: []string{"c-2"}})
	p.await("the lease to run out", func() bool { return g.lease.over(g.clock.mono()) })
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("a key whose day is over loosened: %d", a.status)
	}
	p.mu.Lock()
	p.signer, p.state = root, before
	p.mu.Unlock()
	p.await("it to hold a lease again, without trouble", func() bool { return said == "" && !g.lease.over(g.clock.mono()) })
}
