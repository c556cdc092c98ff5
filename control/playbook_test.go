package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/correction"
	"andon/ledger"
	"andon/order"
	"andon/plan"
	"andon/playbook"
)

// book is a playbook with a stop-gap, a variable and a ladder.
const book = `{"name":"leak","description":"Answers leak","vars":[{"name":"org"},{"name":"note","default":"look at the record"}],
 "stop_gap":{"corrections":[{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m"},"scope":{"orgs":["__org__:value"]},"reason":"gap"},
   {"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"],"orgs":["__org__:value"]},"reason":"gap"}],"for":"2h"},
 "steps":[{"name":"limit","correction":{"kind":"rate","params":{"metric":"requests","limit":5,"window":"1m"},"scope":{"orgs":["__org__:value"]},"reason":"narrow"},"for":"12h"},
  {"name":"look","task":{"do":"__note__:value","who":"commander","within":"1h"}},
  {"name":"wait","wait":"10m"},
  {"name":"ask","decision":{"question":"contained?","options":["yes","no"],"default":"no","within":"15m"}},
  {"name":"stop","if":{"step":"ask","is":["no"]},"correction":{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"broad"},"confirm":true}],
 "exit":["nothing for an hour"]}`

// playWorld is a world with a clock and a plan that has these playbooks.
func playWorld(t *testing.T, books ...string) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	w.applyPlan(w.plan(books...), 0)
	return w
}

func (w *world) plan(books ...string) *plan.Plan {
	w.t.Helper()
	return examplePlan(w.t, func(p *plan.Plan) {
		p.ReviewBy = plan.Date{Time: w.clock.Now().AddDate(1, 0, 0)}
		p.Authority, p.Limits = nil, nil // the rules that are built in
		for _, text := range books {
			var b playbook.Playbook
			must(w.t, json.Unmarshal([]byte(text), &b))
			b.Owner = p.Teams[0].Name
			p.Playbooks = append(p.Playbooks, b)
		}
	})
}

// joins makes an operator whom nobody has to agree to, and returns the token.
func (w *world) joins(name, role string) string {
	w.t.Helper()
	token, hash := secret(tokenPrefix)
	_, err := w.c.execute(w.t.Context(), system, func(s *state, _ time.Time) ([]draft, error) {
		return []draft{{typeOperator, operatorBody{ID: fmt.Sprintf("op-%d", s.nOperators+1), Name: name, Role: role, Token: hash}}}, nil
	})
	must(w.t, err)
	return token
}

func (w *world) run(id string) runView {
	w.t.Helper()
	var v runView
	w.ok(200, "GET", "/runs/"+id, "", &v)
	return v
}

func (v *runView) step(name string) runStepView {
	for _, s := range v.Steps {
		if s.Name == name {
			return s
		}
	}
	return runStepView{}
}

func (v *runView) doing() string {
	var out []string
	for _, p := range v.Pending {
		out = append(out, p.Do+" "+p.Step)
	}
	return strings.Join(out, ", ")
}

