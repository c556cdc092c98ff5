package control

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"andon/order"
)

// tracker follows one revision until every gateway that was live when it was
// accepted enforces it.
type tracker struct {
	revision    uint64
	corrections []string
	accepted    time.Time               // durable; with a monotonic reading unless recalled
	recalled    bool                    // taken up after a restart: what is seen is an upper bound
	expected    map[string]bool         // live at that moment; nil if recalled
	seen        map[string]*pointEffect // by point
	done        *measuredBody           // complete, to be recorded
}

// pointEffect is when one point took a revision. Zero times were not seen: an
// acknowledgement was lost, or the point came later.
type pointEffect struct {
	Name        string    `json:"name"`
	State       string    `json:"state,omitempty"`
	Revision    uint64    `json:"revision,omitempty"`
	AcceptedAt  time.Time `json:"accepted_at,omitzero"`
	EnforcingAt time.Time `json:"enforcing_at,omitzero"`
	Cut         int       `json:"cut,omitempty"` // live requests that it ended
	Error       string    `json:"error,omitempty"`

	after time.Duration // enforcing since the command was durable
}

// trackOrder begins to follow an order that was just accepted. The caller holds
// mu; the order is not published yet.
func (c *Control) trackOrder(o *order.Order, durable time.Time) {
	var ids []string
	for i := range o.Put {
		ids = append(ids, o.Put[i].ID)
	}
	for _, id := range o.Drop {
		if r := c.state.corrections[id]; r == nil || r.gone != "expired" { // gateways ended that one themselves
			ids = append(ids, id)
		}
	}
	// What an older revision of the same corrections took is of no interest now.
	for rev, t := range c.trackers {
		t.corrections = slices.DeleteFunc(t.corrections, func(id string) bool { return slices.Contains(ids, id) })
		if len(t.corrections) == 0 {
			delete(c.trackers, rev)
		}
	}
	if len(ids) == 0 {
		return
	}
	t := &tracker{revision: o.Revision, corrections: ids, accepted: durable, expected: map[string]bool{}, seen: map[string]*pointEffect{}}
	for name, p := range c.points {
		if durable.Before(p.lease) {
			t.expected[name] = true
		}
	}
	c.trackers[o.Revision] = t
}

// track takes up a correction whose effect was not recorded before a restart.
func (c *Control) track(r *record, recalled bool) {
	t := c.trackers[r.revision]
	if t == nil {
		t = &tracker{revision: r.revision, accepted: r.changed, recalled: recalled, seen: map[string]*pointEffect{}}
		c.trackers[r.revision] = t
	}
	t.corrections = append(t.corrections, r.ID)
}

func (t *tracker) of(name string) *pointEffect {
	e := t.seen[name]
	if e == nil {
		e = &pointEffect{Name: name}
		t.seen[name] = e
	}
	return e
}

// accepted notes that a point has verified and kept a revision, and with it
// every one before.
func (c *Control) accepted(p *point, revision uint64, now time.Time) {
	for _, t := range c.trackers {
		if t.revision > revision {
			continue
		}
		if e := t.of(p.name); e.AcceptedAt.IsZero() {
			e.AcceptedAt = now.UTC().Round(0)
		}
	}
}

// enforced notes that a point enforces a revision, and with it every one before.
// cut belongs to exactly this revision.
func (c *Control) enforced(p *point, revision uint64, now time.Time, cut int) {
	for _, t := range c.trackers {
		if t.revision > revision {
			continue
		}
		e := t.of(p.name)
		if t.revision == revision {
			e.Cut = max(e.Cut, cut)
		}
		if !e.EnforcingAt.IsZero() || c.awaitsAny(p, t.corrections) {
			continue
		}
		e.EnforcingAt, e.after = now.UTC().Round(0), max(0, now.Sub(t.accepted))
		c.nudge()
	}
}

