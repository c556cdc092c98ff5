package control

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
	"andon/propose"
)

func document(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	must(t, json.Unmarshal(openAPI(), &doc))
	return doc
}

// at walks a JSON value by keys.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func TestOpenAPIListsEveryRouteAndNoOther(t *testing.T) {
	doc := document(t)
	if doc["openapi"] != "3.1.0" {
		t.Error(doc["openapi"])
	}
	said := map[string]bool{}
	ids := map[string]bool{}
	for path, methods := range doc["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			_, open := op.(map[string]any)["security"]
			said[fmt.Sprint(strings.ToUpper(method), " ", path, " ", open)] = true
			id := at(op, "operationId").(string)
			if ids[id] {
				t.Error("twice:", id)
			}
			ids[id] = true
			params, _ := at(op, "parameters").([]any)
			for _, p := range params {
				if at(p, "in") == "path" && !strings.Contains(path, "{"+at(p, "name").(string)+"}") {
					t.Errorf("%s has no parameter %v", path, at(p, "name"))
				}
			}
		}
	}
	for _, rt := range table {
		key := fmt.Sprint(rt.method, " ", strings.ReplaceAll(rt.path, "...}", "}"), " ", rt.open)
		if !said[key] {
			t.Error("not in the document:", key)
		}
		delete(said, key)
	}
	for key := range said {
		t.Error("not in the table:", key)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if r, ok := v["$ref"].(string); ok && at(doc, strings.Split(strings.TrimPrefix(r, "#/"), "/")...) == nil {
				t.Error("no such schema:", r)
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
}

// TestOpenAPIKnowsEveryField compares schemas with the types that are read and
// written: both ways.
func TestOpenAPIKnowsEveryField(t *testing.T) {
	doc := document(t)
	for schema, typ := range joined(roomSchemas, map[string]reflect.Type{
		"Params": reflect.TypeFor[correction.Params](), "Scope": reflect.TypeFor[correction.Scope](), "Correction": reflect.TypeFor[correctionView](),
		"Effect": reflect.TypeFor[effectView](), "PointEffect": reflect.TypeFor[pointEffect](), "Change": reflect.TypeFor[change](),
		"Lift": reflect.TypeFor[reasoned](), "Extend": reflect.TypeFor[extension](), "Ratify": reflect.TypeFor[ratification](),
		"Case": reflect.TypeFor[proposalAsk](), "Threat": reflect.TypeFor[propose.Threat](), "ThreatList": reflect.TypeFor[threatList](),
		"ProposalList": reflect.TypeFor[proposalList](), "Proposal": reflect.TypeFor[proposalView](), "Preview": reflect.TypeFor[previewView](), "Coverage": reflect.TypeFor[coverageView](), "Reach": reflect.TypeFor[reachView](), "Dependant": reflect.TypeFor[dependantView](), "Point": reflect.TypeFor[pointView](), "NewKey": reflect.TypeFor[keySpec](), "Key": reflect.TypeFor[keyView](),
		"WorkList": reflect.TypeFor[workList](), "Work": reflect.TypeFor[order.Work](), "Decision": reflect.TypeFor[order.Decision](), "Request": reflect.TypeFor[requestView](), "Model": reflect.TypeFor[ModelInfo](),
		"Ledger": reflect.TypeFor[ledgerView](), "Problem": reflect.TypeFor[Problem](), "Health": reflect.TypeFor[healthView](),
		"List": reflect.TypeFor[listView](), "ListPoint": reflect.TypeFor[listPoint](), "ListList": reflect.TypeFor[listList](), "ListEdit": reflect.TypeFor[listEdit](),
		"Warning": reflect.TypeFor[warning](), "Link": reflect.TypeFor[linkView](), "LinkMany": reflect.TypeFor[linkMany](), "Links": reflect.TypeFor[linksView](), "Unlink": reflect.TypeFor[unlinking](),
		"OnBehalf": reflect.TypeFor[onBehalf](), "Receipt": reflect.TypeFor[order.Receipt](), "Missing": reflect.TypeFor[missingView](), "Acknowledgements": reflect.TypeFor[acknowledgementsView](),
		"Measured": reflect.TypeFor[measuredView](), "MeasuredClass": reflect.TypeFor[measuredClassView](), "Kind": reflect.TypeFor[kindView](), "KindList": reflect.TypeFor[kindList](),
		"UseCase": reflect.TypeFor[correction.Node](), "UseCaseList": reflect.TypeFor[useCaseList](), "NewCustody": reflect.TypeFor[caseSpec](), "CustodyCopy": reflect.TypeFor[custodyCopy](), "Destruction": reflect.TypeFor[destruction](),
		"CustodyTransfer": reflect.TypeFor[custodyTransfer](), "CustodyCredential": reflect.TypeFor[custodyCredential](), "Statement": reflect.TypeFor[statement](), "LegalHold": reflect.TypeFor[legalHold](),
		"Motion": reflect.TypeFor[motion](), "Approval": reflect.TypeFor[approval](), "LedgerRef": reflect.TypeFor[entryRef](), "CustodyCase": reflect.TypeFor[caseView](), "CustodyList": reflect.TypeFor[caseList](),
		"NewCopy": reflect.TypeFor[copyStep](), "NewInventory": reflect.TypeFor[inventoryStep](), "NewTransfer": reflect.TypeFor[transferStep](), "AcceptTransfer": reflect.TypeFor[acceptStep](), "NewCredential": reflect.TypeFor[credentialStep](),
		"Propose": reflect.TypeFor[proposeStep](), "NewLegalHold": reflect.TypeFor[legalHoldStep](), "NewDestruction": reflect.TypeFor[destroyStep](), "Witness": reflect.TypeFor[witnessStep](),
	}) {
		var names []string
		for _, f := range reflect.VisibleFields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && !f.Anonymous && name != "" {
				names = append(names, name)
			}
		}
		props, _ := at(doc, "components", "schemas", schema, "properties").(map[string]any)
		for _, n := range names {
			if props[n] == nil {
				t.Errorf("%s lacks %s", schema, n)
			}
		}
		for n := range props {
			if !slices.Contains(names, n) {
				t.Errorf("%s has %s, which no answer has", schema, n)
			}
		}
	}
	// What an operator writes is a correction without what control sets.
	props := at(doc, "components", "schemas", "NewCorrection", "properties").(map[string]any)
	for i := range reflect.TypeFor[correction.Correction]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[correction.Correction]().Field(i).Tag.Get("json"), ",")
		if (props[name] == nil) != slices.Contains([]string{"id", "applied_at", "links", "acknowledged"}, name) {
			t.Error("NewCorrection:", name)
		}
	}
	var enum []string
	for _, c := range at(doc, "components", "schemas", "Problem", "properties", "code", "enum").([]any) {
		enum = append(enum, c.(string))
		if _, ok := codes[c.(string)]; !ok {
			t.Error("no such code:", c)
		}
	}
	for c := range codes {
		if !slices.Contains(enum, c) {
			t.Error("the document lacks the code", c)
		}
	}
}