func TestARunFromBeginningToEnd(t *testing.T) {
	w := playWorld(t, book)
	p := w.bad(422, "invalid_field", "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"seen","incident":"i-1"}`)
	if p.Field != "incident" || !strings.Contains(p.Detail, "no incident") {
		t.Errorf("%+v", p)
	}
	var in incidentView
	w.ok(201, "POST", "/incidents", `{"title":"answers leak"}`, &in)
	var v runView
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"seen","incident":"`+in.ID+`"}`, &v)
	if v.ID != "r-1" || v.Plan != 1 || v.step("limit").State != "done" || !v.step("limit").Auto || v.doing() != "done look" {
		t.Fatalf("%s", jsonText(v))
	}
	k := w.get(v.step("limit").Correction)
	if k.Scope.Orgs[0] != "acme" || k.Incident != in.ID || !k.ExpiresAt.Equal(w.clock.Now().Add(12*time.Hour)) || k.CreatedBy != "op-1" {
		t.Fatalf("%s", jsonText(k))
	}
	// What the plan says from now on changes nothing of what runs.
	admin, cam := w.token, w.joins("cam", "commander")
	w.do("POST", api+"/plan", applyBody(t, w.plan(strings.Replace(book, `"L3"`, `"L4"`, 1)), 1), nil)
	w.token = cam
	w.ok(200, "POST", "/approvals/a-1/approve", `{"reason":"r"}`, nil)
	w.token = admin
	if v = w.run("r-1"); !v.Changed {
		t.Error("nobody is told that the plan changed")
	}
	w.bad(409, "run_state", "POST", "/runs/r-1/confirm", `{"step":"stop"}`)
	w.bad(404, "not_found", "POST", "/runs/r-1/done", `{"step":"nothing","note":"n"}`)
	w.bad(409, "run_state", "POST", "/runs/r-1/done", `{"step":"wait","note":"n"}`)
	w.bad(422, "invalid_field", "POST", "/runs/r-1/done", `{"step":"look"}`)
	w.ok(200, "POST", "/runs/r-1/done", `{"step":"look","note":"three orgs"}`, &v)
	if s := v.step("wait"); s.State != "ready" || !s.Due.Equal(w.clock.Now().Add(10*time.Minute)) {
		t.Fatalf("%+v", s)
	}
	// A pause stops the run's clocks.
	w.ok(200, "POST", "/runs/r-1/pause", `{"reason":"shift changes"}`, &v)
	w.clock.advance(time.Hour)
	w.c.tidy(t.Context())
	if v = w.run("r-1"); v.step("wait").State != "ready" || v.doing() != "resume " {
		t.Fatalf("%s", jsonText(v))
	}
	if p := w.bad(409, "run_state", "POST", "/runs/r-1/skip", `{"step":"wait","reason":"r"}`); p.Hint != "andon runs resume r-1" {
		t.Errorf("a run that is paused: %+v", p)
	}
	w.ok(200, "POST", "/runs/r-1/resume", `{}`, &v)
	w.restart() // and a restart changes nothing
	w.clock.advance(9 * time.Minute)
	w.c.tidy(t.Context())
	if v = w.run("r-1"); v.step("wait").State != "ready" {
		t.Fatal("the wait was over too early")
	}
	w.clock.advance(2 * time.Minute)
	w.c.tidy(t.Context())
	if v = w.run("r-1"); v.doing() != "decide ask" {
		t.Fatalf("%s", jsonText(v))
	}
	if p := w.bad(422, "invalid_field", "POST", "/runs/r-1/decide", `{"step":"ask","choice":"maybe","reason":"r"}`); !slices.Equal(p.Allowed, []string{"yes", "no"}) {
		t.Errorf("%+v", p)
	}
	w.clock.advance(16 * time.Minute) // nobody decides
	w.c.tidy(t.Context())
	v = w.run("r-1")
	if s := v.step("ask"); s.Choice != "no" || !s.Auto || s.By != system || v.doing() != "confirm stop" {
		t.Fatalf("%s", jsonText(v))
	}
	w.ok(200, "POST", "/runs/r-1/confirm", `{"step":"stop","note":"still going"}`, &v)
	if k := w.get(v.step("stop").Correction); k.Params.Level != "L3" || v.doing() != "met " {
		t.Fatalf("what runs is not what began: %s", jsonText(k))
	}
	w.bad(409, "run_state", "POST", "/runs/r-1/confirm", `{"step":"stop"}`)
	if p := w.bad(409, "run_state", "POST", "/runs/r-1/end", `{}`); len(p.Allowed) != 1 || !strings.Contains(p.Allowed[0], "criterion 1") {
		t.Errorf("%+v", p)
	}
	w.bad(409, "run_state", "POST", "/runs/r-1/met", `{"criterion":2,"note":"n"}`)
	w.ok(200, "POST", "/runs/r-1/met", `{"criterion":1,"note":"dashboard 7"}`, &v)
	w.bad(409, "run_state", "POST", "/runs/r-1/met", `{"criterion":1,"note":"again"}`)
	w.ok(200, "POST", "/runs/r-1/end", `{}`, &v)
	// The stop came with that of a dependant which the plan holds down: the run owns both.
	if v.State != "ended" || len(v.Corrections) != 2+len(v.step("stop").Others) || len(v.step("stop").Others) == 0 {
		t.Fatalf("%s", jsonText(v))
	}
	for _, k := range v.Corrections {
		if k.State != "active" {
			t.Errorf("%+v: the end of a run lifts nothing", k)
		}
	}
	w.bad(409, "run_state", "POST", "/runs/r-1/pause", `{"reason":"r"}`)
	was := jsonText(v)
	w.restart()
	if is := jsonText(w.run("r-1")); is != was {
		t.Errorf("after a restart:\n%s\n%s", is, was)
	}
}

// TestARunInAnExercise refuses nobody.
func TestARunInAnExercise(t *testing.T) {
	w := playWorld(t, book)
	var in incidentView
	w.ok(201, "POST", "/incidents", `{"title":"drill","kind":"exercise"}`, &in)
	var v runView
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"drill","incident":"`+in.ID+`"}`, &v)
	if k := w.get(v.step("limit").Correction); k.Mode != correction.Shadow {
		t.Fatalf("%s", jsonText(k))
	}
	w.ok(201, "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"drill","incident":"`+in.ID+`"}`, &v)
	if k := w.get(v.Corrections[1].ID); k.Mode != correction.Shadow {
		t.Fatalf("%s", jsonText(k))
	}
}

