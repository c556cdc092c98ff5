package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"andon/bus"
	"andon/ledger"
	"andon/order"
)

// sealing is a world that has a folder for evidence.
func sealing(t *testing.T) *world {
	dir := t.TempDir()
	return newWorld(t, func(c *Config) { c.Evidence, c.Attachments = dir, filepath.Join(dir, "a") })
}

// snapshots lets a fake gateway answer for evidence.
func (g *gate) snapshots(answer func(order.SnapshotAsk) []byte) {
	g.w.t.Helper()
	_, err := g.bus.Subscribe(order.Named(order.SubjectSnapshot, g.name), func(m bus.Msg) {
		q, err := order.OpenSnapshotAsk(m.Data, order.Trust{Control: []order.PublicKey{g.w.signer.Public()}})
		if err != nil || q.Gateway != g.name {
			g.w.t.Errorf("an ask that no gateway would answer: %v %+v", err, q)
		}
		if data := answer(q); data != nil {
			m.Respond(data)
		}
	})
	must(g.w.t, err)
	must(g.w.t, g.bus.Flush(g.w.t.Context()))
}

func encoded(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// honest is what a gateway says.
func honest(name, prompt string) func(order.SnapshotAsk) []byte {
	return func(q order.SnapshotAsk) []byte {
		sum := sha256.Sum256([]byte(prompt))
		q.Revision = max(q.Revision, 1)
		return encoded(order.Snapshot{Gateway: name, Boot: "b", Ruling: order.SnapshotRuling{Revision: q.Revision - 1}, Captured: &order.Captured{Before: q.Revision - 1, Revision: q.Revision},
			Prompts: []order.SnapshotPrompts{{Model: "sim-large", Seen: 3, Prompts: []order.SnapshotPrompt{{SHA256: hex.EncodeToString(sum[:]), Bytes: len(prompt), Count: 3, Text: prompt}}}}})
	}
}

// sealed waits until an evidence is sealed.
func (w *world) sealed(id string) evidenceView {
	w.t.Helper()
	var v evidenceView
	soon(w.t, id+" is sealed", func() bool {
		w.ok(200, "GET", "/evidence/"+id, "", &v)
		return v.State == evidenceIsSealed
	})
	return v
}

func (w *world) content(id string) (evidenceDoc, []byte) {
	w.t.Helper()
	resp := w.do("GET", api+"/evidence/"+id+"/content", "", nil)
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode != 200 {
		w.t.Fatalf("%d %s", resp.StatusCode, data)
	}
	var d evidenceDoc
	must(w.t, json.Unmarshal(data, &d, json.RejectUnknownMembers(true)))
	return d, data
}

const stopInIncident = `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"incident":"i-1","reason":"drill"}`

func TestEvidenceBeforeAnAlteration(t *testing.T) {
	w := sealing(t)
	w.gate("gw-1", true).snapshots(honest("gw-1", `{"role":"system","content":"prompt of acme"}`))
	w.gate("gw-2", true).snapshots(honest("gw-2", `{"role":"system","content":"prompt of acme"}`))
	w.open(`{"title":"odd answers"}`)
	w.create(`{"kind":"access","params":{"mode":"block"},"scope":{"users":["u"]},"incident":"i-1","reason":"r"}`) // says who, and alters nothing
	var list evidenceList
	if w.ok(200, "GET", "/evidence", "", &list); len(list.Evidence) != 0 {
		t.Fatalf("%s", jsonText(list))
	}
	w.create(stopInIncident)
	v := w.sealed("e-1")
	if v.Before != 2 || v.Asked != 2 || v.Answered != 2 || len(v.Missing) != 0 || v.Incident != "i-1" || len(v.Models) != 1 || v.Corrections[0] != "c-2" || v.Stored != "intact" {
		t.Fatalf("%s", jsonText(v))
	}
	d, data := w.content("e-1")
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != v.SHA256 || int64(len(data)) != v.Size {
		t.Error("the content is not what the entry says")
	}
	if len(d.Points) != 2 || d.Points[0].Captured.Revision != 2 || len(d.Texts) != 1 || len(d.Corrections) != 1 || d.Corrections[0].Correction.ID != "c-1" ||
		len(d.Table) != 2 || d.Ledger.Checkpoint == "" || len(d.Incidents) != 1 || d.Config.Digest == "" {
		t.Errorf("%s", data)
	}
	for _, text := range d.Texts {
		if text != `{"role":"system","content":"prompt of acme"}` {
			t.Error(text)
		}
	}
	// No text of a caller in the record, or in a log; the timeline tells of it.
	var lines []string
	must(t, w.log.Read(t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		lines = append(lines, e.Type+" "+string(e.Body))
		return nil
	}))
	if text := strings.Join(lines, "\n") + w.logs.String(); strings.Contains(text, "prompt of acme") {
		t.Error("a prompt stands outside the document")
	}
	told := jsonText(w.timeline("i-1", ""))
	if !strings.Contains(told, "evidence e-1 is due: what stood before revision 2") || !strings.Contains(told, "evidence e-1 sealed") {
		t.Error(told)
	}
	// The lift alters it, too; and one asked for by hand is of what stands.
	w.ok(200, "POST", "/corrections/c-2/lift", `{"reason":"done"}`, nil)
	if v = w.sealed("e-2"); v.Before != 3 || v.Corrections[0] != "c-2" {
		t.Errorf("%s", jsonText(v))
	}
	if d, _ = w.content("e-2"); len(d.Corrections) != 2 {
		t.Errorf("%s", jsonText(d.Corrections))
	}
	w.ok(201, "POST", "/evidence", `{"incident":"i-1","reason":"by hand","system_prompts":false}`, &v)
	if v.ID != "e-3" || v.State != evidenceIsSealed || v.Before != 0 || v.By != "op-1" {
		t.Errorf("%s", jsonText(v))
	}
	// Whoever has the document and the proof needs nothing else.
	var p evidenceProof
	w.ok(200, "GET", "/evidence/e-1/proof", "", &p)
	key, err := note.NewVerifier(w.vkey)
	must(t, err)
	must(t, ledger.VerifyProof([]byte(p.Entry), []byte(p.Proof), key))
	if !strings.Contains(p.Entry, hex.EncodeToString(sum[:])) {
		t.Error(p.Entry)
	}
	w.restart()
	w.ok(200, "GET", "/evidence?incident=i-1&state=sealed&limit=2", "", &list)
	if len(list.Evidence) != 2 || list.After != "e-2" {
		t.Errorf("%s", jsonText(list))
	}
}

