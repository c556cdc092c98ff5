package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/go-json-experiment/json"

	"andon/bus"
	named "andon/list"
	"andon/order"
)

// stacks is what a plane gives to gateways that ask for lists.
type stacks struct {
	mu     sync.Mutex
	p      *plane
	chunks map[order.Hash][][]byte // the manifest first
	asked  map[order.Hash]int
	hold   chan struct{} // not nil: parts after the first wait for it
	answer order.ListAnswer
	beats  map[string]map[string]order.ListHeld
}

func (p *plane) stacks() *stacks {
	st := &stacks{p: p, chunks: map[order.Hash][][]byte{}, asked: map[order.Hash]int{}, beats: map[string]map[string]order.ListHeld{}}
	_, err := p.bus.Subscribe(order.SubjectList, func(m bus.Msg) {
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		var q order.ListRequest
		if err := json.Unmarshal(m.Data, &q); err != nil {
			p.t.Error(err)
		}
		st.mu.Lock()
		parts, hold, answer := st.chunks[q.Digest], st.hold, st.answer
		st.asked[q.Digest]++
		st.mu.Unlock()
		switch {
		case silent:
		case answer != 0:
			m.Respond([]byte{byte(answer)})
		case q.Chunk < 0 || q.Chunk >= len(parts):
			m.Respond([]byte{byte(order.ListUnknown)})
		default:
			go func() {
				if hold != nil && q.Chunk > 0 {
					<-hold
				}
				m.Respond(append([]byte{byte(order.ListPart)}, parts[q.Chunk]...))
			}()
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = p.bus.Subscribe(order.SubjectBeat, func(m bus.Msg) {
		var b order.Beat
		if json.Unmarshal(m.Data, &b) == nil {
			st.mu.Lock()
			st.beats[b.Gateway] = b.Lists
			st.mu.Unlock()
			p.tell()
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return st
}

// stack makes a version of a list ready to be fetched.
func (st *stacks) stack(name string, set *named.Set) order.ListRef {
	m := set.Manifest()
	var all bytes.Buffer
	set.WriteTo(&all)
	parts := [][]byte{m.Encode()}
	for _, c := range m {
		parts = append(parts, bytes.Clone(all.Next(c.Size)))
	}
	digest := order.Hash(m.Digest())
	st.mu.Lock()
	st.chunks[digest] = parts
	st.mu.Unlock()
	return order.ListRef{Name: name, Dimension: set.Dimension(), Digest: digest, Entries: int64(set.Len()), Bytes: m.Size()}
}

func setOf(t testing.TB, dimension string, entries ...string) *named.Set {
	t.Helper()
	s, err := named.Build(dimension, strings.NewReader(strings.Join(entries, "\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put puts a version of a list in force, whole or not.
func (st *stacks) put(name, dimension string, entries ...string) order.ListRef {
	st.p.t.Helper()
	ref := st.stack(name, setOf(st.p.t, dimension, entries...))
	st.p.issue(order.Order{PutLists: []order.ListRef{ref}})
	return ref
}

// holds waits until a gateway says that it decides by a version.
func (st *stacks) holds(ref order.ListRef) {
	st.p.t.Helper()
	st.says("holds "+ref.Name, ref.Name, func(h order.ListHeld) bool { return h.Digest == ref.Digest && h.Loading.IsZero() })
}

func (st *stacks) says(what, name string, cond func(order.ListHeld) bool) {
	st.p.t.Helper()
	st.p.await(what, func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		h, ok := st.beats["gw-1"][name]
		return ok && cond(h)
	})
}

func (st *stacks) set(f func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f()
}

const blockListed = `{"kind":"access","params":{"mode":"block"},"scope":{"lists":["banned"]},"reason":"test"}`

// as sends a small call for an end user.
func as(t testing.TB, g *Gateway, user string) int {
	t.Helper()
	return send(t, g, "/v1/chat/completions", chat("sim-small", "hello", fmt.Sprintf(`,"user":%q`, user))).status
}

func expect(t testing.TB, g *Gateway, want map[string]int) {
	t.Helper()
	for user, status := range want {
		if got := as(t, g, user); got != status {
			t.Errorf("%s: %d, not %d", user, got, status)
		}
	}
}

func TestListDecidesOnceItIsWhole(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, nil)
	hold := make(chan struct{})
	st.set(func() { st.hold = hold })
	ref := st.put("banned", "users", "mallory", "trudy")
	p.apply(1, blockListed) // in force at once in everything else, and acknowledged
	st.says("loading", "banned", func(h order.ListHeld) bool { return h.Digest.IsZero() && h.Loading == ref.Digest && !h.Lost })
	expect(t, g, map[string]int{"mallory": 200, "alice": 200})
	running := openStream(t, g, "/v1/chat/completions", chat("sim-small", "sim: tokens=4000 interval=5ms", `,"stream":true,"user":"trudy"`))
	running.next(t)
	close(hold)
	st.holds(ref)
	expect(t, g, map[string]int{"mallory": 403, "trudy": 403, "alice": 200, "Mallory": 403}) // however it is written
	if last := running.rest(t); !strings.Contains(strings.Join(last, ""), "andon_correction") {
		t.Error("a running call of somebody listed was not cut")
	}
}

func TestReplacedListGoesOnUntilTheNewOneIsWhole(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, nil)
	first := st.put("banned", "users", "mallory", "trudy")
	p.apply(1, blockListed)
	st.holds(first)
	hold := make(chan struct{})
	st.set(func() { st.hold = hold })
	second := st.put("banned", "users", "trudy", "oscar")
	p.enforced(1)
	st.says("the old one", "banned", func(h order.ListHeld) bool { return h.Digest == first.Digest && h.Loading == second.Digest })
	expect(t, g, map[string]int{"mallory": 403, "trudy": 403, "oscar": 200})
	old := weak.Make(g.current.Load().lists["banned"].set)
	close(hold)
	st.holds(second)
	expect(t, g, map[string]int{"mallory": 200, "trudy": 403, "oscar": 403})
	// The version before is gone, from disk and memory.
	p.await("one version on disk", func() bool { return slices.Equal(keptLists(t, g), []string{second.Digest.String()}) })
	p.await("one version in memory", func() bool { runtime.GC(); return old.Value() == nil })
	// A list that no order names any more goes whole.
	p.lift(1, "c-3")
	p.issue(order.Order{DropLists: []string{"banned"}})
	p.await("no version on disk", func() bool { return len(keptLists(t, g)) == 0 })
	expect(t, g, map[string]int{"trudy": 200})
}

func keptLists(t testing.TB, g *Gateway) (names []string) {
	entries, err := os.ReadDir(filepath.Join(g.cfg.Data, "lists"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A new version costs the chunks that changed.
func TestOnlyWhatChangedIsFetched(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	p.start(s, nil)
	var b strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&b, "user-%d\n", i)
	}
	set := must(named.Build("users", strings.NewReader(b.String()), nil))
	ref := st.stack("banned", set)
	p.issue(order.Order{PutLists: []order.ListRef{ref}})
	st.holds(ref)
	next, n, err := set.Add("mallory")
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	second := st.stack("banned", next)
	p.issue(order.Order{PutLists: []order.ListRef{second}})
	st.holds(second)
	st.set(func() {
		if all, few := st.asked[ref.Digest], st.asked[second.Digest]; few != 3 || all < 8 {
			t.Errorf("%d parts were fetched at first, and then %d", all, few)
		}
	})
}

func TestListSurvivesARestartAlone(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	dir := t.TempDir()
	_, stop := p.launch(s, func(c *Config) { c.Data = dir })
	ref := st.put("banned", "users", "mallory")
	p.apply(1, blockListed)
	st.holds(ref)
	stop()
	g := alone(t, p.config(s), dir)
	expect(t, g, map[string]int{"mallory": 403, "alice": 200})
}

// alone starts a gateway with what is in its folder and no control plane.
func alone(t *testing.T, cfg Config, dir string) *Gateway {
	t.Helper()
	cfg.Data, cfg.Bus = dir, nil
	g := must(New(cfg))
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Stop(context.Background()) })
	return g
}

// What can not be read at the start reaches everybody and spares nobody, until
// it has been fetched again.
func TestDamagedListLoosensNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		correction string
		whole      map[string]int
		damaged    map[string]int
	}{
		"block":      {blockListed, map[string]int{"mallory": 403, "alice": 200}, map[string]int{"mallory": 403, "alice": 403}},
		"except":     {`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"except":{"lists":["banned"]},"reason":"test"}`, map[string]int{"mallory": 200, "alice": 403}, map[string]int{"mallory": 403, "alice": 403}},
		"allow only": {`{"kind":"access","params":{"mode":"allow_only"},"scope":{"lists":["banned"]},"reason":"test"}`, map[string]int{"mallory": 200, "alice": 403}, map[string]int{"mallory": 403, "alice": 403}},
	} {
		for how, damage := range map[string]func(path string) error{
			"gone":    os.Remove,
			"flipped": func(path string) error { return flipByte(path, 80) },
			"cut":     func(path string) error { return os.Truncate(path, 79) },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				p, s := newPlane(t), startSim(t)
				st := p.stacks()
				dir := t.TempDir()
				g, stop := p.launch(s, func(c *Config) { c.Data = dir })
				ref := st.put("banned", "users", "mallory", "trudy")
				p.apply(1, tc.correction)
				st.holds(ref)
				expect(t, g, tc.whole)
				stop()
				if err := damage(filepath.Join(dir, "lists", ref.Digest.String())); err != nil {
					t.Fatal(err)
				}
				st.set(func() { clear(st.beats) })
				t.Run("alone", func(t *testing.T) { expect(t, alone(t, p.config(s), dir), tc.damaged) })
				g, stop = p.launch(s, func(c *Config) { c.Data = dir })
				defer stop()
				st.holds(ref)
				expect(t, g, tc.whole)
			})
		}
	}
}

func flipByte(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(path, data, 0o600)
}

// A gateway that starts while a new version was on its way has the order and not
// the list.
func TestStartInTheMiddleOfALoad(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	dir := t.TempDir()
	_, stop := p.launch(s, func(c *Config) { c.Data = dir })
	first := st.put("banned", "users", "mallory")
	p.apply(1, blockListed)
	st.holds(first)
	hold := make(chan struct{})
	st.set(func() { st.hold = hold })
	second := st.put("banned", "users", "mallory", "trudy")
	p.enforced(1)
	stop()
	g, stop := p.launch(s, func(c *Config) { c.Data = dir })
	defer stop()
	expect(t, g, map[string]int{"mallory": 403, "alice": 403})
	st.says("lost", "banned", func(h order.ListHeld) bool { return h.Lost && h.Loading == second.Digest })
	close(hold)
	st.holds(second)
	expect(t, g, map[string]int{"mallory": 403, "trudy": 403, "alice": 200})
}

// A first start holds nothing yet: it serves nobody whom the list may reach.
func TestFirstStartWaitsForLists(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	hold := make(chan struct{})
	st.set(func() { st.hold = hold })
	ref := st.put("banned", "users", "mallory")
	p.issue(orderOf(blockListed))
	g := p.start(s, nil)
	expect(t, g, map[string]int{"mallory": 403, "alice": 403})
	close(hold)
	st.holds(ref)
	expect(t, g, map[string]int{"mallory": 403, "alice": 200})
}

func TestPartitionDuringALoad(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, func(c *Config) { c.Lease = 3 * time.Second })
	first := st.put("banned", "users", "mallory")
	p.apply(1, blockListed)
	st.holds(first)
	hold := make(chan struct{})
	st.set(func() { st.hold = hold })
	second := st.put("banned", "users", "trudy")
	p.enforced(1)
	p.setSilent(true) // the part that is asked for is on its way; nothing after it comes
	close(hold)
	st.set(func() { st.hold = nil })
	expect(t, g, map[string]int{"mallory": 403, "trudy": 200})
	p.setSilent(false)
	st.holds(second)
	expect(t, g, map[string]int{"mallory": 200, "trudy": 403})
}

// What comes under a digest and is something else is refused, and asked for
// again.
func TestForgedChunkIsRefused(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, nil)
	ref := st.stack("banned", setOf(t, "users", "mallory"))
	good := st.chunks[ref.Digest]
	forged := slices.Clone(good)
	forged[2] = bytes.Repeat([]byte{1}, len(good[2]))
	st.set(func() { st.chunks[ref.Digest] = forged })
	p.issue(order.Order{PutLists: []order.ListRef{ref}})
	p.apply(1, blockListed)
	st.says("trouble", "banned", func(h order.ListHeld) bool { return strings.Contains(h.Error, "hash") && h.Digest.IsZero() })
	expect(t, g, map[string]int{"mallory": 200})
	if got := keptLists(t, g); slices.Contains(got, ref.Digest.String()) {
		t.Error("kept:", got)
	}
	st.set(func() { st.chunks[ref.Digest] = good })
	st.holds(ref)
	expect(t, g, map[string]int{"mallory": 403})
}

