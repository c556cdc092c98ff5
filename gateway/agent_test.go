package gateway

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon/correction"
	"andon/order"
)

func leakTest(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}), goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).Start"))
}

func (p *plane) revoke(n int, key string) {
	p.t.Helper()
	p.issue(order.Order{DropKeys: []string{key}})
	p.enforced(n)
}

// rawPost sends a request on a bare connection and reads nothing.
func rawPost(t *testing.T, g *Gateway, path, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).SetReadBuffer(4096)
	req := must(http.NewRequest("POST", "http://"+g.Addr()+path, strings.NewReader(body)))
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Content-Type", "application/json")
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

const stopLarge = `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"test","fallback":"none"}`

func TestStartsAloneEnforcingTheLastOrder(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	_, stop := p.launch(s, func(c *Config) { c.Data = dir })
	id := p.apply(1, stopLarge)
	stop()

	cfg := p.config(s)
	cfg.Data, cfg.Bus = dir, nil
	g := must(New(cfg))
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer g.Stop(t.Context())
	if ok, why := g.Ready(); !ok {
		t.Fatal(why)
	}
	a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello"))
	if a.status != 503 || !strings.Contains(a.body, id) {
		t.Errorf("alone: %d %s", a.status, a.body)
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-small", "hello")); a.status != 200 || a.header.Get("Andon-Revision") != "2" {
		t.Errorf("alone, what is allowed: %d %v", a.status, a.header)
	}
}

// Whatever byte of whatever file is damaged, a gateway that starts alone
// either still refuses what was stopped, or serves nothing.
func TestDamagedFilesLoosenNothing(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	for range 50 { // until an order lies beside the state, and not in it
		_, stop := p.launch(s, func(c *Config) { c.Data = dir })
		p.apply(1, stopLarge)
		stop()
		if info, err := os.Stat(filepath.Join(dir, "tail.log")); err == nil && info.Size() > 0 {
			break
		}
	}
	var files []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) < 3 {
		t.Fatalf("only %v kept", files)
	}
	for _, f := range files {
		whole, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(f)
		damages := map[string][]byte{"half": whole[:len(whole)/2], "empty": {}, "one short": whole[:len(whole)-1]}
		for i := range 8 {
			flipped := bytes.Clone(whole)
			flipped[i*(len(whole)-1)/7] ^= 0x41
			damages["flip "+string(rune('0'+i))] = flipped
		}
		for how, data := range damages {
			if how == "empty" && strings.HasSuffix(f, "tail.log") {
				continue // a tail without records is what a fresh state has
			}
			alone := t.TempDir()
			if err := os.CopyFS(alone, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			rel := must(filepath.Rel(dir, f))
			if err := os.WriteFile(filepath.Join(alone, rel), data, 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := p.config(s)
			cfg.Data, cfg.Bus = alone, nil
			g, err := New(cfg)
			if err != nil {
				continue // a clear error serves nothing
			}
			if err := g.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
				t.Errorf("%s, %s: %d %s", name, how, a.status, a.body)
			}
			g.Stop(t.Context())
		}
	}
}

func TestReplayAndRollbackAreRefused(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	empty := must(order.Sign(p.state, p.signer))
	first := p.issue(order.Order{Put: []correction.Correction{must(correction.Parse([]byte(stopLarge)))}})
	p.enforced(1)
	second := p.issue(order.Order{Drop: []string{"c-2"}})
	p.enforced(1)
	p.issue(order.Order{Put: []correction.Correction{must(correction.Parse([]byte(stopLarge)))}})
	p.enforced(1)
	for _, old := range [][]byte{first, second} {
		p.bus.Publish(order.SubjectOrder, old)
	}
	g.agent.do(t.Context(), func() {})
	done := make(chan error, 1)
	g.agent.jobs <- func() { done <- g.agent.takeState(empty, time.Now()) }
	if err := <-done; err == nil {
		t.Error("an older full state was taken over")
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("a replay loosened: %d", a.status)
	}
	stranger := must(order.GenerateSigner())
	o := order.Order{Revision: p.state.Revision + 1, Prev: p.state.Head, IssuedAt: time.Now(), Drop: []string{"c-4"}}
	p.bus.Publish(order.SubjectOrder, must(order.Sign(o, stranger)))
	p.await("the refusal to be told", func() bool {
		for _, a := range p.acks {
			if a.Phase == order.PhaseRefused && strings.Contains(a.Error, "not trusted") {
				return true
			}
		}
		return false
	})
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("a stranger's order loosened: %d", a.status)
	}
}

