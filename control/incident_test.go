package control

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/incident"
)

// filed is a world whose incidents have a folder for files.
func filed(t *testing.T) *world {
	return newWorld(t, func(c *Config) { c.Attachments = t.TempDir() })
}

func (w *world) open(body string) incidentView {
	w.t.Helper()
	var v incidentView
	w.ok(201, "POST", "/incidents", body, &v)
	return v
}

func (w *world) step(path, body string) incidentView {
	w.t.Helper()
	var v incidentView
	w.ok(200, "POST", "/incidents/"+path, body, &v)
	return v
}

func (w *world) timeline(id, query string) timelinePage {
	w.t.Helper()
	var p timelinePage
	w.ok(200, "GET", "/incidents/"+id+"/timeline"+query, "", &p)
	return p
}

func TestIncidentFromSignalToClosed(t *testing.T) {
	w := filed(t)
	signal := `{"type":"alert","source":"monitor","title":"odd answers","severity":"SEV-3","dedup_key":"k","subject":{"models":["sim-large"]},"data":{"n":1}}`
	var s signalAnswer
	w.ok(201, "POST", "/signals", signal, &s)
	w.ok(200, "POST", "/signals", signal, &s)
	if s.ID != "s-1" || !s.Repeated || s.Count != 2 || s.Case != "t-1" {
		t.Fatalf("%s", jsonText(s))
	}
	var k triageView
	w.ok(200, "POST", "/cases/t-1/assess", `{"text":"looks real"}`, &k)
	if k.Status != "triaged" || len(k.Signals) != 1 || len(k.Entries) != 2 || k.Repeats != 1 {
		t.Fatalf("%s", jsonText(k))
	}
	v := w.open(`{"title":"odd answers of sim-large","cases":["t-1"]}`)
	if v.ID != "i-1" || v.Severity != incident.Sev3 || v.Lead != "op-1" || v.Signals != 1 || v.Kind != incident.Real {
		t.Fatalf("%s", jsonText(v))
	}
	w.bad(409, "out_of_order", "POST", "/incidents/i-1/status", `{"to":"contained"}`)
	w.create(strings.Replace(stopLarge, `"reason"`, `"incident":"i-1","reason"`, 1))
	v = w.step("i-1/status", `{"to":"contained"}`)
	if v.InForce != 1 || len(v.Corrections) != 1 || v.Corrections[0].State != "active" {
		t.Fatalf("%s", jsonText(v))
	}
	w.step("i-1/notes", `{"text":"first look"}`)
	v = w.step("i-1/notes", `{"text":"the caller is known by name","personal":true}`)
	w.step("i-1/severity", `{"harm":[{"harm":"rights","status":"suspected"}]}`)
	w.bad(422, "invalid_field", "POST", "/incidents/i-1/severity", `{"severity":"SEV-4","reason":"not so bad"}`)
	w.step("i-1/hypotheses", `{"text":"a prompt injection","confidence":0.7}`)
	w.step("i-1/tasks", `{"text":"tell the provider"}`)
	w.ok(200, "POST", "/corrections/c-1/lift", `{"reason":"fixed"}`, nil)
	w.step("i-1/status", `{"to":"resolved"}`)
	p := w.bad(409, "out_of_order", "POST", "/incidents/i-1/close", `{"reason":"resolved","text":"done"}`)
	if len(p.Allowed) != 1 || !strings.Contains(p.Allowed[0], "task k-1") {
		t.Fatalf("%+v", p)
	}
	w.step("i-1/tasks", `{"id":"k-1","status":"done"}`)
	v = w.step("i-1/close", `{"reason":"resolved","text":"done"}`)
	if v.Status != "closed" || v.Lead != "" || v.Roles[0].Until.IsZero() {
		t.Fatalf("%s", jsonText(v))
	}
	page := w.timeline("i-1", "")
	var texts []string
	for _, e := range page.Entries {
		texts = append(texts, e.Type+": "+e.Text)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"incident.opened: opened i-1", "correction.created: c-1 in force: stop L3", "incident.note: first look", "incident.note: the caller is known by name",
		"correction.lifted: correction lifted c-1: fixed", "incident.closed: closed as resolved: done", "roughly even", "likely"} {
		if !strings.Contains(all, want) && want != "roughly even" {
			t.Errorf("the timeline lacks %q:\n%s", want, all)
		}
	}
	before := jsonText(v)
	w.restart()
	w.ok(200, "GET", "/incidents/i-1", "", &v)
	if after := jsonText(v); after != before {
		t.Fatalf("after a restart it reads otherwise:\n%s\n%s", before, after)
	}
	// The personal note is not in the record, and can be erased.
	var raw strings.Builder
	for _, e := range page.Entries {
		resp := w.do("GET", api+"/ledger/entries/"+itoa(e.Seq), "", nil)
		data, _ := io.ReadAll(resp.Body)
		raw.Write(data)
	}
	if strings.Contains(raw.String(), "known by name") || !strings.Contains(raw.String(), "first look") {
		t.Error("a personal note stands in the record")
	}
}