// TestAnswersFitTheDocument calls every JSON operation and holds the real answer
// against its schema.
func TestAnswersFitTheDocument(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	reply := func(subject string, v any) {
		data, err := json.Marshal(v)
		must(t, err)
		_, err = g.bus.Subscribe(subject, func(m bus.Msg) { m.Respond(data) })
		must(t, err)
		must(t, g.bus.Flush(t.Context()))
	}
	reply(order.SubjectLive, order.Preview{Gateway: "gw-1", LiveStreams: 1, Recorded: 4, Requests: 2, Since: time.Now(), Until: time.Now(),
		Models: []order.Reach{{Name: "sim-large", Requests: 2, Of: 4}}, ByKey: []order.Reach{{Name: "k-1", Org: "a", Requests: 2, Of: 2}}, Known: []order.Known{{Dimension: "orgs", Unknown: 1}}})
	reply(order.SubjectWorks, order.WorksAnswer{Gateway: "gw-1", Total: 1, States: map[string]int{"running": 1}, Works: []order.Work{{ID: "b-1", Kind: "batch", Models: []string{"sim-large"}, State: order.WorkRunning, Stop: order.StopFailing, Users: []string{"u"}}}})
	reply(order.SubjectExplain, order.Decision{RequestID: "r-1", Gateway: "gw-1", Action: order.ActionRefused, Corrections: []string{"c-1"}})
	until := `"expires_at":"2100-01-01T00:00:00Z","reason"`
	w.ok(201, "POST", "/incidents", `{"title":"x"}`, nil)
	w.create(strings.Replace(stopLarge, `"reason"`, `"except":{"orgs":["a"]},"share":0.5,"public_reason":"p","incident":"i-1",`+until, 1))
	g.next()
	w.create(stopLarge)
	doc := document(t)
	checked := map[string]bool{}
	for _, tc := range []struct{ method, path, template, body string }{
		{"POST", "/corrections", "/corrections", stopLarge},
		{"GET", "/corrections", "/corrections", ""},
		{"POST", "/corrections/preview", "/corrections/preview", stopLarge},
		{"POST", "/proposals", "/proposals", `{"threat":"data_exfiltration","scope":{"orgs":["a"],"models":["sim-large"]},"patterns":["x"],"tools":["t"],"use_case":"u"}`},
		{"GET", "/proposals/threats", "/proposals/threats", ""},
		{"GET", "/corrections/c-1", "/corrections/{id}", ""},
		{"POST", "/corrections/c-1/extend", "/corrections/{id}/extend", `{"reason":"r","expires_at":"2100-01-02T00:00:00Z"}`},
		{"POST", "/corrections/c-1/ratify", "/corrections/{id}/ratify", `{"reason":"r"}`},
		{"POST", "/corrections/c-2/lift", "/corrections/{id}/lift", `{"reason":"r"}`},
		{"GET", "/points", "/points", ""},
		{"POST", "/keys", "/keys", `{"org":"acme","tier":"free","expires_at":"2100-01-01T00:00:00Z"}`},
		{"GET", "/keys", "/keys", ""},
		{"DELETE", "/keys/k-1", "/keys/{id}", ""},
		{"PUT", "/lists/banned?dimension=users&reason=drill", "/lists/{name}", "alice\nbob\n"},
		{"PUT", "/lists/banned?reason=drill", "/lists/{name}", "alice\n"},
		{"GET", "/lists", "/lists", ""},
		{"GET", "/lists/banned", "/lists/{name}", ""},
		{"POST", "/lists/banned/add", "/lists/{name}/add", `{"entries":["carol"],"reason":"r"}`},
		{"POST", "/lists/banned/remove", "/lists/{name}/remove", `{"entries":["carol"],"reason":"r"}`},
		{"DELETE", "/lists/other?reason=r", "/lists/{name}", ""},
		{"GET", "/requests/r-1", "/requests/{id}", ""},
		{"GET", "/models", "/models", ""},
		{"GET", "/holds", "/holds", ""},
		{"GET", "/works?model=sim-large&limit=5", "/works", ""},
		{"GET", "/works?limit=0", "/works", ""},
		{"PUT", "/apps/reader", "/apps/{name}", `{"use_cases":["education"],"reason":"r"}`},
		{"GET", "/apps", "/apps", ""},
		{"POST", "/corrections", "/corrections", `{"kind":"access","params":{"mode":"block","linked":["org"]},"scope":{"keys":["k-1"]},"reason":"r"}`},
		{"POST", "/keys", "/keys", `{"org":"acme","attributes":["device=d-1"]}`},
		{"GET", "/corrections/c-4", "/corrections/{id}", ""},
		{"POST", "/corrections/c-4/unlink", "/corrections/{id}/unlink", `{"link":"org=acme","reason":"r"}`},
		{"POST", "/corrections", "/corrections", `{"kind":"use","params":{"use_case":"of our own","action":"acknowledge","acknowledge_by":"2100-01-01T00:00:00Z"},"scope":{"all":true},"reason":"r"}`},
		{"POST", "/corrections/c-5/acknowledge", "/corrections/{id}/acknowledge", `{"org":"acme","reason":"by letter"}`},
		{"GET", "/corrections/c-5/acknowledgements", "/corrections/{id}/acknowledgements", ""},
		{"GET", "/kinds", "/kinds", ""},
		{"GET", "/use-cases", "/use-cases", ""},
		{"POST", "/operators", "/operators", `{"name":"bea","role":"viewer"}`},
		{"GET", "/operators", "/operators", ""},
		{"POST", "/custody", "/custody", `{"level":"L6","models":["sim-large"],"reason":"r","legal_basis":"l"}`},
		{"POST", "/custody/case-1/copies", "/custody/{id}/copies", `{"kind":"weights","location":"vault","holder":"acme","digest":"sha256:` + strings.Repeat("0", 64) + `"}`},
		{"POST", "/custody/case-1/transfers", "/custody/{id}/transfers", `{"copy":"m-1","to":"op-2","location":"vault","holder":"acme","seal":"s-1"}`},
		{"POST", "/custody/case-1/credentials", "/custody/{id}/credentials", `{"name":"upstream x","withdrawn":true,"evidence":"ticket"}`},
		{"GET", "/custody", "/custody", ""},
		{"GET", "/custody/case-1", "/custody/{id}", ""},
		{"POST", "/custody/case-1/seal", "/custody/{id}/seal", `{"reason":"r"}`},
		{"POST", "/custody/case-1/withdraw", "/custody/{id}/withdraw", `{"reason":"r"}`},
		{"DELETE", "/operators/op-2", "/operators/{id}", ""},
		{"GET", "/whoami", "/whoami", ""},
		{"GET", "/ledger", "/ledger", ""},
		{"GET", "/ledger/entries/1", "/ledger/entries/{n}", ""},
		{"GET", "/../../healthz", "/../../healthz", ""},
		{"POST", "/keys", "/keys", `{"x":1}`},
		{"PUT", "/keys", "/keys", ``},
	} {
		full, template := api+tc.path, api+tc.template
		if strings.HasSuffix(full, "healthz") {
			full, template = "/healthz", "/healthz"
		}
		resp := w.do(tc.method, full, tc.body, nil)
		data, _ := io.ReadAll(resp.Body)
		op := at(doc, "paths", template, strings.ToLower(tc.method))
		kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		schema := at(op, "responses", fmt.Sprint(resp.StatusCode), "content", kind, "schema")
		if schema == nil && kind == "application/problem+json" {
			schema = at(doc, "components", "schemas", "Problem")
		}
		if schema == nil {
			t.Errorf("%s %s: %d %s is not in the document", tc.method, template, resp.StatusCode, kind)
			continue
		}
		var v any
		must(t, json.Unmarshal(data, &v))
		for _, fault := range fits(doc, schema, v, "") {
			t.Errorf("%s %s: %s in %s", tc.method, template, fault, data)
		}
		checked[template] = true
	}
	if len(checked) < 20 { // or the loop looks at nothing
		t.Error("checked", len(checked))
	}
}

