package control

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/playbook"
)

// atAsk brings a run of book to its decision.
func atAsk(t *testing.T, w *world) {
	t.Helper()
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"seen","again":true}`, nil)
	id := fmt.Sprintf("/runs/r-%d", len(w.c.state.playbook.list))
	w.ok(200, "POST", id+"/done", `{"step":"look","note":"n"}`, nil)
	w.ok(200, "POST", id+"/skip", `{"step":"wait","reason":"no time"}`, nil)
}

// TestWhatARunAsksIsDecidedAsADecision: either command settles the step, and the
// second is told of the first.
func TestWhatARunAsksIsDecidedAsADecision(t *testing.T) {
	w := playWorld(t, book)
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"reason":"seen"}`, nil)
	if p := w.bad(409, "run_state", "GET", "/decisions/r-1.4", ""); p.Detail != "r-1.4 is not asked yet: first comes wait" {
		t.Errorf("%+v", p)
	}
	w.bad(409, "run_state", "POST", "/decisions/r-1.4/decide", `{"option":1,"rationale":"r"}`)
	w.ok(200, "POST", "/runs/r-1/done", `{"step":"look","note":"n"}`, nil)
	w.ok(200, "POST", "/runs/r-1/skip", `{"step":"wait","reason":"no time"}`, nil)
	var l decisionList
	w.ok(200, "GET", "/decisions", "", &l)
	if len(l.Choices) != 1 || l.Choices[0].ID != "r-1.4" || l.Choices[0].Step != "ask" {
		t.Fatalf("%s", jsonText(l))
	}
	v := w.decision("GET", "/decisions/r-1.4", "")
	if v.State != "open" || v.Run != "r-1" || v.Step != "ask" || v.Question != "contained?" || len(v.Options) != 2 || v.Default != 2 || len(v.Options[0].Then) != 0 ||
		!slices.Equal(v.Options[1].Then, []string{"stop L3: model sim-large"}) || !v.Deadline.Equal(w.clock.Now().Add(15*time.Minute)) {
		t.Fatalf("%s", jsonText(v))
	}
	w.ok(200, "POST", "/runs/r-1/pause", `{"reason":"shift changes"}`, nil)
	if v = w.decision("GET", "/decisions/r-1.4", ""); len(v.Notes) != 1 {
		t.Errorf("%s", jsonText(v))
	}
	w.bad(409, "run_state", "POST", "/decisions/r-1.4/decide", `{"option":1,"rationale":"r"}`)
	w.ok(200, "POST", "/runs/r-1/resume", `{}`, nil)
	v = w.decision("POST", "/decisions/r-1.4/decide", `{"option":2,"rationale":"still going"}`)
	if v.State != "decided" || v.Decided.Option != 2 || v.Decided.By != "op-1" || v.Decided.Rationale != "still going" {
		t.Fatalf("%s", jsonText(v))
	}
	r := w.run("r-1")
	if s := r.step("ask"); s.Choice != "no" || s.By != "op-1" || s.Note != "still going" || r.doing() != "confirm stop" {
		t.Fatalf("%s", jsonText(r))
	}
	for _, again := range [][2]string{{"/decisions/r-1.4/decide", `{"option":1,"rationale":"r"}`}, {"/decisions/r-1.4/decide", `{"option":2,"rationale":"r"}`}, {"/runs/r-1/decide", `{"step":"ask","choice":"yes","reason":"r"}`}} {
		if p := w.bad(409, "run_state", "POST", again[0], again[1]); p.Detail != `step "ask" was decided at 2030-01-01T00:00:00Z by op-1: "no"` {
			t.Errorf("%+v", p)
		}
	}
	// The other way round; and when it is late, with the default that holds.
	atAsk(t, w)
	w.ok(200, "POST", "/runs/r-2/decide", `{"step":"ask","choice":"yes","reason":"quiet"}`, nil)
	if v = w.decision("GET", "/decisions/r-2.4", ""); v.State != "decided" || v.Decided.Option != 1 {
		t.Errorf("%s", jsonText(v))
	}
	w.bad(409, "run_state", "POST", "/decisions/r-2.4/decide", `{"option":1,"rationale":"r"}`)
	atAsk(t, w)
	w.clock.advance(16 * time.Minute)
	w.c.tidy(t.Context())
	if v = w.decision("GET", "/decisions/r-3.4", ""); v.State != "defaulted" || v.Decided.Option != 2 || !v.Decided.Auto || v.Decided.By != system {
		t.Errorf("%s", jsonText(v))
	}
	if p := w.bad(409, "run_state", "POST", "/decisions/r-3.4/decide", `{"option":1,"rationale":"r"}`); !strings.Contains(p.Detail, `"no", its default, since nobody had answered`) {
		t.Errorf("%+v", p)
	}
	// One that was left out, or whose run is over.
	atAsk(t, w)
	w.ok(200, "POST", "/runs/r-4/skip", `{"step":"ask","reason":"plain"}`, nil)
	if p := w.bad(409, "run_state", "GET", "/decisions/r-4.4", ""); !strings.HasPrefix(p.Detail, "r-4.4 was left out by op-1 at ") {
		t.Errorf("%+v", p)
	}
	atAsk(t, w)
	w.ok(200, "POST", "/runs/r-5/abort", `{"reason":"wrong one"}`, nil)
	if p := w.bad(409, "run_state", "POST", "/decisions/r-5.4/decide", `{"option":1,"rationale":"r"}`); !strings.Contains(p.Detail, "r-5 is aborted since") {
		t.Errorf("%+v", p)
	}
}

