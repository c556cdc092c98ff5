package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"andon/bus"
	"andon/correction"
	"andon/order"
	"andon/witness"
)

// A ring is some gateways that tell each other what they vouch for, in a sealed
// world: time is fake, the bus loses, repeats and holds back what it likes, somebody
// says garbage and lies, gateways crash and come back. Whoever holds the ledger's key
// shows them one history, or two. With one, nobody ever finds a fork; with two,
// everybody does; and in both worlds all go on enforcing.
type ring struct {
	t      *testing.T
	rng    *rand.Rand
	signer order.Signer
	ledger note.Signer
	key    string

	mu    sync.Mutex
	logs  []*history // one, or two that part
	nodes []*seat
	said  [][]byte
	keys  map[string]string // that the record names
	forks map[string]int    // by gateway: that its last beat told of
	down  bool              // nobody answers
	mute  bool              // no proofs
	named bool              // leases name keys
}

// history is a log in memory.
type history struct {
	hashes []tlog.Hash
	size   int64
}

func (h *history) ReadHashes(idx []int64) (out []tlog.Hash, err error) {
	for _, i := range idx {
		out = append(out, h.hashes[i])
	}
	return out, nil
}

func (h *history) grow(n int, kind string) {
	for range n {
		h.hashes = append(h.hashes, must(tlog.StoredHashes(h.size, fmt.Append(nil, kind, h.size), h))...)
		h.size++
	}
}

func (r *ring) checkpointLocked(h *history) string {
	root := must(tlog.TreeHash(h.size, h))
	return string(must(note.Sign(&note.Note{Text: witness.Checkpoint{Origin: r.ledger.Name(), Size: uint64(h.size), Root: root}.Text()}, r.ledger)))
}

// seat is one gateway of a ring, and its end of the bus.
type seat struct {
	r         *ring
	name, dir string
	side      int  // which history it is shown
	own       bool // it speaks in its own name
	slow      bool // what is told lies unread
	g         *Gateway
	hears     map[string]func(bus.Msg)
	unread    []bus.Msg
	vouches   int // statements it made
}

const ringLease = 15 * time.Second

func (p *seat) Publish(subject string, data []byte) error {
	if subject != order.SubjectVouched {
		return nil
	}
	on := subject
	if p.own {
		on = order.Named(subject, p.name)
	}
	p.r.mu.Lock()
	p.vouches++
	p.r.said = append(p.r.said, data)
	lost := p.r.rng.IntN(4) == 0
	p.r.mu.Unlock()
	if !lost {
		p.r.spread(bus.Msg{Subject: on, Data: data})
	}
	return nil
}

// spoken is how many statements it has made.
func (p *seat) spoken() int {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.vouches
}

// spread delivers to everybody, as a bus does.
func (r *ring) spread(m bus.Msg) {
	for _, p := range r.nodes {
		on := order.SubjectVouched
		if m.Subject != on {
			on = order.Named(on, "*")
		}
		r.mu.Lock()
		f := p.hears[on]
		if p.slow {
			p.unread, f = append(p.unread, m), nil
		}
		r.mu.Unlock()
		if f != nil {
			f(m)
		}
	}
}

// catchUp hands a slow gateway all that it has not read.
func (p *seat) catchUp() {
	p.r.mu.Lock()
	p.slow = false
	unread := p.unread
	p.unread = nil
	p.r.mu.Unlock()
	for _, m := range unread {
		p.r.spread(m)
	}
}

