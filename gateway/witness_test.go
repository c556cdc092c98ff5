package gateway

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"andon/bus"
	"andon/ledger"
	"andon/order"
	"andon/witness"
)

// book is the ledger of a control plane that can be swapped for another.
type book struct {
	t      *testing.T
	signer note.Signer
	key    string
	log    *ledger.SQLite
	beat   order.Beat // the last
	asked  int        // for proofs
	bad    bool       // proofs are garbage
}

// keep gives a plane a ledger.
func (p *plane) keep(t *testing.T) *book {
	t.Helper()
	skey, vkey, err := ledger.NewSigner("example.com/andon")
	if err != nil {
		t.Fatal(err)
	}
	b := &book{t: t, signer: must(note.NewSigner(skey)), key: vkey}
	b.log = b.open()
	p.mu.Lock()
	p.onBeat = func(beat order.Beat, l *order.Lease) {
		b.beat = beat
		l.Checkpoint, l.LedgerKey = string(must(b.log.Checkpoint(context.Background()))), b.key
	}
	p.mu.Unlock()
	p.serve(order.SubjectConsistency, func(m bus.Msg) []byte {
		var q order.ConsistencyRequest
		if err := json.Unmarshal(m.Data, &q); err != nil {
			t.Error(err)
		}
		b.asked++
		c := order.Consistency{Old: q.Old, New: q.New}
		proof, err := b.log.Consistency(context.Background(), q.Old, q.New)
		if err != nil {
			c.Error = err.Error()
		}
		for _, h := range proof {
			if b.bad {
				h[0] ^= 1
			}
			c.Proof = append(c.Proof, h[:])
		}
		return must(json.Marshal(c))
	})
	return b
}

func (b *book) open() *ledger.SQLite {
	b.t.Helper()
	l, err := ledger.OpenSQLite(filepath.Join(b.t.TempDir(), "ledger.db"), b.signer)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	return l
}

func fillBook(t *testing.T, l *ledger.SQLite, n int, text string) {
	t.Helper()
	for range n {
		e := ledger.Entry{At: time.Unix(1e9, 0), Type: "test.made", Body: fmt.Appendf(nil, "%q", text)}
		if _, err := l.Append(t.Context(), l.Size(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// vouched waits until a beat says what the gateway thinks of the ledger.
func (p *plane) vouched(b *book, what string, want func(order.Witness, witness.Checkpoint) bool) order.Witness {
	p.t.Helper()
	var last order.Witness
	p.await(what, func() bool {
		last = b.beat.Witness
		text, _, _ := witness.Split([]byte(last.Note))
		c, _ := witness.Parse(text)
		return want(last, c)
	})
	return last
}

func size(n uint64) func(order.Witness, witness.Checkpoint) bool {
	return func(w order.Witness, c witness.Checkpoint) bool { return c.Size == n && w.Alarm == "" }
}

func alarm(text string) func(order.Witness, witness.Checkpoint) bool {
	return func(w order.Witness, _ witness.Checkpoint) bool { return strings.Contains(w.Alarm, text) }
}

func TestGatewayVouchesForTheLedger(t *testing.T) {
	p := newPlane(t)
	b := p.keep(t)
	fillBook(t, b.log, 3, "a")
	quick := func(c *Config) { c.Lease = 150 * time.Millisecond }
	g, stop := p.launch(startSim(t), quick)
	w := p.vouched(b, "a first checkpoint", size(3))
	fillBook(t, b.log, 40, "a")
	w = p.vouched(b, "a later one", size(43))
	v, err := witness.NewVerifier(w.Key)
	if err != nil || v.Name() != witness.GatewayName(g.cfg.Name) {
		t.Fatal(v, err)
	}
	if _, _, err := v.Line([]byte(w.Note)); err != nil {
		t.Error(err)
	}
	// Behind an order, while leases say nothing.
	p.mu.Lock()
	lease := p.onBeat
	p.onBeat = func(beat order.Beat, _ *order.Lease) { b.beat = beat }
	p.mu.Unlock()
	fillBook(t, b.log, 5, "a")
	p.bus.Publish(order.SubjectOrder, order.WithCheckpoint(must(order.Sign(order.Order{Revision: 1}, p.signer)), must(b.log.Checkpoint(t.Context()))))
	p.vouched(b, "the one behind an order", size(48))
	if g.current.Load().revision != p.revision() {
		t.Error("it does not enforce any more")
	}
	stop()

	// Rolled back while it was away, and back to the truth: the alarm stays.
	p.mu.Lock()
	genuine := b.log
	b.log, p.onBeat = b.open(), lease
	p.mu.Unlock()
	fillBook(t, b.log, 47, "a")
	g, stop = p.launch(startSim(t), func(c *Config) { quick(c); c.Data = g.cfg.Data })
	w = p.vouched(b, "a roll-back", alarm("it had 48 entries, and now 47"))
	if w.Shown == "" {
		t.Error("no evidence")
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hi")); a.status != 200 {
		t.Errorf("it does not serve any more: %d", a.status)
	}
	p.mu.Lock()
	b.log = genuine
	p.mu.Unlock()
	fillBook(t, genuine, 1, "a")
	p.vouched(b, "the true one", func(w order.Witness, c witness.Checkpoint) bool { return c.Size == 49 && w.Alarm != "" })
	stop()
	_, stop = p.launch(startSim(t), func(c *Config) { quick(c); c.Data = g.cfg.Data })
	p.mu.Lock()
	b.beat = order.Beat{}
	p.mu.Unlock()
	p.vouched(b, "the alarm after a restart", alarm("rolled back"))
	stop()
}

func TestGatewaySeesTwoHistories(t *testing.T) {
	for name, c := range map[string]struct {
		entries int
		want    string
	}{"of one size": {10, "two histories of 10 entries"}, "of another size": {25, "two histories"}} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			b := p.keep(t)
			fillBook(t, b.log, 10, "a")
			_, stop := p.launch(startSim(t), func(c *Config) { c.Lease = 150 * time.Millisecond })
			defer stop()
			p.vouched(b, "a first checkpoint", size(10))
			other := b.open()
			fillBook(t, other, c.entries, "b")
			p.mu.Lock()
			b.log = other
			p.mu.Unlock()
			p.vouched(b, "two histories", alarm(c.want))
		})
	}
}

// TestAProofThatComesLate: what is damaged on its way is asked for again.
func TestAProofThatComesLate(t *testing.T) {
	p := newPlane(t)
	b := p.keep(t)
	fillBook(t, b.log, 10, "a")
	_, stop := p.launch(startSim(t), func(c *Config) { c.Lease = 600 * time.Millisecond })
	defer stop()
	p.vouched(b, "a first checkpoint", size(10))
	p.mu.Lock()
	b.bad, b.asked = true, 0
	p.mu.Unlock()
	fillBook(t, b.log, 7, "a")
	p.await("a proof that is asked for", func() bool {
		if b.asked > 0 {
			b.bad = false
		}
		return b.asked > 0
	})
	p.vouched(b, "the proof", size(17))
}
