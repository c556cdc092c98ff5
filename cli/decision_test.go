package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	takesOne = `"takes":{"rules":["built-in"],"roles":["commander","administrator"],"approvals":0}`
	openD1   = `{"id":"d-1","incident":"i-3","tlp":"RED","restricted":true,"question":"does the stop stay, although the week-end is near and three customers have asked for the model more than once since?","state":"open",
	"opened_at":"2026-11-20T11:50:00Z","opened_by":"op-1","entry":9,"deadline":"2026-11-20T12:20:00Z","default":1,"known":"it leaks","missing":"since when","cost_of_waiting":"three orgs are without answers",
	"options":[{"n":1,"title":"do nothing","seen":{"at":"2026-11-20T11:58:00Z","narrowness":0,` + takesOne + `}},
	{"n":2,"title":"limit","why":"the leak is slow","leaves_open":"a slow leak","apply":[{"kind":"rate","params":{"metric":"requests","limit":1,"window":"1m"},"scope":{"all":true},"reason":"r"}],
	 "seen":{"at":"2026-11-20T11:58:00Z","narrowness":6,"each":[{"says":"limit requests: everything","class":"rate.requests","narrowness":6,"reversible":"at once","fallback":"none: it refuses or changes the request",
	 "speed":{"p50_ms":3.2,"p99_ms":41,"count":17},"reach":{"basis":"recorded traffic","share_of_traffic":0.4,"users":1204,"live_streams":3,"served_per_minute":41.5,"dependants":["acme (high)"]},"terms":["the terms of acme (msa) ask for 24h of notice"]}],
	 "takes":{"rules":["on call"],"roles":["responder","commander","administrator"],"approvals":0,"ratify":1},"served_per_minute":41.5}},
	{"n":3,"title":"lift it","lift":["c-1"],"seen":{"at":"2026-11-20T11:58:00Z","narrowness":0,"each":[{"says":"lift c-1 (stop L3: model sim-large)","class":"stop.L3","narrowness":12,"reversible":"it can be applied anew","fallback":"sim-large: sim-small",
	 "reach":{"basis":"nothing: no gateway answered","unknown":["requests","users"]}}],"takes":{"rules":["loosen a stop"],"roles":["commander"],"approvals":2,"approvers":["approver"],"within":"1h"}}}],
	"criteria":[],"dissents":[{"at":"2026-11-20T11:59:00Z","by":"op-2","text":"too late already","prefer":2,"entry":12}]}`
	madeD1 = `{"id":"d-1","question":"q","state":"decided","opened_at":"2026-11-20T11:50:00Z","opened_by":"op-1","entry":9,"deadline":"2026-11-20T12:20:00Z","default":1,
	"options":[{"n":1,"title":"do nothing","seen":{"at":"2026-11-20T11:58:00Z","narrowness":0,` + takesOne + `}},{"n":2,"title":"limit","apply":[],"seen":{"at":"2026-11-20T11:58:00Z","narrowness":6,` + takesOne + `}}],
	"decided":{"option":2,"by":"op-1","at":"2026-11-20T11:59:30Z","entry":14,"rationale":"it suffices","why_not_broader":"others need it","known":"it leaks","takes":{"rules":["on call"],"roles":["commander"],"approvals":0},
	 "applied":[{"id":"c-1","says":"limit requests: everything","state":"active"}],"review_by":"2026-11-20T16:00:00Z","compared_in":9},
	"criteria":[{"text":"no leak for a day"},{"text":"fixed","met_at":"2026-11-20T11:59:50Z","by":"op-2","evidence":"probe 17"}],"dissents":[],"notes":["why not narrower is not said: option 1"]}`
)

