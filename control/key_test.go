package control

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"andon/ledger"
	"andon/order"
)

func TestKeys(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	var k keyView
	w.ok(201, "POST", "/keys", `{"org":"acme","user":"u1","tier":"free","attributes":["b=2","a=1"],"use_cases":["chat"]}`, &k)
	if k.ID != "k-1" || !strings.HasPrefix(k.Secret, "ak_") || len(k.Secret) != 46 || strings.Join(k.Attributes, " ") != "a=1 b=2" {
		t.Fatalf("%+v", k)
	}
	if g.next() != order.Applied || len(g.f.State().Keys) != 1 || g.f.State().Keys[0].Hash == "" {
		t.Fatalf("%+v", g.f.State())
	}
	resp := w.do("GET", api+"/keys", "", nil)
	data, _ := io.ReadAll(resp.Body)
	if strings.Contains(string(data), k.Secret) || strings.Contains(string(data), g.f.State().Keys[0].Hash) {
		t.Error("the list shows a secret")
	}
	must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		if strings.Contains(string(e.Body), k.Secret) || strings.Contains(string(e.Body), w.token) {
			t.Error("a secret is in the ledger")
		}
		return nil
	}))
	if strings.Contains(w.logs.String(), k.Secret) {
		t.Error("a secret is in the log")
	}
	for body, field := range map[string]string{
		`{}`: "org", `{"org":" a"}`: "org", `{"org":"a\nb"}`: "org", `{"org":"a","attributes":["x"]}`: "attributes[0]",
		`{"org":"a","expires_at":"2020-01-01T00:00:00Z"}`: "expires_at", `{"org":"a","use_cases":[""]}`: "use_cases[0]",
	} {
		if p := w.bad(422, "invalid_field", "POST", "/keys", body); p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := w.bad(400, "unknown_field", "POST", "/keys", `{"org":"a","hash":"x"}`); !slices.Contains(p.Allowed, "attributes") {
		t.Errorf("%+v", p)
	}
	k = keyView{}
	w.ok(200, "GET", "/keys/k-1", "", &k)
	if k.Secret != "" || k.Revision != 1 || k.Effect == nil || k.Effect.Desired != 1 {
		t.Fatalf("%+v %+v", k, k.Effect)
	}
	g.mu.Lock()
	g.auto = false
	g.mu.Unlock()
	k = keyView{}
	w.ok(200, "DELETE", "/keys/k-1", "", &k)
	if k.Revision != 2 || k.Effect.Points[0].Revision == 2 || k.Effect.Enforcing != 0 {
		t.Errorf("the point has not heard of it yet: %+v %+v", k, k.Effect)
	}
	if k.RevokedAt.IsZero() || k.Secret != "" {
		t.Fatalf("%+v", k)
	}
	if g.next() != order.Applied || len(g.f.State().Keys) != 0 {
		t.Fatal("still in the order")
	}
	g.send(order.Ack{Revision: 2, Phase: order.PhaseAccepted})
	g.send(order.Ack{Revision: 2, Phase: order.PhaseEnforcing})
	w.eventually(func() bool {
		k = keyView{}
		w.ok(200, "GET", "/keys/k-1", "", &k)
		return k.Effect.Enforcing == 1
	})
	w.bad(404, "not_found", "GET", "/keys/k-2", "")
	w.ok(200, "DELETE", "/keys/k-1", "", nil) // again is harmless
	w.bad(404, "not_found", "DELETE", "/keys/k-9", "")
	if w.revision() != 2 {
		t.Error(w.revision())
	}
}

func TestEnsureKey(t *testing.T) {
	w := newWorld(t, nil)
	key, text, created, err := w.c.EnsureKey(order.Key{Org: "acme"})
	if err != nil || !created || key.ID != "k-1" || !strings.HasPrefix(text, "ak_") {
		t.Fatal(key, text, created, err)
	}
	again, text, created, err := w.c.EnsureKey(order.Key{Org: "acme"})
	if err != nil || created || text != "" || again.ID != key.ID || again.Hash != key.Hash {
		t.Fatal(again, text, created, err)
	}
	if k, _, created, err := w.c.EnsureKey(order.Key{Org: "acme", Hash: key.Hash}); err != nil || created || k.ID != key.ID {
		t.Fatal(k, created, err)
	}
	_, hash := secret(keyPrefix)
	if k, text, created, err := w.c.EnsureKey(order.Key{Org: "acme", Hash: hash}); err != nil || !created || text != "" || k.Hash != hash {
		t.Fatal(k, text, created, err)
	}
	if _, _, _, err := w.c.EnsureKey(order.Key{Org: "acme", Hash: "zz"}); err == nil {
		t.Fatal("nonsense was taken")
	}
	if _, _, _, err := w.c.EnsureKey(order.Key{}); err == nil {
		t.Fatal("a key of nobody")
	}
}

func TestLedgerOverHTTP(t *testing.T) {
	w := newWorld(t, nil)
	w.create(stopLarge)
	v, err := note.NewVerifier(w.vkey)
	must(t, err)
	read := func(path string) []byte {
		resp := w.do("GET", api+path, "", nil)
		data, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, data)
		}
		return data
	}
	cp, err := ledger.OpenCheckpoint(read("/ledger/checkpoint"), v)
	if err != nil || cp.Size != w.log.Size() {
		t.Fatal(cp, err)
	}
	for n := range cp.Size {
		must(t, ledger.VerifyProof(read(fmt.Sprintf("/ledger/entries/%d", n)), read(fmt.Sprintf("/ledger/entries/%d.tlog-proof", n)), v))
	}
	if len(read(fmt.Sprintf("/ledger/tile/0/000.p/%d", cp.Size))) != 32*int(cp.Size) {
		t.Error("tile")
	}
	for _, path := range []string{"/ledger/entries/99", "/ledger/entries/99.tlog-proof", "/ledger/entries/-1", "/ledger/entries/01", "/ledger/entries/x", "/ledger/tile/0/999"} {
		w.bad(404, "not_found", "GET", path, "")
	}
}