// complete finds out whether a revision has taken effect everywhere it could.
func (c *Control) complete(t *tracker, now time.Time) {
	if t.done != nil {
		return
	}
	var last time.Duration
	enforcing := false
	body := &measuredBody{Revision: t.revision, Corrections: slices.Clone(t.corrections), AtMost: t.recalled}
	if t.recalled && now.Before(c.started.Add(c.cfg.Lease+leaseSlack)) && !c.allSeen() {
		return // others may come back
	}
	for name, p := range c.points {
		if !t.recalled && !t.expected[name] {
			continue
		}
		stale := !now.Before(p.lease)
		e := t.seen[name]
		if e == nil || e.EnforcingAt.IsZero() {
			if !stale {
				return
			}
			// Its lease has provably run out: its models have taken their posture.
			body.Points = append(body.Points, pointEffect{Name: name, State: pointStale, Revision: p.revision})
			continue
		}
		enforcing, last = true, max(last, e.after)
		seen := *e
		seen.Revision = max(p.revision, t.revision)
		body.Points = append(body.Points, seen)
	}
	if !enforcing && t.recalled {
		return // nobody is back yet
	}
	if enforcing {
		ms := float64(last.Microseconds()) / 1000
		body.TimeToEffect = &ms
	}
	slices.SortFunc(body.Points, func(a, b pointEffect) int { return strings.Compare(a.Name, b.Name) })
	t.done = body
	if enforcing && !t.recalled {
		c.metrics.effect.Observe(last.Seconds())
	}
}

func (c *Control) allSeen() bool {
	for _, p := range c.points {
		if p.seen.IsZero() {
			return false
		}
	}
	return true
}

// effectView is what was asked for against what is observed.
type effectView struct {
	Desired   int           `json:"desired"`
	Enforcing int           `json:"enforcing"`
	Stale     int           `json:"stale"`
	Refused   int           `json:"refused"`
	Points    []pointEffect `json:"points"`
}

// effectOf is where an order stands on every point. of completes what is said
// of one. The caller holds mu.
func (c *Control) effectOf(revision uint64, now time.Time, of func(*point, *pointEffect)) effectView {
	v := effectView{Points: []pointEffect{}}
	for name, p := range c.points {
		e := pointEffect{Name: name, Revision: p.revision, Error: p.trouble(now), State: p.state(now, c.state.revision)}
		if p.revision >= revision && e.State == pointSent {
			e.State = pointSynced // with this order, if not with later ones
		}
		of(p, &e)
		v.Desired++
		switch e.State {
		case pointStale:
			v.Stale++
		case pointRefused:
			v.Refused++
		case pointSynced:
			v.Enforcing++
		}
		v.Points = append(v.Points, e)
	}
	slices.SortFunc(v.Points, func(a, b pointEffect) int { return strings.Compare(a.Name, b.Name) })
	return v
}

// effect is where the last change of a correction stands on every point, and
// how long it took if it is complete. The caller holds mu.
func (c *Control) effect(r *record, now time.Time) (effectView, *float64) {
	t := c.trackers[r.revision]
	recorded := map[string]pointEffect{}
	if r.measured != nil {
		for _, e := range r.measured.Points {
			recorded[e.Name] = e
		}
	}
	v := c.effectOf(r.revision, now, func(p *point, e *pointEffect) {
		seen := recorded[p.name]
		if t != nil && t.seen[p.name] != nil {
			seen = *t.seen[p.name]
		}
		e.AcceptedAt, e.EnforcingAt, e.Cut, e.after = seen.AcceptedAt, seen.EnforcingAt, seen.Cut, seen.after
		if e.State == pointSynced {
			if why := c.awaits(p, &r.Correction); why != "" && r.gone == "" {
				e.State, e.Error = pointSent, why
			}
		}
	})
	var ms *float64
	if t != nil {
		if c.complete(t, now); t.done != nil {
			ms = t.done.TimeToEffect
		}
	}
	if r.measured != nil {
		ms = cmp.Or(ms, r.measured.TimeToEffect)
	}
	return v, ms
}