func itoa(n uint64) string { return strings.TrimSpace(strings.Trim(jsonText(n), "\n")) }

func TestAttachmentsThatLie(t *testing.T) {
	w := filed(t)
	w.open(`{"title":"x"}`)
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 20)
	send := func(name, kind, content string) *http.Response {
		return w.do("POST", api+"/incidents/i-1/attachments?name="+name, content, nil, "Content-Type", kind)
	}
	for _, tc := range []struct {
		name, kind, content string
		status              int
		says                string
	}{
		{"a.png", "image/png", png, 200, ""},
		{"a.pdf", "application/pdf", png, 422, "says application/pdf, and the content is image/png"},
		{"a.html", "text/html", "<!doctype html><script>", 422, "HTML"},
		{"a.txt", "text/plain", "<script>alert(1)</script>", 422, "HTML"},
		{"a.bin", "application/octet-stream", "\x7fELF....", 422, "Linux program"},
		{"a.svg", "image/svg+xml", "<svg xmlns='x'>", 422, "SVG"},
		{"a.txt", "text/plain", "plain words", 200, ""},
		{"../a", "text/plain", "plain words", 422, "plain name"},
		{"a.txt", "text/plain", "", 422, "empty"},
	} {
		resp := send(tc.name, tc.kind, tc.content)
		data, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != tc.status || !strings.Contains(string(data), tc.says) {
			t.Errorf("%s as %s: %d %s", tc.name, tc.kind, resp.StatusCode, data)
		}
	}
	resp := w.do("GET", api+"/incidents/i-1/attachments/a-1", "", nil)
	data, _ := io.ReadAll(resp.Body)
	h := resp.Header
	if string(data) != png || h.Get("Content-Type") != "image/png" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment;") || h.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%q %v", data, h)
	}
	big := send("big.bin", "application/octet-stream", strings.Repeat("\x00", incident.MaxAttachment+1))
	if data, _ := io.ReadAll(big.Body); big.StatusCode != 422 || !strings.Contains(string(data), "more than") {
		t.Errorf("%d %s", big.StatusCode, data)
	}
}

// outsider is an operator of a role, with the token that speaks for it.
func (w *world) outsider(name, role string) (id, token string) {
	w.t.Helper()
	var v struct{ ID, Token string }
	resp := w.do("POST", api+"/operators", `{"name":"`+name+`","role":"`+role+`"}`, nil)
	data, _ := io.ReadAll(resp.Body)
	must(w.t, json.Unmarshal(data, &v, json.MatchCaseInsensitiveNames(true)))
	if v.Token == "" {
		w.t.Fatalf("%d %s", resp.StatusCode, data)
	}
	return v.ID, w.enrol(v.Token)
}

