package control

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/bus"
	"andon/ledger"
	"andon/order"
)

// vault is where keys are: it can be closed, and then none answers.
type vault struct {
	mu     sync.Mutex
	keys   map[string]order.Signer
	closed error
	asked  int // how often a key outside the process signed
}

func newVault(t testing.TB, names ...string) *vault {
	v := &vault{keys: map[string]order.Signer{}}
	for _, n := range names {
		s, err := order.GenerateSigner()
		must(t, err)
		v.keys[n] = s
	}
	return v
}

func (v *vault) close(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = err
}

// open gives keys whose names begin with "agent:" as keys outside the process.
func (v *vault) open(source string, _ bool) (order.Signer, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.keys[source]
	if v.closed != nil || !ok {
		return order.Signer{}, errors.Join(errors.New("there is no key at "+source), v.closed)
	}
	if !strings.HasPrefix(source, "agent:") {
		return k, nil
	}
	// A signature by the key itself, of whatever message: what an agent gives.
	return order.RemoteSigner(k.Public(), func(message []byte) ([]byte, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.asked++; v.closed != nil {
			return nil, v.closed
		}
		return rawSign(k, message), nil
	}), nil
}

// rawSign signs any message by a key whose secret is known.
func rawSign(s order.Signer, message []byte) []byte {
	_, seed, _ := strings.Cut(s.Secret(), ":")
	raw, err := base64.StdEncoding.DecodeString(seed)
	if err != nil {
		panic(err)
	}
	return ed25519.Sign(ed25519.NewKeyFromSeed(raw), message)
}

func (v *vault) into(c *Config) { c.OpenSigner, c.Source = v.open, "file:order.key" }

