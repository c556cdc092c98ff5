package control

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/order"
	"andon/propose"
)

func TestProposalsCanBePostedAndCarryTheirPreview(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	asked := 0
	_, err := g.bus.Subscribe(order.SubjectLive, func(m bus.Msg) {
		asked++
		data, _ := json.Marshal(order.Preview{Gateway: "gw-1", Recorded: 10, Requests: int64(asked), Reached: int64(asked)})
		m.Respond(data)
	})
	must(t, err)
	must(t, g.bus.Flush(t.Context()))
	var l proposalList
	w.ok(200, "POST", "/proposals", `{"threat":"account_misuse","scope":{"users":["u-1"],"models":["sim-large"]},"linked":["org"],"reason":"seen in the log"}`, &l)
	if l.Threat.Name != "account_misuse" || len(l.Proposals) < 4 || asked != len(l.Proposals) {
		t.Fatalf("%d previews: %s", asked, jsonText(l))
	}
	for i, p := range l.Proposals {
		if p.Rank != i+1 || p.Preview == nil || *p.Preview.Requests != int64(i+1) || p.Correction.Reason != "seen in the log" {
			t.Errorf("%s", jsonText(p))
		}
	}
	if w.revision() != 0 {
		t.Fatal("a proposal was applied")
	}
	for i, p := range l.Proposals { // each can be posted as it is
		body, err := json.Marshal(p.Correction)
		must(t, err)
		w.ok(201, "POST", "/corrections", string(body), nil)
		g.next()
		if w.revision() != uint64(i+1) {
			t.Fatal(w.revision())
		}
	}
	asked = 0
	w.ok(200, "POST", "/proposals", `{"threat":"overload","scope":{"all":true},"preview":false}`, &l)
	if asked != 0 || l.Proposals[0].Preview != nil {
		t.Error("previewed although nobody asked for it")
	}
}

func TestProposalsNameWhatIsWrong(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct{ body, code, field string }{
		{`{"threat":"boredom","scope":{"all":true}}`, "invalid_field", "threat"},
		{`{"threat":"unknown","scope":{}}`, "invalid_field", "scope"},
		{`{"threat":"unknown","scope":{"ips":["x"]}}`, "invalid_field", "scope.ips[0]"},
		{`{"threat":"unknown","scope":{"models":["nope"]}}`, "unknown_model", "scope.models[0]"},
		{`{"threat":"unknown","scope":{"all":true},"version":"1"}`, "invalid_field", "version"},
		{`{"threat":"unknown","scope":{"all":true},"colour":"red"}`, "unknown_field", "colour"},
	} {
		status := 422
		if tc.code == "unknown_field" {
			status = 400
		}
		p := w.bad(status, tc.code, "POST", "/proposals", tc.body)
		if p.Field != tc.field {
			t.Errorf("%s: field %q", tc.body, p.Field)
		}
		if tc.field == "threat" && !slices.Contains(p.Allowed, "runaway_agent") || tc.field == "colour" && (!slices.Contains(p.Allowed, "use_case") || slices.Contains(p.Allowed, "")) {
			t.Errorf("%s: allowed %q", tc.body, p.Allowed)
		}
	}
}

func TestThreatsAreListed(t *testing.T) {
	w := newWorld(t, nil)
	var l threatList
	w.ok(200, "GET", "/proposals/threats", "", &l)
	if len(l.Threats) != len(propose.Threats()) || !strings.HasSuffix(l.Threats[0].Definition, ".") {
		t.Errorf("%s", jsonText(l))
	}
}
