package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/ledger"
	"andon/playbook"
)

// keeping is a playbook whose ladder begins with a snapshot.
const keeping = `{"name":"keeping","steps":[
 {"name":"keep","evidence":{"what":["orders"]}},
 {"name":"limit","correction":{"kind":"rate","params":{"metric":"requests","limit":5,"window":"1m"},"scope":{"models":["sim-large"]},"reason":"narrow"}}],"exit":["quiet"]}`

// takingWorld is a world with a clock, a folder for evidence, and a plan that has
// these playbooks.
func takingWorld(t *testing.T, books ...string) *world {
	t.Helper()
	dir := t.TempDir()
	w := newWorld(t, func(c *Config) { c.Evidence = filepath.Join(dir, "evidence") })
	w.stop()
	w.clock = &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	if len(books) > 0 {
		w.applyPlan(w.plan(books...), 0)
	}
	return w
}

// breakDisk makes the folder of evidence refuse everything until it is mended.
func (w *world) breakDisk() (mend func()) {
	w.t.Helper()
	dir := w.c.cfg.Evidence
	must(w.t, os.Rename(dir, dir+".away"))
	must(w.t, os.WriteFile(dir, nil, 0o600))
	return func() {
		w.t.Helper()
		must(w.t, os.Remove(dir))
		must(w.t, os.Rename(dir+".away", dir))
	}
}

// entriesOf are the entries whose type begins so, as text.
func (w *world) entriesOf(prefix string) (out []string) {
	w.t.Helper()
	must(w.t, w.log.Read(w.t.Context(), 0, w.log.Size(), func(e ledger.Entry) error {
		if strings.HasPrefix(e.Type, prefix) {
			out = append(out, e.Type+" "+string(e.Body))
		}
		return nil
	}))
	return out
}

