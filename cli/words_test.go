package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// one makes the answers of a correction that gw-1 enforces.
func one(t *testing.T, state, rest string) *fake {
	return newFake(t).
		on("POST /corrections", 201, `{"id":"c-1","revision":7,"state":"`+state+`"}`).
		on("GET /corrections/c-1", 200, `{"id":"c-1","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r","state":"`+state+`","revision":7,`+rest+`
			"effect":{"desired":1,"enforcing":1,"points":[{"name":"gw-1","state":"synced","revision":7}]},"time_to_effect_ms":3.2}`)
}

func TestWhatDoesNotActYetOrAtAllDoesNotReadAsIfItDid(t *testing.T) {
	f := one(t, "active", `"mode":"shadow",`)
	r := f.run(t, "stop", "sim-large", "--shadow", "--reason", "r")
	r.want(t, 0, "c-1  active  stop L3 (shadow): model sim-large", "counting on every live point after 3.2 ms; a shadow refuses and changes nothing")
	if strings.Contains(r.out, "in effect") {
		t.Error("a shadow is said to be in effect")
	}
	f = one(t, "scheduled", `"starts_at":"2026-11-20T12:10:00Z",`)
	r = f.run(t, "stop", "sim-large", "--start", "10m", "--reason", "r")
	r.want(t, 0, "known to every live point after 3.2 ms; it begins in 10 min")
	if strings.Contains(r.out, "in effect") {
		t.Error("what is scheduled is said to be in effect")
	}
}

func TestAStopSaysWhatCallersGetInstead(t *testing.T) {
	models := `{"models":[{"name":"sim-large","fallback":"sim-small"},{"name":"sim-small"}]}`
	const instead = "callers of sim-large get sim-small instead; --fallback none refuses them"
	one(t, "active", "").on("GET /models", 200, models).run(t, "stop", "sim-large", "--reason", "r").want(t, 0, instead)
	for _, args := range [][]string{{"sim-large", "--fallback", "none"}, {"sim-large", "sim-small"}, {"--all"}} {
		r := one(t, "active", "").on("GET /models", 200, models).run(t, append([]string{"stop", "--reason", "r"}, args...)...)
		if r.want(t, 0); strings.Contains(r.out, "instead") {
			t.Errorf("%v: %s", args, r.out)
		}
	}
}

func TestALiftSaysWhatElseHolds(t *testing.T) {
	f := one(t, "lifted", "").
		on("POST /corrections/c-1/lift", 200, `{"id":"c-1","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"state":"lifted"}`).
		on("GET /corrections", 200, `{"corrections":[
			{"id":"c-2","state":"active","kind":"stop","params":{"level":"L2"},"scope":{"models":["sim-large"]}},
			{"id":"c-3","state":"active","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-small"]}},
			{"id":"c-4","state":"lifted","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]}},
			{"id":"c-5","state":"active","mode":"shadow","kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]}},
			{"id":"c-7","state":"active","kind":"access","params":{"mode":"block"},"scope":{"users":["u-1"]}},
			{"id":"c-6","state":"active","kind":"rate","params":{"metric":"requests","limit":5,"window":"1m","per":"key"},"scope":{"all":true}}]}`)
	r := f.run(t, "lift", "c-1", "--reason", "patched")
	r.want(t, 0, "c-1  lifted  stop L3: model sim-large", "gone from every live point after 3.2 ms",
		"still in force there: c-2  stop L2: model sim-large", "still in force there: c-6  rate requests <=5/1m per key: everything")
	for _, id := range []string{"c-3", "c-4", "c-5", "c-7"} {
		if strings.Contains(r.out, id) {
			t.Errorf("%s is said to hold", id)
		}
	}
}

func TestVerbsThatTheControlPlaneDoesNotKnowYet(t *testing.T) {
	f := newFake(t).on("POST /corrections", 400, `{"code":"unknown_field","status":400,"detail":"unknown field \"pin\"","field":"params.pin","allowed":["disable","clamp"]}`)
	f.run(t, "pin", "sim-large", "v1", "--reason", "r").want(t, 2, "cannot pin yet; nothing was done")
}

func TestTheFieldIsTheSubject(t *testing.T) {
	f := newFake(t).on("POST /corrections", 422, `{"code":"invalid_field","status":422,"detail":"is in the past; give a later time","field":"expires_at"}`)
	f.run(t, "stop", "x", "--reason", "r").want(t, 2, "andon: expires_at is in the past; give a later time\n")
}

func TestTheControlPlaneIsAway(t *testing.T) {
	away := func(args ...string) result {
		return runWith(t, Env{Args: append(args, "--server", "http://127.0.0.1:1", "--token", token)})
	}
	away("stop", "x", "--reason", "r").want(t, 1, "reach the control plane", "try: gateways go on under their last order", "andon emergency sign")
	away("status", "-o", "json").want(t, 1, `"code":"unreached"`, "andon emergency sign")

	// Cut off in the middle: it may have been applied.
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer s.Close()
	runWith(t, Env{Args: []string{"stop", "x", "--reason", "r", "--server", s.URL, "--token", token}}).
		want(t, 1, "it is not known whether this was applied")
}