// fits checks a value against a schema, as far as the document uses JSON Schema.
func fits(doc, schema, v any, path string) (faults []string) {
	s := schema.(map[string]any)
	if r, ok := s["$ref"].(string); ok {
		return fits(doc, at(doc, strings.Split(strings.TrimPrefix(r, "#/"), "/")...), v, path)
	}
	fault := func(format string, args ...any) {
		faults = append(faults, path+": "+fmt.Sprintf(format, args...))
	}
	kind, _ := s["type"].(string)
	switch v := v.(type) {
	case map[string]any:
		if kind != "object" && s["type"] != nil {
			fault("an object, not %v", s["type"])
			return faults
		}
		for _, r := range list(s["required"]) {
			if _, ok := v[r]; !ok {
				fault("%s is missing", r)
			}
		}
		for name, x := range v {
			switch p := at(s, "properties", name); {
			case p != nil:
				faults = append(faults, fits(doc, p, x, path+"/"+name)...)
			case s["additionalProperties"] == false:
				fault("%s is not known", name)
			}
		}
	case []any:
		if kind != "array" && s["items"] == nil && s["type"] != nil {
			fault("a list, not %v", s["type"])
			return faults
		}
		for i, x := range v {
			if s["items"] != nil {
				faults = append(faults, fits(doc, s["items"], x, fmt.Sprint(path, "/", i))...)
			}
		}
	case string:
		if kind != "string" && s["type"] != nil {
			fault("text, not %v", s["type"])
		}
		if e := list(s["enum"]); e != nil && !slices.Contains(e, v) {
			fault("%q is not one of %v", v, e)
		}
	case float64:
		if kind != "number" && kind != "integer" && s["type"] != nil || kind == "integer" && v != float64(int64(v)) {
			fault("%v, not %v", v, s["type"])
		}
	case bool:
		if kind != "boolean" && s["type"] != nil {
			fault("%v, not %v", v, s["type"])
		}
	case nil:
		if !slices.Contains(list(s["type"]), "null") {
			fault("null")
		}
	}
	return faults
}

func list(v any) []string {
	var out []string
	a, _ := v.([]any)
	for _, x := range a {
		s, _ := x.(string)
		out = append(out, s)
	}
	return out
}

// answerFits sends a request, compares the answer with what the document says of
// it, and reports the status.
func (w *world) answerFits(doc any, method, path, template, body string) int {
	w.t.Helper()
	resp := w.do(method, api+path, body, nil)
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	schema := at(doc, "paths", api+template, strings.ToLower(method), "responses", strconv.Itoa(resp.StatusCode), "content", kind, "schema")
	if schema == nil && kind == "application/problem+json" {
		schema = at(doc, "components", "schemas", "Problem")
	}
	if schema == nil {
		w.t.Errorf("%s %s: %d is not in the document: %s", method, path, resp.StatusCode, data)
		return resp.StatusCode
	}
	var v any
	must(w.t, json.Unmarshal(data, &v))
	for _, fault := range fits(doc, schema, v, "") {
		w.t.Errorf("%s %s: %s in %s", method, path, fault, data)
	}
	return resp.StatusCode
}
