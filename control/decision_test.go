package control

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/bus"
	"andon/order"
	"andon/plan"
)

// Options that most tests use: to do nothing comes first, by itself.
const (
	limitIt = `{"title":"limit","apply":[{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"models":["sim-large"]},"reason":"slow it down"}]}`
	stopIt  = `{"title":"stop","apply":[{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"take it away"}]}`
	liftIt  = `{"title":"lift","lift":["c-1"]}`
)

func asking(rest string, options ...string) string {
	return `{"question":"what now?","within":"30m"` + rest + `,"options":[` + strings.Join(options, ",") + `]}`
}

func (w *world) decision(method, path, body string) decisionView {
	w.t.Helper()
	var v decisionView
	status := 200
	if path == "/decisions" {
		status = 201
	}
	w.ok(status, method, path, body, &v)
	return v
}

func TestADecisionFromQuestionToRecord(t *testing.T) {
	w := clocked(t)
	w.ok(201, "POST", "/incidents", `{"title":"it misbehaves"}`, nil)
	var asked [][]byte
	var mu sync.Mutex
	begin := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	g := w.gate("gw-1", true)
	_, err := g.bus.Subscribe(order.SubjectLive, func(m bus.Msg) {
		mu.Lock()
		asked = append(asked, m.Data)
		mu.Unlock()
		data, _ := json.Marshal(order.Preview{Gateway: "gw-1", Recorded: 100, Requests: 40, Refused: 40, Reached: 50, Already: 10, LiveStreams: 3, Users: sketch(1, 2), Since: begin, Until: begin.Add(10 * time.Minute),
			ByKey: []order.Reach{{Name: "k-1", Org: "acme", Criticality: "high", Requests: 9, Of: 9}}})
		m.Respond(data)
	})
	must(t, err)
	must(t, g.bus.Flush(t.Context()))

	v := w.decision("POST", "/decisions", asking(`,"incident":"i-1","known":"it leaks","missing":"since when","cost_of_waiting":"more leaks"`, limitIt, stopIt))
	if v.ID != "d-1" || v.State != "open" || v.Incident != "i-1" || v.TLP != "AMBER" || len(v.Options) != 3 || v.Options[0].Title != "do nothing" || v.Default != 1 || v.Manual != "" || v.Known != "it leaks" || v.Waiting != "more leaks" {
		t.Fatalf("%s", jsonText(v))
	}
	if len(asked) != 2 {
		t.Errorf("%d previews", len(asked))
	}
	for n, want := range []int{0, 6, 12} {
		if got := v.Options[n].Seen.Narrowness; got != want {
			t.Errorf("option %d has narrowness %d, want %d", n+1, got, want)
		}
	}
	e := v.Options[2].Seen.Each[0]
	if e.Class != "stop.L3" || e.Says != "stop L3: model sim-large" || e.Speed != nil || !strings.Contains(e.Reversible, "cut") || e.Fallback != "sim-large: sim-small" ||
		*e.Reach.Share != 0.4 || *e.Reach.Streams != 3 || *e.Reach.Users != 2 || *e.Reach.PerMinute != 4 || len(e.Reach.Dependants) != 1 || e.Reach.Dependants[0] != "acme (high)" {
		t.Errorf("%s", jsonText(e))
	}
	if x := v.Options[2].Seen; *x.PerMinute != 4 || x.Takes.Approvals != 0 || !slices.Equal(x.Takes.Rules, []string{"built-in"}) || len(x.Takes.Roles) != 2 {
		t.Errorf("%s", jsonText(x))
	}
	w.create(stopLarge) // so that the class has been measured
	w.eventually(func() bool {
		w.c.mu.RLock() // the clerk records it
		defer w.c.mu.RUnlock()
		return w.c.state.effects["stop.L3"] != nil
	})
	if v = w.decision("POST", "/decisions/d-1/compare", ``); v.Options[2].Seen.Each[0].Speed == nil || v.Options[2].Seen.Each[0].Speed.Count != 1 {
		t.Fatalf("not measured: %s", jsonText(v.Options[2]))
	}
	v = w.decision("POST", "/decisions/d-1/dissent", `{"text":"too little","prefer":3}`)
	seen := v.Options
	before := w.revision()
	v = w.decision("POST", "/decisions/d-1/decide", `{"option":2,"rationale":"it suffices","why_not_broader":"others need it","missing":"who began","criteria":["no leak for a day","fix is probed"],"review_by":"`+w.clock.Now().Add(3*time.Hour).UTC().Format(time.RFC3339)+`"}`)
	m := v.Decided
	if v.State != "decided" || m.Option != 2 || m.By != "op-1" || m.Auto || m.Known != "it leaks" || m.Missing != "who began" || len(m.Applied) != 1 || m.Applied[0] != (decidedOn{"c-2", "limit requests: model sim-large", "active"}) || w.revision() != before+1 {
		t.Fatalf("%s", jsonText(v))
	}
	if jsonText(v.Options) != jsonText(seen) {
		t.Error("the record shows another comparison than was seen")
	}
	if c := w.get("c-2"); c.Incident != "i-1" || !c.ReviewBy.Equal(m.ReviewBy) {
		t.Errorf("%s", jsonText(c))
	}
	v = w.decision("POST", "/decisions/d-1/dissent", `{"text":"still too little"}`)
	if len(v.Dissents) != 2 || v.Dissents[0].After || !v.Dissents[1].After || v.Dissents[0].Prefer != 3 || len(v.Notes) != 0 {
		t.Errorf("%s", jsonText(v))
	}
	// The entry seals what was seen, and both stand on the timeline in this order.
	var kinds, texts []string
	for _, e := range w.timeline("i-1", "").Entries {
		kinds, texts = append(kinds, e.Type), append(texts, e.Text)
	}
	if want := "incident.opened decision.opened decision.compared decision.dissent correction.created decision.made"; !strings.HasPrefix(strings.Join(kinds, " "), want) {
		t.Errorf("%v", kinds)
	}
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "d-1 decided by op-1: option 2, limit: it suffices") || !strings.Contains(all, "dissent on d-1 (for option 3, stop): too little") {
		t.Error(all)
	}
	w.ok(200, "POST", "/incidents/i-1/status", `{"to":"investigating"}`, nil)
	w.ok(200, "POST", "/incidents/i-1/status", `{"to":"contained"}`, nil)
	// That no evidence is taken before a stop is a choice of its own, on record.
	w.decision("POST", "/decisions", asking(`,"incident":"i-1"`, stopIt))
	w.bad(400, "invalid_query", "POST", "/decisions/d-2/decide?evidence=skip", `{"option":2,"rationale":"r"}`)
	w.decision("POST", "/decisions/d-2/decide?evidence=skip&evidence_reason=later", `{"option":2,"rationale":"r"}`)
	if es := w.timeline("i-1", "").Entries; !slices.ContainsFunc(es, func(e timelineEntry) bool { return e.Type == typeEvidenceSkipped }) {
		t.Errorf("%s", jsonText(es))
	}

	// Lifting before the criteria hold asks for an explanation, and keeps that it was so.
	w.decision("POST", "/decisions/d-1/criteria", `{"criterion":2,"evidence":"probe 7"}`)
	w.bad(409, "out_of_order", "POST", "/decisions/d-1/criteria", `{"criterion":2,"evidence":"probe 8"}`)
	w.bad(422, "invalid_field", "POST", "/decisions/d-1/criteria", `{"criterion":3,"evidence":"probe 8"}`)
	v = w.decision("POST", "/decisions/d-1/criteria", `{"criterion":2,"evidence":"the probe was wrong","unmet":true}`)
	if !v.Criteria[1].MetAt.IsZero() || v.Criteria[1].Evidence != "the probe was wrong" {
		t.Errorf("%s", jsonText(v.Criteria))
	}
	w.decision("POST", "/decisions/d-1/criteria", `{"criterion":2,"evidence":"probe 9"}`)
	var c correctionView
	w.ok(200, "POST", "/corrections/c-2/lift", `{"reason":"not needed"}`, &c)
	if len(c.Warnings) != 1 || c.Warnings[0].Code != "criteria_unmet" || !strings.Contains(c.Warnings[0].Detail, "no leak for a day") || c.History[len(c.History)-1].Reason != "not needed [criteria unmet: 1 of 2 of d-1]" {
		t.Errorf("%s", jsonText(c))
	}
	was := jsonText(w.decision("GET", "/decisions/d-1", ""))
	w.restart()
	if now := jsonText(w.decision("GET", "/decisions/d-1", "")); now != was {
		t.Errorf("after a restart:\n%s\n%s", now, was)
	}
}

