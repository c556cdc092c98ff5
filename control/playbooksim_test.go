package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func TestSimulateChangesNothing(t *testing.T) {
	w := playWorld(t, book)
	w.gate("gw-1", true)
	w.c.tidy(t.Context())
	size := w.c.cfg.Log.Size()
	var v simulationView
	w.ok(200, "POST", "/playbooks/leak/simulate", `{"vars":{"org":"acme"},"at":"2030-06-01T03:00:00Z"}`, &v)
	if len(v.Steps) != 5 || len(v.Refused) != 0 || v.StopGap == nil || len(v.StopGap.Corrections) != 2 {
		t.Fatalf("%s", jsonText(v))
	}
	if d := v.Earliest.Sub(v.Start); d != 25*time.Minute { // the wait, and the decision that nobody takes
		t.Error(d)
	}
	if d := v.Latest.Sub(v.Start); d != 85*time.Minute { // and the task
		t.Error(d)
	}
	if got := fmt.Sprint(v.Critical); got != "[limit look wait ask stop]" {
		t.Error(got)
	}
	if e := v.Steps[0].Effect; e == nil || e.Preview == nil || e.Preview.Coverage.Points != 1 {
		t.Errorf("%s", jsonText(v.Steps[0]))
	}
	w.ok(200, "POST", "/playbooks/leak/simulate", `{"vars":{"org":"acme"},"choices":{"ask":"yes"}}`, &v)
	if v.Steps[4].State != "passed over" || v.Steps[4].Effect != nil || v.Earliest.Sub(v.Start) != 10*time.Minute {
		t.Errorf("%s", jsonText(v))
	}
	admin := w.token
	w.token = w.joins("vic", "viewer")
	size++ // she is an entry
	w.ok(200, "POST", "/playbooks/leak/simulate", `{"vars":{"org":"acme"}}`, &v)
	if len(v.Refused) != 4 || !strings.Contains(v.Refused[0], "viewer") {
		t.Errorf("%v", v.Refused)
	}
	w.token = admin
	w.bad(422, "invalid_playbook", "POST", "/playbooks/leak/simulate", `{"vars":{"org":"acme"},"choices":{"look":"yes"}}`)
	w.bad(422, "invalid_playbook", "POST", "/playbooks/leak/simulate", `{"vars":{"org":"acme"},"choices":{"ask":"maybe"}}`)
	if w.revision() != 0 || w.c.cfg.Log.Size() != size {
		t.Error("a simulation was recorded, or applied")
	}
}

func TestCACAOOverTheAPI(t *testing.T) {
	w := playWorld(t, book)
	// Everything that stands in the plan can be exported and read again.
	var list playbookList
	w.ok(200, "GET", "/playbooks", "", &list)
	if len(list.Playbooks) < 2 {
		t.Fatal(list)
	}
	read := func(body string) (v importView) {
		t.Helper()
		w.ok(200, "POST", "/cacao", body, &v)
		return v
	}
	for _, p := range list.Playbooks {
		var doc jsontext.Value
		w.ok(200, "GET", "/playbooks/"+p.Name+"/cacao", "", &doc)
		v := read(`{"document":` + string(doc) + `}`)
		if !v.Own || v.Playbook.Digest() != p.Digest || len(v.Signatures) != 1 || !v.Signatures[0].Trusted || v.Signatures[0].Key != w.signer.Public().String() {
			t.Errorf("%s: %s", p.Name, jsonText(v))
		}
	}
	var doc jsontext.Value
	w.ok(200, "GET", "/playbooks/leak/cacao", "", &doc)
	forged := strings.Replace(string(doc), "Answers leak", "All is well", 1)
	if p := w.bad(422, "bad_signature", "POST", "/cacao", `{"document":`+forged+`}`); !strings.Contains(p.Detail, "signatures[0]") {
		t.Errorf("%+v", p)
	}
	// Another control plane does not know the key, until it is told.
	other := newWorld(t, nil)
	var v importView
	other.ok(200, "POST", "/cacao", `{"document":`+string(doc)+`}`, &v)
	if v.Signatures[0].Trusted {
		t.Error("a stranger's key is trusted")
	}
	other.ok(200, "POST", "/cacao", `{"document":`+string(doc)+`,"trust":["`+w.signer.Public().String()+`"]}`, &v)
	if !v.Signatures[0].Trusted {
		t.Error("a key that was said to be trusted is not")
	}
	other.bad(422, "invalid_field", "POST", "/cacao", `{"document":`+string(doc)+`,"trust":["x"]}`)
	other.bad(422, "invalid_field", "POST", "/cacao", `{}`)
	other.bad(422, "invalid_playbook", "POST", "/cacao", `{"document":{"type":"playbook","spec_version":"cacao-3.0"}}`)
	other.bad(400, "invalid_json", "POST", "/cacao", `{"document":{"type":"playbook","type":"playbook"}}`)
}
