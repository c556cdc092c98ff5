package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
)

// A fleet is a control plane and some gateways in a sealed world: time is
// fake, the bus loses, repeats and delays what it likes, gateways crash and
// come back from their disks. After every step the promises are checked:
//
//   - a gateway that comes back enforces no older revision than it acknowledged
//   - what it enforces is exactly what that revision says
//   - a gateway whose lease holds enforces what was current a lease ago, or newer
type fleet struct {
	t      *testing.T
	rng    *rand.Rand
	keys   []order.Signer // control's, oldest first
	links  [][]byte       // the successions that lead from one to the next
	turns  bool           // keys are replaced, and those that were are stolen
	mu     sync.Mutex
	states []order.State // by revision
	issued []time.Time   // when each revision became current
	signed [][]byte      // every order, for replays
	acked  map[string]uint64
	nodes  []*node
	down   bool // the control plane
	next   int
}

// node is one gateway and its end of the bus.
type node struct {
	f         *fleet
	name, dir string
	g         *Gateway
	cut       bool // from the bus

	mu          sync.Mutex
	subscribers map[string]func(bus.Msg)
	reconnected []func()
}

const fleetLease = 15 * time.Second

func (n *node) connected() bool {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	return !n.cut && !n.f.down
}

func (n *node) Publish(subject string, data []byte) error {
	if !n.connected() {
		return errors.New("not connected")
	}
	if subject == order.SubjectAck {
		var a order.Ack
		if err := json.Unmarshal(data, &a); err != nil {
			n.f.t.Error(err)
		}
		if a.Phase == order.PhaseEnforcing {
			n.f.mu.Lock()
			n.f.acked[n.name] = max(n.f.acked[n.name], a.Revision)
			n.f.mu.Unlock()
		}
	}
	return nil
}

func (n *node) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	n.f.mu.Lock()
	delay := time.Duration(n.f.pickLocked(50)) * time.Millisecond
	n.f.mu.Unlock()
	time.Sleep(delay)
	if !n.connected() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	s := n.f.states[len(n.f.states)-1]
	switch subject {
	case order.SubjectSuccessions:
		return json.Marshal(order.Successions{Successions: n.f.links})
	case order.SubjectSync:
		return order.Sign(s, n.f.signerLocked())
	case order.SubjectBeat:
		var b order.Beat
		if err := json.Unmarshal(data, &b); err != nil {
			return nil, err
		}
		return order.Sign(order.Lease{Gateway: b.Gateway, Nonce: b.Nonce, Revision: s.Revision, Head: s.Head, At: time.Now(), TTL: correction.Duration(fleetLease)}, n.f.signerLocked())
	}
	return nil, bus.ErrNoResponders
}

func (n *node) Subscribe(subject string, f func(bus.Msg)) (func(), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subscribers[subject] = f
	return func() {}, nil
}

func (n *node) OnGap(func(error)) {}

func (n *node) OnReconnect(f func()) {
	n.mu.Lock()
	n.reconnected = append(n.reconnected, f)
	n.mu.Unlock()
}

// deliver hands an order in, if the bus is in the mood.
func (n *node) deliver(signed []byte) {
	if n.g == nil || !n.connected() {
		return
	}
	n.tell(order.SubjectOrder, signed)
}

func (n *node) tell(subject string, data []byte) {
	n.mu.Lock()
	f := n.subscribers[subject]
	n.mu.Unlock()
	f(bus.Msg{Subject: subject, Data: data})
}

func (n *node) start() {
	n.subscribers, n.reconnected = map[string]func(bus.Msg){}, nil
	g, err := New(Config{Name: n.name, Data: n.dir, Lease: fleetLease, Bus: n, Identity: Identity{Mode: "open"},
		Trust:     order.Trust{Control: []order.PublicKey{n.f.keys[0].Public()}},
		Upstreams: []Upstream{{Name: "none", Wire: "all", BaseURL: "http://127.0.0.1:1"}},
		Models:    []Model{{Name: "holds", Upstream: "none"}, {Name: "refuses", Upstream: "none", OnStale: Refuse}},
		Logger:    slog.New(slog.DiscardHandler)})
	if err != nil {
		n.f.t.Fatalf("%s does not come back: %v", n.name, err)
	}
	g.hosts["none"].DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("there is no provider in this world") // 502 says: it was allowed
	}
	n.g = g
	if err := g.follow(context.Background()); err != nil {
		n.f.t.Fatal(err)
	}
}

func (n *node) crash() {
	n.g.stop()
	n.g.running.Wait()
	n.g = nil
}

