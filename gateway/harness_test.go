package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/gateway/limit"
	"andon/order"
	"andon/sim"
)

const secret = "ak_test-key"

// plane stands in for the control plane: it signs orders, answers beats and
// keeps what gateways acknowledge.
type plane struct {
	t         testing.TB
	signer    order.Signer
	emergency order.Signer
	server    *bus.Server
	bus       *bus.Bus

	mu     sync.Mutex
	state  order.State
	acks   []order.Ack
	beats  int
	onBeat func(order.Beat, *order.Lease)
	silent bool // answers nothing: as a control plane that is down
	news   chan struct{}

	patience time.Duration // of its gateways: a slow machine tells nobody within the one that they have
	gateways []*Gateway
	rates    bool // have been applied
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	p := &plane{t: t, news: make(chan struct{}, 1), patience: generous}
	var err error
	if p.signer, err = order.GenerateSigner(); err != nil {
		t.Fatal(err)
	}
	if p.emergency, err = order.GenerateSigner(); err != nil {
		t.Fatal(err)
	}
	if p.server, err = bus.Embedded(bus.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.server.Close)
	if p.bus, err = p.server.Connect("control"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.bus.Close)
	sum := sha256.Sum256([]byte(secret))
	p.issue(order.Order{PutKeys: []order.Key{{ID: "k-1", Hash: hex.EncodeToString(sum[:]), Org: "acme", Tier: "free"}}})
	p.serve(order.SubjectSync, func(bus.Msg) []byte { return must(order.Sign(p.state, p.signer)) })
	p.serve(order.SubjectBeat, func(m bus.Msg) []byte {
		var b order.Beat
		if err := json.Unmarshal(m.Data, &b); err != nil {
			t.Error(err)
		}
		p.beats++
		l := order.Lease{Gateway: b.Gateway, Nonce: b.Nonce, Revision: p.state.Revision, Head: p.state.Head,
			At: time.Now(), TTL: correction.Duration(time.Minute)}
		if p.onBeat != nil {
			p.onBeat(b, &l)
		}
		return must(order.Sign(l, p.signer))
	})
	p.bus.Subscribe(order.SubjectAck, func(m bus.Msg) {
		var a order.Ack
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		p.acks = append(p.acks, a)
		p.mu.Unlock()
		p.tell()
	})
	return p
}