func TestEvidenceThatIsSkippedIsRecorded(t *testing.T) {
	w := sealing(t)
	w.open(`{"title":"x"}`)
	w.bad(400, "invalid_query", "POST", "/corrections?evidence=skip", stopInIncident)
	w.bad(400, "invalid_query", "POST", "/corrections?evidence=later", stopInIncident)
	w.bad(400, "invalid_query", "POST", "/corrections?evidence_reason=x", stopInIncident)
	size := w.log.Size()
	w.ok(201, "POST", "/corrections?evidence=skip&evidence_reason=lives+at+stake", stopInIncident, nil)
	var v evidenceView
	w.ok(200, "GET", "/evidence/e-1", "", &v)
	if v.State != evidenceIsSkipped || v.Reason != "lives at stake" || v.By != "op-1" || w.log.Size() < size+2 || v.First != size+1 {
		t.Errorf("%s", jsonText(v))
	}
	if p := w.bad(409, "evidence_missing", "GET", "/evidence/e-1/content", ""); !strings.Contains(p.Detail, "lives at stake") {
		t.Error(p.Detail)
	}
	if told := jsonText(w.timeline("i-1", "")); !strings.Contains(told, "evidence SKIPPED (e-1)") {
		t.Error(told)
	}
	// Without an incident it is taken where it is asked for.
	w.ok(201, "POST", "/corrections?evidence=take", stopLarge, nil)
	if v = w.sealed("e-2"); len(v.Missing) == 0 || v.Missing[0].Why != "no enforcement point is live" {
		t.Errorf("%s", jsonText(v))
	}
	w.create(stopLarge)
	w.bad(404, "not_found", "GET", "/evidence/e-3", "")
}

