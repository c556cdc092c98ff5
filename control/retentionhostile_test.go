package control

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"andon/ledger"
)

// TestAHoldOfPromptsHoldsTheEvidence: they are in the document, which would take
// them with it.
func TestAHoldOfPromptsHoldsTheEvidence(t *testing.T) {
	w := retaining(t, alone, "evidence 10d")
	w.ok(201, "POST", "/evidence", `{"reason":"one"}`, nil)
	w.ok(201, "POST", "/retention/holds", `{"of":"prompts","reason":"court"}`, nil)
	w.later(12 * aDay)
	w.erasesNothing()
	if w.disk("prompt of acme") == nil {
		t.Error("prompts that are held are gone")
	}
	w.ok(200, "POST", "/retention/holds/lh-1/release", `{"reason":"settled"}`, nil)
	w.later(25 * time.Hour)
	w.erases("evidence", 1)
}

// TestNobodyTakesTheRoomForHolds: somebody who places as many as there can be keeps
// nobody else from placing one.
func TestNobodyTakesTheRoomForHolds(t *testing.T) {
	w := retaining(t, alone, "evidence 10d")
	res, other := w.joins("res", "responder"), w.joins("other", "approver")
	n, refused := 0, (*Problem)(nil)
	for ; n <= maxRetentionHolds && refused == nil; n++ {
		_, refused, _ = w.by(res, "POST", "/retention/holds", `{"of":"evidence","reason":"r"}`)
	}
	if refused == nil || refused.Code != "too_many_holds" || n > maxRetentionHolds/2 {
		t.Fatalf("%d holds: %v", n, refused)
	}
	w.good(other, "POST", "/retention/holds", `{"of":"everything","reason":"court"}`, nil)
}

// TestAHoldIsOfWhatIsHere: gateways keep the records of requests, and know no holds.
func TestAHoldIsOfWhatIsHere(t *testing.T) {
	w := retaining(t, alone, "evidence 10d")
	if p := w.bad(422, "invalid_field", "POST", "/retention/holds", `{"of":"requests","reason":"court"}`); !strings.Contains(p.Detail, "gateway.record.keep") {
		t.Error(p.Detail)
	}
}

// TestOneDocumentKeepsNoOther: what cannot be read is said, and the rest goes.
func TestOneDocumentKeepsNoOther(t *testing.T) {
	w := retaining(t, alone, "evidence 40d", "prompts 10d", "incidents 10d")
	w.filled()
	w.closes("i-1")
	w.ok(201, "POST", "/evidence", `{"reason":"two"}`, nil)
	var e evidenceView
	w.ok(200, "GET", "/evidence/e-2", "", &e)
	// A document of another make, sealed as it is.
	odd := []byte(`{"missing":[]}`)
	digest, err := w.c.evidence.store.Put(odd)
	must(t, err)
	_, err = w.c.execute(t.Context(), system, func(s *state, _ time.Time) ([]draft, error) {
		b := s.evidence.find("e-2").body()
		b.ID = s.evidence.next()
		return []draft{{typeEvidenceSealed, evidenceSealedBody{evidenceBody: b, SHA256: digest, Size: int64(len(odd))}}}, nil
	})
	must(t, err)
	w.later(12 * aDay)
	must(t, w.c.retain(t.Context(), &retentionKeeper{lost: map[string]bool{}}))
	w.erases("prompts", 2)
	w.erases("incidents", 2)
	if !strings.Contains(w.logs.String(), "e-3") {
		t.Error("nobody is told of the document that cannot be read")
	}
}

// TestAFullDiskKeepsNothingElse: where the document that stays cannot be written,
// its prompts wait, and the rest goes.
func TestAFullDiskKeepsNothingElse(t *testing.T) {
	w := retaining(t, alone, "evidence 40d", "prompts 10d", "incidents 10d")
	w.filled()
	w.closes("i-1")
	w.later(9 * aDay)
	// Every folder that a document can go to is a file: nothing is written any more.
	entries, err := os.ReadDir(w.c.cfg.Evidence)
	must(t, err)
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = true
	}
	for i := range 256 {
		if name := fmt.Sprintf("%02x", i); !there[name] {
			must(t, os.WriteFile(w.c.cfg.Evidence+"/"+name, nil, 0o600))
		}
	}
	w.later(3 * aDay)
	w.erases("incidents", 2)
}

