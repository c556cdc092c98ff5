package cli

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestAlerts(t *testing.T) {
	f := newFake(t).on("GET /alerts", 200, `{"alerts":[
		{"name":"pager","host":"https://hooks.example.com","events":["pull","glass"],"state":"ready","waiting":0,"last_delivered":{"entry":12,"type":"alert.pull","at":"2026-11-20T11:50:00Z"}},
		{"name":"chat","host":"https://chat.example.com","events":["pull"],"state":"failing","waiting":64,"more":true,"failing_since":"2026-11-20T11:00:00Z","next_try_at":"2026-11-20T12:00:30Z","error":"it answered 503"}]}`).
		on("POST /alerts/pager/test", 200, `{"name":"pager","delivered":true,"status":204,"took_ms":3.5,"enabled":true}`).
		on("POST /alerts/chat/test", 200, `{"name":"chat","delivered":false,"status":503,"took_ms":3.5,"error":"it answered 503\u001b[31m"}`)
	r := f.run(t, "alerts", "ls")
	r.want(t, 0, "pager  ready    0        entry 12, 10 min ago  pull glass", "chat   failing  64+", "since 60 min ago, next in 30 s: it answered 503")
	for _, line := range strings.Split(r.out, "\n") {
		if len(line) > 120 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	f.run(t, "alerts", "ls", "-o", "json").want(t, 0, `"failing_since":"2026-11-20T11:00:00Z"`)
	f.run(t, "alerts", "test", "pager").want(t, 0, "took the test (HTTP 204) after 3.5 ms", "is on again")
	r = f.run(t, "alerts", "test", "chat")
	r.want(t, 1, "did NOT take the test")
	if strings.Contains(r.out, "\x1b") {
		t.Error("an endpoint can steer the terminal")
	}
	f.run(t, "alerts", "test", "chat", "-o", "json").want(t, 1, `"delivered":false`)
	f.run(t, "alerts", "test").want(t, 2, "1 argument needed")
	newFake(t).on("GET /alerts", 200, `{"alerts":[]}`).run(t, "alerts", "ls").want(t, 0, "nobody is told", "control.alerts")
}

const onCallNow = `{"at":"2026-11-20T12:00:00Z","plan_version":2,
	"rosters":[{"name":"safety","team":"safety","role":"responder","time_zone":"UTC","on_call":["ann","bea"],"until":"2026-11-20T18:00:00Z","then":["cal"]},
		{"name":"leads","team":"leads","role":"approver","time_zone":"UTC","on_call":[],"until":"2026-11-21T00:00:00Z","then":["dan"]}],
	"gaps":[{"duty":"role/approver","whom":"nobody who may agree to loosen (approver)","rosters":["leads"],"from":"2026-11-20T10:00:00Z","to":"2026-11-21T00:00:00Z","now":true},
		{"duty":"team/safety","whom":"nobody of team safety","rosters":["safety"],"from":"2026-11-25T03:00:00Z","to":"2026-11-25T04:00:00Z","now":false}],
	"people":[{"name":"bea","roster":"safety","now":true,"trouble":"has no account"},{"name":"eve","roster":"leads","now":false,"trouble":"has no account"}]}`

func TestOnCall(t *testing.T) {
	f := newFake(t).on("GET /on-call", 200, onCallNow)
	f.run(t, "on-call").want(t, 0, "safety  responder  ann, bea  Fri 18:00 UTC (in 6 h 0 min)   cal", "leads   approver   NOBODY",
		"GAP  nobody who may agree to loosen (approver) is on call NOW, until Sat 00:00 UTC", "GAP  nobody of team safety is on call from Wed 2026-11-25 03:00",
		"bea (ON CALL NOW on safety) has no account", "eve (on roster leads) has no account", "andon plan apply")
	f.run(t, "on-call", "-o", "json").want(t, 0, `"duty":"team/safety"`)
	newFake(t).on("GET /on-call", 200, `{"at":"2026-11-20T12:00:00Z","rosters":[],"gaps":[],"people":[]}`).run(t, "on-call").want(t, 0, "no plan in force")
}

func TestStatusSaysWhatWaits(t *testing.T) {
	f := newFake(t).
		on("GET /points", 200, `{"revision":7,"points":[{"name":"gw-1","state":"synced","revision":7,"error":"another root\u001b[31m"},
			{"name":"gw-2","state":"synced","revision":7,"credential":"own","credential_expires_at":"2026-11-21T12:00:00Z"},{"name":"gw-3","state":"synced","revision":7,"credential":"own","credential_expires_at":"2027-11-21T12:00:00Z"}]}`).
		on("GET /corrections", 200, `{"revision":7,"corrections":[
			{"id":"c-1","state":"active","kind":"stop","params":{"level":"L3"},"scope":{"all":true},"reason":"r","created_by":"op-2","ratification":{"state":"overdue","rules":["r"],"approvals":2,"approvers":["approver"],"by":["op-3"],"until":"2026-11-20T11:00:00Z","then":"stay"}},
			{"id":"c-2","state":"active","kind":"stop","params":{"level":"L2"},"scope":{"all":true},"reason":"r","created_by":"op-1","review_by":"2026-11-20T10:00:00Z"},
			{"id":"c-3","state":"active","kind":"stop","params":{"level":"L2"},"scope":{"all":true},"reason":"r","created_by":"op-1","review_by":"2026-11-21T10:00:00Z"}]}`).
		on("GET /whoami", 200, `{"id":"op-1","name":"ann"}`).
		on("GET /approvals", 200, `{"approvals":[
			{"id":"a-1","says":"lift c-9","state":"open","asked_by":"op-1","until":"2026-11-20T12:30:00Z","takes":{"approvals":2},"answers":[],"counted":0,"can_answer":["bea"],"your_word":"you can not answer"},
			{"id":"a-3","says":"apply the plan","state":"open","asked_by":"op-2","until":"2026-11-20T12:10:00Z","takes":{"approvals":1},"answers":[{"by":"op-1","yes":true}],"counted":1,"can_answer":[]},
			{"id":"a-2","says":"lift c-1","state":"open","asked_by":"op-2","until":"2026-11-20T14:00:00Z","takes":{"approvals":1},"answers":[],"counted":0,"can_answer":["ann"]}]}`).
		on("GET /reviews", 200, `{"reviews":[{"id":"v-1","of":"pull","says":"stop L3 of everything","by":"op-2","due":"2026-11-23T12:00:00Z"}]}`).
		on("GET /runs", 200, `{"runs":[],"pending":[{"run":"r-1","step":"ask","do":"decide","what":"contained?","who":"somebody who decides","due":"2026-11-20T11:50:00Z","late":true},{"run":"r-2","do":"decide","what":"what follows the stop-gap of leak","who":"somebody who decides","due":"2026-11-20T12:20:00Z"}]}`).
		on("GET /decisions", 200, `{"decisions":[{"id":"d-1","question":"withdraw sim-large?","state":"open","deadline":"2026-11-20T13:00:00Z"}]}`).
		on("GET /incidents", 200, `{"incidents":[{"id":"i-1","title":"leak","status":"contained","severity":"sev2","commander":"op-1","corrections_in_force":1},{"id":"i-2","title":"worse","status":"open","severity":"sev1","corrections_in_force":0}]}`).
		on("GET /on-call", 200, onCallNow).
		on("GET /plan", 200, `{"version":2,"plan":{"review_by":"2026-11-01"}}`).
		on("GET /alerts", 500, `{"title":"Something went wrong inside","status":500,"code":"internal"}`)
	r := f.run(t, "status")
	r.want(t, 0,
		"* a-2 waits for your word: lift c-1, due in 2 h 0 min: andon approve a-2",
		"  a-1 waits for others (0 of 2): lift c-9, due in 30 min: andon approvals show a-1",
		"  a-3 waits for others (1 of 1)",
		"! c-1 is to be ratified by 1 more (approver), due 60 min ago: andon ratify c-1", "! c-2 is to be reviewed",
		"* v-1 others have to look at: stop L3 of everything, due in 3 d 0 h: andon review v-1 justified|not-justified",
		"! r-1 ask: contained? (somebody who decides), due 10 min ago: andon runs decide r-1 ask", "  r-2: what follows the stop-gap of leak (somebody who decides), due in 20 min: andon runs decide r-2",
		"  d-1 to be decided: withdraw sim-large?, due in 60 min: andon decide show d-1",
		"* i-1 sev2 contained: leak (1 correction in force): andon incident show i-1", "  i-2 sev1 open: worse (0 corrections in force), nobody leads it",
		"! nobody who may agree to loosen (approver) is on call NOW", "bea is on call (safety) and could not act: has no account", "  on call: safety ann, bea",
		"! version 2 of the plan was to be reviewed by 2026-11-01: andon plan check",
		"! gw-1 is in trouble: another root", "  gw-2: its credential ends", "! could not read alerts: Something went wrong inside",
		"revision 7, in force on all of 3 gateways", "c-3  active")
	for _, not := range []string{"gw-3: its", "c-3 is to be", "team safety is on call from", "\x1b"} {
		if strings.Contains(r.out, not) {
			t.Errorf("the output has %q", not)
		}
	}
	if a, b := strings.Index(r.out, "a-2 waits"), strings.Index(r.out, "a-3 waits"); a > b || strings.Index(r.out, "a-3 waits") > strings.Index(r.out, "a-1 waits") {
		t.Error("yours do not come first, or not by the clock")
	}
	if strings.Index(r.out, "i-2 sev1") < strings.Index(r.out, "i-1 sev2") && !strings.Contains(r.out, "* i-1") {
		t.Error("yours do not come first")
	}
	if strings.Index(r.out, "revision 7") < strings.Index(r.out, "gw-1 is in trouble") {
		t.Error("what waits is not at the top")
	}
	r = f.run(t, "status", "-o", "json")
	var got struct {
		Points  []point `json:"points"`
		Waiting []todo  `json:"waiting"`
		OnCall  []string
		Unread  []string `json:"unread"`
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Points) != 3 || len(got.Waiting) != 16 || len(got.Unread) != 1 || got.Waiting[0].ID != "a-2" || !got.Waiting[0].Yours {
		t.Errorf("%v %d %+v", err, len(got.Waiting), got)
	}
}

// TestStatusWhereNothingWaits: not one line more than before, whoever may read little.
func TestStatusWhereNothingWaits(t *testing.T) {
	f := newFake(t).on("GET /points", 200, `{"revision":0,"points":[]}`).on("GET /corrections", 200, `{"corrections":[]}`).on("GET /approvals", 403, `{"status":403,"code":"forbidden","title":"no"}`)
	r := f.run(t, "status")
	if !strings.HasPrefix(r.out, "revision 0, no gateway is connected\n") {
		t.Errorf("%q", r.out)
	}
	f.run(t, "status", "-o", "json").want(t, 0, `"waiting":[]`, `"on_call":[]`)
}

func TestStatusBoundsWhatItLists(t *testing.T) {
	var acts []string
	for _, id := range []string{"a-1", "a-2", "a-3", "a-4", "a-5", "a-6", "a-7", "a-8"} {
		acts = append(acts, `{"id":"`+id+`","says":"x","state":"open","until":"2026-11-20T12:10:00Z","takes":{"approvals":1}}`)
	}
	f := newFake(t).on("GET /points", 200, `{"points":[]}`).on("GET /corrections", 200, `{"corrections":[]}`).on("GET /approvals", 200, `{"approvals":[`+strings.Join(acts, ",")+`]}`)
	r := f.run(t, "status")
	r.want(t, 0, "a-5 waits", "and 3 more (andon approvals)")
	if strings.Contains(r.out, "a-6") {
		t.Error("it lists all")
	}
}
