package control

import (
	"slices"
	"strings"
	"testing"

	"andon/order"
)

func TestCorrectionsNameLists(t *testing.T) {
	w := newWorld(t, nil)
	block := `{"kind":"access","params":{"mode":"block"},"scope":{"lists":["banned"]},"reason":"drill"}`
	p := w.bad(422, "unknown_list", "POST", "/corrections", block)
	if p.Field != "scope.lists[0]" || p.Allowed != nil {
		t.Errorf("%+v", p)
	}
	w.load(201, "banned?dimension=users&reason=drill", "alice\n")
	w.load(201, "clinics?dimension=orgs&reason=drill", "globex\n")
	p = w.bad(422, "unknown_list", "POST", "/corrections", `{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"except":{"lists":["clinics","x"]},"reason":"drill"}`)
	if p.Field != "except.lists[1]" || !slices.Equal(p.Allowed, []string{"banned", "clinics"}) {
		t.Errorf("%+v", p)
	}
	g := w.gate("gw-1", true)
	one := w.create(block)
	g.next()
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"]},"except":{"lists":["clinics"]},"reason":"drill"}`)
	var v listView
	w.ok(200, "GET", "/lists/banned", "", &v)
	if !slices.Equal(v.Corrections, []string{"c-1"}) {
		t.Errorf("%+v", v)
	}
	if p := w.bad(409, "list_in_use", "DELETE", "/lists/banned?reason=r", ""); !strings.Contains(p.Detail, "c-1") {
		t.Error(p)
	}
	w.bad(409, "list_in_use", "DELETE", "/lists/clinics?reason=r", "")
	w.ok(200, "POST", "/corrections/"+one.ID+"/lift", `{"reason":"r"}`, nil)
	w.ok(204, "DELETE", "/lists/banned?reason=r", "", nil)
}

// A correction is not enforced where its list is not.
func TestEffectWaitsForTheList(t *testing.T) {
	w := newWorld(t, nil)
	v := w.load(201, "banned?dimension=users&reason=drill", "alice\n")
	g := w.gate("gw-1", true)
	one := w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"lists":["banned"]},"reason":"drill"}`)
	g.next()
	says := func(h map[string]order.ListHeld, state, point string) correctionView {
		t.Helper()
		s := g.f.State()
		g.beatWith(order.Beat{Gateway: "gw-1", Boot: "boot-1", Nonce: "n", Revision: s.Revision, Head: s.Head, Models: []string{"sim-large", "sim-small"}, Version: "test", Lists: h})
		got := w.get(one.ID)
		if p := got.Effect.Points[0]; p.State != state || (state == pointSent) != (p.Error != "") || (state == pointSynced) != (got.TimeToEffect != nil) {
			t.Errorf("%+v %v", p, got.TimeToEffect)
		}
		l, err := w.c.listView("banned")
		must(t, err)
		if l.Points[0].State != point {
			t.Errorf("%+v", l.Points)
		}
		return got
	}
	says(nil, pointSent, listUnknown)
	got := says(map[string]order.ListHeld{"banned": {Loading: v.Digest, Percent: 40}}, pointSent, listLoading)
	if e := got.Effect.Points[0].Error; !strings.Contains(e, "banned") || !strings.Contains(e, "40 %") {
		t.Error(e)
	}
	says(map[string]order.ListHeld{"banned": {Digest: v.Digest}}, pointSynced, listHeld)
	says(map[string]order.ListHeld{"banned": {Lost: true, Loading: v.Digest}}, pointSynced, listLost)
	says(map[string]order.ListHeld{"banned": {Digest: order.Hash{1}, Loading: v.Digest, Percent: 3}}, pointSynced, listOld)
}
