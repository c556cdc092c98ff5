package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"andon/ledger"
	"andon/order"
	"andon/witness"
)

// Two gateways that were shown different histories of the ledger find it out by
// themselves, and beats bring the evidence. A gateway alone can make none up: both
// notes are signed by keys of this ledger, and where their sizes differ this ledger
// has to hold one of the two histories, and not the other. What is evidence becomes
// an entry, once for each pair, and is shown before everything else for as long as a
// gateway says so.

// typeWitnessForked is the entry that says so.
const typeWitnessForked = "witness.forked"

type forkedBody struct {
	Gateway string `json:"gateway"`           // that found it
	Peer    string `json:"peer"`              // the other gateway
	Unnamed bool   `json:"unnamed,omitempty"` // the peer's key is none that the record names: only the fork is certain, not whom it was shown
	Key     string `json:"key"`               // that the gateway cosigns with
	order.Fork
}

// Bounds of evidence.
const (
	maxForkPairs = 64
	maxForkLed   = 2 * 8   // statements
	maxForkText  = 8 << 10 // bytes of each text
)

// pair is the two gateways, whoever found it.
func (b *forkedBody) pair() string {
	return min(b.Gateway, b.Peer) + "\x00" + max(b.Gateway, b.Peer)
}

func (b *forkedBody) fork() *witness.Fork {
	return &witness.Fork{Peer: b.Fork.Peer, PeerKey: b.PeerKey, Own: b.Own, Theirs: b.Theirs, LogKey: b.LogKey, PeerLogKey: b.PeerLogKey, Led: b.Led}
}

// says is the alarm.
func (b *forkedBody) says() string {
	peer := b.Peer
	if b.Unnamed {
		peer = "somebody who calls itself " + peer
	}
	return "the ledger forks: " + b.Gateway + " and " + peer + " were shown different histories"
}

// detail is what the evidence shows.
func (b *forkedBody) detail() string { return b.fork().Error() }

func foldForked(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[forkedBody](e.Body)
	if err == nil && (b.Gateway == "" || b.Peer == "" || b.Own == "" || b.Theirs == "") {
		err = fmt.Errorf("a fork without two sides: %w", errForm)
	}
	return func() {
		if s.witness.forks == nil {
			s.witness.forks = map[string]forkRecord{}
		}
		s.witness.forks[b.pair()] = forkRecord{b, e.Seq, e.At.UTC()}
	}, err
}

// forkRecord is a fork that stands in the record.
type forkRecord struct {
	forkedBody
	seq uint64
	at  time.Time
}

// namedWitnesses are the keys that gateways cosign with, of those that are asked for.
// Who was revoked is no witness.
func (c *Control) namedWitnesses(names []string) map[string]string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out map[string]string
	for _, name := range names[:min(len(names), order.MaxPeers)] {
		if how, _ := c.credentialOf(name); c.state.witness.keys[name] == "" || how == credentialRevoked {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = c.state.witness.keys[name]
	}
	return out
}

// ledgerKeys are the keys that have signed this ledger.
func (s *state) ledgerKeys(now string) []string {
	keys := []string{now}
	for i := range s.signing.rekeyed {
		keys = append(keys, s.signing.rekeyed[i].From)
	}
	return keys
}

