package control

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/authority"
	"andon/plan"
)

// TestTheHeldGetTheirFallbackFirst: a stop that reaches a dependant on the
// hold-down list is split, so that its own stop, with its fallback, is the earlier
// order, and nobody is under less than the stop says.
func TestTheHeldGetTheirFallbackFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.rules(house, func(p *plan.Plan) { p.Dependants[0].HoldDown = true })
	var pv previewView
	w.ok(200, "POST", "/corrections/preview", stopLarge, &pv)
	if len(pv.HoldDown) != 1 || pv.HoldDown[0].Model != "sim-small" || pv.HoldDown[0].Name != "support-customers" || len(pv.HoldDown[0].Contacts) == 0 {
		t.Fatalf("%s", jsonText(pv.HoldDown))
	}
	v := w.create(stopLarge)
	first := w.get("c-2")
	if v.ID != "c-1" || v.Except == nil || strings.Join(v.Except.Orgs, " ") != "globex" || v.Fallback != "" {
		t.Fatalf("%s", jsonText(v))
	}
	if strings.Join(first.Scope.Orgs, " ") != "globex" || first.Params.Level != "L3" || first.Fallback != "sim-small" || first.Revision >= v.Revision || first.Ratification == nil {
		t.Fatalf("%s", jsonText(first))
	}
	if !strings.Contains(jsonText(v.Warnings), "goes over to sim-small first") {
		t.Errorf("%s", jsonText(v.Warnings))
	}
	var list dependantStates
	w.ok(200, "GET", "/dependants", "", &list)
	if len(list.Dependants) != 1 || !list.Dependants[0].OnFallback || strings.Join(list.Dependants[0].Corrections, " ") != "c-2" {
		t.Errorf("%s", jsonText(list))
	}

	// Overridden: recorded, and the stop spares nobody.
	v = correctionView{}
	w.ok(201, "POST", "/corrections?hold_down=override", stopLarge, &v)
	if v.ID != "c-3" || v.Except != nil {
		t.Fatalf("%s", jsonText(v))
	}
	last := w.log.Size() - 1
	found := false
	for i := last; i+3 > last; i-- {
		resp := w.do("GET", api+"/ledger/entries/"+entryNumber(i), "", nil)
		found = found || strings.Contains(bodyText(t, resp), "support-customers")
	}
	if !found {
		t.Error("that it was overridden is not in the record")
	}
	w.bad(400, "invalid_query", "POST", "/corrections?hold_down=yes", stopLarge)
	w.bad(400, "invalid_query", "POST", "/corrections?hold=override", stopLarge)

	// Where there is no way to it, the stop goes ahead, and says so.
	for body, why := range map[string]string{
		`{"kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"r"}`:                                      "sim-small is stopped, too",
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"except":{"users":["u"]},"reason":"r"}`: "exceptions of its own",
		`{"kind":"stop","params":{"level":"L4"},"scope":{"models":["sim-large"]},"fallback":"none","reason":"r"}`:        "permits no fallback",
	} {
		n := w.count()
		v := w.create(body)
		if !strings.Contains(jsonText(v.Warnings), why) || w.count() != n+1 {
			t.Errorf("%s: %s", body, jsonText(v.Warnings))
		}
	}
	// What does not cut, does not reach them, or is only watched is one correction.
	for _, body := range []string{
		`{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"r"}`,
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-small"]},"reason":"r"}`,
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"],"orgs":["acme"]},"reason":"r"}`,
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"except":{"orgs":["globex"]},"reason":"r"}`,
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"mode":"shadow","reason":"r"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"models":["sim-large"]},"reason":"r"}`,
	} {
		n := w.count()
		if w.create(body); w.count() != n+1 {
			t.Errorf("split: %s", body)
		}
	}
	w.restart()
	if w.get("c-2").Fallback != "sim-small" {
		t.Error("after a restart")
	}
}

func (w *world) count() int {
	var list correctionList
	w.ok(200, "GET", "/corrections", "", &list)
	return len(list.Corrections)
}

