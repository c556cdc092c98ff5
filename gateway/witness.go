package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"andon/order"
	"andon/witness"
)

// proofWait bounds the wait for a proof from the control plane.
const proofWait = 5 * time.Second

// looker vouches for the control plane's ledger: it remembers the newest
// checkpoint, has each later one proved, and cosigns it; beats carry that back.
// It runs beside everything else: what it sees changes nothing that is enforced,
// and nothing on the path of a request knows of it.
type looker struct {
	keeper *witness.Keeper // its own goroutine's; nil: it cannot be opened
	key    string          // of the cosigner
	broken string          // why it cannot

	// The newest of each wins; what is overtaken is not looked at.
	now     chan sight // from leases: what the ledger shows now
	passing chan sight // from orders and states, which may have been on their way for long

	report  atomic.Pointer[order.Witness]
	size    atomic.Uint64
	alarmed atomic.Bool
	said    string // the last trouble that was logged

	forks atomic.Int64 // other gateways that were shown another history
	peers peers
}

// sight is a signed checkpoint that came by.
type sight struct {
	note, key string
}

// openLooker never fails: a gateway that cannot vouch still enforces, and says so.
func (g *Gateway) openLooker() {
	l := &g.looker
	l.now, l.passing = make(chan sight, 1), make(chan sight, 1)
	k, err := witness.OpenKeeper(filepath.Join(g.cfg.Data, "witness"), witness.GatewayName(g.cfg.Name))
	if err != nil {
		l.broken = "it cannot vouch for the ledger: " + err.Error()
		l.alarmed.Store(true)
		g.log.Error("ALARM: this gateway cannot vouch for the control plane's ledger; it enforces on", "error", err)
	} else {
		l.keeper, l.key = k, k.Key()
		if a := k.Alarm(); a != nil {
			g.log.Error("ALARM: the ledger's history does not hold; it was seen earlier, and the evidence is kept", "seen", a.At, "detail", a.Detail)
		}
		for _, f := range k.Forks() {
			g.log.Error("ALARM: the ledger forks: it was seen earlier that this gateway and another were shown different histories, and the evidence is kept", "seen", f.At, "peer", f.Peer, "detail", f.Error())
		}
	}
	l.publish()
}

