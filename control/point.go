package control

import (
	"slices"
	"strconv"
	"time"

	"andon/correction"
	"andon/order"
)

// The states of an enforcement point.
const (
	pointSynced  = "synced"  // enforces the current revision, and its lease runs
	pointSent    = "sent"    // its lease runs; it is on an older revision
	pointStale   = "stale"   // its lease has run out: its models have taken their posture
	pointRefused = "refused" // it could not follow, or is ahead of this control plane
)

// Bounds of what gateways may make control keep.
const (
	maxPoints     = 10_000
	maxPointName  = 128
	maxPointLists = 4096
)

// twinsRemembered is how long a point counts as refused after two processes
// were seen under its name: what one of them enforces says nothing of the other.
const twinsRemembered = time.Minute

// leaseSlack is added to a lease on control's side: the gateway counts it from
// when it sent its beat, control from after the answer.
const leaseSlack = time.Second

// point is what control knows of one enforcement point.
type point struct {
	name string
	pointBody
	known bool // the ledger has it, as it is now

	boot        string
	former      string    // the process before
	twins       time.Time // when two processes were last seen under this name
	revision    uint64    // enforcing, as it said
	live        int64
	selfStale   bool // it says that it has no lease
	emergencies []string
	lists       map[string]order.ListHeld // as it said
	detectors   []string                  // as it said
	versions    map[string][]string       // by model, as it said
	trusts      []string                  // ids of the keys whose orders it obeys, as it said
	err         string
	refused     uint64 // revision that it last refused
	diverged    bool   // its head is not what this ledger says of its revision

	seen    time.Time // last beat; zero: not since this process started
	lease   time.Time // after this it is surely stale
	shown   string    // state last told to those who watch
	shownAt uint64
}

// state is what a point is at the time now, against the current revision.
func (p *point) state(now time.Time, current uint64) string {
	switch {
	case !now.Before(p.lease):
		return pointStale
	case p.diverged, !p.twins.IsZero() && now.Before(p.twins.Add(twinsRemembered)), p.refused > p.revision, p.err != "" && p.revision != current:
		return pointRefused
	case p.revision == current:
		return pointSynced
	}
	return pointSent
}

// trouble says what keeps a point from following, "" if nothing does.
func (p *point) trouble(now time.Time) string {
	if !p.twins.IsZero() && now.Before(p.twins.Add(twinsRemembered)) {
		return "two processes call themselves by this name; give each its own"
	}
	return p.err
}

// beat takes in what a gateway says of itself. The lease in answer is for what
// is current here; whether it fits is the gateway's to see.
func (c *Control) beat(b order.Beat) order.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	lease := order.Lease{
		Gateway: b.Gateway, Nonce: b.Nonce, Revision: c.state.revision, Head: c.state.head,
		At: now.UTC().Round(0), TTL: correction.Duration(c.cfg.Lease),
	}
	p := c.points[b.Gateway]
	if p == nil {
		if len(c.points) >= maxPoints {
			c.log.Error("more enforcement points than control keeps; one is not listed", "gateway", b.Gateway)
			return lease
		}
		p = &point{name: b.Gateway}
		c.points[b.Gateway] = p
	}
	if p.boot != b.Boot && p.boot != "" {
		if b.Boot == p.former { // back and forth: not a restart
			p.twins = now
			c.log.Error("ALARM: two processes call themselves by the same name; only one of them is seen", "gateway", b.Gateway)
			c.metrics.alarms.Inc()
		} else {
			c.log.Info("an enforcement point has restarted", "gateway", b.Gateway)
		}
		p.former, p.revision = p.boot, 0
	}
	d := pointBody{Name: b.Gateway, Version: b.Version, Features: b.Features, Models: b.Models}
	if !p.same(d) {
		p.pointBody, p.known = d, false
	}
	// The gateway counts from before this, so it is stale when this says so. Every
	// lease that is given counts, even one that will not fit.
	p.lease = now.Add(c.cfg.Lease + leaseSlack)
	p.boot, p.live, p.selfStale, p.emergencies, p.seen = b.Boot, b.Live, b.Stale, b.Emergencies, now
	p.lists, p.detectors, p.versions, p.trusts = b.Lists, b.Detectors, b.Versions, b.Trusts
	p.revision = max(p.revision, b.Revision) // an acknowledgement may have overtaken it
	if b.Error != "" || p.refused <= p.revision {
		p.err = b.Error
	}
	ahead := b.Revision > c.state.revision || b.Revision == c.state.revision && b.Head != c.state.head
	if ahead && !p.diverged {
		// It keeps what it has: that may be tighter. A person has to look.
		c.log.Error("ALARM: an enforcement point is ahead of this control plane: the ledger was rolled back, or it follows another one",
			"gateway", b.Gateway, "its_revision", b.Revision, "revision", c.state.revision)
		c.metrics.alarms.Inc()
	}
	if ahead {
		p.err = "ahead of the control plane: revision " + strconv.FormatUint(b.Revision, 10) + " there, " + strconv.FormatUint(c.state.revision, 10) + " here, or another history"
	}
	p.diverged = ahead
	if !ahead {
		c.enforced(p, b.Revision, now, 0)
	}
	c.show(p, now)
	if !p.known {
		c.nudge()
	}
	return lease
}

