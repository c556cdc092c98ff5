package gateway

import (
	"sync/atomic"
	"time"

	"andon/order"
)

// decisions remembers the last calls that a correction touched, so that
// `andon explain` can say why. It holds no prompt text and no end user's name.
// It is a ring without locks: the oldest make room.
type decisions struct {
	next atomic.Uint64
	ring [1 << 14]atomic.Pointer[order.Decision]
}

func (d *decisions) add(x *order.Decision) {
	d.ring[(d.next.Add(1)-1)%uint64(len(d.ring))].Store(x)
}

// find returns what is remembered of a request, newest first: a call may have
// been clamped and cut.
func (d *decisions) find(id string) *order.Decision {
	n := d.next.Load()
	for i := uint64(1); i <= uint64(len(d.ring)) && i <= n; i++ {
		if x := d.ring[(n-i)%uint64(len(d.ring))].Load(); x != nil && x.RequestID == id {
			return x
		}
	}
	return nil
}

// record remembers what was done to a call.
func (g *Gateway) record(x *exchange, c *call, action string, status int, ids []string) {
	d := &order.Decision{RequestID: x.id, Gateway: g.cfg.Name, At: time.Now().UTC(), API: x.rt.API,
		Model: c.req.Model, Org: c.req.Org, Key: c.req.Key, User: g.pseudo.User(first(c.req.Users)),
		Action: action, Status: status, Corrections: ids}
	if rl := g.current.Load(); rl != nil {
		d.Revision = rl.revision
	}
	if c.model != nil {
		d.ServedBy = c.model.Name
	}
	g.decisions.add(d)
}