// measure registers what can be watched of it.
func (l *looker) measure(reg *prometheus.Registry) {
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_ledger_vouched_entries", Help: "Entries of the control plane's ledger that this gateway vouches for."},
			func() float64 { return float64(l.size.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_ledger_alarm", Help: "1 if the ledger was seen to show two histories or to shrink, or cannot be vouched for."},
			func() float64 {
				if l.alarmed.Load() {
					return 1
				}
				return 0
			}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_ledger_forks", Help: "Other gateways that were shown another history of the control plane's ledger."},
			func() float64 { return float64(l.forks.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_ledger_peers", Help: "Other gateways with whose view of the ledger this one's was compared."},
			func() float64 { return float64(l.peers.count()) }))
}

// publish sets what the next beat says.
func (l *looker) publish() {
	r := &order.Witness{Alarm: l.broken}
	if l.keeper != nil {
		held, note := l.keeper.Held()
		r.Key, r.Note = l.key, note
		l.size.Store(held.Size)
		if a := l.keeper.Alarm(); a != nil {
			r.Alarm, r.Shown = a.Detail, a.Shown
			l.alarmed.Store(true)
		}
		forks := l.keeper.Forks()
		l.forks.Store(int64(len(forks)))
		l.peers.tellForks(forks)
		if len(forks) > 0 {
			l.alarmed.Store(true)
		}
	}
	l.report.Store(r)
}

// passes takes note of the checkpoint behind an order or a state.
func (l *looker) passes(note []byte) {
	if len(note) > 0 && len(note) <= witness.MaxNote {
		replace(l.passing, sight{note: string(note)})
	}
}

// shown takes note of the checkpoint in a lease.
func (l *looker) shown(lease *order.Lease) {
	if lease.Checkpoint != "" && lease.LedgerKey != "" {
		replace(l.now, sight{lease.Checkpoint, lease.LedgerKey})
	}
	l.peers.learn(lease.Witnesses)
}

// replace puts a sight where the one before may still lie.
func replace(c chan sight, s sight) {
	for {
		select {
		case c <- s:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// vouch is the looker's goroutine.
func (g *Gateway) vouch(ctx context.Context, b Bus) {
	l := &g.looker
	if l.keeper == nil {
		return
	}
	// An order reaches all gateways at once. They do not all ask for a proof at
	// once: that would be in the way of what they have to say of the order.
	later := time.NewTimer(time.Hour)
	defer later.Stop()
	var waiting *sight
	rounds := time.NewTicker(max(g.cfg.Lease/30, time.Millisecond))
	defer rounds.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-l.now:
			g.saw(ctx, b, s, true)
		case s := <-l.passing:
			if waiting == nil {
				later.Reset(time.Duration(rand.Int64N(int64(g.cfg.Lease/3) + 1)))
			}
			waiting = &s
		case <-later.C:
			if waiting != nil && l.keeper.LogKey() != "" {
				g.saw(ctx, b, sight{waiting.note, l.keeper.LogKey()}, false)
			}
			waiting = nil
		case <-rounds.C:
			g.comparing(ctx, b)
		}
	}
}

// saw looks at one checkpoint.
func (g *Gateway) saw(ctx context.Context, b Bus, s sight, fresh bool) {
	l := &g.looker
	key := l.keeper.LogKey()
	prove := func(a, z uint64) (tlog.TreeProof, error) { return g.proof(ctx, b, a, z) }
	follow := func(key string) ([][]byte, error) {
		c, err := g.askLedger(ctx, b, order.ConsistencyRequest{Key: key})
		return c.Statements, err
	}
	_, err := l.keeper.Take([]byte(s.note), s.key, fresh, prove, follow, time.Now())
	if ctx.Err() != nil {
		return
	}
	l.publish()
	if key != "" && l.keeper.LogKey() != key {
		g.log.Warn("the ledger is signed by a new key, which the one before has named; its history goes on", "key", l.keeper.LogKey())
	}
	if err == nil {
		l.said = ""
		return
	}
	if err.Error() == l.said {
		return
	}
	l.said = err.Error()
	var alarm *witness.Alarm
	if errors.As(err, &alarm) {
		g.log.Error("ALARM: the ledger's history does not hold; this gateway enforces on, and keeps the evidence", "detail", err)
		return
	}
	g.log.Warn("a checkpoint of the ledger was not vouched for", "error", err)
}

// askLedger asks the control plane what shows that the ledger goes on. It is not
// believed, but checked.
func (g *Gateway) askLedger(ctx context.Context, b Bus, r order.ConsistencyRequest) (c order.Consistency, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	r.Gateway = g.cfg.Name
	q, err := json.Marshal(r)
	if err != nil {
		return c, err
	}
	data, err := b.Request(ctx, order.SubjectConsistency, q)
	if err != nil {
		return c, fmt.Errorf("%w: %w", witness.ErrUnanswered, err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read proof: %w", err)
	}
	return c, nil
}

// proof asks for a consistency proof.
func (g *Gateway) proof(ctx context.Context, b Bus, a, z uint64) (tlog.TreeProof, error) {
	c, err := g.askLedger(ctx, b, order.ConsistencyRequest{Old: a, New: z})
	if err != nil {
		return nil, err
	}
	switch {
	case c.Error != "":
		return nil, fmt.Errorf("no proof from the control plane: %.200q", c.Error)
	case c.Old != a || c.New != z || len(c.Proof) > 64:
		return nil, fmt.Errorf("the proof is from %d to %d entries, with %d hashes; asked for from %d to %d", c.Old, c.New, len(c.Proof), a, z)
	}
	var proof tlog.TreeProof
	for _, h := range c.Proof {
		if len(h) != tlog.HashSize {
			return nil, fmt.Errorf("a hash of the proof has %d bytes, not %d", len(h), tlog.HashSize)
		}
		proof = append(proof, tlog.Hash(h))
	}
	return proof, nil
}