// TestAHoldOfAConcernIsTheDesks: whoever may not see the hold is not told of it by
// the record or its stream.
func TestAHoldOfAConcernIsTheDesks(t *testing.T) {
	w := retaining(t, alone, "concerns 10d")
	if _, p := w.anyone("POST", "/concerns", `{"topic":"misuse","text":"I saw it","contact":"room 4"}`, &receiptView{}); p != nil {
		t.Fatal(p)
	}
	w.open(`{"title":"x"}`) // from now on it matters who reads
	w.ok(201, "POST", "/retention/holds", `{"of":"k-1","reason":"the zebra complaint"}`, nil)
	w.ok(200, "POST", "/retention/holds/lh-1/release", `{"reason":"zebra settled"}`, nil)
	w.joins("vie", "viewer")
	vie := w.operatorNamed("vie")
	must(t, w.log.Read(context.Background(), 0, w.c.state.size, func(e ledger.Entry) error {
		if _, told := w.c.state.hears(vie, e); told && strings.Contains(string(e.Body), "zebra") {
			t.Errorf("%s: %s", e.Type, e.Body)
		}
		return nil
	}))
}

func (w *world) operatorNamed(name string) *operator {
	w.t.Helper()
	for _, op := range w.c.state.operators {
		if op.name == name {
			return op
		}
	}
	w.t.Fatalf("there is no operator %s", name)
	return nil
}

// TestASplitKeepsWhatItTook: entries stand on both timelines, so what they brought is
// kept until both are closed.
func TestASplitKeepsWhatItTook(t *testing.T) {
	w := retaining(t, alone, "evidence 10d", "incidents 10d")
	w.filled()
	w.ok(201, "POST", "/incidents/i-1/split", `{"title":"the tool","entries":[`+w.numbers("i-1")+`],"reason":"another matter"}`, nil)
	w.closes("i-1")
	w.later(12 * aDay)
	w.erasesNothing()
	if told := jsonText(w.retention("?state=held").Items); !strings.Contains(told, "incident i-2 is open") {
		t.Error(told)
	}
	w.closes("i-2")
	w.later(9 * aDay)
	w.erasesNothing()
	w.later(2 * aDay)
	w.erases("incidents", 2)
	w.erases("evidence", 1)
	w.sound()
}

// numbers are the entries of an incident's timeline.
func (w *world) numbers(id string) string {
	w.t.Helper()
	var page timelinePage
	w.ok(200, "GET", "/incidents/"+id+"/timeline", "", &page)
	var out []string
	for _, e := range page.Entries {
		out = append(out, fmt.Sprint(e.Seq))
	}
	return strings.Join(out, ",")
}

// TestWhatIsHeldNamesNoIncidentOfOthers: that it was merged into one for fewer people.
func TestWhatIsHeldNamesNoIncidentOfOthers(t *testing.T) {
	w := retaining(t, alone, "evidence 10d", "incidents 10d")
	w.filled()
	w.ok(201, "POST", "/incidents", `{"title":"for the few","marking":{"tlp":"RED","need_to_know":{"roles":["auditor"]}}}`, nil)
	w.ok(200, "POST", "/incidents/i-1/merge", `{"into":"i-2","reason":"r"}`, nil)
	w.later(12 * aDay)
	held := func(token string) string {
		var v retentionView
		w.good(token, "GET", "/retention?state=held", "", &v)
		return jsonText(v.Items)
	}
	if told := held(w.token); !strings.Contains(told, "incident i-2 is open") {
		t.Error(told)
	}
	if told := held(w.joins("com", "commander")); strings.Contains(told, "i-2") || !strings.Contains(told, "another incident is open") {
		t.Error(told)
	}
}
