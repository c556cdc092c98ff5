package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"andon/bus"
	"andon/ledger"
	"andon/order"
	"andon/people"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// faulty is a ledger that can be made to fail.
type faulty struct {
	ledger.Log
	mu     sync.Mutex
	fail   error
	before func() // runs once before an append
	each   func() error
}

func (f *faulty) Append(ctx context.Context, at uint64, es ...ledger.Entry) (uint64, error) {
	f.mu.Lock()
	err, before, each := f.fail, f.before, f.each
	f.before = nil
	f.mu.Unlock()
	if before != nil {
		before()
	}
	if each != nil && err == nil {
		err = each()
	}
	if err != nil {
		return 0, err
	}
	return f.Log.Append(ctx, at, es...)
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// world is a control plane with its ledger, bus and operator.
type world struct {
	t         testing.TB
	dir       string
	signer    order.Signer
	emergency order.Signer
	noteKey   note.Signer
	vkey      string
	clock     *clock // nil: the real one
	server    *bus.Server
	log       *faulty
	c         *Control
	token     string
	logs      *lockedBuffer
	bus       *bus.Bus
	config    func(*Config)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB, config func(*Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), logs: &lockedBuffer{}, config: config}
	skey, vkey, err := ledger.NewSigner("example.com/andon")
	must(t, err)
	w.vkey = vkey
	w.noteKey, err = note.NewSigner(skey)
	must(t, err)
	w.signer, err = order.GenerateSigner()
	must(t, err)
	w.emergency, err = order.GenerateSigner()
	must(t, err)
	w.server, err = bus.Embedded(bus.Options{})
	must(t, err)
	t.Cleanup(w.server.Close)
	w.start()
	t.Cleanup(w.stop)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) start() {
	w.t.Helper()
	l, err := ledger.OpenSQLite(filepath.Join(w.dir, "ledger.db"), w.noteKey)
	must(w.t, err)
	w.log = &faulty{Log: l}
	w.bus, err = w.server.Connect("control")
	must(w.t, err)
	cfg := Config{
		Listen: "127.0.0.1:0", Bus: w.bus, Log: w.log, Lists: filepath.Join(w.dir, "lists"), People: filepath.Join(w.dir, "people.json"), hashing: people.Params{Memory: 64, Passes: 1, Lanes: 1}, Signer: w.signer, Emergency: []order.PublicKey{w.emergency.Public()},
		Models: []ModelInfo{{Name: "sim-large", Fallback: "sim-small"}, {Name: "sim-small"}}, Lease: 15 * time.Second,
		Logger: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if w.clock != nil {
		cfg.Now = w.clock.Now
	}
	if w.config != nil {
		w.config(&cfg)
	}
	w.c, err = New(cfg)
	must(w.t, err)
	must(w.t, w.c.Start(w.t.Context()))
	token, created, err := w.c.EnsureOperator("ann")
	must(w.t, err)
	if created {
		w.token = token
	}
}

func (w *world) stop() {
	if w.c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := w.c.Stop(ctx); err != nil {
		w.t.Error(err)
	}
	w.c = nil
	w.bus.Close()
	if err := w.log.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// do sends a request; out is a pointer, or nil.
func (w *world) do(method, path, body string, out any, header ...string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.c.Addr()+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(w.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	resp.Body = io.NopCloser(bytes.NewReader(data))
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			w.t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, data, err)
		}
	}
	return resp
}

const api = "/api/v1"

// ok sends a request that has to succeed.
func (w *world) ok(status int, method, path, body string, out any, header ...string) {
	w.t.Helper()
	resp := w.do(method, api+path, body, nil, header...)
	data, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, data)
	}
	if out != nil {
		must(w.t, json.Unmarshal(data, out))
	}
}

// bad sends a request that has to fail with a code.
func (w *world) bad(status int, code, method, path, body string, header ...string) *Problem {
	w.t.Helper()
	var p Problem
	resp := w.do(method, api+path, body, &p, header...)
	if resp.StatusCode != status || p.Status != status || p.Code != code || resp.Header.Get("Content-Type") != "application/problem+json" || p.Detail == "" || p.Title == "" {
		w.t.Fatalf("%s %s: %d %+v, want %d %s", method, path, resp.StatusCode, p, status, code)
	}
	return &p
}

const stopLarge = `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"drill"}`

func (w *world) create(body string) correctionView {
	w.t.Helper()
	var v correctionView
	w.ok(201, "POST", "/corrections", body, &v)
	return v
}

func (w *world) get(id string) correctionView {
	w.t.Helper()
	var v correctionView
	w.ok(200, "GET", "/corrections/"+id, "", &v)
	return v
}