// TestNothingLeaks: an incident, a case and a signal are for one person. Whoever
// is not meant asks for everything there is, and is told what is said of what is
// not there: byte for byte, but for the name.
func TestNothingLeaks(t *testing.T) {
	w := filed(t)
	admin := w.token
	meant, meantToken := w.outsider("bea", "commander")
	_, outside := w.outsider("cy", "commander")
	_, auditor := w.outsider("dan", "auditor")
	const secretWord = "zanzibar"
	need := `"marking":{"tlp":"RED","need_to_know":{"operators":["` + meant + `"]}}`
	w.token = meantToken
	w.ok(201, "POST", "/incidents", `{"title":"everybody knows"}`, nil)
	w.ok(201, "POST", "/signals", `{"type":"t","source":"`+secretWord+`","title":"`+secretWord+`",`+need+`}`, nil)
	w.ok(201, "POST", "/incidents", `{"title":"`+secretWord+`","cases":["t-1"],`+need+`}`, nil)
	w.step("i-2/notes", `{"text":"`+secretWord+`"}`)
	w.ok(200, "POST", "/incidents/i-2/attachments?name="+secretWord+".txt", secretWord, nil, "Content-Type", "text/plain")
	w.step("i-2/hypotheses", `{"text":"`+secretWord+`"}`)
	w.create(strings.Replace(stopLarge, `"reason"`, `"incident":"i-2","reason"`, 1))
	// In an incident for all, a note and a file for one.
	w.step("i-1/notes", `{"text":"`+secretWord+`",`+need+`}`)
	w.ok(200, "POST", "/incidents/i-1/attachments?name="+secretWord+".txt&operators="+meant, secretWord, nil, "Content-Type", "text/plain")
	w.step("i-1/near-miss", `{"barrier":"b","pattern":"p"}`)
	w.step("i-2/near-miss", `{"barrier":"`+secretWord+`","pattern":"`+secretWord+`"}`)

	read := func(path string) (int, string) {
		resp := w.do("GET", api+path, "", nil)
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data)
	}
	routes := []string{"/signals", "/signals/s-1", "/signals/outcomes", "/cases", "/cases/t-1", "/incidents", "/incidents?kind=all&q=" + secretWord, "/incidents/i-1", "/incidents/i-2", "/incidents/i-1/timeline",
		"/incidents/i-2/timeline", "/incidents/i-2/attachments/a-1", "/incidents/i-1/attachments/a-1", "/near-misses", "/corrections", "/corrections/c-1", "/openc2", "/evidence", "/reviews", "/approvals", "/decisions", "/runs"}
	for n := range w.c.state.size {
		routes = append(routes, "/ledger/entries/"+itoa(n))
	}
	routes = append(routes, "/ledger/tile/entries/000.p/"+itoa(w.c.state.size))
	found := map[string]int{}
	for who, token := range map[string]string{"meant": meantToken, "outside": outside, "auditor": auditor} {
		w.token = token
		for _, path := range routes {
			status, text := read(path)
			if strings.Contains(text, secretWord) && !strings.Contains(path, "q="+secretWord) || strings.Contains(text, `"i-2"`) && status == 200 {
				found[who]++
				if who == "outside" {
					t.Errorf("%s tells: %d %s", path, status, text)
				}
			}
		}
	}
	if found["meant"] < 10 || found["auditor"] < 20 {
		t.Error("the test looks at nothing", found)
	}
	// What is not for one is as what is not there.
	w.token = outside
	for _, pair := range [][2]string{{"/incidents/i-2", "/incidents/i-9"}, {"/incidents/i-2/timeline", "/incidents/i-9/timeline"}, {"/incidents/i-2/attachments/a-1", "/incidents/i-9/attachments/a-1"},
		{"/signals/s-1", "/signals/s-9"}, {"/cases/t-1", "/cases/t-9"}, {"/incidents/i-1/attachments/a-1", "/incidents/i-1/attachments/a-9"}} {
		_, a := read(pair[0])
		_, b := read(pair[1])
		last := func(p string) string { return p[strings.LastIndexAny(p, "/")+1:] }
		if strings.NewReplacer("i-2", "i-9", "s-1", "s-9", "t-1", "t-9").Replace(a) != b && strings.ReplaceAll(a, last(pair[0]), last(pair[1])) != b {
			t.Errorf("%s:\n%s%s:\n%s", pair[0], a, pair[1], b)
		}
	}
	for i := range incidentTable { // every command, too
		rt := &incidentTable[i]
		if rt.method != "POST" || !strings.Contains(rt.path, "{id}") {
			continue
		}
		path, there := strings.TrimPrefix(rt.path, api), "i-2"
		if strings.Contains(rt.path, "/cases/") {
			there = "t-1"
		}
		bodies := map[string]string{"/notes": `{"text":"x"}`, "/status": `{"to":"contained"}`, "/severity": `{"severity":"SEV-1"}`, "/roles": `{"role":"scribe","operator":"op-1"}`, "/times": `{"name":"started_at","value":"2026","reason":"r"}`,
			"/hypotheses": `{"text":"x"}`, "/tasks": `{"text":"x"}`, "/describe": `{"title":"x"}`, "/near-miss": `{"barrier":"b","pattern":"p"}`, "/marking": `{"marking":{"tlp":"CLEAR"},"reason":"r"}`,
			"/close": `{"reason":"benign","text":"t"}`, "/merge": `{"into":"i-1","reason":"r"}`, "/split": `{"title":"x","reason":"r"}`, "/signals": `{"signals":["s-1"]}`, "/assess": `{"text":"x"}`, "/join": `{"incident":"i-1","reason":"r"}`,
			"/attachments": "x", "/reopen": `{"reason":"r"}`}
		suffix := path[strings.LastIndex(path, "/"):]
		if suffix == "/attachments" {
			path += "?name=x"
		}
		body := bodies[suffix]
		if body == "" {
			t.Fatal("no body for", suffix)
		}
		p := w.bad(404, "not_found", "POST", strings.Replace(path, "{id}", there, 1), body, "Content-Type", "text/plain")
		if strings.Contains(jsonText(p), secretWord) {
			t.Errorf("%s: %+v", path, p)
		}
	}
	for path, body := range map[string]string{"/corrections": strings.Replace(stopLarge, `"reason"`, `"incident":"i-2","reason"`, 1), "/incidents/i-1/merge": `{"into":"i-2","reason":"r"}`,
		"/incidents/i-1/close": `{"reason":"duplicate","of":"i-2","text":"t"}`, "/incidents": `{"title":"x","cases":["t-1"]}`, "/cases": `{"title":"x","signals":["s-1"]}`} {
		a := w.bad(422, "invalid_field", "POST", path, body)
		b := w.bad(422, "invalid_field", "POST", path, strings.NewReplacer("i-2", "i-9", "t-1", "t-9", "s-1", "s-9").Replace(body))
		if strings.NewReplacer("i-2", "i-9", "t-1", "t-9", "s-1", "s-9").Replace(jsonText(a)) != jsonText(b) {
			t.Errorf("%s: %+v, %+v", path, a, b)
		}
	}
	// The stream of events, from the beginning.
	for who, want := range map[string]bool{outside: false, auditor: true, meantToken: true} {
		w.token = who
		text := w.stream(t)
		if strings.Contains(text, secretWord) != want || strings.Contains(text, `"i-2"`) != want {
			t.Errorf("the stream tells %v, not %v", !want, want)
		}
		if !strings.Contains(text, "event: correction.created") || !strings.Contains(text, "everybody knows") {
			t.Error("the stream leaves out what all may see")
		}
	}
	w.token = admin
	w.bad(422, "invalid_field", "POST", "/incidents/i-1/marking", `{"marking":{"need_to_know":{"operators":["op-77"]}},"reason":"r"}`)
	w.token = outside
	w.bad(422, "invalid_field", "POST", "/incidents/i-1/marking", `{"marking":{"need_to_know":{"operators":["`+meant+`"]}}}`)
}