func TestEvidenceSaysWhatIsMissing(t *testing.T) {
	w := sealing(t)
	prompt := `"p"`
	w.gate("gw-1", true).snapshots(honest("gw-1", prompt))
	w.gate("gw-2", true) // does not answer
	w.gate("gw-3", true).snapshots(func(q order.SnapshotAsk) []byte { return make([]byte, q.Bytes+1) })
	w.gate("gw-4", true).snapshots(honest("gw-1", `"forged"`))
	w.gate("gw-5", true).snapshots(func(order.SnapshotAsk) []byte { return []byte(`{"gateway":"gw-5","gateway":"gw-5"}`) })
	w.gate("gw-6", true).snapshots(func(q order.SnapshotAsk) []byte {
		return []byte(strings.Replace(string(honest("gw-6", `"true"`)(q)), `\"true\"`, `\"false\"`, 1))
	})
	var v evidenceView
	began := time.Now()
	w.ok(201, "POST", "/evidence", `{"models":["sim-large"],"reason":"r"}`, &v)
	if took := time.Since(began); took > 15*evidenceTime {
		t.Error("one that does not answer held it up for", took)
	}
	if v.Asked != 6 || v.Answered != 2 {
		t.Errorf("%s", jsonText(v))
	}
	for i, want := range []string{"gw-2 everything it did not answer", "gw-3 everything its answer has 8388609 bytes", "gw-4 everything it answered as another: gw-1", "gw-5 everything its answer cannot be read", "gw-6 system_prompts a text is not what its digest says"} {
		if i >= len(v.Missing) || !strings.HasPrefix(fmt.Sprint(v.Missing[i].Point, " ", v.Missing[i].What, " ", v.Missing[i].Why), want) {
			t.Errorf("%s: %s", want, jsonText(v.Missing))
		}
	}
	d, _ := w.content(v.ID)
	if len(d.Texts) != 1 || d.Points[0].Gateway != "gw-1" || d.Points[1].Gateway != "gw-6" {
		t.Errorf("%s", jsonText(d.Texts))
	}
	for _, text := range d.Texts {
		if text != prompt {
			t.Error("forged:", text)
		}
	}
}

func TestEvidenceThatWasTamperedWith(t *testing.T) {
	w := sealing(t)
	var v evidenceView
	w.ok(201, "POST", "/evidence", `{"reason":"r"}`, &v)
	name := filepath.Join(w.c.cfg.Evidence, v.SHA256[:2], v.SHA256)
	data, err := os.ReadFile(name)
	must(t, err)
	other := []byte(strings.Replace(string(data), `"reason":"r"`, `"reason":"s"`, 1))
	must(t, os.WriteFile(name, other, 0o600))
	if p := w.bad(500, "evidence_lost", "GET", "/evidence/e-1/content", ""); !strings.Contains(p.Detail, v.SHA256) {
		t.Error(p.Detail)
	}
	if !strings.Contains(w.logs.String(), "ALARM: evidence is not on the disk as it was sealed") {
		t.Error("no alarm")
	}
	must(t, os.Remove(name))
	if w.ok(200, "GET", "/evidence/e-1", "", &v); v.Stored != "lost" {
		t.Errorf("%s", jsonText(v))
	}
	w.bad(500, "evidence_lost", "GET", "/evidence/e-1/content", "")
}

// A crash between document and entry leaves a file that nobody is shown; what was due
// is taken after the restart.
func TestEvidenceSurvivesACrash(t *testing.T) {
	w := sealing(t)
	w.open(`{"title":"x"}`)
	w.log.mu.Lock()
	w.log.fail = ledger.ErrFull // between the document and its entry
	w.log.mu.Unlock()
	if resp := w.do("POST", api+"/evidence", `{"reason":"r"}`, nil); resp.StatusCode < 500 {
		t.Fatal(resp.StatusCode)
	}
	w.restart()
	var list evidenceList
	if w.ok(200, "GET", "/evidence", "", &list); len(list.Evidence) != 0 {
		t.Fatalf("%s", jsonText(list))
	}
	if n, err := filepath.Glob(filepath.Join(w.c.cfg.Evidence, "??", "*")); err != nil || len(n) != 1 {
		t.Errorf("the document was to be there before the entry: %v %v", n, err)
	}
	// Due, and the process ends before it was taken.
	w.gate("gw-1", false) // never enforces: it is waited for
	w.create(stopInIncident)
	w.stop()
	w.start()
	if v := w.sealed("e-1"); v.Before != 1 || v.Corrections[0] != "c-1" {
		t.Errorf("%s", jsonText(v))
	}
	if d, _ := w.content("e-1"); len(d.Corrections) != 0 {
		t.Errorf("what altered it is told as what stood: %s", jsonText(d.Corrections))
	}
}

// A stop waits for no gateway, however slow.
func TestAStopDoesNotWaitForEvidence(t *testing.T) {
	w := sealing(t)
	w.gate("gw-1", false).snapshots(func(order.SnapshotAsk) []byte { return nil })
	w.open(`{"title":"x"}`)
	answered := make(chan struct{})
	release := sync.OnceFunc(func() { close(answered) })
	defer release()
	late := time.AfterFunc(30*time.Second, release)
	entries := 0
	w.log.mu.Lock()
	w.log.each = func() error { // the stop's own entry, and what comes after it: the evidence
		if entries++; entries > 1 {
			<-answered
		}
		return nil
	}
	w.log.mu.Unlock()
	w.create(stopInIncident)
	if !late.Stop() {
		t.Error("it was answered only after what comes after it")
	}
	if w.revision() != 1 {
		t.Error("not issued")
	}
}