func (p *seat) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, bus.ErrNoResponders
	}
	h := r.logs[p.side%len(r.logs)]
	switch subject {
	case order.SubjectSync:
		return order.Sign(order.State{IssuedAt: time.Now()}, r.signer)
	case order.SubjectConsistency:
		var q order.ConsistencyRequest
		if err := json.Unmarshal(data, &q); err != nil || r.mute {
			return nil, errors.Join(err, context.DeadlineExceeded)
		}
		a := order.Consistency{Old: q.Old, New: q.New}
		if q.New > uint64(h.size) {
			a.Error = "there are not so many"
			return json.Marshal(a)
		}
		for _, x := range must(tlog.ProveTree(int64(q.New), int64(q.Old), h)) {
			a.Proof = append(a.Proof, x[:])
		}
		return json.Marshal(a)
	case order.SubjectBeat:
		var b order.Beat
		if err := json.Unmarshal(data, &b); err != nil {
			return nil, err
		}
		r.forks[p.name] = len(b.Forks)
		r.keys[p.name] = b.Witness.Key
		l := order.Lease{Gateway: b.Gateway, Nonce: b.Nonce, Revision: b.Revision, Head: b.Head, At: time.Now(), TTL: correction.Duration(ringLease),
			Checkpoint: r.checkpointLocked(h), LedgerKey: r.key, Witnesses: map[string]string{}}
		if len(b.Peers) > order.MaxPeers {
			r.t.Errorf("a beat asks for %d keys", len(b.Peers))
		}
		for _, name := range b.Peers {
			if key := r.keys[name]; key != "" && r.named {
				l.Witnesses[name] = key
			}
		}
		return order.Sign(l, r.signer)
	}
	return nil, bus.ErrNoResponders
}

func (p *seat) Subscribe(subject string, f func(bus.Msg)) (func(), error) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.hears[subject] = f
	return func() {}, nil
}

func (p *seat) OnGap(func(error))  {}
func (p *seat) OnReconnect(func()) {}

func (p *seat) start() {
	p.r.mu.Lock()
	p.hears = map[string]func(bus.Msg){}
	p.r.mu.Unlock()
	g, err := New(Config{Name: p.name, Data: p.dir, Lease: ringLease, Bus: p, Identity: Identity{Mode: "open"},
		Trust:     order.Trust{Control: []order.PublicKey{p.r.signer.Public()}},
		Upstreams: []Upstream{{Name: "none", Wire: "all", BaseURL: "http://127.0.0.1:1"}}, Models: []Model{{Name: "m", Upstream: "none"}},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.r.t.Fatalf("%s does not come back: %v", p.name, err)
	}
	p.g = g
	if err := g.follow(context.Background()); err != nil {
		p.r.t.Fatal(err)
	}
}

func (p *seat) crash() {
	p.g.stop()
	p.g.running.Wait()
	p.g = nil
}

// forked are those that a gateway found.
func (p *seat) forked() int { return int(p.g.looker.forks.Load()) }

func newRing(t *testing.T, seed uint64, dirs []string) *ring {
	skey, vkey, err := note.GenerateKey(nil, "example.com/andon")
	if err != nil {
		t.Fatal(err)
	}
	r := &ring{t: t, rng: rand.New(rand.NewPCG(seed, 11)), signer: must(order.GenerateSigner()), ledger: must(note.NewSigner(skey)), key: vkey,
		logs: []*history{{}}, keys: map[string]string{}, forks: map[string]int{}, named: true}
	r.logs[0].grow(7, "same")
	for i, dir := range dirs {
		p := &seat{r: r, name: fmt.Sprint("gw-", i), dir: dir, side: i, own: i%3 != 0}
		r.nodes = append(r.nodes, p)
	}
	for _, p := range r.nodes {
		p.start()
	}
	return r
}

// part has whoever holds the key go on differently for every second gateway.
func (r *ring) part() {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := *r.logs[0]
	h.hashes = append([]tlog.Hash(nil), h.hashes...)
	r.logs = append(r.logs, &h)
}

func (r *ring) grow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, h := range r.logs {
		h.grow(1+r.rng.IntN(5), fmt.Sprint("history ", i, " "))
	}
}

