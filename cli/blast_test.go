package cli

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

const blast = `{"coverage":{"basis":"recorded traffic and running requests","points":2,"answered":2,"recorded":1204331,"since":"2026-11-19T12:00:00Z","until":"2026-11-20T11:59:30Z","lost":0,
 "records":[],"dimensions":[{"dimension":"countries","unknown":758728,"share":0.63,"rule":"excluded"}],"notes":["the limit is replayed"]},
 "requests":120433,"reached":120953,"refused":120433,"limited":0,"changed":0,"undecided":520,"already":12,"share_of_traffic":0.1,"users":2210,"orgs":3,"keys":7,"estimated":["users"],"live_streams":3,
 "by_model":[{"name":"sim-large","requests":120000,"of":240000,"share":0.5},{"name":"sim-\u001b[2Jsmall","requests":433,"of":964331,"share":0.0004}],
 "by_org":[{"name":"acme","requests":120433,"of":120433,"share":1},{"name":"","requests":0,"of":5,"share":0}],
 "dependants":[{"key":"k-9","org":"acme","criticality":"high","requests":9,"share":1},{"key":"k-1","org":"acme","criticality":"unknown","requests":120000,"share":0.98}],
 "unknown":["requests that name a user"]}`

func TestPreviewAppliesNothing(t *testing.T) {
	f := newFake(t).on("POST /corrections/preview", 200, blast)
	r := f.run(t, "block", "org=acme", "country=DE", "--preview")
	r.want(t, 0, "nothing is applied", "coverage\n  recorded traffic and running requests, told by 2 of 2 live gateways",
		"1,204,331 requests recorded since 2026-11-19 12:00 UTC (24 h 0 min), until 30 s ago",
		"for 63.0 % of traffic the value of countries is unknown: not reached",
		"  requests         120,433  10.0 % of traffic  ██··················\n", "    refused        120,433\n", "  not decided          520  the record does not say\n",
		"  users              2,210  about\n", "  running now            3  would be cut\n",
		"  sim-large      120,000 of 240,000  50.0 %  ██████████··········\n", "<0.1 %  █·", "  acme         120,433 of 120,433   100 %  ████████████████████\n", "(not known)        0 of       5     0 %  ····················\n",
		"  k-9  acme        9   100 % of its traffic  criticality high\n", "not known\n  requests that name a user\n", "nothing was applied")
	if strings.Contains(r.out, "\x1b") {
		t.Error("a name from elsewhere steers the terminal, or there are colours without one")
	}
	if strings.Contains(r.out, "    limited") {
		t.Error("what is nothing takes a line")
	}
	if at := strings.Index(r.out, "coverage"); at < 0 || at > strings.Index(r.out, "it would reach") {
		t.Error("coverage is not first")
	}
	if len(f.sent("POST /corrections")) != 0 {
		t.Error("a preview applied something")
	}
}

func TestPreviewHasColoursOnATerminalOnly(t *testing.T) {
	f := newFake(t).on("POST /corrections/preview", 200, blast)
	args := []string{"stop", "sim-large", "--preview", "--server", f.URL, "--token", token}
	if r := runWith(t, Env{Args: args, Terminal: true}); !strings.Contains(r.out, "\x1b[31m█") || strings.Contains(r.out, "\x1b[2J") {
		t.Errorf("%q", r.out)
	}
	none := func(name string) (string, bool) { return "1", name == "NO_COLOR" }
	if r := runWith(t, Env{Args: args, Terminal: true, Lookup: none}); strings.Contains(r.out, "\x1b") {
		t.Errorf("%q", r.out)
	}
}

func TestPreviewSaysWhatIsNotMeasured(t *testing.T) {
	f := newFake(t).on("POST /corrections/preview", 200, `{"coverage":{"basis":"nothing: no gateway answered","points":1,"answered":0,"recorded":0,"lost":0,"records":[],"dimensions":[],"notes":[]},"unknown":["requests","share_of_traffic"]}`)
	f.run(t, "limit", "--requests", "5/1m", "--all", "--preview").want(t, 0, "nothing: no gateway answered, told by 0 of 1 live gateway\n", "  requests         not known\n", "not known\n  requests\n  share of traffic\n")
}

func TestPreviewAsJSON(t *testing.T) {
	f := newFake(t).on("POST /corrections/preview", 200, blast)
	r := f.run(t, "stop", "sim-large", "--preview", "-o", "json")
	var got previewAnswer
	if err := json.Unmarshal([]byte(r.out), &got); r.code != 0 || err != nil || *got.Requests != 120433 || got.Coverage.Dimensions[0].Share != 0.63 {
		t.Errorf("%v\n%s", err, r.out)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1204331: "1,204,331", -1000: "-1,000", -100: "-100"} {
		if got := number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for share, want := range map[float64]string{0: "0 %", 1: "100 %", 0.0001: "<0.1 %", 0.9999: ">99.9 %", 0.25: "25.0 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %s", share, got)
		}
	}
}