// A list that is signed for as something that it is not is not taken.
func TestListThatIsNotWhatTheOrderSays(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	p.start(s, nil)
	for name, change := range map[string]func(*order.ListRef){
		"dimension": func(r *order.ListRef) { r.Dimension = "orgs" },
		"entries":   func(r *order.ListRef) { r.Entries = 7 },
		"bytes":     func(r *order.ListRef) { r.Bytes++ },
	} {
		ref := st.stack(name, setOf(t, "users", "mallory"))
		change(&ref)
		p.issue(order.Order{PutLists: []order.ListRef{ref}})
		st.says(name, name, func(h order.ListHeld) bool { return h.Error != "" && h.Digest.IsZero() })
	}
}

// A list that the control plane has lost reaches everybody where there is no
// version before, and else goes on as it was.
func TestListThatControlHasLost(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, nil)
	first := st.put("banned", "users", "mallory")
	p.apply(1, blockListed)
	st.holds(first)
	st.set(func() { st.answer = order.ListLost })
	st.put("banned", "users", "trudy")
	st.says("trouble", "banned", func(h order.ListHeld) bool { return h.Digest == first.Digest && strings.Contains(h.Error, "anew") })
	expect(t, g, map[string]int{"mallory": 403, "trudy": 200})
	st.put("fresh", "users", "oscar")
	p.apply(1, strings.Replace(blockListed, "banned", "fresh", 1))
	st.says("lost", "fresh", func(h order.ListHeld) bool { return h.Lost })
	expect(t, g, map[string]int{"mallory": 403, "alice": 403})
	st.set(func() { st.answer = 0 })
	third := st.put("fresh", "users", "oscar")
	st.holds(third)
	expect(t, g, map[string]int{"alice": 200, "oscar": 403})
}