// noise says on the bus whatever somebody there may say.
func (r *ring) noise() {
	r.mu.Lock()
	var old []byte
	if len(r.said) > 0 {
		old = r.said[r.rng.IntN(len(r.said))]
	}
	n, who := r.rng.IntN(9), r.nodes[r.rng.IntN(len(r.nodes))].name
	r.mu.Unlock()
	on := order.SubjectVouched
	var v order.Vouched
	_ = json.Unmarshal(old, &v) // nothing was said yet: it stays empty
	liar := must(witness.NewCosigner(witness.GatewayName(who)))
	text := witness.Checkpoint{Origin: r.ledger.Name(), Size: 9, Root: tlog.Hash{byte(n)}}.Text()
	evil, evilKey, _ := note.GenerateKey(nil, r.ledger.Name())
	byEvil := string(must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(evil))))) + liar.Cosign(text, time.Now())
	switch n {
	case 0, 1: // a replay, in its own name or in any
		if on = order.Named(on, v.Gateway); n == 1 {
			on = order.Named(order.SubjectVouched, who)
		}
	case 2:
		old = []byte(strings.Repeat("x", order.MaxVouched+1))
	case 3:
		old = []byte(`{"gateway":"` + who + `","key":"k","log_key":"k","note":"\n\n"}`)
	case 4: // a lie, with a key of the liar's own
		old = must(json.Marshal(order.Vouched{Gateway: who, Key: liar.Verifier(), LogKey: r.key, Note: text + "\n" + liar.Cosign(text, time.Now())}))
	case 5:
		old = must(json.Marshal(order.Vouched{Gateway: who, Key: liar.Verifier(), LogKey: evilKey, Note: byEvil}))
	case 6: // in the liar's own name, as somebody who has a credential
		on = order.Named(on, "gw-evil")
		old = must(json.Marshal(order.Vouched{Gateway: "gw-evil", Key: liar.Verifier(), LogKey: r.key, Note: byEvil}))
	case 7: // a name that nobody has
		old = must(json.Marshal(order.Vouched{Gateway: fmt.Sprint("gw-x", rand.Uint64()), Key: v.Key, LogKey: v.LogKey, Note: v.Note}))
	default:
		old = []byte("{")
	}
	for range 1 + n*n {
		r.spread(bus.Msg{Subject: on, Data: old})
	}
}

// pick draws a number.
func (r *ring) pick(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(n)
}

// step is whatever happens.
func (r *ring) step() {
	p := r.nodes[r.pick(len(r.nodes))]
	switch r.pick(9) {
	case 0, 1:
		r.grow()
	case 2:
		r.noise()
	case 3:
		if p.g != nil {
			p.crash()
		} else {
			p.start()
		}
	case 4:
		r.mu.Lock()
		r.down = !r.down
		r.mu.Unlock()
	case 5:
		r.mu.Lock()
		r.mute = !r.mute
		r.mu.Unlock()
	case 6:
		r.mu.Lock()
		p.slow = true
		r.mu.Unlock()
	case 7:
		p.catchUp()
	}
	time.Sleep(time.Duration(r.pick(20)) * time.Second)
	synctest.Wait()
}

// settle ends all that is in the way, and waits for as long as it may take.
func (r *ring) settle() {
	r.mu.Lock()
	r.down, r.mute = false, false
	r.mu.Unlock()
	for _, p := range r.nodes {
		if p.g == nil {
			p.start()
		}
		p.catchUp()
	}
	for range 12 {
		r.grow()
		time.Sleep(ringLease)
	}
	synctest.Wait()
}

func (r *ring) end() {
	for _, p := range r.nodes {
		if p.g != nil {
			p.crash()
		}
	}
}