// ask has the gateway decide one request, and returns whether it refuses.
func (n *node) ask(model, user string) (refused bool, answer string) {
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"x"}],"user":%q}`, model, user)
	r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	n.g.ServeHTTP(w, r)
	return w.Code != http.StatusBadGateway, fmt.Sprint(w.Code, " ", w.Body.String())
}

func (f *fleet) issue(put []correction.Correction, drop []string) {
	f.mu.Lock()
	s := f.states[len(f.states)-1]
	o := order.Order{Revision: s.Revision + 1, Prev: s.Head, IssuedAt: time.Now().UTC(), Put: put, Drop: drop}
	for i := range o.Put {
		o.Put[i].AppliedAt = o.IssuedAt
	}
	if err := s.Apply(&o, must(o.Head())); err != nil {
		f.t.Fatal(err)
	}
	signed := must(order.Sign(o, f.signerLocked()))
	f.states, f.issued, f.signed = append(f.states, s), append(f.issued, time.Now()), append(f.signed, signed)
	f.mu.Unlock()
	for _, n := range f.nodes {
		switch f.pick(5) {
		case 0: // lost
		case 1: // twice
			n.deliver(signed)
			n.deliver(signed)
		default:
			n.deliver(signed)
		}
	}
}

// pick is the fleet's chance.
func (f *fleet) pick(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pickLocked(n)
}

func (f *fleet) pickLocked(n int) int { return f.rng.IntN(n) }

func (f *fleet) ackedBy(name string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked[name]
}

func (f *fleet) step() string {
	current := f.states[len(f.states)-1]
	n := f.nodes[f.pick(len(f.nodes))]
	if f.turns && f.pick(6) == 0 {
		if f.pick(2) == 0 {
			return f.rotate()
		}
		return f.steal(n)
	}
	switch f.pick(12) {
	case 0, 1, 2:
		f.next++
		user := fmt.Sprintf("u%d", f.pick(4))
		c := correction.Correction{ID: fmt.Sprintf("c-%d", f.next), Kind: correction.Access, Params: correction.Params{Mode: "block"},
			Scope: correction.Scope{Users: []string{user}}, Reason: "test"}
		if f.pick(3) == 0 {
			c.ExpiresAt = time.Now().Add(time.Duration(1+f.pick(90)) * time.Second)
		}
		f.issue([]correction.Correction{c}, nil)
		return "block " + user
	case 3:
		if len(current.Corrections) == 0 {
			return "nothing to lift"
		}
		id := current.Corrections[f.pick(len(current.Corrections))].ID
		f.issue(nil, []string{id})
		return "lift " + id
	case 4:
		if n.g != nil {
			n.crash()
			return n.name + " crashes"
		}
		n.start()
		return n.name + " comes back"
	case 5:
		f.mu.Lock()
		n.cut = !n.cut
		f.mu.Unlock()
		if !n.cut && n.g != nil {
			for _, again := range n.reconnected {
				again()
			}
		}
		return fmt.Sprint(n.name, " cut off: ", n.cut)
	case 6:
		f.mu.Lock()
		f.down = !f.down
		f.mu.Unlock()
		return fmt.Sprint("control down: ", f.down)
	case 7, 8:
		if len(f.signed) == 0 {
			return "nothing to replay"
		}
		i := f.pick(len(f.signed))
		n.deliver(f.signed[i])
		return fmt.Sprintf("replay %d to %s", i+1, n.name)
	case 9:
		time.Sleep(time.Duration(f.pick(40)) * time.Second)
		return "time passes"
	case 10:
		if n.g == nil { // a torn write: the tail loses its last bytes, as if power had failed before they were acknowledged
			path := filepath.Join(n.dir, "tail.log")
			if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
				garbage := append(data, 0, 0, 1, 0, 7)
				os.WriteFile(path, garbage, 0o600)
				return n.name + " has a torn tail"
			}
		}
		return "no tail to tear"
	}
	time.Sleep(time.Duration(f.pick(500)) * time.Millisecond)
	return "a moment"
}

func (f *fleet) check(what string) {
	synctest.Wait()
	now := time.Now()
	for _, n := range f.nodes {
		if n.g == nil {
			continue
		}
		rl := n.g.current.Load()
		if rl == nil {
			if refused, answer := n.ask("holds", "nobody"); !refused {
				f.t.Fatalf("after %q: %s has no order and serves: %s", what, n.name, answer)
			}
			continue
		}
		if acked := f.ackedBy(n.name); rl.revision < acked {
			f.t.Fatalf("after %q: %s enforces revision %d, and had acknowledged %d", what, n.name, rl.revision, acked)
		}
		state := f.states[rl.revision]
		blocked := map[string]bool{}
		for _, c := range state.Corrections {
			if c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt) {
				blocked[c.Scope.Users[0]] = true
			}
		}
		for _, user := range []string{"u0", "u1", "u2", "u3", "nobody"} {
			refused, answer := n.ask("holds", user)
			if refused != blocked[user] {
				f.t.Fatalf("after %q: %s at revision %d: %s refused: %v, want %v: %s", what, n.name, rl.revision, user, refused, blocked[user], answer)
			}
		}
		// Promise 4: while a lease holds, what was current a lease ago is in force.
		if !n.g.lease.over(n.g.clock.mono()) {
			var must uint64
			for r, at := range f.issued {
				if now.Sub(at) > fleetLease {
					must = uint64(r)
				}
			}
			if rl.revision < must {
				f.t.Fatalf("after %q: %s holds a lease at revision %d; revision %d is older than a lease", what, n.name, rl.revision, must)
			}
		} else if refused, answer := n.ask("refuses", "nobody"); !refused {
			f.t.Fatalf("after %q: %s is stale and serves a model that refuses: %s", what, n.name, answer)
		}
	}
}

func TestFleetsLoosenNothing(t *testing.T) { fleets(t, false) }

// TestFleetsFollowRotations: no key that was replaced loosens anything, no
// correction is lost when one is, and every gateway comes to the last one.
func TestFleetsFollowRotations(t *testing.T) { fleets(t, true) }

// signerLocked is the key that counts, or one that it has warranted.
func (f *fleet) signerLocked() order.Signer {
	s := f.keys[len(f.keys)-1]
	if f.turns && f.pickLocked(2) == 0 {
		return must(order.NewSession(s, time.Now(), time.Hour))
	}
	return s
}

func (f *fleet) rotate() string {
	f.mu.Lock()
	s, from, to := f.states[len(f.states)-1], f.keys[len(f.keys)-1], must(order.GenerateSigner())
	f.links = append(f.links, must(order.SignSuccession(order.Succession{N: uint64(len(f.keys)), From: from.Public(), To: to.Public(),
		Revision: s.Revision, Head: s.Head, At: time.Now()}, from, to)))
	f.keys = append(f.keys, to)
	list := must(json.Marshal(order.Successions{Successions: f.links}))
	f.mu.Unlock()
	for _, n := range f.nodes {
		if n.g != nil && n.connected() && f.pick(2) == 0 { // others find out by themselves
			n.tell(order.SubjectSuccession, list)
		}
	}
	return fmt.Sprint("rotate to ", len(f.keys))
}

// steal has a thief lift everything by a key that was replaced. A gateway that has
// heard of the succession takes nothing of it.
func (f *fleet) steal(n *node) string {
	if n.g == nil || len(f.keys) < 2 {
		return "nothing to steal"
	}
	synctest.Wait()
	old := f.keys[f.pick(len(f.keys)-1)]
	for _, k := range n.g.agent.follower.Trust().Control {
		if k == old.Public() {
			return "not heard yet"
		}
	}
	forged := order.State{Revision: 1000, Head: order.Hash{1}, IssuedAt: time.Now()}
	lift := order.Order{Revision: n.g.agent.follower.State().Revision + 1, Prev: n.g.agent.follower.State().Head, IssuedAt: time.Now(), PutKeys: []order.Key{{ID: "k-evil", Hash: strings.Repeat("0", 64)}}}
	evil := must(order.GenerateSigner())
	n.deliver(must(order.Sign(lift, old)))
	n.deliver(must(order.Sign(lift, must(order.NewSession(old, time.Now(), time.Hour)))))
	n.tell(order.SubjectSuccession, must(json.Marshal(order.Successions{Successions: [][]byte{must(order.SignSuccession(order.Succession{N: 1, From: old.Public(),
		To: evil.Public(), Revision: forged.Revision, Head: forged.Head, At: time.Now()}, old, evil))}})))
	n.deliver(must(order.Sign(lift, evil)))
	synctest.Wait()
	if r := n.g.agent.follower.State().Revision; r == lift.Revision && n.g.agent.follower.State().Head == must(lift.Head()) {
		f.t.Fatalf("%s took a forged order", n.name)
	}
	return "thief at " + n.name
}

// settle ends all partitions, and waits until everybody is where control is.
func (f *fleet) settle() {
	f.mu.Lock()
	f.down = false
	for _, n := range f.nodes {
		n.cut = false
	}
	last, key := f.states[len(f.states)-1], f.keys[len(f.keys)-1].Public()
	f.mu.Unlock()
	for _, n := range f.nodes {
		if n.g == nil {
			n.start()
		}
	}
	time.Sleep(2 * fleetLease)
	f.check("all is well again")
	for _, n := range f.nodes {
		if rl := n.g.current.Load(); rl == nil || rl.revision != last.Revision || rl.head != last.Head || n.g.lease.over(n.g.clock.mono()) {
			f.t.Fatalf("%s does not come to revision %d: %+v", n.name, last.Revision, rl)
		}
		if k := n.g.agent.follower.Trust().Control; last.Revision > 0 && (len(k) != 1 || k[0] != key) {
			f.t.Fatalf("%s trusts %v", n.name, k)
		}
	}
}

func fleets(t *testing.T, turns bool) {
	seeds := 40
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				f := &fleet{t: t, turns: turns, rng: rand.New(rand.NewPCG(uint64(seed), 7)), acked: map[string]uint64{},
					states: []order.State{{}}, issued: []time.Time{time.Now()}}
				f.keys = []order.Signer{must(order.GenerateSigner())}
				for i, dir := range dirs {
					n := &node{f: f, name: fmt.Sprintf("gw-%d", i), dir: dir}
					f.nodes = append(f.nodes, n)
					n.start()
				}
				for range 80 {
					f.check(f.step())
				}
				f.settle()
				for _, n := range f.nodes {
					if n.g != nil {
						n.crash()
					}
				}
			})
		})
	}
}
