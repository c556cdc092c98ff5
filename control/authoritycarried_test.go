package control

import (
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestWhoCarriesAnActIsToldItsEffect: the last approval answers as the command does
// that waited, and the act says it for as long as nothing else has changed it.
func TestWhoCarriesAnActIsToldItsEffect(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	g := w.gate("gw-1", true)
	w.create(stopLarge)
	g.beat()
	a := w.asked(tok["com"], "/corrections/c-1/lift", `{"reason":"fixed"}`)
	approve := func(who, id string) (v actView, location string) {
		t.Helper()
		resp := w.do("POST", api+"/approvals/"+id+"/approve", `{"reason":"looked"}`, nil, "Authorization", "Bearer "+tok[who])
		if resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		must(t, json.UnmarshalRead(resp.Body, &v))
		return v, resp.Header.Get("Location")
	}
	if v, location := approve("ap1", a.ID); v.State != actOpen || v.Revision != 0 || v.Effect != nil || v.Corrections != nil || location != "" {
		t.Fatalf("before it was carried: %s", jsonText(v))
	}
	v, location := approve("ap2", a.ID)
	if v.State != actCarried || v.Revision != w.revision() || !slices.Equal(v.Corrections, []string{"c-1"}) || v.Effect == nil || v.Effect.Desired != 1 || location != "/api/v1/corrections/c-1" {
		t.Fatalf("%s, at %q", jsonText(v), location)
	}
	w.eventually(func() bool {
		g.beat()
		v = w.act(a.ID)
		return v.Effect.Enforcing == 1 && v.TimeToEffect != nil
	})
	if c := w.get("c-1"); *c.TimeToEffect != *v.TimeToEffect || c.Revision != v.Revision {
		t.Errorf("the act says %s, its correction %s", jsonText(v), jsonText(c))
	}
	// A restoration changes several; a plan none.
	before := w.revision()
	w.create(stopLarge)
	w.create(stopLarge)
	b := w.asked(tok["com"], "/restore", `{"before":"c-2","reason":"fixed"}`)
	approve("ap1", b.ID)
	v, location = approve("ap2", b.ID)
	if v.Revision != before+3 || !slices.Equal(v.Corrections, []string{"c-2", "c-3"}) || v.Effect == nil || location != "" {
		t.Fatalf("%s, at %q", jsonText(v), location)
	}
	w.restart()
	if again := w.act(b.ID); again.Revision != v.Revision || !slices.Equal(again.Corrections, v.Corrections) || again.Effect == nil {
		t.Errorf("after a restart: %s", jsonText(again))
	}
	if v = w.act(a.ID); v.Revision == 0 || !slices.Equal(v.Corrections, []string{"c-1"}) {
		t.Errorf("after a restart: %s", jsonText(v))
	}
}