func TestADecisionAtThreeInTheMorning(t *testing.T) {
	f := newFake(t).on("GET /decisions/d-1", 200, openD1)
	r := f.run(t, "decide", "show", "d-1")
	r.want(t, 0, "d-1  OPEN  does the stop stay", "incident   i-3, TLP:RED, need to know", "clock      in 20 min (2026-11-20T12:20:00Z); then holds: do nothing", "missing    since when", "waiting    three orgs",
		"as seen 2 min ago:", "1 *  do nothing", "2    limit", "6 of 15", "40.0 %", "1,204", "  42  ", "3.2 ms/41 ms", "1 ratify", "gives back", "2 agree first", "! the terms of acme (msa) ask for 24h of notice", "dependants: acme (high)",
		"takes commander (rule loosen a stop); before that 2 of approver agree, within 1h", "not known (nothing: no gateway answered): requests, users", "dissent    op-2, for option 2: too late already", `decide: andon decide do d-1 N --reason "…"`)
	for _, line := range strings.Split(r.out, "\n") {
		if len([]rune(line)) > 120 {
			t.Errorf("%d wide: %q", len([]rune(line)), line)
		}
	}
	f.run(t, "decide", "show", "d-1", "-o", "json").want(t, 0, `"id":"d-1"`)
	late := newFake(t).on("GET /decisions/d-1", 200, strings.Replace(openD1, `"known"`, `"default_manual":"it is a stop L3","overdue":"it is a stop L3: that takes a person","known"`, 1))
	late.run(t, "decide", "show", "d-1").want(t, 0, "d-1  OVERDUE", "nobody decided, and the default (do nothing) is not carried", "takes a person")
	made := newFake(t).on("GET /decisions/d-1", 200, madeD1)
	r = made.run(t, "decision", "show", "d-1")
	r.want(t, 0, "d-1  DECIDED", "decided    option 2, limit, by op-1 30 s ago (entry 14; rule on call)", "because    it suffices", "broader    others need it", "applied    c-1 active: limit", "review     in 4 h 0 min", "[ ] 1  no leak for a day", "[x] 2  fixed (op-2 10 s ago: probe 17)", "2 <  limit", "lacks      why not narrower")
	if strings.Contains(r.out, "decide:") {
		t.Error("it is decided already")
	}
	made.run(t, "decide", "criteria", "d-1").want(t, 0, "[x] 2  fixed")
}

// TestWhatComesFromElsewhereSteersNothing: the texts of a decision are others'.
func TestWhatComesFromElsewhereSteersNothing(t *testing.T) {
	f := newFake(t).on("GET /decisions/d-1", 200, strings.Replace(strings.Replace(openD1, `"it leaks"`, `"\u001b[2Jgone\u202e `+strings.Repeat("w", 500)+`"`, 1), `"limit"`, `"li\u0007mit"`, 1))
	r := f.run(t, "decide", "show", "d-1")
	if r.code != 0 || strings.ContainsAny(r.out, "\x1b\a\u202e") {
		t.Errorf("%d %q", r.code, r.out)
	}
	for _, line := range strings.Split(r.out, "\n") {
		if len([]rune(line)) > 120 {
			t.Errorf("%d wide", len([]rune(line)))
		}
	}
}