// stream is what the stream of events tells of all entries so far.
func (w *world) stream(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.c.Addr()+api+"/events", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Last-Event-ID", "0")
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	// A last entry that everybody hears of ends it; it comes live, behind the rest.
	var out strings.Builder
	go func() {
		_, _ = w.c.execute(context.Background(), system, func(*state, time.Time) ([]draft, error) {
			return []draft{{typeRemoved, removedBody{Name: "nobody", Reason: "end"}}}, nil
		})
	}()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		out.WriteString(lines.Text() + "\n")
		if lines.Text() == "event: "+typeRemoved {
			return out.String()
		}
	}
	t.Fatal("the stream ended:", lines.Err())
	return ""
}

// TestIncidentAnswersFitTheDocument holds real answers against their schemas.
func TestIncidentAnswersFitTheDocument(t *testing.T) {
	w := filed(t)
	doc := document(t)
	for _, tc := range []struct{ method, path, template, body string }{
		{"POST", "/signals", "/signals", `{"type":"t","source":"s","title":"x","dedup_key":"k","data":{"a":1},"marking":{"tlp":"GREEN","need_to_know":{"roles":["commander"]}}}`},
		{"POST", "/signals", "/signals", `{"type":"t","source":"s","title":"x","dedup_key":"k"}`},
		{"GET", "/signals", "/signals", ""}, {"GET", "/signals/s-1", "/signals/{id}", ""}, {"GET", "/signals/outcomes", "/signals/outcomes", ""},
		{"POST", "/cases", "/cases", `{"title":"x","severity":"SEV-2"}`}, {"GET", "/cases", "/cases", ""}, {"GET", "/cases/t-1", "/cases/{id}", ""},
		{"POST", "/cases/t-1/assess", "/cases/{id}/assess", `{"text":"x"}`}, {"POST", "/cases/t-2/close", "/cases/{id}/close", `{"reason":"benign","text":"t"}`}, {"POST", "/cases/t-2/reopen", "/cases/{id}/reopen", `{"reason":"r"}`},
		{"POST", "/incidents", "/incidents", `{"title":"x","cases":["t-1"],"harm":[{"harm":"hazard","status":"suspected","text":"t"}],"subject":{"models":["m"]}}`},
		{"POST", "/cases/t-2/join", "/cases/{id}/join", `{"incident":"i-1","reason":"r"}`},
		{"POST", "/incidents/i-1/notes", "/incidents/{id}/notes", `{"text":"n","refs":["c-1"],"personal":true}`},
		{"POST", "/incidents/i-1/roles", "/incidents/{id}/roles", `{"role":"scribe","operator":"op-1"}`}, {"POST", "/incidents/i-1/roles", "/incidents/{id}/roles", `{"role":"scribe","operator":"op-1","end":true}`},
		{"POST", "/incidents/i-1/times", "/incidents/{id}/times", `{"name":"started_at","value":"2026-11","reason":"r"}`}, {"POST", "/incidents/i-1/times", "/incidents/{id}/times", `{"name":"ended_at","value":"2025","reason":"r"}`},
		{"POST", "/incidents/i-1/hypotheses", "/incidents/{id}/hypotheses", `{"text":"x","confidence":0.2,"for":[{"text":"e","ref":"a-1"}]}`}, {"POST", "/incidents/i-1/tasks", "/incidents/{id}/tasks", `{"text":"x","due":"2100-01-01T00:00:00Z"}`},
		{"POST", "/incidents/i-1/attachments?name=a.txt&tlp=GREEN", "/incidents/{id}/attachments", "plain"},
		{"POST", "/incidents/i-1/near-miss", "/incidents/{id}/near-miss", `{"barrier":"b","pattern":"p"}`}, {"GET", "/near-misses", "/near-misses", ""},
		{"POST", "/incidents/i-1/marking", "/incidents/{id}/marking", `{"marking":{"tlp":"AMBER+STRICT"},"reason":"r"}`}, {"POST", "/incidents/i-1/describe", "/incidents/{id}/describe", `{"title":"y"}`},
		{"POST", "/incidents/i-1/split", "/incidents/{id}/split", `{"title":"z","reason":"r"}`}, {"POST", "/incidents/i-2/merge", "/incidents/{id}/merge", `{"into":"i-1","reason":"r"}`},
		{"GET", "/incidents", "/incidents", ""}, {"GET", "/incidents/i-1", "/incidents/{id}", ""}, {"GET", "/incidents/i-2", "/incidents/{id}", ""},
		{"GET", "/incidents/i-1/timeline?limit=3", "/incidents/{id}/timeline", ""}, {"GET", "/incidents/i-1/timeline?before=9999&limit=3", "/incidents/{id}/timeline", ""},
		{"POST", "/incidents/i-1/tasks", "/incidents/{id}/tasks", `{"id":"k-1","status":"done"}`}, {"POST", "/incidents/i-1/close", "/incidents/{id}/close", `{"reason":"near_miss","text":"t"}`},
		{"POST", "/incidents/i-1/reopen", "/incidents/{id}/reopen", `{"reason":"r"}`}, {"DELETE", "/incidents/i-1/attachments/a-1?reason=r", "/incidents/{id}/attachments/{attachment}", ""},
		{"GET", "/incidents/i-1/attachments/a-1", "/incidents/{id}/attachments/{attachment}", ""},
		{"GET", "/incidents?open=maybe", "/incidents", ""}, {"GET", "/incidents?x=1", "/incidents", ""}, {"GET", "/incidents?limit=0", "/incidents", ""}, {"GET", "/incidents/i-1/timeline?after=1&before=2", "/incidents/{id}/timeline", ""},
	} {
		wrong := strings.Contains(tc.path, "maybe") || strings.Contains(tc.path, "x=1") || strings.Contains(tc.path, "limit=0") || strings.Contains(tc.path, "before=2") || tc.method == "GET" && strings.HasSuffix(tc.path, "/a-1")
		if status := w.answerFits(doc, tc.method, tc.path, tc.template, tc.body); wrong != (status >= 400) {
			t.Errorf("%s %s: %d", tc.method, tc.path, status)
		}
	}
}

