package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"andon/bus"
	"andon/order"
	"andon/witness"
)

// Bounds of what gateways tell each other of the ledger.
const (
	peersWaiting = 1024                   // statements that wait to be looked at
	peersAtOnce  = 16                     // statements that are looked at in one round
	peersKept    = 4096                   // names that are remembered
	peersApart   = 100 * time.Millisecond // between two statements that a gateway hears, on average
)

// peers is what the other gateways say that they vouch for. Two of them that were
// shown different histories by whoever holds the ledger's key find it out here,
// without any person who compares.
//
// Subscriptions only put what came in a bounded place, the newest of each gateway;
// the looker's goroutine looks at it when it has time. What a statement costs is
// bounded by rounds, not by who sends how much.
type peers struct {
	mu      sync.Mutex
	waiting map[string]hearsay   // by how somebody speaks, and the name
	own     map[string]bool      // names of which a gateway has spoken in its own
	keys    map[string]string    // of gateways, as the control plane names them
	wanted  map[string]bool      // names whose keys are asked for
	heard   map[string]time.Time // gateways whose statements were good, and when
	forks   atomic.Pointer[[]order.Fork]

	// Below belongs to the looker's goroutine.
	told   string // the note that was told last
	toldAt time.Time
}

// hearsay is a statement, and when it may be looked at.
type hearsay struct {
	order.Vouched
	after time.Time
}