// Who may not know of an incident is not told of its evidence.
func TestEvidenceIsForThoseWhoNeedToKnow(t *testing.T) {
	w := sealing(t)
	_, token := w.outsider("eve", "responder")
	w.open(`{"title":"x","marking":{"tlp":"RED","need_to_know":{"operators":["op-1"]}}}`)
	w.create(stopInIncident)
	w.sealed("e-1")
	w.ok(201, "POST", "/evidence", `{"reason":"open to all"}`, nil)
	mine := w.token
	w.token = token
	for _, path := range []string{"/evidence/e-1", "/evidence/e-1/content", "/evidence/e-1/proof"} {
		w.bad(404, "not_found", "GET", path, "")
	}
	w.bad(422, "invalid_field", "POST", "/evidence", `{"incident":"i-1","reason":"r"}`)
	var list evidenceList
	if w.ok(200, "GET", "/evidence", "", &list); len(list.Evidence) != 1 || list.Evidence[0].ID != "e-2" {
		t.Errorf("%s", jsonText(list))
	}
	if _, data := w.content("e-2"); strings.Contains(string(data), "i-1") {
		t.Error("the incident is named in another's evidence")
	}
	w.token = mine
	w.content("e-1")
}

func TestEvidenceAsksThatAreRefused(t *testing.T) {
	w := sealing(t)
	w.bad(422, "invalid_field", "POST", "/evidence", `{"models":["sim-large"]}`)
	if p := w.bad(422, "unknown_model", "POST", "/evidence", `{"models":["sim-larg"],"reason":"r"}`); p.Field != "models[0]" || len(p.Allowed) != 2 {
		t.Errorf("%+v", p)
	}
	w.bad(422, "invalid_field", "POST", "/evidence", `{"incident":"i-9","reason":"r"}`)
	w.bad(400, "unknown_field", "POST", "/evidence", `{"point":"gw-1","reason":"r"}`)
	w.bad(400, "invalid_query", "GET", "/evidence?state=taken", "")
	w.bad(400, "invalid_query", "GET", "/evidence?after=1", "")
	for _, id := range []string{"e-0", "e-1", "e-01", "1", "e--1"} {
		w.bad(404, "not_found", "GET", "/evidence/"+id, "")
	}
	none := newWorld(t, nil)
	none.bad(503, "unavailable", "POST", "/evidence", `{"reason":"r"}`)
	none.bad(503, "unavailable", "POST", "/corrections?evidence=take", stopLarge)
	if none.revision() != 0 {
		t.Error("something was applied")
	}
}

// Entries that contradict those before them are not followed.
func TestEvidenceFoldRefuses(t *testing.T) {
	good := evidenceSealedBody{evidenceBody: evidenceBody{ID: "e-1", Reason: "r"}, SHA256: strings.Repeat("0", 64), Size: 1}
	for name, tc := range map[string]struct {
		kind string
		body any
		ok   bool
	}{
		"sealed": {typeEvidenceSealed, good, true}, "due": {typeEvidenceDue, good.evidenceBody, true}, "skipped": {typeEvidenceSkipped, good.evidenceBody, true},
		"a number left out": {typeEvidenceDue, evidenceBody{ID: "e-2"}, false},
		"no digest":         {typeEvidenceSealed, evidenceSealedBody{evidenceBody: good.evidenceBody, Size: 1}, false},
		"no size":           {typeEvidenceSealed, evidenceSealedBody{evidenceBody: good.evidenceBody, SHA256: good.SHA256}, false},
		"unknown member":    {typeEvidenceDue, map[string]any{"id": "e-1", "reason": "r", "x": 1}, false},
	} {
		s := newState()
		_, err := s.fold(ledger.Entry{Type: tc.kind, At: time.Now(), Actor: "op-1", Body: body(tc.body)})
		if (err == nil) != tc.ok || !tc.ok && len(s.evidence.list) != 0 {
			t.Errorf("%s: %v", name, err)
		}
		if tc.kind != typeEvidenceDue && tc.ok {
			_, err = s.fold(ledger.Entry{Seq: 1, Type: typeEvidenceSealed, At: time.Now(), Actor: "op-1", Body: body(good)})
			if !errors.Is(err, errForm) {
				t.Errorf("%s, and sealed again: %v", name, err)
			}
		}
	}
}