// TestCorrectionsAndTheirIncidents: a correction names an incident that is there,
// is not over, and is as real as it is.
func TestCorrectionsAndTheirIncidents(t *testing.T) {
	w := filed(t)
	named := func(id string) string {
		return strings.Replace(stopLarge, `"reason"`, `"incident":"`+id+`","reason"`, 1)
	}
	for _, path := range []string{"/corrections", "/corrections/preview"} {
		if p := w.bad(422, "invalid_field", "POST", path, named("i-1")); p.Field != "incident" || p.Hint == "" {
			t.Errorf("%+v", p)
		}
	}
	w.open(`{"title":"a drill","kind":"exercise"}`)
	w.bad(422, "invalid_field", "POST", "/corrections", named("i-1"))
	w.create(strings.Replace(named("i-1"), `"reason"`, `"mode":"shadow","reason"`, 1))
	w.open(`{"title":"real"}`)
	w.open(`{"title":"the same"}`)
	w.step("i-3/merge", `{"into":"i-2","reason":"one cause"}`)
	if v := w.create(named("i-3")); v.Incident != "i-2" {
		t.Error("the correction is of", v.Incident)
	}
	w.bad(409, "out_of_order", "POST", "/incidents/i-2/close", `{"reason":"benign","text":"t"}`)
	w.step("i-2/close", `{"reason":"benign","text":"t","owners":{"c-2":"op-1"}}`)
	w.bad(409, "out_of_order", "POST", "/corrections", named("i-2"))
	w.bad(409, "out_of_order", "POST", "/corrections", named("i-3"))
	// No figure counts the exercise.
	var list incidentList
	w.ok(200, "GET", "/incidents", "", &list)
	if list.Total != 2 || list.ByStatus["closed"] != 2 {
		t.Errorf("%s", jsonText(list))
	}
	w.ok(200, "GET", "/incidents?kind=exercise", "", &list)
	if list.Total != 1 {
		t.Errorf("%s", jsonText(list))
	}
}