func (p *plane) serve(subject string, answer func(bus.Msg) []byte) {
	_, err := p.bus.Subscribe(subject, func(m bus.Msg) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.silent {
			m.Respond(answer(m))
		}
		p.tell()
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issue makes the next order, signs it and publishes it.
func (p *plane) issue(o order.Order) []byte {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	o.Revision, o.Prev, o.IssuedAt = p.state.Revision+1, p.state.Head, time.Now().UTC()
	for i := range o.Put {
		if o.Put[i].ID == "" {
			o.Put[i].ID = fmt.Sprintf("c-%d", o.Revision)
		}
		o.Put[i].AppliedAt = o.IssuedAt
	}
	next := p.state
	if err := next.Apply(&o, must(o.Head())); err != nil {
		p.t.Fatal(err)
	}
	p.state = next
	signed := must(order.Sign(o, p.signer))
	p.bus.Publish(order.SubjectOrder, signed)
	return signed
}

// apply puts one correction, written as JSON, in force and waits until n
// gateways enforce it. It returns its id.
func (p *plane) apply(n int, text string) string {
	p.t.Helper()
	c, err := correction.Parse([]byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	if c.Kind == correction.Rate {
		p.rates = true
		p.settled()
	}
	p.issue(order.Order{Put: []correction.Correction{c}})
	p.enforced(n)
	return fmt.Sprintf("c-%d", p.revision())
}

// settled waits until each gateway knows that it is alone, or hears others: before,
// it leaves others a part of each limit, and refuses a call that waits too long for it.
func (p *plane) settled() {
	p.t.Helper()
	for i, g := range p.gateways {
		tries := 0
		p.await("a gateway that knows who shares limits", func() bool {
			tries++
			probe := limit.Key{Rule: fmt.Sprintf("probe %d of %d", tries, i)}
			_, _, all := g.limits.Reserve(probe, limit.Spec{Limit: 2, Window: time.Hour}, g.limits.Now(g.clock.mono()), 2, false)
			return all || g.counted.peers.Load() > 0
		})
	}
}

func (p *plane) lift(n int, id string) {
	p.t.Helper()
	p.issue(order.Order{Drop: []string{id}})
	p.enforced(n)
}

func (p *plane) revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.Revision
}

// enforced waits until n gateways enforce the current revision.
func (p *plane) enforced(n int) {
	p.t.Helper()
	p.await("enforcing", func() bool {
		seen := map[string]bool{}
		for _, a := range p.acks {
			if a.Phase == order.PhaseEnforcing && a.Revision == p.state.Revision {
				seen[a.Gateway] = true
			}
		}
		return len(seen) >= n
	})
}

// generous is how long a test waits for what has to come: machines are slow, and
// do other things at the same time.
const generous = 30 * time.Second

// await waits for news until cond holds.
func (p *plane) await(what string, cond func() bool) {
	p.t.Helper()
	deadline := time.After(generous)
	for {
		p.mu.Lock()
		ok := cond()
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-p.news:
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			p.t.Fatalf("waited too long for: %s", what)
		}
	}
}

func (p *plane) setSilent(s bool) {
	p.mu.Lock()
	p.silent = s
	p.mu.Unlock()
}

func startSim(t testing.TB) *sim.Sim {
	t.Helper()
	s, err := sim.New(sim.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

// start runs a gateway against the plane and the sim. change may adjust its
// configuration.
func (p *plane) start(s *sim.Sim, change func(*Config)) *Gateway {
	p.t.Helper()
	g, stop := p.launch(s, change)
	p.t.Cleanup(stop)
	return g
}

func (p *plane) config(s *sim.Sim) Config {
	cfg := Config{Name: "gw-1", Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: p.t.TempDir(), Lease: time.Minute,
		Trust:     order.Trust{Control: []order.PublicKey{p.signer.Public()}, Emergency: []order.PublicKey{p.emergency.Public()}},
		Upstreams: []Upstream{{Name: "sim", Wire: "all", BaseURL: s.URL()}},
		Models: []Model{{Name: "sim-large", Upstream: "sim", Fallback: "sim-small", Version: "sim-large-1", Aliases: []string{"large"}},
			{Name: "sim-small", Upstream: "sim"}},
		Logger: slog.New(slog.NewTextHandler(p.t.Output(), nil))}
	return cfg
}

func (p *plane) launch(s *sim.Sim, change func(*Config)) (*Gateway, func()) {
	p.t.Helper()
	cfg := p.config(s)
	own := must(p.server.Connect("gateway"))
	cfg.Bus = own
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	g.patience = p.patience
	if err := g.Start(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	if cfg.Bus != nil {
		p.await("the first lease", func() bool { return p.silent || !g.lease.over(g.clock.mono()) })
		p.gateways = append(p.gateways, g)
		if p.rates {
			p.settled()
		}
	}
	once := sync.Once{}
	return g, func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			g.Stop(ctx)
			own.Close()
			p.gateways = slices.DeleteFunc(p.gateways, func(o *Gateway) bool { return o == g })
		})
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// send posts a body as the test's key.
func send(t testing.TB, g *Gateway, path, body string, headers ...string) answer {
	t.Helper()
	req := must(http.NewRequest("POST", "http://"+g.Addr()+path, strings.NewReader(body)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header[headers[i]] = []string{headers[i+1]}
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read body after %q: %v", b, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func chat(model, text string, more ...string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, text, strings.Join(more, ""))
}

// stream opens a stream and returns its events as they come. The channel is
// closed at the end; err holds how it ended.
type stream struct {
	resp   *http.Response
	events chan string
	err    error
}

func openStream(t testing.TB, g *Gateway, path, body string) *stream {
	t.Helper()
	req := must(http.NewRequest("POST", "http://"+g.Addr()+path, strings.NewReader(body)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return readStream(t, resp)
}

// readStream reads the events of an answer as they come.
func readStream(t testing.TB, resp *http.Response) *stream {
	t.Cleanup(func() { resp.Body.Close() })
	s := &stream{resp: resp, events: make(chan string, 10000)}
	go func() {
		defer close(s.events)
		r := bufio.NewReader(resp.Body)
		var event []byte
		for {
			line, err := r.ReadBytes('\n')
			event = append(event, line...)
			if err != nil {
				if len(event) > 0 {
					s.events <- string(event)
				}
				if err != io.EOF {
					s.err = err
				}
				return
			}
			if len(bytes.TrimSpace(line)) == 0 {
				s.events <- string(event)
				event = nil
			}
		}
	}()
	return s
}

// rest reads to the end and returns the last events.
func (s *stream) rest(t testing.TB) []string {
	t.Helper()
	var all []string
	deadline := time.After(generous)
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				return all
			}
			all = append(all, e)
		case <-deadline:
			t.Fatal("the stream did not end")
		}
	}
}

func (s *stream) next(t testing.TB) string {
	t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			t.Fatalf("the stream ended: %v", s.err)
		}
		return e
	case <-time.After(generous):
		t.Fatal("no event came")
	}
	return ""
}

// active waits until the sim has n streams and plain calls open.
func active(t testing.TB, s *sim.Sim, n int) {
	t.Helper()
	deadline := time.Now().Add(generous)
	var last string
	for time.Now().Before(deadline) {
		resp, err := http.Get(s.URL() + "/_sim/active")
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Active int `json:"active"`
			Plain  int `json:"plain"`
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		last = string(b)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got.Active+got.Plain == n {
			return
		}
	}
	t.Fatalf("sim still has %s open, want %d", last, n)
}

func received(t testing.TB, s *sim.Sim) []struct{ Method, Path, Body string } {
	t.Helper()
	resp, err := http.Get(s.URL() + "/_sim/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		Body   string `json:"body"`
	}
	if err := json.UnmarshalRead(resp.Body, &list); err != nil {
		t.Fatal(err)
	}
	out := make([]struct{ Method, Path, Body string }, len(list))
	for i, l := range list {
		out[i] = struct{ Method, Path, Body string }{l.Method, l.Path, l.Body}
	}
	return slices.Clip(out)
}

// bus2 is a bus that nobody listens on.
func bus2(t testing.TB) (*bus.Server, error) {
	srv, err := bus.Embedded(bus.Options{})
	if err == nil {
		t.Cleanup(srv.Close)
	}
	return srv, err
}

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func orderOf(text string) order.Order {
	return order.Order{Put: []correction.Correction{must(correction.Parse([]byte(text)))}}
}
