package control

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"andon/bus"
	"andon/ledger"
	"andon/order"
	"andon/sim/tlogwitness"
	"andon/witness"
)

// withKey is a world whose control plane tells gateways the ledger's key.
func withKey(t *testing.T, change func(*Config)) *world {
	t.Helper()
	var w *world
	skey, vkey, err := ledger.NewSigner("example.com/andon")
	must(t, err)
	w = newWorld(t, nil)
	w.stop()
	w.noteKey, err = note.NewSigner(skey)
	must(t, err)
	w.dir, w.vkey = t.TempDir(), vkey
	w.config = func(c *Config) {
		c.LedgerKey = vkey
		if change != nil {
			change(c)
		}
	}
	w.start()
	return w
}

// vouches is a gateway that takes leases as a witness does.
type vouches struct {
	*gate
	keeper *witness.Keeper
}

func (w *world) vouching(name string) *vouches {
	w.t.Helper()
	k, err := witness.OpenKeeper(filepath.Join(w.t.TempDir(), "witness"), witness.GatewayName(name))
	must(w.t, err)
	return &vouches{w.gate(name, true), k}
}

// tell beats with what it vouches for.
func (g *vouches) tell(change func(*order.Witness)) order.Lease {
	g.w.t.Helper()
	_, note := g.keeper.Held()
	s := order.Witness{Key: g.keeper.Key(), Note: note}
	if change != nil {
		change(&s)
	}
	return g.beatWith(order.Beat{Gateway: g.name, Boot: "boot-1", Nonce: "n", Revision: g.revision(), Head: g.f.State().Head, Witness: s})
}

// take looks at a lease's checkpoint, with proofs over the bus.
func (g *vouches) take(l order.Lease) {
	g.w.t.Helper()
	prove := func(a, b uint64) (tlog.TreeProof, error) {
		q, _ := json.Marshal(order.ConsistencyRequest{Gateway: g.name, Old: a, New: b})
		data, err := g.bus.Request(g.w.t.Context(), order.SubjectConsistency, q)
		must(g.w.t, err)
		var c order.Consistency
		must(g.w.t, json.Unmarshal(data, &c))
		var p tlog.TreeProof
		for _, h := range c.Proof {
			p = append(p, tlog.Hash(h))
		}
		return p, nil
	}
	_, err := g.keeper.Take([]byte(l.Checkpoint), l.LedgerKey, true, prove, nil, time.Now())
	must(g.w.t, err)
}

func (w *world) witnesses() witnessesView {
	w.t.Helper()
	var v witnessesView
	w.ok(200, "GET", "/ledger/witnesses", "", &v)
	return v
}

func (w *world) text(status int, path string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), "GET", "http://"+w.c.Addr()+api+path, nil)
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(w.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode != status {
		w.t.Fatalf("%s: %d: %s", path, resp.StatusCode, data)
	}
	return string(data)
}

func TestGatewaysVouch(t *testing.T) {
	w := withKey(t, nil)
	a, b := w.vouching("gw-1"), w.vouching("gw 2")
	for range 4 {
		w.create(stopLarge)
		for _, g := range []*vouches{a, b} {
			g.take(g.tell(nil))
		}
	}
	for _, g := range []*vouches{a, b, a, b} { // what both were shown, both have cosigned
		g.take(g.tell(nil))
	}
	w.c.keepSeen(t.Context())
	held, _ := a.keeper.Held()
	v := w.witnesses()
	if len(v.Witnesses) != 2 || v.Witnesses[1].Size != held.Size || v.Witnesses[1].Kind != "gateway" || v.Witnesses[1].Key != a.keeper.Key() || v.Witnesses[1].At.IsZero() || v.Witnesses[1].Alarm != "" {
		t.Fatalf("%s", jsonText(v))
	}
	if len(v.Cosigned) == 0 || v.Cosigned[0].Size != held.Size || len(v.Cosigned[0].By) != 2 {
		t.Fatalf("%s", jsonText(v))
	}
	// The note verifies by all three keys, and by no code of ours.
	log, err := note.NewVerifier(w.vkey)
	must(t, err)
	va, err := witness.NewVerifier(a.keeper.Key())
	must(t, err)
	vb, err := witness.NewVerifier(b.keeper.Key())
	must(t, err)
	n, err := note.Open([]byte(w.text(200, "/ledger/checkpoint?cosigned=2")), note.VerifierList(log, va, vb))
	if err != nil || len(n.Sigs) != 3 {
		t.Fatalf("%d signatures: %v", len(n.Sigs), err)
	}
	w.text(404, "/ledger/checkpoint?cosigned=3")
	w.text(400, "/ledger/checkpoint?cosigned=x")
	if n, err := note.Open([]byte(w.text(200, "/ledger/checkpoint")), note.VerifierList(log)); err != nil || len(n.Sigs) != 1 {
		t.Error(err)
	}
	r, err := ledger.Verify(t.Context(), filepath.Join(w.dir, "ledger.db"), log, ledger.VerifyOptions{Witnesses: []note.Verifier{va, vb}, Quorum: 2})
	if err != nil || r.Cosigned != held.Size {
		t.Errorf("%+v, %v", r, err)
	}
	var points struct {
		Points []pointView `json:"points"`
	}
	w.ok(200, "GET", "/points", "", &points)
	if p := points.Points[1]; p.Name != "gw-1" || p.Vouched != held.Size || p.SplitView != "" {
		t.Errorf("%s", jsonText(points))
	}
	size := w.c.cfg.Log.Size()
	a.tell(nil)
	w.c.keepSeen(t.Context())
	if now := w.c.cfg.Log.Size(); now != size {
		t.Error("nothing new was recorded again")
	}
	// An order carries its checkpoint outside of what is chained.
	got := make(chan []byte, 1)
	stop, err := a.bus.Subscribe(order.SubjectOrder, func(m bus.Msg) {
		select {
		case got <- m.Data:
		default:
		}
	})
	must(t, err)
	defer stop()
	must(t, a.bus.Flush(t.Context()))
	w.create(stopLarge)
	signed, cp := order.CutCheckpoint(<-got)
	if c, err := witness.Open(cp, log); err != nil || c.Size == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, _, err := order.OpenOrder(signed, order.Trust{Control: []order.PublicKey{w.signer.Public()}}); err != nil {
		t.Error(err)
	}
	w.restart()
	if v := w.witnesses(); len(v.Witnesses) != 2 || v.Witnesses[1].Key != a.keeper.Key() || !v.Witnesses[1].Heard.IsZero() || len(v.Cosigned) == 0 {
		t.Errorf("after a restart: %s", jsonText(v))
	}
}

