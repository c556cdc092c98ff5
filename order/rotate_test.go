package order

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

func succeed(t testing.TB, n uint64, from, to Signer, at State) []byte {
	t.Helper()
	data, err := SignSuccession(Succession{N: n, From: from.Public(), To: to.Public(), Revision: at.Revision, Head: at.Head, At: t0}, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func list(links ...[]byte) []byte {
	data, err := json.Marshal(Successions{links})
	if err != nil {
		panic(err)
	}
	return data
}

// by signs the order that the chain made last by another key.
func (c *chain) by(s Signer) []byte {
	o, _, err := OpenOrder(c.sent[len(c.sent)-1], trust)
	if err != nil {
		c.t.Fatal(err)
	}
	return sign(c.t, o, s)
}

func TestAFollowerGoesOnToTheNextKey(t *testing.T) {
	dir, c := t.TempDir(), chain{t: t}
	f := reopen(t, dir)
	offer(t, f, c.put("c-1"), Applied)
	persist(t, f)
	second, third := seeded(11), seeded(12)
	one := succeed(t, 1, control, second, c.state)
	c.put("c-2")
	two := c.by(second)
	if _, err := f.Offer(two); !errors.Is(err, ErrUntrusted) || !errors.Is(err, ErrSignature) {
		t.Fatal("a key that nobody named:", err)
	}
	if followed, err := f.Follow(list(one)); err != nil || !followed {
		t.Fatal(followed, err)
	}
	if followed, err := f.Follow(list(one)); err != nil || followed {
		t.Fatal("twice:", followed, err)
	}
	old := c.sent[1] // the same order, by the key that was withdrawn
	if _, err := f.Offer(old); !errors.Is(err, ErrUntrusted) {
		t.Fatal("the old key still counts:", err)
	}
	if err := f.Resync(sign(t, c.state, control)); !errors.Is(err, ErrUntrusted) {
		t.Fatal("the old key still counts for states:", err)
	}
	if _, err := OpenLease(sign(t, Lease{TTL: 1}, control), f.Trust()); !errors.Is(err, ErrUntrusted) {
		t.Fatal("the old key still counts for leases:", err)
	}
	offer(t, f, two, Applied)
	persist(t, f)
	f = reopen(t, dir) // what the first key signed in its time is on disk, and counts there
	if f.Damage() != nil || f.Lost() {
		t.Fatal(f.Damage())
	}
	same(t, f, c.state)
	if _, err := f.Offer(old); !errors.Is(err, ErrUntrusted) {
		t.Fatal("after a restart the old key counts again:", err)
	}
	// A gateway that slept through two rotations goes on from the first key.
	asleep := reopen(t, t.TempDir())
	late := succeed(t, 2, second, third, c.state)
	if followed, err := asleep.Follow(list(late, one)); err != nil || !followed || asleep.Trust().Control[0] != third.Public() || len(asleep.Trust().Control) != 1 {
		t.Fatal(followed, err, asleep.Trust())
	}
	if err := asleep.Resync(sign(t, c.state, third)); err != nil {
		t.Fatal(err)
	}
	persist(t, asleep)
	if got := asleep.Trust().Emergency; len(got) != 1 || got[0] != emergency.Public() {
		t.Fatal("emergency keys are a matter of their own:", got)
	}
}

func TestSuccessionsThatAreNotFollowed(t *testing.T) {
	c := chain{t: t}
	c.put("c-1")
	c.put("c-2")
	second, evil := seeded(11), seeded(66)
	before := State{Revision: 1, Head: Hash{1}}
	good := succeed(t, 1, control, second, c.state)
	alter := func(data []byte, old, new string) []byte {
		var e envelope
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		e.Payload = []byte(strings.Replace(string(e.Payload), old, new, 1))
		out, _ := canonical(e)
		return out
	}
	half := func(from, to Signer) []byte {
		payload, _ := canonical(Succession{N: 1, From: control.Public(), To: second.Public(), Revision: c.state.Revision, Head: c.state.Head, At: t0})
		data, err := seal(TypeSuccession, payload, nil, from, to)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	session, err := NewSession(control, t0, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		list []byte
		err  error
	}{
		"not a list":             {[]byte(`[]`), ErrMalformed},
		"unknown member":         {[]byte(`{"successions":[],"more":1}`), ErrMalformed},
		"too many":               {list(make([][]byte, MaxSuccessions+1)...), ErrMalformed},
		"rubbish":                {list([]byte("{")), ErrSignature},
		"of a stranger":          {list(succeed(t, 1, stranger, second, c.state)), nil},
		"altered":                {list(alter(good, `"n":1`, `"n":2`)), ErrSignature},
		"without the old key":    {list(half(evil, second)), ErrSignature},
		"without the new key":    {list(half(control, evil)), ErrSignature},
		"by a session":           {list(half(session, second)), ErrSignature},
		"from before what holds": {list(succeed(t, 1, control, evil, before)), ErrRollback},
		"of another history":     {list(succeed(t, 1, control, evil, State{Revision: 2, Head: Hash{9}})), ErrRollback},
		"an order":               {list(c.sent[0]), ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			f := reopen(t, t.TempDir())
			offer(t, f, c.sent[0], Applied)
			offer(t, f, c.sent[1], Applied)
			followed, err := f.Follow(tc.list)
			if followed || !errors.Is(err, tc.err) {
				t.Fatal(followed, err)
			}
			if k := f.Trust().Control; len(k) != 1 || k[0] != control.Public() {
				t.Fatal("it trusts", k)
			}
		})
	}
	t.Run("fork", func(t *testing.T) {
		f := reopen(t, t.TempDir())
		if _, err := f.Follow(list(good)); err != nil {
			t.Fatal(err)
		}
		for _, fork := range [][]byte{succeed(t, 1, control, evil, c.state), succeed(t, 2, second, control, c.state)} {
			if followed, err := f.Follow(list(fork)); followed || !errors.Is(err, ErrForked) {
				t.Fatal(followed, err)
			}
		}
		if k := f.Trust().Control; len(k) != 1 || k[0] != second.Public() {
			t.Fatal("it trusts", k)
		}
		// One bad link does not stop the good ones.
		third := seeded(12)
		if followed, err := f.Follow(list(succeed(t, 1, control, evil, c.state), []byte("x"), succeed(t, 2, second, third, c.state))); !followed || err == nil {
			t.Fatal(followed, err)
		}
	})
	for _, bad := range []Succession{
		{N: 1, From: control.Public(), To: control.Public()}, {From: control.Public(), To: second.Public()},
		{N: 1, From: control.Public(), To: second.Public(), Revision: 1}, {N: 1, From: second.Public(), To: control.Public()},
	} {
		if _, err := SignSuccession(bad, control, second); err == nil {
			t.Errorf("signed: %+v", bad)
		}
	}
}

// TestWithdrawnKeyOnDisk: whoever has the old key and the disk cannot go past the
// revision with which the key ended.
func TestWithdrawnKeyOnDisk(t *testing.T) {
	c, dir, second := chain{t: t}, t.TempDir(), seeded(11)
	f := reopen(t, dir)
	c.put("c-1")
	end := c.state
	if err := f.Resync(sign(t, c.state, control)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Follow(list(succeed(t, 1, control, second, end))); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	c.next(Order{Drop: []string{"c-1"}})
	for _, name := range []string{stateFile, copyFile} {
		if err := os.WriteFile(filepath.Join(dir, name), sign(t, c.state, control), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = reopen(t, dir)
	if !f.Lost() || len(f.State().Corrections) != 0 || f.State().Revision != 0 || !strings.Contains(fmt.Sprint(f.Damage()), "ended with revision 1") {
		t.Fatal(f.Lost(), f.State(), f.Damage())
	}
}

// TestDamagedSuccessions: one file may go; with both, an old key might count again.
func TestDamagedSuccessions(t *testing.T) {
	second := seeded(11)
	for name, tc := range map[string]struct {
		break_ []string
		lost   bool
	}{"none": {nil, false}, "first": {[]string{linksFile}, false}, "copy": {[]string{linksCopy}, false}, "both": {[]string{linksFile, linksCopy}, true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := reopen(t, dir)
			if _, err := f.Follow(list(succeed(t, 1, control, second, State{}))); err != nil {
				t.Fatal(err)
			}
			persist(t, f)
			for _, b := range tc.break_ {
				if err := os.WriteFile(filepath.Join(dir, b), []byte("torn"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f = reopen(t, dir)
			if f.Lost() != tc.lost || (f.Damage() != nil) != (len(tc.break_) > 0) || !tc.lost && f.Trust().Control[0] != second.Public() {
				t.Fatal(f.Lost(), f.Damage(), f.Trust())
			}
			if f = reopen(t, dir); !tc.lost && (f.Damage() != nil || f.Trust().Control[0] != second.Public()) {
				t.Fatal("not mended:", f.Damage())
			}
		})
	}
}

// TestAnAnchorByHandWins: successions of a key that is given no more are nothing.
func TestAnAnchorByHandWins(t *testing.T) {
	dir, second, fresh := t.TempDir(), seeded(11), seeded(12)
	f := reopen(t, dir)
	if _, err := f.Follow(list(succeed(t, 1, control, second, State{}))); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	f, err := OpenFollower(dir, Trust{Control: []PublicKey{fresh.Public()}})
	if err != nil || len(f.Trust().Control) != 1 || f.Trust().Control[0] != fresh.Public() {
		t.Fatal(err, f.Trust())
	}
}

func TestRemoteSigner(t *testing.T) {
	local := seeded(1)
	var fail error
	wrong := false
	remote := RemoteSigner(local.Public(), func(m []byte) ([]byte, error) {
		if wrong {
			m = append(m, 'x')
		}
		sig, _ := local.sign(m)
		return sig, fail
	})
	if !remote.Remote() || local.Remote() || remote.Secret() != "" {
		t.Fatal("what is it?")
	}
	if _, err := OpenLease(sign(t, Lease{TTL: 1}, remote), trust); err != nil {
		t.Fatal(err)
	}
	fail = errors.New("locked")
	if _, err := Sign(Lease{TTL: 1}, remote); !errors.Is(err, ErrSigner) || !errors.Is(err, fail) {
		t.Fatal(err)
	}
	if fail, wrong = nil, true; true {
		if _, err := Sign(Lease{TTL: 1}, remote); !errors.Is(err, ErrSigner) {
			t.Fatal("a signature that does not verify left the house:", err)
		}
	}
	if _, err := NewSession(remote, t0, time.Hour); !errors.Is(err, ErrSigner) {
		t.Fatal(err)
	}
	if _, err := Sign(Lease{TTL: 1}, Signer{}); err == nil {
		t.Fatal("signed by nobody")
	}
}

func TestWarrants(t *testing.T) {
	s, err := NewSession(control, t0, MaxWarrant)
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) Trust {
		out := trust
		out.Early = func() time.Time { return t0.Add(d) }
		return out
	}
	for _, d := range []time.Duration{-time.Hour, 0, MaxWarrant} { // a clock that is behind does no harm
		if _, err := OpenLease(sign(t, Lease{TTL: 1}, s), at(d)); err != nil {
			t.Error(d, err)
		}
	}
	if _, err := OpenLease(sign(t, Lease{TTL: 1}, s), at(MaxWarrant+time.Second)); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "ended at 2026-11-24") {
		t.Error("after its end:", err)
	}
	if _, err := OpenLease(sign(t, Lease{TTL: 1}, s), Trust{Control: []PublicKey{stranger.Public()}, Early: at(0).Early}); !errors.Is(err, ErrUntrusted) {
		t.Error("by the wrong key:", err)
	}
	if _, err := OpenLease(sign(t, Lease{TTL: 1}, s), Trust{Control: []PublicKey{s.Public()}, Early: at(0).Early}); !errors.Is(err, ErrSignature) {
		t.Error("the session's own key is not an authority:", err)
	}
	// What it may not sign.
	e, err := NewEmergency("x", t0, time.Hour, stop(""))
	if err != nil {
		t.Fatal(err)
	}
	both := Trust{Emergency: []PublicKey{control.Public()}}
	if _, err := OpenEmergency(sign(t, e, s), both); !errors.Is(err, ErrSignature) {
		t.Error("an emergency order:", err)
	}
	if _, err := SignCertificate(validCertificate(), s); err == nil {
		t.Error("a certificate")
	}
	if _, err := NewSession(s, t0, time.Hour); err == nil {
		t.Error("a warrant by a warranted key")
	}
	second := seeded(12)
	w, _ := canonical(Warrant{Key: second.public, IssuedAt: t0, NotAfter: t0.Add(time.Hour)})
	if second.warrant, err = seal(TypeWarrant, w, s.warrant, s); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLease(sign(t, Lease{TTL: 1}, second), at(0)); !errors.Is(err, ErrSignature) {
		t.Error("a warrant by a warranted key counts:", err)
	}
	if _, err := NewSession(control, t0, MaxWarrant+time.Second); err == nil {
		t.Error("longer than the bound")
	}
	// It ends on the wire, and not on a disk: a gateway comes back after a week.
	dir, c := t.TempDir(), chain{t: t}
	c.put("c-1")
	f, err := OpenFollower(dir, at(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Resync(sign(t, c.state, s)); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	if f, err = OpenFollower(dir, at(7*24*time.Hour)); err != nil || f.Lost() || f.State().Revision != 1 {
		t.Fatal(err, f.Damage())
	}
	if err := f.Resync(sign(t, c.state, s)); !errors.Is(err, ErrSignature) {
		t.Fatal("a week later over the wire:", err)
	}
}

// TestRotations is a model: control changes its key and issues orders by key or
// session, gateways lose, replay, restart and crash before they persist, and a
// thief has every key that was withdrawn. Whatever a gateway holds was issued, it
// never goes back, and in the end all are at the end.
func TestRotations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := []Signer{control}
		var links, sent [][]byte
		heads := map[Hash]uint64{{}: 0}
		c := chain{t: t}
		type gateway struct {
			dir     string
			f       *Follower
			durable uint64
		}
		var gates []*gateway
		for range 3 {
			dir := t.TempDir()
			gates = append(gates, &gateway{dir: dir, f: reopen(t, dir)})
		}
		signer := func() Signer {
			root := keys[len(keys)-1]
			if rapid.Bool().Draw(rt, "session") {
				s, err := NewSession(root, time.Now(), time.Hour)
				if err != nil {
					rt.Fatal(err)
				}
				return s
			}
			return root
		}
		pick := func() *gateway { return rapid.SampledFrom(gates).Draw(rt, "gateway") }
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"issue": func(*rapid.T) {
				n++
				c.put(fmt.Sprint("c-", n))
				signed := c.by(signer())
				sent = append(sent, signed)
				heads[c.state.Head] = c.state.Revision
				pick().f.Offer(signed)
			},
			"rotate": func(*rapid.T) {
				next := seeded(byte(100 + len(keys)))
				links = append(links, succeed(t, uint64(len(keys)), keys[len(keys)-1], next, c.state))
				keys = append(keys, next)
			},
			"follow": func(*rapid.T) {
				if _, err := pick().f.Follow(list(links...)); err != nil {
					rt.Fatal(err)
				}
			},
			"resync": func(*rapid.T) { pick().f.Resync(sign(t, c.state, signer())) },
			"replay": func(*rapid.T) {
				if len(sent) > 0 {
					pick().f.Offer(rapid.SampledFrom(sent).Draw(rt, "old"))
				}
			},
			"thief": func(*rapid.T) {
				g := pick()
				if len(keys) < 2 {
					return
				}
				old := keys[rapid.IntRange(0, len(keys)-2).Draw(rt, "stolen")]
				forged := *g.f.State()
				o := Order{Revision: forged.Revision + 1, Prev: forged.Head, IssuedAt: t0, Adopted: []string{"forged"}}
				head, _ := o.Head()
				if forged.Apply(&o, head) != nil {
					return
				}
				// A gateway that has not heard of the rotation cannot know; one that has, must.
				for _, k := range g.f.Trust().Control {
					if k == old.Public() {
						return
					}
				}
				if _, err := g.f.Offer(sign(t, o, old)); !errors.Is(err, ErrSignature) {
					rt.Fatal("an order by a withdrawn key:", err)
				}
				if err := g.f.Resync(sign(t, forged, old)); !errors.Is(err, ErrSignature) {
					rt.Fatal("a state by a withdrawn key:", err)
				}
				g.f.Follow(list(succeed(t, 1, old, seeded(66), forged)))
			},
			"persist": func(*rapid.T) {
				g := pick()
				persist(t, g.f)
				g.durable = g.f.State().Revision
			},
			"crash": func(*rapid.T) {
				g := pick()
				g.f = reopen(t, g.dir)
				if g.f.Damage() != nil || g.f.State().Revision < g.durable {
					rt.Fatal("came back with less:", g.f.State().Revision, g.durable, g.f.Damage())
				}
			},
			"": func(*rapid.T) {
				for _, g := range gates {
					s := g.f.State()
					if rev, issued := heads[s.Head]; !issued || rev != s.Revision || len(s.Corrections) != int(rev) {
						rt.Fatal("it holds what was never issued:", s.Revision)
					}
					if len(g.f.Trust().Control) != 1 {
						rt.Fatal("it trusts", g.f.Trust().Control)
					}
				}
			},
		})
		for _, g := range gates {
			if _, err := g.f.Follow(list(links...)); err != nil {
				rt.Fatal(err)
			}
			if err := g.f.Resync(sign(t, c.state, signer())); err != nil {
				rt.Fatal("it does not come to the end:", err)
			}
			same(t, g.f, c.state)
		}
	})
}

// FuzzFollow gives a follower any list, and any payload by the keys it names.
func FuzzFollow(f *testing.F) {
	second := seeded(11)
	payload, _ := canonical(Succession{N: 1, From: control.Public(), To: second.Public(), At: t0})
	f.Add(payload)
	f.Add([]byte(`{"n":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		fo := &Follower{state: &State{}, raw: map[string][]byte{}, line: lineage{anchors: trust}}
		fo.trust.Store(&trust)
		fo.Follow(data)
		sealed, err := seal(TypeSuccession, data, nil, control, second)
		if err != nil {
			t.Fatal(err)
		}
		followed, _ := fo.Follow(list(sealed))
		if k := fo.Trust().Control; len(k) != 1 || (k[0] == control.Public()) == followed {
			t.Fatal(followed, k)
		}
	})
}