func TestTermsAreAQuestionOfTheirOwn(t *testing.T) {
	w := newWorld(t, nil)
	tok := w.rules(append([]authority.Rule{
		{Name: "against terms", Acts: []authority.Act{authority.Tighten}, TermsForbid: true, Roles: []authority.Role{authority.Commander, authority.Administrator}, Approvals: 2, Within: anHour},
	}, house[0], house[2], house[4]), func(p *plan.Plan) {
		p.Terms[0].Clauses = []plan.TermClause{
			{Kinds: []string{"use"}, Word: plan.Forbidden, Section: "7.1"},
			{Kinds: []string{"rate"}, Word: plan.WithNotice, Notice: anHour, Section: "7.2"},
		}
		p.Org = "acme"
	})
	use := `{"kind":"use","params":{"use_case":"coding","basis":"declared","action":"block"},"scope":{"models":["sim-large"]},"reason":"r"}`
	var pv previewView
	w.ok(200, "POST", "/corrections/preview", use, &pv)
	if len(pv.Terms) != 1 || pv.Terms[0].Org != "globex" || pv.Terms[0].Word != "forbidden" || pv.Terms[0].Section != "7.1" || !strings.Contains(jsonText(pv.Warnings), "do not permit it") {
		t.Fatalf("%s", jsonText(pv))
	}
	// A responder may tighten, but not against a customer's terms.
	w.token = tok["res"]
	if p := w.bad(403, "not_authorised", "POST", "/corrections", use); !strings.Contains(p.Detail, "against terms") {
		t.Errorf("%+v", p)
	}
	w.create(strings.Replace(use, `"models":["sim-large"]`, `"orgs":["acme"]`, 1)) // reaches nobody whose terms forbid it
	w.create(strings.Replace(use, `},"reason"`, `},"except":{"orgs":["globex"]},"reason"`, 1))
	w.token = tok["com"]
	if v := w.create(use); v.Ratification == nil || v.Ratification.Approvals != 2 {
		t.Fatalf("%s", jsonText(v))
	}
	// With the notice that they ask for, it is permitted.
	w.token = tok["res"]
	rate := `{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"orgs":["globex"]},"reason":"r"%s}`
	for starts, permitted := range map[string]bool{"": false, "30m": false, "61m": true} {
		extra := ""
		if starts != "" {
			extra = `,"starts_at":"` + in(t, starts) + `"`
		}
		body := strings.Replace(rate, "%s", extra, 1)
		status, p, _ := w.by(w.token, "POST", "/corrections", body)
		if permitted != (status == 201) {
			t.Errorf("%s: %d %v", starts, status, p)
		}
	}
}

func TestThePolicyThatCustomersRead(t *testing.T) {
	w := newWorld(t, nil)
	var v policyView
	if _, p := w.anyone("GET", "/correction-policy", "", &v); p != nil || len(v.Kinds) < 8 || v.Yours != nil || v.Refusal.Code != "andon_correction" {
		t.Fatal(p, jsonText(v))
	}
	w.rules(house, nil)
	key := w.secretOf(`{"org":"globex"}`)
	resp := w.do("GET", api+"/correction-policy", "", &v, "Authorization", "Bearer "+key)
	if resp.StatusCode != 200 || v.Yours == nil || v.Yours.Org != "globex" || v.Yours.Terms != "globex-agreement" || len(v.Yours.Dependants) != 1 || v.Yours.Dependants[0].Fallback != "sim-small" {
		t.Fatalf("%s", jsonText(v))
	}
	seen := ""
	for _, k := range v.Yours.Kinds {
		seen += k.Kind + k.Level + "=" + k.Word + " "
	}
	if !strings.Contains(seen, "stopL3=permitted") || !strings.Contains(seen, "stopL4=notice") {
		t.Error(seen)
	}
	if s := jsonText(v); strings.Contains(s, "acme-") || strings.Contains(s, "globex-desk") {
		t.Error("it shows contacts or other customers")
	}
	other := policyView{}
	w.do("GET", api+"/correction-policy", "", &other, "Authorization", "Bearer "+w.secretOf(`{"org":"acme"}`))
	if other.Yours == nil || other.Yours.Terms != "" || len(other.Yours.Dependants) != 0 {
		t.Errorf("%s", jsonText(other.Yours))
	}
	for _, bad := range []string{"Bearer ak_nonsense", "Bearer " + w.token, "Basic x", "Bearer"} {
		if resp := w.do("GET", api+"/correction-policy", "", nil, "Authorization", bad); resp.StatusCode != 401 {
			t.Errorf("%.12s: %d", bad, resp.StatusCode)
		}
	}
}

func entryNumber(n uint64) string { return strconv.FormatUint(n, 10) }

func bodyText(t *testing.T, resp *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(data)
}

func in(t *testing.T, d string) string {
	t.Helper()
	x, err := time.ParseDuration(d)
	must(t, err)
	return time.Now().Add(x).UTC().Format(time.RFC3339)
}

// secretOf makes a caller's key and returns its secret.
func (w *world) secretOf(body string) string {
	w.t.Helper()
	var v keyView
	w.ok(201, "POST", "/keys", body, &v)
	return v.Secret
}