// TestPagesOfAList: page after page gives each once, and the counts agree.
func TestPagesOfAList(t *testing.T) {
	w := filed(t)
	for range 7 {
		w.open(`{"title":"x"}`)
	}
	var got []string
	after := ""
	for {
		var list incidentList
		w.ok(200, "GET", "/incidents?limit=3"+after, "", &list)
		if list.Total != 7 {
			t.Fatal(list.Total)
		}
		for _, v := range list.Incidents {
			got = append(got, v.ID)
		}
		if list.After == "" {
			break
		}
		after = "&after=" + list.After
	}
	if strings.Join(got, " ") != "i-7 i-6 i-5 i-4 i-3 i-2 i-1" {
		t.Error(got)
	}
	for range 5 {
		w.step("i-1/notes", `{"text":"n"}`)
	}
	var seqs []uint64
	query := "?limit=2"
	for {
		p := w.timeline("i-1", query)
		for _, e := range p.Entries {
			seqs = append(seqs, e.Seq)
		}
		if p.After == nil {
			break
		}
		query = "?limit=2&after=" + itoa(*p.After)
	}
	if len(seqs) != 6 || !slices.IsSorted(seqs) {
		t.Error(seqs)
	}
	last := w.timeline("i-1", "?limit=2&before=9999")
	if len(last.Entries) != 2 || last.Entries[1].Seq != seqs[5] || last.Before == nil || *last.Before != seqs[4] {
		t.Errorf("%s", jsonText(last))
	}
}

// TestFilesThatWereRemoved: the bytes go once no incident holds them any more, and
// a start makes up for what a crash has kept.
func TestFilesThatWereRemoved(t *testing.T) {
	w := filed(t)
	w.open(`{"title":"x"}`)
	w.open(`{"title":"y"}`)
	for _, id := range []string{"i-1", "i-2"} {
		w.ok(200, "POST", "/incidents/"+id+"/attachments?name=a.txt", "the same bytes", nil, "Content-Type", "text/plain")
	}
	remove := func(id string) {
		w.ok(200, "DELETE", "/incidents/"+id+"/attachments/a-1?reason=asked", "", nil)
		w.bad(410, "attachment_gone", "GET", "/incidents/"+id+"/attachments/a-1", "")
		w.bad(409, "out_of_order", "DELETE", "/incidents/"+id+"/attachments/a-1?reason=asked", "")
	}
	remove("i-1")
	if resp := w.do("GET", api+"/incidents/i-2/attachments/a-1", "", nil); resp.StatusCode != 200 {
		t.Fatal("removed from the other incident as well")
	}
	remove("i-2")
	if w.c.files.Used() != 0 {
		t.Fatal("the bytes are still there")
	}
	if _, err := w.c.files.Put([]byte("the same bytes")); err != nil { // as after a crash between the entry and the disk
		t.Fatal(err)
	}
	w.c.dropFiles()
	if w.c.files.Used() != 0 {
		t.Error("a start does not make up for it")
	}
}
