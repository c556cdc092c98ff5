package control

import (
	"io"
	"net/http"
	"strings"
	"testing"

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