func TestGapMeansFullResync(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	g := p.start(s, nil)
	// Two orders that never reach the bus, then one that does.
	p.mu.Lock()
	quiet := p.bus
	p.bus = must(must(bus2(t)).Connect("nowhere"))
	p.mu.Unlock()
	p.issue(order.Order{Put: []correction.Correction{must(correction.Parse([]byte(stopLarge)))}})
	p.mu.Lock()
	lost := p.bus
	p.bus = quiet
	p.mu.Unlock()
	lost.Close()
	p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["globex"]},"reason":"test"}`)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("the order that was lost is not enforced: %d", a.status)
	}
}

func TestLeasePostures(t *testing.T) {
	t.Parallel()
	p, s := newPlane(t), startSim(t)
	g := p.start(s, func(c *Config) {
		c.Lease = 6 * time.Second // long enough for what has to happen under it
		c.Models = []Model{{Name: "holds", Upstream: "sim", UpstreamModel: "sim-large"},
			{Name: "refuses", Upstream: "sim", UpstreamModel: "sim-large", OnStale: Refuse, Fallback: "holds"},
			{Name: "switches", Upstream: "sim", UpstreamModel: "sim-large", OnStale: Switch, Fallback: "holds"}}
	})
	body := func(m string) string { return chat(m, "sim: tokens=5000 interval=20ms", `,"stream":true`) }
	running := map[string]*stream{}
	for _, m := range []string{"holds", "refuses", "switches"} {
		if a := send(t, g, "/v1/chat/completions", chat(m, "hello")); a.status != 200 {
			t.Fatalf("%s under a lease: %d", m, a.status)
		}
		running[m] = openStream(t, g, "/v1/chat/completions", body(m))
		running[m].next(t)
	}
	p.setSilent(true)
	for _, m := range []string{"refuses", "switches"} { // containment: what runs ends, too
		events := running[m].rest(t)
		if last := events[len(events)-1]; !strings.Contains(last, "andon_stale") {
			t.Errorf("%s: %s", m, last)
		}
	}
	running["holds"].next(t)
	if a := send(t, g, "/v1/chat/completions", chat("holds", "hello")); a.status != 200 {
		t.Errorf("hold: %d", a.status)
	}
	if a := send(t, g, "/v1/chat/completions", chat("refuses", "hello")); a.status != 503 || !strings.Contains(a.body, "andon_stale") {
		t.Errorf("refuse: %d %s", a.status, a.body)
	}
	if a := send(t, g, "/v1/chat/completions", chat("switches", "hello")); a.status != 200 || a.header.Get("Andon-Fallback-From") != "switches" {
		t.Errorf("fallback: %d %v", a.status, a.header)
	}
	p.setSilent(false)
	p.await("a new lease", func() bool { return !g.lease.over(g.clock.mono()) })
	if a := send(t, g, "/v1/chat/completions", chat("refuses", "hello")); a.status != 200 {
		t.Errorf("with a new lease: %d", a.status)
	}
}

func TestEmergencyOrderNeedsNothingButTheGateway(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	_, stop := p.launch(s, func(c *Config) { c.Data = dir })
	stop()
	cfg := p.config(s)
	cfg.Data, cfg.Bus = dir, nil
	g := must(New(cfg))
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := openStream(t, g, streamed[0].path, streamed[0].body)
	st.next(t)
	e := must(order.NewEmergency("on-call", time.Now(), time.Hour, must(correction.Parse([]byte(stopLarge)))))
	signed := must(order.Sign(e, p.emergency))
	forged := must(order.Sign(e, p.signer)) // the control plane's key is not an emergency key
	for want, data := range map[int][]byte{http.StatusForbidden: forged, http.StatusOK: signed} {
		resp, err := http.Post("http://"+g.AdminAddr()+"/emergency", "application/json", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("emergency: %d, want %d", resp.StatusCode, want)
		}
	}
	events := st.rest(t)
	if last := events[len(events)-1]; !strings.Contains(last, e.ID) {
		t.Errorf("terminal event: %s", last)
	}
	g.Stop(t.Context())
	g = must(New(cfg)) // it survives a restart
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("after a restart: %d", a.status)
	}
	typo := must(order.NewEmergency("on-call", time.Now(), time.Hour, must(correction.Parse([]byte(strings.ReplaceAll(stopLarge, "sim-large", "sim-larg"))))))
	said := must(http.Post("http://"+g.AdminAddr()+"/emergency", "application/json", bytes.NewReader(must(order.Sign(typo, p.emergency)))))
	text := string(must(io.ReadAll(said.Body)))
	said.Body.Close()
	if !strings.Contains(text, `"unknown_models":["sim-larg"]`) {
		t.Errorf("a name that nobody serves: %s", text)
	}
	// And from a file.
	small := must(order.NewEmergency("on-call", time.Now(), time.Hour, must(correction.Parse([]byte(strings.ReplaceAll(stopLarge, "large", "small"))))))
	if err := os.WriteFile(filepath.Join(dir, dropDir, "stop.json"), must(order.Sign(small, p.emergency)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.await("the dropped order", func() bool { return g.current.Load().extra == 3 })
	if a := send(t, g, "/v1/chat/completions", chat("sim-small", "hello")); a.status != 503 {
		t.Errorf("after the file: %d", a.status)
	}
	g.Stop(t.Context())

	// Back on the bus, the control plane takes it over; only then can it be lifted.
	g, stop = p.launch(s, func(c *Config) { c.Data = dir })
	defer stop()
	c := e.Corrections[0]
	p.issue(order.Order{Put: []correction.Correction{c}, Adopted: adopted(e.ID, small.ID, typo.ID)})
	p.enforced(1)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 {
		t.Errorf("adopted: %d", a.status)
	}
	p.lift(1, c.ID)
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 200 {
		t.Errorf("lifted: %d %s", a.status, a.body)
	}
	resp := must(http.Post("http://"+g.AdminAddr()+"/emergency", "application/json", bytes.NewReader(signed)))
	resp.Body.Close()
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("replay of an adopted emergency order: %d", resp.StatusCode)
	}
}

// A dropped file is the only record of an order that the disk did not take.
func TestDroppedEmergencyStaysUntilItIsKept(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	_, stop := p.launch(s, func(c *Config) { c.Data = dir })
	stop()
	cfg := p.config(s)
	cfg.Data, cfg.Bus = dir, nil
	file := filepath.Join(dir, dropDir, "stop.json")
	e := must(order.NewEmergency("on-call", time.Now(), time.Hour, must(correction.Parse([]byte(stopLarge)))))
	g := must(New(cfg))
	full := filepath.Join(dir, "emergency", e.ID+".tmp")
	if err := os.MkdirAll(filepath.Join(full, "full"), 0o700); err != nil { // a folder in its place: writing fails
		t.Fatal(err)
	}
	if err := os.WriteFile(file, must(order.Sign(e, p.emergency)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.await("the dropped order", func() bool { return g.current.Load().extra == 1 })
	g.Stop(t.Context())
	os.RemoveAll(full)
	if g = must(New(cfg)); g.current.Load().extra != 0 {
		t.Fatal("the disk took it after all")
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.await("the order to be kept", func() bool {
		_, err := os.Stat(file + ".obeyed")
		return err == nil
	})
	g.Stop(t.Context())
	g = must(New(cfg))
	defer g.Stop(t.Context())
	if g.current.Load().extra != 1 {
		t.Error("said to be kept, and gone after a restart")
	}
}

// One more order does not say what a damaged disk has lost.
func TestOrderAfterDamageDoesNotServe(t *testing.T) {
	p, s := newPlane(t), startSim(t)
	dir := t.TempDir()
	g, stop := p.launch(s, func(c *Config) { c.Data = dir })
	e := must(order.NewEmergency("on-call", time.Now(), time.Hour, must(correction.Parse([]byte(stopLarge)))))
	if _, err := g.obeyEmergency(t.Context(), must(order.Sign(e, p.emergency)), time.Now()); err != nil {
		t.Fatal(err)
	}
	stop()
	files := must(filepath.Glob(filepath.Join(dir, "emergency", "*")))
	if len(files) == 0 {
		t.Fatal("no emergency order is kept")
	}
	for _, f := range files {
		os.WriteFile(f, []byte("{"), 0o600)
	}
	p.setSilent(true)
	g, stop = p.launch(s, func(c *Config) { c.Data = dir })
	defer stop()
	signed := p.issue(orderOf(`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-small"]},"reason":"test","fallback":"none"}`))
	p.await("the order to be taken", func() bool {
		p.bus.Publish(order.SubjectOrder, signed) // the gateway may have subscribed only now
		taken := false
		g.agent.do(t.Context(), func() { taken = g.agent.follower.State().Revision == p.state.Revision })
		return taken
	})
	if a := send(t, g, "/v1/chat/completions", chat("sim-large", "hello")); a.status != 503 || !strings.Contains(a.body, "andon_no_order") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func adopted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}