func rings(t *testing.T, forked bool) {
	seeds := 12
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				r := newRing(t, uint64(seed), dirs)
				defer r.end()
				for i := range 40 {
					if forked && i == 10 {
						r.part()
					}
					r.step()
				}
				r.settle()
				for _, p := range r.nodes {
					switch n := p.forked(); {
					case !forked && n != 0:
						t.Fatalf("%s found a fork where there is none: %+v", p.name, p.g.looker.keeper.Forks())
					case forked && n == 0:
						t.Fatalf("%s was shown another history than half of the others, and found nothing", p.name)
					case forked && r.forks[p.name] == 0:
						t.Errorf("the beats of %s do not tell", p.name)
					}
					for _, f := range p.g.looker.keeper.Forks() {
						who := r.nodes[int(f.Peer[len(f.Peer)-1]-'0')]
						if _, _, err := f.Check(p.g.looker.key, []string{r.key}); err != nil || who.side%2 == p.side%2 {
							t.Errorf("%s against %s: %v", p.name, f.Peer, err)
						}
					}
					if p.g.lease.over(p.g.clock.mono()) || p.g.current.Load() == nil {
						t.Errorf("%s does not enforce any more", p.name)
					}
					if p.g.looker.alarmed.Load() != forked {
						t.Errorf("%s: its alarm is %v", p.name, !forked)
					}
				}
			})
		})
	}
}

func TestGatewaysFindTwoHistories(t *testing.T) { rings(t, true) }
func TestGatewaysMakeUpNoFork(t *testing.T)     { rings(t, false) }

// TestPeersSpeakNowAndThen: how much is said is bounded, and less by each the more
// they are; one that came back says what it vouches for at once.
func TestPeersSpeakNowAndThen(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		r := newRing(t, 1, dirs)
		defer r.end()
		time.Sleep(4 * ringLease)
		synctest.Wait()
		a := r.nodes[0]
		if n := a.g.looker.peers.count(); n != 1 {
			t.Fatalf("gw-0 has compared itself with %d", n)
		}
		spoken := func(d time.Duration) int {
			before := a.spoken()
			for range int(d / time.Second) {
				r.grow() // something new each second
				time.Sleep(time.Second)
			}
			synctest.Wait()
			return a.spoken() - before
		}
		if n := spoken(20 * ringLease); n < 20 || n > 80 {
			t.Errorf("it spoke %d times in 20 leases", n)
		}
		for i := range 1000 {
			a.g.looker.peers.met(fmt.Sprint("gw-x", i), time.Now())
		}
		if n := spoken(20 * ringLease); n < 1 || n > 5 {
			t.Errorf("among 1000 it spoke %d times in 20 leases", n)
		}
		quiet := a.spoken()
		time.Sleep(10 * ringLease) // nothing is new
		if n := a.spoken() - quiet; n > 1 {
			t.Errorf("it spoke %d times of nothing", n)
		}
		a.crash()
		before := a.spoken()
		a.start()
		time.Sleep(ringLease)
		synctest.Wait()
		if a.spoken() == before {
			t.Error("one that came back is silent")
		}
	})
}

// TestNoiseIsBounded: whoever floods the subject costs a bounded place and a bounded
// number of looks, and does not keep the others from being heard.
func TestNoiseIsBounded(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		r := newRing(t, 2, dirs)
		defer r.end()
		time.Sleep(ringLease)
		r.part()
		for range 40 {
			r.grow()
			for i := range 3000 {
				v := order.Vouched{Gateway: fmt.Sprint("gw-", i%1500), Key: "k", LogKey: "k", Note: "n"}
				if i%2 == 0 { // by somebody with the shared token, in the name of those who have their own
					v.Gateway = r.nodes[1+i/2%2].name
				}
				r.spread(bus.Msg{Subject: order.SubjectVouched, Data: must(json.Marshal(v))})
			}
			for _, p := range r.nodes {
				waits := &p.g.looker.peers
				waits.mu.Lock()
				n := len(waits.waiting)
				waits.mu.Unlock()
				if n > peersWaiting {
					t.Fatalf("%d statements wait", n)
				}
			}
			time.Sleep(ringLease / 2)
		}
		synctest.Wait()
		for _, p := range r.nodes[1:] {
			if p.forked() == 0 {
				t.Errorf("%s hears nothing for the noise", p.name)
			}
		}
	})
}

