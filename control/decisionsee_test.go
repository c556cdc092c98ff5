package control

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"andon/incident"
)

// TestOutsidersSeeNothingOfADecision: nor of what waits for it.
func TestOutsidersSeeNothingOfADecision(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	com, ap := w.operatorOf(tok["com"]), w.operatorOf(tok["ap1"])
	w.create(stopLarge)
	const word = "zanzibar"
	admin := w.token
	w.token = tok["com"]
	w.ok(201, "POST", "/incidents", `{"title":"x","marking":{"tlp":"RED","need_to_know":{"operators":["`+com+`","`+ap+`"]}}}`, nil)
	w.decision("POST", "/decisions", strings.Replace(asking(`,"incident":"i-1","known":"`+word+`"`, strings.Replace(liftIt, "lift", word, 1)), "what now?", word, 1))
	w.decision("POST", "/decisions/d-1/dissent", `{"text":"`+word+`"}`)
	a := w.asked(tok["com"], "/decisions/d-1/decide", `{"option":2,"rationale":"`+word+`"}`)
	for _, who := range []string{"co2", "res", "ap2"} {
		w.token = tok[who]
		for _, path := range []string{"/decisions", "/decisions/d-1", "/approvals", "/approvals/" + a.ID, "/corrections/c-1", "/reviews", "/events", "/decisions?incident=i-1"} {
			if path == "/events" {
				if got := w.stream(t); strings.Contains(got, word) || strings.Contains(got, "decision.") || strings.Contains(got, "approval.") {
					t.Errorf("%s: %s", who, got)
				}
				continue
			}
			resp := w.do("GET", api+path, "", nil)
			if data, _ := io.ReadAll(resp.Body); strings.Contains(string(data), word) || strings.Contains(string(data), "d-1") && resp.StatusCode == 200 {
				t.Errorf("%s: %s: %s", who, path, data)
			}
		}
		w.bad(404, "not_found", "GET", "/decisions/d-1", "")
		w.bad(404, "not_found", "POST", "/decisions/d-1/dissent", `{"text":"x"}`)
		w.bad(404, "not_found", "POST", "/approvals/"+a.ID+"/decline", `{"reason":"x"}`)
		w.bad(404, "not_found", "POST", "/approvals/"+a.ID+"/withdraw", `{"reason":"x"}`)
		if who != "ap2" {
			w.bad(422, "invalid_field", "POST", "/decisions", asking(`,"incident":"i-1"`, limitIt))
		}
	}
	w.token = tok["ap1"] // who is meant sees it
	if v := w.decision("GET", "/decisions/d-1", ""); v.Known != word || !v.Restricted || v.TLP != "RED" {
		t.Errorf("%s", jsonText(v))
	}
	w.ok(200, "POST", "/approvals/"+a.ID+"/approve", `{"reason":"yes"}`, nil)
	w.token = admin
	if status, p, _ := w.by(tok["com"], "POST", "/decisions/d-1/decide?break_glass=true", `{"option":2,"rationale":"`+word+`"}`); p != nil {
		t.Fatal(status, p)
	}
	w.token = tok["co2"]
	for _, path := range []string{"/corrections/c-1", "/reviews", "/approvals"} { // the lift itself is no secret, why is
		resp := w.do("GET", api+path, "", nil)
		if data, _ := io.ReadAll(resp.Body); strings.Contains(string(data), word) {
			t.Errorf("%s: %s", path, data)
		}
	}
}