// TestAGatewayThatSawMore: the whole folder was put back to an older copy, and
// every signature in it is genuine.
func TestAGatewayThatSawMore(t *testing.T) {
	w := withKey(t, nil)
	g := w.vouching("gw-1")
	w.create(stopLarge)
	g.take(g.tell(nil))
	w.stop()
	w.dir = t.TempDir() // another ledger, by the same key
	w.start()
	g.tell(nil)
	w.c.keepSeen(t.Context())
	v := w.witnesses()
	if len(v.Witnesses) != 1 || !strings.Contains(v.Witnesses[0].Alarm, "history") && !strings.Contains(v.Witnesses[0].Alarm, "rolled back") || len(v.Cosigned) != 0 {
		t.Fatalf("%s", jsonText(v))
	}
	if !strings.Contains(w.logs.String(), "ALARM: a gateway has seen a ledger that does not go with this one") {
		t.Error("no alarm in the log")
	}
	var p struct {
		Points []pointView `json:"points"`
	}
	w.ok(200, "GET", "/points", "", &p)
	if p.Points[0].SplitView == "" || p.Points[0].Error == "" {
		t.Errorf("%s", jsonText(p))
	}
	recorded := 0
	must(t, w.c.cfg.Log.Read(t.Context(), 0, w.c.cfg.Log.Size(), func(e ledger.Entry) error {
		if e.Type == typeWitnessAlarmed {
			recorded++
		}
		return nil
	}))
	g.tell(nil)
	w.c.keepSeen(t.Context())
	if recorded != 1 {
		t.Errorf("recorded %d times", recorded)
	}
}

// TestWhatWitnessesSayIsNotBelieved: a beat is not signed.
func TestWhatWitnessesSayIsNotBelieved(t *testing.T) {
	w := withKey(t, nil)
	g, other := w.vouching("gw-1"), w.vouching("gw-2")
	w.create(stopLarge)
	g.take(g.tell(nil))
	_, note := g.keeper.Held()
	for name, s := range map[string]order.Witness{
		"another's key":        {Key: other.keeper.Key(), Note: note},
		"no key":               {Note: note, Alarm: "x"},
		"a key that is none":   {Key: "nonsense", Note: note},
		"a note changed":       {Key: g.keeper.Key(), Note: strings.Replace(note, "\n1\n", "\n2\n", 1) + "x"},
		"a note without it":    {Key: g.keeper.Key(), Note: string(w.c.newest())},
		"a key too long":       {Key: strings.Repeat("x", maxWitnessKey+1), Note: note},
		"a note too long":      {Key: g.keeper.Key(), Note: strings.Repeat("x", maxWitnessNote+1)},
		"evidence too long":    {Key: g.keeper.Key(), Alarm: "a", Shown: strings.Repeat("x", maxWitnessNote+1)},
		"an alarm of bad text": {Key: g.keeper.Key(), Alarm: strings.Repeat("é", 3000)},
	} {
		g.tell(func(o *order.Witness) { *o = s })
		w.c.keepSeen(t.Context())
		if v := w.witnesses(); len(v.Cosigned) != 0 {
			t.Errorf("%s: %s", name, jsonText(v))
		}
	}
	for _, q := range []order.ConsistencyRequest{{Gateway: "gw-1"}, {Gateway: "gw-1", Old: 5, New: 2}, {Gateway: "gw-1", Old: 1, New: 1 << 60}} {
		data, _ := json.Marshal(q)
		answer, err := g.bus.Request(t.Context(), order.SubjectConsistency, data)
		must(t, err)
		var c order.Consistency
		if err := json.Unmarshal(answer, &c); err != nil || c.Error == "" || len(c.Proof) > 0 {
			t.Errorf("%+v: %s", q, answer)
		}
	}
}

