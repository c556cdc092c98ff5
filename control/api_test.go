package control

import (
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
	"andon/correction"
	"andon/order"
)

func TestCorrectionsThatAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	big := `{"kind":"stop","reason":"` + strings.Repeat("x", maxBody) + `"}`
	for name, tc := range map[string]struct {
		body, code string
		status     int
		field      string
		allowed    string // one of those named
	}{
		"nothing":         {``, "invalid_json", 400, "", ""},
		"not JSON":        {`{`, "invalid_json", 400, "", ""},
		"a list":          {`[]`, "invalid_json", 400, "", ""},
		"broken UTF-8":    {"{\"kind\":\"\xff\"}", "invalid_json", 400, "kind", ""},
		"twice":           {`{"kind":"stop","kind":"stop"}`, "invalid_json", 400, "kind", ""},
		"other case":      {`{"Kind":"stop"}`, "unknown_field", 400, "Kind", "kind"},
		"unknown field":   {`{"kind":"stop","sope":{}}`, "unknown_field", 400, "sope", "scope"},
		"unknown param":   {`{"kind":"stop","params":{"lvl":"L3"}}`, "unknown_field", 400, "params.lvl", "level"},
		"wrong type":      {`{"kind":3}`, "invalid_json", 400, "kind", ""},
		"unknown kind":    {`{"kind":"halt","params":{},"scope":{"all":true},"reason":"r"}`, "invalid_field", 422, "kind", "stop"},
		"L5":              {strings.Replace(stopLarge, "L3", "L5", 1), "invalid_field", 422, "params.level", "L4"},
		"no scope":        {`{"kind":"stop","params":{"level":"L3"},"scope":{},"reason":"r"}`, "invalid_field", 422, "scope", ""},
		"limit of zero":   {`{"kind":"rate","params":{"metric":"requests","limit":0,"window":"1m"},"scope":{"all":true},"reason":"r"}`, "invalid_field", 422, "params.limit", ""},
		"past expiry":     {strings.Replace(stopLarge, `"reason"`, `"expires_at":"2020-01-01T00:00:00Z","reason"`, 1), "invalid_field", 422, "expires_at", ""},
		"no reason":       {strings.Replace(stopLarge, "drill", "", 1), "invalid_field", 422, "reason", ""},
		"own id":          {strings.Replace(stopLarge, `"reason"`, `"id":"c-9","reason"`, 1), "invalid_field", 422, "id", ""},
		"own time":        {strings.Replace(stopLarge, `"reason"`, `"applied_at":"2026-01-01T00:00:00Z","reason"`, 1), "invalid_field", 422, "applied_at", ""},
		"unknown model":   {strings.Replace(stopLarge, "sim-large", "sim-larg", 1), "unknown_model", 422, "scope.models[0]", "sim-large"},
		"except model":    {strings.Replace(stopLarge, `"reason"`, `"except":{"models":["nope"]},"reason"`, 1), "unknown_model", 422, "except.models[0]", "sim-small"},
		"fallback":        {strings.Replace(stopLarge, `"reason"`, `"fallback":"gpt","reason"`, 1), "unknown_model", 422, "fallback", "none"},
		"fallback itself": {strings.Replace(stopLarge, `"reason"`, `"fallback":"sim-large","reason"`, 1), "invalid_field", 422, "fallback", ""},
		"force":           {strings.Replace(stopLarge, `"reason"`, `"force":true,"reason"`, 1), "unknown_field", 400, "force", ""},
		"too large":       {big, "body_too_large", 413, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/corrections", "/corrections/preview"} {
				p := w.bad(tc.status, tc.code, "POST", path, tc.body)
				if p.Field != tc.field || tc.allowed != "" && !slices.Contains(p.Allowed, tc.allowed) {
					t.Errorf("%s: %+v", path, p)
				}
			}
		})
	}
	if w.revision() != 0 {
		t.Fatal("something was applied")
	}
	for _, good := range []string{`"fallback":"none",`, `"fallback":"sim-small",`, `"share":0.1,`, `"mode":"shadow",`} {
		w.create(strings.Replace(stopLarge, `"reason"`, good+`"reason"`, 1))
	}
}

func TestAStopNeedsNoListOfModels(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Models = nil })
	w.create(stopLarge)
	// Once a gateway says what it serves, names are checked.
	w.gate("gw-1", true)
	w.create(stopLarge)
	w.bad(422, "unknown_model", "POST", "/corrections", strings.Replace(stopLarge, "sim-large", "gpt", 1))
}