// eventually waits for what others do.
func (w *world) eventually(is func() bool) {
	w.t.Helper()
	soon(w.t, "it comes about", is)
}

func TestDecidedNotToAct(t *testing.T) {
	w := clocked(t)
	w.ok(201, "POST", "/incidents", `{"title":"x"}`, nil)
	w.decision("POST", "/decisions", asking(`,"incident":"i-1"`, stopIt))
	w.bad(422, "invalid_field", "POST", "/decisions/d-1/decide", `{"option":1,"rationale":"it is fine","criteria":["never"]}`)
	v := w.decision("POST", "/decisions/d-1/decide", `{"option":1,"rationale":"it is fine"}`)
	if v.State != "decided" || len(v.Decided.Applied) != 0 || w.revision() != 0 || !slices.Contains(v.Notes, "why not broader is not said: option 2") {
		t.Fatalf("%s", jsonText(v))
	}
	// The same record: containment may rest on it.
	w.ok(200, "POST", "/incidents/i-1/status", `{"to":"investigating"}`, nil)
	w.ok(200, "POST", "/incidents/i-1/status", `{"to":"contained"}`, nil)
	w.bad(409, "out_of_order", "POST", "/decisions/d-1/decide", `{"option":2,"rationale":"after all"}`)
	w.bad(409, "out_of_order", "POST", "/decisions/d-1/compare", ``)
}