func TestRunsThatAreRefused(t *testing.T) {
	broken := strings.Replace(book, `{"models":["sim-large"]},"reason":"broad"`, `{"models":["gpt"]},"reason":"broad"`, 1) // the plan would refuse it
	w := playWorld(t, book,
		`{"name":"only-gap","stop_gap":{"corrections":[{"kind":"stop","params":{"level":"L1"},"scope":{"models":["sim-large"]},"reason":"r"}],"for":"1h"},"steps":[],"exit":[]}`)
	for name, tc := range map[string]struct {
		path, body, code string
		status           int
		field, says      string
	}{
		"no reason":      {"/runs", `{"playbook":"leak"}`, "invalid_field", 422, "reason", ""},
		"no such":        {"/runs", `{"playbook":"leek","reason":"r"}`, "not_found", 404, "", `no playbook "leek"`},
		"neither":        {"/runs", `{"reason":"r"}`, "invalid_field", 422, "playbook", "one of the two"},
		"both":           {"/runs", `{"playbook":"leak","inline":` + book + `,"reason":"r"}`, "invalid_field", 422, "playbook", "one of the two"},
		"no variable":    {"/runs", `{"playbook":"leak","reason":"r"}`, "invalid_playbook", 422, "vars.org", "no default"},
		"variable":       {"/runs", `{"playbook":"leak","vars":{"org":"a\nb"},"reason":"r"}`, "invalid_playbook", 422, "vars.org", "one line"},
		"unknown model":  {"/runs", `{"inline":` + broken + `,"vars":{"org":"acme"},"reason":"r"}`, "unknown_model", 422, "steps[4].correction.scope.models[0]", `step "stop"`},
		"inline circle":  {"/runs", `{"inline":{"name":"x","steps":[{"name":"a","after":["a"],"wait":"1m"}],"exit":["x"]},"reason":"r"}`, "invalid_playbook", 422, "steps[0].after[0]", "itself"},
		"inline unknown": {"/runs", `{"inline":{"name":"x","stepz":[]},"reason":"r"}`, "unknown_field", 400, "inline.stepz", ""},
		"gap alone":      {"/runs", `{"playbook":"only-gap","reason":"r"}`, "invalid_playbook", 422, "steps", "stop-gap alone"},
		"no gap":         {"/playbooks/nothing/stop-gap", `{"reason":"r"}`, "not_found", 404, "", ""},
		"named twice":    {"/playbooks/leak/stop-gap", `{"playbook":"leak","reason":"r"}`, "invalid_field", 422, "playbook", "in the path"},
	} {
		if p := w.bad(tc.status, tc.code, "POST", tc.path, tc.body); p.Field != tc.field || !strings.Contains(p.Detail, tc.says) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if w.revision() != 0 {
		t.Fatal("something was applied")
	}
	// The same again is a mistake, unless it is said that it is not.
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"r"}`, nil)
	if p := w.bad(409, "run_exists", "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"r"}`); !strings.Contains(p.Detail, "r-1") {
		t.Errorf("%+v", p)
	}
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"globex"},"reason":"r"}`, nil)
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"r","again":true}`, nil)
}