func TestListOfAddresses(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, nil)
	ref := st.put("banned", "ips", "192.0.2.0/24")
	p.apply(1, blockListed)
	st.holds(ref)
	expect(t, g, map[string]int{"alice": 200})
	ref = st.put("banned", "ips", "192.0.2.0/24", "127.0.0.0/8", "::1")
	st.holds(ref)
	expect(t, g, map[string]int{"alice": 403})
}

// Replacing a list under load: every call is decided by the one version or the
// other, and none fails.
func TestReplaceUnderLoad(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	st := p.stacks()
	g := p.start(s, nil)
	p.apply(1, blockListed)
	ref := st.put("banned", "users", "always", "even")
	st.holds(ref)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for _, user := range []string{"always", "never", "even", "odd"} {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, err := call1(client, g, user)
				if err != nil || user == "always" && status != 403 || user == "never" && status != 200 || status != 200 && status != 403 {
					t.Errorf("%s: %d %v", user, status, err)
					return
				}
			}
		})
	}
	for i := range 12 {
		user := "odd"
		if i%2 == 1 {
			user = "even"
		}
		st.holds(st.put("banned", "users", "always", user))
	}
	close(stop)
	wg.Wait()
	expect(t, g, map[string]int{"always": 403, "even": 403, "odd": 200, "never": 200})
}

func call1(client *http.Client, g *Gateway, user string) (int, error) {
	req, err := http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(chat("sim-small", "hello", fmt.Sprintf(`,"user":%q`, user))))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
