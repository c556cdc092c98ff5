package control

import (
	"slices"

	"andon/ledger"
	"andon/order"
)

// An act that was carried has an outcome, like the command that it stands for: the
// revision that it made, the corrections that it changed, and where that is enforced.

// carrying is an act whose entries are being folded.
type carrying struct {
	act   *pendingAct
	until uint64 // its last entry
}

// carriedOut notes which order an act made, if the entry is one of its own.
func (s *authorityState) carriedOut(e ledger.Entry, o *order.Order) {
	c := s.carrying
	if c.act == nil || o == nil || e.Seq > c.until {
		return
	}
	c.act.revision = o.Revision
	for i := range o.Put {
		c.act.corrections = append(c.act.corrections, o.Put[i].ID)
	}
	c.act.corrections = append(c.act.corrections, o.Drop...)
	slices.Sort(c.act.corrections)
	c.act.corrections = slices.Compact(c.act.corrections)
}

// outcome completes what is shown of an act that was carried and made an order. The
// caller holds mu for writing.
func (c *Control) outcome(p *pendingAct, v *actView) {
	if p.revision == 0 {
		return
	}
	now := c.cfg.Now()
	for _, id := range p.corrections {
		if r := c.state.corrections[id]; r != nil && r.revision == p.revision { // its last change is this
			e, ms := c.effect(r, now)
			v.Effect, v.TimeToEffect = &e, ms
			return
		}
	}
	e := c.effectOf(p.revision, now, func(*point, *pointEffect) {})
	v.Effect = &e
}