// TestAPlaybookThatCannotBeEnforced: the refusal names the step, the correction,
// what is missing and where.
func TestAPlaybookThatCannotBeEnforced(t *testing.T) {
	w := playWorld(t, book)
	g := w.gate("gw-old", true)
	g.beatWith(order.Beat{Gateway: g.name, Boot: "boot-1", Nonce: "n", Revision: g.revision(), Head: g.f.State().Head, Models: []string{"sim-large"}, Features: []string{"access", "rate"}})
	p := w.bad(422, "not_enforceable", "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"r"}`)
	if p.Field != "steps[4].correction" || !strings.Contains(p.Detail, `step "stop"`) || !strings.Contains(p.Detail, "gw-old lacks stop") {
		t.Errorf("%+v", p)
	}
	p = w.bad(422, "not_enforceable", "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"r"}`)
	if p.Field != "stop_gap.corrections[1]" || w.revision() != 0 {
		t.Errorf("%+v", p)
	}
	var v playbookView
	w.ok(200, "GET", "/playbooks/leak", "", &v)
	if !playbook.Broken(v.Faults) {
		t.Errorf("%+v", v.Faults)
	}
}

// TestARunWhoseStarterHasLeft waits, says so once, and goes on in the name of who
// resumes it.
func TestARunWhoseStarterHasLeft(t *testing.T) {
	w := playWorld(t, strings.Replace(book, `"confirm":true`, `"confirm":false`, 1))
	admin, bea := w.token, w.joins("bea", "commander")
	w.token = bea
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"r"}`, nil)
	w.token = admin
	w.ok(200, "POST", "/runs/r-1/done", `{"step":"look","note":"n"}`, nil)
	w.ok(200, "POST", "/runs/r-1/skip", `{"step":"wait","reason":"no time"}`, nil)
	w.do("DELETE", api+"/operators/op-2", `{"reason":"left"}`, nil)
	var v runView
	w.ok(200, "POST", "/runs/r-1/decide", `{"step":"ask","choice":"no","reason":"r"}`, &v)
	if s := v.step("stop"); s.State != "ready" || !strings.Contains(s.Held, "no longer an operator") || v.doing() != "resume stop" {
		t.Fatalf("%s", jsonText(v))
	}
	size := w.c.cfg.Log.Size()
	for range 5 {
		w.c.tidy(t.Context())
	}
	must(t, w.c.cfg.Log.Read(t.Context(), size, w.c.cfg.Log.Size(), func(e ledger.Entry) error {
		if strings.HasPrefix(e.Type, "run.") {
			t.Errorf("it says so again: %s %s", e.Type, e.Body)
		}
		return nil
	}))
	w.ok(200, "POST", "/runs/r-1/resume", `{"reason":"I take over"}`, &v)
	if s := v.step("stop"); v.By != "op-1" || s.State != "done" || w.get(s.Correction).CreatedBy != "op-1" {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestAStepThatFails waits for somebody who tries again, or leaves it out.
func TestAStepThatFails(t *testing.T) {
	lists := strings.Replace(book, `"scope":{"models":["sim-large"]},"reason":"broad"},"confirm":true`, `"scope":{"lists":["banned"]},"reason":"broad"}`, 1)
	w := playWorld(t, lists)
	w.ok(201, "PUT", "/lists/banned?dimension=users&reason=drill", "alice\n", nil)
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"r"}`, nil)
	w.ok(204, "DELETE", "/lists/banned?reason=r", "", nil)
	w.ok(200, "POST", "/runs/r-1/done", `{"step":"look","note":"n"}`, nil)
	w.ok(200, "POST", "/runs/r-1/skip", `{"step":"wait","reason":"no time"}`, nil)
	var v runView
	w.ok(200, "POST", "/runs/r-1/decide", `{"step":"ask","choice":"no","reason":"r"}`, &v)
	if s := v.step("stop"); s.State != "failed" || s.Code != "unknown_list" || v.doing() != "retry stop" {
		t.Fatalf("%s", jsonText(v))
	}
	w.do("PUT", api+"/lists/banned?dimension=users&reason=drill", "alice\n", nil)
	w.ok(200, "POST", "/runs/r-1/retry", `{"step":"stop","reason":"the list is back"}`, &v)
	if v.step("stop").State != "done" {
		t.Fatalf("%s", jsonText(v))
	}
}