// TestWhoSpeaks: a gateway that has spoken in its own name is heard under no other.
func TestWhoSpeaks(t *testing.T) {
	var p peers
	now := time.Now()
	for i, tc := range []struct {
		speaker, name string
		taken         bool
	}{{"", "gw-1", true}, {"gw-2", "gw-1", false}, {"gw-1", "gw-1", true}, {"", "gw-1", false}, {"", "gw-2", true}} {
		p.put(tc.speaker, order.Vouched{Gateway: tc.name})
		if got := p.take(now); (len(got) == 1) != tc.taken {
			t.Errorf("%d: %+v", i, got)
		}
	}
	// What is to be looked at again makes way for what is newer, and waits no less.
	p.again(hearsay{Vouched: order.Vouched{Gateway: "gw-1", Note: "old"}}, now.Add(time.Second))
	p.put("gw-1", order.Vouched{Gateway: "gw-1", Note: "new"})
	if got := p.take(now); len(got) != 0 {
		t.Error("too early")
	}
	if got := p.take(now.Add(time.Second)); len(got) != 1 || got[0].Note != "new" {
		t.Errorf("%+v", got)
	}
	// Keys that nobody asked for are not kept, and what is asked for is bounded.
	p.learn(map[string]string{"gw-3": "k"})
	for i := range 100 {
		p.key(fmt.Sprint("gw-", i), "met")
	}
	p.learn(map[string]string{"gw-3": "met", "gw-99": "met"})
	if p.key("gw-3", "met") != "met" || p.key("gw-99", "met") != "" || len(p.ask()) != 1 {
		t.Error("keys")
	}
}

// TestAForkIsKept: it is on disk before anybody is told, stays over a restart, and
// ends when a person takes it away.
func TestAForkIsKept(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		r := newRing(t, 3, dirs)
		defer r.end()
		r.named = false // of one size it needs no names
		time.Sleep(ringLease)
		r.part()
		r.mu.Lock()
		r.logs[0].grow(5, "a")
		r.logs[1].grow(5, "b")
		r.mu.Unlock()
		time.Sleep(10 * ringLease)
		synctest.Wait()
		a := r.nodes[0]
		if a.forked() != 1 {
			t.Fatal("nothing was found")
		}
		r.nodes[1].crash()
		a.crash()
		a.start()
		time.Sleep(ringLease)
		synctest.Wait()
		if a.forked() != 1 || !a.g.looker.alarmed.Load() || r.forks[a.name] != 1 {
			t.Error("a restart forgets the evidence")
		}
		a.crash()
		if err := os.Remove(filepath.Join(a.dir, "witness", "forks.json")); err != nil {
			t.Fatal(err)
		}
		a.start()
		time.Sleep(ringLease)
		synctest.Wait()
		if a.forked() != 0 || r.forks[a.name] != 0 {
			t.Error("it cannot be ended")
		}
	})
}

// TestExplainSaysThatItIsNotKnown: who is asked for it says so, and keeps silent else.
func TestExplainSaysThatItIsNotKnown(t *testing.T) {
	p := newPlane(t)
	p.start(startSim(t), nil)
	p.apply(1, `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-small"]},"reason":"r"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	data, err := p.bus.Request(ctx, order.SubjectExplain, must(json.Marshal(order.ExplainRequest{RequestID: "r-1", All: true})))
	var d order.Decision
	if err = errors.Join(err, json.Unmarshal(data, &d)); err != nil || d.Gateway != "gw-1" || d.RequestID != "" {
		t.Fatalf("%s, %v", data, err)
	}
	short, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer end()
	if data, err := p.bus.Request(short, order.SubjectExplain, must(json.Marshal(order.ExplainRequest{RequestID: "r-1"}))); err == nil {
		t.Errorf("an older control plane would take it for a decision: %s", data)
	}
}