// follow asks for the successions and follows them, as a gateway does.
func (g *gate) follow() (followed bool, err error) {
	g.w.t.Helper()
	data, err := g.bus.Request(g.w.t.Context(), order.SubjectSuccessions, nil)
	must(g.w.t, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.f.Follow(data)
}

// tryResync takes over the full state.
func (g *gate) tryResync() error {
	data, err := g.bus.Request(g.w.t.Context(), order.SubjectSync, nil)
	must(g.w.t, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	data, _ = order.CutCheckpoint(data)
	return g.f.Resync(data)
}

func states(l signingKeyList) string {
	var out []string
	for _, k := range l.Keys {
		out = append(out, k.State)
	}
	return strings.Join(out, " ")
}

func rotateTo(source string) string { return fmt.Sprintf(`{"to":%q,"reason":"yearly"}`, source) }

func TestRotatingTheSigningKey(t *testing.T) {
	v := newVault(t, "file:two", "agent:three")
	w := newWorld(t, v.into)
	g, asleep := w.gate("gw-1", false), w.gate("gw-2", false)
	heard := make(chan []byte, 8)
	_, err := g.bus.Subscribe(order.SubjectSuccession, func(m bus.Msg) { heard <- m.Data })
	must(t, err)
	must(t, g.bus.Flush(t.Context()))
	w.create(stopLarge)
	var l signingKeyList
	w.ok(200, "GET", "/signing-keys", "", &l)
	if states(l) != "current" || l.Keys[0].Public != w.signer.Public().String() {
		t.Fatalf("%+v", l)
	}
	w.ok(200, "POST", "/signing-keys/rotate", rotateTo("file:two"), &l)
	if states(l) != "withdrawn current" || l.Keys[0].Revision != 1 || l.Keys[1].Reason != "yearly" || l.Keys[1].Source != "file:two" || l.Keys[1].By != "op-1" {
		t.Fatalf("%+v", l)
	}
	select { // those who listen hear of it at once
	case data := <-heard:
		g.mu.Lock()
		followed, err := g.f.Follow(data)
		g.mu.Unlock()
		if !followed || err != nil {
			t.Fatal(followed, err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was heard")
	}
	w.create(stopLarge)
	if err := g.tryResync(); err != nil || g.revision() != 2 {
		t.Fatal(err, g.revision())
	}
	w.ok(200, "POST", "/signing-keys/rotate", rotateTo("agent:three"), &l)
	if states(l) != "withdrawn withdrawn current" || l.Keys[2].SessionUntil.IsZero() {
		t.Fatalf("%+v", l)
	}
	w.create(stopLarge)
	// One that slept through both goes on from the first key to the last.
	if err := asleep.tryResync(); !errors.Is(err, order.ErrUntrusted) {
		t.Fatal(err)
	}
	if followed, err := asleep.follow(); !followed || err != nil {
		t.Fatal(followed, err)
	}
	must(t, asleep.tryResync())
	if asleep.revision() != 3 || len(asleep.f.State().Corrections) != 3 {
		t.Fatal("a correction was lost:", asleep.revision())
	}
	// What goes out is signed by a key of this process; the agent is asked twice a day.
	asked := v.asked
	for range 10 {
		w.create(stopLarge)
	}
	if v.asked != asked {
		t.Error("an order waited for the agent")
	}
	for _, key := range []string{"file:two", "agent:three"} {
		w.bad(409, map[bool]string{true: "key_withdrawn", false: "key_in_use"}[key == "file:two"], "POST", "/signing-keys/rotate", rotateTo(key))
	}
	// The same after a restart, with the configuration that names the first key.
	w.restart()
	w.ok(200, "GET", "/signing-keys", "", &l)
	if states(l) != "withdrawn withdrawn current" || w.c.OrderKey() != v.keys["agent:three"].Public() || w.c.Anchor() != w.signer.Public() {
		t.Fatalf("%+v", l)
	}
	w.create(stopLarge)
	must(t, asleep.tryResync())

	// A key that was stolen leads nobody on.
	w.bad(409, "key_in_use", "POST", "/signing-keys/"+w.c.OrderKey().ID()+"/revoke", `{"reason":"r"}`)
	w.bad(404, "not_found", "POST", "/signing-keys/0123/revoke", `{"reason":"r"}`)
	w.ok(200, "POST", "/signing-keys/"+w.signer.Public().ID()+"/revoke", `{"reason":"found on a laptop"}`, &l)
	if states(l) != "revoked withdrawn current" || l.Keys[0].RevokedReason != "found on a laptop" || !strings.Contains(l.Note, w.c.OrderKey().String()) {
		t.Fatalf("%+v", l)
	}
	f, err := order.OpenFollower(t.TempDir(), order.Trust{Control: []order.PublicKey{w.signer.Public()}})
	must(t, err)
	data, err := asleep.bus.Request(t.Context(), order.SubjectSuccessions, nil)
	must(t, err)
	if followed, err := f.Follow(data); followed || err != nil {
		t.Fatal("led on from a stolen key:", followed, err)
	}
	if w.c.Anchor() != v.keys["file:two"].Public() {
		t.Error("new gateways are given the stolen key")
	}
}

func TestRotationsThatAreRefused(t *testing.T) {
	v := newVault(t, "file:two", "agent:away")
	w := newWorld(t, v.into)
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		`{"to":"file:two"}`:                    {422, "invalid_field"},
		`{"reason":"r"}`:                       {422, "invalid_field"},
		`{"to":"file:none","reason":"r"}`:      {422, "signer_refused"},
		`{"to":"file:a\nb","reason":"r"}`:      {422, "invalid_field"},
		`{"to":"file:two","reason":"r","x":1}`: {400, "unknown_field"},
	} {
		w.bad(want.status, want.code, "POST", "/signing-keys/rotate", body)
	}
	size := w.log.Size()
	v.close(errors.New("locked"))
	w.bad(422, "signer_refused", "POST", "/signing-keys/rotate", rotateTo("agent:away"))
	if w.log.Size() != size {
		t.Fatal("something was written")
	}
}

// TestARotationThatIsInterrupted: the process ends, or a key goes away, between any
// two of its steps. Before, the old key signs on; after, the new one does.
func TestARotationThatIsInterrupted(t *testing.T) {
	for _, at := range []string{"before it is chosen", "before it is signed", "before it is durable", "before it is told"} {
		t.Run(at, func(t *testing.T) {
			v := newVault(t, "agent:two")
			w := newWorld(t, v.into)
			g := w.gate("gw-1", false)
			w.create(stopLarge)
			full := errors.New("the disk is full")
			want := "current"
			switch at {
			case "before it is chosen":
				w.log.set(full)
				w.bad(503, "ledger_unavailable", "POST", "/signing-keys/rotate", rotateTo("agent:two"))
				w.log.set(nil)
			case "before it is signed", "before it is durable":
				// The first entry goes through, the second does not.
				entries := 0
				w.log.mu.Lock()
				w.log.each = func() error {
					if entries++; entries > 1 {
						return full
					}
					return nil
				}
				w.log.mu.Unlock()
				if at == "before it is signed" {
					w.log.mu.Lock()
					w.log.before = func() { v.close(errors.New("gone")) }
					w.log.mu.Unlock()
				}
				w.bad(503, "signer_unavailable", "POST", "/signing-keys/rotate", rotateTo("agent:two"))
				w.bad(503, "ledger_unavailable", "POST", "/corrections", stopLarge)
				want = "current chosen"
			case "before it is told":
				want = "withdrawn current"
				w.ok(200, "POST", "/signing-keys/rotate", rotateTo("agent:two"), nil)
			}
			var l signingKeyList
			w.ok(200, "GET", "/signing-keys", "", &l)
			if states(l) != want {
				t.Fatalf("%s: %+v", want, l)
			}
			v.close(nil)
			w.restart() // as if it had been killed
			for end := time.Now().Add(30 * time.Second); want == "current chosen"; time.Sleep(5 * time.Millisecond) {
				if w.ok(200, "GET", "/signing-keys", "", &l); states(l) == "withdrawn current" {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("it is not carried out: %+v", l)
				}
			}
			w.create(stopLarge)
			if _, err := g.follow(); err != nil {
				t.Fatal(err)
			}
			must(t, g.tryResync())
			if g.revision() != w.revision() {
				t.Fatal("the gateway is behind")
			}
		})
	}
}

func TestASigningKeyThatIsAway(t *testing.T) {
	v := newVault(t, "agent:two")
	w := newWorld(t, v.into)
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	g := w.gate("gw-1", false)
	w.ok(200, "POST", "/signing-keys/rotate", rotateTo("agent:two"), nil)
	must1(g.follow())
	v.close(errors.New("locked"))
	// For a day, what was warranted signs; a stop does not wait for the agent.
	w.clock.advance(13 * time.Hour)
	w.c.renewSigner()
	w.create(stopLarge)
	var l signingKeyList
	w.ok(200, "GET", "/signing-keys", "", &l)
	if !strings.Contains(l.Keys[1].Trouble, "locked") || !strings.Contains(w.logs.String(), "ALARM: the key that signs orders does not answer") {
		t.Fatalf("nobody is told: %+v", l)
	}
	// Then commands that make an order fail, and write nothing.
	w.clock.advance(12 * time.Hour)
	made, revision := len(entriesOf[createdBody](w, typeCreated)), w.revision()
	p := w.bad(503, "signer_unavailable", "POST", "/corrections", stopLarge)
	if !strings.Contains(p.Detail, "locked") || !strings.Contains(p.Hint, "emergency") || len(entriesOf[createdBody](w, typeCreated)) != made || w.revision() != revision {
		t.Fatalf("%+v", p)
	}
	// A restart without it: reads go on, and so do gateways.
	w.restart()
	w.bad(503, "signer_unavailable", "POST", "/corrections", stopLarge)
	w.bad(503, "signer_unavailable", "POST", "/signing-keys/rotate", rotateTo("file:two"))
	w.get("c-1")
	v.close(nil)
	w.c.renewSigner()
	w.create(stopLarge)
	if got := len(must2(w.c.signedState())); got == 0 {
		t.Fatal("no state is signed")
	}
	if w.ok(200, "GET", "/signing-keys", "", &l); l.Keys[1].Trouble != "" {
		t.Fatalf("%+v", l)
	}
}

func must1(_ bool, err error) {
	if err != nil {
		panic(err)
	}
}

func must2(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestSigningKeysAreFoldedStrictly: whoever can write entries cannot name a key
// that the one before has not named.
func TestSigningKeysAreFoldedStrictly(t *testing.T) {
	a, b, thief := must3(order.GenerateSigner()), must3(order.GenerateSigner()), must3(order.GenerateSigner())
	sign := func(n uint64, from, to order.Signer) []byte {
		return must2(order.SignSuccession(order.Succession{N: n, From: from.Public(), To: to.Public(), At: time.Unix(1, 0).UTC()}, from, to))
	}
	s := newState()
	next := func(kind string, v any) error {
		e := draft{kind: kind, body: v}.entry()
		e.Seq, e.At, e.Actor = s.size, time.Unix(int64(s.size), 0), "op-1"
		_, err := s.fold(e)
		return err
	}
	rotated := func(n uint64, from, to order.Signer) rotatedBody {
		return rotatedBody{Source: "file:x", Succession: sign(n, from, to)}
	}
	must(t, next(typeKeyChosen, chosenBody{Key: b.Public(), Source: "file:x", Reason: "r"}))
	for what, body := range map[string]rotatedBody{
		"not what was chosen": rotated(1, a, thief), "another number": rotated(2, a, b), "elsewhere": {Source: "file:y", Succession: sign(1, a, b)},
		"unsigned": {Source: "file:x", Succession: []byte(strings.Replace(string(sign(1, a, b)), `"sig":"`, `"sig":"AA`, 1))},
	} {
		if next(typeKeyRotated, body) == nil {
			t.Error(what)
		}
	}
	if next(typeKeyRevoked, distrustedBody{Key: a.Public().ID(), Reason: "r"}) == nil {
		t.Error("revoked while it signs")
	}
	must(t, next(typeKeyRotated, rotated(1, a, b)))
	if next(typeKeyChosen, chosenBody{Key: a.Public(), Source: "file:x", Reason: "r"}) == nil {
		t.Error("a key returns")
	}
	must(t, next(typeKeyChosen, chosenBody{Key: thief.Public(), Source: "file:x", Reason: "r"}))
	if next(typeKeyRotated, rotated(2, a, thief)) == nil {
		t.Error("named by a key that was withdrawn")
	}
	must(t, next(typeKeyRevoked, distrustedBody{Key: a.Public().ID(), Reason: "r"}))
	if next(typeKeyRevoked, distrustedBody{Key: a.Public().ID(), Reason: "r"}) == nil {
		t.Error("revoked twice")
	}
	if got := s.signing.successions().Successions; len(got) != 0 {
		t.Error("a stolen key leads on")
	}
}

func must3(s order.Signer, err error) order.Signer {
	if err != nil {
		panic(err)
	}
	return s
}

// TestTheLedgersKeyIsRecorded: once, however often the process starts.
func TestTheLedgersKeyIsRecorded(t *testing.T) {
	b := &ledger.RekeyedBody{From: "example.com/andon+00000000+AA", To: "example.com/andon+11111111+AA", Statement: []byte("x")}
	w := newWorld(t, func(c *Config) { c.Rekeyed = b })
	count := func() (n int) {
		must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
			if e.Type == ledger.TypeRekeyed {
				n++
			}
			return nil
		}))
		return n
	}
	w.restart()
	if n := count(); n != 1 || w.c.state.signing.ledgerKey() != b.To {
		t.Fatal(n)
	}
	b.From, b.To = b.To, "example.com/andon+22222222+AA"
	w.restart()
	if n := count(); n != 2 {
		t.Fatal(n)
	}
	b.From, b.To = b.To, "example.com/andon+11111111+AA" // a key may come back: both have signed
	w.restart()
	if n := count(); n != 3 || w.c.state.signing.ledgerKey() != b.To {
		t.Fatal(n)
	}
	// A key that the record does not lead to is no key of it.
	for what, cfg := range map[string]Config{
		"not the key before":   {Rekeyed: &ledger.RekeyedBody{From: "example.com/andon+00000000+AA", To: "x", Statement: []byte("x")}},
		"back, without a word": {LedgerKey: "example.com/andon+00000000+AA"},
	} {
		w.c.cfg.Rekeyed, w.c.cfg.LedgerKey = cfg.Rekeyed, cfg.LedgerKey
		if err := w.c.recordRekeying(); err == nil || !strings.Contains(err.Error(), b.To) || count() != 3 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := w.c.rekeyedFrom("example.com/andon+22222222+AA"); len(got) != 1 {
		t.Errorf("from the second key: %d statements", len(got))
	}
	if got := w.c.rekeyedFrom("example.com/andon+00000000+AA"); len(got) != 3 {
		t.Errorf("from the first key: %d statements", len(got))
	}
}