func (p *point) same(d pointBody) bool {
	return p.Name == d.Name && p.Version == d.Version && slices.Equal(p.Features, d.Features) && slices.Equal(p.Models, d.Models)
}

// ack takes in what a gateway did with a revision.
func (c *Control) ack(a order.Ack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.points[a.Gateway]
	if p == nil || p.boot != a.Boot || a.Revision > c.state.revision {
		return // its beat comes first, and says more
	}
	now := c.cfg.Now()
	switch a.Phase {
	case order.PhaseAccepted:
		c.accepted(p, a.Revision, now)
	case order.PhaseEnforcing:
		p.revision = max(p.revision, a.Revision)
		if p.revision >= p.refused {
			p.refused, p.err = 0, ""
		}
		c.enforced(p, a.Revision, now, a.Cut)
	case order.PhaseRefused:
		p.refused, p.err = max(p.refused, a.Revision), a.Error
		c.log.Error("an enforcement point refused a revision", "gateway", a.Gateway, "revision", a.Revision, "error", a.Error)
	default:
		return
	}
	c.hub.send(message{name: "ack", data: ackEvent{now.UTC().Round(0), "ack", a}})
	c.show(p, now)
}

type ackEvent struct {
	At   time.Time `json:"at"`
	Type string    `json:"type"`
	order.Ack
}

// show tells those who watch when a point has changed.
func (c *Control) show(p *point, now time.Time) {
	st := p.state(now, c.state.revision)
	if st == p.shown && p.revision == p.shownAt {
		return
	}
	p.shown, p.shownAt = st, p.revision
	c.hub.send(message{name: "point", data: pointEvent{now.UTC().Round(0), "point", c.pointView(p, now)}})
}

type pointEvent struct {
	At   time.Time `json:"at"`
	Type string    `json:"type"`
	pointView
}

// pointView is a point as the API shows it.
type pointView struct {
	Name        string    `json:"name"`
	State       string    `json:"state"`
	Revision    uint64    `json:"revision"`
	Lease       time.Time `json:"lease,omitzero"` // until when
	Live        int64     `json:"live"`
	Stale       bool      `json:"self_stale,omitempty"` // it says itself that it has no lease
	Version     string    `json:"version,omitempty"`
	Features    []string  `json:"features,omitempty"`
	Models      []string  `json:"models,omitempty"`
	Boot        string    `json:"boot,omitempty"`
	LastSeen    time.Time `json:"last_seen_at,omitzero"` // missing: not since the control plane started
	Emergencies []string  `json:"emergencies,omitempty"` // held there, not yet adopted
	Error       string    `json:"error,omitempty"`

	Vouched   uint64 `json:"vouched_entries,omitempty"` // of the ledger, that it vouches for
	SplitView string `json:"split_view,omitempty"`      // how what it has seen does not go with the ledger here; it enforces on

	Credential        string    `json:"credential"` // how it comes in: own, local, shared, revoked
	CredentialExpires time.Time `json:"credential_expires_at,omitzero"`
}

func (c *Control) pointView(p *point, now time.Time) pointView {
	v := pointView{
		Name: p.name, State: p.state(now, c.state.revision), Revision: p.revision, Lease: utc(p.lease), Live: p.live, Stale: p.selfStale,
		Version: p.Version, Features: p.Features, Models: p.Models, Boot: p.boot, LastSeen: utc(p.seen), Error: p.trouble(now),
	}
	v.Credential, v.CredentialExpires = c.credentialOf(p.name)
	if v.Vouched, v.SplitView = c.witnessOf(p.name); v.Error == "" {
		v.Error = v.SplitView // whoever lists points has to see it
	}
	for _, id := range p.emergencies {
		if !c.state.adopted[id] {
			v.Emergencies = append(v.Emergencies, id)
		}
	}
	return v
}