// gate is a fake gateway: it follows orders over the bus as a real one does, but
// acknowledges and beats when it is told to.
type gate struct {
	w      *world
	name   string
	bus    *bus.Bus
	mu     sync.Mutex
	f      *order.Follower
	auto   bool            // acknowledge by itself
	orders chan order.Step // every offer's step
	lease  order.Lease
}

func (w *world) gate(name string, auto bool) *gate {
	w.t.Helper()
	b, err := w.server.Connect(name)
	must(w.t, err)
	w.t.Cleanup(b.Close)
	f, err := order.OpenFollower(w.t.TempDir(), order.Trust{Control: []order.PublicKey{w.signer.Public()}, Emergency: []order.PublicKey{w.emergency.Public()}})
	must(w.t, err)
	g := &gate{w: w, name: name, bus: b, f: f, auto: auto, orders: make(chan order.Step, 4096)}
	_, err = b.Subscribe(order.SubjectOrder, func(m bus.Msg) {
		g.mu.Lock()
		defer g.mu.Unlock()
		signed, _ := order.CutCheckpoint(m.Data)
		step, err := g.f.Offer(signed)
		if err != nil {
			step = 0
		}
		if g.auto && step == order.Applied {
			g.send(order.Ack{Revision: g.f.State().Revision, Phase: order.PhaseAccepted})
			g.send(order.Ack{Revision: g.f.State().Revision, Phase: order.PhaseEnforcing, Cut: 2})
		}
		select {
		case g.orders <- step:
		default: // a benchmark looks at none
		}
	})
	must(w.t, err)
	must(w.t, b.Flush(w.t.Context()))
	g.sync()
	g.beat()
	return g
}

func (g *gate) send(a order.Ack) {
	a.Gateway, a.Boot = g.name, "boot-1"
	data, _ := json.Marshal(a)
	g.bus.Publish(order.SubjectAck, data)
}

func (g *gate) revision() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.f.State().Revision
}

// beat sends a beat with what it holds, and reports the lease.
func (g *gate) beat() order.Lease {
	g.w.t.Helper()
	g.mu.Lock()
	b := order.Beat{Gateway: g.name, Boot: "boot-1", Nonce: "n", Revision: g.f.State().Revision, Head: g.f.State().Head, Models: []string{"sim-large", "sim-small"}, Version: "test"}
	g.mu.Unlock()
	return g.beatWith(b)
}

func (g *gate) beatWith(b order.Beat) order.Lease {
	g.w.t.Helper()
	data, _ := json.Marshal(b)
	ctx, cancel := context.WithTimeout(g.w.t.Context(), 30*time.Second)
	defer cancel()
	answer, err := g.bus.Request(ctx, order.SubjectBeat, data)
	must(g.w.t, err)
	l, err := order.OpenLease(answer, order.Trust{Control: []order.PublicKey{g.w.signer.Public()}})
	must(g.w.t, err)
	if l.Gateway != g.name || l.Nonce != b.Nonce {
		g.w.t.Fatalf("a lease for somebody else: %+v", l)
	}
	return l
}

func (g *gate) sync() {
	g.w.t.Helper()
	ctx, cancel := context.WithTimeout(g.w.t.Context(), 30*time.Second)
	defer cancel()
	data, err := g.bus.Request(ctx, order.SubjectSync, nil)
	must(g.w.t, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	data, _ = order.CutCheckpoint(data)
	must(g.w.t, g.f.Resync(data))
}

func (g *gate) next() order.Step {
	g.w.t.Helper()
	select {
	case s := <-g.orders:
		return s
	case <-time.After(30 * time.Second):
		g.w.t.Fatal("no order came")
		return 0
	}
}

// watch reads the event stream into a channel until the test ends.
func (w *world) watch(last string) (<-chan sse, func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.c.Addr()+api+"/events", nil)
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(w.t, err)
	if resp.StatusCode != 200 {
		w.t.Fatal(resp.Status)
	}
	out := make(chan sse, 4096)
	done := make(chan struct{})
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	go func() {
		defer close(done)
		defer close(out)
		defer resp.Body.Close()
		var e sse
		for in.Scan() {
			switch name, value, _ := strings.Cut(in.Text(), ": "); name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					out <- e
				}
				e = sse{}
			}
		}
	}()
	stop := func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return out, stop
}

type sse struct{ id, name, data string }

// until reads events until one of that name, or any for "", comes that fits.
func until(t testing.TB, in <-chan sse, name string, fits func(sse) bool) sse {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-in:
			if !ok {
				t.Fatalf("the stream ended before %s", name)
			}
			if (name == "" || e.name == name) && (fits == nil || fits(e)) {
				return e
			}
		case <-timeout:
			t.Fatalf("no %s came", name)
		}
	}
}

// errDisk stands for whatever the ledger may say.
var errDisk = errors.New("disk on fire")

func (w *world) revision() uint64 {
	w.c.mu.RLock()
	defer w.c.mu.RUnlock()
	return w.c.state.revision
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