func TestDecisionVerbsSendWhatIsMeant(t *testing.T) {
	file := filepath.Join(t.TempDir(), "options.json")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(file, []byte(`[{"title":"lift it","lift":["c-1"]}]`), 0o600))
	whole := filepath.Join(t.TempDir(), "whole.json")
	must(os.WriteFile(whole, []byte(`{"within":"4h","known":"k","options":[{"title":"x"}]}`), 0o600))
	lift := []any{map[string]any{"title": "lift it", "lift": []any{"c-1"}}}
	for _, tc := range []struct {
		args []string
		line string
		body map[string]any
		says string
	}{
		{[]string{"decide", "open", "--threat", "tool_misuse", "--model", "sim-large", "--incident", "i-3"}, "POST /decisions",
			map[string]any{"within": "1h", "incident": "i-3", "case": map[string]any{"threat": "tool_misuse", "scope": map[string]any{"models": []any{"sim-large"}}}}, "d-1  OPEN"},
		{[]string{"decide", "open", "--threat", "harmful-answers", "--var", "pattern=x=y"}, "POST /decisions",
			map[string]any{"case": map[string]any{"threat": "harmful-answers", "scope": map[string]any{}}, "vars": map[string]any{"pattern": "x=y"}, "within": "1h"}, "d-1  OPEN"},
		{[]string{"decide", "open", "now?", "--options", file, "--within", "30m", "--default", "lift it", "--known", "k", "--missing", "m", "--cost-of-waiting", "w"}, "POST /decisions",
			map[string]any{"question": "now?", "within": "30m", "default": "lift it", "known": "k", "missing": "m", "cost_of_waiting": "w", "options": lift}, "d-1  OPEN"},
		{[]string{"decide", "open", "now?", "--options", whole}, "POST /decisions", map[string]any{"question": "now?", "within": "4h", "known": "k", "options": []any{map[string]any{"title": "x"}}}, "d-1  OPEN"},
		{[]string{"decide", "compare", "d-1"}, "POST /decisions/d-1/compare", map[string]any{}, "d-1  OPEN"},
		{[]string{"decide", "dissent", "d-1", "no", "--prefer", "2"}, "POST /decisions/d-1/dissent", map[string]any{"text": "no", "prefer": 2.0}, "on record, in entry 12"},
		{[]string{"decide", "criteria", "d-1", "2", "--evidence", "e"}, "POST /decisions/d-1/criteria", map[string]any{"criterion": 2.0, "evidence": "e"}, "undo: andon decide criteria d-1 2 --unmet"},
		{[]string{"decide", "criteria", "d-1", "2", "--evidence", "e", "--unmet"}, "POST /decisions/d-1/criteria", map[string]any{"criterion": 2.0, "evidence": "e", "unmet": true}, "d-1"},
	} {
		f := newFake(t).on(tc.line, 200, openD1)
		f.run(t, tc.args...).want(t, 0, tc.says)
		sent := f.sent(tc.line)
		if len(sent) != 1 {
			t.Fatalf("%v sent %v", tc.args, f.seen)
		}
		if diff := cmp.Diff(tc.body, sent[0].body); diff != "" {
			t.Errorf("%v: %s", tc.args, diff)
		}
	}
	// To decide waits until what it applied is enforced, and says how to take it back.
	f := newFake(t).on("POST /decisions/d-1/decide", 200, madeD1).on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:00.0032Z"))
	f.run(t, "decide", "do", "d-1", "2", "--reason", "r", "--not-narrower", "n", "--not-broader", "b", "--criterion", "one, or two", "--criterion", "three", "--review", "4h").
		want(t, 0, "d-1  DECIDED", "c-1  active", `undo: andon lift c-1 --reason "…"`)
	want := map[string]any{"option": 2.0, "rationale": "r", "why_not_narrower": "n", "why_not_broader": "b", "criteria": []any{"one, or two", "three"}, "review_by": "2026-11-20T16:00:00Z"}
	if diff := cmp.Diff(want, f.sent("POST /decisions/d-1/decide")[0].body); diff != "" {
		t.Error(diff)
	}
}

func TestDecisionVerbsThatAreNotUnderstood(t *testing.T) {
	f := newFake(t).on("POST /decisions/d-1/decide", 409, `{"title":"A step before this one is missing","status":409,"code":"out_of_order","detail":"d-1 was decided by op-2"}`).
		on("POST /decisions/d-2/decide", 202, `{"approval":{"id":"a-1","act":"decide","do":"decide","says":"decide d-2: lift it","reason":"r","asked_by":"op-1","asked_at":"2026-11-20T12:00:00Z","until":"2026-11-20T13:00:00Z","state":"open","takes":{"rules":["loosen"],"roles":["commander"],"approvals":2,"approvers":["approver"],"within":"1h","then":"lapse"},"answers":[],"counted":0,"can_answer":["ap1"]}}`)
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"decide", "open"}, 2, "it does not say which options there are"},
		{[]string{"decide", "open", "--threat", "x", "--var", "a"}, 2, "NAME=VALUE"},
		{[]string{"decide", "open", "--model", "m", "--options", "-"}, 2, ""},
		{[]string{"decide", "open", "--options", "/nowhere"}, 1, "read options"},
		{[]string{"decide", "do", "d-1"}, 2, "2 arguments needed"},
		{[]string{"decide", "do", "d-1", "0", "--reason", "r"}, 2, "is no number"},
		{[]string{"decide", "do", "d-1", "1"}, 2, "a reason is required"},
		{[]string{"decide", "do", "d-1", "1", "--reason", "r", "--review", "soon"}, 2, "--review"},
		{[]string{"decide", "do", "d-1", "1", "--reason", "r"}, 1, "was decided by op-2"},
		{[]string{"decide", "do", "d-2", "2", "--reason", "r"}, 3, "decide d-2: lift it"},
		{[]string{"decide", "criteria", "d-1", "1"}, 2, "evidence is required"},
		{[]string{"decide", "dissent", "d-1"}, 2, "2 arguments needed"},
	} {
		f.run(t, tc.args...).want(t, tc.code, tc.says)
	}
	if len(f.sent("POST /decisions/d-1/decide")) != 1 {
		t.Error("something was sent that was not understood")
	}
}

