package control

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"andon/ledger"
	"andon/order"
	"andon/witness"
)

// impostor is another history of a ledger, by the same key: what a copy of the
// folder shows that somebody restored and went on with.
func (w *world) impostor(entries int) *ledger.SQLite {
	w.t.Helper()
	l, err := ledger.OpenSQLite(filepath.Join(w.t.TempDir(), "ledger.db"), w.noteKey)
	must(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	for range entries {
		_, err := l.Append(w.t.Context(), l.Size(), ledger.Entry{At: time.Unix(1e9, 0), Type: "test.made", Body: []byte(`"another"`)})
		must(w.t, err)
	}
	return l
}

// fooled is a gateway that was shown another ledger.
func (w *world) fooled(name string, l ledger.Log) *vouches {
	w.t.Helper()
	g := w.vouching(name)
	cp, err := l.Checkpoint(w.t.Context())
	must(w.t, err)
	_, err = g.keeper.Take(cp, w.vkey, true, nil, nil, time.Now())
	must(w.t, err)
	return g
}

// beatForks beats with forks.
func (g *vouches) beatForks(forks ...order.Fork) order.Lease {
	g.w.t.Helper()
	_, note := g.keeper.Held()
	return g.beatWith(order.Beat{Gateway: g.name, Boot: "boot-1", Nonce: "n", Revision: g.revision(), Head: g.f.State().Head,
		Witness: order.Witness{Key: g.keeper.Key(), Note: note}, Forks: forks, Peers: []string{"gw-1", "gw-2", "gw-9"}})
}

// against is what a gateway finds when it hears another one.
func (g *vouches) against(o *vouches) order.Fork {
	g.w.t.Helper()
	prove := func(uint64, uint64) (tlog.TreeProof, error) { return nil, nil }
	for range 10 {
		f, err := g.keeper.Hear(o.keeper.Said(), o.keeper.Key(), prove, time.Now())
		if f != nil {
			return order.Fork{Peer: f.Peer, PeerKey: f.PeerKey, Own: f.Own, Theirs: f.Theirs, LogKey: f.LogKey, PeerLogKey: f.PeerLogKey, Led: f.Led}
		}
		if err == nil {
			break
		}
	}
	g.w.t.Fatalf("%s hears %s and finds nothing", g.name, o.name)
	panic("unreachable")
}

func TestTheLedgerForks(t *testing.T) {
	for name, longer := range map[string]int{"of one size": 0, "of two sizes": 20} {
		t.Run(name, func(t *testing.T) {
			w := withKey(t, nil)
			a := w.vouching("gw-1")
			w.create(stopLarge)
			l := a.tell(nil)
			a.take(l)
			if len(l.Witnesses) != 0 {
				t.Error("keys that nobody asked for")
			}
			a.tell(nil)
			held, _ := a.keeper.Held()
			b := w.fooled("gw-2", w.impostor(int(held.Size)+longer))
			b.tell(nil) // it follows the other one; here it is known by its key
			w.c.keepSeen(t.Context())
			fork := a.against(b)
			l = a.beatForks(fork)
			if l.Witnesses["gw-2"] != b.keeper.Key() || l.Witnesses["gw-1"] != a.keeper.Key() || len(l.Witnesses) != 2 {
				t.Errorf("named: %v", l.Witnesses)
			}
			const says = "the ledger forks: gw-1 and gw-2 were shown different histories"
			v := w.witnesses()
			if len(v.Forks) != 1 || v.Forks[0].Says != says || v.Forks[0].Entry != nil || !slices.Equal(v.Forks[0].SaidBy, []string{"gw-1"}) || v.Forks[0].Proven != (longer == 0) {
				t.Fatalf("%s", jsonText(v.Forks))
			}
			if !strings.Contains(w.logs.String(), "ALARM: "+says) {
				t.Error("no alarm in the log")
			}
			w.c.keepSeen(t.Context())
			size := w.c.cfg.Log.Size()
			// The other side says the same, again and again: one entry.
			b.beatForks(b.against(a))
			for range 3 {
				a.beatForks(fork)
				w.c.keepSeen(t.Context())
			}
			v = w.witnesses()
			if len(v.Forks) != 1 || v.Forks[0].Entry == nil || !slices.Equal(v.Forks[0].SaidBy, []string{"gw-1", "gw-2"}) || len(v.Forks[0].Sides) != 2 || v.Forks[0].Sides[1].Gateway != "gw-2" {
				t.Fatalf("%s", jsonText(v.Forks))
			}
			n, alerts := 0, 0
			must(t, w.c.cfg.Log.Read(t.Context(), 0, w.c.cfg.Log.Size(), func(e ledger.Entry) error {
				if e.Type == typeWitnessForked {
					n++
					event, text, _ := w.c.state.alertOf(e)
					if event == eventSplitView && strings.HasPrefix(text, says) {
						alerts++
					}
				}
				return nil
			}))
			if n != 1 || alerts != 1 {
				t.Errorf("%d entries, %d alerts; the ledger had %d entries", n, alerts, size)
			}
			var p struct {
				Points []pointView `json:"points"`
			}
			w.ok(200, "GET", "/points", "", &p)
			if p.Points[0].SplitView != says || p.Points[0].Error != says {
				t.Errorf("%s", jsonText(p))
			}
			// Evidence that a stranger can check: by the notes, with no code of ours.
			log, err := note.NewVerifier(w.vkey)
			must(t, err)
			for _, s := range v.Forks[0].Sides {
				by, err := witness.NewVerifier(s.Key)
				must(t, err)
				if m, err := note.Open([]byte(s.Note), note.VerifierList(log, by)); err != nil || len(m.Sigs) != 2 || s.LedgerKey != w.vkey {
					t.Errorf("%s: %v", s.Gateway, err)
				}
			}
			// What is taken away at the gateways is history, and stays in the record.
			a.beatForks()
			b.beatForks()
			w.restart()
			if v = w.witnesses(); len(v.Forks) != 1 || v.Forks[0].Entry == nil || len(v.Forks[0].SaidBy) != 0 {
				t.Errorf("after a restart: %s", jsonText(v.Forks))
			}
			if _, alarm := w.c.witnessOf("gw-1"); alarm != "" {
				t.Error(alarm)
			}
		})
	}
}

// TestALieIsNoFork: a gateway alone, or anybody with the shared token, makes none up.
func TestALieIsNoFork(t *testing.T) {
	w := withKey(t, nil)
	a, honest := w.vouching("gw-1"), w.vouching("gw-2")
	w.create(stopLarge)
	honest.take(honest.tell(nil))
	for range 3 {
		w.create(stopLarge)
		a.take(a.tell(nil))
		w.c.seen.mu.Lock()
		w.c.seen.attested.at = time.Time{} // so that the next lease shows what is there now
		w.c.seen.mu.Unlock()
	}
	a.take(a.tell(nil))
	w.c.keepSeen(t.Context())
	held, own := a.keeper.Held()
	_, theirs := honest.keeper.Held()
	stranger := w.fooled("gw-3", w.impostor(int(held.Size)+9)) // never said here what it cosigns with
	good := order.Fork{Peer: witness.GatewayName("gw-2"), PeerKey: honest.keeper.Key(), Own: own, Theirs: theirs, LogKey: w.vkey, PeerLogKey: w.vkey}
	skey, vkey, err := ledger.NewSigner("example.com/andon")
	must(t, err)
	evil, err := note.NewSigner(skey)
	must(t, err)
	liar, err := witness.NewCosigner(witness.GatewayName("gw-2"))
	must(t, err)
	text := witness.Checkpoint{Origin: "example.com/andon", Size: held.Size, Root: tlog.Hash{1}}.Text()
	signed, err := note.Sign(&note.Note{Text: text}, evil)
	must(t, err)
	lie := string(signed) + liar.Cosign(text, time.Now())
	for name, spoil := range map[string]func(f *order.Fork){
		"both are of this history": func(*order.Fork) {},
		"the same twice":           func(f *order.Fork) { f.Theirs, f.PeerKey = f.Own, a.keeper.Key() },
		"itself":                   func(f *order.Fork) { f.Peer = witness.GatewayName("gw-1") },
		"no gateway":               func(f *order.Fork) { f.Peer = "x" },
		"a name with line breaks":  func(f *order.Fork) { f.Peer = witness.GatewayName("a\nb") },
		"signed by nobody": func(f *order.Fork) {
			f.Theirs = text + "\n" + liar.Cosign(text, time.Now())
			f.PeerKey = liar.Verifier()
		},
		"by a key of the liar's": func(f *order.Fork) { f.Theirs, f.PeerKey, f.PeerLogKey = lie, liar.Verifier(), vkey },
		"and with that for ours": func(f *order.Fork) { f.Theirs, f.PeerKey = lie, liar.Verifier() },
		"somebody else's note":   func(f *order.Fork) { f.PeerKey = a.keeper.Key() },
		"nobody named":           func(f *order.Fork) { *f = a.against(stranger) },
		"too long":               func(f *order.Fork) { f.Led = make([]string, 1000) },
		"much too long":          func(f *order.Fork) { f.Own = strings.Repeat("x", maxForkText+1) },
		"nothing":                func(f *order.Fork) { *f = order.Fork{} },
	} {
		f := good
		spoil(&f)
		a.beatForks(f, f, f, f, f, f, f, f)
		w.c.keepSeen(t.Context())
		if v := w.witnesses(); len(v.Forks) != 0 {
			t.Errorf("%s: %s", name, jsonText(v.Forks))
		}
	}
	// One that was rolled back knows neither of two histories: that is another alarm.
	far := w.impostor(int(held.Size) + 50)
	x, y := w.fooled("gw-4", far), w.fooled("gw-5", w.impostor(int(held.Size)+60))
	x.tell(nil)
	y.tell(nil)
	w.c.keepSeen(t.Context())
	x.beatForks(x.against(y))
	if v := w.witnesses(); len(v.Forks) != 0 {
		t.Errorf("%s", jsonText(v.Forks))
	}
}
