package control

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
)

// holdGone is how long a held call is believed to wait after it was last heard of.
const holdGone = 6 * time.Second

// maxHolds bounds what gateways can make the control plane remember.
const maxHolds = 10_000

// holds are the calls that wait for a person. They live in memory alone: the
// gateways say them again while they wait, and what they hold is not kept.
type holds struct {
	mu  sync.Mutex
	all map[string]*held
}

type held struct {
	order.Hold
	heard time.Time
}

func (c *Control) onHold(m bus.Msg) {
	var h order.Hold
	if err := json.Unmarshal(m.Data, &h); err != nil || h.ID == "" || len(h.ID) > 200 || len(h.Excerpt) > 4096 {
		c.log.Warn("a held call cannot be read", "error", err)
		return
	}
	if !c.speaks(m, order.SubjectHold, h.Gateway) {
		return
	}
	c.holds.mu.Lock()
	defer c.holds.mu.Unlock()
	if c.holds.all == nil {
		c.holds.all = map[string]*held{}
	}
	if known := c.holds.all[h.ID]; known != nil && known.Gateway != h.Gateway {
		return
	} else if known != nil {
		known.heard = c.cfg.Now()
		return
	}
	c.holds.sweepLocked(c.cfg.Now())
	if len(c.holds.all) < maxHolds {
		c.holds.all[h.ID] = &held{h, c.cfg.Now()}
		c.log.Info("a call waits for a person", "hold", h.ID, "correction", h.Correction, "until", h.Until)
	}
}

func (h *holds) sweepLocked(now time.Time) {
	for id, one := range h.all {
		if now.Sub(one.heard) > holdGone {
			delete(h.all, id)
		}
	}
}

type holdList struct {
	Holds []order.Hold `json:"holds"`
}

func (c *Control) getHolds(cl *call) error {
	if err := cl.op.may("hold.read"); err != nil {
		return err
	}
	list := holdList{Holds: []order.Hold{}}
	c.holds.mu.Lock()
	c.holds.sweepLocked(c.cfg.Now())
	for _, h := range c.holds.all {
		list.Holds = append(list.Holds, h.Hold)
	}
	c.holds.mu.Unlock()
	slices.SortFunc(list.Holds, func(a, b order.Hold) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return cl.reply(http.StatusOK, list)
}

func (c *Control) postRelease(cl *call) error { return c.decideHold(cl, true) }
func (c *Control) postReject(cl *call) error  { return c.decideHold(cl, false) }

// decideHold records what a person decided about a held call, and then tells
// its gateway.
func (c *Control) decideHold(cl *call, let bool) error {
	if err := cl.op.may("hold.decide"); err != nil {
		return err
	}
	b, err := decode[reasoned](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	id := cl.r.PathValue("id")
	c.holds.mu.Lock()
	c.holds.sweepLocked(c.cfg.Now())
	h := c.holds.all[id]
	delete(c.holds.all, id) // who decides first decides
	c.holds.mu.Unlock()
	if h == nil {
		return problem("not_found", "no call waits under this id: it was decided, its time ran out, or its caller left")
	}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(*state, time.Time) ([]draft, error) {
		return []draft{{typeHold, holdBody{ID: id, Gateway: h.Gateway, RequestID: h.RequestID, Correction: h.Correction, Direction: h.Direction,
			Let: let, Reason: b.Reason}}}, nil
	})
	if err == nil {
		var signed []byte
		signed, err = order.Sign(order.Release{Hold: id, Gateway: h.Gateway, Let: let, By: cl.op.id, At: c.cfg.Now().UTC()}, c.signer())
		if err == nil {
			err = c.cfg.Bus.Publish(order.SubjectRelease, signed)
		}
	}
	if err != nil {
		c.holds.mu.Lock()
		c.holds.all[id] = h // it still waits
		c.holds.mu.Unlock()
		return err
	}
	cl.w.WriteHeader(http.StatusNoContent)
	return nil
}
