package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/order"
)

func TestAcknowledgements(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	w.makeKey(`{"org":"acme","use_cases":["medical/advice"]}`)
	w.makeKey(`{"org":"globex","use_cases":["medical"]}`)
	w.makeKey(`{"org":"acme-eu","use_cases":["legal"]}`)
	body := `{"kind":"use","params":{"use_case":"medical","action":"acknowledge","acknowledge_by":"2100-01-01T00:00:00Z"},"scope":{"all":true},"reason":"r"}`
	w.create(body)
	w.create(stopLarge)
	ask := func(a order.Acknowledge) order.Receipt {
		t.Helper()
		data, err := json.Marshal(a)
		must(t, err)
		answer, err := g.bus.Request(t.Context(), order.SubjectAcknowledge, data)
		must(t, err)
		var r order.Receipt
		must(t, json.Unmarshal(answer, &r))
		return r
	}
	good := order.Acknowledge{Gateway: "gw-1", Correction: "c-1", Org: "acme", Key: "k-1", Statement: "we do"}
	for _, bad := range []order.Acknowledge{
		{Gateway: "gw-1", Correction: "c-1", Statement: "we do"},
		{Gateway: "gw-1", Correction: "c-1", Org: "acme", Key: "k-1"},
		{Gateway: "gw-1", Correction: "c-1", Org: "globex", Key: "k-1", Statement: "for others"},
		{Gateway: "gw-1", Correction: "c-2", Org: "acme", Key: "k-1", Statement: "we do"},
		{Gateway: "gw-1", Correction: "c-9", Org: "acme", Key: "k-1", Statement: "we do"},
		{Gateway: "gw-1", Correction: "c-1", Org: "ac\nme", Statement: "we do"},
	} {
		if r := ask(bad); r.Code == "" || r.ID != "" || r.Detail == "" {
			t.Errorf("%+v: %+v", bad, r)
		}
	}
	r := ask(good)
	if r.ID != "a-1" || r.Org != "acme" || r.Key != "k-1" || r.Entry == 0 || r.At.IsZero() {
		t.Fatalf("%+v", r)
	}
	if again := ask(good); again != r {
		t.Fatalf("another receipt: %+v", again)
	}
	see := func() (a acknowledgementsView) {
		t.Helper()
		w.ok(200, "GET", "/corrections/c-1/acknowledgements", "", &a)
		return a
	}
	if a := see(); len(a.Acknowledged) != 1 || len(a.Missing) != 1 || a.Missing[0].Org != "globex" || a.Missing[0].Keys[0] != "k-2" || len(a.Notes) != 1 {
		t.Fatalf("%+v", a)
	}
	w.bad(422, "invalid_field", "GET", "/corrections/c-2/acknowledgements", "")
	w.bad(404, "not_found", "GET", "/corrections/c-9/acknowledgements", "")
	w.bad(422, "invalid_field", "POST", "/corrections/c-1/acknowledge", `{"org":"globex"}`)
	w.bad(422, "invalid_field", "POST", "/corrections/c-1/acknowledge", `{"reason":"r"}`)
	w.bad(404, "not_found", "POST", "/corrections/c-1/acknowledge", `{"key":"k-9","reason":"r"}`)
	w.ok(201, "POST", "/corrections/c-1/acknowledge", `{"org":"globex","reason":"signed letter"}`, &r)
	if r.ID != "a-2" || r.By != "op-1" {
		t.Fatalf("%+v", r)
	}
	w.restart()
	if a := see(); len(a.Acknowledged) != 2 || len(a.Missing) != 0 || a.Acknowledged[1].Statement != "signed letter" {
		t.Fatalf("%+v", a)
	}
	if got := w.get("c-1"); strings.Join(got.Acknowledged, " ") != "acme globex" || len(got.History) != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestWarnings(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	b := order.Beat{Gateway: "gw-1", Boot: "boot-1", Nonce: "n", Features: []string{"access", "stop", "capability.filter", "capability.pin", "use.declared"},
		Detectors: []string{"guard"}, Versions: map[string][]string{"sim-large": {"v1", "v2"}}, Revision: g.f.State().Revision, Head: g.f.State().Head}
	data, err := json.Marshal(b)
	must(t, err)
	_, err = g.bus.Request(t.Context(), order.SubjectBeat, data)
	must(t, err)
	for body, want := range map[string]string{
		`{"kind":"use","params":{"use_case":"cyber/malware"},"scope":{"all":true},"reason":"r"}`:                                                                                                 "",
		`{"kind":"use","params":{"use_case":"cyber/malwar"},"scope":{"all":true},"reason":"r"}`:                                                                                                  "unknown_use_case params.use_case",
		`{"kind":"access","params":{"mode":"block"},"scope":{"use_cases":["cyber","of our own"]},"reason":"r"}`:                                                                                  "unknown_use_case scope.use_cases[1]",
		`{"kind":"capability","params":{"pin":"v2"},"scope":{"models":["sim-large"]},"reason":"r"}`:                                                                                              "",
		`{"kind":"capability","params":{"pin":"v3"},"scope":{"models":["sim-large"]},"reason":"r"}`:                                                                                              "unknown_version params.pin",
		`{"kind":"capability","params":{"filter":{"direction":"input","detector":"guard","action":"block"}},"scope":{"all":true},"reason":"r"}`:                                                  "",
		`{"kind":"use","params":{"use_case":"cyber","basis":"inferred","detector":"guard"},"scope":{"all":true},"reason":"r"}`:                                                                   "not_enforced kind",
		`{"kind":"capability","params":{"disable":["tools"]},"scope":{"all":true},"reason":"r"}`:                                                                                                 "not_enforced kind",
		`{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns","patterns":["forbidden"],"regexps":["a{1,9}"],"action":"block"}},"scope":{"all":true},"reason":"r"}`: "",
	} {
		var made correctionView
		var seen previewView
		w.ok(200, "POST", "/corrections/preview", body, &seen)
		w.ok(201, "POST", "/corrections", body, &made)
		got := ""
		for _, x := range made.Warnings {
			got += x.Code + " " + x.Field
		}
		if got != want || len(seen.Warnings) != len(made.Warnings) {
			t.Errorf("%s: %+v", body, made.Warnings)
		}
	}
	// Who was never given a key is warned of, once keys were given out.
	w.ok(201, "POST", "/keys", `{"org":"acme"}`, nil)
	for body, want := range map[string]string{
		`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme"],"keys":["k-1"]},"reason":"r"}`:                              "",
		`{"kind":"access","params":{"mode":"block"},"scope":{"orgs":["acme","amce"]},"reason":"r"}`:                                      "scope.orgs[1]",
		`{"kind":"access","params":{"mode":"block"},"scope":{"keys":["k-9"]},"reason":"r"}`:                                              "scope.keys[0]",
		`{"kind":"access","params":{"mode":"block"},"scope":{"all":true},"except":{"orgs":["amce"]},"reason":"r"}`:                       "except.orgs[0]",
		`{"kind":"access","params":{"mode":"allow_only"},"scope":{"models":["sim-large"],"orgs":["amce"]},"reason":"r","mode":"shadow"}`: "scope.orgs[0]",
	} {
		var v previewView
		w.ok(200, "POST", "/corrections/preview", body, &v)
		got := ""
		for _, x := range v.Warnings {
			if x.Code == "unknown_caller" {
				got += x.Field
			}
		}
		if got != want {
			t.Errorf("%s: %+v", body, v.Warnings)
		}
	}
	// A classifier that no gateway has is refused; one that some lack is warned of.
	const other = `{"kind":"capability","params":{"filter":{"direction":"input","detector":"other","action":"block"}},"scope":{"all":true},"reason":"r"}`
	for _, path := range []string{"/corrections", "/corrections/preview"} {
		if p := w.bad(422, "invalid_field", "POST", path, other); p.Field != "params.filter.detector" || strings.Join(p.Allowed, " ") != "guard patterns" {
			t.Errorf("%+v", p)
		}
	}
	w.gate("gw-2", true)
	var made correctionView
	w.ok(201, "POST", "/corrections", strings.Replace(other, "other", "guard", 1), &made)
	if !slices.ContainsFunc(made.Warnings, func(x warning) bool {
		return x.Code == "unknown_detector" && strings.Contains(x.Detail, "gw-2")
	}) {
		t.Errorf("%+v", made.Warnings)
	}
	// What gateways could not compile is not accepted.
	for _, path := range []string{"/corrections", "/corrections/preview"} {
		for re, field := range map[string]string{`"regexps":["ok","x+y*"]`: "params.filter.regexps[1]", `"patterns":["ok","\u200b"]`: "params.filter.patterns[1]"} {
			p := w.bad(422, "invalid_field", "POST", path, `{"kind":"capability","params":{"filter":{"direction":"input","detector":"patterns",`+re+`,"action":"block"}},"scope":{"all":true},"reason":"r"}`)
			if p.Field != field {
				t.Errorf("%s: %+v", re, p)
			}
		}
	}
}

func TestMeasuredTimeToEffect(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	kinds := func() map[string]kindView {
		t.Helper()
		var list kindList
		w.ok(200, "GET", "/kinds", "", &list)
		by := map[string]kindView{}
		for _, k := range list.Kinds {
			by[string(k.Kind)] = k
		}
		return by
	}
	if k := kinds(); len(k) != 5 || k["stop"].Measured != nil || len(k["stop"].Schema) == 0 {
		t.Fatalf("%+v", k["stop"])
	}
	pin := `{"kind":"capability","params":{"pin":"v1"},"scope":{"models":["sim-large"]},"reason":"r"}`
	for _, body := range []string{stopLarge, pin, strings.Replace(stopLarge, "L3", "L2", 1), stopLarge} {
		w.create(body)
		g.next()
	}
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"r"}`, nil)
	deadline := time.Now().Add(30 * time.Second)
	for kinds()["stop"].Measured == nil || kinds()["stop"].Measured.Count < 3 {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", kinds()["stop"])
		}
		time.Sleep(20 * time.Millisecond)
	}
	before := kinds()
	w.restart()
	for _, k := range []map[string]kindView{before, kinds()} {
		stop := k["stop"]
		if len(stop.Classes) != 2 || stop.Classes[0].Class != "stop.L2" || stop.Classes[1].Count != 2 || stop.Measured.P50 <= 0 || stop.Measured.P99 < stop.Measured.P50 ||
			stop.Measured.At.IsZero() || k["capability"].Classes[0].Class != "capability.pin" || k["rate"].Measured != nil {
			t.Errorf("%+v", stop)
		}
	}
	if *before["stop"].Measured != *kinds()["stop"].Measured {
		t.Error("a restart changed what was measured")
	}
	e := &effects{}
	for i := range 150 {
		e.add(float64(i), time.Now())
	}
	if v := e.view(); v.Count != 150 || v.Last != 149 || v.P50 != 99 || v.P99 != 148 {
		t.Errorf("%+v", v)
	}
}