// TestChoicesOfPlaybooksShow beside the decisions.
func TestChoicesOfPlaybooksShow(t *testing.T) {
	w := playWorld(t, `{"name":"gap","steps":[{"name":"ask","decision":{"question":"go on?","options":["yes","no"],"default":"no","within":"15m"}}],"exit":["quiet"],
		"stop_gap":{"for":"1h","corrections":[{"kind":"stop","params":{"level":"L2"},"scope":{"models":["sim-large"]},"reason":"gap"}]}}`)
	w.ok(201, "POST", "/runs", `{"playbook":"gap","reason":"r"}`, nil)
	w.ok(201, "POST", "/playbooks/gap/stop-gap", `{"reason":"r"}`, nil)
	var l decisionList
	w.ok(200, "GET", "/decisions?state=open", "", &l)
	if len(l.Choices) != 2 || l.Choices[0].Run != "r-1" || l.Choices[0].Step != "ask" || l.Choices[0].Question != "go on?" || l.Choices[0].Default != "no" || l.Choices[1].Run != "r-2" || l.Choices[1].Step != "" || len(l.Choices[1].Options) != 3 {
		t.Fatalf("%s", jsonText(l))
	}
	v := w.decision("POST", "/decisions", asking(``, `{"title":"gap","playbook":{"name":"gap"}}`))
	if o := v.Options[1]; len(o.Apply) != 1 || o.Apply[0].Params.Level != "L2" || o.For != 0 || o.Playbook.Name != "gap" {
		t.Fatalf("%s", jsonText(o))
	}
	w.bad(422, "invalid_field", "POST", "/decisions", asking(``, `{"title":"gap","playbook":{"name":"gap","step":"ask"}}`))
}

func TestPagesOfDecisions(t *testing.T) {
	w := clocked(t)
	for range 7 {
		w.decision("POST", "/decisions", asking(``, limitIt))
	}
	w.decision("POST", "/decisions/d-5/decide", `{"option":1,"rationale":"r"}`)
	var got []string
	after := ""
	for range 5 {
		var l decisionList
		w.ok(200, "GET", "/decisions?state=open&limit=2"+after, "", &l)
		for _, d := range l.Decisions {
			got = append(got, d.ID)
		}
		if l.After == "" {
			break
		}
		after = "&after=" + l.After
	}
	if fmt.Sprint(got) != "[d-7 d-6 d-4 d-3 d-2 d-1]" {
		t.Error(got)
	}
	for range incident.MaxOpen - 6 {
		w.decision("POST", "/decisions", asking(``, `{"title":"drain","for":"1h","apply":[{"kind":"stop","params":{"level":"L2"},"scope":{"all":true},"reason":"r"}]}`))
	}
	w.bad(409, "incident_full", "POST", "/decisions", asking(``, limitIt))
}

// TestDecisionAnswersFitTheDocument: what the API answers is what it says.
func TestDecisionAnswersFitTheDocument(t *testing.T) {
	w := clocked(t)
	tok := w.rules(house, nil)
	w.ok(201, "POST", "/incidents", `{"title":"x"}`, nil)
	w.create(stopLarge)
	w.token = tok["com"]
	doc := document(t)
	for _, tc := range []struct{ method, path, template, body string }{
		{"POST", "/decisions", "/decisions", asking(`,"incident":"i-1","known":"k"`, limitIt, liftIt, `{"title":"back","restore":{"before":"c-1"}}`)},
		{"POST", "/decisions", "/decisions", `{"within":"1h","case":{"threat":"tool_misuse","scope":{"models":["sim-large"]},"tools":["shell"]}}`},
		{"POST", "/decisions/d-1/compare", "/decisions/{id}/compare", ""}, {"POST", "/decisions/d-1/dissent", "/decisions/{id}/dissent", `{"text":"no","prefer":2}`},
		{"POST", "/decisions/d-1/decide", "/decisions/{id}/decide", `{"option":3,"rationale":"r"}`}, {"GET", "/decisions", "/decisions", ""},
		{"POST", "/decisions/d-1/decide", "/decisions/{id}/decide", `{"option":2,"rationale":"r","why_not_broader":"b","criteria":["c"],"review_by":"` + w.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`},
		{"POST", "/decisions/d-1/criteria", "/decisions/{id}/criteria", `{"criterion":1,"evidence":"e"}`}, {"POST", "/decisions/d-1/dissent", "/decisions/{id}/dissent", `{"text":"still no"}`},
		{"GET", "/decisions/d-1", "/decisions/{id}", ""}, {"GET", "/decisions?state=decided&limit=1", "/decisions", ""},
	} {
		if status := w.answerFits(doc, tc.method, tc.path, tc.template, tc.body); status >= 300 {
			t.Errorf("%s %s: %d", tc.method, tc.path, status)
		}
	}
}