// TestAStopGapIsDecidedAsADecision, and both ways say who was first.
func TestAStopGapIsDecidedAsADecision(t *testing.T) {
	w := playWorld(t, book)
	w.ok(201, "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"seen"}`, nil)
	v := w.decision("GET", "/decisions/r-1", "")
	if v.State != "open" || len(v.Options) != 3 || v.Default != 0 || v.Manual == "" || v.Question != "What follows the stop-gap of leak?" {
		t.Fatalf("%s", jsonText(v))
	}
	if v = w.decision("POST", "/decisions/r-1/decide", `{"option":1,"rationale":"a fix is near"}`); v.State != "open" || v.Decided != nil || w.run("r-1").StopGap.Extended != 1 {
		t.Fatalf("%s", jsonText(v))
	}
	admin := w.token
	w.token = w.joins("rob", "responder")
	w.bad(403, "forbidden", "POST", "/decisions/r-1/decide", `{"option":3,"rationale":"r"}`)
	w.token = admin
	v = w.decision("POST", "/decisions/r-1/decide", `{"option":2,"rationale":"it goes on"}`)
	if v.State != "decided" || v.Decided.Option != 2 || !slices.Equal(v.Notes, []string{"the ladder goes on as r-2"}) || w.run("r-2").Steps[0].State != "done" {
		t.Fatalf("%s", jsonText(v))
	}
	for _, again := range [][2]string{{"/decisions/r-1/decide", `{"option":2,"rationale":"r"}`}, {"/runs/r-1/decide", `{"choice":"lapse","reason":"r"}`}} {
		if p := w.bad(409, "run_state", "POST", again[0], again[1]); p.Detail != `the stop-gap r-1 was decided at 2030-01-01T00:00:00Z by op-1: "replace"` {
			t.Errorf("%+v", p)
		}
	}
	if len(w.c.state.playbook.list) != 2 {
		t.Error("the ladder was begun twice")
	}
	was := jsonText(w.decision("GET", "/decisions/r-1", ""))
	w.restart()
	if is := jsonText(w.decision("GET", "/decisions/r-1", "")); is != was {
		t.Errorf("after a restart:\n%s\n%s", is, was)
	}
	// One that lapses does so by default.
	lapses := playWorld(t, strings.Replace(book, `"for":"2h"}`, `"for":"2h","then":"lapse"}`, 1))
	lapses.ok(201, "POST", "/playbooks/leak/stop-gap", `{"vars":{"org":"acme"},"reason":"seen"}`, nil)
	lapses.clock.advance(3 * time.Hour)
	for range 4 {
		lapses.c.tidy(t.Context())
	}
	if v = lapses.decision("GET", "/decisions/r-1", ""); v.State != "defaulted" || v.Decided.Option != 3 {
		t.Errorf("%s", jsonText(v))
	}
}

func TestChoicesOfRunsThatAreRefused(t *testing.T) {
	w := playWorld(t, book)
	w.open(`{"title":"x","marking":{"tlp":"RED","need_to_know":{"operators":["op-1"]}}}`)
	w.ok(201, "POST", "/runs", `{"playbook":"leak","vars":{"org":"acme"},"incident":"i-1","reason":"seen"}`, nil)
	w.ok(200, "POST", "/runs/r-1/done", `{"step":"look","note":"n"}`, nil)
	w.ok(200, "POST", "/runs/r-1/skip", `{"step":"wait","reason":"no time"}`, nil)
	for _, id := range []string{"r-0", "r-2", "r-2.4", "r-1", "r-1.0", "r-1.1", "r-1.9", "r-1.04.1", "r-1.-4", "r-", "r-1.", "r-x.4"} {
		w.bad(404, "not_found", "GET", "/decisions/"+id, "")
		w.bad(404, "not_found", "POST", "/decisions/"+id+"/decide", `{"option":1,"rationale":"r"}`)
	}
	if p := w.bad(404, "not_found", "GET", "/decisions/r-1.1", ""); !slices.Equal(p.Allowed, []string{"r-1.4"}) {
		t.Errorf("%+v", p)
	}
	for body, field := range map[string]string{`{"option":0,"rationale":"r"}`: "option", `{"option":3,"rationale":"r"}`: "option", `{"option":1,"rationale":" "}`: "rationale",
		`{"option":1,"rationale":"r","criteria":["c"]}`: "rationale", `{"option":1,"rationale":"r","why_not_broader":"c"}`: "rationale"} {
		if p := w.bad(422, "invalid_field", "POST", "/decisions/r-1.4/decide", body); p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	w.bad(400, "invalid_query", "POST", "/decisions/r-1.4/decide?break_glass=true", `{"option":1,"rationale":"r"}`)
	w.bad(409, "run_state", "POST", "/decisions/r-1.4/dissent", `{"text":"no"}`)
	w.bad(409, "run_state", "POST", "/decisions/r-1.4/compare", ``)
	// Whoever may not know of the incident is told that there is none.
	mine := w.token
	_, w.token = w.outsider("eve", "responder")
	w.bad(404, "not_found", "GET", "/decisions/r-1.4", "")
	w.bad(404, "not_found", "POST", "/decisions/r-1.4/decide", `{"option":1,"rationale":"r"}`)
	w.bad(404, "not_found", "POST", "/decisions/r-1.4/dissent", `{"text":"no"}`)
	w.token = mine
	if v := w.run("r-1"); v.step("ask").State != "ready" {
		t.Fatal("something was decided")
	}
}

// TestTwoDecidersOfARun: one by the run, one by the decision, at once: one wins, and
// the other is told.
func TestTwoDecidersOfARun(t *testing.T) {
	w := playWorld(t, book)
	tok := []string{w.member("bea", "commander"), w.member("cem", "commander")}
	for round := range 10 {
		atAsk(t, w)
		run := fmt.Sprintf("r-%d", round+1)
		posts := [][2]string{{"/runs/" + run + "/decide", `{"step":"ask","choice":"yes","reason":"mine"}`}, {"/decisions/" + run + ".4/decide", `{"option":2,"rationale":"mine"}`}}
		problems := make([]*Problem, 2)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range posts {
			wg.Go(func() {
				<-start
				resp := w.do("POST", api+posts[i][0], posts[i][1], nil, "Authorization", "Bearer "+tok[i])
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
		if won < 0 || problems[1-won] == nil || problems[1-won].Code != "run_state" || !strings.Contains(problems[1-won].Detail, `step "ask" was decided at`) {
			t.Fatalf("%v %v", problems[0], problems[1])
		}
		r := w.run(run)
		if got := r.step("ask").Choice; got != []string{"yes", "no"}[won] {
			t.Fatal(got, won)
		}
		if n := len(w.entriesOf(playbook.StepDone)); n == 0 {
			t.Fatal("no entry")
		}
	}
}