// forks takes in which forks a gateway tells of.
func (c *Control) forks(gateway, key string, told []order.Fork) {
	told = told[:min(len(told), order.MaxForks)]
	c.seen.mu.Lock()
	last := c.seen.forks[gateway]
	same := len(last) == len(told) && slices.EqualFunc(last, told, func(b forkedBody, f order.Fork) bool { return sameFork(&b.Fork, &f) && b.Key == key })
	c.seen.mu.Unlock()
	if same {
		return
	}
	var good []forkedBody
	for i := range told {
		b := forkedBody{Gateway: gateway, Key: key, Fork: told[i]}
		if err := c.examineFork(&b); err != nil {
			if c.complaints.first("fork " + gateway + " " + err.Error()) {
				c.log.Warn("what a gateway brings is no evidence that the ledger forks", "gateway", gateway, "error", err)
			}
			continue
		}
		if !slices.ContainsFunc(last, func(o forkedBody) bool { return o.pair() == b.pair() }) {
			c.log.Error("ALARM: "+b.says(), "detail", b.detail())
			c.metrics.alarms.Inc()
		}
		good = append(good, b)
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	if c.seen.forks == nil {
		c.seen.forks = map[string][]forkedBody{}
	}
	if len(good) > 0 && (len(c.seen.forks) < maxPoints || last != nil) {
		c.seen.forks[gateway] = good
	} else {
		delete(c.seen.forks, gateway)
	}
}

func sameFork(a, b *order.Fork) bool {
	return a.Peer == b.Peer && a.PeerKey == b.PeerKey && a.Own == b.Own && a.Theirs == b.Theirs && a.LogKey == b.LogKey && a.PeerLogKey == b.PeerLogKey && slices.Equal(a.Led, b.Led)
}

// examineFork says why evidence is none.
func (c *Control) examineFork(b *forkedBody) error {
	f := &b.Fork
	for _, text := range append([]string{b.Key, f.Peer, f.PeerKey, f.Own, f.Theirs, f.LogKey, f.PeerLogKey}, f.Led[:min(len(f.Led), maxForkLed)]...) {
		if len(text) > maxForkText || len(f.Led) > maxForkLed {
			return fmt.Errorf("it is out of bounds: texts of at most %d bytes, and %d statements", maxForkText, maxForkLed)
		}
	}
	var ok bool
	if b.Peer, ok = witness.Gateway(f.Peer); !ok || b.Peer == b.Gateway || checkLine("peer", b.Peer, maxPointName) != nil {
		return fmt.Errorf("%.80q is no other gateway", f.Peer)
	}
	v, err := witness.NewVerifier(b.Key)
	if err != nil {
		return err
	}
	if v.Name() != witness.GatewayName(b.Gateway) {
		return fmt.Errorf("the key is of %q", v.Name())
	}
	c.mu.RLock()
	known := c.state.ledgerKeys(c.cfg.LedgerKey)
	b.Unnamed = c.state.witness.keys[b.Peer] != f.PeerKey
	c.mu.RUnlock()
	evidence := b.fork()
	mine, theirs, err := evidence.Check(b.Key, known)
	if err != nil || evidence.Proven() {
		return err
	}
	// Of two sizes: one of them has to be of the history here, and the other not.
	// A ledger that was rolled back holds neither, and one that is whole both.
	x, y := c.contradicts(mine), c.contradicts(theirs)
	switch {
	case b.Unnamed:
		return fmt.Errorf("the key of %s is none that the record names", b.Peer)
	case x == "" && y == "":
		return fmt.Errorf("what it was shown, %d entries, and what %s was, %d, are both of this ledger's history", mine.Size, b.Peer, theirs.Size)
	case x != "" && y != "":
		return fmt.Errorf("neither its %d entries nor the %d of %s are of this ledger's history", mine.Size, theirs.Size, b.Peer)
	}
	return nil
}

// forkDrafts are the entries of forks that are not in the record yet.
func (s *state) forkDrafts(said map[string][]forkedBody) (out []draft) {
	pairs := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		for _, b := range said[name] {
			if _, had := s.witness.forks[b.pair()]; !had && !pairs[b.pair()] && len(s.witness.forks)+len(pairs) < maxForkPairs {
				pairs[b.pair()] = true
				out = append(out, draft{typeWitnessForked, b})
			}
		}
	}
	return out
}

// sideView is one side of a fork: what somebody vouches for.
type sideView struct {
	Gateway   string `json:"gateway"`
	Key       string `json:"key"`        // that it cosigned with
	LedgerKey string `json:"ledger_key"` // that signed the note
	Note      string `json:"note"`
}

// forkView is evidence that the ledger shows two histories.
type forkView struct {
	Says       string     `json:"says"`
	Detail     string     `json:"detail"`
	Proven     bool       `json:"proven"`               // the two notes prove it by themselves: one size, two roots
	Entry      *uint64    `json:"entry,omitempty"`      // of the record; missing: not yet
	At         time.Time  `json:"at,omitzero"`          // when it was recorded
	SaidBy     []string   `json:"said_by"`              // gateways that say so now; none: nobody does any more
	Sides      []sideView `json:"sides"`                // two
	Statements []string   `json:"statements,omitempty"` // by which keys of the ledger followed one another
}

// forkViews are all forks that are known: what is said now first.
func (c *Control) forkViews() []forkView {
	c.mu.RLock()
	recorded := maps.Clone(c.state.witness.forks)
	c.mu.RUnlock()
	bodies, said := map[string]forkedBody{}, map[string][]string{}
	for pair, r := range recorded {
		bodies[pair] = r.forkedBody
	}
	c.seen.mu.Lock()
	for name, bs := range c.seen.forks {
		for _, b := range bs {
			if _, had := bodies[b.pair()]; !had {
				bodies[b.pair()] = b
			}
			said[b.pair()] = append(said[b.pair()], name)
		}
	}
	c.seen.mu.Unlock()
	out := []forkView{}
	for _, pair := range slices.Sorted(maps.Keys(bodies)) {
		b := bodies[pair]
		v := forkView{Says: b.says(), Detail: b.detail(), Proven: b.fork().Proven(), SaidBy: append([]string{}, said[pair]...), Statements: b.Led,
			Sides: []sideView{{b.Gateway, b.Key, b.LogKey, b.Own}, {b.Peer, b.PeerKey, b.PeerLogKey, b.Theirs}}}
		slices.Sort(v.SaidBy)
		if r, had := recorded[pair]; had {
			v.Entry, v.At = &r.seq, r.at
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b forkView) int { return min(len(b.SaidBy), 1) - min(len(a.SaidBy), 1) })
	return out
}

// forkOf is what a gateway says of forks now; "" if nothing. The caller holds seen.mu.
func (w *witnesses) forkOf(gateway string) string {
	var out []string
	for _, b := range w.forks[gateway] {
		out = append(out, b.says())
	}
	return strings.Join(out, "; ")
}
