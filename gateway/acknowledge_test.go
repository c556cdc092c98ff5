package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
)

// own asks the gateway's own path.
func own(t *testing.T, g *Gateway, method, body string, headers ...string) answer {
	t.Helper()
	req := must(http.NewRequest(method, "http://"+g.Addr()+ownPath, strings.NewReader(body)))
	req.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	return answer{resp.StatusCode, resp.Header, string(must(io.ReadAll(resp.Body)))}
}

func TestCallersAcknowledge(t *testing.T) {
	p := newPlane(t)
	s := startSim(t)
	g := p.start(s, nil)
	soon := time.Now().Add(time.Hour)
	id := p.apply(1, `{"kind":"use","params":{"use_case":"medical","action":"acknowledge","acknowledge_by":"`+soon.UTC().Format(time.RFC3339)+`"},
		"scope":{"orgs":["acme"],"models":["sim-large"]},"reason":"r","public_reason":"new terms"}`)
	other := p.apply(1, `{"kind":"use","params":{"use_case":"medical","action":"acknowledge","acknowledge_by":"2100-01-01T00:00:00Z"},"scope":{"orgs":["globex"]},"reason":"r"}`)
	a := send(t, g, "/v1/chat/completions", chat("sim-large", "hi"), "Andon-Use-Case", "medical/advice")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Andon-Acknowledge"), id+"; by=") {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	if a := own(t, g, "GET", ""); a.status != 200 || !strings.Contains(a.body, `"correction":"`+id+`"`) || strings.Contains(a.body, other) ||
		!strings.Contains(a.body, "new terms") || !strings.Contains(a.body, `"declared":false`) || !strings.Contains(a.body, `"over":false`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := own(t, g, "GET", "", "Andon-Use-Case", "medical/advice"); !strings.Contains(a.body, `"declared":true`) {
		t.Fatal(a.body)
	}
	good := `{"correction":"` + id + `","statement":"we abide by the terms"}`
	for _, tc := range []struct {
		status                 int
		method, body, contains string
		headers                []string
	}{
		{401, "POST", good, "invalid_api_key", []string{"Authorization", "Bearer nobody"}},
		{401, "GET", "", "invalid_api_key", []string{"Authorization", "Bearer nobody"}},
		{405, "DELETE", "", "GET and POST", nil},
		{400, "POST", "", "nothing else", nil},
		{400, "POST", `{"correction":"` + id + `","statement":"x","org":"globex"}`, "nothing else", nil},
		{400, "POST", `{"correction":"` + id + `","correction":"` + other + `","statement":"x"}`, "nothing else", nil},
		{400, "POST", `{"correction":"` + id + `","statement":" "}`, "statement", nil},
		{404, "POST", `{"correction":"` + other + `","statement":"x"}`, "not asked", nil},
		{404, "POST", `{"correction":"c-99","statement":"x"}`, "not asked", nil},
		{413, "POST", `{"statement":"` + strings.Repeat("x", maxAcknowledgement) + `"}`, "16 KiB", nil},
		{503, "POST", good, "not known whether", nil}, // nobody listens yet
	} {
		if a := own(t, g, tc.method, tc.body, tc.headers...); a.status != tc.status || !strings.Contains(a.body, tc.contains) {
			t.Errorf("%s %.60s: %d %s", tc.method, tc.body, a.status, a.body)
		}
	}
	for _, path := range []string{"/andon", "/andon/", "/andon/acknowledgements/", "//andon/acknowledgements", "/Andon/acknowledgements"} {
		if a := send(t, g, path, "{}"); a.status != 404 && a.status != 400 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	var asked order.Acknowledge
	p.serve(order.SubjectAcknowledge, func(m bus.Msg) []byte {
		if err := json.Unmarshal(m.Data, &asked); err != nil {
			t.Error(err)
		}
		return must(json.Marshal(order.Receipt{ID: "a-1", Correction: id, Org: "acme", Key: "k-1", At: time.Now(), Entry: 7}))
	})
	a = own(t, g, "POST", good)
	if a.status != 201 || !strings.Contains(a.body, `"id":"a-1"`) || !strings.Contains(a.body, `"entry":7`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if asked != (order.Acknowledge{Gateway: "gw-1", Correction: id, Org: "acme", Key: "k-1", Statement: "we abide by the terms"}) {
		t.Fatalf("%+v", asked)
	}
	// The deadline passes: refused, until the order says who has acknowledged.
	next := correction.Correction{}
	p.mu.Lock()
	for _, c := range p.state.Corrections {
		if c.ID == id {
			next = *c
		}
	}
	p.mu.Unlock()
	next.Params.AcknowledgeBy = time.Now().Add(-time.Second)
	p.issue(order.Order{Put: []correction.Correction{next}})
	p.enforced(1)
	a = send(t, g, "/v1/chat/completions", chat("sim-large", "hi"), "Andon-Use-Case", "medical")
	if a.status != 403 || !strings.Contains(a.body, "POST /andon/acknowledgements") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := own(t, g, "GET", ""); !strings.Contains(a.body, `"over":true`) || !strings.Contains(a.body, `"acknowledged":false`) {
		t.Fatal(a.body)
	}
	next.Acknowledged = []string{"acme"}
	p.issue(order.Order{Put: []correction.Correction{next}})
	p.enforced(1)
	if a = send(t, g, "/v1/chat/completions", chat("sim-large", "hi"), "Andon-Use-Case", "medical"); a.status != 200 || a.header.Get("Andon-Acknowledge") != "" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if a := own(t, g, "GET", ""); !strings.Contains(a.body, `"acknowledged":true`) {
		t.Fatal(a.body)
	}
	limited := false
	for range acknowledgeMost {
		a := own(t, g, "GET", "")
		limited = limited || a.status == 429 && a.header.Get("Retry-After") != ""
	}
	if !limited {
		t.Error("nothing bounds how often the path is asked")
	}
}

func TestRefusedCallersAreToldOfOnce(t *testing.T) {
	p := newPlane(t)
	s := startSim(t)
	g := p.start(s, func(c *Config) {
		c.Identity = Identity{Mode: "header", TrustedProxies: prefixes("127.0.0.0/8")}
	})
	var told []order.Linked
	p.serve(order.SubjectLinked, func(m bus.Msg) []byte {
		var l order.Linked
		if err := json.Unmarshal(m.Data, &l); err != nil {
			t.Error(err)
		}
		told = append(told, l)
		return nil
	})
	id := p.apply(1, `{"kind":"access","params":{"mode":"block","linked":["device","payment"]},"scope":{"users":["mallory"]},"reason":"r"}`)
	call := func(user, attributes string, more ...string) int {
		body := chat("sim-large", "hi", more...)
		return send(t, g, "/v1/chat/completions", body, "Andon-Org", "acme", "Andon-User", user, "Andon-Attributes", attributes).status
	}
	if st := call("carol", "device=d-9", `,"user":"mallory"`); st != 403 { // the body names her: the attributes are carol's
		t.Fatal(st)
	}
	for range 3 {
		if st := call("Mallory", "device=d-1, plan=free"); st != 403 {
			t.Fatal(st)
		}
	}
	p.await("the report", func() bool { return len(told) > 0 })
	p.mu.Lock()
	next := *p.state.Corrections[0]
	p.mu.Unlock()
	next.Links = []string{"device=d-1"}
	p.issue(order.Order{Put: []correction.Correction{next}})
	p.enforced(1)
	if st := call("mal-2", "device=d-1,payment=p-1"); st != 403 {
		t.Fatal("an account with the same device is not caught:", st)
	}
	p.await("the second report", func() bool { return len(told) > 1 })
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(told) != 2 || told[0].Correction != id || strings.Join(told[0].Attributes, " ") != "device=d-1" || told[0].Via != "" || told[0].Org != "" || told[1].Via != "device=d-1" || len(told[1].Attributes) != 2 {
		t.Fatalf("%+v", told)
	}
}