func TestTheListOfDecisions(t *testing.T) {
	f := newFake(t).on("GET /decisions", 200, `{"decisions":[{"id":"d-2","incident":"i-3","question":"`+strings.Repeat("long ", 30)+`","state":"open","opened_at":"2026-11-20T11:50:00Z","opened_by":"op-1","deadline":"2026-11-20T11:20:00Z","overdue":true,"options":3,"default":"stop"},
		{"id":"d-1","question":"q","state":"defaulted","opened_at":"2026-11-20T11:50:00Z","opened_by":"op-1","deadline":"2026-11-20T11:20:00Z","options":3,"default":"limit","chosen":"limit","by":"control","at":"2026-11-20T11:20:01Z"}],
		"choices":[{"id":"r-1.4","run":"r-1","step":"ask","question":"go on?","options":["yes","no"],"default":"no","due":"2026-11-20T12:10:00Z"},{"id":"r-2","run":"r-2","question":"what follows the stop-gap of p","options":["extend","lapse"],"due":"2026-11-20T11:10:00Z","late":true}]}`)
	r := f.run(t, "decide", "ls")
	r.want(t, 0, "d-2  OVERDUE", "d-1  defaulted", "limit (control)", "asked by playbooks:", "r-1 ask  go on? (1 yes | 2 no; default no), in 10 min", `andon decide do r-1.4 N --reason "…"`, "stop-gap r-2  what follows", "andon decide do r-2 N", "OVERDUE")
	if !strings.Contains(r.out, strings.Repeat("long ", 30)) {
		t.Errorf("what is piped is cut:\n%s", r.out)
	}
	r = runWith(t, Env{Args: []string{"decide", "ls", "--server", f.URL, "--token", token}, Terminal: true})
	for _, line := range strings.Split(r.out, "\n") {
		if len([]rune(line)) > 120 {
			t.Errorf("%d wide: %q", len([]rune(line)), line)
		}
	}
	newFake(t).on("GET /decisions", 200, `{"decisions":[],"choices":[]}`).run(t, "decide", "ls", "--state", "open").want(t, 0, "there is nothing to decide")
}

// TestWhatARunAsks is shown with what follows from each answer, and decided by its id.
func TestWhatARunAsks(t *testing.T) {
	open := `{"id":"r-1.4","run":"r-1","step":"ask","question":"contained?","state":"open","opened_at":"2026-11-20T11:50:00Z","opened_by":"op-1","deadline":"2026-11-20T12:10:00Z","default":2,
		"options":[{"n":1,"title":"yes","seen":{}},{"n":2,"title":"no","seen":{},"then":["stop L3: model sim-large\u001b[2J"]}],"criteria":[],"dissents":[]}`
	made := strings.Replace(open, `"state":"open"`, `"state":"decided","decided":{"option":2,"by":"op-1","at":"2026-11-20T11:59:00Z","rationale":"still going"}`, 1)
	gap := `{"id":"r-2","run":"r-2","question":"What follows the stop-gap of leak?","state":"open","opened_at":"2026-11-20T11:50:00Z","opened_by":"op-1","deadline":"2026-11-20T12:10:00Z","default":0,
		"options":[{"n":1,"title":"extend","seen":{}},{"n":2,"title":"lapse","seen":{}}],"criteria":[],"dissents":[]}`
	f := newFake(t).on("GET /decisions/r-1.4", 200, open).on("POST /decisions/r-1.4/decide", 200, made).on("POST /decisions/r-2/decide", 200, gap)
	r := f.run(t, "decide", "show", "r-1.4")
	r.want(t, 0, "r-1.4  OPEN  contained?", "asked by   r-1, step ask", "then holds: no", " 1  yes", " 2* no then: stop L3: model sim-large", `andon decide do r-1.4 N --reason "…"`)
	if strings.ContainsRune(r.out, 0x1b) || strings.Contains(r.out, "NOBODY") {
		t.Error(r.out)
	}
	f.run(t, "decide", "do", "r-1.4", "2", "--reason", "still going").want(t, 0, "r-1.4  DECIDED", "decided    option 2, no, by op-1", "because    still going", " 2< no")
	if b := f.sent("POST /decisions/r-1.4/decide")[0].body; b["option"] != 2.0 || b["rationale"] != "still going" {
		t.Error(b)
	}
	f.run(t, "decide", "do", "r-2", "1", "--reason", "a fix is near").want(t, 0, "r-2  OPEN", "stands on, overdue, until somebody decides")
}
