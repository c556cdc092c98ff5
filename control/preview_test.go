package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/correction"
	"andon/order"
)

func sketch(values ...uint64) (s order.Sketch) {
	for _, v := range values {
		s.Add(v << 32)
	}
	return s
}

func TestPreviewSaysOnlyWhatWasMeasured(t *testing.T) {
	w := newWorld(t, nil)
	var v previewView
	w.ok(200, "POST", "/corrections/preview", stopLarge, &v)
	if v.LiveStreams != nil || v.Users != nil || v.Requests != nil || v.Coverage.Points != 0 || !slices.Contains(v.Unknown, "live_streams") || !slices.Contains(v.Unknown, "requests") {
		t.Fatalf("%s", jsonText(v))
	}
	begin := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	recorded := false
	for i, g := range []*gate{w.gate("gw-1", true), w.gate("gw-2", true)} {
		_, err := g.bus.Subscribe(order.SubjectLive, func(m bus.Msg) {
			if c, err := correction.Parse(m.Data); err != nil || c.Scope.Models[0] != "sim-large" {
				t.Errorf("%s %v", m.Data, err)
			}
			p := order.Preview{Gateway: g.name, Pseudonyms: "one", LiveStreams: int64(i + 2), Users: sketch(1, uint64(i)+2), Orgs: sketch(9)}
			if recorded {
				p.Recorded, p.Requests, p.Refused, p.Reached, p.Already = 100, 10, 10, 12, 3
				if strings.Contains(string(m.Data), `"pin"`) {
					p.Changed = 4
				}
				p.Since, p.Until = begin.Add(time.Duration(i)*time.Hour), begin.Add(5*time.Hour)
				p.Models = []order.Reach{{Name: "sim-large", Requests: 10, Of: 50}}
				p.ByOrg = []order.Reach{{Name: "acme", Requests: 10, Of: 20}}
				p.ByKey = []order.Reach{{Name: "k-7", Org: "acme", Requests: 9, Of: 9}, {Name: fmt.Sprint("k-", i), Org: "acme", Criticality: "high", Requests: 1, Of: 2}}
				p.Known = []order.Known{{Dimension: "countries", Unknown: 63}}
				p.Notes = []string{"a note"}
			}
			data, _ := json.Marshal(p)
			m.Respond(data)
		})
		must(t, err)
		must(t, g.bus.Flush(t.Context()))
	}
	w.ok(200, "POST", "/corrections/preview", stopLarge, &v)
	if *v.LiveStreams != 5 || *v.Users != 3 || *v.Orgs != 1 || *v.Keys != 0 || v.Coverage.Answered != 2 || v.Requests != nil || !slices.Contains(v.Unknown, "requests") || slices.Contains(v.Unknown, "live_streams") {
		t.Fatalf("%s", jsonText(v))
	}
	recorded = true
	// What is pinned to a version that nobody has is refused, not changed.
	v = previewView{}
	w.ok(200, "POST", "/corrections/preview", `{"kind":"capability","params":{"pin":"v0"},"scope":{"models":["sim-large"]},"reason":"r"}`, &v)
	if *v.Refused != 20+8 || *v.Changed != 0 || len(v.Warnings) == 0 {
		t.Fatalf("%s", jsonText(v))
	}
	v = previewView{}
	body := strings.Replace(stopLarge, `"models":["sim-large"]`, `"models":["sim-large"],"countries":["DE"]`, 1)
	w.ok(200, "POST", "/corrections/preview", body, &v)
	if *v.Requests != 20 || *v.Refused != 20 || *v.Reached != 24 || *v.Already != 6 || *v.ShareOfTraffic != 0.1 || len(v.Estimated) != 0 || len(v.Unknown) != 0 {
		t.Errorf("%s", jsonText(v))
	}
	cov := v.Coverage
	if cov.Recorded != 200 || !cov.Since.Equal(begin) || len(cov.Records) != 2 || cov.Records[0].Name != "gw-1" || len(cov.Notes) != 1 {
		t.Errorf("%s", jsonText(cov))
	}
	if len(cov.Dimensions) != 1 || cov.Dimensions[0] != (dimensionView{"countries", 126, 0.63, "excluded"}) {
		t.Errorf("%s", jsonText(cov.Dimensions))
	}
	if len(v.ByModel) != 1 || v.ByModel[0] != (reachView{"sim-large", 20, 100, 0.2}) {
		t.Errorf("%s", jsonText(v.ByModel))
	}
	// Those that say how critical they are come first, whoever calls more.
	if d := v.Dependants; len(d) != 3 || d[0] != (dependantView{"k-0", "acme", "high", 1, 0.5}) || d[2] != (dependantView{"k-7", "acme", "unknown", 18, 1}) {
		t.Errorf("%s", jsonText(d))
	}
	if w.revision() != 0 {
		t.Fatal("applied")
	}
}

func TestPreviewNamesTheRuleForWhatIsUnknown(t *testing.T) {
	block := correction.Params{Mode: "block"}
	de := correction.Scope{Countries: []string{"DE"}}
	include := de
	include.Unknown = "include"
	for want, c := range map[string]correction.Correction{
		"excluded":   {Kind: correction.Access, Params: block, Scope: de},
		"included":   {Kind: correction.Access, Params: block, Scope: include},
		"refused":    {Kind: correction.Access, Params: correction.Params{Mode: "allow_only"}, Scope: de},
		"not spared": {Kind: correction.Access, Params: block, Scope: correction.Scope{All: true}, Except: &de},
	} {
		if got := rule(&c, "countries"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestPreviewSaysWhichFiguresAreEstimates(t *testing.T) {
	var many order.Sketch
	for i := range uint64(50_000) {
		many.Add(i * 0x9e3779b97f4a7c15)
	}
	var m merged
	m.add(&order.Preview{Gateway: "gw-1", Pseudonyms: "one", Recorded: 1, Users: many})
	m.add(&order.Preview{Gateway: "gw-2", Pseudonyms: "two", Recorded: 1, Users: sketch(1)})
	v := previewView{Coverage: coverageView{Points: 3}}
	m.view(&v, &correction.Correction{})
	if len(v.Estimated) != 1 || v.Estimated[0] != "users" || *v.Users < 45_000 || *v.Users > 55_000 {
		t.Error(v.Estimated, *v.Users)
	}
	if n := strings.Join(v.Coverage.Notes, "\n"); !strings.Contains(n, "pseudonym_key") || !strings.Contains(n, "1 of 3 live gateways did not answer") {
		t.Error(n)
	}
}