func TestDecisionsThatAreRefused(t *testing.T) {
	w := clocked(t)
	w.create(stopLarge)
	long := strings.Repeat("x", 20<<10)
	many := make([]string, 20)
	wide := make([]string, 9)
	for i := range many {
		many[i] = fmt.Sprintf(`{"title":"t%d","lift":["c-1"]}`, i)
	}
	for i := range wide {
		wide[i] = `{"kind":"stop","params":{"level":"L1"},"scope":{"all":true},"reason":"r"}`
	}
	big := `{"title":"big","apply":[{"kind":"access","params":{"mode":"block"},"scope":{"users":["` + strings.Join(slices.Repeat([]string{strings.Repeat("u", 500)}, 1), `","`) + `"`
	for i := range 700 {
		big += fmt.Sprintf(`,"%d%s"`, i, strings.Repeat("u", 490))
	}
	big += `]},"reason":"r"}]}`
	for name, tc := range map[string]struct {
		body, code, field string
		status            int
	}{
		"no options":       {asking(``), "invalid_field", "options", 422},
		"no deadline":      {`{"question":"q","options":[` + stopIt + `]}`, "invalid_field", "deadline", 422},
		"two deadlines":    {asking(`,"deadline":"2100-01-01T00:00:00Z"`, stopIt), "invalid_field", "within", 422},
		"too soon":         {strings.Replace(asking(``, stopIt), "30m", "5s", 1), "invalid_field", "deadline", 422},
		"too late":         {strings.Replace(asking(``, stopIt), "30m", "31d", 1), "invalid_field", "deadline", 422},
		"no question":      {strings.Replace(asking(``, stopIt), "what now?", "", 1), "invalid_field", "question", 422},
		"two lines":        {strings.Replace(asking(``, stopIt), "now?", `now?\n\u001b[2J`, 1), "invalid_field", "question", 422},
		"long known":       {asking(`,"known":"`+long+`"`, stopIt), "invalid_field", "known", 422},
		"default":          {asking(`,"default":"sotp"`, stopIt), "invalid_field", "default", 422},
		"twice the same":   {asking(``, stopIt, stopIt), "invalid_field", "options[2].title", 422},
		"many options":     {asking(``, many...), "invalid_field", "options", 422},
		"many corrections": {asking(``, `{"title":"w","apply":[`+strings.Join(wide, ",")+`]}`), "invalid_field", "options[1]", 422},
		"many in all":      {asking(``, many[0], `{"title":"w1","apply":[`+strings.Join(wide[:8], ",")+`]}`, `{"title":"w2","apply":[`+strings.Join(wide[:8], ",")+`]}`, `{"title":"w3","apply":[`+strings.Join(wide[:8], ",")+`]}`, `{"title":"w4","apply":[`+strings.Join(wide[:8], ",")+`]}`), "invalid_field", "options", 422},
		"many bytes":       {asking(``, big), "invalid_field", "options", 422},
		"unknown model":    {asking(``, strings.Replace(stopIt, "sim-large", "sim-larg", 1)), "unknown_model", "options[1].apply[0].scope.models[0]", 422},
		"L5":               {asking(``, strings.Replace(stopIt, "L3", "L5", 1)), "invalid_field", "options[1].apply[0].params.level", 422},
		"no such lift":     {asking(``, `{"title":"l","lift":["c-9"]}`), "not_found", "options[1].lift[0]", 404},
		"lift twice":       {asking(``, `{"title":"l","lift":["c-1","c-1"]}`), "invalid_field", "options[1].lift[1]", 422},
		"restore and more": {asking(``, `{"title":"l","lift":["c-1"],"restore":{"before":"c-1"}}`), "invalid_field", "options[1].restore", 422},
		"restore to where": {asking(``, `{"title":"l","restore":{}}`), "invalid_field", "options[1].restore", 422},
		"restore nothing":  {asking(``, `{"title":"l","restore":{"before":"c-7"}}`), "invalid_field", "options[1].restore.before", 422},
		"no playbook":      {asking(``, `{"title":"l","playbook":{"name":"p"}}`), "not_found", "options[1].playbook.name", 404},
		"for what":         {asking(``, limitIt, `{"title":"l","for":"1h"}`), "invalid_field", "options[1].for", 422},
		"no such incident": {asking(`,"incident":"i-1"`, stopIt), "invalid_field", "incident", 422},
		"no such threat":   {`{"within":"30m","case":{"threat":"t","scope":{"all":true}}}`, "invalid_field", "case.threat", 422},
		"case's model":     {`{"within":"30m","case":{"threat":"account_misuse","scope":{"models":["nope"]}}}`, "unknown_model", "options[1].apply[0].scope.models[0]", 422},
		"unknown field":    {asking(`,"opinion":"x"`, stopIt), "unknown_field", "opinion", 400},
		"unknown inside":   {asking(``, `{"title":"l","force":true}`), "unknown_field", "options.0.force", 400},
	} {
		p := w.bad(tc.status, tc.code, "POST", "/decisions", tc.body)
		if p.Field != tc.field {
			t.Errorf("%s: %+v", name, p)
		}
		if name == "unknown inside" && (!slices.Contains(p.Allowed, "apply") || slices.Contains(p.Allowed, "question")) {
			t.Errorf("what an option may hold: %v", p.Allowed)
		}
	}
	w.decision("POST", "/decisions", asking(``, limitIt))
	for name, tc := range map[string]struct{ path, body, code, field string }{
		"option":      {"decide", `{"option":3,"rationale":"r"}`, "invalid_field", "option"},
		"no option":   {"decide", `{"rationale":"r"}`, "invalid_field", "option"},
		"no reason":   {"decide", `{"option":1,"rationale":" "}`, "invalid_field", "rationale"},
		"long reason": {"decide", `{"option":1,"rationale":"` + long + `"}`, "invalid_field", "rationale"},
		"past review": {"decide", `{"option":2,"rationale":"r","review_by":"2020-01-01T00:00:00Z"}`, "invalid_field", "review_by"},
		"criteria":    {"decide", `{"option":2,"rationale":"r","criteria":["a","a"]}`, "invalid_field", "criteria[1]"},
		"dissent":     {"dissent", `{"text":""}`, "invalid_field", "text"},
		"prefer":      {"dissent", `{"text":"no","prefer":-1}`, "invalid_field", "prefer"},
	} {
		if p := w.bad(422, tc.code, "POST", "/decisions/d-1/"+tc.path, tc.body); p.Field != tc.field {
			t.Errorf("%s: %+v", name, p)
		}
	}
	w.bad(404, "not_found", "POST", "/decisions/d-2/decide", `{"option":1,"rationale":"r"}`)
	w.bad(400, "invalid_query", "GET", "/decisions?state=lost", "")
	if v := w.decision("GET", "/decisions/d-1", ""); v.State != "open" || len(v.Dissents) != 0 || w.revision() != 1 {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestTheLadderAsOptions: a threat, of ours or of the plan, becomes its ladder.
func TestTheLadderAsOptions(t *testing.T) {
	w := clocked(t)
	v := w.decision("POST", "/decisions", `{"within":"1h","case":{"threat":"tool_misuse","scope":{"models":["sim-large"]},"tools":["shell"]}}`)
	if v.Question != "What is done about tool_misuse?" || len(v.Options) < 4 || v.Options[0].Title != "do nothing" || v.Options[1].Why == "" || v.Threat != "tool_misuse" {
		t.Fatalf("%s", jsonText(v))
	}
	w.rules(house, func(p *plan.Plan) {
		own := p.Threats[0]
		own.Name, own.Class, own.Models = "our-own", "tool_misuse", []string{"sim-large"}
		p.Threats = append(p.Threats, own)
	})
	v = w.decision("POST", "/decisions", `{"within":"1h","default":"do nothing","case":{"threat":"our-own","scope":{}}}`)
	last := v.Options[len(v.Options)-1]
	if v.Threat != "our-own" || len(v.Options) < 4 || len(last.Apply) != 1 || last.Apply[0].Level() < 3 || !slices.Equal(v.Options[1].Apply[0].Scope.Models, []string{"sim-large"}) {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestWhoMayDecide: the act itself, and what the option takes.
func TestWhoMayDecide(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	v := w.decision("POST", "/decisions", asking(``, limitIt, liftIt, `{"title":"instead","apply":[{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"r"}],"lift":["c-1"]}`))
	if x := v.Options[2].Seen.Takes; x.Approvals != 2 || !slices.Equal(x.Approvers, []authority.Role{authority.Approver}) || x.Ratify != 0 || !slices.Contains(x.Rules, "loosen a stop") {
		t.Errorf("%s", jsonText(x))
	}
	if x := v.Options[1].Seen.Takes; x.Approvals != 0 || x.Ratify != 2 || !slices.Equal(x.Roles, []authority.Role{authority.Commander, authority.Administrator}) {
		t.Errorf("%s", jsonText(x))
	}
	decide := func(who string, option int) *Problem {
		t.Helper()
		_, p, _ := w.by(tok[who], "POST", "/decisions/d-1/decide", fmt.Sprintf(`{"option":%d,"rationale":"r","criteria":[]}`, option))
		return p
	}
	for who, code := range map[string]string{"vie": "forbidden", "aud": "forbidden", "res": "not_authorised", "ap1": "not_authorised"} {
		for option := 1; option <= 3; option++ {
			if p := decide(who, option); p == nil || p.Code != code && p.Code != "forbidden" {
				t.Errorf("%s, option %d: %+v", who, option, p)
			}
		}
	}
	if w.decision("GET", "/decisions/d-1", "").State != "open" {
		t.Fatal("somebody decided who may not")
	}
	// A lift waits for those whom the rule names, as one act.
	revision := w.revision()
	a := w.asked(tok["com"], "/decisions/d-1/decide", `{"option":4,"rationale":"softer","criteria":["c"]}`)
	if a.Do != "decide" || a.Subject != "d-1" || a.Takes.Approvals != 2 || w.revision() != revision || w.get("c-1").State != "active" {
		t.Fatalf("%s", jsonText(a))
	}
	if v = w.decision("GET", "/decisions/d-1", ""); v.State != "open" || v.Approval != a.ID {
		t.Errorf("%s", jsonText(v))
	}
	if p := decide("co2", 3); p == nil || p.Code != "approval_open" {
		t.Errorf("%+v", p)
	}
	for _, who := range []string{"ap1", "ap2"} {
		if status, p, _ := w.by(tok[who], "POST", "/approvals/"+a.ID+"/approve", `{"reason":"yes"}`); p != nil {
			t.Fatal(status, p)
		}
	}
	v = w.decision("GET", "/decisions/d-1", "")
	if v.State != "decided" || v.Decided.Option != 4 || !slices.Equal(v.Decided.Lifted, []string{"c-1"}) || len(v.Decided.Applied) != 1 || w.get("c-1").State != "lifted" || w.get("c-2").State != "active" || w.revision() != revision+2 {
		t.Fatalf("%s", jsonText(v))
	}
	by := v.Decided.By
	if who := w.operatorOf(tok["com"]); by != who {
		t.Errorf("decided by %s and not by %s, who chose", by, who)
	}
	if r := w.get("c-1").History; !strings.Contains(r[len(r)-1].Reason, "d-1: softer") {
		t.Errorf("%s", jsonText(r))
	}
}

func (w *world) operatorOf(token string) string {
	w.t.Helper()
	var me whoamiView
	w.ok(200, "GET", "/whoami", "", &me, "Authorization", "Bearer "+token)
	return me.ID
}

// TestWhatTightensIsNotWaitedFor: it is chosen although a lift waits; the act then fails.
func TestWhatTightensIsNotWaitedFor(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	w.decision("POST", "/decisions", asking(``, limitIt, liftIt))
	a := w.asked(tok["com"], "/decisions/d-1/decide", `{"option":3,"rationale":"enough"}`)
	if status, p, _ := w.by(tok["co2"], "POST", "/decisions/d-1/decide", `{"option":2,"rationale":"no, more"}`); p != nil {
		t.Fatal(status, p)
	}
	for _, who := range []string{"ap1", "ap2"} {
		w.by(tok[who], "POST", "/approvals/"+a.ID+"/approve", `{"reason":"yes"}`)
	}
	if got := w.act(a.ID); got.State != "failed" || !strings.Contains(got.Why, "was decided by") || w.get("c-1").State != "active" {
		t.Fatalf("%s", jsonText(got))
	}
	if r := w.get("c-2").Ratification; r == nil || r.Approvals == 0 {
		t.Error("nobody has to ratify what was decided alone")
	}
}

func TestTheGlassIsBrokenForADecision(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.create(stopLarge)
	w.decision("POST", "/decisions", asking(``, liftIt))
	if status, p, _ := w.by(tok["res"], "POST", "/decisions/d-1/decide?break_glass=true", `{"option":2,"rationale":"nobody is there"}`); p != nil {
		t.Fatal(status, p)
	}
	v := w.decision("GET", "/decisions/d-1", "")
	var l reviewList
	w.ok(200, "GET", "/reviews?state=open", "", &l)
	if v.State != "decided" || !v.Decided.Glass || w.get("c-1").State != "lifted" || !slices.ContainsFunc(l.Reviews, func(r review) bool { return r.Of == "break-glass" && r.Subject == "d-1" }) {
		t.Fatalf("%s %s", jsonText(v), jsonText(l))
	}
}

// TestARestorationIsDecided: the exact prior state, as an option.
func TestARestorationIsDecided(t *testing.T) {
	w := clocked(t)
	w.create(stopLarge)
	w.create(strings.Replace(stopLarge, "sim-large", "sim-small", 1))
	v := w.decision("POST", "/decisions", asking(``, `{"title":"back","restore":{"before":"c-1"}}`))
	if s := v.Options[1].Seen; len(s.Each) != 2 || !strings.HasPrefix(s.Each[0].Says, "lift c-1 (") || s.Unfit != "" {
		t.Fatalf("%s", jsonText(s))
	}
	v = w.decision("POST", "/decisions/d-1/decide", `{"option":2,"rationale":"fixed"}`)
	if v.State != "decided" || len(v.Decided.Lifted) != 2 || w.get("c-1").State != "lifted" || w.get("c-2").State != "lifted" {
		t.Fatalf("%s", jsonText(v))
	}
	v = w.decision("POST", "/decisions", asking(``, `{"title":"back","restore":{"before":"c-1"}}`))
	if v.Options[1].Seen.Unfit == "" {
		t.Errorf("%s", jsonText(v.Options[1].Seen))
	}
	w.bad(409, "nothing_to_restore", "POST", "/decisions/d-2/decide", `{"option":2,"rationale":"again"}`)
}

// TestTwoDeciders: of two who decide at once one wins, and the other is told.
func TestTwoDeciders(t *testing.T) {
	w := newWorld(t, nil)
	tok := []string{w.member("bea", "commander"), w.member("cem", "commander")}
	for round := range 20 {
		w.decision("POST", "/decisions", asking(``, limitIt, stopIt))
		id := fmt.Sprintf("/decisions/d-%d", round+1)
		var wg sync.WaitGroup
		problems := make([]*Problem, 2)
		start := make(chan struct{})
		for i := range tok {
			wg.Go(func() {
				<-start
				resp := w.do("POST", api+id+"/decide", fmt.Sprintf(`{"option":%d,"rationale":"mine %d"}`, i+2, i), nil, "Authorization", "Bearer "+tok[i])
				if resp.StatusCode != http.StatusOK {
					problems[i] = &Problem{}
					data, _ := io.ReadAll(resp.Body)
					_ = json.Unmarshal(data, problems[i])
				}
			})
		}
		close(start)
		wg.Wait()
		won := slices.IndexFunc(problems, func(p *Problem) bool { return p == nil })
		if won < 0 || problems[1-won] == nil || problems[1-won].Code != "out_of_order" || !strings.Contains(problems[1-won].Detail, "was decided by") {
			t.Fatalf("%v %v", problems[0], problems[1])
		}
		v := w.decision("GET", id, "")
		if v.Decided.Option != won+2 || len(v.Decided.Applied) != 1 || len(w.c.state.list) != round+1 {
			t.Fatalf("%s", jsonText(v))
		}
	}
}

// TestADecisionAndItsCorrectionsAreOne: while the ledger fails, neither is there.
func TestADecisionAndItsCorrectionsAreOne(t *testing.T) {
	w := newWorld(t, nil)
	w.create(stopLarge)
	w.decision("POST", "/decisions", asking(``, `{"title":"instead","apply":[{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"r"}],"lift":["c-1"]}`))
	w.log.set(errors.New("no disk"))
	w.bad(503, "ledger_unavailable", "POST", "/decisions/d-1/decide", `{"option":2,"rationale":"r"}`)
	w.log.set(nil)
	for range 2 {
		if v := w.decision("GET", "/decisions/d-1", ""); v.State != "open" || w.get("c-1").State != "active" || len(w.c.state.list) != 1 {
			t.Fatalf("%s", jsonText(v))
		}
		w.restart()
	}
	v := w.decision("POST", "/decisions/d-1/decide", `{"option":2,"rationale":"r"}`)
	w.restart()
	if v.State != "decided" || w.get("c-1").State != "lifted" || w.get("c-2").State != "active" {
		t.Fatalf("%s", jsonText(v))
	}
}