func TestAStopGap(t *testing.T) {
	w := playWorld(t, book)
	var v runView
	w.ok(201, "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"seen"}`, &v)
	g := v.StopGap
	if g == nil || len(v.Corrections) != 2 || g.Then != playbook.Stay || !g.DecideBy.Equal(w.clock.Now().Add(2*time.Hour)) || !g.ExpiresAt.Equal(g.DecideBy.Add(playbook.Grace)) || v.doing() != "decide " {
		t.Fatalf("%s", jsonText(v))
	}
	if k := w.get("c-1"); !k.ExpiresAt.Equal(g.ExpiresAt) || w.revision() != 2 {
		t.Fatalf("%s", jsonText(k))
	}
	w.bad(409, "run_exists", "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"seen"}`)
	alarms := func(after time.Duration, want string) {
		t.Helper()
		w.clock.advance(after)
		for range 3 {
			w.c.tidy(t.Context())
		}
		if got := strings.Join(w.run("r-1").StopGap.Alarms, " "); got != want {
			t.Fatalf("alarms %q, want %q", got, want)
		}
	}
	alarms(59*time.Minute, "")
	alarms(2*time.Minute, "half")
	alarms(45*time.Minute, "half last")
	w.bad(422, "invalid_field", "POST", "/runs/r-1/decide", `{"choice":"extend","for":"4d","reason":"r"}`)
	if p := w.bad(422, "invalid_field", "POST", "/runs/r-1/decide", `{"choice":"stay","reason":"r"}`); !slices.Equal(p.Allowed, playbook.GapChoices) {
		t.Errorf("%+v", p)
	}
	w.ok(200, "POST", "/runs/r-1/decide", `{"choice":"extend","for":"1h","reason":"a fix is near"}`, &v)
	if v.StopGap.Extended != 1 || len(v.StopGap.Alarms) != 0 || !v.StopGap.DecideBy.Equal(w.clock.Now().Add(time.Hour)) {
		t.Fatalf("%s", jsonText(v))
	}
	alarms(2*time.Hour, "half last overdue")
	if k := w.get("c-2"); k.State != "active" {
		t.Fatal("a late decision loosened")
	}
	// Nobody decides for days: it stands on, a day at a time.
	for range 30 {
		w.clock.advance(6 * time.Hour)
		for range 3 {
			w.c.tidy(t.Context())
		}
		if k := w.get("c-2"); k.State != "active" {
			t.Fatal("it lapsed")
		} else if left := k.ExpiresAt.Sub(w.clock.Now()); left < 6*time.Hour || left > 25*time.Hour {
			t.Fatal("it stands for", left)
		}
	}
	// A responder must not let it go; a commander may.
	admin := w.token
	w.token = w.joins("rob", "responder")
	w.bad(403, "forbidden", "POST", "/runs/r-1/decide", `{"choice":"lapse","reason":"r"}`)
	w.token = admin
	w.ok(200, "POST", "/runs/r-1/decide", `{"choice":"replace","reason":"it goes on"}`, &v)
	if v.ID != "r-2" || v.From != "r-1" || v.step("limit").State != "done" || v.Vars["org"] != "acme" {
		t.Fatalf("%s", jsonText(v))
	}
	if v = w.run("r-1"); v.State != "ended" || v.StopGap.Choice != "replace" || v.StopGap.Next != "r-2" || w.get("c-1").State != "active" {
		t.Fatalf("%s", jsonText(v))
	}
	w.bad(409, "run_state", "POST", "/runs/r-1/decide", `{"choice":"extend","reason":"r"}`)
	was := jsonText(v)
	w.restart()
	if is := jsonText(w.run("r-1")); is != was {
		t.Errorf("after a restart:\n%s\n%s", is, was)
	}
}

// TestAStopGapThatLapses ends at its time, and only because its playbook says so.
func TestAStopGapThatLapses(t *testing.T) {
	w := playWorld(t, strings.Replace(book, `"for":"2h"}`, `"for":"2h","then":"lapse"}`, 1))
	var v runView
	w.ok(201, "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"seen"}`, &v)
	end := w.clock.Now().Add(2 * time.Hour)
	if g := v.StopGap; !g.ExpiresAt.Equal(end) || !g.DecideBy.Equal(end.Add(-15*time.Minute)) {
		t.Fatalf("%s", jsonText(v))
	}
	w.clock.advance(2*time.Hour - time.Second)
	for range 4 {
		w.c.tidy(t.Context())
	}
	if v = w.run("r-1"); v.State != "running" || !v.StopGap.Overdue || w.get("c-1").State != "active" {
		t.Fatalf("%s", jsonText(v))
	}
	w.clock.advance(time.Minute)
	for range 4 {
		w.c.tidy(t.Context())
	}
	if v = w.run("r-1"); v.State != "ended" || !strings.Contains(v.Note, "lapsed") || w.get("c-1").State != "expired" {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestAStopGapWithDependants: a cut comes with one for each dependant that gets
// its fallback first; the stop-gap owns them all.
func TestAStopGapWithDependants(t *testing.T) {
	cut := `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"gap"}`
	w := playWorld(t, `{"name":"cut","stop_gap":{"corrections":[`+cut+`,`+cut+`],"for":"1h"},"steps":[],"exit":[]}`)
	var v runView
	w.ok(201, "POST", "/playbooks/cut/stop-gap", `{"reason":"r"}`, &v)
	var l correctionList
	w.ok(200, "GET", "/corrections", "", &l)
	if len(l.Corrections) <= 2 || len(v.Corrections) != len(l.Corrections) {
		t.Fatalf("%d in force, %s", len(l.Corrections), jsonText(v.Corrections))
	}
	for _, k := range l.Corrections {
		if !k.ExpiresAt.Equal(v.StopGap.ExpiresAt) {
			t.Errorf("%s ends at %v", k.ID, k.ExpiresAt)
		}
	}
	if !slices.Equal(v.StopGap.Options, []string{"extend", "lapse"}) {
		t.Error(v.StopGap.Options)
	}
	w.bad(422, "invalid_playbook", "POST", "/runs/r-1/decide", `{"choice":"replace","reason":"r"}`)
}

// TestAStopGapIsAllOrNothing: the ledger fails, or one correction of it is refused.
func TestAStopGapIsAllOrNothing(t *testing.T) {
	w := playWorld(t, book)
	for _, fail := range []error{ledger.ErrFull, errDisk} {
		w.log.set(fail)
		if resp := w.do("POST", api+"/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"r"}`, nil); resp.StatusCode < 500 {
			t.Error(resp.Status)
		}
		w.log.set(nil)
		var l runList
		w.ok(200, "GET", "/runs", "", &l)
		if w.revision() != 0 || len(l.Runs) != 0 {
			t.Fatal("half of it was applied")
		}
	}
	w.ok(201, "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"r"}`, nil)
}
