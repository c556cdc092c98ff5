package order

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"andon/correction"
)

var (
	control   = seeded(1)
	emergency = seeded(2)
	stranger  = seeded(3)
	trust     = Trust{Control: []PublicKey{control.Public()}, Emergency: []PublicKey{emergency.Public()}}
	t0        = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
)

func seeded(b byte) Signer { return signer(bytes.Repeat([]byte{b}, 32)) }

func stop(id string) correction.Correction {
	return correction.Correction{
		ID: id, Kind: correction.Stop, Params: correction.Params{Level: "L3"},
		Scope: correction.Scope{Models: []string{"sim-large"}}, Reason: "drill", AppliedAt: t0,
	}
}

// chain is control as far as these tests need it: it issues orders in sequence.
type chain struct {
	t     testing.TB
	state State
	sent  [][]byte // by revision - 1
}

func (c *chain) next(o Order) []byte {
	o.Revision, o.Prev, o.IssuedAt = c.state.Revision+1, c.state.Head, t0.Add(time.Duration(c.state.Revision)*time.Second)
	head, err := o.Head()
	if err == nil {
		err = c.state.Apply(&o, head)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.sent = append(c.sent, sign(c.t, o, control))
	return c.sent[len(c.sent)-1]
}

func (c *chain) put(ids ...string) []byte {
	var o Order
	for _, id := range ids {
		o.Put = append(o.Put, stop(id))
	}
	return c.next(o)
}

func sign[M Message](t testing.TB, m M, s Signer) []byte {
	t.Helper()
	data, err := Sign(m, s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEncodingIsPinned fails when the bytes that are hashed change: every ledger
// written before would then lead to other heads, and every gateway would refuse.
func TestEncodingIsPinned(t *testing.T) {
	limit := int64(3)
	o := Order{
		Revision: 2, Prev: Hash{0xab}, IssuedAt: t0,
		Put: []correction.Correction{
			stop("c-1"),
			{ID: "c-2", Kind: correction.Rate, Params: correction.Params{Metric: "requests", Limit: &limit, Window: correction.Duration(time.Minute)},
				Scope: correction.Scope{All: true}, Except: &correction.Scope{Orgs: []string{"acme"}}, Share: 0.25, Reason: "<&>", ExpiresAt: t0.Add(time.Hour)},
			{ID: "c-3", Kind: correction.Capability, Params: correction.Params{Clamp: map[string]float64{"output_tokens": 5, "a": 1}}, Scope: correction.Scope{All: true}, Reason: "r"},
		},
		Drop: []string{"c-0"}, PutKeys: []Key{{ID: "k-1", Hash: "00", Attributes: []string{"a=b"}}}, DropKeys: []string{"k-0"}, Adopted: []string{"e-0000000000000000"},
	}
	got, err := canonical(&o)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "order.golden.json")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.TrimSpace(string(want)) {
		t.Errorf("the encoding has changed:\n got %s\nwant %s", got, want)
	}
	if head, err := o.Head(); err != nil || head.String() != "53e373f9139bd5017654118abd0fb3f4950c5b5de1065eee53557d459ebf1362" {
		t.Errorf("head %s, %v", head, err)
	}
}

func TestApplyIsStrict(t *testing.T) {
	c := chain{t: t}
	c.put("c-1", "c-2")
	base := c.state
	head := Hash{1}
	for _, tc := range []struct {
		name string
		o    Order
		want error
	}{
		{"same revision", Order{Revision: 1, Prev: base.Head}, ErrRollback},
		{"older", Order{Revision: 0}, ErrRollback},
		{"one missing", Order{Revision: 3, Prev: base.Head}, ErrGap},
		{"other past", Order{Revision: 2, Prev: Hash{9}}, ErrMismatch},
		{"drops what is not there", Order{Revision: 2, Prev: base.Head, Drop: []string{"c-9"}}, ErrMismatch},
		{"puts twice", Order{Revision: 2, Prev: base.Head, Put: []correction.Correction{stop("c-3"), stop("c-3")}}, ErrMalformed},
		{"puts and drops", Order{Revision: 2, Prev: base.Head, Put: []correction.Correction{stop("c-1")}, Drop: []string{"c-1"}}, ErrMalformed},
		{"no id", Order{Revision: 2, Prev: base.Head, Put: []correction.Correction{stop("")}}, ErrMalformed},
		{"drops a key that is not there", Order{Revision: 2, Prev: base.Head, DropKeys: []string{"k-1"}}, ErrMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := base
			if err := s.Apply(&tc.o, head); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if diff := cmp.Diff(base, s); diff != "" {
				t.Errorf("the state changed: %s", diff)
			}
		})
	}
	// And what is allowed: replace, add, remove; the old state's slices stay.
	s := base
	changed := stop("c-1")
	changed.Reason = "changed"
	o := Order{Revision: 2, Prev: base.Head, Put: []correction.Correction{changed, stop("c-10")}, Drop: []string{"c-2"}, PutKeys: []Key{{ID: "k-1"}}, Adopted: []string{"e-2", "e-1", "e-1"}}
	if err := s.Apply(&o, head); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(ids(&s), s.Adopted, s.Corrections[0].Reason, s.Head == head); got != "[c-1 c-10] [e-1 e-2] changed true\n" {
		t.Error(got)
	}
	if got := fmt.Sprintln(ids(&base), base.Corrections[0].Reason); got != "[c-1 c-2] drill\n" {
		t.Error("the state before was written to:", got)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

func held(ids ...string) (list []*correction.Correction) {
	for _, id := range ids {
		c := stop(id)
		list = append(list, &c)
	}
	return list
}

func ids(s *State) []string {
	var out []string
	for i := range s.Corrections {
		out = append(out, s.Corrections[i].ID)
	}
	return out
}

func TestSignatureCoversTypeAndContents(t *testing.T) {
	c := chain{t: t}
	signed := c.put("c-1")
	if _, head, err := OpenOrder(signed, trust); err != nil || head != c.state.Head {
		t.Fatal(head, err)
	}
	edit := func(f func(e *envelope)) []byte {
		var e envelope
		if err := json.Unmarshal(signed, &e); err != nil {
			t.Fatal(err)
		}
		f(&e)
		out, _ := json.Marshal(e)
		return out
	}
	for name, bad := range map[string][]byte{
		"payload":        edit(func(e *envelope) { e.Payload = bytes.Replace(e.Payload, []byte("sim-large"), []byte("sim-small"), 1) }),
		"signature":      edit(func(e *envelope) { e.Signatures[0].Sig[0] ^= 1 }),
		"short":          edit(func(e *envelope) { e.Signatures[0].Sig = e.Signatures[0].Sig[:63] }),
		"keyid":          edit(func(e *envelope) { e.Signatures[0].KeyID = stranger.Public().ID() }),
		"empty keyid":    edit(func(e *envelope) { e.Signatures[0].KeyID = "" }),
		"no signature":   edit(func(e *envelope) { e.Signatures = nil }),
		"many":           edit(func(e *envelope) { e.Signatures = make([]signature, maxSignatures+1) }),
		"type":           edit(func(e *envelope) { e.PayloadType = TypeState }),
		"stranger":       sign(t, Order{Revision: 1}, stranger),
		"emergency key":  sign(t, Order{Revision: 1}, emergency),
		"a state":        sign(t, c.state, control),
		"a lease":        sign(t, Lease{TTL: 1}, control),
		"empty":          nil,
		"null":           []byte("null"),
		"not JSON":       signed[:len(signed)-1],
		"twice a member": bytes.Replace(signed, []byte(`{"payloadType"`), []byte(`{"payloadType":"x","payloadType"`), 1),
		"extra member":   bytes.Replace(signed, []byte(`{"payloadType"`), []byte(`{"x":1,"payloadType"`), 1),
	} {
		if o, _, err := OpenOrder(bad, trust); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		} else if o.Revision != 0 {
			t.Errorf("%s: contents came with the error", name)
		}
	}
	// The type's own name inside, with a signature made over another type.
	crossed := edit(func(e *envelope) {
		var l envelope
		json.Unmarshal(sign(t, Lease{TTL: 1}, control), &l)
		e.Signatures = l.Signatures
	})
	if _, _, err := OpenOrder(crossed, trust); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
	// A stranger's signature beside a good one does no harm.
	beside := edit(func(e *envelope) {
		e.Signatures = append([]signature{{stranger.Public().ID(), make([]byte, 64)}}, e.Signatures...)
	})
	if _, _, err := OpenOrder(beside, trust); err != nil {
		t.Error(err)
	}
	// A zero public key in the trust matches nobody.
	if _, _, err := OpenOrder(edit(func(e *envelope) { e.Signatures[0].KeyID = "" }), Trust{Control: make([]PublicKey, 1)}); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

func TestSignedButUnreadable(t *testing.T) {
	raw := func(kind, payload string) []byte { return signRaw(kind, payload, control) }
	for _, payload := range []string{
		`{"revision":1,"prev":"` + strings.Repeat("0", 64) + `","issued_at":"2026-01-01T00:00:00Z","future":true}`,
		`{"revision":1,"prev":"00"}`,
		`{"revision":0,"prev":"` + strings.Repeat("0", 64) + `","issued_at":"2026-01-01T00:00:00Z"}`,
		`[]`,
	} {
		if _, _, err := OpenOrder(raw(TypeOrder, payload), trust); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	for _, s := range []State{
		{Revision: 1},
		{Head: Hash{1}},
		{Revision: 1, Head: Hash{1}, Corrections: held("b", "a")},
		{Revision: 1, Head: Hash{1}, Corrections: held("a", "a")},
		{Revision: 1, Head: Hash{1}, Corrections: []*correction.Correction{nil}},
		{Revision: 1, Head: Hash{1}, Keys: []Key{{}}},
		{Adopted: []string{"e-1"}},
	} {
		if _, err := OpenState(sign(t, s, control), trust); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if _, err := OpenLease(sign(t, Lease{}, control), trust); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestLeaseRoundTrip(t *testing.T) {
	l := Lease{Gateway: "gw-1", Nonce: "n", Revision: 3, Head: Hash{3}, At: t0, TTL: correction.Duration(15 * time.Second)}
	got, err := OpenLease(sign(t, l, control), trust)
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Fatal(got, err)
	}
}

// signRaw signs any payload as any type.
func signRaw(kind, payload string, s Signer) []byte {
	e := envelope{PayloadType: kind, Payload: []byte(payload)}
	e.Signatures = []signature{{s.public.id, edSign(s, pae(kind, e.Payload))}}
	out, _ := json.Marshal(e)
	return out
}