func TestTheAddressOfAGateway(t *testing.T) {
	newFake(t).run(t, "status").want(t, 1, "the control plane? a gateway has another address")
}

func TestEmergencyOrdersThatNobodyCanLiftAreShown(t *testing.T) {
	f := newFake(t).on("GET /corrections", 200, `{"corrections":[]}`).
		on("GET /points", 200, `{"revision":7,"points":[{"name":"gw-1","state":"synced","revision":7,"emergencies":["e-1"]},{"name":"gw-2","state":"synced","revision":7,"emergencies":["e-1"]}]}`)
	for _, verb := range []string{"status", "points"} {
		f.run(t, verb).want(t, 0, "EMERGENCY ORDER e-1 is obeyed by gw-1, gw-2, and is not in the ledger", "gateway.emergency_trust of the control plane too")
	}
}

func TestWatchLeavesOutWhatSaysNothingNew(t *testing.T) {
	v := &watchView{c: &command{}, states: map[string]string{}}
	for _, tc := range []struct{ name, data, want string }{
		{"ack", `{"gateway":"gw-1","phase":"accepted","revision":7}`, ""},
		{"ack", `{"gateway":"gw-1","phase":"enforcing","revision":7,"cut":2}`, "ack  gw-1 enforces revision 7, cut 2 running requests"},
		{"ack", `{"gateway":"gw-1","phase":"refused","revision":7,"error":"self-test"}`, "ack  gw-1 REFUSED revision 7: self-test"},
		{"point", `{"name":"gw-1","state":"synced","revision":7}`, "point  gw-1 is synced at revision 7"},
		{"point", `{"name":"gw-1","state":"sent","revision":7}`, ""},
		{"point", `{"name":"gw-1","state":"synced","revision":8}`, ""},
		{"point", `{"name":"gw-1","state":"refused","revision":8,"error":"x"}`, "point  gw-1 is refused at revision 8: x"},
		{"", `{"type":"effect.measured","body":{"revision":8,"time_to_effect_ms":3.2,"points":[{"name":"a","enforcing_at":"2026-11-20T12:00:00Z","cut":2},{"name":"b"}]}}`,
			"effect.measured  revision 8 in force on a after 3.2 ms, cut 2 running requests; NOT on b, whose lease has run out"},
		{"", `{"type":"correction.lifted","actor":"op-1","body":{"id":"c-1","reason":"patched"}}`, "correction.lifted  c-1 by op-1 (patched)"},
		{"", `{"type":"key.created","actor":"op-1","body":{"key":{"id":"k-2","org":"clinic"}}}`, "key.created  k-2 by op-1, org clinic"},
		{"", `{"type":"list.put","actor":"op-1","body":{"list":{"name":"banned","dimension":"users","entries":2},"action":"added","reason":"r"}}`, "list.put  banned added by op-1, now 2 entries of users (r)"},
		{"", `{"type":"point.joined","actor":"control","body":{"name":"gw-1"}}`, "point.joined  gw-1 by control"},
	} {
		if got := v.line(event{name: tc.name, data: []byte(tc.data)}); got != tc.want {
			t.Errorf("%s\n got %q\nwant %q", tc.data, got, tc.want)
		}
	}
}

func TestWordsOfTheWholeToolkit(t *testing.T) {
	for want, text := range map[string]string{
		`access block and accounts with the same org or device: user eve`:            `{"kind":"access","params":{"mode":"block","linked":["org","device"]},"scope":{"users":["eve"]}}`,
		`use legal/advice to be acknowledged by 2026-12-01T12:00:00Z: everything`:    `{"kind":"use","params":{"use_case":"legal/advice","action":"acknowledge","acknowledge_by":"2026-12-01T12:00:00Z"},"scope":{"all":true}}`,
		`use weapons inferred by guard: everything`:                                  `{"kind":"use","params":{"use_case":"weapons","basis":"inferred","detector":"guard"},"scope":{"all":true}}`,
		`capability filter of input and output by 2 patterns, redact: everything`:    `{"kind":"capability","params":{"filter":{"direction":"both","detector":"patterns","patterns":["secret words"],"regexps":["x+y"],"action":"redact"}},"scope":{"all":true}}`,
		`capability filter of output by detector guard from 0.9 on, cut: everything`: `{"kind":"capability","params":{"filter":{"direction":"output","detector":"guard","threshold":0.9,"action":"cut"}},"scope":{"all":true}}`,
		`capability pinned to version v1: model m`:                                   `{"kind":"capability","params":{"pin":"v1"},"scope":{"models":["m"]}}`,
		`capability without mcp, tool:shell: everything`:                             `{"kind":"capability","params":{"disable":["mcp","tool:shell"]},"scope":{"all":true}}`,
		`capability session_spend<=0.5 temperature<=1: country DE or unknown`:        `{"kind":"capability","params":{"clamp":{"temperature":1,"session_spend":0.5}},"scope":{"countries":["DE"],"unknown":"include"}}`,
	} {
		var v view
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got := v.words(); got != want {
			t.Errorf("%s\nreads %s\nwant  %s", text, got, want)
		}
	}
}