func TestAnEvidenceStepSettlesItself(t *testing.T) {
	w := takingWorld(t, keeping)
	w.gate("gw-1", true).snapshots(honest("gw-1", `"p"`))
	w.gate("gw-2", true) // does not answer
	w.open(`{"title":"odd answers"}`)
	var v runView
	w.ok(201, "POST", "/runs", `{"playbook":"keeping","incident":"i-1","reason":"r"}`, &v)
	if s := v.step("limit"); s.State != "waiting" {
		t.Fatalf("the ladder did not wait for the snapshot: %s", jsonText(v))
	}
	p := w.bad(409, "run_state", "POST", "/runs/r-1/done", `{"step":"keep","note":"I looked"}`)
	if !strings.Contains(p.Detail, "takes the snapshot itself") {
		t.Error(p.Detail)
	}
	w.eventually(func() bool { return w.run("r-1").Steps[1].State == "done" })
	v = w.run("r-1")
	s := v.step("keep")
	if s.State != "done" || s.Evidence != "e-1" || !s.Auto || s.By != system || s.Note != "1 of 2 points answered; 1 things are missing: andon evidence show e-1" {
		t.Fatalf("%s", jsonText(s))
	}
	x := w.sealed("e-1")
	if x.Run != "r-1" || x.Step != "keep" || x.Incident != "i-1" || !slices.Equal(x.Models, []string{"sim-large"}) || x.Before != 0 || x.Answered != 1 || x.Reason != `step "keep" of r-1, playbook keeping` {
		t.Fatalf("%s", jsonText(x))
	}
	d, _ := w.content("e-1")
	if len(d.Corrections) != 0 || len(d.Runs) != 1 || d.Runs[0].ID != "r-1" {
		t.Errorf("it was not taken before the ladder went on: %s", jsonText(d.Corrections))
	}
	if told := jsonText(w.timeline("i-1", "")); !strings.Contains(told, `evidence e-1 is due: step`) || !strings.Contains(told, "evidence e-1 sealed") || !strings.Contains(told, `r-1: step done \"keep\": e-1: 1 of 2 points`) {
		t.Error(told)
	}
	was := jsonText(v)
	w.restart()
	if is := jsonText(w.run("r-1")); is != was {
		t.Errorf("after a restart:\n%s\n%s", is, was)
	}
	if got := w.entriesOf("evidence."); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// TestAnEvidenceStepThatFails stays open, says why and what to do, once; and is
// taken as soon as it can be.
func TestAnEvidenceStepThatFails(t *testing.T) {
	w := takingWorld(t, keeping)
	mend := w.breakDisk()
	w.ok(201, "POST", "/runs", `{"playbook":"keeping","reason":"r"}`, nil)
	w.eventually(func() bool { return w.run("r-1").Steps[0].Held != "" })
	v := w.run("r-1")
	if s := v.step("keep"); s.State != "ready" || s.Code != "evidence_missing" || !strings.HasPrefix(s.Held, "the disk refused it: ") || strings.Contains(s.Held, w.c.cfg.Evidence) {
		t.Fatalf("%s", jsonText(s))
	}
	if v.doing() != "skip keep" || !strings.Contains(v.Pending[0].What, "tried again by itself") {
		t.Fatalf("%s", jsonText(v.Pending))
	}
	// While the run is paused, the snapshot is sealed and settles nothing.
	w.ok(200, "POST", "/runs/r-1/pause", `{"reason":"shift changes"}`, nil)
	mend()
	w.sealed("e-1")
	if s := w.run("r-1").Steps[0]; s.State != "ready" {
		t.Fatalf("%s", jsonText(s))
	}
	w.restart()
	w.ok(200, "POST", "/runs/r-1/resume", `{}`, nil)
	w.eventually(func() bool { return w.run("r-1").Steps[1].State == "done" })
	if s := w.run("r-1").Steps[0]; s.Evidence != "e-1" || s.Held != "" {
		t.Fatalf("%s", jsonText(s))
	}
	if got := w.entriesOf("evidence."); len(got) != 2 {
		t.Errorf("it was taken more than once: %q", got)
	}
	if got := w.entriesOf("run.step_held"); len(got) != 1 {
		t.Errorf("it was said more than once: %q", got)
	}
}

// TestAnEvidenceStepIsSkipped by a person, with a reason; the run goes on without,
// and nothing is taken afterwards.
func TestAnEvidenceStepIsSkipped(t *testing.T) {
	w := takingWorld(t, keeping)
	mend := w.breakDisk()
	w.open(`{"title":"x"}`)
	w.ok(201, "POST", "/runs", `{"playbook":"keeping","incident":"i-1","reason":"r"}`, nil)
	w.eventually(func() bool { return w.run("r-1").Steps[0].Held != "" })
	w.bad(422, "invalid_field", "POST", "/runs/r-1/skip", `{"step":"keep"}`)
	var v runView
	w.ok(200, "POST", "/runs/r-1/skip", `{"step":"keep","reason":"lives at stake"}`, &v)
	if v.step("keep").State != "skipped" || v.step("limit").State != "done" {
		t.Fatalf("%s", jsonText(v))
	}
	var x evidenceView
	w.ok(200, "GET", "/evidence/e-1", "", &x)
	if x.State != evidenceIsSkipped || x.Reason != "lives at stake" || x.By != "op-1" {
		t.Errorf("%s", jsonText(x))
	}
	mend()
	w.restart()
	w.ok(201, "POST", "/evidence", `{"reason":"another"}`, nil) // the keeper has had its turn
	if w.ok(200, "GET", "/evidence/e-1", "", &x); x.State != evidenceIsSkipped {
		t.Errorf("%s", jsonText(x))
	}
	if told := jsonText(w.timeline("i-1", "")); !strings.Contains(told, "evidence SKIPPED (e-1), r-1 goes on without: lives at stake") {
		t.Error(told)
	}
	// Without a folder for evidence the step says so, and waits for a person.
	none := playWorld(t, keeping)
	none.ok(201, "POST", "/runs", `{"playbook":"keeping","reason":"r"}`, nil)
	none.c.tidy(t.Context())
	if v = none.run("r-1"); v.step("keep").Held != "no folder for evidence is configured" || v.doing() != "skip keep" {
		t.Fatalf("%s", jsonText(v))
	}
	none.ok(200, "POST", "/runs/r-1/skip", `{"step":"keep","reason":"none here"}`, &v)
	if v.step("limit").State != "done" || len(none.entriesOf("evidence.")) != 0 {
		t.Fatalf("%s", jsonText(v))
	}
}

// TestEvidenceStepsOfManyRuns: each has its own, of the models that it names; one
// that nobody serves is said to be missing and holds nothing up.
func TestEvidenceStepsOfManyRuns(t *testing.T) {
	w := takingWorld(t)
	w.gate("gw-1", true).snapshots(honest("gw-1", `"p"`))
	for n, model := range []string{"sim-large", "sim-small", "sim-gone"} {
		w.ok(201, "POST", "/runs", fmt.Sprintf(`{"inline":{"name":"x","steps":[{"name":"a","after":["start"],"evidence":{"models":[%q]}},{"name":"b","after":["start"],"evidence":{}}],"exit":["x"]},"vars":{},"reason":"run %d","again":true}`, model, n), nil)
	}
	models := map[string]bool{}
	w.eventually(func() bool { return len(w.entriesOf(typeEvidenceSealed)) == 6 })
	for n := 1; n <= 6; n++ {
		x := w.sealed(fmt.Sprintf("e-%d", n))
		models[x.Run+x.Step+strings.Join(x.Models, " ")] = true
		if gone := slices.Equal(x.Models, []string{"sim-gone"}); gone != slices.ContainsFunc(x.Missing, func(g evidenceGap) bool { return g.What == "models" }) {
			t.Errorf("%s", jsonText(x))
		}
	}
	if len(models) != 6 || !models["r-3asim-gone"] || !models["r-2b"] {
		t.Errorf("%v", models)
	}
	for n := 1; n <= 3; n++ {
		if v := w.run(fmt.Sprintf("r-%d", n)); v.doing() != "met " {
			t.Errorf("%s", jsonText(v))
		}
	}
}

// Entries that contradict those before them are not followed.
func TestEvidenceOfStepsFoldRefuses(t *testing.T) {
	due := evidenceBody{ID: "e-1", Run: "r-1", Step: "keep", Reason: "r"}
	sealed := evidenceSealedBody{evidenceBody: due, SHA256: strings.Repeat("0", 64), Size: 1}
	other := sealed
	other.Step = "b"
	done := playbook.Event{Run: "r-1", Step: "keep", Evidence: "e-1"}
	at := time.Now()
	for name, tc := range map[string]struct {
		drafts []draft
		ok     bool
	}{
		"sealed, and done":       {[]draft{{typeEvidenceDue, due}, {typeEvidenceSealed, sealed}, {playbook.StepDone, done}}, true},
		"skipped":                {[]draft{{typeEvidenceDue, due}, {playbook.StepSkipped, playbook.Event{Run: "r-1", Step: "keep", Note: "n"}}, {typeEvidenceSkipped, due}}, true},
		"missed":                 {[]draft{{typeEvidenceDue, due}, {typeEvidenceMissed, due}}, true},
		"done by hand, as once":  {[]draft{{playbook.StepDone, playbook.Event{Run: "r-1", Step: "keep", Note: "n"}}}, true},
		"done before it is":      {[]draft{{typeEvidenceDue, due}, {playbook.StepDone, done}}, false},
		"done with nothing":      {[]draft{{playbook.StepDone, done}}, false},
		"done with another's":    {[]draft{{typeEvidenceSealed, other}, {playbook.StepDone, done}}, false},
		"a correction's, a task": {[]draft{{typeEvidenceDue, due}, {typeEvidenceSealed, sealed}, {playbook.StepDone, playbook.Event{Run: "r-1", Step: "look", Evidence: "e-1"}}}, false},
		"due twice":              {[]draft{{typeEvidenceDue, due}, {typeEvidenceDue, due}}, false},
		"skipped twice":          {[]draft{{typeEvidenceDue, due}, {typeEvidenceSkipped, due}, {typeEvidenceSkipped, due}}, false},
		"skipped, then sealed":   {[]draft{{typeEvidenceDue, due}, {typeEvidenceSkipped, due}, {typeEvidenceSealed, sealed}}, false},
		"sealed, then missed":    {[]draft{{typeEvidenceDue, due}, {typeEvidenceSealed, sealed}, {typeEvidenceMissed, due}}, false},
	} {
		s := newState()
		run := playbook.Opening{ID: "r-1", Playbook: playbook.Playbook{Name: "x", Steps: []playbook.Step{
			{Name: "keep", After: []string{playbook.Start}, Evidence: &playbook.Evidence{}}, {Name: "look", After: []string{playbook.Start}, Task: &playbook.Task{Do: "look"}}}}}
		err := errors.Join()
		for i, d := range append([]draft{{playbook.Started, run}}, tc.drafts...) {
			e := d.entry()
			e.Seq, e.At, e.Actor = uint64(i), at, "op-1"
			if _, err = s.fold(e); err != nil && i < len(tc.drafts) {
				t.Fatalf("%s: entry %d: %v", name, i, err)
			}
		}
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, errForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const endingStop = `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"incident":"i-1","reason":"drill","expires_at":%q}`

// TestEvidenceBeforeACorrectionEnds by itself: taken shortly before, once for each
// end, for all that end together in an incident.
func TestEvidenceBeforeACorrectionEnds(t *testing.T) {
	w := takingWorld(t)
	w.open(`{"title":"x"}`)
	end := w.clock.Now().Add(time.Hour)
	for range 2 {
		w.ok(201, "POST", "/corrections?evidence=skip&evidence_reason=not+here", fmt.Sprintf(endingStop, end.Format(time.RFC3339)), nil)
	}
	w.create(fmt.Sprintf(`{"kind":"access","params":{"mode":"block"},"scope":{"users":["u"]},"incident":"i-1","reason":"r","expires_at":%q}`, end.Format(time.RFC3339))) // alters nothing
	w.create(fmt.Sprintf(strings.Replace(endingStop, `"incident":"i-1",`, "", 1), end.Format(time.RFC3339)))                                                             // of no incident
	w.clock.advance(time.Hour - endLead - time.Second)
	w.c.tidy(t.Context())
	if got := w.entriesOf("evidence.due"); len(got) != 0 {
		t.Fatalf("too early: %q", got)
	}
	w.clock.advance(2 * time.Second)
	w.c.tidy(t.Context())
	x := w.sealed("e-3")
	if !slices.Equal(x.Corrections, []string{"c-1", "c-2"}) || !x.Ends.Equal(end) || x.Before != 0 || x.Incident != "i-1" || !slices.Equal(x.Models, []string{"sim-large"}) || x.Reason != "before c-1 or c-2 ends by itself at "+end.Format(time.RFC3339) {
		t.Fatalf("%s", jsonText(x))
	}
	if d, _ := w.content("e-3"); len(d.Corrections) != 4 || slices.ContainsFunc(d.Missing, func(g evidenceGap) bool { return g.What == "before_end" }) {
		t.Errorf("%s", jsonText(d.Missing))
	}
	// One is extended: its later end has its own; the other ends.
	later := end.Add(time.Hour)
	w.ok(200, "POST", "/corrections/c-1/extend", fmt.Sprintf(`{"reason":"r","expires_at":%q}`, later.Format(time.RFC3339)), nil)
	w.restart()
	w.clock.advance(time.Minute)
	w.c.tidy(t.Context())
	if w.get("c-2").State != "expired" || w.get("c-1").State != "active" || len(w.entriesOf("evidence.")) != 4 {
		t.Fatalf("%q", w.entriesOf("evidence."))
	}
	w.clock.advance(59 * time.Minute)
	w.c.tidy(t.Context())
	if x = w.sealed("e-4"); !slices.Equal(x.Corrections, []string{"c-1"}) || !x.Ends.Equal(later) {
		t.Fatalf("%s", jsonText(x))
	}
	w.clock.advance(time.Minute)
	for range 3 {
		w.c.tidy(t.Context())
	}
	if w.get("c-1").State != "expired" || len(w.entriesOf("evidence.")) != 6 {
		t.Fatalf("%q", w.entriesOf("evidence."))
	}
}

// TestEvidenceThatIsMissed: an end waits for nothing, and the record says what was
// not taken, and why.
func TestEvidenceThatIsMissed(t *testing.T) {
	w := takingWorld(t)
	w.open(`{"title":"x"}`)
	until := func(d time.Duration) string {
		return fmt.Sprintf(endingStop, w.clock.Now().Add(d).Format(time.RFC3339))
	}
	w.ok(201, "POST", "/corrections?evidence=skip&evidence_reason=r", until(time.Hour), nil)
	// The control plane was down.
	w.stop()
	w.clock.advance(2 * time.Hour)
	w.start()
	w.eventually(func() bool { return w.get("c-1").State == "expired" && len(w.entriesOf(typeEvidenceMissed)) == 1 })
	w.eventually(func() bool { // what is durable is folded a moment later
		w.c.mu.RLock()
		defer w.c.mu.RUnlock()
		return w.c.state.evidence.find("e-2") != nil
	})
	var x evidenceView
	w.ok(200, "GET", "/evidence/e-2", "", &x)
	if x.State != evidenceIsMissed || !strings.HasPrefix(x.Reason, "not taken before c-1 ended by itself at 2030-01-01T01:00:00Z: nobody was there to take it") {
		t.Fatalf("%s", jsonText(x))
	}
	if p := w.bad(409, "evidence_missing", "GET", "/evidence/e-2/content", ""); !strings.Contains(p.Detail, "e-2 was not taken before c-1 ended") {
		t.Error(p.Detail)
	}
	// The disk refuses it.
	mend := w.breakDisk()
	w.ok(201, "POST", "/corrections?evidence=skip&evidence_reason=r", until(time.Hour), nil)
	w.clock.advance(time.Hour - endLead/2)
	w.c.tidy(t.Context())
	w.eventually(func() bool { return strings.Contains(w.logs.String(), "evidence=e-4 error") })
	w.clock.advance(endLead)
	w.c.tidy(t.Context())
	w.ok(200, "GET", "/evidence/e-4", "", &x)
	if x.State != evidenceIsMissed || !strings.Contains(x.Reason, ": the disk refused it: ") || w.get("c-2").State != "expired" {
		t.Fatalf("%s", jsonText(x))
	}
	mend()
	w.restart()
	if told := jsonText(w.timeline("i-1", "")); strings.Count(told, "evidence MISSED (e-") != 2 {
		t.Error(told)
	}
	if got := w.entriesOf("evidence."); len(got) != 5 {
		t.Errorf("%q", got)
	}
}

// TestWhatIsSaidOfEvidenceWaitsWithAnAct: approvers see that it is skipped, by whom
// and why, and that stands in the record once they have agreed.
func TestWhatIsSaidOfEvidenceWaitsWithAnAct(t *testing.T) {
	w := takingWorld(t)
	tok := w.rules(house, nil)
	w.open(`{"title":"x"}`)
	for range 2 {
		w.ok(201, "POST", "/corrections?evidence=skip&evidence_reason=r", stopInIncident, nil)
	}
	a := w.asked(tok["com"], "/corrections/c-1/lift?evidence=skip&evidence_reason=the+disk+is+full", `{"reason":"fixed"}`)
	b := w.asked(tok["com"], "/corrections/c-2/lift", `{"reason":"fixed"}`)
	if got := w.act(a.ID); got.Evidence == nil || *got.Evidence != (evidenceWish{"skip", "the disk is full"}) || w.act(b.ID).Evidence != nil {
		t.Fatalf("%s", jsonText(got))
	}
	w.restart()
	for _, id := range []string{a.ID, b.ID} {
		for _, who := range []string{"ap1", "ap2"} {
			if status, p, _ := w.by(tok[who], "POST", "/approvals/"+id+"/approve", `{"reason":"yes"}`); p != nil {
				t.Fatal(status, p)
			}
		}
	}
	var x evidenceView
	w.ok(200, "GET", "/evidence/e-3", "", &x)
	if x.State != evidenceIsSkipped || x.Reason != "the disk is full" || x.By != w.operatorOf(tok["com"]) || !slices.Equal(x.Corrections, []string{"c-1"}) || w.get("c-1").State != "lifted" {
		t.Fatalf("%s", jsonText(x))
	}
	if x = w.sealed("e-4"); !slices.Equal(x.Corrections, []string{"c-2"}) || x.Before == 0 {
		t.Fatalf("%s", jsonText(x))
	}
	if told := jsonText(w.timeline("i-1", "")); !strings.Contains(told, "evidence SKIPPED (e-3), the system was altered without: the disk is full (chosen by "+w.operatorOf(tok["com"])+")") {
		t.Error(told)
	}
}