// listenPeers subscribes to what the others vouch for.
func (g *Gateway) listenPeers(b Bus) error {
	for _, on := range []string{order.SubjectVouched, order.Named(order.SubjectVouched, "*")} {
		if _, err := b.Subscribe(on, func(m bus.Msg) {
			if v, err := order.OpenVouched(m.Data); err == nil && v.Gateway != g.cfg.Name {
				g.looker.peers.put(order.Speaker(m.Subject, order.SubjectVouched), v)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// put takes a statement in. Who speaks in a name of its own is heard under that
// name alone.
func (p *peers) put(speaker string, v order.Vouched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if speaker != "" && speaker != v.Gateway || speaker == "" && p.own[v.Gateway] {
		return
	}
	if p.waiting == nil {
		p.waiting, p.own, p.keys, p.wanted, p.heard = map[string]hearsay{}, map[string]bool{}, map[string]string{}, map[string]bool{}, map[string]time.Time{}
	}
	if speaker != "" && len(p.own) < peersKept {
		p.own[speaker] = true
	}
	id := speaker + "\x00" + v.Gateway
	old, had := p.waiting[id]
	if !had && len(p.waiting) >= peersWaiting {
		return // it is said again
	}
	p.waiting[id] = hearsay{v, old.after}
}

// take hands out some statements that are due.
func (p *peers) take(now time.Time) (due []hearsay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, s := range p.waiting {
		if len(due) == peersAtOnce {
			break
		}
		if !now.Before(s.after) {
			due = append(due, s)
			delete(p.waiting, id)
		}
	}
	return due
}

// again has a statement looked at once more, unless a newer one has come.
func (p *peers) again(s hearsay, after time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := "\x00" + s.Gateway
	if p.own[s.Gateway] {
		id = s.Gateway + id
	}
	if newer, had := p.waiting[id]; had {
		newer.after = after
		p.waiting[id] = newer
	} else if len(p.waiting) < peersWaiting {
		p.waiting[id] = hearsay{s.Vouched, after}
	}
}

// key is what the control plane says a gateway cosigns with; "" if it has not said
// so. A key that is not the one that is met is asked for.
func (p *peers) key(gateway, met string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := p.keys[gateway]
	if key != met && len(p.wanted) < order.MaxPeers {
		p.wanted[gateway] = true
	}
	return key
}

// ask lists the gateways whose keys the next beat asks for.
func (p *peers) ask() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.wanted {
		names = append(names, name)
	}
	return names
}

// learn takes in the keys that a lease names. What was asked for is asked for anew
// by whoever is met again.
func (p *peers) learn(keys map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, key := range keys {
		if p.wanted[name] {
			if len(p.keys) >= peersKept {
				clear(p.keys)
			}
			p.keys[name] = key
		}
	}
	clear(p.wanted)
}

// met notes that a gateway's statement was good.
func (p *peers) met(gateway string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heard) >= peersKept {
		clear(p.heard)
	}
	p.heard[gateway] = now
}

// count is how many others have been heard.
func (p *peers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.heard)
}

// comparing is one round: what this gateway vouches for is told, and some of what
// the others do is compared. It runs on the looker's goroutine.
func (g *Gateway) comparing(ctx context.Context, b Bus) {
	l := &g.looker
	now := time.Now()
	g.tellPeers(b, now)
	asked := false
	for _, s := range l.peers.take(now) {
		prove := func(a, z uint64) (tlog.TreeProof, error) {
			asked = true
			return g.proof(ctx, b, a, z)
		}
		alone := g.lease.over(g.clock.mono()) // a control plane that is not there can prove nothing
		if asked || alone {
			prove = nil
		}
		name := witness.GatewayName(s.Gateway)
		named := l.peers.key(s.Gateway, s.Key)
		fork, err := l.keeper.Hear(witness.Said{Name: name, Key: s.Key, LogKey: s.LogKey, Note: s.Note, Led: s.Led}, named, prove, now)
		if ctx.Err() != nil {
			return
		}
		switch {
		case fork != nil:
			g.forked(s.Gateway, named == s.Key, fork)
		case errors.Is(err, witness.ErrUnproved) && prove == nil && !alone:
			l.peers.again(s, now)
		case errors.Is(err, witness.ErrUnproved), errors.Is(err, witness.ErrUnnamed):
			g.log.Debug("what another gateway vouches for cannot be compared yet", "peer", s.Gateway, "error", err)
			l.peers.again(s, now.Add(g.cfg.Lease/3))
		case err != nil:
			g.log.Debug("what another gateway vouches for was passed over", "peer", s.Gateway, "error", err)
		default:
			if named == s.Key {
				l.peers.met(s.Gateway, now)
			}
		}
	}
}

// tellPeers says which checkpoint this gateway has cosigned last: at once if it is
// new, and now and then again. The more gateways there are, the rarer each speaks.
func (g *Gateway) tellPeers(b Bus, now time.Time) {
	l := &g.looker
	s := l.keeper.Said()
	apart := max(g.cfg.Lease/3, time.Duration(l.peers.count())*peersApart)
	if since := now.Sub(l.peers.toldAt); s.Note == "" || since < apart || s.Note == l.peers.told && since < 3*apart {
		return
	}
	data, err := json.Marshal(order.Vouched{Gateway: g.cfg.Name, Key: s.Key, LogKey: s.LogKey, Note: s.Note, Led: s.Led})
	if err != nil || len(data) > order.MaxVouched || b.Publish(order.SubjectVouched, data) != nil {
		return // it is said again
	}
	l.peers.told, l.peers.toldAt = s.Note, now.Add(-rand.N(apart/4+1)) // so that not all speak at once
}

// forked raises that another gateway was shown another history.
func (g *Gateway) forked(peer string, named bool, f *witness.Fork) {
	l := &g.looker
	g.log.Error("ALARM: the ledger forks: this gateway and another were shown different histories; it enforces on, and keeps the evidence",
		"peer", peer, "peer_key_is_named", named, "detail", f.Error())
	if err := l.keeper.Unkept(); err != nil {
		g.log.Error("the evidence that the ledger forks could not be kept on disk", "error", err)
	}
	l.publish()
	g.agent.ask(g.agent.beat) // the control plane hears of it at once
}

// tellForks sets which forks the next beats tell of.
func (p *peers) tellForks(forks []witness.Fork) {
	var out []order.Fork
	for _, f := range forks[:min(len(forks), order.MaxForks)] {
		out = append(out, order.Fork{Peer: f.Peer, PeerKey: f.PeerKey, Own: f.Own, Theirs: f.Theirs, LogKey: f.LogKey, PeerLogKey: f.PeerLogKey, Led: f.Led})
	}
	p.forks.Store(&out)
}