func TestStatesAndList(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	at := func(d time.Duration) string { return w.clock.Now().Add(d).Format(time.RFC3339) }
	w.create(stopLarge)
	w.create(strings.Replace(stopLarge, `"reason"`, `"starts_at":"`+at(time.Hour)+`","reason"`, 1))
	v := w.create(strings.Replace(stopLarge, `"reason"`, `"expires_at":"`+at(time.Minute)+`","reason"`, 1))
	if !v.ReviewBy.IsZero() {
		t.Error("a review was set although it expires:", v.ReviewBy)
	}
	w.create(stopLarge)
	w.ok(200, "POST", "/corrections/c-4/lift", `{"reason":"done"}`, &v)
	if v.State != "lifted" || v.LiftedAt.IsZero() || v.Revision != 5 || len(v.History) != 2 || v.History[1].Action != "lifted" {
		t.Fatalf("%s", jsonText(v))
	}
	ids := func(query string) string {
		var l correctionList
		w.ok(200, "GET", "/corrections"+query, "", &l)
		var out []string
		for _, c := range l.Corrections {
			out = append(out, c.ID+" "+c.State)
		}
		return strings.Join(out, ", ")
	}
	if got := ids(""); got != "c-1 active, c-2 scheduled, c-3 active, c-4 lifted" {
		t.Error(got)
	}
	w.clock.advance(time.Minute)
	if got := ids("?state=expired&state=lifted"); got != "c-3 expired, c-4 lifted" {
		t.Error(got)
	}
	var l correctionList
	for _, tc := range []struct{ query, ids, next string }{
		{"?limit=2", "c-1 c-2", "c-2"}, {"?limit=2&after=c-2", "c-3 c-4", ""}, {"?limit=1&state=lifted&state=expired", "c-3", "c-3"},
		{"?limit=1&state=lifted&state=expired&after=c-3", "c-4", ""}, {"?after=c-4", "", ""},
	} {
		l = correctionList{}
		w.ok(200, "GET", "/corrections"+tc.query, "", &l)
		var got []string
		for _, c := range l.Corrections {
			got = append(got, c.ID)
		}
		if strings.Join(got, " ") != tc.ids || l.Next != tc.next {
			t.Errorf("%s: %v, next %q", tc.query, got, l.Next)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=501", "?limit=x", "?after=c-9", "?after="} {
		w.bad(400, "invalid_query", "GET", "/corrections"+query, "")
	}
	w.bad(409, "not_in_force", "POST", "/corrections/c-3/lift", `{"reason":"r"}`)
	w.bad(409, "not_in_force", "POST", "/corrections/c-4/lift", `{"reason":"r"}`)
	w.bad(400, "invalid_query", "GET", "/corrections?state=gone", "")
	w.bad(400, "invalid_query", "GET", "/corrections?stat=active", "")
	// Still in the order: gateways end it by themselves. Dropped at leisure only.
	inOrder := func() bool {
		w.c.mu.RLock()
		defer w.c.mu.RUnlock()
		return slices.ContainsFunc(w.c.state.full().Corrections, func(c *correction.Correction) bool { return c.ID == "c-3" })
	}
	if !inOrder() {
		t.Fatal("dropped too early")
	}
	w.clock.advance(expiryMargin)
	w.c.tidy(t.Context())
	if inOrder() || w.get("c-3").History[1].Action != "expired" {
		t.Fatal("not dropped")
	}
	w.restart()
	if got := ids(""); got != "c-1 active, c-2 scheduled, c-3 expired, c-4 lifted" {
		t.Error(got)
	}
}

// TestAClockThatJumpsAheadExpiresNothing: the wall clock says that the time is
// over, the monotonic clock knows better.
func TestAClockThatJumpsAheadExpiresNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.create(strings.Replace(stopLarge, `"reason"`, `"expires_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`","reason"`, 1))
	// started holds a monotonic reading. Its wall part set back by a day is what a
	// jump ahead by a day looks like from then on.
	w.c.started = backdate(w.c.started, 24*time.Hour)
	if early := w.c.early(); time.Since(early) < 23*time.Hour {
		t.Fatal("the wall clock was believed:", early)
	}
	w.c.tidy(t.Context())
	if w.get("c-1").State != "active" {
		t.Fatal("expired by a jump")
	}
}

func TestExtendAndRatify(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	at := func(d time.Duration) string { return w.clock.Now().Add(d).Format(time.RFC3339) }
	w.create(strings.Replace(stopLarge, `"reason"`, `"expires_at":"`+at(2*time.Hour)+`","reason"`, 1)) // c-1
	w.create(stopLarge)                                                                                // c-2: stands until lifted
	ext := func(id, rest string) (string, string) {
		return "/corrections/" + id + "/extend", `{"reason":"more"` + rest + `}`
	}

	var v correctionView
	path, body := ext("c-1", `,"expires_at":"`+at(3*time.Hour)+`"`)
	w.ok(200, "POST", path, body, &v)
	if !v.ExpiresAt.Equal(w.clock.Now().Add(3*time.Hour)) || v.Revision != 3 {
		t.Fatalf("%s", jsonText(v))
	}
	path, body = ext("c-1", `,"for":"4h"`)
	w.ok(200, "POST", path, body, &v)
	if !v.ExpiresAt.Equal(w.clock.Now().Add(4 * time.Hour)) {
		t.Fatalf("%s", jsonText(v))
	}
	for name, tc := range map[string]struct{ id, rest, code, field string }{
		"shorter":         {"c-1", `,"for":"1h"`, "loosening", "expires_at"},
		"where none was":  {"c-2", `,"for":"1h"`, "loosening", "expires_at"},
		"both":            {"c-1", `,"for":"9h","expires_at":"` + at(9*time.Hour) + `"`, "invalid_field", "for"},
		"neither":         {"c-1", ``, "invalid_field", "expires_at"},
		"past review":     {"c-1", `,"review_by":"` + at(-time.Hour) + `"`, "invalid_field", "review_by"},
		"no such":         {"c-9", `,"for":"1h"`, "not_found", ""},
		"without a unit":  {"c-1", `,"for":"9"`, "invalid_json", "for"},
		"a field of lift": {"c-1", `,"why":"x"`, "unknown_field", "why"},
	} {
		t.Run(name, func(t *testing.T) {
			path, body := ext(tc.id, tc.rest)
			p := w.bad(map[string]int{"not_found": 404, "invalid_json": 400, "unknown_field": 400}[tc.code]+map[string]int{"loosening": 422, "invalid_field": 422}[tc.code], tc.code, "POST", path, body)
			if p.Field != tc.field || tc.code == "loosening" && !strings.Contains(p.Hint, "lift") {
				t.Errorf("%+v", p)
			}
		})
	}
	path, body = ext("c-2", `,"review_by":"`+at(48*time.Hour)+`"`)
	w.ok(200, "POST", path, body, &v)
	if !v.ReviewBy.Equal(w.clock.Now().Add(48 * time.Hour)) {
		t.Fatalf("%s", jsonText(v))
	}
	// Overdue for review: extending and ratifying both count as a look.
	w.clock.advance(72 * time.Hour)
	w.ok(200, "POST", "/corrections/c-2/ratify", `{"reason":"still needed"}`, &v)
	if !v.ReviewBy.Equal(w.clock.Now().Add(defaultReview)) || v.History[2].Action != "ratified" || v.History[2].Reason != "still needed" {
		t.Fatalf("%s", jsonText(v))
	}
	w.bad(422, "invalid_field", "POST", "/corrections/c-2/ratify", `{"reason":" "}`)
}

func TestWhoMayComeIn(t *testing.T) {
	w := newWorld(t, nil)
	good := w.token
	for _, token := range []string{"", "op_", "op_nonsense", good[:len(good)-1], good + "x", strings.ToUpper(good)} {
		w.token = token
		resp := w.do("GET", api+"/corrections", "", nil)
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d", token, resp.StatusCode)
		}
		w.bad(401, "unauthenticated", "POST", "/corrections", stopLarge)
	}
	w.token = good
	var me whoamiView
	w.ok(200, "GET", "/whoami", "", &me)
	if me.ID != "op-1" || me.Name != "ann" || me.Role != "administrator" || me.Kind != kindOwn || len(me.Factors) != 0 || !me.SteppedUpTill.IsZero() {
		t.Errorf("%+v", me)
	}
	if _, created, err := w.c.EnsureOperator("ann"); created || err != nil {
		t.Error("made twice", err)
	}
	w.restart()
	w.ok(200, "GET", "/whoami", "", &me)
	next, err := w.c.ReplaceToken("ann")
	must(t, err)
	if w.c.TokenValid(good) || !w.c.TokenValid(next) {
		t.Fatal("the old token still serves")
	}
	w.token = next
	w.ok(200, "GET", "/whoami", "", &me)

	// Who has no role may do nothing, and who only looks changes nothing.
	_, hash := secret(tokenPrefix)
	nobody, viewer := &operator{id: "op-2"}, &operator{id: "op-3", roles: authority.SetOf(authority.Viewer)}
	for i := range table {
		rt := &table[i]
		if rt.open || rt.path == "/api/v1/whoami" {
			continue
		}
		req, _ := http.NewRequest(rt.method, "http://x"+rt.path, strings.NewReader(sample(rt)))
		rec := &recorder{header: http.Header{}}
		err := rt.serve(w.c, &call{w: rec, r: req, op: nobody})
		if p := asProblem(err); err == nil || p.Code != "forbidden" {
			t.Errorf("%s %s: %v", rt.method, rt.path, err)
		}
		if rt.command == "" || ofOneself[rt.command] {
			continue
		}
		req, _ = http.NewRequest(rt.method, "http://x"+rt.path, strings.NewReader(sample(rt)))
		err = rt.serve(w.c, &call{w: rec, r: req, op: viewer})
		if p := asProblem(err); err == nil || p.Code != "forbidden" {
			t.Errorf("a viewer: %s %s: %v", rt.method, rt.path, err)
		}
	}
	// Nothing secret in the log.
	for _, s := range []string{good, next, hash} {
		if strings.Contains(w.logs.String(), s) {
			t.Error("a secret is in the log")
		}
	}
}

// ofOneself are the commands that everybody gives, about nothing but their own
// account; that it is their own is tested with each.
var ofOneself = map[string]bool{"operator.password": true, "operator.step_up": true, "operator.enrol": true, "token.create": true, "token.revoke": true, "session.close": true, "session.revoke": true}

// sample is a body that the route can read.
func sample(rt *route) string {
	switch {
	case strings.HasPrefix(rt.command, "correction.create"), strings.HasSuffix(rt.path, "/preview"):
		return stopLarge
	case rt.command == "key.create":
		return `{"org":"acme"}`
	case rt.command == "correction.extend":
		return `{"reason":"r","for":"1h"}`
	}
	return `{"reason":"r"}`
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(s int)           { r.status = s }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

func TestRoutes(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"", "/nope", "/corrections/c-1/undo", "/correctionss", "/corrections/", "//corrections", "/../metrics", "/corrections%2Fc-1"} {
		resp := w.do("GET", api+path, "", nil)
		if resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	for _, tc := range []struct{ method, path, allow string }{
		{"PUT", "/corrections", "GET, HEAD, POST"}, {"GET", "/corrections/c-1/lift", "POST"}, {"DELETE", "/points", "GET, HEAD"}, {"PATCH", "/keys/k-1", "DELETE, GET, HEAD"},
	} {
		resp := w.do(tc.method, api+tc.path, "", nil)
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d, Allow %q", tc.method, tc.path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	if resp := w.do("HEAD", api+"/points", "", nil); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	w.token = ""
	for _, path := range []string{"/healthz", "/metrics", api + "/openapi.json"} {
		if resp := w.do("GET", path, "", nil); resp.StatusCode != 200 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t, nil)
	w.create(stopLarge)
	w.bad(404, "not_found", "GET", "/requests/r-1", "")
	refused := func(gateway, id string) *order.Decision {
		return &order.Decision{RequestID: id, Gateway: gateway, Action: order.ActionRefused, Status: 503, Corrections: []string{"c-1"}}
	}
	type gateways map[string]func(id string) *order.Decision // one that is not there is silent
	var mu sync.Mutex
	answers := map[string]gateways{} // by request
	for _, name := range []string{"gw-1", "gw-2", "gw-3"} {
		g := w.gate(name, true)
		g.beatWith(order.Beat{Gateway: name, Boot: "r-0000000" + name[3:] + "-", Nonce: "n", Revision: g.revision(), Head: g.f.State().Head})
		_, err := g.bus.Subscribe(order.SubjectExplain, func(m bus.Msg) {
			var q order.ExplainRequest
			if err := json.Unmarshal(m.Data, &q); err != nil || !q.All {
				t.Errorf("%+v, %v", q, err)
			}
			mu.Lock()
			answer := answers[q.RequestID][name]
			mu.Unlock()
			if answer == nil {
				return
			}
			data, _ := json.Marshal(answer(q.RequestID))
			m.Respond(data)
		})
		must(t, err)
		must(t, g.bus.Flush(t.Context()))
	}
	no := func(name string) func(string) *order.Decision {
		return func(string) *order.Decision { return &order.Decision{Gateway: name} }
	}
	yes := func(name string) func(string) *order.Decision {
		return func(id string) *order.Decision { return refused(name, id) }
	}
	for name, tc := range map[string]struct {
		id      string
		answers gateways
		status  int    // 200, 404 not_found, 504 not_answered
		detail  string // of a problem, or the only one who decided
		silent  int
	}{
		"all answer, one has it":             {"r-1-11", gateways{"gw-1": no("gw-1"), "gw-2": yes("gw-2"), "gw-3": no("gw-3")}, 200, "gw-2", 0},
		"one has it, another is silent":      {"r-1-12", gateways{"gw-1": no("gw-1"), "gw-2": yes("gw-2")}, 200, "gw-2", 1},
		"nobody has it":                      {"r-1-13", gateways{"gw-1": no("gw-1"), "gw-2": no("gw-2"), "gw-3": no("gw-3")}, 404, "no live gateway (of 3)", 0},
		"one is silent":                      {"r-1-14", gateways{"gw-1": no("gw-1"), "gw-2": no("gw-2")}, 504, "1 of 3 live gateways have not answered within 2s (gw-3)", 0},
		"all are silent":                     {"r-1-15", gateways{}, 504, "(gw-1, gw-2, gw-3)", 0},
		"its gateway is silent":              {"r-00000002-16", gateways{"gw-1": no("gw-1"), "gw-3": no("gw-3")}, 504, "came to gw-2, which has not answered", 0},
		"its gateway has it":                 {"r-00000002-17", gateways{"gw-2": yes("gw-2")}, 200, "gw-2", 2},
		"its gateway has forgotten it":       {"r-00000002-18", gateways{"gw-1": no("gw-1"), "gw-2": no("gw-2")}, 404, "gw-2, which does not remember it", 0},
		"another says that it has it":        {"r-00000002-19", gateways{"gw-1": yes("gw-1"), "gw-2": no("gw-2")}, 404, "gw-2, which does not remember it", 0},
		"another does, and its own is dumb":  {"r-00000002-20", gateways{"gw-1": yes("gw-1")}, 504, "came to gw-2", 0},
		"an answer about another request":    {"r-1-21", gateways{"gw-1": no("gw-1"), "gw-2": func(string) *order.Decision { return refused("gw-2", "r-2") }, "gw-3": no("gw-3")}, 404, "no live gateway", 0},
		"an id of a process that has ended":  {"r-0000000f-22", gateways{"gw-1": no("gw-1"), "gw-2": no("gw-2"), "gw-3": no("gw-3")}, 404, "no live gateway", 0},
		"garbage that names nobody":          {"r-1-23", gateways{"gw-1": func(string) *order.Decision { return &order.Decision{RequestID: "r-1"} }, "gw-2": no("gw-2"), "gw-3": no("gw-3")}, 504, "(gw-1)", 0},
		"a part of the boot is no boot":      {"r-0000000x", gateways{"gw-1": no("gw-1"), "gw-2": no("gw-2"), "gw-3": no("gw-3")}, 404, "no live gateway", 0},
		"the decision of a request is whole": {"r-00000001-24", gateways{"gw-1": yes("gw-1"), "gw-2": yes("gw-2"), "gw-3": yes("gw-3")}, 200, "gw-1", 0},
	} {
		mu.Lock()
		answers[tc.id] = tc.answers
		mu.Unlock()
		t.Run(name, func(t *testing.T) { // all at once: the silent ones are waited for
			t.Parallel()
			if tc.status != 200 {
				if p := w.bad(tc.status, map[int]string{404: "not_found", 504: "not_answered"}[tc.status], "GET", "/requests/"+tc.id, ""); !strings.Contains(p.Detail, tc.detail) {
					t.Error(p.Detail)
				}
				return
			}
			var v requestView
			w.ok(200, "GET", "/requests/"+tc.id, "", &v)
			if len(v.Decisions) != 1 || v.Decisions[0].Gateway != tc.detail || len(v.Corrections) != 1 || v.Corrections[0].ID != "c-1" || len(v.Silent) != tc.silent {
				t.Error(jsonText(v))
			}
		})
	}
}

func TestModels(t *testing.T) {
	w := newWorld(t, nil)
	w.gate("gw-1", true)
	var l modelList
	w.ok(200, "GET", "/models", "", &l)
	if len(l.Models) != 2 || l.Models[0].Name != "sim-large" || l.Models[0].Fallback != "sim-small" {
		t.Fatalf("%+v", l)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, nil)
	w.gate("gw-1", true)
	w.create(stopLarge)
	w.bad(422, "invalid_field", "POST", "/corrections", strings.Replace(stopLarge, "L3", "L9", 1))
	resp := w.do("GET", "/metrics", "", nil)
	data, _ := io.ReadAll(resp.Body)
	for _, want := range []string{
		`andon_control_commands_total{result="done",type="correction.create"} 1`, `andon_control_commands_total{result="invalid_field",type="correction.create"} 1`,
		"andon_control_revision 1", `andon_control_corrections{state="active"} 1`, "andon_control_time_to_effect_seconds_count",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is missing in\n%s", want, data)
		}
	}
}