func TestOutsideWitness(t *testing.T) {
	skey, vkey, err := ledger.NewSigner("example.com/andon")
	must(t, err)
	out, err := tlogwitness.New("witness.example/w1", time.Now, vkey)
	must(t, err)
	srv := httptest.NewServer(out)
	defer srv.Close()
	w := newWorld(t, nil)
	w.stop()
	w.noteKey, err = note.NewSigner(skey)
	must(t, err)
	w.dir = t.TempDir()
	w.config = func(c *Config) {
		c.LedgerKey, c.Witnesses = vkey, []OutsideWitness{{srv.URL, out.Key()}}
	}
	w.start()
	cl := w.c.outside[0]
	await := func(what string, cond func() bool) {
		t.Helper()
		for begun := time.Now(); !cond(); time.Sleep(2 * time.Millisecond) {
			if time.Since(begun) > 30*time.Second {
				t.Fatal("waited too long for", what)
			}
		}
	}
	await("the first cosignature", func() bool { return !w.witnesses().Witnesses[0].At.IsZero() }) // perhaps of an empty ledger
	w.c.keepSeen(t.Context())
	if got := w.c.state.witness.outside[cl.Name()]; got != out.Key() {
		t.Fatalf("the record names %q as its key", got)
	}
	w.create(stopLarge)
	c2, err := witness.NewClient(srv.URL, out.Key()) // the loop's own client is not shared
	must(t, err)
	must(t, w.c.submitOne(t.Context(), c2, w.c.newest()))
	w.c.keepSeen(t.Context())
	v := w.witnesses()
	if x := v.Witnesses[0]; x.Kind != "outside" || x.Name != cl.Name() || x.Behind != 0 || x.Alarm != "" || len(v.Cosigned) == 0 {
		t.Fatalf("%s", jsonText(v))
	}
	vo, err := witness.NewVerifier(out.Key())
	must(t, err)
	if _, _, err := vo.Line([]byte(w.text(200, "/ledger/checkpoint?cosigned=1"))); err != nil {
		t.Error(err)
	}
	// It refuses, it lies, it hangs: commands go on, and a person is told.
	out.Misbehave(func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(404); return true })
	w.create(stopLarge)
	if err := w.c.submitOne(t.Context(), c2, w.c.newest()); err == nil {
		t.Fatal("it cosigned")
	}
	if x := w.witnesses().Witnesses[0]; !strings.Contains(x.Alarm, "does not know this ledger") || x.Behind == 0 {
		t.Errorf("%+v", x)
	}
	out.Misbehave(nil)
	out.Forget("example.com/andon", 1<<40)
	must(t, func() error {
		if err := w.c.submitOne(t.Context(), c2, w.c.newest()); err == nil || !strings.Contains(err.Error(), "rolled back") {
			t.Errorf("a witness that has more: %v", err)
		}
		return nil
	}())
	if !strings.Contains(w.logs.String(), "ALARM: an outside witness has seen a ledger") {
		t.Error("no alarm in the log")
	}
	hang := make(chan struct{})
	defer close(hang)
	out.Misbehave(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.c.submitOne(ctx, c2, w.c.newest()); err == nil {
		t.Error("a witness that hangs has cosigned")
	}
	w.create(stopLarge)
	for _, bad := range []OutsideWitness{{"ftp://x", out.Key()}, {srv.URL, "x"}, {srv.URL, vkey}} {
		if _, err := New(Config{Log: w.log, Signer: w.signer, Witnesses: []OutsideWitness{bad}}); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestAGatewaysMemoryGoesBack: who vouches for less than before has lost what it
// vouched for, and that does not go by unnoticed.
func TestAGatewaysMemoryGoesBack(t *testing.T) {
	w := withKey(t, nil)
	g := w.vouching("gw-1")
	w.create(stopLarge)
	g.take(g.tell(nil))
	_, old := g.keeper.Held()
	w.create(stopLarge)
	for range 3 {
		g.take(g.tell(nil))
		w.c.seen.mu.Lock()
		w.c.seen.attested.at = time.Time{} // so that the next lease shows what is there now
		w.c.seen.mu.Unlock()
	}
	g.tell(nil)
	if v := w.witnesses(); v.Witnesses[0].Alarm != "" {
		t.Fatal(v.Witnesses[0].Alarm)
	}
	if _, now := g.keeper.Held(); now == old {
		t.Fatal("nothing new was vouched for")
	}
	g.tell(func(s *order.Witness) { s.Note = old })
	w.c.keepSeen(t.Context())
	if v := w.witnesses(); !strings.Contains(v.Witnesses[0].Alarm, "put back") {
		t.Errorf("%q", v.Witnesses[0].Alarm)
	}
	if w.c.state.witness.alarms["gw-1"] == "" {
		t.Error("it is not in the record")
	}
	g.tell(nil)
	if v := w.witnesses(); v.Witnesses[0].Alarm != "" {
		t.Errorf("it vouches for all of it again, and still: %q", v.Witnesses[0].Alarm)
	}
}
